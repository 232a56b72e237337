//! A pilot whose mesh is what a fake API server has.

use k8s_openapi::api::core::v1::Service;
use serde_json::json;
use tempfile::TempDir;

use super::{
    client::{Client, connect, names, node, subscription, web},
    server::Pilot,
};
use crate::compile::ResourceType;
use crate::index::{self, IndexConfig, Standings};
use crate::pilot::{metrics::Metrics, problems::Problems, status::StatusWriter};
use crate::runtime::{Readiness, Registry, Tasks};
use crate::testing::fake_api::FakeApi;

/// It, and what ends with it.
pub(super) struct OnApi {
    pub(super) pilot: Pilot,
    _tasks: Tasks,
    _directory: TempDir,
}

/// A Service with an HTTP port.
pub(super) fn service(name: &str, port: u16) -> Service {
    let ports = json!([{"name": "http", "port": port}]);
    let spec = json!({"clusterIP": "10.96.0.1", "clusterIPs": ["10.96.0.1"], "ports": ports});
    serde_json::from_value(json!({"metadata": {"name": name, "namespace": "shop"}, "spec": spec})).unwrap()
}

// === impl OnApi ===

impl OnApi {
    pub(super) async fn start(api: &FakeApi) -> Self {
        Self::knowing(api, None).await
    }

    /// One whose author of statuses knows this of stored objects, and doesn't ask for it.
    pub(super) async fn knowing(api: &FakeApi, standings: Option<Standings>) -> Self {
        let (mut tasks, mut registry, problems) = (Tasks::new(), Registry::default(), Problems::new());
        let directory = tempfile::tempdir().unwrap();
        let config = IndexConfig { mesh_config: directory.path().join("mesh"), ..IndexConfig::default() };
        let source = index::start(api.client(), config, &mut tasks, &Readiness::new(), &mut registry);
        let writer = StatusWriter::new(api.client(), source.verdicts(), &problems, "pilot-1", Metrics::registered(&mut registry));
        tasks.spawn("status", writer.knowing(standings).run(tasks.shutdown()));
        let pilot = Pilot::telling(problems, source.into_stream()).await;
        Self { pilot, _tasks: tasks, _directory: directory }
    }

    /// A sidecar that wants to know that table of routes, and nothing else.
    pub(super) async fn asks_for_routes(&self, name: &str) -> Client {
        let channel = connect(self.pilot.address, &self.pilot.ca, &web()).await;
        Client::open(channel, node("web-1", "shop"), subscription(ResourceType::Route, &[name])).await.unwrap()
    }
}

/// The next routes as text, which are taken unless there is something against them.
pub(super) async fn hears(client: &mut Client, refusal: Option<&str>) -> String {
    let response = client.hears().await.unwrap();
    client.answers(&response, refusal).await;
    assert_eq!(names(&response).len(), 1);
    response.resources.first().map_or_else(String::new, |it| String::from_utf8_lossy(&it.resource.as_ref().unwrap().value).into_owned())
}
