//! `match.waypoint`: checked as the reference does, though the mesh has no waypoints.

use ferromesh_crds::networking::envoy_filter::{ApplyTo, WaypointMatch};

use super::names::CONNECTION_MANAGER;
use super::spelled;
use crate::config::path::At;
use crate::config::problem::Code;
use crate::config::reading::Reading;
use crate::config::text::given;

/// Whether what is changed and what is matched go together. `at` is the match.
pub(super) fn check(reading: &mut Reading<'_>, at: &At<'_>, apply_to: ApplyTo, found: Option<&WaypointMatch>) {
    reading.warn(&at.field("context"), Code::NotHonoured, "this mesh has no waypoints");
    let name = spelled(apply_to);
    if matches!(apply_to, ApplyTo::Listener | ApplyTo::ListenerFilter | ApplyTo::Bootstrap | ApplyTo::ExtensionConfig) {
        reading.error(&at.field("context"), Code::Conflict, format!("{name} can't be changed for waypoints"));
    }
    let at = at.field("waypoint");
    let Some(found) = found else { return };
    reading.optional_port(&at.field("portNumber"), found.port_number);
    let routes = matches!(apply_to, ApplyTo::RouteConfiguration | ApplyTo::VirtualHost | ApplyTo::HttpRoute);
    if found.filter.is_some() && (routes || apply_to == ApplyTo::Cluster) {
        reading.error(&at.field("filter"), Code::Conflict, format!("does not fit applyTo {name}"));
    }
    let filters = matches!(apply_to, ApplyTo::FilterChain | ApplyTo::NetworkFilter);
    if found.route.is_some() && (filters || apply_to == ApplyTo::Cluster) {
        reading.error(&at.field("route"), Code::Conflict, format!("does not fit applyTo {name}"));
    }
    if apply_to != ApplyTo::HttpFilter {
        return;
    }
    let here = at.field("filter");
    let Some(filter) = &found.filter else { return reading.error(&here, Code::Required, "required by HTTP_FILTER") };
    if filter.name.as_deref() != Some(CONNECTION_MANAGER) {
        reading.error(&here.field("name"), Code::Conflict, format!("must be {CONNECTION_MANAGER} with HTTP_FILTER"));
    }
    if !filter.sub_filter.as_ref().is_some_and(|inner| given(&inner.name)) {
        reading.error(&here.field("subFilter").field("name"), Code::Required, "required by HTTP_FILTER");
    }
}
