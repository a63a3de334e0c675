//! Every shell script that the nemesis runs on a node, and nothing else: POSIX sh, no bash.
//!
//! Each is a few quoted assignments and a constant text, so that what is quoted is data and what is text is fixed.
//! Each may be run twice, or when half of its work was done before.

use std::net::IpAddr;

use schism_cluster::ProcessId;
use schism_cluster::shell::quote;

/// Where the packet filter's tools live when a login has a short path.
const SBIN: &str = "PATH=\"$PATH:/usr/sbin:/sbin\"\n";

/// Says `nft` or `iptables`, whichever works here, or nothing.
pub fn which_filter() -> String {
    format!(
        "{SBIN}if nft list tables >/dev/null 2>&1; then echo nft
elif iptables -w -S INPUT >/dev/null 2>&1 && command -v iptables-restore >/dev/null 2>&1; then echo iptables
fi
"
    )
}

/// Says the address from which this login came, or nothing.
pub fn controller_address() -> String {
    "printf '%s\\n' \"${SSH_CONNECTION%% *}\"\n".to_owned()
}

/// Loads nftables rules from standard input: all of them or none.
pub fn nft_load() -> String {
    format!("{SBIN}exec nft -f -\n")
}

/// The rules of one cut, for [`nft_load`]: our own table, replaced as a whole.
///
/// Neighbour discovery passes, as ARP does for IPv4: without it a cut of one way would silence both, because nobody
/// would learn the link address of a neighbour whose answers are dropped.
pub fn nft_rules(table: &str, from: &[IpAddr]) -> String {
    let (v4, v6) = by_family(from);
    let mut text = format!("table inet {table}\ndelete table inet {table}\ntable inet {table} {{\n");
    for (name, kind, addresses) in [("from4", "ipv4_addr", &v4), ("from6", "ipv6_addr", &v6)] {
        if !addresses.is_empty() {
            text += &format!("  set {name} {{ type {kind}; elements = {{ {} }}; }}\n", addresses.join(", "));
        }
    }
    text += "  chain input {\n    type filter hook input priority -300; policy accept;\n";
    if !v4.is_empty() {
        text += "    ip saddr @from4 drop\n";
    }
    if !v6.is_empty() {
        text += "    ip6 saddr @from6 meta l4proto != ipv6-icmp drop\n";
        text += "    ip6 saddr @from6 icmpv6 type != { nd-neighbor-solicit, nd-neighbor-advert } drop\n";
    }
    text + "  }\n}\n"
}

/// Removes our table; succeeds only if it is gone.
pub fn nft_undo(table: &str) -> String {
    format!(
        "{SBIN}table={table}
nft delete table inet \"$table\" 2>/dev/null
tables=$(nft list tables) || exit 1
if printf '%s\\n' \"$tables\" | grep -qxF \"table inet $table\"; then
  echo \"the nftables table $table is still there\" >&2
  exit 1
fi
",
        table = quote(table)
    )
}

/// Says our table if it is there.
pub fn nft_leftover(table: &str) -> String {
    format!("{SBIN}nft list tables | grep -xF {}\ntrue\n", quote(&format!("table inet {table}")))
}

/// Cuts by iptables: our own chain, filled and hooked in one go for each family. Neighbour discovery passes, see
/// [`nft_rules`].
pub fn iptables_install(chain: &str, from: &[IpAddr]) -> String {
    let (v4, v6) = by_family(from);
    let mut text = format!("{SBIN}set -e\n");
    for (tool, addresses) in [("iptables-restore", &v4), ("ip6tables-restore", &v6)] {
        if addresses.is_empty() {
            continue;
        }
        text += &format!("{tool} -w --noflush <<'END'\n*filter\n:{chain} - [0:0]\n");
        if tool == "ip6tables-restore" {
            text += &format!("-A {chain} -p icmpv6 --icmpv6-type 135 -j RETURN\n");
            text += &format!("-A {chain} -p icmpv6 --icmpv6-type 136 -j RETURN\n");
        }
        for address in addresses {
            text += &format!("-A {chain} -s {address} -j DROP\n");
        }
        text += &format!("-I INPUT 1 -j {chain}\nCOMMIT\nEND\n");
    }
    text
}

/// Removes our chain and what leads to it; succeeds only if it is gone.
pub fn iptables_undo(chain: &str) -> String {
    format!(
        "{SBIN}chain={chain} left=0
for tool in iptables ip6tables; do
  command -v \"$tool\" >/dev/null 2>&1 || continue
  tries=0
  while [ \"$tries\" -lt 20 ] && \"$tool\" -w -D INPUT -j \"$chain\" 2>/dev/null; do tries=$((tries + 1)); done
  \"$tool\" -w -F \"$chain\" 2>/dev/null
  \"$tool\" -w -X \"$chain\" 2>/dev/null
  if rules=$(\"$tool\" -w -S 2>/dev/null); then
    if printf '%s\\n' \"$rules\" | grep -qxF -e \"-N $chain\"; then
      echo \"the $tool chain $chain is still there\" >&2
      left=1
    fi
  elif [ \"$tool\" = iptables ]; then
    echo \"$tool does not say what rules there are\" >&2
    left=1
  fi
done
exit \"$left\"
",
        chain = quote(chain)
    )
}

/// Says our chain if it is there.
pub fn iptables_leftover(chain: &str) -> String {
    format!(
        "{SBIN}for tool in iptables ip6tables; do \"$tool\" -w -S {chain} 2>/dev/null; done\ntrue\n",
        chain = quote(chain)
    )
}

fn by_family(addresses: &[IpAddr]) -> (Vec<String>, Vec<String>) {
    let (v4, v6): (Vec<&IpAddr>, Vec<&IpAddr>) = addresses.iter().partition(|address| address.is_ipv4());
    let texts = |list: Vec<&IpAddr>| list.into_iter().map(IpAddr::to_string).collect();
    (texts(v4), texts(v6))
}

/// Sends a signal to exactly these processes: a number that was given to another process since is left alone, one
/// that is gone is no error.
pub fn signal(name: &str, processes: &[ProcessId]) -> String {
    let list: Vec<String> = processes.iter().map(|one| format!("{}:{}", one.pid, one.start_ticks)).collect();
    format!(
        "failed=0
for process in {list}; do
  pid=${{process%%:*}}
  stat=$(cat \"/proc/$pid/stat\" 2>/dev/null) || continue
  set -- ${{stat##*) }}
  [ \"${{20}}\" = \"${{process#*:}}\" ] || continue
  kill -s {name} \"$pid\" || [ ! -e \"/proc/$pid\" ] || failed=1
done
exit \"$failed\"
",
        list = list.join(" ")
    )
}

/// Runs the undo `$1/$2.undo` under its lock and, when it succeeded, removes what the lease left. The lock bounds
/// itself: who held it for 20 s is taken to be dead, and an undo run twice does no harm.
const RUN_UNDO: &str = r#"run_undo() {
  waited=0
  until mkdir "$1/$2.lock" 2>/dev/null; do
    [ "$waited" -lt 20 ] || break
    sleep 1
    waited=$((waited + 1))
  done
  status=0
  if [ -e "$1/$2.undo" ]; then
    sh "$1/$2.undo" >"$1/$2.out" 2>&1 </dev/null
    status=$?
    [ "$status" -ne 0 ] || rm -f "$1/$2.undo" "$1/$2.info" "$1/$2.out"
  fi
  rmdir "$1/$2.lock" 2>/dev/null
  return "$status"
}
"#;

/// What waits on the node: counts seconds that the machine lived (its clock may jump), ends as soon as the lease is
/// cancelled, and undoes the harm by itself when the time is up.
const WATCH: &str = r#"cd /
trap '' HUP
left=$3
while [ "$left" -gt 0 ]; do
  [ -e "$1/$2.undo" ] || exit 0
  sleep 1
  left=$((left - 1))
done
tries=0
while [ -e "$1/$2.undo" ] && [ "$tries" -lt 60 ]; do
  run_undo "$1" "$2" && exit 0
  sleep 5
  tries=$((tries + 1))
done
"#;

/// Arms a lease: the undo (standard input) is written beside a line that tells what it is, and a watcher is left
/// behind, detached from the session that started it.
pub fn lease_arm(dir: &str, name: &str, lease_s: u64, info: &str) -> String {
    format!(
        "dir={dir} name={name}
umask 077
mkdir -p \"$dir\" || exit 1
cat >\"$dir/$name.new\" || exit 1
read -r up rest </proc/uptime
printf '%s %s\\n' \"${{up%%.*}}\" {info} >\"$dir/$name.info\" || exit 1
mv \"$dir/$name.new\" \"$dir/$name.undo\" || exit 1
setsid sh -c {watch} schism-lease \"$dir\" \"$name\" {lease_s} </dev/null >/dev/null 2>&1 &
",
        dir = quote(dir),
        name = quote(name),
        info = quote(info),
        watch = quote(&format!("{RUN_UNDO}{WATCH}")),
    )
}

/// Undoes (the undo is on standard input, so that it needs no lease) and cancels the lease when that succeeded.
pub fn heal(dir: &str, name: &str) -> String {
    format!(
        "dir={dir} name={name}
undo=$(cat)
mkdir -p \"$dir\" 2>/dev/null
waited=0
until mkdir \"$dir/$name.lock\" 2>/dev/null; do
  [ -d \"$dir/$name.lock\" ] && [ \"$waited\" -lt 20 ] || break
  sleep 1
  waited=$((waited + 1))
done
sh -c \"$undo\" </dev/null
status=$?
[ \"$status\" -ne 0 ] || rm -f \"$dir/$name.undo\" \"$dir/$name.info\" \"$dir/$name.out\"
rmdir \"$dir/$name.lock\" 2>/dev/null
exit \"$status\"
",
        dir = quote(dir),
        name = quote(name),
    )
}

/// Lists leases, a line each: name, uptime now, uptime when armed, what it is.
pub fn lease_list(dir: &str) -> String {
    format!(
        "dir={dir}
read -r up rest </proc/uptime
for undo in \"$dir\"/*.undo; do
  [ -e \"$undo\" ] || continue
  name=${{undo##*/}}
  name=${{name%.undo}}
  info=0
  [ ! -r \"$dir/$name.info\" ] || read -r info <\"$dir/$name.info\"
  printf '%s %s %s\\n' \"$name\" \"${{up%%.*}}\" \"$info\"
done
",
        dir = quote(dir)
    )
}

/// Runs the undo of every lease of the node, a line each: `healed NAME` or `failed NAME REASON`.
pub fn lease_heal(dir: &str) -> String {
    format!(
        "{RUN_UNDO}dir={dir}
for undo in \"$dir\"/*.undo; do
  [ -e \"$undo\" ] || continue
  name=${{undo##*/}}
  name=${{name%.undo}}
  if run_undo \"$dir\" \"$name\"; then
    printf 'healed %s\\n' \"$name\"
  else
    printf 'failed %s %s\\n' \"$name\" \"$(tail -n 3 \"$dir/$name.out\" 2>/dev/null | tr '\\n' ' ')\"
  fi
done
",
        dir = quote(dir)
    )
}

/// Says which of the tools that evidence needs are missing, a line each.
pub fn missing_tools() -> String {
    "for tool in perl setsid sleep; do command -v \"$tool\" >/dev/null 2>&1 || echo \"$tool\"; done\ntrue\n".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::process::{Command, Stdio};

    fn addresses() -> Vec<IpAddr> {
        ["10.0.0.2", "fd00::3"].iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn every_script_is_posix_shell() {
        let processes = [ProcessId { pid: 12, start_ticks: 345 }];
        let scripts = [
            which_filter(),
            controller_address(),
            nft_load(),
            nft_undo("schism_t_1"),
            nft_leftover("schism_t_1"),
            iptables_install("SCHISM-t-1", &addresses()),
            iptables_undo("SCHISM-t-1"),
            iptables_leftover("SCHISM-t-1"),
            signal("KILL", &processes),
            signal("KILL", &[]),
            lease_arm("/run/a b", "t-1", 30, "{\"it's\":1}"),
            heal("/run/a b", "t-1"),
            lease_list("/run/a b"),
            lease_heal("/run/a b"),
            missing_tools(),
            format!("{RUN_UNDO}{WATCH}"),
        ];
        for script in scripts {
            let mut child = Command::new("sh").arg("-n").stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
            child.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
            let output = child.wait_with_output().unwrap();
            assert!(output.status.success(), "{}\n{script}", String::from_utf8_lossy(&output.stderr));
        }
    }

    #[test]
    fn the_controller_is_where_the_login_came_from() {
        for (connection, expected) in [("10.0.0.9 4242 10.0.0.1 22", "10.0.0.9\n"), ("", "\n")] {
            let mut shell = Command::new("sh");
            shell.arg("-c").arg(controller_address()).env("SSH_CONNECTION", connection);
            assert_eq!(String::from_utf8(shell.output().unwrap().stdout).unwrap(), expected);
        }
    }
}
