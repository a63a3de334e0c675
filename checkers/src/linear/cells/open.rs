//! What is open at one moment, and how a row of the search tells about it.

use super::CellMutant;
use crate::linear::frontier::uses_no_more;
use crate::linear::model::Model;
use crate::linear::mutant::Mutation;
use crate::linear::problem::{ANY, Class, Event, Problem};
use crate::linear::split::OPEN;

/// No column.
const NONE: u32 = u32::MAX;
/// Words of a row before the placed compare-and-sets.
const FIRST: usize = 2;

/// What an operation is to the search.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Changes nothing.
    Read,
    /// Changes the state, whatever it is.
    Write,
    /// Changes some states only.
    Swap,
}

pub fn kind_of(class: Class) -> Kind {
    if class.leaves == ANY {
        Kind::Read
    } else if class.needs == ANY && class.refuses == ANY {
        Kind::Write
    } else {
        Kind::Swap
    }
}

/// An operation without doubt that is open.
#[derive(Debug, Clone, Copy)]
pub struct Opened {
    /// Its class.
    pub class: u32,
    /// The event at which it began.
    pub begin: u32,
    /// Its completion.
    pub end: u32,
    /// Its bit among those of its kind.
    pub slot: u32,
}

/// Where an operation that begins stands.
pub struct Entered {
    /// Its kind.
    pub kind: Kind,
    /// Its bit.
    pub slot: u32,
}

/// A class of operations in doubt.
#[derive(Debug)]
pub struct Column {
    /// The class.
    pub class: u32,
    /// Events at which they began, those so far.
    pub begins: Vec<u32>,
    /// Whether they are writes, what they leave.
    pub is_write: bool,
    pub leaves: u32,
}

/// What is open, and the shape of rows.
#[derive(Debug)]
pub struct Window {
    /// Words of a row, and of its part that rows which are compared have in common.
    pub width: usize,
    /// The latter.
    pub head: usize,
    reads_at: usize,
    writes_at: usize,
    columns_at: usize,
    /// Open operations by kind; writes and swaps by class, then the earliest end first.
    pub reads: Vec<Opened>,
    pub writes: Vec<Opened>,
    pub swaps: Vec<Opened>,
    /// Classes in doubt, by what they leave; writes first.
    pub columns: Vec<Column>,
    column_of: Vec<u32>,
    free: [Vec<u32>; 3],
    /// Whether a state leads to what is due.
    pub goal: Vec<bool>,
    pub mutation: Mutation<CellMutant>,
}

fn has(words: &[u32], slot: u32) -> bool {
    words[(slot / 32) as usize] & (1 << (slot % 32)) != 0
}

impl Window {
    /// Nothing is open.
    pub fn new<M: Model>(problem: &Problem<'_, M>, mutation: Mutation<CellMutant>) -> Window {
        let (mut open, mut most) = ([0usize; 3], [0usize; 3]);
        for event in &problem.events {
            let (Event::Invoke(task) | Event::Return(task)) = *event;
            let task = problem.tasks[task as usize];
            if task.end == OPEN {
                continue;
            }
            let kind = kind_of(problem.classes[task.class as usize]) as usize;
            match event {
                Event::Invoke(_) => open[kind] += 1,
                Event::Return(_) => open[kind] -= 1,
            }
            most[kind] = most[kind].max(open[kind]);
        }
        let words = |kind: Kind| most[kind as usize].div_ceil(32);
        let mut column_of = vec![NONE; problem.classes.len()];
        let mut columns = Vec::new();
        let mut doubtful: Vec<usize> = (0..problem.classes.len()).filter(|&class| problem.doubts[class] > 0).collect();
        let kind = |class: usize| kind_of(problem.classes[class]);
        doubtful.sort_by_key(|&class| (problem.classes[class].leaves, kind(class) != Kind::Write));
        for class in doubtful {
            column_of[class] = columns.len() as u32;
            let (is_write, leaves) = (kind(class) == Kind::Write, problem.classes[class].leaves);
            columns.push(Column { class: class as u32, begins: Vec::new(), is_write, leaves });
        }
        let head = FIRST + words(Kind::Swap);
        let reads_at = head + 1;
        let writes_at = reads_at + words(Kind::Read);
        let columns_at = writes_at + words(Kind::Write);
        Window {
            width: columns_at + 2 * columns.len(),
            head,
            reads_at,
            writes_at,
            columns_at,
            reads: Vec::new(),
            writes: Vec::new(),
            swaps: Vec::new(),
            columns,
            column_of,
            free: most.map(|most| (0..most as u32).rev().collect()),
            goal: vec![false; problem.states],
            mutation,
        }
    }

    fn list(&mut self, kind: Kind) -> &mut Vec<Opened> {
        match kind {
            Kind::Read => &mut self.reads,
            Kind::Write => &mut self.writes,
            Kind::Swap => &mut self.swaps,
        }
    }

    /// An operation without doubt begins.
    pub fn open(&mut self, class: Class, opened: Opened) -> Entered {
        let kind = kind_of(class);
        // As many bits as operations of a kind are ever open.
        let slot = self.free[kind as usize].pop().unwrap_or(0);
        let opened = Opened { slot, ..opened };
        let latest_first = self.mutation.is(CellMutant::LatestFirst);
        let key = |one: &Opened| (one.class, if latest_first { u32::MAX - one.end } else { one.end });
        let list = self.list(kind);
        let place = list.partition_point(|other| key(other) < key(&opened));
        list.insert(place, opened);
        Entered { kind, slot }
    }

    /// An operation that is open.
    pub fn find(&mut self, kind: Kind, slot: u32) -> Opened {
        let none = Opened { class: 0, begin: 0, end: 0, slot };
        self.list(kind).iter().find(|opened| opened.slot == slot).copied().unwrap_or(none)
    }

    /// An operation without doubt has ended; its bit is free again.
    pub fn close(&mut self, kind: Kind, slot: u32) {
        self.list(kind).retain(|opened| opened.slot != slot);
        self.free[kind as usize].push(slot);
    }

    /// An operation in doubt begins.
    pub fn doubt(&mut self, class: u32, place: u32) {
        if let Some(column) = self.columns.get_mut(self.column_of[class as usize] as usize) {
            column.begins.push(place);
        }
    }

    /// When a blind write was placed last.
    pub fn moment(&self, row: &[u32]) -> u32 {
        u32::MAX - row[self.head]
    }

    /// Says that one is placed at that event: what was used in doubt so far was used before.
    pub fn set_moment(&self, row: &mut [u32], moment: u32) {
        row[self.head] = u32::MAX - moment;
        for column in row[self.columns_at..].chunks_exact_mut(2) {
            column[0] = column[1];
        }
    }

    fn at(&self, kind: Kind) -> usize {
        match kind {
            Kind::Read => self.reads_at,
            Kind::Write => self.writes_at,
            Kind::Swap => FIRST,
        }
    }

    /// Whether an operation is placed; a read is if it does not wait.
    pub fn is_placed(&self, row: &[u32], kind: Kind, slot: u32) -> bool {
        has(&row[self.at(kind)..], slot) != (kind == Kind::Read)
    }

    /// Places a write or a swap.
    pub fn set(&self, row: &mut [u32], kind: Kind, slot: u32) {
        row[self.at(kind) + (slot / 32) as usize] |= 1 << (slot % 32);
    }

    /// Frees the bit of an operation that ends, or says that a read waits no longer.
    pub fn clear(&self, row: &mut [u32], kind: Kind, slot: u32) {
        row[self.at(kind) + (slot / 32) as usize] &= !(1 << (slot % 32));
    }

    /// A read waits for its state.
    pub fn wait(&self, row: &mut [u32], slot: u32) {
        self.set(row, Kind::Read, slot);
    }

    /// Whether any read that began before an event waits for a state.
    pub fn is_waited_for(&self, row: &[u32], classes: &[Class], state: u32, before: u32) -> bool {
        self.waiting(row, before).any(|read| classes[read.class as usize].accepts(state))
    }

    fn waiting<'a>(&'a self, row: &'a [u32], before: u32) -> impl Iterator<Item = &'a Opened> {
        self.reads.iter().filter(move |read| read.begin < before && !self.is_placed(row, Kind::Read, read.slot))
    }

    /// Places all reads of a state that began before an event.
    pub fn place_reads(&self, row: &mut [u32], classes: &[Class], state: u32, before: u32) {
        for read in &self.reads {
            if read.begin < before && classes[read.class as usize].accepts(state) {
                self.clear(row, Kind::Read, read.slot);
            }
        }
    }

    /// Whether one more in doubt can be used: for what stands now, or for a block at the moment.
    pub fn can_use(&self, row: &[u32], column: usize, past: bool) -> bool {
        let [old, all] = self.used(row, column);
        let begun = self.columns[column].begins.len() as u32;
        if past && !self.mutation.is(CellMutant::DoubtAtAnyTime) { old < self.old(row, column) } else { all < begun }
    }

    fn used(&self, row: &[u32], column: usize) -> [u32; 2] {
        let at = self.columns_at + 2 * column;
        [row[at], row[at + 1]]
    }

    /// How many of a class began before the moment.
    fn old(&self, row: &[u32], column: usize) -> u32 {
        let moment = self.moment(row);
        self.columns[column].begins.partition_point(|&begin| begin < moment) as u32
    }

    /// Uses one.
    pub fn count(&self, row: &mut [u32], column: usize, past: bool) {
        if self.mutation.is(CellMutant::UsedNotCounted) {
            return;
        }
        let [old, all] = self.used(row, column);
        let begun = self.columns[column].begins.len() as u32;
        // For what stands now rather one that began after the moment: it is of no use for blocks.
        let new_left = all - old < begun - self.old(row, column);
        let at = self.columns_at + 2 * column;
        row[at] += u32::from(past || !new_left);
        row[at + 1] += 1;
    }

    /// Whether the first of two rows can do all that the second can; both without their heads.
    pub fn beats(&self, first: &[u32], second: &[u32]) -> bool {
        let reads = 1..self.writes_at - self.head;
        let writes = reads.end..self.columns_at - self.head;
        let columns = writes.end;
        let later = match self.mutation.is(CellMutant::EarlierMoment) {
            true => first[0] >= second[0],
            false => first[0] <= second[0],
        };
        let holds = |a: &[u32], b: &[u32]| a.iter().zip(b).all(|(a, b)| a & !b == 0);
        let waits_no_more =
            holds(&first[reads.clone()], &second[reads]) || self.mutation.is(CellMutant::WaitingForgotten);
        later
            && waits_no_more
            && holds(&first[writes.clone()], &second[writes])
            && (uses_no_more(&first[columns..], &second[columns..])
                || self.makes_up(&first[columns..], &second[columns..]))
    }

    /// Whether for each value the first used so many fewer writes in doubt as it used more compare-and-sets.
    fn makes_up(&self, first: &[u32], second: &[u32]) -> bool {
        for which in [0, 1] {
            let (mut leaves, mut balance) = (ANY, 0i64);
            for (place, column) in self.columns.iter().enumerate() {
                if column.leaves != leaves {
                    if balance > 0 {
                        return false;
                    }
                    (leaves, balance) = (column.leaves, 0);
                }
                let more = i64::from(first[2 * place + which]) - i64::from(second[2 * place + which]);
                let counts = column.is_write || self.mutation.is(CellMutant::SwapForWrite);
                balance += if counts { more } else { more.max(0) };
            }
            if balance > 0 {
                return false;
            }
        }
        true
    }

    /// How much a configuration has spent that might still be of use: the more the fewer are left, and writes above
    /// all.
    pub fn spent(&self, row: &[u32]) -> u64 {
        let used = row[self.columns_at..].chunks_exact(2).zip(&self.columns);
        let used = used.map(|(used, column)| {
            let weight = if column.is_write { 4096 } else { 256 };
            let left = (column.begins.len() as u64).saturating_sub(u64::from(used[1]));
            u64::from(used[1]) * weight / (left + 1)
        });
        let bits: u32 = row[self.reads_at..self.columns_at].iter().map(|word| word.count_ones()).sum();
        used.sum::<u64>() + u64::from(bits) * 64
    }

    /// Says from which states open operations lead to one that is accepted.
    pub fn aim(&mut self, classes: &[Class], due: Class, due_is_write: bool) {
        let Window { goal, swaps, columns, mutation, .. } = self;
        for (state, goal) in goal.iter_mut().enumerate() {
            *goal = !due_is_write && due.accepts(state as u32);
        }
        if due_is_write || mutation.is(CellMutant::GoalTooNear) {
            return;
        }
        let doubtful = columns.iter().map(|column| column.class);
        let swaps: Vec<Class> =
            swaps.iter().map(|swap| swap.class).chain(doubtful).map(|class| classes[class as usize]).collect();
        loop {
            let mut more = false;
            for swap in &swaps {
                if kind_of(*swap) != Kind::Swap || !goal[swap.leaves as usize] {
                    continue;
                }
                for (state, goal) in goal.iter_mut().enumerate() {
                    more |= !*goal && swap.accepts(state as u32);
                    *goal |= swap.accepts(state as u32);
                }
            }
            if !more {
                return;
            }
        }
    }
}
