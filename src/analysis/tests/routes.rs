//! VirtualServices: what they name.

use super::*;
use crate::model::{DestinationRule, HttpAction, Mirror, NamespaceSelector, PerMillion, Service};
use crate::testing::mesh::{bookinfo, fqdn, versions};

/// Routes of namespace `shop` to one destination.
fn routes_to(host: &HostPattern, subset: Option<&str>, port: Option<u16>) -> VirtualService {
    let mut destination = to(host, subset, 1);
    destination.destination.port = port;
    virtual_service("shop", "routes", &[HostPattern::new("example.com")], vec![forward(Vec::new(), vec![destination])])
}

fn missing(mesh: &TestMesh, routes: VirtualService) -> Vec<String> {
    found(&world(mesh, [routes.into()]), Code::ReferencedResourceNotFound)
}

#[test]
fn a_sound_mesh_has_no_findings() {
    assert_eq!(analyze(&world(&bookinfo(), [])), []);
}

#[test]
fn a_host_that_no_service_has_is_found() {
    let lines = missing(&bookinfo(), routes_to(&fqdn("shop", "nobody"), None, None));
    assert_eq!(
        lines,
        ["Error [IST0101] VirtualService shop/routes: spec.http[0].route[0].destination.host: \
              no service has the host \"nobody.shop.svc.cluster.local\": create it, or correct the name"]
    );
}

#[test]
fn a_wildcard_of_a_service_entry_has_all_of_its_hosts() {
    let mut mesh = bookinfo();
    mesh.external("shop", "*.example.org", Resolution::Passthrough, &["https:443"]);
    assert_eq!(missing(&mesh, routes_to(&HostPattern::new("api.example.org"), None, None)), [""; 0]);
    assert_eq!(missing(&mesh, routes_to(&HostPattern::new("example.org"), None, None)).len(), 1);
}

#[test]
fn a_service_that_is_exported_to_others_alone_is_told_of_as_such() {
    let mut mesh = bookinfo();
    mesh.service("data", "hidden", Some("10.96.1.9"), &["http:80"]).export_to = private();
    let lines = missing(&mesh, routes_to(&fqdn("data", "hidden"), None, None));
    assert_eq!(lines.len(), 1);
    assert!(lines[0].ends_with("Service data/hidden is not exported to namespace shop: see its exportTo"), "{lines:?}");
}

#[test]
fn a_gateway_may_see_what_the_routes_namespace_does_not() {
    let mut mesh = bookinfo();
    mesh.service("istio-system", "hidden", Some("10.96.1.9"), &["http:80"]).export_to = private();
    let mut routes = routes_to(&fqdn("istio-system", "hidden"), None, None);
    routes.gateways = vec!["istio-system/front".into()];
    let lines = missing(&mesh, routes);
    assert!(lines.iter().all(|line| line.contains("spec.gateways")), "{lines:?}");
}

#[test]
fn a_port_that_the_service_lacks_is_found() {
    let lines = missing(&bookinfo(), routes_to(&fqdn("shop", "reviews"), None, Some(9081)));
    assert_eq!(lines.len(), 1);
    assert!(lines[0].contains("destination.port.number: \"reviews.shop.svc.cluster.local\" has no port 9081, but 9080"), "{lines:?}");
    assert_eq!(missing(&bookinfo(), routes_to(&fqdn("shop", "reviews"), None, Some(9080))), [""; 0]);
}

#[test]
fn a_service_of_several_ports_wants_one_named() {
    let mut mesh = bookinfo();
    mesh.service("shop", "twice", Some("10.96.1.9"), &["http:80", "http-admin:81"]);
    let code = Code::VirtualServiceDestinationPortSelectorRequired;
    let lines = found(&world(&mesh, [routes_to(&fqdn("shop", "twice"), None, None).into()]), code);
    assert_eq!(lines.len(), 1);
    assert!(lines[0].ends_with("has the ports 80, 81: name one"), "{lines:?}");
    assert_eq!(found(&world(&mesh, [routes_to(&fqdn("shop", "twice"), None, Some(81)).into()]), code), [""; 0]);
}

#[test]
fn a_subset_that_no_rule_has_is_found() {
    let reviews = fqdn("shop", "reviews");
    let lines = missing(&bookinfo(), routes_to(&reviews, Some("v4"), None));
    assert_eq!(lines.len(), 1);
    assert!(lines[0].contains("destination.subset: no DestinationRule for \"reviews.shop.svc.cluster.local\" has a subset \"v4\""));
    assert_eq!(missing(&bookinfo(), routes_to(&reviews, Some("v3"), None)), [""; 0]);
}

#[test]
fn a_rule_for_a_wildcard_gives_its_hosts_their_subsets() {
    let mut mesh = bookinfo();
    let wide: DestinationRule = versions("shop", &HostPattern::new("*.shop.svc.cluster.local"), &["v1"]);
    mesh.destination_rules.push(wide);
    assert_eq!(missing(&mesh, routes_to(&fqdn("shop", "details"), Some("v1"), None)), [""; 0]);
}

#[test]
fn a_gateway_that_is_not_there_is_found() {
    let mut routes = routes_to(&fqdn("shop", "reviews"), None, None);
    routes.gateways = vec!["mesh".into(), "shop/nothing".into()];
    let lines = missing(&bookinfo(), routes);
    assert_eq!(
        lines,
        ["Error [IST0101] VirtualService shop/routes: spec.gateways[1]: there is no Gateway shop/nothing: create it, or correct the name"]
    );
}

#[test]
fn a_gateway_that_serves_none_of_the_hosts_is_found() {
    let code = Code::VirtualServiceHostNotFoundInGateway;
    let mut mesh = bookinfo();
    let bound = |hosts: &[&str]| {
        let hosts: Vec<_> = hosts.iter().map(|host| HostPattern::new(host)).collect();
        let mut routes = virtual_service("shop", "bound", &hosts, Vec::new());
        routes.gateways = vec!["shop/bookinfo-gateway".into()];
        ConfigObject::from(routes)
    };
    mesh.gateways[0].servers[0].hosts = vec![(NamespaceSelector::Any, HostPattern::new("*.example.com"))];
    mesh.virtual_services.clear();
    assert_eq!(only(&world(&mesh, [bound(&["b.example.com", "other.org"])]), code), [""; 0]);
    assert_eq!(only(&world(&mesh, [bound(&["*"])]), code), [""; 0]);
    let lines = only(&world(&mesh, [bound(&["other.org"])]), code);
    assert_eq!(lines.len(), 1);
    assert!(lines[0].ends_with("spec.gateways[0]: Gateway shop/bookinfo-gateway serves none of the hosts other.org for this namespace"));
    // Served, but for the routes of another namespace.
    mesh.gateways[0].servers[0].hosts = vec![(NamespaceSelector::Named("web".into()), HostPattern::new("*"))];
    assert_eq!(only(&world(&mesh, [bound(&["b.example.com"])]), code).len(), 1);
}

#[test]
fn subsets_that_a_gateway_passes_by_are_found() {
    let code = Code::IngressRouteRulesNotAffected;
    let reviews = fqdn("shop", "reviews");
    let mut entry = plain_routes("shop", "entry", &reviews);
    entry.gateways = vec!["shop/bookinfo-gateway".into()];
    let lines = found(&world(&bookinfo(), [entry.clone().into()]), code);
    assert_eq!(lines.len(), 1);
    assert!(
        lines[0]
            .contains("spec.http[0].route[0].destination.host: requests from a gateway pass by the subsets of VirtualService shop/reviews")
    );
    // Where the subset routes hold for the gateway, too, nothing is passed by.
    let mut mesh = bookinfo();
    mesh.virtual_services[0].gateways.push("shop/bookinfo-gateway".into());
    assert_eq!(found(&world(&mesh, [entry.into()]), code), [""; 0]);
}

#[test]
fn a_review_tells_what_an_object_would_be_in_place_of_the_old_one() {
    let mesh = bookinfo();
    let broken = world(&mesh, [routes_to(&fqdn("shop", "nobody"), None, None).into()]);
    let code = Code::ReferencedResourceNotFound;
    assert_eq!(reviewed(&broken, routes_to(&fqdn("shop", "reviews"), None, None), code), [""; 0]);
    assert_eq!(reviewed(&broken, routes_to(&fqdn("shop", "nowhere"), None, None), code).len(), 1);
    // The world itself is what it was.
    assert_eq!(found(&broken, code).len(), 1);
}

#[test]
fn many_services_of_a_host_are_looked_through_for_one_that_is_visible() {
    let mut mesh = TestMesh::default();
    for place in 0..5 {
        let hidden: &mut Service = mesh.external(&format!("ns{place}"), "api.example.com", Resolution::Dns, &["https:443"]);
        hidden.export_to = private();
    }
    assert_eq!(missing(&mesh, routes_to(&HostPattern::new("api.example.com"), None, None)).len(), 1);
    mesh.external("web", "api.example.com", Resolution::Dns, &["https:443"]);
    assert_eq!(missing(&mesh, routes_to(&HostPattern::new("api.example.com"), None, None)), [""; 0]);
}

#[test]
fn a_mirror_goes_to_a_service_as_well() {
    let mut routes = routes_to(&fqdn("shop", "reviews"), None, None);
    let destination = to(&fqdn("shop", "nobody"), None, 1).destination;
    routes.http[0].mirrors = vec![Mirror { destination, share: PerMillion::ALL, listed: true }];
    let lines = missing(&bookinfo(), routes.clone());
    assert_eq!(lines.len(), 1);
    assert!(lines[0].contains("spec.http[0].mirrors[0].destination.host: no service has the host"), "{lines:?}");
    routes.http[0].mirrors[0].listed = false;
    let lines = only(&world(&bookinfo(), [routes.into()]), Code::ReferencedResourceNotFound);
    assert!(lines[0].contains("spec.http[0].mirror.host: no service has the host"), "{lines:?}");
}

#[test]
fn a_delegate_is_an_object_without_hosts() {
    let mut root = virtual_service("shop", "root", &[HostPattern::new("example.com")], vec![forward(Vec::new(), Vec::new())]);
    root.http[0].action = HttpAction::Delegate { namespace: "shop".into(), name: "part".into() };
    let lines = missing(&bookinfo(), root.clone());
    assert_eq!(lines.len(), 1);
    assert!(lines[0].contains("spec.http[0].delegate: there is no VirtualService shop/part to hand requests to"), "{lines:?}");
    let part = |hosts: &[HostPattern]| virtual_service("shop", "part", hosts, Vec::new());
    assert_eq!(analyze(&world(&bookinfo(), [root.clone().into(), part(&[]).into()])), []);
    let lines = found(&world(&bookinfo(), [root.into(), part(&[HostPattern::new("a.b")]).into()]), Code::ReferencedResourceNotFound);
    assert_eq!(lines.len(), 1);
}
