//! Histories of transactions that only have times, and dependencies between them at random.

use rand::RngExt;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use schism_history::History;
use schism_history::notation;

use crate::txn::edge::{Edge, EdgeKind};
use crate::txn::meter::Meter;
use crate::txn::txns::Txns;

/// Steps and bytes without end.
pub fn meter() -> Meter {
    Meter::endless()
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

/// A cycle through some transactions, in part of time, with anti-dependencies mostly apart; and a few edges more.
pub fn planted(random: &mut ChaCha8Rng, txns: &Txns<'_>) -> Vec<Edge> {
    use EdgeKind::{Rw, Rwp, Wr, Wrp, Ww};
    let mut chance = |percent: u32| random.random_range(0..100_u32) < percent;
    let (is_predicate, is_mixed, with_more) = (chance(40), chance(20), chance(30));
    let mut places: Vec<u32> = (0..txns.len() as u32).collect();
    places.shuffle(random);
    places.truncate(random.random_range(3..=7).min(txns.len()));
    let mut edges = Vec::new();
    let mut was_rw = false;
    for place in 0..places.len() {
        let (from, to) = (places[place], places[(place + 1) % places.len()]);
        if txns.is_before(from, to) {
            was_rw = false;
            continue;
        }
        let is_rw = if is_mixed { random.random_range(0..2) == 0 } else { !was_rw };
        let kind = match (is_rw, random.random_range(0..2)) {
            (true, 0) if is_predicate => Rwp,
            (true, _) => Rw,
            (false, 0) => {
                if is_predicate {
                    Wrp
                } else {
                    Wr
                }
            }
            (false, _) => Ww,
        };
        was_rw = is_rw;
        edges.push(Edge { from, to, kind });
    }
    if with_more {
        edges.extend(self::edges(random, txns.len()).into_iter().take(3));
    }
    edges
}
