//! The program; the library says what it does, and tests of who is asked run it without a runtime.

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
    let answer = ferromesh_cni::answer(&|name| env::var(name).unwrap_or_default(), &configuration);
    if io::stdout().write_all(answer.text.as_bytes()).is_ok() && answer.success { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
