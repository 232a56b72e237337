//! Requests that never stop coming.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use tokio::task::JoinHandle;

use crate::testing::eventually;

/// Asks again and again until told to stop; counts what was asked and what failed.
pub(super) struct Load {
    stop: Arc<AtomicBool>,
    asked: Arc<AtomicUsize>,
    failed: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

// === impl Load ===

impl Load {
    /// A load of these requests, one after another; each tells whether it was answered as it should be.
    pub(super) fn of<F: Future<Output = bool> + Send>(ask: impl Fn() -> F + Send + 'static) -> Self {
        let (stop, asked, failed) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let task = tokio::spawn({
            let (stop, asked, failed) = (stop.clone(), asked.clone(), failed.clone());
            async move {
                while !stop.load(Ordering::Relaxed) {
                    failed.fetch_add(usize::from(!ask().await), Ordering::Relaxed);
                    asked.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        Self { stop, asked, failed, task }
    }

    /// Waits until that many more have been asked.
    pub(super) async fn goes_on(&self, more: usize) {
        let already = self.asked.load(Ordering::Relaxed);
        eventually("requests go on", || self.asked.load(Ordering::Relaxed) >= already + more).await;
    }

    /// Ends it; how many were asked, and how many failed.
    pub(super) async fn end(self) -> (usize, usize) {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await.unwrap();
        (self.asked.load(Ordering::Relaxed), self.failed.load(Ordering::Relaxed))
    }
}
