//! Who ignores whom: pure algebra on links.
//!
//! A [`Grudge`] says for each node whose packets it drops on their way in. It is directed: that `n1` drops the packets
//! of `n2` says nothing of what `n2` does, so cuts of one direction are ordinary values. The shapes are those of
//! Jepsen's `jepsen.nemesis` (halves, bridge, majorities ring), with the one-way forms it has no name for.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use rand::Rng;
use schism_history::Node;
use serde::{Deserialize, Serialize};

use crate::draw;
use crate::target::{View, majority};

/// For each node, the nodes whose packets it drops. Nodes that drop nothing are not in it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Grudge {
    drops: BTreeMap<Node, BTreeSet<Node>>,
}

/// How the links of a cluster are cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Shape {
    /// The first half of the nodes against the rest; the first half is the smaller one. No chance in it.
    Halves,
    /// Two random halves.
    RandomHalves,
    /// One random node against the rest.
    One,
    /// A random smallest majority against the rest.
    MajorityMinority,
    /// Two random halves that only one node, the bridge, still sees both of.
    Bridge,
    /// Every node sees a majority, and no two see the same one (up to five nodes; roughly so beyond).
    MajoritiesRing,
    /// One node that believes itself leader against the rest.
    Leader,
    /// Leaders, filled up to a largest minority, against the rest.
    PrimariesMinority,
    /// One random link, which nobody else notices.
    Partial,
    /// The nodes of the option `targets` against the rest.
    Isolate,
    /// A random ring on which each node sees as many of its neighbours as the option `neighbours` says.
    Ring,
}

/// The shapes that stand for a list which a suite leaves open, in the order of the help.
pub const SHAPES: &[Shape] = &[
    Shape::Halves,
    Shape::RandomHalves,
    Shape::One,
    Shape::MajorityMinority,
    Shape::Bridge,
    Shape::MajoritiesRing,
    Shape::Leader,
    Shape::PrimariesMinority,
    Shape::Partial,
];

/// Further shapes, which must be asked for by name: they take further options.
pub const NAMED_SHAPES: &[Shape] = &[Shape::Isolate, Shape::Ring];

/// What shapes beyond a name may take.
#[derive(Debug, Clone, Default)]
pub struct ShapeOptions {
    /// The harmed side of [`Shape::Isolate`].
    pub isolated: Vec<Node>,
    /// How many others each node of a [`Shape::Ring`] sees.
    pub neighbours: usize,
}

/// In which direction links are cut. The harmed side of a cut is the smaller one (of a bridge, the half without the
/// bridge; of a ring, the earlier of the two on the ring).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// Neither side hears the other.
    Both,
    /// The harmed side cannot hear, but is heard.
    In,
    /// The harmed side cannot be heard, but hears.
    Out,
}

impl Shape {
    /// Its name in suites.
    pub fn name(self) -> &'static str {
        match self {
            Shape::Halves => "halves",
            Shape::RandomHalves => "random-halves",
            Shape::One => "one",
            Shape::MajorityMinority => "majority-minority",
            Shape::Bridge => "bridge",
            Shape::MajoritiesRing => "majorities-ring",
            Shape::Leader => "leader",
            Shape::PrimariesMinority => "primaries-minority",
            Shape::Partial => "partial",
            Shape::Isolate => "isolate",
            Shape::Ring => "ring",
        }
    }

    /// How many nodes it takes for the shape to cut anything.
    pub fn nodes_min(self) -> usize {
        match self {
            Shape::Halves | Shape::RandomHalves | Shape::One | Shape::Leader | Shape::Partial | Shape::Isolate => 2,
            Shape::MajorityMinority | Shape::Bridge | Shape::MajoritiesRing | Shape::PrimariesMinority => 3,
            Shape::Ring => 4,
        }
    }

    /// Whether the database must be asked who leads.
    pub fn needs_primaries(self) -> bool {
        matches!(self, Shape::Leader | Shape::PrimariesMinority)
    }

    /// The grudge of this shape for these nodes, and one line that says it; the error says why there is none.
    ///
    /// # Errors
    /// When there are too few nodes, or nobody leads.
    pub fn grudge(self, direction: Direction, view: &View, rng: &mut impl Rng) -> Result<(Grudge, String), String> {
        self.grudge_with(direction, view, &ShapeOptions { neighbours: 2, ..ShapeOptions::default() }, rng)
    }

    /// As [`Shape::grudge`], for shapes that take more than a name.
    ///
    /// # Errors
    /// Also when what they take cannot be.
    pub fn grudge_with(
        self,
        direction: Direction,
        view: &View,
        options: &ShapeOptions,
        rng: &mut impl Rng,
    ) -> Result<(Grudge, String), String> {
        let count = view.nodes.len();
        if count < self.nodes_min() {
            return Err(format!("`{}` needs at least {} nodes, there are {count}", self.name(), self.nodes_min()));
        }
        let (grudge, harmed, sides) = match self {
            Shape::Halves => split(&view.nodes, count / 2),
            Shape::RandomHalves => split(&draw::shuffled(rng, &view.nodes), count / 2),
            Shape::One => split(&draw::shuffled(rng, &view.nodes), 1),
            Shape::MajorityMinority => split(&draw::shuffled(rng, &view.nodes), count - majority(count)),
            Shape::Bridge => bridge(&draw::shuffled(rng, &view.nodes)),
            Shape::MajoritiesRing => ring(draw::shuffled(rng, &view.nodes), rng),
            Shape::Leader => {
                let leader = draw::one(rng, &leaders(view)?).cloned().ok_or(NO_LEADER)?;
                against_the_rest(view, &[leader])
            }
            Shape::PrimariesMinority => {
                let mut few = draw::shuffled(rng, &leaders(view)?);
                let followers: Vec<Node> = view.nodes.iter().filter(|node| !few.contains(node)).cloned().collect();
                few.extend(draw::shuffled(rng, &followers));
                few.truncate(count - majority(count));
                against_the_rest(view, &few)
            }
            Shape::Partial => {
                let two: Vec<Node> = draw::shuffled(rng, &view.nodes).into_iter().take(2).collect();
                let sides = names(&two).replace(' ', " | ");
                let grudge = Grudge::complete(&[two[..1].to_vec(), two[1..].to_vec()]);
                (grudge, two[..1].to_vec(), format!("{sides}, all others see both"))
            }
            Shape::Isolate => {
                if options.isolated.len() >= count {
                    return Err(format!("nobody is left to be cut off from {}", names(&options.isolated)));
                }
                against_the_rest(view, &options.isolated)
            }
            Shape::Ring => {
                if options.neighbours + 1 >= count {
                    return Err(format!(
                        "on a ring of {count} nodes that see {} others all see all",
                        options.neighbours
                    ));
                }
                let nodes = draw::shuffled(rng, &view.nodes);
                let grudge = ring_of(&nodes, options.neighbours);
                (grudge, nodes.clone(), format!("{}, each sees {} neighbours", names(&nodes), options.neighbours))
            }
        };
        Ok((grudge.directed(direction, &harmed), format!("{}: {sides}{}", self.name(), direction.told())))
    }
}

const NO_LEADER: &str = "no node believes itself a leader now";

fn leaders(view: &View) -> Result<Vec<Node>, String> {
    let leaders: Vec<Node> = view.nodes.iter().filter(|node| view.primaries.contains(node)).cloned().collect();
    if leaders.is_empty() { Err(NO_LEADER.to_owned()) } else { Ok(leaders) }
}

/// These against the rest, told in the order of the view.
fn against_the_rest(view: &View, few: &[Node]) -> (Grudge, Vec<Node>, String) {
    let mut nodes = view.nodes.clone();
    nodes.sort_by_key(|node| !few.contains(node));
    split(&nodes, few.len())
}

impl Direction {
    /// What a label says of it.
    pub(crate) fn told(self) -> &'static str {
        match self {
            Direction::Both => "",
            Direction::In => ", one way: the first cannot hear",
            Direction::Out => ", one way: the first cannot be heard",
        }
    }
}

/// Reads links as suites write them: `n1>n2` is what n1 sends to n2, `n1<>n2` is both ways. Answers who drops whom.
///
/// # Errors
/// The first word that is no link.
pub fn parse_links(text: &str) -> Result<Grudge, String> {
    let mut drops: BTreeMap<Node, BTreeSet<Node>> = BTreeMap::new();
    for word in text.split_whitespace() {
        let (both, ends) = match word.split_once("<>") {
            Some(ends) => (true, Some(ends)),
            None => (false, word.split_once('>')),
        };
        let good = |name: &str| !name.is_empty() && !name.contains(['<', '>', '|', ',']);
        let ends = ends.filter(|(from, to)| good(from) && good(to) && from != to);
        let Some((from, to)) = ends else {
            return Err(format!("`{word}` is no link, expected n1>n2 (one way) or n1<>n2 (both ways)"));
        };
        drops.entry(Node::new(to)).or_default().insert(Node::new(from));
        if both {
            drops.entry(Node::new(from)).or_default().insert(Node::new(to));
        }
    }
    if drops.is_empty() {
        Err("there is no link in it, expected some like n1>n2".to_owned())
    } else {
        Ok(Grudge { drops })
    }
}

/// Reads groups as suites write them: `n1 n2 | n3 n4 n5`.
///
/// # Errors
/// Where there are fewer than two, one is empty, or a node is in two.
pub fn parse_groups(text: &str) -> Result<Vec<Vec<Node>>, String> {
    let words = |part: &str| part.split([' ', ',']).filter(|word| !word.is_empty()).map(Node::new).collect();
    let groups: Vec<Vec<Node>> = text.split('|').map(words).collect();
    if groups.len() < 2 || groups.iter().any(Vec::is_empty) {
        return Err(format!("`{text}` has not two groups at least, expected some like n1 n2 | n3"));
    }
    let all: Vec<&Node> = groups.iter().flatten().collect();
    match all.iter().enumerate().find(|(at, node)| all[..*at].contains(*node)) {
        Some((_, node)) => Err(format!("`{text}` names {node} twice")),
        None => Ok(groups),
    }
}

impl Grudge {
    /// Every node drops everyone outside its component.
    pub fn complete(components: &[Vec<Node>]) -> Grudge {
        let mut drops = BTreeMap::new();
        for (place, component) in components.iter().enumerate() {
            let others = components.iter().enumerate().filter(|(other, _)| *other != place);
            let outside: BTreeSet<Node> = others.flat_map(|(_, nodes)| nodes.iter().cloned()).collect();
            for node in component {
                drops.insert(node.clone(), outside.clone());
            }
        }
        Grudge::from_drops(drops)
    }

    /// From who drops whom. A node never drops itself.
    pub fn from_drops(mut drops: BTreeMap<Node, BTreeSet<Node>>) -> Grudge {
        for (node, dropped) in &mut drops {
            dropped.remove(node);
        }
        drops.retain(|_, dropped| !dropped.is_empty());
        Grudge { drops }
    }

    /// The other way round, among these nodes: who is dropped becomes who is heard, and back. Nodes hear themselves.
    pub fn inverted(&self, nodes: &[Node]) -> Grudge {
        let all: BTreeSet<&Node> = nodes.iter().collect();
        let rest = |node: &Node| all.iter().filter(|other| !self.is_cut(other, node)).map(|&one| one.clone()).collect();
        Grudge::from_drops(nodes.iter().map(|node| (node.clone(), rest(node))).collect())
    }

    /// Whether packets of `from` are dropped by `to`.
    pub fn is_cut(&self, from: &Node, to: &Node) -> bool {
        self.drops.get(to).is_some_and(|dropped| dropped.contains(from))
    }

    /// Each node that drops something, and what.
    pub fn drops(&self) -> impl Iterator<Item = (&Node, &BTreeSet<Node>)> {
        self.drops.iter()
    }

    /// Whether nothing is cut.
    pub fn is_empty(&self) -> bool {
        self.drops.is_empty()
    }

    /// Nodes at either end of a link that is cut.
    pub fn touched(&self) -> Vec<Node> {
        let ends = self.drops.iter().flat_map(|(node, dropped)| dropped.iter().chain([node]));
        ends.collect::<BTreeSet<_>>().into_iter().cloned().collect()
    }

    /// Of every link that is cut both ways, keeps one way: the harmed end (of two, the earlier in the list) cannot
    /// hear (`In`) or cannot be heard (`Out`). Links that are cut one way already stay as they are.
    pub fn directed(&self, direction: Direction, harmed: &[Node]) -> Grudge {
        if direction == Direction::Both {
            return self.clone();
        }
        let rank = |node: &Node| harmed.iter().position(|one| one == node).unwrap_or(usize::MAX);
        let mut drops = self.drops.clone();
        for (node, dropped) in &mut drops {
            dropped.retain(|other| {
                let node_is_harmed = rank(node) < rank(other);
                !self.is_cut(node, other) || node_is_harmed == (direction == Direction::In)
            });
        }
        Grudge::from_drops(drops)
    }
}

/// The first `size` against the rest; the first are the harmed side.
fn split(nodes: &[Node], size: usize) -> (Grudge, Vec<Node>, String) {
    let (first, rest) = nodes.split_at(size.min(nodes.len()));
    let sides = format!("{} | {}", sorted_names(first), sorted_names(rest));
    (Grudge::complete(&[first.to_vec(), rest.to_vec()]), first.to_vec(), sides)
}

fn bridge(nodes: &[Node]) -> (Grudge, Vec<Node>, String) {
    let (first, rest) = nodes.split_at(nodes.len() / 2);
    let Some((bridge, rest)) = rest.split_first() else {
        return (Grudge::default(), Vec::new(), String::new());
    };
    let sides = format!("{} | {}, bridge {bridge}", sorted_names(first), sorted_names(rest));
    (Grudge::complete(&[first.to_vec(), rest.to_vec()]), first.to_vec(), sides)
}

fn ring(nodes: Vec<Node>, rng: &mut impl Rng) -> (Grudge, Vec<Node>, String) {
    let grudge = if nodes.len() <= 5 { ring_perfect(&nodes) } else { ring_stochastic(&nodes, rng) };
    let sides = names(&nodes);
    (grudge, nodes, sides)
}

/// Each window of a majority's size on the ring goes to its middle node, which drops all outside it.
fn ring_perfect(nodes: &[Node]) -> Grudge {
    let count = nodes.len();
    let size = majority(count);
    let mut drops = BTreeMap::new();
    for first in 0..count {
        let window: BTreeSet<usize> = (first..first + size).map(|place| place % count).collect();
        let outside = (0..count).filter(|place| !window.contains(place)).map(|place| nodes[place].clone()).collect();
        drops.insert(nodes[(first + size / 2) % count].clone(), outside);
    }
    Grudge::from_drops(drops)
}

/// Each node drops all but its nearest neighbours on the ring: of an odd number, one more of those that come after.
fn ring_of(nodes: &[Node], neighbours: usize) -> Grudge {
    let count = nodes.len();
    let (before, after) = (neighbours / 2, neighbours.div_ceil(2));
    let mut drops = BTreeMap::new();
    for (place, node) in nodes.iter().enumerate() {
        let sees = |other: usize| (other + count - place) % count <= after || (place + count - other) % count <= before;
        let unseen = (0..count).filter(|other| !sees(*other)).map(|other| nodes[other].clone()).collect();
        drops.insert(node.clone(), unseen);
    }
    Grudge::from_drops(drops)
}

/// Links the node with the fewest links to another with few that it is not linked to, until each sees a majority
/// (itself counted); what is not linked is cut. Ends after at most n*n links: when nobody is left to link to, the
/// node sees all.
fn ring_stochastic(nodes: &[Node], rng: &mut impl Rng) -> Grudge {
    let count = nodes.len();
    let mut linked: Vec<BTreeSet<usize>> = (0..count).map(|place| BTreeSet::from([place])).collect();
    loop {
        let order = draw::shuffled(rng, &(0..count).collect::<Vec<_>>());
        let Some(&poorest) = order.iter().min_by_key(|place| linked[**place].len()) else { break };
        if linked[poorest].len() >= majority(count) {
            break;
        }
        let strangers = order.iter().filter(|place| !linked[poorest].contains(place));
        let Some(&partner) = strangers.min_by_key(|place| linked[**place].len()) else { break };
        linked[poorest].insert(partner);
        linked[partner].insert(poorest);
    }
    let cut = |linked: &BTreeSet<usize>| {
        let places = (0..count).filter(|other| !linked.contains(other));
        places.map(|other| nodes[other].clone()).collect()
    };
    let drops = nodes.iter().zip(&linked).map(|(node, linked)| (node.clone(), cut(linked)));
    Grudge::from_drops(drops.collect())
}

/// Names with blanks between.
pub(crate) fn names<'a>(nodes: impl IntoIterator<Item = &'a Node>) -> String {
    nodes.into_iter().map(Node::as_str).collect::<Vec<_>>().join(" ")
}

fn sorted_names(nodes: &[Node]) -> String {
    names(nodes.iter().collect::<BTreeSet<_>>())
}

impl fmt::Display for Grudge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts: Vec<String> =
            self.drops.iter().map(|(node, dropped)| format!("{node} drops {}", names(dropped))).collect();
        f.write_str(&parts.join("; "))
    }
}

#[cfg(test)]
#[path = "grudge_tests.rs"]
mod tests;
