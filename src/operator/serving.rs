//! The operator's own serving certificate, from the Secret that the leading operator keeps.

use futures::StreamExt;
use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api, Client,
    runtime::{
        WatchStreamExt,
        watcher::{self, watcher},
    },
};
use rustls::ServerConfig;
use std::{convert::Infallible, pin::pin, sync::Arc};
use tokio::sync::watch;
use webhook_certs::{LeafSecret, ReloadingCert, ServeError, server_config};

use super::certificates::OWN_SECRET;
use crate::runtime::{ReadyGuard, Security, Shutdown, causes};

/// Follows the Secret and serves what it holds.
pub(super) struct Serving {
    secrets: Api<Secret>,
    publish: watch::Sender<Option<Arc<ServerConfig>>>,
    certificate: Option<Arc<ReloadingCert>>,
}

// === impl Serving ===

impl Serving {
    /// The follower, and the security of the listener; that accepts once there is a certificate.
    pub(super) fn new(client: Client, namespace: &str) -> (Self, Security) {
        let (publish, source) = watch::channel(None);
        (Self { secrets: Api::namespaced(client, namespace), publish, certificate: None }, Security::Tls(source))
    }

    /// Runs until shutdown; releases `ready` with the first certificate.
    ///
    /// # Errors
    /// None; the type is what [`crate::runtime::Tasks::spawn`] takes.
    pub(super) async fn run(mut self, ready: ReadyGuard, shutdown: Shutdown) -> Result<(), Infallible> {
        let mut ready = Some(ready);
        let config = watcher::Config::default().fields(&format!("metadata.name={OWN_SECRET}"));
        let mut events = pin!(watcher(self.secrets.clone(), config).default_backoff().applied_objects());
        loop {
            let event = tokio::select! {
                () = shutdown.requested() => return Ok(()),
                Some(event) = events.next() => event,
            };
            match event.map(|secret| self.load(&secret)) {
                Ok(Ok(())) => drop(ready.take()),
                Ok(Err(error)) => tracing::warn!(error = causes(&error), "certificate can't be served; the old one stays"),
                Err(error) => tracing::warn!(error = causes(&error), "watch of the serving certificate broken"),
            }
        }
    }

    fn load(&mut self, secret: &Secret) -> Result<(), ServeError> {
        let LeafSecret { cert, key, .. } = LeafSecret::from_data(secret.data.as_ref());
        match &self.certificate {
            Some(certificate) => {
                if certificate.replace(&cert, &key)? {
                    tracing::info!("serving a new certificate");
                }
            }
            None => {
                let certificate = ReloadingCert::from_pem(&cert, &key)?;
                self.publish.send_replace(Some(Arc::new(server_config(certificate.clone())?)));
                self.certificate = Some(certificate);
            }
        }
        Ok(())
    }
}
