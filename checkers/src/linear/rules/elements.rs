//! A set of which only single elements are asked about: each element is a level that is 0 or 1 ([`super::deadlines`]).
//!
//! An addition that says that it changed something moves the level up, a removal down; one that says that it changed
//! nothing, and a question, observe it. One that does not say (a *blind* one) either moved it or found it as it wanted
//! it to be. One in doubt moved it, or can as well not have happened. Blind ones are settled so:
//!
//! - Where nothing is ever removed, the level moves up once at most, and may be moved by the addition that began first: if
//!   another one x does, at T, then the first one had begun by then, and had not ended (unless it is in doubt, it
//!   needs the element to be there at some moment), so it can do it at T, and x finds the element there. So all blind ones
//!   but the first are observers; all, if an addition says that it changed something. The same for removals where nothing
//!   is ever added (then all are observers).
//! - Else all ways to settle them are tried, where an element has no more than [`BLIND_MAX`].
//!
//! Cost: O(n log n), times 2^[`BLIND_MAX`] at worst. Not for it: elements with more blind operations than that.

use rustc_hash::FxHashMap;

use super::deadlines::{self, Deadlines, Mark, Move, Stuck};
use crate::linear::models::set::{Element, SetAction};
use crate::linear::mutant::Mutation;
use crate::linear::ruling::{Certificate, Ruling};
use crate::linear::split::{OPEN, Operation};

const ALGORITHM: &str = "deadlines";
/// No element.
const NONE: u32 = u32::MAX;
/// Blind operations of one element that are settled by trying.
const BLIND_MAX: usize = 4;

/// Defects that the tests must notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(not(test), allow(dead_code))]
pub(crate) enum Mutant {
    /// Blind operations always change something.
    BlindMoves,
    /// Blind operations change nothing if that can be.
    BlindSees,
    /// Blind operations tell nothing.
    BlindIgnored,
    /// Of additions without removals the last one counts.
    LastAdds,
    /// An operation in doubt that does not say what it changed is taken for an observer.
    DoubtSees,
    /// Elements are taken for one.
    OneElement,
    /// Some defect of the levels.
    Level(deadlines::Mutant),
}

/// Decides operations in order of invocation, none of which is about the whole set.
pub(crate) fn rule(operations: &[Operation<SetAction>], mutation: Mutation<Mutant>) -> Ruling {
    let order = match by_element(operations, mutation) {
        Ok(order) => order,
        Err(why) => return Ruling::Unfit(why),
    };
    let mut deadlines = Deadlines::new(1, inner(mutation));
    let (mut marks, mut blind, mut bad) = (Vec::new(), Vec::new(), None::<Stuck>);
    let mut unfit = None;
    let mut from = 0;
    for &until in &order.until {
        let places = &order.places[from as usize..until as usize];
        from = until;
        gather(operations, places, mutation, &mut marks, &mut blind);
        match settle(&mut deadlines, &mut marks, &mut blind, mutation) {
            Some(Ok(())) => {}
            // The element that fails first is told.
            Some(Err(stuck)) if bad.is_none_or(|bad| stuck.at < bad.at) => bad = Some(stuck),
            Some(Err(_)) => {}
            None => unfit = Some("an element with many additions and removals that do not say what they changed"),
        }
    }
    match (bad, unfit) {
        (Some(stuck), _) => Ruling::Bad { algorithm: ALGORITHM, at: stuck.at, certificate: Some(certificate(stuck)) },
        (None, Some(why)) => Ruling::Unfit(why),
        (None, None) => Ruling::Good { algorithm: ALGORITHM },
    }
}

/// The defect of the levels that is wanted.
#[cfg(test)]
fn inner(mutation: Mutation<Mutant>) -> Mutation<deadlines::Mutant> {
    match mutation.mutant {
        Some(Mutant::Level(mutant)) => Mutation { mutant: Some(mutant) },
        _ => Mutation::default(),
    }
}

/// None: there are no defects outside of tests.
#[cfg(not(test))]
fn inner(_mutation: Mutation<Mutant>) -> Mutation<deadlines::Mutant> {
    Mutation::default()
}

/// Places of operations, element by element, and where each element's end.
struct Order {
    places: Vec<u32>,
    until: Vec<u32>,
}

/// Sorts by element; within one, the order of invocation stays.
fn by_element(operations: &[Operation<SetAction>], mutation: Mutation<Mutant>) -> Result<Order, &'static str> {
    let mut numbers: FxHashMap<&Element, u32> =
        FxHashMap::with_capacity_and_hasher(operations.len() / 2 + 1, rustc_hash::FxBuildHasher);
    let mut number_of = Vec::with_capacity(operations.len());
    let mut until: Vec<u32> = Vec::new();
    for operation in operations {
        let Some(element) = operation.action.element() else {
            if !operation.in_doubt() {
                return Err("the set is read as a whole");
            }
            // A read in doubt told nothing.
            number_of.push(NONE);
            continue;
        };
        let next = until.len() as u32;
        let number = if mutation.is(Mutant::OneElement) { 0 } else { *numbers.entry(element).or_insert(next) };
        if number == next {
            until.push(0);
        }
        until[number as usize] += 1;
        number_of.push(number);
    }
    // Counts become the places where elements begin, and while they are filled those where they end.
    let mut sum = 0;
    for count in &mut until {
        sum += std::mem::replace(count, sum);
    }
    let mut places = vec![0; sum as usize];
    for (place, number) in number_of.into_iter().enumerate().filter(|&(_, number)| number != NONE) {
        places[until[number as usize] as usize] = place as u32;
        until[number as usize] += 1;
    }
    Ok(Order { places, until })
}

/// What an element's operations do, and which of them are blind (these stand as moves).
fn gather(
    operations: &[Operation<SetAction>],
    places: &[u32],
    mutation: Mutation<Mutant>,
    marks: &mut Vec<Mark>,
    blind: &mut Vec<u32>,
) {
    marks.clear();
    blind.clear();
    for &place in places {
        let operation = &operations[place as usize];
        let (does, changed) = match operation.action {
            SetAction::Add(_, changed) => (Move::Up, changed),
            SetAction::Remove(_, changed) => (Move::Down, changed),
            SetAction::Contains(_, there) => (Move::See(u32::from(there)), Some(true)),
            SetAction::Read(_) => continue,
        };
        let does = match changed {
            Some(false) => seen(does),
            None if operation.in_doubt() && mutation.is(Mutant::DoubtSees) => seen(does),
            _ => does,
        };
        if changed.is_none() && !operation.in_doubt() {
            if mutation.is(Mutant::BlindIgnored) {
                continue;
            }
            blind.push(marks.len() as u32);
        }
        marks.push(Mark { begin: operation.invoke, end: operation.end, does, place });
    }
}

/// What a move finds that changes nothing.
fn seen(does: Move) -> Move {
    match does {
        Move::Up => Move::See(1),
        Move::Down => Move::See(0),
        see @ Move::See(_) => see,
    }
}

/// Decides one element; `None`: too many blind operations.
fn settle(
    deadlines: &mut Deadlines,
    marks: &mut [Mark],
    blind: &mut Vec<u32>,
    mutation: Mutation<Mutant>,
) -> Option<Result<(), Stuck>> {
    if mutation.is(Mutant::BlindMoves) {
        blind.clear();
    }
    let has = |does: Move| marks.iter().any(|mark| mark.does == does);
    let (ups, downs) = (has(Move::Up), has(Move::Down));
    let sees_all = mutation.is(Mutant::BlindSees) && blind.len() < marks.len();
    if !blind.is_empty() && (!ups || !downs || sees_all) {
        let is_blind = |number: u32| blind.binary_search(&number).is_ok();
        let is_strict =
            |(number, mark): (usize, &Mark)| mark.does == Move::Up && mark.end != OPEN && !is_blind(number as u32);
        let strict = marks.iter().enumerate().any(is_strict);
        let mut first = marks.iter().position(|mark| mark.does == Move::Up).filter(|_| !strict);
        if mutation.is(Mutant::LastAdds) {
            first = marks.iter().rposition(|mark| mark.does == Move::Up).filter(|_| !strict);
        }
        for &number in blind.iter().filter(|&&number| Some(number as usize) != first) {
            marks[number as usize].does = seen(marks[number as usize].does);
        }
        return Some(deadlines.decide(marks));
    }
    if blind.len() > BLIND_MAX {
        return None;
    }
    let moves: Vec<Move> = blind.iter().map(|&number| marks[number as usize].does).collect();
    let mut worst: Option<Stuck> = None;
    for choice in 0..1u32 << blind.len() {
        for (bit, &number) in blind.iter().enumerate() {
            let does = moves[bit];
            marks[number as usize].does = if choice & (1 << bit) == 0 { does } else { seen(does) };
        }
        match deadlines.decide(marks) {
            Ok(()) => return Some(Ok(())),
            Err(stuck) if worst.is_none_or(|worst| stuck.at > worst.at) => worst = Some(stuck),
            Err(_) => {}
        }
    }
    worst.map(Err)
}

fn certificate(stuck: Stuck) -> Certificate {
    let pattern = if stuck.lacks_up { "element-not-there" } else { "element-still-there" };
    Certificate { pattern, places: stuck.last.into_iter().chain([stuck.place]).collect() }
}
