//! Fields that nothing stands behind yet. Each is refused by name: what is accepted is also done.

use ferromesh_crds::install::{Component, MeshInstallSpec};

use super::Problem;

/// A problem for each field that asks for what can't be done yet.
pub(super) fn problems(spec: &MeshInstallSpec) -> Vec<Problem> {
    let mut found = Vec::new();
    let mut refuse = |path: &str, reason: &str| found.push(Problem::new(format!("spec.{path}"), reason));
    let components = spec.components.clone().unwrap_or_default();
    if components.policy.is_some_and(|component| component != off()) {
        refuse("components.policy", "is not available yet: remove it");
    }
    found
}

/// Switching off what isn't there is true, and stays true.
fn off() -> Component {
    Component { enabled: Some(false), ..Component::default() }
}
