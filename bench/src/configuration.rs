//! What much configuration costs: validations beside thousands of other objects, galley's memory, and `ferromesh analyze`.
//!
//! The objects are VirtualServices like bookinfo's, in a namespace of the cluster's that is removed at the end.

use anyhow::{Context, ensure};
use clap::Args;
use futures::{StreamExt, TryStreamExt, stream};
use kube::{
    Api, Client,
    api::{ApiResource, DynamicObject, PostParams},
};
use serde_json::{Value, json};
use std::{
    fmt::Write,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use crate::reviews::virtual_service_review;
use crate::scratch;
use crate::statistics::{milliseconds, percentile};
use crate::webhook::{Question, Setting, Webhook};

/// Arguments of `ferromesh-bench configuration`.
#[derive(Debug, Args)]
pub(crate) struct ConfigurationArgs {
    #[command(flatten)]
    setting: Setting,

    /// The command line's program.
    #[arg(long, value_name = "FILE")]
    ferromesh: PathBuf,

    /// Objects that are there while validations are measured.
    #[arg(long, default_value_t = 2_000)]
    others: usize,

    /// Objects that are there when memory is read, and that are analyzed.
    #[arg(long, default_value_t = 10_000)]
    objects: usize,
}

/// The namespace of the objects that are made.
const NAMESPACE: &str = "ferromesh-bench";
/// Objects that are created at once.
const AT_ONCE: usize = 16;
/// How long galley may take to know an object that was created.
const PATIENCE: Duration = Duration::from_secs(30);

// === impl ConfigurationArgs ===

impl ConfigurationArgs {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let client = Client::try_default().await.context("no access to the cluster")?;
        scratch::within(&client, NAMESPACE, self.measure(&client)).await
    }

    async fn measure(&self, client: &Client) -> anyhow::Result<()> {
        create(client, 0, self.others).await?;
        let galley = Webhook::start(&self.setting, "galley", &["--mesh-config"]).await?;
        let known = knows(&galley, self.others).await?;
        let review = virtual_service_review();
        for connections in [4, 16] {
            let what = format!("validations beside {} VirtualServices", self.others);
            let question = Question { path: "/validate", review: &review, expected: r#""allowed":true"#, what: &what, connections };
            galley.measure(&self.setting, &question).await?;
        }
        create(client, self.others, self.objects).await?;
        knows(&galley, known + self.objects - self.others).await?;
        println!("| galley's resident memory with {} objects | {:.1} MiB |", self.objects, galley.process().memory()?.resident);
        self.analyze_files()?;
        self.analyze("of the cluster", &["-A"])
    }

    fn analyze_files(&self) -> anyhow::Result<()> {
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("objects.yaml");
        let mut text = String::new();
        for number in 0..self.objects {
            writeln!(text, "---\n{}", virtual_service(number))?;
        }
        fs::write(&file, text)?;
        self.analyze("in a file", &["--use-kube=false", path(&file)?])
    }

    /// Times the whole process, from its start to its end.
    fn analyze(&self, what: &str, arguments: &[&str]) -> anyhow::Result<()> {
        let mut samples = Vec::new();
        for _ in 0..5 {
            let started = Instant::now();
            let mut command = Command::new(&self.ferromesh);
            command.args(["analyze", "-o", "json"]).args(arguments).stdin(Stdio::null());
            let output = command.output().context("ferromesh can't be started")?;
            samples.push(started.elapsed());
            // 79: there are findings, as the hosts of these objects have no service.
            let words = String::from_utf8_lossy(&output.stderr);
            ensure!(matches!(output.status.code(), Some(0 | 79)), "ferromesh analyze ended with {}: {words}", output.status);
        }
        println!("| ferromesh analyze, {} objects {what} | {} |", self.objects, milliseconds(percentile(&mut samples, 0.5)));
        Ok(())
    }
}

fn path(path: &Path) -> anyhow::Result<&str> {
    path.to_str().context("the path is not UTF-8")
}

/// Creates the VirtualServices with numbers from `from` up to, but not, `to`.
async fn create(client: &Client, from: usize, to: usize) -> anyhow::Result<()> {
    let resource = ApiResource {
        group: "networking.istio.io".to_owned(),
        version: "v1".to_owned(),
        api_version: "networking.istio.io/v1".to_owned(),
        kind: "VirtualService".to_owned(),
        plural: "virtualservices".to_owned(),
    };
    let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), NAMESPACE, &resource);
    let created = stream::iter(from..to).map(|number| {
        let api = api.clone();
        async move {
            let object: DynamicObject = serde_json::from_value(virtual_service(number))?;
            api.create(&PostParams::default(), &object).await?;
            anyhow::Ok(())
        }
    });
    created.buffer_unordered(AT_ONCE).try_collect().await
}

/// A VirtualService with a match, weights and a time-out.
fn virtual_service(number: usize) -> Value {
    let host = format!("shop-{number}.{NAMESPACE}.svc.cluster.local");
    let to = |subset: &str, weight: u32| json!({"destination": {"host": host, "subset": subset}, "weight": weight});
    json!({
        "apiVersion": "networking.istio.io/v1", "kind": "VirtualService",
        "metadata": {"name": format!("shop-{number}"), "namespace": NAMESPACE},
        // For nobody but this namespace: the sidecars of a mesh that is there need not take them in.
        "spec": {"exportTo": ["."], "hosts": [host], "http": [
            {"match": [{"headers": {"end-user": {"exact": "jason"}}}], "route": [to("v2", 100)]},
            {"timeout": "3s", "route": [to("v1", 80), to("v3", 20)]},
        ]},
    })
}

/// Waits until galley has taken in so many changes, which its first sight of an object is.
async fn knows(galley: &Webhook, wanted: usize) -> anyhow::Result<usize> {
    let started = Instant::now();
    loop {
        let metrics = galley.metrics().await?;
        let line = metrics.lines().find_map(|line| line.strip_prefix("index_changes_total "));
        let changes = line.and_then(|line| line.trim().parse().ok()).unwrap_or_default();
        if changes >= wanted {
            return Ok(changes);
        }
        ensure!(started.elapsed() < PATIENCE, "galley has seen {changes} of {wanted} changes after {PATIENCE:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
