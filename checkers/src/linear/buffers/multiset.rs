//! A set that counts and shares its memory with those it was made from: states of bags and priority queues.
//!
//! A binary trie over the 64 bits of a number, with the paths that do not branch left out (Okasaki, Gill 1998, "Fast
//! mergeable integer maps"): its shape depends on the numbers alone, so equal sets are compared part by part, and what they
//! share is not looked at. A change makes as many nodes as the path has, at most 64; the greatest number is always to the right.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use schism_history::ValueId;

/// What can stand in such a set: told apart and ordered by a number.
pub trait Ranked: Copy + fmt::Debug + Send + Sync {
    /// The number. Two values with the same number are the same.
    fn number(self) -> u64;
}

impl Ranked for ValueId {
    fn number(self) -> u64 {
        u64::from(ValueId::number(self))
    }
}

impl Ranked for i64 {
    fn number(self) -> u64 {
        self.cast_unsigned() ^ 1 << 63
    }
}

enum Node<V> {
    Leaf {
        value: V,
        count: u32,
    },
    /// Below it, all numbers agree on the bits above `bit`; those without it stand left.
    Branch {
        bit: u32,
        number: u64,
        hash: u64,
        left: Arc<Node<V>>,
        right: Arc<Node<V>>,
    },
}

/// A set that counts.
#[derive(Clone)]
pub struct Multiset<V> {
    root: Option<Arc<Node<V>>>,
    len: u32,
}

fn mixed(number: u64, count: u32) -> u64 {
    let spread = (number ^ 0x9e37_79b9_7f4a_7c15).wrapping_mul(0xff51_afd7_ed55_8ccd);
    (spread ^ (spread >> 33)).wrapping_mul(u64::from(count) | 1 << 40)
}

impl<V: Ranked> Node<V> {
    fn hash(&self) -> u64 {
        match self {
            Node::Leaf { value, count } => mixed(value.number(), *count),
            Node::Branch { hash, .. } => *hash,
        }
    }

    /// A number below it.
    fn number(&self) -> u64 {
        match self {
            Node::Leaf { value, .. } => value.number(),
            Node::Branch { number, .. } => *number,
        }
    }

    fn leaf(value: V, count: u32) -> Arc<Node<V>> {
        Arc::new(Node::Leaf { value, count })
    }

    fn branch(bit: u32, left: Arc<Node<V>>, right: Arc<Node<V>>) -> Arc<Node<V>> {
        let hash = left.hash().wrapping_add(right.hash());
        Arc::new(Node::Branch { bit, number: left.number(), hash, left, right })
    }

    fn with(this: &Arc<Node<V>>, value: V) -> Arc<Node<V>> {
        let number = value.number();
        let other = number ^ this.number();
        match &**this {
            Node::Leaf { count, .. } if other == 0 => Node::leaf(value, count + 1),
            Node::Branch { bit, left, right, .. } if other >> bit <= 1 => match number >> bit & 1 {
                0 => Node::branch(*bit, Node::with(left, value), right.clone()),
                _ => Node::branch(*bit, left.clone(), Node::with(right, value)),
            },
            _ => {
                let bit = other.ilog2();
                match number >> bit & 1 {
                    0 => Node::branch(bit, Node::leaf(value, 1), this.clone()),
                    _ => Node::branch(bit, this.clone(), Node::leaf(value, 1)),
                }
            }
        }
    }

    /// Without one such number; outer `None`: it is not there; inner `None`: nothing is left.
    fn without(this: &Arc<Node<V>>, number: u64) -> Option<Option<Arc<Node<V>>>> {
        match &**this {
            Node::Leaf { value, count } => match (value.number() == number, count) {
                (false, _) => None,
                (true, 1) => Some(None),
                (true, _) => Some(Some(Node::leaf(*value, count - 1))),
            },
            Node::Branch { bit, left, right, .. } => {
                let goes_left = number >> bit & 1 == 0;
                let (at, stays) = if goes_left { (left, right) } else { (right, left) };
                let Some(rest) = Node::without(at, number)? else { return Some(Some(stays.clone())) };
                let (left, right) = if goes_left { (rest, stays.clone()) } else { (stays.clone(), rest) };
                Some(Some(Node::branch(*bit, left, right)))
            }
        }
    }

    fn equal(left: &Arc<Node<V>>, right: &Arc<Node<V>>) -> bool {
        if Arc::ptr_eq(left, right) {
            return true;
        }
        match (&**left, &**right) {
            (Node::Leaf { value: a, count: m }, Node::Leaf { value: b, count: n }) => {
                (a.number(), m) == (b.number(), n)
            }
            (
                Node::Branch { bit: a, hash: m, left: ll, right: lr, .. },
                Node::Branch { bit: b, hash: n, left: rl, right: rr, .. },
            ) => (a, m) == (b, n) && Node::equal(ll, rl) && Node::equal(lr, rr),
            _ => false,
        }
    }
}

impl<V: Ranked> Multiset<V> {
    /// Bytes that a change takes, about.
    pub fn change_bytes(&self) -> usize {
        (self.len.max(2).ilog2() as usize + 2) * (size_of::<Node<V>>() + 16)
    }

    /// How many items there are.
    pub fn len(&self) -> usize {
        self.len as usize
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// With one more of that number.
    pub fn with(&self, value: V) -> Multiset<V> {
        let root = self.root.as_ref().map_or_else(|| Node::leaf(value, 1), |root| Node::with(root, value));
        Multiset { root: Some(root), len: self.len + 1 }
    }

    /// With one less of that number; `None`: there is none.
    pub fn without(&self, value: V) -> Option<Multiset<V>> {
        let root = Node::without(self.root.as_ref()?, value.number())?;
        Some(Multiset { root, len: self.len - 1 })
    }

    /// The greatest number.
    pub fn greatest(&self) -> Option<V> {
        let mut node = self.root.as_ref()?;
        loop {
            match &**node {
                Node::Leaf { value, .. } => return Some(*value),
                Node::Branch { right, .. } => node = right,
            }
        }
    }

    /// All numbers, the greatest first, each as often as it is there.
    pub fn descending(&self) -> impl Iterator<Item = V> + '_ {
        let mut stack: Vec<&Arc<Node<V>>> = self.root.iter().collect();
        let leaves = std::iter::from_fn(move || {
            loop {
                match &**stack.pop()? {
                    Node::Leaf { value, count } => return Some((*value, *count)),
                    Node::Branch { left, right, .. } => stack.extend([left, right]),
                }
            }
        });
        leaves.flat_map(|(value, count)| std::iter::repeat_n(value, count as usize))
    }
}

impl<V> Default for Multiset<V> {
    fn default() -> Multiset<V> {
        Multiset { root: None, len: 0 }
    }
}

impl<V: Ranked> PartialEq for Multiset<V> {
    fn eq(&self, other: &Multiset<V>) -> bool {
        self.len == other.len
            && match (&self.root, &other.root) {
                (Some(left), Some(right)) => Node::equal(left, right),
                (None, None) => true,
                _ => false,
            }
    }
}

impl<V: Ranked> Eq for Multiset<V> {}

impl<V: Ranked> Hash for Multiset<V> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.root.as_ref().map_or(0, |root| root.hash()));
    }
}

impl<V: Ranked> fmt::Debug for Multiset<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.descending()).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn hash(set: &Multiset<i64>) -> u64 {
        set.root.as_ref().map_or(0, |root| root.hash())
    }

    /// Every operation against a plain map, old versions kept and looked at again.
    #[test]
    fn behaves_like_a_map_of_counts() {
        let numbers = [0, 1, 2, 3, 7, 8, 1 << 20, -1, -2, i64::MIN, i64::MAX];
        let mut seed = 23u64;
        let mut versions: Vec<(Multiset<i64>, BTreeMap<i64, u32>)> = vec![Default::default()];
        for _ in 0..4000 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let from = versions.len() - 1 - (seed >> 33) as usize % versions.len().min(5);
            let (mut set, mut plain) = versions[from].clone();
            let number = numbers[(seed >> 50) as usize % numbers.len()];
            if (seed >> 40).is_multiple_of(2) {
                set = set.with(number);
                *plain.entry(number).or_default() += 1;
            } else {
                assert_eq!(set.without(number).is_some(), plain.contains_key(&number));
                if let Some(less) = set.without(number) {
                    set = less;
                    *plain.entry(number).or_default() -= 1;
                    plain.retain(|_, count| *count > 0);
                }
            }
            let all: Vec<i64> =
                plain.iter().rev().flat_map(|(&number, &count)| std::iter::repeat_n(number, count as usize)).collect();
            assert_eq!(set.descending().collect::<Vec<_>>(), all);
            assert_eq!((set.greatest(), set.len()), (all.first().copied(), all.len()));
            let anew = all.iter().fold(Multiset::default(), |set, &number| set.with(number));
            assert!(anew == set && hash(&anew) == hash(&set), "equal, however it was made");
            versions.push((set, plain));
        }
        for pair in versions.windows(2) {
            assert_eq!(pair[0].0 == pair[1].0, pair[0].1 == pair[1].1);
        }
    }
}
