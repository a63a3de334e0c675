//! Machines of Vagrant: what `vagrant ssh-config` prints, as an inventory.
//!
//! The format is that of `ssh_config(5)`: a `Host` line begins a machine, indented lines say how to log in. Vagrant quotes
//! values with blanks. Host keys are whatever they are: Vagrant makes machines anew all the time and itself says
//! `StrictHostKeyChecking no`.

use std::net::IpAddr;

use serde_json::{Value as Json, json};

/// A machine as Vagrant tells how to log in to it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct VagrantMachine {
    /// Its name in the Vagrantfile.
    pub name: String,
    /// Where its sshd is.
    pub host: String,
    /// The port of its sshd.
    pub port: u16,
    /// The login.
    pub user: String,
    /// The private key.
    pub key: Option<String>,
}

/// Why what Vagrant printed is no list of machines.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum VagrantError {
    /// It names no machine.
    #[error("`vagrant ssh-config` names no machine; bring them up with `vagrant up`, or with --vagrant-up")]
    Empty,
    /// A machine without something.
    #[error("`vagrant ssh-config` says no `{field}` for the machine {name}")]
    Missing {
        /// Which machine.
        name: String,
        /// What is missing.
        field: &'static str,
    },
    /// A port that is none.
    #[error("`vagrant ssh-config` says `{found}` for the port of the machine {name}, expected a number up to 65535")]
    Port {
        /// Which machine.
        name: String,
        /// What was found.
        found: String,
    },
}

/// Reads what `vagrant ssh-config` prints. Lines that mean nothing to us (ciphers, log levels, warnings of plugins) are
/// passed over.
///
/// # Errors
/// See [`VagrantError`].
pub fn parse_ssh_config(text: &str) -> Result<Vec<VagrantMachine>, VagrantError> {
    let mut machines: Vec<VagrantMachine> = Vec::new();
    for line in text.lines() {
        let Some((word, value)) = word_and_value(line) else { continue };
        if word.eq_ignore_ascii_case("host") {
            machines.push(VagrantMachine { name: value, port: 22, ..VagrantMachine::default() });
            continue;
        }
        let Some(machine) = machines.last_mut() else { continue };
        match word.to_ascii_lowercase().as_str() {
            "hostname" => machine.host = value,
            "user" => machine.user = value,
            "port" => {
                let found = value;
                machine.port = found.parse().map_err(|_| VagrantError::Port { name: machine.name.clone(), found })?;
            }
            // The first of several keys, as ssh would try it first.
            "identityfile" if machine.key.is_none() => machine.key = Some(value),
            _ => {}
        }
    }
    for machine in &machines {
        let missing = |field| VagrantError::Missing { name: machine.name.clone(), field };
        if machine.host.is_empty() {
            return Err(missing("HostName"));
        }
        if machine.user.is_empty() {
            return Err(missing("User"));
        }
    }
    if machines.is_empty() { Err(VagrantError::Empty) } else { Ok(machines) }
}

/// `Word value`, `Word=value` or `Word "value with blanks"`.
fn word_and_value(line: &str) -> Option<(&str, String)> {
    let line = line.trim();
    if line.starts_with('#') {
        return None;
    }
    let (word, value) = line.split_once(|c: char| c.is_whitespace() || c == '=')?;
    let value = value.trim_start_matches(|c: char| c.is_whitespace() || c == '=').trim();
    let value = value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value);
    (!word.is_empty() && !value.is_empty()).then(|| (word, value.to_owned()))
}

impl VagrantMachine {
    /// Whether its sshd is only reached through a port of this machine: then the address that the other nodes use is
    /// another, which only the machine itself knows.
    pub fn is_forwarded(&self) -> bool {
        self.host == "localhost" || self.host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
    }
}

/// These machines as an inventory: the value that [`crate::inventory::Inventory`] reads. `addresses` are those that
/// clients and the other nodes use, in the same order; the sshd's where there is none.
pub fn inventory(machines: &[VagrantMachine], addresses: &[Option<String>]) -> Json {
    let node = |(at, machine): (usize, &VagrantMachine)| {
        let address = addresses.get(at).cloned().flatten().unwrap_or_else(|| machine.host.clone());
        let mut node = json!({
            "name": machine.name, "address": address, "ssh_address": machine.host, "port": machine.port,
            "user": machine.user, "insecure": true,
        });
        if let Some(key) = &machine.key {
            node["key"] = json!(key);
        }
        node
    };
    json!({ "nodes": machines.iter().enumerate().map(node).collect::<Vec<_>>() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inventory::Inventory;

    /// As Vagrant 2.3 with vagrant-libvirt printed it.
    const LIBVIRT: &str = include_str!("../tests/vagrant/libvirt.txt");
    /// As Vagrant 2.4 with VirtualBox prints it.
    const VIRTUALBOX: &str = include_str!("../tests/vagrant/virtualbox.txt");

    #[test]
    fn recorded_output_becomes_an_inventory() {
        let machines = parse_ssh_config(LIBVIRT).unwrap();
        assert_eq!(machines.len(), 3);
        assert!(machines.iter().all(|machine| !machine.is_forwarded() && machine.port == 22));
        let inventory: Inventory = serde_json::from_value(super::inventory(&machines, &[])).unwrap();
        let targets = inventory.targets(&|_| None).unwrap();
        let shown: Vec<String> = targets.iter().map(|(target, address)| format!("{} {address}", target.node)).collect();
        assert_eq!(shown, ["n1 192.168.121.101", "n2 192.168.121.54", "n3 192.168.121.230"]);
        assert_eq!(targets[0].0.user, "vagrant");

        let machines = parse_ssh_config(VIRTUALBOX).unwrap();
        assert!(machines.iter().all(VagrantMachine::is_forwarded));
        assert_eq!(machines[1].port, 2200);
        assert_eq!(machines[1].key.as_deref(), Some("/home/u s/vagrant/.vagrant/machines/n2/virtualbox/private_key"));
        let addresses = [Some("192.168.56.11".to_owned()), Some("192.168.56.12".to_owned())];
        let inventory: Inventory = serde_json::from_value(super::inventory(&machines, &addresses)).unwrap();
        let targets = inventory.targets(&|_| None).unwrap();
        assert_eq!((targets[1].1.as_str(), targets[1].0.port), ("192.168.56.12", 2200));
    }

    #[test]
    fn what_is_no_list_of_machines_is_refused() {
        let missing = |field| VagrantError::Missing { name: "a".to_owned(), field };
        for (text, expected) in [
            ("", VagrantError::Empty),
            ("The provider 'x' could not be found\n\n  HostName 1.2.3.4\n", VagrantError::Empty),
            ("Host a\n  User root\n", missing("HostName")),
            ("Host a\n  HostName 10.0.0.1\n", missing("User")),
            (
                "Host a\n  HostName 10.0.0.1\n  User root\n  Port many\n",
                VagrantError::Port { name: "a".to_owned(), found: "many".to_owned() },
            ),
        ] {
            assert_eq!(parse_ssh_config(text).unwrap_err(), expected, "{text}");
        }
        for torn in (0..LIBVIRT.len()).filter(|at| LIBVIRT.is_char_boundary(*at)) {
            let _ = parse_ssh_config(&LIBVIRT[..torn]);
        }
    }
}
