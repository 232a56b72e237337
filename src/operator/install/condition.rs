//! How an installation stands, by what the watches tell.

use ferromesh_crds::install::State;
use k8s_openapi::api::{
    admissionregistration::v1::MutatingWebhookConfiguration,
    apps::v1::{DaemonSet, Deployment},
};
use std::collections::BTreeMap;

use super::Install;
use crate::injector;
use crate::operator::{
    health::Health,
    object::{Key, Kind},
    plan::{Phase, Planned, injection_values, webhook_configuration},
    proxies,
    settings::{NODES, Role, Settings},
};

// === impl Install ===

impl Install {
    pub(super) fn components(&self, settings: &Settings) -> BTreeMap<String, (String, Health)> {
        let roles = settings.parts.keys().map(|role| (role.name(), role.object()));
        let gateways = settings.gateways.iter().map(|gateway| (&*gateway.name, &*gateway.name));
        roles.chain(gateways).map(|(name, object)| (name.to_owned(), (object.to_owned(), self.health(object)))).collect()
    }

    /// How pods should be, by the webhook configuration as it is in the cluster; none without an injector.
    pub(in crate::operator) fn wanted_proxies(&self, settings: &Settings) -> Option<proxies::Wanted> {
        settings.parts.get(&Role::Injector)?;
        let live = webhook_configuration(Role::Injector).and_then(|key| self.live.get(&key));
        let live = live.and_then(|live| serde_json::from_value::<MutatingWebhookConfiguration>(live.clone()).ok());
        Some(proxies::Wanted {
            entries: live.as_ref().and_then(injector::parse).map(|configuration| configuration.entries).unwrap_or_default(),
            values: injection_values(settings),
            injector_ready: self.health(Role::Injector.object()).is_ready(),
            rolling: settings.rolling,
        })
    }

    pub(super) fn health(&self, deployment: &str) -> Health {
        let namespace = self.namespace.as_ref().map_or("", |(name, _)| name);
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
        let injector = objects.iter().find(|object| object.key.kind == Kind::Deployment && object.key.name == Role::Injector.object());
        let followed = |injector: &Planned| {
            let live = self.live.get(&injector.key);
            live.is_some_and(|live| self.applier.is_right(injector, live)) && self.health(Role::Injector.object()).is_ready()
        };
        if settings.parts.contains_key(&Role::Cni) || injector.is_none_or(followed) {
            return Vec::new();
        }
        self.live.of_component(owner, Role::Cni.name()).cloned().collect()
    }

    pub(super) fn webhooks(
        &self,
        settings: &Settings,
        components: &BTreeMap<String, (String, Health)>,
        have_bundle: bool,
    ) -> Option<Result<(), String>> {
        let asked: Vec<Role> = settings.parts.keys().copied().filter(|role| webhook_configuration(*role).is_some()).collect();
        if asked.is_empty() {
            return None;
        }
        if !have_bundle {
            return Some(Err("the webhooks wait for their certificates".to_owned()));
        }
        let unready = |role: &&Role| components.get(role.name()).is_some_and(|(_, health)| health.state != State::Healthy);
        if let Some(role) = asked.iter().find(unready) {
            return Some(Err(format!("{} is not ready", role.object())));
        }
        if asked.contains(&Role::Galley) && self.galley != Some(Phase::Proven) {
            let (galley, namespace) = (Role::Galley.object(), self.namespace.as_ref().map_or("", |(name, _)| name));
            let what = format!("{galley} has not yet refused a wrong object through the API server");
            return Some(Err(format!("{what}: if it stays so, see kubectl logs deploy/{galley} -n {namespace}")));
        }
        Some(Ok(()))
    }
}
