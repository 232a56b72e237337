//! Which patches a pod gets: built-in ones, and those of the mesh's owner.

mod custom;
mod gateway;
mod grpc_agent;
mod sidecar;
mod text;

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use self::custom::Custom;
use super::{container::Context, workload::canonical};
use crate::model::InjectionValues;

/// Makes the patch for a pod.
type Patch = fn(&Context<'_>) -> Value;

/// The templates that are always there.
const BUILT_IN: [(&str, Patch); 3] = [("gateway", gateway::patch), ("grpc-agent", grpc_agent::patch), ("sidecar", sidecar::patch)];
/// What a pod gets if neither it nor the mesh's owner says anything.
const USUAL: &str = "sidecar";

/// What is wrong with a template, or with asking for it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// There is none of the name.
    #[error("requested template {name:?} not found; have {have}")]
    NotFound {
        /// The name.
        name: String,
        /// Those there are.
        have: String,
    },
    /// A template of the mesh's owner would hide one that is built in.
    #[error("template {0:?} is built in: give yours another name")]
    BuiltIn(String),
    /// A part between braces that is not understood.
    #[error("line {line}: {problem}")]
    Syntax {
        /// The line of the text, from 1.
        line: usize,
        /// What is wrong there.
        problem: String,
    },
    /// What it makes is no YAML.
    #[error("not YAML: {0}")]
    Yaml(String),
    /// What it makes is no part of a pod.
    #[error("not a part of a pod: {0}")]
    NotAPod(String),
    /// A template of the mesh's owner, with its name.
    #[error("template {name:?}: {error}")]
    Broken {
        /// The name.
        name: String,
        /// What is wrong with it.
        error: Box<TemplateError>,
    },
}

/// Whether the mesh itself has a template of that name.
pub fn is_built_in(name: &str) -> bool {
    BUILT_IN.iter().any(|(built_in, _)| *built_in == name)
}

/// Says whether a text can be a template of that name: whether it is understood, and makes a part of a pod of an ordinary one.
///
/// # Errors
/// What is wrong with it.
pub fn check(name: &str, text: &str) -> Result<(), TemplateError> {
    named(name, text).map(|_| ())
}

fn named(name: &str, text: &str) -> Result<Custom, TemplateError> {
    if is_built_in(name) {
        return Err(TemplateError::BuiltIn(name.to_owned()));
    }
    Custom::new(text).map_err(|error| TemplateError::Broken { name: name.to_owned(), error: Box::new(error) })
}

/// The templates of a mesh.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Templates {
    custom: BTreeMap<String, Result<Custom, TemplateError>>,
    aliases: BTreeMap<String, Vec<String>>,
    usual: Vec<String>,
}

/// One of them.
enum Known<'a> {
    BuiltIn(Patch),
    Custom(&'a Custom),
}

// === impl Templates ===

impl Templates {
    /// Takes what the mesh's owner says. A template that can't be understood is an error of the pods that ask for it.
    pub(super) fn new(values: &InjectionValues) -> Self {
        let usual = if values.default_templates.is_empty() { vec![USUAL.to_owned()] } else { values.default_templates.clone() };
        Self {
            custom: values.templates.iter().map(|(name, text)| (name.clone(), named(name, text))).collect(),
            aliases: values.template_aliases.clone(),
            usual,
        }
    }

    /// What is wrong with the templates, or with the choice of those that pods get by default; the first of it.
    ///
    /// # Errors
    /// The first problem.
    pub(super) fn check(&self) -> Result<(), TemplateError> {
        if let Some(error) = self.custom.values().find_map(|custom| custom.as_ref().err()) {
            return Err(error.clone());
        }
        let aliased = self.aliases.values().flatten();
        aliased.map(|name| self.known(name)).chain(self.names(None).map(|name| self.known(name))).try_for_each(|known| known.map(|_| ()))
    }

    /// The patches for a pod, which asks for templates by name or not, in the order in which they go over it.
    ///
    /// # Errors
    /// On a name that there is not, and on a template that makes no part of a pod.
    pub(super) fn patches(&self, asked: Option<&str>, context: &Context<'_>) -> Result<Vec<Value>, TemplateError> {
        let mut names: Vec<&str> = Vec::new();
        for name in self.names(asked) {
            // Named again, a template goes over what came in between.
            names.retain(|earlier| *earlier != name);
            names.push(name);
        }
        names.into_iter().map(|name| self.patch(name, context)).collect()
    }

    /// Names as they are asked for; an alias stands for its names, which are none themselves.
    fn names<'a>(&'a self, asked: Option<&'a str>) -> impl Iterator<Item = &'a str> + use<'a> {
        let own = asked.into_iter().flat_map(|list| list.split(',')).map(str::trim).filter(|name| !name.is_empty());
        let mut own = own.peekable();
        let usual: &[String] = if own.peek().is_some() { &[] } else { &self.usual };
        own.chain(usual.iter().map(String::as_str)).flat_map(move |name| match self.aliases.get(name) {
            Some(names) => names.iter().map(String::as_str).collect::<Vec<_>>(),
            None => vec![name],
        })
    }

    fn known(&self, name: &str) -> Result<Known<'_>, TemplateError> {
        if let Some((_, patch)) = BUILT_IN.iter().find(|(built_in, _)| *built_in == name) {
            return Ok(Known::BuiltIn(*patch));
        }
        match self.custom.get(name) {
            Some(Ok(custom)) => Ok(Known::Custom(custom)),
            Some(Err(error)) => Err(error.clone()),
            None => {
                let mut have: Vec<&str> = BUILT_IN.iter().map(|(name, _)| *name).chain(self.custom.keys().map(String::as_str)).collect();
                have.sort_unstable();
                Err(TemplateError::NotFound { name: name.to_owned(), have: have.join(", ") })
            }
        }
    }

    fn patch(&self, name: &str, context: &Context<'_>) -> Result<Value, TemplateError> {
        match self.known(name)? {
            Known::BuiltIn(patch) => Ok(patch(context)),
            Known::Custom(custom) => {
                custom.patch(context).map_err(|error| TemplateError::Broken { name: name.to_owned(), error: Box::new(error) })
            }
        }
    }
}

/// The labels by which telemetry knows a pod, and its network's, where the pod has none of its own.
fn canonical_labels(context: &Context<'_>) -> Map<String, Value> {
    let (name, revision) = canonical(&context.pod, &context.workload.name);
    let network = (!context.network.is_empty()).then(|| context.network.to_owned());
    let all = [
        ("service.istio.io/canonical-name", Some(name)),
        ("service.istio.io/canonical-revision", Some(revision)),
        (super::inject::NETWORK, network),
    ];
    let missing = all.into_iter().filter(|(label, _)| context.pod.label(label).is_none());
    missing.filter_map(|(label, value)| Some((label.to_owned(), value?.into()))).collect()
}

/// A patch for a pod, of parts that move into it: `json!` would copy all of them.
fn pod_patch(labels: Map<String, Value>, annotations: Map<String, Value>, spec: Map<String, Value>) -> Value {
    let object = |fields: [(&str, Map<String, Value>); 2]| fields.map(|(name, value)| (name.to_owned(), Value::Object(value)));
    let metadata = Map::from_iter(object([("labels", labels), ("annotations", annotations)]));
    Value::Object(Map::from_iter(object([("metadata", metadata), ("spec", spec)])))
}

/// Which container `kubectl exec` and `kubectl logs` mean when nobody says it: the application's rather than ours.
fn default_container(context: &Context<'_>, application: &Value, annotations: &mut Map<String, Value>) {
    let Some(name) = application["name"].as_str() else { return };
    for annotation in ["kubectl.kubernetes.io/default-container", "kubectl.kubernetes.io/default-logs-container"] {
        if context.pod.annotation(annotation).is_none() {
            annotations.insert(annotation.to_owned(), name.into());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn templates(values: &[(&str, &str)], aliases: &[(&str, &[&str])], usual: &[&str]) -> Templates {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        Templates::new(&InjectionValues {
            templates: values.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect(),
            template_aliases: aliases.iter().map(|(name, names)| ((*name).to_owned(), owned(names))).collect(),
            default_templates: owned(usual),
            ..InjectionValues::default()
        })
    }

    #[test]
    fn names_are_trimmed_and_aliases_stand_for_names_once() {
        let templates = templates(&[], &[("all", &["sidecar", "more"]), ("more", &["gateway"])], &["all"]);
        let names = |asked| templates.names(asked).collect::<Vec<_>>();
        assert_eq!(names(None), ["sidecar", "more"]);
        assert_eq!(names(Some(" , ")), ["sidecar", "more"]);
        assert_eq!(names(Some("gateway, all ")), ["gateway", "sidecar", "more"]);
    }

    #[test]
    fn what_is_not_there_is_named_with_what_is() {
        let error = |name: &str| templates(&[("own", "metadata: {}")], &[], &[]).known(name).map(|_| ()).unwrap_err().to_string();
        assert_eq!(error("nope"), "requested template \"nope\" not found; have gateway, grpc-agent, own, sidecar");
    }

    #[test]
    fn a_mesh_whose_templates_are_wrong_is_told_so() {
        assert_eq!(templates(&[("own", "metadata: {}")], &[("a", &["own", "sidecar"])], &["a"]).check(), Ok(()));
        for (wrong, named) in [
            (templates(&[("sidecar", "metadata: {}")], &[], &[]), "template \"sidecar\" is built in"),
            (templates(&[("own", "spec: {containers: 5}")], &[], &[]), "template \"own\": not a part of a pod"),
            (templates(&[], &[("a", &["b"])], &[]), "requested template \"b\" not found"),
            (templates(&[], &[], &["c"]), "requested template \"c\" not found"),
        ] {
            let error = wrong.check().unwrap_err().to_string();
            assert!(error.starts_with(named), "{error}");
        }
    }
}
