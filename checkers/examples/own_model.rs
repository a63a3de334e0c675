//! A model of one's own in thirty lines: a seat that one guest at a time may take (`sit`, with the guest's name), leave, and
//! ask about (`who`). Run it with `cargo run -p schism-checkers --example own_model`.

use schism_checkers::Budget;
use schism_checkers::linear::{Model, check_model};
use schism_history::{Call, History, Kind, ValueId, notation};

struct Seat;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Deed {
    Sit(ValueId),
    Leave,
    Who(ValueId),
}

impl Model for Seat {
    type State = ValueId;
    type Action = Deed;

    fn name(&self) -> &'static str {
        "seat"
    }

    fn initial(&self) -> ValueId {
        ValueId::NIL
    }

    fn step(&self, state: &ValueId, deed: &Deed) -> Option<ValueId> {
        match *deed {
            Deed::Sit(guest) => (*state == ValueId::NIL).then_some(guest),
            Deed::Leave => (*state != ValueId::NIL).then_some(ValueId::NIL),
            Deed::Who(seen) => (*state == seen).then_some(*state),
        }
    }

    fn action(&self, history: &History, call: Call) -> Result<Option<Deed>, String> {
        let answered = call.completion.filter(|_| call.outcome == Kind::Ok);
        match history.f(call.invoke).as_str() {
            "sit" => Ok(Some(Deed::Sit(history.value_id(call.invoke)))),
            "leave" => Ok(Some(Deed::Leave)),
            "who" => Ok(answered.map(|end| Deed::Who(history.value_id(end)))),
            other => Err(format!("a seat has no {other}")),
        }
    }

    /// Not needed; but witnesses read better with it.
    fn show(&self, history: &History, state: &ValueId) -> String {
        history.value_of(*state).to_string()
    }
}

#[allow(clippy::print_stdout, reason = "what it finds is its output")]
fn main() {
    for line in [
        "0:sit=1 1:who=nil>1 0:leave=nil 1:sit=2",
        "0:sit=1( 1:sit=2? 2:who=nil>1 0) 2:who=nil>1",
        "0:sit=1 1:sit=2 2:who=nil>2",
    ] {
        let finding = match notation::parse(line) {
            Ok(history) => check_model(&Seat, &history, &Budget::default()),
            Err(error) => panic!("{line}: {error}"),
        };
        println!("{:?}  {line}", finding.outcome());
        for anomaly in &finding.anomalies {
            println!("         {}", serde_json::json!(anomaly.witness));
        }
    }
}
