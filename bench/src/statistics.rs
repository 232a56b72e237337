//! Medians, percentiles and fitted lines.

use std::time::Duration;

/// The value below which `share` (0 to 1) of the samples lie. The samples are sorted by this; there must be at least one.
pub(crate) fn percentile(samples: &mut [Duration], share: f64) -> Duration {
    samples.sort_unstable();
    #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an index of a sample")]
    let index = (samples.len() as f64 * share) as usize;
    samples[index.min(samples.len() - 1)]
}

/// Milliseconds with two decimals.
pub(crate) fn milliseconds(duration: Duration) -> String {
    format!("{:.2} ms", duration.as_secs_f64() * 1000.0)
}

/// A straight line through points.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Line {
    /// Where it is at 0.
    pub(crate) base: f64,
    /// What it rises for each 1.
    pub(crate) slope: f64,
}

// === impl Line ===

impl Line {
    /// The line of least squares; none through fewer than two different places.
    pub(crate) fn through(points: &[(f64, f64)]) -> Option<Self> {
        let count: f64 = points.iter().map(|_| 1.0).sum();
        let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / count;
        let (x_mean, y_mean) = (mean(|point| point.0), mean(|point| point.1));
        let spread: f64 = points.iter().map(|(x, _)| (x - x_mean).powi(2)).sum();
        let common: f64 = points.iter().map(|(x, y)| (x - x_mean) * (y - y_mean)).sum();
        let slope = common / spread;
        slope.is_finite().then_some(Self { base: y_mean - slope * x_mean, slope })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_taken_from_sorted_samples() {
        let mut samples: Vec<_> = (1..=100).rev().map(Duration::from_millis).collect();
        assert_eq!(percentile(&mut samples, 0.5), Duration::from_millis(51));
        assert_eq!(percentile(&mut samples, 0.99), Duration::from_millis(100));
        assert_eq!(percentile(&mut samples[..1], 0.99), Duration::from_millis(1));
    }

    #[test]
    fn a_line_is_fitted_by_least_squares() {
        let exact = Line::through(&[(0.0, 30.0), (100.0, 35.0), (2000.0, 130.0)]).unwrap();
        assert!((exact.base - 30.0).abs() < 1e-9 && (exact.slope - 0.05).abs() < 1e-9, "{exact:?}");
        // One of three points is off by 3: the line is raised by 1 in the middle of them.
        let fitted = Line::through(&[(0.0, 0.0), (1.0, 4.0), (2.0, 2.0)]).unwrap();
        assert!((fitted.base - 1.0).abs() < 1e-9 && (fitted.slope - 1.0).abs() < 1e-9, "{fitted:?}");
        assert_eq!(Line::through(&[(1.0, 1.0), (1.0, 2.0)]), None);
        assert_eq!(Line::through(&[]), None);
    }
}
