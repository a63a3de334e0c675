//! Everything of ours that may stand on a node, found by its name alone: for `schism heal` with nothing but addresses.
//!
//! Each family of faults adds a line to [`LEFTOVERS`]. Leases go first, as their undos know more; what is here is for what
//! lost its lease. A name counts as ours only when all of it is as we make names (`schism_<tag>_<fault id>`): a tag has 1
//! to 10 lower-case letters and digits. What is like it and not quite so stays.

use schism_cluster::shell::PROCESS_FUNCTIONS;

use super::cgroup::groups_remove_all;
use super::device_mapper::mapper_left_behind;
use super::disk::{faultfs_remove_all, files_remove_all, read_only_remove_all};
use super::dns::{KEPT_DIR, names_undo};
use super::filter::{PULSE_DIR, pulse_undo};
use super::lease::{FUNCTIONS, Places};
use super::netem::{SHAPES_DIR, netem_undo};
use super::process::{FAULT_DIR, detached_stop};
use super::{SBIN, clock_left};
use crate::agent;

/// Something of ours that a node may have.
#[derive(Debug, Clone, Copy)]
pub struct Leftover {
    /// What it is.
    pub what: &'static str,
    /// Finds and removes it: shell that says `removed WHAT` for each that is gone now, `failed WHAT` for each that is not, and
    /// nothing where there is none. It runs in a subshell as root, with `$run` (our folder of what does not outlive a
    /// restart) and `$dir` (that of the leases), and must leave alone what is not ours.
    pub script: fn() -> String,
}

/// All of them, a line each. In this order: what makes a harm anew goes before the harm, what lies over files before the
/// files, and what serves a file system after its mount. Below the faulty file systems is the place of device mapper.
pub const LEFTOVERS: &[Leftover] = &[
    Leftover { what: "injections at work", script: || format!("{PROCESS_FUNCTIONS}{OURS}{WORKS}") },
    Leftover { what: "cuts that come and go", script: pulses },
    Leftover { what: "nftables tables", script: || NFT.to_owned() },
    Leftover { what: "iptables chains", script: || IPTABLES.to_owned() },
    Leftover { what: "queues", script: queues },
    Leftover { what: "names", script: names },
    Leftover { what: "processes of faults", script: processes },
    Leftover { what: "clocks", script: || format!("{OURS}{}", clock_left()) },
    Leftover { what: "tables of the device mapper", script: || format!("{OURS}{}", mapper_left_behind(ANY)) },
    Leftover { what: "faulty file systems", script: faultfs_remove_all },
    Leftover { what: "processes of the agent", script: agents },
    Leftover { what: "control groups", script: || format!("{OURS}{}", groups_remove_all()) },
    Leftover { what: "read-only mounts", script: || format!("{OURS}{}", read_only_remove_all()) },
    Leftover { what: "files and old copies", script: || format!("{OURS}{}", files_remove_all()) },
    Leftover { what: "claims and signs of life", script: || CLAIMS.to_owned() },
];

/// Whether a name is one that we give to what a fault leaves: `<tag>-<fault id>`, and perhaps `-<node>`. (`grep` sees lines, and
/// a name may have several.)
const OURS: &str = r#"ours() {
  case $1 in *[!A-Za-z0-9._-]*) return 1 ;; esac
  printf '%s\n' "$1" | grep -qxE '[a-z0-9]{1,10}-[0-9]+(-[A-Za-z0-9._-]+)?'
}
"#;

/// A name for which the undo of a family is written, to be replaced by the shell's variable: only names that are [`OURS`]
/// are put there, which no shell takes apart.
const ANY: &str = "nameofours";

/// The same for names of cuts, `schism_<tag>_<fault id>-<node>`.
const OUR_CUTS: &str = r#"ours() {
  case $1 in *[!A-Za-z0-9._-]*) return 1 ;; esac
  printf '%s\n' "$1" | grep -qxE 'schism_[a-z0-9]{1,10}_[0-9]+(-[A-Za-z0-9._-]+)?'
}
"#;

/// The undo of a family for each name of ours that fits these patterns of files.
fn for_each(ours: &str, files: &[&str], what: &str, undo: &str) -> String {
    format!(
        "{ours}for file in {files}; do
  [ -e \"$file\" ] || continue
  one=${{file##*/}}
  one=${{one%.on}}
  one=${{one%.pid}}
  ours \"$one\" || continue
  case \" $seen \" in *\" $one \"*) continue ;; esac
  seen=\"$seen $one\"
  if (
{undo}
  ) </dev/null; then
    echo \"removed the {what} $one\"
  else
    echo \"failed the {what} $one\"
  fi
done
",
        files = files.join(" "),
        undo = undo.replace(ANY, "$one"),
    )
}

fn pulses() -> String {
    for_each(OUR_CUTS, &[&format!("{PULSE_DIR}/*.pid")], "coming and going of", &pulse_undo(ANY))
}

fn queues() -> String {
    for_each(OURS, &[&format!("{SHAPES_DIR}/*")], "queues of", &netem_undo(ANY))
}

fn names() -> String {
    for_each(OURS, &[&format!("{KEPT_DIR}/*"), "/run/schism/dns/*.pid"], "names of", &names_undo(ANY))
}

fn processes() -> String {
    let files = [format!("{FAULT_DIR}/*.on"), format!("{FAULT_DIR}/*.pid")];
    for_each(OURS, &[&files[0], &files[1]], "process of", &detached_stop(ANY, 1000, CONTINUE))
}

/// What a throttle that could not tidy up had stopped goes on (`agent throttle` keeps the list).
const CONTINUE: &str = r#"if [ -r "$mark.stops" ]; then
  while read -r pid began; do
    if alive "$pid" "$began" && [ "$state" = T ]; then kill -s CONT "$pid"; fi
  done <"$mark.stops"
fi
"#;

/// Processes of the agent that no file tells of any more: told by the program's path and its first argument, in this
/// node's namespace of mounts (a machine with a lab sees the processes of the lab's nodes). Those whose
/// file was just taken away end by themselves, and are given the time. A throttle names whom it may have stopped.
fn agents() -> String {
    format!("{PROCESS_FUNCTIONS}in_labs={} uploaded={}\n{AGENTS}", agent::IN_LABS, agent::UPLOADED)
}

const AGENTS: &str = r#"words() { tr '\000' '\n' <"/proc/$1/cmdline" 2>/dev/null; }
agents() {
  here=$(readlink /proc/self/ns/mnt)
  for one in /proc/[0-9]*; do
    [ "$(readlink "$one/ns/mnt" 2>/dev/null)" = "$here" ] || continue
    path=$(readlink "$one/exe" 2>/dev/null) || continue
    case ${path% (deleted)} in "$in_labs" | "$uploaded"/schism-*) ;; *) continue ;; esac
    [ "$(words "${one#/proc/}" | sed -n 2p)" = agent ] || continue
    stat_of "${one#/proc/}" && echo "${one#/proc/} $start"
  done
}
tries=0
while [ "$tries" -lt 10 ] && [ -n "$(agents)" ]; do
  sleep 0.1
  tries=$((tries + 1))
done
agents | while read -r pid began; do
  verb=$(words "$pid" | sed -n 3p)
  stopped=
  [ "$verb" != throttle ] || stopped=$(words "$pid" | grep -xE '[0-9]+:[0-9]+')
  alive "$pid" "$began" && kill -s KILL "$pid"
  tries=0
  while alive "$pid" "$began" && [ "$tries" -lt 40 ]; do
    sleep 0.05
    tries=$((tries + 1))
  done
  for one in $stopped; do
    if alive "${one%%:*}" "${one#*:}" && [ "$state" = T ]; then kill -s CONT "${one%%:*}"; fi
  done
  if alive "$pid" "$began"; then
    echo "failed the agent's process $pid ($verb)"
  else
    echo "removed the agent's process $pid ($verb)"
  fi
done
"#;

const NFT: &str = r#"command -v nft >/dev/null 2>&1 || exit 0
nft list tables 2>/dev/null | while read -r word family table rest; do
  printf '%s\n' "$table" | grep -qxE 'schism_[a-z0-9]{1,10}_[0-9]+' || continue
  if nft delete table "$family" "$table"; then
    echo "removed the nftables table $table"
  else
    echo "failed the nftables table $table"
  fi
done
"#;

const IPTABLES: &str = r#"for tool in iptables ip6tables; do
  command -v "$tool" >/dev/null 2>&1 || continue
  for table in filter mangle; do
    "$tool" -w -t "$table" -S 2>/dev/null | while read -r flag chain rest; do
      [ "$flag" = -N ] || continue
      printf '%s\n' "$chain" | grep -qxE 'SCHISM-[a-z0-9]{1,10}-[0-9]+' || continue
      for from in INPUT OUTPUT FORWARD PREROUTING POSTROUTING; do
        tries=0
        while [ "$tries" -lt 20 ] && "$tool" -w -t "$table" -D "$from" -j "$chain" 2>/dev/null; do
          tries=$((tries + 1))
        done
      done
      "$tool" -w -t "$table" -F "$chain" && "$tool" -w -t "$table" -X "$chain"
      if [ "$?" -eq 0 ]; then
        echo "removed the $tool chain $chain"
      else
        echo "failed the $tool chain $chain"
      fi
    done
  done
done
"#;

/// Injections whose lease is gone, though they may still be at work.
const WORKS: &str = r#"for one in "$run"/*.work.* "$run"/*.ending; do
  [ -e "$one" ] || continue
  name=${one##*/}
  name=${name%.ending}
  name=${name%.work.*}
  ours "$name" && [ ! -e "$dir/$name.undo" ] || continue
  end_work "$name"
  rm -f "$run/$name".work.* "$run/$name.ending"
done
"#;

/// A claim whose controller still gives signs of life stays: `schism halt` is for that.
const CLAIMS: &str = r#"[ -d "$run" ] || exit 0
read -r up rest </proc/uptime
up=${up%%.*} owner=
[ ! -r "$run/claim/owner" ] || read -r owner <"$run/claim/owner"
for one in "$run/beats"/*; do
  [ -e "$one" ] || continue
  at=
  read -r at rest <"$one"
  age=$((up - ${at:-$up}))
  lease=30
  [ "${owner%% *}" != "${one##*/}" ] || lease=${owner##* }
  [ "$age" -gt "$lease" ] || [ "$age" -lt 0 ] || continue
  rm -f "$one"
done
if [ -n "$owner" ] && [ ! -e "$run/beats/${owner%% *}" ]; then
  if rm -f "$run/claim/owner" && rmdir "$run/claim"; then
    echo "removed the claim of the run ${owner%% *}, whose controller is gone"
  else
    echo "failed the claim of the run ${owner%% *}"
  fi
fi
for one in "$run"/*.expired "$run"/*.tick; do
  [ ! -e "$one" ] || rm -f "$one"
done
"#;

/// Removes all of it; the lines of [`Leftover::script`].
pub fn leftovers_remove(places: &Places) -> String {
    let mut script = format!("{SBIN}{}{FUNCTIONS}", places.assignments());
    for Leftover { what, script: one } in LEFTOVERS {
        script += &format!("# {what}\n(\n{})\n", one());
    }
    // Where no lease is left, nothing waits and nothing need be started at boot.
    script + "[ ! -d \"$dir\" ] || cancel_now ' '\ntrue\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scripts::testing::{posix, run};

    #[test]
    fn every_script_is_posix_shell() {
        for Leftover { what, script } in LEFTOVERS {
            assert!(!what.is_empty());
            posix(&[script()]);
        }
    }

    #[test]
    fn names_are_ours_only_as_a_whole() {
        let cases = [
            ("t-1", true),
            ("k3f9abcdef-22-n1", true),
            ("t-1-a.b_c-d", true),
            ("t", false),
            ("T-1", false),
            ("t-1-", false),
            ("t-1 n1", false),
            ("t-x", false),
            ("abcdefghijk-1", false),
            ("lab.7.n1", false),
            ("t-1\nt-2x/", false),
            ("", false),
        ];
        for (name, expected) in cases {
            let script = format!("{OURS}ours {} && echo yes || echo no\n", schism_cluster::shell::quote(name));
            assert_eq!(run(&script), if expected { "yes\n" } else { "no\n" }, "{name:?}");
            let cut = name.replacen('-', "_", 1);
            let cut = format!(
                "{OUR_CUTS}ours {} && echo yes || echo no\n",
                schism_cluster::shell::quote(&format!("schism_{cut}"))
            );
            assert_eq!(run(&cut), if expected { "yes\n" } else { "no\n" }, "{name:?}");
        }
    }
}
