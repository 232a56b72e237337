//! Add-ons: upstream programs, each with the configuration that makes it show this mesh.
//!
//! They are restricted pods like all others, keep what they collect in memory for as long as they run, and nothing waits for them.

mod dashboard;
#[cfg(test)]
mod exported;
mod grafana;
mod kiali;
mod prometheus;
#[cfg(test)]
mod tests;
mod tracing;

use ferromesh_crds::install::{GatewayService, ServiceType};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

use super::{
    access,
    object::{Base, Planned},
    service::{self, Service},
    workload::Workload,
};
use crate::operator::{
    object::Kind,
    settings::{Addon, Program, Revision},
};

/// The annotation of a program's pods that changes with its configuration.
const CONFIGURATION: &str = "install.ferromesh.dev/configuration";

/// What one program is told.
struct Shape {
    /// The container, but for its image and its mounts.
    container: Value,
    /// ConfigMaps by their names: the keys, what they hold, and where the folder is mounted.
    files: Vec<Files>,
    /// Folders that it writes to.
    scratch: Vec<&'static str>,
    /// Its Services, of which the first is the one that the spec speaks of.
    services: Vec<(&'static str, Port)>,
    /// The ClusterRole by which it reads the cluster.
    role: Option<&'static str>,
}

/// A ConfigMap, mounted as a folder.
struct Files {
    name: &'static str,
    folder: &'static str,
    data: Map<String, Value>,
}

/// A port of a Service, and the program's that it leads to.
#[derive(Clone, Copy)]
struct Port {
    name: &'static str,
    service: u16,
    pod: u16,
}

/// The objects of an add-on; `serving` is the place of the control plane that it is to show.
pub(super) fn plan(base: Base<'_>, serving: &Revision, program: Program, addon: &Addon) -> Vec<Planned> {
    let shape = match program {
        Program::Prometheus => prometheus::shape(),
        Program::Grafana => grafana::shape(base),
        Program::Kiali => kiali::shape(base, serving),
        Program::Tracing => tracing::shape(),
    };
    let (name, component) = (program.object(), program.name());
    let configuration: Vec<Planned> =
        shape.files.iter().map(|files| base.object(Kind::ConfigMap, files.name, component, json!({"data": files.data}))).collect();
    // A program reads its files when it starts: others replace its pod.
    let marks = configuration.iter().map(Planned::mark).collect::<Vec<_>>().join(" ");
    let workload = Workload {
        base,
        name,
        component,
        part: &addon.part,
        labels: Map::from_iter([("app".to_owned(), json!(component))]),
        annotations: Map::from_iter([(CONFIGURATION.to_owned(), json!(marks))]),
        described: BTreeMap::new(),
        container: shape.container(addon),
        volumes: shape.volumes(),
        uses_api: shape.role.is_some(),
    };
    let mut objects: Vec<Planned> = shape.role.map(|role| access::addon(base, role, name, component)).into_iter().collect();
    objects.extend(configuration);
    let unspoken = GatewayService::default();
    for (index, (service, usual)) in shape.services.iter().enumerate() {
        let (type_, described) = if index == 0 { (addon.service_type, &addon.service) } else { (ServiceType::ClusterIp, &unspoken) };
        let ports = match described.ports.as_slice() {
            [] => vec![json!({"name": usual.name, "port": usual.service, "targetPort": usual.pod, "protocol": "TCP"})],
            given => given.iter().map(|given| service::port(given, usual.pod.into())).collect(),
        };
        objects.push(Service { name: service, component, workload: name, type_, described, ports }.plan(base));
    }
    objects.extend(workload.plan());
    objects
}

// === impl Shape ===

impl Shape {
    fn container(&self, addon: &Addon) -> Value {
        let mut container = self.container.clone();
        let port = self.services[0].1;
        container["image"] = json!(addon.image);
        container["ports"] = json!([{"name": port.name, "containerPort": port.pod, "protocol": "TCP"}]);
        let files = self.files.iter().map(|files| json!({"name": files.name, "mountPath": files.folder, "readOnly": true}));
        let scratch = self.scratch.iter().map(|folder| json!({"name": scratch_name(folder), "mountPath": folder}));
        container["volumeMounts"] = files.chain(scratch).collect();
        container
    }

    fn volumes(&self) -> Vec<Value> {
        let files = self.files.iter().map(|files| json!({"name": files.name, "configMap": {"name": files.name}}));
        let scratch = self.scratch.iter().map(|folder| json!({"name": scratch_name(folder), "emptyDir": {}}));
        files.chain(scratch).collect()
    }
}

/// The port at which a program's Service leads to the program: the usual one where the spec names no other, and where the program is
/// somebody else's.
fn asked_at(base: Base<'_>, program: Program, usual: Port) -> i32 {
    let leads_there = |target: &IntOrString| match target {
        IntOrString::Int(number) => *number == i32::from(usual.pod),
        IntOrString::String(text) => text == usual.name || *text == usual.pod.to_string(),
    };
    let addon = base.settings.addons.get(&program);
    let mut ports = addon.into_iter().flat_map(|addon| &addon.service.ports);
    let found = ports.find(|port| port.target_port.as_ref().is_none_or(leads_there));
    found.and_then(|port| port.port).unwrap_or(usual.service.into())
}

/// The volume behind a folder: that of `/var/lib/grafana` is `scratch-var-lib-grafana`.
fn scratch_name(folder: &str) -> String {
    format!("scratch{}", folder.replace('/', "-"))
}

/// A ConfigMap's one text.
fn file(name: &str, text: String) -> Map<String, Value> {
    Map::from_iter([(name.to_owned(), Value::String(text))])
}

/// A probe by HTTP.
fn probe(path: &str, port: u16, seconds: u32) -> Value {
    json!({"httpGet": {"path": path, "port": port}, "periodSeconds": seconds, "timeoutSeconds": 3, "failureThreshold": 5})
}
