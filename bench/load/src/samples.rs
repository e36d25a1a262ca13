//! Every latency of a run, and what is said of them: a run is short enough to keep them all.

use std::time::Duration;

use serde::Serialize;

#[derive(Default)]
pub(crate) struct Samples(Vec<Duration>);

/// The figures of a load of many small things.
#[derive(Serialize)]
pub(crate) struct Figures {
    pub(crate) requests: usize,
    pub(crate) messages: usize,
    pub(crate) seconds: f64,
    p50_ms: f64,
    p99_ms: f64,
    p999_ms: f64,
    max_ms: f64,
}

impl Samples {
    pub(crate) fn record(&mut self, took: Duration) {
        self.0.push(took);
    }

    pub(crate) fn figures(mut self, took: Duration) -> Figures {
        self.0.sort_unstable();
        Figures {
            requests: self.0.len(),
            messages: self.0.len(),
            seconds: took.as_secs_f64(),
            p50_ms: self.per_mille(500),
            p99_ms: self.per_mille(990),
            p999_ms: self.per_mille(999),
            max_ms: self.per_mille(1000),
        }
    }

    /// The latency that so many of a thousand do not exceed. The samples are in order.
    fn per_mille(&self, share: usize) -> f64 {
        let at = (self.0.len() * share).div_ceil(1000).saturating_sub(1);
        self.0.get(at).map_or(f64::NAN, |took| took.as_secs_f64() * 1e3)
    }
}

pub(crate) fn print(figures: &impl Serialize) -> crate::Outcome {
    println!("{}", serde_json::to_string(figures)?);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_samples_and_the_rest_do_not_exceed_them() {
        let mut samples = Samples::default();
        for number in (1..=1000).rev() {
            samples.record(Duration::from_millis(number));
        }
        let figures = samples.figures(Duration::from_secs(1));
        assert_eq!((figures.p50_ms, figures.p99_ms), (500.0, 990.0));
        assert_eq!((figures.p999_ms, figures.max_ms), (999.0, 1000.0));
    }
}
