//! Leases: files in one folder of the node, and a shell that waits for silence.
//!
//! What waits ([`lease_arm`] leaves it behind) counts seconds that the machine lived since the last *new* sign of life of
//! the controller ([`beat`]): uptime, not the clock, so that a clock that jumps changes nothing; and never more than a few
//! seconds at a time, so that a machine that was frozen does not take its own sleep for the controller's silence.

use schism_cluster::shell::{PROCESS_FUNCTIONS, quote};

/// Where a node keeps what belongs to leases.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Places {
    /// What must survive a restart of the node: `NAME.undo`, `NAME.info`, and `watch`, the program that waits.
    pub dir: String,
    /// What must not: signs of life, locks, how far the waiting is, who is at work, the claim of a controller.
    pub run: String,
    /// Executable files in here are run when the node starts.
    pub boot: String,
    /// Where systemd and cron look.
    pub etc: String,
}

impl Places {
    /// As assignments of a shell.
    pub(super) fn assignments(&self) -> String {
        format!(
            "dir={} run={} boot={} etc={}\n",
            quote(&self.dir),
            quote(&self.run),
            quote(&self.boot),
            quote(&self.etc)
        )
    }

    /// The program that waits: a file, so that a node that was restarted can go on with it.
    pub(super) fn watch(&self) -> String {
        format!("{}{PROCESS_FUNCTIONS}{FUNCTIONS}{WATCH}", self.assignments())
    }

    /// What goes on with all leases after a restart.
    pub(super) fn at_boot(&self) -> String {
        format!("#!/bin/sh\n{}{START}{AT_BOOT}", self.assignments())
    }
}

/// The last line of an undo as it goes to a node: what arrives without it was cut off when its controller died, and must
/// neither be run nor be taken for done.
const END: &str = "# the end of the undo";

/// An undo as [`lease_arm`] and [`heal`] want it on standard input.
pub fn whole(undo: &str) -> String {
    format!("{undo}\n{END}\n")
}

/// `lock NAME`: the lock of a lease, a file that names the process which has it. It is void when that process is gone; one
/// that lives is waited for, but no longer than 20 s, as an undo run twice does no harm. `unlock NAME` gives back what is
/// ours. `cancel NAME`: removes a lease, and, with the last of the node, what waits and what would start it again.
/// `end_work NAME`: ends what still works under a lease ([`lease_work`]), and lets nothing begin any more: first by SIGTERM, as a
/// script may have stopped something that must go on, after 2 s by SIGKILL; what hangs in the kernel for 3 s more will do nothing
/// when it is let go. `run_undo NAME [WORD]`: undoes, and cancels when that succeeded; leaves the file `NAME.WORD` then, before
/// whoever waits for the lock can miss it. They stand on [`PROCESS_FUNCTIONS`].
pub(super) const FUNCTIONS: &str = r#"void() {
  { read -r holder since <"$run/$1.lock"; } 2>/dev/null || return 0
  alive "$holder" "$since" || rm -f "$run/$1.lock" "$run/$1.lock.$holder"
}
lock() {
  stat_of "$$"
  echo "$$ $start" >"$run/$1.lock.$$" 2>/dev/null || return 0
  waited=0
  until ln "$run/$1.lock.$$" "$run/$1.lock" 2>/dev/null || [ "$waited" -ge 100 ]; do
    ( flock -w 10 9; void "$1" ) 9>>"$run/guard" 2>/dev/null || void "$1"
    sleep 0.2 2>/dev/null || sleep 1
    waited=$((waited + 1))
  done
}
unlock() {
  holder=
  { read -r holder since <"$run/$1.lock"; } 2>/dev/null
  [ "$holder" != "$$" ] || rm -f "$run/$1.lock"
  rm -f "$run/$1.lock.$$"
}
cancel_now() {
  rm -f "$dir/$1.undo" "$dir/$1.info" "$dir/$1.out" "$run/$1.tick" "$run/$1".work.*
  rm -f "$run/$1.ending"
  for one in "$dir"/*.undo; do
    [ ! -e "$one" ] || return 0
  done
  rm -f "$dir/watch" "$boot/schism-leases" "$etc/cron.d/schism-leases" "$etc/systemd/system/schism-leases.service" \
    "$etc/systemd/system/multi-user.target.wants/schism-leases.service"
  rmdir "$dir" 2>/dev/null
  return 0
}
cancel() {
  ( flock -w 10 9; cancel_now "$1" ) 9>>"$run/guard" 2>/dev/null || cancel_now "$1"
}
end_work() {
  echo >"$run/$1.ending" || return 0
  groups=
  for work in "$run/$1".work.*; do
    { read -r since <"$work"; } 2>/dev/null || continue
    alive "${work##*.}" "$since" || continue
    rm -f "$work"
    groups="$groups ${work##*.}"
  done
  tries=0
  while [ -n "$groups" ] && [ "$tries" -lt 50 ]; do
    left=$groups groups=
    for group in $left; do
      case $tries in
      0) kill -s TERM -- "-$group" 2>/dev/null ;;
      20) kill -s KILL -- "-$group" 2>/dev/null ;;
      *) kill -s 0 -- "-$group" 2>/dev/null ;;
      esac && groups="$groups $group"
    done
    [ -z "$groups" ] || sleep 0.1 2>/dev/null || sleep 1
    tries=$((tries + 1))
  done
}
run_undo() {
  lock "$1"
  status=0
  if [ -e "$dir/$1.undo" ]; then
    end_work "$1"
    sh "$dir/$1.undo" >"$dir/$1.out" 2>&1 </dev/null
    status=$?
    [ "$status" -ne 0 ] || [ -z "${2-}" ] || true >"$run/$1.$2"
    [ "$status" -ne 0 ] || cancel "$1"
  fi
  unlock "$1"
  return "$status"
}
"#;

/// What waits: `sh watch schism-lease DIR NAME SECONDS`. It ends as soon as its lease is cancelled, and undoes the harm by
/// itself when the controller was silent for too long; an undo that fails is tried again for as long as it takes.
pub(super) const WATCH: &str = r#"cd /
trap '' HUP
name=$3 lease=$4 silent=0 seen='' up=0
most=$((lease / 2))
[ "$most" -le 5 ] || most=5
[ "$most" -ge 1 ] || most=1
gone() {
  rm -f "$run/$name.tick"
  exit 0
}
tick() {
  sleep "$1"
  [ -e "$dir/$name.undo" ] || gone
  last=$up
  read -r up rest </proc/uptime
  up=${up%%.*}
  passed=$((up - last))
  [ "$passed" -le "$2" ] || passed=$2
  silent=$((silent + passed))
  echo "$up $silent" >"$run/$name.tick"
}
beat() {
  now=
  [ ! -r "$run/beats/${name%%-*}" ] || read -r now <"$run/beats/${name%%-*}"
}
tick 0 0
beat
seen=$now
while [ "$silent" -lt "$lease" ]; do
  tick 1 "$most"
  beat
  [ "$now" = "$seen" ] || { seen=$now; silent=0; }
done
pause=$most
while [ -e "$dir/$name.undo" ]; do
  if run_undo "$name" expired; then
    exit 0
  fi
  tick "$pause" "$pause"
  [ "$silent" -lt $((lease + 300)) ] || pause=60
done
gone
"#;

/// `start NAME SECONDS`: leaves behind what waits, out of the reach of whoever ends this login's processes.
const START: &str = r#"start() {
  if [ -d /run/systemd/system ] && systemd-run --quiet --collect --unit="schism-lease-$1" \
    sh "$dir/watch" schism-lease "$dir" "$1" "$2" </dev/null >/dev/null 2>&1 9>&-; then
    return 0
  fi
  setsid sh "$dir/watch" schism-lease "$dir" "$1" "$2" </dev/null >/dev/null 2>&1 9>&- &
}
"#;

const AT_BOOT: &str = r#"mkdir -p "$run/beats"
for one in "$dir"/*.undo; do
  [ -r "$one" ] || continue
  name=${one##*/}
  name=${name%.undo}
  lease=30
  [ ! -r "$dir/$name.info" ] || read -r lease rest <"$dir/$name.info"
  start "$name" "$lease"
done
"#;

/// Finds out what will start the watchers again after a restart of the machine (`how`: `lab`, `systemd`, `cron`, `none`),
/// and sees to it.
const HOOK: &str = r#"hook() {
  how=none comm=
  [ ! -r /proc/1/comm ] || read -r comm </proc/1/comm
  if [ "$comm" = schism-node ] || [ -e /run/schism/boots ]; then
    how=lab
  elif [ -d /run/systemd/system ]; then
    how=systemd
    mkdir -p "$etc/systemd/system/multi-user.target.wants"
    unit=$etc/systemd/system/schism-leases.service
    printf '%s\n' '[Unit]' 'Description=Leases of schism, which a restart of this machine interrupted' '[Service]' \
      Type=oneshot RemainAfterExit=yes "ExecStart=$boot/schism-leases" '[Install]' WantedBy=multi-user.target >"$unit"
    ln -sf "$unit" "$etc/systemd/system/multi-user.target.wants/schism-leases.service"
  elif [ -d "$etc/cron.d" ] && { [ -e /run/crond.pid ] || [ -e /run/cron.pid ] || [ -e /var/run/crond.pid ]; }; then
    how=cron
    printf '@reboot root %s\n' "$boot/schism-leases" >"$etc/cron.d/schism-leases"
  fi
}
"#;

/// Arms a lease: the undo (standard input, [`whole`]) is written beside a line that tells what it is, and what waits is left
/// behind, detached from the session that started it.
///
/// The line: seconds, what starts it again after a restart, the controller, `info`. All of it is synced to the disk before
/// this ends, as far as the node's `sync` can do that for single files.
pub fn lease_arm(places: &Places, name: &str, lease_s: u64, controller: &str, info: &str) -> String {
    format!(
        "{places}name={name} lease={lease_s}
{START}{HOOK}arm() {{
  cat >\"$dir/$name.new\" || return 1
  case $(tail -n 1 \"$dir/$name.new\") in
  '{END}') ;;
  *)
    rm -f \"$dir/$name.new\"
    return 1
    ;;
  esac
  printf '%s' {watch} >\"$dir/watch.new\" && mv -f \"$dir/watch.new\" \"$dir/watch\" || return 1
  printf '%s' {at_boot} >\"$boot/schism-leases\" && chmod 700 \"$boot/schism-leases\" || return 1
  hook
  printf '%s %s %s %s\\n' \"$lease\" \"$how\" {controller} {info} >\"$dir/$name.info\" || return 1
  rm -f \"$run/$name.expired\" \"$run/$name.ending\"
  read -r up rest </proc/uptime
  echo \"${{up%%.*}} 0\" >\"$run/$name.tick\"
  sync \"$dir/$name.new\" \"$dir/$name.info\" \"$dir/watch\" \"$boot/schism-leases\" 2>/dev/null
  mv -f \"$dir/$name.new\" \"$dir/$name.undo\" || return 1
  sync \"$dir\" \"$boot\" 2>/dev/null
  start \"$name\" \"$lease\"
}}
mkdir -p \"$run/beats\" \"$boot\" || exit 1
( flock -w 10 9; mkdir -p \"$dir\" && umask 077 && arm ) 9>>\"$run/guard\"
",
        places = places.assignments(),
        name = quote(name),
        watch = quote(&places.watch()),
        at_boot = quote(&places.at_boot()),
        controller = quote(controller),
        info = quote(info),
    )
}

/// A sign of life of the controller of a run; `count` must differ from the one before. Says `lost WHO` where another
/// controller has claimed the node meanwhile; claims it again where the claim is gone (a restart of the node).
///
/// Needs no program but the shell, unless the claim is gone: it goes on every few seconds, on every node.
pub fn beat(run: &str, tag: &str, count: u64, claim: Option<&str>) -> String {
    let mut script = format!(
        "run={run} tag={tag}
read -r up rest </proc/uptime
{{ [ -d \"$run/beats\" ] || mkdir -p \"$run/beats\"; }} && echo \"${{up%%.*}} {count}\" >\"$run/beats/$tag\" || exit 1
",
        run = quote(run),
        tag = quote(tag),
    );
    if let Some(claim) = claim {
        script += &format!(
            "if [ -r \"$run/claim/owner\" ]; then
  read -r owner rest <\"$run/claim/owner\"
  [ \"$owner\" = \"$tag\" ] || echo \"lost $owner $rest\"
else
  mkdir -p \"$run/claim\" && printf '%s\\n' {claim} >\"$run/claim/owner\"
fi
",
            claim = quote(claim)
        );
    }
    script
}

/// Undoes (the undo is on standard input, [`whole`], so that it needs no lease) and, where `cancel` says so, cancels the
/// lease when that succeeded. Says `expired` where the node had healed itself before.
pub fn heal(places: &Places, name: &str, cancel: bool) -> String {
    let cancel = if cancel { "[ \"$status\" -ne 0 ] || cancel \"$name\"\n" } else { "" };
    format!(
        "{places}name={name}
{PROCESS_FUNCTIONS}{FUNCTIONS}undo=$(cat)
case $undo in
*'{END}') ;;
*)
  echo 'the undo did not arrive whole' >&2
  exit 1
  ;;
esac
mkdir -p \"$run\" 2>/dev/null
lock \"$name\"
end_work \"$name\"
sh -c \"$undo\" </dev/null
status=$?
{cancel}unlock \"$name\"
[ ! -e \"$run/$name.expired\" ] || echo expired
exit \"$status\"
",
        places = places.assignments(),
        name = quote(name),
    )
}

/// Cancels a lease whose harm is undone.
pub fn lease_cancel(places: &Places, name: &str) -> String {
    format!(
        "{places}name={name}
{FUNCTIONS}mkdir -p \"$run\" 2>/dev/null
cancel \"$name\"
[ ! -e \"$dir/$name.undo\" ]
",
        places = places.assignments(),
        name = quote(name),
    )
}

/// What an injection runs first, in a session of its own: tells who works under a lease (`$run/NAME.work.PID` holds the start
/// time), and ends the shell where that is not there, or not any more.
///
/// In this order, as [`heal`] and what waits first forbid work (`NAME.ending`) and then look who works: one of both sees the
/// other; and they take the lease away before they take back that word. `SCHISM_LEASE` names the file, for [`LEASE_HOLDS`].
pub fn lease_work(places: &Places, name: &str) -> String {
    format!(
        "SCHISM_LEASE={base}.work.$$
tell_work() {{
  IFS= read -r _line <\"/proc/$$/stat\" || return 1
  set -- ${{_line##*) }}
  echo \"${{20}}\" >\"$SCHISM_LEASE\"
}}
{{ tell_work; }} 2>/dev/null && [ ! -e {base}.ending ] && [ -e {undo} ] || {{
  rm -f \"$SCHISM_LEASE\"
  echo 'the lease of this fault has run out' >&2
  exit 1
}}
export SCHISM_LEASE",
        base = quote(&format!("{}/{name}", places.run)),
        undo = quote(&format!("{}/{name}.undo", places.dir)),
    )
}

/// Ends the shell of what an injection leaves behind where the work that started it was ended meanwhile. To be run when its
/// number is told where the undo looks for it.
pub(super) const LEASE_HOLDS: &str = r#"[ -z "${SCHISM_LEASE-}" ] || [ -e "$SCHISM_LEASE" ] || exit 1
unset SCHISM_LEASE
"#;

/// Lists leases, a line each: name, uptime now, uptime when what waits was last seen, how long it was silent then, and the
/// line of [`lease_arm`]. What waits writes its file anew each second: one that is empty is read again; and
/// the uptime is read after it, as nothing is seen before it was written.
pub fn lease_list(places: &Places) -> String {
    format!(
        "{places}for undo in \"$dir\"/*.undo; do
  [ -e \"$undo\" ] || continue
  name=${{undo##*/}}
  name=${{name%.undo}}
  info='0 - -' tick='' tries=0
  [ ! -r \"$dir/$name.info\" ] || read -r info <\"$dir/$name.info\"
  while [ -r \"$run/$name.tick\" ] && ! read -r tick <\"$run/$name.tick\" && [ \"$tries\" -lt 10 ]; do
    sleep 0.05 2>/dev/null || sleep 1
    tries=$((tries + 1))
  done
  read -r up rest </proc/uptime
  printf '%s %s %s %s\\n' \"$name\" \"${{up%%.*}}\" \"${{tick:-0 0}}\" \"$info\"
done
",
        places = places.assignments()
    )
}

/// Runs the undo of every lease of the node, a line each: `healed NAME` or `failed NAME REASON`.
pub fn lease_heal(places: &Places) -> String {
    format!(
        "{places}{PROCESS_FUNCTIONS}{FUNCTIONS}mkdir -p \"$run\" 2>/dev/null
for undo in \"$dir\"/*.undo; do
  [ -e \"$undo\" ] || continue
  name=${{undo##*/}}
  name=${{name%.undo}}
  if run_undo \"$name\"; then
    printf 'healed %s\\n' \"$name\"
  else
    printf 'failed %s %s\\n' \"$name\" \"$(tail -n 3 \"$dir/$name.out\" 2>/dev/null | tr '\\n' ' ')\"
  fi
done
",
        places = places.assignments()
    )
}
