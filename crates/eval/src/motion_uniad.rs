//! Motion forecasts of end-to-end models as UniAD computes them (`eval_utils/nuscenes_eval_motion.py`: its standard mode for
//! minADE, minFDE and miss rate, its mode `epa`).
//!
//! Another matching than VAD's ([`crate::motion`]): no score is cut off and nothing is assigned at large. By falling score
//! each prediction takes the nearest free box of its group, as in nuScenes detection, and errors are read along the recall
//! curve. For `EPA = (hits − ½ · false positives) / (agents + 1e-5)` the matching is done again, and a prediction takes its
//! box only if the best mode ends within 2 m; false positives are those of the first matching. Two oddities are kept, since
//! the published tables have them: a match whose box has no recorded future counts with errors of zero, and a group without
//! any match has an EPA of zero, however many false positives it has.
//!
//! Difference from the published code: forecasts are positions in the world, not in the frame of the lidar, whose tilt
//! shortens distances by less than a thousandth.

use crate::EvalError;
use crate::detection::{accumulate, by_sample, by_score};
use crate::motion::{GroupMotion, MAX_BOXES, MotionResult, SCHEMA, check_futures};
use crate::perception::{
    Frozen, Heading, Named, PredictedBox, Ranges, ResultKind, SampleBoxes, TruthBox, TruthSample, read_results,
};
use apprentice_core::AgentClass;
use serde::Deserialize;

/// Name of the protocol.
pub const PROTOCOL: &str = "motion-uniad";

/// Values of the protocol.
#[derive(Clone, Debug, Deserialize)]
pub struct Values {
    range_m: Ranges,
    matching: Matching,
    horizon: Horizon,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Matching {
    distance_m: f64,
    hit_m: f64,
    min_recall: f64,
    false_positive_weight: f64,
    epa_epsilon: f64,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Horizon {
    seconds: u32,
    steps_per_second: u32,
    slack_s: f64,
}

impl Values {
    /// Steps of a forecast, and how much later than its box the last recorded annotation may be, seconds.
    pub fn future(&self) -> (usize, f64) {
        let Horizon { seconds, steps_per_second, slack_s } = self.horizon;
        ((seconds * steps_per_second) as usize, f64::from(seconds) + slack_s)
    }
}

/// The protocol.
///
/// # Errors
/// When the compiled-in file was damaged.
pub fn protocol() -> Result<Frozen<Values>, EvalError> {
    Frozen::parse(PROTOCOL, include_str!("../protocols/motion-uniad.toml"))
}

/// The group of a class, as the class whose range it has.
fn group(class: AgentClass) -> Option<AgentClass> {
    match class {
        AgentClass::Barrier | AgentClass::TrafficCone => None,
        AgentClass::Pedestrian => Some(AgentClass::Pedestrian),
        _ => Some(AgentClass::Car),
    }
}

/// Judge a detection result file whose boxes also carry `futures`: a list of modes, each twelve positions in the world. The
/// truth's futures are the next annotations of each track, as far as [`Values::future`] says.
///
/// # Errors
/// When the file is not one, or not of these samples, or a forecast has another number of steps.
pub fn evaluate(named: Named, bytes: &[u8], truth: &[TruthSample]) -> Result<MotionResult, EvalError> {
    let protocol = protocol()?;
    let predictions = read_results(&named.results, bytes, ResultKind::Detection, MAX_BOXES, truth)?;
    check_futures(&named.results, truth, &predictions, protocol.values.future().0)?;
    let groups = [(AgentClass::Car, "vehicle"), (AgentClass::Pedestrian, "pedestrian")];
    let groups = groups.map(|(class, name)| judge_group(class, name, &protocol.values, truth, &predictions));
    Ok(MotionResult { heading: Heading::new(SCHEMA, &protocol, named), samples: truth.len(), groups: groups.into() })
}

fn judge_group(
    class: AgentClass,
    name: &str,
    values: &Values,
    truth: &[TruthSample],
    predictions: &[SampleBoxes],
) -> GroupMotion {
    let Values { range_m, matching, .. } = values;
    let steps = values.future().0;
    let (boxes, first) = by_sample(truth, |sample, b| {
        group(b.class) == Some(class) && range_m.keep(sample, class, &b.bounds, b.points.into())
    });
    let order = by_score(predictions, |place, p| {
        group(p.class) == Some(class) && range_m.keep(&truth[place], class, &p.bounds, p.points)
    });
    let errors =
        |truth: &TruthBox, predicted: &PredictedBox| errors_of(&truth.future, &predicted.futures, matching.hit_m);
    let mut matched_whole = 0;
    let near = accumulate(&boxes, &first, &order, matching.distance_m, |t, p, _| {
        matched_whole += usize::from(t.future.len() >= steps);
        Some(errors(t, p).map(Some))
    });
    let ends_near = accumulate(&boxes, &first, &order, matching.distance_m, |t, p, _| {
        (!t.future.is_empty() && errors(t, p)[1] < matching.hit_m).then_some([])
    });
    let matched = near.as_ref().map_or(0, |curves| curves.hits);
    let hits = ends_near.map_or(0, |curves| curves.hits);
    let false_positives = order.len() - matched;
    let error = |k: usize| near.as_ref().map_or(1.0, |curves| curves.error(k, matching.min_recall));
    let good = if matched == 0 { 0.0 } else { hits as f64 - matching.false_positive_weight * false_positives as f64 };
    GroupMotion {
        name: name.into(),
        agents: boxes.len(),
        matched,
        matched_whole,
        hits,
        false_positives,
        min_ade_m: Some(error(0)),
        min_fde_m: Some(error(1)),
        miss_rate: Some(error(2)),
        epa: Some(good / (boxes.len() as f64 + matching.epa_epsilon)),
    }
}

/// Least average distance, least distance at the last recorded step, and 1 if every mode is too far off somewhere.
fn errors_of(future: &[[f64; 2]], modes: &[Vec<[f64; 2]>], far_m: f64) -> [f64; 3] {
    if future.is_empty() {
        return [0.0; 3];
    }
    let mut least = [f64::INFINITY; 3];
    for mode in modes {
        let (mut sum, mut last, mut most) = (0.0, 0.0, 0.0_f64);
        for (p, q) in mode.iter().zip(future) {
            last = (p[0] - q[0]).hypot(p[1] - q[1]);
            sum += last;
            most = most.max(last);
        }
        for (least, found) in least.iter_mut().zip([sum / future.len() as f64, last, most]) {
            *least = least.min(found);
        }
    }
    [least[0], least[1], f64::from(u8::from(least[2] > far_m))]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_those_of_the_best_mode_for_each() {
        let future = [[1.0, 0.0], [2.0, 0.0]];
        // The first ends nearer, the second is nearer on the way.
        let modes = [vec![[1.0, 3.0], [2.0, 0.5], [0.0; 2]], vec![[1.0, 0.0], [2.0, 1.0], [0.0; 2]]];
        assert_eq!(errors_of(&future, &modes, 2.0), [0.5, 0.5, 0.0]);
        assert_eq!(errors_of(&future, &modes[..1], 2.0), [1.75, 0.5, 1.0]);
        assert_eq!(errors_of(&[], &modes, 2.0), [0.0; 3]);
    }
}
