//! How an installation stands, by what the watches tell.

use ferromesh_crds::install::State;
use k8s_openapi::api::{
    admissionregistration::v1::MutatingWebhookConfiguration,
    apps::v1::{DaemonSet, Deployment},
};
use serde_json::Value;
use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
};

use super::{
    Install, Wish,
    upgrade::{Course, Scope},
};
use crate::injector;
use crate::model::InjectionValues;
use crate::operator::{
    certificates,
    health::Health,
    object::{Key, Kind},
    plan::{COMPONENT, INJECTION, MONITORING, Planned, injection_values, serving_certificate, webhook_configuration},
    proxies::{AllWanted, Wanted},
    settings::{NODES, Revision, Role, Settings},
    status::{Applied, Injection, Parts, Plane, Tagging},
};

// === impl Install ===

impl Install {
    /// What a pass has come to, by the certificates in force, the objects that there are to be, and what is wrong with tags.
    pub(super) fn applied(
        &self,
        wish: Wish<'_>,
        course: &Course,
        certificates: &certificates::State,
        inventory: &[Key],
        tags: Vec<String>,
    ) -> Applied {
        let settings = wish.settings;
        let missing = certificates.missing.get(wish.uid());
        let parts = self.parts(settings, course);
        let webhooks = self.webhooks(wish, course, &parts.components, missing.is_none());
        let needs_certificates = settings.parts.keys().any(|role| serving_certificate(*role, &settings.revision).is_some());
        let problem = tags.into_iter().reduce(|all, one| format!("{all}; {one}"));
        let proxies = wish.tallies.get(self.serving(wish, course).name()).cloned();
        Applied {
            parts,
            certificates: needs_certificates.then(|| missing.map_or(Ok(()), |reason| Err(reason.clone()))),
            webhooks: certificates.untrusted.clone().map(Err).or(webhooks),
            inventory: inventory.iter().map(Key::inventory_entry).collect(),
            tags: (!wish.tags.is_empty()).then(|| Tagging { standing: self.standing_for(wish), problem }),
            injection: settings.parts.get(&Role::Injector).map(|_| Injection { lenient: settings.injection.lenient, proxies }),
            planes: self.planes(wish, course),
            upgrade: course.told.clone(),
            hindrance: None,
        }
    }

    /// The parts that there are to be.
    fn parts(&self, settings: &Settings, course: &Course) -> Parts {
        let healths = |(name, object): (&str, String)| (name.to_owned(), (object.clone(), self.health(&object)));
        let roles = settings.parts.keys().map(|role| (role.name(), course.target.revision.part(*role)));
        let gateways = settings.gateways.iter().map(|gateway| (&*gateway.name, gateway.name.clone()));
        let addons = settings.addons.keys().map(|program| (program.name(), program.object().to_owned()));
        Parts { components: roles.chain(gateways).map(healths).collect(), addons: addons.map(healths).collect() }
    }

    /// The parts that there were when something was last brought about.
    pub(super) fn standing_parts(&self, wish: Wish<'_>, course: &Course) -> Parts {
        let names = wish.mesh.status.iter().flat_map(|status| status.components.keys());
        self.parts_of(names, &self.serving(wish, course), "it is gone, and mode Apply would bring it back")
    }

    /// The place of the control plane that is asked.
    fn serving(&self, wish: Wish<'_>, course: &Course) -> Revision {
        self.asked(wish, &course.standing).unwrap_or_else(|| course.target.revision.clone())
    }

    /// The version of the control plane that is asked.
    pub(super) fn serving_version(&self, wish: Wish<'_>, course: &Course) -> String {
        course.version_at(&self.serving(wish, course))
    }

    /// All control planes.
    fn planes(&self, wish: Wish<'_>, course: &Course) -> Vec<Plane> {
        let mut places: BTreeSet<Revision> = [self.serving(wish, course), course.target.revision.clone()].into();
        places.extend(course.stays.iter().cloned());
        let plane = |place: Revision| {
            let own = [Role::Pilot, Role::Galley, Role::Injector].map(|role| place.part(role));
            let healths = own.iter().map(|name| self.health(name)).filter(|health| health.state != State::None);
            let state = healths.map(|health| health.state).reduce(|all, one| match (all, one) {
                (State::Error, _) | (_, State::Error) => State::Error,
                (State::Healthy, State::Healthy) => State::Healthy,
                _ => State::Updating,
            });
            Plane {
                name: place.name().to_owned(),
                version: course.version_at(&place),
                state: state.filter(|_| place != course.target.revision),
                proxies: wish.tallies.get(place.name()).cloned(),
            }
        };
        places.into_iter().map(plane).collect()
    }

    /// How pods of each of its control planes should be, by the webhook configurations as they are in the cluster; none without an injector.
    /// Whose pods it has is looked at for all, and only by the one that is asked workloads are restarted.
    pub(super) fn wanted_proxies(&self, wish: Wish<'_>, course: &Course) -> AllWanted {
        let settings = wish.settings;
        let serving = self.serving(wish, course);
        let mut places = course.stays.clone();
        if settings.parts.contains_key(&Role::Injector) {
            places.push(course.target.revision.clone());
        }
        let own = settings.gateways.iter();
        let wanted = |place: &Revision| {
            // Its own, and those that lead to it.
            let live = self.live.webhooks_of(place.name());
            let live = live.filter_map(|live| serde_json::from_value::<MutatingWebhookConfiguration>(live.clone()).ok());
            Wanted {
                entries: live.filter_map(|live| injector::parse(&live)).flat_map(|configuration| configuration.entries).collect(),
                values: if *place == course.target.revision && course.scope == Scope::All {
                    injection_values(&course.target)
                } else {
                    self.told_injector(settings, course, place)
                },
                injector_ready: self.health(&place.part(Role::Injector)).is_ready(),
                rolling: settings.rolling.filter(|_| *place == serving),
                pilots: self.live.addresses_of(&place.part(Role::Pilot), MONITORING).collect(),
                gateways: own.clone().filter(|_| *place == serving).map(|gateway| self.live.pods_of(&gateway.name).count()).sum(),
            }
        };
        places.iter().map(|place| (place.name().to_owned(), wanted(place))).collect()
    }

    /// What the injector of a control plane is told that another version may have planned. What that says beyond what is known here makes
    /// no difference to who should have which sidecar.
    fn told_injector(&self, settings: &Settings, course: &Course, place: &Revision) -> InjectionValues {
        self.told(settings, place).unwrap_or_else(|| injection_values(&course.settings_at(settings, place)))
    }

    fn told(&self, settings: &Settings, place: &Revision) -> Option<InjectionValues> {
        let map = self.live.get(&Key::new(Kind::ConfigMap, &settings.namespace, &place.object(INJECTION)))?;
        serde_json::from_str(map["data"]["values"].as_str()?).ok()
    }

    /// What can be had of what is asked for. Without the nodes' part, injectors go on as they were told: pods that they left to nodes which
    /// have no part would never start.
    pub(super) fn attainable<'a>(&self, settings: &'a Settings) -> Cow<'a, Settings> {
        if !self.nodes_withheld || !settings.by_cni {
            return Cow::Borrowed(settings);
        }
        let places = std::iter::once(settings.revision.clone()).chain(settings.revision.slots());
        let by_cni = places.filter_map(|place| self.told(settings, &place)).any(|told| told.cni);
        let mut settings = Settings { by_cni, ..settings.clone() };
        settings.parts.remove(&Role::Cni);
        Cow::Owned(settings)
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
        let least = live.and_then(|live| self.least(live, &Key::new(Kind::HorizontalPodAutoscaler, namespace, deployment)));
        Health::of(typed.as_ref(), least, self.live.pods_of(deployment))
    }

    /// How many pods a Deployment is to have at least; none where it may be meant to have none, as a gateway without an autoscaler.
    fn least(&self, deployment: &Value, autoscaler: &Key) -> Option<i32> {
        let autoscaler = self.live.get(autoscaler).map(|live| live["spec"]["minReplicas"].as_i64().unwrap_or(1));
        let component = &deployment["metadata"]["labels"][COMPONENT];
        let of_plane = Role::ALL.into_iter().any(|role| component == role.name()).then_some(1);
        autoscaler.and_then(|least| i32::try_from(least).ok()).or(of_plane)
    }

    /// What stays of the nodes' part although the plan lacks it: because it can't be had as it should be, or the spec no longer asks for it.
    /// As long as an injector may leave pods' redirection to it, pods that it has left to nobody would never start.
    pub(super) fn still_redirecting(&self, course: &Course, objects: &[Planned], owner: &str) -> Vec<Key> {
        let settings = &course.target;
        let name = settings.revision.part(Role::Injector);
        let injector = objects.iter().find(|object| object.key.kind == Kind::Deployment && object.key.name == name);
        let followed = |injector: &Planned| {
            let live = self.live.get(&injector.key);
            live.is_some_and(|live| self.applier.is_right(injector, live)) && self.health(&name).is_ready()
        };
        // Another version's injector isn't asked what it leaves to the nodes: it stays for them.
        let alone = course.stays.is_empty();
        let is_over = !self.nodes_withheld && alone && injector.is_none_or(followed);
        if settings.parts.contains_key(&Role::Cni) || is_over {
            return Vec::new();
        }
        self.live.of_component(owner, Role::Cni.name()).cloned().collect()
    }

    fn webhooks(
        &self,
        wish: Wish<'_>,
        course: &Course,
        components: &BTreeMap<String, (String, Health)>,
        have_bundle: bool,
    ) -> Option<Result<(), String>> {
        let Settings { parts, revision, namespace, .. } = &course.target;
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
        if asked.contains(&Role::Galley) && !self.is_proven(wish.uid(), &course.target) {
            let galley = revision.part(Role::Galley);
            let what = format!("{galley} has not yet refused a wrong object through the API server");
            return Some(Err(format!("{what}: if it stays so, see kubectl logs deploy/{galley} -n {namespace}")));
        }
        Some(Ok(()))
    }
}
