//! Machines that a user has, as data: who they are, how we get in. Read from YAML (or JSON) by those who know YAML.
//!
//! ```yaml
//! defaults: { user: deploy, key: ~/.ssh/id_ed25519, sudo_password_env: SUDO_PASSWORD, jump: bastion.example }
//! nodes:
//!   - 10.0.0.11
//!   - { name: n2, address: 10.0.0.12, port: 2222 }
//! ```
//!
//! Passwords and passphrases never stand in it, only the names of environment variables that hold them.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use schism_history::Node;
use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::cluster::{Cluster, NodeHandle};
use crate::ground::Ground;
use crate::ssh::{Auth, HostKeys, Secret, SshRemote, SshTarget, Sudo};

/// What is wrong with an inventory.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InventoryError {
    /// There is no node.
    #[error("the inventory names no node; give at least one under `nodes:`")]
    Empty,
    /// Two nodes have one name.
    #[error("the inventory names {0} twice; give each node a `name` of its own")]
    Twice(Node),
    /// A name that cannot stand in histories, paths and scripts.
    #[error("`{0}` is no name for a node; use letters, digits, `.`, `-`, `_` and `:`, with a letter or digit first")]
    Name(String),
    /// A secret's variable is not set.
    #[error("the environment variable {variable} ({field} of node {node}) is not set; export it")]
    Variable {
        /// Which node.
        node: Node,
        /// `password_env`...
        field: &'static str,
        /// The variable.
        variable: String,
    },
    /// Two fields that exclude each other.
    #[error("node {node} has both `{one}` and `{other}`; keep one")]
    Both {
        /// Which node.
        node: Node,
        /// One field.
        one: &'static str,
        /// The other.
        other: &'static str,
    },
}

/// An inventory as written.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Inventory {
    /// What holds for every node that says nothing else.
    #[serde(default)]
    pub defaults: Login,
    /// The nodes.
    pub nodes: Vec<Entry>,
}

/// One node: its host alone, or more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// A host name or address, which is its name too.
    Host(String),
    /// More.
    Machine(Box<Machine>),
}

// By hand: serde's untagged enums forget which field was wrong, and where.
impl<'de> Deserialize<'de> for Entry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Entry, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Entry;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a host (text), or a map with `address` and perhaps `name` and how to log in")
            }

            fn visit_str<E: serde::de::Error>(self, host: &str) -> Result<Entry, E> {
                Ok(Entry::Host(host.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Entry, A::Error> {
                Machine::deserialize(MapAccessDeserializer::new(map)).map(|machine| Entry::Machine(Box::new(machine)))
            }
        }
        deserializer.deserialize_any(Either)
    }
}

/// One node, at length.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Machine {
    /// Its name; its address if there is none.
    #[serde(default)]
    pub name: Option<String>,
    /// Its address as clients and the other nodes see it.
    pub address: String,
    /// Its address for SSH, where that is another.
    #[serde(default)]
    pub ssh_address: Option<String>,
    // The fields of `Login`, spelt out: serde cannot flatten and refuse unknown fields at once.
    /// See [`Login::user`].
    pub user: Option<String>,
    /// See [`Login::port`].
    pub port: Option<u16>,
    /// See [`Login::key`].
    pub key: Option<PathBuf>,
    /// See [`Login::passphrase_env`].
    pub passphrase_env: Option<String>,
    /// See [`Login::password_env`].
    pub password_env: Option<String>,
    /// See [`Login::agent`].
    pub agent: Option<bool>,
    /// See [`Login::known_hosts`].
    pub known_hosts: Option<PathBuf>,
    /// See [`Login::accept_new_hosts`].
    pub accept_new_hosts: Option<bool>,
    /// See [`Login::host_key`].
    pub host_key: Option<String>,
    /// See [`Login::insecure`].
    pub insecure: Option<bool>,
    /// See [`Login::sudo`].
    pub sudo: Option<SudoKind>,
    /// See [`Login::sudo_password_env`].
    pub sudo_password_env: Option<String>,
    /// See [`Login::jump`].
    pub jump: Option<Entry>,
    /// See [`Login::connect_timeout_ms`].
    pub connect_timeout_ms: Option<u64>,
}

/// How we get in.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Login {
    /// The login; root without one.
    pub user: Option<String>,
    /// The port of sshd; 22 without one.
    pub port: Option<u16>,
    /// A private key.
    pub key: Option<PathBuf>,
    /// The variable that holds its passphrase.
    pub passphrase_env: Option<String>,
    /// The variable that holds the login's password.
    pub password_env: Option<String>,
    /// Whether the ssh-agent is asked, before the password. True without a word, where there is no key.
    pub agent: Option<bool>,
    /// The file of known hosts; `~/.ssh/known_hosts` without one.
    pub known_hosts: Option<PathBuf>,
    /// Whether hosts that are not in it are written down at first sight. False without a word.
    pub accept_new_hosts: Option<bool>,
    /// The host's one key: a fingerprint or a public key.
    pub host_key: Option<String>,
    /// Whether any host key will do.
    pub insecure: Option<bool>,
    /// How a login that is not root becomes root.
    pub sudo: Option<SudoKind>,
    /// The variable that holds the password for sudo.
    pub sudo_password_env: Option<String>,
    /// The host over which nodes are reached. It takes user, keys, agent, password and known hosts from `defaults`;
    /// port, host key and a jump host of its own it has to say itself.
    pub jump: Option<Box<Entry>>,
    /// How long a connection may take; 10 s without a word.
    pub connect_timeout_ms: Option<u64>,
}

/// As written under `sudo:`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SudoKind {
    /// With the login's password, if there is one.
    Auto,
    /// `sudo -n`.
    Passwordless,
}

/// Where secrets come from: the value of a variable. Handed in, so that this can be tested and reads no environment.
pub type Variables<'a> = &'a dyn Fn(&str) -> Option<String>;

impl Inventory {
    /// Every node as SSH reaches it, with its address as clients see it.
    ///
    /// # Errors
    /// See [`InventoryError`].
    pub fn targets(&self, variables: Variables<'_>) -> Result<Vec<(SshTarget, String)>, InventoryError> {
        let mut targets: Vec<(SshTarget, String)> = Vec::new();
        for entry in &self.nodes {
            let (machine, login) = entry.over(&self.defaults);
            let target = machine.target(&login, &self.defaults, variables, 0)?;
            if targets.iter().any(|(other, _)| other.node == target.node) {
                return Err(InventoryError::Twice(target.node));
            }
            targets.push((target, machine.address));
        }
        if targets.is_empty() {
            return Err(InventoryError::Empty);
        }
        Ok(targets)
    }

    /// The cluster of these machines; nothing is connected yet.
    ///
    /// # Errors
    /// See [`InventoryError`].
    pub fn into_cluster(self, ground: Arc<dyn Ground>, variables: Variables<'_>) -> Result<Cluster, InventoryError> {
        let handle = |(target, address): (SshTarget, String)| NodeHandle {
            node: target.node.clone(),
            address,
            remote: Arc::new(SshRemote::new(target)),
        };
        Ok(Cluster { nodes: self.targets(variables)?.into_iter().map(handle).collect(), ground })
    }
}

impl Entry {
    /// The machine, and its login laid over another.
    fn over(&self, under: &Login) -> (Machine, Login) {
        let machine = match self {
            Entry::Host(host) => Machine::bare(host),
            Entry::Machine(machine) => (**machine).clone(),
        };
        let login = machine.login(under);
        (machine, login)
    }
}

impl Machine {
    fn bare(host: &str) -> Machine {
        Machine {
            name: None,
            address: host.to_owned(),
            ssh_address: None,
            user: None,
            port: None,
            key: None,
            passphrase_env: None,
            password_env: None,
            agent: None,
            known_hosts: None,
            accept_new_hosts: None,
            host_key: None,
            insecure: None,
            sudo: None,
            sudo_password_env: None,
            jump: None,
            connect_timeout_ms: None,
        }
    }

    /// What it says itself goes before what `under` says. A key and its passphrase belong together, as do the ways to
    /// check a host key, and sudo and its password: who says one of them says all.
    fn login(&self, under: &Login) -> Login {
        let own_key = self.key.is_some() || self.passphrase_env.is_some();
        let own_hosts = self.known_hosts.is_some()
            || self.accept_new_hosts.is_some()
            || self.host_key.is_some()
            || self.insecure.is_some();
        let own_sudo = self.sudo.is_some() || self.sudo_password_env.is_some();
        let pick = |own: bool| if own { Login::default() } else { under.clone() };
        let (key, hosts, sudo) = (pick(own_key), pick(own_hosts), pick(own_sudo));
        Login {
            user: self.user.clone().or_else(|| under.user.clone()),
            port: self.port.or(under.port),
            key: self.key.clone().or(key.key),
            passphrase_env: self.passphrase_env.clone().or(key.passphrase_env),
            password_env: self.password_env.clone().or_else(|| under.password_env.clone()),
            agent: self.agent.or(under.agent),
            known_hosts: self.known_hosts.clone().or(hosts.known_hosts),
            accept_new_hosts: self.accept_new_hosts.or(hosts.accept_new_hosts),
            host_key: self.host_key.clone().or(hosts.host_key),
            insecure: self.insecure.or(hosts.insecure),
            sudo: self.sudo.or(sudo.sudo),
            sudo_password_env: self.sudo_password_env.clone().or(sudo.sudo_password_env),
            jump: self.jump.clone().map(Box::new).or_else(|| under.jump.clone()),
            connect_timeout_ms: self.connect_timeout_ms.or(under.connect_timeout_ms),
        }
    }

    fn target(
        &self,
        login: &Login,
        defaults: &Login,
        variables: Variables<'_>,
        depth: u32,
    ) -> Result<SshTarget, InventoryError> {
        let node = node_name(self.name.as_deref().unwrap_or(&self.address))?;
        let secret = |field: &'static str, variable: &Option<String>| match variable {
            None => Ok(None),
            Some(name) => match variables(name) {
                Some(value) => Ok(Some(Secret::new(&value))),
                None => Err(InventoryError::Variable { node: node.clone(), field, variable: name.clone() }),
            },
        };
        let mut target = SshTarget::new(node.clone(), self.ssh_address.as_deref().unwrap_or(&self.address));
        target.port = login.port.unwrap_or(22);
        target.user = login.user.clone().unwrap_or_else(|| "root".to_owned());
        target.auth.clear();
        let passphrase = secret("passphrase_env", &login.passphrase_env)?;
        if let Some(path) = &login.key {
            target.auth.push(Auth::KeyFile { path: path.clone(), passphrase });
        }
        if login.agent.unwrap_or(login.key.is_none()) {
            target.auth.push(Auth::Agent { socket: None });
        }
        target.auth.extend(secret("password_env", &login.password_env)?.map(Auth::Password));
        target.host_keys = login.host_keys(&node)?;
        target.sudo = match (login.sudo, secret("sudo_password_env", &login.sudo_password_env)?) {
            (Some(SudoKind::Passwordless), Some(_)) => {
                return Err(InventoryError::Both { node, one: "sudo: passwordless", other: "sudo_password_env" });
            }
            (_, Some(password)) => Sudo::Password(password),
            (Some(SudoKind::Passwordless), None) => Sudo::Passwordless,
            (_, None) => Sudo::Auto,
        };
        if let Some(ms) = login.connect_timeout_ms {
            target.connect_timeout = Duration::from_millis(ms.max(1));
        }
        // Chains are as deep as they are written; this bounds only what a mistaken program could build.
        if let Some(jump) = login.jump.as_deref().filter(|_| depth < 8) {
            let (machine, login) = jump.over(&defaults.for_jump());
            target.jump = Some(Box::new(machine.target(&login, defaults, variables, depth + 1)?));
        }
        Ok(target)
    }
}

impl Login {
    /// What a jump host takes from the defaults: not the port, host key, sudo or jump host of the nodes.
    fn for_jump(&self) -> Login {
        Login { port: None, host_key: None, sudo: None, sudo_password_env: None, jump: None, ..self.clone() }
    }

    fn host_keys(&self, node: &Node) -> Result<HostKeys, InventoryError> {
        let file = || self.known_hosts.clone().unwrap_or_else(|| PathBuf::from("~/.ssh/known_hosts"));
        let both = |one, other| Err(InventoryError::Both { node: node.clone(), one, other });
        match (&self.host_key, self.insecure.unwrap_or(false), self.accept_new_hosts.unwrap_or(false)) {
            (Some(_), true, _) => both("host_key", "insecure"),
            (_, true, true) => both("insecure", "accept_new_hosts"),
            (Some(key), false, _) => Ok(HostKeys::Known(key.clone())),
            (None, true, false) => Ok(HostKeys::Insecure),
            (None, false, true) => Ok(HostKeys::AcceptNew(file())),
            (None, false, false) => Ok(HostKeys::File(file())),
        }
    }
}

fn node_name(name: &str) -> Result<Node, InventoryError> {
    let starts = name.starts_with(|first: char| first.is_ascii_alphanumeric());
    let good = name.chars().all(|char| char.is_ascii_alphanumeric() || ".-_:".contains(char));
    if starts && good { Ok(Node::new(name)) } else { Err(InventoryError::Name(name.to_owned())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<Vec<(SshTarget, String)>, String> {
        let inventory: Inventory = serde_json::from_str(json).map_err(|error| error.to_string())?;
        let variables = |name: &str| (name != "UNSET").then(|| format!("value of {name}"));
        inventory.targets(&variables).map_err(|error| error.to_string())
    }

    fn one(json: &str) -> SshTarget {
        read(json).unwrap().remove(0).0
    }

    #[test]
    fn a_bare_host_has_the_defaults_of_ssh() {
        let target = one(r#"{"nodes": ["10.0.0.1"]}"#);
        assert_eq!(target, SshTarget::new(Node::new("10.0.0.1"), "10.0.0.1"));
        assert_eq!((target.port, target.user.as_str()), (22, "root"));
    }

    #[test]
    fn what_a_node_says_goes_before_the_defaults() {
        let json = r#"{
            "defaults": {"user": "deploy", "port": 2222, "key": "~/k", "passphrase_env": "PP", "password_env": "PW",
                         "sudo_password_env": "SU", "known_hosts": "kh", "accept_new_hosts": true, "connect_timeout_ms": 500},
            "nodes": ["a", {"name": "n2", "address": "10.0.0.2", "ssh_address": "gate", "port": 22, "key": "other",
                            "host_key": "SHA256:x", "sudo": "passwordless"}]
        }"#;
        let targets = read(json).unwrap();
        let (first, second) = (&targets[0].0, &targets[1].0);
        let key = |path: &str, passphrase: Option<&str>| Auth::KeyFile {
            path: path.into(),
            passphrase: passphrase.map(Secret::new),
        };
        let password = || Auth::Password(Secret::new("value of PW"));
        assert_eq!(first.auth, [key("~/k", Some("value of PP")), password()]);
        assert_eq!(first.host_keys, HostKeys::AcceptNew("kh".into()));
        assert_eq!(first.sudo, Sudo::Password(Secret::new("value of SU")));
        assert_eq!((first.user.as_str(), first.port, first.connect_timeout.as_millis()), ("deploy", 2222, 500));
        assert_eq!(second.auth, [key("other", None), password()], "a key's passphrase is not that of another key");
        assert_eq!(second.host_keys, HostKeys::Known("SHA256:x".to_owned()));
        assert_eq!((second.port, &second.sudo), (22, &Sudo::Passwordless));
        assert_eq!((second.address.as_str(), targets[1].1.as_str()), ("gate", "10.0.0.2"));
    }

    #[test]
    fn jump_hosts_and_chains() {
        let json = r#"{
            "defaults": {"user": "u", "key": "k", "port": 2222, "sudo": "passwordless", "insecure": true,
                         "jump": {"address": "b", "user": "j", "jump": "c"}},
            "nodes": ["n"]
        }"#;
        let target = one(json);
        let jump = target.jump.clone().unwrap();
        assert_eq!((jump.address.as_str(), jump.user.as_str(), jump.port), ("b", "j", 22));
        assert_eq!((&jump.auth, &jump.host_keys, &jump.sudo), (&target.auth, &HostKeys::Insecure, &Sudo::Auto));
        let far = jump.jump.unwrap();
        assert_eq!((far.address.as_str(), far.user.as_str(), far.jump), ("c", "u", None));
    }

    #[test]
    fn every_mistake_is_named() {
        let cases = [
            (r#"{"nodes": []}"#, "names no node"),
            (r#"{"nodes": ["a", "a"]}"#, "names a twice"),
            (r#"{"nodes": ["a b"]}"#, "`a b` is no name"),
            (r#"{"nodes": ["../x"]}"#, "`../x` is no name"),
            (r#"{"nodes": [{"address": "a", "password": "x"}]}"#, "unknown field `password`, expected one of `name`"),
            (r#"{"nodes": [{"name": "a"}]}"#, "missing field `address`"),
            (r#"{"nodes": [7]}"#, "expected a host (text), or a map"),
            (r#"{"nodes": ["a"], "default": {}}"#, "unknown field `default`"),
            (r#"{"nodes": ["a"], "defaults": {"prot": 1}}"#, "unknown field `prot`"),
            (r#"{"nodes": ["a"], "defaults": {"port": 70000}}"#, "70000"),
            (r#"{"nodes": ["a"], "defaults": {"password_env": "UNSET"}}"#, "UNSET (password_env of node a) is not set"),
            (r#"{"nodes": ["a"], "defaults": {"insecure": true, "host_key": "k"}}"#, "both `host_key` and `insecure`"),
            (
                r#"{"nodes": ["a"], "defaults": {"sudo": "passwordless", "sudo_password_env": "S"}}"#,
                "both `sudo: passwordless`",
            ),
        ];
        for (json, expected) in cases {
            let error = read(json).unwrap_err();
            assert!(error.contains(expected), "{json}: {error}");
        }
    }

    #[test]
    fn a_cluster_of_machines() {
        let inventory: Inventory =
            serde_json::from_str(r#"{"nodes": ["a", {"name": "b", "address": "::1"}]}"#).unwrap();
        let cluster = inventory.into_cluster(Arc::new(crate::ground::NoGround), &|_| None).unwrap();
        let told: Vec<String> = cluster.nodes.iter().map(|node| format!("{} {}", node.node, node.address)).collect();
        assert_eq!(told, ["a a", "b ::1"]);
    }
}
