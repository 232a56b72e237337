//! Which control plane a MeshInstall is to have, where several versions of it can stand beside each other. Pure.
//!
//! The default control plane has three places: its own, and two slots to which it goes under `updateStrategy.type: Revision`. Which version
//! stands where is read from the cluster, so that any operator finds what another one has left.

use ferromesh_crds::install::UpdateType;
use serde_json::Value;

use super::{
    plan::RENDERED_BY,
    settings::{Images, Revision, Settings},
};

/// A version of a control plane: who has planned it, and what runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Version {
    /// The operator's version; empty if that one didn't write it down.
    operator: String,
    hub: String,
    pub(super) tag: String,
}

/// What stands at a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Standing {
    pub(super) place: Revision,
    /// Not known where the control plane is there in parts.
    pub(super) version: Option<Version>,
}

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted<'a> {
    /// The MeshInstall's own place.
    pub(super) home: &'a Revision,
    pub(super) strategy: UpdateType,
    /// A version that is to stay although it isn't the operator's own.
    pub(super) pinned: Option<&'a str>,
    /// The version that the spec comes to, by this operator.
    pub(super) version: &'a Version,
}

/// The control plane that a MeshInstall is to have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Choice {
    /// The wanted version, at this place.
    At(Revision),
    /// A version that stands there already.
    Recorded(Standing),
    /// The one that is there, as it is.
    Frozen(Standing),
    /// There is no place for the wanted version before these are gone.
    Full(Vec<Revision>),
    /// Nobody has the version that is named; those that there are.
    Unknown(Vec<String>),
}

/// Chooses. `current` is the place of the control plane that is asked at present.
pub(super) fn choose(wanted: Wanted<'_>, current: Option<&Revision>, standing: &[Standing]) -> Choice {
    if let Some(pinned) = wanted.pinned {
        let of_that_version = |one: &&Standing| one.version.as_ref().is_some_and(|version| version.tag == pinned);
        // Of two that are called the same the one that serves: nothing moves that need not.
        let mut found: Vec<&Standing> = standing.iter().filter(of_that_version).collect();
        found.sort_by_key(|one| Some(&one.place) != current);
        return match (found.first(), wanted.strategy) {
            (None, _) => Choice::Unknown(standing.iter().filter_map(|one| Some(one.version.as_ref()?.tag.clone())).collect()),
            (Some(one), UpdateType::InPlace) => Choice::Frozen((*one).clone()),
            (Some(one), UpdateType::Revision) => Choice::Recorded((*one).clone()),
        };
    }
    if wanted.strategy == UpdateType::InPlace {
        return Choice::At(wanted.home.clone());
    }
    if let Some(there) = standing.iter().find(|one| one.version.as_ref() == Some(wanted.version)) {
        return Choice::At(there.place.clone());
    }
    // What is there in parts serves nobody, so that it may be completed as any version.
    let whole: Vec<&Revision> = standing.iter().filter(|one| one.version.is_some()).map(|one| &one.place).collect();
    let in_the_way: Vec<Revision> = whole.iter().filter(|place| Some(**place) != current).map(|place| (*place).clone()).collect();
    match wanted.home.slots().into_iter().find(|slot| !whole.contains(&slot)) {
        // Two at most: who can't be moved from the one before the last isn't left behind by the next.
        Some(slot) if in_the_way.is_empty() || current.is_none() => Choice::At(slot),
        _ => Choice::Full(in_the_way),
    }
}

// === impl Version ===

impl Version {
    /// The one that settings come to.
    pub(super) fn of(settings: &Settings) -> Self {
        let Images { hub, tag, .. } = settings.images.clone();
        Self { operator: settings.operator.clone(), hub, tag }
    }

    /// The one of a pilot that is there; none if its image isn't one of ours.
    pub(super) fn read(pilot: &Value) -> Option<Self> {
        let image = pilot.pointer("/spec/template/spec/containers/0/image")?.as_str()?;
        let (hub, tag) = image.rsplit_once("/ferromesh:")?;
        let operator = pilot["metadata"]["annotations"][RENDERED_BY].as_str().unwrap_or_default();
        Some(Self { operator: operator.to_owned(), hub: hub.to_owned(), tag: tag.to_owned() })
    }

    /// Whether an operator of that version has planned it.
    pub(super) fn is_by(&self, operator: &str) -> bool {
        self.operator == operator
    }

    /// Its images; how they are pulled is as it is for others.
    pub(super) fn images(&self, like: &Images) -> Images {
        Images { hub: self.hub.clone(), tag: self.tag.clone(), pull_policy: like.pull_policy.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn version(operator: &str, tag: &str) -> Version {
        Version { operator: operator.to_owned(), hub: "hub".to_owned(), tag: tag.to_owned() }
    }

    /// `PLACE=OPERATOR:TAG` for each that stands, `PLACE=` for one that is there in parts.
    fn standing(text: &str) -> Vec<Standing> {
        let one = |one: &str| {
            let (place, of) = one.split_once('=').unwrap();
            let version = of.split_once(':').map(|(operator, tag)| version(operator, tag));
            Standing { place: Revision::named(place), version }
        };
        text.split_whitespace().map(one).collect()
    }

    fn chosen(strategy: UpdateType, pinned: Option<&str>, current: &str, there: &str) -> String {
        let (home, version) = (Revision::default(), version("2", "2"));
        let wanted = Wanted { home: &home, strategy, pinned, version: &version };
        let current = (!current.is_empty()).then(|| Revision::named(current));
        let names = |places: &[Revision]| places.iter().map(Revision::name).collect::<Vec<_>>().join(",");
        match choose(wanted, current.as_ref(), &standing(there)) {
            Choice::At(place) => place.name().to_owned(),
            Choice::Recorded(one) => format!("recorded {}", one.place.name()),
            Choice::Frozen(one) => format!("frozen {}", one.place.name()),
            Choice::Full(places) => format!("full: {}", names(&places)),
            Choice::Unknown(known) => format!("unknown: {}", known.join(",")),
        }
    }

    #[test]
    fn by_a_revision_a_new_version_goes_where_nobody_is() {
        let cases = [
            ("", "", "blue"),
            ("default", "default=1:1", "blue"),
            // A change of strategy alone moves nobody.
            ("default", "default=2:2", "default"),
            ("blue", "blue=1:1", "green"),
            ("green", "green=1:1", "blue"),
            ("blue", "blue=2:2", "blue"),
            // On its way, and back.
            ("blue", "blue=1:1 green=2:2", "green"),
            ("green", "blue=2:2 green=1:1", "blue"),
            ("blue", "blue=2:2 default=1:1", "blue"),
            // Another operator's, of the same image, is another version.
            ("blue", "blue=1:2", "green"),
            // Begun and not finished.
            ("blue", "blue=1:1 green=", "green"),
            ("", "blue=", "blue"),
            // Two at most.
            ("blue", "blue=1:1 green=0:0", "full: green"),
            ("blue", "blue=1:1 default=0:0", "full: default"),
            ("green", "blue=0:0 default=0:1 green=1:1", "full: blue,default"),
            // Nobody is asked: what was begun before never served.
            ("", "default=1:1", "blue"),
        ];
        for (current, there, wanted) in cases {
            assert_eq!(chosen(UpdateType::Revision, None, current, there), wanted, "{there}, asked: {current:?}");
        }
    }

    #[test]
    fn in_place_it_takes_the_place_of_the_old_one() {
        for there in ["", "default=1:1", "blue=1:1", "blue=1:1 green=2:2"] {
            assert_eq!(chosen(UpdateType::InPlace, None, "blue", there), "default", "{there}");
        }
    }

    #[test]
    fn a_version_that_is_named_is_the_one_that_stands() {
        let by = |strategy, there| chosen(strategy, Some("1"), "green", there);
        assert_eq!(by(UpdateType::Revision, "blue=1:1 green=2:2"), "recorded blue");
        assert_eq!(by(UpdateType::Revision, "default=:1 green=2:2"), "recorded default");
        assert_eq!(by(UpdateType::Revision, "blue=1:1 green=2:1"), "recorded green", "nothing moves that need not");
        assert_eq!(by(UpdateType::InPlace, "default=1:1"), "frozen default");
        for strategy in [UpdateType::InPlace, UpdateType::Revision] {
            assert_eq!(by(strategy, "green=2:2 blue="), "unknown: 2");
        }
    }

    #[test]
    fn a_version_is_read_from_the_pilot_that_is_there() {
        let pilot = |annotations: Value, image: &str| {
            let containers = json!([{"image": image}]);
            json!({"metadata": {"annotations": annotations}, "spec": {"template": {"spec": {"containers": containers}}}})
        };
        let read = |annotations, image| Version::read(&pilot(annotations, image));
        assert_eq!(
            read(json!({RENDERED_BY: "1.1"}), "hub/ferromesh:1.0"),
            Some(Version { hub: "hub".to_owned(), ..version("1.1", "1.0") })
        );
        let of_old = read(json!({}), "registry:5000/a/ferromesh:1.0").unwrap();
        assert_eq!((of_old.operator.as_str(), of_old.hub.as_str(), of_old.tag.as_str()), ("", "registry:5000/a", "1.0"));
        assert_eq!(read(json!({}), "hub/other:1.0"), None);
    }
}
