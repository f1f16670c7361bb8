//! Learning rate by step.

use serde::{Deserialize, Serialize};

/// Linear warm-up, then a cosine to a floor (Loshchilov and Hutter 2017, Eq. 5), as multiples of the base rate.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schedule {
    /// Steps of warm-up.
    pub warmup_steps: u64,
    /// Steps of the whole run.
    pub total_steps: u64,
    /// Factor at the first step.
    pub start_factor: f64,
    /// Factor at the end.
    pub end_factor: f64,
}

impl Schedule {
    /// Warm-up over `warmup_steps` from 1/10, cosine down to 1/100.
    pub fn cosine(warmup_steps: u64, total_steps: u64) -> Self {
        Self { warmup_steps, total_steps, start_factor: 0.1, end_factor: 0.01 }
    }

    /// Factor at a step, counted from 0.
    pub fn factor(&self, step: u64) -> f64 {
        if step < self.warmup_steps {
            return self.start_factor + (1.0 - self.start_factor) * step as f64 / self.warmup_steps as f64;
        }
        let span = self.total_steps.saturating_sub(self.warmup_steps).max(1);
        let share = ((step - self.warmup_steps) as f64 / span as f64).min(1.0);
        self.end_factor + (1.0 - self.end_factor) * 0.5 * (1.0 + (std::f64::consts::PI * share).cos())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warms_up_and_cools_down() {
        let s = Schedule::cosine(10, 110);
        assert!((s.factor(0) - 0.1).abs() < 1e-12 && (s.factor(10) - 1.0).abs() < 1e-12);
        assert!((s.factor(60) - 0.505).abs() < 1e-12 && (s.factor(110) - 0.01).abs() < 1e-12);
        assert!((s.factor(1000) - 0.01).abs() < 1e-12);
    }
}
