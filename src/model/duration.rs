//! Durations as users write them.

use std::time::Duration;

/// Units, in the order in which they are tried, with their nanoseconds.
const UNITS: [(&str, u64); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("μs", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

/// The longest duration that has a meaning: what fits into a signed count of nanoseconds, about 292 years.
const LONGEST: u64 = i64::MAX as u64;

/// Reads a duration such as `500ms`, `2.5s` or `1h30m`: numbers with units, and `0` alone. `None` if it is malformed, negative or longer
/// than 292 years. The form is Go's, which Kubernetes' CEL and Istio share.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    if rest == "0" {
        return Some(Duration::ZERO);
    }
    if rest.is_empty() {
        return None;
    }
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let number = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.').len();
        let (digits, after) = rest.split_at(number);
        let unit = after.len() - after.trim_start_matches(|c: char| c.is_alphabetic()).len();
        let (unit, after) = after.split_at(unit);
        let nanos = UNITS.iter().find(|(name, _)| *name == unit)?.1;
        total = total.checked_add(scaled(digits, nanos)?)?;
        rest = after;
    }
    (total <= LONGEST).then(|| Duration::from_nanos(total))
}

/// Durations as text in settings: `#[serde(with = "duration_text")]`.
pub(super) mod duration_text {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

    /// Writes a duration so that it is read as the same.
    pub(in crate::model) fn serialize<S: Serializer>(duration: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
        duration.map(|duration| format!("{}ns", duration.as_nanos())).serialize(serializer)
    }

    /// Reads a duration, or none.
    pub(in crate::model) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
        let text = Option::<String>::deserialize(deserializer)?;
        let read = |text: String| {
            let error = || Error::custom(format!("{text:?} is no duration such as 500ms, 2.5s or 1h30m"));
            super::parse_duration(&text).ok_or_else(error)
        };
        text.map(read).transpose()
    }
}

/// A decimal number times a unit, in nanoseconds; what is smaller is cut off.
fn scaled(digits: &str, unit: u64) -> Option<u64> {
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
        return None;
    }
    let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let mut total = whole.checked_mul(unit)?;
    let mut place = unit;
    for digit in fraction.bytes() {
        place /= 10;
        total = total.checked_add(place * u64::from(digit - b'0'))?;
    }
    Some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_with_units_add_up() {
        let read = |text| parse_duration(text).map(|d| d.as_nanos());
        assert_eq!(read("500ms"), Some(500_000_000));
        assert_eq!(read("2.5s"), Some(2_500_000_000));
        assert_eq!(read("1h30m"), Some(5_400_000_000_000));
        assert_eq!(read(".5s"), Some(500_000_000));
        assert_eq!((read("0"), read("0s"), read("1.5µs")), (Some(0), Some(0), Some(1500)));
    }

    #[test]
    fn other_texts_are_no_durations() {
        for text in ["", "5", "s", "-1s", "1.2.3s", "1d", "1s ", "99999999999999h", "292y", "1e3s", "."] {
            assert_eq!(parse_duration(text), None, "{text}");
        }
    }
}
