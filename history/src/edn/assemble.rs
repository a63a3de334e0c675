//! Rows to a history: who has a process, whose values are keyed, then event by event.

use super::EdnError;
use super::events::Row;
use super::keyed::{self, Keyed, Look};
use super::stream::Spots;
use crate::history::{History, HistoryBuilder, HistoryError};
use crate::op::F;
use crate::reading::Import;
use crate::reading::plain::{Names, Plain, Shape};

/// So many events are looked at before it is settled whether values are keyed; those after them must be like them.
const HELD_EVENTS: usize = 1 << 14;

const LIKE_OTHERS: &str = "a tuple [key value] like all before it; say whether values are keyed (yes or no)";

/// Builds a history from events in the order of the text. Memory: the first 16,384 events as rows, or all of them as long
/// as values may be keyed but no key came twice.
pub(super) struct Assembler<'a> {
    import: &'a Import,
    keyed: Keyed,
    builder: HistoryBuilder,
    time_ns_last: u64,
    held: Vec<Row>,
    /// So many are held before the next look.
    held_max: usize,
    /// What was settled by the events that were held.
    settled: Option<Settled>,
}

#[derive(Debug, Clone, Copy)]
struct Settled {
    /// Whether events have a process.
    named: bool,
    /// Whether values are keyed.
    keyed: bool,
}

impl<'a> Assembler<'a> {
    pub(super) fn new(import: &'a Import, keyed: Keyed) -> Assembler<'a> {
        Assembler {
            import,
            keyed,
            builder: HistoryBuilder::default(),
            time_ns_last: 0,
            held: Vec::new(),
            held_max: HELD_EVENTS,
            settled: None,
        }
    }

    /// Takes the next event.
    ///
    /// # Errors
    /// When an event is not like the others, or breaks a rule of histories.
    pub(super) fn take(&mut self, mut row: Row) -> Result<(), EdnError> {
        if !row.has_time {
            row.op.time_ns = self.time_ns_last;
        }
        self.time_ns_last = row.op.time_ns;
        if let Some(settled) = self.settled {
            return self.push(row, settled);
        }
        self.held.push(row);
        if self.held.len() < self.held_max {
            return Ok(());
        }
        if self.keyed == Keyed::Auto && keyed::look(&self.held) == Look::Unclear {
            self.held_max *= 2;
            return Ok(());
        }
        self.settle()
    }

    /// Takes the next event, in its small form, which begins there.
    ///
    /// # Errors
    /// See [`Assembler::take`].
    #[inline]
    pub(super) fn take_plain(
        &mut self,
        mut plain: Plain,
        names: &mut Names,
        at: usize,
        spots: &mut Spots<'_>,
    ) -> Result<(), EdnError> {
        let Some(settled) = self.settled.filter(|settled| settled.named) else {
            let is_txn = plain.shape == Shape::Txn;
            self.take(row(&plain, names, spots.to(at)))?;
            // A transaction is no tuple of key and value, and has a process: no other event can tell more.
            return if is_txn && self.settled.is_none() && self.keyed != Keyed::Yes { self.settle() } else { Ok(()) };
        };
        if plain.has_time {
            self.time_ns_last = plain.time_ns;
        } else {
            plain.time_ns = self.time_ns_last;
        }
        if settled.keyed {
            // What is no tuple is judged as a row.
            let misfit = self.keyed == Keyed::Auto && plain.shape != Shape::FirstAndPair && *names.f(&plain) == F::Cas;
            if misfit || !plain.split() {
                return self.push(row(&plain, names, spots.to(at)), settled);
            }
        }
        self.import.settle_plain(&mut plain, names);
        self.builder.push_plain(&plain, names).map_err(|source| rule(spots.to(at), source))
    }

    /// Settles what the events that are held tell, and builds them.
    fn settle(&mut self) -> Result<(), EdnError> {
        let rows = std::mem::take(&mut self.held);
        let named = rows.iter().any(|row| row.has_process);
        if let Some(row) = rows.iter().find(|row| named && !row.has_process) {
            return Err(row.wrong("process", "missing".into(), "a process, as other events of this file have it"));
        }
        let keyed = match self.keyed {
            Keyed::Yes => true,
            Keyed::No => false,
            Keyed::Auto => keyed::look(&rows) == Look::Keyed,
        };
        let settled = Settled { named, keyed };
        self.settled = Some(settled);
        rows.into_iter().try_for_each(|row| self.push(row, settled))
    }

    fn push(&mut self, mut row: Row, settled: Settled) -> Result<(), EdnError> {
        if row.has_process != settled.named {
            let (found, expected) = match settled.named {
                true => ("missing".to_owned(), "a process, as other events of this file have it"),
                false => (row.op.process.to_string(), "no process, as no event before it has one"),
            };
            return Err(row.wrong("process", found, expected));
        }
        if settled.keyed {
            let is_client = row.op.process.client().is_some();
            if self.keyed == Keyed::Auto && is_client && keyed::may_be_keyed(&row).is_none() {
                return Err(row.wrong("value", super::to_text(&row.op.value), LIKE_OTHERS));
            }
            keyed::split(&mut row)?;
        }
        row.settle_function()?;
        let place = row.place;
        self.import.settle(&mut row.op);
        self.builder.push(row.op).map_err(|source| rule(place, source))
    }

    /// The history of all events.
    ///
    /// # Errors
    /// See [`Assembler::take`].
    pub(super) fn finish(mut self) -> Result<History, EdnError> {
        if self.settled.is_none() {
            self.settle()?;
        }
        Ok(self.builder.finish())
    }
}

fn rule((line, offset): (u64, u64), source: HistoryError) -> EdnError {
    EdnError::Rule { line, offset, source }
}

/// An event in its small form as a row.
fn row(plain: &Plain, names: &Names, place: (u64, u64)) -> Row {
    let op = names.op(plain);
    Row { place, op, has_process: true, has_time: plain.has_time, has_f: true }
}
