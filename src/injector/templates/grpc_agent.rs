//! Template `grpc-agent`: an agent without Envoy beside an application whose gRPC library speaks xDS itself. Nothing is redirected; the
//! application is told where it finds its bootstrap, its certificate and the way to pilot.

use serde_json::{Value, json};

use super::sidecar::beside;
use crate::injector::{container::Context, pod::array_mut, probes::REWRITE};
use crate::model::InterceptionMode;

/// The folder with the bootstrap and the socket of xDS, and the volume that agent and application share for it.
const XDS_FOLDER: &str = "/etc/istio/proxy";
const XDS_VOLUME: &str = "istio-xds";
/// The folder with the workload's certificate, likewise.
const DATA_FOLDER: &str = "/var/lib/istio/data";
const DATA_VOLUME: &str = "istio-data";
/// The volume that a proxy with an Envoy has for itself in the place of the first one.
const ENVOY_VOLUME: &str = "istio-envoy";

/// The patch for a pod.
pub(super) fn patch(context: &Context<'_>) -> Value {
    let mut volumes = context.volumes();
    volumes.retain(|volume| volume["name"] != ENVOY_VOLUME);
    // In memory: there are keys in it.
    volumes.extend([XDS_VOLUME, DATA_VOLUME].map(|name| json!({"name": name, "emptyDir": {"medium": "Memory"}})));
    let mut patch = beside(context, agent(context), volumes, None);
    // The kubelet reaches the application itself; the agent could ask no more than that.
    patch["metadata"]["annotations"][REWRITE] = "false".into();
    let applications = context.applications().filter_map(|container| Some(application(container["name"].as_str()?)));
    array_mut(&mut patch["spec"], "containers").extend(applications);
    patch
}

fn agent(context: &Context<'_>) -> Value {
    let mut agent = context.sidecar(InterceptionMode::None);
    // The port of Envoy's metrics.
    agent.as_object_mut().map(|agent| agent.remove("ports"));
    let variables = array_mut(&mut agent, "env");
    for (name, value) in [
        ("ISTIO_META_GENERATOR", "grpc"),
        // Addresses come by xDS: the application asks DNS for none of them.
        ("ISTIO_META_DNS_CAPTURE", "false"),
        ("OUTPUT_CERTS", DATA_FOLDER),
    ] {
        variables.retain(|variable| variable["name"] != name);
        variables.push(json!({"name": name, "value": value}));
    }
    let mounts = array_mut(&mut agent, "volumeMounts");
    mounts.retain(|mount| mount["name"] != ENVOY_VOLUME);
    mounts.extend(shared_mounts());
    for probe in ["startupProbe", "readinessProbe"] {
        if let Some(probe) = agent.get_mut(probe) {
            probe["httpGet"]["port"] = context.options.proxy_config.status_port.into();
        }
    }
    agent
}

/// What an application's container needs to find the mesh.
fn application(name: &str) -> Value {
    let variable = |name: &str, value: &str| json!({"name": name, "value": value});
    json!({
        "name": name,
        "env": [
            // Libraries from before it was the default ask for it.
            variable("GRPC_XDS_EXPERIMENTAL_SECURITY_SUPPORT", "true"),
            variable("GRPC_XDS_BOOTSTRAP", &format!("{XDS_FOLDER}/grpc-bootstrap.json")),
        ],
        "volumeMounts": shared_mounts(),
    })
}

fn shared_mounts() -> [Value; 2] {
    [(XDS_VOLUME, XDS_FOLDER), (DATA_VOLUME, DATA_FOLDER)].map(|(name, folder)| json!({"name": name, "mountPath": folder}))
}
