//! EnvoyFilters: which resources they reach, and what they cost.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{cluster, compiled, names, proxy};
use crate::compile::{Compiled, Compiler, ResourceType};
use crate::model::{
    Bind, Change, Changes, ClusterMatch, ConfigObject, FilterChainMatch, FilterClass, GatewayServer, HostPattern, ListenerMatch,
    NamespaceSelector, ObjectMatch, ObjectRef, PatchContext, PatchOperation, PatchedObject, Protocol, RouteConfigurationMatch,
    ServerCertificate, ServerTls, ServerTlsMode,
};
use crate::testing::{
    bootstrap::as_json,
    mesh::{TestMesh, bookinfo, envoy_filter, patch},
};

const REVIEWS: &str = "outbound|9080||reviews.shop.svc.cluster.local";
const LUA: &str = "type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua";

fn merge(value: Value) -> PatchOperation {
    PatchOperation::Merge(Arc::new(value))
}

fn add(value: Value) -> PatchOperation {
    PatchOperation::Add(Arc::new(value), FilterClass::Unspecified)
}

/// The sample with an EnvoyFilter of one patch.
fn patched(namespace: &str, apply_to: PatchedObject, context: PatchContext, operation: PatchOperation) -> TestMesh {
    let mut mesh = bookinfo();
    mesh.objects.push(envoy_filter(namespace, "change", &[], vec![patch(0, apply_to, context, operation)]).into());
    mesh
}

fn origin(namespace: &str) -> ObjectRef {
    ObjectRef::new("EnvoyFilter", namespace, "change")
}

fn shaped(compiled: &Compiled, kind: ResourceType, name: &str, object: &ObjectRef) -> bool {
    compiled.get(kind, name).unwrap().sources.contains(object)
}

#[test]
fn what_is_changed_says_by_whom_and_nothing_else_does() {
    let mut mesh = patched("shop", PatchedObject::Cluster, PatchContext::SidecarOutbound, merge(json!({"connect_timeout": "7s"})));
    let before = compiled(&mesh, "shop", "productpage-v1");
    assert!(shaped(&before, ResourceType::Cluster, REVIEWS, &origin("shop")));
    assert!(!shaped(&before, ResourceType::Cluster, "inbound|9080||", &origin("shop")));
    assert!(!shaped(&before, ResourceType::Listener, "virtualInbound", &origin("shop")));
    assert_eq!(cluster(&before, REVIEWS).connect_timeout.unwrap().seconds, 7);
    assert!(!shaped(&compiled(&mesh, "data", "db-0"), ResourceType::Cluster, REVIEWS, &origin("shop")));
    mesh.objects.clear();
    assert_eq!(cluster(&compiled(&mesh, "shop", "productpage-v1"), REVIEWS).connect_timeout.unwrap().seconds, 10);
}

#[test]
fn a_change_compiles_again_what_it_is_about() {
    let mut mesh = bookinfo();
    let mut compiler = Compiler::new(mesh.snapshot());
    let proxy = proxy(&mesh, "shop", "productpage-v1");
    let first = compiler.compile(&proxy);
    let mut made = |mesh: &TestMesh| {
        compiler.advance(mesh.snapshot(), &Changes::from_iter([Change::Config(origin("shop"))]));
        let before = compiler.kept().0;
        let new = compiler.compile(&proxy);
        let names: Vec<_> = ResourceType::ALL.into_iter().flat_map(|kind| new.differences(Some(&first), kind)).map(|it| it.name).collect();
        (compiler.kept().0 - before, names)
    };
    let route =
        patch(0, PatchedObject::VirtualHost, PatchContext::SidecarOutbound, merge(json!({"include_attempt_count_in_response": true})));
    mesh.objects.push(envoy_filter("shop", "change", &[], vec![route]).into());
    let (_, names) = made(&mesh);
    assert!(!names.is_empty() && names.iter().all(|name| !name.contains('|') && !name.contains("virtual")), "{names:?}");
}

#[test]
fn a_cluster_that_is_added_gives_way_to_the_mesh_s_own() {
    let own = patched("shop", PatchedObject::Cluster, PatchContext::Any, add(json!({"name": REVIEWS, "connect_timeout": "7s"})));
    let mut mesh = own.clone();
    assert_eq!(cluster(&compiled(&mesh, "shop", "productpage-v1"), REVIEWS).connect_timeout.unwrap().seconds, 10);
    let mut removal = patch(0, PatchedObject::Cluster, PatchContext::Any, PatchOperation::Remove);
    removal.object = ObjectMatch::Cluster(ClusterMatch { name: Some(REVIEWS.into()), ..ClusterMatch::default() });
    mesh.objects.push(envoy_filter("shop", "removal", &[], vec![removal]).into());
    let both = compiled(&mesh, "shop", "productpage-v1");
    assert_eq!(cluster(&both, REVIEWS).connect_timeout.unwrap().seconds, 7);
    assert!(shaped(&both, ResourceType::Cluster, REVIEWS, &origin("shop")));
}

#[test]
fn listeners_are_added_once_for_a_sidecar() {
    let value = json!({"name": "extra", "address": {"socket_address": {"address": "127.0.0.1", "port_value": 15099}}});
    let mesh = patched("istio-system", PatchedObject::Listener, PatchContext::Any, add(value.clone()));
    for (namespace, name) in [("shop", "productpage-v1"), ("istio-system", "gateway-0")] {
        let found = names(&compiled(&mesh, namespace, name), ResourceType::Listener);
        assert_eq!(found.iter().filter(|name| *name == "extra").count(), 1, "{found:?}");
    }
    let mesh = patched("istio-system", PatchedObject::Listener, PatchContext::Gateway, add(value));
    assert!(!names(&compiled(&mesh, "shop", "productpage-v1"), ResourceType::Listener).contains(&"extra".to_owned()));
}

#[test]
fn a_filter_of_a_class_stands_by_the_mesh_s_filters_of_that_class() {
    let lua = json!({"name": "lua", "typed_config": {"@type": LUA}});
    for (class, place) in [(FilterClass::Authn, 0), (FilterClass::Authz, 0), (FilterClass::Stats, 2), (FilterClass::Unspecified, 2)] {
        let operation = PatchOperation::Add(Arc::new(lua.clone()), class);
        let mesh = patched("shop", PatchedObject::HttpFilter, PatchContext::SidecarOutbound, operation);
        let found = as_json(&compiled(&mesh, "shop", "productpage-v1"), ResourceType::Listener, "0.0.0.0_9080");
        let filters = &found["filter_chains"][0]["filters"][0]["typed_config"]["http_filters"];
        assert_eq!(filters[place]["name"], "lua", "{class:?} {filters:#}");
    }
}

#[test]
fn a_value_of_another_type_than_the_filter_that_it_names_is_left_out_and_named() {
    let value = json!({"typed_config": {"@type": LUA}});
    let mut mesh = patched("shop", PatchedObject::NetworkFilter, PatchContext::SidecarOutbound, merge(value));
    let listener = |compiled: &Compiled| as_json(compiled, ResourceType::Listener, "virtualOutbound");
    let all = compiled(&mesh, "shop", "productpage-v1");
    // Where none is named, those of other types are not meant.
    assert_eq!((listener(&all), all.faults().len()), (listener(&compiled(&bookinfo(), "shop", "productpage-v1")), 0));
    let ConfigObject::EnvoyFilter(filter) = mesh.objects.remove(0) else { panic!() };
    let mut filter = (*filter).clone();
    let chain = FilterChainMatch { filter: Some("envoy.filters.network.tcp_proxy".into()), ..Default::default() };
    filter.patches[0].object = ObjectMatch::Listener(ListenerMatch { filter_chain: Some(chain), ..Default::default() });
    mesh.objects.push(filter.into());
    let compiled = compiled(&mesh, "shop", "productpage-v1");
    let faults: Vec<_> = compiled.faults().into_iter().collect();
    assert_eq!((faults.len(), &*faults[0].path), (1, "spec.configPatches[0]"), "{faults:?}");
}

#[test]
fn without_any_nothing_is_asked_of_a_proxy_because_of_them() {
    let mesh = bookinfo();
    let mut compiler = Compiler::new(mesh.snapshot());
    let sidecar = compiler.compile(&proxy(&mesh, "shop", "productpage-v1"));
    let gateway = compiler.compile(&proxy(&mesh, "istio-system", "gateway-0"));
    for kind in [ResourceType::Cluster, ResourceType::Endpoints] {
        assert!(Arc::ptr_eq(sidecar.get(kind, REVIEWS).unwrap(), gateway.get(kind, REVIEWS).unwrap()), "{kind:?}");
    }
}

/// The sample, whose Gateway has one more server, on port 9443, with a patch of such objects that match.
fn with_tls_server(mode: ServerTlsMode, bind: Option<Bind>, apply_to: PatchedObject, object: ObjectMatch, value: Value) -> TestMesh {
    let mut mesh = bookinfo();
    let certificates = vec![ServerCertificate::Secret("cert".into())];
    mesh.gateways[0].servers.push(GatewayServer {
        port: 9443,
        port_name: "secure".into(),
        protocol: Protocol::Https,
        hosts: vec![(NamespaceSelector::Any, HostPattern::new("*"))],
        tls: Some(ServerTls { mode, certificates, ..ServerTls::default() }),
        name: "".into(),
        bind,
        default_endpoint: None,
    });
    let mut change = patch(0, apply_to, PatchContext::Gateway, merge(value));
    change.object = object;
    mesh.objects.push(envoy_filter("istio-system", "change", &[], vec![change]).into());
    mesh
}

/// The resources of a kind that the gateway has in another form because of the patch.
fn changed_at_gateway(mesh: &TestMesh, kind: ResourceType) -> Vec<String> {
    let compiled = compiled(mesh, "istio-system", "gateway-0");
    names(&compiled, kind).into_iter().filter(|name| shaped(&compiled, kind, name, &origin("istio-system"))).collect()
}

#[test]
fn a_gateways_tables_are_found_by_what_its_gateway_calls_port_and_server() {
    let secure = "https.9443.secure.bookinfo-gateway.shop";
    let here = Bind::Address([127, 0, 0, 1].into());
    for (bind, table) in [(None, secure.to_owned()), (Some(here), format!("{secure}.127.0.0.1"))] {
        let wanted = RouteConfigurationMatch::default;
        let sorts = [
            (RouteConfigurationMatch { port: Some(9443), ..wanted() }, vec![&*table]),
            (RouteConfigurationMatch { port_name: Some("secure".into()), ..wanted() }, vec![&*table]),
            (RouteConfigurationMatch { gateway: Some("shop/bookinfo-gateway".into()), ..wanted() }, vec![&*table]),
            (RouteConfigurationMatch { gateway: Some("shop/other".into()), ..wanted() }, vec![]),
            (RouteConfigurationMatch { port: Some(80), ..wanted() }, vec!["http.8080"]),
            (wanted(), vec!["http.8080", &*table]),
        ];
        for (object, expected) in sorts {
            let (value, object) = (json!({"most_specific_header_mutations_wins": true}), ObjectMatch::RouteConfiguration(object));
            let mesh = with_tls_server(ServerTlsMode::Simple, bind.clone(), PatchedObject::RouteConfiguration, object.clone(), value);
            assert_eq!(changed_at_gateway(&mesh, ResourceType::Route), expected, "{object:?}");
        }
    }
}

#[test]
fn what_a_gateway_passes_on_unopened_is_found_by_service_port_and_subset_and_gets_nothing_added() {
    let wanted = ClusterMatch { service: Some("reviews.shop.svc.cluster.local".into()), port: Some(9080), ..ClusterMatch::default() };
    let (value, object) = (json!({"connect_timeout": "7s"}), ObjectMatch::Cluster(wanted));
    let mut mesh = with_tls_server(ServerTlsMode::AutoPassthrough, None, PatchedObject::Cluster, object, value);
    let passed_on = "outbound_.9080_._.reviews.shop.svc.cluster.local";
    let changed = changed_at_gateway(&mesh, ResourceType::Cluster);
    assert!(changed.iter().any(|name| name == passed_on) && changed.iter().any(|name| name == REVIEWS), "{changed:?}");
    assert!(changed.iter().all(|name| name.ends_with("reviews.shop.svc.cluster.local")), "{changed:?}");
    let addition = patch(0, PatchedObject::Cluster, PatchContext::Gateway, add(json!({"name": "extra", "connect_timeout": "1s"})));
    mesh.objects.push(envoy_filter("istio-system", "addition", &[], vec![addition]).into());
    let all = names(&compiled(&mesh, "istio-system", "gateway-0"), ResourceType::Cluster);
    assert_eq!(all.iter().filter(|name| *name == "extra").count(), 1, "{all:?}");
}
