//! One lab and the jobs that are done in it, one after the other; a process of its own, as who entered a lab's network
//! cannot leave it.
//!
//! It reads jobs from standard input, a line each, and answers each with lines for a person and at last `done SECONDS` (from
//! the controller's death to a node as before) or `failed`. After a failure it ends: its nodes may be in any state.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufRead;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::{Child, Command as Process, ExitCode, Stdio};
use std::time::{Duration, Instant};

use schism_cluster::{Cluster, Command, GroundAction, packages};
use schism_history::Node;
use schism_lab::{Lab, LabSpec, NetworkKind};
use schism_nemesis::fanout::{self, Part};
use schism_nemesis::{FAULTS, FaultEntry, FaultSpec, Leases, check_needs, claim, heal_all, ledger};

use crate::controller;
use crate::database::{self, Sleeper};
use crate::snapshot::{self, FOREIGN, Seen, diff, without_database};

/// After the death of a controller every node must be as before within this time: the lease, a second for its count, an
/// undo that may fail once, and the start of a daemon or of a node, on a machine that is busy.
const AS_BEFORE_WITHIN: Duration = Duration::from_secs(80);

/// A lab, its nodes and how they were.
pub struct Place {
    pub lab: Lab,
    pub cluster: Cluster,
    pub runtime: tokio::runtime::Runtime,
    /// After a boot: nothing that is foreign but what is on disk; the database runs.
    bare: BTreeMap<Node, String>,
    /// With all that is foreign.
    pub before: BTreeMap<Node, Seen>,
}

/// `lane cables|switch looks|trusts`.
pub fn main(network: &str, looks: bool) -> ExitCode {
    let tree = packages::fetch_for_nodes(&packages::default_cache(), &[], &mut |_| {}).unwrap();
    let network = if network == "switch" { NetworkKind::Switch } else { NetworkKind::Cables };
    let spec = LabSpec {
        trees: vec![tree.path],
        lease: Some(Duration::from_secs(60)),
        network,
        ..LabSpec::new(LabSpec::fresh_id(), 3)
    };
    let lab = schism_lab::up(&spec, &std::env::current_exe().unwrap()).unwrap();
    let good = catch_unwind(|| work(&lab, looks)).unwrap_or(false);
    schism_lab::down(&lab).unwrap();
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn work(lab: &Lab, looks: bool) -> bool {
    let _attached = schism_lab::attach(lab).unwrap();
    schism_lab::enter(lab).unwrap();
    let mut place = Place::make(lab);
    for entry in FAULTS.iter().filter(|_| looks) {
        match place.obstacle(entry) {
            None => println!("possible {}", entry.name),
            Some(reason) => println!("not-here {} {}", entry.name, reason.replace('\n', " ")),
        }
    }
    println!("ready");
    for line in std::io::stdin().lock().lines() {
        let line = line.unwrap();
        let words: Vec<&str> = line.split(' ').collect();
        let run = format!("{}{}", lab.id, words[0]);
        match catch_unwind(AssertUnwindSafe(|| place.job(&run, &words[1..]))) {
            Ok(lasted) => println!("done {}", lasted.as_secs_f64()),
            Err(_) => {
                println!("failed");
                return false;
            }
        }
        let _ = std::fs::remove_dir_all(controller::folder(&run));
        place.make_foreign();
    }
    true
}

impl Place {
    fn make(lab: &Lab) -> Place {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let cluster = controller::cluster(lab, Duration::from_secs(4));
        let mut place = Place { lab: lab.clone(), cluster, runtime, bare: BTreeMap::new(), before: BTreeMap::new() };
        place.on_all("echo '10.9.9.9 foreign' >>/etc/hosts");
        let reboot = |node: Node| -> Part<'_, _> {
            let ground = &place.cluster.ground;
            Box::pin(async move { ground.act(&GroundAction::Reboot { node }).await.unwrap() })
        };
        place.runtime.block_on(fanout::all(place.cluster.names().into_iter().map(reboot).collect()));
        place.on_all(&database::start());
        let runs = |text: &str| text.contains("db: its clock is right");
        let bare = place.seen_when("the database runs", |seen| runs(&seen.text));
        place.bare = bare.into_iter().map(|(node, seen)| (node, seen.text)).collect();
        place.make_foreign();
        place
    }

    /// Does a job; how long it took from the death of the controller until every node was as before.
    fn job(&mut self, run: &str, words: &[&str]) -> Duration {
        std::fs::create_dir_all(controller::folder(run)).unwrap();
        let entry = schism_nemesis::class::entry(words[1]).unwrap();
        match words {
            ["point", _, point] => self.dies_at(entry, point, run),
            ["moment", _, ms] => self.dies_after(entry, Duration::from_millis(ms.parse().unwrap()), run),
            ["ground", _, deed, who] => self.ground_fails(entry, deed, *who == "killed", run),
            ["ssh", _, how] => self.ssh_fails(entry, how, run),
            _ => panic!("no such job: {words:?}"),
        }
    }

    pub fn act(&self, action: &GroundAction) {
        self.runtime.block_on(self.cluster.ground.act(action)).unwrap();
    }

    pub fn on_all(&self, script: &str) {
        let commands = self.cluster.names().into_iter().map(|node| (node, Command::new(script))).collect();
        self.runtime.block_on(fanout::run_all(&self.cluster, commands)).unwrap();
    }

    pub fn snapshot(&self) -> BTreeMap<Node, Result<Seen, String>> {
        self.runtime.block_on(snapshot::take(&self.cluster, &self.lab.id))
    }

    /// Waits until every node is seen, and as wanted.
    fn seen_when(&self, what: &str, wanted: impl Fn(&Seen) -> bool) -> BTreeMap<Node, Seen> {
        let end = Instant::now() + Duration::from_secs(60);
        loop {
            let now = self.snapshot();
            if now.values().all(|seen| seen.as_ref().is_ok_and(&wanted)) {
                return now.into_iter().filter_map(|(node, seen)| Some((node, seen.ok()?))).collect();
            }
            assert!(Instant::now() < end, "{what}: not on all nodes: {now:?}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Makes what is foreign where a reboot took it away, and what is expected of now on. Nobody has the cluster any more.
    fn make_foreign(&mut self) {
        let boots = self.snapshot();
        let same = |(node, seen): (&Node, &Result<Seen, String>)| {
            let (Ok(seen), Some(before)) = (seen, self.before.get(node)) else { return false };
            seen.boot == before.boot
        };
        if boots.len() != self.before.len() || !boots.iter().all(same) {
            self.on_all(&format!("( {} )\n{FOREIGN}", database::start()));
            let good = |text: &str| text.contains("db: its clock is right") && text.contains("foreign");
            self.before = self.seen_when("what is foreign is there", |seen| good(&seen.text));
        }
        // As `schism halt` does: who comes next need not wait for the end of the last one's lease.
        let (_, errors) = self.runtime.block_on(claim::break_claims(&self.cluster, &Leases::default()));
        assert!(errors.is_empty(), "{errors:?}");
    }

    /// Why a fault cannot be tortured here.
    fn obstacle(&self, entry: &'static FaultEntry) -> Option<String> {
        let spec = FaultSpec::of(entry).resolved(3, true);
        let db = Sleeper { rebuilds: true };
        let met = self.runtime.block_on(check_needs(&[spec], &self.cluster, &db));
        met.err().map(|unmet| unmet[0].reason.clone())
    }

    /// Starts a controller; what it says goes into a file of its folder.
    pub fn start(&self, entry: &FaultEntry, run: &str, way: &str, die_at: Option<&str>) -> Child {
        let said = File::create(controller::folder(run).join("said")).unwrap();
        let mut command = Process::new(std::env::current_exe().unwrap());
        command.args(["controller", &self.lab.id, entry.name, run, way]);
        command.stdin(Stdio::piped()).stderr(said.try_clone().unwrap()).stdout(said);
        match die_at {
            Some(point) => command.env("SCHISM_DIE_AT", point),
            None => command.env_remove("SCHISM_DIE_AT"),
        };
        command.spawn().unwrap()
    }

    /// What a controller said so far.
    pub fn said(&self, run: &str) -> String {
        std::fs::read_to_string(controller::folder(run).join("said")).unwrap_or_default()
    }

    /// Waits until a controller says a line that begins so.
    pub fn await_line(&self, run: &str, child: &mut Child, line: &str, within: Duration) {
        let end = Instant::now() + within;
        while !self.said(run).lines().any(|said| said.starts_with(line)) {
            if Instant::now() > end || child.try_wait().unwrap().is_some() {
                kill(child);
                panic!("the controller never said `{line}`; it said:\n{}", self.said(run));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn dies_at(&self, entry: &'static FaultEntry, point: &str, run: &str) -> Duration {
        let begun = Instant::now();
        let mut child = self.start(entry, run, "loop", Some(point));
        let end = Instant::now() + Duration::from_secs(90);
        let status = loop {
            match child.try_wait().unwrap() {
                Some(status) => break status,
                None if Instant::now() > end => {
                    kill(&mut child);
                    panic!("{} never came to {point}; it said:\n{}", entry.name, self.said(run));
                }
                None => std::thread::sleep(Duration::from_millis(10)),
            }
        };
        let signal = std::os::unix::process::ExitStatusExt::signal(&status);
        assert_eq!(signal, Some(9), "{} at {point}: {status}; it said:\n{}", entry.name, self.said(run));
        self.await_as_before(&format!("{} {point}", entry.name), begun.elapsed(), run, true)
    }

    fn dies_after(&self, entry: &'static FaultEntry, moment: Duration, run: &str) -> Duration {
        let mut child = self.start(entry, run, "loop", None);
        self.await_line(run, &mut child, "claimed", Duration::from_secs(90));
        std::thread::sleep(moment);
        kill(&mut child);
        self.await_as_before(&format!("{} killed after {moment:?}", entry.name), moment, run, true)
    }

    /// Waits until every node is as before, and tells how long that took. A node that was booted meanwhile has lost what was
    /// foreign and lived in memory, by no fault of ours; `database`: also the database must run there again.
    pub fn await_as_before(&self, what: &str, lived: Duration, run: &str, database: bool) -> Duration {
        let since = Instant::now();
        loop {
            let now = self.snapshot();
            let mut wrong: Vec<String> = now.iter().flat_map(|(node, seen)| self.wrong(node, seen, database)).collect();
            // What is done to links from outside is not seen on a node.
            let kept = self.runtime.block_on(self.cluster.ground.leases()).unwrap();
            wrong.extend(kept.iter().map(|(lease, _)| format!("the ground still has to undo {}", lease.label)));
            if wrong.is_empty() {
                break;
            }
            if since.elapsed() > AS_BEFORE_WITHIN {
                println!("{what}: the nodes are not as before after {AS_BEFORE_WITHIN:?}:");
                wrong.iter().for_each(|line| println!("  {line}"));
                println!("the controller had said:\n{}", self.said(run));
                panic!("the nodes are not as before");
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        let lasted = since.elapsed();
        println!("ok {what} (lived {lived:.1?}): as before after {lasted:.1?}");
        lasted
    }

    /// What is not as before on a node.
    fn wrong(&self, node: &Node, seen: &Result<Seen, String>, database: bool) -> Vec<String> {
        let seen = match seen {
            Ok(seen) => seen,
            Err(error) => return vec![format!("{node} ? {error}")],
        };
        let before = &self.before[node];
        let (expected, found) = match seen.boot == before.boot {
            true => (before.text.clone(), seen.text.clone()),
            false if database => (self.bare[node].clone(), seen.text.clone()),
            false => (without_database(&self.bare[node]), without_database(&seen.text)),
        };
        if expected == found {
            return Vec::new();
        }
        let mut wrong: Vec<String> = diff(&expected, &found).into_iter().map(|line| format!("{node} {line}")).collect();
        if wrong.is_empty() {
            wrong.push(format!("{node}: the same lines in another order"));
        }
        wrong
    }

    /// What `schism heal` does with the ledger of a run.
    pub fn heal_by_ledger(&self, run: &str) {
        let path = controller::folder(run).join("faults.jsonl");
        let healed = self.runtime.block_on(heal_all(&path, &self.cluster, &Leases::default())).unwrap();
        assert_eq!(healed.trouble(), Vec::<String>::new());
    }

    /// Faults that the ledger of a run does not call healed.
    pub fn outstanding(&self, run: &str) -> Vec<ledger::Entry> {
        let text = ledger::read(&controller::folder(run).join("faults.jsonl")).unwrap();
        ledger::outstanding(&text.entries)
    }
}

/// Kills a controller as nothing can prepare it for.
pub fn kill(child: &mut Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}
