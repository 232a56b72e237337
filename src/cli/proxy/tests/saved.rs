//! Pages that were saved.

use std::path::{Path, PathBuf};

use insta::assert_snapshot;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::dump;
use crate::cli::{Exit, tests::run};
use crate::compile::compile;
use crate::model::{SpiffeId, WorkloadKey};
use crate::testing::{
    TestCa, block_on,
    bootstrap::Static,
    envoy::start,
    mesh::{bookinfo, proxy_of},
};

/// A folder with the dump of the sample's `productpage`.
fn saved() -> (TempDir, PathBuf) {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("config_dump.json");
    std::fs::write(&file, dump(&bookinfo(), "shop", "productpage-v1").to_string()).unwrap();
    (folder, file)
}

fn shown(file: &Path, what: &str, flags: &str) -> String {
    let run = run(&format!("proxy-config {what} --file {} {flags}", file.display()), "");
    assert_eq!((run.exit, run.stderr.as_str()), (Exit::Clean, ""));
    run.stdout
}

#[test]
fn each_kind_has_the_columns_that_people_know() {
    let (_folder, file) = saved();
    assert_snapshot!("clusters", shown(&file, "cluster", ""));
    assert_snapshot!("listeners", shown(&file, "listener", ""));
    assert_snapshot!("routes", shown(&file, "route", ""));
    assert_snapshot!("endpoints", shown(&file, "endpoint", ""));
}

#[test]
fn routes_that_came_host_by_host_look_like_those_that_came_whole() {
    let (folder, whole) = saved();
    let mut page = dump(&bookinfo(), "shop", "productpage-v1");
    let tables = page["configs"][3]["dynamic_route_configs"].as_array_mut().unwrap();
    for table in tables.iter_mut().map(|entry| &mut entry["route_config"]) {
        table["vhds"] = json!({"config_source": {"ads": {}}});
        let name = table["name"].as_str().unwrap().to_owned();
        for host in table["virtual_hosts"].as_array_mut().unwrap() {
            host["name"] = json!(format!("{name}/{}", host["name"].as_str().unwrap()));
        }
    }
    let file = folder.path().join("by_host.json");
    std::fs::write(&file, page.to_string()).unwrap();
    assert_eq!(shown(&file, "route", ""), shown(&whole, "route", ""));
    assert!(!shown(&file, "route", "--name 9080 -o json").contains(r#""name": "9080/"#));
}

#[test]
fn filters_leave_what_is_asked_for() {
    let (_folder, file) = saved();
    let rows = |what: &str, flags: &str| shown(&file, what, flags).lines().skip(1).map(str::to_owned).collect::<Vec<_>>();
    let cluster = |flags: &str| rows("c", flags).len();
    assert_eq!(cluster("--fqdn reviews.shop --port 9080 --subset v2 --direction outbound"), 1);
    assert_eq!(cluster("--fqdn reviews"), 4);
    assert_eq!(cluster("--direction inbound"), 1);
    assert_eq!(cluster("--port 1"), 0);
    let listeners = rows("l", "--port 5432 --address 10.96.1.1 --type TCP");
    assert_eq!(listeners, ["10.96.1.1  5432  ALL    Cluster: outbound|5432||db.data.svc.cluster.local"]);
    assert_eq!(rows("l", "--port 5432 --type HTTP"), Vec::<String>::new());
    assert!(rows("r", "--name 80").iter().all(|row| row.starts_with("80 ")));
    let endpoints = rows("ep", "--cluster outbound|9080|v2|reviews.shop.svc.cluster.local --status healthy");
    assert_eq!(endpoints, ["10.244.3.2:9080  HEALTHY  -              outbound|9080|v2|reviews.shop.svc.cluster.local"]);
    assert_eq!(rows("ep", "--address 10.244.3.2 --status unhealthy"), Vec::<String>::new());
}

#[test]
fn programs_get_the_resources_themselves() {
    let (_folder, file) = saved();
    let json: Value = serde_json::from_str(&shown(&file, "cluster", "--fqdn reviews --subset v2 -o json")).unwrap();
    assert_eq!(json[0]["name"], "outbound|9080|v2|reviews.shop.svc.cluster.local");
    assert!(shown(&file, "route", "--name 9080 -o yaml").contains("name: \"9080\""));
    let all: Value = serde_json::from_str(&shown(&file, "all", "-o json")).unwrap();
    assert_eq!(all["configs"].as_array().map(Vec::len), Some(4));
}

#[test]
fn what_is_no_dump_is_an_error_that_names_the_file() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("x.json");
    for text in ["{}", "no json"] {
        std::fs::write(&file, text).unwrap();
        let run = run(&format!("pc cluster --file {}", file.display()), "");
        assert_eq!((run.exit, run.stdout.as_str()), (Exit::Unreadable, ""));
        assert!(run.stderr.contains("x.json is no dump of Envoy's configuration"), "{}", run.stderr);
    }
    assert_eq!(run("pc cluster --file /no/such.json", "").exit, Exit::Usage);
    assert_eq!(run("pc cluster", "").exit, Exit::Usage);
}

#[test]
fn a_real_envoys_page_is_understood_and_its_keys_are_never_shown() {
    let mesh = bookinfo();
    let proxy = proxy_of(&mesh.workloads[&WorkloadKey::new("shop", "productpage-v1")]);
    let (ca, identity) = (TestCa::new("root"), SpiffeId::new("cluster.local", "shop", "productpage"));
    let fixed = Static::of(&compile(mesh.snapshot(), &proxy)).identified(&ca, &identity).listening("0.0.0.0_9080", 0);
    let (config, clusters) = block_on(async {
        let envoy = start(fixed.bootstrap()).await;
        (envoy.admin("/config_dump?include_eds").await.body, envoy.admin("/clusters?format=json").await.body)
    });
    let folder = TempDir::new().unwrap();
    let (dump, state) = (folder.path().join("dump.json"), folder.path().join("clusters.json"));
    std::fs::write(&dump, config).unwrap();
    std::fs::write(&state, clusters).unwrap();
    assert!(shown(&dump, "cluster", "--fqdn reviews").contains("v3      outbound   STATIC  reviews.shop"));
    assert!(shown(&dump, "listener", "").contains("Inline Route: "));
    assert!(shown(&dump, "route", "").contains("reviews.shop     http[0]"));
    assert!(shown(&state, "endpoint", "--cluster reviews").contains("10.244.3.1:9080  HEALTHY  OK "));
    assert!(shown(&dump, "bootstrap", "").contains("node             test"));
    let secrets = shown(&dump, "secret", "");
    let rows: Vec<Vec<&str>> = secrets.lines().skip(1).map(|line| line.split_whitespace().collect()).collect();
    // The command line of tests lives in 1970, in which no certificate is valid.
    assert_eq!(rows.iter().map(|row| row[0]).collect::<Vec<_>>(), ["ROOTCA", "default"]);
    assert!(rows.iter().all(|row| row.contains(&"ACTIVE") && row.contains(&"false")), "{secrets}");
    let told: Value = serde_json::from_str(&shown(&dump, "secret", "-o json")).unwrap();
    assert!(told[0]["certificate"]["serialNumber"].as_str().is_some_and(|serial| serial.len() > 8), "{told}");
    let everything = shown(&dump, "all", "-o json") + &shown(&dump, "secret", "-o yaml") + &secrets;
    assert!(!everything.contains("PRIVATE KEY"));
    // Base64 of "-----BEGIN PRIVATE".
    assert!(!everything.contains("LS0tLS1CRUdJTiBQUklWQVRF"));
}

#[test]
fn a_certificate_is_valid_within_its_time() {
    use crate::cli::proxy::{dump::HeldSecret, secret};
    let (ca, key) = (TestCa::new("root"), std::sync::Arc::new(rcgen::KeyPair::generate().unwrap()));
    let leaf = ca.sign(&*key, &["spiffe://x/ns/a/sa/b"], &[]);
    let held = HeldSecret {
        state: "ACTIVE",
        secret: json!({"name": "default", "tls_certificate": {"certificate_chain": {"inline_string": leaf.pem()}}}),
    };
    let shown = [secret::shown(&held)];
    let now = time::OffsetDateTime::now_utc().unix_timestamp();
    let valid = |now| secret::value(&shown, now)[0]["certificate"]["valid"].clone();
    assert_eq!((valid(now), valid(0), valid(i64::MAX)), (json!(true), json!(false), json!(false)));
}
