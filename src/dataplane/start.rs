//! What Envoy starts with, as users change it: a real pilot, a real agent that asks it, and the Envoy that comes of it.

use std::{process::Stdio, time::Duration};

use ferromesh_crds::networking::EnvoyFilter;
use serde_json::{Value, json};
use tokio::{
    process::{Child, Command},
    sync::mpsc,
    time::timeout,
};

use super::control_plane::ControlPlane;
use crate::agent::{self, AgentConfig, DataPlane, Order, envoy_arguments};
use crate::runtime::{Registry, Tasks};
use crate::testing::{block_on, envoy, eventually_seen, fake_api::FakeApi, http::try_get};

/// A mesh whose users merge that into the bootstrap of workloads with the label `app=web`.
async fn merging(value: Value) -> ControlPlane {
    let api = FakeApi::new();
    let patch = json!({"applyTo": "BOOTSTRAP", "patch": {"operation": "MERGE", "value": value}});
    let spec = json!({"workloadSelector": {"labels": {"app": "web"}}, "configPatches": [patch]});
    let filter = json!({"metadata": {"name": "start", "namespace": "shop"}, "spec": spec});
    api.insert(&serde_json::from_value::<EnvoyFilter>(filter).unwrap());
    ControlPlane::start(&api).await
}

/// The Envoy that the supervisor would start there.
fn started(config: &AgentConfig) -> Child {
    let mut command = Command::new(envoy::binary());
    command.args(envoy_arguments(&config.facts, "info", "", Duration::from_secs(1), None)).current_dir(&config.directory);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true).spawn().unwrap()
}

/// How often Envoy flushes its statistics, as it says itself, where users merge that into what it starts with.
async fn flushes_every(merged: Value) -> Value {
    let (mesh, directory) = (merging(merged).await, tempfile::tempdir().unwrap());
    let data_plane = DataPlane::Envoy { program: envoy::binary().to_owned(), overriding: None };
    let config = mesh.agent(&directory, "web-1", "web", data_plane, Duration::from_secs(3600));
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
