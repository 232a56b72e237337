//! Regular expressions in RE2's syntax, as Envoy compiles them: read here, never compiled, so that they cost little whatever they say.
//!
//! The expression is first brought into the dialect of the `regex` crates, whose parser then finds what is malformed; what that dialect
//! has and RE2 has not is refused. RE2's own limits, on repetitions and on the size of the program, are checked on the syntax tree.

use regex_syntax::ast::{AssertionKind, Ast, ClassSet, ClassSetItem, ClassUnicode, ClassUnicodeKind, Flag, FlagsItemKind, GroupKind};
use regex_syntax::ast::{Flags, HexLiteralKind, Literal, LiteralKind, RepetitionKind, RepetitionRange, parse::ParserBuilder};

use super::path::At;
use super::problem::{Code, quoted};
use super::reading::Reading;

/// What all expressions of one object may cost to read, in bytes of pattern.
pub(super) const BUDGET: usize = 1 << 20;
/// The longest expression.
const LONGEST: usize = 4096;
/// How deep groups may nest.
const DEEPEST: u32 = 100;
/// How often RE2 repeats at most, nested repetitions multiplied.
const MOST_REPEATS: u32 = 1000;
/// The greatest program, in instructions as estimated here: well below where RE2 gives up.
const LARGEST: usize = 100_000;
/// What one Unicode class costs, in bytes of pattern and in instructions.
const UNICODE_CLASS: usize = 64;

/// What an expression is, as far as others must know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    /// How many groups capture.
    pub(super) groups: usize,
}

/// Reads an expression, or says why Envoy would refuse it.
pub(super) fn shape(pattern: &str, budget: &mut usize) -> Result<Shape, String> {
    if pattern.is_empty() {
        return Err("a regular expression must not be empty".to_owned());
    }
    if pattern.len() > LONGEST {
        return Err(format!("the expression has {} bytes, {LONGEST} at most are allowed", pattern.len()));
    }
    let classes = pattern.matches(r"\p").count() + pattern.matches(r"\P").count();
    *budget = budget
        .checked_sub(pattern.len() + classes * UNICODE_CLASS)
        .ok_or("the object's regular expressions are too much altogether: use fewer or shorter ones")?;
    let translated = in_crates_dialect(pattern);
    let tree = ParserBuilder::new().nest_limit(DEEPEST).build().parse(&translated);
    let tree = tree.map_err(|error| format!("{} is no regular expression in RE2's syntax: {}", quoted(pattern), error.kind()))?;
    let mut size = Size { groups: 0 };
    let instructions = size.of(&tree, 1).map_err(|reason| format!("{}: {reason}", quoted(pattern)))?;
    if instructions > LARGEST {
        return Err(format!("{} makes too large a program", quoted(pattern)));
    }
    Ok(Shape { groups: size.groups })
}

/// The expression in the dialect of the `regex` crates. The differences: RE2 takes a brace that begins no repetition as itself, has no
/// nested classes or set operations, and knows `\Q…\E` and `\C`; the crates know `\<` and `\>`, which to RE2 are plain characters.
fn in_crates_dialect(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len() + 8);
    let mut rest = pattern;
    let mut class: Option<usize> = None;
    while let Some(next) = rest.chars().next() {
        let after = &rest[next.len_utf8()..];
        let (emitted, used) = match (next, class) {
            ('\\', _) => escape(rest),
            ('[', None) => {
                class = Some(out.len() + 1);
                ("[".to_owned(), 1)
            }
            ('[', Some(_)) if posix_class(rest).is_none() => (r"\[".to_owned(), 1),
            ('[', Some(_)) => {
                let name = posix_class(rest).unwrap_or(rest);
                (name.to_owned(), name.len())
            }
            (']', Some(start)) if !matches!(&out[start..], "" | "^") => {
                class = None;
                ("]".to_owned(), 1)
            }
            (']', Some(_)) => (r"\]".to_owned(), 1),
            ('&' | '~' | '-', Some(start)) if out[start..].ends_with(next) => (format!("\\{next}"), 1),
            ('{', None) if !is_repetition(after) => (r"\{".to_owned(), 1),
            _ => (next.to_string(), next.len_utf8()),
        };
        out.push_str(&emitted);
        rest = &rest[used..];
    }
    out
}

/// What an escape at the beginning of `text` becomes, and how long it is.
fn escape(text: &str) -> (String, usize) {
    match text[1..].chars().next() {
        Some('Q') => {
            let literal = &text[2..];
            let (literal, used) = literal.split_once(r"\E").map_or((literal, text.len()), |(literal, _)| (literal, literal.len() + 4));
            (regex_syntax::escape(literal), used)
        }
        Some('C') => (".".to_owned(), 2),
        // What is in braces here belongs to the escape: a class's name, a code point.
        Some('p' | 'P' | 'x') if text[2..].starts_with('{') => {
            let used = text.find('}').map_or(text.len(), |end| end + 1);
            (text[..used].to_owned(), used)
        }
        Some(plain @ ('<' | '>')) => (plain.to_string(), 2),
        Some(other) => (format!("\\{other}"), 1 + other.len_utf8()),
        None => ("\\".to_owned(), 1),
    }
}

/// `[:alpha:]` or `[:^alpha:]` at the beginning of a text.
fn posix_class(text: &str) -> Option<&str> {
    let inner = text.strip_prefix("[:")?;
    let end = inner.find(":]")?;
    let name = inner[..end].strip_prefix('^').unwrap_or(&inner[..end]);
    name.bytes().all(|byte| byte.is_ascii_lowercase()).then(|| &text[..end + 4])
}

/// Whether a text goes on as a repetition does after its brace: `3}`, `3,}`, `3,5}`.
fn is_repetition(text: &str) -> bool {
    let Some((range, _)) = text.split_once('}') else { return false };
    let number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match range.split_once(',') {
        Some((least, most)) => number(least) && (most.is_empty() || number(most)),
        None => number(range),
    }
}

/// Estimates the program's size, and refuses what RE2 does not know.
struct Size {
    groups: usize,
}

// === impl Size ===

impl Size {
    /// Instructions of a tree that is repeated `repeats` times. Groups nest no deeper than [`DEEPEST`], so this ends.
    fn of(&mut self, tree: &Ast, repeats: u32) -> Result<usize, String> {
        let each = match tree {
            Ast::Empty(_) => 0,
            Ast::Dot(_) | Ast::ClassPerl(_) => 10,
            Ast::Literal(literal) => literal_size(literal)?,
            Ast::Flags(set) => flags(&set.flags)?,
            Ast::Assertion(assertion) => match assertion.kind {
                AssertionKind::StartLine | AssertionKind::EndLine | AssertionKind::StartText | AssertionKind::EndText => 1,
                AssertionKind::WordBoundary | AssertionKind::NotWordBoundary => 1,
                _ => return Err("RE2 has no such word boundary".to_owned()),
            },
            Ast::ClassUnicode(class) => unicode_class(class)?,
            Ast::ClassBracketed(class) => class_size(&class.kind)?,
            Ast::Repetition(repetition) => {
                if matches!(*repetition.ast, Ast::Repetition(_)) {
                    return Err("a repetition must not follow a repetition: use a group".to_owned());
                }
                let most = most_repeats(&repetition.op.kind);
                let repeats = repeats.saturating_mul(most.max(1));
                if most > MOST_REPEATS || repeats > MOST_REPEATS {
                    return Err(format!("repeats more than {MOST_REPEATS} times"));
                }
                return Ok(self.of(&repetition.ast, repeats)?.saturating_add(2));
            }
            Ast::Group(group) => {
                match &group.kind {
                    GroupKind::NonCapturing(set) => drop(flags(set)?),
                    GroupKind::CaptureIndex(_) | GroupKind::CaptureName { .. } => self.groups += 1,
                }
                return Ok(self.of(&group.ast, repeats)?.saturating_add(2));
            }
            Ast::Alternation(alternation) => return self.sum(&alternation.asts, repeats),
            Ast::Concat(concat) => return self.sum(&concat.asts, repeats),
        };
        Ok(each.saturating_mul(repeats as usize))
    }

    fn sum(&mut self, trees: &[Ast], repeats: u32) -> Result<usize, String> {
        trees.iter().try_fold(trees.len(), |sum, tree| Ok(self.of(tree, repeats)?.saturating_add(sum)))
    }
}

fn most_repeats(kind: &RepetitionKind) -> u32 {
    match kind {
        RepetitionKind::Range(RepetitionRange::Exactly(most) | RepetitionRange::AtLeast(most) | RepetitionRange::Bounded(_, most)) => *most,
        RepetitionKind::ZeroOrOne | RepetitionKind::ZeroOrMore | RepetitionKind::OneOrMore => 1,
    }
}

fn literal_size(literal: &Literal) -> Result<usize, String> {
    match literal.kind {
        LiteralKind::HexFixed(HexLiteralKind::X) | LiteralKind::HexBrace(HexLiteralKind::X) => Ok(literal.c.len_utf8()),
        LiteralKind::HexFixed(_) | LiteralKind::HexBrace(_) => Err("RE2 writes code points as \\x{…}".to_owned()),
        _ => Ok(literal.c.len_utf8()),
    }
}

/// RE2 knows the flags i, m, s and U.
fn flags(set: &Flags) -> Result<usize, String> {
    let unknown = |flag: &Flag| matches!(flag, Flag::Unicode | Flag::CRLF | Flag::IgnoreWhitespace);
    let unknown = set.items.iter().any(|item| matches!(&item.kind, FlagsItemKind::Flag(flag) if unknown(flag)));
    if unknown { Err("RE2 knows the flags i, m, s and U only".to_owned()) } else { Ok(0) }
}

fn class_size(class: &ClassSet) -> Result<usize, String> {
    match class {
        ClassSet::Item(item) => item_size(item),
        ClassSet::BinaryOp(_) => Err("RE2 has no operations on classes".to_owned()),
    }
}

fn item_size(item: &ClassSetItem) -> Result<usize, String> {
    match item {
        ClassSetItem::Empty(_) => Ok(0),
        ClassSetItem::Literal(literal) => literal_size(literal),
        ClassSetItem::Range(range) => Ok(literal_size(&range.start)?.max(literal_size(&range.end)?) * 2),
        ClassSetItem::Ascii(_) | ClassSetItem::Perl(_) => Ok(10),
        ClassSetItem::Unicode(class) => unicode_class(class),
        ClassSetItem::Bracketed(_) => Err("RE2 has no nested classes".to_owned()),
        ClassSetItem::Union(union) => union.items.iter().try_fold(10, |sum: usize, item| Ok(item_size(item)?.saturating_add(sum))),
    }
}

/// A class such as `\pN` or `\p{Greek}`; whether there is one of that name is found out by reading it alone.
fn unicode_class(class: &ClassUnicode) -> Result<usize, String> {
    let name = match &class.kind {
        ClassUnicodeKind::OneLetter(letter) => letter.to_string(),
        ClassUnicodeKind::Named(name) => name.clone(),
        ClassUnicodeKind::NamedValue { .. } => return Err("RE2 knows Unicode classes by one name only, as in \\p{Greek}".to_owned()),
    };
    regex_syntax::parse(&format!(r"\p{{{name}}}")).map_err(|_| format!("there is no Unicode class {}", quoted(&name)))?;
    Ok(UNICODE_CLASS)
}

// === impl Reading: regular expressions ===

impl Reading<'_> {
    /// A regular expression.
    pub(super) fn regex(&mut self, at: &At<'_>, pattern: &str) -> Option<Shape> {
        match shape(pattern, &mut self.regex_budget) {
            Ok(shape) => Some(shape),
            Err(reason) => {
                self.error(at, Code::BadRegex, reason);
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pattern: &str) -> Result<usize, String> {
        shape(pattern, &mut BUDGET.clone()).map(|shape| shape.groups)
    }

    #[test]
    fn what_re2_takes_is_taken() {
        for pattern in [
            "/api/v[0-9]+/.*",
            "a{2,5}",
            "/a/{id}",
            "[[:alpha:]_-]+",
            "[]a]",
            r"\Qa.b(\E(c)",
            "[[a]",
            "(?i)x",
            r"\pN\p{Greek}",
            "a-{",
            "[a&&b]",
        ] {
            assert!(read(pattern).is_ok(), "{pattern}: {:?}", read(pattern));
        }
        assert_eq!(read("(a)(?:b)(?P<n>c)"), Ok(2));
    }

    #[test]
    fn what_re2_refuses_is_refused() {
        for pattern in [
            "",
            "(",
            "a**",
            "*a",
            "[z-a]",
            "(?=a)",
            r"\1",
            r"\u0041",
            "(?x)a b",
            "a{1001}",
            "(a{100}){11}",
            r"\p{Nothing}",
            "[[:nope:]]",
            r"\",
        ] {
            assert!(read(pattern).is_err(), "{pattern}");
        }
    }

    #[test]
    fn cost_is_bounded() {
        assert!(read(&"a".repeat(LONGEST + 1)).is_err());
        assert!(read(&format!("(?:{}){{1000}}", "a".repeat(400))).is_err());
        assert!(read(&format!("{}a{}", "(".repeat(200), ")".repeat(200))).is_err());
        let mut budget = 100;
        assert!(shape(r"\pL", &mut budget).is_ok());
        assert!(shape(r"\pL", &mut budget).is_err());
    }
}
