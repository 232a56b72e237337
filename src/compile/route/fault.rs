//! Faults that a route injects.

use envoy_api::envoy::{
    config::route::v3::Route,
    extensions::filters::{
        common::fault::v3::{FaultDelay, fault_delay::FaultDelaySecifier},
        http::fault::v3::{FaultAbort, HttpFault as Fault, fault_abort::ErrorType},
    },
};

use crate::compile::{
    listener::FAULT_FILTER,
    message::{duration, share},
};
use crate::model::{AbortStatus, HttpFault};

/// Makes the listener's fault filter act on a route, if there is anything to do.
pub(super) fn add_to_route(route: &mut Route, fault: &HttpFault) {
    if fault.delay.is_none() && fault.abort.is_none() {
        return;
    }
    let delay = fault.delay.map(|(pause, percentage)| FaultDelay {
        percentage: Some(share(percentage)),
        fault_delay_secifier: Some(FaultDelaySecifier::FixedDelay(duration(pause))),
    });
    let abort = fault.abort.map(|(status, percentage)| FaultAbort {
        percentage: Some(share(percentage)),
        error_type: Some(match status {
            AbortStatus::Http(status) => ErrorType::HttpStatus(status.into()),
            AbortStatus::Grpc(status) => ErrorType::GrpcStatus(status.into()),
        }),
        ..FaultAbort::default()
    });
    let config = Fault { delay, abort, ..Fault::default() };
    route.typed_per_filter_config.insert(FAULT_FILTER.to_owned(), envoy_api::any(&config));
}
