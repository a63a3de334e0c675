//! Reads by predicate over a closed universe of objects.

/// Whether a micro-operation's function is one of this room: `init`, `insert`, `delete`, `rp`.
pub fn is_known(f: &str) -> bool {
    matches!(f, "init" | "insert" | "delete" | "rp")
}
