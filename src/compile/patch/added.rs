//! Clusters and listeners that users add.

use std::sync::Arc;

use envoy_api::envoy::config::{cluster::v3::Cluster, listener::v3::Listener};
use prost::{Message, Name};

use super::{
    apply::{adds, message},
    context,
    table::{ReadPatch, Subject},
};
use crate::compile::{
    input::Input,
    recipe::Recipe,
    resource::{Draft, ResourceType},
    scope::Scope,
};
use crate::model::{ObjectRef, PatchContext, PatchedObject};

/// A patch that adds a resource.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(in crate::compile) struct PatchKey {
    subject: Subject,
    object: ObjectRef,
    path: Arc<str>,
}

/// The recipes of what is added to a section. What is for no traffic in particular is added once, to the traffic that is sent.
pub(in crate::compile) fn recipes(scope: &Scope<'_>, kind: ResourceType, inbound: bool) -> Vec<Recipe> {
    let subject = match kind {
        ResourceType::Cluster => Subject::Clusters,
        ResourceType::Listener => Subject::Listeners,
        _ => return Vec::new(),
    };
    if !scope.has_patches(subject) {
        return Vec::new();
    }
    let context = context(scope, inbound);
    let whole = |patch: &&ReadPatch| match patch.patch.apply_to {
        PatchedObject::Cluster | PatchedObject::Listener => adds(&patch.patch.operation),
        _ => false,
    };
    let once = |patch: &&ReadPatch| patch.patch.context == context || context != PatchContext::SidecarInbound;
    let patches = scope.patches(subject, context).into_iter().filter(whole).filter(once);
    patches.map(|it| Recipe::Added(PatchKey { subject, object: it.origin.clone(), path: it.patch.path.clone() })).collect()
}

/// What a patch adds.
pub(in crate::compile) fn added(scope: &Scope<'_>, key: &PatchKey) -> Option<Draft> {
    scope.reads(Input::Patches(key.subject, key.object.namespace.clone()));
    let patch = scope.mesh.patches.find(key.subject, &key.object, &key.path)?;
    scope.shaped_by(&key.object);
    match key.subject {
        Subject::Clusters => draft::<Cluster>(scope, patch, ResourceType::Cluster, |it| &it.name),
        Subject::Listeners => draft::<Listener>(scope, patch, ResourceType::Listener, |it| &it.name),
        Subject::Routes | Subject::Bootstrap => None,
    }
}

fn draft<M: Message + Name + Default>(
    scope: &Scope<'_>,
    patch: &ReadPatch,
    kind: ResourceType,
    name: impl Fn(&M) -> &String,
) -> Option<Draft> {
    let message: M = message(scope, patch)?;
    if name(&message).is_empty() {
        scope.leave_out(patch.fault_because("the value needs a name".to_owned()));
        return None;
    }
    Some(Draft::new(kind, name(&message), &message))
}
