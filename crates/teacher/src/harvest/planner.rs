//! Harvesting a model on the planner's own eyes: a [`Teacher`], or a [`Student`] for the self-distillation control.

use super::{Giver, Price, price, run};
use crate::cache::Row;
use crate::{CacheSpec, GuidanceCache, Precision, Teacher, TeacherError};
use apprentice_core::contract::Preprocessing;
use apprentice_core::sample::SampleId;
use apprentice_core::{Command, HORIZON_STEPS, Progress};
use apprentice_data::{Frame, Loader, LoaderConfig, View, WorldSet};
use apprentice_planner::batch::observe;
use apprentice_planner::{Draw, Inputs, Student, StudentConfig};
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::sync::Arc;
use tch::{Device, Tensor, no_grad};

/// Where guidance is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tap {
    /// The planning latent s_T, `[L]`.
    PlanningToken,
    /// What the language model reads, `[V, D]`.
    VisionTokens,
    /// A trajectory per command, metres, `[6, 6, 2]`: pseudo-labels.
    Trajectories,
    /// Classes of its answers ([`crate::answers`]), `[K]`, −1 for none.
    Answers,
}

impl Tap {
    /// What every teacher gives; answers are only had from one that is asked.
    pub const ALL: [Tap; 3] = [Self::PlanningToken, Self::VisionTokens, Self::Trajectories];

    /// As written in keys and folder names.
    pub fn name(self) -> &'static str {
        match self {
            Self::PlanningToken => "planning-token",
            Self::VisionTokens => "vision-tokens",
            Self::Trajectories => "trajectories",
            Self::Answers => "answers",
        }
    }

    /// Latents in half precision; trajectories keep their millimetres.
    pub fn precision(self) -> Precision {
        match self {
            Self::PlanningToken | Self::VisionTokens => Precision::F16,
            Self::Trajectories | Self::Answers => Precision::F32,
        }
    }
}

/// A frozen model that can be harvested.
pub trait Guide {
    /// What its eyes are.
    fn vision(&self) -> &StudentConfig;
    /// Shape of one sample's values at a tap, or `None` when it has no such tap.
    fn shape(&self, tap: Tap) -> Option<Vec<usize>>;
    /// Values at the taps, each with the batch as first dimension.
    fn taste(&self, inputs: &Inputs, taps: &[Tap]) -> Vec<Tensor>;
    /// Where it computes.
    fn device(&self) -> Device;
    /// How pixels enter it.
    fn preprocessing(&self) -> Preprocessing {
        self.vision().preprocessing()
    }
}

fn trajectories_shape() -> Vec<usize> {
    vec![Command::COUNT, HORIZON_STEPS, 2]
}

impl Guide for Teacher {
    fn vision(&self) -> &StudentConfig {
        &self.config.vision
    }

    fn shape(&self, tap: Tap) -> Option<Vec<usize>> {
        Some(match tap {
            Tap::PlanningToken => vec![self.config.vision.planner.latent as usize],
            Tap::VisionTokens => vec![self.config.vision_tokens() as usize, self.config.lm.hidden_size as usize],
            Tap::Trajectories => trajectories_shape(),
            // Only for a teacher that is asked: `Answering`.
            Tap::Answers => return None,
        })
    }

    fn taste(&self, inputs: &Inputs, taps: &[Tap]) -> Vec<Tensor> {
        let (scene, tokens) = self.see(inputs, false);
        let thought = self.think(&scene, &tokens, None);
        let take = |tap: &Tap| match tap {
            Tap::PlanningToken | Tap::Answers => thought.latent.shallow_clone(),
            Tap::VisionTokens => tokens.shallow_clone(),
            Tap::Trajectories => self.decode(&scene, &thought, Draw::Mean).trajectories,
        };
        taps.iter().map(take).collect()
    }

    fn device(&self) -> Device {
        self.vs.device()
    }
}

impl Guide for Student {
    fn vision(&self) -> &StudentConfig {
        &self.config
    }

    fn shape(&self, tap: Tap) -> Option<Vec<usize>> {
        match tap {
            Tap::PlanningToken => Some(vec![self.config.planner.latent as usize]),
            Tap::VisionTokens | Tap::Answers => None,
            Tap::Trajectories => Some(trajectories_shape()),
        }
    }

    fn taste(&self, inputs: &Inputs, taps: &[Tap]) -> Vec<Tensor> {
        let scene = self.encode(inputs, false);
        let take = |tap: &Tap| match tap {
            Tap::PlanningToken | Tap::VisionTokens | Tap::Answers => scene.latent.shallow_clone(),
            Tap::Trajectories => self.decode(&scene, Draw::Mean).trajectories,
        };
        taps.iter().map(take).collect()
    }

    fn device(&self) -> Device {
        self.vs.device()
    }
}

/// A multiple of the batch, so that what stands in a batch together never depends on where a run was cut.
const SHARD_SAMPLES: usize = 512;
const BATCH: usize = 16;

/// What is to be harvested from whom.
pub struct Harvest<'a> {
    /// The frozen model.
    pub guide: &'a dyn Guide,
    /// Hash of its checkpoint.
    pub teacher_hash: &'a str,
    /// Where the samples are.
    pub set: &'a Arc<WorldSet>,
    /// Which samples.
    pub ids: &'a [SampleId],
    /// Where guidance is taken.
    pub taps: &'a [Tap],
}

impl Harvest<'_> {
    fn spec(&self, tap: Tap) -> Result<CacheSpec, TeacherError> {
        let shape = self
            .guide
            .shape(tap)
            .ok_or_else(|| TeacherError::Config { reason: format!("taps: this model has no tap `{}`", tap.name()) })?;
        Ok(CacheSpec {
            teacher: self.teacher_hash.into(),
            tap: tap.name().into(),
            prompt: String::new(),
            preprocessing: self.guide.preprocessing().hash(),
            augmentation: View::Plain.name(),
            data: self.set.hash().into(),
            knows_truth: false,
            precision: tap.precision(),
            shape,
            shard_samples: SHARD_SAMPLES,
        })
    }

    fn loader(&self, ids: &[SampleId]) -> Result<Loader, TeacherError> {
        let rig = self.guide.preprocessing().rig;
        Ok(Loader::new(self.set.clone(), ids.to_vec(), LoaderConfig::evaluation(rig, BATCH))?)
    }

    /// Every tap's values of a batch, row by row.
    fn taste(&self, frames: &[Frame]) -> Result<Vec<Vec<Vec<f32>>>, TeacherError> {
        let images: Vec<_> = frames.iter().map(|f| f.images.as_slice()).collect();
        let speed: Vec<_> = frames.iter().map(|f| f.sample.ego.speed_mps).collect();
        let command: Vec<_> = frames.iter().map(|f| f.sample.command.index() as i64).collect();
        let vision = self.guide.vision();
        let preprocessing = self.guide.preprocessing();
        let inputs = observe(vision, &preprocessing, &images, &speed, &command, self.guide.device())?;
        Ok(no_grad(|| self.guide.taste(&inputs, self.taps).iter().map(rows).collect()))
    }

    /// What it would cost, without writing anything; `folder` is where it would go.
    ///
    /// # Errors
    /// When a sample cannot be read.
    pub fn price(&self, folder: Option<&Path>) -> Result<Price, TeacherError> {
        price(self, self.ids, folder)
    }

    /// Write what is missing in `folder`, one folder per tap, and open the caches.
    ///
    /// # Errors
    /// When a sample cannot be read, a file cannot be written, or the folder holds other guidance.
    pub fn run(&self, folder: &Path, progress: &dyn Progress) -> Result<Vec<GuidanceCache>, TeacherError> {
        run(self, self.ids, folder, progress)
    }
}

impl Giver for Harvest<'_> {
    fn taps(&self) -> Result<Vec<(String, CacheSpec)>, TeacherError> {
        self.taps.iter().map(|&tap| Ok((tap.name().to_string(), self.spec(tap)?))).collect()
    }

    fn give(&self, ids: &[SampleId], progress: &dyn Progress) -> Result<Vec<Vec<Option<Row>>>, TeacherError> {
        let mut loader = self.loader(ids)?;
        let mut kept: Vec<Vec<Option<Row>>> = vec![vec![]; self.taps.len()];
        for step in 0..loader.batches() {
            let frames = loader.batch(step)?;
            for (kept, values) in kept.iter_mut().zip(self.taste(&frames)?) {
                kept.extend(values.into_iter().map(|row| Some(row.into())));
            }
            progress.advance(frames.len() as u64);
        }
        Ok(kept)
    }
}

/// The rows of a tensor on the host.
pub(super) fn rows(tensor: &Tensor) -> Vec<Vec<f32>> {
    let flat = tensor.flatten(1, -1).to_device(Device::Cpu).contiguous();
    let (count, width) = flat.size2().expect("flattened to two dimensions");
    let mut values = vec![0f32; (count * width) as usize];
    let total = values.len();
    flat.copy_data(&mut values, total);
    values.chunks_exact(width as usize).map(<[f32]>::to_vec).collect()
}
