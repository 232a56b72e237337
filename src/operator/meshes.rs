//! The MeshInstalls of the cluster, for the webhook and the reconciler.

use ferromesh_crds::MeshInstall;
use futures::StreamExt;
use kube::{
    Api, Client, ResourceExt,
    runtime::{
        WatchStreamExt,
        watcher::{self, Event, watcher},
    },
};
use std::{collections::BTreeMap, convert::Infallible, pin::pin, sync::Arc};
use tokio::sync::watch;

use crate::runtime::{ReadyGuard, Shutdown, causes};

/// All of them by name.
pub(super) type Meshes = BTreeMap<String, MeshInstall>;
/// The present ones; none until they have been listed.
pub(super) type MeshSource = watch::Receiver<Option<Arc<Meshes>>>;

/// Follows the MeshInstalls.
pub(super) struct MeshWatch {
    api: Api<MeshInstall>,
    publish: watch::Sender<Option<Arc<Meshes>>>,
}

// === impl MeshWatch ===

impl MeshWatch {
    pub(super) fn new(client: Client) -> (Self, MeshSource) {
        let (publish, source) = watch::channel(None);
        (Self { api: Api::all(client), publish }, source)
    }

    /// Publishes every change until shutdown; releases `ready` with the first whole list.
    ///
    /// # Errors
    /// None; the type is what [`crate::runtime::Tasks::spawn`] takes.
    pub(super) async fn run(self, ready: ReadyGuard, shutdown: Shutdown) -> Result<(), Infallible> {
        let mut ready = Some(ready);
        let mut meshes = Meshes::new();
        let mut listed = false;
        let mut events = pin!(watcher(self.api, watcher::Config::default()).default_backoff());
        loop {
            let event = tokio::select! {
                () = shutdown.requested() => return Ok(()),
                Some(event) = events.next() => event,
            };
            match event {
                Ok(Event::Init) => {
                    // The list before holds until the new one is whole.
                    meshes.clear();
                    listed = false;
                }
                Ok(Event::InitDone) => listed = true,
                Ok(Event::Apply(mesh) | Event::InitApply(mesh)) => _ = meshes.insert(mesh.name_any(), mesh),
                Ok(Event::Delete(mesh)) => _ = meshes.remove(&mesh.name_any()),
                Err(error) => tracing::warn!(error = causes(&error), "watch of MeshInstalls broken"),
            }
            if listed {
                self.publish.send_replace(Some(Arc::new(meshes.clone())));
                drop(ready.take());
            }
        }
    }
}
