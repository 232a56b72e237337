//! What real Envoy makes of DestinationRules.

use std::{
    collections::BTreeSet,
    io::{BufRead, BufReader, Write},
    net::{Ipv4Addr, TcpListener, TcpStream},
    thread,
    time::Duration,
};

use super::{
    compiled,
    envoy::{got, on_loopback, reviews_at},
};
use crate::model::{
    ClientTls, ClientTlsMode, ConnectionPool, ConsistentHash, HashCookie, HashKey, HashTable, HostPattern, Http2Keepalive, LoadBalancer,
    LoadBalancing, OutlierDetection, PerMillion, ProxyProtocol, RetryBudget, StringMatch, TcpKeepalive, TrafficPolicy, Tunnel, Warmup,
};
use crate::testing::{
    block_on,
    bootstrap::{Static, as_sent},
    envoy::{RunningEnvoy, start, validate},
    free_port,
    http::{Echo, get},
    mesh::{TestMesh, bookinfo, forward, fqdn, path, to, versions, virtual_service},
};

fn hashing(key: HashKey) -> TrafficPolicy {
    let hash = ConsistentHash { key: Some(key), table: HashTable::Maglev { size: None } };
    TrafficPolicy { load_balancer: Some(LoadBalancer::ConsistentHash(hash).into()), ..TrafficPolicy::default() }
}

/// A mesh whose gateway sends everything to `reviews` at these ports, under that policy.
fn reviews_behind_a_gateway(ports: &[u16], policy: TrafficPolicy) -> TestMesh {
    let mut mesh = reviews_at(ports.iter().map(|port| on_loopback("v1", *port, false)).collect());
    let reviews = fqdn("shop", "reviews");
    let all = forward(vec![path(StringMatch::Prefix("/".into()))], vec![to(&reviews, None, 1)]);
    let mut entry = virtual_service("shop", "bookinfo", &[HostPattern::new("*")], vec![all]);
    entry.gateways = vec!["shop/bookinfo-gateway".into()];
    mesh.virtual_services = vec![entry];
    mesh.destination_rules[0].policy = policy;
    mesh
}

async fn gateway(ports: &[u16], policy: TrafficPolicy) -> (RunningEnvoy, u16) {
    let compiled = compiled(&reviews_behind_a_gateway(ports, policy), "istio-system", "gateway-0");
    let envoy = start(Static::of(&compiled).listening("0.0.0.0_8080", 0).bootstrap()).await;
    let port = envoy.port_of("0.0.0.0_8080").await;
    (envoy, port)
}

#[test]
fn requests_that_share_the_hashed_property_reach_the_same_endpoint() {
    block_on(async {
        let (one, two) = (Echo::start("one").await, Echo::start("two").await);
        let (_envoy, port) = gateway(&[one.port, two.port], hashing(HashKey::Header("x-user".into()))).await;
        let mut reached = BTreeSet::new();
        for user in 0..24 {
            let user = format!("user-{user}");
            let mut of_user = BTreeSet::new();
            for _ in 0..6 {
                let answer = get(port, "/", &[("x-user", &user)]).await;
                of_user.insert(got(&answer.body)["name"].as_str().unwrap().to_owned());
            }
            assert_eq!(of_user.len(), 1, "{user} reached {of_user:?}");
            reached.extend(of_user);
        }
        assert_eq!(reached.len(), 2, "24 users reached {reached:?} only");
    });
}

#[test]
fn a_client_without_the_hashed_cookie_is_given_one() {
    block_on(async {
        let echo = Echo::start("one").await;
        let cookie =
            HashCookie { name: "user".into(), path: Some("/shop".into()), ttl: Some(Duration::from_secs(60)), attributes: Vec::new() };
        let (_envoy, port) = gateway(&[echo.port], hashing(HashKey::Cookie(cookie))).await;
        let answer = get(port, "/", &[]).await;
        let set = answer.headers.get("set-cookie").cloned().unwrap_or_default();
        assert!(set.starts_with("user=") && set.contains("Max-Age=60") && set.contains("Path=/shop"), "{set}");
        assert!(!get(port, "/", &[("cookie", "user=known")]).await.headers.contains_key("set-cookie"));
    });
}

#[test]
fn an_endpoint_that_takes_no_connections_is_left_out() {
    block_on(async {
        let echo = Echo::start("one").await;
        let closed = free_port();
        let ejection = OutlierDetection {
            split_local_origin: true,
            consecutive_local_origin_failures: Some(1),
            max_ejection_percent: Some(100),
            ..OutlierDetection::default()
        };
        let policy = TrafficPolicy {
            outlier_detection: Some(ejection),
            load_balancer: Some(LoadBalancer::RoundRobin.into()),
            ..TrafficPolicy::default()
        };
        let (envoy, port) = gateway(&[echo.port, closed], policy).await;
        for _ in 0..8 {
            assert_eq!(get(port, "/", &[]).await.status, 200);
        }
        let stats = envoy.admin("/stats?filter=outlier_detection.ejections_enforced_consecutive_local_origin_failure").await.body;
        let reviews = "outbound|9080||reviews.shop.svc.cluster.local;";
        assert!(stats.contains(&format!("{reviews}.outlier_detection.ejections_enforced_consecutive_local_origin_failure: 1")), "{stats}");
        let failed = envoy.admin("/stats?filter=upstream_cx_connect_fail").await.body;
        assert!(failed.contains(&format!("{reviews}.upstream_cx_connect_fail: 1")), "{failed}");
    });
}

#[test]
fn opaque_connections_leave_through_the_tunnel() {
    block_on(async {
        let tunnel = Tunnel { by_post: false, target_host: HostPattern::new("a.example.com"), target_port: 443 };
        let mut rule = versions("data", &fqdn("data", "db"), &[]);
        rule.policy = TrafficPolicy { tunnel: Some(tunnel), ..TrafficPolicy::default() };
        let mut mesh = bookinfo();
        mesh.destination_rules.push(rule);
        let compiled = compiled(&mesh, "shop", "productpage-v1");
        let other = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let name = "10.96.1.1_5432";
        let config = Static::of(&compiled).leading("outbound|5432||db.data.svc.cluster.local", other.local_addr().unwrap().port());
        let envoy = start(config.listening(name, 0).bootstrap()).await;
        let port = envoy.port_of(name).await;
        let asked = thread::spawn(move || {
            let (caller, _) = other.accept().unwrap();
            caller.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
            let mut line = String::new();
            BufReader::new(caller).read_line(&mut line).unwrap();
            line
        });
        let mut client = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
        client.write_all(b"hello").unwrap();
        assert_eq!(asked.join().unwrap(), "CONNECT a.example.com:443 HTTP/1.1\r\n");
    });
}

#[test]
fn endpoints_are_told_the_clients_address() {
    block_on(async {
        let mut rule = versions("data", &fqdn("data", "db"), &[]);
        rule.policy = TrafficPolicy { proxy_protocol: Some(ProxyProtocol::V1), ..TrafficPolicy::default() };
        let mut mesh = bookinfo();
        mesh.destination_rules.push(rule);
        let compiled = compiled(&mesh, "shop", "productpage-v1");
        let other = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let name = "10.96.1.1_5432";
        let config = Static::of(&compiled).leading("outbound|5432||db.data.svc.cluster.local", other.local_addr().unwrap().port());
        let envoy = start(config.listening(name, 0).bootstrap()).await;
        let mut client = TcpStream::connect((Ipv4Addr::LOCALHOST, envoy.port_of(name).await)).unwrap();
        let own = client.local_addr().unwrap().port();
        client.write_all(b"hello").unwrap();
        let (caller, _) = other.accept().unwrap();
        caller.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let mut line = String::new();
        BufReader::new(caller).read_line(&mut line).unwrap();
        assert!(line.starts_with("PROXY TCP4 127.0.0.1 127.0.0.1 ") && line.contains(&format!(" {own} ")), "{line}");
    });
}

/// Policies that together hold every field.
fn everything() -> Vec<TrafficPolicy> {
    let pool = ConnectionPool {
        max_connections: Some(1),
        connect_timeout: Some(Duration::from_secs(1)),
        http1_max_pending_requests: Some(1),
        http2_max_requests: Some(1),
        max_requests_per_connection: Some(1),
        max_retries: Some(1),
        idle_timeout: Some(Duration::from_secs(1)),
        tcp_idle_timeout: Some(Duration::ZERO),
        max_connection_duration: Some(Duration::from_secs(1)),
        tcp_keepalive: Some(TcpKeepalive { probes: Some(1), time: Some(Duration::from_secs(1)), interval: None }),
        h2_upgrade: Some(true),
        use_client_protocol: false,
        max_concurrent_streams: Some(1),
        http2_keepalive: Some(Http2Keepalive::default()),
    };
    let outliers = OutlierDetection {
        consecutive_5xx_errors: Some(0),
        consecutive_gateway_errors: Some(3),
        interval: Some(Duration::from_secs(1)),
        base_ejection_time: Some(Duration::from_secs(1)),
        max_ejection_percent: Some(0),
        min_health_percent: Some(30),
        split_local_origin: true,
        consecutive_local_origin_failures: Some(0),
        error_codes: vec![429],
    };
    let warmup = Warmup { duration: Duration::from_secs(1), minimum: Some(PerMillion(0)), aggression: Some(2.0) };
    let ring = ConsistentHash { key: None, table: HashTable::Ring { minimum_size: Some(2048) } };
    let tls = ClientTls { mode: ClientTlsMode::Simple, insecure_skip_verify: Some(true), ..ClientTls::default() };
    vec![
        TrafficPolicy {
            load_balancer: Some(LoadBalancing { warmup: Some(warmup), ..LoadBalancing::default() }),
            connection_pool: Some(pool.clone()),
            outlier_detection: Some(outliers),
            tls: Some(tls),
            tunnel: Some(Tunnel { by_post: true, target_host: HostPattern::new("a.example.com"), target_port: 443 }),
            proxy_protocol: Some(ProxyProtocol::V2),
            retry_budget: Some(RetryBudget { share: Some(PerMillion(1)), min_retry_concurrency: Some(0), interval: Some(Duration::ZERO) }),
            ports: Vec::new(),
        },
        TrafficPolicy {
            load_balancer: Some(LoadBalancer::ConsistentHash(ring).into()),
            connection_pool: Some(ConnectionPool { use_client_protocol: true, h2_upgrade: None, ..pool }),
            proxy_protocol: Some(ProxyProtocol::V1),
            retry_budget: Some(RetryBudget::default()),
            ..TrafficPolicy::default()
        },
        hashing(HashKey::Cookie(HashCookie { name: "user".into(), path: None, ttl: None, attributes: vec![("Secure".into(), "".into())] })),
        hashing(HashKey::QueryParameter("user".into())),
        hashing(HashKey::SourceAddress),
    ]
}

#[test]
fn envoy_accepts_all_that_rules_can_say() {
    for policy in everything() {
        let mut mesh = bookinfo();
        mesh.destination_rules[0].policy = policy.clone();
        for (namespace, name) in [("data", "db"), ("data", "queue"), ("shop", "legacy"), ("shop", "details")] {
            let mut rule = versions(namespace, &fqdn(namespace, name), &["v1"]);
            rule.policy = policy.clone();
            mesh.destination_rules.push(rule);
        }
        for (namespace, name) in [("shop", "productpage-v1"), ("istio-system", "gateway-0")] {
            let compiled = compiled(&mesh, namespace, name);
            validate(&as_sent(&compiled)).unwrap_or_else(|error| panic!("{policy:?}, as it is sent: {error}"));
            validate(&Static::of(&compiled).bootstrap()).unwrap_or_else(|error| panic!("{policy:?}, with routes: {error}"));
        }
    }
}
