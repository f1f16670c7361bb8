//! nuScenes detection: mean average precision, five true-positive errors and the nuScenes detection score (NDS), as
//! nuscenes-devkit 1.2.0 computes them (`eval/detection`, configuration `detection_cvpr_2019`).
//!
//! Per class and distance, predictions are taken by falling score over the whole data set; each takes the nearest box of
//! its class in its sample that is still free, if it lies closer than the distance. Precision and score are read at 101
//! recalls; the errors of the matches at 2 m are running means read at the scores of those recalls.

use crate::EvalError;
use crate::numeric::{interpolate, known_mean, linspace, mean};
use crate::perception::{
    Frozen, Heading, Named, PredictedBox, Ranges, ResultKind, SampleBoxes, TruthBox, TruthSample, read_results,
};
use apprentice_core::AgentClass;
use serde::{Deserialize, Serialize};
use std::f64::consts::{PI, TAU};

/// Name and version of the document.
pub const SCHEMA: &str = "apprentice.detection/1";
/// Name of the protocol.
pub const PROTOCOL: &str = "detection-cvpr-2019";
/// Recalls at which curves are read.
const RECALLS: usize = 101;

/// Values of the protocol.
#[derive(Clone, Debug, Deserialize)]
pub struct Values {
    range_m: Ranges,
    matching: Matching,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Matching {
    distances_m: Vec<f64>,
    distance_of_errors_m: f64,
    min_recall: f64,
    min_precision: f64,
    max_boxes_per_sample: usize,
    mean_ap_weight: f64,
}

/// The protocol.
///
/// # Errors
/// When the compiled-in file was damaged.
pub fn protocol() -> Result<Frozen<Values>, EvalError> {
    Frozen::parse(PROTOCOL, include_str!("../protocols/detection-cvpr-2019.toml"))
}

/// The five errors of matched boxes; `None` where a class has no such property.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Errors {
    /// Distance of centres in the plane, metres.
    pub translation_m: Option<f64>,
    /// One less the overlap of the aligned boxes.
    pub scale: Option<f64>,
    /// Difference of headings, radians.
    pub orientation_rad: Option<f64>,
    /// Difference of velocities in the plane, m/s.
    pub velocity_mps: Option<f64>,
    /// One less the accuracy of attributes.
    pub attribute: Option<f64>,
}

impl Errors {
    /// In the order of the fields.
    pub fn all(&self) -> [Option<f64>; 5] {
        [self.translation_m, self.scale, self.orientation_rad, self.velocity_mps, self.attribute]
    }

    fn from_all([translation_m, scale, orientation_rad, velocity_mps, attribute]: [Option<f64>; 5]) -> Self {
        Self { translation_m, scale, orientation_rad, velocity_mps, attribute }
    }
}

/// Figures of one class.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClassDetection {
    /// nuScenes' name of the class.
    pub name: String,
    /// Recorded boxes that count.
    pub truth_boxes: usize,
    /// Predicted boxes that count.
    pub predicted_boxes: usize,
    /// Mean of `ap_by_distance`.
    pub ap: f64,
    /// Average precision at 0.5, 1, 2 and 4 m.
    pub ap_by_distance: Vec<f64>,
    /// Errors of matches at 2 m.
    pub errors: Errors,
}

/// The document of `apprentice eval detection`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DetectionResult {
    /// What was judged, and how.
    #[serde(flatten)]
    pub heading: Heading,
    /// Samples judged.
    pub samples: usize,
    /// Mean over classes.
    pub mean_ap: f64,
    /// nuScenes detection score.
    pub nd_score: f64,
    /// Means over the classes that have the property.
    pub errors: Errors,
    /// By class.
    pub classes: Vec<ClassDetection>,
}

/// Judge a result file.
///
/// # Errors
/// When the file is not one, or not of these samples.
pub fn evaluate(named: Named, bytes: &[u8], truth: &[TruthSample]) -> Result<DetectionResult, EvalError> {
    let protocol = protocol()?;
    let limit = protocol.values.matching.max_boxes_per_sample;
    let predictions = read_results(&named.results, bytes, ResultKind::Detection, limit, truth)?;
    Ok(judge(&protocol, named, truth, &predictions))
}

/// Judge predictions that were read before.
pub fn judge(
    protocol: &Frozen<Values>,
    named: Named,
    truth: &[TruthSample],
    predictions: &[SampleBoxes],
) -> DetectionResult {
    let Values { range_m, matching } = &protocol.values;
    let classes: Vec<ClassDetection> =
        range_m.classes().map(|class| judge_class(class, range_m, matching, truth, predictions)).collect();
    let mean_ap = mean(&classes.iter().map(|c| c.ap).collect::<Vec<_>>());
    let errors: [Option<f64>; 5] = std::array::from_fn(|k| known_mean(classes.iter().map(|c| c.errors.all()[k])));
    let scores: f64 = errors.iter().flatten().map(|e| (1.0 - e).max(0.0)).sum();
    DetectionResult {
        heading: Heading::new(SCHEMA, protocol, named),
        samples: truth.len(),
        mean_ap,
        nd_score: (matching.mean_ap_weight * mean_ap + scores) / (matching.mean_ap_weight + errors.len() as f64),
        errors: Errors::from_all(errors),
        classes,
    }
}

fn judge_class(
    class: AgentClass,
    ranges: &Ranges,
    matching: &Matching,
    truth: &[TruthSample],
    predictions: &[SampleBoxes],
) -> ClassDetection {
    let counts =
        |sample: &TruthSample, b: &TruthBox| b.class == class && ranges.keep(sample, class, &b.bounds, b.points.into());
    let (boxes, first) = by_sample(truth, counts);
    let order =
        by_score(predictions, |place, p| p.class == class && ranges.keep(&truth[place], class, &p.bounds, p.points));
    let predicted_boxes = order.len();
    let errors_of = |a: &TruthBox, b: &PredictedBox, distance: f64| Some(match_errors(class, a, b, distance));
    let curves = |distance_m: f64| accumulate(&boxes, &first, &order, distance_m, errors_of);
    let ap_by_distance: Vec<f64> = matching
        .distances_m
        .iter()
        .map(|&distance_m| {
            curves(distance_m).map_or(0.0, |c| c.average_precision(matching.min_recall, matching.min_precision))
        })
        .collect();
    let at_errors = curves(matching.distance_of_errors_m);
    let errors = std::array::from_fn(|k| {
        let applies = match class {
            AgentClass::TrafficCone => k < 2,
            AgentClass::Barrier => k < 3,
            _ => true,
        };
        applies.then(|| at_errors.as_ref().map_or(1.0, |c| c.error(k, matching.min_recall)))
    });
    ClassDetection {
        name: class.name().into(),
        truth_boxes: boxes.len(),
        predicted_boxes,
        ap: mean(&ap_by_distance),
        ap_by_distance,
        errors: Errors::from_all(errors),
    }
}

/// Recorded boxes that count, sample after sample, and where each sample's begin: `first[s]..first[s + 1]`.
pub(crate) fn by_sample(
    truth: &[TruthSample],
    counts: impl Fn(&TruthSample, &TruthBox) -> bool,
) -> (Vec<&TruthBox>, Vec<usize>) {
    let (mut boxes, mut first) = (Vec::new(), vec![0]);
    for sample in truth {
        boxes.extend(sample.boxes.iter().filter(|b| counts(sample, b)));
        first.push(boxes.len());
    }
    (boxes, first)
}

/// Predictions that count, by falling score; of equal scores the later one first.
pub(crate) fn by_score(
    predictions: &[SampleBoxes],
    counts: impl Fn(usize, &PredictedBox) -> bool,
) -> Vec<(usize, &PredictedBox)> {
    let mut order: Vec<(usize, &PredictedBox)> = Vec::new();
    for (place, predicted) in predictions {
        order.extend(predicted.iter().filter(|p| counts(*place, p)).map(|p| (*place, p)));
    }
    order.reverse();
    order.sort_by(|(_, a), (_, b)| b.score.partial_cmp(&a.score).unwrap_or(std::cmp::Ordering::Equal));
    order
}

/// Curves over the 101 recalls.
pub(crate) struct Curves<const K: usize> {
    /// Predictions that were matched.
    pub hits: usize,
    precision: Vec<f64>,
    confidence: Vec<f64>,
    errors: [Vec<f64>; K],
}

/// First recall that counts.
fn first_recall(min_recall: f64) -> usize {
    (100.0 * min_recall).round() as usize + 1
}

impl<const K: usize> Curves<K> {
    /// Mean of what precision exceeds the minimum by, scaled to 1.
    fn average_precision(&self, min_recall: f64, min_precision: f64) -> f64 {
        let above: Vec<f64> =
            self.precision[first_recall(min_recall)..].iter().map(|p| (p - min_precision).max(0.0)).collect();
        mean(&above) / (1.0 - min_precision)
    }

    /// Mean of an error from the first recall that counts to the last that was reached; 1 when none was.
    pub fn error(&self, which: usize, min_recall: f64) -> f64 {
        let first = first_recall(min_recall);
        let last = self.confidence.iter().rposition(|c| *c != 0.0).unwrap_or(0);
        if last < first { 1.0 } else { mean(&self.errors[which][first..=last]) }
    }
}

/// Match at one distance. A pair without errors is refused, and its recorded box stays free. `None` without recorded boxes or
/// without a match.
pub(crate) fn accumulate<const K: usize>(
    boxes: &[&TruthBox],
    first: &[usize],
    order: &[(usize, &PredictedBox)],
    distance_m: f64,
    mut errors_of: impl FnMut(&TruthBox, &PredictedBox, f64) -> Option<[Option<f64>; K]>,
) -> Option<Curves<K>> {
    let mut taken = vec![false; boxes.len()];
    let (mut hits, mut recall, mut precision) = (0_usize, Vec::new(), Vec::new());
    let (mut scores_of_matches, mut errors) = (Vec::new(), [const { Vec::new() }; K]);
    for (count, (sample, predicted)) in order.iter().enumerate() {
        let mut nearest: Option<(f64, usize)> = None;
        for at in first[*sample]..first[*sample + 1] {
            let distance = boxes[at].bounds.distance_m(&predicted.bounds);
            if !taken[at] && nearest.is_none_or(|(least, _)| distance < least) {
                nearest = Some((distance, at));
            }
        }
        let near = nearest.filter(|(distance, _)| *distance < distance_m);
        if let Some((at, found)) = near.and_then(|(d, at)| Some((at, errors_of(boxes[at], predicted, d)?))) {
            taken[at] = true;
            hits += 1;
            scores_of_matches.push(predicted.score);
            errors.iter_mut().zip(found).for_each(|(list, e)| list.push(e));
        }
        recall.push(hits as f64 / boxes.len() as f64);
        precision.push(hits as f64 / (count + 1) as f64);
    }
    if hits == 0 {
        return None;
    }
    let scores: Vec<f64> = order.iter().map(|(_, p)| p.score).collect();
    let recalls = linspace(0.0, 1.0, RECALLS);
    let read = |values: &[f64]| recalls.iter().map(|r| interpolate(*r, &recall, values, 0.0)).collect::<Vec<_>>();
    let (precision, confidence) = (read(&precision), read(&scores));
    // Interpolation wants ascending scores.
    scores_of_matches.reverse();
    let errors = errors.map(|list| {
        let mut running = running_mean(&list);
        running.reverse();
        let last = running[running.len() - 1];
        confidence.iter().map(|c| interpolate(*c, &scores_of_matches, &running, last)).collect()
    });
    Some(Curves { hits, precision, confidence, errors })
}

/// Running mean of what is known; ones when nothing is.
fn running_mean(values: &[Option<f64>]) -> Vec<f64> {
    if values.iter().all(Option::is_none) {
        return vec![1.0; values.len()];
    }
    let (mut sum, mut count) = (0.0, 0_usize);
    let mut out = Vec::with_capacity(values.len());
    for value in values {
        if let Some(value) = value {
            sum += value;
            count += 1;
        }
        out.push(if count == 0 { 0.0 } else { sum / count as f64 });
    }
    out
}

/// The five errors of one match, in the order of [`Errors`].
fn match_errors(class: AgentClass, truth: &TruthBox, predicted: &PredictedBox, distance: f64) -> [Option<f64>; 5] {
    let (a, b) = (truth.bounds.size_wlh_m, predicted.bounds.size_wlh_m);
    let volume = |s: [f64; 3]| s[0] * s[1] * s[2];
    let shared = volume(std::array::from_fn(|i| a[i].min(b[i])));
    let overlap = shared / (volume(a) + volume(b) - shared);
    // A barrier looks the same from behind.
    let period = if class == AgentClass::Barrier { PI } else { TAU };
    let turn = (truth.bounds.yaw_rad() - predicted.bounds.yaw_rad() + period / 2.0).rem_euclid(period) - period / 2.0;
    let velocity = truth.velocity_mps.map(|[x, y]| {
        let (dx, dy) = (predicted.velocity_mps[0] - x, predicted.velocity_mps[1] - y);
        (dx * dx + dy * dy).sqrt()
    });
    let attribute = truth.attribute.map(|known| if predicted.attribute == Some(known) { 0.0 } else { 1.0 });
    [Some(distance), Some(1.0 - overlap), Some(turn.abs()), velocity, attribute]
}
