//! Harmed texts of every format, on their whole way: read, and if they are histories after all, judged.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use schism_checkers::txn::checker::{Data, TxnChecker};
use schism_checkers::txn::levels::Level;
use schism_checkers::txn::rw_register::VersionSources;
use schism_checkers::{Budget, Checker};
use schism_history::sessions::{self, Format};
use schism_history::{History, Keyed, RunFacts, edn, jsonl};

use crate::generate::{Size, arbitrary};

/// A format: how a good text is made, and how it is read.
pub struct Text {
    /// Its name.
    pub name: &'static str,
    good: fn(&mut ChaCha8Rng) -> Vec<u8>,
    read: fn(&[u8]) -> Result<History, String>,
}

/// All formats of transactions.
pub const FORMATS: &[Text] = &[
    Text {
        name: "jsonl",
        good: |random| written(random, true),
        read: |text| jsonl::read(text).map(|read| read.0).map_err(|error| error.to_string()),
    },
    Text {
        name: "edn",
        good: |random| written(random, false),
        read: |text| edn::read(text, Keyed::Auto).map(|read| read.0).map_err(|error| error.to_string()),
    },
    Text { name: "plume", good: plume, read: |text| sessions_of(Format::Plume, text) },
    Text { name: "awdit", good: awdit, read: |text| sessions_of(Format::Awdit, text) },
    Text { name: "dbcop", good: dbcop, read: |text| sessions_of(Format::Dbcop, text) },
    Text { name: "bincode", good: bincode, read: |text| sessions_of(Format::Dbcop, text) },
    Text { name: "hist", good: hist, read: |text| sessions_of(Format::Hist, text) },
    Text { name: "veristrong", good: veristrong, read: |text| sessions_of(Format::VeriStrong, text) },
    Text {
        name: "cobra",
        good: cobra,
        read: |text| sessions::read_cobra([("T1.log".to_owned(), text)]).map_err(|error| error.to_string()),
    },
];

fn sessions_of(format: Format, text: &[u8]) -> Result<History, String> {
    sessions::read(format, text).map_err(|error| error.to_string())
}

fn written(random: &mut ChaCha8Rng, as_json: bool) -> Vec<u8> {
    let mut history = arbitrary(random, Size::Small);
    // EDN has no way to say that there is none.
    while !as_json && !history.has_realtime() {
        history = arbitrary(random, Size::Small);
    }
    let mut text = Vec::new();
    let written = if as_json { jsonl::write(&history, &mut text) } else { edn::write(&history, &mut text) };
    written.expect("memory takes all");
    text
}

/// A few transactions of a few sessions: session, transaction, whether it writes, key, value.
fn calls(random: &mut ChaCha8Rng) -> Vec<(u64, u64, bool, u64, u64)> {
    let sessions = random.random_range(1..5u64);
    let mut next = 0;
    let mut all = Vec::new();
    for txn in 0..random.random_range(1..15u64) {
        for _ in 0..random.random_range(1..4) {
            let (writes, key) = (random.random(), random.random_range(0..3));
            next += u64::from(writes);
            let value = if writes { next } else { random.random_range(0..=next) };
            all.push((txn % sessions, txn, writes, key, value));
        }
    }
    all
}

fn plume(random: &mut ChaCha8Rng) -> Vec<u8> {
    let line = |(session, txn, writes, key, value): (u64, u64, bool, u64, u64)| {
        format!("{}({key},{value},{session},{txn})\n", if writes { 'w' } else { 'r' })
    };
    calls(random).into_iter().map(line).collect::<String>().into_bytes()
}

fn awdit(random: &mut ChaCha8Rng) -> Vec<u8> {
    let line = |(session, txn, writes, key, value): (u64, u64, bool, u64, u64)| {
        let between = ["", "---\n", "====\n"][(session + txn) as usize % 3];
        format!("{between}{} {key} {value}\n", if writes { 'w' } else { 'r' })
    };
    calls(random).into_iter().map(line).collect::<String>().into_bytes()
}

fn dbcop(random: &mut ChaCha8Rng) -> Vec<u8> {
    let txn = |(_, txn, writes, key, value): (u64, u64, bool, u64, u64)| {
        let f = if writes { "Write" } else { "Read" };
        let committed = txn % 7 != 3;
        format!("{{\"events\":[{{\"{f}\":{{\"variable\":{key},\"version\":{value}}}}}],\"committed\":{committed}}}")
    };
    let txns: Vec<String> = calls(random).into_iter().map(txn).collect();
    let sessions: Vec<String> = txns.chunks(3).map(|session| format!("[{}]", session.join(","))).collect();
    format!("{{\"params\":{{\"id\":0}},\"info\":\"x\",\"data\":[{}]}}", sessions.join(",")).into_bytes()
}

fn bincode(random: &mut ChaCha8Rng) -> Vec<u8> {
    let calls = calls(random);
    let mut out: Vec<u8> = [0, 2, 3, 4, 5, 0, 0, 0].iter().flat_map(|number: &u64| number.to_le_bytes()).collect();
    let number = |out: &mut Vec<u8>, number: u64| out.extend_from_slice(&number.to_le_bytes());
    number(&mut out, calls.chunks(4).count() as u64);
    for session in calls.chunks(4) {
        number(&mut out, session.len() as u64);
        for &(_, txn, writes, key, value) in session {
            number(&mut out, 1);
            out.push(u8::from(writes));
            number(&mut out, key);
            number(&mut out, value);
            out.extend_from_slice(&[1, u8::from(txn % 7 != 3)]);
        }
    }
    out
}

fn hist(random: &mut ChaCha8Rng) -> Vec<u8> {
    let line = |(_, txn, writes, key, value): (u64, u64, bool, u64, u64)| {
        let between = if txn.is_multiple_of(3) { "---\n" } else { "" };
        format!("{between}[k{key}{}{value}]{}\n", if writes { ":=" } else { "==" }, if txn % 7 == 3 { "!" } else { "" })
    };
    calls(random).into_iter().map(line).collect::<String>().into_bytes()
}

fn veristrong(random: &mut ChaCha8Rng) -> Vec<u8> {
    let calls = calls(random);
    let mut lists: Vec<Vec<u64>> = vec![Vec::new(); 3];
    let mut text = format!("{}\n", calls.len());
    for (session, txn, writes, key, value) in calls {
        let list = &mut lists[key as usize];
        if writes {
            list.push(value);
            text += &format!("{session} {txn} A {key} {value}\n");
        } else {
            let items: Vec<String> = list.iter().map(u64::to_string).collect();
            text += &format!("{session} {txn} R {key} {} {}\n", items.len(), items.join(" "));
        }
    }
    text.into_bytes()
}

fn cobra(random: &mut ChaCha8Rng) -> Vec<u8> {
    let mut out = Vec::new();
    let mut record = |letter: u8, numbers: &[u64]| {
        out.push(letter);
        numbers.iter().for_each(|number| out.extend_from_slice(&number.to_be_bytes()));
    };
    for (_, txn, writes, key, value) in calls(random) {
        record(b'S', &[txn]);
        if writes {
            record(b'W', &[value, key, 0])
        } else {
            record(b'R', &[0, value, key, 0])
        }
        record(if txn % 7 == 3 { b'A' } else { b'C' }, &[txn]);
    }
    out
}

/// Harms a text: bits, cuts, repeats, numbers that are too great.
fn harm(random: &mut ChaCha8Rng, text: &mut Vec<u8>) {
    const PIECES: &[&[u8]] = &[
        b"18446744073709551615",
        b"-9223372036854775808",
        b"99999999999999999999999",
        b"[[[[[[[[",
        b"\"",
        b"\n",
        b"\xff\xfe",
        b"\0\0\0\0\0\0\0\x10",
        b"\xff\xff\xff\xff\xff\xff\xff\x7f",
        b"nil",
        b"null",
        b"#{",
        b"R 0 4000000000 ",
        b"[\"append\",1,1]",
    ];
    if text.is_empty() {
        return;
    }
    let at = random.random_range(0..text.len());
    let until = (at + random.random_range(1..40)).min(text.len());
    match random.random_range(0..8) {
        0 | 1 => text[at] ^= 1 << random.random_range(0..8),
        2 => text.truncate(at),
        3 => {
            text.drain(at..until);
        }
        4 => {
            let piece = text[at..until].to_vec();
            let place = random.random_range(0..=text.len());
            text.splice(place..place, piece.repeat(random.random_range(1..30)));
        }
        5 => text[at] = random.random(),
        _ => {
            let piece = PIECES[random.random_range(0..PIECES.len())];
            text.splice(at..if random.random() { at } else { until }, piece.iter().copied());
        }
    }
}

/// Reads so many harmed texts, and judges what is a history; the length of the longest.
pub fn harmed(format: &Text, count: u64) -> usize {
    let budget = Budget { steps_max: 20_000, memory_bytes_max: 1 << 22 };
    let (mut longest, mut right, mut wrong) = (0, 0, 0);
    for seed in 0..count {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut text = (format.good)(&mut random);
        (0..random.random_range(0..4)).for_each(|_| harm(&mut random, &mut text));
        if seed % 50 == 49 {
            text = (0..random.random_range(0..300)).map(|_| random.random()).collect();
        }
        longest = longest.max(text.len());
        let history = match (format.read)(&text) {
            Ok(history) => history,
            Err(message) => {
                assert!(!message.is_empty() && message.len() < 2_000, "{}: {message}", format.name);
                wrong += 1;
                continue;
            }
        };
        right += 1;
        let data = if random.random() { Data::ListAppend } else { Data::RwRegister };
        let level = Level::ALL[random.random_range(0..Level::ALL.len())];
        let checker = TxnChecker { data, level, sources: VersionSources::default() };
        let finding = checker.check(&history, &RunFacts::default(), &budget);
        assert!(finding.stats.contains_key("steps"), "{}: {finding:?}", format.name);
    }
    let least = count as usize / 20;
    assert!(right > least && wrong > least, "{}: {right} right, {wrong} wrong of {count}", format.name);
    longest
}

#[test]
fn harmed_texts_are_refused_or_judged() {
    let count = if std::env::var_os("SCHISM_TEST_LONG").is_some() { 50_000 } else { 300 };
    for format in FORMATS {
        harmed(format, count);
    }
}
