//! The conversation with citadel: one short TLS connection a certificate.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
};
use rcgen::{CertificateParams, DistinguishedName, KeyPair};
use std::{
    fs, io,
    path::PathBuf,
    sync::Arc,
    time::{Duration, SystemTime},
};
use tokio::{sync::watch, time::timeout};
use tonic::{Status, transport::Channel};

use super::{
    CertificateSource, WorkloadCert,
    schedule::{longest_wait, renew_at},
};
use crate::runtime::{Backoff, random_fraction};
use crate::runtime::{
    CertificateRequest, ChannelError, Registry, Shutdown, TlsError, causes, certificates_from_pem, client_config, create_certificate,
    secure_channel,
};

/// Where and as whom to ask.
#[derive(Clone, Debug)]
pub struct IdentityConfig {
    /// `host:port` of citadel.
    pub address: String,
    /// The name that citadel's certificate must bear; none for the host of `address`.
    pub server_name: Option<String>,
    /// The projected service account token. Read anew for each request, because the kubelet renews it.
    pub token_file: PathBuf,
    /// The mesh's roots in PEM. Looked at every ten seconds, because citadel may add or replace roots.
    pub root_file: PathBuf,
    /// The lifetime to ask for; the CA may give less.
    pub lifetime: Duration,
}

/// Keeps one workload's certificate fresh.
#[derive(Debug)]
pub struct IdentityClient {
    config: IdentityConfig,
    publish: watch::Sender<Option<Arc<WorkloadCert>>>,
    metrics: Metrics,
    backoff: Backoff,
    next_attempt: SystemTime,
}

/// Why there is no (new) certificate.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// A mounted file can't be read.
    #[error("can't read {path}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The roots can't be used.
    #[error("the mesh's root certificates can't be used")]
    Root(#[source] TlsError),
    /// There is no connection to the CA.
    #[error("can't reach the CA")]
    Connect(#[from] ChannelError),
    /// The CA did not answer in time.
    #[error("the CA did not answer within {0:?}")]
    TimedOut(Duration),
    /// The CA said no.
    #[error("the CA refused the request: {}", .0.message())]
    Refused(#[from] Status),
    /// The key or the request could not be made.
    #[error("can't make a key and a request")]
    Request(#[from] rcgen::Error),
    /// The certificate does not verify under the mesh's roots.
    #[error("the CA's answer can't be used")]
    Answer(#[source] TlsError),
    /// Not a certificate, although it verified.
    #[error("the CA's answer can't be read")]
    Unreadable,
    /// It is for another key.
    #[error("the CA's certificate is for another key")]
    ForeignKey,
    /// It names no workload.
    #[error("the CA's certificate states no identity of the mesh")]
    NoIdentity,
}

#[derive(Clone, Debug, Default)]
struct Metrics {
    requests: Family<ResultLabel, Counter>,
    expiry: Gauge,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResultLabel {
    result: &'static str,
}

/// How often the roots' file is looked at.
const ROOT_POLL: Duration = Duration::from_secs(10);

/// For the connection and for the answer, each.
const TIME_OUT: Duration = Duration::from_secs(10);

// === impl IdentityClient ===

impl IdentityClient {
    /// A client that has not asked yet, and where its certificates will appear. Metrics are registered as `identity_…`.
    pub fn new(config: IdentityConfig, registry: &mut Registry) -> (Self, CertificateSource) {
        let (publish, source) = watch::channel(None);
        let metrics = Metrics::registered(registry);
        let backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(60));
        (Self { config, publish, metrics, backoff, next_attempt: SystemTime::UNIX_EPOCH }, source)
    }

    /// Gets and renews certificates until shutdown. A failed attempt is logged and repeated, and never ends this task.
    ///
    /// # Errors
    /// None; the type is what [`crate::runtime::Tasks::spawn`] takes.
    pub async fn run(mut self, shutdown: Shutdown) -> Result<(), IdentityError> {
        loop {
            tokio::select! {
                () = shutdown.requested() => return Ok(()),
                () = self.advance() => {}
            }
        }
    }

    /// Does what is due, then waits until something may be.
    async fn advance(&mut self) {
        self.look_at_roots();
        if self.is_due() {
            self.attempt().await;
        }
        // Short waits instead of one long one: the wall clock may be set, and the machine may sleep.
        let wait = self.next_attempt.duration_since(SystemTime::now()).unwrap_or_default().min(ROOT_POLL);
        tokio::time::sleep(wait).await;
    }

    pub(super) fn is_due(&self) -> bool {
        SystemTime::now() >= self.next_attempt
    }

    pub(super) async fn attempt(&mut self) {
        match self.fetch().await {
            Ok(certificate) => {
                tracing::info!(identity = %certificate.identity, "certificate issued");
                self.metrics.requests.get_or_create(&ResultLabel { result: "success" }).inc();
                self.metrics.set_expiry(certificate.not_after);
                self.backoff.reset();
                self.next_attempt = renew_at(certificate.issued_at, certificate.not_after, random_fraction());
                self.publish.send_replace(Some(Arc::new(certificate)));
            }
            Err(error) => {
                self.metrics.requests.get_or_create(&ResultLabel { result: "failure" }).inc();
                let now = SystemTime::now();
                let remaining = self.publish.borrow().as_ref().map(|current| current.not_after.duration_since(now).unwrap_or_default());
                let wait = self.backoff.next_delay_within(longest_wait(remaining));
                tracing::warn!(error = causes(&error), ?wait, ?remaining, "no certificate");
                self.next_attempt = now + wait;
            }
        }
    }

    /// Publishes changed roots at once; asks for a new certificate at once if the current one does not chain to them.
    pub(super) fn look_at_roots(&mut self) {
        let Some(current) = self.publish.borrow().clone() else { return };
        let Ok(roots_pem) = self.read_roots() else { return };
        if roots_pem == current.roots_pem.as_bytes() {
            return;
        }
        match current.with_roots(&roots_pem) {
            Ok(certificate) => {
                let trusted = certificate.is_trusted();
                tracing::info!(trusted, "root certificates changed");
                if !trusted {
                    self.next_attempt = SystemTime::UNIX_EPOCH;
                }
                self.publish.send_replace(Some(Arc::new(certificate)));
            }
            Err(error) => tracing::error!(error = causes(&error), "changed root certificates are ignored"),
        }
    }

    pub(super) async fn fetch(&self) -> Result<WorkloadCert, IdentityError> {
        let roots_pem = self.read_roots()?;
        let token = fs::read_to_string(&self.config.token_file)
            .map_err(|source| IdentityError::File { path: self.config.token_file.clone(), source })?;
        let key = KeyPair::generate()?;
        let request = CertificateRequest {
            csr: request_for(&key)?,
            validity_duration: self.config.lifetime.as_secs().try_into().unwrap_or(i64::MAX),
            metadata: None,
        };
        let channel = timeout(TIME_OUT, self.connect(&roots_pem)).await.map_err(|_| IdentityError::TimedOut(TIME_OUT))??;
        let answer = timeout(TIME_OUT, create_certificate(channel, request, token.trim())).await;
        let answer = answer.map_err(|_| IdentityError::TimedOut(TIME_OUT))??;
        WorkloadCert::from_answer(&answer.cert_chain, &key, &roots_pem, SystemTime::now())
    }

    async fn connect(&self, roots_pem: &[u8]) -> Result<Channel, IdentityError> {
        let roots = certificates_from_pem(roots_pem).map_err(IdentityError::Root)?;
        let tls = client_config(&roots, None).map_err(IdentityError::Root)?;
        Ok(secure_channel(&self.config.address, self.config.server_name.as_deref(), tls).await?)
    }

    fn read_roots(&self) -> Result<Vec<u8>, IdentityError> {
        fs::read(&self.config.root_file).map_err(|source| IdentityError::File { path: self.config.root_file.clone(), source })
    }
}

/// A request that names nobody: the CA takes the name from the caller's token, and ignores any that is asked for.
fn request_for(key: &KeyPair) -> Result<String, rcgen::Error> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.serialize_request(key)?.pem()
}

// === impl Metrics ===

impl Metrics {
    fn registered(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        let registry = registry.sub_registry_with_prefix("identity");
        registry.register("requests", "Certificates asked for at the CA", metrics.requests.clone());
        registry.register("certificate_expiry_timestamp_seconds", "When the current certificate ends", metrics.expiry.clone());
        metrics
    }

    fn set_expiry(&self, not_after: SystemTime) {
        let seconds = not_after.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        self.expiry.set(seconds.try_into().unwrap_or(i64::MAX));
    }
}
