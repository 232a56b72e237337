//! `istio-cni`, the last plugin in the chain of a node's network configuration. The container runtime runs it for each pod whose network is
//! made; it asks the nodes' part of the mesh (`ferromeshd cni`) over a Unix socket to redirect the pod, and passes on what the plugins before
//! it have made. It decides nothing, so that it never has to be newer than what decides.
//!
//! While nobody listens at the socket it lets every pod through: a node must start pods, those of its network among them, whatever becomes of
//! the mesh. A meshed pod that comes through so does not run without its redirect rules: its `istio-validation` sees to that.

mod ask;
mod plugin;

use std::{
    env,
    io::{self, Read, Write},
    process::ExitCode,
};

const HELP: &str = "istio-cni is run by a container runtime, for each pod whose network it makes; see the chain of plugins in the node's\n\
                    network configuration (/etc/cni/net.d). ferromeshd cni puts it there.";

fn main() -> ExitCode {
    if env::args_os().len() > 1 {
        println!("{HELP}");
        return ExitCode::SUCCESS;
    }
    let mut configuration = String::new();
    if let Err(error) = io::stdin().read_to_string(&mut configuration) {
        eprintln!("istio-cni: the configuration can't be read: {error}");
        return ExitCode::FAILURE;
    }
    let answer = plugin::answer(&|name| env::var(name).unwrap_or_default(), &configuration);
    if io::stdout().write_all(answer.text.as_bytes()).is_ok() && answer.success { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
