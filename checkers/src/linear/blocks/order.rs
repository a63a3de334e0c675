//! An order of operations whose blocks can be ordered: the blocks as `arranged`, in each the writes one after another, and
//! behind each write whatever saw its value, by invocation.
//!
//! Real time allows it: what stands later has ended after everything before it began, as that is what blocks and zones
//! were checked for. A "no match" stands where the state was another one, between the moments at which that state came and
//! went; among what else stands there, by invocation too.

use super::{Blocks, Deed, Mutation, NONE, arranged, deed};
use crate::linear::models::RegisterAction;
use crate::linear::split::Operation;

/// The order, as places; `None` where there is none or the history is not for this algorithm.
pub(crate) fn order(operations: &[Operation<RegisterAction>]) -> Option<Vec<u32>> {
    let mut blocks = Blocks::new(operations, Mutation::default());
    let (zones, forward_count) = blocks.ordered().ok()?;
    let (zones, changes) = blocks.explained(arranged(zones, forward_count))?;
    // Whoever stands behind which change, and in doubt or not what each change is.
    let mut behind: Vec<(usize, u32)> = Vec::with_capacity(operations.len());
    let mut change_of = vec![NONE; blocks.clusters.len()];
    for (change, &(_, number)) in changes.iter().enumerate() {
        change_of[number as usize] = change as u32;
    }
    for (place, operation) in (0..).zip(operations) {
        match deed(operation) {
            Deed::Observe(value) => behind.push((change_of[*blocks.numbers.get(&value)? as usize] as usize, place)),
            Deed::Miss(_) => behind.push((blocks.moment_of_miss(&changes, place)?, place)),
            Deed::Write(_) | Deed::Cas(..) | Deed::Nothing => {}
        }
    }
    behind.sort_unstable();
    let mut order = Vec::with_capacity(operations.len());
    let mut behind = behind.into_iter().peekable();
    for (change, writer) in blocks.writers(&zones).into_iter().enumerate() {
        order.extend(Some(writer).filter(|&writer| writer != NONE));
        while let Some((_, place)) = behind.next_if(|&(at, _)| at == change) {
            order.push(place);
        }
    }
    Some(order)
}

impl Blocks<'_> {
    /// Who makes each of the `changes`; nobody the first value.
    fn writers(&self, zones: &[super::Zone]) -> Vec<u32> {
        let mut writers = vec![NONE];
        for zone in zones {
            let (mut number, mut writer) = (zone.first as usize, zone.writer);
            for _ in 0..=self.operations.len() {
                writers.push(writer);
                let Some(next) = self.next(number) else { break };
                (writer, number) = next;
            }
        }
        writers
    }
}
