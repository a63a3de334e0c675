//! Histories of transactions that only have times, and dependencies between them at random.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use schism_history::History;
use schism_history::notation;

use crate::txn::edge::{Edge, EdgeKind};
use crate::txn::meter::Meter;

/// Steps and bytes without end.
pub fn meter() -> Meter {
    Meter { steps: 0, steps_max: u64::MAX, bytes: 0, bytes_max: u64::MAX }
}

/// A history in which so many transactions begin and end at random, some of them in doubt or never.
pub fn history(random: &mut ChaCha8Rng, count: usize, workers: usize, doubt_percent: u32) -> History {
    let mut text = String::new();
    let mut process: Vec<usize> = (0..workers).collect();
    let mut is_open = vec![false; workers];
    let (mut begun, mut next) = (0, workers);
    while begun < count || is_open.contains(&true) {
        let worker = random.random_range(0..workers);
        if !is_open[worker] && begun < count {
            text += &format!("{}:txn=[[\"r\",1,null]]( ", process[worker]);
            is_open[worker] = true;
            begun += 1;
        } else if is_open[worker] {
            is_open[worker] = false;
            if random.random_range(0..100) >= doubt_percent {
                text += &format!("{}) ", process[worker]);
                continue;
            }
            // In doubt, told or not; the worker goes on as another process.
            if random.random_range(0..2) == 0 {
                text += &format!("{}? ", process[worker]);
            }
            process[worker] = next;
            next += 1;
        }
    }
    notation::parse(text.trim()).expect("the text was made by its rules")
}

/// Edges at random, of some kinds only, so that every class comes up.
pub fn edges(random: &mut ChaCha8Rng, count: usize) -> Vec<Edge> {
    use EdgeKind::{Rw, Rwp, Wr, Wrp, Ww, Wwp};
    const STYLES: [&[EdgeKind]; 8] = [
        &[Ww],
        &[Ww, Wr, Wr],
        &[Ww, Wr, Rw],
        &[Wr, Rw],
        &[Ww, Wwp, Wrp, Rwp, Rw],
        &[Wr, Wr, Rwp],
        &[Rw, Rw, Rw, Wr],
        &[Rwp, Rwp, Ww, Rw],
    ];
    let style = STYLES[random.random_range(0..STYLES.len())];
    let most = if random.random_range(0..3) == 0 { count * 5 / 2 } else { count + 1 };
    let edges_count = random.random_range(1..=most);
    let mut edges = Vec::new();
    for _ in 0..edges_count {
        let (from, to) = (random.random_range(0..count as u32), random.random_range(0..count as u32));
        if from != to {
            edges.push(Edge { from, to, kind: style[random.random_range(0..style.len())] });
        }
    }
    edges
}
