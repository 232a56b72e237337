//! Conversations over a real socket, in both forms.

use envoy_api::{
    envoy::{
        extensions::transport_sockets::tls::v3::{Secret, secret::Type},
        service::{
            discovery::v3::{DeltaDiscoveryRequest, DiscoveryRequest},
            secret::v3::secret_discovery_service_client::SecretDiscoveryServiceClient,
        },
    },
    google::rpc,
    unpack,
};
use hyper_util::rt::TokioIo;
use std::{sync::Arc, time::Duration};
use tempfile::TempDir;
use tokio::{
    net::UnixStream,
    sync::{mpsc, watch},
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{
    Streaming,
    transport::{Channel, Endpoint},
};

use super::routes;
use crate::runtime::{Limits, Listener, Security, Shutdown, Trigger, WorkloadCert};
use crate::testing::TestCa;

struct Agent {
    publish: watch::Sender<Option<Arc<WorkloadCert>>>,
    client: SecretDiscoveryServiceClient<Channel>,
    ca: TestCa,
    _server: Trigger,
    _folder: TempDir,
}

// === impl Agent ===

impl Agent {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let (publish, source) = watch::channel(None);
        let (server, shutdown) = Shutdown::channel();
        let listener = Listener::bind_unix(&path).unwrap();
        tokio::spawn(listener.serve(routes(source), Security::PlainHttp2, Limits::default(), shutdown));
        let connector = tower::service_fn(move |_| {
            let path = path.clone();
            async move { UnixStream::connect(path).await.map(TokioIo::new) }
        });
        let channel = Endpoint::from_static("http://agent").connect_with_connector(connector).await.unwrap();
        Self { publish, client: SecretDiscoveryServiceClient::new(channel), ca: TestCa::new("mesh"), _server: server, _folder: folder }
    }

    fn issue(&self) -> Arc<WorkloadCert> {
        let certificate = self.ca.workload(&"spiffe://cluster.local/ns/shop/sa/web".parse().unwrap(), &[]);
        self.publish.send_replace(Some(certificate.clone()));
        certificate
    }
}

/// The next answer, which has to come.
async fn next<T>(answers: &mut Streaming<T>) -> T {
    tokio::time::timeout(Duration::from_secs(10), answers.message()).await.expect("an answer").unwrap().unwrap()
}

fn ask(names: &[&str], nonce: &str) -> DiscoveryRequest {
    let resource_names = names.iter().map(|name| (*name).to_owned()).collect();
    DiscoveryRequest { resource_names, response_nonce: nonce.to_owned(), ..DiscoveryRequest::default() }
}

/// The certificate chain or the roots in a secret.
fn shown(secret: &prost_types::Any) -> (String, Vec<u8>) {
    use envoy_api::envoy::config::core::v3::{DataSource, data_source::Specifier};
    let bytes = |source: Option<DataSource>| match source.and_then(|source| source.specifier) {
        Some(Specifier::InlineBytes(bytes)) => bytes,
        other => panic!("{other:?}"),
    };
    let secret: Secret = unpack(secret).unwrap();
    let content = match secret.r#type.unwrap() {
        Type::TlsCertificate(certificate) => bytes(certificate.certificate_chain),
        Type::ValidationContext(context) => bytes(context.trusted_ca),
        other => panic!("{other:?}"),
    };
    (secret.name, content)
}

#[tokio::test]
async fn envoy_gets_what_it_asks_for_and_each_renewal_once() {
    let mut agent = Agent::new().await;
    let (requests, receiver) = mpsc::channel(4);
    requests.send(ask(&["default"], "")).await.unwrap();
    let mut answers = agent.client.stream_secrets(ReceiverStream::new(receiver)).await.unwrap().into_inner();
    // Envoy may ask before there is a certificate: it waits.
    let first = agent.issue();
    let answer = next(&mut answers).await;
    assert_eq!(shown(&answer.resources[0]), ("default".to_owned(), first.chain_pem.clone().into_bytes()));
    requests.send(ask(&["default"], &answer.nonce)).await.unwrap();

    let second = agent.issue();
    let renewed = next(&mut answers).await;
    assert_eq!(shown(&renewed.resources[0]).1, second.chain_pem.as_bytes());
    assert_ne!(renewed.version_info, answer.version_info);
    // A rejection is no request: the same answer would be rejected again.
    let error_detail = Some(rpc::Status { code: 3, message: "no".to_owned(), ..rpc::Status::default() });
    requests.send(DiscoveryRequest { error_detail, ..ask(&["default"], &renewed.nonce) }).await.unwrap();
    let none = tokio::time::timeout(Duration::from_millis(50), answers.message()).await;
    assert!(none.is_err(), "{none:?}");
    // Other names are another question.
    requests.send(ask(&["ROOTCA", "default"], &renewed.nonce)).await.unwrap();
    let both = next(&mut answers).await;
    let names: Vec<String> = both.resources.iter().map(|secret| shown(secret).0).collect();
    assert_eq!(names, ["ROOTCA", "default"]);
    assert_eq!(shown(&both.resources[0]).1, agent.ca.pem().into_bytes());
}

#[tokio::test]
async fn the_incremental_form_tells_of_unknown_secrets() {
    let mut agent = Agent::new().await;
    agent.issue();
    let (requests, receiver) = mpsc::channel(4);
    let subscribe = |names: &[&str]| DeltaDiscoveryRequest {
        resource_names_subscribe: names.iter().map(|name| (*name).to_owned()).collect(),
        ..DeltaDiscoveryRequest::default()
    };
    requests.send(subscribe(&["ROOTCA", "other"])).await.unwrap();
    let mut answers = agent.client.delta_secrets(ReceiverStream::new(receiver)).await.unwrap().into_inner();
    let answer = next(&mut answers).await;
    assert_eq!(answer.removed_resources, ["other"]);
    assert_eq!(answer.resources.len(), 1);
    assert_eq!(answer.resources[0].name, "ROOTCA");
    requests.send(DeltaDiscoveryRequest { response_nonce: answer.nonce, ..subscribe(&[]) }).await.unwrap();
    requests.send(subscribe(&["default"])).await.unwrap();
    assert_eq!(next(&mut answers).await.resources[0].name, "default");
    let renewed = agent.issue();
    let answer = next(&mut answers).await;
    assert_eq!(answer.resources.len(), 2);
    let chain = answer.resources.iter().find(|resource| resource.name == "default").unwrap();
    assert_eq!(shown(chain.resource.as_ref().unwrap()).1, renewed.chain_pem.as_bytes());
}
