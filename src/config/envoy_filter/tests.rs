//! What is read out of EnvoyFilters; what is refused is in the corpora.

use serde_json::{Value, json};

use super::envoy_filter;
use crate::config::{Code, Invalid, ParseContext, Parsed};
use crate::model::{EnvoyFilter, FilterClass, ObjectMatch, PatchOperation};

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
