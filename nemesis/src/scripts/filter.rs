//! Packet filters: nftables in tables of our own, iptables in chains of our own.

use std::net::IpAddr;

use schism_cluster::shell::{PROCESS_FUNCTIONS, detached, quote};
use serde::{Deserialize, Serialize};

use super::SBIN;
use super::lease::LEASE_HOLDS;

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

/// Says the port of the sshd that this login came to, or nothing.
pub fn login_port() -> String {
    "set -- $SSH_CONNECTION\nprintf '%s\\n' \"${4-}\"\n".to_owned()
}

/// Loads nftables rules from standard input: all of them or none.
pub fn nft_load() -> String {
    format!("{SBIN}exec nft -f -\n")
}

/// As [`nft_load`], with the rules in it.
pub fn nft_load_text(rules: &str) -> String {
    format!("{SBIN}nft -f - <<'END'\n{rules}END\n")
}

/// What is done to packets that a cut does not let pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum How {
    /// They vanish.
    #[default]
    Drop,
    /// The sender is told at once: TCP by a reset, all else by an unreachable port.
    Reject,
    /// New connections pass, and packets of those that are open are answered by a reset.
    Reset,
}

/// Whose packets a node does not let pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Whose {
    /// Those that come from these addresses.
    From(Vec<IpAddr>),
    /// Those of everybody but these addresses and the node itself: clients.
    Outside {
        /// The nodes.
        nodes: Vec<IpAddr>,
        /// Whether what clients send is cut.
        requests: bool,
        /// Whether what they are answered is cut.
        answers: bool,
    },
}

/// The rules of a cut on one node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// Whose packets.
    pub whose: Whose,
    /// What is done to them.
    pub how: How,
    /// Only packets of these ports, TCP or UDP, either end; all where there are none.
    pub ports: Vec<u16>,
}

impl Rules {
    /// Everything from these addresses is dropped.
    pub fn plain(from: Vec<IpAddr>) -> Rules {
        Rules { whose: Whose::From(from), how: How::Drop, ports: Vec::new() }
    }
}

/// The rules of one cut, for [`nft_load`]: our own table, replaced as a whole.
///
/// Neighbour discovery passes, as ARP does for IPv4: without it a cut of one way would silence both, because nobody
/// would learn the link address of a neighbour whose answers are dropped. Where packets are rejected, what tells so
/// passes: the other side may reject as well.
pub fn nft_rules(table: &str, rules: &Rules) -> String {
    let mut text = format!("table inet {table}\ndelete table inet {table}\ntable inet {table} {{\n");
    let addresses = match &rules.whose {
        Whose::From(from) => from,
        Whose::Outside { nodes, .. } => nodes,
    };
    let (v4, v6) = by_family(addresses);
    let names = if matches!(rules.whose, Whose::From(_)) { ["from4", "from6"] } else { ["nodes4", "nodes6"] };
    for (name, kind, addresses) in [(names[0], "ipv4_addr", &v4), (names[1], "ipv6_addr", &v6)] {
        if !addresses.is_empty() {
            text += &format!("  set {name} {{ type {kind}; elements = {{ {} }}; }}\n", addresses.join(", "));
        }
    }
    let chain = |hook: &str, lines: &[String]| {
        let lines: String = lines.iter().map(|line| format!("    {line}\n")).collect();
        format!("  chain {hook} {{\n    type filter hook {hook} priority -300; policy accept;\n{lines}  }}\n")
    };
    match &rules.whose {
        Whose::From(_) => {
            let mut lines = Vec::new();
            if !v4.is_empty() {
                lines.extend(nft_lines("ip saddr @from4", false, rules));
            }
            if !v6.is_empty() {
                lines.extend(nft_lines("ip6 saddr @from6", true, rules));
            }
            text += &chain("input", &lines);
        }
        Whose::Outside { requests, answers, .. } => {
            let ports = nft_set(&rules.ports);
            let lines = |interface: &str, side: &str, port: &str, verdict: &str| -> Vec<String> {
                let strangers = [("ip", "ipv4", "nodes4", &v4), ("ip6", "ipv6", "nodes6", &v6)];
                let line = |(family, protocol, set, known): (&str, &str, &str, &Vec<String>)| {
                    let who = match known.is_empty() {
                        true => format!("meta nfproto {protocol}"),
                        false => format!("{family} {side} != @{set}"),
                    };
                    format!("{interface} != \"lo\" {who} tcp {port} {ports} {verdict}")
                };
                strangers.into_iter().map(line).collect()
            };
            if *requests {
                let verdict = if rules.how == How::Drop { "drop" } else { "reject with tcp reset" };
                text += &chain("input", &lines("iifname", "saddr", "dport", verdict));
            }
            if *answers {
                let mut answers = lines("oifname", "daddr", "sport", "drop");
                if rules.how == How::Reject {
                    // Our own resets are what tells clients.
                    answers.insert(0, "tcp flags & rst == rst accept".to_owned());
                }
                text += &chain("output", &answers);
            }
        }
    }
    text + "}\n"
}

fn nft_set(ports: &[u16]) -> String {
    let ports: Vec<String> = ports.iter().map(u16::to_string).collect();
    format!("{{ {} }}", ports.join(", "))
}

/// What the chain says of one family.
fn nft_lines(from: &str, is_v6: bool, rules: &Rules) -> Vec<String> {
    let ports = nft_set(&rules.ports);
    let sides = || ["dport", "sport"].map(|side| format!("{side} {ports}"));
    let told = format!("{from} tcp flags & rst == rst accept");
    let reset = "reject with tcp reset";
    let later = "tcp flags & syn != syn";
    match (rules.how, rules.ports.is_empty()) {
        (How::Drop, true) if is_v6 => vec![
            format!("{from} meta l4proto != ipv6-icmp drop"),
            format!("{from} icmpv6 type != {{ nd-neighbor-solicit, nd-neighbor-advert }} drop"),
        ],
        (How::Drop, true) => vec![format!("{from} drop")],
        (How::Drop, false) => {
            let of = |protocol: &'static str| sides().map(|side| format!("{from} {protocol} {side} drop"));
            [of("tcp"), of("udp")].concat()
        }
        (How::Reject, true) => {
            let passes = match is_v6 {
                true => "icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert, destination-unreachable } accept",
                false => "icmp type destination-unreachable accept",
            };
            vec![
                told,
                format!("{from} meta l4proto tcp {reset}"),
                format!("{from} {passes}"),
                format!("{from} reject with icmpx type port-unreachable"),
            ]
        }
        (How::Reject, false) => {
            let tcp = sides().map(|side| format!("{from} tcp {side} {reset}"));
            let udp = sides().map(|side| format!("{from} udp {side} reject with icmpx type port-unreachable"));
            [vec![told], tcp.to_vec(), udp.to_vec()].concat()
        }
        (How::Reset, true) => vec![told, format!("{from} {later} {reset}")],
        (How::Reset, false) => {
            let lines = sides().map(|side| format!("{from} tcp {side} {later} {reset}"));
            [vec![told], lines.to_vec()].concat()
        }
    }
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

/// Cuts by iptables: our own chain, filled and hooked in one go for each family. What passes is as in [`nft_rules`];
/// answers to clients are not cut by it ([`Whose::Outside`]).
pub fn iptables_install(chain: &str, rules: &Rules) -> String {
    let (addresses, is_outside) = match &rules.whose {
        Whose::From(from) => (from, false),
        Whose::Outside { nodes, .. } => (nodes, true),
    };
    let (v4, v6) = by_family(addresses);
    let mut text = format!("{SBIN}set -e\n");
    for (tool, addresses) in [("iptables-restore", &v4), ("ip6tables-restore", &v6)] {
        if addresses.is_empty() && !is_outside {
            continue;
        }
        let is_v6 = tool == "ip6tables-restore";
        if is_v6 && is_outside {
            // A machine without IPv6 has nobody to cut off there.
            text += &format!("[ ! -e /proc/net/if_inet6 ] || ! command -v {tool} >/dev/null 2>&1 || ");
        }
        text += &format!("{tool} -w --noflush <<'END'\n*filter\n:{chain} - [0:0]\n");
        if is_outside {
            text += &format!("-A {chain} -i lo -j RETURN\n");
            text += &addresses.iter().map(|address| format!("-A {chain} -s {address} -j RETURN\n")).collect::<String>();
            let verdict = if rules.how == How::Drop { "DROP" } else { "REJECT --reject-with tcp-reset" };
            text += &format!("-A {chain} -p tcp -m multiport --dports {} -j {verdict}\n", commas(&rules.ports));
        } else {
            if is_v6 {
                text += &format!("-A {chain} -p icmpv6 --icmpv6-type 135 -j RETURN\n");
                text += &format!("-A {chain} -p icmpv6 --icmpv6-type 136 -j RETURN\n");
            }
            for address in addresses {
                let lines = iptables_lines(rules, is_v6);
                text += &lines.iter().map(|line| format!("-A {chain} -s {address} {line}\n")).collect::<String>();
            }
        }
        text += &format!("-I INPUT 1 -j {chain}\nCOMMIT\nEND\n");
    }
    text
}

fn commas(ports: &[u16]) -> String {
    ports.iter().map(u16::to_string).collect::<Vec<_>>().join(",")
}

/// What the chain says of packets of one address.
fn iptables_lines(rules: &Rules, is_v6: bool) -> Vec<String> {
    let ports = commas(&rules.ports);
    let sides = |protocol: &str, verdict: &str| {
        ["dports", "sports"].map(|side| format!("-p {protocol} -m multiport --{side} {ports} {verdict}"))
    };
    let told = "-p tcp --tcp-flags RST RST -j RETURN".to_owned();
    let reset = "-j REJECT --reject-with tcp-reset";
    let later = "! --tcp-flags SYN SYN -j REJECT --reject-with tcp-reset";
    match (rules.how, rules.ports.is_empty()) {
        (How::Drop, true) => vec!["-j DROP".to_owned()],
        (How::Drop, false) => [sides("tcp", "-j DROP"), sides("udp", "-j DROP")].concat(),
        (How::Reject, true) => {
            let unreachable = if is_v6 { "-p icmpv6 --icmpv6-type 1" } else { "-p icmp --icmp-type 3" };
            vec![told, format!("-p tcp {reset}"), format!("{unreachable} -j RETURN"), "-j REJECT".to_owned()]
        }
        (How::Reject, false) => [vec![told], sides("tcp", reset).to_vec(), sides("udp", "-j REJECT").to_vec()].concat(),
        (How::Reset, true) => vec![told, format!("-p tcp {later}")],
        (How::Reset, false) => [vec![told], sides("tcp", later).to_vec()].concat(),
    }
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

/// Where the numbers of processes lie that switch a cut on and off.
pub(super) const PULSE_DIR: &str = "/run/schism/pulse";

/// Leaves a process behind that installs a cut and takes it away, again and again, until [`pulse_undo`]. `name` is one of
/// ours and plain; spans are in milliseconds. Each step is one transaction of the packet filter.
pub fn pulse(name: &str, install: &str, remove: &str, on_ms: u64, off_ms: u64) -> String {
    let seconds = |ms: u64| format!("{}.{:03}", ms / 1000, ms % 1000);
    let (on, off) = (seconds(on_ms), seconds(off_ms));
    let command = format!(
        "{LEASE_HOLDS}while :; do\n(\n{install})\nsleep {on}\n(\n{remove}) >/dev/null 2>&1\nsleep {off}\ndone\n"
    );
    detached(&command, &format!("{PULSE_DIR}/{name}.log"), &format!("{PULSE_DIR}/{name}.pid"))
}

/// Ends the process of [`pulse`] with whatever it has just started; to be followed by the undo of the cut.
pub fn pulse_undo(name: &str) -> String {
    format!(
        "{PROCESS_FUNCTIONS}file={PULSE_DIR}/{name}
if [ -s \"$file.pid\" ]; then
  read -r pid begun <\"$file.pid\"
  if alive \"$pid\" \"$begun\"; then
    kill -s KILL -- \"-$pid\"
    tries=0
    while alive \"$pid\" \"$begun\"; do
      tries=$((tries + 1))
      [ \"$tries\" -le 100 ] || {{ echo \"process $pid does not end\" >&2; exit 1; }}
      sleep 0.05
    done
  fi
fi
rm -f \"$file.pid\" \"$file.pid.new\" \"$file.log\"
"
    )
}

/// The name of a process that switches a cut, if it still runs.
pub fn pulse_leftover(name: &str) -> String {
    format!("[ ! -e {PULSE_DIR}/{name}.pid ] || echo \"{name} still switches\"\n")
}

/// Says every table and chain of schism on this node, a line each, whoever's they are.
pub fn all_filters() -> String {
    format!(
        "{SBIN}nft list tables 2>/dev/null | sed -n 's/^table inet \\(schism_.*\\)/\\1/p'
iptables -w -S 2>/dev/null | sed -n 's/^-N \\(SCHISM-.*\\)/\\1/p'
true
"
    )
}

fn by_family(addresses: &[IpAddr]) -> (Vec<String>, Vec<String>) {
    let (v4, v6): (Vec<&IpAddr>, Vec<&IpAddr>) = addresses.iter().partition(|address| address.is_ipv4());
    let texts = |list: Vec<&IpAddr>| list.into_iter().map(IpAddr::to_string).collect();
    (texts(v4), texts(v6))
}
