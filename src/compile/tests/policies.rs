//! What DestinationRules ask of clusters, routes and listeners.

use std::time::Duration;

use envoy_api::envoy::config::cluster::v3::cluster::LbPolicy;
use serde_json::{Value, json};

use super::{cluster, compiled, json};
use crate::compile::{Compiled, ResourceType};
use crate::model::{
    ClientTls, ClientTlsMode, ConnectionPool, ConsistentHash, HashCookie, HashKey, HashTable, HostPattern, Http2Keepalive, HttpAction,
    LoadBalancer, LoadBalancing, LocalityBalancing, LocalityShares, OutlierDetection, PerMillion, PortTrafficPolicy, ProxyProtocol,
    RetryBudget, TcpKeepalive, TrafficPolicy, Tunnel, Warmup,
};
use crate::testing::mesh::{TestMesh, bookinfo, fqdn, labels, versions};

const REVIEWS: &str = "outbound|9080||reviews.shop.svc.cluster.local";
const DB: &str = "outbound|5432||db.data.svc.cluster.local";
const OPTIONS: &str = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";

/// Policy that hashes that property.
fn hashing(key: HashKey, table: HashTable) -> TrafficPolicy {
    let hash = ConsistentHash { key: Some(key), table };
    TrafficPolicy { load_balancer: Some(LoadBalancer::ConsistentHash(hash).into()), ..TrafficPolicy::default() }
}

fn by_header(name: &str) -> TrafficPolicy {
    hashing(HashKey::Header(name.into()), HashTable::Ring { minimum_size: None })
}

fn pooled(pool: ConnectionPool) -> TrafficPolicy {
    TrafficPolicy { connection_pool: Some(pool), ..TrafficPolicy::default() }
}

/// The sample with that policy for `reviews`, of which there is v1, v2 and v3.
fn with(policy: TrafficPolicy) -> TestMesh {
    let mut mesh = bookinfo();
    mesh.destination_rules[0].policy = policy;
    mesh
}

/// The sample with that policy for the database.
fn with_db(policy: TrafficPolicy) -> Compiled {
    let mut mesh = bookinfo();
    let mut rule = versions("data", &fqdn("data", "db"), &[]);
    rule.policy = policy;
    mesh.destination_rules.push(rule);
    compiled(&mesh, "shop", "productpage-v1")
}

fn productpage(mesh: &TestMesh) -> Compiled {
    compiled(mesh, "shop", "productpage-v1")
}

fn reviews(policy: TrafficPolicy) -> Value {
    json(&productpage(&with(policy)), ResourceType::Cluster, REVIEWS)
}

/// The action of the only route to a host.
fn action(compiled: &Compiled, host: &str) -> Value {
    let table = json(compiled, ResourceType::Route, "9080");
    let hosts = table["virtual_hosts"].as_array().unwrap();
    let found = hosts.iter().find(|it| it["name"].as_str().unwrap().starts_with(host)).unwrap();
    found["routes"][0]["route"].clone()
}

/// The proxy of the database's connections.
fn tcp_proxy(compiled: &Compiled) -> Value {
    let listener = json(compiled, ResourceType::Listener, "10.96.1.1_5432");
    let chain = listener["filter_chains"][0].as_object().map_or(&listener["default_filter_chain"], |_| &listener["filter_chains"][0]);
    chain["filters"].as_array().unwrap().last().unwrap()["typed_config"].clone()
}

#[test]
fn what_is_hashed_stands_in_the_route_and_the_table_in_the_cluster() {
    let mut mesh = with(by_header("x-user"));
    let ring = cluster(&productpage(&mesh), REVIEWS);
    assert_eq!(ring.lb_policy, i32::from(LbPolicy::RingHash));
    assert_eq!(json(&productpage(&mesh), ResourceType::Cluster, REVIEWS)["ring_hash_lb_config"], json!({"minimum_ring_size": "1024"}));
    // Both destinations of the VirtualService hash the same.
    let split = action(&productpage(&mesh), "reviews");
    assert_eq!(split["weighted_clusters"]["clusters"].as_array().unwrap().len(), 2);
    assert_eq!(split["hash_policy"], json!([{"header": {"header_name": "x-user"}}]));
    // Without a VirtualService, too, and for a gateway's routes.
    mesh.virtual_services.remove(0);
    assert_eq!(action(&productpage(&mesh), "reviews")["hash_policy"], json!([{"header": {"header_name": "x-user"}}]));
    let HttpAction::Forward(pages) = &mut mesh.virtual_services[0].http[0].action else { panic!("a forward") };
    pages[0].destination.host = fqdn("shop", "reviews");
    pages[0].destination.port = Some(9080);
    let table = json(&compiled(&mesh, "istio-system", "gateway-0"), ResourceType::Route, "http.8080");
    assert_eq!(table["virtual_hosts"][0]["routes"][0]["route"]["hash_policy"], json!([{"header": {"header_name": "x-user"}}]));
}

#[test]
fn every_property_can_be_hashed() {
    let policy =
        |key: HashKey| action(&productpage(&with(hashing(key, HashTable::Maglev { size: Some(5) }))), "reviews")["hash_policy"][0].clone();
    let cookie = HashCookie {
        name: "user".into(),
        path: Some("/shop".into()),
        ttl: Some(Duration::ZERO),
        attributes: vec![("SameSite".into(), "Strict".into())],
    };
    let session = json!({"name": "user", "path": "/shop", "ttl": "0s", "attributes": [{"name": "SameSite", "value": "Strict"}]});
    assert_eq!(policy(HashKey::Cookie(cookie.clone())), json!({"cookie": session}));
    assert_eq!(policy(HashKey::Cookie(HashCookie { ttl: None, ..cookie }))["cookie"]["ttl"], Value::Null);
    assert_eq!(policy(HashKey::SourceAddress), json!({"connection_properties": {"source_ip": true}}));
    assert_eq!(policy(HashKey::QueryParameter("user".into())), json!({"query_parameter": {"name": "user"}}));
    let maglev = reviews(hashing(HashKey::SourceAddress, HashTable::Maglev { size: Some(65_537) }));
    assert_eq!((&maglev["lb_policy"], &maglev["maglev_lb_config"]), (&json!("MAGLEV"), &json!({"table_size": "65537"})));
}

#[test]
fn a_subset_hashes_by_itself() {
    let mut mesh = bookinfo();
    mesh.destination_rules[0].subsets[2].policy = by_header("x-session");
    assert_eq!(action(&productpage(&mesh), "reviews")["hash_policy"], json!([{"header": {"header_name": "x-session"}}]));
    assert_eq!(cluster(&productpage(&mesh), REVIEWS).lb_policy, i32::from(LbPolicy::LeastRequest));
    assert_eq!(cluster(&productpage(&mesh), "outbound|9080|v3|reviews.shop.svc.cluster.local").lb_policy, i32::from(LbPolicy::RingHash));
}

#[test]
fn opaque_connections_are_hashed_by_the_clients_address_alone() {
    let ring = HashTable::Ring { minimum_size: None };
    assert_eq!(tcp_proxy(&with_db(hashing(HashKey::SourceAddress, ring)))["hash_policy"], json!([{"source_ip": {}}]));
    assert_eq!(tcp_proxy(&with_db(by_header("x-user")))["hash_policy"], Value::Null);
}

#[test]
fn failures_before_an_answer_are_counted_apart_where_the_rule_says_so() {
    let outliers = |split, failures| {
        let ejection = OutlierDetection {
            split_local_origin: split,
            consecutive_local_origin_failures: failures,
            interval: Some(Duration::from_secs(300)),
            base_ejection_time: Some(Duration::from_secs(900)),
            max_ejection_percent: Some(50),
            ..OutlierDetection::default()
        };
        reviews(TrafficPolicy { outlier_detection: Some(ejection), ..TrafficPolicy::default() })["outlier_detection"].clone()
    };
    let apart = outliers(true, Some(3));
    assert_eq!((&apart["split_external_local_origin_errors"], &apart["consecutive_local_origin_failure"]), (&json!(true), &json!(3)));
    assert_eq!((&apart["enforcing_local_origin_success_rate"], &apart["enforcing_success_rate"]), (&json!(0), &json!(0)));
    assert_eq!(
        (&apart["interval"], &apart["base_ejection_time"], &apart["max_ejection_percent"]),
        (&json!("300s"), &json!("900s"), &json!(50))
    );
    let together = outliers(false, None);
    assert_eq!(
        (&together["split_external_local_origin_errors"], &together["enforcing_local_origin_success_rate"]),
        (&Value::Null, &Value::Null)
    );
}

#[test]
fn connections_of_http_keep_to_the_pools_limits() {
    let pool = ConnectionPool {
        tcp_keepalive: Some(TcpKeepalive {
            probes: Some(9),
            time: Some(Duration::from_secs(7200)),
            interval: Some(Duration::from_secs(75)),
        }),
        max_connection_duration: Some(Duration::from_secs(3600)),
        tcp_idle_timeout: Some(Duration::from_secs(30)),
        ..ConnectionPool::default()
    };
    let limited = reviews(pooled(pool.clone()));
    assert_eq!(
        limited["upstream_connection_options"]["tcp_keepalive"],
        json!({"keepalive_probes": 9, "keepalive_time": 7200, "keepalive_interval": 75})
    );
    let common = &limited["typed_extension_protocol_options"][OPTIONS]["common_http_protocol_options"];
    assert_eq!((&common["max_connection_duration"], &common["idle_timeout"]), (&json!("3600s"), &json!("30s")));
    let own = reviews(pooled(ConnectionPool { idle_timeout: Some(Duration::from_secs(5)), ..pool }));
    assert_eq!(own["typed_extension_protocol_options"][OPTIONS]["common_http_protocol_options"]["idle_timeout"], "5s");
}

#[test]
fn opaque_connections_keep_to_the_pools_limits() {
    let pool = ConnectionPool {
        max_connection_duration: Some(Duration::from_secs(3600)),
        tcp_idle_timeout: Some(Duration::ZERO),
        ..ConnectionPool::default()
    };
    let proxy = tcp_proxy(&with_db(pooled(pool)));
    assert_eq!((&proxy["idle_timeout"], &proxy["max_downstream_connection_duration"]), (&json!("0s"), &json!("3600s")));
}

#[test]
fn the_version_of_http_can_be_chosen_against_what_the_port_says() {
    let upgraded = reviews(pooled(ConnectionPool {
        h2_upgrade: Some(true),
        max_concurrent_streams: Some(100),
        http2_keepalive: Some(Http2Keepalive { interval: Some(Duration::from_secs(20)), timeout: None }),
        ..ConnectionPool::default()
    }));
    assert_eq!(
        upgraded["typed_extension_protocol_options"][OPTIONS]["explicit_http_config"]["http2_protocol_options"],
        json!({"max_concurrent_streams": 100, "connection_keepalive": {"interval": "20s", "timeout": "10s"}})
    );
    let alpn = |cluster: &Value| {
        cluster["transport_socket_matches"][0]["transport_socket"]["typed_config"]["common_tls_context"]["alpn_protocols"][0].clone()
    };
    assert_eq!(alpn(&upgraded), "istio-h2");

    let clients = reviews(pooled(ConnectionPool { use_client_protocol: true, ..ConnectionPool::default() }));
    assert!(clients["typed_extension_protocol_options"][OPTIONS]["use_downstream_protocol_config"].is_object());
    let opaque = with_db(pooled(ConnectionPool { h2_upgrade: Some(true), ..ConnectionPool::default() }));
    let opaque = json(&opaque, ResourceType::Cluster, DB);
    assert_eq!((&opaque["typed_extension_protocol_options"], alpn(&opaque)), (&Value::Null, json!("istio-peer-exchange")));
}

#[test]
fn new_endpoints_warm_up_where_load_is_compared() {
    let with = |algorithm| {
        let warmup = Warmup { duration: Duration::from_secs(60), minimum: Some(PerMillion(50_000)), aggression: Some(1.5) };
        let balancing = LoadBalancing { algorithm, warmup: Some(warmup), ..LoadBalancing::default() };
        reviews(TrafficPolicy { load_balancer: Some(balancing), ..TrafficPolicy::default() })
    };
    let slow = json!({
        "slow_start_window": "60s",
        "min_weight_percent": {"value": 5.0},
        "aggression": {"default_value": 1.5, "runtime_key": "mesh.slow_start_aggression"},
    });
    assert_eq!(with(None)["least_request_lb_config"]["slow_start_config"], slow);
    assert_eq!(with(Some(LoadBalancer::RoundRobin))["round_robin_lb_config"]["slow_start_config"], slow);
    assert_eq!(with(Some(LoadBalancer::Random))["lb_policy"], "RANDOM");
}

#[test]
fn retries_keep_to_their_budget() {
    let budget = RetryBudget { share: Some(PerMillion(125_000)), min_retry_concurrency: Some(5), interval: Some(Duration::ZERO) };
    let cluster = reviews(TrafficPolicy { retry_budget: Some(budget), ..TrafficPolicy::default() });
    assert_eq!(
        cluster["circuit_breakers"]["thresholds"][0]["retry_budget"],
        json!({"budget_percent": {"value": 12.5}, "budget_interval": "0s", "min_retry_concurrency": 5})
    );
}

#[test]
fn connections_begin_with_the_clients_address_where_the_rule_says_so() {
    let with = |tls: Option<ClientTls>| reviews(TrafficPolicy { proxy_protocol: Some(ProxyProtocol::V2), tls, ..TrafficPolicy::default() });
    let name = "envoy.transport_sockets.upstream_proxy_protocol";
    let automatic = with(None);
    for (place, inner) in ["envoy.transport_sockets.tls", "envoy.transport_sockets.raw_buffer"].into_iter().enumerate() {
        let socket = &automatic["transport_socket_matches"][place]["transport_socket"];
        assert_eq!((&socket["name"], &socket["typed_config"]["config"]["version"]), (&json!(name), &json!("V2")));
        assert_eq!(socket["typed_config"]["transport_socket"]["name"], inner);
    }
    let plain = with(Some(ClientTls { mode: ClientTlsMode::Disable, ..ClientTls::default() }));
    assert_eq!(plain["transport_socket"]["typed_config"]["transport_socket"]["name"], "envoy.transport_sockets.raw_buffer");
}

#[test]
fn opaque_connections_go_through_a_tunnel() {
    let tunnel = Tunnel { by_post: true, target_host: HostPattern::new("a.example.com"), target_port: 443 };
    let policy = TrafficPolicy { tunnel: Some(tunnel), ..TrafficPolicy::default() };
    assert_eq!(tcp_proxy(&with_db(policy))["tunneling_config"], json!({"hostname": "a.example.com:443", "use_post": true}));
}

#[test]
fn a_server_may_go_unchecked_and_certificates_may_be_revoked() {
    let with = |tls: ClientTls| {
        let tls = ClientTls { mode: ClientTlsMode::Simple, sni: Some("shop.example".into()), ..tls };
        reviews(TrafficPolicy { tls: Some(tls), ..TrafficPolicy::default() })["transport_socket"]["typed_config"].clone()
    };
    let unchecked = with(ClientTls { insecure_skip_verify: Some(true), ..ClientTls::default() });
    assert_eq!(
        (&unchecked["common_tls_context"]["validation_context"], &unchecked["auto_sni_san_validation"]),
        (&Value::Null, &Value::Null)
    );
    let revoked = with(ClientTls { ca_crl: Some("/etc/certs/crl.pem".into()), ..ClientTls::default() });
    assert_eq!(revoked["common_tls_context"]["validation_context"]["crl"]["filename"], "/etc/certs/crl.pem");
}

#[test]
fn settings_of_a_subsets_port_take_nothing_from_those_of_the_host() {
    let mut mesh = with(TrafficPolicy {
        connection_pool: Some(ConnectionPool { max_connections: Some(7), ..ConnectionPool::default() }),
        ..by_header("x-user")
    });
    let random = TrafficPolicy { load_balancer: Some(LoadBalancer::Random.into()), ..TrafficPolicy::default() };
    mesh.destination_rules[0].subsets[0].policy.ports = vec![PortTrafficPolicy { port: 9080, policy: random }];
    let most =
        |name: &str| json(&productpage(&mesh), ResourceType::Cluster, name)["circuit_breakers"]["thresholds"][0]["max_connections"].clone();
    assert_eq!(most("outbound|9080|v1|reviews.shop.svc.cluster.local"), json!(u32::MAX));
    assert_eq!(most("outbound|9080|v2|reviews.shop.svc.cluster.local"), json!(7));
}

#[test]
fn a_rule_with_a_selector_holds_for_those_workloads_of_its_own_namespace() {
    let mut mesh = with(by_header("x-user"));
    mesh.destination_rules[0].workload_selector = Some(labels(&[("app", "productpage")]));
    let algorithm = |mesh: &TestMesh, namespace: &str, name: &str| cluster(&compiled(mesh, namespace, name), REVIEWS).lb_policy;
    assert_eq!(algorithm(&mesh, "shop", "productpage-v1"), i32::from(LbPolicy::RingHash));
    assert_eq!(algorithm(&mesh, "shop", "ratings-v1"), i32::from(LbPolicy::LeastRequest));
    mesh.workload("data", "productpage-v1", "10.244.9.9", &[("app", "productpage")]);
    assert_eq!(algorithm(&mesh, "data", "productpage-v1"), i32::from(LbPolicy::LeastRequest));
}

/// `reviews` with v1 in the proxy's zone, v2 in another zone of its region and v3 in another region: rank, place and weight.
fn spread(locality: Option<LocalityBalancing>, outliers: bool) -> Vec<(u64, String, u64)> {
    let balancing = LoadBalancing { locality, ..LoadBalancing::default() };
    let outlier_detection = outliers.then(OutlierDetection::default);
    let mut mesh = with(TrafficPolicy { load_balancer: Some(balancing), outlier_detection, ..TrafficPolicy::default() });
    for (key, workload) in &mut mesh.workloads {
        workload.locality = match &*key.name {
            "reviews-v2" => "region/other".into(),
            "reviews-v3" => "far/zone".into(),
            _ => "region/zone".into(),
        };
    }
    let groups = json(&productpage(&mesh), ResourceType::Endpoints, REVIEWS)["endpoints"].as_array().cloned().unwrap();
    let text = |group: &Value, part: &str| group["locality"][part].as_str().unwrap_or_default().to_owned();
    let group = |it: &Value| {
        let place = format!("{}/{}", text(it, "region"), text(it, "zone"));
        (it["priority"].as_u64().unwrap_or_default(), place, it["load_balancing_weight"].as_u64().unwrap())
    };
    groups.iter().map(group).collect()
}

fn places(groups: &[(u64, &str, u64)]) -> Vec<(u64, String, u64)> {
    groups.iter().map(|(rank, place, weight)| (*rank, (*place).to_owned(), *weight)).collect()
}

#[test]
fn near_endpoints_are_used_first_where_failing_ones_are_found() {
    let alike = places(&[(0, "far/zone", 1), (0, "region/other", 1), (0, "region/zone", 1)]);
    assert_eq!(spread(None, false), alike);
    assert_eq!(spread(Some(LocalityBalancing { enabled: Some(false), ..LocalityBalancing::default() }), true), alike);
    let nearest = places(&[(0, "region/zone", 1), (1, "region/other", 1), (2, "far/zone", 1)]);
    assert_eq!(spread(None, true), nearest);
    assert_eq!(spread(Some(LocalityBalancing::default()), true), nearest);
}

#[test]
fn labels_can_decide_what_is_near() {
    let by = |labels: &[&str]| {
        let failover_priority = labels.iter().map(|label| (*label).into()).collect();
        spread(Some(LocalityBalancing { failover_priority, ..LocalityBalancing::default() }), true)
    };
    // The client is of version v1, as is the endpoint in its zone.
    assert_eq!(by(&["version"]), places(&[(0, "region/zone", 1), (1, "far/zone", 1), (1, "region/other", 1)]));
    assert_eq!(by(&["version=v3"]), places(&[(0, "far/zone", 1), (1, "region/other", 1), (1, "region/zone", 1)]));
    let region = by(&["topology.kubernetes.io/region", "version=v2"]);
    assert_eq!(region, places(&[(0, "region/other", 1), (1, "region/zone", 1), (2, "far/zone", 1)]));
}

#[test]
fn localities_get_the_shares_that_the_rule_gives_them() {
    let shares = |from: &str| {
        let to = [("region/*".into(), 80), ("far/*".into(), 20)].into();
        let distribute = vec![LocalityShares { from: from.into(), to }];
        spread(Some(LocalityBalancing { distribute, ..LocalityBalancing::default() }), false)
    };
    assert_eq!(shares("region/zone/*"), places(&[(0, "far/zone", 20), (0, "region/other", 40), (0, "region/zone", 40)]));
    assert_eq!(shares("elsewhere"), places(&[(0, "far/zone", 1), (0, "region/other", 1), (0, "region/zone", 1)]));
    let only = LocalityShares { from: "*".into(), to: [("region/other/*".into(), 100)].into() };
    let only = LocalityBalancing { distribute: vec![only], ..LocalityBalancing::default() };
    assert_eq!(spread(Some(only.clone()), false), places(&[(0, "region/other", 100)]));
    let balancing = LoadBalancing { locality: Some(only), ..LoadBalancing::default() };
    let cluster = reviews(TrafficPolicy { load_balancer: Some(balancing), ..TrafficPolicy::default() });
    assert_eq!(cluster["common_lb_config"]["locality_weighted_lb_config"], json!({}));
}
