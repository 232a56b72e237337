//! AuthorizationPolicy.

mod condition;
mod rule;

use ferromesh_crds::security::AuthorizationPolicy;
use ferromesh_crds::security::authorization_policy::{AuthorizationAction as Action, AuthorizationPolicySpec, AuthorizationRule};

use super::path::{At, METADATA, SPEC};
use super::policy_target::Attachment;
use super::problem::{Code, Invalid, Parsed, quoted};
use super::reading::{DRY_RUN, ParseContext, Reading};
use crate::model::{self, AuthorizationAction};

/// The most rules, and the most sources of one.
const MOST: usize = 512;

/// Reads an AuthorizationPolicy.
///
/// # Errors
/// Everything that is wrong with it.
pub fn authorization_policy(object: &AuthorizationPolicy, context: &ParseContext) -> Result<Parsed<model::AuthorizationPolicy>, Invalid> {
    let mut reading = Reading::new("AuthorizationPolicy", &object.metadata, context);
    let spec = &object.spec;
    reading.not_honoured_kind("no request is allowed or refused because of it");
    let given = spec.action.unwrap_or(Action::Allow);
    let dry_run = dry_run(&mut reading, object, given);
    let target = reading.policy_target(&Attachment {
        selector: spec.selector.as_ref(),
        reference: spec.target_ref.as_ref(),
        references: &spec.target_refs,
    });
    let action = action(&mut reading, spec, given);
    let at = SPEC.field("rules");
    limit(&mut reading, &at, spec.rules.len());
    let rules = at.each(&spec.rules, |at, one| {
        limit(&mut reading, &at.field("from"), one.from.len());
        warn_of_connections(&mut reading, at, one, given);
        rule::read(&mut reading, at, one, given)
    });
    let value = model::AuthorizationPolicy { origin: reading.origin.clone(), target, action, rules, dry_run, created: reading.created };
    reading.finish(value)
}

fn limit(reading: &mut Reading<'_>, at: &At<'_>, count: usize) {
    if count > MOST {
        reading.error(at, Code::WrongSize, format!("has {count} entries, {MOST} at most are allowed"));
    }
}

/// How actions are spelled in configuration.
fn action_name(action: Action) -> &'static str {
    match action {
        Action::Allow => "ALLOW",
        Action::Deny => "DENY",
        Action::Audit => "AUDIT",
        Action::Custom => "CUSTOM",
    }
}

fn dry_run(reading: &mut Reading<'_>, object: &AuthorizationPolicy, action: Action) -> bool {
    let annotations = object.metadata.annotations.as_ref();
    let Some(text) = annotations.and_then(|annotations| annotations.get(DRY_RUN)) else { return false };
    let at = METADATA.field("annotations");
    let at = at.key(DRY_RUN);
    if !matches!(action, Action::Allow | Action::Deny) {
        let message = format!("goes with action ALLOW or DENY only, not {}", action_name(action));
        reading.error(&at, Code::Conflict, message);
        return false;
    }
    match text.as_str() {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => true,
        "0" | "f" | "F" | "FALSE" | "false" | "False" => false,
        other => {
            reading.error(&at, Code::NotAllowed, format!("{} is neither \"true\" nor \"false\"", quoted(other)));
            false
        }
    }
}

fn action(reading: &mut Reading<'_>, spec: &AuthorizationPolicySpec, action: Action) -> AuthorizationAction {
    let rules = SPEC.field("rules");
    let provider = SPEC.field("provider");
    if action != Action::Custom && spec.provider.is_some() {
        reading.error(&provider, Code::Conflict, format!("goes with action CUSTOM only, not {}", action_name(action)));
    }
    if matches!(action, Action::Deny | Action::Custom) && spec.rules.is_empty() {
        let message = format!("{} without rules never matches: add an empty rule {{}} to match every request", action_name(action));
        reading.error(&rules, Code::Required, message);
    }
    match action {
        Action::Allow => AuthorizationAction::Allow,
        Action::Deny => AuthorizationAction::Deny,
        Action::Audit => AuthorizationAction::Audit,
        Action::Custom => {
            let name = spec.provider.as_ref().and_then(|provider| provider.name.as_deref()).unwrap_or_default();
            if name.is_empty() {
                reading.error(&provider.field("name"), Code::Required, "required: CUSTOM asks the provider of that name");
            }
            AuthorizationAction::Custom(name.into())
        }
    }
}

/// Connections that are not HTTP have none of its attributes. To be safe they count as matched, so a DENY that names such attributes
/// alone shuts every other port.
fn warn_of_connections(reading: &mut Reading<'_>, at: &At<'_>, rule: &AuthorizationRule, action: Action) {
    let sources: Vec<_> = rule.from.iter().filter_map(|from| from.source.as_ref()).collect();
    let operations: Vec<_> = rule.to.iter().filter_map(|to| to.operation.as_ref()).collect();
    let narrows_connections = sources.iter().any(|source| rule::names_connection(source));
    let narrows_ports = operations.iter().any(|operation| !operation.ports.is_empty() || !operation.not_ports.is_empty());
    let http_alone = if operations.is_empty() { !sources.is_empty() && !narrows_connections } else { !narrows_ports };
    if action == Action::Deny && http_alone {
        let message = "names attributes of HTTP alone, so it denies all connections to ports that are not HTTP: name the ports";
        reading.warn(at, Code::Risky, message);
    }
}

#[cfg(test)]
mod tests;
