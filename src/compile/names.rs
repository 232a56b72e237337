//! Names that a pod's agent resolves for its application: the hosts that the proxy may call, with the addresses by which it knows them.

use envoy_api::envoy::data::dns::v3::dns_table::{AddressList, DnsEndpoint, DnsVirtualDomain, dns_endpoint::EndpointConfig};
use std::{collections::BTreeSet, net::IpAddr};

use super::{
    resource::{Draft, ResourceType},
    scope::Scope,
};
use crate::model::{Health, Resolution, Service, ServiceKey};

/// The services of which there may be a name to tell.
pub(super) fn named<'a>(scope: &Scope<'a>) -> impl Iterator<Item = &'a ServiceKey> + use<'a> {
    let services = if scope.captures_dns() { scope.visible_services() } else { Vec::new() };
    services.into_iter().map(|service| &service.key).filter(|key| key.host.as_str() != "*")
}

/// A host with its addresses; `None` for one that has none of its own, which DNS servers may know.
pub(super) fn name(scope: &Scope<'_>, key: &ServiceKey) -> Option<Draft> {
    let service = scope.service(key)?;
    let addresses = match scope.addresses_of(service) {
        none if none.is_empty() => endpoints(scope, service),
        addresses => addresses.into_iter().filter(|address| !address.is_unspecified()).collect(),
    };
    if addresses.is_empty() {
        return None;
    }
    scope.shaped_by(&service.origin);
    let list = AddressList { address: addresses.iter().map(ToString::to_string).collect() };
    let endpoint = DnsEndpoint { endpoint_config: Some(EndpointConfig::AddressList(list)) };
    let host = key.host.as_str();
    let domain = DnsVirtualDomain { name: host.to_owned(), endpoint: Some(endpoint), ..DnsVirtualDomain::default() };
    Some(Draft::new(ResourceType::Name, host, &domain))
}

/// The addresses of a headless Service are its pods'. Names of single pods are left to DNS servers.
fn endpoints(scope: &Scope<'_>, service: &Service) -> BTreeSet<IpAddr> {
    if service.resolution != Resolution::Passthrough || service.origin.kind != "Service" {
        return BTreeSet::new();
    }
    let usable = scope.endpoints(&service.key).iter().filter(|it| it.health == Health::Healthy || service.publish_not_ready);
    usable.filter_map(|endpoint| endpoint.address.parse().ok()).collect()
}
