//! What one core of a webhook answers: the real process, the real TLS, a pod and a VirtualService as the API server sends them.

use anyhow::{Context, ensure};
use clap::Args;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs};
use serde_json::{Value, json};
use std::{
    fs,
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};
use tempfile::TempDir;
use tokio::{io::AsyncReadExt, io::AsyncWriteExt, net::TcpStream};

use crate::cluster::{Cluster, Objects};
use crate::load::{Load, Throughput};
use crate::statistics::milliseconds;

/// Arguments of `ferromesh-bench webhooks`. The roles read the cluster of KUBECONFIG.
#[derive(Debug, Args)]
pub(crate) struct WebhooksArgs {
    /// The control plane's program.
    #[arg(long, value_name = "FILE")]
    ferromeshd: PathBuf,

    /// The core that the webhook's process is bound to. Start this program on another one.
    #[arg(long, default_value_t = 0)]
    core: u32,

    /// Connections that send at once.
    #[arg(long, default_value_t = 16)]
    connections: usize,

    /// Seconds of each run.
    #[arg(long, default_value_t = 5)]
    seconds: u64,

    /// Runs of each webhook; the median counts.
    #[arg(long, default_value_t = 5)]
    runs: usize,
}

/// A role's process with its own certificate; ends with this value.
struct Webhook {
    process: Child,
    address: SocketAddr,
    monitoring: SocketAddr,
    tls: Arc<ClientConfig>,
    _files: TempDir,
}

// === impl WebhooksArgs ===

impl WebhooksArgs {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let injector = Webhook::start(&self, "injector", &["--mesh-config", "--values"], None).await?;
        self.measure(&injector, "/inject", r#""patch":"#, "injections", &pod_review(), self.connections).await?;
        drop(injector);
        let files = tempfile::tempdir()?;
        for (others, name) in [(2_000, "2,000"), (10_000, "10,000")] {
            let cluster = Cluster::serve(mesh_of(others), files.path()).await?;
            let galley = Webhook::start(&self, "galley", &["--mesh-config"], Some(cluster.kubeconfig())).await?;
            galley.has("index_snapshots_total 1").await?;
            println!("| resident: galley that knows {name} VirtualServices | {:.1} MiB |", galley.resident()?);
            if others == 2_000 {
                let (expected, review) = (r#""allowed":true"#, virtual_service_review());
                for connections in [self.connections, 2] {
                    self.measure(&galley, "/validate", expected, "validations beside 2,000 others", &review, connections).await?;
                }
            }
        }
        Ok(())
    }

    /// Sends `review` to `path`, where each answer must contain `expected`, and prints the median under the name `what`.
    async fn measure(
        &self,
        webhook: &Webhook,
        path: &'static str,
        expected: &'static str,
        what: &str,
        review: &Value,
        connections: usize,
    ) -> anyhow::Result<()> {
        let load = Load {
            address: webhook.address,
            tls: webhook.tls.clone(),
            path,
            body: review.to_string().into(),
            expected,
            connections,
            duration: Duration::from_secs(self.seconds),
        };
        // Warms caches and connections; no figure.
        Load { duration: Duration::from_secs(1), ..load.clone() }.run().await?;
        let mut runs = Vec::new();
        for _ in 0..self.runs {
            runs.push(load.clone().run().await?);
        }
        runs.sort_by(|a, b| a.per_second.total_cmp(&b.per_second));
        let Throughput { per_second, p99 } = &runs[runs.len() / 2];
        println!("| {what} a second on one core, {connections} connections; p99 | {per_second:.0}/s; {} |", milliseconds(*p99));
        Ok(())
    }
}

// === impl Webhook ===

impl Webhook {
    /// Starts `role`; of `settings`, the options that name a file of the operator's, each is given its file. With a kubeconfig it reads
    /// that cluster in place of the user's.
    async fn start(args: &WebhooksArgs, role: &str, settings: &[&str], kubeconfig: Option<&Path>) -> anyhow::Result<Self> {
        let files = tempfile::tempdir()?;
        let tls = certificates(files.path())?;
        fs::write(files.path().join("--mesh-config"), "{}\n")?;
        fs::write(files.path().join("--values"), values().to_string())?;
        let (address, monitoring) = (free_address()?, free_address()?);
        let mut command = Command::new("taskset");
        command.args(["-c", &args.core.to_string()]).arg(&args.ferromeshd).arg(role);
        command.args(["--listen", &address.to_string(), "--monitoring", &monitoring.to_string(), "--log", "warn"]);
        command.arg("--certificates").arg(files.path());
        for option in settings {
            command.arg(option).arg(files.path().join(option));
        }
        if let Some(kubeconfig) = kubeconfig {
            command.env("KUBECONFIG", kubeconfig);
        }
        let process = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().context("taskset can't be started")?;
        let mut webhook = Self { process, address, monitoring, tls, _files: files };
        webhook.ready().await.with_context(|| format!("{role} did not start"))?;
        Ok(webhook)
    }

    async fn ready(&mut self) -> anyhow::Result<()> {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            if let Some(status) = self.process.try_wait()? {
                anyhow::bail!("it ended: {status}");
            }
            let answer = get(self.monitoring, "/ready").await.unwrap_or_else(|error| error.to_string());
            if answer.starts_with("HTTP/1.1 200") {
                return Ok(());
            }
            ensure!(Instant::now() < deadline, "not ready within 30 s: {answer}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

impl Webhook {
    /// Waits until its metrics have this line.
    async fn has(&self, line: &str) -> anyhow::Result<()> {
        let deadline = Instant::now() + Duration::from_secs(60);
        while !get(self.monitoring, "/metrics").await?.lines().any(|shown| shown == line) {
            ensure!(Instant::now() < deadline, "no metric {line:?} within 60 s");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }

    /// Its resident memory in MiB.
    fn resident(&self) -> anyhow::Result<f64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id()))?;
        let kilobytes = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB")?.trim().parse::<f64>().ok());
        Ok(kilobytes.context("no VmRSS")? / 1024.0)
    }
}

impl Drop for Webhook {
    fn drop(&mut self) {
        // A process that has ended already needs no end.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

async fn get(address: SocketAddr, path: &str) -> anyhow::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

/// A port that nobody listens on at the moment.
fn free_address() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

/// Writes `tls.crt` and `tls.key`; returns what trusts them.
fn certificates(folder: &Path) -> anyhow::Result<Arc<ClientConfig>> {
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["localhost".to_owned()])?;
    fs::write(folder.join("tls.crt"), cert.pem())?;
    fs::write(folder.join("tls.key"), signing_key.serialize_pem())?;
    let mut roots = RootCertStore::empty();
    roots.add(cert.der().clone())?;
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider())).with_safe_default_protocol_versions()?;
    Ok(Arc::new(config.with_root_certificates(roots).with_no_client_auth()))
}

fn values() -> Value {
    json!({
        "hub": "ferromesh", "tag": "bench", "revision": "default", "istioNamespace": "istio-system",
        "caAddress": "istio-citadel.istio-system.svc:15012", "clusterId": "Kubernetes",
        "proxy": {"resources": {"requests": {"cpu": "10m", "memory": "64Mi"}}},
    })
}

fn review(kind: &Value, resource: &Value, object: &Value) -> Value {
    json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
        "uid": "0df28fbd-5f5f-11e8-bc74-36e6bb280816", "kind": kind, "resource": resource, "operation": "CREATE",
        "namespace": "default", "userInfo": {"username": "system:serviceaccount:kube-system:replicaset-controller"},
        "object": object, "oldObject": null, "dryRun": false,
    }})
}

/// bookinfo's reviews, as a ReplicaSet makes it.
fn pod_review() -> Value {
    let labels = json!({"app": "reviews", "version": "v1", "pod-template-hash": "5d8f"});
    let owner = json!([{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "reviews-v1-5d8f", "uid": "1", "controller": true}]);
    let probe = json!({"httpGet": {"path": "/health", "port": "http"}, "periodSeconds": 2});
    let token = json!([{"mountPath": "/var/run/secrets/kubernetes.io/serviceaccount", "name": "kube-api-access-x", "readOnly": true}]);
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"generateName": "reviews-v1-5d8f-", "labels": labels, "ownerReferences": owner},
        "spec": {
            "serviceAccountName": "bookinfo-reviews",
            "containers": [{
                "name": "reviews", "image": "ferromesh/bookinfo:bench", "args": ["reviews", "--version", "v1"],
                "ports": [{"containerPort": 9080, "name": "http", "protocol": "TCP"}],
                "readinessProbe": probe, "livenessProbe": probe, "volumeMounts": token,
                "resources": {"requests": {"cpu": "5m", "memory": "8Mi"}, "limits": {"memory": "64Mi"}},
            }],
            "volumes": [{"name": "kube-api-access-x", "projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}}],
            "tolerations": [{"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}],
        },
    });
    let kind = json!({"group": "", "version": "v1", "kind": "Pod"});
    review(&kind, &json!({"group": "", "version": "v1", "resource": "pods"}), &pod)
}

/// A mesh of so many other VirtualServices, and of what [`virtual_service_review`] names: it fits, so that nothing is to be warned of.
fn mesh_of(others: usize) -> Objects {
    let metadata = |name: &str| json!({"name": name, "namespace": "default", "uid": name, "generation": 1, "resourceVersion": "1"});
    let api = "networking.istio.io/v1";
    let others = (0..others).map(|number| {
        let name = format!("other-{number}");
        let spec = virtual_service_spec(&format!("{name}.example.com"));
        json!({"apiVersion": api, "kind": "VirtualService", "metadata": metadata(&name), "spec": spec})
    });
    let subsets: Vec<Value> = ["v1", "v2", "v3"].iter().map(|version| json!({"name": version, "labels": {"version": version}})).collect();
    let rule = json!({"apiVersion": api, "kind": "DestinationRule", "metadata": metadata("reviews"),
        "spec": {"host": "reviews", "subsets": subsets}});
    let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": metadata("reviews"),
        "spec": {"clusterIP": "10.0.0.1", "selector": {"app": "reviews"}, "ports": [{"name": "http", "port": 9080, "protocol": "TCP"}]}});
    Objects::from([
        ("/apis/networking.istio.io/v1/virtualservices".to_owned(), others.collect()),
        ("/apis/networking.istio.io/v1/destinationrules".to_owned(), vec![rule]),
        ("/api/v1/services".to_owned(), vec![service]),
    ])
}

/// A route with matches, weights, a rewrite, retries and a time-out.
fn virtual_service_review() -> Value {
    let object = json!({
        "apiVersion": "networking.istio.io/v1", "kind": "VirtualService", "metadata": {"name": "reviews", "namespace": "default"},
        "spec": virtual_service_spec("reviews"),
    });
    let group = "networking.istio.io";
    let kind = json!({"group": group, "version": "v1", "kind": "VirtualService"});
    review(&kind, &json!({"group": group, "version": "v1", "resource": "virtualservices"}), &object)
}

fn virtual_service_spec(host: &str) -> Value {
    let to = |subset: &str, weight: u32| json!({"destination": {"host": "reviews", "subset": subset}, "weight": weight});
    json!({"hosts": [host], "http": [
        {"match": [{"headers": {"end-user": {"exact": "jason"}}}], "route": [to("v2", 100)]},
        {"match": [{"uri": {"prefix": "/api"}}], "rewrite": {"uri": "/"}, "timeout": "3s",
         "retries": {"attempts": 3, "perTryTimeout": "1s", "retryOn": "5xx"}, "route": [to("v1", 80), to("v3", 20)]},
        {"route": [to("v1", 100)]},
    ]})
}
