//! How a change of version comes about, and the settings of a control plane at each of the places where it can stand meanwhile.

use ferromesh_crds::install::{UpdateStrategy, UpdateType};
use std::collections::BTreeMap;

use super::{Images, Part, Problem, Revision, Role, Settings, mesh_config};

/// Reads `spec.updateStrategy.type`.
pub(super) fn read(
    strategy: &UpdateStrategy,
    revision: &Revision,
    parts: &BTreeMap<Role, Part>,
    problems: &mut Vec<Problem>,
) -> UpdateType {
    let type_ = strategy.type_.unwrap_or_default();
    if type_ == UpdateType::Revision {
        let reason = if !revision.is_default() {
            Some("Revision is for the default control plane: this one stands beside it already, so use InPlace")
        } else if !parts.contains_key(&Role::Pilot) || !parts.contains_key(&Role::Injector) {
            Some("Revision moves pods by the injector from pilot to pilot: leave both on, or use InPlace")
        } else {
            None
        };
        problems.extend(reason.map(|reason| Problem::new("spec.updateStrategy.type", reason)));
    }
    type_
}

// === impl Settings ===

impl Settings {
    /// The same control plane at another place, of these images.
    pub(in crate::operator) fn at(&self, place: &Revision, images: Images) -> Self {
        let mut settings = Self { revision: place.clone(), images, ..self.clone() };
        let address = &mut settings.mesh.default_config.discovery_address;
        // What a user says himself stays.
        if *address == mesh_config::address(&self.revision, &self.namespace) {
            *address = mesh_config::address(place, &self.namespace);
        }
        settings
    }

    /// What all control planes of the mesh share while `serving` is the one that is asked.
    pub(in crate::operator) fn served_by(&self, serving: &Self) -> Self {
        Self { images: serving.images.clone(), mesh: serving.mesh.clone(), ..self.clone() }
    }
}
