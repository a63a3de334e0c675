//! For each kind of anomaly of transactions a history that shows it, in one line. `schism explain` prints them, and the
//! tests hold each against the engines.

use crate::anomaly::AnomalyKind;
use crate::txn::checker::Data;

use super::Level;

/// A history that shows an anomaly.
#[derive(Debug, Clone, Copy)]
pub struct Example {
    /// The kind.
    pub kind: AnomalyKind,
    /// What its transactions do.
    pub data: Data,
    /// The model that is asked for. Strict serializability forbids all kinds, but engines that a model does not need are
    /// not run for it.
    pub level: Level,
    /// Sources of the order of versions, as `--version-order` has them; none if empty.
    pub version_order: &'static str,
    short: &'static str,
}

impl Example {
    /// The history in one-line notation: `0:txn=[...]` is a transaction of process 0; with `(` it goes on until `0)`, and
    /// with `!` it failed.
    pub fn history(&self) -> String {
        self.short.replace(":[[", ":txn=[[")
    }
}

/// The example of a kind.
pub fn example(kind: AnomalyKind) -> Option<&'static Example> {
    EXAMPLES.iter().find(|example| example.kind == kind)
}

const fn lists(kind: AnomalyKind, short: &'static str) -> Example {
    Example { kind, data: Data::ListAppend, level: Level::StrictSerializable, version_order: "", short }
}

const fn registers(kind: AnomalyKind, level: Level, short: &'static str) -> Example {
    Example { kind, data: Data::RwRegister, level, version_order: "", short }
}

/// The table.
pub const EXAMPLES: &[Example] = &[
    lists(
        AnomalyKind::G0,
        r#"0:[["append","x",1],["append","y",2]]( 1:[["append","x",2],["append","y",1]]( 0) 1) 2:[["r","x",[1,2]],["r","y",[1,2]]]"#,
    ),
    lists(AnomalyKind::G0Process, r#"0:[["append","x",2]] 0:[["append","x",1]] 1:[["r","x",[1,2]]]"#),
    lists(AnomalyKind::G0Realtime, r#"0:[["append","x",2]] 1:[["append","x",1]] 2:[["r","x",[1,2]]]"#),
    lists(AnomalyKind::G1a, r#"0:[["append","x",1]]( 1:[["r","x",[1]]]( 0! 1)"#),
    lists(AnomalyKind::G1b, r#"0:[["append","x",1],["append","x",2]]( 1:[["r","x",[1]]]( 0) 1)"#),
    lists(AnomalyKind::G1c, r#"0:[["append","x",1],["r","y",[1]]]( 1:[["append","y",1],["r","x",[1]]]( 0) 1)"#),
    lists(AnomalyKind::G1cProcess, r#"0:[["r","x",[1]]] 0:[["append","x",1]]"#),
    lists(AnomalyKind::G1cRealtime, r#"0:[["r","x",[1]]] 1:[["append","x",1]]"#),
    lists(AnomalyKind::GSingleItem, r#"0:[["append","x",1],["append","y",1]]( 1:[["r","x",[]],["r","y",[1]]]( 0) 1)"#),
    lists(AnomalyKind::GSingleItemProcess, r#"0:[["append","x",1]] 0:[["r","x",[]]]"#),
    lists(AnomalyKind::GSingleItemRealtime, r#"0:[["append","x",1]] 1:[["r","x",[]]]"#),
    lists(
        AnomalyKind::GNonadjacentItem,
        r#"0:[["append","x",1]]( 1:[["append","y",1]]( 2:[["r","x",[1]],["r","y",[]]] 3:[["r","x",[]],["r","y",[1]]] 0) 1)"#,
    ),
    lists(
        AnomalyKind::GNonadjacentItemProcess,
        r#"0:[["append","x",1]]( 2:[["r","x",[1]],["r","y",[]]]( 1:[["append","y",1]] 1:[["r","x",[]]] 0) 2)"#,
    ),
    lists(
        AnomalyKind::GNonadjacentItemRealtime,
        r#"0:[["append","x",1]]( 2:[["r","x",[1]],["r","y",[]]]( 1:[["append","y",1]] 3:[["r","x",[]]] 0) 2)"#,
    ),
    lists(
        AnomalyKind::G2Item,
        r#"0:[["r","x",[]],["append","y",1]]( 1:[["r","y",[]],["append","z",1]]( 2:[["r","z",[]],["append","x",1]]( 0) 1) 2)"#,
    ),
    lists(AnomalyKind::G2ItemProcess, r#"1:[["r","y",[]],["append","x",1]]( 0:[["append","y",1]] 0:[["r","x",[]]] 1)"#),
    lists(
        AnomalyKind::G2ItemRealtime,
        r#"1:[["r","y",[]],["append","x",1]]( 0:[["append","y",1]] 2:[["r","x",[]]] 1)"#,
    ),
    registers(
        AnomalyKind::GSingle,
        Level::StrictSerializable,
        r#"0:[["insert","a",1],["insert","b",1]]( 1:[["rp","true",{"b":1}]]( 0) 1)"#,
    ),
    registers(AnomalyKind::GSingleProcess, Level::StrictSerializable, r#"0:[["insert","a",1]] 0:[["rp","true",{}]]"#),
    registers(AnomalyKind::GSingleRealtime, Level::StrictSerializable, r#"0:[["insert","a",1]] 1:[["rp","true",{}]]"#),
    registers(
        AnomalyKind::GNonadjacent,
        Level::StrictSerializable,
        r#"0:[["insert","a",1]]( 1:[["insert","b",1]]( 2:[["rp","true",{"a":1}]] 3:[["rp","true",{"b":1}]] 0) 1)"#,
    ),
    registers(
        AnomalyKind::GNonadjacentProcess,
        Level::StrictSerializable,
        r#"0:[["insert","a",1]]( 2:[["rp","= 1",{"a":1}],["rp","= 2",{}]]( 1:[["insert","b",2]] 1:[["rp","= 1",{}]] 0) 2)"#,
    ),
    registers(
        AnomalyKind::GNonadjacentRealtime,
        Level::StrictSerializable,
        r#"0:[["insert","a",1]]( 2:[["rp","= 1",{"a":1}],["rp","= 2",{}]]( 1:[["insert","b",2]] 3:[["rp","= 1",{}]] 0) 2)"#,
    ),
    registers(
        AnomalyKind::G2,
        Level::StrictSerializable,
        r#"0:[["rp","true",{}],["insert","a",1]]( 1:[["rp","true",{}],["insert","b",1]]( 0) 1)"#,
    ),
    registers(
        AnomalyKind::G2Process,
        Level::StrictSerializable,
        r#"1:[["rp","= 2",{}],["insert","a",1]]( 0:[["insert","b",2]] 0:[["rp","= 1",{}]] 1)"#,
    ),
    registers(
        AnomalyKind::G2Realtime,
        Level::StrictSerializable,
        r#"1:[["rp","= 2",{}],["insert","a",1]]( 0:[["insert","b",2]] 2:[["rp","= 1",{}]] 1)"#,
    ),
    registers(AnomalyKind::PredicateReadMiss, Level::StrictSerializable, r#"0:[["insert","a",1],["rp","true",{}]]"#),
    lists(AnomalyKind::Internal, r#"0:[["append","x",1],["r","x",[]]]"#),
    lists(AnomalyKind::FutureRead, r#"0:[["r","x",[1]],["append","x",1]]"#),
    lists(AnomalyKind::DirtyUpdate, r#"0:[["append","x",1]]( 1:[["append","x",2]] 0! 2:[["r","x",[1,2]]]"#),
    registers(
        AnomalyKind::LostUpdate,
        Level::StrictSerializable,
        r#"0:[["r","x",null],["w","x",1]]( 1:[["r","x",null],["w","x",2]]( 0) 1)"#,
    ),
    Example {
        level: Level::CursorStability,
        ..lists(
            AnomalyKind::GCursor,
            r#"0:[["r","x",[]],["append","x",2]]( 1:[["append","x",1]]( 2:[["r","x",[1,2]]] 0) 1)"#,
        )
    },
    Example {
        level: Level::UpdateAtomic,
        ..lists(
            AnomalyKind::NotUpdateAtomic,
            r#"0:[["r","y",[]],["append","x",2]]( 1:[["append","y",1],["append","x",1]]( 2:[["r","x",[1,2]]] 0) 1)"#,
        )
    },
    Example {
        level: Level::MonotonicView,
        ..lists(
            AnomalyKind::GMonotonic,
            r#"0:[["append","x",1]]( 1:[["r","x",[1]],["append","y",1]]( 2:[["r","y",[1]],["r","x",[]]] 0) 1)"#,
        )
    },
    Example {
        level: Level::MonotonicSnapshotRead,
        ..lists(
            AnomalyKind::GMsr,
            r#"0:[["append","x",1]]( 1:[["append","y",1]]( 2:[["r","x",[1]],["r","y",[]]] 3:[["r","y",[1]],["r","x",[]]] 0) 1)"#,
        )
    },
    lists(
        AnomalyKind::WriteSkew,
        r#"0:[["r","x",[]],["r","y",[]],["append","x",1]]( 1:[["r","x",[]],["r","y",[]],["append","y",1]]( 0) 1)"#,
    ),
    lists(
        AnomalyKind::LongFork,
        r#"0:[["append","x",1]]( 1:[["append","y",1]]( 2:[["r","x",[1]],["r","y",[]]] 3:[["r","x",[]],["r","y",[1]]] 0) 1)"#,
    ),
    lists(AnomalyKind::DuplicateElements, r#"0:[["append","x",1]] 1:[["r","x",[1,1]]]"#),
    lists(
        AnomalyKind::IncompatibleOrder,
        r#"0:[["append","x",1]]( 1:[["append","x",2]]( 0) 1) 2:[["r","x",[1,2]]] 3:[["r","x",[2,1]]]"#,
    ),
    Example {
        version_order: "writes-follow-reads",
        ..registers(
            AnomalyKind::CyclicVersions,
            Level::StrictSerializable,
            r#"0:[["r","x",2],["w","x",1]]( 1:[["r","x",1],["w","x",2]]( 0) 1)"#,
        )
    },
    registers(AnomalyKind::GarbageRead, Level::StrictSerializable, r#"0:[["w","x",1]] 1:[["r","x",7]]"#),
    registers(
        AnomalyKind::NonRepeatableRead,
        Level::ReadAtomic,
        r#"0:[["w","x",1]]( 1:[["r","x",null],["r","x",1]]( 0) 1)"#,
    ),
    registers(
        AnomalyKind::NonMonotonicView,
        Level::MonotonicAtomicView,
        r#"0:[["w","x",1],["w","y",1]]( 1:[["r","y",1],["r","x",null]]( 0) 1)"#,
    ),
    registers(
        AnomalyKind::NonMonotonicViewProcess,
        Level::AxiomaticReadCommitted,
        r#"0:[["w","x",1]] 0:[["w","x",2],["w","y",1]] 1:[["r","y",1],["r","x",1]]"#,
    ),
    registers(
        AnomalyKind::FracturedRead,
        Level::ReadAtomic,
        r#"0:[["w","x",1],["w","y",1]]( 1:[["r","x",null],["r","y",1]]( 0) 1)"#,
    ),
    registers(
        AnomalyKind::FracturedReadProcess,
        Level::AxiomaticReadAtomic,
        r#"0:[["w","x",1]] 0:[["w","x",2],["w","y",1]] 1:[["r","x",1],["r","y",1]]"#,
    ),
    registers(
        AnomalyKind::StaleCausalRead,
        Level::CausalCerone,
        r#"0:[["w","x",1]]( 1:[["r","x",1],["w","y",1]] 2:[["r","y",1],["r","x",null]] 0)"#,
    ),
    registers(
        AnomalyKind::StaleCausalReadProcess,
        Level::AxiomaticCausal,
        r#"0:[["w","x",1]] 0:[["w","y",1]] 1:[["r","y",1],["r","x",null]]"#,
    ),
    registers(AnomalyKind::NotReadYourWrites, Level::ReadYourWrites, r#"0:[["w","x",1]] 0:[["r","x",null]]"#),
    registers(
        AnomalyKind::NotMonotonicReads,
        Level::MonotonicReads,
        r#"0:[["w","x",1]]( 1:[["r","x",1]] 1:[["r","x",null]] 0)"#,
    ),
    registers(
        AnomalyKind::NotMonotonicWrites,
        Level::MonotonicWrites,
        r#"0:[["w","x",1]] 0:[["w","y",1]] 1:[["r","y",1],["r","x",null]]"#,
    ),
    registers(
        AnomalyKind::NotWritesFollowReads,
        Level::WritesFollowReads,
        r#"0:[["w","x",1]]( 1:[["r","x",1]] 1:[["w","y",1]] 2:[["r","y",1],["r","x",null]] 0)"#,
    ),
    registers(
        AnomalyKind::NotPram,
        Level::Pram,
        r#"0:[["w","x",1]] 0:[["w","y",1]] 1:[["r","y",1]] 1:[["r","x",null]]"#,
    ),
    registers(
        AnomalyKind::NotCausal,
        Level::Causal,
        r#"0:[["w","x",1]]( 1:[["r","x",1]] 1:[["w","y",1]] 2:[["r","y",1]] 2:[["r","x",null]] 0)"#,
    ),
    registers(
        AnomalyKind::NotPipelinedRam,
        Level::PipelinedRam,
        r#"3:[["w","x",2]]( 0:[["w","y",1]] 0:[["w","x",1]] 0:[["w","z",1]] 2:[["r","x",2]] 2:[["r","y",null]] 2:[["r","z",1]] 2:[["r","x",2]] 3)"#,
    ),
    registers(
        AnomalyKind::NotCausalMemory,
        Level::CausalMemory,
        r#"0:[["w","z",1]]( 1:[["w","x",2]]( 3:[["r","z",1]] 3:[["w","x",1]] 3:[["w","y",1]] 1) 1:[["r","z",null]] 1:[["r","y",1]] 1:[["r","x",2]] 0)"#,
    ),
    registers(
        AnomalyKind::NotSequential,
        Level::Sequential,
        r#"0:[["w","x",1]]( 1:[["w","y",1]]( 0) 1) 0:[["r","y",null]]( 1:[["r","x",null]]( 0) 1)"#,
    ),
    registers(AnomalyKind::NotLinearizable, Level::Linearizable, r#"0:[["w","x",1]] 1:[["r","x",null]]"#),
    registers(
        AnomalyKind::NotPrefix,
        Level::Prefix,
        r#"9:[["w","x",1],["w","y",1]] 0:[["w","x",2]]( 1:[["w","y",2]]( 2:[["r","x",2],["r","y",1]] 3:[["r","x",1],["r","y",2]] 0) 1)"#,
    ),
    registers(
        AnomalyKind::NotPrefixProcess,
        Level::AxiomaticPrefix,
        r#"0:[["w","x",1],["w","y",1]] 1:[["r","x",1]] 0:[["w","x",2]]( 1:[["w","y",2]]( 2:[["r","x",2]] 3:[["r","y",2]] 2:[["r","y",1]] 3:[["r","x",1]] 0) 1)"#,
    ),
    registers(
        AnomalyKind::NotParallelSnapshotIsolation,
        Level::ParallelSnapshotIsolation,
        r#"9:[["w","x",1],["w","y",1]] 0:[["r","x",1],["w","x",2],["w","y",2]]( 1:[["r","y",1],["w","x",3]]( 0) 1)"#,
    ),
    registers(
        AnomalyKind::NotUpdateSerializable,
        Level::UpdateSerializable,
        r#"9:[["w","x",1],["w","y",1]] 0:[["r","x",1],["r","y",1],["w","x",2]]( 1:[["r","x",1],["r","y",1],["w","y",2]]( 0) 1)"#,
    ),
    registers(
        AnomalyKind::NotSnapshotIsolation,
        Level::SnapshotIsolation,
        r#"9:[["w","x",1],["w","y",1]] 0:[["w","x",2]]( 1:[["w","y",2]]( 2:[["r","x",2],["r","y",1]] 3:[["r","x",1],["r","y",2]] 0) 1)"#,
    ),
    registers(
        AnomalyKind::NotSnapshotIsolationProcess,
        Level::StrongSessionSnapshotIsolation,
        r#"0:[["w","x",1],["w","y",1]] 1:[["r","x",1]] 0:[["w","x",2]]( 1:[["w","y",2]]( 2:[["r","x",2]] 3:[["r","y",2]] 2:[["r","y",1]] 3:[["r","x",1]] 0) 1)"#,
    ),
    registers(
        AnomalyKind::NotSnapshotIsolationRealtime,
        Level::StrongSnapshotIsolation,
        r#"9:[["w","x",1]] 0:[["w","x",2]] 1:[["r","x",1]]"#,
    ),
    registers(
        AnomalyKind::NotSerializable,
        Level::Serializable,
        r#"9:[["w","x",1],["w","y",1]] 0:[["r","x",1],["r","y",1],["w","x",2]]( 1:[["r","x",1],["r","y",1],["w","y",2]]( 0) 1)"#,
    ),
    registers(
        AnomalyKind::NotSerializableProcess,
        Level::StrongSessionSerializable,
        r#"0:[["w","x",1],["w","y",1]] 1:[["r","x",1]] 0:[["w","x",2]]( 1:[["w","y",2]]( 0) 1) 0:[["r","y",1]]( 1:[["r","x",1]]( 0) 1)"#,
    ),
    registers(
        AnomalyKind::NotSerializableRealtime,
        Level::StrictSerializable,
        r#"9:[["w","x",1]] 0:[["w","x",2]] 1:[["r","x",1]]"#,
    ),
];
