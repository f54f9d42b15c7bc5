//! Stands in for the crate `base2histogram`, which openraft depends on without a choice: an interface of the same
//! shape that keeps nothing.
//!
//! The real one computes tables for all its resolutions as soon as the first histogram is made: 26 MB of memory and
//! a third of the broker's time to start, for statistics that nobody can read unless openraft's feature
//! `runtime-stats` is on. It never is here. No I/O, no state.

use std::fmt;
use std::marker::PhantomData;

/// Takes samples and forgets them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Histogram<T = ()> {
    _samples: PhantomData<T>,
}

impl<T> Histogram<T> {
    /// An empty histogram.
    pub fn new() -> Histogram<T> {
        Histogram { _samples: PhantomData }
    }

    /// Forgets a sample.
    pub fn record(&mut self, _value: u64) {}

    /// Forgets a sample that was seen `_count` times.
    pub fn record_n(&mut self, _value: u64, _count: u64) {}

    /// The statistics of no samples.
    pub fn percentile_stats(&self) -> PercentileStats {
        PercentileStats::default()
    }
}

impl<T> Default for Histogram<T> {
    fn default() -> Histogram<T> {
        Histogram::new()
    }
}

/// The statistics of no samples.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PercentileStats {
    /// Always zero.
    pub samples: u64,
    /// Always zero.
    pub p0_1: u64,
    /// Always zero.
    pub p1: u64,
    /// Always zero.
    pub p5: u64,
    /// Always zero.
    pub p10: u64,
    /// Always zero.
    pub p50: u64,
    /// Always zero.
    pub p90: u64,
    /// Always zero.
    pub p99: u64,
    /// Always zero.
    pub p99_9: u64,
}

impl fmt::Display for PercentileStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not recorded")
    }
}

/// A chart of nothing.
#[derive(Clone, Debug, Default)]
pub struct AsciiChart;

impl AsciiChart {
    /// An empty chart.
    pub fn new() -> AsciiChart {
        AsciiChart
    }

    /// Adds nothing.
    pub fn add(self, _name: &str, _histogram: Histogram) -> AsciiChart {
        self
    }

    /// Shows nothing.
    pub fn compact(&self) -> &'static str {
        "not recorded"
    }

    /// Shows nothing.
    pub fn detailed(&self) -> &'static str {
        "not recorded"
    }
}
