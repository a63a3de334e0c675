//! A node's users: the machine's names without their passwords, the user that sshd needs, users for tests.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, chown};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::error::{Failure, Step};
use crate::files::{remove, replace};
use crate::spec::{LabUser, Sudoers};

/// Test users get numbers from here on, those of daemons that packages would make from the second on.
const USER_ID_FIRST: u32 = 61_000;
const DAEMON_ID_FIRST: u32 = 60_500;

/// Writes passwd, group, shadow and sudoers of the node, homes and authorized keys. Root logs in with the lab's key and
/// has a plain `sh`: the shell of the machine's root may read start-up files that take longer than a command.
pub(crate) fn write(users: &[LabUser], login_key: &str) -> Result<(), Failure> {
    let passwd = fs::read_to_string("/etc/passwd").step("reading /etc/passwd")?;
    let group = fs::read_to_string("/etc/group").step("reading /etc/group")?;
    let (passwd, group) = with_users(&passwd, &group, users);
    replace("/etc/passwd", &passwd, 0o644)?;
    replace("/etc/group", &group, 0o644)?;
    replace("/etc/shadow", &shadow(&passwd), 0o600)?;
    for file in ["/etc/passwd-", "/etc/group-", "/etc/shadow-", "/etc/gshadow", "/etc/gshadow-"] {
        remove(file)?;
    }
    authorize("/root", (0, 0), login_key)?;
    for (user, id) in further(users) {
        let home = format!("/home/{}", user.name);
        fs::DirBuilder::new().mode(0o755).create(&home).step("making a home")?;
        chown(&home, Some(id), Some(id)).step("making a home")?;
        authorize(&home, (id, id), login_key)?;
    }
    sudoers(users)?;
    passwords(users)
}

/// The users beside root, with their numbers.
fn further(users: &[LabUser]) -> impl Iterator<Item = (&LabUser, u32)> {
    users.iter().filter(|user| !user.is_root()).zip(USER_ID_FIRST..)
}

/// The two files with sshd's user, where the machine has none, and the test users; root's shell made plain. Lines of the
/// machine that have a test user's name go.
pub(crate) fn with_users(passwd: &str, group: &str, users: &[LabUser]) -> (String, String) {
    let ours: BTreeSet<&str> = further(users).map(|(user, _)| user.name.as_str()).collect();
    let name_of = |line: &str| line.split(':').next().unwrap_or_default().to_owned();
    let keep = |text: &str| -> Vec<String> {
        let lines = text.lines().filter(|line| !line.is_empty() && !ours.contains(name_of(line).as_str()));
        lines.map(str::to_owned).collect()
    };
    let (mut passwd, mut group) = (keep(passwd), keep(group));
    for line in &mut passwd {
        if name_of(line) == "root" {
            *line = "root:x:0:0:root:/root:/bin/sh".to_owned();
        }
    }
    for (daemon, id) in ["sshd"].into_iter().zip(DAEMON_ID_FIRST..) {
        if !passwd.iter().any(|line| name_of(line) == daemon) {
            passwd.push(format!("{daemon}:x:{id}:65534::/run/{daemon}:/usr/sbin/nologin"));
        }
    }
    for (user, id) in further(users) {
        passwd.push(format!("{0}:x:{id}:{id}::/home/{0}:/bin/sh", user.name));
        group.push(format!("{}:x:{id}:", user.name));
    }
    (passwd.join("\n") + "\n", group.join("\n") + "\n")
}

/// Everybody without a password (`*`: none fits, but keys may do).
pub(crate) fn shadow(passwd: &str) -> String {
    let names = passwd.lines().filter_map(|line| line.split(':').next());
    names.map(|name| format!("{name}:*:19000:0:99999:7:::\n")).collect()
}

fn authorize(home: &str, owner: (u32, u32), key: &str) -> Result<(), Failure> {
    let folder = format!("{home}/.ssh");
    let file = format!("{folder}/authorized_keys");
    fs::DirBuilder::new().mode(0o700).create(&folder).step("authorizing the lab's key")?;
    replace(&file, &format!("{key} schism-lab\n"), 0o600)?;
    for path in [&folder, &file] {
        chown(path, Some(owner.0), Some(owner.1)).step("authorizing the lab's key")?;
    }
    Ok(())
}

fn sudoers(users: &[LabUser]) -> Result<(), Failure> {
    if users.iter().all(|user| user.sudo == Sudoers::No) {
        return Ok(());
    }
    let mut text = "Defaults env_reset\nroot ALL=(ALL:ALL) ALL\n".to_owned();
    for user in users {
        match user.sudo {
            Sudoers::No => {}
            Sudoers::WithPassword => text.push_str(&format!("{} ALL=(ALL:ALL) ALL\n", user.name)),
            Sudoers::WithoutPassword => text.push_str(&format!("{} ALL=(ALL:ALL) NOPASSWD: ALL\n", user.name)),
        }
    }
    // Alone: rules of the machine are for its users.
    replace("/etc/sudoers", &text, 0o440)
}

/// Sets passwords with `chpasswd`, which knows the hashes that this system's libraries know. They travel through a pipe.
fn passwords(users: &[LabUser]) -> Result<(), Failure> {
    let lines: String =
        users.iter().filter_map(|user| Some(format!("{}:{}\n", user.name, user.password.as_deref()?))).collect();
    if lines.is_empty() {
        return Ok(());
    }
    let step = "setting passwords of test users";
    let tool = ["/usr/sbin/chpasswd", "/sbin/chpasswd"].into_iter().find(|tool| Path::new(tool).exists());
    let tool = tool.ok_or_else(|| Failure::new(step, "there is no `chpasswd`").hint("Install the package passwd"))?;
    let mut child = Command::new(tool)
        .args(["--crypt-method", "SHA512"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .step(step)?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(lines.as_bytes()).step(step)?;
    }
    let output = child.wait_with_output().step(step)?;
    if output.status.success() {
        Ok(())
    } else {
        Err(Failure::new(step, String::from_utf8_lossy(&output.stderr).trim()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_go_names_stay_and_ours_come_once() {
        let users = ["root", "tess"].map(|name| LabUser { name: name.into(), password: None, sudo: Sudoers::No });
        let passwd = "root:x:0:0:root:/root:/bin/zsh\ntess:x:5:5::/x:/bin/sh\netcd:x:100:100::/:/bin/false\n";
        let (passwd, group) = with_users(passwd, "root:x:0:\ntess:x:5:\n", &users);
        let shells: Vec<&str> = passwd.lines().filter(|line| line.starts_with("root:")).collect();
        assert_eq!(shells, ["root:x:0:0:root:/root:/bin/sh"]);
        assert!(passwd.contains("etcd:x:100") && passwd.contains("sshd:x:60500:"), "{passwd}");
        assert_eq!(passwd.lines().filter(|line| line.starts_with("tess:")).count(), 1);
        assert_eq!(group.lines().filter(|line| line.starts_with("root:")).count(), 1);
        assert!(group.contains("tess:x:61000:"), "{group}");
        let shadow = shadow(&passwd);
        assert!(shadow.lines().all(|line| line.split(':').nth(1) == Some("*")), "{shadow}");
        // A machine that has the user keeps its own.
        let (again, _) = with_users("sshd:x:7:65534::/run/sshd:/bin/false\n", "", &[]);
        assert_eq!(again.matches("sshd:x").count(), 1);
    }
}
