//! `schism doctor`: what can be done here, and what not.

use std::path::Path;
use std::process::Command as Process;

use schism_cluster::{Command, DATA_DISK};
use schism_nemesis::scripts;

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
    let mut looks = if root { vec![look("root", true, true, "yes".to_owned())] } else { look_at_user() };
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
    looks.extend(look_at_abilities());
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

/// Whether an ordinary user can have labs here: what files tell, and what the kernel says when it is asked.
fn look_at_user() -> Vec<Look> {
    let look =
        |what: &str, needed: bool, good: bool, found: String| Look { what: what.to_owned(), good, needed, found };
    let without = "no: no disk images (power cuts, full and failing disks), no limits, no virtual machines".to_owned();
    let missing = schism_lab::missing_for_maps();
    let mut looks = vec![look("root", false, false, without)];
    if missing.is_empty() {
        let found = "newuidmap, newgidmap and ids for this user: labs need no root".to_owned();
        looks.push(look("uid maps", true, true, found));
        let tried = ground::own_executable().and_then(|exe| Ok(schism_lab::probe(&exe)?));
        let found = tried
            .as_ref()
            .err()
            .map_or_else(|| "made one, and all that a lab needs in it".to_owned(), ToString::to_string);
        looks.push(look("user namespace", true, tried.is_ok(), found));
    } else {
        looks.extend(missing.into_iter().map(|what| look("uid maps", true, false, format!("{what}; or use sudo"))));
    }
    looks
}

/// What labs here can do beyond the least: nothing of it is needed, and each line says what goes without it.
fn look_at_abilities() -> Vec<Look> {
    let look = |what: &str, good: bool, found: &str| Look {
        what: what.to_owned(),
        good,
        needed: false,
        found: found.to_owned(),
    };
    let device = |path: &str| Path::new(path).exists();
    let filesystems = std::fs::read_to_string("/proc/filesystems").unwrap_or_default();
    let knows = |name: &str| filesystems.split_whitespace().any(|word| word == name);
    let yes_or = |good: bool, yes: &str, no: &str| if good { yes.to_owned() } else { no.to_owned() };
    let mut looks = Vec::new();
    let mut add = |what: &str, good: bool, yes: &str, no: &str| looks.push(look(what, good, &yes_or(good, yes, no)));
    let root = nix::unistd::geteuid().is_root();
    let images = root && device("/dev/loop-control") && knows("ext4") && find_tool("mkfs.ext4").is_some();
    add(
        "disk images",
        images,
        "loop devices and ext4: nodes have disks that fail and lose power",
        if root {
            "loop devices, ext4 or mkfs.ext4 (package e2fsprogs) are missing: no power cuts, no full or failing disks in labs of namespaces"
        } else {
            "root's alone: no power cuts, no full or failing disks in labs of namespaces"
        },
    );
    add(
        "tap",
        device("/dev/net/tun"),
        "/dev/net/tun",
        "/dev/net/tun is missing (modprobe tun): no switch (delay, loss) and no virtual machines",
    );
    add("fuse", device("/dev/fuse"), "/dev/fuse", "/dev/fuse is missing (modprobe fuse): no slow or failing files");
    let kvm = std::fs::File::options().read(true).write(true).open("/dev/kvm").is_ok();
    add(
        "kvm",
        kvm,
        "/dev/kvm opens; whether Linux boots with it is tried when the first virtual machines are made (SCHISM_ACCEL=kvm or tcg decides)",
        "virtual machines are emulated, some twenty times slower",
    );
    if root {
        let maps = find_tool("newuidmap").is_some()
            && std::fs::read_to_string("/etc/subuid").is_ok_and(|text| !text.trim().is_empty());
        add(
            "uid maps",
            maps,
            "newuidmap and /etc/subuid: ordinary users can have labs",
            "newuidmap (package uidmap) or lines of /etc/subuid are missing: labs need root",
        );
    }
    let vagrant = find_tool("vagrant");
    add("vagrant", vagrant.is_some(), vagrant.as_deref().unwrap_or_default(), "not found: no --inventory vagrant");
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

/// Prints one line a finding: name, `yes`, `no` (it is needed) or `without` (some faults are not possible), what was
/// found. Changes nothing: what must be tried is tried in namespaces that end with the attempt.
const NODE_SCRIPT: &str = r#"
say() { printf '%s\t%s\t%s\n' "$1" "$2" "$3"; }
tool() { path=$(command -v "$1" 2>/dev/null) && say "$1" yes "$path" || say "$1" "$3" "$2"; }
PATH="$PATH:/usr/sbin:/sbin"
[ "$(id -u)" = 0 ] && say root yes "$(id -un)" || say root no "logged in as $(id -un), and sudo did not help"
tool perl "measures reachability; package perl-base" no
tool setsid "keeps leases alive; package util-linux" no
tool nft "cuts links; package nftables" without
tool iptables "cuts links where nft is missing; package iptables" without
if unshare -n tc qdisc add dev lo root netem delay 1ms >/dev/null 2>&1; then
  say netem yes "delay, loss and the like on the node's own links"
else
  say netem without "no delay, loss, reordering or bandwidth faults: the kernel has no sch_netem (modprobe sch_netem), or tc is missing (package iproute2)"
fi
caps=$(sed -n 's/^CapEff:[[:space:]]*//p' /proc/self/status)
if [ $((0x${caps:-0} >> 25 & 1)) = 1 ]; then say clock yes "it may be set"; else say clock without "it may not be set here; the clock of single processes is shifted instead"; fi
daemon=none
for name in chronyd systemd-timesyn ntpd ntpsec openntpd; do
  for comm in /proc/[0-9]*/comm; do
    read -r found <"$comm" 2>/dev/null && [ "$found" = "$name" ] && daemon=$name
  done
done
# The kernel keeps fifteen letters of a name.
[ "$daemon" != systemd-timesyn ] || daemon=systemd-timesyncd
say "time daemon" yes "$daemon"
[ -c /dev/fuse ] && say fuse yes /dev/fuse || say fuse without "no slow or failing files by FUSE: /dev/fuse is missing (modprobe fuse)"
below=$(mapper | sort -u | tr '\n' ' ')
if [ -z "$below" ]; then
  say "device mapper" yes "the device under $DATA can be slow and fail (dm-delay, dm-flakey)"
else
  say "device mapper" without "disk faults go by FUSE: $below"
fi
[ -d /run/systemd/system ] && say boot yes systemd || say boot without "no systemd: leases come back after a reboot only by cron"
if [ -r /sys/fs/cgroup/cgroup.controllers ]; then say cgroups yes "$(cat /sys/fs/cgroup/cgroup.controllers)"
else say cgroups without "no unified hierarchy: processors are throttled by signals, and the OOM killer is left alone"; fi
machine=$(uname -m)
[ "$machine" = "$OURS" ] && say agent yes "$machine" || say agent without "it is $machine and schism here is $OURS: faults that need schism on the node cannot be done"
say kernel yes "$(uname -sr)"
"#;

fn look_at_nodes(path: &Path) -> Result<Vec<Look>, RunnerError> {
    let ready = ground::all_machines(&request::read_inventory(path)?)?;
    let runtime = tokio::runtime::Runtime::new()
        .map_err(|error| RunnerError::Internal(format!("the runtime did not start: {error}")))?;
    let mut looks = Vec::new();
    for handle in &ready.cluster.nodes {
        let mapper = scripts::mapper_doctor(DATA_DISK);
        let script =
            format!("OURS={} DATA={DATA_DISK}\nmapper() {{\n{mapper}}}\n{NODE_SCRIPT}", std::env::consts::ARCH);
        let command = Command::new(script);
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
                let needed = if matches!(what, "nft" | "iptables") { !filter } else { good != "without" };
                looks.push(Look { what: of(what), good: good == "yes", needed, found: found.to_owned() });
            }
        }
    }
    Ok(looks)
}
