//! Single decisions.

use std::time::Duration;

use super::{Request, Transport, explained, get, lines};
use crate::model::{
    AbortStatus, HeaderMatch, HostPattern, HttpAction, HttpMatch, HttpRedirect, OutboundTrafficMode, PerMillion, Resolution, ServerTls,
    StringMatch, TcpMatch, TcpRoute, TlsMatch, TlsRoute,
};
use crate::simulate::Step;
use crate::testing::mesh::{bookinfo, forward, fqdn, path, to, virtual_service};

#[test]
fn a_weighted_route_is_told_as_a_set_with_shares_and_the_field_of_each() {
    let explained = explained(&bookinfo(), "shop", "productpage-v1", &get("reviews:9080", 9080, "/reviews/0"));
    assert_eq!(
        lines(&explained),
        [
            "80 % outbound|9080|v1|reviews.shop.svc.cluster.local by VirtualService shop/reviews spec.http[0].route[0]",
            "20 % outbound|9080|v3|reviews.shop.svc.cluster.local by VirtualService shop/reviews spec.http[0].route[1]",
        ]
    );
    let steps: Vec<_> = explained.hops[0].decisions.iter().map(|it| (it.step, it.name.as_str())).collect();
    assert_eq!(
        steps,
        [
            (Step::Listener, "0.0.0.0_9080"),
            (Step::FilterChain, "0.0.0.0_9080"),
            (Step::RouteTable, "9080"),
            (Step::VirtualHost, "reviews.shop.svc.cluster.local:9080"),
            (Step::Route, ""),
            (Step::Tries, ""),
            (Step::Cluster, "outbound|9080|v1|reviews.shop.svc.cluster.local"),
            (Step::Cluster, "outbound|9080|v3|reviews.shop.svc.cluster.local"),
        ]
    );
    let cluster: Vec<String> = explained.hops[0].decisions[6].origins.iter().map(ToString::to_string).collect();
    assert_eq!(cluster, ["Service shop/reviews", "DestinationRule shop/reviews spec.subsets[name=v1]"]);
}

#[test]
fn the_first_route_that_matches_decides_and_its_alternative_is_named() {
    let mut mesh = bookinfo();
    let jason = HttpMatch {
        headers: vec![HeaderMatch { name: "end-user".into(), value: Some(StringMatch::Exact("jason".into())), inverted: false }],
        ..HttpMatch::default()
    };
    let details = fqdn("shop", "details");
    let rules = vec![
        forward(vec![path(StringMatch::Exact("/exact".into())), jason], vec![to(&fqdn("shop", "ratings"), None, 1)]),
        forward(Vec::new(), vec![to(&details, None, 1)]),
    ];
    mesh.virtual_services = vec![virtual_service("shop", "details", &[details], rules)];
    let mut request = get("details:9080", 9080, "/any?q=1");
    let plain = explained(&mesh, "shop", "productpage-v1", &request);
    assert_eq!(lines(&plain), ["100 % outbound|9080||details.shop.svc.cluster.local by VirtualService shop/details spec.http[1]"]);
    request.http.as_mut().unwrap().headers.push(("end-user".to_owned(), "jason".to_owned()));
    let for_jason = explained(&mesh, "shop", "productpage-v1", &request);
    assert_eq!(
        lines(&for_jason),
        ["100 % outbound|9080||ratings.shop.svc.cluster.local by VirtualService shop/details spec.http[0].match[1]"]
    );
    let route = for_jason.hops[0].decisions.iter().find(|it| it.step == Step::Route).unwrap();
    assert_eq!(route.because, "path begins with /, and end-user as asked for; 1 before it does not match");
}

#[test]
fn faults_come_before_the_route_and_share_what_is_left() {
    let mut mesh = bookinfo();
    let ratings = fqdn("shop", "ratings");
    let mut faulty = forward(Vec::new(), vec![to(&ratings, None, 1)]);
    faulty.fault.abort = Some((AbortStatus::Http(555), PerMillion::from_percent(25.0)));
    faulty.fault.delay = Some((Duration::from_secs(7), PerMillion::ALL));
    mesh.virtual_services = vec![virtual_service("shop", "ratings", &[ratings], vec![faulty])];
    let explained = explained(&mesh, "shop", "reviews-v1", &get("ratings:9080", 9080, "/"));
    assert_eq!(
        lines(&explained),
        [
            "25 % 555 by VirtualService shop/ratings spec.http[0].fault.abort",
            "75 % outbound|9080||ratings.shop.svc.cluster.local by VirtualService shop/ratings spec.http[0]",
        ]
    );
    assert!(explained.hops[0].possibilities.iter().all(|it| it.delay == Some(Duration::from_secs(7))));
}

#[test]
fn redirects_direct_responses_and_missing_routes_have_their_status() {
    let mut mesh = bookinfo();
    let details = fqdn("shop", "details");
    let redirect = HttpRedirect { code: 308, authority: Some("new.example".into()), prefix: Some("/b".into()), ..HttpRedirect::default() };
    let mut rules =
        [path(StringMatch::Prefix("/a".into())), path(StringMatch::Exact("/teapot".into()))].map(|it| forward(vec![it], Vec::new()));
    rules[0].action = HttpAction::Redirect(Box::new(redirect));
    rules[1].action = HttpAction::Respond { status: 418, body: None };
    mesh.virtual_services = vec![virtual_service("shop", "details", &[details], rules.into())];
    let asked = |path: &str| lines(&explained(&mesh, "shop", "productpage-v1", &get("details:9080", 9080, path)));
    assert_eq!(asked("/a/x?y=1"), ["100 % 308 http://new.example/b/x?y=1 by VirtualService shop/details spec.http[0].redirect"]);
    assert_eq!(asked("/teapot"), ["100 % 418 by VirtualService shop/details spec.http[1].directResponse"]);
    assert_eq!(asked("/none"), ["100 % 404 by VirtualService shop/details"]);
}

#[test]
fn a_gateway_sends_to_https_where_its_server_says_so_and_answers_404_for_other_hosts() {
    let mut mesh = bookinfo();
    let asked = |mesh: &_, authority: &str, path: &str| lines(&explained(mesh, "istio-system", "gateway-0", &get(authority, 8080, path)));
    let page = "100 % outbound|9080||productpage.shop.svc.cluster.local by VirtualService shop/bookinfo spec.http[0].match[0]";
    assert_eq!(asked(&mesh, "any.example", "/productpage"), [page]);
    mesh.gateways[0].servers[0].hosts[0].1 = HostPattern::new("shop.example");
    assert_eq!(asked(&mesh, "other.example", "/productpage"), ["100 % 404 by Gateway shop/bookinfo-gateway"]);
    mesh.gateways[0].servers[0].tls = Some(ServerTls { https_redirect: true, ..ServerTls::default() });
    assert_eq!(
        asked(&mesh, "shop.example", "/productpage"),
        ["100 % 301 https://shop.example/productpage by Gateway shop/bookinfo-gateway spec.servers[].tls.httpsRedirect"]
    );
}

#[test]
fn what_nobody_declared_is_passed_on_or_refused_as_the_policy_says() {
    let mut mesh = bookinfo();
    let asked = |mesh: &_| lines(&explained(mesh, "shop", "productpage-v1", &get("nobody.example:9080", 9080, "/")));
    assert_eq!(asked(&mesh), ["100 % PassthroughCluster"]);
    mesh.config.outbound_traffic_policy.mode = OutboundTrafficMode::RegistryOnly;
    assert_eq!(asked(&mesh), ["100 % 502"]);
}

#[test]
fn a_cluster_without_endpoints_or_that_does_not_exist_answers_503() {
    let mut mesh = bookinfo();
    let reviews = fqdn("shop", "reviews");
    let to_subset = |name| {
        vec![virtual_service("shop", "reviews", &[fqdn("shop", "reviews")], vec![forward(Vec::new(), vec![to(&reviews, Some(name), 1)])])]
    };
    mesh.virtual_services = to_subset("v7");
    let asked = |mesh: &_| lines(&explained(mesh, "shop", "productpage-v1", &get("reviews:9080", 9080, "/")));
    assert_eq!(asked(&mesh), ["100 % 503 by VirtualService shop/reviews spec.http[0]"]);
    mesh.virtual_services = to_subset("v2");
    mesh.workloads.retain(|key, _| &*key.name != "reviews-v2");
    assert_eq!(asked(&mesh), ["100 % 503 by VirtualService shop/reviews spec.http[0]"]);
}

#[test]
fn opaque_connections_go_by_address_and_range() {
    let mut mesh = bookinfo();
    let (db, other) = (fqdn("data", "db"), fqdn("data", "queue"));
    let mut routed = virtual_service("data", "db", std::slice::from_ref(&db), Vec::new());
    let subnet = TcpMatch { destination_subnets: vec!["10.96.1.0/24".parse().unwrap()], ..TcpMatch::default() };
    routed.tcp = vec![TcpRoute { matches: vec![subnet], destinations: vec![to(&db, None, 90), to(&other, None, 10)] }];
    mesh.virtual_services.push(routed);
    let connect = |address: Option<&str>, port| Request {
        address: address.map(|it| it.parse().unwrap()),
        port,
        transport: Transport::Plain,
        http: None,
    };
    let asked = |request| lines(&explained(&mesh, "shop", "productpage-v1", &request));
    let db_lines = asked(connect(Some("10.96.1.1"), 5432));
    assert_eq!(
        db_lines,
        [
            "90 % outbound|5432||db.data.svc.cluster.local by VirtualService data/db spec.tcp[0].route[0]",
            "10 % outbound|5672||queue.data.svc.cluster.local by VirtualService data/db spec.tcp[0].route[1]",
        ]
    );
    assert_eq!(asked(connect(Some("192.0.2.1"), 5432)), ["100 % PassthroughCluster"]);
}

#[test]
fn tls_goes_by_the_name_that_is_asked_for() {
    let mut mesh = bookinfo();
    mesh.external("shop", "*.example.org", Resolution::Passthrough, &["tls:443"]);
    let mut routed = virtual_service("shop", "egress", &[HostPattern::new("*.example.org")], Vec::new());
    let sni = |name| TlsMatch { sni_hosts: vec![HostPattern::new(name)], connection: TcpMatch::default() };
    routed.tls = vec![
        TlsRoute { matches: vec![sni("a.example.org")], destinations: vec![to(&fqdn("data", "db"), None, 1)] },
        TlsRoute { matches: vec![sni("*.example.org")], destinations: vec![to(&HostPattern::new("*.example.org"), None, 1)] },
    ];
    mesh.virtual_services.push(routed);
    let asked = |name: &str| {
        let transport = Transport::Tls { server_name: name.to_owned() };
        lines(&explained(&mesh, "shop", "productpage-v1", &Request { address: None, port: 443, transport, http: None }))
    };
    assert_eq!(
        asked("a.example.org"),
        ["100 % outbound|5432||db.data.svc.cluster.local by VirtualService shop/egress spec.tls[0].match[0]"]
    );
    assert_eq!(asked("b.example.org"), ["100 % outbound|443||*.example.org by VirtualService shop/egress spec.tls[1].match[0]"]);
    assert_eq!(asked("elsewhere.example"), ["100 % PassthroughCluster"]);
}
