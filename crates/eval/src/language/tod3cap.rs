//! TOD3Cap: captions of predicted boxes, as the paper defines the metric and as the released script computes it.
//!
//! The two differ in what is counted over (ground-truth boxes or predictions), in what an overlap is (of the boxes, or of
//! their sizes alone) and in how text is split; the rules `tod3cap-paper` and `tod3cap-repo` say so, and results under
//! one are refused beside results under the other.

use super::{CaptionScore, MeteorFiles, Pair, Splitting, captions};
use crate::EvalError;
use crate::boxes::{Box3, overlap_3d, overlap_of_sizes};
use crate::sheet::{Metric, Row, Rules, Sheet};
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// Which definition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The paper's.
    Paper,
    /// The released script's.
    Repo,
}

/// Overlaps that a caption may need.
const OVERLAPS: [f64; 2] = [0.25, 0.5];

/// A box of the ground truth.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct TrueBox {
    /// Token of the annotation.
    pub token: String,
    /// Where it is.
    #[serde(flatten)]
    pub place: Box3,
}

/// A predicted box.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct CaptionedBox {
    /// Where it is.
    #[serde(flatten)]
    pub place: Box3,
    /// What is said of it.
    pub caption: String,
}

/// Read `final_caption_bbox_token.json`: annotation token → `final_caption`.
///
/// # Errors
/// When it is not such a map.
pub fn read_captions(file: &str, text: &str) -> Result<BTreeMap<String, String>, EvalError> {
    let document: BTreeMap<String, Value> = crate::json::read(file, text)?;
    let captions = document.into_iter().map(|(token, entry)| {
        let caption = entry.get("final_caption").and_then(Value::as_str).map(String::from);
        let caption =
            caption.ok_or_else(|| EvalError::field(file, format!("{token}.final_caption"), "expected text"))?;
        Ok((token, caption))
    });
    let captions: BTreeMap<String, String> = captions.collect::<Result<_, _>>()?;
    if captions.is_empty() { Err(EvalError::Empty { what: file.into() }) } else { Ok(captions) }
}

/// Read boxes by sample: an object of lists, alone or under `results` as in nuScenes' result files.
///
/// # Errors
/// Names the box that is not one, or has a size that is not positive.
pub fn read_boxes<T>(file: &str, text: &str, place: fn(&T) -> &Box3) -> Result<BTreeMap<String, Vec<T>>, EvalError>
where
    T: serde::de::DeserializeOwned,
{
    let mut document: Value = crate::json::read(file, text)?;
    if let Some(results) = document.get_mut("results") {
        document = results.take();
    }
    let samples = document.as_object().ok_or_else(|| EvalError::field(file, "", "expected an object of samples"))?;
    let mut boxes = BTreeMap::new();
    for (sample, list) in samples {
        let list = list.as_array().ok_or_else(|| EvalError::field(file, sample, "expected a list of boxes"))?;
        let read = list.iter().enumerate().map(|(i, value)| {
            let at = format!("{sample}[{i}]");
            let entry = T::deserialize(value).map_err(|e| EvalError::field(file, &at, e.to_string()))?;
            place(&entry).check(file, &at)?;
            Ok(entry)
        });
        boxes.insert(sample.clone(), read.collect::<Result<Vec<T>, EvalError>>()?);
    }
    if boxes.is_empty() { Err(EvalError::Empty { what: file.into() }) } else { Ok(boxes) }
}

/// The largest value with its index; of equal ones the first.
fn largest(values: impl Iterator<Item = f64>) -> Option<(usize, f64)> {
    values.enumerate().fold(None, |best, (i, v)| if best.is_some_and(|(_, b)| b >= v) { best } else { Some((i, v)) })
}

/// Score captioned boxes.
///
/// # Errors
/// When predictions are for a sample without an entry in the ground truth, nothing is to be judged, or METEOR's files
/// cannot be read.
pub fn score(
    mode: Mode,
    (file, text): (&str, &str),
    captions: &BTreeMap<String, String>,
    truth: &BTreeMap<String, Vec<TrueBox>>,
    (subject, predicted): (&str, &BTreeMap<String, Vec<CaptionedBox>>),
    files: Option<&MeteorFiles>,
) -> Result<Sheet, EvalError> {
    if let Some(sample) = predicted.keys().find(|sample| !truth.contains_key(*sample)) {
        return Err(EvalError::field(subject, sample, "is not a sample of the ground truth"));
    }
    let name = if mode == Mode::Paper { "tod3cap-paper" } else { "tod3cap-repo" };
    let mut sheet = Sheet::new(&Rules::named(name)?, subject, file, text.as_bytes());
    sheet.coverage.asked = truth.len();
    sheet.coverage.answered = truth.keys().filter(|sample| predicted.contains_key(*sample)).count();
    if !sheet.coverage.is_whole() {
        let missing = sheet.coverage.asked - sheet.coverage.answered;
        sheet.coverage.missing.insert("no predictions for the sample".into(), missing);
    }
    match mode {
        Mode::Paper => over_truth(&mut sheet, captions, truth, predicted, files)?,
        Mode::Repo => over_predictions(&mut sheet, captions, truth, predicted, files)?,
    }
    Ok(sheet)
}

/// The paper's: every captioned box of the ground truth, with the prediction that overlaps it most.
fn over_truth(
    sheet: &mut Sheet,
    captions: &BTreeMap<String, String>,
    truth: &BTreeMap<String, Vec<TrueBox>>,
    predicted: &BTreeMap<String, Vec<CaptionedBox>>,
    files: Option<&MeteorFiles>,
) -> Result<(), EvalError> {
    let (mut pairs, mut overlaps) = (Vec::new(), Vec::new());
    for (sample, boxes) in truth {
        let said = predicted.get(sample).map_or(&[][..], Vec::as_slice);
        for (truth, caption) in boxes.iter().filter_map(|b| captions.get(&b.token).map(|caption| (b, caption))) {
            let best = largest(said.iter().map(|p| overlap_3d(&p.place, &truth.place)));
            let candidate = best.map_or("", |(i, _)| said[i].caption.as_str());
            pairs.push(Pair { candidate: candidate.into(), references: vec![caption.clone()] });
            overlaps.push(best.map_or(0.0, |(_, overlap)| overlap));
            sheet.rows.push(Row { id: truth.token.clone(), cluster: sample.clone(), values: vec![] });
        }
    }
    let scores = captions::score(&pairs, Splitting::PennTreebank, files)?;
    for k in OVERLAPS {
        let columns = CaptionScore::columns("", files.is_some());
        let mut sums = vec![0.0; columns.len()];
        for ((row, score), overlap) in sheet.rows.iter_mut().zip(&scores.each).zip(&overlaps) {
            let values = score.values().into_iter().map(|v| if *overlap >= k { v } else { 0.0 });
            let before = row.values.len();
            row.values.extend(values);
            sums.iter_mut().zip(&row.values[before..]).for_each(|(sum, v)| *sum += v);
        }
        let named = columns.iter().map(|column| format!("{column}@{k}")).collect::<Vec<_>>();
        sheet.metrics.extend(named.iter().zip(&sums).map(|(n, sum)| Metric::new(n, sum / pairs.len() as f64)));
        sheet.columns.extend(named);
    }
    Ok(())
}

/// The released script's: every prediction, with the box whose size is most like its own.
fn over_predictions(
    sheet: &mut Sheet,
    captions: &BTreeMap<String, String>,
    truth: &BTreeMap<String, Vec<TrueBox>>,
    predicted: &BTreeMap<String, Vec<CaptionedBox>>,
    files: Option<&MeteorFiles>,
) -> Result<(), EvalError> {
    let mut records: Vec<(f64, Pair)> = Vec::new();
    for (sample, said) in predicted {
        let boxes = &truth[sample];
        for prediction in said {
            let best = largest(boxes.iter().map(|b| overlap_of_sizes(&b.place, &prediction.place)));
            let Some((i, overlap)) = best else { continue };
            let reference = captions.get(&boxes[i].token).map_or("The object is ignored.", String::as_str);
            records.push((overlap, Pair { candidate: prediction.caption.clone(), references: vec![reference.into()] }));
        }
    }
    if records.is_empty() {
        return Err(EvalError::Empty { what: sheet.subject.clone() });
    }
    for k in OVERLAPS {
        let kept: Vec<Pair> = records.iter().filter(|(o, _)| *o > k).map(|(_, pair)| pair.clone()).collect();
        let share = kept.len() as f64 / records.len() as f64;
        sheet.remarks.push(format!("{} of {} predictions overlap by more than {k}", kept.len(), records.len()));
        if kept.is_empty() {
            let columns = CaptionScore::columns("", files.is_some());
            sheet.metrics.extend(columns.iter().map(|column| Metric::new(format!("{column}@{k}"), 0.0)));
            continue;
        }
        let scores = captions::score(&kept, Splitting::Blanks, files)?;
        let metrics = scores.metrics("").into_iter().filter(|m| !m.name.starts_with("BLEU") || m.name == "BLEU-4");
        sheet.metrics.extend(metrics.map(|m| Metric {
            value: m.value.map(|v| crate::interval::written(v * share)),
            name: format!("{}@{k}", m.name),
        }));
    }
    Ok(())
}
