//! Vector-map AP by chamfer distance, after MapTR's and VAD's `map_utils/{mean_ap,tpfp,tpfp_chamfer}.py`.
//!
//! Lines are resampled to 100 points at equal distances. Two lines are `½ (mean_i min_j + mean_j min_i)` apart, if their
//! flat-ended 2 m buffers meet. By falling score, a prediction takes the ground-truth line nearest to it: a hit when that
//! is within the threshold and still free, else a false positive (there is no second choice). AP is the area under the
//! envelope of precision over recall; the mean is over classes and thresholds.

use crate::EvalError;
use crate::sheet::{Metric, Part, Row, Rules, Sheet};
use apprentice_core::geometry::DVec2;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// Classes, in the order of the field's tables, and their names there.
pub const CLASSES: [(&str, &str); 3] = [("ped_crossing", "AP ped"), ("divider", "AP div"), ("boundary", "AP bound")];
/// Metres.
pub const THRESHOLDS_M: [f64; 3] = [0.5, 1.0, 1.5];
const POINTS: usize = 100;
const BUFFER_M: f64 = 2.0;
/// A corner's mitre is cut off beyond this many widths.
const MITRE_LIMIT: f64 = 5.0;

/// A line of a map.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Line {
    /// One of [`CLASSES`].
    pub class: String,
    /// Metres, at least two points.
    pub points: Vec<[f64; 2]>,
    /// Confidence, of a prediction.
    #[serde(default)]
    pub score: Option<f64>,
}

/// Lines by frame.
pub type Frames = BTreeMap<String, Vec<Line>>;

/// Read `{"frames": {"<token>": [{"class", "points", "score"}]}}`.
///
/// # Errors
/// Names the line that is not one; a prediction needs a score.
pub fn read(file: &str, text: &str, predicted: bool) -> Result<Frames, EvalError> {
    let document: Value = crate::json::read(file, text)?;
    let frames = document.get("frames").and_then(Value::as_object);
    let frames = frames.ok_or_else(|| EvalError::field(file, "frames", "expected an object of frames"))?;
    let mut read = Frames::new();
    for (token, lines) in frames {
        let lines = lines.as_array().ok_or_else(|| EvalError::field(file, token, "expected a list of lines"))?;
        let lines = lines.iter().enumerate().map(|(i, value)| {
            let at = format!("{token}[{i}]");
            let line = Line::deserialize(value).map_err(|e| EvalError::field(file, &at, e.to_string()))?;
            let wrong = |field: &str, message: &str| Err(EvalError::field(file, format!("{at}.{field}"), message));
            if !CLASSES.iter().any(|(name, _)| *name == line.class) {
                return wrong("class", "expected ped_crossing, divider or boundary");
            }
            if line.points.len() < 2 || line.points.iter().flatten().any(|v| !v.is_finite() || v.abs() > 1e6) {
                return wrong("points", "expected at least two points of finite numbers");
            }
            if predicted && !line.score.is_some_and(f64::is_finite) {
                return wrong("score", "expected a number: this is a prediction");
            }
            Ok(line)
        });
        read.insert(token.clone(), lines.collect::<Result<_, _>>()?);
    }
    if read.is_empty() { Err(EvalError::Empty { what: file.into() }) } else { Ok(read) }
}

/// A hundred points at equal distances along a line.
fn resample(points: &[[f64; 2]]) -> Vec<DVec2> {
    let points: Vec<DVec2> = points.iter().map(|p| DVec2::from_array(*p)).collect();
    let lengths: Vec<f64> = points.windows(2).map(|w| w[0].distance(w[1])).collect();
    let step = lengths.iter().sum::<f64>() / (POINTS - 1) as f64;
    let (mut segment, mut before) = (0, 0.0);
    (0..POINTS)
        .map(|k| {
            let along = step * k as f64;
            while segment + 1 < lengths.len() && before + lengths[segment] < along {
                before += lengths[segment];
                segment += 1;
            }
            let share =
                if lengths[segment] > 0.0 { ((along - before) / lengths[segment]).clamp(0.0, 1.0) } else { 0.0 };
            points[segment].lerp(points[segment + 1], share)
        })
        .collect()
}

fn chamfer_m(a: &[DVec2], b: &[DVec2]) -> f64 {
    let nearest = |from: &[DVec2], to: &[DVec2]| {
        let least = |p: &DVec2| to.iter().map(|q| p.distance_squared(*q)).fold(f64::MAX, f64::min).sqrt();
        from.iter().map(least).sum::<f64>() / from.len() as f64
    };
    (nearest(a, b) + nearest(b, a)) / 2.0
}

/// The flat-ended, mitred buffer of a line, as convex pieces.
fn buffer(points: &[DVec2]) -> Vec<Vec<DVec2>> {
    let mut line: Vec<DVec2> = Vec::with_capacity(points.len());
    for point in points {
        if line.last().is_none_or(|last| last.distance(*point) > 1e-9) {
            line.push(*point);
        }
    }
    let side = |a: DVec2, b: DVec2| (b - a).normalize().perp() * BUFFER_M;
    let mut pieces = Vec::new();
    for w in line.windows(2) {
        let out = side(w[0], w[1]);
        pieces.push(vec![w[0] + out, w[0] - out, w[1] - out, w[1] + out]);
    }
    for w in line.windows(3) {
        let (first, second) = (side(w[0], w[1]), side(w[1], w[2]));
        let turn = first.perp_dot(second);
        if turn.abs() < 1e-12 {
            continue;
        }
        // The corner opens on the outer side of the turn.
        let (first, second) = if turn > 0.0 { (-first, -second) } else { (first, second) };
        let middle = first + second;
        let mut piece = vec![w[1], w[1] + first];
        if middle.length_squared() > 1e-12 {
            let reach = 2.0 * BUFFER_M / middle.length();
            if reach <= MITRE_LIMIT {
                piece.push(w[1] + middle.normalize() * BUFFER_M * reach);
            }
        }
        piece.push(w[1] + second);
        pieces.push(piece);
    }
    pieces
}

/// Whether two convex shapes share a point (separating axes over the edges of both).
fn meet(a: &[DVec2], b: &[DVec2]) -> bool {
    let apart = |axis: DVec2| {
        let span = |shape: &[DVec2]| {
            shape.iter().map(|p| p.dot(axis)).fold((f64::MAX, f64::MIN), |(low, high), v| (low.min(v), high.max(v)))
        };
        let ((a_low, a_high), (b_low, b_high)) = (span(a), span(b));
        a_high < b_low || b_high < a_low
    };
    let edges = |shape: &[DVec2]| {
        (0..shape.len()).map(|i| (shape[(i + 1) % shape.len()] - shape[i]).perp()).collect::<Vec<_>>()
    };
    !edges(a).into_iter().chain(edges(b)).any(apart)
}

fn buffers_meet(a: &[DVec2], b: &[DVec2]) -> bool {
    let (a, b) = (buffer(a), buffer(b));
    a.iter().any(|x| b.iter().any(|y| meet(x, y)))
}

/// Whether each prediction of a frame, in the order given, is a hit at a threshold; `order` is by falling score.
fn hits(distances: &[Vec<f64>], order: &[usize], threshold_m: f64) -> Vec<bool> {
    let mut taken = vec![false; distances.first().map_or(0, Vec::len)];
    let mut hit = vec![false; distances.len()];
    for &i in order {
        let nearest = distances[i].iter().enumerate().min_by(|a, b| a.1.total_cmp(b.1));
        if let Some((j, _)) = nearest.filter(|(j, d)| **d <= threshold_m && !taken[*j]) {
            taken[j] = true;
            hit[i] = true;
        }
    }
    hit
}

/// Area under the envelope of precision over recall. `hits` are by falling score.
fn average_precision(hits: impl Iterator<Item = bool>, lines: usize) -> f64 {
    let mut curve: Vec<(f64, f64)> = Vec::new();
    let mut found = 0;
    for (i, hit) in hits.enumerate() {
        found += usize::from(hit);
        curve.push((found as f64 / lines as f64, found as f64 / (i + 1) as f64));
    }
    let (mut area, mut best) = (0.0, 0.0_f64);
    for k in (0..curve.len()).rev() {
        best = best.max(curve[k].1);
        let before = if k == 0 { 0.0 } else { curve[k - 1].0 };
        area += (curve[k].0 - before) * best;
    }
    area
}

/// Score predicted lines.
///
/// # Errors
/// When predictions are for a frame without an entry in the ground truth.
pub fn score(
    (file, text): (&str, &str),
    truth: &Frames,
    (subject, predicted): (&str, &Frames),
) -> Result<Sheet, EvalError> {
    if let Some(token) = predicted.keys().find(|token| !truth.contains_key(*token)) {
        return Err(EvalError::field(subject, token, "is not a frame of the ground truth"));
    }
    let mut sheet = Sheet::new(&Rules::named("vector-map")?, subject, file, text.as_bytes());
    sheet.coverage.asked = truth.len();
    for token in truth.keys() {
        match predicted.contains_key(token) {
            true => sheet.coverage.answered += 1,
            false => sheet.coverage.miss("no predictions for the frame"),
        }
    }
    let mut f1_of_frame: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for (class, name) in CLASSES {
        let mut lines = 0;
        // (score, hit at each threshold), in the order of the frames
        let mut found: Vec<(f64, [bool; 3])> = Vec::new();
        for (token, truth) in truth {
            let of = |all: &[Line]| -> Vec<Line> { all.iter().filter(|l| l.class == class).cloned().collect() };
            let truth = of(truth);
            let said = of(predicted.get(token).map_or(&[][..], Vec::as_slice));
            lines += truth.len();
            let points = |lines: &[Line]| lines.iter().map(|l| resample(&l.points)).collect::<Vec<_>>();
            let (truth_points, said_points) = (points(&truth), points(&said));
            let distance = |a: &Vec<DVec2>, b: &Vec<DVec2>| {
                let d = chamfer_m(a, b);
                // Only lines within reach can hit, so only their buffers matter.
                if d <= THRESHOLDS_M[2] && !buffers_meet(a, b) { f64::INFINITY } else { d }
            };
            let distances: Vec<Vec<f64>> =
                said_points.iter().map(|a| truth_points.iter().map(|b| distance(a, b)).collect()).collect();
            let scores: Vec<f64> = said.iter().map(|l| l.score.unwrap_or(0.0)).collect();
            let mut order: Vec<usize> = (0..said.len()).collect();
            order.sort_by(|a, b| scores[*b].total_cmp(&scores[*a]));
            let by_threshold = THRESHOLDS_M.map(|t| hits(&distances, &order, t));
            found.extend((0..said.len()).map(|i| (scores[i], [0, 1, 2].map(|k| by_threshold[k][i]))));
            let correct = by_threshold[1].iter().filter(|hit| **hit).count() as f64;
            let all = (truth.len() + said.len()) as f64;
            f1_of_frame.entry(token).or_default().push(if all == 0.0 { 1.0 } else { 2.0 * correct / all });
        }
        found.sort_by(|a, b| b.0.total_cmp(&a.0));
        let ap = |k: usize| average_precision(found.iter().map(|(_, hit)| hit[k]), lines);
        let metrics = THRESHOLDS_M.iter().enumerate().map(|(k, t)| {
            let name = format!("AP@{t} m");
            if lines == 0 { Metric::absent(name) } else { Metric::new(name, ap(k)) }
        });
        let metrics: Vec<Metric> = metrics.collect();
        let mean: Option<f64> = metrics.iter().map(|m| m.value).sum::<Option<f64>>().map(|sum| sum / 3.0);
        sheet.metrics.push(mean.map_or_else(|| Metric::absent(name), |mean| Metric::new(name, mean)));
        sheet.parts.push(Part { name: class.into(), items: lines, metrics });
    }
    let known: Vec<f64> = sheet.metrics.iter().filter_map(|m| m.value).collect();
    if known.len() < CLASSES.len() {
        sheet.remarks.push("mAP is over the classes that the ground truth has".into());
    }
    sheet.metrics.push(if known.is_empty() {
        Metric::absent("mAP")
    } else {
        Metric::new("mAP", known.iter().sum::<f64>() / known.len() as f64)
    });
    // AP belongs to the whole set; frames are paired by their F1 at 1 m.
    sheet.columns = CLASSES.iter().map(|(class, _)| format!("F1@1 m {class}")).collect();
    sheet.rows = f1_of_frame
        .into_iter()
        .map(|(token, values)| Row { id: token.into(), cluster: token.into(), values })
        .collect();
    Ok(sheet)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(lines: &[(&str, Vec<[f64; 2]>, f64)]) -> Frames {
        let line = |(class, points, score): &(&str, Vec<[f64; 2]>, f64)| Line {
            class: (*class).into(),
            points: points.clone(),
            score: Some(*score),
        };
        [("f".to_string(), lines.iter().map(line).collect())].into()
    }

    fn straight(y: f64) -> Vec<[f64; 2]> {
        vec![[0.0, y], [5.0, y], [20.0, y]]
    }

    #[test]
    fn distances_by_hand() {
        let (a, b) = (resample(&straight(0.0)), resample(&straight(1.25)));
        assert_eq!((a.len(), a[0], a[99]), (100, DVec2::ZERO, DVec2::new(20.0, 0.0)));
        assert!((chamfer_m(&a, &b) - 1.25).abs() < 1e-12 && buffers_meet(&a, &b));
        assert!(!buffers_meet(&a, &resample(&straight(4.1))));
        // End to end: the flat ends do not meet.
        let (short, next) = (resample(&[[0.0, 0.0], [1.0, 0.0]]), resample(&[[1.5, 0.0], [2.5, 0.0]]));
        assert!(chamfer_m(&short, &next) < 1.5 && !buffers_meet(&short, &next));
    }

    #[test]
    fn a_prediction_has_no_second_choice() {
        let truth = frames(&[("divider", straight(0.0), 0.0), ("divider", straight(1.0), 0.0)]);
        // Both are nearest to the first line; the second line within 1 m of the lesser one does not save it.
        let said = frames(&[("divider", straight(0.1), 0.9), ("divider", straight(0.3), 0.8)]);
        let sheet = score(("t", ""), &truth, ("s", &said)).unwrap();
        let part = &sheet.parts[1];
        assert_eq!(part.items, 2);
        assert!(part.metrics.iter().all(|m| (m.value.unwrap() - 0.5).abs() < 1e-12), "{part:?}");
        assert_eq!((sheet.metric("AP ped"), sheet.metric("mAP")), (None, Some(0.5)));
    }
}
