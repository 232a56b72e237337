//! Envoy's secrets over a Unix socket: the workload's certificate with its key, and the mesh's roots.
//!
//! A renewed certificate is pushed to every open stream; Envoy uses it for new connections and keeps the old ones. The key exists in
//! the memory of the agent and of Envoy, and nowhere else.

mod conversation;
mod secrets;
#[cfg(test)]
mod tests;

use axum::Router;
use envoy_api::envoy::service::{
    discovery::v3::{DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse},
    secret::v3::secret_discovery_service_server::{SecretDiscoveryService, SecretDiscoveryServiceServer},
};
use futures::Stream;
use std::pin::Pin;
use tonic::{Request, Response, Status, Streaming, service::Routes};

use crate::runtime::CertificateSource;
use conversation::{delta, state_of_the_world};

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// The service as routes for [`crate::runtime::Listener::serve`].
pub(super) fn routes(source: CertificateSource) -> Router {
    Routes::new(SecretDiscoveryServiceServer::new(Secrets { source })).into_axum_router()
}

struct Secrets {
    source: CertificateSource,
}

#[tonic::async_trait]
impl SecretDiscoveryService for Secrets {
    type DeltaSecretsStream = Answers<DeltaDiscoveryResponse>;
    type StreamSecretsStream = Answers<DiscoveryResponse>;

    async fn delta_secrets(
        &self,
        request: Request<Streaming<DeltaDiscoveryRequest>>,
    ) -> Result<Response<Self::DeltaSecretsStream>, Status> {
        Ok(Response::new(Box::pin(delta(request.into_inner(), self.source.clone()))))
    }

    async fn stream_secrets(&self, request: Request<Streaming<DiscoveryRequest>>) -> Result<Response<Self::StreamSecretsStream>, Status> {
        Ok(Response::new(Box::pin(state_of_the_world(request.into_inner(), self.source.clone()))))
    }

    async fn fetch_secrets(&self, _: Request<DiscoveryRequest>) -> Result<Response<DiscoveryResponse>, Status> {
        Err(Status::unimplemented("secrets are streamed"))
    }
}
