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
    cluster::{ingress_gateway, pod, service},
    scene::Scene,
};
use crate::testing::{
    block_on,
    bootstrap::Static,
    envoy::{RunningEnvoy, start},
    free_port,
    http::{Answer, Echo, get},
};

const MANAGER: &str = "envoy.filters.network.http_connection_manager";
const ROUTER: &str = "envoy.filters.http.router";
const OUTBOUND: &str = "0.0.0.0_9080";

/// An EnvoyFilter, patches as a YAML list.
fn envoy_filter(namespace: &str, name: &str, spec: &str, patches: &[String]) -> String {
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
fn script(name: &str, text: &str) -> String {
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
fn http(context: &str, operation: &str, anchor: &str, value: &str) -> String {
    let sub = if anchor.is_empty() { String::new() } else { format!(", subFilter: {{name: {anchor}}}") };
    let chain = format!("filterChain: {{filter: {{name: {MANAGER}{sub}}}}}");
    let value = if value.is_empty() { String::new() } else { format!(", value: {value}") };
    format!("{{applyTo: HTTP_FILTER, match: {{context: {context}, listener: {{{chain}}}}}, patch: {{operation: {operation}{value}}}}}")
}

fn outbound(operation: &str, anchor: &str, value: &str) -> String {
    http("SIDECAR_OUTBOUND", operation, anchor, value)
}

/// The Envoy of a client of `reviews`, which these Echos serve, with these objects beside; and the port where its calls arrive.
async fn client(backends: &[(&str, u16)], objects: &str) -> (RunningEnvoy, u16) {
    scene(backends, objects).envoy("shop/client", OUTBOUND).await
}

fn scene(backends: &[(&str, u16)], objects: &str) -> Scene {
    Scene::of(&[&service("shop", "reviews", "http:9080", backends), &pod("shop", "client", "app: client"), objects].concat())
}

async fn asked(port: u16, path: &str) -> Answer {
    get(port, path, &[("host", "reviews:9080")]).await
}

/// What the upstream was told in a header.
fn told(answer: &Answer, header: &str) -> String {
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

#[test]
fn clusters_are_merged_into_removed_and_added_and_routes_lead_to_them() {
    block_on(async {
        let (v1, other) = (Echo::start("v1").await, Echo::start("other").await);
        let cluster = |found: &str, rest: &str| {
            format!("{{applyTo: CLUSTER, match: {{context: SIDECAR_OUTBOUND, cluster: {found}}}, patch: {{{rest}}}}}")
        };
        let full = "operation: MERGE_AND_REPLACE_LIST, value: {circuit_breakers: {thresholds: [{max_requests: 0}]}}";
        let added = format!(
            "operation: ADD, value: {{name: other, connect_timeout: 1s, type: STATIC, load_assignment: {{cluster_name: other, endpoints: \
             [{{lb_endpoints: [{{endpoint: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {}}}}}}}}}]}}]}}}}",
            other.port
        );
        let route = "{applyTo: HTTP_ROUTE, match: {context: SIDECAR_OUTBOUND, routeConfiguration: {portNumber: 9080, vhost: \
                     {name: 'reviews.shop.svc.cluster.local:9080'}}}, patch: {operation: INSERT_FIRST, value: {name: other, \
                     match: {prefix: /other}, route: {cluster: other}}}}";
        let patches = [
            cluster("{service: reviews.shop.svc.cluster.local, portNumber: 9080}", full),
            cluster("{service: other.shop.svc.cluster.local}", "operation: REMOVE"),
            format!("{{applyTo: CLUSTER, patch: {{{added}}}}}"),
            route.to_owned(),
        ];
        let objects = envoy_filter("shop", "change", "", &patches);
        let (envoy, port) = client(&[("v1", v1.port)], &objects).await;
        let answer = asked(port, "/").await;
        assert_eq!((answer.status, answer.headers.get("x-envoy-overloaded").map(String::as_str)), (503, Some("true")), "{answer:?}");
        let answer = asked(port, "/other").await;
        assert!(answer.status == 200 && answer.body.contains("\"other\""), "{answer:?}\n{}", envoy.log());

        let removed = cluster("{name: outbound|9080||reviews.shop.svc.cluster.local}", "operation: REMOVE");
        let (_envoy, port) = client(&[("v1", v1.port)], &envoy_filter("shop", "change", "", &[removed])).await;
        assert_eq!(asked(port, "/").await.status, 503);
    });
}

#[test]
fn route_tables_virtual_hosts_and_routes_are_merged_into_and_added() {
    block_on(async {
        let echo = Echo::start("v1").await;
        let saying = |what: &str| format!("response_headers_to_add: [{{header: {{key: x-{what}, value: 'yes'}}}}]");
        let patch = |apply_to: &str, found: &str, operation: &str, value: &str| {
            format!(
                "{{applyTo: {apply_to}, match: {{context: SIDECAR_OUTBOUND, routeConfiguration: {{{found}}}}}, \
                 patch: {{operation: {operation}, value: {{{value}}}}}}}"
            )
        };
        let host = "vhost: {name: 'reviews.shop.svc.cluster.local:9080'";
        let answering = "name: extra, domains: [extra.example], routes: [{match: {prefix: /}, direct_response: {status: 418}}]";
        let patches = [
            patch("ROUTE_CONFIGURATION", "name: '9080'", "MERGE", &saying("table")),
            patch("ROUTE_CONFIGURATION", "portNumber: 9081", "MERGE", &saying("lost")),
            patch("VIRTUAL_HOST", &format!("{host}}}"), "MERGE", &saying("host")),
            patch("VIRTUAL_HOST", "vhost: {name: other}", "MERGE", &saying("lost")),
            patch("VIRTUAL_HOST", "name: '9080'", "ADD", answering),
            patch("HTTP_ROUTE", &format!("{host}, route: {{action: ROUTE}}}}"), "MERGE", &saying("route")),
            patch("HTTP_ROUTE", &format!("{host}, route: {{action: REDIRECT}}}}"), "MERGE", &saying("lost")),
            patch(
                "HTTP_ROUTE",
                &format!("{host}, route: {{name: none}}}}"),
                "INSERT_BEFORE",
                "match: {prefix: /}, direct_response: {status: 500}",
            ),
        ];
        let (_envoy, port) = client(&[("v1", echo.port)], &envoy_filter("shop", "change", "", &patches)).await;
        let answer = asked(port, "/").await;
        let has = |name: &str| answer.headers.contains_key(name);
        assert!(answer.status == 200 && has("x-table") && has("x-host") && has("x-route") && !has("x-lost"), "{answer:?}");
        assert_eq!(get(port, "/", &[("host", "extra.example")]).await.status, 418);
    });
}

#[test]
fn a_patch_that_can_not_be_applied_is_left_out_alone_and_named() {
    block_on(async {
        let echo = Echo::start("v1").await;
        let unknown = "{name: bad, typed_config: {'@type': type.googleapis.com/envoy.extensions.filters.http.no.v3.Such}}";
        let misspelt = "{name: bad, typed_config: {'@type': type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua, inlineCod: x}}";
        let patches = [
            outbound("INSERT_FIRST", "", unknown),
            outbound("INSERT_FIRST", "", &script("one", "1")),
            outbound("INSERT_FIRST", "", misspelt),
        ];
        let scene = scene(&[("v1", echo.port)], &envoy_filter("shop", "mixed", "", &patches));
        let compiled = scene.compiled("shop/client");
        let faults: Vec<String> = compiled.faults().iter().map(|it| format!("{} {}: {}", it.object, it.path, it.message)).collect();
        assert_eq!(faults.len(), 2, "{faults:#?}");
        assert!(
            faults[0].contains("shop") && faults[0].contains("spec.configPatches[0]") && faults[0].contains("no.v3.Such"),
            "{faults:#?}"
        );
        assert!(faults[1].contains("spec.configPatches[2]") && faults[1].contains("inlineCod"), "{faults:#?}");
        let (_envoy, port) = scene.envoy("shop/client", OUTBOUND).await;
        assert_eq!(told(&asked(port, "/").await, "x-order"), "1");
    });
}

#[test]
fn proxies_are_told_apart_by_version_and_metadata() {
    block_on(async {
        let echo = Echo::start("v1").await;
        let of = |proxy: &str, text: &str| {
            let patch = outbound("INSERT_BEFORE", ROUTER, &script("any", text));
            patch.replacen("match: {", &format!("match: {{proxy: {{{proxy}}}, "), 1)
        };
        let patches = [
            of(r"proxyVersion: '^1\.3\d.*'", "1"),
            of(r"proxyVersion: '^1\.4.*'", "x"),
            of("metadata: {ISTIO_VERSION: 1.31.0}", "2"),
            of("metadata: {CLUSTER_ID: elsewhere}", "x"),
        ];
        // Of an object that knows no version of today, what is for the oldest holds.
        let old = [of(r"proxyVersion: '^1\.4.*'", "3"), of(r"proxyVersion: '^1\.2\..*'", "x")];
        let objects = [envoy_filter("shop", "some", "", &patches), envoy_filter("shop", "some-old", "", &old)];
        let (_envoy, port) = client(&[("v1", echo.port)], &objects.concat()).await;
        assert_eq!(told(&asked(port, "/").await, "x-order"), "123");
    });
}

#[test]
fn documents_of_1_4_still_work() {
    block_on(async {
        let echo = Echo::start("v1").await;
        let code =
            |text: &str| format!("{{inlineCode: \"function envoy_on_request(handle) handle:headers():add('x-{text}', 'yes') end\"}}");
        let oldest = format!(
            "
---
apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: {{name: oldest, namespace: shop}}
spec:
  workloadLabels: {{app: client}}
  filters:
  - listenerMatch: {{portNumber: 9080, listenerType: SIDECAR_OUTBOUND, listenerProtocol: HTTP}}
    filterName: envoy.lua
    filterType: HTTP
    filterConfig: {}
    insertPosition: {{index: BEFORE, relativeTo: envoy.router}}
",
            code("oldest")
        );
        let patch = format!(
            "{{applyTo: HTTP_FILTER, match: {{context: SIDECAR_OUTBOUND, listener: {{filterChain: {{filter: \
             {{name: envoy.http_connection_manager, subFilter: {{name: envoy.router}}}}}}}}}}, patch: {{operation: INSERT_BEFORE, \
             value: {{name: envoy.lua, config: {}}}}}}}",
            code("old")
        );
        let objects = [oldest, envoy_filter("shop", "old", "", &[patch])].concat();
        let (_envoy, port) = client(&[("v1", echo.port)], &objects).await;
        let answer = asked(port, "/").await;
        assert_eq!((told(&answer, "x-oldest").as_str(), told(&answer, "x-old").as_str()), ("yes", "yes"));
    });
}

#[test]
fn what_comes_to_a_workload_is_changed_by_its_port() {
    block_on(async {
        let echo = Echo::start("app").await;
        let inbound = free_port();
        let on_port = |port: u16, text: &str| {
            http("SIDECAR_INBOUND", "INSERT_BEFORE", ROUTER, &script("any", text)).replacen(
                "listener: {",
                &format!("listener: {{portNumber: {port}, "),
                1,
            )
        };
        let table = format!(
            "{{applyTo: ROUTE_CONFIGURATION, match: {{context: SIDECAR_INBOUND, routeConfiguration: {{portNumber: {inbound}}}}}, \
             patch: {{operation: MERGE, value: {{response_headers_to_add: [{{header: {{key: x-table, value: 'yes'}}}}]}}}}}}"
        );
        let patches = [on_port(inbound, "1"), on_port(inbound - 1, "x"), table];
        let objects =
            [service("shop", "app", &format!("http:{inbound}"), &[("v1", inbound)]), envoy_filter("shop", "change", "", &patches)].concat();
        let compiled = Scene::of(&objects).compiled("shop/app-v1");
        let envoy = Static::of(&compiled).listening("virtualInbound", inbound).leading(&format!("inbound|{inbound}||"), echo.port);
        let _envoy = start(envoy.bootstrap()).await;
        let answer = get(inbound, "/", &[("host", "app")]).await;
        assert_eq!((answer.status, told(&answer, "x-order").as_str()), (200, "1"));
        assert_eq!(answer.headers["x-table"], "yes");
    });
}

#[test]
fn gateways_are_changed_by_the_port_of_their_server() {
    block_on(async {
        let echo = Echo::start("v1").await;
        let door = "
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: door, namespace: shop}
spec:
  selector: {istio: ingressgateway}
  servers: [{port: {number: 8080, name: http, protocol: HTTP}, hosts: ['*']}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: door, namespace: shop}
spec:
  hosts: ['*']
  gateways: [door]
  http: [{route: [{destination: {host: reviews}}]}]
";
        let on = |port: u16, text: &str| {
            format!(
                "{{applyTo: VIRTUAL_HOST, match: {{context: GATEWAY, routeConfiguration: {{portNumber: {port}}}}}, patch: {{operation: MERGE, \
                 value: {{response_headers_to_add: [{{header: {{key: x-{text}, value: 'yes'}}}}]}}}}}}"
            )
        };
        let patches = [on(8080, "door"), on(80, "lost"), http("GATEWAY", "INSERT_BEFORE", ROUTER, &script("any", "1"))];
        let objects = [
            service("shop", "reviews", "http:9080", &[("v1", echo.port)]),
            ingress_gateway(),
            door.to_owned(),
            envoy_filter("istio-system", "change", "workloadSelector: {labels: {istio: ingressgateway}}", &patches),
        ];
        let (_envoy, port) = Scene::of(&objects.concat()).envoy("istio-system/gateway", "0.0.0.0_8080").await;
        let answer = get(port, "/", &[]).await;
        assert_eq!((answer.status, told(&answer, "x-order").as_str()), (200, "1"));
        assert!(answer.headers.contains_key("x-door") && !answer.headers.contains_key("x-lost"), "{answer:?}");
    });
}
