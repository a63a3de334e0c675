//! A sequence that shares its memory with those it was made from: states of queues and stacks.
//!
//! A node for each item, linked from the last one to the first, each with a further link far back (Myers 1983, "An
//! applicative random-access stack"), so that any item is found in O(log n). Pushing makes one node; taking away at either end
//! makes none. Equal sequences have equal hashes, which are kept up to date in O(1); comparison is exact, and ends where
//! the sequences begin to share their memory.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use schism_history::ValueId;

/// Base of the polynomial hash: odd, otherwise without meaning.
const BASE: u64 = 0x9e37_79b9_7f4a_7c15;

struct Node {
    value: ValueId,
    /// How many items stand before this one, those that were taken away at the front included.
    depth: u32,
    parent: Option<Arc<Node>>,
    jump: Option<Arc<Node>>,
}

impl Drop for Node {
    /// Not by recursion: a sequence may be as long as a history.
    fn drop(&mut self) {
        // What the far link leads to is held by the chain of parents too, so letting go of it first ends nothing.
        self.jump = None;
        let mut next = self.parent.take();
        while let Some(mut node) = next.and_then(Arc::into_inner) {
            node.jump = None;
            next = node.parent.take();
        }
    }
}

/// A sequence.
#[derive(Clone, Default)]
pub struct Chain {
    last: Option<Arc<Node>>,
    len: u32,
    hash: u64,
}

/// `BASE` to the power of `exponent`.
fn power(mut exponent: u32) -> u64 {
    let (mut result, mut square) = (1u64, BASE);
    while exponent > 0 {
        if exponent & 1 == 1 {
            result = result.wrapping_mul(square);
        }
        square = square.wrapping_mul(square);
        exponent >>= 1;
    }
    result
}

fn mixed(value: ValueId) -> u64 {
    let spread = (u64::from(value.number()) + 1).wrapping_mul(0xff51_afd7_ed55_8ccd);
    spread ^ (spread >> 32)
}

impl Chain {
    /// Bytes that one more item takes.
    pub const ITEM_BYTES: usize = size_of::<Node>() + 16;

    /// How many items there are.
    pub fn len(&self) -> usize {
        self.len as usize
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// With one more item at the end. O(1).
    pub fn pushed(&self, value: ValueId) -> Chain {
        let parent = self.last.clone().filter(|_| self.len > 0);
        let jump = parent.as_ref().map(|parent| match parent.jump.as_ref().map(|jump| (jump, jump.jump.as_ref())) {
            Some((jump, Some(further))) if parent.depth - jump.depth == jump.depth - further.depth => further.clone(),
            _ => parent.clone(),
        });
        let depth = parent.as_ref().map_or(0, |parent| parent.depth + 1);
        let node = Node { value, depth, parent, jump };
        let hash = self.hash.wrapping_mul(BASE).wrapping_add(mixed(value));
        Chain { last: Some(Arc::new(node)), len: self.len + 1, hash }
    }

    /// The last item. O(1).
    pub fn last(&self) -> Option<ValueId> {
        self.last.as_ref().filter(|_| self.len > 0).map(|node| node.value)
    }

    /// The first item. O(log n).
    pub fn first(&self) -> Option<ValueId> {
        let mut node = self.last.as_ref().filter(|_| self.len > 0)?;
        let depth = node.depth + 1 - self.len;
        while node.depth > depth {
            node = match &node.jump {
                Some(jump) if jump.depth >= depth => jump,
                _ => node.parent.as_ref()?,
            };
        }
        Some(node.value)
    }

    /// Without the last item. O(1).
    pub fn without_last(&self) -> Option<Chain> {
        let node = self.last.as_ref().filter(|_| self.len > 0)?;
        let hash = unpushed(self.hash, node.value);
        Some(Chain { last: node.parent.clone().filter(|_| self.len > 1), len: self.len - 1, hash })
    }

    /// Without the first item. O(log n).
    pub fn without_first(&self) -> Option<Chain> {
        let first = self.first()?;
        let hash = self.hash.wrapping_sub(mixed(first).wrapping_mul(power(self.len - 1)));
        Some(Chain { last: self.last.clone().filter(|_| self.len > 1), len: self.len - 1, hash })
    }

    /// The items, the last one first.
    pub fn backwards(&self) -> impl Iterator<Item = ValueId> + '_ {
        let nodes = std::iter::successors(self.last.as_ref(), |node| node.parent.as_ref());
        nodes.take(self.len()).map(|node| node.value)
    }
}

/// The hash before that value was pushed: `BASE` is odd, so it has an inverse.
fn unpushed(hash: u64, value: ValueId) -> u64 {
    const fn inverse() -> u64 {
        // Newton's method; each round doubles the number of bits that are right.
        let (mut inverse, mut round) = (BASE, 0);
        while round < 6 {
            inverse = inverse.wrapping_mul(2u64.wrapping_sub(BASE.wrapping_mul(inverse)));
            round += 1;
        }
        inverse
    }
    const INVERSE: u64 = inverse();
    hash.wrapping_sub(mixed(value)).wrapping_mul(INVERSE)
}

impl PartialEq for Chain {
    fn eq(&self, other: &Chain) -> bool {
        if self.len != other.len || self.hash != other.hash {
            return false;
        }
        let (mut left, mut right) = (self.last.as_ref(), other.last.as_ref());
        for _ in 0..self.len {
            let (Some(a), Some(b)) = (left, right) else { return left.is_none() && right.is_none() };
            if Arc::ptr_eq(a, b) {
                return true;
            }
            if a.value != b.value {
                return false;
            }
            (left, right) = (a.parent.as_ref(), b.parent.as_ref());
        }
        true
    }
}

impl Eq for Chain {}

impl Hash for Chain {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
        state.write_u32(self.len);
    }
}

impl fmt::Debug for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.backwards().map(ValueId::number)).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;

    fn number(number: u32) -> ValueId {
        ValueId::of_small(number).unwrap()
    }

    fn built(items: impl IntoIterator<Item = u32>) -> Chain {
        items.into_iter().fold(Chain::default(), |chain, item| chain.pushed(number(item)))
    }

    /// Every operation against a plain deque, old versions kept and looked at again.
    #[test]
    fn behaves_like_a_deque() {
        let mut seed = 17u64;
        let mut versions = vec![(Chain::default(), VecDeque::new())];
        for _ in 0..4000 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let from = versions.len() - 1 - (seed >> 33) as usize % versions.len().min(5);
            let (chain, mut plain) = versions[from].clone();
            let chain = match (seed >> 40) % 5 {
                0 => {
                    plain.pop_front();
                    chain.without_first().unwrap_or_default()
                }
                1 => {
                    plain.pop_back();
                    chain.without_last().unwrap_or_default()
                }
                _ => {
                    plain.push_back(number((seed >> 50) as u32 % 3));
                    chain.pushed(number((seed >> 50) as u32 % 3))
                }
            };
            assert_eq!((chain.first(), chain.last()), (plain.front().copied(), plain.back().copied()));
            assert!(chain.backwards().eq(plain.iter().rev().copied()));
            let anew = built(plain.iter().map(|item| item.number()));
            assert!(anew == chain && anew.hash == chain.hash, "equal, however it was made");
            assert_eq!(chain.len(), plain.len());
            versions.push((chain, plain));
        }
        for pair in versions.windows(2) {
            assert_eq!(pair[0].0 == pair[1].0, pair[0].1 == pair[1].1);
        }
    }

    #[test]
    fn a_long_one_ends_without_recursion() {
        let long = built(0..1_000_000);
        assert_eq!(long.first(), Some(number(0)));
        let shorter = long.without_last();
        drop(long);
        drop(shorter);
    }
}
