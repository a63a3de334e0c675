//! What processes use, and the limit of their descriptors.

use schism_cluster::ProcessId;
use schism_cluster::shell::{PROCESS_FUNCTIONS, quote};

use super::process::FAULT_DIR;

fn list(processes: &[ProcessId]) -> String {
    let each: Vec<String> = processes.iter().map(|one| format!("{}:{}", one.pid, one.start_ticks)).collect();
    each.join(" ")
}

/// Prints, at two moments `span_ms` apart: `uptime S`, `machine ALL IDLE` (ticks of all processors; a tick is a hundredth
/// of a second on every Linux) and, for each process that lives, `process PID START TICKS`: the time that it had.
pub fn cpu_times(processes: &[ProcessId], span_ms: u64) -> String {
    format!(
        "{PROCESS_FUNCTIONS}look() {{
  read -r up idle </proc/uptime
  echo \"uptime $up\"
  read -r name user nice system idle wait irq soft stolen rest </proc/stat
  echo \"machine $((user + nice + system + idle + wait + irq + soft + stolen)) $((idle + wait))\"
  for i in {list}; do
    alive \"${{i%%:*}}\" \"${{i#*:}}\" || continue
    set -- ${{_line##*) }}
    echo \"process ${{i%%:*}} ${{i#*:}} $((${{12}} + ${{13}}))\"
  done
}}
look
sleep {secs}.{ms:03}
look
",
        list = list(processes),
        secs = span_ms / 1000,
        ms = span_ms % 1000,
    )
}

/// Looks `count` times, 20 ms apart, whether these processes are stopped: `SAMPLES STOPPED`.
pub fn stopped_share(processes: &[ProcessId], count: u32) -> String {
    format!(
        "{PROCESS_FUNCTIONS}samples=0 stopped=0 n=0
while [ \"$n\" -lt {count} ]; do
  for i in {list}; do
    alive \"${{i%%:*}}\" \"${{i#*:}}\" || continue
    samples=$((samples + 1))
    [ \"$state\" != T ] || stopped=$((stopped + 1))
  done
  n=$((n + 1))
  sleep 0.02
done
echo \"$samples $stopped\"
",
        list = list(processes),
    )
}

/// Prints `available KIB`, `total KIB`, and of the process that `$mark.pid` names `rss KIB` and `oom_score_adj N` while it
/// lives, and `took BYTES` once it said what it took.
pub fn memory_look(mark: &str) -> String {
    format!(
        "{PROCESS_FUNCTIONS}mark={place}
while read -r key value rest; do
  case $key in
    MemAvailable:) echo \"available $value\" ;;
    MemTotal:) echo \"total $value\" ;;
  esac
done </proc/meminfo
pid= began=
{{ read -r pid began <\"$mark.pid\"; }} 2>/dev/null
if [ -n \"$began\" ] && alive \"$pid\" \"$began\"; then
  while read -r key value rest; do
    [ \"$key\" != VmRSS: ] || echo \"rss $value\"
  done <\"/proc/$pid/status\"
  read -r score <\"/proc/$pid/oom_score_adj\"
  echo \"oom_score_adj $score\"
  [ ! -r \"$mark.took\" ] || {{ read -r took <\"$mark.took\"; echo \"took $took\"; }}
fi
",
        place = quote(&format!("{FAULT_DIR}/{mark}")),
    )
}

/// Says that prlimit is missing, nothing where it is there.
pub fn missing_prlimit() -> String {
    "command -v prlimit >/dev/null || echo 'no prlimit'\n:\n".to_owned()
}

/// `limits PID` sets `soft` and `hard`, the limits of open files.
const LIMITS: &str = r#"limits() {
  soft= hard=
  while read -r _a _b _c _soft _hard _rest; do
    [ "$_a $_b $_c" != "Max open files" ] || { soft=$_soft hard=$_hard; break; }
  done <"/proc/$1/limits" 2>/dev/null
  [ -n "$hard" ]
}
"#;

/// For each process that lives: `PID START SOFT HARD OPEN LOW`, where LOW is the highest limit that leaves it `spare`
/// descriptors it has not used yet (what is open above stays open), and never more than SOFT.
pub fn descriptors_of(processes: &[ProcessId], spare: u64) -> String {
    format!(
        "{PROCESS_FUNCTIONS}{LIMITS}for i in {list}; do
  pid=${{i%%:*}}
  alive \"$pid\" \"${{i#*:}}\" && limits \"$pid\" || continue
  open=0
  for f in \"/proc/$pid/fd\"/*; do [ ! -L \"$f\" ] || open=$((open + 1)); done
  low=0 free=0
  while :; do
    case $soft in *[!0-9]*) ;; *) [ \"$low\" -lt \"$soft\" ] || break ;; esac
    if [ ! -L \"/proc/$pid/fd/$low\" ]; then
      [ \"$free\" -lt {spare} ] || break
      free=$((free + 1))
    fi
    low=$((low + 1))
  done
  echo \"$pid ${{i#*:}} $soft $hard $open $low\"
done
",
        list = list(processes),
    )
}

/// Lowers the soft limit of each of these processes: `(process, to)`.
pub fn descriptors_lower(limits: &[(ProcessId, u64)]) -> String {
    let one = |(process, to): &(ProcessId, u64)| {
        format!(
            "if alive {pid} {start}; then prlimit --pid {pid} --nofile={to}: || ! alive {pid} {start} || failed=1; fi\n",
            pid = process.pid,
            start = process.start_ticks
        )
    };
    let all: String = limits.iter().map(one).collect();
    format!("{PROCESS_FUNCTIONS}failed=0\n{all}exit \"$failed\"\n")
}

/// Gives each of these processes its old soft limit back, and its children that inherited the low one: `(process, low,
/// old)`. A limit that is not the low one any more was set by somebody else, and stays.
pub fn descriptors_restore(limits: &[(ProcessId, u64, String)]) -> String {
    let one = |(process, low, old): &(ProcessId, u64, String)| {
        format!("restore {pid} {start} {low} {old}\n", pid = process.pid, start = process.start_ticks, old = quote(old))
    };
    let all: String = limits.iter().map(one).collect();
    format!(
        "{PROCESS_FUNCTIONS}{LIMITS}failed=0
restore() {{
  low=$3 old=$4
  alive \"$1\" \"$2\" || return 0
  tree \"$1\"
  for one in $found; do
    limits \"$one\" || continue
    [ \"$soft\" = \"$low\" ] || continue
    prlimit --pid \"$one\" --nofile=\"$old\": || [ ! -e \"/proc/$one\" ] || failed=1
  done
}}
{all}exit \"$failed\"
"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scripts::testing::{posix, run};

    #[test]
    fn every_script_is_posix_shell() {
        let process = ProcessId { pid: 12, start_ticks: 345 };
        posix(&[
            cpu_times(&[process], 1500),
            stopped_share(&[process, process], 50),
            memory_look("t-1-n1"),
            missing_prlimit(),
            descriptors_of(&[process], 4),
            descriptors_lower(&[(process, 20)]),
            descriptors_restore(&[(process, 20, "unlimited".to_owned())]),
        ]);
    }

    #[test]
    fn times_of_this_process_are_seen() {
        let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
        let id = schism_cluster::probe::parse_stat(&stat).unwrap().id;
        let text = run(&cpu_times(&[id, ProcessId { start_ticks: 1, ..id }], 20));
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 6, "{text}");
        assert!(lines[2].starts_with(&format!("process {} {} ", id.pid, id.start_ticks)), "{text}");
        let memory = run(&memory_look("test-none"));
        assert!(memory.contains("available ") && !memory.contains("rss"), "{memory}");
    }
}
