//! The weak levels against their definitions.

mod brute;
mod cases;
mod cycles;
mod lists;
mod support;
mod twins;
