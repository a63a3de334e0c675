//! The login: each way in, in the order of the target, until one is let in.

use std::path::Path;
use std::time::Instant;

use ssh2::{ErrorCode, KeyboardInteractivePrompt, Prompt};

use super::connection::{Connection, refused, unreachable};
use super::target::{Auth, Secret, SshTarget, expand_home};
use crate::remote::RemoteError;

/// libssh2's codes for a connection that is no more.
const GONE: [ErrorCode; 4] =
    [ErrorCode::Session(-7), ErrorCode::Session(-13), ErrorCode::Session(-43), ErrorCode::Session(-9)];

/// Logs in, or says for each way why it was not let in.
pub(super) fn log_in(connection: &Connection, target: &SshTarget, until: Instant) -> Result<(), RemoteError> {
    let session = &connection.session;
    let methods = match session.auth_methods(&target.user) {
        Ok(methods) => methods.to_owned(),
        // A server that lets anybody in has nothing to list.
        Err(_) if session.authenticated() => return Ok(()),
        Err(error) => {
            let reason = format!("the connection broke at login: {}", error.message());
            return Err(unreachable(target, reason, "Look at the log of its sshd"));
        }
    };
    let mut reasons = Vec::new();
    let mut hint = "Look at user, keys and password in the inventory, and at the log of its sshd";
    for auth in &target.auth {
        connection.time_left(until);
        let tried = match auth {
            Auth::KeyFile { path, passphrase } => key_file(connection, target, path, passphrase.as_ref()),
            Auth::KeyMemory { private, passphrase } => {
                key(connection, target, "the key", private.expose(), passphrase.as_ref())
            }
            Auth::Agent { socket } => agent(connection, target, socket.as_deref()),
            Auth::Password(password) => pass(connection, target, password, &methods),
        };
        match tried {
            Ok(()) if session.authenticated() => return Ok(()),
            Ok(()) => reasons.push("the server wants a further proof".to_owned()),
            Err(no) => {
                hint = no.hint.unwrap_or(hint);
                reasons.push(no.reason);
                if no.gone {
                    reasons.push("then the server closed the connection".to_owned());
                    break;
                }
            }
        }
    }
    if reasons.is_empty() {
        reasons.push("no key, agent or password was given".to_owned());
    }
    Err(refused(target, format!("{} (the server takes: {methods})", reasons.join("; ")), hint))
}

/// Why one way did not lead in.
struct No {
    reason: String,
    hint: Option<&'static str>,
    gone: bool,
}

impl No {
    fn new(reason: String) -> No {
        No { reason, hint: None, gone: false }
    }

    fn of(what: &str, error: &ssh2::Error) -> No {
        No { reason: format!("{what}: {}", error.message()), hint: None, gone: GONE.contains(&error.code()) }
    }
}

fn key_file(connection: &Connection, target: &SshTarget, path: &Path, passphrase: Option<&Secret>) -> Result<(), No> {
    let path = expand_home(path);
    let name = format!("key file {}", path.display());
    let text = std::fs::read_to_string(&path).map_err(|error| No {
        hint: Some("Look at the path and the rights of the key file"),
        ..No::new(format!("{name}: {error}"))
    })?;
    key(connection, target, &name, &text, passphrase)
}

fn key(
    connection: &Connection,
    target: &SshTarget,
    name: &str,
    private: &str,
    passphrase: Option<&Secret>,
) -> Result<(), No> {
    if private.contains('\0') || passphrase.is_some_and(|passphrase| passphrase.expose().contains('\0')) {
        return Err(No::new(format!("{name}: holds a NUL byte")));
    }
    // OpenSSL asks on the terminal where it is given no passphrase at all.
    let phrase = passphrase.map_or("", Secret::expose);
    let session = &connection.session;
    session.userauth_pubkey_memory(&target.user, None, private, Some(phrase)).map_err(|error| {
        let mut no = No::of(name, &error);
        // Everything but a refusal by the server means that the key could not be opened.
        if error.code() != ErrorCode::Session(-18) && !no.gone {
            no.hint = Some(match passphrase {
                None => "If the key is encrypted, give its passphrase; if not, look whether it is a private key",
                Some(_) => "Look at the passphrase of the key",
            });
        }
        no
    })
}

fn agent(connection: &Connection, target: &SshTarget, socket: Option<&Path>) -> Result<(), No> {
    const HINT: Option<&str> = Some("Start an ssh-agent, set SSH_AUTH_SOCK and add the key with ssh-add");
    let hinted = |what: &str, error: ssh2::Error| No { hint: HINT, ..No::of(what, &error) };
    let mut agent = connection.session.agent().map_err(|error| hinted("agent", error))?;
    if let Some(socket) = socket {
        agent.set_identity_path(&expand_home(socket)).map_err(|error| hinted("agent", error))?;
    }
    agent.connect().map_err(|error| hinted("no agent answers", error))?;
    agent.list_identities().map_err(|error| hinted("the agent lists no keys", error))?;
    let keys = agent.identities().map_err(|error| hinted("the agent lists no keys", error))?;
    let mut no = No { hint: HINT, ..No::new("the agent has no keys".to_owned()) };
    for key in &keys {
        match agent.userauth(&target.user, key) {
            Ok(()) => return Ok(()),
            Err(error) => no = No::of(&format!("none of the {} keys of the agent fits", keys.len()), &error),
        }
        if no.gone {
            break;
        }
    }
    Err(no)
}

fn pass(connection: &Connection, target: &SshTarget, password: &Secret, methods: &str) -> Result<(), No> {
    let session = &connection.session;
    let offers = |method: &str| methods.split(',').any(|offered| offered.trim() == method);
    let mut no = No::new("password: the server takes none".to_owned());
    if offers("password") {
        match session.userauth_password(&target.user, password.expose()) {
            Ok(()) => return Ok(()),
            Err(error) => no = No::of("password", &error),
        }
    }
    if !no.gone && offers("keyboard-interactive") {
        let mut answers = Answers { password, asked: false };
        match session.userauth_keyboard_interactive(&target.user, &mut answers) {
            Ok(()) => return Ok(()),
            Err(error) => no = No::of("password (keyboard-interactive)", &error),
        }
    }
    Err(no)
}

/// Says the password to the first hidden prompt, and nothing to any other: a server that asks again (for a second
/// factor, say) does not get it twice.
struct Answers<'a> {
    password: &'a Secret,
    asked: bool,
}

impl KeyboardInteractivePrompt for Answers<'_> {
    fn prompt<'a>(&mut self, _user: &str, _instructions: &str, prompts: &[Prompt<'a>]) -> Vec<String> {
        let answer = |prompt: &Prompt<'a>| {
            if prompt.echo || std::mem::replace(&mut self.asked, true) {
                return String::new();
            }
            self.password.expose().to_owned()
        };
        prompts.iter().map(answer).collect()
    }
}
