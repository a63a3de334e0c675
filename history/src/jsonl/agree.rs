//! Tests: the fast way and the long way read the same, whatever the line, the chunks and the threads.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::line::Parser;
use super::{fast, reader};
use crate::op::Op;
use crate::reading::plain::Names;
use crate::reading::{FailedCas, Import};
use crate::seed::Seed;
use crate::{History, HistoryBuilder, Tail};

fn pick<'a>(rng: &mut ChaCha8Rng, items: &[&'a str]) -> &'a str {
    items[rng.random_range(0..items.len())]
}

/// A transaction that is plain, or nearly.
fn txn(rng: &mut ChaCha8Rng, odd: bool) -> String {
    let comma = if odd { pick(rng, &[",", ", ", ",  ", ",,", " ,", ""]) } else { pick(rng, &[",", ", "]) };
    let item = |rng: &mut ChaCha8Rng| match rng.random_range(0..if odd { 12 } else { 8 }) {
        0..8 => rng.random_range(0..1_000_000_000u64).to_string(),
        8 => pick(rng, &["01", "-1", "00", "", "1.5", "null", "\"x\"", "[1]", "true"]).to_owned(),
        9 => pick(rng, &["999999999", "1000000000", "2147483647", "2147483648", "99999999999999999999"]).to_owned(),
        _ => rng.random_range(0..100u32).to_string(),
    };
    let list = |rng: &mut ChaCha8Rng| {
        let items: Vec<String> = (0..rng.random_range(0..9)).map(|_| item(rng)).collect();
        format!("[{}]", items.join(comma))
    };
    let mop = |rng: &mut ChaCha8Rng| {
        let f = if odd { pick(rng, &["r", "append", "w", "cas", "re", ""]) } else { pick(rng, &["r", "append", "w"]) };
        let value = match rng.random_range(0..4) {
            0 => "null".to_owned(),
            1 if f == "r" || odd => list(rng),
            _ => item(rng),
        };
        let key =
            if odd { pick(rng, &["-3", "\"x\"", "1.0", "7", "99999999999"]) } else { pick(rng, &["0", "7", "-12"]) };
        let ends = if odd { pick(rng, &["]", "]", " ]", "", "]]"]) } else { "]" };
        format!("[\"{f}\"{comma}{key}{comma}{value}{ends}")
    };
    let mops: Vec<String> = (0..rng.random_range(0..5)).map(|_| mop(rng)).collect();
    format!("[{}]", mops.join(comma))
}

/// A line that is plain, or nearly.
fn line(rng: &mut ChaCha8Rng) -> String {
    // Of each list only the first ones are plain.
    let odd = rng.random_bool(0.4);
    let few = |rng: &mut ChaCha8Rng, count: usize, items: &[&str]| {
        items[rng.random_range(0..if odd { items.len() } else { count })].to_owned()
    };
    let number = |rng: &mut ChaCha8Rng| match rng.random_range(0..if odd { 8 } else { 6 }) {
        6 => few(rng, 1, &["-0", "00", "1.0", "1e3", "-", "", "null", "true", "\"1\"", "[1]", "[1, 2]"]),
        7 => rng.random::<i64>().to_string(),
        0 => few(rng, 3, &["999999999999999999", "4294967295", "-1", "1000000000000000000", "4294967296"]),
        _ => rng.random_range(0..100_000_000u64).to_string(),
    };
    let positive = |rng: &mut ChaCha8Rng| if odd { number(rng) } else { rng.random_range(0..1u64 << 40).to_string() };
    let mut fields = vec![
        format!("\"index\":{}", positive(rng)),
        format!("\"time\":{}", positive(rng)),
        format!("\"process\":{}", few(rng, 3, &["0", "7", "4294967295", "\"nemesis\"", "4294967296"])),
        format!("\"type\":\"{}\"", few(rng, 4, &["invoke", "ok", "fail", "info", "inv\\u006fke", "OK"])),
        format!("\"f\":\"{}\"", few(rng, 5, &["read", "write", "cas", "txn", "odd name", "r\\u0065ad", "é", ""])),
        format!("\"key\":{}", number(rng)),
        format!("\"value\":{}", number(rng)),
        format!("\"value\":[{},{}]", number(rng), number(rng)),
        format!("\"node\":\"{}\"", few(rng, 3, &["n1", "n2", "", "a\\\"b", "日"])),
        format!("\"matched\":{}", few(rng, 2, &["true", "false", "null", "1"])),
    ];
    if odd {
        fields.push(format!("\"session\":{}", number(rng)));
        fields.push("\"extra\":1".to_owned());
    }
    if rng.random_bool(0.5) {
        fields.retain(|field| !field.starts_with("\"value") && !field.starts_with("\"f\""));
        fields.push(format!("\"value\":{}", txn(rng, odd)));
        fields.push(format!("\"f\":\"{}\"", if odd { pick(rng, &["txn", "read", "t"]) } else { "txn" }));
    }
    // The first of the fields and of the last ones are not needed; one of the values is too many.
    let needed = |field: &str| ["\"process", "\"type", "\"f\""].iter().any(|name| field.starts_with(name));
    let value = pick(rng, &["\"value\":[", "\"value\":"]);
    fields.retain(|field| !field.starts_with("\"value") || field.starts_with(value));
    fields.retain(|field| rng.random_bool(if needed(field) { 0.97 } else { 0.5 }));
    if odd && rng.random_bool(0.2) && !fields.is_empty() {
        fields.push(fields[rng.random_range(0..fields.len())].clone());
    }
    for place in (1..fields.len()).rev() {
        fields.swap(place, rng.random_range(0..=place));
    }
    let comma = few(rng, 3, &[",", ",", ", ", " ,", ",\t", ",,"]);
    let mut line = format!("{{{}}}", fields.join(&comma));
    if rng.random_bool(0.2) {
        line = line.replace(':', &few(rng, 2, &[": ", ":  ", " :", ":\t"]));
    }
    line + &few(rng, 3, &["\n", "\n", "\r\n", " \n", "}\n"])
}

/// Changes a byte, or leaves one out.
fn mutate(rng: &mut ChaCha8Rng, line: &str) -> Vec<u8> {
    let mut bytes = line.as_bytes().to_vec();
    let at = rng.random_range(0..bytes.len() - 1);
    match rng.random_range(0..3) {
        0 => bytes[at] = rng.random(),
        1 => bytes[at] = b"{}[]\":,0e.-\\ "[rng.random_range(0..13)],
        _ => drop(bytes.remove(at)),
    }
    bytes.retain(|&byte| byte != b'\n');
    bytes.push(b'\n');
    bytes
}

/// Both ways for one line; whether the fast one answered.
fn both(bytes: &[u8]) -> bool {
    let mut names = Names::default();
    let Some(plain) = fast::event(bytes, 0, &mut names) else { return false };
    let text = String::from_utf8_lossy(bytes);
    let long = Parser::default().event(bytes.strip_suffix(b"\n").unwrap_or(bytes), 0);
    let (op, has_time) = long.unwrap_or_else(|trouble| panic!("{text}: only the long way refuses it: {trouble:?}"));
    assert_eq!((names.op(&plain), plain.has_time), (op, has_time), "{text}");
    assert_eq!(plain.end as usize, bytes.len(), "{text}");
    true
}

#[test]
fn a_line_that_the_fast_way_reads_means_the_same() {
    let mut rng = Seed(11).stream("jsonl/agree");
    let (mut plain, mut others) = (0, 0);
    for _ in 0..60_000 {
        let line = line(&mut rng);
        *(if both(line.as_bytes()) { &mut plain } else { &mut others }) += 1;
        *(if both(&mutate(&mut rng, &line)) { &mut plain } else { &mut others }) += 1;
    }
    assert!(plain > 5_000 && others > 5_000, "{plain} {others}");
}

/// What schism itself writes of clients' operations on integers goes the fast way.
#[test]
fn the_usual_lines_are_plain() {
    for line in [
        r#"{"index":0,"time":1250000,"process":3,"type":"invoke","f":"cas","key":7,"value":[1,2],"node":"n2"}"#,
        r#"{"index":0,"time":1250000,"process":3,"type":"ok","f":"cas","key":-7,"value":[1,-2],"node":"n2","matched":false}"#,
        r#"{"process": 3, "type": "ok", "f": "read", "value": null}"#,
        r#"{"value":5,"f":"write","type":"fail","process":3}"#,
        r#"{"index":4,"time":7,"process":59,"type":"ok","f":"txn","value":[["append",102,2],["r",102,[1,2]],["r",7,null],["w",-1,4],["r",7,[]]],"node":"n1"}"#,
        r#"{"process": 3, "type": "ok", "value": [["r", 5, [1, 2]], ["w", 5, 3]]}"#,
        r#"{"process":3,"type":"invoke","f":"txn","value":[]}"#,
        r#"{"process":3,"type":"invoke","value":[]}"#,
    ] {
        assert!(both(format!("{line}\n").as_bytes()), "{line}");
        assert!(both(format!("{line}\r\n").as_bytes()), "{line}");
        assert!(!both(line.as_bytes()), "the end of a line may be torn: {line}");
    }
}

/// The long way alone, without chunks.
fn slowly(text: &str) -> Result<History, String> {
    let (mut builder, mut parser, mut time_ns) = (HistoryBuilder::default(), Parser::default(), 0);
    for line in text.lines() {
        let (mut op, has_time) = parser.event(line.as_bytes(), 0).map_err(|trouble| format!("{trouble:?}"))?;
        time_ns = if has_time { op.time_ns } else { time_ns };
        op.time_ns = time_ns;
        builder.push(op).map_err(|error| error.to_string())?;
    }
    Ok(builder.finish())
}

fn read(text: &str, threads: usize, chunk_bytes: usize) -> Result<(History, Tail), String> {
    let import = Import { threads: Some(threads), failed_cas: FailedCas::Unknown };
    reader::read(text.as_bytes(), &import, chunk_bytes).map_err(|error| error.to_string())
}

/// A transaction whose lists are mostly beginnings of one another.
fn serial_txn(rng: &mut ChaCha8Rng, answered: bool) -> String {
    let mop = |rng: &mut ChaCha8Rng| {
        let key = rng.random_range(0..3);
        if !answered || rng.random_bool(0.3) {
            return pick(rng, &["[\"append\",K,5]", "[\"r\",K,null]", "[\"w\",K,5]"]).replace('K', &key.to_string());
        }
        let mut items: Vec<u32> = (1..rng.random_range(1..30)).collect();
        if rng.random_bool(0.2) && !items.is_empty() {
            let place = rng.random_range(0..items.len());
            items[place] = 77;
        }
        format!("[\"r\",{key},{items:?}]")
    };
    let mops: Vec<String> = (0..rng.random_range(0..4)).map(|_| mop(rng)).collect();
    format!("[{}]", mops.join(","))
}

/// A history of plain events, with a few that are not.
fn text(rng: &mut ChaCha8Rng, events: usize) -> String {
    let mut text = String::new();
    let mut open: Vec<Option<(&str, String)>> = vec![None; 5];
    for index in 0..events {
        let process = rng.random_range(0..open.len());
        let time = if rng.random_bool(0.9) { format!(",\"time\":{index}") } else { String::new() };
        let extra = if rng.random_bool(0.05) { ",\"extra\":[1]" } else { "" };
        let node = if rng.random_bool(0.5) { ",\"node\":\"n1\"" } else { "" };
        let mut value = pick(rng, &["null", "1", "[1,2]", "-5", "9999999999", "\"x\"", "[[1]]"]).to_owned();
        let (kind, f, key) = match open[process].take() {
            None => {
                let f = pick(rng, &["read", "write", "cas", "odd", "txn", "txn"]);
                let key =
                    pick(rng, &["", ",\"key\":1", ",\"key\":-3", ",\"key\":1000000", ",\"key\":\"x\""]).to_owned();
                open[process] = Some((f, key.clone()));
                ("invoke", f, key)
            }
            Some((f, key)) => {
                let key = if rng.random() { key } else { String::new() };
                (pick(rng, &["ok", "ok", "fail"]), f, key)
            }
        };
        if f == "txn" && rng.random_bool(0.9) {
            value = serial_txn(rng, kind != "invoke");
        }
        let f = if f == "txn" && value.starts_with("[[\"") && rng.random() {
            String::new()
        } else {
            format!("\"f\":\"{f}\",")
        };
        text += &format!(
            "{{\"process\":{process},\"type\":\"{kind}\",{f}\"index\":{index}{key},\"value\":{value}{time}{node}{extra}}}\n"
        );
    }
    text
}

#[test]
fn chunks_and_threads_change_nothing() {
    let mut rng = Seed(12).stream("jsonl/chunks");
    for round in 0..60 {
        let text = text(&mut rng, 200);
        let expected = slowly(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
        for (threads, chunk_bytes) in [(1, 1 << 20), (1, 100), (2, 1000), (3, 1), (16, 300)] {
            let (found, tail) = read(&text, threads, chunk_bytes).unwrap_or_else(|error| panic!("{error}\n{text}"));
            assert_eq!(found, expected, "round {round}, {threads} threads");
            assert_eq!(tail, Tail { whole_bytes: text.len() as u64, ..Tail::default() });
        }
        // What is wrong is told of at the same place, whoever finds it.
        let mut lines: Vec<&str> = text.lines().collect();
        let at = rng.random_range(0..lines.len());
        lines[at] =
            pick(&mut rng, &["{\"process\":0,", "hello", "{\"process\":99,\"type\":\"ok\",\"f\":\"read\"}", "{}"]);
        let wrong = lines.join("\n") + "\n{\"process\":1,\"ty";
        let outcome =
            |threads, chunk_bytes| read(&wrong, threads, chunk_bytes).map(|(history, tail)| (history.len(), tail));
        for (threads, chunk_bytes) in [(1, 100), (2, 1000), (3, 1)] {
            assert_eq!(outcome(threads, chunk_bytes), outcome(1, 1 << 20), "{wrong}");
        }
        let error = outcome(1, 50).expect_err("a wrong line");
        assert!(error.starts_with(&format!("line {}", at + 1)), "line {}: {error}", at + 1);
    }
}

#[test]
fn what_failed_may_have_observed() {
    let failed = "{\"process\":1,\"type\":\"invoke\",\"f\":\"F\",\"value\":[1,2]}\n{\"process\":1,\"type\":\"fail\",\"f\":\"F\",\"value\":[1,2]E}\n";
    for (f, more, observed) in [
        ("cas", "", true),
        ("cas", ",\"session\":1", true),
        ("cas", ",\"error\":\"no leader\"", false),
        ("write", "", false),
        ("write", ",\"session\":1", false),
    ] {
        let text = failed.replace('F', f).replace('E', more);
        for (failed_cas, expected) in [(FailedCas::Unknown, false), (FailedCas::Observed, observed)] {
            let import = Import { failed_cas, threads: Some(1) };
            let (history, _) = super::read_with(text.as_bytes(), &import).expect("a history");
            let found: Op = history.op(1);
            assert_eq!(found.kind.as_str(), if expected { "ok" } else { "fail" }, "{text}");
            assert_eq!(found.matched, expected.then_some(false), "{text}");
        }
    }
}
