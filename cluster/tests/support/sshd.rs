//! A real sshd for a test: on loopback, at a port of its own, in mount and process namespaces of its own with its own
//! users, so that the machine's are neither needed nor touched. It ends with the test.
//!
//! Needs root, perl, ssh-keygen and the path of an sshd in `SCHISM_TEST_SSHD` (or one in `PATH`). An sshd that was
//! only unpacked (`dpkg-deb -x`) is found together with what was unpacked beside it: its libraries, and `sudo`.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::cases::{self, Site};

/// `perl -e 'print crypt("open sesame", "\$6\$saltsalt\$")'`
const HASH: &str = "$6$saltsalt$e/5XKibXPLqVcfjpD.ouauaJrAOL5V0uo80Lt7n7EbRdRiCx3HbQ90yjOHr.G0T.mx79PEMRy8nmtr0qSYhQp1";

/// A running sshd.
pub struct Sshd {
    /// How it is reached.
    pub site: Site,
    process: Child,
    _folder: tempfile::TempDir,
}

impl Drop for Sshd {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The sshd to test with, or why there is none.
fn binary() -> Result<PathBuf, String> {
    if !nix::unistd::geteuid().is_root() {
        return Err("an sshd with users of its own needs root".to_owned());
    }
    let named = std::env::var_os("SCHISM_TEST_SSHD").map(PathBuf::from);
    let usual = ["/usr/sbin/sshd", "/usr/local/sbin/sshd"].map(PathBuf::from);
    if let Some(missing) = cases::missing_tool() {
        return Err(missing);
    }
    let found = named.into_iter().chain(usual).find(|path| path.is_file());
    found.ok_or_else(|| "no sshd: set SCHISM_TEST_SSHD to the path of one".to_owned())
}

fn run(program: &str, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

fn key(path: &Path, kind: &[&str], passphrase: &str) {
    let mut arguments = vec!["-q", "-N", passphrase, "-C", "test", "-f", path.to_str().unwrap()];
    arguments.extend_from_slice(kind);
    run("ssh-keygen", &arguments);
}

/// The files that replace those in `/etc`.
fn etc(folder: &Path) {
    let etc = folder.join("etc");
    fs::create_dir_all(etc.join("pam.d")).unwrap();
    let users = [("root", 0), ("sshd", 60_000), ("deploy", 60_001), ("free", 60_002), ("nobody", 65_534)];
    let write = |name: &str, line: &dyn Fn(&str, u32) -> String| {
        let text: String = users.iter().map(|(user, id)| line(user, *id)).collect();
        fs::write(etc.join(name), text).unwrap();
    };
    write("passwd", &|user, id| {
        format!("{user}:x:{id}:{id}::/tmp:/bin/{}\n", if user == "free" { "bash" } else { "sh" })
    });
    write("group", &|user, id| format!("{user}:x:{id}:\n"));
    write("shadow", &|user, _| format!("{user}:{}:19000:0:99999:7:::\n", if user == "sshd" { "!" } else { HASH }));
    let sudoers =
        "Defaults !fqdn, lecture=always\nroot ALL=(ALL) ALL\ndeploy ALL=(ALL) ALL\nfree ALL=(ALL) NOPASSWD: ALL\n";
    fs::write(etc.join("sudoers"), sudoers).unwrap();
    for service in ["sudo", "su", "other"] {
        let rules = "auth sufficient pam_rootok.so\nauth required pam_unix.so nodelay\naccount required pam_unix.so\nsession required pam_permit.so\n";
        fs::write(etc.join("pam.d").join(service), rules).unwrap();
    }
    for (name, mode) in [("sudoers", 0o440), ("shadow", 0o600)] {
        fs::set_permissions(etc.join(name), std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
    }
}

fn config(folder: &Path, port: u16) -> String {
    let at = |name: &str| folder.join(name).display().to_string();
    format!(
        "ListenAddress 127.0.0.1:{port}\nHostKey {}\nHostKey {}\nAuthorizedKeysFile {}\nPermitRootLogin yes\nPidFile none\n\
         PasswordAuthentication yes\nKbdInteractiveAuthentication no\nUsePAM no\nUseDNS no\nStrictModes no\n\
         MaxStartups 100:30:200\nSubsystem sftp internal-sftp\n",
        at("host_ecdsa"),
        at("host_ed25519"),
        at("authorized_keys"),
    )
}

/// Runs the script in namespaces of its own until its sshd says that it listens. What it said, if it ends instead.
async fn listening(script: &str, log: &Path) -> Result<Child, String> {
    let mut unshare = Command::new("unshare");
    unshare.args(["--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", script]);
    unshare.stdin(Stdio::null()).stdout(Stdio::null()).stderr(fs::File::create(log).unwrap());
    let mut process = unshare.spawn().unwrap();
    let said = || fs::read_to_string(log).unwrap();
    for _ in 0..3000 {
        if said().contains("Server listening on 127.0.0.1") {
            return Ok(process);
        }
        if process.try_wait().unwrap().is_some() {
            return Err(said());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let _ = process.kill();
    let _ = process.wait();
    panic!("the sshd neither listens nor ends: {}", said());
}

/// Starts one, or says why not (and the test is passed over).
pub async fn start(test: &str) -> Option<Sshd> {
    let binary = match binary() {
        Ok(binary) => binary,
        Err(reason) => {
            println!("{test}: passed over: {reason}");
            return None;
        }
    };
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    etc(folder.path());
    key(&at("host_ed25519"), &["-t", "ed25519"], "");
    key(&at("host_ecdsa"), &["-t", "ecdsa"], "");
    key(&at("plain"), &["-t", "ed25519"], "");
    key(&at("encrypted"), &["-t", "ed25519"], "open sesame");
    key(&at("rsa_pem"), &["-t", "rsa", "-b", "2048", "-m", "PEM"], "open sesame");
    let public = ["plain.pub", "encrypted.pub", "rsa_pem.pub"].map(|name| fs::read_to_string(at(name)).unwrap());
    fs::write(at("authorized_keys"), public.concat()).unwrap();
    // Non-root logins read it too.
    fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let root = binary.ancestors().nth(3).unwrap_or(Path::new("/")).to_owned();
    let usr = root.join("usr");
    let overlay_usr = if root == Path::new("/") {
        String::new()
    } else {
        format!("mount -t overlay none -o lowerdir={}:/usr /usr\n", usr.display())
    };
    let script = format!(
        "set -e\n{overlay_usr}mount -t overlay none -o lowerdir={}:/etc /etc\nmount -t tmpfs none /run\nmkdir /run/sshd\n\
         exec {} -D -e -f {}\n",
        at("etc").display(),
        if overlay_usr.is_empty() { binary.display().to_string() } else { "/usr/sbin/sshd".to_owned() },
        at("sshd_config").display(),
    );
    // A port that was free may be another's when sshd asks for it: then the next is tried.
    let mut tries = 0..5;
    let (port, process) = loop {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        fs::write(at("sshd_config"), config(folder.path(), port)).unwrap();
        match listening(&script, &at("log")).await {
            Ok(process) => break (port, process),
            Err(said) => assert!(tries.next().is_some(), "no sshd: {said}"),
        }
    };
    let host_key = fs::read_to_string(at("host_ed25519.pub")).unwrap();
    let has_sudo = usr.join("bin/sudo").exists();
    let site = Site {
        address: "127.0.0.1".to_owned(),
        port,
        host_key,
        key: at("plain"),
        encrypted_keys: vec![at("encrypted"), at("rsa_pem")],
        passphrase: "open sesame".to_owned(),
        password: "open sesame".to_owned(),
        sudo_asks: has_sudo.then(|| "deploy".to_owned()),
        sudo_free: has_sudo.then(|| "free".to_owned()),
        hops: Vec::new(),
    };
    Some(Sshd { site, process, _folder: folder })
}
