//! Registers by examples, against brute force, and with every named defect.

mod agree;
mod direct;
mod sources;
mod store;
mod twin;

use schism_history::{History, notation};

use super::mutant::Mutation;
use super::{Registers, VersionSources, infer_with};
use crate::checker::Budget;
use crate::txn::meter::Meter;
use crate::txn::txns::Txns;

/// A history in one line, with `txn=` left out: `0:[["w",1,2]] 1:[["r",1,null]]>[["r",1,2]]`.
fn history(line: &str) -> History {
    notation::parse(&line.replace(":[", ":txn=[")).unwrap_or_else(|error| panic!("{line}: {error}"))
}

fn inferred<'t>(txns: &'t Txns<'t>, sources: &VersionSources, mutation: Mutation) -> Registers<'t> {
    infer_with(txns, sources, &mut Meter::new(&Budget::default()), mutation)
}
