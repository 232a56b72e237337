//! The command line for people.

use std::process::ExitCode;

fn main() -> ExitCode {
    ferromesh::app::command_line()
}
