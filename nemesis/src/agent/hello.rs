//! `agent hello`: that the program runs here at all.

use std::io::Write;

use super::Verb;

/// The verb.
pub(super) const VERB: Verb = Verb { name: "hello", about: "says its version", run };

fn run(_args: &[String]) -> Result<(), String> {
    writeln!(std::io::stdout(), "schism {}", env!("CARGO_PKG_VERSION")).map_err(|error| error.to_string())
}
