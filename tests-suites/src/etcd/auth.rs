//! Switching authentication on, for clusters of our own making.

use std::time::Duration;

use serde_json::json;

use super::errors::Failure;
use super::options::Login;
use super::wire::Wire;

/// Creates the role `root`, the user `root` (etcd asks for it) and the user of the login with all rights, then switches
/// authentication on. Running it twice does no harm.
///
/// # Errors
/// When a step fails for another reason than that it was done before.
pub(crate) async fn enable(wire: &mut Wire, login: &Login, within: Duration) -> Result<(), Failure> {
    let mut users = vec![login.user.as_str()];
    if login.user != "root" {
        users.push("root");
    }
    let mut steps = vec![("/v3/auth/role/add", json!({ "name": "root" }))];
    for user in users {
        steps.push(("/v3/auth/user/add", json!({ "name": user, "password": login.password })));
        steps.push(("/v3/auth/user/grant", json!({ "user": user, "role": "root" })));
    }
    steps.push(("/v3/auth/enable", json!({})));
    for (path, body) in steps {
        match wire.ask(path, &body, within).await {
            Ok(_) => {}
            Err(failure) if done_before(&failure) => {}
            // Authentication is on: then the login must do, and the first read tells.
            Err(failure) if matches!(failure.row.name, "no-user" | "invalid-token") => return Ok(()),
            Err(failure) => return Err(failure),
        }
    }
    Ok(())
}

fn done_before(failure: &Failure) -> bool {
    failure.detail.iter().any(|(name, value)| {
        let text = value.to_string();
        *name == "message"
            && (text == "etcdserver: role name already exists" || text == "etcdserver: user name already exists")
    })
}
