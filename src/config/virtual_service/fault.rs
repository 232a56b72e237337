//! Injected faults.

use ferromesh_crds::networking::virtual_service::{FaultAbort, FaultDelay, HttpFault, Percent};

use crate::config::path::At;
use crate::config::problem::{Code, quoted};
use crate::config::reading::Reading;
use crate::model::{self, AbortStatus, PerMillion};

/// The gRPC statuses by number, as the protocol counts them.
const GRPC_STATUSES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

/// `fault` of a route.
pub(super) fn fault(reading: &mut Reading<'_>, at: &At<'_>, fault: &HttpFault) -> model::HttpFault {
    if fault.delay.is_none() && fault.abort.is_none() {
        reading.error(at, Code::Required, "a fault needs a delay, an abort or both");
    }
    model::HttpFault {
        delay: fault.delay.as_ref().and_then(|fault| delay(reading, &at.field("delay"), fault)),
        abort: fault.abort.as_ref().and_then(|fault| abort(reading, &at.field("abort"), fault)),
    }
}

fn delay(reading: &mut Reading<'_>, at: &At<'_>, delay: &FaultDelay) -> Option<(std::time::Duration, PerMillion)> {
    if delay.exponential_delay.is_some() {
        reading.error(&at.field("exponentialDelay"), Code::NotAllowed, "reserved: use fixedDelay");
    }
    if delay.fixed_delay.is_none() && delay.exponential_delay.is_none() {
        reading.warn(at, Code::NoEffect, "without fixedDelay nothing is delayed");
    }
    let duration = reading.duration(&at.field("fixedDelay"), delay.fixed_delay.as_deref());
    let share = share(reading, at, delay.percentage.as_ref(), delay.percent);
    duration.map(|duration| (duration, share))
}

fn abort(reading: &mut Reading<'_>, at: &At<'_>, abort: &FaultAbort) -> Option<(AbortStatus, PerMillion)> {
    if abort.http2_error.is_some() {
        reading.error(&at.field("http2Error"), Code::NotAllowed, "reserved: use httpStatus or grpcStatus");
    }
    let status = match (abort.http_status, abort.grpc_status.as_deref()) {
        (Some(_), Some(_)) => {
            reading.at_most_one(at, [("httpStatus", true), ("grpcStatus", true)]);
            None
        }
        (Some(status), None) => http_status(reading, &at.field("httpStatus"), status),
        (None, Some(status)) => grpc_status(reading, &at.field("grpcStatus"), status),
        (None, None) => {
            if abort.http2_error.is_none() {
                reading.warn(at, Code::NoEffect, "without httpStatus or grpcStatus nothing is aborted");
            }
            None
        }
    };
    let share = share(reading, at, abort.percentage.as_ref(), abort.percent);
    status.map(|status| (status, share))
}

fn http_status(reading: &mut Reading<'_>, at: &At<'_>, status: i32) -> Option<AbortStatus> {
    let read = u16::try_from(status).ok().filter(|status| (200..=599).contains(status));
    if read.is_none() {
        reading.error(at, Code::OutOfRange, format!("{status} must be from 200 to 599"));
    }
    read.map(AbortStatus::Http)
}

fn grpc_status(reading: &mut Reading<'_>, at: &At<'_>, status: &str) -> Option<AbortStatus> {
    let read = GRPC_STATUSES.iter().zip(0..).find(|(name, _)| **name == status).map(|(_, number)| AbortStatus::Grpc(number));
    if read.is_none() {
        reading.error(at, Code::NotAllowed, format!("{} is no gRPC status such as UNAVAILABLE", quoted(status)));
    }
    read
}

/// The share of requests: `percentage`, or else the deprecated `percent`; none of them without both, as in the reference.
fn share(reading: &mut Reading<'_>, at: &At<'_>, percentage: Option<&Percent>, percent: Option<i32>) -> PerMillion {
    reading.deprecated(at, "percent", percent.is_some(), "percentage");
    let old = reading.whole_percent(&at.field("percent"), percent);
    match (percentage, old) {
        (Some(percentage), _) => reading.percentage(&at.field("percentage"), percentage),
        (None, Some(percent)) => PerMillion::from_percent(percent.into()),
        (None, None) => {
            if percent.is_none() {
                reading.warn(at, Code::NoEffect, "without a percentage no request is touched");
            }
            PerMillion(0)
        }
    }
}
