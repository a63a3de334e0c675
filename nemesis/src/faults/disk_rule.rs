//! A disk that goes on but is full, read-only, slow or gives errors: one harm of four classes, told apart by a rule of our
//! faulty file system and by the sign that a probe must show.
//!
//! What needs no file system of ours is done without: a disk is filled with a file, and a folder mounted read-only over
//! itself. Our file system has to be put under the database, which is killed and started on it, and once more when it is
//! taken away; a second disk fault of the same node finds it there and restarts nothing.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use schism_cluster::{Cluster, Db};
use schism_history::Node;
use serde_json::{Map, Value, json};

use crate::agent::faultfs::rules::{OpKind, Rule};
use crate::fanout;
use crate::fault::{Evidence, Fault, FaultError, Undo};
use crate::faults::disk::{Faultfs, Probe, Victims};
use crate::faults::disk_mapper::{self, DEVICE_MAPPER, FUSE, Harm};
use crate::faults::told;
use crate::scripts::{self, MapperHarm};

const EROFS: i32 = 30;
/// How soon a device that did not fail yet is tried again.
const AGAIN: Duration = Duration::from_millis(300);

/// What a probe shows while the fault is on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Sign {
    /// This error number.
    Error(i32),
    /// EIO, at this share of operations.
    SomeErrors { ppm: u32 },
    /// Operations that take at least nine tenths of so long.
    Latency { ms: u64 },
}

/// How it is done without a file system of ours.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Plain {
    /// Only with one.
    Never,
    /// A file that fills the disk, where it need not be larger.
    Fill { leave_bytes: u64, most_bytes: u64 },
    /// A mount of the folder over itself, where we cannot mount our own.
    ReadOnlyMount,
}

/// How it is done, once that is known.
#[derive(Debug, Clone, Default)]
enum Means {
    #[default]
    Unknown,
    Fill,
    ReadOnlyMount,
    Device(MapperHarm),
    Faultfs(Faultfs),
}

/// How the device below the file system would do it, and whether it is asked to.
struct ByDevice {
    way: String,
    harm: Harm,
}

/// The fault.
pub(super) struct RuleFault {
    victims: Victims,
    rule: Rule,
    sign: Sign,
    plain: Plain,
    more: String,
    means: Means,
    device: Option<ByDevice>,
    /// Why the device does not do it, where it might have.
    not_by_device: Option<String>,
    /// What a probe showed before, and how the database started on the harmed disk.
    before: Mutex<(Vec<Probe>, Value)>,
}

impl RuleFault {
    pub(super) fn new(victims: Victims, rule: Rule, sign: Sign, plain: Plain, more: String) -> RuleFault {
        let before = Mutex::default();
        RuleFault { victims, rule, sign, plain, more, means: Means::Unknown, device: None, not_by_device: None, before }
    }

    /// Which the device below the file system may do as well.
    pub(super) fn or_by_device(self, way: String, harm: Harm) -> RuleFault {
        RuleFault { device: Some(ByDevice { way, harm }), ..self }
    }

    fn by(&self) -> &'static str {
        match self.means {
            Means::Unknown => "nothing",
            Means::Fill => "a file that fills the disk",
            Means::ReadOnlyMount => "a read-only mount",
            Means::Device(_) => "the device mapper",
            Means::Faultfs(_) => "faultfs",
        }
    }

    /// The harm of the device, where it can do it and is not asked to leave it; else why not.
    async fn by_device(&self, cluster: &Cluster) -> Result<Result<MapperHarm, Option<String>>, FaultError> {
        let Some(ByDevice { way, harm }) = &self.device else { return Ok(Err(None)) };
        if way == FUSE {
            return Ok(Err(Some("not asked for".to_owned())));
        }
        let harm = match harm {
            Ok(harm) => harm,
            Err(reason) if way == DEVICE_MAPPER => {
                let reason = format!("the device mapper cannot do it: {reason}");
                return Err(FaultError::Intention { class: self.victims.class.to_owned(), reason });
            }
            Err(reason) => return Ok(Err(Some(reason.clone()))),
        };
        match disk_mapper::missing(cluster, &self.victims, harm).await? {
            None => Ok(Ok(harm.clone())),
            Some((node, reason)) if way == DEVICE_MAPPER => Err(disk_mapper::refused(&self.victims, node, reason)),
            Some((node, reason)) => Ok(Err(Some(format!("{node}: {reason}")))),
        }
    }

    /// Whether the disk of every node can be filled with a file that is not too large.
    async fn can_fill(&self, cluster: &Cluster, leave: u64, most: u64) -> Result<bool, FaultError> {
        let free = fanout::run_all(cluster, self.victims.scripts(|_, folder| scripts::disk_free(folder))).await?;
        let fits = |text: String| text.parse::<u64>().is_ok_and(|free| free.saturating_sub(leave) <= most);
        Ok(free.into_iter().all(|(_, output)| fits(output.text())))
    }

    async fn choose(&mut self, cluster: &Cluster) -> Result<Means, FaultError> {
        match self.by_device(cluster).await? {
            Ok(harm) => return Ok(Means::Device(harm)),
            Err(reason) => self.not_by_device = reason,
        }
        match self.plain {
            Plain::Fill { leave_bytes, most_bytes } if self.can_fill(cluster, leave_bytes, most_bytes).await? => {
                Ok(Means::Fill)
            }
            Plain::ReadOnlyMount => match Faultfs::ready(cluster, &self.victims).await {
                Ok(faultfs) => Ok(Means::Faultfs(faultfs)),
                Err(FaultError::Refused { .. }) => Ok(Means::ReadOnlyMount),
                Err(error) => Err(error),
            },
            _ => Faultfs::ready(cluster, &self.victims).await.map(Means::Faultfs),
        }
    }

    /// How often, and with how many bytes, the disk is tried.
    fn rounds(&self) -> (u32, u64) {
        match self.sign {
            Sign::Error(_) => (2, 4096),
            // So often that none is seen once in a million times.
            Sign::SomeErrors { ppm } => ((4_000_000 / ppm.max(1)).clamp(3, 300), 4096),
            Sign::Latency { ms } => ((1_000 / ms.max(1)).clamp(1, 5) as u32, 4096),
        }
    }

    fn size(&self) -> (u32, u64) {
        match (&self.means, self.plain) {
            // More than is left, and than the database frees in the meantime.
            (Means::Fill, Plain::Fill { leave_bytes, .. }) => (1, leave_bytes.saturating_add(8 << 20)),
            _ => self.rounds(),
        }
    }

    /// Tries the disk as programs do, or past the page cache where it is the device that is harmed.
    async fn probe(&self, cluster: &Cluster, (rounds, bytes): (u32, u64)) -> Result<Vec<Probe>, FaultError> {
        match self.means {
            Means::Device(_) => disk_mapper::probe(cluster, &self.victims, rounds.min(5)).await,
            _ => self.victims.probe(cluster, rounds, bytes).await,
        }
    }

    /// As [`RuleFault::probe`], until the sign is seen: a device may fail for some seconds of each twenty only.
    async fn probe_harm(&self, cluster: &Cluster) -> Result<Vec<Probe>, FaultError> {
        let deadline = tokio::time::Instant::now() + self.patience();
        loop {
            let now = self.probe(cluster, self.size()).await?;
            if now.iter().all(|probe| self.shows(probe)) || tokio::time::Instant::now() >= deadline {
                return Ok(now);
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    fn patience(&self) -> Duration {
        match (&self.means, self.sign) {
            (Means::Device(_), Sign::SomeErrors { ppm }) if ppm < 1_000_000 => disk_mapper::PERIOD_MAX,
            _ => Duration::ZERO,
        }
    }

    /// Whether a probe shows the sign.
    fn shows(&self, probe: &Probe) -> bool {
        match self.sign {
            Sign::Error(error) => probe.saw(error),
            // A file system whose journal met an error takes no writes any more.
            Sign::SomeErrors { .. } => probe.saw(5) || (probe.saw(EROFS) && matches!(self.means, Means::Device(_))),
            Sign::Latency { ms } => {
                let long = |what: &str| probe.mean_ms(what) >= ms as f64 * 0.9;
                let asked = |kind: OpKind| self.rule.ops.is_empty() || self.rule.ops.contains(&kind);
                [(OpKind::Write, "write"), (OpKind::Fsync, "fsync"), (OpKind::Read, "read")]
                    .iter()
                    .all(|(kind, what)| !asked(*kind) || long(what))
            }
        }
    }
}

#[async_trait]
impl Fault for RuleFault {
    fn class(&self) -> &'static str {
        self.victims.class
    }

    fn label(&self) -> String {
        self.victims.label(&self.more)
    }

    fn nodes(&self) -> Vec<Node> {
        self.victims.nodes.clone()
    }

    fn details(&self) -> Map<String, Value> {
        Map::from_iter(
            [
                ("target".to_owned(), json!(self.victims.target)),
                ("by".to_owned(), json!(self.by())),
                ("processes".to_owned(), told(&self.victims.found)),
            ]
            .into_iter()
            .chain(self.not_by_device.iter().map(|reason| ("not_by_device_mapper".to_owned(), json!(reason)))),
        )
    }

    async fn prepare(&mut self, cluster: &Cluster, db: &dyn Db) -> Result<Vec<Undo>, FaultError> {
        self.victims.find(cluster, db).await?;
        self.means = self.choose(cluster).await?;
        let name = &self.victims.name;
        let mut undo = match &self.means {
            Means::Faultfs(faultfs) => return faultfs.undos(&self.victims, cluster, db),
            Means::Device(_) => disk_mapper::undos(&self.victims),
            Means::Fill => self.victims.undos(|_, folder| scripts::disk_unfill(folder, name)),
            _ => self.victims.undos(|_, folder| scripts::read_only_undo(folder, name)),
        };
        undo.extend(self.victims.undos(|_, folder| scripts::disk_clean(folder, name)));
        undo.extend(self.victims.start_undos(cluster, db)?);
        Ok(undo)
    }

    async fn inject(&self, cluster: &Cluster, db: &dyn Db) -> Result<(), FaultError> {
        let probes = self.probe(cluster, (1, 4096)).await?;
        let name = &self.victims.name;
        let started = match (&self.means, self.plain) {
            (Means::Device(harm), _) => json!({ "tables": disk_mapper::start(cluster, &self.victims, harm).await? }),
            (Means::Faultfs(faultfs), _) => faultfs.put_under(&self.victims, &self.rule, cluster, db).await?,
            (Means::Fill, Plain::Fill { leave_bytes, most_bytes }) => {
                let fill = |_: &Node, folder: &str| scripts::disk_fill(folder, name, leave_bytes, most_bytes);
                fanout::run_all(cluster, self.victims.scripts(fill)).await?;
                Value::Null
            }
            _ => {
                self.victims.stop(cluster, db).await?;
                let mount = self.victims.scripts(|_, folder| scripts::read_only_mount(folder, name));
                fanout::run_all(cluster, mount).await?;
                self.victims.start(cluster, db).await?
            }
        };
        *self.before.lock().unwrap_or_else(PoisonError::into_inner) = (probes, started);
        Ok(())
    }

    async fn verify_injected(&self, cluster: &Cluster, _db: &dyn Db) -> Result<Evidence, FaultError> {
        let now = self.probe_harm(cluster).await?;
        let mut proven = now.iter().all(|probe| self.shows(probe));
        let mut measured = Map::new();
        if let Means::Faultfs(faultfs) = &self.means {
            let answers = faultfs.order(&self.victims, cluster, "status").await?;
            let counts = |(node, answer): &(Node, _)| {
                let answer: &crate::agent::faultfs::Answer = answer;
                json!({ "node": node, "counts": answer.status.counts })
            };
            // Errors so seldom that a probe meets none may have met the database.
            if let Sign::SomeErrors { .. } = self.sign {
                proven = answers.iter().all(|(node, answer)| {
                    let of_node = |probe: &&Probe| probe.node == *node;
                    let failed = answer.status.counts.values().any(|count| count.failed > 0);
                    now.iter().find(of_node).is_some_and(|probe| self.shows(probe)) || failed
                });
            }
            measured.insert("faultfs".to_owned(), answers.iter().map(counts).collect());
        }
        let (before, started) = self.before.lock().unwrap_or_else(PoisonError::into_inner).clone();
        measured.insert("by".to_owned(), json!(self.by()));
        measured.insert("before".to_owned(), json!(before));
        measured.insert("probes".to_owned(), json!(now));
        match started {
            // Nothing was restarted: what was started is the harm.
            Value::Object(device) => measured.extend(device),
            started => drop(measured.insert("database".to_owned(), started)),
        }
        Ok(Evidence { proven, measured: Value::Object(measured) })
    }

    async fn verify_healed(&self, cluster: &Cluster, db: &dyn Db) -> Result<Evidence, FaultError> {
        let mut left = Faultfs::left(&self.victims, cluster).await?;
        let mut shared = Faultfs::shared(&self.victims, cluster).await?;
        if self.device.is_some() {
            left.extend(disk_mapper::left(cluster, &self.victims).await?);
            shared.extend(disk_mapper::shared(cluster, &self.victims).await?);
        }
        let now = self.probe(cluster, (1, 4096)).await?;
        let (running, processes) = self.victims.await_running(cluster, db, &shared).await?;
        // Where another disk fault is on, its errors and delays are not ours.
        let own = now.iter().filter(|probe| !shared.contains(&probe.node));
        let well = own.clone().all(|probe| !self.shows(probe) && probe.is_well());
        let measured = json!({
            "left": left, "probes": now, "of_other_faults": shared, "running": processes,
        });
        Ok(Evidence { proven: left.is_empty() && well && running, measured })
    }
}
