//! Inside of a pod: redirect rules, and the proxy's supervisor.

use clap::{Parser, Subcommand};
use ferromesh::app::{InitArgs, ProxyArgs, WaitArgs};
use std::process::ExitCode;

/// ferromesh's agent in each meshed pod.
#[derive(Parser)]
#[command(version, after_help = "Examples:\n  ferromesh-agent proxy --help\n  ferromesh-agent wait --timeout 120")]
struct Command {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    Init(Box<InitArgs>),
    Proxy(Box<ProxyArgs>),
    Wait(WaitArgs),
}

fn main() -> anyhow::Result<ExitCode> {
    if let Some(args) = ProxyArgs::handed_over()? {
        args.serve()?;
        return Ok(ExitCode::SUCCESS);
    }
    match Command::parse().verb {
        Verb::Init(args) => return args.run(),
        Verb::Proxy(args) => match args.supervise()? {},
        Verb::Wait(args) => args.run(),
    }?;
    Ok(ExitCode::SUCCESS)
}
