//! Ports, counts, shares, durations, addresses.

use std::time::Duration;

use ferromesh_crds::networking::virtual_service::{Percent, PortSelector};

use super::path::At;
use super::problem::{Code, quoted};
use super::reading::Reading;
use crate::model::{PerMillion, parse_duration};

/// The smallest share that Envoy can tell from none.
const LEAST_PERCENT: f64 = 0.0001;

// === impl Reading: numbers ===

impl Reading<'_> {
    /// A port that is there.
    pub(super) fn port(&mut self, at: &At<'_>, port: u32) -> u16 {
        match u16::try_from(port) {
            Ok(port) if port > 0 => port,
            _ => {
                self.error(at, Code::OutOfRange, format!("{port} is no port: it must be from 1 to 65535"));
                0
            }
        }
    }

    /// A port that may be absent; 0 counts as absent, as in protobuf.
    pub(super) fn optional_port(&mut self, at: &At<'_>, port: Option<u32>) -> Option<u16> {
        port.filter(|port| *port != 0).map(|port| self.port(at, port))
    }

    /// `port: {number: …}`.
    pub(super) fn port_selector(&mut self, at: &At<'_>, port: Option<&PortSelector>) -> Option<u16> {
        let at = at.field("number");
        match port?.number {
            Some(number) => Some(self.port(&at, number)),
            None => {
                self.required(&at);
                None
            }
        }
    }

    /// A count that must not be negative.
    pub(super) fn count(&mut self, at: &At<'_>, count: Option<i32>) -> Option<u32> {
        let count = count?;
        let parsed = u32::try_from(count).ok();
        if parsed.is_none() {
            self.error(at, Code::OutOfRange, format!("{count} must not be negative"));
        }
        parsed
    }

    /// A whole number of percent.
    pub(super) fn whole_percent(&mut self, at: &At<'_>, percent: Option<i32>) -> Option<u32> {
        let percent = percent?;
        let parsed = u32::try_from(percent).ok().filter(|percent| *percent <= 100);
        if parsed.is_none() {
            self.error(at, Code::OutOfRange, format!("{percent} must be from 0 to 100"));
        }
        parsed
    }

    /// `percentage: {value: …}`, where no value means 0.
    pub(super) fn percentage(&mut self, at: &At<'_>, percent: &Percent) -> PerMillion {
        self.percent(&at.field("value"), percent.value.unwrap_or_default())
    }

    /// A share in percent. Envoy counts millionths, so nothing below 0.0001 but 0 itself.
    pub(super) fn percent(&mut self, at: &At<'_>, percent: f64) -> PerMillion {
        if !(0.0..=100.0).contains(&percent) {
            self.error(at, Code::OutOfRange, format!("{percent} must be from 0 to 100"));
        } else if percent > 0.0 && percent < LEAST_PERCENT {
            self.error(at, Code::OutOfRange, format!("{percent} is too small: it must be 0, or {LEAST_PERCENT} at least"));
        }
        PerMillion::from_percent(percent)
    }

    /// A duration of at least a millisecond, in whole ones, because Envoy counts those.
    pub(super) fn duration(&mut self, at: &At<'_>, text: Option<&str>) -> Option<Duration> {
        let text = text?;
        if parse_duration(text).is_some_and(|duration| duration < Duration::from_millis(1)) {
            self.error(at, Code::BadDuration, format!("{} must be at least 1ms", quoted(text)));
            return None;
        }
        self.any_duration(at, text)
    }

    /// A duration in whole milliseconds; 0 is one.
    pub(super) fn any_duration(&mut self, at: &At<'_>, text: &str) -> Option<Duration> {
        let Some(duration) = parse_duration(text) else {
            self.error(at, Code::BadDuration, format!("{} is no duration such as 500ms, 2.5s or 1h30m", quoted(text)));
            return None;
        };
        if duration.subsec_nanos() % 1_000_000 != 0 {
            self.error(at, Code::BadDuration, format!("{} is finer than a millisecond", quoted(text)));
        }
        Some(duration)
    }

    /// An address range, or a single address as a range of one.
    pub(super) fn range(&mut self, at: &At<'_>, text: &str) -> Option<ipnet::IpNet> {
        let range = text.parse().or_else(|_| text.parse().map(|address: std::net::IpAddr| address.into()));
        if range.is_err() {
            self.error(at, Code::BadAddress, format!("{} is neither an IP address nor a range such as 10.0.0.0/8", quoted(text)));
        }
        range.ok()
    }

    /// An absolute path of a Unix socket, or `@` and an abstract name, after `unix://`.
    pub(super) fn unix_socket(&mut self, at: &At<'_>, path: &str) {
        let named = path.starts_with('@') && path.len() > 1;
        let file = path.starts_with('/') && path.len() > 1 && !path.ends_with('/');
        if !(named || file) {
            self.error(at, Code::BadAddress, format!("{} is no absolute path of a socket", quoted(path)));
        }
    }
}
