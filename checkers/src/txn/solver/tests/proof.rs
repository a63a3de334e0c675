//! Verifies the steps of a proof, line by line.

use super::generate::Case;
use crate::anomaly::{Anomaly, Derived, Rule, Witness};
use crate::txn::accesses::INITIAL;
use crate::txn::solver::Keeps;
use crate::txn::txns::{TxnId, Txns};

struct Proof<'a> {
    case: &'a Case,
    txns: &'a Txns<'a>,
    lines: &'a [Derived],
}

/// Panics where a step does not follow.
pub fn verify(case: &Case, txns: &Txns<'_>, keeps: Keeps, anomaly: &Anomaly) {
    let Witness::NoCommitOrder { transactions, derivation, .. } = &anomaly.witness else { panic!("{anomaly:?}") };
    let Some([.., before, last]) = derivation.get(..) else { return };
    let told = format!("{} {derivation:#?}", case.line);
    assert!(before.from == Some(last.to) && last.from == Some(before.to), "no contradiction: {told}");
    let proof = Proof { case, txns, lines: derivation };
    for (number, line) in derivation.iter().enumerate() {
        assert!(line.rests_on.iter().all(|&other| (other as usize) < number), "{number}: {told}");
        let named = [line.from, Some(line.to), line.other];
        assert!(named.into_iter().flatten().all(|index| transactions.contains(&index)), "{number}: {told}");
        assert!(proof.follows(line, keeps), "{number}: {told}");
    }
    // Outside of what is tried, nothing rests on an assumption.
    let mut tried = vec![false; derivation.len()];
    for (number, line) in derivation.iter().enumerate() {
        let rests = line.rests_on.iter().any(|&other| tried[other as usize]);
        tried[number] = line.rule == Rule::Assumed || (line.rule != Rule::Otherwise && rests);
    }
    assert!(!tried[derivation.len() - 1] && !tried[derivation.len() - 2], "{told}");
}

impl Proof<'_> {
    fn id(&self, index: u32) -> TxnId {
        (0..self.txns.len() as TxnId).find(|&id| self.txns.invoked(id) == index).expect("a transaction")
    }

    fn key(&self, line: &Derived) -> u32 {
        let name = line.key.as_ref().expect("a key");
        (0..self.case.accesses.keys_count).find(|&key| self.txns.key_text(key) == *name).expect("a key")
    }

    fn leads(&self, line: &Derived, from: Option<u32>, to: u32) -> bool {
        let mut at = from;
        line.rests_on.iter().for_each(|&other| {
            let other = &self.lines[other as usize];
            at = if other.from == at { Some(other.to) } else { None };
        });
        at == Some(to)
    }

    fn writes(&self, index: u32, key: u32) -> bool {
        self.case.accesses.writes(self.id(index)).iter().any(|write| write.key == key)
    }

    fn reads(&self, reader: u32, writer: Option<u32>, key: u32) -> bool {
        let writer = writer.map_or(INITIAL, |index| self.id(index));
        self.case.accesses.reads(self.id(reader)).iter().any(|read| read.key == key && read.writer == writer)
    }

    fn follows(&self, line: &Derived, keeps: Keeps) -> bool {
        let from = line.from.expect("nothing is told of the initial state");
        let (a, b) = (self.id(from), self.id(line.to));
        match line.rule {
            Rule::Process => {
                let same = self.txns.session(a) == self.txns.session(b);
                keeps == Keeps::Process && self.txns.is_ok(a) && self.txns.is_before(a, b) && same
            }
            Rule::Realtime => keeps == Keeps::Realtime && self.txns.is_ok(a) && self.txns.is_before(a, b),
            Rule::ReadsFrom => self.reads(line.to, line.from, self.key(line)),
            Rule::OverwrittenBefore => {
                let (key, reader) = (self.key(line), line.other.expect("a reader"));
                self.reads(reader, Some(line.to), key)
                    && self.writes(from, key)
                    && reader != from
                    && self.leads(line, Some(from), reader)
            }
            Rule::WrittenAfterRead => {
                let key = self.key(line);
                self.reads(from, line.other, key)
                    && self.writes(line.to, key)
                    && line.other.is_none_or(|other| other != line.to && self.leads(line, Some(other), line.to))
            }
            Rule::Versions => {
                let key = self.key(line);
                let known = self.case.accesses.versions.get(key as usize).map_or(&[][..], Vec::as_slice);
                let place = |id| known.iter().position(|&other| other == id);
                let is_step = self.case.known.iter().any(|edge| (edge.from, edge.to) == (a, b));
                place(a).is_some() && place(a) < place(b)
                    || is_step && self.writes(from, key) && self.writes(line.to, key)
            }
            Rule::Follows => self.leads(line, Some(from), line.to),
            Rule::Assumed => self.writes(from, self.key(line)) && self.writes(line.to, self.key(line)),
            Rule::Otherwise => {
                let [assumed, first, second] = line.rests_on[..] else { return false };
                let [assumed, first, second] = [assumed, first, second].map(|other| &self.lines[other as usize]);
                assumed.rule == Rule::Assumed
                    && (assumed.from, Some(assumed.to)) == (Some(line.to), line.from)
                    && (first.from, Some(first.to)) == (Some(second.to), second.from)
            }
        }
    }
}
