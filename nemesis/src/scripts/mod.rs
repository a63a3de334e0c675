//! Every shell script that the nemesis runs on a node, and nothing else: POSIX sh, no bash.
//!
//! Each is a few quoted assignments and a constant text, so that what is quoted is data and what is text is fixed.
//! Each may be run twice, or when half of its work was done before.

mod clock;
mod filter;
mod lease;
mod process;

pub use clock::{clock_missing, clock_undo};
pub use filter::{
    controller_address, iptables_install, iptables_leftover, iptables_undo, nft_leftover, nft_load, nft_rules,
    nft_undo, which_filter,
};
pub use lease::{heal, lease_arm, lease_heal, lease_list};
pub use process::signal;

/// Where the packet filter's tools live when a login has a short path.
const SBIN: &str = "PATH=\"$PATH:/usr/sbin:/sbin\"\n";

/// Says which of the tools that evidence needs are missing, a line each.
pub fn missing_tools() -> String {
    "for tool in perl setsid sleep; do command -v \"$tool\" >/dev/null 2>&1 || echo \"$tool\"; done\ntrue\n".to_owned()
}

#[cfg(test)]
mod tests {
    use super::lease::{RUN_UNDO, WATCH};
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
            clock_undo("/a b/schism", "/run/x y", "t-1-n1"),
            clock_missing("{\"it's\":1}"),
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
