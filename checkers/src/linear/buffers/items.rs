//! From operations on a container to items: each put with the removal that took out what it put in.
//!
//! - A removal of what nobody had begun to put in, or more removals of a value than puts of it, is a contradiction; the value
//!   is then left out, so that others may still be found that come to light earlier.
//! - **Doubt.** A put in doubt of what was never surely taken out can as well not have happened; if it was taken out, the put has
//!   happened, at any time after its invocation.
//! - **Values that come again.** Two operations that do the same are interchangeable where one neither begins before nor
//!   ends after the other: exchanged in an order, they would still stand in their own time. So where puts of a value begin
//!   and end in the same order, and removals of it do so too, they may be taken to stand in that order. Where it does not
//!   matter which of two equal values comes out (all but stacks), the first put then belongs to the first removal. Otherwise,
//!   and where a removal of unknown result may have taken one of several equal values, who belongs to whom is **guessed**:
//!   if the items then have an order, so has the history; if they have none, another guess might have one.
//!
//! Cost: O(n) expected, and sorting of the removals of each repeated value.

use std::collections::VecDeque;
use std::hash::Hash;

use rustc_hash::FxHashMap;
use schism_history::OpIndex;

use super::Mutation;
use super::mutant::Mutant;
use crate::linear::models::buffer::BufferAction;
use crate::linear::ruling::{Certificate, Ruling};
use crate::linear::split::{OPEN, Operation};

/// No operation.
pub(crate) const NONE: u32 = u32::MAX;
/// A put that is left out.
const LEFT_OUT: u32 = u32::MAX - 1;
/// Operations that a certificate names at most: more tell a person nothing.
const CERTIFICATE_MAX: usize = 64;

const REPEATED: &str = "a value that was taken out was put in twice";
const REPEATED_IN_DOUBT: &str = "a removal in doubt may have taken one of several equal values";

/// A put and the removal that belongs to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Item {
    /// Place of the put, and of the removal or [`NONE`].
    pub put: u32,
    pub got: u32,
    /// The number of the value.
    pub value: u32,
    /// The put; an end that is not there is [`OPEN`].
    pub put_begin: u32,
    pub put_end: u32,
    /// The removal; [`OPEN`] if there is none.
    pub got_begin: u32,
    pub got_end: u32,
}

impl Item {
    /// Whether there is a moment at which it is surely inside.
    pub fn is_surely_inside(&self) -> bool {
        self.put_end < self.got_begin
    }

    /// Whether it surely came out.
    pub fn is_sure_to_leave(&self) -> bool {
        self.got_end != OPEN
    }
}

/// An answer "empty".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Empty {
    pub place: u32,
    pub begin: u32,
    pub end: u32,
}

/// A removal in doubt of unknown result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Taker {
    pub begin: u32,
}

/// Operations that exclude each other, and the completion at which that shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Contradiction {
    pub at: OpIndex,
    pub pattern: &'static str,
    /// Places; empty where they are too many.
    pub places: Vec<u32>,
}

impl Contradiction {
    pub fn new(at: OpIndex, pattern: &'static str, places: impl IntoIterator<Item = u32>) -> Contradiction {
        let mut places: Vec<u32> =
            places.into_iter().filter(|&place| place != NONE).take(CERTIFICATE_MAX + 1).collect();
        if places.len() > CERTIFICATE_MAX {
            places.clear();
        }
        Contradiction { at, pattern, places }
    }

    pub fn ruling(self, algorithm: &'static str) -> Ruling {
        let Contradiction { at, pattern, places } = self;
        let certificate = (!places.is_empty()).then_some(Certificate { pattern, places });
        Ruling::Bad { algorithm, at, certificate }
    }
}

/// The one that shows first.
pub(crate) fn earlier(one: Option<Contradiction>, other: Option<Contradiction>) -> Option<Contradiction> {
    [one, other].into_iter().flatten().min_by_key(|contradiction| contradiction.at)
}

/// What a container asks of its items.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kind {
    /// Whether the first of equal values that was put in may be taken for the first that came out.
    pub repeats: bool,
    /// Whether removals of unknown result matter although nobody found it empty.
    pub takers: bool,
}

/// What was done to a container.
#[derive(Debug)]
pub(crate) struct Items<V> {
    /// In order of the puts' invocations.
    pub items: Vec<Item>,
    /// The values by number.
    pub values: Vec<V>,
    /// In order of invocation.
    pub takers: Vec<Taker>,
    /// In order of invocation.
    pub empties: Vec<Empty>,
    /// A value that came out of nothing, or too often.
    pub broken: Option<Contradiction>,
    /// By number, the values of which it was guessed who belongs to whom; and why.
    pub guessed: Vec<bool>,
    pub unfit: Option<&'static str>,
}

/// Places of operations by the number of their value, in order of invocation.
struct Buckets {
    starts: Vec<u32>,
    places: Vec<u32>,
}

impl Buckets {
    fn new(pairs: &[(u32, u32)], values: usize) -> Buckets {
        let mut starts = vec![0u32; values + 1];
        for &(value, _) in pairs {
            starts[value as usize + 1] += 1;
        }
        for value in 0..values {
            starts[value + 1] += starts[value];
        }
        let mut next = starts.clone();
        let mut places = vec![0; pairs.len()];
        for &(value, place) in pairs {
            places[next[value as usize] as usize] = place;
            next[value as usize] += 1;
        }
        Buckets { starts, places }
    }

    fn of(&self, value: usize) -> &[u32] {
        &self.places[self.starts[value] as usize..self.starts[value + 1] as usize]
    }
}

struct Pairing<'a, V> {
    operations: &'a [Operation<BufferAction<V>>],
    kind: Kind,
    has_takers: bool,
    puts: Buckets,
    gots: Buckets,
    /// For each put (in the order of its bucket) the place of its removal, [`NONE`] or [`LEFT_OUT`].
    partners: Vec<u32>,
    broken: Option<Contradiction>,
    mutation: Mutation,
}

impl<V: Copy + Eq + Hash> Items<V> {
    /// Pairs puts and removals.
    pub fn new(operations: &[Operation<BufferAction<V>>], kind: Kind, mutation: Mutation) -> Items<V> {
        let mut numbers: FxHashMap<V, u32> =
            FxHashMap::with_capacity_and_hasher(operations.len() / 2, Default::default());
        let mut values = Vec::new();
        let mut number = |value: V| {
            *numbers.entry(value).or_insert_with(|| {
                values.push(value);
                values.len() as u32 - 1
            })
        };
        let (mut puts, mut gots) = (Vec::new(), Vec::new());
        let (mut takers, mut empties) = (Vec::new(), Vec::new());
        for (place, operation) in operations.iter().enumerate() {
            let (place, begin, end) = (place as u32, operation.invoke, operation.end);
            match operation.action {
                BufferAction::Put(value) => puts.push((number(value), place)),
                BufferAction::Got(value) => gots.push((number(value), place)),
                BufferAction::Empty if operation.in_doubt() => {}
                BufferAction::Empty => empties.push(Empty { place, begin, end }),
                BufferAction::Took => takers.push(Taker { begin }),
            }
        }
        if (!kind.takers && empties.is_empty()) || mutation.is(Mutant::TakersIgnored) {
            takers.clear();
        }
        let mut pairing = Pairing {
            operations,
            kind,
            has_takers: !takers.is_empty(),
            partners: vec![NONE; puts.len()],
            puts: Buckets::new(&puts, values.len()),
            gots: Buckets::new(&gots, values.len()),
            broken: None,
            mutation,
        };
        let (mut guessed, mut unfit) = (vec![false; values.len()], None);
        for (value, guessed) in guessed.iter_mut().enumerate() {
            if let Err(why) = pairing.pair(value) {
                (unfit, *guessed) = (Some(why), true);
                pairing.guess(value);
            }
        }
        let mut items = Vec::with_capacity(puts.len());
        let mut next = pairing.puts.starts.clone();
        for (value, put) in puts {
            let got = pairing.partners[next[value as usize] as usize];
            next[value as usize] += 1;
            if got != LEFT_OUT {
                items.push(pairing.item(put, got, value));
            }
        }
        Items { items, values, takers, empties, broken: pairing.broken, guessed, unfit }
    }
}

impl<V: Copy> Pairing<'_, V> {
    fn begin(&self, place: u32) -> u32 {
        self.operations[place as usize].invoke
    }

    fn end(&self, place: u32) -> u32 {
        self.operations[place as usize].end
    }

    fn item(&self, put: u32, got: u32, value: u32) -> Item {
        let (got_begin, got_end) = if got == NONE { (OPEN, OPEN) } else { (self.begin(got), self.end(got)) };
        let (mut item, mutation) = (
            Item { put, got, value, put_begin: self.begin(put), put_end: self.end(put), got_begin, got_end },
            self.mutation,
        );
        if mutation.is(Mutant::InsideTooEarly) {
            item.put_end = item.put_begin;
        }
        if mutation.is(Mutant::DoubtEndsAtOnce) && item.put_end == OPEN {
            item.put_end = item.put_begin;
        }
        if mutation.is(Mutant::InsideTooLong) {
            item.got_begin = item.got_end;
        }
        if mutation.is(Mutant::PendingNever) && item.got_end == OPEN {
            item.got_begin = OPEN;
        }
        if mutation.is(Mutant::PendingSure) && item.got_end == OPEN && got != NONE {
            item.got_end = item.got_begin + 1;
        }
        item
    }

    /// Whether operations, which stand in order of invocation, also end in that order.
    fn is_in_order(&self, places: &[u32]) -> bool {
        places.windows(2).all(|pair| self.end(pair[0]) <= self.end(pair[1]))
            || self.mutation.is(Mutant::RepeatsAnyOrder)
    }

    fn leave_out(&mut self, value: usize) {
        let (from, to) = (self.puts.starts[value] as usize, self.puts.starts[value + 1] as usize);
        self.partners[from..to].fill(LEFT_OUT);
    }

    /// Finds the partners of a value's puts.
    fn pair(&mut self, value: usize) -> Result<(), &'static str> {
        // Most values are put in once and taken out once: nothing to sort.
        if let (&[put], &[got]) = (self.puts.of(value), self.gots.of(value))
            && self.begin(put) < self.end(got)
            && self.end(got) != OPEN
        {
            self.partners[self.puts.starts[value] as usize] = got;
            return Ok(());
        }
        let puts = self.puts.of(value).to_vec();
        let (sure, pending): (Vec<u32>, Vec<u32>) =
            self.gots.of(value).iter().copied().partition(|&place| self.end(place) != OPEN);
        let first = self.puts.starts[value] as usize;
        if let Some(broken) = self.out_of_nothing(&puts, &sure) {
            self.broken = earlier(self.broken.take(), Some(broken));
            self.leave_out(value);
            return Ok(());
        }
        if sure.is_empty() {
            return self.pair_pending(first, &puts, &pending);
        }
        if let [_] = puts.as_slice() {
            self.partners[first] = sure[0];
            return Ok(());
        }
        if !self.kind.repeats {
            return Err(REPEATED);
        }
        if self.has_takers && puts.len() > sure.len() && !self.mutation.is(Mutant::RepeatsWithTakers) {
            return Err(REPEATED_IN_DOUBT);
        }
        let last = sure.last().map_or(0, |&place| self.begin(place));
        if !self.is_in_order(&puts)
            || !self.is_in_order(&sure)
            || pending.first().is_some_and(|&place| self.begin(place) < last)
        {
            return Err(REPEATED);
        }
        for (nth, &put) in puts.iter().enumerate() {
            self.partners[first + nth] = match sure.get(nth).or_else(|| pending.get(nth - sure.len())) {
                _ if nth >= sure.len() && self.end(put) == OPEN => LEFT_OUT,
                Some(&got) => got,
                None => NONE,
            };
        }
        Ok(())
    }

    /// Guesses the partners of a value's puts: the first for the first, or for stacks the last for the first. Puts in doubt
    /// only where there are not enough others.
    fn guess(&mut self, value: usize) {
        let first = self.puts.starts[value] as usize;
        let puts = self.puts.of(value).to_vec();
        let (mut sure, pending): (Vec<u32>, Vec<u32>) =
            self.gots.of(value).iter().copied().partition(|&place| self.end(place) != OPEN);
        sure.sort_unstable_by_key(|&place| self.end(place));
        let mut partners = vec![NONE; puts.len()];
        // Nobody takes what has not begun to be put in: more puts have begun at any removal's end than removals have ended.
        let (mut certain, mut doubtful) = (VecDeque::new(), VecDeque::new());
        let mut begun = 0;
        for got in sure {
            while begun < puts.len() && self.begin(puts[begun]) < self.end(got) {
                let queue = if self.end(puts[begun]) == OPEN { &mut doubtful } else { &mut certain };
                queue.push_back(begun);
                begun += 1;
            }
            let queue = if certain.is_empty() { &mut doubtful } else { &mut certain };
            if let Some(put) = if self.kind.repeats { queue.pop_front() } else { queue.pop_back() } {
                partners[put] = got;
            }
        }
        let mut pending = pending.into_iter();
        for (nth, &put) in puts.iter().enumerate() {
            self.partners[first + nth] = match partners[nth] {
                NONE if self.end(put) == OPEN => LEFT_OUT,
                NONE => pending.next().unwrap_or(NONE),
                got => got,
            };
        }
    }

    /// A value that nobody surely took out: puts in doubt are left out.
    fn pair_pending(&mut self, first: usize, puts: &[u32], pending: &[u32]) -> Result<(), &'static str> {
        let is_left_out = |pairing: &Self, put| pairing.end(put) == OPEN;
        let kept: Vec<u32> = puts.iter().copied().filter(|&put| !is_left_out(self, put)).collect();
        if kept.len() > 1 && !pending.is_empty() {
            if !self.kind.repeats || !self.is_in_order(&kept) {
                return Err(REPEATED);
            }
            if self.has_takers {
                return Err(REPEATED_IN_DOUBT);
            }
        }
        let mut pending = pending.iter();
        for (nth, &put) in puts.iter().enumerate() {
            self.partners[first + nth] = match is_left_out(self, put) {
                true => LEFT_OUT,
                false => pending.next().copied().unwrap_or(NONE),
            };
        }
        Ok(())
    }

    /// Whether at some removal's end more removals have ended than puts begun.
    fn out_of_nothing(&self, puts: &[u32], sure: &[u32]) -> Option<Contradiction> {
        let mut by_end = sure.to_vec();
        by_end.sort_unstable_by_key(|&place| self.end(place));
        let is_early = |nth: usize, got: u32| match puts.get(nth) {
            Some(&put) => self.begin(put) > self.end(got) && !self.mutation.is(Mutant::OutBeforeIn),
            None => puts.is_empty() || !self.mutation.is(Mutant::OutTwice),
        };
        let nth = (0..by_end.len()).find(|&nth| is_early(nth, by_end[nth]))?;
        let pattern = match (puts.len(), nth) {
            (0, _) => "out-of-nothing",
            (_, 0) => "out-before-in",
            _ => "out-too-often",
        };
        let places = puts[..puts.len().min(nth + 1)].iter().chain(&by_end[..=nth]).copied();
        Some(Contradiction::new(self.end(by_end[nth]), pattern, places))
    }
}
