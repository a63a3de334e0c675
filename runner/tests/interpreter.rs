//! The interpreter in virtual time, with scripted clients and actors.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use schism::actors::{NemesisActor, NemesisCompletion};
use schism::interpreter::{Phase, RunError, RunInputs, RunSummary, Stop, run};
use schism::journal::{Journal, JournalError, Sink};
use schism::progress::Progress;
use schism_generators::*;
use schism_history::{F, History, Kind, Node, Op, Process, Seed, Value};
use schism_workloads::{Client, Completion, Driver, NoopDriver, OpenError, WorkloadSpec, build};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

const MS: u64 = 1_000_000;

/// What a scripted client does with an operation: the function's name says it, its value how long (ms).
#[derive(Default)]
struct Script {
    opened: Mutex<Vec<String>>,
    dropped: Arc<AtomicU32>,
}

struct ScriptDriver {
    script: Arc<Script>,
}

struct ScriptClient {
    dropped: Arc<AtomicU32>,
}

impl Drop for ScriptClient {
    fn drop(&mut self) {
        self.dropped.fetch_add(1, Ordering::Relaxed);
    }
}

#[async_trait]
impl Driver for ScriptDriver {
    async fn open(&self, node: &Node, process: &Process) -> Result<Box<dyn Client>, OpenError> {
        self.script.opened.lock().expect("no test panics with it").push(format!("{process}@{node}"));
        match node.as_str() {
            "closed" => Err(OpenError { node: node.clone(), reason: "refused".to_owned() }),
            "hangs" => std::future::pending().await,
            "panics" => panic!("no driver"),
            _ => Ok(Box::new(ScriptClient { dropped: self.script.dropped.clone() })),
        }
    }
}

#[async_trait]
impl Client for ScriptClient {
    async fn invoke(&mut self, operation: &Invocation) -> Completion {
        let ms = operation.value.as_int().unwrap_or(0) as u64;
        if ms > 0 {
            sleep(Duration::from_millis(ms)).await;
        }
        match operation.f.as_str() {
            "fail" => Completion::Fail(Value::str("no")),
            "doubt" => Completion::Info(Value::str("timeout")),
            "panic" => panic!("broken client"),
            "hang" => std::future::pending().await,
            _ => Completion::ok(operation.value.clone()),
        }
    }
}

/// Takes so many ms as its value says; heals and injects; panics and fails on demand.
struct ScriptActor(&'static str);

#[async_trait]
impl NemesisActor for ScriptActor {
    fn class(&self) -> &str {
        self.0
    }

    async fn invoke(&self, invocation: &Invocation, _: u32) -> NemesisCompletion {
        match &invocation.value {
            Value::Int(ms) => sleep(Duration::from_millis(*ms as u64)).await,
            Value::Str(text) if &**text == "panic" => panic!("broken actor"),
            Value::Str(text) if &**text == "hang" => std::future::pending().await,
            Value::Str(text) if &**text == "error" => {
                return NemesisCompletion { value: Value::Nil, error: Some(Value::str("no target")) };
            }
            _ => {}
        }
        NemesisCompletion { value: Value::str("done"), error: None }
    }
}

struct Setup {
    nodes: &'static [&'static str],
    concurrency: u32,
    classes: &'static [&'static str],
    stop: watch::Receiver<Stop>,
    journal: Option<Journal>,
}

impl Default for Setup {
    fn default() -> Setup {
        Setup {
            nodes: &["n1", "n2", "n3"],
            concurrency: 2,
            classes: &["p", "k"],
            stop: watch::channel(Stop::No).1,
            journal: None,
        }
    }
}

/// Keeps what generators hear, in order: the history as it was recorded.
#[derive(Clone, Default)]
struct Recorder {
    ops: Arc<Mutex<Vec<Op>>>,
}

impl Generator for Recorder {
    fn next(&mut self, _: &Context<'_>) -> Next {
        Next::Exhausted
    }

    fn update(&mut self, _: &Context<'_>, event: &Op) {
        self.ops.lock().expect("no test panics with it").push(event.clone());
    }

    fn boxed_clone(&self) -> Box<dyn Generator> {
        Box::new(self.clone())
    }
}

struct Outcome {
    summary: RunSummary,
    ops: Vec<Op>,
    script: Arc<Script>,
    progress: Arc<Progress>,
}

fn load(generator: impl Combine) -> Vec<Phase> {
    vec![Phase { name: "load", generator: generator.boxed(), when_stopped: false }]
}

async fn play(mut phases: Vec<Phase>, setup: Setup) -> Outcome {
    let recorder = Recorder::default();
    phases.push(Phase { name: "recorder", generator: recorder.clone().boxed(), when_stopped: true });
    let script = Arc::new(Script::default());
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("history.jsonl");
    let journal = setup.journal.unwrap_or_else(|| Journal::create(&path).expect("a journal"));
    let progress = Arc::new(Progress::default());
    let actors = setup.classes.iter().map(|class| Arc::new(ScriptActor(class)) as Arc<dyn NemesisActor>);
    let summary = run(RunInputs {
        phases,
        driver: Arc::new(ScriptDriver { script: script.clone() }),
        nodes: setup.nodes.iter().map(|name| Node::new(name)).collect(),
        concurrency: setup.concurrency,
        nemesis: actors.collect(),
        journal,
        stop: setup.stop,
        progress: progress.clone(),
        operation_deadline_ms: 1_000,
        nemesis_deadline_ms: 5_000,
    })
    .await;
    let ops = recorder.ops.lock().expect("no test panics with it").clone();
    if path.exists() {
        let file = io::BufReader::new(std::fs::File::open(&path).expect("it is there"));
        let (history, tail) = schism_history::jsonl::read(file).expect("a right history");
        assert!(tail.torn.is_none() && history.ops().eq(ops.iter().cloned()), "the file says what was recorded");
    }
    assert!(ops.iter().enumerate().all(|(place, op)| op.index as usize == place), "indices are dense");
    assert!(ops.windows(2).all(|pair| pair[0].time_ns <= pair[1].time_ns), "time does not go back");
    History::from_ops(ops.iter().cloned()).expect("a right history");
    Outcome { summary, ops, script, progress }
}

/// Events as `ms process kind f [fault id]`.
fn lines(ops: &[Op]) -> Vec<String> {
    let line = |op: &Op| {
        let fault = op.fault_id.map(|id| format!(" #{id}")).unwrap_or_default();
        format!("{} {} {} {}{fault}", op.time_ns / MS, op.process, op.kind, op.f)
    };
    ops.iter().map(line).collect()
}

fn call(f: &str, ms: i64) -> leaf::Once {
    op(F::parse(f), Value::Int(ms))
}

fn fault(class: &str, f: F, value: impl Into<Value>) -> Box<dyn Generator> {
    nemesis_op(class, f, value.into()).boxed()
}

fn after(ms: u64, generator: impl Combine) -> Box<dyn Generator> {
    sequence(vec![schism_generators::sleep(ms * MS).boxed(), generator.boxed()]).boxed()
}

/// A name, what happens, and the events as [`lines`] has them.
type Case = (&'static str, Vec<Phase>, &'static str);

fn client_cases() -> Vec<Case> {
    vec![
        (
            "every ending; doubt retires the process",
            load(sequence(["read", "fail", "doubt", "read"].map(|f| call(f, 10).boxed()).into()).on_workers(0..1)),
            "0 0 invoke read|10 0 ok read|10 0 invoke fail|20 0 fail fail|20 0 invoke doubt|30 0 info doubt|30 2 invoke read|40 2 ok read",
        ),
        (
            "a client that panics leaves doubt, and its worker goes on",
            load(sequence(vec![call("panic", 5).boxed(), call("read", 1).boxed()]).on_workers(0..1)),
            "0 0 invoke panic|5 0 info panic|5 2 invoke read|6 2 ok read",
        ),
        (
            "the net below the clients' own time limits",
            load(sequence(vec![call("hang", 0).boxed(), call("read", 1).boxed()]).on_workers(0..1)),
            "0 0 invoke hang|1000 0 info hang|1000 2 invoke read|1001 2 ok read",
        ),
        (
            "phases wait for clients and nemesis",
            vec![
                Phase {
                    name: "one",
                    generator: any(vec![call("read", 10).boxed(), fault("p", F::Inject, 30)]).boxed(),
                    when_stopped: false,
                },
                Phase { name: "two", generator: call("write", 10).boxed(), when_stopped: false },
            ],
            "0 0 invoke read|0 nemesis/p invoke inject #1|10 0 ok read|30 nemesis/p info inject #1|30 0 invoke write|40 0 ok write",
        ),
    ]
}

fn nemesis_cases() -> Vec<Case> {
    vec![
        (
            "classes overlap, and faults keep their numbers",
            load(any(vec![
                sequence(vec![
                    fault("p", F::Inject, 20),
                    fault("p", F::Heal, 5),
                    fault("p", F::Inject, 1),
                    fault("p", F::Heal, 1),
                ])
                .boxed(),
                after(10, sequence(vec![fault("k", F::Inject, 1), after(4, fault("k", F::Heal, 30))])),
            ])),
            "0 nemesis/p invoke inject #1|10 nemesis/k invoke inject #2|11 nemesis/k info inject #2|\
             14 nemesis/k invoke heal #2|20 nemesis/p info inject #1|20 nemesis/p invoke heal #1|25 nemesis/p info heal #1|\
             25 nemesis/p invoke inject #3|26 nemesis/p info inject #3|26 nemesis/p invoke heal #3|27 nemesis/p info heal #3|44 nemesis/k info heal #2",
        ),
        (
            "healing takes the latest fault that is on, or the one that its value names, until it succeeds",
            load(sequence(vec![
                fault("p", F::Inject, 0),
                fault("p", F::Inject, 0),
                fault("p", F::Inject, 0),
                fault("p", F::Heal, "error"),
                fault("p", F::Heal, Value::Map(Box::new(vec![("fault_id".into(), Value::Int(1))]))),
                fault("p", F::Heal, 0),
                fault("p", F::Heal, 0),
                fault("p", F::Heal, 0),
            ])),
            "0 nemesis/p invoke inject #1|0 nemesis/p info inject #1|0 nemesis/p invoke inject #2|0 nemesis/p info inject #2|\
             0 nemesis/p invoke inject #3|0 nemesis/p info inject #3|0 nemesis/p invoke heal #3|0 nemesis/p info heal #3|\
             0 nemesis/p invoke heal #1|0 nemesis/p info heal #1|0 nemesis/p invoke heal #3|0 nemesis/p info heal #3|\
             0 nemesis/p invoke heal #2|0 nemesis/p info heal #2|0 nemesis/p invoke heal #2|0 nemesis/p info heal #2",
        ),
        (
            "an actor that panics or hangs ends with an error",
            load(sequence(vec![fault("p", F::Inject, "panic"), fault("p", F::Heal, "hang"), call("read", 0).boxed()])),
            "0 nemesis/p invoke inject #1|0 nemesis/p info inject #1|0 nemesis/p invoke heal #1|0 0 invoke read|0 0 ok read|5000 nemesis/p info heal #1",
        ),
    ]
}

#[tokio::test(start_paused = true)]
async fn events_are_as_the_table_says() {
    for (name, phases, expected) in client_cases().into_iter().chain(nemesis_cases()) {
        let outcome = play(phases, Setup::default()).await;
        // The timer of the runtime counts whole milliseconds and may be one late.
        let found: Vec<String> = lines(&outcome.ops);
        let expected: Vec<&str> = expected.split('|').collect();
        let near = found.len() == expected.len()
            && found.iter().zip(&expected).all(|(found, expected)| is_near(found, expected));
        assert!(near, "{name}:\n  found    {found:#?}\n  expected {expected:#?}");
        assert_eq!((outcome.summary.error, outcome.summary.stopped), (None, false), "{name}");
        assert_eq!(outcome.summary.events, outcome.ops.len() as u64);
    }
}

/// At 10 ms an answer arrives and the generator's time has come, while a worker is free: the answer is first, or the
/// history would say that the two operations overlapped.
#[tokio::test(start_paused = true)]
async fn completions_come_first() {
    let generator = any(vec![call("read", 10).boxed(), after(10, call("write", 10))]);
    let outcome = play(load(generator), Setup::default()).await;
    let order: Vec<String> = outcome.ops.iter().map(|op| format!("{} {}", op.kind, op.f)).collect();
    assert_eq!(order, ["invoke read", "ok read", "invoke write", "ok write"]);
}

/// What was begun stands in the file soon, though nothing else happens.
#[tokio::test]
async fn the_file_is_never_far_behind() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("history.jsonl");
    let journal = Journal::create(&path).expect("a journal");
    let lines_at_half_time = tokio::spawn(async move {
        sleep(Duration::from_millis(1_000)).await;
        std::fs::read_to_string(path).expect("it is there").lines().count()
    });
    let outcome = play(load(call("write", 2_000)), Setup { journal: Some(journal), ..Setup::default() }).await;
    assert_eq!(lines_at_half_time.await.expect("it does not panic"), 1);
    assert_eq!(outcome.ops.len(), 2);
}

/// A worker whose client answers at once leaves the runtime time for another one's timers.
#[tokio::test]
async fn fast_clients_do_not_starve_slow_ones() {
    let fast = endless(|_, _| (F::Read, Value::Int(0)));
    let slow = endless(|_, _| (F::Write, Value::Int(1)));
    let generator = reserve(vec![(1, fast.boxed())], slow.boxed()).time_limit(1_000 * MS);
    let outcome = play(load(generator), Setup::default()).await;
    let count = |f: F| outcome.ops.iter().filter(|op| op.f == f && op.kind == Kind::Ok).count();
    // One that is starved hears of its timers at the end alone; any machine has time for more.
    assert!(count(F::Write) >= 10, "{} slow operations in a second", count(F::Write));
    assert!(count(F::Read) >= 100, "{} fast operations in a second", count(F::Read));
}

/// Equal but for up to 6 ms (timers are late by 1 ms each).
fn is_near(found: &str, expected: &str) -> bool {
    let split =
        |line: &str| line.split_once(' ').map(|(ms, rest)| (ms.parse::<u64>().unwrap_or(u64::MAX), rest.to_owned()));
    let (Some((found_ms, found)), Some((ms, rest))) = (split(found), split(expected)) else { return false };
    found == rest && (ms..=ms + 6).contains(&found_ms)
}

#[tokio::test(start_paused = true)]
async fn workers_keep_to_their_nodes_and_processes_to_their_clients() {
    let generator = sequence(vec![call("read", 1).boxed(), call("read", 1).boxed(), call("doubt", 1).boxed()])
        .each_worker()
        .then(call("read", 1).each_worker());
    let outcome = play(load(generator), Setup { concurrency: 4, ..Setup::default() }).await;
    let mut opened = outcome.script.opened.lock().expect("it was not held").clone();
    opened.sort();
    assert_eq!(opened, ["0@n1", "1@n2", "2@n3", "3@n1", "4@n1", "5@n2", "6@n3", "7@n1"]);
    assert_eq!(outcome.script.dropped.load(Ordering::Relaxed), 8, "every client is closed");
    for op in &outcome.ops {
        let worker = op.process.client().expect("clients only") % 4;
        assert_eq!(op.node, Some(Node::new(["n1", "n2", "n3", "n1"][worker as usize])));
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_not_sent_fails() {
    for (node, error, ms) in [("closed", "no-client", 0), ("hangs", "deadline", 1_000), ("panics", "panic", 0)] {
        let generator = sequence(vec![call("write", 1).boxed(), call("write", 2).boxed()]);
        let setup = Setup { nodes: Box::leak(Box::new([node])), concurrency: 1, ..Setup::default() };
        let outcome = play(load(generator), setup).await;
        let kinds: Vec<Kind> = outcome.ops.iter().map(|op| op.kind).collect();
        assert_eq!(kinds, [Kind::Invoke, Kind::Fail, Kind::Invoke, Kind::Fail], "{node}");
        let said = outcome.ops[1].error.as_ref().map(|error| error.to_string()).unwrap_or_default();
        assert!(said.contains(error), "{node}: {said}");
        assert!(outcome.ops[1].time_ns.abs_diff(ms * MS) <= 2 * MS);
        assert!(outcome.ops.iter().all(|op| op.process == Process::Client(0)), "nobody is retired");
        assert_eq!(outcome.script.opened.lock().expect("it was not held").len(), 2, "{node}: it tries again");
    }
}

#[tokio::test(start_paused = true)]
async fn a_stop_ends_the_load_and_heals() {
    for (stop, given_up, healed) in [(Stop::Load, false, true), (Stop::All, true, false)] {
        let (say, heard) = watch::channel(Stop::No);
        let endless = endless(|_, _| (F::parse("write"), Value::Int(300)));
        let nemesis = sequence(vec![fault("p", F::Inject, 1), after(10_000, nemesis_op("p", F::Heal, Value::Nil))]);
        let phases = vec![
            Phase { name: "load", generator: any(vec![endless.boxed(), nemesis.boxed()]).boxed(), when_stopped: false },
            Phase { name: "heal", generator: fault("p", F::Heal, 1), when_stopped: true },
            Phase { name: "last", generator: call("read", 1).boxed(), when_stopped: false },
        ];
        let begun = Instant::now();
        let watcher = tokio::spawn(async move {
            sleep(Duration::from_millis(450)).await;
            say.send_replace(stop);
            say
        });
        let outcome = play(phases, Setup { stop: heard, ..Setup::default() }).await;
        let took_ms = begun.elapsed().as_millis();
        watcher.await.expect("it does not panic");
        assert!(outcome.summary.stopped && outcome.summary.error.is_none());
        assert!(
            outcome
                .ops
                .iter()
                .all(|op| op.kind != Kind::Invoke || op.process.client().is_none() || op.time_ns < 460 * MS)
        );
        assert_eq!(outcome.ops.iter().any(|op| op.f == F::Heal), healed, "{stop:?}");
        assert_eq!(outcome.ops.iter().any(|op| op.kind == Kind::Info && op.process.client().is_some()), given_up);
        assert!(outcome.ops.iter().all(|op| op.f != F::Read), "{stop:?}: the last phase is load");
        assert_eq!(outcome.summary.counts.faults_on.is_empty(), healed);
        assert!(took_ms < 700, "{stop:?} took {took_ms} ms");
    }
}

#[tokio::test(start_paused = true)]
async fn progress_counts() {
    let generator = sequence(vec![
        fault("p", F::Inject, 0),
        call("read", 0).boxed(),
        call("fail", 0).boxed(),
        call("doubt", 0).boxed(),
        call("read", 7).boxed(),
        fault("k", F::Inject, 0),
        fault("k", F::Heal, 0),
    ]);
    let outcome = play(load(generator), Setup::default()).await;
    let counts = outcome.progress.snapshot();
    assert_eq!((counts.invoked, counts.ok, counts.fail, counts.info), (4, 2, 1, 1));
    assert_eq!(counts.faults_on, [(1, "p".to_owned())]);
    assert!((7 * MS..9 * MS).contains(&counts.time_ns));
    assert_eq!(outcome.summary.counts, counts);
}

#[tokio::test(start_paused = true)]
async fn broken_generators_end_the_load_but_not_the_healing() {
    #[derive(Clone)]
    struct Fixed(Next);
    impl Generator for Fixed {
        fn next(&mut self, _: &Context<'_>) -> Next {
            self.0.clone()
        }
        fn boxed_clone(&self) -> Box<dyn Generator> {
            Box::new(self.clone())
        }
    }
    let invocation = |process| Next::Op(Invocation { process, f: F::Read, key: None, value: Value::Int(5) });
    let cases = [
        (invocation(Process::Client(0)), "process 0, which is not free"),
        (invocation(Process::Client(9)), "process 9, which is not free"),
        (invocation(Process::nemesis("x")), "process nemesis/x, which is not free"),
        (Next::WAIT, "waits for an event"),
    ];
    for (next, part) in cases {
        let phases = vec![
            Phase { name: "load", generator: Fixed(next).boxed(), when_stopped: false },
            Phase { name: "more", generator: call("write", 1).boxed(), when_stopped: false },
            Phase { name: "heal", generator: fault("p", F::Heal, 1), when_stopped: true },
        ];
        let outcome = play(phases, Setup::default()).await;
        let error = outcome.summary.error.map(|error| error.to_string()).unwrap_or_default();
        assert!(error.contains("phase load") && error.contains(part), "{error}");
        assert!(outcome.summary.stopped);
        assert!(outcome.ops.iter().any(|op| op.f == F::Heal) && outcome.ops.iter().all(|op| op.f != F::Write));
    }
}

#[tokio::test(start_paused = true)]
async fn nobody_is_an_error() {
    for (nodes, concurrency) in [(&[][..], 3), (&["n1"][..], 0), (&["n1"][..], u32::MAX)] {
        let outcome = play(load(call("read", 0)), Setup { nodes, concurrency, ..Setup::default() }).await;
        assert!(matches!(outcome.summary.error, Some(RunError::Nobody { .. })));
    }
}

/// Takes so many bytes, then is full.
struct SmallDisk {
    room: usize,
    written: Arc<Mutex<Vec<u8>>>,
}

impl Write for SmallDisk {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.room == 0 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let taken = bytes.len().min(self.room);
        self.room -= taken;
        self.written.lock().expect("no test panics with it").extend_from_slice(&bytes[..taken]);
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Sink for SmallDisk {
    fn sync(&self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_full_disk_ends_the_load_heals_and_leaves_a_prefix() {
    let written = Arc::new(Mutex::new(Vec::new()));
    let disk = SmallDisk { room: 100_000, written: written.clone() };
    let journal = Journal::into_sink(Path::new("history.jsonl"), Box::new(disk)).expect("a thread");
    let endless = endless(|_, _| (F::parse("write"), Value::Int(0))).time_limit(60_000 * MS);
    let phases = vec![
        Phase {
            name: "load",
            generator: any(vec![endless.boxed(), fault("p", F::Inject, 0)]).boxed(),
            when_stopped: false,
        },
        Phase { name: "heal", generator: fault("p", F::Heal, 0), when_stopped: true },
    ];
    let outcome = play(phases, Setup { journal: Some(journal), ..Setup::default() }).await;
    let Some(RunError::Journal(JournalError::Full { events, .. })) = outcome.summary.error else {
        panic!("{:?}", outcome.summary.error)
    };
    assert!(outcome.summary.stopped && outcome.ops.iter().any(|op| op.f == F::Heal && op.kind == Kind::Info));
    let written = written.lock().expect("it was not held");
    assert_eq!(written.len(), 100_000);
    let whole = written.iter().filter(|byte| **byte == b'\n').count() as u64;
    let (history, tail) = schism_history::jsonl::read(&written[..]).expect("a prefix is a right history");
    // The disk may have become full anywhere: within a line, before its end, or just after it.
    let (ends_line, unended) = (written.ends_with(b"\n"), u64::from(tail.newline_missing));
    assert_eq!(tail.torn.is_none(), ends_line || tail.newline_missing, "{tail:?}");
    assert!(!ends_line || !tail.newline_missing, "{tail:?}");
    assert!(history.ops().eq(outcome.ops.iter().take((whole + unended) as usize).cloned()));
    assert!(whole > 100 && whole <= events && events <= outcome.summary.events, "{whole} whole lines, {events} events");
}

#[tokio::test]
async fn an_unwritable_place_is_named() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("history.jsonl");
    std::fs::write(&path, "evidence").expect("it can be written");
    let error = Journal::create(&path).err().expect("a file is never overwritten").to_string();
    assert!(error.contains("history.jsonl"), "{error}");
    assert_eq!(std::fs::read_to_string(&path).expect("it is there"), "evidence");
}

/// After a sync the file has it all, though the journal is still open and its own time to flush has not come.
#[tokio::test]
async fn a_sync_waits_for_the_file() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("history.jsonl");
    let mut journal = Journal::create(&path).expect("a journal");
    for count in 1..=50 {
        journal.submit(vec![Op::new(Process::Client(count), Kind::Invoke, F::Read, Value::Nil)]);
        assert_eq!(journal.sync().await, Ok(u64::from(count)));
        assert_eq!(std::fs::read_to_string(&path).expect("it is there").lines().count(), count as usize);
    }
}

/// A whole run of the workload with doubt, faults of two classes, rate, heal and final reads.
#[tokio::test(start_paused = true)]
async fn a_whole_run_is_a_right_history() {
    let workers = 10;
    let workload =
        build(&WorkloadSpec::named("register").expect("it is in the table"), Seed(9), workers).expect("defaults");
    let faults = |class: &'static str| {
        let inject = nemesis_op(class, F::Inject, Value::Int(50));
        let heal = nemesis_op(class, F::Heal, Value::Int(80));
        sequence(vec![after(400, inject), after(300, heal)]).repeat(None).boxed()
    };
    let client_load = workload.generator.stagger(MS, Seed(9).stream("rate")).clients();
    let phases = vec![
        Phase {
            name: "load",
            generator: any(vec![client_load.boxed(), faults("p"), faults("k")]).time_limit(20_000 * MS).boxed(),
            when_stopped: false,
        },
        Phase {
            name: "heal",
            generator: sequence(vec![fault("p", F::Heal, 5), fault("k", F::Heal, 5)]).boxed(),
            when_stopped: true,
        },
        Phase {
            name: "last",
            generator: workload.final_generator.expect("by default").clients().boxed(),
            when_stopped: false,
        },
    ];
    let recorder = Recorder::default();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let driver = SlowDriver(NoopDriver::new(
        schism_workloads::NoopFaults { doubt_per_mille: 20, ..Default::default() },
        Seed(1),
    ));
    let mut phases = phases;
    phases.push(Phase { name: "recorder", generator: recorder.clone().boxed(), when_stopped: true });
    let summary = run(RunInputs {
        phases,
        driver: Arc::new(driver),
        nodes: (1..=5).map(|number| Node::new(&format!("n{number}"))).collect(),
        concurrency: workers,
        nemesis: vec![Arc::new(ScriptActor("p")), Arc::new(ScriptActor("k"))],
        journal: Journal::create(&folder.path().join("history.jsonl")).expect("a journal"),
        stop: watch::channel(Stop::No).1,
        progress: Arc::default(),
        operation_deadline_ms: 1_000,
        nemesis_deadline_ms: 5_000,
    })
    .await;
    assert_eq!(summary.error, None);
    // A thousand a second were asked for, over 20 s, of workers that can do about two thousand.
    assert!((19_000..21_500).contains(&summary.counts.invoked), "{}", summary.counts.invoked);
    let ops = recorder.ops.lock().expect("it was not held").clone();
    let history = History::from_ops(ops.clone()).expect("a right history");
    assert!(history.nemesis_calls().count() > 40);
    let last_ns = summary.phases.iter().find(|phase| phase.name == "last").expect("it ran").start_ns;
    let finals = ops.iter().filter(|op| op.time_ns >= last_ns && op.kind == Kind::Invoke);
    let reads: BTreeSet<_> = finals.map(|op| (op.key.clone(), op.node.clone())).collect();
    let keys: BTreeSet<_> = reads.iter().map(|(key, _)| key.clone()).collect();
    assert_eq!((keys.len(), reads.len()), (2, 10), "two groups had a key each, and every node reads both");
    let names: Vec<&str> = summary.phases.iter().map(|phase| phase.name).collect();
    assert_eq!(names, ["load", "heal", "last", "recorder"]);
}

/// Some milliseconds for each operation.
struct SlowDriver(NoopDriver);

struct SlowClient(Box<dyn Client>);

#[async_trait]
impl Driver for SlowDriver {
    async fn open(&self, node: &Node, process: &Process) -> Result<Box<dyn Client>, OpenError> {
        Ok(Box::new(SlowClient(self.0.open(node, process).await?)))
    }
}

#[async_trait]
impl Client for SlowClient {
    async fn invoke(&mut self, operation: &Invocation) -> Completion {
        sleep(Duration::from_millis(3)).await;
        let completion = self.0.invoke(operation).await;
        sleep(Duration::from_millis(1)).await;
        completion
    }
}
