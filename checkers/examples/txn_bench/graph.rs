//! Cycles of dependencies: the dependencies are made, not inferred. Twenty processes, each transaction takes effect at one
//! moment (or, as under snapshot isolation, reads at one and writes at another), 2 % are in doubt.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use schism_checkers::Budget;
use schism_checkers::txn::edge::{Edge, EdgeKind};
use schism_checkers::txn::graph::cycles;
use schism_checkers::txn::graph::unfolded::{Phenomenon, Verdict, examine};
use schism_checkers::txn::list_append::infer;
use schism_checkers::txn::meter::Meter;
use schism_checkers::txn::txns::Txns;
use schism_history::{F, History, HistoryBuilder, Key, Kind, Mop, Op, Process, Value};

use crate::{Line, Row, measure};

/// What graph is wanted.
#[derive(Clone, Copy, PartialEq)]
enum Made {
    /// Dependencies go forward in one order.
    Serial,
    /// As under snapshot isolation: a component with classes of adjacent anti-dependencies alone.
    Snapshot,
    /// As `Serial`, and one transaction in a hundred read something very old.
    Stale,
    /// Between any two.
    Random,
    /// One cycle through all.
    Ring,
}

/// The rows.
pub const ROWS: &[Row] = &[
    Row { name: "graph-1m", what: "cycles: 1M in a serial order", run: |seed| row(seed, Made::Serial, 1_000_000) },
    Row { name: "graph-10m", what: "cycles: 10M in a serial order", run: |seed| row(seed, Made::Serial, 10_000_000) },
    Row {
        name: "graph-si-100k",
        what: "cycles: 100k, snapshot isolation",
        run: |seed| row(seed, Made::Snapshot, 100_000),
    },
    Row {
        name: "graph-si-1m",
        what: "cycles: 1M, snapshot isolation",
        run: |seed| row(seed, Made::Snapshot, 1_000_000),
    },
    Row {
        name: "graph-stale-100k",
        what: "cycles: 100k, 1 % reads of something very old",
        run: |seed| row(seed, Made::Stale, 100_000),
    },
    Row {
        name: "graph-scc-100k",
        what: "cycles: one component of 100k, edges at random",
        run: |seed| row(seed, Made::Random, 100_000),
    },
    Row { name: "graph-ring-100k", what: "cycles: one ring of 100k", run: |seed| row(seed, Made::Ring, 100_000) },
    Row { name: "unfolded-100k", what: "inside of 100k transactions of lists", run: |seed| unfolded(seed, 100_000) },
    Row { name: "unfolded-1m", what: "inside of 1M transactions of lists", run: |seed| unfolded(seed, 1_000_000) },
];

/// The history of the row `lists-broken`: one read is too short, and of many keys some appends were not read.
fn unfolded(seed: u64, count: usize) -> Line {
    let history = crate::lists::history(seed, count, 32, true);
    let txns = Txns::of(&history);
    let lists = infer(&txns, &mut Meter::new(&Budget::default()));
    let mut meter = Meter::new(&Budget::default());
    let (found, seconds, bytes) = measure::measured(|| examine(&txns, &lists.accesses, &lists.edges, &mut meter));
    let told = Phenomenon::ALL.iter().zip(&found.verdicts).map(|(phenomenon, verdict)| {
        let said = match verdict {
            Verdict::Found(told) => format!("{} steps", told.links.len()),
            Verdict::Absent => "absent".to_owned(),
            Verdict::Open => "open".to_owned(),
        };
        format!("{} {said}", phenomenon.kind().as_str())
    });
    let answer = format!("{} steps: {}", meter.steps, told.collect::<Vec<_>>().join(", "));
    Line { count, seconds, bytes, sha256_seconds: None, answer }
}

fn row(seed: u64, made: Made, count: usize) -> Line {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let (history, moments) = history(&mut random, count);
    let txns = Txns::of(&history);
    let edges = edges(&mut random, made, &txns, &moments);
    let edges_count = edges.len();
    let (sha256_seconds, _) = measure::sha256_pass(&history);
    let mut meter = Meter::new(&Budget::default());
    let (found, seconds, bytes) = measure::measured(|| cycles(&txns, edges, &mut meter));
    let mut told: Vec<String> = Vec::new();
    for cycle in found.found.iter().take(12) {
        let is_proven = if cycle.shortest { "" } else { "?" };
        told.push(format!("{} {}{is_proven}", cycle.class.as_str(), cycle.edges.len()));
    }
    let spent = if found.spent { ", spent" } else { "" };
    let answer = format!(
        "{edges_count} edges, {} components, {} cycles, {} steps{spent}: {}",
        found.components_count,
        found.found.len(),
        meter.steps,
        told.join(", ")
    );
    Line { count, seconds, bytes, sha256_seconds: Some(sha256_seconds), answer }
}

/// Twenty processes; and for each transaction, by its number, two moments between its begin and its end.
fn history(random: &mut ChaCha8Rng, count: usize) -> (History, Vec<[u32; 2]>) {
    const WORKERS: usize = 20;
    let mut builder = HistoryBuilder::default();
    let value = Value::Txn(Box::new(vec![Mop::new("r", Key::Int(1), Value::Nil)]));
    let mut workers: Vec<(u32, Option<u32>)> = (0..WORKERS as u32).map(|process| (process, None)).collect();
    let mut next_process = WORKERS as u32;
    let (mut begun, mut event) = (0, 0_u32);
    let (mut sure, mut doubtful) = (Vec::new(), Vec::new());
    while begun < count || workers.iter().any(|(_, open)| open.is_some()) {
        let (process, open) = &mut workers[random.random_range(0..WORKERS)];
        let kind = match *open {
            None if begun == count => continue,
            None => Kind::Invoke,
            Some(_) if random.random_range(0..50) == 0 => Kind::Info,
            Some(_) => Kind::Ok,
        };
        let mut op = Op::new(Process::Client(*process), kind, F::Txn, value.clone());
        op.time_ns = u64::from(event) * 1000;
        builder.push(op).expect("each worker has one transaction at a time, and a new process after doubt");
        match *open {
            None => {
                *open = Some(event);
                begun += 1;
            }
            Some(start) => {
                // Eighths of events, so that few moments are the same.
                let mut moments = [0, 1].map(|_| random.random_range(start * 8 + 1..event * 8));
                moments.sort_unstable();
                if kind == Kind::Ok {
                    sure.push(moments)
                } else {
                    doubtful.push((start, moments))
                }
                *open = None;
                if kind == Kind::Info {
                    *process = next_process;
                    next_process += 1;
                }
            }
        }
        event += 1;
    }
    doubtful.sort_unstable();
    sure.extend(doubtful.into_iter().map(|(_, moments)| moments));
    (builder.finish(), sure)
}

/// About four edges a transaction, to some of the fifty that are next.
fn edges(random: &mut ChaCha8Rng, made: Made, txns: &Txns<'_>, moments: &[[u32; 2]]) -> Vec<Edge> {
    let count = moments.len();
    let mut order: Vec<u32> = (0..count as u32).collect();
    order.sort_unstable_by_key(|&id| moments[id as usize][1]);
    let mut edges = Vec::with_capacity(count * 4);
    for place in 0..count {
        let from = order[place];
        let far = if made == Made::Random { count } else { 50 };
        let edges_count = if made == Made::Ring { 1 } else { 4 };
        for _ in 0..edges_count {
            let other = match made {
                Made::Ring => (place * 7919 + 1) % count,
                Made::Random => random.random_range(0..far),
                _ => (place + random.random_range(1..far)).min(count - 1),
            };
            let kind = [EdgeKind::Ww, EdgeKind::Wr, EdgeKind::Rw][random.random_range(0..3)];
            let (edge, is) = match made {
                Made::Ring => (
                    Edge {
                        from: order[place * 7919 % count],
                        to: order[(place + 1) * 7919 % count],
                        kind: EdgeKind::Wr,
                    },
                    true,
                ),
                Made::Snapshot => snapshot_edge(moments, from, order[other], kind),
                Made::Stale if random.random_range(0..400) == 0 => {
                    let old = order[random.random_range(0..=place)];
                    // Who is in doubt read nothing.
                    (Edge { from, to: old, kind: EdgeKind::Rw }, txns.is_ok(from))
                }
                _ => (Edge { from, to: order[other], kind }, kind != EdgeKind::Rw || txns.is_ok(from)),
            };
            if is && edge.from != edge.to {
                edges.push(edge);
            }
        }
    }
    edges
}

/// Reads are at the first moment, writes at the second. An anti-dependency may go back.
fn snapshot_edge(moments: &[[u32; 2]], a: u32, b: u32, kind: EdgeKind) -> (Edge, bool) {
    let [a_moments, b_moments] = [a, b].map(|id| moments[id as usize]);
    if kind != EdgeKind::Rw {
        return (Edge { from: a, to: b, kind }, a_moments[1] < b_moments[0]);
    }
    (Edge { from: b, to: a, kind }, b_moments[0] < a_moments[1])
}
