//! The services of a snapshot, for people.

use serde_json::{Value, json};

use crate::model::{Resolution, Service, Snapshot};

/// The services that the mesh knows, as JSON for `/debug/registryz`.
pub fn service_listing(snapshot: &Snapshot) -> Value {
    let services = snapshot.services.values().map(|service| {
        let endpoints = snapshot.endpoints.get(&service.key).map_or(0, |endpoints| endpoints.len());
        service_json(service, endpoints)
    });
    services.collect()
}

fn service_json(service: &Service, endpoints: usize) -> Value {
    let ports = service.ports.iter().map(|port| json!({"name": port.name, "port": port.number, "protocol": port.protocol.to_string()}));
    let resolution = match service.resolution {
        Resolution::Eds => "ClientSideLB",
        Resolution::Passthrough => "Passthrough",
        Resolution::Dns => "DNSLB",
        Resolution::DnsRoundRobin => "DNSRoundRobinLB",
        Resolution::DynamicDns => "DynamicDNS",
    };
    let ranges = service.ranges.iter().map(ToString::to_string);
    let addresses: Vec<_> = service.addresses.iter().map(ToString::to_string).chain(ranges).collect();
    json!({
        "hostname": service.key.host.as_str(),
        "namespace": service.key.namespace,
        "declaredBy": service.origin.to_string(),
        "addresses": addresses,
        "autoAllocatedIPv4Address": service.automatic_address.map(|address| address.to_string()),
        "ports": ports.collect::<Vec<_>>(),
        "resolution": resolution,
        "meshExternal": service.external,
        "endpoints": endpoints,
    })
}
