//! Process 1 with an Envoy that misbehaves.

use envoy_api::envoy::{
    config::core::v3::Node,
    service::discovery::v3::{DeltaDiscoveryRequest, aggregated_discovery_service_client::AggregatedDiscoveryServiceClient},
};
use hyper_util::rt::TokioIo;
use std::{fs, net::SocketAddr, os::unix::fs::PermissionsExt, path::PathBuf, time::Duration};
use tempfile::TempDir;
use tokio::{net::UnixStream, sync::mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Endpoint;

use crate::{
    authority::Authority,
    page::{eventually, get},
    pilot::Pilot,
    pod::{Pod, Shape, kill_hard},
};

/// A script that is started as Envoy; it notes each start in the file `starts` of its working directory.
fn pretended(script: &str) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("envoy");
    fs::write(&path, format!("#!/bin/sh\necho $$ >> starts\n{script}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    (folder, path)
}

pub(crate) fn with_envoy(script: &str, before: Option<&str>, test: impl FnOnce(Pod)) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let authority = runtime.block_on(Authority::start());
    let (_folder, envoy) = pretended(script);
    let nobody = SocketAddr::from(([127, 0, 0, 1], 9));
    test(Pod::start(&Shape { authority: &authority, pilot: nobody, envoy: &envoy, lifetime: "1h", drain: "0s", before, env: &[] }));
    runtime.shutdown_background();
}

fn starts(pod: &Pod) -> usize {
    fs::read_to_string(pod.folder.path().join("proxy/starts")).unwrap_or_default().lines().count()
}

#[test]
fn an_envoy_that_falls_is_started_again_and_again() {
    with_envoy("exit 1", None, |mut pod| {
        eventually("three starts", || (starts(&pod) >= 3).then_some(()));
        pod.terminate();
        assert!(pod.ended(Duration::from_secs(10)).success());
    });
}

#[test]
fn an_envoy_that_does_not_end_is_killed() {
    with_envoy("trap '' TERM; while :; do sleep 0.1; done", None, |mut pod| {
        eventually("a start", || (starts(&pod) == 1).then_some(()));
        pod.terminate();
        assert!(pod.ended(Duration::from_secs(15)).success());
    });
}

#[test]
fn envoy_waits_for_a_certificate_and_for_the_bootstrap() {
    with_envoy("test -s envoy-bootstrap.pb && echo there > seen; exec sleep 1000", None, |pod| {
        let seen = pod.folder.path().join("proxy/seen");
        eventually("envoy finds its bootstrap", || seen.exists().then_some(()));
        assert_eq!(starts(&pod), 1);
    });
}

#[test]
fn beside_an_application_that_speaks_xds_there_is_no_envoy_and_a_certificate_in_files() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let authority = runtime.block_on(Authority::start());
    let pilot = runtime.block_on(Pilot::start(&authority, "spiffe://cluster.local/ns/istio-system/sa/istio-pilot", Vec::new()));
    let ((_folder, envoy), shared) = (pretended("exec sleep 1000"), tempfile::tempdir().unwrap());
    let env = [("ISTIO_META_GENERATOR", "grpc"), ("OUTPUT_CERTS", shared.path().to_str().unwrap())];
    let shape = Shape { authority: &authority, pilot: pilot.address, envoy: &envoy, lifetime: "1h", drain: "60s", before: None, env: &env };
    let mut pod = Pod::start(&shape);
    eventually("the agent is ready", || get(pod.status, "/healthz/ready").filter(|(status, _)| *status == 200));
    for file in ["key.pem", "cert-chain.pem", "root-cert.pem"] {
        assert!(shared.path().join(file).exists(), "{file}");
    }
    assert!(pod.folder.path().join("proxy/grpc-bootstrap.json").exists());
    let (status, metrics) = get(pod.status, "/stats/prometheus").unwrap();
    assert!(status == 200 && metrics.contains("istio_agent_") && !metrics.contains("istio_agent_scrape_failures_total{"), "{metrics}");
    assert_eq!(starts(&pod), 0);
    // An agent that falls is brought back, and the application's library finds the socket again.
    kill_hard(eventually("the agent runs", || pod.agent()));
    eventually("another one is ready", || get(pod.status, "/healthz/ready").filter(|(status, _)| *status == 200));
    let stream = runtime.block_on(stream_to_pilot(pod.folder.path().join("proxy/XDS")));
    eventually("the stream reaches pilot", || pilot.streams.lock().unwrap().contains(&"the application's".to_owned()).then_some(()));
    pod.terminate();
    eventually("the agent drains", || get(pod.status, "/healthz/ready").filter(|(_, page)| page.contains("draining")));
    assert!(pod.agent().is_some(), "while the application has a stream, it may look for others");
    drop(stream);
    assert!(pod.ended(Duration::from_secs(10)).success());
    runtime.shutdown_background();
}

/// A stream as an application's library opens it, for as long as what is returned lives.
async fn stream_to_pilot(socket: PathBuf) -> impl Sized {
    let connector = tower::service_fn(move |_| {
        let socket = socket.clone();
        async move { std::io::Result::Ok(TokioIo::new(UnixStream::connect(socket).await?)) }
    });
    let channel = Endpoint::from_static("http://localhost").connect_with_connector(connector).await.unwrap();
    let (requests, sent) = mpsc::channel(1);
    let node = Some(Node { id: "the application's".to_owned(), ..Node::default() });
    requests.send(DeltaDiscoveryRequest { node, ..DeltaDiscoveryRequest::default() }).await.unwrap();
    let mut client = AggregatedDiscoveryServiceClient::new(channel);
    (requests, client.delta_aggregated_resources(ReceiverStream::new(sent)).await.unwrap())
}
