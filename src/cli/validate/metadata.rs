//! `metadata`, which no schema of a kind describes: what the API server itself asks of it.

use ferromesh_crds::check::nearest;
use serde_json::{Map, Value};

use crate::config::kubernetes::{is_dns_label, is_dns_subdomain, is_label_key, is_label_text};
use crate::config::{Code, Problem};

/// The fields that there are.
const FIELDS: [&str; 15] = [
    "annotations",
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "finalizers",
    "generateName",
    "generation",
    "labels",
    "managedFields",
    "name",
    "namespace",
    "ownerReferences",
    "resourceVersion",
    "selfLink",
    "uid",
];
/// How much text the annotations of an object may be together.
const LARGEST_ANNOTATIONS: usize = 256 << 10;

/// What is wrong with the metadata of an object.
pub(super) fn problems(object: &Value) -> Vec<Problem> {
    let mut found = Found::default();
    match &object["metadata"] {
        Value::Object(metadata) => found.metadata(metadata),
        Value::Null => found.add("metadata.name", Code::Required, "required"),
        _ => found.add("metadata", Code::WrongType, "must be of type object"),
    }
    found.0
}

/// An object whose metadata is reduced to what is right in it, so that the rest of it can be read.
pub(super) fn reduced(mut object: Value) -> Value {
    let metadata = object["metadata"].take();
    let kept = ["name", "namespace", "generateName"].into_iter();
    let kept = kept.filter_map(|name| Some((name.to_owned(), metadata.get(name).filter(|value| value.is_string())?.clone())));
    object["metadata"] = Value::Object(kept.collect());
    object
}

#[derive(Default)]
struct Found(Vec<Problem>);

// === impl Found ===

impl Found {
    fn add(&mut self, path: impl Into<String>, code: Code, message: impl Into<String>) {
        self.0.push(Problem { path: path.into(), message: message.into(), code });
    }

    fn metadata(&mut self, metadata: &Map<String, Value>) {
        for name in metadata.keys().filter(|name| !FIELDS.contains(&name.as_str())) {
            let meant = nearest(name, FIELDS.into_iter()).map(|name| format!(", did you mean \"{name}\"?")).unwrap_or_default();
            self.add(format!("metadata.{name}"), Code::UnknownField, format!("unknown field \"{name}\"{meant}"));
        }
        self.names(metadata);
        if let Some(labels) = self.texts(metadata, "labels") {
            for (key, value) in &labels {
                self.label(key, value);
            }
        }
        if let Some(annotations) = self.texts(metadata, "annotations") {
            for key in annotations.keys().filter(|key| !is_label_key(key)) {
                self.add(format!("metadata.annotations[{key}]"), Code::BadName, format!("{key:?} is no name of an annotation"));
            }
            let size: usize = annotations.iter().map(|(key, value)| key.len() + value.len()).sum();
            if size > LARGEST_ANNOTATIONS {
                let message = format!("annotations are {size} bytes together, at most {LARGEST_ANNOTATIONS} are stored");
                self.add("metadata.annotations", Code::WrongSize, message);
            }
        }
    }

    fn names(&mut self, metadata: &Map<String, Value>) {
        let name = self.text(metadata, "name");
        let prefix = self.text(metadata, "generateName");
        match (name, prefix) {
            (None, None) if !metadata.contains_key("name") => self.add("metadata.name", Code::Required, "required"),
            (Some(""), None) => self.add("metadata.name", Code::Required, "required"),
            (Some(name), _) if !is_dns_subdomain(name) => {
                let rule = "use at most 253 lower-case letters, digits, \"-\" and \".\", with a letter or digit at each end";
                self.add("metadata.name", Code::BadName, format!("{name:?} is no name of an object: {rule}"));
            }
            _ => {}
        }
        if let Some(namespace) = self.text(metadata, "namespace").filter(|namespace| !namespace.is_empty() && !is_dns_label(namespace)) {
            let rule = "use at most 63 lower-case letters, digits and \"-\", with a letter or digit at each end";
            self.add("metadata.namespace", Code::BadName, format!("{namespace:?} is no name of a namespace: {rule}"));
        }
    }

    fn label(&mut self, key: &str, value: &str) {
        let path = format!("metadata.labels[{key}]");
        if !is_label_key(key) {
            self.add(path, Code::BadLabel, format!("{key:?} is no name of a label"));
        } else if !(value.is_empty() || is_label_text(value)) {
            let rule = "use at most 63 letters, digits, \"-\", \"_\" and \".\", with a letter or digit at each end";
            self.add(path, Code::BadLabel, format!("{value:?} is no value of a label: {rule}"));
        }
    }

    /// A field that must be a text.
    fn text<'m>(&mut self, metadata: &'m Map<String, Value>, name: &str) -> Option<&'m str> {
        match metadata.get(name)? {
            Value::String(text) => Some(text),
            Value::Null => None,
            other => {
                self.add(format!("metadata.{name}"), Code::WrongType, format!("must be of type string, not {}", kind_of(other)));
                None
            }
        }
    }

    /// A field that must be a map of texts.
    fn texts(&mut self, metadata: &Map<String, Value>, name: &str) -> Option<std::collections::BTreeMap<String, String>> {
        let fields = match metadata.get(name)? {
            Value::Object(fields) => fields,
            Value::Null => return None,
            other => {
                self.add(format!("metadata.{name}"), Code::WrongType, format!("must be of type object, not {}", kind_of(other)));
                return None;
            }
        };
        let mut texts = std::collections::BTreeMap::new();
        for (key, value) in fields {
            match value {
                Value::String(text) => {
                    texts.insert(key.clone(), text.clone());
                }
                Value::Null => {}
                other => {
                    let message = format!("must be of type string, not {}: write it in quotes", kind_of(other));
                    self.add(format!("metadata.{name}[{key}]"), Code::WrongType, message);
                }
            }
        }
        Some(texts)
    }
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn told(metadata: Value) -> String {
        problems(&json!({"metadata": metadata})).iter().map(|problem| format!("{problem}\n")).collect()
    }

    #[test]
    fn what_kubernetes_allows_is_allowed() {
        let labels = json!({"app": "reviews", "istio.io/rev": "1-2", "version": "", "App.Kubernetes.io/x_y": "A.b_c"});
        let annotations = json!({"note": "any text:\n\u{7}", "sidecar.istio.io/inject": "true"});
        assert_eq!(told(json!({"name": "a.b-c.1", "namespace": "shop", "labels": labels, "annotations": annotations})), "");
        assert_eq!(told(json!({"generateName": "reviews-", "uid": "x"})), "");
    }

    #[test]
    fn everything_wrong_is_told_at_once() {
        let labels = json!({"version": 1.5, "a/b/c": "x", "app": "-x"});
        let metadata = json!({"name": "Reviews_1", "namespace": "a.b", "lables": {}, "labels": labels, "annotations": ["x"]});
        insta::assert_snapshot!(told(metadata), @r#"
        metadata.lables: unknown field "lables", did you mean "labels"? (FM0104)
        metadata.name: "Reviews_1" is no name of an object: use at most 253 lower-case letters, digits, "-" and ".", with a letter or digit at each end (FM0111)
        metadata.namespace: "a.b" is no name of a namespace: use at most 63 lower-case letters, digits and "-", with a letter or digit at each end (FM0111)
        metadata.labels[version]: must be of type string, not number: write it in quotes (FM0102)
        metadata.labels[a/b/c]: "a/b/c" is no name of a label (FM0117)
        metadata.labels[app]: "-x" is no value of a label: use at most 63 letters, digits, "-", "_" and ".", with a letter or digit at each end (FM0117)
        metadata.annotations: must be of type object, not array (FM0102)
        "#);
    }

    #[test]
    fn an_object_needs_a_name() {
        assert_eq!(told(json!({})), "metadata.name: required (FM0103)\n");
        assert_eq!(told(json!({"name": ""})), "metadata.name: required (FM0103)\n");
        assert_eq!(told(Value::Null), "metadata.name: required (FM0103)\n");
    }
}
