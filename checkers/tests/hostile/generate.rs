//! Hostile histories: events made by a scheduler of processes over a store that may apply calls late, twice never, and
//! answer from anywhere; then bent by hand. Nothing is linearizable by intention.

use std::collections::HashMap;

use schism_history::{F, History, Key, Kind, Op, Process, Value};

use super::oracle::{Act, Call, Cell};

/// A small generator of its own (splitmix64).
pub struct Chance(pub u64);

impl Chance {
    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ mixed >> 31
    }

    /// A number below `end`.
    pub fn below(&mut self, end: usize) -> usize {
        (self.bits() % end.max(1) as u64) as usize
    }

    /// Yes, so many times in a hundred.
    pub fn percent(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    /// One of these.
    pub fn of(&mut self, all: &[usize]) -> usize {
        all[self.below(all.len())]
    }
}

/// What was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ask {
    /// A read.
    Read,
    /// A write.
    Write(Cell),
    /// From, to.
    Cas(Cell, Cell),
}

/// What was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reply {
    /// `ok`, a read with this value.
    Ok(Cell),
    /// `ok`, with `matched` false.
    NoMatch,
    /// `fail`.
    Fail,
    /// `info`.
    Info,
}

/// An event: who, which call, and the reply (none: the invocation).
#[derive(Debug, Clone, Copy)]
pub struct Event {
    /// The process.
    pub process: u32,
    /// The call's place.
    pub call: usize,
    /// The reply.
    pub reply: Option<Reply>,
}

/// A history in the making.
#[derive(Debug, Clone, Default)]
pub struct Draft {
    /// By call: key and question.
    pub asked: Vec<(usize, Ask)>,
    /// In order.
    pub events: Vec<Event>,
}

/// What kind of history.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    /// Calls.
    pub calls: usize,
    /// Processes at a time.
    pub processes: usize,
    /// Values, nil included; 0: every change has a value of its own.
    pub values: usize,
    /// Independent keys.
    pub keys: usize,
    /// In a hundred replies.
    pub info_percent: usize,
    /// In a hundred reads and compare-and-sets: answered from anywhere.
    pub lie_percent: usize,
    /// In a hundred calls.
    pub cas_percent: usize,
    /// In a hundred of the others.
    pub read_percent: usize,
    /// In a hundred turns: a process begins rather than ends.
    pub begin_percent: usize,
    /// Events moved by one place.
    pub swaps: usize,
    /// Calls in doubt at most.
    pub doubts_max: usize,
}

impl Shape {
    /// Up to so many calls, of any kind.
    pub fn any(chance: &mut Chance, calls_max: usize) -> Shape {
        Shape {
            calls: 1 + chance.below(calls_max).max(chance.below(calls_max)),
            processes: chance.of(&[1, 2, 3, 4, 6, 9]),
            values: chance.of(&[0, 0, 2, 2, 3, 4]),
            keys: chance.of(&[1, 1, 1, 1, 2, 3]),
            info_percent: chance.of(&[0, 10, 30, 60, 90]),
            lie_percent: chance.of(&[0, 5, 20, 50, 100]),
            cas_percent: chance.of(&[0, 20, 50, 100]),
            read_percent: chance.of(&[10, 50, 70, 90]),
            begin_percent: chance.of(&[35, 50, 70, 90, 97]),
            swaps: chance.of(&[0, 0, 2, 5, 20]),
            doubts_max: chance.of(&[0, 2, 5, 20]),
        }
    }
}

/// The store and the schedule.
struct World {
    cells: Vec<Cell>,
    fresh: Cell,
    /// Calls that the store has not applied yet, those in doubt too.
    pending: Vec<usize>,
    answers: HashMap<usize, Reply>,
}

impl World {
    fn value(&mut self, chance: &mut Chance, shape: Shape) -> Cell {
        if shape.values > 0 {
            return chance.below(shape.values) as Cell;
        }
        self.fresh = (self.fresh + 1).min(60);
        self.fresh
    }

    fn apply(&mut self, draft: &Draft, call: usize) {
        let (key, ask) = draft.asked[call];
        let cell = &mut self.cells[key];
        let reply = match ask {
            Ask::Read => Reply::Ok(*cell),
            Ask::Write(new) => {
                *cell = new;
                Reply::Ok(new)
            }
            Ask::Cas(old, new) if *cell == old => {
                *cell = new;
                Reply::Ok(new)
            }
            Ask::Cas(..) => Reply::NoMatch,
        };
        self.answers.insert(call, reply);
        self.pending.retain(|&other| other != call);
    }
}

/// A history of that shape.
pub fn draft(chance: &mut Chance, shape: Shape) -> Draft {
    let mut draft = Draft::default();
    let mut world = World { cells: vec![0; shape.keys], fresh: 0, pending: Vec::new(), answers: HashMap::new() };
    let mut open: Vec<Option<usize>> = vec![None; shape.processes];
    let mut names: Vec<u32> = (0..shape.processes as u32).collect();
    let (mut next_name, mut doubts) = (shape.processes as u32, 0);
    let stop_early = chance.percent(30);
    loop {
        let worker = chance.below(shape.processes);
        let may_begin = draft.asked.len() < shape.calls;
        if !may_begin && (stop_early || open.iter().all(Option::is_none)) {
            break;
        }
        // Whoever is pending may be applied at any moment: long after its reply, if that was `info`.
        if !world.pending.is_empty() && chance.percent(50) {
            let call = world.pending[chance.below(world.pending.len())];
            world.apply(&draft, call);
        }
        match open[worker] {
            None if may_begin && chance.percent(shape.begin_percent) => {
                let call = draft.asked.len();
                let ask = ask(chance, &mut world, shape);
                draft.asked.push((chance.below(shape.keys), ask));
                draft.events.push(Event { process: names[worker], call, reply: None });
                world.pending.push(call);
                open[worker] = Some(call);
            }
            Some(call) if !chance.percent(shape.begin_percent) => {
                let reply = reply(chance, &mut world, &draft, shape, call, doubts < shape.doubts_max);
                draft.events.push(Event { process: names[worker], call, reply: Some(reply) });
                open[worker] = None;
                if reply == Reply::Info {
                    doubts += 1;
                    names[worker] = next_name;
                    next_name += 1;
                }
            }
            _ => {}
        }
    }
    bend(chance, &mut draft, shape.swaps);
    draft
}

fn ask(chance: &mut Chance, world: &mut World, shape: Shape) -> Ask {
    if chance.percent(shape.cas_percent) {
        let standing = world.cells[chance.below(world.cells.len())];
        // Where each change has a value of its own: one of the last few, which may still be on its way.
        let any = match shape.values {
            0 => usize::from(world.fresh) - chance.below(usize::from(world.fresh).min(4) + 1),
            values => chance.below(values.max(5)),
        };
        let old = if chance.percent(50) { standing } else { any as Cell };
        let new = if chance.percent(10) { old } else { world.value(chance, shape) };
        Ask::Cas(old, new)
    } else if chance.percent(shape.read_percent) {
        Ask::Read
    } else {
        Ask::Write(world.value(chance, shape))
    }
}

fn reply(chance: &mut Chance, world: &mut World, draft: &Draft, shape: Shape, call: usize, doubt: bool) -> Reply {
    if doubt && chance.percent(shape.info_percent) {
        return Reply::Info;
    }
    if !world.answers.contains_key(&call) {
        if chance.percent(10) {
            // Half of the time it does happen all the same: a database that lies.
            if !chance.percent(shape.lie_percent) {
                world.pending.retain(|&other| other != call);
            }
            return Reply::Fail;
        }
        world.apply(draft, call);
    }
    let honest = world.answers[&call];
    if !chance.percent(shape.lie_percent) {
        return honest;
    }
    match draft.asked[call].1 {
        Ask::Read if shape.values == 0 => Reply::Ok(chance.below(usize::from(world.fresh) + 2) as Cell),
        Ask::Read => Reply::Ok(chance.below(shape.values.max(4)) as Cell),
        Ask::Write(new) => Reply::Ok(new),
        Ask::Cas(_, new) => {
            if chance.percent(50) {
                Reply::Ok(new)
            } else {
                Reply::NoMatch
            }
        }
    }
}

/// Moves events past their neighbours, where these are of other processes.
fn bend(chance: &mut Chance, draft: &mut Draft, swaps: usize) {
    for _ in 0..swaps {
        if draft.events.len() < 2 {
            return;
        }
        let mut at = chance.below(draft.events.len() - 1);
        let to = at + 1 + chance.below(4);
        while at < to {
            let last = at + 1 >= draft.events.len();
            // A process that was retired is gone, so its successor may stand anywhere.
            if last || draft.events[at].process == draft.events[at + 1].process {
                break;
            }
            draft.events.swap(at, at + 1);
            at += 1;
        }
    }
}

/// How cells are shown in the history.
#[derive(Debug, Clone, Copy)]
pub enum Palette {
    /// 1, 2, 3...
    Ints,
    /// Texts.
    Texts,
    /// A different type each, nil among them.
    Mixed,
}

impl Palette {
    /// The value of a cell.
    pub fn value(self, cell: Cell) -> Value {
        match (self, cell) {
            (_, 0) => Value::Nil,
            (Palette::Ints, _) => Value::Int(i64::from(cell)),
            (Palette::Texts, _) => Value::str(&format!("v{cell}")),
            (Palette::Mixed, 1) => Value::Int(1),
            (Palette::Mixed, 2) => Value::str("1"),
            (Palette::Mixed, 3) => Value::list(vec![Value::Int(1), Value::Int(2)]),
            (Palette::Mixed, 4) => Value::Float(1.5),
            (Palette::Mixed, 5) => Value::Bool(false),
            (Palette::Mixed, _) => Value::Int(i64::MIN + i64::from(cell)),
        }
    }
}

/// The key of that number.
pub fn key(texts: bool, number: usize) -> Key {
    if texts { Key::Str(format!("key {number}").into()) } else { Key::Int(number as i64 * 7 - 3) }
}

/// The history; with keys if there are several, or if they are texts.
pub fn history(draft: &Draft, palette: Palette, keyed: Option<bool>) -> History {
    let ops = draft.events.iter().enumerate().map(|(place, event)| {
        let (number, ask) = draft.asked[event.call];
        let (f, argument) = match ask {
            Ask::Read => (F::Read, Value::Nil),
            Ask::Write(new) => (F::Write, palette.value(new)),
            Ask::Cas(old, new) => (F::Cas, Value::list(vec![palette.value(old), palette.value(new)])),
        };
        let (kind, value, matched) = match event.reply {
            None => (Kind::Invoke, argument, None),
            Some(Reply::Fail) => (Kind::Fail, argument, None),
            Some(Reply::Info) => (Kind::Info, argument, None),
            Some(Reply::NoMatch) => (Kind::Ok, argument, Some(false)),
            Some(Reply::Ok(seen)) if ask == Ask::Read => (Kind::Ok, palette.value(seen), None),
            Some(Reply::Ok(_)) => (Kind::Ok, argument, (f == F::Cas && place % 2 == 0).then_some(true)),
        };
        let mut op = Op::new(Process::Client(event.process), kind, f, value);
        (op.matched, op.key) = (matched, keyed.map(|texts| key(texts, number)));
        op.time_ns = place as u64 * 1000;
        op
    });
    History::from_ops(ops).expect("a scheduler of processes makes sound histories")
}

/// The calls of a key that count, in order of invocation.
pub fn calls(draft: &Draft, key: usize) -> Vec<Call> {
    let mut calls: Vec<Call> = Vec::new();
    let mut replies: HashMap<usize, (u32, Reply)> = HashMap::new();
    for (place, event) in draft.events.iter().enumerate() {
        replies.extend(event.reply.map(|reply| (event.call, (place as u32, reply))));
    }
    for (place, event) in draft.events.iter().enumerate() {
        let (of, ask) = draft.asked[event.call];
        if event.reply.is_some() || of != key {
            continue;
        }
        let (to, act) = match (replies.get(&event.call), ask) {
            (Some((_, Reply::Fail)), _) | (None | Some((_, Reply::Info)), Ask::Read) => continue,
            (None | Some((_, Reply::Info)), Ask::Write(new)) => (None, Act::Write(new)),
            (None | Some((_, Reply::Info)), Ask::Cas(old, new)) => (None, Act::Swap(old, new)),
            (Some(&(to, Reply::Ok(seen))), Ask::Read) => (Some(to), Act::Read(seen)),
            (Some(&(to, _)), Ask::Write(new)) => (Some(to), Act::Write(new)),
            (Some(&(to, Reply::NoMatch)), Ask::Cas(old, _)) => (Some(to), Act::Differs(old)),
            (Some(&(to, _)), Ask::Cas(old, new)) => (Some(to), Act::Swap(old, new)),
            (Some(_), Ask::Read) => continue,
        };
        calls.push(Call { from: place as u32, to, act });
    }
    calls
}
