//! A proxy's end, without a proxy.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use envoy_api::envoy::{
    config::core::v3::Node,
    service::discovery::v3::{
        DeltaDiscoveryRequest, DeltaDiscoveryResponse, aggregated_discovery_service_client::AggregatedDiscoveryServiceClient,
    },
};
use hyper_util::rt::TokioIo;
use rustls_pki_types::ServerName;
use tokio::{net::TcpStream, sync::mpsc, time::timeout};
use tokio_rustls::TlsConnector;
use tonic::{
    Status, Streaming,
    transport::{Channel, Endpoint},
};

use crate::compile::ResourceType;
use crate::model::SpiffeId;
use crate::runtime::{WorkloadCert, client_config};
use crate::testing::TestCa;

/// The name of the server that a proxy expects.
pub(super) const SERVER: &str = "istio-pilot.istio-system.svc";

/// How long an answer may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// One stream.
pub(super) struct Client {
    requests: mpsc::Sender<DeltaDiscoveryRequest>,
    responses: Streaming<DeltaDiscoveryResponse>,
}

/// A connection that proves an identity.
pub(super) async fn connect(address: SocketAddr, ca: &TestCa, identity: &SpiffeId) -> Channel {
    connect_with(address, ca, &ca.workload(identity, &[])).await
}

/// The same by that certificate.
pub(super) async fn connect_with(address: SocketAddr, ca: &TestCa, certificate: &WorkloadCert) -> Channel {
    let tls = TlsConnector::from(Arc::new(client_config(&[ca.root()], Some(certificate)).unwrap()));
    let connector = tower::service_fn(move |_| {
        let (tls, name) = (tls.clone(), ServerName::try_from(SERVER).unwrap());
        async move { io::Result::Ok(TokioIo::new(tls.connect(name, TcpStream::connect(address).await?).await?)) }
    });
    let endpoint = Endpoint::from_static("http://pilot").initial_stream_window_size(65_535).initial_connection_window_size(65_535);
    endpoint.connect_with_connector(connector).await.unwrap()
}

pub(super) fn web() -> SpiffeId {
    SpiffeId::new("cluster.local", "shop", "web")
}

/// A node of that pod.
pub(super) fn node(pod: &str, namespace: &str) -> Node {
    Node { id: format!("sidecar~10.0.0.1~{pod}.{namespace}~{namespace}.svc.cluster.local"), ..Node::default() }
}

pub(super) fn subscription(kind: ResourceType, names: &[&str]) -> DeltaDiscoveryRequest {
    let names = names.iter().map(|name| (*name).to_owned()).collect();
    DeltaDiscoveryRequest { type_url: kind.type_url().to_owned(), resource_names_subscribe: names, ..DeltaDiscoveryRequest::default() }
}

// === impl Client ===

impl Client {
    /// A stream that begins with that request.
    pub(super) async fn open(channel: Channel, node: Node, first: DeltaDiscoveryRequest) -> Result<Self, Status> {
        let (requests, receiver) = mpsc::channel(64);
        requests.send(DeltaDiscoveryRequest { node: Some(node), ..first }).await.unwrap();
        let outgoing = tokio_stream::wrappers::ReceiverStream::new(receiver);
        let mut client = AggregatedDiscoveryServiceClient::new(channel).max_decoding_message_size(64 * 1024 * 1024);
        let responses = client.delta_aggregated_resources(outgoing).await?.into_inner();
        Ok(Self { requests, responses })
    }

    /// A stream of pod web-1 in namespace shop that is subscribed to clusters.
    pub(super) async fn of_web(address: SocketAddr, ca: &TestCa) -> Self {
        let channel = connect(address, ca, &web()).await;
        Self::open(channel, node("web-1", "shop"), subscription(ResourceType::Cluster, &[])).await.unwrap()
    }

    /// A stream that wants to know that table of routes with its hosts.
    pub(super) async fn of_table(channel: Channel, node: Node, table: &str) -> Self {
        let client = Self::open(channel, node, subscription(ResourceType::Route, &[table])).await.unwrap();
        client.says(subscription(ResourceType::VirtualHost, &[])).await;
        client
    }

    /// The next response with virtual hosts. What comes of others is taken.
    pub(super) async fn hears_of_hosts(&mut self) -> DeltaDiscoveryResponse {
        loop {
            let response = self.hears().await.unwrap();
            if response.type_url == ResourceType::VirtualHost.type_url() {
                return response;
            }
            self.answers(&response, None).await;
        }
    }

    pub(super) async fn says(&self, request: DeltaDiscoveryRequest) {
        self.requests.send(request).await.unwrap();
    }

    /// The next response.
    pub(super) async fn hears(&mut self) -> Result<DeltaDiscoveryResponse, Status> {
        let response = timeout(PATIENCE, self.responses.message()).await.expect("an answer in time");
        Ok(response?.expect("the stream goes on"))
    }

    /// How the stream ends, whatever comes until then.
    pub(super) async fn ended(&mut self) -> Status {
        loop {
            match timeout(PATIENCE, self.responses.message()).await.expect("an end in time") {
                Ok(Some(_)) => {}
                Ok(None) => return Status::ok(""),
                Err(status) => return status,
            }
        }
    }

    /// The next response, accepted.
    pub(super) async fn takes(&mut self) -> DeltaDiscoveryResponse {
        let response = self.hears().await.unwrap();
        self.answers(&response, None).await;
        response
    }

    /// Accepts a response, or refuses it with a message.
    pub(super) async fn answers(&self, response: &DeltaDiscoveryResponse, refusal: Option<&str>) {
        let error_detail =
            refusal.map(|message| envoy_api::google::rpc::Status { code: 3, message: message.to_owned(), details: Vec::new() });
        let (type_url, response_nonce) = (response.type_url.clone(), response.nonce.clone());
        self.says(DeltaDiscoveryRequest { type_url, response_nonce, error_detail, ..DeltaDiscoveryRequest::default() }).await;
    }
}

/// The names of a response's resources, the removed ones with a minus.
pub(super) fn names(response: &DeltaDiscoveryResponse) -> Vec<String> {
    let removed = response.removed_resources.iter().map(|name| format!("-{name}"));
    response.resources.iter().map(|resource| resource.name.clone()).chain(removed).collect()
}
