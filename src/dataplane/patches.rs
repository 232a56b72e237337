//! EnvoyFilter: clusters and routes, whose proxies are changed, and what is left out.

use super::{
    cluster::{door, ingress_gateway, service, virtual_service},
    filters::{OUTBOUND, ROUTER, asked, client, envoy_filter, http, outbound, scene, script, told},
    scene::Scene,
};
use crate::testing::{
    block_on,
    bootstrap::Static,
    envoy::start,
    free_port,
    http::{Echo, get},
};

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
            door("'*'"),
            virtual_service("door", "'*'", "  gateways: [door]\n  http: [{route: [{destination: {host: reviews}}]}]"),
            envoy_filter("istio-system", "change", "workloadSelector: {labels: {istio: ingressgateway}}", &patches),
        ];
        let (_envoy, port) = Scene::of(&objects.concat()).envoy("istio-system/gateway", "0.0.0.0_8080").await;
        let answer = get(port, "/", &[]).await;
        assert_eq!((answer.status, told(&answer, "x-order").as_str()), (200, "1"));
        assert!(answer.headers.contains_key("x-door") && !answer.headers.contains_key("x-lost"), "{answer:?}");
    });
}
