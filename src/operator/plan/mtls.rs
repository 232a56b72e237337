//! Mutual TLS for the whole mesh.

use serde_json::json;

use super::object::{Base, Planned};
use crate::operator::object::Kind;

/// The name by which people know the mesh-wide policy.
const NAME: &str = "default";

/// The policy by which workloads take mutual TLS alone, unless one of theirs says otherwise; none where plain text is taken, too.
pub(super) fn plan(base: Base<'_>) -> Option<Planned> {
    let policy = || base.object(Kind::PeerAuthentication, NAME, "mtls", json!({"spec": {"mtls": {"mode": "STRICT"}}}));
    base.settings.strict.then(policy)
}
