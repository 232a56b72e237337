//! Pods by the names that people give them, and HTTP to their ports through the API server.

use bytes::Bytes;
use futures::{FutureExt, future::BoxFuture};
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, Client,
    api::{ListParams, Portforwarder},
};
use std::{fmt, pin::pin, str::FromStr, time::Duration};
use tokio::{io::DuplexStream, time::timeout};

use crate::cli::exit::{Exit, Failure};
use crate::config::kubernetes::is_dns_label;
use crate::runtime::{causes, list_each};

/// A pod, or a workload one of whose pods will do: `web-1`, `web-1.shop`, `pod/web-1`, `deploy/web`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cli) struct Named {
    /// Whether the name is that of what owns the pod.
    owner: bool,
    name: String,
    namespace: Option<String>,
}

/// The pods of a cluster.
#[derive(Clone)]
pub(in crate::cli) struct Pods {
    client: Client,
}

/// A pod that was found.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::cli) struct PodName {
    pub(in crate::cli) namespace: String,
    pub(in crate::cli) name: String,
}

/// A connection to a pod that the API server and the kubelet carry.
pub(in crate::cli) struct Forwarded {
    pub(in crate::cli) stream: DuplexStream,
    /// Why the kubelet does not carry it any further; none if it never says.
    pub(in crate::cli) refused: BoxFuture<'static, Option<Failure>>,
    /// Carries it until it is aborted.
    pub(in crate::cli) forwarder: Portforwarder,
}

/// Kinds that own pods, as kubectl abbreviates them.
const OWNERS: [&str; 8] = ["deploy", "deployment", "deployments", "sts", "statefulset", "ds", "daemonset", "rs"];

/// How long the kubelet may take to say why a connection that it carries broke.
pub(in crate::cli) const REASON: Duration = Duration::from_millis(200);

impl FromStr for Named {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (owner, rest) = match text.split_once('/') {
            None => (false, text),
            Some(("pod" | "pods" | "po", rest)) => (false, rest),
            Some((kind, rest)) if OWNERS.contains(&kind.split('.').next().unwrap_or(kind)) => (true, rest),
            Some((kind, _)) => return Err(format!("{kind:?} owns no pods: write POD, POD.NAMESPACE or deploy/NAME")),
        };
        let (name, namespace) = match rest.split_once('.') {
            Some((name, namespace)) => (name, Some(namespace.to_owned())),
            None => (rest, None),
        };
        if !is_dns_label(name) || namespace.as_deref().is_some_and(|namespace| !is_dns_label(namespace)) {
            return Err("write POD, POD.NAMESPACE or deploy/NAME".to_owned());
        }
        Ok(Self { owner, name: name.to_owned(), namespace })
    }
}

/// As it was named, without its namespace.
impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl fmt::Display for PodName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.name, self.namespace)
    }
}

// === impl Named ===

impl Named {
    /// The namespace that the name itself gives, else the one that is given.
    pub(in crate::cli) fn namespace<'n>(&'n self, default: &'n str) -> &'n str {
        self.namespace.as_deref().unwrap_or(default)
    }

    /// Whether it is that very name.
    pub(in crate::cli) fn is(&self, pod: &str) -> bool {
        pod == self.name
    }

    /// Whether a pod is one of a workload of that name. A workload's pods have its name and one or two random parts.
    pub(in crate::cli) fn means(&self, pod: &str) -> bool {
        let rest = pod.strip_prefix(&self.name).and_then(|rest| rest.strip_prefix('-'));
        pod == self.name || rest.is_some_and(|rest| !rest.is_empty() && rest.split('-').count() <= 2)
    }
}

// === impl Pods ===

impl Pods {
    pub(in crate::cli) fn new(client: Client) -> Self {
        Self { client }
    }

    /// The pod that is meant; of a workload's pods the first that runs.
    ///
    /// # Errors
    /// When there is none, or it can't be asked for.
    pub(in crate::cli) async fn find(&self, named: &Named, default_namespace: &str) -> Result<PodName, Failure> {
        let namespace = named.namespace(default_namespace);
        if !named.owner {
            return Ok(PodName { namespace: namespace.to_owned(), name: named.name.clone() });
        }
        let running = self.list(Some(namespace), "").await?;
        let found = running.into_iter().find(|pod| named.means(&pod.name));
        found.ok_or_else(|| Failure::new(Exit::Failed, format_args!("no pod of {} runs in namespace {namespace}", named.name)))
    }

    /// The pods that run, with these labels, in a namespace or in all.
    ///
    /// # Errors
    /// When they can't be listed.
    pub(in crate::cli) async fn list(&self, namespace: Option<&str>, labels: &str) -> Result<Vec<PodName>, Failure> {
        let api: Api<Pod> = match namespace {
            Some(namespace) => Api::namespaced(self.client.clone(), namespace),
            None => Api::all(self.client.clone()),
        };
        let runs = |pod: &Pod| pod.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Running");
        let name =
            |pod: Pod| PodName { namespace: pod.metadata.namespace.unwrap_or_default(), name: pod.metadata.name.unwrap_or_default() };
        let running = list_each(&api, &ListParams::default().labels(labels), |pod| runs(&pod).then(|| name(pod))).await;
        let mut pods = running.map_err(|error| Failure::cluster("list pods", &error))?;
        pods.sort();
        Ok(pods)
    }

    /// A page of a port of a pod's loopback.
    ///
    /// # Errors
    /// When the pod can't be reached, or does not answer with 200.
    pub(in crate::cli) async fn get(&self, pod: &PodName, port: u16, path: &str) -> Result<String, Failure> {
        self.ask(Method::GET, pod, port, path).await
    }

    /// The same by POST, which changes something.
    ///
    /// # Errors
    /// As [`Pods::get`].
    pub(in crate::cli) async fn post(&self, pod: &PodName, port: u16, path: &str) -> Result<String, Failure> {
        self.ask(Method::POST, pod, port, path).await
    }

    /// A connection to a port of a pod's loopback.
    ///
    /// # Errors
    /// When the API server does not carry it.
    pub(in crate::cli) async fn connect(&self, pod: &PodName, port: u16) -> Result<Forwarded, Failure> {
        let api: Api<Pod> = Api::namespaced(self.client.clone(), &pod.namespace);
        let forwarder = api.portforward(&pod.name, &[port]).await;
        let mut forwarder = forwarder.map_err(|error| Failure::cluster(format_args!("forward port {port} of {pod}"), &error))?;
        let told = format!("port {port} of {pod} can't be reached");
        let stream = forwarder.take_stream(port).ok_or_else(|| Failure::new(Exit::Unreachable, &told))?;
        let reason = forwarder.take_error(port);
        let refused = async move { Some(Failure::new(Exit::Unreachable, format_args!("{told}: {}", reason?.await?.trim()))) };
        Ok(Forwarded { stream, refused: refused.boxed(), forwarder })
    }

    async fn ask(&self, method: Method, pod: &PodName, port: u16, path: &str) -> Result<String, Failure> {
        let broken = |error: &(dyn std::error::Error + 'static)| {
            Failure::new(Exit::Unreachable, format_args!("port {port} of {pod}: {}", causes(error)))
        };
        let Forwarded { stream, refused, forwarder } = self.connect(pod, port).await?;
        let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
        let (mut sender, connection) = handshake.map_err(|error| broken(&error))?;
        let driver = tokio::spawn(connection);
        let request = Request::builder().method(method).uri(path).header(http::header::HOST, "localhost");
        let request = request.body(Full::<Bytes>::default()).map_err(|error| broken(&error))?;
        let answer = async {
            let answer = sender.send_request(request).await.map_err(|error| broken(&error))?;
            let status = answer.status();
            let body = answer.into_body().collect().await.map_err(|error| broken(&error))?.to_bytes();
            Ok::<_, Failure>((status, String::from_utf8_lossy(&body).into_owned()))
        };
        let mut refused = pin!(refused.fuse());
        // What the kubelet says is clearer than that the connection broke, and may come right after.
        let answer = tokio::select! {
            biased;
            Some(told) = &mut refused => Err(told),
            answer = answer => match answer {
                Err(broken) => Err(timeout(REASON, refused).await.ok().flatten().unwrap_or(broken)),
                answered => answered,
            },
        };
        driver.abort();
        forwarder.abort();
        match answer? {
            (StatusCode::OK, body) => Ok(body),
            (status, body) => {
                let path = path.split('?').next().unwrap_or(path);
                Err(Failure::new(Exit::Failed, format_args!("{path} of port {port} of {pod} answers {status}: {}", body.trim())))
            }
        }
    }
}
