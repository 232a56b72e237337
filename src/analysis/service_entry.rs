//! ServiceEntries: ports that nobody can tell apart.

use super::{Code, Finding};
use crate::model::{Protocol, ServiceEntry};

/// Checks a ServiceEntry by itself; whose its hosts are is another question.
pub(super) fn check(entry: &ServiceEntry, findings: &mut Vec<Finding>) {
    for (index, port) in entry.ports.iter().enumerate() {
        let path = format!("spec.ports[{index}].protocol");
        if port.protocol == Protocol::Auto {
            let message = format!("port {} does not say what is spoken on it, so that proxies have to guess: name a protocol", port.number);
            findings.push(Finding::new(Code::PortNameIsNotUnderNamingConvention, &entry.origin, path.clone(), message));
        }
        if entry.addresses.is_empty() && matches!(port.protocol, Protocol::Tcp | Protocol::Auto) {
            let message = format!("without spec.addresses, a proxy can't tell traffic for port {} from other traffic", port.number);
            findings.push(Finding::new(Code::ServiceEntryAddressesRequired, &entry.origin, path, message));
        }
    }
}
