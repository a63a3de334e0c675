//! The transactions of a history, dense.

use schism_history::{F, History, Kind, Micro, MicroF, MicroValue, OpIndex, TxnRef, Value, ValueId};

use crate::verdict::Gap;

/// The number of a transaction: those that ended `ok` in order of completion, then those in doubt in order of
/// invocation. Failed ones have none.
pub type TxnId = u32;

/// The end of a transaction that never ended.
pub const OPEN: OpIndex = OpIndex::MAX;

/// The transactions of a history.
#[derive(Debug)]
pub struct Txns<'h> {
    history: &'h History,
    invoked: Vec<OpIndex>,
    ended: Vec<OpIndex>,
    session: Vec<u32>,
    ok_count: u32,
    sessions_count: u32,
    /// Transactions that failed, by their invocations.
    pub failed: Vec<OpIndex>,
    /// The first transaction of another independent key than those before it.
    pub of_another_key: Option<OpIndex>,
    /// The first of clients' events that does not say which transaction it is: what that did may explain whatever others read.
    pub unclear: Option<Gap>,
}

impl<'h> Txns<'h> {
    /// Takes the calls of clients whose value is a transaction; the first that is none, or whose completion does not answer it, is told
    /// as a gap. One pass.
    pub fn of(history: &'h History) -> Txns<'h> {
        let mut all = Txns {
            history,
            invoked: Vec::new(),
            ended: Vec::new(),
            session: Vec::new(),
            ok_count: 0,
            sessions_count: 0,
            failed: Vec::new(),
            of_another_key: None,
            unclear: None,
        };
        let mut sessions = vec![u32::MAX; history.processes().len()];
        let mut doubtful = Vec::new();
        let mut only_key = None;
        // Whether calls leave open what they ask for; and the first in doubt that may be one of these.
        let (mut opens, mut empty_doubt) = (false, None);
        for index in 0..history.len() as OpIndex {
            if history.process(index).client().is_none() {
                continue;
            }
            let kind = history.kind(index);
            let (invoke, end) = match kind {
                Kind::Invoke => (index, history.pair(index)),
                _ => (history.pair(index).unwrap_or(index), Some(index)),
            };
            let outcome = end.map_or(Kind::Info, |end| history.kind(end));
            // Each call once: what ended well at its end, so that it is in order; the others where they began.
            if (kind == Kind::Ok) != (outcome == Kind::Ok) || (kind != Kind::Invoke && kind != Kind::Ok) {
                continue;
            }
            let carrier = if outcome == Kind::Ok { index } else { invoke };
            let Some(txn) = history.txn(carrier) else {
                all.refuse(carrier, no_transaction(history, carrier));
                continue;
            };
            match outcome {
                Kind::Ok => {
                    if let Some(reason) = unanswered(history, invoke, txn) {
                        all.refuse(carrier, reason);
                    }
                    opens |= !txn.is_empty() && history.txn(invoke).is_none_or(TxnRef::is_empty);
                }
                Kind::Fail => {}
                _ => {
                    if let Some((at, reason)) = open_doubt(history, invoke, end) {
                        all.refuse(at, reason);
                    }
                    empty_doubt = empty_doubt.or(txn.is_empty().then_some(invoke));
                }
            }
            let key = history.key_id(carrier);
            if *only_key.get_or_insert(key) != key {
                all.of_another_key.get_or_insert(carrier);
            }
            let session = &mut sessions[history.process_id(index) as usize];
            if *session == u32::MAX {
                *session = all.sessions_count;
                all.sessions_count += 1;
            }
            match outcome {
                Kind::Ok => {
                    all.invoked.push(invoke);
                    all.ended.push(index);
                    all.session.push(*session);
                }
                Kind::Fail => all.failed.push(invoke),
                _ => doubtful.push((invoke, *session)),
            }
        }
        if let Some(invoke) = empty_doubt.filter(|_| opens) {
            all.refuse(invoke, "it ended in doubt, and invocations say nothing of what will be done here".to_owned());
        }
        all.ok_count = all.invoked.len() as u32;
        for (invoke, session) in doubtful {
            all.invoked.push(invoke);
            all.ended.push(OPEN);
            all.session.push(session);
        }
        all
    }

    /// The first says enough.
    fn refuse(&mut self, index: OpIndex, reason: String) {
        self.unclear.get_or_insert(Gap::Unclear { index, reason });
    }

    /// The history.
    pub fn history(&self) -> &'h History {
        self.history
    }

    /// How many there are, those in doubt included.
    pub fn len(&self) -> usize {
        self.invoked.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.invoked.is_empty()
    }

    /// How many ended `ok`; these have the numbers below.
    pub fn ok_count(&self) -> u32 {
        self.ok_count
    }

    /// Whether it ended `ok`. What did not is in doubt: its reads are unknown, and it is committed if what it wrote was
    /// seen.
    pub fn is_ok(&self, id: TxnId) -> bool {
        id < self.ok_count
    }

    /// Its invocation.
    pub fn invoked(&self, id: TxnId) -> OpIndex {
        self.invoked[id as usize]
    }

    /// Its completion; [`OPEN`] for one in doubt, which may take effect at any time after its invocation.
    pub fn ended(&self, id: TxnId) -> OpIndex {
        self.ended[id as usize]
    }

    /// The dense number of its process among those with transactions. A process in doubt has no later transaction.
    pub fn session(&self, id: TxnId) -> u32 {
        self.session[id as usize]
    }

    /// How many sessions there are.
    pub fn sessions_count(&self) -> u32 {
        self.sessions_count
    }

    /// What it did: the completion's micro-operations, or, in doubt, the invocation's (whose reads say nothing).
    #[inline]
    pub fn txn(&self, id: TxnId) -> TxnRef<'h> {
        let carrier = if self.is_ok(id) { self.ended(id) } else { self.invoked(id) };
        self.history.txn(carrier).expect("`of` takes only calls whose carrier is a transaction")
    }

    /// The order of real time: the first had ended before the second began.
    pub fn is_before(&self, a: TxnId, b: TxnId) -> bool {
        self.ended(a) < self.invoked(b)
    }

    /// A key of transactions as text; one that they do not name, by its number.
    pub fn key_text(&self, key: u32) -> String {
        self.history.txn_keys().get(key as usize).map_or_else(|| format!("key {key}"), ToString::to_string)
    }
}

fn no_transaction(history: &History, index: OpIndex) -> String {
    let f: &F = history.f(index);
    format!(
        "{f} is no transaction: its value is no list of [function, key, value], where a key is an integer or a text"
    )
}

/// Why a transaction that ended well does not answer its call, if it does not. A call may leave open what it asks for.
fn unanswered(history: &History, invoke: OpIndex, txn: TxnRef<'_>) -> Option<String> {
    let Some(call) = history.txn(invoke) else {
        let is_open = *history.value(invoke) == Value::Nil;
        return (!is_open).then(|| format!("its invocation, event {invoke}: {}", no_transaction(history, invoke)));
    };
    if call.is_empty() {
        return None;
    }
    let place = txn.place_unanswered(call)?;
    Some(another(invoke, place))
}

fn another(invoke: OpIndex, place: usize) -> String {
    format!(
        "it ended another transaction than was begun with event {invoke}: micro-operation {place} (from 0) is missing, is another one, \
         touches another key, or writes something else"
    )
}

/// Why it is not known what one in doubt may have written, if it is not; and the event that leaves it open.
fn open_doubt(history: &History, invoke: OpIndex, end: Option<OpIndex>) -> Option<(OpIndex, String)> {
    let call = history.txn(invoke)?;
    let is_open = |micro: Micro<'_>| micro.f == MicroF::Append && micro.value == MicroValue::One(ValueId::NIL);
    if call.micros().any(is_open) {
        return Some((invoke, "it ended in doubt, and what it appends is not said".to_owned()));
    }
    let end = end?;
    let told = history.txn(end)?;
    let is_told_late = call.is_empty() && !told.is_empty();
    match told.place_unanswered(call) {
        Some(_) if is_told_late => Some((end, format!("event {invoke}, which began it, did not say what it does"))),
        Some(place) => Some((end, another(invoke, place))),
        None => None,
    }
}
