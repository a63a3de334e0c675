//! Clocks: what a shell does beside the agent.

use schism_cluster::shell::quote;

use crate::agent;

/// Takes a fault's part of the harm away. Where the folder is not there nothing was harmed since the node booted.
pub fn clock_undo(agent_path: &str, folder: &str, name: &str) -> String {
    format!("[ -d {} ] || exit 0\nexec {}\n", quote(folder), agent::command(agent_path, "skew", &["off", folder, name]))
}

/// Takes every harm to clocks away that stands on this node, by whichever agent is there; lines of a
/// [`super::Leftover`]. Expects a function `ours NAME`.
pub(super) fn clock_left() -> String {
    format!(
        "for file in {folder}/*.term; do
  [ -e \"$file\" ] || continue
  one=${{file##*/}}
  one=${{one%.term}}
  ours \"$one\" || continue
  done=failed
  for path in {lab} $(ls -t {uploaded}/schism-* 2>/dev/null); do
    [ -x \"$path\" ] || continue
    \"$path\" agent skew off {folder} \"$one\" >/dev/null && done=removed
    break
  done
  echo \"$done the clock of $one\"
done
",
        folder = crate::faults::clock::CLOCK_DIR,
        lab = quote(agent::IN_LABS),
        uploaded = quote(agent::UPLOADED),
    )
}

/// Says why no clock can be harmed here, if so. The agent was brought here before; of several the newest is asked.
pub fn clock_missing(order: &str) -> String {
    format!(
        "for path in {} $(ls -t {}/schism-* 2>/dev/null); do
  [ -x \"$path\" ] || continue
  said=$(\"$path\" agent skew can {} 2>&1 >/dev/null) || printf '%s\\n' \"$said\" | tail -n 1
  exit 0
done
echo 'schism itself is not there'
",
        quote(agent::IN_LABS),
        quote(agent::UPLOADED),
        quote(order),
    )
}
