//! A real citadel and a real pilot on a fake API server, and real agents of pods.

use std::{collections::BTreeMap, fs, net::SocketAddr, time::Duration};

use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use serde_json::json;
use tempfile::TempDir;

use crate::agent::{AgentConfig, DataPlane, DrainTimes, Ports, ProxyFacts};
use crate::citadel::{self, CitadelConfig};
use crate::index::{self, IndexConfig};
use crate::model::{ProxyRole, ProxySettings, ProxyStatistics};
use crate::pilot::{self, PilotConfig};
use crate::runtime::{IdentityClient, IdentityConfig, Listener, Readiness, Registry, Tasks};
use crate::testing::{eventually, fake_api::FakeApi, free_port, make_lease, review_tokens};

const CITADEL: &str = "istio-citadel.istio-system.svc";

/// Citadel and pilot, and what ends with them.
pub(super) struct ControlPlane {
    pilot: SocketAddr,
    citadel: SocketAddr,
    roots: String,
    _tasks: Tasks,
    _files: TempDir,
}

// === impl ControlPlane ===

impl ControlPlane {
    /// Those of a mesh that consists of what the API server has. Tokens are `NAMESPACE/ACCOUNT`.
    pub(super) async fn start(api: &FakeApi) -> Self {
        for namespace in ["istio-system", "shop"] {
            api.insert(&serde_json::from_value::<Namespace>(json!({"metadata": {"name": namespace}})).unwrap());
        }
        review_tokens(api);
        make_lease(api, "istio-citadel");
        let (mut tasks, mut registry, files) = (Tasks::new(), Registry::default(), tempfile::tempdir().unwrap());
        let citadel = Self::citadel(api, &mut tasks, &mut registry).await;
        let roots =
            api.get::<ConfigMap>(Some("istio-system"), "istio-ca-root-cert").and_then(|map| map.data?.remove("root-cert.pem")).unwrap();
        let own = identity(citadel, &roots, &files, "istio-system/istio-pilot", Duration::from_secs(3600));
        let (client, certificate) = IdentityClient::new(own, &mut registry);
        tasks.spawn("pilot's identity", client.run(tasks.shutdown()));
        let config = IndexConfig { mesh_config: files.path().join("mesh"), ..IndexConfig::default() };
        let readiness = Readiness::new();
        let source = index::start(api.client(), config, &mut tasks, &readiness, &mut registry);
        let listener = Listener::bind(([127, 0, 0, 1], 0).into()).await.unwrap();
        let pilot = listener.local_addr().unwrap();
        let config = PilotConfig { certificate, pod: "pilot-1".to_owned() };
        let _pages = pilot::start(config, api.client(), source, listener, &mut tasks, &readiness, &mut registry);
        eventually("pilot knows the mesh", || readiness.is_ready()).await;
        Self { pilot, citadel, roots, _tasks: tasks, _files: files }
    }

    async fn citadel(api: &FakeApi, tasks: &mut Tasks, registry: &mut Registry) -> SocketAddr {
        let config = CitadelConfig {
            namespace: "istio-system".to_owned(),
            pod: "citadel-1".to_owned(),
            trust_domain: "cluster.local".to_owned(),
            default_lifetime: Duration::from_secs(3600),
            max_lifetime: Duration::from_secs(3600),
            owner: None,
        };
        let (readiness, listener) = (Readiness::new(), Listener::bind(([127, 0, 0, 1], 0).into()).await.unwrap());
        let address = listener.local_addr().unwrap();
        citadel::start(config, api.client(), listener, tasks, &readiness, registry);
        eventually("citadel has a root", || readiness.is_ready()).await;
        address
    }

    /// The agent of a pod of namespace `shop` that has the label `app` and runs as the account of that name, in that directory. Its
    /// certificates last so long.
    pub(super) fn agent(&self, directory: &TempDir, pod: &str, app: &str, data_plane: DataPlane, lifetime: Duration) -> AgentConfig {
        let facts = ProxyFacts {
            role: ProxyRole::Sidecar,
            pod: pod.to_owned(),
            namespace: "shop".to_owned(),
            service_account: app.to_owned(),
            addresses: vec![[127, 0, 0, 1].into()],
            workload: app.to_owned(),
            node: None,
            labels: [("app".to_owned(), app.to_owned())].into(),
            metadata: match data_plane {
                DataPlane::Envoy { .. } => BTreeMap::new(),
                DataPlane::Grpc { .. } => [("GENERATOR".to_owned(), "grpc".to_owned())].into(),
            },
            proxy_config: ProxySettings { discovery_address: self.pilot.to_string(), concurrency: 1, ..ProxySettings::default() },
            statistics: ProxyStatistics::default(),
            trust_domain: "cluster.local".to_owned(),
            version: "test".to_owned(),
        };
        AgentConfig {
            facts,
            ports: Ports { admin: free_port(), status: free_port(), health: free_port(), metrics: free_port(), ..Ports::default() },
            identity: identity(self.citadel, &self.roots, directory, &format!("shop/{app}"), lifetime),
            data_plane,
            directory: directory.path().to_owned(),
            probes: BTreeMap::new(),
            app_metrics: None,
            drain_times: DrainTimes::new(Duration::from_secs(1), None, None),
            dns: None,
        }
    }
}

/// How whoever has that token gets its certificates.
fn identity(citadel: SocketAddr, roots: &str, directory: &TempDir, token: &str, lifetime: Duration) -> IdentityConfig {
    let file = |name: &str, content: &str| {
        let path = directory.path().join(name);
        fs::write(&path, content).unwrap();
        path
    };
    IdentityConfig {
        address: citadel.to_string(),
        server_name: Some(CITADEL.to_owned()),
        token_file: file("token", token),
        root_file: file("root", roots),
        lifetime,
    }
}
