//! Exit codes, in one place.

use schism_checkers::Outcome;

/// How the command ends. The numbers are part of the interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// 0: valid, or done.
    Valid,
    /// 1: an anomaly was found.
    Anomaly,
    /// 2: unknown.
    Unknown,
    /// 3: stopped by a guard.
    Guard,
    /// 4: nothing was tested.
    NothingTested,
    /// 5: valid or unknown, but the cleanup is not proven.
    CleanupNotProven,
    /// 64: wrong usage, suite or configuration.
    Usage,
    /// 65: unreadable or malformed history.
    Malformed,
    /// 69: nodes unreachable, or the database did not come up.
    Unavailable,
    /// 70: internal error.
    Internal,
    /// 73: cannot write.
    CannotWrite,
    /// 130: interrupted before there was a verdict.
    Interrupted,
}

impl std::fmt::Display for Exit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Exit::Valid => "valid",
            Exit::Anomaly => "anomaly found",
            Exit::Unknown => "unknown",
            Exit::Guard => "stopped by a guard",
            Exit::NothingTested => "nothing was tested",
            Exit::CleanupNotProven => "cleanup not proven",
            Exit::Usage => "wrong usage",
            Exit::Malformed => "malformed history",
            Exit::Unavailable => "nodes or database unavailable",
            Exit::Internal => "internal error",
            Exit::CannotWrite => "cannot write",
            Exit::Interrupted => "interrupted",
        })
    }
}

/// Worst first: what the exit of several runs is.
const WORST_FIRST: [Exit; 12] = [
    Exit::Anomaly,
    Exit::Internal,
    Exit::CannotWrite,
    Exit::Unavailable,
    Exit::Malformed,
    Exit::Usage,
    Exit::CleanupNotProven,
    Exit::Guard,
    Exit::NothingTested,
    Exit::Unknown,
    Exit::Interrupted,
    Exit::Valid,
];

impl Exit {
    /// The number.
    pub fn code(self) -> u8 {
        match self {
            Exit::Valid => 0,
            Exit::Anomaly => 1,
            Exit::Unknown => 2,
            Exit::Guard => 3,
            Exit::NothingTested => 4,
            Exit::CleanupNotProven => 5,
            Exit::Usage => 64,
            Exit::Malformed => 65,
            Exit::Unavailable => 69,
            Exit::Internal => 70,
            Exit::CannotWrite => 73,
            Exit::Interrupted => 130,
        }
    }

    /// The exit with that number; what is none of ours (a signal, say) is an internal error.
    pub fn from_code(code: Option<i32>) -> Exit {
        WORST_FIRST.into_iter().find(|exit| Some(i32::from(exit.code())) == code).unwrap_or(Exit::Internal)
    }

    /// The exit of a run that was judged. Cleanup trouble never hides an anomaly.
    pub fn of_verdict(outcome: Outcome, cleanup_proven: bool) -> Exit {
        match outcome {
            Outcome::Invalid => Exit::Anomaly,
            _ if !cleanup_proven => Exit::CleanupNotProven,
            Outcome::Unknown => Exit::Unknown,
            Outcome::Valid => Exit::Valid,
        }
    }

    /// The worse of two.
    pub fn worst(self, other: Exit) -> Exit {
        WORST_FIRST.into_iter().find(|exit| *exit == self || *exit == other).unwrap_or(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_anomaly_is_worse_than_all_and_cleanup_never_hides_it() {
        for other in WORST_FIRST {
            assert_eq!(Exit::Anomaly.worst(other), Exit::Anomaly);
            assert_eq!(other.worst(Exit::Valid), other);
        }
        assert_eq!(Exit::of_verdict(Outcome::Invalid, false), Exit::Anomaly);
        assert_eq!(Exit::of_verdict(Outcome::Valid, false), Exit::CleanupNotProven);
        assert_eq!(Exit::of_verdict(Outcome::Unknown, true), Exit::Unknown);
    }
}
