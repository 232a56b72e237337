//! Which statistics a proxy keeps and how, as annotations of its pod choose them. The injector refuses by this what the agent would not
//! understand.

use std::{collections::BTreeMap, time::Duration};

use super::parse_duration;

/// What a pod asks of its proxy's statistics.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ProxyStatistics {
    /// What the names begin with of statistics that are wanted. If this, `suffixes` and `expressions` are empty, all are kept; else these
    /// alone, beside those that the mesh itself reads.
    pub prefixes: Vec<String>,
    /// What names end in.
    pub suffixes: Vec<String>,
    /// Expressions that names match as a whole, as RE2 writes them.
    pub expressions: Vec<String>,
    /// The upper bounds of histograms' buckets, by the beginning of the histograms' names.
    pub buckets: BTreeMap<String, Vec<f64>>,
    /// How often statistics are completed; none for Envoy's bootstrap as it is.
    pub flush: Option<Duration>,
    /// After which time statistics that nothing counts any more are dropped; none likewise.
    pub eviction: Option<Duration>,
}

const PREFIXES: &str = "sidecar.istio.io/statsInclusionPrefixes";
const SUFFIXES: &str = "sidecar.istio.io/statsInclusionSuffixes";
const EXPRESSIONS: &str = "sidecar.istio.io/statsInclusionRegexps";
const BUCKETS: &str = "sidecar.istio.io/statsHistogramBuckets";
const FLUSH: &str = "sidecar.istio.io/statsFlushInterval";
const EVICTION: &str = "sidecar.istio.io/statsEvictionInterval";

/// Envoy takes less than five minutes.
const LONGEST_FLUSH: Duration = Duration::from_secs(299);
/// More than anybody can want to look back.
const LONGEST_EVICTION: Duration = Duration::from_secs(7 * 24 * 3600);

// === impl ProxyStatistics ===

impl ProxyStatistics {
    /// The annotations that are read.
    pub const ANNOTATIONS: [&str; 6] = [EVICTION, FLUSH, BUCKETS, PREFIXES, EXPRESSIONS, SUFFIXES];

    /// Whether only chosen statistics are kept.
    #[must_use]
    pub fn are_chosen(&self) -> bool {
        !(self.prefixes.is_empty() && self.suffixes.is_empty() && self.expressions.is_empty())
    }

    /// The expressions that an annotation's value lists, if it is the annotation for them.
    pub fn listed_expressions<'a>(annotation: &str, text: &'a str) -> impl Iterator<Item = &'a str> + use<'a> {
        items(if annotation == EXPRESSIONS { text } else { "" })
    }

    /// Takes what one of [`Self::ANNOTATIONS`] says.
    ///
    /// # Errors
    /// What is wrong with it, as the end of a sentence that began with the value. What was there stays.
    pub fn set(&mut self, annotation: &str, text: &str) -> Result<(), String> {
        let owned = || items(text).map(str::to_owned).collect();
        match annotation {
            PREFIXES => self.prefixes = owned(),
            SUFFIXES => self.suffixes = owned(),
            EXPRESSIONS => self.expressions = owned(),
            BUCKETS => self.buckets = buckets(text)?,
            FLUSH => self.flush = Some(interval(text, LONGEST_FLUSH)?),
            EVICTION => self.eviction = Some(interval(text, LONGEST_EVICTION)?),
            _ => return Err("is not about statistics".to_owned()),
        }
        Ok(())
    }
}

fn items(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|item| !item.is_empty())
}

/// Whole seconds, which Envoy's two intervals are multiples of.
fn interval(text: &str, longest: Duration) -> Result<Duration, String> {
    let whole = |interval: &Duration| interval.subsec_nanos() == 0 && !interval.is_zero() && *interval <= longest;
    let reason = || format!("is no time of whole seconds such as 5s, at most {}s", longest.as_secs());
    parse_duration(text).filter(whole).ok_or_else(reason)
}

fn buckets(text: &str) -> Result<BTreeMap<String, Vec<f64>>, String> {
    let buckets: BTreeMap<String, Vec<f64>> = serde_json::from_str(text)
        .map_err(|_| r#"is not a JSON map from prefixes to lists of numbers such as {"istio":[1,5,10]}"#.to_owned())?;
    for (prefix, bounds) in &buckets {
        let grows = bounds.windows(2).all(|pair| pair[0] < pair[1]);
        if bounds.is_empty() || !grows || bounds.iter().any(|bound| *bound <= 0.0) {
            return Err(format!("has bounds for {prefix:?} that are not positive and rising"));
        }
    }
    Ok(buckets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read_without_their_blanks() {
        let mut read = ProxyStatistics::default();
        assert!(!read.are_chosen());
        read.set(PREFIXES, " cluster.outbound, http ,").unwrap();
        assert_eq!(read.prefixes, ["cluster.outbound", "http"]);
        assert!(read.are_chosen());
        assert_eq!(ProxyStatistics::listed_expressions(EXPRESSIONS, "a.*, b").collect::<Vec<_>>(), ["a.*", "b"]);
        assert_eq!(ProxyStatistics::listed_expressions(PREFIXES, "a.*").count(), 0);
    }

    #[test]
    fn what_is_wrong_changes_nothing() {
        let mut read = ProxyStatistics::default();
        for (annotation, text) in [
            (BUCKETS, "[1,2]"),
            (BUCKETS, r#"{"istio":[5,5]}"#),
            (BUCKETS, r#"{"istio":[]}"#),
            (BUCKETS, r#"{"istio":[0,1]}"#),
            (FLUSH, "0s"),
            (FLUSH, "5m"),
            (FLUSH, "1500ms"),
            (EVICTION, "soon"),
            ("sidecar.istio.io/inject", "true"),
        ] {
            assert!(read.set(annotation, text).is_err(), "{annotation}: {text}");
        }
        assert_eq!(read, ProxyStatistics::default());
        read.set(BUCKETS, r#"{"istio":[1,2.5]}"#).unwrap();
        assert_eq!(read.buckets["istio"], [1.0, 2.5]);
    }
}
