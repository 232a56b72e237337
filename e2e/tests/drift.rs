//! What somebody breaks is mended, and traffic does not notice.

use anyhow::Context;
use ferromesh_e2e::{CONTROL_PLANE, Cluster, OPERATOR, Test, run, within};
use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{Pod, Service},
};
use kube::{
    ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams},
};
use serde_json::json;
use std::time::Duration;

use crate::{shop::Shop, traffic::Traffic};

/// How soon an object that was deleted or edited is right again.
const MENDED: Duration = Duration::from_secs(5);
/// How soon a new pod of the control plane is ready, on a busy machine.
pub(crate) const STARTED: Duration = Duration::from_secs(60);
/// The control plane, gateways not among it.
pub(crate) const ROLES: [&str; 4] = ["istio-pilot", "istio-citadel", "istio-galley", "istio-sidecar-injector"];

#[tokio::test(flavor = "multi_thread")]
async fn what_is_broken_is_mended_under_traffic() {
    run("what_is_broken_is_mended_under_traffic", mended).await;
}

async fn mended(test: &Test) -> anyhow::Result<()> {
    let shop = Shop::open(test).await?;
    let traffic = Traffic::start(&shop.ingress.visitor);
    let deployments = test.cluster.api::<Deployment>(CONTROL_PLANE);
    let services = test.cluster.api::<Service>(CONTROL_PLANE);

    let old = deployments.get("istio-pilot").await?.uid();
    deployments.delete("istio-pilot", &DeleteParams::default()).await?;
    let (_, took) = within(MENDED, "istio-pilot is back", async || {
        let deployment = deployments.get("istio-pilot").await?;
        anyhow::ensure!(deployment.uid() != old && deployment.metadata.deletion_timestamp.is_none(), "the old one is still there");
        Ok(())
    })
    .await?;
    eprintln!("istio-pilot was back after {} ms", took.as_millis());

    let ports = services.get("istio-pilot").await?.spec.and_then(|spec| spec.ports);
    let edit = json!([{"op": "replace", "path": "/spec/ports/0/targetPort", "value": 9}]);
    services.patch("istio-pilot", &PatchParams::default(), &Patch::<()>::Json(serde_json::from_value(edit)?)).await?;
    within(MENDED, "the Service's ports are right again", async || {
        let now = services.get("istio-pilot").await?.spec.and_then(|spec| spec.ports);
        anyhow::ensure!(now == ports, "{now:?}");
        Ok(())
    })
    .await?;

    within(STARTED, "the mesh is healthy again", async || test.mesh.healthy().await).await?;
    // New configuration reaches proxies that were connected to the pilot that is gone.
    shop.send_all_to("v3").await?;
    let served = traffic.stop().await?;
    eprintln!("{served} pages meanwhile, none failed");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_control_plane_traffic_goes_on() {
    run("without_a_control_plane_traffic_goes_on", killed).await;
}

async fn killed(test: &Test) -> anyhow::Result<()> {
    let shop = Shop::open(test).await?;
    shop.send_all_to("v2").await?;
    let traffic = Traffic::start(&shop.ingress.visitor);
    // The operator first, or it would bring the others back.
    scale(&test.cluster, OPERATOR, "ferromesh-operator", 0).await?;
    let ended = without(test, &shop, &traffic).await;
    scale(&test.cluster, OPERATOR, "ferromesh-operator", 1).await?;
    ended?;

    within(STARTED, "the operator brings the control plane back", async || {
        for role in ROLES {
            let deployment = test.cluster.api::<Deployment>(CONTROL_PLANE).get(role).await?;
            let available = deployment.status.and_then(|status| status.available_replicas).unwrap_or_default();
            anyhow::ensure!(available >= 1, "{role} has no replica that is available");
        }
        test.mesh.healthy().await
    })
    .await?;
    shop.send_all_to("v1").await?;
    let served = traffic.stop().await?;
    eprintln!("{served} pages meanwhile, none failed");
    Ok(())
}

async fn without(test: &Test, shop: &Shop, traffic: &Traffic) -> anyhow::Result<()> {
    gone(&test.cluster, OPERATOR, "ferromesh-operator").await?;
    for role in ROLES {
        // At once, as a node's end would.
        scale(&test.cluster, CONTROL_PLANE, role, 0).await?;
        let selector = selector(&test.cluster, CONTROL_PLANE, role).await?;
        let kill = ["delete", "pods", "-n", CONTROL_PLANE, "-l", &selector, "--force", "--grace-period=0", "--wait=false"];
        test.cluster.kubectl(&kill).await?;
    }
    for role in ROLES {
        gone(&test.cluster, CONTROL_PLANE, role).await?;
    }
    let before = traffic.served();
    let limit = Duration::from_secs(60);
    within(limit, "200 pages without a control plane", async || {
        let served = traffic.served() - before;
        anyhow::ensure!(served >= 200, "{served} pages");
        Ok(())
    })
    .await?;
    let seen = shop.versions(40, &[]).await?;
    anyhow::ensure!(seen.keys().eq(["v2"]), "routes hold on: {seen:?}");
    Ok(())
}

/// Sets a Deployment's number of pods.
pub(crate) async fn scale(cluster: &Cluster, namespace: &str, deployment: &str, replicas: i32) -> anyhow::Result<()> {
    let scaled = json!({"spec": {"replicas": replicas}});
    let deployments = cluster.api::<Deployment>(namespace);
    deployments.patch(deployment, &PatchParams::default(), &Patch::Merge(&scaled)).await.context("scaling")?;
    Ok(())
}

/// The labels by which a Deployment knows its pods.
pub(crate) async fn selector(cluster: &Cluster, namespace: &str, deployment: &str) -> anyhow::Result<String> {
    let spec = cluster.api::<Deployment>(namespace).get(deployment).await?.spec.context("a Deployment without spec")?;
    let labels = spec.selector.match_labels.unwrap_or_default();
    Ok(labels.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(","))
}

/// Waits until a Deployment has no pod, not even one that is ending.
pub(crate) async fn gone(cluster: &Cluster, namespace: &str, deployment: &str) -> anyhow::Result<()> {
    let pods = ListParams::default().labels(&selector(cluster, namespace, deployment).await?);
    let limit = Duration::from_secs(45);
    within(limit, &format!("{deployment} has no pod"), async || {
        let left = cluster.api::<Pod>(namespace).list(&pods).await?;
        anyhow::ensure!(left.items.is_empty(), "{} pods", left.items.len());
        Ok(())
    })
    .await
    .map(drop)
}
