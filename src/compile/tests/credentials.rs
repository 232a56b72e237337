//! Who gets which Secret.

use std::sync::Arc;

use super::{ResourceType, names, proxy};
use crate::compile::{Compiled, Compiler};
use crate::model::{
    Authorities, CertifiedKey, Change, Changes, Credential, GatewayServer, HostPattern, NamespaceSelector, Protocol, SecretKey,
    ServerCertificate, ServerTls, ServerTlsMode,
};
use crate::testing::mesh::{TestMesh, http_gateway};

const SELECTOR: &[(&str, &str)] = &[("istio", "edge")];

fn credential(text: &str) -> Credential {
    let bytes: Arc<[u8]> = text.as_bytes().into();
    let pair = CertifiedKey { chain: bytes.clone(), key: bytes.clone(), ocsp_staple: None };
    Credential { certificate: Some(pair), authorities: Some(Authorities { roots: bytes, revoked: None }) }
}

/// Gateways in two namespaces, both for one Gateway object, with Secrets of one name.
fn two_namespaces() -> TestMesh {
    let mut mesh = TestMesh::default();
    for (namespace, address) in [("one", "10.0.0.1"), ("two", "10.0.0.2")] {
        mesh.workload(namespace, "edge", address, SELECTOR);
        mesh.secrets.insert(SecretKey::new(namespace, "cert"), credential(namespace));
    }
    let mut gateway = http_gateway("one", "edge", SELECTOR, 9443);
    gateway.servers = vec![GatewayServer {
        port: 9443,
        port_name: "https".into(),
        protocol: Protocol::Https,
        hosts: vec![(NamespaceSelector::Any, HostPattern::new("*"))],
        tls: Some(ServerTls {
            mode: ServerTlsMode::Mutual,
            certificates: vec![ServerCertificate::Secret("cert".into())],
            ..ServerTls::default()
        }),
        name: "".into(),
        bind: None,
        default_endpoint: None,
    }];
    mesh.gateways.push(gateway);
    mesh
}

const CERTIFICATE: &str = "kubernetes://cert";
const AUTHORITIES: &str = "kubernetes://cert-cacert";

/// Whether a secret holds that text.
fn holds(compiled: &Compiled, name: &str, text: &str) -> bool {
    let body = &compiled.get(ResourceType::Secret, name).unwrap_or_else(|| panic!("no {name}")).body;
    body.windows(text.len()).any(|part| part == text.as_bytes())
}

#[test]
fn secrets_of_one_name_in_two_namespaces_are_never_confused() {
    let mesh = two_namespaces();
    let mut compiler = Compiler::new(mesh.snapshot());
    for _ in 0..2 {
        for (own, other) in [("one", "two"), ("two", "one")] {
            let compiled = compiler.compile(&proxy(&mesh, own, "edge"));
            assert_eq!(names(&compiled, ResourceType::Secret), [CERTIFICATE, AUTHORITIES]);
            for name in [CERTIFICATE, AUTHORITIES] {
                assert!(holds(&compiled, name, own) && !holds(&compiled, name, other));
            }
        }
    }
}

#[test]
fn a_proxy_that_the_api_server_does_not_vouch_for_gets_none_and_has_none_looked_for() {
    let mesh = two_namespaces();
    let mut compiler = Compiler::new(mesh.snapshot());
    let stranger = crate::compile::Proxy { vouched: false, ..proxy(&mesh, "one", "edge") };
    assert_eq!(names(&compiler.compile(&stranger), ResourceType::Secret), Vec::<String>::new());
    assert!(compiler.secrets().is_empty());
    let known = compiler.compile(&proxy(&mesh, "one", "edge"));
    assert_eq!(names(&known, ResourceType::Secret), [CERTIFICATE, AUTHORITIES]);
    let looked_for: Vec<_> = ["cert", "cert-cacert"].map(|name| SecretKey::new("one", name)).into();
    assert_eq!(compiler.secrets().iter().cloned().collect::<Vec<_>>(), looked_for);
}

#[test]
fn another_certificate_is_one_resource_and_no_other_is_made_anew() {
    let mut mesh = two_namespaces();
    let mut compiler = Compiler::new(mesh.snapshot());
    let proxy = proxy(&mesh, "one", "edge");
    let before = compiler.compile(&proxy);
    let key = SecretKey::new("one", "cert");
    mesh.secrets.insert(key.clone(), Credential { authorities: mesh.secrets[&key].authorities.clone(), ..credential("next") });
    compiler.advance(mesh.snapshot(), &Changes::from([Change::Secret(key)]));
    let after = compiler.compile(&proxy);
    let differing = ResourceType::ALL.into_iter().flat_map(|kind| after.differences(Some(&before), kind));
    assert_eq!(differing.map(|it| it.name.to_string()).collect::<Vec<_>>(), [CERTIFICATE]);
    assert!(holds(&after, CERTIFICATE, "next"));
}

#[test]
fn a_secret_of_authorities_alone_counts_before_the_certificates_own() {
    let mut mesh = two_namespaces();
    mesh.secrets.insert(SecretKey::new("one", "cert-cacert"), credential("apart"));
    let compiled = Compiler::new(mesh.snapshot()).compile(&proxy(&mesh, "one", "edge"));
    assert!(holds(&compiled, AUTHORITIES, "apart") && !holds(&compiled, AUTHORITIES, "one"));
}

#[test]
fn no_key_is_in_the_debug_form_of_what_was_compiled() {
    let mesh = two_namespaces();
    let compiled = Compiler::new(mesh.snapshot()).compile(&proxy(&mesh, "one", "edge"));
    let shown = format!("{:?}", compiled.resources(ResourceType::Secret));
    assert!(shown.contains(CERTIFICATE) && !shown.contains("body"), "{shown}");
}
