//! Secrets on their way to a real gateway.

use std::sync::Arc;

use envoy_api::envoy::config::core::v3::Node;
use ferromesh_crds::networking::Gateway;
use k8s_openapi::{
    ByteString,
    api::core::v1::{Pod, Secret},
};
use prost_types::{Struct, value::Kind};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::{
    client::{Client, connect, names, node, subscription, web},
    load::Load,
    proxy,
    server::Pilot,
    world::World,
};
use crate::compile::ResourceType;
use crate::index::{self, IndexConfig};
use crate::model::{
    CertifiedKey, Change, Changes, Credential, GatewayServer, HostPattern, NamespaceSelector, Protocol, SecretKey, ServerCertificate,
    ServerTls, ServerTlsMode, Snapshot, TargetPort,
};
use crate::pilot::problems::Problems;
use crate::runtime::{Readiness, Registry, Tasks};
use crate::testing::{
    TestCa, eventually, eventually_seen,
    fake_api::FakeApi,
    free_port,
    http::Echo,
    https::{Identity, TlsClient},
    mesh::{TestMesh, forward, fqdn, http_gateway, to, virtual_service},
};

fn credential(identity: &Identity) -> Credential {
    let pair = CertifiedKey { chain: identity.chain.as_bytes().into(), key: identity.key.as_bytes().into(), ocsp_staple: None };
    Credential { certificate: Some(pair), ..Credential::default() }
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

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_is_rotated_under_load_and_one_that_is_missing_holds_up_its_own_server_alone() {
    let (ca, web) = (TestCa::new("public"), Echo::start("web").await);
    let port = free_port();
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

    let load = Load::of({
        let client = client.clone();
        move || {
            let client = client.clone();
            async move { client.get(port, "a.example").await.is_ok_and(|told| told.answer.status == 200) }
        }
    });
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
    assert_eq!(shown["sources"], json!(["Gateway shop/edge"]));
}

/// A node of a gateway's pod that says that it has the label `app: web`.
pub(super) fn router(pod: &str) -> Node {
    let field = |name: &str, kind| Struct { fields: [(name.to_owned(), prost_types::Value { kind: Some(kind) })].into() };
    let labels = field("app", Kind::StringValue("web".to_owned()));
    let metadata = field("LABELS", Kind::StructValue(labels));
    Node { id: format!("router~10.0.0.1~{pod}.shop~shop.svc.cluster.local"), metadata: Some(metadata), ..Node::default() }
}

/// A Secret of namespace shop.
pub(super) fn tls_secret(name: &str, identity: &Identity) -> Secret {
    let data = [("tls.crt", &identity.chain), ("tls.key", &identity.key)].map(|(key, text)| (key, ByteString(text.clone().into_bytes())));
    let data: std::collections::BTreeMap<_, _> = data.into();
    serde_json::from_value(json!({"metadata": {"name": name, "namespace": "shop"}, "data": data})).unwrap()
}

/// A pod of a gateway, and a Gateway for it with the Secret `a`.
pub(super) fn insert_gateway(api: &FakeApi) {
    let pod = json!({
        "metadata": {"name": "web-1", "namespace": "shop", "labels": {"app": "web"}},
        "spec": {"containers": [], "nodeName": "n1", "serviceAccountName": "web"},
        "status": {"phase": "Running", "podIP": "10.0.0.1", "conditions": [{"type": "Ready", "status": "True"}]},
    });
    api.insert::<Pod>(&serde_json::from_value(pod).unwrap());
    let server = json!({
        "port": {"number": 9443, "name": "https", "protocol": "HTTPS"}, "hosts": ["a.example"],
        "tls": {"mode": "SIMPLE", "credentialName": "a"},
    });
    let gateway = json!({"metadata": {"name": "edge", "namespace": "shop"}, "spec": {"selector": {"app": "web"}, "servers": [server]}});
    api.insert::<Gateway>(&serde_json::from_value(gateway).unwrap());
}

#[tokio::test]
async fn a_gateway_has_its_secret_looked_for_and_nobody_else_gets_it() {
    let api = FakeApi::new();
    insert_gateway(&api);
    let (mut tasks, readiness, mut registry) = (Tasks::new(), Readiness::new(), Registry::default());
    let source = index::start(api.client(), IndexConfig::default(), &mut tasks, &readiness, &mut registry);
    let pilot = Pilot::of_index(source, Problems::new()).await;
    pilot.ready().await;

    let asks = async |node: Node| {
        let channel = connect(pilot.address, &pilot.ca, &web()).await;
        Client::open(channel, node, subscription(ResourceType::Secret, &["kubernetes://a"])).await.unwrap()
    };
    let mut gateway = asks(router("web-1")).await;
    assert_eq!(names(&gateway.takes().await), ["-kubernetes://a"], "there is none yet");
    let ca = TestCa::new("public");
    for identity in [Identity::of(&ca, &["a.example"]), Identity::of(&ca, &["a.example"])] {
        api.insert::<Secret>(&tls_secret("a", &identity));
        let told = gateway.takes().await;
        assert_eq!(names(&told), ["kubernetes://a"]);
        let body = &told.resources[0].resource.as_ref().unwrap().value;
        assert!(body.windows(identity.key.len()).any(|part| part == identity.key.as_bytes()));
    }
    for stranger in [router("unknown-1"), node("web-1", "shop")] {
        assert_eq!(names(&asks(stranger).await.takes().await), ["-kubernetes://a"]);
    }
}

#[tokio::test]
async fn a_secret_that_a_gateway_refuses_takes_the_gateway_from_nobody() {
    let mut mesh = mesh(9443, &Echo::start("web").await);
    let identity = Identity::of(&TestCa::new("public"), &["a.example"]);
    mesh.secrets.insert(SecretKey::new("shop", "a"), credential(&identity));
    let mut world = World::of(mesh).await;
    let asks = async |kind, names: &[&str]| {
        let channel = connect(world.pilot.address, &world.pilot.ca, &web()).await;
        Client::open(channel, router("web-1"), subscription(kind, names)).await.unwrap()
    };
    let (mut secrets, mut listeners) = (asks(ResourceType::Secret, &["kubernetes://a"]).await, asks(ResourceType::Listener, &["*"]).await);
    assert_eq!(listeners.takes().await.resources.len(), 1);
    let response = secrets.hears().await.unwrap();
    secrets.answers(&response, Some("kubernetes://a: no such curve")).await;
    eventually("the refusal is known", || world.pilot.metric("pilot_total_xds_rejects 1")).await;
    // Had the gateway been suspected, its listener would be gone with it: the next thing to hear is this change.
    world.mesh.gateways[0].servers.truncate(1);
    let object = world.mesh.gateways[0].origin.clone();
    world.changes(&[Change::Config(object)]).await;
    assert_eq!(listeners.takes().await.resources.len(), 1);
    assert!(world.pilot.metric("pilot_objects_at_fault 0"));
    let shown = world.pilot.debug("/debug/connections").await;
    let refused = shown.as_array().unwrap().iter().flat_map(|it| it["rejections"].as_array().unwrap()).next().unwrap();
    assert_eq!((&refused["name"], &refused["version"]), (&Value::from("kubernetes://a"), &Value::Null));
    let dump = world.pilot.debug("/debug/config_dump?proxyID=web-1.shop").await;
    let part = dump["configs"].as_array().unwrap().iter().find(|it| it["@type"].as_str().unwrap().ends_with("SecretsConfigDump"));
    let named = json!({"@type": ResourceType::Secret.type_url(), "name": "kubernetes://a"});
    assert_eq!(part.unwrap()["dynamic_active_secrets"], json!([{"name": "kubernetes://a", "secret": named}]));
}
