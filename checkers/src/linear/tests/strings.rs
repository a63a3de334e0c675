//! Strings: the search over a model without cells, against brute force; witnesses; cases as data.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use schism_history::{RunFacts, jsonl};

use super::simulate::{Draw, Simulated, Told, Wanted, agrees, kills};
use crate::checker::{Budget, Checker};
use crate::linear::models::ModelName;
use crate::linear::models::text::{Text, TextAction};
use crate::linear::mutant::Mutant::*;
use crate::linear::mutant::Mutation;
use crate::linear::problem::Problem;
use crate::linear::search::{Decision, decide};
use crate::linear::split::Operation;
use crate::linear::{Linearizable, verify_witness};
use crate::verdict::Outcome;

const SHAPES: [Wanted; 2] = [
    Wanted { operations_max: 7, doubts_max: 2, values: 3, processes: 3, edited_percent: 95 },
    Wanted { operations_max: 7, doubts_max: 0, values: 3, processes: 2, edited_percent: 95 },
];

impl Simulated for Text {
    fn draw(&self, random: &mut ChaCha8Rng, state: &std::sync::Arc<str>, draw: Draw) -> Option<TextAction> {
        let text = draw.value(random).to_string().into();
        Some(match random.random_range(0..5) {
            0..3 if !draw.doubtful => TextAction::Read(state.clone()),
            3 => TextAction::Write(text),
            _ => TextAction::Append(text),
        })
    }

    fn edited(&self, random: &mut ChaCha8Rng, action: &TextAction, _all: &[Operation<TextAction>]) -> TextAction {
        let digit = random.random_range(0..4).to_string();
        match action {
            TextAction::Read(seen) if random.random_bool(0.5) => {
                TextAction::Read([seen, digit.as_str()].concat().into())
            }
            TextAction::Read(_) => TextAction::Read(digit.into()),
            TextAction::Write(_) => TextAction::Append(digit.into()),
            TextAction::Append(_) => TextAction::Write(digit.into()),
        }
    }
}

fn search(operations: &[Operation<TextAction>], mutation: Mutation) -> Told {
    let mut problem = Problem::new(&Text, operations, mutation);
    match decide(&mut problem, Budget::default(), mutation).0 {
        Decision::Linearizable => Some(true),
        Decision::Impossible(_) => Some(false),
        Decision::Spent(_) => None,
    }
}

#[test]
fn agrees_with_every_order() {
    agrees(&Text, &SHAPES, (31, 4_000, 0), |operations| search(operations, Mutation::default()));
}

#[test]
fn every_mutant_is_noticed() {
    let mutants = [NoDoubt, DoubtExpires, RealTimeIgnored, ReturnsEarly, SlotNotCleared, WindowOverflow];
    kills(&Text, &SHAPES, (37, 4_000), &mutants, |operations, mutant| {
        search(operations, Mutation { mutant: Some(mutant) })
    });
}

#[test]
fn a_witness_is_told_and_true() {
    let lines = r#"{"process":0,"type":"invoke","f":"append","key":"a","value":"x"}
{"process":1,"type":"invoke","f":"append","key":"a","value":"y"}
{"process":0,"type":"ok","f":"append","key":"a","value":"x"}
{"process":0,"type":"invoke","f":"read","key":"a","value":null}
{"process":0,"type":"ok","f":"read","key":"a","value":"yx"}
{"process":1,"type":"ok","f":"append","key":"a","value":"y"}
{"process":0,"type":"invoke","f":"read","key":"a","value":null}
{"process":0,"type":"ok","f":"read","key":"a","value":"xy"}
{"process":1,"type":"invoke","f":"append","key":"a","value":"z"}
{"process":1,"type":"ok","f":"append","key":"a","value":"z"}
"#;
    let (history, _) = jsonl::read(lines.as_bytes()).unwrap();
    let finding = Linearizable { model: ModelName::String }.check(&history, &RunFacts::default(), &Budget::default());
    assert_eq!(finding.outcome(), Outcome::Invalid);
    verify_witness(&history, &finding.anomalies[0].witness).unwrap();
    let told = serde_json::to_value(&finding.anomalies[0].witness).unwrap();
    assert_eq!(told["initial"], "\"\"");
    assert_eq!(told["until"], 7);
    assert_eq!(told["operations"], serde_json::json!([0, 1, 3, 6]));
    assert_eq!(told["smallest"], true);
}
