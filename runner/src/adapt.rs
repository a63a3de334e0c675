//! The nemesis' actors as the interpreter knows them.

use std::sync::Arc;

use async_trait::async_trait;
use schism_generators::Invocation;
use schism_nemesis::{Actor, Nemesis};

use crate::actors::{NemesisActor, NemesisCompletion};

struct Adapted(Actor);

#[async_trait]
impl NemesisActor for Adapted {
    fn class(&self) -> &str {
        self.0.class()
    }

    async fn invoke(&self, invocation: &Invocation, fault_id: u32) -> NemesisCompletion {
        let answer = self.0.invoke(invocation, fault_id).await;
        NemesisCompletion { value: answer.value, error: answer.error }
    }
}

/// One actor a class.
pub fn actors(nemesis: &Arc<Nemesis>) -> Vec<Arc<dyn NemesisActor>> {
    let classes = nemesis.classes();
    let actors = classes.iter().filter_map(|class| nemesis.actor(class));
    actors.map(|actor| Arc::new(Adapted(actor)) as Arc<dyn NemesisActor>).collect()
}
