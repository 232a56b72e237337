//! What readers said of the mesh's own objects.

use super::{Code, Finding, World};
use crate::config::{self, Problem};

/// Tells what is noted of every object.
pub(super) fn check(world: &World, findings: &mut Vec<Finding>) {
    for (object, notes) in &world.facts().notes {
        let errors = notes.errors.iter().map(|problem| (Code::SchemaValidationError, problem));
        let warnings = notes.warnings.iter().map(|problem| (code_of(problem), problem));
        findings
            .extend(errors.chain(warnings).map(|(code, problem)| Finding::new(code, object, problem.path.clone(), message(problem, code))));
    }
}

/// The code of a warning.
fn code_of(problem: &Problem) -> Code {
    match problem.code {
        config::Code::Deprecated => Code::Deprecated,
        config::Code::UnreachableRule => Code::VirtualServiceUnreachableRule,
        config::Code::AddressesRequired => Code::ServiceEntryAddressesRequired,
        config::Code::IneffectiveMatch => Code::VirtualServiceIneffectiveMatch,
        _ => Code::SchemaWarning,
    }
}

/// The reader's own code stays in sight, because its page says how to mend it.
fn message(problem: &Problem, code: Code) -> String {
    match problem.code.as_str() {
        own if own == code.as_str() => problem.message.clone(),
        own => format!("{} ({own})", problem.message),
    }
}
