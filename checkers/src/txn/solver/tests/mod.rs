//! The solver against every order of small histories, its mutants, its witnesses, and larger histories.

mod brute;
mod twin;
mod generate;
