//! The part of Go's text templates that templates of users are written in.
//!
//! Fields (`.ObjectMeta.Name`, `$container.Name`), `index MAP "key"`, texts and numbers, `eq` and `ne`, the filters `quote` and
//! `default`, `if`, `else`, `end`, `range` with or without variables, comments, and `-` that trims blanks. Anything else is an error with
//! its line, when the template is read. What is not there is empty.

mod parse;

use serde_json::Value;

use super::TemplateError;

/// A template that is understood.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Text(Vec<Node>);

#[derive(Clone, Debug, PartialEq)]
enum Node {
    Text(String),
    Put(Expression),
    If { test: Expression, then: Vec<Node>, otherwise: Vec<Node> },
    Range { names: Vec<String>, over: Expression, body: Vec<Node> },
}

#[derive(Clone, Debug, PartialEq)]
enum Expression {
    Constant(Value),
    /// Fields of a variable: `` for what is looked at, `$` for all that there is.
    Path {
        variable: String,
        fields: Vec<String>,
    },
    Index(Box<Expression>, Box<Expression>),
    Equal {
        left: Box<Expression>,
        right: Box<Expression>,
        wanted: bool,
    },
    Quote(Box<Expression>),
    Default {
        of: Box<Expression>,
        otherwise: Box<Expression>,
    },
}

// === impl Text ===

impl Text {
    pub(super) fn parse(text: &str) -> Result<Self, TemplateError> {
        parse::nodes(text).map(Self)
    }

    /// Whether it is the same whatever it is filled with.
    pub(super) fn is_constant(&self) -> bool {
        self.0.iter().all(|node| matches!(node, Node::Text(_)))
    }

    /// The text with its parts filled in.
    pub(super) fn filled(&self, data: &Value) -> String {
        let mut filled = String::new();
        let scope = Scope(vec![("$".to_owned(), data), (String::new(), data)]);
        put_all(&self.0, &scope, &mut filled);
        filled
    }
}

// What is filled in.

/// Variables, the innermost last.
struct Scope<'a>(Vec<(String, &'a Value)>);

static NOTHING: Value = Value::Null;

impl<'a> Scope<'a> {
    fn variable(&self, name: &str) -> &'a Value {
        self.0.iter().rev().find(|(known, _)| known == name).map_or(&NOTHING, |(_, value)| *value)
    }
}

fn put_all(nodes: &[Node], scope: &Scope<'_>, filled: &mut String) {
    for node in nodes {
        match node {
            Node::Text(text) => filled.push_str(text),
            Node::Put(expression) => filled.push_str(&shown(&value(expression, scope))),
            Node::If { test, then, otherwise } => put_all(if holds(&value(test, scope)) { then } else { otherwise }, scope, filled),
            Node::Range { names, over, body } => {
                let over = value(over, scope);
                let items: Vec<(Value, &Value)> = match &over {
                    Value::Array(items) => items.iter().enumerate().map(|(at, item)| (at.into(), item)).collect(),
                    Value::Object(map) => map.iter().map(|(key, item)| (key.as_str().into(), item)).collect(),
                    _ => Vec::new(),
                };
                for (key, item) in &items {
                    let mut inner = Scope(scope.0.clone());
                    inner.0.push((String::new(), *item));
                    match names.as_slice() {
                        [one] => inner.0.push((one.clone(), *item)),
                        [first, second] => inner.0.extend([(first.clone(), key), (second.clone(), *item)]),
                        _ => {}
                    }
                    put_all(body, &inner, filled);
                }
            }
        }
    }
}

fn value(expression: &Expression, scope: &Scope<'_>) -> Value {
    match expression {
        Expression::Constant(value) => value.clone(),
        Expression::Path { variable, fields } => {
            fields.iter().fold(scope.variable(variable), |value, name| field(value, name).unwrap_or(&NOTHING)).clone()
        }
        Expression::Index(of, key) => match (value(of, scope), value(key, scope)) {
            (Value::Object(mut map), Value::String(key)) => map.remove(&key).unwrap_or_default(),
            (Value::Array(list), Value::Number(at)) => at.as_u64().and_then(|at| list.get(at as usize).cloned()).unwrap_or_default(),
            _ => Value::Null,
        },
        Expression::Equal { left, right, wanted } => {
            // What is not there is empty, as a Go string would be.
            let text = |side: &Expression| shown(&value(side, scope));
            ((text(left) == text(right)) == *wanted).into()
        }
        Expression::Quote(of) => serde_json::to_string(&shown(&value(of, scope))).unwrap_or_default().into(),
        Expression::Default { of, otherwise } => match value(of, scope) {
            empty if !holds(&empty) => value(otherwise, scope),
            value => value,
        },
    }
}

/// A field by its name in Go, where names begin with a capital.
fn field<'a>(value: &'a Value, name: &str) -> Option<&'a Value> {
    value.get(name).or_else(|| {
        let mut letters = name.chars();
        let first = letters.next()?.to_ascii_lowercase();
        value.get(format!("{first}{}", letters.as_str()))
    })
}

fn holds(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(value) => *value,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(list) => !list.is_empty(),
        Value::Object(map) => !map.is_empty(),
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn filled(text: &str) -> Result<String, String> {
        let data = json!({
            "ObjectMeta": {"name": "web", "labels": {"app": "w", "a.b/c": "dotted"}},
            "Spec": {"containers": [{"name": "one", "ports": [{"containerPort": 80}]}, {"name": "two"}]},
            "Values": {"global": {"hub": "registry"}},
        });
        Text::parse(text).map(|text| text.filled(&data)).map_err(|error| error.to_string())
    }

    #[test]
    fn fields_indexes_and_filters() {
        for (text, expected) in [
            ("a {{ .ObjectMeta.Name }}b", "a webb"),
            ("{{ index .ObjectMeta.Labels \"a.b/c\" }}", "dotted"),
            ("{{ .ObjectMeta.Labels.app | quote }}", "\"w\""),
            ("{{ .ObjectMeta.Nothing | default \"x\" | quote }}", "\"x\""),
            ("{{ .Values.global.hub }}/{{ `proxy` }}:{{ 7 }}", "registry/proxy:7"),
            ("{{ index (index .ObjectMeta \"labels\") \"app\" }}", "w"),
            ("{{/* said aside */}}x", "x"),
            ("a\n  {{- \" b\" -}}\n c", "a bc"),
        ] {
            assert_eq!(filled(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn conditions() {
        let text = "{{ if eq .ObjectMeta.Name \"web\" }}yes{{ else if .Spec }}maybe{{ else }}no{{ end }}";
        assert_eq!(filled(text).unwrap(), "yes");
        assert_eq!(filled(&text.replace("\"web\"", "\"db\"")).unwrap(), "maybe");
        assert_eq!(filled("{{ if ne (index .ObjectMeta.Labels \"x\") \"\" }}a{{ else }}b{{ end }}").unwrap(), "b");
        assert_eq!(filled("{{ if .ObjectMeta.Nothing }}a{{ end }}b").unwrap(), "b");
    }

    #[test]
    fn ranges() {
        let text = "containers:\n{{- range $index, $container := .Spec.Containers }}\n- {{ $index }} {{ $container.Name }} {{ .Name }} {{ $.ObjectMeta.Name }}\n{{- end }}\n";
        assert_eq!(filled(text).unwrap(), "containers:\n- 0 one one web\n- 1 two two web\n");
        assert_eq!(filled("{{ range .Spec.Containers }}{{ range .Ports }}{{ .ContainerPort }}{{ end }},{{ end }}").unwrap(), "80,,");
    }

    #[test]
    fn what_is_not_understood_is_named_with_its_line() {
        for (text, expected) in [
            ("a\n{{ toYaml .Spec }}", "line 2: \"toYaml\" is not understood"),
            ("{{ .Spec | indent 4 }}", "line 1: \"indent 4\" is no filter here: use quote or default"),
            ("{{ if .Spec }}", "line 1: what begins here has no {{ end }}"),
            ("\n\n{{ range .Spec }}{{ else }}{{ end }}", "line 3: what begins here has no {{ end }}"),
            ("{{ end }}", "line 1: {{ end }} ends nothing"),
            ("{{ eq .Spec }}", "line 1: an operand is missing"),
            ("{{ .Spec", "line 1: {{ has no }}"),
            ("{{ }}", "line 1: nothing stands between the braces"),
            ("{{ \"a }}", "line 1: \"a has no end"),
        ] {
            assert_eq!(filled(text).unwrap_err(), expected, "{text}");
        }
    }
}
