//! A proxy from its first certificate to its end.

use envoy_api::envoy::config::{bootstrap::v3::Bootstrap, cluster::v3::Cluster};
use nix::unistd::Pid;
use serde_json::Value;
use std::{
    collections::BTreeSet,
    fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use crate::{
    authority::{Authority, WEB},
    page::{ask, eventually, get, within},
    pilot::{Change, Pilot, Way},
    pod::{Pod, Shape, envoy_for, free_port, gone, kill_hard},
};

const PILOT: &str = "spiffe://cluster.local/ns/istio-system/sa/istio-pilot";

/// A mesh of one: what a pod's proxy speaks to.
struct Mesh {
    authority: Authority,
    pilot: Pilot,
    runtime: tokio::runtime::Runtime,
}

// === impl Mesh ===

impl Mesh {
    fn start(pilot_identity: &str, way: Option<Way>) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (authority, pilot) = runtime.block_on(async {
            let authority = Authority::start().await;
            let resources = way.map(Way::resources).unwrap_or_default();
            let pilot = Pilot::start(&authority, pilot_identity, resources).await;
            (authority, pilot)
        });
        Self { authority, pilot, runtime }
    }

    fn pod(&self, envoy: &Path, lifetime: &str, drain: &str) -> Pod {
        Pod::start(&Shape { authority: &self.authority, pilot: self.pilot.address, envoy, lifetime, drain, before: None, env: &[] })
    }

    /// A pod whose log goes to a file, with these variables.
    fn pod_with(&self, envoy: &Path, env: &[(&str, &str)]) -> Pod {
        let (authority, pilot) = (&self.authority, self.pilot.address);
        Pod::start(&Shape { authority, pilot, envoy, lifetime: "1h", drain: "60s", before: Some("true"), env })
    }

    fn stop(self) {
        self.runtime.shutdown_background();
    }
}

fn ready(pod: &Pod) -> Option<()> {
    get(pod.status, "/healthz/ready").filter(|(status, _)| *status == 200).map(drop)
}

/// The serial numbers of the certificates that Envoy has in use, as its admin port prints them: the current one, and those of
/// connections that began earlier.
fn serials(pod: &Pod) -> BTreeSet<String> {
    let Some((_, page)) = get(pod.admin, "/certs") else { return BTreeSet::new() };
    let page: Value = serde_json::from_str(&page).unwrap();
    let entries = page["certificates"].as_array().into_iter().flatten();
    let chains = entries.flat_map(|entry| entry["cert_chain"].as_array().into_iter().flatten());
    chains
        .map(|certificate| {
            assert_eq!(certificate["subject_alt_names"][0]["uri"], WEB, "{page}");
            certificate["serial_number"].as_str().unwrap().to_owned()
        })
        .collect()
}

/// Waits until Envoy has a certificate that it did not have before.
fn renewed(pod: &Pod) {
    let known = serials(pod);
    eventually("envoy has a new certificate", || (!serials(pod).is_subset(&known)).then_some(()));
}

fn running_envoy(pod: &Pod) -> Pid {
    pod.envoy().expect("envoy runs")
}

#[test]
fn a_proxy_becomes_ready_renews_and_ends_in_order() {
    let Some(envoy) = envoy_for("a_proxy_becomes_ready_renews_and_ends_in_order") else { return };
    let mesh = Mesh::start(PILOT, None);
    let mut pod = mesh.pod(&envoy, "4s", "1s");
    eventually("the proxy is ready", || ready(&pod));
    assert_eq!(mesh.pilot.streams.lock().unwrap().as_slice(), ["sidecar~127.0.0.1~web-1.shop~shop.svc.cluster.local"]);
    assert_eq!(get(pod.health, "/healthz/ready").unwrap().0, 200, "health goes through envoy");
    let waited = Command::new(env!("CARGO_BIN_EXE_ferromesh-agent"))
        .args(["wait", "--proxy-config", &format!("{{statusPort: {}}}", pod.status)])
        .output()
        .unwrap();
    assert!(waited.status.success(), "{waited:?}");
    let page = get(pod.status, "/stats/prometheus").unwrap().1;
    assert!(page.contains("envoy_server_live") && page.contains("istio_agent_identity_requests_total"), "{page}");

    // Renewals reach Envoy while it runs, and its stream to pilot stays.
    let process = running_envoy(&pod);
    assert!(!serials(&pod).is_empty(), "envoy shows its certificate");
    renewed(&pod);
    renewed(&pod);
    assert_eq!(running_envoy(&pod), process);
    assert_eq!(mesh.pilot.streams.lock().unwrap().len(), 1, "no connection was reset");
    assert!(!anything_secret(pod.folder.path()), "the key is on the disk");

    let agent = pod.agent().unwrap();
    pod.terminate();
    eventually("a proxy that drains is not ready", || (ready(&pod).is_none()).then_some(()));
    assert!(pod.ended(Duration::from_secs(10)).success());
    assert!(gone(process) && gone(agent));
    mesh.stop();
}

#[test]
fn envoy_and_agent_outlive_each_other() {
    let Some(envoy) = envoy_for("envoy_and_agent_outlive_each_other") else { return };
    let mesh = Mesh::start(PILOT, None);
    let pod = mesh.pod(&envoy, "4s", "1s");
    eventually("the proxy is ready", || ready(&pod));

    let process = running_envoy(&pod);
    kill_hard(process);
    let next = within(Duration::from_secs(1), "envoy is back", || pod.envoy().filter(|envoy| *envoy != process));
    eventually("the proxy is ready again", || ready(&pod));

    let agent = pod.agent().unwrap();
    kill_hard(agent);
    eventually("the agent is back", || pod.agent().filter(|another| *another != agent));
    eventually("the agent answers again", || ready(&pod));
    // Twice: the first may have been under way when the old agent fell.
    renewed(&pod);
    renewed(&pod);
    assert_eq!(running_envoy(&pod), next, "envoy did not notice");
    mesh.stop();
}

#[test]
fn a_pilot_of_another_identity_is_not_believed() {
    let Some(envoy) = envoy_for("a_pilot_of_another_identity_is_not_believed") else { return };
    let mesh = Mesh::start("spiffe://cluster.local/ns/shop/sa/istio-pilot", None);
    let pod = mesh.pod(&envoy, "1h", "1s");
    let refused = || {
        get(pod.admin, "/stats?filter=xds-grpc.ssl.fail_verify_san")
            .filter(|(_, page)| page.contains("fail_verify_san: ") && !page.contains(": 0"))
    };
    eventually("envoy refuses the certificate", refused);
    assert_eq!(get(pod.status, "/healthz/ready").unwrap(), (503, "not ready: no clusters from pilot\n".to_owned()));
    assert!(mesh.pilot.streams.lock().unwrap().is_empty());
    mesh.stop();
}

#[test]
fn envoy_starts_with_what_users_change_unless_it_could_not() {
    let Some(envoy) = envoy_for("envoy_starts_with_what_users_change_unless_it_could_not") else { return };
    let mesh = Mesh::start(PILOT, None);
    let started_with = |change: Change| {
        *mesh.pilot.change.lock().unwrap() = change;
        let pod = mesh.pod(&envoy, "1h", "0s");
        eventually("the proxy is ready", || ready(&pod));
        let (_, page) = get(pod.admin, "/config_dump").unwrap();
        assert!(!pod.folder.path().join("proxy/envoy-bootstrap-trial.pb").exists(), "the trial is over");
        page
    };
    let changed = started_with(|bootstrap| {
        let mut resources = bootstrap.static_resources.unwrap_or_default();
        let of_agent = resources.clusters.iter().find(|it| it.name == "agent").cloned().unwrap();
        resources.clusters.push(Cluster { name: "added".to_owned(), ..of_agent });
        Bootstrap { static_resources: Some(resources), ..bootstrap }
    });
    assert!(changed.contains("\"added\""), "{changed}");
    // A cluster without a name: Envoy would end.
    let unfit = started_with(|bootstrap| {
        let mut resources = bootstrap.static_resources.unwrap_or_default();
        resources.clusters.push(Cluster::default());
        Bootstrap { static_resources: Some(resources), ..bootstrap }
    });
    assert!(!unfit.contains("\"added\""), "{unfit}");
    mesh.stop();
}

#[test]
fn what_a_pod_lays_over_the_bootstrap_counts_and_an_unfit_one_is_told() {
    let Some(envoy) = envoy_for("what_a_pod_lays_over_the_bootstrap_counts_and_an_unfit_one_is_told") else { return };
    let mesh = Mesh::start(PILOT, None);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("custom_bootstrap.json");
    let env = [("ISTIO_BOOTSTRAP_OVERRIDE", file.to_str().unwrap())];
    fs::write(&file, r#"{"static_resources": {"clusters": [{"name": "added"}]}, "stats_flush_interval": "3s"}"#).unwrap();
    let pod = mesh.pod_with(&envoy, &env);
    eventually("the proxy is ready", || ready(&pod));
    let (_, page) = get(pod.admin, "/config_dump").unwrap();
    assert!(page.contains("\"added\"") && page.contains("\"stats_flush_interval\": \"3s\""), "{page}");
    assert!(page.contains("\"xds-grpc\""), "what is not laid over stays");
    drop(pod);

    fs::write(&file, r#"{"static_resources": {"clusters": [{"name": "added", "colour": "red"}]}}"#).unwrap();
    let pod = mesh.pod_with(&envoy, &env);
    eventually("the error", || pod.log().contains("annotation sidecar.istio.io/bootstrapOverride: Envoy can't start").then_some(()));
    eventually("Envoy's own words", || pod.log().contains("'colour'").then_some(()));
    assert!(pod.envoy().is_none(), "{}", pod.log());
    mesh.stop();
}

#[test]
fn a_drain_without_a_bound_ends_with_the_last_connection_and_one_of_fixed_length_does_not() {
    let name = "a_drain_without_a_bound_ends_with_the_last_connection_and_one_of_fixed_length_does_not";
    let Some(envoy) = envoy_for(name) else { return };
    let mesh = Mesh::start(PILOT, None);
    let minimum = ("MINIMUM_DRAIN_DURATION", "100ms");
    let mut pod = mesh.pod_with(&envoy, &[minimum, ("EXIT_ON_ZERO_ACTIVE_CONNECTIONS", "true")]);
    eventually("the proxy is ready", || ready(&pod));
    pod.terminate();
    assert!(pod.ended(Duration::from_secs(10)).success(), "nobody is connected");
    let mut pod = mesh.pod_with(&envoy, &[minimum, ("EXIT_ON_ZERO_ACTIVE_CONNECTIONS", "false")]);
    eventually("the proxy is ready", || ready(&pod));
    let process = running_envoy(&pod);
    pod.terminate();
    eventually("it drains", || pod.log().contains("draining").then_some(()));
    // A drain that counted connections would be over by now: the counter is asked twice a second.
    let asked = Instant::now();
    while asked.elapsed() < Duration::from_secs(2) {
        assert!(!gone(process), "all of the time is taken");
        std::thread::sleep(Duration::from_millis(50));
    }
    pod.terminate();
    assert!(pod.ended(Duration::from_secs(10)).success());
    mesh.stop();
}

#[test]
fn a_pod_can_end_its_own_proxy() {
    let Some(envoy) = envoy_for("a_pod_can_end_its_own_proxy") else { return };
    let mesh = Mesh::start(PILOT, None);
    let mut pod = mesh.pod(&envoy, "1h", "0s");
    eventually("the proxy is ready", || ready(&pod));
    assert_eq!(ask("POST", pod.status, "/quitquitquit").unwrap().0, 200);
    assert!(pod.ended(Duration::from_secs(10)).success());
    mesh.stop();
}

#[test]
fn a_draining_proxy_serves_who_is_connected_and_ends_with_the_last() {
    let Some(envoy) = envoy_for("a_draining_proxy_serves_who_is_connected_and_ends_with_the_last") else { return };
    let application = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let way = Way { from: free_port(), to: application.local_addr().unwrap().port() };
    std::thread::spawn(move || {
        let (mut incoming, _) = application.accept().unwrap();
        let mut outgoing = incoming.try_clone().unwrap();
        let _ = std::io::copy(&mut incoming, &mut outgoing);
    });
    let mesh = Mesh::start(PILOT, Some(way));
    let mut pod = mesh.pod(&envoy, "1h", "60s");
    eventually("the proxy is ready", || ready(&pod));
    let mut client = TcpStream::connect(("127.0.0.1", way.from)).unwrap();
    client.set_nodelay(true).unwrap();
    let mut echo = |byte: u8| {
        let mut answer = [0];
        client.write_all(&[byte]).and_then(|()| client.read_exact(&mut answer)).expect("the connection lives");
        assert_eq!(answer, [byte]);
    };
    echo(1);
    pod.terminate();
    let asked = Instant::now();
    eventually("a proxy that drains is not ready", || ready(&pod).is_none().then_some(()));
    // Longer than the shortest drain: the connection alone keeps the proxy.
    while asked.elapsed() < Duration::from_secs(7) {
        echo(2);
        std::thread::sleep(Duration::from_millis(20));
    }
    drop(client);
    assert!(pod.ended(Duration::from_secs(15)).success(), "long before the drain's time is up");
    mesh.stop();
}

/// Whether a private key is in any file below a folder.
fn anything_secret(folder: &Path) -> bool {
    fs::read_dir(folder).unwrap().any(|entry| {
        let entry = entry.unwrap();
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            return anything_secret(&entry.path());
        }
        kind.is_file() && String::from_utf8_lossy(&fs::read(entry.path()).unwrap()).contains("PRIVATE KEY")
    })
}
