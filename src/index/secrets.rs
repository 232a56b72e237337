//! Watches of single Secrets: those that somebody needs, for as long as he does.
//!
//! No right to read all Secrets is wanted for that. Each watch names its Secret by a field selector, so a Role that names it will do; where
//! there is none, the API server refuses this one watch, which is tried again, and nothing else suffers.

use std::{
    collections::{BTreeMap, BTreeSet},
    convert::Infallible,
    sync::Arc,
};

use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client, runtime::watcher};
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
};

use super::{
    metrics::Metrics,
    update::{self, Fact, SECRET, Update},
    watch::Watch,
};
use crate::model::{ObjectRef, SecretKey};
use crate::runtime::Shutdown;

/// Tells the index which Secrets are needed. Clones speak for the same reader.
#[derive(Clone, Debug)]
pub struct NeededSecrets(Arc<watch::Sender<BTreeSet<SecretKey>>>);

/// The task that keeps the watches.
pub(super) struct Secrets {
    client: Client,
    needed: watch::Receiver<BTreeSet<SecretKey>>,
    updates: mpsc::Sender<Update>,
    metrics: Metrics,
}

// === impl NeededSecrets ===

impl Default for NeededSecrets {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(BTreeSet::new())))
    }
}

impl NeededSecrets {
    /// These are needed from now on, and no others.
    pub fn are(&self, keys: &BTreeSet<SecretKey>) {
        self.0.send_if_modified(|known| {
            let differs = known != keys;
            if differs {
                known.clone_from(keys);
            }
            differs
        });
    }
}

// === impl Secrets ===

impl Secrets {
    pub(super) fn new(client: Client, needed: &NeededSecrets, updates: mpsc::Sender<Update>, metrics: Metrics) -> Self {
        Self { client, needed: needed.0.subscribe(), updates, metrics }
    }

    /// Runs until shutdown.
    ///
    /// # Errors
    /// None; the type is what [`crate::runtime::Tasks::spawn`] takes.
    pub(super) async fn run(mut self, shutdown: Shutdown) -> Result<(), Infallible> {
        let mut watched: BTreeMap<SecretKey, JoinHandle<_>> = BTreeMap::new();
        loop {
            let needed = self.needed.borrow_and_update().clone();
            let unneeded: Vec<_> = watched.keys().filter(|key| !needed.contains(*key)).cloned().collect();
            for key in unneeded {
                if let Some(watch) = watched.remove(&key) {
                    watch.abort();
                    // Whatever it still says comes before its end.
                    let _ = watch.await;
                }
                // Nobody listens only when the process ends.
                let _ = self.updates.send(Update::One(Fact::absent(object(&key)))).await;
            }
            for key in needed {
                watched.entry(key).or_insert_with_key(|key| tokio::spawn(self.watch(key, shutdown.clone())));
            }
            tokio::select! {
                () = shutdown.requested() => break,
                news = self.needed.changed() => if news.is_err() {
                    shutdown.requested().await;
                    break;
                }
            }
        }
        for watch in watched.into_values() {
            // They end by themselves.
            let _ = watch.await;
        }
        Ok(())
    }

    fn watch(&self, key: &SecretKey, shutdown: Shutdown) -> impl Future<Output = Result<(), Infallible>> + Send + use<> {
        let api: Api<Secret> = Api::namespaced(self.client.clone(), &key.namespace);
        let selection = watcher::Config::default().fields(&format!("metadata.name={}", key.name));
        let watch = Watch::of_one(SECRET, object(key), api, selection, self.updates.clone(), self.metrics.clone());
        watch.run(|secret| update::secret(&secret), shutdown)
    }
}

fn object(key: &SecretKey) -> ObjectRef {
    ObjectRef::new(SECRET, &key.namespace, &key.name)
}
