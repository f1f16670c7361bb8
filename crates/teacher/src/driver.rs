//! The teacher at the wheel: no text is read or written, the planning token alone drives.

use crate::{Teacher, TeacherError};
use apprentice_core::{BoxedError, Contract, Driver, EpisodeInfo, Observation, Plan, Rig};
use apprentice_planner::batch::observe;
use apprentice_planner::driver::plan_of;
use apprentice_planner::{Draw, InputMode};
use tch::no_grad;

/// [`Teacher`] as a [`Driver`].
#[derive(Debug)]
pub struct TeacherDriver {
    name: String,
    teacher: Teacher,
    contract: Contract,
}

impl TeacherDriver {
    /// A driver called `name`.
    pub fn new(name: &str, teacher: Teacher, contract: Contract) -> Self {
        Self { name: name.into(), teacher, contract }
    }

    /// From a checkpoint; the name is the file's stem.
    ///
    /// # Errors
    /// As [`Teacher::load`].
    pub fn open(path: &std::path::Path) -> Result<Self, TeacherError> {
        let (teacher, contract, _) = Teacher::load(path, tch::Device::Cpu)?;
        let name = path.file_stem().map_or_else(|| "teacher".into(), |s| s.to_string_lossy().into_owned());
        Ok(Self::new(&name, teacher, contract))
    }

    /// What the checkpoint promises.
    pub fn contract(&self) -> &Contract {
        &self.contract
    }
}

impl Driver for TeacherDriver {
    fn name(&self) -> &str {
        &self.name
    }

    fn rig(&self) -> Option<&Rig> {
        (self.teacher.config.vision.inputs == InputMode::Cameras).then_some(&self.contract.preprocessing.rig)
    }

    fn reset(&mut self, _: &EpisodeInfo) -> Result<(), BoxedError> {
        Ok(())
    }

    fn plan(&mut self, observation: &Observation<'_>) -> Result<Plan, BoxedError> {
        let inputs = observe(
            &self.teacher.config.vision,
            &self.contract.preprocessing,
            &[observation.images],
            &[observation.ego.speed_mps],
            &[observation.command.index() as i64],
            self.teacher.vs.device(),
        )?;
        let output = no_grad(|| {
            let (scene, tokens) = self.teacher.see(&inputs, false);
            let thought = self.teacher.think(&scene, &tokens, None);
            self.teacher.decode(&scene, &thought, Draw::Mean)
        });
        Ok(plan_of(&output.trajectories.get(0), observation.command))
    }
}
