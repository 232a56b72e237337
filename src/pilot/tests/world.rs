//! A mesh that changes while a pilot serves it.

use std::{collections::BTreeMap, sync::Arc};

use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::{
    client::{Client, connect, node},
    server::Pilot,
};
use crate::model::{Change, Changes, ObjectRef, Snapshot, SpiffeId, VirtualService};
use crate::pilot::problems::{Problem, Problems, ProblemsReader};
use crate::testing::mesh::TestMesh;

/// The mesh, its pilot, and what pilot finds wrong with it.
pub(super) struct World {
    pub(super) mesh: TestMesh,
    pub(super) pilot: Pilot,
    reader: ProblemsReader,
    snapshots: mpsc::Sender<(Arc<Snapshot>, Changes)>,
    version: u64,
}

// === impl World ===

impl World {
    pub(super) async fn of(mesh: TestMesh) -> Self {
        let (snapshots, receiver) = mpsc::channel(1);
        let problems = Problems::new();
        let pilot = Pilot::telling(problems.clone(), ReceiverStream::new(receiver)).await;
        let mut reader = problems.follow();
        reader.changed().await;
        let mut world = Self { mesh, pilot, reader, snapshots, version: 0 };
        world.changes(&[]).await;
        world.pilot.ready().await;
        world
    }

    /// Pilot hears of the mesh as it is now, in which these changed.
    pub(super) async fn changes(&mut self, changes: &[Change]) {
        self.version += 1;
        let snapshot = Snapshot { version: self.version, ..(*self.mesh.snapshot()).clone() };
        self.snapshots.send((Arc::new(snapshot), changes.iter().cloned().collect())).await.unwrap();
    }

    /// A VirtualService of the mesh changes.
    pub(super) async fn changes_routes(&mut self, object: &ObjectRef, change: impl FnOnce(&mut VirtualService)) {
        change(self.mesh.virtual_services.iter_mut().find(|it| it.origin == *object).unwrap());
        self.changes(&[Change::Config(object.clone())]).await;
    }

    /// A sidecar of that namespace that wants to know that table of routes with its hosts, and nothing else.
    pub(super) async fn asks_for_routes(&self, namespace: &str, name: &str) -> Client {
        let channel = connect(self.pilot.address, &self.pilot.ca, &SpiffeId::new("cluster.local", namespace, "web")).await;
        Client::of_table(channel, node("web-1", namespace), name).await
    }

    /// Waits for problems that differ from those before.
    pub(super) async fn next_problems(&mut self) -> BTreeMap<ObjectRef, Problem> {
        let patience = std::time::Duration::from_secs(20);
        tokio::time::timeout(patience, self.reader.changed()).await.expect("news of problems").unwrap()
    }
}
