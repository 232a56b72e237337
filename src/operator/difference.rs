//! In which fields an object in the cluster is not what it should be. Pure: objects in, paths and values out.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// A field that is not the same in both.
#[derive(Clone, Debug, JsonSchema, PartialEq, Serialize)]
pub struct Difference {
    /// Where, for example `spec.containers[pilot].image`. Items of lists are named by their keys, or counted.
    pub path: String,
    /// What the first has; absent if it has nothing there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<Value>,
    /// What the second has; absent if it has nothing there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<Value>,
}

/// Lists whose items are told apart by a key, if each has one of its own. Others may add items to them, as to a map; every other list
/// belongs to one writer.
const KEYED: [(&str, &[&str]); 13] = [
    ("containers", &["name"]),
    ("initContainers", &["name"]),
    ("env", &["name"]),
    ("volumes", &["name"]),
    ("volumeMounts", &["mountPath"]),
    ("imagePullSecrets", &["name"]),
    ("ports", &["port", "containerPort", "protocol"]),
    ("topologySpreadConstraints", &["topologyKey", "whenUnsatisfiable"]),
    ("webhooks", &["name"]),
    ("matchConditions", &["name"]),
    ("ownerReferences", &["uid"]),
    // A MeshInstall's gateways.
    ("ingress", &["name"]),
    ("egress", &["name"]),
];

/// Fields that are one writer's as a whole: what others add to them counts. Nothing of it may be what the API server adds by itself, or it
/// would be a difference for ever; so they are named, each because none of its defaults lies under it or our plans say them all.
const WHOLE: [&str; 13] = [
    // What is selected: atomic in the API, without defaults. One more label in a Service's, and it leads nowhere.
    "selector",
    "labelSelector",
    "namespaceSelector",
    "objectSelector",
    "nodeSelector",
    // About what a webhook is asked. Others may add items to this one, which has keys; one that never holds turns the webhook off.
    "matchConditions",
    // Lists without keys, whose items have no defaults, but for `scope` in a webhook's rules and `expirationSeconds` of a token among a
    // volume's sources, which are planned.
    "rules",
    "subjects",
    "sources",
    "tolerations",
    "metrics",
    "preferredDuringSchedulingIgnoredDuringExecution",
    "requiredDuringSchedulingIgnoredDuringExecution",
];

/// Those of a webhook that say nothing where the plan leaves them out, and narrow it where somebody else fills them.
pub(super) const NARROWING: [&str; 3] = ["matchConditions", "namespaceSelector", "objectSelector"];

/// The fields in which `live` lacks what `wanted` says, or has more where that is the writer's as a whole; empty if it is as it should be.
///
/// Other fields that only `live` has don't count: they are the API server's defaults, or somebody else's.
pub fn missing(wanted: &Value, live: &Value) -> Vec<Difference> {
    Walk::over(live, wanted, false)
}

/// Every field in which two objects differ.
pub fn between(before: &Value, after: &Value) -> Vec<Difference> {
    Walk::over(before, after, true)
}

/// What applying `wanted` as `manager` changes in `live`, which still has its `metadata.managedFields`: what it lacks, and what goes
/// because this manager applied it before, wants it no longer, and nobody else set it.
pub fn applying(wanted: &Value, live: &Value, manager: &str) -> Vec<Difference> {
    let mut found = missing(wanted, live);
    let entries = live["metadata"]["managedFields"].as_array().map(Vec::as_slice).unwrap_or_default();
    let entries = entries.iter().filter(|entry| entry["subresource"].as_str().unwrap_or_default().is_empty());
    let (own, others): (Vec<_>, Vec<_>) = entries.partition(|entry| entry["manager"] == manager && entry["operation"] != "Update");
    let others: Vec<&Value> = others.into_iter().map(|entry| &entry["fieldsV1"]).collect();
    for entry in own {
        removed(&entry["fieldsV1"], Some(wanted), live, &others, "", &mut found);
    }
    let mut opened: Vec<Difference> = found.into_iter().flat_map(open).collect();
    opened.sort_by(|a, b| a.path.cmp(&b.path));
    // What is the writer's as a whole has been found from both sides.
    opened.dedup_by(|a, b| a.path == b.path);
    opened
}

struct Walk {
    /// Whether what only the first has counts.
    both: bool,
    path: String,
    found: Vec<Difference>,
}

// === impl Walk ===

impl Walk {
    fn over(before: &Value, after: &Value, both: bool) -> Vec<Difference> {
        let mut walk = Self { both, path: String::new(), found: Vec::new() };
        walk.value(before, after, "");
        walk.found
    }

    /// Compares what is in `field`.
    fn value(&mut self, before: &Value, after: &Value, field: &str) {
        let both = self.both;
        self.both |= WHOLE.contains(&field);
        self.contents(before, after, field);
        self.both = both;
    }

    fn contents(&mut self, before: &Value, after: &Value, field: &str) {
        match (before, after) {
            (Value::Object(present), Value::Object(wanted)) => self.object(present, wanted),
            (Value::Array(present), Value::Array(wanted)) => match KEYED.iter().find(|(name, _)| *name == field) {
                Some((_, keys)) if are_told_apart(present, keys) && are_told_apart(wanted, keys) => self.keyed(present, wanted, keys),
                _ if present.len() == wanted.len() => {
                    for (index, (present, wanted)) in present.iter().zip(wanted).enumerate() {
                        self.at(&format!("[{index}]"), |walk| walk.value(present, wanted, ""));
                    }
                }
                _ => self.differ(Some(before), Some(after)),
            },
            _ if before != after && !(is_nothing(before) && is_nothing(after)) => self.differ(Some(before), Some(after)),
            _ => {}
        }
    }

    fn object(&mut self, before: &Map<String, Value>, after: &Map<String, Value>) {
        let names: BTreeSet<&String> =
            after.keys().chain(before.keys().filter(|name| self.both || NARROWING.contains(&name.as_str()))).collect();
        for name in names {
            let step = step(&self.path, name);
            self.at(&step, |walk| match (before.get(name), after.get(name)) {
                (Some(present), Some(wanted)) => walk.value(present, wanted, name),
                (None, Some(alone)) | (Some(alone), None) if is_nothing(alone) => {}
                (present, wanted) => walk.differ(present, wanted),
            });
        }
    }

    fn keyed(&mut self, before: &[Value], after: &[Value], keys: &[&str]) {
        let both = self.both;
        for wanted in after {
            let present = before.iter().find(|present| same(present, wanted, keys));
            self.at(&label(wanted, keys), |walk| match present {
                Some(present) => walk.value(present, wanted, ""),
                None => walk.differ(None, Some(wanted)),
            });
        }
        for present in before.iter().filter(|present| both && !after.iter().any(|wanted| same(present, wanted, keys))) {
            self.at(&label(present, keys), |walk| walk.differ(Some(present), None));
        }
    }

    fn at(&mut self, step: &str, walk: impl FnOnce(&mut Self)) {
        let length = self.path.len();
        self.path.push_str(step);
        walk(self);
        self.path.truncate(length);
    }

    fn differ(&mut self, from: Option<&Value>, to: Option<&Value>) {
        self.found.push(Difference { path: self.path.clone(), from: from.cloned(), to: to.cloned() });
    }
}

/// Finds what goes with a manager's earlier word. `owned` and `others` are sets of fields as the API server shows them: `f:NAME` a field,
/// `k:KEYS` an item of a list, `v:VALUE` a member of a set.
fn removed(owned: &Value, wanted: Option<&Value>, live: &Value, others: &[&Value], path: &str, found: &mut Vec<Difference>) {
    for (entry, below) in owned.as_object().into_iter().flatten() {
        let Some((kind, name)) = entry.split_once(':') else { continue };
        let keys: Value = serde_json::from_str(name).unwrap_or_default();
        let find = |value: &Value| match kind {
            "f" => value.get(name).cloned(),
            "k" => value.as_array()?.iter().find(|item| has(item, &keys)).cloned(),
            _ => value.as_array()?.iter().find(|item| **item == keys).cloned(),
        };
        let Some(present) = find(live) else { continue };
        let step = match kind {
            "f" => step(path, name),
            _ => format!("[{}]", keys.as_object().and_then(|keys| keys.values().next()).map_or_else(|| plain(&keys), plain)),
        };
        let path = format!("{path}{step}");
        let shared: Vec<&Value> = others.iter().filter_map(|other| other.get(entry)).collect();
        match wanted.and_then(find) {
            // An item of a list goes as a whole; of a map, what this manager said in it.
            None if shared.is_empty() && (kind != "f" || is_leaf(below)) => found.push(Difference { path, from: Some(present), to: None }),
            wanted => removed(below, wanted.as_ref(), &present, &shared, &path, found),
        }
    }
}

/// Whether a set of fields ends here.
fn is_leaf(owned: &Value) -> bool {
    owned.as_object().is_none_or(|fields| fields.keys().all(|name| name == "."))
}

/// A text in a ConfigMap that holds a document differs in the document's fields.
fn open(difference: Difference) -> Vec<Difference> {
    let document = |text: &Option<Value>| {
        let text = text.as_ref()?.as_str()?;
        serde_saphyr::from_str::<Value>(text).ok().filter(Value::is_object)
    };
    let (true, Some(from), Some(to)) = (difference.path.starts_with("data"), document(&difference.from), document(&difference.to)) else {
        return vec![difference];
    };
    let at = |inner: Difference| Difference { path: format!("{}.{}", difference.path, inner.path), ..inner };
    between(&from, &to).into_iter().map(at).collect()
}

/// How a field's name goes on after a path.
fn step(path: &str, name: &str) -> String {
    match (path.is_empty(), name.contains(['.', '/'])) {
        (_, true) => format!("[{name}]"),
        (true, false) => name.to_owned(),
        (false, false) => format!(".{name}"),
    }
}

fn label(item: &Value, keys: &[&str]) -> String {
    let key = keys.iter().map(|key| &item[*key]).find(|key| !key.is_null());
    format!("[{}]", key.map(plain).unwrap_or_default())
}

/// A value as people would name it.
fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Whether every item has a key, and none that of another.
fn are_told_apart(items: &[Value], keys: &[&str]) -> bool {
    let has_key = |item: &Value| keys.iter().any(|key| !item[*key].is_null());
    items.iter().enumerate().all(|(at, item)| has_key(item) && !items[..at].iter().any(|earlier| same(earlier, item, keys)))
}

fn same(one: &Value, other: &Value, keys: &[&str]) -> bool {
    keys.iter().all(|key| one[*key] == other[*key])
}

fn has(item: &Value, keys: &Value) -> bool {
    keys.as_object().is_some_and(|keys| keys.iter().all(|(name, value)| item[name] == *value))
}

/// What the API server may leave out instead of storing it.
fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(fields) => fields.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn paths(found: &[Difference]) -> Vec<&str> {
        found.iter().map(|difference| difference.path.as_str()).collect()
    }

    #[test]
    fn what_others_add_is_no_difference() {
        let wanted = json!({"spec": {"replicas": 1, "containers": [{"name": "a", "image": "x"}]}});
        let live = json!({"status": {}, "spec": {"replicas": 1, "paused": false, "containers": [
            {"name": "b"}, {"name": "a", "image": "x", "terminationMessagePath": "/dev/termination-log"}]}});
        assert_eq!(missing(&wanted, &live), []);
        assert_eq!(paths(&between(&live, &wanted)), ["spec.containers[a].terminationMessagePath", "spec.containers[b]", "spec.paused"]);
    }

    #[test]
    fn changes_and_losses_are_named_with_both_values() {
        let found = missing(&json!({"a": {"b": 1, "c": 2}, "m": {"x/y": 1}}), &json!({"a": {"b": 2}, "m": {}}));
        let wanted = [("a.b", Some(json!(2)), json!(1)), ("a.c", None, json!(2)), ("m[x/y]", None, json!(1))];
        let wanted = wanted.map(|(path, from, to)| Difference { path: path.to_owned(), from, to: Some(to) });
        assert_eq!(found, wanted);
        let ports = |port: i32| json!({"ports": [{"port": 80, "protocol": "TCP", "targetPort": port}]});
        assert_eq!(paths(&missing(&ports(80), &ports(81))), ["ports[80].targetPort"]);
    }

    #[test]
    fn an_added_subject_is_a_difference() {
        let wanted = json!({"subjects": [{"name": "a"}]});
        assert_eq!(paths(&missing(&wanted, &json!({"subjects": [{"name": "a"}, {"name": "intruder"}]}))), ["subjects"]);
        assert_eq!(paths(&missing(&wanted, &json!({"subjects": [{"name": "b"}]}))), ["subjects[0].name"]);
    }

    #[test]
    fn an_addition_to_what_is_the_writers_as_a_whole_is_a_difference() {
        let cases = [
            (json!({"selector": {"app": "a"}}), json!({"selector": {"app": "a", "x": "y"}}), "selector.x"),
            (
                json!({"topologySpreadConstraints": [{"topologyKey": "zone", "labelSelector": {"matchLabels": {"app": "a"}}}]}),
                json!({"topologySpreadConstraints": [{"topologyKey": "zone", "labelSelector": {"matchLabels": {"app": "a", "x": "y"}}}]}),
                "topologySpreadConstraints[zone].labelSelector.matchLabels.x",
            ),
            (
                json!({"rules": [{"verbs": ["get"]}]}),
                json!({"rules": [{"verbs": ["get"], "resourceNames": ["a"]}]}),
                "rules[0].resourceNames",
            ),
            (
                json!({"webhooks": [{"name": "a", "matchConditions": [{"name": "b"}]}]}),
                json!({"webhooks": [{"name": "a", "matchConditions": [{"name": "b"}, {"name": "never"}]}]}),
                "webhooks[a].matchConditions[never]",
            ),
            (
                json!({"webhooks": [{"name": "a"}]}),
                json!({"webhooks": [{"name": "a", "objectSelector": {}, "namespaceSelector": {"matchLabels": {"x": "y"}}}]}),
                "webhooks[a].namespaceSelector",
            ),
        ];
        for (wanted, live, path) in cases {
            assert_eq!(paths(&missing(&wanted, &live)), [path]);
            assert_eq!(paths(&applying(&wanted, &live, "us")), [path]);
            assert_eq!(missing(&live, &live), []);
        }
        // Around it everything is as it was.
        let spread = |more: Value| {
            let mut item = json!({"topologyKey": "zone", "labelSelector": {}});
            item.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            json!({"topologySpreadConstraints": [item]})
        };
        assert_eq!(missing(&spread(json!({})), &spread(json!({"nodeTaintsPolicy": "Ignore"}))), []);
    }

    #[test]
    fn nothing_and_absence_are_the_same() {
        assert_eq!(missing(&json!({"a": {}, "b": [], "c": null}), &json!({})), []);
        assert_eq!(between(&json!({"a": {}, "b": [], "c": null}), &json!({"a": null})), []);
    }

    #[test]
    fn items_without_a_key_of_their_own_are_compared_in_their_order() {
        let twice = |second: &str| json!({"env": [{"name": "A", "value": "1"}, {"name": "A", "value": second}]});
        assert_eq!(paths(&missing(&twice("2"), &twice("3"))), ["env[1].value"]);
        let rules = |port: i32| json!({"ingress": [{"ports": [{"port": port}]}]});
        assert_eq!(paths(&between(&rules(1), &rules(2))), ["ingress[0].ports[2]", "ingress[0].ports[1]"]);
        let gateways = |names: [&str; 2]| json!({"ingress": names.map(|name| json!({"name": name, "enabled": name == "a"}))});
        assert_eq!(between(&gateways(["a", "b"]), &gateways(["b", "a"])), []);
    }

    #[test]
    fn applying_takes_away_what_only_this_manager_applied() {
        let fields = |names: &[&str]| -> Value { names.iter().map(|name| ((*name).to_owned(), json!({}))).collect::<Map<_, _>>().into() };
        let labels = |names: &[&str]| json!({"f:metadata": {"f:labels": fields(names)}});
        let mut ours = labels(&["f:old", "f:shared", "f:kept"]);
        ours["f:spec"] = json!({"f:env": {"k:{\"name\":\"GONE\"}": {".": {}, "f:name": {}, "f:value": {}}}});
        let live = json!({
            "metadata": {
                "labels": {"old": "1", "shared": "1", "kept": "1", "theirs": "1"},
                "managedFields": [
                    {"manager": "us", "operation": "Apply", "fieldsV1": ours},
                    {"manager": "them", "operation": "Update", "fieldsV1": labels(&["f:shared", "f:theirs"])},
                    {"manager": "us", "operation": "Update", "subresource": "status", "fieldsV1": labels(&["f:theirs"])},
                ],
            },
            "spec": {"env": [{"name": "GONE", "value": "x"}, {"name": "STAYS", "value": "y"}]},
        });
        let wanted = json!({"metadata": {"labels": {"kept": "2"}}});
        assert_eq!(paths(&applying(&wanted, &live, "us")), ["metadata.labels.kept", "metadata.labels.old", "spec.env[GONE]"]);
    }

    #[test]
    fn documents_in_texts_are_compared_by_their_fields() {
        let text = |text: &str| json!({"data": {"mesh": text, "note": "plain"}});
        let found = applying(&text("a: 1\nb: {c: 2}\n"), &text("a: 1\nb: {c: 3}\nd: 4\n"), "us");
        assert_eq!(paths(&found), ["data.mesh.b.c", "data.mesh.d"]);
        assert_eq!(paths(&applying(&text("word"), &text("a: 1"), "us")), ["data.mesh"]);
    }
}
