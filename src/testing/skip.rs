//! Tests that can't run everywhere say so, instead of passing in silence.

use std::{env, fs::OpenOptions, io::Write};

/// Notes that a test did not run, and why: in the file that `FERROMESH_SKIPS` names, which the test run sums up, or else on stderr.
pub(crate) fn skip(test: &str, reason: &str) {
    let Some(path) = env::var_os("FERROMESH_SKIPS") else { return eprintln!("skipped: {test}: {reason}") };
    let mut file = OpenOptions::new().append(true).create(true).open(path).unwrap();
    writeln!(file, "{test}: {reason}").unwrap();
}
