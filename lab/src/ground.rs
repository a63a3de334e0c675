//! The lab as a [`Ground`]: orders go to its holder.

use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use schism_cluster::{Ability, Ground, GroundAction, GroundError, GroundLease};

use crate::control::{self, Reply, Request};
use crate::find;
use crate::holder::STATE;
use crate::lab::Lab;

/// How long a holder may take for an order: a node that boots under emulation is the longest.
const WITHIN: Duration = Duration::from_secs(90);

/// Nodes that schism makes on this machine.
#[derive(Debug, Clone)]
pub struct LabGround {
    lab: Lab,
}

impl LabGround {
    /// Of this lab.
    pub fn new(lab: Lab) -> LabGround {
        LabGround { lab }
    }

    async fn ask(&self, what: String, request: Request) -> Result<Reply, GroundError> {
        let failed = |reason: String| GroundError::Failed { what: what.clone(), reason };
        if !find::is_alive(&self.lab.holder) {
            return Err(failed(format!("the lab {} is gone, and every fault with it", self.lab.id)));
        }
        let socket = PathBuf::from(format!("/proc/{}/root{STATE}/control", self.lab.holder.pid));
        let asked = tokio::task::spawn_blocking(move || control::ask(&socket, &request, WITHIN)).await;
        match asked {
            Ok(Ok(reply)) => Ok(reply),
            Ok(Err(error)) => Err(failed(format!("the holder of the lab {} does not answer: {error}", self.lab.id))),
            Err(error) => Err(failed(error.to_string())),
        }
    }

    async fn order(&self, what: String, request: Request) -> Result<serde_json::Value, GroundError> {
        match self.ask(what.clone(), request).await? {
            Reply::Done(value) => Ok(value),
            Reply::Failed(reason) => Err(GroundError::Failed { what, reason }),
            Reply::Leases(_) => {
                Err(GroundError::Failed { what, reason: "the holder answered something else".to_owned() })
            }
        }
    }
}

#[async_trait]
impl Ground for LabGround {
    fn name(&self) -> &'static str {
        self.lab.kind.ground()
    }

    fn id(&self) -> Option<&str> {
        Some(&self.lab.id)
    }

    async fn can(&self, ability: Ability) -> Result<(), GroundError> {
        let what = ability.to_string();
        match self.ask(what.clone(), Request::Can(ability)).await? {
            Reply::Failed(reason) => Err(GroundError::Unsupported { ground: self.name(), what, reason }),
            _ => Ok(()),
        }
    }

    async fn act(&self, action: &GroundAction) -> Result<serde_json::Value, GroundError> {
        self.order(action.to_string(), Request::Act(action.clone())).await
    }

    async fn arm(&self, lease: &GroundLease) -> Result<(), GroundError> {
        self.order(format!("keep the undo of {}", lease.label), Request::Arm(lease.clone())).await.map(|_| ())
    }

    async fn cancel(&self, name: &str) -> Result<(), GroundError> {
        self.order(format!("forget the undo {name}"), Request::Cancel(name.to_owned())).await.map(|_| ())
    }

    async fn leases(&self) -> Result<Vec<(GroundLease, i64)>, GroundError> {
        match self.ask("say which undos it keeps".to_owned(), Request::Leases).await? {
            Reply::Leases(leases) => Ok(leases),
            _ => Ok(Vec::new()),
        }
    }

    async fn beat(&self, run_tag: &str) -> Result<(), GroundError> {
        self.order("hear that we live".to_owned(), Request::Beat(run_tag.to_owned())).await.map(|_| ())
    }
}
