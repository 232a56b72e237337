//! Names that a pod's agent resolves for its application: the hosts that the proxy may call, with the addresses by which it knows them.

use envoy_api::envoy::data::dns::v3::dns_table::{AddressList, DnsEndpoint, DnsVirtualDomain, dns_endpoint::EndpointConfig};
use std::{collections::BTreeSet, net::IpAddr, sync::Arc};

use super::{
    resource::{Draft, ResourceType},
    scope::Scope,
};
use crate::model::{Endpoint, Health, Resolution, Service, ServiceKey};

/// The services of which there may be a name to tell.
pub(super) fn named<'a>(scope: &Scope<'a>) -> impl Iterator<Item = &'a ServiceKey> + use<'a> {
    services(scope).into_iter().map(|service| &service.key).filter(|key| key.host.as_str() != "*")
}

/// The pods of headless Services that have a name of their own below their Service's. A host that somebody declared under such a name
/// goes before the pod.
pub(super) fn named_pods(scope: &Scope<'_>) -> BTreeSet<(ServiceKey, Arc<str>)> {
    let services = services(scope);
    let declared: BTreeSet<&str> = services.iter().map(|service| service.key.host.as_str()).collect();
    let headless = services.iter().filter(|service| is_headless(service));
    let pods = headless.flat_map(|service| usable(scope, service).filter_map(move |it| Some((service.key.clone(), it.hostname.clone()?))));
    pods.filter(|(key, hostname)| !declared.contains(&*pod_host(key, hostname))).collect()
}

/// A host with its addresses; `None` for one that has none of its own, which DNS servers may know.
pub(super) fn name(scope: &Scope<'_>, key: &ServiceKey) -> Option<Draft> {
    let service = scope.service(key)?;
    let addresses = match scope.addresses_of(service) {
        // The addresses of a headless Service are its pods'.
        none if none.is_empty() && is_headless(service) => addresses(usable(scope, service)),
        addresses => addresses.into_iter().filter(|address| !address.is_unspecified()).collect(),
    };
    domain(scope, service, key.host.as_str(), &addresses)
}

/// A pod of a headless Service with its addresses.
pub(super) fn pod(scope: &Scope<'_>, key: &ServiceKey, hostname: &str) -> Option<Draft> {
    let service = scope.service(key)?;
    let addresses = addresses(usable(scope, service).filter(|endpoint| endpoint.hostname.as_deref() == Some(hostname)));
    domain(scope, service, &pod_host(key, hostname), &addresses)
}

fn services<'a>(scope: &Scope<'a>) -> Vec<&'a Arc<Service>> {
    if scope.captures_dns() { scope.visible_services() } else { Vec::new() }
}

/// `db-0.db.shop.svc.cluster.local`, as Kubernetes has it.
fn pod_host(key: &ServiceKey, hostname: &str) -> String {
    format!("{hostname}.{}", key.host.as_str())
}

fn domain(scope: &Scope<'_>, service: &Service, host: &str, addresses: &BTreeSet<IpAddr>) -> Option<Draft> {
    if addresses.is_empty() {
        return None;
    }
    scope.shaped_by(&service.origin);
    let list = AddressList { address: addresses.iter().map(ToString::to_string).collect() };
    let endpoint = DnsEndpoint { endpoint_config: Some(EndpointConfig::AddressList(list)) };
    let domain = DnsVirtualDomain { name: host.to_owned(), endpoint: Some(endpoint), ..DnsVirtualDomain::default() };
    Some(Draft::new(ResourceType::Name, host, &domain))
}

fn is_headless(service: &Service) -> bool {
    service.resolution == Resolution::Passthrough && service.origin.kind == "Service"
}

/// Endpoints that may be called.
fn usable<'a>(scope: &Scope<'a>, service: &Service) -> impl Iterator<Item = &'a Endpoint> + use<'a> {
    let all = service.publish_not_ready;
    scope.endpoints(&service.key).iter().filter(move |it| all || it.health == Health::Healthy)
}

fn addresses<'a>(endpoints: impl Iterator<Item = &'a Endpoint>) -> BTreeSet<IpAddr> {
    endpoints.filter_map(|endpoint| endpoint.address.parse().ok()).collect()
}
