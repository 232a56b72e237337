//! Environment variables by which 1.4's scripts set parts up. Most of those that 1.4 had are read by nobody here, and a script would not
//! notice; who wants one all the same, for a program of his own perhaps, says it in `env` of the part itself.

use ferromesh_crds::check::nearest;
use serde_json::Value;

/// What every process of the mesh reads.
const ALL: [&str; 2] = ["FERROMESH_LOG", "FERROMESH_LOG_FORMAT"];
/// The beginning of what libraries in them read.
const OF_LIBRARIES: [&str; 3] = ["MIMALLOC_", "RUST_", "TOKIO_"];
/// The beginning of what proxies pass on as metadata.
const METADATA: [&str; 2] = ["ISTIO_META_", "ISTIO_METAJSON_"];

/// What else the process of a part reads, by the part's place in the spec.
fn of(part: &str) -> &'static [&'static str] {
    match part {
        "components.pilot" | "components.galley" => &["CA_ADDRESS", "CLUSTER_DOMAIN", "POD_NAME", "POD_NAMESPACE"],
        "components.citadel" => {
            &["DEFAULT_WORKLOAD_CERT_TTL_SECONDS", "MAX_WORKLOAD_CERT_TTL_SECONDS", "MESH_OWNER", "POD_NAME", "POD_NAMESPACE"]
        }
        "components.cni" => &["NODE_NAME", "POD_NAMESPACE"],
        "components.injector" => &[],
        _ => &[
            "CA_ADDR",
            "EXIT_ON_ZERO_ACTIVE_CONNECTIONS",
            "INSTANCE_IP",
            "ISTIO_BOOTSTRAP_OVERRIDE",
            "ISTIO_KUBE_APP_PROBERS",
            "ISTIO_PROMETHEUS_ANNOTATIONS",
            "MINIMUM_DRAIN_DURATION",
            "NODE_NAME",
            "OUTPUT_CERTS",
            "POD_NAME",
            "POD_NAMESPACE",
            "PROXY_CONFIG",
            "SECRET_TTL",
            "SERVICE_ACCOUNT",
            "TRUST_DOMAIN",
        ],
    }
}

/// All variables that the process of a part reads by their full names; `part` is its place in the spec.
pub(crate) fn variables_of(part: &str) -> impl Iterator<Item = &'static str> {
    ALL.into_iter().chain(of(part).iter().copied())
}

/// What is wrong with the variables of a part: the end of the path, and why.
pub(super) fn unread(part: &str, variables: &Value) -> Vec<(String, String)> {
    let prefixes = || OF_LIBRARIES.iter().chain(if part.starts_with("gateways.") { &METADATA[..] } else { &[] });
    let is_read = |name: &str| variables_of(part).any(|known| known == name) || prefixes().any(|prefix| name.starts_with(prefix));
    let told = |name: &String| {
        let meant = nearest(name, variables_of(part)).map(|meant| format!(" (did you mean {meant}?)")).unwrap_or_default();
        (format!(".{name}"), format!("is read by no process of this part{meant}: take it away, or say it in spec.{part}.env"))
    };
    let names = variables.as_object().into_iter().flatten().map(|(name, _)| name);
    names.filter(|name| !is_read(name)).map(told).collect()
}
