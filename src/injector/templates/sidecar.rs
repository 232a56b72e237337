//! Template `sidecar`: a proxy beside an application, to which the pod's traffic is redirected.

use serde_json::{Map, Value};

use super::{canonical_labels, default_container, pod_patch};
use crate::injector::container::Context;

/// The patch for a pod.
pub(super) fn patch(context: &Context<'_>) -> Value {
    let mut patch = beside(context, context.sidecar(context.options.interception), context.volumes(), context.init());
    if context.pod.label("security.istio.io/tlsMode").is_none() {
        patch["metadata"]["labels"]["security.istio.io/tlsMode"] = "istio".into();
    }
    patch
}

/// A patch that puts a proxy of that form beside the application, with its volumes, and `init` before it.
pub(super) fn beside(context: &Context<'_>, proxy: Value, mut volumes: Vec<Value>, init: Option<Value>) -> Value {
    let labels = canonical_labels(context);
    let mut annotations = Map::new();
    annotations.insert("istio.io/rev".to_owned(), context.template.values.revision.as_str().into());
    if let Some(first) = context.applications().next() {
        default_container(context, first, &mut annotations);
    }
    volumes.extend(context.options.user_volumes.iter().cloned());
    let mut spec = Map::from_iter([("volumes".to_owned(), Value::Array(volumes))]);
    let mut inits: Vec<Value> = init.into_iter().collect();
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
    pod_patch(labels, annotations, spec)
}
