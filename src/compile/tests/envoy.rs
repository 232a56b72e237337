//! What real Envoy makes of it.

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, TcpListener, TcpStream},
    sync::Arc,
    thread,
    time::Duration,
};

use envoy_api::envoy::config::listener::v3::Listener;
use prost::Message;
use serde_json::{Value, json};

use super::{compiled, names, proxy};
use crate::compile::{Proxy, ResourceType, compile};
use crate::model::{
    AbortStatus, Endpoint, HeaderOperations, Health, HostPattern, HttpAction, HttpRedirect, HttpRewrite, MtlsMode, NamespaceSelector,
    PerMillion, Resolution, ServiceKey, SpiffeId, StringMatch,
};
use crate::testing::{
    TestCa, block_on,
    bootstrap::{Static, as_sent},
    envoy::{RunningEnvoy, start, validate},
    free_port,
    http::{Echo, get, try_get},
    mesh::{TestMesh, bookinfo, forward, fqdn, labels, path, peer_authentication, port, to, virtual_service},
};

/// What an upstream got.
pub(super) fn got(body: &str) -> Value {
    serde_json::from_str(body).unwrap_or_else(|_| panic!("no answer of the upstream: {body}"))
}

/// An endpoint of `reviews` on loopback.
pub(super) fn on_loopback(version: &str, number: u16, mtls: bool) -> Endpoint {
    Endpoint {
        address: "127.0.0.1".into(),
        hostname: None,
        port: number,
        service_port: "http".into(),
        health: Health::Healthy,
        labels: Arc::new(labels(&[("version", version)])),
        workload: None,
        identity: mtls.then(|| SpiffeId::new("cluster.local", "shop", "reviews")),
        mtls,
        locality: "".into(),
        weight: 1,
    }
}

/// The sample with these endpoints of `reviews` alone.
pub(super) fn reviews_at(endpoints: Vec<Endpoint>) -> TestMesh {
    let mut mesh = bookinfo();
    let key = ServiceKey { host: fqdn("shop", "reviews"), namespace: "shop".into() };
    mesh.services.get_mut(&key).unwrap().selector = labels(&[("app", "none")]);
    mesh.others.insert(key, endpoints);
    mesh
}

/// Every kind of resource that there is.
fn everything() -> TestMesh {
    let mut mesh = bookinfo();
    mesh.config.access_log_file = "/dev/null".to_owned();
    mesh.external("shop", "one.example.com", Resolution::DnsRoundRobin, &["http2:8443", "tls:9443"]);
    mesh.external("shop", "*.wild.example.com", Resolution::Passthrough, &["tls:443", "http:80", "main:9000"]);
    mesh.external("shop", "lan.example.com", Resolution::Passthrough, &["tcp:6000"]).ranges = vec!["192.0.2.0/24".parse().unwrap()];
    mesh.services.values_mut().filter(|it| &*it.name == "details").for_each(|it| it.ports.push(port("grpc:9090")));
    mesh.peer_authentications.push(peer_authentication("data", &[], MtlsMode::Strict));
    let mut ports = peer_authentication("shop", &[("app", "reviews")], MtlsMode::Permissive);
    ports.ports = [(9080, Some(MtlsMode::Disable)), (4000, Some(MtlsMode::Strict))].into();
    mesh.peer_authentications.push(ports);
    let mut server = mesh.gateways[0].servers[0].clone();
    server.hosts = vec![(NamespaceSelector::Any, HostPattern::new("*.example.com"))];
    mesh.gateways[0].servers.push(server);
    mesh
}

#[test]
fn envoy_accepts_all_that_is_compiled() {
    let mesh = everything();
    for (namespace, name) in
        [("shop", "productpage-v1"), ("shop", "reviews-v1"), ("shop", "legacy-0"), ("data", "queue-0"), ("istio-system", "gateway-0")]
    {
        let compiled = compiled(&mesh, namespace, name);
        validate(&as_sent(&compiled)).unwrap_or_else(|error| panic!("{name}, as it is sent: {error}"));
        // With its routes in it, which are not looked at otherwise.
        validate(&Static::of(&compiled).bootstrap()).unwrap_or_else(|error| panic!("{name}, with routes: {error}"));
        assert!(!names(&compiled, ResourceType::Route).is_empty());
    }
}

#[test]
fn a_proxy_has_its_connections_dealt_out_evenly_where_its_metadata_ask_for_it() {
    let balanced = |names: &[(&str, &str)]| {
        let mesh = everything();
        let compiled = compile(mesh.snapshot(), &Proxy { metadata: labels(names), ..proxy(&mesh, "shop", "productpage-v1") });
        validate(&as_sent(&compiled)).unwrap();
        let listeners = compiled.resources(ResourceType::Listener).into_iter().map(|it| Listener::decode(&*it.body).unwrap());
        listeners.filter(|it| it.connection_balance_config.is_some()).map(|it| it.name).collect::<Vec<_>>()
    };
    assert_eq!(balanced(&[]), Vec::<String>::new());
    assert_eq!(balanced(&[("INBOUND_LISTENER_EXACT_BALANCE", "true")]), ["virtualInbound"]);
    assert_eq!(balanced(&[("INBOUND_LISTENER_EXACT_BALANCE", "false")]), Vec::<String>::new());
    let outbound = balanced(&[("OUTBOUND_LISTENER_EXACT_BALANCE", "true")]);
    assert!(outbound.contains(&"0.0.0.0_9080".to_owned()), "{outbound:?}");
    assert!(!outbound.iter().any(|name| name.starts_with("virtual")), "{outbound:?}");
}

#[test]
fn envoy_refuses_what_the_compiler_takes_care_of() {
    let mut broken = as_sent(&compiled(&bookinfo(), "shop", "productpage-v1"));
    let listener = broken["static_resources"]["listeners"][0].clone();
    broken["static_resources"]["listeners"][1]["address"] = listener["address"].clone();
    assert!(validate(&broken).is_err_and(|error| error.contains("duplicate address")));
}

/// A gateway whose routes show all that a rule can do, and its port.
async fn gateway(upstreams: &[&Echo]) -> (RunningEnvoy, u16) {
    let endpoints = upstreams.iter().zip(["v1", "v2"]).map(|(echo, version)| on_loopback(version, echo.port, false)).collect();
    let mut mesh = reviews_at(endpoints);
    let reviews = fqdn("shop", "reviews");
    let pair = |name: &str, value: &str| (name.into(), value.into());
    let split = forward(vec![path(StringMatch::Prefix("/split".into()))], vec![to(&reviews, Some("v1"), 75), to(&reviews, Some("v2"), 25)]);
    let mut changed = forward(vec![path(StringMatch::Prefix("/old".into()))], vec![to(&reviews, Some("v1"), 1)]);
    changed.rewrite =
        Some(Box::new(HttpRewrite { uri: Some("/new".into()), uri_regex: None, authority: Some("rewritten.example".into()) }));
    changed.headers = HeaderOperations {
        request_set: vec![pair("x-set", "ours")],
        request_remove: vec!["x-remove".into()],
        response_set: vec![pair("x-answer", "yes")],
        ..HeaderOperations::default()
    }
    .boxed();
    let mut moved = forward(vec![path(StringMatch::Exact("/moved".into()))], Vec::new());
    let elsewhere =
        HttpRedirect { uri: Some("/there".into()), authority: Some("new.example".into()), code: 302, ..HttpRedirect::default() };
    moved.action = HttpAction::Redirect(Box::new(elsewhere));
    let mut tea = forward(vec![path(StringMatch::Exact("/tea".into()))], Vec::new());
    tea.action = HttpAction::Respond { status: 418, body: Some("short and stout".into()) };
    let mut broken = forward(vec![path(StringMatch::Exact("/broken".into()))], vec![to(&reviews, Some("v1"), 1)]);
    broken.fault.abort = Some((AbortStatus::Http(555), PerMillion::ALL));
    let mut entry = virtual_service("shop", "bookinfo", &[HostPattern::new("*")], vec![split, changed, moved, tea, broken]);
    entry.gateways = vec!["shop/bookinfo-gateway".into()];
    mesh.virtual_services = vec![entry];
    let compiled = compiled(&mesh, "istio-system", "gateway-0");
    let envoy = start(Static::of(&compiled).listening("0.0.0.0_8080", 0).bootstrap()).await;
    let port = envoy.port_of("0.0.0.0_8080").await;
    (envoy, port)
}

#[test]
fn a_gateway_splits_rewrites_redirects_and_answers() {
    block_on(async {
        let (v1, v2) = (Echo::start("v1").await, Echo::start("v2").await);
        let (envoy, port) = gateway(&[&v1, &v2]).await;

        let mut second = 0;
        for _ in 0..400 {
            let answer = get(port, "/split", &[]).await;
            assert_eq!(answer.status, 200, "{}", answer.body);
            second += usize::from(got(&answer.body)["name"] == "v2");
        }
        // A fair coin of 25 % falls outside of this once in ten million runs.
        assert!((55..=145).contains(&second), "{second} of 400 to v2");

        let headers = [("x-set", "theirs"), ("x-remove", "1"), ("x-forwarded-client-cert", "URI=spiffe://cluster.local/ns/shop/sa/forged")];
        let answer = get(port, "/old/page?q=1", &headers).await;
        let request = got(&answer.body);
        assert_eq!(request["path"], "/new/page?q=1");
        assert_eq!((&request["headers"]["host"], &request["headers"]["x-set"]), (&json!("rewritten.example"), &json!("ours")));
        assert_eq!((&request["headers"]["x-remove"], &request["headers"]["x-forwarded-client-cert"]), (&Value::Null, &Value::Null));
        assert_eq!((answer.headers["x-answer"].as_str(), answer.headers["server"].as_str()), ("yes", "istio-envoy"));

        let moved = get(port, "/moved", &[]).await;
        assert_eq!((moved.status, moved.headers["location"].as_str()), (302, "http://new.example/there"));
        let tea = get(port, "/tea", &[]).await;
        assert_eq!((tea.status, tea.body.as_str()), (418, "short and stout"));
        assert_eq!(get(port, "/broken", &[]).await.status, 555);
        assert_eq!(get(port, "/unknown", &[]).await.status, 404);
        assert!(!envoy.log().to_ascii_lowercase().contains("deprecated"), "{}", envoy.log());
    });
}

/// A caller's sidecar and an application's, with mTLS between them.
struct Pair {
    client: RunningEnvoy,
    _server: RunningEnvoy,
    outbound: u16,
    inbound: u16,
}

/// `productpage` calls `reviews`, whose port has that name and speaks what it says.
async fn pair(application: u16, port_name: &str, mode: MtlsMode) -> Pair {
    let inbound = free_port();
    let ca = TestCa::new("root");
    let mut mesh = bookinfo();
    mesh.peer_authentications.push(peer_authentication("shop", &[], mode));
    mesh.service("shop", "reviews", Some("10.96.0.3"), &[&format!("{port_name}:9080:{inbound}")]);
    mesh.virtual_services.clear();
    let identity = SpiffeId::new("cluster.local", "shop", "reviews");
    let server = compiled(&mesh, "shop", "reviews-v1");
    let server = Static::of(&server)
        .identified(&ca, &identity)
        .listening("virtualInbound", inbound)
        .leading(&format!("inbound|{inbound}||"), application);
    let server = start(server.bootstrap()).await;

    mesh.workloads.retain(|key, _| !key.name.starts_with("reviews"));
    mesh.workload("shop", "reviews-v1", "127.0.0.1", &[("app", "reviews")]);
    let caller = proxy(&mesh, "shop", "productpage-v1");
    let client = compile(mesh.snapshot(), &caller);
    let name = if port_name == "main" { "10.96.0.3_9080" } else { "0.0.0.0_9080" };
    let client = start(Static::of(&client).identified(&ca, &caller.identity).listening(name, 0).bootstrap()).await;
    let outbound = client.port_of(name).await;
    Pair { client, _server: server, outbound, inbound }
}

const FORGED: (&str, &str) = ("x-forwarded-client-cert", "URI=spiffe://cluster.local/ns/shop/sa/forged");

#[test]
fn a_caller_is_known_by_the_identity_that_it_proves_and_by_nothing_that_it_says() {
    block_on(async {
        let echo = Echo::start("app").await;
        let pair = pair(echo.port, "http", MtlsMode::Permissive).await;

        let answer = get(pair.outbound, "/", &[("host", "reviews:9080"), FORGED]).await;
        assert_eq!(answer.status, 200, "{}\n{}", answer.body, pair.client.log());
        let certificate = got(&answer.body)["headers"]["x-forwarded-client-cert"].as_str().unwrap().to_owned();
        assert!(certificate.contains("URI=spiffe://cluster.local/ns/shop/sa/productpage"), "{certificate}");
        assert!(certificate.contains("By=spiffe://cluster.local/ns/shop/sa/reviews") && !certificate.contains("forged"), "{certificate}");

        let plain = get(pair.inbound, "/", &[FORGED]).await;
        assert_eq!((plain.status, &got(&plain.body)["headers"]["x-forwarded-client-cert"]), (200, &Value::Null));
    });
}

#[test]
fn on_a_port_that_does_not_say_what_it_speaks_http_callers_are_known_too() {
    block_on(async {
        let echo = Echo::start("app").await;
        let pair = pair(echo.port, "main", MtlsMode::Permissive).await;
        let answer = get(pair.outbound, "/", &[FORGED]).await;
        assert_eq!(answer.status, 200, "{}\n{}", answer.body, pair.client.log());
        let certificate = got(&answer.body)["headers"]["x-forwarded-client-cert"].as_str().unwrap_or_default().to_owned();
        assert!(certificate.contains("URI=spiffe://cluster.local/ns/shop/sa/productpage"), "{certificate}");
        assert_eq!(got(&get(pair.inbound, "/", &[FORGED]).await.body)["headers"]["x-forwarded-client-cert"], Value::Null);
    });
}

#[test]
fn http_2_is_spoken_where_the_port_says_so() {
    block_on(async {
        let echo = Echo::start("app").await;
        let pair = pair(echo.port, "grpc", MtlsMode::Strict).await;
        let answer = get(pair.outbound, "/", &[("host", "reviews")]).await;
        assert_eq!(answer.status, 200, "{}\n{}", answer.body, pair.client.log());
        let stats = pair.client.admin("/stats?usedonly&filter=upstream_cx_http2_total").await.body;
        assert!(stats.contains("outbound|9080||reviews.shop.svc.cluster.local;.upstream_cx_http2_total: 1"), "{stats}");
    });
}

#[test]
fn strict_refuses_whoever_comes_in_plain_text() {
    block_on(async {
        let echo = Echo::start("app").await;
        let pair = pair(echo.port, "http", MtlsMode::Strict).await;
        assert_eq!(get(pair.outbound, "/", &[("host", "reviews")]).await.status, 200);
        assert!(try_get(pair.inbound, "/", &[]).await.is_err());
    });
}

#[test]
fn a_server_with_another_identity_than_its_services_is_refused() {
    block_on(async {
        let echo = Echo::start("app").await;
        let inbound = free_port();
        let ca = TestCa::new("root");
        let mut mesh = bookinfo();
        mesh.service("shop", "reviews", Some("10.96.0.3"), &[&format!("http:9080:{inbound}")]);
        mesh.virtual_services.clear();
        let thief = SpiffeId::new("cluster.local", "shop", "thief");
        let server = Static::of(&compiled(&mesh, "shop", "reviews-v1")).identified(&ca, &thief).listening("virtualInbound", inbound);
        let _server = start(server.leading(&format!("inbound|{inbound}||"), echo.port).bootstrap()).await;
        mesh.workloads.retain(|key, _| !key.name.starts_with("reviews"));
        mesh.workload("shop", "reviews-v1", "127.0.0.1", &[("app", "reviews")]);
        let caller = proxy(&mesh, "shop", "productpage-v1");
        let client = Static::of(&compile(mesh.snapshot(), &caller)).identified(&ca, &caller.identity).listening("0.0.0.0_9080", 0);
        let client = start(client.bootstrap()).await;
        let answer = get(client.port_of("0.0.0.0_9080").await, "/", &[("host", "reviews")]).await;
        assert_eq!(answer.status, 503, "{}", answer.body);
        let refused = client.admin("/stats?usedonly&filter=ssl.fail_verify_san").await.body;
        assert!(refused.contains("outbound|9080||reviews.shop.svc.cluster.local;.ssl.fail_verify_san"), "{refused}");
    });
}

#[test]
fn opaque_bytes_travel_by_mtls_on_a_port_that_does_not_say_what_it_speaks() {
    const BYTES: [u8; 13] = *b"\x00\x01 no HTTP \r\n";
    block_on(async {
        let application = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let pair = pair(application.local_addr().unwrap().port(), "main", MtlsMode::Strict).await;
        thread::spawn(move || {
            let (mut caller, _) = application.accept().unwrap();
            let mut bytes = [0; BYTES.len()];
            caller.read_exact(&mut bytes).unwrap();
            caller.write_all(&bytes).unwrap();
        });
        let mut client = TcpStream::connect((Ipv4Addr::LOCALHOST, pair.outbound)).unwrap();
        client.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        client.write_all(&BYTES).unwrap();
        let mut bytes = [0; BYTES.len()];
        client.read_exact(&mut bytes).unwrap();
        assert_eq!(bytes, BYTES);
        let stats = pair.client.admin("/stats?filter=ssl.handshake").await.body;
        assert!(stats.contains("outbound|9080||reviews.shop.svc.cluster.local;.ssl.handshake: 1"), "{stats}");
    });
}
