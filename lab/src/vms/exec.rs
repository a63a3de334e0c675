//! Commands on a machine: by SSH, as nothing else leads into it.

use std::io::{self, IsTerminal};

use schism_cluster::shell::quote;

use super::holder::{KEY_FILE, KNOWN_FILE};
use crate::holder::STATE;
use crate::lab::{Lab, LabNode};

/// The command line that, run in the lab's network, runs `argv` on the machine. It leans on the holder's files, so it holds
/// no secret.
pub(crate) fn argv(lab: &Lab, node: &LabNode, argv: &[String]) -> Vec<String> {
    command_line(lab, node, argv, io::stdin().is_terminal())
}

fn command_line(lab: &Lab, node: &LabNode, argv: &[String], terminal: bool) -> Vec<String> {
    let state = format!("/proc/{}/root{STATE}", lab.holder.pid);
    let mut line = vec!["ssh".to_owned(), "-F".to_owned(), "/dev/null".to_owned()];
    for option in [
        format!("IdentityFile={state}/{KEY_FILE}"),
        "IdentitiesOnly=yes".to_owned(),
        format!("UserKnownHostsFile={state}/{KNOWN_FILE}"),
        "GlobalKnownHostsFile=/dev/null".to_owned(),
        "StrictHostKeyChecking=yes".to_owned(),
        format!("HostKeyAlias={}", node.name),
        "BatchMode=yes".to_owned(),
        "ConnectTimeout=15".to_owned(),
        "LogLevel=ERROR".to_owned(),
    ] {
        line.extend(["-o".to_owned(), option]);
    }
    if terminal {
        line.push("-t".to_owned());
    }
    let words: Vec<String> = argv.iter().map(|word| quote(word).into_owned()).collect();
    line.extend([format!("{}@{}", lab.ssh_user, node.address), "--".to_owned(), words.join(" ")]);
    line
}
