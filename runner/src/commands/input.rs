//! Where a history's text is, what format it has, and reading it.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use schism_history::edn::Keyed;
use schism_history::{FailedCas, History, Import, Tail, edn, etcd_log, jsonl};

use crate::cli::{CheckArgs, FailedCasChoice, FormatChoice, KeyedChoice};
use crate::error::RunnerError;
use crate::judge;

/// The target that stands for standard input.
pub const STANDARD_INPUT: &str = "-";

/// So much of a file is looked at to tell its format.
const LOOK_BYTES: usize = 1 << 20;

/// Reads the history that a check is told to judge.
///
/// # Errors
/// When it cannot be read, its format cannot be told, or it is no history.
pub fn read(args: &CheckArgs) -> Result<History, RunnerError> {
    let path = args.target.as_path();
    if path.as_os_str() == STANDARD_INPUT {
        let Some(format) = chosen(args.format) else {
            return Err(RunnerError::Usage(
                "standard input has no name that tells its format; add --format jsonl, edn, etcd-log or kv-text"
                    .to_owned(),
            ));
        };
        let reader = BufReader::with_capacity(LOOK_BYTES, std::io::stdin().lock());
        return read_as(format, reader, args, Path::new("standard input"));
    }
    if !path.exists() {
        return Err(RunnerError::Usage(format!("{}: there is no such file, and no run of that name", path.display())));
    }
    // A pipe may never end, and opening one may never return.
    if !path.is_file() {
        return Err(RunnerError::Usage(format!(
            "{}: not a file; write the history to one first, or let it come by standard input (`-`)",
            path.display()
        )));
    }
    let file = File::open(path).map_err(|error| RunnerError::read(path, error))?;
    let mut reader = BufReader::with_capacity(LOOK_BYTES, file);
    let format = match chosen(args.format) {
        Some(format) => format,
        None => {
            let start = reader.fill_buf().map_err(|error| RunnerError::read(path, error))?;
            let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
            format_of(ending, start).ok_or_else(|| {
                RunnerError::Usage(format!(
                    "{}: neither its name (.jsonl, .edn, .log, .txt) nor its first line tells what format it has; add --format jsonl, edn, etcd-log or kv-text",
                    path.display()
                ))
            })?
        }
    };
    read_as(format, reader, args, path)
}

/// A format of histories.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Jsonl,
    Edn,
    EtcdLog,
    KvText,
}

fn chosen(choice: FormatChoice) -> Option<Format> {
    match choice {
        FormatChoice::Auto => None,
        FormatChoice::Jsonl => Some(Format::Jsonl),
        FormatChoice::Edn => Some(Format::Edn),
        FormatChoice::EtcdLog => Some(Format::EtcdLog),
        FormatChoice::KvText => Some(Format::KvText),
    }
}

/// The format that the ending of a name tells, or else the first line that is neither blank nor a comment.
fn format_of(ending: &str, start: &[u8]) -> Option<Format> {
    match ending {
        "jsonl" => return Some(Format::Jsonl),
        "edn" => return Some(Format::Edn),
        _ => {}
    }
    let text = String::from_utf8_lossy(start);
    let text = text.trim_start_matches('\u{feff}');
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with(';'));
    let Some(first) = lines.next() else {
        return match ending {
            "log" => Some(Format::EtcdLog),
            "txt" => Some(Format::KvText),
            _ => None,
        };
    };
    // Logs may begin with what other loggers say.
    if text.contains("jepsen.util - ") && !first.starts_with(['{', '[', '(', '#']) {
        return Some(Format::EtcdLog);
    }
    let after_name = |text: &str| {
        text.trim_start()
            .strip_prefix('"')
            .and_then(|text| text.split_once('"'))
            .map(|parts| parts.1.trim_start().starts_with(':'))
    };
    match first.strip_prefix('{') {
        Some(map) if after_name(map) == Some(true) => Some(Format::Jsonl),
        Some(map) if is_key_value(map) => Some(Format::KvText),
        Some(_) => Some(Format::Edn),
        None if first.starts_with(['[', '(', '#']) => Some(Format::Edn),
        None => None,
    }
}

/// Whether a map is an event of a key-value text: the key has a field of its own.
fn is_key_value(map: &str) -> bool {
    map.contains(":key ") && [":f :get", ":f :put", ":f :append"].iter().any(|function| map.contains(function))
}

fn read_as(format: Format, reader: impl BufRead, args: &CheckArgs, path: &Path) -> Result<History, RunnerError> {
    let failed_cas = match args.failed_cas {
        FailedCasChoice::Unknown => FailedCas::Unknown,
        FailedCasChoice::Observed => FailedCas::Observed,
    };
    let keyed = match args.keyed {
        KeyedChoice::Yes => Keyed::Yes,
        KeyedChoice::No => Keyed::No,
        KeyedChoice::Auto => Keyed::Auto,
    };
    let import = Import { failed_cas, threads: args.jobs };
    let read: Result<(History, Tail), String> = match format {
        Format::Jsonl => jsonl::read_with(reader, &import).map_err(|error| error.to_string()),
        Format::Edn => edn::read_from(reader, keyed, &import).map_err(|error| error.to_string()),
        Format::EtcdLog => etcd_log::read(reader, &import).map_err(|error| error.to_string()),
        Format::KvText => edn::read_key_value(reader, &import).map_err(|error| error.to_string()),
    };
    let (history, tail) = read.map_err(|reason| RunnerError::Malformed { path: path.to_owned(), reason })?;
    judge::tell_tail(path, &tail);
    Ok(history)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_format_is_told_by_ending_or_first_line() {
        let (json, map) = ("{\"process\": 1}\n", "{:process 1, :f :read}\n");
        let key_value = "{:process 0, :type :invoke, :f :get, :key \"7\", :value nil}\n";
        let log = "INFO  jepsen.util - 0\t:invoke\t:read\tnil\n";
        for (ending, start, expected) in [
            ("jsonl", map, Some(Format::Jsonl)),
            ("edn", json, Some(Format::Edn)),
            ("log", log, Some(Format::EtcdLog)),
            ("log", "", Some(Format::EtcdLog)),
            ("txt", "\n", Some(Format::KvText)),
            ("txt", key_value, Some(Format::KvText)),
            ("txt", map, Some(Format::Edn)),
            ("", key_value, Some(Format::KvText)),
            ("json", json, Some(Format::Jsonl)),
            ("json", "\u{feff}\n { \"process\" : 1}\n", Some(Format::Jsonl)),
            ("", "; a comment\n[{:process 1}]\n", Some(Format::Edn)),
            ("", "{\"process\" 1}\n", Some(Format::Edn)),
            ("", "#jepsen.history.Op{:process 1}\n", Some(Format::Edn)),
            ("out", "INFO  jepsen.core - hello\nINFO  jepsen.util - 0\t:invoke\t:read\tnil\n", Some(Format::EtcdLog)),
            ("edn.gz", "\u{1f}\u{8b}", None),
            ("log", "hello\n", None),
            ("", "", None),
        ] {
            assert_eq!(format_of(ending, start.as_bytes()), expected, "{ending}: {start}");
        }
    }
}
