//! The nodes' part: which pods of this node get redirect rules, so that no container of theirs has to write them?
//!
//! It puts a small plugin into the node's network configuration and keeps it there ([`place`]). The plugin asks over a Unix socket about each
//! pod whose network is made, and hands over its open namespace ([`socket`], [`plugin`]); a pod that the injector has left to the node says in
//! its container `istio-validation` which rules it needs ([`decide`]). It watches the pods of its node and mends those that started without
//! ([`repair`]).
//!
//! It never stands in the way of a pod that is not the mesh's, and a pod that it misses does not run: its own `istio-validation` fails until
//! it has been mended. Its single entry is [`start`].

mod chain;
mod decide;
mod metrics;
mod namespace;
mod place;
mod plugin;
mod repair;
mod socket;
#[cfg(test)]
mod tests;

use kube::Client;
use std::{fmt, fs::File, path::PathBuf, sync::Arc};

use self::{metrics::Metrics, place::Place, plugin::Questions, repair::Repairs};
use crate::model::PodRepair;
use crate::runtime::{Readiness, Registry, Tasks, UnixSocket};

/// What the nodes' part is told.
#[derive(Clone, Debug)]
pub struct CniConfig {
    /// The node.
    pub node: String,
    /// The namespace of the DaemonSet that it is a pod of.
    pub namespace: String,
    /// The node's folder of plugins.
    pub bin_dir: PathBuf,
    /// The node's folder of network configurations.
    pub conf_dir: PathBuf,
    /// The plugin's program, to be copied there.
    pub plugin: PathBuf,
    /// Where the plugin asks, by the same path on the node.
    pub socket: PathBuf,
    /// What becomes of pods that were missed.
    pub repair: PodRepair,
    /// The node's processes.
    pub processes: PathBuf,
    /// How rules get into a network namespace.
    pub redirect: Redirect,
}

/// Puts the rules that these arguments of `ferromesh-agent init` ask for into an open network namespace. Blocks.
#[derive(Clone)]
pub struct Redirect(Arc<RedirectFunction>);

type RedirectFunction = dyn Fn(&[String], &File) -> Result<(), String> + Send + Sync;

// === impl Redirect ===

impl Redirect {
    /// From a function that says in words why it could not.
    pub fn new(redirect: impl Fn(&[String], &File) -> Result<(), String> + Send + Sync + 'static) -> Self {
        Self(Arc::new(redirect))
    }

    async fn put(&self, arguments: Vec<String>, namespace: File) -> Result<(), String> {
        let redirect = self.0.clone();
        let done = tokio::task::spawn_blocking(move || redirect(&arguments, &namespace)).await;
        done.unwrap_or_else(|error| Err(error.to_string()))
    }
}

impl fmt::Debug for Redirect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Redirect")
    }
}

/// Starts the tasks. They end with `tasks`; `readiness` turns good once the plugin is in the node's configuration and pods are known.
pub fn start(config: CniConfig, client: Client, socket: UnixSocket, tasks: &mut Tasks, readiness: &Readiness, registry: &mut Registry) {
    let metrics = Metrics::registered(registry);
    let shutdown = tasks.shutdown();
    let questions = Questions::new(client.clone(), &config, metrics.clone());
    tasks.spawn("plugin", socket::serve(socket, questions, shutdown.clone()));
    let repairs = Repairs::new(client.clone(), &config, metrics);
    tasks.spawn("repair", repairs.run(readiness.wait_for("pods of the node"), shutdown.clone()));
    let place = Place::new(client, config);
    tasks.spawn("place", place.run(readiness.clone(), readiness.wait_for(place::AWAITED), shutdown));
}
