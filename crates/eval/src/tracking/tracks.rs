//! From boxes to frames: what counts, the mean score of each track, holes interpolated.

use super::TrackScores;
use super::clear_mot::{Frame, Tracked};
use crate::numeric::mean;
use crate::perception::{Ranges, SampleBoxes, TruthSample};
use std::collections::BTreeMap;

/// Frames of each scene, in order of time.
pub(super) fn scenes(ranges: &Ranges, truth: &[TruthSample], predictions: &[SampleBoxes]) -> Vec<Vec<Frame>> {
    let mut predicted: Vec<Vec<Tracked>> = vec![Vec::new(); truth.len()];
    let mut scores = TrackScores::new();
    for (place, boxes) in predictions {
        let sample = &truth[*place];
        for b in boxes.iter().filter(|b| ranges.keep(sample, b.class, &b.bounds, b.points)) {
            let [x, y, _] = b.bounds.center;
            predicted[*place].push(Tracked { track: b.track, class: b.class, center: [x, y], score: b.score });
        }
    }
    // In order of time, whatever the order of the file.
    for (sample, boxes) in truth.iter().zip(&predicted) {
        boxes.iter().for_each(|b| scores.entry((sample.scene, b.track)).or_default().push(b.score));
    }
    let means: BTreeMap<(u32, u32), f64> = scores.into_iter().map(|(key, list)| (key, mean(&list))).collect();
    for (sample, boxes) in truth.iter().zip(&mut predicted) {
        boxes.iter_mut().for_each(|b| b.score = means[&(sample.scene, b.track)]);
    }
    let recorded = truth.iter().map(|sample| {
        let counts = sample.boxes.iter().filter(|b| ranges.keep(sample, b.class, &b.bounds, b.points.into()));
        let tracked = counts.map(|b| {
            let [x, y, _] = b.bounds.center;
            Tracked { track: b.track, class: b.class, center: [x, y], score: -1.0 }
        });
        tracked.collect::<Vec<_>>()
    });
    let frames: Vec<Frame> = recorded.zip(predicted).map(|(truth, predictions)| Frame { truth, predictions }).collect();
    let mut out: Vec<Vec<Frame>> = Vec::new();
    let mut start = 0;
    for end in 1..=truth.len() {
        if end == truth.len() || truth[end].scene != truth[start].scene {
            let mut scene = frames[start..end].to_vec();
            let times: Vec<u64> = truth[start..end].iter().map(|s| s.timestamp_us).collect();
            fill_holes(&mut scene, &times, |frame| &mut frame.truth);
            fill_holes(&mut scene, &times, |frame| &mut frame.predictions);
            out.push(scene);
            start = end;
        }
    }
    out
}

/// Between two frames of a track, put boxes where it has none. The weights are the devkit's, which gives the later box
/// the weight of the earlier one.
fn fill_holes(scene: &mut [Frame], times: &[u64], of: fn(&mut Frame) -> &mut Vec<Tracked>) {
    // Tracks in order of appearance; a track's boxes with their frames.
    let mut order: Vec<u32> = Vec::new();
    let mut tracks: BTreeMap<u32, Vec<(usize, Tracked)>> = BTreeMap::new();
    for (at, frame) in scene.iter_mut().enumerate() {
        for b in of(frame).iter() {
            let boxes = tracks.entry(b.track).or_default();
            if boxes.is_empty() {
                order.push(b.track);
            }
            boxes.push((at, *b));
        }
    }
    for at in 0..times.len() {
        for track in &order {
            let boxes = &tracks[track];
            let after = boxes.partition_point(|(frame, _)| *frame <= at);
            if after == 0 || after == boxes.len() || boxes[after - 1].0 == at {
                continue;
            }
            let ((left_at, left), (right_at, right)) = (&boxes[after - 1], &boxes[after]);
            let span = times[*right_at].saturating_sub(times[*left_at]);
            if span == 0 {
                continue;
            }
            let ratio = times[*right_at].saturating_sub(times[at]) as f64 / span as f64;
            let mix = |l: f64, r: f64| (1.0 - ratio) * l + ratio * r;
            let center = [mix(left.center[0], right.center[0]), mix(left.center[1], right.center[1])];
            let filled = Tracked { center, score: mix(left.score, right.score), ..*right };
            of(&mut scene[at]).push(filled);
        }
    }
}
