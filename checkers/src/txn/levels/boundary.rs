//! Where the line runs between the models that a history keeps and those that it breaks.

use super::{KindSet, Level, LevelSet, ruled_out_by, strongest, weakest};

/// What is said of each model: ruled out, kept, or not decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Boundary {
    /// The strongest models that are still possible: nothing that they forbid was found, and what could have refuted them ran
    /// to its end.
    pub strongest_possible: Vec<Level>,
    /// The weakest models that are ruled out, each with what was found of what it forbids.
    pub weakest_ruled_out: Vec<(Level, KindSet)>,
    /// All that are possible.
    pub possible: LevelSet,
    /// All that are ruled out.
    pub ruled_out: LevelSet,
    /// All others.
    pub undecided: LevelSet,
}

/// Draws the line. `found`: the kinds of anomaly that were found. `settled`: the models of which all engines that could refute
/// them have ended. A model that a possible one implies is possible, whatever was not run for it.
pub fn boundary(found: KindSet, settled: LevelSet) -> Boundary {
    let ruled_out = found.iter().fold(LevelSet::default(), |all, kind| all.union(ruled_out_by(kind)));
    // Nothing that is implied is ruled out: its kinds are among those of the stronger model.
    let possible = settled.without(ruled_out).with_weaker();
    let all: LevelSet = Level::ALL.iter().copied().collect();
    Boundary {
        strongest_possible: strongest(possible),
        weakest_ruled_out: weakest(ruled_out)
            .into_iter()
            .map(|level| (level, found.intersection(level.forbids())))
            .collect(),
        possible,
        ruled_out,
        undecided: all.without(possible).without(ruled_out),
    }
}
