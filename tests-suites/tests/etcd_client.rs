//! The etcd client against a scripted server: every way an exchange can break gives what the table says, for a read, a
//! write and a compare-and-set, and no operation leaves more than once.

#![allow(clippy::unwrap_used)]

mod scripted_server;

use std::time::Duration;

use schism_cluster::script::scripted_cluster;
use schism_generators::Invocation;
use schism_history::{F, Key, Node, Process, Value};
use schism_tests_suites::etcd::errors::{Ending, TABLE};
use schism_tests_suites::etcd::{Etcd, EtcdDriver, EtcdOptions};
use schism_workloads::client::{Client, Completion, Driver};

use scripted_server::{Server, Step, answer, say, say_and_close};

/// So long that only what never ends runs into it, on a busy machine too.
const PATIENCE_MS: u64 = 20_000;
/// For what must run into its time limit.
const HASTE_MS: u64 = 3_000;
const HEADER: &str = r#""header":{"cluster_id":"1","member_id":"2","revision":"3","raft_term":"4"}"#;

fn options(port: u16) -> EtcdOptions {
    EtcdOptions {
        client_port: port,
        operation_timeout_ms: PATIENCE_MS,
        connect_timeout_ms: PATIENCE_MS / 2,
        ..EtcdOptions::default()
    }
}

fn hasty(port: u16) -> EtcdOptions {
    EtcdOptions { operation_timeout_ms: HASTE_MS, connect_timeout_ms: HASTE_MS / 2, ..options(port) }
}

async fn client_of(options: EtcdOptions, address: &str) -> Box<dyn Client> {
    let (mut cluster, _) = scripted_cluster(&["n1"]);
    cluster.nodes[0].address = address.to_owned();
    let driver = EtcdDriver::of(&Etcd::new(options).unwrap(), &cluster);
    driver.open(&Node::new("n1"), &Process::Client(0)).await.unwrap()
}

async fn client(port: u16) -> Box<dyn Client> {
    client_of(options(port), "127.0.0.1").await
}

fn operation(f: F, value: Value) -> Invocation {
    Invocation { process: Process::Client(0), f, key: Some(Key::Int(5)), value }
}

fn operations() -> [Invocation; 3] {
    [operation(F::Read, Value::Nil), operation(F::Write, Value::Int(7)), operation(F::Cas, Value::Pair([7, 8]))]
}

/// What a healthy etcd says when key 5 holds 7. `c2NoaXNtLzU=` is `schism/5`, `Nw==` is `7`.
fn healthy(f: &F) -> String {
    match f {
        F::Read => format!(r#"{{{HEADER},"kvs":[{{"key":"c2NoaXNtLzU=","value":"Nw=="}}],"count":"1"}}"#),
        F::Cas => format!(r#"{{{HEADER},"succeeded":true,"responses":[{{"response_put":{{}}}}]}}"#),
        _ => format!("{{{HEADER}}}"),
    }
}

fn error_name(completion: &Completion) -> String {
    let (Completion::Fail(value) | Completion::Info(value)) = completion else { return "ok".to_owned() };
    match value {
        Value::List(items) => items[0].to_string(),
        other => panic!("{other} is no error"),
    }
}

/// The completion is the table's: of that name; a read fails; a write and a compare-and-set end as its row says.
fn assert_is_row(case: &str, f: &F, name: &str, completion: &Completion) {
    assert_eq!(error_name(completion), name, "{case}, {f}: {completion:?}");
    let row = TABLE.iter().find(|row| row.name == name).unwrap_or_else(|| panic!("no row {name}"));
    let doubt = *f != F::Read && row.ending == Ending::Info;
    assert_eq!(matches!(completion, Completion::Info(_)), doubt, "{case}, {f}: {completion:?}");
}

#[tokio::test]
async fn a_healthy_server_gives_ok_in_one_request_each() {
    for operation in operations() {
        let server = Server::new(vec![say(answer("200 OK", &healthy(&operation.f)))]).await;
        let completion = client(server.port).await.invoke(&operation).await;
        let expected = match operation.f {
            F::Read => Completion::ok(Value::Int(7)),
            F::Cas => Completion::Ok { value: Value::Pair([7, 8]), matched: Some(true) },
            _ => Completion::ok(Value::Int(7)),
        };
        assert_eq!(completion, expected);
        let requests = server.requests();
        assert_eq!(requests.len(), 1);
        let (path, body) = match operation.f {
            F::Read => ("/v3/kv/range", r#"{"key":"c2NoaXNtLzU="}"#),
            F::Write => ("/v3/kv/put", r#"{"key":"c2NoaXNtLzU=","value":"Nw=="}"#),
            _ => (
                "/v3/kv/txn",
                r#"{"compare":[{"key":"c2NoaXNtLzU=","result":"EQUAL","target":"VALUE","value":"Nw=="}],"success":[{"request_put":{"key":"c2NoaXNtLzU=","value":"OA=="}}]}"#,
            ),
        };
        assert_eq!((requests[0].path.as_str(), requests[0].body.as_str()), (path, body));
    }
}

/// Every case: what the server does, the row it must give.
fn broken_answers() -> Vec<(&'static str, Vec<Step>, &'static str)> {
    let json = |status: &str, message: &str, code: u32| {
        let body = format!(r#"{{"error":"{message}","message":"{message}","code":{code}}}"#);
        vec![say(answer(status, &body))]
    };
    let mut huge = b"HTTP/1.1 200 OK\r\nContent-Length: 9000000\r\n\r\n".to_vec();
    huge.resize(9_000_000, b' ');
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n20\r\n{\"header\":";
    vec![
        ("closes unread", vec![Step::CloseUnread], "broken"),
        ("closes unanswered", vec![Step::CloseUnanswered], "broken"),
        ("half the headers", vec![say_and_close("HTTP/1.1 200 OK\r\nContent-Le")], "broken"),
        ("half the body", vec![say_and_close("HTTP/1.1 200 OK\r\nContent-Length: 90\r\n\r\n{\"header\"")], "broken"),
        ("half a chunk", vec![say_and_close(chunked)], "broken"),
        ("half the body, then silence", vec![say("HTTP/1.1 200 OK\r\nContent-Length: 90\r\n\r\n{")], "timeout"),
        ("half the headers, then silence", vec![say("HTTP/1.1 200")], "timeout"),
        ("garbage", vec![say_and_close("\0\u{1}\u{2}garbage\r\n\r\n")], "broken"),
        ("another protocol", vec![say_and_close("SSH-2.0-OpenSSH_9.2\r\n")], "broken"),
        ("a bad length", vec![say_and_close("HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n")], "broken"),
        ("an answer without end", vec![say(huge)], "too-large"),
        ("no answer at all", vec![say("")], "timeout"),
        ("an empty answer", vec![say(answer("200 OK", ""))], "not-json"),
        ("half of JSON", vec![say(answer("200 OK", "{\"header\":{"))], "not-json"),
        ("a page", vec![say(answer("200 OK", "<html>hello</html>"))], "not-json"),
        ("a list", vec![say(answer("200 OK", "[]"))], "wrong-shape"),
        ("nothing said", vec![say(answer("200 OK", "{}"))], "wrong-shape"),
        ("another's header", vec![say(answer("200 OK", r#"{"header":{"title":"x"}}"#))], "wrong-shape"),
        (
            "an error as success",
            vec![say(answer("200 OK", r#"{"error":"etcdserver: too many requests"}"#))],
            "wrong-shape",
        ),
        ("deep JSON", vec![say(answer("200 OK", &"[".repeat(100_000)))], "not-json"),
        ("500, no reason", vec![say(answer("500 Internal Server Error", ""))], "http-status"),
        ("502, a page", vec![say(answer("502 Bad Gateway", "<html>bad gateway</html>"))], "http-status"),
        ("404, a page", vec![say(answer("404 Not Found", "404 page not found"))], "http-status"),
        ("204", vec![say("HTTP/1.1 204 No Content\r\n\r\n")], "http-status"),
        ("503, timed out", json("503 Service Unavailable", "etcdserver: request timed out", 14), "server-timeout"),
        ("503, leader changed", json("503 Service Unavailable", "etcdserver: leader changed", 14), "leader-changed"),
        ("503, no leader", json("503 Service Unavailable", "etcdserver: no leader", 14), "no-leader"),
        ("429, too many", json("429 Too Many Requests", "etcdserver: too many requests", 8), "too-many-requests"),
        ("500, dropped", json("500 Internal Server Error", "raft proposal dropped", 2), "proposal-dropped"),
        ("429, no space", json("429 Too Many Requests", "etcdserver: mvcc: database space exceeded", 8), "no-space"),
        ("403, denied", json("403 Forbidden", "etcdserver: permission denied", 7), "permission-denied"),
        ("504, deadline", json("504 Gateway Timeout", "context deadline exceeded", 4), "deadline"),
        ("400, never heard of", json("400 Bad Request", "etcdserver: on holiday", 3), "unknown-error"),
        (
            "message only",
            vec![say(answer("503 X", r#"{"code":14,"message":"etcdserver: server stopped"}"#))],
            "stopped",
        ),
    ]
}

#[tokio::test]
async fn every_broken_answer_gives_what_the_table_says() {
    let mut cases = tokio::task::JoinSet::new();
    for (case, steps, name) in broken_answers() {
        for operation in operations() {
            let steps = steps.clone();
            cases.spawn(async move {
                let sent = usize::from(!matches!(steps[0], Step::CloseUnread));
                let server = Server::new(steps).await;
                let options = if name == "timeout" { hasty(server.port) } else { options(server.port) };
                let completion = client_of(options, "127.0.0.1").await.invoke(&operation).await;
                assert_is_row(case, &operation.f, name, &completion);
                assert_eq!(server.requests().len(), sent, "{case}, {}: requests", operation.f);
                assert_eq!(server.connections(), 1, "{case}, {}: connections", operation.f);
            });
        }
    }
    while let Some(ended) = cases.join_next().await {
        ended.unwrap();
    }
}

#[tokio::test]
async fn without_a_connection_nothing_was_sent_and_all_fails() {
    // Bound but not listening: refuses, and nobody else can take the port.
    let refusing = tokio::net::TcpSocket::new_v4().unwrap();
    refusing.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let port = refusing.local_addr().unwrap().port();
    for operation in operations() {
        let completion = client(port).await.invoke(&operation).await;
        assert_is_row("refused", &operation.f, "not-connected", &completion);
        let completion = client_of(options(port), "not a host").await.invoke(&operation).await;
        assert_is_row("no address", &operation.f, "no-client", &completion);
    }
}

#[tokio::test]
async fn a_connection_that_does_not_come_in_time_fails() {
    // A listener that never accepts and whose queue is full: further SYNs are dropped.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let mut queue = Vec::new();
    while let Ok(stream) =
        tokio::time::timeout(Duration::from_millis(100), tokio::net::TcpStream::connect(address)).await
    {
        queue.push(stream.unwrap());
        assert!(queue.len() < 50, "the queue is never full");
    }
    for operation in operations() {
        let completion = client_of(hasty(address.port()), "127.0.0.1").await.invoke(&operation).await;
        assert_is_row("full queue", &operation.f, "connect-timeout", &completion);
    }
}

#[tokio::test]
async fn a_redirect_is_never_followed() {
    for status in
        ["301 Moved Permanently", "302 Found", "303 See Other", "307 Temporary Redirect", "308 Permanent Redirect"]
    {
        for operation in operations() {
            let other = Server::new(vec![say(answer("200 OK", &healthy(&operation.f)))]).await;
            let to = format!("http://127.0.0.1:{}/v3/kv/put", other.port);
            let bytes = format!("HTTP/1.1 {status}\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n");
            let server = Server::new(vec![say(bytes)]).await;
            let completion = client(server.port).await.invoke(&operation).await;
            assert_is_row(status, &operation.f, "redirect", &completion);
            assert_eq!((server.requests().len(), other.connections()), (1, 0), "{status}");
        }
    }
}

fn read_of(value: &str) -> Vec<u8> {
    use base64::Engine as _;
    let value = base64::engine::general_purpose::STANDARD.encode(value);
    answer("200 OK", &format!(r#"{{{HEADER},"kvs":[{{"key":"c2NoaXNtLzU=","value":"{value}"}}],"count":"1"}}"#))
}

#[tokio::test]
async fn a_late_answer_is_not_taken_for_the_next() {
    let late = Step::Say { after: Duration::from_millis(HASTE_MS + 200), bytes: read_of("1"), keep: true };
    let slow = Step::Say { after: Duration::from_millis(400), bytes: read_of("2"), keep: true };
    let server = Server::new(vec![late, slow, say(read_of("3"))]).await;
    let mut client = client_of(hasty(server.port), "127.0.0.1").await;
    let read = operation(F::Read, Value::Nil);
    assert_is_row("late", &F::Read, "timeout", &client.invoke(&read).await);
    // The late answer arrives while the second read waits.
    assert_eq!(client.invoke(&read).await, Completion::ok(Value::Int(2)));
    assert_eq!(client.invoke(&read).await, Completion::ok(Value::Int(3)));
    assert_eq!((server.requests().len(), server.connections()), (3, 2));
}

#[tokio::test]
async fn an_answer_too_many_is_not_taken_for_the_next() {
    for _ in 0..20 {
        let server = Server::new(vec![say([read_of("1"), read_of("2")].concat()), say(read_of("3"))]).await;
        let mut client = client(server.port).await;
        let read = operation(F::Read, Value::Nil);
        assert_eq!(client.invoke(&read).await, Completion::ok(Value::Int(1)));
        match client.invoke(&read).await {
            Completion::Ok { value, .. } => assert_eq!(value, Value::Int(3)),
            broken => assert_is_row("an answer too many", &F::Read, "broken", &broken),
        }
    }
}

/// Hyper's pool may find a kept connection closed. Whatever it does about it, an operation leaves at most once.
#[tokio::test]
async fn a_connection_closed_between_operations_never_doubles_a_request() {
    const COUNT: usize = 100;
    for pause_us in [0, 50, 2000] {
        let ok = || answer("200 OK", &healthy(&F::Write));
        let server = Server::new((0..COUNT).map(|_| say_and_close(ok())).collect()).await;
        let mut client = client(server.port).await;
        let mut succeeded = 0;
        for number in 0..COUNT {
            let completion = client.invoke(&operation(F::Write, Value::Int(1000 + number as i64))).await;
            match completion {
                Completion::Ok { .. } => succeeded += 1,
                doubt => assert_is_row("closed between", &F::Write, "broken", &doubt),
            }
            tokio::time::sleep(Duration::from_micros(pause_us)).await;
        }
        let requests = server.requests();
        let mut bodies: Vec<_> = requests.iter().map(|request| &request.body).collect();
        bodies.sort_unstable();
        bodies.dedup();
        assert_eq!(bodies.len(), requests.len(), "a write was sent twice");
        assert_eq!(requests.len(), succeeded, "one request for each that succeeded, none for the others");
        assert!(succeeded > 0);
    }
}

#[tokio::test]
async fn a_kept_connection_that_breaks_under_a_request_is_doubt_and_is_not_retried() {
    for operation in operations() {
        let good = say(answer("200 OK", &healthy(&operation.f)));
        let server = Server::new(vec![good.clone(), Step::CloseUnanswered, good]).await;
        let mut client = client(server.port).await;
        assert_eq!(error_name(&client.invoke(&operation).await), "ok");
        assert_is_row("breaks when kept", &operation.f, "broken", &client.invoke(&operation).await);
        assert_eq!((server.requests().len(), server.connections()), (2, 1));
        assert_eq!(error_name(&client.invoke(&operation).await), "ok", "the next has a connection of its own");
        assert_eq!((server.requests().len(), server.connections()), (3, 2));
    }
}

#[tokio::test]
async fn what_a_read_answers_is_looked_at_closely() {
    let kvs = |kvs: &str| answer("200 OK", &format!("{{{HEADER},\"kvs\":{kvs}}}"));
    let unreadable =
        |base64: &str| Completion::ok(Value::Map(Box::new(vec![(Value::str("unreadable"), Value::str(base64))])));
    let read = [
        ("no such key", answer("200 OK", &format!("{{{HEADER}}}")), Completion::ok(Value::Nil)),
        ("an empty list", kvs("[]"), Completion::ok(Value::Nil)),
        ("an empty value", kvs(r#"[{"key":"c2NoaXNtLzU="}]"#), unreadable("")),
        ("bytes that no one wrote", kvs(r#"[{"key":"c2NoaXNtLzU=","value":"/w=="}]"#), unreadable("/w==")),
        ("a text that no one wrote", kvs(r#"[{"key":"c2NoaXNtLzU=","value":"Nzc3Og=="}]"#), unreadable("Nzc3Og==")),
        ("a list", kvs(r#"[{"key":"c2NoaXNtLzU=","value":"WzEsMl0="}]"#), Completion::ok(Value::Pair([1, 2]))),
    ];
    let operation = operation(F::Read, Value::Nil);
    for (case, bytes, expected) in read {
        let server = Server::new(vec![say(bytes)]).await;
        assert_eq!(client(server.port).await.invoke(&operation).await, expected, "{case}");
    }
    let refused = [
        ("another key", kvs(r#"[{"key":"c2NoaXNtLzY=","value":"Nw=="}]"#)),
        ("wrong base64", kvs(r#"[{"key":"c2NoaXNtLzU=","value":"*"}]"#)),
        ("a number for a value", kvs(r#"[{"key":"c2NoaXNtLzU=","value":7}]"#)),
        ("two values", kvs(r#"[{"key":"c2NoaXNtLzU="},{"key":"c2NoaXNtLzU="}]"#)),
        ("no list", kvs("7")),
    ];
    for (case, bytes) in refused {
        let server = Server::new(vec![say(bytes)]).await;
        assert_is_row(case, &F::Read, "wrong-shape", &client(server.port).await.invoke(&operation).await);
    }
}

#[tokio::test]
async fn a_compare_and_set_says_whether_it_matched() {
    let txn = |more: &str| vec![say(answer("200 OK", &format!("{{{HEADER}{more}}}")))];
    let value = Value::list(vec![Value::Nil, Value::Int(8)]);
    let operation = operation(F::Cas, value.clone());
    for (more, matched) in [(r#","succeeded":true"#, true), (r#","succeeded":false"#, false), ("", false)] {
        let server = Server::new(txn(more)).await;
        let completion = client(server.port).await.invoke(&operation).await;
        assert_eq!(completion, Completion::Ok { value: value.clone(), matched: Some(matched) });
        assert!(
            server.requests()[0]
                .body
                .contains(r#""create_revision":"0","key":"c2NoaXNtLzU=","result":"EQUAL","target":"CREATE""#)
        );
    }
    let server = Server::new(txn(r#","succeeded":"yes""#)).await;
    assert_is_row("no truth", &F::Cas, "wrong-shape", &client(server.port).await.invoke(&operation).await);
}

#[tokio::test]
async fn what_cannot_be_done_fails_and_sends_nothing() {
    let server = Server::new(vec![]).await;
    let mut client = client(server.port).await;
    let cases = [
        operation(F::Write, Value::Nil),
        operation(F::Write, Value::Keyword("a".into())),
        operation(F::Cas, Value::Int(1)),
        operation(F::Cas, Value::list(vec![Value::Int(1), Value::Nil])),
        operation(F::Txn, Value::Nil),
        operation(F::Other("fly".into()), Value::Nil),
    ];
    for operation in cases {
        assert_is_row("unsupported", &operation.f, "unsupported", &client.invoke(&operation).await);
    }
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn serializable_reads_are_asked_for() {
    let server = Server::new(vec![say(read_of("1"))]).await;
    let options = EtcdOptions { serializable_reads: true, ..options(server.port) };
    client_of(options, "127.0.0.1").await.invoke(&operation(F::Read, Value::Nil)).await;
    assert_eq!(server.requests()[0].body, r#"{"key":"c2NoaXNtLzU=","serializable":true}"#);
}

#[tokio::test]
async fn a_login_comes_before_the_operation_and_is_made_anew_when_the_token_ends() {
    let token = |token: &str| say(answer("200 OK", &format!(r#"{{{HEADER},"token":"{token}"}}"#)));
    let ended = r#"{"error":"etcdserver: invalid auth token","message":"etcdserver: invalid auth token","code":16}"#;
    let steps = vec![
        say(answer("503 Service Unavailable", r#"{"message":"etcdserver: request timed out","code":14}"#)),
        token("first"),
        say(answer("200 OK", &healthy(&F::Write))),
        say(answer("401 Unauthorized", ended)),
        token("second"),
        say(answer("200 OK", &healthy(&F::Write))),
    ];
    let server = Server::new(steps).await;
    // Any variable that is there will do for a password.
    let login =
        EtcdOptions { user: Some("tester".to_owned()), password_env: Some("PATH".to_owned()), ..options(server.port) };
    let mut client = client_of(login, "127.0.0.1").await;
    let write = operation(F::Write, Value::Int(7));
    assert_is_row("no login", &F::Write, "not-authenticated", &client.invoke(&write).await);
    assert_eq!(server.requests().len(), 1, "of the operation nothing was sent");
    assert_eq!(client.invoke(&write).await, Completion::ok(Value::Int(7)));
    assert_is_row("the token ended", &F::Write, "invalid-token", &client.invoke(&write).await);
    assert_eq!(client.invoke(&write).await, Completion::ok(Value::Int(7)));
    let seen: Vec<_> = server.requests().into_iter().map(|it| (it.path, it.authorization)).collect();
    let (login, put) = ("/v3/auth/authenticate".to_owned(), "/v3/kv/put".to_owned());
    let expected = [
        (login.clone(), None),
        (login.clone(), None),
        (put.clone(), Some("first".to_owned())),
        (put.clone(), Some("first".to_owned())),
        (login, None),
        (put, Some("second".to_owned())),
    ];
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn a_prefix_that_is_in_use_is_refused_before_the_load() {
    for (count, fine) in [("", true), (r#","count":"0""#, true), (r#","count":"3""#, false), (r#","count":3"#, false)] {
        let server = Server::new(vec![say(answer("200 OK", &format!("{{{HEADER}{count}}}")))]).await;
        let (mut cluster, _) = scripted_cluster(&["n1"]);
        cluster.nodes[0].address = "127.0.0.1".to_owned();
        let driver = EtcdDriver::of(&Etcd::new(options(server.port)).unwrap(), &cluster);
        let prepared = driver.prepare().await;
        assert_eq!(prepared.is_ok(), fine, "{count}: {prepared:?}");
        assert_eq!(server.requests()[0].body, r#"{"count_only":true,"key":"c2NoaXNtLw==","range_end":"c2NoaXNtMA=="}"#);
    }
}

#[tokio::test]
async fn a_node_that_is_not_there_has_no_client() {
    let (cluster, _) = scripted_cluster(&["n1"]);
    let driver = EtcdDriver::of(&Etcd::new(EtcdOptions::default()).unwrap(), &cluster);
    let Err(error) = driver.open(&Node::new("n9"), &Process::Client(0)).await else { panic!("opened") };
    assert!(error.to_string().contains("n9"), "{error}");
}
