//! What old values say of all Deployments at once, for those that say nothing themselves.

use ferromesh_crds::install::Component;
use serde_json::{Map, Value, json};

/// Parts to which 1.4's charts give no resources of their own, but those that hold for all.
const SMALL: [&str; 3] = ["citadel", "galley", "injector"];
/// Where pods run, as fields of a part.
const PLACE: [&str; 3] = ["nodeSelector", "priorityClassName", "tolerations"];

/// Gives `fields` to each part and gateway of a spec that lacks them. The nodes' part has a place and a priority of its own.
pub(super) fn fill(spec: &mut Value, fields: &Map<String, Value>) {
    let components = spec["components"].as_object_mut().into_iter().flatten();
    let components = components.filter(|(name, _)| *name != "cni").map(|(_, component)| component);
    components.for_each(|component| fill_one(component, fields));
    for direction in ["ingress", "egress"] {
        let gateways = spec.pointer_mut(&format!("/gateways/{direction}")).and_then(Value::as_array_mut);
        gateways.into_iter().flatten().for_each(|gateway| fill_one(gateway, fields));
    }
}

fn fill_one(part: &mut Value, fields: &Map<String, Value>) {
    if let Some(part) = part.as_object_mut() {
        for (name, value) in fields {
            part.entry(name.clone()).or_insert_with(|| value.clone());
        }
    }
}

/// The resources of the parts whose ones a profile has in the place of 1.4's for all: a spec to lay over the profile.
pub(super) fn small_parts(fields: &Map<String, Value>) -> Value {
    let Some(resources) = fields.get("resources") else { return json!({}) };
    let parts: Map<String, Value> = SMALL.iter().map(|name| ((*name).to_owned(), json!({"resources": resources}))).collect();
    json!({"components": parts})
}

/// Where add-ons run, of which a spec says nothing else: the fields are good, as has been seen when they were read. What they need is known.
pub(super) fn of_addons(fields: &Map<String, Value>) -> Component {
    let place = fields.iter().filter(|(name, _)| PLACE.contains(&name.as_str()));
    let place: Map<String, Value> = place.map(|(name, value)| (name.clone(), value.clone())).collect();
    serde_json::from_value(Value::Object(place)).unwrap_or_default()
}
