//! Add-ons: their objects come and go with the MeshInstall, the API server takes them all, and nothing waits for them.

use anyhow::Context;
use ferromesh_crds::MeshInstall;
use ferromesh_e2e::{CONTROL_PLANE, MESH, Test, run, within};
use kube::{
    Api,
    api::{Patch, PatchParams},
};
use serde_json::{Value, json};
use std::{collections::BTreeSet, time::Duration};

/// A change of the MeshInstall, and a pod whose image is on the node.
const SOON: Duration = Duration::from_secs(90);
const ADDONS: [&str; 4] = ["grafana", "kiali", "prometheus", "tracing"];

#[tokio::test(flavor = "multi_thread")]
async fn add_ons_come_and_go_with_the_meshinstall() {
    run("add_ons_come_and_go_with_the_meshinstall", added).await;
}

async fn added(test: &Test) -> anyhow::Result<()> {
    let before = inventory(test).await?;
    let ended = with_addons(test).await;
    set(test, false).await?;
    ended?;
    within(SOON, "nothing of them is left", async || {
        let left = inventory(test).await?;
        anyhow::ensure!(left == before, "{:?}", left.difference(&before));
        Ok(())
    })
    .await
    .map(drop)
}

async fn with_addons(test: &Test) -> anyhow::Result<()> {
    let cluster = &test.cluster;
    set(test, true).await?;
    within(SOON, "they are in the status", async || {
        let components = test.mesh.install().await?.status.context("no status")?.components;
        anyhow::ensure!(ADDONS.iter().all(|name| components.contains_key(*name)), "{:?}", components.keys());
        Ok(())
    })
    .await?;
    // Their images may not be had here: the mesh is well all the same.
    within(SOON, "the mesh is healthy", async || test.mesh.healthy().await).await?;
    within(SOON, "each has its pod", async || {
        for name in ["prometheus", "grafana", "kiali", "istio-tracing"] {
            let pods = cluster.pods(CONTROL_PLANE, &format!("app.kubernetes.io/name={name}")).await?;
            anyhow::ensure!(pods.len() == 1, "{name} has {} pods: {CONTROL_PLANE} may refuse them", pods.len());
        }
        Ok(())
    })
    .await
    .map(drop)
}

async fn set(test: &Test, enabled: bool) -> anyhow::Result<()> {
    let addons: Value =
        ADDONS.iter().map(|name| ((*name).to_owned(), json!({"enabled": enabled}))).collect::<serde_json::Map<_, _>>().into();
    let installs: Api<MeshInstall> = Api::all(test.cluster.client());
    installs.patch(MESH, &PatchParams::default(), &Patch::Merge(json!({"spec": {"addons": addons}}))).await?;
    Ok(())
}

/// All objects of the mesh.
async fn inventory(test: &Test) -> anyhow::Result<BTreeSet<String>> {
    let status = test.mesh.install().await?.status.context("no status")?;
    Ok(status.inventory.iter().map(|entry| format!("{} {}", entry.kind, entry.name)).collect())
}
