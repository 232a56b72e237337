//! Where the table comes from: a stream of the agent's own to pilot, for names alone.

use envoy_api::envoy::{
    config::core::v3::Node,
    data::dns::v3::dns_table::{DnsVirtualDomain, dns_endpoint::EndpointConfig},
    service::discovery::v3::{
        DeltaDiscoveryRequest, DeltaDiscoveryResponse, Resource, aggregated_discovery_service_client::AggregatedDiscoveryServiceClient,
    },
};
use prost::{Message, Name};
use std::{convert::Infallible, net::IpAddr, time::Duration};
use tokio::{sync::mpsc, time::sleep};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, transport::Channel};

use super::table::{Host, NameTable};
use crate::agent::ProxyFacts;
use crate::model::SpiffeId;
use crate::runtime::{
    Backoff, CertificateSource, ChannelError, Shutdown, TlsError, WorkloadCert, causes, client_config_for, secure_channel,
};

/// Largest response. 10,000 hosts make less than one megabyte.
const MAX_MESSAGE: usize = 16 * 1024 * 1024;
/// What stands for every name.
const ALL: &str = "*";

/// Keeps the table as pilot has it. While pilot is away, the last one stays.
pub(super) struct Subscription {
    node: Node,
    /// `host:port` of pilot.
    address: String,
    pilot: SpiffeId,
    table: NameTable,
    certificate: CertificateSource,
}

/// Why a stream ended.
#[derive(Debug, thiserror::Error)]
enum StreamError {
    #[error("the own certificate can't be used")]
    Certificate(#[from] TlsError),
    #[error("can't reach pilot")]
    Connect(#[from] ChannelError),
    #[error("pilot ended the stream: {}", .0.message())]
    Ended(#[from] Status),
}

// === impl Subscription ===

impl Subscription {
    pub(super) fn new(facts: &ProxyFacts, table: NameTable, certificate: CertificateSource) -> Self {
        let (node, address, pilot) = (facts.to_agent_node(), facts.discovery_address().to_owned(), facts.pilot_identity());
        Self { node, address, pilot, table, certificate }
    }

    /// Runs until shutdown.
    ///
    /// # Errors
    /// None: it tries again.
    pub(super) async fn run(mut self, shutdown: Shutdown) -> Result<(), Infallible> {
        let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(15));
        loop {
            tokio::select! {
                () = shutdown.requested() => return Ok(()),
                ended = self.follow(&mut backoff) => tracing::debug!(reason = causes(&ended), hosts = self.table.len(), "names stay as they are"),
            }
            tokio::select! {
                () = shutdown.requested() => return Ok(()),
                () = sleep(backoff.next_delay()) => {}
            }
        }
    }

    /// Takes what pilot says, until the stream ends.
    async fn follow(&mut self, backoff: &mut Backoff) -> StreamError {
        let certificate = match self.certificate.wait_for(Option::is_some).await {
            Ok(found) => found.clone(),
            Err(_) => return Status::cancelled("there will be no certificate").into(),
        };
        let Some(certificate) = certificate else { return Status::cancelled("there is no certificate").into() };
        match self.stream(&certificate, backoff).await {
            Ok(()) => Status::ok("a stream lasts no longer").into(),
            Err(error) => error,
        }
    }

    async fn stream(&self, certificate: &WorkloadCert, backoff: &mut Backoff) -> Result<(), StreamError> {
        let tls = client_config_for(certificate, self.pilot.clone())?;
        self.converse(secure_channel(&self.address, None, tls).await?, backoff).await
    }

    async fn converse(&self, channel: Channel, backoff: &mut Backoff) -> Result<(), StreamError> {
        let mut client = AggregatedDiscoveryServiceClient::new(channel).max_decoding_message_size(MAX_MESSAGE);
        // One answer is written for each response, and pilot sends no further one before it has that.
        let (requests, sent) = mpsc::channel(2);
        let first = DeltaDiscoveryRequest {
            node: Some(self.node.clone()),
            type_url: DnsVirtualDomain::type_url(),
            resource_names_subscribe: vec![ALL.to_owned()],
            initial_resource_versions: self.table.versions().collect(),
            ..DeltaDiscoveryRequest::default()
        };
        let gone = |_| Status::unavailable("the connection is gone");
        requests.send(first).await.map_err(gone)?;
        let mut responses = client.delta_aggregated_resources(ReceiverStream::new(sent)).await?.into_inner();
        while let Some(response) = responses.message().await? {
            backoff.reset();
            let nonce = response.nonce.clone();
            self.take(response);
            let answer =
                DeltaDiscoveryRequest { type_url: DnsVirtualDomain::type_url(), response_nonce: nonce, ..DeltaDiscoveryRequest::default() };
            requests.send(answer).await.map_err(gone)?;
        }
        Ok(())
    }

    fn take(&self, response: DeltaDiscoveryResponse) {
        let (added, removed) = (response.resources.len(), response.removed_resources.len());
        self.table.change(response.resources.into_iter().filter_map(host), &response.removed_resources);
        tracing::debug!(added, removed, hosts = self.table.len(), "names");
    }
}

/// One host. What can't be read is left out: it is worth less than the others.
fn host(resource: Resource) -> Option<(String, Host)> {
    let domain = DnsVirtualDomain::decode(&*resource.resource?.value).ok()?;
    let EndpointConfig::AddressList(list) = domain.endpoint?.endpoint_config? else { return None };
    let addresses = list.address.iter().filter_map(|address| address.parse::<IpAddr>().ok()).collect();
    Some((resource.name, Host { addresses, version: resource.version.into_boxed_str() }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::node::tests::facts;
    use crate::testing::block_on;
    use envoy_api::{
        any,
        envoy::{
            data::dns::v3::dns_table::{AddressList, DnsEndpoint},
            service::discovery::v3::{
                DiscoveryRequest, DiscoveryResponse,
                aggregated_discovery_service_server::{AggregatedDiscoveryService, AggregatedDiscoveryServiceServer},
            },
        },
    };
    use std::{pin::Pin, sync::Mutex};
    use tokio::{net::TcpListener, sync::watch};
    use tokio_stream::{Stream, wrappers::TcpListenerStream};
    use tonic::{Request, Response, Streaming, transport::Endpoint};

    type Responses<M> = Pin<Box<dyn Stream<Item = Result<M, Status>> + Send>>;

    /// Sends these responses, each once the one before was answered, and ends the stream; the requests go to the test.
    struct Script {
        responses: Mutex<Vec<DeltaDiscoveryResponse>>,
        heard: mpsc::Sender<DeltaDiscoveryRequest>,
    }

    #[tonic::async_trait]
    impl AggregatedDiscoveryService for Script {
        type StreamAggregatedResourcesStream = Responses<DiscoveryResponse>;
        type DeltaAggregatedResourcesStream = Responses<DeltaDiscoveryResponse>;

        async fn stream_aggregated_resources(
            &self,
            _: Request<Streaming<DiscoveryRequest>>,
        ) -> Result<Response<Self::StreamAggregatedResourcesStream>, Status> {
            Err(Status::unimplemented("only the other form"))
        }

        async fn delta_aggregated_resources(
            &self,
            request: Request<Streaming<DeltaDiscoveryRequest>>,
        ) -> Result<Response<Self::DeltaAggregatedResourcesStream>, Status> {
            let (mut requests, heard) = (request.into_inner(), self.heard.clone());
            let responses = std::mem::take(&mut *self.responses.lock().unwrap());
            let (sender, receiver) = mpsc::channel(1);
            tokio::spawn(async move {
                for response in responses {
                    heard.send(requests.message().await.unwrap().unwrap()).await.unwrap();
                    sender.send(Ok(response)).await.unwrap();
                }
                heard.send(requests.message().await.unwrap().unwrap()).await.unwrap();
            });
            Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
        }
    }

    fn response(nonce: &str, hosts: &[(&str, &[&str])], removed: &[&str]) -> DeltaDiscoveryResponse {
        let resource = |(name, addresses): &(&str, &[&str])| {
            let list = AddressList { address: addresses.iter().map(|it| (*it).to_owned()).collect() };
            let endpoint = Some(DnsEndpoint { endpoint_config: Some(EndpointConfig::AddressList(list)) });
            let domain = DnsVirtualDomain { name: (*name).to_owned(), endpoint, ..DnsVirtualDomain::default() };
            Resource { name: (*name).to_owned(), version: format!("v{nonce}"), resource: Some(any(&domain)), ..Resource::default() }
        };
        DeltaDiscoveryResponse {
            nonce: nonce.to_owned(),
            resources: hosts.iter().map(resource).collect(),
            removed_resources: removed.iter().map(|name| (*name).to_owned()).collect(),
            ..DeltaDiscoveryResponse::default()
        }
    }

    #[test]
    fn names_are_taken_kept_and_told_of_to_who_comes_next() {
        block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let (heard, mut requests) = mpsc::channel(8);
            let unreadable = Resource { name: "c".to_owned(), version: "1".to_owned(), ..Resource::default() };
            let mut first = response("1", &[("a", &["10.0.0.1", "fd00::1"]), ("b", &["10.0.0.2"])], &[]);
            first.resources.push(unreadable);
            let script = Script { responses: Mutex::new(vec![first, response("2", &[("a", &["10.0.0.3"])], &["b"])]), heard };
            let server = tonic::transport::Server::builder().add_service(AggregatedDiscoveryServiceServer::new(script));
            tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));

            let (_certificates, certificate) = watch::channel(None);
            let table = NameTable::default();
            let subscription = Subscription::new(&facts(), table.clone(), certificate);
            let mut backoff = Backoff::new(Duration::from_millis(1), Duration::from_millis(1));
            let mut stream = async || {
                let channel = Endpoint::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap();
                subscription.converse(channel, &mut backoff).await.unwrap();
            };
            stream().await;
            let heard: Vec<DeltaDiscoveryRequest> =
                [requests.recv().await.unwrap(), requests.recv().await.unwrap(), requests.recv().await.unwrap()].into();
            assert_eq!(heard[0].resource_names_subscribe, [ALL]);
            assert_eq!(heard[0].type_url, "type.googleapis.com/envoy.data.dns.v3.DnsTable.DnsVirtualDomain");
            assert_eq!(heard[0].node.as_ref().unwrap().id, "sidecar~10.9.0.7~web-1.shop~shop.svc.cluster.local");
            assert!(heard[0].initial_resource_versions.is_empty());
            assert_eq!([&heard[1].response_nonce, &heard[2].response_nonce], ["1", "2"]);
            assert!(heard[1].resource_names_subscribe.is_empty() && heard[1].error_detail.is_none());
            // The stream is over, and the table stays.
            assert_eq!(table.find("a", &[]).unwrap().addresses[0].to_string(), "10.0.0.3");
            assert_eq!((table.find("b", &[]), table.len()), (None, 1));

            stream().await;
            let held = requests.recv().await.unwrap().initial_resource_versions;
            assert_eq!(held.into_iter().collect::<Vec<_>>(), [("a".to_owned(), "v2".to_owned())]);
        });
    }
}
