//! Access logs, as the mesh's settings ask for them.

use envoy_api::envoy::{
    config::{
        accesslog::v3::{AccessLog, AccessLogFilter, ResponseFlagFilter, access_log, access_log_filter::FilterSpecifier},
        core::v3::{SubstitutionFormatString, substitution_format_string::Format},
    },
    extensions::access_loggers::file::v3::{FileAccessLog, file_access_log::AccessLogFormat},
};
use prost_types::{Struct, Value, value::Kind};

use crate::compile::{
    message::{inline, list, nested, object, text},
    scope::Scope,
};
use crate::model::AccessLogEncoding;

/// The line that the reference writes where the user gives no format; tools parse it.
const LINE: &str = concat!(
    r#"[%START_TIME%] "%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%" %RESPONSE_CODE% %RESPONSE_FLAGS% "#,
    r#"%RESPONSE_CODE_DETAILS% %CONNECTION_TERMINATION_DETAILS% "%UPSTREAM_TRANSPORT_FAILURE_REASON%" %BYTES_RECEIVED% %BYTES_SENT% "#,
    r#"%DURATION% %RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% "%REQ(X-FORWARDED-FOR)%" "%REQ(USER-AGENT)%" "%REQ(X-REQUEST-ID)%" "#,
    r#""%REQ(:AUTHORITY)%" "%UPSTREAM_HOST%" %UPSTREAM_CLUSTER_RAW% %UPSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_LOCAL_ADDRESS% "#,
    "%DOWNSTREAM_REMOTE_ADDRESS% %REQUESTED_SERVER_NAME% %ROUTE_NAME%\n",
);

/// The same as the fields of a JSON object.
const FIELDS: [(&str, &str); 24] = [
    ("authority", "%REQ(:AUTHORITY)%"),
    ("bytes_received", "%BYTES_RECEIVED%"),
    ("bytes_sent", "%BYTES_SENT%"),
    ("connection_termination_details", "%CONNECTION_TERMINATION_DETAILS%"),
    ("downstream_local_address", "%DOWNSTREAM_LOCAL_ADDRESS%"),
    ("downstream_remote_address", "%DOWNSTREAM_REMOTE_ADDRESS%"),
    ("duration", "%DURATION%"),
    ("method", "%REQ(:METHOD)%"),
    ("path", "%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%"),
    ("protocol", "%PROTOCOL%"),
    ("request_id", "%REQ(X-REQUEST-ID)%"),
    ("requested_server_name", "%REQUESTED_SERVER_NAME%"),
    ("response_code", "%RESPONSE_CODE%"),
    ("response_code_details", "%RESPONSE_CODE_DETAILS%"),
    ("response_flags", "%RESPONSE_FLAGS%"),
    ("route_name", "%ROUTE_NAME%"),
    ("start_time", "%START_TIME%"),
    ("upstream_cluster", "%UPSTREAM_CLUSTER_RAW%"),
    ("upstream_host", "%UPSTREAM_HOST%"),
    ("upstream_local_address", "%UPSTREAM_LOCAL_ADDRESS%"),
    ("upstream_service_time", "%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)%"),
    ("upstream_transport_failure_reason", "%UPSTREAM_TRANSPORT_FAILURE_REASON%"),
    ("user_agent", "%REQ(USER-AGENT)%"),
    ("x_forwarded_for", "%REQ(X-FORWARDED-FOR)%"),
];

/// The logs of a filter that handles connections or requests; none if the mesh logs nothing.
pub(super) fn access_logs(scope: &Scope<'_>) -> Vec<AccessLog> {
    let settings = scope.settings();
    if settings.access_log_file.is_empty() {
        return Vec::new();
    }
    let own = Some(&*settings.access_log_format).filter(|format| !format.is_empty());
    let format = match settings.access_log_encoding {
        AccessLogEncoding::Text => Format::TextFormatSource(inline(&own.map_or_else(|| LINE.to_owned(), as_line))),
        AccessLogEncoding::Json => Format::JsonFormat(own.and_then(as_object).unwrap_or_else(default_object)),
    };
    let log_format = SubstitutionFormatString { format: Some(format), ..SubstitutionFormatString::default() };
    let file = FileAccessLog { path: settings.access_log_file.clone(), access_log_format: Some(AccessLogFormat::LogFormat(log_format)) };
    let config_type = Some(access_log::ConfigType::TypedConfig(envoy_api::any(&file)));
    vec![AccessLog { name: "envoy.access_loggers.file".to_owned(), filter: None, config_type }]
}

/// The logs of a listener: of connections alone that no filter chain takes. Whatever a chain takes is logged there.
pub(super) fn unmatched_logs(scope: &Scope<'_>) -> Vec<AccessLog> {
    let flags = ResponseFlagFilter { flags: vec!["NR".to_owned()] };
    let filter = AccessLogFilter { filter_specifier: Some(FilterSpecifier::ResponseFlagFilter(flags)) };
    access_logs(scope).into_iter().map(|log| AccessLog { filter: Some(filter.clone()), ..log }).collect()
}

fn as_line(format: &str) -> String {
    if format.ends_with('\n') { format.to_owned() } else { format!("{format}\n") }
}

fn default_object() -> Struct {
    object(FIELDS.map(|(name, format)| (name, text(format))))
}

/// The user's format, a JSON object; `None` if it is none.
fn as_object(format: &str) -> Option<Struct> {
    match dynamic(&serde_json::from_str(format).ok()?).kind {
        Some(Kind::StructValue(object)) => Some(object),
        _ => None,
    }
}

fn dynamic(value: &serde_json::Value) -> Value {
    match value {
        serde_json::Value::Null => Value { kind: Some(Kind::NullValue(0)) },
        serde_json::Value::Bool(value) => Value { kind: Some(Kind::BoolValue(*value)) },
        serde_json::Value::Number(number) => Value { kind: number.as_f64().map(Kind::NumberValue) },
        serde_json::Value::String(value) => text(value),
        serde_json::Value::Array(values) => list(values.iter().map(dynamic).collect()),
        serde_json::Value::Object(fields) => nested(object(fields.iter().map(|(name, value)| (name.as_str(), dynamic(value))))),
    }
}
