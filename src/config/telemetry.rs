//! Telemetry.

use std::{collections::BTreeMap, sync::Arc};

use ferromesh_crds::telemetry::access_logging::AccessLogging;
use ferromesh_crds::telemetry::metrics::{IstioMetric, MetricSelector, Metrics, MetricsOverride, TagOperation, TagOverride};
use ferromesh_crds::telemetry::tracing::{CustomTag, Tracing};
use ferromesh_crds::telemetry::{ProviderReference, Telemetry, WorkloadMode};

use super::cel_syntax;
use super::path::{At, SPEC};
use super::policy_target::Attachment;
use super::problem::{Code, Invalid, Parsed, quoted};
use super::reading::{ParseContext, Reading};
use crate::model::{self, MetricName, StandardMetric, TagValue, TrafficDirection};

/// Reads a Telemetry.
///
/// # Errors
/// Everything that is wrong with it.
pub fn telemetry(object: &Telemetry, context: &ParseContext) -> Result<Parsed<model::Telemetry>, Invalid> {
    let mut reading = Reading::new("Telemetry", &object.metadata, context);
    let spec = &object.spec;
    reading.not_honoured_kind("the mesh's own settings hold");
    let target = reading.policy_target(&Attachment {
        selector: spec.selector.as_ref(),
        reference: spec.target_ref.as_ref(),
        references: &spec.target_refs,
    });
    let at = SPEC.field("tracing");
    if spec.tracing.len() > 1 {
        reading.warn(&at, Code::NoEffect, "only the first entry counts");
    }
    let tracing = at.each(&spec.tracing, |at, one| tracing(&mut reading, at, one)).into_iter().next();
    let metrics = SPEC.field("metrics").each(&spec.metrics, |at, one| metrics(&mut reading, at, one));
    let access_logging = SPEC.field("accessLogging").each(&spec.access_logging, |at, one| access_logging(&mut reading, at, one));
    let value = model::Telemetry { origin: reading.origin.clone(), target, tracing, metrics, access_logging, created: reading.created };
    reading.finish(value)
}

fn direction(mode: Option<WorkloadMode>) -> TrafficDirection {
    match mode {
        None | Some(WorkloadMode::ClientAndServer) => TrafficDirection::Both,
        Some(WorkloadMode::Client) => TrafficDirection::Outbound,
        Some(WorkloadMode::Server) => TrafficDirection::Inbound,
    }
}

fn providers(reading: &mut Reading<'_>, at: &At<'_>, providers: &[ProviderReference]) -> Vec<Arc<str>> {
    at.field("providers").each(providers, |at, one| {
        if one.name.is_empty() {
            reading.required(&at.field("name"));
        }
        one.name.as_str().into()
    })
}

fn tracing(reading: &mut Reading<'_>, at: &At<'_>, tracing: &Tracing) -> model::Tracing {
    if tracing.providers.len() > 1 {
        reading.warn(&at.field("providers"), Code::NoEffect, "only the first entry counts");
    }
    let percent = tracing.random_sampling_percentage;
    if let Some(percent) = percent.filter(|percent| !(0.0..=100.0).contains(percent)) {
        reading.error(&at.field("randomSamplingPercentage"), Code::OutOfRange, format!("{percent} must be from 0 to 100"));
    }
    let list = at.field("customTags");
    let mut tags = BTreeMap::new();
    for (name, tag) in &tracing.custom_tags {
        let at = list.key(name);
        if name.is_empty() {
            reading.error(&at, Code::Required, "a tag needs a name");
        }
        if let Some(value) = tag_value(reading, &at, tag) {
            tags.insert(name.as_str().into(), value);
        }
    }
    model::Tracing {
        direction: direction(tracing.match_.as_ref().and_then(|selector| selector.mode)),
        provider: providers(reading, at, &tracing.providers).into_iter().next(),
        sampling: percent.map(|percent| (percent * 100.0).round() as u32),
        no_spans: tracing.disable_span_reporting,
        no_propagation: tracing.disable_context_propagation,
        tags,
        by_request_id: tracing.use_request_id_for_trace_sampling,
        mesh_tags: tracing.enable_istio_tags,
    }
}

fn tag_value(reading: &mut Reading<'_>, at: &At<'_>, tag: &CustomTag) -> Option<TagValue> {
    let CustomTag { literal, environment, header, formatter } = tag;
    let ways = [
        ("literal", literal.is_some()),
        ("environment", environment.is_some()),
        ("header", header.is_some()),
        ("formatter", formatter.is_some()),
    ];
    if reading.at_most_one(at, ways) == 0 {
        reading.warn(at, Code::NoEffect, "says nothing of the tag's value: set literal, environment, header or formatter");
    }
    let mut needed = |kind: &str, field: &str, text: &str| {
        if text.is_empty() {
            reading.required(&at.field(kind).field(field));
        }
        Arc::from(text)
    };
    let default = |text: &Option<String>| text.as_deref().unwrap_or_default().into();
    let literal = literal.as_ref().map(|one| TagValue::Literal(needed("literal", "value", &one.value)));
    let environment =
        environment.as_ref().map(|one| TagValue::Environment(needed("environment", "name", &one.name), default(&one.default_value)));
    let header = header.as_ref().map(|one| TagValue::Header(needed("header", "name", &one.name), default(&one.default_value)));
    let formatter = formatter.as_ref().map(|one| TagValue::Format(needed("formatter", "value", &one.value)));
    literal.or(environment).or(header).or(formatter)
}

fn metrics(reading: &mut Reading<'_>, at: &At<'_>, metrics: &Metrics) -> model::Metrics {
    model::Metrics {
        providers: providers(reading, at, &metrics.providers),
        overrides: at.field("overrides").each(&metrics.overrides, |at, one| metrics_override(reading, at, one)),
        interval: reading.duration(&at.field("reportingInterval"), metrics.reporting_interval.as_deref()),
    }
}

fn metrics_override(reading: &mut Reading<'_>, at: &At<'_>, change: &MetricsOverride) -> model::MetricsOverride {
    let metric = change.match_.as_ref().map_or(MetricName::All, |selector| metric(reading, &at.field("match"), selector));
    let list = at.field("tagOverrides");
    let mut labels = BTreeMap::new();
    for (name, tag) in &change.tag_overrides {
        let at = list.key(name);
        if name.is_empty() {
            reading.warn(&at, Code::NoEffect, "a label needs a name");
        }
        labels.insert(name.as_str().into(), label(reading, &at, tag));
    }
    let mode = change.match_.as_ref().and_then(|selector| selector.mode);
    model::MetricsOverride { metric, direction: direction(mode), disabled: change.disabled, labels }
}

/// What becomes of a label: its expression, or `None` if it is taken away.
fn label(reading: &mut Reading<'_>, at: &At<'_>, tag: &TagOverride) -> Option<Arc<str>> {
    let value = at.field("value");
    match (tag.operation.unwrap_or(TagOperation::Upsert), tag.value.as_deref()) {
        (TagOperation::Upsert, None | Some("")) => {
            reading.error(&value, Code::Required, "required unless operation is REMOVE");
            None
        }
        (TagOperation::Upsert, Some(expression)) => Some(expression.into()),
        (TagOperation::Remove, Some(_)) => {
            reading.error(&value, Code::Conflict, "goes with operation UPSERT only");
            None
        }
        (TagOperation::Remove, None) => None,
    }
}

fn metric(reading: &mut Reading<'_>, at: &At<'_>, selector: &MetricSelector) -> MetricName {
    reading.at_most_one(at, [("metric", selector.metric.is_some()), ("customMetric", selector.custom_metric.is_some())]);
    match (selector.custom_metric.as_deref(), selector.metric) {
        (Some(""), _) => {
            reading.error(&at.field("customMetric"), Code::Required, "must not be empty");
            MetricName::All
        }
        (Some(name), _) => MetricName::Custom(name.into()),
        (None, Some(metric)) => standard(metric).map_or(MetricName::All, MetricName::Standard),
        (None, None) => MetricName::All,
    }
}

/// One of the mesh's own metrics; `None` for all.
fn standard(metric: IstioMetric) -> Option<StandardMetric> {
    Some(match metric {
        IstioMetric::AllMetrics => return None,
        IstioMetric::RequestCount => StandardMetric::RequestCount,
        IstioMetric::RequestDuration => StandardMetric::RequestDuration,
        IstioMetric::RequestSize => StandardMetric::RequestSize,
        IstioMetric::ResponseSize => StandardMetric::ResponseSize,
        IstioMetric::TcpOpenedConnections => StandardMetric::TcpOpenedConnections,
        IstioMetric::TcpClosedConnections => StandardMetric::TcpClosedConnections,
        IstioMetric::TcpSentBytes => StandardMetric::TcpSentBytes,
        IstioMetric::TcpReceivedBytes => StandardMetric::TcpReceivedBytes,
        IstioMetric::GrpcRequestMessages => StandardMetric::GrpcRequestMessages,
        IstioMetric::GrpcResponseMessages => StandardMetric::GrpcResponseMessages,
    })
}

fn access_logging(reading: &mut Reading<'_>, at: &At<'_>, logging: &AccessLogging) -> model::AccessLogging {
    let filter = logging.filter.as_ref().map(|filter| {
        let expression = filter.expression.as_deref().unwrap_or_default();
        if let Err(defect) = cel_syntax::check(expression) {
            let at = at.field("filter");
            reading.error(&at.field("expression"), Code::Unreadable, format!("{} is no expression in CEL: {defect}", quoted(expression)));
        }
        expression.into()
    });
    model::AccessLogging {
        direction: direction(logging.match_.as_ref().and_then(|selector| selector.mode)),
        providers: providers(reading, at, &logging.providers),
        disabled: logging.disabled,
        filter,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn parsed(spec: Value) -> model::Telemetry {
        let object = json!({"apiVersion": "telemetry.istio.io/v1", "kind": "Telemetry", "metadata": {"name": "a"}, "spec": spec});
        telemetry(&serde_json::from_value(object).unwrap(), &ParseContext::default()).unwrap().value
    }

    #[test]
    fn percent_are_kept_to_the_hundredth_and_the_first_provider_counts() {
        let tracing =
            parsed(json!({"tracing": [{"randomSamplingPercentage": 0.07, "providers": [{"name": "a"}, {"name": "b"}]}, {}]})).tracing;
        let tracing = tracing.unwrap();
        assert_eq!((tracing.sampling, tracing.provider.as_deref()), (Some(7), Some("a")));
    }

    #[test]
    fn labels_are_changed_or_taken_away() {
        let tags = json!({"a": {"value": "request.host"}, "b": {"operation": "REMOVE"}});
        let spec = json!({"metrics": [{"overrides": [{"match": {"metric": "REQUEST_SIZE", "mode": "SERVER"}, "tagOverrides": tags}, {}]}]});
        let overrides = parsed(spec).metrics.remove(0).overrides;
        let labels: Vec<_> = overrides[0].labels.iter().map(|(name, value)| (&**name, value.as_deref())).collect();
        assert_eq!(labels, [("a", Some("request.host")), ("b", None)]);
        assert_eq!(
            (&overrides[0].metric, overrides[0].direction),
            (&MetricName::Standard(StandardMetric::RequestSize), TrafficDirection::Inbound)
        );
        assert_eq!((&overrides[1].metric, overrides[1].direction), (&MetricName::All, TrafficDirection::Both));
    }
}
