//! `match.listener`: listeners, their filter chains and filters.

use ferromesh_crds::networking::envoy_filter::{ApplyTo, FilterChainMatch, FilterMatch, ListenerMatch};

use super::matches::text;
use super::names::{CONNECTION_MANAGER, successor};
use super::spelled;
use crate::config::path::At;
use crate::config::problem::{Code, quoted};
use crate::config::reading::Reading;
use crate::config::text::given;
use crate::model;

pub(super) fn read(reading: &mut Reading<'_>, at: &At<'_>, apply_to: ApplyTo, found: &ListenerMatch) -> model::ListenerMatch {
    reading.not_honoured(at, "portName", given(&found.port_name));
    if given(&found.listener_filter) && apply_to != ApplyTo::ListenerFilter {
        let message = format!("has no effect with {}: it is for LISTENER_FILTER", spelled(apply_to));
        reading.warn(&at.field("listenerFilter"), Code::NoEffect, message);
    }
    let chain = found.filter_chain.as_ref();
    model::ListenerMatch {
        port: reading.optional_port(&at.field("portNumber"), found.port_number),
        name: text(found.name.as_ref()),
        listener_filter: renamed(reading, &at.field("listenerFilter"), found.listener_filter.as_ref()),
        filter_chain: chain.map(|chain| filter_chain(reading, &at.field("filterChain"), apply_to, chain)),
    }
}

fn filter_chain(reading: &mut Reading<'_>, at: &At<'_>, apply_to: ApplyTo, found: &FilterChainMatch) -> model::FilterChainMatch {
    let transport = found.transport_protocol.as_deref().unwrap_or_default();
    if !matches!(transport, "" | "raw_buffer" | "tls" | "quic") {
        let message = format!("{} is no transport protocol, so nothing matches: use raw_buffer or tls", quoted(transport));
        reading.warn(&at.field("transportProtocol"), Code::NoEffect, message);
    }
    let protocols = found.application_protocols.as_deref().unwrap_or_default();
    let protocols = protocols.split(',').map(str::trim).filter(|protocol| !protocol.is_empty()).map(Into::into).collect();
    let mut parsed = model::FilterChainMatch {
        name: text(found.name.as_ref()),
        sni: text(found.sni.as_ref()),
        transport_protocol: text(found.transport_protocol.as_ref()),
        application_protocols: protocols,
        destination_port: reading.optional_port(&at.field("destinationPort"), found.destination_port),
        filter: None,
        sub_filter: None,
    };
    if let Some(found) = &found.filter {
        filter(reading, &at.field("filter"), apply_to, found, &mut parsed);
    }
    parsed
}

fn filter(reading: &mut Reading<'_>, at: &At<'_>, apply_to: ApplyTo, found: &FilterMatch, parsed: &mut model::FilterChainMatch) {
    if matches!(apply_to, ApplyTo::Listener | ApplyTo::FilterChain) {
        reading.warn(at, Code::NoEffect, format!("has no effect with {}", spelled(apply_to)));
    }
    let here = at.field("name");
    if !given(&found.name) {
        reading.required(&here);
    }
    parsed.filter = renamed(reading, &here, found.name.as_ref());
    let Some(inner) = &found.sub_filter else { return };
    let at = at.field("subFilter");
    if apply_to != ApplyTo::HttpFilter {
        reading.error(&at, Code::Conflict, format!("does not fit applyTo {}: only HTTP_FILTER has it", spelled(apply_to)));
    } else if parsed.filter.as_deref().is_some_and(|name| name != CONNECTION_MANAGER) {
        reading.error(&here, Code::Conflict, format!("HTTP filters are in {CONNECTION_MANAGER} alone: name it beside subFilter"));
    }
    if !given(&inner.name) {
        reading.required(&at.field("name"));
    }
    parsed.sub_filter = renamed(reading, &at.field("name"), inner.name.as_ref());
}

/// The name of a filter in its present spelling.
fn renamed(reading: &mut Reading<'_>, at: &At<'_>, name: Option<&String>) -> Option<std::sync::Arc<str>> {
    let name = text(name)?;
    match successor(&name) {
        Some(new) => {
            reading.warn(at, Code::Deprecated, format!("{} is an old name: use {new}", quoted(&name)));
            Some(new.into())
        }
        None => Some(name),
    }
}
