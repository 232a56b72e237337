//! Beside an application whose gRPC library speaks xDS itself, in the place of an Envoy: the library finds its bootstrap and the workload's
//! certificate in files, and pilot behind a Unix socket.
//!
//! A library reads its bootstrap once, at its start. So the file comes last, when all that it names is there, and the pod is ready only when
//! pilot has answered, too.

mod bootstrap;
mod files;
mod relay;

pub(super) use files::open_to_application;
pub(super) use relay::routes;

use envoy_api::envoy::config::bootstrap::v3::Bootstrap;
use prost::Message;
use std::{
    convert::Infallible,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{
    sync::watch,
    time::{Instant, sleep, timeout},
};

use self::bootstrap::bootstrap;
use super::{DrainTimes, ProxyFacts, StartError, changes};
use crate::runtime::{Backoff, CertificateSource, Shutdown, causes};

/// The socket of xDS, and the bootstrap, below the agent's directory.
const SOCKET: &str = "XDS";
const BOOTSTRAP: &str = "grpc-bootstrap.json";
/// How long pilot may take to say that it serves the workload.
const PATIENCE: Duration = Duration::from_secs(5);

/// How far the application may go. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct Grpc {
    progress: watch::Receiver<Progress>,
    streams: Streams,
}

/// What was done.
#[derive(Clone, Copy, Debug, Default)]
struct Progress {
    certified: bool,
    written: bool,
    reached: bool,
}

/// How many streams of xDS are open. Clones share the count.
#[derive(Clone, Debug, Default)]
pub(super) struct Streams(Arc<AtomicUsize>);

/// One of them, until it is dropped.
#[derive(Debug)]
struct OpenStream(Streams);

/// Gets everything ready.
pub(super) struct GrpcStart {
    facts: ProxyFacts,
    directory: PathBuf,
    certificates: PathBuf,
    certificate: CertificateSource,
    progress: watch::Sender<Progress>,
}

/// The socket of xDS, below the agent's directory.
pub(super) fn socket(directory: &Path) -> PathBuf {
    directory.join(SOCKET)
}

// === impl Grpc ===

impl Grpc {
    /// What keeps the application's library from working.
    pub(super) fn awaited(&self) -> Option<&'static str> {
        let Progress { certified, written, reached } = *self.progress.borrow();
        match (certified, written, reached) {
            (true, true, true) => None,
            (false, ..) => Some("no certificate from citadel yet"),
            (_, false, _) => Some("certificate and bootstrap are not written yet"),
            (.., false) => Some("pilot has not answered yet"),
        }
    }

    /// Waits until the application has closed its streams, or the time is up: as long as it works, it may look for others.
    pub(super) async fn drain(&self, times: DrainTimes) {
        let started = Instant::now();
        while self.streams.open() > 0 && started.elapsed() < times.longest {
            sleep(times.interval.min(times.longest.saturating_sub(started.elapsed()))).await;
        }
    }
}

// === impl Streams ===

impl Streams {
    fn open(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    fn begin(&self) -> OpenStream {
        self.0.fetch_add(1, Ordering::Relaxed);
        OpenStream(self.clone())
    }
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

// === impl GrpcStart ===

impl GrpcStart {
    /// What to start with, and what the rest of the agent can ask; `streams` are those of the relay.
    pub(super) fn new(
        facts: ProxyFacts,
        directory: PathBuf,
        certificates: PathBuf,
        certificate: CertificateSource,
        streams: Streams,
    ) -> (Self, Grpc) {
        let (sender, progress) = watch::channel(Progress::default());
        (Self { facts, directory, certificates, certificate, progress: sender }, Grpc { progress, streams })
    }

    /// Writes each certificate, and with the first one the bootstrap, until shutdown.
    ///
    /// # Errors
    /// When a file can't be written.
    pub(super) async fn write(self: Arc<Self>, shutdown: Shutdown) -> Result<(), StartError> {
        let mut certificate = self.certificate.clone();
        let mut has_bootstrap = false;
        loop {
            let current = certificate.borrow_and_update().clone();
            if let Some(current) = current {
                self.progress.send_modify(|it| it.certified = true);
                files::write_certificate(&self.certificates, &current)?;
                if !std::mem::replace(&mut has_bootstrap, true) {
                    files::write(&self.directory, BOOTSTRAP, &bootstrap(&self.facts, &self.directory, &self.certificates))?;
                    self.progress.send_modify(|it| it.written = true);
                }
            }
            tokio::select! {
                () = shutdown.requested() => return Ok(()),
                Ok(()) = certificate.changed() => {}
            }
        }
    }

    /// Asks pilot until it has said once that it serves the workload.
    ///
    /// # Errors
    /// None: it tries again.
    pub(super) async fn reach(self: Arc<Self>, shutdown: Shutdown) -> Result<(), Infallible> {
        let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(5));
        loop {
            tokio::select! {
                () = shutdown.requested() => return Ok(()),
                () = self.asked() => {}
            }
            if self.progress.borrow().reached {
                shutdown.requested().await;
                return Ok(());
            }
            tokio::select! {
                () = shutdown.requested() => return Ok(()),
                () = sleep(backoff.next_delay()) => {}
            }
        }
    }

    /// Asks once there is a certificate.
    async fn asked(&self) {
        let mut certificate = self.certificate.clone();
        let Ok(Some(current)) = certificate.wait_for(Option::is_some).await.map(|found| found.clone()) else { return };
        // The answer is Envoy's to start with. Whoever gets one is served.
        let question = Bootstrap { node: Some(self.facts.to_agent_node()), ..Bootstrap::default() };
        match timeout(PATIENCE, changes::asked(&question.encode_to_vec().into(), &self.facts, &current)).await {
            Ok(Ok(_)) => self.progress.send_modify(|it| it.reached = true),
            Ok(Err(error)) => tracing::warn!(error = causes(&error), "pilot does not serve the application yet"),
            Err(_) => tracing::warn!(patience = ?PATIENCE, "pilot does not answer"),
        }
    }
}
