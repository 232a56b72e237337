//! A pilot that has nothing to say, but says so: incremental discovery by mutual TLS.

use envoy_api::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse,
    aggregated_discovery_service_server::{AggregatedDiscoveryService, AggregatedDiscoveryServiceServer},
};
use ferromesh::runtime::{ClientAuth, Limits, Listener, Security, Shutdown, Trigger, certificates_from_pem, server_config};
use futures::{Stream, StreamExt, stream};
use std::{
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex},
};
use tonic::{Request, Response, Status, Streaming, service::Routes};

use crate::authority::Authority;

pub(crate) struct Pilot {
    pub(crate) address: SocketAddr,
    /// The node id of each stream that was opened.
    pub(crate) streams: Arc<Mutex<Vec<String>>>,
    _server: Trigger,
}

// === impl Pilot ===

impl Pilot {
    /// A pilot whose certificate states this identity.
    pub(crate) async fn start(authority: &Authority, identity: &str) -> Self {
        let (chain, key) = authority.identity(identity);
        let roots = certificates_from_pem(authority.root().as_bytes()).unwrap();
        let key = rustls_pki_types::PrivatePkcs8KeyDer::from(key.serialize_der()).into();
        let tls = server_config(certificates_from_pem(chain.as_bytes()).unwrap(), key, ClientAuth::Required(&roots)).unwrap();
        let streams = Arc::new(Mutex::new(Vec::new()));
        let routes = Routes::new(AggregatedDiscoveryServiceServer::new(Discovery { streams: streams.clone() })).into_axum_router();
        let listener = Listener::bind(([127, 0, 0, 1], 0).into()).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (server, shutdown) = Shutdown::channel();
        tokio::spawn(listener.serve(routes, Security::fixed(tls), Limits::default(), shutdown));
        Self { address, streams, _server: server }
    }
}

struct Discovery {
    streams: Arc<Mutex<Vec<String>>>,
}

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl AggregatedDiscoveryService for Discovery {
    type StreamAggregatedResourcesStream = Answers<DiscoveryResponse>;
    type DeltaAggregatedResourcesStream = Answers<DeltaDiscoveryResponse>;

    async fn stream_aggregated_resources(
        &self,
        _: Request<Streaming<DiscoveryRequest>>,
    ) -> Result<Response<Self::StreamAggregatedResourcesStream>, Status> {
        Err(Status::unimplemented("incremental only"))
    }

    async fn delta_aggregated_resources(
        &self,
        request: Request<Streaming<DeltaDiscoveryRequest>>,
    ) -> Result<Response<Self::DeltaAggregatedResourcesStream>, Status> {
        let nodes = self.streams.clone();
        let answers = request.into_inner().filter_map(move |request| {
            let answer = request.ok().and_then(|request| {
                if let Some(node) = request.node {
                    nodes.lock().unwrap().push(node.id);
                }
                let type_url = request.type_url;
                // An acknowledgement wants no answer.
                let asks = request.response_nonce.is_empty();
                asks.then(|| DeltaDiscoveryResponse { type_url, nonce: "1".to_owned(), ..DeltaDiscoveryResponse::default() })
            });
            std::future::ready(answer.map(Ok))
        });
        Ok(Response::new(Box::pin(answers.chain(stream::pending()))))
    }
}
