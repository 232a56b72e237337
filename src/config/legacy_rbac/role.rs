//! ServiceRole, and rules of access wherever they stand.

use ferromesh_crds::rbac::ServiceRole;
use ferromesh_crds::rbac::service_role::AccessRule;

use super::{CONSEQUENCE, SUCCESSOR};
use crate::config::path::{At, SPEC};
use crate::config::problem::{Code, Invalid, Parsed};
use crate::config::reading::{ParseContext, Reading};
use crate::model;

/// The most rules.
pub(super) const MOST: usize = 512;

/// Reads a ServiceRole.
///
/// # Errors
/// Everything that is wrong with it.
pub fn service_role(object: &ServiceRole, context: &ParseContext) -> Result<Parsed<model::ServiceRole>, Invalid> {
    let mut reading = Reading::new("ServiceRole", &object.metadata, context);
    reading.deprecated_kind(SUCCESSOR, CONSEQUENCE);
    let at = SPEC.field("rules");
    match object.spec.rules.len() {
        0 => reading.error(&at, Code::Required, "at least one rule is needed"),
        1..=MOST => {}
        count => reading.error(&at, Code::WrongSize, format!("has {count} entries, {MOST} at most are allowed")),
    }
    let rules = at.each(&object.spec.rules, |at, one| {
        if one.services.is_empty() {
            reading.error(&at.field("services"), Code::Required, "at least one service is needed: \"*\" for all of the namespace");
        }
        rule(&mut reading, at, one)
    });
    let value = model::ServiceRole { origin: reading.origin.clone(), rules, created: reading.created };
    reading.finish(value)
}

/// Reads a rule.
pub(super) fn rule(reading: &mut Reading<'_>, at: &At<'_>, rule: &AccessRule) -> model::AccessRule {
    reading.at_most_one(&at.field("notMethods"), [("methods", !rule.methods.is_empty()), ("notMethods", !rule.not_methods.is_empty())]);
    let has_ports = !rule.ports.is_empty() || !rule.not_ports.is_empty();
    reading.at_most_one(&at.field("notPorts"), [("ports", !rule.ports.is_empty()), ("notPorts", !rule.not_ports.is_empty())]);
    let text = |reading: &mut Reading<'_>, at: &At<'_>, one: &String| reading.text_match(at, one);
    let port = |reading: &mut Reading<'_>, at: &At<'_>, one: &u32| Some(reading.port(at, *one));
    let constraints = at.field("constraints").each(&rule.constraints, |at, one| {
        if one.key.is_empty() {
            reading.required(&at.field("key"));
        }
        if one.values.is_empty() {
            reading.error(&at.field("values"), Code::Required, "at least one value is needed");
        }
        if one.key == "destination.port" && has_ports {
            reading.error(&at.field("key"), Code::Conflict, "there is ports already");
        }
        let values = at.field("values").each(&one.values, |at, text| reading.text_match(at, text));
        (one.key.as_str().into(), values.into_iter().flatten().collect())
    });
    model::AccessRule {
        services: at.field("services").each(&rule.services, |at, one| reading.text_match(at, one)).into_iter().flatten().collect(),
        hosts: reading.values(at, [("hosts", &rule.hosts), ("notHosts", &rule.not_hosts)], text),
        paths: reading.values(at, [("paths", &rule.paths), ("notPaths", &rule.not_paths)], text),
        methods: reading.values(at, [("methods", &rule.methods), ("notMethods", &rule.not_methods)], text),
        ports: reading.values(at, [("ports", &rule.ports), ("notPorts", &rule.not_ports)], port),
        constraints,
    }
}
