//! Network faults in a real lab: each is injected and healed by the nemesis, is seen to come and to go with measured
//! values inside a stated tolerance, and leaves every node as it was.
//!
//! `SCHISM_TEST_LAB=ID` takes a lab of four nodes that is there (virtual machines, say: `schism lab up --vms 4`) in place of
//! one of its own; packets are then shaped by the nodes' netem, and what only a switch can do is left out by name.
//!
//! Needs root, TAP devices, iproute2 and the packages of the nodes (from the cache or the distribution's archive); says so
//! where they are missing. The test program is the holder of its own lab and its own agent, hence its own `main`.

// Clippy allows these in tests, but does not know a test program without the harness for one.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use schism::ground::{Ready, enter};
use schism_cluster::{Cluster, Command, Db, DbError, NoGround, NodeHandle, packages};
use schism_generators::Invocation;
use schism_history::{F, Node, Process, Value};
use schism_lab::{LabSpec, NetworkKind, holder_main_if_asked, up};
use schism_nemesis::{FaultSpec, Ledger, Nemesis, NemesisOptions, RunTag, agent, check_needs, scripts};
use serde_json::{Value as Json, json};

/// None may take longer, so that a hanging one is named.
const CASE_MAX: Duration = Duration::from_secs(240);
/// In a lab that is there, which may be of slow virtual machines.
const CASE_MAX_ELSEWHERE: Duration = Duration::from_secs(300);

type Running<'a> = Pin<Box<dyn Future<Output = ()> + 'a>>;
type Case = (&'static str, for<'a> fn(&'a Place) -> Running<'a>);

macro_rules! cases {
    ($($case:ident),* $(,)?) => {
        &[$((stringify!($case), |place| Box::pin($case(place)))),*]
    };
}

const CASES: &[Case] = cases!(
    needs_are_met,
    partitions_of_every_kind,
    a_partition_of_a_port_cuts_nothing_else,
    what_is_rejected_is_told_at_once,
    a_flapping_link_passes_in_part,
    clients_are_cut_off_and_we_stay_logged_in,
    over_ipv6_as_well,
    by_iptables_as_well,
    open_connections_are_reset,
    open_connections_of_a_port_are_reset,
    names_fail_lag_and_lie,
    names_that_somebody_else_changed_keep_that,
    packets_are_shaped_by_the_switch,
    what_is_held_is_let_go,
    rates_are_limited_on_the_node,
    shapes_of_a_node_add_up_and_go_alone,
    one_fault_does_not_hide_the_heal_of_another,
);

fn main() -> ExitCode {
    holder_main_if_asked();
    agent::main_if_asked();
    let filters: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    let place = match Place::make() {
        Ok(place) => place,
        Err(reason) => {
            println!("tests of network faults skipped: {reason}");
            return ExitCode::SUCCESS;
        }
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let before = runtime.block_on(place.snapshot());
    let mut failed = 0;
    for (name, case) in CASES {
        if !filters.is_empty() && !filters.iter().any(|part| name.contains(part)) {
            continue;
        }
        let begin = Instant::now();
        let all = async {
            let most = if place.has_switch() { CASE_MAX } else { CASE_MAX_ELSEWHERE };
            tokio::time::timeout(most, case(&place)).await.expect("it ends in time");
            // What has answered may still be ending.
            let after = async {
                while place.snapshot().await != before {
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
            };
            if tokio::time::timeout(Duration::from_secs(20), after).await.is_err() {
                assert_eq!(place.snapshot().await, before, "the nodes are as they were");
            }
        };
        let good = catch_unwind(AssertUnwindSafe(|| runtime.block_on(all))).is_ok();
        println!("test {name} ... {} ({:?})", if good { "ok" } else { "FAILED" }, begin.elapsed());
        failed += usize::from(!good);
    }
    drop(place);
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// A database that is none.
struct Nothing;

#[async_trait]
impl Db for Nothing {
    fn name(&self) -> &'static str {
        "nothing"
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
        Ok("0".to_owned())
    }
}

/// Four nodes on a switch, whose network this process is in. The lab goes with this, or with its lease.
struct Place {
    ready: Ready,
    folder: tempfile::TempDir,
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(lab) = self.ready.lab.as_ref().filter(|_| self.ready.lab_is_ours) {
            schism_lab::down(lab).unwrap();
        }
    }
}

impl Place {
    /// Makes it, or says what this machine lacks for it. The process must have one thread.
    fn make() -> Result<Place, String> {
        if !nix::unistd::geteuid().is_root() {
            return Err("labs need root".to_owned());
        }
        if let Ok(id) = std::env::var("SCHISM_TEST_LAB") {
            let ready = enter(schism_lab::find(&id).unwrap(), &[], false).unwrap();
            return Ok(Place { ready, folder: tempfile::tempdir().unwrap() });
        }
        if !std::path::Path::new("/dev/net/tun").exists() {
            return Err("this machine has no /dev/net/tun".to_owned());
        }
        let mut say = |line: &str| println!("  {line}");
        let cache = packages::default_cache();
        let tree = packages::fetch_for_nodes(&cache, &["iptables"], &mut say)
            .or_else(|_| packages::fetch_for_nodes(&cache, &[], &mut say))
            .map_err(|error| error.to_string())?;
        let spec =
            LabSpec { trees: vec![tree.path], network: NetworkKind::Switch, ..LabSpec::new(LabSpec::fresh_id(), 4) };
        let lab = up(&spec, &std::env::current_exe().unwrap()).unwrap();
        let ready = enter(lab, &[], true).unwrap();
        Ok(Place { ready, folder: tempfile::tempdir().unwrap() })
    }

    fn cluster(&self) -> &Cluster {
        &self.ready.cluster
    }

    /// Whether the ground shapes links.
    fn has_switch(&self) -> bool {
        self.ready.lab.as_ref().is_some_and(|lab| lab.network == NetworkKind::Switch)
    }

    /// On which only the nodes can do something.
    fn without_ground(&self) -> Cluster {
        Cluster { ground: Arc::new(NoGround), ..self.cluster().clone() }
    }

    fn nemesis(&self, cluster: &Cluster, name: &str) -> Arc<Nemesis> {
        let ledger = Ledger::open(&self.folder.path().join(format!("{name}.jsonl"))).unwrap();
        let classes = schism_nemesis::class::names();
        Nemesis::new(cluster.clone(), Arc::new(Nothing), ledger, NemesisOptions::new(RunTag::new(name)), &classes)
    }

    async fn on(&self, node: usize, script: &str) -> String {
        self.cluster().nodes[node - 1].remote.run(&Command::new(script)).await.unwrap().text()
    }

    /// Rules, queues, files and processes of every node, as far as network faults touch them.
    async fn snapshot(&self) -> Vec<String> {
        let script = "PATH=$PATH:/usr/sbin:/sbin
nft list ruleset; tc qdisc show; sha256sum /etc/hosts /etc/resolv.conf; stat -c '%n %a %u %s' /etc/hosts /etc/resolv.conf
for left in /run/schism/leases/* /run/schism/pulse/* /run/schism/netem/* /run/schism/dns/* /var/lib/schism/kept/*; do [ ! -e \"$left\" ] || echo \"$left\"; done
cat /proc/[0-9]*/comm 2>/dev/null | grep -c '^perl$'
cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' ' | grep -c '[a]gent dns\\|[s]chism_[a-z]*_[0-9]'
true";
        let mut all = Vec::new();
        for number in 1..=self.cluster().nodes.len() {
            all.push(self.on(number, script).await);
        }
        all
    }
}

async fn invoke(nemesis: &Arc<Nemesis>, class: &str, f: F, value: Json, fault_id: u32) -> Json {
    let invocation = Invocation { process: Process::nemesis(class), f, key: None, value: Value::from_json(&value) };
    let answer = nemesis.actor(class).unwrap().invoke(&invocation, fault_id).await;
    let told = answer.value.to_json();
    assert_eq!(answer.error, None, "{class} {value}: {told:#}");
    assert_eq!(told["evidence"]["proven"], true, "{class} {value}: {told:#}");
    told
}

/// Injects, sees it, heals, sees it gone. Answers what was told of both.
async fn come_and_go(nemesis: &Arc<Nemesis>, class: &str, mut intention: Json) -> (Json, Json) {
    intention["duration_ms"] = json!(20_000);
    let there = invoke(nemesis, class, F::Inject, intention, 3).await;
    let gone = invoke(nemesis, class, F::Heal, Json::Null, 3).await;
    (there, gone)
}

fn rows<'a>(told: &'a Json, name: &str) -> &'a Vec<Json> {
    told["evidence"]["measured"][name].as_array().unwrap_or_else(|| panic!("no {name} in {told:#}"))
}

/// Pairs without a datagram, as `n1>n2`, of one look (port 0: of the one without a port).
fn dead(told: &Json, port: u64) -> Vec<String> {
    let of = |row: &&Json| row["received"] == 0 && row["port"].as_u64().unwrap_or(0) == port;
    let name = |row: &Json| format!("{}>{}", row["from"].as_str().unwrap(), row["to"].as_str().unwrap());
    rows(told, "probes").iter().filter(of).map(name).collect()
}

async fn needs_are_met(place: &Place) {
    let specs: Vec<FaultSpec> = ["partition", "delay", "reset", "dns", "bandwidth", "hold"]
        .iter()
        .take(if place.has_switch() { 6 } else { 5 })
        .map(|name| FaultSpec::named(name).unwrap().resolved(4, false))
        .collect();
    assert_eq!(check_needs(&specs, place.cluster(), &Nothing).await, Ok(()));
    // Without the switch a rate is still possible here, and holding is not.
    let bare = place.without_ground();
    let named = |name: &str| [FaultSpec::named(name).unwrap()];
    assert_eq!(check_needs(&named("bandwidth"), &bare, &Nothing).await, Ok(()));
    let unmet = check_needs(&named("hold"), &bare, &Nothing).await.unwrap_err();
    assert!(unmet[0].to_string().contains("cannot shape single links"), "{unmet:?}");
}

async fn partitions_of_every_kind(place: &Place) {
    let nemesis = place.nemesis(place.cluster(), "shapes");
    let cases = [
        (json!({"shape": "isolate", "target": ["n2"], "direction": "in"}), "n1>n2 n3>n2 n4>n2"),
        (json!({"shape": "isolate", "target": ["n2"], "direction": "out"}), "n2>n1 n2>n3 n2>n4"),
        (json!({"links": "n1>n2 n3<>n4"}), "n1>n2 n3>n4 n4>n3"),
        (json!({"groups": "n1 n2 | n3 | n4", "direction": "in"}), "n3>n1 n3>n2 n4>n1 n4>n2 n4>n3"),
    ];
    for (intention, expected) in cases {
        let (there, gone) = come_and_go(&nemesis, "partition", intention.clone()).await;
        let mut found = dead(&there, 0);
        found.sort();
        assert_eq!(found.join(" "), expected, "{intention}");
        assert_eq!(dead(&gone, 0), [""; 0]);
    }
    for (shape, count) in [("partial", 2), ("ring", 4)] {
        let (there, _) = come_and_go(&nemesis, "partition", json!({"shape": shape, "neighbours": 2})).await;
        assert_eq!(dead(&there, 0).len(), count, "{shape}");
    }
}

async fn a_partition_of_a_port_cuts_nothing_else(place: &Place) {
    let nemesis = place.nemesis(place.cluster(), "ports");
    let intention = json!({"links": "n1<>n2", "ports": [7001, 7002]});
    let (there, _) = come_and_go(&nemesis, "partition", intention).await;
    for (port, expected) in [(7001, vec!["n1>n2", "n2>n1"]), (7002, vec!["n1>n2", "n2>n1"]), (0, vec![])] {
        assert_eq!(dead(&there, port), expected, "{port}");
    }
}

async fn what_is_rejected_is_told_at_once(place: &Place) {
    let nemesis = place.nemesis(place.cluster(), "reject");
    for ports in [json!(null), json!([7001])] {
        let mut intention = json!({"links": "n1<>n2", "how": "reject"});
        if !ports.is_null() {
            intention["ports"] = ports.clone();
        }
        let (there, _) = come_and_go(&nemesis, "partition", intention).await;
        let knocks = rows(&there, "knocks");
        assert_eq!(knocks.len(), 2);
        for knock in knocks {
            assert!(knock["outcome"] == "refused" && knock["after_us"].as_u64().unwrap() < 800_000, "{knock}");
        }
    }
}

async fn a_flapping_link_passes_in_part(place: &Place) {
    let nemesis = place.nemesis(place.cluster(), "flap");
    let (there, gone) = come_and_go(&nemesis, "partition", json!({"links": "n1>n2", "flap_ms": 300})).await;
    for row in rows(&there, "probes") {
        let (sent, received) = (row["sent"].as_f64().unwrap(), row["received"].as_f64().unwrap());
        let expected = if row["cut"] == true { 0.5 } else { 1.0 };
        assert!((received / sent - expected).abs() < 0.3, "{row}");
    }
    assert_eq!(dead(&gone, 0), [""; 0]);
}

async fn clients_are_cut_off_and_we_stay_logged_in(place: &Place) {
    let nemesis = place.nemesis(place.cluster(), "clients");
    let listener = "use IO::Socket::INET; my $l = IO::Socket::INET->new(LocalPort => 2379, Listen => 5, ReuseAddr => 1) or die; $0 = 'listens'; alarm 300; while (my $c = $l->accept) { close $c }";
    place
        .on(1, &format!("setsid perl -e {} </dev/null >/dev/null 2>&1 &", schism_cluster::shell::quote(listener)))
        .await;
    for (how, direction, expected) in
        [("drop", "in", "timeout"), ("drop", "out", "timeout"), ("reject", "both", "refused")]
    {
        let intention =
            json!({"between": "clients", "target": ["n1"], "ports": [2379], "how": how, "direction": direction});
        let (there, gone) = come_and_go(&nemesis, "partition", intention).await;
        assert_eq!(rows(&there, "connections")[0]["outcome"], expected, "{how} {direction}: {there:#}");
        assert_eq!(rows(&gone, "connections")[0]["outcome"], "connected", "{how} {direction}: {gone:#}");
    }
    // Nodes are no clients, whatever is done to those.
    let intention =
        json!({"between": "clients", "target": ["n1"], "ports": [2379], "how": "reject", "duration_ms": 9000});
    invoke(&nemesis, "partition", F::Inject, intention, 3).await;
    let asked = [("n2", "n1"), ("n1", "n1")].map(|(from, to)| (Node::new(from), Node::new(to), 2379));
    let knocks = schism_cluster::probe::tcp::knock(place.cluster(), &asked, Duration::from_secs(1)).await;
    invoke(&nemesis, "partition", F::Heal, Json::Null, 3).await;
    let connected = Some(schism_cluster::probe::tcp::Knock::Connected);
    assert!(knocks.iter().all(|knock| knock.outcome == connected), "{knocks:?}");
    // Our own door is never shut.
    let intention =
        json!({"between": "clients", "target": ["n1"], "ports": [22], "direction": "in", "duration_ms": 1000});
    let invocation = Invocation {
        process: Process::nemesis("partition"),
        f: F::Inject,
        key: None,
        value: Value::from_json(&intention),
    };
    let answer = nemesis.actor("partition").unwrap().invoke(&invocation, 4).await;
    assert!(answer.error.unwrap().to_string().contains("at which we log in"));
    place
        .on(1, "for p in /proc/[0-9]*; do grep -qs '^listens' $p/cmdline && kill ${p#/proc/}; done; sleep 0.2; true")
        .await;
}

/// The same nodes by their other addresses.
async fn over_ipv6_as_well(place: &Place) {
    let mut cluster = place.without_ground();
    for (number, handle) in cluster.nodes.iter_mut().enumerate() {
        handle.address = format!("fd77::{:x}", number + 11);
    }
    let nemesis = place.nemesis(&cluster, "six");
    let (there, _) = come_and_go(&nemesis, "partition", json!({"links": "n1>n2 n3<>n4", "how": "reject"})).await;
    assert_eq!(dead(&there, 0), ["n1>n2", "n3>n4", "n4>n3"]);
    assert!(rows(&there, "knocks").iter().all(|knock| knock["outcome"] == "refused"), "{there:#}");
    let (there, _) = come_and_go(&nemesis, "partition", json!({"links": "n1<>n2", "ports": [7001]})).await;
    assert_eq!((dead(&there, 0).len(), dead(&there, 7001).len()), (0, 2));
    come_and_go(&nemesis, "reset", json!({"target": ["n1"], "every_ms": 500})).await;
    let slow = json!({"target": ["n1"], "to": ["n2"], "direction": "both", "rate_bits_per_s": 2_000_000});
    let (there, _) = come_and_go(&nemesis, "bandwidth", slow).await;
    for row in rows(&there, "links") {
        let least = if place.has_switch() { 1200e3 } else { 800e3 };
        assert!((least..2800e3).contains(&row["arrived_bits_per_s"].as_f64().unwrap()), "{row}");
    }
}

/// With nft out of the way, where the nodes have iptables besides.
async fn by_iptables_as_well(place: &Place) {
    let hide = "nft=$(PATH=$PATH:/usr/sbin:/sbin command -v nft) && mv $nft /tmp/nft.away && echo $nft";
    let nodes = 1..=place.cluster().nodes.len();
    let mut away = Vec::new();
    for node in nodes.clone() {
        away.push(place.on(node, hide).await);
    }
    if place.on(1, &scripts::which_filter()).await == "iptables" {
        let nemesis = place.nemesis(place.cluster(), "tables");
        let (there, _) = come_and_go(&nemesis, "partition", json!({"links": "n1<>n2", "how": "reject"})).await;
        assert_eq!(dead(&there, 0), ["n1>n2", "n2>n1"]);
        for how in ["drop", "reject"] {
            let ports = json!({"links": "n1>n2", "ports": [7001, 7002], "how": how});
            let (there, _) = come_and_go(&nemesis, "partition", ports).await;
            assert_eq!((dead(&there, 0).len(), dead(&there, 7002).len()), (0, 1));
            let clients =
                json!({"between": "clients", "target": ["n1"], "ports": [2379], "how": how, "direction": "in"});
            come_and_go(&nemesis, "partition", clients).await;
        }
        come_and_go(&nemesis, "partition", json!({"links": "n1>n2", "flap_ms": 300})).await;
        come_and_go(&nemesis, "reset", json!({"target": ["n1"], "every_ms": 500})).await;
    } else {
        println!("  iptables is not on the nodes: not tried");
    }
    for (node, nft) in nodes.zip(away) {
        // What iptables itself leaves of empty chains is not ours to take away, but this test's.
        let sweep = "for family in ip ip6; do nft delete table $family filter 2>/dev/null; done; true";
        place.on(node, &format!("mv /tmp/nft.away {nft} && PATH=$PATH:/usr/sbin:/sbin && {sweep}")).await;
    }
}

async fn open_connections_are_reset(place: &Place) {
    let nemesis = place.nemesis(place.cluster(), "reset");
    let (there, gone) = come_and_go(&nemesis, "reset", json!({"target": ["n1"], "every_ms": 500})).await;
    for row in rows(&there, "streams") {
        let resets = row["resets"].as_u64().unwrap();
        assert!((1..=8).contains(&resets), "{row}");
    }
    for row in rows(&gone, "streams") {
        assert_eq!((&row["resets"], &row["connects"]), (&json!(0), &json!(1)), "{row}");
    }
}

async fn open_connections_of_a_port_are_reset(place: &Place) {
    let nemesis = place.nemesis(place.cluster(), "resetport");
    let listener = "use IO::Socket::INET; $SIG{PIPE} = 'IGNORE'; my $l = IO::Socket::INET->new(LocalPort => 7100, Listen => 5, ReuseAddr => 1) or die; $0 = 'chatters'; alarm 300; while (1) { my $c = $l->accept or next; while (sysread $c, my $x, 9) { } close $c }";
    let chatter = "use IO::Socket::INET; $SIG{PIPE} = 'IGNORE'; $0 = 'chatters'; alarm 300; while (1) { my $s = IO::Socket::INET->new(PeerAddr => '10.77.0.12:7100', Timeout => 2); while ($s && defined syswrite $s, 'x') { select undef, undef, undef, 0.02 } select undef, undef, undef, 0.05 }";
    for (node, program) in [(2, listener), (1, chatter)] {
        let program = schism_cluster::shell::quote(program);
        place.on(node, &format!("setsid perl -e {program} </dev/null >/dev/null 2>&1 & sleep 0.3")).await;
    }
    // 1BBC is 7100, and 01 an open connection.
    place
        .on(
            1,
            "n=0; until grep -q ':1BBC 01 ' /proc/net/tcp; do n=$((n + 1)); [ $n -lt 500 ] || exit 1; sleep 0.02; done",
        )
        .await;
    let intention = json!({"target": ["n1"], "every_ms": 500, "ports": [7100]});
    let (there, gone) = come_and_go(&nemesis, "reset", intention).await;
    assert_eq!(there["evidence"]["measured"]["connections_before"], 1, "{there:#}");
    assert_eq!(there["evidence"]["measured"]["of_those_gone"], 1);
    assert_eq!(gone["evidence"]["measured"]["stayed"], 1, "{gone:#}");
    for node in [1, 2] {
        place
            .on(
                node,
                "for p in /proc/[0-9]*; do grep -qs '^chatters' $p/cmdline && kill ${p#/proc/}; done; sleep 0.2; true",
            )
            .await;
    }
}

async fn names_fail_lag_and_lie(place: &Place) {
    let nemesis = place.nemesis(place.cluster(), "names");
    for mode in ["fail", "servfail", "slow", "wrong"] {
        let intention = json!({"target": ["n1", "n3"], "mode": mode, "delay_ms": 1500});
        let (there, gone) = come_and_go(&nemesis, "dns", intention).await;
        let lookups = rows(&there, "lookups");
        assert_eq!(lookups.len(), 8, "four names on two nodes");
        for row in lookups {
            let (now, before) = (&row["now"], &row["before"]);
            let took_ms = now["took_ms"].as_u64().unwrap();
            match mode {
                "slow" => {
                    assert!((1400..10_000).contains(&took_ms) && now["addresses"] == before["addresses"], "{row}");
                }
                "wrong" => assert!(now["found"] == true && now["addresses"] != before["addresses"], "{row}"),
                _ => assert!(now["found"] == false && took_ms < 4000, "{row}"),
            }
        }
        assert!(rows(&gone, "files").iter().all(|file| file["as_before"] == true), "{gone:#}");
    }
}

async fn names_that_somebody_else_changed_keep_that(place: &Place) {
    let nemesis = place.nemesis(place.cluster(), "changed");
    let before = place.on(2, "cp /etc/hosts /tmp/hosts.test; cat /etc/hosts").await;
    let intention = json!({"target": ["n2"], "mode": "fail", "duration_ms": 20_000});
    invoke(&nemesis, "dns", F::Inject, intention, 3).await;
    place.on(2, "echo '10.0.0.99 foreign' >>/etc/hosts").await;
    invoke(&nemesis, "dns", F::Heal, Json::Null, 3).await;
    let left = place.on(2, "cat /etc/hosts; cat /tmp/hosts.test >/etc/hosts; rm /tmp/hosts.test").await;
    assert_eq!(left, format!("{before}\n10.0.0.99 foreign"));
}

async fn packets_are_shaped_by_the_switch(place: &Place) {
    let nemesis = place.nemesis(place.cluster(), "switch");
    let of = |told: &Json, key: &str| -> Vec<f64> {
        rows(told, "links").iter().map(|row| row[key].as_f64().unwrap_or_else(|| panic!("{key}: {row}"))).collect()
    };
    let target = |more: Json| {
        let mut all = json!({"target": ["n1"], "direction": "both"});
        all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        all
    };
    let delay = target(json!({"delay_ms": 50, "jitter_ms": 5, "distribution": "normal"}));
    let (there, _) = come_and_go(&nemesis, "delay", delay).await;
    let by = if place.has_switch() { "(by the switch of namespaces)" } else { "(by traffic control on the nodes)" };
    assert!(there["label"].as_str().unwrap().ends_with(by), "{}", there["label"]);
    // 50 ms each way. An emulated machine takes its time.
    let noise_ms = if place.has_switch() { 0.0 } else { 150.0 };
    let added = |told: &Json, most_ms: f64, asked_ms: f64| {
        // The median on a busy machine is the machine's; the fastest has jitter on its side.
        of(told, "added_ms").iter().all(|ms| *ms > asked_ms * 0.5)
            && of(told, "added_ms_at_least").iter().all(|ms| (asked_ms * 0.6..most_ms + noise_ms).contains(ms))
    };
    assert!(added(&there, 130.0, 100.0), "{there:#}");
    let one_way = json!({"target": ["n1"], "to": ["n2"], "direction": "out", "delay_ms": 60});
    let (there, _) = come_and_go(&nemesis, "delay", one_way).await;
    assert_eq!(rows(&there, "links").len(), 1);
    assert!(added(&there, 90.0, 60.0), "{there:#}");
    let share = |told: &Json| told["evidence"]["measured"]["share"].as_f64().unwrap();
    for (class, key, asked) in
        [("loss", "loss_ppm", 300_000), ("duplicate", "duplicate_ppm", 300_000), ("corrupt", "corrupt_ppm", 100_000)]
    {
        let (there, gone) = come_and_go(&nemesis, class, target(json!({key: asked}))).await;
        let asked = f64::from(asked) / 1e6;
        // 600 datagrams at least: 6 hundredths are more than three standard deviations.
        assert!((share(&there) - asked).abs() < 0.06, "{there:#}");
        assert!(share(&gone) < 0.02, "{gone:#}");
        assert_eq!(there["evidence"]["measured"]["switch"]["links"].is_array(), place.has_switch(), "{there:#}");
    }
    let bursts = target(json!({"loss_ppm": 200_000, "correlation_ppm": 500_000}));
    come_and_go(&nemesis, "loss", bursts).await;
    let (there, gone) = come_and_go(&nemesis, "reorder", target(json!({"reorder_ppm": 250_000, "delay_ms": 20}))).await;
    assert!(share(&there) > 0.1 && share(&gone) < 0.02, "{there:#}");
    let (there, gone) = come_and_go(&nemesis, "bandwidth", target(json!({"rate_bits_per_s": 1_000_000}))).await;
    let least = if place.has_switch() { 600e3 } else { 400e3 };
    assert!(of(&there, "arrived_bits_per_s").iter().all(|rate| (least..1400e3).contains(rate)), "{there:#}");
    assert!(of(&gone, "arrived_bits_per_s").iter().all(|rate| *rate > 1600e3), "{gone:#}");
}

/// A datagram that is sent while links are held arrives after the heal, not before.
async fn what_is_held_is_let_go(place: &Place) {
    if !place.has_switch() {
        return println!("  this lab has no switch: nothing can hold packets");
    }
    let nemesis = place.nemesis(place.cluster(), "hold");
    let receiver = "use Socket; socket(my $s, AF_INET, SOCK_DGRAM, 0); bind($s, pack_sockaddr_in(7200, INADDR_ANY)) or die; $0 = 'waits'; alarm 300; open my $o, '>', '/tmp/held'; recv($s, my $x, 99, 0); print $o $x";
    let receiver = schism_cluster::shell::quote(receiver);
    place.on(2, &format!("setsid perl -e {receiver} </dev/null >/dev/null 2>&1 & sleep 0.3")).await;
    let intention = json!({"target": ["n1"], "direction": "out", "duration_ms": 20_000});
    let there = invoke(&nemesis, "hold", F::Inject, intention, 3).await;
    assert_eq!(dead(&there, 0), ["n1>n2", "n1>n3", "n1>n4"]);
    place.on(1, "perl -MSocket -e 'socket(my $s, AF_INET, SOCK_DGRAM, 0); send($s, qq(held), 0, pack_sockaddr_in(7200, inet_aton(qq(10.77.0.12))))'").await;
    let before = place.on(2, "sleep 0.3; cat /tmp/held").await;
    invoke(&nemesis, "hold", F::Heal, Json::Null, 3).await;
    let after = place.on(2, "n=0; until [ -s /tmp/held ] || [ $n -gt 100 ]; do n=$((n + 1)); sleep 0.1; done; cat /tmp/held; rm /tmp/held").await;
    assert_eq!((before.as_str(), after.as_str()), ("", "held"));
}

/// The kernel's own queues, where there is no switch; whether netem is there too is the kernel's matter.
async fn rates_are_limited_on_the_node(place: &Place) {
    let nemesis = place.nemesis(&place.without_ground(), "htb");
    let intention = json!({"target": ["n1"], "direction": "both", "rate_bits_per_s": 2_000_000});
    let (there, gone) = come_and_go(&nemesis, "bandwidth", intention).await;
    assert!(there["label"].as_str().unwrap().ends_with("(by traffic control on the nodes)"), "{}", there["label"]);
    for row in rows(&there, "links") {
        let least = if place.has_switch() { 1200e3 } else { 1000e3 };
        assert!((least..2800e3).contains(&row["arrived_bits_per_s"].as_f64().unwrap()), "{row}");
    }
    for row in rows(&gone, "links") {
        assert!(row["arrived_bits_per_s"].as_f64().unwrap() > 3200e3, "{row}");
    }
}

async fn shapes_of_a_node_add_up_and_go_alone(place: &Place) {
    let line = |to: u8, rate| {
        let shape = schism_cluster::LinkShape { rate_bits_per_s: rate, ..schism_cluster::LinkShape::default() };
        scripts::shape_line(std::net::IpAddr::from([10, 77, 0, to]), &shape)
    };
    let node = &place.cluster().nodes[0];
    let apply = |name: &str, lines: String| Command::new(scripts::netem_apply(name)).stdin(lines);
    let rates =
        "PATH=$PATH:/usr/sbin; tc class show dev eth0 | sed -n 's/.* rate \\([^ ]*\\).*/\\1/p' | sort | tr '\\n' ' '";
    node.remote.run(&apply("t-1", line(12, 3_000_000))).await.unwrap();
    assert_eq!(place.on(1, rates).await, "3Mbit");
    node.remote.run(&apply("t-2", line(12, 2_000_000) + &line(13, 4_000_000))).await.unwrap();
    assert_eq!(place.on(1, rates).await, "2Mbit 4Mbit", "the lowest rate of an address counts");
    for _ in 0..2 {
        place.on(1, &scripts::netem_undo("t-2")).await;
        assert_eq!(place.on(1, rates).await, "3Mbit", "what another asked stays");
    }
    place.on(1, &scripts::netem_undo("t-1")).await;
    assert_eq!(place.on(1, &scripts::netem_leftover("t-1")).await, "");
    // A queue of somebody else is left alone, and said.
    place.on(1, "PATH=$PATH:/usr/sbin; tc qdisc add dev eth0 root handle 7: htb").await;
    let to = [std::net::IpAddr::from([10, 77, 0, 12])];
    assert!(place.on(1, &scripts::foreign_queues(&to)).await.contains("htb 7:"));
    assert!(node.remote.run(&apply("t-3", line(12, 1_000_000))).await.is_err());
    place.on(1, &scripts::netem_undo("t-3")).await;
    assert!(
        place.on(1, "/usr/sbin/tc qdisc show dev eth0; /usr/sbin/tc qdisc del dev eth0 root").await.contains("htb 7:")
    );
}

async fn one_fault_does_not_hide_the_heal_of_another(place: &Place) {
    let nemesis = place.nemesis(place.cluster(), "both");
    let delay = json!({"target": ["n1"], "delay_ms": 30, "duration_ms": 20_000});
    invoke(&nemesis, "delay", F::Inject, delay, 3).await;
    let cut = json!({"shape": "isolate", "target": ["n1"], "direction": "both", "duration_ms": 20_000});
    invoke(&nemesis, "partition", F::Inject, cut, 4).await;
    let healed = invoke(&nemesis, "delay", F::Heal, Json::Null, 3).await;
    let excused = rows(&healed, "links").iter().all(|row| row["excused"].to_string().contains("also harmed by"));
    assert!(excused, "{healed:#}");
    let rules = place.on(1, &scripts::all_filters()).await.to_lowercase();
    assert!(rules.contains("both") && rules.ends_with('4'), "the cut stays: {rules}");
    invoke(&nemesis, "partition", F::Heal, Json::Null, 4).await;
    assert_eq!(nemesis.heal_everything().await, Vec::<String>::new());
    assert_eq!(place.cluster().ground.leases().await.unwrap(), []);
    assert_eq!(place.cluster().names()[0], Node::new("n1"));
}
