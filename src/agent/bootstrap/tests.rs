//! The bootstrap as a whole, and what the real Envoy says of it.

use envoy_api::{envoy::config::bootstrap::v3::Bootstrap, json};
use prost::Message;
use std::{fs, path::Path, process::Command};

use super::bootstrap;
use crate::agent::{Ports, ProxyFacts, node::tests::facts};
use crate::model::{ProxyConfig, ProxyRole};
use crate::testing::envoy_for;

#[test]
fn a_sidecars_bootstrap() {
    insta::assert_json_snapshot!("sidecar", json::to_value(&bootstrap(&facts(), &Ports::default())).unwrap());
}

#[test]
fn equal_facts_give_equal_bytes() {
    let encoded = || bootstrap(&facts(), &Ports::default()).encode_to_vec();
    assert_eq!(encoded(), encoded());
}

#[test]
fn certificates_come_before_the_cluster_that_needs_them() {
    let clusters = bootstrap(&facts(), &Ports::default()).static_resources.unwrap().clusters;
    let names: Vec<&str> = clusters.iter().map(|cluster| cluster.name.as_str()).collect();
    assert_eq!(names, ["prometheus_stats", "agent", "sds-grpc", "xds-grpc"]);
}

#[test]
fn envoy_accepts_every_form() {
    let Some(envoy) = envoy_for("agent::bootstrap::tests::envoy_accepts_every_form") else { return };
    let six = "fd00::7".parse().unwrap();
    let direct = ProxyConfig { discovery_address: "127.0.0.1:15012".to_owned(), ..ProxyConfig::default() };
    let forms = [
        facts(),
        ProxyFacts { role: ProxyRole::Router, addresses: vec![six, [10, 9, 0, 7].into()], ..facts() },
        ProxyFacts { proxy_config: direct, node: None, ..facts() },
    ];
    let folder = tempfile::tempdir().unwrap();
    for facts in forms {
        let error = validate(&envoy, folder.path(), &bootstrap(&facts, &Ports::default()));
        assert_eq!(error, None);
    }
    // The check itself: Envoy says no to what it does not understand.
    let mut broken = bootstrap(&facts(), &Ports::default());
    broken.static_resources.as_mut().unwrap().clusters[0].name.clear();
    assert!(validate(&envoy, folder.path(), &broken).unwrap().contains("Name: value length must be at least 1"));
}

/// What Envoy says against a bootstrap.
fn validate(envoy: &Path, folder: &Path, bootstrap: &Bootstrap) -> Option<String> {
    let path = folder.join("bootstrap.pb");
    fs::write(&path, bootstrap.encode_to_vec()).unwrap();
    let output = Command::new(envoy).args(["--mode", "validate", "--log-level", "warning", "-c"]).arg(path).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    // A warning at each start would be noise in every pod's log.
    (!output.status.success() || said.contains("[warning]")).then_some(said)
}
