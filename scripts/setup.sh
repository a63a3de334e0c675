#!/bin/sh
# What a build and a lab need on this machine. Installs only small tools without daemons (iproute2; uidmap for ordinary users), after saying so.
# Everything that nodes need (sshd, nft, etcd) schism downloads into its own cache; nothing of it is installed here.
set -eu

missing=""
for tool in cargo gcc make perl; do
    command -v "$tool" >/dev/null 2>&1 || missing="$missing $tool"
done
if [ -n "$missing" ]; then
    echo "schism: to build, this machine needs:$missing" >&2
    echo "  on Debian and Ubuntu: apt-get install gcc make perl; Rust 1.90 or newer comes from https://rustup.rs" >&2
    exit 1
fi

PATH="$PATH:/usr/sbin:/sbin"
if ! command -v ip >/dev/null 2>&1; then
    if ! command -v apt-get >/dev/null 2>&1; then
        echo "schism: a lab needs the command \`ip\`; install iproute2 with this system's package manager" >&2
        exit 1
    fi
    sudo=""
    if [ "$(id -u)" != 0 ]; then
        command -v sudo >/dev/null 2>&1 || { echo "schism: a lab needs iproute2; as root: apt-get install iproute2" >&2; exit 1; }
        sudo=sudo
    fi
    echo "schism: installing iproute2 (the command \`ip\`, no daemon) with apt-get" >&2
    $sudo apt-get update -qq
    $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends iproute2
fi

if [ "$(id -u)" != 0 ]; then
    if ! command -v newuidmap >/dev/null 2>&1 && command -v apt-get >/dev/null 2>&1 && command -v sudo >/dev/null 2>&1; then
        echo "schism: installing uidmap (\`newuidmap\`, no daemon) with apt-get, so that labs need no root" >&2
        sudo apt-get update -qq
        sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends uidmap
    fi
    echo "schism: without root, labs of namespaces need uid maps, and their tests (which need root) are skipped; ask \`schism doctor\`" >&2
fi
