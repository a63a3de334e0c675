//! Every reader against texts made of good ones: bytes changed, cut, doubled, nested deep, numbers without end, bytes
//! that are no text. None panics, none hangs, what is read takes no more memory than a multiple of the text, and every
//! error says where. Chunks and threads are fuzzed where they are made (`src/jsonl/agree.rs`, `src/edn/agree.rs`).
//!
//! Longer with `SCHISM_FUZZ_ROUNDS=100000`.

mod common;

use std::io::BufReader;
use std::time::{Duration, Instant};

use common::{Sayable, pick, rng};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use schism_history::{FailedCas, History, Import, Keyed, Tail, edn, etcd_log, jsonl};

/// Bytes of memory for a byte of text: a list of empty lists is the worst, with 48 for two or three.
const MEMORY_FACTOR: usize = 64;

/// However short the text: the lists of names.
const MEMORY_LEAST: usize = 4096;

const TIME_MAX: Duration = Duration::from_secs(60);

fn rounds() -> usize {
    std::env::var("SCHISM_FUZZ_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(1500)
}

type Reader = fn(&[u8], &Import) -> Result<(History, Tail), String>;

/// Reads `rounds` texts that are made of good ones. A fifth at least must be histories, and a fifth none.
fn fuzz(name: &str, mut good: impl FnMut(&mut ChaCha8Rng) -> Vec<u8>, reader: Reader) {
    let mut rng = rng(name);
    let (mut right, mut wrong) = (0, 0);
    for round in 0..rounds() {
        let mut text = good(&mut rng);
        for _ in 0..rng.random_range(0..3) {
            hurt(&mut rng, &mut text);
        }
        let failed_cas = if rng.random() { FailedCas::Observed } else { FailedCas::Unknown };
        let import = Import { failed_cas, threads: Some(rng.random_range(1..3)) };
        let start = Instant::now();
        match reader(&text, &import) {
            Ok((history, tail)) => {
                assert!(history.memory_bytes() <= MEMORY_LEAST + text.len() * MEMORY_FACTOR, "round {round}");
                assert!(tail.whole_bytes as usize <= text.len(), "round {round}");
                assert!(tail.torn.is_none_or(|torn| (torn.offset + torn.bytes_count) as usize == text.len()));
                let last = (history.len() as u32).checked_sub(1);
                assert!(last.is_none_or(|last| history.op(last).index == last));
                right += 1;
            }
            Err(message) => {
                assert!(
                    message.starts_with("line ") && message.len() < 1000 + 2 * text.len(),
                    "round {round}: {message}"
                );
                wrong += 1;
            }
        }
        assert!(start.elapsed() < TIME_MAX, "round {round}: {:?} for {} bytes", start.elapsed(), text.len());
    }
    assert!(right > rounds() / 5 && wrong > rounds() / 5, "{right} right, {wrong} wrong");
}

/// Harms a text in one of many ways.
fn hurt(rng: &mut ChaCha8Rng, text: &mut Vec<u8>) {
    if text.is_empty() {
        return;
    }
    let at = rng.random_range(0..text.len());
    let count = pick(rng, &[1, 20, 140, 5000]);
    let inserted: Vec<u8> = match rng.random_range(0..10) {
        0..4 => return common::mutate(rng, text),
        4 => pick(rng, &["[", "{", "(", "#{", "{:a ", "{\"a\":", "#_", "#a ", "^a ", "[["]).repeat(count).into_bytes(),
        5 => pick(rng, &["9", "0", "-", ".", "e", "1e", "a", " ", "\t", ":", ";", "\\"]).repeat(count).into_bytes(),
        6 => pick(rng, &[&b"\xff"[..], b"\xc3", b"\xed\xa0\x80", b"\0", b"\xf0\x9f", b"\xef\xbb\xbf"])
            .repeat(count.min(3)),
        7 => pick(rng, &["\"", "\n", "\r\n", ",", "}", "]", ")", "\u{85}", "\u{2003}", "\\u", "\\ud83d"]).into(),
        8 => return text.rotate_left(at),
        _ => text[at..(at + count).min(text.len())].to_vec(),
    };
    text.splice(at..at, inserted);
}

#[test]
fn json_lines() {
    let good = |rng: &mut ChaCha8Rng| {
        let mut out = Vec::new();
        let keyed = rng.random();
        jsonl::write(&common::history(rng, 20, keyed, Sayable::ByBoth), &mut out).expect("memory takes all");
        out
    };
    fuzz("fuzz/jsonl", good, |text, import| {
        jsonl::read_with(BufReader::with_capacity(100, text), import).map_err(|error| error.to_string())
    });
}

#[test]
fn edn_maps() {
    let good = |rng: &mut ChaCha8Rng| {
        let mut out = Vec::new();
        let keyed = rng.random();
        edn::write(&common::history(rng, 20, keyed, Sayable::ByEdn), &mut out).expect("memory takes all");
        if rng.random() { [b"[", out.as_slice(), b"]"].concat() } else { out }
    };
    for (name, keyed) in [("fuzz/edn", Keyed::Auto), ("fuzz/edn/no", Keyed::No)] {
        let reader: Reader = match keyed {
            Keyed::No => |text, import| edn::read_from(text, Keyed::No, import).map_err(|error| error.to_string()),
            _ => |text, import| edn::read_from(text, Keyed::Auto, import).map_err(|error| error.to_string()),
        };
        fuzz(name, good, reader);
    }
}

/// Calls of one process after another: each line as `write` has it.
fn lines(rng: &mut ChaCha8Rng, write: impl Fn(&mut ChaCha8Rng, usize, &str, usize) -> String) -> Vec<u8> {
    let mut text = String::new();
    for call in 0..rng.random_range(1..20usize) {
        let f = rng.random_range(0..3);
        text += &write(rng, call, "invoke", f);
        if rng.random_bool(0.9) {
            let kind = pick(rng, &["ok", "fail", "info"]);
            text += &write(rng, call, kind, f);
        }
    }
    text.into_bytes()
}

#[test]
fn key_value_texts() {
    let line = |rng: &mut ChaCha8Rng, process: usize, kind: &str, f: usize| {
        let (f, value) = [("get", "nil"), ("put", "\"a b\""), ("append", "\"x \\n\"")][f];
        let more = pick(rng, &["", "", ", :time 5", ", :index 3"]);
        format!("{{:process {process}, :type :{kind}, :f :{f}, :key \"{}\", :value {value}{more}}}\n", process % 3)
    };
    // A completion of another key is no history; here it never is another.
    fuzz(
        "fuzz/key-value",
        |rng| lines(rng, line),
        |text, import| edn::read_key_value(text, import).map_err(|error| error.to_string()),
    );
}

#[test]
fn etcd_logs() {
    let line = |rng: &mut ChaCha8Rng, process: usize, kind: &str, f: usize| {
        let (f, value) = [("read", "nil"), ("write", "-17"), ("cas", "[1 2]")][f];
        let value = if kind == "info" || kind == "fail" && f == "read" { ":timed-out" } else { value };
        let other =
            pick(rng, &["", "", "INFO  jepsen.core - hello\n", "INFO  jepsen.util - :nemesis :info :start nil\n"]);
        format!("{other}INFO  jepsen.util - {process}\t:{kind}\t:{f}\t{value}\n")
    };
    fuzz(
        "fuzz/etcd-log",
        |rng| lines(rng, line),
        |text, import| etcd_log::read(text, import).map_err(|error| error.to_string()),
    );
}
