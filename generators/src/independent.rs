//! Independent keys: many small histories beside and after each other, because judging one large one is hard.

use schism_history::{Key, Op};

use crate::context::{Context, Rotation};
use crate::generator::{Generator, Next, earlier};
use crate::route::narrowed;

/// How many fresh keys in a row may be exhausted before they gave anything.
const BARREN_KEYS_MAX: u32 = 16;

/// Makes the generator of a key. A value, as generators are.
pub trait KeyedGenerator: Clone + Send + 'static {
    /// Generator of one key's operations; their `key` is set by [`IndependentKeys`].
    type Child: Generator + Clone + 'static;

    /// A fresh one.
    fn child(&self, key: i64) -> Self::Child;
}

impl<M, G> KeyedGenerator for M
where
    M: Fn(i64) -> G + Clone + Send + 'static,
    G: Generator + Clone + 'static,
{
    type Child = G;

    fn child(&self, key: i64) -> G {
        self(key)
    }
}

/// Groups of workers, each on a key of its own until that key's generator is exhausted; then on a fresh key, numbered
/// from 0 up in the order of their beginning. Where the workers are no multiple of the group's size, the last group is
/// smaller. Groups take turns.
///
/// A key's generator sees its group's workers, and events of that key by them only. Operations that are still open when
/// a group moves on complete under their old key; their answers reach no generator.
#[derive(Clone)]
pub struct IndependentKeys<K: KeyedGenerator> {
    make: K,
    workers_per_key: u32,
    next_key: i64,
    /// One past the last key.
    end_key: i64,
    groups: Vec<Group<K::Child>>,
    rotation: Rotation,
}

#[derive(Clone)]
struct Group<G> {
    /// `None`: no key is left for it.
    present: Option<(i64, G)>,
}

impl<K: KeyedGenerator> IndependentKeys<K> {
    /// That many workers on each key; `keys_max` keys in all (`None`: no end).
    pub fn new(workers_per_key: u32, keys_max: Option<u64>, make: K) -> IndependentKeys<K> {
        let end_key = keys_max.map_or(i64::MAX, |keys| i64::try_from(keys).unwrap_or(i64::MAX));
        let workers_per_key = workers_per_key.max(1);
        IndependentKeys {
            make,
            workers_per_key,
            next_key: 0,
            end_key,
            groups: Vec::new(),
            rotation: Rotation::default(),
        }
    }

    fn fresh(&mut self) -> Option<(i64, K::Child)> {
        if self.next_key >= self.end_key {
            return None;
        }
        let key = self.next_key;
        self.next_key += 1;
        Some((key, self.make.child(key)))
    }

    fn group_range(&self, group: usize) -> std::ops::Range<u32> {
        let start = (group as u32).saturating_mul(self.workers_per_key);
        start..start.saturating_add(self.workers_per_key)
    }

    /// Asks one group, giving it fresh keys as needed.
    fn ask(&mut self, group: usize, context: &Context<'_>) -> Next {
        let range = narrowed(context, &self.group_range(group));
        for _ in 0..BARREN_KEYS_MAX {
            let Some((key, child)) = &mut self.groups[group].present else { return Next::Exhausted };
            match child.next(&range) {
                Next::Op(mut invocation) => {
                    invocation.key = Some(Key::Int(*key));
                    return Next::Op(invocation);
                }
                Next::Exhausted => self.groups[group].present = self.fresh(),
                pending => return pending,
            }
        }
        self.groups[group].present = None;
        Next::Exhausted
    }
}

impl<K: KeyedGenerator> Generator for IndependentKeys<K> {
    fn next(&mut self, context: &Context<'_>) -> Next {
        let groups_count = context.range_count().div_ceil(self.workers_per_key) as usize;
        while self.groups.len() < groups_count {
            let present = self.fresh();
            self.groups.push(Group { present });
        }
        // The usual way: the group of the worker whose turn it is has something to do.
        let mut first = 0;
        if let Some(worker) = self.rotation.pick(context) {
            first = ((worker - context.worker_first) / self.workers_per_key) as usize;
        }
        let (mut until_ns, mut over) = (None, true);
        for step in 0..groups_count {
            match self.ask((first + step) % groups_count, context) {
                Next::Op(invocation) => return Next::Op(invocation),
                Next::Pending { until_ns: until } => {
                    until_ns = earlier(until_ns, until);
                    over = false;
                }
                Next::Exhausted => {}
            }
        }
        if over { Next::Exhausted } else { Next::Pending { until_ns } }
    }

    fn update(&mut self, context: &Context<'_>, event: &Op) {
        let Some(worker) = context.worker_in_range(&event.process) else { return };
        let group = ((worker - context.worker_first) / self.workers_per_key) as usize;
        let range = narrowed(context, &self.group_range(group));
        if let Some(Group { present: Some((key, child)) }) = self.groups.get_mut(group)
            && event.key == Some(Key::Int(*key))
        {
            child.update(&range, event);
        }
    }

    fn boxed_clone(&self) -> Box<dyn Generator> {
        Box::new(self.clone())
    }
}
