use serde_json::{Value, json};

use super::{traffic_extension, wasm_plugin};
use crate::config::ParseContext;
use crate::model::{ExtensionCode, ExtensionPhase, PullPolicy, TrafficDirection, WasmLocation, WasmModule};

fn module(spec: Value) -> WasmModule {
    let object = json!({"apiVersion": "extensions.istio.io/v1alpha1", "kind": "WasmPlugin", "metadata": {"name": "a"}, "spec": spec});
    wasm_plugin(&serde_json::from_value(object).unwrap(), &ParseContext::default()).unwrap().value.module
}

#[test]
fn modules_are_images_files_or_fetched() {
    let location = |url: &str| module(json!({"url": url})).location;
    assert_eq!(location("oci://registry.local:5000/a:v1"), WasmLocation::Image("registry.local:5000/a:v1".into()));
    assert_eq!(location("registry.local/a"), WasmLocation::Image("registry.local/a".into()));
    assert_eq!(location("HTTPS://a.example.com/b"), WasmLocation::Remote("HTTPS://a.example.com/b".into()));
    assert_eq!(location("file:///opt/a.wasm"), WasmLocation::File("/opt/a.wasm".into()));
}

#[test]
fn the_latest_image_is_always_pulled_unless_told_otherwise() {
    assert_eq!(module(json!({"url": "oci://a.local/b:latest"})).pull, PullPolicy::Always);
    assert_eq!(module(json!({"url": "oci://a.local/b:latest", "imagePullPolicy": "IfNotPresent"})).pull, PullPolicy::IfNotPresent);
    assert_eq!(module(json!({"url": "oci://a.local/b:v1"})).pull, PullPolicy::IfNotPresent);
}

#[test]
fn variables_are_given_or_the_hosts() {
    let env = json!([{"name": "A", "value": "1"}, {"name": "B", "valueFrom": "HOST"}, {"name": "C"}]);
    let found = module(json!({"url": "a.local/b", "vmConfig": {"env": env}})).environment;
    let found: Vec<_> = found.iter().map(|(name, value)| (&**name, value.as_deref())).collect();
    assert_eq!(found, [("A", Some("1")), ("B", None), ("C", Some(""))]);
}

#[test]
fn an_extension_is_placed() {
    let spec =
        json!({"phase": "AUTHZ", "priority": 7, "match": [{"mode": "SERVER", "ports": [{"number": 80}]}], "lua": {"inlineCode": "x"}});
    let object = json!({"apiVersion": "extensions.istio.io/v1alpha1", "kind": "TrafficExtension", "metadata": {"name": "a"}, "spec": spec});
    let extension = traffic_extension(&serde_json::from_value(object).unwrap(), &ParseContext::default()).unwrap().value;
    assert_eq!((extension.placement.phase, extension.placement.priority), (ExtensionPhase::Authorization, 7));
    assert_eq!(
        (extension.placement.traffic[0].direction, &extension.placement.traffic[0].ports[..]),
        (TrafficDirection::Inbound, &[80][..])
    );
    assert_eq!(extension.code, ExtensionCode::Lua("x".into()));
}
