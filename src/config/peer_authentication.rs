//! PeerAuthentication.

use std::collections::BTreeMap;

use ferromesh_crds::security::PeerAuthentication;
use ferromesh_crds::security::peer_authentication::{MutualTls, MutualTlsMode};

use super::path::SPEC;
use super::problem::{Code, Invalid, Parsed, quoted};
use super::reading::{ParseContext, Reading};
use crate::model::{self, Labels, MtlsMode};

/// Reads a PeerAuthentication.
///
/// # Errors
/// Everything that is wrong with it.
pub fn peer_authentication(object: &PeerAuthentication, context: &ParseContext) -> Result<Parsed<model::PeerAuthentication>, Invalid> {
    let mut reading = Reading::new("PeerAuthentication", &object.metadata, context);
    let spec = &object.spec;
    let selector = spec.selector.as_ref();
    let selector = selector.map_or_else(Labels::new, |one| reading.selector(&SPEC.field("selector"), "matchLabels", &one.match_labels));
    let at = SPEC.field("portLevelMtls");
    if selector.is_empty() && !spec.port_level_mtls.is_empty() {
        reading.error(&at, Code::Conflict, "needs a selector with matchLabels: ports belong to workloads");
    }
    let mut ports = BTreeMap::new();
    for (text, mtls) in &spec.port_level_mtls {
        match text.parse::<u16>().ok().filter(|port| *port > 0 && text.bytes().all(|byte| byte.is_ascii_digit())) {
            Some(port) => drop(ports.insert(port, mode(mtls))),
            None => reading.error(&at.key(text), Code::OutOfRange, format!("{} is no port: it must be from 1 to 65535", quoted(text))),
        }
    }
    let value = model::PeerAuthentication {
        origin: reading.origin.clone(),
        selector,
        mode: spec.mtls.as_ref().and_then(mode),
        ports,
        created: reading.created,
    };
    reading.finish(value)
}

fn mode(mtls: &MutualTls) -> Option<MtlsMode> {
    match mtls.mode? {
        MutualTlsMode::Unset => None,
        MutualTlsMode::Disable => Some(MtlsMode::Disable),
        MutualTlsMode::Permissive => Some(MtlsMode::Permissive),
        MutualTlsMode::Strict => Some(MtlsMode::Strict),
    }
}
