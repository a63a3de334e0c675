#!/bin/sh
# Makes a machine a node: what faults and probes need, what the suite asked for, and two facts that schism reads.
#   provision.sh ADDRESS [PACKAGES]
set -eu
address=$1
packages="nftables iptables iproute2 procps perl util-linux e2fsprogs dmsetup kmod ${2:-}"
export DEBIAN_FRONTEND=noninteractive

# Databases are started and stopped by schism alone: their packages must start nothing by themselves.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
  printf '#!/bin/sh\nexit 101\n' >"$policy"
  chmod 755 "$policy"
  trap 'rm -f "$policy"' EXIT
fi
missing=
for package in $packages; do
  dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing="$missing $package"
done
if [ -n "$missing" ]; then
  apt-get update -q
  # Each word is a package.
  # shellcheck disable=SC2086
  apt-get install -q -y --no-install-recommends $missing
fi
systemctl disable --now etcd.service >/dev/null 2>&1 || true

# Which address the other nodes and the clients use: Vagrant itself only tells how to log in.
mkdir -p /etc/schism
printf '%s\n' "$address" >/etc/schism/address

# Clock faults stop the time daemon and start it again as it was found: it must be known.
daemon=none
for unit in chrony chronyd systemd-timesyncd ntp ntpd ntpsec openntpd; do
  if systemctl is-active --quiet "$unit" 2>/dev/null; then
    daemon=$unit
    break
  fi
done
printf '%s\n' "$daemon" >/etc/schism/time-daemon
