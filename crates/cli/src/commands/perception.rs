//! `apprentice eval detection|tracking|prediction`: result files in nuScenes' own formats.

use crate::arguments::{EvalPrediction, EvalResults};
use crate::source::Source;
use crate::truth::{truth_for_uniad, truth_of};
use crate::{CliError, Console};
use apprentice_core::BoxedError;
use apprentice_data::nuscenes::{NuScenes, Split};
use apprentice_eval::detection;
use apprentice_eval::perception::Named;
use apprentice_eval::prediction::{self, Forecast};
use apprentice_eval::{EvalError, motion, motion_uniad, tracking};
use serde::Serialize;

/// The data set, its split, and the result file's bytes.
fn open(eval: &EvalResults) -> Result<(NuScenes, Named, Vec<u8>), BoxedError> {
    let Source::NuScenes(root) = &eval.data else {
        return Err(CliError::new(format!("{} is not a nuScenes data set", eval.data), "name nuscenes:ROOT").into());
    };
    let bytes = std::fs::read(&eval.results).map_err(|source| EvalError::Io { path: eval.results.clone(), source })?;
    let set = NuScenes::open(root, eval.version.as_deref())?;
    let split = match &eval.split {
        Some(split) => split.clone(),
        None => Split::judged(set.version())
            .map(|s| s.name.to_string())
            .ok_or_else(|| CliError::new(format!("{} has no usual split", set.version()), "name one with --split"))?,
    };
    let results = eval.results.display().to_string();
    Ok((set, Named { data: eval.data.to_string(), split, results }, bytes))
}

fn finish(
    document: &impl Serialize,
    eval: &EvalResults,
    console: &Console,
    text: impl FnOnce() -> String,
) -> Result<(), BoxedError> {
    if let Some(path) = &eval.out {
        let json = serde_json::to_string_pretty(document).expect("a result is plain data");
        apprentice_store::write_atomic(path, json.as_bytes())?;
    }
    console.answer(document, text);
    Ok(())
}

fn shown(value: Option<f64>) -> String {
    value.map_or_else(|| format!("{:>8}", "-"), |v| format!("{v:8.4}"))
}

/// Judge detections.
pub fn detection(eval: &EvalResults, console: &Console) -> Result<(), BoxedError> {
    let (set, named, bytes) = open(eval)?;
    let truth = truth_of(&set, &named.split)?;
    let result = detection::evaluate(named, &bytes, &truth)?;
    finish(&result, eval, console, || {
        let mut text = format!(
            "{} ({} samples)\nmAP {:.4}  NDS {:.4}\n{:22} {:>8} {:>8} {:>8} {:>8} {:>8} {:>8}\n",
            result.heading,
            result.samples,
            result.mean_ap,
            result.nd_score,
            "",
            "AP",
            "ATE m",
            "ASE",
            "AOE rad",
            "AVE m/s",
            "AAE"
        );
        let row = |name: &str, ap: f64, errors: &detection::Errors| {
            let errors: String = errors.all().iter().map(|e| format!(" {}", shown(*e))).collect();
            format!("{name:22} {ap:8.4}{errors}\n")
        };
        for class in &result.classes {
            text += &row(&class.name, class.ap, &class.errors);
        }
        text + &row("mean", result.mean_ap, &result.errors)
    })
}

/// Judge tracks.
pub fn tracking(eval: &EvalResults, console: &Console) -> Result<(), BoxedError> {
    let (set, named, bytes) = open(eval)?;
    let truth = truth_of(&set, &named.split)?;
    let result = tracking::evaluate(named, &bytes, &truth)?;
    finish(&result, eval, console, || {
        let mut text = format!(
            "{} ({} samples)\n{:12} {:>8} {:>8} {:>8} {:>8} {:>8} {:>8} {:>8}\n",
            result.heading, result.samples, "", "AMOTA", "AMOTP m", "MOTA", "recall", "IDS", "FP", "FN"
        );
        let all = [("all", &result.all)];
        for (name, f) in result.classes.iter().map(|c| (c.name.as_str(), &c.figures)).chain(all) {
            let values = [f.amota, f.amotp, f.mota, f.recall, f.ids, f.fp, f.r#fn];
            text += &format!("{name:12}{}\n", values.map(|v| format!(" {}", shown(v))).concat());
        }
        text
    })
}

/// Judge forecasts.
pub fn prediction(eval: &EvalPrediction, console: &Console) -> Result<(), BoxedError> {
    let common = &eval.common;
    match eval.protocol.as_str() {
        prediction::PROTOCOL => {
            let (set, named, bytes) = open(common)?;
            let entries = prediction::read_predictions(&named.results, &bytes)?;
            let futures = crate::truth::futures_of(&set, &named, &entries)?;
            let forecasts: Vec<Forecast<'_>> = entries
                .iter()
                .zip(futures)
                .map(|(entry, (truth, off_road))| Forecast { entry, truth, off_road })
                .collect();
            let result = prediction::evaluate(named, &forecasts)?;
            finish(&result, common, console, || {
                let mut text = format!("{} ({} predictions)\n", result.heading, result.predictions);
                for k in &result.top_k {
                    text += &format!(
                        "k = {:2}  minADE {:.4} m  minFDE {:.4} m  missed {:.4}\n",
                        k.k, k.min_ade_m, k.min_fde_m, k.miss_rate
                    );
                }
                text + &format!("off road {}", shown(result.off_road_rate))
            })
        }
        motion::PROTOCOL | motion_uniad::PROTOCOL => {
            let (set, named, bytes) = open(common)?;
            let result = if eval.protocol == motion::PROTOCOL {
                motion::evaluate(named.clone(), &bytes, &truth_of(&set, &named.split)?)?
            } else {
                motion_uniad::evaluate(named.clone(), &bytes, &truth_for_uniad(&set, &named.split)?)?
            };
            finish(&result, common, console, || {
                let mut text = format!(
                    "{} ({} samples)\n{:12} {:>8} {:>8} {:>8} {:>8}\n",
                    result.heading, result.samples, "", "minADE m", "minFDE m", "missed", "EPA"
                );
                for g in &result.groups {
                    let values = [g.min_ade_m, g.min_fde_m, g.miss_rate, g.epa];
                    text += &format!("{:12}{}\n", g.name, values.map(|v| format!(" {}", shown(v))).concat());
                }
                text
            })
        }
        other => {
            let known = vec![prediction::PROTOCOL, motion::PROTOCOL, motion_uniad::PROTOCOL];
            Err(EvalError::UnknownProtocol { name: other.into(), known }.into())
        }
    }
}
