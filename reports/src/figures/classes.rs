//! What clients got while each class of fault was on.

use schism_history::{FaultWindow, Kind, RunFacts};

use super::{Latency, Outcomes, Sample};

/// A fault window as it is drawn and counted.
#[derive(Debug, Clone, PartialEq)]
pub struct Window {
    /// Place in [`RunFacts::faults`].
    pub fault: usize,
    /// Its class.
    pub class: String,
    /// Its label.
    pub label: String,
    /// Its number in the history and the ledger.
    pub fault_id: u32,
    /// When it began.
    pub start_ns: u64,
    /// When it was proven gone, or else when its healing began, or else the end of the run.
    pub end_ns: u64,
    /// Whether it was seen to take effect.
    pub landed: bool,
    /// From when to when it was surely on: from its proof to the beginning of its healing. Empty if it never landed.
    pub on_ns: (u64, u64),
}

impl Window {
    /// All windows of a run in order of their beginning. A fault that was never healed lasts to `end_ns`.
    pub(super) fn all(facts: &RunFacts, end_ns: u64) -> Vec<Window> {
        let mut windows: Vec<Window> =
            facts.faults.iter().enumerate().map(|(place, fault)| Window::of(place, fault, end_ns)).collect();
        windows.sort_by_key(|window| (window.start_ns, window.fault_id));
        windows
    }

    fn of(place: usize, fault: &FaultWindow, end_ns: u64) -> Window {
        let end = fault.healed_ns.or(fault.heal_start_ns).unwrap_or(end_ns).max(fault.start_ns);
        let on = fault.landed_ns.map_or((end, end), |landed| (landed, fault.heal_start_ns.unwrap_or(end).max(landed)));
        Window {
            fault: place,
            class: fault.class.clone(),
            label: fault.label.clone(),
            fault_id: fault.fault_id,
            start_ns: fault.start_ns,
            end_ns: end,
            landed: fault.landed_ns.is_some(),
            on_ns: on,
        }
    }
}

/// Figures of one class of fault, or of the time without any.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ClassFigures {
    /// Its name; empty for the time without faults.
    pub class: String,
    /// How often it was to be injected, failed injections included.
    pub tried: u64,
    /// How often it was seen to take effect.
    pub landed: u64,
    /// How often, of those that took effect, it was seen to be gone again.
    pub healed: u64,
    /// How long it was on, overlaps counted once.
    pub on_ns: u64,
    /// How the calls ended that were invoked while it was on.
    pub outcomes: Outcomes,
    /// Latency of those that ended `ok`.
    pub latency: Latency,
    /// The longest stretch, within the time it was on, in which no call ended `ok`.
    pub longest_without_ok_ns: u64,
    /// Of faults that were seen to take effect: the longest time from the proof that it was gone to the next `ok`;
    /// `None` if there was none to measure.
    pub recovery_max_ns: Option<u64>,
}

/// Merges intervals; sorted and disjoint afterwards, empty ones dropped.
fn merged(mut intervals: Vec<(u64, u64)>) -> Vec<(u64, u64)> {
    intervals.retain(|(start, end)| start < end);
    intervals.sort_unstable();
    let mut out: Vec<(u64, u64)> = Vec::with_capacity(intervals.len());
    for (start, end) in intervals {
        match out.last_mut() {
            Some(last) if start <= last.1 => last.1 = last.1.max(end),
            _ => out.push((start, end)),
        }
    }
    out
}

/// What is left of `from..to` outside of disjoint sorted intervals.
fn outside(intervals: &[(u64, u64)], from: u64, to: u64) -> Vec<(u64, u64)> {
    let mut out = Vec::new();
    let mut at = from;
    for &(start, end) in intervals {
        if start > at {
            out.push((at, start.min(to)));
        }
        at = at.max(end);
    }
    out.push((at, to));
    merged(out)
}

fn contains(intervals: &[(u64, u64)], moment: u64) -> bool {
    let next = intervals.partition_point(|&(start, _)| start <= moment);
    next.checked_sub(1).is_some_and(|place| moment < intervals[place].1)
}

fn longest_without(ok_ends: &[u64], intervals: &[(u64, u64)]) -> u64 {
    let mut longest = 0;
    for &(start, end) in intervals {
        let mut last = start;
        let from = ok_ends.partition_point(|&moment| moment < start);
        for &moment in ok_ends[from..].iter().take_while(|&&moment| moment < end) {
            longest = longest.max(moment - last);
            last = moment;
        }
        longest = longest.max(end - last);
    }
    longest
}

/// The quiet time and every class that was asked for or happened.
pub(super) fn measure(
    samples: &[Sample],
    windows: &[Window],
    facts: &RunFacts,
    first_ns: u64,
    last_ns: u64,
) -> (ClassFigures, Vec<ClassFigures>) {
    let mut ok_ends: Vec<u64> =
        samples.iter().filter(|sample| sample.outcome == Kind::Ok).filter_map(|sample| sample.ended_ns).collect();
    ok_ends.sort_unstable();
    let harmed = merged(windows.iter().map(|window| (window.start_ns, window.end_ns)).collect());
    let quiet = during(String::new(), &outside(&harmed, first_ns, last_ns.saturating_add(1)), samples, &ok_ends);

    let mut names: Vec<&String> =
        facts.fault_classes_asked.iter().chain(windows.iter().map(|window| &window.class)).collect();
    names.sort_unstable();
    names.dedup();
    let classes = names.into_iter().map(|name| {
        let own = || windows.iter().filter(|window| window.class == *name);
        let mut figures = during(name.clone(), &merged(own().map(|window| window.on_ns).collect()), samples, &ok_ends);
        let faults = || own().map(|window| &facts.faults[window.fault]);
        let proven = || faults().filter(|fault| fault.landed_ns.is_some());
        figures.tried = own().count() as u64;
        figures.landed = proven().count() as u64;
        figures.healed = proven().filter(|fault| fault.healed_ns.is_some()).count() as u64;
        let recovery = |healed: u64| ok_ends.get(ok_ends.partition_point(|&end| end < healed)).map(|end| end - healed);
        figures.recovery_max_ns = proven().filter_map(|fault| fault.healed_ns.and_then(recovery)).max();
        figures
    });
    (quiet, classes.collect())
}

fn during(class: String, intervals: &[(u64, u64)], samples: &[Sample], ok_ends: &[u64]) -> ClassFigures {
    let mut outcomes = Outcomes::default();
    let mut latencies = Vec::new();
    for sample in samples.iter().filter(|sample| contains(intervals, sample.invoked_ns)) {
        outcomes.add(sample.outcome);
        if let (Kind::Ok, Some(latency)) = (sample.outcome, sample.latency_ns()) {
            latencies.push(latency);
        }
    }
    ClassFigures {
        class,
        on_ns: intervals.iter().map(|(start, end)| end - start).sum(),
        outcomes,
        latency: Latency::of(&mut latencies),
        longest_without_ok_ns: longest_without(ok_ends, intervals),
        ..ClassFigures::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(invoked_ns: u64, ended_ns: u64, outcome: Kind) -> Sample {
        Sample { invoked_ns, ended_ns: Some(ended_ns), outcome, function: 0 }
    }

    fn fault(fault_id: u32, times: [Option<u64>; 4]) -> FaultWindow {
        FaultWindow {
            roles: Default::default(),
            fault_id,
            class: "kill".into(),
            label: format!("kill {fault_id}"),
            nodes: vec![],
            start_ns: times[0].unwrap(),
            landed_ns: times[1],
            heal_start_ns: times[2],
            healed_ns: times[3],
            evidence: vec![],
        }
    }

    #[test]
    fn intervals() {
        assert_eq!(merged(vec![(5, 9), (1, 3), (2, 4), (7, 7)]), [(1, 4), (5, 9)]);
        assert_eq!(outside(&[(2, 4), (6, 9)], 0, 8), [(0, 2), (4, 6)]);
        assert_eq!(outside(&[], 3, 8), [(3, 8)]);
        assert_eq!(outside(&[(0, 9)], 3, 8), []);
        assert!(contains(&[(2, 4)], 2) && contains(&[(2, 4)], 3) && !contains(&[(2, 4)], 4) && !contains(&[], 0));
        assert_eq!(longest_without(&[12, 13, 30], &[(10, 20)]), 7);
        assert_eq!(longest_without(&[], &[(10, 20), (30, 35)]), 10);
    }

    #[test]
    fn classes_and_quiet() {
        let facts = RunFacts {
            fault_classes_asked: vec!["pause".into(), "kill".into()],
            faults: vec![
                fault(2, [Some(100), Some(110), Some(150), Some(160)]),
                fault(1, [Some(10), None, None, None]),
                fault(3, [Some(10), Some(12), Some(20), Some(30)]),
                fault(4, [Some(180), None, Some(185), Some(190)]),
            ],
            ..RunFacts::default()
        };
        let mut windows = Window::all(&facts, 200);
        assert_eq!(windows.iter().map(|window| window.fault_id).collect::<Vec<_>>(), [1, 3, 2, 4]);
        assert_eq!((windows[0].end_ns, windows[0].landed), (200, false), "never healed: to the end");
        windows.remove(0);
        let samples = [
            sample(5, 8, Kind::Ok),
            sample(12, 14, Kind::Ok),
            sample(13, 90, Kind::Info),
            sample(25, 26, Kind::Ok),
            sample(120, 125, Kind::Fail),
            sample(165, 170, Kind::Ok),
        ];
        let (quiet, classes) = measure(&samples, &windows, &facts, 5, 170);
        assert_eq!(quiet.outcomes, Outcomes { ok: 2, fail: 0, info: 0 }, "invoked at 5 and 165");
        assert_eq!(classes.iter().map(|class| class.class.as_str()).collect::<Vec<_>>(), ["kill", "pause"]);
        let kill = &classes[0];
        assert_eq!(kill.outcomes, Outcomes { ok: 1, fail: 1, info: 1 });
        let told = (kill.tried, kill.landed, kill.healed, kill.on_ns);
        assert_eq!(told, (3, 2, 2, 48), "what never took effect is not healed either");
        assert_eq!(kill.longest_without_ok_ns, 40);
        assert_eq!(kill.recovery_max_ns, Some(140), "healed at 30, next ok ended at 170");
        assert_eq!(classes[1], ClassFigures { class: "pause".into(), ..ClassFigures::default() });
    }
}
