//! Bootstrap intervals, clustered by world: samples of one world are not independent, worlds are.
//!
//! A replicate draws as many worlds as there are, with replacement, and takes the mean over all samples of the worlds
//! drawn; the interval is the 2.5th and 97.5th percentile of 2000 replicates. The draws depend on the seed and the
//! number of worlds alone, so equal data give equal intervals everywhere, and metrics of one table share their draws.

use apprentice_core::Rng;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Replicates of an interval.
pub const REPLICATES: usize = 2000;
/// Seed of the draws, unless told otherwise.
pub const SEED: u64 = 0x5eed;

/// A mean and its 95 % interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// Mean over samples.
    pub mean: f64,
    /// 2.5th percentile; `None` with fewer than two worlds.
    pub low: Option<f64>,
    /// 97.5th percentile; `None` with fewer than two worlds.
    pub high: Option<f64>,
}

impl Estimate {
    /// Whether the whole interval lies below `value`.
    pub fn below(&self, value: f64) -> bool {
        self.high.is_some_and(|high| high < value)
    }

    /// Whether the whole interval lies above `value`.
    pub fn above(&self, value: f64) -> bool {
        self.low.is_some_and(|low| low > value)
    }

    /// Whether two intervals do not touch.
    pub fn apart(&self, other: &Estimate) -> bool {
        other.high.is_some_and(|high| self.above(high)) || other.low.is_some_and(|low| self.below(low))
    }
}

/// Samples grouped by world, ready for drawing.
#[derive(Clone, Debug)]
pub struct Clusters {
    /// Cluster of each sample, 0..count.
    of_sample: Vec<usize>,
    count: usize,
}

impl Clusters {
    /// Group samples by the name of their world; clusters are numbered in the order of the names.
    pub fn new<'a>(worlds: impl Iterator<Item = &'a str> + Clone) -> Self {
        let mut number: BTreeMap<&str, usize> = worlds.clone().map(|w| (w, 0)).collect();
        number.values_mut().enumerate().for_each(|(i, n)| *n = i);
        Self { of_sample: worlds.map(|w| number[w]).collect(), count: number.len() }
    }

    /// How many worlds.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Mean of one value per sample with its interval. `None` without samples.
    ///
    /// # Panics
    /// When the number of values is not the number of samples.
    pub fn estimate(&self, values: &[f64], seed: u64) -> Option<Estimate> {
        self.estimates(&[values], seed)[0]
    }

    /// [`Clusters::estimate`] of several values per sample, on the same draws.
    ///
    /// # Panics
    /// When the number of values is not the number of samples.
    pub fn estimates(&self, columns: &[&[f64]], seed: u64) -> Vec<Option<Estimate>> {
        let mut samples = vec![0.0_f64; self.count];
        self.of_sample.iter().for_each(|&c| samples[c] += 1.0);
        let sums: Vec<Vec<f64>> = columns
            .iter()
            .map(|values| {
                assert_eq!(values.len(), self.of_sample.len(), "one value per sample");
                let mut sums = vec![0.0; self.count];
                self.of_sample.iter().zip(*values).for_each(|(&c, value)| sums[c] += value);
                sums
            })
            .collect();
        if self.of_sample.is_empty() {
            return vec![None; columns.len()];
        }
        let mut replicates = vec![Vec::with_capacity(REPLICATES); columns.len()];
        if self.count >= 2 {
            for replicate in 0..REPLICATES {
                let mut rng = Rng::new(&[seed, self.count as u64, replicate as u64]);
                let drawn: Vec<usize> = (0..self.count).map(|_| rng.below(self.count)).collect();
                let n: f64 = drawn.iter().map(|&c| samples[c]).sum();
                for (column, values) in sums.iter().zip(&mut replicates) {
                    values.push(drawn.iter().map(|&c| column[c]).sum::<f64>() / n);
                }
            }
        }
        let n = self.of_sample.len() as f64;
        sums.iter()
            .zip(replicates)
            .map(|(column, mut values)| {
                values.sort_by(f64::total_cmp);
                let (low, high) = (percentile(&values, 0.025), percentile(&values, 0.975));
                Some(Estimate { mean: written(column.iter().sum::<f64>() / n), low, high })
            })
            .collect()
    }
}

impl Clusters {
    /// Σ top / Σ bottom with its interval. `None` without samples or when the bottom adds up to zero.
    ///
    /// # Panics
    /// When the numbers of values are not the number of samples.
    pub fn ratio(&self, top: &[f64], bottom: &[f64], seed: u64) -> Option<Estimate> {
        let sums = |values: &[f64]| {
            assert_eq!(values.len(), self.of_sample.len(), "one value per sample");
            let mut sums = vec![0.0; self.count];
            self.of_sample.iter().zip(values).for_each(|(&c, value)| sums[c] += value);
            sums
        };
        let (top, bottom) = (sums(top), sums(bottom));
        let total: f64 = bottom.iter().sum();
        if total == 0.0 {
            return None;
        }
        let mut values = Vec::with_capacity(REPLICATES);
        if self.count >= 2 {
            for replicate in 0..REPLICATES {
                let mut rng = Rng::new(&[seed, self.count as u64, replicate as u64]);
                let drawn: Vec<usize> = (0..self.count).map(|_| rng.below(self.count)).collect();
                let below: f64 = drawn.iter().map(|&c| bottom[c]).sum();
                if below != 0.0 {
                    values.push(drawn.iter().map(|&c| top[c]).sum::<f64>() / below);
                }
            }
        }
        values.sort_by(f64::total_cmp);
        let (low, high) = (percentile(&values, 0.025), percentile(&values, 0.975));
        Some(Estimate { mean: written(top.iter().sum::<f64>() / total), low, high })
    }
}

/// A figure as it is written to files: nine decimals, so that it is read back as exactly the same number.
pub(crate) fn written(value: f64) -> f64 {
    (value * 1e9).round() / 1e9
}

/// Linear interpolation between order statistics.
fn percentile(sorted: &[f64], p: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    let at = p * last as f64;
    let (below, above) = (sorted[at.floor() as usize], sorted[at.ceil() as usize]);
    Some(written(below + (above - below) * at.fract()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn worlds(per_world: usize, count: usize) -> Vec<String> {
        (0..count).flat_map(|w| std::iter::repeat_n(format!("w{w:03}"), per_world)).collect()
    }

    fn clusters(names: &[String]) -> Clusters {
        Clusters::new(names.iter().map(String::as_str))
    }

    #[test]
    fn the_interval_covers_the_truth_about_as_often_as_it_says() {
        let names = worlds(1, 60);
        let grouped = clusters(&names);
        let covered = (0..200_u64)
            .filter(|&trial| {
                let mut rng = Rng::new(&[trial, 99]);
                let values: Vec<f64> = (0..60).map(|_| rng.normal()).collect();
                let e = grouped.estimate(&values, SEED).unwrap();
                !e.above(0.0) && !e.below(0.0)
            })
            .count();
        assert!((180..=199).contains(&covered), "{covered} of 200");
    }

    #[test]
    fn samples_of_one_world_do_not_add_certainty() {
        let mut rng = Rng::new(&[5]);
        let per_world: Vec<f64> = (0..40).map(|_| rng.normal()).collect();
        let (one, ten) = (worlds(1, 40), worlds(10, 40));
        let repeated: Vec<f64> = per_world.iter().flat_map(|v| std::iter::repeat_n(*v, 10)).collect();
        let a = clusters(&one).estimate(&per_world, SEED).unwrap();
        let b = clusters(&ten).estimate(&repeated, SEED).unwrap();
        assert!((a.low.unwrap() - b.low.unwrap()).abs() < 1e-9 && (a.high.unwrap() - b.high.unwrap()).abs() < 1e-9);
    }

    #[test]
    fn one_world_has_no_interval_and_none_has_no_estimate() {
        let names = worlds(5, 1);
        let e = clusters(&names).estimate(&[1.0, 2.0, 3.0, 4.0, 5.0], SEED).unwrap();
        assert_eq!((e.mean, e.low, e.high), (3.0, None, None));
        assert!(clusters(&[]).estimate(&[], SEED).is_none());
    }
}
