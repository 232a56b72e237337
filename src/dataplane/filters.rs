//! EnvoyFilter: what users change in Envoy's own configuration.

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, TcpStream},
    time::Duration,
};

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};

use super::{
    cluster::{pod, service},
    scene::Scene,
};
use crate::testing::{
    block_on,
    envoy::RunningEnvoy,
    http::{Answer, Echo, get},
};

const MANAGER: &str = "envoy.filters.network.http_connection_manager";
pub(super) const ROUTER: &str = "envoy.filters.http.router";
pub(super) const OUTBOUND: &str = "0.0.0.0_9080";

/// An EnvoyFilter, patches as a YAML list.
pub(super) fn envoy_filter(namespace: &str, name: &str, spec: &str, patches: &[String]) -> String {
    let patches: String = patches.iter().map(|patch| format!("\n  - {patch}")).collect();
    format!(
        "
---
apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: {{name: {name}, namespace: {namespace}}}
spec:
  {spec}
  configPatches:{patches}
"
    )
}

/// A script that appends a text to the request's header `x-order`, as a filter.
pub(super) fn script(name: &str, text: &str) -> String {
    let code = format!(
        "function envoy_on_request(handle) local before = handle:headers():get('x-order') or ''; \
         handle:headers():replace('x-order', before .. '{text}') end"
    );
    format!(
        "{{name: {name}, typed_config: {{'@type': type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua, \
         default_source_code: {{inline_string: \"{code}\"}}}}}}"
    )
}

/// A patch of HTTP filters; an empty anchor names none.
pub(super) fn http(context: &str, operation: &str, anchor: &str, value: &str) -> String {
    let sub = if anchor.is_empty() { String::new() } else { format!(", subFilter: {{name: {anchor}}}") };
    let chain = format!("filterChain: {{filter: {{name: {MANAGER}{sub}}}}}");
    let value = if value.is_empty() { String::new() } else { format!(", value: {value}") };
    format!("{{applyTo: HTTP_FILTER, match: {{context: {context}, listener: {{{chain}}}}}, patch: {{operation: {operation}{value}}}}}")
}

pub(super) fn outbound(operation: &str, anchor: &str, value: &str) -> String {
    http("SIDECAR_OUTBOUND", operation, anchor, value)
}

/// The Envoy of a client of `reviews`, which these Echos serve, with these objects beside; and the port where its calls arrive.
pub(super) async fn client(backends: &[(&str, u16)], objects: &str) -> (RunningEnvoy, u16) {
    scene(backends, objects).envoy("shop/client", OUTBOUND).await
}

pub(super) fn scene(backends: &[(&str, u16)], objects: &str) -> Scene {
    Scene::of(&[&service("shop", "reviews", "http:9080", backends), &pod("shop", "client", "app: client"), objects].concat())
}

pub(super) async fn asked(port: u16, path: &str) -> Answer {
    get(port, path, &[("host", "reviews:9080")]).await
}

/// What the upstream was told in a header.
pub(super) fn told(answer: &Answer, header: &str) -> String {
    let body: Value = serde_json::from_str(&answer.body).unwrap_or_else(|_| panic!("no answer of the upstream: {answer:?}"));
    body["headers"][header].as_str().unwrap_or_default().to_owned()
}

#[test]
fn http_filters_stand_where_they_are_put() {
    block_on(async {
        let echo = Echo::start("v1").await;
        let patches = [
            outbound("INSERT_FIRST", "", &script("one", "1")),
            outbound("INSERT_AFTER", "one", &script("two", "2")),
            outbound("INSERT_BEFORE", ROUTER, &script("four", "4")),
            outbound("INSERT_BEFORE", "four", &script("three", "3")),
            outbound("ADD", "", &script("five", "5")),
            // For others, or by the side of what is not there.
            outbound("INSERT_BEFORE", "nothing", &script("lost", "x")),
            http("SIDECAR_INBOUND", "INSERT_FIRST", "", &script("lost", "x")),
            http("GATEWAY", "INSERT_FIRST", "", &script("lost", "x")),
        ];
        let (_envoy, port) = client(&[("v1", echo.port)], &envoy_filter("shop", "order", "", &patches)).await;
        assert_eq!(told(&asked(port, "/").await, "x-order"), "12345");
    });
}

#[test]
fn lower_priorities_come_first_then_the_root_namespace_then_the_older() {
    block_on(async {
        let echo = Echo::start("v1").await;
        let appending = |text: &str| vec![outbound("INSERT_BEFORE", ROUTER, &script("any", text))];
        let objects = [
            envoy_filter("shop", "a", "priority: 10", &appending("4")),
            envoy_filter("shop", "b", "", &appending("3")),
            envoy_filter("istio-system", "z", "", &appending("2")),
            envoy_filter("shop", "c", "priority: -1", &appending("1")),
            envoy_filter("elsewhere", "d", "", &appending("x")),
            envoy_filter("shop", "e", "workloadSelector: {labels: {app: other}}", &appending("x")),
            envoy_filter("shop", "f", "priority: 20\n  workloadSelector: {labels: {app: client}}", &appending("5")),
        ];
        let (_envoy, port) = client(&[("v1", echo.port)], &objects.concat()).await;
        assert_eq!(told(&asked(port, "/").await, "x-order"), "12345");
    });
}

#[test]
fn a_filter_gets_the_configuration_that_is_added_under_its_name() {
    block_on(async {
        let echo = Echo::start("v1").await;
        let waiting = "{name: ours, config_discovery: {config_source: {ads: {}, initial_fetch_timeout: 0s, resource_api_version: V3}, \
                       type_urls: [type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua]}}";
        let added =
            |name: &str, text: &str| format!("{{applyTo: EXTENSION_CONFIG, patch: {{operation: ADD, value: {}}}}}", script(name, text));
        let patches = [outbound("INSERT_FIRST", "", waiting), added("other", "x"), added("ours", "1")];
        let (_envoy, port) = client(&[("v1", echo.port)], &envoy_filter("shop", "change", "", &patches)).await;
        assert_eq!(told(&asked(port, "/").await, "x-order"), "1");
    });
}

#[test]
fn filters_are_replaced_removed_and_merged_into() {
    block_on(async {
        let echo = Echo::start("v1").await;
        let abort = "{typed_config: {'@type': type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault, \
                     abort: {http_status: 418, percentage: {numerator: 100}}, headers: [{name: x-fail, present_match: true}]}}";
        let patches = [
            outbound("INSERT_FIRST", "", &script("one", "1")),
            outbound("INSERT_FIRST", "", &script("two", "2")),
            outbound("REPLACE", "one", &script("three", "3")),
            outbound("REMOVE", "two", ""),
            outbound("MERGE", "envoy.filters.http.fault", abort),
        ];
        let (_envoy, port) = client(&[("v1", echo.port)], &envoy_filter("shop", "change", "", &patches)).await;
        assert_eq!(told(&asked(port, "/").await, "x-order"), "3");
        assert_eq!(get(port, "/", &[("host", "reviews:9080"), ("x-fail", "yes")]).await.status, 418);
    });
}

#[test]
fn the_connection_manager_and_its_chain_are_merged_into() {
    block_on(async {
        let echo = Echo::start("v1").await;
        let merged = |place: &str, via: &str| {
            format!(
                "{{applyTo: NETWORK_FILTER, match: {{context: SIDECAR_OUTBOUND, listener: {{{place}, filterChain: {{filter: {{name: {MANAGER}}}}}}}}}, \
                 patch: {{operation: MERGE, value: {{name: {MANAGER}, typed_config: {{'@type': type.googleapis.com/\
                 envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager, via: {via}}}}}}}}}"
            )
        };
        let patches = [merged("portNumber: 9080", "ours"), merged("portNumber: 9081", "lost"), merged("name: other", "lost")];
        let (_envoy, port) = client(&[("v1", echo.port)], &envoy_filter("shop", "change", "", &patches)).await;
        let answer = asked(port, "/").await;
        assert_eq!((answer.status, told(&answer, "via").as_str()), (200, "ours"));
        assert_eq!(answer.headers["via"], "ours");
    });
}

#[test]
fn a_chain_can_be_made_of_other_network_filters() {
    block_on(async {
        let patch = |operation: &str, rest: &str| {
            format!(
                "{{applyTo: NETWORK_FILTER, match: {{context: SIDECAR_OUTBOUND, listener: {{portNumber: 9080, filterChain: {{filter: {{name: {MANAGER}}}}}}}}}, \
                 patch: {{operation: {operation}{rest}}}}}"
            )
        };
        let bye = ", value: {name: bye, typed_config: {'@type': type.googleapis.com/\
                   envoy.extensions.filters.network.direct_response.v3.Config, response: {inline_string: bye}}}";
        let only = "{applyTo: FILTER_CHAIN, match: {context: SIDECAR_OUTBOUND, listener: {portNumber: 9080, filterChain: \
                    {name: PassthroughFilterChain}}}, patch: {operation: REMOVE}}";
        let patches = [patch("REPLACE", bye), only.to_owned()];
        let (envoy, port) = client(&[], &envoy_filter("shop", "change", "", &patches)).await;
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nhost: reviews\r\n\r\n").unwrap();
        let mut answer = [0; 3];
        stream.read_exact(&mut answer).unwrap_or_else(|error| panic!("{error}\n{}", envoy.log()));
        assert_eq!(&answer, b"bye");
    });
}

#[test]
fn listener_filters_are_added() {
    block_on(async {
        let echo = Echo::start("v1").await;
        let patch = "{applyTo: LISTENER_FILTER, match: {context: SIDECAR_OUTBOUND, listener: {portNumber: 9080}}, patch: {operation: INSERT_FIRST, \
                     value: {name: proxy_protocol, typed_config: {'@type': type.googleapis.com/\
                     envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol}}}}";
        let (envoy, port) = client(&[("v1", echo.port)], &envoy_filter("shop", "change", "", &[patch.to_owned()])).await;
        // The upstream runs on this thread, too, so nothing here may block it.
        let mut stream = tokio::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.unwrap();
        stream.write_all(b"PROXY TCP4 192.0.2.7 192.0.2.8 1 2\r\n").await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nhost: reviews:9080\r\nconnection: close\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        let read = timeout(Duration::from_secs(10), stream.read_to_string(&mut answer)).await;
        read.unwrap_or_else(|_| panic!("no end of the answer\n{}", envoy.log())).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    });
}
