//! The engine on lists, whose orders of versions are known, and its mutants against brute force.

use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use schism_history::notation;

use super::brute::{guarantee_holds, holds};
use super::support::{Micro, Shape, Small};
use super::twins::{AXIOMS, Column, GUARANTEES, TAME};
use crate::checker::Budget;
use crate::txn::list_append;
use crate::txn::meter::Meter;
use crate::txn::txns::Txns;
use crate::txn::weak::mutant::{Mutant, Mutation};
use crate::txn::weak::{Weak, judge_as};

/// A small history of lists. [`Micro::W`] appends; [`Micro::R`] has the newest value of others.
#[derive(Debug, Clone)]
struct Lists {
    all: Vec<Small>,
    /// By key: all that was appended, in the order in which lists have it.
    whole: Vec<Vec<u32>>,
    /// By key: the longest list that was read.
    known: Vec<Vec<u32>>,
}

/// What a transaction appended to a key before a place.
fn own(small: &Small, key: u32, place: usize) -> Vec<u32> {
    let all = small.micros[..place].iter();
    all.filter(|micro| matches!(micro, Micro::W(other, _) if *other == key)).map(value_of).collect()
}

fn value_of(micro: &Micro) -> u32 {
    match micro {
        Micro::W(_, value) | Micro::R(_, value) => *value,
    }
}

impl Lists {
    /// The list that a micro-operation reads.
    fn list(&self, at: usize, place: usize) -> Option<(u32, Vec<u32>)> {
        let Micro::R(key, value) = self.all[at].micros[place] else { return None };
        let whole = &self.whole[key as usize];
        let length = whole.iter().position(|&other| other == value).map_or(0, |place| place + 1);
        Some((key, [&whole[..length], &own(&self.all[at], key, place)].concat()))
    }

    /// Makes one: appends and their order first, then what reads have of it.
    fn random(random: &mut impl Rng, shape: Shape) -> Lists {
        let (mut all, writers) = appends(random, shape);
        let mut whole = Vec::new();
        for mut order in writers {
            // Mostly in order of time.
            for _ in 0..[0, 0, 1, 3][random.random_range(0..4)] {
                if order.len() > 1 {
                    let place = random.random_range(1..order.len());
                    order.swap(place - 1, place);
                }
            }
            whole.push(order);
        }
        for (at, one) in all.iter_mut().enumerate() {
            let lag = random.random_range(0..2usize);
            for place in 0..one.micros.len() {
                let Micro::R(key, _) = one.micros[place] else { continue };
                let order = &whole[key as usize];
                let mine = order.iter().position(|&(writer, _)| writer == at);
                let groups = match mine {
                    // Behind its own appends: all that is before them.
                    Some(mine) if !own(one, key, place).is_empty() => mine,
                    mine => {
                        let earlier = order.iter().filter(|&&(writer, _)| writer < at).count();
                        let wild = random.random_range(0..100) < shape.wild_percent;
                        let most =
                            if wild { random.random_range(0..=order.len()) } else { earlier.saturating_sub(lag) };
                        most.min(mine.unwrap_or(order.len()))
                    }
                };
                let newest = groups.checked_sub(1).map_or(0, |last| order[last].1[order[last].1.len() - 1]);
                one.micros[place] = Micro::R(key, newest);
            }
        }
        let whole: Vec<Vec<u32>> =
            whole.into_iter().map(|order| order.into_iter().flat_map(|(_, all)| all).collect()).collect();
        let mut lists = Lists { known: vec![Vec::new(); whole.len()], all, whole };
        for at in (0..lists.all.len()).filter(|&at| !lists.all[at].doubt) {
            for (key, list) in
                (0..lists.all[at].micros.len()).filter_map(|place| lists.list(at, place)).collect::<Vec<_>>()
            {
                if list.len() > lists.known[key as usize].len() {
                    lists.known[key as usize] = list;
                }
            }
        }
        lists
    }

    /// In one line.
    fn line(&self) -> String {
        let mut text = String::new();
        for (at, small) in self.all.iter().enumerate() {
            let micros = |is_end: bool| {
                let micro = |place: usize| match (&small.micros[place], self.list(at, place)) {
                    (Micro::W(key, value), _) => format!("[\"append\",{key},{value}]"),
                    (Micro::R(key, _), Some((_, list))) if is_end => format!("[\"r\",{key},{list:?}]"),
                    (Micro::R(key, _), _) => format!("[\"r\",{key},null]"),
                };
                format!("[{}]", (0..small.micros.len()).map(micro).collect::<Vec<_>>().join(","))
            };
            let session = small.session;
            text += &match small.doubt {
                false => format!(" {session}:txn={}>{}", micros(false), micros(true)),
                true => format!(" {session}:txn={}?", micros(false)),
            };
        }
        text
    }

    fn weak(&self, near: u32, mutation: Mutation) -> Weak {
        let history = notation::parse(&self.line()).expect("a history");
        let txns = Txns::of(&history);
        let mut meter = Meter::new(&Budget::default());
        let lists = list_append::infer(&txns, &mut meter);
        // Reads of one transaction may differ; nothing else is wrong with what is read.
        let is_known = |anomaly: &crate::Anomaly| matches!(anomaly.kind.as_str(), "lost-update" | "internal");
        assert!(lists.anomalies.iter().all(is_known), "{}", self.line());
        let weak = judge_as(&txns, &lists.accesses, &mut meter, near, mutation);
        assert!(!weak.spent, "a small history spent the budget");
        weak
    }

    /// Axioms, then guarantees: what the engine says.
    fn judged(&self, near: u32, mutation: Mutation) -> (Column, Column) {
        let weak = self.weak(near, mutation);
        let is_found = |kind: &crate::AnomalyKind| weak.anomalies.iter().any(|anomaly| anomaly.kind == kind.as_str());
        (
            AXIOMS.map(|(.., kinds)| !kinds.iter().any(is_found)),
            GUARANTEES.map(|(_, kinds)| !kinds.iter().any(is_found)),
        )
    }

    /// The same by definition.
    fn defined(&self) -> (Column, Column) {
        (
            AXIOMS.map(|(level, sessions, _)| holds(&self.all, &self.known, level, sessions)),
            GUARANTEES.map(|(guarantee, _)| guarantee_holds(&self.all, &self.known, guarantee)),
        )
    }
}

/// By key: who appended to it, and what.
type Writers = Vec<Vec<(usize, Vec<u32>)>>;

/// Transactions whose reads have nothing yet.
fn appends(random: &mut impl Rng, shape: Shape) -> (Vec<Small>, Writers) {
    let mut writers: Writers = vec![Vec::new(); shape.keys as usize];
    let mut all: Vec<Small> = Vec::new();
    let mut next = 0;
    let mut ended = vec![false; shape.sessions as usize];
    for _ in 0..random.random_range(shape.transactions.0..=shape.transactions.1) {
        let session = random.random_range(0..shape.sessions);
        if ended[session as usize] {
            continue;
        }
        let doubt = random.random_range(0..100) < shape.doubt_percent;
        ended[session as usize] = doubt;
        let mut micros = Vec::new();
        for _ in 0..random.random_range(1..=shape.micros_max) {
            let key = random.random_range(0..shape.keys);
            if random.random_range(0..100) >= shape.writes_percent {
                micros.push(Micro::R(key, 0));
                continue;
            }
            next += 1;
            micros.push(Micro::W(key, next));
            match writers[key as usize].last_mut().filter(|(writer, _)| *writer == all.len()) {
                Some((_, values)) => values.push(next),
                None => writers[key as usize].push((all.len(), vec![next])),
            }
        }
        all.push(Small { session, doubt, micros });
    }
    (all, writers)
}

const SHAPES: [Shape; 4] = [
    Shape { transactions: (3, 6), doubt_percent: 12, ..TAME },
    Shape { transactions: (4, 6), micros_max: 4, doubt_percent: 12, wild_percent: 20, writes_percent: 40, ..TAME },
    Shape { transactions: (5, 6), micros_max: 6, wild_percent: 80, writes_percent: 35, sessions: 4, ..TAME },
    Shape { transactions: (5, 6), micros_max: 6, wild_percent: 70, writes_percent: 30, sessions: 2, keys: 3, ..TAME },
];

fn histories(seed: u64, count: usize) -> Vec<(Lists, u32)> {
    let mut chance = ChaCha8Rng::seed_from_u64(seed);
    (0..count)
        .map(|round| (Lists::random(&mut chance, SHAPES[round % SHAPES.len()]), chance.random_range(0..6)))
        .collect()
}

#[test]
fn lists_agree_with_every_order() {
    let mut held = [0usize; 12];
    let all = histories(15, 16_000);
    for (lists, near) in &all {
        let expected = lists.defined();
        assert_eq!(lists.judged(*near, Mutation::default()), expected, "near {near}: {}", lists.line());
        let both = expected.0.into_iter().chain(expected.1);
        held.iter_mut().zip(both).for_each(|(held, expected)| *held += usize::from(expected));
    }
    let shares = held.map(|held| held * 100 / all.len());
    println!("{shares:?} per cent hold");
    assert!(shares.iter().all(|&share| (30..=70).contains(&share)), "{shares:?} per cent hold");
}

#[test]
fn every_mutant_of_known_versions_is_noticed() {
    use Mutant::*;
    let all = histories(16, 4_000);
    let expected: Vec<(Column, Column)> = all.iter().map(|(lists, _)| lists.defined()).collect();
    let mut survivors = Vec::new();
    for mutant in [
        VersionsForgotten,
        LateForgotten,
        OwnAppendsSeen,
        OwnReadsPassed,
        OverwrittenPassed,
        LastHappened,
        NewerIgnored,
        NotJoined,
        WritesUnseen,
        ReadsUnrankedAgain,
        SessionsUnrankedAgain,
        CirclesTurned,
        VersionsSpanNothing,
    ] {
        let mutation = Mutation { mutant: Some(mutant) };
        let differs =
            |((lists, near), expected): (&(Lists, u32), &(Column, Column))| lists.judged(*near, mutation) != *expected;
        let noticed = all.iter().zip(&expected).position(differs);
        println!("{mutant:?}: noticed at {noticed:?}");
        if noticed.is_none() {
            survivors.push(mutant);
        }
    }
    assert!(survivors.is_empty(), "not noticed: {survivors:?}");
}

/// Kinds that are found in a line.
fn kinds(text: &str) -> Vec<String> {
    let history = notation::parse(text).expect("a history");
    let txns = Txns::of(&history);
    let mut meter = Meter::new(&Budget::default());
    let lists = list_append::infer(&txns, &mut meter);
    let weak = judge_as(&txns, &lists.accesses, &mut meter, 1, Mutation::default());
    weak.anomalies.into_iter().map(|anomaly| anomaly.kind).collect()
}

#[test]
fn behind_an_own_append_the_session_is_missed() {
    let found = kinds(r#"0:txn=[["append",1,1]] 0:txn=[["append",1,2],["r",1,null]]>[["append",1,2],["r",1,[2]]]"#);
    assert!(found.iter().any(|kind| kind == "not-read-your-writes"), "{found:?}");
    let right = kinds(r#"0:txn=[["append",1,1]] 0:txn=[["append",1,2],["r",1,null]]>[["append",1,2],["r",1,[1,2]]]"#);
    assert!(right.is_empty(), "{right:?}");
}

#[test]
fn what_was_written_for_a_while_is_no_version() {
    // The session reads on and on; the first element is of a transaction that appends again later.
    let found = kinds(
        r#"0:txn=[["append",1,1],["append",1,3]]( 1:txn=[["append",1,2]]( 2:txn=[["r",1,null]]>[["r",1,[1]]]
           2:txn=[["r",1,null]]>[["r",1,[1,2]]] 2:txn=[["r",1,null]]>[["r",1,[1,2,3]]] 0) 1)"#,
    );
    assert!(!found.iter().any(|kind| kind.starts_with("not-monotonic")), "{found:?}");
}
