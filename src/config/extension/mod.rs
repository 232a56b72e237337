//! WasmPlugin and TrafficExtension.

mod wasm;

use ferromesh_crds::extensions::traffic_extension::LuaConfig;
use ferromesh_crds::extensions::wasm::{PluginPhase, TrafficMode, TrafficSelector};
use ferromesh_crds::extensions::{TrafficExtension, WasmPlugin};

use super::path::{At, SPEC};
use super::policy_target::Attachment;
use super::problem::{Code, Invalid, Parsed};
use super::reading::{ParseContext, Reading};
use crate::model::{self, ExtensionCode, ExtensionPhase, ExtensionPlacement, ExtensionTraffic, TrafficDirection};
use wasm::Module;

/// The longest Lua script, in bytes.
const LONGEST_SCRIPT: usize = 65_536;

/// Reads a WasmPlugin.
///
/// # Errors
/// Everything that is wrong with it.
pub fn wasm_plugin(object: &WasmPlugin, context: &ParseContext) -> Result<Parsed<model::WasmPlugin>, Invalid> {
    let mut reading = Reading::new("WasmPlugin", &object.metadata, context);
    let spec = &object.spec;
    let attachment = Attachment { selector: spec.selector.as_ref(), reference: spec.target_ref.as_ref(), references: &spec.target_refs };
    let placement = placement(&mut reading, &attachment, spec.phase, spec.priority, &spec.match_);
    let module = wasm::read(
        &mut reading,
        &SPEC,
        &Module {
            url: &spec.url,
            sha256: spec.sha256.as_deref(),
            pull: spec.image_pull_policy,
            pull_secret: spec.image_pull_secret.as_deref(),
            verification_key: spec.verification_key.as_deref(),
            plugin: spec.plugin_name.as_deref(),
            config: spec.plugin_config.as_ref(),
            failure: spec.fail_strategy,
            machine: spec.vm_config.as_ref(),
            kind: spec.type_,
        },
    );
    let value = model::WasmPlugin { origin: reading.origin.clone(), placement, module, created: reading.created };
    reading.finish(value)
}

/// Reads a TrafficExtension.
///
/// # Errors
/// Everything that is wrong with it.
pub fn traffic_extension(object: &TrafficExtension, context: &ParseContext) -> Result<Parsed<model::TrafficExtension>, Invalid> {
    let mut reading = Reading::new("TrafficExtension", &object.metadata, context);
    let spec = &object.spec;
    let attachment = Attachment { selector: spec.selector.as_ref(), reference: None, references: &spec.target_refs };
    let placement = placement(&mut reading, &attachment, spec.phase, spec.priority, &spec.match_);
    let module = spec.wasm.as_ref().map(|one| {
        let module = Module {
            url: &one.url,
            sha256: one.sha256.as_deref(),
            pull: one.image_pull_policy,
            pull_secret: one.image_pull_secret.as_deref(),
            verification_key: one.verification_key.as_deref(),
            plugin: one.plugin_name.as_deref(),
            config: one.plugin_config.as_ref(),
            failure: one.fail_strategy,
            machine: one.vm_config.as_ref(),
            kind: one.type_,
        };
        ExtensionCode::Wasm(Box::new(wasm::read(&mut reading, &SPEC.field("wasm"), &module)))
    });
    let script = spec.lua.as_ref().map(|one| lua(&mut reading, one));
    if reading.at_most_one(&SPEC, [("wasm", module.is_some()), ("lua", script.is_some())]) == 0 {
        reading.error(&SPEC, Code::Required, "one of wasm and lua is needed");
    }
    let code = module.or(script).unwrap_or_else(|| ExtensionCode::Lua("".into()));
    let value = model::TrafficExtension { origin: reading.origin.clone(), placement, code, created: reading.created };
    reading.finish(value)
}

fn lua(reading: &mut Reading<'_>, lua: &LuaConfig) -> ExtensionCode {
    let at = SPEC.field("lua");
    let at = at.field("inlineCode");
    match lua.inline_code.len() {
        0 => reading.required(&at),
        1..=LONGEST_SCRIPT => {}
        length => {
            reading.error(&at, Code::WrongSize, format!("has {length} bytes, {LONGEST_SCRIPT} at most are allowed: use wasm for more"))
        }
    }
    ExtensionCode::Lua(lua.inline_code.as_str().into())
}

fn placement(
    reading: &mut Reading<'_>,
    attachment: &Attachment<'_>,
    phase: Option<PluginPhase>,
    priority: Option<i32>,
    traffic: &[TrafficSelector],
) -> ExtensionPlacement {
    ExtensionPlacement {
        target: reading.policy_target(attachment),
        phase: match phase {
            None | Some(PluginPhase::UnspecifiedPhase) => ExtensionPhase::Last,
            Some(PluginPhase::Authn) => ExtensionPhase::Authentication,
            Some(PluginPhase::Authz) => ExtensionPhase::Authorization,
            Some(PluginPhase::Stats) => ExtensionPhase::Statistics,
        },
        priority: priority.unwrap_or_default(),
        traffic: SPEC.field("match").each(traffic, |at, one| selected(reading, at, one)),
    }
}

fn selected(reading: &mut Reading<'_>, at: &At<'_>, selector: &TrafficSelector) -> ExtensionTraffic {
    let direction = match selector.mode {
        None | Some(TrafficMode::Undefined | TrafficMode::ClientAndServer) => TrafficDirection::Both,
        Some(TrafficMode::Client) => TrafficDirection::Outbound,
        Some(TrafficMode::Server) => TrafficDirection::Inbound,
    };
    let list = at.field("ports");
    let ports = list.each(&selector.ports, |at, one| {
        let at = at.field("number");
        match one.number {
            Some(number) => Some(reading.port(&at, number)),
            None => {
                reading.required(&at);
                None
            }
        }
    });
    let numbers: Vec<_> = ports.iter().enumerate().filter_map(|(index, port)| Some((list.index(index), (*port)?))).collect();
    reading.distinct(numbers.into_iter(), |port| format!("port {port} is named twice"));
    ExtensionTraffic { direction, ports: ports.into_iter().flatten().collect() }
}

#[cfg(test)]
mod tests;
