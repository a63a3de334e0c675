//! What the lab's tests share: a lab that goes when its test ends, and hands in it.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use schism_cluster::packages;
use schism_lab::{Lab, LabSpec, exec, up};

/// Name of this program where it plays a controller in a process of its own.
pub const CHILD: &str = "schism-lab-test-child";

/// Why labs cannot be made here, if they cannot.
pub fn ground_is_missing() -> Option<String> {
    if !nix::unistd::geteuid().is_root() {
        return Some("labs need root".to_owned());
    }
    tree().as_ref().err().cloned()
}

/// The packages of the nodes, fetched once into the shared cache.
pub fn tree() -> &'static Result<PathBuf, String> {
    static TREE: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    TREE.get_or_init(|| {
        let fetched =
            packages::fetch_for_nodes(&packages::default_cache(), &["sudo"], &mut |line| println!("  {line}"));
        fetched.map(|tree| tree.path).map_err(|error| error.to_string())
    })
}

/// The lease of labs whose test is not about leases: longer than a test takes, as nobody is attached.
pub const LEASE: Duration = Duration::from_secs(600);

/// How long is waited at most for what comes at once where nothing else runs.
#[allow(dead_code)]
pub const SOON: Duration = Duration::from_secs(30);

/// A wish for a lab of this many nodes, with the packages laid over.
pub fn spec(nodes: usize) -> LabSpec {
    LabSpec { trees: vec![tree().clone().unwrap()], lease: Some(LEASE), ..LabSpec::new(LabSpec::fresh_id(), nodes) }
}

/// A lab that is taken down at the end of its test, also of a failing one.
pub struct Own(pub Lab);

impl Own {
    pub fn up(spec: &LabSpec) -> Own {
        Own(up(spec, &std::env::current_exe().unwrap()).unwrap())
    }
}

impl std::ops::Deref for Own {
    type Target = Lab;
    fn deref(&self) -> &Lab {
        &self.0
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        schism_lab::down(&self.0).unwrap();
    }
}

/// Runs a script on a node; its status and all it said.
pub fn on(lab: &Lab, node: &str, script: &str) -> (i32, String) {
    let pid = lab.nodes.iter().find(|its| its.name == node).unwrap().init_pid;
    let argv = ["sh", "-c", &format!("{{ {script}\n}} >/tmp/.said 2>&1")].map(str::to_owned);
    let status = exec(lab, Some(node), &argv).unwrap();
    (status, fs::read_to_string(format!("/proc/{pid}/root/tmp/.said")).unwrap())
}

/// Runs this program as a controller of its own.
pub fn child(role: &str, args: &[&str]) -> Command {
    let mut command = Command::new("/proc/self/exe");
    command.arg0(CHILD).arg(role).args(args);
    command
}

/// Runs `ssh` in the lab's network with the lab's key and known hosts.
pub fn ssh(lab: &Lab, login: &str, options: &[&str], script: &str) -> Output {
    let folder = std::env::temp_dir().join(format!("schism-lab-test-{}-{}", std::process::id(), lab.id));
    fs::create_dir_all(&folder).unwrap();
    let (key, known) = (folder.join("key"), folder.join("known"));
    fs::write(&key, &lab.private_key_openssh).unwrap();
    fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    fs::write(&known, &lab.known_hosts).unwrap();
    let known = format!("UserKnownHostsFile={}", known.display());
    let base = ["-F", "/dev/null", "-o", "StrictHostKeyChecking=yes", "-o", &known, "-o", "IdentitiesOnly=yes"];
    let mut args: Vec<&str> = vec![&lab.id, "ssh"];
    args.extend(base);
    let key = key.display().to_string();
    if !options.contains(&"PubkeyAuthentication=no") {
        args.extend(["-i", &key]);
    }
    args.extend(options);
    args.extend([login, script]);
    let output = child("network", &args).output().unwrap();
    fs::remove_dir_all(folder).unwrap();
    output
}

/// Waits until something holds; the time it took.
pub fn eventually(what: &str, at_most: Duration, mut holds: impl FnMut() -> bool) -> Duration {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < at_most, "not within {at_most:?}: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
    start.elapsed()
}

/// What the machine shows of its network and mounts; must be the same with and without labs.
pub fn machine() -> (Vec<String>, String) {
    let links = fs::read_dir("/sys/class/net").unwrap();
    let mut links: Vec<String> = links.map(|link| link.unwrap().file_name().into_string().unwrap()).collect();
    links.sort();
    (links, fs::read_to_string("/proc/self/mountinfo").unwrap())
}

/// Processes of this machine whose network namespace is one of the lab's.
pub fn processes_of(namespaces: &[PathBuf]) -> Vec<u32> {
    let all = fs::read_dir("/proc").unwrap().flatten();
    let numbers = all.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    numbers.filter(|pid| network_of(*pid).is_some_and(|network| namespaces.contains(&network))).collect()
}

/// The network namespace of a process.
pub fn network_of(pid: u32) -> Option<PathBuf> {
    fs::read_link(format!("/proc/{pid}/ns/net")).ok()
}

/// Those of a lab: the holder's and the nodes'.
pub fn networks(lab: &Lab) -> Vec<PathBuf> {
    let pids = lab.nodes.iter().map(|node| node.init_pid).chain([lab.holder.pid]);
    pids.map(|pid| network_of(pid).unwrap()).collect()
}

/// How many processes have this id as an argument. (Not every test program asks.)
#[allow(dead_code)]
pub fn processes_named(id: &str) -> usize {
    let all = fs::read_dir("/proc").unwrap().flatten();
    let lines = all.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
    lines.filter(|line| line.split(|byte| *byte == 0).any(|arg| arg == id.as_bytes())).count()
}
