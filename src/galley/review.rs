//! What the whole mesh says of an object that is about to be stored.
//!
//! One task follows the snapshots and keeps the analysis' indexes at the cost of each change; whoever answers a question takes what is
//! current, and waits for nothing. It may lag a moment behind the cluster, so what it finds is a warning, never a refusal.

use arc_swap::ArcSwapOption;
use serde::Deserialize;
use serde_json::Value;
use std::{convert::Infallible, sync::Arc};

use crate::analysis::{Facts, Finding, World, is_suppressed, review};
use crate::index::SnapshotSource;
use crate::model::{ConfigObject, Labels};
use crate::runtime::Shutdown;

/// The mesh as it is known. Clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct KnownMesh {
    /// None before the first snapshot.
    world: Arc<ArcSwapOption<World>>,
}

// === impl KnownMesh ===

impl KnownMesh {
    /// What would be doubtful about the mesh with this object in it, but for what its annotations keep quiet; nothing while the mesh
    /// isn't known.
    pub(super) fn findings(&self, object: &ConfigObject, annotations: &Value) -> Vec<String> {
        let world = self.world.load();
        let mut findings = world.as_ref().map(|world| review(world, object)).unwrap_or_default();
        if !findings.is_empty() && !annotations.is_null() {
            // Annotations that are no texts can't be stored.
            let annotations = Labels::deserialize(annotations).unwrap_or_default();
            findings.retain(|finding| !is_suppressed(&annotations, finding.code));
        }
        findings.iter().map(Finding::without_object).collect()
    }

    /// Follows the snapshots until shutdown.
    ///
    /// # Errors
    /// None; the type is what [`crate::runtime::Tasks::spawn`] takes.
    pub(super) async fn follow(self, mut source: SnapshotSource, shutdown: Shutdown) -> Result<(), Infallible> {
        let mut world: Option<World> = None;
        loop {
            let (snapshot, changes) = tokio::select! {
                () = shutdown.requested() => return Ok(()),
                news = source.changed() => match news {
                    Some(news) => news,
                    None => return Ok(()),
                },
            };
            match &mut world {
                Some(world) => world.update(snapshot, &changes),
                None => {
                    tracing::info!(version = snapshot.version, "the mesh is known: questions are answered from all of it");
                    world = Some(World::new(snapshot, Facts::default()));
                }
            }
            // A clone of persistent maps, which is free.
            self.world.store(world.clone().map(Arc::new));
        }
    }
}
