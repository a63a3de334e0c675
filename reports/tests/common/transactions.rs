//! Stories of transactions: histories in one line, judged; and cycles of any length.

use schism_checkers::table::{Options, build_with};
use schism_checkers::{Budget, check_all};
use schism_history::{History, RunFacts, notation};
use schism_reports::RunInfo;

use super::Told;

/// A history in one-line notation, judged.
pub fn checked(name: &str, line: &str, checker: &str, consistency: &str, version_order: &str) -> Told {
    let history = notation::parse(line).unwrap_or_else(|error| panic!("{name}: {error}: {line}"));
    judged(name, history, checker, consistency, version_order)
}

/// A history, judged.
pub fn judged(name: &str, history: History, checker: &str, consistency: &str, version_order: &str) -> Told {
    let version_order = Some(version_order).filter(|sources| !sources.is_empty());
    let options = Options { consistency: Some(consistency), version_order, ..Options::default() };
    let checkers = [build_with(checker, &options).unwrap()];
    let facts = RunFacts::default();
    let verdict = check_all(&checkers, &history, &facts, &Budget::default());
    let info = RunInfo { suite: name.to_owned(), schism_version: "0.1.0".into(), ..RunInfo::default() };
    Told { info, history, facts, verdict }
}

/// A part of a page, an element a line.
pub fn section(page: &str, id: &str) -> String {
    let start = page.find(&format!("<section id=\"{id}\"")).unwrap_or_else(|| panic!("no section {id}"));
    let end = page[start..].find("</section>").unwrap();
    page[start..start + end].replace("><", ">\n<") + "</section>\n"
}

/// So many transactions, of which each read a list before the next appended to it: a cycle of all of them. Each does more
/// besides; keys and lists are long where it is asked.
pub fn ring(count: usize, is_long: bool) -> Told {
    let key = |place: usize| {
        if is_long { format!("\"account of customer number {place}\"") } else { format!("\"k{place}\"") }
    };
    let list = |place: usize| {
        let items: Vec<String> =
            (0..if is_long { 60 } else { 2 }).map(|item| (1_000 * place + item).to_string()).collect();
        items.join(",")
    };
    let base = |place: usize| {
        let items: Vec<String> =
            list(place).split(',').map(|item| format!("[\"append\",{},{item}]", key(place))).collect();
        items.join(",")
    };
    let mut tokens: Vec<String> = (0..count).map(|place| format!("{}:txn=[{}]", count + place, base(place))).collect();
    for place in 0..count {
        let next = (place + 1) % count;
        let others = if is_long {
            (0..9).map(|other| format!("[\"append\",\"other{other}\",{place}],")).collect()
        } else {
            String::new()
        };
        tokens.push(format!(
            "{place}:txn=[{others}[\"r\",{},[{}]],[\"append\",{},{}]](",
            key(place),
            list(place),
            key(next),
            1_000 * next + 999
        ));
    }
    tokens.extend((0..count).map(|place| format!("{place})")));
    let name = format!("{}ring of {count}", if is_long { "long " } else { "" });
    checked(&name, &tokens.join(" "), "list-append", "serializable", "")
}

/// Cycles that are hard to draw.
pub fn cycles() -> Vec<Told> {
    let lines = [
        // Two dependencies of one pair, from one row and to one row.
        (
            "one row",
            "strict-serializable",
            r#"0:txn=[["append","x",1]]( 1:txn=[["append","x",2]]( 2:txn=[["r","x",[2]]]( 0) 1) 2) 3:txn=[["r","x",[2,1]]] 0:txn=[["r","x",[2]]]"#,
        ),
        ("process", "strong-session-serializable", r#"0:txn=[["append","x",1]] 0:txn=[["r","x",[]]]"#),
        (
            "real time",
            "strict-serializable",
            r#"0:txn=[["append","x",1]]( 2:txn=[["r","x",[1]],["r","y",[]]]( 1:txn=[["append","y",1]] 3:txn=[["r","x",[]]] 0) 2)"#,
        ),
        (
            "real time twice",
            "strict-serializable",
            r#"0:txn=[["r","x",[1]],["r","y",[]]]( 4:txn=[["append","z",1]] 1:txn=[["append","y",1]]( 0) 1) 2:txn=[["r","y",[1]]] 3:txn=[["append","x",1]]"#,
        ),
        (
            "wide letters",
            "strict-serializable",
            r#"0:txn=[["append","鍵の名前はとても長い文字列です",1],["append","y",1]]( 1:txn=[["r","鍵の名前はとても長い文字列です",[]],["r","y",[1]]]( 0) 1)"#,
        ),
    ];
    let mut all: Vec<Told> =
        lines.iter().map(|(name, level, line)| checked(name, line, "list-append", level, "")).collect();
    all.extend([2, 3, 4, 9, 30].map(|count| ring(count, false)));
    all.extend([2, 3].map(|count| ring(count, true)));
    all
}
