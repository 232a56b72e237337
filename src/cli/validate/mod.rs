//! `ferromesh validate`: would the cluster take these files? Asked offline, of the checks that the cluster makes.
//!
//! The API server refuses unknown fields, what the schema does not allow and what breaks its CEL rules; galley's webhook what the mesh
//! would not understand. All of it is found here, with the same schemas and parsers, at once and with file and line.

mod cel;
mod metadata;
mod object;

use self::object::{Checker, Verdict};
use super::{
    cluster::namespace,
    document::{SummaryDocument, ValidationDocument},
    exit::{Exit, Failure},
    finding::{Finding, Severity, unknown_kinds_once},
    input::{self, SourceText},
    manifest::manifests,
    report::{self, Count, Output, counted},
    source,
    terminal::{Streams, Style},
};
use clap::Args;

/// Check files offline: everything that the cluster would refuse, or warn of.
#[derive(Args, Debug)]
#[command(after_help = "\
Objects of other APIs (Deployments, Services, …) are counted and left alone.
Exit codes: 0 nothing as bad as --fail-on, 79 something found, 65 a file can't be parsed, 64 wrong usage.

Examples:
  ferromesh validate reviews.yaml
  ferromesh validate -R -f config/ --fail-on warning
  ferromesh validate -o json -")]
pub(super) struct ValidateArgs {
    /// Files, directories, or - for standard input
    #[arg(value_name = "FILE")]
    files: Vec<String>,
    /// The same, as kubectl takes them
    #[arg(short, long, value_name = "FILE", visible_alias = "file")]
    filename: Vec<String>,
    /// Read the directories of directories too
    #[arg(short = 'R', long)]
    recursive: bool,
    /// The namespace of objects that name none
    #[arg(short, long, value_parser = namespace)]
    namespace: Option<String>,
    /// The form of the answer
    #[arg(short, long, value_enum, default_value_t, value_name = "FORM")]
    output: Output,
    /// The least severity that makes the exit code 79
    #[arg(long, value_enum, default_value = "error", value_name = "SEVERITY", ignore_case = true)]
    fail_on: Severity,
}

/// What was seen so far.
#[derive(Default)]
struct Seen {
    findings: Vec<Finding>,
    files: usize,
    objects: usize,
    /// Objects of other APIs.
    skipped: usize,
    /// Whether something could not be parsed.
    unreadable: bool,
}

/// All that the cluster would refuse of an object.
pub(super) fn errors_of(object: &serde_json::Value) -> Vec<Finding> {
    let (documents, _) = source::read(&object.to_string());
    let mut checker = Checker::new(None);
    let verdicts = documents.iter().flat_map(manifests).map(|manifest| checker.check(&manifest));
    let findings = verdicts.flat_map(|verdict| match verdict {
        Verdict::Checked(findings) => findings,
        Verdict::OtherApi => Vec::new(),
    });
    findings.filter(|finding| finding.severity == Severity::Error).collect()
}

// === impl ValidateArgs ===

impl ValidateArgs {
    /// Checks the files and tells what was found.
    ///
    /// # Errors
    /// When there is no file, or one can't be read; the others are told of all the same.
    pub(super) fn run(&self, streams: &mut Streams<'_>, style: Style) -> Result<Exit, Failure> {
        let names: Vec<String> = self.filename.iter().chain(&self.files).cloned().collect();
        if names.is_empty() {
            return Err(Failure::usage("no file is named: try ferromesh validate FILE, or - for standard input"));
        }
        let mut checker = Checker::new(self.namespace.as_deref());
        let mut seen = Seen::default();
        let mut missing = Vec::new();
        for text in input::texts(&names, self.recursive, streams.stdin) {
            match text {
                Ok(text) => {
                    seen.files += 1;
                    self.file(&text, &mut checker, &mut seen);
                }
                Err(failure) if failure.exit == Exit::Unreadable => seen.unreadable(&failure),
                Err(failure) => missing.push(failure),
            }
        }
        if seen.files > 0 || seen.unreadable {
            let told = self.told(&seen, style);
            streams.answer(&told).map_err(|error| Failure::new(Exit::Failed, error))?;
        }
        // What made the files may have failed.
        if seen.files > 0 && seen.objects + seen.skipped == 0 && seen.findings.is_empty() {
            streams.note("note: there is no object in what was named, so nothing was validated");
        }
        let fails = seen.findings.iter().any(|finding| finding.severity >= self.fail_on);
        Failure::all(missing).map(|()| match (seen.unreadable, fails) {
            (true, _) => Exit::Unreadable,
            (false, true) => Exit::Findings,
            (false, false) => Exit::Clean,
        })
    }

    /// Checks all objects of a file.
    fn file(&self, text: &SourceText, checker: &mut Checker, seen: &mut Seen) {
        let (documents, problems) = source::read(&text.text);
        let mut found: Vec<Finding> = Vec::new();
        for problem in problems {
            seen.unreadable |= !problem.duplicate;
            found.push(Finding::of_text(&problem, text));
        }
        for document in &documents {
            for manifest in manifests(document) {
                match checker.check(&manifest) {
                    Verdict::OtherApi => seen.skipped += 1,
                    Verdict::Checked(findings) => {
                        seen.objects += 1;
                        let object = manifest.shown(self.namespace.as_deref());
                        let placed = |finding: Finding| Finding { object: object.clone(), ..finding.placed(&manifest, text) };
                        found.extend(findings.into_iter().map(placed));
                    }
                }
            }
        }
        found.sort_by_key(Finding::position);
        seen.findings.extend(unknown_kinds_once(found));
    }

    fn told(&self, seen: &Seen, style: Style) -> String {
        let findings = seen.findings.iter();
        match self.output {
            Output::Human => {
                let told: Vec<String> = findings.map(|finding| format!("{}\n", report::human(finding, style))).collect();
                format!("{}{}\n", told.concat(), seen.summary(style))
            }
            Output::Log => findings.map(|finding| report::log(finding, style)).collect(),
            Output::Table | Output::Wide => report::table(&seen.findings, self.output == Output::Wide, style),
            Output::Json | Output::Yaml => report::document(&seen.document(), self.output == Output::Yaml),
        }
    }
}

// === impl Seen ===

impl Seen {
    fn unreadable(&mut self, failure: &Failure) {
        self.unreadable = true;
        self.findings.push(Finding::of_unreadable(&failure.message));
    }

    fn document(&self) -> ValidationDocument {
        let count = Count::of(&self.findings);
        ValidationDocument {
            api_version: "cli.ferromesh.dev/v1alpha1",
            kind: "Validation",
            findings: self.findings.iter().map(report::finding).collect(),
            summary: SummaryDocument {
                files: self.files,
                objects: self.objects,
                objects_of_other_apis: self.skipped,
                errors: count.errors,
                warnings: count.warnings,
                infos: count.infos,
            },
        }
    }

    /// `✓ 3 objects are valid; 2 objects of other APIs skipped`.
    fn summary(&self, style: Style) -> String {
        let count = Count::of(&self.findings).words();
        let objects = counted(self.objects, "object");
        let checked = match (count.as_str(), self.objects) {
            ("", 1) => format!("{} {objects} is valid", style.good()),
            ("", _) => format!("{} {objects} are valid", style.good()),
            (count, _) => format!("{count} in {objects}"),
        };
        match self.skipped {
            0 => checked,
            skipped => format!("{checked}; {} of other APIs skipped", counted(skipped, "object")),
        }
    }
}

#[cfg(test)]
mod tests;
