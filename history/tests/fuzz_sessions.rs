//! The readers of sessions against texts made of good ones, harmed. None panics, none hangs, what is read takes no more
//! memory than a multiple of the text, and every error says where.
//!
//! Longer with `SCHISM_FUZZ_ROUNDS=100000`.

mod common;

use std::time::{Duration, Instant};

use common::{pick, rng};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use schism_history::sessions::{Format, read, read_cobra};
use schism_history::{History, Kind};

const MEMORY_FACTOR: usize = 64;
const MEMORY_LEAST: usize = 4096;
const TIME_MAX: Duration = Duration::from_secs(60);

fn rounds() -> usize {
    std::env::var("SCHISM_FUZZ_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(1500)
}

fn hurt(rng: &mut ChaCha8Rng, text: &mut Vec<u8>) {
    if text.is_empty() || rng.random_bool(0.6) {
        return common::mutate(rng, text);
    }
    let at = rng.random_range(0..text.len());
    let count = pick(rng, &[1, 20, 140, 5000]);
    let piece = pick(
        rng,
        &[
            &b"["[..],
            b"{",
            b"(",
            b"r(",
            b"9",
            b"-",
            b"=",
            b"\n",
            b" ",
            b"]",
            b"!",
            b"\"",
            b"\xff",
            b"\0",
            b"S",
            b"A",
            b"\xef\xbb\xbf",
            b"18446744073709551615",
            b"[[",
            b"{\"a\":",
            b"==?",
            b"\x00\x00\x00\x00\x00\x00\x00\x01",
        ],
    );
    let inserted = if rng.random() { piece.repeat(count) } else { text[at..(at + count).min(text.len())].to_vec() };
    text.splice(at..at, inserted);
}

/// Reads harmed texts. A tenth at least must be histories, and a fifth none.
fn fuzz(name: &str, good: impl Fn(&mut ChaCha8Rng) -> Vec<u8>, reader: impl Fn(&[u8]) -> Result<History, String>) {
    let mut rng = rng(name);
    let (mut right, mut wrong) = (0, 0);
    for round in 0..rounds() {
        let mut text = good(&mut rng);
        for _ in 0..rng.random_range(0..3) {
            hurt(&mut rng, &mut text);
        }
        let start = Instant::now();
        match reader(&text) {
            Ok(history) => {
                let bytes = history.memory_bytes();
                assert!(bytes <= MEMORY_LEAST + text.len() * MEMORY_FACTOR, "round {round}: {bytes}, {}", text.len());
                assert!(!history.has_realtime());
                for index in 0..history.len() as u32 {
                    assert!(history.txn(index).is_some() && history.kind(index) != Kind::Info, "round {round}");
                }
                right += 1;
            }
            Err(message) => {
                let placed = message.starts_with("line ") || message.contains("byte ");
                assert!(placed && message.len() < 1000, "round {round}: {message}");
                wrong += 1;
            }
        }
        assert!(start.elapsed() < TIME_MAX, "round {round}: {:?} for {} bytes", start.elapsed(), text.len());
    }
    assert!(right > rounds() / 10 && wrong > rounds() / 5, "{name}: {right} right, {wrong} wrong");
}

fn text(name: &str, format: Format, good: impl Fn(&mut ChaCha8Rng) -> String) {
    fuzz(name, |rng| good(rng).into_bytes(), |text| read(format, text).map_err(|error| error.to_string()));
}

fn number(rng: &mut ChaCha8Rng) -> u64 {
    match rng.random_range(0..10) {
        0 => pick(rng, &[u64::MAX, i64::MAX as u64, 1 << 31, (1 << 31) - 1]),
        _ => rng.random_range(1..20),
    }
}

fn lines(rng: &mut ChaCha8Rng, line: impl Fn(&mut ChaCha8Rng, usize) -> String) -> String {
    (0..rng.random_range(1..20)).map(|place| line(rng, place)).collect()
}

#[test]
fn plume() {
    text("fuzz/plume", Format::Plume, |rng| {
        lines(rng, |rng, place| {
            let (session, f) = (place % 3, pick(rng, &["r", "w"]));
            let txn = if rng.random_bool(0.1) { -1 } else { (place / 6 * 3 + session) as i64 };
            format!("{f}({},{},{session},{txn})\n", number(rng), number(rng))
        })
    });
}

#[test]
fn awdit() {
    text("fuzz/awdit", Format::Awdit, |rng| {
        lines(rng, |rng, _| {
            let between = pick(rng, &["", "", "---\n", "====\n"]);
            format!("{between}{} {} {}\n", pick(rng, &["r", "w"]), number(rng), number(rng))
        })
    });
}

#[test]
fn hist() {
    text("fuzz/hist", Format::Hist, |rng| {
        lines(rng, |rng, _| {
            let between = pick(rng, &["", "", "---\n", "// no\n"]);
            let events: String = (0..rng.random_range(1..4))
                .map(|_| match rng.random_range(0..3) {
                    0 => format!("x{}:={} ", number(rng), number(rng)),
                    1 => format!("y=={} ", number(rng)),
                    _ => "z==? ".to_owned(),
                })
                .collect();
            format!("{between}[{}]{}\n", events.trim(), pick(rng, &["", "", "!"]))
        })
    });
}

#[test]
fn veristrong() {
    text("fuzz/veristrong", Format::VeriStrong, |rng| {
        let body = lines(rng, |rng, place| {
            let (session, txn) = (place % 3, place / 6);
            if rng.random() {
                format!("{session} {txn} A {} {}\n", rng.random_range(0..5), rng.random::<i32>())
            } else {
                let items: Vec<String> = (0..rng.random_range(0..5)).map(|item: u32| item.to_string()).collect();
                format!("{session} {txn} R 7 {} {}\n", items.len(), items.join(" "))
            }
        });
        format!("{}\n{body}", body.lines().count())
    });
}

#[test]
fn dbcop() {
    text("fuzz/dbcop", Format::Dbcop, |rng| {
        let txns: Vec<String> = (0..rng.random_range(1..5))
            .map(|_| {
                let events: Vec<String> = (0..rng.random_range(0..4))
                    .map(|_| match rng.random_range(0..4) {
                        0 => format!("{{\"Write\":{{\"variable\":{},\"version\":{}}}}}", number(rng), number(rng)),
                        1 => "{\"Read\":{\"variable\":\"x\",\"version\":null}}".to_owned(),
                        2 => format!("[\"w\",1,{}]", number(rng)),
                        _ => format!("[\"r\",1,{}]", number(rng)),
                    })
                    .collect();
                format!("{{\"events\":[{}],\"committed\":{}}}", events.join(","), rng.random_bool(0.8))
            })
            .collect();
        let sessions = format!("[[{}],[]]", txns.join(",\n"));
        if rng.random() { sessions } else { format!("{{\"params\":{{\"id\":1}},\"data\":{sessions}}}") }
    });
}

#[test]
fn bincode() {
    let good = |rng: &mut ChaCha8Rng| {
        let mut out = Vec::new();
        let mut put = |number: u64| out.extend_from_slice(&number.to_le_bytes());
        [1, 2, 3, 4, 5, 0, 0, 0, 1].into_iter().for_each(&mut put);
        let txns_count = rng.random_range(0..5);
        put(txns_count);
        for _ in 0..txns_count {
            let events_count = rng.random_range(0..4u64);
            out.extend_from_slice(&events_count.to_le_bytes());
            for _ in 0..events_count {
                out.push(rng.random_range(0..2));
                out.extend_from_slice(&number(rng).to_le_bytes());
                out.extend_from_slice(&number(rng).to_le_bytes());
                out.push(rng.random_range(0..2));
            }
            out.push(rng.random_range(0..2));
        }
        out
    };
    fuzz("fuzz/bincode", good, |bytes| read(Format::Dbcop, bytes).map_err(|error| error.to_string()));
}

#[test]
fn cobra() {
    let good = |rng: &mut ChaCha8Rng| {
        let mut out: Vec<u8> = Vec::new();
        let mut put = |letter: u8, numbers: &[i64]| {
            out.push(letter);
            numbers.iter().for_each(|number| out.extend_from_slice(&number.to_be_bytes()));
        };
        for txn in 0..rng.random_range(0..6) {
            put(b'S', &[txn]);
            for _ in 0..rng.random_range(0..4) {
                if rng.random() {
                    put(b'W', &[rng.random(), rng.random_range(0..3), 0]);
                } else {
                    put(b'R', &[0, pick(rng, &[0xdead_beef, 5, -1]), rng.random_range(0..3), 0]);
                }
            }
            put(pick(rng, b"CCA"), &[txn]);
        }
        out
    };
    fuzz("fuzz/cobra", good, |bytes| {
        let half = if bytes.len() > 40 { bytes } else { &[] };
        let logs = [("T1.log".to_owned(), bytes), ("T2.log".to_owned(), half)];
        read_cobra(logs).map_err(|error| error.to_string())
    });
}
