//! `schism check --witness FILE`: for a valid history, an order of each key's operations that explains all answers.
//!
//! One JSON line a key: `{"key": "5", "order": [0, 4, 2]}` with the indexes of invocations; where no order was found, `order` is
//! null and `why` says so. Each order is replayed against the model and real time, by other code than found it, before it is
//! written.

use std::io::{BufWriter, Write};
use std::path::Path;

use schism_checkers::linear::ModelName;
use schism_checkers::linear::order::orders;
use schism_checkers::linear::replay::replay_key;
use schism_checkers::{Budget, Outcome, Verdict, table};
use schism_history::History;

use crate::cli::CheckArgs;
use crate::commands::say;
use crate::error::RunnerError;

/// Refuses `--witness` where it has no meaning.
///
/// # Errors
/// When another checker than `linearizable` was asked for, or none.
pub fn allowed(args: &CheckArgs) -> Result<(), RunnerError> {
    if args.witness.is_some() && args.checker.as_deref() != Some("linearizable") {
        return Err(RunnerError::Usage(
            "--witness needs --checker linearizable: only that has orders to show".to_owned(),
        ));
    }
    Ok(())
}

/// Writes the orders where they are asked for and the history is valid, and says on standard error what was written.
///
/// # Errors
/// When the file cannot be written, or an order does not replay (a defect of schism).
pub fn write(args: &CheckArgs, history: &History, verdict: &Verdict, budget: &Budget) -> Result<(), RunnerError> {
    let Some(path) = &args.witness else { return Ok(()) };
    if verdict.outcome() != Outcome::Valid {
        say(&format!("no order was written to {}: only a valid history has one for every key", path.display()));
        return Ok(());
    }
    let usual =
        table::CHECKERS.iter().find(|entry| entry.name == "linearizable").and_then(|entry| entry.models.first());
    let named = args.model.as_deref().map_or(usual.copied(), ModelName::parse);
    let Some(model) = named else { return Err(RunnerError::Usage("--witness needs a --model".to_owned())) };
    let (written, lacking) = lines(path, model, history, budget)?;
    let none = if lacking == 0 { String::new() } else { format!("; for {lacking} none was found within the budget") };
    let keys = if written == 1 { "1 key".to_owned() } else { format!("{written} keys") };
    say(&format!("orders of {keys} replayed and written to {}{none}", path.display()));
    Ok(())
}

/// How many keys have an order, and how many have not.
fn lines(path: &Path, model: ModelName, history: &History, budget: &Budget) -> Result<(u64, u64), RunnerError> {
    let wrong = |error| RunnerError::write(path, error);
    let mut file = BufWriter::new(std::fs::File::create(path).map_err(wrong)?);
    let (mut written, mut lacking) = (0, 0);
    for key in orders(model, history, budget) {
        if let Some(order) = &key.order {
            replay_key(model, history, key.key_id, order).map_err(|reason| RunnerError::Malformed {
                path: path.to_owned(),
                reason: format!(
                    "an order that was found is none ({reason}); this is a defect of schism, please report it"
                ),
            })?;
            written += 1;
        } else {
            lacking += 1;
        }
        let line = serde_json::to_string(&key).map_err(std::io::Error::other).map_err(wrong)?;
        writeln!(file, "{line}").map_err(wrong)?;
    }
    file.flush().map_err(wrong)?;
    Ok((written, lacking))
}
