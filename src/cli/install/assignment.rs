//! `--set PATH=VALUE`: where in a spec a value goes, and which value it is.

use serde_json::{Value, json};
use std::mem;

/// A value and its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Assignment {
    /// The place as it was written.
    pub(super) path: String,
    steps: Vec<Step>,
    given: Given,
}

/// What is assigned.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Given {
    /// As it was typed.
    Text(String),
    Value(Value),
}

/// One step of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Field(String),
    /// An item of a list, by its name or its position.
    Item(String),
}

// === impl Assignment ===

impl Assignment {
    /// The assignments of one argument, which commas separate: `profile=demo,values.global.mtls.enabled=true`.
    ///
    /// # Errors
    /// When one of them is none.
    pub(super) fn read(argument: &str) -> Result<Vec<Self>, String> {
        parts(argument, ',').iter().map(|text| Self::one(text)).collect()
    }

    fn one(text: &str) -> Result<Self, String> {
        let (path, value) = text.split_once('=').ok_or_else(|| format!("--set {text:?} must be PATH=VALUE, as in profile=demo"))?;
        Self::at(path, Given::Text(value.to_owned()))
    }

    /// A value at a path.
    ///
    /// # Errors
    /// When that is no path.
    pub(super) fn of(path: &str, value: Value) -> Result<Self, String> {
        Self::at(path, Given::Value(value))
    }

    /// The same value at another path.
    ///
    /// # Errors
    /// When that is no path.
    pub(super) fn moved(&self, path: &str) -> Result<Self, String> {
        Self::at(path, self.given.clone())
    }

    /// Whether that is the value, wherever its place.
    pub(super) fn is(&self, value: &Value) -> bool {
        match &self.given {
            Given::Text(text) => value_of(text) == *value,
            Given::Value(given) => given == value,
        }
    }

    fn at(path: &str, given: Given) -> Result<Self, String> {
        let mut steps = Vec::new();
        for part in parts(path.trim(), '.') {
            let (name, items) = part.split_once('[').map_or((&*part, None), |(name, items)| (name, Some(items)));
            if name.is_empty() {
                return Err(format!("--set {path}: a field's name is missing"));
            }
            steps.push(Step::Field(name.to_owned()));
            for item in items.into_iter().flat_map(|items| items.split('[')) {
                let item = item.strip_suffix(']').ok_or_else(|| format!("--set {path}: \"[\" without \"]\""))?;
                steps.push(Step::Item(item.strip_prefix("name:").unwrap_or(item).to_owned()));
            }
        }
        Ok(Self { path: path.trim().to_owned(), steps, given })
    }

    /// The field of the spec that the path begins with.
    pub(super) fn root(&self) -> &str {
        match self.steps.first() {
            Some(Step::Field(name)) => name,
            _ => "",
        }
    }

    /// Puts the value into a spec; `schema` is the spec's, and says where a text is meant that looks like a number.
    ///
    /// # Errors
    /// When a position is beyond the end of its list.
    pub(super) fn place(&self, spec: &mut Value, schema: &Value) -> Result<(), String> {
        let mut place = spec;
        for step in &self.steps {
            place = match step {
                Step::Field(name) => field(place, name),
                Step::Item(item) => self.item(place, item)?,
            };
        }
        *place = match &self.given {
            Given::Text(text) if self.is_text(schema) => json!(text),
            Given::Text(text) => value_of(text),
            Given::Value(value) => value.clone(),
        };
        Ok(())
    }

    fn item<'v>(&self, list: &'v mut Value, item: &str) -> Result<&'v mut Value, String> {
        if !list.is_array() {
            *list = json!([]);
        }
        let Value::Array(items) = list else { return Err(format!("--set {}: this is no list", self.path)) };
        let named = items.iter().position(|one| one["name"] == item);
        let at = match (named, item.parse::<usize>()) {
            (Some(at), _) => at,
            (None, Ok(at)) if at > items.len() => return Err(format!("--set {}: the list has only {} items", self.path, items.len())),
            (None, Ok(at)) => at,
            (None, Err(_)) => items.len(),
        };
        if at == items.len() {
            items.push(if item.parse::<usize>().is_ok() { Value::Null } else { json!({"name": item}) });
        }
        Ok(&mut items[at])
    }

    fn is_text(&self, schema: &Value) -> bool {
        let end = self.steps.iter().try_fold(schema, |schema, step| match step {
            Step::Field(name) => schema["properties"].get(name).or_else(|| schema.get("additionalProperties")),
            Step::Item(_) => schema.get("items"),
        });
        end.is_some_and(|schema| schema["type"] == "string")
    }
}

fn field<'v>(place: &'v mut Value, name: &str) -> &'v mut Value {
    if !place.is_object() {
        *place = json!({});
    }
    &mut place[name]
}

/// What a text means: YAML, and Helm's `{a,b}` for a list. A number stands for itself only if it is written as it would be shown: `1.10`
/// is the tag that somebody wrote, and not 1.1. As for Helm, `true` and `false` alone are no texts: `y` is one.
fn value_of(text: &str) -> Value {
    if let Some(list) = text.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')).filter(|list| !list.contains(':')) {
        let items = parts(list, ',');
        return items.iter().map(|item| item.trim()).filter(|item| !item.is_empty()).map(value_of).collect();
    }
    match serde_saphyr::from_str::<Value>(text) {
        Ok(Value::Number(number)) if number.to_string() != text => json!(text),
        Ok(Value::Bool(yes)) if yes.to_string() != text => json!(text),
        Ok(Value::Null) if text.is_empty() => json!(text),
        Ok(value) => value,
        Err(_) => json!(text),
    }
}

/// The parts of a text between separators. One that stands within brackets, or behind a backslash, separates nothing.
fn parts(text: &str, separator: char) -> Vec<String> {
    let (mut parts, mut part, mut depth) = (Vec::new(), String::new(), 0_usize);
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' if letters.peek() == Some(&separator) => part.extend(letters.next()),
            _ if letter == separator && depth == 0 => parts.push(mem::take(&mut part)),
            _ => {
                match letter {
                    '[' | '{' => depth += 1,
                    ']' | '}' => depth = depth.saturating_sub(1),
                    _ => {}
                }
                part.push(letter);
            }
        }
    }
    parts.push(part);
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(spec: &Value, argument: &str) -> Result<Value, String> {
        let schema = json!({"properties": {"tag": {"type": "string"}, "hub": {"type": "string"}}});
        let mut spec = spec.clone();
        for assignment in Assignment::read(argument)? {
            assignment.place(&mut spec, &schema)?;
        }
        Ok(spec)
    }

    #[test]
    fn values_mean_what_yaml_says_and_versions_stay_as_they_were_written() {
        let told = set(
            &json!({}),
            r"tag=2,hub=,values.a=1.10,values.b=true,values.c={x, 2},values.d=x\,y,values.e=7,values.f={},values.g={x,y},values.h=no",
        )
        .unwrap();
        let values = json!({"a": "1.10", "b": true, "c": ["x", 2], "d": "x,y", "e": 7, "f": [], "g": ["x", "y"], "h": "no"});
        assert_eq!(told, json!({"tag": "2", "hub": "", "values": values}));
    }

    #[test]
    fn a_path_leads_through_keys_with_dots_and_items_of_lists() {
        let spec = json!({"gateways": {"ingress": [{"name": "a", "replicas": 1}]}});
        let told = set(&spec, r"gateways.ingress[a].replicas=2,gateways.ingress[name:b].labels.x\.y=z,list[0]=p,list[1]=q").unwrap();
        let ingress = json!([{"name": "a", "replicas": 2}, {"name": "b", "labels": {"x.y": "z"}}]);
        assert_eq!(told, json!({"gateways": {"ingress": ingress}, "list": ["p", "q"]}));
    }

    #[test]
    fn what_is_no_assignment_is_refused() {
        for (argument, reason) in
            [("profile", "must be PATH=VALUE"), ("a..b=1", "name is missing"), ("a[0=1", "without"), ("a[3]=1", "only 0")]
        {
            assert!(set(&json!({}), argument).unwrap_err().contains(reason), "{argument}");
        }
    }
}
