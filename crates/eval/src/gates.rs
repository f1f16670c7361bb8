//! The proving ground's gates: what must hold before a claim about a recipe means anything. A failed gate is printed in
//! place of the claim.

use crate::EvalError;
use crate::interval::{Clusters, Estimate, SEED};
use crate::openloop::Judged;
use crate::planning::PlanningResult;
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
    /// One line for tables and terminals.
    pub fn line(&self) -> String {
        let verdict = if self.passed { "passed" } else { "gate failed" };
        let interval = match (self.value.low, self.value.high) {
            (Some(low), Some(high)) => format!(" [{low:.2}, {high:.2}]"),
            _ => String::new(),
        };
        format!("{}: {verdict}: {:.2}{interval}, needed {:.2}", self.name, self.value.mean, self.needed)
    }
}

fn l2_mean(row: &Judged) -> f64 {
    row.l2_avg_to_t().iter().sum::<f64>() / 3.0
}

/// Ratio of two sums with its interval, worlds drawn alike for both: `1 − Σ a / Σ b`-like figures need no pairing of
/// single starts but the same worlds.
fn ratio(rows: &[&Judged], top: &[f64], bottom: &[f64]) -> Option<Estimate> {
    let clusters = Clusters::new(rows.iter().map(|r| r.id.world.as_str()));
    clusters.ratio(top, bottom, SEED)
}

fn paired<'a>(
    results: [&'a PlanningResult; 3],
    only: &dyn Fn(&Judged) -> bool,
) -> Result<[Vec<&'a Judged>; 3], EvalError> {
    let rows = results.map(|r| r.rows.iter().filter(|row| only(row)).collect::<Vec<_>>());
    let ids = |rows: &[&Judged]| rows.iter().map(|r| r.id.clone()).collect::<Vec<_>>();
    for (i, other) in rows.iter().enumerate().skip(1) {
        if ids(&rows[0]) != ids(other) || results[0].protocol != results[i].protocol {
            return Err(EvalError::Incomparable {
                field: "the set of starts or the protocol".into(),
                left: format!("that of {}", results[0].subject.driver),
                right: format!("that of {}", results[i].subject.driver),
            });
        }
    }
    if rows[0].is_empty() {
        return Err(EvalError::Empty { what: "gate".into() });
    }
    Ok(rows)
}

/// Perception gate: (floor − base) / (floor − ceiling) in mean L2, where the floor is the student without images and
/// the ceiling the one that is told what the cameras could show. `only` picks the starts (all, or those with people).
///
/// # Errors
/// When the results hold other starts or were judged under other protocols.
pub fn perception(
    name: &str,
    floor: &PlanningResult,
    base: &PlanningResult,
    ceiling: &PlanningResult,
    only: &dyn Fn(&Judged) -> bool,
) -> Result<Gate, EvalError> {
    let [floor, base, ceiling] = paired([floor, base, ceiling], only)?;
    let difference =
        |a: &[&Judged], b: &[&Judged]| -> Vec<f64> { a.iter().zip(b).map(|(a, b)| l2_mean(a) - l2_mean(b)).collect() };
    let value = ratio(&floor, &difference(&floor, &base), &difference(&floor, &ceiling))
        .ok_or_else(|| EvalError::Empty { what: format!("gate {name}: floor and ceiling are equal") })?;
    Ok(Gate {
        name: format!("perception gate ({name})"),
        value,
        needed: PERCEPTION_SHARE,
        passed: value.mean >= PERCEPTION_SHARE,
    })
}

/// Teacher gate: 1 − teacher / base in mean L2 on the picked starts (rare and open-road tiers).
///
/// # Errors
/// When the results hold other starts or were judged under other protocols.
pub fn teacher(
    name: &str,
    base: &PlanningResult,
    teacher: &PlanningResult,
    only: &dyn Fn(&Judged) -> bool,
) -> Result<Gate, EvalError> {
    let [base, teacher, _] = paired([base, teacher, base], only)?;
    let gain: Vec<f64> = base.iter().zip(&teacher).map(|(b, t)| l2_mean(b) - l2_mean(t)).collect();
    let of_base: Vec<f64> = base.iter().map(|b| l2_mean(b)).collect();
    let value = ratio(&base, &gain, &of_base)
        .ok_or_else(|| EvalError::Empty { what: format!("gate {name}: the base has no error") })?;
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
    use crate::planning::{Subject, evaluate};
    use crate::{Protocol, Start};
    use apprentice_core::sample::SampleId;
    use apprentice_core::{Command, EgoState, Trajectory};

    /// Plans that are `off_mps` too fast.
    fn result(off_mps: f64) -> PlanningResult {
        let starts: Vec<Start> = (0..60_u32)
            .map(|i| Start {
                id: SampleId { world: format!("w{}", i / 6), index: i % 6 },
                tier: if i < 30 { "rare" } else { "common" }.into(),
                family: String::new(),
                command: Command::LaneFollow,
                ego: EgoState::default(),
                previous_in_ego: None,
                past_keyframes: 1,
                future: Trajectory::constant_speed(5.0),
                future_steps: 6,
                agents: vec![],
                boundaries_in_ego: None,
            })
            .collect();
        let plans = vec![Trajectory::constant_speed(5.0 + off_mps); 60];
        evaluate(&Protocol::named("valid-starts").unwrap(), "worlds", Subject::default(), &starts, &plans).unwrap()
    }

    #[test]
    fn the_perception_gate_measures_the_share_of_the_way() {
        let (floor, ceiling) = (result(2.0), result(0.4));
        let gate = |off| perception("all", &floor, &result(off), &ceiling, &|_| true).unwrap();
        assert!((gate(0.8).value.mean - 0.75).abs() < 1e-5 && gate(0.8).passed);
        assert!((gate(1.6).value.mean - 0.25).abs() < 1e-5 && !gate(1.6).passed);
        assert!(gate(1.6).line().contains("gate failed"));
    }

    #[test]
    fn the_teacher_gate_asks_for_a_tenth() {
        let only = |row: &Judged| row.tier == "rare";
        assert!(teacher("rare", &result(1.0), &result(0.85), &only).unwrap().passed);
        assert!(!teacher("rare", &result(1.0), &result(0.95), &only).unwrap().passed);
    }
}
