//! Tables of the device mapper: the device that a folder's file system lies on is told to be slow, or to fail, while it is
//! mounted.
//!
//! Only where that device is of linear targets alone already (a logical volume, or the data disk of a lab's machine), and
//! carries nothing of the system. A table is exchanged by `load` and `resume`, which is one call to the kernel: whoever dies
//! in between leaves the old table, and never a device that stands still.
//!
//! What is kept under [`MAPPER_DIR`], a folder a device: `owner` (whose fault), `device`, `original`, `harm` (tables), and
//! `mount` where the file system may have to be mounted anew. It ends with the boot, as tables do.

use schism_cluster::shell::{quote, words};

/// Where it is noted which tables are ours.
pub const MAPPER_DIR: &str = "/run/schism/mapper";

/// A target in place of a linear one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MapperHarm {
    /// `delay \2 0 \2 20`: the target and its parameters, where `\2` is the device below and where it begins there.
    pub target: String,
    /// Reads fail: udev, where it runs, would lose sight of the device, and take its mount away.
    pub reads_fail: bool,
    /// The file system may end by it, and has to be mounted anew then: it must be mounted once only, with nothing below.
    pub remount: bool,
}

impl MapperHarm {
    fn head(&self, folder: &str) -> String {
        let flag = |on: bool| if on { "yes" } else { "no" };
        format!(
            "folder={} harm={} reads_fail={} remount={}\n{HEAD}{LOCATE}{FIND}",
            quote(folder),
            quote(&self.target),
            flag(self.reads_fail),
            flag(self.remount)
        )
    }
}

/// Everything is done one at a time where the node has `flock`. `udev` are the words without which dmsetup would wait for a
/// udev that is not there, or slow.
const HEAD: &str = r#"umask 077
PATH="$PATH:/usr/sbin:/sbin"
all=/run/schism/mapper
udev=--noudevsync
[ -S /run/udev/control ] || udev='--noudevrules --noudevsync'
alone() {
  mkdir -p "$all" || exit 1
  exec 9>>"$all.lock" || exit 1
  if command -v flock >/dev/null; then flock 9; fi
}
mounts() {
  while read -r _id _parent _number _rest; do
    [ "$_number" != "$number" ] || echo "$_id $_rest"
  done </proc/self/mountinfo
}
# The begin of each line is ours; of the rest newer kernels say more than they were told.
begins() { cut -d ' ' -f 1-5; }
"#;

/// `locate` finds what the folder lies on: `found`, `number`, `place`, and `device` where that is the device mapper's.
const LOCATE: &str = r#"locate() {
  found=$(stat -c %d "$folder" 2>/dev/null) || { echo "there is no $folder"; return 1; }
  number=$((found >> 8 & 4095)):$(((found & 255) | (found >> 12 & 1048320)))
  place=$all/$number device=''
  { read -r device <"/sys/dev/block/$number/dm/name"; } 2>/dev/null
  true
}
"#;

/// `find_device` finds that and `original`, or says why its table cannot be exchanged.
const FIND: &str = r#"find_device() {
  locate || return 1
  if [ -z "$device" ]; then
    echo "$folder lies on no device of the device mapper ($number)"
    return 1
  fi
  command -v dmsetup >/dev/null 2>&1 || { echo 'there is no dmsetup (package dmsetup)'; return 1; }
  for system in / /usr /etc /run /tmp /var /var/lib /var/lib/schism; do
    if [ "$(stat -c %d "$system" 2>/dev/null)" = "$found" ]; then
      echo "$system lies on the same device ($device)"
      return 1
    fi
  done
  if [ -e "$place/owner" ]; then
    echo "the fault $(cat "$place/owner") is on its device ($device)"
    return 1
  fi
  original=$(dmsetup table "$device") || return 1
  if [ -z "$original" ] || printf '%s\n' "$original" | grep -qvE '^[0-9]+ [0-9]+ linear [0-9]+:[0-9]+ [0-9]+ *$'; then
    echo "its device ($device) is more than linear"
    return 1
  fi
  stands=''
  { read -r stands <"/sys/dev/block/$number/dm/suspended"; } 2>/dev/null
  [ "$stands" = 0 ] || { echo "its device ($device) is suspended"; return 1; }
}
harmed() { printf '%s\n' "$original" | sed -E "s,^([0-9]+ [0-9]+) linear ([0-9]+:[0-9]+ [0-9]+) *\$,\\1 $harm,"; }
may() {
  if [ "$reads_fail" = yes ] && [ -S /run/udev/control ]; then
    echo "udev, which runs here, would lose a device ($device) that cannot be read"
    return 1
  fi
  [ "$remount" = yes ] || return 0
  set -- $(mounts | wc -l) "$(mounts)"
  if [ "$1" != 1 ]; then
    echo "its device ($device) is mounted $1 times"
    return 1
  fi
  set -- $2
  if [ "$2" != / ]; then
    echo "a part of its device ($device) is mounted alone"
    return 1
  fi
  while read -r _id _parent _number _root _other _rest; do
    case $_other in
      "$3"/*)
        echo "something else is mounted below it ($_other)"
        return 1 ;;
    esac
  done </proc/self/mountinfo
}
# Under another name, and never made active.
try() {
  scratch=schism-try-$$
  dmsetup create $udev --notable "$scratch" >/dev/null 2>&1 || { echo 'the kernel makes no device'; return 1; }
  said=$(harmed | dmsetup load "$scratch" 2>&1)
  status=$?
  dmsetup remove $udev "$scratch" >/dev/null 2>&1
  [ "$status" = 0 ] || echo "the kernel does not take \`${harm%% *}\`: $(printf '%s' "$said" | tr '\n' ' ')"
  return "$status"
}
"#;

/// Why this harm cannot be done to the device of a folder; nothing where it can. What is tried is tried on a device of its
/// own that is never made active.
pub fn mapper_missing(folder: &str, harm: &MapperHarm) -> String {
    format!("{}find_device && may && try\ntrue\n", harm.head(folder))
}

/// Why the device of a folder can neither be slow nor fail, for `schism doctor`; nothing where it can.
pub fn mapper_doctor(folder: &str) -> String {
    let harm = |target: &str, remount| {
        let harm = MapperHarm { target: target.to_owned(), reads_fail: false, remount };
        format!("(\n{})\n", mapper_missing(folder, &harm))
    };
    harm(r"delay \2 1 \2 1 \2 1", false) + &harm(r"flakey \2 0 1 1 error_writes", true)
}

/// Exchanges the table of the device of a folder; prints the new one. Ends with status 3 where it may not.
pub fn mapper_start(folder: &str, name: &str, harm: &MapperHarm) -> String {
    format!("name={}\n{}{START}", quote(name), harm.head(folder))
}

const START: &str = r#"alone
if reason=$(find_device && may); then
  find_device && mkdir -p "$place" || exit 1
  printf '%s\n' "$device" >"$place/device" && printf '%s\n' "$original" >"$place/original" &&
    harmed >"$place/harm" && : >"$place/mount" || exit 1
  [ "$remount" = no ] || mounts >"$place/mount" || exit 1
  printf '%s\n' "$name" >"$place/owner.new" && mv -f "$place/owner.new" "$place/owner" || exit 1
  dmsetup load "$device" "$place/harm" && dmsetup resume --nolockfs $udev "$device" || exit 1
else
  owner=''
  locate && { read -r owner <"$place/owner"; } 2>/dev/null
  if [ "$owner" != "$name" ]; then
    echo "$reason" >&2
    exit 3
  fi
fi
dmsetup table "$device"
"#;

/// Puts the table back. Where writes failed, or the file system ended by the harm, kills who has files of it open, checks it
/// and mounts it anew. A table that somebody else has changed since stays.
pub fn mapper_undo(name: &str) -> String {
    format!("name={}\n{HEAD}alone\n{UNDO}", quote(name))
}

const UNDO: &str = r#"cd /
owned() {
  owner=
  { read -r owner <"$place/owner"; } 2>/dev/null
  [ "$owner" = "$name" ]
}
put_back() {
  original=$(cat "$place/original") && now=$(dmsetup table "$device") || return 1
  dmsetup clear "$device" >/dev/null
  if [ "$now" != "$original" ]; then
    if [ "$(printf '%s\n' "$now" | begins)" = "$(begins <"$place/harm")" ]; then
      dmsetup load "$device" "$place/original" || return 1
    elif printf '%s\n' "$now" | grep -qvE '^[0-9]+ [0-9]+ linear '; then
      echo "somebody else has changed the table of $device since: $now" >&2
      return 1
    fi
  fi
  # Also what another has left standing.
  dmsetup resume --nolockfs $udev "$device"
}
well() {
  [ -n "$(mounts)" ] || return 1
  dd if=/dev/zero of="$point/.schism-well-$name" bs=512 count=1 conv=fsync 2>/dev/null && rm "$point/.schism-well-$name"
}
holders() {
  hex=$(printf '%02x:%02x' "${number%:*}" "${number#*:}") dev=$(stat -c %d "$point")
  {
    grep -hsE "^[0-9]+ [0-9]+ $number " /proc/[0-9]*/mountinfo
    grep -hsF " $raw/" /proc/[0-9]*/mountinfo | grep ' - fuse[^ ]* schism-faultfs-'
  } | cut -d ' ' -f 1 | sort -u | while read -r id; do
    grep -ls "^mnt_id:[[:space:]]*$id\$" /proc/[0-9]*/fdinfo/* 2>/dev/null
  done
  [ -z "$(mounts)" ] || stat -L -c '%d %n' /proc/[0-9]*/cwd /proc/[0-9]*/root 2>/dev/null | sed -n "s/^$dev //p"
  grep -ls " $hex " /proc/[0-9]*/maps 2>/dev/null
}
unmount() {
  tries=0
  while [ -n "$(mounts)" ] && [ "$tries" -lt 50 ]; do
    for pid in $(holders | cut -d / -f 3 | sort -u); do
      [ "$pid" = "$$" ] || [ "$pid" = 1 ] || kill -s KILL "$pid" 2>/dev/null
    done
    sleep 0.1
    # Our own file system, put over a folder of it by another fault.
    grep -F " $raw/" /proc/self/mountinfo | grep ' - fuse[^ ]* schism-faultfs-' | cut -d ' ' -f 5 |
      while read -r below; do umount -l "$(printf '%b' "$below")"; done
    umount "$point" 2>/dev/null
    tries=$((tries + 1))
  done
  if [ -n "$(mounts)" ]; then
    echo "$point cannot be unmounted: somebody holds it" >&2
    return 1
  fi
}
mount_anew() {
  unmount || return 1
  case $type in
    ext[234])
      command -v e2fsck >/dev/null && e2fsck -p "$source" >&2
      [ "$?" -lt 4 ] || { echo "the file system of $source is damaged" >&2; return 1; } ;;
  esac
  mount -t "$type" -o "$options" "$source" "$point" || return 1
  well || { echo "$point is not well though it was mounted anew" >&2; return 1; }
}
for place in "$all"/*:*; do
  owned || continue
  number=${place##*/} device=$(cat "$place/device") is=
  { read -r is <"/sys/dev/block/$number/dm/name"; } 2>/dev/null
  if [ "$is" = "$device" ]; then
    anew=no
    if [ -s "$place/mount" ]; then
      read -r _id _root raw options rest <"$place/mount"
      point=$(printf '%b' "$raw") rest=${rest##*- }
      type=${rest%% *} source=${rest#* } above=${rest##* }
      source=$(printf '%b' "${source%% *}") options=$(printf '%s' "$options,$above" | sed 's/,seclabel//g')
      # After writes that failed nothing is well, whatever it says: it finds out when it writes its metadata back. It goes
      # while they fail still, as what was not synced is in memory and must not be written now.
      case $(cat "$place/harm") in
        *error_writes*) anew=yes ;;
        *error_reads* | *delay*) ;;
        *) anew=yes ;;
      esac
      [ "$anew" = no ] || unmount
    fi
    put_back || exit 1
    [ ! -s "$place/mount" ] || { [ "$anew" = no ] && well; } || mount_anew || exit 1
  fi
  rm -rf "$place" || exit 1
done
true
"#;

/// Says what is left of a fault, or that the device of the folder is not as it was; nothing where all is well.
pub fn mapper_left(folder: &str, name: &str) -> String {
    format!(
        "folder={} name={}\n{HEAD}{LOCATE}for owner in \"$all\"/*/owner; do
  [ ! -e \"$owner\" ] || [ \"$(cat \"$owner\")\" != \"$name\" ] || echo \"the table of ${{owner%/owner}} is not put back\"
done
locate || exit 0
[ -z \"$device\" ] || [ -e \"$place/owner\" ] || dmsetup table \"$device\" | grep -vE ' linear ' || true
",
        quote(folder),
        quote(name),
    )
}

/// Says whose fault is on the device of a folder; nothing where there is none.
pub fn mapper_look(folder: &str) -> String {
    let look = "! locate || [ ! -e \"$place/owner\" ] || cat \"$place/owner\"\n";
    format!("folder={}\n{HEAD}{LOCATE}{look}", quote(folder))
}

/// Tries the device below a folder's file system, past the page cache; lines as those of [`super::disk_probe`], and `device`
/// for a read of the device itself.
pub fn mapper_probe(folder: &str, name: &str, rounds: u32) -> String {
    let rounds = rounds.to_string();
    let file = format!("{folder}/.schism-probe-{name}");
    format!(
        "folder={}\nset -- $(stat -f -c '%f %S' \"$folder\" 2>/dev/null || echo 0 0)
printf 'free %s 0\\n' \"$(($1 * $2))\"
found=$(stat -c %d \"$folder\")
device=/dev/dm-$(((found & 255) | (found >> 12 & 1048320)))
[ -b \"$device\" ] || device=
exec {perl} \"$device\"
",
        quote(folder),
        perl = words(&["perl", "-e", PROBE, "--", &file, &rounds]),
    )
}

/// O_DIRECT wants memory at an address of whole blocks: the bytes at such a place of a longer text.
const PROBE: &str = r#"use strict; use Fcntl qw(:DEFAULT); use IO::Handle;
my ($file, $rounds, $device) = @ARGV;
$| = 1;
$SIG{$_} = sub { unlink $file; exit 1 } for qw(PIPE HUP TERM INT);
my $clock = eval { require Time::HiRes; sub { Time::HiRes::time() } }
  || sub { open(my $up, "<", "/proc/uptime") or return 0; (split " ", <$up>)[0] };
my $bytes = "\1" x 12288;
vec($bytes, 0, 8) = 1;
my $at = (4096 - unpack("J", pack("P", $bytes)) % 4096) % 4096;
sub try {
  my ($what, $do) = @_;
  my $begun = $clock->();
  $! = 0;
  my $done = $do->();
  my $error = $done ? 0 : ($! + 0 || 5);
  printf "%s %d %d\n", $what, $error, ($clock->() - $begun) * 1e6;
  return $done;
}
sub got {
  my ($path) = @_;
  sysopen(my $in, $path, O_RDONLY | O_DIRECT) or return 0;
  my $count = sysread $in, $bytes, 4096, $at;
  return defined $count && $count == 4096;
}
for (1 .. $rounds) {
  try("device", sub { got($device) }) if length $device;
  my $out;
  if (try("open", sub { sysopen $out, $file, O_RDWR | O_CREAT | O_TRUNC | O_DIRECT, 0600 })) {
    try("write", sub { (syswrite($out, $bytes, 4096, $at) || 0) == 4096 });
    try("fsync", sub { $out->sync });
    close $out;
    try("read", sub { got($file) });
    try("unlink", sub { unlink $file });
  }
}
unlink $file;
"#;

/// Puts back the tables of faults that lost their leases, told by what was noted of them; `ours` says whether a name is one
/// of ours. The lab's own device is also told by its name alone.
pub(super) fn mapper_left_behind(any: &str) -> String {
    format!(
        "{HEAD}{LOST}for file in \"$all\"/*:*/owner; do
  [ -e \"$file\" ] || continue
  read -r one <\"$file\"
  ours \"$one\" || continue
  if (
{undo}
  ) </dev/null; then
    echo \"removed the table of the device mapper $one\"
  else
    echo \"failed the table of the device mapper $one\"
  fi
done
",
        undo = mapper_undo(any).replace(any, "$one"),
    )
}

/// Trial devices of a probe that died, and the data disk of a lab's machine whose note is lost.
const LOST: &str = r#"command -v dmsetup >/dev/null 2>&1 || exit 0
dmsetup ls 2>/dev/null | cut -f 1 | grep -xE 'schism-try-[0-9]+' | while read -r scratch; do
  if dmsetup remove $udev "$scratch" >/dev/null 2>&1; then echo "removed the device $scratch"; fi
done
device=schism-data
now=$(dmsetup table "$device" 2>/dev/null)
if printf '%s\n' "$now" | grep -qE '^[0-9]+ [0-9]+ (delay|flakey) '; then
  number=$(dmsetup info -c --noheadings --separator : -o major,minor "$device")
  if [ ! -e "$all/$number/owner" ] && mkdir -p "$all/$number"; then
    echo "$device" >"$all/$number/device"
    printf '%s\n' "$now" >"$all/$number/harm"
    printf '%s\n' "$now" | sed -E 's,^([0-9]+ [0-9]+) (delay|flakey) ([0-9]+:[0-9]+ [0-9]+) .*,\1 linear \3,' >"$all/$number/original"
    mounts >"$all/$number/mount"
    echo lost-0 >"$all/$number/owner"
  fi
fi
"#;

#[cfg(test)]
mod tests {
    use super::super::testing::{posix, run};
    use super::*;

    fn slow() -> MapperHarm {
        MapperHarm { target: r"delay \2 0 \2 20 \2 0".to_owned(), reads_fail: false, remount: false }
    }

    #[test]
    fn they_are_posix_shell() {
        posix(&[
            mapper_missing("/var/a b", &slow()),
            mapper_start("/var/a b", "t-1", &slow()),
            mapper_undo("t-1"),
            mapper_doctor("/var/a b"),
            mapper_left("/var/a b", "t-1"),
            mapper_look("/var/a b"),
            mapper_probe("/var/a b", "t-1", 3),
            mapper_left_behind("nameofours"),
        ]);
    }

    /// The functions of the shell, without a device.
    fn said(harm: &MapperHarm, original: &str, then: &str) -> String {
        run(&format!("{}original={}\n{then}\n", harm.head("/nowhere"), quote(original)))
    }

    #[test]
    fn every_segment_of_a_table_is_harmed() {
        let original = "0 2097152 linear 254:16 0\n2097152 8 linear 8:33 2048 ";
        let harmed =
            "0 2097152 delay 254:16 0 0 254:16 0 20 254:16 0 0\n2097152 8 delay 8:33 2048 0 8:33 2048 20 8:33 2048 0";
        assert_eq!(said(&slow(), original, "harmed").trim_end(), harmed);
        assert_eq!(
            said(&slow(), original, "harmed | begins").trim_end(),
            "0 2097152 delay 254:16 0\n2097152 8 delay 8:33 2048"
        );
        // What a kernel adds to its parameters is no other table.
        let more = "printf '%s\\n' '0 8 flakey 8:1 0 0 1 2 error_reads error_writes' | begins";
        assert_eq!(said(&slow(), "", more).trim_end(), "0 8 flakey 8:1 0");
    }

    #[test]
    fn a_folder_of_the_system_is_left_alone() {
        let told = run(&mapper_missing("/", &slow()));
        assert!(
            told.contains("no device of the device mapper") || told.contains("/ lies on the same device"),
            "{told}"
        );
        assert_eq!(run(&mapper_missing("/no/such folder", &slow())).trim_end(), "there is no /no/such folder");
    }

    #[test]
    fn the_probe_works_past_the_page_cache() {
        // Not every file system in memory knows O_DIRECT.
        let disk = std::env::current_exe().unwrap();
        let folder = tempfile::tempdir_in(disk.parent().unwrap()).unwrap();
        let told = run(&mapper_probe(&folder.path().to_string_lossy(), "t-1", 2));
        for what in ["write", "fsync", "unlink"] {
            assert_eq!(told.lines().filter(|line| line.starts_with(&format!("{what} 0 "))).count(), 2, "{told}");
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
