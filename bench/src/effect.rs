//! How long a VirtualService takes from the request that stores it to the first answer of Envoy that shows it.

use anyhow::{Context, ensure};
use clap::Args;
use http_body_util::{BodyExt, Empty};
use hyper::{Request, body::Bytes, client::conn::http1, header};
use hyper_util::rt::TokioIo;
use kube::{
    Api, Client,
    api::{ApiResource, DeleteParams, DynamicObject, Patch, PatchParams},
};
use serde_json::json;
use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};
use tokio::net::TcpStream;

use crate::statistics::{milliseconds, percentile};

/// Arguments of `ferromesh-bench effect`.
#[derive(Debug, Args)]
pub(crate) struct EffectArgs {
    /// Where the ingress gateway answers on port 80.
    #[arg(long, value_name = "ADDRESS")]
    gateway: SocketAddr,

    /// How often to change the route.
    #[arg(long, default_value_t = 50)]
    changes: u32,
}

/// How long it took from the request to change a route.
#[derive(Clone, Copy, Debug)]
struct Change {
    /// Until the API server answered.
    stored: Duration,
    /// Until Envoy answered by it.
    effect: Duration,
}

/// The namespace of the objects that are made.
const NAMESPACE: &str = "default";
const NAME: &str = "ferromesh-bench";
const HOST: &str = "bench.example";
/// A change that has no effect within this time is a failure, not a sample.
const PATIENCE: Duration = Duration::from_secs(20);

// === impl EffectArgs ===

impl EffectArgs {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let client = Client::try_default().await.context("no access to the cluster")?;
        let outcome = self.measure(&client).await;
        for kind in ["VirtualService", "Gateway"] {
            // What was never made needs no removal; another failure shows in the next run.
            let _ = objects(&client, kind).delete(NAME, &DeleteParams::default()).await;
        }
        let changes = outcome?;
        let (effect, stored): (Vec<_>, Vec<_>) = changes.iter().map(|change| (change.effect, change.stored)).unzip();
        for (until, mut samples) in [("Envoy answers by it", effect), ("the API server says that it is stored", stored)] {
            let [p50, p99] = [0.5, 0.99].map(|share| milliseconds(percentile(&mut samples, share)));
            println!("| a VirtualService is applied → {until} ({} changes) | p50 {p50}, p99 {p99} |", changes.len());
        }
        Ok(())
    }

    async fn measure(&self, client: &Client) -> anyhow::Result<Vec<Change>> {
        let server = json!({"port": {"number": 80, "name": "http", "protocol": "HTTP"}, "hosts": [HOST]});
        apply(client, "Gateway", json!({"selector": {"istio": "ingressgateway"}, "servers": [server]})).await?;
        // The first change also opens the port where nothing else has: it is no sample.
        self.change(client, 0).await?;
        let mut samples = Vec::new();
        for number in 1..=self.changes {
            samples.push(self.change(client, number).await?);
        }
        Ok(samples)
    }

    /// Applies a route that answers with a number, and waits until Envoy does.
    async fn change(&self, client: &Client, number: u32) -> anyhow::Result<Change> {
        let wanted = format!("change {number}");
        let answer = json!({"status": 200, "body": {"string": wanted}});
        let spec = json!({"hosts": [HOST], "gateways": [NAME], "http": [{"directResponse": answer}]});
        let started = Instant::now();
        apply(client, "VirtualService", spec).await?;
        let stored = started.elapsed();
        loop {
            if self.ask().await.is_ok_and(|body| body == wanted.as_bytes()) {
                return Ok(Change { stored, effect: started.elapsed() });
            }
            ensure!(started.elapsed() < PATIENCE, "change {number} had no effect within {PATIENCE:?}");
        }
    }

    async fn ask(&self) -> anyhow::Result<Bytes> {
        let stream = TcpStream::connect(self.gateway).await?;
        stream.set_nodelay(true)?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let driver = tokio::spawn(connection);
        let request = Request::get("/").header(header::HOST, HOST).body(Empty::<Bytes>::new())?;
        let body = sender.send_request(request).await?.into_body().collect().await?.to_bytes();
        drop(sender);
        driver.await??;
        Ok(body)
    }
}

fn objects(client: &Client, kind: &str) -> Api<DynamicObject> {
    let resource = ApiResource {
        group: "networking.istio.io".to_owned(),
        version: "v1".to_owned(),
        api_version: "networking.istio.io/v1".to_owned(),
        kind: kind.to_owned(),
        plural: format!("{}s", kind.to_ascii_lowercase()),
    };
    Api::namespaced_with(client.clone(), NAMESPACE, &resource)
}

async fn apply(client: &Client, kind: &str, spec: serde_json::Value) -> anyhow::Result<()> {
    let object = json!({"apiVersion": "networking.istio.io/v1", "kind": kind, "metadata": {"name": NAME}, "spec": spec});
    objects(client, kind).patch(NAME, &PatchParams::apply("ferromesh-bench").force(), &Patch::Apply(object)).await?;
    Ok(())
}
