//! ServiceEntry.

use std::{collections::BTreeSet, net::IpAddr};

use ferromesh_crds::networking::ServiceEntry;
use ferromesh_crds::networking::service_entry::{self as api, ServiceEntryPort, ServiceEntrySpec};

use super::endpoint::{Addresses, is_socket};
use super::hosts::{is_partial_wildcard, name_defect, wildcard_defect};
use super::path::{At, SPEC};
use super::problem::{Code, Invalid, Parsed, quoted};
use super::reading::{ParseContext, Reading};
use crate::model::{self, HostPattern, Location, Protocol, Resolution, ServicePort, TargetPort};

/// The label of services that are served through a waypoint, which DYNAMIC_DNS within the mesh can't be.
const USE_WAYPOINT: &str = "istio.io/use-waypoint";
/// The label by which an object declines, with `false`, the addresses that the mesh gives to hosts without any.
const AUTOMATIC_ADDRESSES: &str = "networking.istio.io/enable-autoallocate-ip";

/// Reads a ServiceEntry.
///
/// # Errors
/// Everything that is wrong with it.
pub fn service_entry(object: &ServiceEntry, context: &ParseContext) -> Result<Parsed<model::ServiceEntry>, Invalid> {
    let mut reading = Reading::new("ServiceEntry", &object.metadata, context);
    let spec = &object.spec;
    let resolution = spec.resolution.unwrap_or(api::Resolution::None);
    let hosts = hosts(&mut reading, spec, resolution);
    let addresses = addresses(&mut reading, spec, resolution);
    let ports = ports(&mut reading, spec, resolution);
    check_selector(&mut reading, spec, resolution);
    check_resolution(&mut reading, spec, resolution);
    let at = SPEC.field("endpoints");
    let names: BTreeSet<&str> = spec.ports.iter().map(|port| port.name.as_str()).collect();
    let endpoints = spec.endpoints.iter().enumerate();
    let addressing = if resolution == api::Resolution::Static { Addresses::Static } else { Addresses::Named };
    let endpoints = endpoints.filter_map(|(index, one)| reading.endpoint(&at.index(index), one, addressing, Some(&names))).collect();
    let label = |name| object.metadata.labels.as_ref().and_then(|labels| labels.get(name));
    let waypoint = label(USE_WAYPOINT).is_some();
    let internal = spec.location == Some(api::Location::MeshInternal);
    if waypoint && internal && resolution == api::Resolution::DynamicDns {
        let message = "DYNAMIC_DNS can't be used for MESH_INTERNAL services that use a waypoint";
        reading.error(&SPEC.field("resolution"), Code::Conflict, message);
    }
    let selector = spec.workload_selector.as_ref();
    let value = model::ServiceEntry {
        origin: reading.origin.clone(),
        hosts,
        addresses,
        ports,
        location: if internal { Location::Internal } else { Location::External },
        resolution: match resolution {
            api::Resolution::None => Resolution::Passthrough,
            api::Resolution::Static => Resolution::Eds,
            api::Resolution::Dns => Resolution::Dns,
            api::Resolution::DnsRoundRobin => Resolution::DnsRoundRobin,
            api::Resolution::DynamicDns => Resolution::DynamicDns,
        },
        subject_alt_names: spec.subject_alt_names.iter().map(|name| name.as_str().into()).collect(),
        automatic_addresses: !label(AUTOMATIC_ADDRESSES).is_some_and(|value| value.eq_ignore_ascii_case("false")),
        given_addresses: object.status.as_ref().map(given_addresses).unwrap_or_default(),
        endpoints,
        workload_selector: selector.map(|one| reading.selector(&SPEC.field("workloadSelector"), "labels", &one.labels)),
        export_to: reading.export_to(&SPEC, &spec.export_to, true),
        created: reading.created,
    };
    reading.finish(value)
}

/// The addresses that the status tells of. What can't be read there is nothing that the author of the object could mend.
fn given_addresses(status: &api::ServiceEntryStatus) -> Vec<(HostPattern, IpAddr)> {
    let given = |one: &api::ServiceEntryAddress| Some((HostPattern::new(one.host.as_deref()?), one.value.as_deref()?.parse().ok()?));
    status.addresses.iter().filter_map(given).collect()
}

/// Hosts are taken as they are: a short name is not one of Kubernetes'.
fn hosts(reading: &mut Reading<'_>, spec: &ServiceEntrySpec, resolution: api::Resolution) -> Vec<HostPattern> {
    let at = SPEC.field("hosts");
    if spec.hosts.is_empty() {
        reading.required(&at);
    }
    let by_name = matches!(resolution, api::Resolution::Dns | api::Resolution::DnsRoundRobin) && spec.endpoints.is_empty();
    for (index, host) in spec.hosts.iter().enumerate() {
        let at = at.index(index);
        if host == "*" {
            reading.error(&at, Code::BadHost, "a host can't be \"*\" alone: name a domain, for example *.example.com");
        } else if let Some(defect) = wildcard_defect(host) {
            reading.error(&at, Code::BadHost, defect);
        } else if by_name && name_defect(host).is_some() {
            let message = format!("{} can't be looked up: without endpoints a host must be a full name", quoted(host));
            reading.error(&at, Code::BadHost, message);
        } else if is_partial_wildcard(host) {
            reading.warn(
                &at,
                Code::BadHost,
                format!("{} is a partial wildcard: '*' stands for whole labels, as in *.example.com", quoted(host)),
            );
        }
        if resolution == api::Resolution::DynamicDns && !host.starts_with('*') {
            reading.error(&at, Code::BadHost, format!("{} must be a wildcard where resolution is DYNAMIC_DNS", quoted(host)));
        }
    }
    spec.hosts.iter().map(|host| HostPattern::new(host.strip_suffix('.').unwrap_or(host))).collect()
}

fn addresses(reading: &mut Reading<'_>, spec: &ServiceEntrySpec, resolution: api::Resolution) -> Vec<ipnet::IpNet> {
    let at = SPEC.field("addresses");
    let ranges_allowed = matches!(resolution, api::Resolution::None | api::Resolution::Static);
    if !ranges_allowed && spec.addresses.iter().any(|address| address.contains('/')) {
        reading.error(&at, Code::Conflict, "ranges are allowed only where resolution is NONE or STATIC");
    }
    let read = |(index, address): (usize, &String)| reading.range(&at.index(index), address);
    spec.addresses.iter().enumerate().filter_map(read).collect()
}

fn ports(reading: &mut Reading<'_>, spec: &ServiceEntrySpec, resolution: api::Resolution) -> Vec<ServicePort> {
    let at = SPEC.field("ports");
    let read = |(index, one): (usize, &ServiceEntryPort)| port(reading, &at.index(index), one);
    let ports: Vec<ServicePort> = spec.ports.iter().enumerate().filter_map(read).collect();
    let names = spec.ports.iter().enumerate().filter(|(_, port)| !port.name.is_empty());
    let names: Vec<_> = names.map(|(index, port)| (at.index(index), port.name.as_str())).collect();
    reading.distinct(names.into_iter(), |name| format!("there are two ports named {}", quoted(name)));
    let numbers = spec.ports.iter().enumerate().filter_map(|(index, port)| Some((at.index(index), port.number?)));
    let numbers: Vec<_> = numbers.collect();
    reading.distinct(numbers.into_iter(), |number| format!("port {number} is defined already"));
    let opaque = |port: &ServicePort| !port.protocol.is_http() && !port.protocol.is_tls();
    if spec.hosts.len() > 1 && spec.addresses.is_empty() && resolution != api::Resolution::None && ports.iter().any(opaque) {
        reading.error(&at, Code::Conflict, "several hosts can be told apart on HTTP and TLS ports only: split the object");
    }
    if spec.addresses.is_empty() {
        for (index, port) in ports.iter().enumerate().filter(|(_, port)| opaque(port) && port.protocol != Protocol::Udp) {
            let message =
                format!("without spec.addresses every connection to port {} is taken for this service, wherever it goes", port.number);
            reading.warn(&at.index(index), Code::AddressesRequired, message);
        }
    }
    if resolution == api::Resolution::DynamicDns {
        for (index, port) in ports.iter().enumerate().filter(|(_, port)| opaque(port)) {
            let message = format!("DYNAMIC_DNS needs a name in the request, which {} has not", port.protocol);
            reading.error(&at.index(index).field("protocol"), Code::Conflict, message);
        }
    }
    ports
}

fn port(reading: &mut Reading<'_>, at: &At<'_>, port: &ServiceEntryPort) -> Option<ServicePort> {
    match port.name.as_str() {
        "" => reading.required(&at.field("name")),
        name => reading.port_name(&at.field("name"), name),
    }
    let Some(number) = port.number else {
        reading.required(&at.field("number"));
        return None;
    };
    let number = reading.port(&at.field("number"), number);
    let target = port.target_port.map_or(number, |target| reading.port(&at.field("targetPort"), target));
    let protocol = match port.protocol.as_deref().unwrap_or_default() {
        "" => Protocol::of_service_port(None, None, Some(&port.name), number),
        name => reading.protocol(&at.field("protocol"), name)?,
    };
    Some(ServicePort { name: port.name.as_str().into(), number, target: TargetPort::Number(target), protocol })
}

fn check_selector(reading: &mut Reading<'_>, spec: &ServiceEntrySpec, resolution: api::Resolution) {
    let at = SPEC.field("workloadSelector");
    if spec.workload_selector.is_none() {
        return;
    }
    if !spec.endpoints.is_empty() {
        reading.error(&at, Code::Conflict, "workloadSelector and endpoints exclude each other");
    }
    if resolution == api::Resolution::None {
        reading.warn(&at, Code::NoEffect, "has no effect where resolution is NONE");
    }
}

/// What each way of finding endpoints asks of the endpoints that are listed.
fn check_resolution(reading: &mut Reading<'_>, spec: &ServiceEntrySpec, resolution: api::Resolution) {
    let at = SPEC.field("endpoints");
    let count = spec.endpoints.len();
    match resolution {
        api::Resolution::None if count > 0 => reading.error(&at, Code::Conflict, "endpoints need a resolution other than NONE"),
        api::Resolution::DynamicDns if count > 0 => {
            reading.error(&at, Code::Conflict, "DYNAMIC_DNS looks up the name that the client asks for, so it takes no endpoints");
        }
        api::Resolution::DnsRoundRobin if count > 1 => {
            reading.error(&at, Code::WrongSize, format!("DNS_ROUND_ROBIN takes one endpoint at most, not {count}"));
        }
        _ => {}
    }
    if spec.ports.len() != 1 && spec.endpoints.iter().any(is_socket) {
        reading.error(&SPEC.field("ports"), Code::WrongSize, "endpoints on Unix sockets need exactly one port");
    }
}
