//! Chart and MeshInstall go in either order, come back, and never keep a pod from starting. This test is the last, and leaves nothing.

use anyhow::Context;
use ferromesh_e2e::{CONTROL_PLANE, Mesh, OPERATOR, Test, run, within};
use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{Namespace, Pod, Secret},
};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, PostParams},
};
use serde_json::json;
use std::time::Duration;

/// Garbage collection of all that a MeshInstall owns.
const COLLECTED: Duration = Duration::from_secs(60);
const HEALTHY: Duration = Duration::from_secs(120);

#[tokio::test(flavor = "multi_thread")]
async fn chart_and_mesh_go_in_either_order() {
    run("chart_and_mesh_go_in_either_order", either_order).await;
}

async fn either_order(test: &Test) -> anyhow::Result<()> {
    let mesh = &test.mesh;
    upgrade(mesh).await?;
    chart_first(test).await?;

    mesh.install_chart(&[]).await?;
    mesh.test_chart().await.context("before there is a MeshInstall")?;
    mesh.apply().await?;
    let (_, took) = within(HEALTHY, "a second installation is healthy", async || mesh.healthy().await).await?;
    eprintln!("the second installation was healthy {:.1} s after its MeshInstall", took.as_secs_f64());
    mesh_first(test).await
}

/// A value and back: no conflict of field managers, and the mesh does not notice.
async fn upgrade(mesh: &Mesh) -> anyhow::Result<()> {
    for level in ["logLevel=debug", "logLevel=info"] {
        mesh.install_chart(&[level]).await.with_context(|| format!("upgrade with {level}"))?;
    }
    within(HEALTHY, "the mesh is healthy after the upgrades", async || mesh.healthy().await).await.map(drop)
}

/// The chart goes: the mesh runs on; a new chart takes it over as it is; then the mesh goes while there is no operator.
async fn chart_first(test: &Test) -> anyhow::Result<()> {
    let mesh = &test.mesh;
    let pilot = pilot(test).await?.uid();
    mesh.uninstall_chart().await?;
    let left: Vec<String> = mesh.webhooks().await?.into_iter().filter(|name| name.contains("ferromesh-operator")).collect();
    anyhow::ensure!(left.is_empty(), "the chart's webhook outlives it: {left:?}");
    anyhow::ensure!(pilot == self::pilot(test).await?.uid(), "the mesh does not outlive the chart");
    pods_start(test, true).await.context("while the operator is away")?;

    mesh.install_chart(&[]).await?;
    within(HEALTHY, "the new operator takes the mesh over", async || mesh.healthy().await).await?;
    anyhow::ensure!(pilot == self::pilot(test).await?.uid(), "the new operator made a new pilot");

    mesh.uninstall_chart().await?;
    mesh.delete().await?;
    cleared(test).await
}

/// The mesh goes, then the chart.
async fn mesh_first(test: &Test) -> anyhow::Result<()> {
    test.mesh.delete().await?;
    within(COLLECTED, "the mesh's webhooks are gone", async || {
        let left: Vec<String> = test.mesh.webhooks().await?.into_iter().filter(|name| !name.contains("ferromesh-operator")).collect();
        anyhow::ensure!(left.is_empty(), "{left:?}");
        Ok(())
    })
    .await?;
    pods_start(test, false).await.context("after the mesh is gone")?;
    test.mesh.uninstall_chart().await?;
    cleared(test).await
}

async fn pilot(test: &Test) -> anyhow::Result<Deployment> {
    Ok(test.cluster.api::<Deployment>(CONTROL_PLANE).get("istio-pilot").await?)
}

/// Nothing is left and nothing sticks, but what was promised to stay.
async fn cleared(test: &Test) -> anyhow::Result<()> {
    let (_, took) = within(COLLECTED, "nothing is left", async || test.mesh.gone().await).await?;
    eprintln!("nothing was left {:.1} s later", took.as_secs_f64());
    for namespace in [CONTROL_PLANE, OPERATOR] {
        let namespace = Api::<Namespace>::all(test.cluster.client()).get(namespace).await?;
        anyhow::ensure!(namespace.metadata.deletion_timestamp.is_none(), "namespace {} is stuck in its deletion", namespace.name_any());
    }
    test.cluster.api::<Secret>(CONTROL_PLANE).get("istio-ca-secret").await.context("the CA's key is to outlive the mesh")?;
    pods_start(test, false).await.context("after all is gone")
}

/// A pod can be created in a namespace of the mesh; with a sidecar if there is an injector.
async fn pods_start(test: &Test, injected: bool) -> anyhow::Result<()> {
    let namespace = test.namespace().await?;
    let pods = test.cluster.api::<Pod>(&namespace);
    let pod: Pod = serde_json::from_value(json!({
        "metadata": {"name": "probe"}, "spec": {"containers": [{"name": "app", "image": "localhost/ferromesh/pause:1", "imagePullPolicy": "Never"}]},
    }))?;
    let (created, _) = within(Duration::from_secs(15), "a pod can be created", async || {
        // A new namespace has its service account a moment later.
        Ok(pods.create(&PostParams::default(), &pod).await?)
    })
    .await?;
    let spec = created.spec.context("a pod without spec")?;
    let mut containers = spec.containers.iter().chain(spec.init_containers.iter().flatten());
    let found = containers.any(|container| container.name == "istio-proxy");
    anyhow::ensure!(found == injected, "sidecar: {found}, wanted: {injected}");
    pods.delete("probe", &DeleteParams::default().grace_period(0)).await?;
    Ok(())
}
