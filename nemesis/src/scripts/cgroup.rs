//! Control groups of our own: the database's processes are moved into one, and back to where they were.
//!
//! Both versions of the kernel's interface: one tree with all controllers (version 2), or a tree a controller (version 1).

use schism_cluster::ProcessId;
use schism_cluster::shell::{PROCESS_FUNCTIONS, quote};

/// What a group limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Controller {
    /// Time of processors.
    Cpu,
    /// Memory.
    Memory,
}

impl Controller {
    fn name(self) -> &'static str {
        match self {
            Controller::Cpu => "cpu",
            Controller::Memory => "memory",
        }
    }
}

/// `group_base CONTROLLER` sets `version` and `base`, the folder in which groups with this controller can be made;
/// false if there is none.
const BASE: &str = r#"group_base() {
  version= base=
  for _dir in /sys/fs/cgroup /sys/fs/cgroup/unified; do
    [ -w "$_dir/cgroup.procs" ] || continue
    { read -r _list <"$_dir/cgroup.subtree_control"; } 2>/dev/null || continue
    case " $_list " in *" $1 "*) version=2 base=$_dir; return 0 ;; esac
  done
  while read -r _dev _dir _type _options _rest; do
    [ "$_type" = cgroup ] && [ -w "$_dir/cgroup.procs" ] || continue
    case ",$_options," in *",$1,"*) version=1 base=$_dir; return 0 ;; esac
  done </proc/mounts
  return 1
}
"#;

/// Says that no group of this kind can be made here, nothing where it can.
pub fn group_available(controller: Controller) -> String {
    format!(
        "{BASE}group_base {name} && case ${{version}}{name} in
  2*) : ;;
  1cpu) [ -e \"$base/cpu.cfs_quota_us\" ] ;;
  1memory) [ -e \"$base/memory.limit_in_bytes\" ] ;;
esac || echo 'no writable control group with the controller {name}'
:
",
        name = controller.name()
    )
}

/// Prints `VERSION BASE PATH`: where a group can be made, and in which this process is now (its path below the root of
/// its tree). Fails where none can be made, or the process is gone.
pub fn group_place(controller: Controller, process: ProcessId) -> String {
    format!(
        "{BASE}group_base {name} || exit 1
while IFS=: read -r id controllers path; do
  case $version,$controllers, in
    2,,) echo \"$version $base $path\"; exit 0 ;;
    1,*,{name},*|1,{name},*) echo \"$version $base $path\"; exit 0 ;;
  esac
done </proc/{pid}/cgroup
exit 1
",
        name = controller.name(),
        pid = process.pid,
    )
}

/// Makes a group, limits it, and moves these processes into it. `share_ppm` of all processors' time, or so many bytes of
/// memory, as the controller is.
pub fn group_enter(controller: Controller, mark: &str, limit: u64, processes: &[ProcessId]) -> String {
    let limits = match controller {
        // A quota below one millisecond is refused by the kernel.
        Controller::Cpu => format!(
            "count=0
while read -r key rest; do [ \"$key\" != processor ] || count=$((count + 1)); done </proc/cpuinfo
[ \"$count\" -gt 0 ] || count=1
quota=$((100000 * count * {limit} / 1000000))
[ \"$quota\" -ge 1000 ] || quota=1000
if [ \"$version\" = 2 ]; then
  echo \"$quota 100000\" >\"$group/cpu.max\" || exit 1
else
  echo 100000 >\"$group/cpu.cfs_period_us\" && echo \"$quota\" >\"$group/cpu.cfs_quota_us\" || exit 1
fi
"
        ),
        Controller::Memory => format!(
            "if [ \"$version\" = 2 ]; then
  echo 1 >\"$group/memory.oom.group\"
  [ ! -e \"$group/memory.swap.max\" ] || echo 0 >\"$group/memory.swap.max\"
  echo {limit} >\"$group/memory.max\" || exit 1
else
  echo {limit} >\"$group/memory.limit_in_bytes\" || exit 1
  [ ! -e \"$group/memory.memsw.limit_in_bytes\" ] || echo {limit} >\"$group/memory.memsw.limit_in_bytes\"
fi
"
        ),
    };
    let moved = |one: &ProcessId| {
        format!(
            "if alive {pid} {start}; then note {pid}; echo {pid} >\"$group/cgroup.procs\" || ! alive {pid} {start} || exit 1; fi\n",
            pid = one.pid,
            start = one.start_ticks
        )
    };
    let moves: String = processes.iter().map(moved).collect();
    format!(
        "{PROCESS_FUNCTIONS}{BASE}group_base {name} || {{ echo 'no control group here' >&2; exit 1; }}
group=$base/{group} kept={GROUPS_DIR}/{group} of={name}
{NOTE}[ -d \"$group\" ] || mkdir \"$group\" || exit 1
{limits}{moves}",
        name = controller.name(),
        group = quote(&format!("schism-{mark}")),
    )
}

/// Where it is told in which group the processes were, a file for each group of ours.
const GROUPS_DIR: &str = "/run/schism/groups";

/// `note PID` writes down in which group of the tree of the controller `$of` this process is, if nothing stands there yet.
/// Tried again: who leaves another group takes the folder away where it is empty.
const NOTE: &str = r#"note() {
  for _try in 1 2 3 4 5; do
    [ ! -s "$kept" ] || return 0
    mkdir -p "${kept%/*}" || continue
    while IFS=: read -r _id _controllers _path; do
      case $version,$_controllers, in
        2,, | 1,*,"$of",* | 1,"$of",*) echo "$_path" >"$kept" ;;
      esac
    done <"/proc/$1/cgroup"
  done
}
"#;

/// Moves whoever is in `$group` to `$back`, and takes the group away. Fails while it is there.
const LEAVE: &str = r#"n=0
until rmdir "$group" 2>/dev/null || [ ! -d "$group" ]; do
  while read -r pid; do echo "$pid" >"$back/cgroup.procs"; done <"$group/cgroup.procs" 2>/dev/null
  n=$((n + 1))
  [ "$n" -lt 60 ] || { echo "the group $group cannot be taken away" >&2; exit 1; }
  sleep 0.1
done
"#;

/// Moves whoever is in the group back to where they were (`path`, or the root where that is gone), and takes the group
/// away. Fails while it is still there; fine where it never was.
pub fn group_leave(controller: Controller, mark: &str, path: &str) -> String {
    format!(
        "{BASE}if group_base {name} && [ -d \"$base/\"{group} ]; then
group=$base/{group} back=$base{path}
[ -w \"$back/cgroup.procs\" ] || back=$base
{LEAVE}fi
rm -f {GROUPS_DIR}/{group}
rmdir {GROUPS_DIR} 2>/dev/null
true
",
        name = controller.name(),
        group = quote(&format!("schism-{mark}")),
        path = quote(path.trim_end_matches('/')),
    )
}

/// Takes every group of ours away, in whatever tree it is; lines of a [`super::Leftover`]. Expects a function `ours NAME`. Its
/// processes go back to where it is told that they were, and to the group above ours where nothing is told.
pub(super) fn groups_remove_all() -> String {
    format!(
        "{{ echo '- /sys/fs/cgroup'; echo '- /sys/fs/cgroup/unified'; grep -E '^[^ ]+ [^ ]+ cgroup2? ' /proc/mounts; }} |
  while read -r _dev base _rest; do
    for group in \"$base\"/schism-*; do
      [ -d \"$group\" ] && [ -e \"$group/cgroup.procs\" ] || continue
      one=${{group##*/schism-}}
      ours \"$one\" || continue
      kept={GROUPS_DIR}/schism-$one path= back=$base
      [ ! -r \"$kept\" ] || read -r path <\"$kept\"
      [ -z \"$path\" ] || [ ! -w \"$base${{path%/}}/cgroup.procs\" ] || back=$base${{path%/}}
      if (
{LEAVE}      ) </dev/null; then
        echo \"removed the control group $group\"
      else
        echo \"failed the control group $group\"
      fi
    done
  done
for kept in {GROUPS_DIR}/schism-*; do
  ! ours \"${{kept##*/schism-}}\" || rm -f \"$kept\"
done
rmdir {GROUPS_DIR} 2>/dev/null
true
"
    )
}

/// What the group counts: `members N`, `quota_us N` and `period_us N` (the time that it may have of each period), `throttled
/// N` (periods in which it was held back), `oom_kill N`, a line each; nothing where there is no such group.
pub fn group_look(controller: Controller, mark: &str) -> String {
    format!(
        "{BASE}group_base {name} || exit 0
group=$base/{group}
[ -d \"$group\" ] || exit 0
members=0 quota= period=
while read -r pid; do members=$((members + 1)); done <\"$group/cgroup.procs\"
echo \"members $members\"
{{ read -r quota period <\"$group/cpu.max\" || {{ read -r quota <\"$group/cpu.cfs_quota_us\"; read -r period <\"$group/cpu.cfs_period_us\"; }}; }} 2>/dev/null
[ -z \"$quota\" ] || printf 'quota_us %s\\nperiod_us %s\\n' \"$quota\" \"$period\"
for file in cpu.stat memory.events memory.oom_control; do
  [ -r \"$group/$file\" ] || continue
  while read -r key value; do
    case $key in
      nr_throttled) echo \"throttled $value\" ;;
      oom_kill) echo \"oom_kill $value\" ;;
    esac
  done <\"$group/$file\"
done
",
        name = controller.name(),
        group = quote(&format!("schism-{mark}")),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scripts::testing::posix;

    #[test]
    fn every_script_is_posix_shell() {
        let process = ProcessId { pid: 12, start_ticks: 345 };
        for controller in [Controller::Cpu, Controller::Memory] {
            posix(&[
                group_available(controller),
                group_place(controller, process),
                group_enter(controller, "t-1-n1", 500_000, &[process]),
                group_leave(controller, "t-1-n1", "/system.slice/it's.service"),
                group_look(controller, "t-1-n1"),
                groups_remove_all(),
            ]);
        }
    }
}
