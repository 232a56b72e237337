//! What both webhook configurations are made of.

use k8s_openapi::ByteString;
use serde_json::{Value, json};

use super::object::Base;
use crate::operator::settings::Role;

/// Where the API server finds a role's webhook, and whose signature it trusts.
pub(super) fn client(base: Base<'_>, role: Role, path: &str, bundle: &str) -> Value {
    json!({
        "service": {"name": base.settings.revision.part(role), "namespace": base.namespace(), "path": path, "port": 443},
        "caBundle": ByteString(bundle.as_bytes().to_vec()),
    })
}

pub(super) fn expressions(expressions: &Value) -> Value {
    json!({"matchExpressions": expressions})
}
