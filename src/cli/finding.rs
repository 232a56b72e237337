//! What validate and analyze find, and where.

use std::{collections::BTreeMap, ops::Range};

use clap::ValueEnum;

use super::{
    input::SourceText,
    manifest::Manifest,
    source::{Place, TextProblem},
};
use crate::analysis::Level;
use crate::config::{Code, Problem};

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(super) enum Severity {
    /// Worth knowing
    Info,
    /// Legal, but probably not what was meant
    Warning,
    /// Wrong
    Error,
}

/// Something that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) severity: Severity,
    /// What `ferromesh explain` takes.
    pub(super) code: String,
    /// The object that it is about, as `VirtualService shop/reviews`, if that is known.
    pub(super) object: Option<String>,
    /// The field that it is about; empty for the object as a whole.
    pub(super) path: String,
    /// What, in lower case.
    pub(super) message: String,
    /// What was probably meant.
    pub(super) hint: Option<String>,
    /// Where it stands, if it came from a file.
    pub(super) location: Option<Location>,
}

/// A place in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Location {
    pub(super) file: String,
    /// Counted from 1.
    pub(super) line: usize,
    /// Of characters, counted from 1.
    pub(super) column: usize,
    /// The line's text.
    pub(super) text: String,
    /// Which of the text's characters to underline.
    pub(super) marked: Range<usize>,
}

/// How much of a line is kept around what is marked; files of one endless line are common as JSON.
const SHOWN: usize = 120;

/// What stands between a message and what was probably meant.
const MEANT: &str = ", did you mean ";

// === impl Severity ===

impl From<Level> for Severity {
    fn from(level: Level) -> Self {
        match level {
            Level::Error => Self::Error,
            Level::Warning => Self::Warning,
            Level::Info => Self::Info,
        }
    }
}

// === impl Finding ===

impl Finding {
    /// What a reader of objects found.
    pub(super) fn of(problem: &Problem, severity: Severity) -> Self {
        let (message, hint) = without_hint(&problem.message);
        let message = sentence(problem.code.as_str(), &problem.path, message);
        Self { severity, code: problem.code.to_string(), object: None, path: problem.path.clone(), message, hint, location: None }
    }

    /// A file that is no text at all, in words that name it.
    pub(super) fn of_unreadable(message: &str) -> Self {
        let problem = Problem { path: String::new(), message: message.to_owned(), code: Code::Unreadable };
        Self::of(&problem, Severity::Error)
    }

    /// A finding about the text of a file itself.
    pub(super) fn of_text(problem: &TextProblem, text: &SourceText) -> Self {
        let code = if problem.duplicate { Code::Duplicate } else { Code::Unreadable };
        Self {
            severity: Severity::Error,
            code: code.to_string(),
            object: None,
            path: String::new(),
            message: problem.message.clone(),
            hint: None,
            location: Some(Location::new(&text.name, &text.text, problem.place)),
        }
    }

    /// The same with the place of its field in the file that its object is in.
    pub(super) fn placed(self, manifest: &Manifest<'_>, text: &SourceText) -> Self {
        let located = manifest.node.locate(&self.path);
        // The analysis tells what readers found under a code of its own, with theirs behind the message.
        let (_, own_code) = without_code(&self.message);
        let about_the_key = [Code::UnknownField, Code::Duplicate].map(Code::as_str).contains(&own_code.unwrap_or(&self.code));
        let place = match self.path.as_str() {
            // What stands for an object as a whole is its kind.
            "" => manifest.node.get("kind").map_or(manifest.node.place, |kind| kind.place),
            _ if about_the_key => located.field(),
            _ => located.culprit(),
        };
        Self { location: Some(Location::new(&text.name, &text.text, place)), ..self }
    }

    /// Where it is in the order of the answer, among findings of one file.
    pub(super) fn position(&self) -> (usize, usize) {
        self.location.as_ref().map_or((0, 0), |location| (location.line, location.column))
    }
}

/// The findings of one file, of which kinds that the mesh has not are told once each: whoever has many objects of another mesh's kinds
/// learns no more from hearing of each of them.
pub(super) fn unknown_kinds_once(findings: Vec<Finding>) -> Vec<Finding> {
    let mut told: Vec<Finding> = Vec::with_capacity(findings.len());
    let mut places: BTreeMap<(String, Option<String>), (usize, usize)> = BTreeMap::new();
    for finding in findings {
        if finding.code == Code::UnknownKind.as_str() {
            let kind = finding.object.as_deref().and_then(|object| object.split(' ').next()).map(str::to_owned);
            let (_, more) = places.entry((finding.message.clone(), kind)).and_modify(|(_, more)| *more += 1).or_insert((told.len(), 0));
            if *more > 0 {
                continue;
            }
        }
        told.push(finding);
    }
    for (place, more) in places.into_values().filter(|(_, more)| *more > 0) {
        let objects = if more == 1 { "object" } else { "objects" };
        told[place].message.push_str(&format!("; the same holds for {more} more {objects} of the file"));
    }
    told
}

/// A message that can stand without its path before it: what is said of reach has the path as its subject, and of what is required
/// nothing but that is said.
pub(super) fn sentence(code: &str, path: &str, message: String) -> String {
    let about_reach = [Code::UnreachableRule, Code::IneffectiveMatch].iter().any(|one| one.as_str() == code);
    let required = message.strip_prefix("required").filter(|rest| rest.is_empty() || rest.starts_with([' ', ':']));
    match required {
        Some(rest) => format!("\"{}\" is required{rest}", last_name(path)),
        None if about_reach => format!("{path} {message}"),
        None => message,
    }
}

/// A message, and what was probably meant, apart. A code behind both stays with the message.
pub(super) fn without_hint(message: &str) -> (String, Option<String>) {
    let (text, code) = without_code(message);
    match text.split_once(MEANT) {
        Some((text, meant)) => (with_code(text, code), Some(format!("did you mean {meant}"))),
        None => (message.to_owned(), None),
    }
}

/// A message, and the code in brackets that it may end in, apart: `weights add up to 90, not 100 (FM0112)`.
fn without_code(message: &str) -> (&str, Option<&str>) {
    let parts = message.strip_suffix(')').and_then(|message| message.rsplit_once(" ("));
    match parts.filter(|(_, code)| Code::ALL.iter().any(|known| known.as_str() == *code)) {
        Some((text, code)) => (text, Some(code)),
        None => (message, None),
    }
}

fn with_code(text: &str, code: Option<&str>) -> String {
    code.map_or_else(|| text.to_owned(), |code| format!("{text} ({code})"))
}

/// The name of the field that a path ends in.
fn last_name(path: &str) -> &str {
    path.rsplit('.').next().unwrap_or(path)
}

// === impl Location ===

impl Location {
    /// A place of a file's text. What spans lines is marked to the end of its first one.
    pub(super) fn new(file: &str, text: &str, place: Place) -> Self {
        let at = floor(text, place.start);
        let line_start = text[..at].rfind('\n').map_or(0, |newline| newline + 1);
        let line_end = text[at..].find('\n').map_or(text.len(), |newline| at + newline);
        let marked_end = floor(text, place.end).clamp(at, line_end);
        let marked = text[at..marked_end].trim_end().chars().count().max(1);
        let before = text[line_start..at].chars().count();
        let line = text[line_start..line_end].trim_end_matches('\r');
        let skipped = if before + marked.min(SHOWN / 2) > SHOWN { before.saturating_sub(SHOWN / 2) } else { 0 };
        let shown: String = line.chars().skip(skipped).take(SHOWN).collect();
        let start = before - skipped;
        let end = (start + marked).min(SHOWN.max(start + 1));
        Self { file: file.to_owned(), line: place.line, column: place.column, text: shown, marked: start..end }
    }
}

/// The nearest start of a character at or before a byte.
fn floor(text: &str, byte: usize) -> usize {
    (0..=byte.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_line_is_cut_around_what_is_marked() {
        let text = format!("{}{{\"timout\": 1}}{}", "x".repeat(1000), "y".repeat(1000));
        let start = text.find("\"timout").unwrap();
        let location = Location::new("a.json", &text, Place { line: 1, column: start + 1, start, end: start + 8 });
        assert_eq!(location.text.chars().count(), SHOWN);
        assert_eq!(&location.text[location.marked], "\"timout\"");
    }

    #[test]
    fn what_spans_lines_is_marked_to_the_end_of_the_first() {
        let text = "a: 1\r\nb: \"x\r\n  y\"\r\n";
        let location = Location::new("a.yaml", text, Place { line: 2, column: 4, start: 9, end: 17 });
        assert_eq!((location.text.as_str(), location.marked), ("b: \"x", 3..5));
    }

    #[test]
    fn a_message_stands_without_its_path_and_its_code_apart_from_the_hint() {
        let told = |message: &str| sentence("FM0103", "spec.tls.privateKey", message.to_owned());
        assert_eq!(told("required"), "\"privateKey\" is required");
        assert_eq!(told("required (FM0103)"), "\"privateKey\" is required (FM0103)");
        assert_eq!(told("required by SIMPLE"), "\"privateKey\" is required by SIMPLE");
        assert_eq!(told("required: it is used"), "\"privateKey\" is required: it is used");
        assert_eq!(told("requiredness"), "requiredness");
        let hint = |message: &str| without_hint(message);
        assert_eq!(
            hint("no \"htp\", did you mean \"http\"? (FM0104)"),
            ("no \"htp\" (FM0104)".to_owned(), Some("did you mean \"http\"?".to_owned()))
        );
        assert_eq!(hint("a (b), did you mean c?"), ("a (b)".to_owned(), Some("did you mean c?".to_owned())));
        assert_eq!(hint("weights add up to 90 (FM0112)"), ("weights add up to 90 (FM0112)".to_owned(), None));
    }

    #[test]
    fn a_place_beyond_the_text_is_its_end() {
        let location = Location::new("a.yaml", "a: [", Place { line: 1, column: 5, start: 40, end: 40 });
        assert_eq!((location.text.as_str(), location.marked), ("a: [", 4..5));
    }
}
