//! What routes do beside sending requests on: copies, other origins, redirects, retries.

use std::time::Duration;

use serde_json::{Value, json};

use super::routes::{routed, routes_of_details, to_details};
use crate::model::{
    Cors, Destination, HeaderOperations, HttpAction, HttpMatch, HttpRedirect, HttpRetry, HttpRewrite, HttpRoute, Mirror, PerMillion,
    RedirectPort, StringMatch,
};
use crate::testing::mesh::{TestMesh, bookinfo, forward, fqdn, path, to, virtual_service};

fn mirror(name: &str, share: PerMillion) -> Mirror {
    Mirror { destination: Destination { host: fqdn("shop", name), subset: None, port: None }, share, listed: true }
}

#[test]
fn copies_go_to_each_mirror_that_has_a_share() {
    let mut rule = forward(Vec::new(), to_details());
    rule.mirrors = vec![mirror("reviews", PerMillion::ALL), mirror("ratings", PerMillion(5000)), mirror("productpage", PerMillion(0))];
    let policies = &routed(vec![rule])[0]["route"]["request_mirror_policies"];
    let policy = |name: &str, share: u32| {
        json!({
            "cluster": format!("outbound|9080||{name}.shop.svc.cluster.local"),
            "runtime_fraction": {"default_value": {"numerator": share, "denominator": "MILLION"}},
            "trace_sampled": false,
            "disable_shadow_host_suffix_append": true,
        })
    };
    assert_eq!(policies, &json!([policy("reviews", 1_000_000), policy("ratings", 5000)]));
}

#[test]
fn browsers_are_told_which_origins_may_do_what() {
    let cors = |cors: Cors| {
        let mut rule = forward(Vec::new(), to_details());
        rule.cors = Some(Box::new(cors));
        routed(vec![rule])[0]["typed_per_filter_config"]["envoy.filters.http.cors"].clone()
    };
    let told = cors(Cors {
        allow_origins: vec![
            StringMatch::Exact("https://a.example".into()),
            StringMatch::Prefix("https://b.".into()),
            StringMatch::Regex("https://[a-z]+".into()),
        ],
        allow_methods: vec!["GET".into(), "POST".into()],
        allow_headers: vec!["x-a".into(), "x-b".into()],
        expose_headers: vec!["x-c".into()],
        max_age: Some(Duration::from_secs(90)),
        allow_credentials: Some(true),
        forward_unmatched_preflights: false,
    });
    assert_eq!(
        told["allow_origin_string_match"],
        json!([{"exact": "https://a.example"}, {"prefix": "https://b."}, {"safe_regex": {"regex": "https://[a-z]+"}}])
    );
    assert_eq!(
        (&told["allow_methods"], &told["allow_headers"], &told["expose_headers"]),
        (&json!("GET,POST"), &json!("x-a,x-b"), &json!("x-c"))
    );
    assert_eq!((&told["max_age"], &told["allow_credentials"]), (&json!("90"), &json!(true)));
    assert_eq!(told["forward_not_matching_preflights"], json!(false));
    let bare = cors(Cors { forward_unmatched_preflights: true, ..Cors::default() });
    assert_eq!((&bare["max_age"], &bare["allow_credentials"]), (&Value::Null, &Value::Null));
    assert_eq!(bare["forward_not_matching_preflights"], json!(true));
}

#[test]
fn a_redirect_names_a_port_unless_it_is_the_schemes_own() {
    let port = |port: RedirectPort, scheme: Option<&str>| {
        let mut rule = forward(Vec::new(), Vec::new());
        rule.action = HttpAction::Redirect(Box::new(HttpRedirect {
            port: Some(port),
            scheme: scheme.map(Into::into),
            code: 301,
            ..HttpRedirect::default()
        }));
        routed(vec![rule])[0]["redirect"]["port_redirect"].clone()
    };
    assert_eq!(port(RedirectPort::Number(8443), Some("https")), 8443);
    assert_eq!(port(RedirectPort::Number(443), Some("https")), Value::Null);
    assert_eq!(port(RedirectPort::Number(443), Some("http")), 443);
    assert_eq!(port(RedirectPort::Number(80), Some("http")), Value::Null);
    assert_eq!(port(RedirectPort::Number(80), None), 80);
    assert_eq!(port(RedirectPort::OfRequest, Some("https")), 9080);
    assert_eq!(port(RedirectPort::OfScheme, Some("https")), Value::Null);
}

#[test]
fn a_redirect_replaces_the_part_of_the_path_that_matched() {
    let mut rule = forward(vec![path(StringMatch::Prefix("/old".into()))], Vec::new());
    rule.action = HttpAction::Redirect(Box::new(HttpRedirect { prefix: Some("/new".into()), code: 301, ..HttpRedirect::default() }));
    assert_eq!(routed(vec![rule])[0]["redirect"], json!({"prefix_rewrite": "/new"}));
}

fn retried(retry: HttpRetry) -> Value {
    let rule = HttpRoute { retry: Some(Box::new(HttpRetry { attempts: 3, ..retry })), ..forward(Vec::new(), to_details()) };
    routed(vec![rule])[0]["route"]["retry_policy"].clone()
}

#[test]
fn retries_pause_and_choose_where_they_go_as_the_rule_says() {
    let plain = retried(HttpRetry::default());
    assert_eq!(plain["retry_host_predicate"][0]["name"], "envoy.retry_host_predicates.previous_hosts");
    assert_eq!((&plain["retry_priority"], &plain["retry_back_off"]), (&Value::Null, &Value::Null));
    let asked = retried(HttpRetry {
        backoff: Some(Duration::from_millis(100)),
        ignore_previous_hosts: Some(false),
        remote_localities: Some(true),
        ..HttpRetry::default()
    });
    assert_eq!(asked["retry_back_off"], json!({"base_interval": "0.100s"}));
    assert_eq!(asked["retry_host_predicate"], Value::Null);
    assert_eq!(asked["retry_priority"]["name"], "envoy.retry_priorities.previous_priorities");
    assert_eq!(asked["retry_priority"]["typed_config"]["update_frequency"], 2);
    let both = retried(HttpRetry { ignore_previous_hosts: Some(true), remote_localities: Some(false), ..HttpRetry::default() });
    assert_eq!((both["retry_host_predicate"].as_array().map(Vec::len), &both["retry_priority"]), (Some(1), &Value::Null));
}

#[test]
fn the_routes_host_counts_before_that_of_its_sole_destination() {
    let mut rule = forward(Vec::new(), vec![to(&fqdn("shop", "details"), None, 1)]);
    if let HttpAction::Forward(destinations) = &mut rule.action {
        destinations[0].headers =
            HeaderOperations { request_set: vec![("host".into(), "inner.example".into())], ..HeaderOperations::default() }.boxed();
    }
    let inner = routed(vec![rule.clone()]);
    assert_eq!(inner[0]["route"]["host_rewrite_literal"], "inner.example");
    rule.rewrite = Some(Box::new(HttpRewrite { authority: Some("outer.example".into()), ..HttpRewrite::default() }));
    assert_eq!(routed(vec![rule])[0]["route"]["host_rewrite_literal"], "outer.example");
}

#[test]
fn a_match_gives_its_route_metrics_of_its_own() {
    let condition = HttpMatch { stat_prefix: Some("page".into()), ..HttpMatch::default() };
    assert_eq!(routed(vec![forward(vec![condition], to_details())])[0]["stat_prefix"], "page");
}

#[test]
fn routes_that_say_nothing_of_retries_are_as_the_mesh_says() {
    let mut mesh = bookinfo();
    let own = HttpRoute { retry: Some(Box::new(HttpRetry { attempts: 7, ..HttpRetry::default() })), ..forward(Vec::new(), to_details()) };
    let open = forward(vec![path(StringMatch::Prefix("/open".into()))], to_details());
    mesh.virtual_services.push(virtual_service("shop", "details", &[fqdn("shop", "details")], vec![open, own]));
    let policies = |mesh: &TestMesh| {
        let routes = routes_of_details(mesh, "shop", "productpage-v1");
        [0, 1].map(|place| routes[place]["route"]["retry_policy"].clone())
    };
    let policy = json!({"attempts": 5, "perTryTimeout": "2s", "retryOn": "gateway-error,409"});
    mesh.config = serde_json::from_value(json!({"defaultHttpRetryPolicy": policy})).unwrap();
    let [open, own] = policies(&mesh);
    assert_eq!((&open["num_retries"], &open["per_try_timeout"]), (&json!(5), &json!("2s")));
    assert_eq!((&open["retry_on"], &open["retriable_status_codes"]), (&json!("gateway-error,retriable-status-codes"), &json!([409])));
    assert_eq!((&own["num_retries"], &own["per_try_timeout"]), (&json!(7), &Value::Null));
    // Who says on what to retry does not mean what a server's proxy could not bring to its application, unless he says that, too.
    assert_eq!((&open["retriable_headers"], &own["retriable_headers"][0]["name"]), (&Value::Null, &json!("x-ferromesh-retriable")));
    let said = retried(HttpRetry { retry_on: "5xx,retriable-headers".into(), ..HttpRetry::default() });
    assert_eq!(said["retriable_headers"][0]["name"], "x-ferromesh-retriable");
    mesh.config = serde_json::from_value(json!({"defaultHttpRetryPolicy": {"attempts": 0}})).unwrap();
    assert_eq!(policies(&mesh)[0], Value::Null);
    // A service without any rule, too.
    mesh.virtual_services.retain(|it| &*it.origin.name != "details");
    assert_eq!(routes_of_details(&mesh, "shop", "productpage-v1")[0]["route"]["retry_policy"], Value::Null);
}
