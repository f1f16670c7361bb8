//! The training loop: a task, a folder, and nothing lost when the process is killed.
//!
//! A run's folder holds `run.json` (what identifies the run), `metrics.jsonl` (one line per logged step, no clock
//! in it), `resume.safetensors` while it is under way, and at the end the task's own files and `done.json`. Whatever is drawn at random
//! is keyed by (seed, step), so a run that was killed and started again ends with the bytes of an undisturbed one.

use crate::{DistillError, TrainConfig};
use apprentice_core::Progress;
use apprentice_nn::checkpoint::tensor_bytes;
use apprentice_nn::{StepReport, TensorFile, read_tensors};
use apprentice_store::{RunLock, read_json, read_text, sweep, write_atomic, write_json};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;
use tch::{Device, Tensor};

/// What a step gives: what the optimiser saw, and the terms of the loss by name.
pub type Stepped = (StepReport, Vec<(&'static str, f64)>);

/// Something that is trained step by step.
pub trait Task {
    /// Name for progress bars.
    fn name(&self) -> String;
    /// Everything that must be equal for a run to be continued.
    fn identity(&self) -> serde_json::Value;
    /// Take step `step` (from 0); returns what the optimiser saw and the terms of the loss.
    ///
    /// # Errors
    /// When data cannot be read.
    fn step(&mut self, step: u64) -> Result<Stepped, DistillError>;
    /// Weights and optimiser state.
    fn state(&self) -> Vec<(String, Tensor)>;
    /// Take back [`Task::state`].
    ///
    /// # Errors
    /// When the file does not fit.
    fn restore(&mut self, file: TensorFile) -> Result<(), DistillError>;
    /// Write what the run was for.
    ///
    /// # Errors
    /// When a file cannot be written.
    fn finish(&mut self, folder: &Path) -> Result<(), DistillError>;
}

/// How often the loop writes.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Steps of the run.
    pub steps: u64,
    /// Steps between checkpoints.
    pub checkpoint_every: u64,
    /// Steps between lines of metrics.
    pub log_every: u64,
}

impl Pace {
    /// As a training is configured.
    pub fn of(config: &TrainConfig) -> Self {
        Self { steps: config.steps, checkpoint_every: config.checkpoint_every, log_every: config.log_every }
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct RunFile {
    version: u32,
    identity: serde_json::Value,
}

/// What a finished run says of itself. The time is volatile; everything else repeats.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Done {
    /// Steps taken.
    pub steps: u64,
    /// Seconds of training over all sittings (volatile).
    pub seconds: f64,
    /// Mean of the last tenth of the logged losses.
    pub final_loss: f64,
}

/// One line of `metrics.jsonl`. What is not a finite number is null there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Metrics {
    /// From 0.
    pub step: u64,
    /// Weighted sum of the terms.
    pub loss: Option<f64>,
    /// Before clipping.
    pub gradient_norm: Option<f64>,
    /// The terms, unweighted.
    pub terms: BTreeMap<String, Option<f64>>,
}

const RUN_VERSION: u32 = 1;
/// So many steps without a usable gradient end a run.
const MAX_BAD_STEPS: u64 = 20;
const RESUME_FILE: &str = "resume.safetensors";

/// What computes, as far as it decides the bits: the threads of the CPU, or the GPU.
pub fn processor(device: Device) -> serde_json::Value {
    match device {
        Device::Cpu => tch::get_num_threads().into(),
        other => format!("{other:?}").into(),
    }
}

/// A run's identity with the hash of the published weights that its encoder begins with, if any.
pub(crate) fn with_backbone(mut identity: serde_json::Value, hash: Option<&str>) -> serde_json::Value {
    if let Some(hash) = hash {
        identity["backbone"] = hash.into();
    }
    identity
}

fn first_difference(path: &str, a: &serde_json::Value, b: &serde_json::Value) -> Option<String> {
    use serde_json::Value::Object;
    match (a, b) {
        (Object(a), Object(b)) => {
            let keys: std::collections::BTreeSet<_> = a.keys().chain(b.keys()).collect();
            let none = serde_json::Value::Null;
            keys.into_iter().find_map(|key| {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                first_difference(&path, a.get(key).unwrap_or(&none), b.get(key).unwrap_or(&none))
            })
        }
        _ if a == b => None,
        _ => Some(format!("{path} is {a} there and {b} here")),
    }
}

/// The first field, dotted, that differs.
pub(crate) fn difference(a: &serde_json::Value, b: &serde_json::Value) -> Option<String> {
    first_difference("", a, b)
}

/// The finished run in a folder, if it is finished and has this identity.
///
/// # Errors
/// [`DistillError::OtherRun`] when the folder holds a run with another identity.
pub fn finished(folder: &Path, identity: &serde_json::Value) -> Result<Option<Done>, DistillError> {
    match read_json::<RunFile>(&folder.join("run.json")) {
        Ok(found) => {
            if found.version != RUN_VERSION {
                let path = folder.join("run.json");
                return Err(apprentice_store::StoreError::mismatch(&path, "version", RUN_VERSION, found.version).into());
            }
            if let Some(difference) = difference(&found.identity, identity) {
                return Err(DistillError::OtherRun { path: folder.into(), difference });
            }
        }
        Err(e) if e.is_not_found() => return Ok(None),
        Err(e) => return Err(e.into()),
    }
    match read_json(&folder.join("done.json")) {
        Ok(done) => Ok(Some(done)),
        Err(e) if e.is_not_found() => Ok(None),
        Err(e) => Err(e.into()),
    }
}

/// The logged metrics of a run.
///
/// # Errors
/// When the file is damaged.
pub fn read_metrics(folder: &Path) -> Result<Vec<Metrics>, DistillError> {
    let path = folder.join("metrics.jsonl");
    let text = read_text(&path)?;
    let parse = |(number, line): (usize, &str)| {
        serde_json::from_str(line).map_err(|e| {
            apprentice_store::StoreError::corrupt(&path, format!("line {}", number + 1), "a line of metrics", e).into()
        })
    };
    text.lines().enumerate().map(parse).collect()
}

fn finite(value: f64) -> Option<f64> {
    value.is_finite().then_some(value)
}

fn line(metrics: &Metrics) -> String {
    let mut line = serde_json::to_string(metrics).expect("metrics are plain numbers");
    line.push('\n');
    line
}

/// Train to the end, from the last checkpoint in `folder` when there is one.
///
/// # Errors
/// When the folder belongs to another run, data or files fail, or training diverges.
pub fn train(task: &mut dyn Task, folder: &Path, pace: Pace, progress: &dyn Progress) -> Result<Done, DistillError> {
    let _lock = RunLock::acquire(folder)?;
    sweep(folder)?;
    let identity = task.identity();
    if let Some(done) = finished(folder, &identity)? {
        progress.skip(done.steps);
        return Ok(done);
    }
    write_json(&folder.join("run.json"), &RunFile { version: RUN_VERSION, identity })?;
    let resume_path = folder.join(RESUME_FILE);
    let (mut first, mut seconds_before) = (0, 0.0);
    // The metrics of a sitting travel in its checkpoint, so both always tell of the same step.
    let mut log = String::new();
    if resume_path.exists() {
        let mut file = read_tensors(&resume_path)?;
        first = field(&file, "step")?;
        seconds_before = field(&file, "seconds")?;
        log = file.field("metrics")?.to_string();
        file.metadata.clear();
        task.restore(file)?;
    }
    progress.start(&task.name(), pace.steps);
    progress.skip(first);
    let begun = Instant::now();
    let (mut bad, mut shown) = (0, None);
    for step in first..pace.steps {
        let (report, terms) = task.step(step)?;
        bad = if report.applied { 0 } else { bad + 1 };
        if bad >= MAX_BAD_STEPS {
            return Err(DistillError::Diverged { step, times: bad });
        }
        let smooth = shown.map_or(report.loss, |s: f64| s * 0.95 + report.loss * 0.05);
        shown = Some(if smooth.is_finite() { smooth } else { report.loss });
        if step % pace.log_every == 0 || step + 1 == pace.steps {
            let terms = terms.into_iter().map(|(name, value)| (name.to_string(), finite(value))).collect();
            let (loss, gradient_norm) = (finite(report.loss), finite(report.gradient_norm));
            log.push_str(&line(&Metrics { step, loss, gradient_norm, terms }));
            progress.note(&format!("loss {:.3}", smooth));
        }
        progress.advance(1);
        if (step + 1) % pace.checkpoint_every == 0 && step + 1 < pace.steps {
            let metadata = BTreeMap::from([
                ("step".to_string(), (step + 1).to_string()),
                ("seconds".to_string(), (seconds_before + begun.elapsed().as_secs_f64()).to_string()),
                ("metrics".to_string(), log.clone()),
            ]);
            write_atomic(&resume_path, &tensor_bytes(&task.state(), &metadata))?;
            write_atomic(&folder.join("metrics.jsonl"), log.as_bytes())?;
        }
    }
    write_atomic(&folder.join("metrics.jsonl"), log.as_bytes())?;
    let losses: Vec<f64> = read_metrics(folder)?.iter().filter_map(|m| m.loss).collect();
    if losses.is_empty() {
        return Err(DistillError::Diverged { step: pace.steps, times: pace.steps });
    }
    task.finish(folder)?;
    let tail = &losses[losses.len() - losses.len().div_ceil(10)..];
    let done = Done {
        steps: pace.steps,
        seconds: seconds_before + begun.elapsed().as_secs_f64(),
        final_loss: tail.iter().sum::<f64>() / tail.len() as f64,
    };
    write_json(&folder.join("done.json"), &done)?;
    if resume_path.exists() {
        std::fs::remove_file(&resume_path).map_err(|e| apprentice_store::StoreError::io("remove", &resume_path, e))?;
    }
    progress.finish();
    Ok(done)
}

fn field<T: std::str::FromStr>(file: &TensorFile, name: &str) -> Result<T, DistillError> {
    let text = file.field(name)?;
    text.parse().map_err(|_| apprentice_store::StoreError::corrupt(&file.path, name, "a number", text).into())
}
