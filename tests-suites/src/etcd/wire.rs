//! One HTTP connection to one node: a request leaves at most once, and an answer belongs to the request that waits for it.
//!
//! What could send a request twice, or elsewhere, and what is done about it:
//!
//! - redirects: none is followed;
//! - reqwest's own retries: switched off ([`reqwest::retry::never`]; they concern refusals of HTTP/2, which is not spoken
//!   either, so no test can tell the difference);
//! - a proxy from the environment: not used;
//! - hyper's pool takes a request back and gives it to a fresh connection if, and only if, no byte of it was handed to the
//!   connection it was meant for (the connection was found closed first). That cannot be switched off and is harmless:
//!   the request leaves once. The scripted server of the tests counts requests to prove it.
//!
//! An answer that comes after its time cannot meet a later request: whenever an exchange did not end in a whole answer,
//! the client and its connections are thrown away, and the next request makes its own. (Hyper closes a connection whose
//! exchange was given up, so the tests pass without this; it is here so that the promise rests on our own code.)

use std::error::Error as _;
use std::time::{Duration, Instant};

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use serde_json::Value as Json;

use super::errors::{Failure, Trouble};
use super::options::Access;

/// No answer to what this client asks is larger than this.
const ANSWER_BYTES_MAX: usize = 4 << 20;

/// A connection to one node, made when it is needed.
pub(crate) struct Wire {
    access: Access,
    url: String,
    client: Option<reqwest::Client>,
    token: Option<HeaderValue>,
}

impl Wire {
    /// A connection to a node's address. Nothing is sent yet.
    pub(crate) fn new(access: &Access, address: &str) -> Wire {
        Wire { access: access.clone(), url: access.url(address), client: None, token: None }
    }

    /// The time that an operation has.
    pub(crate) fn operation_timeout(&self) -> Duration {
        self.access.operation_timeout
    }

    /// Asks as the user of the options, within a time: logs in first if there is no token yet.
    pub(crate) async fn call(&mut self, path: &str, body: &Json, within: Duration) -> Result<Json, Failure> {
        let deadline = Instant::now() + within;
        if self.access.login.is_some() && self.token.is_none() {
            self.log_in(within).await.map_err(|failure| {
                Failure::seen(Trouble::NotAuthenticated, &failure.to_string()).with("login", failure.row.name)
            })?;
        }
        let left = deadline.saturating_duration_since(Instant::now());
        let answer = self.ask(path, body, left).await;
        if answer.as_ref().is_err_and(|failure| failure.row.name == "invalid-token") {
            // Tokens end, and are forgotten by a member that restarts. The next operation fetches a new one; this one
            // is not sent again.
            self.token = None;
        }
        answer
    }

    /// Fetches a token.
    async fn log_in(&mut self, within: Duration) -> Result<(), Failure> {
        let Some(login) = &self.access.login else { return Ok(()) };
        let body = serde_json::json!({ "name": login.user, "password": login.password });
        let answer = self.ask("/v3/auth/authenticate", &body, within).await?;
        let token = answer.get("token").and_then(Json::as_str).and_then(|token| HeaderValue::from_str(token).ok());
        let Some(mut token) = token else { return Err(Failure::seen(Trouble::WrongShape, "no token in the answer")) };
        token.set_sensitive(true);
        self.token = Some(token);
        Ok(())
    }

    /// Sends one request, once, and waits for its answer: a JSON object with etcd's header, or why there is none.
    pub(crate) async fn ask(&mut self, path: &str, body: &Json, within: Duration) -> Result<Json, Failure> {
        let client = match self.client.take() {
            Some(client) => client,
            None => self.connect()?,
        };
        let mut request = client
            .post(format!("{}{path}", self.url))
            .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
            .timeout(within)
            .body(body.to_string());
        if let Some(token) = &self.token {
            request = request.header(AUTHORIZATION, token.clone());
        }
        let (status, bytes) = match exchange(request).await {
            Ok(answer) => answer,
            // `client` is dropped here, and with it every connection on which an answer might still come.
            Err(failure) => return Err(failure.with("ms", within.as_millis() as i64)),
        };
        self.client = Some(client);
        read(status, &bytes)
    }

    fn connect(&self) -> Result<reqwest::Client, Failure> {
        let builder = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .http1_only()
            .tcp_nodelay(true)
            .pool_max_idle_per_host(1)
            .connect_timeout(self.access.connect_timeout)
            .tls_backend_preconfigured(self.access.connector.clone());
        builder.build().map_err(|error| Failure::seen(Trouble::NoClient, &whole_reason(&error)))
    }
}

/// Sends and reads to the end of the answer.
async fn exchange(request: reqwest::RequestBuilder) -> Result<(u16, Vec<u8>), Failure> {
    let mut response = request.send().await.map_err(|error| failed(&error))?;
    let status = response.status();
    if status.is_redirection() {
        let to = response.headers().get("location").map(|to| String::from_utf8_lossy(to.as_bytes()).into_owned());
        let failure = Failure::seen(Trouble::Redirect, &to.unwrap_or_default());
        return Err(failure.with("status", i64::from(status.as_u16())));
    }
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| failed(&error))? {
        if bytes.len() + chunk.len() > ANSWER_BYTES_MAX {
            return Err(Failure::seen(Trouble::TooLarge, &format!("more than {ANSWER_BYTES_MAX} bytes")));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok((status.as_u16(), bytes))
}

/// Which trouble an error of the HTTP client is. Only what comes from making the connection is certain to have sent nothing.
fn failed(error: &reqwest::Error) -> Failure {
    let trouble = match (error.is_connect(), error.is_timeout()) {
        (true, true) => Trouble::ConnectTimeout,
        (true, false) => Trouble::NotConnected,
        (false, true) => Trouble::Timeout,
        (false, false) if error.is_builder() => Trouble::NoClient,
        (false, false) => Trouble::Broken,
    };
    Failure::seen(trouble, &whole_reason(error))
}

/// A whole answer: the object, if it is one of etcd's.
fn read(status: u16, bytes: &[u8]) -> Result<Json, Failure> {
    let parsed: Result<Json, _> = serde_json::from_slice(bytes);
    if status != 200 {
        let message = parsed.ok().and_then(|json| {
            let text = |name: &str| json.get(name).and_then(Json::as_str).filter(|text| !text.is_empty());
            text("message").or_else(|| text("error")).map(str::to_owned)
        });
        return Err(match message {
            Some(message) => Failure::said(&message, status),
            None => Failure::seen(Trouble::Status, &beginning(bytes)).with("status", i64::from(status)),
        });
    }
    let Ok(json) = parsed else { return Err(Failure::seen(Trouble::NotJson, &beginning(bytes))) };
    // Every answer of etcd names the cluster and the member that gave it.
    if !json.get("header").is_some_and(|header| header.get("member_id").is_some_and(Json::is_string)) {
        return Err(Failure::seen(Trouble::WrongShape, &format!("no header: {}", beginning(bytes))));
    }
    Ok(json)
}

fn beginning(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).chars().take(120).collect()
}

/// An error with all its causes, and without the URL (which is the node's, and known).
fn whole_reason(error: &reqwest::Error) -> String {
    let mut reason = String::new();
    let mut cause = error.source();
    while let Some(inner) = cause {
        if !reason.is_empty() {
            reason.push_str(": ");
        }
        reason.push_str(&inner.to_string());
        cause = inner.source();
    }
    if reason.is_empty() { error.to_string() } else { reason }
}
