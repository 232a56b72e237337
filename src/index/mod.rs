//! What does the cluster look like now?
//!
//! Watches Services, EndpointSlices, Pods, the labels of Nodes, every kind of the mesh's configuration, the file with the mesh's
//! settings, and of Secrets those that a reader says it needs. Each watch decodes its objects in a task of its own; one writer takes them
//! in, joins them, and publishes a [`Snapshot`](crate::model::Snapshot) with exactly the changes since the one before. Nothing is published
//! before every watch has finished its first list, and a watch that has to list anew changes what differs and nothing else. It never
//! writes to the cluster. The configuration may come from galley instead ([`ConfigSource`]): then each set of changes is taken in as one.
//!
//! ```text
//! watch of Services ─┐                     ┌─ workloads ─┐
//! watch of Pods     ─┤ decode ══ Update ══▶│  slices     ├─ Cluster::settle ══ Arc<Snapshot>, Changes ══▶ SnapshotSource
//! … or galley       ─┤                     └ declarations┘
//! file of settings  ─┘                       one writer
//! ```
//!
//! The single entry is [`start`]; readers follow the [`SnapshotSource`] that it returns.

mod addresses;
mod carried;
mod cluster;
mod declarations;
mod declared;
mod difference;
mod distributed;
mod endpoints;
mod groups;
mod listing;
mod mesh_file;
mod metrics;
mod rejected;
mod revision;
mod secrets;
mod shared;
mod slices;
mod source;
mod standings;
mod still;
mod stored;
#[cfg(test)]
mod tests;
mod update;
mod verdict;
mod watch;
mod workloads;
mod writer;

pub use carried::{CarriedKind, CarriedObjects};
pub use listing::service_listing;
pub use rejected::{Rejected, RejectedObjects};
pub use secrets::NeededSecrets;
pub use source::SnapshotSource;
pub use standings::{Standing, Standings};
pub use still::StillCluster;
pub use stored::{generation, generation_text, reference, stored_as};
pub use verdict::{ACCEPTED, PROGRAMMED, Reported, STATUS_MANAGER, Verdict, Verdicts};

use ferromesh_crds::catalog;
use k8s_openapi::api::{
    core::v1::{Node, Service},
    discovery::v1::EndpointSlice,
};
use kube::{
    Api, Client,
    core::{DynamicObject, PartialObjectMeta},
    runtime::watcher,
};
use std::{path::PathBuf, sync::Arc, time::Duration};
use tokio::sync::mpsc;

use self::{
    cluster::Cluster,
    distributed::Distributed,
    mesh_file::MeshFile,
    metrics::Metrics,
    revision::Concern,
    secrets::Secrets,
    update::{MESH_CONFIG, NODE, POD, SERVICE, SLICE, Update},
    watch::{Watch, Watched},
    writer::Writer,
};
use crate::config::{ParseContext, kubernetes::PodView};
use crate::mcp;
use crate::runtime::{ContentWatch, Readiness, Registry, Tasks};

/// What the index is told.
#[derive(Clone, Debug)]
pub struct IndexConfig {
    /// The file with the mesh's settings (MeshConfig in YAML); the defaults hold while it is absent.
    pub mesh_config: PathBuf,
    /// How often that file is looked at.
    pub mesh_config_interval: Duration,
    /// The cluster's DNS domain.
    pub cluster_domain: String,
    /// What it is for.
    pub purpose: Purpose,
    /// Where the mesh's configuration comes from.
    pub source: ConfigSource,
    /// The control plane's revision, which leaves out objects that name another; empty for the default one. Galley leaves them out itself.
    pub revision: String,
}

/// Where the mesh's configuration comes from. Everything else comes from Kubernetes, always.
#[derive(Clone, Debug, Default)]
pub enum ConfigSource {
    /// From watches.
    #[default]
    Kubernetes,
    /// From galley, and the API server is asked for none of it.
    Galley(mcp::ClientConfig),
}

/// What an index is for, and so what it keeps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Purpose {
    /// Traffic: everything.
    #[default]
    Traffic,
    /// Review of configuration: no endpoints of Services, but a [`Verdict`] on each object for its author.
    Review,
    /// Review and distribution of configuration: objects are also kept as they are passed on.
    Distribution,
}

/// Updates that may wait for the writer. Watches are held back beyond that, so that memory stays bounded; a whole list counts as one.
const UPDATES: usize = 256;

/// Finished pods have no address any more, and may be many.
const UNFINISHED: &str = "status.phase!=Succeeded,status.phase!=Failed";

// === impl IndexConfig ===

impl Default for IndexConfig {
    fn default() -> Self {
        Self {
            mesh_config: PathBuf::from("/etc/istio/config/mesh"),
            mesh_config_interval: ContentWatch::INTERVAL,
            cluster_domain: "cluster.local".to_owned(),
            purpose: Purpose::default(),
            source: ConfigSource::default(),
            revision: String::new(),
        }
    }
}

/// Starts the watches and the writer. They end with `tasks`; `readiness` turns good once the first snapshot is published.
pub fn start(client: Client, config: IndexConfig, tasks: &mut Tasks, readiness: &Readiness, registry: &mut Registry) -> SnapshotSource {
    let metrics = Metrics::registered(registry);
    let (publisher, source) = source::channel();
    let (updates, receiver) = mpsc::channel(UPDATES);
    let writer = Writer::new(publisher, metrics.clone());
    let mut starting = Starting { client, updates, metrics, tasks, readiness, registry, writer };

    let domain = config.cluster_domain.clone();
    starting.watch::<Service>(SERVICE, watcher::Config::default(), move |service| update::service(&service, &domain));
    if config.purpose == Purpose::Traffic {
        starting.watch::<EndpointSlice>(SLICE, watcher::Config::default(), |slice| update::slice(&slice));
        starting.watch::<PartialObjectMeta<Node>>(NODE, watcher::Config::default(), |node| update::node(&node));
    }
    starting.watch::<PodView>(POD, watcher::Config::default().fields(UNFINISHED), |pod| update::pod(&pod));
    let context = Arc::new(ParseContext { cluster_domain: config.cluster_domain.clone(), ..ParseContext::default() });
    let source = match config.source {
        ConfigSource::Kubernetes => {
            let revision: Arc<str> = config.revision.into();
            configuration().for_each(|kind| starting.watch_config(kind, context.clone(), config.purpose, revision.clone()));
            source
        }
        ConfigSource::Galley(galley) => source.knowing(starting.follow_galley(galley, context, config.purpose)),
    };
    if config.purpose == Purpose::Traffic {
        let secrets = Secrets::new(starting.client.clone(), &source.needed_secrets(), starting.updates.clone(), starting.metrics.clone());
        starting.tasks.spawn("Secrets", secrets.run(starting.tasks.shutdown()));
    }
    starting.mesh_file(MeshFile::new(config.mesh_config, config.mesh_config_interval));

    let Starting { writer, .. } = starting;
    tasks.spawn("index", writer.run(Cluster::new(), receiver, tasks.shutdown()));
    source
}

/// What the tasks of the index are started with.
struct Starting<'a> {
    client: Client,
    updates: mpsc::Sender<Update>,
    metrics: Metrics,
    tasks: &'a mut Tasks,
    readiness: &'a Readiness,
    registry: &'a mut Registry,
    writer: Writer,
}

/// The kinds of the mesh's configuration.
fn configuration() -> impl Iterator<Item = &'static catalog::Kind> {
    catalog::kinds().iter().filter(|kind| mcp::is_carried(kind))
}

// === impl Starting ===

impl Starting<'_> {
    fn watch<K: Watched<DynamicType = ()>>(
        &mut self,
        kind: &'static str,
        selection: watcher::Config,
        decode: impl Fn(K) -> update::Fact + Send + Sync + 'static,
    ) {
        let api = Api::all(self.client.clone());
        self.follow(kind, api, selection, decode);
    }

    fn watch_config(&mut self, kind: &'static catalog::Kind, context: Arc<ParseContext>, purpose: Purpose, revision: Arc<str>) {
        let Some(resource) = stored::resource(kind) else { return };
        // As plain JSON, so that one object of a wrong shape can't break the whole list.
        let api: Api<DynamicObject> = Api::all_with(self.client.clone(), &resource);
        self.follow(kind.name, api, watcher::Config::default(), move |object| {
            let concern = Concern::of(&object.metadata, &revision);
            update::config(kind, object, &context, purpose).concerning(concern, purpose)
        });
    }

    /// Takes all configuration from galley. Returns what is to be known of its objects.
    fn follow_galley(&mut self, galley: mcp::ClientConfig, context: Arc<ParseContext>, purpose: Purpose) -> Standings {
        for kind in configuration() {
            self.writer.wait_for(kind.name, self.readiness.wait_for(format!("{} from galley", kind.name)));
        }
        let (client, sets) = mcp::Client::new(galley, configuration().collect(), self.registry);
        self.tasks.spawn("configuration from galley", client.run(self.tasks.shutdown()));
        let standings = Standings::default();
        let distributed = Distributed::new(sets, context, purpose, standings.clone(), self.updates.clone());
        self.tasks.spawn("objects from galley", distributed.run(self.tasks.shutdown()));
        standings
    }

    fn follow<K: Watched>(
        &mut self,
        kind: &'static str,
        api: Api<K>,
        selection: watcher::Config,
        decode: impl Fn(K) -> update::Fact + Send + Sync + 'static,
    ) {
        let what = format!("watch of {kind}");
        self.writer.wait_for(kind, self.readiness.wait_for(what.clone()));
        let watch = Watch::new(kind, api, selection, self.updates.clone(), self.metrics.clone());
        self.tasks.spawn(what, watch.run(decode, self.tasks.shutdown()));
    }

    fn mesh_file(&mut self, file: MeshFile) {
        self.writer.wait_for(MESH_CONFIG, self.readiness.wait_for("settings of the mesh"));
        self.tasks.spawn("settings of the mesh", file.run(self.updates.clone(), self.tasks.shutdown()));
    }
}

/// What the index takes in of an object that a watch brings; none if it has no use for it.
#[cfg(test)]
pub(crate) fn taken_in(kind: &catalog::Kind, object: DynamicObject, context: &ParseContext) -> Option<crate::model::ConfigObject> {
    match update::config(kind, object, context, Purpose::Traffic).form {
        Some(update::Form::Config(value)) => Some(value),
        _ => None,
    }
}
