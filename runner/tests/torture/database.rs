//! The database that is tortured: one daemon a node that writes and syncs for ever, whose nodes may leave and join.
//!
//! It cannot be brought to fall by what is done to its files: it opens, appends and syncs ten times a second and takes every
//! error as it comes. So what a fault leaves on a node is the fault's, and not its own. It also writes down what time it
//! takes it to be, by which the snapshot sees a clock that is still wrong.

use async_trait::async_trait;
use schism_cluster::daemon::{DaemonSpec, parse_status, start_script, status_script, stop_script};
use schism_cluster::{
    Cluster, Command, DATA_DISK, DataFiles, Db, DbError, Kill, Membership, NodeHandle, Pause, Primaries, ProcessId,
};
use schism_history::Node;

/// Where it keeps what it must not lose.
pub fn folder() -> String {
    format!("{DATA_DISK}/torture")
}

/// What is its own and no data: pid file, what time it takes it to be.
pub const STATE: &str = "/run/torture";
/// There on nodes that are members.
const MEMBER: &str = "/var/lib/torture-member";

const PROGRAM: &str = r#"use strict; use Fcntl; use IO::Handle;
my ($folder, $state) = @ARGV;
while (1) {
  mkdir $folder; mkdir "$folder/wal";
  my $file = "$folder/wal/0.wal";
  if (sysopen my $log, $file, O_WRONLY | O_CREAT | O_APPEND, 0600) {
    truncate $log, 0 if (-s $log || 0) > 1000000;
    syswrite $log, "w" x 3000;
    $log->sync;
  }
  if (open my $out, ">", "$state/time.new") {
    print $out time, "\n";
    close $out and rename "$state/time.new", "$state/time";
  }
  select undef, undef, undef, 0.1;
}
"#;

/// The last word of its command line, by which the snapshot knows it.
pub const WORD: &str = "torture-database";

fn daemon() -> DaemonSpec {
    let argv = ["perl", "-e", PROGRAM, "--", &folder(), STATE, WORD].map(str::to_owned);
    DaemonSpec { state_dir: STATE.to_owned(), ..DaemonSpec::new("torture", argv) }
}

/// Makes this node a member, and starts it.
pub fn start() -> String {
    format!("mkdir -p {STATE} {} && : >{MEMBER} || exit 1\n{}", folder(), start_script(&daemon()))
}

fn wipe() -> String {
    format!("( {} ) && rm -rf {}/*\n", stop_script(&daemon(), 0), folder())
}

/// The database.
pub struct Sleeper {
    /// Whether it knows how to be rebuilt from its other members: where not, some faults cannot be undone.
    pub rebuilds: bool,
}

#[async_trait]
impl Db for Sleeper {
    fn name(&self) -> &'static str {
        "sleeper"
    }
    async fn setup(&self, _: &Cluster, on: &NodeHandle) -> Result<(), DbError> {
        on.remote.run(&Command::new(start())).await?;
        Ok(())
    }
    async fn await_ready(&self, _: &Cluster) -> Result<(), DbError> {
        Ok(())
    }
    async fn teardown(&self, _: &Cluster, on: &NodeHandle) -> Result<(), DbError> {
        on.remote.run(&Command::new(wipe())).await?;
        Ok(())
    }
    async fn version(&self, _: &NodeHandle) -> Result<String, DbError> {
        Ok("1".to_owned())
    }
    fn kill(&self) -> Option<&dyn Kill> {
        Some(self)
    }
    fn pause(&self) -> Option<&dyn Pause> {
        Some(self)
    }
    fn primaries(&self) -> Option<&dyn Primaries> {
        Some(self)
    }
    fn data_files(&self) -> Option<&dyn DataFiles> {
        Some(self)
    }
    fn membership(&self) -> Option<&dyn Membership> {
        Some(self)
    }
}

#[async_trait]
impl Kill for Sleeper {
    async fn processes(&self, on: &NodeHandle) -> Result<Vec<ProcessId>, DbError> {
        let output = on.remote.output(&Command::new(status_script(&daemon()))).await?;
        Ok(parse_status(&output.text()).into_iter().collect())
    }
    fn start_script(&self, _: &Cluster, _: &NodeHandle) -> String {
        start()
    }
    fn processes_script(&self, _: &NodeHandle) -> Option<String> {
        Some(format!("( {} ) | while read -r word rest; do [ \"$word\" != running ] || echo \"$rest\"; done\n", {
            status_script(&daemon())
        }))
    }
}

#[async_trait]
impl Pause for Sleeper {
    async fn processes(&self, on: &NodeHandle) -> Result<Vec<ProcessId>, DbError> {
        Kill::processes(self, on).await
    }
}

#[async_trait]
impl Primaries for Sleeper {
    async fn primaries(&self, cluster: &Cluster) -> Vec<Node> {
        cluster.names().into_iter().take(1).collect()
    }
}

impl DataFiles for Sleeper {
    fn data_dir(&self, _: &NodeHandle) -> String {
        folder()
    }
    fn patterns(&self) -> Vec<&'static str> {
        vec!["wal/*.wal"]
    }
    fn rebuild_script(&self, _: &Cluster, _: &NodeHandle) -> Option<String> {
        self.rebuilds.then(|| wipe() + &start())
    }
}

#[async_trait]
impl Membership for Sleeper {
    async fn members(&self, cluster: &Cluster) -> Result<Vec<Node>, DbError> {
        let mut members = Vec::new();
        for handle in &cluster.nodes {
            let there = Command::new(format!("[ ! -e {MEMBER} ] || echo yes"));
            if handle.remote.run(&there).await?.text() == "yes" {
                members.push(handle.node.clone());
            }
        }
        Ok(members)
    }
    async fn remove(&self, cluster: &Cluster, node: &Node) -> Result<(), DbError> {
        for handle in cluster.nodes.iter().filter(|handle| handle.node == *node) {
            handle.remote.run(&Command::new(format!("rm -f {MEMBER}\n{}", wipe()))).await?;
        }
        Ok(())
    }
    fn rejoin_scripts(&self, _: &Cluster, _: &Node, _: &Node) -> (String, String) {
        (String::new(), start())
    }
}
