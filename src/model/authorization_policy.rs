//! An AuthorizationPolicy as it was parsed: which requests a workload allows.

use std::sync::Arc;

use ipnet::IpNet;

use super::{ObjectRef, PolicyTarget};

/// What workloads allow.
#[derive(Clone, Debug, PartialEq)]
pub struct AuthorizationPolicy {
    /// The object.
    pub origin: ObjectRef,
    /// Whose workloads' requests it is about.
    pub target: PolicyTarget,
    /// What happens to requests that match.
    pub action: AuthorizationAction,
    /// Rules of which one must match; with none the policy matches nothing.
    pub rules: Vec<AuthorizationRule>,
    /// Whether it is only recorded what the policy would do.
    pub dry_run: bool,
    /// Seconds since the epoch at which the object was made.
    pub created: i64,
}

/// What happens to requests that match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuthorizationAction {
    /// They are allowed, and others are not unless another policy allows them.
    Allow,
    /// They are refused.
    Deny,
    /// They are recorded.
    Audit,
    /// The provider of that name is asked.
    Custom(Arc<str>),
}

/// Matches if one of the sources, one of the operations and all of the conditions do; an empty list always does.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AuthorizationRule {
    /// Who asks.
    pub from: Vec<Source>,
    /// What is asked for.
    pub to: Vec<Operation>,
    /// What else must hold.
    pub when: Vec<Condition>,
}

/// Values of which one must match, if there are any, and values of which none may match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Values<T> {
    /// Of these one must match; if there are none everything does.
    pub any_of: Vec<T>,
    /// Of these none may match.
    pub none_of: Vec<T>,
}

/// How policies compare a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TextMatch {
    /// The whole text.
    Exact(Arc<str>),
    /// Its beginning (`abc*`).
    Prefix(Arc<str>),
    /// Its end (`*abc`).
    Suffix(Arc<str>),
    /// Any text that is there and not empty (`*`).
    Present,
}

/// How policies compare a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PathMatch {
    /// As any text.
    Text(TextMatch),
    /// Segment by segment.
    Template(Vec<PathSegment>),
}

/// What stands between two slashes of a path's template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PathSegment {
    /// This text.
    Literal(Arc<str>),
    /// Any one segment (`{*}`).
    One,
    /// Any number of segments (`{**}`).
    Many,
}

/// A service account, of a namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceAccountName {
    /// The namespace.
    pub namespace: Arc<str>,
    /// The account.
    pub name: Arc<str>,
}

/// Who asks. All fields must match.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Source {
    /// The client's identity, as `DOMAIN/ns/NAMESPACE/sa/ACCOUNT`.
    pub principals: Values<TextMatch>,
    /// The token's identity, as `ISSUER/SUBJECT`.
    pub request_principals: Values<TextMatch>,
    /// The client's namespace.
    pub namespaces: Values<TextMatch>,
    /// The client's service account.
    pub service_accounts: Values<ServiceAccountName>,
    /// The client's trust domain.
    pub trust_domains: Values<TextMatch>,
    /// Where the connection comes from.
    pub addresses: Values<IpNet>,
    /// Where the original client is.
    pub remote_addresses: Values<IpNet>,
}

/// What is asked for. All fields must match.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Operation {
    /// The request's host, in any case.
    pub hosts: Values<TextMatch>,
    /// The workload's port.
    pub ports: Values<u16>,
    /// The request's method.
    pub methods: Values<TextMatch>,
    /// The request's path.
    pub paths: Values<PathMatch>,
}

/// A condition on one attribute.
#[derive(Clone, Debug, PartialEq)]
pub enum Condition {
    /// `request.headers[NAME]`.
    Header(Arc<str>, Values<TextMatch>),
    /// `source.ip`.
    SourceAddress(Values<IpNet>),
    /// `remote.ip`.
    RemoteAddress(Values<IpNet>),
    /// `destination.ip`.
    DestinationAddress(Values<IpNet>),
    /// `destination.port`.
    DestinationPort(Values<u16>),
    /// An attribute that is compared as a text.
    Text(TextAttribute, Values<TextMatch>),
    /// `request.auth.claims[NAME][NAME]…`: the names lead into nested claims.
    Claim(Vec<Arc<str>>, Values<TextMatch>),
    /// `experimental.envoy.filters.…[KEY]`: metadata that a filter of Envoy left.
    Metadata {
        /// The filter's name, for example `envoy.filters.http.lua`.
        filter: Arc<str>,
        /// The key.
        key: Arc<str>,
        /// What its value is compared with.
        values: Values<MetadataMatch>,
    },
}

/// Attributes that are compared as texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TextAttribute {
    /// `source.namespace`.
    SourceNamespace,
    /// `source.principal`.
    SourcePrincipal,
    /// `source.trustDomain`.
    SourceTrustDomain,
    /// `request.auth.principal`.
    RequestPrincipal,
    /// `request.auth.audiences`.
    RequestAudiences,
    /// `request.auth.presenter`.
    RequestPresenter,
    /// `connection.sni`.
    ServerName,
}

/// How metadata of Envoy is compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MetadataMatch {
    /// The value is a text.
    Text(TextMatch),
    /// The value is a list with such a text in it (`[abc]`).
    Listed(TextMatch),
}

// === impl Values ===

impl<T> Default for Values<T> {
    fn default() -> Self {
        Self { any_of: Vec::new(), none_of: Vec::new() }
    }
}
