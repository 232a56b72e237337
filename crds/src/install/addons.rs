//! Add-ons: what shows the mesh's metrics and traces.

use super::gateways::GatewayService;
use crate::object::api_objects;

api_objects! {
    /// What shows the mesh's metrics and traces.
    pub struct Addons {
        /// Collects metrics.
        pub prometheus: Option<Addon>,
        /// Draws metrics.
        pub grafana: Option<Addon>,
        /// Draws the graph of services.
        pub kiali: Option<Addon>,
        /// Collects and draws traces.
        pub tracing: Option<Addon>,
    }

    /// Settings of one add-on.
    pub struct Addon {
        /// Whether it is installed.
        pub enabled: Option<bool>,
        /// Its image, when it is another than the one that was tested.
        pub image: Option<String>,
        /// Its Service.
        pub service: Option<GatewayService>,
    }
}
