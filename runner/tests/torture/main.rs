//! Controllers that die: killed by SIGKILL at any moment, and at each point between ledger, injection, verification and
//! heal, for every fault of the table whose needs one of two grounds meets. After the lease (4 s) every node must be as it was
//! before, by a snapshot; what is foreign (rules, mounts, processes, files) must not have been touched. And nodes that boot
//! or lose power in the middle of a fault, and SSH that is cut, hangs or breaks then.
//!
//! The test program is its own controller, holder and agent. Without more a random part of it, bounded in time: ten moments,
//! some points, nodes and SSH. With `SCHISM_TEST_LONG=1` 200 moments and all of the others. `SCHISM_TORTURE=pause` takes of
//! these the jobs with that word (a class, `point`, `moment`, `ground`, `ssh`, `killed`...) and no others. A fault that is
//! not possible on either ground is named. Needs root and what a lab needs; says so and passes without where that is missing.

// Clippy allows these in tests, but does not know a test program without the harness for one.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod controller;
mod database;
mod ground;
mod lane;
mod snapshot;
mod ssh;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitCode, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use schism_cluster::packages;
use schism_history::Seed;
use schism_nemesis::draw::below;
use schism_nemesis::nemesis::DIE_POINTS;

/// What joins the nodes of each lane's lab: faults of links need a switch, and others are done otherwise without one.
const LANES: [&str; 2] = ["cables", "switch"];
/// So many lanes with each in the long run.
const LONG_TIMES: usize = 2;
/// In the short run nothing is begun when the labs are up for so long.
const SHORT: Duration = Duration::from_secs(60);
/// How many points of random classes the short run tries.
const SHORT_POINTS: u64 = 6;

fn main() -> ExitCode {
    schism_lab::holder_main_if_asked();
    schism_nemesis::agent::main_if_asked();
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["controller", lab, class, run, way] => return controller::main(lab, class, run, way),
        ["lane", network, looks] => return lane::main(network, *looks == "looks"),
        _ => {}
    }
    if !nix::unistd::geteuid().is_root() {
        println!("torture skipped: a lab needs root");
        return ExitCode::SUCCESS;
    }
    if let Err(error) = packages::fetch_for_nodes(&packages::default_cache(), &[], &mut |line| println!("  {line}")) {
        println!("torture skipped: {error}");
        return ExitCode::SUCCESS;
    }
    let asked = |name: &str| std::env::var_os(name).is_some();
    torture(asked("SCHISM_TEST_LONG") || asked("SCHISM_TORTURE"))
}

/// Something to be done in a lane.
#[derive(Debug, Clone)]
struct Job {
    /// Its words.
    text: String,
    /// In lanes of these networks.
    networks: BTreeSet<&'static str>,
}

/// A lane's process.
struct Lane {
    network: &'static str,
    child: Child,
    input: ChildStdin,
    output: std::io::Lines<BufReader<ChildStdout>>,
}

impl Lane {
    /// Starts it; with `looks` it finds out which faults are possible there.
    fn start(network: &'static str, looks: bool) -> Lane {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["lane", network, if looks { "looks" } else { "trusts" }]).env("RUST_BACKTRACE", "0");
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (input, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        Lane { network, child, input, output: BufReader::new(output).lines() }
    }

    /// Waits until it is ready; what it said until then.
    fn await_ready(&mut self) -> Vec<String> {
        let lines = self.output.by_ref().map(|line| line.unwrap());
        let mut last = String::new();
        let said = lines.inspect(|line| last.clone_from(line)).take_while(|line| line != "ready").collect();
        assert_eq!(last, "ready", "the lane does not come up: {said:?}");
        said
    }

    /// Does a job: how long it took until all was as before; `None` if it failed, and the lane with it.
    fn work(&mut self, number: usize, job: &Job) -> Option<f64> {
        writeln!(self.input, "{number} {}", job.text).ok()?;
        loop {
            let line = self.output.next()?.ok()?;
            if line == "failed" {
                return None;
            }
            if let Some(seconds) = line.strip_prefix("done ") {
                return seconds.parse().ok();
            }
            println!("{line}");
        }
    }

    fn end(self) {
        let Lane { mut child, input, .. } = self;
        // It ends, with its lab, when nobody has work for it.
        drop(input);
        let _ = child.wait();
    }
}

fn torture(long: bool) -> ExitCode {
    let begun = Instant::now();
    let networks = LANES.iter().cycle().take(LANES.len() * if long { LONG_TIMES } else { 1 });
    let mut lanes: Vec<Lane> =
        networks.enumerate().map(|(at, network)| Lane::start(network, at < LANES.len())).collect();
    let mut possible: BTreeMap<String, BTreeSet<&'static str>> = BTreeMap::new();
    let mut obstacles = BTreeMap::new();
    for lane in &mut lanes {
        for line in lane.await_ready() {
            match line.split_once(' ') {
                Some(("possible", class)) => _ = possible.entry(class.to_owned()).or_default().insert(lane.network),
                Some(("not-here", rest)) => {
                    let (class, reason) = rest.split_once(' ').unwrap_or((rest, ""));
                    obstacles.insert(class.to_owned(), reason.to_owned());
                }
                _ => println!("{line}"),
            }
        }
    }
    for (class, reason) in obstacles.iter().filter(|(class, _)| !possible.contains_key(*class)) {
        println!("not tortured: {class}: {reason}");
    }
    assert!(possible.len() >= 20, "only these are possible: {:?}", possible.keys());
    let seed = u64::from(std::process::id());
    println!("{} lanes ready after {:.1?}; chance with the seed {seed}", lanes.len(), begun.elapsed());
    let jobs = jobs(&possible, long, seed);
    let (count, queue) = (jobs.len(), Mutex::new(jobs.into_iter().enumerate().collect::<VecDeque<_>>()));
    let (outcomes, until) = (Mutex::new(Vec::new()), (!long).then(|| Instant::now() + SHORT));
    std::thread::scope(|scope| {
        for lane in lanes {
            scope.spawn(|| go_on(lane, &queue, &outcomes, until));
        }
    });
    let outcomes = outcomes.into_inner().unwrap();
    let left: Vec<String> = queue.into_inner().unwrap().into_iter().map(|(_, job)| job.text).collect();
    let in_time = left.is_empty() || !long;
    if !left.is_empty() {
        println!("left out, as the time is up: {}", left.join(", "));
    }
    tell(&outcomes, count, begun.elapsed());
    let good = outcomes.iter().all(|(_, seconds)| seconds.is_some()) && in_time && !outcomes.is_empty();
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

type Outcomes = Vec<(String, Option<f64>)>;

/// Everything that is to be done, the important first.
fn jobs(possible: &BTreeMap<String, BTreeSet<&'static str>>, long: bool, seed: u64) -> Vec<Job> {
    let mut rng = Seed(seed).stream("moments");
    let classes: Vec<&String> = possible.keys().collect();
    let job = |class: &str, text: String| Job { text, networks: possible.get(class).cloned().unwrap_or_default() };
    let mut draw = |below_this: usize| below(&mut rng, below_this as u64) as usize;
    let mut jobs = Vec::new();
    for point in DIE_POINTS {
        jobs.push(job("partition", format!("point partition {point}")));
    }
    let mut moments = Vec::new();
    for _ in 0..if long { 200 } else { 10 } {
        let class = classes[draw(classes.len())];
        moments.push(job(class, format!("moment {class} {}", draw(3_000))));
    }
    let mut fails = Vec::new();
    for class in ["partition", "kill", "clock-jump", "disk-errors", "cpu-hog"] {
        for deed in ["reboot", "power"] {
            fails.extend(["killed", "living"].map(|who| job(class, format!("ground {class} {deed} {who}"))));
        }
    }
    let ways = ["cut", "hang", "break"].iter();
    let ssh: Vec<Job> =
        ways.flat_map(|how| ["partition", "pause"].map(|class| job(class, format!("ssh {class} {how}")))).collect();
    if long {
        let points = classes.iter().filter(|class| **class != "partition");
        for class in points {
            jobs.extend(DIE_POINTS.iter().map(|point| job(class, format!("point {class} {point}"))));
        }
        // Long ones first, so that no lane is left with one at the end.
        jobs = [ssh, fails, jobs, moments].concat();
    } else {
        for _ in 0..SHORT_POINTS {
            let (class, point) = (classes[draw(classes.len())], DIE_POINTS[draw(DIE_POINTS.len())]);
            jobs.push(job(class, format!("point {class} {point}")));
        }
        let some = [fails[draw(fails.len())].clone(), fails[draw(fails.len())].clone(), ssh[4].clone()];
        jobs = [moments, some.to_vec(), jobs].concat();
    }
    if let Ok(word) = std::env::var("SCHISM_TORTURE") {
        jobs.retain(|job| job.text.split(' ').any(|one| one == word));
    }
    jobs
}

/// Does jobs until there are none for this lane, or the time is up.
fn go_on(mut lane: Lane, queue: &Mutex<VecDeque<(usize, Job)>>, outcomes: &Mutex<Outcomes>, until: Option<Instant>) {
    let next = |network: &str| {
        let mut queue = queue.lock().unwrap();
        let place = queue.iter().position(|(_, job)| job.networks.contains(network))?;
        queue.remove(place)
    };
    while until.is_none_or(|until| Instant::now() < until) {
        let Some((number, job)) = next(lane.network) else { break };
        let lasted = lane.work(number, &job);
        let failed = lasted.is_none();
        if failed {
            println!("FAILED {}", job.text);
        }
        outcomes.lock().unwrap().push((job.text, lasted));
        if failed {
            let network = lane.network;
            lane.end();
            lane = Lane::start(network, false);
            lane.await_ready();
        }
    }
    lane.end();
}

/// The figures of all.
fn tell(outcomes: &Outcomes, count: usize, lasted: Duration) {
    let mut by_kind: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for (text, seconds) in outcomes {
        by_kind.entry(text.split(' ').next().unwrap_or_default()).or_default().extend(seconds);
    }
    for (kind, mut seconds) in by_kind {
        seconds.sort_by(f64::total_cmp);
        if let (Some(first), Some(last)) = (seconds.first(), seconds.last()) {
            let median = seconds[seconds.len() / 2];
            println!(
                "{kind}: {} good, as before after {first:.1} s, {median:.1} s, {last:.1} s (least, median, most)",
                { seconds.len() }
            );
        }
    }
    let failed: Vec<&str> = outcomes.iter().filter(|one| one.1.is_none()).map(|one| one.0.as_str()).collect();
    let done = outcomes.len();
    println!("{done} of {count} jobs done in {lasted:.0?}, {} failed {}", failed.len(), failed.join(", "));
}
