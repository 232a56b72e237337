//! Hosts that Kubernetes does not know: how their endpoints are found, and who may call them.

use axum::{Router, routing::get as on_get};
use serde_json::Value;
use tempfile::TempDir;
use tokio::net::UnixListener;

use super::{
    cluster::{CLIENT, address_of, entry, service},
    scene::Scene,
};
use crate::testing::{
    block_on, eventually_seen,
    http::{Echo, get},
};

/// A WorkloadEntry of namespace `shop`, its `spec` as the inside of a YAML map.
fn workload_entry(name: &str, spec: &str) -> String {
    format!(
        "
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {{name: {name}, namespace: shop}}
spec: {{{spec}}}
"
    )
}

/// Who answers a request for a host; the status where that is not 200.
async fn answered(port: u16, host: &str) -> String {
    let answer = get(port, "/", &[("host", host)]).await;
    if answer.status != 200 {
        return answer.status.to_string();
    }
    let body: Value = serde_json::from_str(&answer.body).unwrap_or_default();
    body["name"].as_str().unwrap_or(&answer.body).to_owned()
}

#[test]
fn listed_endpoints_answer_on_ports_of_their_own_and_by_weight() {
    block_on(async {
        let (one, other) = (Echo::start("one").await, Echo::start("other").await);
        let spec = format!(
            "hosts: [db.example], ports: [{{number: 80, name: http, protocol: HTTP}}], resolution: STATIC, endpoints: [
               {{address: 127.0.0.1, ports: {{http: {}}}, weight: 9}}, {{address: 127.0.0.1, ports: {{http: {}}}, weight: 1}}]",
            one.port, other.port
        );
        let scene = Scene::of(&[CLIENT, &entry("shop", "db", &spec)].concat());
        let (_envoy, port) = scene.envoy("shop/client", "0.0.0.0_80").await;
        let mut ones = 0;
        for _ in 0..100 {
            ones += u32::from(answered(port, "db.example").await == "one");
        }
        // Least requests among two with weights: by far most go to the greater one.
        assert!((70..100).contains(&ones), "{ones}");
    });
}

#[test]
fn names_are_looked_up_by_envoy() {
    block_on(async {
        let echo = Echo::start("echo").await;
        for resolution in ["DNS", "DNS_ROUND_ROBIN"] {
            let port = format!("{{number: 80, name: http, protocol: HTTP, targetPort: {}}}", echo.port);
            let spec = format!("hosts: [api.example], ports: [{port}], resolution: {resolution}, endpoints: [{{address: localhost}}]");
            let scene = Scene::of(&[CLIENT, &entry("shop", "api", &spec)].concat());
            let (_envoy, port) = scene.envoy("shop/client", "0.0.0.0_80").await;
            assert_eq!(answered(port, "api.example").await, "echo", "{resolution}");
        }
    });
}

#[test]
fn the_host_of_each_request_is_looked_up() {
    block_on(async {
        let echo = Echo::start("echo").await;
        // Names below localhost are this machine's (RFC 6761).
        let spec =
            format!("hosts: ['*.localhost'], ports: [{{number: {}, name: http, protocol: HTTP}}], resolution: DYNAMIC_DNS", echo.port);
        let scene = Scene::of(&[CLIENT, &entry("shop", "any", &spec)].concat());
        let (_envoy, port) = scene.envoy("shop/client", &format!("0.0.0.0_{}", echo.port)).await;
        assert_eq!(answered(port, &format!("a.localhost:{}", echo.port)).await, "echo");
        assert_eq!(answered(port, &format!("b.localhost:{}", echo.port)).await, "echo");
    });
}

#[test]
fn without_resolution_the_address_that_the_client_chose_is_called_at_the_target_port() {
    block_on(async {
        let (chosen, target) = (Echo::start("chosen").await, Echo::start("target").await);
        let spec = "hosts: ['*.example'], ports: [{number: 80, name: http, protocol: HTTP}], resolution: NONE".to_owned();
        let scene = Scene::of(&[CLIENT, &entry("shop", "any", &spec)].concat());
        let (_envoy, port) = scene.envoy_on_the_way("shop/client", "0.0.0.0_80", chosen.port).await;
        assert_eq!(answered(port, "a.example").await, "chosen");

        let spec = spec.replace("HTTP}", &format!("HTTP, targetPort: {}}}", target.port));
        let scene = Scene::of(&[CLIENT, &entry("shop", "any", &spec)].concat());
        let (_envoy, port) = scene.envoy_on_the_way("shop/client", "0.0.0.0_80", chosen.port).await;
        assert_eq!(answered(port, "a.example").await, "target");
    });
}

#[test]
fn an_endpoint_may_be_a_unix_socket() {
    block_on(async {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("socket");
        let listener = UnixListener::bind(&path).unwrap();
        let serving = tokio::spawn(async move { axum::serve(listener, Router::new().route("/", on_get(|| async { "socket" }))).await });
        let spec = format!(
            "hosts: [local.example], ports: [{{number: 80, name: http, protocol: HTTP}}], resolution: STATIC,
             endpoints: [{{address: 'unix://{}'}}]",
            path.display()
        );
        let scene = Scene::of(&[CLIENT, &entry("shop", "local", &spec)].concat());
        let (_envoy, port) = scene.envoy("shop/client", "0.0.0.0_80").await;
        assert_eq!(answered(port, "local.example").await, "socket");
        serving.abort();
    });
}

#[test]
fn workload_entries_stand_behind_who_selects_them() {
    block_on(async {
        let (pod, vm) = (Echo::start("pod").await, Echo::start("vm").await);
        let vms = [
            workload_entry("vm", &format!("address: 127.0.0.1, labels: {{app: web}}, ports: {{http: {}}}", vm.port)),
            workload_entry("other", "address: 127.0.0.1, labels: {app: other}, ports: {http: 1}"),
        ]
        .concat();
        let spec = "hosts: [vms.example], ports: [{number: 80, name: http, protocol: HTTP}], resolution: STATIC, location: MESH_INTERNAL,
                    workloadSelector: {labels: {app: web}}";
        let web = service("shop", "web", "http:80", &[("v1", pod.port)]);
        // The pod is selected, too, but has no port 80.
        let pods = web.replace("podIP: 127.0.0.1", "podIP: 127.0.0.9");
        let scene = Scene::of(&[CLIENT, &pods, &vms, &entry("shop", "vms", spec)].concat());
        let (_envoy, port) = scene.envoy("shop/client", "0.0.0.0_80").await;
        // The Kubernetes Service has both, the pod by its slice and the machine by its labels.
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..40 {
            seen.insert(answered(port, "web.shop").await);
        }
        assert_eq!(seen, ["pod".to_owned(), "vm".to_owned()].into());
        // The ServiceEntry has the machine; the pod is not there.
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..20 {
            seen.insert(answered(port, "vms.example").await);
        }
        assert!(seen.contains("vm") && !seen.contains("pod"), "{seen:?}");
    });
}

#[test]
fn where_only_the_registry_counts_an_entry_opens_the_way_for_whom_it_is_exported_to() {
    block_on(async {
        let echo = Echo::start("echo").await;
        let only = "outboundTrafficPolicy: {mode: REGISTRY_ONLY}";
        let web = service("shop", "web", "http:80", &[]);
        let spec = format!(
            "hosts: [api.example], ports: [{{number: 80, name: http, protocol: HTTP}}], resolution: STATIC,
             endpoints: [{{address: 127.0.0.1, ports: {{http: {}}}}}]",
            echo.port
        );
        let asked = async |objects: &[&str], mesh: &str| {
            let scene = Scene::with(&[&[CLIENT, &web], objects].concat().concat(), mesh);
            let (_envoy, port) = scene.envoy_on_the_way("shop/client", "0.0.0.0_80", echo.port).await;
            answered(port, "api.example").await
        };
        assert_eq!(asked(&[], "").await, "echo", "all may be called");
        assert_eq!(asked(&[], only).await, "502");
        assert_eq!(asked(&[&entry("shop", "api", &spec)], only).await, "echo");
        assert_eq!(asked(&[&entry("bank", "api", &spec)], only).await, "echo");
        assert_eq!(asked(&[&entry("bank", "api", &format!("{spec}, exportTo: ['.']"))], only).await, "502");
        assert_eq!(asked(&[&entry("bank", "api", &format!("{spec}, exportTo: [shop]"))], only).await, "echo");
        let private = format!("{only}\ndefaultServiceExportTo: ['.']");
        assert_eq!(asked(&[&entry("bank", "api", &spec)], &private).await, "502", "who sees what does not say, is the mesh's to say");
        assert_eq!(asked(&[&entry("bank", "api", &format!("{spec}, exportTo: ['*']"))], &private).await, "echo");
    });
}

#[test]
fn status_codes_that_a_policy_names_put_an_endpoint_out() {
    block_on(async {
        // Answers 404 to everything but `/`, and says who it is there.
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let bad = listener.local_addr().unwrap().port();
        let app = Router::new().fallback(|| async { (http::StatusCode::NOT_FOUND, "lost") });
        let serving = tokio::spawn(async move { axum::serve(listener, app).await });
        let good = Echo::start("good").await;
        let web = service("shop", "web", "http:80", &[("v1", bad), ("v2", good.port)]);
        let rule = |codes: &str| {
            format!(
                "
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: web, namespace: shop}}
spec:
  host: web
  trafficPolicy:
    loadBalancer: {{simple: ROUND_ROBIN}}
    outlierDetection: {{consecutive5xxErrors: 2, interval: 0.05s, baseEjectionTime: 300s, maxEjectionPercent: 100{codes}}}
"
            )
        };
        let scene = Scene::of(&[CLIENT, &web, &rule(", outlierDetectionHttpErrorCodes: [404]")].concat());
        let (_envoy, port) = scene.envoy("shop/client", "0.0.0.0_80").await;
        eventually_seen("the endpoint that answers 404 is out", async || {
            let mut answers = Vec::new();
            for _ in 0..10 {
                answers.push(answered(port, "web.shop").await);
            }
            answers.iter().all(|answer| answer == "good")
        })
        .await;

        let scene = Scene::of(&[CLIENT, &web, &rule("")].concat());
        let (_envoy, port) = scene.envoy("shop/client", "0.0.0.0_80").await;
        let mut lost = 0;
        for _ in 0..60 {
            lost += u32::from(answered(port, "web.shop").await == "404");
        }
        assert_eq!(lost, 30, "404 is no error by itself");
        serving.abort();
    });
}

#[test]
fn http_is_told_from_other_bytes_where_nobody_says_what_is_spoken() {
    block_on(async {
        let echo = Echo::start("echo").await;
        let scene = Scene::of(&[CLIENT, &service("shop", "web", "main:7000", &[("v1", echo.port)])].concat());
        let (envoy, port) = scene.envoy("shop/client", &format!("{}_7000", address_of("web"))).await;
        assert_eq!(answered(port, "whatever").await, "echo");
        let stats = envoy.admin("/stats?filter=http.outbound.*rq_total").await.body;
        assert!(stats.contains("downstream_rq_total: 1"), "{stats}");
    });
}

#[test]
fn an_external_name_is_the_service_that_it_names_or_a_host_outside() {
    block_on(async {
        let (web, moved) = (Echo::start("web").await, Echo::start("moved").await);
        let named = |name: &str, number: u16| {
            format!(
                "
---
apiVersion: v1
kind: Service
metadata: {{name: alias, namespace: shop}}
spec: {{type: ExternalName, externalName: {name}, ports: [{{name: http, port: {number}}}]}}
"
            )
        };
        let services =
            [service("shop", "web", "http:80", &[("v1", web.port)]), service("shop", "moved", "http:80", &[("v1", moved.port)])].concat();
        let routed = "
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: web, namespace: shop}
spec: {hosts: [web], http: [{route: [{destination: {host: moved}}]}]}
";
        let inside = named("web.shop.svc.cluster.local", 80);
        let (_envoy, port) = Scene::of(&[CLIENT, &services, &inside].concat()).envoy("shop/client", "0.0.0.0_80").await;
        assert_eq!(answered(port, "alias.shop").await, "web");
        let (_envoy, port) = Scene::of(&[CLIENT, &services, &inside, routed].concat()).envoy("shop/client", "0.0.0.0_80").await;
        assert_eq!(answered(port, "alias.shop").await, "moved", "what holds for the service holds for its other name");

        let scene = Scene::of(&[CLIENT, &named("localhost", web.port)].concat());
        let (_envoy, port) = scene.envoy("shop/client", &format!("0.0.0.0_{}", web.port)).await;
        assert_eq!(answered(port, &format!("alias.shop:{}", web.port)).await, "web");
    });
}
