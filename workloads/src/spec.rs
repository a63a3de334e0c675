//! The table of workloads, and how a suite names them.

use std::fmt;

use schism_checkers::table::Options;
use schism_generators::Generator;
use schism_history::Seed;
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, Serializer};

use crate::register::{self, RegisterOptions};

/// A workload as a suite names it: a map of one name to its options, `register: {}`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum WorkloadSpec {
    /// Read, write and compare-and-set over independent keys.
    Register(RegisterOptions),
}

/// A line of the table of workloads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WorkloadEntry {
    /// Its name in a suite.
    pub name: &'static str,
    /// One line for a person.
    pub about: &'static str,
    /// Its options: name and one line each.
    pub options: &'static [(&'static str, &'static str)],
}

/// All workloads.
pub const WORKLOADS: &[WorkloadEntry] = &[WorkloadEntry {
    name: register::NAME,
    about: "read, write and compare-and-set of registers over independent keys; judged for linearizability",
    options: register::OPTIONS,
}];

/// Why options make no workload.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("workload {workload}: {option} {found}, but {expected}")]
pub struct WorkloadError {
    /// Which workload.
    pub workload: &'static str,
    /// Which option.
    pub option: &'static str,
    /// What it says: `is 0`.
    pub found: String,
    /// What is needed.
    pub expected: &'static str,
}

/// A checker, and what is asked of it, by names of the checkers' tables. Whoever builds it says which name there is not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Judge {
    /// Its name.
    pub checker: String,
    /// The model of an object, where it needs one.
    pub model: Option<String>,
    /// The consistency model that transactions were promised.
    pub consistency: Option<String>,
    /// Sources of the order of registers' versions, with commas: what the workload's transactions keep to, or `explicit:` with the field
    /// in which the client reports versions.
    pub version_order: Option<String>,
}

impl Judge {
    /// One of which nothing is asked.
    pub fn of(checker: &str) -> Judge {
        Judge { checker: checker.to_owned(), ..Judge::default() }
    }

    /// What is asked, for [`schism_checkers::table::build_with`].
    pub fn options(&self) -> Options<'_> {
        let Judge { checker: _, model, consistency, version_order } = self;
        Options {
            model: model.as_deref(),
            consistency: consistency.as_deref(),
            version_order: version_order.as_deref(),
        }
    }
}

/// What is asked of a database, and who judges it.
#[derive(Clone)]
pub struct Workload {
    /// Clients' operations without end, and without a rate. For client workers only.
    pub generator: Box<dyn Generator>,
    /// Operations after the last fault is healed; bounded. It learns from events of the load, so both must hear them (as
    /// in one [`schism_generators::sequence`], or as phases of one run).
    pub final_generator: Option<Box<dyn Generator>>,
    /// Who judges.
    pub judges: Vec<Judge>,
    /// Functions that it invokes; each needs successes before a verdict can be valid.
    pub functions: Vec<String>,
}

impl WorkloadSpec {
    /// Its line of the table.
    pub fn entry(&self) -> &'static WorkloadEntry {
        match self {
            WorkloadSpec::Register(_) => &WORKLOADS[0],
        }
    }

    /// The workload of that name with its default options.
    pub fn named(name: &str) -> Option<WorkloadSpec> {
        (name == register::NAME).then(|| WorkloadSpec::Register(RegisterOptions::default()))
    }
}

/// Makes a workload for that many workers. Its chance comes from streams of the seed named `workload/...`.
///
/// # Errors
/// When options contradict each other; says which and what is needed.
pub fn build(spec: &WorkloadSpec, seed: Seed, concurrency: u32) -> Result<Workload, WorkloadError> {
    match spec {
        WorkloadSpec::Register(options) => register::build(options, seed, concurrency),
    }
}

impl Serialize for WorkloadSpec {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(1))?;
        match self {
            WorkloadSpec::Register(options) => map.serialize_entry(register::NAME, options)?,
        }
        map.end()
    }
}

/// By hand, because derived enums ask YAML for a tag (`!register`) where people write a map.
impl<'de> Deserialize<'de> for WorkloadSpec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<WorkloadSpec, D::Error> {
        struct OneWorkload;
        impl<'de> Visitor<'de> for OneWorkload {
            type Value = WorkloadSpec;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("one workload with its options, as `register: {}`")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<WorkloadSpec, A::Error> {
                let names: &'static [&'static str] = &[register::NAME];
                let Some(name) = map.next_key::<String>()? else {
                    return Err(A::Error::invalid_length(0, &self));
                };
                let spec = match name.as_str() {
                    register::NAME => WorkloadSpec::Register(map.next_value::<Option<_>>()?.unwrap_or_default()),
                    other => return Err(A::Error::unknown_variant(other, names)),
                };
                match map.next_key::<String>()? {
                    None => Ok(spec),
                    Some(second) => Err(A::Error::custom(format!("a second workload `{second}`; expected one"))),
                }
            }
        }
        deserializer.deserialize_map(OneWorkload)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(json: &str) -> Result<WorkloadSpec, String> {
        serde_json::from_str(json).map_err(|error| error.to_string())
    }

    #[test]
    fn specs_read_and_write() {
        let spec = parse(r#"{"register": {"values": "small", "write_weight": 3}}"#).expect("a right spec");
        let WorkloadSpec::Register(options) = &spec;
        assert_eq!((options.values, options.write_weight), (crate::Values::Small, 3));
        assert_eq!(options.read_weight, RegisterOptions::default().read_weight);
        let text = serde_json::to_string(&spec).expect("a spec writes");
        assert_eq!(parse(&text), Ok(spec));
        assert_eq!(parse(r#"{"register": null}"#).ok(), WorkloadSpec::named("register"));
    }

    #[test]
    fn wrong_specs_say_what_is_wrong() {
        let cases = [
            (r#"{"registr": {}}"#, "unknown variant `registr`, expected `register`"),
            (r#"{"register": {"wieght": 1}}"#, "unknown field `wieght`"),
            (r#"{"register": {}, "set": {}}"#, "second workload `set`"),
            (r#"{}"#, "expected one workload"),
            (r#"7"#, "expected one workload"),
            (r#"{"register": {"values": "big"}}"#, "unknown variant `big`"),
        ];
        for (json, part) in cases {
            let error = parse(json).expect_err(json);
            assert!(error.contains(part), "{json}: {error}");
        }
    }

    #[test]
    fn the_table_names_what_can_be_built() {
        for entry in WORKLOADS {
            let spec = WorkloadSpec::named(entry.name).expect(entry.name);
            assert_eq!(spec.entry(), entry);
            let workload = build(&spec, Seed(1), 10).expect(entry.name);
            assert!(!workload.judges.is_empty() && !workload.functions.is_empty());
            for judge in &workload.judges {
                let built = schism_checkers::table::build_with(&judge.checker, &judge.options());
                assert_eq!(built.expect(entry.name).name(), judge.checker);
            }
            let json = serde_json::to_value(&spec).expect("a spec writes");
            let options: Vec<&String> = json[entry.name].as_object().expect("options are a map").keys().collect();
            let mut listed: Vec<&str> = entry.options.iter().map(|(name, _)| *name).collect();
            listed.sort_unstable();
            assert_eq!(options, listed, "every option of {} stands in the table", entry.name);
        }
        assert_eq!(WorkloadSpec::named("nothing"), None);
    }
}
