//! Which node's packets reach which: numbered datagrams for each ordered pair of nodes, counted where they arrive, so
//! that a cut of one way is seen to cut one way and to pass the other.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use schism_cluster::shell::quote;
use schism_cluster::{Cluster, Command, NodeHandle, RemoteError};
use schism_history::Node;
use serde_json::json;

use crate::fanout;
use crate::fault::Evidence;
use crate::grudge::Grudge;

/// Runs on every node at once, under nothing but perl-base: sends a datagram to each peer every 100 ms for 1.5 s,
/// listens for 2 s, then says how many different numbers came from whom. The windows are long enough that nodes which
/// begin up to a second apart still overlap. Arguments: token, port, own name, then name and address of each peer.
const PROBE: &str = r#"use strict; use Socket qw(:DEFAULT inet_pton pack_sockaddr_in pack_sockaddr_in6);
my ($token, $port, $me, @peers) = @ARGV;
my (%socket, @to);
for my $family (AF_INET, AF_INET6) {
  socket(my $s, $family, SOCK_DGRAM, 0) or next;
  if ($family == AF_INET6) { setsockopt($s, 41, 26, pack("i", 1)); }
  bind($s, $family == AF_INET ? pack_sockaddr_in($port, inet_pton(AF_INET, "0.0.0.0"))
                              : pack_sockaddr_in6($port, inet_pton(AF_INET6, "::"))) or next;
  $socket{$family} = $s;
}
%socket or die "port $port cannot be bound: $!
";
while (my ($name, $address) = splice(@peers, 0, 2)) {
  my $four = inet_pton(AF_INET, $address);
  my $six = defined $four ? undef : inet_pton(AF_INET6, $address);
  push @to, [$name, AF_INET, pack_sockaddr_in($port, $four)] if defined $four;
  push @to, [$name, AF_INET6, pack_sockaddr_in6($port, $six)] if defined $six;
}
my (%sent, %seen);
for my $round (0 .. 19) {
  if ($round < 15) {
    for my $peer (@to) {
      my ($name, $family, $where) = @$peer;
      next unless $socket{$family};
      $sent{$name}++ if defined send($socket{$family}, "$token $me $round", 0, $where);
    }
  }
  my $left = 0.1;
  while ($left > 0) {
    my $bits = "";
    vec($bits, fileno($_), 1) = 1 for values %socket;
    my ($found, $rest) = select($bits, undef, undef, $left);
    $left = $found > 0 ? $rest : 0;
    next unless $found > 0;
    for my $s (values %socket) {
      next unless vec($bits, fileno($s), 1);
      defined recv($s, my $text, 512, 0) or next;
      my ($its, $from, $number) = split / /, $text;
      $seen{$from}{$number} = 1 if defined $number && $its eq $token;
    }
  }
}
print "sent $_ $sent{$_}
" for sort keys %sent;
print "received $_ ", scalar keys %{$seen{$_}}, "
" for sort keys %seen;
"#;

/// Makes tokens differ within this process.
static PROBES: AtomicU32 = AtomicU32::new(0);

/// Numbered datagrams from one node to another: how many were sent, how many different ones arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    /// Sender.
    pub from: Node,
    /// Receiver.
    pub to: Node,
    /// Sent.
    pub sent: u32,
    /// Different ones that arrived.
    pub received: u32,
}

/// Sends numbered datagrams between all nodes and counts them where they arrive; takes about two seconds. A pair of
/// which either node did not answer is not in the answer.
///
/// # Errors
/// Only when no node at all answers: then the first node's error.
pub async fn reachability(cluster: &Cluster) -> Result<Vec<Probe>, RemoteError> {
    let number = PROBES.fetch_add(1, Ordering::Relaxed);
    let token = format!("schism-{}-{number}-{}", std::process::id(), crate::ledger::unix_ms());
    // Another port each time: a probe that is late must not take the next one's.
    let port = 38_000 + number % 500;
    let commands = cluster.nodes.iter().enumerate().map(|(place, handle)| {
        let script = probe_script(cluster, &token, port, place);
        (handle.node.clone(), Command::new(script).deadline(Duration::from_secs(15)))
    });
    let (mut reports, mut error) = (Vec::new(), None);
    for (place, (_, answer)) in fanout::run_each(cluster, commands.collect()).await.into_iter().enumerate() {
        match answer {
            Ok(output) => reports.push((place, Report::parse(&output.text()))),
            Err(trouble) => error = error.or(Some(trouble)),
        }
    }
    match error {
        Some(error) if reports.is_empty() => Err(error),
        _ => Ok(joined(cluster, &reports)),
    }
}

/// Nodes are named by their place on the wire, so that any name will do.
fn probe_script(cluster: &Cluster, token: &str, port: u32, place: usize) -> String {
    let others = cluster.nodes.iter().enumerate().filter(|(other, _)| *other != place);
    let peers: Vec<String> =
        others.map(|(other, NodeHandle { address, .. })| format!("{other} {}", quote(address))).collect();
    format!("exec perl -e {} {token} {port} {place} {}\n", quote(PROBE), peers.join(" "))
}

/// What one node says: lines `sent PLACE COUNT` and `received PLACE COUNT`.
#[derive(Debug, Default, PartialEq)]
struct Report {
    sent: Vec<(usize, u32)>,
    received: Vec<(usize, u32)>,
}

impl Report {
    fn parse(text: &str) -> Report {
        let mut report = Report::default();
        for line in text.lines() {
            let words: Vec<&str> = line.split_whitespace().collect();
            let [word, place, count] = words[..] else { continue };
            let (Ok(place), Ok(count)) = (place.parse(), count.parse()) else { continue };
            match word {
                "sent" => report.sent.push((place, count)),
                "received" => report.received.push((place, count)),
                _ => {}
            }
        }
        report
    }
}

fn joined(cluster: &Cluster, reports: &[(usize, Report)]) -> Vec<Probe> {
    let count = |list: &[(usize, u32)], place: usize| {
        list.iter().find(|(other, _)| *other == place).map_or(0, |(_, count)| *count)
    };
    let mut probes = Vec::new();
    for (from, sender) in reports {
        for (to, receiver) in reports.iter().filter(|(to, _)| to != from) {
            probes.push(Probe {
                from: cluster.nodes[*from].node.clone(),
                to: cluster.nodes[*to].node.clone(),
                sent: count(&sender.sent, *to),
                received: count(&receiver.received, *from),
            });
        }
    }
    probes
}

/// Every ordered pair of different nodes.
pub fn ordered_pairs(nodes: &[Node]) -> Vec<(Node, Node)> {
    let pairs = nodes.iter().flat_map(|from| nodes.iter().map(move |to| (from.clone(), to.clone())));
    pairs.filter(|(from, to)| from != to).collect()
}

/// Judges probes against a grudge: every pair that is cut must have received nothing though something was sent, every
/// other pair must have received something. A pair that was not probed proves nothing.
pub fn judge_links(grudge: &Grudge, pairs: &[(Node, Node)], probes: &[Probe]) -> Evidence {
    let mut rows = Vec::new();
    let mut wrong = Vec::new();
    for (from, to) in pairs {
        let cut = grudge.is_cut(from, to);
        let Some(probe) = probes.iter().find(|probe| probe.from == *from && probe.to == *to) else {
            wrong.push(format!("{from} to {to} could not be probed"));
            continue;
        };
        match (cut, probe.sent, probe.received) {
            (_, 0, _) => wrong.push(format!("{from} sent nothing to {to}")),
            (true, _, 1..) => wrong.push(format!("{from} still reaches {to}")),
            (false, _, 0) => wrong.push(format!("{from} does not reach {to}, though nothing cuts them")),
            _ => {}
        }
        rows.push(json!({
            "from": from, "to": to, "sent": probe.sent, "received": probe.received, "cut": cut
        }));
    }
    let mut measured = json!({ "probes": rows });
    if !wrong.is_empty() {
        measured["wrong"] = json!(wrong);
    }
    Evidence { proven: wrong.is_empty() && !pairs.is_empty(), measured }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn a_cut_is_proven_only_when_it_cuts_what_it_should_and_passes_the_rest() {
        let nodes = [Node::new("a"), Node::new("b"), Node::new("c")];
        // a drops what b sends: one way.
        let grudge = Grudge::from_drops([(nodes[0].clone(), BTreeSet::from([nodes[1].clone()]))].into());
        let pairs = ordered_pairs(&nodes);
        // Rows in the order ab ac ba bc ca cb: sent, received.
        type Counts = [(u32, u32); 6];
        let cases: &[(Counts, Option<&str>)] = &[
            ([(9, 9), (9, 9), (9, 0), (9, 1), (9, 9), (9, 9)], None),
            ([(9, 9), (9, 9), (9, 1), (9, 9), (9, 9), (9, 9)], Some("b still reaches a")),
            ([(9, 0), (9, 9), (9, 0), (9, 9), (9, 9), (9, 9)], Some("a does not reach b, though nothing cuts them")),
            ([(9, 9), (9, 9), (0, 0), (9, 9), (9, 9), (9, 9)], Some("b sent nothing to a")),
        ];
        for (counts, wrong) in cases {
            let probes: Vec<Probe> = pairs
                .iter()
                .zip(counts)
                .map(|((from, to), (sent, received))| Probe {
                    from: from.clone(),
                    to: to.clone(),
                    sent: *sent,
                    received: *received,
                })
                .collect();
            let evidence = judge_links(&grudge, &pairs, &probes);
            assert_eq!(evidence.proven, wrong.is_none(), "{counts:?}");
            assert_eq!(evidence.measured["wrong"][0].as_str(), *wrong);
            assert_eq!(evidence.measured["probes"].as_array().unwrap().len(), 6);
            let part = judge_links(&grudge, &pairs, &probes[..5]);
            assert!(!part.proven);
            assert!(part.measured["wrong"].to_string().contains("c to b could not be probed"));
        }
        assert!(!judge_links(&grudge, &[], &[]).proven);
    }
}
