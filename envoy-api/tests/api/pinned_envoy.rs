//! Against the pinned Envoy binary.

use std::env;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use envoy_api::envoy::config::bootstrap::v3::bootstrap::{DynamicResources, StaticResources};
use envoy_api::envoy::config::bootstrap::v3::{Admin, Bootstrap};
use envoy_api::envoy::config::cluster::v3::Cluster;
use envoy_api::envoy::config::cluster::v3::cluster::{ClusterDiscoveryType, DiscoveryType};
use envoy_api::envoy::config::core::v3::address::Address as AddressKind;
use envoy_api::envoy::config::core::v3::api_config_source::ApiType;
use envoy_api::envoy::config::core::v3::config_source::ConfigSourceSpecifier;
use envoy_api::envoy::config::core::v3::grpc_service::{EnvoyGrpc, TargetSpecifier};
use envoy_api::envoy::config::core::v3::socket_address::PortSpecifier;
use envoy_api::envoy::config::core::v3::{
    Address, AggregatedConfigSource, ApiConfigSource, ApiVersion, ConfigSource, GrpcService, Http2ProtocolOptions, Node, Pipe,
    SocketAddress,
};
use envoy_api::envoy::config::endpoint::v3::lb_endpoint::HostIdentifier;
use envoy_api::envoy::config::endpoint::v3::{ClusterLoadAssignment, Endpoint, LbEndpoint, LocalityLbEndpoints};
use envoy_api::envoy::config::listener::v3::filter::ConfigType;
use envoy_api::envoy::config::listener::v3::{Filter, FilterChain, Listener};
use envoy_api::envoy::extensions::filters::network::tcp_proxy::v3::TcpProxy;
use envoy_api::envoy::extensions::filters::network::tcp_proxy::v3::tcp_proxy::ClusterSpecifier;
use envoy_api::envoy::extensions::upstreams::http::v3::HttpProtocolOptions;
use envoy_api::envoy::extensions::upstreams::http::v3::http_protocol_options::explicit_http_config::ProtocolConfig;
use envoy_api::envoy::extensions::upstreams::http::v3::http_protocol_options::{ExplicitHttpConfig, UpstreamProtocolOptions};
use envoy_api::{DESCRIPTORS, any, json};
use prost::Message;

type TestResult = Result<(), Box<dyn Error>>;

/// A file's name and content.
type Form = (&'static str, Vec<u8>);

/// The pinned binary. Where it can't be had, the tests that need it say so and pass, but not in CI.
fn envoy() -> Option<PathBuf> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../images/envoy.sh");
    let output = Command::new(&script).output().expect("images/envoy.sh runs");
    if output.status.success() {
        let path = String::from_utf8(output.stdout).expect("a path in UTF-8");
        return Some(PathBuf::from(path.trim_end()));
    }
    let reason = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(env::var("CI").as_deref() != Ok("true"), "CI needs the pinned Envoy: {reason}");
    eprintln!("skipped, the pinned Envoy can't be had: {reason}");
    None
}

#[test]
fn descriptors_are_those_of_the_pinned_envoy() -> TestResult {
    let Some(envoy) = envoy() else { return Ok(()) };
    let folder = tempfile::tempdir()?;
    let out = folder.path().join("descriptors.binpb");
    let output = Command::new(env!("CARGO_BIN_EXE_extract-descriptors")).arg(&envoy).arg(&out).output()?;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(fs::read(&out)? == DESCRIPTORS, "envoy-api/descriptors.binpb is not the pinned Envoy's API: run `make envoy-api`");
    Ok(())
}

#[test]
fn bootstrap_is_accepted_in_both_forms() -> TestResult {
    let Some(envoy) = envoy() else { return Ok(()) };
    let folder = tempfile::tempdir()?;
    for (name, bytes) in forms(&bootstrap(any(&tcp_proxy())))? {
        let output = validate(&envoy, &folder.path().join(name), &bytes)?;
        assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}

#[test]
fn bootstrap_with_a_bad_filter_is_refused() -> TestResult {
    let Some(envoy) = envoy() else { return Ok(()) };
    let folder = tempfile::tempdir()?;
    // A TCP proxy must say where to.
    let nowhere = TcpProxy { cluster_specifier: None, ..tcp_proxy() };
    for (name, bytes) in forms(&bootstrap(any(&nowhere)))? {
        let output = validate(&envoy, &folder.path().join(name), &bytes)?;
        assert!(!output.status.success(), "{name}");
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(message.contains("cluster_specifier"), "{name}: {message}");
    }
    Ok(())
}

/// `bootstrap` in the two forms that Envoy reads, told apart by the file's name.
fn forms(bootstrap: &Bootstrap) -> Result<[Form; 2], Box<dyn Error>> {
    let json = serde_json::to_vec_pretty(&json::to_value(bootstrap)?)?;
    Ok([("bootstrap.pb", bootstrap.encode_to_vec()), ("bootstrap.json", json)])
}

fn validate(envoy: &Path, file: &Path, config: &[u8]) -> Result<Output, std::io::Error> {
    fs::write(file, config)?;
    Command::new(envoy).args(["--mode", "validate", "--log-level", "error", "--config-path"]).arg(file).output()
}

/// The shape of a sidecar's: discovery over a static cluster, a static listener.
fn bootstrap(filter: prost_types::Any) -> Bootstrap {
    Bootstrap {
        node: Some(Node { id: "sidecar~10.0.0.1~a.b~b.svc.cluster.local".into(), cluster: "a.b".into(), ..Default::default() }),
        admin: Some(Admin { address: Some(socket_address("127.0.0.1", 15000)), ..Default::default() }),
        dynamic_resources: Some(DynamicResources {
            ads_config: Some(ApiConfigSource {
                api_type: ApiType::DeltaGrpc.into(),
                transport_api_version: ApiVersion::V3.into(),
                grpc_services: vec![GrpcService {
                    target_specifier: Some(TargetSpecifier::EnvoyGrpc(EnvoyGrpc { cluster_name: "xds-grpc".into(), ..Default::default() })),
                    ..Default::default()
                }],
                ..Default::default()
            }),
            cds_config: Some(aggregated()),
            lds_config: Some(aggregated()),
            ..Default::default()
        }),
        static_resources: Some(StaticResources {
            clusters: vec![xds_cluster()],
            listeners: vec![Listener {
                name: "tcp".into(),
                address: Some(socket_address("127.0.0.1", 15090)),
                filter_chains: vec![FilterChain {
                    filters: vec![Filter {
                        name: "envoy.filters.network.tcp_proxy".into(),
                        config_type: Some(ConfigType::TypedConfig(filter)),
                    }],
                    ..Default::default()
                }],
                ..Default::default()
            }],
            ..Default::default()
        }),
        ..Default::default()
    }
}

fn xds_cluster() -> Cluster {
    let http2 = HttpProtocolOptions {
        upstream_protocol_options: Some(UpstreamProtocolOptions::ExplicitHttpConfig(ExplicitHttpConfig {
            protocol_config: Some(ProtocolConfig::Http2ProtocolOptions(Http2ProtocolOptions::default())),
        })),
        ..Default::default()
    };
    let socket = Address { address: Some(AddressKind::Pipe(Pipe { path: "/etc/istio/proxy/XDS".into(), mode: 0 })) };
    let endpoint = LbEndpoint {
        host_identifier: Some(HostIdentifier::Endpoint(Endpoint { address: Some(socket), ..Default::default() })),
        ..Default::default()
    };
    Cluster {
        name: "xds-grpc".into(),
        cluster_discovery_type: Some(ClusterDiscoveryType::Type(DiscoveryType::Static.into())),
        load_assignment: Some(ClusterLoadAssignment {
            cluster_name: "xds-grpc".into(),
            endpoints: vec![LocalityLbEndpoints { lb_endpoints: vec![endpoint], ..Default::default() }],
            ..Default::default()
        }),
        typed_extension_protocol_options: [("envoy.extensions.upstreams.http.v3.HttpProtocolOptions".to_owned(), any(&http2))].into(),
        ..Default::default()
    }
}

fn tcp_proxy() -> TcpProxy {
    let cluster_specifier = Some(ClusterSpecifier::Cluster("xds-grpc".into()));
    TcpProxy { stat_prefix: "tcp".into(), cluster_specifier, ..Default::default() }
}

fn aggregated() -> ConfigSource {
    ConfigSource {
        config_source_specifier: Some(ConfigSourceSpecifier::Ads(AggregatedConfigSource::default())),
        resource_api_version: ApiVersion::V3.into(),
        ..Default::default()
    }
}

fn socket_address(address: &str, port: u32) -> Address {
    Address {
        address: Some(AddressKind::SocketAddress(SocketAddress {
            address: address.into(),
            port_specifier: Some(PortSpecifier::PortValue(port)),
            ..Default::default()
        })),
    }
}
