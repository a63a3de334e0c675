//! Orders that explain reads by predicate, against all orders.

use std::collections::BTreeMap;

use rand::seq::{IndexedRandom, SliceRandom};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use schism_history::{F, History, Key, Kind, Mop, Op, Process, RunFacts, Value, notation};

use super::*;
use crate::Checker;
use crate::txn::checker::{Data, TxnChecker};
use crate::txn::solver::Keeps;
use crate::verdict::Outcome;

const KEYS: i64 = 3;
const PREDICATES: [&str; 3] = ["true", "= 1", "mod 2 0"];

/// What is there, what was there and is gone, and what is said to have been there from the start, and was not set yet.
#[derive(Debug, Clone, Default, PartialEq)]
struct State {
    there: BTreeMap<i64, i64>,
    gone: Vec<i64>,
    unset: Vec<i64>,
}

fn finds(predicate: &str, value: i64) -> bool {
    match predicate {
        "true" => true,
        "= 1" => value == 1,
        _ => value % 2 == 0,
    }
}

/// What a micro-operation reads; or does to the state: `None` if it cannot.
fn run(mop: &Mop, state: &mut State) -> Option<Value> {
    let key = if let Key::Int(key) = mop.key { Some(key) } else { None };
    let is_unset = |key: &i64| mop.key == Key::Int(*key) || &*mop.f == "rp";
    if matches!(&*mop.f, "r" | "rp") && state.unset.iter().any(is_unset) {
        return None;
    }
    match (&*mop.f, key) {
        ("rp", _) => {
            let Key::Str(predicate) = &mop.key else { panic!("{mop:?}") };
            let found = state.there.iter().filter(|(_, value)| finds(predicate, **value));
            let found = found.map(|(key, value)| (Value::str(&key.to_string()), Value::Int(*value)));
            return Some(Value::Map(Box::new(found.collect())));
        }
        ("r", Some(key)) => return Some(state.there.get(&key).map_or(Value::Nil, |&value| Value::Int(value))),
        ("delete", Some(key)) => {
            state.there.remove(&key);
            state.gone.push(key);
        }
        (f, Some(key)) => {
            let is_late = f != "w" && state.there.contains_key(&key);
            if is_late || state.gone.contains(&key) {
                return None;
            }
            state.there.insert(key, mop.value.as_int().expect("a number"));
            state.unset.retain(|other| *other != key);
        }
        (f, None) => panic!("{f} of no key"),
    }
    Some(mop.value.clone())
}

/// Runs what a transaction writes on what is there, with its reads from a snapshot; whether it can and `expects` it.
fn commit(mops: &[Mop], snapshot: &State, now: &State, is_ok: bool) -> Option<State> {
    let (mut seen, mut next) = (snapshot.clone(), now.clone());
    for mop in mops {
        let is_read = matches!(&*mop.f, "r" | "rp");
        if !is_read {
            run(mop, &mut next)?;
        }
        if !is_read || is_ok {
            let read = run(mop, &mut seen)?;
            if read != mop.value {
                return None;
            }
        }
    }
    Some(next)
}

/// Transactions of three processes, at the same time or one after the other; each object is born, written and removed at most once.
fn history(random: &mut ChaCha8Rng) -> History {
    let count = random.random_range(3..7usize);
    let mut plans: Vec<Vec<Mop>> = vec![Vec::new(); count];
    for key in 0..KEYS {
        let value = |random: &mut ChaCha8Rng| Value::Int(random.random_range(1..4));
        let birth = ["init", "insert", "insert", "w"].choose(random).expect("one");
        let mut ops = vec![(*birth, value(random))];
        if random.random_bool(0.4) && *birth != "w" {
            ops.push(("w", value(random)));
        }
        if random.random_bool(0.5) && *birth != "w" {
            ops.push(("delete", Value::Nil));
        }
        let mut place = 0;
        for (f, value) in ops {
            if f != "init" {
                place = random.random_range(place..count);
            }
            plans[place].push(Mop::new(f, Key::Int(key), value));
        }
    }
    for plan in &mut plans {
        for _ in 0..random.random_range(1..6) {
            let mop = match random.random_range(0..3) {
                0 => Mop::new("r", Key::Int(random.random_range(0..KEYS)), Value::Nil),
                _ => Mop::new("rp", Key::Str((*PREDICATES.choose(random).expect("one")).into()), Value::Nil),
            };
            plan.insert(random.random_range(0..=plan.len()), mop);
        }
    }
    // What is there from the start is made at the start, by a transaction that ends well.
    plans[0].sort_by_key(|mop| &*mop.f != "init");
    let begins_well = plans[0].iter().any(|mop| &*mop.f == "init");
    plans.retain(|plan| !plan.is_empty());
    // They take effect one after the other, and are called and answered around that time.
    let staleness = *[0.0, 0.5, 1.0].choose(random).expect("one");
    let width = *[0, 3, 9].choose(random).expect("one");
    let mut states = vec![State::default()];
    let mut events = Vec::new();
    for (at, mut plan) in plans.into_iter().enumerate() {
        let kind = *[Kind::Ok, Kind::Ok, Kind::Ok, Kind::Ok, Kind::Fail, Kind::Info].choose(random).expect("one");
        let kind = if begins_well && at == 0 { Kind::Ok } else { kind };
        let last = states.last().expect("one").clone();
        let from = if begins_well { 1.min(states.len() - 1) } else { 0 };
        let is_old = random.random_bool(staleness);
        let old = if is_old { states[from..].choose(random).expect("one").clone() } else { last.clone() };
        let asked = plan.clone();
        let (mut seen, mut next) = (old, last);
        let mut own = Vec::new();
        for mop in &mut plan {
            let read = run(mop, &mut seen);
            if !matches!(&*mop.f, "r" | "rp") {
                own.push(mop.clone());
            }
            if !matches!(&*mop.f, "r" | "rp") {
                let _ = run(mop, &mut next);
            } else if let (Some(read), Kind::Ok) = (read, kind) {
                mop.value = read;
            }
            // Each read may be of another time, but sees what its own transaction did.
            if staleness == 1.0 {
                seen = states[from..].choose(random).expect("one").clone();
                own.iter().for_each(|mop| drop(run(mop, &mut seen)));
            }
        }
        if kind == Kind::Ok || (kind == Kind::Info && random.random_bool(0.5)) {
            states.push(next);
        }
        let time = at as i64 * 4;
        let ends = [time - random.random_range(0..=width), time + 1 + random.random_range(0..=width)];
        events.push((ends[0], at, Kind::Invoke, asked));
        events.push((ends[1], at, kind, plan));
    }
    events.sort_by_key(|event| (event.0, event.1));
    let mut processes: Vec<Option<usize>> = Vec::new();
    let mut ops = Vec::new();
    for (_, at, kind, mops) in events {
        let place = match kind {
            Kind::Invoke => {
                let free: Vec<usize> = (0..processes.len()).filter(|&place| processes[place].is_none()).collect();
                let place = free.choose(random).copied().unwrap_or(processes.len());
                processes.resize(processes.len().max(place + 1), None);
                processes[place] = Some(at);
                place
            }
            _ => processes.iter().position(|held| *held == Some(at)).expect("it was called"),
        };
        if kind != Kind::Invoke {
            // A process in doubt does nothing more.
            processes[place] = if kind == Kind::Info { Some(usize::MAX) } else { None };
        }
        ops.push(Op::new(Process::Client(place as u32), kind, F::Txn, Value::Txn(Box::new(mops))));
    }
    History::from_ops(ops).expect("a history")
}

/// All orders of some transactions, tried.
struct Brute<'a> {
    txns: &'a Txns<'a>,
    mops: Vec<Vec<Mop>>,
    keeps: Keeps,
    is_serial: bool,
    order: Vec<TxnId>,
    states: Vec<State>,
}

impl Brute<'_> {
    fn of<'a>(txns: &'a Txns<'a>, keeps: Keeps, is_serial: bool) -> Brute<'a> {
        let carrier = |id: TxnId| if txns.is_ok(id) { txns.ended(id) } else { txns.invoked(id) };
        let mops = |id: TxnId| match &*txns.history().value(carrier(id)) {
            Value::Txn(mops) => mops.to_vec(),
            other => panic!("{other:?}"),
        };
        let mops: Vec<Vec<Mop>> = (0..txns.len() as TxnId).map(mops).collect();
        let init = |mop: &Mop| if let ("init", Key::Int(key)) = (&*mop.f, &mop.key) { Some(*key) } else { None };
        let first = State { unset: mops.iter().flatten().filter_map(init).collect(), ..State::default() };
        Brute { txns, mops, keeps, is_serial, order: Vec::new(), states: vec![first] }
    }

    fn must_precede(&self, a: TxnId, b: TxnId) -> bool {
        let is_asked = match self.keeps {
            Keeps::Nothing => false,
            Keeps::Process => self.txns.session(a) == self.txns.session(b),
            Keeps::Realtime => true,
        };
        is_asked && self.txns.is_ok(a) && self.txns.is_before(a, b)
    }

    fn writes(&self, id: TxnId) -> impl Iterator<Item = &Key> {
        self.mops[id as usize].iter().filter(|mop| !matches!(&*mop.f, "r" | "rp")).map(|mop| &mop.key)
    }

    /// What comes of a transaction that is the next.
    fn next(&self, id: TxnId) -> Option<State> {
        let now = self.states.last().expect("the first");
        let first = if self.is_serial { self.order.len() } else { 0 };
        (first..=self.order.len()).rev().find_map(|prefix| {
            let later = &self.order[prefix..];
            let overlaps = |other: &TxnId| self.writes(*other).any(|key| self.writes(id).any(|own| own == key));
            let is_apart = !later.iter().any(|other| overlaps(other) || self.must_precede(*other, id));
            let state =
                is_apart.then(|| commit(&self.mops[id as usize], &self.states[prefix], now, self.txns.is_ok(id)));
            state.flatten()
        })
    }

    /// Whether one of the orders that begin so explains all; what is said of each whole one.
    fn any(&mut self, whole: &mut impl FnMut(&[TxnId])) -> bool {
        let is_left = |id: &TxnId| !self.order.contains(id);
        if !(0..self.txns.ok_count()).any(|id| is_left(&id)) {
            whole(&self.order);
            return true;
        }
        let left: Vec<TxnId> = (0..self.txns.len() as TxnId).filter(is_left).collect();
        let mut is_any = false;
        for &id in &left {
            if left.iter().any(|&other| self.must_precede(other, id)) {
                continue;
            }
            let Some(state) = self.next(id) else { continue };
            self.order.push(id);
            self.states.push(state);
            is_any |= self.any(whole);
            self.order.pop();
            self.states.pop();
        }
        is_any
    }
}

const LEVELS: [(Level, Keeps, bool); 6] = [
    (Level::Serializable, Keeps::Nothing, true),
    (Level::StrongSessionSerializable, Keeps::Process, true),
    (Level::StrictSerializable, Keeps::Realtime, true),
    (Level::SnapshotIsolation, Keeps::Nothing, false),
    (Level::StrongSessionSnapshotIsolation, Keeps::Process, false),
    (Level::StrongSnapshotIsolation, Keeps::Realtime, false),
];

/// The verdict, whether brute force found an order, and how many proofs are sets of transactions without one; or what is wrong.
type Judged = Result<(Outcome, bool, usize), String>;

/// Judges a history.
fn judged(history: &History, (level, keeps, is_serial): (Level, Keeps, bool)) -> Judged {
    let txns = Txns::of(history);
    let has_order = Brute::of(&txns, keeps, is_serial).any(&mut |_| ());
    let checker = TxnChecker { level, ..TxnChecker::new(Data::RwRegister) };
    let finding = checker.check(history, &RunFacts::default(), &Budget::default());
    let outcome = finding.outcome();
    let wrong = |what: &str| Err(format!("{level}: {what}: {}\n{finding:#?}", notation::write(history)));
    if (outcome == Outcome::Valid && !has_order) || (outcome == Outcome::Invalid && has_order) {
        return wrong("the verdict is wrong");
    }
    let mut orders_count = 0;
    for anomaly in finding.anomalies.iter().chain(&finding.beyond) {
        if !matches!(anomaly.witness, Witness::Micros { .. }) {
            if let Err(why) = crate::txn::verify::verify(history, anomaly) {
                return wrong(&why);
            }
            orders_count += usize::from(matches!(anomaly.witness, Witness::NoCommitOrder { .. }));
        }
    }
    Ok((outcome, has_order, orders_count))
}

#[test]
fn what_is_kept_has_an_order_and_what_has_one_is_kept() {
    let mut random = ChaCha8Rng::seed_from_u64(21);
    // By level: kept, broken, neither though there is an order, neither as there is none.
    let mut told = [[0usize; 4]; LEVELS.len()];
    let mut orders_count = 0;
    for round in 0..if std::env::var_os("SCHISM_TEST_LONG").is_some() { 120_000 } else { 6_000 } {
        let history = history(&mut random);
        if Txns::of(&history).ok_count() == 0 {
            continue;
        }
        let place = round % LEVELS.len();
        let (outcome, has_order, orders) =
            judged(&history, LEVELS[place]).unwrap_or_else(|why| panic!("round {round}, {why}"));
        orders_count += orders;
        told[place][match outcome {
            Outcome::Valid => 0,
            Outcome::Invalid => 1,
            Outcome::Unknown => 2 + usize::from(!has_order),
        }] += 1;
    }
    for ((level, ..), [kept, broken, missed, open]) in LEVELS.iter().zip(told) {
        println!("{level}: {kept} kept, {broken} broken, {missed} missed, {open} open");
        let is_enough = kept.min(6 * broken) > 500;
        assert!(is_enough && missed * 100 < kept && open * 10 < broken, "{level}: {told:?}");
    }
    assert!(orders_count > 100, "{orders_count}");
}

#[test]
fn every_mutant_is_noticed() {
    use Mutant::*;
    let mutants = [MaybeNotRead, InitialNotRead, LeftOutIsNotThere, OwnNotSeen, VersionsForgotten, DoubtIsThere];
    let mut random = ChaCha8Rng::seed_from_u64(23);
    let all: Vec<(usize, History)> = (0..4_000).map(|round| (round % LEVELS.len(), history(&mut random))).collect();
    let all: Vec<_> = all.into_iter().filter(|(_, history)| Txns::of(history).ok_count() > 0).collect();
    let plain: Vec<_> = all.iter().map(|(place, history)| judged(history, LEVELS[*place])).collect();
    let is_noticed = |mutant: &Mutant| {
        mutant::choose(Some(*mutant));
        let differs = |((place, history), plain): (&(usize, History), &Judged)| {
            judged(history, LEVELS[*place]).map(|found| found.0).ok() != plain.as_ref().ok().map(|found| found.0)
        };
        let noticed = all.iter().zip(&plain).any(differs);
        mutant::choose(None);
        noticed
    };
    let survivors: Vec<Mutant> = mutants.into_iter().filter(|mutant| !is_noticed(mutant)).collect();
    assert!(survivors.is_empty(), "not noticed: {survivors:?}");
}

/// The order that is told was walked through: that walk says of each order what brute force says of it.
#[test]
fn orders_are_walked_through_as_defined() {
    let mut random = ChaCha8Rng::seed_from_u64(22);
    let (mut right, mut wrong) = (0, 0);
    for round in 0..1_200 {
        let history = history(&mut random);
        let txns = Txns::of(&history);
        let (_, keeps, is_serial) = LEVELS[round % LEVELS.len()];
        let mut all = Vec::new();
        Brute::of(&txns, keeps, is_serial).any(&mut |order| all.push(order.to_vec()));
        let explains = |order: &[TxnId]| {
            replay::explains(&txns, order, keeps, is_serial, &mut Meter::new(&Budget::default())).is_ok()
        };
        for order in all.iter().take(20) {
            assert!(explains(order), "round {round}, {order:?}: {}", notation::write(&history));
            right += 1;
        }
        let mut order: Vec<TxnId> = (0..txns.len() as TxnId).collect();
        for _ in 0..10 {
            order.shuffle(&mut random);
            let said = explains(&order);
            // Brute force ends with the last that is not in doubt.
            let last = order.iter().rposition(|&id| txns.is_ok(id)).map_or(0, |last| last + 1);
            let is_one = all.iter().any(|known| known[..] == order[..last]);
            assert!(!said || is_one || last == 0, "round {round}, {order:?}: {}", notation::write(&history));
            wrong += usize::from(!said);
        }
        if order.len() > 1 {
            assert!(!explains(&order[1..]) || !txns.is_ok(order[0]), "one is missing");
            let twice: Vec<TxnId> = order.iter().chain(&order[..1]).copied().collect();
            assert!(!explains(&twice), "one is there twice");
        }
    }
    assert!(right > 2_000 && wrong > 2_000, "{right} {wrong}");
}

/// What an answer or a model might be taken for: history, level, verdict.
#[test]
fn what_predicates_do_not_say() {
    use Outcome::{Invalid, Unknown, Valid};
    let phantoms = r#"0:txn=[["rp","true",null],["insert",1,5]]( 1:txn=[["rp","true",null],["insert",2,6]]( 0)[["rp","true",{}],["insert",1,5]] 1)[["rp","true",{}],["insert",2,6]]"#;
    let nothing = r#"0:txn=[["insert","k",1]] 0:txn=[["w","x",null]] 0:txn=[["w","x",5]]"#;
    let alike = r#"0:txn=[["insert",1,5]] 1:txn=[["w","1",6]] 2:txn=[["r",1,6]]"#;
    let early = r#"0:txn=[["rp","= 6",{}]] 1:txn=[["init",1,5]]"#;
    let before = r#"0:txn=[["insert",1,5]] 1:txn=[["rp","true",{}]]"#;
    let of_other = r#"0:txn=[["insert",1,2]] 1:txn=[["rp","= 1",{"1":2}]]"#;
    for (line, level, wanted) in [
        (phantoms, Level::RepeatableRead, Unknown),
        (phantoms, Level::SnapshotIsolation, Valid),
        (phantoms, Level::Serializable, Invalid),
        (nothing, Level::StrictSerializable, Unknown),
        (alike, Level::Serializable, Unknown),
        (early, Level::StrictSerializable, Unknown),
        (before, Level::CausalMemory, Valid),
        (before, Level::StrictSerializable, Invalid),
        (of_other, Level::Serializable, Invalid),
        (of_other, Level::SnapshotIsolation, Unknown),
    ] {
        let history = notation::parse(line).expect("a history");
        let checker = TxnChecker { level, ..TxnChecker::new(Data::RwRegister) };
        let finding = checker.check(&history, &RunFacts::default(), &Budget::default());
        assert_eq!(finding.outcome(), wanted, "{level} {line}: {finding:#?}");
    }
    let keywords = "{:type :invoke, :process 0, :value [[:insert :x 1]]}\n{:type :ok, :process 0, :value [[:insert :x 1]]}\n\
        {:type :invoke, :process 1, :value [[:rp \"true\" nil]]}\n{:type :ok, :process 1, :value [[:rp \"true\" {:x 1}]]}\n";
    let (history, _) =
        schism_history::edn::read(keywords.as_bytes(), schism_history::edn::Keyed::No).expect("a history");
    let checker = TxnChecker::new(Data::RwRegister);
    let finding = checker.check(&history, &RunFacts::default(), &Budget::default());
    assert_eq!(finding.outcome(), Valid, "{finding:#?}");
}
