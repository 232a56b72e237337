//! Servers of Gateways: how TLS is ended or passed on, and for whom.

use serde_json::Value;
use std::fs;
use tempfile::tempdir;

use super::{
    cluster::{ingress_gateway, service, virtual_service},
    scene::Scene,
};
use crate::testing::{
    TestCa, block_on,
    bootstrap::PROXY,
    envoy::RunningEnvoy,
    http::{Answer, Echo, get},
    https::{Identity, TlsClient, TlsEcho},
};

pub(super) const LISTENER: &str = "0.0.0.0_8443";
pub(super) const POD: &str = "istio-system/gateway";

/// A Gateway of namespace `shop` with one server on port 8443; `tls` as in a YAML map without its braces.
pub(super) fn gateway(name: &str, protocol: &str, hosts: &str, tls: &str) -> String {
    format!(
        "
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {{name: {name}, namespace: shop}}
spec:
  selector: {{istio: ingressgateway}}
  servers:
  - port: {{number: 8443, name: {name}, protocol: {protocol}}}
    hosts: [{hosts}]
    tls: {{{tls}}}
"
    )
}

/// A VirtualService that is bound to a gateway, with a section of routes.
pub(super) fn bound(gateway: &str, hosts: &str, section: &str) -> String {
    virtual_service(gateway, hosts, &format!("  gateways: [{gateway}]\n{section}"))
}

pub(super) const HTTP_TO_WEB: &str = "  http: [{route: [{destination: {host: web}}]}]";
const TCP_TO_WEB: &str = "  tcp: [{route: [{destination: {host: web}}]}]";

/// A Secret in the gateway's namespace.
pub(super) fn secret(name: &str, entries: &[(&str, &str)]) -> String {
    let entries = entries.iter().map(|(key, text)| format!("  {key}: {}\n", base64(text)));
    format!(
        "\n---\napiVersion: v1\nkind: Secret\nmetadata: {{name: {name}, namespace: istio-system}}\ndata:\n{}",
        entries.collect::<String>()
    )
}

fn base64(text: &str) -> Value {
    serde_json::to_value(k8s_openapi::ByteString(text.as_bytes().to_vec())).unwrap()
}

pub(super) fn tls_secret(name: &str, identity: &Identity) -> String {
    secret(name, &[("tls.crt", &identity.chain), ("tls.key", &identity.key)])
}

/// Who answered.
pub(super) fn name(answer: &Answer) -> String {
    let body: Value = serde_json::from_str(&answer.body).unwrap_or_else(|error| panic!("{error}: {answer:?}"));
    body["name"].as_str().unwrap_or_default().to_owned()
}

/// A gateway in front of `web` with these objects.
pub(super) async fn serving(web: &Echo, objects: &[&str]) -> (RunningEnvoy, u16) {
    let backend = service("shop", "web", "http:80", &[("v1", web.port)]);
    Scene::of(&[&[&*backend, &*ingress_gateway()], objects].concat().concat()).envoy(POD, LISTENER).await
}

#[test]
fn servers_of_one_port_are_told_apart_by_server_name_and_keep_their_requests_apart() {
    block_on(async {
        let (ca, web) = (TestCa::new("root"), Echo::start("web").await);
        let (a, b) = (Identity::of(&ca, &["a.example"]), Identity::of(&ca, &["x.b.example"]));
        let (_envoy, port) = serving(
            &web,
            &[
                &tls_secret("a", &a),
                &secret("b", &[("cert", &b.chain), ("key", &b.key)]),
                &gateway("a", "HTTPS", "a.example", "mode: SIMPLE, credentialName: a"),
                &gateway("b", "HTTPS", "'*.b.example'", "mode: SIMPLE, credentialName: b"),
                &bound("a", "a.example", HTTP_TO_WEB),
                &bound("b", "x.b.example", HTTP_TO_WEB),
            ],
        )
        .await;
        let client = TlsClient::trusting(&ca);
        for (host, identity) in [("a.example", &a), ("x.b.example", &b)] {
            let told = client.get(port, host).await.unwrap();
            assert_eq!((told.answer.status, name(&told.answer).as_str(), told.certificate), (200, "web", identity.certificate()));
        }
        assert_eq!(client.get_of(port, "a.example", "x.b.example").await.unwrap().answer.status, 404, "another server's host");
        assert!(client.get(port, "c.example").await.is_err(), "nobody serves that name");
    });
}

#[test]
fn certificates_and_authorities_may_be_in_files() {
    block_on(async {
        let (ca, clients, web) = (TestCa::new("root"), TestCa::new("clients"), Echo::start("web").await);
        let (server, folder) = (Identity::of(&ca, &["a.example"]), tempdir().unwrap());
        for (file, text) in [("crt", &server.chain), ("key", &server.key), ("ca", &clients.pem())] {
            fs::write(folder.path().join(file), text).unwrap();
        }
        let at = folder.path().display();
        let tls = format!("mode: MUTUAL, serverCertificate: {at}/crt, privateKey: {at}/key, caCertificates: {at}/ca");
        let objects = [&*gateway("a", "HTTPS", "a.example", &tls), &*bound("a", "a.example", HTTP_TO_WEB)];
        let (_envoy, port) = serving(&web, &objects).await;
        let client = TlsClient::trusting(&ca);
        assert!(client.get(port, "a.example").await.is_err());
        let told = client.showing(&Identity::of(&clients, &["f.example"])).get(port, "a.example").await.unwrap();
        assert_eq!((told.answer.status, told.certificate), (200, server.certificate()));
    });
}

#[test]
fn versions_and_cipher_suites_are_those_that_the_server_says() {
    block_on(async {
        let (ca, web) = (TestCa::new("root"), Echo::start("web").await);
        let identity = Identity::of(&ca, &["new.example", "old.example"]);
        let old = "mode: SIMPLE, credentialName: a, maxProtocolVersion: TLSV1_2, cipherSuites: [ECDHE-ECDSA-AES256-GCM-SHA384]";
        let (envoy, port) = serving(
            &web,
            &[
                &tls_secret("a", &identity),
                &gateway("new", "HTTPS", "new.example", "mode: SIMPLE, credentialName: a, minProtocolVersion: TLSV1_3"),
                &gateway("old", "HTTPS", "old.example", old),
                &bound("new", "new.example", HTTP_TO_WEB),
                &bound("old", "old.example", HTTP_TO_WEB),
            ],
        )
        .await;
        let client = TlsClient::trusting(&ca);
        assert_eq!(client.get(port, "new.example").await.unwrap().answer.status, 200);
        assert!(client.old().get(port, "new.example").await.is_err());
        assert_eq!(client.old().get(port, "old.example").await.unwrap().answer.status, 200);
        let stats = envoy.admin("/stats?filter=ssl.ciphers").await.body;
        assert!(stats.contains("ssl.ciphers.ECDHE-ECDSA-AES256-GCM-SHA384: 1"), "{stats}");
    });
}

#[test]
fn plain_http_is_sent_to_https_where_the_server_says_so() {
    block_on(async {
        let web = Echo::start("web").await;
        let objects = [&*gateway("a", "HTTP", "a.example", "httpsRedirect: true"), &*bound("a", "a.example", HTTP_TO_WEB)];
        let (_envoy, port) = serving(&web, &objects).await;
        let answer = get(port, "/page?x=1", &[("host", "a.example")]).await;
        assert_eq!((answer.status, answer.headers["location"].as_str()), (301, "https://a.example/page?x=1"));
        assert_eq!(get(port, "/", &[("host", "b.example")]).await.status, 404);
    });
}

#[test]
fn tls_is_passed_on_unopened_by_server_name() {
    block_on(async {
        let ca = TestCa::new("root");
        let (one, two) = (Identity::of(&ca, &["one.example"]), Identity::of(&ca, &["two.example"]));
        let backends = (TlsEcho::start("one", &one).await, TlsEcho::start("two", &two).await);
        let routes = "
  tls:
  - {match: [{port: 8443, sniHosts: [one.example]}], route: [{destination: {host: one}}]}
  - {match: [{port: 8443, sniHosts: [two.example]}], route: [{destination: {host: two}}]}";
        let scene = Scene::of(
            &[
                &*service("shop", "one", "tls:443", &[("v1", backends.0.port)]),
                &*service("shop", "two", "tls:443", &[("v1", backends.1.port)]),
                &*ingress_gateway(),
                &*gateway("a", "TLS", "'*.example'", "mode: PASSTHROUGH"),
                &*bound("a", "one.example, two.example", routes),
            ]
            .concat(),
        );
        let (_envoy, port) = scene.envoy(POD, LISTENER).await;
        let client = TlsClient::trusting(&ca);
        for (host, identity, answers) in [("one.example", &one, "one"), ("two.example", &two, "two")] {
            let told = client.get(port, host).await.unwrap();
            assert_eq!((name(&told.answer).as_str(), told.certificate), (answers, identity.certificate()));
        }
        assert!(client.get(port, "three.example").await.is_err());
    });
}

#[test]
fn bytes_go_where_tcp_routes_say_with_tls_ended_or_without_any() {
    block_on(async {
        let (ca, web) = (TestCa::new("root"), Echo::start("web").await);
        let identity = Identity::of(&ca, &["a.example"]);
        let ended = [
            &*tls_secret("a", &identity),
            &*gateway("a", "TLS", "a.example", "mode: SIMPLE, credentialName: a"),
            &*bound("a", "a.example", TCP_TO_WEB),
        ];
        let (_envoy, port) = serving(&web, &ended).await;
        let told = TlsClient::trusting(&ca).get(port, "a.example").await.unwrap();
        assert_eq!((name(&told.answer).as_str(), told.certificate), ("web", identity.certificate()));
        let plain = gateway("a", "TCP", "'*'", "").replace("    tls: {}\n", "");
        let (_envoy, port) = serving(&web, &[&plain, &bound("a", "'*'", TCP_TO_WEB)]).await;
        assert_eq!(name(&get(port, "/", &[]).await), "web");
    });
}

#[test]
fn the_meshs_own_tls_is_ended_for_workloads_alone() {
    block_on(async {
        let (mesh, web) = (TestCa::new("mesh"), Echo::start("web").await);
        let backend = service("shop", "web", "http:80", &[("v1", web.port)]);
        let (door, routes) = (gateway("a", "HTTPS", PROXY, "mode: ISTIO_MUTUAL"), bound("a", PROXY, HTTP_TO_WEB));
        let scene = Scene::of(&[backend, ingress_gateway(), door, routes].concat());
        let (_envoy, port) = scene.envoy_of(&mesh, POD, LISTENER).await;
        let workload = Identity::of(&mesh, &["spiffe://cluster.local/ns/shop/sa/web"]);
        let stranger = Identity::of(&mesh, &["spiffe://elsewhere/ns/shop/sa/web"]);
        let client = TlsClient::trusting(&mesh);
        let told = client.showing(&workload).get(port, PROXY).await.unwrap();
        let seen: Value = serde_json::from_str(&told.answer.body).unwrap();
        assert!(
            seen["headers"]["x-forwarded-client-cert"].as_str().unwrap().contains("URI=spiffe://cluster.local/ns/shop/sa/web"),
            "{seen}"
        );
        assert!(client.showing(&stranger).get(port, PROXY).await.is_err());
        assert!(client.get(port, PROXY).await.is_err());
    });
}

#[test]
fn the_meshs_own_tls_is_passed_on_to_the_service_that_its_server_name_stands_for() {
    block_on(async {
        let ca = TestCa::new("root");
        let server_name = "outbound_.443_._.one.shop.svc.cluster.local";
        let one = TlsEcho::start("one", &Identity::of(&ca, &[server_name])).await;
        let backend = service("shop", "one", "tls:443", &[("v1", one.port)])
            .replace("{app: one, version: v1}", "{app: one, version: v1, security.istio.io/tlsMode: istio}");
        let scene = Scene::of(&[&*backend, &*ingress_gateway(), &*gateway("a", "TLS", "'*.local'", "mode: AUTO_PASSTHROUGH")].concat());
        let (_envoy, port) = scene.envoy(POD, LISTENER).await;
        let client = TlsClient::trusting(&ca);
        assert_eq!(name(&client.offering("istio").get(port, server_name).await.unwrap().answer), "one");
        assert!(client.get(port, server_name).await.is_err(), "TLS that is not the mesh's");
        assert!(client.offering("istio").get(port, "outbound_.443_._.two.shop.svc.cluster.local").await.is_err());
    });
}
