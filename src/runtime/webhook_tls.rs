//! The serving certificate of a webhook, from files that somebody else writes and renews.

use prometheus_client::metrics::gauge::Gauge;
use std::{path::PathBuf, sync::Arc, time::Duration};
use tokio::{sync::watch, time::sleep};
use webhook_certs::{ReloadingCert, ServeError};

use super::{ReadyGuard, Registry, Security, Shutdown, TlsError, causes, resolver_config};

/// Follows a mounted Secret of type `kubernetes.io/tls`. New connections get the certificate that is there.
#[derive(Debug)]
pub struct CertificateFiles {
    directory: PathBuf,
    interval: Duration,
    publish: watch::Sender<Option<Arc<rustls::ServerConfig>>>,
    refused: Gauge,
}

// === impl CertificateFiles ===

impl CertificateFiles {
    /// Looks into `directory` every `interval`; no handshake is answered before it holds a certificate.
    pub fn new(directory: PathBuf, interval: Duration, registry: &mut Registry) -> (Self, Security) {
        let refused = Gauge::default();
        registry.register(
            "webhook_certificate_refused",
            "1 while the files of the webhook's certificate can't be used and an older one, or none, is served",
            refused.clone(),
        );
        let (publish, configs) = watch::channel(None);
        (Self { directory, interval, publish, refused }, Security::Tls(configs))
    }

    /// Serves what the files hold until shutdown; releases `ready` with the first certificate. Files that can't be used are an error in
    /// the log, and the certificate from before is served on.
    ///
    /// # Errors
    /// When TLS itself can't be set up.
    pub async fn run(self, ready: ReadyGuard, shutdown: Shutdown) -> Result<(), TlsError> {
        tokio::select! {
            () = shutdown.requested() => Ok(()),
            followed = self.follow(ready) => followed,
        }
    }

    async fn follow(&self, ready: ReadyGuard) -> Result<(), TlsError> {
        let certificate = loop {
            match ReloadingCert::from_files(&self.directory) {
                Ok(certificate) => break certificate,
                // The Secret may be filled after this process has started.
                Err(error) => self.refuse(&error),
            }
            sleep(self.interval).await;
        };
        self.publish.send_replace(Some(resolver_config(certificate.clone())?));
        self.refused.set(0);
        drop(ready);
        loop {
            sleep(self.interval).await;
            match certificate.reload_if_changed() {
                Ok(changed) => {
                    if changed {
                        tracing::info!("serving a renewed certificate");
                    }
                    self.refused.set(0);
                }
                Err(error) => self.refuse(&error),
            }
        }
    }

    /// Shows the alarm, and logs when it begins.
    fn refuse(&self, error: &ServeError) {
        if self.refused.set(1) == 0 {
            tracing::error!(error = causes(error), directory = %self.directory.display(), "certificate can't be served");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::{Readiness, encode_metrics};
    use crate::testing::{TestCa, eventually};
    use rcgen::KeyPair;
    use std::{fs, path::Path};

    fn write(directory: &Path, certificate: &rcgen::Certificate, key: &KeyPair) {
        fs::write(directory.join("tls.crt"), certificate.pem()).unwrap();
        fs::write(directory.join("tls.key"), key.serialize_pem()).unwrap();
    }

    #[tokio::test]
    async fn a_certificate_that_comes_late_is_served_and_a_bad_one_never_takes_its_place() {
        let directory = tempfile::tempdir().unwrap();
        let (readiness, mut registry) = (Readiness::new(), Registry::default());
        let (files, security) = CertificateFiles::new(directory.path().to_owned(), Duration::from_millis(1), &mut registry);
        let (stop, shutdown) = Shutdown::channel();
        let task = tokio::spawn(files.run(readiness.wait_for("serving certificate"), shutdown));
        let refused = || encode_metrics(&registry).lines().any(|line| line == "webhook_certificate_refused 1");
        eventually("the absence is an alarm", refused).await;
        assert!(!readiness.is_ready());

        let (ca, key) = (TestCa::new("webhooks"), KeyPair::generate().unwrap());
        write(directory.path(), &ca.sign(&key, &[], &["a.example"]), &key);
        tokio::time::timeout(Duration::from_secs(10), readiness.ready()).await.expect("ready with the first certificate");
        assert!(matches!(security, Security::Tls(source) if source.borrow().is_some()));
        eventually("the alarm is over", || !refused()).await;

        let other = KeyPair::generate().unwrap();
        write(directory.path(), &ca.sign(&other, &[], &["a.example"]), &key);
        eventually("a key of another certificate is an alarm", refused).await;
        stop.request();
        task.await.unwrap().unwrap();
    }
}
