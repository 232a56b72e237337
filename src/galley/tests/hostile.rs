//! What an attacker may send, and what it costs: a bounded amount, and nobody else his answer.

use ferromesh_crds::networking::VirtualService;
use futures::future::join_all;
use http::StatusCode;
use rustls_pki_types::ServerName;
use serde_json::{Value, json};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{io::AsyncWriteExt, net::TcpStream, time::timeout};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::{SERVICE, Server, creation, post, split};
use crate::runtime::client_config;
use crate::testing::{ask_webhook, fake_api::FakeApi};

/// Generous, because the machine may be busy; an unbounded cost would be minutes.
const SOON: Duration = Duration::from_secs(5);

/// Bodies that are made to cost as much as possible get short answers soon.
#[tokio::test]
async fn hostile_questions_cost_little() {
    let review = |object: &str| {
        let review =
            json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": creation(json!("HERE"))}).to_string();
        review.replace("\"HERE\"", object)
    };
    let big = 3 * 1024 * 1024;
    let cases = [
        ("deep lists", review(&format!("{{\"hosts\": {}{}}}", "[".repeat(100_000), "]".repeat(100_000))), None),
        ("deep maps", review(&format!("{}{}", "{\"http\":".repeat(10_000), "}".repeat(10_000))), None),
        ("as deep as is read", review(&format!("{{\"hosts\": {}{}}}", "[".repeat(100), "]".repeat(100))), Some(false)),
        (
            "a huge expression",
            review(&json!({"hosts": ["a"], "http": [{"match": [{"uri": {"regex": "a?".repeat(big / 2)}}]}]}).to_string()),
            Some(false),
        ),
        (
            "a costly expression",
            review(&json!({"hosts": ["a"], "http": [{"match": [{"uri": {"regex": "((((.{1000}){1000}){1000}){1000})"}}]}]}).to_string()),
            Some(false),
        ),
        (
            "many fields",
            review(&format!("{{{}\"hosts\": []}}", (0..90_000).map(|n| format!("\"hots{n}\": {{}},")).collect::<String>())),
            Some(false),
        ),
        ("many hosts", review(&json!({"hosts": vec!["*.a.example.com"; big / 18]}).to_string()), Some(false)),
        ("many numbers", review(&format!("{{\"hosts\": [{}1]}}", "1,".repeat(big / 2))), None),
        ("many hosts and routes", review(&many_hosts_and_routes().to_string()), Some(true)),
        ("a huge name", review(&json!({"hosts": ["x".repeat(big)]}).to_string()), Some(false)),
        ("no text", review("\"\\ud800\""), None),
        ("more than is read", " ".repeat(9 * 1024 * 1024), None),
    ];
    let server = Server::ready(&FakeApi::new()).await;
    for (name, body, expected) in cases {
        let started = Instant::now();
        let (status, body) = ask_webhook(&server.ca, SERVICE, server.address, "/validate", body).await;
        let took = started.elapsed();
        assert!(took < SOON, "{name}: {took:?}");
        assert_eq!(status.is_success(), expected.is_some(), "{name}: {status}");
        assert_eq!(body["response"]["allowed"].as_bool(), expected, "{name}: {body}");
        assert!(body.to_string().len() < 16_000, "{name}: {} bytes", body.to_string().len());
    }
}

/// Everything in it has to be looked up with everything else.
fn many_hosts_and_routes() -> Value {
    let hosts: Vec<String> = (0..250).map(|number| format!("{}.a{number}.example.com", "x".repeat(60))).collect();
    let gateways: Vec<String> = (0..250).map(|number| format!("gateway-{number}")).collect();
    let rule = |number: usize| {
        let to = json!([{"destination": {"host": hosts[number % hosts.len()], "subset": "v1"}}]);
        json!({"match": [{"uri": {"exact": format!("/{number}")}}], "route": to})
    };
    json!({"hosts": hosts, "gateways": gateways, "http": (0..2000).map(rule).collect::<Vec<_>>()})
}

/// An object of a megabyte whose hosts and gateways make a hundred million pairs, asked about and stored.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pairs_without_number_are_not_looked_at() {
    let names = |count: usize| (0..count).map(|number| format!("a{number}.b")).collect::<Vec<_>>();
    let to = json!([{"route": [{"destination": {"host": "reviews"}}]}]);
    let gateways: Vec<String> = (0..10_000).map(|number| format!("g{number}")).collect();
    let spec = json!({"hosts": names(10_000), "gateways": gateways, "http": to});
    let api = FakeApi::new();
    let stored = json!({"metadata": {"name": "many", "namespace": "shop"}, "spec": spec});
    api.insert::<VirtualService>(&serde_json::from_value(stored).unwrap());
    let server = Server::ready(&api).await;
    let lost = creation(json!({"hosts": ["reviews"], "http": [{"route": [{"destination": {"host": "reviws"}}]}]}));
    let started = Instant::now();
    // Once it warns at all, it knows the mesh with the stored one in it.
    while server.ask(&lost).await["warnings"].is_null() {
        assert!(started.elapsed() < 4 * SOON, "the mesh is not known");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let answer = timeout(SOON, server.ask(&creation(spec))).await.expect("an answer in time");
    assert_eq!(answer["allowed"], true);
}

/// As many unreachable rules as an object can hold.
#[tokio::test]
async fn thousands_of_warnings_are_told_in_twenty() {
    let to = json!([{"destination": {"host": "reviews"}}]);
    let mut rules = vec![json!({"route": to})];
    rules.extend((0..3000).map(|number| json!({"match": [{"uri": {"prefix": format!("/{number}/{}", "x".repeat(200))}}], "route": to})));
    let review = json!({"request": creation(json!({"hosts": ["reviews"], "http": rules}))}).to_string();
    let started = Instant::now();
    let (_, body) = post(review).await;
    assert!(started.elapsed() < SOON, "{:?}", started.elapsed());
    let warnings: Vec<&str> = body["response"]["warnings"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert!((2..=20).contains(&warnings.len()) && warnings.concat().len() <= 4096, "{warnings:?}");
    assert!(warnings.iter().all(|warning| warning.chars().count() <= 256), "{warnings:?}");
    assert!(warnings.last().unwrap().ends_with("more warnings"), "{warnings:?}");
}

/// Connections that say nothing, half a head, half a body, or drop a byte at a time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_written_requests_keep_nobody_waiting() {
    let server = Server::ready(&FakeApi::new()).await;
    let silent = join_all((0..20).map(|_| TcpStream::connect(server.address))).await;
    let mut half = Vec::new();
    let head = "POST /validate HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000\r\n";
    for said in [head.to_owned(), format!("{head}\r\n{{\"request\": "), format!("{head}\r\n")] {
        for _ in 0..20 {
            let mut stream = connect(&server).await;
            stream.write_all(said.as_bytes()).await.unwrap();
            half.push(stream);
        }
    }
    let tricklers = half.split_off(40);
    let trickling = tokio::spawn(async move {
        let mut streams = tricklers;
        loop {
            for stream in &mut streams {
                // One that is cut off is not the question here.
                let _ = stream.write_all(b" ").await;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    for weights in [&[100][..], &[80, 10]] {
        let answer = timeout(SOON, server.ask(&creation(split(weights)))).await.expect("an answer in time");
        assert_eq!(answer["allowed"], weights == [100]);
    }
    trickling.abort();
    drop((silent, half));
}

/// The largest bodies there are, several at once, beside an honest question.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_bodies_keep_nobody_waiting() {
    let server = Arc::new(Server::ready(&FakeApi::new()).await);
    let big = json!({"request": creation(json!({"hosts": ["x".repeat(6 * 1024 * 1024)]}))}).to_string();
    let sent: Vec<_> = (0..4)
        .map(|_| {
            let (server, body) = (server.clone(), big.clone());
            tokio::spawn(async move { ask_webhook(&server.ca, SERVICE, server.address, "/validate", body).await })
        })
        .collect();
    for _ in 0..10 {
        let answer = timeout(SOON, server.ask(&creation(split(&[100])))).await.expect("an answer in time");
        assert_eq!(answer["allowed"], true);
    }
    for answer in join_all(sent).await {
        let (status, answer) = answer.unwrap();
        assert_eq!((status, &answer["response"]["allowed"]), (StatusCode::OK, &json!(false)));
    }
}

async fn connect(server: &Server) -> TlsStream<TcpStream> {
    let tcp = TcpStream::connect(server.address).await.unwrap();
    let mut config = client_config(&[server.ca.root()], None).unwrap();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    TlsConnector::from(Arc::new(config)).connect(ServerName::try_from(SERVICE).unwrap(), tcp).await.unwrap()
}
