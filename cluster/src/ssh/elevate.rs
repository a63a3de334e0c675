//! The command line that brings a script to `sh` on the node, as the right user. Pure.
//!
//! The line goes to the login shell, which may be anything (csh, fish): so it holds nothing but plain words and one
//! single-quoted text without quotes, backslash-quotes, newlines or `!`. The script itself travels as `printf %b`
//! escapes; one too long for an SSH packet goes ahead of standard input.
//!
//! Where sudo is told a password, nobody knows beforehand whether it will ask (a cached ticket, NOPASSWD): so standard
//! input begins with the password and a marker line, and what begins under sudo reads up to the marker. It then says
//! the marker on standard error: without it there, sudo has refused.

use std::fmt::Write as _;

use super::target::{Secret, SshTarget};
use crate::remote::{Command, User};

/// Scripts whose escaped form is longer than this go ahead of standard input. libssh2 packets end at about 32 kB.
const LINE_BYTES_MAX: usize = 24_000;

/// What is sent to a node for a command.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Wrapped {
    /// The command line.
    pub line: String,
    /// Comes before the command's standard input.
    pub stdin_head: Vec<u8>,
    /// Is said on standard error as the first line once the command really begins.
    pub marker: Option<String>,
}

/// Why a command cannot be sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum WrapError {
    #[error("a script cannot hold a NUL byte")]
    Nul,
    #[error("`{0}` is no user name")]
    UserName(String),
    #[error("the sudo password holds a newline")]
    Password,
}

/// Wraps a command for a target. `token` must be a word that occurs nowhere else.
pub(crate) fn wrap(target: &SshTarget, command: &Command, token: &str) -> Result<Wrapped, WrapError> {
    let whole = command.whole();
    if whole.contains('\0') {
        return Err(WrapError::Nul);
    }
    let (script, body) = carried(&whole);
    let other = match &command.user {
        User::Login => None,
        User::Root if target.user == "root" => None,
        User::Root => Some("root"),
        User::Named(name) if *name == target.user => None,
        User::Named(name) => Some(name.as_str()),
    };
    let Some(other) = other else {
        let line = format!("exec sh -c '{}' sh '{script}'", runner(body.len(), None));
        return Ok(Wrapped { line, stdin_head: body, marker: None });
    };
    if other.is_empty()
        || other.starts_with('-')
        || !other.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.@".contains(&b))
    {
        return Err(WrapError::UserName(other.to_owned()));
    }
    if target.user == "root" {
        // su is on every Debian and Alpine; sudo is not.
        let line = format!("exec su -s /bin/sh {other} -c '{}' sh '{script}'", runner(body.len(), None));
        return Ok(Wrapped { line, stdin_head: body, marker: None });
    }
    let mut head = Vec::new();
    let sudo = match target.sudo_password() {
        Some(password) => {
            head = told(password, token)?;
            "sudo -S -p ''"
        }
        None => "sudo -n",
    };
    let reads = runner(body.len(), Some((token, !head.is_empty())));
    head.extend_from_slice(&body);
    Ok(Wrapped {
        line: format!("exec {sudo} -u {other} -- sh -c '{reads}' sh '{script}'"),
        stdin_head: head,
        marker: Some(token.to_owned()),
    })
}

fn told(password: &Secret, token: &str) -> Result<Vec<u8>, WrapError> {
    if password.expose().contains('\n') {
        return Err(WrapError::Password);
    }
    Ok(format!("{}\n{token}\n", password.expose()).into_bytes())
}

/// What a script that goes by standard input ends with: one that was cut off, as its sender died, must not be run in part.
const END: &str = "#whole";

/// The script as it stands in the line, and what of it goes by standard input.
fn carried(script: &str) -> (String, Vec<u8>) {
    let escaped = escape(script);
    if escaped.len() <= LINE_BYTES_MAX {
        return (escaped, Vec::new());
    }
    (String::new(), format!("{script}\n{END}").into_bytes())
}

/// For `printf %b` between single quotes of whatever shell.
fn escape(script: &str) -> String {
    let mut escaped = String::with_capacity(script.len() + script.len() / 8);
    for byte in script.bytes() {
        match byte {
            b'\'' | b'\\' | b'!' | b'%' | 0x00..=0x1f | 0x7f..=0xff => {
                let _ = write!(escaped, "\\0{byte:03o}");
            }
            plain => escaped.push(char::from(plain)),
        }
    }
    escaped
}

/// The small script, free of quotes and newlines, that takes up the real one. `dd bs=1` reads not one byte too many.
fn runner(body_bytes: usize, sudo: Option<(&str, bool)>) -> String {
    let mut text = String::new();
    if let Some((token, told)) = sudo {
        if told {
            let _ = write!(text, "IFS= read -r l; [ \"$l\" = {token} ] || IFS= read -r l; unset l; ");
        }
        let _ = write!(text, "echo {token} >&2; ");
    }
    if body_bytes == 0 {
        text.push_str("eval \"shift; $(printf %b \"$1\")\"");
    } else {
        let _ = write!(text, "b=$(dd bs=1 count={body_bytes} 2>/dev/null); ");
        let _ = write!(text, "case $b in *{END}) ;; *) exit 126 ;; esac; eval \"shift; unset b; $b\"");
    }
    text
}

/// Takes the marker, and what was said before it (a lecture of sudo's), off standard error. False if it is not there:
/// the command never began.
pub(crate) fn strip_marker(stderr: &mut Vec<u8>, marker: &str) -> bool {
    let line = format!("{marker}\n").into_bytes();
    match stderr.windows(line.len()).position(|window| window == line) {
        Some(at) => {
            stderr.drain(..at + line.len());
            true
        }
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::process::{Command as Process, Stdio};

    use schism_history::Node;

    use super::super::target::{Auth, Sudo};
    use super::*;

    fn target(user: &str, sudo: Sudo) -> SshTarget {
        SshTarget { user: user.to_owned(), sudo, ..SshTarget::new(Node::new("n1"), "h") }
    }

    /// What the line says when `shell` is the login shell; sudo and su are replaced by `stub`.
    fn say(shell: &str, line: &str, stdin: &[u8]) -> String {
        let mut process = Process::new(shell);
        let mut child = process.arg("-c").arg(line).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut input = child.stdin.take().unwrap();
        let bytes = stdin.to_vec();
        let feed = std::thread::spawn(move || input.write_all(&bytes));
        let output = child.wait_with_output().unwrap();
        let _ = feed.join();
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    #[test]
    fn any_script_comes_through_any_login_shell() {
        let long = format!("cat\n: {}\necho end", "it's a long comment \\ ".repeat(3000));
        let cases = [
            ("printf '%s\n' \"a'b\\\\c!d%s\" é; echo $#", "", "a'b\\c!d%s\né\n0\n"),
            ("cat; echo done", "in\nput", "in\nputdone\n"),
            ("if true\nthen\n  printf '%s|' 'x\ty' \"$HOME/z\" | sed s,.*z,z,\nfi", "", "z|"),
            ("cat <<'E'\n$x\nE", "", "$x\n"),
            (long.as_str(), "in", "inend\n"),
            ("exit 0; echo no", "", ""),
        ];
        for (script, stdin, expected) in cases {
            let wrapped = wrap(&target("root", Sudo::Auto), &Command::new(script), "T").ok().unwrap();
            let mut input = wrapped.stdin_head.clone();
            input.extend_from_slice(stdin.as_bytes());
            for shell in ["sh", "bash"] {
                assert_eq!(say(shell, &wrapped.line, &input), expected, "{shell}: {:.80}", wrapped.line);
            }
            assert!(wrapped.line.len() < 30_000);
            let inner = wrapped.line.bytes().filter(|b| b"\n!".contains(b)).count();
            assert_eq!((inner, wrapped.line.matches("\\'").count()), (0, 0), "safe for csh and fish");
        }
    }

    #[test]
    fn a_script_that_was_cut_off_is_not_run_in_part() {
        let long = format!("echo begun\n: {}\necho end", "x".repeat(LINE_BYTES_MAX));
        let wrapped = wrap(&target("root", Sudo::Auto), &Command::new(long), "T").ok().unwrap();
        let whole = &wrapped.stdin_head;
        assert_eq!(say("sh", &wrapped.line, whole), "begun\nend\n");
        for bytes in [0, 12, whole.len() / 2, whole.len() - 1] {
            assert_eq!(say("sh", &wrapped.line, &whole[..bytes]), "", "{bytes} of {} bytes", whole.len());
        }
    }

    #[test]
    fn whether_or_not_sudo_takes_the_password_the_command_reads_its_own_input() {
        let deploy = SshTarget { auth: vec![Auth::Password(Secret::new("pa ss"))], ..target("deploy", Sudo::Auto) };
        let wrapped = wrap(&deploy, &Command::new("cat"), "MARK").ok().unwrap();
        let mut input = wrapped.stdin_head.clone();
        input.extend_from_slice(b"my input\n");
        let line = wrapped.line.strip_prefix("exec sudo -S -p '' -u root -- ").unwrap();
        assert_eq!(say("sh", line, &input), "my input\n", "sudo did not ask");
        let asked = format!("IFS= read -r password; {line}");
        assert_eq!(say("sh", &asked, &input), "my input\n", "sudo asked");
    }

    #[test]
    fn as_whom() {
        let password = Sudo::Password(Secret::new("x"));
        let cases = [
            ("root", Sudo::Auto, User::Root, "exec sh -c "),
            ("root", Sudo::Auto, User::Login, "exec sh -c "),
            ("root", Sudo::Auto, User::Named("etcd".into()), "exec su -s /bin/sh etcd -c "),
            ("me", Sudo::Auto, User::Login, "exec sh -c "),
            ("me", Sudo::Auto, User::Named("me".into()), "exec sh -c "),
            ("me", Sudo::Auto, User::Root, "exec sudo -n -u root -- sh -c "),
            ("me", Sudo::Passwordless, User::Named("etcd".into()), "exec sudo -n -u etcd -- sh -c "),
            ("me", password, User::Root, "exec sudo -S -p '' -u root -- sh -c "),
        ];
        for (login, sudo, user, begins) in cases {
            let wrapped = wrap(&target(login, sudo), &Command::new("id").user(user.clone()), "T").ok().unwrap();
            assert!(wrapped.line.starts_with(begins), "{login} {user:?}: {}", wrapped.line);
            assert!(!wrapped.line.contains('x') || !wrapped.line.contains(" x "), "no secret on a command line");
        }
    }

    #[test]
    fn what_cannot_be_sent_is_refused() {
        let me = target("me", Sudo::Password(Secret::new("a\nb")));
        let refused = |command: Command| wrap(&me, &command, "T").err().unwrap().to_string();
        assert_eq!(refused(Command::new("a\0b")), "a script cannot hold a NUL byte");
        assert_eq!(refused(Command::new("a").user(User::Named("-x; id".into()))), "`-x; id` is no user name");
        assert_eq!(refused(Command::new("a")), "the sudo password holds a newline");
    }

    #[test]
    fn the_marker_is_taken_off() {
        let mut stderr = b"lecture\nMARK\nreal\n".to_vec();
        assert!(strip_marker(&mut stderr, "MARK"));
        assert_eq!(stderr, b"real\n");
        let mut stderr = b"sudo: a password is required\n".to_vec();
        assert!(!strip_marker(&mut stderr, "MARK"));
        assert_eq!(stderr, b"sudo: a password is required\n");
    }
}
