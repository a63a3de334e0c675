//! What the etcd database tells nodes, word for word, against a recording remote.

#![allow(clippy::unwrap_used)]

use schism_cluster::script::{ended, said, scripted_cluster};
use schism_cluster::{Cluster, Db, DbError};
use schism_history::Node;
use schism_tests_suites::etcd::{Etcd, EtcdOptions, TlsOptions};

fn cluster() -> (Cluster, std::sync::Arc<schism_cluster::script::Log>) {
    let (mut cluster, log) = scripted_cluster(&["n1", "n2", "n3"]);
    for (handle, address) in cluster.nodes.iter_mut().zip(["10.0.0.1", "10.0.0.2", "fd00::3"]) {
        handle.address = address.to_owned();
    }
    (cluster, log)
}

/// The last word of each script tells what it was; the golden parts are looked for one by one.
#[tokio::test]
async fn setting_up_looks_for_the_binary_stops_wipes_and_starts() {
    let (cluster, log) = cluster();
    let etcd = Etcd::new(EtcdOptions { heartbeat_ms: 200, election_ms: 2000, ..EtcdOptions::default() }).unwrap();
    etcd.setup(&cluster, &cluster.nodes[2]).await.unwrap();
    assert!(log.scripts_of("n1").is_empty() && log.scripts_of("n2").is_empty());
    let scripts = log.scripts_of("n3");
    assert_eq!(scripts.len(), 5, "{scripts:#?}");
    assert_eq!(scripts[0], "PATH=\"$PATH:/opt/schism/etcd\"; export PATH\ncommand -v etcd");
    assert!(scripts[1].contains("kill -s KILL"), "{}", scripts[1]);
    assert_eq!(scripts[2], "rm -rf /var/lib/schism/data/etcd /var/lib/schism-etcd-tls /var/log/schism-etcd.log");
    assert_eq!(
        scripts[3],
        "mkdir -p /var/lib/schism/data/etcd && chmod 700 /var/lib/schism/data/etcd && { sync -f /var/lib/schism/data/etcd 2>/dev/null || sync; }"
    );
    assert_eq!(scripts[4], etcd.kill().unwrap().start_script(&cluster, &cluster.nodes[2]), "the undo of a kill");
    let argv = "exec etcd --name=n3 --data-dir=/var/lib/schism/data/etcd --listen-peer-urls=http://[fd00::3]:2380 \
                --initial-advertise-peer-urls=http://[fd00::3]:2380 --listen-client-urls=http://[fd00::3]:2379 \
                --advertise-client-urls=http://[fd00::3]:2379 \
                --initial-cluster=n1=http://10.0.0.1:2380,n2=http://10.0.0.2:2380,n3=http://[fd00::3]:2380 \
                --initial-cluster-state=new --initial-cluster-token=schism --heartbeat-interval=200 --election-timeout=2000";
    let unquoted = scripts[4].replace(['\'', '\\'], "");
    assert!(unquoted.contains(argv), "{unquoted}");
    assert!(unquoted.starts_with("PATH=\"$PATH:/opt/schism/etcd\"; export PATH\n"), "{unquoted}");
    assert!(
        unquoted.contains("/run/schism-etcd/etcd.pid") && unquoted.contains("/var/log/schism-etcd.log"),
        "{unquoted}"
    );
}

#[tokio::test]
async fn a_harmed_member_is_built_anew_where_no_secret_is_needed() {
    let (cluster, _) = cluster();
    let etcd = Etcd::new(EtcdOptions::default()).unwrap();
    let files = etcd.data_files().unwrap();
    assert_eq!(files.data_dir(&cluster.nodes[0]), "/var/lib/schism/data/etcd");
    assert!(files.patterns().contains(&"member/wal/*.wal"));
    let script = files.rebuild_script(&cluster, &cluster.nodes[2]).unwrap().replace(['\'', '\\'], "");
    for part in [
        "-- n3 http://[fd00::3]:2380 n1 http://10.0.0.1:2380 10.0.0.1 2379 n2 http://10.0.0.2:2380 10.0.0.2 2379)",
        "ETCD_INITIAL_CLUSTER_STATE=existing\n",
        "rm -rf /var/lib/schism/data/etcd && mkdir -p /var/lib/schism/data/etcd",
        "exec etcd --name=n3 --data-dir=/var/lib/schism/data/etcd ",
    ] {
        assert!(script.contains(part), "{part}: {script}");
    }
    assert!(!script.contains("--initial-cluster"), "{script}");
    let alone = Cluster { nodes: vec![cluster.nodes[0].clone()], ground: cluster.ground.clone() };
    assert_eq!(files.rebuild_script(&alone, &alone.nodes[0]), None);
}

#[tokio::test]
async fn tearing_down_stops_and_wipes() {
    let (cluster, log) = cluster();
    let etcd = Etcd::new(EtcdOptions::default()).unwrap();
    etcd.teardown(&cluster, &cluster.nodes[0]).await.unwrap();
    let scripts = log.scripts_of("n1");
    assert_eq!(scripts.len(), 2);
    assert!(scripts[0].contains("/run/schism-etcd/etcd.pid"), "{}", scripts[0]);
    assert_eq!(scripts[1], "rm -rf /var/lib/schism/data/etcd /var/lib/schism-etcd-tls /var/log/schism-etcd.log");
}

#[tokio::test]
async fn a_node_without_a_binary_says_what_to_do_and_is_left_alone() {
    let (cluster, log) = cluster();
    log.on("command -v etcd", ended(127, ""));
    let etcd = Etcd::new(EtcdOptions::default()).unwrap();
    let error = etcd.setup(&cluster, &cluster.nodes[0]).await.unwrap_err();
    assert!(matches!(error, DbError::Missing { .. }));
    let text = error.to_string();
    for part in ["etcd is not there", "n1", "etcd-server", "binary"] {
        assert!(text.contains(part), "{text}");
    }
    assert_eq!(log.scripts_of("n1").len(), 1);
}

#[tokio::test]
async fn files_that_are_not_there_are_told_before_a_node_is_changed() {
    let (cluster, log) = cluster();
    let etcd = Etcd::new(EtcdOptions { binary: Some("/nowhere/etcd".into()), ..EtcdOptions::default() }).unwrap();
    let text = etcd.setup(&cluster, &cluster.nodes[0]).await.unwrap_err().to_string();
    assert!(text.contains("/nowhere/etcd"), "{text}");

    // Any file with a certificate would do; the empty options of an existing cluster have no server's certificate.
    let folder = tempfile::tempdir().unwrap();
    let ca = folder.path().join("ca.pem");
    std::fs::write(&ca, "").unwrap();
    let tls = TlsOptions { ca, cert: None, key: None, server_cert: None, server_key: None };
    let text = Etcd::new(EtcdOptions { tls: Some(tls), ..EtcdOptions::default() }).unwrap_err().to_string();
    assert!(text.contains("no certificate in it"), "{text}");
    assert!(log.entries().is_empty());
}

#[tokio::test]
async fn a_binary_is_brought_where_it_is_another() {
    let folder = tempfile::tempdir().unwrap();
    let binary = folder.path().join("etcd-of-mine");
    std::fs::write(&binary, "abc").unwrap();
    let hash = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    for (there, brought) in [(said(&format!("{hash}  /opt/schism/etcd/etcd")), 0), (said("0000"), 1), (ended(1, ""), 1)]
    {
        let (cluster, log) = cluster();
        log.on("sha256sum", there);
        let etcd = Etcd::new(EtcdOptions { binary: Some(binary.clone()), ..EtcdOptions::default() }).unwrap();
        etcd.setup(&cluster, &cluster.nodes[0]).await.unwrap();
        let uploads =
            log.lines().iter().filter(|line| line.contains("/opt/schism/etcd/etcd") && !line.contains('$')).count();
        assert_eq!(uploads, brought, "{:#?}", log.lines());
        assert!(log.scripts_of("n1").last().unwrap().contains("exec /opt/schism/etcd/etcd "));
    }
}

#[tokio::test]
async fn processes_are_those_of_the_pid_file_and_only_while_it_is_the_same() {
    let cases = [
        ("stopped", "", 0),
        ("running 70 900", "70 900\n71 905\n", 2),
        // The number was given to another process between the two looks.
        ("running 70 900", "70 999\n71 905\n", 0),
        ("running 70 900", "", 0),
    ];
    for (status, family, count) in cases {
        let (cluster, log) = cluster();
        log.on("echo stopped", said(status)).on("", said(family));
        let etcd = Etcd::new(EtcdOptions::default()).unwrap();
        let processes = etcd.kill().unwrap().processes(&cluster.nodes[0]).await.unwrap();
        assert_eq!(processes.len(), count, "{status} {family}");
        assert_eq!(etcd.pause().unwrap().processes(&cluster.nodes[0]).await.unwrap(), processes);
    }
}

#[tokio::test]
async fn nobody_leads_where_nobody_answers() {
    let (mut cluster, _) = scripted_cluster(&["n1"]);
    // Nothing listens on this address of loopback.
    cluster.nodes[0].address = "127.255.255.254".to_owned();
    let etcd = Etcd::new(EtcdOptions { ready_timeout_ms: 1, ..EtcdOptions::default() }).unwrap();
    assert_eq!(etcd.primaries().unwrap().primaries(&cluster).await, Vec::<Node>::new());
    let error = etcd.await_ready(&cluster).await.unwrap_err();
    assert!(error.to_string().contains("not-connected"), "{error}");
}

fn is_posix(script: &str) {
    let output = std::process::Command::new("sh").args(["-n", "-c", script]).output().unwrap();
    assert!(output.status.success(), "{}\n{script}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test]
async fn members_join_again_by_a_script_that_stands_alone() {
    let (cluster, log) = cluster();
    let etcd = Etcd::new(EtcdOptions::default()).unwrap();
    let membership = etcd.membership().unwrap();
    let (n1, n3) = (Node::new("n1"), Node::new("n3"));
    let (through, own) = membership.rejoin_scripts(&cluster, &n3, &n1);
    assert_eq!(through, "", "the node does it alone");
    is_posix(&own);
    assert!(log.entries().is_empty(), "nothing is asked to write it");
    let plain = own.replace(['\'', '\\'], "");
    // It looks first whether there is anything to do, and starts on old data only as what it is.
    let (check, rebuild) = plain.split_once("ETCD_INITIAL_CLUSTER=").unwrap();
    assert!(check.contains("if is_member 1; then exit 0; fi"), "{check}");
    assert!(check.contains("if [ -d /var/lib/schism/data/etcd/member/wal ] && is_member 0; then"), "{check}");
    assert!(rebuild.contains("rm -rf /var/lib/schism/data/etcd"), "{rebuild}");
    // Where secrets would have to stand in the ledger it cannot be done.
    let login =
        EtcdOptions { user: Some("tess".to_owned()), password_env: Some("PATH".to_owned()), ..EtcdOptions::default() };
    assert!(Etcd::new(login).unwrap().membership().is_none());
}

#[tokio::test]
async fn a_script_tells_the_processes_on_the_node() {
    let (cluster, _) = cluster();
    let etcd = Etcd::new(EtcdOptions::default()).unwrap();
    let script = etcd.kill().unwrap().processes_script(&cluster.nodes[0]).unwrap();
    is_posix(&script);
    // The same on a machine without a daemon, and with one.
    let folder = tempfile::tempdir().unwrap();
    let here = script.replace("/run/schism-etcd", &folder.path().display().to_string());
    let run = || {
        let output = std::process::Command::new("sh").args(["-c", &here]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(run(), "");
    let mut child = std::process::Command::new("sh").args(["-c", "sleep 30 & wait"]).spawn().unwrap();
    let start = |pid: u32| -> String {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        stat.rsplit_once(") ").unwrap().1.split(' ').nth(19).unwrap().to_owned()
    };
    let own = format!("{} {}", child.id(), start(child.id()));
    std::fs::write(folder.path().join("etcd.pid"), format!("{own}\n")).unwrap();
    let children = format!("/proc/{0}/task/{0}/children", child.id());
    let mut sleeper = String::new();
    while sleeper.is_empty() {
        sleeper = std::fs::read_to_string(&children).unwrap().trim().to_owned();
    }
    let pid: u32 = sleeper.parse().unwrap();
    let expected = format!("{own}\n{pid} {}\n", start(pid));
    let found = run();
    child.kill().unwrap();
    child.wait().unwrap();
    end(pid);
    assert_eq!(found, expected);
}

/// Ends a process that this test started.
fn end(pid: u32) {
    assert!(std::process::Command::new("kill").arg(pid.to_string()).status().unwrap().success());
}
