//! From one version to the next within one MeshInstall, and back, under load: no request fails, whatever becomes of the new version.

use anyhow::Context;
use ferromesh_crds::install::{MeshInstallStatus, State};
use ferromesh_e2e::{CONTROL_PLANE, Test, run, within};
use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{Container, Pod},
};
use kube::{
    Api, ResourceExt,
    api::{ListParams, PostParams},
};
use serde_json::{Value, json};
use std::time::Duration;

use crate::{
    injector::pod,
    load::{Load, opened},
};

/// A control plane beside the other, and all pods made anew one workload after the other, on a busy machine.
pub(crate) const MOVED: Duration = Duration::from_secs(300);
/// The tag under which the images are there a second time, and one under which there are none.
const NEXT: &str = "next";
const NOWHERE: &str = "never-built";

#[tokio::test(flavor = "multi_thread")]
async fn an_upgrade_by_a_revision_fails_no_request() {
    run("an_upgrade_by_a_revision_fails_no_request", upgraded).await;
}

async fn upgraded(test: &Test) -> anyhow::Result<()> {
    test.cluster.load_images(NEXT).await?;
    let (namespace, ingress) = opened(test).await?;
    let load = Load::start(&ingress.visitor);
    let walked = walk(test, &namespace).await;
    // Whatever became of it, the next test finds the mesh as it was.
    test.mesh.apply_spec(json!({"profile": "default", "updateStrategy": {"workloads": "Rolling"}})).await?;
    let back = within(MOVED, "the mesh stands where it was", async || alone(test, "default", None).await).await;
    test.mesh.apply().await?;
    let asked = load.stop().await;
    walked.and(asked).and(back.map(drop))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tag_that_cannot_be_pulled_reaches_no_pod() {
    run("a_tag_that_cannot_be_pulled_reaches_no_pod", mistyped).await;
}

async fn mistyped(test: &Test) -> anyhow::Result<()> {
    let pods = test.cluster.api::<Pod>(&test.namespace().await?);
    let before = sidecar(&pods).await?;
    let halted = halted(test, &pods, before.image.as_deref()).await;
    test.mesh.apply().await?;
    let back = within(MOVED, "the mesh is well again", async || test.mesh.healthy().await).await;
    halted.and(back.map(drop))
}

/// In place, too, a version of which there are no images is told of, and takes nobody's sidecar; all else that was edited takes effect.
async fn halted(test: &Test, pods: &Api<Pod>, image: Option<&str>) -> anyhow::Result<()> {
    let values = json!({"global": {"proxy": {"resources": {"requests": {"cpu": "11m"}}}}});
    test.mesh.apply_spec(json!({"profile": "default", "tag": NOWHERE, "values": values})).await?;
    within(MOVED, "it is told why", async || {
        let (reason, message) = condition(&status(test).await?, "Ready")?;
        anyhow::ensure!(reason == "ComponentFailed" && message.contains("ImagePullBackOff") && message.contains("spec.tag"), "{message}");
        Ok(())
    })
    .await?;
    let (now, took) = within(MOVED, "the injector has read its settings anew", async || {
        let now = sidecar(pods).await?;
        let cpu = now.resources.as_ref().and_then(|resources| resources.requests.as_ref()?.get("cpu"));
        anyhow::ensure!(cpu.is_some_and(|cpu| cpu.0 == "11m"), "{cpu:?}");
        Ok(now)
    })
    .await?;
    eprintln!("the injector read its settings {:.0} s after it was told of the tag", took.as_secs_f64());
    anyhow::ensure!(now.image.as_deref() == image, "{:?} and not {image:?}", now.image);
    Ok(())
}

/// The sidecar that a new pod gets.
async fn sidecar(pods: &Api<Pod>) -> anyhow::Result<Container> {
    let dry_run = PostParams { dry_run: true, ..PostParams::default() };
    let spec = pods.create(&dry_run, &pod("web", &json!({"app": "web"}))).await?.spec.context("no spec")?;
    let mut containers = spec.init_containers.into_iter().flatten().chain(spec.containers);
    containers.find(|container| container.name == "istio-proxy").context("no sidecar")
}

async fn walk(test: &Test, namespace: &str) -> anyhow::Result<()> {
    let own = status(test).await?.version.context("no version")?;
    apply(test, json!({})).await?;
    within(MOVED, "the strategy alone moves nobody", async || alone(test, "default", Some(&own)).await).await?;

    never_ready(test, "default", &own).await?;
    // The right one, and back while workloads are being moved.
    let resources = json!({"requests": {"cpu": "15m"}});
    let next = json!({"tag": NEXT, "components": {"pilot": {"resources": resources}}});
    apply(test, next.clone()).await?;
    within(MOVED, "a first pod has moved", async || first_moved(test, namespace, "blue").await).await?;
    apply(test, json!({})).await?;
    let (_, took) = within(MOVED, "the old version is back, alone", async || moved(test, namespace, "default", &own).await).await?;
    eprintln!("all were back {:.0} s after the edit", took.as_secs_f64());

    apply(test, next).await?;
    let (_, took) = within(MOVED, "the new version is there, alone", async || moved(test, namespace, "blue", NEXT).await).await?;
    eprintln!("all had moved {:.0} s after the edit", took.as_secs_f64());
    Ok(())
}

/// A version of which there are no images changes nothing, and its status says why.
pub(crate) async fn never_ready(test: &Test, serving: &str, own: &str) -> anyhow::Result<()> {
    apply(test, json!({"tag": NOWHERE})).await?;
    let (told, took) = within(MOVED, "it is told why", async || {
        let (reason, message) = condition(&status(test).await?, "Ready")?;
        anyhow::ensure!(reason == "ComponentFailed" && message.contains("ImagePullBackOff"), "{reason}: {message}");
        Ok(message)
    })
    .await?;
    eprintln!("{:.0} s after the edit: {told}", took.as_secs_f64());
    anyhow::ensure!(told.ends_with(&format!("; version {own} serves on")), "{told}");
    let planes = status(test).await?.revisions;
    let serves = planes.iter().any(|plane| plane.name == serving && plane.state == Some(State::Healthy));
    anyhow::ensure!(serves && planes.len() == 2, "{planes:?}");
    Ok(())
}

/// Has the MeshInstall upgraded by a revision, and restart workloads.
pub(crate) async fn apply(test: &Test, mut spec: Value) -> anyhow::Result<()> {
    spec["profile"] = "default".into();
    spec["updateStrategy"] = json!({"type": "Revision", "workloads": "Rolling"});
    test.mesh.apply_spec(spec).await
}

pub(crate) async fn status(test: &Test) -> anyhow::Result<MeshInstallStatus> {
    test.mesh.install().await?.status.context("no status")
}

/// Reason and message of a condition.
fn condition(status: &MeshInstallStatus, type_: &str) -> anyhow::Result<(String, String)> {
    let found = status.conditions.iter().find(|condition| condition.type_ == type_);
    found.map(|condition| (condition.reason.clone(), condition.message.clone())).with_context(|| format!("no condition {type_}"))
}

/// Whether one control plane stands, at that place, and all is well.
async fn alone(test: &Test, place: &str, version: Option<&str>) -> anyhow::Result<()> {
    let status = test.mesh.healthy().await?.status.unwrap_or_default();
    let stands = status.revisions.len() == 1 && status.revisions[0].name == place;
    let is_it = version.is_none_or(|version| status.revisions[0].version.as_deref() == Some(version));
    anyhow::ensure!(stands && is_it, "{:?} {:?}", status.revisions, status.conditions);
    let deployments = test.cluster.api::<Deployment>(CONTROL_PLANE).list(&ListParams::default()).await?;
    let pilots: Vec<String> = deployments.iter().map(ResourceExt::name_any).filter(|name| name.starts_with("istio-pilot")).collect();
    anyhow::ensure!(pilots.len() == 1, "{pilots:?}");
    Ok(())
}

/// The same, and all pods of the namespace are its.
pub(crate) async fn moved(test: &Test, namespace: &str, place: &str, version: &str) -> anyhow::Result<()> {
    alone(test, place, Some(version)).await?;
    let places = places(test, namespace).await?;
    anyhow::ensure!(places.iter().all(|at| at == place), "{places:?}");
    Ok(())
}

/// Whether pods are on their way to a place.
pub(crate) async fn first_moved(test: &Test, namespace: &str, place: &str) -> anyhow::Result<()> {
    let places = places(test, namespace).await?;
    anyhow::ensure!(places.iter().any(|at| at == place), "{places:?}");
    Ok(())
}

/// The places of the control planes that have made the sidecars of pods that are ready.
async fn places(test: &Test, namespace: &str) -> anyhow::Result<Vec<String>> {
    let pods = test.cluster.ready_pods(namespace, "app").await?;
    let place = |pod: &Pod| {
        let status: Value = serde_json::from_str(pod.annotations().get("sidecar.istio.io/status").context("no sidecar")?)?;
        status["revision"].as_str().map(str::to_owned).context("no revision")
    };
    pods.iter().map(place).collect()
}
