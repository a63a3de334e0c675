//! `history.jsonl`: the exact lines, the way there and back, torn files, what is refused and where.

mod common;

use std::io::{self, BufReader, Read, Write};

use common::{Sayable, rng};
use rand::RngExt;
use schism_history::{History, JsonlWriter, Op, Tail, Torn, Value, jsonl, sessions};
use serde_json::Value as Json;

fn read(text: &[u8]) -> Result<(History, Tail), String> {
    jsonl::read(text).map_err(|error| error.to_string())
}

fn written(history: &History) -> Vec<u8> {
    let mut out = Vec::new();
    jsonl::write(history, &mut out).expect("memory takes all");
    out
}

const LINES: &str = r#"{"index":0,"time":1250000,"process":3,"type":"invoke","f":"cas","key":7,"value":[1,2],"node":"n2"}
{"index":1,"time":1300000,"process":0,"type":"invoke","f":"txn","value":[["append",5,1],["r",5,null],["w","x",3]]}
{"index":2,"time":1400000,"process":0,"type":"ok","f":"txn","value":[["append",5,1],["r",5,[1,2]],["w","x",3]],"session":12}
{"index":3,"time":8000000,"process":4,"type":"invoke","f":"cas","key":"a\"b","value":[1,2],"node":"n1"}
{"index":4,"time":8500000,"process":4,"type":"ok","f":"cas","key":"a\"b","value":[1,2],"node":"n1","matched":false}
{"index":5,"time":9250000,"process":3,"type":"info","f":"cas","key":7,"value":[1,2],"node":"n2","error":["timeout",{"ms":5000}]}
{"index":6,"time":9300000,"process":"nemesis/partition","type":"invoke","f":"inject","value":{"n1":["n2","n3"]},"fault_id":3}
{"index":7,"time":9400000,"process":"nemesis/partition","type":"info","f":"inject","value":null,"fault_id":3,"op-index":9,"extra.type":"x"}
"#;

#[test]
fn lines_are_read_and_written_to_the_byte() {
    let (history, tail) = read(LINES.as_bytes()).expect("a history");
    assert_eq!(tail, Tail { whole_bytes: LINES.len() as u64, ..Tail::default() });
    assert_eq!(String::from_utf8_lossy(&written(&history)), LINES);
    assert!(matches!(&*history.value(0), Value::Pair([1, 2])));
    assert!(matches!(&*history.value(2), Value::Txn(mops) if mops[1].value == Value::Pair([1, 2])));
    assert_eq!((history.matched(4), history.session(2), history.fault_id(6)), (Some(false), Some(12), Some(3)));
    assert_eq!(history.node(5).map(|node| node.as_str()), Some("n2"));
    assert_eq!(history.extra(7), [("op-index".into(), Value::Int(9)), ("type".into(), Value::str("x"))]);
}

/// A history without real time stays one: its head says so.
#[test]
fn a_head_keeps_that_there_is_no_real_time() {
    let read_plume = |text: &str| sessions::read(sessions::Format::Plume, text.as_bytes()).expect("a history");
    let history = read_plume("w(1,2,0,0)\nr(1,2,1,1)\n");
    assert!(!history.has_realtime());
    let text = String::from_utf8(written(&history)).expect("text");
    assert!(text.starts_with("{\"schema_version\":1,\"realtime\":false}\n{\"index\":0,"), "{text}");
    let (again, tail) = read(text.as_bytes()).expect("a history");
    assert!(!again.has_realtime() && again.ops().eq(history.ops()));
    assert_eq!(tail, Tail { whole_bytes: text.len() as u64, ..Tail::default() });
    assert_eq!(written(&again), text.as_bytes());
    // EDN has no place for that.
    let refused = schism_history::edn::write(&history, Vec::new()).expect_err("it cannot be said");
    assert!(refused.to_string().contains("write JSON Lines"), "{refused}");

    let event = "{\"process\":0,\"type\":\"invoke\",\"f\":\"read\"}\n";
    let head = "{\"schema_version\":1,\"realtime\":false}";
    // Text, whether there is real time, and how many events.
    for (text, has_realtime, events) in [
        (format!("{head}\n{event}"), false, 1),
        (format!("\u{feff} {{ \"schema_version\" : 1 , \"realtime\" : false }} \r\n{event}"), false, 1),
        (format!("{head}\n"), false, 0),
        (head.to_owned(), false, 0),
        (format!("{{\"schema_version\":1,\"realtime\":true}}\n{event}"), true, 1),
        (format!("{{\"schema_version\":1}}\n{event}"), true, 1),
        // An event may have such a field too.
        (event.replacen('{', "{\"schema_version\":1,\"realtime\":false,", 1), true, 1),
        (event.replacen('{', "{\"schema_version\":\"x\",", 1), true, 1),
    ] {
        let (history, tail) = read(text.as_bytes()).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!((history.has_realtime(), history.len()), (has_realtime, events), "{text}");
        assert_eq!((tail.whole_bytes, tail.torn), (text.len() as u64, None), "{text}");
    }
    for (text, expected) in [
        (format!("{event}{head}\n{event}"), "line 2, column 37: found `}`, expected the field `process`"),
        (format!("{{\"schema_version\":2}}\n{event}"), "line 1, column 19: found `2}`, expected `schema_version`: 1"),
        (
            "{\"schema_version\":1,\"realtime\":0}\n".to_owned(),
            "line 1, column 32: found `0}`, expected `realtime`: true",
        ),
        (format!("{head},\n"), "line 1, column 38: found `,`, expected the end of the line after the head"),
    ] {
        let error = read(text.as_bytes()).expect_err("it is wrong");
        let (before, after) = expected.split_once(": found").expect("a place");
        assert!(error.starts_with(before) && error.contains(after), "{error}");
    }
    // The beginning of a head is torn like that of an event.
    for end in 1..head.len() {
        let (history, tail) = read(&head.as_bytes()[..end]).unwrap_or_else(|error| panic!("{end}: {error}"));
        assert_eq!((history.len(), tail.whole_bytes), (0, 0));
        assert_eq!(tail.torn, Some(Torn { line: 1, offset: 0, bytes_count: end as u64 }));
    }
}

#[test]
fn what_is_unusual_but_right_is_read() {
    for (text, expected) in [
        ("", ""),
        ("\n \r\n", ""),
        // Order of fields, blanks, carriage returns, no index and no time, escapes in names, empty options.
        (
            "\u{feff} { \"f\" : \"r\\u0065ad\" ,\t\"type\":\"invoke\", \"process\":0, \"key\":null, \"node\":null, \"session\":null} \r\n\n{\"process\":0,\"type\":\"ok\",\"f\":\"read\",\"value\":-0}",
            "{\"index\":0,\"time\":0,\"process\":0,\"type\":\"invoke\",\"f\":\"read\",\"value\":null}\n{\"index\":1,\"time\":0,\"process\":0,\"type\":\"ok\",\"f\":\"read\",\"value\":-0.0}\n",
        ),
        // A missing time is the one before; indices are given anew; time may go back.
        (
            "{\"index\":70,\"time\":5,\"process\":0,\"type\":\"invoke\",\"f\":\"x\"}\n{\"index\":2,\"process\":0,\"type\":\"ok\",\"f\":\"x\"}\n{\"time\":3,\"process\":0,\"type\":\"invoke\",\"f\":\"x\"}\n",
            "{\"index\":0,\"time\":5,\"process\":0,\"type\":\"invoke\",\"f\":\"x\",\"value\":null}\n{\"index\":1,\"time\":5,\"process\":0,\"type\":\"ok\",\"f\":\"x\",\"value\":null}\n{\"index\":2,\"time\":3,\"process\":0,\"type\":\"invoke\",\"f\":\"x\",\"value\":null}\n",
        ),
        // Transactions need no function; a surrogate pair is one character; integers keep their digits.
        (
            "{\"process\":0,\"type\":\"invoke\",\"value\":[[\"w\",1,\"\\ud83d\\ude00\"],[\"w\",2,99999999999999999999]]}\n",
            "{\"index\":0,\"time\":0,\"process\":0,\"type\":\"invoke\",\"f\":\"txn\",\"value\":[[\"w\",1,\"😀\"],[\"w\",2,99999999999999999999]]}\n",
        ),
        // A name that is a key elsewhere is still the common function.
        (
            "{\"process\":0,\"type\":\"invoke\",\"f\":\"write\",\"key\":\"read\",\"value\":1}\n{\"process\":1,\"type\":\"invoke\",\"f\":\"read\"}\n",
            "{\"index\":0,\"time\":0,\"process\":0,\"type\":\"invoke\",\"f\":\"write\",\"key\":\"read\",\"value\":1}\n{\"index\":1,\"time\":0,\"process\":1,\"type\":\"invoke\",\"f\":\"read\",\"value\":null}\n",
        ),
    ] {
        let (history, _) = read(text.as_bytes()).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(String::from_utf8_lossy(&written(&history)), expected, "{text}");
        assert!(history.functions().iter().all(|f| !matches!(f, schism_history::F::Other(name) if **name == *"read")));
    }
}

#[test]
fn what_is_wrong_is_named_with_its_place() {
    let good = "{\"process\":0,\"type\":\"invoke\",\"f\":\"read\"}\n";
    for (line, expected) in [
        ("hello", "line 2, column 1: found `hello`, expected an event: a JSON object on a line of its own"),
        ("[]", "column 1: found `[]`, expected an event"),
        ("{}", "column 2: found `}`, expected the field `process`"),
        ("{\"process\":1}", "column 13: found `}`, expected the field `type`"),
        ("{\"process\":1,\"type\":\"ok\"}", "found `}`, expected the field `f`"),
        (
            "{\"process\":1,\"type\":\"okay\",\"f\":\"x\"}",
            "column 21: found `\"okay\",\"f\":\"x\"}`, expected `type`: \"invoke\", \"ok\", \"fail\" or \"info\"",
        ),
        ("{\"process\":1,\"type\":1}", "expected `type`: \"invoke\", \"ok\", \"fail\" or \"info\""),
        ("{\"process\":-1}", "found `-1}`, expected `process`: an integer from 0, below 4294967296"),
        ("{\"process\":4294967296}", "found `4294967296}`, expected `process`"),
        ("{\"process\":1.0}", "found `1.0}`, expected `process`"),
        ("{\"process\":1e3}", "found `1e3}`, expected `process`"),
        ("{\"process\":\"nemesis/\"}", "expected `process`"),
        ("{\"process\":\"3\"}", "expected `process`"),
        ("{\"process\":null}", "found `null}`, expected `process`"),
        ("{\"process\":1,\"process\":1}", "found `\"process\":1}`, expected each field once"),
        ("{\"x\":1,\"x\":1}", "found `\"x\":1}`, expected each field once"),
        ("{\"time\":-5}", "found `-5}`, expected `time`: nanoseconds"),
        ("{\"time\":18446744073709551616}", "expected `time`: nanoseconds"),
        ("{\"time\":05}", "found `05}`, expected `time`: nanoseconds"),
        ("{\"time\":\"5\"}", "expected `time`: nanoseconds"),
        ("{\"index\":1.5}", "expected `index`: an integer from 0"),
        ("{\"f\":3}", "expected `f`: the function's name, a string"),
        ("{\"key\":1.5}", "expected `key`: an integer of 64 bits or a string"),
        ("{\"key\":[1]}", "expected `key`: an integer of 64 bits or a string"),
        ("{\"node\":3}", "expected `node`: the node's name, a string"),
        ("{\"matched\":1}", "expected `matched`: true or false"),
        ("{\"fault_id\":-1}", "expected `fault_id`"),
        ("{\"session\":4294967296}", "expected `session`"),
        ("{\"value\":1e999}", "found `1e999}`, expected a number that 64 bits can hold"),
        ("{\"value\":01}", "found `01}`, expected a number without leading zeros"),
        ("{\"value\":.5}", "found `.5}`, expected a value: null, true, false, a number, a string, a list or a map"),
        ("{\"value\":nil}", "found `nil}`, expected a value"),
        ("{\"value\":[1,]}", "found `]}`, expected a value"),
        ("{\"value\":[1 2]}", "found `2]}`, expected a comma, or the end of the list or map"),
        ("{\"value\":{1:2}}", "found `1:2}}`, expected a string in double quotes"),
        ("{\"value\":\"\\x\"}", "found `x\"}`, expected one of \" \\ / b f n r t u after a backslash"),
        ("{\"value\":\"\\ud83d\"}", "expected an escape that is half of no pair of surrogates"),
        ("{\"value\":\"\\ud83d\\u0041\"}", "expected an escape that is half of no pair of surrogates"),
        ("{\"value\":\"\\udc00\"}", "expected an escape that is half of no pair of surrogates"),
        ("{\"value\":\"a\tb\"}", "expected the rest of a string (control characters are escaped)"),
        ("{\"value\":1,}", "found `}`, expected a field after the comma"),
        ("{\"value\":1 \"f\":2}", "expected a comma and the next field, or the end of the event"),
        ("{\"process\":1,\"type\":\"ok\",\"f\":\"x\"} {}", "found `{}`, expected the end of the line after an event"),
        (
            "{\"process\":1,\"type\":\"ok\",\"f\":\"x\"}",
            "line 2: event 1: process 1 completes x with ok, but has no operation open",
        ),
    ] {
        let error = read(format!("{good}{line}\n{good}").as_bytes()).expect_err(line);
        let plain = error.replace(&format!(" (byte {} of the file)", byte_of(&error)), "");
        assert!(error.starts_with("line 2") && plain.contains(expected), "{line}\n  {error}\n  {expected}");
    }
    let error = read(format!("{good}  hello\n").as_bytes()).expect_err("no event");
    assert!(error.starts_with("line 2, column 3 (byte 43 of the file): found `hello`"), "{error}");
    let bad = [good.as_bytes(), b"{\"process\":1,\"f\":\"\xff\xfe\"}\n", good.as_bytes()].concat();
    let error = read(&bad).expect_err("no UTF-8");
    assert!(
        error.starts_with("line 2, column 19 (byte 59 of the file)") && error.ends_with("expected text in UTF-8"),
        "{error}"
    );
    let deep = format!("{{\"value\":{}{}}}\n", "[".repeat(129), "]".repeat(129));
    let error = read(deep.as_bytes()).expect_err("too deep");
    assert!(
        error.contains("column 138") && error.ends_with("expected at most 128 lists and maps within one another"),
        "{error}"
    );
    let error = read(format!("{{\"value\":{}\n{good}", "[".repeat(100_000)).as_bytes()).expect_err("far too deep");
    assert!(error.contains("at most 128"), "{error}");
}

/// The number after `(byte `.
fn byte_of(error: &str) -> &str {
    error.split("(byte ").nth(1).and_then(|rest| rest.split(' ').next()).unwrap_or_default()
}

#[test]
fn a_line_without_end_is_refused() {
    let error = jsonl::read(BufReader::new(io::repeat(b' ').take(65 << 20))).expect_err("too long");
    assert!(error.to_string().starts_with("line 1 (byte 0 of the file) is longer than"), "{error}");
}

#[test]
fn trouble_of_the_reader_is_told() {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("the disk is gone"))
        }
    }
    let text = LINES.as_bytes().chain(Broken);
    let error = jsonl::read(BufReader::new(text)).expect_err("no disk");
    assert_eq!(error.to_string(), "line 9: the history cannot be read: the disk is gone");
}

/// Wherever a file is cut, every whole event before the cut is read, and the rest is told of.
#[test]
fn a_torn_file_is_read_as_far_as_it_is_whole() {
    for cut in 0..=LINES.len() {
        let text = &LINES.as_bytes()[..cut];
        let begun = text.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
        let lines = text.iter().filter(|&&byte| byte == b'\n').count();
        let whole_line = cut < LINES.len() && LINES.as_bytes()[cut] == b'\n' && cut > begun;
        for zeros in [0, 1, 4096] {
            let text = [text, &vec![0; zeros]].concat();
            for buffer_bytes in [1, 7, 1 << 16] {
                let reader = BufReader::with_capacity(buffer_bytes, text.as_slice());
                let (history, tail) = jsonl::read(reader).unwrap_or_else(|error| panic!("cut at {cut}: {error}"));
                assert_eq!(history.len(), lines + usize::from(whole_line), "cut at {cut}");
                let whole_bytes = if whole_line { cut } else { begun } as u64;
                let torn =
                    Torn { line: lines as u64 + 1, offset: whole_bytes, bytes_count: text.len() as u64 - whole_bytes };
                let torn = (torn.bytes_count > 0).then_some(torn);
                assert_eq!(tail, Tail { whole_bytes, newline_missing: whole_line, torn }, "cut at {cut}");
            }
        }
    }
}

#[test]
fn an_unfinished_line_is_torn_only_at_the_end() {
    let unfinished = "{\"process\":1,\"ty\n";
    let (history, tail) = read(format!("{LINES}{unfinished}\n  \n").as_bytes()).expect("torn");
    assert_eq!(history.len(), 8);
    let torn = Torn { line: 9, offset: LINES.len() as u64, bytes_count: unfinished.len() as u64 };
    assert_eq!(tail.torn, Some(torn));
    let error = read(format!("{unfinished}{LINES}").as_bytes()).expect_err("in the middle");
    assert_eq!(
        error,
        "line 1, column 17 (byte 16 of the file): found the end of the line, expected the rest of a string (control characters are escaped)"
    );
    assert!(read(format!("{LINES}garbage").as_bytes()).is_err(), "garbage is no beginning of an event");
}

#[test]
fn random_histories_come_back() {
    let mut rng = rng("jsonl");
    let mut events = 0;
    for round in 0..300 {
        let history = common::history(&mut rng, 80, round % 2 == 0, Sayable::ByBoth);
        let text = written(&history);
        let (back, tail) = read(&text).unwrap_or_else(|error| panic!("{error}\n{}", String::from_utf8_lossy(&text)));
        assert_eq!(back, history, "{}", String::from_utf8_lossy(&text));
        assert_eq!(tail.whole_bytes, text.len() as u64);
        assert_eq!(written(&back), text);
        events += history.len();
    }
    assert!(events > 3000, "{events}");
}

/// The own parser against serde_json: the same values, whatever the blanks, escapes and order of fields.
#[test]
fn agrees_with_another_parser() {
    let mut rng = rng("jsonl/serde");
    for _ in 0..300 {
        let history = common::history(&mut rng, 40, true, Sayable::ByBoth);
        let text = String::from_utf8(written(&history)).expect("text");
        let mut other = String::new();
        for (op, line) in history.ops().zip(text.lines()) {
            let json: Json = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
            assert_eq!(json["value"], serde_value(&op.value), "{line}");
            assert_eq!(json["process"], process_json(&op), "{line}");
            assert_eq!(json["time"].as_u64(), Some(op.time_ns));
            other += &escaped(&serde_json::to_string_pretty(&json).expect("text").replace('\n', "\t"));
            other.push('\n');
        }
        if !text.contains("9223372036854775808")
            && !text.contains("9223372036854775809")
            && !text.contains("12345678901234567890")
        {
            let (back, _) = read(other.as_bytes()).unwrap_or_else(|error| panic!("{error}\n{other}"));
            assert_eq!(sorted(&back), sorted(&history), "{other}");
        }
    }
}

/// As serde_json reads what was written: it has no integers beyond 64 bits.
fn serde_value(value: &Value) -> Json {
    serde_json::from_str(&json_text(value)).expect("JSON")
}

fn json_text(value: &Value) -> String {
    match value {
        Value::Nil => "null".to_owned(),
        Value::List(items) => format!("[{}]", items.iter().map(json_text).collect::<Vec<_>>().join(",")),
        Value::Map(entries) => {
            let entry = |(name, value): &(Value, Value)| format!("{}:{}", name.to_json(), json_text(value));
            format!("{{{}}}", entries.iter().map(entry).collect::<Vec<_>>().join(","))
        }
        Value::Txn(mops) => {
            let mop = |mop: &schism_history::Mop| {
                format!("[{},{},{}]", Json::from(&*mop.f), Value::from(&mop.key).to_json(), json_text(&mop.value))
            };
            format!("[{}]", mops.iter().map(mop).collect::<Vec<_>>().join(","))
        }
        Value::Big(digits) => digits.to_string(),
        other => other.to_json().to_string(),
    }
}

fn process_json(op: &Op) -> Json {
    op.process.client().map_or_else(|| Json::from(op.process.to_string()), Json::from)
}

/// Every letter `e` in a string as an escape: the same text, the other path.
fn escaped(json: &str) -> String {
    let mut out = String::new();
    let (mut inside, mut after_backslash) = (false, false);
    for character in json.chars() {
        if character == '"' && !after_backslash {
            inside = !inside;
        }
        after_backslash = character == '\\' && !after_backslash;
        match character {
            'e' if inside => out.push_str("\\u0065"),
            '😀' => out.push_str("\\uD83D\\ude00"),
            other => out.push(other),
        }
    }
    out
}

/// Events with maps in the order of their names: serde_json does not keep it.
fn sorted(history: &History) -> Vec<Op> {
    fn sort(value: &mut Value) {
        match value {
            Value::List(items) => items.iter_mut().for_each(sort),
            Value::Txn(mops) => mops.iter_mut().for_each(|mop| sort(&mut mop.value)),
            Value::Map(entries) => {
                entries.iter_mut().for_each(|(_, value)| sort(value));
                entries.sort_by_key(|(name, _)| name.to_string());
            }
            _ => {}
        }
    }
    let mut ops: Vec<Op> = history.ops().collect();
    for op in &mut ops {
        sort(&mut op.value);
        op.error.as_deref_mut().map(sort);
        if let Some(extra) = op.extra.as_deref_mut() {
            extra.iter_mut().for_each(|(_, value)| sort(value));
            extra.sort_by(|a, b| a.0.cmp(&b.0));
        }
    }
    ops
}

#[test]
fn mutants_and_noise_never_panic() {
    let mut rng = rng("jsonl/mutants");
    let (mut right, mut wrong) = (0, 0);
    for round in 0..20_000 {
        let mut bytes = written(&common::history(&mut rng, 5, true, Sayable::ByBoth));
        common::mutate(&mut rng, &mut bytes);
        if round % 20 == 0 {
            bytes = (0..rng.random_range(0..60)).map(|_| common::pick(&mut rng, b"{}[]\":,0e.-\\u\n\xff\0a")).collect();
        }
        match read(&bytes) {
            Ok((history, tail)) => {
                assert!(tail.whole_bytes as usize <= bytes.len());
                let (prefix, _) = read(&bytes[..tail.whole_bytes as usize]).expect("a whole prefix");
                assert_eq!(prefix.len(), history.len());
                right += 1;
            }
            Err(error) => {
                assert!(error.starts_with("line "), "{error}");
                wrong += 1;
            }
        }
    }
    assert!(right > 2000 && wrong > 2000, "{right} {wrong}");
}

/// A disk that is full for a while.
#[derive(Default)]
struct Full {
    taken: Vec<u8>,
    room: usize,
}

impl Write for Full {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = bytes.len().min(self.room).min(1000);
        if count == 0 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.room -= count;
        self.taken.extend_from_slice(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Shared(std::rc::Rc<std::cell::RefCell<Full>>);

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_full_disk_loses_and_doubles_nothing() {
    let disk = std::rc::Rc::new(std::cell::RefCell::new(Full::default()));
    let history = read(LINES.as_bytes()).expect("a history").0;
    let mut writer = JsonlWriter::new(Shared(disk.clone()));
    history.ops().for_each(|op| writer.write(&op).expect("gathered only"));
    for room in [0, 1, 500, 0, 100] {
        disk.borrow_mut().room += room;
        assert_eq!(writer.flush().expect_err("full").kind(), io::ErrorKind::StorageFull);
    }
    disk.borrow_mut().room += 1 << 20;
    writer.flush().expect("there is room");
    drop(writer);
    assert_eq!(String::from_utf8_lossy(&disk.borrow().taken), LINES);
}

#[test]
fn dropping_the_writer_flushes() {
    let mut out = Vec::new();
    let history = read(LINES.as_bytes()).expect("a history").0;
    let mut writer = JsonlWriter::new(&mut out);
    history.ops().for_each(|op| writer.write(&op).expect("memory takes all"));
    drop(writer);
    assert_eq!(out, LINES.as_bytes());
}
