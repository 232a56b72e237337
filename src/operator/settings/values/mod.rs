//! The paths of Istio 1.4's `--set` that mean something here, each with the field that says the same.
//!
//! A path that is unknown or has no effect is a problem: a script that sets it would otherwise believe that it was heard. What always
//! holds may be said, too; its opposite is refused with the reason.

mod held;
mod origin;
mod paths;
#[cfg(test)]
mod tests;
mod variables;

use ferromesh_crds::{catalog, check, install::Component};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

use self::paths::{Target, target};
#[cfg(test)]
pub(crate) use self::variables::variables_of;
use super::{
    ConfigSource, Part, Problem,
    layers::{nest, overlay},
    mesh_config,
};
use crate::config::kubernetes::is_label_text;
use crate::model::parse_duration;

/// What values come to.
#[derive(Debug, Default)]
pub(super) struct Translated {
    /// The same as a spec.
    pub(super) spec: Value,
    /// What all Deployments get that say nothing themselves, as fields of a component.
    pub(super) everywhere: Map<String, Value>,
    /// `resources` of the sidecar.
    pub(super) proxy_resources: Option<Value>,
    /// What else the sidecar gets: fields of its defaults, each with the path that says it.
    pub(super) sidecar: BTreeMap<&'static str, (String, Value)>,
    /// The name of the cluster's network.
    pub(super) network: Option<String>,
    /// The cluster's name.
    pub(super) cluster: Option<String>,
    /// What the nodes' part is told, by the path below `cni`.
    pub(super) cni: BTreeMap<String, Value>,
    /// Where pilot's configuration comes from.
    pub(super) config_source: ConfigSource,
    /// Where pilot is, if it is not here.
    pub(super) remote_pilot: Option<String>,
    /// Whether workloads take mutual TLS alone.
    pub(super) strict: bool,
    /// The mesh's namespace, by each name below `global` that 1.4 has for it.
    pub(super) namespaces: Vec<(&'static str, String)>,
    /// The fields of the spec that are said, each with the path that says it.
    origins: Vec<(String, String)>,
    /// What scaling by load is told, by the field of the part.
    scaling: BTreeMap<String, Scaling>,
    /// Variables of parts, by the field of the part: several paths may say some.
    variables: BTreeMap<String, Vec<Value>>,
}

/// 1.4's settings of one HorizontalPodAutoscaler.
#[derive(Debug, Default)]
struct Scaling {
    enabled: Option<bool>,
    /// Fields of `autoscaling`.
    fields: Map<String, Value>,
}

/// The most pods where a script says only that load decides; 1.4's own default.
const MOST_PODS: i64 = 5;

/// Translates `values`, and says what can't be.
pub(super) fn translate(values: &Map<String, Value>, problems: &mut Vec<Problem>) -> Translated {
    let mut translated = Translated { spec: Value::Object(Map::new()), ..Translated::default() };
    for (name, value) in values {
        translated.walk(name, value, problems);
    }
    translated.scale();
    translated.set_variables();
    translated
}

// === impl Translated ===

impl Translated {
    fn walk(&mut self, path: &str, value: &Value, problems: &mut Vec<Problem>) {
        match (target(path), value) {
            (_, Value::Null) => {}
            (Some(target), value) => self.place(path, target, value, problems),
            (None, Value::Object(fields)) => {
                for (name, value) in fields {
                    self.walk(&format!("{path}.{name}"), value, problems);
                }
            }
            (None, _) => problems.push(Problem::new(format!("spec.values.{path}"), "has no effect in this mesh: remove it")),
        }
    }

    fn place(&mut self, path: &str, target: Target, value: &Value, problems: &mut Vec<Problem>) {
        let wrong = |reason: String| Problem::new(format!("spec.values.{path}"), reason);
        let found = match target {
            Target::Field(field) => match field.strip_prefix("meshConfig.") {
                Some(field) => self.configure(field, value),
                None => self.add(field, path, value.clone()),
            },
            Target::Variables(part) => {
                for (end, reason) in variables::unread(&part, value) {
                    problems.push(Problem::new(format!("spec.values.{path}{end}"), reason));
                }
                self.add_variables(part, path, listed(value))
            }
            Target::Converted(field, convert) => self.add(field, path, convert(value)),
            Target::MeshConfig(fields) => self.configure_all(fields, value),
            Target::Everywhere(field) => return self.add_everywhere(field, path, value, problems),
            Target::Scaling(part, setting) => {
                self.origins.push((format!("{part}.autoscaling"), path.to_owned()));
                self.scaled(part, setting, value)
            }
            Target::Told(told) => self.told(told, path, value),
            Target::Holds(held, reason) => (!held.is(value)).then(|| reason.to_owned()).into_iter().collect(),
            Target::Instead(remedy) => vec![remedy],
        };
        problems.extend(found.into_iter().map(wrong));
    }

    fn configure(&mut self, field: &str, value: &Value) -> Vec<String> {
        let config = nest(field, value.clone());
        self.spec = overlay(&self.spec, &nest("meshConfig", config.clone()));
        mesh_config::problems(&config, "").into_iter().map(|problem| problem.reason).collect()
    }

    /// Says several fields at once, whose problems are the same. A list of nothing says nothing.
    fn configure_all(&mut self, fields: &[&str], value: &Value) -> Vec<String> {
        if value.as_array().is_some_and(Vec::is_empty) {
            return Vec::new();
        }
        let mut found = Vec::new();
        for field in fields {
            found = self.configure(field, value);
        }
        found
    }

    /// Adds to the variables of a part, if the schema takes them.
    fn add_variables(&mut self, part: String, path: &str, variables: Value) -> Vec<String> {
        let field = format!("{part}.env");
        let found = kinds_of_problem(&nest(&field, variables.clone()));
        if let (true, Value::Array(variables)) = (found.is_empty(), variables) {
            self.variables.entry(part).or_default().extend(variables);
            self.origins.push((field, path.to_owned()));
        }
        found
    }

    fn set_variables(&mut self) {
        for (part, variables) in std::mem::take(&mut self.variables) {
            self.spec = overlay(&self.spec, &nest(&format!("{part}.env"), Value::Array(variables)));
        }
    }

    /// Has certificates last as long as 1.4's citadel was told. Here proxies ask for a lifetime, and citadel grants what it may.
    fn certificates_last(&mut self, path: &str, value: &Value) -> Result<(), String> {
        let text = value.as_str().unwrap_or_default();
        let lifetime = parse_duration(text).filter(|lifetime| lifetime.as_secs() > 0);
        let seconds = lifetime.ok_or("must be a duration of at least a second, as in 24h")?.as_secs();
        let both = json!({"DEFAULT_WORKLOAD_CERT_TTL_SECONDS": seconds, "MAX_WORKLOAD_CERT_TTL_SECONDS": seconds});
        let variables = self.add_variables("components.citadel".to_owned(), path, listed(&both));
        let asked = self.configure("defaultConfig.proxyMetadata.SECRET_TTL", value);
        variables.into_iter().chain(asked).next().map_or(Ok(()), Err)
    }

    /// Says a field of the spec, if the schema takes the value.
    fn add(&mut self, field: String, path: &str, value: Value) -> Vec<String> {
        let spec = nest(&field, value);
        let found = kinds_of_problem(&spec);
        if found.is_empty() {
            self.spec = overlay(&self.spec, &spec);
            self.origins.push((field, path.to_owned()));
        }
        found
    }

    /// Says a field of every part. What is wrong with it is told here, and not once for each.
    fn add_everywhere(&mut self, field: &'static str, path: &str, value: &Value, problems: &mut Vec<Problem>) {
        let at = |below: &str| format!("spec.values.{path}{below}");
        let mut found: Vec<Problem> = kinds_of_problem(&nest(&format!("components.pilot.{field}"), value.clone()))
            .into_iter()
            .map(|reason| Problem::new(at(""), reason))
            .collect();
        let component: Component = serde_json::from_value(json!({field: value})).unwrap_or_default();
        let mut below = Vec::new();
        Part::read(&component, "", 1, &mut below);
        let ends = below.into_iter().map(|problem| Problem::new(at(problem.path.trim_start_matches(&format!(".{field}"))), problem.reason));
        found.extend(ends);
        let is_empty =
            value.as_str() == Some("") || value.as_object().is_some_and(Map::is_empty) || value.as_array().is_some_and(Vec::is_empty);
        if found.is_empty() && !is_empty {
            self.everywhere.insert(field.to_owned(), value.clone());
        }
        problems.extend(found);
    }

    fn scaled(&mut self, part: String, setting: &'static str, value: &Value) -> Vec<String> {
        let scaling = self.scaling.entry(part).or_default();
        if setting == "enabled" {
            scaling.enabled = value.as_bool();
            return scaling.enabled.is_none().then(|| "must be true or false".to_owned()).into_iter().collect();
        }
        // The other end must not be what is wrong.
        let least = json!({"maxReplicas": 1000, setting: value});
        let found = kinds_of_problem(&nest("components.pilot.autoscaling", least));
        if found.is_empty() {
            scaling.fields.insert(setting.to_owned(), value.clone());
        }
        found
    }

    /// Has load decide where a script says so: by the switch, or by a limit, which in 1.4 needed no switch.
    fn scale(&mut self) {
        for (part, Scaling { enabled, mut fields }) in std::mem::take(&mut self.scaling) {
            if enabled.unwrap_or(!fields.is_empty()) {
                let least = fields.get("minReplicas").and_then(Value::as_i64).unwrap_or(1);
                fields.entry("maxReplicas").or_insert_with(|| json!(least.max(MOST_PODS)));
                self.spec = overlay(&self.spec, &nest(&format!("{part}.autoscaling"), Value::Object(fields)));
            }
        }
    }

    fn told(&mut self, told: paths::Told, path: &str, value: &Value) -> Vec<String> {
        let flag = || value.as_bool().ok_or_else(|| "must be true or false".to_owned());
        let name = || value.as_str().filter(|name| !name.is_empty()).map(str::to_owned).ok_or_else(|| "must be a name".to_owned());
        let result = match told {
            paths::Told::ProxyResources => {
                let found = kinds_of_problem(&nest("components.pilot.resources", value.clone()));
                self.proxy_resources = Some(value.clone()).filter(|_| found.is_empty());
                found.into_iter().next().map_or(Ok(()), Err)
            }
            paths::Told::Sidecar(field) => {
                self.sidecar.insert(field, (path.to_owned(), value.clone()));
                Ok(())
            }
            paths::Told::Cni(path) => {
                self.cni.insert(path, value.clone());
                Ok(())
            }
            paths::Told::Network => match value.as_str() {
                Some(name) if name.is_empty() || is_label_text(name) => {
                    self.network = Some(name.to_owned());
                    Ok(())
                }
                _ => Err("must be a name, as a label's value can be one".to_owned()),
            },
            paths::Told::Cluster => name().map(|name| self.cluster = Some(name)),
            paths::Told::RemotePilot if value.as_str() == Some("") => Ok(()),
            paths::Told::RemotePilot => name().map(|name| self.remote_pilot = Some(name)),
            paths::Told::CertificateLifetime => self.certificates_last(path, value),
            paths::Told::Namespace(field) => name().map(|name| self.namespaces.push((field, name))),
            paths::Told::Strict => flag().map(|strict| self.strict = strict),
            paths::Told::ConfigSource => {
                flag().map(|galley| self.config_source = if galley { ConfigSource::Galley } else { ConfigSource::Kubernetes })
            }
        };
        result.err().into_iter().collect()
    }
}

/// `{A: 1}` → `[{name: A, value: "1"}]`.
fn listed(variables: &Value) -> Value {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    match variables.as_object() {
        Some(variables) => variables.iter().map(|(name, value)| json!({"name": name, "value": text(value)})).collect(),
        None => variables.clone(),
    }
}

/// What the MeshInstall's schema says against a spec.
fn kinds_of_problem(spec: &Value) -> Vec<String> {
    let kind = catalog::find("install.ferromesh.dev", "MeshInstall").expect("the catalog has it");
    check::problems(kind.schema(), &json!({"spec": spec})).into_iter().map(|problem| problem.kind.to_string()).collect()
}
