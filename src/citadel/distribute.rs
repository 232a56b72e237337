//! The root in every namespace: ConfigMap `istio-ca-root-cert`, which pods mount before their first request to citadel.
//!
//! One replica writes: the leader. It watches the metadata of all namespaces and exactly these ConfigMaps, so that an edit or a deletion
//! is undone as soon as it is seen.

use futures::{Stream, StreamExt, stream};
use k8s_openapi::{
    api::core::v1::{ConfigMap, Namespace},
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference},
};
use kube::{
    Api, Client, ResourceExt,
    api::{Patch, PatchParams},
    core::PartialObjectMeta,
    runtime::{
        WatchStreamExt,
        watcher::{self, Event},
    },
};
use std::{
    collections::{BTreeMap, BTreeSet},
    convert::Infallible,
    pin::{Pin, pin},
    time::Duration,
};
use tokio::time::sleep;

use super::{AuthoritySource, CitadelConfig, NAME, metrics::Metrics};
use crate::runtime::{Backoff, Leadership, ReadyGuard, Shutdown, Term, causes};

/// Writes the root's ConfigMaps.
#[derive(Clone)]
pub(super) struct Distributor {
    client: Client,
    own_namespace: String,
    owner: Option<OwnerReference>,
    authority: AuthoritySource,
    metrics: Metrics,
}

/// What the leader knows of the cluster.
#[derive(Debug, Default)]
struct Cluster {
    /// Namespaces that are not about to go.
    namespaces: BTreeSet<String>,
    /// The root ConfigMap of each namespace as the mesh wants to have it, or as somebody made it.
    maps: BTreeMap<String, ConfigMap>,
    namespaces_listed: bool,
    maps_listed: bool,
}

/// What a watch says.
enum Seen {
    Namespace(Event<PartialObjectMeta<Namespace>>),
    Map(Event<ConfigMap>),
}

/// A write that is to be tried again; it has been logged.
struct NotWritten;

type Changes = Pin<Box<dyn Stream<Item = Seen> + Send>>;

/// The ConfigMap's name, and its one key.
const MAP: &str = "istio-ca-root-cert";
const KEY: &str = "root-cert.pem";

/// Writes at a time.
const PARALLEL: usize = 8;

// === impl Distributor ===

impl Distributor {
    pub(super) fn new(client: Client, config: &CitadelConfig, authority: AuthoritySource, metrics: Metrics) -> Self {
        Self { client, own_namespace: config.namespace.clone(), owner: config.owner.clone(), authority, metrics }
    }

    /// Holds readiness back until the control plane's own namespace has the current root, whoever wrote it; then rests.
    ///
    /// # Errors
    /// None; the type is what [`crate::runtime::Tasks::spawn`] takes.
    pub(super) async fn await_own_namespace(mut self, ready: ReadyGuard, shutdown: Shutdown) -> Result<(), Infallible> {
        let maps: Api<ConfigMap> = Api::namespaced(self.client.clone(), &self.own_namespace);
        let arrival = async {
            let Some(roots) = current_roots(&mut self.authority).await else { return };
            let mut events = pin!(watcher::watcher(maps, map_selection()).default_backoff().applied_objects());
            while let Some(event) = events.next().await {
                if event.is_ok_and(|map| content(&map) == Some(&roots)) {
                    return;
                }
            }
        };
        tokio::select! {
            () = shutdown.requested() => return Ok(()),
            () = arrival => drop(ready),
        }
        shutdown.requested().await;
        Ok(())
    }

    /// Writes whenever this replica leads, until shutdown.
    ///
    /// # Errors
    /// None; the type is what [`crate::runtime::Tasks::spawn`] takes.
    pub(super) async fn run(self, mut leadership: Leadership, shutdown: Shutdown) -> Result<(), Infallible> {
        loop {
            let term = tokio::select! {
                () = shutdown.requested() => return Ok(()),
                term = leadership.acquired() => term,
            };
            tokio::select! {
                () = shutdown.requested() => return Ok(()),
                () = term.lost() => {}
                () = self.lead(&term) => {}
            }
        }
    }

    /// Keeps every namespace's ConfigMap right for as long as it is polled.
    async fn lead(&self, term: &Term) {
        let mut authority = self.authority.clone();
        let Some(mut roots) = current_roots(&mut authority).await else { return };
        let mut cluster = Cluster::default();
        let mut changes = self.changes();
        let mut backoff = Backoff::new(Duration::from_millis(250), Duration::from_secs(10));
        let mut failed = false;
        loop {
            let retry = async { if failed { sleep(backoff.next_delay()).await } else { std::future::pending().await } };
            tokio::select! {
                Some(seen) = changes.next() => {
                    cluster.note(seen);
                    // What is at hand already is taken in before anything is written.
                    while let Some(Some(seen)) = futures::FutureExt::now_or_never(changes.next()) {
                        cluster.note(seen);
                    }
                }
                Ok(()) = authority.changed() => match current_roots(&mut authority).await {
                    Some(changed) => roots = changed,
                    None => return,
                },
                () = retry => {}
                else => return,
            }
            failed = !self.repair(&mut cluster, &roots, term).await;
            if !failed {
                backoff.reset();
            }
        }
    }

    /// Writes what is missing or wrong; whether all of it could be written.
    async fn repair(&self, cluster: &mut Cluster, roots: &str, term: &Term) -> bool {
        let wrong = cluster.wrong(roots, self.owner.as_ref(), &self.own_namespace);
        let mut writes = pin!(stream::iter(wrong).map(|namespace| self.write(namespace, roots, term)).buffered(PARALLEL));
        let mut all = true;
        while let Some(written) = writes.next().await {
            match written {
                // Without waiting for its event, which would have it written once more in between.
                Ok(Some(map)) => cluster.keep(map),
                Ok(None) => {}
                Err(NotWritten) => all = false,
            }
        }
        all
    }

    /// Writes one namespace's ConfigMap; none if the namespace is going.
    async fn write(&self, namespace: String, roots: &str, term: &Term) -> Result<Option<ConfigMap>, NotWritten> {
        term.check().map_err(|_| NotWritten)?;
        let maps: Api<ConfigMap> = Api::namespaced(self.client.clone(), &namespace);
        let params = PatchParams::apply(NAME).force();
        match maps.patch(MAP, &params, &Patch::Apply(desired(roots, self.owner.as_ref()))).await {
            Ok(map) => {
                self.metrics.roots_written.inc();
                tracing::debug!(namespace, "root written");
                Ok(Some(map))
            }
            // Its event is on the way, and there is nothing to repair.
            Err(kube::Error::Api(status)) if is_going(&status) => Ok(None),
            Err(error) => {
                self.metrics.roots_failed.inc();
                tracing::warn!(error = causes(&error), namespace, "root could not be written");
                Err(NotWritten)
            }
        }
    }

    fn changes(&self) -> Changes {
        let namespaces: Api<PartialObjectMeta<Namespace>> = Api::all(self.client.clone());
        let maps: Api<ConfigMap> = Api::all(self.client.clone());
        let namespaces = watcher::watcher(namespaces, watcher::Config::default()).default_backoff().map(|event| event.map(Seen::Namespace));
        let maps = watcher::watcher(maps, map_selection()).default_backoff().map(|event| event.map(Seen::Map));
        Box::pin(
            stream::select(namespaces, maps).filter_map(|event| {
                std::future::ready(event.inspect_err(|error| tracing::warn!(error = causes(error), "watch broken")).ok())
            }),
        )
    }
}

// === impl Cluster ===

impl Cluster {
    fn note(&mut self, seen: Seen) {
        match seen {
            Seen::Namespace(Event::Init) => {
                self.namespaces.clear();
                self.namespaces_listed = false;
            }
            Seen::Namespace(Event::InitDone) => self.namespaces_listed = true,
            Seen::Namespace(Event::Apply(namespace) | Event::InitApply(namespace)) => {
                let name = namespace.name_any();
                if namespace.metadata.deletion_timestamp.is_some() {
                    self.namespaces.remove(&name);
                } else {
                    self.namespaces.insert(name);
                }
            }
            Seen::Namespace(Event::Delete(namespace)) => _ = self.namespaces.remove(&namespace.name_any()),
            Seen::Map(Event::Init) => {
                self.maps.clear();
                self.maps_listed = false;
            }
            Seen::Map(Event::InitDone) => self.maps_listed = true,
            Seen::Map(Event::Apply(map) | Event::InitApply(map)) => self.keep(map),
            Seen::Map(Event::Delete(map)) => _ = self.maps.remove(&map.namespace().unwrap_or_default()),
        }
    }

    fn keep(&mut self, mut map: ConfigMap) {
        // As large as the rest, and read by nobody.
        map.metadata.managed_fields = None;
        self.maps.insert(map.namespace().unwrap_or_default(), map);
    }

    /// The namespaces whose ConfigMap has to be written, `first` before the others. None until both lists are whole: a half list looks
    /// like a cluster where everything is missing.
    fn wrong(&self, roots: &str, owner: Option<&OwnerReference>, first: &str) -> Vec<String> {
        if !self.namespaces_listed || !self.maps_listed {
            return Vec::new();
        }
        let right = |namespace: &String| self.maps.get(namespace).is_some_and(|map| is_right(map, roots, owner));
        let mut wrong: Vec<_> = self.namespaces.iter().filter(|namespace| !right(namespace)).cloned().collect();
        wrong.sort_by_key(|namespace| namespace != first);
        wrong
    }
}

/// The current root, once there is one; none when its keeper is gone.
async fn current_roots(authority: &mut AuthoritySource) -> Option<String> {
    let current = authority.wait_for(Option::is_some).await.ok()?;
    current.as_ref().map(|current| current.roots_pem().to_owned())
}

/// Whether a write failed because its namespace is about to go, or gone.
fn is_going(status: &kube::core::Status) -> bool {
    status.code == 404 || status.reason == "Forbidden" && status.message.contains("being terminated")
}

fn map_selection() -> watcher::Config {
    watcher::Config::default().fields(&format!("metadata.name={MAP}"))
}

fn content(map: &ConfigMap) -> Option<&String> {
    map.data.as_ref()?.get(KEY)
}

fn is_right(map: &ConfigMap, roots: &str, owner: Option<&OwnerReference>) -> bool {
    let owned = owner.is_none_or(|owner| map.owner_references().iter().any(|reference| reference.uid == owner.uid));
    owned
        && content(map).is_some_and(|content| content == roots)
        && labels().iter().all(|(key, value)| map.labels().get(key) == Some(value))
}

fn labels() -> BTreeMap<String, String> {
    let label = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    BTreeMap::from([
        label("app.kubernetes.io/managed-by", NAME),
        label("app.kubernetes.io/part-of", "ferromesh"),
        label("istio.io/config", "true"),
    ])
}

fn desired(roots: &str, owner: Option<&OwnerReference>) -> ConfigMap {
    ConfigMap {
        metadata: ObjectMeta {
            name: Some(MAP.to_owned()),
            labels: Some(labels()),
            owner_references: owner.map(|owner| vec![owner.clone()]),
            ..ObjectMeta::default()
        },
        data: Some(BTreeMap::from([(KEY.to_owned(), roots.to_owned())])),
        ..ConfigMap::default()
    }
}
