//! What WasmPlugin and TrafficExtension have in common: the machine that runs a module, and which traffic it sees.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::object::api_objects;
use crate::schema::{Required, Rules};

/// What the address of a module must be.
pub(super) const MODULE_URL: &[(&str, &str)] = &[(
    "isURL(self) ? url(self).getScheme() in ['', 'http', 'https', 'oci', 'file'] : isURL('http://' + self)",
    "must be a URL with the scheme http, https, oci or file, or none for oci",
)];

/// A SHA-256 sum in hexadecimal, or nothing.
pub(super) fn sha256(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "pattern": "(^$|^[a-f0-9]{64}$)"})
}

api_objects! {
    /// The machine that runs a module.
    pub struct VmConfig {
        /// Environment variables that the module sees.
        #[schemars(length(max = 256), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
        pub env: Vec<EnvVar>,
    }

    /// An environment variable.
    #[schemars(transform = Required(&["name"]), transform = Rules(&[(
        "!has(self.valueFrom) || self.valueFrom != 'HOST' || !has(self.value)", "value goes with valueFrom INLINE only",
    )]))]
    pub struct EnvVar {
        /// The name.
        #[schemars(length(min = 1, max = 256))]
        pub name: String,
        /// INLINE (the default): `value`. HOST: the proxy's own variable of that name.
        pub value_from: Option<EnvValueSource>,
        /// The value.
        #[schemars(length(max = 2048))]
        pub value: Option<String>,
    }

    /// Traffic that an extension sees. All that it names must hold.
    pub struct TrafficSelector {
        /// CLIENT: what the workload sends out. SERVER: what it is sent. CLIENT_AND_SERVER (the default): both. At gateways: CLIENT.
        pub mode: Option<TrafficMode>,
        /// Ports of which one must be the destination's. Without them: any.
        #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["number"]))]
        pub ports: Vec<PortNumber>,
    }

    /// A port.
    #[schemars(transform = Required(&["number"]))]
    pub struct PortNumber {
        /// The number.
        #[schemars(range(min = 1, max = 65535))]
        pub number: Option<u32>,
    }
}

/// Where a variable's value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[schemars(description = "")]
pub enum EnvValueSource {
    /// The object.
    Inline,
    /// The proxy's environment.
    Host,
}

/// The direction of traffic, as the workload sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[schemars(description = "")]
pub enum TrafficMode {
    /// Both.
    Undefined,
    /// What the workload sends out.
    Client,
    /// What the workload is sent.
    Server,
    /// Both.
    ClientAndServer,
}

/// Where among the proxy's filters an extension stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[schemars(description = "")]
pub enum PluginPhase {
    /// At the end, before the router.
    UnspecifiedPhase,
    /// Before authentication.
    Authn,
    /// After authentication, before authorization.
    Authz,
    /// After authorization, before statistics.
    Stats,
}

/// When a module is fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[schemars(description = "")]
pub enum PullPolicy {
    /// As IfNotPresent, and as Always for images with the tag `latest`.
    #[serde(rename = "UNSPECIFIED_POLICY")]
    Unspecified,
    /// When there is none yet.
    IfNotPresent,
    /// Whenever the object changes.
    Always,
}

/// What becomes of requests when a module fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[schemars(description = "")]
pub enum FailStrategy {
    /// They fail.
    FailClose,
    /// They pass without it.
    FailOpen,
    /// The module is started anew.
    FailReload,
}

/// What a module works on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[schemars(description = "")]
pub enum PluginType {
    /// As HTTP.
    UnspecifiedPluginType,
    /// Requests.
    Http,
    /// Connections.
    Network,
}
