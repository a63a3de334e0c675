//! Scripts that start, stop and look at a daemon which a database keeps on a node.
//!
//! A daemon is known by number and start time, kept in `STATE_DIR/NAME.pid`: it *runs* while a process of that number
//! has that start time and is no zombie. A stale file, or a number that was given to another process, means stopped.
//! Nothing is ever found, or killed, by its name.

use std::collections::BTreeMap;

use crate::db::ProcessId;
use crate::shell::{PROCESS_FUNCTIONS, detached, quote, quote_path, words};

/// A daemon and how to start it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DaemonSpec {
    /// Its name in the state folder: letters, digits, `-`, `_` and `.`.
    pub name: String,
    /// The program, by its path or found in `PATH`, and its arguments.
    pub argv: Vec<String>,
    /// Added to its environment.
    pub env: BTreeMap<String, String>,
    /// Where its output goes (added to what is there). Keep it outside the data that is wiped.
    pub log: String,
    /// Where its pid file lives. Keep it outside the data that is wiped.
    pub state_dir: String,
}

impl DaemonSpec {
    /// A daemon with output in `/var/log/schism/NAME.log` and state in `/run/schism`.
    pub fn new<S: Into<String>>(name: &str, argv: impl IntoIterator<Item = S>) -> DaemonSpec {
        DaemonSpec {
            name: name.to_owned(),
            argv: argv.into_iter().map(Into::into).collect(),
            env: BTreeMap::new(),
            log: format!("/var/log/schism/{name}.log"),
            state_dir: "/run/schism".to_owned(),
        }
    }

    /// Where number and start time stand, as `PID START`.
    pub fn pid_file(&self) -> String {
        pid_file(&self.name, &self.state_dir)
    }
}

fn pid_file(name: &str, state_dir: &str) -> String {
    let name: String = name.chars().map(|c| if c.is_alphanumeric() || "-_.".contains(c) { c } else { '_' }).collect();
    format!("{}/{name}.pid", state_dir.trim_end_matches('/'))
}

/// What the scripts begin with: one at a time where the node has `flock`, and `running` sets `pid` and `start0`.
fn head(pid_file: &str) -> String {
    let file = quote_path(pid_file);
    format!(
        "{PROCESS_FUNCTIONS}\
         running() {{\n  pid= start0=\n  {{ read -r pid start0 < {file}; }} 2>/dev/null || return 1\n  \
         case $pid in ''|*[!0-9]*) return 1 ;; esac\n  alive \"$pid\" \"$start0\"\n}}\n"
    )
}

fn locked(pid_file: &str) -> String {
    let folder = quote_path(crate::shell::parent(pid_file));
    let lock = quote_path(&format!("{pid_file}.lock"));
    format!("mkdir -p {folder} || exit 1\nexec 9>>{lock} || exit 1\nif command -v flock >/dev/null; then flock 9; fi\n")
}

/// Starts it if it does not run. Prints `started PID START` or `already PID START`; ends with status 1, and the end of
/// the log on standard error, if it is gone again within 100 ms.
///
/// Self-contained, so that it can stand in a ledger as the undo of a kill.
pub fn start_script(spec: &DaemonSpec) -> String {
    let pid_file = spec.pid_file();
    let mut command = String::new();
    for (name, value) in &spec.env {
        command.push_str(&format!("export {}\n", quote(&format!("{name}={value}"))));
    }
    command.push_str("exec ");
    command.push_str(&words(&spec.argv));
    format!(
        "{}{}if running; then echo \"already $pid $start0\"; exit 0; fi\n\
         ( {} ) >/dev/null || exit 1\n\
         for _n in 1 2 3 4 5; do\n  \
         running || {{ echo {} >&2; tail -n 20 {} >&2; exit 1; }}\n  sleep 0.02\ndone\n\
         echo \"started $pid $start0\"\n",
        locked(&pid_file),
        head(&pid_file),
        detached(&command, &spec.log, &pid_file),
        quote(&format!("{} ended at once; the end of {}:", spec.name, spec.log)),
        quote_path(&spec.log),
    )
}

/// Stops it: TERM, then after `grace_ms` KILL, to it and all its descendants. Prints `stopped PID` or `not running`;
/// ends with status 1 if a process is still there 5 s after KILL (it may hang in the kernel).
///
/// A stopped (SIGSTOP) daemon is continued so that TERM reaches it. Children that left the daemon's family before
/// (their parent ended) are not found.
pub fn stop_script(spec: &DaemonSpec, grace_ms: u64) -> String {
    let pid_file = spec.pid_file();
    format!(
        "{}{}running || {{ rm -f {file}; echo 'not running'; exit 0; }}\n\
         tree \"$pid\"\nids=\nfor p in $found; do if stat_of \"$p\"; then ids=\"$ids $p:$start\"; fi; done\n\
         left() {{ rest=; for i in $ids; do if alive \"${{i%:*}}\" \"${{i#*:}}\"; then rest=\"$rest ${{i%:*}}\"; fi; done; [ -n \"$rest\" ]; }}\n\
         kill -s TERM \"$pid\" 2>/dev/null; kill -s CONT \"$pid\" 2>/dev/null\n\
         _n=0; while left && [ $_n -lt {} ]; do sleep 0.02; _n=$((_n + 1)); done\n\
         _n=0; while left && [ $_n -lt 250 ]; do kill -s KILL $rest 2>/dev/null; sleep 0.02; _n=$((_n + 1)); done\n\
         if left; then echo \"still there after KILL:$rest\" >&2; exit 1; fi\n\
         rm -f {file}\necho \"stopped $pid\"\n",
        locked(&pid_file),
        head(&pid_file),
        grace_ms.div_ceil(20),
        file = quote_path(&pid_file),
    )
}

/// Prints `running PID START` or `stopped`. Changes nothing.
pub fn status_script(spec: &DaemonSpec) -> String {
    format!("{}if running; then echo \"running $pid $start0\"; else echo stopped; fi\n", head(&spec.pid_file()))
}

/// Reads what [`start_script`] and [`status_script`] print: the process, if it runs.
pub fn parse_status(text: &str) -> Option<ProcessId> {
    let line = text.lines().rev().find(|line| !line.trim().is_empty())?;
    let mut fields = line.split_whitespace();
    if !matches!(fields.next()?, "running" | "started" | "already") {
        return None;
    }
    Some(ProcessId { pid: fields.next()?.parse().ok()?, start_ticks: fields.next()?.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Output, Stdio};

    use super::*;

    fn sh(script: &str) -> Output {
        Command::new("sh").arg("-c").arg(script).stdin(Stdio::null()).output().unwrap()
    }

    fn text(script: &str) -> String {
        let output = sh(script);
        assert!(output.status.success(), "{script}\n{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// A daemon in a folder of its own, stopped when the test ends, however it ends.
    struct Bench {
        spec: DaemonSpec,
        folder: tempfile::TempDir,
    }

    impl Bench {
        fn new(argv: &[&str]) -> Bench {
            let folder = tempfile::tempdir().unwrap();
            let mut spec = DaemonSpec::new("my daemon", argv.iter().copied());
            spec.state_dir = folder.path().join("state dir").display().to_string();
            spec.log = folder.path().join("logs/it's.log").display().to_string();
            Bench { spec, folder }
        }
    }

    impl Drop for Bench {
        fn drop(&mut self) {
            sh(&stop_script(&self.spec, 0));
            let _ = self.folder.path();
        }
    }

    #[test]
    fn started_twice_runs_once_and_stopped_twice_is_stopped() {
        let mut bench = Bench::new(&["sh", "-c", "echo \"$GREETING\"; sleep 61 & sleep 60; :"]);
        bench.spec.env.insert("GREETING".to_owned(), "it's me".to_owned());
        let spec = &bench.spec;
        assert_eq!(text(&status_script(spec)), "stopped");
        let first = text(&start_script(spec));
        let id = parse_status(&first).unwrap();
        assert!(first.starts_with("started "), "{first}");
        assert_eq!(text(&start_script(spec)), first.replace("started", "already"));
        assert_eq!(text(&status_script(spec)), first.replace("started", "running"));
        // The shell may start its children after the script has ended.
        let mut family = String::new();
        for _ in 0..2000 {
            family = text(&crate::shell::descendants_script(id.pid));
            if family.lines().count() == 3 {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        assert_eq!(family.lines().count(), 3, "{family}");
        assert_eq!(text(&stop_script(spec, 2000)), format!("stopped {}", id.pid));
        for line in family.lines() {
            let (pid, start) = line.split_once(' ').unwrap();
            let gone = text(&format!("{PROCESS_FUNCTIONS}alive {pid} {start} || echo gone"));
            assert_eq!(gone, "gone", "the children are stopped too");
        }
        assert_eq!(text(&stop_script(spec, 2000)), "not running");
        assert_eq!(std::fs::read_to_string(&spec.log).unwrap(), "it's me\n");
    }

    #[test]
    fn one_that_ignores_term_or_is_paused_is_killed() {
        let bench = Bench::new(&["sh", "-c", "trap '' TERM; while :; do sleep 0.1; done"]);
        let id = parse_status(&text(&start_script(&bench.spec))).unwrap();
        text(&crate::shell::signal_script("STOP", &[id]));
        assert!(parse_status(&text(&status_script(&bench.spec))).is_some(), "paused is running");
        assert_eq!(text(&stop_script(&bench.spec, 100)), format!("stopped {}", id.pid));
    }

    #[test]
    fn a_stale_file_means_stopped_and_its_number_is_left_alone() {
        let bench = Bench::new(&["sleep", "60"]);
        let file = bench.spec.pid_file();
        std::fs::create_dir_all(&bench.spec.state_dir).unwrap();
        // Our own number with another start time: a stop that trusted the number would end this test.
        let stale = [format!("{} 1", std::process::id()), "garbage".to_owned(), String::new(), "-1 5".to_owned()];
        for content in stale {
            std::fs::write(&file, &content).unwrap();
            assert_eq!(text(&status_script(&bench.spec)), "stopped", "{content:?}");
            assert_eq!(text(&stop_script(&bench.spec, 0)), "not running", "{content:?}");
            std::fs::write(&file, &content).unwrap();
            let started = text(&start_script(&bench.spec));
            assert!(started.starts_with("started "), "{content:?}: {started}");
            text(&stop_script(&bench.spec, 1000));
        }
    }

    #[test]
    fn one_that_dies_at_once_shows_its_log() {
        for argv in [&["sh", "-c", "echo bad option >&2; exit 3"][..], &["/no/such/program"]] {
            let bench = Bench::new(argv);
            // Time goes slowly for who looks: it is seen to end, however long that takes.
            let output = sh(&("sleep() { command sleep 0.5; }\n".to_owned() + &start_script(&bench.spec)));
            let stderr = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(1), "{argv:?}");
            assert!(stderr.contains("ended at once"), "{stderr}");
            assert!(stderr.contains("bad option") || stderr.contains("not found"), "{stderr}");
            assert_eq!(text(&status_script(&bench.spec)), "stopped");
        }
    }

    #[test]
    fn two_starts_at_once_start_one() {
        let bench = Bench::new(&["sleep", "60"]);
        let script = start_script(&bench.spec);
        let both: Vec<String> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..2).map(|_| scope.spawn(|| text(&script))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(parse_status(&both[0]), parse_status(&both[1]), "{both:?}");
    }

    #[test]
    fn what_the_scripts_print_is_read() {
        let id = |pid, start_ticks| Some(ProcessId { pid, start_ticks });
        let cases = [
            ("running 7 99\n", id(7, 99)),
            ("motd\nstarted 7 99", id(7, 99)),
            ("stopped", None),
            ("", None),
            ("running x 1", None),
            ("running 7", None),
        ];
        for (said, meant) in cases {
            assert_eq!(parse_status(said), meant, "{said:?}");
        }
    }
}
