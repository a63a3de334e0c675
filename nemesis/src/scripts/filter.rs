//! Packet filters: nftables in tables of our own, iptables in chains of our own.

use std::net::IpAddr;

use schism_cluster::shell::quote;

use super::SBIN;

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
