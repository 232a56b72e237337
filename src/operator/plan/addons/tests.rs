//! What add-ons are told, held against the programs themselves.

use serde_json::{Value, json};
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use super::{dashboard, prometheus, tracing};
use crate::operator::settings::Program;
use crate::testing::http::{get, post, try_get};
use crate::testing::{block_on, eventually_seen, free_port, skip};

/// How long a Java program may take to start beside other tests.
const STARTED: Duration = Duration::from_secs(120);

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

/// A program that ends with its test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().expect("it is this test's to end");
        self.0.wait().expect("it has ended");
    }
}

/// Zipkin as the plan starts it, but for the port; none, with the reason said, where it can't be had.
fn zipkin(environment: &Value, port: u16) -> Option<Running> {
    let version = Program::Tracing.image().rsplit(':').next().unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("ci/zipkin.sh");
    let output = Command::new(script).arg(version).output().expect("ci/zipkin.sh starts");
    if !output.status.success() {
        skip("zipkin_takes_spans_and_shows_them", String::from_utf8_lossy(&output.stderr).lines().last().unwrap_or_default());
        return None;
    }
    let mut command = Command::new("java");
    command.args(["-Xmx128m", "-jar", String::from_utf8(output.stdout).unwrap().trim()]).env("QUERY_PORT", port.to_string());
    for variable in environment.as_array().unwrap() {
        command.env(variable["name"].as_str().unwrap(), variable["value"].as_str().unwrap());
    }
    Some(Running(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("java starts")))
}

#[test]
fn zipkin_takes_spans_and_shows_them() {
    let container = tracing::shape().container;
    let port = free_port();
    let Some(_zipkin) = zipkin(&container["env"], port) else { return };
    let probed = container["readinessProbe"]["httpGet"]["path"].as_str().unwrap();
    block_on(async {
        let began = Instant::now();
        while !try_get(port, probed, &[]).await.is_ok_and(|answer| answer.status == 200) {
            assert!(began.elapsed() < STARTED, "Zipkin does not get ready");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let health = try_get(port, probed, &[]).await.unwrap().body;
        assert!(health.contains("InMemoryStorage"), "what it collects goes with it: {health}");
        let span =
            json!({"traceId": "86154a4ba6e91385", "id": "86154a4ba6e91385", "name": "get", "localEndpoint": {"serviceName": "reviews"}});
        let taken = post(port, "/api/v2/spans", &json!([span])).await.unwrap();
        assert_eq!(taken.status, 202, "{taken:?}");
        eventually_seen("the trace is shown", async || get(port, "/api/v2/trace/86154a4ba6e91385", &[]).await.body.contains("\"reviews\""))
            .await;
    });
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
