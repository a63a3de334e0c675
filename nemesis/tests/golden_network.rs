//! The exact commands of network faults, against nodes that only remember what they were told, and what `tc` is told by
//! the program that runs there. `SCHISM_BLESS=1` writes the golden files anew.

mod support;

use std::process::Stdio;
use std::sync::{Arc, Mutex};

use schism_cluster::link::Distribution;
use schism_cluster::script::said;
use schism_cluster::{Ability, LinkShape};
use schism_nemesis::{FaultError, scripts};
use serde_json::{Value as Json, json};
use support::bench::{Bench, told_undo};
use support::golden::{StandIn, compare};

fn golden(name: &str, found: &str) {
    compare(&format!("network/{name}"), found);
}

fn bench(abilities: &[Ability]) -> Bench {
    Bench::new(&["n1", "n2", "n3"], abilities, StandIn::of(1))
}

/// Everything that a fault says to nodes and ground: preparing, injecting, and its undos. Probes in a word, the rest in full.
async fn story(bench: &Bench, class: &str, intention: Json) -> String {
    bench.log.clear();
    let (fault, undo) = bench.prepared(class, intention).await.expect("the set-up of a test");
    let mut text = format!("{}\n", fault.label());
    text.extend(undo.iter().map(told_undo));
    fault.inject(&bench.cluster, &*bench.db).await.expect("the set-up of a test");
    text + &bench.told(|command| match &command.script {
        script if script.starts_with("exec perl") || script.starts_with("perl") => "(probe)".to_owned(),
        // The hash of this very program is not of interest.
        script if script.contains("agent hello") => "(the agent is looked for)".to_owned(),
        script => script.clone(),
    })
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
            let bench = bench(&[]).with_address(1, "fd00::2");
            bench.log.on("echo nft", said(filter)).on("${4-}", said("22"));
            golden(&format!("{name}-{filter}.txt"), &story(&bench, class, intention.clone()).await);
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
        let bench = bench(&[]);
        bench.log.on(asked, said(answer)).on("echo nft", said("nft"));
        let error = bench.prepared(class, intention.clone()).await.err().unwrap();
        assert!(matches!(error, FaultError::Refused { .. }) && error.to_string().contains(expected), "{error}");
    }
    for (intention, expected) in [
        (json!({"links": "n1>n9"}), "node `n9` is not one of this cluster"),
        (json!({"groups": "n1 | n9"}), "node `n9` is not one of this cluster"),
        (json!({"between": "clients", "target": ["n1"]}), "none are named"),
        (json!({"shape": "isolate", "target": "all"}), "nobody is left"),
        (json!({"shape": "ring", "neighbours": 2}), "needs at least 4 nodes"),
    ] {
        let error = bench(&[]).fault("partition", intention).err().unwrap().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn packets_by_nodes_and_by_the_ground() {
    let delay = json!({"target": ["n1"], "direction": "out", "delay_ms": 50, "jitter_ms": 5, "distribution": "pareto"});
    golden("delay-netem.txt", &story(&bench(&[]).with_address(1, "fd00::2"), "delay", delay.clone()).await);
    let bench = bench(&[Ability::Links]).with_address(1, "fd00::2");
    let rules = Arc::new(Mutex::new(String::new()));
    let told = Arc::clone(&rules);
    bench.ground.with(move |action| {
        *told.lock().unwrap() += &format!("{}\n", json!(action));
        None
    });
    let mut text = story(&bench, "delay", delay).await;
    text += &story(&bench, "hold", json!({"target": ["n1"], "to": ["n2"], "direction": "in"})).await;
    text += &rules.lock().unwrap();
    golden("ground.txt", &text);
}

#[tokio::test(start_paused = true)]
async fn names_of_nodes() {
    for (name, intention) in [
        ("dns-wrong", json!({"target": ["n1"], "mode": "wrong"})),
        ("dns-slow", json!({"target": ["n1"], "mode": "slow", "delay_ms": 2000})),
    ] {
        let bench = bench(&[]);
        bench.log.on("/etc/hosts\nif", said("aaaa\n127.0.0.1 localhost\n10.0.0.1 n1\n10.0.0.2 n2\n"));
        bench.log.on("/etc/resolv.conf\nif", said("bbbb\nsearch lan\nnameserver 10.0.0.53\n"));
        bench.log.on("getent", said("n1 0 1 10.0.0.1\nn2 0 1 10.0.0.2\nn3 2 1 \n"));
        bench.log.on("agent hello", said("/run/schism/agent/schism"));
        golden(&format!("{name}.txt"), &story(&bench, "dns", intention).await);
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
