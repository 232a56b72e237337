//! Routes of what the application calls.

use std::time::Duration;

use serde_json::{Value, json};

use super::{compiled, json, names};
use crate::compile::{Compiled, ResourceType};
use crate::model::{
    AbortStatus, Body, ClaimMatch, ExportTo, HeaderMatch, HeaderOperations, HostPattern, HttpAction, HttpMatch, HttpRedirect, HttpRetry,
    HttpRewrite, HttpRoute, OutboundTrafficMode, PerMillion, RedirectPort, Resolution, StringMatch, Visibility,
};
use crate::testing::mesh::{TestMesh, bookinfo, forward, fqdn, labels, path, to, virtual_service};

pub(super) fn host<'a>(table: &'a Value, name: &str) -> &'a Value {
    table["virtual_hosts"].as_array().unwrap().iter().find(|it| it["name"] == name).unwrap_or_else(|| panic!("no {name}: {table}"))
}

pub(super) fn routes(compiled: &Compiled, port: &str) -> Value {
    json(compiled, ResourceType::Route, port)
}

/// The routes of `details` for `productpage`, where a VirtualService has these rules.
pub(super) fn routed(http: Vec<HttpRoute>) -> Vec<Value> {
    let mut mesh = bookinfo();
    mesh.virtual_services.push(virtual_service("shop", "details", &[fqdn("shop", "details")], http));
    routes_of_details(&mesh, "shop", "productpage-v1")
}

pub(super) fn routes_of_details(mesh: &TestMesh, namespace: &str, name: &str) -> Vec<Value> {
    let table = routes(&compiled(mesh, namespace, name), "9080");
    host(&table, "details.shop.svc.cluster.local:9080")["routes"].as_array().unwrap().clone()
}

pub(super) fn to_details() -> Vec<crate::model::WeightedDestination> {
    vec![to(&fqdn("shop", "details"), None, 1)]
}

fn header(name: &str, value: Option<StringMatch>, inverted: bool) -> HeaderMatch {
    HeaderMatch { name: name.into(), value, inverted }
}

#[test]
fn a_service_is_known_by_each_name_that_leads_to_it_from_where_the_caller_is() {
    let mesh = bookinfo();
    let domains = |namespace: &str, name: &str| {
        let table = routes(&compiled(&mesh, namespace, name), "9080");
        host(&table, "reviews.shop.svc.cluster.local:9080")["domains"].clone()
    };
    let elsewhere = json!([
        "reviews.shop.svc.cluster.local",
        "reviews.shop.svc.cluster.local:9080",
        "reviews.shop",
        "reviews.shop:9080",
        "reviews.shop.svc",
        "reviews.shop.svc:9080",
        "10.96.0.3",
        "10.96.0.3:9080",
    ]);
    assert_eq!(domains("data", "db-0"), elsewhere);
    let near = domains("shop", "ratings-v1");
    assert!(near.as_array().unwrap().contains(&json!("reviews")) && near.as_array().unwrap().contains(&json!("reviews:9080")), "{near}");
}

#[test]
fn no_two_hosts_of_a_table_share_a_name() {
    let mut mesh = bookinfo();
    // Called for short, this is what the host outside is called in full.
    mesh.service("org", "httpbin", Some("10.96.3.1"), &["http:80"]);
    mesh.external("shop", "httpbin.org", Resolution::Dns, &["http:80"]);
    let table = routes(&compiled(&mesh, "shop", "productpage-v1"), "80");
    let all: Vec<_> = table["virtual_hosts"].as_array().unwrap().iter().flat_map(|it| it["domains"].as_array().unwrap()).collect();
    let distinct: std::collections::BTreeSet<_> = all.iter().map(|it| it.as_str().unwrap()).collect();
    assert_eq!(distinct.len(), all.len());
    assert!(host(&table, "httpbin.org:80")["domains"].as_array().unwrap().contains(&json!("httpbin.org")));
}

#[test]
fn pods_of_a_headless_service_are_known_by_names_below_it() {
    let mut mesh = bookinfo();
    mesh.service("shop", "cache", None, &["http:8000"]);
    let table = routes(&compiled(&mesh, "shop", "productpage-v1"), "8000");
    assert!(
        host(&table, "cache.shop.svc.cluster.local:8000")["domains"].as_array().unwrap().contains(&json!("*.cache.shop.svc.cluster.local"))
    );
}

#[test]
fn a_service_without_rules_is_retried_where_that_is_safe_and_waited_for() {
    let route = &routed(Vec::new())[0];
    assert_eq!((&route["name"], &route["match"]), (&json!("default"), &json!({"prefix": "/"})));
    assert_eq!(
        (&route["route"]["cluster"], &route["route"]["timeout"]),
        (&json!("outbound|9080||details.shop.svc.cluster.local"), &json!("0s"))
    );
    let retry = &route["route"]["retry_policy"];
    assert_eq!(retry["retry_on"], "connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes,retriable-headers");
    assert_eq!((&retry["num_retries"], &retry["host_selection_retry_max_attempts"]), (&json!(2), &json!("5")));
    assert_eq!(route["decorator"]["operation"], "details.shop.svc.cluster.local:9080/*");
}

#[test]
fn hosts_that_nobody_declared_are_passed_through_or_blocked() {
    let mut mesh = bookinfo();
    let last = |mesh: &TestMesh| {
        routes(&compiled(mesh, "shop", "productpage-v1"), "9080")["virtual_hosts"].as_array().unwrap().last().unwrap().clone()
    };
    let open = last(&mesh);
    assert_eq!((&open["name"], &open["routes"][0]["route"]["cluster"]), (&json!("allow_any"), &json!("PassthroughCluster")));
    mesh.config.outbound_traffic_policy.mode = OutboundTrafficMode::RegistryOnly;
    let closed = last(&mesh);
    assert_eq!((&closed["name"], &closed["routes"][0]["direct_response"]), (&json!("block_all"), &json!({"status": 502})));
}

#[test]
fn weights_are_shares_and_what_has_none_gets_nothing() {
    let table = routes(&compiled(&bookinfo(), "shop", "productpage-v1"), "9080");
    let clusters = &host(&table, "reviews.shop.svc.cluster.local:9080")["routes"][0]["route"]["weighted_clusters"]["clusters"];
    assert_eq!(
        clusters,
        &json!([
            {"name": "outbound|9080|v1|reviews.shop.svc.cluster.local", "weight": 80},
            {"name": "outbound|9080|v3|reviews.shop.svc.cluster.local", "weight": 20},
        ])
    );
    let details = fqdn("shop", "details");
    let sole = routed(vec![forward(Vec::new(), vec![to(&details, Some("v1"), 100), to(&details, Some("v2"), 0)])]);
    assert_eq!(sole[0]["route"]["cluster"], "outbound|9080|v1|details.shop.svc.cluster.local");
}

#[test]
fn a_destination_without_a_port_takes_its_only_one_or_the_one_that_was_called() {
    let mut mesh = bookinfo();
    mesh.service("shop", "one", Some("10.96.0.20"), &["http:80"]);
    mesh.service("shop", "two", Some("10.96.0.21"), &["http:80", "http-other:9080"]);
    let unknown = HostPattern::new("nowhere.example.com");
    let hosts = [fqdn("shop", "one"), fqdn("shop", "two"), unknown];
    let all = hosts.iter().map(|host| to(host, None, 1)).collect();
    mesh.virtual_services.push(virtual_service("shop", "details", &[fqdn("shop", "details")], vec![forward(Vec::new(), all)]));
    let routes = routes_of_details(&mesh, "shop", "productpage-v1");
    let names: Vec<_> = routes[0]["route"]["weighted_clusters"]["clusters"].as_array().unwrap().iter().map(|it| &it["name"]).collect();
    assert_eq!(
        names,
        ["outbound|80||one.shop.svc.cluster.local", "outbound|9080||two.shop.svc.cluster.local", "outbound|9080||nowhere.example.com"]
    );
}

#[test]
fn paths_match_exactly_by_their_beginning_or_as_a_whole_by_a_pattern() {
    let exact = HttpMatch { ignore_uri_case: true, ..path(StringMatch::Exact("/a".into())) };
    let routes =
        routed(vec![forward(vec![exact, path(StringMatch::Prefix("/b".into())), path(StringMatch::Regex("/c.*".into()))], to_details())]);
    let matches: Vec<_> = routes.iter().map(|it| &it["match"]).collect();
    assert_eq!(
        matches,
        [&json!({"path": "/a", "case_sensitive": false}), &json!({"prefix": "/b"}), &json!({"safe_regex": {"regex": "/c.*"}})]
    );
}

#[test]
fn every_condition_on_a_request_becomes_one_of_envoys() {
    let condition = HttpMatch {
        scheme: Some(StringMatch::Exact("https".into())),
        method: Some(StringMatch::Prefix("P".into())),
        authority: Some(StringMatch::Regex("a.*".into())),
        headers: vec![
            header("x-there", None, false),
            header("x-value", Some(StringMatch::Exact("v".into())), false),
            header("x-gone", None, true),
            header("x-other", Some(StringMatch::Exact("v".into())), true),
            header("x-any", Some(StringMatch::Prefix("".into())), false),
        ],
        query_params: vec![header("q", Some(StringMatch::Exact("1".into())), false), header("r", None, false)],
        ..HttpMatch::default()
    };
    let found = &routed(vec![forward(vec![condition], to_details())])[0]["match"];
    assert_eq!(
        found["headers"],
        json!([
            {"name": ":scheme", "string_match": {"exact": "https"}},
            {"name": ":method", "string_match": {"prefix": "P"}},
            {"name": ":authority", "string_match": {"safe_regex": {"regex": "a.*"}}},
            {"name": "x-there", "present_match": true},
            {"name": "x-value", "string_match": {"exact": "v"}},
            {"name": "x-gone", "present_match": true, "invert_match": true},
            {"name": "x-other", "string_match": {"exact": "v"}, "invert_match": true, "treat_missing_header_as_empty": true},
            {"name": "x-any", "present_match": true},
        ])
    );
    assert_eq!(found["query_parameters"], json!([{"name": "q", "string_match": {"exact": "1"}}, {"name": "r", "present_match": true}]));
}

#[test]
fn rules_for_other_callers_ports_and_gateways_are_left_out() {
    let only = |condition: HttpMatch| {
        routed(vec![forward(vec![condition], vec![to(&fqdn("shop", "ratings"), None, 1)])])[0]["route"]["cluster"].clone()
    };
    let (own, other) = (json!("outbound|9080||details.shop.svc.cluster.local"), json!("outbound|9080||ratings.shop.svc.cluster.local"));
    let any = HttpMatch::default;
    assert_eq!(only(HttpMatch { source_labels: labels(&[("app", "reviews")]), ..any() }), own);
    assert_eq!(only(HttpMatch { source_labels: labels(&[("app", "productpage")]), ..any() }), other);
    assert_eq!(only(HttpMatch { source_namespace: Some("data".into()), ..any() }), own);
    assert_eq!(only(HttpMatch { source_namespace: Some("shop".into()), ..any() }), other);
    assert_eq!(only(HttpMatch { port: Some(80), ..any() }), own);
    assert_eq!(only(HttpMatch { port: Some(9080), ..any() }), other);
    assert_eq!(only(HttpMatch { gateways: vec!["shop/door".into()], ..any() }), own);
    assert_eq!(only(HttpMatch { gateways: vec!["mesh".into()], ..any() }), other);
}

#[test]
fn what_follows_a_rule_that_takes_everything_is_left_out() {
    let rules = vec![
        forward(vec![path(StringMatch::Exact("/a".into()))], to_details()),
        forward(vec![path(StringMatch::Prefix("/".into())), path(StringMatch::Exact("/b".into()))], to_details()),
        forward(Vec::new(), to_details()),
    ];
    assert_eq!(routed(rules).len(), 2);
}

#[test]
fn a_rule_rewrites_paths_and_hosts_and_changes_headers() {
    let pair = |name: &str, value: &str| (name.into(), value.into());
    let mut rule = forward(vec![path(StringMatch::Prefix("/old".into()))], to_details());
    rule.rewrite = Some(Box::new(HttpRewrite { uri: Some("/new".into()), uri_regex: None, authority: Some("details.example".into()) }));
    rule.headers = HeaderOperations {
        request_set: vec![pair("x-set", "1"), pair("host", "ignored.example")],
        request_add: vec![pair("x-add", "2")],
        request_remove: vec!["x-remove".into(), ":path".into()],
        response_set: vec![pair("x-answer", "3")],
        response_add: Vec::new(),
        response_remove: vec!["server".into()],
    }
    .boxed();
    let mut several = forward(Vec::new(), vec![to(&fqdn("shop", "details"), None, 1), to(&fqdn("shop", "ratings"), None, 1)]);
    several.rewrite = Some(Box::new(HttpRewrite { uri: None, uri_regex: Some(("/x/(.*)".into(), "/\\1".into())), authority: None }));
    if let HttpAction::Forward(destinations) = &mut several.action {
        destinations[0].headers =
            HeaderOperations { request_set: vec![pair("Host", "one.example")], ..HeaderOperations::default() }.boxed();
        destinations[1].headers = HeaderOperations { response_add: vec![pair("x-from", "two")], ..HeaderOperations::default() }.boxed();
    }
    let routes = routed(vec![rule, several]);
    let (first, action) = (&routes[0], &routes[0]["route"]);
    assert_eq!((&action["prefix_rewrite"], &action["host_rewrite_literal"]), (&json!("/new"), &json!("details.example")));
    assert_eq!(
        first["request_headers_to_add"],
        json!([
            {"header": {"key": "x-set", "value": "1"}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"},
            {"header": {"key": "x-add", "value": "2"}},
        ])
    );
    assert_eq!((&first["request_headers_to_remove"], &first["response_headers_to_remove"]), (&json!(["x-remove"]), &json!(["server"])));
    assert_eq!(first["response_headers_to_add"][0]["header"]["key"], "x-answer");
    let clusters = &routes[1]["route"]["weighted_clusters"]["clusters"];
    assert_eq!((&clusters[0]["host_rewrite_literal"], &clusters[0]["request_headers_to_add"]), (&json!("one.example"), &Value::Null));
    assert_eq!(clusters[1]["response_headers_to_add"][0]["header"], json!({"key": "x-from", "value": "two"}));
    assert_eq!(routes[1]["route"]["regex_rewrite"], json!({"pattern": {"regex": "/x/(.*)"}, "substitution": "/\\1"}));
}

#[test]
fn a_rule_answers_itself_or_redirects() {
    let mut redirect = forward(vec![path(StringMatch::Exact("/moved".into()))], Vec::new());
    redirect.action = HttpAction::Redirect(Box::new(HttpRedirect {
        uri: Some("/here".into()),
        authority: Some("new.example".into()),
        scheme: Some("https".into()),
        port: Some(RedirectPort::Number(8443)),
        code: 307,
        ..HttpRedirect::default()
    }));
    let mut answer = forward(Vec::new(), Vec::new());
    answer.action = HttpAction::Respond { status: 418, body: Some("tea".into()) };
    let routes = routed(vec![redirect, answer]);
    assert_eq!(
        routes[0]["redirect"],
        json!({
            "path_redirect": "/here", "host_redirect": "new.example", "scheme_redirect": "https", "port_redirect": 8443,
            "response_code": "TEMPORARY_REDIRECT",
        })
    );
    assert_eq!(routes[1]["direct_response"], json!({"status": 418, "body": {"inline_string": "tea"}}));
}

#[test]
fn what_is_handed_to_nobody_or_asks_for_claims_takes_no_request() {
    let mut handed = forward(Vec::new(), Vec::new());
    handed.action = HttpAction::Delegate { namespace: "shop".into(), name: "parts".into() };
    let claim = ClaimMatch { path: vec!["group".into()], value: None, inverted: false };
    let asking = forward(vec![HttpMatch { claims: vec![claim], ..HttpMatch::default() }], to_details());
    let mut answer = forward(Vec::new(), Vec::new());
    answer.action = HttpAction::Respond { status: 200, body: Some(Body::Bytes([255].as_slice().into())) };
    let routes = routed(vec![handed, asking, answer]);
    assert_eq!(routes.len(), 1, "{routes:?}");
    assert_eq!(routes[0]["direct_response"], json!({"status": 200, "body": {"inline_bytes": "/w=="}}));
}

#[test]
fn timeouts_and_retries_are_the_rules() {
    let retry = |attempts, retry_on: &str| {
        let mut rule = forward(Vec::new(), to_details());
        rule.timeout = Some(Duration::from_millis(1500));
        rule.retry = Some(Box::new(HttpRetry {
            attempts,
            per_try_timeout: Some(Duration::from_secs(1)),
            retry_on: retry_on.into(),
            ..HttpRetry::default()
        }));
        routed(vec![rule])[0]["route"].clone()
    };
    let asked = retry(3, "5xx,503, reset");
    assert_eq!(asked["timeout"], "1.500s");
    let policy = &asked["retry_policy"];
    assert_eq!((&policy["num_retries"], &policy["per_try_timeout"]), (&json!(3), &json!("1s")));
    assert_eq!((&policy["retry_on"], &policy["retriable_status_codes"]), (&json!("5xx,reset,retriable-status-codes"), &json!([503])));
    assert_eq!(retry(0, "")["retry_policy"], Value::Null);
}

#[test]
fn faults_hit_a_share_of_requests() {
    let mut rule = forward(Vec::new(), to_details());
    rule.fault.delay = Some((Duration::from_secs(7), PerMillion::ALL));
    rule.fault.abort = Some((AbortStatus::Grpc(14), PerMillion(1000)));
    let fault = &routed(vec![rule])[0]["typed_per_filter_config"]["envoy.filters.http.fault"];
    let share = |numerator: u32| json!({"numerator": numerator, "denominator": "MILLION"});
    assert_eq!(fault["delay"], json!({"fixed_delay": "7s", "percentage": share(1_000_000)}));
    assert_eq!(fault["abort"], json!({"grpc_status": 14, "percentage": share(1_000)}));
}

#[test]
fn of_two_virtual_services_for_a_host_the_older_holds_and_the_exact_host_before_a_wildcard() {
    let mut mesh = bookinfo();
    let rule = |to_host: &str| vec![forward(Vec::new(), vec![to(&fqdn("shop", to_host), None, 1)])];
    let mut wildcard = virtual_service("shop", "a-wildcard", &[HostPattern::new("*.shop.svc.cluster.local")], rule("ratings"));
    wildcard.created = 0;
    let mut younger = virtual_service("shop", "b-younger", &[fqdn("shop", "details")], rule("productpage"));
    younger.created = 9;
    let older = virtual_service("shop", "c-older", &[fqdn("shop", "details")], rule("reviews"));
    mesh.virtual_services.extend([wildcard, younger, older]);
    let leads_to = |mesh: &TestMesh| routes_of_details(mesh, "shop", "productpage-v1")[0]["route"]["cluster"].clone();
    assert_eq!(leads_to(&mesh), "outbound|9080||reviews.shop.svc.cluster.local");
    mesh.virtual_services.retain(|it| !it.hosts.contains(&fqdn("shop", "details")));
    assert_eq!(leads_to(&mesh), "outbound|9080||ratings.shop.svc.cluster.local");
}

#[test]
fn a_virtual_service_that_is_not_exported_holds_at_home_alone() {
    let mut mesh = bookinfo();
    let mut hidden = virtual_service(
        "shop",
        "details",
        &[fqdn("shop", "details")],
        vec![forward(Vec::new(), vec![to(&fqdn("shop", "ratings"), None, 1)])],
    );
    hidden.export_to = ExportTo(vec![Visibility::Private]);
    mesh.virtual_services.push(hidden);
    assert_eq!(routes_of_details(&mesh, "shop", "productpage-v1")[0]["route"]["cluster"], "outbound|9080||ratings.shop.svc.cluster.local");
    assert_eq!(routes_of_details(&mesh, "data", "db-0")[0]["route"]["cluster"], "outbound|9080||details.shop.svc.cluster.local");
}

#[test]
fn a_host_that_only_a_virtual_service_names_is_routed_on_the_port_of_http() {
    let mut mesh = bookinfo();
    let host_name = HostPattern::new("virtual.example.com");
    mesh.virtual_services.push(virtual_service("shop", "virtual", &[host_name], vec![forward(Vec::new(), to_details())]));
    let compiled = compiled(&mesh, "shop", "productpage-v1");
    let table = routes(&compiled, "80");
    let found = host(&table, "virtual.example.com:80");
    assert_eq!(found["routes"][0]["route"]["cluster"], "outbound|9080||details.shop.svc.cluster.local");
    assert!(routes(&compiled, "9080")["virtual_hosts"].as_array().unwrap().iter().all(|it| it["name"] != "virtual.example.com:9080"));
}

#[test]
fn a_port_that_does_not_say_what_it_speaks_takes_every_host() {
    let compiled = compiled(&bookinfo(), "shop", "productpage-v1");
    let table = routes(&compiled, "legacy.shop.svc.cluster.local:7000");
    assert_eq!(table["virtual_hosts"][0]["domains"], json!(["*"]));
    assert_eq!(table["virtual_hosts"][0]["routes"][0]["route"]["cluster"], "outbound|7000||legacy.shop.svc.cluster.local");
    assert_eq!(names(&compiled, ResourceType::Route), ["80", "9080", "legacy.shop.svc.cluster.local:7000"]);
}

#[test]
fn a_route_names_the_object_it_came_from() {
    let compiled = compiled(&bookinfo(), "shop", "productpage-v1");
    let table = routes(&compiled, "9080");
    let route = &host(&table, "reviews.shop.svc.cluster.local:9080")["routes"][0];
    let origin = json!({"config": "/apis/networking.istio.io/v1/namespaces/shop/virtual-service/reviews", "field": "http[0]"});
    assert_eq!(route["metadata"]["filter_metadata"]["istio"], origin);
    let sources = &compiled.get(ResourceType::Route, "9080").unwrap().sources;
    assert!(sources.iter().any(|it| it.to_string() == "VirtualService shop/reviews"), "{sources:?}");
    assert!(sources.iter().all(|it| it.to_string() != "VirtualService shop/bookinfo"), "{sources:?}");
}

#[test]
fn of_several_alternatives_each_route_names_its_own() {
    let compiled = compiled(&bookinfo(), "istio-system", "gateway-0");
    let table = routes(&compiled, "http.8080");
    let routes = table["virtual_hosts"][0]["routes"].as_array().unwrap();
    let fields: Vec<_> = routes.iter().map(|route| &route["metadata"]["filter_metadata"]["istio"]["field"]).collect();
    assert_eq!(fields, ["http[0].match[0]", "http[0].match[1]"]);
}
