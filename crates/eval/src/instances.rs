//! Bird's-eye-view IoU and panoptic quality of vehicles over present and future frames, after FIERY and ST-P3
//! (`fiery/metrics.py`, `evaluate.py`).
//!
//! A frame is a grid of instance numbers, 0 for free. `IoU = TP / (TP + FP + FN)` over cells. Instances match when they
//! overlap by more than half; `PQ = Σ IoU / (TP + ½ FP + ½ FN)`, `SQ = Σ IoU / TP`, `RQ = TP / (TP + ½ FP + ½ FN)`, counts
//! added up over the set. A true instance that is matched to another number than before counts as missed and as false.

use crate::EvalError;
use crate::sheet::{Metric, Row, Rules, Sheet};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::ops::Range;

/// Cells of the published grids along each side: half a metre each.
const SIDE: usize = 200;
/// Names of the ranges and their cells.
const RANGES: [(&str, Range<usize>); 2] = [("30 m", 70..130), ("100 m", 0..SIDE)];

/// The frames of a sequence: run lengths of instance numbers, row by row.
#[derive(Clone, Debug, PartialEq, Deserialize)]
struct Sequence {
    id: String,
    size: [usize; 2],
    frames: Vec<Vec<[u32; 2]>>,
}

/// Frames by sequence; a frame has 200 × 200 cells.
pub type Sequences = BTreeMap<String, Vec<Vec<u32>>>;

/// Read JSON lines: `{"id": "…", "size": [200, 200], "frames": [[[number, run], …], …]}`.
///
/// # Errors
/// Names the line that is not such a sequence.
pub fn read(file: &str, text: &str) -> Result<Sequences, EvalError> {
    let mut sequences = Sequences::new();
    for (i, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let at = format!("line {}", i + 1);
        let wrong = |message: String| EvalError::field(file, &at, message);
        let sequence: Sequence = crate::json::read_line(file, i + 1, line)?;
        if sequence.size != [SIDE, SIDE] {
            return Err(wrong(format!(
                "expected a size of 200 × 200 cells of half a metre, found {:?}",
                sequence.size
            )));
        }
        if sequence.frames.is_empty() {
            return Err(wrong("expected at least one frame, found none".into()));
        }
        let mut frames = Vec::with_capacity(sequence.frames.len());
        for (k, runs) in sequence.frames.iter().enumerate() {
            let cells = runs.iter().fold(0_u64, |sum, [_, run]| sum + u64::from(*run));
            if cells != (SIDE * SIDE) as u64 {
                return Err(wrong(format!("frame {k}: expected runs of 40000 cells, found {cells}")));
            }
            frames.push(runs.iter().flat_map(|[n, run]| std::iter::repeat_n(*n, *run as usize)).collect());
        }
        if sequences.insert(sequence.id.clone(), frames).is_some() {
            return Err(wrong(format!("sequence `{}` appears twice", sequence.id)));
        }
    }
    if sequences.is_empty() { Err(EvalError::Empty { what: file.into() }) } else { Ok(sequences) }
}

/// Counts that are added up over a set.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Counts {
    /// Cells: both, truth alone, prediction alone.
    cells: [f64; 3],
    overlap: f64,
    hits: f64,
    missed: f64,
    falsely: f64,
}

impl Counts {
    fn add(&mut self, other: &Self) {
        self.cells.iter_mut().zip(other.cells).for_each(|(a, b)| *a += b);
        self.overlap += other.overlap;
        self.hits += other.hits;
        self.missed += other.missed;
        self.falsely += other.falsely;
    }

    /// IoU, PQ, SQ, RQ.
    fn figures(&self) -> [Option<f64>; 4] {
        let over = |top: f64, bottom: f64| (bottom > 0.0).then(|| top / bottom);
        let all = self.hits + 0.5 * self.missed + 0.5 * self.falsely;
        [
            over(self.cells[0], self.cells.iter().sum()),
            over(self.overlap, all),
            over(self.overlap, self.hits),
            over(self.hits, all),
        ]
    }
}

/// One sequence in one range.
fn judge(truth: &[Vec<u32>], said: &[Vec<u32>], range: &Range<usize>) -> Counts {
    let mut counts = Counts::default();
    let mut partner: BTreeMap<u32, u32> = BTreeMap::new();
    for (truth, said) in truth.iter().zip(said) {
        let mut both: BTreeMap<(u32, u32), f64> = BTreeMap::new();
        for row in range.clone() {
            for cell in row * SIDE + range.start..row * SIDE + range.end {
                *both.entry((truth[cell], said[cell])).or_default() += 1.0;
            }
        }
        let (mut of_truth, mut of_said): (BTreeMap<u32, f64>, BTreeMap<u32, f64>) = Default::default();
        for ((t, s), n) in &both {
            *of_truth.entry(*t).or_default() += n;
            *of_said.entry(*s).or_default() += n;
            match (*t > 0, *s > 0) {
                (true, true) => counts.cells[0] += n,
                (true, false) => counts.cells[1] += n,
                (false, true) => counts.cells[2] += n,
                (false, false) => {}
            }
        }
        let (mut matched_truth, mut matched_said) = (Vec::new(), Vec::new());
        for ((t, s), n) in both.iter().filter(|((t, s), _)| *t > 0 && *s > 0) {
            let overlap = n / (of_truth[t] + of_said[s] - n);
            if overlap <= 0.5 {
                continue;
            }
            matched_truth.push(*t);
            matched_said.push(*s);
            if partner.insert(*t, *s).is_some_and(|before| before != *s) {
                counts.missed += 1.0;
                counts.falsely += 1.0;
            } else {
                counts.hits += 1.0;
                counts.overlap += overlap;
            }
        }
        counts.missed += of_truth.keys().filter(|t| **t > 0 && !matched_truth.contains(t)).count() as f64;
        counts.falsely += of_said.keys().filter(|s| **s > 0 && !matched_said.contains(s)).count() as f64;
    }
    counts
}

/// Score predicted grids.
///
/// # Errors
/// When predictions are for a sequence without an entry in the ground truth, or of another length.
pub fn score(
    (file, text): (&str, &str),
    truth: &Sequences,
    (subject, predicted): (&str, &Sequences),
) -> Result<Sheet, EvalError> {
    if let Some(id) = predicted.keys().find(|id| !truth.contains_key(*id)) {
        return Err(EvalError::field(subject, id, "is not a sequence of the ground truth"));
    }
    let mut sheet = Sheet::new(&Rules::named("future-instances")?, subject, file, text.as_bytes());
    sheet.coverage.asked = truth.len();
    let mut totals = [Counts::default(); 2];
    let free = vec![0; SIDE * SIDE];
    for (id, truth) in truth {
        let nothing = vec![free.clone(); truth.len()];
        let said = match predicted.get(id) {
            Some(said) if said.len() != truth.len() => {
                let message = format!("expected {} frames, found {}", truth.len(), said.len());
                return Err(EvalError::field(subject, id, message));
            }
            Some(said) => {
                sheet.coverage.answered += 1;
                said
            }
            None => {
                sheet.coverage.miss("no prediction for the sequence");
                &nothing
            }
        };
        let mut values = Vec::new();
        for ((_, range), total) in RANGES.iter().zip(&mut totals) {
            let counts = judge(truth, said, range);
            total.add(&counts);
            let [iou, quality, ..] = counts.figures();
            // Nothing there and nothing said is right.
            values.extend([iou.unwrap_or(1.0), quality.unwrap_or(1.0)]);
        }
        sheet.rows.push(Row { id: id.clone(), cluster: id.clone(), values });
    }
    for ((range, _), total) in RANGES.iter().zip(&totals) {
        let figures = ["IoU", "PQ", "SQ", "RQ"].iter().zip(total.figures());
        sheet.metrics.extend(figures.map(|(name, value)| {
            let name = format!("{name} {range}");
            value.map_or_else(|| Metric::absent(&name), |v| Metric::new(&name, v))
        }));
        sheet.columns.extend([format!("IoU {range}"), format!("PQ {range}")]);
    }
    Ok(sheet)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A frame with one box per (number, first row, first column, side).
    fn frame(boxes: &[(u32, usize, usize, usize)]) -> Vec<u32> {
        let mut cells = vec![0; SIDE * SIDE];
        for &(n, row, column, side) in boxes {
            for r in row..row + side {
                cells[r * SIDE + column..r * SIDE + column + side].fill(n);
            }
        }
        cells
    }

    #[test]
    fn figures_by_hand() {
        // Ten by ten in the middle, predicted two rows lower: 80 of 120 cells; one far away is missed in the wide range.
        let truth = vec![frame(&[(1, 90, 90, 10), (2, 10, 10, 4)])];
        let said = vec![frame(&[(7, 92, 90, 10)])];
        let near = judge(&truth, &said, &RANGES[0].1).figures();
        let iou = 80.0 / 120.0;
        assert_eq!(near, [Some(iou), Some(iou), Some(iou), Some(1.0)]);
        let far = judge(&truth, &said, &RANGES[1].1).figures();
        assert_eq!(far, [Some(80.0 / 136.0), Some(iou / 1.5), Some(iou), Some(1.0 / 1.5)]);
    }

    #[test]
    fn a_changed_partner_counts_against_both() {
        let truth = vec![frame(&[(1, 90, 90, 10)]); 2];
        let steady = judge(&truth, &[frame(&[(5, 90, 90, 10)]), frame(&[(5, 90, 90, 10)])], &RANGES[0].1);
        assert_eq!((steady.hits, steady.missed, steady.falsely), (2.0, 0.0, 0.0));
        let swapped = judge(&truth, &[frame(&[(5, 90, 90, 10)]), frame(&[(6, 90, 90, 10)])], &RANGES[0].1);
        assert_eq!((swapped.hits, swapped.missed, swapped.falsely), (1.0, 1.0, 1.0));
    }

    #[test]
    fn files_are_read_and_bad_ones_refused() {
        let line = |size: usize, run: usize| {
            format!("{{\"id\": \"a\", \"size\": [{size}, 200], \"frames\": [[[0, {run}], [3, 9]]]}}")
        };
        let read_line = |text: &str| read("f", text);
        assert_eq!(read_line(&line(200, 39_991)).unwrap()["a"][0][39_995], 3);
        for bad in [line(100, 39_991), line(200, 5), format!("{0}\n{0}", line(200, 39_991)), "{}".into(), String::new()]
        {
            assert!(read_line(&bad).is_err(), "{bad}");
        }
    }
}
