//! The command `schism`.

use std::process::ExitCode;

fn main() -> ExitCode {
    schism::logging::panics_go_to_the_log();
    // A lab's holder and its nodes are this same program, started anew.
    schism_lab::holder_main_if_asked();
    // So is what runs on a node for faults that a shell cannot do.
    schism_nemesis::agent::main_if_asked();
    ExitCode::from(schism::cli::main(std::env::args_os()).code())
}
