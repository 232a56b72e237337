//! Rules that one VirtualService hands to another.

use std::time::Duration;

use serde_json::{Value, json};

use super::{
    compiled,
    routes::{host, routes, routes_of_details, to_details},
};
use crate::compile::ResourceType;
use crate::model::{ExportTo, HeaderMatch, HeaderOperations, HttpAction, HttpMatch, HttpRoute, StringMatch, VirtualService, Visibility};
use crate::testing::mesh::{TestMesh, bookinfo, forward, fqdn, labels, path, to, virtual_service};

fn prefix(text: &str) -> StringMatch {
    StringMatch::Prefix(text.into())
}

fn exact(text: &str) -> StringMatch {
    StringMatch::Exact(text.into())
}

fn to_ratings() -> Vec<crate::model::WeightedDestination> {
    vec![to(&fqdn("shop", "ratings"), None, 1)]
}

/// A rule that hands what fulfils one of the conditions to `team/parts`.
fn handing(matches: Vec<HttpMatch>) -> HttpRoute {
    HttpRoute { action: HttpAction::Delegate { namespace: "team".into(), name: "parts".into() }, ..forward(matches, Vec::new()) }
}

fn parts(http: Vec<HttpRoute>) -> VirtualService {
    virtual_service("team", "parts", &[], http)
}

/// The sample in which `details` has these rules, with `team/parts`.
fn delegating(root: Vec<HttpRoute>, parts: VirtualService) -> TestMesh {
    let mut mesh = bookinfo();
    mesh.virtual_services.push(virtual_service("shop", "details", &[fqdn("shop", "details")], root));
    mesh.virtual_services.push(parts);
    mesh
}

fn routed(root: Vec<HttpRoute>, leaf: Vec<HttpRoute>) -> Vec<Value> {
    routes_of_details(&delegating(root, parts(leaf)), "shop", "productpage-v1")
}

#[test]
fn a_delegates_rules_stand_where_it_is_named_and_both_objects_are_known() {
    let root = vec![handing(vec![path(prefix("/parts"))]), forward(Vec::new(), to_details())];
    let mesh = delegating(root, parts(vec![forward(vec![path(exact("/parts/1"))], to_ratings()), forward(Vec::new(), to_details())]));
    let compiled = compiled(&mesh, "shop", "productpage-v1");
    let table = routes(&compiled, "9080");
    let routes = host(&table, "details.shop.svc.cluster.local:9080")["routes"].as_array().unwrap();
    let matches: Vec<_> = routes.iter().map(|it| it["match"].clone()).collect();
    assert_eq!(matches, [json!({"path": "/parts/1"}), json!({"prefix": "/parts"}), json!({"prefix": "/"})]);
    assert_eq!(routes[0]["route"]["cluster"], "outbound|9080||ratings.shop.svc.cluster.local");
    assert_eq!(
        routes[0]["metadata"]["filter_metadata"]["istio"],
        json!({
            "config": "/apis/networking.istio.io/v1/namespaces/shop/virtual-service/details",
            "delegate": "/apis/networking.istio.io/v1/namespaces/team/virtual-service/parts",
        })
    );
    assert_eq!(routes[2]["metadata"]["filter_metadata"]["istio"].as_object().unwrap().len(), 1);
    let sources: Vec<_> = compiled.get(ResourceType::Route, "9080").unwrap().sources.iter().map(ToString::to_string).collect();
    assert!(sources.contains(&"VirtualService team/parts".to_owned()) && sources.contains(&"VirtualService shop/details".to_owned()));
}

#[test]
fn conditions_of_both_hold() {
    let present = |name: &str, value: StringMatch, inverted| HeaderMatch { name: name.into(), value: Some(value), inverted };
    let root = HttpMatch {
        name: "outer".into(),
        uri: Some(prefix("/a")),
        headers: vec![present("x-a", prefix("a"), false), present("x-b", exact("b"), true)],
        source_labels: labels(&[("app", "productpage")]),
        ..HttpMatch::default()
    };
    let leaf = HttpMatch {
        name: "inner".into(),
        uri: Some(prefix("/a/b")),
        method: Some(exact("GET")),
        headers: vec![present("x-a", exact("ab"), false)],
        query_params: vec![present("q", exact("1"), false)],
        ..HttpMatch::default()
    };
    let mut outer = handing(vec![root]);
    outer.name = "root".into();
    let mut inner = forward(vec![leaf], to_ratings());
    inner.name = "leaf".into();
    let routes = routed(vec![outer], vec![inner]);
    assert_eq!(routes.len(), 1);
    assert_eq!(routes[0]["name"], "root-leaf.outer-inner");
    let condition = &routes[0]["match"];
    assert_eq!(condition["prefix"], "/a/b");
    let names: Vec<_> = condition["headers"].as_array().unwrap().iter().map(|it| it["name"].as_str().unwrap()).collect();
    assert_eq!(names, [":method", "x-b", "x-a"]);
    assert_eq!(condition["headers"][2]["string_match"], json!({"exact": "ab"}));
    assert_eq!(condition["query_parameters"][0]["name"], "q");
}

#[test]
fn a_rule_with_a_condition_outside_of_the_outer_ones_is_left_out() {
    let taken = |outer: Vec<StringMatch>, inner: Vec<StringMatch>| {
        let root = handing(outer.into_iter().map(path).collect());
        let leaf = forward(inner.into_iter().map(path).collect(), to_ratings());
        let routes = routed(vec![root], vec![leaf]);
        routes.iter().filter(|it| it["route"]["cluster"] == "outbound|9080||ratings.shop.svc.cluster.local").count()
    };
    let regex = || StringMatch::Regex("/a.*".into());
    assert_eq!(taken(vec![prefix("/a")], vec![prefix("/a/b"), exact("/a")]), 2);
    assert_eq!(taken(vec![prefix("/a"), prefix("/a/b")], vec![prefix("/a/b/c")]), 2);
    assert_eq!(taken(vec![prefix("/a/b")], vec![prefix("/a")]), 0);
    assert_eq!(taken(vec![prefix("/a")], vec![prefix("/a/b"), prefix("/c")]), 0);
    assert_eq!(taken(vec![exact("/a")], vec![prefix("/a")]), 0);
    assert_eq!(taken(vec![exact("/a")], vec![exact("/a")]), 1);
    assert_eq!(taken(vec![prefix("/a")], vec![regex()]), 0);
    assert_eq!(taken(vec![regex()], vec![exact("/a")]), 0);
    assert_eq!(taken(vec![regex()], Vec::new()), 1);
    assert_eq!(taken(Vec::new(), vec![regex()]), 1);
}

#[test]
fn what_a_delegate_leaves_open_is_as_in_the_rule_that_leads_to_it() {
    let mut root = handing(Vec::new());
    root.timeout = Some(Duration::from_secs(3));
    root.headers = HeaderOperations { request_set: vec![("x-root".into(), "1".into())], ..HeaderOperations::default() }.boxed();
    let open = forward(vec![path(exact("/open"))], to_ratings());
    let mut own = forward(vec![path(exact("/own"))], to_ratings());
    own.timeout = Some(Duration::from_secs(1));
    own.headers = HeaderOperations { request_set: vec![("x-leaf".into(), "1".into())], ..HeaderOperations::default() }.boxed();
    let routes = routed(vec![root], vec![open, own]);
    assert_eq!((&routes[0]["route"]["timeout"], &routes[1]["route"]["timeout"]), (&json!("3s"), &json!("1s")));
    let added = |place: usize| {
        routes[place]["request_headers_to_add"].as_array().unwrap().iter().map(|it| &it["header"]["key"]).collect::<Vec<_>>()
    };
    assert_eq!(added(0), ["x-root"]);
    assert_eq!(added(1), ["x-leaf"]);
}

#[test]
fn nothing_is_handed_to_whom_that_does_not_suit() {
    let first = |leaf: VirtualService| {
        let mesh = delegating(vec![handing(Vec::new()), forward(Vec::new(), to_details())], leaf);
        routes_of_details(&mesh, "shop", "productpage-v1")[0]["route"]["cluster"].as_str().unwrap().to_owned()
    };
    let (handed, kept) = ("outbound|9080||ratings.shop.svc.cluster.local", "outbound|9080||details.shop.svc.cluster.local");
    let leaf = || parts(vec![forward(Vec::new(), to_ratings())]);
    let exported = |visibility: Visibility| VirtualService { export_to: ExportTo(vec![visibility]), ..leaf() };
    assert_eq!(first(leaf()), handed);
    assert_eq!(first(exported(Visibility::Namespace("shop".into()))), handed);
    assert_eq!(first(exported(Visibility::Private)), kept);
    assert_eq!(first(exported(Visibility::Namespace("data".into()))), kept);
    assert_eq!(first(virtual_service("team", "others", &[], vec![forward(Vec::new(), to_ratings())])), kept);
    assert_eq!(first(virtual_service("team", "parts", &[fqdn("team", "parts")], vec![forward(Vec::new(), to_ratings())])), kept);
    assert_eq!(first(parts(vec![handing(Vec::new())])), kept);
}
