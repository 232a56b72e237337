//! The signal to end, and its way to every task.

use futures::{Stream, StreamExt, stream};
use std::time::Duration;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::{mpsc, watch},
    time::timeout,
};
use tokio_stream::wrappers::ReceiverStream;

/// A task's view of the process's end. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Shutdown(watch::Receiver<bool>);

/// The one end that can ask for shutdown. Dropping it asks, too, so that no task outlives its owner.
#[derive(Debug)]
pub struct Trigger(watch::Sender<bool>);

// === impl Shutdown ===

impl Shutdown {
    /// A shutdown and the trigger that asks for it.
    pub fn channel() -> (Trigger, Self) {
        let (sender, receiver) = watch::channel(false);
        (Trigger(sender), Self(receiver))
    }

    /// Resolves when the process has been asked to end.
    pub async fn requested(&self) {
        let mut receiver = self.0.clone();
        // An error says that the trigger is gone, which asks for shutdown as well.
        let _ = receiver.wait_for(|requested| *requested).await;
    }

    /// Whether the process has been asked to end.
    pub fn is_requested(&self) -> bool {
        *self.0.borrow() || self.0.has_changed().is_err()
    }
}

// === impl Trigger ===

impl Trigger {
    /// Asks every holder of the [`Shutdown`] to end.
    pub fn request(&self) {
        self.0.send_replace(true);
    }
}

/// The names of the signals that end a process (SIGTERM, SIGINT), as they arrive. Must be called within a runtime.
///
/// # Errors
/// When the handlers can't be installed.
pub fn signals() -> std::io::Result<impl Stream<Item = &'static str> + Unpin> {
    let mut term = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    // Two are enough: the first drains, the second aborts.
    let (sender, receiver) = mpsc::channel(2);
    tokio::spawn(async move {
        loop {
            let name = tokio::select! {
                _ = term.recv() => "SIGTERM",
                _ = interrupt.recv() => "SIGINT",
                () = sender.closed() => return,
            };
            if sender.send(name).await.is_err() {
                return;
            }
        }
    });
    Ok(ReceiverStream::new(receiver))
}

/// The same signals, of which the first, if it is SIGTERM, comes `delay` later, or with the second: Kubernetes ends a pod while others still
/// send requests to it, until every node has heard that it goes.
pub fn delayed<S>(signals: S, delay: Duration) -> impl Stream<Item = &'static str> + Unpin
where
    S: Stream<Item = &'static str> + Unpin,
{
    Box::pin(stream::unfold((signals, Some(delay)), |(mut signals, delay)| async move {
        let signal = signals.next().await?;
        if let Some(delay) = delay.filter(|delay| signal == "SIGTERM" && !delay.is_zero()) {
            tracing::info!(signal, ?delay, "answering on for those who have not heard yet");
            let _ = timeout(delay, signals.next()).await;
        }
        Some((signal, (signals, None)))
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    const LONG: Duration = Duration::from_secs(3600);

    fn of(given: &[&'static str], delay: Duration) -> impl Stream<Item = &'static str> + Unpin {
        delayed(stream::iter(given.to_vec()).chain(stream::pending()), delay)
    }

    #[tokio::test]
    async fn a_pod_that_ends_answers_on_and_whoever_has_no_patience_says_so_again() {
        assert_eq!(of(&["SIGTERM"], LONG).next().now_or_never(), None);
        assert_eq!(of(&["SIGTERM"], Duration::from_millis(1)).next().await, Some("SIGTERM"));
        assert_eq!(of(&["SIGTERM"], Duration::ZERO).next().now_or_never(), Some(Some("SIGTERM")));
        assert_eq!(of(&["SIGTERM", "SIGTERM"], LONG).next().now_or_never(), Some(Some("SIGTERM")));
        assert_eq!(of(&["SIGINT"], LONG).next().now_or_never(), Some(Some("SIGINT")));
    }

    #[tokio::test]
    async fn a_request_reaches_every_clone() {
        let (trigger, shutdown) = Shutdown::channel();
        let other = shutdown.clone();
        assert!(!other.is_requested());
        trigger.request();
        shutdown.requested().await;
        other.requested().await;
        assert!(other.is_requested());
    }

    #[tokio::test]
    async fn a_lost_trigger_asks_for_shutdown() {
        let (trigger, shutdown) = Shutdown::channel();
        drop(trigger);
        shutdown.requested().await;
        assert!(shutdown.is_requested());
    }
}
