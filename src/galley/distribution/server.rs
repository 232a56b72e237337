//! `envoy.service.discovery.v3.AggregatedDiscoveryService`, for pilot alone.

use std::{pin::Pin, sync::Arc, time::SystemTime};

use axum::Router;
use envoy_api::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse,
    aggregated_discovery_service_server::{AggregatedDiscoveryService, AggregatedDiscoveryServiceServer},
};
use futures::{Stream, stream};
use tokio::sync::watch;
use tonic::{Request, Response, Status, Streaming, service::Routes};

use super::{conversation::Conversation, metrics::Metrics};
use crate::index::CarriedObjects;
use crate::mcp::MAX_MESSAGE;
use crate::model::SpiffeId;
use crate::runtime::{Carrier, Peer, Shutdown, random_fraction, stream_age};

/// The service. Clones share everything.
#[derive(Clone)]
pub(super) struct Distributor {
    /// Who may read; none while that isn't known.
    reader: Arc<dyn Fn() -> Option<SpiffeId> + Send + Sync>,
    objects: watch::Receiver<Option<CarriedObjects>>,
    metrics: Metrics,
    shutdown: Shutdown,
}

type Responses<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

// === impl Distributor ===

impl Distributor {
    pub(super) fn new(
        reader: impl Fn() -> Option<SpiffeId> + Send + Sync + 'static,
        objects: watch::Receiver<Option<CarriedObjects>>,
        metrics: Metrics,
        shutdown: Shutdown,
    ) -> Self {
        Self { reader: Arc::new(reader), objects, metrics, shutdown }
    }

    pub(super) fn into_router(self) -> Router {
        let service = AggregatedDiscoveryServiceServer::new(self).max_decoding_message_size(MAX_MESSAGE);
        Routes::new(service).into_axum_router()
    }

    /// The connection of a request, if who sends it may read. Nothing that he sends is looked at before.
    fn admit<T>(&self, request: &Request<T>) -> Result<Carrier, Status> {
        let (peer, carrier) = (request.extensions().get::<Peer>(), request.extensions().get::<Carrier>());
        let (Some(peer), Some(carrier)) = (peer, carrier) else { return Err(Status::internal("the connection has no peer")) };
        let reader = (self.reader)();
        if reader.is_some() && peer.identity == reader {
            return Ok(carrier.clone());
        }
        self.metrics.refused.inc();
        let identity = peer.identity.as_ref().map(ToString::to_string).unwrap_or_default();
        tracing::warn!(identity, address = ?peer.address, "configuration is refused to others than pilot");
        // So that those who are refused don't fill the places of those who are not.
        carrier.close();
        Err(Status::permission_denied("configuration is for pilot alone"))
    }
}

#[tonic::async_trait]
impl AggregatedDiscoveryService for Distributor {
    type StreamAggregatedResourcesStream = Responses<DiscoveryResponse>;
    type DeltaAggregatedResourcesStream = Responses<DeltaDiscoveryResponse>;

    async fn stream_aggregated_resources(
        &self,
        request: Request<Streaming<DiscoveryRequest>>,
    ) -> Result<Response<Self::StreamAggregatedResourcesStream>, Status> {
        self.admit(&request)?;
        Err(Status::unimplemented("configuration is served as deltas: call DeltaAggregatedResources"))
    }

    async fn delta_aggregated_resources(
        &self,
        request: Request<Streaming<DeltaDiscoveryRequest>>,
    ) -> Result<Response<Self::DeltaAggregatedResourcesStream>, Status> {
        let carrier = self.admit(&request)?;
        let left = carrier.certificate_ends.map(|end| end.duration_since(SystemTime::now()).unwrap_or_default());
        let lasts = stream_age(left, random_fraction());
        let conversation =
            Conversation::new(request.into_inner(), self.objects.clone(), (carrier, lasts), self.metrics.clone(), self.shutdown.clone());
        let responses = stream::unfold(Some(conversation), |conversation| async move {
            let mut conversation = conversation?;
            let response = conversation.next().await?;
            let goes_on = response.is_ok();
            Some((response, goes_on.then_some(conversation)))
        });
        Ok(Response::new(Box::pin(responses)))
    }
}
