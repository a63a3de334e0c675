//! Tests: the fast way and the long way read the same, whatever the map, the chunks and the threads.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::events::row;
use super::text::Reader;
use super::{DEPTH_MAX, Dialect, EdnError, Keyed, fast, stream};
use crate::reading::plain::Names;
use crate::reading::{FailedCas, Import};
use crate::seed::Seed;
use crate::value::Value;
use crate::{History, Tail};

fn pick<'a>(rng: &mut ChaCha8Rng, items: &[&'a str]) -> &'a str {
    items[rng.random_range(0..items.len())]
}

/// A transaction that is plain, or nearly.
fn txn(rng: &mut ChaCha8Rng, odd: bool) -> String {
    let comma = if odd { pick(rng, &[" ", ", ", "  ", ",,", "\n", ""]) } else { pick(rng, &[" ", ", "]) };
    let item = |rng: &mut ChaCha8Rng| match rng.random_range(0..if odd { 12 } else { 8 }) {
        0..8 => rng.random_range(0..1_000_000_000u64).to_string(),
        8 => pick(rng, &["01", "-1", "00", "", "1.5", "nil", "\"x\"", "[1]", ":a", "7N", "nilx", "1/2"]).to_owned(),
        9 => pick(rng, &["999999999", "1000000000", "2147483647", "2147483648", "99999999999999999999"]).to_owned(),
        _ => rng.random_range(0..100u32).to_string(),
    };
    let list = |rng: &mut ChaCha8Rng| {
        let items: Vec<String> = (0..rng.random_range(0..9)).map(|_| item(rng)).collect();
        format!("{}{}]", pick(rng, &["[", "[ "]), items.join(comma))
    };
    let mop = |rng: &mut ChaCha8Rng| {
        let names = if odd { &[":r", ":append", ":w", ":cas", "\"r\"", ":rr"][..] } else { &[":r", ":append", ":w"] };
        let f = pick(rng, names);
        let value = match rng.random_range(0..4) {
            0 => "nil".to_owned(),
            1 if f == ":r" || odd => list(rng),
            _ => item(rng),
        };
        let key = if odd { pick(rng, &["-3", ":x", "1.0", "7", "99999999999"]) } else { pick(rng, &["0", "7", "-12"]) };
        let ends = if odd { pick(rng, &["]", "]", " ]", "", "]]", "}"]) } else { "]" };
        format!("{}{f} {key}{comma}{value}{ends}", pick(rng, &["[", "[ "]))
    };
    let mops: Vec<String> = (0..rng.random_range(0..5)).map(|_| mop(rng)).collect();
    format!("[{}]", mops.join(comma))
}

/// A map that is plain, or nearly.
fn map(rng: &mut ChaCha8Rng) -> String {
    // Of each list only the first ones are plain.
    let odd = rng.random_bool(0.4);
    let few = |rng: &mut ChaCha8Rng, count: usize, items: &[&str]| {
        items[rng.random_range(0..if odd { items.len() } else { count })].to_owned()
    };
    let number = |rng: &mut ChaCha8Rng| match rng.random_range(0..if odd { 8 } else { 6 }) {
        6 => few(
            rng,
            1,
            &["-0", "00", "1.0", "1e3", "-", "", "nil", "true", "\"1\"", "1/2", "7N", "+7", "0x1F", "##NaN"],
        ),
        7 => rng.random::<i64>().to_string(),
        0 => few(rng, 3, &["999999999999999999", "4294967295", "-1", "1000000000000000000", "4294967296"]),
        _ => rng.random_range(0..100_000_000u64).to_string(),
    };
    let positive = |rng: &mut ChaCha8Rng| if odd { number(rng) } else { rng.random_range(0..1u64 << 40).to_string() };
    let value = match rng.random_range(0..if odd { 7 } else { 5 }) {
        0 => "nil".to_owned(),
        1 => format!("[{} {}]", number(rng), number(rng)),
        2 => format!("[{} nil]", number(rng)),
        3 => format!("[{} [{} {}]]", number(rng), number(rng), number(rng)),
        5 => {
            few(rng, 1, &["[]", "[1]", "[1 2 3]", "[1, 2]", "[1 [2]]", "[nil 1]", "#{1 2}", "[1 2}", "(1 2)", "#_1 2"])
        }
        6 => format!("[{}\n{}]", number(rng), number(rng)),
        _ => number(rng),
    };
    let mut fields = vec![
        format!(":index {}", positive(rng)),
        format!(":time {}", positive(rng)),
        format!(":type :{}", few(rng, 4, &["invoke", "ok", "fail", "info", "invoked", "okay", "OK", "info\u{85}"])),
        format!(":process {}", few(rng, 3, &["0", "7", "4294967295", ":nemesis", "4294967296", "\"7\"", "7a"])),
        format!(":f :{}", few(rng, 5, &["read", "write", "cas", "ns/f", "odd-name?", "é", "a.b", "", "read\u{2003}"])),
        format!(":value {value}"),
        format!(":node \"{}\"", few(rng, 3, &["n1", "n2", "", "a\\\"b", "日"])),
    ];
    if rng.random_bool(0.5) {
        fields.retain(|field| !field.starts_with(":value") && !field.starts_with(":f "));
        fields.push(format!(":value {}", txn(rng, odd)));
        fields.push(format!(":f :{}", if odd { pick(rng, &["txn", "read", "t"]) } else { "txn" }));
    }
    if odd {
        fields.push(format!(":session {}", number(rng)));
        fields.push(":extra [1]".to_owned());
        fields.push("\"type\" :ok".to_owned());
    }
    let needed = |field: &str| [":process", ":type", ":f"].iter().any(|name| field.starts_with(name));
    fields.retain(|field| rng.random_bool(if needed(field) { 0.97 } else { 0.6 }));
    if odd && rng.random_bool(0.2) && !fields.is_empty() {
        fields.push(fields[rng.random_range(0..fields.len())].clone());
    }
    for place in (1..fields.len()).rev() {
        fields.swap(place, rng.random_range(0..=place));
    }
    let between = few(rng, 4, &[", ", " ", "  ", ",,", ",\n", "", "\t", "; x\n", " #_ 1 "]);
    let tag = few(rng, 4, &["", "", "", "#jepsen.history.Op", "#jepsen.history.Op ", "#a", "^{:a 1} ", "#:a"]);
    let ends = few(rng, 2, &["}", "}", " }", ",}", "]", "", "}}"]);
    format!("{tag}{{{}{ends}", fields.join(&between))
}

/// Both ways for one map; whether the fast one answered.
fn both(bytes: &[u8]) -> bool {
    let mut names = Names::default();
    let Some(plain) = fast::event(bytes, 0, &mut names) else { return false };
    let text = std::str::from_utf8(&bytes[..plain.end as usize]).expect("only text is plain");
    let mut reader = Reader { text, at: 0 };
    let form = reader.form(DEPTH_MAX).unwrap_or_else(|trouble| panic!("{text}: the long way refuses it: {trouble:?}"));
    assert_eq!(reader.at, text.len(), "{text}");
    let Value::Map(fields) = form else { panic!("{text}: no map") };
    let mut row = row(*fields, Dialect::Jepsen, (1, 0)).unwrap_or_else(|error| panic!("{text}: {error}"));
    assert!(row.has_process, "{text}");
    row.settle_function().unwrap_or_else(|error| panic!("{text}: {error}"));
    assert_eq!((names.op(&plain), plain.has_time), (row.op, row.has_time), "{text}");
    true
}

#[test]
fn a_map_that_the_fast_way_reads_means_the_same() {
    let mut rng = Seed(13).stream("edn/agree");
    let (mut plain, mut others) = (0, 0);
    for _ in 0..60_000 {
        let map = map(&mut rng);
        *(if both(map.as_bytes()) { &mut plain } else { &mut others }) += 1;
        let mut bytes = map.into_bytes();
        let at = rng.random_range(0..bytes.len());
        match rng.random_range(0..3) {
            0 => bytes[at] = rng.random(),
            1 => bytes[at] = b"{}[]\":,0e.-\\ #;"[rng.random_range(0..15)],
            _ => drop(bytes.remove(at)),
        }
        *(if both(&bytes) { &mut plain } else { &mut others }) += 1;
    }
    assert!(plain > 10_000 && others > 10_000, "{plain} {others}");
}

/// What Jepsen and schism itself write of clients' operations on integers goes the fast way.
#[test]
fn the_usual_maps_are_plain() {
    for map in [
        "{:index 0, :time 1250000, :type :invoke, :process 3, :f :cas, :value [7 [1 2]], :node \"n2\"}",
        "{:type :ok, :f :read, :value [7 nil], :process 3, :time 99286665244, :index 5}",
        "{:process 3 :type :fail :f :write :value -5}",
        "#jepsen.history.Op{:process 3, :type :info, :f :read, :value nil}",
        "{:process 4, :type :invoke, :f :cas, :value [0 2]}",
        "{:type :ok, :f :txn, :value [[:append 102 2] [:r 102 [1 2]] [:r 7 nil] [:w -1 4] [:r 7 []]], :process 59, :time 7, :index 4}",
        "{:index 1, :type :invoke, :process 2, :value [[ :append 4 2] [ :append 5 5] ]}",
        "{:index 6, :type :ok, :process 1, :value [[:r 4 [ ]] [:r 3 [1, 2]]]}",
        "{:process 3, :type :invoke, :f :txn, :value []}",
    ] {
        assert!(both(map.as_bytes()), "{map}");
        assert!(both(format!("{map}\n").as_bytes()), "{map}");
    }
}

fn read(text: &[u8], keyed: Keyed, threads: usize, chunk_bytes: usize) -> Result<(History, Tail), EdnError> {
    let import = Import { threads: Some(threads), failed_cas: FailedCas::Unknown };
    stream::read(text, (Dialect::Jepsen, keyed), &import, chunk_bytes)
}

/// A transaction whose lists are mostly beginnings of one another.
fn serial_txn(rng: &mut ChaCha8Rng, answered: bool) -> String {
    let mop = |rng: &mut ChaCha8Rng| {
        let key = rng.random_range(0..3);
        if !answered || rng.random_bool(0.3) {
            return pick(rng, &["[:append K 5]", "[:r K nil]", "[:w K 5]"]).replace('K', &key.to_string());
        }
        let mut items: Vec<u32> = (1..rng.random_range(1..30)).collect();
        if rng.random_bool(0.2) && !items.is_empty() {
            let place = rng.random_range(0..items.len());
            items[place] = 77;
        }
        format!("[:r {key} {items:?}]")
    };
    let mops: Vec<String> = (0..rng.random_range(0..4)).map(|_| mop(rng)).collect();
    format!("[{}]", mops.join(" "))
}

/// A history of plain events and others, in one of the forms that files have.
fn text(rng: &mut ChaCha8Rng, events: usize) -> String {
    let (tag, between) =
        (pick(rng, &["", "#jepsen.history.Op", "#a ", "^:b "]), pick(rng, &["\n", "\n", " ", "\r\n", ", "]));
    let (open, close) = *[("", ""), ("[", "]"), ("(", ")\n"), ("; { a comment\n[", "]"), ("#_{:a 1} [ ", " ]")]
        .get(rng.random_range(0..5))
        .expect("five");
    let mut maps = Vec::new();
    let mut asked: Vec<Option<&str>> = vec![None; 5];
    for index in 0..events {
        let process = rng.random_range(0..asked.len());
        let time = if rng.random_bool(0.9) { format!(", :time {index}") } else { String::new() };
        let more = pick(rng, &["", "", "", "", "", ", :error [:a {:ms 5}]", ", :x \"{:type :ok} \\\" ; é\"", " ; {\n"]);
        let mut value =
            pick(rng, &["[1 2]", "[1 [1 2]]", "[-5 nil]", "[9999999999 3]", "[1 \"{\"]", "[1 [[1]]]"]).to_owned();
        let (kind, f) = match asked[process].take() {
            None => {
                let f = pick(rng, &["read", "write", "odd", "txn", "txn"]);
                asked[process] = Some(f);
                ("invoke", f)
            }
            Some(f) => (pick(rng, &["ok", "ok", "fail"]), f),
        };
        if f == "txn" && rng.random_bool(0.9) {
            value = serial_txn(rng, kind != "invoke");
        }
        let f =
            if f == "txn" && value.starts_with("[[:") && rng.random() { String::new() } else { format!(":f :{f}, ") };
        let comment =
            if between == "\n" { pick(rng, &["", "", "", "#_{:type :ok}", "; {:type\n", "\u{2003}"]) } else { "" };
        maps.push(format!("{comment}{tag}{{:process {process}, :type :{kind}, {f}:value {value}{time}{more}}}"));
    }
    format!("{open}{}{close}", maps.join(between))
}

#[test]
fn chunks_and_threads_change_nothing() {
    let mut rng = Seed(14).stream("edn/chunks");
    let ways = [(1, 100), (2, 1000), (3, 7), (16, 300)];
    let mut wrong = 0;
    for round in 0..60 {
        let text = text(&mut rng, 100);
        let whole = read(text.as_bytes(), Keyed::No, 1, 1 << 20).unwrap_or_else(|error| panic!("{error}\n{text}"));
        assert_eq!((whole.0.len(), &whole.1.torn), (100, &None), "{text}");
        for (threads, chunk_bytes) in ways {
            let found = read(text.as_bytes(), Keyed::No, threads, chunk_bytes);
            assert_eq!(found.as_ref(), Ok(&whole), "round {round}, {threads} threads, {chunk_bytes}\n{text}");
        }
        // What is wrong or torn is told of at the same place, in all but what stands there.
        for _ in 0..5 {
            let mut bytes = text.as_bytes().to_vec();
            let at = rng.random_range(0..bytes.len());
            match rng.random_range(0..4) {
                0 => bytes.truncate(at),
                1 => bytes[at] = rng.random(),
                _ => bytes[at] = b"{}[]\":,0 #;"[rng.random_range(0..11)],
            }
            let expected = read(&bytes, Keyed::No, 1, 1 << 20).map_err(told);
            wrong += u32::from(expected.is_err());
            for (threads, chunk_bytes) in ways {
                let found = read(&bytes, Keyed::No, threads, chunk_bytes).map_err(told);
                assert_eq!(found, expected, "{threads} threads, {chunk_bytes}\n{}", String::from_utf8_lossy(&bytes));
            }
        }
    }
    assert!(wrong > 60, "{wrong}");
}

/// An error without what was found, of which a message shows as much as there is in the chunk.
fn told(mut error: EdnError) -> EdnError {
    if let EdnError::Syntax { found, .. } = &mut error {
        found.clear();
    }
    error
}

/// Many events of one key, then one that is not like them.
#[test]
fn what_comes_late_is_like_what_came_first() {
    let many = |event: &str| event.repeat(40_000);
    let write =
        "{:type :invoke, :process 0, :f :write, :value [7 1]}\n{:type :ok, :process 0, :f :write, :value [7 1]}\n";
    for (late, expected) in [
        (
            "{:type :invoke, :process 0, :f :write, :value 5}\n",
            "`:value` is 5, expected a tuple [key value] like all before",
        ),
        (
            "{:type :invoke, :process 0, :f :write, :value \"x\"}\n",
            "`:value` is \"x\", expected a tuple [key value] like",
        ),
        (
            "{:type :invoke, :process 0, :f :cas, :value [1 2]}\n",
            "`:value` is [1 2], expected a tuple [key value] like",
        ),
        ("{:type :invoke, :f :write, :value [7 1]}\n", "`:process` is missing, expected a process, as other events"),
        ("{:type :invoke, :process 0, :value [7 1]}\n", "`:f` is missing, expected a function"),
        (
            "{:type :ok, :process 0, :f :write, :value [7 1]}\n",
            "process 0 completes write with ok, but has no operation open",
        ),
    ] {
        let error = read((many(write) + late).as_bytes(), Keyed::Auto, 2, 1 << 16).expect_err(late).to_string();
        let place = format!("line 80001 (byte {} of the file): ", many(write).len());
        assert!(error.starts_with(&place) && error.contains(expected), "{error}");
    }
    let (history, _) = read(many(write).as_bytes(), Keyed::Auto, 2, 1 << 16).expect("keyed");
    assert_eq!((history.len(), history.keys().len()), (80_000, 1));
    let unnamed = "{:type :invoke, :f :write, :value 1}\n{:type :ok, :f :write, :value 1}\n";
    let error = read((many(unnamed) + write).as_bytes(), Keyed::Auto, 2, 1 << 16).expect_err("a name").to_string();
    assert!(error.starts_with("line 80001") && error.contains("`:process` is 0, expected no process"), "{error}");
}

/// As long as no key came twice, nothing is settled.
#[test]
fn a_key_that_comes_twice_late_is_found() {
    let events = |count: usize| -> String {
        (0..count).map(|key| format!("{{:type :invoke, :process {key}, :f :write, :value [{key} 1]}}\n")).collect()
    };
    let again = "{:type :invoke, :process 99999, :f :read, :value [3 nil]}\n";
    for (text, keys) in [(events(20_000), 0), (events(40_000) + again, 40_000)] {
        let (history, _) = read(text.as_bytes(), Keyed::Auto, 2, 1 << 16).expect("a history");
        assert_eq!(history.keys().len(), keys);
    }
}
