//! Expressions in CEL, as proxies evaluate them: read here, never evaluated, so that they cost little whatever they say.
//!
//! The grammar is that of the language's definition. Names and types are not checked: only the proxy knows its attributes.

/// The longest expression.
const LONGEST: usize = 65_536;
/// How deep expressions may nest.
const DEEPEST: usize = 100;
/// Words that are no names.
const RESERVED: [&str; 16] = [
    "as",
    "break",
    "const",
    "continue",
    "else",
    "for",
    "function",
    "if",
    "import",
    "let",
    "loop",
    "package",
    "namespace",
    "return",
    "var",
    "void",
];
/// Operators between two values; all bind to the left, and how tight does not matter here.
const OPERATORS: [&str; 13] = ["||", "&&", "<=", ">=", "==", "!=", "<", ">", "+", "-", "*", "/", "%"];

/// Reads an expression.
///
/// # Errors
/// Why it is none, to follow it in a message.
pub(super) fn check(expression: &str) -> Result<(), String> {
    if expression.len() > LONGEST {
        return Err(format!("it has {} bytes, {LONGEST} at most are allowed", expression.len()));
    }
    let mut reader = Reader { text: expression, position: 0, depth: 0 };
    reader.expression()?;
    reader.blanks();
    match reader.rest().chars().next() {
        None => Ok(()),
        Some(next) => Err(reader.defect(&format!("{next:?} is not expected"))),
    }
}

struct Reader<'t> {
    text: &'t str,
    position: usize,
    depth: usize,
}

// === impl Reader ===

impl<'t> Reader<'t> {
    fn rest(&self) -> &'t str {
        &self.text[self.position..]
    }

    fn defect(&self, what: &str) -> String {
        format!("at character {}: {what}", self.text[..self.position].chars().count() + 1)
    }

    /// Skips blanks and comments.
    fn blanks(&mut self) {
        loop {
            let rest = self.rest();
            let trimmed = rest.trim_start_matches([' ', '\t', '\n', '\r', '\x0c']);
            let skipped = match trimmed.strip_prefix("//") {
                Some(comment) => comment.find('\n').map_or("", |end| &comment[end..]),
                None => trimmed,
            };
            self.position += rest.len() - skipped.len();
            if skipped.len() == trimmed.len() {
                return;
            }
        }
    }

    /// Takes a symbol, if it is next.
    fn takes(&mut self, symbol: &str) -> bool {
        self.blanks();
        let next = self.rest().starts_with(symbol);
        if next {
            self.position += symbol.len();
        }
        next
    }

    fn expects(&mut self, symbol: &str) -> Result<(), String> {
        if self.takes(symbol) { Ok(()) } else { Err(self.defect(&format!("{symbol:?} is missing"))) }
    }

    /// `A ? B : C`, or values with operators between them.
    fn expression(&mut self) -> Result<(), String> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(self.defect("it nests too deep"));
        }
        self.operands()?;
        if self.takes("?") {
            self.operands()?;
            self.expects(":")?;
            self.expression()?;
        }
        self.depth -= 1;
        Ok(())
    }

    fn operands(&mut self) -> Result<(), String> {
        loop {
            self.operand()?;
            if !OPERATORS.iter().any(|operator| self.takes(operator)) && !self.takes_word("in") {
                return Ok(());
            }
        }
    }

    /// A value with what is before and behind it.
    fn operand(&mut self) -> Result<(), String> {
        if self.takes("!") {
            while self.takes("!") {}
        } else {
            while self.takes("-") {}
        }
        self.value()?;
        loop {
            if self.takes(".") {
                self.takes("?");
                self.blanks();
                if self.takes("`") {
                    let end = self.rest().find('`').ok_or_else(|| self.defect("'`' is missing"))?;
                    self.position += end + 1;
                } else if self.word().is_none() {
                    return Err(self.defect("a name is missing"));
                }
                if self.takes("(") {
                    self.list(")")?;
                }
            } else if self.takes("[") {
                self.takes("?");
                self.expression()?;
                self.expects("]")?;
            } else if self.rest().starts_with('{') && self.takes("{") {
                self.map()?;
            } else {
                return Ok(());
            }
        }
    }

    fn value(&mut self) -> Result<(), String> {
        self.blanks();
        let next = self.rest().chars().next();
        match next {
            None => Err(self.defect("a value is missing")),
            Some('(') => {
                self.position += 1;
                self.expression()?;
                self.expects(")")
            }
            Some('[') => {
                self.position += 1;
                self.list("]")
            }
            Some('{') => {
                self.position += 1;
                self.map()
            }
            Some('0'..='9') => self.number(),
            Some('"' | '\'') => self.string(false),
            Some('.') if self.rest()[1..].starts_with(|digit: char| digit.is_ascii_digit()) => self.number(),
            Some('.') => {
                self.position += 1;
                self.name()
            }
            Some(_) => self.name(),
        }
    }

    /// A name, a call, or a text with letters before its quote.
    fn name(&mut self) -> Result<(), String> {
        let start = self.position;
        let Some(word) = self.word() else { return Err(self.defect("a value is missing")) };
        let prefix = word.to_ascii_lowercase();
        if matches!(prefix.as_str(), "r" | "b" | "br" | "rb") && self.rest().starts_with(['"', '\'']) {
            return self.string(prefix.contains('r'));
        }
        if RESERVED.contains(&word) || word == "in" {
            self.position = start;
            return Err(self.defect(&format!("{word:?} is a reserved word")));
        }
        if self.takes("(") { self.list(")") } else { Ok(()) }
    }

    /// Takes a word, if it is next.
    fn word(&mut self) -> Option<&'t str> {
        self.blanks();
        let rest = self.rest();
        let end = rest.find(|next: char| !next.is_ascii_alphanumeric() && next != '_').unwrap_or(rest.len());
        let word = &rest[..end];
        if word.is_empty() || word.starts_with(|first: char| first.is_ascii_digit()) {
            return None;
        }
        self.position += end;
        Some(word)
    }

    /// Takes this word, if it is next.
    fn takes_word(&mut self, word: &str) -> bool {
        let start = self.position;
        let next = self.word() == Some(word);
        if !next {
            self.position = start;
        }
        next
    }

    fn number(&mut self) -> Result<(), String> {
        let rest = self.rest();
        let digits = |text: &str, radix: u32| text.chars().take_while(|digit| digit.is_digit(radix)).count();
        let mut length = if rest.starts_with("0x") || rest.starts_with("0X") {
            let count = digits(&rest[2..], 16);
            if count == 0 {
                return Err(self.defect("a digit is missing"));
            }
            2 + count
        } else {
            digits(rest, 10)
        };
        let mut whole = true;
        if rest[length..].starts_with('.') && digits(&rest[length + 1..], 10) > 0 {
            length += 1 + digits(&rest[length + 1..], 10);
            whole = false;
        }
        if rest[length..].starts_with(['e', 'E']) {
            let sign = usize::from(rest[length + 1..].starts_with(['+', '-']));
            let count = digits(&rest[length + 1 + sign..], 10);
            if count == 0 {
                return Err(self.defect("a digit is missing"));
            }
            length += 1 + sign + count;
            whole = false;
        }
        if whole && rest[length..].starts_with(['u', 'U']) {
            length += 1;
        }
        self.position += length;
        if self.rest().starts_with(|next: char| next.is_ascii_alphanumeric() || next == '_') {
            return Err(self.defect("a number can't be followed by a letter"));
        }
        Ok(())
    }

    /// A text in one or three quotes; in a raw one a backslash is a backslash.
    fn string(&mut self, raw: bool) -> Result<(), String> {
        let rest = self.rest();
        let quote = if rest.starts_with('"') { '"' } else { '\'' };
        let triple = format!("{quote}{quote}{quote}");
        let end = if rest.starts_with(&triple) { triple } else { quote.to_string() };
        let mut inside = rest[end.len()..].char_indices();
        while let Some((offset, next)) = inside.next() {
            let place = end.len() + offset;
            if rest[place..].starts_with(&end) {
                self.position += place + end.len();
                return Ok(());
            }
            match next {
                '\\' if !raw => _ = inside.next(),
                '\n' | '\r' if end.len() == 1 => break,
                _ => {}
            }
        }
        Err(self.defect("the text has no end"))
    }

    /// The values of a list or a call, up to its end.
    fn list(&mut self, end: &str) -> Result<(), String> {
        loop {
            if self.takes(end) {
                return Ok(());
            }
            self.takes("?");
            self.expression()?;
            if !self.takes(",") {
                return self.expects(end);
            }
        }
    }

    /// The entries of a map or a message, up to its end.
    fn map(&mut self) -> Result<(), String> {
        loop {
            if self.takes("}") {
                return Ok(());
            }
            self.takes("?");
            self.operands()?;
            self.expects(":")?;
            self.expression()?;
            if !self.takes(",") {
                return self.expects("}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_are_read() {
        for expression in [
            "response.code >= 400",
            "response.code >= 400 || connection.mtls == false",
            "has(request.headers['x-user']) && request.headers[\"x-user\"].startsWith('a') ? true : false",
            "!(request.host in ['a', \"b\"]) // comment",
            "{'a': 1u, 'b': [0x1F, -1.5e-3, .5]}.size() > 0",
            "google.protobuf.Duration{seconds: 1}",
            "r'\\d+' != b\"x\" && '''a\n'b''' == ''",
            "[1, 2].all(x, x > 0)",
            "xds.cluster_name.contains('é')",
        ] {
            assert_eq!(check(expression), Ok(()), "{expression}");
        }
    }

    #[test]
    fn what_is_no_expression_is_refused() {
        for expression in
            ["", "response.code >", "a b", "'x", "f(", "a.", "1x", "if", "{'a'}", "a ? b", "(a", "a @ b", "0x", "'a\n'", "a =  b"]
        {
            assert!(check(expression).is_err(), "{expression}");
        }
    }

    proptest::proptest! {
        #[test]
        fn nothing_makes_it_panic(expression in r#"([a-c"'0-9.?:{}()\[\]`é\\ \n/!-]|\PC){0,40}"#) {
            _ = check(&expression);
        }
    }

    #[test]
    fn deep_expressions_end() {
        for deep in ["(".repeat(60_000), "a?".repeat(30_000), "[".repeat(60_000), "-".repeat(60_000)] {
            assert!(check(&deep).is_err());
        }
    }
}
