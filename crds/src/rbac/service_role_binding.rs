//! ServiceRoleBinding: who has a role.

use std::collections::BTreeMap;

use kube::CustomResource;

use super::rbac_config::EnforcementMode;
use super::service_role::AccessRule;
use crate::object::api_objects;
use crate::schema::{Required, Rules};
use crate::status::MeshStatus;

api_objects! {
    /// Who has a role.
    #[derive(CustomResource)]
    #[kube(
        group = "rbac.istio.io", version = "v1alpha1", kind = "ServiceRoleBinding", namespaced,
        plural = "servicerolebindings", category = "istio-io", category = "rbac-istio-io",
        doc = "Gives a ServiceRole to callers. Deprecated: use AuthorizationPolicy.",
        status = "MeshStatus", derive = "PartialEq",
        printcolumn(name = "Reference", type_ = "string", json_path = ".spec.roleRef.name",
            description = "The role."),
        printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp",
            description = "How long ago the object was created.")
    )]
    #[schemars(transform = Required(&["subjects"]), transform = Rules(&[(
        "(has(self.roleRef) ? 1 : 0) + (has(self.role) ? 1 : 0) + (has(self.actions) ? 1 : 0) == 1",
        "exactly one of roleRef, role and actions must be set",
    )]))]
    pub struct ServiceRoleBindingSpec {
        /// Callers that have the role.
        #[schemars(length(min = 1, max = 512))]
        pub subjects: Vec<Subject>,
        /// The role, of the same namespace.
        pub role_ref: Option<RoleRef>,
        /// ENFORCED (the default), or PERMISSIVE: only recorded.
        pub mode: Option<EnforcementMode>,
        /// The role's rules, in place of a role.
        #[schemars(length(max = 512))]
        pub actions: Vec<AccessRule>,
        /// The role's name, `/` in front for one of the mesh's own namespace.
        #[schemars(length(min = 1))]
        pub role: Option<String>,
    }

    /// A caller. All fields that are set must match.
    #[schemars(extend("minProperties" = 1))]
    pub struct Subject {
        /// The caller's identity, as `DOMAIN/ns/NAMESPACE/sa/ACCOUNT`; `*` for anybody.
        pub user: Option<String>,
        /// Identities of which one must match.
        pub names: Vec<String>,
        /// Identities that must not match.
        pub not_names: Vec<String>,
        /// The group that the token must name. Use `groups`.
        pub group: Option<String>,
        /// Groups of which the token must name one.
        pub groups: Vec<String>,
        /// Groups that the token must not name.
        pub not_groups: Vec<String>,
        /// Namespaces of which one must be the caller's.
        pub namespaces: Vec<String>,
        /// Namespaces that must not be the caller's.
        pub not_namespaces: Vec<String>,
        /// Addresses, or ranges such as 10.0.0.0/8, from which the connection comes.
        pub ips: Vec<String>,
        /// Addresses from which the connection must not come.
        pub not_ips: Vec<String>,
        /// Attributes of the request by name, for example `source.namespace` or `request.auth.claims[iss]`, and their values.
        pub properties: BTreeMap<String, String>,
    }

    /// Names a role.
    #[schemars(transform = Required(&["kind", "name"]))]
    pub struct RoleRef {
        /// ServiceRole.
        #[schemars(extend("enum" = ["ServiceRole"]))]
        pub kind: String,
        /// The role's name.
        #[schemars(length(min = 1))]
        pub name: String,
    }
}
