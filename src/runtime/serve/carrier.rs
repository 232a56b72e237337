//! The connection that carries a request, as far as the request's handler has to do with it.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use rustls_pki_types::CertificateDer;
use tokio::sync::Notify;

/// A connection; an extension of each request that came over it.
#[derive(Clone, Debug)]
pub struct Carrier {
    /// When the certificate that the client showed ends; none without one.
    pub certificate_ends: Option<SystemTime>,
    closing: Arc<Notify>,
}

// === impl Carrier ===

impl Carrier {
    pub(super) fn of(client: Option<&CertificateDer<'_>>) -> Self {
        Self { certificate_ends: client.and_then(end_of), closing: Arc::default() }
    }

    /// Has the connection take no more requests, and end after those that it carries.
    pub fn close(&self) {
        self.closing.notify_one();
    }

    /// Returns when that was asked for.
    pub(super) async fn closing(&self) {
        self.closing.notified().await;
    }
}

fn end_of(certificate: &CertificateDer<'_>) -> Option<SystemTime> {
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate).ok()?;
    let seconds = u64::try_from(parsed.validity().not_after.timestamp()).ok()?;
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
}
