#!/bin/sh
# Builds a box for Vagrant with libvirt out of Debian's own packages, where none can be downloaded: Debian 12 for x86-64 with
# systemd, its own boot loader, sshd, sudo, the login that Vagrant expects, and the packages of `provision.sh`.
#   box.sh FILE [PACKAGES]
# Needs root, mmdebstrap or debootstrap, mke2fs, qemu-img, a loop device, Debian's archive; five minutes and 3 GB. Installs nothing here;
# what it mounts is in a mount namespace of its own and goes with it.
set -eu
[ $# -ge 1 ] || { echo "usage: box.sh FILE [PACKAGES]" >&2; exit 64; }

if [ "${SCHISM_BOX_INSIDE:-}" != yes ]; then
  [ "$(id -u)" = 0 ] || { echo "box.sh: a file system can only be furnished as root" >&2; exit 77; }
  SCHISM_BOX_INSIDE=yes exec unshare --mount --pid --fork --kill-child --mount-proc -- sh "$0" "$@"
fi
box=$1 further=${2:-}
here=$(cd "$(dirname "$0")" && pwd)
PATH="$PATH:/usr/sbin:/sbin"
export PATH LC_ALL=C

# What a Vagrant machine is by itself; then what makes it a node, so that provisioning downloads nothing.
base="systemd-sysv dbus udev kmod linux-image-cloud-amd64 initramfs-tools extlinux openssh-server sudo ifupdown \
isc-dhcp-client iputils-ping systemd-timesyncd"
packages="$base $(sed -n 's/^packages="\(.*\) ${2:-}"$/\1/p' "$here/provision.sh") $further"
list=$(printf '%s' "$packages" | tr -s ' \n' ',')

work=$(mktemp -d "$(dirname "$box")/box.XXXXXX")
trap 'umount -R "$work/root" 2>/dev/null || true; rm -rf "$work"' EXIT
root=$work/root
mkdir "$root"

# What this boot loader reads: no 64-bit block numbers, no checksums of metadata.
truncate -s 4G "$work/disk"
mke2fs -q -F -t ext4 -L schism -O '^64bit,^metadata_csum' -E lazy_itable_init=1 "$work/disk"
mount -o loop "$work/disk" "$root"
if command -v mmdebstrap >/dev/null; then
  mmdebstrap --quiet --mode=root --variant=minbase --include="$list" bookworm "$work/tree.tar"
  tar -C "$root" --numeric-owner -xpf "$work/tree.tar"
  rm "$work/tree.tar"
elif command -v debootstrap >/dev/null; then
  debootstrap --variant=minbase --include="$list" bookworm "$root" >"$work/log" 2>&1 || { tail -n 20 "$work/log" >&2; exit 1; }
else
  echo "box.sh: neither mmdebstrap nor debootstrap is on this machine" >&2
  exit 77
fi

write() { # PATH MODE, text on standard input
  mkdir -p "$root/${1%/*}"
  cat >"$root/$1"
  chmod "$2" "$root/$1"
}
write etc/fstab 644 <<'TEXT'
LABEL=schism / ext4 noatime,errors=remount-ro 0 1
TEXT
write etc/hosts 644 <<'TEXT'
127.0.0.1 localhost
::1 localhost ip6-localhost ip6-loopback
TEXT
write etc/network/interfaces 644 <<'TEXT'
auto lo
iface lo inet loopback
auto eth0
iface eth0 inet dhcp
TEXT
write etc/sudoers.d/vagrant 440 <<'TEXT'
vagrant ALL=(ALL) NOPASSWD: ALL
TEXT
# Emulated machines agree on keys ten times faster by this than by the newest ways; nobody resolves names here.
write etc/ssh/sshd_config.d/schism.conf 644 <<'TEXT'
KexAlgorithms curve25519-sha256,curve25519-sha256@libssh.org,ecdh-sha2-nistp256
UseDNS no
TEXT
echo debian >"$root/etc/hostname"
: >"$root/etc/machine-id"

chroot "$root" useradd --create-home --shell /bin/bash vagrant
# The key that everybody knows; Vagrant puts one of the machine's own in its place at the first start.
write home/vagrant/.ssh/authorized_keys 600 <<'TEXT'
ssh-rsa AAAAB3NzaC1yc2EAAAABIwAAAQEA6NF8iallvQVp22WDkTkyrtvp9eWW6A8YVr+kz4TjGYe7gHzIw+niNltGEFHzD8+v1I2YJ6oXevct1YeS0o9HZyN1Q9qgCgzUFtdOKLv6IedplqoPkcmF0aYet2PkEDo3MlTBckFXPITAMzF8dJSIFo9D8HfdOV0IAdx4O7PtixWKn5y2hMNG0zQPyUecp4pzC6kivAIhyfHilFR61RGL+GPXQ2MWZWFYbAGjyiYJnAmCP3NOTd0jMZEnDkbUvxhMmBYSdETk1rRgm+R4LOzFUGaHqHDLKLX+FIPKcF96hrucXzcWyLbIbEgE98OHlnVYCzRdK8jlqm8tehUc9c9WhQ== vagrant insecure public key
TEXT
chmod 700 "$root/home/vagrant/.ssh"
chroot "$root" chown -R vagrant:vagrant /home/vagrant
rm -f "$root"/etc/ssh/ssh_host_*
write etc/systemd/system/schism-host-keys.service 644 <<'TEXT'
[Unit]
Description=Host keys of this machine
Before=ssh.service
ConditionPathExists=!/etc/ssh/ssh_host_ed25519_key
[Service]
Type=oneshot
ExecStart=/usr/bin/ssh-keygen -A
[Install]
WantedBy=multi-user.target
TEXT
# Databases are for schism to start; what wakes up by itself only costs time under emulation.
chroot "$root" systemctl --quiet enable schism-host-keys.service ssh.service
for unit in etcd.service apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer e2scrub_reap.service \
  fstrim.timer; do
  chroot "$root" systemctl --quiet mask "$unit"
done

kernel=$(ls "$root/lib/modules")
# The kernel takes an emulated machine's counter of cycles for a clock, which it is not.
write boot/extlinux/extlinux.conf 644 <<TEXT
DEFAULT debian
PROMPT 0
TIMEOUT 1
LABEL debian
  LINUX /boot/vmlinuz-$kernel
  INITRD /boot/initrd.img-$kernel
  APPEND root=LABEL=schism rw console=ttyS0 quiet net.ifnames=0 mitigations=off audit=0 tsc=unstable no_timer_check
TEXT
# The initial ram disk finds the root disk on any of QEMU's buses.
sed -i 's/^MODULES=.*/MODULES=list/' "$root/etc/initramfs-tools/initramfs.conf"
printf '%s\n' virtio_pci virtio_blk virtio_scsi sd_mod ahci ext4 >>"$root/etc/initramfs-tools/modules"
mount --rbind /dev "$root/dev"
mount -t proc proc "$root/proc"
chroot "$root" update-initramfs -u >/dev/null 2>"$work/log" || { cat "$work/log" >&2; exit 1; }
chroot "$root" extlinux --install /boot/extlinux >/dev/null 2>"$work/log" || { cat "$work/log" >&2; exit 1; }
umount "$root/proc"
umount -R "$root/dev"
rm -rf "$root/var/lib/apt/lists" "$root/var/cache/apt" "$root"/usr/share/doc/* "$root"/usr/share/man/*
mkdir -p "$root/var/lib/apt/lists/partial" "$root/var/cache/apt/archives/partial"
umount "$root"

qemu-img convert -O qcow2 "$work/disk" "$work/box.img"
printf '{"provider": "libvirt", "format": "qcow2", "virtual_size": 4}\n' >"$work/metadata.json"
# Not compressed: it is used on the spot.
tar -C "$work" -cf "$work/made" metadata.json box.img
mv "$work/made" "$box"
