//! Commands on a machine: by SSH, as nothing else leads into it.

use std::io::{self, IsTerminal};
use std::path::Path;

use schism_cluster::shell::quote;

use super::holder::{KEY_FILE, KNOWN_FILE};
use super::qemu::TRIPLET;
use crate::holder::STATE;
use crate::lab::{Lab, LabNode};
use crate::process::PATH;

/// The command line that, run in the lab's network, runs `argv` on the machine. It leans on the holder's files, so it holds
/// no secret.
pub(crate) fn argv(lab: &Lab, node: &LabNode, argv: &[String]) -> Vec<String> {
    let state = format!("/proc/{}/root{STATE}", lab.holder.pid);
    let here = PATH.split(':').any(|folder| Path::new(folder).join("ssh").exists());
    let mut line = program(&state, here);
    line.extend(arguments(&state, lab, node, argv, io::stdin().is_terminal()));
    line
}

/// This machine's `ssh`, or the one of the lab's packages where it has none.
fn program(state: &str, here: bool) -> Vec<String> {
    if here {
        return vec!["ssh".to_owned()];
    }
    let libraries = format!("LD_LIBRARY_PATH={state}/tree/usr/lib/{TRIPLET}");
    vec!["env".to_owned(), libraries, format!("{state}/tree/usr/bin/ssh")]
}

fn arguments(state: &str, lab: &Lab, node: &LabNode, argv: &[String], terminal: bool) -> Vec<String> {
    let mut line = vec!["-F".to_owned(), "/dev/null".to_owned()];
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::Holder;
    use crate::spec::LabSpec;
    use crate::sshd::{KeyPair, Keys};

    #[test]
    fn words_stay_words_and_no_secret_is_shown() {
        let key = || KeyPair { private: "secret".into(), public: "ssh-ed25519 AAAA".into() };
        let node = LabNode { name: "n1".into(), address: "10.77.0.11".into(), init_pid: 0 };
        let keys = Keys { login: key(), hosts: vec![key()] };
        let mut lab = Lab::new(&LabSpec::new("l1", 1), vec![node.clone()], &keys);
        lab.holder = Holder { pid: 42, start_ticks: 1 };
        let command = ["sh", "-c", "echo 'a  b' $HOME"].map(str::to_owned);
        let line = arguments("/proc/42/root/run/schism-lab", &lab, &node, &command, false).join(" ");
        assert_eq!(
            line,
            "-F /dev/null -o IdentityFile=/proc/42/root/run/schism-lab/login-key -o IdentitiesOnly=yes \
             -o UserKnownHostsFile=/proc/42/root/run/schism-lab/known-hosts -o GlobalKnownHostsFile=/dev/null \
             -o StrictHostKeyChecking=yes -o HostKeyAlias=n1 -o BatchMode=yes -o ConnectTimeout=15 -o LogLevel=ERROR \
             root@10.77.0.11 -- sh -c 'echo '\\''a  b'\\'' $HOME'"
        );
        assert!(arguments("", &lab, &node, &[], true).contains(&"-t".to_owned()));
        assert_eq!(program("/s", true), ["ssh"]);
        assert_eq!(
            program("/s", false)[1..],
            ["LD_LIBRARY_PATH=/s/tree/usr/lib/x86_64-linux-gnu", "/s/tree/usr/bin/ssh"]
        );
    }
}
