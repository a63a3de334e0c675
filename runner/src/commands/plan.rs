//! `schism plan`: what `run` would do.

use crate::cli::PlanArgs;
use crate::commands::print;
use crate::error::RunnerError;
use crate::exit::Exit;
use crate::request;

/// Prints the plan; harms nothing and reaches no node.
///
/// # Errors
/// When the suite is wrong or contradicts itself.
pub fn plan(args: &PlanArgs) -> Result<Exit, RunnerError> {
    let plan = request::plan(&args.suite)?;
    if args.json {
        print(&format!("{}\n", plan.to_json()?))?;
        return Ok(Exit::Valid);
    }
    print(&request::describe(&plan))?;
    Ok(Exit::Valid)
}
