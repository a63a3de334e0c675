//! Leases: files in one folder of the node, and a shell that waits.

use schism_cluster::shell::quote;

/// Runs the undo `$1/$2.undo` under its lock and, when it succeeded, removes what the lease left. The lock bounds
/// itself: who held it for 20 s is taken to be dead, and an undo run twice does no harm.
pub(super) const RUN_UNDO: &str = r#"run_undo() {
  waited=0
  until mkdir "$1/$2.lock" 2>/dev/null; do
    [ "$waited" -lt 20 ] || break
    sleep 1
    waited=$((waited + 1))
  done
  status=0
  if [ -e "$1/$2.undo" ]; then
    sh "$1/$2.undo" >"$1/$2.out" 2>&1 </dev/null
    status=$?
    [ "$status" -ne 0 ] || rm -f "$1/$2.undo" "$1/$2.info" "$1/$2.out"
  fi
  rmdir "$1/$2.lock" 2>/dev/null
  return "$status"
}
"#;

/// What waits on the node: counts seconds that the machine lived (its clock may jump), ends as soon as the lease is
/// cancelled, and undoes the harm by itself when the time is up.
pub(super) const WATCH: &str = r#"cd /
trap '' HUP
left=$3
while [ "$left" -gt 0 ]; do
  [ -e "$1/$2.undo" ] || exit 0
  sleep 1
  left=$((left - 1))
done
tries=0
while [ -e "$1/$2.undo" ] && [ "$tries" -lt 60 ]; do
  run_undo "$1" "$2" && exit 0
  sleep 5
  tries=$((tries + 1))
done
"#;

/// Arms a lease: the undo (standard input) is written beside a line that tells what it is, and a watcher is left
/// behind, detached from the session that started it.
pub fn lease_arm(dir: &str, name: &str, lease_s: u64, info: &str) -> String {
    format!(
        "dir={dir} name={name}
umask 077
mkdir -p \"$dir\" || exit 1
cat >\"$dir/$name.new\" || exit 1
read -r up rest </proc/uptime
printf '%s %s\\n' \"${{up%%.*}}\" {info} >\"$dir/$name.info\" || exit 1
mv \"$dir/$name.new\" \"$dir/$name.undo\" || exit 1
setsid sh -c {watch} schism-lease \"$dir\" \"$name\" {lease_s} </dev/null >/dev/null 2>&1 &
",
        dir = quote(dir),
        name = quote(name),
        info = quote(info),
        watch = quote(&format!("{RUN_UNDO}{WATCH}")),
    )
}

/// Undoes (the undo is on standard input, so that it needs no lease) and cancels the lease when that succeeded.
pub fn heal(dir: &str, name: &str) -> String {
    format!(
        "dir={dir} name={name}
undo=$(cat)
mkdir -p \"$dir\" 2>/dev/null
waited=0
until mkdir \"$dir/$name.lock\" 2>/dev/null; do
  [ -d \"$dir/$name.lock\" ] && [ \"$waited\" -lt 20 ] || break
  sleep 1
  waited=$((waited + 1))
done
sh -c \"$undo\" </dev/null
status=$?
[ \"$status\" -ne 0 ] || rm -f \"$dir/$name.undo\" \"$dir/$name.info\" \"$dir/$name.out\"
rmdir \"$dir/$name.lock\" 2>/dev/null
exit \"$status\"
",
        dir = quote(dir),
        name = quote(name),
    )
}

/// Lists leases, a line each: name, uptime now, uptime when armed, what it is.
pub fn lease_list(dir: &str) -> String {
    format!(
        "dir={dir}
read -r up rest </proc/uptime
for undo in \"$dir\"/*.undo; do
  [ -e \"$undo\" ] || continue
  name=${{undo##*/}}
  name=${{name%.undo}}
  info=0
  [ ! -r \"$dir/$name.info\" ] || read -r info <\"$dir/$name.info\"
  printf '%s %s %s\\n' \"$name\" \"${{up%%.*}}\" \"$info\"
done
",
        dir = quote(dir)
    )
}

/// Runs the undo of every lease of the node, a line each: `healed NAME` or `failed NAME REASON`.
pub fn lease_heal(dir: &str) -> String {
    format!(
        "{RUN_UNDO}dir={dir}
for undo in \"$dir\"/*.undo; do
  [ -e \"$undo\" ] || continue
  name=${{undo##*/}}
  name=${{name%.undo}}
  if run_undo \"$dir\" \"$name\"; then
    printf 'healed %s\\n' \"$name\"
  else
    printf 'failed %s %s\\n' \"$name\" \"$(tail -n 3 \"$dir/$name.out\" 2>/dev/null | tr '\\n' ' ')\"
  fi
done
",
        dir = quote(dir)
    )
}
