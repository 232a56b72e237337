//! Template `gateway`: the pod itself is a gateway. Its author names a container `istio-proxy` with image `auto`; nothing is redirected.

use serde_json::{Map, Value};

use super::{canonical_labels, default_container, pod_patch};
use crate::injector::container::Context;
use crate::model::InterceptionMode;

/// The control plane that a gateway belongs to, as a label: here by choice of its author.
const REVISION: &str = "istio.io/rev";

/// The patch for a pod.
pub(super) fn patch(context: &Context<'_>) -> Value {
    let mut labels = canonical_labels(context);
    if context.pod.label(REVISION).is_none() {
        labels.insert(REVISION.to_owned(), context.template.values.revision.as_str().into());
    }
    let mut annotations = Map::new();
    annotations.insert(REVISION.to_owned(), context.template.values.revision.as_str().into());
    let mut applications = context.applications();
    if let (Some(only), None) = (applications.next(), applications.next()) {
        default_container(context, only, &mut annotations);
    }
    let mut spec = Map::from_iter([
        ("containers".to_owned(), Value::Array(vec![context.proxy("router", InterceptionMode::None)])),
        ("volumes".to_owned(), Value::Array(context.volumes())),
    ]);
    let secrets = context.pull_secrets();
    if !secrets.is_empty() {
        spec.insert("imagePullSecrets".to_owned(), Value::Array(secrets));
    }
    pod_patch(labels, annotations, spec)
}
