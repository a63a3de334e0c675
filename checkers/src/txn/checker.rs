//! The checkers `list-append` and `rw-register`: from a history of transactions to the models that it rules out.
//!
//! What costs little is asked first, and what is settled is not asked again: anomalies that show by themselves and cycles of
//! dependencies; then the axioms of the weak levels, if the model asked for rests on them or there is something to tell about
//! where the line runs; last, only for the model asked for, the search for a commit order. A model is kept where nothing
//! was found that it forbids and an engine that could have refuted it (or a stronger one) ran to its end; which ones these are
//! stands in `settle`.

pub(in crate::txn) mod conflicts;
mod evidence;
pub(in crate::txn) mod memories;
mod predicates;
mod settle;
mod singles;
mod solve;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_open;

use schism_history::{History, RunFacts};
use serde_json::json;

use crate::anomaly::AnomalyKind;
use crate::checker::{Budget, Checker};
use crate::txn::levels::{Boundary, Level, LevelSet, boundary};
use crate::txn::rw_register::VersionSources;
use crate::txn::txns::Txns;
use crate::verdict::{Finding, Gap};
use evidence::{Evidence, Inferred};

/// In larger histories nobody looks inside of transactions unasked.
const UNASKED_TXNS_MAX: usize = 200_000;
/// So many transactions have the steps of a budget.
const BUDGET_TXNS: usize = 100_000;
/// What the transactions do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Data {
    /// They append to lists and read them.
    ListAppend,
    /// They write registers blindly and read them.
    RwRegister,
}

impl Data {
    /// The checker's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Data::ListAppend => "list-append",
            Data::RwRegister => "rw-register",
        }
    }
}

/// Checks that transactions keep a consistency model, and tells which others they keep or break.
///
/// Anomalies that the model forbids are `anomalies`, others `beyond`. Stats: `consistency`; `strongest_possible` (models),
/// `weakest_ruled_out` (models, each with what was found of what it forbids) and `not_decided` (models that nothing was found
/// against, but of which not all was asked, as it was not asked for or the budget ended); `anomalies_by_kind` (how many, also
/// of those that are not told); `transactions_count` (`ok`), `in_doubt_count`, `failed_count`, `sessions_count`, `keys_count`,
/// `edges_count`, `components_count` (strongly connected ones of more than one transaction), `decided_by` (which engines ran to
/// their end) and `steps` (of all engines); and `assumed_version_order`, where the order of registers' versions was stated: the sources,
/// which all that is found and all that is kept rests on.
///
/// The budget is for each engine, its steps for each hundred thousand transactions that are begun: the engines that read a history
/// through take steps by the transaction. Memory of the columns that all engines share (about 40 bytes a micro-operation) is not counted.
#[derive(Debug, Clone)]
pub struct TxnChecker {
    /// What the transactions do.
    pub data: Data,
    /// The model that was promised.
    pub level: Level,
    /// What is known of the order of versions of registers. Lists show theirs.
    pub sources: VersionSources,
}

impl TxnChecker {
    /// For strict serializability, with nothing known of the order of versions.
    pub fn new(data: Data) -> TxnChecker {
        TxnChecker { data, level: Level::StrictSerializable, sources: VersionSources::default() }
    }
}

impl Checker for TxnChecker {
    fn name(&self) -> &str {
        self.data.as_str()
    }

    fn check(&self, history: &History, _facts: &RunFacts, budget: &Budget) -> Finding {
        let txns = Txns::of(history);
        let mut evidence = Evidence { is_timeless: !history.has_realtime(), ..Evidence::default() };
        if let Some(gap) = nothing_to_judge(&txns) {
            evidence.gaps.push(gap);
            return self.told(&txns, None, evidence, &boundary(Default::default(), LevelSet::default()));
        }
        // Without times, what the columns say of them is made up.
        if self.level.needs_realtime() && !history.has_realtime() {
            evidence.gaps.push(Gap::NoRealtime { level: self.level.to_string() });
        }
        let budget = &budget_of(txns.len(), budget);
        let mut inferred = Inferred::of(self.data, &txns, &self.sources, budget, &mut evidence);
        let is_small = inferred.accesses().len() <= UNASKED_TXNS_MAX;
        let ww = if is_small || self.may_need_known_order() { inferred.ww_edges() } else { Vec::new() };
        evidence.take_cycles(&txns, &mut inferred, budget);
        let settled = settle::by_cycles(self.data, &txns, &inferred, &evidence);
        let mut line = boundary(evidence.kinds, settled);
        // With gaps an engine may still refute; what it does not refute stays open.
        let ended = |settled, evidence: &Evidence| if evidence.is_incomplete() { LevelSet::default() } else { settled };
        // Nor is anything kept by engines that passed over a read, or over what was stated of one.
        let passes_over = self.states_of_uncertain(&inferred);
        let kept = |settled, evidence: &Evidence| match passes_over || evidence.passes_over_reads(self.data) {
            true => LevelSet::default(),
            false => ended(settled, evidence),
        };
        if self.wants_axioms(&line, &evidence) {
            let more = evidence.take_axioms(&txns, &inferred, budget);
            line = boundary(evidence.kinds, settled.union(kept(more, &evidence)));
        }
        if self.wants_unfolded(&line, &inferred, &evidence) {
            let more = evidence.take_unfolded(&txns, &inferred, &ww, budget);
            line = boundary(evidence.kinds, settled_of(&line).union(kept(more, &evidence)));
        }
        let may_judge = |line: &Boundary, evidence: &Evidence| {
            line.undecided.contains(self.level) && !(evidence.is_timeless && self.level.needs_realtime())
        };
        if evidence.has_predicates && evidence.gaps.is_empty() && may_judge(&line, &evidence) {
            let more = predicates::decide(self.level, &txns, budget, &mut evidence);
            line = boundary(evidence.kinds, settled_of(&line).union(more));
        }
        // These know nothing of an order of versions: what breaks a model does so whatever is stated, what is kept may be broken by it.
        let is_stated = self.sources != VersionSources::default();
        if self.data == Data::RwRegister && may_judge(&line, &evidence) {
            let more = singles::judge(self.level, history, budget, &mut evidence);
            let more = if is_stated { LevelSet::default() } else { ended(more, &evidence) };
            line = boundary(evidence.kinds, settled_of(&line).union(more));
        }
        if self.data == Data::RwRegister && !is_stated && may_judge(&line, &evidence) {
            let more = memories::judge(self.level, history, budget, &mut evidence);
            line = boundary(evidence.kinds, settled_of(&line).union(ended(more, &evidence)));
        }
        if may_judge(&line, &evidence) {
            let more = conflicts::decide(self.level, &txns, &inferred, &ww, budget, &mut evidence);
            line = boundary(evidence.kinds, settled_of(&line).union(kept(more, &evidence)));
        }
        // A search that is not told the known order is one for what cycles alone would have found.
        if may_judge(&line, &evidence)
            && (self.may_need_known_order() || self.data == Data::RwRegister || evidence.cycles_ended)
        {
            let ww = if self.may_need_known_order() { &ww[..] } else { &[] };
            let more = solve::decide(self.level, &txns, &inferred, ww, budget, &mut evidence);
            line = boundary(evidence.kinds, settled_of(&line).union(kept(more, &evidence)));
        }
        self.told(&txns, Some(&inferred), evidence, &line)
    }
}

/// What an engine may cost for so many transactions.
fn budget_of(transactions_count: usize, budget: &Budget) -> Budget {
    let parts = transactions_count.div_ceil(BUDGET_TXNS).max(1) as u64;
    Budget { steps_max: budget.steps_max.saturating_mul(parts), ..*budget }
}

/// What is settled, as the line tells it: what is ruled out needs no engine.
fn settled_of(line: &Boundary) -> LevelSet {
    line.possible.union(line.ruled_out)
}

/// Whether there is anything that could have been wrong.
fn nothing_to_judge(txns: &Txns<'_>) -> Option<Gap> {
    if let Some(gap) = &txns.unclear {
        return Some(gap.clone());
    }
    if let Some(index) = txns.of_another_key {
        let reason = "transactions of several independent keys, which may have equal names for what they read and write; check the \
                      history of each independent key by itself";
        return Some(Gap::Unsupported { index, reason: reason.to_owned() });
    }
    if txns.ok_count() == 0 {
        return Some(Gap::NothingSucceeded);
    }
    None
}

impl TxnChecker {
    /// Whether a search must keep known orders of versions besides those of keys whose whole order is known. Of lists, models
    /// that forbid every cycle need no search.
    fn may_need_known_order(&self) -> bool {
        match self.data {
            Data::ListAppend => !self.level.implies(Level::RepeatableRead),
            Data::RwRegister => self.sources != VersionSources::default(),
        }
    }

    /// Whether an order of versions was stated that follows from reads of which it is not certain what they saw.
    fn states_of_uncertain(&self, inferred: &Inferred<'_>) -> bool {
        (self.sources.sequential_keys || self.sources.linearizable_keys) && !inferred.uncertain().is_empty()
    }

    /// Whether the weak levels are worth their pass: one was asked for, the model asked for may be refuted by them before a
    /// search begins, or something was found and it is to be told what is still kept.
    fn wants_axioms(&self, line: &Boundary, evidence: &Evidence) -> bool {
        let is_open = line.undecided.contains(self.level);
        let others_are_open = settle::BY_AXIOMS.iter().any(|level| line.undecided.contains(*level));
        others_are_open && (is_open || !evidence.kinds.is_empty())
    }

    /// Whether a look inside of transactions is worth its while: one of its models was asked for, or something was found and it
    /// is to be told what is still kept (not of large histories, where it takes seconds). And only where reads are of
    /// committed versions and information does not flow in circles; else these models are ruled out anyway.
    fn wants_unfolded(&self, line: &Boundary, inferred: &Inferred<'_>, evidence: &Evidence) -> bool {
        let is_sound = evidence.cycles_ended && !evidence.has_predicates && inferred.uncertain().is_empty();
        let is_open = |level: &Level| line.undecided.contains(*level);
        let is_asked = settle::BY_UNFOLDED.contains(&self.level) && is_open(&self.level);
        let is_to_be_told = !evidence.kinds.is_empty() && inferred.accesses().len() <= UNASKED_TXNS_MAX;
        is_sound
            && !line.ruled_out.contains(Level::ReadCommitted)
            && settle::BY_UNFOLDED.iter().any(is_open)
            && (is_asked || is_to_be_told)
    }

    fn told(&self, txns: &Txns<'_>, inferred: Option<&Inferred<'_>>, evidence: Evidence, line: &Boundary) -> Finding {
        let mut finding = Finding { gaps: evidence.gaps, ..Finding::default() };
        let forbidden = self.level.forbids();
        for anomaly in evidence.anomalies {
            let is_asked = AnomalyKind::parse(&anomaly.kind).is_some_and(|kind| forbidden.contains(kind));
            if is_asked { finding.anomalies.push(anomaly) } else { finding.beyond.push(anomaly) }
        }
        // What an engine did not get to counts only if nothing else decided.
        if line.undecided.contains(self.level) {
            finding.gaps.extend(evidence.spent);
            if finding.gaps.is_empty() {
                let reason = evidence.unexplained.unwrap_or_else(|| self.undecided().to_owned());
                finding.gaps.push(Gap::Undecided { level: self.level.to_string(), reason });
            }
        }
        let names = |levels: &[Level]| levels.iter().map(|level| level.usual_name()).collect::<Vec<_>>();
        let ruled_out = line.weakest_ruled_out.iter().map(|(level, kinds)| {
            let kinds: Vec<&str> = kinds.iter().map(AnomalyKind::as_str).collect();
            json!({"consistency": level.usual_name(), "because": kinds})
        });
        let undecided: Vec<Level> = line.undecided.iter().collect();
        for (stat, value) in [
            ("consistency", json!(self.level.usual_name())),
            ("strongest_possible", json!(names(&line.strongest_possible))),
            ("weakest_ruled_out", json!(ruled_out.collect::<Vec<_>>())),
            ("not_decided", json!(names(&undecided))),
            ("anomalies_by_kind", json!(evidence.counts)),
            ("transactions_count", json!(txns.ok_count())),
            ("in_doubt_count", json!(txns.len() - txns.ok_count() as usize)),
            ("failed_count", json!(txns.failed.len())),
            ("sessions_count", json!(txns.sessions_count())),
            ("keys_count", json!(inferred.map_or(0, |inferred| inferred.accesses().keys_count))),
            ("edges_count", json!(evidence.edges_count)),
            ("components_count", json!(evidence.components_count)),
            ("decided_by", json!(evidence.engines)),
            ("steps", json!(evidence.steps)),
        ] {
            finding.stats.insert(stat.to_owned(), value);
        }
        if let assumed @ [_, ..] = &self.assumed()[..] {
            finding.stats.insert("assumed_version_order".to_owned(), json!(assumed));
        }
        finding
    }

    /// The sources of the order of versions that were taken for true.
    fn assumed(&self) -> Vec<String> {
        let VersionSources { writes_follow_reads, sequential_keys, linearizable_keys, explicit } = &self.sources;
        let named = [
            (*writes_follow_reads, "writes-follow-reads"),
            (*sequential_keys, "sequential-keys"),
            (*linearizable_keys, "linearizable-keys"),
        ];
        let mut all: Vec<String> = explicit.iter().map(|field| format!("explicit:{field}")).collect();
        all.extend(named.iter().filter(|(is_stated, _)| *is_stated).map(|(_, name)| (*name).to_owned()));
        if self.data == Data::RwRegister { all } else { Vec::new() }
    }

    /// Why a model is open although every engine that was asked has answered.
    fn undecided(&self) -> &'static str {
        match self.data {
            Data::ListAppend => {
                "nothing was found that it forbids, but no stronger model that can be decided is kept either"
            }
            Data::RwRegister => {
                "nothing was found that it forbids, but the order of versions is not known, and no stronger model that can be decided without it is kept either"
            }
        }
    }
}
