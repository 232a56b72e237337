//! The small parts that Envoy's messages are made of.

use std::{collections::BTreeMap, time::Duration};

use envoy_api::envoy::{
    config::{
        core::v3::{
            Address, AggregatedConfigSource, ApiVersion, CidrRange, ConfigSource, DataSource, Metadata, Pipe, SocketAddress,
            TransportSocket, address, config_source::ConfigSourceSpecifier, data_source, socket_address::PortSpecifier, transport_socket,
        },
        listener::v3::{Filter, ListenerFilter, filter, listener_filter},
    },
    r#type::{
        matcher::v3 as matcher,
        v3::{FractionalPercent, Percent, fractional_percent::DenominatorType},
    },
};
use prost::{Message, Name};
use prost_types::{Struct, Value, value::Kind};

use crate::model::{ObjectRef, PerMillion, StringMatch};

/// A duration as protobuf writes it.
pub(super) fn duration(duration: Duration) -> prost_types::Duration {
    // Both parts fit: the parser takes durations of at most 292 years.
    let seconds = i64::try_from(duration.as_secs()).unwrap_or(i64::MAX);
    prost_types::Duration { seconds, nanos: i32::try_from(duration.subsec_nanos()).unwrap_or(0) }
}

/// A share in percent.
pub(super) fn percent(share: PerMillion) -> Percent {
    Percent { value: f64::from(share.0) / 10_000.0 }
}

/// No time at all, which Envoy mostly takes as "without limit".
pub(super) const fn zero() -> prost_types::Duration {
    prost_types::Duration { seconds: 0, nanos: 0 }
}

/// A share of requests.
pub(super) fn share(PerMillion(numerator): PerMillion) -> FractionalPercent {
    FractionalPercent { numerator, denominator: DenominatorType::Million.into() }
}

/// An address and port; the address may be a host name where Envoy resolves it.
pub(super) fn socket_address(address: &str, port: u16) -> Address {
    let port_specifier = Some(PortSpecifier::PortValue(port.into()));
    let socket = SocketAddress { address: address.to_owned(), port_specifier, ..SocketAddress::default() };
    Address { address: Some(address::Address::SocketAddress(socket)) }
}

/// A Unix socket.
pub(super) fn pipe(path: &str) -> Address {
    Address { address: Some(address::Address::Pipe(Pipe { path: path.to_owned(), mode: 0 })) }
}

/// A range of addresses.
pub(super) fn range(range: &ipnet::IpNet) -> CidrRange {
    CidrRange { address_prefix: range.network().to_string(), prefix_len: Some(range.prefix_len().into()) }
}

/// "Ask for it on the stream on which you got this." Envoy waits for the answer as long as it takes: pilot gives one for every name.
pub(super) fn ads() -> ConfigSource {
    ConfigSource {
        initial_fetch_timeout: Some(zero()),
        resource_api_version: ApiVersion::V3.into(),
        config_source_specifier: Some(ConfigSourceSpecifier::Ads(AggregatedConfigSource {})),
        ..ConfigSource::default()
    }
}

/// A network filter.
pub(super) fn network_filter<M: Message + Name>(name: &str, config: &M) -> Filter {
    Filter { name: name.to_owned(), config_type: Some(filter::ConfigType::TypedConfig(envoy_api::any(config))) }
}

/// A listener filter.
pub(super) fn listener_filter<M: Message + Name>(name: &str, config: &M) -> ListenerFilter {
    let config_type = Some(listener_filter::ConfigType::TypedConfig(envoy_api::any(config)));
    ListenerFilter { name: name.to_owned(), config_type, ..ListenerFilter::default() }
}

/// A transport socket.
pub(super) fn transport_socket<M: Message + Name>(name: &str, config: &M) -> TransportSocket {
    let config_type = Some(transport_socket::ConfigType::TypedConfig(envoy_api::any(config)));
    TransportSocket { name: name.to_owned(), config_type }
}

/// A file that Envoy reads.
pub(super) fn file(path: &str) -> DataSource {
    DataSource { specifier: Some(data_source::Specifier::Filename(path.to_owned())), ..DataSource::default() }
}

/// A text within the configuration.
pub(super) fn inline(text: &str) -> DataSource {
    DataSource { specifier: Some(data_source::Specifier::InlineString(text.to_owned())), ..DataSource::default() }
}

/// A text in a dynamic value.
pub(super) fn text(text: impl Into<String>) -> Value {
    Value { kind: Some(Kind::StringValue(text.into())) }
}

/// A dynamic object.
pub(super) fn object<'a>(fields: impl IntoIterator<Item = (&'a str, Value)>) -> Struct {
    Struct { fields: fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect() }
}

/// A dynamic object within another.
pub(super) fn nested(object: Struct) -> Value {
    Value { kind: Some(Kind::StructValue(object)) }
}

/// A dynamic list.
pub(super) fn list(values: Vec<Value>) -> Value {
    Value { kind: Some(Kind::ListValue(prost_types::ListValue { values })) }
}

/// Metadata under one name.
pub(super) fn metadata(name: &str, object: Struct) -> Metadata {
    Metadata { filter_metadata: BTreeMap::from([(name.to_owned(), object)]), ..Metadata::default() }
}

/// Where an object is found in the API, the form in which the reference's tools expect an object's name in metadata.
pub(super) fn api_path(object: &ObjectRef, plural: &str) -> Value {
    text(format!("/apis/networking.istio.io/v1/namespaces/{}/{plural}/{}", object.namespace, object.name))
}

/// A regular expression, which must match the whole text.
pub(super) fn regex(expression: &str) -> matcher::RegexMatcher {
    matcher::RegexMatcher { regex: expression.to_owned(), ..matcher::RegexMatcher::default() }
}

/// A condition on a text.
pub(super) fn string_matcher(condition: &StringMatch) -> matcher::StringMatcher {
    use matcher::string_matcher::MatchPattern;
    let pattern = match condition {
        StringMatch::Exact(text) => MatchPattern::Exact(text.to_string()),
        StringMatch::Prefix(text) => MatchPattern::Prefix(text.to_string()),
        StringMatch::Regex(expression) => MatchPattern::SafeRegex(regex(expression)),
    };
    matcher::StringMatcher { match_pattern: Some(pattern), ignore_case: false }
}
