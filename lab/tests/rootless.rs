//! Labs of an ordinary user, for real. Run as root, because that user is made up: an own mount namespace shows
//! `/etc/passwd`, `/etc/subuid` and `/etc/subgid` with it (the machine's stay as they are), and the package `uidmap` is
//! unpacked where it is not installed. Says so where that cannot be done.

// Clippy allows these in tests, but does not know a test program without the harness for one.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

// Other test programs ask for the rest.
#[allow(dead_code)]
mod support;

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::stat::{Mode, SFlag, mknod, stat};
use nix::unistd::{Gid, Uid, setgroups, setresgid, setresuid};
use schism_cluster::{Ability, Ground, GroundAction, packages};
use schism_history::Node;
use schism_lab::{
    Lab, LabError, LabGround, LabKind, LabSpec, LabUser, NetworkKind, Rights, Sudoers, attach, down, enter, exec, find,
    holder_main_if_asked, list, missing_for_maps, nodes_root, probe, rights, up,
};
use support::{CHILD, LEASE, Own, child, eventually, machine, on, processes_named, ssh};

/// A user that no machine has, and ids that none gives away.
const USER: &str = "schism-tess";
const USER_ID: u32 = 3_000_654;
const IDS: &str = "schism-tess:3100000:65536\n";

/// Where the user's world lies, for processes in it.
const WORLD: &str = "SCHISM_TEST_WORLD";

type Test = (&'static str, fn());

/// What the user does.
const TESTS: &[Test] = &[
    ("five_nodes_come_up_in_time_answer_ssh_and_go", five_nodes_come_up_in_time_answer_ssh_and_go),
    ("a_node_is_a_machine_with_many_users", a_node_is_a_machine_with_many_users),
    ("what_is_roots_alone_is_refused_with_the_reason", what_is_roots_alone_is_refused_with_the_reason),
    ("nodes_freeze_and_a_switch_joins_them", nodes_freeze_and_a_switch_joins_them),
    ("sigkill_of_the_holder_leaves_nothing", sigkill_of_the_holder_leaves_nothing),
];

fn main() -> ExitCode {
    holder_main_if_asked();
    let mut args = std::env::args();
    if args.next().as_deref() == Some(CHILD) {
        return play(&args.collect::<Vec<_>>());
    }
    let filters: Vec<String> = args.filter(|arg| !arg.starts_with('-')).collect();
    let world = match World::make() {
        Ok(world) => world,
        Err(reason) => {
            println!("tests of labs of ordinary users skipped: {reason}");
            return ExitCode::SUCCESS;
        }
    };
    let before = machine();
    let tests: [(&str, &dyn Fn()); 5] = [
        ("as_the_user", &|| {
            let mut role = vec!["tests"];
            role.extend(filters.iter().map(String::as_str));
            assert!(world.role("all", &role).status().unwrap().success());
        }),
        ("without_maps_everything_that_is_missing_is_named", &|| without_maps(&world)),
        ("a_device_that_is_roots_alone_is_named", &|| without_tun(&world)),
        ("root_can_have_nodes_with_files_of_their_own", &|| root_with_own_files(&world)),
        ("root_is_the_users_root_in_the_users_lab", &|| root_in_the_users_lab(&world)),
    ];
    let mut failed = 0;
    for (name, test) in tests {
        let passed = catch_unwind(std::panic::AssertUnwindSafe(test)).is_ok();
        println!("test {name} ... {}", if passed { "ok" } else { "FAILED" });
        failed += usize::from(!passed);
    }
    assert_eq!(machine(), before, "nothing of a lab may be in the machine's network or mounts");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// A user's world: a folder with the nodes' files, this program, and files that stand for the machine's.
struct World {
    /// What root made, and owns.
    root: PathBuf,
    folder: tempfile::TempDir,
}

impl World {
    fn make() -> Result<World, String> {
        if !nix::unistd::geteuid().is_root() {
            return Err("they make a user up, which needs root".to_owned());
        }
        let cache = packages::default_cache();
        let mut progress = |line: &str| println!("  {line}");
        let root = nodes_root(&cache, &[], &mut progress).map_err(|error| error.to_string())?;
        let uidmap = packages::fetch(&cache, &["uidmap"], &mut progress).map_err(|error| error.to_string())?;
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path();
        open_to_all(at);
        for sub in ["tools", "home", "none"] {
            fs::create_dir(at.join(sub)).unwrap();
            open_to_all(&at.join(sub));
        }
        for tool in ["newuidmap", "newgidmap"] {
            let unpacked = uidmap.path.join("usr/bin").join(tool);
            let from = if unpacked.exists() { unpacked } else { Path::new("/usr/bin").join(tool) };
            let to = at.join("tools").join(tool);
            fs::copy(&from, &to).map_err(|error| format!("{}: {error}", from.display()))?;
            fs::set_permissions(&to, fs::Permissions::from_mode(0o4755)).unwrap();
        }
        fs::copy("/proc/self/exe", at.join("schism")).unwrap();
        let passwd = fs::read_to_string("/etc/passwd").unwrap();
        let line = format!("{USER}:x:{USER_ID}:{USER_ID}::{}:/bin/sh\n", at.join("home").display());
        fs::write(at.join("passwd"), passwd + &line).unwrap();
        fs::write(at.join("subids"), IDS).unwrap();
        fs::write(at.join("empty"), "").unwrap();
        // Owned by the user, as if the user had made it (which was tried by hand: it downloads everything).
        let copied = Command::new("cp").arg("-a").args([&root, &at.join("root")]).status().unwrap();
        let owner = format!("{USER_ID}:{USER_ID}");
        let given =
            Command::new("chown").arg("-hR").arg(owner).args([at.join("root"), at.join("home")]).status().unwrap();
        assert!(copied.success() && given.success());
        let world = World { root, folder };
        let entered = world.role("all", &["nothing"]).output().unwrap();
        if entered.status.success() {
            Ok(world)
        } else {
            Err(format!("the user's world cannot be made here: {}", String::from_utf8_lossy(&entered.stderr).trim()))
        }
    }

    /// This program as the user, with maps (`all`), without (`none`), or without the right to TUN/TAP (`no-tun`).
    fn role(&self, maps: &str, role: &[&str]) -> Command {
        let mut command = Command::new(self.folder.path().join("schism"));
        command.arg0(CHILD).args(["world", maps]).args(role).env(WORLD, self.folder.path());
        command
    }
}

fn open_to_all(folder: &Path) {
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).unwrap();
}

fn world() -> PathBuf {
    PathBuf::from(std::env::var_os(WORLD).unwrap())
}

/// Shows this process the world, makes it the user, and starts afresh in a role.
fn become_user(maps: &str, role: &[&str]) -> ExitCode {
    let none: Option<&str> = None;
    unshare(CloneFlags::CLONE_NEWNS).unwrap();
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).unwrap();
    let show = |name: &str, path: &str| {
        mount(Some(&world().join(name)), path, none, MsFlags::MS_BIND, none).unwrap();
    };
    let has_maps = maps != "none";
    let (ids, tools) = if has_maps { ("subids", "tools") } else { ("empty", "none") };
    show("passwd", "/etc/passwd");
    show(ids, "/etc/subuid");
    show(ids, "/etc/subgid");
    show(tools, "/usr/local/sbin");
    if !has_maps {
        for tool in ["/usr/bin/newuidmap", "/usr/bin/newgidmap"].into_iter().filter(|tool| Path::new(tool).exists()) {
            // What is no plain file is no command.
            mount(Some("/dev/null"), tool, none, MsFlags::MS_BIND, none).unwrap();
        }
    }
    show_tun(if maps == "no-tun" { Mode::S_IRUSR | Mode::S_IWUSR } else { Mode::from_bits_truncate(0o666) });
    setgroups(&[]).unwrap();
    let (group, user) = (Gid::from_raw(USER_ID), Uid::from_raw(USER_ID));
    setresgid(group, group, group).unwrap();
    setresuid(user, user, user).unwrap();
    let mut command = Command::new(world().join("schism"));
    let home = world().join("home");
    command.arg0(CHILD).args(role).current_dir(&home).env("HOME", &home).env("TMPDIR", &home);
    command.env_remove("USER").env_remove("LOGNAME");
    panic!("{}", command.exec());
}

/// Shows a `/dev/net/tun` of this mode; machines differ in whom theirs is for.
fn show_tun(mode: Mode) {
    let path = "/dev/net/tun";
    let Ok(status) = stat(path) else { return };
    mount(Some("none"), "/dev/net", Some("tmpfs"), MsFlags::empty(), Some("mode=0755")).unwrap();
    mknod(path, SFlag::S_IFCHR, mode, status.st_rdev).unwrap();
    // What the mask took away.
    fs::set_permissions(path, fs::Permissions::from_mode(mode.bits())).unwrap();
}

fn play(args: &[String]) -> ExitCode {
    match args.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["world", maps, role @ ..] => become_user(maps, role),
        ["nothing"] => ExitCode::SUCCESS,
        ["tests", filters @ ..] => {
            let mut failed = 0;
            let chosen = |name: &str| filters.is_empty() || filters.iter().any(|part| name.contains(part));
            for (name, test) in TESTS.iter().filter(|(name, _)| chosen(name)) {
                let start = Instant::now();
                let passed = catch_unwind(test).is_ok();
                println!("test {name} ... {} ({:?})", if passed { "ok" } else { "FAILED" }, start.elapsed());
                failed += usize::from(!passed);
            }
            if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        // Says what is missing, and how a lab fails.
        ["missing"] => {
            assert!(matches!(rights(), Err(LabError::NoMaps { .. })));
            println!("{}", up(&spec(1), &world().join("schism")).unwrap_err());
            ExitCode::SUCCESS
        }
        // Says how a lab with a switch fails.
        ["switch"] => {
            let spec = LabSpec { network: NetworkKind::Switch, ..spec(1) };
            println!("{}", up(&spec, &world().join("schism")).unwrap_err());
            ExitCode::SUCCESS
        }
        // Makes a lab, says its id, and stays attached until it is killed.
        ["hold"] => {
            let lab = up(&spec(1), &world().join("schism")).unwrap();
            let _attached = attach(&lab).unwrap();
            println!("{}", lab.id);
            loop {
                std::thread::park();
            }
        }
        // Enters the lab's network and runs a command there.
        ["network", id, program, rest @ ..] => {
            let lab = find(id).unwrap();
            let _attached = attach(&lab).unwrap();
            enter(&lab).unwrap();
            // The holder is found, and its lease held, from within as well.
            assert_eq!(find(id).unwrap(), lab);
            let _again = attach(&lab).unwrap();
            let status = Command::new(program).args(rest).status().unwrap();
            ExitCode::from(u8::try_from(status.code().unwrap_or(99)).unwrap_or(98))
        }
        other => panic!("no such role: {other:?}"),
    }
}

/// A wish for a lab of this many nodes with files of the user's own.
fn spec(nodes: usize) -> LabSpec {
    LabSpec { root: Some(world().join("root")), lease: Some(LEASE), ..LabSpec::new(LabSpec::fresh_id(), nodes) }
}

fn said(lab: &Lab, node: &str, script: &str) -> String {
    on(lab, node, script).1.trim().to_owned()
}

fn five_nodes_come_up_in_time_answer_ssh_and_go() {
    assert_eq!(rights().unwrap(), Rights::Maps);
    assert_eq!(missing_for_maps(), Vec::<String>::new());
    probe(&world().join("schism")).unwrap();
    let before = machine();
    let start = Instant::now();
    let lab = up(&LabSpec { run: Some("a-run".into()), ..spec(5) }, &world().join("schism")).unwrap();
    println!("  up, 5 nodes: {:?}", start.elapsed());
    assert!(start.elapsed() < Duration::from_secs(15), "{:?}", start.elapsed());
    let own = Own(lab);
    assert_eq!(machine(), before, "nothing of a lab may be in the machine's network or mounts");
    assert_eq!(find("a-run").unwrap(), *own);
    assert!(list().contains(&own));
    for node in &own.nodes {
        let output = ssh(&own, &format!("root@{}", node.address), &[], "hostname; id -u");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(said, format!("{}\n0\n", node.name), "{}", String::from_utf8_lossy(&output.stderr));
    }
    let id = own.id.clone();
    drop(own);
    assert_eq!(processes_named(&id), 0);
    assert!(matches!(find(&id), Err(LabError::NotFound { .. })));
}

fn a_node_is_a_machine_with_many_users() {
    let before = fs::metadata(world().join("root/etc")).unwrap();
    let user = LabUser { name: "tess".into(), password: Some("a pass".into()), sudo: Sudoers::No };
    let lab = Own::up(&LabSpec { users: vec![user], ..spec(2) });
    assert_eq!(
        said(&lab, "n1", "id -un; setpriv --reuid nobody --regid nogroup --clear-groups id -un"),
        "root\nnobody"
    );
    assert_eq!(said(&lab, "n1", "su tess -c 'id -u; touch ~/mine'; stat -c %U /home/tess/mine"), "61000\ntess");
    let output = ssh(&lab, &format!("tess@{}", lab.nodes[0].address), &[], "id -un; pwd");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "tess\n/home/tess\n");
    // Folders of the lower layer go and come again, which needs notes that only some attributes may hold.
    assert_eq!(said(&lab, "n1", "rm -r /etc/security && mkdir /etc/security && ls -A /etc/security"), "");
    assert_eq!(
        said(&lab, "n1", "mv /etc/pam.d /etc/pam2 && ls -d /etc/pam2; touch /usr/bin/x && echo x"),
        "/etc/pam2\nx"
    );
    let firewall = "nft add table inet t && nft list tables; ping -c1 -W2 n2 >/dev/null && echo pong";
    assert_eq!(said(&lab, "n1", firewall), "table inet t\npong");
    let views = "date -s @5 >/dev/null 2>&1 || echo no clock; ls /sys/class/net | tr '\\n' ' '; ls /root /home";
    assert_eq!(said(&lab, "n1", views), "no clock\neth0 lo /home:\ntess\n\n/root:");
    assert_eq!(exec(&lab, Some("n1"), &["sh".into(), "-c".into(), "exit 7".into()]).unwrap(), 7);
    assert_eq!(
        exec(&lab, None, &["sh".into(), "-c".into(), "ip -br a show br0 | grep -q 10.77.0.1".into()]).unwrap(),
        0
    );
    let after = fs::metadata(world().join("root/etc")).unwrap();
    assert_eq!((before.mtime(), before.mtime_nsec()), (after.mtime(), after.mtime_nsec()), "the files are shared");
    assert!(world().join("root/etc/security").read_dir().unwrap().count() > 0);
}

fn what_is_roots_alone_is_refused_with_the_reason() {
    let exe = world().join("schism");
    let limits = LabSpec { memory_bytes_max: Some(1 << 30), ..spec(1) };
    let none = LabSpec { root: None, ..spec(1) };
    let of_others = LabSpec { root: Some("/".into()), ..spec(1) };
    for (spec, wanted) in [(limits, "control groups"), (none, "as this is not root"), (of_others, "of another user")] {
        let error = up(&spec, &exe).unwrap_err();
        assert!(matches!(error, LabError::Spec { .. }) && error.to_string().contains(wanted), "{error}");
    }
    let machines = schism_lab::vms::fetch(&world(), &[], &mut |_| {}).unwrap_err();
    assert!(matches!(machines, LabError::NotRoot) && LabKind::Vms.ground() == "vms", "{machines}");
    let lab = Own::up(&spec(1));
    for ability in [Ability::DataDisk, Ability::Power] {
        let error = ground(&lab, async |ground| ground.can(ability).await.unwrap_err());
        assert!(error.to_string().contains("without root"), "{error}");
    }
    assert_eq!(said(&lab, "n1", &format!("test -d {} && echo a folder", schism_cluster::DATA_DISK)), "a folder");
}

fn ground<T>(lab: &Lab, work: impl AsyncFnOnce(&LabGround) -> T) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { work(&LabGround::new(lab.clone())).await })
}

fn nodes_freeze_and_a_switch_joins_them() {
    let lab = Own::up(&LabSpec { network: NetworkKind::Switch, ..spec(2) });
    assert_eq!(said(&lab, "n2", "ping -c1 -W2 n1 >/dev/null && echo pong"), "pong");
    ground(&lab, async |ground| {
        ground.can(Ability::Links).await.unwrap();
        ground.can(Ability::Freeze).await.unwrap();
    });
    assert_eq!(said(&lab, "n1", "sleep 987 >/dev/null 2>&1 & echo $! >/tmp/pid"), "");
    let state = || said(&lab, "n1", "cut -d' ' -f3 /proc/$(cat /tmp/pid)/stat");
    eventually("it sleeps", Duration::from_secs(20), || state() == "S");
    let node = Node::new("n1");
    let order = |action: GroundAction| ground(&lab, async |ground| ground.act(&action).await.unwrap());
    let frozen = order(GroundAction::Freeze { node: node.clone() });
    assert!(frozen["processes"].as_u64().unwrap() >= 2, "{frozen}");
    assert_eq!(state(), "T");
    order(GroundAction::Thaw { node });
    eventually("it sleeps again", Duration::from_secs(20), || state() == "S");
}

fn sigkill_of_the_holder_leaves_nothing() {
    let lab = up(&spec(2), &world().join("schism")).unwrap();
    let pid = i32::try_from(lab.holder.pid).unwrap();
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL).unwrap();
    eventually("nothing is left", Duration::from_secs(20), || processes_named(&lab.id) == 0);
    assert!(matches!(attach(&lab), Err(LabError::Gone { .. })));
    down(&lab).unwrap();
}

fn without_maps(world: &World) {
    let output = world.role("none", &["missing"]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{output:?}");
    for wanted in [
        "`newuidmap` and `newgidmap` is missing (as root: apt-get install uidmap)",
        "no line for schism-tess in /etc/subuid",
        "no line for schism-tess in /etc/subgid",
        "sudo",
    ] {
        assert!(said.contains(wanted), "{wanted}: {said}");
    }
}

fn without_tun(world: &World) {
    let output = world.role("no-tun", &["switch"]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{output:?}");
    for wanted in ["making the lab's switch", "Permission denied", "sudo chmod 0666 /dev/net/tun"] {
        assert!(said.contains(wanted), "{wanted}: {said}");
    }
}

fn root_with_own_files(world: &World) {
    let spec = LabSpec::new(LabSpec::fresh_id(), 1);
    let lab = Own::up(&LabSpec { root: Some(world.root.clone()), lease: Some(LEASE), ..spec });
    let script = "test -e /usr/bin/apt-get || echo not the machine; touch /etc/mine; rm -r /etc/security";
    assert_eq!(said(&lab, "n1", script), "not the machine");
    assert!(world.root.join("etc/security").is_dir() && !world.root.join("etc/mine").exists());
}

/// A process that is ended with its test, also a failing one.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

fn root_in_the_users_lab(world: &World) {
    let mut user = Ended(world.role("all", &["hold"]).stdout(Stdio::piped()).spawn().unwrap());
    let mut id = String::new();
    BufReader::new(user.0.stdout.take().unwrap()).read_line(&mut id).unwrap();
    let lab = Own(find(id.trim()).unwrap());
    assert_eq!(fs::metadata(format!("/proc/{}", lab.holder.pid)).unwrap().uid(), USER_ID);
    let map = said(&lab, "n1", "id -u; cat /proc/self/uid_map");
    let words: Vec<&str> = map.split_whitespace().collect();
    assert_eq!(words, ["0", "0", "3000654", "1", "1", "3100000", "65536"], "{map}");
    let output = child("network", &[&lab.id, "sh", "-c", "ip -br a show br0"]).output().unwrap();
    assert!(String::from_utf8_lossy(&output.stdout).contains("10.77.0.1/24"), "{output:?}");
    drop(user);
    let id = lab.id.clone();
    drop(lab);
    assert_eq!(processes_named(&id), 0);
}
