//! Configuration: defaults, overlaid by a TOML file, overlaid by `key=value` settings; then read strictly.

use crate::DistillError;
use apprentice_nn::AdamWConfig;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use toml::{Table, Value};

/// What every training run has.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainConfig {
    /// Decides initial weights, order of samples and noise.
    pub seed: u64,
    /// Optimiser steps of the whole run.
    pub steps: u64,
    /// Samples per step.
    pub batch: usize,
    /// Share of a batch that comes from the open road, where there are no labels.
    pub open_road_share: f64,
    /// Optimiser.
    pub optimiser: AdamWConfig,
    /// Factor on the learning rate of what sees: the encoder up to its tokens. Convolutions learn fast at rates at which what
    /// makes plans of tokens ends in a corner.
    pub seeing_rate: f64,
    /// Steps of linear warm-up before the cosine.
    pub warmup_steps: u64,
    /// A checkpoint to resume from every so many steps.
    pub checkpoint_every: u64,
    /// A line of metrics every so many steps.
    pub log_every: u64,
    /// Randomised appearance of pictures. Guidance is always that of the plain view.
    pub augment: bool,
    /// Plain pictures that are remembered, mebibytes.
    pub remember_mib: usize,
    /// A file of weights (torchvision's, timm's, a published planner's) that a backbone with `resnet` set starts from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backbone: Option<PathBuf>,
}

impl Default for TrainConfig {
    fn default() -> Self {
        Self {
            seed: 0,
            steps: 600,
            batch: 16,
            open_road_share: 0.0,
            optimiser: AdamWConfig { clip_norm: 15.0, ..AdamWConfig::default() },
            seeing_rate: 3.0,
            warmup_steps: 40,
            checkpoint_every: 200,
            log_every: 10,
            augment: false,
            remember_mib: 600,
            backbone: None,
        }
    }
}

impl TrainConfig {
    /// Labelled and unlabelled samples of a batch.
    pub fn shares(&self) -> [usize; 2] {
        let open = ((self.batch as f64 * self.open_road_share).round() as usize).min(self.batch.saturating_sub(1));
        [self.batch - open, open]
    }

    /// Factor on the learning rate of a parameter, by its key.
    pub fn rate(&self, key: &str) -> f64 {
        let sees = key.starts_with("encoder.") && !key.starts_with("encoder.ego.");
        if sees { self.seeing_rate } else { 1.0 }
    }

    /// Refuse published weights for an encoder that goes on from a trained one: one of the two would be lost.
    ///
    /// # Errors
    /// When there are both.
    pub fn check_start(&self, goes_on: bool) -> Result<(), DistillError> {
        match &self.backbone {
            Some(_) if goes_on => Err(DistillError::config(
                "train.backbone is for an encoder that begins afresh; here it goes on from a trained one (of a proof's students, \
                 the stem begins afresh: stem.backbone)",
            )),
            _ => Ok(()),
        }
    }

    /// Hash of the published weights, which belongs to what identifies a run.
    pub(crate) fn backbone_hash(&self) -> Result<Option<String>, DistillError> {
        let hash = |file: &std::path::PathBuf| Ok(apprentice_store::hash_file(file)?[..16].to_string());
        self.backbone.as_ref().map(hash).transpose()
    }

    /// Check the values that cannot be run.
    ///
    /// # Errors
    /// Names the field.
    pub fn check(&self) -> Result<(), DistillError> {
        let fail = |problem: &str| Err(DistillError::config(problem));
        if self.steps == 0 || self.batch == 0 || self.checkpoint_every == 0 || self.log_every == 0 {
            return fail("train.steps, batch, checkpoint_every and log_every must be positive");
        }
        if !(0.0..1.0).contains(&self.open_road_share) {
            return fail("train.open_road_share must be at least 0 and less than 1");
        }
        if !(self.optimiser.learning_rate > 0.0 && self.optimiser.learning_rate.is_finite()) {
            return fail("train.optimiser.learning_rate must be positive");
        }
        if !(self.seeing_rate > 0.0 && self.seeing_rate.is_finite()) {
            return fail("train.seeing_rate must be positive");
        }
        Ok(())
    }
}

/// Overlay tables: a value of `over` replaces that of `base`, tables are merged.
fn overlay(base: &mut Table, over: &Table) {
    for (key, value) in over {
        match (base.get_mut(key), value) {
            (Some(Value::Table(into)), Value::Table(from)) => overlay(into, from),
            _ => {
                base.insert(key.clone(), value.clone());
            }
        }
    }
}

/// `a.b.c=value` as a table; the value is TOML, or a string when it is none.
fn setting(text: &str) -> Result<Table, DistillError> {
    let wrong = || DistillError::config(format!("--set `{text}`: expected key=value"));
    let (key, value) = text.split_once('=').ok_or_else(wrong)?;
    let parsed = format!("v = {value}").parse::<Table>().ok().and_then(|mut t| t.remove("v"));
    let mut value = parsed.unwrap_or_else(|| Value::String(value.trim().into()));
    for part in key.trim().split('.').rev() {
        if part.is_empty() {
            return Err(wrong());
        }
        value = Value::Table(Table::from_iter([(part.to_string(), value)]));
    }
    match value {
        Value::Table(table) => Ok(table),
        _ => Err(wrong()),
    }
}

/// Resolve a configuration. `defaults` gives the default for the name of a preset that the overlays may choose with
/// `preset_key` (dotted), or for `None`.
///
/// # Errors
/// Names the file and the field that is unknown or of the wrong type.
pub fn resolve<T: Serialize + DeserializeOwned>(
    preset_key: &str,
    defaults: impl Fn(Option<&str>) -> Result<T, DistillError>,
    file: Option<&Path>,
    settings: &[String],
) -> Result<T, DistillError> {
    let mut over = Table::new();
    if let Some(path) = file {
        let text = apprentice_store::read_text(path)?;
        let wrong = |e: toml::de::Error| {
            let line = 1 + text[..e.span().map_or(0, |s| s.start.min(text.len()))].matches('\n').count();
            DistillError::Config { file: Some(path.into()), problem: format!("line {line}: {}", e.message()) }
        };
        over = text.parse::<Table>().map_err(wrong)?;
    }
    for text in settings {
        overlay(&mut over, &setting(text)?);
    }
    let chosen = preset_key
        .split('.')
        .try_fold(&Value::Table(over.clone()), |v, k| v.get(k))
        .and_then(Value::as_str)
        .map(String::from);
    let wrong = |problem: String| DistillError::Config { file: file.map(Into::into), problem };
    let mut table = Table::try_from(defaults(chosen.as_deref())?).map_err(|e| wrong(e.to_string()))?;
    overlay(&mut table, &over);
    table.try_into().map_err(|e: toml::de::Error| wrong(e.message().to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use apprentice_planner::StudentConfig;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Whole {
        model: StudentConfig,
        train: TrainConfig,
    }

    fn whole(file: Option<&Path>, settings: &[&str]) -> Result<Whole, DistillError> {
        let defaults = |preset: Option<&str>| {
            Ok(Whole { model: StudentConfig::preset(preset.unwrap_or("nano"))?, train: TrainConfig::default() })
        };
        let settings: Vec<_> = settings.iter().map(ToString::to_string).collect();
        resolve("model.preset", defaults, file, &settings)
    }

    #[test]
    fn files_and_settings_overlay_defaults_and_presets() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run.toml");
        std::fs::write(&path, "[train]\nsteps = 7\n[train.optimiser]\nlearning_rate = 0.5\n").unwrap();
        let w = whole(Some(&path), &["train.batch=3", "model.preset=tiny", "model.map_instances = 9"]).unwrap();
        assert_eq!((w.train.steps, w.train.batch, w.train.optimiser.learning_rate), (7, 3, 0.5));
        assert_eq!((w.model.width, w.model.map_instances), (StudentConfig::tiny().width, 9));
        assert_eq!(w.train.optimiser.beta1, 0.9);
    }

    #[test]
    fn unknown_keys_and_wrong_types_are_named() {
        for (settings, word) in [
            (["train.stepz=3"], "stepz"),
            (["train.steps=many"], "many"),
            (["model.preset=huge"], "huge"),
            (["train.steps"], "key=value"),
        ] {
            let error = whole(None, &settings).unwrap_err().to_string();
            assert!(error.contains(word), "{error}");
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bad.toml");
        std::fs::write(&path, "[train\n").unwrap();
        assert!(whole(Some(&path), &[]).unwrap_err().to_string().contains("bad.toml"));
    }

    #[test]
    fn shares_fill_the_batch() {
        let config = TrainConfig { batch: 16, open_road_share: 0.25, ..TrainConfig::default() };
        assert_eq!(config.shares(), [12, 4]);
        assert_eq!(TrainConfig { batch: 1, open_road_share: 0.9, ..config }.shares(), [1, 0]);
    }
}
