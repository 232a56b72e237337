//! What Services and ServiceEntries declare.

use std::{collections::BTreeSet, sync::Arc};

use ipnet::IpNet;

use super::{
    addresses::Claim,
    declarations::{Backing, Declaration},
};
use crate::config::kubernetes::KubernetesService;
use crate::model::{HostPattern, Labels, Location, Outside, Resolution, Service, ServiceEntry, ServiceEntryEndpoint, ServiceKey};

/// The declaration of a Kubernetes Service.
pub(super) fn of_kubernetes(found: KubernetesService) -> Declaration {
    let backing = match found.external_name {
        Some(name) => Backing::Named(vec![endpoint_at(&name)]),
        None => Backing::Slices,
    };
    Declaration { service: Arc::new(found.service), backing, claim: None }
}

/// The declarations of a ServiceEntry, one a host.
pub(super) fn of_entry(entry: &ServiceEntry) -> Vec<Declaration> {
    let mut seen = BTreeSet::new();
    let hosts = entry.hosts.iter().filter(|host| seen.insert(*host));
    let declared =
        |host| Declaration { service: Arc::new(service_of(entry, host)), backing: backing_of(entry, host), claim: claim_of(entry, host) };
    hosts.map(declared).collect()
}

/// The claim of a host to an address of the mesh's, as the reference has it: hosts that have none, that one name stands for, and that
/// are not reached at whatever address the client chose.
fn claim_of(entry: &ServiceEntry, host: &HostPattern) -> Option<Claim> {
    let one_name = !host.is_wildcard() || entry.resolution == Resolution::DynamicDns;
    let claims = entry.automatic_addresses && entry.addresses.is_empty() && entry.resolution != Resolution::Passthrough && one_name;
    claims.then(|| Claim {
        created: entry.created,
        given: entry.given_addresses.iter().filter(|(given, _)| given == host).map(|(_, address)| *address).collect(),
    })
}

fn service_of(entry: &ServiceEntry, host: &HostPattern) -> Service {
    let (single, ranges): (Vec<IpNet>, Vec<IpNet>) = entry.addresses.iter().partition(|range| range.prefix_len() == range.max_prefix_len());
    Service {
        key: ServiceKey { host: host.clone(), namespace: entry.origin.namespace.clone() },
        origin: entry.origin.clone(),
        name: host.as_str().into(),
        addresses: single.iter().map(IpNet::addr).collect(),
        ranges,
        automatic_address: None,
        ports: entry.ports.clone(),
        resolution: entry.resolution,
        alias_of: None,
        selector: entry.workload_selector.clone().unwrap_or_default(),
        export_to: entry.export_to.clone(),
        external: entry.location == Location::External,
        subject_alt_names: entry.subject_alt_names.clone(),
        publish_not_ready: false,
        outside: Outside::default(),
        created: entry.created,
    }
}

fn backing_of(entry: &ServiceEntry, host: &HostPattern) -> Backing {
    let by_dns = matches!(entry.resolution, Resolution::Dns | Resolution::DnsRoundRobin);
    match &entry.workload_selector {
        Some(selector) => Backing::Selected(selector.clone()),
        // The host itself is what DNS is asked for.
        None if entry.endpoints.is_empty() && by_dns && !host.is_wildcard() => Backing::Named(vec![endpoint_at(host.as_str())]),
        None => Backing::Named(entry.endpoints.clone()),
    }
}

/// An endpoint of which nothing is known but where it is.
fn endpoint_at(host: &str) -> ServiceEntryEndpoint {
    ServiceEntryEndpoint {
        address: host.into(),
        ports: Vec::new(),
        labels: Labels::new(),
        weight: 1,
        locality: Arc::default(),
        service_account: None,
    }
}
