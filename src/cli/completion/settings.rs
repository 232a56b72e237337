//! What `--set` may go on with: the fields of a MeshInstall's spec, step by step, and the values of those that have a choice of them.

use serde_json::Value;

/// What the word may become. Only its last assignment is looked at, for commas separate several.
pub(super) fn settings(typed: &str, schema: &Value) -> Vec<String> {
    let (before, last) = typed.rsplit_once(',').map_or(("", typed), |(before, last)| (&typed[..=before.len()], last));
    let found = match last.split_once('=') {
        Some((path, _)) => below(path, schema).map(|schema| values(path, schema)).unwrap_or_default(),
        None => {
            let (path, begun) = last.rsplit_once('.').map_or(("", ""), |(path, _)| (path, &last[..=path.len()]));
            below(path, schema).map(|schema| fields(begun, schema)).unwrap_or_default()
        }
    };
    found.into_iter().map(|one| format!("{before}{one}")).collect()
}

/// The schema of a path; of a list's item that of them all.
fn below<'s>(path: &str, schema: &'s Value) -> Option<&'s Value> {
    path.split('.').filter(|step| !step.is_empty()).try_fold(schema, |schema, step| {
        let (name, item) = step.split_once('[').map_or((step, false), |(name, _)| (name, true));
        let field = schema["properties"].get(name).or_else(|| schema.get("additionalProperties"))?;
        if item { field.get("items") } else { Some(field) }
    })
}

/// The fields of an object: what they are followed by says what they are.
fn fields(begun: &str, schema: &Value) -> Vec<String> {
    let next = |(name, schema): (&String, &Value)| match (schema["type"].as_str(), values("", schema).as_slice()) {
        (Some("object"), _) => vec![format!("{begun}{name}.")],
        (Some("array"), _) => vec![format!("{begun}{name}[")],
        (_, []) => vec![format!("{begun}{name}=")],
        (_, values) => values.iter().map(|value| format!("{begun}{name}{value}")).collect(),
    };
    schema["properties"].as_object().into_iter().flatten().flat_map(next).collect()
}

/// The values that a field can have, each behind its path.
fn values(path: &str, schema: &Value) -> Vec<String> {
    if schema["type"] == "boolean" {
        return ["true", "false"].map(|value| format!("{path}={value}")).into();
    }
    schema["enum"].as_array().into_iter().flatten().filter_map(Value::as_str).map(|value| format!("{path}={value}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_path_is_completed_step_by_step_and_then_its_value() {
        let part = json!({"type": "object", "properties": {"enabled": {"type": "boolean"}, "replicas": {"type": "integer"}}});
        let schema = json!({"type": "object", "properties": {
            "hub": {"type": "string"}, "mode": {"type": "string", "enum": ["Apply", "Plan"]},
            "parts": {"type": "object", "properties": {"pilot": part, "list": {"type": "array", "items": part}}},
        }});
        let next = |typed: &str| settings(typed, &schema);
        assert_eq!(next(""), ["hub=", "mode=Apply", "mode=Plan", "parts."]);
        assert_eq!(next("parts.p"), ["parts.list[", "parts.pilot."]);
        assert_eq!(next("parts.pilot."), ["parts.pilot.enabled=true", "parts.pilot.enabled=false", "parts.pilot.replicas="]);
        assert_eq!(next("parts.list[a].r").last().unwrap(), "parts.list[a].replicas=");
        assert_eq!(next("hub=x,mode=P"), ["hub=x,mode=Apply", "hub=x,mode=Plan"]);
        assert_eq!(next("hub=x,par").last().unwrap(), "hub=x,parts.");
        assert_eq!(next("nosuch.f"), Vec::<String>::new());
    }
}
