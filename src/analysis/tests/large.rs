//! Large meshes: what a review costs does not grow with them.

use std::time::{Duration, Instant};

use super::*;
use crate::model::{NamespaceSelector, ServerCertificate, ServerTls, ServerTlsMode};
use crate::testing::mesh::{bookinfo, fqdn, http_gateway, versions};

/// The sample beside `size` services in a hundred namespaces, each with routes, a rule and workloads, and a fifth as many of everything
/// else. Gateways share their workloads, port and certificate, hosts outside are declared in pairs, so that there is much to be found.
fn large(size: usize) -> World {
    let mut mesh = bookinfo();
    let mut objects: Vec<ConfigObject> = Vec::new();
    for place in 0..size {
        let (namespace, name) = (format!("ns{}", place % 100), format!("s{place}"));
        mesh.service(&namespace, &name, Some(&format!("10.{}.{}.1", 100 + place / 250, place % 250)), &["http:80"]);
        let address = format!("10.{}.{}.2", 100 + place / 250, place % 250);
        mesh.workload(&namespace, &name, &address, &[("app", &name), ("version", "v1")]);
        let host = fqdn(&namespace, &name);
        let split = forward(Vec::new(), vec![to(&host, Some("v1"), 1)]);
        objects.push(virtual_service(&namespace, &name, std::slice::from_ref(&host), vec![split]).into());
        objects.push(versions(&namespace, &host, &["v1"]).into());
        if place % 5 == 0 {
            let mut gateway = http_gateway(&namespace, &name, &[("istio", "ingressgateway")], 80);
            let host = if place % 10 == 0 { "*".to_owned() } else { format!("{name}.example.com") };
            gateway.servers[0].hosts = vec![(NamespaceSelector::Any, HostPattern::new(&host))];
            let certificates = vec![ServerCertificate::Secret("cert".into())];
            gateway.servers[0].tls = Some(ServerTls { mode: ServerTlsMode::Simple, certificates, ..ServerTls::default() });
            objects.push(gateway.into());
            objects.push(service_entry(&namespace, &name, &[&format!("api{}.example.com", place / 10)], &["http:80"]).into());
            objects.push(sidecar(&namespace, &name, &[("app", &name)]).into());
        }
    }
    world(&mesh, objects)
}

/// The least time that one of many reviews took: what else the machine does only adds to it.
fn least(world: &World, object: &ConfigObject) -> Duration {
    let time = || {
        let start = Instant::now();
        std::hint::black_box(review(world, object));
        start.elapsed()
    };
    (0..40).map(|_| time()).min().unwrap()
}

#[test]
fn a_review_among_thousands_is_no_walk_over_them() {
    let (few, many) = (large(20), large(2000));
    let object = |kind: &'static str| {
        let wanted = |object: &ConfigObject| object.origin().kind == kind && &*object.origin().name == "s5";
        few.snapshot().config.values().find(wanted).unwrap()
    };
    for kind in ["VirtualService", "DestinationRule", "Sidecar", "ServiceEntry"] {
        let object = object(kind);
        let (before, after) = (least(&few, &object), least(&many, &object));
        assert!(after < before * 20, "{kind}: {before:?} among few, {after:?} among a hundred times as many");
    }
    // Of Gateways of one door, 256 are looked at.
    let (before, after) = (least(&few, &object("Gateway")), least(&many, &object("Gateway")));
    assert!(after < before * 100, "Gateway: {before:?} among few, {after:?} among a hundred times as many");
}
