//! Virtual hosts that are sent apart from their tables, and what real proxies make of them.

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use envoy_api::{
    envoy::config::route::v3::{RouteConfiguration, VirtualHost},
    json::from_value,
};
use prost::Message;
use serde_json::{Value, json};

use super::{
    client::{Client, connect, names, node, web},
    envoy::{all, application, cluster, endpoint_at, listener},
    proxy::{self, listens},
    server::Pilot,
    world::World,
};
use crate::compile::{Resource, ResourceType};
use crate::model::{
    Bind, Change, Destination, EgressListener, HostPattern, HostSelector, Labels, MtlsMode, ObjectRef, OutboundTrafficMode, PatchContext,
    PatchOperation, PatchedObject, ServiceKey, Sidecar,
};
use crate::testing::{
    envoy::RunningEnvoy,
    eventually_seen, free_port,
    http::try_get,
    mesh::{TestMesh, envoy_filter, forward, fqdn, patch, peer_authentication, to, virtual_service},
};

/// A sidecar's mesh, whose services are called by a port of loopback.
struct Loopback {
    mesh: TestMesh,
    port: u16,
}

// === impl Loopback ===

impl Loopback {
    /// Services of these names, whose applications answer with them.
    async fn of(services: &[&'static str]) -> Self {
        let port = free_port();
        let mut mesh = TestMesh::default();
        mesh.config.enable_auto_mtls = false;
        // Nobody gives this proxy certificates.
        mesh.peer_authentications.push(peer_authentication("istio-system", &[], MtlsMode::Disable));
        let opened = EgressListener {
            port: Some(port),
            bind: Some(Bind::Address(IpAddr::V4(Ipv4Addr::LOCALHOST))),
            opened: Some(true),
            hosts: vec![HostSelector { namespace: None, host: HostPattern::new("*") }],
            ..EgressListener::default()
        };
        mesh.sidecars.push(Sidecar {
            origin: ObjectRef::new("Sidecar", "shop", "web"),
            selector: Labels::new(),
            ingress: Vec::new(),
            inbound_connection_pool: None,
            egress: Some(vec![opened]),
            outbound_traffic: Some(OutboundTrafficMode::RegistryOnly),
            egress_proxy: None,
            created: 1,
        });
        let mut loopback = Self { mesh, port };
        for name in services {
            loopback.serves(name).await;
        }
        loopback
    }

    /// There is another service.
    async fn serves(&mut self, name: &'static str) -> ServiceKey {
        let key = self.mesh.service("shop", name, Some("10.96.0.1"), &[&format!("http:{}", self.port)]).key.clone();
        self.mesh.others.insert(key.clone(), vec![endpoint_at(application(name).await)]);
        key
    }
}

/// What the proxy answers to a request for that host: the status and the body.
async fn ask(port: u16, host: &str) -> Option<(u16, String)> {
    try_get(port, "/", &[("host", host)]).await.ok().map(|answer| (answer.status, answer.body))
}

async fn answers(envoy: &RunningEnvoy, port: u16, host: &str, expected: (u16, &str)) {
    let told = format!("{host} answers {expected:?}");
    let seen = async || ask(port, host).await.is_some_and(|(status, body)| status == expected.0 && body.starts_with(expected.1));
    eventually_seen(&told, seen).await;
    assert!(!envoy.log().contains("[critical]"), "{}", envoy.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sidecar_follows_services_and_routes_host_by_host() {
    let Loopback { mesh, port } = Loopback::of(&["one", "two", "other"]).await;
    let mut world = World::of(mesh).await;
    let envoy = proxy::start("DELTA_GRPC", &world.pilot.ca, world.pilot.address).await;
    answers(&envoy, port, "one", (200, "one")).await;
    answers(&envoy, port, "two.shop", (200, "two")).await;
    answers(&envoy, port, "unknown.example.com", (502, "")).await;

    // Whatever happens to the others, this one is always there.
    let (stop, failed) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let load = tokio::spawn({
        let (stop, failed) = (stop.clone(), failed.clone());
        async move {
            while !stop.load(Ordering::Relaxed) {
                let right = ask(port, "other").await == Some((200, "other".to_owned()));
                failed.fetch_add(usize::from(!right), Ordering::Relaxed);
            }
        }
    });
    let rule = forward(Vec::new(), vec![to(&fqdn("shop", "two"), None, 1)]);
    let routes = virtual_service("shop", "one", &[fqdn("shop", "one")], vec![rule]);
    let object = routes.origin.clone();
    world.mesh.virtual_services.push(routes);
    world.changes(&[Change::Config(object.clone())]).await;
    answers(&envoy, port, "one", (200, "two")).await;

    let mut loopback = Loopback { mesh: world.mesh, port };
    let three = loopback.serves("three").await;
    world.mesh = loopback.mesh;
    world.changes(&[Change::Service(three.clone()), Change::Endpoints(three.clone())]).await;
    answers(&envoy, port, "three", (200, "three")).await;

    world.mesh.services.remove(&three);
    world.mesh.others.remove(&three);
    world.changes(&[Change::Service(three.clone()), Change::Endpoints(three)]).await;
    answers(&envoy, port, "three", (502, "")).await;
    assert!(world.pilot.metric(r#"pilot_xds_pushes{type="rds"} 1"#), "the table has not changed");

    // Now everything else is led somewhere: the table changes, and keeps its hosts.
    let sidecar = &mut world.mesh.sidecars[0];
    sidecar.outbound_traffic = Some(OutboundTrafficMode::AllowAny);
    sidecar.egress_proxy = Some(Destination { host: fqdn("shop", "two"), subset: None, port: Some(port) });
    let sidecar = sidecar.origin.clone();
    world.changes(&[Change::Config(sidecar)]).await;
    answers(&envoy, port, "unknown.example.com", (200, "two")).await;
    answers(&envoy, port, "three", (200, "two")).await;
    assert!(world.pilot.metric(r#"pilot_xds_pushes{type="rds"} 2"#));
    world.mesh.virtual_services.clear();
    world.changes(&[Change::Config(object)]).await;
    answers(&envoy, port, "one", (200, "one")).await;

    stop.store(true, Ordering::Relaxed);
    load.await.unwrap();
    assert_eq!(failed.load(Ordering::Relaxed), 0, "{}", envoy.log());
    assert!(world.pilot.metric("pilot_total_xds_rejects 0"), "{}", envoy.log());
    let dump = world.pilot.debug("/debug/config_dump?proxyID=web-1.shop").await;
    let tables = dump["configs"].as_array().unwrap().iter().find(|it| it["@type"].as_str().unwrap().ends_with("RoutesConfigDump")).unwrap();
    let hosts = &tables["dynamic_route_configs"][0]["route_config"]["virtual_hosts"];
    let shown: Vec<&Value> = hosts.as_array().unwrap().iter().map(|host| &host["name"]).collect();
    let named = |name: &str| json!(format!("{name}.shop.svc.cluster.local:{port}"));
    assert_eq!(shown, [&named("one"), &named("other"), &named("two"), &json!("allow_any")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_older_form_of_the_protocol_has_the_same_hosts_in_whole_tables() {
    let Loopback { mesh, port } = Loopback::of(&["one", "two"]).await;
    let mut world = World::of(mesh).await;
    let envoy = proxy::start("GRPC", &world.pilot.ca, world.pilot.address).await;
    answers(&envoy, port, "one", (200, "one")).await;
    let rule = forward(Vec::new(), vec![to(&fqdn("shop", "two"), None, 1)]);
    let routes = virtual_service("shop", "one", &[fqdn("shop", "one")], vec![rule]);
    let change = Change::Config(routes.origin.clone());
    world.mesh.virtual_services.push(routes);
    world.changes(&[change]).await;
    answers(&envoy, port, "one", (200, "two")).await;
    assert!(world.pilot.metric(r#"pilot_xds_pushes{type="rds"} 2"#));
    assert!(!world.pilot.metric(r#"pilot_xds_pushes{type="vhds"} 1"#));
}

#[tokio::test]
async fn a_changed_route_among_a_thousand_services_costs_less_than_two_thousand_bytes() {
    let mut mesh = TestMesh::default();
    for number in 0..1000 {
        let name = format!("service-{number:04}");
        mesh.service("shop", &name, Some(&format!("10.96.{}.{}", number / 250, number % 250 + 1)), &["http:9080"]);
    }
    let host = fqdn("shop", "service-0500");
    let rule = forward(Vec::new(), vec![to(&host, None, 9), to(&fqdn("shop", "service-0501"), None, 1)]);
    mesh.virtual_services.push(virtual_service("shop", "service-0500", &[host], vec![rule]));
    let object = mesh.virtual_services[0].origin.clone();
    let mut world = World::of(mesh).await;
    let channel = connect(world.pilot.address, &world.pilot.ca, &web()).await;
    let mut client = Client::of_table(channel, node("web-1", "shop"), "9080").await;
    let first = client.hears_of_hosts().await;
    client.answers(&first, None).await;
    assert_eq!(first.resources.len(), 1000);

    world.changes_routes(&object, |service| service.http[0].timeout = Some(std::time::Duration::from_secs(7))).await;
    let response = client.takes().await;
    assert_eq!(names(&response), ["9080/service-0500.shop.svc.cluster.local:9080"]);
    assert!(response.encoded_len() <= 2000, "{} bytes", response.encoded_len());
}

/// A table "80" whose hosts are sent apart from it, and answers 404 to all others.
fn split_table() -> Arc<Resource> {
    // As the compiler's tables it waits for its first hosts for as long as it takes.
    let source = json!({"ads": {}, "resource_api_version": "V3", "initial_fetch_timeout": "0s"});
    let all_else = json!({"name": "else", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, "direct_response": {"status": 404}}]});
    let table = json!({"name": "80", "vhds": {"config_source": source}, "validate_clusters": false, "virtual_hosts": [all_else]});
    let table: RouteConfiguration = from_value(table).unwrap();
    Resource::encoded(ResourceType::Route, "80", &table, &[])
}

/// A host of it, whose routes are taken by paths like that and lead to a cluster.
fn host_with(name: &str, expression: &str, cluster: &str) -> Arc<Resource> {
    let full = format!("80/{name}");
    let host: VirtualHost = from_value(json!({"name": full, "domains": [name], "routes": [
        {"match": {"safe_regex": {"regex": expression}}, "route": {"cluster": cluster}},
    ]}))
    .unwrap();
    Resource::encoded(ResourceType::VirtualHost, &full, &host, &[ObjectRef::new("VirtualService", "shop", name)])
}

fn host(name: &str, cluster: &str) -> Arc<Resource> {
    host_with(name, "/.*", cluster)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_comes_back_gets_the_host_that_changed_and_keeps_the_others() {
    let clusters = [cluster("one", application("one").await), cluster("two", application("two").await)];
    let others = [listener("web"), split_table(), host("a", "one"), host("b", "two"), host("gone", "two")];
    let (first, _script) = Pilot::scripted(&all(&clusters, &others)).await;
    let envoy = proxy::start("DELTA_GRPC", &first.ca, first.address).await;
    let port = listens(&envoy, "web").await;
    answers(&envoy, port, "a", (200, "one")).await;
    answers(&envoy, port, "gone", (200, "two")).await;
    eventually_seen("everything is acknowledged", async || {
        let synced = &first.debug("/debug/syncz").await[0];
        synced["route_sent"] == synced["route_acked"]
    })
    .await;

    let others = [listener("web"), split_table(), host("a", "two"), host("b", "two")];
    let (second, _script) = first.replaced(&all(&clusters, &others)).await;
    answers(&envoy, port, "a", (200, "two")).await;
    answers(&envoy, port, "b", (200, "two")).await;
    answers(&envoy, port, "gone", (404, "")).await;
    for kind in ["cds", "lds", "rds"] {
        assert!(!second.metric(&format!(r#"pilot_xds_pushes{{type="{kind}"}} 1"#)), "{kind} was sent again");
    }
    assert!(second.metric(r#"pilot_xds_pushes{type="vhds"} 1"#));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_without_hosts_holds_up_nothing_and_may_get_some_later() {
    let clusters = [cluster("one", application("one").await)];
    let (pilot, mut script) = Pilot::scripted(&all(&clusters, &[listener("web"), split_table()])).await;
    let envoy = proxy::start("DELTA_GRPC", &pilot.ca, pilot.address).await;
    let port = listens(&envoy, "web").await;
    answers(&envoy, port, "a", (404, "")).await;
    script.publish(&all(&clusters, &[listener("web"), split_table(), host("a", "one")]));
    answers(&envoy, port, "a", (200, "one")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_envoy_refuses_is_blamed_and_the_others_go_on() {
    let clusters = [cluster("one", application("one").await), cluster("two", application("two").await)];
    let (pilot, mut script) =
        Pilot::scripted(&all(&clusters, &[listener("web"), split_table(), host("a", "one"), host("bad", "one"), host("c", "one")])).await;
    let envoy = proxy::start("DELTA_GRPC", &pilot.ca, pilot.address).await;
    let port = listens(&envoy, "web").await;
    for name in ["a", "bad", "c"] {
        answers(&envoy, port, name, (200, "one")).await;
    }
    let bad = host_with("bad", "/(", "two");
    script.publish(&all(&clusters, &[listener("web"), split_table(), host("a", "two"), bad, host("c", "two"), host("new", "two")]));
    for name in ["a", "c", "new"] {
        answers(&envoy, port, name, (200, "two")).await;
    }
    // Its form before stays.
    answers(&envoy, port, "bad", (200, "one")).await;
    eventually_seen("it is blamed", async || {
        let page = pilot.debug("/debug/connections").await;
        let blamed = page[0]["rejections"].as_array().unwrap().iter().map(|it| (&it["type"], &it["name"], &it["sources"]));
        blamed.collect::<Vec<_>>() == [(&json!("vhds"), &json!("80/bad"), &json!(["VirtualService shop/bad"]))]
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_domain_passes_from_a_host_to_its_table_and_back() {
    let clusters = [cluster("one", application("one").await)];
    let with_own = {
        let mut table: RouteConfiguration = Message::decode(&*split_table().body).unwrap();
        let own = json!({"name": "a", "domains": ["a"], "routes": [{"match": {"prefix": "/"}, "direct_response": {"status": 418}}]});
        table.virtual_hosts.push(from_value(own).unwrap());
        Resource::encoded(ResourceType::Route, "80", &table, &[])
    };
    let (pilot, mut script) = Pilot::scripted(&all(&clusters, &[listener("web"), split_table(), host("a", "one"), host("b", "one")])).await;
    let envoy = proxy::start("DELTA_GRPC", &pilot.ca, pilot.address).await;
    let port = listens(&envoy, "web").await;
    answers(&envoy, port, "a", (200, "one")).await;
    script.publish(&all(&clusters, &[listener("web"), with_own, host("b", "one")]));
    answers(&envoy, port, "a", (418, "")).await;
    answers(&envoy, port, "b", (200, "one")).await;
    script.publish(&all(&clusters, &[listener("web"), split_table(), host("a", "one"), host("b", "one")]));
    answers(&envoy, port, "a", (200, "one")).await;
    assert!(pilot.metric("pilot_total_xds_rejects 0"), "{}", envoy.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_patch_that_gives_a_host_the_domain_of_another_one_costs_itself_alone() {
    let Loopback { mesh, port } = Loopback::of(&["one", "two"]).await;
    let mut world = World::of(mesh).await;
    let envoy = proxy::start("DELTA_GRPC", &world.pilot.ca, world.pilot.address).await;
    answers(&envoy, port, "one", (200, "one")).await;
    let merging = |index: usize, value: Value| {
        patch(index, PatchedObject::RouteConfiguration, PatchContext::SidecarOutbound, PatchOperation::Merge(Arc::new(value)))
    };
    let routes = json!([{"match": {"prefix": "/"}, "direct_response": {"status": 418}}]);
    let patches = vec![
        merging(0, json!({"virtual_hosts": [{"name": "mine", "domains": ["one"], "routes": routes}]})),
        merging(1, json!({"virtual_hosts": [{"name": "tea", "domains": ["tea"], "routes": routes}]})),
    ];
    let filter = envoy_filter("shop", "taking", &[], patches);
    let object = filter.origin.clone();
    world.mesh.objects.push(filter.into());
    world.changes(&[Change::Config(object.clone())]).await;
    answers(&envoy, port, "tea", (418, "")).await;
    answers(&envoy, port, "one", (200, "one")).await;
    answers(&envoy, port, "two", (200, "two")).await;
    let problems = world.next_problems().await;
    assert_eq!(problems.keys().collect::<Vec<_>>(), [&object]);
    let message = &problems[&object].message;
    assert!(message.contains("spec.configPatches[0]") && message.contains("another virtual host of domain one"), "{message}");
    assert!(world.pilot.metric("pilot_total_xds_rejects 0"), "{}", envoy.log());
}
