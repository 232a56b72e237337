//! Pods whose traffic their node redirects: they need no rights for it, and those that the node missed are mended.

use anyhow::Context;
use ferromesh_crds::MeshInstall;
use ferromesh_e2e::{Cluster, Forward, Test, run, sample, within};
use k8s_openapi::api::{
    apps::v1::DaemonSet,
    core::v1::{Namespace, Pod},
};
use kube::{
    Api, ResourceExt,
    api::{ListParams, Patch, PatchParams},
};
use serde_json::{Value, json};
use std::{env, fs, path::Path, time::Duration};

/// How soon the mesh has followed its MeshInstall.
const FOLLOWED: Duration = Duration::from_secs(90);
/// Pods, their images already on the node.
const START: Duration = Duration::from_secs(90);
/// A container that failed is started again after a while.
const MENDED: Duration = Duration::from_secs(120);
/// The nodes' part, and its namespace.
const PART: &str = "istio-cni-node";
const NODES: &str = "istio-cni";
const LABEL: &str = "cni.istio.io/uninitialized";

#[tokio::test(flavor = "multi_thread")]
async fn restricted_pods_are_redirected_by_their_node() {
    run("restricted_pods_are_redirected_by_their_node", redirected).await;
}

async fn redirected(test: &Test) -> anyhow::Result<()> {
    with_nodes_part(test, json!({}), async |test| {
        let inside = restricted(test).await?;
        let cluster = &test.cluster;
        deploy(cluster, &inside).await?;
        let (pods, _) = within(START, "restricted pods are ready", async || cluster.ready_pods(&inside, "").await).await?;
        for pod in &pods {
            let containers = pod.spec.as_ref().and_then(|spec| spec.init_containers.clone()).unwrap_or_default();
            let names: Vec<&str> = containers.iter().map(|container| container.name.as_str()).collect();
            anyhow::ensure!(names.contains(&"istio-validation") && !names.contains(&"istio-init"), "{names:?}");
        }
        captured(cluster, &inside).await
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_that_their_node_missed_are_mended_in_place() {
    run("pods_that_their_node_missed_are_mended_in_place", mended).await;
}

/// The node's part is away while pods start, as before it was there for the first time.
async fn mended(test: &Test) -> anyhow::Result<()> {
    with_nodes_part(test, json!({}), async |test| {
        let inside = missed(test).await?;
        let before = uids(&test.cluster, &inside).await?;
        back(test).await?;
        within(MENDED, "they run", async || test.cluster.ready_pods(&inside, "").await).await?;
        anyhow::ensure!(uids(&test.cluster, &inside).await? == before, "they are not the same pods");
        captured(&test.cluster, &inside).await
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_that_their_node_missed_are_labelled_if_asked() {
    run("pods_that_their_node_missed_are_labelled_if_asked", labelled).await;
}

async fn labelled(test: &Test) -> anyhow::Result<()> {
    with_nodes_part(test, json!({"repair": {"labelPods": true}}), async |test| {
        let inside = missed(test).await?;
        back(test).await?;
        within(MENDED, "they are labelled", async || {
            let pods = test.cluster.pods(&inside, &format!("{LABEL}=true")).await?;
            anyhow::ensure!(pods.len() == 2, "{} pods", pods.len());
            Ok(())
        })
        .await
        .map(drop)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_that_their_node_missed_are_deleted_if_asked() {
    run("pods_that_their_node_missed_are_deleted_if_asked", deleted).await;
}

async fn deleted(test: &Test) -> anyhow::Result<()> {
    with_nodes_part(test, json!({"repair": {"deletePods": true}}), async |test| {
        let inside = missed(test).await?;
        let before = uids(&test.cluster, &inside).await?;
        back(test).await?;
        within(MENDED, "others run in their place", async || test.cluster.ready_pods(&inside, "").await).await?;
        let now = uids(&test.cluster, &inside).await?;
        anyhow::ensure!(now.iter().all(|uid| !before.contains(uid)), "{before:?} and then {now:?}");
        captured(&test.cluster, &inside).await
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_start_while_the_nodes_part_is_switched_off() {
    run("pods_start_while_the_nodes_part_is_switched_off", switched_off).await;
}

/// The injector hears of it later than the operator: pods that it still leaves to the node must find somebody there.
async fn switched_off(test: &Test) -> anyhow::Result<()> {
    with_nodes_part(test, json!({}), async |test| {
        let inside = test.namespace().await?;
        let installs: Api<MeshInstall> = Api::all(test.cluster.client());
        let name = test.mesh.install().await?.name_any();
        installs.patch(&name, &PatchParams::default(), &Patch::Merge(&off())).await?;
        deploy(&test.cluster, &inside).await?;
        within(START, "pods are ready", async || test.cluster.ready_pods(&inside, "").await).await?;
        captured(&test.cluster, &inside).await
    })
    .await
}

/// What takes the nodes' part out of a MeshInstall.
fn off() -> Value {
    json!({"spec": {"components": null, "values": null}})
}

/// A mesh whose nodes redirect, for as long as `body` takes; afterwards nothing of it is left on the node.
async fn with_nodes_part(test: &Test, mut values: Value, body: impl AsyncFnOnce(&Test) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let folders = Folders::of_this_cluster();
    if let Some(folders) = &folders {
        values["cniBinDir"] = json!(folders.bin);
        values["cniConfDir"] = json!(folders.conf);
    }
    configure(test, &json!({"spec": {"components": {"cni": {"enabled": true}}, "values": {"cni": values}}})).await?;
    let ended = body(test).await;
    configure(test, &off()).await?;
    ended?;
    let Some(folders) = folders else { return Ok(()) };
    within(FOLLOWED, "nothing is left on the node", async || {
        anyhow::ensure!(!Path::new(&folders.bin).join("istio-cni").exists(), "the program");
        let chain = fs::read_to_string(Path::new(&folders.conf).join("10-ferromesh.conflist"))?;
        anyhow::ensure!(!chain.contains("istio-cni"), "{chain}");
        let namespace = Api::<Namespace>::all(test.cluster.client()).get_opt(NODES).await?;
        anyhow::ensure!(namespace.is_none(), "the namespace {NODES}");
        Ok(())
    })
    .await
    .map(drop)
}

/// Where the local cluster's node has its network; none of another cluster, which has the usual ones.
struct Folders {
    bin: String,
    conf: String,
}

// === impl Folders ===

impl Folders {
    fn of_this_cluster() -> Option<Self> {
        if env::var_os("CONTEXT").is_some_and(|context| !context.is_empty()) {
            return None;
        }
        let bin = ["/usr/lib/cni", "/opt/cni/bin", "/usr/libexec/cni"].into_iter().find(|folder| Path::new(folder).join("ptp").exists())?;
        Some(Self { bin: bin.to_owned(), conf: "/run/ferromesh/config/cni".to_owned() })
    }
}

/// Changes the MeshInstall and waits until the mesh is so.
async fn configure(test: &Test, patch: &Value) -> anyhow::Result<()> {
    let installs: Api<MeshInstall> = Api::all(test.cluster.client());
    let name = test.mesh.install().await?.name_any();
    installs.patch(&name, &PatchParams::default(), &Patch::Merge(patch)).await?;
    within(FOLLOWED, "the mesh is as its MeshInstall says", async || test.mesh.healthy().await).await.map(drop)
}

/// A namespace of the mesh that takes no pod with rights.
async fn restricted(test: &Test) -> anyhow::Result<String> {
    let namespace = test.namespace().await?;
    let labels = json!({"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}});
    let namespaces: Api<Namespace> = Api::all(test.cluster.client());
    namespaces.patch(&namespace, &PatchParams::default(), &Patch::Merge(&labels)).await?;
    Ok(namespace)
}

/// A server and a client as the restricted level wants them: bookinfo's details, asked by its productpage.
async fn deploy(cluster: &Cluster, namespace: &str) -> anyhow::Result<()> {
    let text = fs::read_to_string(sample("kube/bookinfo.yaml"))?;
    let wanted = |document: &&str| document.contains("details") || document.contains("productpage");
    let unwanted = |document: &&str| document.contains("name: reviews") || document.contains("name: ratings");
    let documents: Vec<&str> = text.split("\n---\n").filter(wanted).filter(|document| !unwanted(document)).collect();
    let mut application = documents.join("\n---\n");
    if let Ok(hub) = env::var("HUB") {
        application = application.replace("image: ferromesh/", &format!("image: {hub}/"));
    }
    cluster.apply(namespace, &application).await
}

/// Whether what the client asks the server goes through both proxies: the server takes mutual TLS alone, which the client itself can not
/// speak.
async fn captured(cluster: &Cluster, namespace: &str) -> anyhow::Result<()> {
    let strict = json!({"apiVersion": "security.istio.io/v1", "kind": "PeerAuthentication", "metadata": {"name": "default"},
        "spec": {"mtls": {"mode": "STRICT"}}});
    cluster.apply(namespace, &strict.to_string()).await?;
    let client = cluster.ready_pods(namespace, "app=productpage").await?.first().context("a client")?.name_any();
    let server = cluster.ready_pods(namespace, "app=details").await?.first().context("a server")?.name_any();
    within(START, "the client is answered by mutual TLS", async || {
        let handshakes = async || {
            let envoy = cluster.envoy(namespace, &server).await?;
            let page = envoy.visitor.page("/stats?filter=listener.*ssl.handshake$", &[]).await?;
            Ok::<_, anyhow::Error>(page.lines().filter_map(|line| line.rsplit_once(": ")?.1.parse::<u64>().ok()).sum::<u64>())
        };
        let forward = Forward::to(cluster, namespace, &format!("pod/{client}"), 9080).await?;
        forward.visitor.page("/api/v1/products/0", &[]).await?;
        anyhow::ensure!(handshakes().await? > 0, "no handshake at the server");
        Ok(())
    })
    .await
    .map(drop)
}

/// Pods that start while the node's part is away, and wait.
async fn missed(test: &Test) -> anyhow::Result<String> {
    let nodes = test.cluster.api::<DaemonSet>(NODES);
    // Where no node is, there is no pod; the operator sees only what it decides itself.
    let away = json!({"spec": {"components": {"cni": {"nodeSelector": {"e2e.ferromesh.dev/nowhere": "true"}}}}});
    let installs: Api<MeshInstall> = Api::all(test.cluster.client());
    installs.patch(&test.mesh.install().await?.name_any(), &PatchParams::default(), &Patch::Merge(&away)).await?;
    within(FOLLOWED, "the node's part is away", async || {
        let status = nodes.get(PART).await?.status.unwrap_or_default();
        anyhow::ensure!(status.desired_number_scheduled == 0, "{status:?}");
        let pods = test.cluster.api::<Pod>(NODES).list(&ListParams::default().labels(&format!("k8s-app={PART}"))).await?;
        anyhow::ensure!(pods.items.is_empty(), "{} pods", pods.items.len());
        Ok(())
    })
    .await?;
    let namespace = restricted(test).await?;
    deploy(&test.cluster, &namespace).await?;
    within(START, "pods have found that they are not redirected", async || {
        let pods = test.cluster.pods(&namespace, "").await?;
        let found = |pod: &Pod| {
            let statuses = pod.status.iter().flat_map(|status| status.init_container_statuses.iter().flatten());
            let mut states = statuses.flat_map(|status| [&status.state, &status.last_state]).flatten();
            states.any(|state| state.terminated.as_ref().is_some_and(|ended| ended.exit_code == 126))
        };
        anyhow::ensure!(pods.len() == 2 && pods.iter().all(found), "{} pods", pods.len());
        Ok(())
    })
    .await?;
    Ok(namespace)
}

/// Brings the node's part back.
async fn back(test: &Test) -> anyhow::Result<()> {
    configure(test, &json!({"spec": {"components": {"cni": {"nodeSelector": null}}}})).await
}

async fn uids(cluster: &Cluster, namespace: &str) -> anyhow::Result<Vec<String>> {
    let mut uids: Vec<String> = cluster.pods(namespace, "").await?.iter().filter_map(ResourceExt::uid).collect();
    uids.sort();
    Ok(uids)
}
