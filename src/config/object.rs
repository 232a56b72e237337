//! One object of any kind, as JSON: everything that is wrong with it in one answer.

use std::collections::BTreeSet;

use ferromesh_crds::catalog::{self, Kind};
use ferromesh_crds::check::{self, ProblemKind};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::problem::{Code, Invalid, Parsed, Problem, clipped, quoted};
use super::reading::{KEPT, ParseContext};
use super::{
    destination_rule, envoy_filter, gateway, peer_authentication, proxy_config, service_entry, sidecar, virtual_service, workload_entry,
    workload_group,
};
use crate::model::ConfigObject;

/// How much of a path and of a message is kept where an object's own texts are in them.
const SHOWN: usize = 300;

/// Reads an object of any kind, whatever the version: all versions of a kind have the same fields.
///
/// # Errors
/// What the schema does not allow (unknown fields among it), and what the kind's own reader finds. Where types are wrong so that the
/// object can't be read, only the former.
pub fn parse_object(group: &str, kind: &str, object: &Value, context: &ParseContext) -> Result<Parsed<ConfigObject>, Invalid> {
    let Some(known) = catalog::find(group, kind) else {
        return Err(single(Code::UnknownKind, format!("the mesh has no kind {} in group {}", quoted(kind), quoted(group))));
    };
    match kind {
        "DestinationRule" => read(known, object, context, destination_rule),
        "EnvoyFilter" => read(known, object, context, envoy_filter),
        "Gateway" => read(known, object, context, gateway),
        "PeerAuthentication" => read(known, object, context, peer_authentication),
        "ProxyConfig" => read(known, object, context, proxy_config),
        "ServiceEntry" => read(known, object, context, service_entry),
        "Sidecar" => read(known, object, context, sidecar),
        "VirtualService" => read(known, object, context, virtual_service),
        "WorkloadEntry" => read(known, object, context, workload_entry),
        "WorkloadGroup" => read(known, object, context, workload_group),
        _ => Err(single(Code::UnknownKind, format!("{kind} is no configuration of traffic or security"))),
    }
}

/// What a kind's own reader returns.
type Read<T> = Result<Parsed<T>, Invalid>;

fn read<Api: DeserializeOwned, Model: Into<ConfigObject>>(
    kind: &Kind,
    object: &Value,
    context: &ParseContext,
    reader: fn(&Api, &ParseContext) -> Read<Model>,
) -> Read<ConfigObject> {
    let found = check::problems(kind.schema(), object);
    let (mut errors, more) = schema_errors(&found);
    let typed = match Api::deserialize(object) {
        Ok(typed) => typed,
        Err(_) if !errors.is_empty() => return Err(Invalid { errors, more }),
        // To the schema null is the same as absent, to the types it isn't.
        Err(_) => {
            serde_json::from_value(without_nulls(object)).map_err(|error| single(Code::Unreadable, clipped(&error.to_string(), SHOWN)))?
        }
    };
    match reader(&typed, context) {
        Ok(parsed) if errors.is_empty() => Ok(Parsed { value: parsed.value.into(), warnings: parsed.warnings }),
        Ok(_) => Err(Invalid { errors, more }),
        Err(invalid) => {
            let told: BTreeSet<String> = errors.iter().map(|problem| problem.path.clone()).collect();
            errors.extend(invalid.errors.into_iter().filter(|problem| !told.contains(&problem.path)));
            Err(Invalid { errors, more: more + invalid.more })
        }
    }
}

/// Checks an object against the schema of a kind alone, for kinds that have no reader here.
///
/// # Errors
/// What the schema does not allow.
pub fn check_schema(kind: &Kind, object: &Value) -> Result<(), Invalid> {
    let (errors, more) = schema_errors(&check::problems(kind.schema(), object));
    if errors.is_empty() { Ok(()) } else { Err(Invalid { errors, more }) }
}

/// What the schema does not allow, in the words and codes of this module.
fn schema_errors(found: &[check::Problem]) -> (Vec<Problem>, usize) {
    let convert = |problem: &check::Problem| Problem {
        path: clipped(&problem.path, SHOWN),
        message: clipped(&problem.kind.to_string(), SHOWN),
        code: match problem.kind {
            ProblemKind::UnknownField { .. } => Code::UnknownField,
            ProblemKind::WrongType { .. } => Code::WrongType,
            ProblemKind::Required => Code::Required,
            ProblemKind::NotAllowed { .. } => Code::NotAllowed,
            ProblemKind::OutOfRange { .. } => Code::OutOfRange,
            ProblemKind::WrongSize { .. } => Code::WrongSize,
        },
    };
    (found.iter().take(KEPT).map(convert).collect(), found.len().saturating_sub(KEPT))
}

fn single(code: Code, message: String) -> Invalid {
    Invalid { errors: vec![Problem { path: String::new(), message, code }], more: 0 }
}

/// The object without fields that are null.
fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let present = fields.iter().filter(|(_, value)| !value.is_null());
            Value::Object(present.map(|(name, value)| (name.clone(), without_nulls(value))).collect())
        }
        Value::Array(items) => Value::Array(items.iter().map(without_nulls).collect()),
        other => other.clone(),
    }
}
