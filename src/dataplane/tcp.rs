//! Connections that are no HTTP: by address, by server name, by weight.

use super::{
    cluster::{CLIENT, address_of, entry, service, virtual_service},
    scene::Scene,
};
use crate::testing::{
    block_on,
    bytes::{Speaker, hello, say},
};

#[test]
fn connections_are_split_by_weight() {
    block_on(async {
        let (old, new) = (Speaker::start("old").await, Speaker::start("new").await);
        let services =
            [service("shop", "db", "tcp:5432", &[("v1", old.port)]), service("shop", "db2", "tcp:5432", &[("v1", new.port)])].concat();
        let split = virtual_service(
            "routed",
            "db",
            "  tcp:
  - match: [{sourceLabels: {app: other}}]
    route: [{destination: {host: nobody}}]
  - match: [{port: 5433}]
    route: [{destination: {host: nobody}}]
  - match: [{sourceNamespace: shop, port: 5432, sourceLabels: {app: client}}]
    route:
    - {destination: {host: db}, weight: 75}
    - {destination: {host: db2}, weight: 25}
",
        );
        let scene = Scene::of(&[CLIENT, &services, &split].concat());
        let (_envoy, port) = scene.envoy("shop/client", &format!("{}_5432", address_of("db"))).await;
        let mut new = 0;
        for _ in 0..200 {
            let answer = say(port, b"hello").await;
            assert!(["old", "new"].contains(&&*answer), "{answer:?}");
            new += u32::from(answer == "new");
        }
        assert!((26..74).contains(&new), "{new}");
    });
}

#[test]
fn the_address_that_was_called_chooses_the_way() {
    block_on(async {
        let (near, far) = (Speaker::start("near").await, Speaker::start("far").await);
        let services =
            [service("shop", "db", "tcp:5432", &[("v1", near.port)]), service("shop", "db2", "tcp:5432", &[("v1", far.port)])].concat();
        let by_subnet = |subnet: &str| {
            let spec = format!("  tcp:\n  - match: [{{destinationSubnets: ['{subnet}']}}]\n    route: [{{destination: {{host: db2}}}}]\n");
            [CLIENT, &services, &virtual_service("routed", "db", &spec)].concat()
        };
        // On loopback the address that was called is 127.0.0.1.
        for (subnet, expected) in [("127.0.0.0/8", "far"), ("10.0.0.0/8", "near")] {
            let (_envoy, port) = Scene::of(&by_subnet(subnet)).envoy("shop/client", &format!("{}_5432", address_of("db"))).await;
            assert_eq!(say(port, b"hello").await, expected, "{subnet}");
        }
    });
}

#[test]
fn tls_goes_by_the_name_that_it_asks_for() {
    block_on(async {
        let (a, b, own) = (Speaker::start("a").await, Speaker::start("b").await, Speaker::start("own").await);
        let static_entry = |name: &str, host: &str, number: u16| {
            let spec = format!(
                "hosts: ['{host}'], ports: [{{number: 443, name: tls, protocol: TLS}}], resolution: STATIC,
                 endpoints: [{{address: 127.0.0.1, ports: {{tls: {number}}}}}]"
            );
            entry("shop", name, &spec)
        };
        let entries = [
            static_entry("a", "a.example", a.port),
            static_entry("b", "b.example", b.port),
            static_entry("own", "*.own.example", own.port),
        ]
        .concat();
        let moved = virtual_service(
            "routed",
            "b.example",
            "  tls:
  - match: [{port: 443, sniHosts: [b.example]}]
    route: [{destination: {host: a.example}}]
",
        );
        let (_envoy, port) = Scene::of(&[CLIENT, &entries].concat()).envoy("shop/client", "0.0.0.0_443").await;
        for (name, expected) in [("a.example", "a"), ("b.example", "b"), ("x.own.example", "own")] {
            assert_eq!(say(port, &hello(name)).await, expected, "{name}");
        }
        let (_envoy, port) = Scene::of(&[CLIENT, &entries, &moved].concat()).envoy("shop/client", "0.0.0.0_443").await;
        assert_eq!(say(port, &hello("b.example")).await, "a");
        // Where only the registry counts, other names lead nowhere.
        let scene = Scene::with(&[CLIENT, &entries].concat(), "outboundTrafficPolicy: {mode: REGISTRY_ONLY}");
        let (_envoy, port) = scene.envoy("shop/client", "0.0.0.0_443").await;
        assert_eq!(say(port, &hello("c.example")).await, "");
        assert_eq!(say(port, &hello("a.example")).await, "a");
    });
}

#[test]
fn the_name_that_each_tls_connection_asks_for_is_looked_up() {
    block_on(async {
        let server = Speaker::start("server").await;
        let port = format!("{{number: 443, name: tls, protocol: TLS, targetPort: {}}}", server.port);
        let spec = format!("hosts: ['*.localhost'], ports: [{port}], resolution: DYNAMIC_DNS");
        let scene = Scene::of(&[CLIENT, &entry("shop", "any", &spec)].concat());
        let (_envoy, port) = scene.envoy("shop/client", "0.0.0.0_443").await;
        assert_eq!(say(port, &hello("a.localhost")).await, "server");
    });
}

#[test]
fn bytes_that_are_no_http_reach_a_port_of_which_nobody_says_what_it_speaks() {
    block_on(async {
        let server = Speaker::start("server").await;
        let scene = Scene::of(&[CLIENT, &service("shop", "web", "main:7000", &[("v1", server.port)])].concat());
        let (_envoy, port) = scene.envoy("shop/client", &format!("{}_7000", address_of("web"))).await;
        assert_eq!(say(port, b"\x01\x02\x03 no HTTP").await, "server");
    });
}

#[test]
fn each_endpoint_of_a_headless_service_is_reached_at_its_own_address() {
    block_on(async {
        let server = Speaker::start("server").await;
        let queue = service("shop", "queue", &format!("tcp:{}", server.port), &[("v1", server.port)]);
        let queue = queue.replace(&format!("clusterIP: {}", address_of("queue")), "clusterIP: None");
        let scene = Scene::of(&[CLIENT, &queue].concat());
        let (envoy, port) = scene.envoy_on_the_way("shop/client", &format!("127.0.0.1_{}", server.port), server.port).await;
        assert_eq!(say(port, b"hello").await, "server");
        let cluster = format!("cluster.outbound|{}||queue.shop.svc.cluster.local;.upstream_cx_total: 1", server.port);
        let stats = envoy.admin("/stats?filter=upstream_cx_total").await.body;
        assert!(stats.contains(&cluster), "{stats}");
    });
}

#[test]
fn a_range_of_addresses_is_a_service_and_what_lies_outside_is_passed_on_or_not() {
    block_on(async {
        let (inside, elsewhere) = (Speaker::start("inside").await, Speaker::start("elsewhere").await);
        let ranged = |range: &str| {
            let spec = format!(
                "hosts: [db.example], addresses: ['{range}'], ports: [{{number: 5432, name: tcp, protocol: TCP}}], resolution: STATIC,
                 endpoints: [{{address: 127.0.0.1, ports: {{tcp: {}}}}}]",
                inside.port
            );
            [CLIENT, &entry("shop", "db", &spec)].concat()
        };
        let only = "outboundTrafficPolicy: {mode: REGISTRY_ONLY}";
        for (range, mesh, expected) in [("127.0.0.0/8", "", "inside"), ("10.0.0.0/8", "", "elsewhere"), ("10.0.0.0/8", only, "")] {
            let scene = Scene::with(&ranged(range), mesh);
            let (_envoy, port) = scene.envoy_on_the_way("shop/client", "0.0.0.0_5432", elsewhere.port).await;
            assert_eq!(say(port, b"hello").await, expected, "{range} {mesh}");
        }
    });
}
