//! Anomalies to plant: a few transactions on keys of their own that show one kind, and no more than comes with it.
//!
//! Each is written in a small notation: phases, separated by `;`, come one after another; the transactions of a phase,
//! separated by `|`, overlap all. A transaction is its process, then `:` (ok), `!` (fails), `?` (in doubt) or `>` (ok, but
//! it ends only after all others), then micro-operations: `ax1` appends 1 to x, `rx12` reads `[1, 2]` of x, `rx` nothing.
//! Of registers the same with `w` for an append and the last element for a list, unless the kind has a notation of its
//! own for them.

use super::Data;
use schism_history::{F, Key, Kind, Mop, Op, Process, Value};

/// Some transactions that show an anomaly.
#[derive(Debug)]
pub struct Gadget {
    /// The kind, as the checkers name it.
    pub kind: &'static str,
    /// The transactions, in the notation above.
    pub text: &'static str,
    /// What shows it: lists, registers, or both.
    pub shows: Shows,
}

/// In which data a gadget shows its anomaly. With registers, that the order of versions is not known makes some invisible.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shows {
    /// Lists alone.
    Lists,
    /// Registers alone.
    Registers,
    /// Both.
    Both,
}

impl Gadget {
    /// The first of a kind, if there is one. Kinds of predicates have none.
    pub fn of(kind: &str) -> Option<&'static Gadget> {
        GADGETS.iter().find(|gadget| gadget.kind == kind)
    }

    /// Whether it shows in this data.
    pub fn shows_in(&self, data: Data) -> bool {
        match self.shows {
            Shows::Both => true,
            Shows::Lists => data == Data::Lists,
            Shows::Registers => data == Data::Registers,
        }
    }

    /// Its events, with processes and keys from these numbers on.
    pub fn ops(&self, data: Data, process: u32, key: i64) -> Vec<Op> {
        let (mut ops, mut late) = (Vec::new(), Vec::new());
        for phase in self.text.split(';') {
            let mut ends = Vec::new();
            for text in phase.split('|') {
                let place = text.find([':', '!', '?', '>']).expect("a gadget's transaction has an end");
                let process = Process::Client(process + text[..place].parse::<u32>().expect("a gadget's process"));
                let op = |kind| {
                    let micros = text[place + 1..].split_whitespace();
                    let mops = micros.map(|micro| mop(micro, data, key, kind == Kind::Ok)).collect();
                    Op::new(process.clone(), kind, F::Txn, Value::Txn(Box::new(mops)))
                };
                ops.push(op(Kind::Invoke));
                match &text[place..=place] {
                    ":" => ends.push(op(Kind::Ok)),
                    "!" => ends.push(op(Kind::Fail)),
                    "?" => ends.push(op(Kind::Info)),
                    _ => late.push(op(Kind::Ok)),
                }
            }
            ops.append(&mut ends);
        }
        ops.append(&mut late);
        ops
    }
}

fn mop(text: &str, data: Data, key: i64, answered: bool) -> Mop {
    let mut chars = text.chars();
    let f = chars.next().expect("a gadget's micro-operation");
    let key = Key::Int(key + i64::from(u32::from(chars.next().expect("a gadget's key"))));
    let mut elements = chars.map(|digit| Value::Int(i64::from(digit.to_digit(10).expect("a gadget's element"))));
    match (f, data) {
        ('r', _) if !answered => Mop::new("r", key, Value::Nil),
        ('r', Data::Registers) => Mop::new("r", key, elements.next_back().unwrap_or(Value::Nil)),
        ('r', Data::Lists) => {
            let elements: Vec<Value> = elements.collect();
            Mop::new("r", key, if elements.is_empty() { Value::Nil } else { Value::list(elements) })
        }
        (_, data) => {
            let f = if data == Data::Lists { "append" } else { "w" };
            Mop::new(f, key, elements.next().expect("a gadget's element to write"))
        }
    }
}

const fn both(kind: &'static str, text: &'static str) -> Gadget {
    Gadget { kind, text, shows: Shows::Both }
}

const fn lists(kind: &'static str, text: &'static str) -> Gadget {
    Gadget { kind, text, shows: Shows::Lists }
}

const fn registers(kind: &'static str, text: &'static str) -> Gadget {
    Gadget { kind, text, shows: Shows::Registers }
}

const WRITE_SKEW: &str = "0:rx ry ax1|1:rx ry ay1|2:rx1 ry1";
const LOST_UPDATE: &str = "0:rx ax1|1:rx ax2|2:rx12";
const LONG_FORK: &str = "0:ax1|1:ay1|2:rx1 ry|3:rx ry1";
const CAUSAL_CHAIN: &str = "0:ax1;1:rx1;1:ay1;2:ry1;2:rx";
const LATER_FIRST: &str = "0:ax1;0:ay1;1:ry1;1:rx";
const OWN_MISSED: &str = "0:ax1;0:rx;1:rx1";
const OTHER_MISSED: &str = "0:ax1;1:rx;2:rx1";

/// At least one for each kind that needs no predicate and is of transactions.
pub const GADGETS: &[Gadget] = &[
    lists("G0", "0:ax1 ay2|1:ax2 ay1|2:rx12 ry12"),
    lists("G0-process", "0:ax1;0:ax2;1:rx21"),
    lists("G0-realtime", "0:ax1;1:ax2;2:rx21"),
    both("G1a", "0!ax1|1:rx1"),
    both("G1b", "0:ax1 ax2|1:rx1|2:rx12"),
    both("G1c", "0:ax1 ry1|1:ay1 rx1"),
    both("G1c-process", "0:rx1;0:ax1"),
    both("G1c-realtime", "0:rx1;1:ax1"),
    both("G-single-item", "0:ax1 ay1|1:rx1 ry|2:rx1 ry1"),
    both("G-single-item-process", OWN_MISSED),
    both("G-single-item-realtime", OTHER_MISSED),
    both("G-nonadjacent-item", LONG_FORK),
    both("G-nonadjacent-item-process", "0>ax1|1:ay1|2>rx1 ry;1:rx"),
    both("G-nonadjacent-item-realtime", "0>ax1|1:ay1|2>rx1 ry;3:rx"),
    both("G2-item", WRITE_SKEW),
    both("G2-item-process", "0:ax1|1>rx ay1;0:ry;2:rx1 ry1"),
    both("G2-item-realtime", "0:ax1|1>rx ay1;2:ry;3:rx1 ry1"),
    both("internal", "0:ax1 rx|1:rx1"),
    both("future-read", "0:rx1 ax1"),
    lists("dirty-update", "0!ax1|1:ax2|2:rx12"),
    both("lost-update", LOST_UPDATE),
    // Of registers neither of the two can be the first to write both keys.
    lists("G-cursor", "0:rx ax2|1:ax1|2:rx12"),
    registers("G-cursor", "0:rx ax1 ay2|1:ry ay1 ax2"),
    // Of registers whoever is the second to write x has missed what the first wrote besides.
    lists("not-update-atomic", "0:ry ax2|1:ay1 ax1|2:rx12"),
    registers("not-update-atomic", "0:ry ax1 az1|1:rz ax2 ay1"),
    both("G-monotonic", "0:ax1|1:rx1 ay1|2:ry1 rx"),
    both("G-MSR", "0:ax1|1:ay1|2:rx1 ry|3:ry1 rx"),
    both("write-skew", WRITE_SKEW),
    both("long-fork", LONG_FORK),
    lists("duplicate-elements", "0:ax1|1:rx11"),
    lists("incompatible-order", "0:ax1|1:ax2|2:rx12|3:rx21"),
    registers("cyclic-versions", "0:rx1 ax2|1:rx2 ax1"),
    both("garbage-read", "0:rx9"),
    both("non-repeatable-read", "0:ax1|1:rx rx1"),
    both("non-monotonic-view", "0:ax1 ay1|1:rx1 ry"),
    both("fractured-read", "0:ax1 ay1|1:ry rx1"),
    both("stale-causal-read", "0:ax1|1:rx1 ay1|2:ry1 rx"),
    registers("non-monotonic-view-process", "0:ax1;0:ax2 ay1;1:ry1 rx1"),
    both("fractured-read-process", OWN_MISSED),
    both("stale-causal-read-process", CAUSAL_CHAIN),
    both("not-read-your-writes", OWN_MISSED),
    both("not-monotonic-reads", "0:ax1;1:rx1;1:rx"),
    both("not-monotonic-writes", "0:ax1;0:ay1;1:ry1 rx"),
    both("not-writes-follow-reads", "0:ax1;1:rx1;1:ay1;2:ry1 rx"),
    both("not-pram", LATER_FIRST),
    both("not-causal", CAUSAL_CHAIN),
    registers("not-pipelined-ram", "0>ax2|1:ay1;1:ax1;1:az1;2:rx2;2:ry;2:rz1;2:rx2"),
    registers("not-causal-memory", "0>az1|1:ax2;2:rz1;2:ax1;2:ay1;1:rz;1:ry1;1:rx2"),
    both("not-sequential", OWN_MISSED),
    both("not-linearizable", OTHER_MISSED),
    both("not-prefix", LONG_FORK),
    both("not-prefix-process", "0>ax1|1>ay1;2:rx1;3:ry1;2:ry;3:rx"),
    both("not-parallel-snapshot-isolation", LOST_UPDATE),
    both("not-update-serializable", WRITE_SKEW),
    both("not-snapshot-isolation", LOST_UPDATE),
    both("not-snapshot-isolation-process", OWN_MISSED),
    both("not-snapshot-isolation-realtime", OTHER_MISSED),
    both("not-serializable", WRITE_SKEW),
    both("not-serializable-process", "0:ax1|1>rx ay1;0:ry;2:rx1 ry1"),
    both("not-serializable-realtime", "0:ax1|1>rx ay1;2:ry;3:rx1 ry1"),
];
