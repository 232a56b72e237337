//! One object of any kind, as JSON: everything that is wrong with it in one answer.

use std::collections::BTreeSet;

use ferromesh_crds::catalog::{self, Kind};
use ferromesh_crds::check::{self, ProblemKind};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::problem::{Code, Invalid, Parsed, Problem, clipped, quoted};
use super::reading::{KEPT, ParseContext};
use super::{
    authorization_policy, cluster_rbac_config, destination_rule, envoy_filter, gateway, mesh_policy, peer_authentication, policy,
    proxy_config, rbac_config, request_authentication, service_entry, service_role, service_role_binding, sidecar, telemetry,
    traffic_extension, virtual_service, wasm_plugin, workload_entry, workload_group,
};
use crate::model::ConfigObject;

/// How much of a path and of a message is kept where an object's own texts are in them.
const SHOWN: usize = 300;

/// Reads an object of any kind, whatever the version: all versions of a kind have the same fields.
///
/// # Errors
/// What the schema does not allow (unknown fields among it), and what the kind's own reader finds in the rest.
pub fn parse_object(group: &str, kind: &str, object: &Value, context: &ParseContext) -> Result<Parsed<ConfigObject>, Invalid> {
    let Some(known) = catalog::find(group, kind) else {
        return Err(single(Code::UnknownKind, format!("the mesh has no kind {} in group {}", quoted(kind), quoted(group))));
    };
    match kind {
        "AuthorizationPolicy" => read(known, object, context, authorization_policy),
        "ClusterRbacConfig" => read(known, object, context, cluster_rbac_config),
        "DestinationRule" => read(known, object, context, destination_rule),
        "EnvoyFilter" => read(known, object, context, envoy_filter),
        "Gateway" => read(known, object, context, gateway),
        "MeshPolicy" => read(known, object, context, mesh_policy),
        "PeerAuthentication" => read(known, object, context, peer_authentication),
        "ProxyConfig" => read(known, object, context, proxy_config),
        "Policy" => read(known, object, context, policy),
        "RbacConfig" => read(known, object, context, rbac_config),
        "RequestAuthentication" => read(known, object, context, request_authentication),
        "ServiceEntry" => read(known, object, context, service_entry),
        "ServiceRole" => read(known, object, context, service_role),
        "ServiceRoleBinding" => read(known, object, context, service_role_binding),
        "Sidecar" => read(known, object, context, sidecar),
        "Telemetry" => read(known, object, context, telemetry),
        "TrafficExtension" => read(known, object, context, traffic_extension),
        "VirtualService" => read(known, object, context, virtual_service),
        "WorkloadEntry" => read(known, object, context, workload_entry),
        "WorkloadGroup" => read(known, object, context, workload_group),
        "WasmPlugin" => read(known, object, context, wasm_plugin),
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
    let mut left_out = BTreeSet::new();
    let typed = match Api::deserialize(object).or_else(|_| Api::deserialize(readable(kind, object))) {
        Ok(typed) => typed,
        Err(_) if !errors.is_empty() => {
            let (rest, wrong) = check::without_wrong_values(kind.schema(), &readable(kind, object), &found);
            left_out = wrong;
            match Api::deserialize(rest) {
                Ok(typed) => typed,
                Err(_) => return Err(Invalid { errors, more }),
            }
        }
        Err(error) => return Err(single(Code::Unreadable, clipped(&error.to_string(), SHOWN))),
    };
    match reader(&typed, context) {
        Ok(parsed) if errors.is_empty() => Ok(Parsed { value: parsed.value.into(), warnings: parsed.warnings }),
        Ok(_) => Err(Invalid { errors, more }),
        Err(invalid) => {
            // That the schema counts fields where one may stand is told better by who knows what they are for.
            let told_better = |problem: &Problem| {
                let better = |own: &Problem| own.path == problem.path && matches!(own.code, Code::Conflict | Code::Required);
                problem.code == Code::WrongSize && invalid.errors.iter().any(better)
            };
            errors.retain(|problem| !told_better(problem));
            let told: BTreeSet<String> = errors.iter().map(|problem| problem.path.clone()).collect();
            let is_news =
                |problem: &Problem| !told.contains(&problem.path) && !left_out.iter().any(|field| lies_within(field, &problem.path));
            errors.extend(invalid.errors.into_iter().filter(is_news));
            let more = more + invalid.more + errors.len().saturating_sub(KEPT);
            errors.truncate(KEPT);
            Err(Invalid { errors, more })
        }
    }
}

/// Whether a path is, or leads into, the part of the object at `outer`. What is said of a whole from which a wrong value was left out may
/// come from that alone.
fn lies_within(path: &str, outer: &str) -> bool {
    path.strip_prefix(outer).is_some_and(|rest| outer.is_empty() || rest.is_empty() || rest.starts_with(['.', '[']))
}

/// Checks an object against the schema of a kind alone, for kinds that have no reader here.
///
/// # Errors
/// What the schema does not allow.
pub fn check_schema(kind: &Kind, object: &Value) -> Result<(), Invalid> {
    let (errors, more) = schema_errors(&check::problems(kind.schema(), object));
    if errors.is_empty() { Ok(()) } else { Err(Invalid { errors, more }) }
}

/// What the types have to read of an object. To the schema null is the same as absent, to the types it isn't; and what somebody wrote into
/// the status decides nothing.
fn readable(kind: &Kind, object: &Value) -> Value {
    let mut readable = check::without_nulls(kind.schema(), object);
    if let Some(fields) = readable.as_object_mut() {
        fields.remove("status");
    }
    readable
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
