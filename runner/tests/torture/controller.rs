//! The controller that is killed: the test program again, as a process of its own.

use std::io::BufRead;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use schism_cluster::ssh::{Auth, Secret};
use schism_cluster::{Cluster, HostKeys, NodeHandle, SshRemote, SshTarget};
use schism_generators::Invocation;
use schism_history::{F, Node, Process, Seed, Value};
use schism_lab::{Lab, LabGround};
use schism_nemesis::{
    Claim, ClaimError, FaultEntry, FaultSpec, Intention, Leases, Ledger, Nemesis, NemesisOptions, RunTag,
};

use crate::database::Sleeper;

/// The lease of every fault.
pub const LEASE: Duration = Duration::from_secs(4);

/// The nodes of a lab over SSH, each within this time or not at all.
pub fn cluster(lab: &Lab, connect_timeout: Duration) -> Cluster {
    let node = |found: &schism_lab::LabNode| {
        let mut target = SshTarget::new(Node::new(&found.name), &found.address);
        target.user = lab.ssh_user.clone();
        target.auth = vec![Auth::KeyMemory { private: Secret::new(&lab.private_key_openssh), passphrase: None }];
        target.connect_timeout = connect_timeout;
        let key = lab.known_hosts.lines().filter_map(|line| line.split_once(' '));
        let mut key = key.filter(|(hosts, _)| hosts.split(',').any(|host| host == found.name));
        target.host_keys = HostKeys::Known(key.next().unwrap().1.to_owned());
        let remote = Arc::new(SshRemote::new(target));
        NodeHandle { node: Node::new(&found.name), address: found.address.clone(), remote }
    };
    Cluster { nodes: lab.nodes.iter().map(node).collect(), ground: Arc::new(LabGround::new(lab.clone())) }
}

/// Where a controller of this run keeps its ledger and what it says (`said`).
pub fn folder(run: &str) -> std::path::PathBuf {
    std::env::temp_dir().join(format!("schism-torture-{run}"))
}

/// Whether the database of this run knows how to be rebuilt: in every other one.
fn rebuilds(run: &str) -> bool {
    run.bytes().last().is_some_and(|last| last % 2 == 0)
}

/// The value of an injection of this class, drawn by the name of the run.
pub fn intention(entry: &'static FaultEntry, run: &str) -> Value {
    let spec = FaultSpec::of(entry).resolved(3, true);
    let mut rng = Seed(run.bytes().fold(7, |seed, byte| seed * 31 + u64::from(byte))).stream("torture");
    let values = spec.draw(&mut rng).unwrap_or_default();
    Intention::new(entry, values, 7, 60_000).to_value()
}

/// `controller LAB CLASS RUN loop|hold`: injects and heals a class again and again until it is killed (or told to die at a
/// point); or injects once, says `on`, heals everything when it is told so (a line on standard input), and ends.
pub fn main(lab: &str, class: &str, run: &str, way: &str) -> ExitCode {
    let lab = schism_lab::find(lab).unwrap();
    schism_lab::enter(&lab).unwrap();
    let entry = schism_nemesis::class::entry(class).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let hold = way == "hold";
        let cluster = cluster(&lab, Duration::from_secs(if hold { 2 } else { 10 }));
        let tag = RunTag::new(run);
        let ledger = Ledger::open(&folder(run).join("faults.jsonl")).unwrap();
        let options = NemesisOptions { lease: LEASE, ..NemesisOptions::new(tag.clone()) };
        let db = Arc::new(Sleeper { rebuilds: rebuilds(run) });
        let nemesis = Nemesis::new(cluster.clone(), db, ledger, options, &[class]);
        let claim = Claim::new(&tag, LEASE.as_secs());
        // That of the one before is void when its lease is over.
        let end = Instant::now() + Duration::from_secs(20);
        while let Err(error) = claim.take(&cluster, &Leases::default()).await {
            assert!(matches!(error, ClaimError::Held(_)) && Instant::now() < end, "{error}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        println!("claimed");
        nemesis.keep_alive(Some(&claim));
        let actor = nemesis.actor(class).unwrap();
        for fault_id in 1.. {
            for (f, value) in [(F::Inject, intention(entry, run)), (F::Heal, Value::Nil)] {
                let is_heal = f == F::Heal;
                if hold && is_heal {
                    println!("on");
                    std::io::stdin().lock().read_line(&mut String::new()).unwrap();
                }
                let invocation = Invocation { process: Process::nemesis(class), f, key: None, value };
                let answer = actor.invoke(&invocation, fault_id).await;
                println!("{} {}", if is_heal { "healed" } else { "injected" }, answer.value.to_json());
                if let Some(error) = answer.error {
                    println!("error {}", error.to_json());
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            if hold {
                break;
            }
        }
        nemesis.heal_everything().await.iter().for_each(|line| println!("trouble {line}"));
        nemesis.rest().await.iter().for_each(|line| println!("trouble {line}"));
        claim.release(&cluster, &Leases::default()).await.iter().for_each(|line| println!("trouble {line}"));
        println!("end");
    });
    ExitCode::SUCCESS
}
