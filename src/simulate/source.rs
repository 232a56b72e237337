//! From what a person names to what the mesh knows: the proxy of a workload, the address behind a host.

use std::net::IpAddr;

use crate::compile::Proxy;
use crate::model::{HostPattern, ProxyRole, Service, Snapshot, Workload};

/// The proxy of a workload: a gateway's if a Gateway selects it, else a sidecar.
pub fn proxy_of(snapshot: &Snapshot, workload: &Workload) -> Proxy {
    let gateway = snapshot.config.gateways.values().any(|it| !it.selector.is_empty() && workload.selected_by(&it.selector));
    Proxy::beside(workload, if gateway { ProxyRole::Router } else { ProxyRole::Sidecar })
}

/// The address that a host has for a client in a namespace: an address itself, or that of the service of that name; for a headless one
/// that of its first endpoint. `None` for hosts that no service has an address for.
pub fn destination_address(snapshot: &Snapshot, host: &str, namespace: &str) -> Option<IpAddr> {
    if let Ok(address) = host.trim_matches(['[', ']']).parse() {
        return Some(address);
    }
    let service = service_of(snapshot, host, namespace)?;
    let own = service.addresses.first().copied();
    own.or_else(|| snapshot.endpoints.get(&service.key)?.first()?.address.parse().ok())
}

/// The service that a client in a namespace means by a name, as its DNS would resolve it.
fn service_of<'s>(snapshot: &'s Snapshot, host: &str, namespace: &str) -> Option<&'s Service> {
    let host = host.to_ascii_lowercase();
    let host = host.trim_end_matches('.');
    let domains = [String::new(), format!(".{namespace}.svc"), ".svc".to_owned()];
    let fits = |service: &Service, suffix: &str| {
        let name = format!("{host}{suffix}");
        let known = service.key.host.as_str();
        known == name || known.strip_prefix(&*name).is_some_and(|rest| rest.starts_with('.') && name.ends_with(".svc"))
    };
    let mut found = domains.iter().flat_map(|suffix| snapshot.services.values().filter(move |service| fits(service, suffix)));
    found.next().map(|service| &**service).or_else(|| {
        let name = HostPattern::new(host);
        let covering = snapshot.services.values().filter(|service| service.key.host.is_wildcard() && service.key.host.covers(&name));
        covering.max_by_key(|service| service.key.host.as_str().len()).map(|service| &**service)
    })
}
