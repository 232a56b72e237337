//! DestinationRules, ServiceEntries and Sidecars.

use super::*;
use crate::model::{ClientTls, ClientTlsMode, PortTrafficPolicy, ServiceEntryEndpoint, TrafficPolicy, WorkloadEntry};
use crate::testing::mesh::{bookinfo, fqdn, versions};

fn tls(mode: ClientTlsMode, authorities: Option<&str>) -> TrafficPolicy {
    let tls = ClientTls { mode, ca_certificates: authorities.map(Into::into), ..ClientTls::default() };
    TrafficPolicy { tls: Some(tls), ..TrafficPolicy::default() }
}

#[test]
fn a_rule_for_a_host_that_no_service_has_is_found() {
    let code = Code::UnknownDestinationRuleHost;
    let lines = only(&world(&bookinfo(), [versions("shop", &fqdn("shop", "nobody"), &[]).into()]), code);
    assert_eq!(lines.len(), 1);
    assert!(lines[0].starts_with("Warning [IST0174] DestinationRule shop/nobody: spec.host: no service has the host"), "{lines:?}");
    for host in ["*.shop.svc.cluster.local", "*.local", "*"] {
        assert_eq!(analyze(&world(&bookinfo(), [versions("shop", &HostPattern::new(host), &[]).into()])), [], "{host}");
    }
    assert_eq!(only(&world(&bookinfo(), [versions("shop", &HostPattern::new("*.example.org"), &[]).into()]), code).len(), 1);
}

#[test]
fn a_subset_of_no_workload_is_found() {
    let code = Code::DestinationRuleSubsetNotSelectPods;
    let mut mesh = bookinfo();
    mesh.destination_rules = vec![versions("shop", &fqdn("shop", "reviews"), &["v1", "v2", "v3", "v4"])];
    let lines = only(&world(&mesh, []), code);
    assert_eq!(
        lines,
        ["Error [IST0173] DestinationRule shop/reviews: spec.subsets[3].labels: no workload of \"reviews.shop.svc.cluster.local\" \
              has the labels version=v4: requests for the subset \"v4\" fail"]
    );
    // A workload of another service has that label.
    mesh.workload("shop", "details-v4", "10.244.2.4", &[("app", "details"), ("version", "v4")]);
    assert_eq!(only(&world(&mesh, []), code).len(), 1);
    mesh.workload("shop", "reviews-v4", "10.244.3.4", &[("app", "reviews"), ("version", "v4")]);
    assert_eq!(analyze(&world(&mesh, [])), []);
}

#[test]
fn a_subset_by_a_label_of_nodes_is_left_alone() {
    let mut rule = versions("shop", &fqdn("shop", "ratings"), &["near"]);
    rule.subsets[0].labels = labels(&[("topology.kubernetes.io/zone", "z1")]);
    assert_eq!(analyze(&world(&bookinfo(), [rule.into()])), []);
}

#[test]
fn tls_without_authorities_is_found_for_the_host_and_for_a_port() {
    let mut rule = versions("shop", &HostPattern::new("api.example.com"), &[]);
    rule.policy = tls(ClientTlsMode::Simple, None);
    rule.policy.ports = vec![PortTrafficPolicy { port: 443, policy: tls(ClientTlsMode::Mutual, None) }];
    let lines: Vec<String> = analyze(&world(&bookinfo(), [rule.clone().into()])).iter().map(ToString::to_string).collect();
    assert_eq!(
        lines,
        [
            "Warning [IST0128] DestinationRule shop/api: spec.trafficPolicy.tls: SIMPLE without caCertificates: \
             nobody checks who answers for \"api.example.com\"",
            "Warning [IST0129] DestinationRule shop/api: spec.trafficPolicy.portLevelSettings[0].tls: MUTUAL without caCertificates: \
             nobody checks who answers for \"api.example.com\" on port 443",
        ]
    );
    rule.policy = tls(ClientTlsMode::Simple, Some("/etc/ssl/certs/ca.pem"));
    rule.policy.ports = vec![PortTrafficPolicy { port: 443, policy: tls(ClientTlsMode::IstioMutual, None) }];
    assert_eq!(analyze(&world(&bookinfo(), [rule.into()])), []);
}

#[test]
fn a_port_of_a_service_entry_says_what_is_spoken() {
    let mut entry = service_entry("shop", "db", &["db.example.com"], &["main:7000"]);
    entry.addresses = vec!["10.1.1.1/32".parse().unwrap()];
    let lines = only(&world(&TestMesh::default(), [entry.into()]), Code::PortNameIsNotUnderNamingConvention);
    assert_eq!(lines.len(), 1);
    assert!(lines[0].contains("port 7000 does not say what is spoken on it"), "{lines:?}");
}

#[test]
fn a_sidecar_for_no_workload_is_found() {
    let code = Code::ReferencedResourceNotFound;
    let lines = only(&world(&bookinfo(), [sidecar("shop", "lost", &[("app", "db")]).into()]), code);
    assert_eq!(
        lines,
        ["Error [IST0101] Sidecar shop/lost: spec.workloadSelector.labels: no workload of the namespace has the labels app=db"]
    );
    assert_eq!(analyze(&world(&bookinfo(), [sidecar("data", "found", &[("app", "db")]).into()])), []);
}

#[test]
fn sidecars_that_share_a_workload_conflict() {
    let code = Code::ConflictingSidecarWorkloadSelectors;
    let pair =
        |one: &[(&str, &str)], other: &[(&str, &str)]| [sidecar("shop", "one", one), sidecar("shop", "two", other)].map(ConfigObject::from);
    let lines = only(&world(&bookinfo(), pair(&[("app", "reviews")], &[("version", "v3")])), code);
    assert_eq!(lines.len(), 2);
    assert!(lines[0].ends_with("Sidecar shop/two selects the same workloads, reviews-v3 among them: only the oldest holds"), "{lines:?}");
    // No workload has both.
    assert_eq!(analyze(&world(&bookinfo(), pair(&[("app", "ratings")], &[("version", "v3")]))), []);
    assert_eq!(analyze(&world(&bookinfo(), pair(&[("app", "ratings")], &[("app", "reviews")]))), []);
}

#[test]
fn a_namespace_has_one_sidecar_for_all() {
    let code = Code::MultipleSidecarsWithoutWorkloadSelectors;
    let named = |namespace: &str, name: &str| ConfigObject::from(sidecar(namespace, name, &[]));
    let lines = only(&world(&bookinfo(), [named("shop", "one"), named("shop", "two")]), code);
    assert_eq!(lines.len(), 2);
    assert!(lines[1].contains("Sidecar shop/two: spec.workloadSelector: Sidecar shop/one is for all workloads"), "{lines:?}");
    assert_eq!(analyze(&world(&bookinfo(), [named("shop", "one"), named("data", "one")])), []);
}

#[test]
fn a_workload_outside_of_kubernetes_is_one() {
    let entry = |name: &str, pairs: &[(&str, &str)]| {
        let endpoint = ServiceEntryEndpoint {
            address: "10.9.9.9".into(),
            ports: Vec::new(),
            labels: labels(pairs),
            weight: 1,
            locality: "".into(),
            service_account: None,
        };
        let origin = ObjectRef::new("WorkloadEntry", "shop", name);
        ConfigObject::from(WorkloadEntry { origin, endpoint: Some(endpoint), created: 1 })
    };
    let narrowed = || ConfigObject::from(sidecar("shop", "vm", &[("app", "vm")]));
    assert_eq!(analyze(&world(&bookinfo(), [narrowed(), entry("vm", &[("app", "vm"), ("x", "y")])])), []);
    assert_eq!(analyze(&world(&bookinfo(), [narrowed(), entry("vm", &[("app", "other")])])).len(), 1);
    let rule = || ConfigObject::from(versions("shop", &fqdn("shop", "ratings"), &["v9"]));
    assert_eq!(analyze(&world(&bookinfo(), [rule()])).len(), 1);
    assert_eq!(analyze(&world(&bookinfo(), [rule(), entry("vm", &[("app", "ratings"), ("version", "v9")])])), []);
}
