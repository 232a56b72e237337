//! `extract-descriptors ENVOY OUT`: writes the protobuf API that an Envoy binary was built with.
//!
//! Envoy carries the descriptor of each message that it knows, for JSON and for its own checks. Taking them from the
//! binary that we ship, and not from a checkout of the API, means that the two can't differ.

mod link;
mod scan;

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;
use std::{env, fs};

fn main() -> ExitCode {
    let mut args = env::args_os().skip(1).map(PathBuf::from);
    let (Some(envoy), Some(out), None) = (args.next(), args.next(), args.next()) else {
        eprintln!("usage: extract-descriptors ENVOY OUT");
        return ExitCode::from(2);
    };
    match extract(&envoy, &out) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("extract-descriptors: {error}");
            ExitCode::FAILURE
        }
    }
}

fn extract(envoy: &PathBuf, out: &PathBuf) -> Result<(), Box<dyn Error>> {
    let binary = fs::read(envoy).map_err(|error| format!("{}: {error}", envoy.display()))?;
    let found = scan::descriptors(&binary)?;
    let linked = link::api(&found)?;
    for (file, missing) in &linked.left_out {
        eprintln!("left out: {file} imports {missing}, which the binary does not hold");
    }
    let set = link::encode_set(&linked.files);
    fs::write(out, &set).map_err(|error| format!("{}: {error}", out.display()))?;
    eprintln!("{}: {} of {} files, {} bytes", out.display(), linked.files.len(), found.len(), set.len());
    Ok(())
}
