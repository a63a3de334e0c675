//! Where a history's text is, what format it has, and reading it.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use schism_history::edn::Keyed;
use schism_history::{FailedCas, History, Import, Tail, edn, etcd_log, jsonl, sessions};

use crate::cli::{CheckArgs, FailedCasChoice, FormatChoice, KeyedChoice};
use crate::error::RunnerError;
use crate::judge;

/// The target that stands for standard input.
pub const STANDARD_INPUT: &str = "-";

/// The formats that one file or standard input may have.
const FORMATS: &str = "jsonl, edn, etcd-log, kv-text, plume, awdit, dbcop, hist or veristrong";

/// So much of a file is looked at to tell its format.
const LOOK_BYTES: usize = 1 << 20;

/// Reads the history that a check is told to judge.
///
/// # Errors
/// When it cannot be read, its format cannot be told, or it is no history.
pub fn read(args: &CheckArgs) -> Result<History, RunnerError> {
    let path = args.target.as_path();
    if path.as_os_str() == STANDARD_INPUT {
        if args.format == FormatChoice::Cobra {
            return Err(RunnerError::Usage(
                "standard input cannot be Cobra's logs, which are a file for each session (T1.log, T2.log, ..): give the folder they are in"
                    .to_owned(),
            ));
        }
        let Some(format) = chosen(args.format) else {
            return Err(RunnerError::Usage(format!(
                "standard input has no name that tells its format; add --format {FORMATS}"
            )));
        };
        let reader = BufReader::with_capacity(LOOK_BYTES, std::io::stdin().lock());
        return read_as(format, reader, args, Path::new("standard input"));
    }
    if !path.exists() {
        return Err(RunnerError::Usage(format!("{}: there is no such file, and no run of that name", path.display())));
    }
    if args.format == FormatChoice::Cobra {
        options_fit(None, args, path)?;
        return read_logs(path);
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
                    "{}: neither its name (.jsonl, .edn, .log, .txt, .hist, .bincode) nor its first line tells what format it has; add --format {FORMATS}",
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
    Sessions(sessions::Format),
}

fn chosen(choice: FormatChoice) -> Option<Format> {
    match choice {
        // Logs of Cobra are no one file.
        FormatChoice::Auto | FormatChoice::Cobra => None,
        FormatChoice::Jsonl => Some(Format::Jsonl),
        FormatChoice::Edn => Some(Format::Edn),
        FormatChoice::EtcdLog => Some(Format::EtcdLog),
        FormatChoice::KvText => Some(Format::KvText),
        FormatChoice::Plume => Some(Format::Sessions(sessions::Format::Plume)),
        FormatChoice::Awdit => Some(Format::Sessions(sessions::Format::Awdit)),
        FormatChoice::Dbcop => Some(Format::Sessions(sessions::Format::Dbcop)),
        FormatChoice::Hist => Some(Format::Sessions(sessions::Format::Hist)),
        FormatChoice::Veristrong => Some(Format::Sessions(sessions::Format::VeriStrong)),
    }
}

/// The format that the ending of a name tells, or else the first line that is neither blank nor a comment.
fn format_of(ending: &str, start: &[u8]) -> Option<Format> {
    match ending {
        "jsonl" => return Some(Format::Jsonl),
        "edn" => return Some(Format::Edn),
        "hist" => return Some(Format::Sessions(sessions::Format::Hist)),
        "bincode" => return Some(Format::Sessions(sessions::Format::Dbcop)),
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
    if let Some(format) = sessions_format(text, first) {
        return Some(Format::Sessions(format));
    }
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

/// The format of sessions that a text has, if it can have no other.
fn sessions_format(text: &str, first: &str) -> Option<sessions::Format> {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let words: Vec<&str> = first.split_whitespace().take(8).collect();
    match words.as_slice() {
        ["r" | "w", key, value] if is_number(key) && is_number(value) => return Some(sessions::Format::Awdit),
        // How many lines there are, then the first.
        [count] if is_number(count) => {
            let second = text.lines().map(str::trim).filter(|line| !line.is_empty()).nth(1)?;
            let words: Vec<&str> = second.split_whitespace().take(3).collect();
            return matches!(words.as_slice(), [session, _, "A" | "R"] if is_number(session))
                .then_some(sessions::Format::VeriStrong);
        }
        _ => {}
    }
    let fields = first.strip_prefix("r(").or_else(|| first.strip_prefix("w(")).and_then(|rest| rest.strip_suffix(')'));
    if let Some(fields) = fields
        && fields.split(',').all(|field| is_number(field.trim().trim_start_matches('-')))
    {
        return Some(sessions::Format::Plume);
    }
    let is_dbcop = first
        .strip_prefix('{')
        .is_some_and(|_| text.trim_start().get(1..).is_some_and(|rest| rest.trim_start().starts_with("\"params\"")));
    if is_dbcop {
        return Some(sessions::Format::Dbcop);
    }
    let name_end = first.strip_prefix('[').and_then(|event| {
        event.find(|character: char| !character.is_alphanumeric() && character != '_').map(|end| &event[end..])
    });
    name_end.filter(|rest| rest.starts_with(":=") || rest.starts_with("==")).map(|_| sessions::Format::Hist)
}

/// Whether a map is an event of a key-value text: the key has a field of its own.
fn is_key_value(map: &str) -> bool {
    map.contains(":key ") && [":f :get", ":f :put", ":f :append"].iter().any(|function| map.contains(function))
}

/// Refuses options that say something of other formats than this; `None` stands for Cobra's logs.
fn options_fit(format: Option<Format>, args: &CheckArgs, path: &Path) -> Result<(), RunnerError> {
    if args.keyed != KeyedChoice::Auto && format != Some(Format::Edn) {
        return Err(RunnerError::Usage(format!(
            "{}: --keyed is for Jepsen's EDN, where nothing marks a key, and this is read as another format; leave it out, or add --format edn if it is EDN",
            path.display()
        )));
    }
    if args.failed_cas == FailedCasChoice::Observed && matches!(format, None | Some(Format::Sessions(_))) {
        return Err(RunnerError::Usage(format!(
            "{}: --failed-cas is for histories of single operations, and this is read as sessions of transactions, which have no compare-and-set; leave it out, or say by --format what else it is",
            path.display()
        )));
    }
    Ok(())
}

fn read_as(format: Format, reader: impl BufRead, args: &CheckArgs, path: &Path) -> Result<History, RunnerError> {
    options_fit(Some(format), args, path)?;
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
        Format::Sessions(format) => {
            sessions::read(format, reader).map(|history| (history, Tail::default())).map_err(|error| error.to_string())
        }
    };
    let (history, tail) = read.map_err(|reason| RunnerError::Malformed { path: path.to_owned(), reason })?;
    judge::tell_tail(path, &tail);
    Ok(history)
}

/// Reads a folder of Cobra's logs, each a session, in the order of their names.
fn read_logs(path: &Path) -> Result<History, RunnerError> {
    if !path.is_dir() {
        return Err(RunnerError::Usage(format!(
            "{}: not a folder; Cobra writes a log for each session (T1.log, T2.log, ..): give the folder they are in",
            path.display()
        )));
    }
    let error = |error| RunnerError::read(path, error);
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(path).map_err(error)? {
        let log = entry.map_err(error)?.path();
        if log.is_file() && log.extension().is_some_and(|ending| ending == "log") {
            paths.push(log);
        }
    }
    if paths.is_empty() {
        return Err(RunnerError::Usage(format!(
            "{}: no file in it ends in .log; Cobra writes a log for each session (T1.log, T2.log, ..)",
            path.display()
        )));
    }
    // By number, where names have one: T2 before T10.
    paths.sort_by_key(|log| (log.as_os_str().len(), log.clone()));
    let mut logs = Vec::with_capacity(paths.len());
    for log in paths {
        let file = File::open(&log).map_err(|error| RunnerError::read(&log, error))?;
        let name = log.file_name().unwrap_or_default().to_string_lossy().into_owned();
        logs.push((name, file));
    }
    sessions::read_cobra(logs)
        .map_err(|error| RunnerError::Malformed { path: path.to_owned(), reason: error.to_string() })
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
            ("txt", "r(1,2,0,0)\n", Some(Format::Sessions(sessions::Format::Plume))),
            ("", "w(1,2,0,-1)\n", Some(Format::Sessions(sessions::Format::Plume))),
            ("txt", "w 0 1\nr 0 1\n", Some(Format::Sessions(sessions::Format::Awdit))),
            ("txt", "2\n1 1 A 5 1\n", Some(Format::Sessions(sessions::Format::VeriStrong))),
            ("txt", "2\n1 1 B 5 1\n", None),
            ("hist", "// a comment\n[x:=1]\n", Some(Format::Sessions(sessions::Format::Hist))),
            ("", "[x:=1 y==?]\n", Some(Format::Sessions(sessions::Format::Hist))),
            ("", "[x==?]!\n", Some(Format::Sessions(sessions::Format::Hist))),
            ("", "[x]\n", Some(Format::Edn)),
            ("json", "{\n  \"params\": {\"id\": 0}", Some(Format::Sessions(sessions::Format::Dbcop))),
            ("json", "{\"params\":{\"id\":0}}", Some(Format::Sessions(sessions::Format::Dbcop))),
            ("bincode", "\u{0}", Some(Format::Sessions(sessions::Format::Dbcop))),
            ("log", "hello\n", None),
            ("", "", None),
        ] {
            assert_eq!(format_of(ending, start.as_bytes()), expected, "{ending}: {start}");
        }
    }
}
