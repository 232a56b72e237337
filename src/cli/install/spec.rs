//! The description of an installation: what files and `--set` say, laid over a base.

use clap::Args;
use ferromesh_crds::{MeshInstall, MeshInstallSpec, catalog, install::DEFAULT_NAMESPACE};
use kube::Resource;
use serde_json::{Value, json};
use std::{collections::BTreeMap, io::Read};

use super::{
    assignment::Assignment,
    istio::{self, Meaning},
};
use crate::cli::{
    exit::Failure,
    finding::Finding,
    input::{self, SourceText},
    manifest::{Manifest, each_of_text},
    report, validate,
};
use crate::model::of_revision;
use crate::operator::overlay;

/// The name of a MeshInstall of the default revision that nobody gave one.
const NAME: &str = "mesh";

/// What describes an installation.
#[derive(Args, Clone, Debug, Default)]
pub(super) struct SpecArgs {
    /// A field of the MeshInstall's spec: PATH=VALUE, several with commas between; Istio 1.4's charts' are values.PATH
    #[arg(short, long, value_name = "PATH=VALUE", help_heading = "Installation")]
    set: Vec<String>,
    /// A file with a MeshInstall, or with Istio's IstioControlPlane; - for standard input. Later ones count more, --set most
    #[arg(short, long, value_name = "FILE", visible_alias = "file", help_heading = "Installation")]
    filename: Vec<String>,
    /// Whether a document without a kind is one of values.
    #[arg(skip)]
    values: bool,
}

/// An installation as it is described.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Described {
    /// The MeshInstall's name, if a file gives one.
    pub(super) name: Option<String>,
    /// The spec, as far as it is given.
    pub(super) spec: Value,
    /// The files that describe it.
    texts: Vec<SourceText>,
    /// The paths that `--set` says.
    set: Vec<String>,
}

/// What files and `--set` say, by itself.
#[derive(Clone, Debug)]
pub(super) struct Said {
    name: Option<String>,
    /// The specs of the files, the later ones counting more.
    specs: Vec<Value>,
    assignments: Vec<Assignment>,
    /// What 1.4 says of parts' namespaces, all of which are the mesh's here.
    namespaces: Vec<Assignment>,
    texts: Vec<SourceText>,
}

/// The first steps of paths into Istio 1.4's charts, which stand under `values` here.
const CHARTS: [&str; 16] = [
    "certmanager",
    "cni",
    "galley",
    "gateways",
    "global",
    "grafana",
    "istio_cni",
    "istiocoredns",
    "kiali",
    "mixer",
    "nodeagent",
    "pilot",
    "prometheus",
    "security",
    "sidecarInjectorWebhook",
    "tracing",
];

// === impl SpecArgs ===

impl SpecArgs {
    /// One file, and nothing else.
    pub(super) fn of_file(name: &str) -> Self {
        Self { filename: vec![name.to_owned()], ..Self::default() }
    }

    /// The same, which may also be one of values for Istio's charts.
    pub(super) fn of_values(name: &str) -> Self {
        Self { values: true, ..Self::of_file(name) }
    }

    /// The same with a file that counts less than all others.
    pub(super) fn with_first(mut self, file: Option<&str>) -> Self {
        self.filename.splice(0..0, file.map(str::to_owned));
        self
    }

    /// What is said.
    ///
    /// # Errors
    /// When a file can't be read or describes no installation, or a `--set` can't be understood.
    pub(super) fn said(&self, stdin: &mut dyn Read) -> Result<Said, Failure> {
        let mut said = Said { name: None, specs: Vec::new(), assignments: Vec::new(), namespaces: Vec::new(), texts: Vec::new() };
        for text in input::texts(&self.filename, false, stdin) {
            let text = text?;
            each_of_text(&text, |at, manifest| {
                let spec = match manifest.kind {
                    None if self.values => json!({"values": manifest.node.to_value()}),
                    _ => spec_of(&manifest, at)?,
                };
                said.specs.push(spec);
                said.name = manifest.name().map(str::to_owned).filter(|_| is_ours(&manifest)).or(said.name.take());
                Ok(())
            })?;
            said.texts.push(text);
        }
        let schema = schema();
        for argument in &self.set {
            for assignment in Assignment::read(argument).map_err(Failure::usage)? {
                said.understand(assignment, schema)?;
            }
        }
        Ok(said)
    }

    /// What is said, laid over a spec.
    ///
    /// # Errors
    /// As [`SpecArgs::said`] and [`Said::over`].
    pub(super) fn over(&self, base: &Value, stdin: &mut dyn Read) -> Result<Described, Failure> {
        self.said(stdin)?.over(base)
    }
}

// === impl Said ===

impl Said {
    /// Whether that is nothing at all.
    pub(super) fn is_nothing(&self) -> bool {
        self.specs.is_empty() && self.assignments.is_empty()
    }

    /// Adds an assignment in the terms of a MeshInstall; of one in those of an IstioControlPlane there may be several, or none.
    fn understand(&mut self, assignment: Assignment, schema: &Value) -> Result<(), Failure> {
        let paths = match istio::meaning(&assignment.path) {
            Some(Meaning::Namespace) => {
                self.namespaces.push(assignment);
                return Ok(());
            }
            Some(Meaning::OffAt(_)) if assignment.is(&json!(true)) => return Ok(()),
            Some(Meaning::At(paths) | Meaning::OffAt(paths)) => paths,
            None if schema["properties"].get(assignment.root()).is_some() => vec![assignment.path.clone()],
            None if istio::knows(assignment.root()) => {
                return Err(Failure::usage(format_args!("--set {}: {NO_COUNTERPART}", assignment.path)));
            }
            None => return Err(unknown(&assignment, schema)),
        };
        for path in paths {
            self.assignments.push(assignment.moved(&path).map_err(Failure::usage)?);
        }
        Ok(())
    }

    /// The same laid over a spec.
    ///
    /// # Errors
    /// When a `--set` has no place there, or speaks of another namespace.
    pub(super) fn over(&self, base: &Value) -> Result<Described, Failure> {
        let mut spec = self.specs.iter().fold(base.clone(), |spec, layer| overlay(&spec, layer));
        let schema = schema();
        self.assignments.iter().try_for_each(|assignment| assignment.place(&mut spec, schema)).map_err(Failure::usage)?;
        let namespace = spec["namespace"].as_str().unwrap_or(DEFAULT_NAMESPACE);
        if let Some(other) = self.namespaces.iter().find(|said| !said.is(&json!(namespace))) {
            return Err(Failure::usage(format_args!("--set {}: {ONE_NAMESPACE}", other.path)));
        }
        let set = self.assignments.iter().map(|assignment| format!("spec.{}", assignment.path)).collect();
        Ok(Described { name: self.name.clone(), spec, texts: self.texts.clone(), set })
    }
}

fn kind() -> &'static catalog::Kind {
    catalog::find(&MeshInstall::group(&()), &MeshInstall::kind(&())).expect("the catalog has every kind of this crate")
}

/// The schema of a MeshInstall's spec.
pub(in crate::cli) fn schema() -> &'static Value {
    &kind().schema()["properties"]["spec"]
}

/// Whether a field of the spec has the value that the API server gives it where nobody gave it one.
pub(super) fn is_default(path: &str, value: &Value) -> bool {
    schema()["properties"][path].get("default") == Some(value)
}

const NO_COUNTERPART: &str = "has no counterpart: write what it is for as a field of a MeshInstall";
const ONE_NAMESPACE: &str =
    "all parts are in the mesh's namespace: take it away, and say defaultNamespace if that is another than istio-system";

/// That a spec has no such field. Paths into Istio 1.4's charts have a place under `values`.
fn unknown(assignment: &Assignment, schema: &Value) -> Failure {
    let root = assignment.root();
    let known: Vec<&str> = schema["properties"].as_object().into_iter().flat_map(|fields| fields.keys().map(String::as_str)).collect();
    let meant = match ferromesh_crds::check::nearest(root, known.iter().copied()) {
        Some(meant) => format!("did you mean {:?}?", assignment.path.replacen(root, &meant, 1)),
        None if CHARTS.contains(&root) => format!("did you mean \"values.{}\"?", assignment.path),
        None => format!("it has {}", known.join(", ")),
    };
    Failure::usage(format_args!("--set {}: a MeshInstall's spec has no field {root:?}, {meant}", assignment.path))
}

fn is_ours(manifest: &Manifest<'_>) -> bool {
    manifest.group() == MeshInstall::group(&()) && manifest.kind == Some(&*MeshInstall::kind(&()))
}

/// The spec of a document, in the terms of a MeshInstall.
fn spec_of(manifest: &Manifest<'_>, at: &str) -> Result<Value, Failure> {
    let spec = manifest.node.get("spec").map(|spec| spec.to_value()).unwrap_or_else(|| json!({}));
    match (manifest.group(), manifest.kind) {
        _ if is_ours(manifest) => Ok(spec),
        ("install.istio.io", Some(kind @ ("IstioControlPlane" | "IstioOperator"))) => of_istio(&spec, &format!("{at}: {kind}")),
        (_, kind) => {
            let kind = kind.unwrap_or("a document without a kind");
            Err(Failure::usage(format_args!("{at}: {kind} describes no installation: write a MeshInstall, or an IstioControlPlane")))
        }
    }
}

/// What Istio's description of an installation means here.
fn of_istio(spec: &Value, at: &str) -> Result<Value, Failure> {
    let (known, unknown) = istio::read(spec);
    let mut failures: Vec<Failure> =
        unknown.iter().map(|path| Failure::usage(format_args!("{at}: spec.{path} {NO_COUNTERPART}"))).collect();
    let (mut own, mut of_parts, mut switches) = (json!({}), json!({}), BTreeMap::new());
    let schema = schema();
    let place = |own: &mut Value, path: &str, value: Value| {
        Assignment::of(path, value)
            .and_then(|assignment| assignment.place(own, schema))
            .map_err(|told| Failure::usage(format_args!("{at}: {told}")))
    };
    let namespace = ["defaultNamespace", "namespace"].iter().find_map(|field| spec[field].as_str()).unwrap_or(DEFAULT_NAMESPACE);
    for (path, meaning, value) in known {
        match (meaning, value.as_bool()) {
            (Meaning::Namespace, _) if value != namespace => {
                failures.push(Failure::usage(format_args!("{at}: spec.{path}: {ONE_NAMESPACE}")));
            }
            (Meaning::Namespace, _) | (Meaning::OffAt(_), Some(true)) => {}
            // A part is there if its feature is on, and the part itself.
            (Meaning::At(paths) | Meaning::OffAt(paths), Some(on)) if path.ends_with(".enabled") => {
                paths.into_iter().for_each(|path| *switches.entry(path).or_insert(true) &= on);
            }
            (Meaning::At(paths) | Meaning::OffAt(paths), _) => {
                for path in paths {
                    let own = if path.starts_with("values.") { &mut of_parts } else { &mut own };
                    place(own, &path, value.clone())?;
                }
            }
        }
    }
    // What a part says of its chart counts more than what all say together.
    own = overlay(&own, &of_parts);
    switches.into_iter().try_for_each(|(path, on)| place(&mut own, &path, json!(on)))?;
    Failure::all(failures).map(|()| own)
}

// === impl Described ===

impl Described {
    /// The same with another spec.
    pub(super) fn with(self, spec: Value) -> Self {
        Self { spec, ..self }
    }

    /// The MeshInstall's name, also if nobody gives one.
    pub(super) fn name(&self) -> String {
        self.name.clone().unwrap_or_else(|| of_revision(NAME, self.spec["revision"].as_str().unwrap_or_default()))
    }

    /// The MeshInstall.
    pub(super) fn object(&self, name: &str) -> Value {
        json!({
            "apiVersion": MeshInstall::api_version(&()),
            "kind": MeshInstall::kind(&()),
            "metadata": {"name": name},
            "spec": self.spec,
        })
    }

    /// The spec, once it is one that can be installed.
    ///
    /// # Errors
    /// All that is wrong with it.
    pub(super) fn checked(&self) -> Result<MeshInstallSpec, Failure> {
        let problems = validate::errors_of(&self.object(&self.name()));
        Failure::all(problems.into_iter().map(|problem| Failure::usage(report::field(&self.placed(problem)))).collect())?;
        serde_json::from_value(self.spec.clone()).map_err(|error| Failure::usage(format_args!("spec: {error}")))
    }
}

impl Described {
    /// The same finding with its place, if a MeshInstall of a file says that field, and no `--set`. The last one counts.
    fn placed(&self, finding: Finding) -> Finding {
        let mut found = None;
        let item = finding.path.rfind(']').map_or(&*finding.path, |end| &finding.path[..=end]);
        if let Some(path) = self.set.iter().find(|path| path.starts_with(item) || finding.path.starts_with(*path)) {
            return Finding { hint: finding.hint.clone().or_else(|| counted(path)), ..finding };
        }
        for text in &self.texts {
            // What can't be read has been told before.
            let _ = each_of_text(text, |_, manifest| {
                if is_ours(&manifest) && manifest.node.locate(&finding.path).is_whole() {
                    found = Some(finding.clone().placed(&manifest, text));
                }
                Ok(())
            });
        }
        found.unwrap_or(finding)
    }
}

/// What to do about a path that counts the items of a list, whose items have names.
fn counted(path: &str) -> Option<String> {
    let is_counted = path.split('[').skip(1).any(|item| item.starts_with(|c: char| c.is_ascii_digit()));
    is_counted.then(|| "write an item's name in the brackets, as in gateways.ingress[istio-ingressgateway]".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_api_server_fills_in_is_known() {
        assert!(is_default("mode", &json!("Apply")) && is_default("profile", &json!("default")));
        assert!(!is_default("mode", &json!("Plan")) && !is_default("hub", &json!("x")));
    }
}
