//! `filters`: how filters were added before there were `configPatches`.

use ferromesh_crds::networking::envoy_filter::{InsertIndex, LegacyFilter};

use crate::config::path::{At, SPEC};
use crate::config::problem::Code;
use crate::config::reading::Reading;
use crate::config::text::given;

/// Checks the filters, of which none is applied, and says what replaces them.
pub(super) fn check(reading: &mut Reading<'_>, filters: &[LegacyFilter]) {
    if filters.is_empty() {
        return;
    }
    let at = SPEC.field("filters");
    let message = "deprecated, and not applied: use configPatches with applyTo HTTP_FILTER or NETWORK_FILTER";
    reading.warn(&at, Code::Deprecated, message);
    for (index, one) in filters.iter().enumerate() {
        filter(reading, &at.index(index), one);
    }
}

fn filter(reading: &mut Reading<'_>, at: &At<'_>, filter: &LegacyFilter) {
    let needed = [
        ("filterType", filter.filter_type.is_some()),
        ("filterName", given(&filter.filter_name)),
        ("filterConfig", filter.filter_config.is_some()),
    ];
    for (field, _) in needed.iter().filter(|(_, given)| !given) {
        reading.required(&at.field(field));
    }
    if let Some(found) = &filter.listener_match {
        reading.optional_port(&at.field("listenerMatch").field("portNumber"), found.port_number);
    }
    let Some(position) = &filter.insert_position else { return };
    if matches!(position.index, Some(InsertIndex::Before | InsertIndex::After)) && !given(&position.relative_to) {
        let message = "required by BEFORE and AFTER";
        reading.error(&at.field("insertPosition").field("relativeTo"), Code::Required, message);
    }
}
