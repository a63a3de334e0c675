//! The stretches of a schedule in phases: when each was planned, and what was harmed in it.

use maud::{Markup, html};
use schism_history::FaultWindow;

use super::Page;
use super::tables::{head, table};
use crate::PlannedPhase;
use crate::words;

/// Stretches that are listed.
const STRETCHES_MAX: usize = 200;

const MS_NS: u64 = 1_000_000;

/// Faults that were seen to take effect and were on in a stretch, by class.
fn harm(phase: &PlannedPhase, faults: &[FaultWindow]) -> Vec<String> {
    let (start_ns, end_ns) = (phase.start_ms.saturating_mul(MS_NS), phase.end_ms.saturating_mul(MS_NS));
    let mut classes: Vec<(&str, u64)> = Vec::new();
    for fault in faults {
        let Some(landed_ns) = fault.landed_ns else { continue };
        if landed_ns >= end_ns || fault.healed_ns.is_some_and(|healed_ns| healed_ns <= start_ns) {
            continue;
        }
        match classes.iter_mut().find(|(class, _)| *class == fault.class) {
            Some((_, count)) => *count += 1,
            None => classes.push((&fault.class, 1)),
        }
    }
    classes.into_iter().map(|(class, count)| format!("{class} ×{count}")).collect()
}

/// The table; nothing for another schedule.
pub(super) fn section(page: &Page<'_>) -> Markup {
    let phases = &page.story.info.phases;
    if phases.is_empty() {
        return html! {};
    }
    html! {
        section id="phases" {
            h2 { "Phases" }
            p class="dim" {
                "When each was planned, and which faults were seen to be on in it. A fault whose heal took long is on in the next, too."
            }
            (table("Phases of the schedule", html! {
                (head(&["Phase", "#From", "#To", "Planned", "Seen to be on"]))
                tbody {
                    @for phase in phases.iter().take(STRETCHES_MAX) {
                        tr {
                            th scope="row" { (words::cut(&phase.name, 60)) }
                            td class="number" { (words::moment(phase.start_ms.saturating_mul(MS_NS), 1)) }
                            td class="number" { (words::moment(phase.end_ms.saturating_mul(MS_NS), 1)) }
                            td { @if phase.quiet { "quiet" } @else { "faults" } }
                            td { (words::cut(&harm(phase, &page.story.facts.faults).join(", "), 300)) }
                        }
                    }
                }
            }))
            @if phases.len() > STRETCHES_MAX { p { "The first " (STRETCHES_MAX) " of " (phases.len()) " are listed." } }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn a_fault_is_on_in_every_stretch_that_it_reaches_into() {
        let fault = |class: &str, landed_ms: Option<u64>, healed_ms: Option<u64>| FaultWindow {
            fault_id: 1,
            class: class.to_owned(),
            label: String::new(),
            nodes: Vec::new(),
            roles: BTreeMap::new(),
            start_ns: 0,
            landed_ns: landed_ms.map(|ms| ms * MS_NS),
            heal_start_ns: None,
            healed_ns: healed_ms.map(|ms| ms * MS_NS),
            evidence: Vec::new(),
        };
        let faults = [
            fault("kill", Some(1_000), Some(2_000)),
            fault("kill", Some(1_500), Some(12_000)),
            fault("pause", Some(10_000), None),
            fault("dns", None, None),
        ];
        let phase = |start_ms, end_ms| PlannedPhase { name: "x".to_owned(), quiet: false, start_ms, end_ms };
        let cases: &[(PlannedPhase, &[&str])] = &[
            (phase(0, 1_000), &[]),
            (phase(0, 10_000), &["kill ×2"]),
            (phase(10_000, 20_000), &["kill ×1", "pause ×1"]),
            (phase(12_000, 20_000), &["pause ×1"]),
        ];
        for (phase, expected) in cases {
            assert_eq!(harm(phase, &faults), *expected, "{phase:?}");
        }
    }
}
