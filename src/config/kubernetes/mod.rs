//! What do Kubernetes' own objects mean to the mesh?
//!
//! Functions from an object as the API server sends it to model values, one file a kind. The API server has checked these objects, so
//! there is little to refuse: what the mesh has no use for (UDP ports, finished pods) is left out. The rules are the reference's
//! (`pkg/config/kube`, `pkg/serviceregistry/kube`).

mod locality;
mod name;
mod pod;
mod pod_view;
mod quantity;
mod secret;
mod service;
mod slice;

pub use locality::{locality, workload_locality};
pub use name::{is_dns_label, is_dns_subdomain, is_label_key, is_label_text};
pub use pod::{PodFacts, pod};
pub use pod_view::{PodSpecView, PodStatusView, PodView};
pub use quantity::{quantity, resource_problems};
pub use secret::{CredentialError, credential};
pub use service::{KubernetesService, service};
pub use slice::{Slice, SliceEndpoint, SliceError, SlicePort, slice};

use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

/// The object's namespace and name; empty where it has none, which no stored object lacks.
fn full_name(metadata: &ObjectMeta) -> (Arc<str>, Arc<str>) {
    (metadata.namespace.as_deref().unwrap_or_default().into(), metadata.name.as_deref().unwrap_or_default().into())
}
