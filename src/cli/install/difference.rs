//! How two values differ, field by field.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// A field that is not the same in both.
#[derive(Clone, Debug, JsonSchema, PartialEq, Serialize)]
pub(in crate::cli) struct Difference {
    /// Where, for example `spec.ports[http].port`.
    pub(in crate::cli) path: String,
    /// What the first has; absent if it has nothing there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::cli) from: Option<Value>,
    /// What the second has; absent if it has nothing there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::cli) to: Option<Value>,
}

/// Fields by which items of a list are told apart, if all items of both lists have one, each another.
const KEYS: [&str; 6] = ["name", "mountPath", "port", "containerPort", "topologyKey", "uid"];
/// How much of a value a person is shown.
const SHOWN: usize = 60;

/// The fields in which two values differ. What is null or empty is the same as what is not there.
pub(in crate::cli) fn differences(from: &Value, to: &Value) -> Vec<Difference> {
    let mut found = Vec::new();
    compare("", Some(from), Some(to), &mut found);
    found
}

fn compare(path: &str, from: Option<&Value>, to: Option<&Value>, found: &mut Vec<Difference>) {
    match (from, to) {
        (Some(Value::Object(from)), Some(Value::Object(to))) => {
            let names: BTreeSet<&String> = from.keys().chain(to.keys()).collect();
            for name in names {
                compare(&below(path, name), something(from.get(name)), something(to.get(name)), found);
            }
        }
        (Some(Value::Array(from)), Some(Value::Array(to))) => match key_of(from, to) {
            Some(key) => {
                let names: BTreeSet<String> = from.iter().chain(to).map(|item| plain(&item[key])).collect();
                let named = |list: &'_ [Value], name: &str| list.iter().position(|item| plain(&item[key]) == name);
                for name in names {
                    let (from, to) = (named(from, &name).map(|at| &from[at]), named(to, &name).map(|at| &to[at]));
                    compare(&format!("{path}[{name}]"), from, to, found);
                }
            }
            None if from.len() == to.len() => {
                for (at, (from, to)) in from.iter().zip(to).enumerate() {
                    compare(&format!("{path}[{at}]"), Some(from), Some(to), found);
                }
            }
            None => found.push(Difference::new(path, Some(&Value::Array(from.clone())), Some(&Value::Array(to.clone())))),
        },
        (from, to) if from == to => {}
        (from, to) => found.push(Difference::new(path, from, to)),
    }
}

/// A path's next field; a name that has dots itself is put in brackets.
fn below(path: &str, name: &str) -> String {
    match (path, name.contains('.')) {
        (_, true) => format!("{path}[{name}]"),
        ("", false) => name.to_owned(),
        (_, false) => format!("{path}.{name}"),
    }
}

fn something(value: Option<&Value>) -> Option<&Value> {
    value.filter(|value| match value {
        Value::Null => false,
        Value::Array(items) => !items.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
        _ => true,
    })
}

fn key_of(from: &[Value], to: &[Value]) -> Option<&'static str> {
    let tells_apart = |list: &[Value], key: &str| {
        let names: BTreeSet<String> = list.iter().filter_map(|item| something(item.get(key))).map(plain).collect();
        names.len() == list.len()
    };
    KEYS.into_iter().find(|key| tells_apart(from, key) && tells_apart(to, key))
}

/// A text without quotes, anything else as JSON.
fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

// === impl Difference ===

impl Difference {
    fn new(path: &str, from: Option<&Value>, to: Option<&Value>) -> Self {
        Self { path: path.to_owned(), from: from.cloned(), to: to.cloned() }
    }

    /// The two values for people, cut to what a line can hold.
    pub(in crate::cli) fn shown(&self) -> [String; 2] {
        [&self.from, &self.to].map(|value| value.as_ref().map(clipped).unwrap_or_default())
    }
}

fn clipped(value: &Value) -> String {
    let text = plain(value);
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(SHOWN) {
        Some((at, _)) => format!("{}…", &line[..at]),
        None => line,
    }
}

/// A difference of objects without what the API server writes into each of them.
pub(super) fn without_traces(mut object: Value) -> Value {
    let Some(fields) = object.as_object_mut() else { return object };
    fields.remove("status");
    if let Some(metadata) = fields.get_mut("metadata").and_then(Value::as_object_mut) {
        for trace in ["creationTimestamp", "generation", "managedFields", "resourceVersion", "selfLink", "uid"] {
            Map::remove(metadata, trace);
        }
    }
    object
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn told(from: &Value, to: &Value) -> Vec<String> {
        let line = |one: &Difference| format!("{}: {}", one.path, one.shown().join(" → "));
        differences(from, to).iter().map(line).collect()
    }

    #[test]
    fn changes_losses_and_additions_are_named_by_field() {
        let (from, to) = (json!({"a": {"b": 1, "c": "x"}, "d": true}), json!({"a": {"b": 2}, "d": true, "e.f/g": "y"}));
        assert_eq!(told(&from, &to), ["a.b: 1 → 2", "a.c: x → ", "[e.f/g]:  → y"]);
    }

    #[test]
    fn items_are_compared_with_those_of_their_name_whatever_the_order() {
        let list = |items: Value| json!({"ports": items});
        let (a, b) = (json!({"name": "a", "port": 1}), json!({"name": "b", "port": 2}));
        assert_eq!(told(&list(json!([a, b])), &list(json!([b, a]))), Vec::<String>::new());
        assert_eq!(
            told(&list(json!([a, b])), &list(json!([{"name": "b", "port": 3}]))),
            [r#"ports[a]: {"name":"a","port":1} → "#, "ports[b].port: 2 → 3"]
        );
    }

    #[test]
    fn lists_of_values_are_compared_in_their_order_and_as_a_whole_if_they_are_of_two_lengths() {
        assert_eq!(told(&json!({"a": [1, 2]}), &json!({"a": [1, 3]})), ["a[1]: 2 → 3"]);
        assert_eq!(told(&json!({"a": [1, 2]}), &json!({"a": [1]})), ["a: [1,2] → [1]"]);
    }

    #[test]
    fn nothing_and_absence_are_the_same() {
        assert_eq!(told(&json!({"a": {}, "b": [], "c": null}), &json!({})), Vec::<String>::new());
    }

    #[test]
    fn long_values_are_cut() {
        let [from, _] = Difference::new("a", Some(&json!("x\n".repeat(100))), None).shown();
        assert_eq!(from.chars().count(), SHOWN + 1);
    }
}
