//! What runs on a node: schism itself, under the hidden command `schism agent VERB`.
//!
//! A node gets the very program that the controller is, told by its SHA-256, and runs it for what a shell cannot do. In labs
//! it lies there already. A node that cannot run it (another machine's kind, no room) still gets all that a shell can do.

pub mod clock;
pub mod clock_real;
mod dns;
pub mod family;
pub mod faultfs;
pub mod files;
mod hello;
mod hog;
mod memory;
pub mod skew;
pub mod skew_state;
mod throttle;
mod upkeep;
pub mod vdso;
pub mod vdso_patch;

use std::collections::BTreeMap;
use std::io::Read;
use std::sync::OnceLock;
use std::time::Duration;

use schism_cluster::shell::quote;
use schism_cluster::{Cluster, Command, NodeHandle, RemoteError};
use schism_history::Node;
use sha2::{Digest, Sha256};

use crate::fanout;
use crate::fault::FaultError;

/// Where a lab puts the program into its nodes.
pub const IN_LABS: &str = "/run/schism/agent/schism";

/// Where the program is uploaded to.
pub const UPLOADED: &str = "/var/lib/schism/agent";

/// How long an upload may take.
const UPLOAD_WITHIN: Duration = Duration::from_secs(300);

/// Something that the program does on a node.
pub struct Verb {
    /// Its name: `schism agent NAME ARGUMENTS`.
    pub name: &'static str,
    /// One line.
    pub about: &'static str,
    /// Does it; what it says on standard output is its answer, an error is told on standard error and exits with 1.
    pub run: fn(&[String]) -> Result<(), String>,
}

/// All verbs.
pub const VERBS: &[Verb] = &[
    clock::VERB,
    dns::VERB,
    faultfs::CONTROL,
    faultfs::VERB,
    files::VERB,
    hello::VERB,
    hog::VERB,
    memory::VERB,
    skew::VERB,
    throttle::VERB,
];

/// Runs a verb of the agent; answers the exit status.
pub fn main(args: &[String]) -> i32 {
    let (name, rest) = args.split_first().map_or(("", &[][..]), |(name, rest)| (name.as_str(), rest));
    let done = match VERBS.iter().find(|verb| verb.name == name) {
        Some(verb) => (verb.run)(rest),
        None => Err(format!(
            "there is no verb `{name}`; there are {}",
            VERBS.iter().map(|verb| verb.name).collect::<Vec<_>>().join(", ")
        )),
    };
    match done {
        Ok(()) => 0,
        Err(error) => {
            let _ =
                std::io::Write::write_all(&mut std::io::stderr(), format!("schism agent {name}: {error}\n").as_bytes());
            1
        }
    }
}

/// Does the work of the agent if this process was started as one (`PROGRAM agent VERB ...`), and does not return then:
/// for the `main` of tests that serve as their own agent.
pub fn main_if_asked() {
    let mut args = std::env::args().skip(1);
    if args.next().as_deref() == Some("agent") {
        std::process::exit(main(&args.collect::<Vec<_>>()));
    }
}

/// The shell command that runs a verb of the agent at that path, arguments quoted.
pub fn command(path: &str, verb: &str, args: &[&str]) -> String {
    let quoted = std::iter::once(verb).chain(args.iter().copied()).map(quote);
    format!("{} agent {}", quote(path), quoted.collect::<Vec<_>>().join(" "))
}

/// Makes sure that these nodes have the agent and that it runs there; answers its path on each.
///
/// # Errors
/// The first node where it cannot be had, with the reason.
pub async fn ensure(cluster: &Cluster, nodes: &[Node]) -> Result<BTreeMap<Node, String>, FaultError> {
    let part = |node: &Node| -> fanout::Part<'_, Result<(Node, String), FaultError>> {
        let node = node.clone();
        Box::pin(async move {
            let path = ensure_on(fanout::handle(cluster, &node)?).await?;
            Ok((node, path))
        })
    };
    fanout::all(nodes.iter().map(part).collect()).await.into_iter().collect()
}

async fn ensure_on(handle: &NodeHandle) -> Result<String, FaultError> {
    let refused = |reason: String| FaultError::Refused {
        class: "agent".to_owned(),
        node: handle.node.clone(),
        reason,
        hint: "Faults that need no agent work there; a static build of schism runs on every x86-64 Linux".to_owned(),
    };
    let hash = own_hash().map_err(|error| refused(format!("this program cannot be read: {error}")))?;
    let uploaded = format!("{UPLOADED}/schism-{}", &hash[..16]);
    let find = format!(
        "for path in {} {}; do
  [ -x \"$path\" ] || continue
  set -- $(sha256sum \"$path\")
  [ \"$1\" = {hash} ] && \"$path\" agent hello >/dev/null && {{ printf '%s\\n' \"$path\"; exit 0; }}
done
true
",
        quote(IN_LABS),
        quote(&uploaded)
    );
    let find = Command::new(find);
    let found = handle.remote.run(&find).await?.text();
    if !found.is_empty() {
        return Ok(found);
    }
    let bytes = std::fs::read("/proc/self/exe").map_err(|error| refused(error.to_string()))?;
    let upload = handle.remote.upload(&bytes, &uploaded, 0o755);
    match tokio::time::timeout(UPLOAD_WITHIN, upload).await {
        Ok(done) => done?,
        Err(_) => {
            let command = format!("(copying this program, {} bytes)", bytes.len());
            return Err(RemoteError::Deadline { node: handle.node.clone(), command, after: UPLOAD_WITHIN }.into());
        }
    }
    let hello = Command::new(command(&uploaded, "hello", &[]));
    match handle.remote.run(&hello).await {
        Err(error @ RemoteError::Exit { .. }) => Err(refused(format!("this program does not run there: {error}"))),
        answer => Ok(answer.map(|_| uploaded)?),
    }
}

/// The SHA-256 of this program, in hexadecimal; read once.
fn own_hash() -> std::io::Result<&'static str> {
    static HASH: OnceLock<String> = OnceLock::new();
    if let Some(hash) = HASH.get() {
        return Ok(hash);
    }
    let mut file = std::fs::File::open("/proc/self/exe")?;
    let mut hasher = Sha256::new();
    let mut chunk = vec![0; 1 << 20];
    loop {
        match file.read(&mut chunk)? {
            0 => break,
            count => hasher.update(&chunk[..count]),
        }
    }
    let text: String = hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(HASH.get_or_init(|| text))
}
