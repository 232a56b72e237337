//! Endpoints: what ServiceEntries list, and what a WorkloadEntry is.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ferromesh_crds::networking::WorkloadEntrySpec;

use super::hosts::{is_ip, is_label, name_defect};
use super::path::At;
use super::problem::{Code, quoted};
use super::reading::Reading;
use super::text::{given, shared};
use crate::model::{NETWORK, ServiceEntryEndpoint};

pub(super) use crate::model::UNIX_SOCKET as UNIX;

/// Which addresses make sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Addresses {
    /// IP addresses and sockets: nothing is looked up.
    Static,
    /// IP addresses and names, which are looked up.
    Named,
    /// All of them: whoever selects the endpoint decides.
    Any,
}

/// Whether an address is a Unix socket.
pub(super) fn is_socket(endpoint: &WorkloadEntrySpec) -> bool {
    endpoint.address.as_deref().is_some_and(|address| address.starts_with(UNIX))
}

/// The network of an endpoint as a label, which weighs more than one that its author wrote.
pub(super) fn network_label(endpoint: &WorkloadEntrySpec) -> Option<(String, String)> {
    endpoint.network.clone().filter(|network| !network.is_empty()).map(|network| (NETWORK.to_owned(), network))
}

// === impl Reading: endpoints ===

impl Reading<'_> {
    /// An endpoint; `None` if there is nothing to reach it by. `names` are those of the service's ports, where these are known.
    pub(super) fn endpoint(
        &mut self,
        at: &At<'_>,
        endpoint: &WorkloadEntrySpec,
        addresses: Addresses,
        names: Option<&BTreeSet<&str>>,
    ) -> Option<ServiceEntryEndpoint> {
        let usable = self.endpoint_address(at, endpoint, addresses);
        let ports = self.endpoint_ports(&at.field("ports"), &endpoint.ports, names);
        let mut labels = self.labels(&at.field("labels"), &endpoint.labels);
        labels.extend(network_label(endpoint));
        usable.then(|| ServiceEntryEndpoint {
            address: endpoint.address.as_deref().unwrap_or_default().into(),
            ports,
            labels,
            weight: endpoint.weight.unwrap_or_default(),
            locality: endpoint.locality.as_deref().unwrap_or_default().into(),
            service_account: shared(&endpoint.service_account),
        })
    }

    /// Port numbers by the names of a service's ports.
    pub(super) fn endpoint_ports(
        &mut self,
        at: &At<'_>,
        ports: &BTreeMap<String, u32>,
        names: Option<&BTreeSet<&str>>,
    ) -> Vec<(Arc<str>, u16)> {
        let mut parsed = Vec::with_capacity(ports.len());
        for (name, number) in ports {
            let here = at.key(name);
            self.port_name(&here, name);
            if names.is_some_and(|names| !names.contains(name.as_str())) {
                self.error(&here, Code::BadName, format!("spec.ports has no port {}", quoted(name)));
            }
            parsed.push((name.as_str().into(), self.port(&here, *number)));
        }
        parsed
    }

    /// The name of a port.
    pub(super) fn port_name(&mut self, at: &At<'_>, name: &str) {
        if !is_label(name) {
            let message = format!("{} is no name of a port: use letters, digits and inner dashes, 63 at most", quoted(name));
            self.error(at, Code::BadName, message);
        }
    }

    /// Checks an endpoint's address. Returns whether there is something to reach it by.
    fn endpoint_address(&mut self, at: &At<'_>, endpoint: &WorkloadEntrySpec, addresses: Addresses) -> bool {
        let here = at.field("address");
        let address = endpoint.address.as_deref().unwrap_or_default();
        if address.is_empty() {
            // By its network's gateway, which knows its address.
            let behind_gateway = given(&endpoint.network) && addresses != Addresses::Named;
            if !behind_gateway {
                self.required(&here);
            }
            return behind_gateway;
        }
        if let Some(path) = address.strip_prefix(UNIX) {
            self.unix_socket(&here, path);
            if !endpoint.ports.is_empty() {
                self.error(&at.field("ports"), Code::Conflict, "an endpoint on a Unix socket has no ports");
            }
            if addresses == Addresses::Named {
                self.error(&here, Code::Conflict, "a Unix socket needs resolution STATIC");
            }
            return true;
        }
        if addresses == Addresses::Static && !is_ip(address) {
            self.error(&here, Code::BadAddress, format!("{} is no IP address, which STATIC needs", quoted(address)));
        } else if let Some(defect) = name_defect(address).filter(|_| !is_ip(address)) {
            self.error(&here, Code::BadAddress, defect);
        }
        true
    }
}
