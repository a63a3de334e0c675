//! Traffic control: packets to single addresses shaped on their way out of a node.
//!
//! Faults overlap, but an interface has one root queue. So each fault writes what it wants to a file of its own
//! ([`SHAPES_DIR`], a line an address), and one program makes the queues of all files together anew: delays and jitters
//! add, shares combine as 1-(1-a)(1-b), the lowest rate counts. The root is an `htb` of the handle [`HANDLE`], told by which
//! it is ours; only addresses in the files get a class below it, everything else (the control connection too) passes
//! past it at once. A root that somebody else made is never touched. What waits in a queue when the queues are made
//! anew is lost.

use schism_cluster::LinkShape;
use schism_cluster::link::Distribution;
use schism_cluster::shell::quote;
use std::net::IpAddr;

use super::SBIN;

/// Where faults say what they want; gone after a reboot, as the queues are.
pub const SHAPES_DIR: &str = "/run/schism/netem";

/// The handle of our root queue.
pub const HANDLE: &str = "5c15:";

/// One line of a fault's file: address, delay, jitter (us), distribution, loss, its correlation, duplicates, reordered,
/// corrupted (ppm), rate (bits a second).
pub fn shape_line(address: IpAddr, shape: &LinkShape) -> String {
    let distribution = match shape.distribution {
        Distribution::Uniform => "uniform",
        Distribution::Normal => "normal",
        Distribution::Pareto => "pareto",
    };
    format!(
        "{address} {} {} {distribution} {} {} {} {} {} {}\n",
        shape.delay_us,
        shape.jitter_us,
        shape.loss_ppm,
        shape.loss_correlation_ppm,
        shape.duplicate_ppm,
        shape.reorder_ppm,
        shape.corrupt_ppm,
        shape.rate_bits_per_s
    )
}

/// Shapes as the lines on standard input say, under this name.
pub fn netem_apply(name: &str) -> String {
    format!(
        "{SBIN}dir={SHAPES_DIR} name={name}
umask 077
mkdir -p \"$dir\" || exit 1
cat >\"$dir/.new.$name\" || exit 1
{LOCK}mv \"$dir/.new.$name\" \"$dir/$name\" && {rebuild}
",
        name = quote(name),
        rebuild = rebuild(),
    )
}

/// Takes away what is shaped under this name; succeeds only if it is gone.
pub fn netem_undo(name: &str) -> String {
    format!(
        "{SBIN}dir={SHAPES_DIR} name={name}
[ -d \"$dir\" ] || exit 0
rm -f \"$dir/$name\" \"$dir/.new.$name\"
{LOCK}{rebuild}
",
        name = quote(name),
        rebuild = rebuild(),
    )
}

/// Says what stands under this name, and our queues where nobody wants any.
pub fn netem_leftover(name: &str) -> String {
    format!(
        "{SBIN}dir={SHAPES_DIR}
[ ! -e \"$dir/{name}\" ] || echo {name}
set -- \"$dir\"/*
[ -e \"$1\" ] || tc qdisc show 2>/dev/null | grep 'htb {HANDLE} ' 
true
",
        name = quote(name),
    )
}

/// Says every name under which packets are shaped on this node, a line each.
pub fn all_shapes() -> String {
    format!("for file in {SHAPES_DIR}/*; do [ ! -e \"$file\" ] || echo \"${{file##*/}}\"; done\ntrue\n")
}

/// Says the interfaces toward these addresses whose root queue is somebody else's, a line each.
pub fn foreign_queues(to: &[IpAddr]) -> String {
    let addresses: Vec<String> = to.iter().map(IpAddr::to_string).collect();
    format!(
        "{SBIN}for address in {}; do
  device=$(ip -o route get \"$address\" 2>/dev/null | sed -n 's/.* dev \\([^ ]*\\).*/\\1/p')
  if [ -z \"$device\" ]; then echo \"no way to $address\"; continue; fi
  tc qdisc show dev \"$device\" root 2>&1 | sed -n \"/ root/{{/ 0: /d;/ {HANDLE} /d;s/^/$device: /p;}}\"
done | sort -u
",
        addresses.join(" ")
    )
}

/// Says what is missing for shaping packets on a node, nothing where nothing is; tried in a network namespace that ends
/// with it. `kind` is the queue that does it, with its options.
pub fn netem_missing(kind: &str) -> String {
    let tries = format!(
        "ip link set lo up && tc qdisc add dev lo root handle 1: htb && \
         tc class add dev lo parent 1: classid 1:1 htb rate 1mbit && tc qdisc add dev lo parent 1:1 handle 2: {kind}"
    );
    format!(
        "{SBIN}for tool in tc ip unshare perl; do command -v \"$tool\" >/dev/null 2>&1 || {{ echo \"$tool\"; missing=1; }}; done
[ -n \"${{missing-}}\" ] || said=$(unshare -n sh -c {} 2>&1) || printf 'traffic control without %s: %s\\n' {} \"$(printf '%s' \"$said\" | head -n 1)\"
true
",
        quote(&tries),
        quote(kind.split(' ').next().unwrap_or(kind)),
    )
}

/// One at a time; who held the lock for 20 s is taken to be dead.
const LOCK: &str = r#"waited=0
until mkdir "$dir/.lock" 2>/dev/null; do
  [ "$waited" -lt 200 ] || break
  sleep 0.1
  waited=$((waited + 1))
done
trap 'rmdir "$dir/.lock" 2>/dev/null' EXIT
"#;

fn rebuild() -> String {
    format!("perl -e {} -- \"$dir\" {HANDLE}", quote(REBUILD))
}

/// folder, handle. Makes the queues of all files in the folder, and takes away ours where nothing is wanted.
pub(super) const REBUILD: &str = r#"use strict;
my ($dir, $handle) = @ARGV;
my %to;
for my $file (sort glob "$dir/*") {
  open my $in, "<", $file or next;
  while (<$in>) {
    my ($address, $delay, $jitter, $how, $loss, $tie, @shares) = split;
    my $rate = pop @shares;
    my $all = $to{$address} ||= { delay => 0, jitter => 0, widest => -1, how => "uniform", loss => 0, tie => 0, shares => [0, 0, 0], rate => 0 };
    $all->{delay} += $delay; $all->{jitter} += $jitter;
    if ($jitter > $all->{widest}) { ($all->{widest}, $all->{how}) = ($jitter, $how) }
    my $both = sub { 1e6 - (1e6 - $_[0]) * (1e6 - $_[1]) / 1e6 };
    $all->{loss} = $both->($all->{loss}, $loss);
    $all->{tie} = $tie if $tie > $all->{tie};
    $all->{shares}[$_] = $both->($all->{shares}[$_], $shares[$_]) for 0 .. 2;
    $all->{rate} = $rate if $rate && (!$all->{rate} || $rate < $all->{rate});
  }
}
sub percent { my $text = sprintf "%.4f", $_[0] / 1e4; $text =~ s/\.?0+$//; "$text%" }
my (%wanted, %classes, %classed);
for my $address (sort keys %to) {
  my $route = `ip -o route get $address 2>&1`;
  my ($device) = $route =~ / dev (\S+)/ or die "there is no way to $address: $route";
  my $all = $to{$address};
  my ($twice, $late, $bad) = @{$all->{shares}};
  my $netem = "";
  $netem .= " delay $all->{delay}us" if $all->{delay} || $all->{jitter};
  $netem .= " $all->{jitter}us" if $all->{jitter};
  $netem .= " distribution $all->{how}" if $all->{jitter} && $all->{how} ne "uniform";
  $netem .= " loss " . percent($all->{loss}) . ($all->{tie} ? " " . percent($all->{tie}) : "") if $all->{loss};
  $netem .= " corrupt " . percent($bad) if $bad;
  $netem .= " duplicate " . percent($twice) if $twice;
  $netem .= " reorder " . percent($late) if $late;
  my $rate = $all->{rate};
  my $room = $rate / 16 > 131072 ? int($rate / 16) : 131072;
  my $leaf = $netem ? "netem limit 100000$netem" : "bfifo limit $room";
  # What is shaped alike shares a queue, for kernels allow no second netem beside one that duplicates; a rate is a link's own.
  my $key = $rate ? "$address" : $leaf;
  my $lines = $wanted{$device} ||= ["qdisc add dev $device root handle $handle htb default 0 direct_qlen 10000"];
  my $class = $classed{$device}{$key};
  if (!$class) {
    my $number = ++$classes{$device};
    $class = $classed{$device}{$key} = sprintf "%s%x", $handle, $number;
    push @$lines, "class add dev $device parent $handle classid $class htb quantum 60000 rate " . ($rate || 40000000000) . "bit";
    push @$lines, sprintf "qdisc add dev %s parent %s handle %x: %s", $device, $class, 0x5d00 + $number, $leaf;
  }
  if ($address =~ /:/) {
    push @$lines, map { "filter add dev $device parent $handle protocol ipv6 prio 1 u32 match ip6 dst $address/128 match ip6 protocol 58 0xff match u8 $_ 0xff at 40 flowid ${handle}0" } 135, 136;
    push @$lines, "filter add dev $device parent $handle protocol ipv6 prio 2 u32 match ip6 dst $address/128 flowid $class";
  } else {
    push @$lines, "filter add dev $device parent $handle protocol ip prio 3 u32 match ip dst $address/32 flowid $class";
  }
}
my (%root, %ours);
for (`tc qdisc show`) {
  /^qdisc (\S+) (\S+) dev (\S+) root/ or next;
  if ($2 eq $handle) { $ours{$3} = 1 } elsif ($2 ne "0:") { $root{$3} = "$1 $2" }
}
my $text = join "", map { "$_\n" } map { @{$wanted{$_}} } sort keys %wanted;
my $built = "";
if (open my $in, "<", "$dir/.built") { local $/; $built = <$in> // "" }
exit 0 if $text eq $built && join(" ", sort keys %ours) eq join(" ", sort keys %wanted);
for my $device (sort keys %wanted) { die "$device has a root queue of somebody else: $root{$device}\n" if $root{$device} }
unlink "$dir/.built";
for my $device (sort keys %ours) { system("tc", "qdisc", "del", "dev", $device, "root") == 0 or die "the queues of $device cannot be taken away\n" }
if ($text) {
  open my $tc, "|-", "tc", "-batch", "-" or die "tc: $!\n";
  print $tc $text;
  close $tc or die "tc does not take:\n$text";
  open my $out, ">", "$dir/.built" or die "$dir/.built: $!\n";
  print $out $text;
}
"#;
