//! The paths of Istio 1.4's `--set` that mean something here, each with the field that says the same.
//!
//! A path that is unknown or has no effect is a problem: a script that sets it would otherwise believe that it was heard.

use ferromesh_crds::{catalog, check};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

use super::{
    ConfigSource, Problem,
    layers::{nest, overlay},
    mesh_config,
};
use crate::config::kubernetes::is_label_text;

/// What values come to.
#[derive(Debug, Default)]
pub(super) struct Translated {
    /// The same as a spec.
    pub(super) spec: Value,
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
}

/// Where a path of the values leads.
enum Target {
    /// To a field of the spec.
    Field(String),
    /// To one whose value has another form there.
    Converted(String, fn(&Value) -> Value),
    /// To the sidecar's resources.
    ProxyResources,
    /// To a field of the sidecar's defaults.
    Sidecar(&'static str),
    /// To the cluster's name.
    Cluster,
    /// To where pilot's configuration comes from.
    ConfigSource,
    /// To the nodes' part, below this path.
    Cni(String),
    /// To the network's name.
    Network,
    /// Nowhere: what to do in its place.
    Instead(&'static str),
}

/// 1.4's names of the control plane's parts.
const PARTS: [(&str, &str); 5] =
    [("pilot", "pilot"), ("security", "citadel"), ("galley", "galley"), ("sidecarInjectorWebhook", "injector"), ("cni", "cni")];

/// Translates `values`, and says what can't be.
pub(super) fn translate(values: &Map<String, Value>, problems: &mut Vec<Problem>) -> Translated {
    let mut translated = Translated { spec: Value::Object(Map::new()), ..Translated::default() };
    for (name, value) in values {
        translated.walk(name, value, problems);
    }
    translated
}

// === impl Translated ===

impl Translated {
    fn walk(&mut self, path: &str, value: &Value, problems: &mut Vec<Problem>) {
        match (target(path), value) {
            (_, Value::Null) => {}
            (Some(target), value) => self.place(path, &target, value, problems),
            (None, Value::Object(fields)) => {
                for (name, value) in fields {
                    self.walk(&format!("{path}.{name}"), value, problems);
                }
            }
            (None, _) => problems.push(Problem::new(format!("spec.values.{path}"), "has no effect in this mesh: remove it")),
        }
    }

    fn place(&mut self, path: &str, target: &Target, value: &Value, problems: &mut Vec<Problem>) {
        let wrong = |reason: String| Problem::new(format!("spec.values.{path}"), reason);
        match target {
            Target::Field(field) => match field.strip_prefix("meshConfig.") {
                Some(field) => {
                    let config = nest(field, value.clone());
                    problems.extend(mesh_config::problems(&config, "").into_iter().map(|problem| wrong(problem.reason)));
                    self.add(nest("meshConfig", config));
                }
                None => self.add_checked(nest(field, value.clone()), problems, wrong),
            },
            Target::Converted(field, convert) => self.add_checked(nest(field, convert(value)), problems, wrong),
            Target::ProxyResources => {
                let same = nest("components.pilot.resources", value.clone());
                match kinds_of_problem(&same).into_iter().next() {
                    Some(reason) => problems.push(wrong(reason)),
                    None => self.proxy_resources = Some(value.clone()),
                }
            }
            Target::Sidecar(field) => _ = self.sidecar.insert(*field, (path.to_owned(), value.clone())),
            Target::Cni(path) => _ = self.cni.insert(path.clone(), value.clone()),
            Target::Network => match value.as_str() {
                Some(name) if name.is_empty() || is_label_text(name) => self.network = Some(name.to_owned()),
                _ => problems.push(wrong("must be a name, as a label's value can be one".to_owned())),
            },
            Target::Instead(remedy) => problems.push(wrong((*remedy).to_owned())),
            Target::Cluster => match value.as_str().filter(|name| !name.is_empty()) {
                Some(name) => self.cluster = Some(name.to_owned()),
                None => problems.push(wrong("must be a name".to_owned())),
            },
            Target::ConfigSource => match value.as_bool() {
                Some(true) => self.config_source = ConfigSource::Galley,
                Some(false) => self.config_source = ConfigSource::Kubernetes,
                None => problems.push(wrong("must be true or false".to_owned())),
            },
        }
    }

    fn add_checked(&mut self, spec: Value, problems: &mut Vec<Problem>, wrong: impl Fn(String) -> Problem) {
        let found = kinds_of_problem(&spec);
        if found.is_empty() {
            self.add(spec);
        }
        problems.extend(found.into_iter().map(wrong));
    }

    fn add(&mut self, spec: Value) {
        self.spec = overlay(&self.spec, &spec);
    }
}

/// What the MeshInstall's schema says against a spec.
fn kinds_of_problem(spec: &Value) -> Vec<String> {
    let kind = catalog::find("install.ferromesh.dev", "MeshInstall").expect("the catalog has it");
    check::problems(kind.schema(), &json!({"spec": spec})).into_iter().map(|problem| problem.kind.to_string()).collect()
}

fn target(path: &str) -> Option<Target> {
    let field = |path: &str| Some(Target::Field(path.to_owned()));
    match path {
        "global.hub" => field("hub"),
        "global.tag" => field("tag"),
        "global.imagePullPolicy" => field("imagePullPolicy"),
        "global.imagePullSecrets" => Some(Target::Converted("imagePullSecrets".to_owned(), named)),
        "global.proxy.accessLogFile" => field("meshConfig.accessLogFile"),
        "global.proxy.accessLogFormat" => field("meshConfig.accessLogFormat"),
        "global.proxy.accessLogEncoding" => field("meshConfig.accessLogEncoding"),
        "global.proxy.concurrency" => field("meshConfig.defaultConfig.concurrency"),
        "global.trustDomain" => field("meshConfig.trustDomain"),
        "global.outboundTrafficPolicy.mode" => field("meshConfig.outboundTrafficPolicy.mode"),
        "global.mtls.auto" => field("meshConfig.enableAutoMtls"),
        "global.proxy.resources" => Some(Target::ProxyResources),
        "global.multiCluster.clusterName" => Some(Target::Cluster),
        "global.useMCP" => Some(Target::ConfigSource),
        "global.network" => Some(Target::Network),
        // 1.4's switch, and today's.
        "istio_cni.enabled" | "pilot.cni.enabled" => field("components.cni.enabled"),
        "cni.cniBinDir"
        | "cni.cniConfDir"
        | "cni.repair.enabled"
        | "cni.repair.labelPods"
        | "cni.repair.deletePods"
        | "cni.repair.repairPods" => path.strip_prefix("cni.").map(|path| Target::Cni(path.to_owned())),
        _ => injection(path).or_else(|| part(path)),
    }
}

/// Paths about who gets a sidecar, and what is in it.
fn injection(path: &str) -> Option<Target> {
    if let Some(setting) = path.strip_prefix("sidecarInjectorWebhook.") {
        return match setting {
            "enableNamespacesByDefault"
            | "neverInjectSelector"
            | "alwaysInjectSelector"
            | "templates"
            | "defaultTemplates"
            | "templateAliases" => Some(Target::Field(format!("injection.{setting}"))),
            "rewriteAppHTTPProbe" => Some(Target::Sidecar("rewriteProbes")),
            "injectedAnnotations" => {
                Some(Target::Instead("is not available: write a template under spec.injection.templates, and name it in defaultTemplates"))
            }
            _ => None,
        };
    }
    Some(match path.strip_prefix("global.proxy.")? {
        "autoInject" => Target::Converted("injection.policy".to_owned(), policy),
        "statusPort" => Target::Field("meshConfig.defaultConfig.statusPort".to_owned()),
        "holdApplicationUntilProxyStarts" => Target::Field("meshConfig.defaultConfig.holdApplicationUntilProxyStarts".to_owned()),
        "includeIPRanges" => Target::Sidecar("includeOutboundRanges"),
        "excludeIPRanges" => Target::Sidecar("excludeOutboundRanges"),
        "includeInboundPorts" => Target::Sidecar("includeInboundPorts"),
        "excludeInboundPorts" => Target::Sidecar("excludeInboundPorts"),
        "excludeOutboundPorts" => Target::Sidecar("excludeOutboundPorts"),
        "logLevel" => Target::Sidecar("logLevel"),
        "componentLogLevel" => Target::Sidecar("componentLogLevel"),
        "readinessInitialDelaySeconds" => Target::Sidecar("readinessInitialDelay"),
        "readinessPeriodSeconds" => Target::Sidecar("readinessPeriod"),
        "readinessFailureThreshold" => Target::Sidecar("readinessFailures"),
        _ => return None,
    })
}

/// `enabled` → `Enabled`.
fn policy(word: &Value) -> Value {
    match word.as_str() {
        Some("enabled") => json!("Enabled"),
        Some("disabled") => json!("Disabled"),
        _ => word.clone(),
    }
}

/// Paths below a part of the control plane or below a gateway.
fn part(path: &str) -> Option<Target> {
    if let Some((gateway, setting)) = path.strip_prefix("gateways.").and_then(|rest| rest.split_once('.')) {
        let list = match gateway {
            "istio-ingressgateway" => "ingress",
            "istio-egressgateway" => "egress",
            _ => return None,
        };
        let field = format!("gateways.{list}[{gateway}]");
        return match setting {
            "type" => Some(Target::Field(format!("{field}.service.type"))),
            "ports" => Some(Target::Field(format!("{field}.service.ports"))),
            _ => component(&field, setting),
        };
    }
    let (part, setting) = path.split_once('.')?;
    let (_, name) = PARTS.iter().find(|(old, _)| *old == part)?;
    component(&format!("components.{name}"), setting)
}

fn component(field: &str, setting: &str) -> Option<Target> {
    let same = |name: &str| Some(Target::Field(format!("{field}.{name}")));
    match setting {
        "replicaCount" => same("replicas"),
        "enabled" | "resources" | "nodeSelector" | "tolerations" | "podAnnotations" => same(setting),
        "env" => Some(Target::Converted(format!("{field}.env"), variables)),
        _ => None,
    }
}

/// `[a]` → `[{name: a}]`.
fn named(names: &Value) -> Value {
    match names.as_array() {
        Some(names) => names.iter().map(|name| if name.is_string() { json!({"name": name}) } else { name.clone() }).collect(),
        None => names.clone(),
    }
}

/// `{A: 1}` → `[{name: A, value: "1"}]`.
fn variables(variables: &Value) -> Value {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    match variables.as_object() {
        Some(variables) => variables.iter().map(|(name, value)| json!({"name": name, "value": text(value)})).collect(),
        None => variables.clone(),
    }
}
