//! Results for tests of whoever uses the compiler: any resources, without a mesh that yields them.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use prost::Message;

use super::{Compiled, Resource, ResourceType, resource::Draft, section::Section};
use crate::model::{ObjectRef, Snapshot};

/// Far from those that a compiler gives.
static NEXT_SECTION: AtomicU64 = AtomicU64::new(1 << 32);

/// A VirtualService with a rule of this name makes the compiler fail.
pub(crate) const FAILS: &str = "the compiler fails on this rule";

/// Fails if that object says so.
pub(super) fn fail_if_told(snapshot: &Snapshot, object: &ObjectRef) {
    let service = snapshot.config.virtual_services.get(object);
    assert!(!service.is_some_and(|it| it.http.iter().any(|rule| &*rule.name == FAILS)), "{FAILS}");
}

impl Resource {
    /// A resource with that text in its body, from these objects.
    pub(crate) fn of(kind: ResourceType, name: &str, text: &str, sources: &[ObjectRef]) -> Arc<Self> {
        Self::encoded(kind, name, &text.to_owned(), sources)
    }

    /// A resource of that message, from these objects.
    pub(crate) fn encoded(kind: ResourceType, name: &str, message: &impl Message, sources: &[ObjectRef]) -> Arc<Self> {
        Arc::new(Draft::new(kind, name, message).into_resource(sources.into()))
    }
}

impl Compiled {
    /// A proxy that gets these resources.
    pub(crate) fn made_of(resources: &[Arc<Resource>]) -> Self {
        let section = |kind| {
            let own = resources.iter().filter(|resource| resource.kind == kind).cloned();
            Arc::new(Section::of(NEXT_SECTION.fetch_add(1, Ordering::Relaxed), kind, own))
        };
        Self { sections: ResourceType::ALL.into_iter().map(section).collect() }
    }
}
