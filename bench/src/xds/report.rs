//! What the trials found out, for people: tables in Markdown, and plots.

use std::{fmt::Write, time::Duration};

use super::{
    plot::{Chart, Series},
    trial::{ChangeCost, ConnectCost, Costs, Figures, Quantiles},
};
use crate::process::Memory;
use crate::statistics::{Line, milliseconds};

/// A line of a table.
type Row = (&'static str, fn(&Figures) -> String);

const PILOT: [Row; 21] = [
    ("start → ready", |figures| milliseconds(figures.start)),
    ("all connect and are configured: time", |figures| seconds(figures.pilot.connect.time)),
    ("— pilot's CPU", |figures| cpu(figures.pilot.connect.cpu)),
    ("— bytes for each proxy", |figures| bytes(figures.pilot.connect.bytes)),
    ("endpoint change → first ACK, p50 / p99", |figures| quantiles(figures.pilot.endpoint.first)),
    ("endpoint change → last ACK, p50 / p99", |figures| quantiles(figures.pilot.endpoint.last)),
    ("— pilot's CPU for each change", |figures| cpu(figures.pilot.endpoint.cpu)),
    ("— bytes for each change and proxy", |figures| bytes(figures.pilot.endpoint.bytes)),
    ("VirtualService change → first ACK, p50 / p99", |figures| quantiles(figures.pilot.route.first)),
    ("VirtualService change → last ACK, p50 / p99", |figures| quantiles(figures.pilot.route.last)),
    ("— pilot's CPU for each change", |figures| cpu(figures.pilot.route.cpu)),
    ("— bytes for each change and proxy", |figures| bytes(figures.pilot.route.bytes)),
    ("all come back, with the versions that they hold: time", |figures| seconds(figures.kept.time)),
    ("— pilot's CPU", |figures| cpu(figures.kept.cpu)),
    ("— bytes for each proxy", |figures| bytes(figures.kept.bytes)),
    ("all come back, without versions: time", |figures| seconds(figures.lost.time)),
    ("— pilot's CPU", |figures| cpu(figures.lost.cpu)),
    ("— bytes for each proxy", |figures| bytes(figures.lost.bytes)),
    ("memory without proxies, resident / proportional", |figures| memory(figures.empty)),
    ("memory with all of them", |figures| memory(figures.full)),
    ("memory after all changes and returns", |figures| memory(figures.used)),
];

const YARDSTICK: [Row; 10] = [
    ("canned: all connect and are configured: time", |figures| seconds(figures.canned.connect.time)),
    ("— the server's CPU", |figures| cpu(figures.canned.connect.cpu)),
    ("canned: endpoint change → last ACK, p50 / p99", |figures| quantiles(figures.canned.endpoint.last)),
    ("— the server's CPU for each change", |figures| cpu(figures.canned.endpoint.cpu)),
    ("canned: VirtualService change → last ACK, p50 / p99", |figures| quantiles(figures.canned.route.last)),
    ("— the server's CPU for each change", |figures| cpu(figures.canned.route.cpu)),
    ("pilot ÷ canned: connect, time / CPU", |figures| connect_ratio(&figures.pilot.connect, &figures.canned.connect)),
    ("pilot ÷ canned: endpoint, last ACK p50 / CPU", |figures| ratios(figures, |costs| costs.endpoint)),
    ("pilot ÷ canned: VirtualService, last ACK p50 / CPU", |figures| ratios(figures, |costs| costs.route)),
    ("bytes pilot ÷ canned for an endpoint", |figures| ratio(figures.pilot.endpoint.bytes, figures.canned.endpoint.bytes)),
];

/// Everything as Markdown. Numbers of endpoints are those of each service.
pub(super) fn tables(by_proxies: &[Figures], by_services: &[Figures], endpoints: usize) -> String {
    let mut text = String::new();
    let put = |text: &mut String, line: String| _ = writeln!(text, "{line}");
    if let Some(last) = by_proxies.last() {
        let title = format!("{} services, {} endpoints", last.services, last.services * endpoints);
        put(&mut text, table(&title, by_proxies, |figures| proxies(figures.proxies)));
        for (what, of) in memory_measures() {
            if let Some(line) = fit(by_proxies, of) {
                let (each, base) = (line.slope * 1048.576, line.base);
                put(
                    &mut text,
                    format!("{what} memory: {each:.1} kB for each proxy (least squares; goal ≤ 60 kB), {base:.1} MiB without any.\n"),
                );
            }
        }
    }
    if let Some(last) = by_services.last() {
        let title = format!("{}, {endpoints} endpoints a service", proxies(last.proxies));
        put(&mut text, table(&title, by_services, |figures| format!("{} services", figures.services)));
    }
    text
}

/// The plots and the names of their files.
pub(super) fn plots(by_proxies: &[Figures], by_services: &[Figures]) -> Vec<(&'static str, String)> {
    let (over_proxies, over_services) = (|figures: &Figures| count(figures.proxies), |figures: &Figures| count(figures.services));
    let latencies = |all: &[Figures], over: fn(&Figures) -> f64| {
        let median = |of: fn(&Figures) -> ChangeCost| all.iter().map(|f| (over(f), of(f).last.p50.as_secs_f64() * 1000.0)).collect();
        vec![
            Series { name: "endpoint", points: median(|figures| figures.pilot.endpoint) },
            Series { name: "VirtualService", points: median(|figures| figures.pilot.route) },
            Series { name: "endpoint, canned bytes", points: median(|figures| figures.canned.endpoint) },
            Series { name: "VirtualService, canned bytes", points: median(|figures| figures.canned.route) },
        ]
    };
    let memories = |all: &[Figures], over: fn(&Figures) -> f64| {
        let [(resident, r), (proportional, p)] = memory_measures();
        let of = |part: fn(Memory) -> f64| all.iter().map(|figures| (over(figures), part(figures.full))).collect();
        vec![Series { name: resident, points: of(r) }, Series { name: proportional, points: of(p) }]
    };
    let chart = |title, across, up, series| Chart { title, across, up, series }.svg();
    let (change, held) = ("From a change to the last proxy's ACK, median", "Memory of pilot with all proxies");
    let (proxies, services) = ("proxies", "services");
    vec![
        ("xds-latency-by-proxies.svg", chart(change, proxies, "ms", latencies(by_proxies, over_proxies))),
        ("xds-memory-by-proxies.svg", chart(held, proxies, "MiB", memories(by_proxies, over_proxies))),
        ("xds-latency-by-services.svg", chart(change, services, "ms", latencies(by_services, over_services))),
        ("xds-memory-by-services.svg", chart(held, services, "MiB", memories(by_services, over_services))),
    ]
}

/// A way to measure memory, by its name.
type MemoryMeasure = (&'static str, fn(Memory) -> f64);

fn memory_measures() -> [MemoryMeasure; 2] {
    [("Resident", |memory| memory.resident), ("Proportional", |memory| memory.proportional)]
}

/// Memory over proxies. What a pilot holds before a proxy comes counts as a trial of none.
fn fit(trials: &[Figures], of: fn(Memory) -> f64) -> Option<Line> {
    let points = trials.iter().flat_map(|figures| [(0.0, of(figures.empty)), (count(figures.proxies), of(figures.full))]);
    Line::through(&points.collect::<Vec<_>>())
}

fn table(title: &str, trials: &[Figures], name: fn(&Figures) -> String) -> String {
    let mut text = String::new();
    let mut line = |cells: Vec<String>| _ = writeln!(text, "| {} |", cells.join(" | "));
    let cells = |first: &str, of: &dyn Fn(&Figures) -> String| [first.to_owned()].into_iter().chain(trials.iter().map(of)).collect();
    line(cells(title, &name));
    line(cells("---", &|_| "---".to_owned()));
    for (what, of) in PILOT.iter().chain(&YARDSTICK) {
        line(cells(what, of));
    }
    text
}

fn proxies(number: usize) -> String {
    if number == 1 { "1 proxy".to_owned() } else { format!("{number} proxies") }
}

#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
fn count(number: usize) -> f64 {
    number as f64
}

fn seconds(duration: Duration) -> String {
    format!("{:.3} s", duration.as_secs_f64())
}

fn cpu(seconds: f64) -> String {
    format!("{seconds:.4} s")
}

fn bytes(bytes: f64) -> String {
    format!("{bytes:.0}")
}

fn quantiles(Quantiles { p50, p99 }: Quantiles) -> String {
    format!("{} / {}", milliseconds(p50), milliseconds(p99))
}

fn memory(Memory { resident, proportional }: Memory) -> String {
    format!("{resident:.1} / {proportional:.1} MiB")
}

/// How often `b` goes into `a`. Without a meaning where `b` is too small to be measured.
fn ratio(a: f64, b: f64) -> String {
    if b > 0.0 { format!("{:.2}", a / b) } else { "–".to_owned() }
}

fn ratios(figures: &Figures, of: fn(&Costs) -> ChangeCost) -> String {
    let (pilot, canned) = (of(&figures.pilot), of(&figures.canned));
    format!("{} / {}", ratio(pilot.last.p50.as_secs_f64(), canned.last.p50.as_secs_f64()), ratio(pilot.cpu, canned.cpu))
}

fn connect_ratio(pilot: &ConnectCost, canned: &ConnectCost) -> String {
    format!("{} / {}", ratio(pilot.time.as_secs_f64(), canned.time.as_secs_f64()), ratio(pilot.cpu, canned.cpu))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(proxies: usize, services: usize) -> Figures {
        let memory = |resident: f64| Memory { resident, proportional: resident / 2.0 };
        let quantiles = Quantiles { p50: Duration::from_millis(2), p99: Duration::from_millis(4) };
        let endpoint = ChangeCost { first: quantiles, last: quantiles, cpu: 0.02, bytes: 1056.0 };
        let canned = Costs {
            endpoint: ChangeCost { cpu: 0.01, last: Quantiles { p50: Duration::from_millis(1), ..quantiles }, ..endpoint },
            ..Costs::default()
        };
        // 50 kB, in MiB, for each proxy.
        let full = memory(30.0 + count(proxies) * 50_000.0 / 1_048_576.0);
        Figures {
            proxies,
            services,
            pilot: Costs { endpoint, ..Costs::default() },
            canned,
            empty: memory(30.0),
            full,
            ..Figures::default()
        }
    }

    #[test]
    fn the_table_has_a_column_for_each_trial_and_the_fitted_slope() {
        let text = tables(&[figures(1, 1000), figures(2000, 1000)], &[figures(100, 100), figures(100, 1000)], 10);
        assert!(text.starts_with("| 1000 services, 10000 endpoints | 1 proxy | 2000 proxies |\n| --- | --- | --- |\n"), "{text}");
        assert!(text.contains("| endpoint change → last ACK, p50 / p99 | 2.00 ms / 4.00 ms | 2.00 ms / 4.00 ms |"), "{text}");
        assert!(text.contains("| pilot ÷ canned: endpoint, last ACK p50 / CPU | 2.00 / 2.00 | 2.00 / 2.00 |"), "{text}");
        assert!(text.contains("| pilot ÷ canned: VirtualService, last ACK p50 / CPU | – / – | – / – |"), "{text}");
        assert!(text.contains("Resident memory: 50.0 kB for each proxy (least squares; goal ≤ 60 kB), 30.0 MiB without any."), "{text}");
        assert!(text.contains("Proportional memory: 25.0 kB"), "{text}");
        assert!(text.contains("| 100 proxies, 10 endpoints a service | 100 services | 1000 services |"), "{text}");
        let columns = |line: &str| line.matches('|').count();
        assert!(text.lines().filter(|line| line.starts_with('|')).all(|line| columns(line) == 4), "{text}");
    }

    #[test]
    fn plots_are_over_proxies_and_over_services() {
        let plots = plots(&[figures(1, 1000), figures(2000, 1000)], &[figures(100, 100), figures(100, 1000)]);
        let names: Vec<_> = plots.iter().map(|(name, _)| *name).collect();
        assert_eq!(names.len(), 4);
        assert!(plots.iter().all(|(_, svg)| svg.starts_with("<svg") && svg.contains("<polyline")));
    }
}
