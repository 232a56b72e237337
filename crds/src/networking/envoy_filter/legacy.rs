//! `filters` of EnvoyFilter, as they were before `configPatches`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::object::api_objects;
use crate::schema;

api_objects! {
    /// A filter that is added to listeners. Deprecated: use `configPatches`.
    pub struct LegacyFilter {
        /// Which listeners.
        pub listener_match: Option<LegacyListenerMatch>,
        /// HTTP for an HTTP filter, NETWORK for a network filter.
        pub filter_type: Option<LegacyFilterType>,
        /// The filter's name.
        pub filter_name: Option<String>,
        /// The filter's configuration.
        #[schemars(schema_with = "schema::any_object")]
        pub filter_config: Option<Value>,
        /// Where among the filters.
        pub insert_position: Option<InsertPosition>,
    }

    /// Properties of a listener; all must hold.
    pub struct LegacyListenerMatch {
        /// The port of the service or gateway.
        #[schemars(range(min = 0, max = 65535))]
        pub port_number: Option<u32>,
        /// How the name of the service's port begins.
        pub port_name_prefix: Option<String>,
        /// For which traffic the listener is.
        pub listener_type: Option<LegacyListenerType>,
        /// What the listener speaks.
        pub listener_protocol: Option<LegacyListenerProtocol>,
        /// Addresses to which it is bound.
        #[schemars(length(max = 1024))]
        pub address: Vec<String>,
    }

    /// A place among filters.
    pub struct InsertPosition {
        /// The place.
        pub index: Option<InsertIndex>,
        /// The name of the filter that BEFORE and AFTER are about.
        pub relative_to: Option<String>,
    }
}

/// What sort of filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[schemars(description = "")]
pub enum LegacyFilterType {
    /// An HTTP filter.
    Http,
    /// A network filter.
    Network,
}

/// For which traffic a listener is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[schemars(description = "")]
pub enum LegacyListenerType {
    /// Any.
    Any,
    /// To the workload.
    SidecarInbound,
    /// From the workload.
    SidecarOutbound,
    /// Through a gateway.
    Gateway,
}

/// What a listener speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[schemars(description = "")]
pub enum LegacyListenerProtocol {
    /// Anything.
    All,
    /// HTTP.
    Http,
    /// TCP.
    Tcp,
}

/// A place among filters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[schemars(description = "")]
pub enum InsertIndex {
    /// At the front.
    First,
    /// At the end.
    Last,
    /// Before another.
    Before,
    /// After another.
    After,
}
