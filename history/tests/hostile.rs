//! Texts made to hurt: each is refused with its place, at once, and nothing overflows.

use std::time::{Duration, Instant};

use schism_history::{Keyed, edn, jsonl};

const TIME_MAX: Duration = Duration::from_secs(60);

fn event(value: &str) -> String {
    format!("{{\"process\":0,\"type\":\"invoke\",\"f\":\"write\",\"value\":{value}}}\n")
}

fn event_edn(value: &str) -> String {
    format!("{{:process 0 :type :invoke :f :write :value {value}}}\n")
}

/// Text, and a part of the message.
#[test]
fn lines_that_hurt_are_refused() {
    let fields: String = (0..100_000).map(|number| format!(",\"x{number}\":1")).collect();
    let cases = [
        (event(&("[".repeat(100_000) + &"]".repeat(100_000))), "at most 128 lists and maps"),
        (event(&"{\"a\":".repeat(100_000)), "at most 128 lists and maps"),
        ("[".repeat(1_000_000), "an event"),
        (event(&format!("1{fields}")), "at most 1024 fields"),
        (event("1e999"), "64 bits"),
        (event("1").replace(":0,", ":4294967296,"), "below 4294967296"),
        (event("1").replace(":0,", ":-1,"), "below 4294967296"),
        (event("1").replace("\"process\":0", "\"process\":0,\"process\":0"), "each field once"),
        (event("\"\\ud800\""), "half of no pair"),
        (event("1").replace("write", "wr\0ite"), "control characters"),
        (format!("{}\0\0\n{}", event("1"), event("1")), "an event"),
    ];
    for (text, part) in cases {
        let start = Instant::now();
        let message = jsonl::read(text.as_bytes()).map(|_| ()).expect_err(part).to_string();
        assert!(message.contains(part) && message.contains("line ") && message.len() < 400, "{part}: {message}");
        assert!(start.elapsed() < TIME_MAX, "{part}: {:?}", start.elapsed());
    }
}

/// Text, and a part of the message.
#[test]
fn forms_that_hurt_are_refused() {
    let fields: String = (0..100_000).map(|number| format!(" :x{number} 1")).collect();
    let cases = [
        (event_edn(&("[".repeat(100_000) + &"]".repeat(100_000))), "at most 132 levels"),
        (event_edn(&"#a ".repeat(100_000)), "at most 132 levels"),
        ("#_".repeat(100_000), "at most 132 levels"),
        ("^a ".repeat(100_000), "at most 132 levels"),
        (event_edn(&format!("1{fields}")), "at most 1024 fields"),
        (event_edn("1/0"), "a ratio"),
        (event_edn("1 :value 2"), "each field once"),
        (event_edn("\"\\ud800\""), "hexadecimal digits"),
        (":a\n".repeat(100_000), "an event"),
    ];
    for (text, part) in cases {
        let start = Instant::now();
        let message = edn::read(text.as_bytes(), Keyed::Auto).map(|_| ()).expect_err(part).to_string();
        assert!(message.contains(part) && message.contains("line ") && message.len() < 400, "{part}: {message}");
        assert!(start.elapsed() < TIME_MAX, "{part}: {:?}", start.elapsed());
    }
}

/// A number of a million digits is a number.
#[test]
fn a_number_of_any_length_is_kept() {
    let digits = "9".repeat(1_000_000);
    let (history, _) = jsonl::read(event(&digits).as_bytes()).expect("a history");
    assert_eq!(history.value(0).to_string(), digits);
}
