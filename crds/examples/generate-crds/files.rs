//! The files that are made from the types, as they should be.

use std::path::{Path, PathBuf};
use std::{fs, io};

use ferromesh_crds::catalog::{self, Kind};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde_json::{Value, json};

const ORIGIN: &str = "Made from crds/src by `cargo run -p ferromesh-crds --example generate-crds`: don't edit.";

/// A file, and what it should hold.
pub(crate) struct File {
    /// Where, from the workspace's root.
    pub(crate) path: PathBuf,
    /// What.
    pub(crate) content: String,
}

/// Every file, for every kind.
pub(crate) fn files() -> Vec<File> {
    catalog::kinds().iter().flat_map(|kind| [plain(kind), template(kind)]).collect()
}

/// The CRD as it can be given to kubectl.
fn plain(kind: &Kind) -> File {
    let content = format!("# {ORIGIN}\n{}", yaml(&kind.crd()));
    File { path: PathBuf::from("crds/generated").join(file_name(kind)), content }
}

/// The CRD as a template of the chart, which leaves it in place when the release goes.
fn template(kind: &Kind) -> File {
    let mut crd = kind.crd();
    crd.metadata.annotations.get_or_insert_default().insert("helm.sh/resource-policy".into(), "keep".into());
    let yaml = yaml(&crd);
    assert!(!yaml.contains("{{"), "{}: Helm would take braces in a description for its own", kind.name);
    let content = format!("{{{{- /* {ORIGIN} */}}}}\n{{{{- if .Values.crds.install }}}}\n{yaml}{{{{- end }}}}\n");
    File { path: PathBuf::from("charts/ferromesh/templates/crds").join(file_name(kind)), content }
}

fn file_name(kind: &Kind) -> String {
    format!("{}_{}.yaml", kind.group, kind.plural)
}

fn yaml(crd: &CustomResourceDefinition) -> String {
    let value = serde_json::to_value(crd).expect("a CRD is JSON");
    serde_saphyr::to_string(&sorted(value)).expect("JSON is YAML")
}

/// Sorts the fields of every object, so that the files depend on the types alone, and writes bounds such as
/// 65535.0, which Kubernetes' own type keeps as floating point, as people do.
fn sorted(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let mut fields: Vec<_> = fields.into_iter().map(|(name, value)| (name, sorted(value))).collect();
            fields.sort_by(|a, b| a.0.cmp(&b.0));
            fields.into_iter().fold(json!({}), |mut object, (name, value)| {
                object[name] = value;
                object
            })
        }
        Value::Array(items) => Value::Array(items.into_iter().map(sorted).collect()),
        Value::Number(number) => match number.as_f64() {
            Some(whole) if number.is_f64() && whole.fract() == 0.0 && whole.abs() < 1e15 => json!(whole as i64),
            _ => Value::Number(number),
        },
        other => other,
    }
}

// === impl File ===

impl File {
    /// What the file holds now, if it is there.
    pub(crate) fn current(&self) -> io::Result<Option<String>> {
        match fs::read_to_string(self.full_path()) {
            Ok(content) => Ok(Some(content)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Writes the file if it differs, and says whether it did.
    pub(crate) fn write(&self) -> io::Result<bool> {
        if self.current()?.as_deref() == Some(&self.content) {
            return Ok(false);
        }
        let path = self.full_path();
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(path, &self.content)?;
        Ok(true)
    }

    fn full_path(&self) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(&self.path)
    }
}
