//! How it follows, line by line, that some transactions have no order: each line numbered, with the values that it is about,
//! the lines that it rests on, and at the end which lines contradict each other.

use schism_checkers::AnomalyKind;
use schism_checkers::anomaly::{Derived, Rule};
use schism_history::{History, Kind, Mop, OpIndex, Value};

use super::transactions::Names;
use crate::phrase;
use crate::words;

/// Most lines that are told.
const LINES_MAX: usize = 40;
/// Most lines that another is told to rest on.
const RESTS_MAX: usize = 12;

/// What a derivation says.
pub(super) struct Derivation<'a> {
    pub history: &'a History,
    /// The kind of anomaly.
    pub kind: &'a str,
    pub lines: &'a [Derived],
    pub names: &'a Names<'a>,
}

impl Derivation<'_> {
    /// The lines, and what they come to.
    pub fn told(&self) -> Vec<String> {
        if self.lines.is_empty() {
            let singles = [AnomalyKind::NotLinearizable, AnomalyKind::NotSequential].map(AnomalyKind::as_str);
            let what = if singles.contains(&self.kind) { "the single operations of " } else { "" };
            return vec![format!(
                "every order of {what}these transactions was tried or ruled out by what they read; none is left"
            )];
        }
        let numbers = self.numbers();
        let mut last = 0;
        let is_new = |place: &usize| {
            let number = numbers.get(*place).copied().unwrap_or_default();
            let is_new = number > last;
            last = last.max(number);
            is_new
        };
        let places: Vec<usize> = (0..self.lines.len()).filter(is_new).collect();
        let mut told: Vec<String> = places
            .iter()
            .take(LINES_MAX)
            .map(|&place| self.line(&self.lines[place], &numbers, numbers[place]))
            .collect();
        if places.len() > LINES_MAX {
            told.push(format!("... and {}", words::plural((places.len() - LINES_MAX) as u64, "more line")));
        }
        told.extend(self.conclusion(&numbers));
        told
    }

    /// The number of each line, from 1. A line that says what another says has the number of that.
    fn numbers(&self) -> Vec<usize> {
        let mut numbers: Vec<usize> = Vec::with_capacity(self.lines.len());
        let mut next = 1;
        for line in self.lines {
            let same = match (line.rule, line.rests_on.as_slice()) {
                (Rule::Follows, [only]) => {
                    let is_same = |other: &&Derived| (other.from, other.to) == (line.from, line.to);
                    self.lines.get(*only as usize).filter(is_same).and_then(|_| numbers.get(*only as usize)).copied()
                }
                _ => None,
            };
            numbers.push(same.unwrap_or(next));
            next += usize::from(same.is_none());
        }
        numbers
    }

    /// A transaction by its name, or the state before all of them.
    fn who(&self, transaction: Option<OpIndex>) -> String {
        transaction.map_or_else(|| "the initial state".to_owned(), |transaction| self.names.of(transaction))
    }

    fn line(&self, line: &Derived, numbers: &[usize], number: usize) -> String {
        let (from, to) = (self.who(line.from), self.names.of(line.to));
        if line.rule == Rule::Assumed {
            let key =
                line.key.as_deref().map_or_else(String::new, |key| format!(" (both wrote key {})", words::name(key)));
            return format!("({number}) suppose that {from} happened before {to}{key}");
        }
        format!("({number}) {from} happened before {to}: {}", self.why(line, numbers, &from, &to))
    }

    fn why(&self, line: &Derived, numbers: &[usize], from: &str, to: &str) -> String {
        let key = line.key.as_deref().map_or_else(|| "a key".to_owned(), |key| format!("key {}", words::name(key)));
        let other = self.who(line.other);
        let by = by(&line.rests_on, numbers);
        match line.rule {
            Rule::Process => {
                let call = line.from.and_then(|from| phrase::call_at(self.history, from));
                let process = call.map(|call| phrase::actor(self.history.process(call.invoke)));
                format!("{} ran them in this order", process.unwrap_or_else(|| "their process".to_owned()))
            }
            Rule::Realtime => format!("{from} had ended before {to} began"),
            Rule::ReadsFrom => format!("{}, which {from} had written", self.read(Some(line.to), to, line, line.from)),
            Rule::OverwrittenBefore => {
                let read = self.read(line.other, &other, line, Some(line.to));
                let wrote = self.wrote(line.from, line);
                let after = if line.rests_on.is_empty() { String::new() } else { format!("{by} ") };
                format!("{read}, of {to}, although {after}it came after {from}, which {wrote}; so {to} wrote later")
            }
            Rule::WrittenAfterRead if line.other.is_none() => {
                let wrote = self.wrote(Some(line.to), line);
                format!("{}, as it was at first, and {to} {wrote}", self.read(line.from, from, line, None))
            }
            Rule::WrittenAfterRead => {
                let (read, wrote) = (self.read(line.from, from, line, line.other), self.wrote(Some(line.to), line));
                let after = if line.rests_on.is_empty() { String::new() } else { format!("{by} ") };
                format!(
                    "{read}, of {other}, and {to}, which {wrote}, {after}came after {other}; so after that read too"
                )
            }
            Rule::Versions => format!("{to} wrote a later version of {key} than {from}, as reads of {key} show"),
            Rule::Otherwise => format!("the other way round leads to a contradiction, {by}"),
            _ if line.rests_on.is_empty() => "it follows".to_owned(),
            _ => format!("it follows {by}"),
        }
    }

    /// What a transaction read of the line's key, if it can be, from that writer: `T2 read 1 from key x`.
    fn read(&self, reader: Option<OpIndex>, name: &str, line: &Derived, writer: Option<OpIndex>) -> String {
        let key = line.key.as_deref().unwrap_or_default();
        let told = reader.and_then(|reader| past(self.history, reader, read_place(self.history, reader, key, writer)?));
        format!("{name} {}", told.unwrap_or_else(|| format!("read key {}", words::name(key))))
    }

    /// What a transaction wrote to the line's key last: `wrote 2 to key x`.
    fn wrote(&self, writer: Option<OpIndex>, line: &Derived) -> String {
        let key = line.key.as_deref().unwrap_or_default();
        let told = writer.and_then(|writer| past(self.history, writer, write_place(self.history, writer, key)?));
        told.unwrap_or_else(|| format!("wrote key {}", words::name(key)))
    }

    /// Which lines contradict each other: the last ones that go round in a circle, or the last with what it rests on.
    fn conclusion(&self, numbers: &[usize]) -> Option<String> {
        let lines = self.lines;
        let begin = begin_of_circle(lines);
        let number = |place: usize| format!("({})", numbers.get(place).copied().unwrap_or(place + 1));
        Some(match begin {
            Some(begin) if lines.len() - begin == 2 => {
                format!("yet {} and {} cannot both be: a contradiction", number(begin), number(begin + 1))
            }
            Some(begin) => {
                let numbers: Vec<String> = (begin..lines.len()).take(RESTS_MAX).map(number).collect();
                format!("yet {} go round in a circle: a contradiction", words::list(&numbers))
            }
            None => {
                let last = lines.last().filter(|last| !last.rests_on.is_empty())?;
                let by = by(&last.rests_on, numbers);
                format!("yet {by} it was the other way round: a contradiction")
            }
        })
    }
}

/// Where the last lines begin that go round in a circle, each leading to the next.
pub(super) fn begin_of_circle(lines: &[Derived]) -> Option<usize> {
    let end = lines.last()?;
    for (place, line) in lines.iter().enumerate().rev() {
        if lines.get(place + 1).is_some_and(|next| next.from != Some(line.to)) {
            return None;
        }
        if line.from == Some(end.to) {
            return Some(place);
        }
    }
    None
}

fn is_read(mop: &Mop, key: &str) -> bool {
    matches!(&*mop.f, "r" | "read") && mop.key.to_string() == key
}

fn is_write(mop: &Mop, key: &str) -> bool {
    !matches!(&*mop.f, "r" | "read") && mop.key.to_string() == key
}

/// The place of a read of a key: of that which has what the writer wrote, if there is one.
pub(super) fn read_place(history: &History, reader: OpIndex, key: &str, writer: Option<OpIndex>) -> Option<usize> {
    let written = writer.map_or_else(Vec::new, |writer| mops(history, writer));
    let written: Vec<&Value> = written.iter().filter(|mop| is_write(mop, key)).map(|mop| &mop.value).collect();
    let has_it = |mop: &Mop| match &mop.value {
        Value::List(items) => items.iter().any(|item| written.contains(&item)),
        Value::Pair(items) => items.iter().any(|item| written.contains(&&Value::Int(*item))),
        value => written.contains(&value),
    };
    let mops = mops(history, reader);
    let is_it = |mop: &Mop| is_read(mop, key) && has_it(mop);
    mops.iter().position(is_it).or_else(|| mops.iter().position(|mop| is_read(mop, key)))
}

/// The place of a transaction's last write of a key.
pub(super) fn write_place(history: &History, writer: OpIndex, key: &str) -> Option<usize> {
    mops(history, writer).iter().rposition(|mop| is_write(mop, key))
}

/// `by (1) and (2)`.
fn by(rests_on: &[u32], numbers: &[usize]) -> String {
    let number = |line: u32| numbers.get(line as usize).copied().unwrap_or(line as usize + 1);
    let shown = rests_on.iter().take(RESTS_MAX).map(|&line| format!("({})", number(line)));
    let mut numbers: Vec<String> = shown.collect();
    if rests_on.len() > RESTS_MAX {
        numbers.push(format!("{} more", rests_on.len() - RESTS_MAX));
    }
    format!("by {}", words::list(&numbers))
}

/// The micro-operations of a transaction, as far as they are known; none where the history does not have it.
fn mops(history: &History, transaction: OpIndex) -> Vec<Mop> {
    let Some(call) = phrase::call_at(history, transaction) else { return Vec::new() };
    let ended = call.completion.filter(|_| call.outcome == Kind::Ok);
    match &*history.value(ended.unwrap_or(call.invoke)) {
        Value::Txn(mops) => mops.to_vec(),
        _ => Vec::new(),
    }
}

fn past(history: &History, transaction: OpIndex, place: usize) -> Option<String> {
    let call = phrase::call_at(history, transaction)?;
    phrase::micros(history, &call).into_iter().nth(place).map(|micro| micro.past)
}

#[cfg(test)]
mod tests {
    use schism_history::notation;

    use super::*;

    fn line(from: Option<u32>, to: u32, rule: Rule, other: Option<u32>, rests_on: &[u32]) -> Derived {
        Derived { from, to, key: Some("x".to_owned()), rule, other, rests_on: rests_on.to_vec() }
    }

    fn told(lines: &[Derived], kind: &str) -> Vec<String> {
        let history =
            r#"0:txn=[["w","x",1]] 1:txn=[["w","x",2]] 2:txn=[["r","x",1]] 3:txn=[["r","x",null],["w","x",3]]"#;
        let history = notation::parse(history).expect("a history");
        let transactions = [0, 2, 4, 6];
        Derivation { history: &history, kind, lines, names: &Names(&transactions) }.told()
    }

    /// Each rule has words; what only repeats another line has its number; an assumption is told as one.
    #[test]
    fn every_rule_has_words() {
        let lines = [
            line(Some(0), 4, Rule::ReadsFrom, None, &[]),
            line(Some(0), 2, Rule::Assumed, None, &[]),
            line(Some(4), 2, Rule::WrittenAfterRead, Some(0), &[1]),
            line(Some(6), 0, Rule::WrittenAfterRead, None, &[]),
            line(Some(2), 0, Rule::Otherwise, None, &[1, 2, 0]),
            line(Some(6), 2, Rule::Versions, None, &[]),
            line(Some(6), 2, Rule::Follows, None, &[5]),
            line(Some(6), 0, Rule::Follows, None, &[6, 4]),
            line(Some(2), 0, Rule::OverwrittenBefore, Some(4), &[]),
            line(None, 2, Rule::Follows, None, &[]),
        ];
        assert_eq!(
            told(&lines, "not-serializable"),
            [
                "(1) T1 happened before T3: T3 read 1 from key x, which T1 had written",
                "(2) suppose that T1 happened before T2 (both wrote key x)",
                "(3) T3 happened before T2: T3 read 1 from key x, of T1, and T2, which wrote 2 to key x, by (2) came after \
                 T1; so after that read too",
                "(4) T4 happened before T1: T4 read nothing (nil) from key x, as it was at first, and T1 wrote 1 to key x",
                "(5) T2 happened before T1: the other way round leads to a contradiction, by (2), (3) and (1)",
                "(6) T4 happened before T2: T2 wrote a later version of key x than T4, as reads of key x show",
                "(7) T4 happened before T1: it follows by (6) and (5)",
                "(8) T2 happened before T1: T3 read 1 from key x, of T1, although it came after T2, which wrote 2 to key x; \
                 so T1 wrote later",
                "(9) the initial state happened before T2: it follows",
            ]
        );
    }

    #[test]
    fn what_contradicts_each_other_is_said() {
        let realtime = |from, to, rests_on: &[u32]| line(Some(from), to, Rule::Realtime, None, rests_on);
        let cases: [(&[Derived], Option<&str>); 5] = [
            (&[realtime(0, 2, &[]), realtime(2, 0, &[])], Some("yet (1) and (2) cannot both be: a contradiction")),
            (
                &[realtime(6, 0, &[]), realtime(0, 2, &[]), realtime(2, 4, &[]), realtime(4, 0, &[])],
                Some("yet (2), (3) and (4) go round in a circle: a contradiction"),
            ),
            (
                &[realtime(0, 2, &[]), realtime(2, 6, &[]), realtime(4, 0, &[0, 1])],
                Some("yet by (1) and (2) it was the other way round: a contradiction"),
            ),
            (&[realtime(0, 2, &[]), realtime(4, 0, &[])], None),
            (&[], Some("every order of these transactions was tried or ruled out by what they read; none is left")),
        ];
        for (lines, expected) in cases {
            let told = told(lines, "not-prefix");
            assert_eq!(told.get(lines.len()).map(String::as_str), expected, "{told:#?}");
        }
        assert!(told(&[], "not-sequential")[0].contains("the single operations of these"));
    }

    /// Of a long derivation the beginning is told and what it comes to; strange ones do no harm.
    #[test]
    fn long_and_strange_ones_are_told_too() {
        let mut lines: Vec<Derived> = (0..100).map(|_| line(Some(0), 2, Rule::Process, None, &[])).collect();
        lines.push(line(Some(2), 0, Rule::Realtime, None, &[999; 20]));
        let long = told(&lines, "not-serializable");
        assert_eq!(long[40..], ["... and 61 more lines", "yet (100) and (101) cannot both be: a contradiction"]);
        let strange = told(&[line(Some(77), 78, Rule::OverwrittenBefore, Some(79), &[4_000_000_000])], "odd");
        assert!(strange[0].contains("by (4000000001)"), "{strange:?}");
        assert_eq!(told(&[line(Some(0), 0, Rule::Follows, None, &[0])], "odd").len(), 2);
    }
}
