//! Partitions for real: namespaces of this machine joined by a bridge of their own, cut by a real packet filter and
//! probed by real datagrams. Nothing outside these namespaces is touched; they end with the processes that hold them.
//!
//! Needs root, unshare, nsenter, ip, perl, and nft or iptables in PATH; says what is missing and passes otherwise.

mod support;

use std::process::{Child, Command as Process, Stdio};
use std::sync::Arc;

use schism_cluster::{Cluster, Command, NoGround, NodeHandle};
use schism_generators::Invocation;
use schism_history::{F, Node, Process as Who, Value};
use schism_nemesis::{Leases, Ledger, Nemesis, NemesisOptions, RunTag, check_needs};
use serde_json::{Value as Json, json};
use support::LocalRemote;
use support::golden::StandIn;

/// Processes that hold the namespaces.
struct Net {
    holders: Vec<Child>,
}

impl Drop for Net {
    fn drop(&mut self) {
        for holder in &mut self.holders {
            let _ = holder.kill();
            let _ = holder.wait();
        }
    }
}

fn run(words: &[&str]) -> Result<String, String> {
    let output = Process::new(words[0]).args(&words[1..]).output().map_err(|error| format!("{}: {error}", words[0]))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(format!("{words:?}: {}", text(&output.stderr))) }
}

impl Net {
    fn new(count: usize) -> Result<Net, String> {
        let mut net = Net { holders: Vec::new() };
        for _ in 0..=count {
            let holder = Process::new("unshare").args(["--net", "sleep", "300"]).stdin(Stdio::null()).spawn();
            net.holders.push(holder.map_err(|error| format!("unshare: {error}"))?);
        }
        let own = std::fs::read_link("/proc/self/ns/net").map_err(|error| error.to_string())?;
        for holder in &mut net.holders {
            let link = format!("/proc/{}/ns/net", holder.id());
            // unshare becomes sleep in a moment; until then it is still in our namespace.
            let mut tries = 0;
            while std::fs::read_link(&link).map_or(true, |found| found == own) {
                std::thread::sleep(std::time::Duration::from_millis(10));
                tries += 1;
                if tries > 500 || holder.try_wait().is_ok_and(|ended| ended.is_some()) {
                    return Err("no network namespace can be made here (not root?)".to_owned());
                }
            }
        }
        net.ip(0, "link add br0 type bridge")?;
        net.ip(0, "link set br0 up")?;
        for node in 1..=count {
            let pid = net.holders[node].id();
            net.ip(0, &format!("link add v{node} type veth peer name eth0 netns {pid}"))?;
            net.ip(0, &format!("link set v{node} master br0 up"))?;
            net.ip(node, &format!("addr add 10.99.0.{node}/24 dev eth0"))?;
            net.ip(node, &format!("addr add fd99::{node}/64 dev eth0 nodad"))?;
            net.ip(node, "link set eth0 up")?;
            net.ip(node, "link set lo up")?;
        }
        Ok(net)
    }

    fn inside(&self, holder: usize) -> Vec<String> {
        let pid = self.holders[holder].id().to_string();
        ["nsenter", "-t", &pid, "-n"].map(str::to_owned).to_vec()
    }

    fn ip(&self, holder: usize, words: &str) -> Result<(), String> {
        let mut all = self.inside(holder);
        all.push("ip".to_owned());
        all.extend(words.split(' ').map(str::to_owned));
        run(&all.iter().map(String::as_str).collect::<Vec<_>>()).map(|_| ())
    }

    /// The cluster; with IPv6 addresses where told.
    fn cluster(&self, six: bool) -> Cluster {
        let node = |number: usize| {
            let node = Node::new(&format!("n{number}"));
            let remote = Arc::new(LocalRemote { node: node.clone(), prefix: self.inside(number) });
            let address = if six { format!("fd99::{number}") } else { format!("10.99.0.{number}") };
            NodeHandle { node, address, remote }
        };
        Cluster { nodes: (1..self.holders.len()).map(node).collect(), ground: Arc::new(NoGround) }
    }
}

/// A test that cannot run here says so.
#[allow(clippy::print_stdout)]
fn skipped(reason: &str) {
    println!("skipped: {reason}");
}

/// Runs a test with three nodes, or says why it cannot.
async fn with_net(six: bool, filter: &str, test: impl AsyncFnOnce(&Cluster, &Arc<Nemesis>)) {
    let net = match Net::new(3) {
        Ok(net) => net,
        Err(reason) => return skipped(&reason),
    };
    let cluster = net.cluster(six);
    let folder = tempfile::tempdir().expect("the set-up of a test");
    let db = Arc::new(StandIn::of(1));
    let found = cluster.nodes[0]
        .remote
        .run(&Command::new(schism_nemesis::scripts::which_filter()))
        .await
        .expect("the set-up of a test");
    let tools = cluster.nodes[0]
        .remote
        .run(&Command::new(schism_nemesis::scripts::missing_tools()))
        .await
        .expect("the set-up of a test");
    if found.text() != filter || !tools.text().is_empty() {
        return skipped(&format!("wanted {filter}, found `{}`; missing: `{}`", found.text(), tools.text()));
    }
    let spec = schism_nemesis::FaultSpec::named("partition").expect("the set-up of a test");
    check_needs(&[spec], &cluster, &*db).await.expect("the set-up of a test");
    let leases = Leases::within(&folder.path().join("leases").display().to_string());
    let options = NemesisOptions { leases, ..NemesisOptions::new(RunTag::new("t")) };
    let ledger = Ledger::open(&folder.path().join("faults.jsonl")).expect("the set-up of a test");
    let nemesis = Nemesis::new(cluster.clone(), db, ledger, options, &["partition"]);
    test(&cluster, &nemesis).await;
}

async fn invoke(nemesis: &Arc<Nemesis>, f: F, value: Json) -> Json {
    let value = Value::from_json(&value);
    let invocation = Invocation { process: Who::nemesis("partition"), f, key: None, value };
    let answer = nemesis.actor("partition").expect("the set-up of a test").invoke(&invocation, 3).await;
    assert_eq!(answer.error, None, "{answer:?}");
    let told = answer.value.to_json();
    assert_eq!(told["evidence"]["proven"], true, "{told:#}");
    told
}

/// Received counts of a pair, as the evidence tells them.
fn received(told: &Json, from: &str, to: &str) -> u64 {
    let probes = told["evidence"]["measured"]["probes"].as_array().expect("the set-up of a test");
    let probe = probes.iter().find(|probe| probe["from"] == from && probe["to"] == to).expect("the set-up of a test");
    probe["received"].as_u64().expect("the set-up of a test")
}

async fn rules(cluster: &Cluster) -> String {
    let mut all = String::new();
    for handle in &cluster.nodes {
        let script = "PATH=$PATH:/usr/sbin:/sbin; nft list ruleset 2>/dev/null; iptables -w -S; ip6tables -w -S; true";
        all += &handle.remote.run(&Command::new(script)).await.expect("the set-up of a test").text();
    }
    all
}

#[tokio::test]
async fn a_one_way_cut_cuts_one_way_and_passes_the_other() {
    with_net(false, "nft", async |cluster, nemesis| {
        // A rule of somebody else, which accepts everything and must survive.
        let foreign = "nft add table inet other; nft add chain inet other c '{ type filter hook input priority 0; }'; \
                       nft add rule inet other c accept";
        cluster.nodes[0].remote.run(&Command::new(foreign)).await.unwrap();
        let before = rules(cluster).await;
        let told = invoke(nemesis, F::Inject, json!({"shape": "halves", "direction": "in", "duration_ms": 1000})).await;
        assert_eq!(told["grudge"], json!({"n1": ["n2", "n3"]}));
        assert_eq!([received(&told, "n2", "n1"), received(&told, "n3", "n1")], [0, 0]);
        assert!(received(&told, "n1", "n2") > 0 && received(&told, "n2", "n3") > 0);
        assert!(rules(cluster).await.contains("table inet schism_t_3"));
        let healed = invoke(nemesis, F::Heal, Json::Null).await;
        assert!(received(&healed, "n2", "n1") > 0);
        assert_eq!(rules(cluster).await, before);
    })
    .await;
}

#[tokio::test]
async fn cuts_over_ipv6_are_whole_or_one_way_as_asked() {
    with_net(true, "nft", async |cluster, nemesis| {
        let told =
            invoke(nemesis, F::Inject, json!({"shape": "halves", "direction": "out", "duration_ms": 1000})).await;
        assert_eq!([received(&told, "n1", "n2"), received(&told, "n1", "n3")], [0, 0]);
        assert!(received(&told, "n2", "n1") > 0 && received(&told, "n3", "n1") > 0);
        invoke(nemesis, F::Heal, Json::Null).await;
        let told =
            invoke(nemesis, F::Inject, json!({"shape": "halves", "direction": "both", "duration_ms": 1000})).await;
        assert_eq!([received(&told, "n2", "n1"), received(&told, "n1", "n3")], [0, 0]);
        assert!(received(&told, "n3", "n2") > 0);
        assert_eq!(nemesis.heal_everything().await, Vec::<String>::new());
        assert!(!rules(cluster).await.contains("schism"));
    })
    .await;
}

#[tokio::test]
async fn undo_works_twice_and_on_nothing() {
    with_net(false, "nft", async |cluster, _| {
        for _ in 0..2 {
            let script = schism_nemesis::scripts::nft_undo("schism_t_9");
            cluster.nodes[0].remote.run(&Command::new(script)).await.unwrap();
        }
    })
    .await;
}

/// Only where iptables works and nft is not there.
#[tokio::test]
async fn iptables_cuts_and_heals_as_well() {
    for six in [false, true] {
        with_net(six, "iptables", async |cluster, nemesis| {
            let before = rules(cluster).await;
            let told =
                invoke(nemesis, F::Inject, json!({"shape": "halves", "direction": "out", "duration_ms": 1000})).await;
            assert_eq!([received(&told, "n1", "n2"), received(&told, "n1", "n3")], [0, 0]);
            assert!(received(&told, "n2", "n1") > 0);
            assert!(rules(cluster).await.contains("SCHISM-t-3"));
            // Half of an installation twice: undo removes every jump.
            let again = "iptables -w -I INPUT 1 -j SCHISM-t-3 || ip6tables -w -I INPUT 1 -j SCHISM-t-3";
            cluster.nodes[1].remote.run(&Command::new(again)).await.unwrap();
            invoke(nemesis, F::Heal, Json::Null).await;
            assert_eq!(rules(cluster).await, before);
        })
        .await;
    }
}
