//! Hosts for which more than one object speaks.

use super::*;
use crate::testing::mesh::{bookinfo, fqdn, http_gateway, versions};

#[test]
fn two_objects_that_route_a_host_for_the_same_sidecars_conflict() {
    let code = Code::ConflictingMeshGatewayVirtualServiceHosts;
    let other = plain_routes("web", "mine", &fqdn("shop", "reviews"));
    let lines = only(&world(&bookinfo(), [other.into()]), code);
    assert_eq!(
        lines,
        [
            "Error [IST0109] VirtualService shop/reviews: spec.hosts[0]: \"reviews.shop.svc.cluster.local\" is routed for the same \
             sidecars by VirtualService web/mine: only the oldest holds; put the rules into one object, or narrow exportTo",
            "Error [IST0109] VirtualService web/mine: spec.hosts[0]: \"reviews.shop.svc.cluster.local\" is routed for the same \
             sidecars by VirtualService shop/reviews: only the oldest holds; put the rules into one object, or narrow exportTo",
        ]
    );
}

#[test]
fn routes_for_ones_own_namespace_stand_before_those_for_all() {
    let mut own = plain_routes("web", "mine", &fqdn("shop", "reviews"));
    own.export_to = private();
    assert_eq!(analyze(&world(&bookinfo(), [own.clone().into()])), []);
    let mut second = own.clone();
    second.origin.name = "again".into();
    let lines = found(&world(&bookinfo(), [own.into(), second.into()]), Code::ConflictingMeshGatewayVirtualServiceHosts);
    assert_eq!(lines.len(), 2);
}

#[test]
fn routes_of_one_namespace_are_merged_at_a_gateway_and_those_of_another_are_told_of() {
    let code = Code::HostOfAnotherNamespace;
    let host = HostPattern::new("shop.example.com");
    let at_gateway = |namespace: &str, name: &str| {
        let mut routes = virtual_service(namespace, name, std::slice::from_ref(&host), Vec::new());
        routes.gateways = vec!["shop/bookinfo-gateway".into()];
        ConfigObject::from(routes)
    };
    assert_eq!(analyze(&world(&bookinfo(), [at_gateway("shop", "one"), at_gateway("shop", "two")])), []);
    let lines = only(&world(&bookinfo(), [at_gateway("shop", "one"), at_gateway("web", "two")]), code);
    assert_eq!(lines.len(), 2);
    assert!(
        lines[1].contains(
            "\"shop.example.com\" is spoken for on gateway shop/bookinfo-gateway in another namespace as well, by VirtualService shop/one"
        ),
        "{lines:?}"
    );
}

#[test]
fn rules_of_two_namespaces_for_one_host_are_told_of_unless_few_see_them() {
    let code = Code::HostOfAnotherNamespace;
    let mut rule = versions("web", &fqdn("shop", "reviews"), &["v1"]);
    let lines = only(&world(&bookinfo(), [rule.clone().into()]), code);
    assert_eq!(lines.len(), 2);
    assert!(lines[1].starts_with("Warning [FM0201] DestinationRule web/reviews: spec.host: "), "{lines:?}");
    rule.export_to = private();
    assert_eq!(analyze(&world(&bookinfo(), [rule.into()])), []);
}

#[test]
fn a_service_entry_for_the_host_of_a_service_elsewhere_is_told_of() {
    let code = Code::HostOfAnotherNamespace;
    let taken = service_entry("web", "taken", &["reviews.shop.svc.cluster.local"], &["http:9080"]);
    let lines = only(&world(&bookinfo(), [taken.into()]), code);
    assert_eq!(lines.len(), 1);
    assert!(lines[0].contains("by Service shop/reviews"), "{lines:?}");
    // In the service's own namespace it adds to the service.
    let own = service_entry("shop", "more", &["reviews.shop.svc.cluster.local"], &["http:9080"]);
    assert_eq!(analyze(&world(&bookinfo(), [own.into()])), []);
}

#[test]
fn service_entries_of_two_namespaces_for_one_host_are_told_of_unless_private() {
    let code = Code::HostOfAnotherNamespace;
    let entries = |narrowed: bool| {
        ["a", "b"].map(|namespace| {
            let mut entry = service_entry(namespace, "api", &["api.example.com"], &["https:443"]);
            entry.export_to = if narrowed { private() } else { ExportTo::default() };
            ConfigObject::from(entry)
        })
    };
    assert_eq!(only(&world(&TestMesh::default(), entries(false)), code).len(), 2);
    assert_eq!(analyze(&world(&TestMesh::default(), entries(true))), []);
}

#[test]
fn one_port_of_a_host_has_one_protocol() {
    let code = Code::ConflictingServiceEntryProtocol;
    let entry = |name: &str, port: &str| ConfigObject::from(service_entry("shop", name, &["api.example.com"], &[port]));
    let lines = only(&world(&TestMesh::default(), [entry("one", "http:443"), entry("two", "tls:443")]), code);
    assert_eq!(lines.len(), 2);
    assert!(
        lines[0].ends_with(
            "spec.ports[0].protocol: ServiceEntry shop/two says that another protocol than HTTP is spoken on port 443 of \
             \"api.example.com\": say the same in both"
        ),
        "{lines:?}"
    );
    assert_eq!(analyze(&world(&TestMesh::default(), [entry("one", "http:443"), entry("two", "http:443")])), []);
    assert_eq!(analyze(&world(&TestMesh::default(), [entry("one", "http:443"), entry("two", "tls:444")])), []);
}

#[test]
fn of_many_rivals_a_few_are_named() {
    let reviews = fqdn("shop", "reviews");
    let others = (0..9).map(|place| ConfigObject::from(plain_routes("web", &format!("r{place}"), &reviews)));
    let lines = found(&world(&bookinfo(), others), Code::ConflictingMeshGatewayVirtualServiceHosts);
    assert!(lines[0].contains("VirtualService web/r0, VirtualService web/r1, VirtualService web/r2 and 6 more"), "{lines:?}");
}

#[test]
fn an_unrelated_gateway_changes_nothing() {
    let other = http_gateway("web", "other", &[("istio", "elsewhere")], 80);
    let mut mesh = bookinfo();
    mesh.workload("web", "elsewhere-0", "10.244.7.9", &[("istio", "elsewhere")]);
    let lines = found(&world(&mesh, [other.into()]), Code::HostOfAnotherNamespace);
    assert_eq!(lines, [""; 0]);
}
