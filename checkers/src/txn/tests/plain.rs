//! A small history, plainly: what transactions did, and who read what from whom. Nothing of the engines is used.

use std::collections::BTreeMap;

use schism_history::{History, Kind, Value};

/// A micro-operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Micro {
    /// `w` or `append`.
    Write { key: usize, value: u32 },
    /// Of a register at most one value.
    Read { key: usize, values: Vec<u32> },
}

/// A transaction of a client.
#[derive(Debug, Clone)]
pub struct Txn {
    pub invoked: u32,
    /// Its completion, if it ended well.
    pub ended: Option<u32>,
    pub failed: bool,
    pub process: u32,
    pub micros: Vec<Micro>,
}

/// A history.
#[derive(Debug, Clone)]
pub struct Plain {
    pub txns: Vec<Txn>,
    pub keys_count: usize,
    pub lists: bool,
}

/// What contradicts by itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Direct {
    /// Somebody read what nobody wrote, or only a failed one, or its own later write.
    pub unwritten: bool,
    /// Somebody read a version that its writer wrote over.
    pub intermediate: bool,
    /// Somebody did not read what it had written itself.
    pub internal: bool,
    /// Two reads of a list, neither a prefix of the other; or an element twice; or a transaction's elements not in its
    /// order, or not all up to the last that is there.
    pub disorder: bool,
}

/// A read of another's version; `None`: the initial one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Read {
    pub reader: usize,
    pub key: usize,
    pub micro: usize,
    pub writer: Option<usize>,
}

/// One way to say who read from whom: committed transactions, densely numbered in order of invocation.
#[derive(Debug, Clone, Default)]
pub struct Case {
    pub count: usize,
    pub keys_count: usize,
    pub reads: Vec<Read>,
    /// By transaction and key: the place of its last write, if it wrote it.
    pub writes: Vec<Vec<Option<usize>>>,
    /// By transaction, as bits: who comes before it in its process, in real time, and by the order of versions.
    pub process: Vec<u32>,
    pub realtime: Vec<u32>,
    pub versions: Vec<u32>,
}

impl Plain {
    /// Takes the transactions of a history, all of which must be of lists or of registers.
    pub fn of(history: &History) -> Plain {
        let mut plain = Plain { txns: Vec::new(), keys_count: 0, lists: false };
        let (mut keys, mut values) = (BTreeMap::new(), BTreeMap::new());
        for call in history.client_calls() {
            let ended = call.completion.filter(|_| call.outcome == Kind::Ok);
            let carrier = ended.unwrap_or(call.invoke);
            let Value::Txn(mops) = history.op(carrier).value else { panic!("event {carrier} is no transaction") };
            let mut number = |value: &Value| {
                let next = values.len() as u32;
                *values.entry(format!("{value:?}")).or_insert(next)
            };
            let mut micros = Vec::new();
            for mop in mops.iter() {
                let next = keys.len();
                let key = *keys.entry(mop.key.clone()).or_insert(next);
                micros.push(match (&*mop.f, &mop.value) {
                    ("append", value) => {
                        plain.lists = true;
                        Micro::Write { key, value: number(value) }
                    }
                    ("w", value) => Micro::Write { key, value: number(value) },
                    ("r", Value::Nil) => Micro::Read { key, values: Vec::new() },
                    ("r", Value::Pair(two)) => {
                        plain.lists = true;
                        Micro::Read { key, values: two.map(|one| number(&Value::Int(one))).to_vec() }
                    }
                    ("r", Value::List(all)) => {
                        plain.lists = true;
                        Micro::Read { key, values: all.iter().map(&mut number).collect() }
                    }
                    ("r", value) => Micro::Read { key, values: vec![number(value)] },
                    (other, _) => panic!("a micro-operation {other}"),
                });
            }
            plain.txns.push(Txn {
                invoked: call.invoke,
                ended,
                failed: call.outcome == Kind::Fail,
                process: history.process(call.invoke).client().expect("a client's call"),
                micros,
            });
        }
        plain.keys_count = keys.len();
        plain
    }

    fn last_write(&self, txn: usize, key: usize) -> Option<(usize, u32)> {
        let micros = self.txns[txn].micros.iter().enumerate().rev();
        micros
            .filter_map(|(place, micro)| match micro {
                Micro::Write { key: other, value } if *other == key => Some((place, *value)),
                _ => None,
            })
            .next()
    }

    fn wrote(&self, txn: usize, key: usize, value: u32) -> bool {
        self.txns[txn].micros.contains(&Micro::Write { key, value })
    }

    /// All ways to say who read from whom, none if that is more than a test should try; and what contradicts by itself.
    /// Where something does, reads that have no writer are left out of the cases.
    pub fn cases(&self) -> (Vec<Case>, Direct) {
        let mut direct = Direct::default();
        let mut reads: Vec<(Read, Vec<Option<usize>>)> = Vec::new();
        for reader in 0..self.txns.len() {
            if self.txns[reader].ended.is_none() {
                continue;
            }
            for micro in 0..self.txns[reader].micros.len() {
                let Micro::Read { key, values } = &self.txns[reader].micros[micro] else { continue };
                let Some(newest) = self.external(reader, micro, *key, values, &mut direct) else { continue };
                let candidates = self.candidates(reader, *key, newest, &mut direct);
                if !candidates.is_empty() {
                    reads.push((Read { reader, key: *key, micro, writer: None }, candidates));
                }
            }
        }
        let chains = if self.lists { self.chains(&mut direct) } else { Vec::new() };
        let ways: usize = reads.iter().map(|(_, candidates)| candidates.len()).product();
        let mut cases = Vec::new();
        for way in 0..if ways > 256 { 0 } else { ways } {
            let mut rest = way;
            let chosen = reads.iter().map(|(read, candidates)| {
                let writer = candidates[rest % candidates.len()];
                rest /= candidates.len();
                Read { writer, ..*read }
            });
            cases.push(self.case(&chosen.collect::<Vec<_>>(), &chains));
        }
        (cases, direct)
    }

    /// What a read saw of others: the newest value. `None`: it saw its own write alone, or contradicts it.
    fn external(
        &self,
        reader: usize,
        micro: usize,
        key: usize,
        values: &[u32],
        direct: &mut Direct,
    ) -> Option<Option<u32>> {
        let own: Vec<u32> = self.txns[reader].micros[..micro]
            .iter()
            .filter_map(|micro| match micro {
                Micro::Write { key: other, value } if *other == key => Some(*value),
                _ => None,
            })
            .collect();
        if !self.lists {
            if own.is_empty() {
                return Some(values.last().copied());
            }
            direct.internal |= own.last() != values.last();
            return None;
        }
        if !values.ends_with(&own) {
            direct.internal = true;
            return None;
        }
        let base = &values[..values.len() - own.len()];
        if base.iter().any(|&value| self.wrote(reader, key, value)) {
            direct.internal = true;
            direct.unwritten |= base.iter().any(|value| !own.contains(value) && self.wrote(reader, key, *value));
            return None;
        }
        for &value in base {
            let writer = (0..self.txns.len()).find(|&txn| self.wrote(txn, key, value));
            direct.unwritten |= writer.is_none_or(|writer| self.txns[writer].failed);
        }
        Some(base.last().copied())
    }

    /// Who may have written what was read.
    fn candidates(&self, reader: usize, key: usize, newest: Option<u32>, direct: &mut Direct) -> Vec<Option<usize>> {
        let Some(newest) = newest else { return vec![None] };
        let others = (0..self.txns.len()).filter(|&txn| txn != reader && !self.txns[txn].failed);
        let last: Vec<Option<usize>> = others
            .clone()
            .filter(|&txn| self.last_write(txn, key).is_some_and(|(_, value)| value == newest))
            .map(Some)
            .collect();
        if !last.is_empty() {
            return last;
        }
        let earlier: Vec<Option<usize>> = others.filter(|&txn| self.wrote(txn, key, newest)).map(Some).collect();
        direct.intermediate |= !earlier.is_empty();
        direct.unwritten |= earlier.is_empty();
        if earlier.is_empty() && self.wrote(reader, key, newest) {
            direct.internal = true;
        }
        earlier
    }

    /// By key: the longest list that was read.
    fn chains(&self, direct: &mut Direct) -> Vec<Vec<u32>> {
        let mut chains: Vec<Vec<u32>> = vec![Vec::new(); self.keys_count];
        let all = |each: &mut dyn FnMut(usize, &Vec<u32>)| {
            for txn in self.txns.iter().filter(|txn| txn.ended.is_some()) {
                for micro in &txn.micros {
                    if let Micro::Read { key, values } = micro {
                        each(*key, values);
                    }
                }
            }
        };
        all(&mut |key, values| {
            if values.len() > chains[key].len() {
                chains[key].clone_from(values);
            }
        });
        all(&mut |key, values| direct.disorder |= !chains[key].starts_with(values));
        for chain in &chains {
            direct.disorder |= (1..chain.len()).any(|place| chain[..place].contains(&chain[place]));
        }
        // What a transaction appended to a key stands there in its order, and the last only with all before it.
        for txn in &self.txns {
            for (place, micro) in txn.micros.iter().enumerate() {
                let Micro::Write { key, value } = micro else { continue };
                let Some(at) = chains[*key].iter().position(|other| other == value) else { continue };
                let mut earlier = txn.micros[..place].iter().filter_map(|micro| match micro {
                    Micro::Write { key: other, value } if other == key => Some(value),
                    _ => None,
                });
                direct.disorder |= earlier.any(|value| !chains[*key][..at].contains(value));
            }
        }
        chains
    }

    fn case(&self, reads: &[Read], chains: &[Vec<u32>]) -> Case {
        let seen = |txn: usize| {
            let read = reads.iter().any(|read| read.writer == Some(txn));
            let listed =
                chains.iter().enumerate().any(|(key, chain)| chain.iter().any(|&value| self.wrote(txn, key, value)));
            self.txns[txn].ended.is_some() || !self.txns[txn].failed && (read || listed)
        };
        let committed: Vec<usize> = (0..self.txns.len()).filter(|&txn| seen(txn)).collect();
        let number = |txn: usize| committed.iter().position(|&other| other == txn).expect("it is committed");
        let count = committed.len();
        let mut case = Case { count, keys_count: self.keys_count, ..Case::default() };
        case.reads = reads
            .iter()
            .map(|read| Read { reader: number(read.reader), writer: read.writer.map(number), ..*read })
            .collect();
        for &txn in &committed {
            let place = |key| self.last_write(txn, key).map(|(place, _)| place);
            case.writes.push((0..self.keys_count).map(place).collect());
        }
        for &b in &committed {
            let bits = |before: &dyn Fn(&Txn) -> bool| {
                let earlier = committed.iter().enumerate().filter(|&(_, &a)| a != b && before(&self.txns[a]));
                earlier.fold(0, |bits, (place, _)| bits | 1 << place)
            };
            let (invoked, process) = (self.txns[b].invoked, self.txns[b].process);
            let ended = move |a: &Txn| a.ended.is_some_and(|ended| ended < invoked);
            case.process.push(bits(&|a| a.process == process && ended(a)));
            case.realtime.push(bits(&ended));
        }
        case.versions = vec![0; count];
        for (key, chain) in chains.iter().enumerate() {
            let writer = |value: u32| committed.iter().position(|&txn| self.wrote(txn, key, value));
            let mut before = |a: Option<usize>, b: Option<usize>| {
                if let (Some(a), Some(b)) = (a, b)
                    && a != b
                {
                    case.versions[b] |= 1 << a;
                }
            };
            for pair in chain.windows(2) {
                before(writer(pair[0]), writer(pair[1]));
            }
            let Some(&last) = chain.last() else { continue };
            for (place, &txn) in committed.iter().enumerate() {
                let unread = |micro: &Micro| matches!(micro, Micro::Write { key: other, value } if *other == key && !chain.contains(value));
                if self.txns[txn].micros.iter().any(unread) {
                    before(writer(last), Some(place));
                }
            }
        }
        case
    }
}
