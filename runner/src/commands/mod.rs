//! One file a verb.

pub mod check;
pub mod doctor;
pub mod explain;
mod explain_levels;
pub mod halt;
pub mod heal;
mod input;
pub mod lab;
pub mod list;
pub mod matrix;
pub mod plan;
pub mod replay;
pub mod report;
pub mod run;
pub mod witness;

use std::io::Write;
use std::path::Path;

use crate::error::RunnerError;

/// Prints a result on standard output. A closed pipe is the reader's wish, not an error.
///
/// # Errors
/// When it cannot be written (a full disk, say): a result that nobody gets is no success.
pub fn print(text: &str) -> Result<(), RunnerError> {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(RunnerError::write(Path::new("standard output"), error))
        }
        _ => Ok(()),
    }
}

/// Says something on standard error, and to the log.
pub fn say(text: &str) {
    tracing::info!(target: "schism", "{text}");
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// Tells an error on standard error.
pub fn complain(error: &RunnerError) {
    say(&format!("schism: {error}"));
}
