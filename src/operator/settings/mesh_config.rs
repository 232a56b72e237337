//! MeshConfig: which of its fields are honoured, and whether their values can be understood.

use serde_json::{Map, Value};
use std::net::SocketAddr;

use super::{Problem, RemotePilot, Revision, Role, layers::nest};
use crate::config::mesh_problems;
use crate::model::MeshConfig;

/// The port at which pilot serves proxies.
const XDS: u16 = 15012;

/// Everything that is wrong with a MeshConfig in JSON; `at` is its own path.
pub(super) fn problems(config: &Value, at: &str) -> Vec<Problem> {
    let known = serde_json::to_value(MeshConfig::default()).expect("a MeshConfig is JSON");
    let mut walk = Walk { at, found: Vec::new() };
    walk.object(&known, config, "");
    if walk.found.is_empty() {
        walk.values(config);
    }
    walk.found
}

/// The mesh's configuration, whose problems have been reported by field. Its root namespace is the mesh's own unless it says otherwise.
pub(super) fn read(given: &Map<String, Value>, namespace: &str) -> MeshConfig {
    let mut mesh: MeshConfig = serde_json::from_value(Value::Object(given.clone())).unwrap_or_default();
    if !given.contains_key("rootNamespace") {
        namespace.clone_into(&mut mesh.root_namespace);
    }
    mesh
}

/// Tells proxies where pilot is, unless the configuration does: in the mesh's namespace, by the name of its Service, or elsewhere.
pub(super) fn point_to_pilot(mesh: &mut MeshConfig, remote: Option<&RemotePilot>, revision: &Revision, namespace: &str) {
    mesh.default_config.discovery_address = match remote {
        Some(RemotePilot::At(address)) => SocketAddr::new(*address, XDS).to_string(),
        _ if !mesh.default_config.discovery_address.is_empty() => return,
        _ => address(revision, namespace),
    };
}

/// Where a control plane's pilot is found, unless somebody says otherwise.
pub(super) fn address(revision: &Revision, namespace: &str) -> String {
    format!("{}.{namespace}.svc:{XDS}", revision.part(Role::Pilot))
}

struct Walk<'a> {
    at: &'a str,
    found: Vec<Problem>,
}

// === impl Walk ===

impl Walk<'_> {
    /// Compares with the default of the same field, which has every field that there is.
    fn object(&mut self, known: &Value, given: &Value, path: &str) {
        let (Some(fields), Some(known)) = (given.as_object(), known.as_object()) else {
            return self.report(path, "must be an object");
        };
        for (name, value) in fields.iter().filter(|(_, value)| !value.is_null()) {
            let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            match known.get(name) {
                None if known.is_empty() => self.text(&path, value),
                None => self.report(&path, &format!("is unknown or has no effect (known: {})", names(known.keys()))),
                Some(inner) if inner.is_object() => self.object(inner, value, &path),
                Some(_) => self.leaf(&path, value),
            }
        }
    }

    fn text(&mut self, path: &str, value: &Value) {
        if !value.is_string() {
            self.report(path, "must be a string");
        }
    }

    fn leaf(&mut self, path: &str, value: &Value) {
        if let Err(error) = serde_json::from_value::<MeshConfig>(nest(path, value.clone())) {
            self.report(path, &error.to_string());
        }
    }

    /// Judges values as those do who will read them: pilot, citadel and the injector.
    fn values(&mut self, config: &Value) {
        match serde_json::from_value::<MeshConfig>(config.clone()) {
            Ok(mesh) => mesh_problems(&mesh).iter().for_each(|problem| self.report(&problem.path, &problem.message)),
            Err(error) => self.report("", &error.to_string()),
        }
    }

    fn report(&mut self, path: &str, reason: &str) {
        let path = [self.at, path].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(".");
        self.found.push(Problem::new(path, reason));
    }
}

fn names<'a>(names: impl Iterator<Item = &'a String>) -> String {
    names.map(String::as_str).collect::<Vec<_>>().join(", ")
}
