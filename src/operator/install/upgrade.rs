//! From one version of the control plane to the next where both stand beside each other: who is asked moves once the new one is ready, and
//! the old one stays as it is until nobody uses it.

use serde_json::Value;
use std::{collections::BTreeMap, time::Duration};
use tokio::time::Instant;

use super::{Install, InstallError, Wish};
use crate::operator::{
    object::{Key, Kind},
    places::{Choice, Standing, Version, Wanted, choose},
    plan::{Planned, Share, place, webhook_configuration},
    proxies::Tallies,
    settings::{Revision, Role, Settings},
    status::{Reason, Upgrade},
};

/// The control planes of a MeshInstall, as a pass finds them and is to bring them about.
pub(super) struct Course {
    /// The control plane that it is to have, or that goes on if there can't be another.
    pub(super) target: Settings,
    /// What the mesh has beside control planes, with that one.
    pub(super) shared: Settings,
    /// What is written.
    pub(super) scope: Scope,
    /// Whether the target isn't asked before it is ready.
    pub(super) comes: bool,
    /// The control plane that is asked meanwhile.
    pub(super) before: Option<Settings>,
    /// All that stand.
    pub(super) standing: Vec<Standing>,
    /// The places of those that stay beside the target.
    pub(super) stays: Vec<Revision>,
    /// Why each stays that neither is the target nor asked; none if nobody uses it.
    pub(super) beside: BTreeMap<Revision, Option<String>>,
    /// What is told of all this, where there is more than one control plane or another than the operator's own.
    pub(super) told: Option<Upgrade>,
}

/// Which part of the plan is written; all else is left as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    All,
    /// The target's own objects: it isn't asked before it is ready.
    Target,
    /// All but the target's own objects, which another version has planned.
    Shared,
    Nothing,
}

/// So long nobody must have used a control plane before it goes: the API server may send a pod to an injector for a moment longer than that
/// is asked, and pods are seen a moment after they are made.
const LINGER: Duration = Duration::from_secs(5);

// === impl Install ===

impl Install {
    /// Sets the course of a MeshInstall.
    ///
    /// # Errors
    /// When it names a version that nobody has, or no longer.
    pub(super) fn course(&mut self, wish: Wish<'_>) -> Result<Course, InstallError> {
        let settings = wish.settings;
        let standing = self.standing(settings, wish.uid());
        let current = self.asked(wish, &standing);
        let own = Version::of(settings);
        let wanted = Wanted { home: &settings.revision, strategy: settings.strategy, pinned: settings.pinned.as_deref(), version: &own };
        let choice = choose(wanted, current.as_ref(), &standing);
        let recorded = |one: &Standing| {
            let images = one.version.as_ref().map_or_else(|| settings.images.clone(), |version| version.images(&settings.images));
            settings.at(&one.place, images)
        };
        let serving = standing.iter().find(|one| Some(&one.place) == current.as_ref()).map(recorded);
        let (target, scope) = match &choice {
            Choice::At(place) => (settings.at(place, settings.images.clone()), Scope::All),
            Choice::Recorded(one) if one.version.as_ref().is_some_and(|version| version.is_by(&settings.operator)) => {
                (recorded(one), Scope::All)
            }
            Choice::Recorded(one) => (recorded(one), Scope::Shared),
            Choice::Frozen(one) => (recorded(one), Scope::Nothing),
            Choice::Full(_) => (serving.clone().unwrap_or_else(|| settings.clone()), Scope::Nothing),
            Choice::Unknown(known) => return Err(unknown(wish, &standing, known)),
        };
        let moves = scope != Scope::Nothing && self.moves(wish, &target, current.as_ref(), &standing);
        let replaced = |one: &Standing| one.place == target.revision && one.version.as_ref().is_some_and(|version| *version != own);
        if moves && matches!(choice, Choice::At(_)) && standing.iter().any(replaced) {
            self.unprove_galley(wish.uid(), &target.revision);
        }
        let awaited = if moves { self.awaited(wish.uid(), &target) } else { None };
        let comes = awaited.is_some();
        let scope = match scope {
            Scope::All if comes => Scope::Target,
            Scope::Shared if comes => Scope::Nothing,
            scope => scope,
        };
        let before = serving.filter(|_| comes || matches!(choice, Choice::Full(_)));
        if let Some(before) = &before {
            self.galley_phase(wish.uid(), before);
        }
        let beside = self.beside(wish, &target, current.as_ref(), &standing);
        let stays = |place: &Revision| *place != target.revision && beside.get(place).is_none_or(Option::is_some);
        let stays = standing.iter().map(|one| one.place.clone()).filter(stays).collect();
        let told = told(settings, &choice, awaited, &target, current.as_ref(), &standing, &beside);
        Ok(Course { shared: settings.served_by(&target), target, scope, comes, before, standing, stays, beside, told })
    }

    /// The control planes that stand.
    fn standing(&self, settings: &Settings, uid: &str) -> Vec<Standing> {
        let mut found: BTreeMap<Revision, Option<Version>> = BTreeMap::new();
        for (key, owner) in self.live.applied() {
            let Some((object, place)) = self.live.get(key).and_then(|object| Some((object, place(key, object)?))) else { continue };
            if owner != uid || !(place == settings.revision || settings.revision.slots().contains(&place)) {
                continue;
            }
            let is_pilot = key.kind == Kind::Deployment && key.name == place.part(Role::Pilot);
            let version = found.entry(place).or_default();
            if is_pilot {
                *version = Version::read(object);
            }
        }
        found.into_iter().map(|(place, version)| Standing { place, version }).collect()
    }

    /// The place of the control plane that is asked about what names none: by its injector's webhook configuration, and if somebody has taken
    /// that away, by its galley's where this has been proven. Where neither tells it is the only one that could answer.
    pub(super) fn asked(&self, wish: Wish<'_>, standing: &[Standing]) -> Option<Revision> {
        let told = |role: Role, is: fn(&Value) -> bool| {
            let key = webhook_configuration(role, &wish.settings.revision)?;
            let is_ours = self.live.applied().any(|(other, owner)| *other == key && owner == wish.uid());
            let object = self.live.get(&key).filter(|object| is_ours && is(object))?;
            object["metadata"]["labels"]["istio.io/rev"].as_str().map(Revision::named)
        };
        let counts = |object: &Value| object.pointer("/webhooks/0/failurePolicy").is_some_and(|policy| policy == "Fail");
        let only = || {
            let mut answering = standing.iter().filter(|one| one.version.is_some() && self.unready(wish.settings, &one.place).is_none());
            answering.next().filter(|_| answering.next().is_none()).map(|one| one.place.clone())
        };
        told(Role::Injector, |_| true).or_else(|| told(Role::Galley, counts)).or_else(only)
    }

    /// Whether others may be asked at present than the target. Where nothing tells who is, that is anybody who could answer or has proxies.
    fn moves(&self, wish: Wish<'_>, target: &Settings, current: Option<&Revision>, standing: &[Standing]) -> bool {
        let serves = |one: &Standing| self.unready(wish.settings, &one.place).is_none() || used(&one.place, wish.tallies).is_some();
        match current {
            Some(current) => *current != target.revision,
            None => standing.iter().any(|one| one.place != target.revision && one.version.is_some() && serves(one)),
        }
    }

    /// What a control plane that is to be asked still lacks.
    fn awaited(&self, uid: &str, target: &Settings) -> Option<String> {
        let unproven = || {
            let galley = target.parts.contains_key(&Role::Galley) && !self.is_proven(uid, target);
            galley.then(|| format!("{} has not yet refused a wrong object", target.revision.part(Role::Galley)))
        };
        self.unready(target, &target.revision).or_else(unproven)
    }

    /// The first part of a control plane that doesn't answer, and why.
    fn unready(&self, settings: &Settings, place: &Revision) -> Option<String> {
        let own = [Role::Pilot, Role::Galley, Role::Injector].into_iter().filter(|role| settings.parts.contains_key(role));
        own.map(|role| place.part(role)).find_map(|name| {
            let health = self.health(&name);
            (!health.is_ready()).then(|| format!("{name}: {}", health.message))
        })
    }

    /// The control planes that are neither the target nor asked, each with what keeps it.
    fn beside(
        &mut self,
        wish: Wish<'_>,
        target: &Settings,
        current: Option<&Revision>,
        standing: &[Standing],
    ) -> BTreeMap<Revision, Option<String>> {
        let others = standing.iter().filter(|one| one.place != target.revision && Some(&one.place) != current);
        // Their proxies were told of the old pilot when they began.
        let gateway = wish.settings.gateways.iter().find(|gateway| !self.health(&gateway.name).is_ready());
        let gateway = gateway.map(|gateway| format!("{} is being replaced", gateway.name));
        let mut since = std::mem::take(&mut self.known.entry(wish.uid().to_owned()).or_default().unused);
        let mut unused = BTreeMap::new();
        let mut all = BTreeMap::new();
        for one in others {
            let used = one.version.as_ref().and_then(|_| used(&one.place, wish.tallies).or_else(|| gateway.clone()));
            let lingers = || {
                let begun = since.remove(&one.place).unwrap_or_else(Instant::now);
                unused.insert(one.place.clone(), begun);
                (one.version.is_some() && begun.elapsed() < LINGER).then(|| "nobody any more".to_owned())
            };
            let kept = used.or_else(lingers);
            all.insert(one.place.clone(), kept);
        }
        self.known.entry(wish.uid().to_owned()).or_default().unused = unused;
        all
    }

    /// What is left as it is although the plan lacks it.
    pub(super) fn left_alone(&self, course: &Course, uid: &str) -> Vec<Key> {
        let is_left = |key: &Key, owner: &str| {
            if owner != uid && !Share::holds(key) {
                return false;
            }
            let own = self.live.get(key).and_then(|object| place(key, object));
            match own {
                Some(own) if own == course.target.revision => matches!(course.scope, Scope::Shared | Scope::Nothing),
                // One that nobody uses goes.
                Some(own) => course.beside.get(&own).is_none_or(Option::is_some),
                None => matches!(course.scope, Scope::Target | Scope::Nothing),
            }
        };
        self.live.applied().filter(|(key, owner)| is_left(key, owner)).map(|(key, _)| key.clone()).collect()
    }
}

// === impl Course ===

impl Course {
    /// Whether what the control planes share is written.
    pub(super) fn has_shared(&self) -> bool {
        matches!(self.scope, Scope::All | Scope::Shared)
    }

    /// The part of a plan that is written.
    pub(super) fn part_of(&self, plan: Vec<Planned>) -> Vec<Planned> {
        let is_its_own = |object: &Planned| place(&object.key, &object.body).as_ref() == Some(&self.target.revision);
        match self.scope {
            Scope::All => plan,
            Scope::Target => plan.into_iter().filter(is_its_own).collect(),
            Scope::Shared => plan.into_iter().filter(|object| !is_its_own(object)).collect(),
            Scope::Nothing => Vec::new(),
        }
    }

    /// The version of the control plane at a place.
    pub(super) fn version_at(&self, place: &Revision) -> String {
        let standing = self.standing.iter().find(|one| one.place == *place).and_then(|one| one.version.as_ref());
        match standing {
            Some(version) if *place != self.target.revision => version.tag.clone(),
            _ => self.target.images.tag.clone(),
        }
    }

    /// The settings of the control plane at a place, as far as its version tells.
    pub(super) fn settings_at(&self, settings: &Settings, place: &Revision) -> Settings {
        let standing = self.standing.iter().find(|one| one.place == *place).and_then(|one| one.version.as_ref());
        settings.at(place, standing.map_or_else(|| settings.images.clone(), |version| version.images(&settings.images)))
    }
}

/// Why no version of that name can be had. One that the status remembers where nothing else stands now has lost its pilot, which alone
/// tells what a control plane is.
fn unknown(wish: Wish<'_>, standing: &[Standing], known: &[String]) -> InstallError {
    let settings = wish.settings;
    let (pinned, own) = (settings.pinned.clone().unwrap_or_default(), settings.operator.clone());
    let remembered = wish.mesh.status.iter().flat_map(|status| &status.revisions);
    let mut places = remembered.filter(|one| one.version.as_ref() == Some(&pinned)).map(|one| Revision::named(&one.name));
    let lost = |place: &Revision| !standing.iter().any(|one| one.place == *place && one.version.is_some());
    match places.find(lost) {
        Some(place) => InstallError::PilotGone { pinned, own, pilot: format!("{}/{}", settings.namespace, place.part(Role::Pilot)) },
        None => InstallError::Version { pinned, own, there: known.join(", ") },
    }
}

/// What uses a control plane, as far as its proxies are known.
fn used(place: &Revision, tallies: &Tallies) -> Option<String> {
    match tallies.get(place.name()) {
        None => Some("its proxies have not been counted yet".to_owned()),
        Some(tally) => tally.users(),
    }
}

/// What is told of the control planes.
fn told(
    settings: &Settings,
    choice: &Choice,
    awaited: Option<String>,
    target: &Settings,
    current: Option<&Revision>,
    standing: &[Standing],
    beside: &BTreeMap<Revision, Option<String>>,
) -> Option<Upgrade> {
    let version = |place: &Revision| {
        let version = standing.iter().find(|one| one.place == *place).and_then(|one| one.version.as_ref());
        format!("version {} ({})", version.map_or("unknown", |version| &version.tag), place.name())
    };
    let kept = |places: &mut dyn Iterator<Item = &Revision>| {
        let kept = places.map(|place| {
            let by = beside.get(place).cloned().flatten().unwrap_or_else(|| "nobody any more".to_owned());
            format!("{}: used by {by}", version(place))
        });
        kept.collect::<Vec<_>>().join("; ")
    };
    let new = &target.images.tag;
    let upgrade = |reason, message: String, waits| Some(Upgrade { reason, message, waits });
    match choice {
        Choice::Frozen(_) => {
            let own = &settings.operator;
            let remedy = "objects stay as they are; remove spec.version to upgrade";
            upgrade(Reason::VersionPinned, format!("version {new} is pinned, this operator renders {own}: {remedy}"), false)
        }
        Choice::Full(places) => {
            let message = format!("version {} waits for a place: {}", settings.images.tag, kept(&mut places.iter()));
            upgrade(Reason::PlacesInUse, message, true)
        }
        _ => match (awaited, current) {
            (Some(awaited), Some(current)) => {
                let message = format!("version {new} comes up as {}, {} serves on: {awaited}", target.revision.name(), version(current));
                upgrade(Reason::NewNotReady, message, true)
            }
            (Some(awaited), None) => {
                let message = format!("version {new} comes up as {}: {awaited}", target.revision.name());
                upgrade(Reason::NewNotReady, message, false)
            }
            _ if !beside.is_empty() => {
                let message = format!("version {new} ({}) serves; {}", target.revision.name(), kept(&mut beside.keys()));
                upgrade(Reason::OldInUse, message, false)
            }
            _ if target.revision != settings.revision || matches!(choice, Choice::Recorded(_)) => {
                upgrade(Reason::Current, String::new(), false)
            }
            _ => None,
        },
    }
}
