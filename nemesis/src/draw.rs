//! Draws that are the same on every machine and with every version of the random crate.
//!
//! Only `next_u64` of a pinned generator is used; ranges and shuffles are ours, because those of the crate may change
//! between its versions and a recorded run would then replay differently.

use rand::Rng;

/// A number below `bound`, evenly; 0 where `bound` is 0. Rejects the uneven rest, so it may draw more than once.
pub fn below(rng: &mut impl Rng, bound: u64) -> u64 {
    if bound == 0 {
        return 0;
    }
    let uneven_from = u64::MAX - u64::MAX % bound;
    loop {
        let drawn = rng.next_u64();
        if drawn < uneven_from {
            return drawn % bound;
        }
    }
}

/// One of them, evenly; `None` of none.
pub fn one<'a, T>(rng: &mut impl Rng, items: &'a [T]) -> Option<&'a T> {
    items.get(below(rng, items.len() as u64) as usize)
}

/// All of them in an even order (Fisher and Yates).
pub fn shuffled<T: Clone>(rng: &mut impl Rng, items: &[T]) -> Vec<T> {
    let mut items = items.to_vec();
    for last in (1..items.len()).rev() {
        items.swap(last, below(rng, last as u64 + 1) as usize);
    }
    items
}

/// A span around a mean, evenly from half of it to one and a half of it.
pub fn around(rng: &mut impl Rng, mean_ms: u64) -> u64 {
    mean_ms / 2 + below(rng, mean_ms.saturating_add(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use schism_history::Seed;

    #[test]
    fn draws_stay_in_their_range_and_reach_all_of_it() {
        let mut rng = Seed(1).stream("draw");
        let mut seen = [0u32; 5];
        (0..1000).for_each(|_| seen[below(&mut rng, 5) as usize] += 1);
        assert!(seen.iter().all(|&count| (140..260).contains(&count)), "{seen:?}");
        assert_eq!(below(&mut rng, 0), 0);
        assert_eq!(one::<u8>(&mut rng, &[]), None);
        for _ in 0..1000 {
            let span = around(&mut rng, 1000);
            assert!((500..=1500).contains(&span), "{span}");
        }
    }

    #[test]
    fn a_shuffle_keeps_everything_and_gives_every_order() {
        let mut rng = Seed(2).stream("draw");
        let mut orders = std::collections::BTreeSet::new();
        for _ in 0..200 {
            let order = shuffled(&mut rng, &[1, 2, 3]);
            let mut sorted = order.clone();
            sorted.sort_unstable();
            assert_eq!(sorted, [1, 2, 3]);
            orders.insert(order);
        }
        assert_eq!(orders.len(), 6);
    }

    #[test]
    fn draws_are_pinned() {
        let mut rng = Seed(42).stream("pinned");
        let drawn: Vec<u64> = (0..6).map(|_| below(&mut rng, 100)).collect();
        assert_eq!(drawn, [84, 67, 45, 14, 80, 92]);
    }
}
