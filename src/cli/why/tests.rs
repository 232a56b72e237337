//! Answers to questions about files.

use insta::assert_snapshot;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::cli::{
    Exit,
    tests::{Run, run, run_words},
};

/// An application as its author has it: what pods are made of, Services without addresses, and routing.
const SHOP: &str = r#"
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {selector: {app: web}, ports: [{name: http, port: 80, targetPort: 8080}]}
---
apiVersion: v1
kind: Service
metadata: {name: reviews, namespace: shop}
spec: {selector: {app: reviews}, ports: [{name: http, port: 9080, targetPort: web}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec: {template: {metadata: {labels: {app: web}}, spec: {serviceAccountName: web, containers: [{name: a}]}}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: reviews-v1, namespace: shop}
spec: {template: {metadata: {labels: {app: reviews, version: v1}}, spec: {containers: [{name: a, ports: [{name: web, containerPort: 9081}]}]}}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: reviews-v2, namespace: shop}
spec: {template: {metadata: {labels: {app: reviews, version: v2}}, spec: {containers: [{name: a, ports: [{name: web, containerPort: 9081}]}]}}}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: reviews, namespace: shop}
spec: {host: reviews, subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews, namespace: shop}
spec:
  hosts: [reviews]
  http:
  - match: [{headers: {end-user: {exact: jason}}}]
    fault: {delay: {percentage: {value: 100}, fixedDelay: 7s}}
    route: [{destination: {host: reviews, subset: v2}}]
  - route:
    - {destination: {host: reviews, subset: v1}, weight: 90}
    - {destination: {host: reviews, subset: v2}, weight: 10}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: door, namespace: shop}
spec: {selector: {istio: ingressgateway}, servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: [shop.example]}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: door, namespace: shop}
spec: {hosts: [shop.example], gateways: [door], http: [{match: [{uri: {prefix: /page}}], route: [{destination: {host: web}}]}]}
"#;

fn files(more: &str) -> (TempDir, String) {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("shop.yaml");
    std::fs::write(&file, format!("{SHOP}{more}")).unwrap();
    let name = file.display().to_string();
    (folder, name)
}

fn why(question: &str) -> Run {
    let (_folder, file) = files("");
    let run = run(&format!("why {question} -f {file}"), "");
    assert_eq!((run.exit, run.stderr.as_str()), (Exit::Clean, ""), "{}", run.stdout);
    run
}

#[test]
fn files_alone_are_enough() {
    assert_snapshot!("weighted", why("web.shop http://reviews:9080/reviews/0").stdout);
    assert_snapshot!("delayed", why("deploy/web -n shop http://reviews:9080/ -H end-user:jason").stdout);
    assert_snapshot!("gateway", why("istio-ingressgateway.istio-system http://shop.example/page").stdout);
    assert_snapshot!("no_route", why("istio-ingressgateway.istio-system http://other.example/page").stdout);
    assert_snapshot!("opaque", why("web.shop tcp://192.0.2.1:5432").stdout);
}

#[test]
fn programs_get_the_same_as_one_document() {
    let told: Value = serde_json::from_str(&why("web.shop http://reviews:9080/reviews/0 -o json").stdout).unwrap();
    assert_eq!(told["request"], "http://reviews:9080/reviews/0");
    let possibility = &told["hops"][0]["possibilities"][0];
    assert_eq!((&possibility["share"], &possibility["cluster"]), (&json!(0.9), &json!("outbound|9080|v1|reviews.shop.svc.cluster.local")));
    let origin = json!({"kind": "VirtualService", "namespace": "shop", "name": "reviews", "field": "spec.http[1].route[0]"});
    assert_eq!(possibility["origins"], json!([origin]));
}

#[test]
fn a_source_that_is_not_there_is_told_with_those_that_are() {
    let (_folder, file) = files("");
    let none = run(&format!("why nobody.shop http://reviews:9080/ -f {file}"), "");
    assert_eq!(none.exit, Exit::Usage);
    assert_eq!(none.stderr, "error: no workload nobody with an address in namespace shop: known there are reviews-v1, reviews-v2, web\n");
}

#[test]
fn an_object_that_is_wrong_is_left_out_and_told() {
    let (_folder, file) = files(
        "---\napiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: bad, namespace: shop}\nspec: {hosts: [a], http: [{}]}\n",
    );
    let told = run(&format!("why web.shop http://reviews:9080/ -f {file}"), "");
    assert_eq!(told.exit, Exit::Clean);
    assert!(told.stderr.starts_with("note: VirtualService shop/bad is left out: spec.http[0]"), "{}", told.stderr);
}

#[test]
fn wrong_questions_say_what_is_right() {
    for (words, reason) in [
        (&["why", "web", "reviews:9080"][..], "http://HOST[:PORT]/PATH"),
        (&["why", "web", "ftp://reviews"], "\"ftp\" is not asked for"),
        (&["why", "web", "http://reviews:x/"], "\"x\" is no port"),
        (&["why", "job/web", "http://reviews/"], "\"job\" owns no pods"),
        (&["why", "web", "http://reviews/", "-H", "x"], "NAME:VALUE"),
        (&["why"], "required"),
    ] {
        let run = run_words(&crate::cli::tests::PIPE, words, "");
        assert_eq!(run.exit, Exit::Usage, "{words:?}");
        assert!(run.stderr.contains(reason), "{words:?}: {}", run.stderr);
    }
}

#[test]
fn the_samples_tell_who_is_sent_where() {
    let sample = |file: &str| format!("-f {}/samples/bookinfo/{file}", env!("CARGO_MANIFEST_DIR"));
    let files = ["kube/bookinfo.yaml", "networking/bookinfo-gateway.yaml", "networking/destination-rule-all.yaml"].map(sample).join(" ");
    let asked = |question: &str, routes: &str| {
        let told = run(&format!("why {question} -n default -o json {files} {}", sample(routes)), "");
        assert_eq!((told.exit, told.stderr.as_str()), (Exit::Clean, ""));
        let told: Value = serde_json::from_str(&told.stdout).unwrap();
        let possibilities = told["hops"][0]["possibilities"].as_array().unwrap().iter();
        possibilities.map(|it| format!("{} {}", it["share"], it["cluster"].as_str().unwrap())).collect::<Vec<_>>()
    };
    let reviews = |version: &str| format!("outbound|9080|{version}|reviews.default.svc.cluster.local");
    let split = asked("productpage-v1 http://reviews:9080/", "networking/virtual-service-reviews-80-20.yaml");
    assert_eq!(split, [format!("0.8 {}", reviews("v1")), format!("0.2 {}", reviews("v2"))]);
    let routes = "networking/virtual-service-reviews-test-v2.yaml";
    assert_eq!(asked("productpage-v1 http://reviews:9080/ -H end-user:jason", routes), [format!("1.0 {}", reviews("v2"))]);
    assert_eq!(asked("productpage-v1 http://reviews:9080/", routes), [format!("1.0 {}", reviews("v1"))]);
    let page = asked("istio-ingressgateway.istio-system http://any.example/productpage", routes);
    assert_eq!(page, ["1.0 outbound|9080||productpage.default.svc.cluster.local"]);
}
