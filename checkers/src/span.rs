//! Times of calls and of faults, compared.

use schism_history::{Call, FaultWindow, History};

/// A closed stretch of time, nanoseconds since the start of the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    /// Its first moment.
    pub from_ns: u64,
    /// Its last moment.
    pub to_ns: u64,
}

impl Span {
    /// Whether they have a moment in common.
    pub fn overlaps(self, other: Span) -> bool {
        self.from_ns <= other.to_ns && other.from_ns <= self.to_ns
    }

    /// While a fault was surely on: from the proof that it landed to the beginning of its healing. `None`: never.
    pub fn on(fault: &FaultWindow) -> Option<Span> {
        let to_ns = fault.heal_start_ns.or(fault.healed_ns).unwrap_or(u64::MAX);
        fault.landed_ns.map(|from_ns| Span { from_ns, to_ns: to_ns.max(from_ns) })
    }

    /// While a fault may have been on: from the beginning of the harm to the proof that it is gone.
    pub fn around(fault: &FaultWindow) -> Span {
        Span { from_ns: fault.start_ns, to_ns: fault.healed_ns.unwrap_or(u64::MAX).max(fault.start_ns) }
    }

    /// While a call was under way; a call without an answer never ended.
    pub fn of_call(history: &History, call: Call) -> Span {
        let from_ns = history.time_ns(call.invoke);
        let to_ns = call.completion.map_or(u64::MAX, |completion| history.time_ns(completion));
        Span { from_ns, to_ns: to_ns.max(from_ns) }
    }
}
