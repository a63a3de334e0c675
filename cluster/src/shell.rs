//! Quoting, and the small scripts that others build on. All shell text of schism is put together with what is here.
//!
//! Every script is POSIX shell (dash, busybox): no arrays, no `local`, no process substitution. What it needs from
//! `/proc` it reads with the shell's own `read`, so that no further program is needed.

use std::borrow::Cow;

use crate::db::ProcessId;

/// Quotes a text so that a POSIX shell takes it as one word, whatever it holds. Nothing is added to plain words.
///
/// A NUL byte cannot be said to a shell at all; it is left out.
pub fn quote(text: &str) -> Cow<'_, str> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-./:=@%+,".contains(&byte);
    if !text.is_empty() && text.bytes().all(plain) && !text.starts_with('=') {
        return Cow::Borrowed(text);
    }
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('\'');
    for char in text.chars() {
        match char {
            '\'' => quoted.push_str("'\\''"),
            '\0' => {}
            other => quoted.push(other),
        }
    }
    quoted.push('\'');
    Cow::Owned(quoted)
}

/// Quotes each word and joins them with blanks.
pub fn words<S: AsRef<str>>(argv: &[S]) -> String {
    let quoted: Vec<Cow<'_, str>> = argv.iter().map(|word| quote(word.as_ref())).collect();
    quoted.join(" ")
}

/// Quotes a path so that a command cannot take it for an option.
pub fn quote_path(path: &str) -> String {
    if path.starts_with('-') { quote(&format!("./{path}")).into_owned() } else { quote(path).into_owned() }
}

/// The folder of a path, for `mkdir -p`.
pub(crate) fn parent(path: &str) -> &str {
    match path.trim_end_matches('/').rsplit_once('/') {
        Some(("", _)) => "/",
        Some((folder, _)) => folder,
        None => ".",
    }
}

/// Shell functions that other scripts stand on:
///
/// - `stat_of PID` sets `state`, `ppid` and `start` from `/proc/PID/stat`; false if there is no such process. The
///   name in that file may hold blanks and parentheses: everything up to the last `) ` is cut off.
/// - `alive PID START` is true while that process, and no later one of its number, runs (a zombie does not).
/// - `tree PID` sets `found` to the process and all its descendants, as numbers between blanks.
///
/// They use the variables `_f`, `_grew`, `_line`, `_pid`, `state`, `ppid`, `start` and `found`.
pub const PROCESS_FUNCTIONS: &str = r#"stat_of() {
  { IFS= read -r _line < "/proc/$1/stat"; } 2>/dev/null || return 1
  set -- ${_line##*) }
  [ $# -ge 20 ] || return 1
  state=$1 ppid=$2 start=${20}
}
alive() {
  stat_of "$1" || return 1
  [ "$start" = "$2" ] && [ "$state" != Z ] && [ "$state" != X ]
}
tree() {
  found=" $1 " _grew=1
  while [ "$_grew" = 1 ]; do
    _grew=0
    for _f in /proc/[0-9]*/stat; do
      _pid=${_f#/proc/} _pid=${_pid%/stat}
      case $found in *" $_pid "*) continue ;; esac
      stat_of "$_pid" || continue
      case $found in *" $ppid "*) found="$found$_pid " _grew=1 ;; esac
    done
  done
}
"#;

/// Starts a command that outlives its shell: a session of its own, in `/`, with no input, output added to `log`, no
/// other descriptor left open. Writes `PID START` (start time in clock ticks, see [`ProcessId`]) to `pidfile` before
/// the command begins, waits for that, and prints it. What does not begin in time is killed: it would begin beside the next
/// that is started.
///
/// `command` is shell text (use [`words`]); what it `exec`s keeps the number, so say `exec` where it is one program.
pub fn detached(command: &str, log: &str, pidfile: &str) -> String {
    let (log_q, pid_q) = (quote_path(log), quote_path(pidfile));
    let begin = format!(
        "{PROCESS_FUNCTIONS}stat_of $$ || exit 1\n\
         echo \"$$ $start\" > {pid_q}.new && mv -f {pid_q}.new {pid_q} || exit 1\n\
         {command}"
    );
    format!(
        "mkdir -p {} {} && cd / || exit 1\n\
         rm -f {pid_q}\n\
         : >> {log_q} || exit 1\n\
         setsid sh -c {} </dev/null >>{log_q} 2>&1 3>&- 4>&- 5>&- 6>&- 7>&- 8>&- 9>&- &\n\
         _child=$! _n=0\n\
         until [ -s {pid_q} ]; do\n  \
         _n=$((_n + 1)); [ $_n -le 250 ] || {{ kill -s KILL \"$_child\" 2>/dev/null; echo 'the command did not begin within 5 s' >&2; exit 1; }}\n  \
         sleep 0.02\ndone\n\
         cat {pid_q}\n",
        quote_path(parent(log)),
        quote_path(parent(pidfile)),
        quote(&begin),
    )
}

/// Prints `PID START` of a process and all its descendants, a line each; nothing if there is no such process.
pub fn descendants_script(pid: u32) -> String {
    format!(
        "{PROCESS_FUNCTIONS}stat_of {pid} || exit 0\n\
         tree {pid}\nfor p in $found; do if stat_of \"$p\"; then echo \"$p $start\"; fi; done\n"
    )
}

/// Sends a signal (`KILL`, `STOP`, `CONT`...) to exactly these processes, and prints the number of each that got it.
/// One whose start time differs is another process by now and is left alone. Always ends with status 0. A signal takes
/// effect a moment after it was sent: look until it has.
pub fn signal_script(signal: &str, processes: &[ProcessId]) -> String {
    let mut script = PROCESS_FUNCTIONS.to_owned();
    let signal = quote(signal);
    for ProcessId { pid, start_ticks } in processes {
        script.push_str(&format!(
            "if alive {pid} {start_ticks} && kill -s {signal} {pid} 2>/dev/null; then echo {pid}; fi\n"
        ));
    }
    script.push_str(":\n");
    script
}

/// Writes exactly `bytes` bytes of standard input to a file, by a temporary name beside it and a rename; makes its
/// folder. `mode` is octal (`0o644`). Leaves the old file where not all bytes came.
pub fn receive_script(to: &str, mode: u32, bytes: usize) -> String {
    let (path, folder) = (quote_path(to), quote_path(parent(to)));
    format!(
        "mkdir -p {folder} || exit 1\n\
         if [ -d {path} ]; then echo 'there is a folder of that name' >&2; exit 1; fi\n\
         new={path}.new.$$\ntrap 'rm -f \"$new\"' EXIT\numask 077\n\
         cat > \"$new\" || exit 1\n\
         count=$(wc -c < \"$new\")\n\
         [ \"$count\" -eq {bytes} ] || {{ echo \"only $count of {bytes} bytes arrived\" >&2; exit 1; }}\n\
         chmod {:o} \"$new\" && mv -f \"$new\" {path}\n",
        mode & 0o7777,
    )
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
        String::from_utf8(output.stdout).unwrap()
    }

    #[test]
    fn what_is_quoted_comes_back_as_it_was() {
        let cases = [
            "", " ", "a", "it's", "''", "a b", "$HOME", "`id`", "$(id)", "a\nb", "\\", "\\'", "*", "~", "!x", "-n",
            "\"", "#c", "a;b", "é→", "=x", "a=b", "x\ty", "{a,b}", "&&", "\r",
        ];
        for case in cases {
            assert_eq!(text(&format!("printf '%s|' {}", quote(case))), format!("{case}|"), "{case:?}");
        }
        assert_eq!(text(&format!("printf '%s|' {}", words(&cases))), cases.map(|case| format!("{case}|")).concat());
        assert_eq!(quote("plain-1.2/x"), "plain-1.2/x");
        assert_eq!(quote("a\0b"), "'ab'");
        assert_eq!(quote_path("-rf"), "./-rf");
    }

    #[test]
    fn parents() {
        let cases = [("/a/b", "/a"), ("/a", "/"), ("a", "."), ("a/b/", "a"), ("/a/b/c.d", "/a/b")];
        for (path, folder) in cases {
            assert_eq!(parent(path), folder, "{path}");
        }
    }

    #[test]
    fn a_detached_command_outlives_its_shell_and_says_who_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).display().to_string();
        let (log, pidfile) = (path("new folder/out.log"), path("run/x.pid"));
        // If a descriptor stayed open, `output()` would wait for the sleeper and the test would take its 60 s.
        let said = text(&detached("echo began; pwd; exec sleep 60", &log, &pidfile));
        assert_eq!(said, std::fs::read_to_string(&pidfile).unwrap());
        let (pid, start) = said.trim().split_once(' ').unwrap();
        let id = ProcessId { pid: pid.parse().unwrap(), start_ticks: start.parse().unwrap() };
        assert_eq!(text(&format!("{PROCESS_FUNCTIONS}alive {pid} {start} && echo yes")), "yes\n");
        let session = nix::unistd::getsid(Some(nix::unistd::Pid::from_raw(id.pid as i32))).unwrap();
        assert_eq!(session.as_raw() as u32, id.pid, "it leads a session of its own");

        // It is known before the command begins.
        text(&format!("until [ \"$(cat {})\" = \"$(printf 'began\\n/')\" ]; do sleep 0.01; done", quote_path(&log)));
        let other = ProcessId { start_ticks: id.start_ticks + 1, ..id };
        assert_eq!(text(&signal_script("KILL", &[other])), "", "another start time is another process");
        assert_eq!(text(&signal_script("STOP", &[id])), format!("{pid}\n"));
        let stopped =
            format!("{PROCESS_FUNCTIONS}until stat_of {pid}; [ \"$state\" = T ]; do sleep 0.01; done; echo $state");
        assert_eq!(text(&stopped), "T\n");
        assert_eq!(text(&signal_script("KILL", &[id])), format!("{pid}\n"));
        // A signal takes effect a moment after it was sent.
        assert_eq!(
            text(&format!("{PROCESS_FUNCTIONS}while alive {pid} {start}; do sleep 0.01; done; echo gone")),
            "gone\n"
        );
        assert_eq!(text(&signal_script("KILL", &[id, id])).lines().count(), 0, "gone, or a zombie");
        assert_eq!(std::fs::read_to_string(&log).unwrap(), "began\n/\n");
    }

    #[test]
    fn a_detached_command_that_does_not_begin_in_time_never_begins() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).display().to_string();
        // Time flies, and what shall begin takes long.
        let slow = format!("setsid() {{ command sleep 1; : >{}; }}\nsleep() {{ :; }}\n", path("begun"));
        let output = sh(&(slow + &detached("exec sleep 60", &path("log"), &path("pid"))));
        assert_eq!(output.status.code(), Some(1));
        assert!(String::from_utf8_lossy(&output.stderr).contains("did not begin within 5 s"));
        std::thread::sleep(std::time::Duration::from_millis(1_300));
        assert!(!folder.path().join("begun").exists());
    }

    #[test]
    fn descendants_are_found_whatever_their_names() {
        let folder = tempfile::tempdir().unwrap();
        let odd = folder.path().join("a) R 1 (b c");
        // A link: what was just written cannot be executed while a child of another test still holds it open.
        std::os::unix::fs::symlink("/bin/sleep", &odd).unwrap();
        let script = format!("{} 30 & sh -c 'sleep 31 & wait' & wait", quote(&odd.display().to_string()));
        let mut parent = Command::new("sh").args(["-c", &script]).spawn().unwrap();
        let mut lines = Vec::new();
        for _ in 0..2000 {
            lines = text(&descendants_script(parent.id())).lines().map(str::to_owned).collect();
            if lines.len() == 4 {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        let ids: Vec<ProcessId> = lines
            .iter()
            .filter_map(|line| {
                let (pid, start_ticks) = line.split_once(' ')?;
                Some(ProcessId { pid: pid.parse().ok()?, start_ticks: start_ticks.parse().ok()? })
            })
            .collect();
        text(&signal_script("KILL", &ids));
        parent.wait().unwrap();
        assert_eq!(ids.len(), 4, "shell, oddly named sleeper, shell, sleeper: {lines:?}");
        assert_eq!(text(&descendants_script(u32::MAX)), "");
    }
}
