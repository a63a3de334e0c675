//! Derived orders: each line by its rule from the history and from the lines before it.

use std::collections::BTreeSet;

use schism_history::{History, OpIndex, ValueId};

use super::lists::is_later;
use super::sessions::Guarantee;
use super::view::{Txn, txn};
use super::writers;
use crate::anomaly::{Derived, Rule};

/// What makes a transaction visible to another at a level, and which orders all levels of its kind keep.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Visible {
    /// Read before, in the same transaction.
    Earlier,
    /// By one step of a process or of reading.
    Step,
    /// By such steps.
    Steps,
    /// By the commit order.
    Ordered,
    /// As a guarantee of sessions says; that it contradicts itself is shown by the definition of that.
    Session,
}

/// Verifies a derivation of serializability, of the axioms of Biswas and Enea, or of the causal models.
pub fn verify(history: &History, kind: &str, transactions: &[OpIndex], lines: &[Derived]) -> Result<(), String> {
    let visible = match kind.strip_suffix("-process").unwrap_or(kind) {
        "not-serializable" | "not-serializable-realtime" => Visible::Ordered,
        "non-monotonic-view" => Visible::Earlier,
        "fractured-read" => Visible::Step,
        "stale-causal-read" => Visible::Steps,
        _ if Guarantee::of(kind).is_some() => Visible::Session,
        _ => return super::orders::verify(history, kind, transactions),
    };
    let mut proof = Proof { history, kind, transactions, visible, lines, rests: Vec::new() };
    for place in 0..lines.len() {
        let rests = proof.line(place).map_err(|wrong| format!("line {}: {wrong}", place + 1))?;
        proof.rests.push(rests);
    }
    match Guarantee::of(kind) {
        Some(guarantee) => super::sessions::verify(history, guarantee, transactions),
        None => proof.contradiction(),
    }
}

struct Proof<'h> {
    history: &'h History,
    kind: &'h str,
    transactions: &'h [OpIndex],
    visible: Visible,
    lines: &'h [Derived],
    /// By line: the assumptions that it rests on.
    rests: Vec<BTreeSet<usize>>,
}

impl<'h> Proof<'h> {
    fn txn(&self, invoked: OpIndex) -> Result<Txn<'h>, String> {
        let txn = txn(self.history, invoked)?;
        if txn.failed || !self.transactions.contains(&invoked) {
            return Err(format!("event {invoked} is none of the transactions named, or failed"));
        }
        Ok(txn)
    }

    /// Whether the kind is one of a level that keeps the order of processes.
    fn keeps_processes(&self) -> bool {
        self.kind.ends_with("-process") || self.kind.ends_with("-realtime") || self.visible == Visible::Session
    }

    /// Verifies a line; the assumptions that it rests on.
    fn line(&self, place: usize) -> Result<BTreeSet<usize>, String> {
        let line = &self.lines[place];
        let to = self.txn(line.to)?;
        let from = line.from.map(|from| self.txn(from)).transpose()?;
        let other = line.other.map(|other| self.txn(other)).transpose()?;
        let mut rests = BTreeSet::new();
        for &earlier in &line.rests_on {
            let known = self.rests.get(earlier as usize).ok_or_else(|| format!("it rests on line {}", earlier + 1))?;
            rests.extend(known.iter().copied());
        }
        let holds = match (line.rule, &from) {
            (Rule::Process, Some(from)) => from.is_before_in_process(&to) && self.keeps_processes(),
            (Rule::Realtime, Some(from)) => from.is_before(&to) && self.kind == "not-serializable-realtime",
            (Rule::ReadsFrom, None) => true,
            (Rule::ReadsFrom, Some(from)) => !self.reads(&to, Some(from), None).is_empty(),
            (Rule::OverwrittenBefore, Some(from)) => {
                let reader = other.ok_or("the reader is missing")?;
                let key = line.key.as_deref();
                let reads = self.reads(&reader, Some(&to), key);
                reads.iter().any(|&(key, micro)| writes(from, key) && self.sees(line, from, &reader, micro))
            }
            (Rule::WrittenAfterRead, Some(from)) => {
                let key = line.key.as_deref();
                let reads = self.reads(from, other.as_ref(), key);
                let later = other.as_ref().is_none_or(|writer| self.path(line, writer.invoked, to.invoked));
                // Without an order of commits only what was visible can have come too early, and only before nothing.
                let is_so = |micro: u32| match self.visible {
                    Visible::Ordered => later,
                    _ => other.is_none() && self.sees(line, &to, from, micro),
                };
                reads.iter().any(|&(key, micro)| writes(&to, key) && is_so(micro))
            }
            (Rule::Versions, Some(from)) => {
                let any = self.visible == Visible::Ordered;
                line.key.as_deref().is_some_and(|key| is_later(self.history, from, &to, key, any))
            }
            (Rule::Follows, Some(from)) => self.reaches(&places(line), from.invoked, to.invoked),
            (Rule::Assumed, Some(_)) => {
                rests.insert(place);
                true
            }
            (Rule::Otherwise, Some(from)) => {
                let opposite = |&&earlier: &&u32| {
                    let assumed = &self.lines[earlier as usize];
                    assumed.rule == Rule::Assumed && (assumed.from, assumed.to) == (Some(to.invoked), from.invoked)
                };
                let assumed = line.rests_on.iter().find(opposite).ok_or("the opposite was not assumed")?;
                rests.remove(&(*assumed as usize));
                self.has_cycle(&places(line))
            }
            _ => return Err("the initial state comes before nothing by this rule".to_owned()),
        };
        if holds { Ok(rests) } else { Err("its rule does not give it".to_owned()) }
    }

    /// The reads of a transaction from another, or of the initial state: key and place.
    fn reads(&self, reader: &Txn<'_>, writer: Option<&Txn<'_>>, key: Option<&str>) -> Vec<(u32, u32)> {
        let from = |&(read, newest, _): &(u32, _, u32)| {
            let named = key.is_none_or(|key| key == self.history.txn_keys()[read as usize].to_string());
            named && self.is_from(reader, writer, read, newest)
        };
        let all = (0..reader.micros().len() as u32)
            .filter_map(|place| reader.external(place).map(|(key, newest)| (key, newest, place)));
        let mut found: Vec<(u32, u32)> = all.filter(from).map(|(key, _, place)| (key, place)).collect();
        // Of guarantees of sessions reads of own writes are operations too.
        if self.visible == Visible::Session && writer.is_some_and(|writer| writer.invoked == reader.invoked) {
            let own = |place: u32| {
                let (read, values) = reader.read(place)?;
                let named = key.is_none_or(|key| key == self.history.txn_keys()[read as usize].to_string());
                let is_own = values.last().is_some_and(|value| reader.own(read, place).last() == Some(value));
                (named && is_own).then_some((read, place))
            };
            found.extend((0..reader.micros().len() as u32).filter_map(own));
        }
        found
    }

    /// Whether it was that one, and nobody else, who wrote what a transaction read.
    fn is_from(&self, reader: &Txn<'_>, writer: Option<&Txn<'_>>, key: u32, newest: Option<ValueId>) -> bool {
        let named = writer.map(|writer| writer.invoked);
        // Most are not, and that is quicker to see than that nobody else did.
        if writer.zip(newest).is_some_and(|(writer, value)| writer.place_of(key, value).is_none()) {
            return false;
        }
        match newest {
            // Of single operations also a write that its transaction wrote over.
            Some(value) if self.visible == Visible::Session => {
                named.is_some() && writers::of_operation(self.history, key, value, reader) == named
            }
            _ => writers::of_read(self.history, key, newest, reader) == Some(named),
        }
    }

    /// Whether a writer is visible to a read.
    fn sees(&self, line: &Derived, writer: &Txn<'_>, reader: &Txn<'_>, micro: u32) -> bool {
        let read = |before: u32| self.reads(reader, Some(writer), None).iter().any(|&(_, place)| place < before);
        match self.visible {
            Visible::Earlier => read(micro),
            Visible::Step => read(u32::MAX) || self.keeps_processes() && writer.is_before_in_process(reader),
            _ => read(u32::MAX) || self.path(line, writer.invoked, reader.invoked),
        }
    }

    /// Whether the lines that a line rests on lead from one to another; causally, by steps of that kind alone.
    fn path(&self, line: &Derived, from: OpIndex, to: OpIndex) -> bool {
        let may = |place: &usize| {
            self.visible == Visible::Ordered || matches!(self.lines[*place].rule, Rule::Process | Rule::ReadsFrom)
        };
        let places: Vec<usize> = line.rests_on.iter().map(|&place| place as usize).filter(may).collect();
        self.reaches(&places, from, to)
    }

    fn reaches(&self, places: &[usize], from: OpIndex, to: OpIndex) -> bool {
        let mut reached = vec![from];
        let mut count = 0;
        while count < reached.len() {
            for &place in places {
                let line = &self.lines[place];
                if line.from == Some(reached[count]) && !reached.contains(&line.to) {
                    reached.push(line.to);
                }
            }
            count += 1;
        }
        reached.contains(&to)
    }

    fn has_cycle(&self, places: &[usize]) -> bool {
        let line = |place: usize| &self.lines[place];
        places.iter().any(|&place| line(place).from.is_some_and(|from| self.reaches(places, line(place).to, from)))
    }

    /// The last two lines go round with the lines before them that rest on no assumption, and rest on none themselves.
    fn contradiction(&self) -> Result<(), String> {
        let count = self.lines.len();
        let last = count.saturating_sub(2)..count;
        if last.clone().any(|place| !self.rests[place].is_empty()) {
            return Err("what it ends with rests on an assumption".to_owned());
        }
        let sure: Vec<usize> = (0..count).filter(|&place| self.rests[place].is_empty()).collect();
        let ends = last.into_iter().any(|place| {
            let line = &self.lines[place];
            line.from.is_some_and(|from| self.reaches(&sure, line.to, from))
        });
        if ends { Ok(()) } else { Err("the last lines do not contradict each other".to_owned()) }
    }
}

/// The lines that a line rests on.
fn places(line: &Derived) -> Vec<usize> {
    line.rests_on.iter().map(|&earlier| earlier as usize).collect()
}

fn writes(txn: &Txn<'_>, key: u32) -> bool {
    !txn.own(key, txn.micros().len() as u32).is_empty()
}
