//! What Policy and MeshPolicy have in common: ways to prove an identity.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::object::api_objects;
use crate::schema::{Required, Rules};

api_objects! {
    /// A way for the calling workload to prove its identity; mutual TLS if nothing is set.
    #[schemars(extend("maxProperties" = 1))]
    pub struct PeerMethod {
        /// Mutual TLS.
        pub mtls: Option<MutualTls>,
        /// A token. This was never available for peers.
        pub jwt: Option<Jwt>,
    }

    /// Mutual TLS.
    pub struct MutualTls {
        /// Whether connections without a client's certificate are taken. Use mode PERMISSIVE.
        pub allow_tls: Option<bool>,
        /// STRICT (the default): mutual TLS only. PERMISSIVE: plain text too.
        pub mode: Option<MutualTlsMode>,
    }

    /// A way for the end user to prove an identity.
    #[schemars(transform = Required(&["jwt"]))]
    pub struct OriginMethod {
        /// A token.
        pub jwt: Option<Jwt>,
    }

    /// How tokens of an issuer are found and checked.
    #[schemars(transform = Required(&["issuer"]), transform = Rules(&[(
        "!(has(self.jwks) && has(self.jwksUri))", "only one of jwks and jwksUri may be set",
    )]))]
    pub struct Jwt {
        /// Who issues the tokens: their `iss`.
        #[schemars(length(min = 1))]
        pub issuer: Option<String>,
        /// Audiences of which a token must name one. Without them: the service's name.
        #[schemars(inner(length(min = 1)))]
        pub audiences: Vec<String>,
        /// Where the issuer's keys are fetched from.
        #[schemars(length(max = 2048))]
        pub jwks_uri: Option<String>,
        /// The issuer's public keys, as a JSON Web Key Set.
        pub jwks: Option<String>,
        /// Headers in which a token may stand.
        #[schemars(inner(length(min = 1)))]
        pub jwt_headers: Vec<String>,
        /// Query parameters in which a token may stand.
        #[schemars(inner(length(min = 1)))]
        pub jwt_params: Vec<String>,
        /// Requests whose token is checked: those that one of these takes. Without them: all.
        pub trigger_rules: Vec<TriggerRule>,
    }

    /// Requests whose token is checked.
    pub struct TriggerRule {
        /// Paths that must not match.
        pub excluded_paths: Vec<PathMatch>,
        /// Paths of which one must match. Without them: any.
        pub included_paths: Vec<PathMatch>,
    }

    /// Compares a path; one of the four.
    #[schemars(extend("minProperties" = 1, "maxProperties" = 1))]
    pub struct PathMatch {
        /// The whole path.
        pub exact: Option<String>,
        /// Its beginning.
        pub prefix: Option<String>,
        /// Its end.
        pub suffix: Option<String>,
        /// A regular expression that must match the whole path.
        pub regex: Option<String>,
    }
}

/// Which connections are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[schemars(description = "")]
pub enum MutualTlsMode {
    /// Mutual TLS only.
    Strict,
    /// Plain text too.
    Permissive,
}

/// Whose identity authorization goes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[schemars(description = "")]
pub enum PrincipalBinding {
    /// The calling workload's.
    UsePeer,
    /// The end user's.
    UseOrigin,
}
