//! The solver against every order of small histories, its mutants and its witnesses.

mod brute;
mod generate;
mod proof;
mod twin;
