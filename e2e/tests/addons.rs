//! Add-ons: their objects come and go with the MeshInstall, nothing waits for them, and Prometheus finds the mesh with what it is told.

use anyhow::Context;
use ferromesh_crds::MeshInstall;
use ferromesh_e2e::{CONTROL_PLANE, Cluster, MESH, Test, Visitor, own, run, sample, within};
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::{
    Api, ResourceExt,
    api::{Patch, PatchParams},
};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    net::TcpListener,
    path::Path,
    process::Stdio,
    time::Duration,
};
use tempfile::TempDir;
use tokio::process::{Child, Command};

/// A change of the MeshInstall, and a pod whose image is on the node.
const SOON: Duration = Duration::from_secs(90);
const ADDONS: [&str; 4] = ["grafana", "kiali", "prometheus", "tracing"];

#[tokio::test(flavor = "multi_thread")]
async fn add_ons_come_and_go_and_prometheus_finds_the_mesh() {
    run("add_ons_come_and_go_and_prometheus_finds_the_mesh", added).await;
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
    cluster.local()?;
    let namespace = test.namespace().await?;
    cluster.apply_file(&namespace, &sample("kube/bookinfo.yaml")).await?;
    set(test, true).await?;
    within(SOON, "they are in the status", async || {
        let components = test.mesh.install().await?.status.context("no status")?.components;
        anyhow::ensure!(ADDONS.iter().all(|name| components.contains_key(*name)), "{:?}", components.keys());
        Ok(())
    })
    .await?;
    // Their images may not be had here: the mesh is well all the same.
    within(SOON, "the mesh is healthy", async || test.mesh.healthy().await).await?;
    within(SOON, "bookinfo is ready", async || {
        let pods = cluster.ready_pods(&namespace, "").await?;
        anyhow::ensure!(pods.len() == 6, "{} of 6", pods.len());
        Ok(())
    })
    .await?;

    let prometheus = Prometheus::start(cluster).await?;
    let expected = [(CONTROL_PLANE, "istio-pilot-"), (CONTROL_PLANE, "istio-galley-"), (CONTROL_PLANE, "istio-ingressgateway-")];
    let expected = expected.into_iter().chain([(&*namespace, "details-v1-"), (&*namespace, "reviews-v3-")]);
    let expected: Vec<(&str, &str)> = expected.collect();
    within(SOON, "Prometheus scrapes control plane and proxies", async || {
        prometheus.tell(cluster, &[CONTROL_PLANE, &namespace]).await?;
        let up = prometheus.ask("up == 1").await?;
        let is_up = |(namespace, pod): &&(&str, &str)| {
            let series = up.iter().filter(|series| series["namespace"] == *namespace);
            series.filter(|series| series["pod"].as_str().is_some_and(|name| name.starts_with(pod))).count() == 1
        };
        let missing: Vec<_> = expected.iter().filter(|one| !is_up(one)).collect();
        anyhow::ensure!(missing.is_empty(), "not scraped, or more than once: {missing:?}");
        Ok(())
    })
    .await?;
    let down = prometheus.ask(r#"up{pod=~"istio-.*"} == 0"#).await?;
    anyhow::ensure!(down.is_empty(), "{down:?}");
    // What the control plane's dashboard shows is there by these names.
    for query in [
        "pilot_xds > 0",
        "pilot_services > 0",
        "galley_validation_passed",
        "sidecar_injection_success_total > 0",
        "process_cpu_seconds_total",
    ] {
        within(SOON, query, async || {
            anyhow::ensure!(!prometheus.ask(query).await?.is_empty(), "no series");
            Ok(())
        })
        .await?;
    }
    Ok(())
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

/// A real Prometheus on this machine, which is told what the cluster's would be.
struct Prometheus {
    visitor: Visitor,
    folder: TempDir,
    _process: Child,
}

// === impl Prometheus ===

impl Prometheus {
    async fn start(cluster: &Cluster) -> anyhow::Result<Self> {
        let told = cluster.api::<ConfigMap>(CONTROL_PLANE).get("prometheus").await?.data.unwrap_or_default();
        let told = told.get("prometheus.yml").context("no configuration")?;
        // Debian's is built without the discovery of pods, so it gets them from a file; and tests don't wait 15 s for each look.
        let discovery = "  kubernetes_sd_configs:\n  - role: pod\n";
        anyhow::ensure!(told.contains(discovery), "the configuration has another form: {told}");
        let configuration = told.replace(discovery, "  file_sd_configs:\n  - {files: [pods.json], refresh_interval: 1s}\n");
        let folder = tempfile::tempdir()?;
        fs::write(folder.path().join("prometheus.yml"), configuration.replace("15s", "1s").replace("10s", "1s"))?;
        let output = Command::new(own("ci/prometheus.sh")).output().await?;
        anyhow::ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let program = Path::new(String::from_utf8(output.stdout)?.trim()).join("prometheus");
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let mut command = Command::new(program);
        command.arg("--config.file=prometheus.yml").arg("--storage.tsdb.path=data").arg(format!("--web.listen-address={address}"));
        command.args(["--web.console.templates=.", "--web.console.libraries=."]).current_dir(folder.path()).kill_on_drop(true);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).env("NO_PROXY", "*").env("no_proxy", "*");
        let process = command.spawn().context("Prometheus can't be started")?;
        let prometheus = Self { visitor: Visitor::new(format!("http://{address}")), folder, _process: process };
        within(SOON, "Prometheus is ready", async || prometheus.visitor.page("/-/ready", &[]).await).await?;
        Ok(prometheus)
    }

    /// Tells it of the pods that there are, in the words in which its own discovery would.
    async fn tell(&self, cluster: &Cluster, namespaces: &[&str]) -> anyhow::Result<()> {
        let mut targets = Vec::new();
        for namespace in namespaces {
            targets.extend(cluster.pods(namespace, "").await?.iter().flat_map(discovered));
        }
        // In one step, so that nothing half written is read.
        let (new, file) = (self.folder.path().join("new"), self.folder.path().join("pods.json"));
        fs::write(&new, Value::from(targets).to_string())?;
        Ok(fs::rename(new, file)?)
    }

    /// The labels of the series that a query finds now.
    async fn ask(&self, query: &str) -> anyhow::Result<Vec<Value>> {
        let encoded: String = query.bytes().map(|byte| format!("%{byte:02x}")).collect();
        let page = self.visitor.page(&format!("/api/v1/query?query={encoded}"), &[]).await?;
        let answer: Value = serde_json::from_str(&page)?;
        let found = answer["data"]["result"].as_array().context("no result")?;
        Ok(found.iter().map(|series| series["metric"].clone()).collect())
    }
}

/// A pod's targets, as Prometheus documents them for the role `pod`: one for each port of its containers.
fn discovered(pod: &Pod) -> Vec<Value> {
    let words = |kind: &str, pairs: &BTreeMap<String, String>| {
        let word = |key: &str| key.replace(|letter: char| !letter.is_ascii_alphanumeric(), "_");
        pairs.iter().map(|(key, value)| (format!("__meta_kubernetes_pod_{kind}_{}", word(key)), json!(value))).collect::<Vec<_>>()
    };
    let status = pod.status.clone().unwrap_or_default();
    let address = status.pod_ip.unwrap_or_default();
    let mut labels: serde_json::Map<String, Value> =
        [words("annotation", pod.annotations()), words("label", pod.labels())].concat().into_iter().collect();
    let own = [
        ("__meta_kubernetes_namespace", pod.namespace().unwrap_or_default()),
        ("__meta_kubernetes_pod_name", pod.name_any()),
        ("__meta_kubernetes_pod_ip", address.clone()),
        ("__meta_kubernetes_pod_phase", status.phase.unwrap_or_default()),
    ];
    labels.extend(own.map(|(name, value)| (name.to_owned(), json!(value))));
    let spec = pod.spec.clone().unwrap_or_default();
    let init = spec.init_containers.unwrap_or_default().into_iter().map(|container| (container, true));
    let all = init.chain(spec.containers.into_iter().map(|container| (container, false)));
    let ports =
        all.flat_map(|(container, init)| container.ports.unwrap_or_default().into_iter().map(move |port| (port.container_port, init)));
    ports
        .map(|(port, init)| {
            let mut labels = labels.clone();
            labels.insert("__meta_kubernetes_pod_container_init".to_owned(), json!(init.to_string()));
            json!({"targets": [format!("{address}:{port}")], "labels": labels})
        })
        .collect()
}
