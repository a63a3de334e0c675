//! The lab's switch for real: packets between nodes measured under each shape. Needs what `tests/lab.rs` needs, and TAP
//! devices. The test program is the holder of its own labs, hence its own `main`.

// Clippy allows these in tests, but does not know a test program without the harness for one.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::net::{SocketAddr, TcpStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use schism_cluster::link::{LinkRule, LinkShape};
use schism_cluster::{Ability, Ground, GroundAction, GroundLease};
use schism_history::Node;
use schism_lab::{LabGround, LabSpec, NetworkKind, enter, find, holder_main_if_asked};
use serde_json::Value;
use support::{
    CHILD, Own, SOON, child, eventually, ground_is_missing, machine, networks, on, processes_named, processes_of, spec,
    ssh,
};

type Test = (&'static str, fn());

const TESTS: &[Test] = &[
    ("every_shape_is_seen_and_goes", every_shape_is_seen_and_goes),
    ("a_lease_clears_the_links_by_itself", a_lease_clears_the_links_by_itself),
    ("cables_cannot_be_shaped_and_say_so", cables_cannot_be_shaped_and_say_so),
    ("a_node_that_dies_leaves_the_switch_idle", a_node_that_dies_leaves_the_switch_idle),
    ("a_node_that_comes_again_has_its_port_and_its_rules", a_node_that_comes_again_has_its_port_and_its_rules),
    ("it_is_fast_and_sleeps", it_is_fast_and_sleeps),
    ("sigkill_of_the_holder_leaves_nothing", sigkill_of_the_holder_leaves_nothing),
];

fn main() -> ExitCode {
    holder_main_if_asked();
    let mut args = std::env::args();
    if args.next().as_deref() == Some(CHILD) {
        let args: Vec<String> = args.collect();
        return match args.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
            ["watch", id] => watch(id),
            // Enters the lab's network and runs a command there.
            ["network", id, program, rest @ ..] => {
                enter(&find(id).unwrap()).unwrap();
                let status = Command::new(program).args(rest).status().unwrap();
                ExitCode::from(u8::try_from(status.code().unwrap_or(99)).unwrap_or(98))
            }
            other => panic!("no such role: {other:?}"),
        };
    }
    let filters: Vec<String> = args.filter(|arg| !arg.starts_with('-')).collect();
    if let Some(reason) = ground_is_missing() {
        println!("switch tests skipped: {reason}");
        return ExitCode::SUCCESS;
    }
    if !std::path::Path::new("/dev/net/tun").exists() {
        println!("switch tests skipped: this machine has no /dev/net/tun");
        return ExitCode::SUCCESS;
    }
    let chosen = TESTS.iter().filter(|(name, _)| filters.is_empty() || filters.iter().any(|part| name.contains(part)));
    let mut failed = 0;
    for (name, test) in chosen {
        let start = Instant::now();
        let passed = catch_unwind(AssertUnwindSafe(test)).is_ok();
        println!("test {name} ... {} ({:?})", if passed { "ok" } else { "FAILED" }, start.elapsed());
        failed += usize::from(!passed);
    }
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// A controller that speaks to every node's sshd again and again until its input ends, and tells how often and how long
/// the longest took.
fn watch(id: &str) -> ExitCode {
    let lab = find(id).unwrap();
    enter(&lab).unwrap();
    let end = std::thread::spawn(|| std::io::stdin().read_to_end(&mut Vec::new()));
    let (mut count, mut longest, mut failures) = (0, Duration::ZERO, 0);
    while !end.is_finished() {
        for node in &lab.nodes {
            let start = Instant::now();
            let address: SocketAddr = format!("{}:22", node.address).parse().unwrap();
            let mut begin = [0; 8];
            let spoke = TcpStream::connect_timeout(&address, Duration::from_secs(10)).and_then(|mut stream| {
                stream.set_read_timeout(Some(Duration::from_secs(10)))?;
                stream.read_exact(&mut begin)
            });
            failures += u32::from(spoke.is_err() || &begin != b"SSH-2.0-");
            count += 1;
            longest = longest.max(start.elapsed());
        }
        std::thread::sleep(Duration::from_millis(30));
    }
    println!("{count} {failures} {}", longest.as_millis());
    ExitCode::SUCCESS
}

struct Watch(Child);

impl Watch {
    fn start(lab: &Own) -> Watch {
        Watch(child("watch", &[&lab.id]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap())
    }

    fn end(mut self) {
        drop(self.0.stdin.take());
        let output = self.0.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let numbers: Vec<u64> = said.split_whitespace().map(|number| number.parse().unwrap()).collect();
        let [count, failures, longest_ms] = numbers[..] else { panic!("{said}") };
        println!("  the controller reached sshd {count} times, the longest in {longest_ms} ms");
        // How long it took says nothing: a loaded machine may take its time.
        assert!(count > 20 && failures == 0, "{count} {failures}");
    }
}

/// A lab of this many nodes on a switch, and its ground.
fn lab(nodes: usize) -> (Own, Hand) {
    let start = Instant::now();
    let own = Own::up(&LabSpec { network: NetworkKind::Switch, ..spec(nodes) });
    println!("  up, {nodes} nodes: {:?}", start.elapsed());
    assert_eq!(own.network, NetworkKind::Switch);
    let hand = Hand {
        ground: LabGround::new(own.0.clone()),
        runtime: tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap(),
    };
    (own, hand)
}

struct Hand {
    ground: LabGround,
    runtime: tokio::runtime::Runtime,
}

impl Hand {
    fn shape(&self, links: &[(&str, &str)], shape: LinkShape) -> Value {
        let rule =
            |(from, to): &(&str, &str)| LinkRule { from: Node::new(from), to: Node::new(to), shape: shape.clone() };
        let links = links.iter().map(rule).collect();
        self.act(GroundAction::ShapeLinks { tag: "t".to_owned(), links })
    }

    /// The counters of the first link that had a rule.
    fn clear(&self) -> BTreeMap<String, u64> {
        let answer = self.act(GroundAction::ClearLinks { tag: "t".to_owned() });
        let first = answer["links"][0].as_object().unwrap().clone();
        first.into_iter().filter_map(|(name, value)| Some((name, value.as_u64()?))).collect()
    }

    fn act(&self, action: GroundAction) -> Value {
        self.runtime.block_on(self.ground.act(&action)).unwrap()
    }
}

/// Answers every datagram with itself, which one it was for it, and the time.
const ECHO: &str = r#"use Socket; use Time::HiRes "time"; socket(S,PF_INET,SOCK_DGRAM,0) or die; setsockopt(S,SOL_SOCKET,SO_RCVBUF,4000000);
bind(S,sockaddr_in(7777,INADDR_ANY)) or die; my $n=0;
while(1){ my $p=recv(S,my $b,2000,0); next unless defined $p; send(S,substr($b,0,8).pack("Nd",$n++,time),0,$p) }"#;

/// Sends numbered datagrams, waits for the answers that are missing (so long at most, and a moment more for what comes
/// twice), and tells what came of them: how many, how many different, how many that arrived there behind one with a higher
/// number, the lower quartile of the times there and back (the nodes share a clock, and what is above may have waited for a
/// processor), and the shortest time there.
const ASK: &str = r#"use Socket; use Time::HiRes qw(time sleep); my($to,$count,$gap,$wait)=@ARGV; my(%sent,%seen,$got,@there,@back,@order);
socket(S,PF_INET,SOCK_DGRAM,0) or die; setsockopt(S,SOL_SOCKET,SO_RCVBUF,4000000); my $there=sockaddr_in(7777,inet_aton($to));
my $id=int(rand(2**32));
sub drain { my $until=time+$_[0]; while(1){ my $left=$until-time; my $r=""; vec($r,fileno(S),1)=1; last unless select($r,undef,undef,$left>0?$left:0);
  defined recv(S,my $b,2000,0) or next; my($its,$i,$n,$t)=unpack("NNNd",$b); next unless $its==$id; my $now=time;
  $got++; push @there,$t-$sent{$i}; push @back,$now-$t; $seen{$i}++; push @order,[$n,$i]; } }
for my $i (0..$count-1){ $sent{$i}=time; send(S,pack("NN",$id,$i).("x"x100),0,$there); drain($gap) }
my $end=time+$wait; drain(0.02) while keys(%seen)<$count && time<$end; drain(0.3);
my($turned,$high)=(0,-1); for(sort {$a->[0]<=>$b->[0]} @order){ $turned++ if $_->[1]<$high; $high=$_->[1] if $_->[1]>$high }
sub quartile { my @all=sort {$a<=>$b} @_; @all?$all[@all/4]*1e3:0 }
my($least)=sort {$a<=>$b} @there;
printf "%d %d %d %.3f %.3f %.3f\n",$got,scalar(keys %seen),$turned,quartile(@there),quartile(@back),1e3*($least//0);"#;

/// What came of datagrams.
#[derive(Debug)]
struct Came {
    answers: f64,
    distinct: f64,
    turned: f64,
    there_ms: f64,
    back_ms: f64,
    least_ms: f64,
}

/// Starts the one who answers, on these nodes.
fn echo(lab: &Own, nodes: &[&str]) {
    for node in nodes {
        on(lab, node, &format!("perl -e '{ECHO}' >/dev/null 2>&1 &"));
        let bound = "grep -q ':1E61 ' /proc/net/udp";
        eventually("the echo answers", SOON, || on(lab, node, bound).0 == 0);
    }
}

/// How long is waited for answers that are missing: who answers may not get a processor for a while.
const ANSWERS_S: f64 = 5.0;

fn datagrams(lab: &Own, from: &str, to: &str, count: u32, gap_s: f64, wait_s: f64) -> Came {
    let (code, said) = on(lab, from, &format!("perl -e '{ASK}' {to} {count} {gap_s} {wait_s}"));
    let numbers: Vec<f64> = said.split_whitespace().filter_map(|number| number.parse().ok()).collect();
    match numbers[..] {
        [answers, distinct, turned, there_ms, back_ms, least_ms] if code == 0 => {
            Came { answers, distinct, turned, there_ms, back_ms, least_ms }
        }
        _ => panic!("{code} {said}"),
    }
}

/// How many Mbit/s TCP brings from one node to another, over this time, after a start.
fn tcp_mbit_s(lab: &Own, from: &str, to: &str, seconds: f64) -> f64 {
    let take = r#"use Socket; use Time::HiRes "time"; my($after,$for)=@ARGV; socket(L,PF_INET,SOCK_STREAM,0); setsockopt(L,SOL_SOCKET,SO_REUSEADDR,1);
bind(L,sockaddr_in(7778,INADDR_ANY)) or die; listen(L,1); accept(C,L); my($s,$n,$t)=(time,0,0);
while(sysread(C,my $b,262144)){ my $now=time-$s; next if $now<$after; if(!$t){$t=time;next} $n+=length $b; if($now>$after+$for){last} }
my $d=time-$t; printf "%.4f\n",$d>0?$n*8/$d/1e6:0"#;
    on(lab, to, &format!("rm -f /tmp/rate; perl -e '{take}' 0.5 {seconds} >/tmp/rate 2>&1 &"));
    let listens = "grep -q ':1E62 ' /proc/net/tcp";
    eventually("the sink listens", SOON, || on(lab, to, listens).0 == 0);
    let give = r#"use Socket; $SIG{PIPE}="IGNORE"; socket(C,PF_INET,SOCK_STREAM,0); setsockopt(C,SOL_SOCKET,SO_SNDBUF,65536) if $ARGV[1];
connect(C,sockaddr_in(7778,inet_aton($ARGV[0]))) or die; my $b="x"x262144; 1 while syswrite(C,$b)"#;
    // A slow link shall not have to empty a fast sender's buffer.
    on(lab, from, &format!("timeout 20 perl -e '{give}' {to} {}", u8::from(seconds > 1.5)));
    let mut said = String::new();
    eventually("the sink tells", SOON, || {
        said = on(lab, to, "cat /tmp/rate").1;
        said.ends_with('\n')
    });
    said.trim().parse().unwrap()
}

fn near(what: &str, measured: f64, wanted: f64, tolerance: f64) {
    println!("  {what}: {measured:.3} (wanted {wanted} ± {tolerance})");
    assert!((measured - wanted).abs() <= tolerance, "{what}: {measured}, wanted {wanted} ± {tolerance}");
}

fn every_shape_is_seen_and_goes() {
    let before = machine();
    let (lab, hand) = lab(3);
    assert_eq!(machine(), before, "nothing of a switch is in the machine's network");
    hand.runtime.block_on(hand.ground.can(Ability::Links)).unwrap();
    let watch = Watch::start(&lab);
    echo(&lab, &["n1", "n2"]);
    let none = LinkShape::default;
    let there = [("n1", "n2")];
    let ask = |count, gap_s| datagrams(&lab, "n1", "n2", count, gap_s, ANSWERS_S);

    let plain = ask(300, 0.001);
    println!("  without rules: {plain:?}");
    assert!(plain.answers == 300.0 && plain.turned == 0.0 && plain.there_ms < 15.0, "{plain:?}");
    for to in ["n2", "n2-v6"] {
        let reach = format!("timeout 20 bash -c 'exec 3<>/dev/tcp/{to}/22 && head -c 7 <&3'");
        assert_eq!(on(&lab, "n1", &reach), (0, "SSH-2.0".to_owned()), "{to}");
    }

    // Delay: both ways, then one way.
    let delay = LinkShape { delay_us: 50_000, ..none() };
    hand.shape(&[("n1", "n2"), ("n2", "n1")], delay.clone());
    let came = ask(60, 0.002);
    near("delay there, ms", came.there_ms, 50.0, 10.0);
    near("delay back, ms", came.back_ms, 50.0, 10.0);
    hand.shape(&there, LinkShape { jitter_us: 20_000, ..delay });
    let came = ask(100, 0.024);
    // Evenly between 30 and 70. The shortest tells, as the others may have waited for a processor: without jitter it were 50.
    near("delay with jitter there, the shortest, ms", came.least_ms, 37.5, 7.5);
    near("delay back, not shaped, ms", came.back_ms, 0.0, 20.0);
    assert_eq!((came.answers, came.turned), (100.0, 0.0), "jitter does not turn the order");
    let counted = hand.clear();
    assert!(counted["passed"] >= 100 && counted["delayed_us"] > 100 * 45_000, "{counted:?}");

    hand.shape(&there, LinkShape { loss_ppm: 300_000, ..none() });
    let came = ask(1000, 0.0005);
    near("loss, %", 100.0 - came.answers / 10.0, 30.0, 6.0);
    near("counted as lost, %", hand.clear()["lost"] as f64 / 10.0, 100.0 - came.answers / 10.0, 0.5);

    hand.shape(&there, LinkShape { duplicate_ppm: 200_000, ..none() });
    let came = ask(1000, 0.0005);
    near("twice, %", (came.answers - came.distinct) / 10.0, 20.0, 5.0);
    assert_eq!((came.distinct, hand.clear()["duplicated"] as f64), (1000.0, came.answers - came.distinct));

    hand.shape(&there, LinkShape { delay_us: 20_000, reorder_ppm: 200_000, ..none() });
    let came = ask(500, 0.001);
    println!("  reorder: {came:?}");
    let counted = hand.clear();
    assert!(came.turned > 50.0 && came.answers == 500.0 && counted["reordered"] > 60, "{came:?} {counted:?}");

    hand.shape(&there, LinkShape { corrupt_ppm: 200_000, ..none() });
    let errors = "awk '/^Udp: [0-9]/ {print $4}' /proc/net/snmp";
    let errors_before: f64 = on(&lab, "n2", errors).1.trim().parse().unwrap();
    let came = ask(1000, 0.0005);
    // A flipped bit in addresses and ports is no checksum error of that socket, but a loss all the same.
    near("lost to corruption, %", 100.0 - came.answers / 10.0, 20.0, 5.0);
    let errors: f64 = on(&lab, "n2", errors).1.trim().parse::<f64>().unwrap() - errors_before;
    println!("  checksum errors of UDP: {errors}");
    assert!(errors > 80.0 && hand.clear()["corrupted"] > 150, "{errors}");

    // Rate: TCP keeps its packets' headers out of the count.
    hand.shape(&there, LinkShape { rate_bits_per_s: 1_000_000, ..none() });
    near("rate, Mbit/s", tcp_mbit_s(&lab, "n1", "n2", 3.0), 0.96, 0.15);
    hand.clear();

    // Hold, and let go.
    let hold = LinkShape { hold: true, ..none() };
    hand.shape(&there, hold.clone());
    let asked = on(&lab, "n1", &format!("perl -e '{ASK}' n2 50 0.001 60 >/tmp/held 2>&1 &"));
    assert_eq!(asked.0, 0);
    // The same rule again changes nothing and says what happened so far.
    let held = || hand.shape(&there, hold.clone())["links"][0]["held"] == 50;
    eventually("all are held", SOON, held);
    std::thread::sleep(Duration::from_millis(400));
    assert_eq!(on(&lab, "n1", "cat /tmp/held").1, "");
    let counted = hand.clear();
    assert_eq!((counted["held"], counted["passed"]), (50, 50), "{counted:?}");
    let mut said = String::new();
    eventually("the held ones are let go", SOON, || {
        said = on(&lab, "n1", "cat /tmp/held").1;
        said.ends_with('\n')
    });
    let numbers: Vec<f64> = said.split_whitespace().map(|number| number.parse().unwrap()).collect();
    println!("  held: {numbers:?}");
    assert!(numbers[..3] == [50.0, 50.0, 0.0] && numbers[3] >= 300.0, "all, in order, late: {said}");

    // Cut one way: nothing comes there, and what needs no answer comes from there.
    hand.shape(&there, LinkShape { cut: true, ..none() });
    let came = ask(20, 0.001);
    assert_eq!(came.answers, 0.0);
    let hears = "perl -MSocket -e 'socket(S,PF_INET,SOCK_DGRAM,0); bind(S,sockaddr_in(7779,INADDR_ANY)); $SIG{ALRM}=sub{exit 3}; alarm 30; recv(S,$b,99,0); print $b' >/tmp/heard 2>&1 &";
    on(&lab, "n1", hears);
    eventually("it listens", SOON, || on(&lab, "n1", "grep -q ':1E63 ' /proc/net/udp").0 == 0);
    // Also where it has to ask first who n1 is, and n1's answer goes the way that is cut.
    assert_eq!(on(&lab, "n2", "ip neigh flush dev eth0 && bash -c 'printf heard >/dev/udp/n1/7779'").0, 0);
    eventually("the other way is open", SOON, || on(&lab, "n1", "cat /tmp/heard").1 == "heard");
    let elsewhere = "timeout 20 bash -c 'exec 3<>/dev/tcp/n3/22 && head -c 7 <&3'";
    assert_eq!(on(&lab, "n1", elsewhere), (0, "SSH-2.0".to_owned()));
    // Counted for n1 to n2: the twenty, and nothing passed.
    let counted = hand.clear();
    assert!(counted["cut"] >= 20 && counted["passed"] == 0, "{counted:?}");

    // Whatever is done to all links, the controller logs in.
    let worst = LinkShape { cut: true, hold: true, loss_ppm: 1_000_000, delay_us: 3_000_000, ..none() };
    let all = ["n1", "n2", "n3"].map(|from| ["n1", "n2", "n3"].map(|to| (from, to))).concat();
    let all: Vec<(&str, &str)> = all.into_iter().filter(|(from, to)| from != to).collect();
    hand.shape(&all, worst);
    for node in &lab.nodes {
        let output = ssh(&lab, &format!("root@{}", node.address), &["-o", "BatchMode=yes"], "hostname");
        assert_eq!(String::from_utf8_lossy(&output.stdout), format!("{}\n", node.name), "{output:?}");
    }
    hand.clear();

    let plain = ask(300, 0.001);
    assert!(plain.answers == 300.0 && plain.turned == 0.0 && plain.there_ms < 15.0, "all is as before: {plain:?}");
    watch.end();
}

fn a_lease_clears_the_links_by_itself() {
    let (lab, hand) = lab(2);
    echo(&lab, &["n2"]);
    let undo = GroundAction::ClearLinks { tag: "t".to_owned() };
    let lease = GroundLease {
        name: "run-1".to_owned(),
        class: "packet".to_owned(),
        label: "packet: n1 to n2 cut".to_owned(),
        lease_s: 5,
        undo: vec![undo],
    };
    hand.runtime.block_on(hand.ground.arm(&lease)).unwrap();
    hand.shape(&[("n1", "n2")], LinkShape { cut: true, ..LinkShape::default() });
    assert_eq!(datagrams(&lab, "n1", "n2", 5, 0.001, 0.5).answers, 0.0);
    let took = eventually("the lease ends the cut", SOON, || datagrams(&lab, "n1", "n2", 5, 0.001, 0.5).answers == 5.0);
    println!("  healed by itself after {took:?}");
}

fn cables_cannot_be_shaped_and_say_so() {
    let own = Own::up(&spec(1));
    assert_eq!(own.network, NetworkKind::Cables);
    let ground = LabGround::new(own.0.clone());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let said = runtime.block_on(ground.can(Ability::Links)).unwrap_err().to_string();
    assert!(said.contains("plain cables") && said.contains("--switch"), "{said}");
    let clear = GroundAction::ClearLinks { tag: "t".to_owned() };
    let said = runtime.block_on(ground.act(&clear)).unwrap_err().to_string();
    assert!(said.contains("plain cables"), "{said}");
}

/// User and system time of a process, in clock ticks (10 ms).
fn ticks(pid: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

fn a_node_that_dies_leaves_the_switch_idle() {
    let (lab, hand) = lab(3);
    hand.shape(&[("n1", "n3"), ("n3", "n1")], LinkShape { delay_us: 1_000, ..LinkShape::default() });
    let init = lab.nodes[2].init_pid;
    let gone =
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(i32::try_from(init).unwrap()), nix::sys::signal::SIGKILL);
    gone.unwrap();
    let unreachable = "timeout 1 bash -c 'exec 3<>/dev/tcp/n3/22 && head -c 7 <&3' >/dev/null 2>&1";
    eventually("it is gone from the network", Duration::from_secs(10), || on(&lab, "n1", unreachable).0 != 0);
    std::thread::sleep(Duration::from_millis(500));
    let before = ticks(lab.holder.pid);
    std::thread::sleep(Duration::from_secs(1));
    let used = ticks(lab.holder.pid) - before;
    assert!(used < 50, "the holder used {used} ticks in an idle second");
    let reach = "timeout 20 bash -c 'exec 3<>/dev/tcp/n2/22 && head -c 7 <&3'";
    assert_eq!(on(&lab, "n1", reach), (0, "SSH-2.0".to_owned()));
}

fn a_node_that_comes_again_has_its_port_and_its_rules() {
    let (mut lab, hand) = lab(2);
    if let Err(error) = hand.runtime.block_on(hand.ground.can(Ability::Power)) {
        println!("  skipped: {error}");
        return;
    }
    hand.shape(&[("n1", "n2")], LinkShape { delay_us: 30_000, ..LinkShape::default() });
    let node = || Node::new("n2");
    for _ in 0..3 {
        hand.act(GroundAction::CutPower { node: node() });
        let dead = "timeout 0.3 bash -c 'exec 3<>/dev/tcp/n2/22' 2>/dev/null; test $? = 124";
        assert_eq!(on(&lab, "n1", dead).0, 0, "silence, and no reset");
        hand.act(GroundAction::PowerOn { node: node() });
        lab.0 = find(&lab.id).unwrap();
        echo(&lab, &["n2"]);
        // Who asked for its address while it was dead asks again after a second.
        let answers = || datagrams(&lab, "n1", "n2", 1, 0.0, 0.5).answers == 1.0;
        eventually("it is found again", SOON, answers);
        let came = datagrams(&lab, "n1", "n2", 50, 0.001, ANSWERS_S);
        near("delay there after the power cut, ms", came.there_ms, 30.0, 10.0);
        assert_eq!(came.answers, 50.0);
    }
    hand.clear();
    let plain = datagrams(&lab, "n1", "n2", 50, 0.001, ANSWERS_S);
    assert!(plain.answers == 50.0 && plain.there_ms < 15.0, "{plain:?}");
}

fn it_is_fast_and_sleeps() {
    let (lab, hand) = lab(2);
    let cables = Own::up(&spec(2));
    let (fast, baseline) = (tcp_mbit_s(&lab, "n1", "n2", 1.0), tcp_mbit_s(&cables, "n1", "n2", 1.0));
    println!("  TCP: {fast:.0} Mbit/s through the switch, {baseline:.0} over cables");
    echo(&lab, &["n2"]);
    echo(&cables, &["n2"]);
    let trip = |lab: &Own| datagrams(lab, "n1", "n2", 500, 0.001, ANSWERS_S);
    let (switch, wire) = (trip(&lab), trip(&cables));
    println!("  one way and back, ms: {:.3} {:.3} through the switch", switch.there_ms, switch.back_ms);
    println!("  one way and back, ms: {:.3} {:.3} over cables", wire.there_ms, wire.back_ms);
    drop(cables);
    // A build without optimizations, on a machine that does other things: far below what it can do.
    assert!(fast > 20.0, "{fast}");
    hand.shape(&[("n1", "n2")], LinkShape { delay_us: 1_000, ..LinkShape::default() });
    std::thread::sleep(Duration::from_millis(300));
    let before = ticks(lab.holder.pid);
    std::thread::sleep(Duration::from_secs(1));
    let used = ticks(lab.holder.pid) - before;
    println!("  idle: {used} ticks of 10 ms in a second");
    assert!(used < 50, "{used}");
}

fn sigkill_of_the_holder_leaves_nothing() {
    let before = machine();
    let (lab, hand) = lab(2);
    hand.shape(&[("n1", "n2")], LinkShape { hold: true, ..LinkShape::default() });
    let network = networks(&lab);
    let holder = nix::unistd::Pid::from_raw(i32::try_from(lab.holder.pid).unwrap());
    nix::sys::signal::kill(holder, nix::sys::signal::SIGKILL).unwrap();
    eventually("every process of it is gone", Duration::from_secs(10), || processes_of(&network).is_empty());
    eventually("nothing has its name", Duration::from_secs(10), || processes_named(&lab.id) == 0);
    assert!(find(&lab.id).is_err());
    assert_eq!(machine(), before);
}
