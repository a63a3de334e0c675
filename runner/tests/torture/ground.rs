//! A node that boots again, or loses its power, in the middle of a fault, and not by the nemesis: with its controller alive,
//! which heals later, and with its controller dead, where the lease on the node's disk does.

use std::io::Write;
use std::time::{Duration, Instant};

use schism_cluster::{Command, GroundAction};
use schism_history::Node;
use schism_nemesis::{FaultEntry, Leases};

use crate::controller::LEASE;
use crate::lane::{Place, kill};

/// How long a controller may take to heal and end.
const END_WITHIN: Duration = Duration::from_secs(120);

impl Place {
    /// `deed` is `reboot` or `power`.
    pub fn ground_fails(&self, entry: &'static FaultEntry, deed: &str, killed: bool, run: &str) -> Duration {
        let begun = Instant::now();
        let mut child = self.start(entry, run, "hold", None);
        self.await_line(run, &mut child, "on", Duration::from_secs(60));
        let node = self.leased(run);
        if killed {
            kill(&mut child);
        }
        let died = Instant::now();
        if deed == "reboot" {
            self.act(&GroundAction::Reboot { node: node.clone() });
        } else {
            self.act(&GroundAction::CutPower { node: node.clone() });
            // Longer than the lease, where nobody renews it: it must last, not its watcher.
            std::thread::sleep(if killed { LEASE * 2 } else { Duration::from_secs(1) });
            self.act(&GroundAction::PowerOn { node: node.clone() });
        }
        assert!(self.survives(run, &node), "the lease on {node} does not survive");
        if !killed {
            self.heals_and_ends(&mut child, run);
            let said = self.said(run);
            assert!(!said.contains("\nerror ") && !said.contains("\ntrouble "), "{said}");
            assert_eq!(self.outstanding(run), []);
        }
        // The undo of some faults starts the database again, of others it does not know that it is down.
        let restarts = ["kill", "disk-errors"].contains(&entry.name);
        let who = if killed { "killed" } else { "living" };
        let what = format!("{} with a {deed} of {node}, controller {who}", entry.name);
        self.await_as_before(&what, died - begun, run, restarts);
        died.elapsed()
    }

    /// A node with a lease of the fault, which is seen to be on.
    fn leased(&self, run: &str) -> Node {
        let said = self.said(run);
        let line = said.lines().find_map(|line| line.strip_prefix("injected ")).unwrap();
        let value: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(value["evidence"]["proven"], true, "{said}");
        self.leases(run).into_iter().next().unwrap()
    }

    /// Whether a node that was booted has the lease of a run still, or has healed itself by it since: what tells that is gone
    /// with a boot.
    fn survives(&self, run: &str, node: &Node) -> bool {
        let look = format!("ls /var/lib/schism/leases/{run}-*.undo /run/schism/{run}-*.expired 2>/dev/null; true");
        let remote = &self.cluster.get(node).unwrap().remote;
        !self.runtime.block_on(remote.run(&Command::new(look))).unwrap().text().is_empty()
    }

    /// Nodes on which leases of a run are, and something that waits for their end.
    fn leases(&self, run: &str) -> Vec<Node> {
        let (leases, _) = self.runtime.block_on(Leases::default().list(&self.cluster));
        leases
            .into_iter()
            .filter(|lease| lease.run_tag() == run && lease.left_s.is_some())
            .map(|lease| lease.node)
            .collect()
    }

    /// Lets a controller that holds a fault heal it, and waits for its end; how long that took.
    pub fn heals_and_ends(&self, child: &mut std::process::Child, run: &str) -> Duration {
        let begun = Instant::now();
        child.stdin.take().unwrap().write_all(b"heal\n").unwrap();
        self.await_line(run, child, "end", END_WITHIN);
        assert!(child.wait().unwrap().success());
        begun.elapsed()
    }
}
