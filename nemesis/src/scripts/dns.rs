//! Names: files of the resolver swapped and restored byte for byte, and a resolver of our own.

use schism_cluster::shell::{PROCESS_FUNCTIONS, detached, quote};

use super::lease::LEASE_HOLDS;

/// Where the files of a node are kept as they were; on disk, so that they outlive a reboot.
pub const KEPT_DIR: &str = "/var/lib/schism/kept";

/// Where the number of our resolver lies.
const RUN_DIR: &str = "/run/schism/dns";

/// Says the SHA-256 of a file under `/etc` on the first line (`absent` where there is none), and then what is in it.
pub fn etc_read(file: &str) -> String {
    format!(
        "file=/etc/{}
if [ ! -e \"$file\" ]; then echo absent; exit 0; fi
set -- $(sha256sum <\"$file\") && echo \"$1\" && cat \"$file\"
",
        quote(file)
    )
}

/// Puts standard input in place of a file under `/etc`, in place (it may be a mount or a link), and keeps what was there;
/// refuses where that is not what `sha256` (or `absent`) says.
pub fn etc_swap(name: &str, file: &str, sha256: &str) -> String {
    format!(
        "kept={KEPT_DIR}/{name} name={file} was={sha256}
file=/etc/$name
mkdir -p \"$kept\" || exit 1
if [ ! -e \"$kept/$name\" ] && [ ! -e \"$kept/$name.absent\" ]; then
  if [ -e \"$file\" ]; then
    cat \"$file\" >\"$kept/.new\" && mv \"$kept/.new\" \"$kept/$name\" || exit 1
  else
    : >\"$kept/$name.absent\" || exit 1
  fi
fi
now=absent
[ ! -e \"$kept/$name\" ] || {{ set -- $(sha256sum <\"$kept/$name\"); now=$1; }}
if [ \"$now\" != \"$was\" ]; then
  rm -f \"$kept/$name\" \"$kept/$name.absent\"
  echo \"$file has changed since it was looked at\" >&2
  exit 1
fi
cat >\"$kept/.new\" && mv \"$kept/.new\" \"$kept/$name.ours\" && cat \"$kept/$name.ours\" >\"$file\"
",
        name = quote(name),
        file = quote(file),
        sha256 = quote(sha256),
    )
}

/// Leaves our resolver behind; succeeds once it answers to a signal, which it does as soon as it is bound.
pub fn resolver_start(name: &str, command: &str) -> String {
    let log = format!("{RUN_DIR}/{name}.log");
    format!(
        "{}tries=0
until grep -q '^ready$' {log}; do
  read -r pid begun <{RUN_DIR}/{name}.pid
  tries=$((tries + 1))
  if [ \"$tries\" -gt 100 ] || ! kill -0 \"$pid\" 2>/dev/null; then tail -n 3 {log} >&2; exit 1; fi
  sleep 0.05
done
",
        detached(&format!("{LEASE_HOLDS}exec {command}"), &log, &format!("{RUN_DIR}/{name}.pid")),
    )
}

/// Ends our resolver and restores the files; succeeds only if nothing of ours is left. A file that somebody else has
/// changed meanwhile keeps that change: only what is between our marks is taken out.
pub fn names_undo(name: &str) -> String {
    format!(
        "{PROCESS_FUNCTIONS}name={name}
kept={KEPT_DIR}/$name run={RUN_DIR}/$name mark=schism-$name
same() {{ [ \"$(sha256sum <\"$1\")\" = \"$(sha256sum <\"$2\" 2>/dev/null)\" ]; }}
if [ -s \"$run.pid\" ]; then
  read -r pid begun <\"$run.pid\"
  tries=0
  while alive \"$pid\" \"$begun\"; do
    kill -s KILL \"$pid\" 2>/dev/null
    tries=$((tries + 1))
    [ \"$tries\" -le 100 ] || {{ echo \"process $pid does not end\" >&2; exit 1; }}
    sleep 0.05
  done
fi
rm -f \"$run.pid\" \"$run.pid.new\" \"$run.log\"
for base in hosts resolv.conf; do
  file=/etc/$base
  if [ -e \"$kept/$base.ours\" ] && same \"$kept/$base.ours\" \"$file\"; then
    if [ -e \"$kept/$base\" ]; then
      cat \"$kept/$base\" >\"$file\" && same \"$kept/$base\" \"$file\" || {{ echo \"$file is not as it was\" >&2; exit 1; }}
    else
      rm -f \"$file\" || exit 1
    fi
  elif grep -qF \"$mark\" \"$file\" 2>/dev/null; then
    mkdir -p \"$kept\" || exit 1
    sed -e \"/^# $mark begin$/,/^# $mark end$/d\" -e \"s/^# $mark: //\" \"$file\" >\"$kept/.new\" && cat \"$kept/.new\" >\"$file\" || exit 1
  fi
  if grep -qF \"$mark\" \"$file\" 2>/dev/null; then echo \"$file still has lines of ours\" >&2; exit 1; fi
done
rm -rf \"$kept\"
",
        name = quote(name),
    )
}

/// Says what of ours is left on the node.
pub fn names_leftover(name: &str) -> String {
    format!(
        "name={name}
for path in {KEPT_DIR}/$name {RUN_DIR}/$name.pid; do [ ! -e \"$path\" ] || echo \"$path\"; done
grep -HF \"schism-$name\" /etc/hosts /etc/resolv.conf 2>/dev/null
true
",
        name = quote(name),
    )
}

/// Looks these names up as programs of the node do, a line each: name, status of `getent`, milliseconds, addresses.
pub fn names_lookup(names: &[String]) -> String {
    let program = format!("{}{LOOKUP}", schism_cluster::probe::quality::CLOCK);
    let mut words = vec!["perl", "-e", &program, "--"];
    words.extend(names.iter().map(String::as_str));
    format!("exec {}\n", schism_cluster::shell::words(&words))
}

pub(super) const LOOKUP: &str = r#"my @open;
for my $name (@ARGV) {
  open my $said, "-|", "getent", "ahosts", $name or die "getent: $!\n";
  push @open, [$name, now(), $said];
}
for (@open) {
  my ($name, $begin, $said) = @$_;
  my %found;
  while (<$said>) { /^(\S+)/ and $found{$1} = 1 }
  close $said;
  printf "%s %d %d %s\n", $name, $? >> 8, (now() - $begin) / 1000, join ",", sort keys %found;
}
"#;
