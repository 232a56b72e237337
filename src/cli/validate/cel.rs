//! The schemas' CEL rules, evaluated offline. Each kind's are compiled once a run.

use std::collections::HashMap;

use ferromesh_crds::catalog::Kind;
use kube::core::cel::{CompiledSchema, ErrorKind, Validator, compile_schema};
use serde_json::Value;

use crate::config::{Code, Problem};

/// Rules that were compiled so far, by the name of the CRD.
#[derive(Default)]
pub(super) struct Rules {
    validator: Validator,
    compiled: HashMap<&'static str, CompiledSchema>,
}

/// What came of the rules.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Ruling {
    /// Rules that do not hold.
    pub(super) broken: Vec<Problem>,
    /// Rules that could not be evaluated here: only the API server can tell.
    pub(super) unknown: Vec<Problem>,
}

// === impl Rules ===

impl Rules {
    /// Evaluates the rules on an object that the schema allows otherwise; on another they may make no sense.
    pub(super) fn check(&mut self, kind: &'static Kind, object: &Value) -> Ruling {
        let compiled = self.compiled.entry(kind.name).or_insert_with(|| compile_schema(kind.schema()));
        let mut ruling = Ruling::default();
        let errors = match self.validator.validate_compiled(compiled, object, None) {
            Ok(()) => return ruling,
            Err(errors) => errors,
        };
        for error in errors {
            let problem = Problem { path: error.field_path.clone(), message: error.message.clone(), code: Code::BrokenRule };
            match error.kind {
                ErrorKind::UnsupportedReference | ErrorKind::CompilationFailure | ErrorKind::InvalidRule | ErrorKind::SchemaTooDeep => {
                    ruling.unknown.push(Problem { message: format!("not checked offline: {}", problem.message), ..problem });
                }
                _ => ruling.broken.push(problem),
            }
        }
        ruling
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ferromesh_crds::catalog;
    use serde_json::json;

    #[test]
    fn a_rule_that_only_cel_knows_is_found() {
        let kind = catalog::find("networking.istio.io", "VirtualService").unwrap();
        let object = json!({"spec": {"hosts": ["a"], "http": [{"timeout": "0s", "route": [{"destination": {"host": "b"}}]}]}});
        let ruling = Rules::default().check(kind, &object);
        assert_eq!(ruling.broken.len(), 1, "{ruling:?}");
        assert_eq!(ruling.broken[0].path, "spec.http[0].timeout");
        assert!(ruling.broken[0].message.contains("at least 1ms"), "{ruling:?}");
    }

    #[test]
    fn every_rule_of_every_kind_compiles() {
        fn errors(schema: &CompiledSchema, found: &mut Vec<String>) {
            found.extend(schema.compilation_errors().iter().map(ToString::to_string));
            let children = schema.properties.values().chain(schema.items.as_deref()).chain(schema.additional_properties.as_deref());
            children.for_each(|child| errors(child, found));
        }
        let mut found = Vec::new();
        for kind in catalog::kinds() {
            errors(&compile_schema(kind.schema()), &mut found);
        }
        assert_eq!(found, Vec::<String>::new());
    }
}
