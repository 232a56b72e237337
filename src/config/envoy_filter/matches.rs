//! `match`: whether it fits what is changed, and what it says of route configurations and clusters.

use std::sync::Arc;

use ferromesh_crds::networking::envoy_filter::{
    self as api, ApplyTo, ClusterMatch, EnvoyConfigObjectMatch, PatchContext, RouteConfigurationMatch,
};

use super::{listener, spelled};
use crate::config::path::At;
use crate::config::problem::{Code, quoted};
use crate::config::reading::Reading;
use crate::config::text::given;
use crate::model::{self, ObjectMatch, RouteAction};

/// A text that is there and not empty.
pub(super) fn text(text: Option<&String>) -> Option<Arc<str>> {
    text.filter(|text| !text.is_empty()).map(|text| text.as_str().into())
}

/// The field of a match that says something about these objects; `None` if none does.
fn fitting(apply_to: ApplyTo) -> Option<&'static str> {
    match apply_to {
        ApplyTo::Listener | ApplyTo::FilterChain | ApplyTo::NetworkFilter | ApplyTo::HttpFilter | ApplyTo::ListenerFilter => {
            Some("listener")
        }
        ApplyTo::RouteConfiguration | ApplyTo::VirtualHost | ApplyTo::HttpRoute => Some("routeConfiguration"),
        ApplyTo::Cluster => Some("cluster"),
        ApplyTo::ExtensionConfig | ApplyTo::Bootstrap => None,
    }
}

fn fields(matched: &EnvoyConfigObjectMatch) -> impl Iterator<Item = &'static str> {
    let fields = [
        ("listener", matched.listener.is_some()),
        ("routeConfiguration", matched.route_configuration.is_some()),
        ("cluster", matched.cluster.is_some()),
        ("waypoint", matched.waypoint.is_some()),
    ];
    fields.into_iter().filter(|(_, given)| *given).map(|(field, _)| field)
}

/// At most one sort of object is matched, and waypoints only in their own context.
pub(super) fn check_one(reading: &mut Reading<'_>, at: &At<'_>, matched: &EnvoyConfigObjectMatch) {
    let given: Vec<_> = fields(matched).collect();
    if given.len() > 1 {
        reading.error(at, Code::Conflict, format!("{} exclude each other", given.join(" and ")));
    }
    let here = at.field("waypoint");
    match (matched.context == Some(PatchContext::Waypoint), matched.waypoint.is_some()) {
        (true, false) => reading.error(&here, Code::Required, "required by the context WAYPOINT"),
        (false, true) => reading.error(&here, Code::Conflict, "needs the context WAYPOINT"),
        _ => {}
    }
}

/// Which objects are meant.
pub(super) fn read(reading: &mut Reading<'_>, at: &At<'_>, apply_to: ApplyTo, matched: &EnvoyConfigObjectMatch) -> ObjectMatch {
    let fitting = fitting(apply_to);
    for field in fields(matched).filter(|field| *field != "waypoint" && Some(*field) != fitting) {
        let here = at.field(field);
        let name = spelled(apply_to);
        match fitting {
            // These were never checked by anyone, so objects with such a match may be about.
            _ if apply_to == ApplyTo::ListenerFilter => {
                reading.warn(&here, Code::NoEffect, format!("has no effect with {name}: match on listener"));
            }
            None => reading.warn(&here, Code::NoEffect, format!("has no effect with {name}")),
            Some(fitting) => reading.error(&here, Code::Conflict, format!("does not fit applyTo {name}: match on {fitting}")),
        }
    }
    if let (Some("listener"), Some(found)) = (fitting, &matched.listener) {
        return ObjectMatch::Listener(listener::read(reading, &at.field("listener"), apply_to, found));
    }
    if let (Some("routeConfiguration"), Some(found)) = (fitting, &matched.route_configuration) {
        let gateway = matches!(matched.context, None | Some(PatchContext::Any | PatchContext::Gateway));
        return ObjectMatch::RouteConfiguration(routes(reading, &at.field("routeConfiguration"), apply_to, found, gateway));
    }
    if let (Some("cluster"), Some(found)) = (fitting, &matched.cluster) {
        return ObjectMatch::Cluster(cluster(reading, &at.field("cluster"), found));
    }
    ObjectMatch::Any
}

fn routes(
    reading: &mut Reading<'_>,
    at: &At<'_>,
    apply_to: ApplyTo,
    found: &RouteConfigurationMatch,
    gateway: bool,
) -> model::RouteConfigurationMatch {
    for (field, _) in [("gateway", &found.gateway), ("portName", &found.port_name)].iter().filter(|(_, text)| given(text)) {
        if !gateway {
            reading.warn(&at.field(field), Code::NoEffect, "only gateways have it, so nothing matches: use the context GATEWAY");
        }
    }
    if let Some(name) = found.gateway.as_deref().filter(|name| !name.is_empty() && name.split('/').count() != 2) {
        let message = format!("{} is not of the form NAMESPACE/NAME, so nothing matches", quoted(name));
        reading.warn(&at.field("gateway"), Code::NoEffect, message);
    }
    let host = found.vhost.clone().unwrap_or_default();
    let route = host.route.clone().unwrap_or_default();
    let here = at.field("vhost");
    if apply_to == ApplyTo::RouteConfiguration && found.vhost.is_some() {
        reading.warn(&here, Code::NoEffect, "has no effect with ROUTE_CONFIGURATION");
    } else if apply_to == ApplyTo::VirtualHost && host.route.is_some() {
        reading.warn(&here.field("route"), Code::NoEffect, "has no effect with VIRTUAL_HOST");
    }
    model::RouteConfigurationMatch {
        port: reading.optional_port(&at.field("portNumber"), found.port_number),
        port_name: text(found.port_name.as_ref()),
        gateway: text(found.gateway.as_ref()),
        name: text(found.name.as_ref()),
        virtual_host: text(host.name.as_ref()),
        domain: text(host.domain_name.as_ref()),
        route: text(route.name.as_ref()),
        action: match route.action {
            None | Some(api::RouteAction::Any) => None,
            Some(api::RouteAction::Route) => Some(RouteAction::Route),
            Some(api::RouteAction::Redirect) => Some(RouteAction::Redirect),
            Some(api::RouteAction::DirectResponse) => Some(RouteAction::DirectResponse),
        },
    }
}

fn cluster(reading: &mut Reading<'_>, at: &At<'_>, found: &ClusterMatch) -> model::ClusterMatch {
    if given(&found.name) && (given(&found.service) || given(&found.subset) || found.port_number.is_some()) {
        reading.warn(&at.field("name"), Code::Fragile, "the name holds service, subset and port already: leave either out");
    }
    model::ClusterMatch {
        port: reading.optional_port(&at.field("portNumber"), found.port_number),
        service: text(found.service.as_ref()),
        subset: text(found.subset.as_ref()),
        name: text(found.name.as_ref()),
    }
}
