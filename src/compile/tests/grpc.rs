//! What gRPC libraries get that speak xDS themselves.

use std::time::Duration;

use envoy_api::envoy::{
    config::{
        cluster::v3::{
            Cluster,
            cluster::{ClusterDiscoveryType, DiscoveryType, LbPolicy},
        },
        core::v3::{TransportSocket, transport_socket::ConfigType},
        endpoint::v3::ClusterLoadAssignment,
        listener::v3::Listener,
        route::v3::RouteConfiguration,
    },
    extensions::transport_sockets::tls::v3::{CommonTlsContext, UpstreamTlsContext, common_tls_context::ValidationContextType},
    r#type::matcher::v3::string_matcher::MatchPattern,
};
use prost::Message;

use super::{assignment, cluster, decoded, names, proxy};
use crate::compile::{Compiled, Proxy, ResourceType, compile};
use crate::model::{
    ClientTls, ClientTlsMode, ConsistentHash, Generator, HashKey, HashTable, HttpFault, HttpRoute, LoadBalancer, LoadBalancing, MtlsMode,
    PerMillion, Resolution, ServiceKey, TrafficPolicy,
};
use crate::testing::mesh::{TestMesh, bookinfo, forward, fqdn, peer_authentication, to, versions, virtual_service};

const REVIEWS: &str = "outbound|9080||reviews.shop.svc.cluster.local";

/// What the application of a workload gets.
fn told(mesh: &TestMesh, namespace: &str, name: &str) -> Compiled {
    compile(mesh.snapshot(), &Proxy { generator: Generator::Grpc, ..proxy(mesh, namespace, name) })
}

fn common_of(socket: &TransportSocket) -> CommonTlsContext {
    let Some(ConfigType::TypedConfig(config)) = &socket.config_type else { panic!("no configuration") };
    // A server's context begins with the same field.
    UpstreamTlsContext::decode(&*config.value).unwrap().common_tls_context.unwrap()
}

/// Whom a client accepts as server; nothing for plain text.
#[expect(deprecated, reason = "where gRPC looks for names")]
fn peers(cluster: &Cluster) -> Vec<String> {
    let Some(socket) = &cluster.transport_socket else { return Vec::new() };
    let Some(ValidationContextType::ValidationContext(context)) = common_of(socket).validation_context_type else { panic!("{socket:?}") };
    let matchers = context.match_subject_alt_names.into_iter();
    let shown = matchers.map(|matcher| match matcher.match_pattern.unwrap() {
        MatchPattern::Exact(name) => name,
        other => format!("{other:?}"),
    });
    shown.collect()
}

#[test]
fn a_service_is_found_by_the_names_that_lead_to_it_alone() {
    let mut mesh = bookinfo();
    mesh.external("data", "reviews.shop", Resolution::Eds, &["grpc:9080"]);
    mesh.external("data", "*.wild.example.com", Resolution::Eds, &["grpc:9080"]);
    let targets = |namespace: &str, name: &str| {
        let all = names(&told(&mesh, namespace, name), ResourceType::Listener);
        all.into_iter().filter(|name| name.contains("reviews") || name.contains("wild")).collect::<Vec<_>>()
    };
    let far = ["reviews.shop.svc.cluster.local:9080", "reviews.shop.svc:9080", "reviews.shop:9080"];
    assert_eq!(targets("data", "db-0"), far);
    assert_eq!(targets("shop", "productpage-v1"), [&far[..], &["reviews:9080"]].concat());
    let listener: Listener = decoded(&told(&mesh, "data", "db-0"), ResourceType::Listener, "reviews.shop:9080");
    let named = String::from_utf8_lossy(&listener.api_listener.unwrap().api_listener.unwrap().value).into_owned();
    assert!(named.contains("outbound|9080||reviews.shop") && !named.contains("cluster.local"), "{named:?}");
}

#[test]
fn mtls_is_spoken_where_all_endpoints_do_and_http_is_declared() {
    let mut mesh = bookinfo();
    let reviews = |mesh: &TestMesh| peers(&cluster(&told(mesh, "shop", "productpage-v1"), REVIEWS));
    assert_eq!(reviews(&mesh), ["spiffe://cluster.local/ns/shop/sa/reviews"]);
    // Sidecars that find out what is spoken take other TLS for the application's own.
    let legacy = cluster(&told(&mesh, "shop", "productpage-v1"), "outbound|7000||legacy.shop.svc.cluster.local");
    assert_eq!(legacy.transport_socket, None);
    let mut one = mesh.clone();
    one.workloads.values_mut().find(|it| &*it.key.name == "reviews-v2").unwrap().labels.remove("security.istio.io/tlsMode");
    assert_eq!(reviews(&one), Vec::<String>::new());
    mesh.peer_authentications.push(peer_authentication("shop", &[], MtlsMode::Disable));
    assert_eq!(reviews(&mesh), Vec::<String>::new());
}

#[test]
fn what_must_be_secured_as_grpc_can_not_is_not_there() {
    let with = |mode: ClientTlsMode| {
        let mut mesh = bookinfo();
        mesh.destination_rules[0].policy.tls = Some(ClientTls { mode, ..ClientTls::default() });
        told(&mesh, "shop", "productpage-v1").get(ResourceType::Cluster, REVIEWS).is_some()
    };
    assert!(with(ClientTlsMode::IstioMutual) && with(ClientTlsMode::Disable));
    assert!(!with(ClientTlsMode::Simple));
}

#[test]
fn a_headless_service_has_endpoints_and_one_name_is_looked_up() {
    let mesh = bookinfo();
    let compiled = told(&mesh, "shop", "productpage-v1");
    let found = |name: &str| match cluster(&compiled, name).cluster_discovery_type {
        Some(ClusterDiscoveryType::Type(found)) => DiscoveryType::try_from(found).unwrap(),
        other => panic!("{other:?}"),
    };
    let queue = "outbound|5672||queue.data.svc.cluster.local";
    assert_eq!(found(queue), DiscoveryType::Eds);
    assert_eq!(assignment(&compiled, queue).endpoints.iter().map(|group| group.lb_endpoints.len()).sum::<usize>(), 2);
    assert_eq!(found("outbound|80||api.example.com"), DiscoveryType::LogicalDns);
}

#[test]
fn a_policy_of_hashes_holds_and_every_other_one_is_that_which_all_libraries_know() {
    let with = |algorithm: LoadBalancer| {
        let mut mesh = bookinfo();
        let balancing = LoadBalancing { algorithm: Some(algorithm), ..LoadBalancing::default() };
        let policy = TrafficPolicy { load_balancer: Some(balancing), ..TrafficPolicy::default() };
        mesh.destination_rules.push(versions("shop", &fqdn("data", "queue"), &[]));
        mesh.destination_rules.last_mut().unwrap().policy = policy;
        let cluster = cluster(&told(&mesh, "shop", "productpage-v1"), "outbound|5672||queue.data.svc.cluster.local");
        LbPolicy::try_from(cluster.lb_policy).unwrap()
    };
    let hash = |table| LoadBalancer::ConsistentHash(ConsistentHash { key: Some(HashKey::Header("x".into())), table });
    assert_eq!(with(hash(HashTable::Maglev { size: Some(7) })), LbPolicy::RingHash);
    assert_eq!(with(hash(HashTable::Ring { minimum_size: None })), LbPolicy::RingHash);
    assert_eq!(with(LoadBalancer::Random), LbPolicy::RoundRobin);
    assert_eq!(with(LoadBalancer::LeastRequest), LbPolicy::RoundRobin);
}

#[test]
fn a_server_takes_what_peer_authentications_say_as_far_as_it_can() {
    let chain = |mesh: &TestMesh, at: &str| {
        let listener: Listener =
            decoded(&told(mesh, "shop", "reviews-v1"), ResourceType::Listener, &format!("xds.istio.io/grpc/lds/inbound/{at}"));
        listener.filter_chains.into_iter().next().unwrap()
    };
    let mut mesh = bookinfo();
    // In between, the pod's label says what its clients will speak.
    for at in ["0.0.0.0:9080", "[::]:9080", "127.0.0.1:9080", "10.244.3.1:9080"] {
        let chain = chain(&mesh, at);
        let common = common_of(&chain.transport_socket.unwrap());
        assert_eq!(common.tls_certificate_provider_instance.unwrap().instance_name, "default", "{at}");
    }
    let unlabelled = |mesh: &mut TestMesh| {
        mesh.workloads.values_mut().find(|it| &*it.key.name == "reviews-v1").unwrap().labels.remove("security.istio.io/tlsMode")
    };
    unlabelled(&mut mesh);
    assert_eq!(chain(&mesh, "0.0.0.0:9080").transport_socket, None);
    mesh.peer_authentications.push(peer_authentication("shop", &[("app", "reviews")], MtlsMode::Strict));
    assert!(chain(&mesh, "0.0.0.0:9080").transport_socket.is_some());
    mesh.peer_authentications[0].ports = [(9080, Some(MtlsMode::Disable))].into();
    assert_eq!(chain(&mesh, "0.0.0.0:9080").transport_socket, None);
}

#[test]
fn a_route_has_the_overrides_that_grpc_knows_and_not_those_for_browsers() {
    let mut mesh = bookinfo();
    let ratings = fqdn("shop", "ratings");
    let fault = HttpFault { delay: Some((Duration::from_secs(1), PerMillion::ALL)), abort: None };
    let rule = HttpRoute { cors: Some(Box::default()), fault, ..forward(Vec::new(), vec![to(&ratings, None, 1)]) };
    mesh.virtual_services.push(virtual_service("shop", "ratings", std::slice::from_ref(&ratings), vec![rule]));
    let overrides = |compiled: &Compiled, table: &str| -> Vec<String> {
        let table: RouteConfiguration = decoded(compiled, ResourceType::Route, table);
        let hosts = &table.virtual_hosts;
        // That of a service has one host, for whatever its client called.
        let host = hosts.iter().find(|host| host.domains.iter().any(|it| it.contains("ratings"))).unwrap_or(&hosts[0]);
        host.routes[0].typed_per_filter_config.keys().cloned().collect()
    };
    let by_sidecar = overrides(&compile(mesh.snapshot(), &proxy(&mesh, "shop", "productpage-v1")), "9080");
    assert_eq!(by_sidecar, ["envoy.filters.http.cors", "envoy.filters.http.fault"]);
    let told = told(&mesh, "shop", "productpage-v1");
    assert_eq!(overrides(&told, "outbound|9080||ratings.shop.svc.cluster.local"), ["envoy.filters.http.fault"]);
}

#[test]
fn an_address_that_stands_in_two_places_is_told_once() {
    let mut mesh = bookinfo();
    let queue = ServiceKey { host: fqdn("data", "queue"), namespace: "data".into() };
    let mut twice = mesh.snapshot().endpoints.get(&queue).unwrap().to_vec();
    twice.iter_mut().for_each(|endpoint| endpoint.locality = "elsewhere/zone".into());
    mesh.others.insert(queue, twice);
    let addresses =
        |assignment: ClusterLoadAssignment| -> usize { assignment.endpoints.iter().map(|group| group.lb_endpoints.len()).sum() };
    let name = "outbound|5672||queue.data.svc.cluster.local";
    assert_eq!(addresses(assignment(&told(&mesh, "shop", "productpage-v1"), name)), 2);
}
