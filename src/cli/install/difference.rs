//! How differences are told, and what does not count as one.

use clap::Args;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::cli::{
    exit::{Exit, Failure},
    proxy::Table,
    report::{self, Form},
    terminal::Streams,
};
use crate::operator::Difference;

/// How a verb that compares answers.
#[derive(Args, Clone, Debug)]
pub(super) struct ComparisonArgs {
    /// End with 79 if they differ
    #[arg(long)]
    exit_code: bool,
    /// The form of the answer
    #[arg(short, long, value_enum, default_value_t, value_name = "FORM")]
    output: Form,
}

/// How much of a value a person is shown.
const SHOWN: usize = 60;

// === impl ComparisonArgs ===

impl ComparisonArgs {
    /// Tells what differs, to people in the words of `human`.
    ///
    /// # Errors
    /// When it can't be written.
    pub(super) fn answer<T: Serialize>(
        &self,
        found: &[T],
        human: impl FnOnce(&[T]) -> String,
        streams: &mut Streams<'_>,
    ) -> Result<Exit, Failure> {
        streams.answered(&match self.output {
            Form::Human if found.is_empty() => "no differences\n".to_owned(),
            Form::Human => human(found),
            form => report::document(&found, form == Form::Yaml),
        })?;
        Ok(if self.exit_code && !found.is_empty() { Exit::Findings } else { Exit::Clean })
    }
}

/// Differences as a table, under the names of the two.
pub(super) fn told_differences(found: &[Difference], names: [&str; 2]) -> String {
    let mut table = Table::new(&["FIELD", names[0], names[1]]);
    for Difference { path, from, to } in found {
        let [from, to] = [from, to].map(|value| value.as_ref().map(clipped).unwrap_or_default());
        table.row([path.clone(), from, to]);
    }
    table.shown()
}

/// A value cut to what a line can hold; a text without quotes, anything else as JSON.
fn clipped(value: &Value) -> String {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(SHOWN) {
        Some((at, _)) => format!("{}…", &line[..at]),
        None => line,
    }
}

/// An object without what the API server writes into each of them.
pub(super) fn without_traces(mut object: Value) -> Value {
    let Some(fields) = object.as_object_mut() else { return object };
    fields.remove("status");
    if let Some(metadata) = fields.get_mut("metadata").and_then(Value::as_object_mut) {
        for trace in ["creationTimestamp", "generation", "managedFields", "resourceVersion", "selfLink", "uid"] {
            Map::remove(metadata, trace);
        }
    }
    object
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operator::between;
    use serde_json::json;

    #[test]
    fn a_table_has_a_line_for_each_field_with_both_values() {
        let found = between(&json!({"a": {"b": 1, "c": "x"}, "d": true}), &json!({"a": {"b": 2}, "d": true, "e.f/g": "y"}));
        let told = told_differences(&found, ["OLD", "NEW"]);
        let rows: Vec<Vec<&str>> = told.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(rows, [["FIELD", "OLD", "NEW"], ["a.b", "1", "2"], ["a.c", "x", "-"], ["[e.f/g]", "-", "y"]]);
    }

    #[test]
    fn long_values_are_cut() {
        assert_eq!(clipped(&json!("x\n".repeat(100))).chars().count(), SHOWN + 1);
    }
}
