//! What old values say of all Deployments at once, for those that say nothing themselves.

use serde_json::{Map, Value};

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
