//! Where a node is and how we get in: plain data, without secrets in `Debug`.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use schism_history::Node;

/// A text that is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Arc<str>);

impl Secret {
    /// Keeps a text from being shown.
    pub fn new(text: &str) -> Secret {
        Secret(Arc::from(text))
    }

    /// The text itself.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

/// One way to prove who we are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Auth {
    /// A private key in a file (OpenSSH or PEM form). `~/` at its beginning is our home folder.
    KeyFile {
        /// The file.
        path: PathBuf,
        /// Its passphrase, where it is encrypted.
        passphrase: Option<Secret>,
    },
    /// A private key in memory.
    KeyMemory {
        /// The text of the key.
        private: Secret,
        /// Its passphrase, where it is encrypted.
        passphrase: Option<Secret>,
    },
    /// Every key of an agent, in its order.
    Agent {
        /// Its socket; `None` means `SSH_AUTH_SOCK`.
        socket: Option<PathBuf>,
    },
    /// A password (also said to keyboard-interactive prompts that ask for one).
    Password(Secret),
}

/// Whose word we take for who the node is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostKeys {
    /// An OpenSSH `known_hosts` file; unknown hosts are refused.
    File(PathBuf),
    /// The same, but the key of a host that is not in it is written down at first sight. Changed keys are refused.
    AcceptNew(PathBuf),
    /// This key and no other: a fingerprint (`SHA256:...`) or a public key (`ssh-ed25519 AAAA...`).
    Known(String),
    /// Any key. Only for networks where nobody else is.
    Insecure,
}

/// How a login that is not root becomes root.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Sudo {
    /// With the login's password if there is one among its [`Auth`]s, without otherwise.
    #[default]
    Auto,
    /// `sudo -n`: sudoers says NOPASSWD.
    Passwordless,
    /// With this password; it is used up by sudo alone, also where sudo turns out not to ask.
    Password(Secret),
}

/// A node as SSH reaches it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SshTarget {
    /// The name of the node.
    pub node: Node,
    /// Host name, IPv4 or IPv6 address (without brackets) that we connect to.
    pub address: String,
    /// Port of its sshd.
    pub port: u16,
    /// The login.
    pub user: String,
    /// Ways in, tried in this order.
    pub auth: Vec<Auth>,
    /// How its host key is checked.
    pub host_keys: HostKeys,
    /// The host over which it is reached, which may have a jump host of its own.
    pub jump: Option<Box<SshTarget>>,
    /// How the login becomes root.
    pub sudo: Sudo,
    /// How long a connection may take from TCP to login; also how long an idle one may take to open a channel before
    /// it counts as broken.
    pub connect_timeout: Duration,
    /// How often an idle connection is kept alive. A peer that answers no TCP keepalive for about twice as long is gone.
    pub keepalive: Duration,
    /// How many commands may run at a time, each on a connection of its own, made when it is needed. Copies have
    /// another connection.
    pub sessions_max: usize,
}

impl SshTarget {
    /// Port 22, as root, keys from the agent, `~/.ssh/known_hosts`, sudo as it comes, 10 s to connect, keepalive each
    /// 15 s, 4 commands at a time.
    pub fn new(node: Node, address: &str) -> SshTarget {
        SshTarget {
            node,
            address: address.to_owned(),
            port: 22,
            user: "root".to_owned(),
            auth: vec![Auth::Agent { socket: None }],
            host_keys: HostKeys::File(PathBuf::from("~/.ssh/known_hosts")),
            jump: None,
            sudo: Sudo::Auto,
            connect_timeout: Duration::from_secs(10),
            keepalive: Duration::from_secs(15),
            sessions_max: 4,
        }
    }

    /// `host:port`, for messages (`[host]:port` for IPv6).
    pub fn place(&self) -> String {
        if self.address.contains(':') {
            format!("[{}]:{}", self.address, self.port)
        } else {
            format!("{}:{}", self.address, self.port)
        }
    }

    /// The name under which known_hosts files know it: `host` at port 22, `[host]:port` elsewhere.
    pub(crate) fn known_name(&self) -> String {
        if self.port == 22 { self.address.clone() } else { format!("[{}]:{}", self.address, self.port) }
    }

    /// The password that sudo is told, if any.
    pub(crate) fn sudo_password(&self) -> Option<&Secret> {
        match &self.sudo {
            Sudo::Passwordless => None,
            Sudo::Password(password) => Some(password),
            Sudo::Auto => self.auth.iter().find_map(|auth| match auth {
                Auth::Password(password) => Some(password),
                _ => None,
            }),
        }
    }
}

/// `~/x` as a path in our home folder; other paths as they are.
pub(crate) fn expand_home(path: &std::path::Path) -> PathBuf {
    match (path.strip_prefix("~"), std::env::var_os("HOME")) {
        (Ok(rest), Some(home)) => PathBuf::from(home).join(rest),
        _ => path.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_secret_is_shown() {
        let mut target = SshTarget::new(Node::new("n1"), "fe80::1");
        target.auth = vec![
            Auth::Password(Secret::new("hunter2")),
            Auth::KeyMemory { private: Secret::new("hunter2"), passphrase: Some(Secret::new("hunter2")) },
        ];
        target.sudo = Sudo::Password(Secret::new("hunter2"));
        target.jump = Some(Box::new(target.clone()));
        assert!(!format!("{target:?}").contains("hunter2"));
    }

    #[test]
    fn places() {
        let cases = [("h", 22, "h:22", "h"), ("h", 2222, "h:2222", "[h]:2222"), ("::1", 22, "[::1]:22", "::1")];
        for (address, port, place, known) in cases {
            let target = SshTarget { port, ..SshTarget::new(Node::new("n"), address) };
            assert_eq!((target.place().as_str(), target.known_name().as_str()), (place, known));
        }
    }
}
