//! Which tags are in force: a tag moves once the control plane that it is to stand for can answer, and until then stays where it is.

use std::collections::BTreeMap;

use super::{Install, Wish, upgrade::Course};
use crate::model::{DEFAULT_REVISION, served_revision};
use crate::operator::{
    object::{Key, Kind},
    plan::{Tag, tag_configuration},
    settings::{Revision, Role},
};

/// How the tags of a MeshInstall stand.
#[derive(Debug, Default)]
pub(super) struct Tags<'a> {
    /// Those that stand for what they should.
    pub(super) in_force: Vec<Tag<'a>>,
    /// The webhook configurations of the others, which stay as they are for as long as an injector is behind them.
    pub(super) kept: Vec<Key>,
    /// Why they can't move, a sentence each.
    pub(super) problems: Vec<String>,
}

// === impl Tags ===

impl Tags<'_> {
    /// Whether the tag `default` leads elsewhere: a pod that both its webhook and the default control plane's were asked about would get two
    /// sidecars.
    pub(super) fn default_moved(&self) -> bool {
        let kept = tag_configuration(DEFAULT_REVISION);
        self.in_force.iter().any(|tag| tag.name == DEFAULT_REVISION) || self.kept.contains(&kept)
    }
}

// === impl Install ===

impl Install {
    /// Judges the tags of a MeshInstall. Those that stand for itself stand for whichever of its control planes is asked.
    pub(super) fn tags<'a>(&self, wish: Wish<'a>, course: &'a Course) -> Tags<'a> {
        let mut tags = Tags::default();
        if !course.has_shared() {
            tags.kept = wish.tags.iter().map(|tag| tag_configuration(&tag.name)).filter(|key| self.leads_somewhere(key)).collect();
            return tags;
        }
        for tag in wish.tags {
            let key = tag_configuration(&tag.name);
            match &tag.target {
                Ok(target) => {
                    let target = if target.revision == wish.settings.revision { &course.target } else { target };
                    let (revision, injector) = (&target.revision, target.revision.part(Role::Injector));
                    if self.leads_to(&key) == Some(revision.name()) || self.health(&injector).is_ready() {
                        tags.in_force.push(Tag { name: &tag.name, target });
                        continue;
                    }
                    tags.problems.push(format!("tag {} moves to revision {} once {injector} is ready", tag.name, revision.name()));
                }
                Err(reason) => tags.problems.push(format!("tag {}: {reason}: correct spec.tags[{}]", tag.name, tag.name)),
            }
            if self.leads_somewhere(&key) {
                tags.kept.push(key);
            }
        }
        tags
    }

    /// Whether there is an injector behind the webhook of a tag. Without one, as when its revision was removed, the API server would ask in
    /// vain, and let no pod in.
    fn leads_somewhere(&self, key: &Key) -> bool {
        let Some((revision, place)) = self.leads_to(key).zip(self.namespace.as_ref()) else { return false };
        let injector = Revision::named(revision).part(Role::Injector);
        self.live.get(&Key::new(Kind::Deployment, &place.name, &injector)).is_some()
    }

    /// The revision for which each tag stands, as the cluster has it.
    pub(super) fn standing_for(&self, wish: Wish<'_>) -> BTreeMap<String, String> {
        let standing = |name: &String| {
            let revision = Revision::named(served_revision(self.leads_to(&tag_configuration(name))?));
            Some((name.clone(), revision.name().to_owned()))
        };
        wish.tags.iter().filter_map(|tag| standing(&tag.name)).collect()
    }

    fn leads_to(&self, key: &Key) -> Option<&str> {
        self.live.get(key)?["metadata"]["labels"]["istio.io/rev"].as_str()
    }
}
