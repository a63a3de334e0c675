//! The exact commands of network faults, against nodes that only remember what they were told, and what `tc` is told by
//! the program that runs there. `SCHISM_BLESS=1` writes the golden files anew.

mod support;

use std::process::Stdio;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use schism_cluster::link::Distribution;
use schism_cluster::script::{Deed, Log, said, scripted_cluster};
use schism_cluster::{Ability, Cluster, Ground, GroundAction, GroundError, LinkShape};
use schism_history::{Node, Value};
use schism_nemesis::{Fault, FaultError, Intention, RunTag, Undo, View, scripts};
use serde_json::{Value as Json, json};
use support::Sleepers;
use support::golden::compare;

fn golden(name: &str, found: &str) {
    compare(&format!("network/{name}"), found);
}

/// A ground that can shape links and remembers what it was told.
#[derive(Default)]
struct Switch(Mutex<Vec<String>>);

#[async_trait]
impl Ground for Switch {
    fn name(&self) -> &'static str {
        "switch"
    }
    async fn can(&self, ability: Ability) -> Result<(), GroundError> {
        assert_eq!(ability, Ability::Links);
        Ok(())
    }
    async fn act(&self, action: &GroundAction) -> Result<Json, GroundError> {
        let text = serde_json::to_string(action).expect("actions are plain values");
        self.0.lock().expect("the set-up of a test").push(text);
        Ok(json!({}))
    }
}

fn decided(class: &str, mut intention: Json, tag: &str) -> Result<Box<dyn Fault>, Box<FaultError>> {
    intention["duration_ms"] = json!(9000);
    let nodes = ["n1", "n2", "n3"].map(Node::new).to_vec();
    let view = View { nodes, ..View::default() };
    let intention = Intention::from_value(class, &Value::from_json(&intention)).expect("the set-up of a test");
    intention.decide(&view, &RunTag::new(tag), 3).map_err(Box::new)
}

/// Probes in a word, the rest in full.
fn told(log: &Log) -> String {
    let mut text = String::new();
    for entry in log.entries() {
        let Deed::Run(command) = entry.deed else { continue };
        let script = match command.script.starts_with("exec perl") || command.script.starts_with("perl") {
            true => "(probe)\n".to_owned(),
            false => command.script,
        };
        text += &format!("=== {} as {}\n{script}", entry.node, format!("{:?}", command.user).to_lowercase());
        if !command.stdin.is_empty() {
            text += &format!("--- standard input\n{}", String::from_utf8_lossy(&command.stdin));
        }
    }
    text
}

/// Everything that a fault says to nodes and ground: preparing, injecting, and its undos.
async fn story(cluster: &Cluster, log: &Log, class: &str, intention: Json) -> String {
    let folder = tempfile::tempdir().expect("the set-up of a test");
    let db = Sleepers::new(folder.path());
    let mut fault = decided(class, intention, "k3f9").expect("the set-up of a test");
    let undo = fault.prepare(cluster, &*db).await.expect("the set-up of a test");
    let mut text = format!("{}\n", fault.label());
    for one in &undo {
        match one {
            Undo::OnNode { node, script } => text += &format!("=== undo on {node}\n{script}"),
            other => text += &format!("=== undo {}\n", serde_json::to_string(other).expect("plain")),
        }
    }
    fault.inject(cluster, &*db).await.expect("the set-up of a test");
    text + &told(log)
}

#[tokio::test(start_paused = true)]
async fn cuts_of_every_kind_by_both_filters() {
    let clients = json!({"between": "clients", "target": ["n1"], "ports": [2379, 2380], "direction": "in"});
    let mut answers = clients.clone();
    answers["direction"] = json!("both");
    answers["how"] = json!("reject");
    let cases: &[(&str, &str, Json)] = &[
        ("ports", "partition", json!({"links": "n1>n2", "ports": [2380]})),
        ("reject", "partition", json!({"links": "n1<>n2", "how": "reject"})),
        ("reject-ports", "partition", json!({"links": "n2>n1", "how": "reject", "ports": [2379, 2380]})),
        ("flap", "partition", json!({"links": "n1>n2", "flap_ms": 1500})),
        ("clients", "partition", clients),
        ("clients-reject", "partition", answers),
        ("reset", "reset", json!({"target": ["n1"], "every_ms": 1000})),
        ("reset-ports", "reset", json!({"target": ["n1"], "every_ms": 1000, "ports": [2380]})),
    ];
    for filter in ["nft", "iptables"] {
        for (name, class, intention) in cases {
            if filter == "iptables" && *name == "clients-reject" {
                continue;
            }
            let (mut cluster, log) = scripted_cluster(&["n1", "n2", "n3"]);
            // One of them speaks IPv6.
            cluster.nodes[1].address = "fd00::2".to_owned();
            log.on("echo nft", said(filter));
            log.on("${4-}", said("22"));
            golden(&format!("{name}-{filter}.txt"), &story(&cluster, &log, class, intention.clone()).await);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_would_cut_us_off_or_cannot_be_done_is_refused() {
    let clients = |ports: Json, direction: &str| json!({"between": "clients", "target": ["n1"], "ports": ports, "direction": direction});
    let delay = json!({"target": ["n1"], "delay_ms": 50});
    let cases: &[(&str, Json, (&str, &str), &str)] = &[
        ("partition", clients(json!([2379, 2222]), "in"), ("${4-}", "2222"), "at which we log in"),
        ("partition", clients(json!([22]), "in"), ("${4-}", "2222"), "at which we log in"),
        ("partition", clients(json!([2379]), "both"), ("echo nft", "iptables"), "only what clients send is cut"),
        ("delay", delay.clone(), ("SSH_CONNECTION%%", "10.0.0.2"), "from where we are logged in"),
        ("delay", delay, ("tc qdisc show dev", "eth0: htb 7:"), "somebody else's (eth0: htb 7:)"),
    ];
    for (class, intention, (asked, answer), expected) in cases {
        let (cluster, log) = scripted_cluster(&["n1", "n2", "n3"]);
        log.on(asked, said(answer)).on("echo nft", said("nft"));
        let folder = tempfile::tempdir().unwrap();
        let db = Sleepers::new(folder.path());
        let error = decided(class, intention.clone(), "k3f9").unwrap().prepare(&cluster, &*db).await.unwrap_err();
        assert!(matches!(error, FaultError::Refused { .. }) && error.to_string().contains(expected), "{error}");
    }
    for (intention, expected) in [
        (json!({"links": "n1>n9"}), "node `n9` is not one of this cluster"),
        (json!({"groups": "n1 | n9"}), "node `n9` is not one of this cluster"),
        (json!({"between": "clients", "target": ["n1"]}), "none are named"),
        (json!({"shape": "isolate", "target": "all"}), "nobody is left"),
        (json!({"shape": "ring", "neighbours": 2}), "needs at least 4 nodes"),
    ] {
        let error = decided("partition", intention, "t").err().unwrap().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn packets_by_nodes_and_by_the_ground() {
    let delay = json!({"target": ["n1"], "direction": "out", "delay_ms": 50, "jitter_ms": 5, "distribution": "pareto"});
    let (mut cluster, log) = scripted_cluster(&["n1", "n2", "n3"]);
    cluster.nodes[1].address = "fd00::2".to_owned();
    golden("delay-netem.txt", &story(&cluster, &log, "delay", delay.clone()).await);
    let switch = Arc::new(Switch::default());
    cluster.ground = Arc::clone(&switch) as _;
    log.clear();
    let mut text = story(&cluster, &log, "delay", delay).await;
    text += &story(&cluster, &log, "hold", json!({"target": ["n1"], "to": ["n2"], "direction": "in"})).await;
    text += &switch.0.lock().unwrap().join("\n");
    golden("ground.txt", &text);
}

#[tokio::test(start_paused = true)]
async fn names_of_nodes() {
    for (name, intention) in [
        ("dns-wrong", json!({"target": ["n1"], "mode": "wrong"})),
        ("dns-slow", json!({"target": ["n1"], "mode": "slow", "delay_ms": 2000})),
    ] {
        let (cluster, log) = scripted_cluster(&["n1", "n2", "n3"]);
        log.on("/etc/hosts\nif", said("aaaa\n127.0.0.1 localhost\n10.0.0.1 n1\n10.0.0.2 n2\n"));
        log.on("/etc/resolv.conf\nif", said("bbbb\nsearch lan\nnameserver 10.0.0.53\n"));
        log.on("getent", said("n1 0 1 10.0.0.1\nn2 0 1 10.0.0.2\nn3 2 1 \n"));
        log.on("agent hello", said("/run/schism/agent/schism"));
        let text = story(&cluster, &log, "dns", intention).await;
        // The hash of this very program is not of interest.
        let (before, rest) = text.split_once("for path in ").map_or((text.as_str(), ""), |parts| parts);
        let after = rest.split_once("\ntrue\n").map_or("", |(_, after)| after);
        let whole = if rest.is_empty() { text.clone() } else { format!("{before}(the agent is looked for)\n{after}") };
        golden(&format!("{name}.txt"), &whole);
    }
}

/// What the program on the node tells `tc`, which here only writes down what it is told.
#[test]
fn files_of_several_faults_become_queues() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let tool = |name: &str, script: &str| {
        std::fs::write(path(name), format!("#!/bin/sh\n{script}")).unwrap();
        let mode: std::fs::Permissions = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(path(name), mode).unwrap();
    };
    tool("ip", "case $4 in 10.9.*) echo \"$4 via 10.0.0.1 dev eth1 src x\";; *) echo \"$4 dev eth0 src x\";; esac\n");
    let log = path("log").display().to_string();
    tool(
        "tc",
        &format!(
            "case \"$*\" in
  'qdisc show') echo 'qdisc noqueue 0: dev lo root refcnt 2'
    [ ! -s {log}.on ] || cat {log}.on;;
  -batch*) cat >>{log}; echo 'qdisc htb 5c15: dev eth0 root refcnt 2' >{log}.on;;
  *) echo \"tc $*\" >>{log}; : >{log}.on;;
esac
"
        ),
    );
    let dir = path("shapes").display().to_string();
    let run = |script: String, lines: &str| {
        let path_set = format!("PATH={}:$PATH\n", folder.path().display());
        let script = script.replace(scripts::SHAPES_DIR, &dir).replace("PATH=\"$PATH:/usr/sbin:/sbin\"\n", &path_set);
        let mut child = std::process::Command::new("sh").arg("-c").arg(script).stdin(Stdio::piped()).spawn().unwrap();
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), lines.as_bytes()).unwrap();
        assert!(child.wait().unwrap().success());
    };
    let line = |address: &str, shape: &LinkShape| scripts::shape_line(address.parse().unwrap(), shape);
    let delay =
        LinkShape { delay_us: 100_000, jitter_us: 10_000, distribution: Distribution::Normal, ..LinkShape::default() };
    let lossy = LinkShape { loss_ppm: 500_000, loss_correlation_ppm: 250_000, ..LinkShape::default() };
    let mixed = LinkShape {
        delay_us: 20_000,
        jitter_us: 1000,
        loss_ppm: 200_000,
        duplicate_ppm: 10_000,
        reorder_ppm: 250_000,
        corrupt_ppm: 1000,
        rate_bits_per_s: 1_000_000,
        ..LinkShape::default()
    };
    let heading = |text: &str| {
        let mut file = std::fs::OpenOptions::new().append(true).create(true).open(&log).unwrap();
        std::io::Write::write_all(&mut file, format!("# {text}\n").as_bytes()).unwrap();
    };
    heading("100 ms to three addresses");
    run(scripts::netem_apply("t-1"), &["10.0.0.2", "10.0.0.3", "fd00::4"].map(|to| line(to, &delay)).concat());
    heading("half lost to one of them, beside that");
    run(scripts::netem_apply("t-2"), &line("10.0.0.2", &lossy));
    heading("the same once more: nothing");
    run(scripts::netem_apply("t-2"), &line("10.0.0.2", &lossy));
    heading("the first ends");
    run(scripts::netem_undo("t-1"), "");
    heading("all at once to the same");
    run(scripts::netem_apply("t-3"), &line("10.0.0.2", &mixed));
    heading("all end, twice");
    for name in ["t-2", "t-3", "t-2", "t-3"] {
        run(scripts::netem_undo(name), "");
    }
    golden("tc.txt", &std::fs::read_to_string(&log).unwrap());
}
