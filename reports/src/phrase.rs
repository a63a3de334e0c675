//! One operation in words: `process 3 wrote 7 to key 5 on n2`, and short, for a drawing: `write 7`.

use schism_history::{Call, F, History, Kind, Mop, OpIndex, Process, Value, ValueRef};

use crate::words;

/// The call that begins at that event; `None` where the event does not exist or is no invocation (a verdict that was
/// made of another history must not make a report panic).
pub fn call_at(history: &History, invoke: OpIndex) -> Option<Call> {
    let inside = (invoke as usize) < history.len();
    (inside && history.kind(invoke) == Kind::Invoke).then(|| history.call(invoke))
}

/// Who acts: `process 3`, `nemesis/kill`.
pub fn actor(process: &Process) -> String {
    match process {
        Process::Client(number) => format!("process {number}"),
        nemesis @ Process::Nemesis(_) => words::cut(&nemesis.to_string(), words::VALUE_CHARS_MAX),
    }
}

/// What a call observed or wrote: the value of its `ok` completion for reads, of its invocation otherwise.
pub fn told<'a>(history: &'a History, call: &Call) -> ValueRef<'a> {
    match call.completion {
        Some(completion) if call.outcome == Kind::Ok && *history.f(call.invoke) == F::Read => history.value(completion),
        Some(completion) if call.outcome == Kind::Ok && *history.f(call.invoke) == F::Txn => history.value(completion),
        _ => history.value(call.invoke),
    }
}

/// Whether an `ok` compare-and-set changed something.
pub fn cas_matched(history: &History, call: &Call) -> bool {
    call.outcome == Kind::Ok && call.completion.and_then(|completion| history.matched(completion)) != Some(false)
}

/// A micro-operation in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MicroText {
    /// `append 1 to 5`, `read 5: [1 2]`, `write 7 to 5`.
    pub text: String,
    /// `appended 1 to key 5`, `read [1,2] from key 5`, `wrote 7 to key 5`.
    pub past: String,
    /// Its key, as text; of a read by predicate the predicate.
    pub key: String,
    /// What it wrote or read, as text.
    pub value: String,
    /// Whether it appends to a list or reads one.
    pub is_list: bool,
    /// Whether it reads.
    pub is_read: bool,
}

/// The micro-operations of a transaction, in order; none for another call.
pub fn micros(history: &History, call: &Call) -> Vec<MicroText> {
    micros_within(history, call, words::NAME_CHARS_MAX, words::VALUE_CHARS_MAX)
}

/// [`micros`] with so many characters at most for a key and for a value.
pub fn micros_within(history: &History, call: &Call, key_max: usize, value_max: usize) -> Vec<MicroText> {
    let ended = call.completion.filter(|_| call.outcome == Kind::Ok);
    let value = history.value(ended.unwrap_or(call.invoke));
    let Value::Txn(mops) = &*value else { return Vec::new() };
    mops.iter().map(|mop| micro(mop, ended.is_some(), key_max, value_max)).collect()
}

fn micro(mop: &Mop, is_answered: bool, key_max: usize, value_max: usize) -> MicroText {
    let key = words::cut_middle(&mop.key.to_string(), key_max);
    let carried = words::cut_middle(&mop.value.to_string(), value_max);
    let is_read = matches!(&*mop.f, "r" | "read" | "rp");
    let is_list = &*mop.f == "append" || is_read && matches!(mop.value, Value::List(_) | Value::Pair(_));
    let (text, past) = match &*mop.f {
        "append" => (format!("append {carried} to {key}"), format!("appended {carried} to key {key}")),
        "w" | "write" => (format!("write {carried} to {key}"), format!("wrote {carried} to key {key}")),
        "rp" if is_answered => (format!("read where {key}: {carried}"), format!("found {carried} where {key}")),
        "rp" => (format!("read where {key}"), format!("asked what is there where {key}")),
        "r" | "read" if !is_answered => (format!("read {key}"), format!("asked to read key {key}")),
        "r" | "read" if mop.value.is_nil() => {
            (format!("read {key}: {carried}"), format!("read nothing ({carried}) from key {key}"))
        }
        "r" | "read" => (format!("read {key}: {carried}"), format!("read {carried} from key {key}")),
        "insert" => (format!("insert {key} as {carried}"), format!("inserted key {key} as {carried}")),
        "delete" => (format!("delete {key}"), format!("deleted key {key}")),
        "init" => (format!("{key} is {carried} from the start"), format!("had key {key} as {carried} from the start")),
        f => {
            let text = format!("{} {key} {carried}", words::cut(f, 24));
            (text.clone(), format!("did {text}"))
        }
    };
    MicroText { text, past, key, value: carried, is_list, is_read }
}

/// Most micro-operations of a transaction that are told.
const MICROS_MAX: usize = 12;

/// What is shown of many things in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    /// The one at that place.
    One(usize),
    /// So many are left out here.
    LeftOut(usize),
}

/// Which of `count` things are shown if about `max` may be: those that play a part (of them at most `max`), and then the
/// first ones.
pub fn shown(count: usize, max: usize, parts: &[u32]) -> Vec<Shown> {
    let mut places: Vec<usize> =
        parts.iter().map(|&part| part as usize).filter(|&part| part < count).take(max).collect();
    places.sort_unstable();
    places.dedup();
    let others = (0..count).filter(|place| places.binary_search(place).is_err()).take(max - places.len());
    let others: Vec<usize> = others.collect();
    places.extend(others);
    places.sort_unstable();
    let mut all = Vec::with_capacity(places.len() + 2);
    let mut next = 0;
    for place in places {
        if place > next {
            all.push(Shown::LeftOut(place - next));
        }
        all.push(Shown::One(place));
        next = place + 1;
    }
    if next < count {
        all.push(Shown::LeftOut(count - next));
    }
    all
}

/// The call as a label: `write 7`, `read → 6`, `cas 1 → 2`, `cas 1 → 2 no match`, `read ?`.
pub fn label(history: &History, call: &Call) -> String {
    let value = words::cut(&told(history, call).to_string(), 24);
    match (history.f(call.invoke), &*told(history, call)) {
        (F::Read, _) if call.outcome == Kind::Ok => format!("read → {value}"),
        (F::Read, _) => "read ?".to_owned(),
        (F::Cas, Value::Pair([old, new])) => {
            let unmatched = call.outcome == Kind::Ok && !cas_matched(history, call);
            format!("cas {old} → {new}{}", if unmatched { " no match" } else { "" })
        }
        (f, Value::Nil) => words::cut(f.as_str(), 24),
        (f, _) => format!("{} {value}", words::cut(f.as_str(), 24)),
    }
}

/// Who did what where, without times: `process 3 wrote 7 to key 5 on n2`.
pub fn deed(history: &History, call: &Call) -> String {
    deed_with(history, call, &[])
}

/// [`deed`]; of a long transaction the micro-operations at these places are told in any case.
fn deed_with(history: &History, call: &Call, parts: &[u32]) -> String {
    let who = actor(history.process(call.invoke));
    let key = history.key(call.invoke).map(|key| format!("key {}", words::name(&key.to_string())));
    let object = key.as_deref().unwrap_or("the register");
    let node = history.node(call.invoke).map_or_else(String::new, |node| format!(" on {}", words::name(node.as_str())));
    let value = words::value(&told(history, call));
    let nothing = told(history, call).is_nil();
    match (history.f(call.invoke), &*told(history, call), call.outcome) {
        (F::Read, _, Kind::Ok) if nothing => format!("{who} read {object}{node} and found nothing (nil)"),
        (F::Read, _, Kind::Ok) => format!("{who} read {value} from {object}{node}"),
        (F::Read, _, _) => format!("{who} asked to read {object}{node}"),
        (F::Write, _, Kind::Ok) => format!("{who} wrote {value} to {object}{node}"),
        (F::Write, _, _) => format!("{who} asked to write {value} to {object}{node}"),
        (F::Cas, Value::Pair([old, new]), Kind::Ok) if cas_matched(history, call) => {
            format!("{who} changed {object} from {old} to {new}{node} (compare-and-set)")
        }
        (F::Cas, Value::Pair([old, new]), Kind::Ok) => {
            format!("{who} tried to change {object} from {old} to {new}{node} and was told that {old} was not there")
        }
        (F::Cas, Value::Pair([old, new]), _) => {
            format!("{who} asked to change {object} from {old} to {new}{node} (compare-and-set)")
        }
        (F::Txn, Value::Txn(mops), outcome) => {
            let verb = if outcome == Kind::Ok { "ran" } else { "asked for" };
            let micros = micros(history, call);
            let told = shown(mops.len(), MICROS_MAX, parts).into_iter().map(|one| match one {
                Shown::One(place) => micros.get(place).map_or_else(String::new, |micro| micro.text.clone()),
                Shown::LeftOut(count) => format!("({count} more)"),
            });
            let told: Vec<String> = told.collect();
            let what = if told.is_empty() { "an empty transaction".to_owned() } else { told.join(" · ") };
            format!("{who} {verb} {what}{node}")
        }
        (f, _, outcome) => {
            let f = words::cut(f.as_str(), 40);
            let on = key.map_or_else(String::new, |key| format!(" on {key}"));
            let verb = if outcome == Kind::Ok { "did" } else { "asked for" };
            format!("{who} {verb} {f}{}{on}{node}", if nothing { String::new() } else { format!(" {value}") })
        }
    }
}

/// A whole sentence without its full stop: deed, times and, where it is not `ok`, what is known of the end.
/// `decimals` as in [`words::moment`]; a history without times tells the places of events instead.
pub fn sentence(history: &History, call: &Call, decimals: usize) -> String {
    sentence_with(history, call, decimals, &[])
}

/// [`sentence`]; of a long transaction the micro-operations at these places are told in any case.
pub fn sentence_with(history: &History, call: &Call, decimals: usize, parts: &[u32]) -> String {
    let deed = deed_with(history, call, parts);
    let (begun_ns, ended_ns) = (history.time_ns(call.invoke), call.completion.map(|end| history.time_ns(end)));
    let timeless = begun_ns == 0 && ended_ns.is_none_or(|ended| ended == 0);
    let told = |index, ns| if timeless { format!("event {index}") } else { words::moment(ns, decimals) };
    let begun = told(call.invoke, begun_ns);
    let Some(completion) = call.completion else {
        return format!("{deed} at {begun}, and was never answered; it may have taken effect at any time since");
    };
    let ended = told(completion, history.time_ns(completion));
    let error = history.error(completion).map_or_else(String::new, |error| format!(" ({})", words::value(error)));
    match call.outcome {
        Kind::Ok | Kind::Invoke => format!("{deed} between {begun} and {ended}"),
        Kind::Fail => format!("{deed} between {begun} and {ended}, and certainly failed{error}"),
        Kind::Info => {
            format!(
                "{deed} at {begun} and did not learn how it ended{error}; it may have taken effect at any time since"
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use schism_history::{Key, Node, Op};

    fn history(f: F, asked: Value, outcome: Option<(Kind, Value, Option<bool>)>) -> History {
        let mut invoke = Op::new(Process::Client(3), Kind::Invoke, f.clone(), asked);
        invoke.key = Some(Key::Int(5));
        invoke.node = Some(Node::new("n2"));
        invoke.time_ns = 12_301_000_000;
        let completion = outcome.map(|(kind, value, matched)| Op {
            time_ns: 12_305_000_000,
            matched,
            error: (kind != Kind::Ok).then(|| Box::new(Value::str("timeout"))),
            ..Op { kind, value, ..invoke.clone() }
        });
        History::from_ops(std::iter::once(invoke).chain(completion)).unwrap()
    }

    #[test]
    fn deeds_in_words() {
        let pair = Value::Pair([1, 2]);
        let cases = [
            (
                F::Write,
                Value::Int(7),
                Some((Kind::Ok, Value::Int(7), None)),
                "process 3 wrote 7 to key 5 on n2",
                "write 7",
            ),
            (
                F::Read,
                Value::Nil,
                Some((Kind::Ok, Value::Int(6), None)),
                "process 3 read 6 from key 5 on n2",
                "read → 6",
            ),
            (
                F::Read,
                Value::Nil,
                Some((Kind::Ok, Value::Nil, None)),
                "process 3 read key 5 on n2 and found nothing (nil)",
                "read → nil",
            ),
            (
                F::Read,
                Value::Nil,
                Some((Kind::Fail, Value::Nil, None)),
                "process 3 asked to read key 5 on n2",
                "read ?",
            ),
            (
                F::Cas,
                pair.clone(),
                Some((Kind::Ok, pair.clone(), Some(true))),
                "process 3 changed key 5 from 1 to 2 on n2 (compare-and-set)",
                "cas 1 → 2",
            ),
            (
                F::Cas,
                pair.clone(),
                Some((Kind::Ok, pair.clone(), Some(false))),
                "process 3 tried to change key 5 from 1 to 2 on n2 and was told that 1 was not there",
                "cas 1 → 2 no match",
            ),
            (F::Write, Value::Int(7), None, "process 3 asked to write 7 to key 5 on n2", "write 7"),
            (
                F::Add,
                Value::Int(7),
                Some((Kind::Ok, Value::Int(7), None)),
                "process 3 did add 7 on key 5 on n2",
                "add 7",
            ),
        ];
        for (f, asked, outcome, deed_text, label_text) in cases {
            let history = history(f, asked, outcome);
            let call = call_at(&history, 0).unwrap();
            assert_eq!(deed(&history, &call), deed_text);
            assert_eq!(label(&history, &call), label_text);
        }
    }

    #[test]
    fn what_plays_a_part_is_shown() {
        use Shown::{LeftOut, One};
        assert_eq!(shown(2, 3, &[]), [One(0), One(1)]);
        assert_eq!(shown(9, 3, &[5, 5, 99]), [One(0), One(1), LeftOut(3), One(5), LeftOut(3)]);
        assert_eq!(shown(9, 2, &[8, 4, 1]), [LeftOut(4), One(4), LeftOut(3), One(8)]);
        assert_eq!(shown(0, 2, &[0]), []);
        assert_eq!(shown(3, 0, &[0]), [LeftOut(3)]);
    }

    /// A micro-operation of each function, read or not, in the present and in the past.
    #[test]
    fn micro_operations_in_words() {
        let line = r#"0:txn=[["append","x",1],["r","x",[1]],["r","y",null],["w","y",2],["rp","= 1",{"a":1}],["insert","a",1],["delete","a",null],["init","b",2],["odd","c",3]]"#;
        let history = schism_history::notation::parse(line).unwrap();
        let told = micros(&history, &history.call(0));
        let told: Vec<(&str, &str)> = told.iter().map(|one| (one.text.as_str(), one.past.as_str())).collect();
        assert_eq!(
            told,
            [
                ("append 1 to x", "appended 1 to key x"),
                ("read x: [1]", "read [1] from key x"),
                ("read y: nil", "read nothing (nil) from key y"),
                ("write 2 to y", "wrote 2 to key y"),
                ("read where = 1: {\"a\":1}", "found {\"a\":1} where = 1"),
                ("insert a as 1", "inserted key a as 1"),
                ("delete a", "deleted key a"),
                ("b is 2 from the start", "had key b as 2 from the start"),
                ("odd c 3", "did odd c 3"),
            ]
        );
        let asked = schism_history::notation::parse(&format!("{line}?")).unwrap();
        let told = micros(&asked, &asked.call(0));
        assert_eq!([&told[1].text, &told[4].past], ["read x", "asked what is there where = 1"]);
        assert_eq!((told[1].is_read, told[1].is_list, told[3].is_list), (true, true, false));
    }

    #[test]
    fn a_long_transaction_tells_what_plays_a_part() {
        let micros: Vec<String> = (0..20).map(|n| format!(r#"["append",{n},1]"#)).collect();
        let history = schism_history::notation::parse(&format!("0:txn=[{}]", micros.join(","))).unwrap();
        let told = sentence_with(&history, &history.call(0), 3, &[15]);
        assert!(told.contains("append 1 to 10 · (4 more) · append 1 to 15 · (4 more) between"), "{told}");
    }

    #[test]
    fn doubt_says_so() {
        let answered = history(F::Write, Value::Int(7), Some((Kind::Info, Value::Int(7), None)));
        let text = sentence(&answered, &answered.call(0), 3);
        assert_eq!(
            text,
            "process 3 asked to write 7 to key 5 on n2 at 12.301 s and did not learn how it ended (timeout); it may have \
             taken effect at any time since"
        );
        let open = history(F::Write, Value::Int(7), None);
        assert!(sentence(&open, &open.call(0), 3).contains("was never answered"));
        let failed = history(F::Write, Value::Int(7), Some((Kind::Fail, Value::Int(7), None)));
        assert!(sentence(&failed, &failed.call(0), 3).ends_with("12.305 s, and certainly failed (timeout)"));
    }

    #[test]
    fn a_place_that_is_no_invocation_is_no_call() {
        let history = history(F::Write, Value::Int(7), Some((Kind::Ok, Value::Int(7), None)));
        assert!(call_at(&history, 0).is_some());
        assert!(call_at(&history, 1).is_none());
        assert!(call_at(&history, 2).is_none());
        assert!(call_at(&history, u32::MAX).is_none());
    }
}
