//! WasmPlugins and TrafficExtensions as they were parsed: users' code inside proxies.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::{Map, Value};

use super::{ObjectRef, PolicyTarget, TrafficDirection};

/// A WebAssembly module that proxies run.
#[derive(Clone, Debug, PartialEq)]
pub struct WasmPlugin {
    /// The object.
    pub origin: ObjectRef,
    /// Where it runs.
    pub placement: ExtensionPlacement,
    /// The module.
    pub module: WasmModule,
    /// Seconds since the epoch at which the object was made.
    pub created: i64,
}

/// A WebAssembly module or Lua script that proxies run.
#[derive(Clone, Debug, PartialEq)]
pub struct TrafficExtension {
    /// The object.
    pub origin: ObjectRef,
    /// Where it runs.
    pub placement: ExtensionPlacement,
    /// What runs.
    pub code: ExtensionCode,
    /// Seconds since the epoch at which the object was made.
    pub created: i64,
}

/// What runs inside a proxy.
#[derive(Clone, Debug, PartialEq)]
pub enum ExtensionCode {
    /// A WebAssembly module.
    Wasm(Box<WasmModule>),
    /// A Lua script.
    Lua(Arc<str>),
}

/// Where code runs, and which traffic it sees.
#[derive(Clone, Debug, PartialEq)]
pub struct ExtensionPlacement {
    /// Whose workloads' proxies run it.
    pub target: PolicyTarget,
    /// Where among the filters it stands.
    pub phase: ExtensionPhase,
    /// Of several in a phase the greatest comes first.
    pub priority: i32,
    /// Traffic that it sees: what one of these takes; empty for all.
    pub traffic: Vec<ExtensionTraffic>,
}

/// Traffic that code sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExtensionTraffic {
    /// The direction.
    pub direction: TrafficDirection,
    /// Destination ports; empty for all.
    pub ports: Vec<u16>,
}

/// Where among the filters code stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ExtensionPhase {
    /// Before authentication.
    Authentication,
    /// After authentication, before authorization.
    Authorization,
    /// After authorization, before statistics.
    Statistics,
    /// At the end, before the router.
    #[default]
    Last,
}

/// A WebAssembly module.
#[derive(Clone, Debug, PartialEq)]
pub struct WasmModule {
    /// Where it is.
    pub location: WasmLocation,
    /// Its SHA-256 sum, in lower-case hexadecimal.
    pub sha256: Option<Arc<str>>,
    /// When it is fetched.
    pub pull: PullPolicy,
    /// The Secret with the registry's password.
    pub pull_secret: Option<Arc<str>>,
    /// The plugin's name inside the module.
    pub plugin: Option<Arc<str>>,
    /// What it is configured with.
    pub config: Option<Map<String, Value>>,
    /// What becomes of requests when it fails.
    pub failure: WasmFailure,
    /// Variables that it sees; `None` is the proxy's own of that name.
    pub environment: BTreeMap<Arc<str>, Option<Arc<str>>>,
    /// Whether it works on connections rather than requests.
    pub network: bool,
}

/// Where a module is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WasmLocation {
    /// An image: `REGISTRY/NAME:TAG`.
    Image(Arc<str>),
    /// A file that is fetched, by its URL.
    Remote(Arc<str>),
    /// A file inside the proxy's container, by its path.
    File(Arc<str>),
}

/// When a module is fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PullPolicy {
    /// When there is none yet.
    IfNotPresent,
    /// Whenever the object changes.
    Always,
}

/// What becomes of requests when a module fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum WasmFailure {
    /// They fail.
    #[default]
    Close,
    /// They pass without it.
    Open,
    /// The module is started anew.
    Reload,
}
