//! A suite as written: the YAML, with nothing filled in. Unknown names are refused with the nearest valid one.

use std::fmt;
use std::path::Path;

use schism_nemesis::{DurationText, FaultSpec, Step, Stretch};
use schism_tests_suites::DatabaseSpec;
use schism_workloads::WorkloadSpec;
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer};

/// A suite file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Suite {
    /// One line for `schism list suites`.
    #[serde(default)]
    pub about: String,
    /// The database and its options: `etcd: {}`.
    #[serde(with = "serde_yaml::with::singleton_map_recursive")]
    pub database: DatabaseSpec,
    /// The workload and its options: `register: {}`.
    #[serde(with = "serde_yaml::with::singleton_map_recursive")]
    pub workload: WorkloadSpec,
    /// How many nodes, or their names.
    #[serde(default)]
    pub nodes: Option<Nodes>,
    /// How many client workers: `10`, or `2n` for twice the number of nodes.
    #[serde(default)]
    pub concurrency: Option<Concurrency>,
    /// Operations per second of all clients together; without it as fast as they answer.
    #[serde(default)]
    pub rate_hz: Option<f64>,
    /// How long the load runs.
    #[serde(default)]
    pub time_limit: Option<DurationText>,
    /// Which faults.
    #[serde(default)]
    pub faults: Vec<FaultSpec>,
    /// What `--faults all` means: the faults that the database's makers say it survives, within their limits. Where there are
    /// none, `all` means those of `faults`.
    #[serde(default)]
    pub survives: Vec<FaultSpec>,
    /// When the faults come.
    #[serde(default)]
    pub schedule: ScheduleText,
}

/// When the faults come.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScheduleText {
    /// In which way the faults come.
    #[serde(default)]
    pub kind: ScheduleKind,
    /// The faults of a script, which then stand here and not in `faults`.
    #[serde(default)]
    pub script: Vec<Step>,
    /// Quiet and faulty stretches, whose faults then stand here and not in `faults`.
    #[serde(default)]
    pub phases: Vec<Stretch>,
    /// How many faults the sequences of a systematic schedule have at most: 1 to 3, 2 without it.
    #[serde(default)]
    pub depth: Option<u32>,
    /// Which of its sequences to run, from 1; without it, as many as fit into the time, from the first.
    #[serde(default)]
    pub index: Option<u64>,
    /// No fault for this long at the beginning.
    #[serde(default)]
    pub quiet_start: Option<DurationText>,
    /// Mean time between the healing of a fault and the next of its class.
    #[serde(default)]
    pub interval: Option<DurationText>,
    /// Mean time that a fault is on.
    #[serde(default)]
    pub duration: Option<DurationText>,
    /// After the last fault is healed, the load goes on for this long.
    #[serde(default)]
    pub recovery: Option<DurationText>,
    /// A fault heals itself on its node when the controller has been gone for this long.
    #[serde(default)]
    pub lease: Option<DurationText>,
}

/// In which way the faults come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ScheduleKind {
    /// Each class goes its own way, so that classes overlap.
    #[default]
    Mix,
    /// One after another in the order of `faults`, again and again.
    Cycle,
    /// As `script` tells: `{at: 10s, fault: {kill: {targets: primaries}}, for: 5s}`.
    Script,
    /// As `phases` tells: `{for: 10s, quiet: true}`, `{for: 20s, faults: [kill]}`, again and again.
    Phases,
    /// A sequence of faults on roles, of all that there are (`depth`, `index`).
    Systematic,
}

/// `5`, or `[n1, n2, n3]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Nodes {
    /// That many, named n1, n2 and so on.
    Count(u32),
    /// These.
    Names(Vec<String>),
}

impl<'de> Deserialize<'de> for Nodes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Nodes, D::Error> {
        struct NodesVisitor;
        impl<'de> Visitor<'de> for NodesVisitor {
            type Value = Nodes;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number of nodes from 1 to 99, or a list of names")
            }

            fn visit_u64<E: de::Error>(self, count: u64) -> Result<Nodes, E> {
                match u32::try_from(count) {
                    Ok(count @ 1..=99) => Ok(Nodes::Count(count)),
                    _ => Err(E::invalid_value(de::Unexpected::Unsigned(count), &self)),
                }
            }

            fn visit_seq<A: de::SeqAccess<'de>>(self, mut names: A) -> Result<Nodes, A::Error> {
                let mut found: Vec<String> = Vec::new();
                while let Some(name) = names.next_element::<String>()? {
                    if found.contains(&name) {
                        return Err(de::Error::custom(format!("the node `{name}` is named twice")));
                    }
                    found.push(name);
                }
                if found.is_empty() { Err(de::Error::invalid_length(0, &self)) } else { Ok(Nodes::Names(found)) }
            }
        }
        deserializer.deserialize_any(NodesVisitor)
    }
}

/// `10`, or `2n`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Concurrency {
    /// That many workers.
    Count(u32),
    /// That many per node.
    PerNode(u32),
}

/// More workers than this is a typing mistake.
const WORKERS_MAX: u32 = 100_000;

impl Concurrency {
    /// The number of workers for that many nodes.
    pub fn workers(self, nodes_count: u32) -> u32 {
        match self {
            Concurrency::Count(count) => count,
            Concurrency::PerNode(count) => count.saturating_mul(nodes_count),
        }
    }
}

impl fmt::Display for Concurrency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Concurrency::Count(count) => write!(f, "{count}"),
            Concurrency::PerNode(count) => write!(f, "{count}n"),
        }
    }
}

impl std::str::FromStr for Concurrency {
    type Err = String;

    fn from_str(text: &str) -> Result<Concurrency, String> {
        let wrong =
            || format!("`{text}` is no concurrency; write a number such as 10, or 2n for twice the number of nodes");
        let (digits, per_node) = text.strip_suffix('n').map_or((text, false), |digits| (digits, true));
        let count: u32 = if per_node && digits.is_empty() { 1 } else { digits.parse().map_err(|_| wrong())? };
        if count == 0 || count > WORKERS_MAX {
            return Err(wrong());
        }
        Ok(if per_node { Concurrency::PerNode(count) } else { Concurrency::Count(count) })
    }
}

impl<'de> Deserialize<'de> for Concurrency {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Concurrency, D::Error> {
        struct ConcurrencyVisitor;
        impl Visitor<'_> for ConcurrencyVisitor {
            type Value = Concurrency;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number of workers such as 10, or 2n for twice the number of nodes")
            }

            fn visit_u64<E: de::Error>(self, count: u64) -> Result<Concurrency, E> {
                count.to_string().parse().map_err(E::custom)
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Concurrency, E> {
                text.parse().map_err(E::custom)
            }
        }
        deserializer.deserialize_any(ConcurrencyVisitor)
    }
}

/// What is wrong with a suite file, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SuiteError {
    /// The file, or the name of an embedded suite.
    pub file: String,
    /// Line and column, from 1, where they are known.
    pub position: Option<(usize, usize)>,
    /// What was found and what was expected.
    pub message: String,
    /// The nearest valid name.
    pub hint: Option<String>,
}

impl std::error::Error for SuiteError {}

impl fmt::Display for SuiteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some((line, column)) = self.position {
            write!(f, ":{line}:{column}")?;
        }
        write!(f, ": {}", self.message)?;
        if let Some(hint) = &self.hint {
            write!(f, ". Did you mean `{hint}`?")?;
        }
        Ok(())
    }
}

impl SuiteError {
    fn from_yaml(file: &str, error: &serde_yaml::Error) -> SuiteError {
        let position = error.location().map(|location| (location.line(), location.column()));
        let mut message = error.to_string();
        if let Some(at) = message.rfind(" at line ") {
            message.truncate(at);
        }
        for (words, plain) in PLAIN_WORDS {
            message = message.replace(words, plain);
        }
        let hint = nearest_of_message(&message);
        SuiteError { file: file.to_owned(), position, message, hint }
    }
}

/// The valid name nearest to a wrong one, if one is near.
pub fn nearest<'a>(wrong: &str, valid: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let scored = valid.into_iter().map(|name| (strsim::damerau_levenshtein(wrong, name), name));
    let (distance, name) = scored.min()?;
    // Of short names nearly every other is near.
    (distance <= (wrong.chars().count() / 3).max(1)).then(|| name.to_owned())
}

/// Reads "unknown field `x`, expected one of `a`, `b`" and finds the nearest.
fn nearest_of_message(message: &str) -> Option<String> {
    if !message.contains("unknown ") {
        return None;
    }
    let mut quoted = message[message.find("unknown ")?..].split('`').skip(1).step_by(2);
    let wrong = quoted.next()?;
    nearest(wrong, quoted)
}

/// Reads YAML of any form, with errors that say the place.
///
/// # Errors
/// The first thing that is wrong, with its place.
pub fn parse_yaml<T: de::DeserializeOwned>(file: &str, yaml: &str) -> Result<T, SuiteError> {
    // Editors on other systems leave a mark at the beginning, which means nothing.
    let yaml = yaml.strip_prefix('\u{feff}').unwrap_or(yaml);
    let told = |position, message: &str| SuiteError {
        file: file.to_owned(),
        position,
        message: message.to_owned(),
        hint: None,
    };
    if yaml.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#')) {
        return Err(told(
            None,
            "the file is empty; `schism run etcd/register` shows that there is something, `schism list suites` what",
        ));
    }
    serde_yaml::from_str(yaml).map_err(|error| {
        let tab = |line: &&str| line.trim_start_matches(' ').starts_with('\t');
        let line = error.location().and_then(|location| yaml.lines().nth(location.line().saturating_sub(1)));
        match (line.filter(tab), error.location()) {
            (Some(_), Some(location)) => {
                told(Some((location.line(), location.column())), "found a tab; YAML is indented with spaces")
            }
            _ => SuiteError::from_yaml(file, &error),
        }
    })
}

/// Words of the language that this is written in, and what they mean to a person.
const PLAIN_WORDS: &[(&str, &str)] = &[
    ("expected f64", "expected a number"),
    ("expected u16", "expected a whole number up to 65535"),
    ("expected u32", "expected a whole number"),
    ("expected u64", "expected a whole number"),
    ("expected usize", "expected a whole number"),
    ("expected struct Suite", "expected a suite: a map with `database` and `workload`"),
    ("expected struct Inventory", "expected an inventory: a map with `nodes`"),
    ("expected map with a single key", "expected one name with its options"),
    ("floating point `", "number `"),
];

/// Reads a suite.
///
/// `sets` are `key=value` of `--set`, with dots between levels: `database.etcd.serializable_reads=true`.
///
/// # Errors
/// The first thing that is wrong, with its place.
pub fn parse(file: &str, yaml: &str, sets: &[String]) -> Result<Suite, SuiteError> {
    let suite: Suite = parse_yaml(file, yaml)?;
    if sets.is_empty() {
        return Ok(suite);
    }
    let mut document: serde_yaml::Value = parse_yaml(file, yaml)?;
    for set in sets {
        apply_set(&mut document, set).map_err(|message| SuiteError {
            file: format!("--set {set}"),
            position: None,
            message,
            hint: None,
        })?;
    }
    serde_yaml::from_value(document).map_err(|error| {
        let mut error = SuiteError::from_yaml(&format!("{file} with --set {}", sets.join(" --set ")), &error);
        error.position = None;
        error
    })
}

fn apply_set(document: &mut serde_yaml::Value, set: &str) -> Result<(), String> {
    let (path, value) = set.split_once('=').ok_or("no `=` found; write --set key=value, levels with dots")?;
    let value: serde_yaml::Value =
        serde_yaml::from_str(value).map_err(|error| format!("the value is no YAML: {error}"))?;
    let mut place = document;
    for step in path.split('.') {
        if step.is_empty() {
            return Err(format!("`{path}` has an empty level"));
        }
        place = step_into(place, step)?;
    }
    *place = value;
    Ok(())
}

/// One level down: an item of a list, or a field of a map (made where there is none).
fn step_into<'a>(place: &'a mut serde_yaml::Value, step: &str) -> Result<&'a mut serde_yaml::Value, String> {
    if place.is_null() {
        *place = serde_yaml::Value::Mapping(serde_yaml::Mapping::new());
    }
    let found = kind_of(place);
    match place {
        serde_yaml::Value::Mapping(fields) => Ok(fields.entry(step.into()).or_insert(serde_yaml::Value::Null)),
        serde_yaml::Value::Sequence(items) => {
            let count = items.len();
            let item = step.parse::<usize>().ok().and_then(|index| items.get_mut(index));
            item.ok_or_else(|| format!("`{step}` is no item of the list, which has {count} (the first is 0)"))
        }
        _ => Err(format!("`{step}` cannot be set: {found} stands above it")),
    }
}

fn kind_of(value: &serde_yaml::Value) -> &'static str {
    match value {
        serde_yaml::Value::Null => "nothing",
        serde_yaml::Value::Bool(_) => "a boolean",
        serde_yaml::Value::Number(_) => "a number",
        serde_yaml::Value::String(_) => "a text",
        serde_yaml::Value::Sequence(_) => "a list",
        serde_yaml::Value::Mapping(_) => "a map",
        serde_yaml::Value::Tagged(_) => "a tagged value",
    }
}

/// Finds a suite: a file, or the name of an embedded one.
///
/// # Errors
/// When there is neither.
pub fn find(name: &str) -> Result<(String, String), SuiteError> {
    if let Some(entry) = schism_tests_suites::SUITES.iter().find(|entry| entry.name == name) {
        return Ok((entry.name.to_owned(), entry.yaml.to_owned()));
    }
    match std::fs::read_to_string(Path::new(name)) {
        Ok(yaml) => Ok((name.to_owned(), yaml)),
        Err(error) => Err(SuiteError {
            file: name.to_owned(),
            position: None,
            message: match error.kind() {
                std::io::ErrorKind::NotFound => {
                    "there is neither an embedded suite of that name nor a file; `schism list suites` shows the embedded ones".to_owned()
                }
                _ => format!("this is no suite: {error}"),
            },
            hint: suite_near(name),
        }),
    }
}

/// The embedded suite that was meant: `register` is near to `etcd/register`.
fn suite_near(name: &str) -> Option<String> {
    let names = || schism_tests_suites::SUITES.iter().map(|entry| entry.name);
    let last = names().find(|full| full.split('/').next_back() == Some(name));
    last.map(str::to_owned).or_else(|| nearest(name, names()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "database:\n  etcd: {}\nworkload:\n  register: {}\nnodes: 5\nconcurrency: 2n\nfaults:\n  - partition: {}\n  - kill: {}\n";

    #[test]
    fn every_embedded_suite_is_good() {
        for entry in schism_tests_suites::SUITES {
            parse(entry.name, entry.yaml, &[]).unwrap_or_else(|error| panic!("{error}"));
        }
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place_and_the_nearest_name() {
        let cases: &[(&str, &str, (usize, usize), &str)] = &[
            ("nodes: 5", "noodes: 5", (5, 1), "unknown field `noodes`"),
            ("  - kill: {}", "  - kil: {}", (9, 5), "Did you mean `kill`?"),
            ("  register: {}", "  registr: {}", (4, 3), "Did you mean `register`?"),
            ("  etcd: {}", "  etdc: {}", (2, 3), "Did you mean `etcd`?"),
            ("concurrency: 2n", "concurrency: two", (6, 14), "is no concurrency"),
            ("nodes: 5", "nodes: 0", (5, 8), "from 1 to 99"),
            ("  - partition: {}", "  - partition: {shapez: [one]}", (8, 19), "Did you mean `shapes`?"),
            ("nodes: 5", "schedule: {kind: phasees}", (5, 11), "Did you mean `phases`?"),
            ("nodes: 5", "schedule: {kind: systematic, deepth: 2}", (5, 11), "Did you mean `depth`?"),
            ("nodes: 5", "schedule: {phases: [{for: 5s, falts: [kill]}]}", (5, 11), "Did you mean `faults`?"),
            ("nodes: 5", "schedule: {phases: [{for: 5s, faults: [kil]}]}", (5, 11), "Did you mean `kill`?"),
            (
                "nodes: 5",
                "schedule: {phases: [{for: 5s, faults: [kill: {target: one}]}]}",
                (5, 11),
                "Did you mean `targets`?",
            ),
            ("nodes: 5", "schedule: {phases: [{for: 5, quiet: true}]}", (5, 11), "a span of time with its unit"),
            ("nodes: 5", "schedule: {phases: [{quiet: true}]}", (5, 11), "missing field `for`"),
            ("nodes: 5", "schedule: {index: -1}", (5, 11), "expected a whole number"),
        ];
        for (from, to, position, expected) in cases {
            let yaml = GOOD.replace(from, to);
            let error = parse("suite.yaml", &yaml, &[]).expect_err(to);
            assert!(error.to_string().contains(expected), "{to}: {error}");
            let near = error.position.expect("a position");
            assert_eq!(near.0, position.0, "{to}: {error}");
        }
    }

    #[test]
    fn set_overrides_and_says_what_it_cannot() {
        let sets = ["concurrency=7".to_owned(), "workload.register={}".to_owned()];
        assert_eq!(parse("s", GOOD, &sets).expect("good").concurrency, Some(Concurrency::Count(7)));
        let error = parse("s", GOOD, &["nodes.x=1".to_owned()]).expect_err("bad");
        assert!(error.to_string().contains("a number stands above it"), "{error}");
        let error = parse("s", GOOD, &["noodes=1".to_owned()]).expect_err("bad");
        assert!(error.to_string().contains("Did you mean `nodes`?"), "{error}");
    }
}
