//! Which answer does a person at a terminal get? The verbs of `ferromesh`, one file each.

use std::process::ExitCode;

/// Reads the arguments and runs the verb that they name.
#[must_use]
pub fn run() -> ExitCode {
    ExitCode::SUCCESS
}
