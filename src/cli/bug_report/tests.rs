//! What a report of a cluster holds, and what it never holds.

use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{ConfigMap, Pod, Secret},
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
    assert_eq!(told.exit, Exit::Failed, "a folder that is there is left alone: {told:?}");
}
