//! Which objects an installation consists of. Pure: settings in, objects out, the same for the same.
//!
//! Every object carries exactly the fields that the operator decides; what the API server fills in or others add stays theirs.

mod access;
mod addons;
mod citadel;
mod cni;
mod config;
mod control_plane;
#[cfg(test)]
mod edits;
mod galley;
mod gateway;
mod injector;
mod mtls;
mod object;
mod pilot;
#[cfg(test)]
mod tests;
mod webhook;
mod workload;

pub(super) use access::OWN_ROLE;
pub(super) use config::injection_values;
#[cfg(test)]
pub(super) use edits::edit;
pub(super) use galley::WEBHOOK as GALLEY_WEBHOOK;
pub(super) use object::{APPLIED, COMPONENT, DEFAULT_REVISION, MANAGED_BY, MANAGER, Planned};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use std::collections::BTreeSet;

use self::object::Base;
use super::{
    object::{Key, Kind},
    settings::{Role, Settings},
};

/// Whether galley has been seen to refuse what is wrong, through the API server. Before that its absence must not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Unproven,
    Proven,
}

/// What the plan depends on beside the settings.
#[derive(Clone, Copy, Debug)]
pub(super) struct Circumstances<'a> {
    /// The MeshInstall, as the owner of everything.
    pub(super) owner: &'a OwnerReference,
    /// Where the operator runs.
    pub(super) operator_namespace: &'a str,
    /// Who signs the webhooks' certificates, in PEM. None while they aren't there; the webhooks are then left as they are.
    pub(super) bundle: Option<&'a str>,
    pub(super) galley: Phase,
    /// The names of the Secrets that gateways need. None while they aren't known; the right to read them is then left as it is.
    pub(super) credentials: Option<&'a BTreeSet<String>>,
}

/// The operator's own rights in the mesh's namespace: an object that must be there before the others.
pub(super) fn preparation(settings: &Settings, circumstances: Circumstances<'_>) -> Planned {
    access::own(Base { settings, owner: circumstances.owner }, circumstances.operator_namespace)
}

/// The namespace of the nodes' part and the operator's own rights there, likewise; none without that part.
pub(super) fn nodes_preparation(settings: &Settings, circumstances: Circumstances<'_>) -> Option<[Planned; 2]> {
    let base = Base { settings, owner: circumstances.owner };
    settings.parts.contains_key(&Role::Cni).then(|| cni::preparation(base, circumstances.operator_namespace))
}

/// All objects of an installation, in the order in which they are applied.
pub(super) fn plan(settings: &Settings, circumstances: Circumstances<'_>) -> Vec<Planned> {
    let base = Base { settings, owner: circumstances.owner };
    let mut objects: Vec<Planned> = nodes_preparation(settings, circumstances).into_iter().flatten().collect();
    objects.extend([preparation(settings, circumstances), config::mesh(base)]);
    objects.extend(mtls::plan(base));
    objects.extend(pilot::elsewhere(base));
    for (role, part) in &settings.parts {
        objects.extend(access::bindings(base, *role));
        objects.extend(access::lease(base, *role));
        objects.extend(match role {
            Role::Citadel => citadel::plan(base, part),
            Role::Pilot => {
                let mut objects = pilot::plan(base, part);
                objects.extend(circumstances.credentials.into_iter().flat_map(|names| access::credentials(base, names)));
                objects
            }
            Role::Galley => galley::plan(base, part),
            Role::Injector => {
                let mut objects = access::proxies(base, circumstances.operator_namespace);
                objects.push(config::injection(base));
                objects.extend(injector::plan(base, part));
                objects
            }
            Role::Cni => cni::plan(base, part).into(),
        });
    }
    objects.extend(settings.gateways.iter().flat_map(|gateway| gateway::plan(base, gateway)));
    objects.extend(settings.addons.iter().flat_map(|(program, addon)| addons::plan(base, *program, addon)));
    if let Some(bundle) = circumstances.bundle {
        if settings.parts.contains_key(&Role::Galley) {
            objects.push(galley::webhooks(base, bundle, circumstances.galley));
        }
        if settings.parts.contains_key(&Role::Injector) {
            objects.push(injector::webhooks(base, bundle));
        }
    }
    objects
}

/// The objects by which pilot may read gateways' Secrets.
pub(super) fn credential_rights(settings: &Settings) -> [Key; 2] {
    [Kind::Role, Kind::RoleBinding].map(|kind| Key::new(kind, &settings.namespace, access::CREDENTIALS))
}

/// The webhook configuration of a role that has one.
pub(super) fn webhook_configuration(role: Role) -> Option<Key> {
    match role {
        Role::Galley => Some(Key::new(Kind::ValidatingWebhookConfiguration, "", galley::CONFIGURATION)),
        Role::Injector => Some(Key::new(Kind::MutatingWebhookConfiguration, "", injector::CONFIGURATION)),
        Role::Citadel | Role::Pilot | Role::Cni => None,
    }
}

/// The Secret with the serving certificate of a role that is a webhook.
pub(super) fn serving_certificate(role: Role) -> Option<&'static str> {
    match role {
        Role::Galley => Some(galley::CERTIFICATE),
        Role::Injector => Some(injector::CERTIFICATE),
        Role::Citadel | Role::Pilot | Role::Cni => None,
    }
}
