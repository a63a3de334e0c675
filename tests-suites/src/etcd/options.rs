//! What can be chosen of etcd, and the same made ready for use: files read, passwords fetched.

use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::release::{RELEASES, Release};

/// etcd's own limit of 128 (`--max-txn-ops`), less the operation's own comparison.
const GUARDS_MAX: u32 = 127;

/// What can be chosen of etcd: the value of `database: { etcd: {...} }` in a suite.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EtcdOptions {
    /// Reads are answered by the node that is asked, from what it knows, without asking the others: such reads may be
    /// stale, and etcd says so.
    pub serializable_reads: bool,
    /// TLS between clients and etcd; absent: plain HTTP.
    pub tls: Option<TlsOptions>,
    /// The user that clients log in as; absent: nobody logs in.
    pub user: Option<String>,
    /// The environment variable (of the controller) that holds the user's password.
    pub password_env: Option<String>,
    /// Creates the user (with all rights) and switches authentication on before the load begins. For clusters of our
    /// own making only: on an existing cluster it would lock everybody else out.
    pub enable_auth: bool,
    /// The port for clients on every node.
    pub client_port: u16,
    /// The port for members on every node.
    pub peer_port: u16,
    /// How often a leader tells that it is alive, in milliseconds.
    pub heartbeat_ms: u64,
    /// How long a member waits for its leader before it stands for election, in milliseconds (etcd wants at least
    /// five heartbeats).
    pub election_ms: u64,
    /// How long an operation may take from beginning to end, connecting included, in milliseconds.
    pub operation_timeout_ms: u64,
    /// How long a connection may take, in milliseconds; a part of the operation's time.
    pub connect_timeout_ms: u64,
    /// How long the cluster may take to come up, in milliseconds.
    pub ready_timeout_ms: u64,
    /// A binary of etcd on the controller, brought to every node; absent: each node's own (in its PATH, or in
    /// `/opt/schism/etcd`).
    pub binary: Option<PathBuf>,
    /// A released version (`3.5.1`) to be fetched and brought to every node instead of `binary`: one of
    /// [`super::release::RELEASES`].
    pub release: Option<String>,
    /// How many comparisons that always hold each write carries beside its own, as transactions over several keys do.
    pub guards: u32,
    /// What every key begins with. Nothing may be stored under it when the load begins.
    pub prefix: String,
}

impl Default for EtcdOptions {
    fn default() -> EtcdOptions {
        EtcdOptions {
            serializable_reads: false,
            tls: None,
            user: None,
            password_env: None,
            enable_auth: false,
            client_port: 2379,
            peer_port: 2380,
            heartbeat_ms: 100,
            election_ms: 1000,
            operation_timeout_ms: 1000,
            connect_timeout_ms: 500,
            ready_timeout_ms: 60_000,
            binary: None,
            release: None,
            guards: 0,
            prefix: "schism/".to_owned(),
        }
    }
}

/// TLS: paths on the controller, in PEM.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsOptions {
    /// Certificates of the authorities that sign the servers' certificates; no other authority is believed.
    pub ca: PathBuf,
    /// The clients' certificate, where the servers ask for one.
    pub cert: Option<PathBuf>,
    /// Its private key (PKCS #8).
    pub key: Option<PathBuf>,
    /// The servers' certificate, good for the address of every node: needed where schism itself starts etcd.
    pub server_cert: Option<PathBuf>,
    /// Its private key.
    pub server_key: Option<PathBuf>,
}

/// Why the options cannot be used. Nothing was started.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OptionsError {
    /// A file cannot be read.
    #[error("etcd: {field}: cannot read {}: {reason}. Give the path of a readable file on the controller", path.display())]
    File {
        /// Which option.
        field: &'static str,
        /// Which file.
        path: PathBuf,
        /// What happened.
        reason: String,
    },
    /// What a file holds cannot be used.
    #[error("etcd: {field}: {} does not hold what it should: {reason}. It must be PEM, a key in PKCS #8", path.display())]
    Content {
        /// Which option.
        field: &'static str,
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// Options that contradict each other.
    #[error("etcd: {problem}. {hint}")]
    Contradiction {
        /// What is wrong.
        problem: String,
        /// What to do next.
        hint: &'static str,
    },
}

/// Who the clients log in as. Says nothing of the password when printed.
#[derive(Clone)]
pub(crate) struct Login {
    pub(crate) user: String,
    pub(crate) password: String,
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Login").field("user", &self.user).finish_non_exhaustive()
    }
}

/// The options made ready for use.
#[derive(Debug, Clone)]
pub(crate) struct Access {
    /// Made once: making it reads the system's authorities (though it believes only the given ones): 25 ms.
    pub(crate) connector: native_tls::TlsConnector,
    pub(crate) tls: bool,
    pub(crate) login: Option<Login>,
    pub(crate) client_port: u16,
    pub(crate) operation_timeout: Duration,
    pub(crate) connect_timeout: Duration,
}

impl Access {
    /// Reads the files and the environment that the options name.
    pub(crate) fn new(options: &EtcdOptions) -> Result<Access, OptionsError> {
        check(options)?;
        Ok(Access {
            connector: connector(options.tls.as_ref())?,
            tls: options.tls.is_some(),
            login: login(options)?,
            client_port: options.client_port,
            operation_timeout: Duration::from_millis(options.operation_timeout_ms),
            connect_timeout: Duration::from_millis(options.connect_timeout_ms),
        })
    }

    /// `https://[::1]:2379` for a node's address; an IPv6 address comes without brackets.
    pub(crate) fn url(&self, address: &str) -> String {
        format!("{}://{}:{}", if self.tls { "https" } else { "http" }, bracketed(address), self.client_port)
    }
}

/// What speaks TLS for the clients. Believes no authority but the given ones.
fn connector(tls: Option<&TlsOptions>) -> Result<native_tls::TlsConnector, OptionsError> {
    /// For plain HTTP, where the HTTP client wants one all the same: it never speaks.
    static SILENT: OnceLock<native_tls::TlsConnector> = OnceLock::new();
    let built = |builder: &native_tls::TlsConnectorBuilder| {
        let hint = "The TLS library could not be made ready; look at the options `tls`";
        builder.build().map_err(|error| contradiction(format!("TLS cannot be used: {error}"), hint))
    };
    let mut builder = native_tls::TlsConnector::builder();
    builder.disable_built_in_roots(true);
    let Some(tls) = tls else {
        if let Some(silent) = SILENT.get() {
            return Ok(silent.clone());
        }
        let silent = built(&builder)?;
        return Ok(SILENT.get_or_init(|| silent).clone());
    };
    let authorities = native_tls::Certificate::stack_from_pem(&read("tls.ca", &tls.ca)?);
    let authorities = authorities.map_err(|error| content("tls.ca", &tls.ca, error))?;
    if authorities.is_empty() {
        return Err(content("tls.ca", &tls.ca, "no certificate in it"));
    }
    for authority in authorities {
        builder.add_root_certificate(authority);
    }
    if let (Some(cert), Some(key)) = (&tls.cert, &tls.key) {
        let identity = native_tls::Identity::from_pkcs8(&read("tls.cert", cert)?, &read("tls.key", key)?);
        builder.identity(identity.map_err(|error| content("tls.cert and tls.key", cert, error))?);
    }
    built(&builder)
}

/// An address as URLs have it.
pub(crate) fn bracketed(address: &str) -> String {
    if address.contains(':') { format!("[{address}]") } else { address.to_owned() }
}

fn contradiction(problem: impl Into<String>, hint: &'static str) -> OptionsError {
    OptionsError::Contradiction { problem: problem.into(), hint }
}

fn check(options: &EtcdOptions) -> Result<(), OptionsError> {
    if let Some(version) = options.release.as_deref() {
        if Release::find(version).is_none() {
            let known: Vec<&str> = RELEASES.iter().map(|release| release.version).collect();
            let problem = format!("`release` is `{version}`, which cannot be fetched; there is {}", known.join(", "));
            return Err(contradiction(problem, "Give the path of a binary as `binary` instead"));
        }
        if options.binary.is_some() {
            let problem = "`release` and `binary` are both given".to_owned();
            return Err(contradiction(problem, "Keep one of them"));
        }
    }
    if options.guards > GUARDS_MAX {
        let problem = format!("`guards` is {}, and etcd takes at most 128 comparisons", options.guards);
        return Err(contradiction(problem, "Give at most 127"));
    }
    if options.operation_timeout_ms == 0 || options.connect_timeout_ms == 0 {
        return Err(contradiction("a time limit of 0 ms lets nothing succeed", "Leave it out, or give it 1000"));
    }
    if options.connect_timeout_ms >= options.operation_timeout_ms {
        let problem = format!(
            "connect_timeout_ms ({}) is not shorter than operation_timeout_ms ({})",
            options.connect_timeout_ms, options.operation_timeout_ms
        );
        return Err(contradiction(
            problem,
            "A connection that does not come would count as doubt though nothing was sent: make it shorter",
        ));
    }
    if options.heartbeat_ms == 0 || options.election_ms < 5 * options.heartbeat_ms || options.election_ms > 50_000 {
        let problem =
            format!("election_ms ({}) does not fit heartbeat_ms ({})", options.election_ms, options.heartbeat_ms);
        return Err(contradiction(problem, "etcd wants election_ms from 5 * heartbeat_ms to 50000"));
    }
    if options.client_port == options.peer_port || options.client_port == 0 || options.peer_port == 0 {
        return Err(contradiction("client_port and peer_port must be two ports, neither 0", "2379 and 2380 are usual"));
    }
    if options.prefix.is_empty() {
        return Err(contradiction("prefix is empty", "Give what every key of the test begins with, such as `schism/`"));
    }
    let Some(tls) = &options.tls else { return Ok(()) };
    for (names, one, other) in [
        ("tls.cert and tls.key", &tls.cert, &tls.key),
        ("tls.server_cert and tls.server_key", &tls.server_cert, &tls.server_key),
    ] {
        if one.is_some() != other.is_some() {
            return Err(contradiction(format!("{names} belong together, and only one is given"), "Give both or none"));
        }
    }
    Ok(())
}

fn login(options: &EtcdOptions) -> Result<Option<Login>, OptionsError> {
    let (user, variable) = match (&options.user, &options.password_env) {
        (Some(user), Some(variable)) => (user, variable),
        (None, None) if options.enable_auth => {
            return Err(contradiction("enable_auth needs a user", "Give user and password_env"));
        }
        (None, None) => return Ok(None),
        _ => {
            return Err(contradiction(
                "user and password_env belong together, and only one is given",
                "Give both or none",
            ));
        }
    };
    match std::env::var(variable) {
        Ok(password) => Ok(Some(Login { user: user.clone(), password })),
        Err(error) => Err(contradiction(
            format!("password_env names {variable}, and it cannot be had: {error}"),
            "Set the variable where schism runs",
        )),
    }
}

fn read(field: &'static str, path: &PathBuf) -> Result<Vec<u8>, OptionsError> {
    std::fs::read(path).map_err(|error| OptionsError::File { field, path: path.clone(), reason: error.to_string() })
}

fn content(field: &'static str, path: &std::path::Path, reason: impl std::fmt::Display) -> OptionsError {
    OptionsError::Content { field, path: path.to_owned(), reason: reason.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contradictions_are_told_before_anything_starts() {
        let cases = [
            (r#"{"operation_timeout_ms": 0}"#, "time limit of 0 ms"),
            (r#"{"connect_timeout_ms": 1000}"#, "not shorter"),
            (r#"{"election_ms": 400}"#, "does not fit"),
            (r#"{"heartbeat_ms": 0}"#, "does not fit"),
            (r#"{"peer_port": 2379}"#, "two ports"),
            (r#"{"prefix": ""}"#, "prefix is empty"),
            (r#"{"user": "a"}"#, "belong together"),
            (r#"{"enable_auth": true}"#, "needs a user"),
            (r#"{"user": "a", "password_env": "SCHISM_NO_SUCH_VARIABLE"}"#, "SCHISM_NO_SUCH_VARIABLE"),
            (r#"{"tls": {"ca": "/nowhere/ca.pem"}}"#, "/nowhere/ca.pem"),
            (r#"{"tls": {"ca": "/nowhere/ca.pem", "cert": "/nowhere/c.pem"}}"#, "only one is given"),
        ];
        for (json, part) in cases {
            let options: EtcdOptions = serde_json::from_str(json).unwrap();
            let error = Access::new(&options).unwrap_err().to_string();
            assert!(error.contains(part), "{json}: {error}");
        }
        assert!(Access::new(&EtcdOptions::default()).is_ok());
    }

    #[test]
    fn an_unknown_option_is_refused() {
        let error = serde_json::from_str::<EtcdOptions>(r#"{"serialisable_reads": true}"#).unwrap_err().to_string();
        assert!(error.contains("serialisable_reads") && error.contains("serializable_reads"), "{error}");
    }

    #[test]
    fn addresses_become_urls() {
        let access = Access::new(&EtcdOptions::default()).unwrap();
        assert_eq!(access.url("10.0.0.1"), "http://10.0.0.1:2379");
        assert_eq!(access.url("fd00::1"), "http://[fd00::1]:2379");
    }

    #[test]
    fn a_login_does_not_show_its_password() {
        let login = Login { user: "root".into(), password: "secret".into() };
        assert!(!format!("{login:?}").contains("secret"));
    }
}
