//! The client: one stream from one of galley's replicas, and another one when it ends.

use std::{convert::Infallible, time::Duration};

use envoy_api::envoy::{
    config::core::v3::Node,
    service::discovery::v3::{DeltaDiscoveryRequest, aggregated_discovery_service_client::AggregatedDiscoveryServiceClient},
};
use ferromesh_crds::catalog::Kind;
use tokio::{
    sync::mpsc,
    time::{sleep, timeout},
};
use tokio_stream::{StreamExt, wrappers::ReceiverStream};
use tonic::Status;

use super::{
    MAX_MESSAGE,
    assembly::{Assembly, ChangeSet, ProtocolError},
    metrics::Metrics,
};
use crate::model::SpiffeId;
use crate::runtime::{
    Backoff, CertificateSource, ChannelError, Registry, Shutdown, TlsError, WorkloadCert, causes, client_config_for, secure_channel,
};

/// Where configuration comes from.
#[derive(Clone, Debug)]
pub struct ClientConfig {
    /// `host:port` of galley.
    pub address: String,
    /// Who must be there.
    pub server: Server,
    /// The own certificate; nobody is asked before there is one.
    pub certificate: CertificateSource,
    /// What the client calls itself in galley's logs: a pod's name.
    pub name: String,
}

/// The identity that a server must prove.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Server {
    /// This one.
    Named(SpiffeId),
    /// That of a service account of the own trust domain.
    Account {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
    },
}

/// Follows galley.
pub struct Client {
    config: ClientConfig,
    assembly: Assembly,
    sets: mpsc::Sender<ChangeSet>,
    backoff: Backoff,
    metrics: Metrics,
}

/// Why a stream ended.
#[derive(Debug, thiserror::Error)]
enum StreamError {
    #[error("the own certificate can't be used")]
    Tls(#[from] TlsError),
    #[error(transparent)]
    Channel(#[from] ChannelError),
    #[error("galley did not answer within {0:?}")]
    TimedOut(Duration),
    #[error("galley ended the stream: {}", .0.message())]
    Status(#[from] Status),
    #[error("galley ended the stream before it told everything")]
    Early,
    #[error("galley does not speak the protocol")]
    Protocol(#[from] ProtocolError),
}

/// How a stream ended that did not break.
enum End {
    /// In order: another one is opened at once.
    Over,
    /// Nobody takes sets any more, and so the process ends.
    Unwanted,
}

/// For a connection, and for the head of an answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// However well a stream ended, the next one is not opened sooner.
const LEAST_WAIT: Duration = Duration::from_millis(50);

// === impl Server ===

impl Server {
    fn identity(&self, own: &SpiffeId) -> SpiffeId {
        match self {
            Self::Named(identity) => identity.clone(),
            Self::Account { namespace, name } => SpiffeId::new(&own.trust_domain, namespace, name),
        }
    }
}

// === impl Client ===

impl Client {
    /// A client of all objects of these kinds, and where their changes come out. It waits for who takes them, so that memory stays bounded.
    pub fn new(config: ClientConfig, kinds: Vec<&'static Kind>, registry: &mut Registry) -> (Self, mpsc::Receiver<ChangeSet>) {
        let (sets, receiver) = mpsc::channel(1);
        // Galley is near, and whoever waits for it waits for configuration.
        let backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
        (Self { config, assembly: Assembly::new(kinds), sets, backoff, metrics: Metrics::registered(registry) }, receiver)
    }

    /// Runs until shutdown. Whatever breaks is tried again; what was handed out meanwhile holds.
    ///
    /// # Errors
    /// None; the type is what [`crate::runtime::Tasks::spawn`] takes.
    pub async fn run(mut self, shutdown: Shutdown) -> Result<(), Infallible> {
        tokio::select! {
            () = shutdown.requested() => {}
            () = self.follow() => {}
        }
        Ok(())
    }

    async fn follow(&mut self) {
        loop {
            let Ok(certificate) = self.config.certificate.wait_for(Option::is_some).await.map(|it| it.clone()) else { return };
            let Some(certificate) = certificate else { return };
            let ended = self.follow_stream(&certificate).await;
            self.metrics.connected.set(0);
            let wait = match ended {
                Ok(End::Unwanted) => return,
                Ok(End::Over) => LEAST_WAIT,
                Err(error) => {
                    self.metrics.failures.inc();
                    let wait = self.backoff.next_delay();
                    tracing::warn!(
                        address = self.config.address,
                        error = causes(&error),
                        ?wait,
                        "no configuration from galley; what is known stays"
                    );
                    wait
                }
            };
            sleep(wait).await;
        }
    }

    async fn follow_stream(&mut self, own: &WorkloadCert) -> Result<End, StreamError> {
        let tls = client_config_for(own, self.config.server.identity(&own.identity))?;
        let channel = secure_channel(&self.config.address, None, tls);
        let channel = timeout(PATIENCE, channel).await.map_err(|_| StreamError::TimedOut(PATIENCE))??;
        let mut client = AggregatedDiscoveryServiceClient::new(channel).max_decoding_message_size(MAX_MESSAGE);

        let mut asked = self.assembly.begin();
        if let Some(first) = asked.first_mut() {
            first.node = Some(Node { id: self.config.name.clone(), ..Node::default() });
        }
        // One answer a response, of which the server sends no more than a set before it has them all; more would only wait here.
        let (answers, outgoing) = mpsc::channel::<DeltaDiscoveryRequest>(16);
        let requests = tokio_stream::iter(asked).chain(ReceiverStream::new(outgoing));
        let opened = timeout(PATIENCE, client.delta_aggregated_resources(requests)).await;
        let mut responses = opened.map_err(|_| StreamError::TimedOut(PATIENCE))??.into_inner();
        tracing::debug!(address = self.config.address, "stream from galley");

        let mut told = false;
        while let Some(response) = responses.message().await? {
            let heard = self.assembly.hear(response)?;
            self.metrics.resources.inc_by(heard.resources as u64);
            self.metrics.unreadable.inc_by(heard.unreadable as u64);
            if let Some(refusal) = &heard.answer.error_detail {
                tracing::error!(error = refusal.message, "resources from galley can't be read; their last good form stays");
            }
            if let Some(set) = heard.set {
                told = true;
                self.backoff.reset();
                if self.metrics.connected.set(1) == 0 {
                    tracing::info!(address = self.config.address, "configuration from galley is known");
                }
                self.metrics.sets.inc();
                // A set in which nothing differs tells all the same that everything is known.
                if self.sets.send(set).await.is_err() {
                    return Ok(End::Unwanted);
                }
            }
            if answers.send(heard.answer).await.is_err() {
                break;
            }
        }
        if told { Ok(End::Over) } else { Err(StreamError::Early) }
    }
}
