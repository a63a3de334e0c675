//! The one-line notation: what each token says, what is refused and where, and the way there and back.

use schism_history::{Kind, Op, notation};

/// Events as lines: process, kind, function, key, value, and what else they say.
fn events(text: &str) -> Vec<String> {
    notation::parse(text).unwrap_or_else(|error| panic!("{text}: {error}")).ops().map(|op| line(&op)).collect()
}

fn line(op: &Op) -> String {
    let mut line = format!("{} {} {} {}", op.process, op.kind, op.f, op.value);
    if let Some(key) = &op.key {
        line += &format!(" key={key}");
    }
    if let Some(matched) = op.matched {
        line += &format!(" matched={matched}");
    }
    if let Some(fault_id) = op.fault_id {
        line += &format!(" fault={fault_id}");
    }
    line
}

#[test]
fn every_token_says_its_events() {
    for (text, expected) in [
        ("", &[] as &[&str]),
        ("0:w1", &["0 invoke write 1", "0 ok write 1"]),
        ("0:w-7", &["0 invoke write -7", "0 ok write -7"]),
        ("0:r1", &["0 invoke read nil", "0 ok read 1"]),
        ("0:rnil", &["0 invoke read nil", "0 ok read nil"]),
        ("0:r[1,2,3]", &["0 invoke read nil", "0 ok read [1,2,3]"]),
        ("0:r?", &["0 invoke read nil", "0 info read nil"]),
        ("0:c1>2", &["0 invoke cas [1,2]", "0 ok cas [1,2]"]),
        ("0:c1>2~", &["0 invoke cas [1,2]", "0 ok cas [1,2] matched=false"]),
        ("0:c-1>-2+", &["0 invoke cas [-1,-2]", "0 ok cas [-1,-2] matched=true"]),
        ("0:w1!", &["0 invoke write 1", "0 fail write 1"]),
        ("0:w1?", &["0 invoke write 1", "0 info write 1"]),
        ("0:w1(", &["0 invoke write 1"]),
        ("0:w1( 0)", &["0 invoke write 1", "0 ok write 1"]),
        ("0:r( 0)3", &["0 invoke read nil", "0 ok read 3"]),
        ("0:r( 0)nil", &["0 invoke read nil", "0 ok read nil"]),
        ("0:c1>2( 0)~", &["0 invoke cas [1,2]", "0 ok cas [1,2] matched=false"]),
        ("0:w1( 0!", &["0 invoke write 1", "0 fail write 1"]),
        ("0:w1( 0?", &["0 invoke write 1", "0 info write 1"]),
        ("0:enqueue=5", &["0 invoke enqueue 5", "0 ok enqueue 5"]),
        ("0:dequeue=nil>5", &["0 invoke dequeue nil", "0 ok dequeue 5"]),
        ("0:write=\"a b\"", &["0 invoke write a b", "0 ok write a b"]),
        ("0:\"odd name\"=1", &["0 invoke odd name 1", "0 ok odd name 1"]),
        (
            "0:txn=[[\"r\",1,null]]( 0)[[\"r\",1,[1,2]]]",
            &["0 invoke txn [[\"r\",1,null]]", "0 ok txn [[\"r\",1,[1,2]]]"],
        ),
        ("0@5:w1( 0)", &["0 invoke write 1 key=5", "0 ok write 1 key=5"]),
        ("0@x:r1", &["0 invoke read nil key=x", "0 ok read 1 key=x"]),
        (
            "nemesis/partition#3:inject={\"n1\":[\"n2\"]}( 0:w1 nemesis/partition?nil",
            &[
                "nemesis/partition invoke inject {\"n1\":[\"n2\"]} fault=3",
                "0 invoke write 1",
                "0 ok write 1",
                "nemesis/partition info inject nil fault=3",
            ],
        ),
        ("nemesis:kill=nil?", &["nemesis invoke kill nil", "nemesis info kill nil"]),
    ] {
        assert_eq!(events(text), expected, "{text}");
    }
}

#[test]
fn overlap_and_time_follow_the_order_of_tokens() {
    let history = notation::parse("0:w1( 1:r0 0) 1:r1").expect("a history");
    assert_eq!(history.len(), 6);
    assert_eq!(history.pair(0), Some(3));
    assert_eq!(history.kind(3), Kind::Ok);
    assert_eq!((0..6).map(|index| history.time_ns(index) / 1_000_000).collect::<Vec<_>>(), [0, 1, 2, 3, 4, 5]);
}

#[test]
fn transactions_are_micro_operations() {
    let history = notation::parse("0:txn=[[\"append\",5,1],[\"r\",\"x\",null]]").expect("a history");
    let schism_history::Value::Txn(mops) = &*history.value(0) else { panic!("no transaction: {:?}", history.value(0)) };
    assert_eq!(mops.iter().map(|mop| format!("{} {}", mop.f, mop.key)).collect::<Vec<_>>(), ["append 5", "r x"]);
}

#[test]
fn what_is_wrong_is_named_with_its_place() {
    for (text, expected) in [
        ("x", "byte 0: found `x`, expected a process: a number, `nemesis` or `nemesis/<class>`"),
        ("0", "byte 1: found the end, expected `:` and a function, or how the open operation ends: `)`, `!` or `?`"),
        (
            "0:",
            "byte 2: found the end, expected a function: `w1`, `r1`, `c1>2`, or a name with `=` and an argument in JSON",
        ),
        (
            "0:q1",
            "byte 2: found `q1`, expected a function: `w1`, `r1`, `c1>2`, or a name with `=` and an argument in JSON",
        ),
        ("0:w1 0:c1-2", "byte 9: found `-2`, expected `>` between the two values of a cas"),
        ("0:w1(1:r1", "byte 5: found `1:r1`, expected a blank or the end after an event"),
        ("0:r( 0)", "byte 7: found the end, expected the value that was read (or `nil`)"),
        ("0)", "byte 1: found `)`, expected an operation of this process that is open"),
        ("4294967296:w1", "byte 0: found `4294967296:w1`, expected a process number below 4294967296"),
        ("0@1.5:w1", "byte 2: found `1.5:w1`, expected a key: an integer of 64 bits or a name"),
        (
            "0:w1( 0:w2",
            "the event at byte 6: event 1: process 0 invokes write, but its operation of event 0 has not completed yet; a process has one operation at a time",
        ),
        (
            "0:w1? 0:w2",
            "the event at byte 6: event 2: process 0 invokes write although its operation of event 1 ended in doubt; such a process is retired, and its worker goes on under a new number",
        ),
    ] {
        let error = notation::parse(text).expect_err(text);
        assert_eq!(error.to_string(), expected, "{text}");
    }
}

#[test]
fn writing_is_short_and_comes_back() {
    for text in [
        "0:w1( 1:r0 0) 1:r1",
        "0:r( 1:w2 0)nil 0:r? 2:c1>2~ 2:c2>3+ 2:c1>2",
        "0:read=5 3:r[1,2] 4:r! 5:r5( 6:r1 5)5",
        "0@5:w1( 1@\"7\":r1 0) 1@x:r2",
        "0:dequeue=nil>5 0:\"odd name\"=\"a b\" 0:read=1>2",
        "nemesis/partition#3:inject={\"n1\":[\"n2\"]}( 0:w1! nemesis/partition?nil nemesis/\"a b\":heal=1?",
        "0:txn=[[\"append\",5,1]]?",
    ] {
        assert_eq!(notation::write(&notation::parse(text).expect(text)), text);
    }
}
