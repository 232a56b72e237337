//! Real proxies with traffic through them, while pilot, its network or what is routed to has a bad day.

use std::time::Duration;

use ferromesh_crds::networking::{Gateway, VirtualService};
use k8s_openapi::api::{
    core::v1::{Pod, Service},
    discovery::v1::EndpointSlice,
};
use serde_json::json;
use tokio::{net::TcpListener, time::Instant};

use super::{
    envoy::{application, mesh_behind_a_gateway},
    faults::broken,
    load::Load,
    on_api::OnApi,
    proxy::{self, ask_until},
    relay::{Relay, Weather},
    world::World,
};
use crate::model::{Change, HostPattern, StringMatch};
use crate::testing::{
    envoy::RunningEnvoy,
    eventually, eventually_seen,
    fake_api::FakeApi,
    http::try_get,
    mesh::{forward, fqdn, path, to, virtual_service},
};

async fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port()
}

/// Requests to a host of a gateway's port, which should all be answered.
fn load(port: u16, host: &'static str) -> Load {
    Load::of(move || async move { try_get(port, "/", &[("host", host)]).await.is_ok_and(|answer| answer.status == 200) })
}

async fn answers(port: u16, host: &str, body: &str) {
    let what = format!("{host} is answered by {body}");
    eventually_seen(&what, async || try_get(port, "/", &[("host", host)]).await.is_ok_and(|answer| answer.body == body)).await;
}

/// A number of Envoy's.
async fn stat(envoy: &RunningEnvoy, name: &str) -> u64 {
    let page = envoy.admin("/stats").await.body;
    let value = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": ")?.parse().ok());
    value.unwrap_or_else(|| panic!("no {name}"))
}

/// What a gateway of pod web-1 needs, to lead from a port to Services `one` and `two`, whose only endpoints are these ports.
fn insert_mesh(api: &FakeApi, port: u16, endpoints: [(&str, u16); 2]) {
    for (name, port) in endpoints {
        let spec = json!({"clusterIP": "10.96.0.1", "clusterIPs": ["10.96.0.1"], "ports": [{"name": "http", "port": 80}]});
        let service = json!({"metadata": {"name": name, "namespace": "shop"}, "spec": spec});
        api.insert::<Service>(&serde_json::from_value(service).unwrap());
        let slice = json!({
            "metadata": {"name": format!("{name}-1"), "namespace": "shop", "labels": {"kubernetes.io/service-name": name}},
            "addressType": "IPv4", "ports": [{"name": "http", "port": port, "protocol": "TCP"}],
            "endpoints": [{"addresses": ["127.0.0.1"], "conditions": {"ready": true}}],
        });
        api.insert::<EndpointSlice>(&serde_json::from_value(slice).unwrap());
    }
    let pod = json!({
        "metadata": {"name": "web-1", "namespace": "shop", "labels": {"app": "web"}},
        "spec": {"containers": [], "nodeName": "n1", "serviceAccountName": "web"},
        "status": {"phase": "Running", "podIP": "10.0.0.1", "conditions": [{"type": "Ready", "status": "True"}]},
    });
    api.insert::<Pod>(&serde_json::from_value(pod).unwrap());
    let server = json!({"port": {"number": port, "name": "http", "protocol": "HTTP"}, "hosts": ["*"]});
    let gateway = json!({"metadata": {"name": "edge", "namespace": "shop"}, "spec": {"selector": {"app": "web"}, "servers": [server]}});
    api.insert::<Gateway>(&serde_json::from_value(gateway).unwrap());
    insert_route(api, "one");
}

fn insert_route(api: &FakeApi, target: &str) {
    let http = json!([{"route": [{"destination": {"host": target}}]}]);
    let spec = json!({"hosts": ["*"], "gateways": ["edge"], "http": http});
    let routes = json!({"metadata": {"name": "web", "namespace": "shop"}, "spec": spec});
    api.insert::<VirtualService>(&serde_json::from_value(routes).unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn pilot_starts_over_and_finds_the_mesh_bit_by_bit_while_no_request_fails() {
    let (api, port) = (FakeApi::new(), free_port().await);
    let (one, two) = (application("one").await, application("two").await);
    insert_mesh(&api, port, [("one", one.port()), ("two", two.port())]);
    let first = OnApi::start(&api).await;
    let envoy = proxy::start_gateway(&first.pilot.ca, first.pilot.address).await;
    answers(port, "web.example", "one").await;
    let load = load(port, "web.example");
    load.goes_on(20).await;

    let place = first.pilot.left().await;
    load.goes_on(20).await;
    // The successor can't read all that there is: whoever served a part would take the rest from its proxies.
    let broken = broken(&api, "endpointslices");
    let second = OnApi::start_at(place, &api).await;
    eventually("the proxy is back", || second.pilot.metric("pilot_xds 1")).await;
    load.goes_on(50).await;
    assert!(!second.pilot.readiness.is_ready());
    assert_eq!(second.pilot.readiness.awaited(), ["the mesh's configuration"]);
    broken.store(false, std::sync::atomic::Ordering::SeqCst);
    second.pilot.ready().await;
    insert_route(&api, "two");
    answers(port, "web.example", "two").await;
    let (asked, failed) = load.end().await;
    assert!(asked > 90 && failed == 0, "{failed} of {asked} failed\n{}", envoy.log());
    for removed in ["cluster_manager.cluster_removed", "listener_manager.listener_removed"] {
        assert_eq!(stat(&envoy, removed).await, 0, "{removed}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn over_a_slow_and_lossy_network_a_proxy_gets_where_the_mesh_is_with_one_response_under_way_at_most() {
    let weather = Weather { delay: Duration::from_millis(200), lost: 5 };
    let (one, two, port) = (application("one").await, application("two").await, free_port().await);
    let (mesh, service) = mesh_behind_a_gateway(port, one, two, "one");
    let mut world = World::of(mesh).await;
    let relay = Relay::to(world.pilot.address, weather).await;
    let envoy = proxy::start_gateway(&world.pilot.ca, relay.address).await;
    ask_until(&envoy, port, "/", |answer| answer.body == "one").await;

    let (start, pushed) = (Instant::now(), world.pilot.number(r#"pilot_xds_pushes{type="rds"}"#));
    let (mut changes, mut pace) = (0, tokio::time::interval(weather.delay / 20));
    // For as long as several round trips take; the last change of all leads to the other service.
    while start.elapsed() < 10 * weather.delay {
        changes += 1;
        let uri = StringMatch::Prefix(format!("/{changes}").into());
        let first = forward(vec![path(uri)], vec![to(&fqdn("shop", "two"), None, 1)]);
        let rest = forward(Vec::new(), vec![to(&fqdn("shop", "one"), None, 1)]);
        world.changes_routes(&service.origin, |service| service.http = vec![first, rest]).await;
        pace.tick().await;
    }
    let last = forward(Vec::new(), vec![to(&fqdn("shop", "two"), None, 1)]);
    world.changes_routes(&service.origin, |service| service.http = vec![last]).await;
    ask_until(&envoy, port, "/", |answer| answer.body == "two").await;

    let pushed = world.pilot.number(r#"pilot_xds_pushes{type="rds"}"#) - pushed;
    // A response is answered after a round trip at the earliest, and not before is there another one.
    let most = start.elapsed().as_millis().div_ceil((2 * weather.delay).as_millis()) + 1;
    assert!(u128::from(pushed) <= most, "{pushed} responses, {most} round trips");
    assert!(changes > 4 * pushed, "{changes} changes, {pushed} responses");
    assert!(world.pilot.metric("pilot_total_xds_rejects 0"), "{}", envoy.log());
}

/// A mesh whose hosts `a.example` and `b.example` lead to services one and two.
async fn two_hosts() -> (World, RunningEnvoy, u16) {
    let (one, two, port) = (application("one").await, application("two").await, free_port().await);
    let (mut mesh, _) = mesh_behind_a_gateway(port, one, two, "one");
    mesh.virtual_services.clear();
    for (name, target) in [("a", "one"), ("b", "two")] {
        let route = forward(Vec::new(), vec![to(&fqdn("shop", target), None, 1)]);
        let mut service = virtual_service("shop", name, &[HostPattern::new(&format!("{name}.example"))], vec![route]);
        service.gateways = vec!["shop/edge".into()];
        mesh.virtual_services.push(service);
    }
    let world = World::of(mesh).await;
    let envoy = proxy::start_gateway(&world.pilot.ca, world.pilot.address).await;
    answers(port, "a.example", "one").await;
    answers(port, "b.example", "two").await;
    (world, envoy, port)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_is_renamed_together_with_its_routes_costs_no_request() {
    let (mut world, envoy, port) = two_hosts().await;
    let load = load(port, "a.example");
    let mut old = fqdn("shop", "one");
    for (name, body) in [("uno", "one"), ("eins", "one"), ("ein", "one")] {
        load.goes_on(20).await;
        let before = world.mesh.services.keys().find(|key| key.host == old).unwrap().clone();
        let key = world.mesh.service("shop", name, Some("10.96.0.7"), &["http:80"]).key.clone();
        world.mesh.services.remove(&before).unwrap();
        let endpoints = world.mesh.others.remove(&before).unwrap();
        world.mesh.others.insert(key.clone(), endpoints);
        let routes = world.mesh.virtual_services[0].origin.clone();
        world.mesh.virtual_services[0].http = vec![forward(Vec::new(), vec![to(&fqdn("shop", name), None, 1)])];
        let of = |key: &crate::model::ServiceKey| [Change::Service(key.clone()), Change::Endpoints(key.clone())];
        let changes: Vec<_> = [of(&before), of(&key)].concat().into_iter().chain([Change::Config(routes)]).collect();
        world.changes(&changes).await;
        let (gone, come) = (format!("outbound|80||{old}::"), format!("outbound|80||{}::", key.host));
        ask_until(&envoy, envoy.admin_port, "/clusters", |page| page.body.contains(&come) && !page.body.contains(&gone)).await;
        answers(port, "a.example", body).await;
        old = key.host;
    }
    let (asked, failed) = load.end().await;
    assert!(asked > 60 && failed == 0, "{failed} of {asked} failed\n{}", envoy.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_goes_although_it_is_routed_to_costs_its_own_requests_and_no_others() {
    let (mut world, envoy, port) = two_hosts().await;
    let load = load(port, "b.example");
    load.goes_on(20).await;
    let key = world.mesh.services.keys().find(|key| key.host == fqdn("shop", "one")).unwrap().clone();
    let (service, endpoints) = (world.mesh.services.remove(&key).unwrap(), world.mesh.others.remove(&key).unwrap());
    let changes = [Change::Service(key.clone()), Change::Endpoints(key.clone())];
    world.changes(&changes).await;
    eventually_seen("requests to what is gone get 503", async || {
        try_get(port, "/", &[("host", "a.example")]).await.is_ok_and(|answer| answer.status == 503)
    })
    .await;
    load.goes_on(50).await;
    world.mesh.services.insert(key.clone(), service);
    world.mesh.others.insert(key, endpoints);
    world.changes(&changes).await;
    answers(port, "a.example", "one").await;
    let (asked, failed) = load.end().await;
    assert!(asked > 70 && failed == 0, "{failed} of {asked} failed\n{}", envoy.log());
    assert!(world.pilot.metric("pilot_total_xds_rejects 0"), "{}", envoy.log());
}
