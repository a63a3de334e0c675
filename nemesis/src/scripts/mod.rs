//! Every shell script that the nemesis runs on a node, and nothing else: POSIX sh, no bash.
//!
//! Each is a few quoted assignments and a constant text, so that what is quoted is data and what is text is fixed.
//! Each may be run twice, or when half of its work was done before.

mod claim;
mod filter;
mod lease;
mod leftovers;
mod process;

pub use claim::{claim_break, claim_look, claim_release, claim_take};
pub use filter::{
    controller_address, iptables_install, iptables_leftover, iptables_undo, nft_leftover, nft_load, nft_rules,
    nft_undo, which_filter,
};
pub use lease::{Places, beat, heal, lease_arm, lease_cancel, lease_heal, lease_list};
pub use leftovers::{LEFTOVERS, Leftover, leftovers_remove};
pub use process::signal;

/// Where the packet filter's tools live when a login has a short path.
const SBIN: &str = "PATH=\"$PATH:/usr/sbin:/sbin\"\n";

/// Says which of the tools that evidence needs are missing, a line each.
pub fn missing_tools() -> String {
    "for tool in perl setsid sleep flock; do command -v \"$tool\" >/dev/null 2>&1 || echo \"$tool\"; done\ntrue\n"
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use schism_cluster::ProcessId;
    use std::io::Write;
    use std::net::IpAddr;
    use std::process::{Command, Stdio};

    fn addresses() -> Vec<IpAddr> {
        ["10.0.0.2", "fd00::3"].iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn every_script_is_posix_shell() {
        let processes = [ProcessId { pid: 12, start_ticks: 345 }];
        let places = Places {
            dir: "/var/lib/a b".to_owned(),
            run: "/run/a b".to_owned(),
            boot: "/var/lib/boot d".to_owned(),
            etc: "/etc".to_owned(),
        };
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
            lease_arm(&places, "t-1", 30, "here:1:2", "{\"it's\":1}"),
            places.watch(),
            places.at_boot(),
            beat("/run/a b", "t", 7, Some("t here:1:2 3 30")),
            heal(&places, "t-1", true),
            heal(&places, "t-1", false),
            lease_cancel(&places, "t-1"),
            lease_list(&places),
            lease_heal(&places),
            claim_take("/var/lib/a b", "/run/a b", "t", "t here:1:2 3 30"),
            claim_release("/run/a b", "t"),
            claim_break("/run/a b", "halted here:1:2 3 0"),
            claim_look("/run/a b"),
            leftovers_remove(&places),
            missing_tools(),
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
