//! PeerAuthentication: whether workloads take mutual TLS, plain text, or both.

use std::collections::BTreeMap;

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::object::api_objects;
use crate::schema::Rules;
use crate::selector::MatchLabels;
use crate::status::MeshStatus;

api_objects! {
    /// Which connections the selected workloads accept.
    #[derive(CustomResource)]
    #[kube(
        group = "security.istio.io", version = "v1", kind = "PeerAuthentication", namespaced,
        plural = "peerauthentications", shortname = "pa",
        category = "istio-io", category = "security-istio-io",
        doc = "Decides whether workloads accept mutual TLS, plain text, or both.",
        status = "MeshStatus", derive = "PartialEq",
        printcolumn(name = "Mode", type_ = "string", json_path = ".spec.mtls.mode",
            description = "What the selected workloads accept."),
        printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp",
            description = "How long ago the object was created.")
    )]
    #[schemars(transform = Rules(&[(
        "!has(self.portLevelMtls) || (has(self.selector) && has(self.selector.matchLabels) && self.selector.matchLabels.size() > 0)",
        "portLevelMtls needs a selector with matchLabels: ports belong to workloads",
    )]))]
    pub struct PeerAuthenticationSpec {
        /// The workloads meant. Without it the policy holds for its namespace, and for the whole mesh when
        /// it lives in the mesh's own namespace.
        pub selector: Option<MatchLabels>,
        /// The mode of every port that `portLevelMtls` does not name.
        pub mtls: Option<MutualTls>,
        /// Modes of single ports of the workload, by port number. Needs `selector`.
        #[schemars(transform = Rules(&[(
            "self.all(key, key.matches('^[0-9]{1,5}$') && 0 < int(key) && int(key) <= 65535)",
            "a port must be a number from 1 to 65535",
        )]), extend("minProperties" = 1, "maxProperties" = 4096))]
        pub port_level_mtls: BTreeMap<String, MutualTls>,
    }

    /// A mode of mutual TLS.
    pub struct MutualTls {
        /// DISABLE: plain text only. PERMISSIVE: both. STRICT: mutual TLS only. UNSET or absent: what the
        /// next wider policy says, and PERMISSIVE if there is none.
        pub mode: Option<MutualTlsMode>,
    }
}

/// Which connections a port accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[schemars(description = "")]
pub enum MutualTlsMode {
    /// What the next wider policy says.
    Unset,
    /// Plain text only.
    Disable,
    /// Mutual TLS and plain text.
    Permissive,
    /// Mutual TLS only.
    Strict,
}
