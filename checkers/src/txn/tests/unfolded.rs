//! What shows inside of transactions, and every named way to break the search of it, against brute force from the definitions.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use schism_history::{History, notation};

use super::generate::Data;
use super::orders::{Column, Level, judge};
use super::plain::Plain;
use super::small::small;
use crate::Budget;
use crate::linear::mutant::Mutation;
use crate::txn::edge::{Edge, EdgeKind};
use crate::txn::graph::unfolded::{Mutant, Phenomenon, Told, Unfolded, Verdict, run};
use crate::txn::list_append;
use crate::txn::meter::Meter;
use crate::txn::rw_register::{self, VersionSources};
use crate::txn::txns::Txns;

const MUTANTS: &[Mutant] = &[
    Mutant::LaterSeen,
    Mutant::WritesUnseen,
    Mutant::OneStep,
    Mutant::InitialForgotten,
    Mutant::NextIsEnough,
    Mutant::ReadNotVisible,
    Mutant::OverwrittenNotVisible,
    Mutant::OneAntiDependency,
    Mutant::LeavesEarlier,
    Mutant::UnknownForgotten,
];

fn level(phenomenon: Phenomenon) -> Level {
    match phenomenon {
        Phenomenon::Cursor => Level::CursorStability,
        Phenomenon::Update => Level::UpdateAtomic,
        Phenomenon::Monotonic => Level::MonotonicView,
        Phenomenon::Snapshot => Level::MonotonicSnapshotRead,
    }
}

/// A history without G1, the answer of brute force, and what the engines of data say of it.
struct Case {
    history: History,
    data: Data,
    column: Column,
}

fn case(history: History, data: Data) -> Option<Case> {
    let column = judge(&Plain::of(&history))?;
    (column.get(Level::Pl2) == Some(true)).then_some(Case { history, data, column })
}

fn cases(data: Data, seed: u64, rounds: usize) -> Vec<Case> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let made = (0..rounds).filter_map(|round| {
        let history = small(&mut random, data, if round % 8 == 0 { 6 } else { 5 });
        case(history, data)
    });
    made.collect()
}

/// Writers of a few lists and readers of several, all at the same time, with whatever they may have seen: forks of all sorts.
fn forks(seed: u64, rounds: usize) -> Vec<Case> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    (0..rounds).filter_map(|round| case(fork(&mut random, round % 2 == 0), Data::Lists)).collect()
}

/// `simple`: each writer appends to a list of its own and does nothing else, so that no reader alone is wrong.
fn fork(random: &mut ChaCha8Rng, simple: bool) -> History {
    let keys = random.random_range(2..=3);
    let writers = if simple { keys } else { random.random_range(2..=3) };
    // By key: who appended to it, in order; each appends its number.
    let mut lists: Vec<Vec<usize>> = vec![Vec::new(); keys];
    for writer in 1..=writers {
        if simple {
            lists[writer - 1].push(writer);
            continue;
        }
        for _ in 0..random.random_range(1..=2) {
            let list = &mut lists[random.random_range(0..keys)];
            if !list.contains(&writer) {
                list.insert(random.random_range(0..=list.len()), writer);
            }
        }
    }
    let text = |list: &[usize]| list.iter().map(usize::to_string).collect::<Vec<_>>().join(",");
    let mut txns: Vec<String> = Vec::new();
    let readers = if simple { 6 - writers } else { 2 };
    for id in 1..=writers + readers {
        let mut micros: Vec<String> = Vec::new();
        let own: Vec<usize> = (0..keys).filter(|&key| lists[key].contains(&id)).collect();
        micros.extend(own.iter().map(|key| format!(r#"["append",{key},{id}]"#)));
        let reads_count = match id <= writers {
            true if simple => 0,
            true => random.random_range(0..=1),
            false => random.random_range(2..=3),
        };
        for _ in 0..reads_count {
            let key = random.random_range(0..keys);
            if own.contains(&key) {
                continue;
            }
            let seen = random.random_range(0..=lists[key].len());
            let read = format!(r#"["r",{key},[{}]]"#, text(&lists[key][..seen]));
            micros.insert(random.random_range(0..=micros.len()), read);
        }
        txns.push(micros.join(","));
    }
    let begin = txns.iter().enumerate().map(|(process, micros)| format!("{process}:txn=[{micros}]("));
    let end = (0..txns.len()).map(|process| format!("{process})"));
    let all: Vec<String> = begin.chain(end).collect();
    let last: Vec<String> =
        lists.iter().enumerate().map(|(key, list)| format!(r#"["r",{key},[{}]]"#, text(list))).collect();
    let last = if !simple && random.random_bool(0.6) { format!(" 9:txn=[{}]", last.join(",")) } else { String::new() };
    notation::parse(&(all.join(" ") + &last)).expect("the text was made by its rules")
}

/// What is said; `None` where who read what is not certain.
fn said(case: &Case, mutation: Mutation<Mutant>) -> Option<Unfolded> {
    let txns = Txns::of(&case.history);
    let mut meter = Meter::new(&Budget::default());
    let (accesses, edges) = match case.data {
        Data::Lists => {
            let lists = list_append::infer(&txns, &mut meter);
            (lists.accesses, lists.edges)
        }
        Data::Registers => {
            let registers = rw_register::infer(&txns, &VersionSources::default(), &mut meter);
            if !registers.uncertain.is_empty() {
                return None;
            }
            (registers.accesses, registers.edges)
        }
    };
    let found = run(&txns, &accesses, &edges, &mut meter, mutation);
    assert!(!found.spent);
    Some(found)
}

/// How many anti-dependencies a cycle has, and whether it is one.
fn over_count(told: &Told) -> usize {
    let links = &told.links;
    let mut seen = Vec::new();
    for (place, link) in links.iter().enumerate() {
        assert_eq!(link.edge.to, links[(place + 1) % links.len()].edge.from, "{told:?}");
        assert!(!seen.contains(&link.edge.from), "{told:?}");
        seen.push(link.edge.from);
    }
    links.iter().filter(|link| link.edge.kind == EdgeKind::Rw).count()
}

/// What is wrong with what was said, if anything.
fn fault(case: &Case, said: &Unfolded) -> Option<String> {
    for (phenomenon, verdict) in Phenomenon::ALL.into_iter().zip(&said.verdicts) {
        let Some(holds) = case.column.get(level(phenomenon)) else { continue };
        let wrong = match verdict {
            Verdict::Found(told) => {
                let count = over_count(told);
                holds || (count == 1) == (phenomenon == Phenomenon::Snapshot)
            }
            Verdict::Absent => !holds,
            Verdict::Open => false,
        };
        if wrong {
            return Some(format!("{phenomenon:?} {verdict:?} {holds} {}", notation::write(&case.history)));
        }
    }
    None
}

/// By phenomenon: how often it was found, shown to be absent, and neither although brute force decides.
fn counts(cases: &[Case]) -> [[usize; 3]; 4] {
    let mut counts = [[0; 3]; 4];
    for case in cases {
        let Some(said) = said(case, Mutation::default()) else { continue };
        if let Some(fault) = fault(case, &said) {
            panic!("{fault}");
        }
        let is_monotonic = matches!(said.verdicts[2], Verdict::Found(_));
        for (place, (phenomenon, verdict)) in Phenomenon::ALL.into_iter().zip(&said.verdicts).enumerate() {
            let is_decided = case.column.get(level(phenomenon)).is_some();
            match verdict {
                Verdict::Found(_) => counts[place][0] += 1,
                Verdict::Absent => counts[place][1] += 1,
                Verdict::Open if is_decided && !(place == 3 && is_monotonic) => counts[place][2] += 1,
                Verdict::Open => {}
            }
        }
    }
    counts
}

#[test]
fn lists_are_as_by_brute_force() {
    let counts = counts(&cases(Data::Lists, 71, 3_000));
    println!("{counts:?}");
    // Chance makes no fork of four reads so small.
    for (found, absent, open) in counts.into_iter().take(3).map(|[found, absent, open]| (found, absent, open)) {
        assert!(found >= 30 && absent >= 1_000 && open * 5 < absent, "{counts:?}");
    }
}

#[test]
fn forks_are_as_by_brute_force() {
    let counts = counts(&forks(75, 1_500));
    println!("{counts:?}");
    for [found, absent, open] in [counts[1], counts[2], counts[3]] {
        assert!(found >= 30 && absent >= 200 && open * 20 < absent, "{counts:?}");
    }
}

#[test]
fn registers_are_as_by_brute_force() {
    let counts = counts(&cases(Data::Registers, 72, 3_000));
    println!("{counts:?}");
    for [_, absent, open] in counts {
        assert!(absent >= 1_000 && open * 2 < absent, "{counts:?}");
    }
}

/// Histories of a few lists in which one kind of phenomenon shows, made for mutants that chance seldom meets; and how many
/// steps the shortest cycle has.
const MADE: &[(Phenomenon, usize, &str)] = &[
    (Phenomenon::Cursor, 2, r#"0:[["r","x",[]],["append","x",2]]( 1:[["append","x",1]]( 2:[["r","x",[1,2]]] 0) 1)"#),
    (
        Phenomenon::Cursor,
        2,
        r#"0:[["r","x",[]],["append","x",3]]( 1:[["append","x",1]]( 4:[["append","x",2]]( 2:[["r","x",[1,2,3]]] 3:[["r","y",[]],["append","y",2]]( 5:[["append","y",1]]( 0) 1) 4) 3) 5) 2:[["r","y",[1,2]]]"#,
    ),
    (
        Phenomenon::Update,
        3,
        r#"0:[["r","y",[]],["append","x",2]]( 1:[["append","y",1]]( 3:[["r","y",[1]],["append","y",2],["append","x",1]]( 2:[["r","x",[1,2]],["r","y",[1,2]]] 0) 1) 3)"#,
    ),
    (
        Phenomenon::Monotonic,
        3,
        r#"0:[["append","x",1]]( 1:[["r","x",[1]],["append","y",1]]( 2:[["r","y",[1]],["r","x",[]]] 0) 1)"#,
    ),
    (
        Phenomenon::Monotonic,
        3,
        r#"0:[["append","x",1]]( 1:[["r","x",[1]],["append","y",1]]( 2:[["append","y",2],["r","x",[]]] 0) 1) 3:[["r","y",[1,2]]]"#,
    ),
    (
        Phenomenon::Snapshot,
        4,
        r#"0:[["append","x",1]]( 1:[["append","y",1]]( 2:[["r","x",[1]],["r","y",[]]] 3:[["r","y",[1]],["r","x",[]]] 0) 1)"#,
    ),
    // There is a shorter way by a read that is made too early.
    (
        Phenomenon::Snapshot,
        6,
        r#"0:[["append","x",1]]( 1:[["append","y",1]]( 2:[["append","z",1]]( 3:[["r","x",[1]],["r","y",[]]]( 4:[["r","x",[]],["r","y",[1]],["r","z",[]]]( 5:[["r","z",[1]],["r","x",[]]] 0) 1) 2) 3) 4)"#,
    ),
];

/// As those, in which none of them shows.
const KEPT: &[&str] = &[
    r#"0:[["append","x",1]]( 1:[["r","x",[1]],["append","y",1]]( 2:[["r","x",[]],["r","y",[1]]] 0) 1)"#,
    r#"0:[["append","x",1]]( 1:[["append","y",1]]( 2:[["r","x",[1]],["r","y",[]]] 3:[["r","x",[]],["r","y",[1]]] 0) 1)"#,
    r#"0:[["r","x",[]],["append","x",1]] 1:[["append","x",2]] 2:[["r","x",[1,2]]]"#,
];

fn made(line: &str) -> Case {
    let history = notation::parse(&line.replace(":[[", ":txn=[[")).unwrap_or_else(|error| panic!("{line}: {error}"));
    let column = judge(&Plain::of(&history)).expect("it is small");
    Case { history, data: Data::Lists, column }
}

/// What is wrong with the made histories.
fn made_fault(mutation: Mutation<Mutant>) -> Option<String> {
    for &(phenomenon, length, line) in MADE {
        let case = made(line);
        let said = said(&case, mutation)?;
        let place = Phenomenon::ALL.iter().position(|&other| other == phenomenon)?;
        match &said.verdicts[place] {
            Verdict::Found(told) if told.links.len() == length && told.shortest => {}
            other => return Some(format!("{phenomenon:?} {other:?}: {line}")),
        }
        if let Some(fault) = fault(&case, &said) {
            return Some(fault);
        }
    }
    for line in KEPT {
        let case = made(line);
        let said = said(&case, mutation)?;
        if said.verdicts[2..].iter().any(|verdict| *verdict != Verdict::Absent) {
            return Some(format!("{:?}: {line}", said.verdicts));
        }
    }
    None
}

#[test]
fn the_shortest_is_found() {
    assert_eq!(made_fault(Mutation::default()), None);
    assert!(made_fault(Mutation { mutant: Some(Mutant::FirstIsShortest) }).is_some());
}

#[test]
fn mutants_are_noticed() {
    let of_chance = cases(Data::Lists, 73, 1_500).into_iter().chain(cases(Data::Registers, 74, 1_000));
    let all: Vec<Case> = forks(76, 600).into_iter().chain(of_chance).collect();
    for &mutant in MUTANTS {
        let mutation = Mutation { mutant: Some(mutant) };
        let is_noticed = made_fault(mutation).is_some()
            || all.iter().any(|case| said(case, mutation).is_some_and(|said| fault(case, &said).is_some()));
        assert!(is_noticed, "{mutant:?} is not noticed");
    }
}

#[test]
fn a_budget_that_ends_says_nothing() {
    for &(_, _, line) in MADE {
        let case = made(line);
        let txns = Txns::of(&case.history);
        let lists = list_append::infer(&txns, &mut Meter::new(&Budget::default()));
        for steps_max in 0..40 {
            let mut meter = Meter::new(&Budget { steps_max, memory_bytes_max: 1 << 30 });
            let said = run(&txns, &lists.accesses, &lists.edges, &mut meter, Mutation::default());
            assert_eq!(fault(&case, &said), None);
        }
        let mut meter = Meter::new(&Budget { steps_max: 1 << 30, memory_bytes_max: 8 });
        assert!(run(&txns, &lists.accesses, &lists.edges, &mut meter, Mutation::default()).spent);
    }
}

/// The order of two versions of `z` was given; whose reader of `y` saw the later writer has missed what the earlier one wrote.
#[test]
fn orders_of_versions_that_were_given_are_kept() {
    let text =
        r#"0:txn=[["w","x",1],["w","z",1]]( 1:txn=[["w","y",1],["w","z",2]]( 2:txn=[["r","y",1],["r","x",null]] 0) 1)"#;
    let history = notation::parse(text).expect("a history");
    let txns = Txns::of(&history);
    let registers = rw_register::infer(&txns, &VersionSources::default(), &mut Meter::new(&Budget::default()));
    let wrote = |key: &str| {
        let key = history.txn_keys().iter().position(|name| name.to_string() == key).expect("it is a key") as u32;
        let writes = |id: &u32| registers.accesses.writes(*id).iter().any(|write| write.key == key);
        (0..txns.len() as u32).find(writes).expect("somebody wrote it")
    };
    let given = [Edge { from: wrote("x"), to: wrote("y"), kind: EdgeKind::Ww }];
    let is_found = |given: &[Edge], mutant| {
        let meter = &mut Meter::new(&Budget::default());
        let said = run(&txns, &registers.accesses, given, meter, Mutation { mutant });
        Phenomenon::ALL
            .into_iter()
            .zip(said.verdicts)
            .any(|(phenomenon, verdict)| phenomenon == Phenomenon::Monotonic && matches!(verdict, Verdict::Found(_)))
    };
    assert!(is_found(&given, None));
    assert!(!is_found(&[], None));
    assert!(!is_found(&given, Some(Mutant::GivenForgotten)));
}
