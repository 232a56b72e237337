//! What a pod's two processes of ours hold, at rest and after load on all that the agent does for its pod.
//!
//! `make bench-agent` runs this with the programs that ship, and prints the figures.

use envoy_api::envoy::data::dns::v3::dns_table::DnsVirtualDomain;
use nix::unistd::Pid;
use serde_json::json;
use std::{
    env, fs,
    io::{Read, Write},
    net::{Ipv4Addr, TcpListener, UdpSocket},
    thread,
    time::{Duration, Instant},
};

use crate::{
    authority::Authority,
    page::{eventually, get},
    pilot::{Pilot, Resources, resource},
    pod::{Pod, Shape, envoy_for},
};

/// With this variable there is as much load as figures need.
const FIGURES: &str = "FERROMESH_FIGURES";
const HOSTS: usize = 1000;

/// Memory of a process in KiB, as the kernel accounts for it.
struct Memory {
    resident: u64,
    share: u64,
    own: u64,
}

// === impl Memory ===

impl Memory {
    fn of(process: Pid) -> Self {
        let read = |file: &str| fs::read_to_string(format!("/proc/{process}/{file}")).unwrap();
        let field = |page: &str, name: &str| {
            let value = page.lines().find_map(|line| line.strip_prefix(name)?.trim().strip_suffix(" kB")?.trim().parse().ok());
            value.unwrap_or_else(|| panic!("{name} of {process}"))
        };
        let (rollup, status) = (read("smaps_rollup"), read("status"));
        Self { resident: field(&rollup, "Rss:"), share: field(&rollup, "Pss:"), own: field(&status, "RssAnon:") }
    }

    fn told(&self, what: &str) {
        let mib = |kib: u64| Duration::from_millis(kib * 1000 / 1024).as_secs_f64();
        println!("| {what} | {:.1}; {:.1}; {:.1} MiB |", mib(self.resident), mib(self.share), mib(self.own));
    }
}

/// What pilot tells of hosts.
fn hosts() -> Resources {
    let host = |number: usize| {
        let name = format!("service-{number}.shop.svc.cluster.local");
        let address = format!("10.1.{}.{}", number / 256, number % 256);
        let endpoint = json!({"address_list": {"address": [address]}});
        resource::<DnsVirtualDomain>(&name, json!({"name": name, "endpoint": endpoint}))
    };
    (0..HOSTS).map(host).collect()
}

/// An application that answers every request with a page of that many metrics.
fn application(metrics: usize) -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let page: String = (0..metrics).map(|number| format!("app_requests_total{{route=\"/items/{number}\"}} {number}\n")).collect();
    thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let mut request = [0; 4096];
            let _ = stream.read(&mut request);
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", page.len());
            let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(page.as_bytes()));
        }
    });
    port
}

/// A question for the address of a host, as a resolver writes it.
fn question(host: &str, number: u16) -> Vec<u8> {
    let mut message = number.to_be_bytes().to_vec();
    message.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    for label in host.split('.') {
        message.push(label.len().try_into().unwrap());
        message.extend(label.as_bytes());
    }
    message.extend([0, 0, 1, 0, 1]);
    message
}

/// Asks for one host after the other, and gives back how long each answer took, the fastest first.
fn ask_for_hosts(socket: &UdpSocket, questions: usize) -> Vec<Duration> {
    let mut answer = [0; 512];
    let mut times: Vec<_> = (0..questions)
        .map(|question_number| {
            let number = question_number % HOSTS;
            let message = question(&format!("service-{number}.shop.svc.cluster.local"), number.try_into().unwrap());
            let asked = Instant::now();
            socket.send(&message).unwrap();
            let length = socket.recv(&mut answer).unwrap();
            let took = asked.elapsed();
            let (high, low) = (u8::try_from(number / 256).unwrap(), u8::try_from(number % 256).unwrap());
            assert_eq!(answer[length - 4..length], [10, 1, high, low], "{:?}", &answer[..length]);
            took
        })
        .collect();
    times.sort();
    times
}

/// Scrapes and probes, and gives back how long each scrape took, the fastest first.
fn scrape(pod: &Pod, scrapes: usize, metrics: usize) -> Vec<Duration> {
    let last = format!("app_requests_total{{route=\"/items/{}\"}} ", metrics - 1);
    let mut times: Vec<_> = (0..scrapes)
        .map(|_| {
            let asked = Instant::now();
            let (status, page) = get(pod.status, "/stats/prometheus").unwrap();
            let took = asked.elapsed();
            assert!(status == 200 && page.contains(&last) && page.contains("envoy_server_live") && page.contains("istio_agent_"), "{page}");
            assert_eq!(get(pod.status, "/app-health/web/readyz").unwrap().0, 200);
            assert_eq!(get(pod.status, "/healthz/ready").unwrap().0, 200);
            took
        })
        .collect();
    times.sort();
    times
}

#[test]
fn a_pods_processes_stay_small_under_load() {
    let Some(envoy) = envoy_for("a_pods_processes_stay_small_under_load") else { return };
    let figures = env::var_os(FIGURES).is_some();
    let (questions, scrapes, metrics) = if figures { (50_000, 300, 10_000) } else { (2000, 10, 10_000) };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let authority = runtime.block_on(Authority::start());
    let pilot = runtime.block_on(Pilot::start(&authority, "spiffe://cluster.local/ns/istio-system/sa/istio-pilot", hosts()));
    let port = application(metrics);
    let (annotations, probes) = (
        json!({"scrape": "true", "port": port.to_string(), "path": "/metrics"}).to_string(),
        json!({"/app-health/web/readyz": {"httpGet": {"path": "/", "port": port}}}).to_string(),
    );
    let env = [
        ("ISTIO_META_DNS_CAPTURE", "true"),
        ("ISTIO_PROMETHEUS_ANNOTATIONS", annotations.as_str()),
        ("ISTIO_KUBE_APP_PROBERS", probes.as_str()),
    ];
    let shape = Shape { authority: &authority, pilot: pilot.address, envoy: &envoy, lifetime: "1h", drain: "0s", before: None, env: &env };
    let pod = Pod::start(&shape);
    eventually("the proxy is ready", || get(pod.status, "/healthz/ready").filter(|(status, _)| *status == 200));
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    socket.connect((Ipv4Addr::LOCALHOST, pod.dns)).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    eventually("names have come", || get(pod.status, "/stats/prometheus").filter(|_| pilot.streams.lock().unwrap().len() == 2));

    let agent = pod.agent().unwrap();
    Memory::of(agent).told("agent proper at rest: resident; share; own");
    let answers = ask_for_hosts(&socket, questions);
    let pages = scrape(&pod, scrapes, metrics);
    let (after, supervisor) = (Memory::of(agent), Memory::of(pod.process()));
    after.told("agent proper under load: resident; share; own");
    supervisor.told("supervisor: resident; share; own");
    let p = |times: &[Duration], percent: usize| times[(times.len() - 1) * percent / 100];
    println!("| DNS answers, p50, p99 | {:?}, {:?} |", p(&answers, 50), p(&answers, 99));
    println!("| merged metrics, p50, p99 | {:?}, {:?} |", p(&pages, 50), p(&pages, 99));
    assert_eq!(pod.agent(), Some(agent), "the agent did not fall");
    // What no file stands behind, and so does not depend on how the programs were built.
    assert!(after.own <= 4 * 1024, "the agent holds {} KiB of its own", after.own);
    assert!(supervisor.own <= 512, "the supervisor holds {} KiB of its own", supervisor.own);
    runtime.shutdown_background();
}
