//! What the file system does wrong: rules, each under the name of the fault that brought it.

use serde::{Deserialize, Serialize};

/// What a program asks of a file system, in the four kinds that faults tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OpKind {
    /// Reads of data.
    Read,
    /// Changes of data: writes, truncation, allocation.
    Write,
    /// `fsync` and `fdatasync`, of files and folders.
    Fsync,
    /// Changes of names: create, rename, link, unlink, make and remove folders.
    Name,
}

/// All of them.
pub const KINDS: [OpKind; 4] = [OpKind::Read, OpKind::Write, OpKind::Fsync, OpKind::Name];

/// One fault's wish. Several rules add up: latencies add, each draws its own errors.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rule {
    /// Which operations are slow or fail; empty: all.
    pub ops: Vec<OpKind>,
    /// Patterns of files ([`matches()`], below the folder); empty: all. Names are not told apart for [`OpKind::Name`].
    pub paths: Vec<String>,
    /// Added to each such operation, milliseconds.
    pub latency_ms: u64,
    /// How many of a million such operations end with EIO, evenly drawn.
    pub error_ppm: u32,
    /// Every change ends with EROFS.
    pub read_only: bool,
    /// Whatever needs more room ends with ENOSPC.
    pub full: bool,
    /// What was not synced is remembered, so that a crash can take it back.
    pub track_unsynced: bool,
    /// At the next write to such a file that crosses a boundary of this many bytes, only the part before some boundary is
    /// written, the program gets EIO, and the disk is dead from then on.
    pub torn_sector_bytes: Option<u64>,
}

impl Rule {
    /// Whether it speaks of this operation on this file. Without a path only rules without patterns do.
    pub fn speaks_of(&self, kind: OpKind, path: Option<&str>) -> bool {
        let of_kind = self.ops.is_empty() || self.ops.contains(&kind);
        of_kind && (self.paths.is_empty() || path.is_some_and(|path| self.on_path(path)))
    }

    /// Whether it speaks of this file.
    pub fn on_path(&self, path: &str) -> bool {
        self.paths.is_empty() || self.paths.iter().any(|pattern| matches(pattern, path))
    }
}

/// Whether a path below the folder fits a pattern of the shell: `*` and `?` stand for anything but `/`. No brackets.
///
/// Costs at most the product of both lengths.
pub fn matches(pattern: &str, path: &str) -> bool {
    let (pattern, path): (Vec<char>, Vec<char>) = (pattern.chars().collect(), path.chars().collect());
    let (mut at, mut seen) = (0, 0);
    // Where the last star stands, and up to where it has eaten.
    let mut star: Option<(usize, usize)> = None;
    while seen < path.len() {
        match pattern.get(at) {
            Some('*') => {
                star = Some((at, seen));
                at += 1;
                continue;
            }
            Some('?') if path[seen] != '/' => {
                at += 1;
                seen += 1;
                continue;
            }
            Some(&char) if char != '?' && char == path[seen] => {
                at += 1;
                seen += 1;
                continue;
            }
            _ => {}
        }
        match star {
            Some((place, eaten)) if path[eaten] != '/' => {
                star = Some((place, eaten + 1));
                at = place + 1;
                seen = eaten + 1;
            }
            _ => return false,
        }
    }
    pattern[at..].iter().all(|char| *char == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (pattern, path, fits) in [
            ("*", "a", true),
            ("*", "a/b", false),
            ("member/wal/*.wal", "member/wal/0-0.wal", true),
            ("member/wal/*.wal", "member/wal/0-0.wal.tmp", false),
            ("member/*/db", "member/snap/db", true),
            ("member/*/db", "member/a/b/db", false),
            ("a?c", "abc", true),
            ("a?c", "a/c", false),
            ("a*b*c", "aXbXbYc", true),
            ("a*b*c", "aXbXbY", false),
            ("", "", true),
            ("", "a", false),
            ("**", "abc", true),
            ("é*", "élan", true),
        ] {
            assert_eq!(matches(pattern, path), fits, "{pattern} {path}");
        }
    }

    #[test]
    fn rules_speak_of_their_operations_and_files() {
        let rule = |ops: &[OpKind], paths: &[&str]| Rule {
            ops: ops.to_vec(),
            paths: paths.iter().map(|path| (*path).to_owned()).collect(),
            ..Rule::default()
        };
        for (rule, kind, path, speaks) in [
            (rule(&[], &[]), OpKind::Read, None, true),
            (rule(&[OpKind::Fsync], &[]), OpKind::Read, None, false),
            (rule(&[OpKind::Fsync], &[]), OpKind::Fsync, Some("a"), true),
            (rule(&[], &["*.wal"]), OpKind::Write, Some("a.wal"), true),
            (rule(&[], &["*.wal"]), OpKind::Write, Some("a.db"), false),
            (rule(&[], &["*.wal"]), OpKind::Name, None, false),
        ] {
            assert_eq!(rule.speaks_of(kind, path), speaks, "{rule:?} {kind:?} {path:?}");
        }
    }

    #[test]
    fn a_rule_and_back() {
        let text = r#"{"ops":["fsync"],"latency_ms":50}"#;
        let rule: Rule = serde_json::from_str(text).unwrap();
        assert_eq!((rule.latency_ms, rule.ops.as_slice()), (50, &[OpKind::Fsync][..]));
        assert_eq!(serde_json::from_str::<Rule>(&serde_json::to_string(&rule).unwrap()).unwrap(), rule);
        assert!(serde_json::from_str::<Rule>(r#"{"latency":50}"#).is_err());
    }
}
