//! The command line: parse, call, exit code.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::commands;
use crate::commands::matrix::NumberSet;
use crate::error::RunnerError;
use crate::exit::Exit;
use crate::suite::Concurrency;

/// Tests a distributed database: drives clients at a real cluster, harms it, and proves which promises held.
#[derive(Debug, Parser)]
#[command(name = "schism", version, max_term_width = 100, after_help = EXAMPLES)]
pub struct Cli {
    /// More on standard error (-v: debug, -vv: trace); the run folder's schism.log always has debug.
    #[arg(short, long, action = clap::ArgAction::Count, global = true)]
    pub verbose: u8,
    /// Colour on the terminal.
    #[arg(long, value_enum, default_value_t = ColorChoice::Auto, global = true)]
    pub color: ColorChoice,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

const EXAMPLES: &str = "Examples:
  schism run etcd/register                five etcd nodes on this machine, under faults, to a report
  schism run etcd/stale-reads --seed 7    a configuration that breaks its promise, and the proof
  schism plan etcd/register               what that would do; harms nothing
  schism matrix etcd/register --faults each --seeds 1..3
  schism check runs/latest                judge again
  schism check history.edn --checker linearizable --model cas-register
  schism check history.edn --checker list-append --consistency snapshot-isolation
  schism check etcd_000.log --checker linearizable --model cas-register --failed-cas observed
  zcat history.edn.gz | schism check - --format edn --checker linearizable --model cas-register
  schism heal runs/latest                 undo what a run left behind

Exit codes: 0 valid, 1 anomaly, 2 unknown, 4 nothing tested, 5 cleanup not proven, 64 usage, 65 malformed history,
69 unavailable, 70 internal, 73 cannot write, 130 interrupted before a verdict.";

/// When to colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ColorChoice {
    /// On a terminal, unless `NO_COLOR` is set.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a suite: cluster, load, faults, verdict, report.
    Run(Box<RunArgs>),
    /// Show what `run` would do; harms nothing.
    Plan(Box<PlanArgs>),
    /// Run suites, one after another, with every set of faults, workload, seed and sequence: one table, one exit code.
    Matrix(Box<MatrixArgs>),
    /// Judge a run or a history again.
    Check(CheckArgs),
    /// Write the report of a run again.
    Report(ReportArgs),
    /// Run again what a run did: the same plan and seed, the same faults at the same times on the same nodes.
    Replay(ReplayArgs),
    /// Undo what a run left behind, from its ledger or from the nodes' leases.
    Heal(HealArgs),
    /// Stop everything at once: the controller of a run, and every fault that is on.
    Halt(HealArgs),
    /// Show the faults that are on, who drives them, and labs.
    Status(StatusArgs),
    /// Make, list, enter and end labs on this machine.
    #[command(subcommand)]
    Lab(LabCommand),
    /// List what there is.
    List(ListArgs),
    /// Say what a name means: a fault, with its options, where it works, how it is proven and undone; a checker, with
    /// examples; a model; a consistency model, with all that it forbids; a kind of anomaly, with an example.
    Explain {
        /// The name.
        name: String,
    },
    /// Say what this machine, or the nodes of an inventory, can do and what not.
    Doctor(DoctorArgs),
    /// Print a completion script for a shell.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Fetch packages into the cache and print the tree's path.
    #[command(hide = true)]
    Packages {
        /// Names of Debian packages.
        #[arg(required = true)]
        names: Vec<String>,
    },
}

/// What `run` and `plan` share.
#[derive(Debug, Clone, Args)]
pub struct SuiteArgs {
    /// A suite file, or the name of an embedded suite (`schism list suites`).
    pub suite: String,
    /// What a matrix takes for all its runs.
    #[command(flatten)]
    pub shared: SharedArgs,
    /// Another workload than the suite's.
    #[arg(long)]
    pub workload: Option<String>,
    /// Other faults than the suite's, with commas; `none` for no fault, `all` for all that the suite says its database
    /// survives.
    #[arg(long, value_name = "F,G|all|none")]
    pub faults: Option<String>,
    /// The seed of all chance; drawn, and shown, without it.
    #[arg(long)]
    pub seed: Option<u64>,
}

/// What `run`, `plan` and `matrix` share.
#[derive(Debug, Clone, Default, Args)]
pub struct SharedArgs {
    /// `namespaces` or `vms` (virtual machines) to make a lab for the run, or the id of a lab that is there.
    #[arg(long, value_name = "namespaces|vms|ID", conflicts_with = "inventory")]
    pub lab: Option<String>,
    /// Machines to use instead of a lab: a YAML file with names, addresses, users and keys, or `vagrant` for those of the
    /// Vagrantfile at hand.
    #[arg(long, value_name = "FILE|vagrant")]
    pub inventory: Option<PathBuf>,
    /// Bring the machines of `--inventory vagrant` up first.
    #[arg(long, requires = "inventory")]
    pub vagrant_up: bool,
    /// How many nodes, or their names with commas.
    #[arg(long, value_name = "N|a,b,c")]
    pub nodes: Option<String>,
    /// How long the load runs (60s, 5m).
    #[arg(long)]
    pub time_limit: Option<String>,
    /// Client workers: a number, or 2n for twice the number of nodes.
    #[arg(long)]
    pub concurrency: Option<Concurrency>,
    /// Operations per second of all clients together.
    #[arg(long, value_name = "HZ")]
    pub rate: Option<f64>,
    /// Set something of the suite: levels with dots, the value as YAML.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub sets: Vec<String>,
    /// The database runs already and is not ours: no installation, no wiping.
    #[arg(long)]
    pub no_setup: bool,
    /// Faults heal themselves when the controller has been gone for this long.
    #[arg(long)]
    pub lease: Option<String>,
    /// What a search of the checkers may cost.
    #[command(flatten)]
    pub budget: BudgetArgs,
}

/// Budgets of the checkers.
#[derive(Debug, Clone, Default, Args)]
pub struct BudgetArgs {
    /// Memory that a search may use, per key (4GiB, 500MB).
    #[arg(long, value_name = "BYTES", value_parser = parse_bytes)]
    pub max_memory: Option<u64>,
    /// Steps that a search may make, per key (of transactions: per 100,000 that are begun).
    #[arg(long, value_name = "N")]
    pub max_steps: Option<u64>,
}

/// `schism run`
#[derive(Debug, Clone, Args)]
pub struct RunArgs {
    /// The suite and what is changed of it.
    #[command(flatten)]
    pub suite: SuiteArgs,
    /// Run it so many times, each with the next seed.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub repeat: u32,
    /// Where run folders are made.
    #[arg(long, default_value = "runs", env = "SCHISM_RUNS")]
    pub runs: PathBuf,
    /// Print the verdict as JSON instead of the summary.
    #[arg(long)]
    pub json: bool,
}

/// `schism plan`
#[derive(Debug, Clone, Args)]
pub struct PlanArgs {
    /// The suite and what is changed of it.
    #[command(flatten)]
    pub suite: SuiteArgs,
    /// Print the plan as JSON.
    #[arg(long)]
    pub json: bool,
}

/// `schism matrix`
#[derive(Debug, Clone, Args)]
pub struct MatrixArgs {
    /// Suite files, or names of embedded suites.
    #[arg(required_unless_present = "resume")]
    pub suites: Vec<String>,
    /// What every run takes.
    #[command(flatten)]
    pub shared: SharedArgs,
    /// Workloads in place of the suites', with commas: a run for each.
    #[arg(long, value_name = "W,X", value_delimiter = ',')]
    pub workloads: Vec<String>,
    /// A set of faults as `run` takes it; given more than once, a run for each set. `each`: a run for each class that `all`
    /// means, by itself.
    #[arg(long, value_name = "F,G|all|none|each")]
    pub faults: Vec<String>,
    /// Seeds, the last one included (1..5, or 1,2,7..9): a run for each. One is drawn, and shown, without it.
    #[arg(long, value_name = "1..5")]
    pub seeds: Option<NumberSet>,
    /// Every sequence of the suites' faults on their roles, a run for each (`--set schedule.depth=3` for those of three).
    #[arg(long)]
    pub systematic: bool,
    /// Only these of the sequences (1..40): a part of them for each of several machines.
    #[arg(long, value_name = "1..40", requires = "systematic")]
    pub sequences: Option<NumberSet>,
    /// How many runs at a time; they share this machine.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub jobs: u32,
    /// What is expected to be found: a list of {suite, faults, workload, seed, sequence, verdict, checker, anomalies, reason}. An
    /// expected finding passes; if it is missing, that is a failure (exit 1).
    #[arg(long, value_name = "FILE")]
    pub expect: Option<PathBuf>,
    /// Show the runs; harms nothing.
    #[arg(long, conflicts_with = "resume")]
    pub dry_run: bool,
    /// Go on with an interrupted matrix, from its folder: runs without a verdict are run again.
    #[arg(long, value_name = "FOLDER", conflicts_with_all = RESUMED)]
    pub resume: Option<PathBuf>,
    /// Where the folder of the matrix is made.
    #[arg(long, default_value = "runs", env = "SCHISM_RUNS")]
    pub runs: PathBuf,
    /// Print the result as JSON instead of the table.
    #[arg(long)]
    pub json: bool,
    /// Write the result as JUnit to this file too.
    #[arg(long, value_name = "FILE")]
    pub junit: Option<PathBuf>,
}

/// What stands in the folder of a matrix that goes on, and is not told again.
const RESUMED: [&str; 17] = [
    "suites",
    "workloads",
    "faults",
    "seeds",
    "systematic",
    "lab",
    "inventory",
    "vagrant_up",
    "nodes",
    "time_limit",
    "concurrency",
    "rate",
    "sets",
    "no_setup",
    "lease",
    "max_memory",
    "max_steps",
];

/// `schism check`
#[derive(Debug, Clone, Args)]
pub struct CheckArgs {
    /// A run folder (`runs/latest`), or a history: a file (.jsonl, .edn, .log, .txt, .hist, .json, .bincode), `-` for
    /// standard input, or a folder of Cobra's logs (`--format cobra`).
    pub target: PathBuf,
    /// The checker, for a history; a run knows its own (`schism list checkers`).
    #[arg(long)]
    pub checker: Option<String>,
    /// The model of the checker (`schism list models`).
    #[arg(long)]
    pub model: Option<String>,
    /// The consistency model that transactions were promised (`schism list levels`), for `list-append` and `rw-register`
    /// [default: strict-serializable].
    #[arg(long, value_name = "LEVEL")]
    pub consistency: Option<String>,
    /// What is known of the order of versions of registers, with commas: writes-follow-reads, sequential-keys,
    /// linearizable-keys, explicit:FIELD (the field of completions in which the client reports versions).
    #[arg(long, value_name = "S,T")]
    pub version_order: Option<String>,
    /// The workload, whose checkers are used.
    #[arg(long, conflicts_with = "checker")]
    pub workload: Option<String>,
    /// What a history is written in; `auto` goes by the file's ending, then by its first line.
    #[arg(long, value_enum, default_value_t = FormatChoice::Auto)]
    pub format: FormatChoice,
    /// What a `fail` of a compare-and-set says. Histories of Knossos and Porcupine mean `observed`.
    #[arg(long, value_enum, default_value_t = FailedCasChoice::Unknown)]
    pub failed_cas: FailedCasChoice,
    /// Whether values of an EDN history are `[key value]` tuples.
    #[arg(long, value_enum, default_value_t = KeyedChoice::Auto)]
    pub keyed: KeyedChoice,
    /// What a search may cost.
    #[command(flatten)]
    pub budget: BudgetArgs,
    /// Threads; the verdict is the same for any number.
    #[arg(long, value_name = "N")]
    pub jobs: Option<usize>,
    /// Write an order of each key's operations that explains all answers, if the history is valid (a JSON line a key;
    /// with `--checker linearizable`).
    #[arg(long, value_name = "FILE")]
    pub witness: Option<PathBuf>,
    /// Print the verdict as JSON.
    #[arg(long)]
    pub json: bool,
    /// Where run folders are.
    #[arg(long, default_value = "runs", env = "SCHISM_RUNS")]
    pub runs: PathBuf,
}

/// What a history is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum FormatChoice {
    /// By the file's ending, then by its first line.
    Auto,
    /// schism's own: one JSON object a line.
    Jsonl,
    /// Jepsen's: maps, one after the other or in one vector.
    Edn,
    /// The log of Jepsen's etcd tests of 2014: a register, one event a line.
    EtcdLog,
    /// Maps with a key each: get, put and append of texts (model `string`).
    KvText,
    /// Plume's, PolySI's and AWDIT's text: `r(KEY,VALUE,SESSION,TXN)`. This and the following know no real time.
    Plume,
    /// AWDIT's `test` format: `r KEY VALUE`, dashes between transactions, `=` between sessions.
    Awdit,
    /// dbcop's JSON of 2026 or bincode of 2019.
    Dbcop,
    /// dbcop's compact text: `[x:=1 y==?]`.
    Hist,
    /// A folder of Cobra's logs, one a session.
    Cobra,
    /// VeriStrong's `elle-list-append`: `SESSION TXN A KEY VALUE`.
    Veristrong,
}

/// What a `fail` of a compare-and-set says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum FailedCasChoice {
    /// That the state was another (unless it carries an error): `ok` with `matched` false.
    Observed,
    /// That nothing happened, for whatever reason; it is not judged.
    Unknown,
}

/// Whether values are tuples of key and value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum KeyedChoice {
    /// They are.
    Yes,
    /// They are not.
    No,
    /// They are if every client value is a two-element vector whose first element repeats.
    Auto,
}

/// `schism report`
#[derive(Debug, Clone, Args)]
pub struct ReportArgs {
    /// A run folder.
    #[arg(default_value = "latest")]
    pub run: PathBuf,
    /// Open the page in a browser.
    #[arg(long)]
    pub open: bool,
    /// Where run folders are.
    #[arg(long, default_value = "runs", env = "SCHISM_RUNS")]
    pub runs: PathBuf,
}

/// `schism replay`
#[derive(Debug, Clone, Args)]
pub struct ReplayArgs {
    /// A run folder.
    #[arg(default_value = "latest")]
    pub run: PathBuf,
    /// Print the verdict as JSON instead of the summary.
    #[arg(long)]
    pub json: bool,
    /// Where run folders are.
    #[arg(long, default_value = "runs", env = "SCHISM_RUNS")]
    pub runs: PathBuf,
}

/// `schism heal` and `schism halt`
#[derive(Debug, Clone, Args)]
pub struct HealArgs {
    /// A run folder, whose ledger says what to undo.
    #[arg(default_value = "latest")]
    pub run: PathBuf,
    /// A lab: undo every lease on its nodes.
    #[arg(long, value_name = "ID", conflicts_with = "inventory")]
    pub lab: Option<String>,
    /// Machines: undo every lease on them.
    #[arg(long, value_name = "FILE")]
    pub inventory: Option<PathBuf>,
    /// Where run folders are.
    #[arg(long, default_value = "runs", env = "SCHISM_RUNS")]
    pub runs: PathBuf,
}

/// `schism status`
#[derive(Debug, Clone, Args)]
pub struct StatusArgs {
    /// A run folder, whose nodes are asked; all labs without any of these.
    #[arg(conflicts_with_all = ["lab", "inventory"])]
    pub run: Option<PathBuf>,
    /// A lab's id, or the run it was made for.
    #[arg(long, value_name = "ID", conflicts_with = "inventory")]
    pub lab: Option<String>,
    /// Machines whose leases to show.
    #[arg(long, value_name = "FILE")]
    pub inventory: Option<PathBuf>,
    /// As JSON.
    #[arg(long)]
    pub json: bool,
    /// Where run folders are.
    #[arg(long, default_value = "runs", env = "SCHISM_RUNS")]
    pub runs: PathBuf,
}

/// `schism lab`
#[derive(Debug, Subcommand)]
pub enum LabCommand {
    /// Make a lab; it stays until `lab down`.
    Up {
        /// How many nodes.
        #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=99))]
        nodes: u32,
        /// Join the nodes by a switch that can shape single links, in place of plain cables.
        #[arg(long)]
        switch: bool,
        /// Make so many virtual machines instead, with kernels and clocks of their own.
        #[arg(long, value_name = "N", conflicts_with_all = ["nodes", "switch"], value_parser = clap::value_parser!(u32).range(1..=32))]
        vms: Option<u32>,
        /// Debian packages that the nodes shall have beside sshd and nft.
        #[arg(long, value_delimiter = ',')]
        packages: Vec<String>,
        /// End by itself when nobody has used it for this long (default: never).
        #[arg(long)]
        lease: Option<String>,
        /// Print the lab as JSON.
        #[arg(long)]
        json: bool,
    },
    /// End a lab, or all.
    Down {
        /// Its id.
        #[arg(required_unless_present = "all")]
        id: Option<String>,
        /// All labs of this machine.
        #[arg(long)]
        all: bool,
    },
    /// Show the labs that are alive.
    List {
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Run a command in a node, or (without --node) in the controller's network of a lab.
    Exec {
        /// The lab's id, or the run it was made for.
        id: String,
        /// The node.
        #[arg(long)]
        node: Option<String>,
        /// The command.
        #[arg(required = true, last = true)]
        command: Vec<String>,
    },
}

/// `schism list`
#[derive(Debug, Clone, Args)]
pub struct ListArgs {
    /// Of what.
    #[arg(value_enum)]
    pub what: ListWhat,
    /// As JSON.
    #[arg(long)]
    pub json: bool,
}

/// What can be listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ListWhat {
    /// Embedded suites.
    Suites,
    /// Workloads.
    Workloads,
    /// Faults.
    Faults,
    /// Checkers.
    Checkers,
    /// Models.
    Models,
    /// Consistency models of transactions.
    Levels,
    /// Kinds of anomaly.
    Anomalies,
    /// Databases.
    Databases,
}

/// `schism doctor`
#[derive(Debug, Clone, Args)]
pub struct DoctorArgs {
    /// Machines to ask.
    #[arg(long, value_name = "FILE")]
    pub inventory: Option<PathBuf>,
    /// As JSON.
    #[arg(long)]
    pub json: bool,
}

/// Reads a number of bytes: `4GiB`, `500MB`, `1000`.
fn parse_bytes(text: &str) -> Result<u64, String> {
    let digits_end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number: u64 =
        text[..digits_end].parse().map_err(|_| format!("`{text}` is no number of bytes, such as 4GiB"))?;
    let unit: u64 = match text[digits_end..].trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kib" => 1 << 10,
        "m" | "mib" => 1 << 20,
        "g" | "gib" => 1 << 30,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        other => return Err(format!("`{other}` is no unit of bytes; use KiB, MiB, GiB, KB, MB or GB")),
    };
    number.checked_mul(unit).ok_or_else(|| format!("`{text}` is more than can be counted"))
}

/// Whether the result may be coloured.
pub fn use_color(choice: ColorChoice) -> bool {
    use std::io::IsTerminal;
    match choice {
        ColorChoice::Always => true,
        ColorChoice::Never => false,
        ColorChoice::Auto => {
            std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()) && std::io::stdout().is_terminal()
        }
    }
}

/// Runs the command line. The only place where results become exit codes.
pub fn main(arguments: impl Iterator<Item = OsString>) -> Exit {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            // A closed standard output or error leaves nobody to tell.
            let _ = error.print();
            return if error.use_stderr() { Exit::Usage } else { Exit::Valid };
        }
    };
    match std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| call(&cli))) {
        Ok(Ok(exit)) => exit,
        Ok(Err(error)) => {
            commands::complain(&error);
            error.exit()
        }
        Err(_) => Exit::Internal,
    }
}

fn call(cli: &Cli) -> Result<Exit, RunnerError> {
    let color = use_color(cli.color);
    match &cli.command {
        Command::Run(args) => commands::run::run(args, cli.verbose, color),
        Command::Plan(args) => commands::plan::plan(args),
        Command::Matrix(args) => commands::matrix::matrix(args, cli.verbose),
        Command::Check(args) => commands::check::check(args, color),
        Command::Report(args) => commands::report::report(args),
        Command::Replay(args) => commands::replay::replay(args, cli.verbose, color),
        Command::Heal(args) => commands::heal::heal(args, cli.verbose),
        Command::Halt(args) => commands::halt::halt(args, cli.verbose),
        Command::Status(args) => commands::heal::status(args, cli.verbose),
        Command::Lab(command) => commands::lab::lab(command),
        Command::List(args) => commands::list::list(args),
        Command::Doctor(args) => commands::doctor::doctor(args),
        Command::Completions { shell } => commands::list::completions(*shell),
        Command::Explain { name } => commands::explain::explain(name),
        Command::Packages { names } => commands::lab::fetch_packages(names),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }

    #[test]
    fn bytes_have_units() {
        assert_eq!(parse_bytes("4GiB"), Ok(4 << 30));
        assert_eq!(parse_bytes("500MB"), Ok(500_000_000));
        assert_eq!(parse_bytes("12"), Ok(12));
        assert!(parse_bytes("4 parsecs").is_err());
        assert!(parse_bytes("99999999999999999999").is_err());
        assert!(parse_bytes("99999999999GiB").is_err());
    }

    #[test]
    fn wrong_usage_is_64_and_help_is_0() {
        let code = |line: &str| main(line.split(' ').map(OsString::from)).code();
        assert_eq!(code("schism run"), 64);
        assert_eq!(code("schism frobnicate"), 64);
        assert_eq!(code("schism --version"), 0);
    }
}
