//! What a real proxy refuses, and that the rest of the mesh goes on.

use std::net::SocketAddr;

use super::{
    envoy::{application, mesh_behind_a_gateway},
    proxy,
    world::World,
};
use crate::model::{HostPattern, HttpRoute, ObjectRef, StringMatch};
use crate::testing::{
    eventually, eventually_seen, free_port,
    http::{get, try_get},
    mesh::{TestMesh, forward, fqdn, path, to, virtual_service},
};

/// Routes to that service; Envoy takes no unfinished expression.
fn rule(uri: StringMatch, target: &str) -> Vec<HttpRoute> {
    vec![forward(vec![path(uri)], vec![to(&fqdn("shop", target), None, 1)])]
}

fn everything() -> StringMatch {
    StringMatch::Prefix("/".into())
}

fn unfinished() -> StringMatch {
    StringMatch::Regex("/(unfinished".into())
}

/// A gateway's port for two hosts, `a.example` and `b.example`, each with a VirtualService of its own.
fn two_hosts(port: u16, one: SocketAddr, two: SocketAddr) -> (TestMesh, [ObjectRef; 2]) {
    let (mut mesh, _) = mesh_behind_a_gateway(port, one, two, "one");
    mesh.virtual_services.clear();
    for name in ["a", "b"] {
        let host = HostPattern::new(&format!("{name}.example"));
        let mut service = virtual_service("shop", name, &[host], rule(everything(), "one"));
        service.gateways = vec!["shop/edge".into()];
        mesh.virtual_services.push(service);
    }
    let objects = ["a", "b"].map(|name| ObjectRef::new("VirtualService", "shop", name));
    (mesh, objects)
}

async fn answers(port: u16, host: &str, body: &str) {
    let what = format!("{host} is answered by {body}");
    eventually_seen(&what, async || try_get(port, "/", &[("host", host)]).await.is_ok_and(|answer| answer.body == body)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_virtual_service_that_envoy_refuses_is_named_and_all_other_routes_go_on_changing() {
    let (one, two, port) = (application("one").await, application("two").await, free_port());
    let (mesh, [a, b]) = two_hosts(port, one, two);
    let mut world = World::of(mesh).await;
    let _envoy = proxy::start_gateway(&world.pilot.ca, world.pilot.address).await;
    answers(port, "a.example", "one").await;

    world.changes_routes(&a, |service| service.http = rule(unfinished(), "two")).await;
    let problems = world.next_problems().await;
    assert_eq!(problems.keys().collect::<Vec<_>>(), [&a]);
    let message = &problems[&a].message;
    assert!(
        message.starts_with("proxy web-1.shop refused rds http.") && message.ends_with("its last good form stays in force"),
        "{message}"
    );
    // Both are in one table of routes: the one that is right changes, the other one stays.
    world.changes_routes(&b, |service| service.http = rule(everything(), "two")).await;
    answers(port, "b.example", "two").await;
    assert_eq!(get(port, "/", &[("host", "a.example")]).await.body, "one");
    eventually("all is told", || world.pilot.metric("pilot_objects_at_fault 1")).await;
    assert!(world.pilot.metric("pilot_total_xds_rejects 1"), "no loop");

    world.changes_routes(&a, |service| service.http = rule(everything(), "two")).await;
    answers(port, "a.example", "two").await;
    assert!(world.next_problems().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_starts_with_a_bad_virtual_service_serves_all_others() {
    let (one, two, port) = (application("one").await, application("two").await, free_port());
    let (mut mesh, [a, _]) = two_hosts(port, one, two);
    mesh.virtual_services[0].http = rule(unfinished(), "two");
    let mut world = World::of(mesh).await;
    let _envoy = proxy::start_gateway(&world.pilot.ca, world.pilot.address).await;
    answers(port, "b.example", "one").await;
    assert_eq!(get(port, "/", &[("host", "a.example")]).await.status, 404);
    let problems = world.next_problems().await;
    assert_eq!(problems.keys().collect::<Vec<_>>(), [&a]);
    assert!(problems[&a].message.ends_with("the mesh goes on without it"), "{problems:?}");
    world.changes_routes(&a, |service| service.http = rule(everything(), "two")).await;
    answers(port, "a.example", "two").await;
}
