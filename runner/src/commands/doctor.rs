//! `schism doctor`: what can be done here, and what not.

use std::path::Path;
use std::process::Command as Process;

use schism_cluster::Command;

use crate::cli::DoctorArgs;
use crate::commands::print;
use crate::error::RunnerError;
use crate::exit::Exit;
use crate::{ground, request};

/// One thing that was looked at.
struct Look {
    what: String,
    good: bool,
    needed: bool,
    found: String,
}

/// Looks, and says what it found. Ends with 69 if something that is needed is missing.
///
/// # Errors
/// When the inventory cannot be read.
pub fn doctor(args: &DoctorArgs) -> Result<Exit, RunnerError> {
    let looks = match &args.inventory {
        Some(path) => look_at_nodes(path)?,
        None => look_here(),
    };
    let good = looks.iter().all(|look| look.good || !look.needed);
    if args.json {
        let items: Vec<_> = looks
            .iter()
            .map(|look| {
                serde_json::json!({"what": look.what, "good": look.good, "needed": look.needed, "found": look.found})
            })
            .collect();
        print(&format!("{}\n", serde_json::json!({"schema_version": 1, "good": good, "looks": items})))?;
    } else {
        let width = looks.iter().map(|look| look.what.chars().count()).max().unwrap_or(0);
        for look in &looks {
            let mark = match (look.good, look.needed) {
                (true, _) => "good   ",
                (false, true) => "MISSING",
                (false, false) => "without",
            };
            print(&format!("{mark}  {:width$}  {}\n", look.what, look.found))?;
        }
    }
    Ok(if good { Exit::Valid } else { Exit::Unavailable })
}

fn look_here() -> Vec<Look> {
    let look =
        |what: &str, needed: bool, good: bool, found: String| Look { what: what.to_owned(), good, needed, found };
    let root = nix::unistd::geteuid().is_root();
    let mut looks = vec![look(
        "root",
        true,
        root,
        if root { "yes".to_owned() } else { "no; a lab of namespaces needs root for now: use sudo".to_owned() },
    )];
    for (tool, why, needed) in [
        ("ip", "makes the lab's links; package iproute2", true),
        ("apt-get", "downloads what nodes need; elsewhere install sshd, nft and the database yourself", false),
        ("dpkg-deb", "unpacks what nodes need", false),
        ("perl", "measures reachability inside the nodes; package perl-base", true),
    ] {
        let path = find_tool(tool);
        let good = path.is_some();
        looks.push(look(tool, needed, good, path.unwrap_or_else(|| format!("not found: {why}"))));
    }
    let filesystems = std::fs::read_to_string("/proc/filesystems").unwrap_or_default();
    for filesystem in ["overlay", "tmpfs"] {
        let good = filesystems.split_whitespace().any(|word| word == filesystem);
        let found = if good { "known to the kernel" } else { "not known to the kernel: try `modprobe overlay`" };
        looks.push(look(filesystem, true, good, found.to_owned()));
    }
    for name in ["net", "mnt", "pid", "uts", "ipc"] {
        let good = Path::new("/proc/self/ns").join(name).exists();
        looks.push(look(&format!("{name} namespaces"), true, good, if good { "yes" } else { "no" }.to_owned()));
    }
    let cache = schism_cluster::packages::default_cache();
    let there = cache.ancestors().find(|folder| folder.exists()).unwrap_or(Path::new("/"));
    let writable = nix::unistd::access(there, nix::unistd::AccessFlags::W_OK);
    let found = match &writable {
        Ok(()) => cache.display().to_string(),
        Err(error) => {
            format!("{} cannot be written ({error}); set SCHISM_CACHE to a folder for downloads", cache.display())
        }
    };
    looks.push(look("cache", true, writable.is_ok(), found));
    looks
}

fn find_tool(tool: &str) -> Option<String> {
    let folders = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/sbin";
    folders.split(':').map(|folder| Path::new(folder).join(tool)).find(|path| path.is_file()).map(|path| {
        let version = Process::new(&path).arg("--version").output().ok();
        let first = version.and_then(|output| {
            String::from_utf8_lossy(&output.stdout).lines().find(|line| !line.trim().is_empty()).map(str::to_owned)
        });
        format!("{} ({})", path.display(), first.unwrap_or_else(|| "says no version".to_owned()).trim())
    })
}

/// Prints one line a finding: name, whether it is there, what was found.
const NODE_SCRIPT: &str = r#"
say() { printf '%s\t%s\t%s\n' "$1" "$2" "$3"; }
tool() { path=$(command -v "$1" 2>/dev/null) && say "$1" yes "$path" || say "$1" no "$2"; }
PATH="$PATH:/usr/sbin:/sbin"
[ "$(id -u)" = 0 ] && say root yes "$(id -un)" || say root no "logged in as $(id -un), and sudo did not help"
tool perl "measures reachability; package perl-base"
tool setsid "keeps leases alive; package util-linux"
tool nft "cuts links; package nftables"
tool iptables "cuts links where nft is missing; package iptables"
say kernel yes "$(uname -sr)"
"#;

fn look_at_nodes(path: &Path) -> Result<Vec<Look>, RunnerError> {
    let ready = ground::all_machines(&request::read_inventory(path)?)?;
    let runtime = tokio::runtime::Runtime::new()
        .map_err(|error| RunnerError::Internal(format!("the runtime did not start: {error}")))?;
    let mut looks = Vec::new();
    for handle in &ready.cluster.nodes {
        let command = Command::new(NODE_SCRIPT);
        let answer = runtime.block_on(handle.remote.run(&command));
        let of = |what: &str| format!("{}: {what}", handle.node);
        let output = match answer {
            Ok(output) => output.text(),
            Err(error) => {
                looks.push(Look { what: of("login"), good: false, needed: true, found: error.to_string() });
                continue;
            }
        };
        looks.push(Look { what: of("login"), good: true, needed: true, found: handle.address.clone() });
        let rows: Vec<Vec<&str>> = output.lines().map(|line| line.splitn(3, '\t').collect()).collect();
        let has = |tool: &str| rows.iter().any(|row| row.first() == Some(&tool) && row.get(1) == Some(&"yes"));
        let filter = has("nft") || has("iptables");
        for row in &rows {
            if let [what, good, found] = row[..] {
                let needed = if matches!(what, "nft" | "iptables") { !filter } else { true };
                looks.push(Look { what: of(what), good: good == "yes", needed, found: found.to_owned() });
            }
        }
    }
    Ok(looks)
}
