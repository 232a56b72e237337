//! A RequestAuthentication as it was parsed: which tokens a workload believes.

use std::{sync::Arc, time::Duration};

use super::{ObjectRef, PolicyTarget};

/// Tokens that workloads check.
#[derive(Clone, Debug, PartialEq)]
pub struct RequestAuthentication {
    /// The object.
    pub origin: ObjectRef,
    /// Whose workloads check them.
    pub target: PolicyTarget,
    /// How tokens are checked, an entry an issuer.
    pub rules: Vec<JwtRule>,
    /// Seconds since the epoch at which the object was made.
    pub created: i64,
}

/// How tokens of an issuer are found and checked.
#[derive(Clone, Debug, PartialEq)]
pub struct JwtRule {
    /// What a token's `iss` must be; `None` for anything.
    pub issuer: Option<Arc<str>>,
    /// What of its `aud` must be one; empty for anything.
    pub audiences: Vec<Arc<str>>,
    /// The keys that sign the tokens.
    pub keys: JwtKeys,
    /// Where tokens may stand; empty for the usual places.
    pub locations: Vec<TokenLocation>,
    /// Whether the token goes on to the workload.
    pub forward: bool,
    /// The header for the token's content.
    pub payload_header: Option<Arc<str>>,
    /// Claims that go into headers.
    pub claim_headers: Vec<ClaimHeader>,
    /// How long fetching the keys may take; `None` for the default.
    pub timeout: Option<Duration>,
    /// Claims with several values between spaces, beside the usual ones.
    pub space_delimited_claims: Vec<Arc<str>>,
}

/// The keys that sign an issuer's tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JwtKeys {
    /// These, as a JSON Web Key Set.
    Inline(Arc<str>),
    /// Those that are found there.
    Remote(KeySetUrl),
    /// Those that the issuer tells of (OpenID Connect's discovery).
    Discovered,
}

/// Where a key set is fetched from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeySetUrl {
    /// The URL.
    pub url: Arc<str>,
    /// Its host.
    pub host: Arc<str>,
    /// Its port, the scheme's own if it names none.
    pub port: u16,
    /// Whether it is fetched by TLS.
    pub tls: bool,
}

/// A place where a token may stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenLocation {
    /// A header.
    Header {
        /// Its name.
        name: Arc<str>,
        /// What stands before the token.
        prefix: Arc<str>,
    },
    /// A query parameter.
    Parameter(Arc<str>),
    /// A cookie.
    Cookie(Arc<str>),
}

/// A claim that goes into a header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimHeader {
    /// The header.
    pub header: Arc<str>,
    /// The claim's path, for nested ones.
    pub claim: Vec<Arc<str>>,
}
