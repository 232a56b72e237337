//! The application's way to pilot: each stream of xDS that it opens, of either form, is passed on by a connection of its own that proves
//! whose it is. What is in it, the agent does not read.
//!
//! A stream ends when one side ends it; then the library opens another one, which gets another connection, by the certificate of then.

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    response::Response,
    routing::post,
};
use http_body_util::BodyExt;
use std::sync::Arc;
use tonic::{Status, transport::Error};
use tower::{Service, ServiceExt};

use super::Streams;
use crate::agent::ProxyFacts;
use crate::model::SpiffeId;
use crate::runtime::{CertificateSource, ChannelError, TlsError, causes, client_config_for, secure_channel};

const METHODS: [&str; 2] = [
    "/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources",
    "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources",
];

/// Where streams go.
struct Relay {
    /// `host:port` of pilot.
    address: String,
    pilot: SpiffeId,
    certificate: CertificateSource,
    streams: Streams,
}

/// Why a stream does not reach pilot.
#[derive(Debug, thiserror::Error)]
enum RelayError {
    #[error("no certificate from citadel yet")]
    NoCertificate,
    #[error("the own certificate can't be used")]
    Certificate(#[from] TlsError),
    #[error("can't reach pilot")]
    Connect(#[from] ChannelError),
    #[error("pilot does not answer")]
    Ask(#[from] Error),
}

/// The routes for [`crate::runtime::Listener::serve`].
pub(in crate::agent) fn routes(facts: &ProxyFacts, certificate: CertificateSource, streams: Streams) -> Router {
    let (address, pilot) = (facts.discovery_address().to_owned(), facts.pilot_identity());
    let relay = Arc::new(Relay { address, pilot, certificate, streams });
    METHODS.into_iter().fold(Router::new(), |routes, method| routes.route(method, post(pass_on))).with_state(relay)
}

async fn pass_on(State(relay): State<Arc<Relay>>, request: Request) -> Response {
    relay.ask(request).await.unwrap_or_else(|error| {
        let error = causes(&error);
        tracing::warn!(error, "a stream of the application's does not reach pilot");
        Status::unavailable(error).into_http()
    })
}

// === impl Relay ===

impl Relay {
    async fn ask(&self, request: Request) -> Result<Response, RelayError> {
        let stream = self.streams.begin();
        let certificate = self.certificate.borrow().clone().ok_or(RelayError::NoCertificate)?;
        let mut channel = secure_channel(&self.address, None, client_config_for(&certificate, self.pilot.clone())?).await?;
        let answer = channel.ready().await?.call(request.map(tonic::body::Body::new)).await?;
        // The stream is open for as long as its answer goes on.
        Ok(answer.map(|body| {
            Body::new(body.map_frame(move |frame| {
                let _open = &stream;
                frame
            }))
        }))
    }
}
