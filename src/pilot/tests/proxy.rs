//! A real Envoy on loopback that gets its configuration from a pilot.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use axum::body::Body;
use http_body_util::BodyExt;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use rcgen::KeyPair;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::client::web;
use crate::testing::TestCa;

/// The process. It ends with this value.
pub(super) struct Envoy {
    process: Child,
    folder: TempDir,
    admin: String,
    client: Client<HttpConnector, Body>,
}

// === impl Envoy ===

impl Envoy {
    /// Starts one as pod web-1 of namespace shop.
    pub(super) async fn start(binary: &Path, ca: &TestCa, pilot: SocketAddr) -> Self {
        Self::speaking("DELTA_GRPC", binary, ca, pilot).await
    }

    /// The same, with that form of the protocol.
    pub(super) async fn speaking(form: &str, binary: &Path, ca: &TestCa, pilot: SocketAddr) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (config, admin) = (folder.path().join("bootstrap.json"), folder.path().join("admin"));
        fs::write(&config, bootstrap(form, ca, pilot).to_string()).unwrap();
        let log = fs::File::create(folder.path().join("log")).unwrap();
        let process = Command::new(binary)
            .args(["--use-dynamic-base-id", "--concurrency", "1", "--log-level", "info", "--config-path"])
            .arg(&config)
            .arg("--admin-address-path")
            .arg(&admin)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let client = Client::builder(TokioExecutor::new()).build_http();
        let mut envoy = Self { process, folder, admin: String::new(), client };
        envoy.admin = envoy.written(&admin).await;
        envoy
    }

    /// The text of a file that Envoy writes.
    async fn written(&self, path: &PathBuf) -> String {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            match fs::read_to_string(path) {
                Ok(text) if !text.is_empty() => return text,
                _ => assert!(Instant::now() < deadline, "Envoy does not come up:\n{}", self.log()),
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// What Envoy has logged.
    pub(super) fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// The answer to a GET: status and body. Status 0 if nobody answers.
    pub(super) async fn get(&self, url: &str) -> (u16, String) {
        match self.client.get(url.parse().unwrap()).await {
            Ok(response) => {
                let status = response.status().as_u16();
                let body = response.into_body().collect().await.map(|body| body.to_bytes().to_vec()).unwrap_or_default();
                (status, String::from_utf8_lossy(&body).into_owned())
            }
            Err(_) => (0, String::new()),
        }
    }

    /// Asks until the answer satisfies.
    pub(super) async fn get_until(&self, url: &str, satisfied: impl Fn(u16, &str) -> bool) -> String {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let (status, body) = self.get(url).await;
            if satisfied(status, &body) {
                return body;
            }
            assert!(Instant::now() < deadline, "{url} answers {status} {body}\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// A page of the admin port.
    pub(super) fn admin(&self, path: &str) -> String {
        format!("http://{}{path}", self.admin)
    }

    /// Waits for the address at which a listener with port 0 answers.
    pub(super) async fn listens(&self, name: &str) -> SocketAddr {
        let prefix = format!("{name}::");
        let of = |page: &str| page.lines().find_map(|line| line.strip_prefix(&prefix)?.parse::<SocketAddr>().ok());
        let page = self.get_until(&self.admin("/listeners"), |_, page| of(page).is_some()).await;
        of(&page).unwrap()
    }
}

impl Drop for Envoy {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn bootstrap(form: &str, ca: &TestCa, pilot: SocketAddr) -> Value {
    let key = KeyPair::generate().unwrap();
    let certificate = ca.sign(&key, &[&web().to_string()], &[]);
    json!({
        "node": {
            "id": "sidecar~127.0.0.1~web-1.shop~shop.svc.cluster.local",
            "cluster": "web.shop",
            "metadata": {"NAMESPACE": "shop", "NAME": "web-1", "SERVICE_ACCOUNT": "web", "LABELS": {"app": "web"}},
        },
        "admin": {"address": socket("127.0.0.1", 0)},
        "dynamic_resources": {
            "ads_config": {
                "api_type": form,
                "transport_api_version": "V3",
                "grpc_services": [{"envoy_grpc": {"cluster_name": "xds-grpc"}}],
            },
            "cds_config": ads(),
            "lds_config": ads(),
        },
        "static_resources": {"clusters": [{
            "name": "xds-grpc",
            "type": "STATIC",
            "connect_timeout": "1s",
            "load_assignment": assignment("xds-grpc", pilot),
            "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                "explicit_http_config": {"http2_protocol_options": {}},
            }},
            "transport_socket": {"name": "tls", "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
                "common_tls_context": {
                    "tls_params": {"tls_minimum_protocol_version": "TLSv1_3", "tls_maximum_protocol_version": "TLSv1_3"},
                    "alpn_protocols": ["h2"],
                    "tls_certificates": [{
                        "certificate_chain": {"inline_string": certificate.pem()},
                        "private_key": {"inline_string": key.serialize_pem()},
                    }],
                    "validation_context": {
                        "trusted_ca": {"inline_string": ca.pem()},
                        "match_typed_subject_alt_names": [
                            {"san_type": "URI", "matcher": {"exact": "spiffe://cluster.local/ns/istio-system/sa/istio-pilot"}},
                        ],
                    },
                },
            }},
        }]},
    })
}

/// "By ADS".
pub(super) fn ads() -> Value {
    json!({"ads": {}, "resource_api_version": "V3"})
}

pub(super) fn socket(address: &str, port: u16) -> Value {
    json!({"socket_address": {"address": address, "port_value": port}})
}

/// One endpoint of a cluster.
pub(super) fn assignment(cluster: &str, endpoint: SocketAddr) -> Value {
    let endpoint = json!({"endpoint": {"address": socket(&endpoint.ip().to_string(), endpoint.port())}});
    json!({"cluster_name": cluster, "endpoints": [{"lb_endpoints": [endpoint]}]})
}
