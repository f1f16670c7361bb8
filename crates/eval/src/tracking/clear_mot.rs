//! CLEAR-MOT: follow recorded tracks through the frames of scenes (Bernardin & Stiefelhagen 2008, Algorithm 1).
//!
//! In each frame a pairing of the frame before is kept while it is close enough; what is left is assigned with the least
//! sum of distances. A recorded track that gets another prediction than before counts a switch.

use crate::numeric::assign;
use apprentice_core::AgentClass;
use std::collections::BTreeMap;

/// A box of a track.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tracked {
    /// Its track.
    pub track: u32,
    /// Its class.
    pub class: AgentClass,
    /// Centre in the plane, metres.
    pub center: [f64; 2],
    /// Mean score of its track.
    pub score: f64,
}

/// A keyframe.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Frame {
    /// Recorded boxes.
    pub truth: Vec<Tracked>,
    /// Predicted boxes.
    pub predictions: Vec<Tracked>,
}

impl Frame {
    /// The boxes of a class.
    pub fn of_class(&self, class: AgentClass) -> Self {
        let only = |boxes: &[Tracked]| boxes.iter().filter(|b| b.class == class).copied().collect();
        Self { truth: only(&self.truth), predictions: only(&self.predictions) }
    }
}

/// In which frames a recorded track was there, and whether it was followed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct History(Vec<(usize, bool)>);

impl History {
    /// Share of its frames in which it was followed.
    pub fn followed(&self) -> f64 {
        self.0.iter().filter(|(_, found)| *found).count() as f64 / self.0.len() as f64
    }

    fn span(&self) -> Option<(usize, usize)> {
        let first = self.0.iter().position(|(_, found)| *found)?;
        Some((first, self.0.iter().rposition(|(_, found)| *found)?))
    }

    /// Times it was lost between the first and the last frame in which it was followed.
    pub fn interruptions(&self) -> usize {
        self.span().map_or(0, |(first, last)| self.0[first..=last].windows(2).filter(|w| w[0].1 && !w[1].1).count())
    }

    /// Frames until it was followed; `None` if it never was.
    pub fn frames_until_found(&self) -> Option<usize> {
        self.span().map(|(first, _)| self.0[first].0 - self.0[0].0)
    }

    /// Longest run of frames between its first and last in which it was not followed; `None` if it never was.
    pub fn longest_gap_frames(&self) -> Option<usize> {
        self.span()?;
        let (first, last) = (self.0[0].0, self.0[self.0.len() - 1].0);
        let found: Vec<usize> = self.0.iter().filter(|(_, found)| *found).map(|(frame, _)| *frame).collect();
        let inner = found.windows(2).map(|w| w[1].saturating_sub(w[0] + 1));
        inner.chain([found[0] - first, last - found[found.len() - 1]]).max()
    }
}

/// Counts over all scenes at one threshold.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Summary {
    /// Frames with any box.
    pub frames: usize,
    /// Pairings that began or went on.
    pub matches: usize,
    /// Pairings with another prediction than before.
    pub switches: usize,
    /// Recorded boxes without a pair.
    pub misses: usize,
    /// Predicted boxes without a pair.
    pub false_positives: usize,
    /// Sum over pairs, metres.
    pub distance_m: f64,
    /// One per recorded track.
    pub histories: Vec<History>,
}

impl Summary {
    /// Recorded boxes.
    pub fn objects(&self) -> usize {
        self.matches + self.switches + self.misses
    }

    /// Multi-object tracking accuracy, not below 0.
    pub fn mota(&self) -> f64 {
        (1.0 - (self.misses + self.switches + self.false_positives) as f64 / self.objects() as f64).max(0.0)
    }

    /// MOTA normalised by the recall of matches, not below 0; `None` without a match.
    pub fn motar(&self) -> Option<f64> {
        let objects = self.objects() as f64;
        let recall = self.matches as f64 / objects;
        let faults = (self.misses + self.switches + self.false_positives) as f64 - (1.0 - recall) * objects;
        (self.matches > 0).then(|| (1.0 - faults / (recall * objects)).max(0.0))
    }

    /// Mean distance of pairs, metres; `None` without a pair.
    pub fn motp(&self) -> Option<f64> {
        let pairs = self.matches + self.switches;
        (pairs > 0).then(|| self.distance_m / pairs as f64)
    }

    /// Mean over the tracks that were followed at all; `None` if none was.
    pub fn mean_over_found(&self, value: impl Fn(&History) -> Option<usize>) -> Option<f64> {
        let found: Vec<usize> = self.histories.iter().filter_map(value).collect();
        (!found.is_empty()).then(|| found.iter().sum::<usize>() as f64 / found.len() as f64)
    }
}

/// Follow the recorded tracks of all scenes with the predictions whose score is at least `threshold`. Also gives the
/// scores of the predictions in matches (not in switches).
pub fn follow(scenes: &[Vec<Frame>], threshold: Option<f64>, distance_m: f64) -> (Summary, Vec<f64>) {
    let mut summary = Summary::default();
    let mut scores = Vec::new();
    for frames in scenes {
        // Last prediction of each recorded track, and the histories of this scene.
        let mut partner: BTreeMap<u32, u32> = BTreeMap::new();
        let mut histories: BTreeMap<u32, History> = BTreeMap::new();
        let mut number = 0;
        for frame in frames {
            let kept = frame.predictions.iter().filter(|p| threshold.is_none_or(|t| p.score >= t));
            let predictions: Vec<&Tracked> = kept.collect();
            if frame.truth.is_empty() && predictions.is_empty() {
                continue;
            }
            let pairs = pair(&frame.truth, &predictions, &partner, distance_m);
            let mut used = 0;
            for (truth, pair) in frame.truth.iter().zip(pairs) {
                let history = histories.entry(truth.track).or_default();
                history.0.push((number, pair.is_some()));
                let Some((at, distance)) = pair else {
                    summary.misses += 1;
                    continue;
                };
                used += 1;
                summary.distance_m += distance;
                let before = partner.insert(truth.track, predictions[at].track);
                if before.is_some_and(|b| b != predictions[at].track) {
                    summary.switches += 1;
                } else {
                    summary.matches += 1;
                    scores.push(predictions[at].score);
                }
            }
            summary.false_positives += predictions.len() - used;
            summary.frames += 1;
            number += 1;
        }
        summary.histories.extend(histories.into_values());
    }
    (summary, scores)
}

/// The prediction of each recorded box and its distance.
fn pair(
    truth: &[Tracked],
    predictions: &[&Tracked],
    partner: &BTreeMap<u32, u32>,
    distance_m: f64,
) -> Vec<Option<(usize, f64)>> {
    let near = |t: &Tracked, p: &Tracked| Some(distance(t.center, p.center)).filter(|d| *d < distance_m);
    let mut pairs: Vec<Option<(usize, f64)>> = vec![None; truth.len()];
    let mut free = vec![true; predictions.len()];
    for (t, found) in truth.iter().zip(&mut pairs) {
        let Some(before) = partner.get(&t.track) else { continue };
        let Some(at) = (0..predictions.len()).find(|&j| free[j] && predictions[j].track == *before) else { continue };
        if let Some(d) = near(t, predictions[at]) {
            free[at] = false;
            *found = Some((at, d));
        }
    }
    let rows: Vec<usize> = (0..truth.len()).filter(|i| pairs[*i].is_none()).collect();
    let columns: Vec<usize> = (0..predictions.len()).filter(|j| free[*j]).collect();
    let cost = |i: usize, j: usize| near(&truth[i], predictions[j]).unwrap_or(f64::NAN);
    let costs: Vec<Vec<f64>> = rows.iter().map(|&i| columns.iter().map(|&j| cost(i, j)).collect()).collect();
    for (row, column) in assign(&costs, columns.len()).into_iter().enumerate() {
        if let Some(column) = column {
            pairs[rows[row]] = Some((columns[column], costs[row][column]));
        }
    }
    pairs
}

/// Distance through squares and products, as the devkit's tracking takes it (`|a|² + |b|² − 2ab`).
fn distance(a: [f64; 2], b: [f64; 2]) -> f64 {
    let dot = |p: [f64; 2], q: [f64; 2]| p[0] * q[0] + p[1] * q[1];
    (-2.0 * dot(a, b) + dot(a, a) + dot(b, b)).max(0.0).sqrt()
}
