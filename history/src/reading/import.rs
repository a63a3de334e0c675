//! What a reader is told.

use crate::op::{F, Kind, Op};
use crate::value::Value;

use super::plain::{Names, Plain};

/// Most threads that parse: one thread builds the history, and more would wait for it.
const THREADS_MAX: usize = 16;

/// What a `fail` of a compare-and-set says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FailedCas {
    /// That nothing happened; whatever the reason. It is not judged.
    #[default]
    Unknown,
    /// That the state was another, as Knossos' and Porcupine's histories of registers mean it: it is read as `ok` with
    /// `matched` false. A `fail` that carries an error says itself why it failed, and stays what it is.
    Observed,
}

impl FailedCas {
    /// `observed` or `unknown`.
    pub fn parse(name: &str) -> Option<FailedCas> {
        Some(match name {
            "observed" => FailedCas::Observed,
            "unknown" => FailedCas::Unknown,
            _ => return None,
        })
    }
}

/// What a reader is told beside the text. The history is the same for any number of threads.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Import {
    /// What a `fail` of a compare-and-set says.
    pub failed_cas: FailedCas,
    /// Threads that parse; `None`: as many as the machine has.
    pub threads: Option<usize>,
}

impl Import {
    pub(crate) fn threads_count(&self) -> usize {
        let found = || std::thread::available_parallelism().map_or(1, usize::from);
        self.threads.unwrap_or_else(found).clamp(1, THREADS_MAX)
    }

    /// Gives a row its meaning.
    pub(crate) fn settle(&self, op: &mut Op) {
        let observes = self.failed_cas == FailedCas::Observed && op.f == F::Cas && op.process.client().is_some();
        if observes && op.kind == Kind::Fail && op.error.as_deref().is_none_or(Value::is_nil) {
            op.kind = Kind::Ok;
            op.matched = Some(false);
        }
    }

    /// Gives an event in its small form its meaning; such events have no error, and are clients'.
    #[inline]
    pub(crate) fn settle_plain(&self, plain: &mut Plain, names: &Names) {
        let observes = self.failed_cas == FailedCas::Observed && plain.kind == Kind::Fail;
        if observes && *names.f(plain) == F::Cas {
            plain.kind = Kind::Ok;
            plain.matched = Some(false);
        }
    }
}
