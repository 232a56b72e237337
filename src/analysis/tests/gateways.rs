//! Gateways: workloads, Services, Secrets, and each other.

use super::*;
use crate::analysis::SecretFacts;
use crate::model::{Gateway, GatewayServer, NamespaceSelector, Protocol, ServerCertificate, ServerTls, ServerTlsMode};
use crate::testing::mesh::{bookinfo, http_gateway};

const INGRESS: &[(&str, &str)] = &[("istio", "ingressgateway")];

/// A Gateway that ends TLS with a Secret.
fn secure(name: &str, host: &str, credential: &str, mode: ServerTlsMode) -> Gateway {
    let mut gateway = http_gateway("shop", name, INGRESS, 80);
    gateway.servers = vec![GatewayServer {
        protocol: Protocol::Https,
        hosts: vec![(NamespaceSelector::Any, HostPattern::new(host))],
        tls: Some(ServerTls { mode, certificates: vec![ServerCertificate::Secret(credential.into())], ..ServerTls::default() }),
        ..gateway.servers[0].clone()
    }];
    gateway
}

/// Facts with one Secret `istio-system/cert` that has these keys.
fn secret(keys: &[&str]) -> Facts {
    let secret = SecretFacts { kind: "Opaque".to_owned(), keys: Some(keys.iter().map(|key| (*key).to_owned()).collect()) };
    Facts { secrets: Some([(ObjectRef::new("Secret", "istio-system", "cert"), secret)].into()), ..Facts::default() }
}

/// The sample without its own gateway.
fn empty_entrance() -> TestMesh {
    let mut mesh = bookinfo();
    mesh.gateways.clear();
    mesh.virtual_services.retain(|routes| routes.for_mesh());
    mesh
}

#[test]
fn a_selector_of_no_workload_is_found() {
    let gateway = http_gateway("shop", "lost", &[("istio", "nowhere")], 80);
    let lines = only(&world(&empty_entrance(), [gateway.into()]), Code::ReferencedResourceNotFound);
    assert_eq!(
        lines,
        ["Error [IST0101] Gateway shop/lost: spec.selector: no workload has the labels istio=nowhere: no gateway listens for this"]
    );
}

#[test]
fn a_gateway_for_all_workloads_has_nothing_to_miss() {
    assert_eq!(analyze(&world(&empty_entrance(), [http_gateway("shop", "all", &[], 12345).into()])), []);
}

#[test]
fn a_port_that_no_service_of_the_workloads_has_is_found() {
    let code = Code::GatewayPortNotDefinedOnService;
    let lines = only(&world(&empty_entrance(), [http_gateway("shop", "g", INGRESS, 8443).into()]), code);
    assert_eq!(lines.len(), 1);
    assert!(lines[0].contains("spec.servers[0].port.number: no Service of the workloads istio=ingressgateway has port 8443"));
    assert!(lines[0].ends_with("they have 80, 8080, 31400"), "{lines:?}");
    for port in [80, 8080, 31400] {
        assert_eq!(analyze(&world(&empty_entrance(), [http_gateway("shop", "g", INGRESS, port).into()])), [], "{port}");
    }
}

#[test]
fn a_secret_that_is_not_beside_the_workloads_is_found() {
    let code = Code::ReferencedResourceNotFound;
    let gateway = secure("g", "a.example.com", "other", ServerTlsMode::Simple);
    let lines = only(&world_with(&empty_entrance(), [gateway.into()], secret(&["tls.crt", "tls.key"])), code);
    assert_eq!(lines.len(), 1);
    assert!(
        lines[0].contains(
            "spec.servers[0].tls.credentialName: there is no Secret other in namespace istio-system, where the gateway looks for it"
        ),
        "{lines:?}"
    );
    let gateway = secure("g", "a.example.com", "cert", ServerTlsMode::Simple);
    assert_eq!(analyze(&world_with(&empty_entrance(), [gateway.into()], secret(&["tls.crt", "tls.key"]))), []);
}

#[test]
fn a_secret_without_what_the_mode_needs_is_found() {
    let code = Code::InvalidGatewayCredential;
    let lines = |mode: ServerTlsMode, keys: &[&str]| {
        only(&world_with(&empty_entrance(), [secure("g", "a.example.com", "cert", mode).into()], secret(keys)), code)
    };
    let no_key = lines(ServerTlsMode::Simple, &["tls.crt"]);
    assert_eq!(no_key.len(), 1);
    assert!(no_key[0].ends_with("Secret istio-system/cert holds no certificate: it needs tls.crt and tls.key"), "{no_key:?}");
    assert_eq!(lines(ServerTlsMode::Simple, &["cert", "key"]), [""; 0]);
    assert_eq!(lines(ServerTlsMode::Mutual, &["tls.crt", "tls.key"]).len(), 1);
    assert_eq!(lines(ServerTlsMode::Mutual, &["tls.crt", "tls.key", "ca.crt"]), [""; 0]);
}

#[test]
fn authorities_may_lie_in_a_secret_of_their_own() {
    let mut facts = secret(&["tls.crt", "tls.key"]);
    let beside = ObjectRef::new("Secret", "istio-system", "cert-cacert");
    facts.secrets.get_or_insert_default().insert(beside, SecretFacts::default());
    let gateway = secure("g", "a.example.com", "cert", ServerTlsMode::Mutual);
    assert_eq!(analyze(&world_with(&empty_entrance(), [gateway.into()], facts)), []);
}

#[test]
fn gateways_of_one_port_and_host_conflict() {
    let code = Code::ConflictingGateways;
    let with_host = |namespace: &str, host: (NamespaceSelector, &str)| {
        let mut gateway = http_gateway(namespace, "g", INGRESS, 80);
        gateway.servers[0].hosts = vec![(host.0, HostPattern::new(host.1))];
        ConfigObject::from(gateway)
    };
    let both = |one, other| only(&world(&empty_entrance(), [with_host("a", one), with_host("b", other)]), code);
    let lines = both((NamespaceSelector::Any, "*.example.com"), (NamespaceSelector::Any, "b.example.com"));
    assert_eq!(
        lines,
        [
            "Error [IST0145] Gateway a/g: spec.servers[0]: port 80 and hosts *.example.com of the workloads istio=ingressgateway are \
             served by Gateway b/g as well: give each host and port to one Gateway",
            "Error [IST0145] Gateway b/g: spec.servers[0]: port 80 and hosts b.example.com of the workloads istio=ingressgateway are \
             served by Gateway a/g as well: give each host and port to one Gateway",
        ]
    );
    assert_eq!(both((NamespaceSelector::Any, "a.example.com"), (NamespaceSelector::Any, "b.example.com")), [""; 0]);
    assert_eq!(both((NamespaceSelector::Own, "*"), (NamespaceSelector::Own, "*")), [""; 0]);
    assert_eq!(both((NamespaceSelector::Own, "*"), (NamespaceSelector::Any, "*")).len(), 2);
}

#[test]
fn gateways_of_other_ports_or_workloads_do_not_conflict() {
    let mut mesh = empty_entrance();
    mesh.workload("web", "other-0", "10.244.7.9", &[("istio", "other")]);
    mesh.service("web", "other", Some("10.96.7.9"), &["http:80"]).selector = labels(&[("istio", "other")]);
    let objects =
        [http_gateway("a", "g", INGRESS, 80), http_gateway("b", "g", INGRESS, 31400), http_gateway("c", "g", &[("istio", "other")], 80)];
    assert_eq!(analyze(&world(&mesh, objects.map(ConfigObject::from))), []);
}

#[test]
fn one_certificate_in_two_gateways_is_found() {
    let code = Code::GatewayDuplicateCertificate;
    let pair = |credential: &str| {
        [secure("one", "a.example.com", "cert", ServerTlsMode::Simple), secure("two", "b.example.com", credential, ServerTlsMode::Simple)]
    };
    let lines = only(&world(&empty_entrance(), pair("cert").map(ConfigObject::from)), code);
    assert_eq!(lines.len(), 2);
    assert!(lines[0].contains("the certificate \"cert\" is used by Gateway shop/two as well"), "{lines:?}");
    assert_eq!(analyze(&world(&empty_entrance(), pair("another").map(ConfigObject::from))), []);
}
