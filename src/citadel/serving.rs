//! Citadel's own certificate, which it signs itself and keeps in memory only.

use rcgen::KeyPair;
use rustls::ServerConfig;
use rustls_pki_types::PrivatePkcs8KeyDer;
use std::{sync::Arc, time::Duration};
use time::OffsetDateTime;
use tokio::{sync::watch, time::sleep};

use super::{
    AuthorityError, AuthoritySource,
    authority::{Authority, Subject},
};
use crate::model::SpiffeId;
use crate::runtime::{ClientAuth, Security, Shutdown, TlsError, causes, server_config};

/// Keeps the serving certificate fresh.
pub(super) struct Serving {
    identity: SpiffeId,
    dns_names: Vec<String>,
    authority: AuthoritySource,
    lifetime: Duration,
    publish: watch::Sender<Option<Arc<ServerConfig>>>,
}

/// Why citadel can't serve.
#[derive(Debug, thiserror::Error)]
pub(super) enum ServingError {
    #[error("citadel's own certificate could not be signed")]
    Sign(#[from] AuthorityError),
    #[error("citadel's own key could not be made")]
    Key(#[from] rcgen::Error),
    #[error("citadel's own certificate can't be served")]
    Tls(#[from] TlsError),
}

// === impl Serving ===

impl Serving {
    pub(super) fn new(identity: SpiffeId, authority: AuthoritySource, lifetime: Duration) -> (Self, Security) {
        let (publish, configs) = watch::channel(None);
        let (service, namespace) = (&identity.service_account, &identity.namespace);
        let dns_names = vec![
            service.to_string(),
            format!("{service}.{namespace}"),
            format!("{service}.{namespace}.svc"),
            format!("{service}.{namespace}.svc.cluster.local"),
        ];
        (Self { identity, dns_names, authority, lifetime, publish }, Security::Tls(configs))
    }

    /// Signs anew at each change of the authority and at half of each lifetime, until shutdown.
    ///
    /// # Errors
    /// When the first certificate can't be made; later failures leave the old one in place.
    pub(super) async fn run(mut self, shutdown: Shutdown) -> Result<(), ServingError> {
        loop {
            let authority = self.authority.borrow_and_update().clone();
            let wait = match authority.map(|authority| self.config(&authority)) {
                None => Duration::MAX,
                Some(Ok(config)) => {
                    self.publish.send_replace(Some(config));
                    self.lifetime / 2
                }
                Some(Err(error)) if self.publish.borrow().is_none() => return Err(error),
                Some(Err(error)) => {
                    tracing::error!(error = causes(&error), "serving certificate not renewed; the old one stays");
                    self.lifetime / 10
                }
            };
            tokio::select! {
                () = shutdown.requested() => return Ok(()),
                Ok(()) = self.authority.changed() => {}
                () = sleep(wait) => {}
            }
        }
    }

    fn config(&self, authority: &Authority) -> Result<Arc<ServerConfig>, ServingError> {
        let key = KeyPair::generate()?;
        let subject = Subject { identity: &self.identity, dns_names: &self.dns_names };
        let leaf = authority.sign(subject, &key, self.lifetime, OffsetDateTime::now_utc())?;
        let chain = std::iter::once(leaf.der().clone()).chain(authority.intermediates().iter().cloned()).collect();
        Ok(server_config(chain, PrivatePkcs8KeyDer::from(key.serialize_der()).into(), ClientAuth::None)?)
    }
}
