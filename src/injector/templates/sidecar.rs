//! Template `sidecar`: a proxy beside an application, to which the pod's traffic is redirected.

use serde_json::{Map, Value, json};

use super::{canonical_labels, default_container};
use crate::injector::container::Context;

/// The patch for a pod.
pub(super) fn patch(context: &Context<'_>) -> Value {
    let mut labels = canonical_labels(context);
    if context.pod.label("security.istio.io/tlsMode").is_none() {
        labels.insert("security.istio.io/tlsMode".to_owned(), "istio".into());
    }
    let mut annotations = Map::new();
    annotations.insert("istio.io/rev".to_owned(), context.template.values.revision.as_str().into());
    if let Some(first) = context.applications().next() {
        default_container(context, first, &mut annotations);
    }
    let proxy = context.sidecar();
    let mut volumes = context.volumes();
    volumes.extend(context.options.user_volumes.iter().cloned());
    let mut spec = Map::from_iter([("volumes".to_owned(), Value::Array(volumes))]);
    let mut inits: Vec<Value> = context.init().into_iter().collect();
    if context.native {
        inits.push(proxy);
    } else {
        spec.insert("containers".to_owned(), Value::Array(vec![proxy]));
    }
    if !inits.is_empty() {
        spec.insert("initContainers".to_owned(), Value::Array(inits));
    }
    let secrets = context.pull_secrets();
    if !secrets.is_empty() {
        spec.insert("imagePullSecrets".to_owned(), Value::Array(secrets));
    }
    json!({"metadata": {"labels": labels, "annotations": annotations}, "spec": spec})
}
