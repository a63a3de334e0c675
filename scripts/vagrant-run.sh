#!/bin/sh
# A run over real Vagrant machines: libvirt and QEMU in namespaces of their own, a box built on the spot, our own Vagrantfile.
#   vagrant-run.sh SCHISM [COMMAND ...]
# With a COMMAND the machines are brought up, it is run beside them in place of the tests, and they are destroyed.
#
# Needs root, Vagrant with vagrant-libvirt, libvirt's daemons, dnsmasq, QEMU and what `vagrant/box.sh` needs; without them it is passed
# over with the reason. Nothing is installed, no daemon of this machine is used, and all that is started ends with one process.
# Under emulation it takes about 20 minutes on two cores. Hands: SCHISM_TEST_BOX (a box that box.sh made), SCHISM_LIBVIRT_DRIVER (qemu),
# SCHISM_MEMORY_MB (512), TMPDIR (6 GB).
set -eu
PATH="$PATH:/usr/sbin:/sbin"
export PATH LC_ALL=C
say() { echo "vagrant: $*" >&2; }
pass_over() { say "passed over: $*"; exit 0; }
fail() { say "FAILED: $*"; exit 1; }

outside() {
  [ "$(id -u)" = 0 ] || pass_over "namespaces with libvirt in them need root"
  for tool in vagrant libvirtd virtlogd virsh dnsmasq qemu-system-x86_64 qemu-img mke2fs unshare ip ssh; do
    command -v "$tool" >/dev/null || pass_over "$tool is not on this machine"
  done
  [ -c /dev/net/tun ] || pass_over "/dev/net/tun is not on this machine"
  if [ -z "${SCHISM_TEST_BOX:-}" ] && ! command -v mmdebstrap >/dev/null && ! command -v debootstrap >/dev/null; then
    pass_over "neither mmdebstrap nor debootstrap is on this machine, and SCHISM_TEST_BOX names no box"
  fi
  [ -x "${1:-}" ] || { echo "usage: vagrant-run.sh SCHISM [COMMAND ...]" >&2; exit 64; }
  schism=$(realpath "$1")
  shift
  work=$(mktemp -d)
  # QEMU's monitors are sockets, whose paths are short; and what is left when all is over is judged.
  trap 'rm -rf "$work"' EXIT
  trap 'exit 130' INT TERM HUP
  chmod 711 "$work"
  HOME=$work VAGRANT_HOME=$work/asked VAGRANT_CHECKPOINT_DISABLE=1 vagrant plugin list 2>/dev/null | grep -q vagrant-libvirt ||
    pass_over "Vagrant has no vagrant-libvirt"
  before=$(traces)
  if [ -n "${SCHISM_TEST_BOX:-}" ]; then
    ln -s "$(realpath "$SCHISM_TEST_BOX")" "$work/box"
  else
    say "building a box (five minutes)"
    sh "$folder/../vagrant/box.sh" "$work/box" etcd-server
  fi
  status=0
  SCHISM_VAGRANT_INSIDE=$work unshare --net --mount --pid --ipc --fork --kill-child --mount-proc -- sh "$0" "$schism" "$@" || status=$?
  after=$(traces)
  [ "$before" = "$after" ] || fail "left behind on this machine: before: $before; after: $after"
  return "$status"
}

# What libvirt leaves on machines that it is not kept away from.
traces() {
  ip -o link show type bridge | grep -c virbr || true
  { iptables-save; nft list tables; } 2>/dev/null | grep -c LIBVIRT || true
  find /var/lib/libvirt /var/cache/libvirt /var/log/libvirt /etc/libvirt /run/libvirt ~/.vagrant.d 2>/dev/null | sort | cksum
  mount | grep -c "${work:-none}" || true
}

# Folders of libvirt's that are on this machine's disk, by ones of ours; the network's own view of devices.
furnish() {
  export HOME="$work/home"
  ip link set lo up
  mount --make-rprivate /
  mount -t sysfs sysfs /sys
  mount -t tmpfs -o mode=755 run /run
  mkdir -p /run/lock "$work/etc" "$work/home" "$work/lib/images" "$work/lib/qemu" "$work/lib/dnsmasq" "$work/lib/boot" "$work/cache" "$work/log/qemu"
  cp -a /etc/libvirt/. "$work/etc"
  rm -rf "$work"/etc/qemu/autostart "$work"/etc/qemu/networks/autostart "$work"/etc/storage "$work"/etc/qemu/*.xml
  printf '%s\n' 'user = "root"' 'group = "root"' 'security_driver = "none"' 'cgroup_controllers = []' 'namespaces = []' >>"$work/etc/qemu.conf"
  for place in etc:/etc/libvirt lib:/var/lib/libvirt cache:/var/cache/libvirt log:/var/log/libvirt; do
    mkdir -p "${place#*:}"
    mount --bind "$work/${place%%:*}" "${place#*:}"
  done
  virtlogd -d >"$work/virtlogd.log" 2>&1
  libvirtd -d >"$work/libvirtd.log" 2>&1
  tries=0
  until virsh -c qemu:///system list >/dev/null 2>&1; do
    tries=$((tries + 1))
    [ "$tries" -lt 100 ] || { tail "$work/libvirtd.log" >&2; fail "libvirtd does not answer"; }
    sleep 0.3
  done
  cp -r "$folder/../vagrant" "$work/vagrant"
  export VAGRANT_HOME="$work/home/vagrant" VAGRANT_CWD="$work/vagrant" VAGRANT_DEFAULT_PROVIDER=libvirt
  export VAGRANT_CHECKPOINT_DISABLE=1 VAGRANT_BOX_UPDATE_CHECK_DISABLE=1
  export SCHISM_BOX=schism-box SCHISM_NODES=3 SCHISM_PACKAGES=etcd-server SCHISM_MEMORY_MB="${SCHISM_MEMORY_MB:-512}"
  # What says that KVM is there does not say that it boots anything.
  export SCHISM_LIBVIRT_DRIVER="${SCHISM_LIBVIRT_DRIVER:-qemu}"
}

# `vagrant ...`, without the bars of its progress.
machines() {
  status=0
  vagrant "$@" >"$work/out" 2>&1 || status=$?
  tr '\r' '\n' <"$work/out" | grep -av 'Progress: ' >"$work/said" || true
  [ "$status" = 0 ] || { tail -n 30 "$work/said" >&2; fail "\`vagrant $*\` ended with $status"; }
}

on() { # NODE COMMAND, whose standard input is this one's
  node=$1
  shift
  ssh -F "$work/ssh" -o ConnectTimeout=60 "$node" "$@"
}

# Waits until a command succeeds: SECONDS WHAT COMMAND ...
await() {
  seconds=$1 what=$2 begun=$(date +%s)
  shift 2
  until "$@"; do
    [ $(($(date +%s) - begun)) -lt "$seconds" ] || fail "$what, not within $seconds s"
    sleep 2
  done
  say "$what after $(($(date +%s) - begun)) s"
}

inside() {
  schism=$1 work=$SCHISM_VAGRANT_INSIDE
  shift
  folder_runs=$work/runs
  export SCHISM_RUNS="$folder_runs"
  furnish
  cd "$work"
  machines box add --name schism-box --provider libvirt "$work/box"
  begun=$(date +%s)
  machines up
  say "three machines up after $(($(date +%s) - begun)) s"
  vagrant ssh-config >"$work/ssh"
  if [ $# -gt 0 ]; then
    "$@"
    machines destroy -f
    return
  fi
  exec </dev/null
  provisioned
  faults
  leases
  machines halt n3
  virsh -c qemu:///system list --state-shutoff --name | grep -q 'n3$' || fail "n3 is not off after halt: $(cat "$work/said")"
  machines destroy -f
  ! virsh -c qemu:///system list --all --name | grep . || fail "machines are left after \`vagrant destroy\`"
  say "all good"
}

# Provisioning was really done, and doctor finds what it brought.
provisioned() {
  for at in 1 2 3; do
    said=$(on "n$at" 'cat /etc/schism/address /etc/schism/time-daemon /proc/1/comm; hostname; command -v etcd; ls /usr/sbin/policy-rc.d' 2>&1) || true
    expected="192.168.56.1$at systemd-timesyncd systemd n$at /usr/bin/etcd ls: cannot access '/usr/sbin/policy-rc.d': No such file or directory"
    [ "$(echo "$said" | paste -sd' ')" = "$expected" ] || fail "n$at is provisioned otherwise: $said"
  done
  # A machine that has just been made may be slower than the time that doctor gives it.
  tries=0
  until "$schism" doctor --inventory vagrant >"$work/doctor"; do
    tries=$((tries + 1))
    [ "$tries" -lt 3 ] || { cat "$work/doctor" >&2; fail "doctor finds something missing"; }
  done
  for at in 1 2 3; do
    for line in 'root  *root' 'nft  */' 'netem  *delay' 'clock  *it may be set' 'time daemon  *systemd-timesyn' 'boot  *systemd' 'agent  *x86_64'; do
      grep -Eq "^good  *n$at: $line" "$work/doctor" || { cat "$work/doctor" >&2; fail "doctor does not say of n$at: $line"; }
    done
  done
  say "provisioned; doctor agrees"
}

# What each fault needs of slow machines: members that do not take slowness for death.
slow="--set database.etcd.heartbeat_ms=400 --set database.etcd.election_ms=3000 --set database.etcd.operation_timeout_ms=4000 --set database.etcd.ready_timeout_ms=180000"

faults() {
  status=0
  # shellcheck disable=SC2086
  "$schism" run etcd/register --inventory vagrant --vagrant-up --nodes 3 --faults partition,kill,clock-jump --seed 1140197242 \
    --concurrency 1n --rate 10 --time-limit 420s $slow --lease 120s \
    --set 'schedule={kind: cycle, quiet_start: 5s, interval: 8s, duration: 12s, recovery: 60s}' >"$work/told" 2>"$work/errors" || status=$?
  if [ "$status" != 0 ]; then
    cat "$work/told" >&2
    tail -n 20 "$work/errors" >&2
    fail "etcd/register ended with $status"
  fi
  for class in partition kill clock-jump; do
    for state in injected healed; do
      landed "$class" "$state" "$folder_runs" || { cat "$work/told" >&2; fail "$class was not $state"; }
    done
  done
  say "etcd/register is valid under partition, kill and clock-jump, each landed and healed"
}

# Of ours nothing is on the node: no lease, no unit of systemd, no table.
clean() {
  on "$1" sudo sh -s <<'REMOTE' >/dev/null 2>&1
[ ! -e /var/lib/schism/leases ] || exit 1
[ ! -e /etc/systemd/system/schism-leases.service ] && [ ! -L /etc/systemd/system/multi-user.target.wants/schism-leases.service ] || exit 1
[ -z "$(systemctl list-units --plain --no-legend 'schism-lease-*')" ] || exit 1
[ -z "$(nft list tables | grep schism)" ]
REMOTE
}
landed() { # CLASS STATE RUNS
  grep "\"class\":\"$1\"" "$3/latest/faults.jsonl" 2>/dev/null | grep -q "\"state\":\"$2\""
}
harmed() { landed dns injected "$work/lease-runs" && landed partition injected "$work/lease-runs"; }
woke() { [ "$(on n1 cat /proc/sys/kernel/random/boot_id 2>/dev/null || echo "$boot")" != "$boot" ]; }

# A controller that dies while two faults are on, and a machine that is booted again under one of them: each node undoes by itself.
leases() {
  cat >"$work/lease.yaml" <<'SUITE'
about: Faults that nobody ends
database: { etcd: {} }
workload: { register: {} }
nodes: 3
concurrency: 1n
rate_hz: 5
time_limit: 20m
# What fails to begin on slow machines is tried again.
schedule: { quiet_start: 1s, interval: 4s, duration: 60m }
faults:
  - dns: { targets: [[n1]], modes: wrong }
  - partition: {}
SUITE
  before=$(on n1 sha256sum /etc/hosts)
  boot=$(on n1 cat /proc/sys/kernel/random/boot_id)
  rm -rf "$work/lease-runs"
  # shellcheck disable=SC2086
  "$schism" run "$work/lease.yaml" --inventory vagrant $slow --lease 150s --seed 1 --runs "$work/lease-runs" >"$work/told" 2>&1 &
  controller=$!
  await 600 "two faults are on" harmed
  kill -KILL "$controller"
  [ "$(on n1 sha256sum /etc/hosts)" != "$before" ] || fail "names are as they were, though the fault is on"
  on n1 'test -e /etc/systemd/system/schism-leases.service && systemctl list-units --plain --no-legend "schism-lease-*" | grep -q running' ||
    fail "no unit of systemd holds the lease of n1"
  "$schism" status --inventory vagrant >"$work/status" || fail "status ended with $?"
  grep -q 'survives a restart (systemd)' "$work/status" || { cat "$work/status" >&2; fail "no lease of systemd"; }
  on n1 sudo systemctl reboot || true
  await 600 "n1 is in another boot" woke
  for node in n2 n3 n1; do
    await 600 "$node is clean by itself" clean "$node"
  done
  [ "$(on n1 sha256sum /etc/hosts)" = "$before" ] || fail "names are not as before"
  # The file is gone with the last lease; what systemd did in this boot it still knows.
  [ "$(on n1 systemctl is-active schism-leases.service)" = active ] || fail "systemd did not go on with the lease after the restart"
  "$schism" heal --inventory vagrant >/dev/null 2>&1 || fail "heal ended with $?"
}

folder=$(cd "$(dirname "$0")" && pwd)
if [ -n "${SCHISM_VAGRANT_INSIDE:-}" ]; then inside "$@"; else outside "$@"; fi
