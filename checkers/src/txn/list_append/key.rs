//! What was read of one key: which list is its order, how far that is certain, and what is wrong with it.

use schism_history::{MicroValue, ValueId};

use super::columns::{Append, Columns, DEVIANT, NONE, Reading};
use super::mutant::{Mutant, Mutation};
use super::table::Table;
use crate::txn::txns::{TxnId, Txns};

/// What all keys share.
#[derive(Clone, Copy)]
pub(super) struct Context<'a, 'h> {
    pub txns: &'a Txns<'h>,
    pub columns: &'a Columns,
    pub mutation: Mutation,
}

impl<'a> Context<'a, '_> {
    pub fn appends(self, key: u32) -> &'a [Append] {
        let starts = &self.columns.append_starts;
        &self.columns.appends[starts[key as usize] as usize..starts[key as usize + 1] as usize]
    }

    pub fn readings(self, key: u32) -> &'a [Reading] {
        let starts = &self.columns.reading_starts;
        &self.columns.readings[starts[key as usize] as usize..starts[key as usize + 1] as usize]
    }

    /// Owners from here on failed.
    pub fn failed_from(self) -> u32 {
        self.txns.len() as u32
    }

    /// Owners from here on are in doubt or failed.
    pub fn doubt_from(self) -> u32 {
        self.txns.ok_count()
    }
}

/// What is wrong with a list: positions, or [`NONE`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Scan {
    /// The first element of a failed transaction.
    pub failed: u32,
    /// The first element after that which is of another.
    pub dirty: u32,
    /// The first element that nobody appended.
    pub garbage: u32,
    /// The first element that is in the list before.
    pub repeated: u32,
}

impl Scan {
    /// A list of so many elements has something wrong.
    pub fn is_bad(&self, length: usize) -> bool {
        length > self.failed.min(self.garbage).min(self.repeated) as usize
    }
}

/// A list that was read and is no prefix of the history's list of the key.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deviant<'h> {
    pub list: &'h [ValueId],
    pub scan: Scan,
    /// How much of it agrees with the longest list.
    pub common: usize,
}

/// A key, looked at. Used again for the next.
pub(super) struct KeyView<'h> {
    pub table: Table,
    /// The history's list of the key, as far as it was read by transactions that ended well.
    pub list: &'h [ValueId],
    pub scan: Scan,
    /// How much of `list` agrees with the longest list.
    pub list_common: usize,
    /// In the order of their readings.
    pub deviants: Vec<Deviant<'h>>,
    /// The longest list that was read by transactions that ended well.
    pub longest: &'h [ValueId],
    /// So many of its elements are in an order that no read contradicts.
    pub certain: usize,
    /// Whether no two reads contradict each other, no element is repeated, and all are of one append.
    pub is_clean: bool,
    /// By place in the table: where the element is in `list`, or [`NONE`].
    pub positions: Vec<u32>,
    /// By place in the table: the number of the last scan that saw it.
    seen: Vec<u32>,
    /// By place in the table: whether it is an element of a failed transaction that others wrote over.
    dirty: Vec<bool>,
    /// How many of these.
    pub dirty_count: u64,
    /// By place in the table: whether it has its place in the order.
    pub is_ordered: Vec<bool>,
    /// Places in the table of the certain elements of committed transactions, in order.
    pub order: Vec<u32>,
    /// By length of a list that is certain: how many of `order` it has.
    pub ranks: Vec<u32>,
}

impl<'h> KeyView<'h> {
    pub fn new() -> KeyView<'h> {
        let scan = Scan { failed: NONE, dirty: NONE, garbage: NONE, repeated: NONE };
        KeyView {
            table: Table::default(),
            list: &[],
            scan,
            list_common: 0,
            deviants: Vec::new(),
            longest: &[],
            certain: 0,
            is_clean: true,
            positions: Vec::new(),
            seen: Vec::new(),
            dirty: Vec::new(),
            dirty_count: 0,
            is_ordered: Vec::new(),
            order: Vec::new(),
            ranks: Vec::new(),
        }
    }

    /// Looks at a key.
    pub fn settle(&mut self, context: Context<'_, 'h>, key: u32) {
        let appends = context.appends(key);
        self.table.fill(appends, context.failed_from());
        self.seen.clear();
        self.seen.resize(appends.len(), 0);
        self.dirty.clear();
        self.dirty_count = 0;
        self.positions.clear();
        self.positions.resize(appends.len(), NONE);
        self.deviants.clear();
        let whole = context.txns.history().txn_list(key);
        let length = context.columns.lengths[key as usize] as usize;
        self.list = if context.mutation.is(Mutant::LengthOfAnybody) { whole } else { &whole[..length] };
        self.scan = self.scan_list(context, appends, self.list, 1);
        (self.longest, self.list_common, self.certain) = (self.list, self.list.len(), self.list.len());
        let mut repeated = self.scan.repeated;
        if context.columns.marks[key as usize].has_deviant && !context.mutation.is(Mutant::DeviantFits) {
            repeated = self.settle_deviants(context, key);
        }
        let is_one_order = self.certain == self.longest.len();
        self.is_clean = is_one_order && repeated == NONE && self.table.clash.is_none();
        if !context.mutation.is(Mutant::OrderGoesOn) {
            self.certain = self.certain.min(repeated as usize);
        }
    }

    /// Takes lists that stand apart; where the longest repeats an element.
    fn settle_deviants(&mut self, context: Context<'_, 'h>, key: u32) -> u32 {
        let appends = context.appends(key);
        for reading in context.readings(key).iter().filter(|reading| reading.length == DEVIANT) {
            let micro = context.txns.txn(reading.reader).micro(reading.micro() as usize);
            let MicroValue::Deviant(list) = micro.value else { continue };
            let number = self.deviants.len() as u32 + 2;
            let scan = self.scan_list(context, appends, list, number);
            self.deviants.push(Deviant { list, scan, common: 0 });
        }
        let mut repeated = self.scan.repeated;
        for deviant in &self.deviants {
            if deviant.list.len() > self.longest.len() {
                self.longest = deviant.list;
                repeated = deviant.scan.repeated;
            }
        }
        let longest = self.longest;
        let mut certain = longest.len();
        let mut compare = |list: &[ValueId]| {
            let common = common_length(list, longest);
            if common < list.len() {
                certain = certain.min(common);
            }
            common
        };
        self.list_common = compare(self.list);
        for deviant in &mut self.deviants {
            deviant.common = compare(deviant.list);
        }
        self.certain = certain;
        repeated
    }

    /// Looks at each element of a list; the first scan of a key is of the history's list.
    fn scan_list(&mut self, context: Context<'_, 'h>, appends: &[Append], list: &[ValueId], number: u32) -> Scan {
        let mut scan = Scan { failed: NONE, dirty: NONE, garbage: NONE, repeated: NONE };
        let failed_from = if context.mutation.is(Mutant::FailedFits) { NONE } else { context.failed_from() };
        for (at, element) in list.iter().enumerate() {
            let at = at as u32;
            let mut place = self.table.get(element.number());
            if place == NONE {
                place = self.table.add_garbage(element.number());
                self.seen.push(0);
                self.positions.push(NONE);
            }
            if std::mem::replace(&mut self.seen[place as usize], number) == number {
                if !self.table.is_ambiguous(place) {
                    scan.repeated = scan.repeated.min(at);
                }
            } else if number == 1 {
                self.positions[place as usize] = at;
            }
            match appends.get(place as usize) {
                None => scan.garbage = scan.garbage.min(at),
                Some(append) if append.owner >= failed_from => scan.failed = scan.failed.min(at),
                Some(_) if scan.failed != NONE => scan.dirty = scan.dirty.min(at),
                Some(_) => {}
            }
        }
        if scan.dirty != NONE {
            self.count_dirty(context, appends, list);
        }
        scan
    }

    /// Counts elements of failed transactions that stand before one of another, each once.
    fn count_dirty(&mut self, context: Context<'_, 'h>, appends: &[Append], list: &[ValueId]) {
        self.dirty.resize(appends.len(), false);
        let mut is_over = false;
        let mut is_next = false;
        for element in list.iter().rev() {
            let place = self.table.get(element.number()) as usize;
            let Some(append) = appends.get(place) else { continue };
            let is_failed = append.owner >= context.failed_from();
            let counts = if context.mutation.is(Mutant::DirtyNextOnly) { is_next } else { is_over };
            if is_failed && counts && !std::mem::replace(&mut self.dirty[place], true) {
                self.dirty_count += 1;
            }
            is_over |= !is_failed;
            is_next = !is_failed;
        }
    }

    /// The transactions in doubt of whose elements one was read.
    pub fn seen_doubt(&self, context: Context<'_, 'h>, key: u32, seen: &mut Vec<TxnId>) {
        let range = context.doubt_from()..context.failed_from();
        for (place, append) in context.appends(key).iter().enumerate() {
            if range.contains(&append.owner) && self.seen[place] != 0 && !self.table.is_ambiguous(place as u32) {
                seen.push(append.owner);
            }
        }
    }

    /// Numbers the certain elements of transactions that did not fail; an element that was read is of a committed one.
    pub fn rank(&mut self, context: Context<'_, 'h>, key: u32) {
        let appends = context.appends(key);
        self.order.clear();
        self.ranks.clear();
        self.is_ordered.clear();
        self.is_ordered.resize(appends.len(), false);
        for element in &self.longest[..self.certain] {
            self.ranks.push(self.order.len() as u32);
            let place = self.table.get(element.number());
            if let Some(append) = appends.get(place as usize)
                && !self.table.is_ambiguous(place)
                && append.owner < context.failed_from()
            {
                self.order.push(place);
                self.is_ordered[place as usize] = true;
            }
        }
        self.ranks.push(self.order.len() as u32);
    }
}

/// How many elements two lists have in common at their beginning.
fn common_length(a: &[ValueId], b: &[ValueId]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}
