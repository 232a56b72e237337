//! The control plane's parts, and which of them an installation has.

use ferromesh_crds::install::{Component, Components};
use std::collections::BTreeMap;

use super::{Part, Problem, cni};

/// The control plane's parts that an installation can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::operator) enum Role {
    Citadel,
    Pilot,
    Galley,
    Injector,
    Cni,
}

// === impl Role ===

impl Role {
    pub(in crate::operator) const ALL: [Self; 5] = [Self::Citadel, Self::Pilot, Self::Galley, Self::Injector, Self::Cni];

    /// Its name in spec and status.
    pub(in crate::operator) fn name(self) -> &'static str {
        match self {
            Self::Citadel => "citadel",
            Self::Pilot => "pilot",
            Self::Galley => "galley",
            Self::Injector => "injector",
            Self::Cni => "cni",
        }
    }

    /// The name of its Deployment, Service and ServiceAccount in the default revision; the nodes' part has a DaemonSet and no Service.
    pub(in crate::operator) fn object(self) -> &'static str {
        match self {
            Self::Citadel => "istio-citadel",
            Self::Pilot => "istio-pilot",
            Self::Galley => "istio-galley",
            Self::Injector => "istio-sidecar-injector",
            Self::Cni => "istio-cni-node",
        }
    }

    /// Whether the control planes of a mesh have one together.
    pub(in crate::operator) fn is_shared(self) -> bool {
        matches!(self, Self::Citadel | Self::Cni)
    }

    fn of(self, components: &Components) -> Component {
        let component = match self {
            Self::Citadel => &components.citadel,
            Self::Pilot => &components.pilot,
            Self::Galley => &components.galley,
            Self::Injector => &components.injector,
            Self::Cni => &components.cni,
        };
        component.clone().unwrap_or_default()
    }
}

/// The parts that are there. Whether pilot may be missing is not judged here.
pub(super) fn parts(components: &Components, problems: &mut Vec<Problem>) -> BTreeMap<Role, Part> {
    let mut parts = BTreeMap::new();
    for role in Role::ALL {
        let component = role.of(components);
        let path = format!("spec.components.{}", role.name());
        // Only who wants it lets something into his nodes.
        if component.enabled.unwrap_or(role != Role::Cni) {
            if role == Role::Cni {
                problems.extend(cni::problems(&component, &path));
            }
            parts.insert(role, Part::read(&component, &path, 1, problems));
        } else if role == Role::Citadel {
            problems.push(Problem::new(format!("{path}.enabled"), "pilot and proxies get their certificates from citadel: leave it on"));
        }
    }
    if parts.contains_key(&Role::Cni) && !parts.contains_key(&Role::Injector) {
        problems.push(Problem::new("spec.components.cni.enabled", "serves injected pods: enable the injector, too, or leave this away"));
    }
    parts
}
