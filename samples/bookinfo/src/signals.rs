//! The signals that end the process: the first one drains, a second one or the deadline aborts.

use std::future::Future;
use std::io;
use std::time::Duration;

use anyhow::bail;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;

/// Kubernetes kills after 30 s; ending before that lets the last log lines out.
const DRAIN: Duration = Duration::from_secs(20);

/// SIGTERM and SIGINT.
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

// === impl Signals ===

impl Signals {
    /// Takes the signals over from their default action. Must be called in a runtime.
    pub(crate) fn listen() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Returns when either of them arrives.
    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Runs what `serve` returns until it ends. `serve` gets a receiver that closes when it shall take no more work and finish.
pub(crate) async fn until_stopped<F>(mut signals: Signals, serve: impl FnOnce(oneshot::Receiver<()>) -> F) -> anyhow::Result<()>
where
    F: Future<Output = io::Result<()>>,
{
    let (drain, draining) = oneshot::channel();
    let serving = serve(draining);
    tokio::pin!(serving);
    tokio::select! {
        ended = &mut serving => return Ok(ended?),
        () = signals.next() => {}
    }
    tracing::info!("draining");
    drop(drain);
    tokio::select! {
        ended = &mut serving => Ok(ended?),
        () = signals.next() => bail!("a second signal cut the drain short"),
        () = tokio::time::sleep(DRAIN) => bail!("requests were still open after {DRAIN:?}"),
    }
}
