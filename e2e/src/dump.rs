//! What there is to see when a test has failed: pods, events, logs and each Envoy's configuration.

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use std::{fs, path::Path};

use crate::{CONTROL_PLANE, Cluster, OPERATOR, target_folder};

/// Writes all of it to `target/e2e/NAME`, and the pods to standard error. What can't be had is left out.
pub(crate) async fn everything(cluster: &Cluster, name: &str, namespaces: &[String]) {
    let Ok(folder) = target_folder(name) else { return };
    let shared = [CONTROL_PLANE, OPERATOR].map(str::to_owned);
    eprintln!("--- {name} failed; more is in {}", folder.display());
    keep(cluster, &folder, "meshinstalls.yaml", &["get", "meshinstalls", "-o", "yaml"]).await;
    for namespace in namespaces.iter().chain(&shared) {
        let pods = keep(cluster, &folder, &format!("{namespace}-pods.txt"), &["get", "pods", "-n", namespace, "-o", "wide"]).await;
        eprintln!("--- pods of {namespace}\n{pods}");
        keep(cluster, &folder, &format!("{namespace}-pods.yaml"), &["get", "pods", "-n", namespace, "-o", "yaml"]).await;
        let events = ["get", "events", "-n", namespace, "--sort-by=.lastTimestamp"];
        keep(cluster, &folder, &format!("{namespace}-events.txt"), &events).await;
        for pod in cluster.pods(namespace, "").await.unwrap_or_default() {
            of_pod(cluster, &folder, namespace, &pod).await;
        }
    }
    let objects = "gateways.networking.istio.io,virtualservices.networking.istio.io,destinationrules.networking.istio.io";
    keep(cluster, &folder, "configuration.yaml", &["get", objects, "-A", "-o", "yaml"]).await;
}

async fn of_pod(cluster: &Cluster, folder: &Path, namespace: &str, pod: &Pod) {
    let name = pod.name_any();
    let logs = ["logs", "-n", namespace, &name, "--all-containers", "--prefix", "--tail=400"];
    keep(cluster, folder, &format!("{namespace}-{name}.log"), &logs).await;
    let spec = pod.spec.as_ref();
    let containers = spec.map(|spec| spec.containers.iter().chain(spec.init_containers.iter().flatten()));
    if !containers.into_iter().flatten().any(|container| container.name == "istio-proxy") {
        return;
    }
    let Ok(envoy) = cluster.envoy(namespace, &name).await else { return };
    for (path, suffix) in [("/config_dump?include_eds", "config.json"), ("/stats", "stats.txt"), ("/clusters", "clusters.txt")] {
        if let Ok(answer) = envoy.visitor.get(path, &[]).await {
            write(folder, &format!("{namespace}-{name}-{suffix}"), &answer.body);
        }
    }
}

/// Keeps what kubectl prints, and returns it.
async fn keep(cluster: &Cluster, folder: &Path, file: &str, arguments: &[&str]) -> String {
    let text = cluster.kubectl(arguments).await.unwrap_or_else(|error| format!("{error:#}"));
    write(folder, file, &text);
    text
}

fn write(folder: &Path, file: &str, text: &str) {
    if let Err(error) = fs::write(folder.join(file), text) {
        eprintln!("{file} could not be written: {error}");
    }
}
