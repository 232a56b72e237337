//! Fields that the schema leaves open, because their form is one of Kubernetes' own.

use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use super::problem::Field;

/// Reads a field as what Kubernetes knows, if nothing of it gets lost thereby: a name that is misspelled would otherwise do nothing, and
/// say so to nobody. `explain` is the field of a pod that documents the form.
pub(super) fn read<T: DeserializeOwned + Serialize>(given: &Value, explain: &str, mut field: Field<'_>) -> Option<T> {
    let read: T = match serde_json::from_value(given.clone()) {
        Ok(read) => read,
        Err(error) => {
            field.wrong(format!("{error}: see kubectl explain {explain}"));
            return None;
        }
    };
    let lost = lost(given, &serde_json::to_value(&read).unwrap_or_default());
    for path in &lost {
        field.at(path).wrong(format!("is unknown, and would do nothing: see kubectl explain {explain}"));
    }
    lost.is_empty().then_some(read)
}

/// The paths of the fields of a value that another one lacks. A null says nothing.
fn lost(given: &Value, kept: &Value) -> Vec<String> {
    let below = |step: String, given: &Value, kept: &Value| {
        let inner = lost(given, kept).into_iter();
        inner.map(move |rest| if rest.starts_with('[') { format!("{step}{rest}") } else { format!("{step}.{rest}") })
    };
    match (given, kept) {
        (Value::Object(fields), _) => {
            let said = fields.iter().filter(|(_, value)| !value.is_null());
            said.flat_map(|(name, value)| match kept.get(name) {
                Some(kept) => below(name.clone(), value, kept).collect(),
                None => vec![name.clone()],
            })
            .collect()
        }
        (Value::Array(items), Value::Array(kept)) => {
            items.iter().zip(kept).enumerate().flat_map(|(index, (item, kept))| below(format!("[{index}]"), item, kept)).collect()
        }
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::core::v1::Affinity;
    use serde_json::json;

    #[test]
    fn nothing_gets_lost_unseen() {
        let read = |given: Value| {
            let mut problems = Vec::new();
            let read = read::<Affinity>(&given, "pod.spec.affinity", Field::new("affinity", &mut problems));
            assert_eq!(read.is_none(), !problems.is_empty());
            problems.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        let term = |field: &str| json!({"matchExpressions": [{"key": "zone", "operator": "In", field: ["a"]}]});
        let nodes =
            |term: Value| json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}});
        assert_eq!(read(nodes(term("values"))), Vec::<String>::new());
        assert_eq!(read(json!({"nodeAffinity": {}, "podAffinity": null})), Vec::<String>::new());
        assert_eq!(
            read(json!({"nodeAffinty": {}})),
            ["affinity.nodeAffinty: is unknown, and would do nothing: see kubectl explain pod.spec.affinity"]
        );
        let deep =
            "affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0].matchExpressions[0].value: is";
        assert!(read(nodes(term("value")))[0].starts_with(deep));
        assert!(read(json!({"nodeAffinity": 1}))[0].starts_with("affinity: invalid type: integer `1`"));
    }
}
