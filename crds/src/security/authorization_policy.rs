//! AuthorizationPolicy: which requests workloads allow.

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::object::api_objects;
use crate::schema::{Required, Rules};
use crate::selector::{MatchLabels, ONE_TARGET, TargetReference};
use crate::status::MeshStatus;

api_objects! {
    /// What is allowed, denied, recorded, or asked of somebody else.
    #[derive(CustomResource)]
    #[kube(
        group = "security.istio.io", version = "v1", kind = "AuthorizationPolicy", namespaced,
        plural = "authorizationpolicies", shortname = "ap",
        category = "istio-io", category = "security-istio-io",
        doc = "Decides which requests workloads allow.",
        status = "MeshStatus", derive = "PartialEq",
        printcolumn(name = "Action", type_ = "string", json_path = ".spec.action",
            description = "What happens to requests that match."),
        printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp",
            description = "How long ago the object was created.")
    )]
    #[schemars(transform = Rules(&[
        ONE_TARGET,
        ("!has(self.provider) || (has(self.action) && self.action == 'CUSTOM')", "provider goes with action CUSTOM only"),
    ]))]
    pub struct AuthorizationPolicySpec {
        /// The workloads meant. Without it, and without `targetRefs`, all of the namespace, and of the whole mesh when the object
        /// lives in the mesh's own namespace.
        pub selector: Option<MatchLabels>,
        /// The resource whose workloads are meant. Use `targetRefs`.
        pub target_ref: Option<TargetReference>,
        /// The resources whose workloads are meant: Gateways, GatewayClasses, Services, ServiceEntries.
        #[schemars(length(max = 16))]
        pub target_refs: Vec<TargetReference>,
        /// Requests that match one of these match the policy; without rules none does. An empty rule matches all.
        #[schemars(length(max = 512))]
        pub rules: Vec<AuthorizationRule>,
        /// ALLOW (the default): requests that match are allowed, and others are not unless another policy allows them. DENY: they are
        /// refused, whatever ALLOW says. AUDIT: they are recorded. CUSTOM: `provider` is asked about them.
        pub action: Option<AuthorizationAction>,
        /// Who is asked; only with action CUSTOM.
        pub provider: Option<AuthorizationProvider>,
    }

    /// Somebody outside of the mesh who decides.
    pub struct AuthorizationProvider {
        /// The provider's name in the mesh's settings (`extensionProviders`).
        pub name: Option<String>,
    }

    /// Matches a request if one of the sources, one of the operations, and all of the conditions do. What is left out matches.
    pub struct AuthorizationRule {
        /// Who asks.
        #[schemars(length(max = 512))]
        pub from: Vec<RuleFrom>,
        /// What is asked for.
        pub to: Vec<RuleTo>,
        /// What else must hold.
        pub when: Vec<Condition>,
    }

    /// An entry of `from`.
    pub struct RuleFrom {
        /// The source.
        pub source: Option<Source>,
    }

    /// An entry of `to`.
    pub struct RuleTo {
        /// The operation.
        pub operation: Option<Operation>,
    }

    /// Who asks. All fields that are set must match; of a field, one value must. Texts may begin or end with `*`, which stands for
    /// anything; `*` alone asks that there is a value.
    #[schemars(transform = Rules(&[(
        "!(has(self.serviceAccounts) || has(self.notServiceAccounts)) || !(has(self.principals) || has(self.notPrincipals) || has(self.namespaces) || has(self.notNamespaces))",
        "serviceAccounts can't be combined with principals or namespaces",
    )]))]
    pub struct Source {
        /// Identities from the client's certificate, as `DOMAIN/ns/NAMESPACE/sa/ACCOUNT`. Needs mutual TLS.
        pub principals: Vec<String>,
        /// Identities that must not match.
        pub not_principals: Vec<String>,
        /// Identities from the request's token, as `ISSUER/SUBJECT`. Needs a RequestAuthentication.
        pub request_principals: Vec<String>,
        /// Identities of tokens that must not match.
        pub not_request_principals: Vec<String>,
        /// Namespaces from the client's certificate. Needs mutual TLS.
        pub namespaces: Vec<String>,
        /// Namespaces that must not match.
        pub not_namespaces: Vec<String>,
        /// Service accounts from the client's certificate, as `NAMESPACE/ACCOUNT`, or `ACCOUNT` of the object's own namespace; without
        /// wildcards. Needs mutual TLS.
        #[schemars(length(max = 16), inner(length(max = 320)))]
        pub service_accounts: Vec<String>,
        /// Service accounts that must not match.
        #[schemars(length(max = 16), inner(length(max = 320)))]
        pub not_service_accounts: Vec<String>,
        /// Trust domains from the client's certificate. Needs mutual TLS.
        pub trust_domains: Vec<String>,
        /// Trust domains that must not match.
        pub not_trust_domains: Vec<String>,
        /// Addresses, or ranges such as 10.0.0.0/8, from which the connection comes.
        pub ip_blocks: Vec<String>,
        /// Addresses from which the connection must not come.
        pub not_ip_blocks: Vec<String>,
        /// Addresses of the original client, as X-Forwarded-For or the PROXY protocol says.
        pub remote_ip_blocks: Vec<String>,
        /// Addresses that the original client must not have.
        pub not_remote_ip_blocks: Vec<String>,
    }

    /// What is asked for. All fields that are set must match; of a field, one value must. Texts may begin or end with `*`.
    pub struct Operation {
        /// Hosts of the request, in any case. HTTP only.
        pub hosts: Vec<String>,
        /// Hosts that must not match. HTTP only.
        pub not_hosts: Vec<String>,
        /// Ports of the workload.
        pub ports: Vec<String>,
        /// Ports that must not match.
        pub not_ports: Vec<String>,
        /// Methods, for example GET. HTTP only.
        pub methods: Vec<String>,
        /// Methods that must not match. HTTP only.
        pub not_methods: Vec<String>,
        /// Paths, or templates in which `{*}` stands for one segment and `{**}` for any number. HTTP only; of gRPC,
        /// `/PACKAGE.SERVICE/METHOD`.
        pub paths: Vec<String>,
        /// Paths that must not match. HTTP only.
        pub not_paths: Vec<String>,
    }

    /// A condition on an attribute of the request.
    #[schemars(transform = Required(&["key"]))]
    pub struct Condition {
        /// The attribute, for example `request.headers[User-Agent]`, `source.ip` or `request.auth.claims[iss]`.
        pub key: String,
        /// Values of which one must match.
        pub values: Vec<String>,
        /// Values of which none may match.
        pub not_values: Vec<String>,
    }
}

/// What happens to requests that match.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[schemars(description = "")]
pub enum AuthorizationAction {
    /// They are allowed.
    Allow,
    /// They are refused.
    Deny,
    /// They are recorded.
    Audit,
    /// A provider is asked.
    Custom,
}
