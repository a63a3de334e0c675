//! The short name of a run that every rule, chain, lease and file of ours on a node carries.

use std::fmt;

use serde::{Deserialize, Serialize};

/// At most this long: an iptables chain has 28 characters for `SCHISM-<tag>-<id>`.
const CHARS_MAX: usize = 10;

/// Lower-case letters and digits, 1 to 10 of them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RunTag(String);

impl RunTag {
    /// From the name of a run: its letters and digits where they are few enough, else a digest of the whole name (so
    /// that two runs of one day do not meet).
    pub fn new(run: &str) -> RunTag {
        let plain = !run.is_empty() && run.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
        if plain && run.len() <= CHARS_MAX {
            return RunTag(run.to_owned());
        }
        // FNV-1a: a name, not a secret.
        let hash = run
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
        let digits = format!("{hash:016x}");
        RunTag(digits.chars().skip(16 - CHARS_MAX).collect())
    }

    /// The tag.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What the names of a fault's leases begin with: `<tag>-<fault id>`.
    pub fn lease(&self, fault_id: u32) -> String {
        format!("{self}-{fault_id}")
    }

    /// The name of a fault's nftables table: `schism_<tag>_<fault id>`.
    pub fn table(&self, fault_id: u32) -> String {
        format!("schism_{self}_{fault_id}")
    }

    /// The name of a fault's iptables chain: `SCHISM-<tag>-<fault id>`, at most 28 characters.
    pub fn chain(&self, fault_id: u32) -> String {
        format!("SCHISM-{self}-{fault_id}")
    }
}

impl fmt::Display for RunTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_short_safe_and_differ() {
        assert_eq!(RunTag::new("k3f9").as_str(), "k3f9");
        let long = ["2026-11-21T01-40-05-etcd-k3f9", "2026-11-21T01-40-05-etcd-k3fa", "", "A", "a;rm -rf /", "é"];
        let tags: std::collections::BTreeSet<String> =
            long.iter().map(|run| RunTag::new(run).as_str().to_owned()).collect();
        assert_eq!(tags.len(), long.len());
        for tag in tags {
            assert!(tag.len() == CHARS_MAX && tag.chars().all(|c| c.is_ascii_hexdigit()), "{tag}");
        }
        assert!(RunTag::new(long[0]).chain(u32::MAX).len() <= 28);
    }
}
