//! Which nodes: a pure choice from a recorded [`View`].

use std::collections::BTreeMap;
use std::fmt;

use rand::Rng;
use schism_history::Node;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::draw;

/// What the nodes said of themselves when a target was chosen. Recorded with the choice, so that it can be repeated.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct View {
    /// All nodes, in the order of the plan.
    pub nodes: Vec<Node>,
    /// Those that believed themselves leaders; empty where nobody did or nobody was asked.
    pub primaries: Vec<Node>,
    /// Who plays which further role; empty where nobody was asked.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub roles: BTreeMap<String, Vec<Node>>,
}

/// Which nodes a fault harms. In YAML a name ([`TARGET_NAMES`]), `role:NAME`, or a list of nodes (`[n1, n3]`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// One node, any.
    One,
    /// As many as can fail while a majority stays: 2 of 5.
    Minority,
    /// Fewer than a third: 1 of 5 (what a system that tolerates lies survives).
    MinorityThird,
    /// The smallest majority: 3 of 5.
    Majority,
    /// Every node.
    All,
    /// Some of those that believe themselves leaders, at least one of them.
    Primaries,
    /// Some of those that do not believe themselves leaders, at least one of them.
    Followers,
    /// Any nodes, at least one: every subset is as likely as another.
    Random,
    /// Some of those that play this role, at least one of them.
    Role(String),
    /// These.
    Nodes(Vec<Node>),
}

/// Names of the targets that have one.
pub const TARGET_NAMES: &[&str] =
    &["one", "minority", "minority-third", "majority", "all", "primaries", "followers", "random"];

/// What stands for a list of targets that a suite leaves open.
pub const OPEN_TARGETS: &[Target] = &[Target::One, Target::Minority, Target::Majority, Target::All, Target::Primaries];

/// The size of the smallest majority.
pub fn majority(count: usize) -> usize {
    count / 2 + 1
}

impl Target {
    /// The target of that name.
    pub fn parse(name: &str) -> Option<Target> {
        Some(match name {
            "one" => Target::One,
            "minority" => Target::Minority,
            "minority-third" => Target::MinorityThird,
            "majority" => Target::Majority,
            "all" => Target::All,
            "primaries" => Target::Primaries,
            "followers" => Target::Followers,
            "random" => Target::Random,
            _ => {
                return name
                    .strip_prefix("role:")
                    .filter(|role| !role.is_empty())
                    .map(|role| Target::Role(role.into()));
            }
        })
    }

    /// Whether the database must be asked who leads.
    pub fn needs_primaries(&self) -> bool {
        matches!(self, Target::Primaries | Target::Followers)
    }

    /// How many nodes there must be for it to choose any.
    pub fn nodes_min(&self) -> usize {
        match self {
            Target::Minority => 3,
            Target::MinorityThird => 4,
            _ => 1,
        }
    }

    /// The nodes it means in this view, in the order of the view; the error says why there is none.
    ///
    /// # Errors
    /// When nobody leads, a named node is not there, or there are too few nodes for such a part of them.
    pub fn choose(&self, view: &View, rng: &mut impl Rng) -> Result<Vec<Node>, String> {
        let count = view.nodes.len();
        let wanted = match self {
            Target::One => 1,
            Target::Minority => count.saturating_sub(majority(count)),
            Target::MinorityThird => count.saturating_sub(1) / 3,
            Target::Majority => majority(count),
            Target::All => count,
            Target::Primaries => return some(&view.primaries, view, rng, "no node believes itself a leader now"),
            Target::Followers => {
                // Nobody who leads is known: then nobody is known to follow either.
                let follows = |node: &&Node| !view.primaries.is_empty() && !view.primaries.contains(node);
                let followers: Vec<Node> = view.nodes.iter().filter(follows).cloned().collect();
                return some(&followers, view, rng, "no node is known to follow a leader now");
            }
            Target::Role(role) => {
                let players = view.roles.get(role).map_or(&[][..], Vec::as_slice);
                return some(players, view, rng, &format!("no node plays the role `{role}` now"));
            }
            Target::Random => {
                let members = 1 + draw::below(rng, (1u64 << count.min(62)).saturating_sub(1));
                let chosen = view.nodes.iter().enumerate().filter(|(at, _)| *at < 62 && members >> at & 1 == 1);
                return Ok(chosen.map(|(_, node)| node.clone()).collect());
            }
            Target::Nodes(nodes) => return named(nodes, view),
        };
        let drawn = draw::shuffled(rng, &view.nodes);
        let chosen: Vec<Node> =
            view.nodes.iter().filter(|node| drawn.iter().take(wanted).any(|one| one == *node)).cloned().collect();
        if chosen.is_empty() {
            return Err(format!("there is no `{self}` of {count} nodes"));
        }
        Ok(chosen)
    }
}

/// Some of these, at least one, in the order of the view.
fn some(of: &[Node], view: &View, rng: &mut impl Rng, nobody: &str) -> Result<Vec<Node>, String> {
    let known: Vec<&Node> = view.nodes.iter().filter(|node| of.contains(node)).collect();
    if known.is_empty() {
        return Err(nobody.to_owned());
    }
    let wanted = 1 + draw::below(rng, known.len() as u64) as usize;
    let drawn = draw::shuffled(rng, &known);
    Ok(known.into_iter().filter(|node| drawn.iter().take(wanted).any(|one| one == node)).cloned().collect())
}

fn named(nodes: &[Node], view: &View) -> Result<Vec<Node>, String> {
    if let Some(stranger) = nodes.iter().find(|node| !view.nodes.contains(node)) {
        return Err(format!("node `{stranger}` is not one of this cluster ({})", crate::grudge::names(&view.nodes)));
    }
    let chosen: Vec<Node> = view.nodes.iter().filter(|node| nodes.contains(node)).cloned().collect();
    if chosen.is_empty() { Err("the list of nodes is empty".to_owned()) } else { Ok(chosen) }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Target::One => "one",
            Target::Minority => "minority",
            Target::MinorityThird => "minority-third",
            Target::Majority => "majority",
            Target::All => "all",
            Target::Primaries => "primaries",
            Target::Followers => "followers",
            Target::Random => "random",
            Target::Role(role) => return write!(f, "role:{role}"),
            Target::Nodes(nodes) => return f.write_str(&crate::grudge::names(nodes)),
        })
    }
}

impl Serialize for Target {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Target::Nodes(nodes) => nodes.serialize(serializer),
            named => serializer.collect_str(named),
        }
    }
}

impl<'de> Deserialize<'de> for Target {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Target, D::Error> {
        struct Visitor;
        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Target;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "one of {} or a list of nodes like [n1, n3]", TARGET_NAMES.join(", "))
            }

            fn visit_str<E: de::Error>(self, name: &str) -> Result<Target, E> {
                Target::parse(name).ok_or_else(|| E::unknown_variant(name, TARGET_NAMES))
            }

            fn visit_seq<A: de::SeqAccess<'de>>(self, mut list: A) -> Result<Target, A::Error> {
                let mut nodes = Vec::new();
                while let Some(name) = list.next_element::<String>()? {
                    nodes.push(Node::new(&name));
                }
                Ok(Target::Nodes(nodes))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use schism_history::Seed;

    fn view(count: usize, primaries: &[&str]) -> View {
        View {
            nodes: (1..=count).map(|number| Node::new(&format!("n{number}"))).collect(),
            primaries: primaries.iter().map(|name| Node::new(name)).collect(),
            roles: BTreeMap::from([("learner".to_owned(), vec![Node::new("n3"), Node::new("n9")])]),
        }
    }

    #[test]
    fn followers_roles_and_random_subsets() {
        let (known, unknown) = (view(5, &["n2"]), view(5, &[]));
        let mut seen = std::collections::BTreeMap::<usize, u32>::new();
        for seed in 0..400 {
            let rng = &mut Seed(seed).stream("t");
            let followers = Target::Followers.choose(&known, rng).unwrap();
            assert!(!followers.is_empty() && !followers.contains(&Node::new("n2")));
            let learners = Target::parse("role:learner").unwrap().choose(&known, rng).unwrap();
            assert_eq!(learners, [Node::new("n3")], "n9 is no node of the cluster");
            *seen.entry(Target::Random.choose(&known, rng).unwrap().len()).or_default() += 1;
        }
        assert_eq!(seen.keys().copied().collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
        let rng = &mut Seed(1).stream("t");
        assert!(Target::Followers.choose(&unknown, rng).is_err());
        assert!(Target::Role("x".to_owned()).choose(&known, rng).unwrap_err().contains("`x`"));
        assert_eq!(Target::parse("role:"), None);
    }

    #[test]
    fn sizes_for_one_to_nine_nodes() {
        let expected: &[(Target, [usize; 9])] = &[
            (Target::One, [1, 1, 1, 1, 1, 1, 1, 1, 1]),
            (Target::Minority, [0, 0, 1, 1, 2, 2, 3, 3, 4]),
            (Target::MinorityThird, [0, 0, 0, 1, 1, 1, 2, 2, 2]),
            (Target::Majority, [1, 2, 2, 3, 3, 4, 4, 5, 5]),
            (Target::All, [1, 2, 3, 4, 5, 6, 7, 8, 9]),
        ];
        for (target, sizes) in expected {
            for (count, size) in (1..=9).zip(sizes) {
                let chosen = target.choose(&view(count, &[]), &mut Seed(count as u64).stream("t"));
                assert_eq!(chosen.as_ref().map_or(0, Vec::len), *size, "{target} of {count}: {chosen:?}");
                assert_eq!(chosen.is_ok(), count >= target.nodes_min(), "{target} of {count}");
            }
        }
    }

    #[test]
    fn primaries_are_some_of_those_that_are_told() {
        let view = view(5, &["n2", "n5", "n9"]);
        let mut seen = std::collections::BTreeSet::new();
        for seed in 0..50 {
            seen.insert(Target::Primaries.choose(&view, &mut Seed(seed).stream("t")).unwrap());
        }
        let node = Node::new;
        let all: Vec<Vec<Node>> = vec![vec![node("n2")], vec![node("n2"), node("n5")], vec![node("n5")]];
        assert_eq!(seen.into_iter().collect::<Vec<_>>(), all);
    }

    #[test]
    fn nobody_to_harm_is_said() {
        let rng = &mut Seed(1).stream("t");
        let cases: &[(Target, &str)] = &[
            (Target::Primaries, "no node believes itself a leader now"),
            (Target::Nodes(vec![Node::new("n7")]), "node `n7` is not one of this cluster (n1 n2)"),
            (Target::Nodes(vec![]), "the list of nodes is empty"),
            (Target::Minority, "there is no `minority` of 2 nodes"),
        ];
        for (target, reason) in cases {
            assert_eq!(target.choose(&view(2, &[]), rng), Err((*reason).to_owned()));
        }
    }

    #[test]
    fn every_node_is_chosen_sooner_or_later() {
        let mut seen = std::collections::BTreeSet::new();
        for seed in 0..60 {
            seen.extend(Target::One.choose(&view(5, &[]), &mut Seed(seed).stream("t")).unwrap());
        }
        assert_eq!(seen.len(), 5);
    }

    #[test]
    fn text_and_back() {
        for text in ["\"one\"", "\"minority-third\"", "\"primaries\"", "[\"n1\",\"n3\"]"] {
            let target: Target = serde_json::from_str(text).unwrap();
            assert_eq!(serde_json::to_string(&target).unwrap(), text);
        }
        let error = serde_json::from_str::<Target>("\"most\"").unwrap_err().to_string();
        assert!(error.contains("unknown variant `most`, expected one of `one`, `minority`"), "{error}");
        let error = serde_json::from_str::<Target>("7").unwrap_err().to_string();
        assert!(error.contains("or a list of nodes like [n1, n3]"), "{error}");
    }
}
