//! TrafficExtension: WebAssembly or Lua inside proxies.

use kube::CustomResource;
use serde_json::{Map, Value};

use super::wasm::{self, FailStrategy, MODULE_URL, PluginPhase, PluginType, PullPolicy, TrafficSelector, VmConfig};
use crate::object::api_objects;
use crate::schema::{self, Required, Rules};
use crate::selector::{MatchLabels, TargetReference};
use crate::status::MeshStatus;

api_objects! {
    /// A WebAssembly module or Lua script that proxies run.
    #[derive(CustomResource)]
    #[kube(
        group = "extensions.istio.io", version = "v1alpha1", kind = "TrafficExtension", namespaced,
        plural = "trafficextensions", category = "istio-io", category = "extensions-istio-io",
        doc = "Runs a WebAssembly module or a Lua script inside proxies.",
        status = "MeshStatus", derive = "PartialEq",
        printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp",
            description = "How long ago the object was created.")
    )]
    #[schemars(transform = Rules(&[
        ("!(has(self.selector) && has(self.targetRefs))", "only one of selector and targetRefs may be set"),
        ("has(self.wasm) != has(self.lua)", "exactly one of wasm and lua must be set"),
    ]))]
    pub struct TrafficExtensionSpec {
        /// The workloads meant. Without it, and without `targetRefs`, all of the namespace, and of the whole mesh when the object
        /// lives in the mesh's own namespace.
        pub selector: Option<MatchLabels>,
        /// The resources whose workloads are meant: Gateways, GatewayClasses, Services, ServiceEntries.
        #[schemars(length(max = 16))]
        pub target_refs: Vec<TargetReference>,
        /// Where it stands: before AUTHN, AUTHZ or STATS; without it: at the end.
        pub phase: Option<PluginPhase>,
        /// Of several in a phase the one with the greatest comes first.
        pub priority: Option<i32>,
        /// Traffic that it sees: what one of these takes. Without them: all.
        #[serde(rename = "match")]
        pub match_: Vec<TrafficSelector>,
        /// A WebAssembly module.
        pub wasm: Option<WasmConfig>,
        /// A Lua script.
        pub lua: Option<LuaConfig>,
    }

    /// A WebAssembly module.
    #[schemars(transform = Required(&["url"]))]
    pub struct WasmConfig {
        /// Where the module is: an image (`oci://`, or no scheme), `http://`, `https://`, or `file://` inside the proxy's container.
        #[schemars(length(min = 1, max = 8192), transform = Rules(MODULE_URL))]
        pub url: String,
        /// The module's SHA-256 sum, in hexadecimal; what does not have it is not run.
        #[schemars(schema_with = "wasm::sha256")]
        pub sha256: Option<String>,
        /// When the module is fetched: IfNotPresent (the default), or Always (that of images with the tag `latest`).
        pub image_pull_policy: Option<PullPolicy>,
        /// A Secret of this namespace with the registry's password.
        #[schemars(length(min = 1, max = 253))]
        pub image_pull_secret: Option<String>,
        /// Reserved for signatures of modules; not used.
        pub verification_key: Option<String>,
        /// What the module is configured with.
        #[schemars(schema_with = "schema::any_object")]
        pub plugin_config: Option<Map<String, Value>>,
        /// The plugin's name inside the module, where it has several.
        #[schemars(length(min = 1, max = 256))]
        pub plugin_name: Option<String>,
        /// What becomes of requests when it fails. FAIL_CLOSE (the default): they fail. FAIL_OPEN: they pass without it. FAIL_RELOAD: it
        /// is started anew.
        pub fail_strategy: Option<FailStrategy>,
        /// The machine that runs it.
        pub vm_config: Option<VmConfig>,
        /// What it works on: HTTP (the default) or NETWORK.
        #[serde(rename = "type")]
        pub type_: Option<PluginType>,
    }

    /// A Lua script.
    #[schemars(transform = Required(&["inlineCode"]))]
    pub struct LuaConfig {
        /// The script, of at most 64 KiB. It defines `envoy_on_request(handle)`, `envoy_on_response(handle)`, or both.
        #[schemars(length(min = 1, max = 65536))]
        pub inline_code: String,
    }
}
