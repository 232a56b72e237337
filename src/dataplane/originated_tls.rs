//! TLS that proxies begin, as DestinationRules say.

use std::fs;

use tempfile::tempdir;

use super::{
    cluster::{CLIENT, destination_rule, entry, ingress_gateway, pod, service},
    gateways::{LISTENER, POD, bound, gateway, name, secret},
    scene::Scene,
};
use crate::testing::{
    TestCa, block_on,
    http::get,
    https::{Identity, TlsEcho},
};

#[test]
fn a_gateway_shows_upstreams_the_certificate_of_a_rules_secret() {
    block_on(async {
        let (ca, outside) = (TestCa::new("root"), TestCa::new("outside"));
        let backend = TlsEcho::demanding("one", &Identity::of(&outside, &["one.shop.svc.cluster.local"]), &ca).await;
        let client = Identity::of(&ca, &["gateway.example"]);
        let policy = "{tls: {mode: MUTUAL, credentialName: upstream, subjectAltNames: [one.shop.svc.cluster.local]}}";
        let rule = destination_rule("one", &format!("  trafficPolicy: {policy}"));
        let scene = |authority: &TestCa| {
            Scene::of(
                &[
                    &*service("shop", "one", "http:80", &[("v1", backend.port)]),
                    &*ingress_gateway(),
                    &*gateway("a", "HTTP", "a.example", "").replace("    tls: {}\n", ""),
                    &*bound("a", "a.example", "  http: [{route: [{destination: {host: one}}]}]"),
                    &*rule,
                    &*secret("upstream", &[("cert", &client.chain), ("key", &client.key), ("cacert", &authority.pem())]),
                ]
                .concat(),
            )
        };
        let (_envoy, port) = scene(&outside).envoy(POD, LISTENER).await;
        assert_eq!(name(&get(port, "/", &[("host", "a.example")]).await), "one");
        let (_envoy, port) = scene(&ca).envoy(POD, LISTENER).await;
        assert_eq!(get(port, "/", &[("host", "a.example")]).await.status, 503, "the upstream's authority is not trusted");
    });
}

#[test]
fn sidecars_use_a_rules_secret_only_if_the_rule_names_them() {
    let rule = |selector: &str| {
        destination_rule("one", &format!("{selector}  trafficPolicy: {{tls: {{mode: MUTUAL, credentialName: upstream}}}}"))
    };
    let identity = Identity::of(&TestCa::new("root"), &["a.example"]);
    let secret = secret("upstream", &[("cert", &identity.chain), ("key", &identity.key)]).replace("istio-system", "shop");
    let told = |selector: &str| {
        let objects = [&*service("shop", "one", "http:80", &[]), &*pod("shop", "client", "app: client"), &*secret, &*rule(selector)];
        let compiled = Scene::of(&objects.concat()).compiled("shop/client");
        crate::testing::bootstrap::names(&compiled, crate::compile::ResourceType::Secret)
    };
    assert_eq!(told("  workloadSelector: {matchLabels: {app: client}}\n"), ["kubernetes://upstream"]);
    assert_eq!(told(""), Vec::<String>::new());
    assert_eq!(told("  workloadSelector: {matchLabels: {app: other}}\n"), Vec::<String>::new());
}

/// Files with the texts that a rule's TLS may name, and their folder.
fn files(texts: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempdir().unwrap();
    texts.iter().for_each(|(file, text)| fs::write(folder.path().join(file), text).unwrap());
    folder
}

#[test]
fn an_application_that_calls_in_plain_text_is_heard_in_tls() {
    block_on(async {
        let (ca, other, clients) = (TestCa::new("outside"), TestCa::new("other"), TestCa::new("clients"));
        let server = Identity::of(&ca, &["api.example"]);
        let (open, closed) = (TlsEcho::start("api", &server).await, TlsEcho::demanding("api", &server, &clients).await);
        let (friend, stranger) = (Identity::of(&clients, &["friend"]), Identity::of(&other, &["stranger"]));
        let revoking = ca.revoking(&[server.certificate()]);
        let folder = files(&[
            ("ca", &ca.pem()),
            ("other", &other.pem()),
            ("crt", &friend.chain),
            ("key", &friend.key),
            ("crt2", &stranger.chain),
            ("key2", &stranger.key),
            ("crl", &revoking),
        ]);
        let at = folder.path().display();
        let by = |mode: &str, ca: &str, rest: &str| format!("tls: {{mode: {mode}, sni: api.example, caCertificates: {at}/{ca}{rest}}}");
        let own = |number: &str| format!(", clientCertificate: {at}/crt{number}, privateKey: {at}/key{number}");
        let cases = [
            ("the right authority", by("SIMPLE", "ca", ""), open.port, true),
            ("another authority", by("SIMPLE", "other", ""), open.port, false),
            ("the right name", by("SIMPLE", "ca", ", subjectAltNames: [api.example]"), open.port, true),
            ("another name", by("SIMPLE", "ca", ", subjectAltNames: [b.example]"), open.port, false),
            ("whoever it is", "tls: {mode: SIMPLE, sni: api.example, insecureSkipVerify: true}".to_owned(), open.port, true),
            ("who is revoked", by("SIMPLE", "ca", &format!(", caCrl: {at}/crl")), open.port, false),
            ("no certificate", by("SIMPLE", "ca", ""), closed.port, false),
            ("a certificate", by("MUTUAL", "ca", &own("")), closed.port, true),
            ("a stranger's certificate", by("MUTUAL", "ca", &own("2")), closed.port, false),
            ("plain text", "tls: {mode: DISABLE}".to_owned(), open.port, false),
        ];
        for (what, policy, server, heard) in cases {
            let spec = format!(
                "hosts: [api.example], ports: [{{number: 80, name: http, protocol: HTTP}}], resolution: STATIC, location: MESH_EXTERNAL, \
                 endpoints: [{{address: 127.0.0.1, ports: {{http: {server}}}}}]"
            );
            let rule = destination_rule("api.example", &format!("  trafficPolicy: {{{policy}}}"));
            let scene = Scene::of(&[CLIENT, &entry("shop", "api", &spec), &rule].concat());
            let (envoy, port) = scene.envoy("shop/client", "0.0.0.0_80").await;
            let answer = get(port, "/", &[("host", "api.example")]).await;
            let expected: &[u16] = if heard { &[200] } else { &[502, 503] };
            assert!(expected.contains(&answer.status), "{what}: {answer:?}\n{}", envoy.log());
        }
    });
}
