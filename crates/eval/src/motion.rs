//! Motion forecasts of end-to-end models: minADE, minFDE, miss rate and end-to-end prediction accuracy (EPA, Gu et al.
//! 2023, ViP3D) as VAD computes them (`VAD.py`, `compute_motion_metric_vip3d`).
//!
//! Predictions above a score are assigned to recorded agents of the moving classes. Vehicles and pedestrians are scored
//! apart: ADE over the known steps of every matched agent, FDE and hits only where all steps are known,
//! `EPA = (hits − ½ · false positives) / agents with all steps known`.
//!
//! Differences from the published code: a box's forecast positions are taken as they are, not as offsets from its centre;
//! truth is cut by the region of interest in the ego frame instead of the lidar's, which lies 0.99 m further ahead.

use crate::EvalError;
use crate::numeric::assign;
use crate::perception::{
    Frozen, Heading, Named, PredictedBox, ResultKind, SampleBoxes, TruthBox, TruthSample, read_results,
};
use apprentice_core::trajectory::HORIZON_STEPS;
use apprentice_core::{AgentClass, Pose2, geometry::DVec2};
use serde::{Deserialize, Serialize};

/// Name and version of the document.
pub const SCHEMA: &str = "apprentice.motion/1";
/// Name of the protocol.
pub const PROTOCOL: &str = "motion-vad";
/// A result file holds at most this many boxes a sample.
pub(crate) const MAX_BOXES: usize = 500;

/// Values of the protocol.
#[derive(Clone, Debug, Deserialize)]
pub struct Values {
    matching: Matching,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Matching {
    score_above: f64,
    distance_m: f64,
    hit_m: f64,
    false_positive_weight: f64,
    range_ahead_m: f64,
    range_aside_m: f64,
}

/// The protocol.
///
/// # Errors
/// When the compiled-in file was damaged.
pub fn protocol() -> Result<Frozen<Values>, EvalError> {
    Frozen::parse(PROTOCOL, include_str!("../protocols/motion-vad.toml"))
}

/// Figures of a group of classes; null where there is nothing to average.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct GroupMotion {
    /// `vehicle` or `pedestrian`.
    pub name: String,
    /// Recorded agents that count: under `motion-vad` those with all steps known.
    pub agents: usize,
    /// Matched agents: under `motion-vad` those with any step known.
    pub matched: usize,
    /// Matched agents with all steps known.
    pub matched_whole: usize,
    /// Matches whose forecast ends within 2 m: under `motion-vad` of the matched with all steps known.
    pub hits: usize,
    /// Predictions without a match.
    pub false_positives: usize,
    /// Metres.
    pub min_ade_m: Option<f64>,
    /// Metres.
    pub min_fde_m: Option<f64>,
    /// Fraction.
    pub miss_rate: Option<f64>,
    /// End-to-end prediction accuracy.
    pub epa: Option<f64>,
}

/// The document of `apprentice eval prediction --protocol motion-vad|motion-uniad`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MotionResult {
    /// What was judged, and how.
    #[serde(flatten)]
    pub heading: Heading,
    /// Samples judged.
    pub samples: usize,
    /// Vehicles, then pedestrians.
    pub groups: Vec<GroupMotion>,
}

#[derive(Default)]
struct Sums {
    figures: GroupMotion,
    ade: f64,
    fde: f64,
}

/// 0: vehicles, 1: pedestrians.
fn group(class: AgentClass) -> Option<usize> {
    match class {
        AgentClass::Car | AgentClass::Truck | AgentClass::Bus | AgentClass::Trailer => Some(0),
        AgentClass::Pedestrian => Some(1),
        _ => None,
    }
}

fn moving(class: AgentClass) -> bool {
    group(class).is_some() || matches!(class, AgentClass::Motorcycle | AgentClass::Bicycle)
}

/// Judge a detection result file whose boxes also carry `futures`: a list of modes, each six positions in the world.
///
/// # Errors
/// When the file is not one, or not of these samples, or a forecast has another number of steps.
pub fn evaluate(named: Named, bytes: &[u8], truth: &[TruthSample]) -> Result<MotionResult, EvalError> {
    let protocol = protocol()?;
    let predictions = read_results(&named.results, bytes, ResultKind::Detection, MAX_BOXES, truth)?;
    check_futures(&named.results, truth, &predictions, HORIZON_STEPS)?;
    Ok(judge(&protocol, named, truth, &predictions))
}

/// Every box must have modes of so many finite positions.
pub(crate) fn check_futures(
    file: &str,
    truth: &[TruthSample],
    predictions: &[SampleBoxes],
    steps: usize,
) -> Result<(), EvalError> {
    for (place, boxes) in predictions {
        for (i, b) in boxes.iter().enumerate() {
            let whole = |mode: &Vec<[f64; 2]>| mode.len() == steps && mode.iter().flatten().all(|v| v.is_finite());
            if b.futures.is_empty() || !b.futures.iter().all(whole) {
                let field = format!("results.{}[{i}].futures", truth[*place].token);
                return Err(EvalError::field(file, field, format!("expected modes of {steps} finite positions")));
            }
        }
    }
    Ok(())
}

/// Judge predictions that were read before.
pub fn judge(
    protocol: &Frozen<Values>,
    named: Named,
    truth: &[TruthSample],
    predictions: &[SampleBoxes],
) -> MotionResult {
    let matching = &protocol.values.matching;
    let mut sums = [Sums::default(), Sums::default()];
    for (place, boxes) in predictions {
        judge_sample(&truth[*place], boxes, matching, &mut sums);
    }
    let groups = sums.into_iter().zip(["vehicle", "pedestrian"]).map(|(sums, name)| {
        let figures = GroupMotion { name: name.into(), ..sums.figures };
        let over = |sum: f64, n: usize| (n > 0).then(|| sum / n as f64);
        let missed = (figures.matched_whole - figures.hits) as f64;
        let good = figures.hits as f64 - matching.false_positive_weight * figures.false_positives as f64;
        GroupMotion {
            min_ade_m: over(sums.ade, figures.matched),
            min_fde_m: over(sums.fde, figures.matched_whole),
            miss_rate: over(missed, figures.matched_whole),
            epa: over(good, figures.agents),
            ..figures
        }
    });
    MotionResult { heading: Heading::new(SCHEMA, protocol, named), samples: truth.len(), groups: groups.collect() }
}

fn judge_sample(sample: &TruthSample, boxes: &[PredictedBox], matching: &Matching, sums: &mut [Sums; 2]) {
    let ego = Pose2::new(sample.ego[0], sample.ego[1], sample.ego_yaw_rad);
    let near = |b: &&TruthBox| {
        let p = ego.to_local(DVec2::new(b.bounds.center[0], b.bounds.center[1]));
        p.x.abs() <= matching.range_ahead_m && p.y.abs() <= matching.range_aside_m
    };
    let truth: Vec<&TruthBox> = sample.boxes.iter().filter(|b| b.points > 0).filter(near).collect();
    let predicted: Vec<&PredictedBox> = boxes.iter().filter(|b| b.score > matching.score_above).collect();
    let cost = |p: &PredictedBox, t: &TruthBox| {
        let distance = p.bounds.distance_m(&t.bounds);
        let allowed = moving(p.class) && moving(t.class) && distance <= matching.distance_m;
        if allowed { distance } else { f64::NAN }
    };
    let costs: Vec<Vec<f64>> = predicted.iter().map(|p| truth.iter().map(|t| cost(p, t)).collect()).collect();
    let mut match_of = vec![None; truth.len()];
    for (p, t) in assign(&costs, truth.len()).into_iter().enumerate() {
        match t {
            Some(t) => match_of[t] = Some(p),
            None => {
                if let Some(group) = group(predicted[p].class) {
                    sums[group].figures.false_positives += 1;
                }
            }
        }
    }
    for (t, matched) in truth.iter().zip(match_of) {
        let Some(group) = group(t.class) else { continue };
        let Sums { figures, ade, fde } = &mut sums[group];
        let steps = t.future.len().min(HORIZON_STEPS);
        let whole = steps == HORIZON_STEPS;
        figures.agents += usize::from(whole);
        let Some(p) = matched.filter(|_| steps > 0) else { continue };
        let distances = |mode: &Vec<[f64; 2]>| -> Vec<f64> {
            mode.iter().zip(&t.future).map(|(p, q)| (p[0] - q[0]).hypot(p[1] - q[1])).collect()
        };
        let modes: Vec<Vec<f64>> = predicted[p].futures.iter().map(distances).collect();
        let least = |of: &dyn Fn(&Vec<f64>) -> f64| modes.iter().map(of).fold(f64::INFINITY, f64::min);
        figures.matched += 1;
        *ade += least(&|d| d.iter().sum::<f64>() / steps as f64);
        if whole {
            let end = least(&|d| d[HORIZON_STEPS - 1]);
            figures.matched_whole += 1;
            figures.hits += usize::from(end <= matching.hit_m);
            *fde += end;
        }
    }
}
