//! Values from the time when a filter was known by its name, and its configuration by `config`.

use serde_json::{Map, Value, json};

use crate::model::PatchedObject;

/// The last part of a filter's name, and the message of its configuration below the package of its sort.
const HTTP: [(&str, &str); 16] = [
    ("buffer", "buffer.v3.Buffer"),
    ("cors", "cors.v3.Cors"),
    ("csrf", "csrf.v3.CsrfPolicy"),
    ("ext_authz", "ext_authz.v3.ExtAuthz"),
    ("fault", "fault.v3.HTTPFault"),
    ("grpc_http1_bridge", "grpc_http1_bridge.v3.Config"),
    ("grpc_json_transcoder", "grpc_json_transcoder.v3.GrpcJsonTranscoder"),
    ("grpc_web", "grpc_web.v3.GrpcWeb"),
    ("header_to_metadata", "header_to_metadata.v3.Config"),
    ("health_check", "health_check.v3.HealthCheck"),
    ("ip_tagging", "ip_tagging.v3.IPTagging"),
    ("lua", "lua.v3.Lua"),
    ("rate_limit", "ratelimit.v3.RateLimit"),
    ("ratelimit", "ratelimit.v3.RateLimit"),
    ("rbac", "rbac.v3.RBAC"),
    ("router", "router.v3.Router"),
];
const NETWORK: [(&str, &str); 8] = [
    ("echo", "echo.v3.Echo"),
    ("ext_authz", "ext_authz.v3.ExtAuthz"),
    ("http_connection_manager", "http_connection_manager.v3.HttpConnectionManager"),
    ("mongo_proxy", "mongo_proxy.v3.MongoProxy"),
    ("ratelimit", "ratelimit.v3.RateLimit"),
    ("rbac", "rbac.v3.RBAC"),
    ("redis_proxy", "redis_proxy.v3.RedisProxy"),
    ("tcp_proxy", "tcp_proxy.v3.TcpProxy"),
];
const LISTENER: [(&str, &str); 5] = [
    ("http_inspector", "http_inspector.v3.HttpInspector"),
    ("original_dst", "original_dst.v3.OriginalDst"),
    ("original_src", "original_src.v3.OriginalSrc"),
    ("proxy_protocol", "proxy_protocol.v3.ProxyProtocol"),
    ("tls_inspector", "tls_inspector.v3.TlsInspector"),
];

/// The value with the type of its configuration, where it has none and its name tells it.
pub(super) fn brought_up_to_date(object: PatchedObject, value: &Value) -> Value {
    let mut value = value.clone();
    let sort = match object {
        PatchedObject::HttpFilter => ("http", &HTTP[..]),
        PatchedObject::NetworkFilter => ("network", &NETWORK[..]),
        PatchedObject::ListenerFilter => ("listener", &LISTENER[..]),
        _ => return value,
    };
    if let Some(fields) = value.as_object_mut() {
        add_type(fields, sort);
    }
    value
}

fn add_type(fields: &mut Map<String, Value>, (sort, names): (&str, &[(&str, &str)])) {
    let configured = ["typed_config", "typedConfig", "config_discovery", "configDiscovery"];
    if configured.iter().any(|field| fields.contains_key(*field)) {
        return;
    }
    let name = fields.get("name").and_then(Value::as_str).unwrap_or_default();
    let known = name.strip_prefix("envoy.").and_then(|name| name.rsplit('.').next());
    let Some((_, message)) = names.iter().find(|(name, _)| Some(*name) == known) else { return };
    let mut config = match fields.remove("config") {
        Some(Value::Object(config)) => config,
        _ => Map::new(),
    };
    config.insert("@type".to_owned(), json!(format!("type.googleapis.com/envoy.extensions.filters.{sort}.{message}")));
    fields.insert("typed_config".to_owned(), Value::Object(config));
}
