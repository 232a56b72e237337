//! The answers to the API server, from memory.

use kube::core::admission::{AdmissionResponse, Operation};
use std::{cell::LazyCell, time::Instant};

use super::{
    metrics::{KnownKind, Metrics},
    review::KnownMesh,
};
use crate::compile::{Fault, unreadable_patches};
use crate::config::{Code, Invalid, ParseContext, Problem, clipped, parse_object};
use crate::model::ConfigObject;
use crate::runtime::AdmissionRequest;

/// Objects with this annotation are refused: a probe of whether the webhook is in force. The name is the reference's.
const ALWAYS_REJECT: &str = "internal.istio.io/webhook-always-reject";
/// How many warnings an answer carries, the one that counts the rest among them.
const WARNINGS: usize = 20;
/// How much of one warning is told: the API server may cut longer ones.
const WARNING: usize = 256;
/// How many bytes they have together: of more than these the API server drops all.
const ALL_WARNINGS: usize = 4096;

/// Answers for configuration. Clones share the figures.
#[derive(Clone, Debug)]
pub(super) struct Webhook {
    pub(super) context: ParseContext,
    pub(super) mesh: KnownMesh,
    pub(super) metrics: Metrics,
}

/// What is said of one object.
enum Verdict {
    /// With what is doubtful about it, or about the mesh with it.
    Good(Vec<String>),
    Bad(Invalid),
    /// Refused whatever it says.
    Probe,
    /// Nothing is stored that pilot would read: a deletion, a status, an object on its way out.
    Unconcerned,
}

// === impl Webhook ===

impl Webhook {
    /// The answer to one review.
    pub(super) fn answer(&self, request: &AdmissionRequest) -> AdmissionResponse {
        let started = Instant::now();
        let verdict = self.judge(request);
        let response = self.worded(request, verdict);
        self.metrics.seconds.observe(started.elapsed().as_secs_f64());
        response
    }

    fn judge(&self, request: &AdmissionRequest) -> Verdict {
        let stored = matches!(request.operation, Operation::Create | Operation::Update) && request.subresource.is_none();
        let object = match &request.object {
            Some(object) if stored => object,
            _ => return Verdict::Unconcerned,
        };
        let metadata = &object["metadata"];
        // An object that was stored before there was a webhook must be able to lose its finalizers.
        if request.operation == Operation::Update && !metadata["deletionTimestamp"].is_null() {
            return Verdict::Unconcerned;
        }
        if metadata["annotations"].get(ALWAYS_REJECT).is_some() {
            return Verdict::Probe;
        }
        let mut context = self.context.clone();
        if let Some(namespace) = &request.namespace {
            context.default_namespace.clone_from(namespace);
        }
        match parse_object(&request.group, &request.kind, object, &context) {
            Ok(parsed) => {
                let mut warnings: Vec<String> = parsed.warnings.iter().map(Problem::to_string).collect();
                warnings.extend(unreadable(&parsed.value).iter().map(Problem::to_string));
                warnings.extend(self.mesh.findings(&parsed.value, &metadata["annotations"]));
                Verdict::Good(warnings)
            }
            Err(invalid) => Verdict::Bad(invalid),
        }
    }

    /// Counts and logs a verdict and puts it into the API server's words.
    fn worded(&self, request: &AdmissionRequest, verdict: Verdict) -> AdmissionResponse {
        let kind = KnownKind::of(&request.group, &request.kind);
        // Most are good, and of those nothing is told.
        let object = LazyCell::new(|| format!("{} {}", request.kind, request.shown_name()));
        match verdict {
            Verdict::Good(warnings) => {
                self.metrics.pass(kind);
                tracing::debug!(object = %*object, warnings = warnings.len(), dry_run = request.dry_run, "may be stored");
                let mut response = request.allow();
                response.warnings = worded_warnings(&warnings);
                response
            }
            Verdict::Bad(invalid) => {
                let unknown = invalid.errors.iter().any(|problem| problem.code == Code::UnknownKind);
                self.metrics.fail(kind, if unknown { "unknown_kind" } else { "invalid" });
                tracing::info!(object = %*object, %invalid, user = request.username, dry_run = request.dry_run, "refused");
                request.deny(format_args!("{} {invalid}", *object))
            }
            Verdict::Probe => {
                self.metrics.fail(kind, "probe");
                request.deny(format_args!("{} has the annotation {ALWAYS_REJECT}, so it is refused whatever it says: remove it", *object))
            }
            Verdict::Unconcerned => request.allow(),
        }
    }
}

/// What pilot will leave out of an object.
fn unreadable(object: &ConfigObject) -> Vec<Problem> {
    let ConfigObject::EnvoyFilter(filter) = object else { return Vec::new() };
    let problem = |fault: Fault| {
        let message = format!("the patch is left out: {}", fault.message);
        Problem { path: format!("{}.patch.value", fault.path), message, code: Code::NotHonoured }
    };
    unreadable_patches(filter).into_iter().map(problem).collect()
}

/// Each once, as many as the API server passes on; the last one counts what is left out.
fn worded_warnings(warnings: &[String]) -> Option<Vec<String>> {
    let mut told: Vec<String> = Vec::new();
    let (mut bytes, mut left_out) = (0, 0);
    for warning in warnings {
        let words = clipped(warning, WARNING - 1);
        if told.contains(&words) {
            continue;
        }
        // Room is kept for the line that counts.
        if told.len() + 1 < WARNINGS && bytes + words.len() + WARNING <= ALL_WARNINGS {
            bytes += words.len();
            told.push(words);
        } else {
            left_out += 1;
        }
    }
    if left_out > 0 {
        told.push(format!("and {left_out} more warnings"));
    }
    (!told.is_empty()).then_some(told)
}
