//! Each transaction has a prefix of the commit order that explains its reads, and that holds whoever must be before it.

use super::{Replay, Verified, wrong};
use crate::txn::accesses::INITIAL;
use crate::txn::solver::Keeps;
use crate::txn::txns::TxnId;

/// Lengths of prefixes, both ends among them.
type Range = (u32, u32);

/// By group (a process, or all), in order of their ends: those that ended well, with the length of the shortest prefix that
/// holds all up to there.
struct Ended {
    group_starts: Vec<usize>,
    ends: Vec<u32>,
    least: Vec<u32>,
}

impl Replay<'_> {
    /// Verifies that there are such prefixes. `apart`: they hold all earlier writers of what is written.
    pub(super) fn snapshots(&self, apart: bool) -> Verified {
        let ended = self.ended();
        for (at, &id) in self.order.iter().enumerate() {
            let at = at as u32;
            let mut least = ended.before(self, id);
            for write in self.question.accesses.writes(id).iter().filter(|_| apart) {
                let places = self.writers(write.key);
                let before = places.partition_point(|&place| place < at);
                least = least.max(if before == 0 { 0 } else { places[before - 1] + 1 });
            }
            let mut allowed = vec![(least, at)];
            for (key, writer) in self.reads(id) {
                allowed = intersection(&allowed, &[self.shows(key, writer, at)]);
            }
            for (_, key, writers) in self.choices(id) {
                let mut ranges: Vec<Range> = writers.iter().map(|&writer| self.shows(key, writer, at)).collect();
                ranges.sort_unstable();
                allowed = intersection(&allowed, &ranges);
            }
            if allowed.iter().all(|range| range.0 > range.1) {
                return wrong(format!("{id} has no snapshot"));
            }
        }
        Ok(())
    }

    /// The prefixes up to a length that show a writer's version of a key; an empty range if there is none.
    fn shows(&self, key: u32, writer: TxnId, most: u32) -> Range {
        let places = self.writers(key);
        let (first, next) = if writer == INITIAL {
            (0, 0)
        } else {
            let own = self.place.get(writer as usize).copied().unwrap_or(super::NOWHERE);
            let Ok(found) = places.binary_search(&own) else { return (1, 0) };
            (own + 1, found + 1)
        };
        (first, places.get(next).map_or(most, |&place| place.min(most)))
    }

    fn ended(&self) -> Ended {
        let txns = self.question.txns;
        let groups = match self.question.keeps {
            Keeps::Nothing => 0,
            Keeps::Process => txns.sessions_count() as usize,
            Keeps::Realtime => 1,
        };
        let mut all: Vec<(u32, u32, u32)> = Vec::new();
        if groups > 0 {
            let group = |id: TxnId| if self.question.keeps == Keeps::Process { txns.session(id) } else { 0 };
            let ok = self.order.iter().enumerate().filter(|&(_, &id)| txns.is_ok(id));
            all.extend(ok.map(|(at, &id)| (group(id), txns.ended(id), at as u32 + 1)));
            all.sort_unstable();
        }
        let group_starts = (0..=groups as u32).map(|group| all.partition_point(|item| item.0 < group)).collect();
        let mut least: Vec<u32> = all.iter().map(|item| item.2).collect();
        for at in 1..all.len() {
            if all[at].0 == all[at - 1].0 {
                least[at] = least[at].max(least[at - 1]);
            }
        }
        Ended { group_starts, ends: all.iter().map(|item| item.1).collect(), least }
    }
}

impl Ended {
    /// The shortest prefix that holds all that must be before a transaction.
    fn before(&self, replay: &Replay<'_>, id: TxnId) -> u32 {
        let txns = replay.question.txns;
        let group = match replay.question.keeps {
            Keeps::Nothing => return 0,
            Keeps::Process => txns.session(id) as usize,
            Keeps::Realtime => 0,
        };
        let (Some(&from), Some(&to)) = (self.group_starts.get(group), self.group_starts.get(group + 1)) else {
            return 0;
        };
        let count = self.ends[from..to].partition_point(|&end| end < txns.invoked(id));
        if count == 0 { 0 } else { self.least[from + count - 1] }
    }
}

/// What two lists of ranges, each ascending and without overlaps, have in common.
fn intersection(a: &[Range], b: &[Range]) -> Vec<Range> {
    let (mut i, mut j) = (0, 0);
    let mut common = Vec::new();
    while i < a.len() && j < b.len() {
        let range = (a[i].0.max(b[j].0), a[i].1.min(b[j].1));
        if range.0 <= range.1 {
            common.push(range);
        }
        if a[i].1 < b[j].1 { i += 1 } else { j += 1 }
    }
    common
}
