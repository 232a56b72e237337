//! Where objects of the mesh's configuration are stored.

use ferromesh_crds::catalog::{self, Kind};
use k8s_openapi::{api::core::v1::ObjectReference, apimachinery::pkg::util::intstr::IntOrString};
use kube::core::ApiResource;

use crate::model::ObjectRef;

/// The resource of a kind; none if no version of it is served.
pub(super) fn resource(kind: &Kind) -> Option<ApiResource> {
    let version = *kind.versions.first()?;
    Some(ApiResource {
        group: kind.group.to_owned(),
        version: version.to_owned(),
        api_version: format!("{}/{version}", kind.group),
        kind: kind.name.to_owned(),
        plural: kind.plural.to_owned(),
    })
}

/// The resource under which an object is stored; none for a kind that is not the mesh's.
pub fn stored_as(object: &ObjectRef) -> Option<ApiResource> {
    catalog::kinds().iter().find(|kind| kind.name == object.kind).and_then(resource)
}

/// An object for who tells of it in events.
pub fn reference(object: &ObjectRef, uid: &str) -> ObjectReference {
    ObjectReference {
        api_version: stored_as(object).map(|resource| resource.api_version),
        kind: Some(object.kind.to_owned()),
        namespace: Some(object.namespace.to_string()).filter(|namespace| !namespace.is_empty()),
        name: Some(object.name.to_string()),
        uid: Some(uid.to_owned()),
        ..ObjectReference::default()
    }
}

/// A generation as it stands in a status: a number, or a text if it is too large for one.
pub fn generation(generation: i64) -> IntOrString {
    i32::try_from(generation).map_or_else(|_| IntOrString::String(generation.to_string()), IntOrString::Int)
}

/// A generation of a status as text.
pub fn generation_text(generation: &IntOrString) -> String {
    match generation {
        IntOrString::Int(number) => number.to_string(),
        IntOrString::String(text) => text.clone(),
    }
}
