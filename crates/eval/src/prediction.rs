//! nuScenes prediction: minADE_k, minFDE_k and miss rate over the k most probable modes, and the off-road rate, as
//! nuscenes-devkit 1.2.0 computes the first three (`eval/prediction`, configuration `predict_2020_icra`).
//!
//! The off-road rate is the share of modes whose path ([`path`]) leaves the drivable area; who knows the map says where
//! that is ([`Forecast::off_road`]).

use crate::EvalError;
use crate::perception::{Frozen, Heading, Named};
use serde::{Deserialize, Serialize};

/// Name and version of the document.
pub const SCHEMA: &str = "apprentice.prediction/1";
/// Name of the protocol.
pub const PROTOCOL: &str = "prediction-icra-2020";

/// Values of the protocol.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Values {
    /// How far a forecast reaches.
    pub horizon: Horizon,
    /// What is reported.
    pub metrics: Metrics,
}

/// How far a forecast reaches.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Horizon {
    /// Seconds.
    pub seconds: u32,
    /// Steps per second.
    pub steps_per_second: u32,
    /// A recorded annotation may come this much later than the horizon, seconds.
    pub slack_s: f64,
    /// Modes a forecast may have.
    pub max_modes: usize,
}

/// What is reported.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Metrics {
    /// Numbers of modes.
    pub k: Vec<usize>,
    /// A mode that is this far from the truth anywhere is a miss, metres.
    pub miss_m: f64,
}

/// The protocol.
///
/// # Errors
/// When the compiled-in file was damaged.
pub fn protocol() -> Result<Frozen<Values>, EvalError> {
    Frozen::parse(PROTOCOL, include_str!("../protocols/prediction-icra-2020.toml"))
}

/// One entry of a result file: an agent at a keyframe, its modes and their probabilities.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PredictedAgent {
    /// Token of the agent's instance.
    pub instance: String,
    /// Token of the keyframe.
    pub sample: String,
    /// Positions in the world of each mode, 2 Hz.
    pub prediction: Vec<Vec<[f64; 2]>>,
    /// Of each mode.
    pub probabilities: Vec<f64>,
}

/// Read a result file in nuScenes' own format.
///
/// # Errors
/// Names the entry and the field: not JSON, no entry, an entry twice, modes and probabilities of different number, too
/// many modes, values that are no number.
pub fn read_predictions(file: &str, bytes: &[u8]) -> Result<Vec<PredictedAgent>, EvalError> {
    let entries: Vec<PredictedAgent> =
        serde_json::from_slice(bytes).map_err(|e| crate::json::error(file, apprentice_core::json::fault(bytes, &e)))?;
    if entries.is_empty() {
        return Err(EvalError::Empty { what: format!("predictions of {file}") });
    }
    let limit = protocol()?.values.horizon.max_modes;
    let mut seen = std::collections::BTreeSet::new();
    for (i, entry) in entries.iter().enumerate() {
        let wrong = |field: &str, message: String| Err(EvalError::field(file, format!("[{i}].{field}"), message));
        if !seen.insert((&entry.instance, &entry.sample)) {
            return wrong("instance", format!("`{}` at `{}` is in the file twice", entry.instance, entry.sample));
        }
        let modes = entry.prediction.len();
        if modes == 0 || modes > limit {
            return wrong("prediction", format!("expected 1 to {limit} modes, found {modes}"));
        }
        if entry.probabilities.len() != modes {
            return wrong(
                "probabilities",
                format!("expected {modes}, one a mode, found {}", entry.probabilities.len()),
            );
        }
        let numbers = entry.prediction.iter().flatten().flatten().chain(&entry.probabilities);
        if numbers.into_iter().any(|v| !v.is_finite()) {
            return wrong("prediction", "a value is not finite".into());
        }
    }
    Ok(entries)
}

/// Points along a mode's path, at which it must lie on the drivable area.
pub fn path(mode: &[[f64; 2]]) -> Vec<[f64; 2]> {
    crate::spline::smooth_path(mode, 0.1, 200)
}

/// A forecast beside what happened.
#[derive(Clone, Debug, PartialEq)]
pub struct Forecast<'a> {
    /// The entry.
    pub entry: &'a PredictedAgent,
    /// Recorded positions in the world, as many as the horizon has steps, or fewer at a track's end.
    pub truth: Vec<[f64; 2]>,
    /// Share of the modes that leave the drivable area, where there is a map.
    pub off_road: Option<f64>,
}

/// The figures for one k.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct TopK {
    /// Most probable modes considered.
    pub k: usize,
    /// Metres.
    pub min_ade_m: f64,
    /// Metres.
    pub min_fde_m: f64,
    /// Fraction.
    pub miss_rate: f64,
}

/// The document of `apprentice eval prediction`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PredictionResult {
    /// What was judged, and how.
    #[serde(flatten)]
    pub heading: Heading,
    /// Agents judged.
    pub predictions: usize,
    /// By number of modes.
    pub top_k: Vec<TopK>,
    /// Share of modes that leave the drivable area; null where a map is missing.
    pub off_road_rate: Option<f64>,
}

/// Judge forecasts.
///
/// # Errors
/// When there is none, or one has another number of steps than its truth.
pub fn evaluate(named: Named, forecasts: &[Forecast<'_>]) -> Result<PredictionResult, EvalError> {
    let protocol = protocol()?;
    if forecasts.is_empty() {
        return Err(EvalError::Empty { what: format!("predictions of {}", named.results) });
    }
    let Metrics { k, miss_m } = &protocol.values.metrics;
    let mut sums = vec![[0.0; 3]; k.len()];
    for (i, forecast) in forecasts.iter().enumerate() {
        let rows = by_rank(forecast, *miss_m)
            .map_err(|message| EvalError::field(&named.results, format!("[{i}].prediction"), message))?;
        for (sum, k) in sums.iter_mut().zip(k) {
            let row = rows[k.min(&rows.len()) - 1];
            sum.iter_mut().zip(row).for_each(|(s, v)| *s += v);
        }
    }
    let n = forecasts.len() as f64;
    let off_road: Option<Vec<f64>> = forecasts.iter().map(|f| f.off_road).collect();
    Ok(PredictionResult {
        heading: Heading::new(SCHEMA, &protocol, named),
        predictions: forecasts.len(),
        top_k: k
            .iter()
            .zip(sums)
            .map(|(k, [ade, fde, miss])| TopK { k: *k, min_ade_m: ade / n, min_fde_m: fde / n, miss_rate: miss / n })
            .collect(),
        off_road_rate: off_road.map(|values| values.iter().sum::<f64>() / n),
    })
}

/// Least ADE, FDE and miss over the first one, two, … modes by falling probability (of equal ones the later first).
fn by_rank(forecast: &Forecast<'_>, miss_m: f64) -> Result<Vec<[f64; 3]>, String> {
    let PredictedAgent { prediction, probabilities, .. } = forecast.entry;
    let truth = &forecast.truth;
    let mut order: Vec<usize> = (0..prediction.len()).rev().collect();
    order.sort_by(|a, b| probabilities[*b].total_cmp(&probabilities[*a]));
    let mut least = [f64::INFINITY; 3];
    let mut rows = Vec::with_capacity(order.len());
    for mode in order.into_iter().map(|at| &prediction[at]) {
        if truth.is_empty() || mode.len() != truth.len() {
            return Err(format!("expected {} steps, as the recorded future has, found {}", truth.len(), mode.len()));
        }
        let distances: Vec<f64> = mode.iter().zip(truth).map(|(p, t)| (p[0] - t[0]).hypot(p[1] - t[1])).collect();
        let largest = distances.iter().fold(0.0_f64, |m, d| m.max(*d));
        let missed = f64::from(u8::from(largest >= miss_m));
        let here = [distances.iter().sum::<f64>() / truth.len() as f64, distances[truth.len() - 1], missed];
        least.iter_mut().zip(here).for_each(|(l, h)| *l = l.min(h));
        rows.push(least);
    }
    Ok(rows)
}
