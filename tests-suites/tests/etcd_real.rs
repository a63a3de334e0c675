//! The etcd database and client against real etcd on loopback: set-up, readiness, operations, kill, pause, loss of the
//! majority, login and TLS. Skipped, with the reason printed, where there is no etcd (`SCHISM_TEST_ETCD` may name one).

#![allow(clippy::unwrap_used, clippy::print_stderr)]

mod local_cluster;

use std::path::Path;
use std::time::{Duration, Instant};

use schism_cluster::shell::{PROCESS_FUNCTIONS, signal_script};
use schism_cluster::{Cluster, Command, Db, DbError, NodeHandle};
use schism_generators::Invocation;
use schism_history::{F, Key, Node, Process, Value};
use schism_tests_suites::etcd::{Etcd, EtcdDriver, EtcdOptions, TlsOptions};
use schism_workloads::client::{Client, Completion, Driver};

use local_cluster::{LocalCluster, etcd_folder, hasty, options};

/// The cluster, or `None` (and a printed reason) where there is no etcd.
fn cluster_of(nodes: usize) -> Option<LocalCluster> {
    match etcd_folder() {
        Ok(folder) => Some(LocalCluster::new(nodes, &folder)),
        Err(reason) => {
            skipped(&reason);
            None
        }
    }
}

fn skipped(reason: &str) {
    eprintln!("SKIPPED: {reason}");
}

async fn start(options: EtcdOptions, cluster: &Cluster) -> Etcd {
    let etcd = Etcd::new(options).unwrap();
    for handle in &cluster.nodes {
        etcd.setup(cluster, handle).await.unwrap();
    }
    etcd.await_ready(cluster).await.unwrap();
    etcd
}

async fn client(etcd: &Etcd, cluster: &Cluster, node: &Node) -> Box<dyn Client> {
    EtcdDriver::of(etcd, cluster).open(node, &Process::Client(0)).await.unwrap()
}

fn operation(f: F, key: i64, value: Value) -> Invocation {
    Invocation { process: Process::Client(0), f, key: Some(Key::Int(key)), value }
}

fn read(key: i64) -> Invocation {
    operation(F::Read, key, Value::Nil)
}

fn write(key: i64, value: i64) -> Invocation {
    operation(F::Write, key, Value::Int(value))
}

fn cas(key: i64, old: impl Into<Value>, new: impl Into<Value>) -> Invocation {
    operation(F::Cas, key, Value::list(vec![old.into(), new.into()]))
}

fn error_name(completion: &Completion) -> String {
    match completion {
        Completion::Fail(Value::List(items)) => format!("fail {}", items[0]),
        Completion::Info(Value::List(items)) => format!("info {}", items[0]),
        other => panic!("{other:?} is no error"),
    }
}

async fn signal(etcd: &Etcd, name: &str, on: &NodeHandle) {
    let processes = etcd.kill().unwrap().processes(on).await.unwrap();
    assert!(!processes.is_empty(), "{} does not run", on.node);
    on.remote.run(&Command::new(signal_script(name, &processes))).await.unwrap();
    // It takes effect a moment later.
    let states = PROCESS_FUNCTIONS.to_owned()
        + &processes.iter().map(|one| format!("stat_of {} && echo $state\n", one.pid)).collect::<String>()
        + ":";
    let is_done = |states: &str| match name {
        "KILL" => states.split_whitespace().all(|state| state == "Z"),
        "STOP" => states.split_whitespace().all(|state| state == "T"),
        _ => true,
    };
    let begin = Instant::now();
    while !is_done(&on.remote.run(&Command::new(&states)).await.unwrap().text()) {
        assert!(begin.elapsed() < PATIENCE, "{name} on {} takes no effect", on.node);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// For whatever shall come.
const PATIENCE: Duration = Duration::from_secs(60);

/// Waits for a node on which no etcd runs.
async fn ended(etcd: &Etcd, on: &NodeHandle) -> bool {
    let begin = Instant::now();
    while !etcd.kill().unwrap().processes(on).await.unwrap().is_empty() {
        if begin.elapsed() > PATIENCE {
            return false;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    true
}

/// The one leader, as soon as all say so.
async fn the_leader<'a>(etcd: &Etcd, cluster: &'a Cluster) -> &'a NodeHandle {
    let begin = Instant::now();
    loop {
        let primaries = etcd.primaries().unwrap().primaries(cluster).await;
        if let [leader] = &primaries[..] {
            return cluster.get(leader).unwrap();
        }
        assert!(begin.elapsed() < PATIENCE, "{primaries:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn operations_on_one_node() {
    let Some(local) = cluster_of(1) else { return };
    let cluster = &local.cluster;
    let etcd = start(options(), cluster).await;
    let node = &cluster.nodes[0];
    EtcdDriver::of(&etcd, cluster).prepare().await.unwrap();
    let mut client = client(&etcd, cluster, &node.node).await;
    let ok = |value: Value| Completion::ok(value);
    let set = |value: Value, matched| Completion::Ok { value, matched: Some(matched) };
    let pair = |a, b| Value::Pair([a, b]);
    let from_nil = || Value::list(vec![Value::Nil, Value::Int(5)]);
    let words = Value::list(vec![Value::str("a"), Value::Nil, Value::Bool(true)]);
    let story = [
        (read(1), ok(Value::Nil)),
        (write(1, 7), ok(Value::Int(7))),
        (read(1), ok(Value::Int(7))),
        (cas(1, 7, 8), set(pair(7, 8), true)),
        (cas(1, 7, 9), set(pair(7, 9), false)),
        (read(1), ok(Value::Int(8))),
        (cas(2, Value::Nil, 5), set(from_nil(), true)),
        (cas(2, Value::Nil, 5), set(from_nil(), false)),
        (cas(3, 1, 2), set(pair(1, 2), false)),
        (read(3), ok(Value::Nil)),
        (operation(F::Write, 4, words.clone()), ok(words.clone())),
        (read(4), ok(words)),
        (write(5, i64::MIN), ok(Value::Int(i64::MIN))),
        (read(5), ok(Value::Int(i64::MIN))),
    ];
    for (invocation, expected) in story {
        assert_eq!(client.invoke(&invocation).await, expected, "{invocation:?}");
    }
    let huge = operation(F::Write, 6, Value::str(&"x".repeat(1_600_000)));
    assert_eq!(error_name(&client.invoke(&huge).await), "fail request-too-large");

    let error = EtcdDriver::of(&etcd, cluster).prepare().await.unwrap_err();
    assert!(error.reason.contains("4 keys"), "{error}");
    assert!(etcd.version(node).await.unwrap().starts_with("3."));
    let processes = etcd.kill().unwrap().processes(node).await.unwrap();
    node.remote.run(&Command::new(etcd.kill().unwrap().start_script(cluster, node))).await.unwrap();
    assert_eq!(etcd.kill().unwrap().processes(node).await.unwrap(), processes, "starting twice starts once");
    assert_eq!(etcd.pause().unwrap().processes(node).await.unwrap(), processes);

    let (log, name) = &etcd.log_files().unwrap().log_files(node)[0];
    let copy = local.path().join(name);
    assert!(node.remote.download(log, &copy).await.unwrap() > 0);
    etcd.setup(cluster, node).await.unwrap();
    etcd.await_ready(cluster).await.unwrap();
    assert_eq!(client.invoke(&read(1)).await, ok(Value::Nil), "setting up again begins anew");
    etcd.teardown(cluster, node).await.unwrap();
    etcd.teardown(cluster, node).await.unwrap();
    assert!(etcd.kill().unwrap().processes(node).await.unwrap().is_empty());
    assert_eq!(error_name(&client.invoke(&write(1, 1)).await), "fail not-connected");
}

#[tokio::test]
async fn a_killed_leader_is_doubt_then_certain_failure_and_others_go_on() {
    let Some(local) = cluster_of(3) else { return };
    let cluster = &local.cluster;
    let etcd = start(options(), cluster).await;
    let leader = the_leader(&etcd, cluster).await;
    let other = cluster.nodes.iter().find(|handle| handle.node != leader.node).unwrap();
    let mut at_leader = client(&etcd, cluster, &leader.node).await;
    let mut at_other = client(&etcd, cluster, &other.node).await;
    assert_eq!(at_leader.invoke(&write(1, 1)).await, Completion::ok(Value::Int(1)));
    assert_eq!(at_other.invoke(&read(1)).await, Completion::ok(Value::Int(1)));

    // Writes run while the leader dies under them.
    let load = async {
        let (mut ok, mut ends) = (0, Vec::new());
        for number in 2..100_000 {
            match at_leader.invoke(&write(1, number)).await {
                Completion::Ok { .. } => ok += 1,
                other => ends.push(error_name(&other)),
            }
            if ends.last().is_some_and(|end| end.starts_with("fail")) || ends.len() == 100 {
                break;
            }
        }
        (ok, ends)
    };
    let kill = async {
        tokio::time::sleep(Duration::from_millis(1_000)).await;
        signal(&etcd, "KILL", leader).await;
    };
    let ((ok, ends), ()) = tokio::join!(load, kill);
    assert!(ok > 0);
    let (last, before) = ends.split_last().unwrap();
    assert_eq!(last, "fail not-connected", "{ends:?}");
    assert!(before.iter().all(|end| end.starts_with("info")), "{ends:?}");
    assert!(etcd.kill().unwrap().processes(leader).await.unwrap().is_empty());

    let begin = Instant::now();
    while !matches!(at_other.invoke(&write(2, 1)).await, Completion::Ok { .. }) {
        assert!(begin.elapsed() < PATIENCE, "no new leader");
    }
    leader.remote.run(&Command::new(etcd.kill().unwrap().start_script(cluster, leader))).await.unwrap();
    etcd.await_ready(cluster).await.unwrap();
    let again = client(&etcd, cluster, &leader.node).await.invoke(&read(2)).await;
    assert_eq!(again, Completion::ok(Value::Int(1)), "the restarted member knows what it missed");
}

#[tokio::test]
async fn without_a_majority_writes_are_doubt_and_only_serializable_reads_answer() {
    let Some(local) = cluster_of(3) else { return };
    let cluster = &local.cluster;
    let etcd = start(options(), cluster).await;
    let mut patient = client(&etcd, cluster, &cluster.nodes[0].node).await;
    let hasty = Etcd::new(hasty()).unwrap();
    let mut strict = client(&hasty, cluster, &cluster.nodes[0].node).await;
    let relaxed = Etcd::new(EtcdOptions { serializable_reads: true, ..options() }).unwrap();
    let mut relaxed = client(&relaxed, cluster, &cluster.nodes[0].node).await;
    assert_eq!(patient.invoke(&write(1, 1)).await, Completion::ok(Value::Int(1)));
    for handle in &cluster.nodes[1..] {
        signal(&etcd, "STOP", handle).await;
    }
    assert_eq!(error_name(&strict.invoke(&read(1)).await), "fail timeout");
    assert_eq!(error_name(&strict.invoke(&write(1, 2)).await), "info timeout");
    assert_eq!(error_name(&strict.invoke(&cas(1, 1, 3)).await), "info timeout");
    assert_eq!(relaxed.invoke(&read(1)).await, Completion::ok(Value::Int(1)));
    let mut paused = client(&hasty, cluster, &cluster.nodes[1].node).await;
    assert_eq!(
        error_name(&paused.invoke(&write(1, 4)).await),
        "info timeout",
        "the kernel accepts for a paused member"
    );

    let begin = Instant::now();
    let primaries = etcd.primaries().unwrap().primaries(cluster).await;
    assert!(begin.elapsed() < Duration::from_secs(10), "asked for {:?}", begin.elapsed());
    assert!(primaries.len() <= 1, "{primaries:?}");
    for handle in &cluster.nodes[1..] {
        signal(&etcd, "CONT", handle).await;
    }
    etcd.await_ready(cluster).await.unwrap();
    assert!(matches!(patient.invoke(&read(1)).await, Completion::Ok { .. }));
}

#[tokio::test]
async fn what_does_not_come_up_says_what_was_seen_and_shows_the_log() {
    let Some(local) = cluster_of(3) else { return };
    let cluster = &local.cluster;
    let etcd = Etcd::new(EtcdOptions { ready_timeout_ms: 1200, ..options() }).unwrap();
    etcd.setup(cluster, &cluster.nodes[0]).await.unwrap();
    let Err(DbError::NotReady { reason, waited_ms, .. }) = etcd.await_ready(cluster).await else { panic!("ready") };
    assert!(waited_ms >= 1200);
    assert!(reason.contains("n1") || reason.contains("n2"), "{reason}");
    assert!(reason.contains("the end of its log on"), "{reason}");
}

#[tokio::test]
async fn a_member_whose_files_were_harmed_is_built_anew() {
    let Some(local) = cluster_of(3) else { return };
    let cluster = &local.cluster;
    let etcd = start(options(), cluster).await;
    let harmed = &cluster.nodes[1];
    assert_eq!(
        client(&etcd, cluster, &cluster.nodes[0].node).await.invoke(&write(1, 7)).await,
        Completion::ok(Value::Int(7))
    );
    signal(&etcd, "KILL", harmed).await;
    let files = etcd.data_files().unwrap();
    let folder = files.data_dir(harmed);
    let wals = format!("{folder}/{}", files.patterns()[0]);
    // Every byte of every log: nothing that it could repair.
    let harm =
        format!("for f in {wals}; do head -c 65536 /dev/zero >\"$f\" || exit 1; done; ls {folder}/member/snap/db");
    harmed.remote.run(&Command::new(harm)).await.unwrap();
    let restarted =
        harmed.remote.output(&Command::new(etcd.kill().unwrap().start_script(cluster, harmed))).await.unwrap();
    assert!(ended(&etcd, harmed).await, "it should refuse its files: {restarted:?}");
    let rebuild = files.rebuild_script(cluster, harmed).unwrap();
    // Twice: an undo may run again.
    for _ in 0..2 {
        let begin = Instant::now();
        harmed.remote.run(&Command::new(&rebuild).deadline(Duration::from_secs(90))).await.unwrap();
        etcd.await_ready(cluster).await.unwrap();
        eprintln!("rebuilt and ready after {:?}", begin.elapsed());
        let mut client = client(&etcd, cluster, &harmed.node).await;
        assert_eq!(client.invoke(&read(1)).await, Completion::ok(Value::Int(7)));
    }
    // From then on it is a member like the others.
    signal(&etcd, "KILL", harmed).await;
    harmed.remote.run(&Command::new(etcd.kill().unwrap().start_script(cluster, harmed))).await.unwrap();
    etcd.await_ready(cluster).await.unwrap();
}

#[tokio::test]
async fn a_binary_of_the_controller_is_brought_once() {
    let Some(local) = cluster_of(1) else { return };
    let cluster = &local.cluster;
    let binary = etcd_folder().unwrap().join("etcd");
    let etcd = start(EtcdOptions { binary: Some(binary), ..options() }, cluster).await;
    let brought = local.path().join("n1/opt/schism/etcd/etcd");
    let first = std::fs::metadata(&brought).unwrap().modified().unwrap();
    etcd.setup(cluster, &cluster.nodes[0]).await.unwrap();
    assert_eq!(std::fs::metadata(&brought).unwrap().modified().unwrap(), first);
    assert!(etcd.version(&cluster.nodes[0]).await.unwrap().starts_with("3."));
}

#[tokio::test]
async fn who_does_not_log_in_fails() {
    let Some(local) = cluster_of(1) else { return };
    let cluster = &local.cluster;
    let with = |user: &str, variable: &str| EtcdOptions {
        user: Some(user.to_owned()),
        password_env: Some(variable.to_owned()),
        enable_auth: true,
        ..options()
    };
    // Any variable that is there will do for a password.
    let etcd = start(with("tester", "HOME"), cluster).await;
    let driver = EtcdDriver::of(&etcd, cluster);
    driver.prepare().await.unwrap();
    driver.prepare().await.unwrap();
    let node = &cluster.nodes[0].node;
    let mut known = client(&etcd, cluster, node).await;
    assert_eq!(known.invoke(&write(1, 1)).await, Completion::ok(Value::Int(1)));
    assert_eq!(known.invoke(&read(1)).await, Completion::ok(Value::Int(1)));

    let nobody = Etcd::new(options()).unwrap();
    assert_eq!(error_name(&client(&nobody, cluster, node).await.invoke(&write(1, 2)).await), "fail no-user");
    let wrong = Etcd::new(with("tester", "PATH")).unwrap();
    assert_eq!(error_name(&client(&wrong, cluster, node).await.invoke(&write(1, 2)).await), "fail not-authenticated");

    // A restarted member may have forgotten the token: then an operation fails, and the next logs in anew.
    signal(&etcd, "KILL", &cluster.nodes[0]).await;
    let start = etcd.kill().unwrap().start_script(cluster, &cluster.nodes[0]);
    cluster.nodes[0].remote.run(&Command::new(start)).await.unwrap();
    etcd.await_ready(cluster).await.unwrap();
    let mut ends = Vec::new();
    for _ in 0..3 {
        ends.push(known.invoke(&read(1)).await);
    }
    assert_eq!(ends[2], Completion::ok(Value::Int(1)), "{ends:?}");
}

/// Certificates in a folder, made by the `openssl` command: an authority, a server good for `address`, a client, and
/// an authority that signed nothing.
fn certificates(folder: &Path, address: &str) -> Result<(), String> {
    let openssl = |line: &str| {
        let output = std::process::Command::new("openssl").args(line.split_whitespace()).current_dir(folder).output();
        match output {
            Ok(output) if output.status.success() => Ok(()),
            Ok(output) => Err(format!("openssl {line}: {}", String::from_utf8_lossy(&output.stderr))),
            Err(error) => Err(format!("the command openssl cannot be run: {error}")),
        }
    };
    std::fs::write(folder.join("server.cnf"), format!("subjectAltName=IP:{address}")).unwrap();
    std::fs::write(folder.join("client.cnf"), "extendedKeyUsage=clientAuth").unwrap();
    for authority in ["ca", "stranger"] {
        openssl(&format!(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout {authority}.key -out {authority}.pem \
             -days 2 -subj /CN={authority}"
        ))?;
    }
    for name in ["server", "client"] {
        openssl(&format!(
            "req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout {name}.key -out {name}.csr -subj /CN={name}"
        ))?;
        openssl(&format!(
            "x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile {name}.cnf -out {name}.pem"
        ))?;
    }
    Ok(())
}

#[tokio::test]
async fn tls_with_certificates_on_both_sides() {
    let Some(local) = cluster_of(1) else { return };
    let cluster = &local.cluster;
    let file = |name: &str| local.path().join(name);
    if let Err(reason) = certificates(local.path(), &cluster.nodes[0].address) {
        return skipped(&reason);
    }
    let with = |ca: &str, client: Option<&str>| EtcdOptions {
        tls: Some(TlsOptions {
            ca: file(ca),
            cert: client.map(|name| file(&format!("{name}.pem"))),
            key: client.map(|name| file(&format!("{name}.key"))),
            server_cert: Some(file("server.pem")),
            server_key: Some(file("server.key")),
        }),
        ..options()
    };
    let etcd = start(with("ca.pem", Some("client")), cluster).await;
    let node = &cluster.nodes[0].node;
    EtcdDriver::of(&etcd, cluster).prepare().await.unwrap();
    let mut known = client(&etcd, cluster, node).await;
    assert_eq!(known.invoke(&write(1, 1)).await, Completion::ok(Value::Int(1)));
    assert_eq!(known.invoke(&read(1)).await, Completion::ok(Value::Int(1)));

    let stranger = Etcd::new(with("stranger.pem", Some("client"))).unwrap();
    let end = client(&stranger, cluster, node).await.invoke(&write(1, 2)).await;
    assert_eq!(error_name(&end), "fail not-connected", "a server that the authority did not sign is not spoken to");
    let plain = Etcd::new(options()).unwrap();
    let end = error_name(&client(&plain, cluster, node).await.invoke(&write(1, 2)).await);
    assert!(matches!(end.as_str(), "info broken" | "info http-status"), "{end}");
    // In TLS 1.3 a server refuses a missing certificate only after the client may have sent its request.
    let nameless = Etcd::new(with("ca.pem", None)).unwrap();
    let end = error_name(&client(&nameless, cluster, node).await.invoke(&write(1, 2)).await);
    assert!(matches!(end.as_str(), "info broken" | "fail not-connected"), "{end}");
    assert_eq!(known.invoke(&read(1)).await, Completion::ok(Value::Int(1)));
}
