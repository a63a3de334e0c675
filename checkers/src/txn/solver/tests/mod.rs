//! The solver against every order of small histories, against a plain search of larger ones, on simulated stores of known level
//! with and without something planted; its proofs derived again; its mutants and its witnesses.

mod brute;
pub mod certify;
mod generate;
mod middle;
mod naive;
mod plants;
mod proof;
mod replayed;
mod sources;
mod stores;
mod twin;
