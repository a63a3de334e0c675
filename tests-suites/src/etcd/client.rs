//! Clients over etcd's JSON gateway: one a process, pinned to one node.
//!
//! | operation | request | answer |
//! |---|---|---|
//! | `read` | `/v3/kv/range` of the key (linearizable, or serializable by option) | its value; nothing if the key is missing |
//! | `write` | `/v3/kv/put` | the value again |
//! | `cas [old, new]` | `/v3/kv/txn`: if the value is `old` (if there is no key, for an `old` of nothing), put `new` | `matched` |
//! | `replica-read` | a linearizable range that counts only, so that the member catches up, then a serializable one | `[value, mod revision]` |
//!
//! With `guards`, writes and compare-and-sets carry as many further comparisons that always hold, as transactions over
//! several keys do. Each operation sends at most one request that changes anything. How each error ends stands in [`super::errors`].
//! Not covered: transactions over several keys, leases, watches.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use schism_cluster::Cluster;
use schism_generators::Invocation;
use schism_history::{F, Node, Process, REPLICA_READ, Value};
use schism_workloads::client::{Client, Completion, Driver, OpenError};
use serde_json::{Value as Json, json};

use super::auth;
use super::db::Etcd;
use super::errors::{Failure, Trouble, complete};
use super::members::addresses;
use super::options::Access;
use super::values::{decode, encode, from_base64, key, to_base64};
use super::wire::Wire;

/// How long one request of the preparation may take.
const PREPARE: Duration = Duration::from_secs(10);

/// Opens clients to the nodes of a cluster.
pub struct EtcdDriver {
    addresses: Vec<(Node, String)>,
    access: Access,
    enable_auth: bool,
    settings: Arc<Settings>,
}

/// What all clients share.
struct Settings {
    prefix: String,
    serializable_reads: bool,
    guards: u32,
}

impl EtcdDriver {
    /// For the nodes of a cluster. Sends nothing.
    pub fn of(etcd: &Etcd, cluster: &Cluster) -> EtcdDriver {
        let options = etcd.options();
        let settings = Settings {
            prefix: options.prefix.clone(),
            serializable_reads: options.serializable_reads,
            guards: options.guards,
        };
        EtcdDriver {
            addresses: addresses(cluster),
            access: etcd.access().clone(),
            enable_auth: options.enable_auth,
            settings: Arc::new(settings),
        }
    }

    fn wire(&self, node: &Node) -> Result<Wire, OpenError> {
        match self.addresses.iter().find(|(name, _)| name == node) {
            Some((_, address)) => Ok(Wire::new(&self.access, address)),
            None => Err(OpenError { node: node.clone(), reason: "the cluster has no such node".to_owned() }),
        }
    }

    /// Refuses a prefix under which something is stored: what an earlier run wrote would read as anomalies.
    async fn prefix_must_be_empty(&self, node: &Node) -> Result<(), OpenError> {
        let prefix = &self.settings.prefix;
        let body = json!({ "key": to_base64(prefix), "range_end": to_base64(range_end(prefix)), "count_only": true });
        let unwilling = |reason: String| OpenError { node: node.clone(), reason };
        let answer = self.wire(node)?.call("/v3/kv/range", &body, PREPARE).await;
        let answer = answer.map_err(|failure| unwilling(format!("the first read failed: {failure}")))?;
        match answer.get("count").map(|count| count.as_str().unwrap_or("some")) {
            None | Some("0") => Ok(()),
            Some(count) => Err(unwilling(format!(
                "{count} keys are stored under the prefix `{prefix}` already, and would be read as anomalies. Choose \
                 another `prefix`, or delete them"
            ))),
        }
    }
}

#[async_trait]
impl Driver for EtcdDriver {
    /// Switches authentication on (only with `enable_auth`), and makes sure that nothing is stored under the prefix.
    async fn prepare(&self) -> Result<(), OpenError> {
        let Some((node, _)) = self.addresses.first() else { return Ok(()) };
        if let (true, Some(login)) = (self.enable_auth, &self.access.login) {
            let enabled = auth::enable(&mut self.wire(node)?, login, PREPARE).await;
            enabled.map_err(|failure| OpenError {
                node: node.clone(),
                reason: format!("authentication could not be switched on: {failure}"),
            })?;
        }
        self.prefix_must_be_empty(node).await
    }

    async fn open(&self, node: &Node, _process: &Process) -> Result<Box<dyn Client>, OpenError> {
        Ok(Box::new(EtcdClient { wire: self.wire(node)?, settings: self.settings.clone() }))
    }
}

/// The first key that does not begin with these bytes, as etcd's `range_end` wants it.
fn range_end(prefix: &str) -> Vec<u8> {
    let mut end = prefix.as_bytes().to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            return end;
        }
    }
    vec![0]
}

/// One process' client, speaking to one node only.
pub struct EtcdClient {
    wire: Wire,
    settings: Arc<Settings>,
}

#[async_trait]
impl Client for EtcdClient {
    async fn invoke(&mut self, operation: &Invocation) -> Completion {
        let done = match &operation.f {
            F::Read => self.read(operation).await,
            F::Write => self.write(operation).await,
            F::Cas => self.cas(operation).await,
            F::Other(f) if **f == *REPLICA_READ => self.replica_read(operation).await,
            other => {
                Err(unsupported(&format!("no operation `{other}`; there are read, write, cas and {REPLICA_READ}")))
            }
        };
        let reads = operation.f == F::Read || operation.f.as_str() == REPLICA_READ;
        done.unwrap_or_else(|failure| complete(reads, &failure))
    }
}

impl EtcdClient {
    async fn call(&mut self, path: &str, body: &Json) -> Result<Json, Failure> {
        self.wire.call(path, body, self.wire.operation_timeout()).await
    }

    async fn read(&mut self, operation: &Invocation) -> Result<Completion, Failure> {
        let key = key(&self.settings.prefix, operation.key.as_ref());
        let mut body = json!({ "key": key });
        if self.settings.serializable_reads {
            body["serializable"] = json!(true);
        }
        let answer = self.call("/v3/kv/range", &body).await?;
        Ok(Completion::ok(value_in(&answer, &key)?))
    }

    async fn write(&mut self, operation: &Invocation) -> Result<Completion, Failure> {
        let key = key(&self.settings.prefix, operation.key.as_ref());
        let put = json!({ "key": key, "value": to_base64(text(&operation.value)?) });
        if self.settings.guards == 0 {
            self.call("/v3/kv/put", &put).await?;
            return Ok(Completion::ok(operation.value.clone()));
        }
        let body = json!({ "compare": self.guards(), "success": [{ "request_put": put }] });
        match self.call("/v3/kv/txn", &body).await?.get("succeeded") {
            Some(Json::Bool(true)) => Ok(Completion::ok(operation.value.clone())),
            other => Err(wrong_shape(&format!("comparisons that always hold did not: succeeded is {other:?}"))),
        }
    }

    /// Comparisons that always hold: versions of keys, which are never below 0.
    fn guards(&self) -> Vec<Json> {
        let guard = |number: u32| {
            let key = to_base64(format!("{}guard/{number}", self.settings.prefix));
            json!({ "key": key, "target": "VERSION", "result": "GREATER", "version": "-1" })
        };
        (0..self.settings.guards).map(guard).collect()
    }

    async fn replica_read(&mut self, operation: &Invocation) -> Result<Completion, Failure> {
        let key = key(&self.settings.prefix, operation.key.as_ref());
        // Whoever answers this has everything that was committed before.
        self.call("/v3/kv/range", &json!({ "key": key, "count_only": true })).await?;
        let answer = self.call("/v3/kv/range", &json!({ "key": key, "serializable": true })).await?;
        let value = value_in(&answer, &key)?;
        let revision = answer.pointer("/kvs/0/mod_revision").and_then(Json::as_str).unwrap_or("0").parse::<i64>();
        let revision = revision.map_err(|_| wrong_shape("mod_revision is no number"))?;
        Ok(Completion::ok(Value::list(vec![value, Value::Int(revision)])))
    }

    async fn cas(&mut self, operation: &Invocation) -> Result<Completion, Failure> {
        let key = key(&self.settings.prefix, operation.key.as_ref());
        let (old, new) = match &operation.value {
            Value::Pair([old, new]) => (Value::Int(*old), Value::Int(*new)),
            Value::List(items) if items.len() == 2 => (items[0].clone(), items[1].clone()),
            other => return Err(unsupported(&format!("cas wants [old, new] and was given {other}"))),
        };
        let compare = match old {
            Value::Nil => json!({ "key": key, "target": "CREATE", "result": "EQUAL", "create_revision": "0" }),
            old => json!({ "key": key, "target": "VALUE", "result": "EQUAL", "value": to_base64(text(&old)?) }),
        };
        let put = json!({ "request_put": { "key": key, "value": to_base64(text(&new)?) } });
        let mut compares = self.guards();
        compares.push(compare);
        let answer = self.call("/v3/kv/txn", &json!({ "compare": compares, "success": [put] })).await?;
        // The gateway leaves out what is false.
        let matched = match answer.get("succeeded") {
            None => false,
            Some(Json::Bool(matched)) => *matched,
            Some(other) => return Err(wrong_shape(&format!("succeeded is {other}"))),
        };
        Ok(Completion::Ok { value: operation.value.clone(), matched: Some(matched) })
    }
}

/// The value in an answer to a range over one key.
fn value_in(answer: &Json, key: &str) -> Result<Value, Failure> {
    let pairs = match answer.get("kvs") {
        None => return Ok(Value::Nil),
        Some(Json::Array(pairs)) => pairs,
        Some(_) => return Err(wrong_shape("kvs is not a list")),
    };
    let pair = match pairs.as_slice() {
        [] => return Ok(Value::Nil),
        [pair] => pair,
        more => return Err(wrong_shape(&format!("{} values for one key", more.len()))),
    };
    if pair.get("key").and_then(Json::as_str) != Some(key) {
        return Err(wrong_shape("the value of another key"));
    }
    // The gateway leaves out what is empty.
    let Some(value) = pair.get("value") else { return Ok(decode(b"")) };
    match value.as_str().and_then(from_base64) {
        Some(bytes) => Ok(decode(&bytes)),
        None => Err(wrong_shape("the value is not base64")),
    }
}

fn text(value: &Value) -> Result<String, Failure> {
    encode(value).ok_or_else(|| unsupported(&format!("{value} would not read the same as it is written")))
}

fn unsupported(reason: &str) -> Failure {
    Failure::seen(Trouble::Unsupported, reason)
}

fn wrong_shape(reason: &str) -> Failure {
    Failure::seen(Trouble::WrongShape, reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_range_is_the_next_prefix() {
        assert_eq!(range_end("schism/"), b"schism0");
        assert_eq!(range_end("a"), b"b");
        assert_eq!(range_end(""), [0]);
    }
}
