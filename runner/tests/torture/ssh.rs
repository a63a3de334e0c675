//! SSH that is cut, hangs or breaks in the middle of a fault, by somebody else: the node's own lease ends the fault, the
//! controller says honestly what it could not do, and ends.

use std::time::{Duration, Instant};

use schism_nemesis::FaultEntry;

use crate::lane::Place;

/// A wall around SSH that is not ours: it must be there after every heal.
const CUT: &str = "PATH=\"$PATH:/usr/sbin:/sbin\"
nft add table inet cutter
nft 'add chain inet cutter in { type filter hook input priority -300; policy accept; }'
nft 'add chain inet cutter out { type filter hook output priority -300; policy accept; }'
nft add rule inet cutter in tcp dport 22 drop
nft add rule inet cutter out tcp sport 22 drop
";

/// Sends a signal to sshd: to those that serve a connection, and (`all`) to the one that listens.
const SIGNAL: &str = r#"for of in /proc/[0-9]*; do
  { read -r comm <"$of/comm"; } 2>/dev/null || continue
  case $comm in sshd*) ;; *) continue ;; esac
  words=$(tr '\0' ' ' <"$of/cmdline" 2>/dev/null)
  case $words in *' -D'*) [ "$all" = yes ] || continue ;; esac
  kill -s "$signal" "${of#/proc/}" 2>/dev/null
done
true
"#;

/// How long a fault may last whose controller is not heard: the lease, and what its undo takes on a machine that is busy.
const OVER_WITHIN: Duration = Duration::from_secs(60);

impl Place {
    /// `how` is `cut` (nothing passes), `hang` (every sshd is stopped) or `break` (every connection is killed).
    pub fn ssh_fails(&self, entry: &'static FaultEntry, how: &str, run: &str) -> Duration {
        let begun = Instant::now();
        let mut child = self.start(entry, run, "hold", None);
        self.await_line(run, &mut child, "on", Duration::from_secs(60));
        let lived = begun.elapsed();
        let signal = |signal: &str, all: &str| format!("signal={signal} all={all}\n{SIGNAL}");
        match how {
            "cut" => self.without_ssh(CUT),
            "hang" => self.without_ssh(&signal("STOP", "yes")),
            _ => self.without_ssh(&signal("KILL", "no")),
        }
        let failed = Instant::now();
        if how != "break" {
            // While nobody can log in: the lease is the node's own.
            let over = "PATH=\"$PATH:/usr/sbin:/sbin\"\nset -- /var/lib/schism/leases/*.undo\n[ ! -e \"$1\" ]";
            let end = Instant::now() + OVER_WITHIN;
            while !self.holds_on_all(over) {
                assert!(Instant::now() < end, "{}, SSH {how}: it is not over after {OVER_WITHIN:?}", entry.name);
                std::thread::sleep(Duration::from_millis(200));
            }
        }
        let over = failed.elapsed();
        let ended = self.heals_and_ends(&mut child, run);
        let said = self.said(run);
        match how {
            "break" => println!("  {}, SSH break: the controller ended after {ended:.1?}", entry.name),
            _ => println!("  {}, SSH {how}: over after {over:.1?}, the controller ended after {ended:.1?}", entry.name),
        }
        let told = said.lines().any(|line| line.starts_with("error "));
        if how == "break" {
            assert!(!told && !said.contains("\ntrouble ") && self.outstanding(run).is_empty(), "{said}");
        } else {
            // It could not see that the harm is gone, and must not say so.
            assert!(told && said.contains("\ntrouble ") && said.contains("n1"), "{said}");
            assert_eq!(self.outstanding(run).len(), 1, "the ledger does not say that it is open:\n{said}");
        }
        match how {
            "cut" => {
                let untouched =
                    "PATH=\"$PATH:/usr/sbin:/sbin\"\n[ \"$(nft list table inet cutter | grep -c drop)\" = 2 ]";
                assert!(self.holds_on_all(untouched), "the rules of others were touched");
                self.without_ssh("PATH=\"$PATH:/usr/sbin:/sbin\"\nnft delete table inet cutter");
            }
            "hang" => self.without_ssh(&signal("CONT", "yes")),
            _ => {}
        }
        self.await_as_before(&format!("{}, SSH {how}", entry.name), lived, run, true);
        self.heal_by_ledger(run);
        self.await_as_before(&format!("{}, SSH {how}, healed once more", entry.name), lived, run, true);
        assert!(self.outstanding(run).is_empty());
        over
    }

    /// Runs a script on every node by the lab's own way in.
    fn without_ssh(&self, script: &str) {
        assert!(self.holds_on_all(script), "it failed on a node: {script}");
    }

    fn holds_on_all(&self, script: &str) -> bool {
        let argv = ["sh", "-c", script].map(str::to_owned);
        self.lab.nodes.iter().all(|node| schism_lab::exec(&self.lab, Some(&node.name), &argv).unwrap() == 0)
    }
}
