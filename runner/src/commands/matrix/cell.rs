//! The runs of a matrix: the product of suites, workloads, sets of faults, sequences and seeds, each planned before any begins.

use serde::{Deserialize, Serialize};

use crate::cli::{MatrixArgs, SharedArgs, SuiteArgs};
use crate::error::RunnerError;
use crate::plan::Plan;
use crate::request;

/// More runs than this are a typing mistake.
const CELLS_MAX: usize = 10_000;

/// One run of a matrix.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Cell {
    /// From 1, in the order of the matrix; the name of its folder.
    pub number: usize,
    /// The suite.
    pub suite: String,
    /// The workload.
    pub workload: String,
    /// What `--faults` says of it, if anything.
    pub faults_asked: Option<String>,
    /// Classes of its faults, each once.
    pub faults: Vec<String>,
    /// The seed.
    pub seed: u64,
    /// The number of its sequence, in a systematic matrix.
    pub sequence: Option<u64>,
    /// That sequence in words.
    pub sequence_label: Option<String>,
    /// Arguments of `schism` for it.
    pub arguments: Vec<String>,
}

impl Cell {
    /// `kill, pause`, `all (36 classes)`, `sequence 9: kill one, then pause one`.
    pub fn harm(&self) -> String {
        match (&self.sequence, &self.sequence_label) {
            (Some(number), label) => format!("sequence {number}: {}", label.as_deref().unwrap_or("?")),
            _ if self.faults.is_empty() => "none".to_owned(),
            _ if self.faults_asked.as_deref() == Some("all") => format!("all ({} classes)", self.faults.len()),
            _ => self.faults.join(","),
        }
    }

    /// The name of its folder within the matrix.
    pub fn folder(&self) -> String {
        format!("{:03}", self.number)
    }
}

/// Answers what a command line plans; [`request::plan`], or a stand-in.
pub type Planner<'a> = &'a mut dyn FnMut(&SuiteArgs) -> Result<Plan, RunnerError>;

/// All runs, in order: suite by suite, workload by workload, faults, sequences, seeds. The same run twice is one.
///
/// # Errors
/// When a run could not be planned, is none of those that there are, or there are too many.
pub fn cells(args: &MatrixArgs, drawn_seed: u64, plan: Planner<'_>) -> Result<Vec<Cell>, RunnerError> {
    let drawn = [drawn_seed];
    let seeds = args.seeds.as_ref().map_or(&drawn[..], |seeds| seeds.numbers());
    let mut cells: Vec<Cell> = Vec::new();
    let mut known = std::collections::BTreeSet::new();
    for args in arguments(args, plan)? {
        let (mut of_run, sequence) = args;
        of_run.seed = seeds.first().copied();
        let planned = plan(&of_run)?;
        for seed in seeds {
            let arguments = request::run_arguments(&of_run, *seed);
            if !known.insert(arguments.clone()) {
                continue;
            }
            if cells.len() >= CELLS_MAX {
                return Err(RunnerError::Usage(format!(
                    "the matrix has more than {CELLS_MAX} runs; ask for a part of them (--seeds, --sequences, --faults)"
                )));
            }
            let label = |number: u64| {
                let systematic = planned.systematic.as_ref()?;
                Some(systematic.sequences.iter().find(|one| one.number == number)?.label())
            };
            cells.push(Cell {
                number: cells.len() + 1,
                suite: of_run.suite.clone(),
                workload: planned.workload.entry().name.to_owned(),
                faults_asked: of_run.faults.clone(),
                faults: planned.fault_classes(),
                seed: *seed,
                sequence,
                sequence_label: sequence.and_then(label),
                arguments,
            });
        }
    }
    Ok(cells)
}

/// What `run` would be told, but for the seed, and the number of the sequence.
fn arguments(args: &MatrixArgs, plan: Planner<'_>) -> Result<Vec<(SuiteArgs, Option<u64>)>, RunnerError> {
    let mut all = Vec::new();
    let workloads = some_or_none(&args.workloads);
    for suite in &args.suites {
        for workload in &workloads {
            let of_faults = |faults: Option<String>| SuiteArgs {
                suite: suite.clone(),
                shared: shared(args),
                workload: workload.clone(),
                faults,
                seed: Some(0),
            };
            for faults in some_or_none(&args.faults) {
                let one = of_faults(faults);
                let each = match one.faults.as_deref() {
                    Some("each") => classes(&one, plan)?.into_iter().map(|class| of_faults(Some(class))).collect(),
                    _ => vec![one],
                };
                for one in each {
                    if args.systematic {
                        all.extend(sequences(args, one, plan)?);
                    } else {
                        all.push((one, None));
                    }
                }
            }
        }
    }
    Ok(all)
}

fn some_or_none(texts: &[String]) -> Vec<Option<String>> {
    if texts.is_empty() { vec![None] } else { texts.iter().cloned().map(Some).collect() }
}

fn shared(args: &MatrixArgs) -> SharedArgs {
    let mut shared = args.shared.clone();
    if args.systematic {
        shared.sets.push("schedule.kind=systematic".to_owned());
    }
    shared
}

/// The classes that `all` means.
fn classes(of: &SuiteArgs, plan: Planner<'_>) -> Result<Vec<String>, RunnerError> {
    let mut all = of.clone();
    // As a plan for a cycle: the classes are asked for here, no sequence.
    all.shared.sets.retain(|set| set != "schedule.kind=systematic" && !set.starts_with("schedule.depth="));
    all.faults = Some("all".to_owned());
    let planned = plan(&all)?;
    // A suite that is systematic by itself plans only the sequences that fit; its letters are all of its classes.
    let Some(systematic) = &planned.systematic else { return Ok(planned.fault_classes()) };
    let mut classes: Vec<String> = systematic.alphabet.letters().iter().map(|fault| fault.class().to_owned()).collect();
    classes.dedup();
    Ok(classes)
}

/// A run for each sequence that is asked for.
fn sequences(
    args: &MatrixArgs,
    of: SuiteArgs,
    plan: Planner<'_>,
) -> Result<Vec<(SuiteArgs, Option<u64>)>, RunnerError> {
    let with = |index: u64| {
        let mut one = of.clone();
        one.shared.sets.push(format!("schedule.index={index}"));
        (one, Some(index))
    };
    let systematic = plan(&with(1).0)?.systematic;
    let count = systematic.map_or(0, |systematic| systematic.sequences_count);
    if count == 0 {
        return Err(RunnerError::Usage(format!("{}: without faults there are no sequences (--systematic)", of.suite)));
    }
    match &args.sequences {
        Some(numbers) => Ok(numbers.numbers().iter().copied().map(with).collect()),
        None if count > CELLS_MAX as u64 => Err(RunnerError::Usage(format!(
            "{}: there are {count} sequences, which no matrix runs; take a part (--sequences 1..100), fewer roles, or --set schedule.depth=1",
            of.suite
        ))),
        None => Ok((1..=count).map(with).collect()),
    }
}

#[cfg(test)]
#[path = "cell_tests.rs"]
mod tests;
