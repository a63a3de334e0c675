//! What goes on with leases after a restart of the machine, for real: systemd and cron as the first process of a machine
//! that is a few namespaces over this machine's files, and a restart that is its end and a new beginning over the same
//! files.
//!
//! Needs root, overlayfs, and for systemd its program and a mounted tree of control groups of version 2; cron is fetched.
//! Says what is missing and passes otherwise. It has no controller of control groups, no udev, and the one clock of this
//! machine, whose uptime goes on over the "restart".

#![allow(clippy::print_stdout, reason = "clippy does not know that helpers of an integration test are test")]

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command as Process, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use schism_cluster::packages::{default_cache, fetch};
use schism_cluster::{Cluster, Command, NoGround, NodeHandle};
use schism_history::Node;
use schism_nemesis::{LeaseInfo, Leases, Undo};
use support::LocalRemote;

/// Makes a machine's files and gives them to its first process.
const BEGIN: &str = r#"set -e
files=$1
shift
root=$files/root
mkdir -p "$root" "$files/upper" "$files/work"
mount -t overlay overlay -o "lowerdir=/,upperdir=$files/upper,workdir=$files/work" "$root"
cd "$root"
mkdir -p old proc run tmp dev sys
mount -t proc proc proc
for folder in run tmp dev; do mount -t tmpfs none "$folder"; done
for name in null zero full random urandom tty; do : >"dev/$name"; mount --bind "/dev/$name" "dev/$name"; done
mkdir -p dev/pts dev/shm
ln -s /proc/self/fd dev/fd
mount -t sysfs -o ro sysfs sys
mount -t tmpfs none sys/fs/cgroup
mount -t cgroup2 none sys/fs/cgroup
pivot_root . old
umount -l /old
export container=schism
exec "$@"
"#;

/// A machine; what it wrote on disk outlives its end.
struct Machine {
    files: PathBuf,
    group: PathBuf,
    init: Vec<String>,
    first: Option<(Child, u32)>,
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.end();
        let _ = fs::remove_dir_all(&self.files);
    }
}

/// Removes a control group and those below it, which its first process made. Its processes were killed.
fn remove_group(group: &Path) {
    let end = Instant::now() + Duration::from_secs(5);
    while group.exists() && Instant::now() < end {
        let below = fs::read_dir(group).into_iter().flatten().flatten().map(|entry| entry.path());
        below.filter(|path| path.is_dir()).for_each(|path| remove_group(&path));
        if fs::remove_dir(group).is_err() {
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Machine {
    /// Made and not begun; or what this machine lacks.
    fn new(name: &str, init: &[&str]) -> Result<Machine, String> {
        if !nix::unistd::geteuid().is_root() {
            return Err("machines of namespaces need root".to_owned());
        }
        let mounts = fs::read_to_string("/proc/mounts").map_err(|error| error.to_string())?;
        let tree = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
        let tree = tree.filter(|words| words.get(2) == Some(&"cgroup2")).find_map(|words| words.get(1).copied());
        let tree = tree.ok_or("there are no control groups of version 2")?;
        let name = format!("schism-hooks-{name}-{}", std::process::id());
        Ok(Machine {
            // Not over itself: what an overlay writes must not lie in what it reads.
            files: Path::new("/dev/shm").join(&name),
            group: Path::new(tree).join(&name),
            init: init.iter().map(|&word| word.to_owned()).collect(),
            first: None,
        })
    }

    /// Writes a file of the machine before it begins; an empty text masks a unit.
    fn file(&self, path: &str, text: &str) {
        let path = self.files.join("upper").join(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("the set-up of a test");
        fs::write(path, text).expect("the set-up of a test");
    }

    /// A file of an unpacked package; one that this machine has itself is not in there.
    fn lend(&self, tree: &Path, path: &str) {
        if !tree.join(path).exists() {
            return;
        }
        self.file(path, "");
        // Not written by this process: another test's child would hold it open, and nobody can execute it then.
        let copied =
            Process::new("cp").arg("-p").arg(tree.join(path)).arg(self.files.join("upper").join(path)).status();
        assert!(copied.expect("cp starts").success(), "the package holds it");
    }

    fn begin(&mut self) {
        fs::create_dir_all(&self.files).expect("the set-up of a test");
        fs::create_dir_all(&self.group).expect("the set-up of a test");
        let enter = format!("echo $$ >{}/cgroup.procs && exec \"$@\"", self.group.display());
        let mut command = Process::new("sh");
        command
            .args(["-c", &enter, "-", "unshare", "--mount", "--pid", "--fork", "--uts", "--ipc", "--net", "--cgroup"]);
        command.args(["--kill-child", "sh", "-c", BEGIN, "-"]).arg(&self.files).args(&self.init);
        let log = fs::File::create(self.files.join("log")).expect("the set-up of a test");
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("a file")).stderr(log);
        let child = command.spawn().expect("sh starts");
        let end = Instant::now() + Duration::from_secs(20);
        let first = loop {
            // The first process of the namespaces is the one child of unshare, once it runs what it is to run.
            let children = format!("/proc/{0}/task/{0}/children", child.id());
            let found = fs::read_to_string(children).ok().and_then(|text| text.trim().parse::<u32>().ok());
            let begun = |pid: &u32| {
                let line = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
                line.starts_with(&self.init[0])
            };
            if let Some(pid) = found.filter(begun) {
                break pid;
            }
            assert!(Instant::now() < end, "the machine does not begin: {}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        };
        self.first = Some((child, first));
    }

    fn log(&self) -> String {
        fs::read_to_string(self.files.join("log")).unwrap_or_default()
    }

    /// All its processes are killed at once, and what was mounted is gone with them.
    fn end(&mut self) {
        if let Some((mut child, _)) = self.first.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        remove_group(&self.group);
    }

    fn cluster(&self) -> Cluster {
        let pid = self.first.as_ref().expect("it has begun").1.to_string();
        let prefix = ["nsenter", "-t", &pid, "-m", "-p", "-n", "-u", "-i", "-C", "--"].map(str::to_owned).to_vec();
        let node = Node::new("n1");
        let remote = Arc::new(LocalRemote { node: node.clone(), prefix });
        let nodes = vec![NodeHandle { node, address: "10.0.0.1".to_owned(), remote }];
        Cluster { nodes, ground: Arc::new(NoGround) }
    }

    async fn on(&self, script: &str) -> String {
        self.cluster().nodes[0].remote.run(&Command::new(script)).await.expect("it works").text()
    }

    /// Waits until a script says something.
    async fn until(&self, script: &str, within: Duration) -> String {
        let end = Instant::now() + within;
        loop {
            let said = self.on(&format!("{script}\ntrue")).await;
            if !said.is_empty() {
                return said;
            }
            assert!(Instant::now() < end, "`{script}` says nothing within {within:?}: {}", self.log());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

async fn arm(machine: &Machine, name: &str, lease_s: u64) {
    let script = format!("echo done >>/var/lib/{name}\n");
    let undo = [Undo::OnNode { node: Node::new("n1"), script }];
    let info = LeaseInfo { class: "kill".to_owned(), label: "kill: n1".to_owned(), lease_s };
    Leases::default().arm(&machine.cluster(), name, &info, &undo).await.expect("the lease is armed");
}

/// `(name, restarts by, whether something waits)` of every lease.
async fn listed(machine: &Machine) -> Vec<(String, String, bool)> {
    let (leases, errors) = Leases::default().list(&machine.cluster()).await;
    assert!(errors.is_empty(), "{errors:?}");
    let told = leases.into_iter().map(|one| (one.name, one.restarts_by.unwrap_or_default(), one.left_s.is_some()));
    told.collect()
}

/// Every file of ours that a machine may keep.
const LEFT: &str =
    "find /etc/systemd/system /etc/cron.d -name 'schism*' 2>/dev/null; find /var/lib/schism -type f; true";

/// A restart in mid-lease: nothing waits at first, then the hook starts what waits again, the lease ends, and takes the hook
/// with it.
async fn restarted(machine: &mut Machine, how: &str, hooks: &[&str], ready: &str) {
    // It must last until its machine ends, and that may take.
    arm(machine, "t-1", 15).await;
    arm(machine, "t-2", 600).await;
    let waits = |name: &str| (format!("{name}-n1"), how.to_owned(), true);
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(listed(machine).await, [waits("t-1"), waits("t-2")]);
    let kept = machine.on(LEFT).await;
    hooks.iter().for_each(|hook| assert!(kept.lines().any(|line| line == *hook), "{hook}: {kept}"));
    machine.end();
    machine.begin();
    machine.until(ready, Duration::from_secs(60)).await;
    // The whole lease runs again.
    machine.until("cat /var/lib/t-1 2>/dev/null", Duration::from_secs(90)).await;
    machine.until("[ -e /var/lib/schism/leases/t-1-n1.undo ] || echo gone", Duration::from_secs(20)).await;
    assert_eq!(listed(machine).await, [waits("t-2")], "the other goes on");
    let kept = machine.on(LEFT).await;
    hooks.iter().for_each(|hook| assert!(kept.lines().any(|line| line == *hook), "{hook}: {kept}"));
    let report = Leases::default().heal(&machine.cluster()).await;
    assert_eq!((report.healed, report.failed.len()), (vec!["lease t-2-n1 on n1".to_owned()], 0));
    assert_eq!(machine.on(LEFT).await, "", "the last lease takes all with it");
    assert_eq!(machine.on("cat /var/lib/t-1 /var/lib/t-2").await, "done\ndone");
}

/// Units of this machine that have no part in it, and take long in namespaces.
const MASKED: &[&str] = &[
    "systemd-logind.service",
    "dbus.service",
    "dbus.socket",
    "console-getty.service",
    "getty.target",
    "systemd-udevd.service",
    "systemd-networkd.service",
    "systemd-resolved.service",
    "systemd-timesyncd.service",
    "systemd-tmpfiles-setup.service",
    "systemd-tmpfiles-clean.timer",
    "sys-kernel-debug.mount",
    "sys-kernel-tracing.mount",
    "dev-hugepages.mount",
];

#[tokio::test]
async fn systemd_goes_on_with_leases_after_a_restart() {
    let program = "/lib/systemd/systemd";
    let mut machine = match Machine::new("systemd", &[program, "--system", "--unit=multi-user.target"]) {
        Ok(machine) if Path::new(program).exists() => machine,
        Ok(_) => return println!("skipped: there is no systemd here"),
        Err(reason) => return println!("skipped: {reason}"),
    };
    for unit in MASKED {
        machine.file(&format!("etc/systemd/system/{unit}"), "");
    }
    machine.begin();
    let up = "systemctl is-active multi-user.target 2>/dev/null | grep -x active";
    machine.until(up, Duration::from_secs(60)).await;
    // By a transient unit, out of the reach of whoever ends a login's processes.
    arm(&machine, "t-9", 600).await;
    let unit = machine
        .until("systemctl is-active schism-lease-t-9-n1.service | grep -x active", Duration::from_secs(20))
        .await;
    assert_eq!(unit, "active");
    // systemd's own parser finds nothing wrong with what starts it again (and would: a unit without a program is refused).
    let verified = machine.on("systemd-analyze verify /etc/systemd/system/schism-leases.service 2>&1").await;
    let about_it: Vec<&str> = verified.lines().filter(|line| line.contains("schism-leases")).collect();
    assert_eq!(about_it, [""; 0], "{verified}");
    let broken = "sed 's/^ExecStart=.*/ExecStart=none/' /etc/systemd/system/schism-leases.service >/run/broken.service; \
                  systemd-analyze verify /run/broken.service 2>&1 || true";
    assert!(machine.on(broken).await.contains("broken.service"), "the parser has bitten");
    Leases::default().heal(&machine.cluster()).await;
    machine.on("rm -f /var/lib/t-9").await;
    let gone = "systemctl is-active schism-lease-t-9-n1.service | grep -x inactive";
    machine.until(gone, Duration::from_secs(20)).await;
    let unit = "/etc/systemd/system/schism-leases.service";
    let link = "/etc/systemd/system/multi-user.target.wants/schism-leases.service";
    restarted(&mut machine, "systemd", &[unit, link], up).await;
}

#[tokio::test]
async fn cron_goes_on_with_leases_after_a_restart() {
    let cron = match fetch(&default_cache(), &["cron"], &mut |line| println!("{line}")) {
        Ok(tree) => tree,
        Err(reason) => return println!("skipped: {reason}"),
    };
    let mut machine =
        match Machine::new("cron", &["/bin/sh", "-c", "/usr/sbin/cron -f -L 15; echo cron ended: $?; sleep 600"]) {
            Ok(machine) => machine,
            Err(reason) => return println!("skipped: {reason}"),
        };
    for path in ["usr/sbin/cron", "etc/crontab", "etc/pam.d/cron"] {
        machine.lend(&cron.path, path);
    }
    machine.file("etc/cron.d/.placeholder", "");
    machine.begin();
    let up = "cat /run/crond.pid 2>/dev/null";
    machine.until(up, Duration::from_secs(20)).await;
    restarted(&mut machine, "cron", &["/etc/cron.d/schism-leases"], up).await;
}
