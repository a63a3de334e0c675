//! Labs for ordinary users: what this user may do here, and what exactly is missing.
//!
//! A user who is not root makes a user namespace (user_namespaces(7)) and is root within: over what the namespace owns and
//! nothing else. Nodes need more than one user (sshd gives up its rights, databases refuse root), and only the setuid
//! programs `newuidmap` and `newgidmap` may map further ones: those that `/etc/subuid` and `/etc/subgid` give to the user.
//! Files of the machine belong to users who are not in the namespace, so the nodes have files of their own
//! ([`crate::nodes_root`]).
//!
//! Such a lab has no disk images (loop devices are root's), hence no power cuts, and no control groups.
//!
//! Not covered: further ids that come from elsewhere than `/etc` (subid in nsswitch.conf).

use std::fs;
use std::path::Path;

use nix::unistd::{geteuid, getuid};

use crate::error::LabError;
use crate::process::PATH;

/// Nodes have users up to this number (`nobody`).
const IDS_MIN: u32 = 65_534;

/// As whom this process may make labs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rights {
    /// As root, with everything.
    Root,
    /// As an ordinary user with uid maps: in a user namespace, without disk images and control groups.
    Maps,
}

/// As whom this process may make labs of namespaces, as far as files tell; what kernels forbid beyond is found by
/// [`crate::probe`], or by making one.
///
/// # Errors
/// [`LabError::NoMaps`], which names all that is missing.
pub fn rights() -> Result<Rights, LabError> {
    if geteuid().is_root() {
        return Ok(Rights::Root);
    }
    let missing = Looked::here().missing();
    if missing.is_empty() { Ok(Rights::Maps) } else { Err(LabError::NoMaps { missing: missing.join("; ") }) }
}

/// What an ordinary user lacks here for labs, a sentence each; nothing where all is there.
pub fn missing_for_maps() -> Vec<String> {
    Looked::here().missing()
}

/// Whether this process is in a user namespace that is not the machine's first: loop devices, control groups and some
/// mounts are out of reach then, whoever it is within.
pub(crate) fn is_mapped() -> bool {
    fs::read_to_string("/proc/self/uid_map").is_ok_and(|map| !is_identity(&map))
}

fn is_identity(map: &str) -> bool {
    map.split_whitespace().eq(["0", "0", "4294967295"])
}

/// Numbers that a user may map: a first one and how many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Range {
    pub(crate) first: u32,
    pub(crate) count: u32,
}

/// What further users and groups this user may map.
pub(crate) fn ranges() -> Option<(Range, Range)> {
    let looked = Looked::here();
    Some((looked.range(&looked.subuid)?, looked.range(&looked.subgid)?))
}

/// What was looked at.
struct Looked {
    /// Login names and the number of this user: all that a line of `/etc/subuid` may begin with.
    names: Vec<String>,
    subuid: String,
    subgid: String,
    tools_missing: Vec<&'static str>,
    /// `kernel.unprivileged_userns_clone`, `user.max_user_namespaces`; nothing where the kernel has no such setting.
    userns_clone: Option<String>,
    userns_max: Option<String>,
}

impl Looked {
    fn here() -> Looked {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let setting = |path: &str| fs::read_to_string(path).ok().map(|text| text.trim().to_owned());
        let uid = getuid().as_raw();
        let mut names = names_of(&read("/etc/passwd"), uid);
        // Users of a directory are in no file.
        names.extend(["USER", "LOGNAME"].into_iter().filter_map(|name| std::env::var(name).ok()));
        names.retain(|name| !name.is_empty());
        names.push(uid.to_string());
        names.dedup();
        let is_there = |tool: &&str| PATH.split(':').any(|folder| Path::new(folder).join(tool).is_file());
        Looked {
            names,
            subuid: read("/etc/subuid"),
            subgid: read("/etc/subgid"),
            tools_missing: ["newuidmap", "newgidmap"].into_iter().filter(|tool| !is_there(tool)).collect(),
            userns_clone: setting("/proc/sys/kernel/unprivileged_userns_clone"),
            userns_max: setting("/proc/sys/user/max_user_namespaces"),
        }
    }

    fn user(&self) -> &str {
        self.names.first().map_or("?", String::as_str)
    }

    fn missing(&self) -> Vec<String> {
        let mut missing = Vec::new();
        if !self.tools_missing.is_empty() {
            missing.push(format!(
                "the command `{}` is missing (as root: apt-get install uidmap)",
                self.tools_missing.join("` and `")
            ));
        }
        let files = [("/etc/subuid", &self.subuid, "--add-subuids"), ("/etc/subgid", &self.subgid, "--add-subgids")];
        for (file, text, option) in files {
            if self.range(text).is_none() {
                let user = self.user();
                missing.push(format!(
                    "no line for {user} in {file} gives {IDS_MIN} ids or more (as root: usermod {option} \
                     FIRST-LAST {user}, with 65536 ids that no other line has)"
                ));
            }
        }
        if self.userns_clone.as_deref() == Some("0") {
            missing.push(
                "the kernel forbids it: kernel.unprivileged_userns_clone is 0 (as root: sysctl \
                 kernel.unprivileged_userns_clone=1)"
                    .to_owned(),
            );
        }
        if self.userns_max.as_deref() == Some("0") {
            missing.push(
                "the kernel forbids it: user.max_user_namespaces is 0 (as root: sysctl user.max_user_namespaces=10000)"
                    .to_owned(),
            );
        }
        missing
    }

    /// The largest range of this user in `/etc/subuid` or `/etc/subgid` (subuid(5)), if it is large enough.
    fn range(&self, text: &str) -> Option<Range> {
        let parse = |line: &str| {
            let mut fields = line.trim().splitn(3, ':');
            let is_ours = fields.next().is_some_and(|name| self.names.iter().any(|own| own == name));
            let (first, count) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
            is_ours.then_some(Range { first, count })
        };
        text.lines().filter_map(parse).filter(|range| range.count >= IDS_MIN).max_by_key(|range| range.count)
    }
}

/// The login names with this number in a file like `/etc/passwd`.
fn names_of(passwd: &str, uid: u32) -> Vec<String> {
    let name = |line: &str| {
        let mut fields = line.split(':');
        let (name, number) = (fields.next()?, fields.nth(1)?);
        (number.parse() == Ok(uid)).then(|| name.to_owned())
    };
    passwd.lines().filter_map(name).collect()
}

/// What else may be the reason where the kernel refuses what it should allow.
pub(crate) fn kernel_hint() -> &'static str {
    let restricts = fs::read_to_string("/proc/sys/kernel/apparmor_restrict_unprivileged_userns");
    if restricts.is_ok_and(|text| text.trim() == "1") {
        "AppArmor forbids user namespaces to ordinary programs here \
         (kernel.apparmor_restrict_unprivileged_userns=1): set that to 0 with sysctl, or use sudo"
    } else {
        "This kernel, or what it runs in (a container's seccomp filter, SELinux), forbids it to ordinary users: run \
         schism outside of it, or use sudo"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = "tess:100000:65536\n";

    fn all_is_there() -> Looked {
        Looked {
            names: vec!["tess".to_owned(), "1000".to_owned()],
            subuid: LINE.to_owned(),
            subgid: LINE.to_owned(),
            tools_missing: Vec::new(),
            userns_clone: Some("1".to_owned()),
            userns_max: None,
        }
    }

    #[test]
    fn what_is_missing_is_named_and_what_is_there_is_not() {
        assert_eq!(all_is_there().missing(), Vec::<String>::new());
        let of_others = "tes:100000:65536\ntessa:1:65536\n10000:1:65536\n".to_owned();
        let cases = [
            (Looked { tools_missing: vec!["newuidmap", "newgidmap"], ..all_is_there() }, "install uidmap"),
            (Looked { subuid: of_others, ..all_is_there() }, "no line for tess in /etc/subuid"),
            (Looked { subgid: "tess:100000:1000\n".to_owned(), ..all_is_there() }, "no line for tess in /etc/subgid"),
            (Looked { userns_clone: Some("0".to_owned()), ..all_is_there() }, "kernel.unprivileged_userns_clone is 0"),
            (Looked { userns_max: Some("0".to_owned()), ..all_is_there() }, "user.max_user_namespaces is 0"),
        ];
        for (looked, wanted) in cases {
            let missing = looked.missing();
            assert!(missing.len() == 1 && missing[0].contains(wanted), "{wanted}: {missing:?}");
        }
    }

    #[test]
    fn the_largest_range_of_the_user_counts() {
        let looked = all_is_there();
        let text = "# a comment\ntess:1:65534\nother:5:900000\n1000:200000:131072\ntess:x:y\ntess:7\n";
        assert_eq!(looked.range(text), Some(Range { first: 200_000, count: 131_072 }));
        assert_eq!(looked.range("tess:1:65533\n"), None);
        assert_eq!(looked.range("tess:1:99999999999\n"), None);
        assert_eq!(looked.range(""), None);
    }

    #[test]
    fn names_and_maps_are_read() {
        let passwd = "root:x:0:0::/:/bin/sh\ntess:x:1000:1000::/:/bin/sh\nalias:x:1000:7::/:\ntorn\n";
        assert_eq!(names_of(passwd, 1000), ["tess", "alias"]);
        assert_eq!(names_of(passwd, 1), Vec::<String>::new());
        assert!(is_identity("         0          0 4294967295\n"));
        assert!(!is_identity("0 1000 1\n1 100000 65536\n") && !is_identity(""));
    }
}
