//! Networks: which endpoints a proxy reaches at their addresses, and which by the gateways of theirs.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
};

use super::scope::Scope;
use crate::model::{ClientTlsMode, Endpoint, HostPattern, MeshConfig, MeshNetwork, NETWORK, Service, TrafficPolicy};

/// The node's metadata in which a proxy says its network, where its labels don't.
const NETWORK_METADATA: &str = "NETWORK";

/// Where a network's gateway takes the mesh's own mTLS.
type Gateway = (IpAddr, u16);

/// The networks of the mesh that have gateways, as seen from a proxy.
pub(super) struct Networks<'a> {
    settings: Option<&'a BTreeMap<String, MeshNetwork>>,
    gateways: BTreeMap<Arc<str>, Vec<Gateway>>,
    /// The proxy's own network; empty if it does not say, and then everything is in it.
    own: Arc<str>,
}

// === impl Networks ===

impl<'a> Networks<'a> {
    /// `None` where no network has a gateway: then all endpoints are called at their addresses, and nothing of the proxy is asked.
    pub(super) fn of(scope: &Scope<'a>) -> Option<Self> {
        let settings = scope.settings().mesh_networks.as_ref();
        let mut gateways: BTreeMap<Arc<str>, BTreeSet<Gateway>> = BTreeMap::new();
        for (name, network) in settings.into_iter().flatten() {
            for gateway in &network.gateways {
                let service = gateway.registry_service_name.as_deref().map(HostPattern::new);
                let services = service.iter().flat_map(|host| scope.services_named(host));
                let addresses = services.flat_map(|service| service.outside.addresses.iter().copied()).chain(gateway.address);
                gateways.entry(name.as_str().into()).or_default().extend(addresses.map(|address| (address, gateway.port)));
            }
        }
        for service in scope.network_gateways() {
            if let Some((network, port)) = &service.outside.gateway_of {
                let addresses = service.outside.addresses.iter().map(|address| (*address, *port));
                gateways.entry(network.clone()).or_default().extend(addresses);
            }
        }
        gateways.retain(|_, gateways| !gateways.is_empty());
        if gateways.is_empty() {
            return None;
        }
        let told = scope.label(NETWORK).or_else(|| scope.metadata(NETWORK_METADATA)).filter(|network| !network.is_empty());
        let own = told.or_else(|| by_address(settings, scope.address()?)).unwrap_or_default();
        let gateways = gateways.into_iter().map(|(network, gateways)| (network, gateways.into_iter().collect())).collect();
        Some(Self { settings, gateways, own })
    }

    /// The gateways by which an endpoint is reached; `None` if it is called at its address. An endpoint of a network without gateways is
    /// called at its address from everywhere.
    pub(super) fn gateways_to(&self, endpoint: &Endpoint) -> Option<&[Gateway]> {
        let told = endpoint.labels.get(NETWORK).filter(|network| !network.is_empty()).map(|network| network.as_str().into());
        let network: Arc<str> = told.or_else(|| by_address(self.settings, endpoint.address.parse().ok()?))?;
        if self.own.is_empty() || network == self.own {
            return None;
        }
        self.gateways.get(&network).map(Vec::as_slice)
    }

    /// By what weights are multiplied so that each can be divided among the gateways of any network.
    pub(super) fn scale(&self) -> u32 {
        self.gateways.values().map(Vec::len).fold(1, |scale, count| least_common_multiple(scale, u32::try_from(count).unwrap_or(1)))
    }
}

/// Whether connections to a service may cross networks: they are told apart by the server name of the mesh's own mTLS.
pub(super) fn may_be_crossed(service: &Service, policy: &TrafficPolicy, mesh: &MeshConfig) -> bool {
    match &policy.tls {
        Some(tls) => tls.mode == ClientTlsMode::IstioMutual,
        None => mesh.enable_auto_mtls && !service.external,
    }
}

/// The network to which the mesh's settings assign an address.
fn by_address(settings: Option<&BTreeMap<String, MeshNetwork>>, address: IpAddr) -> Option<Arc<str>> {
    let mut networks = settings.into_iter().flatten();
    let found = networks.find(|(_, network)| network.endpoints.iter().any(|it| it.from_cidr.contains(&address)));
    found.map(|(name, _)| name.as_str().into())
}

/// Of numbers above 0; the first where there is none that fits.
fn least_common_multiple(a: u32, b: u32) -> u32 {
    let (mut divisor, mut rest) = (a, b);
    while rest > 0 {
        (divisor, rest) = (rest, divisor % rest);
    }
    (a / divisor.max(1)).checked_mul(b).unwrap_or(a)
}
