//! How an installation stands, by what the watches tell.

use ferromesh_crds::install::State;
use k8s_openapi::api::{
    admissionregistration::v1::MutatingWebhookConfiguration,
    apps::v1::{DaemonSet, Deployment},
};
use std::collections::BTreeMap;

use super::{Install, Wish};
use crate::injector;
use crate::operator::{
    certificates,
    health::Health,
    object::{Key, Kind},
    plan::{Planned, injection_values, serving_certificate, webhook_configuration},
    proxies,
    settings::{NODES, Role, Settings},
    status::{Applied, Injection, Tagging},
};

// === impl Install ===

impl Install {
    /// What a pass has come to, by the certificates in force, the objects that there are to be, and what is wrong with tags.
    pub(super) fn applied(&self, wish: Wish<'_>, certificates: &certificates::State, inventory: &[Key], tags: Vec<String>) -> Applied {
        let settings = wish.settings;
        let missing = wish.mesh.metadata.uid.as_ref().and_then(|uid| certificates.missing.get(uid));
        let components = self.components(settings);
        let webhooks = self.webhooks(wish, &components, missing.is_none());
        let needs_certificates = settings.parts.keys().any(|role| serving_certificate(*role, &settings.revision).is_some());
        let addons = settings.addons.keys().map(|program| (program.name(), program.object()));
        let problem = tags.into_iter().reduce(|all, one| format!("{all}; {one}"));
        Applied {
            components,
            addons: addons.map(|(name, object)| (name.to_owned(), (object.to_owned(), self.health(object)))).collect(),
            certificates: needs_certificates.then(|| missing.map_or(Ok(()), |reason| Err(reason.clone()))),
            webhooks: certificates.untrusted.clone().map(Err).or(webhooks),
            inventory: inventory.iter().map(Key::inventory_entry).collect(),
            tags: (!wish.tags.is_empty()).then(|| Tagging { standing: self.standing(wish), problem }),
            injection: settings.parts.get(&Role::Injector).map(|_| Injection { lenient: settings.injection.lenient, proxies: None }),
        }
    }

    fn components(&self, settings: &Settings) -> BTreeMap<String, (String, Health)> {
        let roles = settings.parts.keys().map(|role| (role.name(), settings.revision.part(*role)));
        let gateways = settings.gateways.iter().map(|gateway| (&*gateway.name, gateway.name.clone()));
        let healths = roles.chain(gateways).map(|(name, object)| (name.to_owned(), (self.health(&object), object)));
        healths.map(|(name, (health, object))| (name, (object, health))).collect()
    }

    /// How pods should be, by the webhook configuration as it is in the cluster; none without an injector.
    pub(in crate::operator) fn wanted_proxies(&self, settings: &Settings) -> Option<proxies::Wanted> {
        settings.parts.get(&Role::Injector)?;
        // Its own, and those of the tags that stand for it.
        let live = self.live.webhooks_of(settings.revision.name());
        let live = live.filter_map(|live| serde_json::from_value::<MutatingWebhookConfiguration>(live.clone()).ok());
        Some(proxies::Wanted {
            entries: live.filter_map(|live| injector::parse(&live)).flat_map(|configuration| configuration.entries).collect(),
            values: injection_values(settings),
            injector_ready: self.health(&settings.revision.part(Role::Injector)).is_ready(),
            rolling: settings.rolling,
        })
    }

    pub(super) fn health(&self, deployment: &str) -> Health {
        let namespace = self.namespace.as_ref().map_or("", |place| &place.name);
        if deployment == Role::Cni.object() {
            let live = self.live.get(&Key::new(Kind::DaemonSet, NODES, deployment));
            let typed: Option<DaemonSet> = live.and_then(|live| serde_json::from_value(live.clone()).ok());
            return Health::of_nodes(typed.as_ref(), self.live.pods_of(deployment));
        }
        let live = self.live.get(&Key::new(Kind::Deployment, namespace, deployment));
        let typed: Option<Deployment> = live.and_then(|live| serde_json::from_value(live.clone()).ok());
        Health::of(typed.as_ref(), self.live.pods_of(deployment))
    }

    /// What stays of the nodes' part although the spec no longer asks for it: as long as an injector may leave pods' redirection to it,
    /// pods that it has left to nobody would never start.
    pub(super) fn still_redirecting(&self, settings: &Settings, objects: &[Planned], owner: &str) -> Vec<Key> {
        let name = settings.revision.part(Role::Injector);
        let injector = objects.iter().find(|object| object.key.kind == Kind::Deployment && object.key.name == name);
        let followed = |injector: &Planned| {
            let live = self.live.get(&injector.key);
            live.is_some_and(|live| self.applier.is_right(injector, live)) && self.health(&name).is_ready()
        };
        if settings.parts.contains_key(&Role::Cni) || injector.is_none_or(followed) {
            return Vec::new();
        }
        self.live.of_component(owner, Role::Cni.name()).cloned().collect()
    }

    fn webhooks(&self, wish: Wish<'_>, components: &BTreeMap<String, (String, Health)>, have_bundle: bool) -> Option<Result<(), String>> {
        let Settings { parts, revision, namespace, .. } = wish.settings;
        let asked: Vec<Role> = parts.keys().copied().filter(|role| webhook_configuration(*role, revision).is_some()).collect();
        if asked.is_empty() {
            return None;
        }
        if !have_bundle {
            return Some(Err("the webhooks wait for their certificates".to_owned()));
        }
        let unready = |role: &&Role| components.get(role.name()).is_some_and(|(_, health)| health.state != State::Healthy);
        if let Some(role) = asked.iter().find(unready) {
            return Some(Err(format!("{} is not ready", revision.part(*role))));
        }
        if asked.contains(&Role::Galley) && !self.is_proven(wish) {
            let galley = revision.part(Role::Galley);
            let what = format!("{galley} has not yet refused a wrong object through the API server");
            return Some(Err(format!("{what}: if it stays so, see kubectl logs deploy/{galley} -n {namespace}")));
        }
        Some(Ok(()))
    }
}
