//! Does this pod get a sidecar, and which? The mutating webhook for pods.
//!
//! It watches nodes (to know which kubelets can run native sidecar containers), ProxyConfigs and the labels of namespaces, reads the mesh's
//! configuration and its own values from files, and answers the API server from memory. It never calls the API server to answer, never
//! reads Secrets, and never denies a pod but for what it asks of its sidecar: an annotation that cannot be understood, a template that is
//! not there, or more than its namespace's Pod Security level allows.
//!
//! Labels of namespaces do not decide whether a pod is injected: the selectors of the webhook configuration do, with the API server's own
//! view of them. A second opinion from a watch that lags behind would leave pods of a namespace that was labelled just now without a sidecar.
//!
//! [`decide`], [`inject`] and [`uninject`] are pure; [`start`] serves them. An injection, in order:
//!
//! ```text
//! strip ─▶ annotations ─▶ templates ─▶ limits ─▶ merge ─▶ overrides ─▶ probes, scrape ─▶ order ─▶ record
//! ```
//!
//! ```text
//! files ──▶ settings ══ Arc<Template> ══▶ webhook (/inject) ──▶ decide ──▶ inject ──▶ patch
//! nodes ──▶ NativeSidecars ════════════════════╣
//! ProxyConfigs, namespaces ════════════════════╝
//! ```

mod annotations;
mod call;
mod container;
mod decide;
mod inject;
mod known;
mod limits;
mod merge;
mod metrics;
mod namespaces;
mod nodes;
mod order;
mod overrides;
mod patch;
mod pod;
mod probes;
mod proxy_configs;
mod scrape;
mod selection;
mod settings;
mod strip;
mod surroundings;
mod templates;
mod unhonoured;
mod webhook;
mod workload;

#[cfg(test)]
mod tests;

pub use annotations::AnnotationError;
pub use decide::{Decision, Skip, decide};
pub use inject::{InjectError, Template, inject};
pub use limits::Denial;
pub use nodes::{NativeSidecars, native_everywhere};
pub use pod::PodView;
pub use proxy_configs::ProxyConfigs;
pub use selection::{
    CONDITIONS, Condition, Configuration, Entry, Explanation, Labels, SYSTEM_NAMESPACES, SelectionSettings, entries, exempt, explain,
    parse, selecting,
};
pub use strip::uninject;
pub use surroundings::{Owner, Surroundings};
pub use templates::{TemplateError, check as check_template, is_built_in};

use kube::Client;
use std::{path::PathBuf, sync::Arc, time::Duration};
use tokio::sync::watch;

use self::{metrics::Metrics, settings::Settings, webhook::Webhook};
use crate::runtime::{CertificateFiles, Limits, Listener, Readiness, Registry, Tasks, admission_tree};

/// What the injector is told.
#[derive(Clone, Debug)]
pub struct InjectorConfig {
    /// The folder with the serving certificate: `tls.crt` and `tls.key`.
    pub certificates: PathBuf,
    /// The file with the mesh's configuration.
    pub mesh: PathBuf,
    /// The file with the injector's own values.
    pub values: PathBuf,
    /// The proxy's image in place of the one that the values name.
    pub image: ProxyImage,
    /// How often files are looked at for changes.
    pub reread: Duration,
}

/// Where the proxy's image comes from. The values change as soon as another version is wanted, an injector only once it runs: one that is told
/// its own version's image goes on handing out an image that is there while its successor can't be pulled.
#[derive(Clone, Debug, Default)]
pub struct ProxyImage {
    /// The registry and path before the image's name; none for that of the values.
    pub hub: Option<String>,
    /// The tag; none for that of the values.
    pub tag: Option<String>,
}

/// Starts the injector's tasks. They end with `tasks`; `readiness` turns good once certificate and settings are known, and
/// what is watched.
pub fn start(
    config: InjectorConfig,
    client: Client,
    listener: Listener,
    tasks: &mut Tasks,
    readiness: &Readiness,
    registry: &mut Registry,
) {
    let metrics = Metrics::registered(registry);
    let shutdown = tasks.shutdown();

    let (settings, template) = Settings::new(&config, metrics.clone());
    tasks.spawn("settings", settings.run(readiness.wait_for("mesh configuration and injection values"), shutdown.clone()));

    let native = NativeSidecars::default();
    tasks.spawn("nodes", nodes::follow(client.clone(), native.clone(), readiness.wait_for("watch of nodes"), shutdown.clone()));

    let (publish, proxy_configs) = watch::channel(Arc::default());
    tasks.spawn(
        "proxy configs",
        proxy_configs::follow(client.clone(), publish, readiness.wait_for("watch of ProxyConfigs"), shutdown.clone()),
    );

    let (publish, namespaces) = watch::channel(Arc::default());
    let namespaces_known = readiness.wait_for("watch of namespaces");
    tasks.spawn("namespaces", namespaces::follow(client, publish, namespaces_known, shutdown.clone()));

    let (certificate, security) = CertificateFiles::new(config.certificates, config.reread, registry);
    tasks.spawn("serving certificate", certificate.run(readiness.wait_for("serving certificate"), shutdown.clone()));

    let webhook = Webhook { template, proxy_configs, namespaces, native, metrics };
    let routes = admission_tree("/inject", move |request| webhook.answer(&request));
    tasks.spawn("webhook", listener.serve(routes, security, Limits::webhook(), shutdown));
}
