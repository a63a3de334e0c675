//! Sets, locks and counters, each with one way in which databases fail it.

use std::collections::{BTreeMap, BTreeSet};

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use schism_history::{F, Kind, Value};

use super::simulator::{Object, Reply, Request};

/// A set whose additions are acknowledged and, where it goes wrong, sometimes forgotten.
#[derive(Default)]
pub struct Set {
    held: BTreeSet<i64>,
    added: i64,
    /// When additions had ended, of values that nobody ever removed.
    added_us: BTreeMap<i64, u64>,
    removed: BTreeSet<i64>,
}

impl Object for Set {
    fn draw(&mut self, random: &mut ChaCha8Rng, _process: u32) -> (F, Value) {
        let earlier = self.added - random.random_range(0..30.min(self.added + 1));
        match random.random_range(0..10) {
            0..3 => {
                self.added += 1;
                (F::Add, Value::Int(self.added))
            }
            3 => {
                self.removed.insert(earlier);
                (F::parse("remove"), Value::Int(earlier))
            }
            _ => (F::parse("contains"), Value::Int(earlier)),
        }
    }

    fn serve(&mut self, random: &mut ChaCha8Rng, request: &Request, wrongly: bool) -> Reply {
        let Value::Int(value) = request.argument else { panic!("a set of {}", request.argument) };
        let matched = match request.f.as_str() {
            "add" if wrongly && random.random_bool(0.1) => true,
            "add" => self.held.insert(value),
            "remove" => self.held.remove(&value),
            _ => self.held.contains(&value),
        };
        Reply { matched: Some(matched), ..Reply::ok(request.argument.clone()) }
    }

    fn is_proven(&mut self, request: &Request, reply: &Reply, now_us: u64) -> bool {
        let Value::Int(value) = request.argument else { panic!("a set of {}", request.argument) };
        match request.f.as_str() {
            "add" => {
                self.added_us.insert(value, now_us);
                false
            }
            "contains" => {
                let added = self.added_us.get(&value).is_some_and(|&ended| ended < request.begun_us);
                added && reply.matched == Some(false) && !self.removed.contains(&value)
            }
            _ => false,
        }
    }
}

/// A lock that, where it goes wrong, is sometimes granted to two.
#[derive(Default)]
pub struct Lock {
    holder: Option<u32>,
    /// Who was told that it holds, or may still hold it, and since when it is sure.
    told: BTreeMap<u32, u64>,
    waits: BTreeSet<u32>,
}

impl Object for Lock {
    fn draw(&mut self, _random: &mut ChaCha8Rng, process: u32) -> (F, Value) {
        // Nobody is sure to hold it from the moment at which the holder asks to let it go.
        if self.told.remove(&process).is_some() {
            return (F::parse("release"), Value::Nil);
        }
        self.waits.insert(process);
        (F::parse("acquire"), Value::Nil)
    }

    fn serve(&mut self, random: &mut ChaCha8Rng, request: &Request, wrongly: bool) -> Reply {
        let refused = Reply { kind: Kind::Fail, value: Value::Nil, matched: None };
        if request.f.as_str() == "release" {
            // Whoever was granted it in error may let it go when the other has already.
            self.holder = None;
            return Reply::ok(Value::Nil);
        }
        if self.holder.is_some() && !(wrongly && random.random_bool(0.1)) {
            return refused;
        }
        self.holder = Some(request.process);
        Reply::ok(Value::Nil)
    }

    fn is_proven(&mut self, request: &Request, reply: &Reply, now_us: u64) -> bool {
        if request.f.as_str() == "release" || reply.kind != Kind::Ok {
            return false;
        }
        let proven = self.told.values().any(|&since| since < request.begun_us);
        self.told.insert(request.process, now_us);
        proven
    }
}

/// A counter whose increments are acknowledged and, where it goes wrong, sometimes forgotten.
#[derive(Default)]
pub struct Counter {
    total: i64,
    /// By the moment: the sum of what had been added for sure.
    sure: Vec<(u64, i64)>,
}

impl Object for Counter {
    fn draw(&mut self, random: &mut ChaCha8Rng, _process: u32) -> (F, Value) {
        if random.random_bool(0.5) { (F::Read, Value::Nil) } else { (F::Add, Value::Int(1)) }
    }

    fn serve(&mut self, random: &mut ChaCha8Rng, request: &Request, wrongly: bool) -> Reply {
        if request.f == F::Read {
            return Reply::ok(Value::Int(self.total));
        }
        if !(wrongly && random.random_bool(0.2)) {
            self.total += 1;
        }
        Reply::ok(request.argument.clone())
    }

    fn is_proven(&mut self, request: &Request, reply: &Reply, now_us: u64) -> bool {
        let last = self.sure.last().map_or(0, |&(_, sum)| sum);
        if request.f != F::Read {
            self.sure.push((now_us, last + 1));
            return false;
        }
        let before = self.sure.partition_point(|&(at, _)| at < request.begun_us);
        let least = before.checked_sub(1).map_or(0, |place| self.sure[place].1);
        matches!(reply.value, Value::Int(total) if total < least)
    }
}
