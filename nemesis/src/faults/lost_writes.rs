//! A power cut of the data's disk: the database dies, and what it wrote and did not sync is gone.
//!
//! Where the ground has a data disk, that fails and comes back. Where the data lies on a device of the device mapper, that
//! takes no writes any more until the file system is mounted anew. Elsewhere our file system is put under the database first
//! (which restarts it), remembers for a while what is not synced, and takes it back when the database was killed.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use schism_cluster::{Ability, Cluster, DATA_DISK, Db, GroundAction};
use schism_history::Node;
use serde_json::{Map, Value, json};

use crate::agent::faultfs::rules::Rule;
use crate::class::{Family, FaultEntry, plain_label};
use crate::fanout;
use crate::fault::{Evidence, Fault, FaultError, Undo};
use crate::faults::disk::{Faultfs, Victims, base_needs};
use crate::faults::disk_mapper::{self, DEVICE_MAPPER, FUSE, Harm, IMAGE, WAY_OF_CUT};
use crate::faults::{TARGETS, told};
use crate::need::Need;
use crate::option::{OptionEntry, OptionKind};
use crate::scripts;
use crate::spec::FaultSpec;

/// The class.
pub const CLASS: &str = "lost-writes";

const EIO: i32 = 5;
/// How often it is looked whether a write was torn.
const LOOK: Duration = Duration::from_millis(100);

/// How long our file system collects what is not synced.
pub(super) const WINDOW: OptionEntry = OptionEntry {
    name: "window",
    key: "window_ms",
    kind: OptionKind::Span(0, 20_000),
    default: &["3s"],
    about: "how long our file system is under the database before the cut (a ground's data disk and a device are cut at once)",
};

/// Its line in the table.
pub const ENTRY: FaultEntry = FaultEntry {
    name: CLASS,
    family: Family::Disk,
    about: "cuts the power of the database's disk: it dies, and what it had not synced is lost",
    options: &[TARGETS, WINDOW, WAY_OF_CUT],
    works: "on grounds with a data disk (for data that lies on it); else where the data lies on a device of the device mapper of its \
            own, by dm-flakey, which lets every write fail; else where nodes have FUSE and run our program",
    verified: "of two marks of ours on the disk the synced one is there afterwards and the other is not; bytes lost are told where \
               our file system counts them; on a ground's disk or a device a probe gets EIO while it is away",
    undone: "the disk comes back with what was synced, and the database is started; what was lost stays lost, as a database that \
             syncs before it answers survives",
    needs: |spec| {
        let image = Need::Ground(Ability::DataDisk);
        [base_needs(), disk_mapper::needs(spec, |way| harms(spec, way), Some(image))].concat()
    },
    decide: |ask| {
        let victims = Victims::of(ask)?;
        Ok(Box::new(PowerLoss::new(victims, ask.number("window_ms")?, None).by_way(disk_mapper::way(ask))))
    },
    label: plain_label,
};

/// What the device below would be told.
pub(super) fn harms(_: &FaultSpec, _way: &str) -> Vec<Harm> {
    vec![Ok(disk_mapper::cut())]
}

/// Who cuts.
#[derive(Debug, Clone, Default)]
enum Means {
    #[default]
    Unknown,
    Ground,
    Device,
    Faultfs(Faultfs),
}

/// Writes that are to be torn, in files of these patterns, at boundaries of so many bytes.
#[derive(Debug, Clone)]
pub(super) struct Tear {
    pub(super) patterns: Vec<String>,
    pub(super) sector_bytes: u64,
}

/// A cut of the data's disk, torn or clean.
pub(super) struct PowerLoss {
    victims: Victims,
    window_ms: u64,
    tear: Option<Tear>,
    way: String,
    means: Means,
    seen: Mutex<Map<String, Value>>,
}

impl PowerLoss {
    /// After so many milliseconds under our file system; with a tear it is the next fitting write that cuts.
    pub(super) fn new(victims: Victims, window_ms: u64, tear: Option<Tear>) -> PowerLoss {
        let way = FUSE.to_owned();
        PowerLoss { victims, window_ms, tear, way, means: Means::Unknown, seen: Mutex::default() }
    }

    /// By this way, or by the first that is possible; without it by our file system alone.
    fn by_way(self, way: String) -> PowerLoss {
        PowerLoss { way, ..self }
    }

    fn by(&self) -> &'static str {
        match self.means {
            Means::Unknown => "nothing",
            Means::Ground => "the ground's data disk",
            Means::Device => "the device mapper",
            Means::Faultfs(_) => "faultfs",
        }
    }

    fn saw(&self, what: &str, value: Value) {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).insert(what.to_owned(), value);
    }

    /// Whether the ground can cut: it has data disks, and the data lies on them. A tear it cannot, and neither what another
    /// disk fault has put our file system over: that would go on with the disk that was taken away.
    async fn on_ground(&self, cluster: &Cluster) -> Result<bool, FaultError> {
        let lies = |folder: &String| folder == DATA_DISK || folder.starts_with(&format!("{DATA_DISK}/"));
        Ok(self.tear.is_none()
            && disk_mapper::allows(&self.way, IMAGE)
            && self.victims.folders.values().all(lies)
            && cluster.ground.can(Ability::DataDisk).await.is_ok()
            && Faultfs::shared(&self.victims, cluster).await?.is_empty())
    }

    async fn choose(&self, cluster: &Cluster) -> Result<Means, FaultError> {
        if self.on_ground(cluster).await? {
            return Ok(Means::Ground);
        }
        if self.way == IMAGE {
            let reason = "the data does not lie on a disk of the ground, or another fault is on it".to_owned();
            return Err(FaultError::Intention { class: self.victims.class.to_owned(), reason });
        }
        if disk_mapper::allows(&self.way, DEVICE_MAPPER) {
            match disk_mapper::missing(cluster, &self.victims, &disk_mapper::cut()).await? {
                None => return Ok(Means::Device),
                Some((node, reason)) if self.way == DEVICE_MAPPER => {
                    return Err(disk_mapper::refused(&self.victims, node, reason));
                }
                Some((node, reason)) => self.saw("not_by_device_mapper", json!(format!("{node}: {reason}"))),
            }
        }
        Faultfs::ready(cluster, &self.victims).await.map(Means::Faultfs)
    }

    /// By the ground, or by the device mapper: either way the device takes nothing any more.
    async fn inject_below(&self, cluster: &Cluster, db: &dyn Db) -> Result<(), FaultError> {
        self.victims.stop(cluster, db).await?;
        let mark = self.victims.scripts(|_, folder| scripts::disk_mark(folder, &self.victims.name));
        fanout::run_all(cluster, mark).await?;
        if let Means::Device = self.means {
            let tables = disk_mapper::start(cluster, &self.victims, &disk_mapper::cut()).await?;
            self.saw("tables", json!(tables));
            return Ok(());
        }
        for node in &self.victims.nodes {
            cluster.ground.act(&GroundAction::FailDataDisk { node: node.clone() }).await?;
        }
        Ok(())
    }

    async fn inject_by_faultfs(&self, faultfs: &Faultfs, cluster: &Cluster, db: &dyn Db) -> Result<(), FaultError> {
        let tear = self.tear.as_ref();
        let rule = Rule {
            track_unsynced: true,
            torn_sector_bytes: tear.map(|tear| tear.sector_bytes),
            // Without a tear no file is meant by the rule's patterns.
            paths: tear.map_or_else(Vec::new, |tear| tear.patterns.clone()),
            ..Rule::default()
        };
        let started = faultfs.put_under(&self.victims, &rule, cluster, db).await?;
        self.saw("database", started);
        match tear {
            None => {
                tokio::time::sleep(Duration::from_millis(self.window_ms)).await;
                let mark = self.victims.scripts(|_, folder| scripts::disk_mark(folder, &self.victims.name));
                fanout::run_all(cluster, mark).await?;
            }
            Some(_) => self.await_torn(faultfs, cluster).await?,
        }
        self.victims.stop(cluster, db).await?;
        let crashed = faultfs.order(&self.victims, cluster, "crash").await?;
        faultfs.order(&self.victims, cluster, "revive").await?;
        let lost = |(node, answer): &(Node, crate::agent::faultfs::Answer)| {
            json!({
                "node": node, "lost": answer.lost, "torn": answer.status.torn,
                "forced_syncs": answer.status.forced_syncs,
            })
        };
        self.saw("cut", crashed.iter().map(lost).collect());
        if tear.is_some() {
            self.saw("torn", json!(crashed.iter().all(|(_, answer)| answer.status.torn.is_some())));
        }
        Ok(())
    }

    /// Waits until a write was torn on every node, at most the window.
    async fn await_torn(&self, faultfs: &Faultfs, cluster: &Cluster) -> Result<(), FaultError> {
        let deadline = tokio::time::Instant::now() + Duration::from_millis(self.window_ms);
        loop {
            let answers = faultfs.order(&self.victims, cluster, "status").await?;
            let torn = answers.iter().all(|(_, answer)| answer.status.torn.is_some());
            if torn || tokio::time::Instant::now() >= deadline {
                return Ok(());
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// What was left of the marks when they were counted; whether the synced one is whole everywhere, and whether the other is lost everywhere.
    async fn marks(&self, cluster: &Cluster) -> Result<(bool, bool, Value), FaultError> {
        let look = self.victims.scripts(|_, _| scripts::disk_marks_told(&self.victims.name));
        let (mut kept, mut lost, mut seen) = (true, true, Vec::new());
        for (node, output) in fanout::run_all(cluster, look).await? {
            let text = output.text();
            let mut bytes = text.lines().map(|line| line.trim().parse::<u64>().ok());
            let (synced, unsynced) = (bytes.next().flatten(), bytes.next().flatten());
            kept &= synced == Some(8192);
            lost &= unsynced.unwrap_or(0) < 8192;
            seen.push(json!({
                "node": node, "written_bytes": 8192, "synced_left_bytes": synced, "unsynced_left_bytes": unsynced,
            }));
        }
        Ok((kept, lost, Value::Array(seen)))
    }
}

#[async_trait]
impl Fault for PowerLoss {
    fn class(&self) -> &'static str {
        self.victims.class
    }

    fn label(&self) -> String {
        self.victims.label("")
    }

    fn nodes(&self) -> Vec<Node> {
        self.victims.nodes.clone()
    }

    fn details(&self) -> Map<String, Value> {
        Map::from_iter([
            ("target".to_owned(), json!(self.victims.target)),
            ("by".to_owned(), json!(self.by())),
            ("processes".to_owned(), told(&self.victims.found)),
        ])
    }

    async fn prepare(&mut self, cluster: &Cluster, db: &dyn Db) -> Result<Vec<Undo>, FaultError> {
        self.victims.find(cluster, db).await?;
        self.means = self.choose(cluster).await?;
        let restore = |node: &Node| Undo::OnGround { action: GroundAction::RestoreDataDisk { node: node.clone() } };
        let mut undo: Vec<Undo> = match &self.means {
            Means::Faultfs(faultfs) => return faultfs.undos(&self.victims, cluster, db),
            Means::Device => disk_mapper::undos(&self.victims),
            _ => self.victims.nodes.iter().map(restore).collect(),
        };
        // Counted before the database is started, which may fill the disk or fail it again.
        undo.extend(self.victims.undos(|_, folder| scripts::disk_marks_count(folder, &self.victims.name)));
        undo.extend(self.victims.start_undos(cluster, db)?);
        Ok(undo)
    }

    async fn inject(&self, cluster: &Cluster, db: &dyn Db) -> Result<(), FaultError> {
        match &self.means {
            Means::Faultfs(faultfs) => self.inject_by_faultfs(faultfs, cluster, db).await,
            _ => self.inject_below(cluster, db).await,
        }
    }

    async fn verify_injected(&self, cluster: &Cluster, db: &dyn Db) -> Result<Evidence, FaultError> {
        let running = self.victims.processes(cluster, db).await?;
        let proven = match (&self.means, &self.tear) {
            (Means::Faultfs(_), None) => {
                let count = self.victims.scripts(|_, folder| scripts::disk_marks_count(folder, &self.victims.name));
                fanout::run_all(cluster, count).await?;
                let (kept, lost, seen) = self.marks(cluster).await?;
                self.saw("marks", seen);
                kept && lost
            }
            (Means::Faultfs(_), Some(_)) => {
                let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
                seen.get("torn") == Some(&json!(true))
            }
            _ => {
                let probes = match self.means {
                    Means::Device => disk_mapper::probe(cluster, &self.victims, 1).await?,
                    _ => self.victims.probe(cluster, 1, 4096).await?,
                };
                let away = probes.iter().all(|probe| probe.saw(EIO));
                self.saw("probes", json!(probes));
                away
            }
        };
        self.saw("by", json!(self.by()));
        self.saw("running", told(&running));
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Ok(Evidence { proven: proven && running.is_empty(), measured: Value::Object(seen) })
    }

    async fn verify_healed(&self, cluster: &Cluster, db: &dyn Db) -> Result<Evidence, FaultError> {
        let mut left = Faultfs::left(&self.victims, cluster).await?;
        let (mut kept, mut marks) = (true, Value::Null);
        if let Means::Device = self.means {
            left.extend(disk_mapper::left(cluster, &self.victims).await?);
        }
        if let Means::Ground | Means::Device = self.means {
            // Told once: a second look finds what the first one saw.
            let told = self.seen.lock().unwrap_or_else(PoisonError::into_inner).get("marks").cloned();
            (kept, marks) = match told {
                Some(told) => (true, told),
                None => {
                    let (kept, _, seen) = self.marks(cluster).await?;
                    if kept {
                        self.saw("marks", seen.clone());
                    }
                    (kept, seen)
                }
            };
        }
        let (running, processes) = self.victims.await_running(cluster, db, &[]).await?;
        let measured = json!({ "left": left, "marks": marks, "running": processes });
        Ok(Evidence { proven: left.is_empty() && kept && running, measured })
    }
}
