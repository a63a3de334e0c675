//! What is done to packets between nodes: delay, loss, duplication, reordering, corruption, bandwidth, and holding them back.
//!
//! One fault shapes the links of its targets to other nodes, in one direction or both, and nothing else: the controller
//! is no node, so its connections are never shaped. Two mechanisms do it. The ground, where it has a switch of its own
//! ([`Ability::Links`]): nothing on the nodes is touched. Else netem and htb on the nodes ([`crate::scripts`]), each
//! link on the node that sends; what a target is sent is then shaped where it comes from. Labels and evidence say which.
//!
//! Several of these classes may be on at once: their shapes add up, on either mechanism. With netem, what waits in a
//! queue is lost at the moment when another class comes or goes.

mod classes;
mod judge;

use std::collections::BTreeSet;

use async_trait::async_trait;
use schism_cluster::probe::quality::{LinkSample, sample_links};
use schism_cluster::probe::{self};
use schism_cluster::{Ability, Cluster, Command, Db, GroundAction, LinkRule, LinkShape, User};
use schism_history::Node;
use serde_json::{Map, Value, json};

pub use classes::{BANDWIDTH, CORRUPT, DELAY, DUPLICATE, HOLD, LOSS, REORDER};

use super::cut::{address, plain};
use crate::class::Ask;
use crate::fanout;
use crate::fault::{Evidence, Fault, FaultError, Undo};
use crate::grudge::{Direction, Grudge, names};
use crate::links::{self, Excuses};
use crate::scripts;
use crate::target::Target;

/// What is done to packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// They take longer.
    Delay,
    /// Some are lost.
    Loss,
    /// Some come twice.
    Duplicate,
    /// Some overtake others.
    Reorder,
    /// Some are damaged.
    Corrupt,
    /// Only so many bits a second pass.
    Bandwidth,
    /// They are kept until the end.
    Hold,
}

impl Kind {
    fn class(self) -> &'static str {
        match self {
            Kind::Delay => DELAY.name,
            Kind::Loss => LOSS.name,
            Kind::Duplicate => DUPLICATE.name,
            Kind::Reorder => REORDER.name,
            Kind::Corrupt => CORRUPT.name,
            Kind::Bandwidth => BANDWIDTH.name,
            Kind::Hold => HOLD.name,
        }
    }
}

/// Who does it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mechanism {
    /// The ground of this name.
    Ground(&'static str),
    /// The nodes' own queues.
    Netem,
}

impl Mechanism {
    fn told(self) -> String {
        match self {
            Mechanism::Ground(name) => format!("the switch of {name}"),
            Mechanism::Netem => "traffic control on the nodes".to_owned(),
        }
    }
}

/// How often links are sampled before a fault counts as not proven.
const SAMPLE_TRIES: u32 = 2;

fn decide(ask: &Ask<'_>, kind: Kind) -> Result<Box<dyn Fault>, FaultError> {
    let (_, targets) = ask.target()?;
    let to: Target = match ask.intention.value("to") {
        Some(value) => {
            serde_json::from_value(value.clone()).map_err(|error| ask.wrong(format!("its `to`: {error}")))?
        }
        None => Target::All,
    };
    // A stream of its own, or `one` to `one` would always be the same node.
    let mut rng = schism_history::Seed(u64::from(ask.intention.draw)).stream("nemesis/choice/to");
    let others = to.choose(ask.view, &mut rng).map_err(|reason| ask.nobody(reason))?;
    let direction: Direction = match ask.intention.value("direction") {
        Some(value) => {
            serde_json::from_value(value.clone()).map_err(|error| ask.wrong(format!("its `direction`: {error}")))?
        }
        None => Direction::Both,
    };
    let shape = classes::shape(ask, kind)?;
    let rules = rules(&targets, &others, direction, &shape);
    if rules.is_empty() {
        return Err(ask.nobody(format!("there is no link between {} and {}", names(&targets), names(&others))));
    }
    let toward = match direction {
        Direction::Both => "to and from",
        Direction::In => "from",
        Direction::Out => "to",
    };
    let ends: BTreeSet<&Node> =
        rules.iter().flat_map(|rule| [&rule.from, &rule.to]).filter(|node| !targets.contains(node)).collect();
    let far = if ends.is_empty() { "each other".to_owned() } else { names(ends) };
    let label = format!("{}: {} {toward} {far}, {}", kind.class(), names(&targets), classes::told(&shape));
    let (tag, name) = (ask.tag.lease(ask.fault_id), kind);
    Ok(Box::new(Packet { kind: name, targets, rules, label, tag, mechanism: None, before: Vec::new() }))
}

/// One rule for each link in one direction, each once.
fn rules(targets: &[Node], others: &[Node], direction: Direction, shape: &LinkShape) -> Vec<LinkRule> {
    let mut links = BTreeSet::new();
    for (one, other) in targets.iter().flat_map(|one| others.iter().map(move |other| (one, other))) {
        if one != other {
            links.extend((direction != Direction::In).then(|| (one.clone(), other.clone())));
            links.extend((direction != Direction::Out).then(|| (other.clone(), one.clone())));
        }
    }
    links.into_iter().map(|(from, to)| LinkRule { from, to, shape: shape.clone() }).collect()
}

/// Links, shaped.
#[derive(Debug, Clone)]
pub struct Packet {
    kind: Kind,
    targets: Vec<Node>,
    rules: Vec<LinkRule>,
    label: String,
    /// Under which name switch and nodes know it.
    tag: String,
    mechanism: Option<Mechanism>,
    /// How the links were before.
    before: Vec<LinkSample>,
}

impl Packet {
    /// Nodes whose queues do it, with the rules of each.
    fn senders(&self) -> Vec<(Node, Vec<&LinkRule>)> {
        let from: BTreeSet<&Node> = self.rules.iter().map(|rule| &rule.from).collect();
        let of = |node: &Node| self.rules.iter().filter(|rule| rule.from == *node).collect();
        from.into_iter().map(|node| (node.clone(), of(node))).collect()
    }

    fn refused(&self, node: &Node, reason: String, hint: &str) -> FaultError {
        FaultError::Refused { class: self.kind.class().to_owned(), node: node.clone(), reason, hint: hint.to_owned() }
    }

    /// Refuses where our own login would be shaped, or somebody else uses the queue of the interface.
    async fn spare_others(&self, cluster: &Cluster) -> Result<(), FaultError> {
        let ask = Command::new(scripts::controller_address()).user(User::Login);
        let senders = self.senders();
        let commands = senders.iter().map(|(node, _)| (node.clone(), ask.clone())).collect();
        let mut queues = Vec::new();
        for ((node, output), (_, rules)) in fanout::run_all(cluster, commands).await?.into_iter().zip(&senders) {
            let controller = plain(&output.text()).ok();
            let mut to = Vec::new();
            for rule in rules {
                let other = address(self.kind.class(), cluster, &rule.to)?;
                if Some(other) == controller {
                    let reason = format!("it would shape the way to {other}, from where we are logged in");
                    return Err(self.refused(&node, reason, "Log in from a machine that is no node"));
                }
                to.push(other);
            }
            queues.push((node, Command::new(scripts::foreign_queues(&to))));
        }
        for (node, output) in fanout::run_all(cluster, queues).await? {
            if !output.text().is_empty() {
                let reason = format!("its queues are somebody else's ({})", output.text().replace('\n', "; "));
                return Err(self.refused(&node, reason, "Remove that root queue, or use a lab with a switch"));
            }
        }
        Ok(())
    }

    fn shaping(&self) -> GroundAction {
        GroundAction::ShapeLinks { tag: self.tag.clone(), links: self.rules.clone() }
    }

    /// Links that carry our shapes, as pairs.
    fn pairs(&self) -> Vec<(Node, Node)> {
        self.rules.iter().map(|rule| (rule.from.clone(), rule.to.clone())).collect()
    }

    fn shape(&self) -> LinkShape {
        self.rules.first().map(|rule| rule.shape.clone()).unwrap_or_default()
    }

    async fn sampled(&self, cluster: &Cluster) -> Result<Vec<LinkSample>, FaultError> {
        let options = judge::options(self.kind, &self.shape(), self.rules.len());
        Ok(sample_links(cluster, &self.pairs(), options).await?)
    }

    async fn measured(&self, cluster: &Cluster, healed: bool) -> Result<Evidence, FaultError> {
        let mut tries = 1;
        loop {
            let mut evidence = match self.kind {
                Kind::Hold => self.held(cluster, healed).await?,
                _ => self.judged(cluster, healed).await?,
            };
            if evidence.proven || tries >= SAMPLE_TRIES {
                evidence.measured["tries"] = json!(tries);
                evidence.measured["by"] = json!(self.mechanism.map(Mechanism::told));
                if let (Some(Mechanism::Ground(_)), false) = (self.mechanism, healed) {
                    // The same rules once more change nothing, and are answered by what happened since they were set.
                    evidence.measured["switch"] = cluster.ground.act(&self.shaping()).await?;
                }
                return Ok(evidence);
            }
            tries += 1;
            tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        }
    }

    async fn judged(&self, cluster: &Cluster, healed: bool) -> Result<Evidence, FaultError> {
        let samples = self.sampled(cluster).await?;
        let ask = judge::Question { kind: self.kind, rules: &self.rules, before: &self.before, healed };
        let evidence = judge::judge(&ask, &samples, &Excuses::new());
        if evidence.proven {
            return Ok(evidence);
        }
        Ok(judge::judge(&ask, &samples, &links::other_harm(cluster, &[&self.tag]).await))
    }

    /// What is held arrives nowhere, and everything else does.
    async fn held(&self, cluster: &Cluster, healed: bool) -> Result<Evidence, FaultError> {
        let mut drops = std::collections::BTreeMap::<Node, BTreeSet<Node>>::new();
        for (from, to) in self.pairs().into_iter().filter(|_| !healed) {
            drops.entry(to).or_default().insert(from);
        }
        let expected = Grudge::from_drops(drops);
        let counts = probe::reachability(cluster, &probe::all_pairs(cluster)).await?;
        let evidence = links::judge_links(&expected, &counts);
        if evidence.proven {
            return Ok(evidence);
        }
        Ok(links::judge(&expected, false, &counts, &links::other_harm(cluster, &[&self.tag]).await))
    }

    async fn leftover(&self, cluster: &Cluster) -> Result<Vec<String>, FaultError> {
        if self.mechanism != Some(Mechanism::Netem) {
            return Ok(Vec::new());
        }
        let script = scripts::netem_leftover(&self.tag);
        let commands = self.senders().into_iter().map(|(node, _)| (node, Command::new(&script))).collect();
        let answers = fanout::run_all(cluster, commands).await?;
        let found = answers.into_iter().map(|(node, output)| (node, output.text()));
        Ok(found.filter(|(_, text)| !text.is_empty()).map(|(node, text)| format!("{node}: {text}")).collect())
    }
}

#[async_trait]
impl Fault for Packet {
    fn class(&self) -> &'static str {
        self.kind.class()
    }

    fn label(&self) -> String {
        match self.mechanism {
            Some(mechanism) => format!("{} (by {})", self.label, mechanism.told()),
            None => self.label.clone(),
        }
    }

    fn nodes(&self) -> Vec<Node> {
        self.targets.clone()
    }

    fn details(&self) -> Map<String, Value> {
        let mut details = Map::from_iter([
            ("links".to_owned(), json!(self.pairs())),
            ("shape".to_owned(), json!(self.shape())),
            ("by".to_owned(), json!(self.mechanism.map(Mechanism::told))),
        ]);
        if !self.before.is_empty() {
            details.insert("before".to_owned(), json!(self.before));
        }
        details
    }

    async fn prepare(&mut self, cluster: &Cluster, _db: &dyn Db) -> Result<Vec<Undo>, FaultError> {
        for (node, _) in self.senders() {
            fanout::handle(cluster, &node)?;
        }
        let undo = match cluster.ground.can(Ability::Links).await {
            Ok(()) => {
                self.mechanism = Some(Mechanism::Ground(cluster.ground.name()));
                vec![Undo::OnGround { action: GroundAction::ClearLinks { tag: self.tag.clone() } }]
            }
            Err(error) if self.kind == Kind::Hold => return Err(error.into()),
            Err(_) => {
                self.spare_others(cluster).await?;
                self.mechanism = Some(Mechanism::Netem);
                let script = scripts::netem_undo(&self.tag);
                let undo = |(node, _)| Undo::OnNode { node, script: script.clone() };
                self.senders().into_iter().map(undo).collect()
            }
        };
        if self.kind == Kind::Delay {
            self.before = self.sampled(cluster).await?;
        }
        Ok(undo)
    }

    async fn inject(&self, cluster: &Cluster, _db: &dyn Db) -> Result<(), FaultError> {
        if matches!(self.mechanism, Some(Mechanism::Ground(_))) {
            cluster.ground.act(&self.shaping()).await?;
            return Ok(());
        }
        let mut commands = Vec::new();
        for (node, rules) in self.senders() {
            let mut lines = String::new();
            for rule in rules {
                lines += &scripts::shape_line(address(self.kind.class(), cluster, &rule.to)?, &rule.shape);
            }
            commands.push((node, Command::new(scripts::netem_apply(&self.tag)).stdin(lines)));
        }
        fanout::run_all(cluster, commands).await?;
        Ok(())
    }

    async fn verify_injected(&self, cluster: &Cluster, _db: &dyn Db) -> Result<Evidence, FaultError> {
        self.measured(cluster, false).await
    }

    async fn verify_healed(&self, cluster: &Cluster, _db: &dyn Db) -> Result<Evidence, FaultError> {
        let leftover = self.leftover(cluster).await?;
        let mut evidence = self.measured(cluster, true).await?;
        if !leftover.is_empty() {
            evidence.proven = false;
            evidence.measured["leftover"] = json!(leftover);
        }
        Ok(evidence)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::class::FAULTS;
    use crate::{Intention, RunTag, View};
    use schism_history::Value as OpValue;

    fn decided(class: &str, json: &str) -> Result<Box<dyn Fault>, String> {
        let value = OpValue::from_json(&serde_json::from_str(json).unwrap());
        let nodes = (1..=4).map(|number| Node::new(&format!("n{number}"))).collect();
        let view = View { nodes, primaries: vec![Node::new("n3")], ..View::default() };
        let intention = Intention::from_value(class, &value).map_err(|error| error.to_string())?;
        assert!(!intention.label().is_empty());
        intention.decide(&view, &RunTag::new("t"), 1).map_err(|error| error.to_string())
    }

    #[test]
    fn intentions_become_links_and_labels() {
        /// Label, and number of links; or part of the error.
        type Expected = Result<(&'static str, usize), &'static str>;
        let cases: &[(&str, &str, Expected)] = &[
            (
                "delay",
                r#"{"target":["n1"],"delay_ms":100,"jitter_ms":10,"distribution":"normal","duration_ms":1}"#,
                Ok(("delay: n1 to and from n2 n3 n4, 100ms ± 10ms later (normal)", 6)),
            ),
            (
                "loss",
                r#"{"target":"primaries","direction":"out","loss_ppm":50000,"correlation_ppm":250000,"duration_ms":1}"#,
                Ok(("loss: n3 to n1 n2 n4, 5% lost (correlation 25%)", 3)),
            ),
            (
                "hold",
                r#"{"target":["n1"],"to":"primaries","direction":"in","duration_ms":1}"#,
                Ok(("hold: n1 from n3, held", 1)),
            ),
            (
                "bandwidth",
                r#"{"target":"all","rate_bits_per_s":256000,"duration_ms":1}"#,
                Ok(("bandwidth: n1 n2 n3 n4 to and from each other, at most 256kbit a second", 12)),
            ),
            (
                "reorder",
                r#"{"target":["n1","n2"],"to":["n1"],"reorder_ppm":250000,"delay_ms":20,"duration_ms":1}"#,
                Ok(("reorder: n1 n2 to and from each other, 25% overtake what waits 20ms", 2)),
            ),
            ("corrupt", r#"{"target":["n1"],"to":["n1"],"corrupt_ppm":1,"duration_ms":1}"#, Err("there is no link")),
            ("duplicate", r#"{"target":["n1"],"duplicate_ppm":0,"duration_ms":1}"#, Err("no harm at all")),
            ("loss", r#"{"target":["n1"],"loss_ppm":1000001,"duration_ms":1}"#, Err("more than a whole")),
            ("delay", r#"{"target":["n1"],"duration_ms":1}"#, Err("no `delay_ms`")),
        ];
        for (class, json, expected) in cases {
            match (decided(class, json), expected) {
                (Ok(fault), Ok((label, links))) => {
                    assert_eq!(fault.label(), *label);
                    assert_eq!(fault.details()["links"].as_array().unwrap().len(), *links, "{label}");
                }
                (Err(found), Err(expected)) => assert!(found.contains(expected), "{json}: {found}"),
                (found, _) => panic!("{json}: {:?}", found.map(|fault| fault.label())),
            }
        }
    }

    #[test]
    fn every_class_has_its_line() {
        for kind in
            [Kind::Delay, Kind::Loss, Kind::Duplicate, Kind::Reorder, Kind::Corrupt, Kind::Bandwidth, Kind::Hold]
        {
            assert!(FAULTS.iter().any(|entry| entry.name == kind.class()), "{kind:?}");
        }
    }
}
