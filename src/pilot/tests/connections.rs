//! Open connections of those whom a change does not concern.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use envoy_api::{envoy::config::listener::v3::Listener, json::from_value};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpSocket, TcpStream},
    time::timeout,
};

use super::{
    client::{Client, connect, names, node, subscription},
    envoy::{all, application, cluster, mesh_behind_a_gateway},
    proxy::{self, ask_until, listens, socket},
    server::Pilot,
    world::World,
};
use crate::compile::{Resource, ResourceType};
use crate::model::{
    Change, HostPattern, IngressEndpoint, IngressListener, MtlsMode, ObjectRef, PatchContext, PatchOperation, PatchedObject, Protocol,
    Sidecar, SpiffeId,
};
use crate::testing::{
    eventually_seen, free_port,
    http::try_get,
    mesh::{TestMesh, envoy_filter, forward, fqdn, labels, patch, peer_authentication, to, virtual_service},
};

const PATIENCE: Duration = Duration::from_secs(20);

/// A server that says back what it hears, after the head of a request, which it answers by switching protocols.
async fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut heard = vec![0; 4096];
                while let Ok(length @ 1..) = stream.read(&mut heard).await {
                    let answer = if heard.starts_with(b"GET") {
                        b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n".to_vec()
                    } else {
                        heard[..length].to_vec()
                    };
                    if stream.write_all(&answer).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

/// Whether the other end still says back what it hears.
async fn lives(stream: &mut TcpStream) -> bool {
    let mut heard = [0; 4];
    stream.write_all(b"ping").await.is_ok()
        && matches!(timeout(PATIENCE, stream.read_exact(&mut heard)).await, Ok(Ok(_)))
        && heard == *b"ping"
}

/// Waits until the other end has closed.
async fn is_closed(stream: &mut TcpStream) {
    let mut heard = [0; 64];
    let end = timeout(PATIENCE, stream.read(&mut heard)).await.expect("an end in time");
    assert!(matches!(end, Ok(0) | Err(_)), "{end:?}");
}

/// Connects from that address of loopback, and says something.
async fn connected(from: &str, port: u16) -> TcpStream {
    let mut connection = None;
    eventually_seen(&format!("a connection from {from}"), async || {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(format!("{from}:0").parse().unwrap()).unwrap();
        let mut stream = timeout(PATIENCE, socket.connect(([127, 0, 0, 1], port).into())).await.unwrap().unwrap();
        let lives = lives(&mut stream).await;
        connection = Some(stream);
        lives
    })
    .await;
    connection.unwrap()
}

/// A listener with a chain for each client, by the client's address.
fn chains(clients: &[(&str, &str)]) -> Arc<Resource> {
    let chain = |(client, name): &(&str, &str)| {
        let filter = json!({
            "@type": "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
            "stat_prefix": name, "cluster": "echo",
        });
        json!({
            "name": client,
            "filter_chain_match": {"source_prefix_ranges": [{"address_prefix": client, "prefix_len": 32}]},
            "filters": [{"name": "envoy.filters.network.tcp_proxy", "typed_config": filter}],
        })
    };
    let chains: Vec<Value> = clients.iter().map(chain).collect();
    let listener: Listener = from_value(json!({"name": "ports", "address": socket("127.0.0.1", 0), "filter_chains": chains})).unwrap();
    Resource::encoded(ResourceType::Listener, "ports", &listener, &[ObjectRef::new("Gateway", "shop", "ports")])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_filter_chain_leaves_the_connections_of_the_others_alone() {
    let clusters = [cluster("echo", echo().await)];
    let (pilot, mut script) = Pilot::scripted(&all(&clusters, &[chains(&[("127.0.0.1", "a"), ("127.0.0.2", "b")])])).await;
    let envoy = proxy::start("DELTA_GRPC", &pilot.ca, pilot.address).await;
    let port = listens(&envoy, "ports").await;
    let (mut near, mut far) = (connected("127.0.0.1", port).await, connected("127.0.0.2", port).await);

    script.publish(&all(&clusters, &[chains(&[("127.0.0.1", "a"), ("127.0.0.2", "changed"), ("127.0.0.3", "c")])]));
    connected("127.0.0.3", port).await;
    // The change is over when the connections that it concerns are.
    is_closed(&mut far).await;
    assert!(lives(&mut near).await, "{}", envoy.log());
    connected("127.0.0.2", port).await;
    let line = "listener_manager.listener_in_place_updated: 1";
    ask_until(&envoy, envoy.admin_port, "/stats", |page| page.body.lines().any(|shown| shown == line)).await;
    assert_eq!(listens(&envoy, "ports").await, port);
}

/// A WebSocket through a gateway.
async fn web_socket(port: u16) -> Option<TcpStream> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.ok()?;
    let head = "GET / HTTP/1.1\r\nhost: socket.example\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
    stream.write_all(head.as_bytes()).await.ok()?;
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(timeout(PATIENCE, stream.read_u8()).await.ok()?.ok()?);
    }
    (answer.starts_with(b"HTTP/1.1 101") && lives(&mut stream).await).then_some(stream)
}

#[tokio::test(flavor = "multi_thread")]
async fn routes_clusters_and_endpoints_of_others_change_under_an_open_web_socket() {
    let (sockets, one) = (echo().await, application("one").await);
    let port = free_port();
    let (mut mesh, mut other) = mesh_behind_a_gateway(port, one, sockets, "one");
    mesh.virtual_services.clear();
    other.hosts = vec![HostPattern::new("other.example")];
    let route = forward(Vec::new(), vec![to(&fqdn("shop", "two"), None, 1)]);
    let mut socket = virtual_service("shop", "socket", &[HostPattern::new("socket.example")], vec![route]);
    socket.gateways.clone_from(&other.gateways);
    let object = other.origin.clone();
    mesh.virtual_services.extend([other, socket]);
    let mut world = World::of(mesh).await;
    let envoy = proxy::start_gateway(&world.pilot.ca, world.pilot.address).await;
    let mut open = None;
    eventually_seen("a WebSocket", async || {
        open = web_socket(port).await;
        open.is_some()
    })
    .await;
    let mut open = open.unwrap();
    let answers = async |body: &str| {
        let what = format!("other.example is answered by {body}");
        eventually_seen(&what, async || try_get(port, "/", &[("host", "other.example")]).await.is_ok_and(|it| it.body == body)).await;
    };
    answers("one").await;

    // Its routes, in the table that both share.
    let new = forward(Vec::new(), vec![to(&fqdn("shop", "three"), None, 1)]);
    let (key, three) = (world.mesh.service("shop", "three", Some("10.96.0.3"), &["http:80"]).key.clone(), application("three").await);
    let mut endpoint = world.mesh.others.values().next().unwrap()[0].clone();
    endpoint.port = three.port();
    world.mesh.others.insert(key.clone(), vec![endpoint]);
    world.changes(&[Change::Service(key.clone()), Change::Endpoints(key.clone())]).await;
    world.changes_routes(&object, |service| service.http = vec![new]).await;
    answers("three").await;
    assert!(lives(&mut open).await, "{}", envoy.log());

    // Its endpoints.
    world.mesh.others.get_mut(&key).unwrap()[0].port = application("four").await.port();
    world.changes(&[Change::Endpoints(key)]).await;
    answers("four").await;
    assert!(lives(&mut open).await, "{}", envoy.log());
    assert!(world.pilot.metric(r#"pilot_xds_pushes{type="lds"} 1"#), "the listener has not changed");
}

/// A port of web-1 that its proxy opens on loopback, in front of a server there.
fn opened(port: u16, protocol: Protocol, server: SocketAddr) -> IngressListener {
    IngressListener {
        port,
        port_name: "".into(),
        protocol: Some(protocol),
        bind: Some(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        opened: Some(true),
        endpoint: IngressEndpoint::Loopback(server.port()),
        tls: None,
        connection_pool: None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn policies_filters_and_routes_of_others_change_under_open_connections() {
    let (server, bytes, sockets) = (echo().await, free_port(), free_port());
    let mut mesh = TestMesh::default();
    mesh.config.enable_auto_mtls = false;
    for (name, address) in [("web", "127.0.0.1"), ("other", "10.0.0.2")] {
        mesh.workload("shop", &format!("{name}-1"), address, &[("app", name)]);
        mesh.service("shop", name, Some("10.96.0.1"), &["http:80"]);
    }
    mesh.sidecars.push(Sidecar {
        origin: ObjectRef::new("Sidecar", "shop", "web"),
        selector: labels(&[("app", "web")]),
        ingress: vec![opened(bytes, Protocol::Tcp, server), opened(sockets, Protocol::Http, server)],
        inbound_connection_pool: None,
        egress: None,
        outbound_traffic: None,
        egress_proxy: None,
        created: 1,
    });
    // Nobody gives this proxy certificates.
    mesh.peer_authentications.push(peer_authentication("shop", &[("app", "web")], MtlsMode::Disable));
    mesh.peer_authentications.push(peer_authentication("shop", &[], MtlsMode::Permissive));
    let policy = mesh.peer_authentications[1].origin.clone();
    let mut world = World::of(mesh).await;
    let envoy = proxy::start("DELTA_GRPC", &world.pilot.ca, world.pilot.address).await;
    let mut open = connected("127.0.0.1", bytes).await;
    let mut socket = None;
    eventually_seen("a WebSocket", async || {
        socket = web_socket(sockets).await;
        socket.is_some()
    })
    .await;
    let mut socket = socket.unwrap();
    let identity = SpiffeId::new("cluster.local", "shop", "other");
    let channel = connect(world.pilot.address, &world.pilot.ca, &identity).await;
    let mut other = Client::open(channel, node("other-1", "shop"), subscription(ResourceType::Listener, &[])).await.unwrap();
    other.takes().await;

    world.mesh.peer_authentications[1].mode = Some(MtlsMode::Strict);
    world.changes(&[Change::Config(policy)]).await;
    assert_eq!(names(&other.takes().await), ["virtualInbound"]);
    let longer = PatchOperation::Merge(Arc::new(json!({"listener_filters_timeout": "7s"})));
    let filter =
        envoy_filter("shop", "slow", &[("app", "other")], vec![patch(0, PatchedObject::Listener, PatchContext::SidecarInbound, longer)]);
    let change = Change::Config(filter.origin.clone());
    world.mesh.objects.push(filter.into());
    world.changes(&[change]).await;
    assert_eq!(names(&other.takes().await), ["virtualInbound"]);
    let route = forward(Vec::new(), vec![to(&fqdn("shop", "web"), None, 1)]);
    let routes = virtual_service("shop", "other", &[fqdn("shop", "other")], vec![route]);
    let change = Change::Config(routes.origin.clone());
    world.mesh.virtual_services.push(routes);
    world.changes(&[change]).await;

    // What comes last concerns all: when it is there, so is everything before it.
    let key = world.mesh.service("shop", "last", Some("10.96.0.9"), &["tcp:6379"]).key.clone();
    world.changes(&[Change::Service(key)]).await;
    listens(&envoy, "10.96.0.9_6379").await;
    assert!(lives(&mut open).await && lives(&mut socket).await, "{}", envoy.log());
    for counter in ["listener_manager.listener_modified", "listener_manager.listener_in_place_updated"] {
        assert_eq!(envoy.counted(counter).await, 0, "{counter}");
    }
}
