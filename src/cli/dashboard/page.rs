//! Which pods have pages, and where.

use crate::cli::proxy::{ADMIN, PILOT_LABELS, PILOT_PORT};

/// A page of a pod.
#[derive(Clone, Copy, Debug)]
pub(super) struct Page {
    /// What people call it.
    pub(super) name: &'static str,
    /// The labels of its pods, in the mesh's namespace.
    pub(super) labels: &'static str,
    pub(super) port: u16,
    pub(super) path: &'static str,
    /// What to do where no pod has it.
    pub(super) remedy: &'static str,
}

pub(super) static PROMETHEUS: [Page; 1] = [addon("prometheus", "app=prometheus", 9090, "/")];
pub(super) static GRAFANA: [Page; 1] = [addon("grafana", "app=grafana", 3000, "/")];
pub(super) static KIALI: [Page; 1] = [addon("kiali", "app=kiali", 20001, "/kiali")];
/// The add-on's Zipkin, or a Jaeger that somebody has brought.
pub(super) static TRACING: [Page; 2] = [addon("tracing", "app=tracing", 9411, "/zipkin/"), addon("jaeger", "app=jaeger", 16686, "/")];
pub(super) static ENVOY: [Page; 1] = [Page { name: "envoy", labels: "", port: ADMIN, path: "/", remedy: "" }];
pub(super) static PILOT: [Page; 1] = [Page {
    name: "pilot",
    labels: PILOT_LABELS,
    port: PILOT_PORT,
    path: "/debug/syncz",
    remedy: "name the control plane's with --istioNamespace",
}];

const fn addon(name: &'static str, labels: &'static str, port: u16, path: &'static str) -> Page {
    let remedy = "the MeshInstall's spec.addons brings it, and --istioNamespace names another namespace";
    Page { name, labels, port, path, remedy }
}
