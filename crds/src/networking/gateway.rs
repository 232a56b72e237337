//! Gateway: the ports and hosts that a proxy at the mesh's edge listens on.

use std::collections::BTreeMap;

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::object::api_objects;
use crate::schema::{Required, Rules};
use crate::status::MeshStatus;

api_objects! {
    /// What the selected proxies listen on.
    #[derive(CustomResource)]
    #[kube(
        group = "networking.istio.io", version = "v1", kind = "Gateway", namespaced,
        plural = "gateways", shortname = "gw",
        category = "istio-io", category = "networking-istio-io",
        doc = "Opens ports for hosts on proxies at the edge of the mesh.",
        status = "MeshStatus", derive = "PartialEq",
        printcolumn(name = "Selector", type_ = "string", json_path = ".spec.selector", priority = 1,
            description = "Labels of the proxies that listen."),
        printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp",
            description = "How long ago the object was created.")
    )]
    pub struct GatewaySpec {
        /// Labels of the proxies that listen, in any namespace, for example `istio: ingressgateway`.
        pub selector: BTreeMap<String, String>,
        /// Ports, and the hosts that each of them serves.
        #[schemars(length(max = 8192))]
        pub servers: Vec<Server>,
    }

    /// A port and the hosts that it serves.
    #[schemars(transform = Required(&["port", "hosts"]))]
    pub struct Server {
        /// A name for metrics.
        pub name: Option<String>,
        /// The port.
        pub port: Option<GatewayPort>,
        /// The address to listen on, or `unix://` and the path of a socket; without it all addresses.
        pub bind: Option<String>,
        /// Hosts, as `host` or `namespace/host`: only VirtualServices of that namespace (`.` its own, `*`
        /// any) and for such a host are served. `*.` in front of a host is a wildcard.
        pub hosts: Vec<String>,
        /// TLS of this port; needed when the protocol is HTTPS or TLS.
        pub tls: Option<ServerTls>,
        /// Reserved; has no effect.
        pub default_endpoint: Option<String>,
    }

    /// A port that a gateway listens on.
    #[schemars(transform = Required(&["number", "protocol", "name"]))]
    pub struct GatewayPort {
        /// The port's number; 0 only where `bind` is a socket.
        #[schemars(range(min = 0, max = 65535))]
        pub number: Option<u32>,
        /// HTTP, HTTPS, GRPC, HTTP2, MONGO, TCP or TLS.
        pub protocol: String,
        /// A name, unlike those of the other ports.
        pub name: String,
        /// Has no effect at a gateway, so nothing but 0 is accepted.
        #[schemars(range(min = 0, max = 65535))]
        pub target_port: Option<u32>,
    }

    /// TLS of a port that is listened on.
    #[schemars(transform = Rules(&[
        ("[has(self.credentialName), has(self.credentialNames), has(self.tlsCertificates)].filter(set, set).size() <= 1",
         "only one of credentialName, credentialNames and tlsCertificates may be set"),
    ]))]
    pub struct ServerTls {
        /// Whether plain HTTP is answered with a redirect to HTTPS.
        pub https_redirect: Option<bool>,
        /// SIMPLE: TLS. MUTUAL: TLS with client certificates. OPTIONAL_MUTUAL: asks for them, but goes
        /// without. ISTIO_MUTUAL: the mesh's own certificates. PASSTHROUGH and AUTO_PASSTHROUGH: the
        /// connection is routed by its server name and not decrypted.
        pub mode: Option<ServerTlsMode>,
        /// A file with the server's certificate.
        pub server_certificate: Option<String>,
        /// A file with the server's key.
        pub private_key: Option<String>,
        /// A file with the authorities that sign clients' certificates.
        pub ca_certificates: Option<String>,
        /// A file with revoked certificates.
        pub ca_crl: Option<String>,
        /// A Secret with key and certificate, in the proxy's namespace, in place of the files. Authorities
        /// for MUTUAL are in the same Secret, or in the one of that name with `-cacert`.
        pub credential_name: Option<String>,
        /// Two Secrets, one with an RSA and one with an ECDSA key.
        #[schemars(length(min = 1, max = 2))]
        pub credential_names: Vec<String>,
        /// A Secret or ConfigMap with the authorities that sign clients' certificates.
        pub ca_cert_credential_name: Option<String>,
        /// Two pairs of files, one with an RSA and one with an ECDSA key.
        #[schemars(length(min = 1, max = 2))]
        pub tls_certificates: Vec<TlsCertificate>,
        /// Names of which a client's certificate must carry one.
        pub subject_alt_names: Vec<String>,
        /// SHA-256 of the public keys that clients may have, in base64.
        pub verify_certificate_spki: Vec<String>,
        /// SHA-256 of the certificates that clients may have, in hexadecimal.
        pub verify_certificate_hash: Vec<String>,
        /// The least version of TLS.
        pub min_protocol_version: Option<TlsProtocol>,
        /// The greatest version of TLS.
        pub max_protocol_version: Option<TlsProtocol>,
        /// Cipher suites by Envoy's names; without it Envoy's own.
        pub cipher_suites: Vec<String>,
        /// Reserved for clients; has no effect here.
        pub insecure_skip_verify: Option<bool>,
    }

    /// A certificate and its key, as files.
    pub struct TlsCertificate {
        /// The certificate.
        pub server_certificate: Option<String>,
        /// The key.
        pub private_key: Option<String>,
        /// The authorities that sign clients' certificates.
        pub ca_certificates: Option<String>,
    }
}

/// How a port that is listened on does TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[schemars(description = "")]
pub enum ServerTlsMode {
    /// Not decrypted; VirtualServices route by server name.
    Passthrough,
    /// TLS.
    Simple,
    /// TLS with client certificates.
    Mutual,
    /// Not decrypted; the server name itself says where to.
    AutoPassthrough,
    /// TLS with the mesh's certificates on both sides.
    IstioMutual,
    /// TLS with client certificates where clients have one.
    OptionalMutual,
}

/// Versions of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize, JsonSchema)]
#[schemars(description = "")]
pub enum TlsProtocol {
    /// The proxy's choice.
    #[serde(rename = "TLS_AUTO")]
    Auto,
    /// TLS 1.0.
    #[serde(rename = "TLSV1_0")]
    V1_0,
    /// TLS 1.1.
    #[serde(rename = "TLSV1_1")]
    V1_1,
    /// TLS 1.2.
    #[serde(rename = "TLSV1_2")]
    V1_2,
    /// TLS 1.3.
    #[serde(rename = "TLSV1_3")]
    V1_3,
}
