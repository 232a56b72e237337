//! The file in which a gRPC library finds pilot, who it is itself, and its certificate.

use serde_json::{Value, json};
use std::path::Path;

use super::{files, socket};
use crate::agent::ProxyFacts;
use crate::model::GRPC_SERVER_PREFIX;

/// How often a library looks whether there is a new certificate. Reading three small files costs it nothing, and a certificate may last for
/// minutes only.
const REFRESH: &str = "5s";

/// The bootstrap, as JSON.
pub(super) fn bootstrap(facts: &ProxyFacts, directory: &Path, certificates: &Path) -> Vec<u8> {
    let file = |name: &str| certificates.join(name).display().to_string();
    let watched = json!({
        "certificate_file": file(files::CHAIN),
        "private_key_file": file(files::KEY),
        "ca_certificate_file": file(files::ROOTS),
        "refresh_interval": REFRESH,
    });
    let server = json!({
        "server_uri": format!("unix://{}", socket(directory).display()),
        // It is the agent that proves who asks.
        "channel_creds": [{"type": "insecure"}],
        "server_features": ["xds_v3"],
    });
    let content: Value = json!({
        "xds_servers": [server],
        "node": facts.to_json(),
        "certificate_providers": {"default": {"plugin_name": "file_watcher", "config": watched}},
        "server_listener_resource_name_template": format!("{GRPC_SERVER_PREFIX}%s"),
    });
    format!("{content:#}\n").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::node::tests::facts;

    #[test]
    fn a_library_is_told_where_everything_is() {
        let mut facts = facts();
        facts.metadata.insert("GENERATOR".to_owned(), "grpc".to_owned());
        facts.labels.insert("topology.kubernetes.io/region".to_owned(), "eu".to_owned());
        let written = bootstrap(&facts, Path::new("/etc/istio/proxy"), Path::new("/var/lib/istio/data"));
        insta::assert_snapshot!(String::from_utf8(written).unwrap());
    }
}
