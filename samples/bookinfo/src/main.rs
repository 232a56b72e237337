//! The sample application of ferromesh: a bookshop's page put together by four small services, all of them this one program.
//!
//! ```text
//! visitor ─▶ productpage ─▶ details
//!                       └─▶ reviews v1 (no stars) | v2 (black stars) | v3 (red stars) ─▶ ratings
//! ```
//!
//! `args` says which of the four a process is, `server` runs it; each service is one file, and what they have in common (the
//! client, the headers that travel on, the product's number) is one file each.

mod args;
mod client;
mod details;
mod headers;
mod page;
mod product;
mod productpage;
mod ratings;
mod reviews;
mod server;
mod session;
mod signals;
#[cfg(test)]
mod tests;

use anyhow::Context;
use clap::Parser;

fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt().json().flatten_event(true).with_target(false).init();
    let settings = args::Args::parse().settings()?;
    // One thread is plenty for a sample, and keeps a pod at a few megabytes. The pool of blocking threads resolves names.
    tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(4).build()?.block_on(run(settings))
}

async fn run(settings: args::Settings) -> anyhow::Result<()> {
    let signals = signals::Signals::listen().context("listen for signals")?;
    let port = settings.port;
    let listener = server::bind(port).await.with_context(|| format!("listen on port {port}"))?;
    let router = server::router(&settings)?;
    // Port 0 asks the system for a free one.
    let port = listener.local_addr()?.port();
    tracing::info!(service = %settings.service, version = %settings.version, port, "listening");
    signals::until_stopped(signals, |draining| server::serve(listener, router, draining)).await
}
