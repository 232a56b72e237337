//! Filters that run scripts and modules.

use std::time::Duration;

use envoy_api::any;
use envoy_api::envoy::{
    config::{
        core::v3::{AsyncDataSource, HttpUri, RemoteDataSource, async_data_source::Specifier, http_uri::HttpUpstreamType},
        listener::v3::filter,
        rbac::v3 as rbac,
    },
    extensions::{
        filters::{
            http::{lua::v3::Lua, rbac::v3::Rbac as HttpDenial, wasm::v3::Wasm as HttpWasm},
            network::{http_connection_manager::v3::http_filter, rbac::v3::Rbac as NetworkDenial, wasm::v3::Wasm as NetworkWasm},
        },
        wasm::v3::{EnvironmentVariables, FailurePolicy, PluginConfig, VmConfig, plugin_config::Vm},
    },
};
use prost_types::Any;

use super::{module::server_of, table::Extension};
use crate::compile::{
    fault::{Fault, FaultCause},
    message::{duration, file, inline},
    scope::Scope,
};
use crate::model::{ExtensionCode, WasmFailure, WasmLocation, WasmModule};

/// The machine that runs modules.
const RUNTIME: &str = "envoy.wasm.runtime.v8";
/// How long fetching a module may take.
const FETCH_TIMEOUT: Duration = Duration::from_secs(30);

/// What is to stand where a module should.
enum Filling {
    Module(Box<PluginConfig>),
    /// It can't run, and traffic must not pass without it.
    Denial,
    /// It can't run, and traffic may pass without it.
    Nothing,
}

/// The filter of code that works on requests; `None` where they pass without it.
pub(super) fn of_http(scope: &Scope<'_>, extension: &Extension) -> Option<http_filter::ConfigType> {
    let config = match &extension.code {
        ExtensionCode::Lua(script) => any(&Lua { default_source_code: Some(inline(script)), ..Lua::default() }),
        ExtensionCode::Wasm(module) => match filling(scope, extension, module) {
            Filling::Module(config) => any(&HttpWasm { config: Some(*config) }),
            Filling::Denial => any(&HttpDenial { rules: Some(nobody()), ..HttpDenial::default() }),
            Filling::Nothing => return None,
        },
    };
    Some(http_filter::ConfigType::TypedConfig(config))
}

/// The filter of code that works on connections; `None` where they pass without it.
pub(super) fn of_network(scope: &Scope<'_>, extension: &Extension) -> Option<filter::ConfigType> {
    let config = match filling(scope, extension, extension.module()?) {
        Filling::Module(config) => any(&NetworkWasm { config: Some(*config) }),
        Filling::Denial => any(&NetworkDenial { rules: Some(nobody()), stat_prefix: "wasm.".to_owned(), ..NetworkDenial::default() }),
        Filling::Nothing => return None,
    };
    Some(filter::ConfigType::TypedConfig(config))
}

/// Allows what nobody does.
fn nobody() -> rbac::Rbac {
    rbac::Rbac { action: rbac::rbac::Action::Allow.into(), ..rbac::Rbac::default() }
}

fn filling(scope: &Scope<'_>, extension: &Extension, module: &WasmModule) -> Filling {
    match source(module) {
        Ok(code) => Filling::Module(Box::new(plugin(extension, module, code))),
        Err((field, message)) => {
            let spec = if extension.origin.kind == "WasmPlugin" { "spec" } else { "spec.wasm" };
            scope.leave_out(Fault {
                object: extension.origin.clone(),
                path: format!("{spec}.{field}").into(),
                message,
                cause: FaultCause::Misfit,
            });
            if module.failure == WasmFailure::Open { Filling::Nothing } else { Filling::Denial }
        }
    }
}

/// Where the module is; else the field because of which it can't be had, and why.
fn source(module: &WasmModule) -> Result<Specifier, (&'static str, String)> {
    match &module.location {
        WasmLocation::File(path) => Ok(Specifier::Local(file(path))),
        WasmLocation::Image(image) => {
            Err(("url", format!("the image {image} is not fetched: serve the module by http:// or https://, or mount it and use file://")))
        }
        WasmLocation::Remote(url) => {
            let Some(server) = server_of(url) else { return Err(("url", format!("{url} names no host"))) };
            let Some(sha256) = &module.sha256 else {
                return Err(("sha256", "needed where the module is fetched: it is what makes it the module that was meant".to_owned()));
            };
            let uri = HttpUri {
                uri: url.to_string(),
                timeout: Some(duration(FETCH_TIMEOUT)),
                http_upstream_type: Some(HttpUpstreamType::Cluster(server.to_string())),
            };
            Ok(Specifier::Remote(RemoteDataSource { http_uri: Some(uri), sha256: sha256.to_string(), ..RemoteDataSource::default() }))
        }
    }
}

fn plugin(extension: &Extension, module: &WasmModule, code: Specifier) -> PluginConfig {
    let hosts = module.environment.iter().filter(|(_, value)| value.is_none()).map(|(name, _)| name.to_string());
    let own = module.environment.iter().filter_map(|(name, value)| Some((name.to_string(), value.as_ref()?.to_string())));
    let machine = VmConfig {
        runtime: RUNTIME.to_owned(),
        code: Some(AsyncDataSource { specifier: Some(code) }),
        environment_variables: Some(EnvironmentVariables { host_env_keys: hosts.collect(), key_values: own.collect() }),
        ..VmConfig::default()
    };
    let policy = match module.failure {
        WasmFailure::Close => FailurePolicy::FailClosed,
        WasmFailure::Open => FailurePolicy::FailOpen,
        WasmFailure::Reload => FailurePolicy::FailReload,
    };
    PluginConfig {
        name: format!("{}.{}", extension.origin.namespace, extension.origin.name),
        root_id: module.plugin.as_deref().unwrap_or_default().to_owned(),
        configuration: module.config.as_ref().filter(|config| !config.is_empty()).map(configuration),
        failure_policy: policy.into(),
        vm: Some(Vm::VmConfig(machine)),
        ..PluginConfig::default()
    }
}

/// The configuration as its text, in the form in which modules get it.
fn configuration(config: &serde_json::Map<String, serde_json::Value>) -> Any {
    any(&serde_json::Value::Object(config.clone()).to_string())
}
