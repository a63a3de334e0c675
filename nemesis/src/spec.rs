//! A fault as a suite asks for it: a name (`partition`), or a name with options
//! (`partition: {shapes: [bridge], interval: 20s}`).

use std::fmt;

use rand::Rng;
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::{Map, Value as Json};

use crate::class::{self, FaultEntry};
use crate::draw;
use crate::grudge::{SHAPES, Shape};
use crate::need::Need;
use crate::option::{OptionEntry, OptionKind, unknown};
use crate::span::DurationText;
use crate::target::{OPEN_TARGETS, Target};

/// A class of fault and its options.
#[derive(Debug, Clone)]
pub struct FaultSpec {
    entry: &'static FaultEntry,
    /// Mean time between the end of one and the begin of the next; the schedule's if absent.
    pub interval: Option<DurationText>,
    /// Mean time that one is on; the schedule's if absent.
    pub duration: Option<DurationText>,
    /// For each option of the class, in the order of its table, the alternatives.
    options: Vec<Vec<Json>>,
}

impl PartialEq for FaultSpec {
    fn eq(&self, other: &FaultSpec) -> bool {
        let same = |spec: &FaultSpec| (spec.entry.name, spec.interval, spec.duration);
        same(self) == same(other) && self.options == other.options
    }
}

impl Eq for FaultSpec {}

impl FaultSpec {
    /// That class with its defaults.
    pub fn of(entry: &'static FaultEntry) -> FaultSpec {
        let options = entry.options.iter().map(|option| option.defaults()).collect();
        FaultSpec { entry, interval: None, duration: None, options }
    }

    /// The fault of that name, with its defaults.
    pub fn named(name: &str) -> Option<FaultSpec> {
        class::entry(name).map(FaultSpec::of)
    }

    /// Its line in the table.
    pub fn entry(&self) -> &'static FaultEntry {
        self.entry
    }

    /// Its class, which is its name in suites.
    pub fn class(&self) -> &'static str {
        self.entry.name
    }

    /// Own interval and duration, where the suite gave them.
    pub fn pace(&self) -> (Option<DurationText>, Option<DurationText>) {
        (self.interval, self.duration)
    }

    /// The alternatives of an option, by its name in suites; none for a name that the class has not.
    pub fn values(&self, name: &str) -> &[Json] {
        let place = self.entry.options.iter().position(|option| option.name == name);
        place.and_then(|place| self.options.get(place)).map_or(&[], Vec::as_slice)
    }

    /// With these alternatives of an option instead, in the texts of suites.
    ///
    /// # Errors
    /// For a name that the class has not, or a value that is none.
    pub fn with(mut self, name: &str, texts: &[Json]) -> Result<FaultSpec, String> {
        let place = self.entry.options.iter().position(|option| option.name == name);
        let place = place.ok_or_else(|| unknown_option(self.entry, name))?;
        if let (Some(alternatives), Some(option)) = (self.options.get_mut(place), self.entry.options.get(place)) {
            *alternatives = option.parse_all(texts)?;
        }
        Ok(self)
    }

    /// The targets among its options.
    pub fn targets(&self) -> Vec<Target> {
        self.of_kind(OptionKind::Target).filter_map(|value| serde_json::from_value(value.clone()).ok()).collect()
    }

    /// The shapes among its options.
    pub fn shapes(&self) -> Vec<Shape> {
        self.of_kind(OptionKind::Shape).filter_map(|value| serde_json::from_value(value.clone()).ok()).collect()
    }

    fn of_kind(&self, kind: OptionKind) -> impl Iterator<Item = &Json> {
        let own = self.entry.options.iter().zip(&self.options);
        own.filter(move |(option, _)| option.kind == kind).flat_map(|(_, values)| values)
    }

    /// With no choice left open: empty lists of shapes and targets become all that such a cluster and database allow.
    /// Lists that the suite gave stay as they are; [`FaultSpec::needs`] tells whether they can be done.
    pub fn resolved(&self, nodes_count: usize, has_primaries: bool) -> FaultSpec {
        let mut spec = self.clone();
        for (option, values) in self.entry.options.iter().zip(&mut spec.options) {
            if !values.is_empty() {
                continue;
            }
            match option.kind {
                OptionKind::Shape => {
                    let possible = |shape: &&Shape| {
                        shape.nodes_min() <= nodes_count && (has_primaries || !shape.needs_primaries())
                    };
                    *values = SHAPES.iter().filter(possible).map(|shape| serde_json::json!(shape)).collect();
                }
                OptionKind::Target => {
                    let possible = |target: &&Target| {
                        target.nodes_min() <= nodes_count && (has_primaries || !target.needs_primaries())
                    };
                    *values = OPEN_TARGETS.iter().filter(possible).map(|target| serde_json::json!(target)).collect();
                }
                _ => {}
            }
        }
        spec
    }

    /// One spec for each target, or shape, among its alternatives: what a systematic schedule tells apart. Other options keep
    /// their alternatives, of which each injection draws one. Where a partition names its links, or its shape means no
    /// targets, these do not count.
    pub fn by_role(&self) -> Vec<FaultSpec> {
        let told = |name: &str| !self.values(name).is_empty();
        let links_are_told = told("groups") || told("links");
        let clients_are_meant = self.values("between").iter().any(|value| value == "clients");
        let mut specs = vec![self.clone()];
        for (place, option) in self.entry.options.iter().enumerate() {
            let split = |spec: FaultSpec| -> Vec<FaultSpec> {
                let counts = match option.kind {
                    OptionKind::Shape => !links_are_told && !clients_are_meant,
                    OptionKind::Target if self.shapes().is_empty() => true,
                    OptionKind::Target => clients_are_meant || spec.shapes().contains(&Shape::Isolate),
                    _ => false,
                };
                let alternatives = spec.options.get(place).filter(|values| counts && values.len() > 1).cloned();
                let Some(alternatives) = alternatives else { return vec![spec] };
                let with = |value: Json| {
                    let mut one = spec.clone();
                    if let Some(values) = one.options.get_mut(place) {
                        *values = vec![value];
                    }
                    one
                };
                alternatives.into_iter().map(with).collect()
            };
            specs = specs.into_iter().flat_map(split).collect();
        }
        specs
    }

    /// Class and roles: `kill primaries`, `partition halves`. Further targets only where they are not the usual ones.
    pub fn role_label(&self) -> String {
        let mut words = vec![self.class().to_owned()];
        let shapes = self.shapes();
        let targets = || {
            let own = self.entry.options.iter().zip(&self.options);
            let told = own.filter(|(option, values)| {
                option.kind == OptionKind::Target && (option.key == "target" || **values != option.defaults())
            });
            let all =
                told.flat_map(|(_, values)| values).filter_map(|value| serde_json::from_value(value.clone()).ok());
            all.map(|target: Target| target.to_string()).collect::<Vec<_>>()
        };
        match shapes[..] {
            _ if ["groups", "links"].iter().any(|name| !self.values(name).is_empty()) => words.push("links".to_owned()),
            [] => words.extend(targets()),
            [Shape::Isolate] => words.extend(targets().iter().map(|target| format!("isolate {target}"))),
            [shape] => words.push(shape.name().to_owned()),
            _ => {}
        }
        words.join(" ")
    }

    /// What it needs, for every alternative in its lists: sorted, each once.
    pub fn needs(&self) -> Vec<Need> {
        let mut needs = (self.entry.needs)(self);
        for shape in self.shapes() {
            needs.push(Need::Nodes { at_least: shape.nodes_min(), of: format!("shape `{}`", shape.name()) });
            needs.extend(shape.needs_primaries().then_some(Need::Primaries));
        }
        for target in self.targets() {
            needs.push(Need::Nodes { at_least: target.nodes_min(), of: format!("target `{target}`") });
            needs.extend(target.needs_primaries().then_some(Need::Primaries));
            match &target {
                Target::Nodes(nodes) => needs.extend(nodes.iter().map(|node| Need::Node { name: node.to_string() })),
                Target::Role(name) => needs.push(Need::Role { name: name.clone() }),
                _ => {}
            }
        }
        needs.sort();
        needs.dedup();
        needs
    }

    /// Draws one alternative of each option: the values of an [`crate::Intention`]. `None` where a target or shape is
    /// open and nothing is possible.
    pub fn draw(&self, rng: &mut impl Rng) -> Option<Map<String, Json>> {
        let mut drawn = Map::new();
        for (option, values) in self.entry.options.iter().zip(&self.options) {
            match draw::one(rng, values) {
                Some(value) => {
                    drawn.insert(option.key.to_owned(), value.clone());
                }
                None if matches!(option.kind, OptionKind::Shape | OptionKind::Target) => return None,
                None => {}
            }
        }
        Some(drawn)
    }
}

impl OptionEntry {
    fn defaults(&self) -> Vec<Json> {
        let texts: Vec<Json> = self.default.iter().map(|text| Json::String((*text).to_owned())).collect();
        // A test reads every default of the table.
        self.parse_all(&texts).unwrap_or_default()
    }

    /// Reads alternatives.
    ///
    /// # Errors
    /// The first that is wrong.
    pub fn parse_all(&self, values: &[Json]) -> Result<Vec<Json>, String> {
        let parsed = values.iter().map(|value| self.kind.parse(value)).collect::<Result<Vec<_>, _>>();
        parsed.map(|lists| lists.concat()).map_err(|error| format!("{}: {error}", self.name))
    }

    /// Reads what stands in a suite: one alternative, or a list of them.
    fn parse_suite(&self, value: &Json) -> Result<Vec<Json>, String> {
        match value {
            Json::Array(values) => self.parse_all(values),
            one => self.parse_all(std::slice::from_ref(one)),
        }
    }
}

/// In the words of serde, so that whoever reads errors of suites finds the nearest name.
fn unknown_option(entry: &FaultEntry, name: &str) -> String {
    let known = entry.options.iter().map(|option| option.name).chain(["interval", "duration"]);
    let known: Vec<String> = known.map(|name| format!("`{name}`")).collect();
    format!("unknown field `{name}`, expected one of {}", known.join(", "))
}

impl Serialize for FaultSpec {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut options = Map::new();
        for (option, values) in self.entry.options.iter().zip(&self.options) {
            if !values.is_empty() {
                options.insert(option.name.to_owned(), values.iter().map(|value| option.kind.show(value)).collect());
            }
        }
        for (name, span) in [("interval", self.interval), ("duration", self.duration)] {
            if let Some(span) = span {
                options.insert(name.to_owned(), Json::String(span.to_string()));
            }
        }
        let mut map = serializer.serialize_map(Some(1))?;
        map.serialize_entry(self.entry.name, &options)?;
        map.end()
    }
}

impl<'de> Deserialize<'de> for FaultSpec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<FaultSpec, D::Error> {
        deserializer.deserialize_any(SpecVisitor)
    }
}

/// Takes a bare name or a map of one name to its options. A visitor and not an untagged enum, so that errors keep
/// their line and column.
struct SpecVisitor;

fn by_name<E: de::Error>(name: &str) -> Result<FaultSpec, E> {
    FaultSpec::named(name).ok_or_else(|| E::custom(unknown(name, &class::names())))
}

impl<'de> de::Visitor<'de> for SpecVisitor {
    type Value = FaultSpec;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a fault: one of {}, or one of them with its options", class::names().join(", "))
    }

    fn visit_str<E: de::Error>(self, name: &str) -> Result<FaultSpec, E> {
        by_name(name)
    }

    fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<FaultSpec, A::Error> {
        let Some(name) = map.next_key::<String>()? else {
            return Err(de::Error::custom(format!("a fault is expected, one of {}", class::names().join(", "))));
        };
        let spec = map.next_value_seed(OptionsSeed(by_name(&name)?))?;
        if let Some(second) = map.next_key::<String>()? {
            return Err(de::Error::custom(format!(
                "`{second}` stands beside `{name}`: each fault is an entry of its own in the list, and its options are indented below its name"
            )));
        }
        Ok(spec)
    }
}

/// Reads the options of a class, or nothing.
struct OptionsSeed(FaultSpec);

impl<'de> de::DeserializeSeed<'de> for OptionsSeed {
    type Value = FaultSpec;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<FaultSpec, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> de::Visitor<'de> for OptionsSeed {
    type Value = FaultSpec;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "options of `{}`", self.0.class())
    }

    fn visit_unit<E: de::Error>(self) -> Result<FaultSpec, E> {
        Ok(self.0)
    }

    fn visit_none<E: de::Error>(self) -> Result<FaultSpec, E> {
        Ok(self.0)
    }

    fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<FaultSpec, A::Error> {
        let mut spec = self.0;
        while let Some(name) = map.next_key::<String>()? {
            match name.as_str() {
                "interval" => spec.interval = Some(map.next_value()?),
                "duration" => spec.duration = Some(map.next_value()?),
                _ => {
                    let known =
                        spec.entry.options.iter().zip(&mut spec.options).find(|(option, _)| option.name == name);
                    let Some((option, values)) = known else {
                        return Err(de::Error::custom(unknown_option(spec.entry, &name)));
                    };
                    *values = option.parse_suite(&map.next_value::<Json>()?).map_err(de::Error::custom)?;
                }
            }
        }
        Ok(spec)
    }
}

#[cfg(test)]
#[path = "spec_tests.rs"]
mod tests;
