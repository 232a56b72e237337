//! The operator and the control plane: one binary, a subcommand a role.

use clap::{Parser, Subcommand};
use ferromesh::app::{CitadelArgs, CniArgs, GalleyArgs, InjectorArgs, OperatorArgs, PilotArgs};

/// What webhooks and compilers do is mostly small allocations, which this one makes faster than glibc's, in as little memory.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// ferromesh's control plane.
#[derive(Parser)]
#[command(version, after_help = "Examples:\n  ferromeshd pilot --help\n  ferromeshd pilot --log info,ferromesh::pilot=debug")]
struct Command {
    #[command(subcommand)]
    role: Role,
}

#[derive(Subcommand)]
enum Role {
    Citadel(CitadelArgs),
    Cni(CniArgs),
    Galley(GalleyArgs),
    Injector(InjectorArgs),
    Operator(OperatorArgs),
    Pilot(PilotArgs),
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    match Command::parse().role {
        Role::Citadel(args) => args.run().await,
        Role::Cni(args) => args.run().await,
        Role::Galley(args) => args.run().await,
        Role::Injector(args) => args.run().await,
        Role::Operator(args) => args.run().await,
        Role::Pilot(args) => args.run().await,
    }
}
