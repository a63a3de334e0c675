//! The probe in real network namespaces: open ways, one-way cuts, ways that the sender's own kernel closes. Passed
//! over, with the reason, where namespaces cannot be made.

#[cfg(test)]
#[path = "support"]
mod support {
    pub mod local;
    pub mod netns;
}

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use schism_cluster::Cluster;
use schism_cluster::probe::{ProbeOptions, all_pairs, reachability, reachability_with};
use schism_history::Node;
use support::netns::lab;

fn open_ways(counts: &[schism_cluster::probe::PairCount]) -> Vec<String> {
    let open = counts.iter().filter(|count| count.is_open() == Some(true));
    open.map(|count| format!("{}>{}", count.from, count.to)).collect()
}

/// Waits until all ways are open: a port of a bridge passes packets a while after it was switched on.
async fn all_open(cluster: &Cluster, pairs: &[(Node, Node)]) {
    for _ in 0..50 {
        if reachability(cluster, pairs).await.is_ok_and(|counts| open_ways(&counts).len() == pairs.len()) {
            return;
        }
    }
    panic!("not all ways open");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cuts_are_seen_as_they_are() {
    let Some((_switch, spaces, cluster)) = lab(3) else {
        println!("passed over: network namespaces, nsenter or iproute2 are missing");
        return;
    };
    let pairs = all_pairs(&cluster);
    all_open(&cluster, &pairs).await;
    let begin = Instant::now();
    let counts = reachability(&cluster, &pairs).await.unwrap();
    println!("6 pairs in {:?}", begin.elapsed());
    assert_eq!(open_ways(&counts), ["n1>n2", "n1>n3", "n2>n1", "n2>n3", "n3>n1", "n3>n2"], "{counts:?}");
    assert!(counts.iter().all(|count| (count.sent, count.refused, count.received) == (10, 0, 10)), "{counts:?}");

    // n3 drops what comes from n1, silently: n1 still hears n3.
    assert!(spaces[2].run("ip rule add lookup local priority 100; ip rule del priority 0; ip rule add from 10.99.0.1 blackhole priority 10"));
    let counts = reachability(&cluster, &pairs).await.unwrap();
    assert_eq!(open_ways(&counts), ["n1>n2", "n2>n1", "n2>n3", "n3>n1", "n3>n2"], "{counts:?}");
    let cut = counts.iter().find(|count| count.is_open() == Some(false)).unwrap();
    assert_eq!((cut.sent, cut.refused, cut.received), (10, 0, 0), "{cut:?}");

    // n1's own kernel refuses to send to n3 now.
    assert!(spaces[0].run("ip route add blackhole 10.99.0.3/32"));
    let counts = reachability(&cluster, &pairs).await.unwrap();
    let cut = counts.iter().find(|count| count.from.as_str() == "n1" && count.to.as_str() == "n3").unwrap();
    assert_eq!((cut.sent, cut.refused, cut.received), (10, 10, 0), "{cut:?}");
    assert!(spaces[0].run("ip route del blackhole 10.99.0.3/32"));
    assert!(spaces[2].run("ip rule del priority 10"));
    let counts = reachability(&cluster, &pairs).await.unwrap();
    assert_eq!(open_ways(&counts).len(), 6, "healed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_receiver_stays_behind_and_probes_do_not_mix() {
    let Some((_switch, spaces, cluster)) = lab(2) else {
        println!("passed over: network namespaces, nsenter or iproute2 are missing");
        return;
    };
    let pairs = all_pairs(&cluster);
    all_open(&cluster, &pairs).await;
    let (one, two) = tokio::join!(reachability(&cluster, &pairs), reachability(&cluster, &pairs));
    for counts in [one.unwrap(), two.unwrap()] {
        assert!(counts.iter().all(|count| count.received == 10), "{counts:?}");
    }
    // A receiver that was asked to end takes a moment for it.
    let none = "n=0; while grep -q schism- /proc/net/unix; do n=$((n+1)); [ $n -lt 500 ] || exit 1; sleep 0.02; done";
    assert!(spaces[0].run(none));
    // A fixed port that is taken is a problem of its node, told with the reason.
    let port = 4321;
    let taken = "exec perl -MSocket=:all -e 'my $u; socket($u, AF_INET6, SOCK_DGRAM, 0) && bind($u, pack_sockaddr_in6(4321, IN6ADDR_ANY)) or die; $| = 1; print 1; sleep 60'";
    let prefix = spaces[0].prefix();
    let mut squatter =
        Command::new(&prefix[0]).args(&prefix[1..]).args(["sh", "-c", taken]).stdout(Stdio::piped()).spawn().unwrap();
    let ready = std::io::Read::read_exact(squatter.stdout.as_mut().unwrap(), &mut [0]);
    let options = ProbeOptions { port, deadline: Duration::from_secs(5), ..ProbeOptions::default() };
    let counts = reachability_with(&cluster, &pairs, options).await;
    squatter.kill().unwrap();
    squatter.wait().unwrap();
    ready.unwrap();
    let counts = counts.unwrap();
    let problem = counts[1].problem.clone().unwrap();
    assert!(problem.contains("cannot bind UDP port 4321"), "{problem}");
}
