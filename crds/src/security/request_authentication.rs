//! RequestAuthentication: which tokens workloads believe.

use kube::CustomResource;

use crate::object::api_objects;
use crate::schema::{self, Required, Rules};
use crate::selector::{MatchLabels, ONE_TARGET, TargetReference};
use crate::status::MeshStatus;

/// What the address of a key set must be.
const HTTP_URL: &[(&str, &str)] = &[("url(self).getScheme() in ['http', 'https']", "must be a URL with the scheme http or https")];

api_objects! {
    /// Tokens that are checked. A request with a bad token is refused; one without a token passes, without an identity: an
    /// AuthorizationPolicy says what such requests may do.
    #[derive(CustomResource)]
    #[kube(
        group = "security.istio.io", version = "v1", kind = "RequestAuthentication", namespaced,
        plural = "requestauthentications", shortname = "ra",
        category = "istio-io", category = "security-istio-io",
        doc = "Decides which tokens of requests workloads believe.",
        status = "MeshStatus", derive = "PartialEq",
        printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp",
            description = "How long ago the object was created.")
    )]
    #[schemars(transform = Rules(&[ONE_TARGET]))]
    pub struct RequestAuthenticationSpec {
        /// The workloads meant. Without it, and without `targetRefs`, all of the namespace, and of the whole mesh when the object
        /// lives in the mesh's own namespace.
        pub selector: Option<MatchLabels>,
        /// The resource whose workloads are meant. Use `targetRefs`.
        pub target_ref: Option<TargetReference>,
        /// The resources whose workloads are meant: Gateways, GatewayClasses, Services, ServiceEntries.
        #[schemars(length(max = 16))]
        pub target_refs: Vec<TargetReference>,
        /// Tokens, one entry an issuer.
        #[schemars(length(max = 4096))]
        pub jwt_rules: Vec<JwtRule>,
    }

    /// How tokens of an issuer are found and checked.
    #[schemars(transform = Rules(&[(
        "(has(self.jwksUri) ? 1 : 0) + (has(self.jwks_uri) ? 1 : 0) + (has(self.jwks) ? 1 : 0) <= 1",
        "only one of jwks and jwksUri may be set",
    )]))]
    pub struct JwtRule {
        /// Who issues the tokens: their `iss`. Without it tokens of any issuer are checked with the keys of `jwksUri`.
        #[schemars(length(min = 1))]
        pub issuer: Option<String>,
        /// Audiences of which a token must name one. Without them any audience will do.
        #[schemars(inner(length(min = 1)))]
        pub audiences: Vec<String>,
        /// Where the issuer's keys are fetched from. Without it and without `jwks` they are looked up at the issuer (OpenID Connect).
        #[schemars(length(min = 1, max = 2048), transform = Rules(HTTP_URL))]
        pub jwks_uri: Option<String>,
        /// Another spelling of `jwksUri`.
        #[serde(rename = "jwks_uri")]
        #[schemars(length(min = 1, max = 2048), transform = Rules(HTTP_URL))]
        pub jwks_uri_alias: Option<String>,
        /// The issuer's public keys, as a JSON Web Key Set.
        pub jwks: Option<String>,
        /// Headers in which a token may stand. Without any place: `Authorization: Bearer`, then the parameter access_token.
        pub from_headers: Vec<JwtHeader>,
        /// Query parameters in which a token may stand.
        #[schemars(inner(length(min = 1)))]
        pub from_params: Vec<String>,
        /// Cookies in which a token may stand.
        #[schemars(inner(length(min = 1)))]
        pub from_cookies: Vec<String>,
        /// The header in which the workload finds the token's content, in base64url.
        pub output_payload_to_header: Option<String>,
        /// Whether the token itself goes on to the workload; by default it does not.
        pub forward_original_token: Option<bool>,
        /// Claims that the workload finds in headers.
        pub output_claim_to_headers: Vec<ClaimToHeader>,
        /// How long fetching the keys may take; 5s by default.
        #[schemars(schema_with = "schema::duration")]
        pub timeout: Option<String>,
        /// Claims that hold several values between spaces, beside `scope` and `permission`.
        #[schemars(inner(length(min = 1)))]
        pub space_delimited_claims: Vec<String>,
    }

    /// A header in which a token may stand.
    #[schemars(transform = Required(&["name"]))]
    pub struct JwtHeader {
        /// The header's name.
        #[schemars(length(min = 1))]
        pub name: String,
        /// What stands before the token, for example `Bearer ` with its space.
        pub prefix: Option<String>,
    }

    /// A claim that is copied to a header.
    #[schemars(transform = Required(&["header", "claim"]))]
    pub struct ClaimToHeader {
        /// The header's name.
        #[schemars(length(min = 1), regex(pattern = r"^[-_A-Za-z0-9]+$"))]
        pub header: String,
        /// The claim's name; dots lead into nested claims.
        #[schemars(length(min = 1))]
        pub claim: String,
    }
}
