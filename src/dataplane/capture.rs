//! Traffic that the pod's own rules bring to the proxy, by both address families.

use std::net::TcpListener;

use super::scene::Scene;
use crate::agent::{Backend, Capture, apply};
use crate::compile::{Proxy, compile};
use crate::model::{InterceptionMode, WorkloadKey};
use crate::testing::{
    block_on,
    bootstrap::Static,
    envoy::start,
    eventually_seen,
    mesh::proxy_of,
    pod::{CLIENT, CLIENT_V6, OUTSIDE, Outside, POD, POD_V6, SERVICE, SERVICE_V6, answer_when_spoken_to, as_user, in_namespace, say},
};

/// The pod, with an address of each family, and a Service that it is behind.
const POD_AND_SERVICE: &str = "
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop, labels: {app: web}}
spec: {nodeName: node-0, serviceAccountName: web, containers: [{name: app, image: app}]}
status: {phase: Running, podIP: 10.9.0.1, podIPs: [{ip: 10.9.0.1}, {ip: 'fd00:9::1'}], conditions: [{type: Ready, status: \"True\"}]}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {clusterIP: 10.96.0.1, selector: {app: web}, ports: [{name: tcp, port: 8080}]}
";
/// Ports of the application: one that the Service names, and one of which nobody tells.
const PORTS: [u16; 2] = [8080, 8081];
const APPLICATION: u32 = 1000;
/// What can't become a request of HTTP, whatever follows.
const HELLO: &str = "\u{1}hello\n";

#[test]
fn connections_pass_the_proxy_by_both_families() {
    in_namespace("dataplane::capture::connections_pass_the_proxy_by_both_families", || {
        block_on(async {
            passes(InterceptionMode::Redirect).await;
        });
    });
}

#[test]
fn a_transparent_proxy_hides_nobody() {
    in_namespace("dataplane::capture::a_transparent_proxy_hides_nobody", || {
        block_on(async {
            passes(InterceptionMode::Tproxy).await;
        });
    });
}

async fn passes(mode: InterceptionMode) {
    let outside = Outside::beside_this_pod();
    outside.answer_when_spoken_to(80);
    for port in PORTS {
        answer_when_spoken_to(TcpListener::bind(("::", port)).unwrap(), |peer| format!("application, called by {peer}"));
    }
    let scene = Scene::of(POD_AND_SERVICE);
    let web = scene.snapshot.workloads.get(&WorkloadKey::new("shop", "web")).unwrap();
    let metadata = [("INTERCEPTION_MODE".to_owned(), mode.as_str().to_owned())].into();
    let compiled = compile(scene.snapshot.clone(), &Proxy { metadata, ..proxy_of(web) });
    let envoy = start(Static::of(&compiled).bootstrap()).await;
    // Here the proxy runs as who runs the test.
    let capture = Capture { mode, users: vec![0], groups: vec![], ..Capture::usual() };
    apply(&capture.rules(), Backend::Auto).unwrap();
    let listens = async |name: &str| envoy.admin("/listeners").await.body.contains(name);
    eventually_seen("the proxy listens", async || listens("virtualInbound").await && listens("virtualOutbound").await).await;
    for (pod, client, service, own) in [(POD, CLIENT, SERVICE, "127.0.0.6"), (POD_V6, CLIENT_V6, SERVICE_V6, "::6")] {
        for port in PORTS {
            let seen = if mode == InterceptionMode::Tproxy { client } else { own };
            let answer = outside.say(pod, port, HELLO);
            assert_eq!(answer, Some(format!("application, called by {seen}")), "{pod}:{port}\n{}", envoy.log());
        }
        let answer = as_user(APPLICATION, APPLICATION, || say(service, 80, HELLO));
        assert_eq!(answer.as_deref(), Some(OUTSIDE), "{service}\n{}", envoy.log());
    }
    // All of it went through the proxy: an inbound cluster, one for other inbound ports, and one for what nobody declared.
    let stats = envoy.admin("/stats").await.body;
    for cluster in ["inbound|8080||", "InboundPassthroughCluster", "PassthroughCluster"] {
        let counted = format!("cluster.{cluster};.upstream_cx_total: 2");
        assert!(stats.lines().any(|line| line == counted), "{counted}: {stats}");
    }
}
