//! A [`Remote`] and a [`Ground`] that do nothing but remember what they were told and answer from a table: for golden
//! tests of whatever speaks to nodes.
//!
//! ```
//! # use schism_cluster::script::{said, scripted_cluster};
//! # use schism_cluster::Command;
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! let (cluster, log) = scripted_cluster(&["n1", "n2"]);
//! log.on("uname", said("Linux"));
//! let answer = cluster.nodes[0].remote.run(&Command::new("uname -s")).await.unwrap();
//! assert_eq!(answer.text(), "Linux");
//! assert_eq!(log.lines(), ["n1 root$ uname -s"]);
//! # });
//! ```

use std::fmt::Write as _;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use schism_history::Node;

use crate::cluster::{Cluster, NodeHandle};
use crate::ground::{Ability, Ground, GroundAction, GroundError, GroundLease, NoGround};
use crate::remote::{Command, Output, Remote, RemoteError, User};

/// One thing that a node was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Which node.
    pub node: Node,
    /// What.
    pub deed: Deed,
}

/// What a node was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Deed {
    /// A command.
    Run(Command),
    /// A file to write.
    Upload {
        /// Where to.
        to: String,
        /// Its mode.
        mode: u32,
        /// Its content.
        bytes: Vec<u8>,
    },
    /// A file to bring.
    Download {
        /// Where from.
        from: String,
    },
}

/// Decides the answer to a command; `None` leaves it to the next rule.
type Answer = Box<dyn FnMut(&Node, &Command) -> Option<Result<Output, RemoteError>> + Send>;

/// What the nodes of a scripted cluster were told, in order, and what they answer. Shared by all of them.
///
/// Rules are asked in the order in which they were added; a command that none answers ends with status 0 and says
/// nothing.
#[derive(Default)]
pub struct Log {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    entries: Vec<Entry>,
    rules: Vec<Answer>,
    files: Vec<(Option<Node>, String, Vec<u8>)>,
}

impl Log {
    /// An empty one.
    pub fn new() -> Arc<Log> {
        Arc::new(Log::default())
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers every command whose script contains this text.
    pub fn on(&self, contains: &str, answer: Output) -> &Log {
        let contains = contains.to_owned();
        self.with(move |_, command| command.script.contains(&contains).then(|| Ok(answer.clone())))
    }

    /// Answers every command of one node whose script contains this text.
    pub fn on_node(&self, node: &str, contains: &str, answer: Output) -> &Log {
        let (node, contains) = (Node::new(node), contains.to_owned());
        self.with(move |on, command| (*on == node && command.script.contains(&contains)).then(|| Ok(answer.clone())))
    }

    /// Answers the next command whose script contains this text, once; several of these for one text are used up in
    /// the order in which they were added.
    pub fn once(&self, contains: &str, answer: Output) -> &Log {
        let contains = contains.to_owned();
        let mut answer = Some(answer);
        self.with(move |_, command| if command.script.contains(&contains) { answer.take().map(Ok) } else { None })
    }

    /// Fails every command whose script contains this text.
    pub fn fails(&self, contains: &str, error: RemoteError) -> &Log {
        let contains = contains.to_owned();
        self.with(move |_, command| command.script.contains(&contains).then(|| Err(error.clone())))
    }

    /// Makes a node unreachable: every command, upload and download of it fails.
    pub fn unreachable(&self, node: &str) -> &Log {
        let node = Node::new(node);
        self.with(move |on, _| (*on == node).then(|| Err(gone(on))))
    }

    /// Asks a closure: `None` leaves the command to later rules. Uploads and downloads are asked too, as the scripts
    /// `upload PATH` and `download PATH`, so that they can be made to fail.
    pub fn with(
        &self,
        answer: impl FnMut(&Node, &Command) -> Option<Result<Output, RemoteError>> + Send + 'static,
    ) -> &Log {
        self.inner().rules.push(Box::new(answer));
        self
    }

    /// Puts a file on every node, for downloads. What is uploaded can be downloaded from its node without this.
    pub fn file(&self, path: &str, bytes: impl Into<Vec<u8>>) -> &Log {
        self.inner().files.push((None, path.to_owned(), bytes.into()));
        self
    }

    /// Everything so far, in order.
    pub fn entries(&self) -> Vec<Entry> {
        self.inner().entries.clone()
    }

    /// Everything so far, in order, one text each: `n1 root$ iptables -w -N x`. A script of several lines keeps its
    /// lines; standard input follows as ` <<< "..."` (its size where it is not short text).
    pub fn lines(&self) -> Vec<String> {
        self.inner().entries.iter().map(line).collect()
    }

    /// The lines of one node.
    pub fn lines_of(&self, node: &str) -> Vec<String> {
        self.inner().entries.iter().filter(|entry| entry.node.as_str() == node).map(line).collect()
    }

    /// The scripts run on one node, bare.
    pub fn scripts_of(&self, node: &str) -> Vec<String> {
        let inner = self.inner();
        let of_node = inner.entries.iter().filter(|entry| entry.node.as_str() == node);
        of_node
            .filter_map(|entry| if let Deed::Run(command) = &entry.deed { Some(command.script.clone()) } else { None })
            .collect()
    }

    /// Forgets what was told; rules and files stay.
    pub fn clear(&self) {
        self.inner().entries.clear();
    }

    /// Remembers a deed and looks for its answer.
    fn tell(&self, node: &Node, deed: Deed) -> Result<Output, RemoteError> {
        let asked = match &deed {
            Deed::Run(command) => command.clone(),
            Deed::Upload { to, .. } => Command::new(format!("upload {to}")),
            Deed::Download { from } => Command::new(format!("download {from}")),
        };
        let mut inner = self.inner();
        inner.entries.push(Entry { node: node.clone(), deed });
        inner.rules.iter_mut().find_map(|rule| rule(node, &asked)).unwrap_or_else(|| Ok(Output::default()))
    }
}

fn gone(node: &Node) -> RemoteError {
    RemoteError::Unreachable {
        node: node.clone(),
        address: node.to_string(),
        reason: "the script of the test says so".to_owned(),
        hint: "Nothing to do".to_owned(),
    }
}

fn line(entry: &Entry) -> String {
    let mut text = format!("{} ", entry.node);
    match &entry.deed {
        Deed::Run(command) => {
            match &command.user {
                User::Root => text.push_str("root$ "),
                User::Login => text.push_str("login$ "),
                User::Named(name) => text.extend([name.as_str(), "$ "]),
            }
            text.push_str(&command.script);
            if !command.stdin.is_empty() {
                let _ = write!(text, " <<< {}", content(&command.stdin));
            }
        }
        Deed::Upload { to, mode, bytes } => {
            let _ = write!(text, "upload {to} mode {mode:04o} {}", content(bytes));
        }
        Deed::Download { from } => {
            let _ = write!(text, "download {from}");
        }
    }
    text
}

/// Short text as it is, the rest by its size.
fn content(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) if text.len() <= 200 => format!("{text:?}"),
        _ => format!("({} bytes)", bytes.len()),
    }
}

/// The answer of a command that ended well and said this.
pub fn said(stdout: &str) -> Output {
    Output { status: 0, stdout: stdout.as_bytes().to_vec(), stderr: Vec::new() }
}

/// The answer of a command that ended with this status and said this on standard error.
pub fn ended(status: i32, stderr: &str) -> Output {
    Output { status, stdout: Vec::new(), stderr: stderr.as_bytes().to_vec() }
}

/// A node that remembers what it was told. See the module for how it is used.
pub struct ScriptedRemote {
    node: Node,
    log: Arc<Log>,
}

impl ScriptedRemote {
    /// A node with a log of its own.
    pub fn new(node: &str) -> ScriptedRemote {
        ScriptedRemote::sharing(node, Log::new())
    }

    /// A node that shares a log.
    pub fn sharing(node: &str, log: Arc<Log>) -> ScriptedRemote {
        ScriptedRemote { node: Node::new(node), log }
    }

    /// See [`Log::on`].
    pub fn on(self, contains: &str, answer: Output) -> ScriptedRemote {
        self.log.on(contains, answer);
        self
    }

    /// See [`Log::once`].
    pub fn once(self, contains: &str, answer: Output) -> ScriptedRemote {
        self.log.once(contains, answer);
        self
    }

    /// See [`Log::fails`].
    pub fn fails(self, contains: &str, error: RemoteError) -> ScriptedRemote {
        self.log.fails(contains, error);
        self
    }

    /// See [`Log::lines`].
    pub fn log(&self) -> Vec<String> {
        self.log.lines()
    }

    /// The log and the rules behind it.
    pub fn rules(&self) -> &Arc<Log> {
        &self.log
    }
}

#[async_trait]
impl Remote for ScriptedRemote {
    fn node(&self) -> &Node {
        &self.node
    }

    async fn output(&self, command: &Command) -> Result<Output, RemoteError> {
        self.log.tell(&self.node, Deed::Run(command.clone()))
    }

    async fn upload(&self, bytes: &[u8], to: &str, mode: u32) -> Result<(), RemoteError> {
        self.log.tell(&self.node, Deed::Upload { to: to.to_owned(), mode, bytes: bytes.to_vec() })?;
        self.log.inner().files.push((Some(self.node.clone()), to.to_owned(), bytes.to_vec()));
        Ok(())
    }

    async fn download(&self, from: &str, to: &Path) -> Result<u64, RemoteError> {
        self.log.tell(&self.node, Deed::Download { from: from.to_owned() })?;
        let found = {
            let inner = self.log.inner();
            let mut newest_first = inner.files.iter().rev();
            let here = |on: &Option<Node>| on.as_ref().is_none_or(|node| *node == self.node);
            newest_first.find(|(on, path, _)| here(on) && path == from).map(|(_, _, bytes)| bytes.clone())
        };
        let failed = |reason: String| RemoteError::Copy {
            node: self.node.clone(),
            from: from.to_owned(),
            to: to.display().to_string(),
            reason,
        };
        let bytes = found.ok_or_else(|| failed("the script of the test has no such file".to_owned()))?;
        std::fs::write(to, &bytes).map_err(|error| failed(error.to_string()))?;
        Ok(bytes.len() as u64)
    }
}

/// A cluster of scripted nodes with one log. Node number i (from 1) has the address `10.0.0.i`; the ground can do
/// nothing.
pub fn scripted_cluster(names: &[&str]) -> (Cluster, Arc<Log>) {
    let log = Log::new();
    let node = |(index, name): (usize, &&str)| NodeHandle {
        node: Node::new(name),
        address: format!("10.0.0.{}", index + 1),
        remote: Arc::new(ScriptedRemote::sharing(name, Arc::clone(&log))),
    };
    let nodes = names.iter().enumerate().map(node).collect();
    (Cluster { nodes, ground: Arc::new(NoGround) }, log)
}

/// Decides what becomes of an action; `None` leaves it to the next rule.
type Act = Box<dyn FnMut(&GroundAction) -> Option<Result<serde_json::Value, GroundError>> + Send>;

/// A ground that remembers what it was told. It can do what it was made for; every action that no rule decides is done,
/// and measures nothing.
pub struct ScriptedGround {
    abilities: Vec<Ability>,
    told: Mutex<Vec<String>>,
    rules: Mutex<Vec<Act>>,
}

impl ScriptedGround {
    /// One that can do this.
    pub fn new(abilities: &[Ability]) -> Arc<ScriptedGround> {
        let (told, rules) = Default::default();
        Arc::new(ScriptedGround { abilities: abilities.to_vec(), told, rules })
    }

    /// Asks a closure what becomes of an action; `None` leaves it to later rules.
    pub fn with(
        &self,
        act: impl FnMut(&GroundAction) -> Option<Result<serde_json::Value, GroundError>> + Send + 'static,
    ) -> &ScriptedGround {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner).push(Box::new(act));
        self
    }

    /// What it was told, in order, one text each: `act: cut the power of n1`, `arm t-1 (30 s): switch n1 on`,
    /// `cancel t-1`.
    pub fn lines(&self) -> Vec<String> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn tell(&self, line: String) {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).push(line);
    }
}

#[async_trait]
impl Ground for ScriptedGround {
    fn name(&self) -> &'static str {
        "scripted"
    }

    async fn can(&self, ability: Ability) -> Result<(), GroundError> {
        if self.abilities.contains(&ability) {
            return Ok(());
        }
        let reason = "the script of the test says so".to_owned();
        Err(GroundError::Unsupported { ground: self.name(), what: ability.to_string(), reason })
    }

    async fn act(&self, action: &GroundAction) -> Result<serde_json::Value, GroundError> {
        self.can(action.ability()).await?;
        self.tell(format!("act: {action}"));
        let mut rules = self.rules.lock().unwrap_or_else(PoisonError::into_inner);
        rules.iter_mut().find_map(|rule| rule(action)).unwrap_or_else(|| Ok(serde_json::json!({})))
    }

    async fn arm(&self, lease: &GroundLease) -> Result<(), GroundError> {
        for action in &lease.undo {
            self.can(action.ability()).await?;
        }
        let undo: Vec<String> = lease.undo.iter().map(ToString::to_string).collect();
        self.tell(format!("arm {} ({} s): {}", lease.name, lease.lease_s, undo.join(", ")));
        Ok(())
    }

    async fn cancel(&self, name: &str) -> Result<(), GroundError> {
        self.tell(format!("cancel {name}"));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn everything_told_is_remembered_in_order() {
        let (cluster, log) = scripted_cluster(&["n1", "n2"]);
        let (one, two) = (&cluster.nodes[0].remote, &cluster.nodes[1].remote);
        one.run(&Command::new("echo a")).await.unwrap();
        two.run(&Command::new("cat").stdin("x\n").user(User::Named("etcd".to_owned()))).await.unwrap();
        two.upload(b"\xff\x00", "/etc/f", 0o600).await.unwrap();
        one.output(&Command::new("id").user(User::Login)).await.unwrap();
        let all =
            ["n1 root$ echo a", "n2 etcd$ cat <<< \"x\\n\"", "n2 upload /etc/f mode 0600 (2 bytes)", "n1 login$ id"];
        assert_eq!(log.lines(), all);
        assert_eq!(log.lines_of("n1"), [all[0], all[3]]);
        assert_eq!(log.scripts_of("n2"), ["cat"]);
        log.clear();
        assert!(log.entries().is_empty());
    }

    #[tokio::test]
    async fn rules_answer_in_their_order_and_once_is_used_up() {
        let node = ScriptedRemote::new("n1").once("status", ended(3, "not yet")).on("status", said("up\n"));
        let first = node.run(&Command::new("status")).await.unwrap_err();
        assert_eq!(first.to_string(), "on node n1: `status` ended with status 3: not yet");
        assert_eq!(node.run(&Command::new("status")).await.unwrap().text(), "up");
        assert_eq!(node.run(&Command::new("other")).await.unwrap(), Output::default());
    }

    #[tokio::test]
    async fn one_node_answers_differently_or_not_at_all() {
        let (cluster, log) = scripted_cluster(&["n1", "n2", "n3"]);
        log.unreachable("n3").on_node("n2", "who", said("leader"));
        let mut answers = Vec::new();
        for handle in &cluster.nodes {
            answers.push(handle.remote.run(&Command::new("who")).await.map(|output| output.text()).ok());
        }
        assert_eq!(answers, [Some(String::new()), Some("leader".to_owned()), None]);
        assert!(cluster.nodes[2].remote.upload(b"", "/x", 0o644).await.is_err());
    }

    #[tokio::test]
    async fn files_come_back() {
        let (cluster, log) = scripted_cluster(&["n1", "n2"]);
        log.file("/var/log/db", "of all");
        cluster.nodes[0].remote.upload(b"of one", "/var/log/db", 0o644).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let mut got = Vec::new();
        for handle in &cluster.nodes {
            let to = folder.path().join(handle.node.as_str());
            handle.remote.download("/var/log/db", &to).await.unwrap();
            got.push(std::fs::read_to_string(to).unwrap());
        }
        assert_eq!(got, ["of one", "of all"]);
        let missing = cluster.nodes[0].remote.download("/none", &folder.path().join("x")).await.unwrap_err();
        assert!(missing.to_string().contains("no such file"), "{missing}");
    }

    #[tokio::test]
    async fn a_ground_does_what_it_can_and_remembers_it() {
        let ground = ScriptedGround::new(&[Ability::Freeze]);
        let node = Node::new("n1");
        let (freeze, thaw) = (GroundAction::Freeze { node: node.clone() }, GroundAction::Thaw { node: node.clone() });
        let failed = |what: &str| GroundError::Failed { what: what.to_owned(), reason: "of the test".to_owned() };
        ground.with(move |action| matches!(action, GroundAction::Thaw { .. }).then(|| Err(failed("thaw"))));
        let lease = |undo: GroundAction| GroundLease {
            name: "t-1".to_owned(),
            class: "freeze".to_owned(),
            label: "freeze: n1".to_owned(),
            lease_s: 30,
            undo: vec![undo],
        };
        ground.arm(&lease(thaw.clone())).await.unwrap();
        assert!(ground.arm(&lease(GroundAction::PowerOn { node: node.clone() })).await.is_err());
        assert!(ground.act(&freeze).await.is_ok() && ground.act(&thaw).await.is_err());
        assert!(ground.act(&GroundAction::CutPower { node }).await.is_err());
        ground.cancel("t-1").await.unwrap();
        assert_eq!(ground.lines(), ["arm t-1 (30 s): thaw n1", "act: freeze n1", "act: thaw n1", "cancel t-1"]);
    }
}
