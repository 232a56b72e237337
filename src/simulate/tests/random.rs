//! Random meshes with routes of every kind, and requests that meet them.

use std::{
    sync::{Arc, LazyLock},
    time::Duration,
};

use serde_json::json;

use crate::model::{
    AbortStatus, ClaimMatch, Cors, Endpoint, HeaderMatch, Health, HostPattern, HttpAction, HttpFault, HttpMatch, HttpRedirect, HttpRewrite,
    HttpRoute, JwtKeys, JwtRule, Labels, ObjectRef, OutboundTrafficMode, PerMillion, PolicyTarget, RequestAuthentication, ServiceKey,
    StringMatch, VirtualService, WeightedDestination,
};
use crate::simulate::HttpRequest;
use crate::testing::{
    Issuer,
    mesh::{TestMesh, forward, fqdn, http_gateway, labels, to, versions, virtual_service},
    objects::Choices,
};

/// The services; `gone` has no endpoints.
const SERVICES: [&str; 3] = ["cart", "stock", "gone"];
/// Subsets; `v3` has no endpoints.
const SUBSETS: [&str; 3] = ["v1", "v2", "v3"];
const PATHS: [&str; 13] = [
    "/",
    "/a",
    "/a/b",
    "/A/B",
    "/ab",
    "/items/7",
    "/items/x?v=1",
    "/a?v=2&w=",
    "/x/../a",
    "/%61/%2e/b?v=1",
    "//a",
    "/x/%2E%2e/items//7",
    "/a%2Fb/..",
];

/// A mesh whose endpoints are all at a port of loopback. Its proxies are `shop/client` and `istio-system/gateway`.
pub(super) fn mesh(choices: &mut Choices<'_>, upstream: u16) -> TestMesh {
    let mut mesh = TestMesh::default();
    for (place, name) in SERVICES.into_iter().enumerate() {
        if choices.chance(30) {
            continue;
        }
        let address = format!("10.0.0.{}", place + 1);
        mesh.service("shop", name, Some(&address), &["http:9080", "http-b:7000"]).selector = labels(&[("app", "none")]);
        let key = ServiceKey { host: fqdn("shop", name), namespace: "shop".into() };
        if name != "gone" {
            let ports = ["http", "http-b"];
            let endpoints = ports.iter().flat_map(|port| ["v1", "v2"].map(|version| endpoint(version, port, upstream)));
            mesh.others.insert(key, endpoints.collect());
        }
        if choices.chance(200) {
            mesh.destination_rules.push(versions("shop", &fqdn("shop", name), &SUBSETS));
        }
    }
    mesh.workload("shop", "client", "10.1.0.1", &[("app", "client"), ("tier", "web")]);
    mesh.workload("istio-system", "gateway", "10.1.0.2", &[("istio", "ingressgateway")]);
    mesh.gateways.push(http_gateway("shop", "door", &[("istio", "ingressgateway")], 8080));
    if choices.chance(180) {
        let audiences = if choices.chance(60) { vec!["shop".into()] } else { Vec::new() };
        mesh.objects.push(tokens_of(audiences).into());
    }
    if choices.chance(100) {
        mesh.config.outbound_traffic_policy.mode = OutboundTrafficMode::RegistryOnly;
    }
    for name in SERVICES {
        if choices.chance(200) {
            mesh.virtual_services.push(routed(choices, name, &[fqdn("shop", name)], "mesh"));
        }
    }
    for (name, host) in [("all", "*"), ("example", "*.example"), ("one", "one.example")] {
        if choices.chance(160) {
            mesh.virtual_services.push(routed(choices, name, &[HostPattern::new(host)], "shop/door"));
        }
    }
    let parts: Vec<HttpRoute> = (0..=choices.below(2)).map(|_| rule(choices, false)).collect();
    mesh.virtual_services.push(virtual_service("shop", "parts", &[], parts));
    mesh
}

fn endpoint(version: &str, service_port: &str, port: u16) -> Endpoint {
    Endpoint {
        address: "127.0.0.1".into(),
        hostname: None,
        port,
        service_port: service_port.into(),
        health: Health::Healthy,
        labels: std::sync::Arc::new(labels(&[("version", version)])),
        workload: None,
        identity: None,
        mtls: false,
        locality: "".into(),
        weight: 1,
    }
}

fn routed(choices: &mut Choices<'_>, name: &str, hosts: &[HostPattern], gateway: &str) -> VirtualService {
    let rules = (0..=choices.below(4)).map(|_| rule(choices, true)).collect();
    let mut routed = virtual_service("shop", name, hosts, rules);
    routed.gateways = vec![gateway.into()];
    routed
}

fn rule(choices: &mut Choices<'_>, may_delegate: bool) -> HttpRoute {
    let matches = (0..choices.below(3)).map(|_| condition(choices)).collect();
    let mut rule = forward(matches, destinations(choices));
    match choices.below(10) {
        0 => rule.action = HttpAction::Redirect(Box::new(redirect(choices))),
        1 => rule.action = HttpAction::Respond { status: choices.pick(&[200, 204, 418, 503]), body: None },
        2 if may_delegate => rule.action = HttpAction::Delegate { namespace: "shop".into(), name: "parts".into() },
        3 => rule.fault = fault(choices),
        4 => rule.cors = Some(Box::new(cors(choices))),
        5 => {
            rule.rewrite =
                Some(Box::new(HttpRewrite { uri: Some("/new".into()), authority: Some("new.example".into()), ..HttpRewrite::default() }));
        }
        _ => {}
    }
    rule
}

fn destinations(choices: &mut Choices<'_>) -> Vec<WeightedDestination> {
    let one = |choices: &mut Choices<'_>, weight| {
        let subset = choices.chance(150).then(|| choices.pick(&SUBSETS));
        to(&fqdn("shop", choices.pick(&SERVICES)), subset, weight)
    };
    if choices.chance(150) {
        return vec![one(choices, 100)];
    }
    let weight = choices.pick(&[0, 10, 50, 90]);
    vec![one(choices, weight), one(choices, 100 - weight)]
}

fn text(choices: &mut Choices<'_>, exact: &[&str], prefix: &[&str], regex: &[&str]) -> StringMatch {
    match choices.below(3) {
        0 => StringMatch::Exact(choices.pick(exact).into()),
        1 => StringMatch::Prefix(choices.pick(prefix).into()),
        _ => StringMatch::Regex(choices.pick(regex).into()),
    }
}

fn condition(choices: &mut Choices<'_>) -> HttpMatch {
    let mut condition = HttpMatch::default();
    if choices.chance(170) {
        condition.uri = Some(text(choices, &["/a", "/items/7", "/A/b"], &["/", "/a", "/items/"], &["/a.*", "/items/[0-9]+", ".*"]));
        condition.ignore_uri_case = choices.chance(60);
    }
    if choices.chance(50) {
        condition.method = Some(text(choices, &["GET", "POST"], &["P"], &["GET|OPTIONS"]));
    }
    if choices.chance(80) {
        let value = choices.chance(200).then(|| text(choices, &["jason", ""], &["ja", ""], &["j.+n", ".*"]));
        condition.headers.push(HeaderMatch { name: choices.pick(&["end-user", "x-kind"]).into(), value, inverted: choices.chance(80) });
    }
    if choices.chance(50) {
        let value = choices.chance(170).then(|| text(choices, &["1", ""], &["2"], &["[0-9]"]));
        condition.query_params.push(HeaderMatch { name: choices.pick(&["v", "w"]).into(), value, inverted: false });
    }
    if choices.chance(25) {
        condition.authority = Some(text(choices, &["one.example"], &["cart"], &[".*example.*"]));
    }
    if choices.chance(30) {
        condition.source_labels = Labels::from([("tier".to_owned(), choices.pick(&["web", "data"]).to_owned())]);
    }
    condition.port = choices.chance(20).then(|| choices.pick(&[9080, 7000]));
    if choices.chance(60) {
        condition.claims.push(claim(choices));
    }
    condition
}

/// Holds at gateways that check tokens, and nowhere else.
fn claim(choices: &mut Choices<'_>) -> ClaimMatch {
    let path: &[&str] = choices.pick(&[&["group"][..], &["realm", "role"], &["scope"]]);
    let value = choices.chance(200).then(|| text(choices, &["dev", "read"], &["d"], &["de.*"]));
    ClaimMatch { path: path.iter().map(|step| (*step).into()).collect(), value, inverted: choices.chance(80) }
}

/// Who issues tokens: one whom the mesh's gateway believes, and one whom nobody does.
static ISSUER: LazyLock<Issuer> = LazyLock::new(|| Issuer::new("us"));
static STRANGER: LazyLock<Issuer> = LazyLock::new(|| Issuer::new("them"));

fn tokens_of(audiences: Vec<Arc<str>>) -> RequestAuthentication {
    let rule = JwtRule {
        issuer: Some("us".into()),
        audiences,
        keys: JwtKeys::Inline(ISSUER.keys().into()),
        locations: Vec::new(),
        forward: false,
        payload_header: None,
        claim_headers: Vec::new(),
        timeout: None,
        space_delimited_claims: Vec::new(),
    };
    RequestAuthentication {
        origin: ObjectRef::new("RequestAuthentication", "istio-system", "tokens"),
        target: PolicyTarget::Workloads(Labels::new()),
        rules: vec![rule],
        created: 1,
    }
}

fn redirect(choices: &mut Choices<'_>) -> HttpRedirect {
    HttpRedirect {
        uri: choices.chance(100).then(|| "/moved".into()),
        authority: choices.chance(128).then(|| "new.example".into()),
        scheme: choices.chance(80).then(|| "https".into()),
        code: choices.pick(&[301, 302, 303, 307, 308]),
        ..HttpRedirect::default()
    }
}

fn fault(choices: &mut Choices<'_>) -> HttpFault {
    let share = |choices: &mut Choices<'_>| choices.pick(&[PerMillion::ALL, PerMillion::from_percent(50.0), PerMillion(0)]);
    let status = choices.pick(&[AbortStatus::Http(500), AbortStatus::Http(429), AbortStatus::Grpc(14)]);
    HttpFault {
        delay: choices.chance(100).then(|| (Duration::from_millis(1), share(choices))),
        abort: choices.chance(220).then(|| (status, share(choices))),
    }
}

fn cors(choices: &mut Choices<'_>) -> Cors {
    Cors {
        allow_origins: vec![
            choices.pick(&[&StringMatch::Exact("https://a.example".into()), &StringMatch::Regex("https://.*".into())]).clone(),
        ],
        allow_methods: vec!["GET".into()],
        forward_unmatched_preflights: choices.chance(128),
        ..Cors::default()
    }
}

/// A request that one of the mesh's rules may be about.
pub(super) fn request(choices: &mut Choices<'_>) -> HttpRequest {
    let hosts = [
        "cart:9080",
        "cart:7000",
        "stock:7000",
        "cart",
        "CART.shop:9080",
        "stock:9080",
        "stock.shop.svc.cluster.local",
        "gone:9080",
        "one.example",
        "two.example:80",
        "elsewhere",
    ];
    let mut headers = Vec::new();
    let mut add = |name: &str, value: &str| headers.push((name.to_owned(), value.to_owned()));
    if choices.chance(100) {
        add("end-user", choices.pick(&["jason", "jan", "other"]));
    }
    if choices.chance(60) {
        add("x-kind", choices.pick(&["jason", "j"]));
    }
    if choices.chance(100) {
        let claims = [
            json!({"group": "dev"}),
            json!({"group": ["ops", "dev"], "aud": "shop"}),
            json!({"realm": {"role": "dev"}}),
            json!({"scope": "read write"}),
        ];
        let issuer = if choices.chance(30) { &*STRANGER } else { &*ISSUER };
        add("authorization", &issuer.bearer(choices.pick(&claims.each_ref())));
    }
    let mut method = choices.pick(&["GET", "GET", "POST", "PUT"]);
    if choices.chance(40) {
        method = "OPTIONS";
        add("origin", choices.pick(&["https://a.example", "http://b.example"]));
        if choices.chance(200) {
            add("access-control-request-method", "GET");
        }
    }
    HttpRequest { method: method.to_owned(), authority: choices.pick(&hosts).to_owned(), path: choices.pick(&PATHS).to_owned(), headers }
}
