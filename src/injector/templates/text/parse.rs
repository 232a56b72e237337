//! How a template is read: pieces, then a tree of what stands between braces.

use super::{Expression, Node, TemplateError};

/// Reads a whole template.
///
/// # Errors
/// What is not understood, with its line.
pub(super) fn nodes(text: &str) -> Result<Vec<Node>, TemplateError> {
    let mut parser = Parser { pieces: pieces(text)?.into_iter(), line: 1 };
    let (nodes, end) = parser.nodes()?;
    match end {
        None => Ok(nodes),
        Some(end) => Err(parser.error(format!("{{{{ {end} }}}} ends nothing"))),
    }
}

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
