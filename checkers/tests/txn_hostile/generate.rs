//! Arbitrary histories of transactions: what no database would answer, and no workload would ask. From a toy store, so that
//! much of it makes sense, with any part of it spoilt.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use schism_history::{F, History, HistoryBuilder, Key, Kind, Mop, Op, Process, Value};

/// The field in which a completion reports versions.
pub const FIELD: &str = "rev";

/// What a history is like; drawn once for each.
#[derive(Debug, Clone, Copy)]
struct Shape {
    transactions: usize,
    processes: usize,
    keys: usize,
    micros_max: usize,
    /// Of a hundred writes, how many append.
    appends_percent: u32,
    /// Of a hundred values that are written, how many are written again.
    again_percent: u32,
    /// Of a hundred of whatever, how many are arbitrary.
    odd_percent: u32,
    /// Of a hundred micro-operations, how many are of predicates.
    predicates_percent: u32,
    fail_percent: u32,
    info_percent: u32,
    open_percent: u32,
    /// How far reads are behind.
    stale: bool,
    times: Times,
    realtime: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Times {
    Grow,
    Equal,
    Absent,
    Any,
}

/// How large histories are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Size {
    /// A few transactions.
    Small,
    /// Some hundreds.
    Middle,
    /// Thousands of processes.
    Wide,
}

fn pick<T: Copy>(random: &mut ChaCha8Rng, all: &[T]) -> T {
    all[random.random_range(0..all.len())]
}

fn percent(random: &mut ChaCha8Rng, percent: u32) -> bool {
    random.random_range(0..100) < percent
}

impl Shape {
    fn draw(random: &mut ChaCha8Rng, size: Size) -> Shape {
        let transactions = match size {
            Size::Small => random.random_range(1..14),
            Size::Middle => random.random_range(50..300),
            Size::Wide => 3_000,
        };
        Shape {
            transactions,
            processes: if size == Size::Wide { 2_000 } else { pick(random, &[1, 2, 3, 8, 40]) },
            keys: pick(random, &[1, 1, 2, 3, 8]) * if size == Size::Small { 1 } else { 10 },
            micros_max: pick(random, &[1, 2, 3, 3, 6, 12]),
            appends_percent: pick(random, &[0, 0, 100, 100, 100, 50, 95]),
            again_percent: pick(random, &[0, 0, 0, 10, 60]),
            odd_percent: pick(random, &[0, 0, 0, 0, 0, 2, 10, 40]),
            predicates_percent: pick(random, &[0, 0, 0, 0, 10, 50]),
            fail_percent: pick(random, &[0, 5, 30]),
            info_percent: pick(random, &[0, 5, 40]),
            open_percent: pick(random, &[0, 0, 10]),
            stale: random.random(),
            times: pick(random, &[Times::Grow, Times::Equal, Times::Absent, Times::Any]),
            realtime: random.random_bool(0.85),
        }
    }
}

/// A history.
pub fn arbitrary(random: &mut ChaCha8Rng, size: Size) -> History {
    let shape = Shape::draw(random, size);
    let keys = (0..shape.keys).map(|place| key(random, shape, place)).collect();
    let mut world = World {
        shape,
        keys,
        state: vec![Vec::new(); shape.keys],
        next: 0,
        builder: HistoryBuilder::default(),
        events: 0,
    };
    if !shape.realtime {
        world.builder.forget_realtime();
    }
    world.run(random);
    world.builder.finish()
}

/// The same history, but nobody wrote down when things happened.
pub fn timeless(history: &History) -> History {
    let mut builder = HistoryBuilder::default();
    builder.forget_realtime();
    for op in history.ops() {
        // What was a history is one.
        let _ = builder.push(op);
    }
    builder.finish()
}

fn key(random: &mut ChaCha8Rng, shape: Shape, place: usize) -> Key {
    if !percent(random, shape.odd_percent) {
        return if random.random_bool(0.8) { Key::Int(place as i64) } else { Key::Str(format!("x{place}").into()) };
    }
    match random.random_range(0..8) {
        0 => Key::Int(i64::MIN),
        1 => Key::Int(i64::MAX),
        2 => Key::Str("".into()),
        3 => Key::Str("k".repeat(5_000).into()),
        4 => Key::Str("true".into()),
        5 => Key::Str(":x".into()),
        6 => Key::Str(place.to_string().into()),
        _ => Key::Str("\u{0}\u{1F600}\n\"".into()),
    }
}

/// A value that no workload writes.
fn odd(random: &mut ChaCha8Rng, depth: u32) -> Value {
    let inner = |random: &mut ChaCha8Rng| {
        let count = random.random_range(0..4);
        (0..if depth > 4 { 0 } else { count }).map(|_| odd(random, depth + 1)).collect::<Vec<Value>>()
    };
    match random.random_range(0..18) {
        0 | 1 => Value::Nil,
        2 => Value::Bool(random.random()),
        3 => Value::Int(pick(random, &[i64::MIN, i64::MAX, -1, 0, 1 << 31, (1 << 31) - 1])),
        4 => Value::Float(pick(random, &[f64::NAN, f64::INFINITY, 0.0, -0.0, 1.5])),
        5 => Value::Big("123456789012345678901234567890".into()),
        6 => Value::Pair([random.random_range(0..4), random.random_range(0..4)]),
        7 => Value::str(""),
        8 => Value::str(&"v".repeat(3_000)),
        9 => Value::Keyword("x".into()),
        10 => Value::Set(Box::new(inner(random))),
        11 => Value::Map(Box::new(inner(random).into_iter().map(|value| (Value::str("k"), value)).collect())),
        12 => (0..60).fold(Value::Int(1), |value, _| Value::List(Box::new(vec![value]))),
        _ => Value::list(inner(random)),
    }
}

struct World {
    shape: Shape,
    keys: Vec<Key>,
    /// By key: what was written, in order.
    state: Vec<Vec<Value>>,
    next: i64,
    builder: HistoryBuilder,
    events: u64,
}

/// What a process has open.
struct Open {
    f: F,
    mops: Vec<Mop>,
    /// By key: how much of its state the transaction sees.
    seen: Vec<usize>,
}

impl World {
    fn run(&mut self, random: &mut ChaCha8Rng) {
        let count = self.shape.processes;
        let mut numbers: Vec<u32> = (0..count as u32).collect();
        if percent(random, self.shape.odd_percent) {
            numbers[0] = u32::MAX;
        }
        let mut fresh = count as u32;
        let mut open: Vec<Option<Open>> = (0..count).map(|_| None).collect();
        let mut invoked = 0;
        while invoked < self.shape.transactions || open.iter().any(Option::is_some) && random.random_bool(0.97) {
            let at = random.random_range(0..count);
            let process = Process::Client(numbers[at]);
            if percent(random, self.shape.odd_percent) {
                self.disturb(random);
            }
            let Some(call) = open[at].take() else {
                if invoked < self.shape.transactions {
                    invoked += 1;
                    open[at] = Some(self.invoke(random, process));
                }
                continue;
            };
            if percent(random, self.shape.open_percent) || self.complete(random, process, call) {
                numbers[at] = fresh;
                fresh += 1;
            }
        }
    }

    /// What has nothing to do with transactions.
    fn disturb(&mut self, random: &mut ChaCha8Rng) {
        // A client's is told, and then nothing is judged.
        let process = if random.random_bool(0.95) { Process::nemesis("partition") } else { Process::Client(1 << 20) };
        let kind = pick(random, &[Kind::Invoke, Kind::Invoke, Kind::Ok, Kind::Info, Kind::Fail]);
        let f = pick(random, &["read", "write", "inject", "txn", "cas", "x"]);
        self.push(random, Op::new(process, kind, F::parse(f), Value::Nil));
    }

    fn push(&mut self, random: &mut ChaCha8Rng, mut op: Op) {
        op.time_ns = match self.shape.times {
            Times::Grow => self.events * 1_000,
            Times::Equal => 7,
            Times::Absent => 0,
            Times::Any => random.random(),
        };
        self.events += 1;
        // What breaks the rules of histories is none of the checkers' business.
        let _ = self.builder.push(op);
    }

    fn invoke(&mut self, random: &mut ChaCha8Rng, process: Process) -> Open {
        let count = random.random_range(0..=self.shape.micros_max);
        let mops: Vec<Mop> = (0..count).map(|_| self.asked(random)).collect();
        let odd_name = percent(random, self.shape.odd_percent / 4);
        let f = if odd_name { F::parse("transfer") } else { F::Txn };
        let behind = |random: &mut ChaCha8Rng, length: usize| match self.shape.stale {
            true => random.random_range(0..=length),
            false => length,
        };
        let seen = self.state.iter().map(|versions| behind(random, versions.len())).collect();
        self.push(random, Op::new(process, Kind::Invoke, f.clone(), Value::Txn(Box::new(mops.clone()))));
        Open { f, mops, seen }
    }

    fn asked(&mut self, random: &mut ChaCha8Rng) -> Mop {
        let place = random.random_range(0..self.keys.len());
        let key = self.keys[place].clone();
        if percent(random, self.shape.predicates_percent) {
            return match random.random_range(0..6) {
                0 => Mop::new("insert", key, self.written(random)),
                1 => Mop::new("delete", key, Value::Nil),
                2 => Mop::new("init", key, self.written(random)),
                _ => {
                    let texts = ["true", "= 1", "mod 2 1", "mod 0 1", "= [", "mod -1 9223372036854775807", "", "mod 2"];
                    let usual = percent(random, 100 - self.shape.odd_percent);
                    let text = if usual { texts[random.random_range(0..3)] } else { pick(random, &texts) };
                    Mop::new("rp", Key::Str(text.into()), Value::Nil)
                }
            };
        }
        if percent(random, self.shape.odd_percent / 2) {
            let f = pick(random, &["", "R", "cas", "read", "rp", "append ", "w", "append"]);
            return Mop::new(f, key, odd(random, 0));
        }
        match random.random_range(0..100) {
            0..50 => Mop::new("r", key, Value::Nil),
            _ if percent(random, self.shape.appends_percent) => Mop::new("append", key, self.written(random)),
            _ => Mop::new("w", key, self.written(random)),
        }
    }

    fn written(&mut self, random: &mut ChaCha8Rng) -> Value {
        if percent(random, self.shape.odd_percent / 2) {
            return odd(random, 0);
        }
        if percent(random, self.shape.again_percent) && self.next > 0 {
            return Value::Int(random.random_range(1..=self.next));
        }
        self.next += 1;
        Value::Int(self.next)
    }

    /// Ends a call; whether its process is retired.
    fn complete(&mut self, random: &mut ChaCha8Rng, process: Process, call: Open) -> bool {
        let (shape, Open { f, mut mops, seen }) = (self.shape, call);
        let roll = random.random_range(0..100);
        let kind = match roll {
            _ if roll < shape.fail_percent => Kind::Fail,
            _ if roll < shape.fail_percent + shape.info_percent => Kind::Info,
            _ => Kind::Ok,
        };
        if kind != Kind::Fail || percent(random, shape.odd_percent) {
            for place in 0..mops.len() {
                self.answer(random, &mut mops, place, &seen);
            }
        }
        if kind == Kind::Ok || kind == Kind::Info && random.random() {
            for mop in &mops {
                if let ("append" | "w", Some(place)) = (&*mop.f, self.keys.iter().position(|key| *key == mop.key)) {
                    self.state[place].push(mop.value.clone());
                }
            }
        }
        // Most of these do not answer what was asked, and nothing is judged then.
        if percent(random, shape.odd_percent / 4) && random.random_bool(0.1) {
            match random.random_range(0..4) {
                0 => mops.truncate(1),
                1 => mops.reverse(),
                2 => mops.push(Mop::new("r", Key::Int(77), Value::Int(1))),
                _ => mops.clear(),
            }
        }
        let bare = percent(random, shape.odd_percent / 8) && random.random_bool(0.1);
        let reports = random.random_bool(0.3).then(|| self.reports(random, &mops));
        let value = if bare { odd(random, 0) } else { Value::Txn(Box::new(mops)) };
        let op = Op { extra: reports, ..Op::new(process, kind, f, value) };
        self.push(random, op);
        kind == Kind::Info
    }

    /// What a client may say of versions: mostly the place of the value among all that were written.
    fn reports(&self, random: &mut ChaCha8Rng, mops: &[Mop]) -> Box<schism_history::Fields> {
        let report = |mop: &Mop| {
            let place = self.keys.iter().position(|key| *key == mop.key).unwrap_or(0);
            let version = self.state[place].iter().position(|value| *value == mop.value).map_or(0, |at| at as i64 + 1);
            Value::List(Box::new(vec![Value::from(&mop.key), mop.value.clone(), Value::Int(version)]))
        };
        let mut all: Vec<Value> = mops.iter().map(report).collect();
        if percent(random, self.shape.odd_percent) {
            all.push(odd(random, 0));
        }
        Box::new(vec![(FIELD.into(), Value::List(Box::new(all)))])
    }

    /// What a read finds: of the part of the state that its transaction sees, with what this wrote itself; now and then not.
    fn answer(&self, random: &mut ChaCha8Rng, mops: &mut [Mop], place: usize, seen: &[usize]) {
        let (before, rest) = mops.split_at_mut(place);
        let Some(mop) = rest.first_mut() else { return };
        if &*mop.f == "rp" {
            mop.value = self.found(random);
            return;
        }
        if &*mop.f != "r" {
            return;
        }
        if percent(random, self.shape.odd_percent / 2) {
            mop.value = odd(random, 0);
            return;
        }
        let Some(number) = self.keys.iter().position(|key| *key == mop.key) else { return };
        let mut list = self.state[number][..seen[number].min(self.state[number].len())].to_vec();
        let own = before.iter().filter(|other| matches!(&*other.f, "append" | "w") && other.key == mop.key);
        list.extend(own.map(|other| other.value.clone()));
        if random.random_bool(0.06) {
            tear(random, &mut list, &self.state);
        }
        let is_list = match self.shape.appends_percent {
            50 => random.random(),
            percent => percent > 50,
        };
        mop.value = match (is_list, list.is_empty()) {
            (true, true) if random.random() => Value::list(Vec::new()),
            (true, true) => Value::Nil,
            (true, false) => Value::list(list),
            (false, _) => list.pop().unwrap_or_default(),
        };
    }

    /// What a predicate finds.
    fn found(&self, random: &mut ChaCha8Rng) -> Value {
        if percent(random, self.shape.odd_percent) {
            return odd(random, 0);
        }
        let newest = self.keys.iter().zip(&self.state).filter_map(|(key, versions)| Some((key, versions.last()?)));
        let entries = newest.filter(|_| random.random_bool(0.8)).map(|(key, value)| (Value::from(key), value.clone()));
        Value::Map(Box::new(entries.collect()))
    }
}

/// Spoils a list.
fn tear(random: &mut ChaCha8Rng, list: &mut Vec<Value>, state: &[Vec<Value>]) {
    let at = random.random_range(0..=list.len());
    match random.random_range(0..6) {
        0 => list.truncate(at),
        1 if at < list.len() => {
            list.remove(at);
        }
        2 if !list.is_empty() => {
            let again = list[random.random_range(0..list.len())].clone();
            list.insert(at, again);
        }
        3 if list.len() > 1 => {
            let (one, other) = (at % list.len(), random.random_range(0..list.len()));
            list.swap(one, other);
        }
        4 => {
            let other = &state[random.random_range(0..state.len())];
            list.extend(other.last().cloned());
        }
        _ => list.insert(at, Value::Int(1_000_000)),
    }
}
