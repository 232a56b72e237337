//! The signal to end, and its way to every task.

use futures::Stream;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::{mpsc, watch},
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

#[cfg(test)]
mod tests {
    use super::*;

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
