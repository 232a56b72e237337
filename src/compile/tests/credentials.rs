//! Who gets which Secret.

use std::sync::Arc;

use super::{ResourceType, names, proxy};
use crate::compile::{Compiled, Compiler};
use crate::model::{
    Authorities, CertifiedKey, Change, Changes, ClientTls, ClientTlsMode, Credential, GatewayServer, HostPattern, NamespaceSelector,
    Protocol, SecretKey, ServerCertificate, ServerTls, ServerTlsMode,
};
use crate::testing::mesh::{TestMesh, fqdn, http_gateway, versions};

const SELECTOR: &[(&str, &str)] = &[("istio", "edge")];

fn credential(text: &str) -> Credential {
    let bytes: Arc<[u8]> = text.as_bytes().into();
    let pair = CertifiedKey { chain: bytes.clone(), key: bytes.clone(), ocsp_staple: None };
    Credential { certificate: Some(pair), authorities: Some(Authorities { roots: bytes, revoked: None }), ..Credential::default() }
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

/// What is wrong with which objects, for the proxies for which that compiler was last asked.
fn faults(compiler: &mut Compiler) -> Vec<String> {
    compiler.faults().unwrap().into_iter().map(|it| format!("{} {}: {}", it.object, it.path, it.message)).collect()
}

#[test]
fn an_object_is_at_fault_for_as_long_as_a_secret_of_its_is_missing_or_broken() {
    let mut mesh = two_namespaces();
    let key = SecretKey::new("one", "cert");
    let whole = mesh.secrets.remove(&key).unwrap();
    let mut compiler = Compiler::new(mesh.snapshot());
    let proxy = proxy(&mesh, "one", "edge");
    assert_eq!(faults(&mut compiler), Vec::<String>::new(), "nobody needs it");
    compiler.compile(&proxy);
    let field = "Gateway one/edge spec.servers[0].tls";
    let absent = "is not there, or pilot may not read it";
    let both = [format!("{field}: Secret one/cert {absent}"), format!("{field}: Secret one/cert or one/cert-cacert {absent}")];
    assert_eq!(faults(&mut compiler), both);
    assert_eq!(compiler.faults(), None, "nothing has changed");

    let mut becomes = |credential: Credential| {
        mesh.secrets.insert(key.clone(), credential);
        compiler.advance(mesh.snapshot(), &Changes::from([Change::Secret(key.clone())]));
        compiler.compile(&proxy);
        faults(&mut compiler)
    };
    let broken = Credential { certificate: None, problems: vec!["data[tls.key]: no private key in PEM".into()], ..whole.clone() };
    assert_eq!(becomes(broken), [format!("{field}: Secret one/cert: data[tls.key]: no private key in PEM")]);
    let alone = Credential { authorities: None, ..whole.clone() };
    assert_eq!(becomes(alone), [format!("{field}: Secret one/cert: no authorities")]);
    assert_eq!(becomes(whole), Vec::<String>::new());
}

#[test]
fn of_a_proxy_that_the_api_server_does_not_vouch_for_nobody_learns_which_secrets_are_missing() {
    let mut mesh = two_namespaces();
    mesh.secrets.clear();
    let mut compiler = Compiler::new(mesh.snapshot());
    compiler.compile(&crate::compile::Proxy { vouched: false, ..proxy(&mesh, "one", "edge") });
    assert_eq!(faults(&mut compiler), Vec::<String>::new());
}

#[test]
fn a_rule_for_everybody_is_at_fault_only_where_no_gateway_has_its_secret() {
    let mut mesh = two_namespaces();
    let mut rule = versions("one", &fqdn("one", "upstream"), &[]);
    rule.policy.tls = Some(ClientTls { mode: ClientTlsMode::Simple, credential_name: Some("roots".into()), ..ClientTls::default() });
    mesh.destination_rules.push(rule);
    let mut compiler = Compiler::new(mesh.snapshot());
    let proxies = ["one", "two"].map(|namespace| proxy(&mesh, namespace, "edge"));
    let mut told = |mesh: &TestMesh, changes: &[SecretKey]| {
        compiler.advance(mesh.snapshot(), &changes.iter().cloned().map(Change::Secret).collect());
        proxies.iter().for_each(|proxy| drop(compiler.compile(proxy)));
        faults(&mut compiler).len()
    };
    assert_eq!(told(&mesh, &[]), 2, "one for each namespace");
    let key = SecretKey::new("two", "roots");
    mesh.secrets.insert(key.clone(), credential("roots"));
    assert_eq!(told(&mesh, &[key]), 0);
}

#[test]
fn no_key_is_in_the_debug_form_of_what_was_compiled() {
    let mesh = two_namespaces();
    let compiled = Compiler::new(mesh.snapshot()).compile(&proxy(&mesh, "one", "edge"));
    let shown = format!("{:?}", compiled.resources(ResourceType::Secret));
    assert!(shown.contains(CERTIFICATE) && !shown.contains("body"), "{shown}");
}
