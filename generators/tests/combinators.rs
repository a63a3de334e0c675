//! Every combinator in virtual time, as data: a generator, and what it does.

use std::fmt::Write;

use schism_generators::simulator::{Answer, Ending, Simulation, simulate};
use schism_generators::*;
use schism_history::{F, History, Key, Kind, Op, Process, Seed, Value};

type Boxed = Box<dyn Generator>;

fn w(value: i64) -> impl Combine {
    op(F::Write, Value::Int(value))
}

fn reads() -> impl Combine {
    endless(|_, _| (F::Read, Value::Nil))
}

fn inject(class: &str) -> impl Combine {
    nemesis_op(class, F::Inject, Value::Nil)
}

/// Writes 1, 2, 3 ... without end.
fn counting() -> impl Combine {
    let mut count = 0;
    endless(move |_, _| {
        count += 1;
        (F::Write, Value::Int(count))
    })
}

/// Invocations as `time:process f value`, or `time:process k<key> f value`.
fn invocations(simulation: &Simulation) -> String {
    let mut text = String::new();
    for op in simulation.ops.iter().filter(|op| op.kind == Kind::Invoke) {
        let key = op.key.as_ref().map(|key| format!("k{key}")).unwrap_or_default();
        let f = op.f.as_str().chars().next().expect("a function has a name");
        let value = op.value.as_int().map(|value| value.to_string()).unwrap_or_default();
        write!(text, "{}:{}{key}{f}{value} ", op.time_ns, op.process.to_string().trim_start_matches("nemesis/"))
            .expect("a string takes all");
    }
    text.trim_end().to_owned()
}

/// Runs with two workers and the classes `p` and `k`; each operation takes 10 ns and succeeds.
fn run(generator: Boxed) -> Simulation {
    simulate(generator, 2, &["p", "k"], |_| Answer::ok(10), 40)
}

struct Case(&'static str, Boxed, &'static str, Ending);

fn rate_and_limit_cases() -> Vec<Case> {
    use Ending::*;
    vec![
        Case("one operation", w(1).boxed(), "0:0w1", Exhausted),
        Case(
            "as many as are free, then as they come",
            counting().limit(5).boxed(),
            "0:0w1 0:1w2 10:0w3 10:1w4 20:0w5",
            Exhausted,
        ),
        Case("limit 0", counting().limit(0).boxed(), "", Exhausted),
        Case("once", counting().once().boxed(), "0:0w1", Exhausted),
        Case(
            "time limit: from the first question, its end excluded",
            counting().time_limit(20).boxed(),
            "0:0w1 0:1w2 10:0w3 10:1w4",
            Exhausted,
        ),
        Case(
            "time limit after a sleep begins then",
            sequence(vec![sleep(7).boxed(), reads().time_limit(10).boxed()]).boxed(),
            "7:0r 7:1r",
            Exhausted,
        ),
        Case("time limit wakes what waits", sleep(1000).time_limit(30).then(w(1)).boxed(), "30:0w1", Exhausted),
        Case("rate", counting().rate(4).limit(4).boxed(), "0:0w1 4:1w2 10:0w3 14:1w4", Exhausted),
        Case(
            "rate keeps its schedule after a small delay",
            counting().rate(6).limit(5).boxed(),
            "0:0w1 6:1w2 12:0w3 18:1w4 24:0w5",
            Exhausted,
        ),
        Case(
            "delay is caught up with",
            counting().delay(3).limit(6).boxed(),
            "0:0w1 3:1w2 10:0w3 13:1w4 20:0w5 23:1w6",
            Exhausted,
        ),
        Case("repeat once more", w(1).repeat(Some(3)).boxed(), "0:0w1 0:1w1 10:0w1", Exhausted),
        Case("repeat 0", w(1).repeat(Some(0)).boxed(), "", Exhausted),
        Case("repeat of nothing", w(1).limit(0).repeat(None).boxed(), "", Exhausted),
        Case(
            "repeat a sequence",
            sequence(vec![w(1).boxed(), w(2).boxed()]).repeat(Some(2)).boxed(),
            "0:0w1 0:1w2 10:0w1 10:1w2",
            Exhausted,
        ),
        Case("repeat without end", w(1).repeat(None).limit(3).boxed(), "0:0w1 0:1w1 10:0w1", Exhausted),
        Case("until ok", counting().until_ok().boxed(), "0:0w1 0:1w2", Exhausted),
        Case("sleep", sequence(vec![w(1).boxed(), sleep(25).boxed(), w(2).boxed()]).boxed(), "0:0w1 25:0w2", Exhausted),
        Case("map renames", w(1).map(|i| Invocation { f: F::Append, ..i }).boxed(), "0:0a1", Exhausted),
    ]
}

fn order_and_route_cases() -> Vec<Case> {
    use Ending::*;
    vec![
        Case("sequence has no barrier", sequence(vec![w(1).boxed(), w(2).boxed()]).boxed(), "0:0w1 0:1w2", Exhausted),
        Case(
            "phases have",
            phases(vec![w(1).boxed(), w(2).boxed(), w(3).boxed()]).boxed(),
            "0:0w1 10:0w2 20:0w3",
            Exhausted,
        ),
        Case("then has", w(1).then(w(2)).boxed(), "0:0w1 10:0w2", Exhausted),
        Case(
            "phases wait for the nemesis too",
            phases(vec![
                any(vec![w(1).boxed(), sequence(vec![sleep(5).boxed(), inject("p").boxed()]).boxed()]).boxed(),
                w(2).boxed(),
            ])
            .boxed(),
            "0:0w1 5:pi 15:0w2",
            Exhausted,
        ),
        Case(
            "a barrier of clients alone does not",
            any(vec![inject("p").boxed(), sequence(vec![sleep(3).boxed(), w(1).then(w(2)).clients().boxed()]).boxed()])
                .boxed(),
            "0:pi 3:0w1 13:0w2",
            Exhausted,
        ),
        Case("clients", any(vec![inject("p").clients().boxed(), w(1).clients().boxed()]).boxed(), "0:0w1", Stuck),
        Case("nemesis", any(vec![inject("p").nemesis().boxed(), w(1).nemesis().boxed()]).boxed(), "0:pi", Stuck),
        Case(
            "classes overlap",
            sequence(vec![inject("p").boxed(), inject("k").boxed(), inject("p").boxed()]).boxed(),
            "0:pi 0:ki 10:pi",
            Exhausted,
        ),
        Case("an unknown class waits for ever", inject("x").boxed(), "", Stuck),
        Case(
            "any takes turns",
            any(vec![counting().boxed(), reads().boxed()]).limit(4).boxed(),
            "0:0w1 0:1r 10:1w2 10:0r",
            Exhausted,
        ),
        Case(
            "any goes on without the exhausted",
            any(vec![w(1).boxed(), counting().limit(3).boxed()]).boxed(),
            "0:0w1 0:1w1 10:0w2 10:1w3",
            Exhausted,
        ),
        Case(
            "any is not held up",
            any(vec![sleep(15).then(w(9)).boxed(), counting().limit(3).boxed()]).boxed(),
            "0:0w1 0:1w2 10:0w3 20:0w9",
            Exhausted,
        ),
        Case(
            "flip-flop",
            flip_flop(counting().boxed(), reads().limit(2).boxed()).boxed(),
            "0:0w1 0:1r 10:1w2 10:0r 20:0w3",
            Exhausted,
        ),
        Case(
            "cycle-times: windows keep their state",
            cycle_times(vec![(10, counting().rate(5).boxed()), (5, sleep(1000).boxed())]).time_limit(45).boxed(),
            "0:0w1 5:1w2 15:0w3 15:1w4 30:0w5 30:1w6",
            Exhausted,
        ),
        Case(
            "cycle-times: exhausted windows stay empty",
            cycle_times(vec![(4, w(1).boxed()), (6, w(2).boxed())]).boxed(),
            "0:0w1 4:1w2",
            Exhausted,
        ),
        Case(
            "reserve",
            reserve(vec![(1, counting().limit(3).boxed())], reads().limit(2).boxed()).boxed(),
            "0:0w1 0:1r 10:0w2 10:1r 20:0w3",
            Exhausted,
        ),
        Case(
            "reserve without workers for the rest",
            reserve(vec![(5, w(1).boxed())], w(2).boxed()).boxed(),
            "0:0w1",
            Exhausted,
        ),
        Case(
            "nested reserve counts from its own first worker",
            reserve(vec![(1, sleep(1).boxed())], reserve(vec![(1, w(7).boxed())], w(8).boxed()).boxed()).boxed(),
            "0:1w7",
            Exhausted,
        ),
        Case("on workers", counting().on_workers(1..2).limit(2).boxed(), "0:1w1 10:1w2", Exhausted),
        Case(
            "each worker",
            sequence(vec![w(1).boxed(), w(2).boxed()]).each_worker().boxed(),
            "0:0w1 0:1w1 10:0w2 10:1w2",
            Exhausted,
        ),
        Case("each process, nobody retired", w(1).each_process().boxed(), "0:0w1 0:1w1", Exhausted),
    ]
}

fn independent_cases() -> Vec<Case> {
    use Ending::*;
    let keys =
        |workers_per_key, keys_max| IndependentKeys::new(workers_per_key, keys_max, |_: i64| counting().limit(3));
    vec![
        Case(
            "a key after the other",
            keys(2, Some(2)).boxed(),
            "0:0k0w1 0:1k0w2 10:0k0w3 10:1k1w1 20:0k1w2 20:1k1w3",
            Exhausted,
        ),
        Case("a key each", keys(1, Some(2)).boxed(), "0:0k0w1 0:1k1w1 10:0k0w2 10:1k1w2 20:0k0w3 20:1k1w3", Exhausted),
        Case("groups larger than all workers", keys(9, Some(1)).boxed(), "0:0k0w1 0:1k0w2 10:0k0w3", Exhausted),
        Case("no keys", keys(1, Some(0)).boxed(), "", Exhausted),
        Case("keys that give nothing", IndependentKeys::new(1, None, |_: i64| w(1).limit(0)).boxed(), "", Exhausted),
    ]
}

#[test]
fn combinators_do_what_the_table_says() {
    let cases = [rate_and_limit_cases(), order_and_route_cases(), independent_cases()].into_iter().flatten();
    let mut wrong = Vec::new();
    for Case(name, generator, expected, ending) in cases {
        let copy = generator.clone();
        let simulation = run(generator);
        let found = (invocations(&simulation), simulation.ending.clone());
        if found != (expected.to_owned(), ending) {
            wrong.push(format!("{name}:\n  found    {found:?}\n  expected {expected:?}"));
        }
        assert_eq!(run(copy), simulation, "{name}: a copy does the same");
        History::from_ops(simulation.ops).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn stagger_holds_its_mean_and_differs() {
    let mean_ns = 1_000;
    let generator = reads().stagger(mean_ns, Seed(7).stream("stagger")).limit(20_000).boxed();
    let simulation = simulate(generator, 50, &[], |_| Answer::ok(300), u64::MAX);
    let starts: Vec<u64> = simulation.ops.iter().filter(|op| op.kind == Kind::Invoke).map(|op| op.time_ns).collect();
    let mean = *starts.last().unwrap() as f64 / (starts.len() - 1) as f64;
    assert!((mean - 1_000.0).abs() < 20.0, "{mean}");
    let distances: Vec<u64> = starts.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(distances.iter().any(|&d| d < 100) && distances.iter().any(|&d| d > 1_900));
    assert!(distances.iter().all(|&d| d <= 2_000));
}

/// After a stall of all workers a rate begins anew, a delay catches up.
#[test]
fn a_stall_is_followed_by_a_burst_only_when_asked_for() {
    let second = 1_000_000_000;
    let interval_ns = 10_000_000;
    let starts_after_stall = |generator: Boxed| {
        let mut first = true;
        let latency = move |_: &Op| Answer::ok(if std::mem::take(&mut first) { second } else { 1 });
        let simulation = simulate(generator, 1, &[], latency, u64::MAX);
        simulation.ops.iter().filter(|op| op.kind == Kind::Invoke && op.time_ns <= second + interval_ns).count()
    };
    assert_eq!(starts_after_stall(reads().rate(interval_ns).time_limit(2 * second).boxed()), 3);
    assert_eq!(starts_after_stall(reads().delay(interval_ns).time_limit(2 * second).boxed()), 102);
}

#[test]
fn mix_keeps_its_weights_and_is_not_held_up() {
    let chance = || Seed(3).stream("mix");
    let parts =
        || vec![(1, counting().boxed()), (3, reads().boxed()), (0, op(F::Add, Value::Nil).repeat(None).boxed())];
    let simulation = simulate(mix(chance(), parts()).limit(4_000).boxed(), 5, &[], |_| Answer::ok(1), u64::MAX);
    let count = |f: F| simulation.ops.iter().filter(|op| op.kind == Kind::Invoke && op.f == f).count();
    assert!((900..1_100).contains(&count(F::Write)), "{}", count(F::Write));
    assert_eq!(count(F::Write) + count(F::Read), 4_000);

    let held = mix(chance(), vec![(1_000, sleep(1_000).boxed()), (1, reads().limit(6).boxed())]).boxed();
    let simulation = simulate(held, 1, &[], |_| Answer::ok(10), u64::MAX);
    assert_eq!(invocations(&simulation), "0:0r 10:0r 20:0r 30:0r 40:0r 50:0r");
    assert_eq!(simulation.ending, Ending::Exhausted);
}

/// Answers with doubt, failure or success by the number of the operation.
fn scripted(kinds: &'static [Kind]) -> impl FnMut(&Op) -> Answer {
    let mut kinds = kinds.iter().copied();
    move |_| Answer::kind(10, kinds.next().unwrap_or(Kind::Ok))
}

#[test]
fn endings_steer() {
    use Kind::{Fail, Info, Ok};
    type Script = &'static [Kind];
    let cases: Vec<(&str, Boxed, u32, Script, &str)> = vec![
        ("doubt retires the process", counting().limit(3).boxed(), 1, &[Info, Fail, Ok], "0:0w1 10:1w2 20:1w3"),
        (
            "until ok goes on after failure and doubt",
            counting().until_ok().boxed(),
            1,
            &[Fail, Info, Ok],
            "0:0w1 10:0w2 20:1w3",
        ),
        (
            "until ok does not take another's success for its own",
            sequence(vec![w(8).boxed(), counting().until_ok().boxed()]).boxed(),
            2,
            &[Ok, Fail, Ok, Fail],
            "0:0w8 0:1w1 10:0w2 10:1w3",
        ),
        (
            "process limit counts workers and retirements",
            counting().process_limit(3).boxed(),
            2,
            &[Info, Ok, Ok, Info],
            "0:0w1 0:1w2 10:2w3 10:1w4",
        ),
        ("process limit below the number of workers", counting().process_limit(1).boxed(), 2, &[], ""),
        (
            "process limit counts from its own beginning",
            sequence(vec![w(7).boxed(), sleep(11).boxed(), counting().process_limit(1).limit(2).boxed()]).boxed(),
            1,
            &[Info],
            "0:0w7 11:1w1 21:1w2",
        ),
        (
            "each process begins anew, each worker does not",
            sequence(vec![w(1).boxed(), w(2).boxed()]).each_process().boxed(),
            1,
            &[Info, Ok, Ok],
            "0:0w1 10:1w1 20:1w2",
        ),
        (
            "each worker",
            sequence(vec![w(1).boxed(), w(2).boxed()]).each_worker().boxed(),
            1,
            &[Info, Ok],
            "0:0w1 10:1w2",
        ),
        (
            "independent keys: a limit of processes moves on to a fresh key",
            IndependentKeys::new(1, Some(2), |_: i64| counting().process_limit(2).limit(4)).boxed(),
            1,
            &[Info, Info, Ok, Ok, Ok, Ok],
            "0:0k0w1 10:1k0w2 20:2k1w1 30:2k1w2 40:2k1w3 50:2k1w4",
        ),
    ];
    for (name, generator, workers, script, expected) in cases {
        let simulation = simulate(generator, workers, &[], scripted(script), 30);
        assert_eq!(invocations(&simulation), expected, "{name}");
        assert_eq!(simulation.ending, Ending::Exhausted, "{name}");
        History::from_ops(simulation.ops).expect("a string takes all");
    }
}

/// Writes its number of heard events: tells which updates reach it.
#[derive(Clone, Default)]
struct Listener {
    heard: i64,
    wrong: bool,
    expected_workers: Option<(u32, u32)>,
    rotation: Rotation,
}

impl Generator for Listener {
    fn next(&mut self, context: &Context<'_>) -> Next {
        let Some(worker) = self.rotation.pick(context) else { return Next::WAIT };
        let value = Value::Int(if self.wrong { -1 } else { self.heard });
        Next::Op(Invocation { process: context.process(worker), f: F::Write, key: None, value })
    }

    fn update(&mut self, context: &Context<'_>, event: &Op) {
        self.heard += 1;
        if let Some((first, end)) = self.expected_workers {
            let worker = context.worker_of(&event.process);
            self.wrong |= !worker.is_some_and(|worker| (first..end).contains(&worker));
            self.wrong |= (context.worker_first, context.worker_end) != (first, end);
        }
    }

    fn boxed_clone(&self) -> Boxed {
        Box::new(self.clone())
    }
}

fn listener(first: u32, end: u32) -> Listener {
    Listener { expected_workers: Some((first, end)), ..Listener::default() }
}

#[test]
fn events_reach_those_whom_they_concern() {
    let noise = || inject("p").repeat(Some(5)).boxed();
    let cases: Vec<(&str, Boxed)> = vec![
        ("reserve", reserve(vec![(2, listener(0, 2).limit(6).boxed())], listener(2, 3).limit(6).boxed()).boxed()),
        ("on workers", any(vec![reads().limit(9).boxed(), listener(1, 2).on_workers(1..2).limit(4).boxed()]).boxed()),
        ("clients", listener(0, 3).clients().limit(9).boxed()),
        ("each", listener(0, 1).each_worker().on_workers(0..1).limit(2).boxed()),
    ];
    for (name, generator) in cases {
        let generator = any(vec![generator, noise()]).boxed();
        let simulation = simulate(generator, 3, &["p"], |_| Answer::ok(10), 60);
        let heard: Vec<i64> =
            simulation.ops.iter().filter(|op| op.f == F::Write).filter_map(|op| op.value.as_int()).collect();
        assert!(!heard.is_empty() && heard.iter().all(|&value| value >= 0), "{name}: {heard:?}");
        assert!(heard.iter().any(|&value| value >= 1), "{name}: {heard:?}");
    }
}

/// A group hears of its own key only: not of answers that come after it moved on.
#[test]
fn independent_keys_do_not_hear_of_old_keys() {
    #[derive(Clone)]
    struct OneKey {
        key: i64,
        inner: Listener,
    }
    impl Generator for OneKey {
        fn next(&mut self, context: &Context<'_>) -> Next {
            self.inner.next(context)
        }
        fn update(&mut self, context: &Context<'_>, event: &Op) {
            self.inner.wrong |= event.key != Some(Key::Int(self.key));
            self.inner.update(context, event);
        }
        fn boxed_clone(&self) -> Boxed {
            Box::new(self.clone())
        }
    }
    let keys = IndependentKeys::new(3, Some(40), |key: i64| OneKey { key, inner: Listener::default() }.limit(5));
    let mut latency = 0;
    let simulation = simulate(
        keys.boxed(),
        7,
        &["p"],
        |_| {
            latency = (latency * 7 + 13) % 90;
            Answer::ok(latency)
        },
        1_000,
    );
    let writes: Vec<&Op> = simulation.ops.iter().filter(|op| op.kind == Kind::Invoke).collect();
    assert_eq!(writes.len(), 200);
    assert!(writes.iter().all(|op| op.value.as_int().is_some_and(|value| value >= 0)));
    // Seven workers in groups of three: the last group is one worker, and it has keys of its own.
    let alone: Vec<_> =
        writes.iter().filter(|op| op.process == Process::Client(6)).filter_map(|op| op.key.clone()).collect();
    assert!(
        alone.len() >= 5
            && writes.iter().all(|op| !alone.contains(op.key.as_ref().unwrap()) || op.process == Process::Client(6))
    );
    let mut keys: Vec<_> = writes.iter().filter_map(|op| op.key.clone()).collect();
    keys.dedup();
    keys.sort();
    keys.dedup();
    assert_eq!(keys, (0..40).map(Key::Int).collect::<Vec<_>>());
    History::from_ops(simulation.ops.clone()).unwrap();
}

#[test]
fn a_broken_generator_is_named() {
    #[derive(Clone)]
    struct Fixed(Next);
    impl Generator for Fixed {
        fn next(&mut self, _: &Context<'_>) -> Next {
            self.0.clone()
        }
        fn boxed_clone(&self) -> Boxed {
            Box::new(self.clone())
        }
    }
    let invocation = |process| Next::Op(Invocation { process, f: F::Read, key: None, value: Value::Nil });
    let cases = [
        (invocation(Process::Client(0)), "process 0"),
        (invocation(Process::Client(77)), "process 77"),
        (invocation(Process::nemesis("z")), "nemesis/z"),
        (Next::Pending { until_ns: Some(0) }, "waits until 0"),
    ];
    for (next, part) in cases {
        let simulation = simulate(Fixed(next).boxed(), 2, &["p"], |_| Answer::ok(10), 9);
        assert!(
            matches!(&simulation.ending, Ending::Broken(reason) if reason.contains(part)),
            "{:?}",
            simulation.ending
        );
    }
}
