//! Jepsen's `history.edn`: what is read from it, the way out and back, what JSON Lines and EDN both say, what is
//! refused and where.

mod common;

use common::{Sayable, rng};
use rand::RngExt;
use schism_history::{History, Key, Keyed, Kind, Op, Tail, Torn, Value, edn, jsonl, notation};

fn read(text: &str, keyed: Keyed) -> Result<(History, Tail), String> {
    edn::read(text.as_bytes(), keyed).map_err(|error| error.to_string())
}

fn history(text: &str, keyed: Keyed) -> History {
    read(text, keyed).unwrap_or_else(|error| panic!("{text}\n{error}")).0
}

fn written(history: &History) -> String {
    let mut out = Vec::new();
    edn::write(history, &mut out).expect("memory takes all");
    String::from_utf8(out).expect("text")
}

fn as_jsonl(history: &History) -> Vec<u8> {
    let mut out = Vec::new();
    jsonl::write(history, &mut out).expect("memory takes all");
    out
}

const PLAIN: &str = "{:index 0, :time 1250000, :type :invoke, :process 3, :f :cas, :value [1 2], :node \"n2\"}
{:index 1, :time 1300000, :type :info, :process :nemesis, :f :start, :value nil}
{:index 2, :time 1400000, :type :info, :process :nemesis, :f :start, :value {:n1 #{:n2 :n3}}, :clock-offsets {\"n1\" -0.5}}
{:index 3, :time 9250000, :type :info, :process 3, :f :cas, :value [1 2], :error [:timeout {:ms 5000}], :node \"n2\"}
{:index 4, :time 9300000, :type :invoke, :process 4, :f :txn, :value [[:append 5 1] [:r :x nil] [:r \"x\" nil]]}
{:index 5, :time 9300001, :type :ok, :process 4, :f :txn, :value [[:append 5 1] [:r :x [1 2]] [:r \"x\" []]], :session 7}
{:index 6, :time 9300002, :type :invoke, :process 5, :f :kv/read, :value nil, :op-index 9}
{:index 7, :time 9300003, :type :fail, :process 5, :f :kv/read, :value nil, :error :not-found}
{:index 8, :time 9300004, :type :invoke, :process 6, :f \"odd name\", :value 1, \"odd field\" 2}
{:index 9, :time 9300005, :type :ok, :process 6, :f \"odd name\", :value 1, :matched false}
{:index 10, :time 9300006, :type :invoke, :process :nemesis/kill, :f :inject, :value [\"n1\"], :fault-id 3}
";

#[test]
fn maps_are_read_and_written_to_the_byte() {
    let (history, tail) = read(PLAIN, Keyed::Auto).expect("a history");
    assert_eq!(written(&history), PLAIN);
    assert_eq!(tail, Tail { whole_bytes: PLAIN.len() as u64 - 1, ..Tail::default() });
    assert_eq!((history.pair(0), history.pair(1), history.kind(1)), (Some(3), Some(2), Kind::Invoke));
    assert_eq!((history.matched(9), history.session(5), history.fault_id(10)), (Some(false), Some(7), Some(3)));
    assert_eq!(history.node(0).map(|node| node.as_str()), Some("n2"));
    assert!(matches!(&*history.value(5), Value::Txn(mops)
        if mops[1].key == Key::Str(":x".into()) && mops[2].key == Key::Str("x".into())));
    assert_eq!(history.keys(), []);
}

/// Each text says the same as the notation beside it.
#[test]
fn the_many_forms_of_jepsen() {
    for (text, keyed, same) in [
        ("", Keyed::Auto, ""),
        ("[]", Keyed::Auto, ""),
        ("; nothing\n#_{:a 1}\n()", Keyed::Auto, ""),
        // One vector, one list, one after the other; tags, metadata, discards, comments, commas, no index, no time.
        ("[{:process 0 :type :invoke :f :read} {:process 0 :type :ok :f :read :value 3}]", Keyed::Auto, "0:r3"),
        (
            "({:process 0, :type :invoke, :f :read, :value nil}\n,, {:process 0, :type :ok, :f :read, :value 3})",
            Keyed::Auto,
            "0:r3",
        ),
        (
            "#jepsen.history.Op{:process 0 :type :invoke :f :read :time -1 :index -1}; a read\n^{:a 1} #_ #_ 1 2 #jepsen.history.Op {:process 0 :type :ok :f :read :value #_ 4 3}",
            Keyed::Auto,
            "0:r3",
        ),
        // Values of all kinds.
        ("{:process 0 :type :invoke :f :write :value -0x1F}", Keyed::Auto, "0:w-31("),
        ("{:process 0 :type :invoke :f :write :value +17N}", Keyed::Auto, "0:w17("),
        ("{:process 0 :type :invoke :f :write :value 99999999999999999999N}", Keyed::Auto, "0:w99999999999999999999("),
        (
            "{:process 0 :type :invoke :f :write :value [1/2 -1.5M 1e3 true false nil]}",
            Keyed::Auto,
            "0:w[0.5,-1.5,1000.0,true,false,null](",
        ),
        (
            "{:process 0 :type :invoke :f :write :value [\\a \\newline \\u0041 \\o101 \\( sym #\"a\\\"b\" #inst \"2020\"]}",
            Keyed::Auto,
            r#"0:w["a","\n","A","A","(","sym","a\\\"b","2020"]("#,
        ),
        (
            "{:process 0 :type :invoke :f :write :value \"a\\n\\t\\\"\\\\\\u00e9\\101\\uD83D\\uDE00\"}",
            Keyed::Auto,
            "0:w\"a\\n\\t\\\"\\\\éA😀\"(",
        ),
        ("{:process 0 :type :invoke :f :write :value #:a{\"b\" 1}}", Keyed::Auto, "0:w{\"b\":1}("),
        // A map of strings, as a JSON library would write it.
        ("{\"process\" 0 \"type\" \"invoke\" \"f\" \"write\" \"value\" 1}", Keyed::Auto, "0:w1("),
        // Transactions need no function; a file without processes has one.
        ("{:type :invoke :process 1 :value [[:r 2 nil]]}", Keyed::Auto, "1:txn=[[\"r\",2,null]]("),
        ("{:type :invoke :f :write :value 1}{:type :ok :f :write :value 1}", Keyed::Auto, "0:w1"),
        // The nemesis: two notes make a call of the same function, a note of another function stands alone.
        (
            "{:type :info :f :start :process :nemesis} {:type :info :f :start :process :nemesis}",
            Keyed::Auto,
            "nemesis:start=nil?",
        ),
        (
            "{:type :info :f :note :process :nemesis} {:type :info :f :start :process :nemesis} {:type :info :f :start :process :nemesis}",
            Keyed::Auto,
            "nemesis:note=nil( nemesis:start=nil?",
        ),
        // Keys.
        (
            "{:type :invoke :f :write :value [1 2] :process 0}{:type :info :f :write :value nil :process 0}",
            Keyed::Yes,
            "0@1:write=2>nil?",
        ),
        (
            "{:type :invoke :f :write :value [:x 2] :process 0}{:type :ok :f :write :value [:x 2] :process 0}{:type :invoke :f :read :value [:x nil] :process 0}{:type :ok :f :read :value [:x 2] :process 0} {:type :info :f :start :value [1 2 3] :process :nemesis}",
            Keyed::Auto,
            "0@\":x\":w2 0@\":x\":r2 nemesis:start=[1,2,3](",
        ),
        (
            "{:type :invoke :f :cas :value [\"x\" [1 2]] :process 0}{:type :ok :f :cas :value [\"x\" [1 2]] :process 0}{:type :invoke :f :txn :value [\"x\" [[:r 1 nil]]] :process 1}",
            Keyed::Auto,
            "0@x:c1>2 1@x:txn=[[\"r\",1,null]](",
        ),
        // Compare-and-sets alone: pairs, and firsts repeat, but no keys.
        (
            "{:type :invoke :f :cas :value [1 2] :process 0}{:type :ok :f :cas :value [1 2] :process 0}{:type :invoke :f :cas :value [1 3] :process 0}",
            Keyed::Auto,
            "0:c1>2 0:c1>3(",
        ),
        // A first that does not repeat, transactions of two, a single value that is no tuple, an answer of another key.
        (
            "{:type :invoke :f :write :value [1 2] :process 0}{:type :invoke :f :write :value [2 2] :process 1}",
            Keyed::Auto,
            "0:w[1,2]( 1:w[2,2](",
        ),
        (
            "{:type :invoke :f :txn :value [[:r 1 nil] [:r 1 nil]] :process 0}",
            Keyed::Auto,
            "0:txn=[[\"r\",1,null],[\"r\",1,null]](",
        ),
        (
            "{:type :invoke :f :w :value [1 2] :process 0}{:type :invoke :f :w :value [1 3] :process 1}{:type :invoke :f :w :value 1 :process 2}",
            Keyed::Auto,
            "0:w=[1,2]( 1:w=[1,3]( 2:w=1(",
        ),
        (
            "{:type :invoke :f :w :value [1 2] :process 0}{:type :ok :f :w :value [2 2] :process 0}{:type :invoke :f :w :value [1 3] :process 0}",
            Keyed::Auto,
            "0:w=[1,2]>[2,2] 0:w=[1,3](",
        ),
        (
            "{:type :invoke :f :w :value [1 2] :process 0}{:type :invoke :f :w :value [1 3] :process 1}",
            Keyed::No,
            "0:w=[1,2]( 1:w=[1,3](",
        ),
    ] {
        assert_eq!(notation::write(&history(text, keyed)), same, "{text}");
    }
}

#[test]
fn a_missing_time_is_the_one_before() {
    let history = history(
        "[{:type :invoke :f :a :process 0 :time 5} {:type :ok :f :a :process 0} {:type :invoke :f :a :process 0 :time 18446744073709551615}]",
        Keyed::Auto,
    );
    assert_eq!([0, 1, 2].map(|index| history.time_ns(index)), [5, 5, u64::MAX]);
}

/// Fields that only look like ours are kept as what they are; those that would become ours are marked.
#[test]
fn fields_without_a_name_of_ours_are_kept() {
    let text = "{:index 0, :time 0, :type :invoke, :process 0, :f :a, :value nil, :key 5, :session \"abc\", :node :n1, :fault-id -1, :fault_id 3, :matched nil}\n";
    let read = history(text, Keyed::Auto);
    assert_eq!((read.session(0), read.node(0), read.fault_id(0), read.matched(0)), (None, None, None, None));
    assert_eq!(written(&read), text);
    let line = String::from_utf8(as_jsonl(&read)).expect("text");
    assert!(line.contains(r#""extra.key":5,"extra.session":"abc","extra.node":"n1","fault-id":-1,"extra.fault_id":3,"extra.matched":null"#), "{line}");
    let (back, _) = jsonl::read(line.as_bytes()).expect("a history");
    assert_eq!(written(&back), text.replace(":n1", "\"n1\"").replace(":node", ":extra.node"), "JSON has no keywords");
}

#[test]
fn random_histories_come_back() {
    let mut rng = rng("edn");
    let mut events = 0;
    for round in 0..300 {
        let keyed = round % 2 == 0;
        let told = common::history(&mut rng, 80, keyed, Sayable::ByEdn);
        let text = written(&told);
        let back = history(&text, if keyed { Keyed::Yes } else { Keyed::No });
        for (told, back) in told.ops().zip(back.ops()) {
            assert_eq!(told, back, "{text}");
        }
        assert_eq!(told, back);
        assert_eq!(written(&back), text);
        events += told.len();
    }
    assert!(events > 3000, "{events}");
}

#[test]
fn both_formats_say_the_same() {
    let mut rng = rng("edn/jsonl");
    for round in 0..300 {
        let keyed = round % 2 == 0;
        let told = common::history(&mut rng, 80, keyed, Sayable::ByBoth);
        let by_edn = history(&written(&told), if keyed { Keyed::Yes } else { Keyed::No });
        let (by_jsonl, _) = jsonl::read(as_jsonl(&by_edn).as_slice()).expect("a history");
        assert_eq!(by_jsonl, told);
        assert_eq!(written(&by_jsonl), written(&told));
    }
}

#[test]
fn floats_that_are_no_numbers_come_back() {
    for (text, number) in [("##Inf", f64::INFINITY), ("##-Inf", f64::NEG_INFINITY)] {
        assert_eq!(edn::parse(text), Ok(Value::Float(number)));
        assert_eq!(edn::to_text(&Value::Float(number)), text);
    }
    assert!(matches!(edn::parse("##NaN"), Ok(Value::Float(number)) if number.is_nan()));
    assert_eq!(edn::to_text(&Value::Float(f64::NAN)), "##NaN");
}

#[test]
fn what_is_wrong_is_named_with_its_place() {
    let good = "{:type :invoke :f :read :process 7}\n";
    for (text, expected) in [
        ("hello", "line 2, column 1 (byte 36 of the file): found `hello"),
        ("#{1 2}", "expected an event: a map in braces"),
        (")", "line 2, column 1 (byte 36 of the file): found `)"),
        ("{:a 1}", "line 2 (byte 36 of the file): `:type` is missing, expected one of :invoke, :ok, :fail, :info"),
        ("{:a}", "line 2, column 4 (byte 39 of the file): found `}"),
        ("{:a ]", "expected another value, or the bracket that closes what was opened"),
        ("{:type :okay}", "`:type` is :okay, expected one of :invoke, :ok, :fail, :info"),
        ("{:type :ok :type :ok}", "`:type` is there twice, expected each field once"),
        ("{5 :ok}", "`:5` is no name, expected fields named by keywords"),
        ("{:type :ok :process -1}", "`:process` is -1, expected an integer from 0, below 4294967296, or :nemesis"),
        ("{:type :ok :process \"7\"}", "`:process` is \"7\", expected an integer"),
        ("{:type :ok :process :client}", "`:process` is :client, expected an integer"),
        ("{:type :ok :f :read}", "`:process` is missing, expected a process, as other events of this file have it"),
        ("{:type :ok :process 1 :f 5}", "`:f` is 5, expected a function's name, a keyword"),
        ("{:type :ok :process 1}", "`:f` is missing, expected a function"),
        ("{:type :ok :time -2}", "`:time` is -2, expected nanoseconds, an integer from 0"),
        ("{:type :ok :time 1.5}", "`:time` is 1.5, expected nanoseconds, an integer from 0"),
        ("{:type :ok :index \"a\"}", "`:index` is \"a\", expected an integer from 0"),
        ("{:a 1x}", "found `1x}"),
        ("{:a 007}", "expected an integer, a decimal or a ratio"),
        ("{:a 1/0}", "expected an integer, a decimal or a ratio"),
        ("{:a \"\\q\"}", "expected one of \" \\ t b n r f"),
        ("{:a \"\\ud83d\"}", "expected one of \" \\ t b n r f"),
        ("{:a \\newlines}", "expected a character"),
        ("{:a ##Foo}", "expected ##Inf, ##-Inf or ##NaN"),
        ("{: 1}", "expected a keyword's name"),
        (
            "{:type :ok :process 1 :f :read}",
            "line 2 (byte 36 of the file): event 1: process 1 completes read with ok, but has no operation open",
        ),
    ] {
        let error = read(&format!("{good}{text}\n{good}"), Keyed::No).expect_err(text);
        assert!(error.starts_with("line 2") && error.contains(expected), "{text}\n  {error}\n  {expected}");
    }
    for value in ["5", "nil", "[1 2 3]", "[[1] 2]"] {
        let error = read(&format!("{{:type :invoke :f :w :process 1 :value {value}}}"), Keyed::Yes).expect_err(value);
        assert_eq!(
            error,
            format!(
                "line 1 (byte 0 of the file): `:value` is {value}, expected a tuple [key value], or say that values are not keyed"
            )
        );
    }
    let error = edn::read(b"{:type :ok} \xff {}", Keyed::No).expect_err("no UTF-8").to_string();
    assert!(
        error.starts_with("line 1, column 13 (byte 12 of the file)") && error.ends_with("text in UTF-8"),
        "{error}"
    );
    for (open, close) in [("[", "]"), ("{:a ", "}"), ("#a ", ""), ("#_", ""), ("^a ", ""), ("#{", "}")] {
        let text = format!("{{:a {}1{}}} {{}}", open.repeat(50_000), close.repeat(50_000));
        let error = read(&text, Keyed::No).expect_err("too deep");
        assert!(error.ends_with("at most 132 levels of nesting"), "{open}: {error}");
    }
    let nested = format!("{}{}", "[".repeat(128), "]".repeat(128));
    history(&format!("[{{:type :invoke :process 0 :f :w :value [1 {nested}]}}]"), Keyed::Yes);
}

/// Wherever a file is cut, every whole event before the cut is read.
#[test]
fn a_torn_file_is_read_as_far_as_it_is_whole() {
    let lines: Vec<&str> = PLAIN.lines().collect();
    for cut in 0..PLAIN.len() {
        let text = &PLAIN[..cut];
        let (read, tail) = read(text, Keyed::No).unwrap_or_else(|error| panic!("cut at {cut}: {error}"));
        let newlines = text.matches('\n').count();
        let begun = text.rfind('\n').map_or(0, |at| at + 1);
        let whole = text[begun..].len() == lines[newlines].len();
        assert_eq!(read.len(), newlines + usize::from(whole), "cut at {cut}");
        let torn = Torn { line: newlines as u64 + 1, offset: begun as u64, bytes_count: (cut - begun) as u64 };
        assert_eq!(tail.torn, (cut > begun && !whole).then_some(torn), "cut at {cut}");
    }
    for (text, events, torn) in [
        ("[{:type :invoke :f :a :process 0}\n {:type", 1, Some((2, 35))),
        ("[{:type :invoke :f :a :process 0}\n", 1, Some((1, 33))),
        ("{:type :invoke :f :a :process 0}\n{:type :ok :f :a :process 0 :value \"é", 1, Some((2, 33))),
        ("{:type :invoke :f :a :process 0}", 1, None),
    ] {
        let (history, tail) = read(text, Keyed::No).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!((history.len(), tail.torn.map(|torn| (torn.line, torn.offset))), (events, torn), "{text}");
    }
    let (_, tail) =
        edn::read(b"{:type :invoke :f :a :process 0}\n{:value \"\xc3", Keyed::No).expect("cut in a character");
    assert_eq!(tail.torn, Some(Torn { line: 2, offset: 33, bytes_count: 10 }));
    let error = read("{:type :invoke :f :a\n :process 0 \"x}\n{:type :ok}\n", Keyed::No).expect_err("an open string");
    assert!(error.contains("the end of a string"), "{error}");
}

#[test]
fn mutants_and_noise_never_panic() {
    let mut rng = rng("edn/mutants");
    let (mut right, mut wrong) = (0, 0);
    for round in 0..20_000 {
        let mut bytes = written(&common::history(&mut rng, 5, round % 2 == 0, Sayable::ByEdn)).into_bytes();
        common::mutate(&mut rng, &mut bytes);
        if round % 20 == 0 {
            bytes = (0..rng.random_range(0..60))
                .map(|_| common::pick(&mut rng, b"{}[]()\":,0e.-\\u\n\xff\0a#_^;N/"))
                .collect();
        }
        match edn::read(&bytes, Keyed::Auto) {
            Ok((history, _)) => {
                let ops: Vec<Op> = history.ops().collect();
                assert_eq!(ops.len(), history.len());
                right += 1;
            }
            Err(error) => {
                assert!(error.to_string().starts_with("line "), "{error}");
                wrong += 1;
            }
        }
        let _ = edn::parse(&String::from_utf8_lossy(&bytes));
    }
    assert!(right > 2000 && wrong > 2000, "{right} {wrong}");
}
