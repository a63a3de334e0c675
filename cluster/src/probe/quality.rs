//! What becomes of datagrams between nodes: how long they take, how many are lost, doubled, overtaken or damaged, and how
//! many bits a second arrive.
//!
//! Three steps as in [`crate::probe`]: receivers are bound, senders send and listen for echoes, receivers are asked. Times
//! are taken on one node alone, by its monotonic clock: a round trip at the sender, a rate between the first and the last
//! arrival at the receiver; so no two clocks are compared, and a clock that jumps does no harm. A round trip is made of
//! both ways and of what the echo takes (a node under load answers late): compare it with one that was measured
//! before. UDP checksums are switched off, or the kernel would throw damaged datagrams away and they would look lost.
//!
//! Cost: `count` datagrams of `payload_bytes` for each pair, twice that where they are echoed, over `spread_ms`.

use std::collections::BTreeMap;
use std::time::Duration;

use schism_history::Node;
use serde::{Deserialize, Serialize};

use super::{Answers, everywhere, fresh_token, perl, place_of, port_of, row};
use crate::cluster::Cluster;
use crate::remote::RemoteError;

/// What a frame adds to the payload of a datagram: Ethernet, IPv4 and UDP headers.
pub const OVERHEAD_BYTES: u32 = 42;

/// How links are sampled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QualityOptions {
    /// Datagrams for each pair.
    pub count: u32,
    /// The time over which they are spread evenly.
    pub spread_ms: u32,
    /// How large each is, headers not counted; 64 to 1400.
    pub payload_bytes: u32,
    /// How long the last echo, or the last arrival, may take.
    pub drain_ms: u32,
    /// Whether each datagram is echoed, which gives round trips.
    pub echo: bool,
    /// How long a step may take beyond what is said above.
    pub deadline: Duration,
}

impl Default for QualityOptions {
    /// 100 datagrams of 256 bytes over 500 ms, echoed, 500 ms to arrive, 20 s beyond that (machines may be emulated).
    fn default() -> QualityOptions {
        QualityOptions {
            count: 100,
            spread_ms: 500,
            payload_bytes: 256,
            drain_ms: 500,
            echo: true,
            deadline: Duration::from_secs(20),
        }
    }
}

/// Round trips, microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoundTrips {
    /// How many came back.
    pub count: u32,
    /// The shortest.
    pub min_us: u32,
    /// The middle one.
    pub median_us: u32,
    /// Nine of ten were shorter.
    pub p90_us: u32,
    /// The longest.
    pub max_us: u32,
}

impl RoundTrips {
    /// Of these, if there are any.
    pub fn of(mut all: Vec<u32>) -> Option<RoundTrips> {
        all.sort_unstable();
        let at = |part: usize| all.get((all.len() - 1) * part / 10).copied();
        let (min_us, max_us) = (*all.first()?, *all.last()?);
        let count = u32::try_from(all.len()).unwrap_or(u32::MAX);
        Some(RoundTrips { count, min_us, median_us: at(5)?, p90_us: at(9)?, max_us })
    }
}

/// What became of the datagrams from one node to another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkSample {
    /// The sender.
    pub from: Node,
    /// The receiver.
    pub to: Node,
    /// Datagrams that it tried to send.
    pub sent: u32,
    /// Of those, how many its own kernel would not take (a filter on its way out, a full queue).
    pub refused: u32,
    /// How many different ones arrived whole.
    pub received: u32,
    /// Further copies of those.
    pub duplicates: u32,
    /// Of those that arrived, how many had been overtaken.
    pub out_of_order: u32,
    /// How many arrived damaged.
    pub corrupted: u32,
    /// Bits a second that were sent, headers counted; 0 where that cannot be told.
    pub offered_bits_per_s: u64,
    /// Bits a second that arrived, headers counted; 0 where fewer than three arrived.
    pub arrived_bits_per_s: u64,
    /// Round trips that begin on this link, where echoes were asked for and came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub round_trips: Option<RoundTrips>,
    /// Why nothing can be said of this pair, if so. Then the counts mean nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

impl LinkSample {
    /// One of which nothing is known yet.
    pub fn empty(from: Node, to: Node) -> LinkSample {
        LinkSample {
            from,
            to,
            sent: 0,
            refused: 0,
            received: 0,
            duplicates: 0,
            out_of_order: 0,
            corrupted: 0,
            offered_bits_per_s: 0,
            arrived_bits_per_s: 0,
            round_trips: None,
            problem: None,
        }
    }

    /// How many went on their way.
    pub fn on_their_way(&self) -> u32 {
        self.sent.saturating_sub(self.refused)
    }

    /// How many of those never came, whole or damaged.
    pub fn lost(&self) -> u32 {
        self.on_their_way().saturating_sub(self.received).saturating_sub(self.corrupted)
    }
}

/// Samples the ordered pairs, in their order. A node that does not answer is a problem of its pairs alone.
///
/// # Errors
/// Where no node at all answers: the error of the first.
pub async fn sample_links(
    cluster: &Cluster,
    pairs: &[(Node, Node)],
    options: QualityOptions,
) -> Result<Vec<LinkSample>, RemoteError> {
    let token = fresh_token();
    let name = |index: usize| format!("schism-{token}-{index}");
    let lasting = Duration::from_millis(u64::from(options.spread_ms) + u64::from(options.drain_ms));
    let lease_s = (options.deadline.as_secs() * 3).clamp(5, 300) + lasting.as_secs() + 1;
    let deadline = options.deadline + lasting;
    let takes_part = |node: &Node| pairs.iter().any(|(from, to)| node == from || node == to);
    let echo = if options.echo { "1" } else { "0" };
    let bound = everywhere(cluster, deadline, |index, handle| {
        let arguments = [&name(index), &token, &index.to_string(), "0", &lease_s.to_string(), echo];
        takes_part(&handle.node).then(|| perl(&format!("{CLOCK}{RECEIVER}"), &arguments))
    })
    .await;
    if let Some(Err(error)) = bound.values().next().filter(|_| bound.values().all(Result::is_err)) {
        return Err(error.clone());
    }
    let ports: Ports = bound.into_iter().map(|(index, answer)| (index, port_of(answer))).collect();
    let sent = everywhere(cluster, deadline, |index, handle| {
        let numbers = [options.count, options.spread_ms, options.drain_ms, options.payload_bytes];
        let mut arguments = vec![token.clone(), index.to_string()];
        arguments.extend(numbers.iter().map(u32::to_string));
        arguments.push(echo.to_owned());
        let fixed = arguments.len();
        for (_, to) in pairs.iter().filter(|(from, _)| *from == handle.node) {
            let Some(place) = place_of(cluster, to) else { continue };
            if let Some(Ok(port)) = ports.get(&place) {
                arguments.extend([place.to_string(), cluster.nodes[place].address.clone(), port.to_string()]);
            }
        }
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        (arguments.len() > fixed).then(|| perl(&format!("{CLOCK}{SENDER}"), &arguments))
    })
    .await;
    if !options.echo {
        tokio::time::sleep(Duration::from_millis(u64::from(options.drain_ms))).await;
    }
    let received = everywhere(cluster, deadline, |index, _| {
        matches!(ports.get(&index), Some(Ok(_))).then(|| perl(super::COLLECTOR, &[&name(index)]))
    })
    .await;
    let sample = |(from, to): &(Node, Node)| {
        let mut sample = LinkSample::empty(from.clone(), to.clone());
        if let Err(problem) = fill(&mut sample, cluster, &ports, &sent, &received) {
            sample.problem = Some(problem);
        }
        sample
    };
    Ok(pairs.iter().map(sample).collect())
}

/// The port that each node's receiver bound, by the place of the node.
type Ports = BTreeMap<usize, Result<u16, String>>;

fn fill(
    sample: &mut LinkSample,
    cluster: &Cluster,
    ports: &Ports,
    sent: &Answers,
    received: &Answers,
) -> Result<(), String> {
    let place = |node: &Node| place_of(cluster, node).ok_or_else(|| format!("{node} is not of the cluster"));
    let (from, to) = (place(&sample.from)?, place(&sample.to)?);
    if let Some(Err(problem)) = ports.get(&to) {
        return Err(problem.clone());
    }
    let row_sent = row(sent.get(&from), to, &sample.from)?;
    let [tried, refused, bytes, lasted_us, ref trips @ ..] = row_sent[..] else {
        return Err(format!(
            "{} could not send to {}: its address is none, or of a family that it lacks",
            sample.from, sample.to
        ));
    };
    (sample.sent, sample.refused) = (tried, refused);
    sample.offered_bits_per_s = bits_per_s(bytes, lasted_us);
    sample.round_trips = RoundTrips::of(trips.to_vec());
    let row_received = row(received.get(&to), from, &sample.to)?;
    if row_received.is_empty() {
        return Ok(());
    }
    let [whole, duplicates, out_of_order, corrupted, bytes, lasted_us] = row_received[..] else {
        return Err(format!("{} answered {row_received:?}", sample.to));
    };
    (sample.received, sample.duplicates, sample.out_of_order) = (whole, duplicates, out_of_order);
    sample.corrupted = corrupted;
    sample.arrived_bits_per_s = bits_per_s(bytes, lasted_us);
    Ok(())
}

fn bits_per_s(bytes: u32, lasted_us: u32) -> u64 {
    (u64::from(bytes) * 8_000_000).checked_div(u64::from(lasted_us)).unwrap_or(0)
}

/// The begin of a perl program: `now` gives microseconds of a clock that only goes forward. `perl-base` has no `Time::HiRes`, so the system call is
/// made by its number, and where that is not known the machine's uptime must do, with 10 ms.
pub const CLOCK: &str = r#"use strict; use Socket qw(:all); use POSIX ();
my $hires = eval { require Time::HiRes; Time::HiRes::clock_gettime(Time::HiRes::CLOCK_MONOTONIC()) };
my $number = { x86_64 => 228, aarch64 => 113, riscv64 => 113 }->{(POSIX::uname())[4]};
sub now {
  return Time::HiRes::clock_gettime(Time::HiRes::CLOCK_MONOTONIC()) * 1e6 if $hires;
  my $got = "\0" x 16;
  if ($number && syscall($number, 1, $got) == 0) { my ($s, $ns) = unpack "qq", $got; return $s * 1e6 + $ns / 1000 }
  open my $up, "<", "/proc/uptime"; return (split " ", <$up>)[0] * 1e6;
}
"#;

/// name, token, own number, port, lease in seconds, whether to echo. See the receiver of [`crate::probe`]. Answers lines of
/// sender, whole, copies, overtaken, damaged, bytes after the first, and microseconds between first and last.
const RECEIVER: &str = r#"my ($name, $token, $me, $port, $lease, $echo) = @ARGV;
my ($u, $bound);
if (socket($u, AF_INET6, SOCK_DGRAM, 0)) {
  setsockopt($u, IPPROTO_IPV6, IPV6_V6ONLY, pack("l", 0));
  setsockopt($u, 17, $_, pack("l", 1)) for 101, 102;
  $bound = bind($u, pack_sockaddr_in6($port, IN6ADDR_ANY));
}
$bound or socket($u, AF_INET, SOCK_DGRAM, 0) && bind($u, pack_sockaddr_in($port, INADDR_ANY)) or die "cannot bind UDP port $port: $!\n";
setsockopt($u, SOL_SOCKET, 33, pack("l", 8 << 20)) or setsockopt($u, SOL_SOCKET, SO_RCVBUF, pack("l", 8 << 20));
my $own = getsockname($u);
$port = (sockaddr_family($own) == AF_INET6 ? unpack_sockaddr_in6($own) : unpack_sockaddr_in($own))[0];
my $s; socket($s, AF_UNIX, SOCK_STREAM, 0) && bind($s, pack_sockaddr_un("\0$name")) && listen($s, 4) or die "cannot bind a local socket: $!\n";
$SIG{CHLD} = "IGNORE"; $SIG{PIPE} = "IGNORE";
defined(my $child = fork) or die "cannot fork: $!\n";
if ($child) { $| = 1; print "$port\n"; exit 0 }
POSIX::setsid(); chdir "/";
open STDIN, "<", "/dev/null"; open STDOUT, ">", "/dev/null"; open STDERR, ">", "/dev/null";
my ($end, %of) = (now() + $lease * 1e6);
sub got {
  my ($data, $peer) = @_;
  $data =~ /\Q$token\E (\d+) \Q$me\E (\d+);/ or return;
  my ($from, $n, $t) = ($1, $2, now());
  my $p = $of{$from} ||= { seen => {}, top => 0, copies => 0, late => 0, bad => 0, bytes => 0, first => $t };
  $p->{bytes} += length($data) + 42 if $t > $p->{first} || $p->{any};
  $p->{any} = 1; $p->{last} = $t;
  my $unit = "$token $from $me $n;";
  if ($data ne substr($unit x (1 + length($data) / length $unit), 0, length $data)) { $p->{bad}++; return }
  if ($p->{seen}{$n}++) { $p->{copies}++ } elsif ($n < $p->{top}) { $p->{late}++ } else { $p->{top} = $n }
  send($u, "$token echo $from $n;", MSG_DONTWAIT, $peer) if $echo && $p->{seen}{$n} == 1;
}
while ((my $left = ($end - now()) / 1e6) > 0) {
  my $in = ""; vec($in, fileno $u, 1) = 1; vec($in, fileno $s, 1) = 1;
  next if select($in, undef, undef, $left) <= 0;
  if (vec($in, fileno $u, 1)) {
    while (defined(my $peer = recv($u, my $data, 2000, MSG_DONTWAIT))) { got($data, $peer) }
  }
  if (vec($in, fileno $s, 1) && accept(my $c, $s)) {
    syswrite $c, join("", map { my $p = $of{$_}; sprintf "%d %d %d %d %d %d %d\n", $_, scalar keys %{$p->{seen}},
      $p->{copies}, $p->{late}, $p->{bad}, $p->{bytes}, $p->{last} - $p->{first} } sort keys %of) . "end\n";
    exit 0;
  }
}
"#;

/// token, own number, count, spread in ms, drain in ms, bytes, whether echoes come, then number, address and port of each
/// peer. Prints for each: number, sent, refused, bytes after the first, microseconds between first and last, round trips.
const SENDER: &str = r#"my ($token, $me, $count, $spread, $drain, $bytes, $echo, @rest) = @ARGV;
my @peers;
while (my ($to, $address, $port) = splice @rest, 0, 3) {
  my ($error, @found) = getaddrinfo($address, $port, { socktype => SOCK_DGRAM });
  next if $error || !@found;
  socket(my $u, $found[0]{family}, SOCK_DGRAM, 0) or next;
  setsockopt($u, SOL_SOCKET, 11, pack("l", 1));
  if ($found[0]{family} == AF_INET6) { setsockopt($u, 17, $_, pack("l", 1)) for 101, 102 }
  setsockopt($u, SOL_SOCKET, 32, pack("l", 16 << 20)) or setsockopt($u, SOL_SOCKET, SO_SNDBUF, pack("l", 16 << 20));
  push @peers, { to => $to, socket => $u, address => $found[0]{addr}, refused => 0, at => {}, trips => [] };
}
sub echoes {
  my ($until) = @_;
  while (1) {
    my $left = ($until - now()) / 1e6; $left = 0 if $left < 0;
    my $in = ""; vec($in, fileno $_->{socket}, 1) = 1 for @peers;
    my $some = select($in, undef, undef, $left);
    if ($some > 0) {
      for my $p (grep { vec $in, fileno $_->{socket}, 1 } @peers) {
        while (defined recv($p->{socket}, my $data, 2000, MSG_DONTWAIT)) {
          next unless $data =~ /^\Q$token\E echo \Q$me\E (\d+);$/;
          my $then = delete $p->{at}{$1};
          push @{$p->{trips}}, int(now() - $then) if defined $then;
        }
      }
    }
    last if now() >= $until;
  }
}
my ($begin, $gap) = (now(), $spread * 1000 / $count);
for my $n (1 .. $count) {
  for my $p (@peers) {
    my $unit = "$token $me $p->{to} $n;";
    my $data = substr($unit x (1 + $bytes / length $unit), 0, $bytes);
    my $t = now();
    if (defined send($p->{socket}, $data, MSG_DONTWAIT, $p->{address})) {
      $p->{at}{$n} = $t if $echo;
      if (defined $p->{first}) { $p->{bytes} += $bytes + 42 } else { $p->{first} = $t; $p->{bytes} = 0 }
      $p->{last} = $t;
    } else { $p->{refused}++ }
  }
  my $due = $begin + $n * $gap;
  if ($echo) { echoes($due) } elsif ((my $left = $due - now()) > 200) { select undef, undef, undef, $left / 1e6 }
}
if ($echo) {
  my $end = now() + $drain * 1000;
  while (now() < $end && grep { %{$_->{at}} } @peers) { my $next = now() + 20000; echoes($next < $end ? $next : $end) }
}
for my $p (@peers) {
  my $lasted = defined $p->{first} ? $p->{last} - $p->{first} : 0;
  printf "%d %d %d %d %d %s\n", $p->{to}, $count, $p->{refused}, $p->{bytes} || 0, $lasted, join " ", @{$p->{trips}};
}
"#;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::script::{said, scripted_cluster};

    fn pair(from: &str, to: &str) -> (Node, Node) {
        (Node::new(from), Node::new(to))
    }

    #[tokio::test]
    async fn answers_become_samples() {
        let (cluster, log) = scripted_cluster(&["n1", "n2"]);
        log.on("cannot bind", said("4000\n"));
        log.on("getaddrinfo", said("1 100 2 100000 500000 300 100 200 900\n"));
        log.on("sysread", said("0 90 4 3 2 100000 800000\n"));
        let options = QualityOptions { drain_ms: 0, ..QualityOptions::default() };
        let found = sample_links(&cluster, &[pair("n1", "n2"), pair("n2", "n9")], options).await.unwrap();
        let expected = LinkSample {
            sent: 100,
            refused: 2,
            received: 90,
            duplicates: 4,
            out_of_order: 3,
            corrupted: 2,
            offered_bits_per_s: 1_600_000,
            arrived_bits_per_s: 1_000_000,
            round_trips: Some(RoundTrips { count: 4, min_us: 100, median_us: 200, p90_us: 300, max_us: 900 }),
            ..LinkSample::empty(Node::new("n1"), Node::new("n2"))
        };
        assert_eq!(found[0], expected);
        assert_eq!((found[0].on_their_way(), found[0].lost()), (98, 6));
        assert!(found[1].problem.clone().unwrap().contains("n9 is not of the cluster"));
    }

    #[tokio::test]
    async fn garbage_is_a_problem_and_never_a_count() {
        for (port, sent, received, problem) in [
            ("x", "1 9 0 9 9", "0 9 0 0 0 9 9", "for its port"),
            ("4000", "1 9", "0 9 0 0 0 9 9", "could not send"),
            ("4000", "1 9 0 9 9", "0 9 0", "answered"),
            ("4000", "1 9 0 9 -5", "0 9 0", "answered"),
        ] {
            let (cluster, log) = scripted_cluster(&["n1", "n2"]);
            log.on("cannot bind", said(port)).on("getaddrinfo", said(sent)).on("sysread", said(received));
            let options = QualityOptions { drain_ms: 0, echo: false, ..QualityOptions::default() };
            let found = sample_links(&cluster, &[pair("n1", "n2")], options).await.unwrap();
            assert!(found[0].problem.clone().unwrap().contains(problem), "{found:?}");
        }
    }

    #[test]
    fn every_perl_program_compiles() {
        for program in
            [RECEIVER, SENDER, super::super::tcp::KNOCKER, super::super::tcp::LISTENER, super::super::tcp::WRITER]
        {
            let program = format!("{CLOCK}{program}");
            let output = std::process::Command::new("perl").args(["-c", "-e", &program]).output().unwrap();
            assert!(output.status.success(), "{}\n{program}", String::from_utf8_lossy(&output.stderr));
        }
    }

    #[test]
    fn quantiles_of_few_and_of_none() {
        assert_eq!(RoundTrips::of(vec![]), None);
        let of = |all: &[u32]| RoundTrips::of(all.to_vec()).map(|t| (t.min_us, t.median_us, t.p90_us, t.max_us));
        assert_eq!(of(&[5]), Some((5, 5, 5, 5)));
        assert_eq!(of(&[9, 1, 5]), Some((1, 5, 5, 9)));
        assert_eq!(of(&(0..=10).collect::<Vec<_>>()), Some((0, 5, 9, 10)));
    }
}
