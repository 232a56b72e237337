//! What a status says of a verdict. Pure: the same verdict always says the same.

use ferromesh_crds::status::{MeshCondition, MeshStatus, ValidationLevel, ValidationMessage, ValidationMessageType};
use k8s_openapi::{
    apimachinery::pkg::{apis::meta::v1::Time, util::intstr::IntOrString},
    jiff::Timestamp,
};
use std::collections::BTreeSet;

use crate::config::{Code, Problem, clipped};
use crate::index::{ACCEPTED, Reported, Verdict};

/// Why an object is accepted, or is not. The names are API: scripts compare them. docs/galley.md explains them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    /// The mesh understands all of it.
    Accepted,
    /// The mesh understands it, but part of it is doubtful or has no effect.
    AcceptedWithWarnings,
    /// The mesh does not understand it: it has no effect at all.
    Invalid,
}

/// The longest message of a condition, in characters.
const LENGTH: usize = 300;
/// The most validation messages. One code is told once, so more than this is no real object.
const MESSAGES: usize = 20;
/// The page that explains every code.
const DOCUMENTATION: &str = "docs/codes.md";

// === impl Reason ===

impl Reason {
    #[cfg(test)]
    pub(super) const ALL: [Self; 3] = [Self::Accepted, Self::AcceptedWithWarnings, Self::Invalid];

    fn of(verdict: &Verdict) -> Self {
        match &verdict.outcome {
            Ok(warnings) if warnings.is_empty() => Self::Accepted,
            Ok(_) => Self::AcceptedWithWarnings,
            Err(_) => Self::Invalid,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Accepted => "Accepted",
            Self::AcceptedWithWarnings => "AcceptedWithWarnings",
            Self::Invalid => "Invalid",
        }
    }
}

/// What the status should say. `before` is what it says as far as is known: where the condition stays as it is, so does its time.
pub(super) fn share(verdict: &Verdict, before: &Reported, now: Timestamp) -> Reported {
    let reason = Reason::of(verdict);
    let status = if reason == Reason::Invalid { "False" } else { "True" };
    let (level, problems) = match &verdict.outcome {
        Ok(warnings) => (ValidationLevel::Warning, warnings),
        Err(invalid) => (ValidationLevel::Error, &invalid.errors),
    };
    let message = match &verdict.outcome {
        Ok(warnings) if warnings.is_empty() => "understood by the mesh".to_owned(),
        Ok(warnings) => joined(warnings),
        Err(invalid) => invalid.to_string(),
    };
    let unchanged = before.accepted.as_ref().filter(|condition| condition.status.as_deref() == Some(status));
    let condition = MeshCondition {
        type_: ACCEPTED.to_owned(),
        status: Some(status.to_owned()),
        reason: Some(reason.name().to_owned()),
        message: Some(clipped(&message, LENGTH - 1)),
        last_probe_time: None,
        last_transition_time: unchanged.and_then(|condition| condition.last_transition_time.clone()).or(Some(Time(now))),
        observed_generation: verdict.generation.map(generation),
    };
    Reported { accepted: Some(Box::new(condition)), messages: messages(problems, level), observed_generation: verdict.generation }
}

/// Whether `found` says something else than `wanted`. Times don't count: they follow from the rest.
pub(super) fn differs(wanted: &Reported, found: &Reported) -> bool {
    let said = |reported: &Reported| {
        let MeshCondition { status, reason, message, observed_generation, .. } = reported.accepted.as_deref().cloned().unwrap_or_default();
        (status, reason, message, observed_generation.map(|generation| generation_text(&generation)))
    };
    said(wanted) != said(found) || wanted.messages != found.messages || wanted.observed_generation != found.observed_generation
}

/// The status that has this share and nothing else, for server-side apply.
pub(super) fn status(share: &Reported) -> MeshStatus {
    MeshStatus {
        conditions: share.accepted.as_deref().cloned().into_iter().collect(),
        validation_messages: share.messages.clone(),
        observed_generation: share.observed_generation.map(generation),
    }
}

/// Each code once, in the order in which they were found.
fn messages(problems: &[Problem], level: ValidationLevel) -> Vec<ValidationMessage> {
    let mut told = BTreeSet::new();
    problems.iter().map(|problem| problem.code).filter(|code| told.insert(*code)).take(MESSAGES).map(|code| message(code, level)).collect()
}

fn message(code: Code, level: ValidationLevel) -> ValidationMessage {
    ValidationMessage {
        type_: Some(ValidationMessageType { name: Some(code.name().to_owned()), code: Some(code.to_string()) }),
        level: Some(level),
        documentation_url: Some(DOCUMENTATION.to_owned()),
    }
}

fn joined(problems: &[Problem]) -> String {
    let mut text = String::new();
    for problem in problems {
        if text.len() > 4 * LENGTH {
            break;
        }
        text.push_str(if text.is_empty() { "" } else { "; " });
        text.push_str(&problem.to_string());
    }
    text
}

fn generation(generation: i64) -> IntOrString {
    i32::try_from(generation).map_or_else(|_| IntOrString::String(generation.to_string()), IntOrString::Int)
}

fn generation_text(generation: &IntOrString) -> String {
    match generation {
        IntOrString::Int(number) => number.to_string(),
        IntOrString::String(text) => text.clone(),
    }
}
