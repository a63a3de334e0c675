//! What can be placed because an operation is due.

use super::CellMutant;
use super::open::{Kind, Opened, Window, kind_of};
use crate::linear::frontier::Frontier;
use crate::linear::problem::Class;

/// What is being placed: changes that follow from the state that stands, before a blind write and after it; from here on,
/// a block at the moment, with what it leaves.
const FOLLOWING: u32 = 0;
const BEHIND: u32 = 1;
const PAST: u32 = 2;

/// The work of one completion.
pub struct Placing<'a> {
    pub classes: &'a [Class],
    pub window: &'a mut Window,
    pub seen: &'a mut Frontier,
    pub done: &'a mut Frontier,
    /// The row in the making.
    pub row: &'a mut Vec<u32>,
    /// The same without the due operation.
    pub ended: &'a mut Vec<u32>,
    pub steps: &'a mut u64,
    /// The completion, as an event.
    pub now: u32,
    /// Whether nothing in doubt is used.
    pub thrifty: bool,
    /// What is due.
    pub kind: Kind,
    pub due: Opened,
}

/// An operation that can be used next.
#[derive(Clone, Copy)]
enum Choice {
    Open(Opened),
    /// By its column.
    Doubt(usize),
}

impl Placing<'_> {
    /// Sorts configurations: those in which the operation is placed are done.
    pub fn begin(&mut self, rows: &[u32]) {
        let Window { width, head, .. } = *self.window;
        self.seen.reset(width, head);
        self.done.reset(width, head);
        let class = self.classes[self.due.class as usize];
        self.window.aim(self.classes, class, self.kind == Kind::Write);
        for row in rows.chunks_exact(width) {
            self.row.clear();
            self.row.extend_from_slice(row);
            let moment = self.window.moment(row);
            if self.is_placed() {
                self.finish();
            } else if self.kind == Kind::Write && (self.due.begin < moment || self.is(CellMutant::NeverDue)) {
                self.end_at_moment(moment);
                // Or it stands now.
                self.row.copy_from_slice(row);
                self.see();
            } else {
                self.see();
                if self.kind != Kind::Write && self.due.begin < moment && !self.is(CellMutant::NoPast) {
                    self.blinds(row, true);
                }
            }
        }
    }

    /// The write that is due stands at the moment, and with it what it takes along.
    fn end_at_moment(&mut self, moment: u32) {
        let after = self.classes[self.due.class as usize].leaves;
        self.window.set(self.row, Kind::Write, self.due.slot);
        if !self.is(CellMutant::EndingTakesNothing) {
            let before = self.reads_before(moment);
            self.window.place_reads(self.row, self.classes, after, before);
        }
        self.finish();
        if !self.is(CellMutant::EndingBeginsNothing) {
            self.row[0] = PAST + after;
            self.see();
        }
    }

    /// Columns of doubt that may be used.
    fn columns(&self) -> usize {
        if self.thrifty { 0 } else { self.window.columns.len() }
    }

    fn is(&self, mutant: CellMutant) -> bool {
        self.window.mutation.is(mutant)
    }

    /// Reads that began before this can stand at a moment.
    fn reads_before(&self, moment: u32) -> u32 {
        if self.is(CellMutant::ReadsAnyPast) { u32::MAX } else { moment }
    }

    fn is_placed(&self) -> bool {
        self.window.is_placed(self.row, self.kind, self.due.slot)
    }

    fn see(&mut self) {
        let window = &*self.window;
        self.seen.insert(self.row, self.steps, |a, b| window.beats(a, b));
    }

    /// Takes the row in the making for one in which the due operation has ended.
    fn finish(&mut self) {
        let window = &*self.window;
        self.ended.clear();
        self.ended.extend_from_slice(self.row);
        self.ended[0] = FOLLOWING;
        window.clear(self.ended, self.kind, self.due.slot);
        self.done.insert(self.ended, self.steps, |a, b| window.beats(a, b));
    }

    /// Takes away what others can still become: whoever may place a blind write later can do all that the same
    /// configuration can that has placed it now.
    pub fn remove_hasty(&mut self) {
        for number in 0..self.done.len() {
            let columns = self.window.columns.len();
            for choice in 0..columns + self.window.writes.len() {
                if self.done.is_live(number) {
                    self.remove_like(number, choice, columns);
                }
            }
        }
    }

    fn remove_like(&mut self, number: usize, choice: usize, columns: usize) {
        let base = self.done.row(number);
        let (choice, class) = match choice.checked_sub(columns) {
            None => (Choice::Doubt(choice), self.window.columns[choice].class),
            Some(place) => (Choice::Open(self.window.writes[place]), self.window.writes[place].class),
        };
        let class = self.classes[class as usize];
        let is_left = match choice {
            Choice::Doubt(column) => self.window.can_use(base, column, false) || self.is(CellMutant::LaterUncounted),
            Choice::Open(write) => {
                let is_due = self.kind == Kind::Write && write.slot == self.due.slot;
                !is_due && !self.window.is_placed(base, Kind::Write, write.slot)
            }
        };
        if !is_left || kind_of(class) != Kind::Write || class.leaves == base[1] {
            return;
        }
        self.row.clear();
        self.row.extend_from_slice(base);
        if !self.is(CellMutant::LaterUncounted) {
            self.take(choice, Kind::Write, false);
        }
        self.row[1] = class.leaves;
        self.window.set_moment(self.row, self.now);
        self.window.place_reads(self.row, self.classes, class.leaves, u32::MAX);
        let window = &*self.window;
        self.done.remove_beaten(self.row, self.steps, |a, b| window.beats(a, b));
    }

    /// Tries all that can be used next.
    pub fn expand(&mut self, base: &[u32]) {
        let phase = base[0];
        let state = phase.checked_sub(PAST).unwrap_or(base[1]);
        let before = if phase >= PAST { self.past(base) } else { u32::MAX };
        let mut tried = None;
        for place in 0..self.window.swaps.len() {
            let swap = self.window.swaps[place];
            let is_left = swap.begin < before && !self.window.is_placed(base, Kind::Swap, swap.slot);
            if is_left && tried != Some(swap.class) && self.classes[swap.class as usize].accepts(state) {
                tried = Some(swap.class);
                self.follow(base, Choice::Open(swap));
            }
        }
        for column in 0..self.columns() {
            let class = self.classes[self.window.columns[column].class as usize];
            let is_swap = kind_of(class) == Kind::Swap && class.accepts(state) && class.leaves != state;
            if is_swap && self.window.can_use(base, column, phase >= PAST) && self.is_useful(base, class, before) {
                self.follow(base, Choice::Doubt(column));
            }
        }
        if phase == FOLLOWING {
            self.blinds(base, false);
        }
    }

    /// What began before this can stand at a row's moment.
    fn past(&self, row: &[u32]) -> u32 {
        if self.is(CellMutant::PastIgnored) { u32::MAX } else { self.window.moment(row) }
    }

    /// Whether it helps anybody that a swap in doubt happens: it leads to what is due, or something else that is open
    /// accepts what it leaves.
    fn is_useful(&self, row: &[u32], class: Class, before: u32) -> bool {
        let after = class.leaves;
        let accepts = |number: u32| self.classes[number as usize].accepts(after);
        self.window.goal[after as usize]
            || self.window.is_waited_for(row, self.classes, after, before)
            || self.window.swaps.iter().any(|swap| accepts(swap.class))
            || self
                .window
                .columns
                .iter()
                .any(|column| accepts(column.class) && kind_of(self.classes[column.class as usize]) == Kind::Swap)
    }

    /// A swap that follows from the state that stands, or from what the block leaves.
    fn follow(&mut self, base: &[u32], choice: Choice) {
        *self.steps += 1;
        let phase = base[0];
        let is_past = phase >= PAST;
        self.row.clear();
        self.row.extend_from_slice(base);
        let after = self.take(choice, Kind::Swap, is_past);
        let was_placed = self.window.is_placed(base, self.kind, self.due.slot);
        if is_past {
            self.row[0] = PAST + after;
            let before = self.reads_before(self.window.moment(base));
            self.window.place_reads(self.row, self.classes, after, before);
        } else {
            self.row[1] = after;
            self.window.place_reads(self.row, self.classes, after, u32::MAX);
        }
        self.keep(was_placed, phase, after);
    }

    /// A change that an operation makes. What it leaves.
    fn take(&mut self, choice: Choice, kind: Kind, past: bool) -> u32 {
        let class = match choice {
            Choice::Open(opened) => {
                self.window.set(self.row, kind, opened.slot);
                opened.class
            }
            Choice::Doubt(column) => {
                self.window.count(self.row, column, past);
                self.window.columns[column].class
            }
        };
        self.classes[class as usize].leaves
    }

    /// Keeps the row in the making where it may still come to something.
    fn keep(&mut self, was_placed: bool, phase: u32, after: u32) {
        let is_placed = self.is_placed();
        if is_placed {
            self.finish();
        }
        let goes_on = match (is_placed, phase) {
            // The block is closed now: whatever else is to stand in it must be tried.
            (true, PAST..) => !self.is(CellMutant::BlocksEndAtOnce) || was_placed,
            (true, _) => false,
            (false, FOLLOWING) => !self.is(CellMutant::BlindAtOnce) || self.window.goal[after as usize],
            (false, _) => self.window.goal[after as usize],
        };
        if goes_on {
            self.see();
        }
    }

    /// Blind writes: now, or as the beginning of a block at the moment.
    fn blinds(&mut self, base: &[u32], past: bool) {
        let before = if past { self.past(base) } else { u32::MAX };
        let mut tried = None;
        for place in 0..self.window.writes.len() {
            let write = self.window.writes[place];
            let is_left = write.begin < before && !self.window.is_placed(base, Kind::Write, write.slot);
            if is_left && tried != Some(write.class) {
                tried = Some(write.class);
                self.blind(base, Choice::Open(write), write.class, past);
            }
        }
        for column in 0..self.columns() {
            let class = self.window.columns[column].class;
            let is_write = kind_of(self.classes[class as usize]) == Kind::Write;
            // One with an end does the same, and this one can wait.
            let open = |write: &Opened| {
                write.class == class && write.begin < before && !self.window.is_placed(base, Kind::Write, write.slot)
            };
            if is_write && self.window.can_use(base, column, past) && !self.window.writes.iter().any(open) {
                self.blind(base, Choice::Doubt(column), class, past);
            }
        }
    }

    fn blind(&mut self, base: &[u32], choice: Choice, class: u32, past: bool) {
        let after = self.classes[class as usize].leaves;
        let is_due = matches!(choice, Choice::Open(write) if self.kind == Kind::Write && write.slot == self.due.slot);
        if !is_due && !self.window.goal[after as usize] {
            return;
        }
        *self.steps += 1;
        self.row.clear();
        self.row.extend_from_slice(base);
        self.take(choice, Kind::Write, past);
        if past {
            self.row[0] = PAST + after;
            let before = self.reads_before(self.window.moment(base));
            self.window.place_reads(self.row, self.classes, after, before);
            self.keep(false, PAST, after);
        } else {
            self.row[0] = BEHIND;
            self.row[1] = after;
            self.window.set_moment(self.row, self.now);
            self.window.place_reads(self.row, self.classes, after, u32::MAX);
            self.keep(false, BEHIND, after);
        }
    }
}
