//! What a Sidecar lets in and out of a workload.

use axum::{Router, routing::get as on_get};
use rcgen::KeyPair;
use serde_json::Value;
use tokio::net::UnixListener;

use super::{
    cluster::{pod, service},
    scene::Scene,
};
use crate::compile::ResourceType;
use crate::testing::{
    TestCa, ask_webhook, block_on,
    bootstrap::{Static, names},
    envoy::{RunningEnvoy, start},
    eventually, free_port,
    http::{Echo, ask_socket, get, try_get},
};

/// A Sidecar for all of the namespace `shop`; `spec` as YAML, each line two spaces in.
pub(super) fn sidecar(spec: &str) -> String {
    format!("\n---\napiVersion: networking.istio.io/v1\nkind: Sidecar\nmetadata: {{name: default, namespace: shop}}\nspec:\n{spec}\n")
}

fn client() -> String {
    pod("shop", "client", "app: client")
}

/// The name of the upstream that answers.
async fn answering(port: u16, host: &str) -> String {
    let answer = get(port, "/", &[("host", host)]).await;
    match serde_json::from_str::<Value>(&answer.body) {
        Ok(body) => body["name"].as_str().unwrap_or_default().to_owned(),
        Err(_) => answer.status.to_string(),
    }
}

/// The Envoy of a pod with one of its listeners, where that opens itself.
async fn opened(scene: &Scene, pod: &str, listener: &str) -> RunningEnvoy {
    let mut all = Static::of(&scene.compiled(pod));
    all.listeners.retain(|it| it["name"] == listener);
    assert_eq!(all.listeners.len(), 1, "listener {listener}");
    start(all.bootstrap()).await
}

/// The Envoy of the pod `shop/server` with its inbound listener on a port of loopback.
pub(super) async fn server(scene: &Scene, port: u16) -> RunningEnvoy {
    start(Static::of(&scene.compiled("shop/server")).listening("virtualInbound", port).bootstrap()).await
}

#[test]
fn an_ingress_listener_leads_to_the_port_that_it_names() {
    block_on(async {
        let (app, port) = (Echo::start("app").await, free_port());
        for endpoint in ["127.0.0.1", "0.0.0.0"] {
            let ingress = format!("  ingress: [{{port: {{number: {port}, protocol: HTTP}}, defaultEndpoint: '{endpoint}:{}'}}]", app.port);
            let scene = Scene::of(&[&pod("shop", "server", "app: server"), &*sidecar(&ingress)].concat());
            let _envoy = server(&scene, port).await;
            assert_eq!(answering(port, "any").await, "app", "{endpoint}");
        }
    });
}

#[test]
fn an_ingress_listener_leads_to_a_unix_socket() {
    block_on(async {
        let (folder, port) = (tempfile::tempdir().unwrap(), free_port());
        let path = folder.path().join("app.sock");
        let socket = UnixListener::bind(&path).unwrap();
        let app = Router::new().fallback(on_get(|| async { r#"{"name": "socket"}"# }));
        let serving = tokio::spawn(async move { axum::serve(socket, app).await });
        let ingress = format!("  ingress: [{{port: {{number: {port}, protocol: HTTP}}, defaultEndpoint: 'unix://{}'}}]", path.display());
        let scene = Scene::of(&[&pod("shop", "server", "app: server"), &*sidecar(&ingress)].concat());
        let _envoy = server(&scene, port).await;
        assert_eq!(answering(port, "any").await, "socket");
        serving.abort();
    });
}

#[test]
fn an_ingress_listener_that_is_not_captured_opens_its_port() {
    block_on(async {
        let (app, port) = (Echo::start("app").await, free_port());
        let ingress = format!(
            "  ingress: [{{port: {{number: {port}, protocol: HTTP}}, bind: 127.0.0.1, captureMode: NONE, defaultEndpoint: '127.0.0.1:{}'}}]",
            app.port
        );
        let scene = Scene::of(&[&pod("shop", "server", "app: server"), &*sidecar(&ingress)].concat());
        let _envoy = opened(&scene, "shop/server", &format!("127.0.0.1_{port}")).await;
        assert_eq!(answering(port, "any").await, "app");
    });
}

#[test]
fn an_ingress_listener_ends_tls_of_its_own_where_the_meshs_is_off() {
    block_on(async {
        let (app, port, ca, folder) = (Echo::start("app").await, free_port(), TestCa::new("root"), tempfile::tempdir().unwrap());
        let key = KeyPair::generate().unwrap();
        std::fs::write(folder.path().join("chain.pem"), ca.sign(&key, &[], &["server.example"]).pem()).unwrap();
        std::fs::write(folder.path().join("key.pem"), key.serialize_pem()).unwrap();
        let ingress = format!(
            "  ingress:\n  - port: {{number: {port}, protocol: HTTPS, name: https}}\n    defaultEndpoint: 127.0.0.1:{}\n    \
             tls: {{mode: SIMPLE, serverCertificate: {folder}/chain.pem, privateKey: {folder}/key.pem}}",
            app.port,
            folder = folder.path().display(),
        );
        let off = "\n---\napiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {name: default, namespace: shop}\n\
                   spec: {mtls: {mode: DISABLE}}\n";
        let scene = Scene::of(&[&pod("shop", "server", "app: server"), &*sidecar(&ingress), off].concat());
        let _envoy = server(&scene, port).await;
        let (status, body) = ask_webhook(&ca, "server.example", ([127, 0, 0, 1], port).into(), "/", "").await;
        assert_eq!((status.as_u16(), &body["name"]), (200, &"app".into()));
        assert!(try_get(port, "/", &[]).await.is_err(), "plain text is no TLS");
    });
}

#[test]
fn only_hosts_that_egress_lists_are_known() {
    block_on(async {
        let (reviews, secret) = (Echo::start("reviews").await, Echo::start("secret").await);
        let services = [
            service("shop", "reviews", "http:9080", &[("v1", reviews.port)]),
            service("data", "secret", "http:9080", &[("v1", secret.port)]),
        ];
        let all = [&services[0], &services[1], &*client()].concat();
        let registry_only = "  outboundTrafficPolicy: {mode: REGISTRY_ONLY}";
        for (hosts, secret_answers) in [
            ("'*/*'", "secret"),
            ("./*", "502"),
            ("./*, data/secret.data.svc.cluster.local", "secret"),
            ("'*/*', ~data/*", "502"),
            ("shop/*", "502"),
        ] {
            let scene = Scene::of(&[&*all, &sidecar(&format!("{registry_only}\n  egress: [{{hosts: [{hosts}]}}]"))].concat());
            let clusters = names(&scene.compiled("shop/client"), ResourceType::Cluster);
            assert_eq!(clusters.iter().any(|name| name.contains("secret")), secret_answers == "secret", "{hosts}: {clusters:?}");
            let (_envoy, port) = scene.envoy("shop/client", "0.0.0.0_9080").await;
            assert_eq!(answering(port, "reviews").await, "reviews", "{hosts}");
            assert_eq!(answering(port, "secret.data").await, secret_answers, "{hosts}");
        }
        let scene = Scene::of(&[&*all, &sidecar("  egress: [{hosts: [~/*]}]")].concat());
        let clusters = names(&scene.compiled("shop/client"), ResourceType::Cluster);
        assert!(!clusters.iter().any(|name| name.starts_with("outbound|")), "{clusters:?}");
    });
}

#[test]
fn a_route_leads_to_services_that_egress_does_not_list() {
    block_on(async {
        let (reviews, other) = (Echo::start("reviews").await, Echo::start("other").await);
        let services = [
            service("shop", "reviews", "http:9080", &[("v1", reviews.port)]),
            service("data", "other", "http:9080", &[("v1", other.port)]),
        ];
        let route = "\n---\napiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: reviews, namespace: shop}\n\
                     spec: {hosts: [reviews], http: [{route: [{destination: {host: other.data.svc.cluster.local}}]}]}\n";
        let scene = Scene::of(&[&services[0], &services[1], &*client(), route, &*sidecar("  egress: [{hosts: [./*]}]")].concat());
        let (_envoy, port) = scene.envoy("shop/client", "0.0.0.0_9080").await;
        assert_eq!(answering(port, "reviews").await, "other");
    });
}

#[test]
fn an_egress_listener_opens_its_port_at_its_address_for_its_hosts_alone() {
    block_on(async {
        let (reviews, port) = (Echo::start("reviews").await, free_port());
        let services = service("shop", "reviews", &format!("http:{port}"), &[("v1", reviews.port)]);
        let hidden = service("data", "hidden", &format!("http:{port}"), &[]);
        for (bind, listener) in [("", format!("127.0.0.1_{port}")), (", bind: 127.0.0.2", format!("127.0.0.2_{port}"))] {
            let egress = format!(
                "  outboundTrafficPolicy: {{mode: REGISTRY_ONLY}}\n  \
                 egress: [{{port: {{number: {port}, protocol: HTTP, name: a}}{bind}, captureMode: NONE, hosts: [./*]}}, {{hosts: ['*/*']}}]"
            );
            let scene = Scene::of(&[&services, &hidden, &*client(), &*sidecar(&egress)].concat());
            let _envoy = opened(&scene, "shop/client", &listener).await;
            if bind.is_empty() {
                assert_eq!(answering(port, "reviews").await, "reviews");
                assert_eq!(answering(port, "hidden.data").await, "502");
            } else {
                assert!(tokio::net::TcpStream::connect(("127.0.0.2", port)).await.is_ok());
            }
        }
    });
}

#[test]
fn an_egress_listener_opens_a_unix_socket() {
    block_on(async {
        let (folder, reviews) = (tempfile::tempdir().unwrap(), Echo::start("reviews").await);
        let path = folder.path().join("mesh.sock");
        let services = service("shop", "reviews", "http:9080", &[("v1", reviews.port)]);
        let egress = format!("  egress: [{{port: {{protocol: HTTP, name: a}}, bind: 'unix://{}', hosts: [./*]}}]", path.display());
        let scene = Scene::of(&[&services, &*client(), &*sidecar(&egress)].concat());
        let _envoy = opened(&scene, "shop/client", &format!("unix://{}", path.display())).await;
        eventually("the socket is there", || path.exists()).await;
        for host in ["reviews", "reviews.shop.svc.cluster.local:9080"] {
            let answer: Value = serde_json::from_str(&ask_socket(&path, host).await).unwrap();
            assert_eq!(answer["name"], "reviews", "{host}");
        }
    });
}

#[test]
fn what_nobody_declared_is_one_workloads_own_to_refuse_or_to_send_to_a_proxy() {
    block_on(async {
        let (reviews, way_out) = (Echo::start("reviews").await, Echo::start("way-out").await);
        let services = [
            service("shop", "reviews", "http:9080", &[("v1", reviews.port)]),
            service("data", "way-out", "http:8080", &[("v1", way_out.port)]),
            pod("shop", "other", "app: other"),
        ];
        let selected = |policy: &str| {
            sidecar(&format!(
                "  workloadSelector: {{labels: {{app: client}}}}\n  outboundTrafficPolicy: {policy}\n  egress: [{{hosts: [./*]}}]"
            ))
        };
        let scene = |policy: &str| Scene::of(&[&services[0], &services[1], &services[2], &*client(), &*selected(policy)].concat());
        let refusing = scene("{mode: REGISTRY_ONLY}");
        let (_envoy, port) = refusing.envoy("shop/client", "0.0.0.0_9080").await;
        assert_eq!((answering(port, "reviews").await, answering(port, "elsewhere.example").await), ("reviews".into(), "502".into()));
        let (_envoy, port) = refusing.envoy("shop/other", "0.0.0.0_9080").await;
        assert_ne!(answering(port, "elsewhere.example").await, "502", "the Sidecar is not for this workload");

        let sending = scene("{mode: ALLOW_ANY, egressProxy: {host: way-out.data.svc.cluster.local, port: {number: 8080}}}");
        let (_envoy, port) = sending.envoy("shop/client", "0.0.0.0_9080").await;
        assert_eq!((answering(port, "reviews").await, answering(port, "elsewhere.example").await), ("reviews".into(), "way-out".into()));
    });
}
