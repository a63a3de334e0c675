//! The command `schism`.

use std::process::ExitCode;

fn main() -> ExitCode {
    schism::logging::panics_go_to_the_log();
    // A lab's holder and its nodes are this same program, started anew.
    schism_lab::holder_main_if_asked();
    ExitCode::from(schism::cli::main(std::env::args_os()).code())
}
