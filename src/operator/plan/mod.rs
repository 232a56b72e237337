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
mod service;
#[cfg(test)]
mod tests;
mod webhook;
mod workload;

pub(super) use access::OWN_ROLE;
pub(super) use config::{INJECTION, injection_values};
pub(super) use control_plane::MONITORING;
#[cfg(test)]
pub(super) use edits::edit;
pub(super) use galley::{TRIED, WEBHOOK as GALLEY_WEBHOOK};
pub(super) use object::{APPLIED, COMPONENT, MANAGED_BY, MANAGER, Planned};
pub use pilot::RENDERED_BY;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

use self::object::Base;
use super::{
    object::{Key, Kind},
    settings::{Revision, Role, Settings},
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
    /// What the mesh's control planes share, if that is this one's to make.
    pub(super) share: Option<&'a Share>,
    /// Tags in force.
    pub(super) tags: &'a [Tag<'a>],
    /// Whether the tag `default` leads elsewhere, be it in force or as it last was.
    pub(super) default_moved: bool,
    /// The control plane that is asked for what names none, where that doesn't stand at its MeshInstall's own place.
    pub(super) serving: Option<&'a Settings>,
    /// The places of the control planes that stand beside it for as long as they are used.
    pub(super) beside: &'a [Revision],
}

/// A name that stands for a control plane.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tag<'a> {
    pub(super) name: &'a str,
    /// Those of the control plane.
    pub(super) target: &'a Settings,
}

/// What the control planes of a mesh share, and who they are.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Share {
    /// The MeshInstalls of the others: what is shared stays with them.
    pub(super) heirs: Vec<OwnerReference>,
    /// Whether any has an injector.
    pub(super) injects: bool,
    /// Whether any has workloads restarted.
    pub(super) rolls: bool,
}

// === impl Share ===

impl Share {
    /// Of the only control plane there is.
    pub(super) fn alone(settings: &Settings) -> Self {
        let mut share = Self::default();
        share.count(settings);
        share
    }

    /// Whether an object is one that the control planes of a mesh share, whoever of them made it.
    pub(super) fn holds(key: &Key) -> bool {
        access::is_shared(&key.name)
    }

    /// Takes a control plane into account.
    pub(super) fn count(&mut self, settings: &Settings) {
        self.injects |= settings.parts.contains_key(&Role::Injector);
        self.rolls |= settings.rolling.is_some();
    }
}

// === impl Circumstances ===

impl<'a> Circumstances<'a> {
    /// Those in which nothing has been found out yet but what gateways need.
    pub(super) fn new(
        owner: &'a OwnerReference,
        operator_namespace: &'a str,
        credentials: Option<&'a BTreeSet<String>>,
        share: Option<&'a Share>,
    ) -> Self {
        Self {
            owner,
            operator_namespace,
            bundle: None,
            galley: Phase::Unproven,
            credentials,
            share,
            tags: &[],
            default_moved: false,
            serving: None,
            beside: &[],
        }
    }

    fn base(self, settings: &'a Settings) -> Base<'a> {
        Base { settings, owner: self.owner, heirs: &[] }
    }

    fn shared_base(self, settings: &'a Settings) -> Base<'a> {
        Base { heirs: self.share.map_or(&[], |share| &share.heirs), ..self.base(settings) }
    }
}

/// The operator's own rights in the mesh's namespace: an object that must be there before the others.
pub(super) fn preparation(settings: &Settings, circumstances: Circumstances<'_>) -> Planned {
    access::own(circumstances.shared_base(settings), circumstances.operator_namespace)
}

/// The namespace of the nodes' part and the operator's own rights there, likewise; none without that part.
pub(super) fn nodes_preparation(settings: &Settings, circumstances: Circumstances<'_>) -> Option<[Planned; 2]> {
    let base = circumstances.base(settings);
    settings.parts.contains_key(&Role::Cni).then(|| cni::preparation(base, circumstances.operator_namespace))
}

/// All objects of an installation, in the order in which they are applied.
pub(super) fn plan(settings: &Settings, circumstances: Circumstances<'_>) -> Vec<Planned> {
    let (base, shared) = (circumstances.base(settings), circumstances.shared_base(settings));
    let serving = Base { settings: circumstances.serving.unwrap_or(settings), ..base };
    let mut objects: Vec<Planned> = nodes_preparation(settings, circumstances).into_iter().flatten().collect();
    if let Some(share) = circumstances.share {
        objects.push(preparation(settings, circumstances));
        objects.extend(access::proxies(shared, share, circumstances.operator_namespace));
    }
    objects.push(config::mesh(serving));
    objects.extend(mtls::plan(base));
    objects.extend(pilot::elsewhere(base));
    for (role, part) in &settings.parts {
        // The nodes' part goes with the MeshInstall that asks for it: proxies of others are redirected in their pods then.
        let base = match role {
            Role::Citadel => shared,
            Role::Cni => base,
            Role::Pilot | Role::Galley | Role::Injector => serving,
        };
        objects.extend(access::bindings(base, *role));
        objects.extend(access::lease(base, *role));
        objects.extend(match role {
            Role::Citadel => citadel::plan(base, part, &serving.settings.revision),
            Role::Pilot => {
                let mut objects = pilot::plan(base, part);
                let readers: Vec<String> =
                    [&serving.settings.revision].into_iter().chain(circumstances.beside).map(|place| place.part(Role::Pilot)).collect();
                objects.extend(circumstances.credentials.into_iter().flat_map(|names| access::credentials(base, names, &readers)));
                objects
            }
            Role::Galley => galley::plan(base, part),
            Role::Injector => {
                let mut objects = vec![config::injection(base)];
                objects.extend(injector::plan(base, part));
                objects
            }
            Role::Cni => cni::plan(base, part).into(),
        });
    }
    objects.extend(settings.gateways.iter().flat_map(|gateway| gateway::plan(base, gateway)));
    objects.extend(settings.addons.iter().flat_map(|(program, addon)| addons::plan(base, &serving.settings.revision, *program, addon)));
    objects.extend(circumstances.bundle.into_iter().flat_map(|bundle| webhooks(base, serving, circumstances, bundle)));
    objects
}

/// The variables that the operator sets itself in the containers of Deployments and DaemonSets, by their names. What users say is not among
/// them, be it of one part or of all proxies.
pub(super) fn own_variables(settings: &Settings) -> BTreeMap<String, BTreeSet<String>> {
    let mut settings = settings.clone();
    let gateways = settings.gateways.iter_mut().map(|gateway| &mut gateway.part);
    settings.parts.values_mut().chain(gateways).for_each(|part| part.env.clear());
    settings.mesh.default_config.proxy_metadata.clear();
    let (owner, share) = (OwnerReference::default(), Share::alone(&settings));
    let objects = plan(&settings, Circumstances::new(&owner, "", None, Some(&share)));
    let workloads = objects.into_iter().filter(|object| matches!(object.key.kind, Kind::Deployment | Kind::DaemonSet));
    let names = |body: &Value| {
        let containers = body["spec"]["template"]["spec"]["containers"].as_array().into_iter().flatten();
        let variables = containers.flat_map(|container| container["env"].as_array().into_iter().flatten());
        variables.filter_map(|variable| variable["name"].as_str()).map(str::to_owned).collect()
    };
    workloads.map(|object| (object.key.name.clone(), names(&object.body))).collect()
}

/// The webhook configurations: those by which the serving control plane is asked for what names none, and where it doesn't stand at its
/// MeshInstall's own place, those by which its place is named.
fn webhooks(base: Base<'_>, serving: Base<'_>, circumstances: Circumstances<'_>, bundle: &str) -> Vec<Planned> {
    let Settings { revision, parts, injection, .. } = base.settings;
    let places = [revision, &serving.settings.revision].into_iter().take(if serving.settings.revision == *revision { 1 } else { 2 });
    let mut objects = Vec::new();
    if parts.contains_key(&Role::Galley) {
        objects.extend(places.clone().map(|place| galley::webhooks(serving, place, bundle, circumstances.galley)));
    }
    // The tags' first: where the tag `default` moves, both ask for a moment, and never none.
    let tag = |tag: &Tag<'_>| injector::tag(Base { settings: tag.target, ..base }, tag.name, injection.by_default, bundle);
    objects.extend(circumstances.tags.iter().map(tag));
    if parts.contains_key(&Role::Injector) {
        let moved = |place: &Revision| circumstances.default_moved && place == revision;
        objects.extend(places.map(|place| injector::webhooks(serving, place, bundle, moved(place))));
    }
    objects
}

/// The webhook configuration by which the galley of a control plane at its MeshInstall's own place can be tried before it is asked: what
/// names that place leads to the one that serves until then.
pub(super) fn trial(settings: &Settings, circumstances: Circumstances<'_>) -> Option<Planned> {
    let bundle = circumstances.bundle.filter(|_| settings.parts.contains_key(&Role::Galley))?;
    Some(galley::trial(circumstances.base(settings), bundle))
}

/// The place of the control plane whose own an object is; none if it serves them all, or goes once that is asked.
pub(super) fn place(key: &Key, object: &Value) -> Option<Revision> {
    let labels = &object["metadata"]["labels"];
    let own = [Role::Pilot, Role::Galley, Role::Injector].map(Role::name).contains(&labels[COMPONENT].as_str()?);
    let asked = [Role::Galley, Role::Injector].into_iter().filter_map(|role| webhook_configuration(role, &Revision::default()));
    let of_all = key.kind == Kind::Lease
        || key.name == access::CREDENTIALS
        || key.name == galley::TRIAL
        || injector::is_tag(&key.name)
        || asked.into_iter().any(|configuration| configuration == *key);
    let is_its_own = (own || labels[COMPONENT] == config::COMPONENT) && !of_all;
    is_its_own.then(|| labels["istio.io/rev"].as_str().map(Revision::named)).flatten()
}

/// The objects by which pilot may read gateways' Secrets.
pub(super) fn credential_rights(settings: &Settings) -> [Key; 2] {
    [Kind::Role, Kind::RoleBinding].map(|kind| Key::new(kind, &settings.namespace, access::CREDENTIALS))
}

/// The webhook configuration of a tag.
pub(super) fn tag_configuration(tag: &str) -> Key {
    Key::new(Kind::MutatingWebhookConfiguration, "", &injector::tag_configuration(tag))
}

/// The webhook configuration of a role that has one.
pub(super) fn webhook_configuration(role: Role, revision: &Revision) -> Option<Key> {
    match role {
        Role::Galley => Some(Key::new(Kind::ValidatingWebhookConfiguration, "", &revision.object(galley::CONFIGURATION))),
        Role::Injector => Some(Key::new(Kind::MutatingWebhookConfiguration, "", &revision.object(injector::CONFIGURATION))),
        Role::Citadel | Role::Pilot | Role::Cni => None,
    }
}

/// The Secret with the serving certificate of a role that is a webhook.
pub(super) fn serving_certificate(role: Role, revision: &Revision) -> Option<String> {
    match role {
        Role::Galley => Some(revision.object(galley::CERTIFICATE)),
        Role::Injector => Some(revision.object(injector::CERTIFICATE)),
        Role::Citadel | Role::Pilot | Role::Cni => None,
    }
}
