//! Controllers that die: killed by SIGKILL at any moment, and at each point between ledger, injection, verification and
//! heal, for every fault of the table whose needs this ground meets. After the lease (2 s) every node must be as it was
//! before, by a snapshot; what is foreign (rules, mounts, processes, files) must not have been touched.
//!
//! The test program is its own controller, holder and agent. Ten random moments, all points of partition, kill and pause, and
//! of every other fault one point, another for each; with `SCHISM_TEST_LONG=1` 200 moments and all points of all faults.
//! `SCHISM_TORTURE=pause` tortures one class alone. Faults whose needs are not met, or that cannot be undone, are named. Needs root and
//! what a lab needs; says so and passes without where that is missing.

// Clippy allows these in tests, but does not know a test program without the harness for one.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command as Process, ExitCode, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use schism_cluster::daemon::{DaemonSpec, parse_status, start_script, status_script};
use schism_cluster::ssh::{Auth, Secret};
use schism_cluster::{
    Cluster, Command, Db, DbError, HostKeys, Kill, NodeHandle, Pause, Primaries, ProcessId, SshRemote, SshTarget,
    packages,
};
use schism_generators::Invocation;
use schism_history::{F, Node, Process as Who, Seed, Value};
use schism_lab::{Lab, LabGround, LabSpec};
use schism_nemesis::nemesis::DIE_POINTS;
use schism_nemesis::{
    Claim, ClaimError, FAULTS, FaultEntry, FaultSpec, Intention, Leases, Ledger, Nemesis, NemesisOptions, RunTag, Undo,
    check_needs,
};

const LEASE: Duration = Duration::from_secs(2);
/// After the death of a controller every node must be as before within this time: the lease, a second for its count, an
/// undo that may fail once (a second), the lock of a heal that died with its controller (taken over after 20 s) and the
/// start of a daemon, on a machine that is busy.
const AS_BEFORE_WITHIN: Duration = Duration::from_secs(60);

fn main() -> ExitCode {
    schism_lab::holder_main_if_asked();
    schism_nemesis::agent::main_if_asked();
    let args: Vec<String> = std::env::args().skip(1).collect();
    if let [verb, lab, class, run] = args.as_slice()
        && verb == "controller"
    {
        return controller(lab, class, run);
    }
    if !nix::unistd::geteuid().is_root() {
        println!("torture skipped: a lab needs root");
        return ExitCode::SUCCESS;
    }
    let tree = match packages::fetch_for_nodes(&packages::default_cache(), &[], &mut |line| println!("  {line}")) {
        Ok(tree) => tree,
        Err(error) => {
            println!("torture skipped: {error}");
            return ExitCode::SUCCESS;
        }
    };
    let spec = LabSpec {
        trees: vec![tree.path],
        lease: Some(Duration::from_secs(120)),
        ..LabSpec::new(LabSpec::fresh_id(), 3)
    };
    let lab = schism_lab::up(&spec, &std::env::current_exe().unwrap()).unwrap();
    let good = std::panic::catch_unwind(|| torture(&lab));
    schism_lab::down(&lab).unwrap();
    if good.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn cluster(lab: &Lab) -> Cluster {
    let node = |found: &schism_lab::LabNode| {
        let mut target = SshTarget::new(Node::new(&found.name), &found.address);
        target.user = lab.ssh_user.clone();
        target.auth = vec![Auth::KeyMemory { private: Secret::new(&lab.private_key_openssh), passphrase: None }];
        let key = lab.known_hosts.lines().filter_map(|line| line.split_once(' '));
        let mut key = key.filter(|(hosts, _)| hosts.split(',').any(|host| host == found.name));
        target.host_keys = HostKeys::Known(key.next().unwrap().1.to_owned());
        let remote = Arc::new(SshRemote::new(target));
        NodeHandle { node: Node::new(&found.name), address: found.address.clone(), remote }
    };
    Cluster { nodes: lab.nodes.iter().map(node).collect(), ground: Arc::new(LabGround::new(lab.clone())) }
}

/// A database that is one sleeping daemon a node.
struct Sleeper;

impl Sleeper {
    fn spec() -> DaemonSpec {
        DaemonSpec { state_dir: "/run/torture".to_owned(), ..DaemonSpec::new("torture", ["sleep", "86400"]) }
    }
}

#[async_trait]
impl Db for Sleeper {
    fn name(&self) -> &'static str {
        "sleeper"
    }
    async fn setup(&self, _: &Cluster, _: &NodeHandle) -> Result<(), DbError> {
        Ok(())
    }
    async fn await_ready(&self, _: &Cluster) -> Result<(), DbError> {
        Ok(())
    }
    async fn teardown(&self, _: &Cluster, _: &NodeHandle) -> Result<(), DbError> {
        Ok(())
    }
    async fn version(&self, _: &NodeHandle) -> Result<String, DbError> {
        Ok("1".to_owned())
    }
    fn kill(&self) -> Option<&dyn Kill> {
        Some(self)
    }
    fn pause(&self) -> Option<&dyn Pause> {
        Some(self)
    }
    fn primaries(&self) -> Option<&dyn Primaries> {
        Some(self)
    }
}

#[async_trait]
impl Kill for Sleeper {
    async fn processes(&self, on: &NodeHandle) -> Result<Vec<ProcessId>, DbError> {
        let output = on.remote.output(&Command::new(status_script(&Sleeper::spec()))).await?;
        Ok(parse_status(&output.text()).into_iter().collect())
    }
    fn start_script(&self, _: &Cluster, _: &NodeHandle) -> String {
        start_script(&Sleeper::spec())
    }
}

#[async_trait]
impl Pause for Sleeper {
    async fn processes(&self, on: &NodeHandle) -> Result<Vec<ProcessId>, DbError> {
        Kill::processes(self, on).await
    }
}

#[async_trait]
impl Primaries for Sleeper {
    async fn primaries(&self, cluster: &Cluster) -> Vec<Node> {
        cluster.names().into_iter().take(1).collect()
    }
}

/// The value of an injection of this class, drawn by the number of the run.
fn intention(entry: &'static FaultEntry, run: &str) -> Value {
    let spec = FaultSpec::of(entry).resolved(3, true);
    let mut rng = Seed(run.bytes().map(u64::from).sum()).stream("torture");
    let values = spec.draw(&mut rng).unwrap_or_default();
    Intention::new(entry, values, 7, 60_000).to_value()
}

/// A controller that injects and heals one class again and again, until it is killed (or told to die at a point).
fn controller(lab: &str, class: &str, run: &str) -> ExitCode {
    let lab = schism_lab::find(lab).unwrap();
    schism_lab::enter(&lab).unwrap();
    let entry = schism_nemesis::class::entry(class).unwrap();
    let folder = std::env::temp_dir().join(format!("schism-torture-{}-{run}", lab.id));
    std::fs::create_dir_all(&folder).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let cluster = cluster(&lab);
        let tag = RunTag::new(run);
        let ledger = Ledger::open(&folder.join("faults.jsonl")).unwrap();
        let options = NemesisOptions { lease: LEASE, ..NemesisOptions::new(tag.clone()) };
        let nemesis = Nemesis::new(cluster.clone(), Arc::new(Sleeper), ledger, options, &[class]);
        let claim = Claim::new(&tag, LEASE.as_secs());
        // The claim of the one before is void when its lease is over.
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
                let invocation = Invocation { process: Who::nemesis(class), f, key: None, value };
                let answer = actor.invoke(&invocation, fault_id).await;
                println!("{}", answer.value.to_json());
                if let Some(error) = answer.error {
                    println!("error {}", error.to_json());
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    });
    ExitCode::SUCCESS
}

/// Says everything of a node that a fault may change and that must be as before: of foreign processes number and start
/// time, of the database's its state, and no process of ours. Not looked at: probes that count datagrams, which harm nothing
/// and end by themselves within 30 s.
const SNAPSHOT: &str = r#"PATH="$PATH:/usr/sbin:/sbin"
echo "== rules"; nft list ruleset; iptables -w -S 2>/dev/null; ip6tables -w -S 2>/dev/null
echo "== qdiscs"; tc qdisc show 2>/dev/null; ip route
ip -o addr show | while read -r number link family address rest; do
  [ -z "$address" ] || echo "$link $family $address"
done
echo "== mounts"; cut -d' ' -f2-4 /proc/mounts
echo "== files"; sha256sum /etc/hosts /etc/resolv.conf /etc/passwd 2>/dev/null; ls -la /etc/cron.d /etc/systemd/system 2>/dev/null | grep -i schism
find /var/lib/schism /run/schism -type f ! -path '/run/schism/agent/*' ! -path '/var/lib/schism/agent/*' \
  ! -path '/run/schism/beats/*' ! -path '/run/schism/claim/*' ! -name '*.expired' ! -name guard ! -path '/run/schism/clock/keeper' ! -path '/run/schism/clock/lock' 2>/dev/null | sort
echo "== processes"
for stat in /proc/[0-9]*/stat; do
  pid=${stat#/proc/} pid=${pid%/stat}
  { read -r line <"$stat"; } 2>/dev/null || continue
  words=$(tr '\0\n' '  ' <"/proc/$pid/cmdline" 2>/dev/null) || continue
  set -- ${line##*) }
  case $words in
    'sleep 86400 ') case $1 in T) echo 'the database, stopped' ;; *) echo 'the database' ;; esac ;;
    'sleep 86399 ') echo "foreign $pid ${20} $1" | sed 's/ [RSD]$//' ;;
    *schism-lease*) echo "a watcher: $words" ;;
    *schism*|*stress*) case $words in *schism-node*|schism-*|*sshd*|'perl -e use strict; use Socket'*) ;; *) echo "ours: $words" ;; esac ;;
  esac
done | sort
"#;

struct Place<'a> {
    lab: &'a Lab,
    cluster: Cluster,
    runtime: tokio::runtime::Runtime,
    before: BTreeMap<Node, String>,
}

fn torture(lab: &Lab) {
    let attached = schism_lab::attach(lab).unwrap();
    schism_lab::enter(lab).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let mut place = Place { lab, cluster: cluster(lab), runtime, before: BTreeMap::new() };
    place.on_all(&start_script(&Sleeper::spec()));
    place.on_all(
        "PATH=\"$PATH:/usr/sbin:/sbin\"\nnft add table inet foreign\nnft add table inet schism_like\n\
         nft 'add chain inet foreign input { type filter hook input priority 5; policy accept; }'\n\
         nft add rule inet foreign input tcp dport 9 drop\n\
         mkdir -p /mnt/foreign && mount -t tmpfs foreign /mnt/foreign\necho '10.9.9.9 foreign' >>/etc/hosts\n\
         setsid sleep 86399 </dev/null >/dev/null 2>&1 &\n",
    );
    place.before = place.snapshot();
    let faults = place.possible();
    let long = std::env::var_os("SCHISM_TEST_LONG").is_some();
    let only = std::env::var("SCHISM_TORTURE").ok();
    let faults: Vec<_> =
        faults.into_iter().filter(|entry| only.as_ref().is_none_or(|name| name == entry.name)).collect();
    for (number, entry) in faults.iter().enumerate() {
        let whole = long || only.is_some() || ["partition", "kill", "pause"].contains(&entry.name);
        let points = DIE_POINTS.iter().enumerate();
        for (_, point) in points.filter(|(place, _)| whole || *place == number % DIE_POINTS.len()) {
            place.dies_at(entry, point);
        }
    }
    let mut rng = Seed(u64::from(std::process::id())).stream("moments");
    println!("random moments with seed {}", std::process::id());
    for number in 0..if long { 200 } else { 10 } {
        let entry = faults[schism_nemesis::draw::below(&mut rng, faults.len() as u64) as usize];
        let moment = Duration::from_millis(schism_nemesis::draw::below(&mut rng, 3_000));
        place.dies_after(entry, moment, number);
    }
    drop(attached);
}

impl Place<'_> {
    fn on_all(&self, script: &str) -> Vec<(Node, String)> {
        let commands = self.cluster.names().into_iter().map(|node| (node, Command::new(script))).collect();
        let answers = self.runtime.block_on(schism_nemesis::fanout::run_all(&self.cluster, commands)).unwrap();
        answers.into_iter().map(|(node, output)| (node, output.text())).collect()
    }

    fn snapshot(&self) -> BTreeMap<Node, String> {
        self.on_all(SNAPSHOT).into_iter().collect()
    }

    /// Faults that can be done and undone here; the others are named.
    fn possible(&self) -> Vec<&'static FaultEntry> {
        let mut possible = Vec::new();
        for entry in FAULTS {
            let spec = FaultSpec::of(entry).resolved(3, true);
            if let Err(unmet) = self.runtime.block_on(check_needs(&[spec], &self.cluster, &Sleeper)) {
                println!("not here: {}: {}", entry.name, unmet[0].reason);
                continue;
            }
            if ["reboot", "power-cut"].contains(&entry.name) {
                println!(
                    "not tortured: {}: a node that starts anew has lost what was foreign, by no fault of ours",
                    entry.name
                );
                continue;
            }
            if let Some(reason) = self.irreversible(entry) {
                println!("not tortured: {}: {reason}", entry.name);
                continue;
            }
            possible.push(*entry);
        }
        assert!(possible.len() >= 3, "partition, kill and pause at least");
        possible
    }

    fn irreversible(&self, entry: &'static FaultEntry) -> Option<String> {
        let intention = Intention::from_value(entry.name, &intention(entry, "probe")).unwrap();
        let nodes = self.cluster.names();
        let view = schism_nemesis::View { primaries: vec![nodes[0].clone()], nodes, ..Default::default() };
        let mut fault = match intention.decide(&view, &RunTag::new("probe"), 1) {
            Ok(fault) => fault,
            Err(error) => return Some(error.to_string()),
        };
        match self.runtime.block_on(fault.prepare(&self.cluster, &Sleeper)) {
            Ok(undo) => undo.into_iter().find_map(|one| match one {
                Undo::Irreversible { reason } => Some(format!("it cannot be undone: {reason}")),
                _ => None,
            }),
            Err(error) => Some(error.to_string()),
        }
    }

    fn start(&self, entry: &FaultEntry, run: &str, die_at: Option<&str>) -> Child {
        let mut command = Process::new(std::env::current_exe().unwrap());
        command.args(["controller", &self.lab.id, entry.name, run]).stdin(Stdio::null()).stdout(Stdio::piped());
        match die_at {
            Some(point) => command.env("SCHISM_DIE_AT", point),
            None => command.env_remove("SCHISM_DIE_AT"),
        };
        command.spawn().unwrap()
    }

    fn dies_at(&self, entry: &'static FaultEntry, point: &str) {
        let run = format!("p{}{}", point.len(), entry.name.len());
        let begun = Instant::now();
        let mut child = self.start(entry, &run, Some(point));
        let end = Instant::now() + Duration::from_secs(60);
        let status = loop {
            match child.try_wait().unwrap() {
                Some(status) => break status,
                None if Instant::now() > end => {
                    child.kill().unwrap();
                    child.wait().unwrap();
                    panic!("{} never came to {point}", entry.name);
                }
                None => std::thread::sleep(Duration::from_millis(20)),
            }
        };
        let signal = std::os::unix::process::ExitStatusExt::signal(&status);
        assert_eq!(signal, Some(9), "{} at {point}: {status}", entry.name);
        self.is_as_before(&format!("{} {point}", entry.name), &run, begun.elapsed());
    }

    fn dies_after(&self, entry: &'static FaultEntry, moment: Duration, number: usize) {
        let run = format!("r{number}");
        let mut child = self.start(entry, &run, None);
        let mut first = String::new();
        let mut said = BufReader::new(child.stdout.take().unwrap());
        said.read_line(&mut first).unwrap();
        assert_eq!(first.trim(), "claimed");
        std::thread::sleep(moment);
        child.kill().unwrap();
        child.wait().unwrap();
        self.is_as_before(&format!("{} killed after {moment:?}", entry.name), &run, moment);
    }

    /// Waits until every node is as before, and tells how long that took.
    fn is_as_before(&self, what: &str, run: &str, lived: Duration) {
        let died = Instant::now();
        let mut last = Vec::new();
        loop {
            let now = self.snapshot();
            if now == self.before {
                break;
            }
            let lines = |(node, text): (&Node, &String)| {
                let found = diff(&self.before[node], text).into_iter();
                found.map(|line| format!("{node} {line}")).collect::<Vec<_>>()
            };
            last = now.iter().flat_map(lines).collect();
            if died.elapsed() > AS_BEFORE_WITHIN {
                last.iter().for_each(|line| println!("  {line}"));
                panic!("{what}: the nodes are not as before after {AS_BEFORE_WITHIN:?}");
            }
            std::thread::sleep(Duration::from_millis(200));
        }
        if died.elapsed() > AS_BEFORE_WITHIN / 3 {
            println!("slow, last of all: {last:?}");
        }
        println!("ok {what} (lived {lived:.1?}): as before after {:.1?}", died.elapsed());
        let _ = std::fs::remove_dir_all(std::env::temp_dir().join(format!("schism-torture-{}-{run}", self.lab.id)));
    }
}

/// Lines that only one of two texts has.
fn diff(before: &str, after: &str) -> Vec<String> {
    let missing = |from: &str, of: &str, sign: char| -> Vec<String> {
        of.lines().filter(|line| !from.lines().any(|one| one == *line)).map(|line| format!("{sign} {line}")).collect()
    };
    [missing(after, before, '-'), missing(before, after, '+')].concat()
}
