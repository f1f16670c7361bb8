//! Batches for training: labelled samples of one part and, beside them, unlabelled ones of the open road.

use crate::{DistillError, TrainConfig};
use apprentice_core::sample::{LightState, SampleId};
use apprentice_core::{Rig, Sample, Trajectory};
use apprentice_data::{Frame, Loader, LoaderConfig, Part, WorldSet};
use std::sync::Arc;

/// Labelled and open-road batches that are a pure function of (seed, step).
pub struct Source {
    labelled: Loader,
    open: Option<Loader>,
}

/// One step's samples, labelled ones first.
pub struct Frames {
    /// Pictures and labels.
    pub frames: Vec<Frame>,
    /// How many leading frames may be learned from by their labels.
    pub labelled: usize,
}

/// The samples of a part, which must not be empty.
///
/// # Errors
/// [`DistillError::NoSamples`].
pub fn ids_of(set: &WorldSet, part: Part) -> Result<Vec<SampleId>, DistillError> {
    let ids = set.ids(part);
    if ids.is_empty() {
        return Err(DistillError::NoSamples { path: set.root().into(), part: part.name() });
    }
    Ok(ids)
}

impl Source {
    /// Batches for a run. The order depends on the run's seed and on the data, never on the arm.
    ///
    /// # Errors
    /// When a part is empty.
    pub fn new(set: &Arc<WorldSet>, part: Part, rig: Rig, config: &TrainConfig) -> Result<Self, DistillError> {
        let [labelled, open] = config.shares();
        let loader = |part: Part, batch: usize, stream: u64| -> Result<Loader, DistillError> {
            let settings = LoaderConfig {
                augment: config.augment,
                cache_bytes: (config.remember_mib << 20) * batch / config.batch,
                ..LoaderConfig::training(rig.clone(), batch, config.seed.wrapping_mul(4).wrapping_add(stream))
            };
            Ok(Loader::new(set.clone(), ids_of(set, part)?, settings)?)
        };
        Ok(Self {
            labelled: loader(part, labelled, 0)?,
            open: if open > 0 { Some(loader(Part::OpenRoad, open, 1)?) } else { None },
        })
    }

    /// The samples of a step without their pictures, and how many leading ones are labelled.
    pub fn ids(&self, step: u64) -> (Vec<SampleId>, usize) {
        let mut ids = self.labelled.batch_ids(step);
        let labelled = ids.len();
        ids.extend(self.open.iter().flat_map(|open| open.batch_ids(step)));
        (ids, labelled)
    }

    /// The samples of a step.
    ///
    /// # Errors
    /// When a sample cannot be read.
    pub fn frames(&mut self, step: u64) -> Result<Frames, DistillError> {
        let mut frames = self.labelled.batch(step)?;
        let labelled = frames.len();
        if let Some(open) = &mut self.open {
            frames.extend(open.batch(step)?);
        }
        Ok(Frames { frames, labelled })
    }
}

/// A sample of the open road as training may see it: the observation and nothing that is true of it.
pub fn observation_only(sample: &Sample) -> Sample {
    Sample {
        future: Trajectory::default(),
        future_steps: 0,
        agents: vec![],
        map: vec![],
        light: LightState::None,
        language: vec![],
        ..sample.clone()
    }
}
