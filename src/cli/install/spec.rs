//! The description of an installation: what files and `--set` say, laid over a base.

use clap::Args;
use ferromesh_crds::{MeshInstall, MeshInstallSpec, catalog};
use kube::Resource;
use serde_json::{Value, json};
use std::io::Read;

use super::assignment::Assignment;
use crate::cli::{
    exit::Failure,
    manifest::{Manifest, each_of_files},
    validate,
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
}

/// An installation as it is described.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Described {
    /// The MeshInstall's name, if a file gives one.
    pub(super) name: Option<String>,
    /// The spec, as far as it is given.
    pub(super) spec: Value,
}

/// What files and `--set` say, by itself.
#[derive(Clone, Debug)]
pub(super) struct Said {
    name: Option<String>,
    /// The specs of the files, the later ones counting more.
    specs: Vec<Value>,
    assignments: Vec<Assignment>,
}

/// Istio's fields that have a counterpart here, and its name.
const FIELDS_OF_ISTIO: [(&str, &str); 8] = [
    ("profile", "profile"),
    ("hub", "hub"),
    ("tag", "tag"),
    ("defaultNamespace", "namespace"),
    ("namespace", "namespace"),
    ("revision", "revision"),
    ("meshConfig", "meshConfig"),
    ("values", "values"),
];

// === impl SpecArgs ===

impl SpecArgs {
    /// One file, and nothing else.
    pub(super) fn of_file(name: &str) -> Self {
        Self { set: Vec::new(), filename: vec![name.to_owned()] }
    }

    /// What is said.
    ///
    /// # Errors
    /// When a file can't be read or describes no installation, or a `--set` can't be understood.
    pub(super) fn said(&self, stdin: &mut dyn Read) -> Result<Said, Failure> {
        let mut said = Said { name: None, specs: Vec::new(), assignments: Vec::new() };
        each_of_files(&self.filename, stdin, |at, manifest| {
            said.specs.push(spec_of(&manifest, at)?);
            said.name = manifest.name().map(str::to_owned).filter(|_| is_ours(&manifest)).or(said.name.take());
            Ok(())
        })?;
        let schema = &kind().schema()["properties"]["spec"];
        for argument in &self.set {
            let assignments = Assignment::read(argument).map_err(Failure::usage)?;
            if let Some(wrong) = assignments.iter().find(|assignment| schema["properties"].get(assignment.root()).is_none()) {
                return Err(unknown(wrong, schema));
            }
            said.assignments.extend(assignments);
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
    /// The same laid over a spec.
    ///
    /// # Errors
    /// When a `--set` has no place there.
    pub(super) fn over(&self, base: &Value) -> Result<Described, Failure> {
        let mut spec = self.specs.iter().fold(base.clone(), |spec, layer| overlay(&spec, layer));
        let schema = &kind().schema()["properties"]["spec"];
        self.assignments.iter().try_for_each(|assignment| assignment.place(&mut spec, schema)).map_err(Failure::usage)?;
        Ok(Described { name: self.name.clone(), spec })
    }
}

fn kind() -> &'static catalog::Kind {
    catalog::find(&MeshInstall::group(&()), &MeshInstall::kind(&())).expect("the catalog has every kind of this crate")
}

/// Whether a field of the spec has the value that the API server gives it where nobody gave it one.
pub(super) fn is_default(path: &str, value: &Value) -> bool {
    kind().schema()["properties"]["spec"]["properties"][path].get("default") == Some(value)
}

/// That a spec has no such field. Of Istio 1.4's own paths some have a place under `values`.
fn unknown(assignment: &Assignment, schema: &Value) -> Failure {
    let root = assignment.root();
    let known: Vec<&str> = schema["properties"].as_object().into_iter().flat_map(|fields| fields.keys().map(String::as_str)).collect();
    let meant = match ferromesh_crds::check::nearest(root, known.iter().copied()) {
        Some(meant) => format!("did you mean {:?}?", assignment.path.replacen(root, &meant, 1)),
        None if assignment.path.contains('.') => format!("did you mean \"values.{}\"?", assignment.path),
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
    let mut own = json!({});
    let mut failures = Vec::new();
    for (name, value) in spec.as_object().into_iter().flatten() {
        match FIELDS_OF_ISTIO.iter().find(|(theirs, _)| theirs == name) {
            Some((_, ours)) => own[ours] = value.clone(),
            None => {
                let told = format!("{at}: spec.{name} has no counterpart: write what it is for as a field of a MeshInstall");
                failures.push(Failure::usage(told));
            }
        }
    }
    Failure::all(failures).map(|()| own)
}

// === impl Described ===

impl Described {
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
        Failure::all(problems.into_iter().map(Failure::usage).collect())?;
        serde_json::from_value(self.spec.clone()).map_err(|error| Failure::usage(format_args!("spec: {error}")))
    }
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
