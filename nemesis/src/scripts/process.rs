//! Processes.

use schism_cluster::ProcessId;

/// Sends a signal to exactly these processes: a number that was given to another process since is left alone, one
/// that is gone is no error.
pub fn signal(name: &str, processes: &[ProcessId]) -> String {
    let list: Vec<String> = processes.iter().map(|one| format!("{}:{}", one.pid, one.start_ticks)).collect();
    format!(
        "failed=0
for process in {list}; do
  pid=${{process%%:*}}
  stat=$(cat \"/proc/$pid/stat\" 2>/dev/null) || continue
  set -- ${{stat##*) }}
  [ \"${{20}}\" = \"${{process#*:}}\" ] || continue
  kill -s {name} \"$pid\" || [ ! -e \"/proc/$pid\" ] || failed=1
done
exit \"$failed\"
",
        list = list.join(" ")
    )
}
