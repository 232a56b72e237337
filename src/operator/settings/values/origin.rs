//! Whose word a field of the spec is: the user's own, or that of a path of `values`.

use serde_json::Value;

use super::{Problem, Translated};

// === impl Translated ===

impl Translated {
    /// Has problems name what the user wrote: where `values` say a field, and the spec itself doesn't, it is their path.
    pub(in crate::operator::settings) fn name_paths(&self, own: &Value, problems: &mut [Problem]) {
        for problem in problems {
            let said = self.origins.iter().filter(|(field, _)| !says(own, field));
            let named = said.filter_map(|(field, path)| Some(format!("spec.values.{path}{}", below(&problem.path, field)?))).next();
            if let Some(path) = named {
                problem.path = path;
            }
        }
    }
}

/// What follows a field in a path that leads to it or below it.
fn below<'a>(path: &'a str, field: &str) -> Option<&'a str> {
    let rest = path.strip_prefix("spec.")?.strip_prefix(field)?;
    (rest.is_empty() || rest.starts_with(['.', '['])).then_some(rest)
}

/// Whether a spec says a field; `gateways.ingress[x]` is the item of a list of gateways with that name.
fn says(spec: &Value, field: &str) -> bool {
    let found = field.split('.').try_fold(spec, |value, step| match step.split_once('[') {
        Some((list, name)) => value[list].as_array()?.iter().find(|item| item["name"] == name.trim_end_matches(']')),
        None => value.get(step),
    });
    found.is_some_and(|value| !value.is_null())
}
