//! The product, planned for real (a plan reaches no node).

use super::*;
use crate::cli::{Cli, Command};
use clap::Parser;

fn cells_of(line: &str) -> Result<Vec<Cell>, String> {
    let words = ["schism", "matrix"].into_iter().chain(line.split_whitespace());
    let cli = Cli::try_parse_from(words).map_err(|error| error.to_string())?;
    let Command::Matrix(args) = cli.command else { return Err("no matrix".to_owned()) };
    cells(&args, 77, &mut request::plan).map_err(|error| error.to_string())
}

fn told(line: &str) -> Vec<String> {
    let all = cells_of(line).unwrap_or_else(|error| panic!("{line}: {error}"));
    assert!(all.iter().enumerate().all(|(place, cell)| cell.number == place + 1));
    all.iter().map(|cell| format!("{} {} {}", cell.suite, cell.harm(), cell.seed)).collect()
}

#[test]
fn runs_are_the_product() {
    let product = told("etcd/register etcd/stale-reads --faults kill,pause --faults none --seeds 1..2");
    let expected = [
        "etcd/register kill,pause 1",
        "etcd/register kill,pause 2",
        "etcd/register none 1",
        "etcd/register none 2",
        "etcd/stale-reads kill,pause 1",
        "etcd/stale-reads kill,pause 2",
        "etcd/stale-reads none 1",
        "etcd/stale-reads none 2",
    ];
    assert_eq!(product, expected);
    assert_eq!(told("etcd/register"), ["etcd/register partition,kill,pause 77"], "a seed is drawn once");
    assert_eq!(told("etcd/register etcd/register --seeds 1,1 --faults kill --faults kill").len(), 1, "each run once");
    assert_eq!(told("etcd/register --faults all --seeds 3"), ["etcd/register all (36 classes) 3"]);
    assert_eq!(told("etcd/stale-reads --faults each --seeds 3"), ["etcd/stale-reads partition 3"]);
    assert_eq!(told("etcd/register --faults each").len(), 36);
    assert_eq!(told("etcd/register --workloads register,register").len(), 1);
}

#[test]
fn each_run_is_told_what_the_matrix_was() {
    let line = "etcd/register --lab namespaces --nodes 3 --time-limit 20s --concurrency 3n --rate 50 --lease 9s --seeds 4 \
                --max-memory 1GiB --max-steps 99 --set schedule.recovery=1s --faults kill --workloads register";
    let all = cells_of(line).expect("cells");
    let expected = "run etcd/register --lab namespaces --nodes 3 --workload register --faults kill --time-limit 20s \
                    --concurrency 3n --rate 50 --lease 9s --max-memory 1073741824 --max-steps 99 \
                    --set schedule.recovery=1s --seed 4";
    assert_eq!(all[0].arguments.join(" "), expected);
    // What a run is told is understood by `run`, and means the same plan.
    let words = std::iter::once("schism").chain(all[0].arguments.iter().map(String::as_str));
    let Command::Run(run) = Cli::try_parse_from(words).expect("understood").command else { panic!("no run") };
    let plan = request::plan(&run.suite).expect("a plan");
    assert_eq!((plan.seed.0, plan.time_limit_ms, plan.concurrency, plan.nodes.len()), (4, 20_000, 9, 3));
    assert_eq!(plan.repeat_command, request::command_line(&all[0].arguments));
}

#[test]
fn sequences_are_runs_of_their_own() {
    let line = "etcd/stale-reads --systematic --faults kill --set schedule.depth=2 --seeds 1";
    let all = cells_of(line).expect("cells");
    // One, minority, majority, all, primaries; and every pair of them.
    assert_eq!(all.len(), 30);
    assert_eq!(all[0].harm(), "sequence 1: kill one");
    assert_eq!(all[29].harm(), "sequence 30: kill primaries, then kill primaries");
    assert!(all[29].arguments.join(" ").contains("--set schedule.kind=systematic --set schedule.index=30"));
    let labels: std::collections::BTreeSet<String> = all.iter().map(Cell::harm).collect();
    assert_eq!(labels.len(), 30, "no two are the same");
    let some = told("etcd/stale-reads --systematic --sequences 2,29..30 --faults kill --seeds 1");
    assert_eq!(some.len(), 3);
    assert!(some[0].contains("sequence 2: kill minority") && some[2].contains("sequence 30"), "{some:?}");
    let each = told("etcd/stale-reads --systematic --faults each --set schedule.depth=1 --seeds 1");
    assert_eq!(each.len(), 3, "the three shapes of the suite: {each:?}");
}

#[test]
fn what_cannot_be_run_is_told_before_anything_runs() {
    let cases: &[(&str, &str)] = &[
        ("etcd/registre", "Did you mean `etcd/register`?"),
        ("etcd/register etcd/registre", "Did you mean `etcd/register`?"),
        ("etcd/register --faults kil", "Did you mean `kill`?"),
        ("etcd/register --workloads registr", "Did you mean `register`?"),
        ("etcd/register --seeds 5..1", "goes down; write 1..5"),
        ("etcd/register --seeds x", "is no set of numbers"),
        ("etcd/register --jobs 0", "0 is not in 1..=64"),
        ("etcd/register --sequences 1", "--systematic"),
        ("etcd/stale-reads --systematic --sequences 300 --faults kill", "there are sequences 1 to 30"),
        ("etcd/stale-reads --systematic --faults none", "without faults there are no sequences"),
        ("etcd/register --systematic --faults all --set schedule.depth=3", "which no matrix runs; take a part"),
        ("etcd/register --seeds 1..20000", "more than 10000 runs"),
        ("etcd/register --set noodes=3", "Did you mean `nodes`?"),
        ("etcd/register --dry-run --resume x", "cannot be used with"),
        ("--resume x --seeds 1", "cannot be used with"),
        ("--resume x --rate 1", "cannot be used with"),
        ("", "required"),
    ];
    for (line, expected) in cases {
        let error = cells_of(line).expect_err(line);
        assert!(error.contains(expected), "{line}: {error}");
    }
}
