//! The proving ground's gates: what must hold before a claim about a recipe means anything. A failed gate is printed in
//! place of the claim.

use crate::EvalError;
use crate::interval::{Clusters, Estimate, SEED};
use serde::{Deserialize, Serialize};

/// Share of the distance from floor to ceiling that the base student must close.
pub const PERCEPTION_SHARE: f64 = 0.5;
/// How much better than the base the teacher must plan, as a fraction of the base's error.
pub const TEACHER_GAIN: f64 = 0.10;

/// The outcome of a gate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Gate {
    /// `perception` or `teacher`, with what it was measured on.
    pub name: String,
    /// What was measured, with its interval.
    pub value: Estimate,
    /// The value it must reach.
    pub needed: f64,
    /// Whether it does.
    pub passed: bool,
}

impl Gate {
    /// `passed`, `gate failed`, or that it passed although its interval reaches below what is needed.
    pub fn verdict(&self) -> &'static str {
        match (self.passed, self.value.low) {
            (false, _) => "gate failed",
            (true, Some(low)) if low < self.needed => "passed on its mean alone",
            (true, _) => "passed",
        }
    }

    /// One line for tables and terminals.
    pub fn line(&self) -> String {
        let verdict = self.verdict();
        let interval = match (self.value.low, self.value.high) {
            (Some(low), Some(high)) => format!(" [{low:.2}, {high:.2}]"),
            _ => String::new(),
        };
        format!("{}: {verdict}: {:.2}{interval}, needed {:.2}", self.name, self.value.mean, self.needed)
    }
}

/// Ratio of two sums with its interval, worlds drawn alike for both.
fn ratio(name: &str, worlds: &[&str], top: &[f64], bottom: &[f64]) -> Result<Estimate, EvalError> {
    if worlds.is_empty() {
        return Err(EvalError::Empty { what: format!("gate {name}") });
    }
    Clusters::new(worlds.iter().copied())
        .ratio(top, bottom, SEED)
        .ok_or_else(|| EvalError::Empty { what: format!("gate {name}: nothing to divide by") })
}

fn less(a: &[f64], b: &[f64]) -> Vec<f64> {
    a.iter().zip(b).map(|(a, b)| a - b).collect()
}

/// Perception gate: (floor − base) / (floor − ceiling) in error, where the floor is the student without images and the ceiling
/// the one that is told what the cameras could show. One value per start, with the world it lies in. Where the ceiling is no
/// better than the floor there is no way to go: the gate fails, with a share of 0.
///
/// # Errors
/// Without starts.
///
/// # Panics
/// When the numbers of values differ.
pub fn perception(
    name: &str,
    worlds: &[&str],
    floor: &[f64],
    base: &[f64],
    ceiling: &[f64],
) -> Result<Gate, EvalError> {
    let way = less(floor, ceiling);
    let value = if way.is_empty() || way.iter().sum::<f64>() > 0.0 {
        ratio(name, worlds, &less(floor, base), &way)?
    } else {
        Estimate { mean: 0.0, low: None, high: None }
    };
    Ok(Gate {
        name: format!("perception gate ({name})"),
        value,
        needed: PERCEPTION_SHARE,
        passed: value.mean >= PERCEPTION_SHARE,
    })
}

/// Teacher gate: 1 − teacher / base in error, on the starts of the rare and open-road tiers.
///
/// # Errors
/// Without starts, or when the base has no error.
///
/// # Panics
/// When the numbers of values differ.
pub fn teacher(name: &str, worlds: &[&str], base: &[f64], teacher: &[f64]) -> Result<Gate, EvalError> {
    let value = ratio(name, worlds, &less(base, teacher), base)?;
    Ok(Gate {
        name: format!("teacher gate (plans, {name})"),
        value,
        needed: TEACHER_GAIN,
        passed: value.mean >= TEACHER_GAIN,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORLDS: [&str; 6] = ["a", "a", "b", "b", "c", "c"];

    #[test]
    fn the_perception_gate_measures_the_share_of_the_way() {
        let gate = |base: f64| perception("all", &WORLDS, &[2.0; 6], &[base; 6], &[0.4; 6]).unwrap();
        assert!((gate(0.8).value.mean - 0.75).abs() < 1e-9 && gate(0.8).passed);
        assert!((gate(1.6).value.mean - 0.25).abs() < 1e-9 && !gate(1.6).passed);
        assert_eq!((gate(0.8).verdict(), gate(1.6).verdict()), ("passed", "gate failed"));
        assert!(gate(1.6).line().contains("gate failed"));
        assert!(perception("all", &[], &[], &[], &[]).is_err());
    }

    #[test]
    fn a_gate_whose_interval_reaches_below_says_so() {
        let gate = perception("all", &WORLDS, &[2.0; 6], &[0.4, 0.4, 0.8, 0.8, 1.9, 1.9], &[0.4; 6]).unwrap();
        assert!(gate.passed && gate.value.low.unwrap() < PERCEPTION_SHARE);
        assert!(gate.line().contains("passed on its mean alone"), "{}", gate.line());
    }

    #[test]
    fn a_ceiling_that_is_no_better_than_the_floor_fails_the_perception_gate() {
        for ceiling in [1.0, 1.2] {
            assert!(!perception("all", &WORLDS, &[1.0; 6], &[1.3; 6], &[ceiling; 6]).unwrap().passed);
        }
    }

    #[test]
    fn the_teacher_gate_asks_for_a_tenth() {
        let gate = |of: f64| teacher("rare", &WORLDS, &[1.0; 6], &[of; 6]).unwrap();
        assert!(gate(0.85).passed);
        assert!(!gate(0.95).passed);
        assert!(teacher("rare", &[], &[], &[]).is_err());
    }
}
