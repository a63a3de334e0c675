//! The one table that sorts every way an etcd request can go wrong into certain failure and doubt, with the reason.
//!
//! A read changes nothing, so it may always fail. A write or compare-and-set fails only where it is certain that no
//! proposal of it can reach the log: everything else is doubt ([`Completion::Info`]), and so is every message that the
//! table does not know. The table is the code ([`complete`]) and the page `docs/etcd-errors.md` ([`page`]); a test keeps
//! them the same.
//!
//! Sources: etcd 3.4 (`etcdserver/v3_server.go`, `etcdserver/apply.go`, `etcdserver/apply_auth.go`,
//! `etcdserver/api/v3rpc/{key,quota,interceptor,util}.go`, `rpctypes/error.go`, `raft/raft.go`), read function by
//! function: what stands before `raft.Propose` is certain, what stands after it is not.

use schism_history::Value;
use schism_workloads::client::Completion;

/// By what a row is recognised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sign {
    /// Seen by the client itself.
    Seen(Trouble),
    /// etcd's own words, whole, in the `message` (or `error`) of its JSON answer.
    Said(&'static str),
}

/// What the client itself can see go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Trouble {
    /// The operation is none that this client can do, or its argument cannot be stored so that it reads the same.
    Unsupported,
    /// There is no HTTP client (TLS files that do not fit, say).
    NoClient,
    /// No token could be had for the user.
    NotAuthenticated,
    /// The address has no such name, or the connection was refused, or TLS could not be agreed.
    NotConnected,
    /// The connection was not there in its time.
    ConnectTimeout,
    /// No whole answer in the time of the operation.
    Timeout,
    /// The connection broke, or what came was not HTTP, or the answer was cut in its middle.
    Broken,
    /// The answer is larger than any that this client asks for.
    TooLarge,
    /// A redirect. Never followed.
    Redirect,
    /// An HTTP status other than 200 without an error that etcd would give.
    Status,
    /// An error of etcd that the table does not know.
    UnknownMessage,
    /// Status 200, but not JSON.
    NotJson,
    /// Status 200 and JSON, but not what was asked: no header, another key, wrong types, wrong base64.
    WrongShape,
}

/// How a write or compare-and-set ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// It certainly did not happen.
    Fail,
    /// It may have happened, or may happen yet.
    Info,
}

/// One row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// The name in histories: first element of the operation's `error`.
    pub name: &'static str,
    /// By what it is recognised.
    pub sign: Sign,
    /// How a write or compare-and-set ends. A read always fails.
    pub ending: Ending,
    /// Why.
    pub why: &'static str,
}

const fn seen(trouble: Trouble, name: &'static str, ending: Ending, why: &'static str) -> Row {
    Row { name, sign: Sign::Seen(trouble), ending, why }
}

const fn said(message: &'static str, name: &'static str, ending: Ending, why: &'static str) -> Row {
    Row { name, sign: Sign::Said(message), ending, why }
}

use Ending::{Fail, Info};

/// The table.
pub static TABLE: &[Row] = &[
    seen(Trouble::Unsupported, "unsupported", Fail, "refused by the client; nothing was sent"),
    seen(Trouble::NoClient, "no-client", Fail, "no connection was tried; nothing was sent"),
    seen(
        Trouble::NotAuthenticated,
        "not-authenticated",
        Fail,
        "the token is fetched before the operation is sent, and there was none; of the operation nothing was sent",
    ),
    seen(Trouble::NotConnected, "not-connected", Fail, "there was no connection over which anything could be sent"),
    seen(
        Trouble::ConnectTimeout,
        "connect-timeout",
        Fail,
        "there was no connection over which anything could be sent; the attempt is given up and closed",
    ),
    seen(Trouble::Timeout, "timeout", Info, "the request may have left, and may be applied at any later time"),
    seen(
        Trouble::Broken,
        "broken",
        Info,
        "the request may have left before the connection broke; a broken answer says nothing of the request",
    ),
    seen(Trouble::TooLarge, "too-large", Info, "the answer was not read to its end"),
    seen(
        Trouble::Redirect,
        "redirect",
        Info,
        "etcd's v3 interface never redirects, so somebody else answered; who knows what it did with the request",
    ),
    seen(
        Trouble::Status,
        "http-status",
        Info,
        "a status alone does not say whether the request was proposed; a proxy may have passed it on",
    ),
    seen(Trouble::UnknownMessage, "unknown-error", Info, "an error that nobody has read the source of is doubt"),
    seen(Trouble::NotJson, "not-json", Info, "the request was received by somebody; the answer says nothing of it"),
    seen(
        Trouble::WrongShape,
        "wrong-shape",
        Info,
        "the request was received by somebody; the answer is not one to this request",
    ),
    said(
        "etcdserver: too many requests",
        "too-many-requests",
        Fail,
        "refused before the proposal: the backlog of entries to apply is too long",
    ),
    said("etcdserver: request is too large", "request-too-large", Fail, "checked before the proposal"),
    said("etcdserver: key is not provided", "no-key", Fail, "checked before the proposal"),
    said("etcdserver: value is provided", "value-provided", Fail, "checked before the proposal"),
    said("etcdserver: lease is provided", "lease-provided", Fail, "checked before the proposal"),
    said("etcdserver: too many operations in txn request", "too-many-operations", Fail, "checked before the proposal"),
    said("etcdserver: duplicate key given in txn request", "duplicate-key", Fail, "checked before the proposal"),
    said("etcdserver: not capable", "not-capable", Fail, "refused before the request reaches its handler"),
    said(
        "etcdserver: rpc not supported for learner",
        "learner",
        Fail,
        "refused before the request reaches its handler",
    ),
    said("etcdserver: invalid auth token", "invalid-token", Fail, "checked before the proposal"),
    said("etcdserver: user name is empty", "no-user", Fail, "the request names no user, so every applier refuses it"),
    said(
        "etcdserver: permission denied",
        "permission-denied",
        Fail,
        "the applier of every member refuses it before the key space is touched",
    ),
    said(
        "etcdserver: revision of auth store is old",
        "old-auth-revision",
        Info,
        "refused while applying, by each member's own auth store; members whose auth revisions differ decide differently (etcd issue 11651)",
    ),
    said(
        "etcdserver: requested lease not found",
        "no-lease",
        Fail,
        "the applier looks the lease up before it writes; there is no write without it",
    ),
    said(
        "raft proposal dropped",
        "proposal-dropped",
        Fail,
        "raft's own word that the proposal was ignored: no leader, a leader being transferred, or a full log",
    ),
    said(
        "etcdserver: mvcc: database space exceeded",
        "no-space",
        Info,
        "said both before the proposal (quota check) and after applying it: the quota applier writes first and adds this error",
    ),
    said(
        "etcdserver: no leader",
        "no-leader",
        Info,
        "refused before the handler only where the client asks for a leader, which this one does not; elsewhere said after waiting",
    ),
    said("etcdserver: not leader", "not-leader", Info, "no answer to a put or transaction; so it proves nothing"),
    said(
        "etcdserver: leader changed",
        "leader-changed",
        Info,
        "the proposal may be in the log of the old leader and be committed by the new one",
    ),
    said("etcdserver: server stopped", "stopped", Info, "said while waiting for a proposal that was made"),
    said(
        "raft: stopped",
        "raft-stopped",
        Info,
        "said while waiting for raft to take the proposal; it may have taken it",
    ),
    said(
        "etcdserver: request timed out",
        "server-timeout",
        Info,
        "said while waiting for a proposal that was made; it may be committed later",
    ),
    said(
        "etcdserver: request timed out, possibly due to previous leader failure",
        "server-timeout-leader",
        Info,
        "said while waiting for a proposal that was made; the next leader may commit it",
    ),
    said(
        "etcdserver: request timed out, possibly due to connection lost",
        "server-timeout-connection",
        Info,
        "said while waiting for a proposal that was made; it may be committed when the members meet again",
    ),
    said(
        "etcdserver: request timed out, waiting for the applied index took too long",
        "server-timeout-applied",
        Info,
        "said of reads; for a write it proves nothing",
    ),
    said("context deadline exceeded", "deadline", Info, "the server gave up waiting; a proposal may have been made"),
    said("context canceled", "canceled", Info, "the server gave up waiting; a proposal may have been made"),
    said("etcdserver: unhealthy cluster", "unhealthy", Info, "no answer to a put or transaction; so it proves nothing"),
    said(
        "etcdserver: corrupt cluster",
        "corrupt",
        Info,
        "this member refuses to apply; what a corrupt cluster does elsewhere is not known",
    ),
];

/// The row of something that the client saw.
pub fn row_seen(trouble: Trouble) -> &'static Row {
    // Every trouble has its row (a test walks them); the first row is never reached by this way.
    TABLE.iter().find(|row| row.sign == Sign::Seen(trouble)).unwrap_or(&TABLE[0])
}

/// The row of etcd's own words; `None` if the table does not know them.
pub fn row_said(message: &str) -> Option<&'static Row> {
    let message = strip(message);
    TABLE.iter().find(|row| matches!(row.sign, Sign::Said(known) if known == message))
}

/// grpc-go puts `rpc error: code = X desc = ` before a message that crossed two hops; the message is what follows.
fn strip(message: &str) -> &str {
    match message.strip_prefix("rpc error: code = ").and_then(|rest| rest.split_once(" desc = ")) {
        Some((_, inner)) => inner,
        None => message,
    }
}

/// Something that went wrong: which row, and what is worth keeping of the case.
#[derive(Debug, Clone, PartialEq)]
pub struct Failure {
    /// Which row of the table.
    pub row: &'static Row,
    /// Details, named.
    pub detail: Vec<(&'static str, Value)>,
}

impl Failure {
    /// Something that the client saw, with a reason in words (shortened to 300 characters).
    pub fn seen(trouble: Trouble, reason: &str) -> Failure {
        let detail = if reason.is_empty() { Vec::new() } else { vec![("reason", shortened(reason))] };
        Failure { row: row_seen(trouble), detail }
    }

    /// An error that etcd gave, with the HTTP status it came with.
    pub fn said(message: &str, status: u16) -> Failure {
        let detail = vec![("message", shortened(message)), ("status", Value::Int(i64::from(status)))];
        Failure { row: row_said(message).unwrap_or_else(|| row_seen(Trouble::UnknownMessage)), detail }
    }

    /// With one more detail.
    pub fn with(mut self, name: &'static str, value: impl Into<Value>) -> Failure {
        self.detail.push((name, value.into()));
        self
    }

    /// As histories have it: `["timeout", {"ms": 1000}]`.
    pub fn to_value(&self) -> Value {
        let mut items = vec![Value::str(self.row.name)];
        if !self.detail.is_empty() {
            let fields = self.detail.iter().map(|(name, value)| (Value::str(name), value.clone())).collect();
            items.push(Value::Map(Box::new(fields)));
        }
        Value::list(items)
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.row.name)?;
        for (at, (name, value)) in self.detail.iter().enumerate() {
            write!(f, "{} {name} {value}", if at == 0 { ":" } else { "," })?;
        }
        Ok(())
    }
}

fn shortened(text: &str) -> Value {
    Value::str(&text.chars().take(300).collect::<String>())
}

/// How the operation ends: a read fails, all else ends as its row says.
pub fn complete(is_read: bool, failure: &Failure) -> Completion {
    match failure.row.ending {
        _ if is_read => Completion::Fail(failure.to_value()),
        Ending::Fail => Completion::Fail(failure.to_value()),
        Ending::Info => Completion::Info(failure.to_value()),
    }
}

/// The table as a page of markdown.
pub fn page() -> String {
    let mut page = String::from(
        "# etcd: certain failure and doubt\n\n\
         How the etcd client ends an operation that went wrong. `fail`: it certainly did not happen. `info`: nobody knows, it\n\
         may happen at any later time. A read changes nothing, so it always ends `fail`. What the table does not know is doubt.\n\
         This page is written from the table in `tests-suites/src/etcd/errors.rs`; a test compares them.\n\n\
         | error | recognised by | write, cas | read | why |\n|---|---|---|---|---|\n",
    );
    for row in TABLE {
        let sign = match row.sign {
            Sign::Seen(_) => "the client".to_owned(),
            Sign::Said(message) => format!("`{message}`"),
        };
        let ending = match row.ending {
            Ending::Fail => "fail",
            Ending::Info => "info",
        };
        page.push_str(&format!("| `{}` | {sign} | {ending} | fail | {} |\n", row.name, row.why));
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    const TROUBLES: [Trouble; 13] = [
        Trouble::Unsupported,
        Trouble::NoClient,
        Trouble::NotAuthenticated,
        Trouble::NotConnected,
        Trouble::ConnectTimeout,
        Trouble::Timeout,
        Trouble::Broken,
        Trouble::TooLarge,
        Trouble::Redirect,
        Trouble::Status,
        Trouble::UnknownMessage,
        Trouble::NotJson,
        Trouble::WrongShape,
    ];

    #[test]
    fn every_trouble_has_its_own_row() {
        for trouble in TROUBLES {
            assert_eq!(row_seen(trouble).sign, Sign::Seen(trouble));
        }
        assert_eq!(TABLE.iter().filter(|row| matches!(row.sign, Sign::Seen(_))).count(), TROUBLES.len());
    }

    #[test]
    fn no_name_and_no_sign_stands_twice() {
        for (at, row) in TABLE.iter().enumerate() {
            for other in &TABLE[at + 1..] {
                assert_ne!(row.name, other.name);
                assert_ne!(row.sign, other.sign);
            }
        }
    }

    #[test]
    fn what_may_have_been_proposed_is_doubt_and_reads_always_fail() {
        let cases = [
            ("etcdserver: request timed out", Ending::Info),
            ("etcdserver: request timed out, possibly due to connection lost", Ending::Info),
            ("etcdserver: leader changed", Ending::Info),
            ("etcdserver: mvcc: database space exceeded", Ending::Info),
            ("etcdserver: too many requests", Ending::Fail),
            ("raft proposal dropped", Ending::Fail),
            ("rpc error: code = Unknown desc = raft proposal dropped", Ending::Fail),
            // Only whole messages count: what merely looks like a certain failure is doubt.
            ("etcdserver: too many requests, perhaps", Ending::Info),
            ("something new", Ending::Info),
            ("", Ending::Info),
        ];
        for (message, ending) in cases {
            let failure = Failure::said(message, 503);
            assert_eq!(failure.row.ending, ending, "{message}");
            assert!(matches!(complete(true, &failure), Completion::Fail(_)), "{message}");
            let written = complete(false, &failure);
            assert_eq!(matches!(written, Completion::Info(_)), ending == Ending::Info, "{message}");
        }
    }

    #[test]
    fn these_are_certain_and_nothing_else() {
        let certain: Vec<_> = TABLE.iter().filter(|row| row.ending == Ending::Fail).map(|row| row.name).collect();
        let expected = [
            "unsupported",
            "no-client",
            "not-authenticated",
            "not-connected",
            "connect-timeout",
            "too-many-requests",
            "request-too-large",
            "no-key",
            "value-provided",
            "lease-provided",
            "too-many-operations",
            "duplicate-key",
            "not-capable",
            "learner",
            "invalid-token",
            "no-user",
            "permission-denied",
            "no-lease",
            "proposal-dropped",
        ];
        assert_eq!(certain, expected);
    }

    #[test]
    fn the_page_is_the_table() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/etcd-errors.md");
        let stored = std::fs::read_to_string(path).unwrap_or_default();
        if stored != page() && std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(path, page()).unwrap();
            return;
        }
        assert!(stored == page(), "docs/etcd-errors.md is not the table; run this test with UPDATE_DOCS=1");
    }
}
