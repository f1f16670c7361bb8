//! From a sample to pictures: one renderer with its buffers, plain or augmented views.

use crate::{DataError, WorldSet};
use apprentice_core::sample::SampleId;
use apprentice_core::{Image, Rig, Rng, Sample};
use apprentice_render::{Frames, RenderOptions, Renderer};
use std::sync::Arc;

/// A sample with the pictures of one rig.
#[derive(Clone, Debug)]
pub struct Frame {
    /// Labels.
    pub sample: Arc<Sample>,
    /// One per camera, in the rig's order.
    pub images: Vec<Image>,
    /// Which view it is.
    pub view: View,
}

/// Which view of a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum View {
    /// As the cameras see it.
    Plain,
    /// Under the randomised appearance of a seed.
    Augmented(u64),
}

impl View {
    /// As guidance keys name it.
    pub fn name(self) -> String {
        match self {
            Self::Plain => "none".into(),
            Self::Augmented(seed) => format!("appearance-{seed:016x}"),
        }
    }

    /// The augmented view of a sample in a training step: a pure function of its arguments.
    pub fn of_step(seed: u64, step: u64, index: u64) -> Self {
        Self::Augmented(Rng::new(&[seed, 0xa06_3e47, step, index]).next_u64())
    }

    fn options(self) -> RenderOptions {
        match self {
            Self::Plain => RenderOptions::default(),
            Self::Augmented(seed) => RenderOptions::augmented(seed),
        }
    }
}

/// Renders samples; one per thread.
pub struct CameraWork {
    set: Arc<WorldSet>,
    rig: Rig,
    renderer: Renderer,
    frames: Frames,
}

impl CameraWork {
    /// For a data set and a rig.
    pub fn new(set: Arc<WorldSet>, rig: Rig) -> Self {
        Self { set, rig, renderer: Renderer::new(), frames: Frames::default() }
    }

    /// A view of a sample.
    ///
    /// # Errors
    /// When there is no such sample, its file is damaged or its town cannot be built.
    pub fn frame(&mut self, id: &SampleId, view: View) -> Result<Frame, DataError> {
        let record = self.set.record(id)?;
        let town = self.set.town(&id.world)?;
        self.renderer.render_into(&town.scene, &record.snapshot, &self.rig, &view.options(), &mut self.frames);
        Ok(Frame { sample: Arc::new(record.sample), images: self.frames.images.clone(), view })
    }
}
