//! Whose rules there are: tags, and what they say together of each link.

use std::collections::{BTreeMap, BTreeSet};

use schism_cluster::link::{LinkRule, LinkShape};
use serde::Serialize;

use super::engine::{Counters, Engine, Out};
use super::shape;

/// The rules of all tags, and the engine that follows them.
pub(crate) struct Rules {
    nodes: Vec<String>,
    tags: BTreeMap<String, Tagged>,
    pub(crate) engine: Engine,
}

/// A link in one direction: from which node to which, by their places.
pub(crate) type Ends = (usize, usize);

/// The rules of a tag, and what had happened on their links before.
#[derive(Default)]
struct Tagged {
    rules: Vec<(Ends, LinkShape)>,
    before: Vec<(Ends, Counters)>,
}

/// What the switch answers: what happened on each link that the rules of the tag name, since they are there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Happened {
    links: Vec<OnLink>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct OnLink {
    from: String,
    to: String,
    #[serde(flatten)]
    counters: Counters,
}

impl Rules {
    pub(crate) fn new(nodes: &[String], engine: Engine) -> Rules {
        Rules { nodes: nodes.to_vec(), tags: BTreeMap::new(), engine }
    }

    /// Puts these in the place of the tag's rules; says what happened under those that are replaced. The same rules
    /// again change nothing, and say what happened so far.
    ///
    /// # Errors
    /// The first rule that cannot be; nothing is changed then.
    pub(crate) fn set(
        &mut self,
        now_ns: u64,
        tag: &str,
        links: &[LinkRule],
        out: &mut Out<'_>,
    ) -> Result<Happened, String> {
        let rules = links.iter().map(|rule| self.read(rule)).collect::<Result<Vec<_>, _>>()?;
        if self.tags.get(tag).is_some_and(|tagged| tagged.rules == rules) {
            return Ok(self.happened(tag));
        }
        Ok(self.replace(now_ns, tag, rules, out))
    }

    /// Takes away the rules of a tag, if there are any; what was held passes. Says what happened under them.
    pub(crate) fn clear(&mut self, now_ns: u64, tag: &str, out: &mut Out<'_>) -> Happened {
        self.replace(now_ns, tag, Vec::new(), out)
    }

    fn read(&self, rule: &LinkRule) -> Result<(Ends, LinkShape), String> {
        let place = |name: &str| {
            self.nodes.iter().position(|node| node == name).ok_or_else(|| {
                format!(
                    "the lab has no node `{name}`, but {} (the controller's link is never shaped)",
                    self.nodes.join(", ")
                )
            })
        };
        let (from, to) = (place(rule.from.as_str())?, place(rule.to.as_str())?);
        let said = format!("the rule from {} to {}", rule.from, rule.to);
        if from == to {
            return Err(format!("{said}: a node has no link to itself"));
        }
        shape::check(&rule.shape).map_err(|error| format!("{said}: {error}"))?;
        Ok(((from, to), rule.shape.clone()))
    }

    fn replace(&mut self, now_ns: u64, tag: &str, rules: Vec<(Ends, LinkShape)>, out: &mut Out<'_>) -> Happened {
        let old = self.tags.remove(tag).unwrap_or_default();
        let ends: BTreeSet<Ends> = old.rules.iter().chain(&rules).map(|(ends, _)| *ends).collect();
        if !rules.is_empty() {
            // Before the change: what a new cut drops of what waits there belongs to it.
            let named: BTreeSet<Ends> = rules.iter().map(|(ends, _)| *ends).collect();
            let before = named.into_iter().map(|ends| (ends, self.engine.counters(ends))).collect();
            self.tags.insert(tag.to_owned(), Tagged { rules, before });
        }
        for ends in ends {
            let named = self.tags.values().flat_map(|tagged| &tagged.rules).filter(|(its, _)| *its == ends);
            let all = named.fold(LinkShape::default(), |all, (_, one)| shape::add(&all, one));
            self.engine.set(now_ns, ends, all, out);
        }
        // After the change: what was released belongs to the rules that held it.
        self.since(&old.before)
    }

    fn happened(&self, tag: &str) -> Happened {
        self.tags.get(tag).map_or(Happened { links: Vec::new() }, |tagged| self.since(&tagged.before))
    }

    fn since(&self, before: &[(Ends, Counters)]) -> Happened {
        let name = |at: usize| self.nodes.get(at).cloned().unwrap_or_default();
        let on = |(ends, before): &(Ends, Counters)| OnLink {
            from: name(ends.0),
            to: name(ends.1),
            counters: self.engine.counters(*ends).since(before),
        };
        Happened { links: before.iter().map(on).collect() }
    }
}
