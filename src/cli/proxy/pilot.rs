//! Pilot's debug pages, those of all replicas taken together.

use serde_json::Value;

use super::{
    pod::{PodName, Pods},
    rejection::Rejection,
};
use crate::cli::exit::{Exit, Failure};

/// The port of pilot's debug pages.
pub(in crate::cli) const PORT: u16 = 15014;
/// How pilot's pods are labelled.
pub(in crate::cli) const LABELS: &str = "istio=pilot";

/// The replicas of pilot.
pub(in crate::cli) struct Pilots {
    pods: Pods,
    replicas: Vec<PodName>,
}

/// A proxy, as the pilot that it is connected to sees it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Connected {
    pub(super) proxy: String,
    pub(super) version: String,
    /// The pilot.
    pub(super) pilot: String,
    /// What was sent and acknowledged last, of clusters, listeners, endpoints and routes.
    pub(super) progress: [(String, String); 4],
    pub(super) rejections: Vec<Rejection>,
}

/// How a proxy stands, all in all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cli) struct Standing {
    /// `POD.NAMESPACE`.
    pub(in crate::cli) name: String,
    pub(in crate::cli) version: String,
    /// Whether it has acknowledged everything.
    pub(in crate::cli) synced: bool,
    /// How many resources it refuses.
    pub(in crate::cli) refused: usize,
}

/// The kinds in the order of the columns, as pilot's page names them.
pub(super) const KINDS: [&str; 4] = ["cluster", "listener", "endpoint", "route"];

// === impl Pilots ===

impl Pilots {
    /// Finds pilot.
    ///
    /// # Errors
    /// When none runs.
    pub(in crate::cli) async fn find(pods: &Pods, namespace: &str) -> Result<Self, Failure> {
        let replicas = pods.list(Some(namespace), LABELS).await?;
        if replicas.is_empty() {
            let told = format!("no pilot runs in namespace {namespace}: name the control plane's with --istioNamespace");
            return Err(Failure::new(Exit::Failed, told));
        }
        Ok(Self { pods: pods.clone(), replicas })
    }

    async fn page(&self, replica: &PodName, path: &str) -> Result<Vec<Value>, Failure> {
        let text = self.pods.get(replica, PORT, path).await?;
        serde_json::from_str(&text)
            .map_err(|error| Failure::new(Exit::Failed, format_args!("{path} of {replica} is no JSON list: {error}")))
    }

    /// The proxies of all replicas, sorted by name.
    ///
    /// # Errors
    /// When a replica does not answer.
    pub(super) async fn connected(&self) -> Result<Vec<Connected>, Failure> {
        let mut all = Vec::new();
        for replica in &self.replicas {
            let (synced, connections) = (self.page(replica, "/debug/syncz").await?, self.page(replica, "/debug/connections").await?);
            all.extend(connected(&synced, &connections, &replica.name));
        }
        all.sort_by(|a, b| a.proxy.cmp(&b.proxy));
        Ok(all)
    }

    /// What a proxy refuses at present; `None` if no replica knows it.
    ///
    /// # Errors
    /// When a replica does not answer.
    pub(in crate::cli) async fn rejections(&self, proxy: &str) -> Result<Option<Vec<Rejection>>, Failure> {
        let all = self.connected().await?;
        Ok(all.into_iter().find(|it| it.proxy == proxy).map(|it| it.rejections))
    }

    /// How each proxy stands.
    ///
    /// # Errors
    /// When a replica does not answer.
    pub(in crate::cli) async fn standing(&self) -> Result<Vec<Standing>, Failure> {
        let standing = |proxy: Connected| Standing {
            synced: proxy.progress.iter().all(|(sent, acked)| sent == acked),
            refused: proxy.rejections.len(),
            name: proxy.proxy,
            version: proxy.version,
        };
        Ok(self.connected().await?.into_iter().map(standing).collect())
    }

    /// What a proxy should have: the page `config_dump` of the replica that serves it.
    ///
    /// # Errors
    /// When it is connected to none, or the replica does not answer.
    pub(super) async fn configuration(&self, proxy: &str) -> Result<Value, Failure> {
        let mut last = Failure::new(Exit::Failed, format_args!("{proxy} is connected to no pilot"));
        for replica in &self.replicas {
            match self.pods.get(replica, PORT, &format!("/debug/config_dump?proxyID={proxy}")).await {
                Ok(text) => {
                    return serde_json::from_str(&text)
                        .map_err(|error| Failure::new(Exit::Failed, format_args!("config_dump of {replica}: {error}")));
                }
                Err(failure) => last = failure,
            }
        }
        Err(last)
    }
}

/// The proxies of one replica's two pages.
pub(super) fn connected(synced: &[Value], connections: &[Value], pilot: &str) -> Vec<Connected> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let one = |entry: &Value| {
        let proxy = text(&entry["proxy"]);
        let own = connections.iter().filter(|it| it["proxy"] == entry["proxy"]);
        let rejections = own.flat_map(|it| it["rejections"].as_array().into_iter().flatten()).map(Rejection::of).collect();
        Connected {
            proxy,
            version: text(&entry["proxy_version"]),
            pilot: pilot.to_owned(),
            progress: KINDS.map(|kind| (text(&entry[format!("{kind}_sent")]), text(&entry[format!("{kind}_acked")]))),
            rejections,
        }
    };
    synced.iter().map(one).collect()
}
