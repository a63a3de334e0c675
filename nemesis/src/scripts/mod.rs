//! Every shell script that the nemesis runs on a node, and nothing else: POSIX sh, no bash.
//!
//! Each is a few quoted assignments and a constant text, so that what is quoted is data and what is text is fixed.
//! Each may be run twice, or when half of its work was done before.

mod cgroup;
mod claim;
mod clock;
mod device_mapper;
mod disk;
mod dns;
mod filter;
mod lease;
mod leftovers;
mod netem;
mod node;
mod process;
mod resources;

pub use cgroup::{Controller, group_available, group_enter, group_leave, group_look, group_place};
pub use claim::{claim_break, claim_look, claim_release, claim_take};
use clock::clock_left;
pub use clock::{clock_missing, clock_undo};
pub use device_mapper::{
    MAPPER_DIR, MapperHarm, mapper_doctor, mapper_left, mapper_look, mapper_missing, mapper_probe, mapper_start,
    mapper_undo,
};
pub use disk::{
    COPIES_DIR, FAULTFS_DIR, FaultfsPlace, copy_keep, copy_put, copy_remove, disk_clean, disk_fill, disk_free,
    disk_mark, disk_marks_count, disk_marks_told, disk_probe, disk_unfill, faultfs_left, faultfs_look, faultfs_order,
    faultfs_start, faultfs_undo, file_look, fill_missing, fuse_missing, read_only_mount, read_only_undo,
};
pub use dns::{KEPT_DIR, etc_read, etc_swap, names_leftover, names_lookup, names_undo, resolver_start};
pub use filter::{
    How, Rules, Whose, all_filters, controller_address, iptables_install, iptables_leftover, iptables_undo, login_port,
    nft_leftover, nft_load, nft_load_text, nft_rules, nft_undo, pulse, pulse_leftover, pulse_undo, which_filter,
};
pub use lease::{Places, beat, heal, lease_arm, lease_cancel, lease_heal, lease_list, lease_work, whole};
pub use leftovers::{LEFTOVERS, Leftover, leftovers_remove};
pub use netem::{
    HANDLE, SHAPES_DIR, all_shapes, foreign_queues, netem_apply, netem_leftover, netem_missing, netem_undo, shape_line,
};
pub use node::{can_reboot, node_identity, reboot};
pub use process::{FAULT_DIR, crash_loop_look, crash_loop_start, detached_start, detached_stop, finish, mark, signal};
pub use resources::{
    cpu_times, descriptors_lower, descriptors_of, descriptors_restore, memory_look, missing_prlimit, stopped_share,
};

/// Where the packet filter's tools live when a login has a short path.
const SBIN: &str = "PATH=\"$PATH:/usr/sbin:/sbin\"\n";

/// Says which of the tools that evidence needs are missing, a line each.
pub fn missing_tools() -> String {
    "for tool in perl setsid sleep flock; do command -v \"$tool\" >/dev/null 2>&1 || echo \"$tool\"; done\ntrue\n"
        .to_owned()
}

/// What the tests of all families need.
#[cfg(test)]
mod testing {
    use std::process::{Command, Stdio};

    /// Every one of these is POSIX shell, as far as the shell of this machine tells.
    pub(super) fn posix(scripts: &[String]) {
        for script in scripts {
            let output = Command::new("sh").args(["-n", "-c", script]).stdin(Stdio::null()).output().unwrap();
            assert!(output.status.success(), "{}\n{script}", String::from_utf8_lossy(&output.stderr));
        }
    }

    /// Runs a script that must succeed; what it said.
    pub(super) fn run(script: &str) -> String {
        let output = Command::new("sh").args(["-c", script]).stdin(Stdio::null()).output().unwrap();
        assert!(output.status.success(), "{}\n{script}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }
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
            iptables_install("SCHISM-t-1", &Rules::plain(addresses())),
            pulse("schism_t_1-n1", &nft_load(), &nft_undo("schism_t_1"), 1500, 20),
            pulse_undo("schism_t_1-n1"),
            pulse_leftover("schism_t_1-n1"),
            all_filters(),
            all_shapes(),
            etc_read("hosts"),
            etc_swap("t-1", "hosts", "absent"),
            resolver_start("t-1", "/a/schism agent dns"),
            names_undo("t-1"),
            names_leftover("t-1"),
            names_lookup(&["n1".to_owned()]),
            foreign_queues(&addresses()),
            netem_apply("t-1"),
            netem_undo("t-1"),
            netem_leftover("t-1"),
            netem_missing("netem delay 1ms"),
            login_port(),
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
            lease_work(&places, "t-1"),
            lease_heal(&places),
            claim_take("/var/lib/a b", "/run/a b", "t", "t here:1:2 3 30"),
            claim_release("/run/a b", "t"),
            claim_break("/run/a b", "halted here:1:2 3 0"),
            claim_look("/run/a b"),
            leftovers_remove(&places),
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
            clock_undo("/a b/schism", "/run/x y", "t-1-n1"),
            clock_missing("{\"it's\":1}"),
        ];
        for script in scripts {
            let mut child = Command::new("sh").arg("-n").stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
            child.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
            let output = child.wait_with_output().unwrap();
            assert!(output.status.success(), "{}\n{script}", String::from_utf8_lossy(&output.stderr));
        }
    }

    #[test]
    fn a_filler_that_was_removed_meanwhile_does_not_come_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().display().to_string();
        // A disk with room for a while, and an undo that comes before each piece.
        let stand_ins = format!(
            "stat() {{ echo x >>{path}/asked; [ \"$(wc -l <{path}/asked)\" -gt 5 ] && echo '0 1' || echo '70000 1'; }}\n\
             dd() {{ rm -f \"$file\"; command dd \"$@\"; }}\n"
        );
        let script = disk_fill(&path, "t-1", 0, 1 << 20).replace("/var/lib/schism", &format!("{path}/notes"));
        testing::run(&format!("{stand_ins}{script}"));
        let mut left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().flatten().map(|one| one.file_name()).collect();
        left.sort();
        assert_eq!(left, ["asked", "notes"]);
    }

    #[test]
    fn every_perl_program_compiles() {
        for program in [
            super::netem::REBUILD.to_owned(),
            format!("{}{}", schism_cluster::probe::quality::CLOCK, super::dns::LOOKUP),
        ] {
            let output = Command::new("perl").arg("-c").arg("-e").arg(&program).output().unwrap();
            assert!(output.status.success(), "{}\n{program}", String::from_utf8_lossy(&output.stderr));
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
