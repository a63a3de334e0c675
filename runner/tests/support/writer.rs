//! A small database for tests of disk faults: it syncs what it answers, and dies of errors.

use async_trait::async_trait;
use schism_cluster::daemon::{DaemonSpec, parse_status, start_script, status_script, stop_script};
use schism_cluster::{Cluster, Command, DATA_DISK, DataFiles, Db, DbError, Kill, NodeHandle, ProcessId};

/// A log of records that is synced before each is answered, and a file that never is. What was answered is written
/// outside the data. It mends a torn tail, refuses to start on anything else that is wrong, and dies of errors.
const WRITER: &str = r#"use strict; use Fcntl; use IO::Handle;
my ($folder, $answered) = @ARGV;
mkdir "$folder/wal";
sub record { sprintf("%08d", $_[0]) . (chr(97 + $_[0] % 26) x 2991) . "\n" }
sysopen(my $log, "$folder/wal/0.wal", O_RDWR | O_CREAT, 0600) or die "open: $!\n";
my ($next, $got) = (0, "");
while ((sysread($log, $got, 3000) // die "read: $!\n") == 3000) {
  $got eq record($next) or die "record $next is corrupt\n";
  $next++;
}
truncate($log, $next * 3000) or die "truncate: $!\n";
sysseek($log, $next * 3000, 0);
$log->sync or die "sync: $!\n";
while (1) {
  (syswrite($log, record($next)) // die "write: $!\n") == 3000 or die "short write\n";
  sysopen(my $loose, "$folder/loose", O_WRONLY | O_CREAT | O_APPEND, 0600) or die "loose: $!\n";
  (syswrite($loose, "l" x 1000) // die "loose: $!\n");
  $log->sync or die "sync: $!\n";
  $next++;
  open(my $out, ">", "$answered.new") or die;
  print $out "$next\n";
  close $out;
  rename "$answered.new", $answered or die;
  select undef, undef, undef, 0.01;
}
"#;

/// The database.
pub struct Writer {
    /// Whether it knows how to be rebuilt.
    pub rebuilds: bool,
}

/// Where its data lies.
pub fn folder() -> String {
    format!("{DATA_DISK}/writer")
}

/// Where it notes how much it has answered.
pub const ANSWERED: &str = "/run/writer.answered";

/// Its process.
pub fn daemon() -> DaemonSpec {
    DaemonSpec::new("writer", ["perl", "-e", WRITER, "--", &folder(), ANSWERED].map(str::to_owned))
}

/// Stops it, wipes it and starts it.
pub fn afresh() -> String {
    let wipe = format!(
        "( {} ) && rm -rf {folder}/* {ANSWERED} && mkdir -p {folder} || exit 1\n",
        stop_script(&daemon(), 0),
        folder = folder()
    );
    wipe + &start_script(&daemon())
}

#[async_trait]
impl Db for Writer {
    fn name(&self) -> &'static str {
        "writer"
    }
    async fn setup(&self, _: &Cluster, on: &NodeHandle) -> Result<(), DbError> {
        on.remote.run(&Command::new(afresh())).await?;
        Ok(())
    }
    async fn await_ready(&self, _: &Cluster) -> Result<(), DbError> {
        Ok(())
    }
    async fn teardown(&self, _: &Cluster, on: &NodeHandle) -> Result<(), DbError> {
        on.remote.run(&Command::new(stop_script(&daemon(), 0))).await?;
        Ok(())
    }
    async fn version(&self, _: &NodeHandle) -> Result<String, DbError> {
        Ok("1".to_owned())
    }
    fn kill(&self) -> Option<&dyn Kill> {
        Some(self)
    }
    fn data_files(&self) -> Option<&dyn DataFiles> {
        Some(self)
    }
}

#[async_trait]
impl Kill for Writer {
    async fn processes(&self, on: &NodeHandle) -> Result<Vec<ProcessId>, DbError> {
        let output = on.remote.run(&Command::new(status_script(&daemon()))).await?;
        Ok(parse_status(&output.text()).into_iter().collect())
    }
    fn start_script(&self, _: &Cluster, _: &NodeHandle) -> String {
        start_script(&daemon())
    }
}

impl DataFiles for Writer {
    fn data_dir(&self, _: &NodeHandle) -> String {
        folder()
    }
    fn patterns(&self) -> Vec<&'static str> {
        vec!["wal/*.wal"]
    }
    fn rebuild_script(&self, _: &Cluster, _: &NodeHandle) -> Option<String> {
        self.rebuilds.then(afresh)
    }
}
