//! Who reaches whom: numbered datagrams for each ordered pair of nodes, counted at the receiver.
//!
//! Three steps, each one command on all nodes at once, so that nothing rests on clocks or on how fast a node starts:
//! a receiver is bound on every node and stays behind in the background; then every node sends; then every receiver is
//! asked for its counts, and ends. A receiver that nobody asks ends by itself. Nodes need `perl` (Debian's `perl-base`
//! is enough) and nothing on disk: the receiver is asked over a socket in Linux's abstract name space, which is a
//! matter of the node alone and passes no packet filter.
//!
//! Datagrams carry a word of this run and the numbers of sender, receiver and datagram: strangers do not count, nor do
//! duplicates. Only UDP is probed here; [`tcp`] looks at connections, and [`quality`] at what becomes of datagrams that
//! arrive (delay, loss, duplicates, order, damage, rate).

pub mod quality;
pub mod tcp;

use std::collections::BTreeMap;
use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

use schism_history::Node;
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;

use crate::cluster::{Cluster, NodeHandle};
use crate::process;
use crate::remote::{Command, Output, RemoteError};
use crate::shell::words;

pub use process::{descendants, parse_stat, process_id, process_states};

/// How it is probed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProbeOptions {
    /// Datagrams for each pair.
    pub count: u32,
    /// The time over which they are spread.
    pub spread_ms: u32,
    /// How long the last one may take.
    pub drain_ms: u32,
    /// The port that receivers bind; 0 lets each node choose a free one.
    pub port: u16,
    /// How long each of the three steps may take.
    pub deadline: Duration,
}

impl Default for ProbeOptions {
    /// 10 datagrams over 100 ms, 150 ms to arrive, a free port, 10 s for each step.
    fn default() -> ProbeOptions {
        ProbeOptions { count: 10, spread_ms: 100, drain_ms: 150, port: 0, deadline: Duration::from_secs(10) }
    }
}

/// What became of the datagrams from one node to another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PairCount {
    /// The sender.
    pub from: Node,
    /// The receiver.
    pub to: Node,
    /// Datagrams that it tried to send.
    pub sent: u32,
    /// Of those, how many its own kernel would not take (a filter on its way out, no route).
    pub refused: u32,
    /// How many arrived, duplicates not counted.
    pub received: u32,
    /// Why nothing can be said of this pair, if so: one of the two did not answer. Then the counts mean nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

impl PairCount {
    /// Whether the way is open; `None` if that is not known. Losing some is open: a cut loses all.
    pub fn is_open(&self) -> Option<bool> {
        (self.problem.is_none() && self.sent > 0).then_some(self.received > 0)
    }
}

/// Every ordered pair of different nodes.
pub fn all_pairs(cluster: &Cluster) -> Vec<(Node, Node)> {
    let names = cluster.names();
    let pairs = names.iter().flat_map(|from| names.iter().map(move |to| (from.clone(), to.clone())));
    pairs.filter(|(from, to)| from != to).collect()
}

/// Probes with the usual options. About 0.3 s on a quiet lab.
///
/// # Errors
/// See [`reachability_with`].
pub async fn reachability(cluster: &Cluster, pairs: &[(Node, Node)]) -> Result<Vec<PairCount>, RemoteError> {
    reachability_with(cluster, pairs, ProbeOptions::default()).await
}

/// Probes the ordered pairs, in their order. A node that does not answer, or is not of the cluster, is a problem of
/// its pairs alone.
///
/// # Errors
/// Where no node at all answers: the error of the first.
pub async fn reachability_with(
    cluster: &Cluster,
    pairs: &[(Node, Node)],
    options: ProbeOptions,
) -> Result<Vec<PairCount>, RemoteError> {
    let probe = Probe { cluster, pairs, options, token: fresh_token() };
    let bound = probe.receivers().await;
    let nobody = bound.values().all(Result::is_err);
    if let Some(Err(error)) = bound.values().next().filter(|_| nobody) {
        return Err(error.clone());
    }
    let ports: BTreeMap<usize, Result<u16, String>> =
        bound.into_iter().map(|(index, answer)| (index, port_of(answer))).collect();
    let sent = probe.senders(&ports).await;
    tokio::time::sleep(Duration::from_millis(u64::from(options.drain_ms))).await;
    let received = probe.counts(&ports).await;
    Ok(pairs.iter().map(|pair| probe.pair(pair, &ports, &sent, &received)).collect())
}

/// A word of this probe.
fn fresh_token() -> String {
    format!("{:016x}", RandomState::new().hash_one(std::process::id()))
}

fn port_of(answer: Result<Output, RemoteError>) -> Result<u16, String> {
    let output = answer.map_err(|error| error.to_string())?;
    output.text().parse().map_err(|_| format!("the receiver said {:?} for its port", output.text()))
}

/// Answers by the place of the node in the cluster.
type Answers = BTreeMap<usize, Result<Output, RemoteError>>;

fn place_of(cluster: &Cluster, node: &Node) -> Option<usize> {
    cluster.nodes.iter().position(|handle| handle.node == *node)
}

/// Runs one script a node, all at once.
async fn everywhere(
    cluster: &Cluster,
    deadline: Duration,
    script: impl Fn(usize, &NodeHandle) -> Option<String>,
) -> Answers {
    let mut tasks = JoinSet::new();
    for (index, handle) in cluster.nodes.iter().enumerate() {
        let Some(script) = script(index, handle) else { continue };
        let remote = std::sync::Arc::clone(&handle.remote);
        let command = Command::new(script).deadline(deadline);
        tasks.spawn(async move { (index, remote.run(&command).await) });
    }
    let mut answers = BTreeMap::new();
    while let Some(done) = tasks.join_next().await {
        // A task that panicked has no answer; its pairs say so.
        if let Ok((index, answer)) = done {
            answers.insert(index, answer);
        }
    }
    answers
}

struct Probe<'a> {
    cluster: &'a Cluster,
    pairs: &'a [(Node, Node)],
    options: ProbeOptions,
    token: String,
}

impl Probe<'_> {
    fn place(&self, node: &Node) -> Option<usize> {
        place_of(self.cluster, node)
    }

    async fn everywhere(&self, script: impl Fn(usize, &NodeHandle) -> Option<String>) -> Answers {
        everywhere(self.cluster, self.options.deadline, script).await
    }

    fn name(&self, index: usize) -> String {
        format!("schism-{}-{index}", self.token)
    }

    async fn receivers(&self) -> Answers {
        let lease_s = (self.options.deadline.as_secs() * 3).clamp(5, 300)
            + u64::from(self.options.spread_ms + self.options.drain_ms) / 1000;
        let (port, lease) = (self.options.port.to_string(), lease_s.to_string());
        let takes_part =
            |handle: &NodeHandle| self.pairs.iter().any(|(from, to)| handle.node == *from || handle.node == *to);
        self.everywhere(|index, handle| {
            let name = self.name(index);
            takes_part(handle).then(|| perl(RECEIVER, &[&name, &self.token, &index.to_string(), &port, &lease]))
        })
        .await
    }

    async fn senders(&self, ports: &BTreeMap<usize, Result<u16, String>>) -> Answers {
        let (count, spread) = (self.options.count.to_string(), self.options.spread_ms.to_string());
        self.everywhere(|index, handle| {
            let mut arguments = vec![self.token.clone(), index.to_string(), count.clone(), spread.clone()];
            for (_, to) in self.pairs.iter().filter(|(from, _)| *from == handle.node) {
                let Some(place) = self.place(to) else { continue };
                if let Some(Ok(port)) = ports.get(&place) {
                    arguments.extend([place.to_string(), self.cluster.nodes[place].address.clone(), port.to_string()]);
                }
            }
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            (arguments.len() > 4).then(|| perl(SENDER, &arguments))
        })
        .await
    }

    async fn counts(&self, ports: &BTreeMap<usize, Result<u16, String>>) -> Answers {
        self.everywhere(|index, _| {
            matches!(ports.get(&index), Some(Ok(_))).then(|| perl(COLLECTOR, &[&self.name(index)]))
        })
        .await
    }

    fn pair(
        &self,
        (from, to): &(Node, Node),
        ports: &BTreeMap<usize, Result<u16, String>>,
        sent: &Answers,
        received: &Answers,
    ) -> PairCount {
        let mut count =
            PairCount { from: from.clone(), to: to.clone(), sent: 0, refused: 0, received: 0, problem: None };
        let found = (|| {
            let from_place = self.place(from).ok_or_else(|| format!("{from} is not of the cluster"))?;
            let to_place = self.place(to).ok_or_else(|| format!("{to} is not of the cluster"))?;
            if let Some(Err(problem)) = ports.get(&to_place) {
                return Err(problem.clone());
            }
            let sent = row(sent.get(&from_place), to_place, from)?;
            let [tried, refused] = sent[..] else {
                return Err(format!(
                    "{from} could not send to {to}: its address is none, or of a family that {from} lacks"
                ));
            };
            let received = row(received.get(&to_place), from_place, to)?;
            Ok((tried, refused, received.first().copied().unwrap_or(0)))
        })();
        match found {
            Ok((tried, refused, received)) => (count.sent, count.refused, count.received) = (tried, refused, received),
            Err(problem) => count.problem = Some(problem),
        }
        count
    }
}

/// The numbers after `place` in the line of an answer that begins with it; none if there is no such line.
fn row(answer: Option<&Result<Output, RemoteError>>, place: usize, node: &Node) -> Result<Vec<u32>, String> {
    let output = match answer {
        None => return Err(format!("{node} was not asked or did not answer")),
        Some(Err(error)) => return Err(error.to_string()),
        Some(Ok(output)) => output,
    };
    for line in output.text().lines() {
        let mut fields = line.split_whitespace().map(str::parse::<u32>);
        if fields.next() == Some(Ok(u32::try_from(place).unwrap_or(u32::MAX))) {
            return fields.collect::<Result<_, _>>().map_err(|_| format!("{node} answered {line:?}"));
        }
    }
    Ok(Vec::new())
}

fn perl(program: &str, arguments: &[&str]) -> String {
    let mut argv = vec!["perl", "-e", program, "--"];
    argv.extend_from_slice(arguments);
    format!("exec {}", words(&argv))
}

/// name, token, own number, port, lease in seconds. Prints its port once it is bound, and stays in the background.
/// Both families where the kernel has both.
const RECEIVER: &str = r#"use strict; use Socket qw(:all); use POSIX ();
my ($name, $token, $me, $port, $lease) = @ARGV;
my ($u, $bound);
if (socket($u, AF_INET6, SOCK_DGRAM, 0)) {
  setsockopt($u, IPPROTO_IPV6, IPV6_V6ONLY, pack("l", 0));
  $bound = bind($u, pack_sockaddr_in6($port, IN6ADDR_ANY));
}
$bound or socket($u, AF_INET, SOCK_DGRAM, 0) && bind($u, pack_sockaddr_in($port, INADDR_ANY)) or die "cannot bind UDP port $port: $!\n";
my $own = getsockname($u);
$port = (sockaddr_family($own) == AF_INET6 ? unpack_sockaddr_in6($own) : unpack_sockaddr_in($own))[0];
my $s; socket($s, AF_UNIX, SOCK_STREAM, 0) && bind($s, pack_sockaddr_un("\0$name")) && listen($s, 4) or die "cannot bind a local socket: $!\n";
$SIG{CHLD} = "IGNORE"; $SIG{PIPE} = "IGNORE";
defined(my $child = fork) or die "cannot fork: $!\n";
if ($child) { $| = 1; print "$port\n"; exit 0 }
POSIX::setsid(); chdir "/";
open STDIN, "<", "/dev/null"; open STDOUT, ">", "/dev/null"; open STDERR, ">", "/dev/null";
my ($end, %seen) = (time + $lease);
while ((my $left = $end - time) > 0) {
  my $in = ""; vec($in, fileno $u, 1) = 1; vec($in, fileno $s, 1) = 1;
  next if select($in, undef, undef, $left) <= 0;
  while (vec($in, fileno $u, 1) && defined recv($u, my $got, 200, MSG_DONTWAIT)) {
    $seen{$1}{$2} = 1 if $got =~ /^\Q$token\E (\d+) \Q$me\E (\d+)$/;
  }
  if (vec($in, fileno $s, 1) && accept(my $c, $s)) {
    syswrite $c, join("", map { "$_ " . keys(%{$seen{$_}}) . "\n" } sort keys %seen) . "end\n";
    exit 0;
  }
}
"#;

/// token, own number, count, spread in ms, then number, address and port of each peer. Prints for each: number, sent,
/// refused; nothing for one whose address means nothing here.
const SENDER: &str = r#"use strict; use Socket qw(:all);
my ($token, $me, $count, $spread, @rest) = @ARGV;
my @peers;
while (my ($to, $address, $port) = splice @rest, 0, 3) {
  my ($error, @found) = getaddrinfo($address, $port, { socktype => SOCK_DGRAM });
  next if $error || !@found;
  socket(my $u, $found[0]{family}, SOCK_DGRAM, 0) or next;
  push @peers, { to => $to, socket => $u, address => $found[0]{addr}, refused => 0 };
}
for my $n (1 .. $count) {
  for my $p (@peers) {
    defined send($p->{socket}, "$token $me $p->{to} $n", MSG_DONTWAIT, $p->{address}) or $p->{refused}++;
  }
  select undef, undef, undef, $spread / 1000 / $count;
}
print "$_->{to} $count $_->{refused}\n" for @peers;
"#;

/// name. Prints what the receiver of that name counted: sender, datagrams. Fails if there is none.
const COLLECTOR: &str = r#"use strict; use Socket qw(:all);
my ($name) = @ARGV;
my $s; socket($s, AF_UNIX, SOCK_STREAM, 0) && connect($s, pack_sockaddr_un("\0$name")) or die "the receiver is gone: $!\n";
my $all = ""; 1 while sysread $s, $all, 4096, length $all;
$all =~ s/^end\n\z//m or die "the receiver ended in the middle of its answer\n";
print $all;
"#;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::script::{ended, said, scripted_cluster};

    fn pairs(text: &str) -> Vec<(Node, Node)> {
        let pair = |pair: &str| pair.split_once('>').map(|(from, to)| (Node::new(from), Node::new(to)));
        text.split(' ').filter_map(pair).collect()
    }

    /// From, to, sent, refused, received, and whether the way is open.
    fn told(counts: &[PairCount]) -> Vec<String> {
        let one =
            |c: &PairCount| format!("{}>{} {} {} {} {:?}", c.from, c.to, c.sent, c.refused, c.received, c.is_open());
        counts.iter().map(one).collect()
    }

    #[tokio::test]
    async fn answers_become_counts() {
        let (cluster, log) = scripted_cluster(&["n1", "n2", "n3"]);
        log.on("cannot bind", said("4000\n"));
        log.on_node("n1", "could not send", said("")).on_node("n1", "getaddrinfo", said("1 10 0\n2 10 10\n"));
        log.on_node("n2", "getaddrinfo", said("0 10 0\n"));
        log.on_node("n1", "sysread", said("1 9\n")).on_node("n2", "sysread", said("")).on_node(
            "n3",
            "sysread",
            said("0 0\n"),
        );
        let counts = reachability(&cluster, &pairs("n1>n2 n2>n1 n1>n3")).await.unwrap();
        let expected = ["n1>n2 10 0 0 Some(false)", "n2>n1 10 0 9 Some(true)", "n1>n3 10 10 0 Some(false)"];
        assert_eq!(told(&counts), expected);
        assert_eq!(log.entries().len(), 3 + 2 + 3, "n3 sends nothing");
        let sends = log.scripts_of("n1")[1].clone();
        assert!(sends.ends_with(" 0 10 100 1 10.0.0.2 4000 2 10.0.0.3 4000"), "{sends}");
    }

    #[tokio::test]
    async fn one_silent_node_spoils_its_own_pairs_only() {
        let (cluster, log) = scripted_cluster(&["n1", "n2", "n3"]);
        log.unreachable("n3");
        log.on("cannot bind", said("4000\n"));
        log.on_node("n1", "getaddrinfo", said("1 10 0\n")).on_node("n2", "getaddrinfo", said("0 10 0\n"));
        log.on_node("n1", "sysread", said("1 10\n")).on_node("n2", "sysread", said("0 10\n"));
        let asked = pairs("n1>n2 n2>n1 n1>n3 n3>n1 n1>n9 n9>n1");
        let counts = reachability(&cluster, &asked).await.unwrap();
        let open: Vec<Option<bool>> = counts.iter().map(PairCount::is_open).collect();
        assert_eq!(open, [Some(true), Some(true), None, None, None, None]);
        let problem = counts[2].problem.clone().unwrap();
        assert!(problem.contains("n3") && problem.contains("cannot be reached"), "{problem}");
        assert!(counts[4].problem.clone().unwrap().contains("not of the cluster"));
    }

    #[tokio::test]
    async fn garbage_is_a_problem_and_never_a_count() {
        for (port, sent, received) in
            [("x", "1 10 0", "0 10"), ("4000", "1 10", "0 10"), ("4000", "1 10 0", "0 many"), ("70000", "", "")]
        {
            let (cluster, log) = scripted_cluster(&["n1", "n2"]);
            log.on("cannot bind", said(port)).on("getaddrinfo", said(sent)).on("sysread", said(received));
            let counts = reachability(&cluster, &pairs("n1>n2")).await.unwrap();
            assert_eq!(counts[0].is_open(), None, "{port} {sent} {received}: {counts:?}");
        }
    }

    #[tokio::test]
    async fn nobody_at_all_is_an_error() {
        let (cluster, log) = scripted_cluster(&["n1", "n2"]);
        log.on("perl", ended(127, "perl: not found"));
        let error = reachability(&cluster, &all_pairs(&cluster)).await.unwrap_err();
        assert!(error.to_string().contains("perl: not found"), "{error}");
        assert_eq!(reachability(&cluster, &[]).await.unwrap(), []);
    }
}
