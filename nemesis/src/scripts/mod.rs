//! Every shell script that the nemesis runs on a node, and nothing else: POSIX sh, no bash.
//!
//! Each is a few quoted assignments and a constant text, so that what is quoted is data and what is text is fixed.
//! Each may be run twice, or when half of its work was done before.

mod disk;
mod filter;
mod lease;
mod process;

pub use disk::{
    COPIES_DIR, FAULTFS_DIR, FaultfsPlace, copy_keep, copy_put, copy_remove, disk_clean, disk_fill, disk_free,
    disk_mark, disk_marks_count, disk_marks_told, disk_probe, disk_unfill, faultfs_left, faultfs_look, faultfs_order,
    faultfs_start, faultfs_undo, file_look, fill_missing, fuse_missing, read_only_mount, read_only_undo,
};
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
            fuse_missing(),
            faultfs_start(&FaultfsPlace::of("/var/a b"), "/run/it's", "t-1", "{\"it's\":1}", 7),
            faultfs_undo(&FaultfsPlace::of("/var/a b"), "t-1"),
            faultfs_left(&FaultfsPlace::of("/var/a b"), "t-1"),
            faultfs_order(&FaultfsPlace::of("/var/a b"), "/run/a b", "crash"),
            disk_probe("/var/a b", "t-1", 3, 4096),
            disk_fill("/var/a b", "t-1", 0, 1 << 30),
            disk_unfill("/var/a b", "t-1"),
            disk_free("/var/a b"),
            fill_missing("/var/a b", 1, true),
            read_only_mount("/var/a b", "t-1"),
            read_only_undo("/var/a b", "t-1"),
            disk_mark("/var/a b", "t-1"),
            disk_clean("/var/a b", "t-1"),
            disk_marks_count("/var/a b", "t-1"),
            disk_marks_told("t-1"),
            file_look("/var/a b", &[1, 2]),
            copy_keep("/var/a b", "t-1", 1, &signal("STOP", &processes), &signal("CONT", &processes)),
            copy_put("/var/a b", "t-1", "wal/*"),
            copy_remove("t-1"),
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
