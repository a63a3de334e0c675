//! What becomes of TCP connections between nodes: whether one can be made, and how often one that lives is reset.

use std::collections::BTreeMap;
use std::time::Duration;

use schism_history::Node;
use serde::{Deserialize, Serialize};

use super::quality::CLOCK;
use super::{Answers, everywhere, fresh_token, perl, place_of, port_of, row};
use crate::cluster::Cluster;
use crate::remote::RemoteError;

/// How an attempt to connect ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Knock {
    /// There is a connection.
    Connected,
    /// It was refused at once (a reset, or an unreachable port).
    Refused,
    /// Nobody answered in time.
    Timeout,
    /// There is no way there.
    Unreachable,
}

/// An attempt to connect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Knocked {
    /// Who tried.
    pub from: Node,
    /// Where.
    pub to: Node,
    /// On which port.
    pub port: u16,
    /// How it ended; `None` where that is not known.
    pub outcome: Option<Knock>,
    /// After how many microseconds.
    pub after_us: u32,
}

/// Tries to connect, from each to each (`(from, to, port)`), all at once, and hangs up again. Takes at most `timeout`.
/// Nothing is sent on a connection. In the order asked; a node that does not answer leaves its outcomes open.
pub async fn knock(cluster: &Cluster, asked: &[(Node, Node, u16)], timeout: Duration) -> Vec<Knocked> {
    let timeout_ms = timeout.as_millis().to_string();
    let answers = everywhere(cluster, timeout + Duration::from_secs(10), |_, handle| {
        let mut arguments = vec![timeout_ms.clone()];
        for (number, (from, to, port)) in asked.iter().enumerate() {
            if let Some(place) = place_of(cluster, to).filter(|_| *from == handle.node) {
                arguments.extend([number.to_string(), cluster.nodes[place].address.clone(), port.to_string()]);
            }
        }
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        (arguments.len() > 1).then(|| perl(&format!("{CLOCK}{KNOCKER}"), &arguments))
    })
    .await;
    let found = |(number, (from, to, port)): (usize, &(Node, Node, u16))| {
        let answer = place_of(cluster, from).and_then(|place| answers.get(&place));
        let told = row(answer, number, from).unwrap_or_default();
        let (outcome, after_us) = match told[..] {
            [0, after_us] => (Some(Knock::Connected), after_us),
            [1, after_us] => (Some(Knock::Refused), after_us),
            [2, after_us] => (Some(Knock::Timeout), after_us),
            [3, after_us] => (Some(Knock::Unreachable), after_us),
            _ => (None, 0),
        };
        Knocked { from: from.clone(), to: to.clone(), port: *port, outcome, after_us }
    };
    asked.iter().enumerate().map(found).collect()
}

/// What became of a chatty connection from one node to another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamCount {
    /// Who connects and writes.
    pub from: Node,
    /// Who listens.
    pub to: Node,
    /// How often a connection was made.
    pub connects: u32,
    /// How often one was reset.
    pub resets: u32,
    /// How often one could not be made.
    pub failures: u32,
    /// Why nothing can be said of this pair, if so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// Keeps a connection of its own for each pair for so long, writes a byte to it every 20 ms, makes it anew when it is
/// reset, and counts.
///
/// # Errors
/// Where no node at all answers: the error of the first.
pub async fn streams(
    cluster: &Cluster,
    pairs: &[(Node, Node)],
    lasting: Duration,
) -> Result<Vec<StreamCount>, RemoteError> {
    let deadline = lasting + Duration::from_secs(15);
    let (lease_s, lasting_ms) = ((deadline.as_secs() * 2).to_string(), lasting.as_millis().to_string());
    let token = fresh_token();
    let bound = everywhere(cluster, deadline, |index, handle| {
        let name = format!("schism-{token}-{index}");
        let listens = pairs.iter().any(|(_, to)| *to == handle.node);
        listens.then(|| perl(&format!("{CLOCK}{LISTENER}"), &[&name, &lease_s]))
    })
    .await;
    if let Some(Err(error)) = bound.values().next().filter(|_| bound.values().all(Result::is_err)) {
        return Err(error.clone());
    }
    let ports: BTreeMap<usize, Result<u16, String>> =
        bound.into_iter().map(|(index, answer)| (index, port_of(answer))).collect();
    let told = everywhere(cluster, deadline, |_, handle| {
        let mut arguments = vec![lasting_ms.clone()];
        for (_, to) in pairs.iter().filter(|(from, _)| *from == handle.node) {
            let Some(place) = place_of(cluster, to) else { continue };
            if let Some(Ok(port)) = ports.get(&place) {
                arguments.extend([place.to_string(), cluster.nodes[place].address.clone(), port.to_string()]);
            }
        }
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        (arguments.len() > 1).then(|| perl(&format!("{CLOCK}{WRITER}"), &arguments))
    })
    .await;
    // Listeners end when they are asked for what they counted, which is nothing.
    everywhere(cluster, deadline, |index, _| {
        let ended = || format!("{} || true\n", perl(super::COLLECTOR, &[&format!("schism-{token}-{index}")]));
        matches!(ports.get(&index), Some(Ok(_))).then(|| ended().replacen("exec ", "", 1))
    })
    .await;
    Ok(pairs.iter().map(|pair| stream(cluster, pair, &ports, &told)).collect())
}

fn stream(
    cluster: &Cluster,
    (from, to): &(Node, Node),
    ports: &BTreeMap<usize, Result<u16, String>>,
    told: &Answers,
) -> StreamCount {
    let mut count =
        StreamCount { from: from.clone(), to: to.clone(), connects: 0, resets: 0, failures: 0, problem: None };
    let place = |node: &Node| place_of(cluster, node).ok_or_else(|| format!("{node} is not of the cluster"));
    let found = (|| {
        let (from_place, to_place) = (place(from)?, place(to)?);
        if let Some(Err(problem)) = ports.get(&to_place) {
            return Err(problem.clone());
        }
        match row(told.get(&from_place), to_place, from)?[..] {
            [connects, resets, failures] => Ok((connects, resets, failures)),
            _ => Err(format!("{from} said nothing of {to}")),
        }
    })();
    match found {
        Ok((connects, resets, failures)) => {
            (count.connects, count.resets, count.failures) = (connects, resets, failures)
        }
        Err(problem) => count.problem = Some(problem),
    }
    count
}

/// timeout in ms, then number, address and port of each. Prints for each: number, outcome, microseconds.
pub(super) const KNOCKER: &str = r#"use Errno qw(EINPROGRESS ECONNREFUSED ECONNRESET);
use Fcntl;
my ($timeout, @rest) = @ARGV;
my (@open, %told);
my $begin = now();
sub outcome { my ($n, $e) = @_; $told{$n} = ($e == 0 ? 0 : $e == ECONNREFUSED || $e == ECONNRESET ? 1 : 3) . " " . int(now() - $begin) }
while (my ($n, $address, $port) = splice @rest, 0, 3) {
  my ($error, @found) = getaddrinfo($address, $port, { socktype => SOCK_STREAM });
  if ($error || !@found || !socket(my $s, $found[0]{family}, SOCK_STREAM, 0)) { $told{$n} = "3 0" }
  else {
    fcntl($s, F_SETFL, O_NONBLOCK);
    if (connect($s, $found[0]{addr})) { outcome($n, 0) }
    elsif ($! != EINPROGRESS) { outcome($n, $! + 0) }
    else { push @open, [$n, $s] }
  }
}
while (@open && (my $left = $timeout / 1000 - (now() - $begin) / 1e6) > 0) {
  my $out = ""; vec($out, fileno $_->[1], 1) = 1 for @open;
  next if select(undef, $out, undef, $left) <= 0;
  my @still;
  for my $o (@open) {
    if (vec($out, fileno $o->[1], 1)) { outcome($o->[0], unpack "l", getsockopt($o->[1], SOL_SOCKET, SO_ERROR)) }
    else { push @still, $o }
  }
  @open = @still;
}
$told{$_->[0]} = "2 " . int(now() - $begin) for @open;
print "$_ $told{$_}\n" for sort { $a <=> $b } keys %told;
"#;

/// name, lease in seconds. Prints the TCP port on which it listens and swallows what comes, until somebody connects to the
/// local socket of that name.
pub(super) const LISTENER: &str = r#"my ($name, $lease) = @ARGV;
my ($t, $bound);
if (socket($t, AF_INET6, SOCK_STREAM, 0)) {
  setsockopt($t, IPPROTO_IPV6, IPV6_V6ONLY, pack("l", 0));
  $bound = bind($t, pack_sockaddr_in6(0, IN6ADDR_ANY)) && listen($t, 64);
}
$bound or socket($t, AF_INET, SOCK_STREAM, 0) && bind($t, pack_sockaddr_in(0, INADDR_ANY)) && listen($t, 64) or die "cannot bind a TCP port: $!\n";
my $own = getsockname($t);
my $port = (sockaddr_family($own) == AF_INET6 ? unpack_sockaddr_in6($own) : unpack_sockaddr_in($own))[0];
my $s; socket($s, AF_UNIX, SOCK_STREAM, 0) && bind($s, pack_sockaddr_un("\0$name")) && listen($s, 4) or die "cannot bind a local socket: $!\n";
$SIG{CHLD} = "IGNORE"; $SIG{PIPE} = "IGNORE";
defined(my $child = fork) or die "cannot fork: $!\n";
if ($child) { $| = 1; print "$port\n"; exit 0 }
POSIX::setsid(); chdir "/";
open STDIN, "<", "/dev/null"; open STDOUT, ">", "/dev/null"; open STDERR, ">", "/dev/null";
my ($end, %open) = (now() + $lease * 1e6);
while ((my $left = ($end - now()) / 1e6) > 0) {
  my $in = ""; vec($in, fileno $_, 1) = 1 for $t, $s, values %open;
  next if select($in, undef, undef, $left) <= 0;
  if (vec($in, fileno $s, 1) && accept(my $c, $s)) { syswrite $c, "end\n"; exit 0 }
  for my $c (values %open) {
    next unless vec($in, fileno $c, 1);
    my $got = sysread $c, my $data, 4096;
    if (!$got) { delete $open{fileno $c}; close $c }
  }
  if (vec($in, fileno $t, 1) && accept(my $c, $t)) { $open{fileno $c} = $c }
}
"#;

/// lasting in ms, then number, address and port of each. Prints for each: number, connects, resets, failures.
pub(super) const WRITER: &str = r#"use Errno qw(EINPROGRESS EAGAIN EISCONN);
use Fcntl;
my ($lasting, @rest) = @ARGV;
$SIG{PIPE} = "IGNORE";
my @peers;
while (my ($to, $address, $port) = splice @rest, 0, 3) {
  my ($error, @found) = getaddrinfo($address, $port, { socktype => SOCK_STREAM });
  next if $error || !@found;
  push @peers, { to => $to, found => $found[0], connects => 0, resets => 0, failures => 0 };
}
my $end = now() + $lasting * 1000;
while (now() < $end) {
  for my $p (@peers) {
    if (!$p->{socket}) {
      socket(my $s, $p->{found}{family}, SOCK_STREAM, 0) or next;
      fcntl($s, F_SETFL, O_NONBLOCK);
      setsockopt($s, IPPROTO_TCP, TCP_NODELAY, pack("l", 1));
      ($p->{socket}, $p->{made}) = ($s, 0);
      connect($s, $p->{found}{addr}) or $! == EINPROGRESS or do { $p->{failures}++; $p->{socket} = undef };
      next;
    }
    my $e = unpack "l", getsockopt($p->{socket}, SOL_SOCKET, SO_ERROR);
    if (!$e && !defined syswrite($p->{socket}, "x")) { $e = $! == EAGAIN ? 0 : $! + 0; next if !$e }
    if ($e) { $p->{$p->{made} ? "resets" : "failures"}++; close $p->{socket}; $p->{socket} = undef }
    elsif (!$p->{made}) { $p->{made} = 1; $p->{connects}++ }
  }
  select undef, undef, undef, 0.02;
}
printf "%d %d %d %d\n", $_->{to}, $_->{connects}, $_->{resets}, $_->{failures} for @peers;
"#;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::script::{said, scripted_cluster};

    #[tokio::test]
    async fn knocks_are_told_in_the_order_asked() {
        let (cluster, log) = scripted_cluster(&["n1", "n2"]);
        log.unreachable("n2");
        log.on_node("n1", "EINPROGRESS", said("0 1 50\n2 2 300000\n3 0 9\n4 7 1\n"));
        let ask = |from: &str, to: &str| (Node::new(from), Node::new(to), 22);
        let asked = [ask("n1", "n2"), ask("n2", "n1"), ask("n1", "n2"), ask("n1", "n2"), ask("n1", "n2")];
        let found = knock(&cluster, &asked, Duration::from_millis(300)).await;
        let outcomes: Vec<_> = found.iter().map(|one| one.outcome).collect();
        let expected = [Some(Knock::Refused), None, Some(Knock::Timeout), Some(Knock::Connected), None];
        assert_eq!(outcomes, expected);
    }

    #[tokio::test]
    async fn streams_are_counted() {
        let (cluster, log) = scripted_cluster(&["n1", "n2"]);
        log.on("cannot bind", said("4000\n"));
        log.on_node("n1", "getaddrinfo", said("1 3 2 1\n")).on_node("n2", "getaddrinfo", said("0 many\n"));
        let pair = |from: &str, to: &str| (Node::new(from), Node::new(to));
        let asked = [pair("n1", "n2"), pair("n2", "n1"), pair("n1", "n9")];
        let found = streams(&cluster, &asked, Duration::ZERO).await.unwrap();
        assert_eq!((found[0].connects, found[0].resets, found[0].failures, &found[0].problem), (3, 2, 1, &None));
        assert!(found[1].problem.is_some() && found[2].problem.is_some());
    }
}
