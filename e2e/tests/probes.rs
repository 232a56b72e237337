//! The kubelet asks through the sidecar, pods end and start in order, and a pod can be a gateway of its own.

use anyhow::Context;
use ferromesh_e2e::{Test, run, within};
use k8s_openapi::api::{batch::v1::Job, core::v1::Pod};
use serde_json::{Value, json};
use std::time::Duration;

/// A pod, its images already on the node.
const START: Duration = Duration::from_secs(90);
/// A Job that does nothing, its sidecar's start and end included.
const DONE: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn the_kubelet_asks_through_the_sidecar() {
    run("the_kubelet_asks_through_the_sidecar", probes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_ends_with_its_sidecar() {
    run("a_job_ends_with_its_sidecar", job).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_with_image_auto_is_a_gateway() {
    run("a_pod_with_image_auto_is_a_gateway", gateway).await;
}

/// Every kind of probe, where plain text is refused.
async fn probes(test: &Test) -> anyhow::Result<()> {
    let namespace = test.namespace().await?;
    let cluster = &test.cluster;
    let policy = json!({
        "apiVersion": "security.istio.io/v1", "kind": "PeerAuthentication", "metadata": {"name": "default"},
        "spec": {"mtls": {"mode": "STRICT"}},
    });
    cluster.apply(&namespace, &policy.to_string()).await?;
    let standin = |name: &str, arguments: Value, probe: Value| {
        let mut container = json!({"name": name, "image": "docker.io/istio/tcp-echo-server:1.1", "imagePullPolicy": "IfNotPresent"});
        container["command"] = json!(["/usr/local/bin/standin"]);
        container["args"] = arguments;
        for field in ["readinessProbe", "livenessProbe"] {
            container[field] = probe.clone();
            container[field]["periodSeconds"] = 1.into();
        }
        container
    };
    let mut http = standin("http", json!(["helloworld", ":5000"]), json!({"httpGet": {"path": "/health", "port": "web"}}));
    http["ports"] = json!([{"name": "web", "containerPort": 5000}]);
    let containers = [
        http,
        standin("tcp", json!(["tcp-echo", "9000", "hello"]), json!({"tcpSocket": {"port": 9000}})),
        standin("grpc", json!(["grpc-health", "9001"]), json!({"grpc": {"port": 9001}})),
        json!({
            "name": "exec", "image": "docker.io/governmentpaas/curl-ssl:latest", "imagePullPolicy": "IfNotPresent",
            "command": ["/bin/sleep", "3650d"],
            "readinessProbe": {"exec": {"command": ["/bin/sh", "-c", "true"]}},
        }),
    ];
    cluster.apply(&namespace, &deployment("asked", &json!({}), &containers).to_string()).await?;
    let (pods, took) = within(START, "the pod is ready", async || cluster.ready_pods(&namespace, "app=asked").await).await?;
    eprintln!("the pod was ready after {:.1} s", took.as_secs_f64());
    let pod = pods.first().context("a pod")?;
    let container =
        pod.spec.iter().flat_map(|spec| &spec.containers).find(|container| container.name == "grpc").context("its container")?;
    let asked = container.liveness_probe.as_ref().and_then(|probe| probe.http_get.as_ref()?.path.clone());
    anyhow::ensure!(asked.as_deref() == Some("/app-health/grpc/livez"), "the kubelet asks at {asked:?}");
    anyhow::ensure!(restarts(pod) == 0, "{} restarts", restarts(pod));
    Ok(())
}

async fn job(test: &Test) -> anyhow::Result<()> {
    let namespace = test.namespace().await?;
    let container = json!({
        "name": "work", "image": "docker.io/governmentpaas/curl-ssl:latest", "imagePullPolicy": "IfNotPresent", "command": ["/bin/sh", "-c", "true"],
    });
    let job = json!({
        "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "once"},
        "spec": {"template": {"metadata": {"labels": {"app": "once"}}, "spec": {"restartPolicy": "Never", "containers": [container]}}},
    });
    test.cluster.apply(&namespace, &job.to_string()).await?;
    let jobs = test.cluster.api::<Job>(&namespace);
    let (_, took) = within(DONE, "the Job is complete", async || {
        let status = jobs.get("once").await?.status.unwrap_or_default();
        anyhow::ensure!(status.succeeded == Some(1), "{status:?}");
        Ok(())
    })
    .await?;
    eprintln!("the Job was complete after {:.1} s", took.as_secs_f64());
    let pods = test.cluster.pods(&namespace, "app=once").await?;
    let sidecar =
        pods.iter().filter_map(|pod| pod.spec.as_ref()?.init_containers.as_ref()).flatten().any(|init| init.name == "istio-proxy");
    anyhow::ensure!(sidecar, "the Job's pod had no native sidecar");
    Ok(())
}

async fn gateway(test: &Test) -> anyhow::Result<()> {
    let namespace = test.namespace().await?;
    let annotations = json!({"inject.istio.io/templates": "gateway"});
    let gate = deployment("gate", &annotations, &[json!({"name": "istio-proxy", "image": "auto"})]);
    test.cluster.apply(&namespace, &gate.to_string()).await?;
    let (pods, _) = within(START, "the gateway is ready", async || test.cluster.ready_pods(&namespace, "app=gate").await).await?;
    let spec = pods.first().and_then(|pod| pod.spec.as_ref()).context("a pod")?;
    let image = spec.containers.iter().find(|container| container.name == "istio-proxy").and_then(|proxy| proxy.image.clone());
    let image = image.context("no image")?;
    anyhow::ensure!(image.contains("/ferromesh-proxy:"), "its image is {image}");
    anyhow::ensure!(spec.init_containers.iter().flatten().next().is_none(), "a gateway redirects nothing");
    Ok(())
}

fn deployment(name: &str, annotations: &Value, containers: &[Value]) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name},
        "spec": {
            "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name}, "annotations": annotations}, "spec": {"containers": containers}},
        },
    })
}

fn restarts(pod: &Pod) -> i32 {
    let status = pod.status.clone().unwrap_or_default();
    let containers = status.container_statuses.into_iter().chain(status.init_container_statuses).flatten();
    containers.map(|container| container.restart_count).sum()
}
