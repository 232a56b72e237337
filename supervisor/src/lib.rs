//! Process 1 of the proxy's container: it starts the agent proper and Envoy, brings back the one that fell, and ends them in order. Where the
//! application does Envoy's work itself, there is the agent alone.
//!
//! It does as little as possible, because nobody is left to bring it back, and because each pod pays for its memory: no network, no file, no
//! certificate, no runtime, and a program of its own, which `ferromesh-agent proxy` becomes once it has understood its arguments
//! ([`Supervision`]). The agent proper tells it by [`Order`]s when Envoy may start. Everything happens on one thread that lives as long as
//! the process, because Envoy ends when the thread that spawned it does.

mod child;
mod order;
mod phase;
mod signals;
mod supervision;
mod supervisor;

pub use order::Order;
pub use supervision::{ArgumentError, Program, Supervision};

use std::{env, ffi::OsString, process::ExitCode};

use supervisor::Supervisor;

const HELP: &str = "ferromesh-supervisor is what `ferromesh-agent proxy` becomes once it has understood its arguments; start that instead.";

/// The whole program.
pub fn main() -> ExitCode {
    // The first argument is the verb under which its caller was started.
    let arguments: Vec<OsString> = env::args_os().skip(2).collect();
    if arguments.is_empty() {
        println!("{HELP}");
        return ExitCode::SUCCESS;
    }
    match run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("Error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Vec<OsString>) -> Result<(), Box<dyn std::error::Error>> {
    let supervision = Supervision::from_arguments(arguments)?;
    ferromesh_process::init_logs(supervision.log_format, &supervision.log)?;
    Supervisor::new(supervision).run().map_err(|error| format!("signals can't be handled: {error}"))?;
    tracing::info!("ended");
    Ok(())
}
