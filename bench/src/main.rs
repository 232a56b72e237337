//! `ferromesh-bench`: measures what docs/benchmarks.md shows. `make bench` calls it; figures go to stdout, one line of Markdown each.

mod configuration;
mod effect;
mod load;
mod process;
mod reviews;
mod scratch;
mod statistics;
mod webhook;
mod webhooks;
mod xds;

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
    /// What thousands of objects cost: validations beside them, galley's memory, and `ferromesh analyze`.
    Configuration(configuration::ConfigurationArgs),
    /// Time from applying a VirtualService to its effect in the ingress gateway's Envoy.
    Effect(effect::EffectArgs),
    /// What xDS costs at many services and proxies: latency, CPU, bytes and memory of pilot, and what the machine can do without it.
    Xds(xds::XdsArgs),
    /// Sends proxies what they were sent before: the yardstick of `xds`, which starts it.
    #[command(hide = true)]
    Canned(xds::CannedArgs),
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    match Command::parse().what {
        What::Webhooks(args) => args.run().await,
        What::Configuration(args) => args.run().await,
        What::Effect(args) => args.run().await,
        What::Xds(args) => args.run().await,
        What::Canned(args) => args.run().await,
    }
}
