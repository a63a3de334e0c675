//! Dependencies of the objects of a closed universe and of reads by predicate over it, from raw micro-operations alone.
//!
//! An object is born (`init`, `insert`), written, and dies (`delete`, or a `w` of nothing), each at most once, in this order; else the order
//! of its versions is not known. A read by predicate saw a version of each object: the one that it found, or one
//! that it would not find. A dependency holds only if it does for each version that may have been seen.

use schism_history::{History, Key, MicroF, Mop, OpIndex, Value};

use super::view::{Txn, all};
use crate::anomaly::Dependency;

/// What a transaction left of an object.
pub struct Version {
    pub txn: OpIndex,
    /// The place of its last write.
    micro: usize,
    /// `None`: it is not there any more.
    pub value: Option<Value>,
    /// Birth, write, death.
    pub rank: u8,
}

/// An object.
pub struct Object {
    /// In order; before the first it is not there.
    pub versions: Vec<Version>,
    /// What those in doubt may have left, which nobody saw.
    pub maybe: Vec<Version>,
    /// Whether it was there from the start.
    pub is_initial: bool,
}

/// What a read says of the version that it saw.
pub enum Saw<'a> {
    /// It has this value; `None`: it is not there.
    This(Option<&'a Value>),
    /// The predicate does not find it.
    Without(&'a str),
}

impl Saw<'_> {
    /// Whether a version of this value may be the one.
    pub fn fits(&self, value: Option<&Value>) -> bool {
        match *self {
            Saw::This(seen) => value == seen,
            Saw::Without(predicate) => finds(predicate, value) == Some(false),
        }
    }
}

/// Whether a history has other micro-operations than appends, writes and reads.
pub fn are_any(history: &History) -> bool {
    all(history).any(|txn| txn.micros().any(|micro| micro.f == MicroF::Other))
}

/// Whether somebody made or removed the key, or tried to: it is an object of a universe, and no register.
pub fn is_object(history: &History, key: u32) -> bool {
    let mut of_key = all(history).filter(|txn| txn.micros().any(|micro| micro.key == key && micro.f == MicroF::Other));
    of_key.any(|txn| mops(history, &txn).iter().zip(txn.micros()).any(|(mop, micro)| micro.key == key && makes(mop)))
}

/// Whether a dependency of this kind is there: between the writers of neighbouring versions of an object (`ww`), or of a
/// version and a read (`wr`, `rw`; for what a predicate left out `wrp`, `rwp`).
pub fn holds(history: &History, from: &Txn<'_>, to: &Txn<'_>, because: &Dependency) -> bool {
    let Some(name) = because.key.as_deref() else { return false };
    let mut keys = (0..).zip(history.txn_keys()).filter(|(_, key)| key.to_string() == *name);
    // Of a number and a text that are written alike nobody can say which was found.
    let (Some((key, _)), None) = (keys.next(), keys.next()) else { return false };
    let is_of_universe = is_object(history, key);
    let Some(object) = object(history, name) else { return false };
    let (writer, reader, reads_at) = match because.kind.as_str() {
        "ww" => {
            let follows = |pair: &[Version]| {
                let are_they = pair[0].txn == from.invoked && pair[1].txn == to.invoked;
                are_they
                    && is_told(history, from, pair[0].micro, because.from_micro, &because.before)
                    && is_told(history, to, pair[1].micro, because.to_micro, &because.after)
            };
            return is_of_universe && object.versions.windows(2).any(follows);
        }
        "wr" | "wrp" => (from, to, because.to_micro),
        "rw" | "rwp" => (to, from, because.from_micro),
        _ => return false,
    };
    let reads = mops(history, reader);
    let places = match reads_at {
        Some(place) => place as usize..(place as usize).saturating_add(1).min(reads.len()),
        None => 0..reads.len(),
    };
    places.into_iter().any(|place| {
        let Some(saw) = saw(&reads, place, name, is_of_universe).filter(|_| reader.ended.is_some()) else {
            return false;
        };
        let Some(version) = object.depended_on(&saw, reader, &because.kind) else { return false };
        let (told_of_writer, told_of_reader) = match because.kind.starts_with("wr") {
            true => ((because.from_micro, &because.before), &because.after),
            false => ((because.to_micro, &because.after), &because.before),
        };
        version.txn == writer.invoked
            && is_told(history, writer, version.micro, told_of_writer.0, told_of_writer.1)
            && is_told(history, reader, place, reads_at, told_of_reader)
    })
}

/// [`holds`] between the transactions of two invocations.
#[cfg(test)]
pub fn is_there(history: &History, [from, to]: [OpIndex; 2], because: &Dependency) -> bool {
    let of = |invoked| super::view::txn(history, invoked).expect("a transaction");
    holds(history, &of(from), &of(to), because)
}

/// Whether a micro-operation is the one that is named, and its value what is told of it.
fn is_told(history: &History, txn: &Txn<'_>, place: usize, named: Option<u32>, told: &Option<String>) -> bool {
    let is_it = named.is_none_or(|named| named as usize == place);
    let is_so = |told: &String| mops(history, txn).get(place).is_some_and(|mop| mop.value.to_string() == *told);
    is_it && told.as_ref().is_none_or(is_so)
}

/// A transaction's micro-operations, of one that ended well with the answers.
pub fn mops(history: &History, txn: &Txn<'_>) -> Vec<Mop> {
    match &*history.value(txn.ended.unwrap_or(txn.invoked)) {
        Value::Txn(mops) => mops.to_vec(),
        _ => Vec::new(),
    }
}

/// The keys that a transaction wrote, as text.
pub fn written(history: &History, txn: &Txn<'_>) -> Vec<String> {
    let is_write = |mop: &Mop| matches!(&*mop.f, "init" | "insert" | "w" | "delete");
    let name = |mop: Mop| match mop.key {
        Key::Str(text) => text.to_string(),
        number => number.to_string(),
    };
    mops(history, txn).into_iter().filter(is_write).map(name).collect()
}

fn makes(mop: &Mop) -> bool {
    matches!(&*mop.f, "init" | "insert" | "delete")
}

fn is_of(mop: &Mop, name: &str) -> bool {
    match &mop.key {
        Key::Str(text) => **text == *name,
        number => number.to_string() == name,
    }
}

/// What a micro-operation leaves of an object, if it writes it.
fn left<'m>(mop: &'m Mop, name: &str) -> Option<Option<&'m Value>> {
    match &*mop.f {
        _ if !is_of(mop, name) => None,
        "init" | "insert" => Some(Some(&mop.value)),
        "w" => Some(Some(&mop.value).filter(|value| !value.is_nil())),
        "delete" => Some(None),
        _ => None,
    }
}

/// What a read by predicate found of an object.
fn found<'m>(mop: &'m Mop, name: &str) -> Option<&'m Value> {
    let Value::Map(found) = &mop.value else { return None };
    let is_it = |key: &Value| Key::from_value(key).is_some_and(|key| key.to_string() == name);
    found.iter().rev().find(|(key, _)| is_it(key)).map(|(_, value)| value)
}

/// All versions of an object; `None` if their order is not known.
pub fn object(history: &History, name: &str) -> Option<Object> {
    let mut object = Object { versions: Vec::new(), maybe: Vec::new(), is_initial: false };
    let mut doubtful: Vec<Version> = Vec::new();
    let mut seen: Vec<(OpIndex, Value)> = Vec::new();
    let mut initial: Vec<OpIndex> = Vec::new();
    for txn in all(history).filter(|txn| !txn.failed) {
        let touches = |key: u32| history.txn_keys()[key as usize].to_string() == name;
        if !txn.micros().any(|micro| micro.f == MicroF::Other || touches(micro.key)) {
            continue;
        }
        let all = mops(history, &txn);
        if txn.ended.is_some() {
            // Behind a write of its own it sees that.
            let of_others = || all.iter().take_while(|mop| left(mop, name).is_none());
            let read = of_others().filter(|mop| &*mop.f == "r" && is_of(mop, name)).map(|mop| &mop.value);
            let by_predicate = of_others().filter(|mop| &*mop.f == "rp").filter_map(|mop| found(mop, name));
            seen.extend(read.chain(by_predicate).map(|value| (txn.invoked, value.clone())));
        }
        let written = || all.iter().enumerate().filter_map(|(place, mop)| Some((place, mop, left(mop, name)?)));
        let Some((micro, _, value)) = written().next_back() else { continue };
        let is_born = written().any(|(_, mop, _)| matches!(&*mop.f, "init" | "insert"));
        if written().any(|(_, mop, _)| &*mop.f == "init") {
            initial.push(txn.invoked);
        }
        let rank = if is_born { 0 } else { 1 + u8::from(value.is_none()) };
        let version = Version { txn: txn.invoked, micro, value: value.cloned(), rank };
        if txn.ended.is_some() { object.versions.push(version) } else { doubtful.push(version) }
    }
    // One in doubt happened if what it left, and nobody else, was seen.
    let is_seen = |version: &Version| {
        let is_other = |reader: OpIndex| {
            move |other: &&Version| other.value == version.value && other.txn != version.txn && other.txn != reader
        };
        let of_nobody_else =
            |reader: OpIndex| !object.versions.iter().chain(&doubtful).any(|other| is_other(reader)(&other));
        seen.iter().any(|(reader, value)| version.value.as_ref() == Some(value) && of_nobody_else(*reader))
    };
    let happened: Vec<bool> = doubtful.iter().map(is_seen).collect();
    for (version, happened) in doubtful.into_iter().zip(happened) {
        if happened { object.versions.push(version) } else { object.maybe.push(version) }
    }
    object.versions.sort_by_key(|version| version.rank);
    object.is_initial = object.versions.first().is_some_and(|first| initial.contains(&first.txn));
    let is_ranked = object.versions.windows(2).all(|pair| pair[0].rank < pair[1].rank);
    // Of a register with several versions nobody knows which came first; of keys that are written alike nobody knows which is meant.
    let keys: Vec<u32> =
        (0..).zip(history.txn_keys()).filter(|(_, key)| key.to_string() == name).map(|(at, _)| at).collect();
    let is_ordered = |key: u32| object.versions.len() < 2 || is_object(history, key);
    let is_known = is_ranked && matches!(keys[..], [key] if is_ordered(key));
    is_known.then_some(object)
}

/// What a read says of an object. Nothing behind writes of its own transaction.
pub fn saw<'m>(mops: &'m [Mop], place: usize, name: &str, is_of_universe: bool) -> Option<Saw<'m>> {
    let mop = mops.get(place)?;
    if mops[..place].iter().any(|earlier| left(earlier, name).is_some()) {
        return None;
    }
    if &*mop.f == "r" && is_of_universe && is_of(mop, name) {
        return Some(Saw::This(Some(&mop.value).filter(|value| !value.is_nil())));
    }
    let Key::Str(predicate) = &mop.key else { return None };
    let is_answer = &*mop.f == "rp" && matches!(mop.value, Value::Map(_));
    if !is_answer || finds(predicate, None).is_none() {
        return None;
    }
    match found(mop, name) {
        None => Some(Saw::Without(predicate)),
        value => (finds(predicate, value) == Some(true)).then_some(Saw::This(value)),
    }
}

/// Whether a predicate finds an object of this value (`None`: one that is not there); `None` if nobody knows the predicate.
fn finds(predicate: &str, value: Option<&Value>) -> Option<bool> {
    let predicate = predicate.trim_start_matches(':').trim();
    if predicate == "true" {
        return Some(value.is_some());
    }
    if let Some(wanted) = predicate.strip_prefix('=') {
        let wanted = Value::from_json(&serde_json::from_str(wanted).ok()?);
        return Some(value == Some(&wanted));
    }
    let numbers: Vec<i64> =
        predicate.strip_prefix("mod")?.split_whitespace().map(str::parse).collect::<Result<_, _>>().ok()?;
    let (&[by, rest], true) = (&numbers[..], numbers.first() > Some(&0)) else { return None };
    Some(matches!(value, Some(Value::Int(number)) if number.rem_euclid(by) == rest))
}

impl Object {
    /// The value of a version by its place in the order, from 1; at 0 the object is not there.
    fn value(&self, place: usize) -> Option<&Value> {
        self.versions.get(place.checked_sub(1)?)?.value.as_ref()
    }

    /// The versions that a read may have seen: none, if one in doubt is among them.
    fn candidates(&self, saw: &Saw<'_>, reader: &Txn<'_>) -> Vec<usize> {
        let fits = |value: Option<&Value>| saw.fits(value);
        if self.maybe.iter().any(|version| fits(version.value.as_ref())) {
            return Vec::new();
        }
        // Its own writes come after the read.
        let is_own = |place: usize| place > 0 && self.versions[place - 1].txn == reader.invoked;
        let later = (1..=self.versions.len()).filter(|&place| !is_own(place) && fits(self.value(place)));
        let mut all: Vec<usize> = later.collect();
        // What was there from the start is missing only if nothing else explains it.
        if fits(None) && (!self.is_initial || all.is_empty()) {
            all.insert(0, 0);
        }
        all
    }

    /// The version that a read depends on, or whose writer depends on the read, whichever version was seen: it or one behind it
    /// (before it) was.
    fn depended_on(&self, saw: &Saw<'_>, reader: &Txn<'_>, kind: &str) -> Option<&Version> {
        let candidates = self.candidates(saw, reader);
        let is_found = |predicate: &str, place: usize| finds(predicate, self.value(place)) == Some(true);
        let place = match (kind, saw) {
            ("wr", Saw::This(_)) => candidates.into_iter().min(),
            ("rw", Saw::This(_)) => candidates.into_iter().max().map(|place| place + 1),
            // The last version with which the answer changed.
            ("wrp", &Saw::Without(predicate)) => {
                let changes = |&place: &usize| is_found(predicate, place) != is_found(predicate, place - 1);
                let said = candidates.into_iter().map(|place| (1..=place).rev().find(changes));
                said.collect::<Option<Vec<usize>>>()?.into_iter().min()
            }
            // The next one that it would find.
            ("rwp", &Saw::Without(predicate)) => {
                let next = |place: usize| (place + 1..=self.versions.len()).find(|&next| is_found(predicate, next));
                candidates.into_iter().map(next).collect::<Option<Vec<usize>>>()?.into_iter().max()
            }
            _ => None,
        };
        self.versions.get(place?.checked_sub(1)?)
    }
}
