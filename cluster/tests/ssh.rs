//! SSH against a real sshd. Passed over, with the reason, where there is none: see `support/sshd.rs`.

#[cfg(test)]
mod support;

use support::{cases, sshd};

macro_rules! against_sshd {
    ($($case:ident),* $(,)?) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                if let Some(sshd) = sshd::start(stringify!($case)).await {
                    cases::$case(&sshd.site).await;
                }
            }
        )*
    };
}

against_sshd!(
    commands,
    encrypted_keys,
    password,
    agent,
    host_keys,
    unreachable,
    jump,
    deadlines,
    volumes,
    files,
    at_once,
    broken_sessions
);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sudo() {
    let Some(sshd) = sshd::start("sudo").await else { return };
    if sshd.site.sudo_asks.is_none() {
        println!("sudo: passed over: there is no sudo beside the sshd");
        return;
    }
    cases::sudo(&sshd.site).await;
}
