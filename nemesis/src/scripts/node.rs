//! Whole nodes: which boot this is, and booting again.

use super::lease::LEASE_HOLDS;

/// Prints what tells one boot of a node from another, and how long it is up: `BOOT_ID INIT_START_TICKS UPTIME_S`. Nodes
/// that share a kernel share the boot id; their first process does not begin at the same tick twice.
pub fn node_identity() -> String {
    "read -r boot </proc/sys/kernel/random/boot_id
read -r up idle </proc/uptime
IFS= read -r line </proc/1/stat
set -- ${line##*) }
echo \"$boot ${20} $up\"
"
    .to_owned()
}

/// Says what a node lacks to boot again by itself, nothing where it can.
pub fn can_reboot() -> String {
    format!(
        "{}while read -r key value; do
  [ \"$key\" = CapEff: ] || continue
  # CAP_SYS_BOOT is bit 22; containers go without.
  [ $(( (0x$value >> 22) & 1 )) = 1 ] || echo 'root may not reboot it (no CAP_SYS_BOOT)'
done </proc/self/status
[ -d /run/systemd/system ] || command -v reboot >/dev/null || echo 'it has neither systemd nor the command reboot'
:
",
        super::SBIN
    )
}

/// Boots the node again, a moment after this command has ended.
pub fn reboot() -> String {
    format!(
        "{}setsid sh -c 'sleep 0.5
{LEASE_HOLDS}sync
if [ -d /run/systemd/system ]; then systemctl reboot; else reboot -f || reboot; fi' </dev/null >/dev/null 2>&1 &
",
        super::SBIN
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scripts::testing::{posix, run};

    #[test]
    fn every_script_is_posix_shell_and_this_machine_has_an_identity() {
        posix(&[node_identity(), can_reboot(), reboot()]);
        let text = run(&node_identity());
        let words: Vec<&str> = text.split_whitespace().collect();
        assert_eq!((words.len(), words[0].len()), (3, 36), "{text}");
        assert!(words[1].parse::<u64>().is_ok() && words[2].parse::<f64>().is_ok(), "{text}");
        run(&can_reboot());
    }
}
