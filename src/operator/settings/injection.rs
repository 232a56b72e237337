//! Who gets a sidecar, and what is in it where the pod says nothing.

use ferromesh_crds::install::{self, FailurePolicy};
use ipnet::IpNet;
use k8s_openapi::apimachinery::pkg::apis::meta::v1;
use serde_json::{Map, Value};
use std::{collections::BTreeMap, net::IpAddr};

use super::Problem;
use crate::config::kubernetes::{is_dns_label, resource_problems};
use crate::injector::{check_template, is_built_in};
use crate::model::{InjectionPolicy, LabelSelector, Operator, SidecarDefaults};

/// Who gets a sidecar.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in crate::operator) struct Injection {
    pub(in crate::operator) policy: InjectionPolicy,
    /// Whether namespaces that say nothing belong to the mesh.
    pub(in crate::operator) by_default: bool,
    /// Whether pods start without a sidecar while the injector is away.
    pub(in crate::operator) lenient: bool,
    pub(in crate::operator) never: Vec<LabelSelector>,
    pub(in crate::operator) always: Vec<LabelSelector>,
    pub(in crate::operator) templates: BTreeMap<String, String>,
    pub(in crate::operator) default_templates: Vec<String>,
    pub(in crate::operator) template_aliases: BTreeMap<String, Vec<String>>,
    pub(in crate::operator) allowed_images: Vec<String>,
}

/// Envoy's log levels.
const LEVELS: [&str; 7] = ["trace", "debug", "info", "warning", "error", "critical", "off"];

// === impl Injection ===

impl Injection {
    /// Reads `spec.injection`.
    pub(super) fn read(spec: &install::Injection, problems: &mut Vec<Problem>) -> Self {
        let read = Self {
            policy: match spec.policy.unwrap_or_default() {
                install::InjectionPolicy::Enabled => InjectionPolicy::Enabled,
                install::InjectionPolicy::Disabled => InjectionPolicy::Disabled,
            },
            by_default: spec.enable_namespaces_by_default.unwrap_or(false),
            lenient: spec.failure_policy.unwrap_or_default() == FailurePolicy::Ignore,
            never: selectors(&spec.never_inject_selector, "neverInjectSelector", problems),
            always: selectors(&spec.always_inject_selector, "alwaysInjectSelector", problems),
            templates: spec.templates.clone(),
            default_templates: spec.default_templates.clone(),
            template_aliases: spec.template_aliases.clone(),
            allowed_images: spec.allowed_images.clone(),
        };
        read.check_templates(problems);
        for (index, image) in read.allowed_images.iter().enumerate() {
            if image.trim_end_matches('*').is_empty() || image.chars().any(char::is_whitespace) {
                let path = format!("spec.injection.allowedImages[{index}]");
                problems.push(Problem::new(path, format!("{image:?} must be an image's name, or the beginning of one and *")));
            }
        }
        read
    }

    fn check_templates(&self, problems: &mut Vec<Problem>) {
        let mut wrong = |field: String, reason: String| problems.push(Problem::new(format!("spec.injection.{field}"), reason));
        for (name, text) in &self.templates {
            let field = format!("templates[{name}]");
            if !is_dns_label(name) {
                wrong(field.clone(), "a template's name must be lower-case letters, digits and -, 63 at most".to_owned());
            }
            if let Err(error) = check_template(name, text) {
                wrong(field, error.to_string());
            }
        }
        let known = |name: &String| is_built_in(name) || self.templates.contains_key(name);
        for (alias, names) in &self.template_aliases {
            // An alias of an alias would have to be followed for ever.
            for name in names.iter().filter(|name| !known(name)) {
                wrong(format!("templateAliases[{alias}]"), format!("there is no template {name:?}"));
            }
        }
        for name in self.default_templates.iter().filter(|name| !known(name) && !self.template_aliases.contains_key(*name)) {
            wrong("defaultTemplates".to_owned(), format!("there is no template {name:?}"));
        }
    }
}

/// Selectors, as the API server would take them.
fn selectors(given: &[v1::LabelSelector], field: &str, problems: &mut Vec<Problem>) -> Vec<LabelSelector> {
    let mut read = Vec::new();
    for (index, selector) in given.iter().enumerate() {
        let path = format!("spec.injection.{field}[{index}]");
        let value = serde_json::to_value(selector).unwrap_or_default();
        match serde_json::from_value::<LabelSelector>(value) {
            Ok(selector) => {
                problems.extend(empty_sets(&selector, &path));
                read.push(selector);
            }
            Err(error) => problems.push(Problem::new(path, error.to_string())),
        }
    }
    read
}

/// Requirements whose values do not go with their operator: each would choose everything or nothing.
fn empty_sets(selector: &LabelSelector, path: &str) -> Vec<Problem> {
    let wrong = |(index, requirement): (usize, &crate::model::Requirement)| {
        let needs = matches!(requirement.operator, Operator::In | Operator::NotIn);
        let reason = match (needs, requirement.values.is_empty()) {
            (true, true) => "is needed for In and NotIn",
            (false, false) => "can't be set for Exists and DoesNotExist",
            _ => return None,
        };
        Some(Problem::new(format!("{path}.matchExpressions[{index}].values"), reason))
    };
    selector.match_expressions.iter().enumerate().filter_map(wrong).collect()
}

/// What sidecars get whose pods say nothing, from the old values that say it: fields, each by its name and with its path, and the
/// resources.
pub(super) fn sidecar(
    fields: &BTreeMap<&'static str, (String, Value)>,
    resources: Option<&Value>,
    problems: &mut Vec<Problem>,
) -> SidecarDefaults {
    let mut good = Map::new();
    for (field, (path, value)) in fields {
        match understood(field, value) {
            Ok(value) => _ = good.insert((*field).to_owned(), value),
            Err(reason) => problems.push(Problem::new(format!("spec.values.{path}"), reason)),
        }
    }
    if let Some(resources) = resources {
        let at = |field: &str| format!("spec.values.global.proxy.resources.{field}");
        problems.extend(resource_problems(resources).into_iter().map(|(field, reason)| Problem::new(at(&field), reason)));
        good.insert("resources".to_owned(), resources.clone());
    }
    serde_json::from_value(Value::Object(good)).unwrap_or_default()
}

/// The value of one field, if the injector would understand it.
fn understood(field: &'static str, value: &Value) -> Result<Value, String> {
    // Helm's scripts write ports as numbers.
    let value = match value {
        Value::Number(number) if is_list(field) => Value::String(number.to_string()),
        other => other.clone(),
    };
    let one = Value::Object(Map::from_iter([(field.to_owned(), value.clone())]));
    serde_json::from_value::<SidecarDefaults>(one).map_err(|error| error.to_string())?;
    let text = value.as_str().unwrap_or_default();
    let list = || text.split(',').map(str::trim).filter(|item| !item.is_empty());
    match field {
        "includeOutboundRanges" if text == "*" => {}
        "includeInboundPorts" if text == "*" => {}
        "includeOutboundRanges" | "excludeOutboundRanges" => {
            let good = |item: &&str| item.parse::<IpNet>().is_ok() || item.parse::<IpAddr>().is_ok();
            if let Some(bad) = list().find(|item| !good(item)) {
                return Err(format!("{bad:?} is no range of addresses: write for example 10.0.0.0/8"));
            }
        }
        "includeInboundPorts" | "excludeInboundPorts" | "excludeOutboundPorts" => {
            if let Some(bad) = list().find(|item| item.parse::<u16>().is_err()) {
                return Err(format!("{bad:?} is no port"));
            }
        }
        "logLevel" if !LEVELS.contains(&text) => return Err(format!("{text:?} is not one of {}", LEVELS.join(", "))),
        "componentLogLevel" => {
            let good = |item: &&str| item.split_once(':').is_some_and(|(part, level)| !part.is_empty() && LEVELS.contains(&level));
            if let Some(bad) = list().find(|item| !good(item)) {
                return Err(format!("{bad:?} must be PART:LEVEL, a level being one of {}", LEVELS.join(", ")));
            }
        }
        "readinessPeriod" | "readinessFailures" if value == 0 => return Err("must be at least 1".to_owned()),
        _ => {}
    }
    Ok(value)
}

fn is_list(field: &str) -> bool {
    field.ends_with("Ports") || field.ends_with("Ranges")
}
