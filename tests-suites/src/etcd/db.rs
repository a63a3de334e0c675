//! How to bring etcd to nodes, start it, stop it, wipe it and ask it.
//!
//! On a node: data on the data disk in `/var/lib/schism/data/etcd`, log in `/var/log/schism-etcd.log`, pid file in `/run/schism-etcd`, a binary
//! brought by us in `/opt/schism/etcd` (stays there: a cache). Members speak to each other without TLS.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use schism_cluster::daemon::{DaemonSpec, parse_status, start_script, status_script, stop_script};
use schism_cluster::shell::{PROCESS_FUNCTIONS, descendants_script, quote};
use schism_cluster::{
    Cluster, Command, DataFiles, Db, DbError, Kill, LogFiles, Membership, NodeHandle, Pause, Primaries, ProcessId,
    Roles,
};
use schism_history::Node;
use sha2::{Digest, Sha256};

use super::members::{addresses, ready, view};
use super::options::{Access, EtcdOptions, OptionsError, bracketed};
use super::release::Release;

/// On the data disk (a test compares).
pub(super) const DATA: &str = "/var/lib/schism/data/etcd";
const LOG: &str = "/var/log/schism-etcd.log";
const STATE: &str = "/run/schism-etcd";
const OPT: &str = "/opt/schism/etcd";
const TLS: &str = "/var/lib/schism-etcd-tls";
/// Between two looks at a cluster that comes up.
const LOOK: Duration = Duration::from_millis(200);

/// etcd on the nodes of a cluster.
#[derive(Debug)]
pub struct Etcd {
    options: EtcdOptions,
    access: Access,
}

impl Etcd {
    /// With these options. Reads the files and the environment that they name; touches no node.
    ///
    /// # Errors
    /// See [`OptionsError`].
    pub fn new(options: EtcdOptions) -> Result<Etcd, OptionsError> {
        let access = Access::new(&options)?;
        Ok(Etcd { options, access })
    }

    pub(crate) fn options(&self) -> &EtcdOptions {
        &self.options
    }

    pub(crate) fn access(&self) -> &Access {
        &self.access
    }

    /// The program: ours by its path, the node's own by its name.
    fn program(&self) -> String {
        if self.local_binary().is_some() { format!("{OPT}/etcd") } else { "etcd".to_owned() }
    }

    pub(super) fn daemon(&self, cluster: &Cluster, on: &NodeHandle) -> DaemonSpec {
        let mut spec = DaemonSpec::new("etcd", self.argv(cluster, on));
        spec.log = LOG.to_owned();
        spec.state_dir = STATE.to_owned();
        spec
    }

    /// Where a member finds another.
    pub(super) fn peer_url(&self, handle: &NodeHandle) -> String {
        format!("http://{}:{}", bracketed(&handle.address), self.options.peer_port)
    }

    fn argv(&self, cluster: &Cluster, on: &NodeHandle) -> Vec<String> {
        let peer = |handle: &NodeHandle| self.peer_url(handle);
        let members: Vec<_> = cluster.nodes.iter().map(|handle| format!("{}={}", handle.node, peer(handle))).collect();
        let (peer_url, client_url) = (peer(on), self.access.url(&on.address));
        let mut argv = vec![
            self.program(),
            format!("--name={}", on.node),
            format!("--data-dir={DATA}"),
            format!("--listen-peer-urls={peer_url}"),
            format!("--initial-advertise-peer-urls={peer_url}"),
            format!("--listen-client-urls={client_url}"),
            format!("--advertise-client-urls={client_url}"),
            format!("--initial-cluster={}", members.join(",")),
            "--initial-cluster-state=new".to_owned(),
            "--initial-cluster-token=schism".to_owned(),
            format!("--heartbeat-interval={}", self.options.heartbeat_ms),
            format!("--election-timeout={}", self.options.election_ms),
        ];
        if let Some(tls) = &self.options.tls {
            argv.push(format!("--cert-file={TLS}/server.pem"));
            argv.push(format!("--key-file={TLS}/server.key"));
            if tls.cert.is_some() {
                argv.push("--client-cert-auth".to_owned());
                argv.push(format!("--trusted-ca-file={TLS}/ca.pem"));
            }
        }
        argv
    }

    async fn bring_tls(&self, on: &NodeHandle) -> Result<(), DbError> {
        let Some(tls) = &self.options.tls else { return Ok(()) };
        let (Some(cert), Some(key)) = (&tls.server_cert, &tls.server_key) else {
            return Err(DbError::Missing {
                what: "the servers' certificate".to_owned(),
                reason: "`tls` is given without `server_cert` and `server_key`".to_owned(),
                hint: "Give both, good for every node's address; or test a cluster that runs already with --no-setup"
                    .to_owned(),
            });
        };
        for (file, to, mode) in [(&tls.ca, "ca.pem", 0o644), (cert, "server.pem", 0o644), (key, "server.key", 0o600)] {
            on.remote.upload(&local_file(file).await?, &format!("{TLS}/{to}"), mode).await?;
        }
        Ok(())
    }

    /// The binary that is brought to nodes, if it is not their own.
    fn local_binary(&self) -> Option<PathBuf> {
        let release = self.options.release.as_deref().and_then(Release::find);
        let cache = schism_cluster::packages::default_cache;
        self.options.binary.clone().or_else(|| release.map(|release| release.path(&cache())))
    }

    /// Makes sure that the node has a binary.
    async fn bring_binary(&self, on: &NodeHandle) -> Result<(), DbError> {
        let Some(binary) = self.local_binary() else {
            let found = on.remote.output(&Command::new(with_path("command -v etcd"))).await?;
            return match found.status {
                0 => Ok(()),
                _ => Err(DbError::Missing {
                    what: "etcd".to_owned(),
                    reason: format!("node {} has none in its PATH and none in {OPT}", on.node),
                    hint: "Install the package `etcd-server` there, or give the path of a binary on this machine as \
                           the option `binary`"
                        .to_owned(),
                }),
            };
        };
        let bytes = local_file(&binary).await?;
        let program = self.program();
        let hash: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        let there = on.remote.output(&Command::new(format!("sha256sum {}", quote(&program)))).await?;
        if there.status != 0 || !there.text().starts_with(&hash) {
            on.remote.upload(&bytes, &program, 0o755).await?;
        }
        Ok(())
    }

    async fn stop_and_wipe(&self, cluster: &Cluster, on: &NodeHandle) -> Result<(), DbError> {
        on.remote.run(&Command::new(stop_script(&self.daemon(cluster, on), 0))).await?;
        on.remote.run(&Command::new(format!("rm -rf {DATA} {TLS} {LOG}"))).await?;
        Ok(())
    }

    /// The end of a node's log, for a message.
    async fn end_of_log(&self, cluster: &Cluster, node: Option<&Node>) -> String {
        let Some(handle) = node.map_or(cluster.nodes.first(), |node| cluster.get(node)) else { return String::new() };
        let tail = Command::new(format!("tail -n 12 {LOG}")).deadline(Duration::from_secs(5));
        let text = match handle.remote.output(&tail).await {
            Ok(output) if output.status == 0 => output.text(),
            Ok(output) => String::from_utf8_lossy(&output.stderr).trim().to_owned(),
            Err(error) => error.to_string(),
        };
        format!("; the end of its log on {}:\n{text}\n", handle.node)
    }
}

/// A script that also finds what we keep in our own folder.
pub(super) fn with_path(script: &str) -> String {
    format!("PATH=\"$PATH:{OPT}\"; export PATH\n{script}")
}

/// Makes the folder of the data, which etcd refuses where others may read it. Synced, or a power cut could bring back
/// what was wiped before.
pub(super) fn make_data_dir() -> String {
    format!("mkdir -p {DATA} && chmod 700 {DATA} && {{ sync -f {DATA} 2>/dev/null || sync; }}")
}

async fn local_file(path: &std::path::Path) -> Result<Vec<u8>, DbError> {
    tokio::fs::read(path).await.map_err(|error| DbError::Missing {
        what: path.display().to_string(),
        reason: error.to_string(),
        hint: "Give the path of a readable file on this machine".to_owned(),
    })
}

#[async_trait]
impl Db for Etcd {
    fn name(&self) -> &'static str {
        "etcd"
    }

    async fn setup(&self, cluster: &Cluster, on: &NodeHandle) -> Result<(), DbError> {
        self.bring_binary(on).await?;
        self.stop_and_wipe(cluster, on).await?;
        self.bring_tls(on).await?;
        on.remote.run(&Command::new(make_data_dir())).await?;
        on.remote.run(&Command::new(Kill::start_script(self, cluster, on))).await?;
        Ok(())
    }

    async fn await_ready(&self, cluster: &Cluster) -> Result<(), DbError> {
        let (begin, limit) = (Instant::now(), Duration::from_millis(self.options.ready_timeout_ms));
        let addresses = addresses(cluster);
        loop {
            let Err(not_yet) = ready(&self.access, &addresses).await else { return Ok(()) };
            if begin.elapsed() >= limit {
                let log = self.end_of_log(cluster, not_yet.node.as_ref()).await;
                return Err(DbError::NotReady {
                    database: "etcd".to_owned(),
                    waited_ms: begin.elapsed().as_millis() as u64,
                    reason: format!("{}{log}", not_yet.reason),
                    hint: "Look at the log; on slow machines raise heartbeat_ms, election_ms and ready_timeout_ms"
                        .to_owned(),
                });
            }
            tracing::debug!(reason = not_yet.reason, "etcd is not ready");
            tokio::time::sleep(LOOK).await;
        }
    }

    async fn teardown(&self, cluster: &Cluster, on: &NodeHandle) -> Result<(), DbError> {
        self.stop_and_wipe(cluster, on).await
    }

    async fn version(&self, on: &NodeHandle) -> Result<String, DbError> {
        let script = with_path(&format!("{} --version", quote(&self.program())));
        let output = on.remote.run(&Command::new(script)).await?;
        let text = output.text();
        let line = text.lines().next().unwrap_or_default();
        Ok(line.strip_prefix("etcd Version: ").unwrap_or(line).to_owned())
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

    fn log_files(&self) -> Option<&dyn LogFiles> {
        Some(self)
    }

    fn roles(&self) -> Option<&dyn Roles> {
        Some(self)
    }

    fn membership(&self) -> Option<&dyn Membership> {
        self.may_change_members().then_some(self as &dyn Membership)
    }

    fn data_files(&self) -> Option<&dyn DataFiles> {
        Some(self)
    }
}

/// The process of our pid file and its descendants.
async fn processes(on: &NodeHandle) -> Result<Vec<ProcessId>, DbError> {
    let mut spec = DaemonSpec::new("etcd", Vec::<String>::new());
    spec.state_dir = STATE.to_owned();
    let status = on.remote.run(&Command::new(status_script(&spec))).await?;
    let Some(id) = parse_status(&status.text()) else { return Ok(Vec::new()) };
    let family = on.remote.run(&Command::new(descendants_script(id.pid))).await?;
    let family: Vec<ProcessId> = family.text().lines().filter_map(parse_process).collect();
    // Between the two looks it may have ended, and its number may have been given to another.
    Ok(if family.contains(&id) { family } else { Vec::new() })
}

/// `PID START`.
fn parse_process(line: &str) -> Option<ProcessId> {
    let (pid, start_ticks) = line.trim().split_once(' ')?;
    Some(ProcessId { pid: pid.parse().ok()?, start_ticks: start_ticks.parse().ok()? })
}

#[async_trait]
impl Kill for Etcd {
    async fn processes(&self, on: &NodeHandle) -> Result<Vec<ProcessId>, DbError> {
        processes(on).await
    }

    fn start_script(&self, cluster: &Cluster, on: &NodeHandle) -> String {
        with_path(&start_script(&self.daemon(cluster, on)))
    }

    fn processes_script(&self, _on: &NodeHandle) -> Option<String> {
        let mut spec = DaemonSpec::new("etcd", Vec::<String>::new());
        spec.state_dir = STATE.to_owned();
        Some(format!(
            "set -- $(\n{})\n[ \"$1\" = running ] || exit 0\n{PROCESS_FUNCTIONS}tree \"$2\"\n\
             for p in $found; do if stat_of \"$p\"; then echo \"$p $start\"; fi; done\n:\n",
            status_script(&spec)
        ))
    }
}

#[async_trait]
impl Pause for Etcd {
    async fn processes(&self, on: &NodeHandle) -> Result<Vec<ProcessId>, DbError> {
        processes(on).await
    }
}

#[async_trait]
impl Primaries for Etcd {
    async fn primaries(&self, cluster: &Cluster) -> Vec<Node> {
        let view = view(&self.access, &addresses(cluster)).await;
        let leads = |(node, status): (Node, Result<_, String>)| {
            status.is_ok_and(|status: super::members::Status| status.leads()).then_some(node)
        };
        view.into_iter().filter_map(leads).collect()
    }
}

impl LogFiles for Etcd {
    fn log_files(&self, _on: &NodeHandle) -> Vec<(String, String)> {
        vec![(LOG.to_owned(), "etcd.log".to_owned())]
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_data_is_on_the_data_disk() {
        assert_eq!(super::DATA, format!("{}/etcd", schism_cluster::DATA_DISK));
    }
}
