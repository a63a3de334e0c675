//! Cycles against all simple cycles of small graphs, and what only large ones show.

mod brute;
mod cases;
mod large;
mod made;
mod twin;
