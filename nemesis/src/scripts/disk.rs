//! Disks and files: filling, read-only mounts, our faulty file system, probes, old copies.

use schism_cluster::shell::{PROCESS_FUNCTIONS, detached, quote, words};

use super::lease::LEASE_HOLDS;
use crate::agent;

/// Where the faulty file systems of a node keep their rules.
pub const FAULTFS_DIR: &str = "/run/schism/faultfs";
/// Where old copies are kept.
pub const COPIES_DIR: &str = "/var/lib/schism/copies";

/// A faulty file system on a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FaultfsPlace {
    /// The folder that it lies over.
    pub folder: String,
    /// Its state folder.
    pub state: String,
    /// The name under which it is mounted.
    pub source: String,
}

impl FaultfsPlace {
    /// The one of that folder: one, however many faults use it.
    pub fn of(folder: &str) -> FaultfsPlace {
        // FNV-1a: a name, not a secret.
        let hash = folder
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
        let (state, source) = (format!("{FAULTFS_DIR}/{hash:016x}"), format!("schism-faultfs-{hash:016x}"));
        FaultfsPlace { folder: folder.to_owned(), state, source }
    }

    fn head(&self, name: &str) -> String {
        format!(
            "folder={} place={} source={} name={}\n{FAULTFS_HEAD}",
            quote(&self.folder),
            quote(&self.state),
            quote(&self.source),
            quote(name)
        )
    }
}

/// The state folder is `place`, because the functions that look at processes set `state`. `mounts` prints the numbers of
/// our mounts; everything is done one at a time where the node has `flock`.
const FAULTFS_HEAD: &str = r#"umask 077
mkdir -p "${place%/*}" || exit 1
exec 9>>"$place.lock" || exit 1
if command -v flock >/dev/null; then flock 9; fi
mounts() {
  while read -r id _rest; do
    case $_rest in *" - fuse"*" $source "*) echo "$id" ;; esac
  done </proc/self/mountinfo
}
"#;

/// Why our file system cannot be mounted there; nothing where it can. Where nothing has made the device's file yet, the kernel's
/// module does; without it, opening the file would make an empty one.
pub fn fuse_missing() -> String {
    "[ -c /dev/fuse ] || PATH=\"$PATH:/usr/sbin:/sbin\" modprobe -q fuse 2>/dev/null
if ! { [ -c /dev/fuse ] && ( : <>/dev/fuse ); } 2>/dev/null; then echo '/dev/fuse cannot be opened'; fi
for tool in umount grep timeout; do command -v \"$tool\" >/dev/null 2>&1 || echo \"no $tool\"; done
true
"
    .to_owned()
}

/// Adds a rule to the faulty file system of a folder, and mounts it where it is not; nobody may have files of the folder
/// open then. Prints `mounted` or `added`.
pub fn faultfs_start(place: &FaultfsPlace, agent_path: &str, name: &str, rule: &str, seed: u64) -> String {
    let seed = seed.to_string();
    let serve = agent::command(agent_path, "faultfs", &[&place.folder, &place.state, &place.source, &seed]);
    let (log, pid_file) = (format!("{}/log", place.state), format!("{}/server.pid", place.state));
    format!(
        "{head}{PROCESS_FUNCTIONS}mkdir -p \"$place/rules\" || exit 1
printf '%s' {rule} >\"$place/rules/$name.new\" && mv -f \"$place/rules/$name.new\" \"$place/rules/$name\" || exit 1
if [ -n \"$(mounts)\" ]; then
  {reload} >/dev/null || exit 1
  echo added
  exit 0
fi
( {start} ) >/dev/null || exit 1
read -r pid start0 <\"$place/server.pid\"
tries=0
until [ -n \"$(mounts)\" ]; do
  tries=$((tries + 1))
  if [ \"$tries\" -gt 200 ] || ! alive \"$pid\" \"$start0\"; then
    tail -n 5 \"$place/log\" >&2
    exit 1
  fi
  sleep 0.05
done
echo mounted
",
        head = place.head(name),
        rule = quote(rule),
        reload = agent::command(agent_path, "faultfs-ctl", &[&place.state, "reload"]),
        start = detached(&format!("{LEASE_HOLDS}exec {serve}"), &log, &pid_file),
    )
}

/// Takes a rule away; with the last one the file system goes, and every process that has files of it open is killed first:
/// it stands on a disk that is taken out. Needs no agent.
pub fn faultfs_undo(place: &FaultfsPlace, name: &str) -> String {
    format!("{}{PROCESS_FUNCTIONS}{FAULTFS_UNDO}", place.head(name))
}

const FAULTFS_UNDO: &str = r#"rm -f "$place/rules/$name" "$place/rules/$name.new"
for rule in "$place"/rules/*; do
  if [ -e "$rule" ]; then
    # Another fault uses it. It looks at its rules ten times a second.
    sleep 0.3
    exit 0
  fi
done
tries=0
while [ -n "$(mounts)" ] && [ "$tries" -lt 30 ]; do
  # A service may live in a mount namespace of its own, where the same mount has another number.
  for id in $(grep -hs " $source " /proc/[0-9]*/mountinfo | cut -d ' ' -f 1 | sort -u); do
    for info in $(grep -ls "^mnt_id:[[:space:]]*$id\$" /proc/[0-9]*/fdinfo/* 2>/dev/null); do
      pid=${info#/proc/}
      pid=${pid%%/*}
      [ "$pid" = "$$" ] || kill -s KILL "$pid" 2>/dev/null
    done
  done
  sleep 0.1
  timeout 5 umount "$folder" 2>/dev/null || [ "$tries" -lt 5 ] || umount -l "$folder"
  tries=$((tries + 1))
done
if [ -n "$(mounts)" ]; then
  echo "$source is still mounted over $folder" >&2
  exit 1
fi
if { read -r pid start0 <"$place/server.pid"; } 2>/dev/null; then
  tries=0
  while alive "$pid" "$start0" && [ "$tries" -lt 40 ]; do
    sleep 0.05
    tries=$((tries + 1))
  done
  if alive "$pid" "$start0"; then kill -s KILL "$pid"; fi
fi
rm -rf "$place"
"#;

/// Unmounts every faulty file system of ours, whatever rules it has; lines of a [`super::Leftover`]. Ours has a source of the
/// form `schism-faultfs-` and 16 hexadecimal digits, and is of type fuse.
pub(super) fn faultfs_remove_all() -> String {
    format!(
        "names='[0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f]'
for source in $(sed -n 's/^.* - fuse[^ ]* \\(schism-faultfs-[0-9a-f]\\{{16\\}}\\) .*$/\\1/p' /proc/self/mountinfo) \\
  $(cd {FAULTFS_DIR} 2>/dev/null && for one in $names$names; do [ ! -d \"$one\" ] || echo \"schism-faultfs-$one\"; done); do
  case \" $seen \" in *\" $source \"*) continue ;; esac
  seen=\"$seen $source\"
  place={FAULTFS_DIR}/${{source#schism-faultfs-}} name=none
  # In mountinfo a blank is \\040.
  folder=$(sed -n \"s/^[^ ]* [^ ]* [^ ]* [^ ]* \\([^ ]*\\) .* - fuse[^ ]* $source .*/\\1/p\" /proc/self/mountinfo |
    tail -n 1 | sed 's/\\\\\\([0-7][0-7][0-7]\\)/\\\\0\\1/g')
  folder=$(printf '%bx' \"$folder\")
  folder=${{folder%x}}
  if (
{FAULTFS_HEAD}{PROCESS_FUNCTIONS}rm -f \"$place\"/rules/*
{FAULTFS_UNDO}  ); then
    rm -f \"$place.lock\"
    echo \"removed the faulty file system $source\"
  else
    echo \"failed the faulty file system $source\"
  fi
done
rmdir {FAULTFS_DIR} 2>/dev/null
true
"
    )
}

/// Takes every read-only mount of ours away of which a note is left; lines of a [`super::Leftover`]. Expects a function `ours
/// NAME`. Without its note a folder mounted over itself may be anybody's, and stays.
pub(super) fn read_only_remove_all() -> String {
    format!(
        "for file in /run/schism/read-only/*; do
  [ -f \"$file\" ] || continue
  name=${{file##*/}}
  ours \"$name\" || continue
  folder=$(sed -n 2p \"$file\")
  if [ -n \"$folder\" ] && (
{READ_ONLY_HEAD}{READ_ONLY_UNDO}  ); then
    echo \"removed the read-only mount of $name\"
  else
    echo \"failed the read-only mount of $name\"
  fi
done
rmdir /run/schism/read-only 2>/dev/null
true
"
    )
}

/// Removes every file of ours that lies among a database's data, and every old copy; lines of a [`super::Leftover`]. Expects a
/// function `ours NAME`. They are found by the notes of [`disk_fill`], and by their names in and below `/var/lib` and what is
/// mounted elsewhere from local disks, some folders deep.
pub(super) fn files_remove_all() -> String {
    format!("copies={COPIES_DIR} filled={FILLED_DIR}\n{FILES}")
}

const FILES: &str = r#"gone() {
  if rm -rf "$2" && [ ! -e "$2" ]; then echo "removed the $1"; else echo "failed the $1"; fi
}
look() {
  # What is no answer in time is told: `!` is no path.
  timeout 20 find "$1" -xdev -maxdepth "$2" -type f -name '.schism-*' 2>/dev/null
  [ "$?" -ne 124 ] || echo '!'
}
found() {
  for note in "$filled"/*; do
    [ -f "$note" ] && sed -n 1p "$note"
  done
  look /var/lib 6
  while read -r _id _parent _device _root point _rest; do
    case ${_rest#* - } in
      ext[234]\ * | xfs\ * | btrfs\ * | f2fs\ * | jfs\ * | zfs\ * | bcachefs\ * | tmpfs\ * | overlay\ *) ;;
      *) continue ;;
    esac
    case $point in / | /proc | /proc/* | /sys | /sys/* | /dev | /dev/* | /run | /run/*) continue ;; esac
    [ ! -d "$point" ] || look "$point" 4
  done </proc/self/mountinfo
}
found | sort -u | while IFS= read -r file; do
  [ "$file" != '!' ] || echo 'failed the search for files (a disk is too slow)'
  [ -f "$file" ] || continue
  base=${file##*/}
  for kind in full probe synced unsynced; do
    [ "${base#".schism-$kind-"}" != "$base" ] || continue
    ! ours "${base#".schism-$kind-"}" || gone "file $file" "$file"
  done
done
for note in "$filled"/*; do
  ! ours "${note##*/}" || rm -f "$note"
done
for copy in "$copies"/*; do
  [ -d "$copy" ] && ours "${copy##*/}" && gone "old copy ${copy##*/}" "$copy"
done
for told in /run/schism/marks/*; do
  ! ours "${told##*/}" || rm -f "$told"
done
rmdir "$filled" "$copies" /run/schism/marks 2>/dev/null
true
"#;

/// Says whether the faulty file system is mounted; nothing where it is not.
pub fn faultfs_look(place: &FaultfsPlace) -> String {
    format!("grep ' {} ' /proc/self/mountinfo || true\n", place.source)
}

/// Says what is left of a fault's rule: the rule, or the file system though it has no rules any more.
pub fn faultfs_left(place: &FaultfsPlace, name: &str) -> String {
    format!(
        "place={} name={}\nif [ -e \"$place/rules/$name\" ]; then echo 'the rule is there'; fi\n\
         set -- \"$place\"/rules/*\n[ -e \"$1\" ] || {}",
        quote(&place.state),
        quote(name),
        faultfs_look(place)
    )
}

/// Gives an order to the faulty file system; prints its answer.
pub fn faultfs_order(place: &FaultfsPlace, agent_path: &str, order: &str) -> String {
    agent::command(agent_path, "faultfs-ctl", &[&place.state, order]) + "\n"
}

/// Tries a folder's disk: opens, writes, syncs, reads and removes a file of ours, so many times. Prints a line for each try,
/// `OPERATION ERRNO MICROSECONDS`, and `free BYTES 0` (what root has left).
pub fn disk_probe(folder: &str, name: &str, rounds: u32, bytes: u64) -> String {
    let (rounds, bytes) = (rounds.to_string(), bytes.to_string());
    let file = format!("{folder}/.schism-probe-{name}");
    format!(
        "set -- $(stat -f -c '%f %S' {folder} 2>/dev/null || echo 0 0)
printf 'free %s 0\\n' \"$(($1 * $2))\"
exec {perl}
",
        folder = quote(folder),
        perl = words(&["perl", "-e", PROBE, "--", &file, &rounds, &bytes]),
    )
}

/// Whoever asked may be gone before it ends: then nobody reads what it prints, and its file must not stay.
const PROBE: &str = r#"use strict; use Fcntl; use IO::Handle;
my ($file, $rounds, $bytes) = @ARGV;
$| = 1;
$SIG{$_} = sub { unlink $file; exit 1 } for qw(PIPE HUP TERM INT);
my $clock = eval { require Time::HiRes; sub { Time::HiRes::time() } }
  || sub { open(my $up, "<", "/proc/uptime") or return 0; (split " ", <$up>)[0] };
sub try {
  my ($what, $do) = @_;
  my $begun = $clock->();
  $! = 0;
  my $done = $do->();
  my $error = $done ? 0 : ($! + 0 || 5);
  printf "%s %d %d\n", $what, $error, ($clock->() - $begun) * 1e6;
  return $done;
}
for (1 .. $rounds) {
  my ($out, $in);
  if (try("open", sub { sysopen $out, $file, O_RDWR | O_CREAT | O_TRUNC, 0600 })) {
    try("write", sub {
      for (my $left = $bytes; $left > 0;) {
        my $count = syswrite $out, "\1" x ($left < 65536 ? $left : 65536);
        return 0 unless $count;
        $left -= $count;
      }
      1;
    });
    try("fsync", sub { $out->sync });
    close $out;
    try("read", sub { my $got; sysopen($in, $file, O_RDONLY) && defined(sysread $in, $got, 4096) });
    close $in if $in;
    try("unlink", sub { unlink $file });
  }
}
unlink $file;
"#;

/// Fills a folder's file system with a file of ours until so many bytes are left (what root may use included). Ends with
/// status 3 where that would take more than `most` bytes.
pub fn disk_fill(folder: &str, name: &str, leave: u64, most: u64) -> String {
    format!("folder={} name={} leave={leave} most={most}\n{FILL}", quote(folder), quote(name))
}

/// Where it is told which files fill disks, a line each: a fault that lost all else is found by them. On disk, as the files
/// are.
pub(super) const FILLED_DIR: &str = "/var/lib/schism/filled";

const FILL: &str = r#"file="$folder/.schism-full-$name"
free() {
  set -- $(stat -f -c '%f %S' "$folder")
  echo "$(($1 * $2))"
}
want=$(($(free) - leave))
if [ "$want" -gt "$most" ]; then
  echo "filling $folder would take $want bytes" >&2
  exit 3
fi
umask 077
mkdir -p /var/lib/schism/filled && printf '%s\n' "$file" >"/var/lib/schism/filled/$name" || exit 1
: >>"$file" || exit 1
# Through one descriptor: where the file is removed meanwhile, as the lease has run out, it must not come into being again.
exec 3>>"$file" || exit 1
if [ "$want" -gt 8388608 ] && fallocate -l 4096 /proc/self/fd/3 2>/dev/null; then
  # Blocks that are taken and not written take no time. A file system may keep some for itself: then half as much, and so on.
  at=0 chunk=$((want - 4194304))
  while [ "$chunk" -ge 65536 ]; do
    if fallocate -o "$at" -l "$chunk" /proc/self/fd/3 2>/dev/null; then
      at=$((at + chunk))
      [ "$at" -ne "$((want - 4194304))" ] || break
    else
      truncate -s "$at" /proc/self/fd/3 || break
    fi
    chunk=$((chunk / 2))
  done
elif [ "$want" -gt 8388608 ]; then
  dd if=/dev/zero bs=1048576 count="$((want / 1048576 - 4))" >&3 2>/dev/null
fi
for size in 1048576 65536 4096 512; do
  while [ -e "$file" ] && [ "$(free)" -ge "$((leave + size))" ]; do
    dd if=/dev/zero bs="$size" count=1 >&3 2>/dev/null || break
  done
done
true
"#;

/// Removes what [`disk_fill`] made.
pub fn disk_unfill(folder: &str, name: &str) -> String {
    format!(
        "file={}/.schism-full-{name}
rm -f \"$file\"
[ ! -e \"$file\" ] || exit 1
rm -f {FILLED_DIR}/{name}
rmdir {FILLED_DIR} 2>/dev/null
true
",
        quote(folder.trim_end_matches('/')),
        name = quote(name)
    )
}

/// Bytes free in the file system of a folder (what root may use included).
pub fn disk_free(folder: &str) -> String {
    format!("set -- $(stat -f -c '%f %S' {})\necho \"$(($1 * $2))\"\n", quote(folder))
}

/// Why a disk can be filled neither with a file of that size nor, where that is asked too, by our file system; nothing
/// where it can.
pub fn fill_missing(usual: &str, most: u64, or_fuse: bool) -> String {
    let fuse = if or_fuse { " && ! { [ -c /dev/fuse ] && ( : <>/dev/fuse ); } 2>/dev/null" } else { "" };
    format!(
        "folder={}
[ -d \"$folder\" ] || folder=/var/lib
set -- $(stat -f -c '%f %S' \"$folder\")
if [ \"$(($1 * $2))\" -gt {most} ]{fuse}; then
  echo \"$(($1 * $2)) bytes are free there, more than {most}\"
fi
true
",
        quote(usual)
    )
}

/// Mounts a folder read-only over itself; the number of the mount and the folder are kept. Whoever has its files open writes on.
pub fn read_only_mount(folder: &str, name: &str) -> String {
    format!("{}{READ_ONLY_MOUNT}", read_only_head(folder, name))
}

/// Takes that mount away again.
pub fn read_only_undo(folder: &str, name: &str) -> String {
    format!("{}{READ_ONLY_UNDO}", read_only_head(folder, name))
}

fn read_only_head(folder: &str, name: &str) -> String {
    format!("folder={} name={}\n{READ_ONLY_HEAD}", quote(folder.trim_end_matches('/')), quote(name))
}

/// `shown` is the folder as it stands in mountinfo; `top` prints the number of what is mounted last there.
const READ_ONLY_HEAD: &str = r#"umask 077
mkdir -p /run/schism/read-only || exit 1
kept="/run/schism/read-only/$name"
shown=$(printf '%s\n' "$folder" | sed 's/\\/\\134/g; s/ /\\040/g; s/\t/\\011/g')
top() {
  found=
  while read -r id _parent _device _root point _rest; do
    [ "$point" != "$shown" ] || found=$id
  done </proc/self/mountinfo
  echo "$found"
}
"#;

const READ_ONLY_MOUNT: &str = r#"printf 'begun\n%s\n' "$folder" >"$kept" || exit 1
mount --bind "$folder" "$folder" || exit 1
printf '%s\n%s\n' "$(top)" "$folder" >"$kept"
# Whoever writes a file at this very moment makes it busy.
tries=0
until mount -o remount,bind,ro "$folder"; do
  tries=$((tries + 1))
  [ "$tries" -lt 40 ] || exit 1
  sleep 0.05
done
"#;

const READ_ONLY_UNDO: &str = r#"[ -e "$kept" ] || exit 0
read -r ours <"$kept"
# Between the mount and the note of its number: what is mounted there is ours if it is the folder over itself.
if [ "$ours" = begun ]; then
  ours=
  while read -r id _parent _device root point _rest; do
    if [ "$point" = "$shown" ] && [ "${shown%"$root"}" != "$shown" ]; then ours=$id; fi
  done </proc/self/mountinfo
fi
there() {
  while read -r id _rest; do
    [ "$id" != "$ours" ] || return 0
  done </proc/self/mountinfo
  return 1
}
if [ -n "$ours" ] && there; then
  if [ "$(top)" != "$ours" ]; then
    echo "something else is mounted over $folder since" >&2
    exit 1
  fi
  umount "$folder" || umount -l "$folder" || exit 1
fi
rm -f "$kept"
"#;

/// Leaves two marks on a disk: a file that is synced, and one that was synced empty and then written without a sync. Prints
/// the bytes of each.
pub fn disk_mark(folder: &str, name: &str) -> String {
    let argv = ["perl", "-e", MARK, "--", folder, name];
    format!("exec {}\n", words(&argv))
}

const MARK: &str = r#"use strict; use Fcntl; use IO::Handle;
my ($folder, $name) = @ARGV;
sub made { my ($kind) = @_; sysopen(my $file, "$folder/.schism-$kind-$name", O_RDWR | O_CREAT | O_TRUNC, 0600) or die "$kind: $!\n"; $file }
my ($kept, $lost) = (made("synced"), made("unsynced"));
syswrite($kept, "s" x 8192) == 8192 or die "synced: $!\n";
$kept->sync or die "synced: $!\n";
$lost->sync or die "unsynced: $!\n";
my $dir;
sysopen($dir, $folder, O_RDONLY) and $dir->sync;
syswrite($lost, "u" x 8192) == 8192 or die "unsynced: $!\n";
print "8192 8192\n";
"#;

/// Removes what our probes and marks left in a folder.
pub fn disk_clean(folder: &str, name: &str) -> String {
    format!(
        "folder={} name={}
for kind in probe synced unsynced; do rm -f \"$folder/.schism-$kind-$name\"; done
true
",
        quote(folder),
        quote(name)
    )
}

/// Counts the bytes of each mark that are there and not zero (`synced` first; `none` where the file is gone), keeps the
/// counts outside the data, where they were not counted before, and removes the marks.
pub fn disk_marks_count(folder: &str, name: &str) -> String {
    format!("folder={} name={}\n{MARKS_COUNT}", quote(folder), quote(name))
}

const MARKS_COUNT: &str = r#"probe="$folder/.schism-probe-$name"
if ! ( : >"$probe" ) || ! rm -f "$probe"; then
  echo "the disk of $folder is not back" >&2
  exit 1
fi
mkdir -p /run/schism/marks || exit 1
for kind in synced unsynced; do
  file="$folder/.schism-$kind-$name"
  if [ -e "$file" ]; then tr -d '\000' <"$file" | wc -c; else echo none; fi
done >"/run/schism/marks/$name.new"
if [ -e "/run/schism/marks/$name" ]; then
  rm -f "/run/schism/marks/$name.new"
else
  mv "/run/schism/marks/$name.new" "/run/schism/marks/$name"
fi
rm -f "$folder/.schism-synced-$name" "$folder/.schism-unsynced-$name"
"#;

/// Prints what [`disk_marks_count`] kept, and forgets it.
pub fn disk_marks_told(name: &str) -> String {
    format!(
        "name={}\ncat \"/run/schism/marks/$name\"\nrm -f \"/run/schism/marks/$name\"\nrmdir /run/schism/marks 2>/dev/null\ntrue\n",
        quote(name)
    )
}

/// Prints the SHA-256 and the size of a file, and the byte at each of these places.
pub fn file_look(path: &str, offsets: &[u64]) -> String {
    let mut script =
        format!("path={}\nset -- $(sha256sum <\"$path\") && echo \"$1\" || exit 1\nwc -c <\"$path\"\n", quote(path));
    for offset in offsets {
        script += &format!("od -An -v -tu1 -j {offset} -N 1 \"$path\"\n");
    }
    script
}

/// Keeps a copy of a folder while these processes stand still (`kill -s STOP` before, `CONT` after). Prints the number of
/// files. Ends with status 3 where it holds more than `most` bytes.
pub fn copy_keep(folder: &str, name: &str, most: u64, stop: &str, cont: &str) -> String {
    format!(
        "folder={} kept={}/{} most={most}
bytes=$(du -sk \"$folder\" | cut -f 1)
if [ \"$((bytes * 1024))\" -gt \"$most\" ]; then
  echo \"$folder holds $bytes KiB\" >&2
  exit 3
fi
umask 077
rm -rf \"$kept\"
mkdir -p \"$kept\" || exit 1
cont() {{ sh -c {cont}; }}
trap cont EXIT HUP INT TERM
sh -c {stop}
cp -a \"$folder/.\" \"$kept/\" || exit 1
find \"$kept\" -type f | wc -l
",
        quote(folder),
        quote(COPIES_DIR),
        quote(name),
        stop = quote(stop),
        cont = quote(cont),
    )
}

/// Puts the copy back in the place of what is there; nobody may have files of it open. `pattern` is empty, or says which
/// files (below the folder, as `find -path` says it). Prints how many files differ from what was there, and how many from
/// the copy now.
pub fn copy_put(folder: &str, name: &str, pattern: &str) -> String {
    format!(
        "folder={} kept={}/{} pattern={}\n{COPY_PUT}",
        quote(folder),
        quote(COPIES_DIR),
        quote(name),
        quote(pattern)
    )
}

const COPY_PUT: &str = r#"[ -d "$kept" ] || { echo "there is no copy in $kept" >&2; exit 1; }
listed() {
  ( cd "$1" && find . -type f -path "./${pattern:-*}" -exec sha256sum {} + | sort -k 2 )
}
differing() { printf '%s\n%s\n' "$1" "$2" | sort | uniq -u | sed 's/^[0-9a-f]*  //' | sort -u | grep -c . ; true; }
old=$(listed "$kept")
now=$(listed "$folder")
if [ -z "$pattern" ]; then
  find "$folder" -mindepth 1 -delete || exit 1
  cp -a "$kept/." "$folder/" || exit 1
else
  ( cd "$kept" && find . -type f -path "./$pattern" ) | while IFS= read -r file; do
    mkdir -p "$folder/${file%/*}" && cp -a "$kept/$file" "$folder/$file" || exit 1
  done || exit 1
fi
sync
differing "$old" "$now"
differing "$old" "$(listed "$folder")"
"#;

/// Removes the copy.
pub fn copy_remove(name: &str) -> String {
    format!("rm -rf {0}/{1}\nrmdir {0} 2>/dev/null\n[ ! -e {0}/{1} ]\n", quote(COPIES_DIR), quote(name))
}
