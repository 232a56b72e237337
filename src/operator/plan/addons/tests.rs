//! What add-ons are told, held against the programs themselves.

use serde_json::{Value, json};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use super::{dashboard, prometheus};

/// Prometheus' own program for checks.
fn promtool() -> PathBuf {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("ci/promtool.sh");
    let output = Command::new(script).output().expect("ci/promtool.sh starts");
    assert!(output.status.success(), "ci/promtool.sh: {}", String::from_utf8_lossy(&output.stderr));
    PathBuf::from(String::from_utf8(output.stdout).unwrap().trim())
}

/// What promtool says of a file of that kind.
fn checked(kind: &str, content: &str) -> Result<String, String> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("checked.yml");
    fs::write(&file, content).unwrap();
    let output = Command::new(promtool()).args(["check", kind]).arg(&file).output().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if output.status.success() { Ok(said) } else { Err(said) }
}

#[test]
fn prometheus_understands_its_configuration() {
    let files = prometheus::shape().files;
    let configuration = files[0].data["prometheus.yml"].as_str().unwrap();
    // Debian's is built without the discovery of Kubernetes' pods; everything else is held against it.
    let discovery = "  kubernetes_sd_configs:\n  - role: pod\n";
    assert!(configuration.contains(discovery));
    let configuration = configuration.replace(discovery, "  file_sd_configs:\n  - files: [pods.json]\n");
    checked("config", &configuration).unwrap();
    assert!(checked("config", &configuration.replace("action: keep", "action: keeps")).is_err(), "promtool looks");
}

#[test]
fn prometheus_understands_what_the_dashboards_ask() {
    let rule = |(index, query): (usize, String)| json!({"record": format!("query:{index}"), "expr": query});
    let rules: Vec<Value> = dashboard::queries().into_iter().enumerate().map(rule).collect();
    assert!(rules.len() > 20);
    let groups = |rules: &[Value]| json!({"groups": [{"name": "dashboards", "rules": rules}]}).to_string();
    let said = checked("rules", &groups(&rules)).unwrap();
    assert!(said.contains(&format!("{} rules found", rules.len())), "{said}");
    assert!(checked("rules", &groups(&[json!({"record": "broken", "expr": "sum(rate(x[1m])"})])).is_err(), "promtool looks");
}

#[test]
fn every_panel_has_a_place_of_its_own_and_asks_the_one_datasource() {
    for (name, dashboard) in dashboard::all() {
        let panels = dashboard["panels"].as_array().unwrap();
        let mut places: Vec<String> = panels.iter().map(|panel| panel["gridPos"].to_string()).collect();
        places.sort();
        places.dedup();
        assert_eq!(places.len(), panels.len(), "{name}");
        let targets = panels.iter().flat_map(|panel| panel["targets"].as_array().unwrap());
        assert!(targets.clone().count() > 0 && targets.into_iter().all(|target| target["datasource"]["uid"] == "mesh"), "{name}");
    }
}
