//! `ferromesh check`: can the mesh be installed here, is it well, and are a namespace's workloads as they should be?
//!
//! A check is a row of a table: a pure function from [`Facts`], which are read once, to what was found. docs/checks.md explains each.

mod before;
mod certificates;
mod control_plane;
mod facts;
mod foreign;
mod installation;
mod nodes;
mod precheck;
mod proxies;
mod read;
mod row;
#[cfg(test)]
mod tests;
mod workloads;

pub(super) use precheck::Precheck;

use clap::Args;
use schemars::JsonSchema;
use serde::Serialize;
use std::time::Duration;

pub(super) use self::foreign::Foreign;
use self::{
    facts::Facts,
    row::{Area, Check, Found},
};
use super::{
    cluster::{ClusterArgs, MeshArgs, ask, namespace},
    codes::explanations,
    document::Level,
    exit::{Exit, Failure},
    finding::Severity,
    install::timeout,
    report::{self, Form, counted},
    terminal::{Streams, Style, harmless},
};

/// Check a cluster before an installation, the mesh after it, or the workloads of one namespace
#[derive(Args, Debug)]
#[command(after_help = "\
Without a MeshInstall it is checked whether one can be installed; with one, whether all is well. What can't be read is skipped and said.
ferromesh analyze looks at the mesh's configuration.
Exit codes: 0 nothing as bad as --fail-on, 79 something found, 1 no check could be run, 69 no cluster, 75 no answer in time.

Examples:
  ferromesh check
  ferromesh check --before --skip FM1006
  ferromesh check -n shop -o json")]
pub(super) struct CheckArgs {
    /// Check whether the mesh can be installed, even if it is
    #[arg(long, visible_alias = "pre", conflicts_with = "namespace")]
    before: bool,
    /// Check the workloads and proxies of this namespace alone
    #[arg(short, long, value_parser = namespace)]
    namespace: Option<String>,
    #[command(flatten)]
    common: CommonArgs,
}

/// Check whether the mesh can be installed: as ferromesh check --before
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  ferromesh experimental precheck
  ferromesh x precheck --fail-on warning")]
pub(super) struct PrecheckArgs {
    #[command(flatten)]
    common: CommonArgs,
}

#[derive(Args, Debug)]
struct CommonArgs {
    /// Tell of what is as it should be, too
    #[arg(short, long)]
    verbose: bool,
    /// The least severity that makes the exit code 79
    #[arg(long, value_enum, default_value = "error", value_name = "SEVERITY", ignore_case = true)]
    fail_on: Severity,
    /// Leave out the check with this code: FM1006 where it is somebody else who installs
    #[arg(long, value_name = "CODE", value_delimiter = ',', value_parser = code)]
    skip: Vec<&'static str>,
    /// The form of the answer
    #[arg(short, long, value_enum, default_value_t, value_name = "FORM")]
    output: Form,
    #[command(flatten)]
    mesh: MeshArgs,
    /// How long the cluster may take
    #[arg(long, default_value = "60s", value_parser = timeout, value_name = "TIME", help_heading = "Cluster")]
    timeout: Duration,
    #[command(flatten)]
    cluster: ClusterArgs,
}

/// Which checks are run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Before,
    After,
    Namespace,
}

/// The answer of `ferromesh check`.
#[derive(Debug, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Check")]
pub(super) struct CheckDocument {
    /// `cli.ferromesh.dev/v1alpha1`.
    api_version: &'static str,
    /// `Check`.
    kind: &'static str,
    /// Each check, in its order.
    checks: Vec<CheckRow>,
}

/// How one check ended.
#[derive(Debug, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CheckRow {
    /// What `ferromesh explain` takes, for example `FM1001`.
    code: &'static str,
    /// What it is about, for example `control plane`.
    area: &'static str,
    /// What it looks at; true if nothing was found.
    about: &'static str,
    /// Why it could not be told; null if it could.
    skipped: Option<String>,
    /// What was found.
    findings: Vec<CheckFinding>,
    /// How to mend what it finds.
    remedy: String,
    #[serde(skip)]
    #[schemars(skip)]
    of: Area,
}

/// Something that was found.
#[derive(Debug, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CheckFinding {
    /// How bad it is.
    level: Level,
    /// The object, for example `Pod shop/web-1`; null if it is about none in particular.
    object: Option<String>,
    /// What was found.
    message: String,
    /// A command that mends it, or tells more; null if there is none.
    command: Option<String>,
    #[serde(skip)]
    #[schemars(skip)]
    severity: Severity,
}

/// The code under which it is explained that a check was skipped.
const SKIPPED: &str = "FM0077";
/// Checks that mean something only as long as nothing is installed.
const BEFORE_ONLY: [&str; 3] = ["FM1006", "FM1012", "FM1027"];
/// How many findings of one check a person is shown.
const SHOWN: usize = 3;

// === impl CheckArgs ===

impl CheckArgs {
    /// Checks, and tells what was found.
    ///
    /// # Errors
    /// When the cluster can't be asked at all.
    pub(super) fn run(&self, streams: &mut Streams<'_>, style: Style, now: i64) -> Result<Exit, Failure> {
        let stage = match (&self.namespace, self.before) {
            (Some(_), _) => Some(Stage::Namespace),
            (None, true) => Some(Stage::Before),
            (None, false) => None,
        };
        self.common.run(stage, self.namespace.as_deref(), streams, style, now)
    }
}

impl PrecheckArgs {
    /// Checks, and tells what was found.
    ///
    /// # Errors
    /// When the cluster can't be asked at all.
    pub(super) fn run(&self, streams: &mut Streams<'_>, style: Style, now: i64) -> Result<Exit, Failure> {
        self.common.run(Some(Stage::Before), None, streams, style, now)
    }
}

impl CommonArgs {
    fn run(
        &self,
        stage: Option<Stage>,
        namespace: Option<&str>,
        streams: &mut Streams<'_>,
        style: Style,
        now: i64,
    ) -> Result<Exit, Failure> {
        let facts = ask(self.timeout, async {
            let cluster = self.cluster.connect().await?;
            read::facts(&cluster, &self.mesh.namespace, namespace, now).await
        })?;
        let stage = stage.unwrap_or(if facts.has_mesh() { Stage::After } else { Stage::Before });
        let rows = run(stage, &facts, &self.skip);
        let exit = exit(&rows, self.fail_on);
        streams.answered(&told(rows, self.output, self.verbose, style))?;
        if self.output == Form::Human && stage == Stage::Before && !facts.has_mesh() {
            let why = facts.meshes.as_ref().err().map(|reason| format!("whether there is a MeshInstall is not known ({reason})"));
            let why = why.unwrap_or_else(|| "there is no MeshInstall".to_owned());
            streams.note(&format!("note: {why}, so it was checked whether one can be installed"));
        }
        exit
    }
}

/// The answer in the form that is asked for.
fn told(rows: Vec<CheckRow>, output: Form, verbose: bool, style: Style) -> String {
    match output {
        Form::Human => human(&rows, verbose, style),
        form => {
            let document = CheckDocument { api_version: "cli.ferromesh.dev/v1alpha1", kind: "Check", checks: rows };
            report::document(&document, form == Form::Yaml)
        }
    }
}

/// How it ends.
///
/// # Errors
/// When no check could be run, so that nothing is known.
fn exit(rows: &[CheckRow], fail_on: Severity) -> Result<Exit, Failure> {
    if rows.iter().all(|row| row.skipped.is_some()) {
        return Err(Failure::new(Exit::Failed, "no check could be run: ask with the right to read what they look at"));
    }
    let bad = rows.iter().flat_map(|row| &row.findings).any(|finding| finding.severity >= fail_on);
    Ok(if bad { Exit::Findings } else { Exit::Clean })
}

/// All checks, area by area.
fn checks() -> impl Iterator<Item = &'static Check> {
    let of_mesh = [installation::CHECKS, control_plane::CHECKS, certificates::CHECKS, proxies::CHECKS, workloads::CHECKS];
    [before::CHECKS, nodes::CHECKS].into_iter().chain(of_mesh).flatten()
}

/// The code of a check, in whichever letters it is written.
fn code(text: &str) -> Result<&'static str, String> {
    let found = checks().map(|check| check.code).find(|code| code.eq_ignore_ascii_case(text));
    found.ok_or_else(|| "no check has this code: ferromesh check -v shows them".to_owned())
}

// === impl Stage ===

impl Stage {
    fn has(self, check: &Check) -> bool {
        match self {
            Self::Before => matches!(check.area, Area::Cluster | Area::Nodes),
            Self::After => !BEFORE_ONLY.contains(&check.code),
            Self::Namespace => matches!(check.area, Area::Proxies | Area::Workloads),
        }
    }
}

/// Runs the checks of a stage, but for those that are to be left out.
fn run(stage: Stage, facts: &Facts, left_out: &[&str]) -> Vec<CheckRow> {
    let explained = explanations();
    let remedy = |code: &str| explained.iter().find(|it| it.code == code).map(|it| it.remedy.clone()).unwrap_or_default();
    let look = |check: &Check| if left_out.contains(&check.code) { Err("left out by --skip".to_owned()) } else { (check.look)(facts) };
    checks().filter(|check| stage.has(check)).map(|check| CheckRow::of(check, look(check), remedy(check.code))).collect()
}

// === impl CheckRow ===

impl CheckRow {
    fn of(check: &Check, looked: Result<Vec<Found>, String>, remedy: String) -> Self {
        let (skipped, found) = match looked {
            Ok(found) => (None, found),
            Err(reason) => (Some(reason), Vec::new()),
        };
        let findings = found.into_iter().map(|found| CheckFinding::of(found, check.severity)).collect();
        Self { code: check.code, area: check.area.name(), about: check.about, skipped, findings, remedy, of: check.area }
    }

    fn is_well(&self) -> bool {
        self.findings.is_empty() && self.skipped.is_none()
    }
}

impl CheckFinding {
    fn of(found: Found, default: Severity) -> Self {
        let severity = found.severity.unwrap_or(default);
        let level = match severity {
            Severity::Error => Level::Error,
            Severity::Warning => Level::Warning,
            Severity::Info => Level::Info,
        };
        Self { level, object: found.object, message: found.message, command: found.command, severity }
    }

    fn told(&self) -> String {
        match &self.object {
            Some(object) => format!("{object} {}", self.message),
            None => self.message.clone(),
        }
    }
}

/// The rows for people: a line for each finding, and one for all of an area that is well.
fn human(rows: &[CheckRow], verbose: bool, style: Style) -> String {
    let mut lines: Vec<(String, String, &str, String)> = Vec::new();
    for area in Area::ALL {
        let of_area: Vec<&CheckRow> = rows.iter().filter(|row| row.of == area).collect();
        let well = of_area.iter().filter(|row| row.is_well()).count();
        if well > 0 && !verbose {
            lines.push((style.good(), format!("{}: {} without a finding", area.name(), counted(well, "check")), "", String::new()));
        }
        for row in of_area {
            lines.extend(row_lines(row, verbose, style));
        }
    }
    let width = lines.iter().filter(|(_, _, code, _)| !code.is_empty()).map(|(_, text, ..)| text.chars().count()).max().unwrap_or(0);
    let mut told = String::new();
    for (mark, text, code, command) in lines {
        let line = format!("{mark} {:width$}  {code}  {command}", harmless(&text), width = width.min(80));
        told.push_str(line.trim_end());
        told.push('\n');
    }
    told.push_str(&summary(rows));
    told
}

fn row_lines(row: &CheckRow, verbose: bool, style: Style) -> Vec<(String, String, &str, String)> {
    if let Some(reason) = &row.skipped {
        return vec![("-".to_owned(), format!("{}: skipped, {reason}", row.about), SKIPPED, String::new())];
    }
    if row.findings.is_empty() {
        return if verbose { vec![(style.good(), row.about.to_owned(), row.code, String::new())] } else { Vec::new() };
    }
    let mark = |severity: Severity| match severity {
        Severity::Error => style.bad(),
        Severity::Warning => style.doubtful(),
        Severity::Info => "i".to_owned(),
    };
    let shown = if verbose { row.findings.len() } else { SHOWN };
    let told = |finding: &CheckFinding| {
        let command = finding.command.clone().unwrap_or_else(|| format!("ferromesh explain {}", row.code));
        (mark(finding.severity), finding.told(), row.code, command)
    };
    let mut lines: Vec<_> = row.findings.iter().take(shown).map(told).collect();
    let more = row.findings.len().saturating_sub(shown);
    if more > 0 {
        lines.push((mark(row.findings[0].severity), format!("and {more} more: -v"), row.code, String::new()));
    }
    lines
}

/// `1 error, 2 warnings, 3 skipped`.
fn summary(rows: &[CheckRow]) -> String {
    let of = |severity: Severity| rows.iter().flat_map(|row| &row.findings).filter(|finding| finding.severity == severity).count();
    let skipped = rows.iter().filter(|row| row.skipped.is_some()).count();
    let parts = [(of(Severity::Error), "error"), (of(Severity::Warning), "warning"), (of(Severity::Info), "info")];
    let mut told: Vec<String> = parts.into_iter().filter(|(count, _)| *count > 0).map(|(count, what)| counted(count, what)).collect();
    if skipped > 0 {
        told.push(format!("{skipped} skipped"));
    }
    let checks = counted(rows.len(), "check");
    if told.is_empty() { format!("{checks}, nothing found\n") } else { format!("{checks}: {}\n", told.join(", ")) }
}
