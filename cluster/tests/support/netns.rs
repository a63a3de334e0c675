//! A few nodes as network namespaces of this machine, wired to each other and to nothing else.

use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use schism_cluster::{Cluster, NoGround, NodeHandle};
use schism_history::Node;

use super::local::Local;

/// A namespace, held by a sleeping process of its own.
pub struct Namespace(Child);

impl Namespace {
    fn new() -> Option<Namespace> {
        let script = "ip link set lo up && echo ready && exec sleep 600";
        let mut unshare = Command::new("unshare");
        unshare.args(["--net", "sh", "-c", script]).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = unshare.spawn().ok()?;
        let mut ready = [0; 6];
        let read = std::io::Read::read_exact(child.stdout.as_mut()?, &mut ready);
        let namespace = Namespace(child);
        (read.is_ok() && &ready == b"ready\n").then_some(namespace)
    }

    /// What goes before a command to run it inside.
    pub fn prefix(&self) -> Vec<String> {
        vec!["nsenter".to_owned(), format!("--net=/proc/{}/ns/net", self.0.id())]
    }

    /// Runs a script inside.
    pub fn run(&self, script: &str) -> bool {
        let prefix = self.prefix();
        let mut command = Command::new(&prefix[0]);
        let output = command.args(&prefix[1..]).args(["sh", "-ec", script]).output().unwrap();
        if !output.status.success() {
            println!("{script}: {}", String::from_utf8_lossy(&output.stderr));
        }
        output.status.success()
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Nodes on one bridge, which is in a namespace too. Even nodes have IPv6 addresses where the kernel has that.
pub fn lab(nodes: usize) -> Option<(Namespace, Vec<Namespace>, Cluster)> {
    let switch = Namespace::new().filter(|switch| switch.run("ip link add br0 type bridge && ip link set br0 up"))?;
    let mut spaces = Vec::new();
    let mut handles = Vec::new();
    for number in 1..=nodes {
        let space = Namespace::new()?;
        let pid = space.0.id();
        let wired = switch.run(&format!(
            "ip link add v{number} type veth peer name eth0 netns {pid}; ip link set v{number} master br0 up"
        ));
        let up = space.run(&format!("ip addr add 10.99.0.{number}/24 dev eth0; ip link set eth0 up"));
        let six = space.run(&format!("ip addr add fd99::{number}/64 dev eth0 nodad"));
        if !wired || !up {
            return None;
        }
        let address = if six && number % 2 == 0 { format!("fd99::{number}") } else { format!("10.99.0.{number}") };
        let node = Node::new(&format!("n{number}"));
        let remote = Arc::new(Local { node: node.clone(), prefix: space.prefix() });
        handles.push(NodeHandle { node, address, remote });
        spaces.push(space);
    }
    Some((switch, spaces, Cluster { nodes: handles, ground: Arc::new(NoGround) }))
}
