//! ServiceRoles, their bindings, RbacConfig and ClusterRbacConfig of Istio 1.4 as they were parsed: who may do what.

use std::{collections::BTreeMap, sync::Arc};

use ipnet::IpNet;

use super::{ObjectRef, TextMatch, Values};

/// What whoever has the role may do.
#[derive(Clone, Debug, PartialEq)]
pub struct ServiceRole {
    /// The object.
    pub origin: ObjectRef,
    /// Rules of which one must match.
    pub rules: Vec<AccessRule>,
    /// Seconds since the epoch at which the object was made.
    pub created: i64,
}

/// Matches requests. All fields must match.
#[derive(Clone, Debug, PartialEq)]
pub struct AccessRule {
    /// Services, by full name; empty for all of the namespace.
    pub services: Vec<TextMatch>,
    /// The request's host.
    pub hosts: Values<TextMatch>,
    /// The request's path.
    pub paths: Values<TextMatch>,
    /// The request's method.
    pub methods: Values<TextMatch>,
    /// The workload's port.
    pub ports: Values<u16>,
    /// Attributes, and values of which one must match.
    pub constraints: Vec<(Arc<str>, Vec<TextMatch>)>,
}

/// Who has a role.
#[derive(Clone, Debug, PartialEq)]
pub struct ServiceRoleBinding {
    /// The object.
    pub origin: ObjectRef,
    /// Callers of which one must match.
    pub subjects: Vec<Subject>,
    /// The role.
    pub role: BoundRole,
    /// Whether it is only recorded what the binding would allow.
    pub permissive: bool,
    /// Seconds since the epoch at which the object was made.
    pub created: i64,
}

/// The role of a binding.
#[derive(Clone, Debug, PartialEq)]
pub enum BoundRole {
    /// The one of that name in the binding's namespace.
    Local(Arc<str>),
    /// The one of that name in the root namespace.
    Root(Arc<str>),
    /// These rules.
    Inline(Vec<AccessRule>),
}

/// A caller. All fields must match.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Subject {
    /// Its identity; `None` for any.
    pub user: Option<TextMatch>,
    /// Its identity.
    pub names: Values<TextMatch>,
    /// Groups that its token names.
    pub groups: Values<TextMatch>,
    /// Its namespace.
    pub namespaces: Values<TextMatch>,
    /// Where the connection comes from.
    pub addresses: Values<IpNet>,
    /// Attributes and their values.
    pub properties: BTreeMap<Arc<str>, TextMatch>,
}

/// Where roles count, as RbacConfig says it.
#[derive(Clone, Debug, PartialEq)]
pub struct RbacConfig {
    /// The object.
    pub origin: ObjectRef,
    /// Where.
    pub scope: RbacScope,
    /// Whether it is only recorded what roles would decide.
    pub permissive: bool,
    /// Seconds since the epoch at which the object was made.
    pub created: i64,
}

/// Where in the mesh roles count. It overrules RbacConfig.
#[derive(Clone, Debug, PartialEq)]
pub struct ClusterRbacConfig {
    /// The object.
    pub origin: ObjectRef,
    /// Where.
    pub scope: RbacScope,
    /// Whether it is only recorded what roles would decide.
    pub permissive: bool,
    /// Seconds since the epoch at which the object was made.
    pub created: i64,
}

/// Where roles count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RbacScope {
    /// Nowhere.
    Off,
    /// Everywhere.
    On,
    /// For these only.
    Only(RbacTargets),
    /// For all but these.
    Except(RbacTargets),
}

/// Services and namespaces.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RbacTargets {
    /// Services, by full name.
    pub services: Vec<Arc<str>>,
    /// Namespaces.
    pub namespaces: Vec<Arc<str>>,
}
