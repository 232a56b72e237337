//! Secrets on their way to a real gateway.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use serde_json::Value;
use tokio::{net::TcpListener, sync::mpsc};
use tokio_stream::wrappers::ReceiverStream;

use super::{proxy, server::Pilot};
use crate::model::{
    CertifiedKey, Change, Changes, Credential, GatewayServer, HostPattern, NamespaceSelector, Protocol, SecretKey, ServerCertificate,
    ServerTls, ServerTlsMode, Snapshot, TargetPort,
};
use crate::testing::{
    TestCa, eventually_seen,
    http::Echo,
    https::{Identity, TlsClient},
    mesh::{TestMesh, forward, fqdn, http_gateway, to, virtual_service},
};

fn credential(identity: &Identity) -> Credential {
    let pair = CertifiedKey { chain: identity.chain.as_bytes().into(), key: identity.key.as_bytes().into(), ocsp_staple: None };
    Credential { certificate: Some(pair), authorities: None }
}

/// A gateway in pod web-1 of namespace shop whose servers `a.example` and `b.example` have Secrets `a` and `b`.
fn mesh(port: u16, web: &Echo) -> TestMesh {
    let mut mesh = TestMesh::default();
    mesh.config.enable_auto_mtls = false;
    mesh.workload("shop", "web-1", "127.0.0.1", &[("app", "web")]);
    let key = mesh.service("shop", "one", Some("10.96.0.1"), &["http:80"]).key.clone();
    mesh.workload("shop", "one-1", "127.0.0.1", &[("app", "one")]).labels.remove("security.istio.io/tlsMode");
    mesh.services.get_mut(&key).unwrap().ports[0].target = TargetPort::Number(web.port);
    let mut gateway = http_gateway("shop", "edge", &[("app", "web")], port);
    gateway.servers = ["a", "b"].map(|name| server(name, port)).to_vec();
    mesh.gateways.push(gateway);
    let route = forward(Vec::new(), vec![to(&fqdn("shop", "one"), None, 1)]);
    let hosts = ["a.example", "b.example"].map(HostPattern::new);
    let mut service = virtual_service("shop", "web", &hosts, vec![route]);
    service.gateways = vec!["shop/edge".into()];
    mesh.virtual_services.push(service);
    mesh
}

fn server(name: &str, port: u16) -> GatewayServer {
    GatewayServer {
        port,
        port_name: name.into(),
        protocol: Protocol::Https,
        hosts: vec![(NamespaceSelector::Any, HostPattern::new(&format!("{name}.example")))],
        tls: Some(ServerTls {
            mode: ServerTlsMode::Simple,
            certificates: vec![ServerCertificate::Secret(name.into())],
            ..ServerTls::default()
        }),
        name: "".into(),
        bind: None,
        default_endpoint: None,
    }
}

/// Asks again and again until told to stop; counts what was asked and what failed.
struct Load {
    stop: Arc<AtomicBool>,
    asked: Arc<AtomicUsize>,
    failed: Arc<AtomicUsize>,
    task: tokio::task::JoinHandle<()>,
}

impl Load {
    fn on(client: TlsClient, port: u16, host: &'static str) -> Self {
        let (stop, asked, failed) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let task = tokio::spawn({
            let (stop, asked, failed) = (stop.clone(), asked.clone(), failed.clone());
            async move {
                while !stop.load(Ordering::Relaxed) {
                    let good = client.get(port, host).await.is_ok_and(|told| told.answer.status == 200);
                    failed.fetch_add(usize::from(!good), Ordering::Relaxed);
                    asked.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        Self { stop, asked, failed, task }
    }

    /// How many were asked, and how many failed.
    async fn end(self) -> (usize, usize) {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await.unwrap();
        (self.asked.load(Ordering::Relaxed), self.failed.load(Ordering::Relaxed))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_is_rotated_under_load_and_one_that_is_missing_holds_up_its_own_server_alone() {
    let (ca, web) = (TestCa::new("public"), Echo::start("web").await);
    let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let [old, new, b] = ["a.example", "a.example", "b.example"].map(|name| Identity::of(&ca, &[name]));
    let mut mesh = mesh(port, &web);
    mesh.secrets.insert(SecretKey::new("shop", "a"), credential(&old));
    let (snapshots, receiver) = mpsc::channel(1);
    let pilot = Pilot::of(ReceiverStream::new(receiver)).await;
    snapshots.send((mesh.snapshot(), Changes::new())).await.unwrap();
    let envoy = proxy::start_gateway(&pilot.ca, pilot.address).await;
    let client = TlsClient::trusting(&ca);
    let shows = async |host: &str, identity: &Identity| {
        client.get(port, host).await.is_ok_and(|told| told.answer.status == 200 && told.certificate == identity.certificate())
    };
    eventually_seen("the first certificate is shown", async || shows("a.example", &old).await).await;
    assert!(client.get(port, "b.example").await.is_err(), "there is no Secret yet");

    let load = Load::on(client.clone(), port, "a.example");
    let mut version = 1;
    let mut becomes = async |mesh: &TestMesh, name: &str| {
        version += 1;
        let snapshot = Snapshot { version, ..(*mesh.snapshot()).clone() };
        snapshots.send((Arc::new(snapshot), [Change::Secret(SecretKey::new("shop", name))].into())).await.unwrap();
    };
    for identity in [&new, &old, &new] {
        mesh.secrets.insert(SecretKey::new("shop", "a"), credential(identity));
        becomes(&mesh, "a").await;
        eventually_seen("the next certificate is shown", async || shows("a.example", identity).await).await;
    }
    mesh.secrets.insert(SecretKey::new("shop", "b"), credential(&b));
    becomes(&mesh, "b").await;
    eventually_seen("the Secret that was missing is used", async || shows("b.example", &b).await).await;
    // A Secret that is gone takes nothing from who has it.
    mesh.secrets.remove(&SecretKey::new("shop", "a"));
    becomes(&mesh, "a").await;
    assert!(shows("b.example", &b).await && shows("a.example", &new).await);
    let (asked, failed) = load.end().await;
    assert!(asked > 0 && failed == 0, "{failed} of {asked} failed\n{}", envoy.log());
    assert!(pilot.metric("pilot_total_xds_rejects 0"), "{}", envoy.log());
    assert!(pilot.metric(r#"pilot_xds_pushes{type="lds"} 1"#), "the listener has not changed");

    let dump = pilot.debug("/debug/config_dump?proxyID=web-1.shop").await;
    let shown = dump["resources"].as_array().unwrap().iter().find(|it| it["type"] == "sds").unwrap();
    assert_eq!((&shown["name"], &shown["version"], &shown["resource"]), (&Value::from("kubernetes://b"), &Value::Null, &Value::Null));
    assert_eq!(shown["sources"], serde_json::json!(["Gateway shop/edge"]));
}
