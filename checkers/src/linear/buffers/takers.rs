//! Removals in doubt of which nobody knows what they took.
//!
//! Each may have taken one item that nobody surely took, at any time after its invocation. The more items leave and the
//! earlier, the easier for everybody else, so:
//!
//! - if there is a contradiction although all of these items leave as early as one likes, there is no order;
//! - some items **must** leave before an event (their deadline), or the others exclude them. If there are not enough
//!   removals that began in time (the earliest deadline gets the earliest removal; Hall 1935), there is no order;
//! - if one assignment, the one just made, leaves no contradiction, there is an order.
//!
//! For queues that nobody found empty these three are all: with its deadline kept, an item excludes no other. In general
//! which of several moments an answer had depends on what was taken, and what is left goes to the search.

use super::Mutation;
use super::items::{Contradiction, Item, Items, earlier};
use super::mutant::Mutant;
use crate::linear::models::buffer::BufferAction;
use crate::linear::ruling::Ruling;
use crate::linear::split::{OPEN, Operation};

const AMBIGUOUS: &str = "removals in doubt may have taken one value or another";

/// Decides. `check` finds the contradiction among items that shows first, if nothing is taken by removals of unknown
/// result; `deadlines` says for each item when it must have begun to leave.
///
/// Where it was guessed which of equal values came out, an order is one all the same; a contradiction counts only among the
/// other values, since an order stays one without some of its values.
pub(crate) fn decide<V>(
    operations: &[Operation<BufferAction<V>>],
    all: &Items<V>,
    algorithm: &'static str,
    mutation: Mutation,
    check: impl Fn(&[Item]) -> Option<Contradiction>,
    deadlines: impl Fn(&[Item]) -> Vec<u32>,
) -> Ruling {
    let judge = |items: &[Item]| {
        let broken = all.broken.clone();
        if all.takers.is_empty() {
            return match earlier(broken, check(items)) {
                Some(contradiction) => contradiction.ruling(algorithm),
                None => Ruling::Good { algorithm },
            };
        }
        let mut free = items.to_vec();
        free.iter_mut().filter(|item| !item.is_sure_to_leave()).for_each(|item| item.got_begin = 0);
        let assigned = assign(operations, all, items, &deadlines(items), mutation);
        let short = assigned.as_ref().err().cloned();
        if let Some(contradiction) = earlier(earlier(broken, short), check(&free)) {
            return contradiction.ruling(algorithm);
        }
        match assigned {
            Ok(items) if check(&items).is_none() => Ruling::Good { algorithm },
            _ => Ruling::Unfit(AMBIGUOUS),
        }
    };
    let Some(why) = all.unfit else { return judge(&all.items) };
    let is_certain = |item: &&Item| !all.guessed[item.value as usize];
    let certain: Vec<Item> = all.items.iter().filter(is_certain).copied().collect();
    match (judge(&certain), mutation.is(Mutant::GuessTrusted)) {
        (bad @ Ruling::Bad { .. }, _) => bad,
        (_, true) => judge(&all.items),
        (_, false) => {
            Some(judge(&all.items)).filter(|ruling| matches!(ruling, Ruling::Good { .. })).unwrap_or(Ruling::Unfit(why))
        }
    }
}

/// The items as they are if the earliest removals of unknown result take those that are due first.
fn assign<V>(
    operations: &[Operation<BufferAction<V>>],
    all: &Items<V>,
    items: &[Item],
    deadlines: &[u32],
    mutation: Mutation,
) -> Result<Vec<Item>, Contradiction> {
    let before = items;
    let mut items = before.to_vec();
    let stays = |&place: &usize| !items[place].is_sure_to_leave() && items[place].got_begin >= deadlines[place];
    let mut due: Vec<(u32, usize)> = (0..items.len()).filter(stays).map(|place| (deadlines[place], place)).collect();
    // Those without a deadline come last, the first put in first.
    due.sort_unstable();
    if mutation.is(Mutant::TakersLatestFirst) {
        due.reverse();
    }
    for nth in 0..due.len() {
        let (deadline, place) = due[nth];
        let nth_taker = if mutation.is(Mutant::TakersUnlimited) { 0 } else { nth };
        let in_time = |begin: u32| begin < deadline || mutation.is(Mutant::TakersEarly);
        match all.takers.get(nth_taker).filter(|taker| in_time(taker.begin)) {
            Some(_) if mutation.is(Mutant::TakersEarly) => items[place].got_begin = 0,
            Some(taker) => items[place].got_begin = taker.begin.min(items[place].got_begin),
            None if deadline == OPEN => {}
            None => {
                let giver = operations.iter().position(|operation| operation.end == deadline);
                let lost = due[..=nth].iter().map(|&(_, place)| before[place].put);
                let places = lost.chain(giver.map(|place| place as u32));
                return Err(Contradiction::new(deadline, "more-lost-than-removals-in-doubt", places));
            }
        }
    }
    Ok(items)
}
