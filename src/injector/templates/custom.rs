//! A template of the mesh's owner: YAML, parts of which may depend on the pod.

use k8s_openapi::api::core::v1::PodTemplateSpec;
use serde_json::{Map, Value, json};

use super::{TemplateError, text::Text};
use crate::injector::container::Context;

/// A template that is understood.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Custom {
    /// The same for all pods.
    Constant(Value),
    /// YAML once its parts are filled in.
    Text(Text),
}

// === impl Custom ===

impl Custom {
    /// Reads a template and tries it on an ordinary pod.
    pub(super) fn new(text: &str) -> Result<Self, TemplateError> {
        let text = Text::parse(text)?;
        let patch = part_of_a_pod(&text.filled(&ordinary()))?;
        Ok(if text.is_constant() { Self::Constant(patch) } else { Self::Text(text) })
    }

    /// The patch for a pod.
    pub(super) fn patch(&self, context: &Context<'_>) -> Result<Value, TemplateError> {
        match self {
            Self::Constant(patch) => Ok(patch.clone()),
            Self::Text(text) => part_of_a_pod(&text.filled(&data(context))),
        }
    }
}

/// Reads YAML whose fields, as far as they are known, must be a pod's.
fn part_of_a_pod(yaml: &str) -> Result<Value, TemplateError> {
    if yaml.trim().is_empty() {
        return Ok(Value::Object(Map::new()));
    }
    let parsed: Value = serde_saphyr::from_str(yaml).map_err(|error| TemplateError::Yaml(first_line(&error)))?;
    let fields = match parsed {
        Value::Object(fields) => fields,
        Value::Null => Map::new(),
        _ => return Err(TemplateError::NotAPod("it is no map".to_owned())),
    };
    if let Some(field) = fields.keys().find(|field| !["metadata", "spec", "apiVersion", "kind"].contains(&field.as_str())) {
        return Err(TemplateError::NotAPod(format!("a pod has no field {field}")));
    }
    let patch: Map<String, Value> = fields.into_iter().filter(|(field, _)| field == "metadata" || field == "spec").collect();
    let patch = Value::Object(patch);
    serde_json::from_value::<PodTemplateSpec>(patch.clone()).map_err(|error| TemplateError::NotAPod(first_line(&error)))?;
    Ok(patch)
}

/// The first line of a parser's message, which names the place; the rest is an excerpt of the text.
fn first_line(error: &impl std::fmt::Display) -> String {
    error.to_string().lines().next().unwrap_or_default().to_owned()
}

/// What a template may name, under the reference's names.
fn data(context: &Context<'_>) -> Value {
    let mut metadata = context.pod.metadata().clone();
    metadata["namespace"] = context.namespace.into();
    let values = json!(context.template.values);
    json!({
        "ObjectMeta": metadata,
        "Spec": context.pod.spec(),
        "DeploymentMeta": {"name": context.workload.name, "namespace": context.namespace},
        "ProxyConfig": context.options.proxy_config,
        "Revision": context.template.values.revision,
        // The reference's values have most of what ours have below `global`.
        "Values": {"global": values.clone(), "hub": values["hub"], "tag": values["tag"], "proxy": values["proxy"]},
    })
}

/// What an ordinary pod says, so that a template is seen to work before there is one.
fn ordinary() -> Value {
    let metadata = json!({"name": "web-1", "namespace": "default", "labels": {"app": "web"}, "annotations": {}});
    let container = json!({"name": "web", "image": "web:1", "ports": [{"containerPort": 8080, "name": "http"}]});
    let global =
        json!({"hub": "registry", "tag": "1", "revision": "default", "istioNamespace": "istio-system", "network": "", "proxy": {}});
    json!({
        "ObjectMeta": metadata,
        "Spec": {"containers": [container], "serviceAccountName": "default"},
        "DeploymentMeta": {"name": "web", "namespace": "default"},
        "ProxyConfig": {"discoveryAddress": "istio-pilot.istio-system.svc:15012", "concurrency": 2, "statusPort": 15020},
        "Revision": "default",
        "Values": {"global": global, "hub": "registry", "tag": "1", "proxy": {}},
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn yaml_without_parts_is_read_once() {
        let custom = Custom::new("spec:\n  containers:\n  - name: istio-proxy\n    env:\n    - {name: A, value: '1'}\n").unwrap();
        let expected = json!({"spec": {"containers": [{"name": "istio-proxy", "env": [{"name": "A", "value": "1"}]}]}});
        assert_eq!(custom, Custom::Constant(expected));
        assert_eq!(Custom::new("").unwrap(), Custom::Constant(json!({})));
    }

    #[test]
    fn what_no_pod_has_is_refused_before_there_is_a_pod() {
        for (text, named) in [
            ("containers: []", "not a part of a pod: a pod has no field containers"),
            ("spec: {containers: [{name: a, env: [{name: A, value: 5}]}]}", "not a part of a pod: "),
            ("- a", "not a part of a pod: it is no map"),
            ("spec: {", "not YAML: "),
            ("spec:\n  hostname: {{ .ObjectMeta.Name | upper }}\n", "line 2: "),
        ] {
            let error = Custom::new(text).unwrap_err().to_string();
            assert!(error.starts_with(named), "{text}: {error}");
        }
    }
}
