//! Whom a change of the mesh reaches.

use std::sync::Arc;

use envoy_api::envoy::config::core::v3::Node;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::client::node;
use crate::compile::ResourceType;
use crate::index::NeededSecrets;
use crate::model::{Change, Changes, ExportTo, ObjectRef, Snapshot, SpiffeId, Visibility, WorkloadKey};
use crate::pilot::{
    hub::{Hub, JoinError, Updates},
    metrics::Metrics,
    node::Claims,
    problems::Problems,
};
use crate::runtime::{Readiness, Registry, Shutdown, Trigger};
use crate::testing::mesh::{TestMesh, bookinfo, forward, fqdn, http_gateway, to, virtual_service};

/// A hub, and the way to tell it what the mesh has become.
struct Mesh {
    hub: Hub,
    snapshots: mpsc::Sender<(Arc<Snapshot>, Changes)>,
    version: u64,
    _stop: Trigger,
}

// === impl Mesh ===

impl Mesh {
    fn start() -> Self {
        let (snapshots, receiver) = mpsc::channel(1);
        let guard = Readiness::new().wait_for("the mesh's configuration");
        let metrics = Metrics::registered(&mut Registry::default());
        let (hub, task) = Hub::new(metrics, NeededSecrets::default(), Problems::new(), guard);
        let (stop, shutdown) = Shutdown::channel();
        tokio::spawn(task.run(ReceiverStream::new(receiver), shutdown));
        Self { hub, snapshots, version: 0, _stop: stop }
    }

    /// The mesh becomes this; the result of this call comes after the hub has worked it in.
    async fn becomes(&mut self, mesh: &TestMesh, changes: &[Change]) {
        self.version += 1;
        let snapshot = Snapshot { version: self.version, ..(*mesh.snapshot()).clone() };
        self.snapshots.send((Arc::new(snapshot), changes.iter().cloned().collect())).await.unwrap();
        // The hub takes in a newcomer between two passes, never in the middle of one.
        let version_of_newcomer = async || Some(self.join("probe", "probe", "probe").await.unwrap().borrow().as_ref()?.version);
        while version_of_newcomer().await != Some(self.version) {}
    }

    async fn join(&self, pod: &str, namespace: &str, account: &str) -> Result<Updates, JoinError> {
        let node: Node = node(pod, namespace);
        let claims = Claims::of(&node, &SpiffeId::new("cluster.local", namespace, account)).unwrap();
        Ok(self.hub.join(claims.into()).await?.updates)
    }
}

#[tokio::test]
async fn a_change_wakes_only_the_proxies_that_it_concerns() {
    let (mut mesh, mut content) = (Mesh::start(), bookinfo());
    mesh.becomes(&content, &[]).await;
    let mut near = mesh.join("details-v1", "shop", "details").await.unwrap();
    let mut far = mesh.join("db-0", "data", "db").await.unwrap();
    near.mark_unchanged();
    far.mark_unchanged();

    let route = forward(Vec::new(), vec![to(&fqdn("shop", "ratings"), None, 1)]);
    let mut service = virtual_service("shop", "private", &[fqdn("shop", "details")], vec![route]);
    service.export_to = ExportTo(vec![Visibility::Private]);
    let change = Change::Config(service.origin.clone());
    content.virtual_services.push(service);
    mesh.becomes(&content, std::slice::from_ref(&change)).await;
    assert_eq!((near.has_changed().unwrap(), far.has_changed().unwrap()), (true, false));
    let update = near.borrow_and_update().clone().unwrap();
    let routes = update.compiled.get(ResourceType::Route, "9080").unwrap();
    assert!(routes.sources.contains(&ObjectRef::new("VirtualService", "shop", "private")));

    // Named as changed, but it is not.
    mesh.becomes(&content, &[change]).await;
    assert!(!near.has_changed().unwrap());
}

#[tokio::test]
async fn a_pod_with_other_labels_gets_another_configuration() {
    let (mut mesh, mut content) = (Mesh::start(), bookinfo());
    content.gateways.push(http_gateway("shop", "labelled", &[("edge", "yes")], 8080));
    mesh.becomes(&content, &[]).await;
    let router = Node { id: "router~10.244.1.1~details-v1.shop~x".to_owned(), ..Node::default() };
    let claims = Claims::of(&router, &SpiffeId::new("cluster.local", "shop", "details")).unwrap();
    let updates = mesh.hub.join(claims.into()).await.unwrap().updates;
    let listeners = || updates.borrow().as_ref().unwrap().compiled.resources(ResourceType::Listener).len();
    let before = listeners();

    let key = WorkloadKey::new("shop", "details-v1");
    content.workloads.get_mut(&key).unwrap().labels.insert("edge".to_owned(), "yes".to_owned());
    mesh.becomes(&content, &[Change::Workload(key)]).await;
    assert_eq!(listeners(), before + 1);
}

#[tokio::test]
async fn an_impostor_gets_nothing() {
    let (mut mesh, content) = (Mesh::start(), bookinfo());
    mesh.becomes(&content, &[]).await;
    let error = mesh.join("details-v1", "shop", "ratings").await.unwrap_err();
    assert!(matches!(error, JoinError::Node(error) if error.is_foreign()));
}
