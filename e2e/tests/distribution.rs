//! A mesh whose pilot gets its configuration from galley: it routes as any other, and has no right to read it in Kubernetes.

use anyhow::Context;
use ferromesh_e2e::{CONTROL_PLANE, Test, run, within};
use k8s_openapi::api::{apps::v1::Deployment, core::v1::Pod, rbac::v1::ClusterRoleBinding};
use kube::{Api, ResourceExt, api::ListParams};
use serde_json::json;
use std::time::Duration;

use crate::{bookinfo, drift::selector, shop::Shop, tutorials};

/// New pods of pilot and galley, and the end of the old ones.
const ROLLED: Duration = Duration::from_secs(180);
const PILOT: &str = "istio-pilot";
const GALLEY: &str = "istio-galley";
const RIGHT: &str = "ferromesh-pilot-configuration";

#[tokio::test(flavor = "multi_thread")]
async fn pilot_routes_by_what_galley_distributes() {
    run("pilot_routes_by_what_galley_distributes", async |test| {
        let switched = switch(test, true).await;
        let ended = match switched {
            Ok(()) => distributed(test).await,
            error => error,
        };
        // Whatever came of it: later tests have the mesh of everybody else.
        let restored = switch(test, false).await.context("the mesh can't be restored");
        ended.and(restored)
    })
    .await;
}

/// Has pilot get its configuration from galley, or from Kubernetes again.
async fn switch(test: &Test, use_mcp: bool) -> anyhow::Result<()> {
    let values = if use_mcp { json!({"global": {"useMCP": true}}) } else { json!({}) };
    test.mesh.apply_with(values).await?;
    let (_, took) = within(ROLLED, "the mesh is healthy, and its new pods alone are there", async || {
        test.mesh.healthy().await?;
        for (name, argument) in [(PILOT, "--config-source=galley"), (GALLEY, "--distribute=0.0.0.0:9901")] {
            let pods = test.cluster.api::<Pod>(CONTROL_PLANE);
            let pods = pods.list(&ListParams::default().labels(&selector(&test.cluster, CONTROL_PLANE, name).await?)).await?;
            anyhow::ensure!(!pods.items.is_empty(), "{name} has no pod");
            for pod in &pods {
                let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
                let told = containers.flat_map(|it| it.args.iter().flatten()).any(|told| told == argument);
                anyhow::ensure!(told == use_mcp, "{} is still an old one", pod.name_any());
            }
        }
        Ok(())
    })
    .await?;
    eprintln!("useMCP={use_mcp} after {:.1} s", took.as_secs_f64());
    let bound = Api::<ClusterRoleBinding>::all(test.cluster.client()).get_opt(RIGHT).await?.is_some();
    anyhow::ensure!(bound != use_mcp, "pilot's right to read configuration: {bound}");
    for resource in ["virtualservices.networking.istio.io", "authorizationpolicies.security.istio.io"] {
        let account = format!("--as=system:serviceaccount:{CONTROL_PLANE}:{PILOT}");
        let said = test.cluster.try_kubectl(&["auth", "can-i", "list", resource, "-A", &account], None).await?;
        anyhow::ensure!(said.ok != use_mcp, "may pilot list {resource}? {}", said.out.trim());
    }
    Ok(())
}

async fn distributed(test: &Test) -> anyhow::Result<()> {
    // Each has a Gateway for all hosts, of which the oldest one holds.
    bookinfo::routes(test).await.context("routes of the samples")?;
    test.clean_up().await;
    tutorials::faults(test).await.context("faults")?;
    test.clean_up().await;
    tutorials::versions(test).await.context("splits and versions")?;
    test.clean_up().await;
    without_galley(test).await.context("galley is killed")
}

/// While galley is away routes hold, for a pilot and proxies that are there; a change follows when galley is back.
async fn without_galley(test: &Test) -> anyhow::Result<()> {
    let shop = Shop::open(test).await?;
    shop.send_all_to("v2").await?;
    let labels = selector(&test.cluster, CONTROL_PLANE, GALLEY).await?;
    test.cluster.kubectl(&["delete", "pods", "-n", CONTROL_PLANE, "-l", &labels, "--force", "--grace-period=0", "--wait=false"]).await?;
    let seen = shop.versions(40, &[]).await?;
    anyhow::ensure!(seen.keys().eq(["v2"]), "routes hold on: {seen:?}");
    within(ROLLED, "a new galley is there", async || {
        let status = test.cluster.api::<Deployment>(CONTROL_PLANE).get(GALLEY).await?.status.unwrap_or_default();
        anyhow::ensure!(status.available_replicas.unwrap_or_default() >= 1, "it is not available");
        test.mesh.healthy().await
    })
    .await?;
    shop.send_all_to("v3").await
}
