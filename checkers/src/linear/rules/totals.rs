//! Fetch-and-add: the answers give the order.
//!
//! Where every addition adds something, the total only grows, so each value stands once. An addition that answered `b` and
//! added `n` takes the total from `b` to `b + n`: no two can have answered the same, and nothing can have seen a value in
//! between. Sorted by value, operations stand in layers ([`super::layers`]): what saw `b`, then who took it from there.
//!
//! **Doubt.** Between the total so far and the next value that was seen there may be a gap. Only additions in doubt can fill
//! it; and as everything that happens changes the total for good, they happen nowhere else before the last value seen, so
//! without a gap they can as well not have happened. Where all in doubt add the same, a gap tells how many are in it. Of those
//! the earliest begun are taken, the earlier for the earlier places: everything behind a place must not have ended before its
//! addition began, which asks the more of an addition the earlier its place is. (One whose answer is
//! known, as of a history that is cut off, fits in one place alone, and is taken there if it is in time.)
//!
//! Cost: O(n log n) time, about 40 bytes an operation. Not for it: amounts below 0, and gaps with additions in doubt of
//! different amounts.

use schism_history::OpIndex;

use super::layers::{Latest, at, last_end};
use crate::linear::models::fetch_add::FetchAddAction;
use crate::linear::mutant::Mutation;
use crate::linear::ruling::{Certificate, Ruling};
use crate::linear::split::{OPEN, Operation};

const ALGORITHM: &str = "totals";

/// Defects that the tests must notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(not(test), allow(dead_code))]
pub(crate) enum Mutant {
    /// Two additions may answer the same.
    TwiceFromOne,
    /// A read may see a value in the middle of an addition.
    InTheMiddle,
    /// Gaps are no matter.
    GapsIgnored,
    /// Gaps cannot be.
    NoGaps,
    /// A gap may be filled by any number of additions.
    GapsBottomless,
    /// Additions in doubt fill gaps the latest first.
    LatestFills,
    /// Additions in doubt fill gaps before they begin.
    FillsBeforeBegin,
    /// Those with a known answer fill any gap.
    KnownAnywhere,
    /// Those with a known answer fill no gap.
    KnownNowhere,
    /// Real time tells nothing.
    RealTimeIgnored,
    /// Reads of a value stand behind who took it from there.
    ReadsBehind,
}

/// Something that certainly happened: saw a value, and maybe added to it.
#[derive(Debug, Clone, Copy)]
struct Seen {
    value: i128,
    amount: i64,
    place: u32,
}

/// An addition that may have happened.
#[derive(Debug, Clone, Copy)]
struct Doubt {
    /// Its answer, if it is known.
    before: Option<i128>,
    begin: OpIndex,
    place: u32,
}

/// One step of the order.
#[derive(Debug, Clone, Copy)]
enum Item {
    /// Something that certainly happened, in a layer of its own value.
    Sure(Seen),
    /// Whoever in doubt took the total from this value.
    Gap(i128),
}

/// Why it ends early.
enum Early {
    Bad(OpIndex, &'static str, Vec<u32>),
    Unfit(&'static str),
}

struct Totals<'a> {
    operations: &'a [Operation<FetchAddAction>],
    seen: Vec<Seen>,
    /// In order of invocation.
    doubts: Vec<Doubt>,
    /// What all in doubt add; `None`: different amounts.
    amount: Option<i64>,
    mutation: Mutation<Mutant>,
}

/// Decides operations in order of invocation.
pub(crate) fn rule(operations: &[Operation<FetchAddAction>], mutation: Mutation<Mutant>) -> Ruling {
    let mut totals = Totals {
        operations,
        seen: Vec::with_capacity(operations.len()),
        doubts: Vec::new(),
        amount: Some(0),
        mutation,
    };
    match totals.run() {
        Ok(()) => Ruling::Good { algorithm: ALGORITHM },
        Err(Early::Bad(at, pattern, places)) => {
            Ruling::Bad { algorithm: ALGORITHM, at, certificate: Some(Certificate { pattern, places }) }
        }
        Err(Early::Unfit(why)) => Ruling::Unfit(why),
    }
}

impl Totals<'_> {
    fn run(&mut self) -> Result<(), Early> {
        self.gather()?;
        // Reads of a value stand before who took it from there; these stand by themselves.
        let behind = self.mutation.is(Mutant::ReadsBehind);
        self.seen.sort_by_key(|seen| (seen.value, (seen.amount > 0) != behind));
        let items = self.items()?;
        self.check(&items)
    }

    fn gather(&mut self) -> Result<(), Early> {
        for (place, operation) in self.operations.iter().enumerate() {
            let place = place as u32;
            match operation.action {
                FetchAddAction::FetchAdd { amount, .. } if amount < 0 => {
                    return Err(Early::Unfit("an amount below zero"));
                }
                FetchAddAction::FetchAdd { amount: 0, .. } | FetchAddAction::Read(_) if operation.in_doubt() => {}
                FetchAddAction::FetchAdd { amount, before } if operation.in_doubt() => {
                    if self.doubts.is_empty() {
                        self.amount = Some(amount);
                    }
                    self.amount = self.amount.filter(|&other| other == amount);
                    self.doubts.push(Doubt { before, begin: operation.invoke, place });
                }
                FetchAddAction::FetchAdd { before: None, .. } => {
                    return Err(Early::Unfit("an addition without an answer"));
                }
                FetchAddAction::FetchAdd { amount, before: Some(value) } => {
                    self.seen.push(Seen { value, amount, place });
                }
                FetchAddAction::Read(value) => self.seen.push(Seen { value, amount: 0, place }),
            }
        }
        Ok(())
    }

    fn of(&self, place: u32) -> &Operation<FetchAddAction> {
        &self.operations[place as usize]
    }

    /// When two that certainly happened have ended.
    fn both(&self, first: u32, second: u32) -> OpIndex {
        at(self.of(first), self.of(second), last_end(self.operations))
    }

    /// Everything in its order, with the gaps.
    fn items(&self) -> Result<Vec<Item>, Early> {
        let mut items = Vec::with_capacity(self.seen.len());
        // The total so far, and who left it.
        let (mut total, mut left) = (0, None::<Seen>);
        for &seen in &self.seen {
            if seen.value < total
                && let Some(before) = left
                && !(self.mutation.is(Mutant::TwiceFromOne) && before.value == seen.value)
                && !(self.mutation.is(Mutant::InTheMiddle) && before.value < seen.value)
            {
                let pattern = match seen.amount > 0 && before.value == seen.value {
                    true => "two-from-one-value",
                    false => "value-stepped-over",
                };
                return Err(Early::Bad(self.both(before.place, seen.place), pattern, vec![before.place, seen.place]));
            }
            if seen.value < 0 {
                return Err(Early::Bad(self.of(seen.place).end, "value-never-reached", vec![seen.place]));
            }
            self.fill(total, seen, &mut items)?;
            items.push(Item::Sure(seen));
            total = total.max(seen.value);
            if seen.amount > 0 {
                total = total.max(seen.value + i128::from(seen.amount));
                left = Some(seen);
            }
        }
        Ok(items)
    }

    /// The places of additions in doubt between the total and a value that was seen.
    fn fill(&self, total: i128, seen: Seen, items: &mut Vec<Item>) -> Result<(), Early> {
        let gap = seen.value - total;
        if gap <= 0 || self.mutation.is(Mutant::GapsIgnored) {
            return Ok(());
        }
        let never = || Early::Bad(last_end(self.operations), "value-never-reached", vec![seen.place]);
        if self.doubts.is_empty() || self.mutation.is(Mutant::NoGaps) {
            return Err(never());
        }
        let why = "a gap between answers, and additions in doubt of different amounts";
        let amount = i128::from(self.amount.ok_or(Early::Unfit(why))?);
        let enough = gap / amount <= self.doubts.len() as i128 || self.mutation.is(Mutant::GapsBottomless);
        if gap % amount != 0 || !enough {
            return Err(never());
        }
        items.extend((0..gap / amount).map(|step| Item::Gap(total + step * amount)));
        Ok(())
    }

    /// Whether real time allows the order, with additions in doubt in its gaps.
    fn check(&self, items: &[Item]) -> Result<(), Early> {
        let fillers = self.fillers(items)?;
        let mut fillers = fillers.iter();
        let mut latest = Latest::default();
        let mut from = 0;
        while from < items.len() {
            // A layer: a gap, one addition, or all that saw a value.
            let Item::Sure(first) = items[from] else {
                if let Some(&place) = fillers.next().filter(|_| !self.mutation.is(Mutant::FillsBeforeBegin)) {
                    latest.take(place, self.of(place));
                }
                from += 1;
                continue;
            };
            let same = |item: &&Item| match item {
                Item::Sure(seen) => seen.value == first.value && seen.amount == 0 && first.amount == 0,
                Item::Gap(_) => false,
            };
            let until = from + items[from..].iter().take_while(same).count().max(1);
            let layer = || {
                items[from..until].iter().filter_map(|item| match item {
                    Item::Sure(seen) => Some(seen.place),
                    Item::Gap(_) => None,
                })
            };
            for place in layer() {
                if let Some(earlier) = latest.excludes(self.of(place)).filter(|_| !self.ignores_time()) {
                    let places = vec![earlier, place];
                    return Err(Early::Bad(self.both(earlier, place), "answered-out-of-order", places));
                }
            }
            layer().for_each(|place| latest.take(place, self.of(place)));
            from = until;
        }
        Ok(())
    }

    fn ignores_time(&self) -> bool {
        self.mutation.is(Mutant::RealTimeIgnored)
    }

    /// Who fills the gaps, in order.
    fn fillers(&self, items: &[Item]) -> Result<Vec<u32>, Early> {
        let gaps = items.iter().filter(|item| matches!(item, Item::Gap(_))).count();
        if gaps == 0 {
            return Ok(Vec::new());
        }
        // For each gap, the last first: its value, the earliest completion of what stands behind it, and who that is.
        let mut wanted: Vec<(i128, OpIndex, u32)> = Vec::with_capacity(gaps);
        let (mut due, mut who) = (OPEN, 0);
        for item in items.iter().rev() {
            match *item {
                Item::Gap(value) => wanted.push((value, due, who)),
                Item::Sure(seen) if self.of(seen.place).end < due || due == OPEN => {
                    (due, who) = (self.of(seen.place).end, seen.place);
                }
                Item::Sure(_) => {}
            }
        }
        wanted.reverse();
        self.assign(&wanted)
    }

    fn assign(&self, wanted: &[(i128, OpIndex, u32)]) -> Result<Vec<u32>, Early> {
        let anywhere = self.mutation.is(Mutant::KnownAnywhere);
        let free = |doubt: &&Doubt| doubt.before.is_none() || anywhere;
        let mut free: Vec<&Doubt> = self.doubts.iter().filter(free).collect();
        if self.mutation.is(Mutant::LatestFills) {
            free.reverse();
        }
        let nowhere = self.mutation.is(Mutant::KnownNowhere) || anywhere;
        let mut known: Vec<(i128, &Doubt)> = self
            .doubts
            .iter()
            .filter_map(|doubt| doubt.before.filter(|_| !nowhere).map(|value| (value, doubt)))
            .collect();
        // Stable: of those with the same answer the first begun stands first.
        known.sort_by_key(|&(value, _)| value);
        let mut free = free.into_iter();
        let mut fillers = Vec::with_capacity(wanted.len());
        let in_time = |doubt: &Doubt, due| doubt.begin < due || self.mutation.is(Mutant::FillsBeforeBegin);
        for &(value, due, behind) in wanted {
            let at = known.partition_point(|&(other, _)| other < value);
            let fits = known.get(at).filter(|(other, doubt)| *other == value && in_time(doubt, due));
            let filler = fits.map(|(_, doubt)| *doubt).or_else(|| free.next());
            let bottomless = self.mutation.is(Mutant::GapsBottomless);
            let filler = filler.or_else(|| self.doubts.first().filter(|_| bottomless));
            match filler.filter(|doubt| in_time(doubt, due)) {
                Some(doubt) => fillers.push(doubt.place),
                None => {
                    return Err(Early::Bad(last_end(self.operations), "value-never-reached", vec![behind]));
                }
            }
        }
        Ok(fillers)
    }
}
