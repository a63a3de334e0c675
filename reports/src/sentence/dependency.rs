//! Why a transaction happened before another, in half a sentence: which value of which key was written, read or left out.

use schism_checkers::anomaly::{Dependency, Step};
use schism_history::{Call, History};

use super::operations::decimals;
use crate::phrase::{self, MicroText};
use crate::words;

/// How much of a list is told around the elements that it is about.
const AROUND: usize = 2;

/// Why the transaction of a step happened before the next one; `from` and `to` are their short names.
pub(super) fn because(history: &History, step: &Step, next: &Step, (from, to): (&str, &str)) -> String {
    let Dependency { kind, key, from_micro, to_micro, .. } = &step.because;
    let calls = [step, next].map(|step| phrase::call_at(history, step.transaction));
    let micro = |call: &Option<Call>, place: &Option<u32>| {
        let micros = phrase::micros(history, call.as_ref()?);
        micros.into_iter().nth(place.as_ref().copied()? as usize)
    };
    let (first, second) = (micro(&calls[0], from_micro), micro(&calls[1], to_micro));
    let key = key.as_deref().map_or_else(|| "a key".to_owned(), |key| format!("key {}", words::name(key)));
    let is_list = [&first, &second].into_iter().flatten().any(|micro| micro.is_list);
    let told = Told { key, from, to, first: first.as_ref(), second: second.as_ref(), because: &step.because };
    match kind.as_str() {
        "ww" | "wr" | "rw" if is_list => told.of_list(history),
        "ww" | "wr" | "rw" => told.of_register(),
        "wwp" | "wrp" | "rwp" => told.of_predicate(),
        "process" => {
            let who = calls[0].as_ref().map(|call| phrase::actor(history.process(call.invoke)));
            format!("{} ran {from} before {to}", who.unwrap_or_else(|| "their process".to_owned()))
        }
        "realtime" => match real_times(history, &calls) {
            Some((ended, began)) => format!("{from} had ended (at {ended}) before {to} began (at {began})"),
            None => format!("{from} had ended before {to} began"),
        },
        other => words::cut(other, 40),
    }
}

/// When the first had ended and when the second began; nothing where the history has no times.
fn real_times(history: &History, calls: &[Option<Call>; 2]) -> Option<(String, String)> {
    let [Some(first), Some(second)] = calls else { return None };
    let (ended, began) = (history.time_ns(first.completion?), history.time_ns(second.invoke));
    let decimals = decimals(history, [first, second].into_iter());
    (ended < began).then(|| (words::moment(ended, decimals), words::moment(began, decimals)))
}

struct Told<'a> {
    key: String,
    from: &'a str,
    to: &'a str,
    first: Option<&'a MicroText>,
    second: Option<&'a MicroText>,
    because: &'a Dependency,
}

impl Told<'_> {
    fn before(&self) -> String {
        cut(self.because.before.as_deref())
    }

    fn after(&self) -> String {
        cut(self.because.after.as_deref())
    }

    fn of_list(&self, history: &History) -> String {
        let Told { key, from, to, .. } = self;
        let (before, after) = (self.before(), self.after());
        let is_empty = matches!(before.as_str(), "nil" | "[]");
        match self.because.kind.as_str() {
            "ww" => {
                let shown = self.shown_order(history);
                format!("{to} appended {after} to {key} behind {before}, which {from} had appended{shown}")
            }
            "wr" => format!("{to} read {after} from {key}, and so saw {before}, which {from} had appended"),
            _ if is_empty => format!("{from} found {key} empty, without {after}, which {to} appended"),
            _ => format!("{from} read {before} from {key}, without {after}, which {to} appended"),
        }
    }

    /// How the order of two elements is known: a piece of the longest list that was read, or that it does not have the
    /// later one.
    fn shown_order(&self, history: &History) -> String {
        let name = self.because.key.as_deref().unwrap_or_default();
        let Some(key) = history.txn_keys().iter().position(|key| key.to_string() == name) else { return String::new() };
        let list = history.txn_list(key as u32);
        let place = |text: &Option<String>| {
            let text = text.as_deref()?;
            list.iter().position(|&id| history.value_of(id).to_string() == text)
        };
        match (place(&self.because.before), place(&self.because.after)) {
            (Some(first), Some(last)) if first < last => {
                let (begin, end) = (first.saturating_sub(AROUND), (last + AROUND + 1).min(list.len()));
                let items = list[begin..end].iter().map(|&id| words::cut(&history.value_of(id).to_string(), 24));
                let items = words::cut_middle(&items.collect::<Vec<_>>().join(","), words::VALUE_CHARS_MAX);
                let (head, tail) = (if begin > 0 { "…," } else { "" }, if end < list.len() { ",…" } else { "" });
                format!(" (the list was read as [{head}{items}{tail}])")
            }
            (Some(_), None) => " (it was in no list yet that was read)".to_owned(),
            _ => String::new(),
        }
    }

    fn of_register(&self) -> String {
        let Told { key, from, to, .. } = self;
        let (before, after) = (self.before(), self.after());
        match self.because.kind.as_str() {
            "ww" => {
                let known = self.known(&before, &after);
                format!("{to} wrote {after} to {key} over {before}, which {from} had written{known}")
            }
            "wr" => format!("{to} read {before} from {key}, which {from} had written"),
            _ if before == "nil" => {
                format!("{from} found nothing in {key}, to which {to} wrote {after}{}", self.known("nothing", &after))
            }
            _ => {
                format!("{from} read {before} from {key}, over which {to} wrote {after}{}", self.known(&before, &after))
            }
        }
    }

    /// Whence it is known which of two versions is the later one.
    fn known(&self, before: &str, after: &str) -> String {
        let source = self.because.source.as_deref().map(|source| words::cut(source, words::VALUE_CHARS_MAX));
        source.map_or_else(String::new, |source| match before {
            "nothing" => format!(" (there was nothing before {after}: known from {source})"),
            _ => format!(" ({before} came before {after}: known from {source})"),
        })
    }

    fn of_predicate(&self) -> String {
        let Told { key, from, to, .. } = self;
        let did = |micro: Option<&MicroText>, otherwise: String| micro.map_or(otherwise, |micro| micro.past.clone());
        let asked = |micro| did(micro, "asked by a predicate".to_owned());
        let changed = |micro| did(micro, format!("changed {key}"));
        match self.because.kind.as_str() {
            "wrp" => format!("{to} {}, which shows that {from} {}", asked(self.second), changed(self.first)),
            "rwp" => {
                format!("{from} {}, which does not show yet that {to} {}", asked(self.first), changed(self.second))
            }
            _ => format!("{to} wrote over what {from} had written, for a predicate about {key}"),
        }
    }
}

/// A value, or the end of a list: what was read last is what it is about.
fn cut(text: Option<&str>) -> String {
    words::cut_middle(text.unwrap_or("nil"), words::VALUE_CHARS_MAX)
}

#[cfg(test)]
mod tests {
    use schism_history::notation;

    use super::*;

    fn told(line: &str, kind: &str, micros: (u32, u32), (before, after): (&str, &str), source: Option<&str>) -> String {
        let history = notation::parse(line).expect("a history");
        let because = Dependency {
            kind: kind.to_owned(),
            key: Some("x".to_owned()),
            from_micro: Some(micros.0),
            to_micro: Some(micros.1),
            before: Some(before.to_owned()),
            after: Some(after.to_owned()),
            source: source.map(str::to_owned),
        };
        let step = |transaction| Step { transaction, because: because.clone() };
        super::because(&history, &step(0), &step(2), ("T1", "T2"))
    }

    #[test]
    fn lists_have_words() {
        let line = r#"0:txn=[["append","x",1]] 1:txn=[["append","x",2],["r","x",[7,8,9,1,2]]] 2:txn=[["r","x",[7,8,9,1,2,3]]]"#;
        let cases = [
            (
                "ww",
                (0, 0),
                ("1", "2"),
                "T2 appended 2 to key x behind 1, which T1 had appended (the list was read as […,8,9,1,2,3])",
            ),
            (
                "ww",
                (0, 0),
                ("1", "4"),
                "T2 appended 4 to key x behind 1, which T1 had appended (it was in no list yet that was read)",
            ),
            ("wr", (0, 1), ("1", "[1,2]"), "T2 read [1,2] from key x, and so saw 1, which T1 had appended"),
            ("rw", (0, 0), ("nil", "2"), "T1 found key x empty, without 2, which T2 appended"),
            ("rw", (0, 0), ("[1]", "2"), "T1 read [1] from key x, without 2, which T2 appended"),
        ];
        for (kind, micros, values, expected) in cases {
            assert_eq!(told(line, kind, micros, values, None), expected);
        }
    }

    /// An order of versions that nobody saw says from where it is known.
    #[test]
    fn registers_say_whence_the_order_is_known() {
        let line = r#"0:txn=[["w","x",1]] 1:txn=[["w","x",2]]"#;
        let source = Some("the order of a process");
        let cases = [
            (
                "ww",
                ("1", "2"),
                source,
                "T2 wrote 2 to key x over 1, which T1 had written (1 came before 2: known from the order of a process)",
            ),
            ("ww", ("1", "2"), None, "T2 wrote 2 to key x over 1, which T1 had written"),
            (
                "rw",
                ("1", "2"),
                source,
                "T1 read 1 from key x, over which T2 wrote 2 (1 came before 2: known from the order of a process)",
            ),
            (
                "rw",
                ("nil", "2"),
                Some("the initial state"),
                "T1 found nothing in key x, to which T2 wrote 2 (there was nothing before 2: known from the initial state)",
            ),
            ("wr", ("1", "1"), None, "T2 read 1 from key x, which T1 had written"),
        ];
        for (kind, values, source, expected) in cases {
            assert_eq!(told(line, kind, (0, 0), values, source), expected);
        }
    }

    /// A value of any length stays short, and what a list ends with stays.
    #[test]
    fn long_lists_are_cut_in_their_middle() {
        let items: Vec<String> = (0..1_000).map(|item| item.to_string()).collect();
        let list = format!("[{}]", items.join(","));
        let line = format!(r#"0:txn=[["append","x",999]] 1:txn=[["r","x",{list}]]"#);
        let said = told(&line, "wr", (0, 0), ("999", &list), None);
        assert!(said.contains("…") && said.contains(",998,999] from key x") && said.len() < 200, "{said}");
        let said = told(&line, "ww", (0, 0), ("500", "999"), None);
        assert!(said.contains("(the list was read as […,498,499,500,") && said.len() < 250, "{said}");
    }
}
