//! Weak levels by clocks: read committed, read atomic and causal consistency by the axioms of Biswas and Enea, and the
//! guarantees of sessions.
//!
//! An axiom holds if there is a total commit order that keeps the order of sessions, who read from whom and the known
//! order of versions, in which nobody who was visible to a read, and wrote its key, lies behind the one that was read
//! (`derive` says what is visible). Each axiom is decided twice where it is broken: with and without the order of
//! sessions, as read atomic (Bailis et al., Cerone et al.) and the like know no sessions. The kind with `-process` is
//! broken only by them.
//!
//! - `units`: transactions in an order in which who is seen comes before who sees.
//! - `clocks`: what each has seen, over chains. - `needed`: how long anybody asks.
//! - `derive`: the orders that the axioms force; `alone`: where sessions say nothing. - `components`: their cycles.
//!   `witness`: the proof; `paths`: how who is overtaken was visible.
//! - `sessions`: the guarantees of sessions, on single operations (`operations`).
//!
//! Of a list that was read behind appends of the same transaction, the part before these counts as what was read.
//!
//! Reads of one in doubt are unknown, and it is followed by nothing in its session. Reads whose writer is not known say
//! nothing here: other rooms tell them as anomalies of their own (G1a, a garbage read), which every axiom forbids.
//!
//! Cost: linear in operations, times the chains for units that see something new (`clocks`), and again for the windows
//! that orders pointing back span.

mod alone;
mod bases;
mod clocks;
mod components;
mod derive;
pub(crate) mod mutant;
mod needed;
mod operations;
mod parts;
mod past;
mod paths;
mod sessions;
#[cfg(test)]
mod tests;
mod units;
mod views;
mod witness;

use crate::anomaly::{Anomaly, AnomalyKind, Place, Role, Witness};
use crate::txn::accesses::Accesses;
use crate::txn::meter::{Meter, Spent};
use crate::txn::txns::Txns;

use components::Graph;
use derive::{Axiom, Forced, Forces, NEAR, derive, derive_within};
use mutant::{Mutant, Mutation};
use units::{NONE, Ranked, Sessions};
use witness::{Prover, shortest_cycle};

/// Anomalies told of each kind.
const TOLD_MAX: usize = 4;

/// What was found.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Weak {
    /// At most a few of each kind.
    pub anomalies: Vec<Anomaly>,
    /// Whether the budget ended first.
    pub spent: bool,
    /// Whether guarantees of sessions were asked of reads of which it cannot be said which operation wrote what they saw, or of lists in
    /// which appends of transactions stand between each other: what was not found of them may be there.
    pub passes_over: bool,
}

/// Judges all weak levels in one pass.
pub fn judge(txns: &Txns<'_>, accesses: &Accesses, meter: &mut Meter) -> Weak {
    judge_as(txns, accesses, meter, NEAR, Mutation::default())
}

fn judge_as(txns: &Txns<'_>, accesses: &Accesses, meter: &mut Meter, near: u32, mutation: Mutation) -> Weak {
    let mut weak = Weak { passes_over: !accesses.interleaved.is_empty(), ..Weak::default() };
    if accesses.is_empty() || accesses.len() > txns.len() {
        return weak;
    }
    let sessions = Sessions::of(txns, accesses, mutation);
    let ranked = Ranked::of(accesses, &sessions, mutation);
    let Ok(found) = by_clocks(&ranked, near, meter, mutation) else {
        return Weak { spent: true, ..weak };
    };
    weak.spent = found.spent;
    let prover = Prover { txns, ranked: &ranked, forces: &found.forces, owners: None, guarantee: None };
    weak.anomalies = found.forces.twice.iter().take(TOLD_MAX).map(|&seen| non_repeatable(&prover, seen)).collect();
    let components = found.components();
    if !found.is_broken(&components) {
        // The guarantees of sessions hold where the axiom of causal consistency does.
        found.forces.close(meter);
        return weak;
    }
    let suspects = Suspects::of(&ranked, &found, &components, mutation);
    // Neither needs another.
    let (mut own, mut others) = (meter.half(), meter.half());
    let (of_sessions, (without, with)) = rayon::join(
        || sessions::judge(txns, &ranked, &found.forces, &sessions, &suspects, &mut own, mutation),
        || {
            let without = alone(txns, &ranked, &found.forces, &suspects, near, &mut others, mutation);
            (without, witnesses(txns, &ranked, &found, components))
        },
    );
    meter.join(&[own, others]);
    found.forces.close(meter);
    weak.spent |= of_sessions.spent;
    weak.passes_over |= of_sessions.passes_over;
    weak.spent |= without.as_ref().map_or(true, |(_, spent)| *spent);
    let without = without.map(|(witnesses, _)| witnesses).unwrap_or_default();
    for ((axiom, with), without) in Axiom::ALL.into_iter().zip(with).zip(without) {
        let (kind, process) = kinds(axiom);
        let (kind, found) = if without.is_empty() { (process, with) } else { (kind, without) };
        weak.anomalies.extend(found.into_iter().map(|witness| Anomaly::new(kind, None, witness)));
    }
    weak.anomalies.extend(of_sessions.anomalies);
    weak
}

/// The kind of an axiom, and that where only sessions break it.
fn kinds(axiom: Axiom) -> (AnomalyKind, AnomalyKind) {
    match axiom {
        Axiom::Committed => (AnomalyKind::NonMonotonicView, AnomalyKind::NonMonotonicViewProcess),
        Axiom::Atomic => (AnomalyKind::FracturedRead, AnomalyKind::FracturedReadProcess),
        Axiom::Causal => (AnomalyKind::StaleCausalRead, AnomalyKind::StaleCausalReadProcess),
    }
}

/// Where guarantees of sessions may be broken, as they are only where causal consistency is.
struct Suspects {
    /// By transaction: its component of what causal consistency forces, if that has a cycle; or [`NONE`].
    component_of: Vec<u32>,
    /// Transactions that read the initial state of what they had seen written, each with a writer; `None` if they are too many.
    initial: Option<Vec<(u32, u32)>>,
    /// By transaction: whether what is broken may show there.
    is_near: Vec<bool>,
    /// Whether no weaker axiom is broken.
    is_only_causal: bool,
}

impl Suspects {
    fn of(ranked: &Ranked<'_>, found: &Found, components: &Components, mutation: Mutation) -> Suspects {
        let mut component_of = vec![NONE; ranked.accesses.len()];
        for (number, members) in components[Axiom::Causal as usize].iter().enumerate() {
            let ids = members.iter().map(|&member| ranked.unit(found.graph.ranks[member as usize]));
            ids.for_each(|id| component_of[id as usize] = number as u32);
        }
        if mutation.is(Mutant::EverythingCompared) {
            component_of.fill(0);
        }
        let all = found.forces.before_initial.iter().flatten();
        let pairs = all.map(|forced| (ranked.unit(forced.from), ranked.unit(forced.reader)));
        let initial: Option<Vec<(u32, u32)>> = found.forces.has_all_initial().then(|| pairs.collect());
        let is_near = sessions::near(ranked, &component_of, initial.as_deref(), mutation);
        let weaker = [Axiom::Committed as usize, Axiom::Atomic as usize];
        let holds = |at: &usize| components[*at].is_empty() && found.forces.before_initial[*at].is_empty();
        let is_only_causal = weaker.iter().all(holds);
        Suspects { component_of, initial, is_near, is_only_causal }
    }

    /// Whether a forced order may be part of a cycle.
    fn is_in_cycle(&self, ranked: &Ranked<'_>, forced: &Forced) -> bool {
        let component = |rank: u32| self.component_of[ranked.unit(rank) as usize];
        component(forced.from) != NONE && component(forced.from) == component(forced.to)
    }
}

/// By axiom: the components that have cycles, as nodes of the graph.
type Components = [Vec<Vec<u32>>; 3];

/// What is forced, and the graph of it.
struct Found {
    forces: Forces,
    graph: Graph,
    /// Whether the budget ended before all was looked at.
    spent: bool,
    /// Whether a cycle may be shorter than those in the graph.
    is_partial: bool,
}

impl Found {
    fn components(&self) -> Components {
        Axiom::ALL.map(|axiom| self.graph.components(axiom))
    }

    fn is_broken(&self, components: &Components) -> bool {
        let is_early = self.forces.before_initial.iter().any(|found| !found.is_empty());
        is_early || components.iter().any(|found| !found.is_empty())
    }
}

fn by_clocks(ranked: &Ranked<'_>, near: u32, meter: &mut Meter, mutation: Mutation) -> Result<Found, Spent> {
    let forces = derive(ranked, near, meter, mutation)?;
    let graph = Graph::of(ranked, &forces, meter, mutation)?;
    let mut found = Found { forces, graph, spent: false, is_partial: false };
    let mut long = found.graph.windows.clone();
    long.retain(|window| window.end - window.start > near + 1);
    if !long.is_empty() {
        // What the first pass found stands even if the budget ends in the second.
        match derive_within(ranked, &long, &found.forces, meter, mutation) {
            Ok(more) => {
                std::mem::replace(&mut found.forces, more).close(meter);
                found.graph = Graph::of(ranked, &found.forces, meter, mutation)?;
            }
            Err(Spent) => found.spent = true,
        }
    }
    Ok(found)
}

/// By axiom: what breaks it, and no weaker one.
type Witnesses = [Vec<Witness>; 3];

/// What breaks the axioms without the order of sessions; whether the budget ended first.
fn alone(
    txns: &Txns<'_>,
    ranked: &Ranked<'_>,
    known: &Forces,
    suspects: &Suspects,
    near: u32,
    meter: &mut Meter,
    mutation: Mutation,
) -> Result<(Witnesses, bool), Spent> {
    let same = ranked.without_sessions();
    if let Some((forces, is_partial)) = alone::derive(&same, known, suspects, meter, mutation)? {
        let graph = Graph::of(&same, &forces, meter, mutation)?;
        let found = Found { forces, graph, spent: false, is_partial };
        let witnesses = witnesses(txns, &same, &found, found.components());
        found.forces.close(meter);
        return Ok((witnesses, false));
    }
    drop(same);
    let other = Ranked::of(ranked.accesses, &Sessions::none(ranked.accesses.len()), mutation);
    let found = by_clocks(&other, near, meter, mutation)?;
    let witnesses = witnesses(txns, &other, &found, found.components());
    found.forces.close(meter);
    Ok((witnesses, found.spent))
}

/// Proves what breaks the axioms.
fn witnesses(txns: &Txns<'_>, ranked: &Ranked<'_>, found: &Found, components: Components) -> Witnesses {
    let Found { forces, graph, is_partial, .. } = found;
    let prover = Prover { txns, ranked, forces, owners: None, guarantee: None };
    let mut is_told = vec![false; graph.ranks.len()];
    let mut witnesses = Witnesses::default();
    for (axiom, mut components) in Axiom::ALL.into_iter().zip(components) {
        let found = &mut witnesses[axiom as usize];
        let initial = forces.before_initial[axiom as usize].iter();
        found.extend(initial.take(TOLD_MAX / 2).map(|forced| prover.before_initial(forced)));
        components.sort_by_key(Vec::len);
        for members in components {
            // A weaker axiom has told it already.
            if members.iter().any(|&member| is_told[member as usize]) {
                continue;
            }
            members.iter().for_each(|&member| is_told[member as usize] = true);
            if found.len() < TOLD_MAX {
                let (cycle, shortest) = shortest_cycle(graph, &members, axiom);
                // None is shorter than two.
                let is_known = shortest && (!is_partial || cycle.len() == 2);
                found.push(prover.cycle(&cycle, is_known));
            }
        }
    }
    witnesses
}

fn non_repeatable(prover: &Prover<'_>, (reader, first, second): (u32, u32, u32)) -> Anomaly {
    let id = prover.ranked.unit(reader);
    let micro = |read: u32| prover.ranked.accesses.reads(id)[read as usize].micro;
    let place = |read, role| Place { transaction: prover.txns.invoked(id), micro: micro(read), role };
    let witness = Witness::Micros {
        places: vec![place(second, Role::Read), place(first, Role::OtherRead)],
        expected: prover.text(reader, micro(first)),
        found: prover.text(reader, micro(second)),
    };
    Anomaly::new(AnomalyKind::NonRepeatableRead, None, witness)
}
