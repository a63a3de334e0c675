//! What a node is like: everything that a fault may change and that must be as before.

use std::collections::BTreeMap;

use schism_cluster::{Cluster, Command};
use schism_history::Node;

use crate::database::{STATE, WORD, folder};

/// What is not ours and must not be touched: rules, a mount, a process (which a reboot takes away), and names (which it
/// does not). May be run again.
pub const FOREIGN: &str = "PATH=\"$PATH:/usr/sbin:/sbin\"
grep -q foreign /etc/hosts || echo '10.9.9.9 foreign' >>/etc/hosts
if ! nft list table inet foreign >/dev/null 2>&1; then
  nft add table inet schism_like
  nft add table inet foreign
  nft 'add chain inet foreign input { type filter hook input priority 5; policy accept; }'
  nft add rule inet foreign input tcp dport 9 drop
fi
[ -d /mnt/foreign ] && grep -q ' /mnt/foreign ' /proc/mounts ||
  { mkdir -p /mnt/foreign && mount -t tmpfs foreign /mnt/foreign; }
[ -e /run/foreign.pid ] || { setsid sleep 86399 </dev/null >/dev/null 2>&1 & echo $! >/run/foreign.pid; }
";

/// Says everything of a node, after a line with the start of its first process: that tells one boot from another. Of the
/// database: state, limits, group and what time it takes it to be.
///
/// Not looked at, each by its name: what the database keeps (a flipped bit or a lost write is for ever, by type); the agent;
/// signs of life, claims, `guard` and notes that are no harm (`*.expired`, `marks`: what a later heal is told); the keeper of
/// clocks and empty files that are locked; the kernel's own link-local addresses; the order of mounts. Probes that count datagrams, which harm
/// nothing and end by themselves within 30 s.
const SNAPSHOT: &str = r#"PATH="$PATH:/usr/sbin:/sbin"
read -r line </proc/1/stat
set -- ${line##*) }
echo "boot ${20}"
echo "== rules"; nft list ruleset; iptables -w -S 2>/dev/null; ip6tables -w -S 2>/dev/null
echo "== qdiscs"; tc qdisc show 2>/dev/null; ip route
ip -o addr show | while read -r number link family address rest; do
  case $address in ''|fe80:*) ;; *) echo "$link $family $address" ;; esac
done
echo "== mounts"; cut -d' ' -f2-4 /proc/mounts | sort
echo "== files"; sha256sum /etc/hosts /etc/resolv.conf /etc/passwd 2>/dev/null; ls -la /etc/cron.d /etc/systemd/system 2>/dev/null | grep -i schism
ls /var/lib/torture-member
find /var/lib/schism /run/schism -type f ! -path "$data/*" ! -path '/run/schism/agent/*' ! -path '/var/lib/schism/agent/*' \
  ! -path '/run/schism/beats/*' ! -path '/run/schism/claim/*' ! -path '/run/schism/marks/*' ! -name '*.expired' ! -name guard \
  ! -path '/run/schism/clock/keeper' ! -path '/run/schism/clock/lock' ! -path '/run/schism/faultfs/*.lock' 2>/dev/null | sort
find "$data" -name '.schism*'
echo "== groups"; find /sys/fs/cgroup -maxdepth 4 -type d -name "schism-$lab*" 2>/dev/null
echo "== processes"
for stat in /proc/[0-9]*/stat; do
  pid=${stat#/proc/} pid=${pid%/stat}
  { read -r line <"$stat"; } 2>/dev/null || continue
  words=$(tr '\0\n' '  ' <"/proc/$pid/cmdline" 2>/dev/null) || continue
  set -- ${line##*) }
  case $words in
    *" $word ")
      case $1 in T|t) echo 'db: is stopped' ;; *) echo 'db: runs' ;; esac
      echo "db: $(grep 'open files' "/proc/$pid/limits") $(cat "/proc/$pid/oom_score_adj") $(cat "/proc/$pid/cgroup" | tr '\n' ' ')" 2>/dev/null
      now=$(date +%s) its=
      { read -r its <"$state/time"; } 2>/dev/null
      off=$((now - ${its:-0}))
      if [ "$off" -ge -2 ] && [ "$off" -le 2 ]; then echo 'db: its clock is right'; else echo 'db: its clock is wrong'; fi ;;
    'sleep 86399 ') echo "foreign $pid ${20} $1" | sed 's/ [RSD]$//' ;;
    *" word=$word lab="*) ;;
    *schism-lease*) echo "a watcher: $words" ;;
    *schism*|*stress*) case $words in *schism-node*|schism-*|*sshd*|'perl -e use strict; use Socket'*) ;; *) echo "ours: $words" ;; esac ;;
  esac
done | sort
"#;

/// A node as it was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Another in another boot.
    pub boot: String,
    /// Everything else.
    pub text: String,
}

/// Every node as it is now, or why that is not known.
pub async fn take(cluster: &Cluster, lab: &str) -> BTreeMap<Node, Result<Seen, String>> {
    let script = format!("data={} state={STATE} word={WORD} lab={lab}\n{SNAPSHOT}", folder());
    let command = Command::new(script).deadline(std::time::Duration::from_secs(8));
    let commands = cluster.names().into_iter().map(|node| (node, command.clone())).collect();
    let read = |text: String| match text.split_once('\n') {
        Some((boot, rest)) => Ok(Seen { boot: boot.to_owned(), text: rest.to_owned() }),
        None => Err(format!("it says `{text}`")),
    };
    let answers = schism_nemesis::fanout::run_each(cluster, commands).await.into_iter();
    answers
        .map(|(node, answer)| {
            let seen = answer.map_err(|error| error.to_string()).and_then(|output| read(output.text()));
            (node, seen)
        })
        .collect()
}

/// Without what is said of the database.
pub fn without_database(text: &str) -> String {
    text.lines().filter(|line| !line.starts_with("db: ")).map(|line| format!("{line}\n")).collect()
}

/// Lines that one of two texts has oftener than the other.
pub fn diff(before: &str, after: &str) -> Vec<String> {
    let missing = |from: &str, of: &str, sign: char| -> Vec<String> {
        let mut left: Vec<&str> = from.lines().collect();
        let is_new = |line: &&str| match left.iter().position(|one| one == line) {
            Some(at) => {
                left.swap_remove(at);
                false
            }
            None => true,
        };
        of.lines().filter(is_new).map(|line| format!("{sign} {line}")).collect()
    };
    [missing(after, before, '-'), missing(before, after, '+')].concat()
}
