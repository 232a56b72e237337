//! The JSON Patch that makes one pod of another.
//!
//! Lists of Kubernetes are told apart by the names of their items (containers, volumes, variables), so that an item in front of others
//! costs one operation rather than the rest of the list.

use json_patch::{AddOperation, PatchOperation, RemoveOperation, ReplaceOperation};
use jsonptr::{PointerBuf, Token};
use serde_json::{Map, Value};
use std::collections::HashSet;

/// The operations that turn `before` into `after`, whose values move into them; none if they are equal.
pub(super) fn between(before: &Value, after: Value) -> Vec<PatchOperation> {
    let mut walk = Walk { path: PointerBuf::new(), operations: Vec::new() };
    walk.value(before, after);
    walk.operations
}

struct Walk {
    path: PointerBuf,
    operations: Vec<PatchOperation>,
}

// === impl Walk ===

impl Walk {
    fn value(&mut self, before: &Value, after: Value) {
        match (before, after) {
            (Value::Object(before), Value::Object(after)) => self.object(before, after),
            (Value::Array(before), Value::Array(after)) => match Steps::between(before, &after) {
                Some(steps) => self.list(before, &steps, after),
                None if *before != after => self.replace(Value::Array(after)),
                None => {}
            },
            (before, after) => {
                if *before != after {
                    self.replace(after);
                }
            }
        }
    }

    fn object(&mut self, before: &Map<String, Value>, after: Map<String, Value>) {
        for key in before.keys().filter(|key| !after.contains_key(*key)) {
            self.at(key, Self::remove);
        }
        for (key, value) in after {
            self.at(&key, |walk| match before.get(&key) {
                Some(old) => walk.value(old, value),
                None => walk.add(value),
            });
        }
    }

    fn list(&mut self, before: &[Value], steps: &Steps, after: Vec<Value>) {
        for index in &steps.gone {
            self.at(*index, Self::remove);
        }
        for (index, (item, stayed)) in after.into_iter().zip(&steps.stayed).enumerate() {
            self.at(index, |walk| match stayed {
                Some(position) => walk.value(&before[*position], item),
                None => walk.add(item),
            });
        }
    }

    fn at<'a>(&mut self, token: impl Into<Token<'a>>, step: impl FnOnce(&mut Self)) {
        self.path.push_back(token);
        step(self);
        self.path.pop_back();
    }

    fn add(&mut self, value: Value) {
        self.operations.push(PatchOperation::Add(AddOperation { path: self.path.clone(), value }));
    }

    fn remove(&mut self) {
        self.operations.push(PatchOperation::Remove(RemoveOperation { path: self.path.clone() }));
    }

    fn replace(&mut self, value: Value) {
        self.operations.push(PatchOperation::Replace(ReplaceOperation { path: self.path.clone(), value }));
    }
}

/// How one list becomes another whose items are told apart by their names.
struct Steps {
    /// Where items go, from the back.
    gone: Vec<usize>,
    /// For each item afterwards, where it stood before; `None` for a new one.
    stayed: Vec<Option<usize>>,
}

// === impl Steps ===

impl Steps {
    /// `None` if an item has no name of its own, or those that stay change places: then removals from the back and insertions from the
    /// front would not do.
    fn between(before: &[Value], after: &[Value]) -> Option<Self> {
        let old = names(before)?;
        let new = names(after)?;
        let mut stayed = vec![None; after.len()];
        let mut gone: Vec<usize> = Vec::new();
        let mut last = None;
        for (index, name) in old.iter().enumerate() {
            match new.iter().position(|other| other == name) {
                Some(place) if last.is_none_or(|last| last < place) => {
                    stayed[place] = Some(index);
                    last = Some(place);
                }
                Some(_) => return None,
                None => gone.push(index),
            }
        }
        gone.reverse();
        Some(Self { gone, stayed })
    }
}

/// A list that is longer than this is looked at with a set.
const FEW: usize = 16;

/// The items' names, if each has one of its own.
fn names(list: &[Value]) -> Option<Vec<&str>> {
    let names: Vec<&str> = list.iter().map(|item| item.get("name")?.as_str()).collect::<Option<_>>()?;
    let distinct = if names.len() <= FEW {
        names.iter().enumerate().all(|(index, name)| !names[..index].contains(name))
    } else {
        names.iter().copied().collect::<HashSet<&str>>().len() == names.len()
    };
    distinct.then_some(names)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// The patch as JSON, once it has been seen to do what it should.
    fn patch(before: Value, after: Value) -> Value {
        let operations = between(&before, after.clone());
        let mut patched = before;
        json_patch::patch(&mut patched, &operations).unwrap();
        assert_eq!(patched, after);
        serde_json::to_value(operations).unwrap()
    }

    #[test]
    fn equal_pods_need_nothing() {
        assert_eq!(patch(json!({"a": [1]}), json!({"a": [1]})), json!([]));
    }

    #[test]
    fn an_item_in_front_is_one_operation() {
        let before = json!({"containers": [{"name": "app", "image": "x"}]});
        let after = json!({"containers": [{"name": "proxy"}, {"name": "app", "image": "x"}]});
        assert_eq!(patch(before, after), json!([{"op": "add", "path": "/containers/0", "value": {"name": "proxy"}}]));
    }

    #[test]
    fn a_field_of_an_item_is_changed_where_it_is() {
        let before = json!({"containers": [{"name": "gone"}, {"name": "app", "image": "x"}]});
        let after = json!({"containers": [{"name": "new"}, {"name": "app", "image": "y"}]});
        assert_eq!(
            patch(before, after),
            json!([
                {"op": "remove", "path": "/containers/0"},
                {"op": "add", "path": "/containers/0", "value": {"name": "new"}},
                {"op": "replace", "path": "/containers/1/image", "value": "y"},
            ])
        );
    }

    #[test]
    fn several_items_go_and_the_others_stay() {
        let named = |names: &[&str]| json!({"l": names.iter().map(|name| json!({"name": name})).collect::<Vec<_>>()});
        let operations = patch(named(&["a", "b", "c", "d"]), named(&["b", "x", "d"]));
        assert_eq!(operations.as_array().map(Vec::len), Some(3), "{operations}");
    }

    #[test]
    fn keys_with_slashes_and_tildes_are_escaped() {
        let operations = patch(json!({"m": {"x.io/old": "1"}}), json!({"m": {"x.io/new~": "2"}}));
        assert_eq!(operations[0], json!({"op": "remove", "path": "/m/x.io~1old"}));
        assert_eq!(operations[1], json!({"op": "add", "path": "/m/x.io~1new~0", "value": "2"}));
    }

    #[test]
    fn lists_that_cannot_be_told_apart_are_replaced() {
        for (before, after) in [
            (json!([1, 2]), json!([2])),
            (json!([{"name": "a"}, {"name": "b"}]), json!([{"name": "b"}, {"name": "a"}])),
            (json!([{"name": "a"}, {"name": "a"}]), json!([{"name": "a"}])),
        ] {
            let operations = patch(json!({"l": before}), json!({"l": after}));
            assert_eq!(operations, json!([{"op": "replace", "path": "/l", "value": after}]));
        }
    }
}
