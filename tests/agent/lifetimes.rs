//! Certificates of short lifetimes, under load: citadel signs them, the agent renews them, Envoy uses them at both ends of each connection.

use envoy_api::envoy::config::{cluster::v3::Cluster, listener::v3::Listener as EnvoyListener};
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    env,
    io::{Read, Write},
    net::{Ipv4Addr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use crate::{
    authority::Authority,
    citadel::Citadel,
    page::{eventually, get, within},
    pilot::{Pilot, Resources, resource},
    pod::{Pod, Shape, envoy_for, free_port},
};

/// So many lifetimes go by.
const LIFETIMES: u32 = 10;
/// With this variable the test runs for so many hours, with certificates of 30 s.
const HOURS: &str = "FERROMESH_SOAK_HOURS";

/// Secrets by name, as Envoy asks the agent for them.
fn secret(name: &str) -> Value {
    let service = json!({"envoy_grpc": {"cluster_name": "sds-grpc"}});
    let source = json!({"api_type": "GRPC", "transport_api_version": "V3", "grpc_services": [service]});
    json!({"name": name, "sds_config": {"resource_api_version": "V3", "api_config_source": source}})
}

/// What a listener or a cluster needs to prove who it is, and to ask the other side for the same.
fn both_ways(kind: &str) -> Value {
    let common = json!({
        "tls_certificate_sds_secret_configs": [secret("default")],
        "validation_context_sds_secret_config": secret("ROOTCA"),
    });
    let mut context = json!({
        "@type": format!("type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.{kind}"),
        "common_tls_context": common,
    });
    if kind == "DownstreamTlsContext" {
        context["require_client_certificate"] = json!(true);
        // Each connection shakes hands anew: one that goes on with what an earlier one agreed would prove nothing.
        context["disable_stateless_session_resumption"] = json!(true);
        context["disable_stateful_session_resumption"] = json!(true);
    }
    json!({"name": "envoy.transport_sockets.tls", "typed_config": context})
}

/// Plain TCP into one port of Envoy, mutual TLS from it to another of its ports, plain TCP from there to the application.
fn there_and_back(outside: u16, inside: u16, application: u16) -> Resources {
    let address = |port: u16| json!({"socket_address": {"address": "127.0.0.1", "port_value": port}});
    let cluster = |name: &str, port: u16| {
        let endpoint = json!({"endpoint": {"address": address(port)}});
        json!({"name": name, "type": "STATIC", "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [endpoint]}]}})
    };
    let listener = |name: &str, port: u16, cluster: &str| {
        let proxy = json!({"@type": "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
            "stat_prefix": name, "cluster": cluster});
        let filters = json!([{"name": "envoy.filters.network.tcp_proxy", "typed_config": proxy}]);
        json!({"name": name, "address": address(port), "filter_chains": [{"filters": filters}]})
    };
    let mut upstream = cluster("inside", inside);
    upstream["transport_socket"] = both_ways("UpstreamTlsContext");
    let mut inner = listener("inner", inside, "application");
    inner["filter_chains"][0]["transport_socket"] = both_ways("DownstreamTlsContext");
    vec![
        resource::<Cluster>("inside", upstream),
        resource::<Cluster>("application", cluster("application", application)),
        resource::<EnvoyListener>("inner", inner),
        resource::<EnvoyListener>("outer", listener("outer", outside, "inside")),
    ]
}

/// Gives back what it is sent, to everybody.
fn echo() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut incoming) = stream else { return };
            thread::spawn(move || {
                let mut outgoing = incoming.try_clone().unwrap();
                std::io::copy(&mut incoming, &mut outgoing)
            });
        }
    });
    port
}

fn connect(port: u16) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    Ok(stream)
}

fn exchanged(stream: &mut TcpStream) -> std::io::Result<()> {
    let mut answer = [0; 4];
    stream.write_all(b"ping")?;
    stream.read_exact(&mut answer)?;
    if answer == *b"ping" { Ok(()) } else { Err(std::io::Error::other("another answer")) }
}

/// Connections one after the other until it is stopped.
struct Load {
    good: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    thread: thread::JoinHandle<Vec<String>>,
}

// === impl Load ===

impl Load {
    fn start(port: u16) -> Self {
        let (good, stop): (Arc<AtomicU64>, Arc<AtomicBool>) = Default::default();
        let (counter, stopped) = (good.clone(), stop.clone());
        let thread = thread::spawn(move || {
            let mut failures = Vec::new();
            while !stopped.load(Ordering::Relaxed) {
                match connect(port).and_then(|mut stream| exchanged(&mut stream)) {
                    Ok(()) => _ = counter.fetch_add(1, Ordering::Relaxed),
                    Err(error) => failures.push(error.to_string()),
                }
                // Closed connections keep their ports for a minute: more than this would run out of them within hours.
                thread::sleep(Duration::from_millis(5));
            }
            failures
        });
        Self { good, stop, thread }
    }

    /// How many connections were good, and what the others ended with.
    fn stop(self) -> (u64, Vec<String>) {
        self.stop.store(true, Ordering::Relaxed);
        (self.good.load(Ordering::Relaxed), self.thread.join().unwrap())
    }
}

/// The serial numbers of the certificates that Envoy has now.
fn serials(pod: &Pod) -> BTreeSet<String> {
    let Some((_, page)) = get(pod.admin, "/certs") else { return BTreeSet::new() };
    let page: Value = serde_json::from_str(&page).unwrap();
    let entries = page["certificates"].as_array().into_iter().flatten();
    let chains = entries.flat_map(|entry| entry["cert_chain"].as_array().into_iter().flatten());
    chains.filter_map(|certificate| certificate["serial_number"].as_str().map(str::to_owned)).collect()
}

#[test]
fn ten_lifetimes_under_load_break_no_connection() {
    let Some(envoy) = envoy_for("ten_lifetimes_under_load_break_no_connection") else { return };
    let hours = env::var(HOURS).ok().map(|hours| hours.parse::<f64>().expect("a number of hours"));
    let (lifetime, time) = match hours {
        Some(hours) => (Duration::from_secs(30), Duration::from_secs_f64(hours * 3600.0)),
        None => (Duration::from_secs(2), Duration::from_secs(2) * LIFETIMES),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let citadel = runtime.block_on(Citadel::start());
    let part = |key: &str| eventually("citadel has made its root", || citadel.secret(key));
    let authority = Authority::of(&part("ca-cert.pem"), &part("ca-key.pem"), citadel.address);
    let (outside, inside) = (free_port(), free_port());
    let resources = there_and_back(outside, inside, echo());
    let pilot = runtime.block_on(Pilot::start(&authority, "spiffe://cluster.local/ns/istio-system/sa/istio-pilot", resources));
    let lifetime_text = format!("{}s", lifetime.as_secs());
    let pod = Pod::start(&Shape {
        authority: &authority,
        pilot: pilot.address,
        envoy: &envoy,
        lifetime: &lifetime_text,
        drain: "0s",
        before: None,
        env: &[],
    });
    eventually("the proxy is ready", || get(pod.status, "/healthz/ready").filter(|(status, _)| *status == 200));

    let mut oldest = within(Duration::from_secs(30), "a first connection", || connect(outside).ok().filter(exchanged_once));
    let load = Load::start(outside);
    let (started, mut seen) = (Instant::now(), BTreeSet::new());
    while started.elapsed() < time {
        seen.extend(serials(&pod));
        exchanged(&mut oldest).expect("the oldest connection lives");
        thread::sleep(Duration::from_millis(50));
    }
    let (good, failures) = load.stop();
    let lifetimes = time.as_secs() / lifetime.as_secs();
    println!("{good} connections in {lifetimes} lifetimes of {lifetime_text}, {} failed, {} certificates", failures.len(), seen.len());
    assert!(failures.is_empty(), "{failures:?}");
    assert!(good > lifetimes, "there was no load");
    assert!(seen.len() as u64 >= lifetimes, "{} certificates in {lifetimes} lifetimes", seen.len());
    drop(pod);
    runtime.shutdown_background();
}

fn exchanged_once(stream: &TcpStream) -> bool {
    stream.try_clone().and_then(|mut stream| exchanged(&mut stream)).is_ok()
}
