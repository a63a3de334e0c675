//! Judges whether links are cut as a grudge says, from numbered datagrams that were counted where they arrive: a cut of
//! one way must be seen to cut one way and to pass the other.

use std::collections::BTreeMap;

use schism_cluster::probe::PairCount;
use schism_cluster::{Cluster, Command, GroundAction};
use schism_history::Node;
use serde_json::json;

use crate::fanout;
use crate::fault::Evidence;
use crate::grudge::Grudge;
use crate::scripts;

/// Nodes at which something else harms links too, and what: of their links nothing but our own harm can be judged.
pub type Excuses = BTreeMap<Node, String>;

/// Judges counts against a grudge: every pair that is cut must have received nothing though something was sent, every
/// other pair must have received something. A pair of which nothing can be said proves nothing.
pub fn judge_links(grudge: &Grudge, counts: &[PairCount]) -> Evidence {
    judge(grudge, false, counts, &Excuses::new())
}

/// As [`judge_links`], where a cut that comes and goes (`flapping`) lets part pass, and where a link that is dead though
/// we do not cut it is excused if another fault is at work on either end. What we cut must be seen to be cut, and no
/// cut is proven by excuses alone.
pub fn judge(grudge: &Grudge, flapping: bool, counts: &[PairCount], excuses: &Excuses) -> Evidence {
    let (mut rows, mut wrong, mut judged) = (Vec::new(), Vec::new(), 0);
    for PairCount { from, to, sent, refused, received, problem } in counts {
        let cut = grudge.is_cut(from, to);
        let excuse = [from, to].into_iter().find_map(|end| excuses.get(end));
        let gone = sent.saturating_sub(*refused);
        let trouble = match (problem, cut, gone, received) {
            (Some(problem), ..) => Some(format!("{from} to {to} could not be probed: {problem}")),
            (None, _, 0, _) => Some(format!("{from} sent nothing to {to}")),
            (None, true, _, got) if flapping && *got > 0 && u64::from(*got) * 10 <= u64::from(gone) * 9 => None,
            (None, true, _, 0) if flapping => Some(format!("{from} never reaches {to}, though that link flaps")),
            (None, true, _, 1..) => Some(format!("{from} still reaches {to}")),
            (None, false, _, 0) => Some(format!("{from} does not reach {to}, though nothing cuts them")),
            _ => None,
        };
        let mut row = json!({ "from": from, "to": to, "sent": sent, "received": received, "cut": cut });
        match (trouble, excuse) {
            (None, _) => judged += usize::from(cut || grudge.is_empty()),
            (Some(_), Some(excuse)) if *received == 0 => row["excused"] = json!(excuse),
            (Some(trouble), _) => wrong.push(trouble),
        }
        rows.push(row);
    }
    // That nothing is cut any more may rest on the rules being gone alone, where all else is harmed by others.
    let enough = judged > 0 || (grudge.is_empty() && !excuses.is_empty());
    let mut measured = json!({ "probes": rows });
    if !wrong.is_empty() {
        measured["wrong"] = json!(wrong);
    }
    Evidence { proven: wrong.is_empty() && !counts.is_empty() && enough, measured }
}

/// What else harms links now: packet filters and packet shapes of schism on the nodes, nodes that do not answer, and what
/// the ground has been told; `own` are the names that are ours.
pub async fn other_harm(cluster: &Cluster, own: &[&str]) -> Excuses {
    let script = format!("{}{}", scripts::all_filters(), scripts::all_shapes());
    let commands = cluster.names().into_iter().map(|node| (node, Command::new(&script))).collect();
    let mut excuses = Excuses::new();
    for (node, answer) in fanout::run_each(cluster, commands).await {
        match answer {
            Err(_) => {
                excuses.insert(node, "it does not answer".to_owned());
            }
            Ok(output) => {
                let text = output.text();
                let others: Vec<&str> = text.lines().filter(|line| !own.contains(line)).collect();
                if !others.is_empty() {
                    excuses.insert(node, format!("also harmed by {}", others.join(", ")));
                }
            }
        }
    }
    for (lease, _) in cluster.ground.leases().await.unwrap_or_default() {
        for action in &lease.undo {
            let told = format!("also harmed by {} of the ground ({})", lease.class, lease.name);
            match action {
                GroundAction::ClearLinks { tag } if !own.contains(&tag.as_str()) => {
                    excuses.extend(cluster.names().into_iter().map(|node| (node, told.clone())));
                }
                GroundAction::PowerOn { node } | GroundAction::Thaw { node } => {
                    excuses.insert(node.clone(), told);
                }
                _ => {}
            }
        }
    }
    excuses
}

#[cfg(test)]
mod tests {
    use super::*;
    use schism_history::Node;
    use std::collections::BTreeSet;

    #[test]
    fn a_cut_is_proven_only_when_it_cuts_what_it_should_and_passes_the_rest() {
        let nodes = [Node::new("a"), Node::new("b"), Node::new("c")];
        // a drops what b sends: one way.
        let grudge = Grudge::from_drops([(nodes[0].clone(), BTreeSet::from([nodes[1].clone()]))].into());
        let pairs = [(0, 1), (0, 2), (1, 0), (1, 2), (2, 0), (2, 1)];
        // Sent, refused, received of each pair.
        type Counts = [(u32, u32, u32); 6];
        const GOOD: (u32, u32, u32) = (9, 0, 9);
        let cases: &[(Counts, Option<&str>)] = &[
            ([GOOD, GOOD, (9, 0, 0), (9, 8, 1), GOOD, GOOD], None),
            ([GOOD, GOOD, (9, 0, 1), GOOD, GOOD, GOOD], Some("b still reaches a")),
            ([(9, 0, 0), GOOD, (9, 0, 0), GOOD, GOOD, GOOD], Some("a does not reach b, though nothing cuts them")),
            ([GOOD, GOOD, (0, 0, 0), GOOD, GOOD, GOOD], Some("b sent nothing to a")),
            ([GOOD, GOOD, (9, 9, 0), GOOD, GOOD, GOOD], Some("b sent nothing to a")),
        ];
        for (counts, wrong) in cases {
            let count = |((from, to), (sent, refused, received)): (&(usize, usize), &(u32, u32, u32))| PairCount {
                from: nodes[*from].clone(),
                to: nodes[*to].clone(),
                sent: *sent,
                refused: *refused,
                received: *received,
                problem: None,
            };
            let mut counts: Vec<PairCount> = pairs.iter().zip(counts).map(count).collect();
            let evidence = judge_links(&grudge, &counts);
            assert_eq!(evidence.proven, wrong.is_none(), "{counts:?}");
            assert_eq!(evidence.measured["wrong"][0].as_str(), *wrong);
            assert_eq!(evidence.measured["probes"].as_array().unwrap().len(), 6);
            counts[5].problem = Some("no answer".to_owned());
            let part = judge_links(&grudge, &counts);
            assert!(!part.proven);
            assert!(part.measured["wrong"].to_string().contains("c to b could not be probed: no answer"));
        }
        assert!(!judge_links(&grudge, &[]).proven);
    }

    fn count(from: &str, to: &str, sent: u32, received: u32) -> PairCount {
        PairCount { from: Node::new(from), to: Node::new(to), sent, refused: 0, received, problem: None }
    }

    #[test]
    fn what_flaps_passes_in_part() {
        let grudge = crate::grudge::parse_links("a>b").unwrap();
        for (received, proven) in [(0, false), (1, true), (50, true), (90, true), (91, false), (100, false)] {
            let counts = [count("a", "b", 100, received), count("b", "a", 100, 100)];
            assert_eq!(judge(&grudge, true, &counts, &Excuses::new()).proven, proven, "{received}");
        }
    }

    #[test]
    fn another_fault_excuses_dead_links_and_never_a_cut_that_is_none() {
        let grudge = crate::grudge::parse_links("a>b").unwrap();
        let excuses = Excuses::from([(Node::new("c"), "also harmed by schism_t_4".to_owned())]);
        let dead = count("c", "a", 9, 0);
        let cut = count("a", "b", 9, 0);
        assert!(!judge(&grudge, false, &[cut.clone(), dead.clone()], &Excuses::new()).proven);
        let evidence = judge(&grudge, false, &[cut, dead.clone()], &excuses);
        assert!(evidence.proven, "{evidence:?}");
        assert_eq!(evidence.measured["probes"][1]["excused"], "also harmed by schism_t_4");
        assert!(!judge(&grudge, false, &[count("a", "b", 9, 1), dead.clone()], &excuses).proven);
        assert!(!judge(&grudge, false, std::slice::from_ref(&dead), &excuses).proven, "excuses alone prove no cut");
        assert!(judge(&Grudge::default(), false, &[dead], &excuses).proven);
    }
}
