//! The history with a transaction for each micro-operation.

use schism_history::{F, History, Kind, Mop, Op, OpIndex, Process, Value};

/// Single operations, in the order of the program and of invocations.
pub(super) struct Single {
    pub ops: Vec<Op>,
    /// By event of it: the transaction's invocation.
    pub origins: Vec<OpIndex>,
    /// Whether no transaction in doubt has several writes.
    pub is_exact: bool,
    next_process: u32,
}

impl Single {
    /// `None` where there are others than reads and writes. A process has the place of its name among
    /// [`History::processes`] for a number.
    pub fn of(history: &History) -> Option<Single> {
        let next_process = history.processes().len() as u32;
        let mut all = Single { ops: Vec::new(), origins: Vec::new(), is_exact: true, next_process };
        for index in 0..history.len() as OpIndex {
            if history.process(index).client().is_none() || history.kind(index) != Kind::Invoke {
                continue;
            }
            let call = history.call(index);
            if call.outcome == Kind::Fail {
                continue;
            }
            let is_ok = call.outcome == Kind::Ok;
            let carrier = if is_ok { call.completion? } else { index };
            let Value::Txn(micros) = &*history.value(carrier) else { return None };
            let judged: Vec<&Mop> = micros.iter().filter(|mop| is_ok || &*mop.f != "r").collect();
            all.is_exact &= is_ok || judged.len() < 2;
            for (place, mop) in judged.into_iter().enumerate() {
                if !matches!(&*mop.f, "r" | "w") {
                    return None;
                }
                // A process ends with its doubt.
                let process = if is_ok || place == 0 { history.process_id(index) } else { all.fresh() };
                let value = Value::Txn(Box::new(vec![mop.clone()]));
                let completion = if is_ok { Kind::Ok } else { Kind::Info };
                push(&mut all.ops, process, Kind::Invoke, value.clone());
                push(&mut all.ops, process, completion, value);
                all.origins.extend([index; 2]);
            }
        }
        Some(all)
    }

    fn fresh(&mut self) -> u32 {
        self.next_process = self.next_process.saturating_add(1);
        self.next_process - 1
    }
}

/// Adds an event.
pub(super) fn push(ops: &mut Vec<Op>, process: u32, kind: Kind, value: Value) {
    let mut op = Op::new(Process::Client(process), kind, F::Txn, value);
    op.index = ops.len() as OpIndex;
    op.time_ns = ops.len() as u64;
    ops.push(op);
}
