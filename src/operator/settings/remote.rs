//! A mesh whose pilot runs in another cluster: how proxies reach it.

use ferromesh_crds::install::DEFAULT_NAMESPACE;
use std::net::IpAddr;

use super::{Problem, names_service};
use crate::config::kubernetes::is_dns_label;

/// Where pilot is, if not here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::operator) enum RemotePilot {
    /// At this address.
    At(IpAddr),
    /// Where this name leads: a Service with pilot's own name stands for it.
    Named(String),
    /// Where the mesh's configuration says (`defaultConfig.discoveryAddress`).
    Configured,
}

/// The old value that says it.
const ADDRESS: &str = "spec.values.global.remotePilotAddress";
const PILOT: &str = "spec.components.pilot.enabled";

/// Decides where proxies find their pilot; none if it is here. `configured` tells whether the mesh's configuration has an address of its own.
pub(super) fn pilot(
    here: bool,
    address: Option<&str>,
    configured: bool,
    namespace: &str,
    problems: &mut Vec<Problem>,
) -> Option<RemotePilot> {
    let mut wrong = |path: &str, reason: &str| problems.push(Problem::new(path, reason));
    match (here, address) {
        (true, None) => None,
        (true, Some(_)) => {
            wrong(ADDRESS, "has an effect only where pilot is not: take it away, or set profile: remote");
            None
        }
        (false, None) if configured => Some(RemotePilot::Configured),
        (false, None) => {
            let reason = "there is no mesh without pilot: enable it, or say where it runs by values.global.remotePilotAddress";
            wrong(PILOT, reason);
            None
        }
        (false, Some(_)) if configured => {
            wrong(ADDRESS, "is said twice: take away meshConfig.defaultConfig.discoveryAddress, or this");
            None
        }
        (false, Some(address)) => match address.parse() {
            // Proxies know pilot by its account and namespace, and an address names no namespace.
            Ok(_) if namespace != DEFAULT_NAMESPACE => {
                wrong(ADDRESS, "must be a name unless the mesh's namespace is istio-system: proxies couldn't tell pilot's identity");
                None
            }
            Ok(address) => Some(RemotePilot::At(address)),
            Err(_) if is_host(address) => Some(RemotePilot::Named(address.to_owned())),
            Err(_) => {
                wrong(ADDRESS, &format!("{address:?} must be an IP address or a DNS name, without a port"));
                None
            }
        },
    }
}

/// Whether a text is a DNS name. The last label of one is never a number.
fn is_host(text: &str) -> bool {
    text.split('.').all(is_dns_label) && text.rsplit('.').next().is_some_and(names_service)
}
