//! Small random histories of registers, with doubt and values that several transactions wrote.

use rand::{Rng, RngExt};
use schism_history::{History, notation};

use crate::txn::accesses::{Accesses, INITIAL, Read, UNKNOWN, Write};
use crate::txn::edge::Edge;
use crate::txn::rw_register::Uncertain;
use crate::txn::solver::{Keeps, Property, Question};
use crate::txn::txns::{TxnId, Txns};

/// How histories are made.
#[derive(Debug, Clone, Copy)]
pub struct Wanted {
    pub txns: u32,
    pub sessions: u32,
    pub keys: u32,
    pub operations: u32,
    /// How many values are written; 0: each once.
    pub values: i64,
    /// Of a hundred transactions how many end in doubt.
    pub doubt_percent: u32,
    /// Of a hundred reads how many see anything.
    pub noise_percent: u32,
    /// Reads see the state when the transaction began.
    pub snapshot: bool,
    /// Transactions take effect in any order.
    pub shuffled: bool,
}

/// A transaction as it was made.
#[derive(Debug, Clone, Default)]
struct Made {
    process: u32,
    is_ok: bool,
    /// (key, value or nothing, whether it is a write)
    operations: Vec<(u32, Option<i64>, bool)>,
}

/// A history and what it says.
pub struct Case {
    pub history: History,
    pub line: String,
    pub accesses: Accesses,
    pub uncertain: Vec<Uncertain>,
    pub known: Vec<Edge>,
}

impl Case {
    /// The question whether it has a property.
    pub fn question<'a>(&'a self, txns: &'a Txns<'a>, property: Property, keeps: Keeps) -> Question<'a> {
        Question { txns, accesses: &self.accesses, uncertain: &self.uncertain, known: &self.known, property, keeps }
    }
}

fn percent(random: &mut impl Rng, percent: u32) -> bool {
    random.random_range(0..100) < percent
}

/// Makes one.
pub fn case(random: &mut impl Rng, wanted: Wanted) -> Case {
    let count = random.random_range(2..=wanted.txns);
    let mut made = Vec::new();
    let mut next_value = 0;
    for _ in 0..count {
        let mut txn = Made { is_ok: !percent(random, wanted.doubt_percent), ..Made::default() };
        let mut written = Vec::new();
        for _ in 0..random.random_range(1..=wanted.operations) {
            let key = random.random_range(0..wanted.keys);
            if percent(random, 50) {
                txn.operations.push((key, None, false));
            } else if !written.contains(&key) {
                next_value += 1;
                let value = if wanted.values == 0 { next_value } else { random.random_range(1..=wanted.values) };
                txn.operations.push((key, Some(value), true));
                written.push(key);
            }
        }
        made.push(txn);
    }
    // When each begins and ends: a session at a time has one open.
    let mut open: Vec<Option<usize>> = vec![None; wanted.sessions as usize];
    let mut process: Vec<u32> = (0..wanted.sessions).collect();
    let mut processes = wanted.sessions;
    let mut events = Vec::new();
    let mut begun = 0;
    while begun < made.len() || open.iter().any(Option::is_some) {
        let session = random.random_range(0..wanted.sessions) as usize;
        match open[session].take() {
            Some(txn) => {
                events.push((txn, true));
                if !made[txn].is_ok {
                    process[session] = processes;
                    processes += 1;
                }
            }
            None if begun < made.len() => {
                made[begun].process = process[session];
                open[session] = Some(begun);
                events.push((begun, false));
                begun += 1;
            }
            None => {}
        }
    }
    run(random, wanted, &mut made, &events);
    assemble(random, &made, &events)
}

/// Lets the transactions take effect, and fills in what they read.
fn run(random: &mut impl Rng, wanted: Wanted, made: &mut [Made], events: &[(usize, bool)]) {
    let mut events = events.to_vec();
    if wanted.shuffled {
        for last in (1..events.len()).rev() {
            events.swap(last, random.random_range(0..=last));
        }
        for txn in 0..made.len() {
            // Its beginning before its end.
            let mut places: Vec<usize> = (0..events.len()).filter(|&place| events[place].0 == txn).collect();
            places.sort_unstable();
            events[places[0]] = (txn, false);
            events[places[1]] = (txn, true);
        }
    }
    let mut store = vec![None; wanted.keys as usize];
    let mut snapshots = vec![store.clone(); made.len()];
    for (txn, is_end) in events {
        if !is_end {
            snapshots[txn] = store.clone();
            continue;
        }
        let mut state = if wanted.snapshot { snapshots[txn].clone() } else { store.clone() };
        let happens = made[txn].is_ok || percent(random, 60);
        for (key, value, is_write) in &mut made[txn].operations {
            if *is_write {
                state[*key as usize] = *value;
                if happens {
                    store[*key as usize] = *value;
                }
            } else {
                *value = state[*key as usize];
            }
        }
    }
    for txn in 0..made.len() {
        for place in 0..made[txn].operations.len() {
            let (key, _, is_write) = made[txn].operations[place];
            let is_own = made[txn].operations[..place].iter().any(|&(other, _, is_write)| is_write && other == key);
            if is_write || is_own || !percent(random, wanted.noise_percent) {
                continue;
            }
            let all = made.iter().flat_map(|txn| &txn.operations);
            let mut values: Vec<Option<i64>> =
                all.filter(|&&(other, _, is_write)| is_write && other == key).map(|&(_, value, _)| value).collect();
            values.push(None);
            made[txn].operations[place].1 = values[random.random_range(0..values.len())];
        }
    }
}

fn text(operations: &[(u32, Option<i64>, bool)], is_answer: bool) -> String {
    let one = |&(key, value, is_write): &(u32, Option<i64>, bool)| match (is_write, value) {
        (true, Some(value)) => format!(r#"["w",{key},{value}]"#),
        (false, Some(value)) if is_answer => format!(r#"["r",{key},{value}]"#),
        _ => format!(r#"["r",{key},null]"#),
    };
    format!("[{}]", operations.iter().map(one).collect::<Vec<_>>().join(","))
}

fn assemble(random: &mut impl Rng, made: &[Made], events: &[(usize, bool)]) -> Case {
    let mut line = String::new();
    let mut invoked = vec![0; made.len()];
    for (index, &(txn, is_end)) in events.iter().enumerate() {
        let process = made[txn].process;
        let token = match (is_end, made[txn].is_ok) {
            (false, _) => {
                invoked[txn] = index as u32;
                format!("{process}:txn={}( ", text(&made[txn].operations, false))
            }
            (true, true) => format!("{process}){} ", text(&made[txn].operations, true)),
            (true, false) => format!("{process}? "),
        };
        line.push_str(&token);
    }
    let history = notation::parse(&line).unwrap_or_else(|error| panic!("{line}: {error}"));
    let txns = Txns::of(&history);
    let of_id: Vec<&Made> = (0..txns.len() as TxnId)
        .map(|id| &made[invoked.iter().position(|&index| index == txns.invoked(id)).expect("a transaction")])
        .collect();
    let keys: Vec<u32> = (0..20).map(|key| number_of(&history, key)).collect();
    let mut accesses = Accesses::new(history.txn_keys().len() as u32);
    let mut uncertain = Vec::new();
    let mut seen = vec![false; of_id.len()];
    let mut all = Vec::new();
    for (id, txn) in of_id.iter().enumerate() {
        let (mut reads, mut writes) = (Vec::new(), Vec::new());
        for (micro, &(key, value, is_write)) in txn.operations.iter().enumerate() {
            let (key_id, micro) = (keys[key as usize], micro as u32);
            if is_write {
                writes.push(Write { key: key_id, micro });
                continue;
            }
            let is_own = writes.iter().any(|write: &Write| write.key == key_id);
            if is_own || !txn.is_ok {
                continue;
            }
            let wrote = |other: usize| of_id[other].operations.contains(&(key, value, true)) && other != id;
            let mut candidates: Vec<TxnId> =
                (0..of_id.len()).filter(|&other| value.is_some() && wrote(other)).map(|id| id as TxnId).collect();
            candidates.extend(value.is_none().then_some(INITIAL));
            let writer = if candidates.len() == 1 { candidates[0] } else { UNKNOWN };
            if let Some(seen) = seen.get_mut(writer as usize) {
                *seen = true;
            }
            reads.push(Read { key: key_id, writer, micro });
            if candidates.len() > 1 {
                uncertain.push(Uncertain { reader: id as TxnId, micro, key: key_id, candidates });
            }
        }
        all.push((reads, writes));
    }
    for (id, (reads, writes)) in all.iter().enumerate() {
        // Whether somebody saw it for certain; what may have been seen may be marked or not.
        let maybe = uncertain.iter().any(|read| read.candidates.contains(&(id as TxnId))) && percent(random, 50);
        accesses.push(reads, writes, of_id[id].is_ok || seen[id] || maybe);
    }
    Case { history, line, accesses, uncertain, known: Vec::new() }
}

fn number_of(history: &History, key: u32) -> u32 {
    let place = history.txn_keys().iter().position(|other| *other == schism_history::Key::Int(i64::from(key)));
    place.map_or(u32::MAX, |place| place as u32)
}
