//! Files that changed behind the database's back: one harm of several classes, told apart by what is done to a file.
//!
//! The database is killed, the file changed, and the database started on it; or, with `live`, the file is changed under its
//! feet. The harm itself cannot be taken back (the database may have read it, and copied it on): where the database can be
//! rebuilt from the other members, that is the undo; else its undo says that there is none, and only starts it.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use schism_cluster::{Cluster, Command, Db};
use schism_history::Node;
use serde_json::{Map, Value, json};

use crate::agent;
use crate::agent::files::{Done, Harm, Wish};
use crate::fanout;
use crate::fault::{Evidence, Fault, FaultError, Undo};
use crate::faults::disk::Victims;
use crate::faults::{lacking, told};
use crate::option::{OptionEntry, OptionKind};
use crate::scripts;

/// How long a large file may take.
const HARM_WITHIN: Duration = Duration::from_secs(90);

/// The option `live`.
pub(super) const LIVE: OptionEntry = OptionEntry {
    name: "live",
    key: "live",
    kind: OptionKind::Flag,
    default: &["false"],
    about: "while the database runs, instead of killing it for that",
};

/// The option `rebuild`.
pub(super) const REBUILD: OptionEntry = OptionEntry {
    name: "rebuild",
    key: "rebuild",
    kind: OptionKind::Flag,
    default: &["true"],
    about: "whether the member is rebuilt from the others afterwards, where the database can do that",
};

/// How it is undone, in the table.
pub(super) const UNDONE: &str = "not itself: the member is wiped and rebuilt from the others where the database can do that (and `rebuild` is not off); else \
     nothing brings the old bytes back, and the database is only started";

/// What is harmed how.
pub(super) struct Corruption {
    pub(super) victims: Victims,
    harm: Harm,
    files: Option<String>,
    live: bool,
    rebuild: bool,
    agents: BTreeMap<Node, String>,
    seen: Mutex<Seen>,
}

/// What was done and seen.
#[derive(Debug, Clone, Default)]
struct Seen {
    done: Vec<(Node, Done)>,
    looks: Vec<Value>,
    proven: bool,
    database: Value,
}

impl Corruption {
    pub(super) fn new(victims: Victims, harm: Harm, files: Option<String>, live: bool) -> Corruption {
        Corruption { victims, harm, files, live, rebuild: true, agents: BTreeMap::new(), seen: Mutex::default() }
    }

    pub(super) fn rebuilt(self, rebuild: bool) -> Corruption {
        Corruption { rebuild, ..self }
    }

    fn seen(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The patterns of files, the most telling of the database's own where the suite names none.
    fn patterns(&self, db: &dyn Db) -> Result<Vec<String>, FaultError> {
        if let Some(pattern) = &self.files {
            return Ok(vec![pattern.clone()]);
        }
        let files = db.data_files().ok_or_else(|| lacking(self.victims.class, db))?;
        Ok(files.patterns().iter().map(|pattern| (*pattern).to_owned()).collect())
    }

    async fn harm(&self, cluster: &Cluster, db: &dyn Db) -> Result<Vec<(Node, Done)>, FaultError> {
        let patterns = self.patterns(db)?;
        let script = |node: &Node, folder: &str| {
            let at = self.victims.nodes.iter().position(|one| one == node).unwrap_or(0);
            let draw = u64::from(self.victims.draw) << 8 | at as u64;
            let wish = Wish { folder: folder.to_owned(), patterns: patterns.clone(), draw, harm: self.harm.clone() };
            let agent = self.agents.get(node).map_or("", String::as_str);
            agent::command(agent, "files", &[&serde_json::to_string(&wish).unwrap_or_default()])
        };
        let commands = self.victims.scripts(script);
        let commands = commands.into_iter().map(|(node, command)| (node, command.deadline(HARM_WITHIN))).collect();
        let mut done = Vec::new();
        for (node, output) in fanout::run_all(cluster, commands).await? {
            let read = serde_json::from_str(&output.text()).map_err(|error| FaultError::Refused {
                class: self.victims.class.to_owned(),
                node: node.clone(),
                reason: format!("the agent says `{}`: {error}", output.text()),
                hint: "The agent of another version may be there".to_owned(),
            })?;
            done.push((node, read));
        }
        Ok(done)
    }

    /// Looks at the harmed files with the node's own tools.
    async fn look(&self, cluster: &Cluster, done: &[(Node, Done)]) -> Result<(bool, Vec<Value>), FaultError> {
        let places = |done: &Done| -> Vec<u64> {
            let inside = done.changes.iter().map(|change| change.offset);
            inside.filter(|offset| *offset < done.size_after_bytes).take(8).collect()
        };
        let look = |(node, done): &(Node, Done)| {
            (node.clone(), Command::new(scripts::file_look(&done.path, &places(done))).deadline(HARM_WITHIN))
        };
        let answers = fanout::run_all(cluster, done.iter().map(look).collect()).await?;
        let (mut proven, mut looks) = (true, Vec::new());
        for ((node, output), (_, done)) in answers.into_iter().zip(done) {
            let text = output.text();
            let mut lines = text.lines().map(str::trim);
            let (sha256, size) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
            let bytes: Vec<Option<u8>> = lines.map(|line| line.parse().ok()).collect();
            let meant = done.changes.iter().filter(|change| change.offset < done.size_after_bytes).take(8);
            let there = meant.map(|change| Some(change.new_byte)).collect::<Vec<_>>() == bytes;
            let changed = done.sha256_before != done.sha256_after || done.size_before_bytes != done.size_after_bytes;
            // A database that runs may write on: then the bytes themselves count.
            proven &= changed && there && (self.live || sha256 == done.sha256_after);
            looks.push(json!({
                "node": node, "path": done.path, "sha256": sha256, "size_bytes": size.parse::<u64>().ok(), "bytes": bytes,
            }));
        }
        Ok((proven, looks))
    }
}

/// The undo of harm that nothing takes back: a rebuild where the database can do it and that is wanted, else a start.
pub(super) fn repair(
    victims: &Victims,
    rebuild: bool,
    what: &str,
    cluster: &Cluster,
    db: &dyn Db,
) -> Result<Vec<Undo>, FaultError> {
    let files = db.data_files().ok_or_else(|| lacking(victims.class, db))?;
    let mut undo = Vec::new();
    for node in &victims.nodes {
        let handle = fanout::handle(cluster, node)?;
        if let Some(script) = files.rebuild_script(cluster, handle).filter(|_| rebuild) {
            undo.push(Undo::OnNode { node: node.clone(), script });
            continue;
        }
        let reason = format!("{what} on {node}, and {} is not rebuilt from its other members", db.name());
        undo.push(Undo::Irreversible { reason });
        let kill = db.kill().ok_or_else(|| lacking(victims.class, db))?;
        undo.push(Undo::OnNode { node: node.clone(), script: kill.start_script(cluster, handle) });
    }
    Ok(undo)
}

#[async_trait]
impl Fault for Corruption {
    fn class(&self) -> &'static str {
        self.victims.class
    }

    fn label(&self) -> String {
        self.victims.label(if self.live { "live" } else { "" })
    }

    fn nodes(&self) -> Vec<Node> {
        self.victims.nodes.clone()
    }

    fn details(&self) -> Map<String, Value> {
        Map::from_iter([
            ("target".to_owned(), json!(self.victims.target)),
            ("by".to_owned(), json!("a change of a file")),
            ("processes".to_owned(), told(&self.victims.found)),
        ])
    }

    async fn prepare(&mut self, cluster: &Cluster, db: &dyn Db) -> Result<Vec<Undo>, FaultError> {
        self.victims.find(cluster, db).await?;
        self.agents = agent::ensure(cluster, &self.victims.nodes).await?;
        let what = format!("bytes of a file are changed ({})", self.victims.class);
        repair(&self.victims, self.rebuild, &what, cluster, db)
    }

    async fn inject(&self, cluster: &Cluster, db: &dyn Db) -> Result<(), FaultError> {
        if !self.live {
            self.victims.stop(cluster, db).await?;
        }
        let done = self.harm(cluster, db).await?;
        // Looked at before the database is started, which may mend it.
        let (proven, looks) = self.look(cluster, &done).await?;
        *self.seen() = Seen { done, looks, proven, database: Value::Null };
        if !self.live {
            let database = self.victims.start(cluster, db).await?;
            self.seen().database = database;
        }
        Ok(())
    }

    async fn verify_injected(&self, cluster: &Cluster, db: &dyn Db) -> Result<Evidence, FaultError> {
        let running = self.victims.processes(cluster, db).await?;
        let Seen { done, looks, proven, database } = self.seen().clone();
        let done: Vec<Value> = done.iter().map(|(node, done)| json!({ "node": node, "done": done })).collect();
        let measured = json!({
            "harm": self.harm, "files": done, "seen": looks, "database": database, "running": told(&running),
        });
        Ok(Evidence { proven: proven && !done.is_empty(), measured })
    }

    async fn verify_healed(&self, cluster: &Cluster, db: &dyn Db) -> Result<Evidence, FaultError> {
        let (running, processes) = self.victims.await_running(cluster, db, &[]).await?;
        Ok(Evidence { proven: running, measured: json!({ "running": processes, "rebuild": self.rebuild }) })
    }
}
