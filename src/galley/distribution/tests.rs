//! Galley distributes what a fake API server has, and an index without a watch on any of it takes it in, over real mutual TLS.

use ferromesh_crds::networking::{DestinationRule, EnvoyFilter, VirtualService};
use kube::{
    Api,
    api::{Patch, PatchParams},
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};
use tempfile::TempDir;
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
    time::timeout,
};

use super::{DistributionConfig, start};
use crate::index::{self, ConfigSource, IndexConfig, Purpose, SnapshotSource};
use crate::mcp::{ClientConfig, Server};
use crate::model::{Change, Changes, ObjectRef, Snapshot, SpiffeId};
use crate::runtime::{CertificateSource, Listener, Readiness, Registry, Tasks, encode_metrics};
use crate::testing::{TestCa, eventually, fake_api::FakeApi};

/// The identity of an account of the control plane.
fn account(name: &str) -> SpiffeId {
    SpiffeId::new("cluster.local", "istio-system", name)
}

fn certificate(ca: &TestCa, identity: &SpiffeId) -> CertificateSource {
    watch::channel(Some(ca.workload(identity, &[]))).1
}

fn config(directory: &TempDir) -> IndexConfig {
    let reread = Duration::from_millis(5);
    IndexConfig { mesh_config: directory.path().join("mesh"), mesh_config_interval: reread, ..IndexConfig::default() }
}

/// A galley that distributes.
struct Galley {
    address: SocketAddr,
    registry: Registry,
    _tasks: Tasks,
    _directory: TempDir,
}

// === impl Galley ===

impl Galley {
    async fn start(api: &FakeApi, ca: &TestCa) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (mut tasks, mut registry) = (Tasks::new(), Registry::default());
        let index = IndexConfig { purpose: Purpose::Distribution, ..config(&directory) };
        let source = index::start(api.client(), index, &mut tasks, &Readiness::new(), &mut registry);
        let listener = Listener::bind(([127, 0, 0, 1], 0).into()).await.unwrap();
        let address = listener.local_addr().unwrap();
        let distribution = DistributionConfig { certificate: certificate(ca, &account("istio-galley")), reader: "istio-pilot".to_owned() };
        start(distribution, source.carried(), listener, &mut tasks, &mut registry);
        Self { address, registry, _tasks: tasks, _directory: directory }
    }

    /// A figure of its metrics; 0 while there is none.
    fn counts(&self, name: &str) -> u64 {
        figure(&self.registry, name)
    }

    /// Objects that it has sent, of all kinds.
    fn sent(&self) -> u64 {
        let page = encode_metrics(&self.registry);
        let lines = page.lines().filter_map(|line| line.strip_prefix("galley_distribution_resources_total{"));
        lines.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
    }
}

fn figure(registry: &Registry, name: &str) -> u64 {
    let page = encode_metrics(registry);
    let found = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok());
    found.unwrap_or_default()
}

/// An index that gets its configuration from galley.
struct Pilot {
    source: SnapshotSource,
    readiness: Readiness,
    registry: Registry,
    /// Whether it asked the API server for configuration.
    asked: Arc<AtomicBool>,
    _tasks: Tasks,
    _directory: TempDir,
}

// === impl Pilot ===

impl Pilot {
    fn start(address: SocketAddr, ca: &TestCa) -> Self {
        let server = Server::Account { namespace: "istio-system".to_owned(), name: "istio-galley".to_owned() };
        Self::asking(address, server, certificate(ca, &account("istio-pilot")))
    }

    fn asking(address: SocketAddr, server: Server, certificate: CertificateSource) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (mut tasks, readiness, mut registry) = (Tasks::new(), Readiness::new(), Registry::default());
        let (api, asked) = (FakeApi::new(), Arc::new(AtomicBool::new(false)));
        let noticed = asked.clone();
        api.answer(move |call| {
            let is_configuration = call.target.group.ends_with(".istio.io");
            noticed.fetch_or(is_configuration, Ordering::SeqCst);
            is_configuration.then(|| (403, json!({"kind": "Status", "status": "Failure", "reason": "Forbidden", "code": 403})))
        });
        let galley = ClientConfig { address: address.to_string(), server, certificate, name: "pilot-1".to_owned() };
        let config = IndexConfig { source: ConfigSource::Galley(galley), ..config(&directory) };
        let source = index::start(api.client(), config, &mut tasks, &readiness, &mut registry);
        Self { source, readiness, registry, asked, _tasks: tasks, _directory: directory }
    }

    async fn next(&mut self) -> (Arc<Snapshot>, Changes) {
        timeout(Duration::from_secs(20), self.source.changed()).await.expect("a snapshot in time").unwrap()
    }

    fn counts(&self, name: &str) -> u64 {
        figure(&self.registry, name)
    }
}

/// A way to an address that can be cut.
struct Relay {
    address: SocketAddr,
    cut: watch::Sender<bool>,
    accepted: Arc<AtomicUsize>,
}

// === impl Relay ===

impl Relay {
    async fn to(target: watch::Receiver<SocketAddr>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, cut, accepted) = (listener.local_addr().unwrap(), watch::Sender::new(false), Arc::new(AtomicUsize::new(0)));
        let (mut cuts, count) = (cut.subscribe(), accepted.clone());
        tokio::spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                tokio::select! {
                    changed = cuts.changed() => match changed {
                        Ok(()) if *cuts.borrow() => connections.shutdown().await,
                        Ok(()) => {}
                        Err(_) => return,
                    },
                    Ok((mut client, _)) = listener.accept() => if !*cuts.borrow() {
                        count.fetch_add(1, Ordering::SeqCst);
                        let target = *target.borrow();
                        connections.spawn(async move {
                            let Ok(mut server) = TcpStream::connect(target).await else { return };
                            // Who ends it, and how, is for the test to say.
                            let _ = copy_bidirectional(&mut client, &mut server).await;
                        });
                    },
                }
            }
        });
        Self { address, cut, accepted }
    }
}

fn object<K: DeserializeOwned>(name: &str, spec: &Value) -> K {
    serde_json::from_value(json!({"metadata": {"name": name, "namespace": "shop"}, "spec": spec})).unwrap()
}

fn routes(name: &str, timeout: &str) -> VirtualService {
    object(name, &json!({"hosts": [name], "http": [{"route": [{"destination": {"host": name}}], "timeout": timeout}]}))
}

fn rule(name: &str) -> DestinationRule {
    object(name, &json!({"host": name, "trafficPolicy": {"tls": {"mode": "DISABLE"}}}))
}

fn changed(kind: &'static str, name: &str) -> Change {
    Change::Config(ObjectRef::new(kind, "shop", name))
}

#[tokio::test]
async fn pilot_knows_all_configuration_at_once_and_asks_the_api_server_for_none_of_it() {
    let (api, ca) = (FakeApi::new(), TestCa::new("mesh"));
    api.insert(&routes("web", "1s"));
    api.insert(&rule("web"));
    // Several parts of one kind.
    let long = "x".repeat(60_000);
    for number in 0..50 {
        let patch = json!({"operation": "MERGE", "value": {"metadata": {"filter_metadata": {"a": {"b": long}}}}});
        let spec = json!({"configPatches": [{"applyTo": "CLUSTER", "match": {"context": "SIDECAR_OUTBOUND"}, "patch": patch}]});
        api.insert(&object::<EnvoyFilter>(&format!("filter-{number}"), &spec));
    }
    let galley = Galley::start(&api, &ca).await;
    let mut pilot = Pilot::start(galley.address, &ca);
    let (snapshot, _) = pilot.next().await;
    let config = &snapshot.config;
    assert_eq!((config.virtual_services.size(), config.destination_rules.size(), config.keys().count()), (1, 1, 52));
    eventually("readiness", || pilot.readiness.is_ready()).await;
    assert!(!pilot.asked.load(Ordering::SeqCst), "pilot asked for configuration");
    assert!(galley.counts("galley_distribution_bytes_total") > 3_000_000, "three parts and more");

    api.insert(&routes("web", "2s"));
    assert_eq!(pilot.next().await.1, Changes::from([changed("VirtualService", "web")]));
    api.delete::<DestinationRule>(Some("shop"), "web");
    assert_eq!(pilot.next().await.1, Changes::from([changed("DestinationRule", "web")]));
    eventually("the answers", || galley.counts("galley_distribution_acknowledged_total{kind=\"DestinationRule\"}") >= 2).await;
    assert_eq!((galley.counts("galley_distribution_readers"), pilot.counts("mcp_connected")), (1, 1));

    let mut second = Pilot::start(galley.address, &ca);
    assert_eq!(second.next().await.0.config.keys().count(), 51);
    assert_eq!(galley.counts("galley_distribution_readers"), 2);
}

#[tokio::test]
async fn a_broken_connection_keeps_what_is_known_and_the_next_one_brings_what_differs() {
    let (api, ca) = (FakeApi::new(), TestCa::new("mesh"));
    for name in ["kept", "altered", "deleted"] {
        api.insert(&routes(name, "1s"));
    }
    let first = Galley::start(&api, &ca).await;
    let (target, targets) = watch::channel(first.address);
    let relay = Relay::to(targets).await;
    let mut pilot = Pilot::start(relay.address, &ca);
    let (before, _) = pilot.next().await;
    assert_eq!(first.sent(), 3);

    relay.cut.send_replace(true);
    eventually("the break is noticed", || pilot.counts("mcp_connected") == 0 && pilot.counts("mcp_failures_total") > 0).await;
    api.insert(&routes("altered", "2s"));
    api.delete::<VirtualService>(Some("shop"), "deleted");
    api.insert(&rule("new"));
    assert_eq!(pilot.source.latest().unwrap().version, before.version);
    assert!(pilot.readiness.is_ready(), "who is connected goes on being served");

    // Another replica answers.
    let second = Galley::start(&api, &ca).await;
    target.send_replace(second.address);
    relay.cut.send_replace(false);
    let (after, changes) = pilot.next().await;
    let expected = [changed("VirtualService", "altered"), changed("VirtualService", "deleted"), changed("DestinationRule", "new")];
    assert_eq!(changes, expected.into());
    assert_eq!(after.config.virtual_services.size(), 2);
    assert_eq!(second.sent(), 2, "what is held is not sent again");
    assert!(relay.accepted.load(Ordering::SeqCst) >= 2);
}

#[tokio::test]
async fn nobody_but_pilot_may_read_and_pilot_reads_from_nobody_but_galley() {
    let (api, ca) = (FakeApi::new(), TestCa::new("mesh"));
    api.insert(&routes("web", "1s"));
    let galley = Galley::start(&api, &ca).await;
    let server = || Server::Account { namespace: "istio-system".to_owned(), name: "istio-galley".to_owned() };
    let foreign = [
        SpiffeId::new("cluster.local", "shop", "istio-pilot"),
        SpiffeId::new("cluster.local", "istio-system", "web"),
        SpiffeId::new("other.local", "istio-system", "istio-pilot"),
    ];
    for identity in &foreign {
        // Earlier readers have ended, and try no more.
        let refused = galley.counts("galley_distribution_refused_total");
        let server = match &*identity.trust_domain {
            "cluster.local" => server(),
            _ => Server::Named(account("istio-galley")),
        };
        let reader = Pilot::asking(galley.address, server, certificate(&ca, identity));
        eventually("the refusal", || galley.counts("galley_distribution_refused_total") > refused).await;
        eventually("its end", || reader.counts("mcp_failures_total") >= 1).await;
        assert!(reader.source.latest().is_none());
    }
    assert_eq!(galley.sent(), 0);

    let other = Server::Named(account("istio-citadel"));
    let pilot = Pilot::asking(galley.address, other, certificate(&ca, &account("istio-pilot")));
    eventually("another server is left", || pilot.counts("mcp_failures_total") >= 2).await;
    let stranger = Pilot::start(galley.address, &TestCa::new("other"));
    eventually("another root is left", || stranger.counts("mcp_failures_total") >= 2).await;
    assert_eq!((galley.sent(), galley.counts("galley_distribution_readers")), (0, 0));
}

#[tokio::test]
async fn nothing_is_served_before_galley_knows_every_kind() {
    let (api, ca) = (FakeApi::new(), TestCa::new("mesh"));
    api.insert(&routes("web", "1s"));
    let (broken, tried) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicUsize::new(0)));
    let (on, count) = (broken.clone(), tried.clone());
    api.answer(move |call| {
        let refuses = call.target.plural == "sidecars" && on.load(Ordering::SeqCst);
        count.fetch_add(usize::from(refuses), Ordering::SeqCst);
        refuses.then(|| (500, json!({"kind": "Status", "status": "Failure", "reason": "Broken", "code": 500})))
    });
    let galley = Galley::start(&api, &ca).await;
    let mut pilot = Pilot::start(galley.address, &ca);
    eventually("pilot waits", || galley.counts("galley_distribution_readers") == 1 && tried.load(Ordering::SeqCst) > 2).await;
    assert!(pilot.source.latest().is_none() && pilot.readiness.awaited().contains(&"Sidecar from galley".to_owned()));
    assert_eq!(galley.counts("galley_distribution_bytes_total"), 0);
    broken.store(false, Ordering::SeqCst);
    assert_eq!(pilot.next().await.0.config.virtual_services.size(), 1);
}

#[tokio::test]
async fn an_object_that_is_not_understood_takes_no_other_down_and_is_told() {
    let (api, ca) = (FakeApi::new(), TestCa::new("mesh"));
    api.insert(&routes("good", "1s"));
    let mut bad = routes("bad", "1s");
    bad.spec.http[0].timeout = Some("soon".to_owned());
    api.insert(&bad);
    let galley = Galley::start(&api, &ca).await;
    let mut pilot = Pilot::start(galley.address, &ca);
    let (snapshot, _) = pilot.next().await;
    assert_eq!(snapshot.config.virtual_services.size(), 1);
    let (rejected, bad) = (pilot.source.rejected(), ObjectRef::new("VirtualService", "shop", "bad"));
    let reason = rejected.borrow().get(&bad).map(|rejected| rejected.reason.to_string());
    assert!(reason.as_ref().is_some_and(|reason| reason.contains("spec.http[0].timeout")), "{reason:?}");
    api.delete::<VirtualService>(Some("shop"), "bad");
    eventually("no complaint any more", || rejected.borrow().is_empty()).await;
}

#[tokio::test]
async fn what_pilot_needs_for_statuses_comes_along_and_other_statuses_are_no_news() {
    let (api, ca) = (FakeApi::new(), TestCa::new("mesh"));
    api.insert(&routes("web", "1s"));
    let galley = Galley::start(&api, &ca).await;
    let mut pilot = Pilot::start(galley.address, &ca);
    pilot.next().await;
    let (standings, web) = (pilot.source.standings().unwrap(), ObjectRef::new("VirtualService", "shop", "web"));
    let stored = api.get::<VirtualService>(Some("shop"), "web").unwrap();
    let standing = standings.of(&web).unwrap();
    assert_eq!((Some(standing.uid), standing.generation), (stored.metadata.uid, stored.metadata.generation));
    assert_eq!(standing.programmed, None);

    let objects: Api<VirtualService> = Api::namespaced(api.client(), "shop");
    let writes = async |conditions: Value| {
        let status = Patch::Merge(json!({"status": {"conditions": conditions}}));
        objects.patch_status("web", &PatchParams::default(), &status).await.unwrap();
    };
    let sent = galley.sent();
    let accepted = json!({"type": "Accepted", "status": "True"});
    writes(json!([accepted])).await;
    writes(json!([accepted, {"type": "Programmed", "status": "False"}])).await;
    let is_told = || standings.of(&web).unwrap().programmed.is_some_and(|condition| condition.status.as_deref() == Some("False"));
    eventually("the condition", is_told).await;
    assert_eq!(galley.sent(), sent + 1, "that galley accepts it is galley's own word");
    assert!(pilot.source.verdicts().changed().await.contains_key(&web), "whoever said so may have to take it back");
    api.delete::<VirtualService>(Some("shop"), "web");
    eventually("its end", || standings.of(&web).is_none()).await;
}
