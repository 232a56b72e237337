//! Policy and MeshPolicy of Istio 1.4 as they were parsed: how callers prove who they are.

use std::sync::Arc;

use super::{JwtRule, ObjectRef};

/// How callers of a namespace's services prove who they are.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// The object.
    pub origin: ObjectRef,
    /// Services meant; empty for the whole namespace.
    pub targets: Vec<PolicyService>,
    /// What callers must prove.
    pub methods: AuthenticationMethods,
    /// Seconds since the epoch at which the object was made.
    pub created: i64,
}

/// How callers in the whole mesh prove who they are.
#[derive(Clone, Debug, PartialEq)]
pub struct MeshPolicy {
    /// The object.
    pub origin: ObjectRef,
    /// What callers must prove.
    pub methods: AuthenticationMethods,
    /// Seconds since the epoch at which the object was made.
    pub created: i64,
}

/// A service that a Policy is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyService {
    /// Its name in the Policy's namespace.
    pub name: Arc<str>,
    /// Its ports; empty for all.
    pub ports: Vec<PolicyPort>,
}

/// A port of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PolicyPort {
    /// By number.
    Number(u16),
    /// By name.
    Name(Arc<str>),
}

/// What callers must prove.
#[derive(Clone, Debug, PartialEq)]
pub struct AuthenticationMethods {
    /// Of these one must succeed for the workload; none asks nothing.
    pub peers: Vec<PeerMethod>,
    /// Whether requests pass for which none does.
    pub peer_is_optional: bool,
    /// Of these one must succeed for the end user; none asks nothing.
    pub origins: Vec<OriginMethod>,
    /// Whether requests pass for which none does.
    pub origin_is_optional: bool,
    /// Whether authorization goes by the end user rather than the workload.
    pub principal_is_origin: bool,
}

/// A way for a workload to prove who it is.
#[derive(Clone, Debug, PartialEq)]
pub enum PeerMethod {
    /// Mutual TLS.
    MutualTls {
        /// Whether plain text is taken too.
        permissive: bool,
    },
    /// A token.
    Token(Box<OriginMethod>),
}

/// A token that proves who an end user is.
#[derive(Clone, Debug, PartialEq)]
pub struct OriginMethod {
    /// How it is found and checked.
    pub rule: JwtRule,
    /// Requests whose token is checked: those that one of these takes; empty for all.
    pub triggers: Vec<TokenTrigger>,
}

/// Requests whose token is checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenTrigger {
    /// Paths that must not match.
    pub excluded: Vec<TriggerPath>,
    /// Paths of which one must match; empty for all.
    pub included: Vec<TriggerPath>,
}

/// How a trigger compares a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TriggerPath {
    /// The whole path.
    Exact(Arc<str>),
    /// Its beginning.
    Prefix(Arc<str>),
    /// Its end.
    Suffix(Arc<str>),
    /// The whole path, as an RE2 expression.
    Regex(Arc<str>),
}
