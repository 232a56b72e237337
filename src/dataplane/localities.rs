//! Which of several places gets the requests.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{
    cluster::{CLIENT, destination_rule, entry, pod},
    scene::Scene,
};
use crate::testing::{
    block_on, eventually_seen, free_port,
    http::{Echo, get},
};

/// A host with endpoints in these places; each port of loopback with its `region/zone` and what else is to be said of it.
fn spread(places: &[(u16, &str, &str)]) -> String {
    let endpoint =
        |(port, locality, rest): &(u16, &str, &str)| format!("{{address: 127.0.0.1, ports: {{http: {port}}}, locality: {locality}{rest}}}");
    let endpoints: Vec<String> = places.iter().map(endpoint).collect();
    let spec = format!(
        "hosts: [web.example], ports: [{{number: 80, name: http, protocol: HTTP}}], resolution: STATIC, endpoints: [{}]",
        endpoints.join(", ")
    );
    entry("shop", "web", &spec)
}

/// The client, in that place.
fn client_in(locality: &str) -> String {
    CLIENT.replace("{app: client}", &format!("{{app: client, tier: front, istio-locality: {}}}", locality.replace('/', ".")))
}

/// Who answers so many requests.
async fn answers(port: u16, requests: usize) -> BTreeMap<String, usize> {
    let mut answers = BTreeMap::new();
    for _ in 0..requests {
        let answer = get(port, "/", &[("host", "web.example")]).await;
        let body: Value = serde_json::from_str(&answer.body).unwrap_or_default();
        *answers.entry(body["name"].as_str().map_or_else(|| answer.status.to_string(), str::to_owned)).or_default() += 1;
    }
    answers
}

const EJECTION: &str = "outlierDetection: {consecutive5xxErrors: 1, splitExternalLocalOriginErrors: true, \
    consecutiveLocalOriginFailures: 1, interval: 0.05s, baseEjectionTime: 300s, maxEjectionPercent: 100}";

#[test]
fn the_nearest_place_that_works_gets_all_requests() {
    block_on(async {
        let (near, region, far) = (Echo::start("near").await, Echo::start("region").await, Echo::start("far").await);
        let rule = destination_rule("web.example", &format!("  trafficPolicy: {{{EJECTION}}}"));
        let all = [(near.port, "r1/z1", ""), (region.port, "r1/z2", ""), (far.port, "r2/z1", "")];
        let (gone, away) = (free_port(), free_port());
        let cases = [
            ("r1/z1", all, "near"),
            ("r2/z9", all, "far"),
            ("r1/z1", [(gone, "r1/z1", ""), (region.port, "r1/z2", ""), (far.port, "r2/z1", "")], "region"),
            ("r1/z1", [(gone, "r1/z1", ""), (away, "r1/z2", ""), (far.port, "r2/z1", "")], "far"),
        ];
        for (place, endpoints, expected) in cases {
            let scene = Scene::of(&[&*client_in(place), &spread(&endpoints), &rule].concat());
            let (_envoy, port) = scene.envoy("shop/client", "0.0.0.0_80").await;
            eventually_seen(&format!("from {place} {expected} answers"), async || {
                answers(port, 10).await == BTreeMap::from([(expected.to_owned(), 10)])
            })
            .await;
        }
    });
}

#[test]
fn a_rule_may_say_which_region_stands_in_and_which_labels_are_near() {
    block_on(async {
        let (second, third) = (Echo::start("second").await, Echo::start("third").await);
        let gone = free_port();
        let with = |setting: &str| {
            let policy = format!("  trafficPolicy: {{{EJECTION}, loadBalancer: {{simple: ROUND_ROBIN, localityLbSetting: {setting}}}}}");
            destination_rule("web.example", &policy)
        };
        let places = [(gone, "r1/z1", ""), (second.port, "r2/z1", ""), (third.port, "r3/z1", ", labels: {tier: front}")];
        let cases = [
            (with("{failover: [{from: r1, to: r3}]}"), "third"),
            (with("{failover: [{from: r1, to: r2}]}"), "second"),
            (with("{failoverPriority: [tier]}"), "third"),
        ];
        for (rule, expected) in cases {
            let scene = Scene::of(&[&*client_in("r1/z1"), &spread(&places), &rule].concat());
            let (_envoy, port) = scene.envoy("shop/client", "0.0.0.0_80").await;
            eventually_seen(&format!("{expected} answers under {rule}"), async || {
                answers(port, 10).await == BTreeMap::from([(expected.to_owned(), 10)])
            })
            .await;
        }
    });
}

#[test]
fn places_get_their_shares_by_a_rule_or_by_the_meshs_setting() {
    block_on(async {
        let (near, far) = (Echo::start("near").await, Echo::start("far").await);
        let objects = [&*client_in("r1/z1"), &spread(&[(near.port, "r1/z1", ""), (far.port, "r2/z1", "")])].concat();
        let shares = "localityLbSetting: {distribute: [{from: r1/*, to: {r1/*: 20, r2/*: 80}}]}";
        let rule = |policy: &str| destination_rule("web.example", &format!("  trafficPolicy: {{{policy}}}"));
        let plain = rule(EJECTION);
        let own = rule(&format!("loadBalancer: {{simple: ROUND_ROBIN, {shares}}}"));
        let off = rule(&format!("{EJECTION}, loadBalancer: {{simple: ROUND_ROBIN, localityLbSetting: {{enabled: false}}}}"));
        let none = String::new();
        let cases = [
            ("by the rule", &own, "", 60..97),
            ("by the mesh", &none, shares, 60..97),
            ("near first", &plain, "", 0..1),
            ("the rule before the mesh", &off, shares, 30..71),
            ("where the mesh says so, places do not count", &plain, "localityLbSetting: {enabled: false}", 30..71),
        ];
        for (what, rule, mesh, expected) in cases {
            let (_envoy, port) = Scene::with(&[&*objects, rule].concat(), mesh).envoy("shop/client", "0.0.0.0_80").await;
            let far = answers(port, 100).await.remove("far").unwrap_or_default();
            assert!(expected.contains(&far), "{what}: {far} of 100");
        }
    });
}

/// A Service of two pods in two zones: the client, and another one.
fn clients_of_two_zones() -> String {
    let other = pod("shop", "client-2", "app: client, istio-locality: r1.z2");
    let endpoint = |pod: &str, address: &str| {
        format!("{{addresses: [{address}], conditions: {{ready: true}}, targetRef: {{kind: Pod, name: {pod}, namespace: shop}}}}")
    };
    let (here, there) = (endpoint("client", "10.9.9.9"), endpoint("client-2", "10.9.9.10"));
    let service = format!(
        "
---
apiVersion: v1
kind: Service
metadata: {{name: client, namespace: shop}}
spec: {{clusterIP: 10.0.0.9, selector: {{app: client}}, ports: [{{name: http, port: 9080}}]}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: client, namespace: shop, labels: {{kubernetes.io/service-name: client}}}}
addressType: IPv4
ports: [{{name: http, port: 9080}}]
endpoints: [{here}, {there}]
"
    );
    [client_in("r1/z1"), other, service].concat()
}

#[test]
fn who_knows_its_place_prefers_its_zone_if_a_rule_asks_for_it() {
    block_on(async {
        let (near, far) = (Echo::start("near").await, Echo::start("far").await);
        let objects = [clients_of_two_zones(), spread(&[(near.port, "r1/z1", ""), (far.port, "r1/z2", "")])].concat();
        let setting = |setting: &str| {
            let policy = format!("  trafficPolicy: {{loadBalancer: {{simple: ROUND_ROBIN, zoneAwareLbSetting: {setting}}}}}");
            destination_rule("web.example", &policy)
        };
        let cases = [
            ("on", "{enabled: true, minClusterSize: 1}", 0..1),
            ("off", "{enabled: false}", 30..71),
            ("for more workloads than there are", "{enabled: true, minClusterSize: 3}", 30..71),
        ];
        for (what, rule, expected) in cases {
            let scene = Scene::of(&[&*objects, &setting(rule)].concat());
            let (_envoy, port) = scene.envoy_that_knows_its_place("shop/client", ("r1", "z1"), "0.0.0.0_80").await;
            let far = answers(port, 100).await.remove("far").unwrap_or_default();
            assert!(expected.contains(&far), "{what}: {far} of 100");
        }
    });
}
