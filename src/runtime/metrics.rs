//! Metrics: one registry a process, a prefix a component, and what the kernel knows of the process itself.

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric, text},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge},
};
use std::{fmt, fs, time::Duration};

pub use prometheus_client::registry::Registry;

/// A registry that holds the process's own figures. A component registers its metrics in
/// `registry.sub_registry_with_prefix("citadel")` before the registry is shared with [`super::Admin`].
pub fn process_registry() -> Registry {
    with_process(Registry::default())
}

/// The same with a prefix to every name, for a page that is merged with others.
pub fn prefixed_registry(prefix: &str) -> Registry {
    with_process(Registry::with_prefix(prefix))
}

fn with_process(mut registry: Registry) -> Registry {
    registry.register_collector(Box::new(ProcessCollector));
    registry
}

/// All metrics in the OpenMetrics text format, whose content type is [`CONTENT_TYPE`].
pub fn encode_metrics(registry: &Registry) -> String {
    let mut out = String::new();
    text::encode(&mut out, registry).expect("writing to a String can't fail");
    out
}

/// What `/metrics` says it is.
pub(super) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Reads /proc on each scrape. A figure that can't be read is left out.
#[derive(Debug)]
struct ProcessCollector;

/// What /proc/self/stat and /proc/self/fd say.
#[derive(Debug, PartialEq)]
struct ProcessFigures {
    resident_bytes: u64,
    threads: i64,
    cpu: Duration,
}

// === impl ProcessCollector ===

impl Collector for ProcessCollector {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), fmt::Error> {
        if let Some(figures) = fs::read_to_string("/proc/self/stat").ok().and_then(|stat| parse_stat(&stat)) {
            let cpu = ConstCounter::new(figures.cpu.as_secs_f64());
            cpu.encode(encoder.encode_descriptor("process_cpu_seconds", "CPU time, user and system", None, cpu.metric_type())?)?;
            let resident = figures.resident_bytes.cast_signed();
            gauge(&mut encoder, "process_resident_memory_bytes", "Resident memory", resident)?;
            gauge(&mut encoder, "process_threads", "Threads", figures.threads)?;
        }
        if let Ok(open) = fs::read_dir("/proc/self/fd") {
            let open = i64::try_from(open.count()).unwrap_or(i64::MAX);
            gauge(&mut encoder, "process_open_fds", "Open file descriptors", open)?;
        }
        Ok(())
    }
}

fn gauge(encoder: &mut DescriptorEncoder, name: &str, help: &str, value: i64) -> Result<(), fmt::Error> {
    ConstGauge::new(value).encode(encoder.encode_descriptor(name, help, None, MetricType::Gauge)?)
}

/// Parses proc(5)'s stat line. The command in parentheses may hold spaces and parentheses, so fields count from the last `)`.
fn parse_stat(stat: &str) -> Option<ProcessFigures> {
    // Both are constants of every Linux that we run on: USER_HZ is 100 in the kernel's interface, and pages have 4 KiB on x86-64.
    const TICKS_PER_SECOND: u64 = 100;
    const PAGE: u64 = 4096;
    let fields: Vec<&str> = stat.get(stat.rfind(')')? + 1..)?.split_whitespace().collect();
    let number = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
    let ticks = number(14)? + number(15)?;
    Some(ProcessFigures {
        resident_bytes: number(24)? * PAGE,
        threads: number(20)?.try_into().ok()?,
        cpu: Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_read_past_a_hostile_command_name() {
        let stat = "7 (a) b) S 1 7 7 0 -1 0 10 0 0 0 150 50 0 0 20 0 9 0 100 1000000 256 18446744073709551615";
        assert_eq!(parse_stat(stat), Some(ProcessFigures { resident_bytes: 256 * 4096, threads: 9, cpu: Duration::from_secs(2) }));
    }

    #[test]
    fn a_process_shows_its_own_memory() {
        let page = encode_metrics(&process_registry());
        assert!(page.contains("\nprocess_resident_memory_bytes "), "{page}");
        assert!(page.contains("\nprocess_cpu_seconds_total "), "{page}");
        assert!(page.ends_with("# EOF\n"));
        let prefixed = encode_metrics(&prefixed_registry("istio_agent"));
        assert!(prefixed.contains("\nistio_agent_process_threads "), "{prefixed}");
    }
}
