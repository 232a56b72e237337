//! `targetRefs`: objects of the Gateway API, or services, that a policy is for.

use ferromesh_crds::selector::PolicyTargetReference;

use super::path::At;
use super::problem::{Code, quoted};
use super::reading::Reading;
use super::server_tls::given;
use crate::model::{TargetKind, TargetRef};

/// How many objects a policy may name.
const MOST: usize = 16;
/// The longest name of an object.
const LONGEST_NAME: usize = 253;
/// The group of the Gateway API.
const GATEWAY_API: &str = "gateway.networking.k8s.io";

fn kind(group: &str, kind: &str) -> Option<TargetKind> {
    match (group, kind) {
        (GATEWAY_API, "Gateway") => Some(TargetKind::Gateway),
        (GATEWAY_API, "GatewayClass") => Some(TargetKind::GatewayClass),
        ("" | "core", "Service") => Some(TargetKind::Service),
        ("networking.istio.io", "ServiceEntry") => Some(TargetKind::ServiceEntry),
        _ => None,
    }
}

// === impl Reading: targets ===

impl Reading<'_> {
    /// The objects that a policy is for.
    pub(super) fn target_refs(&mut self, at: &At<'_>, refs: &[PolicyTargetReference]) -> Vec<TargetRef> {
        if refs.len() > MOST {
            self.error(at, Code::WrongSize, format!("{} objects are named, {MOST} at most are allowed", refs.len()));
        }
        refs.iter().enumerate().filter_map(|(index, one)| self.target_ref(&at.index(index), one)).collect()
    }

    fn target_ref(&mut self, at: &At<'_>, target: &PolicyTargetReference) -> Option<TargetRef> {
        let here = at.field("name");
        match target.name.len() {
            0 => self.required(&here),
            length if length > LONGEST_NAME => self.error(&here, Code::BadName, format!("{} is too long", quoted(&target.name))),
            _ => {}
        }
        if given(&target.namespace) {
            self.error(&at.field("namespace"), Code::NotAllowed, "objects of other namespaces can't be named: leave it out");
        }
        let group = target.group.as_deref().unwrap_or_default();
        let kind = kind(group, &target.kind);
        if target.kind.is_empty() {
            self.required(&at.field("kind"));
        } else if kind.is_none() {
            let known = format!("Gateway or GatewayClass of {GATEWAY_API}, Service, or ServiceEntry of networking.istio.io");
            let message = format!("{} of group {} can't be named: use {known}", quoted(&target.kind), quoted(group));
            self.error(&at.field("kind"), Code::NotAllowed, message);
        }
        Some(TargetRef { kind: kind?, name: target.name.as_str().into() })
    }
}
