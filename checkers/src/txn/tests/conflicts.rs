//! Cursor stability and update atomicity by the search for an order, and every named way to break its question, against brute
//! force from the definitions.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use schism_history::{History, notation};

use super::generate::Data;
use super::orders::{Column, Level, judge};
use super::plain::Plain;
use super::small::small;
use crate::Budget;
use crate::txn::checker::conflicts::{Mutant, Mutation, search};
use crate::txn::meter::Meter;
use crate::txn::rw_register::{self, VersionSources};
use crate::txn::solver::Decision;
use crate::txn::txns::Txns;
use crate::txn::{accesses::Accesses, edge::Edge, edge::EdgeKind, list_append};

const MUTANTS: &[Mutant] = &[
    Mutant::OwnKeysFree,
    Mutant::OtherKeysAsked,
    Mutant::EveryoneVisible,
    Mutant::ReadFromOnly,
    Mutant::SharedOnly,
    Mutant::ReadBefore,
    Mutant::Transitive,
    Mutant::FirstVisible,
    Mutant::ReadLeftOut,
    Mutant::KnownForgotten,
    Mutant::KnownTurned,
    Mutant::InitialForgotten,
    Mutant::ReadsUnordered,
    Mutant::DoubtLeftOut,
];

/// A history of which it is certain who read what from whom, without G1, and what brute force says of it.
struct Case {
    history: History,
    data: Data,
    column: Column,
}

impl Case {
    fn of(history: History, data: Data) -> Option<Case> {
        let column = judge(&Plain::of(&history))?;
        let case = Case { history, data, column };
        let is_certain = data == Data::Lists
            || registers(&Txns::of(&case.history), &mut Meter::new(&Budget::default())).uncertain.is_empty();
        (is_certain && case.column.get(Level::Pl2) == Some(true)).then_some(case)
    }

    /// Whether it is cursor stable, and update atomic, by the search.
    fn searched(&self, mutation: Mutation) -> [bool; 2] {
        let txns = Txns::of(&self.history);
        let mut meter = Meter::new(&Budget::default());
        let (accesses, ww) = known(&txns, self.data, &mut meter);
        [false, true].map(|is_update| match search(is_update, &txns, &accesses, &ww, &mut meter, mutation) {
            Ok(Decision::Holds(_)) => true,
            Ok(Decision::Broken(_)) => false,
            other => panic!("{other:?}: {}", notation::write(&self.history)),
        })
    }

    /// The same by definition.
    fn defined(&self) -> [bool; 2] {
        [Level::CursorStability, Level::UpdateAtomic].map(|level| self.column.get(level).expect("nothing internal"))
    }
}

fn registers<'t>(txns: &'t Txns<'t>, meter: &mut Meter) -> rw_register::Registers<'t> {
    rw_register::infer(txns, &VersionSources::default(), meter)
}

fn known(txns: &Txns<'_>, data: Data, meter: &mut Meter) -> (Accesses, Vec<Edge>) {
    let (accesses, mut edges) = match data {
        Data::Lists => {
            let lists = list_append::infer(txns, meter);
            (lists.accesses, lists.edges)
        }
        Data::Registers => {
            let registers = registers(txns, meter);
            (registers.accesses, registers.edges)
        }
    };
    edges.retain(|edge| edge.kind == EdgeKind::Ww);
    (accesses, edges)
}

/// Keys that are written and read all at the same time; each read sees what any other wrote.
fn crowd(random: &mut ChaCha8Rng, data: Data) -> History {
    let keys = random.random_range(2..=3);
    let count = random.random_range(3..=5);
    // By key: who writes it, mostly in order.
    let mut writers: Vec<Vec<usize>> = vec![Vec::new(); keys];
    for writers in &mut writers {
        writers.extend((0..count).filter(|_| random.random_bool(0.4)));
        if writers.len() > 1 && random.random_bool(0.4) {
            let place = random.random_range(1..writers.len());
            writers.swap(place - 1, place);
        }
    }
    let (read, write) = if data == Data::Lists { ("r", "append") } else { ("r", "w") };
    let mut begin = Vec::new();
    for id in 0..count {
        let mut micros: Vec<String> = Vec::new();
        for _ in 0..random.random_range(0..=2) {
            let key = random.random_range(0..keys);
            // Mostly of earlier ones, as G1c leaves nothing to be judged.
            let last = if random.random_bool(0.8) { id } else { count };
            let before_own = writers[key].iter().take_while(|&&other| data == Data::Registers || other != id);
            let others: Vec<usize> = before_own.copied().filter(|&other| other != id && other < last).collect();
            let seen = random.random_range(0..=others.len());
            let value = match (data, seen.checked_sub(1).map(|newest| others[newest])) {
                (_, None) => "null".to_owned(),
                (Data::Registers, Some(newest)) => (newest + 1).to_string(),
                (Data::Lists, Some(newest)) => {
                    let length = writers[key].iter().position(|&other| other == newest).map_or(0, |place| place + 1);
                    let values: Vec<String> = writers[key][..length].iter().map(|id| (id + 1).to_string()).collect();
                    format!("[{}]", values.join(","))
                }
            };
            micros.push(format!(r#"["{read}",{key},{value}]"#));
        }
        let reads_count = micros.len();
        for key in (0..keys).filter(|&key| writers[key].contains(&id)) {
            // Behind reads of the same key, and before or behind those of others.
            let own = format!(r#"["{read}",{key},"#);
            let least = micros.iter().rposition(|micro| micro.starts_with(&own)).map_or(0, |place| place + 1);
            let place = random.random_range(least..=reads_count.max(least));
            micros.insert(place, format!(r#"["{write}",{key},{}]"#, id + 1));
        }
        begin.push(format!("{id}:txn=[{}](", micros.join(",")));
    }
    let end: Vec<String> =
        (0..count).map(|id| format!("{id}{}", if random.random_bool(0.1) { '?' } else { ')' })).collect();
    notation::parse(&[begin, end].concat().join(" ")).expect("the text was made by its rules")
}

/// Of each kind of data so many of simulated stores, broken by an edit or two, and so many crowds.
fn cases(seed: u64, of_stores: usize, crowds: usize) -> Vec<Case> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut all = Vec::new();
    for data in [Data::Registers, Data::Lists] {
        all.extend((0..of_stores).filter_map(|_| Case::of(small(&mut random, data, 5), data)));
        all.extend((0..crowds).filter_map(|_| Case::of(crowd(&mut random, data), data)));
    }
    all
}

#[test]
fn conflicts_are_searched_as_by_brute_force() {
    let mut broken = [[0usize; 2]; 2];
    let all = cases(81, 400, 1_500);
    for case in &all {
        let (searched, defined) = (case.searched(Mutation::default()), case.defined());
        assert_eq!(searched, defined, "{}", notation::write(&case.history));
        for (count, holds) in broken[usize::from(case.data == Data::Lists)].iter_mut().zip(defined) {
            *count += usize::from(!holds);
        }
    }
    println!("{broken:?} of {}", all.len());
    // Of either kind of data there are enough that break each, and more that keep it.
    assert!(broken.as_flattened().iter().all(|&count| count >= 60 && count * 4 < all.len()), "{broken:?}");
}

#[test]
fn every_mutant_of_conflicts_is_noticed() {
    let all = cases(82, 300, 1_000);
    let defined: Vec<[bool; 2]> = all.iter().map(Case::defined).collect();
    let mut survivors = Vec::new();
    for &mutant in MUTANTS {
        let mutation = Mutation { mutant: Some(mutant) };
        let noticed = all.iter().zip(&defined).position(|(case, defined)| case.searched(mutation) != *defined);
        println!("{mutant:?}: noticed at {noticed:?} of {}", all.len());
        if noticed.is_none() {
            survivors.push(mutant);
        }
    }
    assert!(survivors.is_empty(), "not noticed: {survivors:?}");
}
