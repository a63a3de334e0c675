//! Packages (of Debian) that nodes hold beside the database, where their files are not the machine's: what a login needs, and
//! what faults use inside.

/// What every such node holds.
pub(crate) const EVERY_NODE: &[&str] = &[
    "base-files",
    "base-passwd",
    "libc-bin",
    "bash",
    "dash",
    "coreutils",
    "debianutils",
    "util-linux",
    "mount",
    "mawk",
    "sed",
    "grep",
    "findutils",
    "gzip",
    "tar",
    "hostname",
    "procps",
    "perl-base",
    "netbase",
    "openssh-server",
    "iproute2",
    "iputils-ping",
    "nftables",
    "iptables",
    "fuse3",
];

/// What nodes that are namespaces hold beside: changing users, and a way to other nodes.
pub(crate) const FILES_ALONE: &[&str] = &["passwd", "openssh-client"];

/// What machines hold beside: a kernel, and what speaks to it.
pub(crate) const MACHINES: &[&str] =
    &["linux-image-cloud-amd64", "busybox-static", "kmod", "dmsetup", "e2fsprogs", "adjtimex"];
