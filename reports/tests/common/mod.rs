//! Stories to tell: a realistic one, made by a small simulation, and edge cases. Shared by the tests and the example.
#![allow(dead_code, reason = "each user of this module needs some of it")]

pub mod transactions;

use std::path::Path as FilePath;

use schism_checkers::anomaly::{Because, Illegal, Path};
use schism_checkers::{Anomaly, Finding, Gap, Placed, Verdict, Witness};
use schism_history::{F, FaultWindow, History, Key, Kind, Node, Op, OpIndex, Process, RunFacts, Value};
use schism_reports::{RunInfo, Story};
use serde_json::json;

/// Compares with a file; `SCHISM_BLESS=1` writes it.
pub fn golden(name: &str, text: &str) {
    let path = FilePath::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    if std::env::var_os("SCHISM_BLESS").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(text, expected, "{name} differs; if that is meant, run the test once with SCHISM_BLESS=1");
}

/// What a [`Story`] borrows.
pub struct Told {
    pub info: RunInfo,
    pub history: History,
    pub facts: RunFacts,
    pub verdict: Verdict,
}

impl Told {
    pub fn story(&self) -> Story<'_> {
        Story { info: &self.info, history: &self.history, facts: &self.facts, verdict: &self.verdict }
    }
}

/// A text that breaks out of anything that does not escape.
pub const HOSTILE: &str = "</script></style></title></svg>\"'><b onclick=alert(1)>&amp;\u{1b}[31m]]>\u{0}";

const S: u64 = 1_000_000_000;
const MS: u64 = 1_000_000;

/// SplitMix64: enough chance for a picture.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// A latency with a long tail, nanoseconds.
    fn latency(&mut self) -> u64 {
        let spread = (self.unit() + self.unit() + self.unit() + self.unit() - 2.0) * 1.1;
        let tail = if self.below(400) == 0 { 8.0 } else { 1.0 };
        (2.2e6 * spread.exp() * tail) as u64
    }
}

pub fn info() -> RunInfo {
    RunInfo {
        suite: "etcd/stale-reads".into(),
        workload: "register: read, write, cas over independent keys; serializable reads".into(),
        database: "etcd".into(),
        database_version: "etcd 3.5.16 (API 3.5)".into(),
        nodes: (1..=5).map(|n| (format!("n{n}"), format!("10.77.0.{}", n + 10))).collect(),
        ground: "namespaces".into(),
        seed: 4_211_973,
        repeat_command: "schism run etcd/stale-reads --seed 4211973 --nodes 5 --time-limit 60s --concurrency 10".into(),
        phases: vec![],
        sequence: String::new(),
        started_utc: "2026-11-21T09:14:07Z".into(),
        concurrency: 10,
        schism_version: "0.1.0".into(),
        environment: vec![
            ("Kernel".into(), "Linux 6.1.0 x86_64".into()),
            ("Processors".into(), "2".into()),
            ("Memory".into(), "24 GiB".into()),
        ],
        left_out: vec![("hold".into(), "a ground of virtual machines cannot shape single links".into())],
        cleanup_trouble: vec![],
        run: "20261121T091407Z-etcd-stale-reads-7f3a".into(),
    }
}

fn probes(cut: &[(u32, u32)], healed: bool) -> serde_json::Value {
    let mut probes = Vec::new();
    for from in 1..=5u32 {
        for to in (1..=5u32).filter(|to| *to != from) {
            let received = if !healed && cut.contains(&(from, to)) { 0 } else { 5 };
            probes.push(json!({"from": format!("n{from}"), "to": format!("n{to}"), "sent": 5, "received": received}));
        }
    }
    json!({"when": if healed { "healed" } else { "injected" }, "proven": true, "measured": {"probes": probes}})
}

fn window(fault_id: u32, class: &str, label: &str, nodes: &[u32], times_ms: [u64; 4]) -> FaultWindow {
    let evidence = if class == "partition" {
        let cut: Vec<(u32, u32)> = (1..=5)
            .flat_map(|a| (1..=5).map(move |b| (a, b)))
            .filter(|(a, b)| nodes.contains(a) != nodes.contains(b))
            .collect();
        vec![probes(&cut, false), probes(&cut, true)]
    } else {
        let state = if class == "kill" { "gone" } else { "T (stopped)" };
        let of: Vec<serde_json::Value> =
            nodes.iter().map(|n| json!({"node": format!("n{n}"), "pid": 400 + n, "state": state})).collect();
        vec![
            json!({"when": "injected", "proven": true, "measured": {"processes": of}}),
            json!({"when": "healed", "proven": true, "measured": {"running": nodes.len()}}),
        ]
    };
    FaultWindow {
        roles: Default::default(),
        fault_id,
        class: class.into(),
        label: label.into(),
        nodes: nodes.iter().map(|n| Node::new(&format!("n{n}"))).collect(),
        start_ns: times_ms[0] * MS,
        landed_ns: Some(times_ms[1] * MS),
        heal_start_ns: Some(times_ms[2] * MS),
        healed_ns: Some(times_ms[3] * MS),
        evidence,
    }
}

pub fn facts() -> RunFacts {
    RunFacts {
        plan_digest: "9c56cc51b374c3ba189210d5b6d4bf57790d351c96c47c02190ecf1e430635ab".into(),
        fault_classes_asked: vec!["partition".into(), "kill".into(), "pause".into()],
        faults: vec![
            window(1, "partition", "one node: n4 | n1 n2 n3 n5", &[4], [8_000, 8_450, 16_000, 16_600]),
            window(2, "kill", "kill n2", &[2], [12_000, 12_300, 19_000, 20_900]),
            window(3, "pause", "pause n5", &[5], [23_500, 23_700, 29_000, 29_300]),
            window(4, "partition", "halves: n1 n4 | n2 n3 n5", &[1, 4], [31_000, 31_500, 41_000, 41_700]),
            window(5, "pause", "pause n1 n3", &[1, 3], [37_000, 37_200, 42_500, 42_800]),
            window(6, "kill", "kill n3 n5", &[3, 5], [46_000, 46_350, 52_000, 54_100]),
        ],
        functions_asked: vec!["read".into(), "write".into(), "cas".into()],
        interrupted: false,
        load_ns: 60 * S,
    }
}

fn harmed(facts: &RunFacts, node: u32, at_ns: u64) -> Option<&str> {
    let name = Node::new(&format!("n{node}"));
    let on = |fault: &&FaultWindow| {
        fault.nodes.contains(&name)
            && fault.landed_ns.is_some_and(|landed| landed <= at_ns)
            && fault.healed_ns.is_none_or(|healed| at_ns < healed)
    };
    facts.faults.iter().find(on).map(|fault| fault.class.as_str())
}

/// A client operation before it has a place in the history.
struct Planned {
    invoked_ns: u64,
    ended_ns: u64,
    process: u32,
    node: u32,
    key: i64,
    f: F,
    asked: Value,
    kind: Kind,
    told: Value,
    error: Option<Value>,
}

/// Sixty seconds of ten clients on five nodes; values are not those of a real register but look like it.
fn load(facts: &RunFacts, seconds: u64, workers: u32, pace_ms: u64) -> Vec<Planned> {
    let mut chance = Chance(4_211_973);
    let mut all = Vec::new();
    let mut process_next = workers;
    let mut value_next = 100;
    for worker in 0..workers {
        let mut process = worker;
        let mut at = 50 * MS + u64::from(worker) * 7 * MS;
        while at < seconds * S {
            let node = worker % 5 + 1;
            let key = (at / (6 * S)) as i64 * 2 + i64::from(worker % 2) + 10;
            let f = [F::Read, F::Read, F::Write, F::Cas][chance.below(4) as usize].clone();
            value_next += 1;
            let asked = match f {
                F::Read => Value::Nil,
                F::Write => Value::Int(value_next),
                _ => Value::Pair([value_next - 9, value_next]),
            };
            let (latency, kind, error) = match harmed(facts, node, at) {
                Some("kill") => (300_000 + chance.below(900_000), Kind::Fail, Some(json!(["connection-refused"]))),
                Some(_) if f == F::Read && chance.below(3) > 0 => (chance.latency(), Kind::Ok, None),
                Some(_) if f == F::Read => {
                    (1_000 * MS + chance.below(20 * MS), Kind::Fail, Some(json!(["timeout", {"ms": 1000}])))
                }
                Some(_) => (2_000 * MS + chance.below(90 * MS), Kind::Info, Some(json!(["timeout", {"ms": 2000}]))),
                None if harmed(facts, 2, at).is_some() && chance.below(60) == 0 => {
                    (chance.latency() * 90, Kind::Ok, None)
                }
                None => (chance.latency(), Kind::Ok, None),
            };
            let told = if f == F::Read && kind == Kind::Ok { Value::Int(value_next - 20) } else { asked.clone() };
            let ended_ns = at + latency;
            all.push(Planned {
                invoked_ns: at,
                ended_ns,
                process,
                node,
                key,
                f,
                asked,
                kind,
                told,
                error: error.as_ref().map(Value::from_json),
            });
            if kind == Kind::Info {
                process = process_next;
                process_next += 1;
            }
            let pause = if kind == Kind::Fail { 120 * MS } else { pace_ms * MS };
            at = ended_ns + pause / 2 + chance.below(pause.max(1));
        }
    }
    all
}

fn planned(process: u32, node: u32, f: F, value: Value, times_us: [u64; 2]) -> Planned {
    let asked = if f == F::Read { Value::Nil } else { value.clone() };
    let [invoked_ns, ended_ns] = times_us.map(|us| us * 1_000);
    Planned { invoked_ns, ended_ns, process, node, key: 5, f, asked, kind: Kind::Ok, told: value, error: None }
}

fn op(planned: &Planned, kind: Kind) -> Op {
    let process = Process::Client(planned.process);
    let invoke = kind == Kind::Invoke;
    let value = if invoke { planned.asked.clone() } else { planned.told.clone() };
    Op {
        time_ns: if invoke { planned.invoked_ns } else { planned.ended_ns },
        key: Some(Key::Int(planned.key)),
        node: Some(Node::new(&format!("n{}", planned.node))),
        matched: (kind == Kind::Ok && planned.f == F::Cas).then_some(true),
        error: if invoke { None } else { planned.error.clone().map(Box::new) },
        ..Op::new(process, kind, planned.f.clone(), value)
    }
}

fn history(all: &[Planned], facts: &RunFacts) -> History {
    let mut events: Vec<(u64, Op)> = Vec::new();
    for planned in all {
        events.push((planned.invoked_ns, op(planned, Kind::Invoke)));
        events.push((planned.ended_ns, op(planned, planned.kind)));
    }
    for fault in &facts.faults {
        let process = Process::nemesis(&fault.class);
        let times = [
            (F::Inject, fault.start_ns, fault.landed_ns),
            (F::Heal, fault.heal_start_ns.unwrap_or(0), fault.healed_ns),
        ];
        for (f, start, end) in times {
            let row = |kind, time_ns| Op {
                time_ns,
                fault_id: Some(fault.fault_id),
                ..Op::new(process.clone(), kind, f.clone(), Value::str(&fault.label))
            };
            events.push((start, row(Kind::Invoke, start)));
            events.extend(end.map(|end| (end, row(Kind::Info, end))));
        }
    }
    events.sort_by_key(|(time, _)| *time);
    History::from_ops(events.into_iter().map(|(_, op)| op)).unwrap()
}

/// Index of the invocation of a process at a time.
fn find(history: &History, process: u32, time_us: u64) -> OpIndex {
    let is = |index: &OpIndex| {
        history.time_ns(*index) == time_us * 1_000 && *history.process(*index) == Process::Client(process)
    };
    (0..history.len() as OpIndex).find(is).unwrap()
}

fn stats_finding() -> Finding {
    let mut finding = Finding::default();
    finding.stats.insert("read".into(), json!({"ok": 1}));
    finding
}

pub fn verdict(linearizable: Finding) -> Verdict {
    let mut verdict = Verdict::default();
    verdict.checkers.insert("linearizable".into(), linearizable);
    verdict.checkers.insert("run".into(), Finding::default());
    verdict.checkers.insert("stats".into(), stats_finding());
    verdict.checkers.insert("perf".into(), Finding::default());
    verdict
}

fn valid_load() -> (RunFacts, Vec<Planned>) {
    let facts = facts();
    let load = load(&facts, 60, 10, 35);
    (facts, load)
}

/// Sixty seconds, ten clients, five nodes, three classes of fault, no anomaly.
pub fn valid() -> Told {
    let (facts, load) = valid_load();
    let history = history(&load, &facts);
    Told {
        info: RunInfo { suite: "etcd/register".into(), ..info() },
        history,
        facts,
        verdict: verdict(Finding::default()),
    }
}

/// The same with a stale read on key 5: written 6, then 7, then 6 read from the node that was cut off.
pub fn stale() -> Told {
    let (facts, mut load) = valid_load();
    let (w6, w7, r6) = (9_812_300, 12_301_120, 15_203_750);
    load.push(planned(901, 1, F::Write, Value::Int(6), [w6, w6 + 3_410]));
    load.push(planned(903, 2, F::Write, Value::Int(7), [w7, w7 + 4_230]));
    load.push(planned(908, 4, F::Read, Value::Int(6), [r6, r6 + 1_180]));
    let history = history(&load, &facts);
    let operations = vec![find(&history, 901, w6), find(&history, 903, w7), find(&history, 908, r6)];
    let witness = Witness::Nonlinearizable {
        until: None,
        exclusion: None,
        model: "cas-register".into(),
        initial: "nil".into(),
        smallest: true,
        blocked: operations[2],
        paths: vec![Path {
            placed: vec![
                Placed { operation: operations[0], state: "6".into() },
                Placed { operation: operations[1], state: "7".into() },
            ],
            illegal: vec![Illegal {
                operation: operations[2],
                because: Because::State { state: "7".into(), observed: "6".into() },
            }],
        }],
        failed_at: operations[2],
        operations_count: 812,
        operations,
    };
    let anomaly = Anomaly { kind: "nonlinearizable".into(), key: Some("5".into()), witness };
    let verdict = verdict(Finding { anomalies: vec![anomaly], ..Finding::default() });
    Told { info: info(), history, facts, verdict }
}

/// A knot of eight operations with doubt, a failed compare-and-set and overlapping calls, in the midst of two faults.
pub fn knot() -> Told {
    let (facts, mut load) = valid_load();
    let at = 38_000_000;
    let pair = |old, new| Value::Pair([old, new]);
    load.push(planned(901, 1, F::Write, Value::Int(1), [at, at + 5_000]));
    let mut doubt = planned(902, 4, F::Write, Value::Int(2), [at + 2_000, at + 2_002_000]);
    doubt.kind = Kind::Info;
    doubt.error = Some(Value::from_json(&json!(["timeout", {"ms": 2000}])));
    load.push(doubt);
    load.push(planned(903, 2, F::Cas, pair(1, 3), [at + 6_000, at + 9_000]));
    load.push(planned(904, 3, F::Read, Value::Int(3), [at + 9_500, at + 11_000]));
    load.push(planned(905, 5, F::Read, Value::Int(2), [at + 12_000, at + 900_000]));
    load.push(planned(901, 1, F::Cas, pair(2, 4), [at + 910_000, at + 914_000]));
    load.push(planned(904, 3, F::Read, Value::Int(3), [at + 1_400_000, at + 1_401_500]));
    let history = history(&load, &facts);
    let starts = [(901, 0), (902, 2_000), (903, 6_000), (904, 9_500), (905, 12_000), (901, 910_000), (904, 1_400_000)];
    let operations: Vec<OpIndex> = starts.iter().map(|(process, us)| find(&history, *process, at + us)).collect();
    let placed = |place: usize, state: &str| Placed { operation: operations[place], state: state.into() };
    let state = |place: usize, state: &str, observed: &str| Illegal {
        operation: operations[place],
        because: Because::State { state: state.into(), observed: observed.into() },
    };
    let real_time = |place: usize, after: usize| Illegal {
        operation: operations[place],
        because: Because::RealTime { after: operations[after] },
    };
    let paths = vec![
        Path {
            placed: vec![
                placed(0, "1"),
                placed(2, "3"),
                placed(3, "3"),
                placed(1, "2"),
                placed(4, "2"),
                placed(5, "4"),
            ],
            illegal: vec![state(6, "4", "3")],
        },
        Path {
            placed: vec![placed(0, "1"), placed(2, "3"), placed(3, "3")],
            illegal: vec![state(4, "3", "2"), real_time(5, 4), real_time(6, 5)],
        },
    ];
    let witness = Witness::Nonlinearizable {
        until: None,
        exclusion: None,
        model: "cas-register".into(),
        initial: "nil".into(),
        smallest: false,
        blocked: operations[6],
        paths,
        failed_at: operations[6],
        operations_count: 1_934,
        operations,
    };
    let anomaly = Anomaly { kind: "nonlinearizable".into(), key: Some("5".into()), witness };
    let verdict = verdict(Finding { anomalies: vec![anomaly], ..Finding::default() });
    Told { info: info(), history, facts, verdict }
}

/// A run whose faults did not land and whose search ended early, with trouble in cleaning up.
pub fn unknown() -> Told {
    let mut told = valid();
    for fault in told.facts.faults.iter_mut().filter(|fault| fault.class == "pause") {
        fault.landed_ns = None;
        fault.evidence = vec![
            json!({"when": "injected", "proven": false, "measured": null, "error": ["no-target", "no process found"]}),
        ];
    }
    let run = Finding {
        gaps: vec![
            Gap::FaultNeverLanded { class: "pause".into(), tried_count: 2 },
            Gap::TooMuchDoubt { info_count: 2_500, count: 9_800, percent_max: 20 },
        ],
        ..Finding::default()
    };
    let budget = Gap::BudgetSpent {
        key: Some("12".into()),
        steps: 200_000_000,
        steps_max: 200_000_000,
        memory_bytes: 1 << 29,
        memory_bytes_max: 2 << 30,
        prefix_events: 733,
        configurations_peak: 0,
        placing: None,
    };
    told.verdict.checkers.insert("run".into(), run);
    told.verdict.checkers.insert("linearizable".into(), Finding { gaps: vec![budget], ..Finding::default() });
    told.info.cleanup_trouble =
        vec!["n3: nft delete table inet schism_7f3a_4: exit 1: No such file or directory".into()];
    told
}

/// No event, no fact, no checker.
pub fn empty() -> Told {
    Told {
        info: RunInfo::default(),
        history: History::default(),
        facts: RunFacts::default(),
        verdict: Verdict::default(),
    }
}

/// A history that was checked without a run: no faults, no nodes, no times.
pub fn imported() -> Told {
    let row = |process, kind, f: F, value| Op::new(Process::Client(process), kind, f, value);
    let history = History::from_ops([
        row(0, Kind::Invoke, F::Write, Value::Int(1)),
        row(0, Kind::Ok, F::Write, Value::Int(1)),
        row(1, Kind::Invoke, F::Read, Value::Nil),
        row(1, Kind::Ok, F::Read, Value::Nil),
    ])
    .unwrap();
    let witness = Witness::Nonlinearizable {
        until: None,
        exclusion: None,
        model: "register".into(),
        initial: "nil".into(),
        operations: vec![0, 2],
        smallest: true,
        blocked: 2,
        paths: vec![Path {
            placed: vec![Placed { operation: 0, state: "1".into() }],
            illegal: vec![Illegal {
                operation: 2,
                because: Because::State { state: "1".into(), observed: "nil".into() },
            }],
        }],
        failed_at: 3,
        operations_count: 2,
    };
    let anomaly = Anomaly { kind: "nonlinearizable".into(), key: None, witness };
    let verdict = verdict(Finding { anomalies: vec![anomaly], ..Finding::default() });
    Told {
        info: RunInfo { suite: "history.edn".into(), ..RunInfo::default() },
        history,
        facts: RunFacts::default(),
        verdict,
    }
}

/// The stale read with a hostile text wherever a text can stand.
pub fn hostile() -> Told {
    let mut told = stale();
    let h = || HOSTILE.to_owned();
    told.info = RunInfo {
        suite: h(),
        workload: h(),
        database: h(),
        database_version: h(),
        nodes: vec![(h(), h())],
        ground: h(),
        seed: u64::MAX,
        repeat_command: h(),
        phases: vec![schism_reports::PlannedPhase { name: h(), quiet: false, start_ms: 0, end_ms: u64::MAX }],
        sequence: h(),
        started_utc: h(),
        concurrency: u32::MAX,
        schism_version: h(),
        environment: vec![(h(), h())],
        left_out: vec![(h(), h())],
        cleanup_trouble: vec![h()],
        run: h(),
    };
    told.facts.plan_digest = h();
    for fault in &mut told.facts.faults {
        fault.class = h();
        fault.label = h();
        fault
            .evidence
            .push(json!({ HOSTILE: HOSTILE, "probes": [{"from": HOSTILE, "to": HOSTILE, "sent": 1, "received": 0}] }));
    }
    told.facts.fault_classes_asked = vec![h()];
    let ops: Vec<Op> = told
        .history
        .ops()
        .map(|mut op| {
            op.key = op.key.map(|_| Key::Str(HOSTILE.into()));
            op.node = op.node.map(|_| Node::new(HOSTILE));
            op.error = op.error.map(|_| Box::new(Value::str(HOSTILE)));
            if op.process.client().is_none() {
                op.process = Process::nemesis(&format!("{HOSTILE}{}", op.process));
            }
            if op.f == F::Write {
                op.value = Value::str(HOSTILE);
            } else if op.f == F::Cas {
                op.f = F::Other(HOSTILE.into());
            }
            op
        })
        .collect();
    told.history = History::from_ops(ops).unwrap();
    let mut linearizable = told.verdict.checkers.remove("linearizable").unwrap();
    linearizable.anomalies[0].kind = h();
    linearizable.anomalies[0].key = Some(h());
    if let Witness::Nonlinearizable { model, initial, paths, .. } = &mut linearizable.anomalies[0].witness {
        (*model, *initial) = (h(), h());
        for path in paths {
            path.placed.iter_mut().for_each(|placed| placed.state = h());
            path.illegal.iter_mut().for_each(|illegal| illegal.because = Because::State { state: h(), observed: h() });
        }
    }
    linearizable.gaps.push(Gap::Unsupported { index: 3, reason: h() });
    linearizable.gaps.push(Gap::FaultNeverLanded { class: h(), tried_count: 1 });
    told.verdict.checkers.insert(h(), linearizable);
    told
}

/// Many operations of ten clients over an hour.
pub fn big(calls: u64) -> Told {
    let mut chance = Chance(7);
    let mut facts = facts();
    facts.faults.iter_mut().for_each(|fault| {
        fault.start_ns *= 60;
        fault.landed_ns = fault.landed_ns.map(|at| at * 60);
        fault.heal_start_ns = fault.heal_start_ns.map(|at| at * 60);
        fault.healed_ns = fault.healed_ns.map(|at| at * 60);
    });
    let step = 3_600 * S / calls.max(1);
    let mut ops = Vec::with_capacity(calls as usize * 2);
    for call in 0..calls {
        let process = Process::Client((call % 10) as u32);
        let kind = if chance.below(40) == 0 { Kind::Fail } else { Kind::Ok };
        let f = if call % 3 == 0 { F::Write } else { F::Read };
        let at = call * step;
        let row = |kind, time_ns| Op {
            time_ns,
            key: Some(Key::Int((call / 500) as i64)),
            node: Some(Node::new("n1")),
            ..Op::new(process.clone(), kind, f.clone(), Value::Int(call as i64))
        };
        ops.push(row(Kind::Invoke, at));
        ops.push(row(kind, at + chance.latency()));
    }
    let history = History::from_ops(ops).unwrap();
    Told { info: info(), history, facts, verdict: verdict(Finding::default()) }
}
