//! A gateway's certificates come from Secrets, and follow them.

use anyhow::Context;
use ferromesh_e2e::{CONTROL_PLANE, Cluster, SecureVisitor, Test, run, shared, within};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use serde_json::json;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::task::JoinSet;

/// One pod, its image already on the node.
const START: Duration = Duration::from_secs(90);
/// A Gateway or a Secret on its way to every worker of the gateway's proxy.
const EFFECTIVE: Duration = Duration::from_secs(30);
/// Visitors that never stop coming.
const VISITORS: usize = 4;

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_is_rotated_without_a_failed_request() {
    run("a_secret_is_rotated_without_a_failed_request", rotation).await;
}

async fn rotation(test: &Test) -> anyhow::Result<()> {
    let namespace = test.namespace().await?;
    // Where the gateway's pods are, which is no namespace of the test's: it goes by hand.
    let rotated = rotate(test, &namespace).await;
    test.cluster.kubectl(&["delete", "secret", &namespace, "-n", CONTROL_PLANE, "--ignore-not-found"]).await?;
    rotated
}

async fn rotate(test: &Test, namespace: &str) -> anyhow::Result<()> {
    let (cluster, host) = (&test.cluster, format!("{namespace}.example"));
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
    let (first, second) = (Leaf::of(&host, &authority)?, Leaf::of(&host, &authority)?);
    first.store(cluster, namespace).await?;
    cluster.apply_file(namespace, &shared("samples/httpbin.yaml")?).await?;
    within(START, "httpbin is ready", async || cluster.ready_pods(namespace, "app=httpbin").await).await?;
    cluster.apply(namespace, &served(namespace, &host)).await?;

    let addresses = cluster.addresses(CONTROL_PLANE, "istio-ingressgateway", 443).await?;
    let address = addresses.first().context("no address leads to port 443 of the ingress gateway")?;
    let visitor = SecureVisitor::new(address, &host, authority.der().clone())?;
    let shows = async |leaf: &Leaf| {
        let answer = visitor.get("/status/200").await?;
        anyhow::ensure!(answer.status == 200, "status {}", answer.status);
        anyhow::ensure!(answer.certificate == *leaf.certificate.der(), "another certificate is shown");
        Ok(())
    };
    within(EFFECTIVE, "the gateway shows the Secret's certificate", async || shows(&first).await).await?;

    let stop = Arc::new(AtomicBool::new(false));
    let mut visitors = JoinSet::new();
    for _ in 0..VISITORS {
        let (visitor, stop) = (visitor.clone(), stop.clone());
        visitors.spawn(async move {
            let mut served = 0;
            while !stop.load(Ordering::Relaxed) {
                let answer = visitor.get("/status/200").await?;
                anyhow::ensure!(answer.status == 200, "status {}", answer.status);
                served += 1;
            }
            anyhow::Ok(served)
        });
    }
    second.store(cluster, namespace).await?;
    let (_, took) = within(EFFECTIVE, "the gateway shows the new certificate", async || shows(&second).await).await?;
    // Every worker of the proxy has it: none shows the old one any more.
    for _ in 0..50 {
        shows(&second).await?;
    }
    stop.store(true, Ordering::Relaxed);
    let mut served = 0_usize;
    while let Some(visits) = visitors.join_next().await {
        served += visits?.context("a request failed while the Secret was rotated")?;
    }
    eprintln!("the new certificate was shown after {} ms; {served} requests meanwhile, none failed", took.as_millis());
    anyhow::ensure!(served > 20, "only {served} requests were served meanwhile");
    Ok(())
}

/// A Gateway that serves the host by TLS, and its way to httpbin.
fn served(namespace: &str, host: &str) -> String {
    let server = json!({
        "port": {"number": 443, "name": "https", "protocol": "HTTPS"}, "hosts": [host],
        "tls": {"mode": "SIMPLE", "credentialName": namespace},
    });
    let gateway = json!({
        "apiVersion": "networking.istio.io/v1", "kind": "Gateway", "metadata": {"name": "secured"},
        "spec": {"selector": {"istio": "ingressgateway"}, "servers": [server]},
    });
    let routes = json!({
        "apiVersion": "networking.istio.io/v1", "kind": "VirtualService", "metadata": {"name": "secured"},
        "spec": {
            "hosts": [host], "gateways": ["secured"],
            "http": [{"route": [{"destination": {"host": "httpbin", "port": {"number": 8000}}}]}],
        },
    });
    format!("{gateway}\n---\n{routes}\n")
}

/// A certificate with its key.
struct Leaf {
    certificate: rcgen::Certificate,
    key: KeyPair,
}

impl Leaf {
    fn of(host: &str, authority: &CertifiedIssuer<'_, KeyPair>) -> anyhow::Result<Self> {
        let key = KeyPair::generate()?;
        let certificate = CertificateParams::new([host.to_owned()])?.signed_by(&key, authority)?;
        Ok(Self { certificate, key })
    }

    /// Puts it into the Secret of that name, in the gateway's namespace.
    async fn store(&self, cluster: &Cluster, name: &str) -> anyhow::Result<()> {
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "type": "kubernetes.io/tls",
            "stringData": {"tls.crt": self.certificate.pem(), "tls.key": self.key.serialize_pem()},
        });
        cluster.apply(CONTROL_PLANE, &secret.to_string()).await
    }
}
