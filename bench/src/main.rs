//! `ferromesh-bench`: measures what docs/benchmarks.md shows. `make bench` calls it; figures go to stdout, one line of Markdown each.

mod cluster;
mod effect;
mod load;
mod statistics;
mod webhooks;

use clap::{Parser, Subcommand};

/// Measures ferromesh.
#[derive(Parser)]
#[command(version)]
struct Command {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Requests a second and latency of the injection and validation webhooks, each on one core.
    Webhooks(webhooks::WebhooksArgs),
    /// Time from applying a VirtualService to its effect in the ingress gateway's Envoy.
    Effect(effect::EffectArgs),
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    match Command::parse().what {
        What::Webhooks(args) => args.run().await,
        What::Effect(args) => args.run().await,
    }
}
