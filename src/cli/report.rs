//! How findings are told, by validate and analyze alike.

use clap::ValueEnum;
use serde::Serialize;

use super::document::{FindingDocument, Level, LocationDocument};
use super::finding::{Finding, Location, Severity};
use super::terminal::{Paint, Style, harmless};

/// The form of the answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Output {
    /// For people, with the lines that are at fault
    #[default]
    Human,
    /// A line for each finding, as istioctl writes it
    Log,
    /// Columns
    Table,
    /// Columns, and those for which few terminals have the width
    Wide,
    /// JSON
    Json,
    /// YAML
    Yaml,
}

/// The form of the answer of verbs that find nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Form {
    /// For people
    #[default]
    #[value(aliases = ["table", "wide"])]
    Human,
    /// JSON
    Json,
    /// YAML
    Yaml,
}

/// How many there are of each severity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Count {
    pub(super) errors: usize,
    pub(super) warnings: usize,
    pub(super) infos: usize,
}

// === impl Severity ===

impl Severity {
    fn word(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Info => "info",
        }
    }

    /// As istioctl writes it.
    fn title(self) -> &'static str {
        match self {
            Self::Error => "Error",
            Self::Warning => "Warning",
            Self::Info => "Info",
        }
    }

    fn paint(self) -> Paint {
        match self {
            Self::Error => Paint::Red,
            Self::Warning => Paint::Yellow,
            Self::Info => Paint::Cyan,
        }
    }
}

// === impl Count ===

impl Count {
    pub(super) fn of<'a>(findings: impl IntoIterator<Item = &'a Finding>) -> Self {
        let mut count = Self::default();
        for finding in findings {
            match finding.severity {
                Severity::Error => count.errors += 1,
                Severity::Warning => count.warnings += 1,
                Severity::Info => count.infos += 1,
            }
        }
        count
    }

    /// `2 errors, 1 warning`, or nothing if there is nothing.
    pub(super) fn words(self) -> String {
        let parts = [(self.errors, "error"), (self.warnings, "warning"), (self.infos, "info")];
        let told: Vec<String> = parts.into_iter().filter(|(count, _)| *count > 0).map(|(count, what)| counted(count, what)).collect();
        told.join(", ")
    }
}

/// `1 object`, `2 objects`.
pub(super) fn counted(count: usize, what: &str) -> String {
    let plural = if count == 1 || what == "info" { "" } else { "s" };
    format!("{count} {what}{plural}")
}

/// A finding for people: what, where, and the line at fault.
///
/// ```text
/// error[FM0104]: unknown field "timout"
///   --> reviews.yaml:14:7  VirtualService shop/reviews  spec.http[0].timout
/// 14 |       timout: 3s
///    |       ^^^^^^ did you mean "timeout"?
/// ```
pub(super) fn human(finding: &Finding, style: Style) -> String {
    let word = style.paint(finding.severity.paint(), finding.severity.word());
    let mut text = format!("{word}[{}]: {}\n", finding.code, harmless(&finding.message));
    let about = [finding.object.as_deref().unwrap_or_default(), finding.path.as_str()];
    let about: Vec<String> = about.into_iter().filter(|part| !part.is_empty()).map(harmless).collect();
    let about = about.join("  ");
    let Some(location) = &finding.location else {
        if !about.is_empty() {
            text.push_str(&format!("  --> {about}\n"));
        }
        if let Some(hint) = &finding.hint {
            text.push_str(&format!("  {}\n", harmless(hint)));
        }
        return text;
    };
    text.push_str(&excerpt(location, &about, finding.hint.as_deref()));
    text
}

/// The same without an object around it: the field and what is wrong with it, and the line at fault, if that is known.
pub(super) fn field(Finding { path, message, hint, code, location, .. }: &Finding) -> String {
    let meant = hint.as_ref().map(|hint| format!(", {hint}")).unwrap_or_default();
    let told = harmless(&format!("{path}: {message}{meant} ({code})"));
    match location {
        Some(location) => format!("{told}\n{}", excerpt(location, "", None).trim_end()),
        None => told,
    }
}

fn excerpt(location: &Location, about: &str, hint: Option<&str>) -> String {
    let Location { file, line, column, text, marked } = location;
    let number = line.to_string();
    let margin = " ".repeat(number.len());
    let gap = if about.is_empty() { "" } else { "  " };
    let indent = " ".repeat(marked.start);
    let marks = "^".repeat(marked.len());
    let hint = hint.map(|hint| format!(" {}", harmless(hint))).unwrap_or_default();
    let file = harmless(file);
    let shown = harmless(text);
    format!(
        "{margin}--> {file}:{line}:{column}{gap}{about}\n{}\n{margin} | {indent}{marks}{hint}\n",
        format!("{number} | {shown}").trim_end()
    )
}

/// A finding in a line, as istioctl writes it: `Error [IST0101] (VirtualService shop/reviews reviews.yaml:14) …`.
pub(super) fn log(finding: &Finding, style: Style) -> String {
    let word = style.paint(finding.severity.paint(), finding.severity.title());
    let place = finding.location.as_ref().map(|location| format!("{}:{}", location.file, location.line));
    let about: Vec<String> = finding.object.iter().chain(&place).map(|part| harmless(part)).collect();
    let about = if about.is_empty() { String::new() } else { format!("({}) ", about.join(" ")) };
    let path = if finding.path.is_empty() || finding.message.starts_with(&finding.path) { "" } else { &finding.path };
    let gap = if path.is_empty() { "" } else { ": " };
    let hint = finding.hint.as_ref().map(|hint| format!(", {hint}")).unwrap_or_default();
    format!("{word} [{}] {about}{}\n", finding.code, harmless(&format!("{path}{gap}{}{hint}", finding.message)))
}

/// Findings as a table, a row each; `wide` adds the field and the place.
pub(super) fn table(findings: &[Finding], wide: bool, style: Style) -> String {
    const SHOWN: [&str; 4] = ["LEVEL", "CODE", "OBJECT", "MESSAGE"];
    const FURTHER: [&str; 2] = ["FIELD", "PLACE"];
    let heads = SHOWN.iter().chain(FURTHER.iter().filter(|_| wide)).map(|head| (*head).to_owned());
    let mut rows: Vec<Vec<String>> = vec![heads.collect()];
    for finding in findings {
        let hint = finding.hint.as_ref().map(|hint| format!(", {hint}")).unwrap_or_default();
        let place = finding.location.as_ref().map(|location| format!("{}:{}:{}", location.file, location.line, location.column));
        let mut row = vec![
            finding.severity.title().to_owned(),
            finding.code.clone(),
            finding.object.clone().unwrap_or_default(),
            format!("{}{hint}", finding.message),
        ];
        row.extend([finding.path.clone(), place.unwrap_or_default()].into_iter().filter(|_| wide));
        rows.push(row.iter().map(|cell| if cell.is_empty() { "-".to_owned() } else { harmless(cell) }).collect());
    }
    let widths: Vec<usize> =
        (0..rows[0].len()).map(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0)).collect();
    let mut text = String::new();
    for (index, row) in rows.iter().enumerate() {
        let mut line: String = row.iter().zip(&widths).map(|(cell, &width)| format!("{cell:width$}  ")).collect();
        // Painted last: what colours a word would count as its width.
        if let Some(finding) = index.checked_sub(1).map(|place| &findings[place]) {
            line.replace_range(..row[0].len(), &style.paint(finding.severity.paint(), &row[0]));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// A finding for programs.
pub(super) fn finding(finding: &Finding) -> FindingDocument {
    let location = finding.location.as_ref();
    FindingDocument {
        code: finding.code.clone(),
        level: match finding.severity {
            Severity::Error => Level::Error,
            Severity::Warning => Level::Warning,
            Severity::Info => Level::Info,
        },
        message: finding.message.clone(),
        origin: finding.object.clone(),
        path: Some(finding.path.clone()).filter(|path| !path.is_empty()),
        hint: finding.hint.clone(),
        reference: location.map(|location| format!("{}:{}", location.file, location.line)),
        location: location.map(|location| LocationDocument { file: location.file.clone(), line: location.line, column: location.column }),
    }
}

/// A document as JSON, or as YAML, its fields in the order of their names.
pub(super) fn document(document: &(impl Serialize + ?Sized), yaml: bool) -> String {
    let value = serde_json::to_value(document).unwrap_or_default();
    let text = if yaml { serde_saphyr::to_string(&value).ok() } else { serde_json::to_string_pretty(&value).ok() };
    let text = text.unwrap_or_default();
    format!("{}\n", text.trim_end())
}
