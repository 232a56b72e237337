//! Everything that is wrong with one object, or doubtful, found offline.

use ferromesh_crds::{MeshInstallSpec, catalog::Kind, check};
use serde_json::Value;

use super::{cel::Rules, metadata};
use crate::analysis;
use crate::cli::{
    finding::{Finding, Severity},
    kinds::{is_mesh, known},
    manifest::Manifest,
    source::Content,
};
use crate::config::{Code, Invalid, ParseContext, Problem, check_schema, parse_object};
use crate::operator;

/// Checks objects; what is compiled for one serves the next.
pub(super) struct Checker {
    context: ParseContext,
    rules: Rules,
}

/// What is said of one object.
pub(super) enum Verdict {
    /// It is no object of the mesh's.
    OtherApi,
    /// What is wrong or doubtful; empty if it is as it should be.
    Checked(Vec<Finding>),
}

/// Problems of an object.
#[derive(Default)]
struct Found {
    errors: Vec<Problem>,
    warnings: Vec<Problem>,
    /// Errors that were only counted.
    more: usize,
}

// === impl Checker ===

impl Checker {
    pub(super) fn new(namespace: Option<&str>) -> Self {
        let mut context = ParseContext::default();
        if let Some(namespace) = namespace {
            context.default_namespace = namespace.to_owned();
        }
        Self { context, rules: Rules::default() }
    }

    /// Checks an object of any kind.
    pub(super) fn check(&mut self, manifest: &Manifest<'_>) -> Verdict {
        let found = match (manifest.api_version, manifest.kind) {
            (Some(_), Some(kind)) if is_mesh(manifest.group()) => match known(manifest, kind) {
                Ok(known) => self.inside(known, manifest.to_value()),
                Err(problem) => Found { errors: vec![problem], ..Found::default() },
            },
            (Some(_), Some(_)) => return Verdict::OtherApi,
            _ => untyped(manifest),
        };
        Verdict::Checked(found.into_findings())
    }

    /// Checks an object of a known kind.
    fn inside(&mut self, kind: &'static Kind, object: Value) -> Found {
        let mut found = Found { errors: metadata::problems(&object), ..Found::default() };
        // Metadata of a wrong type would keep the readers from the rest.
        let object = if found.errors.is_empty() { object } else { metadata::reduced(object) };
        if kind.name == "MeshInstall" {
            found.take(mesh_install(kind, &object).map(|()| Vec::new()));
        } else {
            found.take(parse_object(kind.group, kind.name, &object, &self.context).map(|parsed| parsed.warnings));
        }
        // As in the API server: rules are for what the schema allows otherwise.
        let fits =
            check::problems(kind.schema(), &object).iter().all(|problem| matches!(problem.kind, check::ProblemKind::UnknownField { .. }));
        if fits {
            let ruling = self.rules.check(kind, &object);
            let untold: Vec<_> = ruling.broken.into_iter().filter(|broken| !found.tells(broken)).collect();
            found.errors.extend(untold);
            found.warnings.extend(ruling.unknown);
        }
        found
    }
}

// === impl Found ===

impl Found {
    /// Takes warnings, or errors.
    fn take(&mut self, result: Result<Vec<Problem>, Invalid>) {
        match result {
            Ok(warnings) => self.warnings.extend(warnings),
            Err(invalid) => {
                self.errors.extend(invalid.errors);
                self.more += invalid.more;
            }
        }
    }

    /// Whether a broken rule was told already, by the reader that knows the same rule: at the same place, or right below it if it is one
    /// about fields that exclude or need each other.
    fn tells(&self, broken: &Problem) -> bool {
        let place = dotted(&broken.path);
        self.errors.iter().any(|told| {
            let told_at = dotted(&told.path);
            let among_fields = matches!(told.code, Code::Conflict | Code::Required);
            let below = told_at.strip_prefix(&place);
            told_at == place || below.and_then(|below| below.strip_prefix('.')).is_some_and(|below| among_fields && !below.contains('.'))
        })
    }

    fn into_findings(self) -> Vec<Finding> {
        let errors = self.errors.iter().map(|problem| Finding::of(problem, Severity::Error));
        let warnings = self.warnings.iter().map(|problem| Finding::of(problem, severity(problem)));
        let mut findings: Vec<Finding> = errors.chain(warnings).collect();
        if self.more > 0 {
            let problem = Problem {
                path: String::new(),
                message: format!("there are {} more errors: mend these first", self.more),
                code: Code::WrongSize,
            };
            findings.push(Finding::of(&problem, Severity::Error));
        }
        findings
    }
}

/// How bad it is what an object is warned of: as bad as the analysis finds it, where that has the code.
fn severity(warning: &Problem) -> Severity {
    let known = analysis::Code::ALL.iter().find(|code| code.as_str() == warning.code.as_str());
    known.map_or(Severity::Warning, |code| code.level().into())
}

/// A path in which keys and positions are joined by dots as fields are, which is how CEL's evaluator writes keys.
fn dotted(path: &str) -> String {
    path.replace('[', ".").replace(']', "")
}

/// What is wrong with a document that does not say what it is.
fn untyped(manifest: &Manifest<'_>) -> Found {
    let problem = |path: &str, code, message: String| Problem { path: path.to_owned(), message, code };
    if !matches!(manifest.node.content, Content::Map(_)) {
        let message = "this is no object: it needs apiVersion, kind and metadata".to_owned();
        return Found { errors: vec![problem("", Code::WrongType, message)], ..Found::default() };
    }
    let fields = [("apiVersion", manifest.api_version), ("kind", manifest.kind)];
    let missing = fields.into_iter().filter(|(_, value)| value.is_none()).map(|(path, _)| match manifest.node.get(path) {
        Some(node) if !node.is_null() => problem(path, Code::WrongType, "must be of type string".to_owned()),
        _ => problem(path, Code::Required, "required".to_owned()),
    });
    Found { errors: missing.collect(), ..Found::default() }
}

/// What the schema and the operator say of a MeshInstall.
fn mesh_install(kind: &Kind, object: &Value) -> Result<(), Invalid> {
    check_schema(kind, object)?;
    let errors = match serde_json::from_value::<Option<MeshInstallSpec>>(object["spec"].clone()) {
        Ok(spec) => operator::spec_problems(&spec.unwrap_or_default()),
        Err(error) => vec![Problem { path: "spec".to_owned(), message: error.to_string(), code: Code::Unreadable }],
    };
    if errors.is_empty() { Ok(()) } else { Err(Invalid { errors, more: 0 }) }
}
