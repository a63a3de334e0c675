//! The nodes' sshd: keys made for the occasion, configuration, start.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use serde::{Deserialize, Serialize};

use crate::error::{Failure, Step};
use crate::holder::state;
use crate::process::{PATH, is_on_path};

/// Where sshd writes what it has to say, on its node.
pub(crate) const LOG: &str = "/var/log/schism-sshd.log";

/// Where it is, on every system that has it.
const SSHD: &str = "/usr/sbin/sshd";
const CONFIG: &str = "/etc/ssh/sshd_config";
const HOST_KEY: &str = "/etc/ssh/ssh_host_ed25519_key";

/// A key pair in OpenSSH's formats.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct KeyPair {
    pub(crate) private: String,
    /// `ssh-ed25519 AAAA...`, without comment.
    pub(crate) public: String,
}

/// The keys of a lab: for logging in, and one a node to be known by.
#[derive(Debug, Clone)]
pub(crate) struct Keys {
    pub(crate) login: KeyPair,
    pub(crate) hosts: Vec<KeyPair>,
}

impl Keys {
    /// Makes them with `ssh-keygen`, all at once, in the holder's state; the files go again.
    pub(crate) fn make(nodes: &[String]) -> Result<Keys, Failure> {
        let step = "making SSH keys";
        let names: Vec<PathBuf> =
            (0..=nodes.len()).map(|number| PathBuf::from(state("keys")).join(number.to_string())).collect();
        let of_nodes = lend_keys_folder().step(step)?;
        let children: Vec<Child> =
            names.iter().map(|file| keygen(file, of_nodes).spawn()).collect::<Result<_, _>>().map_err(|error| {
                Failure::new(step, format!("`ssh-keygen`: {error}")).hint("Install openssh-client on this machine")
            })?;
        for child in children {
            let output = child.wait_with_output().step(step)?;
            if !output.status.success() {
                return Err(Failure::new(step, String::from_utf8_lossy(&output.stderr).trim()));
            }
        }
        let mut pairs = names.iter().map(|file| read_pair(file).step(step)).collect::<Result<Vec<_>, _>>()?;
        if of_nodes {
            umount2(lent().as_str(), MntFlags::MNT_DETACH).step(step)?;
        }
        fs::remove_dir_all(state("keys")).step(step)?;
        let login = pairs.remove(0);
        Ok(Keys { login, hosts: pairs })
    }
}

/// Where the nodes' own files, if there are any, show the folder of keys for a moment.
fn lent() -> String {
    state("root/mnt")
}

/// Shows the folder of keys there, if only the nodes' own `ssh-keygen` can be had; whether it is so.
fn lend_keys_folder() -> nix::Result<bool> {
    let there = |path: &str| Path::new(path).exists();
    let of_nodes = !there(&state("tree/usr/bin/ssh-keygen"))
        && !is_on_path("ssh-keygen")
        && there(&state("root/usr/bin/ssh-keygen"));
    if of_nodes {
        let none: Option<&str> = None;
        mount(Some(state("keys").as_str()), lent().as_str(), none, MsFlags::MS_BIND, none)?;
    }
    Ok(of_nodes)
}

/// The machine's own `ssh-keygen`, that of the package tree with the tree's libraries, or that of the nodes in their files.
fn keygen(file: &Path, of_nodes: bool) -> Command {
    if of_nodes {
        let mut command = Command::new("chroot");
        command.arg(state("root")).arg("/usr/bin/ssh-keygen");
        let name = file.file_name().unwrap_or_default();
        return keygen_args(command, &Path::new("/mnt").join(name));
    }
    let tree = PathBuf::from(state("tree"));
    let in_tree = tree.join("usr/bin/ssh-keygen");
    let mut command = Command::new(if in_tree.exists() { in_tree } else { PathBuf::from("ssh-keygen") });
    let libraries = fs::read_dir(tree.join("usr/lib")).into_iter().flatten().flatten().map(|entry| entry.path());
    let libraries: Vec<String> = libraries.map(|path| path.to_string_lossy().into_owned()).collect();
    command.env("LD_LIBRARY_PATH", libraries.join(":"));
    keygen_args(command, file)
}

fn keygen_args(mut command: Command, file: &Path) -> Command {
    command
        .args(["-q", "-t", "ed25519", "-N", "", "-C", "schism-lab", "-f"])
        .arg(file)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    command
}

fn read_pair(file: &Path) -> std::io::Result<KeyPair> {
    let public = fs::read_to_string(file.with_extension("pub"))?;
    let public: Vec<&str> = public.split_whitespace().take(2).collect();
    Ok(KeyPair { private: fs::read_to_string(file)?, public: public.join(" ") })
}

/// What a controller's file of known hosts says of a node.
pub(crate) fn known_hosts_line(name: &str, addresses: &[String], key: &KeyPair) -> String {
    format!("{name},{} {}\n", addresses.join(","), key.public)
}

/// The configuration. Limits are wide because one controller opens many sessions at once; `UsePAM no` because PAM's
/// modules speak to daemons that nodes have not. Root may give a password, if passwords count at all: unless the lab's
/// users say so it has none.
pub(crate) fn config(passwords: bool, penalties: bool) -> String {
    let mut text = format!(
        "Port 22\nHostKey {HOST_KEY}\nPidFile none\nPermitRootLogin yes\nPubkeyAuthentication yes\n\
         PasswordAuthentication {}\nKbdInteractiveAuthentication no\nUsePAM no\nUseDNS no\nStrictModes no\n\
         MaxStartups 100:30:200\nMaxSessions 200\nMaxAuthTries 20\nX11Forwarding no\nPrintMotd no\nPrintLastLog no\n\
         Subsystem sftp internal-sftp\nAcceptEnv LANG LC_*\nSetEnv PATH={PATH}\n",
        if passwords { "yes" } else { "no" },
    );
    if penalties {
        // Since OpenSSH 9.8 an address that fails to log in often is shut out for a while: here that is the controller.
        text.push_str("PerSourcePenalties no\n");
    }
    text
}

/// Whether the nodes' sshd knows penalties (since 9.8); one that does not would refuse the word. Read from the program
/// itself, once for all nodes: its words for options stand in it.
pub(crate) fn has_penalties() -> bool {
    let places = [format!("{}{SSHD}", state("tree")), format!("{}{SSHD}", state("root")), SSHD.to_owned()];
    places.iter().find(|place| Path::new(place).exists()).is_some_and(|place| knows_penalties(Path::new(place)))
}

/// The same of the sshd in this file.
pub(crate) fn knows_penalties(sshd: &Path) -> bool {
    let binary = fs::read(sshd).unwrap_or_default();
    let option: &[u8] = b"ersourcepenalties";
    let mut starts = binary.iter().enumerate().filter(|(_, byte)| byte.eq_ignore_ascii_case(&b'p'));
    starts
        .any(|(at, _)| binary.get(at + 1..at + 1 + option.len()).is_some_and(|rest| rest.eq_ignore_ascii_case(option)))
}

/// Writes keys and configuration on a node (called inside it). The machine's own keys were hidden before.
pub(crate) fn prepare(host_key: &KeyPair, passwords: bool, penalties: bool) -> Result<(), Failure> {
    let step = "configuring sshd";
    // sshd stops where its privilege separation folder is missing.
    fs::create_dir_all("/run/sshd").step(step)?;
    if !Path::new(SSHD).exists() {
        return Err(Failure::new(step, format!("{SSHD} is not there"))
            .hint("The package openssh-server must be on this machine or in a package tree"));
    }
    fs::write(CONFIG, config(passwords, penalties)).step(step)?;
    fs::write(HOST_KEY, &host_key.private).step(step)?;
    fs::set_permissions(HOST_KEY, fs::Permissions::from_mode(0o600)).step(step)?;
    fs::write(format!("{HOST_KEY}.pub"), format!("{}\n", host_key.public)).step(step)
}

/// Starts it in the foreground, writing to [`LOG`].
pub(crate) fn start() -> std::io::Result<Child> {
    let log = fs::File::options().create(true).append(true).open(LOG)?;
    Command::new(SSHD)
        .args(["-D", "-e", "-f", CONFIG])
        .env("PATH", PATH)
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
}

/// Hides the machine's SSH folder (its host keys above all) behind an empty one.
pub(crate) fn hide_keys() -> Result<(), Failure> {
    let step = "hiding the machine's SSH keys";
    fs::create_dir_all("/etc/ssh").step(step)?;
    let options = Some("mode=755,size=4m");
    mount(Some("ssh"), "/etc/ssh", Some("tmpfs"), MsFlags::MS_NOSUID | MsFlags::MS_NODEV, options).step(step)
}
