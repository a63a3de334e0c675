//! Consistency models, which of them implies which, and what each forbids.
//!
//! A model forbids what it adds itself, what the models forbid that it implies, and every kind of anomaly that means that
//! one of these is there too. So a kind that an engine finds rules out exactly the models that forbid it, and which engine
//! found it does not matter.

mod boundary;
mod examples;
mod kinds;
mod level;
#[cfg(test)]
mod tests;

pub use boundary::{Boundary, boundary};
pub use examples::{EXAMPLES, Example, example};
pub use kinds::{IMPLICATIONS, KindSet};
pub use level::{Arrow, LEVELS, Level, LevelEntry};

use crate::anomaly::AnomalyKind;

/// A set of models.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct LevelSet(u64);

// A bit for each model.
const _: () = assert!(LEVELS.len() <= 64);

impl LevelSet {
    /// Of these.
    pub fn of(levels: &[Level]) -> LevelSet {
        levels.iter().copied().collect()
    }

    /// Adds one.
    pub fn insert(&mut self, level: Level) {
        self.0 |= 1 << level as u32;
    }

    /// Whether it is there.
    pub fn contains(self, level: Level) -> bool {
        self.0 >> level as u32 & 1 == 1
    }

    /// What is in one or the other.
    #[must_use]
    pub fn union(self, other: LevelSet) -> LevelSet {
        LevelSet(self.0 | other.0)
    }

    /// What is in this one alone.
    #[must_use]
    pub fn without(self, other: LevelSet) -> LevelSet {
        LevelSet(self.0 & !other.0)
    }

    /// Whether there is none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// One after the other, in order of [`Level::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Level> {
        Level::ALL.iter().copied().filter(move |level| self.contains(*level))
    }

    /// With all that they imply.
    #[must_use]
    pub fn with_weaker(self) -> LevelSet {
        self.iter().fold(self, |all, level| all.union(level.weaker()))
    }
}

impl FromIterator<Level> for LevelSet {
    fn from_iter<T: IntoIterator<Item = Level>>(levels: T) -> LevelSet {
        let mut set = LevelSet::default();
        levels.into_iter().for_each(|level| set.insert(level));
        set
    }
}

impl Level {
    /// All that it implies, itself included.
    pub fn weaker(self) -> LevelSet {
        let mut all = LevelSet::of(&[self]);
        let mut open = vec![self];
        while let Some(level) = open.pop() {
            for arrow in level.entry().implies {
                if !all.contains(arrow.to) {
                    all.insert(arrow.to);
                    open.push(arrow.to);
                }
            }
        }
        all
    }

    /// Whether whatever keeps this model keeps the other. Each implies itself.
    pub fn implies(self, weaker: Level) -> bool {
        self.weaker().contains(weaker)
    }

    /// All kinds of anomaly that it forbids.
    pub fn forbids(self) -> KindSet {
        self.forbids_most_plainly().with_what_implies_it()
    }

    /// What it and the models forbid that it implies, without the kinds that only imply one of these.
    pub fn forbids_most_plainly(self) -> KindSet {
        self.weaker().iter().map(|level| KindSet::of(level.entry().adds)).fold(KindSet::default(), KindSet::union)
    }

    /// Whether its meaning rests on the order of real time.
    pub fn needs_realtime(self) -> bool {
        [Level::StrongReadUncommitted, Level::Linearizable].iter().any(|&level| self.implies(level))
    }
}

/// The models that a kind of anomaly rules out.
pub fn ruled_out_by(kind: AnomalyKind) -> LevelSet {
    Level::ALL.iter().copied().filter(|level| level.forbids().contains(kind)).collect()
}

/// The weakest of them: those that imply no other of them.
pub fn weakest(levels: LevelSet) -> Vec<Level> {
    levels.iter().filter(|&level| !levels.iter().any(|other| other != level && level.implies(other))).collect()
}

/// The strongest of them: those that no other of them implies.
pub fn strongest(levels: LevelSet) -> Vec<Level> {
    levels.iter().filter(|&level| !levels.iter().any(|other| other != level && other.implies(level))).collect()
}
