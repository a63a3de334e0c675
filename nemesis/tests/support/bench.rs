//! The recording bench: nodes, a ground and a database that only remember what they were told, and a nemesis over them; for
//! the golden tests of all families.

use std::path::PathBuf;
use std::sync::Arc;

use schism_cluster::script::{Deed, Log, ScriptedGround, scripted_cluster};
use schism_cluster::{Ability, Cluster, Command};
use schism_generators::Invocation;
use schism_history::{F, Process, Value};
use schism_nemesis::{
    Answer, FAULTS, Fault, FaultError, Intention, Ledger, Nemesis, NemesisOptions, RunTag, Undo, View, scripts,
};
use serde_json::{Value as Json, json};

use super::golden::StandIn;

/// Nodes, ground and database that remember what they were told, and a nemesis of all classes (run `k3f9`).
pub struct Bench {
    pub folder: tempfile::TempDir,
    pub cluster: Cluster,
    pub log: Arc<Log>,
    pub ground: Arc<ScriptedGround>,
    pub db: Arc<StandIn>,
    pub nemesis: Arc<Nemesis>,
}

/// The number of every fault of a bench.
const FAULT_ID: u32 = 3;

impl Bench {
    /// Of these nodes (`n1` has the address 10.0.0.1...), and a ground that can do this.
    pub fn new(names: &[&str], abilities: &[Ability], db: StandIn) -> Bench {
        let folder = tempfile::tempdir().expect("the set-up of a test");
        let (mut cluster, log) = scripted_cluster(names);
        let ground = ScriptedGround::new(abilities);
        cluster.ground = ground.clone();
        let ledger = Ledger::open(&folder.path().join("faults.jsonl")).expect("the set-up of a test");
        let classes: Vec<&str> = FAULTS.iter().map(|entry| entry.name).collect();
        let (db, options) = (Arc::new(db), NemesisOptions::new(RunTag::new("k3f9")));
        let nemesis = Nemesis::new(cluster.clone(), Arc::clone(&db) as _, ledger, options, &classes);
        Bench { folder, cluster, log, ground, db, nemesis }
    }

    /// One of them speaks IPv6.
    pub fn with_address(mut self, place: usize, address: &str) -> Bench {
        self.cluster.nodes[place].address = address.to_owned();
        self
    }

    /// Where its ledger is.
    pub fn ledger(&self) -> PathBuf {
        self.folder.path().join("faults.jsonl")
    }

    pub async fn inject(&self, class: &str, intention: Json) -> Answer {
        self.invoke(class, F::Inject, Value::from_json(&intention)).await
    }

    pub async fn heal(&self, class: &str) -> Answer {
        self.invoke(class, F::Heal, Value::Nil).await
    }

    pub async fn invoke(&self, class: &str, f: F, value: Value) -> Answer {
        let invocation = Invocation { process: Process::nemesis(class), f, key: None, value };
        self.nemesis.actor(class).expect("a class").invoke(&invocation, FAULT_ID).await
    }

    /// A fault without its nemesis.
    pub fn fault(&self, class: &str, mut intention: Json) -> Result<Box<dyn Fault>, Box<FaultError>> {
        intention["duration_ms"] = json!(8000);
        let view = View { nodes: self.cluster.names(), ..View::default() };
        let intention = Intention::from_value(class, &Value::from_json(&intention)).expect("the set-up of a test");
        intention.decide(&view, &RunTag::new("k3f9"), FAULT_ID).map_err(Box::new)
    }

    /// The same, prepared.
    pub async fn prepared(&self, class: &str, intention: Json) -> Result<(Box<dyn Fault>, Vec<Undo>), FaultError> {
        let mut fault = self.fault(class, intention).map_err(|error| *error)?;
        let undo = fault.prepare(&self.cluster, &*self.db).await?;
        Ok((fault, undo))
    }

    /// Everything that the nodes were told, in order, with standard input in full but for the last line of an undo, and then what
    /// the ground was. `shown` says a script as it is, or names it only: probes, what another test has, what is another in
    /// every build.
    pub fn told(&self, shown: impl Fn(&Command) -> String) -> String {
        let mut text = String::new();
        for entry in self.log.entries() {
            let Deed::Run(command) = entry.deed else { continue };
            let user = format!("{:?}", command.user).to_lowercase();
            text += &format!("=== {} as {user}\n{}\n", entry.node, shown(&command).trim_end());
            if !command.stdin.is_empty() {
                let stdin = String::from_utf8_lossy(&command.stdin);
                let undo = stdin.strip_suffix(&scripts::whole("")).unwrap_or(&stdin);
                text += &format!("--- standard input\n{}\n", undo.trim_end());
            }
        }
        let ground = self.ground.lines();
        if ground.is_empty() { text } else { format!("{text}=== the ground\n{}\n", ground.join("\n")) }
    }
}

/// An undo as text.
pub fn told_undo(undo: &Undo) -> String {
    match undo {
        Undo::OnNode { node, script } => format!("=== undo on {node}\n{script}"),
        Undo::OnGround { action } => format!("=== undo by the ground: {action}\n"),
        other => format!("=== {other:?}\n"),
    }
}
