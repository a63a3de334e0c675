//! Tests: what each format becomes, in one line; what is wrong is named with its place.

use super::{Format, SessionsError, read, read_cobra};
use crate::notation;
use crate::{History, Process};

/// Each transaction as `session: value` with a mark of how it ended, in order of invocation.
fn told(history: &History) -> Vec<String> {
    assert!(!history.has_realtime());
    let txn = |call: crate::Call| {
        let carrier =
            if call.outcome == crate::Kind::Ok { call.completion.unwrap_or(call.invoke) } else { call.invoke };
        let Process::Client(process) = history.process(call.invoke) else { panic!("a client") };
        let mark = match (call.completion, call.outcome) {
            (None, _) => "(",
            (_, crate::Kind::Ok) => "",
            (_, crate::Kind::Fail) => "!",
            _ => "?",
        };
        format!("{process}: {}{mark}", *history.value(carrier))
    };
    history.client_calls().map(txn).collect()
}

fn texts(format: Format, text: &str) -> Vec<String> {
    told(&read(format, text.as_bytes()).unwrap_or_else(|error| panic!("{error}\n{text}")))
}

#[test]
fn plume() {
    let text = "w(1,1,0,0)\nr(2,0,0,0)\r\nw(1,2,7,1)\n\nr(1,1,0,0)\n r(1, 2, 0, 2) \nw(3,5,7,-1)\nw(4,5,7,-1)\nr(18446744073709551615,18446744073709551615,7,3)";
    let expected = [
        r#"0: [["w",1,1],["r",2,null],["r",1,1]]"#,
        r#"7: [["w",1,2]]"#,
        r#"0: [["r",1,2]]"#,
        r#"7: [["w",3,5],["w",4,5]]!"#,
        r#"7: [["r","18446744073709551615",18446744073709551615]]"#,
    ];
    assert_eq!(texts(Format::Plume, text), expected);
}

#[test]
fn awdit() {
    let text = "w 0 0\nw 1 1\n=====\nw 0 2\n=\nr 0 2\n-----\n-\nr 1 0\nr 0 0";
    let expected = [
        r#"0: [["w",0,0],["w",1,1]]"#,
        r#"1: [["w",0,2]]"#,
        r#"2: [["r",0,2]]"#,
        // Nobody wrote 0 to key 1.
        r#"2: [["r",1,null],["r",0,0]]"#,
    ];
    assert_eq!(texts(Format::Awdit, text), expected);
}

#[test]
fn hist() {
    let text =
        "// session 1\n[x:=1 y:=1] [z==2 z:=3]!\n[y==? x==0]\n---\n\n[é_1==1]\n--\n--\n[x:=18446744073709551615]\n";
    let expected = [
        r#"0: [["w","x",1],["w","y",1]]"#,
        r#"1: [["r","é_1",1]]"#,
        r#"2: [["w","x",18446744073709551615]]"#,
        r#"0: [["r","z",null],["w","z",3]]!"#,
        r#"0: [["r","y",null],["r","x",null]]"#,
    ];
    assert_eq!(texts(Format::Hist, text), expected);
    // 0 is read from whoever wrote it, unless that was undone.
    assert_eq!(texts(Format::Hist, "[x:=0]\n-\n[x==0]\n"), [r#"0: [["w","x",0]]"#, r#"1: [["r","x",0]]"#]);
    assert_eq!(texts(Format::Hist, "[x:=0]!\n-\n[x==0]\n"), [r#"0: [["w","x",0]]!"#, r#"1: [["r","x",null]]"#]);
}

#[test]
fn veristrong() {
    let text = "4\n1 1 A 5 1\n2 7 R 5 2 1 -2\n1 1 R 5 0\n1 2 A 9999999999 99999999999\n";
    let expected =
        [r#"1: [["append",5,1],["r",5,[]]]"#, r#"2: [["r",5,[1,-2]]]"#, r#"1: [["append",9999999999,99999999999]]"#];
    assert_eq!(texts(Format::VeriStrong, text), expected);
}

#[test]
fn dbcop_in_json() {
    let session = r#"[{"events":[{"Write":{"variable":0,"version":1}},{"Read":{"version":null,"variable":"x"}}],"committed":true},
        {"committed":false,"events":[["w",0,2],["r",0,18446744073709551615]]}]"#;
    let expected = [r#"0: [["w",0,1],["r","x",null]]"#, r#"1: [["r",0,null]]"#, r#"0: [["w",0,2],["r",0,null]]!"#];
    let other = r#"[{"events":[["r",0,0]],"committed":true}]"#;
    for text in [
        format!("[{session},{other}]"),
        format!(
            "{{\"params\":{{\"id\":0,\"n_node\":2}},\"info\":\"x\",\"start\":null,\"data\":[\n{session},\n{other},[]],\"more\":[1]}}\n"
        ),
    ] {
        assert_eq!(texts(Format::Dbcop, &text), expected);
    }
}

/// Events (whether each writes, variable, value, whether it succeeded), and whether the transaction did.
type BincodeTxn<'a> = (&'a [(u8, u64, u64, u8)], u8);

fn bincode(sessions: &[&[BincodeTxn<'_>]]) -> Vec<u8> {
    let mut out = Vec::new();
    let number = |out: &mut Vec<u8>, number: u64| out.extend_from_slice(&number.to_le_bytes());
    (1..6).for_each(|header| number(&mut out, header));
    for text in ["info", "", "2019-01-01T00:00:00Z"] {
        number(&mut out, text.len() as u64);
        out.extend_from_slice(text.as_bytes());
    }
    number(&mut out, sessions.len() as u64);
    for session in sessions {
        number(&mut out, session.len() as u64);
        for (events, success) in *session {
            number(&mut out, events.len() as u64);
            for &(write, variable, value, success) in *events {
                out.push(write);
                number(&mut out, variable);
                number(&mut out, value);
                out.push(success);
            }
            out.push(*success);
        }
    }
    out
}

#[test]
fn dbcop_in_bincode() {
    let first: &[BincodeTxn<'_>] =
        &[(&[(1, 3, 1, 1), (0, 4, 0, 1), (1, 5, 9, 0), (0, 4, 9, 0)], 1), (&[(1, 3, 2, 1)], 0)];
    let bytes = bincode(&[first, &[(&[(0, 3, 1, 1)], 1)], &[]]);
    let history = read(Format::Dbcop, bytes.as_slice()).expect("a history");
    let expected = [r#"0: [["w",3,1],["r",4,null]]"#, r#"1: [["r",3,1]]"#, r#"0: [["w",5,9]]!"#, r#"0: [["w",3,2]]!"#];
    assert_eq!(told(&history), expected);
    for cut in 8..bytes.len() {
        let error = read(Format::Dbcop, &bytes[..cut]).expect_err("cut");
        let SessionsError::BinaryCut { offset, .. } = error else { panic!("{cut}: {error}") };
        assert_eq!(offset as usize, cut);
    }
    let longer = [bytes.as_slice(), b"x"].concat();
    let error = read(Format::Dbcop, longer.as_slice()).expect_err("longer").to_string();
    assert!(error.ends_with("found the byte 120, expected the end of the file after the last session"), "{error}");
}

/// The initial state as PolySI writes it, a session of its own, is left out; what else writes 0 is an error.
#[test]
fn initial_states_in_bincode() {
    let reads: &[BincodeTxn<'_>] = &[(&[(0, 3, 0, 1), (1, 3, 1, 1), (0, 4, 0, 1)], 1)];
    let initial: &[BincodeTxn<'_>] = &[(&[(1, 3, 0, 1), (1, 4, 0, 1)], 1)];
    let history = read(Format::Dbcop, bincode(&[initial, reads]).as_slice()).expect("a history");
    assert_eq!(told(&history), [r#"1: [["r",3,null],["w",3,1],["r",4,null]]"#]);
    for (session, offset) in [
        // With another write, unwritten, undone, without key 4, and not the only one of its session.
        (&[(&[(1, 4, 1, 1), (1, 3, 0, 1)][..], 1)][..], 139),
        (&[(&[(1, 3, 0, 0), (1, 4, 0, 1)], 1)], 121),
        (&[(&[(1, 3, 0, 1), (1, 4, 0, 1)], 0)], 121),
        (&[(&[(1, 3, 0, 1)], 1)], 121),
        (&[(&[(1, 3, 0, 1), (1, 4, 0, 1)], 1), (&[(1, 3, 2, 1)], 1)], 121),
    ] {
        let error = read(Format::Dbcop, bincode(&[session, reads]).as_slice()).expect_err("a write of 0").to_string();
        let expected = format!("byte {offset} of the file: found a write of 0, expected a value that is not 0");
        assert!(error.starts_with(&expected), "{error}");
    }
}

/// The initial state as AWDIT writes it, the last session, is left out; what else writes 0 is an error.
#[test]
fn initial_states_in_plume() {
    let reads = "r(1,0,0,0)\nw(1,1,0,0)\nr(2,0,1,1)\n";
    let expected = [r#"0: [["r",1,null],["w",1,1]]"#, r#"1: [["r",2,null]]"#];
    for initial in [
        "w(1,0,2,2)\nw(2,0,2,2)\n",
        // Of a key that nobody reads, without an end; and twice.
        "w(3,0,2,2)\nw(2,0,2,2)\nw(1,0,2,2)",
        "w(2,0,2,2)\nw(1,0,2,2)\nw(1,0,3,3)\nw(2,0,3,3)\n",
    ] {
        assert_eq!(texts(Format::Plume, &format!("{reads}{initial}")), expected, "{initial}");
        assert_eq!(texts(Format::Plume, &format!("{}\n{reads}", initial.trim())).len(), 2, "{initial}");
    }
    let aborted = texts(Format::Plume, "w(2,5,0,-1)\nw(1,0,0,0)\nr(1,0,1,1)\n");
    assert_eq!(aborted, [r#"0: [["w",2,5]]!"#, r#"1: [["r",1,null]]"#]);
    // With another write, with a read, undone, without key 2, and not the only one of its session.
    for (zeros, offset) in [
        ("w(2,1,2,2)\nw(1,0,2,2)\nw(2,0,2,2)\n", 48),
        ("w(1,0,2,2)\nw(2,0,2,2)\nr(2,0,2,2)\n", 37),
        ("w(1,0,2,-1)\nw(2,0,2,-1)\n", 37),
        ("w(1,0,2,2)\n", 37),
        ("w(1,0,2,2)\nw(2,0,2,2)\nr(1,1,2,3)\n", 37),
        ("w(1,0,2,2)\nw(2,0,2,2)\nw(1,0,3,3)\n", 59),
    ] {
        let error = read(Format::Plume, format!("{reads}{zeros}").as_bytes()).expect_err(zeros).to_string();
        assert!(error.contains(&format!("(byte {offset} of the file): found a write of 0, expected")), "{error}");
    }
}

fn records(records: &[(u8, &[i64])]) -> Vec<u8> {
    let mut out = Vec::new();
    for (letter, numbers) in records {
        out.push(*letter);
        numbers.iter().for_each(|number| out.extend_from_slice(&number.to_be_bytes()));
    }
    out
}

#[test]
fn cobra() {
    let first = records(&[
        (b'S', &[1]),
        (b'W', &[11, -5, 0]),
        (b'R', &[0, 0xdead_beef, 6, 0]),
        (b'C', &[1]),
        (b'S', &[2]),
        (b'W', &[12, 6, 0]),
        (b'A', &[2]),
    ]);
    let second = records(&[(b'S', &[3]), (b'R', &[1, 11, -5, 0]), (b'C', &[3]), (b'S', &[4]), (b'W', &[13, 6, 0])]);
    let read = |logs: &[&[u8]]| {
        read_cobra(logs.iter().enumerate().map(|(place, log)| (format!("T{place}.log"), *log)))
            .map(|history| told(&history))
            .map_err(|error| error.to_string())
    };
    let expected =
        [r#"0: [["w",-5,11],["r",6,null]]"#, r#"1: [["r",-5,11]]"#, r#"0: [["w",6,12]]!"#, r#"1: [["w",6,13]]("#];
    assert_eq!(read(&[&first, &second]).expect("logs"), expected);
    for (log, expected) in [
        (
            records(&[(b'W', &[1, 2, 3])]),
            "T1.log: byte 0 of the file: found `W`, expected `S`, the beginning of a transaction",
        ),
        (
            records(&[(b'S', &[1]), (b'S', &[2])]),
            "T1.log: byte 9 of the file: found `S`, expected `R`, `W`, `C` or `A`",
        ),
        (records(&[(b'S', &[1]), (b'C', &[2])]), "found the end of transaction 2, expected that of"),
        (first[..20].to_vec(), "T1.log: byte 20 of the file: the file ends where a key should follow"),
    ] {
        let error = read(&[&first, &log]).expect_err(expected);
        assert!(error.contains(expected), "{error}");
    }
}

/// Sessions take turns: of two sessions, transaction n of one overlaps transaction n of the other, and more where it can.
#[test]
fn sessions_say_little_of_real_time() {
    let history =
        read(Format::Plume, &b"w(1,1,0,0)\nw(1,2,0,1)\nw(1,3,1,2)\nw(1,4,1,3)\nw(1,5,1,4)\n"[..]).expect("a history");
    let expected =
        r#"0:txn=[["w",1,1]]( 1:txn=[["w",1,3]]( 0) 0:txn=[["w",1,2]]( 1) 1:txn=[["w",1,4]]( 0) 1) 1:txn=[["w",1,5]]"#;
    assert_eq!(notation::write(&history), expected);
    // Overlaps: a call is open while another begins.
    let calls: Vec<_> = history.client_calls().collect();
    let overlap =
        |a: usize, b: usize| calls[a].completion > Some(calls[b].invoke) && calls[b].completion > Some(calls[a].invoke);
    assert!(overlap(0, 1) && overlap(1, 2) && overlap(2, 3) && !overlap(0, 2) && !overlap(1, 3));
}

#[test]
fn what_is_wrong_is_named_with_its_line() {
    for (format, text, expected) in [
        (
            Format::Plume,
            "w(1,1,0,0)\nx(1,2,3,4)\n",
            "line 2 (byte 11 of the file): found `x(1,2,3,4)`, expected an operation",
        ),
        (Format::Plume, "w(1,1,0)\n", "line 1 (byte 0 of the file): found `w(1,1,0)`, expected an operation"),
        (Format::Plume, "w(1,1,0,0,0)\n", "found `w(1,1,0,0,0)`, expected an operation"),
        (
            Format::Plume,
            "w(1,0,0,0)\nw(1,1,0,0)",
            "line 1 (byte 4 of the file): found a write of 0, expected a value that is not 0",
        ),
        (Format::Plume, "w(-1,1,0,0)\n", "(byte 2 of the file): found `-1,1,0,0)`, expected a key"),
        (Format::Plume, "w(1,1,4294967296,0)\n", "found `4294967296,0)`, expected a session"),
        (Format::Plume, "w(1,1,0,-2)\n", "found `-2)`, expected a transaction: an integer from 0, or -1"),
        (
            Format::Plume,
            "w(1,1,0,5)\nw(1,2,1,5)\n",
            "line 2 (byte 19 of the file): found `5)`, expected a transaction of session 1 (this one is of session 0)",
        ),
        (
            Format::Plume,
            "w(1,1,0,0)\nw(1,2,1",
            "line 2 (byte 11 of the file): the file ends where the `)` of the operation should follow",
        ),
        (Format::Plume, "w(1,1,0,0\n", "line 1 (byte 9 of the file): found the end of the line, expected the `)`"),
        (Format::Awdit, "w 1\n", "line 1 (byte 3 of the file): found the end of the line, expected a value"),
        (Format::Awdit, "w 1 2 3\n", "found `3`, expected the end of the line"),
        (Format::Awdit, "=-=\n", "found `=-=`, expected an operation"),
        (Format::Hist, "[x:=1\n", "found the end of the line, expected a blank or the `]` of the transaction"),
        (Format::Hist, "[x:=1y:=2]\n", "line 1 (byte 5 of the file): found `y:=2]`, expected a blank or"),
        (Format::Hist, "[x:=]\n", "found `]`, expected a value"),
        (Format::Hist, "[x=1]\n", "found `x=1]`, expected `x:=1`"),
        (Format::Hist, "hello\n", "found `hello`, expected a transaction"),
        (Format::Hist, "[x:=1]", "line 1 (byte 0 of the file): the file ends where the end of the line should follow"),
        (Format::VeriStrong, "", "the file ends where how many operations there are"),
        (
            Format::VeriStrong,
            "2\n1 1 A 5 1\n",
            "line 3 (byte 12 of the file): the file ends where 1 more of the operations",
        ),
        (
            Format::VeriStrong,
            "1\n1 1 A 5 1\n1 1 A 5 2\n",
            "line 3 (byte 12 of the file): found `1 1 A 5 2`, expected the end of the file",
        ),
        (Format::VeriStrong, "1\n1 1 R 5 3 1 2\n", "found the end of the line, expected as many values as were read"),
        (Format::VeriStrong, "1\n1 1 B 5 3\n", "found `B 5 3`, expected `A` or `R`"),
        (Format::VeriStrong, "1\n1 1 R 5 -1\n", "line 2 (byte 10 of the file): found `-1`, expected how many values"),
        (
            Format::Dbcop,
            "[[{\"events\":[],\"events\":[]}]]",
            "line 1 (byte 2 of the file): found `{\"events\":[],\"events\":[]…`, expected a transaction",
        ),
        (Format::Dbcop, "[[{\"events\":[],\"committed\":true,\"committed\":false}]]", "each of them once"),
        (Format::Dbcop, "", "line 1 (byte 0 of the file): the file ends where a JSON object"),
        (Format::Dbcop, "{}\n", "expected `data`"),
        (
            Format::Dbcop,
            "[[\n{\"events\":[]}]]",
            "line 2 (byte 3 of the file): found `{\"events\":[]}]]`, expected a transaction",
        ),
        (
            Format::Dbcop,
            "[[{\"events\":[[\"x\",1,1]],\"committed\":true}]]",
            "found `[\"x\",1,1]],\"committed\":t…`, expected an event",
        ),
        (Format::Dbcop, "[[{\"events\":[[\"w\",1,null]],\"committed\":true}]]", "expected an event"),
        (Format::Dbcop, "[[{\"events\":[", "line 1 (byte 13 of the file): the file ends where"),
        (Format::Dbcop, "[] x", "found `x`, expected the end of the file"),
    ] {
        let error = read(format, text.as_bytes()).expect_err(text).to_string();
        assert!(error.contains(expected), "{text}\n  {error}\n  {expected}");
        assert!(error.starts_with("line "), "{error}");
    }
}

/// What nothing ends was cut off only where it is right as far as it goes: else whoever gets the whole file is no wiser.
#[test]
fn what_was_cut_off_is_told_from_what_is_wrong() {
    let cut = [
        (Format::Plume, "r"),
        (Format::Plume, "w("),
        (Format::Plume, "w(1,1,0,0"),
        (Format::Awdit, "w 1"),
        (Format::Awdit, "w 1 "),
        (Format::Hist, "[x"),
        (Format::Hist, "[x:"),
        (Format::Hist, "[x:=1"),
        (Format::Hist, "[x:=1]"),
        (Format::Hist, "--"),
        (Format::VeriStrong, "1\n1 1 A"),
        (Format::VeriStrong, "1\n1 1 A 5 -"),
        (Format::VeriStrong, "1\n1 1 R 5 2 1"),
    ];
    let wrong = [
        (Format::Plume, "x(1,2,3,4)", "line 1 (byte 0 of the file): found `x(1,2,3,4)`"),
        (Format::Plume, "w(1,1,0)", "found `w(1,1,0)`, expected an operation"),
        (Format::Plume, "w(1,1,0,-2)", "line 1 (byte 8 of the file): found `-2)`"),
        (Format::Awdit, "x", "found `x`, expected an operation"),
        (Format::Awdit, "w 1 99999999999999999999", "found `99999999999999999999`, expected a value"),
        (Format::Hist, "hello", "found `hello`, expected a transaction"),
        (Format::Hist, "[x=1", "line 1 (byte 1 of the file): found `x=1`"),
        (Format::VeriStrong, "1\n1 1 B", "found `B`, expected `A` or `R`"),
        (Format::VeriStrong, "1\n1 1 A 5 x", "line 2 (byte 10 of the file): found `x`, expected a value"),
    ];
    for (format, text) in cut {
        let error = read(format, text.as_bytes()).expect_err(text);
        assert!(matches!(error, SessionsError::Cut { .. }), "{text}: {error}");
    }
    for (format, text, expected) in wrong {
        let error = read(format, text.as_bytes()).expect_err(text).to_string();
        assert!(error.contains(expected), "{text}: {error}");
    }
    // A character in two; no character at all.
    let error = |bytes: &[u8]| read(Format::Hist, bytes).expect_err("no text");
    assert!(matches!(error(b"[x\xC3"), SessionsError::Cut { line: 1, offset: 0, .. }));
    assert!(matches!(error(b"[x\xFF"), SessionsError::Syntax { line: 1, offset: 2, .. }));
    // These formats' last lines need no end.
    assert_eq!(texts(Format::Plume, "w(1,1,0,0)"), [r#"0: [["w",1,1]]"#]);
    assert_eq!(texts(Format::Awdit, "w 1 12"), [r#"0: [["w",1,12]]"#]);
    assert_eq!(texts(Format::VeriStrong, "1\n1 1 A 5 12"), [r#"1: [["append",5,12]]"#]);
}
