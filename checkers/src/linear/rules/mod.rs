//! Algorithms that decide special kinds of history without a search.
//!
//! | file | what |
//! |---|---|
//! | `deadlines` | a level between bounds: mutex, semaphore, counter, an element of a set |
//! | `holds` | locks with owners: holds may not overlap |
//! | `elements` | a set of which single elements are asked about |
//! | `layers` | orders of layers that values fix; a set that grows and is read as a whole |
//! | `totals` | fetch-and-add: the answers give the order |

pub(crate) mod deadlines;
pub(crate) mod elements;
pub(crate) mod holds;
pub(crate) mod layers;
pub(crate) mod totals;
