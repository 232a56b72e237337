//! The cluster that tests run on: kubectl, helm, and the API.

use anyhow::Context;
use k8s_openapi::api::core::v1::{Node, Pod, Service};
use kube::{
    Api, Client, Config, Resource, ResourceExt,
    api::ListParams,
    config::{KubeConfigOptions, Kubeconfig},
};
use std::{
    env,
    fmt::Debug,
    path::{Path, PathBuf},
    process::Stdio,
};
use tokio::process::Command;

use crate::{
    Forward, Said, Skip,
    command::{command_line, program, run},
    project,
};

/// Access to the cluster.
#[derive(Clone, Debug)]
pub struct Cluster {
    client: DebugClient,
    context: String,
    /// The local cluster's kubeconfig; none for a cluster of the user's.
    kubeconfig: Option<PathBuf>,
}

#[derive(Clone)]
struct DebugClient(Client);

impl Debug for DebugClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Client")
    }
}

/// The local cluster's context.
const LOCAL: &str = "ferromesh";

// === impl Cluster ===

impl Cluster {
    /// The cluster of `CONTEXT`, else the local one.
    ///
    /// # Errors
    /// [`Skip`] if there is none; otherwise when it can't be reached.
    pub async fn connect() -> anyhow::Result<Self> {
        // Another test has set the same one.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let named = env::var("CONTEXT").ok().filter(|context| !context.is_empty());
        let local = project::cache().map(|cache| cache.join("cluster/kubeconfig")).filter(|path| path.exists());
        let (context, kubeconfig, content) = match (named, local) {
            (Some(context), _) => (context, None, Kubeconfig::read()?),
            (None, Some(path)) => (LOCAL.to_owned(), Some(path.clone()), Kubeconfig::read_from(path)?),
            (None, None) => anyhow::bail!(Skip("no cluster: start one with make cluster-up, or name one with CONTEXT=…".to_owned())),
        };
        let options = KubeConfigOptions { context: Some(context.clone()), ..KubeConfigOptions::default() };
        let config = Config::from_custom_kubeconfig(content, &options).await.with_context(|| format!("context {context}"))?;
        let client = Client::try_from(config)?;
        client.apiserver_version().await.with_context(|| format!("the cluster of context {context} does not answer"))?;
        Ok(Self { client: DebugClient(client), context, kubeconfig })
    }

    /// The API's client.
    pub fn client(&self) -> Client {
        self.client.0.clone()
    }

    /// Objects of one namespace.
    pub fn api<K>(&self, namespace: &str) -> Api<K>
    where
        K: Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.client(), namespace)
    }

    /// kubectl for this cluster, about to be run.
    pub(crate) fn kubectl_command(&self, arguments: &[&str]) -> Command {
        let mut command = program("kubectl");
        command.args(["--context", &self.context]).args(arguments);
        self.local_environment(&mut command);
        command
    }

    /// What kubectl prints.
    ///
    /// # Errors
    /// When it fails, with its words.
    pub async fn kubectl(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let said = run(self.kubectl_command(arguments), None).await?;
        said.checked().with_context(|| format!("kubectl {}", arguments.join(" ")))
    }

    /// What kubectl says to a command that may fail, with `input` on its standard input.
    ///
    /// # Errors
    /// When it can't be run.
    pub async fn try_kubectl(&self, arguments: &[&str], input: Option<&str>) -> anyhow::Result<Said> {
        run(self.kubectl_command(arguments), input).await
    }

    /// Applies a file as it is.
    ///
    /// # Errors
    /// When kubectl does.
    pub async fn apply_file(&self, namespace: &str, file: &Path) -> anyhow::Result<()> {
        let file = file.to_str().context("the path is not UTF-8")?;
        self.kubectl(&["apply", "-n", namespace, "-f", file]).await.map(drop)
    }

    /// Applies an object, or YAML of several, in a namespace.
    ///
    /// # Errors
    /// When kubectl does.
    pub async fn apply(&self, namespace: &str, content: &str) -> anyhow::Result<()> {
        self.try_kubectl(&["apply", "-n", namespace, "-f", "-"], Some(content)).await?.checked().map(drop)
    }

    /// What helm prints.
    ///
    /// # Errors
    /// When it fails, with its words.
    pub async fn helm(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let mut command = program("helm");
        command.args(["--kube-context", &self.context]).args(arguments);
        self.local_environment(&mut command);
        run(command, None).await?.checked().with_context(|| format!("helm {}", arguments.join(" ")))
    }

    /// Gives the mesh's images to the cluster under another tag, made of the programs beside which the tests were built.
    ///
    /// # Errors
    /// When a script fails, with its words.
    pub async fn load_images(&self, tag: &str) -> anyhow::Result<()> {
        let script = project::own(if self.kubeconfig.is_some() { "images/load.sh" } else { "images/push.sh" });
        let mut command = Command::new(script);
        if self.kubeconfig.is_some() {
            command.args(["ferromesh", "ferromesh-proxy"]);
        }
        let (programs, archives) = (project::target().join("debug"), project::target_folder("images")?);
        command.env("TAG", tag).env("BIN_DIR", programs).env("IMAGES_DIR", archives).stdin(Stdio::null()).kill_on_drop(true);
        run(command, None).await?.checked().map(drop).with_context(|| format!("images of tag {tag}"))
    }

    /// What `ferromesh` says about this cluster.
    ///
    /// # Errors
    /// When it can't be run.
    pub async fn ferromesh(&self, arguments: &[&str]) -> anyhow::Result<Said> {
        let mut command = command_line()?;
        command.args(arguments).args(["--context", &self.context]);
        self.local_environment(&mut command);
        run(command, None).await
    }

    /// The pods of a namespace that are not about to go.
    ///
    /// # Errors
    /// When they can't be listed.
    pub async fn pods(&self, namespace: &str, selector: &str) -> anyhow::Result<Vec<Pod>> {
        let pods = self.api::<Pod>(namespace).list(&ListParams::default().labels(selector)).await?;
        Ok(pods.items.into_iter().filter(|pod| pod.metadata.deletion_timestamp.is_none()).collect())
    }

    /// The pods of a namespace, once there is one and all are ready.
    ///
    /// # Errors
    /// When they are not, with those that are missing.
    pub async fn ready_pods(&self, namespace: &str, selector: &str) -> anyhow::Result<Vec<Pod>> {
        let pods = self.pods(namespace, selector).await?;
        let waiting: Vec<String> = pods.iter().filter(|pod| !is_ready(pod)).map(ResourceExt::name_any).collect();
        anyhow::ensure!(!pods.is_empty(), "no pod in {namespace}");
        anyhow::ensure!(waiting.is_empty(), "not ready in {namespace}: {}", waiting.join(", "));
        Ok(pods)
    }

    /// Runs a command in a container of a Deployment's pod.
    ///
    /// # Errors
    /// When kubectl can't be run.
    pub async fn exec(&self, namespace: &str, deployment: &str, container: &str, command: &[&str]) -> anyhow::Result<Said> {
        let target = format!("deployment/{deployment}");
        let mut arguments = vec!["exec", "-n", namespace, &target, "-c", container, "--"];
        arguments.extend(command);
        self.try_kubectl(&arguments, None).await
    }

    /// The administration of a pod's Envoy.
    ///
    /// # Errors
    /// When there is no way to it.
    pub async fn envoy(&self, namespace: &str, pod: &str) -> anyhow::Result<Forward> {
        Forward::to(self, namespace, &format!("pod/{pod}"), 15000).await
    }

    /// Addresses (`HOST:PORT`) at which a port of a Service may be reached from here, the likeliest first.
    ///
    /// # Errors
    /// When Service or nodes can't be read.
    pub async fn addresses(&self, namespace: &str, service: &str, number: i32) -> anyhow::Result<Vec<String>> {
        let service = self.api::<Service>(namespace).get(service).await?;
        let balancer = service.status.and_then(|status| status.load_balancer).and_then(|balancer| balancer.ingress).unwrap_or_default();
        let mut found: Vec<String> =
            balancer.into_iter().filter_map(|at| at.ip.or(at.hostname)).map(|host| format!("{host}:{number}")).collect();
        let ports = service.spec.and_then(|spec| spec.ports).unwrap_or_default();
        let port = ports.iter().find(|port| port.port == number).and_then(|port| port.node_port);
        for node in Api::<Node>::all(self.client()).list(&ListParams::default()).await? {
            let addresses = node.status.and_then(|status| status.addresses).unwrap_or_default();
            let internal = addresses.into_iter().find(|address| address.type_ == "InternalIP");
            if let (Some(port), Some(internal)) = (port, internal) {
                found.push(format!("{}:{port}", internal.address));
            }
        }
        Ok(found)
    }

    /// The local cluster has its own kubeconfig, and no proxy of the machine leads to it.
    fn local_environment(&self, command: &mut Command) {
        if let Some(kubeconfig) = &self.kubeconfig {
            command.env("KUBECONFIG", kubeconfig).env("NO_PROXY", "*").env("no_proxy", "*");
        }
    }
}

/// Whether a pod's condition Ready holds.
pub(crate) fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}
