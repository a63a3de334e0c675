//! Files that went back in time: a copy of the data, taken a while before, is put back, as from a stale snapshot.
//!
//! The copy is taken while the database's processes stand still (SIGSTOP, a moment), so that it is what a crash at that
//! moment would have left. It lies outside the data's folder and is removed by the undo.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use schism_cluster::{Cluster, Db, ProcessId};
use schism_history::Node;
use serde_json::{Map, Value, json};

use crate::class::{Family, FaultEntry, plain_label};
use crate::fanout;
use crate::fault::{Evidence, Fault, FaultError, Undo};
use crate::faults::disk::{ONE, Victims, base_needs};
use crate::faults::disk_corrupt::{REBUILD, UNDONE, repair};
use crate::faults::told;
use crate::option::{OptionEntry, OptionKind};
use crate::scripts;

/// The class.
pub const CLASS: &str = "restore-old-copy";

/// How long copying may take.
const COPY_WITHIN: Duration = Duration::from_secs(90);

/// Its line in the table.
pub const ENTRY: FaultEntry = FaultEntry {
    name: CLASS,
    family: Family::Disk,
    about: "puts an old copy of the database's files back, as from a stale snapshot",
    options: &[
        ONE,
        OptionEntry {
            name: "age",
            key: "age_ms",
            kind: OptionKind::Span(0, 60_000),
            default: &["5s"],
            about: "how old the copy is when it is put back",
        },
        OptionEntry {
            name: "files",
            key: "files",
            kind: OptionKind::Text,
            default: &[],
            about: "a pattern of files below the database's folder (`*` crosses folders); without it the whole folder goes back",
        },
        OptionEntry {
            name: "most",
            key: "most_bytes",
            kind: OptionKind::Bytes,
            default: &["1GiB"],
            about: "how much data is copied at most",
        },
        REBUILD,
    ],
    works: "every ground",
    verified: "files differ between what was there and the copy (by SHA-256, their number is recorded), and none between the copy and what is \
               there then, before the database is started",
    undone: UNDONE,
    needs: |_| base_needs(),
    decide: |ask| {
        Ok(Box::new(OldCopy {
            victims: Victims::of(ask)?,
            age_ms: ask.number("age_ms")?,
            files: ask.word("files").unwrap_or_default().to_owned(),
            most_bytes: ask.number("most_bytes")?,
            rebuild: ask.flag("rebuild"),
            seen: Mutex::default(),
        }))
    },
    label: plain_label,
};

struct OldCopy {
    victims: Victims,
    age_ms: u64,
    files: String,
    most_bytes: u64,
    rebuild: bool,
    seen: Mutex<(bool, Value, Value)>,
}

impl OldCopy {
    /// Two nodes of one machine must not share a copy.
    fn name(&self, node: &Node) -> String {
        let plain = |c: char| if c.is_ascii_alphanumeric() || "_.-".contains(c) { c } else { '_' };
        format!("{}-{}", self.victims.name, node.as_str().chars().map(plain).collect::<String>())
    }

    fn processes(&self, node: &Node) -> &[ProcessId] {
        self.victims.found.get(node).map_or(&[], Vec::as_slice)
    }
}

#[async_trait]
impl Fault for OldCopy {
    fn class(&self) -> &'static str {
        CLASS
    }

    fn label(&self) -> String {
        self.victims.label(&format!("{} ms old", self.age_ms))
    }

    fn nodes(&self) -> Vec<Node> {
        self.victims.nodes.clone()
    }

    fn details(&self) -> Map<String, Value> {
        Map::from_iter([
            ("target".to_owned(), json!(self.victims.target)),
            ("by".to_owned(), json!("a copy of files")),
            ("processes".to_owned(), told(&self.victims.found)),
        ])
    }

    async fn prepare(&mut self, cluster: &Cluster, db: &dyn Db) -> Result<Vec<Undo>, FaultError> {
        self.victims.find(cluster, db).await?;
        let clean = |node: &Node, _: &str| {
            scripts::copy_remove(&self.name(node)) + &scripts::signal("CONT", self.processes(node))
        };
        let mut undo = self.victims.undos(clean);
        let what = format!("files went back by {} ms", self.age_ms);
        undo.extend(repair(&self.victims, self.rebuild, &what, cluster, db)?);
        Ok(undo)
    }

    async fn inject(&self, cluster: &Cluster, db: &dyn Db) -> Result<(), FaultError> {
        let slow = |commands: Vec<(Node, schism_cluster::Command)>| {
            commands.into_iter().map(|(node, command)| (node, command.deadline(COPY_WITHIN))).collect::<Vec<_>>()
        };
        let keep = |node: &Node, folder: &str| {
            let [stop, cont] = ["STOP", "CONT"].map(|signal| scripts::signal(signal, self.processes(node)));
            scripts::copy_keep(folder, &self.name(node), self.most_bytes, &stop, &cont)
        };
        fanout::run_all(cluster, slow(self.victims.scripts(keep))).await?;
        tokio::time::sleep(Duration::from_millis(self.age_ms)).await;
        self.victims.stop(cluster, db).await?;
        let put = |node: &Node, folder: &str| scripts::copy_put(folder, &self.name(node), &self.files);
        let (mut proven, mut seen) = (true, Vec::new());
        for (node, output) in fanout::run_all(cluster, slow(self.victims.scripts(put))).await? {
            let text = output.text();
            let mut counts = text.lines().map(|line| line.trim().parse::<u64>().ok());
            let (stale, differ) = (counts.next().flatten(), counts.next().flatten());
            proven &= stale.is_some_and(|count| count > 0) && differ == Some(0);
            seen.push(json!({
                "node": node, "files_that_had_changed": stale, "files_that_differ_from_the_copy": differ,
            }));
        }
        let started = self.victims.start(cluster, db).await?;
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = (proven, Value::Array(seen), started);
        Ok(())
    }

    async fn verify_injected(&self, cluster: &Cluster, db: &dyn Db) -> Result<Evidence, FaultError> {
        let running = self.victims.processes(cluster, db).await?;
        let (proven, seen, started) = self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let measured = json!({ "copies": seen, "age_ms": self.age_ms, "database": started, "running": told(&running) });
        Ok(Evidence { proven, measured })
    }

    async fn verify_healed(&self, cluster: &Cluster, db: &dyn Db) -> Result<Evidence, FaultError> {
        let (running, processes) = self.victims.await_running(cluster, db, &[]).await?;
        Ok(Evidence { proven: running, measured: json!({ "running": processes, "rebuild": self.rebuild }) })
    }
}
