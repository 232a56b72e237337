//! May this object be stored? The validating webhook for the mesh's configuration.
//!
//! It reads an object as pilot will read it, with the same parsers, and refuses what pilot would not understand, with everything that is
//! wrong in one message. What is doubtful but legal is a warning. It watches nothing, needs no rights and answers from the question
//! alone, so it can't be wrong because it lags. It never sees a MeshInstall: that is the operator's to judge.
//!
//! [`start`] serves it:
//!
//! ```text
//! API server ──▶ webhook (/validate) ──▶ config::parse_object ──▶ allowed, with warnings, or denied
//! ```

#[cfg(test)]
mod agreement;
mod metrics;
mod webhook;

#[cfg(test)]
mod tests;

use axum::Router;
use std::{path::PathBuf, time::Duration};

use self::{metrics::Metrics, webhook::Webhook};
use crate::config::ParseContext;
use crate::runtime::{CertificateFiles, Limits, Listener, Readiness, Registry, Tasks, admission_route};

/// What galley is told.
#[derive(Clone, Debug)]
pub struct GalleyConfig {
    /// The folder with the serving certificate: `tls.crt` and `tls.key`.
    pub certificates: PathBuf,
    /// How often its files are looked at for changes.
    pub reread: Duration,
    /// The DNS domain of the cluster, under which short host names are looked for.
    pub cluster_domain: String,
}

/// Starts galley's tasks. They end with `tasks`; `readiness` turns good once there is a certificate.
pub fn start(config: GalleyConfig, listener: Listener, tasks: &mut Tasks, readiness: &Readiness, registry: &mut Registry) {
    let shutdown = tasks.shutdown();

    let (certificate, security) = CertificateFiles::new(config.certificates, config.reread, registry);
    tasks.spawn("serving certificate", certificate.run(readiness.wait_for("serving certificate"), shutdown.clone()));

    let context = ParseContext { cluster_domain: config.cluster_domain, ..ParseContext::default() };
    tasks.spawn("webhook", listener.serve(routes(context, registry), security, Limits::webhook(), shutdown));
}

/// What [`start`] serves: the webhook, whose answers depend on `context` and the question alone. Its metrics go to `registry`.
pub fn routes(context: ParseContext, registry: &mut Registry) -> Router {
    let webhook = Webhook { context, metrics: Metrics::registered(registry) };
    admission_route("/validate", move |request| webhook.answer(&request))
}
