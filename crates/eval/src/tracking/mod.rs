//! nuScenes tracking: AMOTA, AMOTP and the CLEAR-MOT figures, as nuscenes-devkit 1.2.0 computes them
//! (`eval/tracking`, configuration `tracking_nips_2019`; Weng et al. 2019 for AMOTA, Bernardin & Stiefelhagen 2008 for
//! CLEAR-MOT).
//!
//! A predicted box carries the mean score of its track. The scores at which forty recalls are reached become thresholds;
//! at each, boxes above it are matched frame by frame ([`clear_mot`]). AMOTA and AMOTP are means over the thresholds, all
//! else is read at the threshold of the best MOTA.

pub mod clear_mot;
mod tracks;

use crate::EvalError;
use crate::numeric::{interpolate, known_mean, linspace, mean};
use crate::perception::{Frozen, Heading, Named, Ranges, ResultKind, SampleBoxes, TruthSample, read_results};
use apprentice_core::AgentClass;
use clear_mot::{Frame, Summary, follow};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Name and version of the document.
pub const SCHEMA: &str = "apprentice.tracking/1";
/// Name of the protocol.
pub const PROTOCOL: &str = "tracking-nips-2019";

/// The seven classes.
pub const CLASSES: [AgentClass; 7] = [
    AgentClass::Bicycle,
    AgentClass::Bus,
    AgentClass::Car,
    AgentClass::Motorcycle,
    AgentClass::Pedestrian,
    AgentClass::Trailer,
    AgentClass::Truck,
];

/// Values of the protocol.
#[derive(Clone, Debug, Deserialize)]
pub struct Values {
    range_m: Ranges,
    matching: Matching,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Matching {
    distance_m: f64,
    min_recall: f64,
    recalls: usize,
    max_boxes_per_sample: usize,
    worst_amotp_m: f64,
    worst_faf: f64,
    worst_tid_s: f64,
    worst_lgd_s: f64,
    frame_period_s: f64,
}

/// The protocol.
///
/// # Errors
/// When the compiled-in file was damaged.
pub fn protocol() -> Result<Frozen<Values>, EvalError> {
    Frozen::parse(PROTOCOL, include_str!("../../protocols/tracking-nips-2019.toml"))
}

/// Figures of one class or of all. What cannot be told is null.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TrackingFigures {
    /// Average multi-object tracking accuracy.
    pub amota: Option<f64>,
    /// Average multi-object tracking precision, metres.
    pub amotp: Option<f64>,
    /// Recall.
    pub recall: Option<f64>,
    /// MOTA normalised by recall.
    pub motar: Option<f64>,
    /// Recorded boxes.
    pub gt: Option<f64>,
    /// Multi-object tracking accuracy.
    pub mota: Option<f64>,
    /// Multi-object tracking precision, metres.
    pub motp: Option<f64>,
    /// Tracks followed for at least 80 % of their length.
    pub mt: Option<f64>,
    /// Tracks followed for less than 20 %.
    pub ml: Option<f64>,
    /// False positives per hundred frames.
    pub faf: Option<f64>,
    /// Matches that continue or begin a pairing.
    pub tp: Option<f64>,
    /// Boxes that match nothing.
    pub fp: Option<f64>,
    /// Recorded boxes that nothing matches.
    pub r#fn: Option<f64>,
    /// Identity switches.
    pub ids: Option<f64>,
    /// Interruptions.
    pub frag: Option<f64>,
    /// Time until a track is found, seconds.
    pub tid: Option<f64>,
    /// Longest gap, seconds.
    pub lgd: Option<f64>,
}

/// Figures of one class.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClassTracking {
    /// nuScenes' name of the class.
    pub name: String,
    /// Its figures.
    #[serde(flatten)]
    pub figures: TrackingFigures,
}

/// The document of `apprentice eval tracking`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrackingResult {
    /// What was judged, and how.
    #[serde(flatten)]
    pub heading: Heading,
    /// Samples judged.
    pub samples: usize,
    /// Counts added up over classes, the rest averaged.
    pub all: TrackingFigures,
    /// By class.
    pub classes: Vec<ClassTracking>,
}

/// Judge a result file.
///
/// # Errors
/// When the file is not one, or not of these samples.
pub fn evaluate(named: Named, bytes: &[u8], truth: &[TruthSample]) -> Result<TrackingResult, EvalError> {
    let protocol = protocol()?;
    let limit = protocol.values.matching.max_boxes_per_sample;
    let predictions = read_results(&named.results, bytes, ResultKind::Tracking, limit, truth)?;
    Ok(judge(&protocol, named, truth, &predictions))
}

/// Judge predictions that were read before.
pub fn judge(
    protocol: &Frozen<Values>,
    named: Named,
    truth: &[TruthSample],
    predictions: &[SampleBoxes],
) -> TrackingResult {
    let Values { range_m, matching } = &protocol.values;
    let scenes = tracks::scenes(range_m, truth, predictions);
    let classes: Vec<ClassTracking> = CLASSES
        .iter()
        .map(|&class| {
            let of_class: Vec<Vec<Frame>> =
                scenes.iter().map(|frames| frames.iter().map(|frame| frame.of_class(class)).collect()).collect();
            ClassTracking { name: class.name().into(), figures: judge_class(&of_class, matching) }
        })
        .collect();
    let average = |get: fn(&TrackingFigures) -> Option<f64>| known_mean(classes.iter().map(|c| get(&c.figures)));
    let sum = |get: fn(&TrackingFigures) -> Option<f64>| Some(classes.iter().filter_map(|c| get(&c.figures)).sum());
    let all = TrackingFigures {
        amota: average(|f| f.amota),
        amotp: average(|f| f.amotp),
        recall: average(|f| f.recall),
        motar: average(|f| f.motar),
        gt: average(|f| f.gt),
        mota: average(|f| f.mota),
        motp: average(|f| f.motp),
        mt: sum(|f| f.mt),
        ml: sum(|f| f.ml),
        faf: average(|f| f.faf),
        tp: sum(|f| f.tp),
        fp: sum(|f| f.fp),
        r#fn: sum(|f| f.r#fn),
        ids: sum(|f| f.ids),
        frag: sum(|f| f.frag),
        tid: average(|f| f.tid),
        lgd: average(|f| f.lgd),
    };
    TrackingResult { heading: Heading::new(SCHEMA, protocol, named), samples: truth.len(), all, classes }
}

fn judge_class(scenes: &[Vec<Frame>], matching: &Matching) -> TrackingFigures {
    let boxes: usize = scenes.iter().flatten().map(|frame| frame.truth.len()).sum();
    if boxes == 0 {
        return TrackingFigures::default();
    }
    let thresholds = thresholds(scenes, boxes, matching);
    // One summary per threshold; equal thresholds give equal summaries.
    let mut summaries: Vec<Option<Summary>> = Vec::with_capacity(thresholds.len());
    for (at, threshold) in thresholds.iter().enumerate() {
        let same = at > 0 && thresholds[at - 1] == *threshold;
        let summary = if same {
            summaries[at - 1].clone()
        } else {
            threshold.map(|t| follow(scenes, Some(t), matching.distance_m).0)
        };
        summaries.push(summary);
    }
    if summaries.iter().all(Option::is_none) {
        let tracks: std::collections::BTreeSet<(usize, u32)> = scenes
            .iter()
            .enumerate()
            .flat_map(|(i, frames)| frames.iter().flat_map(move |f| f.truth.iter().map(move |t| (i, t.track))))
            .collect();
        return worst(boxes, tracks.len(), matching);
    }
    let motar: Vec<f64> = summaries.iter().map(|s| s.as_ref().and_then(Summary::motar).unwrap_or(0.0)).collect();
    let motp: Vec<f64> =
        summaries.iter().map(|s| s.as_ref().and_then(Summary::motp).unwrap_or(matching.worst_amotp_m)).collect();
    // The best MOTA; of equal ones the highest recall, which comes first.
    let best = summaries.iter().flatten().fold(None::<&Summary>, |best, s| match best {
        Some(b) if b.mota() >= s.mota() => Some(b),
        _ => Some(s),
    });
    let period = matching.frame_period_s;
    best.map_or_else(TrackingFigures::default, |s| TrackingFigures {
        amota: Some(mean(&motar)),
        amotp: Some(mean(&motp)),
        recall: Some((s.matches + s.switches) as f64 / s.objects() as f64),
        motar: s.motar(),
        gt: Some(s.objects() as f64),
        mota: Some(s.mota()),
        motp: s.motp(),
        mt: Some(s.histories.iter().filter(|h| h.followed() >= 0.8).count() as f64),
        ml: Some(s.histories.iter().filter(|h| h.followed() < 0.2).count() as f64),
        faf: Some(s.false_positives as f64 / s.frames as f64 * 100.0),
        tp: Some(s.matches as f64),
        fp: Some(s.false_positives as f64),
        r#fn: Some(s.misses as f64),
        ids: Some(s.switches as f64),
        frag: Some(s.histories.iter().map(|h| h.interruptions()).sum::<usize>() as f64),
        tid: s.mean_over_found(|h| h.frames_until_found()).map(|frames| frames * period),
        lgd: s.mean_over_found(|h| h.longest_gap_frames()).map(|frames| frames * period),
    })
}

/// What stands where no recall was reached.
fn worst(boxes: usize, tracks: usize, matching: &Matching) -> TrackingFigures {
    TrackingFigures {
        amota: Some(0.0),
        amotp: Some(matching.worst_amotp_m),
        recall: Some(0.0),
        motar: Some(0.0),
        gt: Some(boxes as f64),
        mota: Some(0.0),
        motp: Some(matching.worst_amotp_m),
        mt: Some(0.0),
        ml: Some(tracks as f64),
        faf: Some(matching.worst_faf),
        tp: Some(0.0),
        fp: None,
        r#fn: Some(boxes as f64),
        ids: None,
        frag: None,
        tid: Some(matching.worst_tid_s),
        lgd: Some(matching.worst_lgd_s),
    }
}

/// The score at which each recall is reached, from the highest recall down; `None` where it is not.
fn thresholds(scenes: &[Vec<Frame>], boxes: usize, matching: &Matching) -> Vec<Option<f64>> {
    let mut scores = follow(scenes, None, matching.distance_m).1;
    scores.sort_by(|a, b| b.total_cmp(a));
    let recall: Vec<f64> = (1..=scores.len()).map(|hits| hits as f64 / boxes as f64).collect();
    let reached = recall.last().copied().unwrap_or(0.0);
    // Rounded, so that 0.7 is 0.7.
    let wanted = linspace(matching.min_recall, 1.0, matching.recalls).into_iter().map(|r| (r * 1e12).round() / 1e12);
    let at = |wanted: f64| (wanted <= reached).then(|| interpolate(wanted, &recall, &scores, 0.0));
    let mut out: Vec<Option<f64>> = wanted.map(at).collect();
    out.reverse();
    out
}

/// A track's mean score, by scene and track.
pub(crate) type TrackScores = BTreeMap<(u32, u32), Vec<f64>>;
