//! The one writer: takes in updates as they come, and publishes what follows.

use std::{collections::HashMap, convert::Infallible, time::Instant};

use tokio::sync::mpsc;

use super::{cluster::Cluster, metrics::Metrics, source::Publisher, update::Update};
use crate::runtime::{ReadyGuard, Shutdown};

/// Joins what the watches say.
#[derive(Debug)]
pub(super) struct Writer {
    publisher: Publisher,
    metrics: Metrics,
    /// Kinds whose first list has not been taken in yet. Nothing is published while there are any.
    awaited: HashMap<&'static str, ReadyGuard>,
    published: bool,
}

/// Updates that are taken in before anything is published, at most: what waits is taken together, but a flood must not keep the rest.
const BATCH: usize = 1024;

// === impl Writer ===

impl Writer {
    pub(super) fn new(publisher: Publisher, metrics: Metrics) -> Self {
        Self { publisher, metrics, awaited: HashMap::new(), published: false }
    }

    /// Has the first snapshot wait for all objects of a kind.
    pub(super) fn wait_for(&mut self, kind: &'static str, guard: ReadyGuard) {
        self.awaited.insert(kind, guard);
    }

    /// Runs until shutdown.
    ///
    /// # Errors
    /// None; the type is what [`crate::runtime::Tasks::spawn`] takes.
    pub(super) async fn run(
        mut self,
        mut cluster: Cluster,
        mut updates: mpsc::Receiver<Update>,
        shutdown: Shutdown,
    ) -> Result<(), Infallible> {
        let mut batch = Vec::new();
        loop {
            tokio::select! {
                () = shutdown.requested() => return Ok(()),
                count = updates.recv_many(&mut batch, BATCH) => if count == 0 {
                    return Ok(());
                }
            }
            self.take_in(&mut cluster, batch.drain(..));
        }
    }

    fn take_in(&mut self, cluster: &mut Cluster, batch: impl Iterator<Item = Update>) {
        let start = Instant::now();
        let mut released = Vec::new();
        for update in batch {
            released.extend(update.completes().into_iter().filter_map(|kind| self.awaited.remove(kind)));
            cluster.take_in(update);
        }
        if let Some(rejected) = cluster.news_of_rejected() {
            self.metrics.set_rejected(&rejected);
            self.publisher.publish_rejected(rejected);
        }
        self.publisher.publish_verdicts(cluster.take_verdicts());
        if self.awaited.is_empty() {
            if let Some(carried) = cluster.news_of_carried() {
                self.publisher.publish_carried(carried);
            }
            self.publish(cluster, start);
        }
        // Only now: readiness must not run ahead of the first snapshot.
        drop(released);
    }

    fn publish(&mut self, cluster: &mut Cluster, start: Instant) {
        let (snapshot, changes) = cluster.settle();
        if self.published && changes.is_empty() {
            return;
        }
        if !self.published {
            self.published = true;
            tracing::info!(services = snapshot.services.size(), workloads = snapshot.workloads.size(), "cluster known");
        }
        tracing::debug!(version = snapshot.version, changes = changes.len(), "snapshot");
        self.metrics.snapshots.inc();
        self.metrics.changes.inc_by(changes.len() as u64);
        self.publisher.publish(snapshot, changes);
        self.metrics.apply_seconds.observe(start.elapsed().as_secs_f64());
    }
}
