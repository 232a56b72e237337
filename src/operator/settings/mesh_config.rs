//! MeshConfig: which of its fields are honoured, and whether their values can be understood.

use serde_json::Value;

use super::{Problem, layers::nest};
use crate::model::MeshConfig;

/// Fields whose text is a duration.
const DURATIONS: [&str; 3] = ["connectTimeout", "defaultConfig.terminationDrainDuration", "defaultConfig.drainDuration"];

/// Everything that is wrong with a MeshConfig in JSON; `at` is its own path.
pub(super) fn problems(config: &Value, at: &str) -> Vec<Problem> {
    let known = serde_json::to_value(MeshConfig::default()).expect("a MeshConfig is JSON");
    let mut walk = Walk { at, found: Vec::new() };
    walk.object(&known, config, "");
    walk.found
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
            return self.report(path, &error.to_string());
        }
        let text = value.as_str().unwrap_or_default();
        if DURATIONS.contains(&path) && !is_duration(text) {
            self.report(path, &format!("{text:?} is no duration: write it as in 10s or 1m30s"));
        }
        let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || ".-_".contains(c);
        if path == "trustDomain" && (text.is_empty() || !text.chars().all(legal)) {
            self.report(path, &format!("{text:?} may hold lower-case letters, digits, '.', '-' and '_' only"));
        }
        if path == "rootNamespace" && !super::is_dns_label(text) {
            self.report(path, &format!("{text:?} is no name of a namespace"));
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

/// Whether a text is a duration as Go and Istio write it, like `1m30s`.
fn is_duration(text: &str) -> bool {
    let mut rest = text;
    while !rest.is_empty() {
        let number = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let unit = ["ms", "s", "m", "h"].into_iter().find(|unit| rest[number..].starts_with(unit));
        match unit {
            Some(unit) if rest[..number].parse::<f64>().is_ok() => rest = &rest[number + unit.len()..],
            _ => return false,
        }
    }
    !text.is_empty()
}
