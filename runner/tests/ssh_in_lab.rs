//! SSH against the sshds of a real lab: all that `cluster` checks against an sshd on loopback, here over a network of
//! three nodes, with bastions that are machines of their own, sudo, and sshds that die, hang and change their key.
//!
//! Needs root, iproute2, openssh-client and the packages of the nodes (from the cache or the distribution's archive); says
//! so where they are missing. The test program is the holder of its own lab, hence its own `main`.

// Clippy allows these in tests, but does not know a test program without the harness for one.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

#[path = "../../cluster/tests/support/cases.rs"]
mod cases;

use std::collections::VecDeque;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::pin::Pin;
use std::process::{Command as Process, ExitCode};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use cases::{Hop, Site};
use schism_cluster::{Command, HostKeys, Remote, RemoteError, SshRemote, SshTarget, packages};
use schism_history::Node;
use schism_lab::{Attachment, Lab, LabSpec, LabUser, Sudoers, attach, enter, exec, holder_main_if_asked, up};

const PASSWORD: &str = "open sesame";

/// None may take longer, so that a hanging one is named.
const CASE_MAX: Duration = Duration::from_secs(240);

type Running<'a> = Pin<Box<dyn Future<Output = ()> + 'a>>;
type Case = (&'static str, for<'a> fn(&'a Place) -> Running<'a>);

/// Cases that `cluster` has for any sshd; here it is that of n3, and n1 and n2 are on the way.
macro_rules! shared {
    ($($case:ident),* $(,)?) => {
        &[$((stringify!($case), |place| Box::pin(cases::$case(&place.site)))),*]
    };
}

const SHARED: &[Case] = shared!(
    commands,
    encrypted_keys,
    password,
    agent,
    host_keys,
    unreachable,
    jump,
    sudo,
    deadlines,
    volumes,
    files,
    at_once,
    broken_sessions,
);

const OF_THE_LAB: &[Case] = &[
    ("nobody_but_root_and_sudo_is_root", |place| Box::pin(nobody_but_root_and_sudo_is_root(place))),
    ("the_jump_is_the_only_way", |place| Box::pin(the_jump_is_the_only_way(place))),
    ("a_dead_sshd_is_told_and_comes_back", |place| Box::pin(a_dead_sshd_is_told_and_comes_back(place))),
    ("a_hanging_sshd_is_told", |place| Box::pin(a_hanging_sshd_is_told(place))),
    ("a_node_with_another_key_is_refused", |place| Box::pin(a_node_with_another_key_is_refused(place))),
];

fn main() -> ExitCode {
    holder_main_if_asked();
    let filters: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    let place = match Place::make() {
        Ok(place) => place,
        Err(reason) => {
            println!("tests of SSH in the lab skipped: {reason}");
            return ExitCode::SUCCESS;
        }
    };
    let chosen = |cases: &[Case]| -> VecDeque<Case> {
        let asked = |name: &str| filters.is_empty() || filters.iter().any(|part| name.contains(part));
        cases.iter().filter(|(name, _)| asked(name)).copied().collect()
    };
    // The others change nodes under each other's feet.
    let outcomes = [run(&place, chosen(SHARED), 4), run(&place, chosen(OF_THE_LAB), 1)].concat();
    let failed = outcomes.iter().filter(|good| !**good).count();
    let passed = outcomes.len() - failed;
    drop(place);
    println!("{passed} passed, {failed} failed");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs cases, some at a time; whether each was good.
fn run(place: &Place, cases: VecDeque<Case>, at_once: usize) -> Vec<bool> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let (left, outcomes) = (Mutex::new(cases), Mutex::new(Vec::new()));
    let next = || left.lock().unwrap().pop_front();
    let work = || {
        while let Some((name, case)) = next() {
            let begin = Instant::now();
            let all = async { tokio::time::timeout(CASE_MAX, case(place)).await.expect("it ends in time") };
            let good = catch_unwind(AssertUnwindSafe(|| runtime.block_on(all))).is_ok();
            println!("test {name} ... {} ({:?})", if good { "ok" } else { "FAILED" }, begin.elapsed());
            outcomes.lock().unwrap().push(good);
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..at_once {
            scope.spawn(work);
        }
    });
    outcomes.into_inner().unwrap()
}

/// Three nodes, whose network this process is in. The lab goes with this, or with its lease.
struct Place {
    lab: Lab,
    site: Site,
    _attached: Attachment,
    _keys: tempfile::TempDir,
}

impl Drop for Place {
    fn drop(&mut self) {
        schism_lab::down(&self.lab).unwrap();
    }
}

impl Place {
    /// Makes it, or says what this machine lacks for it. The process must have one thread.
    fn make() -> Result<Place, String> {
        if !nix::unistd::geteuid().is_root() {
            return Err("labs need root".to_owned());
        }
        if let Some(missing) = cases::missing_tool() {
            return Err(missing);
        }
        let cache = packages::default_cache();
        let tree = packages::fetch_for_nodes(&cache, &["sudo"], &mut |line| println!("  {line}"))
            .map_err(|error| error.to_string())?;
        let user = |name: &str, sudo| LabUser { name: name.to_owned(), password: Some(PASSWORD.to_owned()), sudo };
        let users = vec![
            user("root", Sudoers::No),
            user("deploy", Sudoers::WithPassword),
            user("free", Sudoers::WithoutPassword),
            user("plain", Sudoers::No),
        ];
        let spec = LabSpec { trees: vec![tree.path], users, ..LabSpec::new(LabSpec::fresh_id(), 3) };
        let lab = up(&spec, &std::env::current_exe().unwrap()).unwrap();
        let attached = attach(&lab).unwrap();
        enter(&lab).unwrap();
        let keys = tempfile::tempdir().unwrap();
        let site = site(&lab, keys.path());
        let place = Place { lab, site, _attached: attached, _keys: keys };
        for key in &place.site.encrypted_keys {
            let public = fs::read_to_string(key.with_extension("pub")).unwrap();
            for node in ["n1", "n2", "n3"] {
                place.on(node, &format!("echo '{}' >> /root/.ssh/authorized_keys", public.trim()));
            }
        }
        Ok(place)
    }

    /// Runs a script on a node without SSH.
    fn on(&self, node: &str, script: &str) {
        let argv = ["sh", "-ec", script].map(str::to_owned);
        assert_eq!(exec(&self.lab, Some(node), &argv).unwrap(), 0, "on {node}: {script}");
    }

    /// Sends a signal to the sshd that listens on a node, and to none that serves a connection. One that is killed is gone
    /// at the end: while the kernel still closes its socket, connections are taken and reset.
    fn signal(&self, node: &str, signal: &str) {
        self.on(
            node,
            &format!(
                "hit=1; for of in /proc/[0-9]*; do
                     read -r pid name state parent rest <$of/stat || continue
                     [ $parent = 1 ] && grep -qas '^.*sshd.*-D' $of/cmdline || continue
                     kill -{signal} $pid; hit=0
                     [ {signal} != KILL ] || while kill -0 $pid; do sleep 0.01; done
                 done 2>/dev/null; exit $hit"
            ),
        );
    }

    /// Root on a node, knowing its key.
    fn target(&self, node: &str) -> SshTarget {
        let hop = hop(&self.lab, node);
        let mut target = self.site.target();
        target.node = Node::new(node);
        target.address = hop.address;
        target.host_keys = HostKeys::Known(hop.host_key);
        target.connect_timeout = Duration::from_secs(5);
        target
    }
}

fn hop(lab: &Lab, node: &str) -> Hop {
    let address = lab.nodes.iter().find(|its| its.name == node).unwrap().address.clone();
    let mut lines = lab.known_hosts.lines().filter_map(|line| line.split_once(' '));
    let (_, key) = lines.find(|(names, _)| names.split(',').any(|name| name == node)).unwrap();
    Hop { address, port: 22, host_key: key.to_owned() }
}

fn site(lab: &Lab, keys: &Path) -> Site {
    let key = keys.join("plain");
    fs::write(&key, &lab.private_key_openssh).unwrap();
    // ssh-add takes no key that others can read.
    fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let encrypted = |name: &str, kind: &[&str]| {
        let path = keys.join(name);
        let mut keygen = Process::new("ssh-keygen");
        let made = keygen.args(["-q", "-N", PASSWORD, "-C", name, "-f"]).arg(&path).args(kind).status();
        assert!(made.unwrap().success());
        path
    };
    let last = hop(lab, "n3");
    Site {
        address: last.address,
        port: last.port,
        host_key: last.host_key,
        key,
        encrypted_keys: vec![
            encrypted("ed25519", &["-t", "ed25519"]),
            encrypted("rsa", &["-t", "rsa", "-b", "2048", "-m", "PEM"]),
        ],
        passphrase: PASSWORD.to_owned(),
        password: PASSWORD.to_owned(),
        sudo_asks: Some("deploy".to_owned()),
        sudo_free: Some("free".to_owned()),
        hops: vec![hop(lab, "n1"), hop(lab, "n2")],
    }
}

async fn ask(target: SshTarget, script: &str) -> Result<String, RemoteError> {
    SshRemote::new(target).run(&Command::new(script)).await.map(|output| output.text())
}

/// Asks until there is an answer.
async fn comes_back(target: &SshTarget) {
    let begin = Instant::now();
    while let Err(error) = ask(target.clone(), "true").await {
        assert!(begin.elapsed() < Duration::from_secs(60), "{error}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A user whom sudoers does not name stays who he is, and is told so.
async fn nobody_but_root_and_sudo_is_root(place: &Place) {
    let mut target = place.target("n1");
    target.user = "plain".to_owned();
    let error = ask(target.clone(), "id -un").await.unwrap_err();
    assert!(matches!(error, RemoteError::Refused { .. }) && error.to_string().contains("sudo"), "{error:?}");
    let own = Command::new("id -un; hostname").user(schism_cluster::User::Login);
    assert_eq!(SshRemote::new(target).run(&own).await.unwrap().text(), "plain\nn1");
}

/// n3 speaks to n2 alone, and n2 to n1: no other way leads there.
async fn the_jump_is_the_only_way(place: &Place) {
    let via = |target: SshTarget, way: SshTarget| SshTarget { jump: Some(Box::new(way)), ..target };
    let [one, two, three] = ["n1", "n2", "n3"].map(|node| place.target(node));
    let walls = [("n2", "10.77.0.1/32"), ("n3", "10.77.0.1/32"), ("n3", "10.77.0.11/32")];
    for (node, to) in walls {
        place.on(node, &format!("ip route add blackhole {to}"));
    }
    let short = [three.clone(), via(three.clone(), one.clone()), via(three.clone(), two.clone())];
    let mut refused = Vec::new();
    for way in short {
        refused.push(ask(way, "true").await);
    }
    let whole = via(three, via(two, one));
    let answer = ask(whole, "hostname; echo ${SSH_CONNECTION%% *}").await;
    for (node, to) in walls {
        place.on(node, &format!("ip route del blackhole {to}"));
    }
    for way in refused {
        assert!(matches!(way, Err(RemoteError::Unreachable { .. })), "{way:?}");
    }
    assert_eq!(answer.unwrap(), "n3\n10.77.0.12");
}

/// Nothing listens: told at once, while connections that were open go on. Then the node's init brings it back.
async fn a_dead_sshd_is_told_and_comes_back(place: &Place) {
    let target = place.target("n2");
    comes_back(&target).await;
    let open = SshRemote::new(SshTarget { sessions_max: 1, ..target.clone() });
    assert_eq!(open.run(&Command::new("hostname")).await.unwrap().text(), "n2");
    // Without its configuration it cannot be brought back too soon.
    place.on("n2", "mv /etc/ssh/sshd_config /etc/ssh/away");
    place.signal("n2", "KILL");
    let begin = Instant::now();
    let error = ask(target.clone(), "true").await;
    let waited = begin.elapsed();
    let goes_on = open.run(&Command::new("hostname")).await;
    place.on("n2", "mv /etc/ssh/away /etc/ssh/sshd_config");
    let error = error.unwrap_err();
    assert!(matches!(error, RemoteError::Unreachable { .. }), "{error:?}");
    let said = error.to_string();
    assert!(["n2", "10.77.0.12", "refused"].iter().all(|word| said.contains(word)), "{said}");
    assert!(waited < Duration::from_secs(20), "{waited:?}");
    assert_eq!(goes_on.unwrap().text(), "n2");
    comes_back(&target).await;

    // Killed while it serves, with nobody's help: the next command comes through, after another try at most.
    let served = "echo $PPID";
    let first = open.run(&Command::new(served)).await.unwrap().text();
    place.signal("n2", "KILL");
    place.on("n2", &format!("kill -9 {first}"));
    comes_back(&target).await;
    let second = open.run(&Command::new(served)).await.unwrap().text();
    assert_ne!(second, first);
}

/// It takes connections and says nothing: given up after the time for connecting, and fine when it goes on.
async fn a_hanging_sshd_is_told(place: &Place) {
    let target = place.target("n2");
    comes_back(&target).await;
    place.signal("n2", "STOP");
    let begin = Instant::now();
    let error = ask(target.clone(), "true").await;
    let waited = begin.elapsed();
    place.signal("n2", "CONT");
    let error = error.unwrap_err();
    assert!(matches!(error, RemoteError::Unreachable { .. }) && error.to_string().contains("n2"), "{error:?}");
    assert!(waited < Duration::from_secs(25), "{waited:?}");
    assert_eq!(ask(target, "hostname").await.unwrap(), "n2");
}

/// The sshd of n2 itself has another key than before: refused, whichever way we knew the first.
async fn a_node_with_another_key_is_refused(place: &Place) {
    let known = place.target("n2");
    comes_back(&known).await;
    let folder = tempfile::tempdir().unwrap();
    let seen = SshTarget { host_keys: HostKeys::AcceptNew(folder.path().join("known")), ..known.clone() };
    assert_eq!(ask(seen.clone(), "hostname").await.unwrap(), "n2");
    let any = SshTarget { host_keys: HostKeys::Insecure, ..known.clone() };

    let key = "/etc/ssh/ssh_host_ed25519_key";
    place.on("n2", &format!("mv {key} {key}.old; ssh-keygen -q -N '' -t ed25519 -f {key}"));
    place.signal("n2", "KILL");
    comes_back(&any).await;
    let answers = [ask(known.clone(), "true").await, ask(seen, "true").await];
    place.on("n2", &format!("mv {key}.old {key}"));
    place.signal("n2", "KILL");
    for answer in answers {
        assert!(matches!(answer, Err(RemoteError::HostKeyChanged { .. })), "{answer:?}");
    }
    comes_back(&known).await;
}
