//! The weak levels against their definitions.

mod brute;
mod cases;
mod cycles;
mod larger;
mod lists;
mod paths;
mod support;
mod twins;
