//! `outlierDetection`: when an endpoint is left out for a while.

use ferromesh_crds::networking::destination_rule::OutlierDetection;

use crate::config::path::At;
use crate::config::problem::Code;
use crate::config::reading::Reading;
use crate::model;

/// When an endpoint is left out.
pub(super) fn read(reading: &mut Reading<'_>, at: &At<'_>, outlier: &OutlierDetection) -> model::OutlierDetection {
    reading.deprecated(at, "consecutiveErrors", outlier.consecutive_errors.is_some(), "consecutive5xxErrors");
    let old = reading.count(&at.field("consecutiveErrors"), outlier.consecutive_errors);
    let split = outlier.split_external_local_origin_errors == Some(true);
    if outlier.consecutive_local_origin_failures.is_some_and(|count| count > 0) && !split {
        let message = "needs splitExternalLocalOriginErrors: true";
        reading.error(&at.field("consecutiveLocalOriginFailures"), Code::Conflict, message);
    }
    for (index, code) in outlier.outlier_detection_http_error_codes.iter().enumerate() {
        if !(100..=599).contains(code) {
            let list = at.field("outlierDetectionHttpErrorCodes");
            reading.error(&list.index(index), Code::OutOfRange, format!("{code} must be from 100 to 599"));
        }
    }
    model::OutlierDetection {
        // The old field says how many errors in a row eject, as this one does.
        consecutive_5xx_errors: outlier.consecutive_5xx_errors.or(old),
        consecutive_gateway_errors: outlier.consecutive_gateway_errors,
        interval: reading.duration(&at.field("interval"), outlier.interval.as_deref()),
        base_ejection_time: reading.duration(&at.field("baseEjectionTime"), outlier.base_ejection_time.as_deref()),
        max_ejection_percent: reading.whole_percent(&at.field("maxEjectionPercent"), outlier.max_ejection_percent),
        split_local_origin: split,
        consecutive_local_origin_failures: outlier.consecutive_local_origin_failures,
        error_codes: outlier.outlier_detection_http_error_codes.iter().filter_map(|code| u16::try_from(*code).ok()).collect(),
        min_health_percent: reading.whole_percent(&at.field("minHealthPercent"), outlier.min_health_percent),
    }
}
