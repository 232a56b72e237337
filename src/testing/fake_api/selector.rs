//! Label and field selectors.

use serde_json::Value;

/// Both selectors of a request.
#[derive(Clone, Debug, Default)]
pub(super) struct Selection {
    labels: Vec<Requirement>,
    fields: Vec<Requirement>,
}

#[derive(Clone, Debug)]
struct Requirement {
    key: String,
    condition: Condition,
}

#[derive(Clone, Debug)]
enum Condition {
    In(Vec<String>),
    NotIn(Vec<String>),
    Exists,
    Absent,
}

// === impl Selection ===

impl Selection {
    pub(super) fn parse(labels: &str, fields: &str) -> Self {
        let parse = |text| split(text).into_iter().map(Requirement::parse).collect();
        Self { labels: parse(labels), fields: parse(fields) }
    }

    pub(super) fn require_field(&mut self, path: &str, value: &str) {
        self.fields.push(Requirement { key: path.to_owned(), condition: Condition::In(vec![value.to_owned()]) });
    }

    pub(super) fn matches(&self, object: &Value) -> bool {
        let label = |key: &str| object["metadata"]["labels"].get(key).and_then(Value::as_str).map(str::to_owned);
        // An absent field counts as empty, as the API server has it.
        let field = |path: &str| {
            let value = path.split('.').fold(object, |value, step| &value[step]);
            Some(value.as_str().map_or_else(|| if value.is_null() { String::new() } else { value.to_string() }, str::to_owned))
        };
        self.labels.iter().all(|requirement| requirement.holds(label(&requirement.key)))
            && self.fields.iter().all(|requirement| requirement.holds(field(&requirement.key)))
    }
}

// === impl Requirement ===

impl Requirement {
    fn parse(text: &str) -> Self {
        let text = text.trim();
        let make = |key: &str, condition| Self { key: key.trim().to_owned(), condition };
        let one = |value: &str| vec![value.trim().to_owned()];
        if let Some((key, values)) = text.split_once(" notin ") {
            make(key, Condition::NotIn(set(values)))
        } else if let Some((key, values)) = text.split_once(" in ") {
            make(key, Condition::In(set(values)))
        } else if let Some((key, value)) = text.split_once("!=") {
            make(key, Condition::NotIn(one(value)))
        } else if let Some((key, value)) = text.split_once("==").or_else(|| text.split_once('=')) {
            make(key, Condition::In(one(value)))
        } else if let Some(key) = text.strip_prefix('!') {
            make(key, Condition::Absent)
        } else {
            make(text, Condition::Exists)
        }
    }

    fn holds(&self, value: Option<String>) -> bool {
        match (&self.condition, value) {
            (Condition::In(values), Some(value)) => values.contains(&value),
            (Condition::In(_) | Condition::Exists, None) => false,
            (Condition::NotIn(values), Some(value)) => !values.contains(&value),
            (Condition::NotIn(_) | Condition::Absent, None) | (Condition::Exists, Some(_)) => true,
            (Condition::Absent, Some(_)) => false,
        }
    }
}

/// Splits at commas outside of parentheses.
fn split(text: &str) -> Vec<&str> {
    let (mut parts, mut start, mut depth) = (Vec::new(), 0, 0);
    for (at, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts.into_iter().filter(|part| !part.trim().is_empty()).collect()
}

fn set(text: &str) -> Vec<String> {
    text.trim().trim_matches(['(', ')']).split(',').map(|value| value.trim().to_owned()).collect()
}
