//! Visitors that never stop coming.

use ferromesh_e2e::Visitor;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::task::JoinHandle;

/// A loop of requests, until it is stopped.
pub(crate) struct Traffic {
    stop: Arc<AtomicBool>,
    served: Arc<AtomicUsize>,
    task: JoinHandle<Vec<String>>,
}

// === impl Traffic ===

impl Traffic {
    /// Asks for the page again and again.
    pub(crate) fn start(visitor: &Visitor) -> Self {
        let (stop, served) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let (visitor, stopped, count, started) = (visitor.clone(), stop.clone(), served.clone(), Instant::now());
        let task = tokio::spawn(async move {
            let mut failures = Vec::new();
            while !stopped.load(Ordering::Relaxed) {
                match visitor.page("/productpage", &[]).await {
                    // Details that are missing are a failed request behind the page.
                    Ok(page) if !page.contains("data-unavailable") => {
                        count.fetch_add(1, Ordering::Relaxed);
                    }
                    Ok(page) => {
                        let at = page.find("data-unavailable").unwrap_or_default();
                        let shown: String = page[at..].chars().take(120).collect();
                        failures.push(format!("{:.1} s: {shown}", started.elapsed().as_secs_f64()));
                    }
                    Err(error) => failures.push(format!("{:.1} s: {error:#}", started.elapsed().as_secs_f64())),
                }
                // A load that leaves the cluster room for the rest of the test.
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            failures
        });
        Self { stop, served, task }
    }

    /// How many pages have been served.
    pub(crate) fn served(&self) -> usize {
        self.served.load(Ordering::Relaxed)
    }

    /// Ends the loop.
    ///
    /// # Errors
    /// If a request failed, with the first failures.
    pub(crate) async fn stop(self) -> anyhow::Result<usize> {
        self.stop.store(true, Ordering::Relaxed);
        let failures = self.task.await?;
        let served = self.served.load(Ordering::Relaxed);
        let shown = &failures[..failures.len().min(5)];
        anyhow::ensure!(failures.is_empty(), "{} of {} requests failed: {shown:#?}", failures.len(), served + failures.len());
        Ok(served)
    }
}
