//! A pilot whose mesh is what a fake API server has.

use std::net::SocketAddr;

use k8s_openapi::api::core::v1::Service;
use serde_json::json;
use tempfile::TempDir;

use super::{
    client::{Client, connect, node, web},
    server::Pilot,
};
use crate::index::{self, IndexConfig, Standings};
use crate::pilot::{metrics::Metrics, problems::Problems, status::StatusWriter};
use crate::runtime::{Readiness, Registry, Tasks};
use crate::testing::{TestCa, fake_api::FakeApi};

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
        Self::start_at((TestCa::new("root"), ([127, 0, 0, 1], 0).into()), api).await
    }

    /// The same in the place of another one.
    pub(super) async fn start_at(place: (TestCa, SocketAddr), api: &FakeApi) -> Self {
        Self::of(place, api, None, StatusWriter::hasty).await
    }

    /// One whose author of statuses says of no Secret that it is missing.
    pub(super) async fn waiting_for_secrets(api: &FakeApi) -> Self {
        Self::of((TestCa::new("root"), ([127, 0, 0, 1], 0).into()), api, None, StatusWriter::waiting_for_secrets).await
    }

    /// One whose author of statuses knows this of stored objects, and doesn't ask for it.
    pub(super) async fn knowing(api: &FakeApi, standings: Standings) -> Self {
        Self::of((TestCa::new("root"), ([127, 0, 0, 1], 0).into()), api, Some(standings), StatusWriter::hasty).await
    }

    async fn of(
        place: (TestCa, SocketAddr),
        api: &FakeApi,
        standings: Option<Standings>,
        patience: impl FnOnce(StatusWriter) -> StatusWriter,
    ) -> Self {
        let (mut tasks, mut registry, problems) = (Tasks::new(), Registry::default(), Problems::new());
        let directory = tempfile::tempdir().unwrap();
        // No proxy here has an agent with the mesh's certificates.
        std::fs::write(directory.path().join("mesh"), "enableAutoMtls: false\n").unwrap();
        let config = IndexConfig { mesh_config: directory.path().join("mesh"), ..IndexConfig::default() };
        let source = index::start(api.client(), config, &mut tasks, &Readiness::new(), &mut registry);
        let writer = StatusWriter::new(api.client(), source.verdicts(), &problems, "pilot-1", Metrics::registered(&mut registry));
        tasks.spawn("status", patience(writer).knowing(standings).run(tasks.shutdown()));
        let pilot = Pilot::of_index_at(place, source, problems).await;
        Self { pilot, _tasks: tasks, _directory: directory }
    }

    /// A sidecar that wants to know that table of routes with its hosts, and nothing else.
    pub(super) async fn asks_for_routes(&self, name: &str) -> Client {
        let channel = connect(self.pilot.address, &self.pilot.ca, &web()).await;
        Client::of_table(channel, node("web-1", "shop"), name).await
    }
}

/// The next routes as text, which are taken unless there is something against them.
pub(super) async fn hears(client: &mut Client, refusal: Option<&str>) -> String {
    let response = client.hears_of_hosts().await;
    client.answers(&response, refusal).await;
    let bodies = response.resources.iter().map(|it| String::from_utf8_lossy(&it.resource.as_ref().unwrap().value).into_owned());
    bodies.collect()
}
