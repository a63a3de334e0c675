//! The search for cells whose values return: against brute force, its mutants, and its pitfalls by name.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use schism_history::notation;

use super::brute;
use super::simulate::{self, Draw, Simulated, Wanted};
use super::store::number;
use crate::checker::Budget;
use crate::linear::cells::{CellMutant, decide, decide_narrow};
use crate::linear::models::{Register, RegisterAction};
use crate::linear::mutant::Mutation;
use crate::linear::problem::Problem;
use crate::linear::search::Decision;
use crate::linear::split::{self, Operation};

const MODEL: Register = Register { cas: true };

const BASE: Wanted = Wanted { operations_max: 8, doubts_max: 3, values: 2, processes: 4, edited_percent: 92 };

const SHAPES: [Wanted; 5] = [
    BASE,
    Wanted { values: 3, processes: 6, ..BASE },
    Wanted { values: 3, doubts_max: 0, processes: 8, ..BASE },
    Wanted { values: 0, ..BASE },
    Wanted { values: 2, doubts_max: 1, processes: 3, ..BASE },
];

impl Simulated for Register {
    fn draw(
        &self,
        random: &mut ChaCha8Rng,
        state: &<Register as crate::linear::model::Model>::State,
        draw: Draw,
    ) -> Option<RegisterAction> {
        let value = number(draw.value(random) + 1);
        let other = number(random.random_range(1..=draw.values.max(3)));
        Some(match random.random_range(0..10) {
            0..4 if !draw.doubtful => RegisterAction::Read(*state),
            4..7 => RegisterAction::Write(value),
            7 if !draw.doubtful && other != *state => RegisterAction::Miss(other),
            _ => RegisterAction::Cas(*state, value),
        })
    }

    fn edited(
        &self,
        random: &mut ChaCha8Rng,
        action: &RegisterAction,
        all: &[Operation<RegisterAction>],
    ) -> RegisterAction {
        let other = number(random.random_range(1..=all.len().min(3) as u32 + 1));
        match *action {
            RegisterAction::Read(_) => RegisterAction::Read(other),
            RegisterAction::Write(_) => RegisterAction::Write(other),
            RegisterAction::Cas(_, new) => RegisterAction::Cas(other, new),
            RegisterAction::Miss(_) => RegisterAction::Miss(other),
        }
    }
}

fn judge(operations: &[Operation<RegisterAction>], mutation: Mutation<CellMutant>) -> Option<bool> {
    let problem = Problem::new(&MODEL, operations, Mutation::default());
    told(decide(&problem, Budget::default(), mutation).0)
}

fn told(decision: Decision) -> Option<bool> {
    match decision {
        Decision::Linearizable => Some(true),
        Decision::Impossible(_) => Some(false),
        Decision::Spent(_) => panic!("eight operations spent the budget"),
    }
}

#[test]
fn agrees_with_every_order() {
    simulate::agrees(&MODEL, &SHAPES, (41, 60_000, 0), |operations| judge(operations, Mutation::default()));
}

/// However few configurations are kept at first, the verdict is the same.
#[test]
fn narrow_passes_change_no_verdict() {
    simulate::agrees(&MODEL, &SHAPES, (47, 10_000, 0), |operations| {
        let problem = Problem::new(&MODEL, operations, Mutation::default());
        told(decide_narrow(&problem, Budget::default(), &[1, 2], Mutation::default()).0)
    });
}

#[test]
fn every_mutant_is_noticed() {
    use CellMutant::*;
    let mutants = [
        PastIgnored,
        NeverDue,
        WaitingForgotten,
        EarlierMoment,
        EndingBeginsNothing,
        EndingTakesNothing,
        NoPast,
        GoalTooNear,
        UsedNotCounted,
        SwapForWrite,
        LaterUncounted,
        BlindAtOnce,
        LatestFirst,
        ReadsAnyPast,
    ];
    simulate::kills(&MODEL, &SHAPES, (43, 60_000), &mutants, |operations, mutant| {
        judge(operations, Mutation { mutant: Some(mutant) })
    });
}

/// Each line with whether it has an order, and mutants that say otherwise.
#[test]
fn pitfalls() {
    use CellMutant::*;
    let cases: [(&str, bool, &[CellMutant]); 11] = [
        // A write that could stand in the past is what a later read saw.
        ("0:w1( 1:w2 2:r2 0) 2:r1", true, &[]),
        ("0:w1( 1:w2 2:r1 2:r2 0)", false, &[]),
        ("0:w1( 2:r( 1:w2 2)1 3:r2 0)", true, &[NoPast]),
        ("0:w1( 1:w2 2:r( 2)1 3:r2 0)", false, &[]),
        // A chain in a block of the past, and one that goes on behind what was due.
        ("0:w1( 3:c1>3( 4:c3>4( 1:w2 3) 4) 0) 2:r2", true, &[BlocksEndAtOnce]),
        ("0:w1( 3:c1>3( 1:w2 3) 0) 2:r2", true, &[]),
        ("0:w1( 1:w2 3:c1>3( 3) 0) 2:r2", false, &[]),
        // What is in doubt stands at the moment only if it began before.
        ("0:w1? 2:r( 1:w2 2)1 3:r2", true, &[NoPast]),
        ("2:r( 1:w2 3:r2 0:w1? 2)1 3:r1", true, &[]),
        ("2:r( 1:w2 3:r2 0:w1? 2)1 3:r2", false, &[DoubtAtAnyTime]),
        // Of two equal ones the first is needed at the moment, the second now.
        ("4:c3>5( 9:w1? 8:c1>3? 1:w2 7:c1>3? 5:c2>1 6:r3 4) 6:r3", true, &[]),
    ];
    for (line, expected, mutants) in cases {
        let history = notation::parse(line).unwrap_or_else(|error| panic!("{line}: {error}"));
        let operations = split::operations(&MODEL, &history, &split::by_key(&history)[0]).operations;
        assert_eq!(brute::linearizable(&MODEL, &operations), expected, "brute force: {line}");
        assert_eq!(judge(&operations, Mutation::default()), Some(expected), "{line}");
        for &mutant in mutants {
            assert_eq!(judge(&operations, Mutation { mutant: Some(mutant) }), Some(!expected), "{mutant:?}: {line}");
        }
    }
}
