//! How many operations a second the controller can do by itself: the register workload over independent keys through
//! generator, interpreter, the clients' waist (a store in memory, which answers at once) and the journal into a file,
//! which is read again and counted.
//!
//! `cargo bench -p schism --bench controller -- [OPERATIONS] [WORKERS] [current|multi]`

use std::error::Error;
use std::fs::File;
use std::io::{BufReader, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use schism::interpreter::{Phase, RunInputs, RunSummary, Stop, run};
use schism::journal::Journal;
use schism::progress::Progress;
use schism_generators::Combine;
use schism_history::{Node, Seed};
use schism_workloads::{NoopDriver, WorkloadSpec, build};

const SEED: Seed = Seed(42);

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1).filter(|argument| !argument.starts_with('-'));
    let operations: u64 = arguments.next().map_or(Ok(3_000_000), |text| text.parse())?;
    let workers: u32 = arguments.next().map_or(Ok(10), |text| text.parse())?;
    let multi = arguments.next().is_some_and(|text| text == "multi");

    let folder = tempfile::tempdir()?;
    let path = folder.path().join("history.jsonl");
    let mut builder =
        if multi { tokio::runtime::Builder::new_multi_thread() } else { tokio::runtime::Builder::new_current_thread() };
    let runtime = builder.enable_all().build()?;

    let begun = Instant::now();
    let summary = runtime.block_on(measured(&path, operations, workers))?;
    let seconds = begun.elapsed().as_secs_f64();
    let bytes = path.metadata()?.len();
    let memory = peak_memory_kib()?;

    let begun = Instant::now();
    let (history, tail) = schism_history::jsonl::read(BufReader::new(File::open(&path)?))?;
    let events = history.len() as u64;
    let read_seconds = begun.elapsed().as_secs_f64();
    let mut out = std::io::stdout().lock();
    writeln!(out, "seed {SEED}, {workers} workers, {} runtime", if multi { "multi-thread" } else { "current-thread" })?;
    writeln!(out, "{operations} operations in {seconds:.3} s: {:.0} operations/s", operations as f64 / seconds)?;
    writeln!(out, "journal: {events} events, {} MiB, read again in {read_seconds:.3} s", bytes >> 20)?;
    writeln!(out, "peak memory: {} MiB", memory >> 10)?;
    assert_eq!(summary.error, None);
    assert_eq!(summary.counts.invoked, operations);
    assert!(tail.torn.is_none(), "the file ends with a whole line");
    assert_eq!(events, summary.events, "the file holds every event");
    assert_eq!(events, 2 * operations, "every operation has its two events");
    Ok(())
}

async fn measured(path: &Path, operations: u64, workers: u32) -> Result<RunSummary, Box<dyn Error>> {
    let spec = WorkloadSpec::named("register").ok_or("no workload `register`")?;
    let workload = build(&spec, SEED, workers)?;
    let (_keep, stop) = tokio::sync::watch::channel(Stop::No);
    let inputs = RunInputs {
        phases: vec![Phase {
            name: "load",
            generator: workload.generator.limit(operations).clients().boxed(),
            when_stopped: false,
        }],
        driver: Arc::new(NoopDriver::default()),
        nodes: (1..=5).map(|number| Node::new(&format!("n{number}"))).collect(),
        concurrency: workers,
        nemesis: Vec::new(),
        journal: Journal::create(path)?,
        stop,
        progress: Arc::new(Progress::default()),
        operation_deadline_ms: 10_000,
        nemesis_deadline_ms: 10_000,
    };
    Ok(run(inputs).await)
}

/// The highest resident memory of this process so far.
fn peak_memory_kib() -> Result<u64, Box<dyn Error>> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("no VmHWM in /proc/self/status")?;
    Ok(line.trim().trim_end_matches("kB").trim().parse()?)
}
