//! What there is to be while a control plane comes up that isn't asked yet, beside its own objects: the one before goes on being asked, and
//! the new one is tried.

use super::{Install, Wish, upgrade::Course};
use crate::operator::{
    plan::{Circumstances, Phase, Planned, plan, trial, webhook_configuration},
    settings::{Role, Settings},
};

// === impl Install ===

impl Install {
    /// The objects, which go or are taken over by the plan once the new control plane is asked.
    pub(super) fn meanwhile(&self, wish: Wish<'_>, course: &Course, circumstances: Circumstances<'_>) -> Vec<Planned> {
        let mut objects = course.before.as_ref().map(|before| self.lost(wish, before, circumstances)).unwrap_or_default();
        if course.comes && course.target.revision == wish.settings.revision {
            objects.extend(trial(&course.target, circumstances));
        }
        objects
    }

    /// The webhook configurations by which the control plane from before is asked, as far as somebody has deleted them. Without them nobody
    /// is asked until the new one is ready, which may be never: pods would start without a sidecar all the while.
    fn lost(&self, wish: Wish<'_>, before: &Settings, circumstances: Circumstances<'_>) -> Vec<Planned> {
        let galley = if self.is_proven(wish.uid(), before) { Phase::Proven } else { Phase::Unproven };
        let answers = |role: &Role| before.parts.contains_key(role) && self.health(&before.revision.part(*role)).is_ready();
        let asked = [Role::Galley, Role::Injector].into_iter().filter(answers);
        let asked = asked.filter_map(|role| webhook_configuration(role, &wish.settings.revision));
        let lost: Vec<_> = asked.filter(|key| self.live.get(key).is_none()).collect();
        if lost.is_empty() {
            return Vec::new();
        }
        let circumstances = Circumstances { galley, serving: Some(before), tags: &[], ..circumstances };
        let mut objects = plan(&wish.settings.served_by(before), circumstances);
        objects.retain(|object| lost.contains(&object.key));
        objects
    }
}
