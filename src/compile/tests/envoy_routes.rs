//! What clients and servers see of a gateway's routes.

use http::Method;
use serde_json::Value;
use std::time::Duration;

use super::{
    compiled,
    envoy::{got, on_loopback, reviews_at},
};
use crate::model::{
    AbortStatus, Cors, Destination, HostPattern, HttpAction, HttpRedirect, HttpRetry, HttpRewrite, HttpRoute, Mirror, PerMillion,
    RedirectPort, StringMatch,
};
use crate::testing::{
    block_on,
    bootstrap::Static,
    envoy::{RunningEnvoy, start},
    eventually_seen,
    http::{Answer, Echo, ask, get},
    mesh::{forward, fqdn, path, to, virtual_service},
};

const V1: &str = "outbound|9080|v1|reviews.shop.svc.cluster.local";
const V2: &str = "outbound|9080|v2|reviews.shop.svc.cluster.local";

/// A gateway with these rules in front of v1 and v2 of `reviews`.
async fn gateway(ports: [u16; 2], http: Vec<HttpRoute>) -> (RunningEnvoy, u16) {
    let mut mesh = reviews_at(vec![on_loopback("v1", ports[0], false), on_loopback("v2", ports[1], false)]);
    let mut entry = virtual_service("shop", "entry", &[HostPattern::new("*")], http);
    entry.gateways = vec!["shop/bookinfo-gateway".into()];
    mesh.virtual_services = vec![entry];
    let envoy = start(Static::of(&compiled(&mesh, "istio-system", "gateway-0")).listening("0.0.0.0_8080", 0).bootstrap()).await;
    let port = envoy.port_of("0.0.0.0_8080").await;
    (envoy, port)
}

fn to_v1(prefix: &str) -> HttpRoute {
    forward(vec![path(StringMatch::Prefix(prefix.into()))], vec![to(&fqdn("shop", "reviews"), Some("v1"), 1)])
}

/// A counter of a cluster.
async fn counted(envoy: &RunningEnvoy, cluster: &str, counter: &str) -> u64 {
    let stats = envoy.admin(&format!("/stats?filter={counter}$")).await.body;
    let line = stats.lines().find(|line| line.contains(cluster)).unwrap_or_else(|| panic!("no {counter} of {cluster}: {stats}"));
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

#[test]
fn copies_go_to_the_mirror_and_the_client_hears_the_destination_alone() {
    block_on(async {
        let (v1, v2) = (Echo::start("v1").await, Echo::start("v2").await);
        let mirror = |share| Mirror {
            destination: Destination { host: fqdn("shop", "reviews"), subset: Some("v2".into()), port: None },
            share,
            listed: true,
        };
        let all = HttpRoute { mirrors: vec![mirror(PerMillion::ALL)], ..to_v1("/all") };
        let none = HttpRoute { mirrors: vec![mirror(PerMillion(0))], ..to_v1("/none") };
        let (envoy, port) = gateway([v1.port, v2.port], vec![all, none]).await;
        for _ in 0..5 {
            assert_eq!(got(&get(port, "/all", &[]).await.body)["name"], "v1");
            assert_eq!(got(&get(port, "/none", &[]).await.body)["name"], "v1");
        }
        // Copies are not waited for: what a client has is no proof that they were sent.
        eventually_seen("five copies are sent", async || counted(&envoy, V2, "upstream_rq_total").await >= 5).await;
        assert_eq!(counted(&envoy, V2, "upstream_rq_total").await, 5);
        assert_eq!(counted(&envoy, V1, "upstream_rq_total").await, 10);
    });
}

async fn preflight(port: u16, path: &str, origin: &str) -> Answer {
    let headers = [("origin", origin), ("access-control-request-method", "POST")];
    ask(Method::OPTIONS, port, path, &headers).await.unwrap()
}

#[test]
fn preflights_are_answered_and_those_of_other_origins_sent_on_or_not() {
    block_on(async {
        let v1 = Echo::start("v1").await;
        let cors = |forward| {
            Some(Box::new(Cors {
                allow_origins: vec![
                    StringMatch::Exact("https://a.example".into()),
                    StringMatch::Regex("https://[a-z]+\\.b\\.example".into()),
                ],
                allow_methods: vec!["GET".into(), "POST".into()],
                allow_headers: vec!["x-a".into()],
                expose_headers: vec!["x-c".into()],
                max_age: Some(Duration::from_secs(600)),
                allow_credentials: Some(true),
                forward_unmatched_preflights: forward,
            }))
        };
        let rules = vec![HttpRoute { cors: cors(true), ..to_v1("/sent") }, HttpRoute { cors: cors(false), ..to_v1("/kept") }, to_v1("/")];
        let (_envoy, port) = gateway([v1.port, v1.port], rules).await;
        let header = |answer: &Answer, name: &str| answer.headers.get(name).cloned();
        for origin in ["https://a.example", "https://x.b.example"] {
            let answer = preflight(port, "/kept", origin).await;
            assert_eq!((answer.status, answer.body.as_str()), (200, ""));
            assert_eq!(header(&answer, "access-control-allow-origin").as_deref(), Some(origin));
            assert_eq!(header(&answer, "access-control-allow-methods").as_deref(), Some("GET,POST"));
            assert_eq!(header(&answer, "access-control-allow-headers").as_deref(), Some("x-a"));
            assert_eq!(header(&answer, "access-control-max-age").as_deref(), Some("600"));
            assert_eq!(header(&answer, "access-control-allow-credentials").as_deref(), Some("true"));
        }
        let other = "https://other.example";
        let sent = preflight(port, "/sent", other).await;
        assert_eq!((&got(&sent.body)["method"], header(&sent, "access-control-allow-origin")), (&Value::from("OPTIONS"), None));
        let kept = preflight(port, "/kept", other).await;
        assert_eq!((kept.body.as_str(), header(&kept, "access-control-allow-origin")), ("", None));
        let simple = get(port, "/kept", &[("origin", "https://a.example")]).await;
        assert_eq!(got(&simple.body)["name"], "v1");
        assert_eq!(header(&simple, "access-control-expose-headers").as_deref(), Some("x-c"));
        assert_eq!(header(&preflight(port, "/plain", "https://a.example").await, "access-control-allow-origin"), None);
    });
}

#[test]
fn redirects_keep_what_they_do_not_change() {
    block_on(async {
        let redirect = |prefix: &str, to: HttpRedirect| {
            let matched = vec![path(StringMatch::Prefix(prefix.into()))];
            HttpRoute { action: HttpAction::Redirect(Box::new(HttpRedirect { code: 308, ..to })), ..forward(matched, Vec::new()) }
        };
        let any = HttpRedirect::default;
        let rules = vec![
            redirect("/old", HttpRedirect { prefix: Some("/new".into()), ..any() }),
            redirect("/secure", HttpRedirect { scheme: Some("https".into()), port: Some(RedirectPort::OfScheme), ..any() }),
            redirect("/number", HttpRedirect { scheme: Some("https".into()), port: Some(RedirectPort::Number(8443)), ..any() }),
            redirect("/same", HttpRedirect { scheme: Some("https".into()), port: Some(RedirectPort::OfRequest), ..any() }),
        ];
        let (_envoy, port) = gateway([9, 9], rules).await;
        for (asked, location) in [
            ("/old/page?q=1", "http://shop.example/new/page?q=1"),
            ("/secure", "https://shop.example/secure"),
            ("/number", "https://shop.example:8443/number"),
            ("/same", "https://shop.example:80/same"),
        ] {
            let answer = get(port, asked, &[("host", "shop.example")]).await;
            assert_eq!((answer.status, answer.headers["location"].as_str()), (308, location));
        }
    });
}

#[test]
fn paths_are_rewritten_by_an_expression() {
    block_on(async {
        let v1 = Echo::start("v1").await;
        let rewrite = HttpRewrite { uri_regex: Some(("/user/([0-9]+)/(.*)".into(), "/\\2/of/\\1".into())), ..HttpRewrite::default() };
        let (_envoy, port) = gateway([v1.port, v1.port], vec![HttpRoute { rewrite: Some(Box::new(rewrite)), ..to_v1("/") }]).await;
        assert_eq!(got(&get(port, "/user/7/orders?q=1", &[]).await.body)["path"], "/orders/of/7?q=1");
    });
}

#[test]
fn tries_are_as_many_as_asked_for_and_pause_between() {
    block_on(async {
        let v1 = Echo::start("v1").await;
        let retry = HttpRetry {
            attempts: 2,
            retry_on: "connect-failure,503".into(),
            backoff: Some(Duration::from_millis(5)),
            ignore_previous_hosts: Some(false),
            remote_localities: Some(true),
            ..HttpRetry::default()
        };
        let refused = HttpRoute { retry: Some(Box::new(retry)), ..to_v1("/") };
        let mut broken = to_v1("/broken");
        broken.fault.abort = Some((AbortStatus::Http(503), PerMillion::ALL));
        // Where nobody listens.
        let closed = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
        let (envoy, port) = gateway([closed, v1.port], vec![broken, refused]).await;
        assert_eq!(get(port, "/", &[]).await.status, 503);
        assert_eq!(counted(&envoy, V1, "upstream_rq_retry").await, 2);
        // What is injected comes from no upstream, so that nothing is tried again.
        assert_eq!(get(port, "/broken", &[]).await.status, 503);
        assert_eq!(counted(&envoy, V1, "upstream_rq_retry").await, 2);
    });
}
