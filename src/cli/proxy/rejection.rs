//! What a proxy refused, and the objects to blame.

use serde_json::{Value, json};

/// One resource that a proxy refuses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cli) struct Rejection {
    /// Its kind, as pilot's metrics have it: `cds`, `lds`, `eds`, `rds` or `vhds`.
    pub(in crate::cli) kind: String,
    /// Its name.
    pub(in crate::cli) name: String,
    /// What Envoy says.
    pub(in crate::cli) message: String,
    /// The objects that shaped it.
    pub(in crate::cli) sources: Vec<String>,
}

// === impl Rejection ===

impl Rejection {
    /// One of pilot's page.
    pub(super) fn of(value: &Value) -> Self {
        let text = |name: &str| value[name].as_str().unwrap_or_default().to_owned();
        let sources = value["sources"].as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect();
        Self { kind: text("type"), name: text("name"), message: text("message"), sources }
    }

    /// The kind among those that have a column: virtual hosts count as the routes that they are.
    pub(super) fn column(&self) -> &str {
        if self.kind == "vhds" { "rds" } else { &self.kind }
    }

    /// What the proxy keeps in its place, for people.
    pub(in crate::cli) fn kept(&self) -> &'static str {
        match self.column() {
            "cds" => "clusters",
            "lds" => "listeners",
            "eds" => "endpoints",
            "rds" => "routes",
            _ => "configuration",
        }
    }

    /// The object that most likely is to blame: one that a user writes, before the Services and pods that it is about.
    pub(in crate::cli) fn blamed(&self) -> Option<&str> {
        let plain = |source: &&String| source.starts_with("Service ") || source.starts_with("ServiceEntry ") || source.starts_with("Pod ");
        self.sources.iter().find(|source| !plain(source)).or(self.sources.first()).map(String::as_str)
    }

    /// For programs.
    pub(in crate::cli) fn to_value(&self) -> Value {
        json!({"type": self.kind, "name": self.name, "message": self.message, "sources": self.sources})
    }
}
