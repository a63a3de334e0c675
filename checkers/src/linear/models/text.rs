//! A string that is read, written and appended to (the key-value histories of other checkers' tests).

use std::sync::Arc;

use schism_history::{Call, F, History, Kind, Value};

use crate::linear::model::Model;

/// A string, empty at first: `read`, `write`, `append`.
#[derive(Debug, Clone, Copy)]
pub struct Text;

/// What was done to a string.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum TextAction {
    /// A read that answered this.
    Read(Arc<str>),
    /// A write.
    Write(Arc<str>),
    /// Something was put behind what was there.
    Append(Arc<str>),
}

impl Model for Text {
    type State = Arc<str>;
    type Action = TextAction;

    fn name(&self) -> &'static str {
        "string"
    }

    fn initial(&self) -> Arc<str> {
        Arc::from("")
    }

    fn step(&self, state: &Arc<str>, action: &TextAction) -> Option<Arc<str>> {
        match action {
            TextAction::Read(seen) => (state == seen).then(|| state.clone()),
            TextAction::Write(new) => Some(new.clone()),
            TextAction::Append(more) => Some(Arc::from([state, more.as_ref()].concat())),
        }
    }

    fn action(&self, history: &History, call: Call) -> Result<Option<TextAction>, String> {
        let answered = call.completion.filter(|_| call.outcome == Kind::Ok);
        match history.f(call.invoke) {
            F::Read => answered.map(|completion| text(history, completion).map(TextAction::Read)).transpose(),
            F::Write => text(history, call.invoke).map(|text| Some(TextAction::Write(text))),
            F::Append => text(history, call.invoke).map(|text| Some(TextAction::Append(text))),
            other => Err(format!("the model string has no function {other}")),
        }
    }

    fn observes_only(&self, action: &TextAction) -> bool {
        match action {
            TextAction::Read(_) => true,
            TextAction::Append(more) => more.is_empty(),
            TextAction::Write(_) => false,
        }
    }

    fn show(&self, _history: &History, state: &Arc<str>) -> String {
        format!("{state:?}")
    }

    fn observed(&self, _history: &History, action: &TextAction) -> String {
        match action {
            TextAction::Read(seen) => format!("{seen:?}"),
            TextAction::Write(_) | TextAction::Append(_) => "anything".to_owned(),
        }
    }
}

/// The text of an event; nil is the empty one.
fn text(history: &History, event: u32) -> Result<Arc<str>, String> {
    match &*history.value(event) {
        Value::Nil => Ok(Arc::from("")),
        Value::Str(text) => Ok(Arc::from(&**text)),
        other => Err(format!("the model string wants texts, but there is {other}")),
    }
}
