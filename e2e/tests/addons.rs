//! Add-ons: their objects come and go with the MeshInstall, nothing waits for them, and Prometheus finds the mesh with what it is told.

use anyhow::Context;
use ferromesh_crds::MeshInstall;
use ferromesh_e2e::{CONTROL_PLANE, Cluster, MESH, Test, Visitor, own, run, sample, within};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api,
    api::{Patch, PatchParams},
};
use serde_json::{Value, json};
use std::{collections::BTreeSet, fs, net::TcpListener, path::Path, process::Stdio, time::Duration};
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
    let kubeconfig = cluster.local()?;
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

    let prometheus = Prometheus::start(cluster, kubeconfig).await?;
    let expected = [(CONTROL_PLANE, "istio-pilot-"), (CONTROL_PLANE, "istio-galley-"), (CONTROL_PLANE, "istio-ingressgateway-")];
    let expected = expected.into_iter().chain([(&*namespace, "details-v1-"), (&*namespace, "reviews-v3-")]);
    let expected: Vec<(&str, &str)> = expected.collect();
    within(SOON, "Prometheus scrapes control plane and proxies", async || {
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
    _process: Child,
    _folder: tempfile::TempDir,
}

// === impl Prometheus ===

impl Prometheus {
    async fn start(cluster: &Cluster, kubeconfig: &Path) -> anyhow::Result<Self> {
        let told = cluster.api::<ConfigMap>(CONTROL_PLANE).get("prometheus").await?.data.unwrap_or_default();
        let told = told.get("prometheus.yml").context("no configuration")?;
        // It runs outside, so it is told where the API server is; and tests do not wait a quarter of a minute for each look.
        let discovery = format!("  - role: pod\n    kubeconfig_file: {}\n", kubeconfig.display());
        let configuration = told.replace("  - role: pod\n", &discovery).replace("15s", "1s").replace("10s", "1s");
        anyhow::ensure!(configuration.contains("kubeconfig_file"), "the configuration has another form: {told}");
        let folder = tempfile::tempdir()?;
        fs::write(folder.path().join("prometheus.yml"), configuration)?;
        let output = Command::new(own("ci/prometheus.sh")).output().await?;
        anyhow::ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let program = Path::new(String::from_utf8(output.stdout)?.trim()).join("prometheus");
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let mut command = Command::new(program);
        command.arg("--config.file=prometheus.yml").arg("--storage.tsdb.path=data").arg(format!("--web.listen-address={address}"));
        command.args(["--web.console.templates=.", "--web.console.libraries=."]).current_dir(folder.path()).kill_on_drop(true);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).env("NO_PROXY", "*").env("no_proxy", "*");
        let process = command.spawn().context("Prometheus can't be started")?;
        let visitor = Visitor::new(format!("http://{address}"));
        within(SOON, "Prometheus is ready", async || visitor.page("/-/ready", &[]).await).await?;
        Ok(Self { visitor, _process: process, _folder: folder })
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
