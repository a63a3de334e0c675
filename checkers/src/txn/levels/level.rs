//! Consistency models by name: what each promises, which it implies directly and why, and the kinds of anomaly that it adds
//! to what those forbid.
//!
//! Names and arrows are those of Elle's lattice (Kingsbury, Alvaro 2020), with their sources, and what it leaves open mended:
//! no model forbids nothing, parallel snapshot isolation is told from prefix consistency by long fork, and further arrows
//! are there where an argument stands in `docs/isolation.md`. Biswas and Enea's axioms know sessions, and of the order of versions (and so
//! of G0) only what reads show, so they have names of their own, `axiomatic-...`.

use crate::anomaly::AnomalyKind;

/// Elle's lattice, after the works that it names.
const ELLE: &str = "Elle (Kingsbury, Alvaro 2020)";
/// Levels by phenomena.
const ADYA: &str = "Adya 1999";
/// Levels by visibility and arbitration.
const CERONE: &str = "Cerone, Bernardi, Gotsman 2015";
/// Levels by axioms over sessions and reads-from.
const AXIOMS: &str = "Biswas, Enea 2019";
/// Monotonic atomic view.
const BAILIS: &str = "Bailis et al. 2013";
/// Strong sessions.
const DAUDJEE: &str = "Daudjee, Salem 2006";
/// Guarantees of sessions.
const TERRY: &str = "Terry et al. 1994";
/// PRAM, causal and sequential consistency of memories.
const MEMORY: &str = "Lipton, Sandberg 1988; Ahamad et al. 1995; Lamport 1979";
/// How guarantees of sessions and memories hang together.
const SESSIONS: &str = "Brzezinski, Sobaniec, Wawrzyniak 2004";
/// Linearizability.
const HERLIHY: &str = "Herlihy, Wing 1990";
/// Serializability by copies and by views.
const BERNSTEIN: &str = "Bernstein, Hadzilacos, Goodman 1987";
/// What follows from the words alone.
const DEFINITION: &str = "by definition";
/// What is argued in the documentation.
const ARGUED: &str = "argued in docs/isolation.md";

/// Makes the levels, their names and the table of them at once, so that none can be left out.
macro_rules! levels {
    ($($level:ident {
        name: $name:literal, aliases: [$($alias:literal),*], about: $about:literal, source: $source:expr,
        adds: [$($kind:ident),*], implies: [$($to:ident: $why:expr),* $(,)?]
    })*) => {
        /// A consistency model.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Level {
            $(#[doc = $about] $level,)*
        }

        impl Level {
            /// All of them.
            pub const ALL: &'static [Level] = &[$(Level::$level),*];
        }

        /// The table of models, in the order of [`Level::ALL`].
        pub const LEVELS: &[LevelEntry] = &[$(LevelEntry {
            level: Level::$level,
            name: $name,
            aliases: &[$($alias),*],
            about: $about,
            source: $source,
            adds: &[$(AnomalyKind::$kind),*],
            implies: &[$(Arrow { to: Level::$to, source: $why }),*],
        }),*];
    };
}

/// A model of the table.
#[derive(Debug, Clone, Copy)]
pub struct LevelEntry {
    /// Which.
    pub level: Level,
    /// Its canonical name, as in Elle.
    pub name: &'static str,
    /// Other names, the usual one first.
    pub aliases: &'static [&'static str],
    /// One line for a person.
    pub about: &'static str,
    /// Who defined it.
    pub source: &'static str,
    /// What it forbids beyond what the models forbid that it implies.
    pub adds: &'static [AnomalyKind],
    /// What it implies directly.
    pub implies: &'static [Arrow],
}

/// A model is implied, and who says so.
#[derive(Debug, Clone, Copy)]
pub struct Arrow {
    /// The weaker model.
    pub to: Level,
    /// Who says so.
    pub source: &'static str,
}

levels! {
    ReadUncommitted {
        name: "PL-1", aliases: ["read-uncommitted"],
        about: "writes of several transactions have one order for all keys", source: ADYA,
        adds: [G0, DuplicateElements, CyclicVersions], implies: []
    }
    ReadCommitted {
        name: "PL-2", aliases: ["read-committed"],
        about: "what is read was committed, and information does not flow in circles", source: ADYA,
        adds: [G1a, G1b, G1c, DirtyUpdate, FutureRead, GarbageRead, IncompatibleOrder], implies: [ReadUncommitted: ADYA]
    }
    CursorStability {
        name: "PL-CS", aliases: ["cursor-stability"],
        about: "what a transaction reads of a key and writes again, nobody writes in between", source: ADYA,
        adds: [LostUpdate, GCursor], implies: [ReadCommitted: ADYA]
    }
    MonotonicView {
        name: "PL-2L", aliases: ["monotonic-view"],
        about: "once a transaction saw another, it sees nothing older than that, nor than what that depends on",
        source: ADYA, adds: [GMonotonic], implies: [ReadCommitted: ADYA, MonotonicAtomicView: ARGUED]
    }
    MonotonicSnapshotRead {
        name: "PL-MSR", aliases: ["monotonic-snapshot-read"],
        about: "each read sees a snapshot of what was committed, and snapshots do not go back within a transaction",
        source: ADYA, adds: [GMsr], implies: [MonotonicView: ADYA]
    }
    ConsistentView {
        name: "PL-2+", aliases: ["consistent-view"],
        about: "each transaction sees a consistent state: no write over what it read comes before what it saw",
        source: ADYA, adds: [GSingle],
        implies: [CursorStability: ADYA, MonotonicView: ADYA, ParallelSnapshotIsolation: ARGUED]
    }
    ForwardConsistentView {
        name: "PL-FCV", aliases: ["forward-consistent-view"],
        about: "a consistent state, at least as new as the transaction's beginning (which clients cannot see)",
        source: ADYA, adds: [], implies: [ConsistentView: ADYA]
    }
    UpdateSerializable {
        name: "PL-3U", aliases: ["update-serializable"],
        about: "the transactions that write have a serial order, in which each reader alone has a place", source: ADYA,
        adds: [NotUpdateSerializable], implies: [ForwardConsistentView: ADYA]
    }
    RepeatableRead {
        name: "PL-2.99", aliases: ["repeatable-read"],
        about: "serializable, but for reads by predicate", source: ADYA,
        adds: [G2Item, NotSerializable],
        implies: [CursorStability: ELLE, MonotonicAtomicView: ELLE, ParallelSnapshotIsolation: ARGUED, Prefix: ARGUED]
    }
    MonotonicAtomicView {
        name: "monotonic-atomic-view", aliases: [],
        about: "once a transaction saw a write of another, it sees all of its writes", source: BAILIS,
        adds: [NonMonotonicView], implies: [ReadCommitted: BAILIS]
    }
    ReadAtomic {
        name: "read-atomic", aliases: ["ramp"],
        about: "of another transaction everything is seen or nothing", source: CERONE,
        adds: [Internal, FracturedRead], implies: [MonotonicAtomicView: ELLE]
    }
    CausalCerone {
        name: "causal-cerone", aliases: [],
        about: "who sees a transaction sees all that it saw", source: CERONE,
        adds: [StaleCausalRead], implies: [ReadAtomic: CERONE]
    }
    Prefix {
        name: "prefix", aliases: ["consistent-prefix"],
        about: "each transaction sees a prefix of one commit order", source: CERONE,
        adds: [NotPrefix, LongFork], implies: [CausalCerone: CERONE]
    }
    UpdateAtomic {
        name: "update-atomic", aliases: [],
        about: "read atomic, and of two writers of a key one saw the other", source: CERONE,
        adds: [NotUpdateAtomic], implies: [ReadAtomic: CERONE, CursorStability: ARGUED]
    }
    ParallelSnapshotIsolation {
        name: "parallel-snapshot-isolation", aliases: ["psi"],
        about: "snapshots that hold what they causally depend on, and of two writers of a key one saw the other; forks are allowed",
        source: CERONE, adds: [GSingleItem, NotParallelSnapshotIsolation],
        implies: [CausalCerone: CERONE, UpdateAtomic: CERONE]
    }
    SnapshotIsolation {
        name: "PL-SI", aliases: ["snapshot-isolation", "si"],
        about: "each transaction reads from one snapshot, and of two writers of a key one saw the other", source: ADYA,
        adds: [GNonadjacent, NotSnapshotIsolation],
        implies: [
            ForwardConsistentView: ADYA, MonotonicSnapshotRead: ADYA, MonotonicAtomicView: ELLE,
            ParallelSnapshotIsolation: CERONE, Prefix: CERONE
        ]
    }
    Serializable {
        name: "PL-3", aliases: ["serializable", "conflict-serializable", "ser"],
        about: "some serial order of the transactions explains everything", source: ADYA,
        adds: [G2, PredicateReadMiss],
        implies: [
            RepeatableRead: ADYA, UpdateSerializable: ADYA, SnapshotIsolation: ELLE, OneCopySerializable: BERNSTEIN,
            ViewSerializable: BERNSTEIN
        ]
    }
    StrongSessionReadUncommitted {
        name: "strong-session-PL-1", aliases: ["strong-session-read-uncommitted"],
        about: "PL-1, with the order of each process", source: ELLE,
        adds: [G0Process], implies: [ReadUncommitted: DEFINITION]
    }
    StrongSessionReadCommitted {
        name: "strong-session-PL-2", aliases: ["strong-session-read-committed"],
        about: "PL-2, with the order of each process", source: ELLE,
        adds: [G1cProcess], implies: [ReadCommitted: DEFINITION, StrongSessionReadUncommitted: ELLE]
    }
    StrongReadUncommitted {
        name: "strong-PL-1", aliases: ["strong-read-uncommitted"],
        about: "PL-1, with the order of real time", source: ELLE,
        adds: [G0Realtime], implies: [StrongSessionReadUncommitted: ELLE]
    }
    StrongReadCommitted {
        name: "strong-PL-2", aliases: ["strong-read-committed"],
        about: "PL-2, with the order of real time", source: ELLE,
        adds: [G1cRealtime], implies: [StrongSessionReadCommitted: ELLE, StrongReadUncommitted: ELLE]
    }
    StrongSessionSnapshotIsolation {
        name: "strong-session-snapshot-isolation", aliases: ["strong-session-PL-SI"],
        about: "snapshot isolation, and each transaction sees what its process did before", source: DAUDJEE,
        adds: [GNonadjacentProcess, NotSnapshotIsolationProcess],
        implies: [
            SnapshotIsolation: DAUDJEE, StrongSessionReadCommitted: ELLE, AxiomaticPrefix: AXIOMS,
        ]
    }
    StrongSnapshotIsolation {
        name: "strong-snapshot-isolation", aliases: ["strong-PL-SI"],
        about: "snapshot isolation, and each transaction sees all that had ended before it began", source: DAUDJEE,
        adds: [GNonadjacentRealtime, NotSnapshotIsolationRealtime],
        implies: [StrongSessionSnapshotIsolation: DAUDJEE, StrongReadCommitted: ELLE]
    }
    StrongSessionSerializable {
        name: "strong-session-serializable", aliases: ["strong-session-PL-3"],
        about: "some serial order that keeps the order of each process explains everything", source: DAUDJEE,
        adds: [G2Process, NotSerializableProcess],
        implies: [
            Serializable: DAUDJEE, StrongSessionSnapshotIsolation: ELLE, SessionSerializable: DEFINITION
        ]
    }
    StrictSerializable {
        name: "PL-SS", aliases: ["strict-serializable", "strong-serializable"],
        about: "some serial order that keeps the order of real time explains everything", source: ADYA,
        adds: [G2Realtime, NotSerializableRealtime],
        implies: [
            Serializable: ADYA, SnapshotIsolation: ELLE, StrongSnapshotIsolation: ELLE,
            StrongSessionSerializable: ELLE, Linearizable: HERLIHY, SessionSerializable: ELLE
        ]
    }
    ViewSerializable {
        name: "view-serializable", aliases: [],
        about: "what every transaction read is what it would have read in some serial order", source: BERNSTEIN,
        adds: [NotSerializable], implies: [RepeatableRead: ARGUED]
    }
    OneCopySerializable {
        name: "1SR", aliases: ["one-copy-serializable"],
        about: "as if there were one copy of everything, and one transaction at a time", source: BERNSTEIN,
        adds: [NotSerializable], implies: [ViewSerializable: BERNSTEIN]
    }
    SessionSerializable {
        name: "session-serializable", aliases: ["strong-session-1SR"],
        about: "1SR, with the order of each process", source: DAUDJEE,
        adds: [NotSerializableProcess, G2ItemProcess],
        implies: [
            OneCopySerializable: ELLE, StrongSessionReadCommitted: ARGUED, AxiomaticPrefix: ARGUED, Sequential: ARGUED
        ]
    }
    Linearizable {
        name: "linearizable", aliases: ["atomic"],
        about: "the single operations have an order that keeps the order of real time", source: HERLIHY,
        adds: [NotLinearizable], implies: [Sequential: HERLIHY]
    }
    Sequential {
        name: "sequential", aliases: ["sequentially-consistent"],
        about: "the single operations have an order that keeps the order of each process", source: MEMORY,
        adds: [NotSequential], implies: [CausalMemory: MEMORY]
    }
    CausalMemory {
        name: "causal-memory", aliases: ["cm"],
        about: "each process has an order of all writes and its own reads that keeps causality", source: MEMORY,
        adds: [NotCausalMemory], implies: [Causal: ARGUED, PipelinedRam: MEMORY]
    }
    PipelinedRam {
        name: "pipelined-ram", aliases: ["fifo"],
        about: "each process has an order of all writes and its own reads that keeps the order of each process", source: MEMORY,
        adds: [NotPipelinedRam], implies: [Pram: ARGUED]
    }
    Causal {
        name: "causal", aliases: [],
        about: "all four guarantees of sessions together: who sees a write sees what it causally depends on (causal-memory asks more)",
        source: SESSIONS,
        adds: [NotCausal], implies: [WritesFollowReads: SESSIONS, Pram: SESSIONS]
    }
    WritesFollowReads {
        name: "writes-follow-reads", aliases: ["wfr", "session-causality"],
        about: "who sees a write sees what its process had read before it", source: TERRY,
        adds: [NotWritesFollowReads], implies: []
    }
    Pram {
        name: "PRAM", aliases: [],
        about: "read your writes, monotonic reads and monotonic writes together (pipelined-ram asks more)",
        source: SESSIONS,
        adds: [NotPram, GarbageRead],
        implies: [MonotonicReads: SESSIONS, MonotonicWrites: SESSIONS, ReadYourWrites: SESSIONS]
    }
    MonotonicReads {
        name: "monotonic-reads", aliases: ["mr"],
        about: "what a process has seen it sees again, or something newer", source: TERRY,
        adds: [NotMonotonicReads], implies: []
    }
    MonotonicWrites {
        name: "monotonic-writes", aliases: ["mw"],
        about: "who sees a write sees what its process had written before it", source: TERRY,
        adds: [NotMonotonicWrites], implies: []
    }
    ReadYourWrites {
        name: "read-your-writes", aliases: ["ryw", "read-my-writes"],
        about: "a process sees what it wrote, or something newer", source: TERRY,
        adds: [NotReadYourWrites], implies: []
    }
    AxiomaticReadCommitted {
        name: "axiomatic-read-committed", aliases: ["rc-axiom"],
        about: "a commit order that keeps sessions; once a transaction saw another, it reads nothing that is older",
        source: AXIOMS, adds: [NonMonotonicViewProcess],
        implies: [MonotonicAtomicView: ARGUED, StrongSessionReadCommitted: ARGUED]
    }
    AxiomaticReadAtomic {
        name: "axiomatic-read-atomic", aliases: ["ra-axiom"],
        about: "a commit order that keeps sessions; nothing is read that is older than what the transaction read from, or its session wrote",
        source: AXIOMS, adds: [FracturedReadProcess],
        implies: [AxiomaticReadCommitted: AXIOMS, ReadAtomic: ARGUED]
    }
    AxiomaticCausal {
        name: "axiomatic-causal", aliases: ["causal+", "causal-convergence", "ccv", "cc-axiom", "tcc"],
        about: "a commit order that keeps sessions; nothing is read that is older than anything it causally depends on",
        source: AXIOMS, adds: [StaleCausalReadProcess],
        implies: [
            AxiomaticReadAtomic: AXIOMS, CausalCerone: ARGUED, Causal: ARGUED,
        ]
    }
    AxiomaticPrefix {
        name: "axiomatic-prefix", aliases: ["pc-axiom", "strong-session-prefix"],
        about: "a commit order that keeps sessions, of which each transaction sees a prefix with all of its session",
        source: AXIOMS, adds: [NotPrefixProcess], implies: [AxiomaticCausal: AXIOMS, Prefix: ARGUED]
    }
}

impl Level {
    /// Its line of the table.
    pub fn entry(self) -> &'static LevelEntry {
        &LEVELS[self as usize]
    }

    /// Its canonical name, as in Elle (`PL-SI`).
    pub fn as_str(self) -> &'static str {
        self.entry().name
    }

    /// The name that people use (`snapshot-isolation`), which is the canonical one where there is no other.
    pub fn usual_name(self) -> &'static str {
        let entry = self.entry();
        let is_adyas = entry.name.contains("PL-");
        if is_adyas { entry.aliases.first().copied().unwrap_or(entry.name) } else { entry.name }
    }

    /// By name or alias, whatever the case of its letters; `_` and spaces count as `-`.
    pub fn parse(name: &str) -> Option<Level> {
        let plain = |name: &str| name.trim().to_ascii_lowercase().replace(['_', ' '], "-");
        let name = plain(name);
        let is_of =
            |entry: &&LevelEntry| std::iter::once(&entry.name).chain(entry.aliases).any(|known| plain(known) == name);
        LEVELS.iter().find(is_of).map(|entry| entry.level)
    }

    /// Every name there is: canonical ones and aliases.
    pub fn names() -> impl Iterator<Item = &'static str> + Clone {
        LEVELS.iter().flat_map(|entry| std::iter::once(&entry.name).chain(entry.aliases).copied())
    }
}

impl std::fmt::Display for Level {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.usual_name())
    }
}
