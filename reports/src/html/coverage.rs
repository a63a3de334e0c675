//! Which classes of fault hit nodes in which role: what was tested, and what was not.

use std::collections::BTreeMap;

use maud::{Markup, html};
use schism_history::RunFacts;

use super::Page;
use super::tables::{head, table};

/// How often a class hit nodes in a role.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Hits {
    /// Faults that were seen to take effect.
    landed: u32,
    /// Faults that were not.
    unproven: u32,
}

/// For each class that was asked for or came, and each role that a node was seen in, how often it was hit; columns first.
///
/// A node's role is what the database said when the fault was chosen: `leader`, a role that the suite names, `follower` where
/// leaders are known and it is none, `unknown` where nobody was known to lead.
pub(super) fn coverage(facts: &RunFacts) -> (Vec<String>, BTreeMap<String, Vec<Hits>>) {
    let mut hits: BTreeMap<String, BTreeMap<String, Hits>> =
        facts.fault_classes_asked.iter().map(|class| (class.clone(), BTreeMap::new())).collect();
    for fault in &facts.faults {
        let mut roles: Vec<&str> = Vec::new();
        for node in &fault.nodes {
            let played = fault.roles.iter().filter(|(_, nodes)| nodes.contains(node)).map(|(role, _)| role.as_str());
            let before = roles.len();
            roles.extend(played);
            if roles.len() == before {
                roles.push(if fault.roles.contains_key("leader") { "follower" } else { "unknown" });
            }
        }
        roles.sort_unstable();
        roles.dedup();
        let class = hits.entry(fault.class.clone()).or_default();
        for role in roles {
            let one = class.entry(role.to_owned()).or_default();
            if fault.landed_ns.is_some() { one.landed += 1 } else { one.unproven += 1 }
        }
    }
    let mut columns: Vec<String> = hits.values().flat_map(BTreeMap::keys).cloned().collect();
    let place = |role: &str| match role {
        "leader" => 0,
        "follower" => 1,
        "unknown" => 3,
        _ => 2,
    };
    columns.sort_by(|a, b| (place(a), a).cmp(&(place(b), b)));
    columns.dedup();
    let row = |roles: BTreeMap<String, Hits>| -> Vec<Hits> {
        columns.iter().map(|role| roles.get(role).copied().unwrap_or_default()).collect()
    };
    let rows = hits.into_iter().map(|(class, roles)| (class, row(roles))).collect();
    (columns, rows)
}

/// Whether there is anything to tell.
pub(super) fn is_told(page: &Page<'_>) -> bool {
    has_roles(&coverage(page.story.facts).0) || !page.story.info.left_out.is_empty()
}

fn has_roles(columns: &[String]) -> bool {
    columns.iter().any(|role| role != "unknown")
}

/// The table, where a fault has a node in a known role, and what could not be done there; nothing where there is neither.
pub(super) fn section(page: &Page<'_>) -> Markup {
    let (columns, rows) = coverage(page.story.facts);
    if !is_told(page) {
        return html! {};
    }
    let titles: Vec<String> = columns.iter().map(|role| format!("#{role}")).collect();
    let titles: Vec<&str> = std::iter::once("Class").chain(titles.iter().map(String::as_str)).collect();
    html! {
        section id="coverage" {
            h2 { "Coverage" }
            @if has_roles(&columns) {
                p class="dim" {
                    "How often faults of each class were seen to hit a node in each role. An empty field was not tested in this run."
                }
                (table("Faults by class and role of the node", html! {
                    (head(&titles))
                    tbody {
                        @for (class, hits) in &rows {
                            tr {
                                th scope="row" { (class) }
                                @for hit in hits {
                                    td class="number" {
                                        @if hit.landed > 0 { (hit.landed) }
                                        @if hit.unproven > 0 { span class="dim" { " +" (hit.unproven) " unproven" } }
                                    }
                                }
                            }
                        }
                    }
                }))
            }
            @if !page.story.info.left_out.is_empty() {
                p { "Left out, as they cannot be done there:" }
                ul {
                    @for (class, reason) in &page.story.info.left_out {
                        li { code { (class) } ": " (reason) }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use schism_history::{FaultWindow, Node};

    fn fault(class: &str, nodes: &[&str], leaders: &[&str], landed: bool) -> FaultWindow {
        let nodes_of = |names: &[&str]| names.iter().map(|name| Node::new(name)).collect::<Vec<_>>();
        let leader = Some(nodes_of(leaders)).filter(|leaders| !leaders.is_empty());
        FaultWindow {
            fault_id: 1,
            class: class.to_owned(),
            label: String::new(),
            nodes: nodes_of(nodes),
            roles: leader.into_iter().map(|leaders| ("leader".to_owned(), leaders)).collect(),
            start_ns: 0,
            landed_ns: landed.then_some(1),
            heal_start_ns: None,
            healed_ns: None,
            evidence: Vec::new(),
        }
    }

    #[test]
    fn faults_are_counted_once_for_each_role_that_they_hit() {
        let facts = RunFacts {
            fault_classes_asked: vec!["kill".to_owned(), "pause".to_owned()],
            faults: vec![
                fault("kill", &["n1"], &["n1"], true),
                fault("kill", &["n1", "n2", "n3"], &["n1"], true),
                fault("kill", &["n2"], &["n1"], false),
                fault("partition", &["n2"], &[], true),
            ],
            ..RunFacts::default()
        };
        let (columns, rows) = coverage(&facts);
        assert_eq!(columns, ["leader", "follower", "unknown"]);
        let hits = |landed, unproven| Hits { landed, unproven };
        assert_eq!(rows["kill"], [hits(2, 0), hits(1, 1), hits(0, 0)]);
        assert_eq!(rows["pause"], [hits(0, 0); 3], "what was asked for and never came has its row");
        assert_eq!(rows["partition"], [hits(0, 0), hits(0, 0), hits(1, 0)]);
    }
}
