//! A pilot with little to say: incremental discovery by mutual TLS, of nothing or of one way through Envoy; and what users change in the
//! configuration with which proxies start.

use envoy_api::{
    any,
    envoy::{
        config::{bootstrap::v3::Bootstrap, cluster::v3::Cluster, listener::v3::Listener as EnvoyListener},
        service::discovery::v3::{
            DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse, Resource,
            aggregated_discovery_service_server::{AggregatedDiscoveryService, AggregatedDiscoveryServiceServer},
        },
    },
    json,
};
use ferromesh::runtime::{
    ClientAuth, Limits, Listener, Security, Shutdown, Trigger, bootstrap_routes, certificates_from_pem, server_config,
};
use futures::{Stream, StreamExt, stream};
use serde_json::{Value, json};
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
    /// What it makes of proxies' bootstraps.
    pub(crate) change: Arc<Mutex<Change>>,
    _server: Trigger,
}

/// What becomes of a bootstrap.
pub(crate) type Change = fn(Bootstrap) -> Bootstrap;

// === impl Pilot ===

impl Pilot {
    /// A pilot whose certificate states this identity. Its proxies get these resources.
    pub(crate) async fn start(authority: &Authority, identity: &str, resources: Resources) -> Self {
        let (chain, key) = authority.identity(identity);
        let roots = certificates_from_pem(authority.root().as_bytes()).unwrap();
        let key = rustls_pki_types::PrivatePkcs8KeyDer::from(key.serialize_der()).into();
        let tls = server_config(certificates_from_pem(chain.as_bytes()).unwrap(), key, ClientAuth::Required(&roots)).unwrap();
        let streams = Arc::new(Mutex::new(Vec::new()));
        let routes =
            Routes::new(AggregatedDiscoveryServiceServer::new(Discovery { streams: streams.clone(), resources })).into_axum_router();
        let change: Arc<Mutex<Change>> = Arc::new(Mutex::new(|bootstrap| bootstrap));
        let asked = change.clone();
        let starting = bootstrap_routes(move |request: Request<Bootstrap>| {
            let change = *asked.lock().unwrap();
            async move { Ok(Response::new(change(request.into_inner()))) }
        });
        let routes = routes.merge(starting);
        let listener = Listener::bind(([127, 0, 0, 1], 0).into()).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (server, shutdown) = Shutdown::channel();
        tokio::spawn(listener.serve(routes, Security::fixed(tls), Limits::default(), shutdown));
        Self { address, streams, change, _server: server }
    }
}

/// TCP from one port of loopback to another.
#[derive(Clone, Copy)]
pub(crate) struct Way {
    pub(crate) from: u16,
    pub(crate) to: u16,
}

// === impl Way ===

impl Way {
    pub(crate) fn resources(self) -> Resources {
        let address = |port: u16| json!({"socket_address": {"address": "127.0.0.1", "port_value": port}});
        let endpoint = json!({"endpoint": {"address": address(self.to)}});
        let load_assignment = json!({"cluster_name": "way", "endpoints": [{"lb_endpoints": [endpoint]}]});
        let proxy = json!({"@type": "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
            "stat_prefix": "way", "cluster": "way"});
        let chain = json!({"filters": [{"name": "envoy.filters.network.tcp_proxy", "typed_config": proxy}]});
        vec![
            resource::<Cluster>("way", json!({"name": "way", "type": "STATIC", "load_assignment": load_assignment})),
            resource::<EnvoyListener>("way", json!({"name": "way", "address": address(self.from), "filter_chains": [chain]})),
        ]
    }
}

/// What a pilot tells, all of it to everybody.
pub(crate) type Resources = Vec<Resource>;

/// One resource of Envoy's, from its JSON.
pub(crate) fn resource<M: prost::Name + Default>(name: &str, content: Value) -> Resource {
    let resource = Some(any(&json::from_value::<M>(content).unwrap()));
    Resource { name: name.to_owned(), version: "1".to_owned(), resource, ..Resource::default() }
}

struct Discovery {
    streams: Arc<Mutex<Vec<String>>>,
    resources: Resources,
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
        let (nodes, all) = (self.streams.clone(), self.resources.clone());
        let answers = request.into_inner().filter_map(move |request| {
            let answer = request.ok().and_then(|request| {
                if let Some(node) = request.node {
                    nodes.lock().unwrap().push(node.id);
                }
                let type_url = request.type_url;
                // An acknowledgement wants no answer.
                let asks = request.response_nonce.is_empty();
                let of_type = |it: &&Resource| it.resource.as_ref().is_some_and(|any| any.type_url == type_url);
                let resources = all.iter().filter(of_type).cloned().collect();
                let answer = DeltaDiscoveryResponse { type_url, resources, nonce: "1".to_owned(), ..DeltaDiscoveryResponse::default() };
                asks.then_some(answer)
            });
            std::future::ready(answer.map(Ok))
        });
        Ok(Response::new(Box::pin(answers.chain(stream::pending()))))
    }
}
