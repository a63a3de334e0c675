#!/bin/sh
# All tests. What they need beside the build (sshd, sudo, nft, etcd, a browser) is downloaded into schism's cache and used
# from there; nothing is installed and no daemon of this machine is touched.
set -eu
CARGO="${CARGO:-cargo}"

"$CARGO" build --locked -p schism
schism="${CARGO_TARGET_DIR:-target}/debug/schism"

# Uses what is on this machine, else what is in the tree; without either the tests that need it say that they are skipped.
tree=$("$schism" packages openssh-server openssh-client sudo nftables etcd-server) || tree=""
pick() {
    for path in "$tree/$2" "/$2"; do
        if [ -x "$path" ]; then
            export "$1=$path"
            return
        fi
    done
    echo "schism: no $2 here: tests that need it are skipped" >&2
}
pick SCHISM_TEST_SSHD usr/sbin/sshd
pick SCHISM_TEST_ETCD usr/bin/etcd

# Programs of the tree (ssh-agent, ssh-keygen, nft ...) need its libraries, and only they shall see them. They come last in
# PATH: what is on this machine is taken from there.
tools=$(mktemp -d)
trap 'rm -rf "$tools"' EXIT
if [ -n "$tree" ]; then
    libraries=$(find "$tree/usr/lib" -maxdepth 2 -name '*.so*' -printf "%h\n" | sort -u | paste -sd:)
    for program in "$tree"/usr/bin/* "$tree"/usr/sbin/*; do
        [ -x "$program" ] || continue
        wrapper="$tools/${program##*/}"
        cat >"$wrapper" <<WRAPPER
#!/bin/sh
export LD_LIBRARY_PATH="$libraries\${LD_LIBRARY_PATH:+:\$LD_LIBRARY_PATH}"
exec "$program" "\$@"
WRAPPER
        chmod +x "$wrapper"
    done
fi
export PATH="$PATH:/usr/sbin:/sbin:$tools"

if [ -z "${SCHISM_CHROMIUM:-}" ]; then
    SCHISM_CHROMIUM=$(scripts/chromium.sh "$schism") || SCHISM_CHROMIUM=""
    if [ -n "$SCHISM_CHROMIUM" ]; then
        export SCHISM_CHROMIUM
    else
        unset SCHISM_CHROMIUM
        echo "schism: no browser can be had here: its tests are skipped" >&2
    fi
fi

# One run names all that fails.
"$CARGO" test --locked --workspace --no-fail-fast "$@"
