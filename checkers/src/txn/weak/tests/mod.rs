//! The weak levels against their definitions.

mod brute;
mod cases;
mod lists;
mod support;
mod twins;
