//! Tests of the analysis: worlds in a few words, and what is found in them.

mod claims;
mod cluster;
mod filters;
mod gateways;
mod large;
mod pods;
mod policies;
mod properties;
mod routes;
mod rules;
mod unknown;

use std::sync::Arc;

use serde_json::Value;

use super::{Code, Facts, Finding, World, analyze, review};
use crate::model::{
    ConfigObject, ExportTo, HostPattern, Location, ObjectRef, Resolution, ServiceEntry, Sidecar, Snapshot, VirtualService, Visibility,
};
use crate::testing::mesh::{TestMesh, forward, labels, port, to, virtual_service};

/// A world of a mesh and further objects, of which nothing but the snapshot is known.
fn world(mesh: &TestMesh, objects: impl IntoIterator<Item = ConfigObject>) -> World {
    world_with(mesh, objects, Facts::default())
}

/// The same with facts.
fn world_with(mesh: &TestMesh, objects: impl IntoIterator<Item = ConfigObject>, facts: Facts) -> World {
    let mut snapshot = Snapshot::clone(&mesh.snapshot());
    objects.into_iter().for_each(|object| snapshot.config.insert(object));
    World::new(Arc::new(snapshot), facts)
}

/// A world of Kubernetes' objects alone, all kinds of which are known.
fn cluster(objects: &[Value]) -> World {
    let mut facts = Facts {
        namespaces: Some(Default::default()),
        services: Some(Default::default()),
        pods: Some(Default::default()),
        deployments: Some(Default::default()),
        secrets: Some(Default::default()),
        injectors: Some(Default::default()),
        webhooks: Some(Default::default()),
        ..Facts::default()
    };
    for object in objects {
        assert!(facts.learn(object, "default"), "{object}");
    }
    World::new(Arc::new(Snapshot::default()), facts)
}

/// What is found of that code, a line each.
fn found(world: &World, code: Code) -> Vec<String> {
    lines(&analyze(world), code)
}

/// What a review finds of that code.
fn reviewed(world: &World, object: impl Into<ConfigObject>, code: Code) -> Vec<String> {
    lines(&review(world, &object.into()), code)
}

fn lines(findings: &[Finding], code: Code) -> Vec<String> {
    findings.iter().filter(|finding| finding.code == code).map(|finding| finding.to_string()).collect()
}

/// The lines, and that there are no findings of other codes.
fn only(world: &World, code: Code) -> Vec<String> {
    let all = analyze(world);
    assert!(all.iter().all(|finding| finding.code == code), "{all:#?}");
    lines(&all, code)
}

/// A VirtualService for sidecars that sends requests for a host to the host itself.
fn plain_routes(namespace: &str, name: &str, host: &HostPattern) -> VirtualService {
    virtual_service(namespace, name, std::slice::from_ref(host), vec![forward(Vec::new(), vec![to(host, None, 1)])])
}

/// A ServiceEntry of ports as [`port`] reads them.
fn service_entry(namespace: &str, name: &str, hosts: &[&str], ports: &[&str]) -> ServiceEntry {
    ServiceEntry {
        origin: ObjectRef::new("ServiceEntry", namespace, name),
        hosts: hosts.iter().map(|host| HostPattern::new(host)).collect(),
        addresses: Vec::new(),
        ports: ports.iter().map(|text| port(text)).collect(),
        location: Location::External,
        resolution: Resolution::Dns,
        subject_alt_names: Vec::new(),
        automatic_addresses: true,
        given_addresses: Vec::new(),
        endpoints: Vec::new(),
        workload_selector: None,
        export_to: ExportTo::default(),
        created: 1,
    }
}

/// A Sidecar for workloads with these labels.
fn sidecar(namespace: &str, name: &str, selector: &[(&str, &str)]) -> Sidecar {
    Sidecar {
        origin: ObjectRef::new("Sidecar", namespace, name),
        selector: labels(selector),
        ingress: Vec::new(),
        inbound_connection_pool: None,
        egress: None,
        outbound_traffic: None,
        egress_proxy: None,
        created: 1,
    }
}

/// To its own namespace alone.
fn private() -> ExportTo {
    ExportTo(vec![Visibility::Private])
}
