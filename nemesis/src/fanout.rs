//! Many things at once without spawning tasks: what is borrowed may be used, and dropping the whole drops every part.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;

use schism_cluster::{Cluster, Command, NodeHandle, Output, RemoteError};
use schism_history::Node;

/// A future of a fan.
pub type Part<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Waits for all; answers in the order given. Each wake-up polls what is still pending, so it is meant for tens of
/// futures, not thousands.
pub async fn all<T>(parts: Vec<Part<'_, T>>) -> Vec<T> {
    let mut parts: Vec<Option<Part<'_, T>>> = parts.into_iter().map(Some).collect();
    let mut answers: Vec<Option<T>> = parts.iter().map(|_| None).collect();
    poll_fn(move |context| {
        let mut waiting = false;
        for (part, answer) in parts.iter_mut().zip(&mut answers) {
            let Some(future) = part else { continue };
            match future.as_mut().poll(context) {
                Poll::Ready(value) => (*answer, *part) = (Some(value), None),
                Poll::Pending => waiting = true,
            }
        }
        if waiting { Poll::Pending } else { Poll::Ready(answers.drain(..).flatten().collect()) }
    })
    .await
}

/// The handle of a node that the caller was told of.
///
/// # Errors
/// Where the cluster (of the inventory, say) has no such node.
pub fn handle<'a>(cluster: &'a Cluster, node: &Node) -> Result<&'a NodeHandle, RemoteError> {
    cluster.get(node).ok_or_else(|| RemoteError::Unreachable {
        node: node.clone(),
        address: "no address".to_owned(),
        reason: "this cluster has no node of that name".to_owned(),
        hint: "Name the ground on which the run was made".to_owned(),
    })
}

/// Runs a command on each of these nodes at once; the answers stand in the order given.
pub async fn run_each(cluster: &Cluster, commands: Vec<(Node, Command)>) -> Vec<(Node, Result<Output, RemoteError>)> {
    let parts = commands.into_iter().map(|(node, command)| {
        let part: Part<'_, _> = Box::pin(async move {
            let answer = match handle(cluster, &node) {
                Ok(handle) => handle.remote.run(&command).await,
                Err(error) => Err(error),
            };
            (node, answer)
        });
        part
    });
    all(parts.collect()).await
}

/// As [`run_each`], but every one of them must succeed.
///
/// # Errors
/// The first error in the order given; all were tried.
pub async fn run_all(cluster: &Cluster, commands: Vec<(Node, Command)>) -> Result<Vec<(Node, Output)>, RemoteError> {
    run_each(cluster, commands).await.into_iter().map(|(node, answer)| answer.map(|output| (node, output))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test(start_paused = true)]
    async fn all_run_at_once_and_answer_in_order() {
        let begun = tokio::time::Instant::now();
        let part = |number: u64| -> Part<'static, u64> {
            Box::pin(async move {
                tokio::time::sleep(Duration::from_secs(10 - number)).await;
                number
            })
        };
        assert_eq!(all((0..10).map(part).collect()).await, (0..10).collect::<Vec<_>>());
        assert_eq!(begun.elapsed(), Duration::from_secs(10));
        assert!(all::<u64>(vec![]).await.is_empty());
    }
}
