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
    /// Whether it is about a list.
    pub is_list: bool,
    /// Whether it reads.
    pub is_read: bool,
}

/// The micro-operations of a transaction, in order; none for another call.
pub fn micros(history: &History, call: &Call) -> Vec<MicroText> {
    let ended = call.completion.filter(|_| call.outcome == Kind::Ok);
    let value = history.value(ended.unwrap_or(call.invoke));
    let Value::Txn(mops) = &*value else { return Vec::new() };
    let one = |mop: &Mop| {
        let key = words::name(&mop.key.to_string());
        let carried = words::value(&mop.value);
        let is_read = matches!(&*mop.f, "r" | "read");
        let is_list = &*mop.f == "append" || is_read && matches!(mop.value, Value::List(_) | Value::Pair(_));
        let text = match &*mop.f {
            "append" => format!("append {carried} to {key}"),
            "w" | "write" => format!("write {carried} to {key}"),
            _ if is_read && ended.is_none() => format!("read {key}"),
            _ if is_read => format!("read {key}: {carried}"),
            f => format!("{} {key} {carried}", words::cut(f, 24)),
        };
        MicroText { text, is_list, is_read }
    };
    mops.iter().map(one).collect()
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
            let shown: Vec<String> = micros(history, call).into_iter().take(12).map(|micro| micro.text).collect();
            let more = if mops.len() > 12 { format!(" · and {} more", mops.len() - 12) } else { String::new() };
            let what = if shown.is_empty() { "an empty transaction".to_owned() } else { shown.join(" · ") };
            format!("{who} {verb} {what}{more}{node}")
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
    let deed = deed(history, call);
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
