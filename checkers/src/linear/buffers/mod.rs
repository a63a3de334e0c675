//! Queues, bags, priority queues and stacks whose values are told apart: decided by sorting, without a search.
//!
//! A value that is put in once and taken out at most once is an **item**: two stretches of time, one for the put and one for
//! the removal. Between the end of the put and the beginning of the removal the item is **surely inside**, whatever the
//! order. What is left to decide is how items exclude each other, and whether each answer "empty" has a moment at which
//! nothing is surely inside:
//!
//! | file | what |
//! |---|---|
//! | `items` | from operations to items; values that come again |
//! | `cover` | answers "empty" |
//! | `takers` | removals in doubt of which nobody knows what they took |
//! | `queue`, `bag`, `priority`, `stack`, `peel` | what excludes each other |
//! | `trees` | counts over time |
//! | `chain`, `multiset` | states for the search that decides the rest |
//! | `mutant` | defects that the tests must notice |
//!
//! A removal in doubt whose result *is* known (it had not ended where a history was cut) may have happened at any time after its
//! invocation, or not: its end is never. That is exact: not to happen and to happen after everything else come to the same.
//!
//! All rules are of Henzinger, Sezgin, Vafeiadis 2013 ("Aspect-oriented linearizability proofs") and Abdulla et al., Lee
//! and Mathur 2025 (monitoring of stacks, queues, priority queues), to which the doubt is added; each is compared with
//! brute force.

pub(crate) mod bag;
pub mod chain;
pub(crate) mod cover;
pub(crate) mod items;
pub mod multiset;
pub(crate) mod mutant;
pub(crate) mod peel;
pub(crate) mod priority;
pub(crate) mod queue;
pub(crate) mod stack;
pub(crate) mod takers;
pub(crate) mod trees;

/// Which defect is chosen; none outside of tests.
pub(crate) type Mutation = super::mutant::Mutation<mutant::Mutant>;
