//! One file a verb.

pub mod check;
pub mod doctor;
pub mod heal;
pub mod lab;
pub mod list;
pub mod plan;
pub mod report;
pub mod run;

use std::io::Write;
use std::path::PathBuf;

use crate::error::RunnerError;

/// Prints a result on standard output. A closed pipe is the reader's wish, not an error.
pub fn print(text: &str) {
    let mut stdout = std::io::stdout().lock();
    let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
}

/// Says something on standard error.
pub fn say(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// Tells an error on standard error.
pub fn complain(error: &RunnerError) {
    say(&format!("schism: {error}"));
}

/// The folder of downloads: `SCHISM_CACHE`, or the user's cache folder.
///
/// # Errors
/// When there is no home folder to put it in.
pub fn cache_folder() -> Result<PathBuf, RunnerError> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set("SCHISM_CACHE")
        .or_else(|| set("XDG_CACHE_HOME").map(|folder| folder.join("schism")))
        .or_else(|| set("HOME").map(|folder| folder.join(".cache").join("schism")))
        .ok_or_else(|| RunnerError::Usage("neither SCHISM_CACHE nor HOME is set; set SCHISM_CACHE to a folder for downloads".to_owned()))
}
