//! One stream: between a reader's requests, the states that there are, and the responses that leave.
//!
//! There is no task and no queue for a stream: HTTP asks for the next response when the connection has room for it.

use std::time::Duration;

use envoy_api::envoy::service::discovery::v3::{DeltaDiscoveryRequest, DeltaDiscoveryResponse};
use prost::Message;
use tokio::{
    sync::watch,
    time::{Instant, sleep_until, timeout},
};
use tonic::{Status, Streaming};

use super::{
    metrics::Metrics,
    session::{Heard, Session},
};
use crate::index::CarriedObjects;
use crate::runtime::{Carrier, Shutdown};

/// A stream that is open.
pub(super) struct Conversation {
    requests: Streaming<DeltaDiscoveryRequest>,
    objects: watch::Receiver<Option<CarriedObjects>>,
    session: Session,
    /// What the reader calls itself; empty until it has said so.
    reader: String,
    end: Instant,
    carrier: Carrier,
    metrics: Metrics,
    shutdown: Shutdown,
}

/// For the first request.
const FIRST_REQUEST: Duration = Duration::from_secs(10);

// === impl Conversation ===

impl Conversation {
    /// One that ends after `lasts`.
    pub(super) fn new(
        requests: Streaming<DeltaDiscoveryRequest>,
        mut objects: watch::Receiver<Option<CarriedObjects>>,
        (carrier, lasts): (Carrier, Duration),
        metrics: Metrics,
        shutdown: Shutdown,
    ) -> Self {
        objects.mark_changed();
        metrics.readers.inc();
        let (session, reader, end) = (Session::default(), String::new(), Instant::now() + lasts);
        Self { requests, objects, session, reader, end, carrier, metrics, shutdown }
    }

    /// The next response; none, or a status, when the stream is over.
    pub(super) async fn next(&mut self) -> Option<Result<DeltaDiscoveryResponse, Status>> {
        match self.advance().await {
            Ok(response) => response.map(Ok),
            Err(status) => {
                tracing::info!(reader = self.reader, code = ?status.code(), reason = status.message(), "reader of configuration disconnected");
                Some(Err(status))
            }
        }
    }

    async fn advance(&mut self) -> Result<Option<DeltaDiscoveryResponse>, Status> {
        if self.reader.is_empty() {
            let first = timeout(FIRST_REQUEST, self.requests.message()).await;
            let Some(first) = first.map_err(|_| Status::deadline_exceeded("no request came"))?? else { return Ok(None) };
            self.reader = first.node.as_ref().map(|node| node.id.chars().take(100).collect()).unwrap_or_default();
            if self.reader.is_empty() {
                "somebody".clone_into(&mut self.reader);
            }
            tracing::info!(reader = self.reader, "reader of configuration connected");
            self.hear(first)?;
        }
        loop {
            if let Some(sent) = self.session.next() {
                let (kind, resources, removed) = (sent.kind, sent.resources, sent.response.removed_resources.len());
                tracing::debug!(reader = self.reader, kind, resources, removed, nonce = sent.response.nonce, "push");
                self.metrics.sent(kind, resources, sent.response.encoded_len());
                return Ok(Some(sent.response));
            }
            tokio::select! {
                request = self.requests.message() => match request? {
                    Some(request) => self.hear(request)?,
                    None => return Ok(None),
                },
                changed = self.objects.changed() => {
                    changed.map_err(|_| Status::unavailable("galley is ending"))?;
                    if let Some(latest) = self.objects.borrow_and_update().clone() {
                        self.session.update(latest);
                    }
                }
                () = sleep_until(self.end) => {
                    // The next stream shall prove its identity anew, and that takes a new connection.
                    self.carrier.close();
                    return Ok(None);
                }
                () = self.shutdown.requested() => return Err(Status::unavailable("galley is ending")),
            }
        }
    }

    fn hear(&mut self, request: DeltaDiscoveryRequest) -> Result<(), Status> {
        match self.session.request(request).map_err(|error| Status::invalid_argument(error.to_string()))? {
            Heard::Asked | Heard::Stale => {}
            Heard::Answered { kind, problem } => {
                self.metrics.answered(kind, problem.is_none());
                if let Some(problem) = problem {
                    let error: String = problem.chars().take(2000).collect();
                    tracing::warn!(reader = self.reader, kind, error, "reader could not read all of a response");
                }
            }
        }
        Ok(())
    }
}

impl Drop for Conversation {
    fn drop(&mut self) {
        self.metrics.readers.dec();
    }
}
