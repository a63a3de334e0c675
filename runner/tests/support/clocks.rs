//! What the tests of clock faults share: a lab of three nodes with etcd, and a nemesis.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use schism::ground::{Ready, enter};
use schism_cluster::{Cluster, Command, Db};
use schism_generators::Invocation;
use schism_history::{F, Node, Process, Value};
use schism_lab::Lab;
use schism_nemesis::{Ledger, Nemesis, NemesisOptions, RunTag};
use schism_tests_suites::etcd::{Etcd, EtcdOptions};
use serde_json::{Value as Json, json};

pub type Running<'a> = Pin<Box<dyn Future<Output = ()> + 'a>>;
pub type Case = (&'static str, for<'a> fn(&'a Bench) -> Running<'a>);

/// None may take longer, so that a hanging one is named.
const CASE_MAX: Duration = Duration::from_secs(120);

/// The lab goes with this, or with its lease.
pub struct Bench {
    pub ready: Ready,
    pub db: Arc<Etcd>,
    pub nemesis: Arc<Nemesis>,
    pub ledger: PathBuf,
    folder: tempfile::TempDir,
}

impl Drop for Bench {
    fn drop(&mut self) {
        if let Some(lab) = &self.ready.lab {
            schism_lab::down(lab).unwrap();
        }
    }
}

/// Runs cases in order, on a lab that was made while the process had one thread.
pub fn main(lab: Lab, cases: &[Case]) -> ExitCode {
    let ready = enter(lab, &[], true).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let mut bench = runtime.block_on(Bench::new(ready));
    let filters: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    let mut failed = 0;
    for (name, case) in cases.iter().filter(|(name, _)| filters.is_empty() || filters.iter().any(|f| name.contains(f)))
    {
        let begin = Instant::now();
        bench.renew();
        let all = async { tokio::time::timeout(CASE_MAX, case(&bench)).await.expect("it ends in time") };
        let good = catch_unwind(AssertUnwindSafe(|| runtime.block_on(all))).is_ok();
        let left = runtime.block_on(bench.nemesis.heal_everything());
        let good = good && left.is_empty();
        left.iter().for_each(|line| println!("  {line}"));
        println!("test {name} ... {} ({:?})", if good { "ok" } else { "FAILED" }, begin.elapsed());
        failed += usize::from(!good);
    }
    println!("{failed} failed");
    drop(bench);
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

impl Bench {
    async fn new(ready: Ready) -> Bench {
        let db = Arc::new(Etcd::new(EtcdOptions::default()).unwrap());
        for handle in &ready.cluster.nodes {
            db.setup(&ready.cluster, handle).await.unwrap();
        }
        db.await_ready(&ready.cluster).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let (nemesis, ledger) = nemesis(&ready.cluster, &db, folder.path());
        Bench { ready, db, nemesis, ledger, folder }
    }

    /// A nemesis that was never halted, with an empty ledger.
    fn renew(&mut self) {
        self.folder = tempfile::tempdir().unwrap();
        (self.nemesis, self.ledger) = nemesis(&self.ready.cluster, &self.db, self.folder.path());
    }

    pub fn cluster(&self) -> &Cluster {
        &self.ready.cluster
    }

    /// Injects; answers what was told, which must be without error and proven.
    pub async fn inject(&self, class: &str, mut value: Json) -> Json {
        value["duration_ms"] = json!(60_000);
        let told = self.invoke(class, F::Inject, Value::from_json(&value)).await;
        println!("  {class} {} {}", told["mechanism"], told["evidence"]);
        assert_eq!(told["evidence"]["proven"], true, "{told}");
        told
    }

    /// Heals; the harm must be gone.
    pub async fn heal(&self, class: &str) -> Json {
        let told = self.invoke(class, F::Heal, Value::Nil).await;
        println!("  {class} healed {}", told["evidence"]);
        assert_eq!(told["evidence"]["proven"], true, "{told}");
        told
    }

    async fn invoke(&self, class: &str, f: F, value: Value) -> Json {
        let id = if f == F::Inject { next() } else { 0 };
        let invocation = Invocation { process: Process::nemesis(class), f, key: None, value };
        let answer = self.nemesis.actor(class).unwrap().invoke(&invocation, id).await;
        assert_eq!(answer.error, None, "{answer:?}");
        answer.value.to_json()
    }

    /// What a script says on a node.
    pub async fn on(&self, node: &str, script: &str) -> String {
        let handle = self.cluster().get(&Node::new(node)).unwrap();
        handle.remote.run(&Command::new(script)).await.unwrap().text()
    }
}

fn next() -> u32 {
    static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(1);
    NEXT.fetch_add(1, std::sync::atomic::Ordering::SeqCst)
}

fn nemesis(cluster: &Cluster, db: &Arc<Etcd>, folder: &Path) -> (Arc<Nemesis>, PathBuf) {
    let path = folder.join("faults.jsonl");
    let options = NemesisOptions { lease: Duration::from_secs(60), ..NemesisOptions::new(RunTag::new("clk")) };
    let classes = ["kill", "pause", "clock-jump", "clock-strobe", "clock-drift"];
    let ledger = Ledger::open(&path).unwrap();
    (Nemesis::new(cluster.clone(), Arc::clone(db) as _, ledger, options, &classes), path)
}
