//! The files of etcd that disk faults reach, and how a member whose files were harmed is built anew: removed from the
//! cluster, wiped, added again, started as a new member that gets everything from the others.
//!
//! Not covered: clusters with TLS or a login (the script stands in the ledger and must hold no secret), and clusters of
//! one. There is no script for them.

use schism_cluster::daemon::{start_script, stop_script};
use schism_cluster::shell::words;
use schism_cluster::{Cluster, DataFiles, NodeHandle};

use super::db::{DATA, Etcd, make_data_dir, with_path};

impl DataFiles for Etcd {
    fn data_dir(&self, _on: &NodeHandle) -> String {
        DATA.to_owned()
    }

    fn patterns(&self) -> Vec<&'static str> {
        vec!["member/wal/*.wal", "member/snap/db", "member/snap/*.snap"]
    }

    fn rebuild_script(&self, cluster: &Cluster, on: &NodeHandle) -> Option<String> {
        let options = self.options();
        if options.tls.is_some() || options.user.is_some() || cluster.nodes.len() < 2 {
            return None;
        }
        let mut argv = vec!["perl".to_owned(), "-e".to_owned(), format!("{ASK}{REJOIN}"), "--".to_owned()];
        argv.extend([on.node.to_string(), self.peer_url(on)]);
        for other in cluster.nodes.iter().filter(|other| other.node != on.node) {
            let port = options.client_port.to_string();
            argv.extend([other.node.to_string(), self.peer_url(other), other.address.clone(), port]);
        }
        let mut joining = self.daemon(cluster, on);
        // What there is to join is known only when the script runs, and comes through the environment.
        joining.argv.retain(|word| !word.starts_with("--initial-cluster"));
        Some(with_path(&format!(
            "( {} ) >/dev/null || exit 1\n\
             ETCD_INITIAL_CLUSTER=$({}) || exit 1\n\
             ETCD_INITIAL_CLUSTER_STATE=existing\n\
             export ETCD_INITIAL_CLUSTER ETCD_INITIAL_CLUSTER_STATE\n\
             rm -rf {DATA} && {} || exit 1\n\
             ( {} )\n",
            stop_script(&joining, 0),
            words(&argv),
            make_data_dir(),
            start_script(&joining),
        )))
    }
}

/// Perl that asks a node over HTTP (`ask HOST, PORT, PATH, BODY`: whether it said 200, and what it said) and reads a list of
/// members (`members TEXT`: ID, peer URL, name of each). Nothing but Debian's `perl-base` is needed.
pub(super) const ASK: &str = r#"use strict; use Socket qw(:all);
my $within = 8;
sub ask {
  my ($host, $port, $path, $body) = @_;
  my $said = "";
  eval {
    local $SIG{ALRM} = sub { die "no answer within $within s\n" }; alarm $within;
    my ($error, @found) = getaddrinfo($host, $port, {socktype => SOCK_STREAM});
    die "$error\n" if $error;
    my $s; socket($s, $found[0]{family}, SOCK_STREAM, 0) && connect($s, $found[0]{addr}) or die "$!\n";
    my $text = "POST /v3/$path HTTP/1.0\r\nHost: $host\r\nContent-Length: " . length($body) . "\r\n\r\n$body";
    syswrite($s, $text) == length $text or die "$!\n";
    1 while sysread($s, $said, 65536, length $said);
    alarm 0; 1;
  } or $said = "$@";
  alarm 0;
  return (scalar($said =~ m{^HTTP/1\.\d 200 }), $said);
}
sub members { map { my $m = $_; [$m =~ /"ID":"?(\d+)/, $m =~ /"peerURLs":\["([^"]*)"/, $m =~ /"name":"([^"]*)"/] } $_[0] =~ /\{([^{}]*"peerURLs"[^{}]*)\}/g }
"#;

/// Own name and peer URL, then four words for each other node: name, peer URL, address, client port. Removes the member
/// of our peer URL, wherever one of the others answers, and adds it again; prints the members as `--initial-cluster` wants
/// them. Tries for a minute: etcd changes no members until all the others have been connected for five seconds.
const REJOIN: &str = r#"
my ($name, $own, @others) = @ARGV;
my %name = ($own => $name); my @nodes;
while (my ($n, $peer, $host, $port) = splice @others, 0, 4) { $name{$peer} = $n; push @nodes, [$host, $port]; }
my ($end, $last) = (time + 60, "no other node");
while (time < $end) {
  for my $node (@nodes) {
    my ($ok, $said) = ask(@$node, "cluster/member/list", "{}");
    if ($ok) {
      my @same = grep { $_->[1] eq $own } members($said);
      ($ok, $said) = ask(@$node, "cluster/member/remove", qq({"ID":"$same[0][0]"})) if @same;
      ($ok, $said) = ask(@$node, "cluster/member/add", qq({"peerURLs":["$own"]})) if $ok;
      if ($ok) {
        my %peers = map { $_->[1] => $name{$_->[1]} // $_->[2] } members($said);
        print join(",", map { "$peers{$_}=$_" } sort keys %peers), "\n";
        exit 0;
      }
    }
    ($last) = reverse grep /\S/, split /\n/, $said;
  }
  sleep 1;
}
die "the other members did not take $name in again: $last\n";
"#;
