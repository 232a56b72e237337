//! `selector`, `targetRef` and `targetRefs`: to which workloads a policy is attached.

use ferromesh_crds::selector::{MatchLabels, TargetReference};

use super::path::{At, SPEC};
use super::problem::{Code, quoted};
use super::reading::Reading;
use crate::model::{Labels, PolicyTarget, TargetKind, TargetResource};

/// The most resources that a policy can be attached to.
const MOST: usize = 16;

/// The ways to attach a policy, as its spec has them.
pub(super) struct Attachment<'a> {
    pub(super) selector: Option<&'a MatchLabels>,
    pub(super) reference: Option<&'a TargetReference>,
    pub(super) references: &'a [TargetReference],
}

// === impl Reading: targets of policies ===

impl Reading<'_> {
    /// To which workloads the object is attached: at most one of the ways may be used.
    pub(super) fn policy_target(&mut self, attachment: &Attachment<'_>) -> PolicyTarget {
        let Attachment { selector, reference, references } = attachment;
        let ways = [("selector", selector.is_some()), ("targetRef", reference.is_some()), ("targetRefs", !references.is_empty())];
        self.at_most_one(&SPEC, ways);
        let single = reference.and_then(|one| self.target_resource(&SPEC.field("targetRef"), one));
        let listed = self.target_resources(&SPEC.field("targetRefs"), references);
        let labels = selector.map_or_else(Labels::new, |one| self.selector(&SPEC.field("selector"), "matchLabels", &one.match_labels));
        let resources: Vec<TargetResource> = single.into_iter().chain(listed).collect();
        if resources.is_empty() { PolicyTarget::Workloads(labels) } else { PolicyTarget::Resources(resources) }
    }

    /// The resources that an object is attached to.
    pub(super) fn target_resources(&mut self, at: &At<'_>, references: &[TargetReference]) -> Vec<TargetResource> {
        if references.len() > MOST {
            self.error(at, Code::WrongSize, format!("has {} entries, {MOST} at most are allowed", references.len()));
        }
        at.each(references, |at, one| self.target_resource(at, one)).into_iter().flatten().collect()
    }

    fn target_resource(&mut self, at: &At<'_>, target: &TargetReference) -> Option<TargetResource> {
        let name = at.field("name");
        match target.name.len() {
            0 => self.required(&name),
            1..=253 => {}
            length => self.error(&name, Code::WrongSize, format!("has {length} characters, a name has 253 at most")),
        }
        if target.namespace.as_deref().is_some_and(|namespace| !namespace.is_empty()) {
            let message = "a resource of another namespace can't be referred to: leave namespace out";
            self.error(&at.field("namespace"), Code::NotAllowed, message);
        }
        let group = target.group.as_deref().unwrap_or_default();
        let kind = match (group, target.kind.as_str()) {
            (_, "") => {
                self.required(&at.field("kind"));
                return None;
            }
            ("gateway.networking.k8s.io", "Gateway") => TargetKind::Gateway,
            ("gateway.networking.k8s.io", "GatewayClass") => TargetKind::GatewayClass,
            ("" | "core", "Service") => TargetKind::Service,
            ("networking.istio.io", "ServiceEntry") => TargetKind::ServiceEntry,
            (group, kind) => {
                let shown = if group.is_empty() { kind.to_owned() } else { format!("{group}/{kind}") };
                let message = format!(
                    "{} is none of Service, networking.istio.io/ServiceEntry, gateway.networking.k8s.io/Gateway and \
                     gateway.networking.k8s.io/GatewayClass",
                    quoted(&shown)
                );
                self.error(&at.field("kind"), Code::NotAllowed, message);
                return None;
            }
        };
        Some(TargetResource { kind, name: target.name.as_str().into() })
    }
}
