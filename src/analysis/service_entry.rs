//! ServiceEntries: ports that don't say what is spoken. That TCP needs an address, their reader says.

use super::{Code, Finding};
use crate::model::{Protocol, ServiceEntry};

/// Checks a ServiceEntry by itself; whose its hosts are is another question.
pub(super) fn check(entry: &ServiceEntry, findings: &mut Vec<Finding>) {
    for (index, port) in entry.ports.iter().enumerate() {
        if port.protocol == Protocol::Auto {
            let message = format!("port {} does not say what is spoken on it, so that proxies have to guess: name a protocol", port.number);
            let path = format!("spec.ports[{index}].protocol");
            findings.push(Finding::new(Code::PortNameIsNotUnderNamingConvention, &entry.origin, path, message));
        }
    }
}
