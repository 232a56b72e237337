//! The part of Go's text templates that templates of users are written in.
//!
//! Fields (`.ObjectMeta.Name`, `$container.Name`), `index MAP "key"`, texts and numbers, `eq` and `ne`, the filters `quote` and
//! `default`, `if`, `else`, `end`, `range` with or without variables, comments, and `-` that trims blanks. Anything else is an error with
//! its line, when the template is read. What is not there is empty.

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
        let mut parser = Parser { pieces: pieces(text)?.into_iter(), line: 1 };
        let (nodes, end) = parser.nodes()?;
        match end {
            None => Ok(Self(nodes)),
            Some(end) => Err(parser.error(format!("{{{{ {end} }}}} ends nothing"))),
        }
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

// How it is read.

/// A text, or what stands between braces, with its line.
enum Piece {
    Text(String),
    Action { line: usize, text: String },
}

fn pieces(text: &str) -> Result<Vec<Piece>, TemplateError> {
    let (mut pieces, mut rest, mut line, mut trimmed) = (Vec::new(), text, 1, false);
    loop {
        let (before, after) = rest.split_once("{{").map_or((rest, None), |(before, after)| (before, Some(after)));
        let trims_before = after.is_some_and(|after| after.starts_with("- ") || after.starts_with("-\n") || after.starts_with("-}}"));
        let mut plain = if trimmed { before.trim_start() } else { before };
        if trims_before {
            plain = plain.trim_end();
        }
        if !plain.is_empty() {
            pieces.push(Piece::Text(plain.to_owned()));
        }
        line += before.matches('\n').count();
        let Some(after) = after else { return Ok(pieces) };
        let Some((action, after)) = after.split_once("}}") else {
            return Err(TemplateError::Syntax { line, problem: "{{ has no }}".to_owned() });
        };
        trimmed = action.ends_with(" -") || action == "-";
        let inner = if trims_before { &action[1..] } else { action };
        let inner = if trimmed { inner.strip_suffix('-').unwrap_or(inner) } else { inner };
        pieces.push(Piece::Action { line, text: inner.trim().to_owned() });
        line += action.matches('\n').count();
        rest = after;
    }
}

struct Parser {
    pieces: std::vec::IntoIter<Piece>,
    /// The line of the action that is being read.
    line: usize,
}

// === impl Parser ===

impl Parser {
    fn error(&self, problem: impl Into<String>) -> TemplateError {
        TemplateError::Syntax { line: self.line, problem: problem.into() }
    }

    /// Nodes up to the end of the block; and what ended it, `end` or `else`, or nothing at the end of the text.
    fn nodes(&mut self) -> Result<(Vec<Node>, Option<String>), TemplateError> {
        let mut nodes = Vec::new();
        while let Some(piece) = self.pieces.next() {
            let (line, text) = match piece {
                Piece::Text(text) => {
                    nodes.push(Node::Text(text));
                    continue;
                }
                Piece::Action { line, text } => (line, text),
            };
            self.line = line;
            if text.starts_with("/*") {
                continue;
            }
            let mut tokens = self.tokens(&text)?;
            match tokens.first().map(String::as_str) {
                Some("end" | "else") => return Ok((nodes, Some(text))),
                Some("if") => nodes.push(self.branches(&tokens[1..])?),
                Some("range") => {
                    let over = match tokens.iter().position(|token| token == ":=") {
                        Some(at) => tokens.split_off(at + 1),
                        None => tokens.split_off(1),
                    };
                    let names: Vec<String> = tokens.into_iter().filter(|token| token.starts_with('$')).collect();
                    let over = self.pipeline(&over)?;
                    let body = self.block()?;
                    nodes.push(Node::Range { names, over, body });
                }
                _ => nodes.push(Node::Put(self.pipeline(&tokens)?)),
            }
        }
        Ok((nodes, None))
    }

    /// The nodes of a block without `else`.
    fn block(&mut self) -> Result<Vec<Node>, TemplateError> {
        let line = self.line;
        match self.nodes()? {
            (body, Some(end)) if end == "end" => Ok(body),
            _ => Err(TemplateError::Syntax { line, problem: "what begins here has no {{ end }}".to_owned() }),
        }
    }

    fn branches(&mut self, test: &[String]) -> Result<Node, TemplateError> {
        let line = self.line;
        let test = self.pipeline(test)?;
        let (then, end) = self.nodes()?;
        let otherwise = match end.as_deref() {
            Some("end") => Vec::new(),
            Some("else") => self.block()?,
            Some(other) => {
                let tokens = self.tokens(other)?;
                match tokens.get(1).map(String::as_str) {
                    Some("if") => vec![self.branches(&tokens[2..])?],
                    _ => return Err(self.error(format!("{other:?} is not understood"))),
                }
            }
            None => return Err(TemplateError::Syntax { line, problem: "what begins here has no {{ end }}".to_owned() }),
        };
        Ok(Node::If { test, then, otherwise })
    }

    /// Words, texts (with their first quote), parentheses, bars.
    fn tokens(&self, action: &str) -> Result<Vec<String>, TemplateError> {
        let mut tokens = Vec::new();
        let mut rest = action.trim_start();
        while let Some(first) = rest.chars().next() {
            let length = match first {
                '(' | ')' | '|' | ',' => 1,
                '"' | '`' => match rest[1..].find(first) {
                    Some(end) => end + 2,
                    None => return Err(self.error(format!("{rest} has no end"))),
                },
                _ => rest.find(|c: char| c.is_whitespace() || "()|,\"`".contains(c)).unwrap_or(rest.len()),
            };
            let (token, after) = rest.split_at(length);
            if token != "," {
                tokens.push(token.to_owned());
            }
            rest = after.trim_start();
        }
        Ok(tokens)
    }

    /// An expression and the filters after it.
    fn pipeline(&self, tokens: &[String]) -> Result<Expression, TemplateError> {
        let mut parts = split_at_bars(tokens).into_iter();
        let mut expression = self.call(parts.next().unwrap_or_default())?;
        for filter in parts {
            expression = match filter {
                [name] if name == "quote" => Expression::Quote(expression.into()),
                [name, otherwise @ ..] if name == "default" => {
                    Expression::Default { of: expression.into(), otherwise: self.call(otherwise)?.into() }
                }
                other => return Err(self.error(format!("{:?} is no filter here: use quote or default", other.join(" ")))),
            };
        }
        Ok(expression)
    }

    /// A function with its operands, or an operand alone.
    fn call(&self, tokens: &[String]) -> Result<Expression, TemplateError> {
        let (first, rest) = tokens.split_first().ok_or_else(|| self.error("nothing stands between the braces"))?;
        let two = || -> Result<(Expression, Expression), TemplateError> {
            let (left, rest) = self.operand(rest)?;
            let (right, rest) = self.operand(rest)?;
            if rest.is_empty() { Ok((left, right)) } else { Err(self.error(format!("{first} takes two operands"))) }
        };
        match first.as_str() {
            "index" => two().map(|(of, key)| Expression::Index(of.into(), key.into())),
            "eq" | "ne" => two().map(|(left, right)| Expression::Equal { left: left.into(), right: right.into(), wanted: first == "eq" }),
            "quote" => Ok(Expression::Quote(self.call(rest)?.into())),
            _ => match self.operand(tokens)? {
                (operand, []) => Ok(operand),
                (_, rest) => Err(self.error(format!("{:?} is not understood", rest.join(" ")))),
            },
        }
    }

    fn operand<'t>(&self, tokens: &'t [String]) -> Result<(Expression, &'t [String]), TemplateError> {
        let (first, rest) = tokens.split_first().ok_or_else(|| self.error("an operand is missing"))?;
        let expression = match first.as_bytes() {
            [b'(', ..] => {
                let end = closing(rest).ok_or_else(|| self.error("( has no )"))?;
                return Ok((self.pipeline(&rest[..end])?, &rest[end + 1..]));
            }
            [b'"' | b'`', ..] => Expression::Constant(first[1..first.len() - 1].into()),
            [b'0'..=b'9', ..] => {
                let number: u64 = first.parse().map_err(|_| self.error(format!("{first:?} is no whole number")))?;
                Expression::Constant(number.into())
            }
            [b'.' | b'$', ..] => {
                let (variable, fields) = first.split_once('.').unwrap_or((first.as_str(), ""));
                let fields: Vec<String> = fields.split('.').filter(|field| !field.is_empty()).map(str::to_owned).collect();
                Expression::Path { variable: variable.to_owned(), fields }
            }
            _ if first == "true" || first == "false" => Expression::Constant((first == "true").into()),
            _ => return Err(self.error(format!("{first:?} is not understood"))),
        };
        Ok((expression, rest))
    }
}

/// Where the parenthesis ends that began before these tokens.
fn closing(tokens: &[String]) -> Option<usize> {
    let mut depth = 1;
    tokens.iter().position(|token| {
        match token.as_str() {
            "(" => depth += 1,
            ")" => depth -= 1,
            _ => {}
        }
        depth == 0
    })
}

/// Parts between bars, those in parentheses not counted.
fn split_at_bars(tokens: &[String]) -> Vec<&[String]> {
    let mut depth = 0;
    tokens
        .split(|token| {
            match token.as_str() {
                "(" => depth += 1,
                ")" => depth -= 1,
                _ => {}
            }
            depth == 0 && token == "|"
        })
        .collect()
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
