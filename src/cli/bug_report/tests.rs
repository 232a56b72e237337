//! What a report of a cluster holds, and what it never holds.

use ferromesh_crds::{MeshInstall, networking::EnvoyFilter, security::RequestAuthentication};
use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{ConfigMap, Event, Namespace, Pod, Secret},
    rbac::v1::RoleBinding,
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::{fs, path::Path};
use tempfile::TempDir;

use crate::cli::{
    Exit,
    tests::{PIPE, run_on},
};
use crate::testing::fake_api::FakeApi;

fn of<T: DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

/// All files below a folder, with their texts.
fn files(folder: &Path) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push((path.display().to_string(), fs::read_to_string(&path).unwrap()));
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_has_objects_and_logs_and_no_secret() {
    let api = FakeApi::new();
    let env = json!([{"name": "API_TOKEN", "value": "s3cr3t-value"}]);
    let pod = json!({"metadata": {"name": "istio-pilot-1", "namespace": "istio-system"}, "spec": {"containers": [{"name": "pilot", "env": env}]}});
    api.insert::<Pod>(&of(pod));
    api.insert::<Deployment>(&of(
        json!({"metadata": {"name": "istio-pilot", "namespace": "istio-system"}, "spec": {"selector": {}, "template": {}}}),
    ));
    api.insert::<Secret>(&of(
        json!({"metadata": {"name": "istio-ca-secret", "namespace": "istio-system"}, "stringData": {"key": "s3cr3t-value"}}),
    ));
    let map = |name: &str, text: &str| json!({"metadata": {"name": name, "namespace": "istio-system"}, "data": {"x": text}});
    api.insert::<ConfigMap>(&of(map("istio", "mesh settings")));
    api.insert::<ConfigMap>(&of(map("somebody-elses", "s3cr3t-value")));
    api.answer(|call| (call.target.subresource.as_deref() == Some("log")).then(|| (200, json!("password=hunter22"))));
    let folder = TempDir::new().unwrap();
    let report = folder.path().join("report");
    let command = format!("bug-report -d {}", report.display());
    let told = run_on(&api, PIPE, &command, "").await;
    assert_eq!(told.exit, Exit::Clean, "{told:?}");

    let files = files(&report);
    let text = |end: &str| &files.iter().find(|(name, _)| name.ends_with(end)).unwrap_or_else(|| panic!("no {end} in {files:?}")).1;
    assert!(text("istio-system/deployment.yaml").contains("name: istio-pilot"));
    assert!(text("configmap-istio.yaml").contains("mesh settings"));
    assert!(text("istio-system/pod.yaml").contains("API_TOKEN"));
    assert!(text("logs/istio-pilot-1-pilot.log").contains("password=[redacted]"));
    assert!(text("missing.txt").contains("proxies.txt: "), "no pilot answers here");
    assert!(files.iter().all(|(name, text)| !text.contains("s3cr3t-value") && !name.contains("secret")), "{files:?}");
    assert!(api.calls().iter().all(|call| call.target.plural != "secrets"), "Secrets are not even read");

    let told = run_on(&api, PIPE, &command, "").await;
    assert_eq!(told.exit, Exit::Usage, "a folder that is there is left alone: {told:?}");
}

/// How a report of a cluster ends that answers every request like this, what it says on standard error, and its missing.txt.
async fn refused(code: u16, reason: &str) -> (Exit, String, String) {
    let api = FakeApi::new();
    let status = json!({"kind": "Status", "status": "Failure", "message": format!("{reason} for you"), "reason": reason, "code": code});
    api.answer(move |_| Some((code, status.clone())));
    let folder = TempDir::new().unwrap();
    let report = folder.path().join("report");
    let told = run_on(&api, PIPE, &format!("bug-report -d {}", report.display()), "").await;
    assert_eq!(fs::read_to_string(report.join("version.txt")).unwrap(), format!("ferromesh {}\n", env!("CARGO_PKG_VERSION")), "{told:?}");
    (told.exit, told.stderr, fs::read_to_string(report.join("missing.txt")).unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_in_which_nothing_could_be_read_says_so_and_is_none() {
    let (exit, stderr, missing) = refused(403, "Forbidden").await;
    assert_eq!(exit, Exit::Forbidden);
    let wanted = "error: nothing of the cluster could be read: cluster/node.yaml: can't list Nodes: ";
    assert!(stderr.starts_with(wanted) && stderr.contains("Forbidden for you"), "{stderr}");
    assert!(stderr.ends_with(": name a user who may read it, by --context or --as\n"), "{stderr}");
    assert!(missing.lines().count() > 20 && missing.contains("\nistio-system/deployment.yaml: can't list Deployments: "), "{missing}");
    assert_eq!(refused(500, "InternalError").await.0, Exit::Failed);
    assert_eq!(refused(404, "NotFound").await.0, Exit::Failed, "as a server answers that is no API server");

    // A right alone is enough for a report.
    let api = FakeApi::new();
    let status = json!({"kind": "Status", "status": "Failure", "message": "no", "reason": "Forbidden", "code": 403});
    api.answer(move |call| (call.target.plural != "events").then(|| (403, status.clone())));
    let files = report(&api, "").await;
    let missing = &files.iter().find(|(name, _)| name == "missing.txt").unwrap().1;
    assert!(missing.contains("cluster/node.yaml: ") && !missing.contains("event"), "{missing}");
}

/// The report of a cluster, all files of it.
async fn report(api: &FakeApi, rest: &str) -> Vec<(String, String)> {
    let folder = TempDir::new().unwrap();
    let directory = folder.path().join("report");
    let told = run_on(api, PIPE, &format!("bug-report -d {} {rest}", directory.display()), "").await;
    assert_eq!(told.exit, Exit::Clean, "{told:?}");
    let cut = |name: String| name.split_once("/report/").unwrap().1.to_owned();
    files(&directory).into_iter().map(|(name, text)| (cut(name), text)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_has_what_revisions_are_made_of() {
    let api = FakeApi::new();
    let entry = |kind: &str, namespace: &str, name: &str| {
        let api_version = if kind == "RoleBinding" { "rbac.authorization.k8s.io/v1" } else { "v1" };
        json!({"apiVersion": api_version, "kind": kind, "namespace": namespace, "name": name})
    };
    let inventory = json!([
        entry("ConfigMap", "istio-system", "istio-canary"),
        entry("RoleBinding", "istio-system", "ferromesh-galley-namespaced-canary"),
        entry("Secret", "istio-system", "istio-galley-webhook-certs-canary"),
        entry("ServiceAccount", "istio-cni", "istio-cni-node"),
    ]);
    api.insert::<MeshInstall>(&of(
        json!({"metadata": {"name": "mesh-canary"}, "spec": {"revision": "canary"}, "status": {"inventory": inventory}}),
    ));
    for name in ["istio", "istio-canary", "istio-sidecar-injector-canary", "somebody-elses"] {
        api.insert::<ConfigMap>(&of(json!({"metadata": {"name": name, "namespace": "istio-system"}, "data": {"x": "y"}})));
    }
    let role = json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "x"});
    let name = "ferromesh-galley-namespaced-canary";
    api.insert::<RoleBinding>(&of(json!({"metadata": {"name": name, "namespace": "istio-system"}, "roleRef": role})));
    api.insert::<Secret>(&of(json!({"metadata": {"name": "istio-galley-webhook-certs-canary", "namespace": "istio-system"}})));
    api.insert::<Pod>(&of(json!({"metadata": {"name": "istio-cni-node-1", "namespace": "istio-cni"}, "spec": {"containers": []}})));
    let names: Vec<String> = report(&api, "").await.into_iter().map(|(name, _)| name).collect();
    for wanted in [
        "istio-system/configmap-istio.yaml",
        "istio-system/configmap-istio-canary.yaml",
        "istio-system/configmap-istio-sidecar-injector-canary.yaml",
        "istio-system/rolebinding-ferromesh-galley-namespaced-canary.yaml",
        "istio-cni/pod.yaml",
    ] {
        assert!(names.iter().any(|name| name == wanted), "no {wanted} in {names:?}");
    }
    assert!(!names.iter().any(|name| name.contains("somebody") || name.contains("secret")), "{names:?}");
    assert!(api.calls().iter().all(|call| call.target.plural != "secrets"), "Secrets are not even read");
}

/// What nobody may find in a report, with the place that it was planted in.
fn planted(place: &str) -> String {
    format!("zq9-{place}-zq9")
}

/// An application's pod, which has secrets of all sorts.
fn leaking_pod(namespace: &str) -> Pod {
    let applied = json!({"spec": {"containers": [{"env": [{"name": "GREETING", "value": planted("last-applied")}]}]}}).to_string();
    let annotations = json!({
        "kubectl.kubernetes.io/last-applied-configuration": applied,
        "kapp.k14s.io/original": planted("kapp"),
        "ci.example/settings": json!({"apiKey": planted("json-annotation")}).to_string(),
    });
    let env = json!([
        {"name": "GREETING", "value": if namespace == "shop" { planted("variable") } else { "hello".to_owned() }},
        {"name": "DB_PASSWORD", "value": planted("password-variable")},
        {"name": "DATABASE", "value": format!("postgres://jane:{}@db/shop", planted("url"))},
    ]);
    let args = json!([
        "--token",
        planted("flag"),
        format!("--client-secret={}", planted("flag-value")),
        format!("-Ddb.password={}", planted("define"))
    ]);
    let containers = json!([{"name": "app", "env": env, "args": args}]);
    of(json!({"metadata": {"name": "web-1", "namespace": namespace, "annotations": annotations}, "spec": {"containers": containers}}))
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_that_are_planted_everywhere_are_in_no_report() {
    let api = FakeApi::new();
    for namespace in ["shop", "istio-system"] {
        api.insert::<Pod>(&leaking_pod(namespace));
        let secret = json!({"metadata": {"name": "s", "namespace": namespace}, "stringData": {"x": planted("secret")}});
        api.insert::<Secret>(&of(secret));
        let message = format!("probe failed: https://jane:{}@web/", planted("event"));
        let about = json!({"kind": "Pod", "name": "web-1", "namespace": namespace});
        api.insert::<Event>(&of(json!({"metadata": {"name": "e", "namespace": namespace}, "involvedObject": about, "message": message})));
    }
    let labels = json!({"note": json!({"token": planted("namespace")}).to_string()});
    api.insert::<Namespace>(&of(json!({"metadata": {"name": "shop", "annotations": labels}})));
    let key = format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----", planted("key"));
    let base64 = serde_json::to_value(k8s_openapi::ByteString(key.clone().into_bytes())).unwrap();
    let text = format!("upstream:\n  password: {}\n{key}\nbinary: {}", planted("yaml"), base64.as_str().unwrap());
    let map = json!({"metadata": {"name": "istio", "namespace": "istio-system"}, "data": {"mesh": text, "clientSecret": planted("entry")}});
    api.insert::<ConfigMap>(&of(map));
    let values = json!({"grafana": {"security": {"adminPassword": planted("values"), "passwords": [planted("values-list")]}}});
    api.insert::<MeshInstall>(&of(json!({"metadata": {"name": "mesh"}, "spec": {"values": values}})));
    let keys = json!({"keys": [{"kty": "oct", "k": planted("jwks")}]}).to_string();
    let rules = json!({"jwtRules": [{"issuer": "a", "jwks": keys}]});
    api.insert::<RequestAuthentication>(&of(json!({"metadata": {"name": "r", "namespace": "shop"}, "spec": rules})));
    let value = json!({"typed_config": {"api_token": planted("patch"), "inline": format!("{{\"auth\": {{\"secret_key\": \"{}\"}}}}", planted("inline"))}});
    let patches = json!({"configPatches": [{"applyTo": "HTTP_FILTER", "patch": {"operation": "ADD", "value": value}}]});
    api.insert::<EnvoyFilter>(&of(json!({"metadata": {"name": "f", "namespace": "shop"}, "spec": patches})));
    let log = format!(
        "GET /?access_token={} HTTP/1.1\nauthorization: Bearer {}\n{{\"clientSecret\":\"{}\"}}\n",
        planted("log-query"),
        planted("log-header"),
        planted("log-json")
    );
    api.answer(move |call| (call.target.subresource.as_deref() == Some("log")).then(|| (200, json!(log))));
    let files = report(&api, "-n shop").await;
    let names: Vec<&String> = files.iter().map(|(name, _)| name).collect();
    for wanted in
        ["shop/pod.yaml", "istio-system/pod.yaml", "shop/event.yaml", "cluster/envoyfilter.yaml", "cluster/requestauthentication.yaml"]
    {
        assert!(names.iter().any(|name| *name == wanted), "no {wanted} in {names:?}");
    }
    let leaks =
        files.iter().flat_map(|(name, text)| text.lines().filter(|line| line.contains("zq9")).map(move |line| format!("{name}: {line}")));
    assert_eq!(leaks.collect::<Vec<_>>(), Vec::<String>::new());
    let encoded = base64.as_str().unwrap();
    assert!(files.iter().all(|(_, text)| !text.contains(&encoded[60..80])), "the key in base64");
    let text = |name: &str| &files.iter().find(|(of, _)| of == name).unwrap().1;
    assert!(text("istio-system/pod.yaml").contains("value: hello"), "what is the mesh's own is told");
}
