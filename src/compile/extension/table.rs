//! The code of the mesh: WasmPlugins and TrafficExtensions, which say the same in two ways.

use std::{collections::BTreeMap, sync::Arc};

use crate::compile::{input::Input, mesh::Dirty};
use crate::model::{
    ConfigObjects, ExtensionCode, ExtensionPlacement, ObjectRef, TrafficDirection, TrafficExtension, WasmLocation, WasmModule, WasmPlugin,
};

/// Code that proxies run.
#[derive(Debug)]
pub(super) struct Extension {
    pub(super) origin: ObjectRef,
    /// The filter's name, by which EnvoyFilters find it.
    pub(super) name: Arc<str>,
    pub(super) placement: ExtensionPlacement,
    pub(super) code: ExtensionCode,
    pub(super) created: i64,
}

/// Code by namespace.
#[derive(Clone, Debug, Default)]
pub(in crate::compile) struct ExtensionTable(BTreeMap<Arc<str>, Vec<Arc<Extension>>>);

// === impl ExtensionTable ===

impl ExtensionTable {
    /// Puts an object's new form, or its absence, in the place of its old one, and notes what that dirties.
    pub(in crate::compile) fn replace(&mut self, object: &ObjectRef, objects: &ConfigObjects, dirty: &mut Dirty) {
        let found = match object.kind {
            "WasmPlugin" => objects.wasm_plugins.get(object).map(|it| Extension::from(&**it)),
            _ => objects.traffic_extensions.get(object).map(|it| Extension::from(&**it)),
        };
        let list = self.0.entry(object.namespace.clone()).or_default();
        let before = list.len();
        list.retain(|other| other.origin != *object);
        list.extend(found.map(Arc::new));
        dirty.insert(Input::Extensions(object.namespace.clone()));
        if (before == 0) != list.is_empty() {
            dirty.insert(Input::ExtendedNamespaces);
        }
        if list.is_empty() {
            self.0.remove(&object.namespace);
        }
    }

    pub(super) fn by_namespace(&self) -> &BTreeMap<Arc<str>, Vec<Arc<Extension>>> {
        &self.0
    }
}

// === impl Extension ===

impl From<&WasmPlugin> for Extension {
    fn from(plugin: &WasmPlugin) -> Self {
        Self {
            origin: plugin.origin.clone(),
            // The reference makes a TrafficExtension of each, under this name.
            name: format!("{}~istio-translated-wasmplugin", name(&plugin.origin)).into(),
            placement: plugin.placement.clone(),
            code: ExtensionCode::Wasm(Box::new(plugin.module.clone())),
            created: plugin.created,
        }
    }
}

impl From<&TrafficExtension> for Extension {
    fn from(extension: &TrafficExtension) -> Self {
        Self {
            origin: extension.origin.clone(),
            name: name(&extension.origin).into(),
            placement: extension.placement.clone(),
            code: extension.code.clone(),
            created: extension.created,
        }
    }
}

fn name(origin: &ObjectRef) -> String {
    format!("extensions.istio.io/trafficextension/{}.{}", origin.namespace, origin.name)
}

impl Extension {
    /// Whether it sees any traffic of that direction.
    pub(super) fn sees(&self, direction: TrafficDirection) -> bool {
        let traffic = &self.placement.traffic;
        traffic.is_empty() || traffic.iter().any(|it| [TrafficDirection::Both, direction].contains(&it.direction))
    }

    /// Whether it sees traffic of that direction to a port; `None` is all ports of which no service tells.
    pub(super) fn takes(&self, direction: TrafficDirection, port: Option<u16>) -> bool {
        let traffic = &self.placement.traffic;
        let listed = |ports: &[u16]| ports.is_empty() || port.is_some_and(|port| ports.contains(&port));
        traffic.is_empty() || traffic.iter().any(|it| [TrafficDirection::Both, direction].contains(&it.direction) && listed(&it.ports))
    }

    /// The module, if it is one.
    pub(super) fn module(&self) -> Option<&WasmModule> {
        match &self.code {
            ExtensionCode::Wasm(module) => Some(module),
            ExtensionCode::Lua(_) => None,
        }
    }

    /// Whether it works on connections, not requests.
    pub(super) fn is_network(&self) -> bool {
        self.module().is_some_and(|module| module.network)
    }

    /// From where the module is fetched, and its sum, if it is fetched.
    pub(super) fn remote(&self) -> Option<(&Arc<str>, Option<&Arc<str>>)> {
        let module = self.module()?;
        match &module.location {
            WasmLocation::Remote(url) => Some((url, module.sha256.as_ref())),
            _ => None,
        }
    }
}
