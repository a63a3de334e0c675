//! The log: all of it in the run folder, a part of it on standard error.

use std::fs::File;
use std::path::Path;

use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

use crate::error::RunnerError;

/// A panic is told in one line, and to the log with its place: one in a client is caught and judged as doubt, so it must
/// not look like the end of the run.
pub fn panics_go_to_the_log() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map_or("an unknown place".to_owned(), ToString::to_string);
        let payload = panic.payload();
        let text =
            payload.downcast_ref::<&str>().copied().or_else(|| payload.downcast_ref::<String>().map(String::as_str));
        tracing::error!(target: "schism", "panic at {place}: {}", text.unwrap_or("(no message)"));
        crate::commands::say(&format!("schism: internal error at {place}: {}", text.unwrap_or("(no message)")));
    }));
}

/// Starts logging: `SCHISM_LOG` or -v decides what standard error shows; the file gets debug of schism's own crates.
///
/// # Errors
/// When the file cannot be made.
pub fn start(verbose: u8, file: Option<&Path>) -> Result<(), RunnerError> {
    let level = match verbose {
        0 => LevelFilter::WARN,
        1 => LevelFilter::DEBUG,
        _ => LevelFilter::TRACE,
    };
    let shown = EnvFilter::builder().with_default_directive(level.into()).with_env_var("SCHISM_LOG").from_env_lossy();
    let stderr = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(false).with_filter(shown);
    let to_file = file
        .map(|path| {
            let file = File::create(path).map_err(|error| RunnerError::write(path, error))?;
            let own = EnvFilter::new("warn,schism=debug,schism_cluster=debug,schism_nemesis=debug,schism_lab=debug,schism_tests_suites=debug,schism_workloads=debug");
            Ok::<_, RunnerError>(tracing_subscriber::fmt::layer().with_writer(file).with_ansi(false).with_filter(own))
        })
        .transpose()?;
    // Logging that was started before (by a test) stays.
    let _ = tracing_subscriber::registry().with(stderr).with(to_file).try_init();
    Ok(())
}
