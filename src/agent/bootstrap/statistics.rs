//! How Envoy counts: labels, which statistics it keeps, the buckets of its histograms, its intervals.

use envoy_api::envoy::{
    config::metrics::v3::{HistogramBucketSettings, StatsConfig, StatsMatcher, TagSpecifier, stats_matcher, tag_specifier::TagValue},
    r#type::matcher::v3::{ListStringMatcher, RegexMatcher, StringMatcher, string_matcher::MatchPattern},
};
use std::time::Duration;

use crate::model::ProxyStatistics;

/// How often Envoy completes its histograms.
const FLUSH: Duration = Duration::from_secs(5);
/// Idle series of the proxy's own metrics are dropped after this time.
const EVICTION: Duration = Duration::from_secs(600);
/// The beginnings of what the agent itself asks for (readiness, open connections at a drain), and of what shows whether the proxy has its
/// configuration and its certificates; and the mesh's own metrics.
const NEEDED: [&str; 7] =
    ["cluster_manager.", "listener_manager.", "listener.", "server.", "cluster.xds-grpc", "cluster.sds-grpc", "istio"];

/// Names of the mesh's clusters hold dots, at the first of which Envoy's own rule would cut them; a `;` ends them in statistics.
/// `cluster_name` is the reference's label, the other one Envoy's.
pub(super) fn config(asked: &ProxyStatistics) -> StatsConfig {
    let tag = |name: &str| TagSpecifier {
        tag_name: name.to_owned(),
        tag_value: Some(TagValue::Regex(r"^cluster\.(([^.;|]+|[^;]+);?\.)".to_owned())),
    };
    let buckets = asked.buckets.iter().map(|(prefix, bounds)| HistogramBucketSettings {
        r#match: Some(matcher(MatchPattern::Prefix(prefix.clone()))),
        buckets: bounds.clone(),
        ..HistogramBucketSettings::default()
    });
    StatsConfig {
        stats_tags: vec![tag("cluster_name"), tag("envoy.cluster_name")],
        allow_default_tag_overrides: Some(true),
        stats_matcher: asked.are_chosen().then(|| chosen(asked)),
        histogram_bucket_settings: buckets.collect(),
        ..StatsConfig::default()
    }
}

fn chosen(asked: &ProxyStatistics) -> StatsMatcher {
    let own = NEEDED.into_iter().map(|prefix| MatchPattern::Prefix(prefix.to_owned()));
    let prefixes = asked.prefixes.iter().cloned().map(MatchPattern::Prefix);
    let suffixes = asked.suffixes.iter().cloned().map(MatchPattern::Suffix);
    let expression = |regex: &String| MatchPattern::SafeRegex(RegexMatcher { regex: regex.clone(), ..RegexMatcher::default() });
    let patterns = own.chain(prefixes).chain(suffixes).chain(asked.expressions.iter().map(expression)).map(matcher).collect();
    StatsMatcher { stats_matcher: Some(stats_matcher::StatsMatcher::InclusionList(ListStringMatcher { patterns })) }
}

fn matcher(pattern: MatchPattern) -> StringMatcher {
    StringMatcher { match_pattern: Some(pattern), ..StringMatcher::default() }
}

/// In seconds, how often statistics are completed and after which time idle ones are dropped: a multiple of the former.
pub(super) fn intervals(asked: &ProxyStatistics) -> (i64, i64) {
    let flush = asked.flush.unwrap_or(FLUSH).as_secs().max(1);
    let eviction = asked.eviction.unwrap_or(EVICTION).as_secs().max(1).next_multiple_of(flush);
    let signed = |seconds: u64| i64::try_from(seconds).unwrap_or(i64::MAX);
    (signed(flush), signed(eviction))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idle_series_are_dropped_after_a_multiple_of_the_other_interval() {
        let seconds = |seconds: Option<u64>| seconds.map(Duration::from_secs);
        let of = |flush, eviction| intervals(&ProxyStatistics { flush: seconds(flush), eviction: seconds(eviction), ..Default::default() });
        assert_eq!(of(None, None), (5, 600));
        assert_eq!(of(Some(7), None), (7, 602));
        assert_eq!(of(Some(7), Some(3)), (7, 7));
    }
}
