//! The edges that are certain, and a guess when each transaction was.

use super::Keeps;
use super::Property;
use super::Question;
use super::mutant::{self, Mutant};
use super::problem::{Problem, is_open};
use crate::txn::edge::Edge;
use crate::txn::txns::TxnId;

/// So often moments are cut by the moments of others.
const PASSES_MAX: usize = 16;

/// Guesses moments: the middle of the time in which a transaction was under way, cut to after its writers began and before
/// its readers ended, and theirs. Guesses order what is not known; they decide nothing.
pub(super) fn guess(question: &Question<'_>, problem: &mut Problem) {
    let count = problem.members.len();
    let mut first: Vec<u64> = problem.members.iter().map(|&id| u64::from(question.txns.invoked(id))).collect();
    let mut last: Vec<u64> = problem
        .members
        .iter()
        .map(|&id| if is_open(question, id) { u64::MAX } else { u64::from(end_of_txn(question, id)) })
        .collect();
    let versions = problem.versions_count();
    let reads = (0..problem.reader.len()).filter(|&read| problem.read_version[read] < versions);
    let pairs: Vec<(usize, usize)> = reads
        .map(|read| (problem.writer[problem.read_version[read] as usize] as usize, problem.reader[read] as usize))
        .collect();
    // Who was read, of whom that one had read, and so on: where many were under way at the same time that says much.
    for _ in 0..PASSES_MAX {
        let mut changes = 0;
        for &(writer, reader) in &pairs {
            changes += usize::from(last[reader] < last[writer]) + usize::from(first[writer] > first[reader]);
            last[writer] = last[writer].min(last[reader]);
            first[reader] = first[reader].max(first[writer]);
        }
        if changes * 64 <= pairs.len() {
            break;
        }
    }
    for txn in 0..count {
        // What nobody saw and may still happen is put where it began.
        last[txn] = if last[txn] == u64::MAX { first[txn] + 1 } else { last[txn].max(first[txn] + 1) };
    }
    problem.moment = (0..count).map(|txn| first[txn] + last[txn]).collect();
    let shape = problem.shape;
    let mut priorities = vec![0; count];
    if shape.is_double() {
        priorities.resize(2 * count, 0);
        for txn in 0..count {
            priorities[2 * txn] = 3 * first[txn] + last[txn];
            priorities[2 * txn + 1] = first[txn] + 3 * last[txn];
        }
    } else {
        for (priority, moment) in priorities.iter_mut().zip(&problem.moment[..count]) {
            *priority = 2 * moment;
        }
        if shape.has_private_readers() {
            // Nothing leads to a private node: in front of all others its edges agree with the order.
            priorities.resize(2 * count, 0);
        }
    }
    problem.priorities = priorities;
}

/// Puts together what is certain: who read from whom, orders of versions that are known, and the orders to be kept.
pub(super) fn edges(
    question: &Question<'_>,
    problem: &mut Problem,
    keys: &[u32],
    txn_of: impl Fn(TxnId) -> Option<u32>,
) {
    let shape = problem.shape;
    let mut edges = Vec::with_capacity(problem.reader.len());
    let versions = problem.versions_count();
    for (&reader, &version) in problem.reader.iter().zip(&problem.read_version) {
        if version < versions {
            edges.push((shape.commit(problem.writer[version as usize]), shape.snapshot(reader)));
        }
    }
    if shape.is_double() {
        edges.extend((0..problem.members.len() as u32).map(|txn| (shape.snapshot(txn), shape.commit(txn))));
    }
    for key in keys {
        let known = question.accesses.versions.get(*key as usize).map_or(&[][..], Vec::as_slice);
        let mut before = None;
        for txn in known.iter().filter_map(|&id| txn_of(id)) {
            if let Some(before) = before.filter(|&before| before != txn && !mutant::is(Mutant::VersionsForgotten)) {
                edges.push((shape.commit(before), shape.written_over(txn)));
            }
            before = Some(txn);
        }
    }
    if !mutant::is(Mutant::KnownForgotten) {
        let named = |edge: &Edge| Some((txn_of(edge.from)?, txn_of(edge.to)?));
        let between = question.known.iter().filter_map(named).filter(|(from, to)| from != to);
        edges.extend(between.map(|(from, to)| (shape.commit(from), shape.written_over(to))));
    }
    match question.keeps {
        Keeps::Nothing => {}
        Keeps::Process => processes(question, problem, &mut edges),
        Keeps::Realtime => realtime(question, problem, &mut edges),
    }
    problem.edges = edges;
}

/// The node that precedes what comes after a transaction.
fn end_of(question: &Question<'_>, problem: &Problem, txn: u32) -> u32 {
    let is_apart = question.property == Property::UpdateSerializable && problem.is_private[txn as usize];
    if is_apart { problem.shape.private(txn) } else { problem.shape.commit(txn) }
}

/// The order of each process, from each transaction to the next. One in doubt precedes nothing.
fn processes(question: &Question<'_>, problem: &Problem, edges: &mut Vec<(u32, u32)>) {
    let mut by_session: Vec<u32> = (0..problem.members.len() as u32).collect();
    let id = |txn: u32| problem.members[txn as usize];
    by_session.sort_unstable_by_key(|&txn| (question.txns.session(id(txn)), question.txns.invoked(id(txn))));
    let is_alone = |txn: u32| question.property == Property::UpdateSerializable && problem.is_private[txn as usize];
    // Readers that stand apart lead on by a node that nothing leads to, so what is before them is said again to what is
    // after.
    let (mut session, mut before) = (None, None);
    let mut readers: Vec<u32> = Vec::new();
    for txn in by_session {
        if session != Some(question.txns.session(id(txn))) {
            (session, before) = (Some(question.txns.session(id(txn))), None);
            readers.clear();
        }
        let next = problem.shape.snapshot(txn);
        let before_kept = before.filter(|_| !mutant::is(Mutant::ProcessForgotten));
        edges.extend(before_kept.map(|before| (end_of(question, problem, before), next)));
        if !is_alone(txn) {
            edges.extend(readers.iter().map(|&reader| (end_of(question, problem, reader), next)));
        }
        if is_open(question, id(txn)) {
            continue;
        }
        if is_alone(txn) {
            readers.push(txn);
        } else {
            readers.clear();
            before = Some(txn);
        }
    }
}

/// When it ended. Only a mutant asks about one that never did.
fn end_of_txn(question: &Question<'_>, id: TxnId) -> u32 {
    if question.txns.is_ok(id) { question.txns.ended(id) } else { question.txns.invoked(id) + 1 }
}

/// The order of real time by barriers: one for each run of completions, after the one before. A way through barriers is the
/// same as having ended before the other began.
fn realtime(question: &Question<'_>, problem: &mut Problem, edges: &mut Vec<(u32, u32)>) {
    let mut events = Vec::with_capacity(2 * problem.members.len());
    for (txn, &id) in problem.members.iter().enumerate() {
        events.push((question.txns.invoked(id), false, txn as u32));
        if !is_open(question, id) {
            events.push((end_of_txn(question, id), true, txn as u32));
        }
    }
    events.sort_unstable();
    let mut ended: Vec<u32> = Vec::new();
    let mut barrier = None;
    for (index, is_end, txn) in events {
        if is_end {
            ended.push(txn);
            continue;
        }
        if !ended.is_empty() {
            let next = problem.priorities.len() as u32;
            problem.priorities.push(4 * u64::from(index));
            edges.extend(barrier.filter(|_| !mutant::is(Mutant::BarriersApart)).map(|barrier| (barrier, next)));
            edges.extend(ended.drain(..).map(|txn| (end_of(question, problem, txn), next)));
            barrier = Some(next);
        }
        edges.extend(barrier.map(|barrier| (barrier, problem.shape.snapshot(txn))));
    }
}
