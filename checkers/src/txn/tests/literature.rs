//! The examples of the literature, with the whole column of verdicts.

use schism_history::notation;

use super::orders::{LEVELS, judge};
use super::plain::Plain;

/// An example.
#[derive(Debug)]
pub struct Example {
    pub name: &'static str,
    pub source: &'static str,
    pub history: &'static str,
    /// Which levels it breaks.
    pub broken: Vec<&'static str>,
    /// Which levels say nothing about it.
    pub silent: Vec<&'static str>,
}

/// All of them.
pub fn examples() -> Vec<Example> {
    let lines = include_str!("literature.txt").lines().filter(|line| !line.starts_with('#'));
    let lines: Vec<&str> = lines.filter(|line| !line.trim().is_empty()).collect();
    let example = |lines: &[&'static str]| {
        let (silent, broken) = lines[3].split_whitespace().partition(|name| name.starts_with('~'));
        let silent: Vec<&str> = silent;
        Example {
            name: lines[0],
            source: lines[1],
            history: lines[2],
            broken,
            silent: silent.into_iter().map(|name| &name[1..]).collect(),
        }
    };
    lines.chunks_exact(4).map(example).collect()
}

#[test]
fn every_example_has_its_column_by_brute_force() {
    let mut wrong = Vec::new();
    let examples = examples();
    assert!(examples.len() >= 40);
    for example in &examples {
        let history = notation::parse(example.history).unwrap_or_else(|error| panic!("{}: {error}", example.name));
        let column = judge(&Plain::of(&history)).expect("it is small");
        let silent: Vec<&str> =
            LEVELS.iter().filter(|(level, _)| column.get(*level).is_none()).map(|(_, name)| *name).collect();
        let marked = silent.iter().map(|name| format!("~{name}"));
        let found: Vec<String> = column.broken().iter().map(|name| (*name).to_owned()).chain(marked).collect();
        println!(
            "{}\n{}\n{}\n{}\n",
            example.name,
            example.source,
            example.history,
            if found.is_empty() { "-".into() } else { found.join(" ") }
        );
        let expected: Vec<&str> = example.broken.iter().copied().filter(|name| *name != "-").collect();
        if column.broken() != expected || silent != example.silent {
            wrong.push(example.name);
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
