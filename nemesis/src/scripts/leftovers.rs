//! Everything of ours that may stand on a node, found by its name alone: for `schism heal` with nothing but addresses.
//!
//! Each family of faults adds a line to [`LEFTOVERS`]. Leases go first, as their undos know more; what is here is for what
//! lost its lease. A name counts as ours only when all of it is as we make names (`schism_<tag>_<fault id>`): a tag has 1
//! to 10 lower-case letters and digits. What is like it and not quite so stays.

use super::device_mapper::mapper_left_behind;
use super::dns::{KEPT_DIR, names_undo};
use super::lease::{FUNCTIONS, Places};
use super::netem::{SHAPES_DIR, netem_undo};
use super::process::{FAULT_DIR, detached_stop};
use super::{SBIN, clock_left};

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

/// All of them, a line each.
pub const LEFTOVERS: &[Leftover] = &[
    Leftover { what: "nftables tables", script: || NFT.to_owned() },
    Leftover { what: "iptables chains", script: || IPTABLES.to_owned() },
    Leftover { what: "queues", script: queues },
    Leftover { what: "names", script: names },
    Leftover { what: "processes of faults", script: processes },
    Leftover { what: "clocks", script: || format!("{OURS}{}", clock_left()) },
    Leftover { what: "tables of the device mapper", script: || format!("{OURS}{}", mapper_left_behind(ANY)) },
    Leftover { what: "claims and signs of life", script: || CLAIMS.to_owned() },
];

/// Whether a name is one that we give to what a fault leaves: `<tag>-<fault id>`, and perhaps `-<node>`.
const OURS: &str = "ours() { printf '%s\\n' \"$1\" | grep -qxE '[a-z0-9]{1,10}-[0-9]+(-[A-Za-z0-9._-]+)?'; }\n";

/// A name for which the undo of a family is written, to be replaced by the shell's variable: only names that are [`OURS`]
/// are put there, which no shell takes apart.
const ANY: &str = "nameofours";

/// The undo of a family for each name of ours for which there is something in these folders.
fn for_each(folders: &[&str], what: &str, undo: &str) -> String {
    let globs: Vec<String> = folders.iter().map(|folder| format!("{folder}/*")).collect();
    format!(
        "{OURS}for file in {globs}; do
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
        globs = globs.join(" "),
        undo = undo.replace(ANY, "$one"),
    )
}

fn queues() -> String {
    for_each(&[SHAPES_DIR], "queues of", &netem_undo(ANY))
}

fn names() -> String {
    for_each(&[KEPT_DIR, "/run/schism/dns"], "names of", &names_undo(ANY))
}

fn processes() -> String {
    for_each(&[FAULT_DIR], "process of", &detached_stop(ANY, 1000, ""))
}

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
