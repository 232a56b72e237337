//! What Envoy starts with, as users change it: a real pilot, a real agent that asks it, and the Envoy that comes of it.

use std::{collections::BTreeMap, fs, process::Stdio, sync::Arc, time::Duration};

use ferromesh_crds::networking::EnvoyFilter;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    process::{Child, Command},
    sync::{mpsc, watch},
    time::timeout,
};
use tonic::Response;

use crate::agent::{self, AgentConfig, DrainTimes, Order, Ports, ProxyFacts, envoy_arguments};
use crate::index::{self, IndexConfig};
use crate::model::{ProxyRole, ProxySettings, ProxyStatistics, SpiffeId};
use crate::pilot::{self, PilotConfig};
use crate::runtime::{
    CertificateResponse, ClientAuth, IdentityConfig, Limits, Listener, Readiness, Registry, Security, Shutdown, Tasks, Trigger, ca_routes,
    server_config,
};
use crate::testing::{TestCa, block_on, envoy, eventually, eventually_seen, fake_api::FakeApi, free_port, http::try_get};

const WEB: &str = "spiffe://cluster.local/ns/shop/sa/web";
const CITADEL: &str = "istio-citadel.istio-system.svc";

/// A mesh with an EnvoyFilter, and what ends with it.
struct ControlPlane {
    ca: Arc<TestCa>,
    pilot: std::net::SocketAddr,
    citadel: std::net::SocketAddr,
    _tasks: Tasks,
    _citadel: Trigger,
    _files: TempDir,
}

// === impl ControlPlane ===

impl ControlPlane {
    /// One whose users merge that into the bootstrap of workloads with the label `app=web`.
    async fn merging(value: Value) -> Self {
        let (ca, api, files) = (Arc::new(TestCa::new("mesh")), FakeApi::new(), tempfile::tempdir().unwrap());
        let patch = json!({"applyTo": "BOOTSTRAP", "patch": {"operation": "MERGE", "value": value}});
        let spec = json!({"workloadSelector": {"labels": {"app": "web"}}, "configPatches": [patch]});
        let filter = json!({"metadata": {"name": "start", "namespace": "shop"}, "spec": spec});
        api.insert(&serde_json::from_value::<EnvoyFilter>(filter).unwrap());
        let (mut tasks, readiness, mut registry) = (Tasks::new(), Readiness::new(), Registry::default());
        let config = IndexConfig { mesh_config: files.path().join("mesh"), ..IndexConfig::default() };
        let source = index::start(api.client(), config, &mut tasks, &readiness, &mut registry);
        let own = ca.workload(&SpiffeId::new("cluster.local", "istio-system", "istio-pilot"), &["istio-pilot.istio-system.svc"]);
        let (publish, certificate) = watch::channel(Some(own));
        let listener = Listener::bind(([127, 0, 0, 1], 0).into()).await.unwrap();
        let address = listener.local_addr().unwrap();
        let config = PilotConfig { certificate, pod: "pilot-1".to_owned() };
        let _pages = pilot::start(config, api.client(), source, listener, &mut tasks, &readiness, &mut registry);
        eventually("pilot knows the mesh", || readiness.is_ready()).await;
        drop(publish);
        let (citadel, trigger) = Self::citadel(ca.clone()).await;
        Self { ca, pilot: address, citadel, _tasks: tasks, _citadel: trigger, _files: files }
    }

    /// Signs whatever it is asked to.
    async fn citadel(ca: Arc<TestCa>) -> (std::net::SocketAddr, Trigger) {
        let own = ca.workload(&SpiffeId::new("cluster.local", "istio-system", "istio-citadel"), &[CITADEL]);
        let routes = ca_routes(move |request| {
            let leaf = ca.sign_request(&request.into_inner().csr, &[WEB]);
            let cert_chain = vec![leaf.pem(), ca.pem()];
            async move { Ok(Response::new(CertificateResponse { cert_chain })) }
        });
        let listener = Listener::bind(([127, 0, 0, 1], 0).into()).await.unwrap();
        let address = listener.local_addr().unwrap();
        let tls = server_config(own.chain.clone(), own.key(), ClientAuth::None).unwrap();
        let (trigger, shutdown) = Shutdown::channel();
        tokio::spawn(listener.serve(routes, Security::fixed(tls), Limits::default(), shutdown));
        (address, trigger)
    }

    /// The agent of pod web-1, in that directory.
    fn agent(&self, directory: &TempDir) -> AgentConfig {
        fs::write(directory.path().join("token"), "token").unwrap();
        fs::write(directory.path().join("root"), self.ca.pem()).unwrap();
        let facts = ProxyFacts {
            role: ProxyRole::Sidecar,
            pod: "web-1".to_owned(),
            namespace: "shop".to_owned(),
            service_account: "web".to_owned(),
            addresses: vec![[127, 0, 0, 1].into()],
            workload: "web".to_owned(),
            node: None,
            labels: [("app".to_owned(), "web".to_owned())].into(),
            metadata: BTreeMap::new(),
            proxy_config: ProxySettings { discovery_address: self.pilot.to_string(), concurrency: 1, ..ProxySettings::default() },
            statistics: ProxyStatistics::default(),
            trust_domain: "cluster.local".to_owned(),
            version: "test".to_owned(),
        };
        let identity = IdentityConfig {
            address: self.citadel.to_string(),
            server_name: Some(CITADEL.to_owned()),
            token_file: directory.path().join("token"),
            root_file: directory.path().join("root"),
            lifetime: Duration::from_secs(3600),
        };
        AgentConfig {
            facts,
            ports: Ports { admin: free_port(), status: free_port(), health: free_port(), metrics: free_port(), ..Ports::default() },
            identity,
            envoy: envoy::binary().to_owned(),
            overriding: None,
            directory: directory.path().to_owned(),
            probes: BTreeMap::new(),
            app_metrics: None,
            drain_times: DrainTimes::new(Duration::from_secs(1), None, None),
            dns: None,
        }
    }
}

/// The Envoy that the supervisor would start there.
fn started(config: &AgentConfig) -> Child {
    let mut command = Command::new(&config.envoy);
    command.args(envoy_arguments(&config.facts, "info", "", Duration::from_secs(1), None)).current_dir(&config.directory);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true).spawn().unwrap()
}

/// How often Envoy flushes its statistics, as it says itself, where users merge that into what it starts with.
async fn flushes_every(merged: Value) -> Value {
    let (mesh, directory) = (ControlPlane::merging(merged).await, tempfile::tempdir().unwrap());
    let config = mesh.agent(&directory);
    let (mut tasks, (orders, mut ordered)) = (Tasks::new(), mpsc::channel(4));
    let listeners = agent::bind(&config).await.unwrap();
    let _drain = agent::start(config.clone(), listeners, orders, &mut tasks, Registry::default());
    let order = timeout(Duration::from_secs(60), ordered.recv()).await.expect("an order in time");
    assert_eq!(order, Some(Order::StartEnvoy));
    let mut envoy = started(&config);
    let mut dump = String::new();
    eventually_seen("Envoy says with what it started", async || {
        let page = try_get(config.ports.admin, "/config_dump", &[]).await.ok().filter(|page| page.status == 200);
        let found = page.is_some();
        dump = page.map(|page| page.body).unwrap_or_default();
        found
    })
    .await;
    let dump: Value = serde_json::from_str(&dump).unwrap();
    envoy.kill().await.unwrap();
    let configs = dump["configs"].as_array().unwrap();
    configs.iter().find_map(|it| it.get("bootstrap")).unwrap()["stats_flush_interval"].clone()
}

#[test]
fn envoy_starts_with_what_a_user_merges_into_its_bootstrap_and_without_what_it_can_not_start_with() {
    block_on(async {
        assert_eq!(flushes_every(json!({"stats_flush_interval": "0.5s"})).await, "0.500s");
        let own = flushes_every(json!({})).await;
        assert_ne!(own, "0.500s");
        // Envoy takes five minutes at most.
        assert_eq!(flushes_every(json!({"stats_flush_interval": "400s"})).await, own);
    });
}
