//! Small histories, every property: the solver and brute force.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::brute::Brute;
use super::generate::{Case, Wanted, case};
use super::proof;
use crate::anomaly::Witness;
use crate::checker::Budget;
use crate::txn::edge::{Edge, EdgeKind};
use crate::txn::meter::Meter;
use crate::txn::solver::mutant::{self, Mutant};
use crate::txn::solver::{Decision, Keeps, Property, decide};
use crate::txn::txns::Txns;

pub const PROPERTIES: [Property; 5] = [
    Property::Serializable,
    Property::SnapshotIsolation,
    Property::Prefix,
    Property::ParallelSnapshotIsolation,
    Property::UpdateSerializable,
];

/// How many times as many rounds: `SCHISM_TEST_LONG` asks for twenty.
pub fn long_factor() -> usize {
    if std::env::var_os("SCHISM_TEST_LONG").is_some() { 20 } else { 1 }
}

pub const KEEPS: [Keeps; 3] = [Keeps::Nothing, Keeps::Process, Keeps::Realtime];

const BASE: Wanted = Wanted {
    txns: 6,
    sessions: 3,
    keys: 2,
    operations: 3,
    values: 0,
    doubt_percent: 10,
    noise_percent: 10,
    snapshot: false,
    shuffled: false,
};

pub const SHAPES: [Wanted; 8] = [
    Wanted { noise_percent: 80, ..BASE },
    Wanted { noise_percent: 100, ..BASE },
    Wanted { shuffled: true, noise_percent: 60, ..BASE },
    Wanted { snapshot: true, noise_percent: 80, ..BASE },
    Wanted { values: 2, doubt_percent: 20, noise_percent: 100, ..BASE },
    Wanted { keys: 3, txns: 7, operations: 4, noise_percent: 70, ..BASE },
    Wanted { values: 3, snapshot: true, noise_percent: 100, ..BASE },
    Wanted { keys: 4, snapshot: true, shuffled: true, noise_percent: 60, sessions: 4, ..BASE },
];

/// Most are blind writes, and nobody says when they took effect.
const LARGER: [Wanted; 3] = [
    Wanted { txns: 12, sessions: 6, operations: 3, noise_percent: 6, ..BASE },
    Wanted { txns: 14, sessions: 7, keys: 3, operations: 4, noise_percent: 3, snapshot: true, ..BASE },
    Wanted { txns: 16, sessions: 8, keys: 3, operations: 3, noise_percent: 8, shuffled: true, ..BASE },
];

/// A history of some shape; of some, the order of a key's versions is told.
pub fn some(random: &mut ChaCha8Rng, round: usize) -> Case {
    let mut made = case(random, SHAPES[round % SHAPES.len()]);
    if round.is_multiple_of(5) {
        let mut versions = vec![Vec::new(); made.accesses.keys_count as usize];
        let ids = (0..made.accesses.len() as u32).filter(|&id| made.accesses.committed[id as usize]);
        for id in ids {
            made.accesses.writes(id).iter().filter(|write| write.key == 0).for_each(|write| {
                let known: &mut Vec<u32> = &mut versions[write.key as usize];
                let place = random.random_range(0..=known.len());
                known.insert(if random.random_range(0..4) == 0 { place } else { known.len() }, id);
            });
        }
        made.accesses.versions = versions;
    }
    // Of others, steps between versions; a few of them contradict the rest.
    if round % 5 == 2 {
        let writers: Vec<(u32, u32)> = (0..made.accesses.len() as u32)
            .filter(|&id| made.accesses.committed[id as usize])
            .flat_map(|id| made.accesses.writes(id).iter().map(move |write| (write.key, id)))
            .collect();
        for (place, &(key, from)) in writers.iter().enumerate() {
            for &(_, to) in writers[place + 1..].iter().filter(|other| other.0 == key) {
                let (from, to) = if random.random_range(0..8) == 0 { (to, from) } else { (from, to) };
                if random.random_range(0..3) == 0 {
                    made.known.push(Edge { from, to, kind: EdgeKind::Ww });
                }
            }
        }
    }
    made
}

/// What the solver says.
pub fn judge(case: &Case, property: Property, keeps: Keeps) -> bool {
    let txns = Txns::of(&case.history);
    let mut meter = Meter::new(&Budget::default());
    match decide(&case.question(&txns, property, keeps), &mut meter) {
        Decision::Holds(_) => true,
        Decision::Broken(anomaly) => {
            proof::verify(case, &txns, keeps, &anomaly);
            false
        }
        Decision::Unknown(gap) => panic!("seven transactions spent the budget: {gap:?}"),
    }
}

#[test]
fn agrees_with_brute_force() {
    let mut random = ChaCha8Rng::seed_from_u64(5);
    let mut counts = [[[0u32; 2]; 3]; 5];
    for round in 0..10_000 * long_factor() {
        let mut case = some(&mut random, round);
        // Chance makes more that hold: of a third of the rounds only what is broken is taken.
        while round % 3 == 0 && Brute::new(&case, Keeps::Nothing).holds(Property::Serializable) {
            case = some(&mut random, round);
        }
        for (k, keeps) in KEEPS.into_iter().enumerate() {
            let brute = Brute::new(&case, keeps);
            for (p, property) in PROPERTIES.into_iter().enumerate() {
                // Many histories, each asked some of the questions.
                if random.random_range(0..5) > 0 || !brute.is_feasible(property) {
                    continue;
                }
                let expected = brute.holds(property);
                assert_eq!(
                    judge(&case, property, keeps),
                    expected,
                    "round {round}, {property:?} {keeps:?}: {} {:?} {:?} {:?}",
                    case.line,
                    case.accesses,
                    case.uncertain,
                    case.known
                );
                counts[p][k][usize::from(expected)] += 1;
            }
        }
    }
    for (p, of_keeps) in counts.iter().enumerate() {
        for (k, [broken, holds]) in of_keeps.iter().enumerate() {
            let all = broken + holds;
            assert!(
                broken * 10 >= all * 3 && holds * 10 >= all * 3,
                "{:?} {:?}: {broken} {holds}",
                PROPERTIES[p],
                KEEPS[k]
            );
        }
    }
}

/// Who contradict each other do so alone, and no fewer of them do.
#[test]
fn witnesses_are_smallest() {
    let mut random = ChaCha8Rng::seed_from_u64(17);
    let (mut count, mut derived) = (0, 0);
    for round in 0..400 {
        let case = some(&mut random, round);
        let txns = Txns::of(&case.history);
        for (property, keeps) in PROPERTIES.into_iter().flat_map(|property| KEEPS.map(|keeps| (property, keeps))) {
            let mut meter = Meter::new(&Budget::default());
            let decision = decide(&case.question(&txns, property, keeps), &mut meter);
            let Decision::Broken(anomaly) = decision else { continue };
            let Witness::NoCommitOrder { transactions, smallest, derivation } = &anomaly.witness else {
                panic!("{anomaly:?}")
            };
            assert!(smallest);
            let ids: Vec<u32> = (0..txns.len() as u32).filter(|&id| transactions.contains(&txns.invoked(id))).collect();
            assert_eq!(ids.len(), transactions.len());
            let told = format!("{property:?} {keeps:?} {ids:?} {}", case.line);
            if !Brute::new(&case, keeps).is_feasible(property) {
                continue;
            }
            assert!(!Brute::among(&case, keeps, &ids).holds(property), "{told}");
            for id in &ids {
                let rest: Vec<u32> = ids.iter().copied().filter(|other| other != id).collect();
                assert!(Brute::among(&case, keeps, &rest).holds(property), "without {id}: {told}");
            }
            if property == Property::Serializable && case.uncertain.is_empty() {
                count += 1;
                derived += usize::from(!derivation.is_empty());
            }
        }
    }
    assert!(count > 100 && derived * 100 >= count * 95, "{derived} of {count} proofs have steps");
}

/// Each defect is noticed by some history.
#[test]
fn every_mutant_is_noticed() {
    use Mutant::*;
    let mutants = [
        MovedReadsForgotten,
        WritersOverlap,
        PrivateReadersFree,
        ChangesForgotten,
        InitialForgotten,
        DoubtEnds,
        DoubtLeftOut,
        FirstWriter,
        ProcessForgotten,
        BarriersApart,
        VersionsForgotten,
        KnownForgotten,
        ClauseTooShort,
        DecisionsCertain,
        OverwriteForgotten,
    ];
    let survivors: Vec<Mutant> = mutants.into_iter().filter(|&mutant| !is_noticed(mutant)).collect();
    assert!(survivors.is_empty(), "not noticed: {survivors:?}");
}

fn is_noticed(mutant: Mutant) -> bool {
    let mut random = ChaCha8Rng::seed_from_u64(23);
    (0..6000).any(|round| {
        // Decisions, and what is learned of them, need more transactions than brute force can take.
        let case =
            if round < 1500 { some(&mut random, round) } else { case(&mut random, LARGER[round % LARGER.len()]) };
        PROPERTIES.into_iter().flat_map(|property| KEEPS.map(|keeps| (property, keeps))).any(|(property, keeps)| {
            mutant::choose(Some(mutant));
            // A defect may show as a wrong order or an assertion, too.
            let found = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| is_held(&case, property, keeps)));
            mutant::choose(None);
            let expected = is_held(&case, property, keeps);
            found.map_or(true, |found| found != expected)
        })
    })
}

/// The verdict alone; an order that is none counts as unknown.
fn is_held(case: &Case, property: Property, keeps: Keeps) -> Option<bool> {
    let txns = Txns::of(&case.history);
    let mut meter = Meter::new(&Budget { steps_max: 1 << 14, ..Budget::default() });
    match decide(&case.question(&txns, property, keeps), &mut meter) {
        Decision::Holds(_) => Some(true),
        Decision::Broken(_) => Some(false),
        Decision::Unknown(_) => None,
    }
}
