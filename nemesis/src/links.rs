//! Judges whether links are cut as a grudge says, from numbered datagrams that were counted where they arrive: a cut of
//! one way must be seen to cut one way and to pass the other.

use schism_cluster::probe::PairCount;
use serde_json::json;

use crate::fault::Evidence;
use crate::grudge::Grudge;

/// Judges counts against a grudge: every pair that is cut must have received nothing though something was sent, every
/// other pair must have received something. A pair of which nothing can be said proves nothing.
pub fn judge_links(grudge: &Grudge, counts: &[PairCount]) -> Evidence {
    let mut rows = Vec::new();
    let mut wrong = Vec::new();
    for PairCount { from, to, sent, refused, received, problem } in counts {
        let cut = grudge.is_cut(from, to);
        match (problem, cut, sent.saturating_sub(*refused), received) {
            (Some(problem), ..) => wrong.push(format!("{from} to {to} could not be probed: {problem}")),
            (None, _, 0, _) => wrong.push(format!("{from} sent nothing to {to}")),
            (None, true, _, 1..) => wrong.push(format!("{from} still reaches {to}")),
            (None, false, _, 0) => wrong.push(format!("{from} does not reach {to}, though nothing cuts them")),
            _ => {}
        }
        rows.push(json!({ "from": from, "to": to, "sent": sent, "received": received, "cut": cut }));
    }
    let mut measured = json!({ "probes": rows });
    if !wrong.is_empty() {
        measured["wrong"] = json!(wrong);
    }
    Evidence { proven: wrong.is_empty() && !counts.is_empty(), measured }
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
}
