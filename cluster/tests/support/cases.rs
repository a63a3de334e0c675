//! What SSH must do, as functions over a place with an sshd, wherever that is.

use std::path::PathBuf;
use std::process::{Command as Process, Stdio};
use std::time::{Duration, Instant};

use schism_cluster::{Auth, Command, HostKeys, Remote, RemoteError, Secret, SshRemote, SshTarget, Sudo, User};
use schism_history::Node;

/// Which of the programs that the cases use beside the sshd is missing, if one is.
pub fn missing_tool() -> Option<String> {
    ["ssh-agent", "ssh-add", "ssh-keygen"].into_iter().find_map(|tool| {
        // An option that there is not: it says how it is used, and ends.
        let error = Process::new(tool).arg("-?").stdin(Stdio::null()).output().err()?;
        Some(format!("no {tool} ({error}): install openssh-client, or let scripts/test.sh run the tests"))
    })
}

/// An sshd and who may log in there. All users have the same password and let the same keys in.
#[derive(Debug, Clone)]
pub struct Site {
    /// Its address.
    pub address: String,
    /// Its port.
    pub port: u16,
    /// Its public host key (`ssh-ed25519 AAAA...`); it may have others of other kinds.
    pub host_key: String,
    /// A private key.
    pub key: PathBuf,
    /// Private keys with a passphrase.
    pub encrypted_keys: Vec<PathBuf>,
    /// That passphrase.
    pub passphrase: String,
    /// The password of every user, root too.
    pub password: String,
    /// A user whom sudo asks for the password.
    pub sudo_asks: Option<String>,
    /// A user whom sudo does not ask.
    pub sudo_free: Option<String>,
    /// Other sshds that let the same key in: bastions on the way to it, the controller's side first. Where there are
    /// none, it is its own bastion.
    pub hops: Vec<Hop>,
}

/// An sshd on the way.
#[derive(Debug, Clone)]
pub struct Hop {
    /// Its address.
    pub address: String,
    /// Its port.
    pub port: u16,
    /// Its public host key.
    pub host_key: String,
}

impl Site {
    /// Root, by the plain key, knowing the host key.
    pub fn target(&self) -> SshTarget {
        let mut target = SshTarget::new(Node::new("n1"), &self.address);
        target.port = self.port;
        target.auth = vec![Auth::KeyFile { path: self.key.clone(), passphrase: None }];
        target.host_keys = HostKeys::Known(self.host_key.clone());
        target
    }

    /// Root on the bastion at this place, 0 for the one next to the controller.
    pub fn hop(&self, at: usize) -> SshTarget {
        let mut target = self.target();
        if let Some(hop) = self.hops.get(at) {
            target.node = Node::new(&format!("hop-{at}"));
            (target.address, target.port) = (hop.address.clone(), hop.port);
            target.host_keys = HostKeys::Known(hop.host_key.clone());
        }
        target
    }

    /// Its name in a file of known hosts: with the port where that is not the usual one.
    fn known_as(&self) -> String {
        if self.port == 22 { self.address.clone() } else { format!("[{}]:{}", self.address, self.port) }
    }

    /// The same, changed.
    pub fn with(&self, change: impl FnOnce(&mut SshTarget)) -> SshRemote {
        let mut target = self.target();
        change(&mut target);
        SshRemote::new(target)
    }
}

async fn says(remote: &SshRemote, script: &str) -> String {
    remote.run(&Command::new(script)).await.unwrap().text()
}

/// A folder of our own on the node.
async fn scratch(remote: &SshRemote) -> String {
    says(remote, "mktemp -d /tmp/schism-test.XXXXXX").await
}

async fn refusal(remote: &SshRemote) -> String {
    let error = remote.run(&Command::new("true")).await.unwrap_err();
    assert!(matches!(error, RemoteError::Refused { .. }), "{error:?}");
    error.to_string()
}

/// Key in a file and in memory; status, outputs, input, signal, odd scripts.
pub async fn commands(site: &Site) {
    let private = Secret::new(&std::fs::read_to_string(&site.key).unwrap());
    for auth in
        [Auth::KeyFile { path: site.key.clone(), passphrase: None }, Auth::KeyMemory { private, passphrase: None }]
    {
        let remote = site.with(|target| target.auth = vec![auth]);
        assert_eq!(says(&remote, "id -un").await, "root");
        let script = "echo out; echo 'it''s' >&2; cat; exit 3";
        let output = remote.output(&Command::new(script).stdin("in")).await.unwrap();
        assert_eq!((output.status, output.text(), output.stderr), (3, "out\nin".to_owned(), b"its\n".to_vec()));
        let error = remote.run(&Command::new(script)).await.unwrap_err();
        assert_eq!(error.to_string(), format!("on node n1: `{script}` ended with status 3: its"));
        assert_eq!(remote.output(&Command::new("kill -9 $$")).await.unwrap().status, 137);
        assert_eq!(remote.output(&Command::new("no-such-command")).await.unwrap().status, 127);
        let odd = "for x in \"a'b\" '\\0041' '%s!'; do\n  printf '%s|' \"$x\"\ndone # é";
        assert_eq!(says(&remote, odd).await, "a'b|\\0041|%s!|");
        let long = format!("cat; : {}", "x'y ".repeat(20_000));
        assert_eq!(remote.run(&Command::new(long).stdin("hi")).await.unwrap().text(), "hi");
        // The output may end long before the command does.
        let output = remote.output(&Command::new("exec >&- 2>&-; sleep 0.2; exit 5")).await.unwrap();
        assert_eq!(output.status, 5);
    }
}

/// Encrypted keys: right, wrong and no passphrase.
pub async fn encrypted_keys(site: &Site) {
    for path in &site.encrypted_keys {
        let with = |passphrase: Option<&str>| {
            let auth = Auth::KeyFile { path: path.clone(), passphrase: passphrase.map(Secret::new) };
            site.with(|target| target.auth = vec![auth])
        };
        assert_eq!(says(&with(Some(&site.passphrase)), "echo in").await, "in", "{path:?}");
        let wrong = refusal(&with(Some("wrong"))).await;
        assert!(wrong.contains("passphrase of the key") && wrong.contains(path.to_str().unwrap()), "{wrong}");
        let none = refusal(&with(None)).await;
        assert!(none.contains("give its passphrase"), "{none}");
    }
    let missing = Auth::KeyFile { path: "/no/such/key".into(), passphrase: None };
    let error = refusal(&site.with(|target| target.auth = vec![missing])).await;
    assert!(error.contains("/no/such/key: No such file"), "{error}");
}

/// Password: right, wrong, and after a key that does not fit.
pub async fn password(site: &Site) {
    let right = Auth::Password(Secret::new(&site.password));
    let remote = site.with(|target| target.auth = vec![right.clone()]);
    assert_eq!(says(&remote, "id -un").await, "root");
    let error = refusal(&site.with(|target| target.auth = vec![Auth::Password(Secret::new("hunter2"))])).await;
    assert!(error.contains("as root") && !error.contains("hunter2") && error.contains("password"), "{error}");
    let missing = Auth::KeyFile { path: "/no/such/key".into(), passphrase: None };
    let remote =
        site.with(|target| target.auth = vec![missing, Auth::Agent { socket: Some("/no/agent".into()) }, right]);
    assert_eq!(says(&remote, "id -un").await, "root", "the next way in is tried");
    let error = refusal(&site.with(|target| target.auth = vec![])).await;
    assert!(error.contains("no key, agent or password"), "{error}");
}

/// An agent with the key, one without keys, and none.
pub async fn agent(site: &Site) {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("agent");
    let mut agent = Process::new("ssh-agent").arg("-D").arg("-a").arg(&socket).stdout(Stdio::null()).spawn().unwrap();
    for _ in 0..250 {
        if socket.exists() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let by_agent = || site.with(|target| target.auth = vec![Auth::Agent { socket: Some(socket.clone()) }]);
    let empty = refusal(&by_agent()).await;
    let add = Process::new("ssh-add").arg("-q").arg(&site.key).env("SSH_AUTH_SOCK", &socket).status().unwrap();
    let answer = by_agent().run(&Command::new("id -un")).await.map(|output| output.text());
    agent.kill().unwrap();
    agent.wait().unwrap();
    assert!(empty.contains("ssh-add"), "{empty}");
    assert!(add.success());
    assert_eq!(answer.unwrap(), "root");
    let gone = refusal(&by_agent()).await;
    assert!(gone.contains("no agent answers"), "{gone}");
}

/// Unknown, new, changed and known host keys.
pub async fn host_keys(site: &Site) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("known");
    let strict = || site.with(|target| target.host_keys = HostKeys::File(file.clone()));
    let error = refusal(&strict()).await;
    assert!(error.contains("is not in") && error.contains("ssh-keyscan"), "{error}");
    assert!(!file.exists());

    let accepting = || site.with(|target| target.host_keys = HostKeys::AcceptNew(file.clone()));
    assert_eq!(says(&accepting(), "echo in").await, "in");
    assert_eq!(says(&strict(), "echo in").await, "in", "it was written down");
    assert_eq!(says(&accepting(), "echo in").await, "in");
    assert_eq!(std::fs::read_to_string(&file).unwrap().lines().count(), 1);

    let other = folder.path().join("other");
    let made = Process::new("ssh-keygen").args(["-q", "-N", "", "-t", "ed25519", "-f"]).arg(&other).status().unwrap();
    assert!(made.success());
    let other = std::fs::read_to_string(other.with_extension("pub")).unwrap();
    let name = site.known_as();
    std::fs::write(&file, format!("{name} {other}")).unwrap();
    for remote in [strict(), accepting()] {
        let error = remote.run(&Command::new("true")).await.unwrap_err();
        assert!(matches!(error, RemoteError::HostKeyChanged { .. }), "{error:?}");
        assert!(error.to_string().contains("SHA256:") && error.to_string().contains("known"), "{error}");
    }
    std::fs::write(&file, format!("@revoked * {}\n{name} {}", site.host_key, site.host_key)).unwrap();
    let error = refusal(&strict()).await;
    assert!(error.contains("@revoked"), "{error}");

    assert_eq!(says(&site.with(|target| target.host_keys = HostKeys::Insecure), "echo in").await, "in");
    // By name without port, hashed: OpenSSH wrote it.
    std::fs::write(&file, format!("{} {}", site.address, site.host_key)).unwrap();
    let hashed =
        Process::new("ssh-keygen").arg("-H").arg("-f").arg(&file).stdout(Stdio::null()).stderr(Stdio::null()).status();
    assert!(hashed.unwrap().success());
    assert_eq!(says(&strict(), "echo in").await, "in");
    let error =
        site.with(|target| target.host_keys = HostKeys::Known("SHA256:x".into())).run(&Command::new("true")).await;
    assert!(matches!(error, Err(RemoteError::HostKeyChanged { .. })), "{error:?}");
}

/// Nobody listens; a name that does not resolve; something that is no sshd.
pub async fn unreachable(site: &Site) {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let silent_port = silent.local_addr().unwrap().port();
    let free_port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let cases = [
        ("127.0.0.1", free_port, "refused"),
        (&site.address, 1, "refused"),
        ("no-such-host.invalid", 22, "resolved"),
        ("127.0.0.1", silent_port, "handshake"),
    ];
    for (address, port, expected) in cases {
        let mut target = SshTarget::new(Node::new("n1"), address);
        target.port = port;
        target.connect_timeout = Duration::from_millis(500);
        target.host_keys = HostKeys::Insecure;
        let begin = Instant::now();
        let error = SshRemote::new(target).run(&Command::new("true")).await.unwrap_err();
        assert!(matches!(error, RemoteError::Unreachable { .. }), "{error:?}");
        assert!(error.to_string().contains("n1") && error.to_string().contains(expected), "{error}");
        // Below the command's deadline; asking for a name takes 5 s more for each packet that is lost.
        assert!(begin.elapsed() < Duration::from_secs(25), "{address}:{port} {:?}", begin.elapsed());
    }
}

/// Through one jump host and through two; through one that lets nobody in.
pub async fn jump(site: &Site) {
    let near = site.hop(0);
    let one = site.with(|target| target.jump = Some(Box::new(near.clone())));
    let comes_from = "id -un; echo ${SSH_CONNECTION%% *}";
    assert_eq!(says(&one, comes_from).await, format!("root\n{}", near.address));
    let big = vec![b'x'; 3 << 20];
    let back = one.run(&Command::new("cat").stdin(big.clone())).await.unwrap();
    assert_eq!(back.stdout.len(), big.len());
    let far = SshTarget { jump: Some(Box::new(near.clone())), ..site.hop(1) };
    let two = site.with(|target| target.jump = Some(Box::new(far.clone())));
    assert_eq!(says(&two, comes_from).await, format!("root\n{}", far.address));
    let closed = site.with(|target| {
        let auth = vec![Auth::Password(Secret::new("wrong"))];
        target.jump = Some(Box::new(SshTarget { node: Node::new("bastion"), auth, ..near.clone() }));
    });
    let error = refusal(&closed).await;
    assert!(error.contains("node bastion") && error.contains("on the way to n1"), "{error}");
    let lost = site.with(|target| {
        target.jump = Some(Box::new(near.clone()));
        target.port = 1;
    });
    let error = lost.run(&Command::new("true")).await.unwrap_err().to_string();
    assert!(error.contains("opens no connection"), "{error}");
}

/// A login that is not root, with and without a sudo password.
pub async fn sudo(site: &Site) {
    let asks = |password: Option<&str>| {
        let user = site.sudo_asks.clone().unwrap();
        site.with(|target| {
            target.user = user;
            target.sudo = password.map_or(Sudo::Passwordless, |password| Sudo::Password(Secret::new(password)));
        })
    };
    let free = |sudo: Sudo| {
        let user = site.sudo_free.clone().unwrap();
        site.with(|target| {
            target.user = user;
            target.sudo = sudo;
        })
    };
    let known = Sudo::Password(Secret::new(&site.password));
    for remote in [asks(Some(&site.password)), free(Sudo::Auto), free(Sudo::Passwordless), free(known)] {
        for stdin in ["", "one\ntwo\n", "no newline"] {
            let output = remote.run(&Command::new("cat; id -un; echo err >&2").stdin(stdin)).await.unwrap();
            assert_eq!(output.stdout, format!("{stdin}root\n").into_bytes(), "{:?}", remote.target());
            assert_eq!(output.stderr, b"err\n", "no lecture, no marker");
        }
        let login = remote.run(&Command::new("id -un").user(User::Login)).await.unwrap();
        assert_eq!(login.text(), remote.target().user);
        let named = remote.run(&Command::new("id -un").user(User::Named("nobody".into()))).await.unwrap();
        assert_eq!(named.text(), "nobody");
        let long = format!("cat; : {}", "x'y ".repeat(10_000));
        assert_eq!(remote.run(&Command::new(long).stdin("hi")).await.unwrap().text(), "hi");
        assert_eq!(remote.output(&Command::new("exit 4")).await.unwrap().status, 4);
        remote.upload(b"root's", "/tmp/schism-test-sudo/file", 0o600).await.unwrap();
        assert_eq!(
            says(&remote, "stat -c '%U %a' /tmp/schism-test-sudo/file; rm -r /tmp/schism-test-sudo").await,
            "root 600"
        );
    }
    for remote in [asks(Some("wrong")), asks(None)] {
        let error = refusal(&remote).await;
        assert!(error.contains("sudo") && error.contains("NOPASSWD") && !error.contains("wrong"), "{error}");
    }
    let auto = site.with(|target| {
        target.user = site.sudo_asks.clone().unwrap();
        target.auth = vec![Auth::Password(Secret::new(&site.password))];
    });
    assert_eq!(says(&auto, "id -un").await, "root", "the password of the login is that of sudo");
    let root = site.with(|_| {});
    let named = root
        .run(&Command::new("id -un; cat; echo \"$HOME\"").user(User::Named("nobody".into())).stdin("in\n"))
        .await
        .unwrap();
    assert!(named.text().starts_with("nobody\nin\n/"), "{}", named.text());
}

/// A command past its deadline, one that talks for ever, and that the next one works.
pub async fn deadlines(site: &Site) {
    let remote = site.with(|target| target.sessions_max = 1);
    assert_eq!(says(&remote, "echo warm").await, "warm");
    // They talk for the last third of the deadline: not more than what is kept of an output.
    for script in ["sleep 30", "sleep 1; yes", "sleep 1; yes >&2", "cat >/dev/null & sleep 30"] {
        let begin = Instant::now();
        // Long enough to begin in: what never began is told in other words.
        let error = remote.run(&Command::new(script).deadline(Duration::from_millis(1500))).await.unwrap_err();
        assert!(matches!(error, RemoteError::Deadline { .. }), "{error:?}");
        assert!(begin.elapsed() < Duration::from_secs(20), "{:?}", begin.elapsed());
        assert_eq!(says(&remote, "echo next").await, "next");
    }
    // No overflow, whatever the deadline.
    assert_eq!(remote.run(&Command::new("echo far").deadline(Duration::MAX)).await.unwrap().text(), "far");
    // One that nobody waits for any more does not hold up the next.
    let forgotten = remote.run(&Command::new("sleep 30")).await_for(Duration::from_millis(200)).await;
    assert!(forgotten.is_none());
    let begin = Instant::now();
    assert_eq!(says(&remote, "echo next").await, "next");
    assert!(begin.elapsed() < Duration::from_secs(20));
}

/// A future given up after a time.
trait AwaitFor: Future + Sized {
    async fn await_for(self, time: Duration) -> Option<Self::Output> {
        tokio::time::timeout(time, self).await.ok()
    }
}

impl<F: Future> AwaitFor for F {}

/// Much output on both streams, much input, both at once, and input that is not read; directly, and through a tunnel,
/// whose socket is full at once.
pub async fn volumes(site: &Site) {
    much(&site.with(|_| {})).await;
    much(&site.with(|target| target.jump = Some(Box::new(site.hop(0))))).await;
}

async fn much(remote: &SshRemote) {
    let command = |script: &str| Command::new(script).deadline(Duration::from_secs(120));
    let script = "head -c 20000000 /dev/zero & head -c 20000000 /dev/zero >&2; wait";
    let output = remote.run(&command(script)).await.unwrap();
    assert_eq!((output.stdout.len(), output.stderr.len()), (20_000_000, 20_000_000));
    let big: Vec<u8> = (0..12_000_000u32).map(|i| ((i * 31) >> 3) as u8).collect();
    let back = remote.run(&command("tee /dev/stderr").stdin(big.clone())).await.unwrap();
    assert!(back.stdout == big && back.stderr == big);
    let unread = remote.run(&command("head -c 3 >/dev/null; echo done").stdin(big)).await.unwrap();
    assert_eq!(unread.text(), "done");
}

/// Files there and back, folders made, modes kept, errors told, a torn file never seen.
pub async fn files(site: &Site) {
    let remote = site.with(|_| {});
    let folder = tempfile::tempdir().unwrap();
    let far = scratch(&remote).await;
    let there = format!("{far}/new folder/it's");
    let big: Vec<u8> = (0..5_000_000u32).map(|i| ((i * 17) >> 2) as u8).collect();
    for (bytes, mode) in [(&big[..], 0o755), (&[], 0o600)] {
        remote.upload(bytes, &there, mode).await.unwrap();
        let quoted = schism_cluster::shell::quote(&there).into_owned();
        assert_eq!(
            says(&remote, &format!("stat -c '%a %s' {quoted}; ls {quoted}*")).await,
            format!("{mode:o} {}\n{there}", bytes.len())
        );
        let here = folder.path().join("back");
        assert_eq!(remote.download(&there, &here).await.unwrap(), bytes.len() as u64);
        assert!(std::fs::read(&here).unwrap() == bytes);
    }
    let error = remote.download("/no/such file", &folder.path().join("x")).await.unwrap_err();
    assert!(matches!(&error, RemoteError::Copy { reason, .. } if reason.contains("No such file")), "{error:?}");
    assert!(!folder.path().join("x").exists());
    let error = remote.download("/etc/passwd", &folder.path().join("no/x")).await.unwrap_err();
    assert!(matches!(error, RemoteError::Copy { .. }), "{error:?}");
    says(&remote, &format!("rm -r {far}")).await;
    for to in ["/proc/no/file", "/tmp"] {
        let error = remote.upload(b"x", to, 0o644).await.unwrap_err();
        assert!(matches!(error, RemoteError::Copy { .. }), "{error:?}");
    }
}

/// Commands that wait for each other run at once; more than there are connections take turns.
pub async fn at_once(site: &Site) {
    let remote = std::sync::Arc::new(site.with(|target| target.sessions_max = 3));
    let folder = scratch(&remote).await;
    let flag = format!("{folder}/flag");
    let waits = format!("until [ -e {flag} ]; do sleep 0.05; done; echo seen");
    let both = async {
        tokio::join!(says(&remote, &waits), says(&remote, &waits), async {
            tokio::time::sleep(Duration::from_millis(300)).await;
            says(&remote, &format!("touch {flag}")).await
        })
    };
    let (one, two, _) = both.await;
    assert_eq!((one.as_str(), two.as_str()), ("seen", "seen"));
    let mut many = tokio::task::JoinSet::new();
    for number in 0..30 {
        let remote = std::sync::Arc::clone(&remote);
        many.spawn(async move { says(&remote, &format!("echo {number}")).await == number.to_string() });
    }
    assert!(many.join_all().await.into_iter().all(|right| right));
    says(&remote, &format!("rm -r {folder}")).await;
}

/// The session's sshd is killed while idle, while a command runs, and stops answering.
pub async fn broken_sessions(site: &Site) {
    let remote = site.with(|target| {
        target.sessions_max = 1;
        target.connect_timeout = Duration::from_secs(8);
    });
    let other = site.with(|_| {});
    let first = says(&remote, "echo $PPID").await;
    assert_eq!(says(&remote, "echo $PPID").await, first, "one connection serves many commands");
    says(&other, &format!("kill -9 {first}")).await;
    let second = says(&remote, "echo $PPID").await;
    assert_ne!(second, first, "connected again");

    let folder = scratch(&other).await;
    let count = format!("{folder}/count");
    let error = remote.run(&Command::new(format!("echo x >> {count}; kill -9 $PPID; sleep 5"))).await.unwrap_err();
    assert!(
        matches!(error, RemoteError::Unreachable { .. }) && error.to_string().contains("may have done its work"),
        "{error:?}"
    );
    let third = says(&remote, &format!("cat {count}; echo $PPID")).await;
    assert!(third.starts_with("x\n") && !third.contains("x\nx"), "run once, never again: {third}");

    let session = third.lines().last().unwrap().to_owned();
    says(&other, &format!("kill -STOP {session}")).await;
    let fourth = says(&remote, "echo $PPID").await;
    assert_ne!(fourth, session, "a silent connection is given up");
    says(&other, &format!("kill -9 {session}; rm -r {folder}")).await;
}
