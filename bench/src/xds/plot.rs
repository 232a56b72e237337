//! Line charts as SVG.

use std::fmt::Write;

/// A chart with an axis for each of two quantities, both from 0.
pub(super) struct Chart<'a> {
    pub(super) title: &'a str,
    pub(super) across: &'a str,
    pub(super) up: &'a str,
    pub(super) series: Vec<Series<'a>>,
}

/// A line through points.
pub(super) struct Series<'a> {
    pub(super) name: &'a str,
    pub(super) points: Vec<(f64, f64)>,
}

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 400.0;
/// Around the area of the lines: left, right, above, below.
const MARGINS: [f64; 4] = [70.0, 20.0, 70.0, 50.0];
/// Colours that people with any kind of colour vision can tell apart.
const COLOURS: [&str; 6] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"];

// === impl Chart ===

impl Chart<'_> {
    /// The drawing.
    pub(super) fn svg(&self) -> String {
        let points = || self.series.iter().flat_map(|series| &series.points);
        let across = Axis::up_to(points().map(|point| point.0).fold(0.0, f64::max));
        let up = Axis::up_to(points().map(|point| point.1).fold(0.0, f64::max));
        let [left, right, above, below] = MARGINS;
        let x = |value: f64| left + value / across.end * (WIDTH - left - right);
        let y = |value: f64| HEIGHT - below - value / up.end * (HEIGHT - above - below);
        let mut svg =
            format!(r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="12">"#);
        let mut put = |element: String| _ = writeln!(svg, "\n{element}");
        put(format!(r#"<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>"#));
        put(text(left, 22.0, "start", &format!("<tspan font-size=\"15\" font-weight=\"bold\">{}</tspan>", escaped(self.title))));
        for tick in up.ticks() {
            put(format!(r##"<path d="M{left} {0:.1}H{1}" stroke="#ddd"/>"##, y(tick), WIDTH - right));
            put(text(left - 8.0, y(tick) + 4.0, "end", &number(tick)));
        }
        for tick in across.ticks() {
            put(text(x(tick), HEIGHT - below + 18.0, "middle", &number(tick)));
        }
        put(text((left + WIDTH - right) / 2.0, HEIGHT - 10.0, "middle", &escaped(self.across)));
        put(text(left, above - 10.0, "start", &escaped(self.up)));
        for (at, (series, colour)) in self.series.iter().zip(COLOURS.iter().cycle()).enumerate() {
            let path: Vec<String> = series.points.iter().map(|point| format!("{:.1},{:.1}", x(point.0), y(point.1))).collect();
            put(format!(r#"<polyline points="{}" fill="none" stroke="{colour}" stroke-width="2"/>"#, path.join(" ")));
            for point in &series.points {
                put(format!(r#"<circle cx="{:.1}" cy="{:.1}" r="3" fill="{colour}"/>"#, x(point.0), y(point.1)));
            }
            let place = left + 330.0 * f64::from(u32::try_from(at % 2).unwrap_or(0));
            let line = 36.0 + 13.0 * f64::from(u32::try_from(at / 2).unwrap_or(0));
            put(format!(r#"<rect x="{place}" y="{}" width="10" height="10" fill="{colour}"/>"#, line - 9.0));
            put(text(place + 15.0, line, "start", &escaped(series.name)));
        }
        svg.push_str("</svg>\n");
        svg
    }
}

/// From 0 to a round number.
struct Axis {
    end: f64,
    step: f64,
}

// === impl Axis ===

impl Axis {
    fn up_to(largest: f64) -> Self {
        let largest = if largest > 0.0 { largest } else { 1.0 };
        let power = 10_f64.powf((largest / 5.0).log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].into_iter().map(|step| step * power).find(|step| step * 5.0 >= largest * 0.999_999);
        let step = step.unwrap_or(power * 10.0);
        Self { end: (largest / step - 1e-6).ceil() * step, step }
    }

    fn ticks(&self) -> impl Iterator<Item = f64> {
        let count = (0..20).map(f64::from);
        count.map(|tick| tick * self.step).take_while(|tick| *tick <= self.end * 1.000_001)
    }
}

fn text(x: f64, y: f64, anchor: &str, content: &str) -> String {
    format!(r#"<text x="{x:.1}" y="{y:.1}" text-anchor="{anchor}">{content}</text>"#)
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// Without the traces of binary fractions.
fn number(value: f64) -> String {
    let text = format!("{value:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_end_at_round_numbers() {
        let axis = |largest| {
            let axis = Axis::up_to(largest);
            axis.ticks().map(number).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(axis(2000.0), "0 500 1000 1500 2000");
        assert_eq!(axis(37.0), "0 10 20 30 40");
        assert_eq!(axis(0.9), "0 0.2 0.4 0.6 0.8 1");
        assert_eq!(axis(0.0), "0 0.2 0.4 0.6 0.8 1");
    }

    #[test]
    fn points_are_where_the_axes_say() {
        let series = vec![Series { name: "a & b", points: vec![(0.0, 0.0), (100.0, 10.0)] }];
        let svg = Chart { title: "<t>", across: "proxies", up: "ms", series }.svg();
        // The lower left corner and the upper right one.
        assert!(svg.contains(r#"points="70.0,350.0 700.0,70.0""#), "{svg}");
        assert!(svg.contains("a &amp; b") && svg.contains("&lt;t&gt;"));
        assert_eq!(svg.matches("<circle").count(), 2);
    }
}
