//! The weak levels against their definitions.

mod brute;
mod cases;
mod support;
mod twins;
