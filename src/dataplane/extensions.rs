//! WasmPlugin and TrafficExtension: users' code among the filters.

use std::fs;

use serde_json::Value;
use sha2::{Digest, Sha256};
use tempfile::NamedTempFile;

use super::{
    cluster::{pod, service},
    scene::Scene,
};
use crate::testing::{
    block_on,
    envoy::RunningEnvoy,
    eventually_seen,
    http::{Answer, Echo, Files, get, try_get},
};

const OUTBOUND: &str = "0.0.0.0_9080";

/// A module that adds its configuration to requests, in the header `x-plugin`.
const MODULE: &str = r#"
(module
  (import "env" "proxy_add_header_map_value" (func $add (param i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_get_buffer_bytes" (func $buffer (param i32 i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 2)
  (data (i32.const 16) "x-plugin")
  (global $heap (mut i32) (i32.const 4096))
  (func (export "proxy_abi_version_0_2_1"))
  (func (export "proxy_on_memory_allocate") (param $size i32) (result i32)
    global.get $heap
    global.get $heap
    local.get $size
    i32.add
    global.set $heap)
  (func (export "proxy_on_context_create") (param i32 i32))
  (func (export "proxy_on_vm_start") (param i32 i32) (result i32) i32.const 1)
  ;; Where the configuration is, and how long it is, is kept at 0 and 4.
  (func (export "proxy_on_configure") (param i32 i32) (result i32)
    (drop (call $buffer (i32.const 7) (i32.const 0) (local.get 1) (i32.const 0) (i32.const 4)))
    i32.const 1)
  (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
    (drop (call $add (i32.const 0) (i32.const 16) (i32.const 8) (i32.load (i32.const 0)) (i32.load (i32.const 4))))
    i32.const 0))
"#;

fn extension(kind: &str, namespace: &str, name: &str, spec: &str) -> String {
    format!(
        "
---
apiVersion: extensions.istio.io/v1alpha1
kind: {kind}
metadata: {{name: {name}, namespace: {namespace}}}
spec: {{{spec}}}
"
    )
}

/// A script that appends a text to the request's header `x-order`.
fn lua(namespace: &str, text: &str, rest: &str) -> String {
    let code = format!(
        "function envoy_on_request(handle) local before = handle:headers():get('x-order') or ''; \
         handle:headers():replace('x-order', before .. '{text}') end"
    );
    extension("TrafficExtension", namespace, &format!("lua-{text}"), &format!("{rest}lua: {{inlineCode: \"{code}\"}}"))
}

fn scene(backend: u16, objects: &str) -> Scene {
    Scene::of(&[&service("shop", "reviews", "http:9080", &[("v1", backend)]), &pod("shop", "client", "app: client"), objects].concat())
}

/// The Envoy of a client of `reviews`, with these objects beside; and the port where its calls arrive.
async fn client(backend: u16, objects: &str) -> (RunningEnvoy, u16) {
    scene(backend, objects).envoy("shop/client", OUTBOUND).await
}

async fn asked(port: u16) -> Answer {
    get(port, "/", &[("host", "reviews:9080")]).await
}

/// What the upstream was told in a header.
fn told(answer: &Answer, header: &str) -> String {
    let body: Value = serde_json::from_str(&answer.body).unwrap_or_else(|_| panic!("no answer of the upstream: {answer:?}"));
    body["headers"][header].as_str().unwrap_or_default().to_owned()
}

#[test]
fn phases_come_in_their_order_and_the_greatest_priority_first() {
    block_on(async {
        let echo = Echo::start("v1").await;
        let objects = [
            lua("shop", "7", ""),
            lua("shop", "6", "priority: 5, "),
            lua("istio-system", "5", "priority: 5, "),
            lua("shop", "4", "phase: STATS, "),
            lua("shop", "3", "phase: AUTHZ, "),
            lua("shop", "2", "phase: AUTHN, priority: 1, "),
            lua("shop", "1", "phase: AUTHN, priority: 2, "),
            lua("elsewhere", "x", ""),
            lua("shop", "y", "selector: {matchLabels: {app: other}}, "),
        ];
        let (_envoy, port) = client(echo.port, &objects.concat()).await;
        assert_eq!(told(&asked(port).await, "x-order"), "1234567");
    });
}

#[test]
fn code_sees_the_traffic_that_its_match_names() {
    block_on(async {
        let echo = Echo::start("v1").await;
        let objects = [
            lua("shop", "1", "match: [{mode: CLIENT}], selector: {matchLabels: {app: client}}, priority: 3, "),
            lua("shop", "2", "match: [{mode: SERVER}, {mode: CLIENT_AND_SERVER, ports: [{number: 9080}]}], priority: 2, "),
            lua("shop", "x", "match: [{mode: SERVER}], "),
            lua("shop", "y", "match: [{ports: [{number: 9081}]}], "),
        ];
        let (_envoy, port) = client(echo.port, &objects.concat()).await;
        assert_eq!(told(&asked(port).await, "x-order"), "12");
    });
}

#[test]
fn a_module_is_read_from_a_file_and_gets_its_configuration() {
    block_on(async {
        let echo = Echo::start("v1").await;
        let file = NamedTempFile::new().unwrap();
        fs::write(file.path(), wat::parse_str(MODULE).unwrap()).unwrap();
        let spec =
            format!("url: 'file://{}', pluginConfig: {{who: me}}, vmConfig: {{env: [{{name: A, value: b}}]}}", file.path().display());
        for kind in ["WasmPlugin", "TrafficExtension"] {
            let spec = if kind == "WasmPlugin" { spec.clone() } else { format!("wasm: {{{spec}}}") };
            let (envoy, port) = client(echo.port, &extension(kind, "shop", "plugin", &spec)).await;
            let answer = asked(port).await;
            assert_eq!(answer.status, 200, "{answer:?}\n{}", envoy.log());
            assert_eq!(told(&answer, "x-plugin"), r#"{"who":"me"}"#);
        }
    });
}

#[test]
fn a_module_is_fetched_by_http() {
    block_on(async {
        let echo = Echo::start("v1").await;
        let module = wat::parse_str(MODULE).unwrap();
        let sum: String = Sha256::digest(&module).iter().map(|byte| format!("{byte:02x}")).collect();
        let files = Files::start(module).await;
        let spec = format!("url: 'http://localhost:{}/plugin.wasm', sha256: {sum}, pluginConfig: {{a: 1}}", files.port);
        let (envoy, port) = client(echo.port, &extension("WasmPlugin", "shop", "plugin", &spec)).await;
        eventually_seen("the module runs", async || {
            let answer = asked(port).await;
            answer.status == 200 && told(&answer, "x-plugin") == r#"{"a":1}"#
        })
        .await;
        drop(envoy);
    });
}

#[test]
fn without_its_module_traffic_is_refused_or_passes_as_told() {
    block_on(async {
        let echo = Echo::start("v1").await;
        let plugin = |rest: &str| extension("WasmPlugin", "shop", "plugin", &format!("url: oci://registry.example.com/a:v1{rest}"));
        let closed = scene(echo.port, &plugin(""));
        let compiled = closed.compiled("shop/client");
        let fault = compiled.faults().into_iter().next().cloned().unwrap();
        assert_eq!((fault.object.kind, &*fault.path), ("WasmPlugin", "spec.url"), "{fault:?}");
        let (_envoy, port) = closed.envoy("shop/client", OUTBOUND).await;
        assert_eq!(asked(port).await.status, 403);
        let (_envoy, port) = client(echo.port, &plugin(", failStrategy: FAIL_OPEN")).await;
        assert_eq!(asked(port).await.status, 200);
    });
}

#[test]
fn a_module_of_connections_is_refused_on_connections() {
    block_on(async {
        let echo = Echo::start("v1").await;
        let spec = "url: oci://registry.example.com/a:v1, type: NETWORK";
        let (envoy, port) = client(echo.port, &extension("WasmPlugin", "shop", "plugin", spec)).await;
        assert!(try_get(port, "/", &[("host", "reviews:9080")]).await.is_err(), "{}", envoy.log());
    });
}
