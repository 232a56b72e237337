//! The installation: one chart, one object.

use anyhow::Context;
use ferromesh_e2e::{CONTROL_PLANE, OPERATOR, Test, run, within};
use k8s_openapi::api::{apps::v1::Deployment, core::v1::Service};
use kube::ResourceExt;
use std::time::Duration;

#[tokio::test(flavor = "multi_thread")]
async fn the_default_profile_is_healthy() {
    run("the_default_profile_is_healthy", healthy).await;
}

async fn healthy(test: &Test) -> anyhow::Result<()> {
    let install = test.mesh.healthy().await?;
    let status = install.status.context("a status")?;
    anyhow::ensure!(status.version.as_deref().is_some_and(|version| !version.is_empty()), "the status names no version");
    anyhow::ensure!(!status.inventory.is_empty(), "the status lists no objects");

    for name in ["istio-pilot", "istio-citadel", "istio-galley", "istio-sidecar-injector", "istio-ingressgateway"] {
        let deployment = test.cluster.api::<Deployment>(CONTROL_PLANE).get(name).await?;
        let available = deployment.status.and_then(|status| status.available_replicas).unwrap_or_default();
        anyhow::ensure!(available >= 1, "{name} has no replica that is available");
        test.cluster.api::<Service>(CONTROL_PLANE).get(name).await?;
    }
    test.cluster.api::<Service>(CONTROL_PLANE).get("istiod").await?;

    for namespace in [CONTROL_PLANE, OPERATOR] {
        // A test before may have restarted one.
        let (pods, _) =
            within(Duration::from_secs(60), "all pods are ready", async || test.cluster.ready_pods(namespace, "").await).await?;
        for pod in pods {
            let name = pod.name_any();
            let labels = pod.labels();
            anyhow::ensure!(namespace == OPERATOR || labels.contains_key("istio.io/rev"), "{name} carries no revision");
            let statuses = pod.status.and_then(|status| status.container_statuses).unwrap_or_default();
            let restarts: i32 = statuses.iter().map(|container| container.restart_count).sum();
            anyhow::ensure!(restarts == 0, "{name} was restarted {restarts} times");
        }
    }
    at_rest(test).await
}

/// The operator writes nothing when there is nothing to write.
async fn at_rest(test: &Test) -> anyhow::Result<()> {
    // Settled: the status of the last change is written. Then two looks must see the same version.
    let version = async || anyhow::Ok(test.mesh.install().await?.resource_version());
    within(Duration::from_secs(30), "the MeshInstall rests", async || {
        let before = version().await?;
        tokio::time::sleep(Duration::from_secs(5)).await;
        anyhow::ensure!(version().await? == before, "it was written again within 5 s");
        Ok(())
    })
    .await
    .map(drop)
}
