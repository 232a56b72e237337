//! What is read out of EnvoyFilters; what is refused is in the corpora.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::envoy_filter;
use crate::config::{Code, Invalid, ParseContext, Parsed};
use crate::model::{EnvoyFilter, FilterClass, ObjectMatch, PatchContext, PatchOperation};

fn read(spec: Value) -> Result<Parsed<EnvoyFilter>, Invalid> {
    let object = serde_json::from_value(json!({"metadata": {"name": "a"}, "spec": spec})).unwrap();
    envoy_filter(&object, &ParseContext::default())
}

#[test]
fn a_patch_that_is_too_large_is_refused() {
    let value = json!({"name": "x".repeat(300_000)});
    let patch = json!({"applyTo": "CLUSTER", "patch": {"operation": "ADD", "value": value}});
    let invalid = read(json!({"configPatches": [patch]})).unwrap_err();
    let problem = &invalid.errors[0];
    assert_eq!((problem.path.as_str(), problem.code), ("spec.configPatches[0].patch.value", Code::WrongSize));
    assert!(problem.message.len() < 200, "{}", problem.message);
}

#[test]
fn patches_are_read_into_what_they_do() {
    let hcm = "envoy.http_connection_manager";
    let spec = json!({"configPatches": [
        {"applyTo": "HTTP_FILTER",
         "match": {"context": "GATEWAY", "listener": {"portNumber": 443, "filterChain": {"applicationProtocols": "h2, http/1.1",
             "filter": {"name": hcm, "subFilter": {"name": "envoy.router"}}}}},
         "patch": {"operation": "ADD", "filterClass": "AUTHZ", "value": {"name": "a", "typed_config": {}}}},
        {"applyTo": "HTTP_FILTER", "match": {"context": "WAYPOINT", "waypoint": {"filter": {"name": "envoy.filters.network.http_connection_manager",
             "subFilter": {"name": "a"}}}}, "patch": {"operation": "REMOVE"}},
    ]});
    let filter = read(spec).unwrap().value;
    // That of the waypoint is left out.
    let [patch] = filter.patches.as_slice() else { panic!("{:?}", filter.patches) };
    assert!(matches!(&patch.operation, PatchOperation::Add(value, FilterClass::Authz) if value["name"] == "a"), "{patch:?}");
    let ObjectMatch::Listener(listener) = &patch.object else { panic!("{patch:?}") };
    let chain = listener.filter_chain.as_ref().unwrap();
    assert_eq!((listener.port, chain.application_protocols.len()), (Some(443), 2));
    assert_eq!(chain.filter.as_deref(), Some("envoy.filters.network.http_connection_manager"));
    assert_eq!(chain.sub_filter.as_deref(), Some("envoy.filters.http.router"));
}

#[test]
fn filters_of_1_4_are_read_as_patches() {
    let filter = |position: Value, matched: Value| {
        json!({"filterType": "HTTP", "filterName": "envoy.lua", "filterConfig": {"inlineCode": ""},
               "insertPosition": position, "listenerMatch": matched})
    };
    let spec = json!({"filters": [
        filter(json!({"index": "BEFORE", "relativeTo": "envoy.router"}), json!({"portNumber": 80, "listenerType": "GATEWAY"})),
        filter(json!({"index": "LAST"}), json!({"listenerProtocol": "HTTP"})),
        filter(json!({}), json!({"address": ["10.0.0.1"]})),
    ]});
    let parsed = read(spec).unwrap();
    let [first, last] = parsed.value.patches.as_slice() else { panic!("{:?}", parsed.value.patches) };
    let ObjectMatch::Listener(listener) = &first.object else { panic!("{first:?}") };
    assert_eq!((listener.port, first.context, &*first.path), (Some(80), PatchContext::Gateway, "spec.filters[0]"));
    assert_eq!(listener.filter_chain.as_ref().unwrap().sub_filter.as_deref(), Some("envoy.filters.http.router"));
    assert!(matches!(&first.operation, PatchOperation::InsertBefore(value) if value["config"]["inlineCode"] == ""), "{first:?}");
    assert!(matches!(&last.operation, PatchOperation::Add(..)), "{last:?}");
    let told: Vec<_> = parsed.warnings.iter().map(|it| (it.path.as_str(), it.code)).collect();
    assert_eq!(told, [("spec.filters", Code::Deprecated), ("spec.filters[2].listenerMatch.address", Code::NotHonoured)]);
}

#[test]
fn a_hostile_object_costs_little_and_says_little() {
    let many = |count: usize, one: &dyn Fn(usize) -> Value| Value::Array((0..count).map(one).collect());
    let filter = |name: &str| json!({"listener": {"filterChain": {"filter": {"name": name, "subFilter": {}}}}});
    let mut deep = json!({"@type": 1});
    for _ in 0..100 {
        deep = json!([deep]);
    }
    let cases = [
        many(30_000, &|n| json!({"applyTo": "LISTENER", "match": filter(&n.to_string()), "patch": {"operation": "ADD"}})),
        many(
            30_000,
            &|_| json!({"applyTo": "CLUSTER", "match": {"proxy": {"proxyVersion": r"(\pL{500}){2}"}}, "patch": {"operation": "REMOVE"}}),
        ),
        json!([{"applyTo": "CLUSTER", "patch": {"operation": "ADD", "value": {"name": "x".repeat(3_000_000)}}}]),
        json!([{"applyTo": "CLUSTER", "patch": {"operation": "ADD", "value": {"a": many(20_000, &|_| json!({"@type": 1}))}}}]),
        json!([{"applyTo": "CLUSTER", "patch": {"operation": "ADD", "value": {"a": deep}}}]),
    ];
    for (index, patches) in cases.into_iter().enumerate() {
        let start = Instant::now();
        let verdict = read(json!({"configPatches": patches}));
        let took = start.elapsed();
        // Generous, because the machine may be busy; a quadratic cost would be minutes.
        assert!(took < Duration::from_secs(5), "{index}: {took:?}");
        let told = verdict.unwrap_err().to_string();
        assert!(told.len() < 20_000, "{index}: {}", told.len());
    }
}
