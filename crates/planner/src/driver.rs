//! A student at the wheel, on libtorch (training machines; what ships drives on ONNX).

use crate::batch::observe;
use crate::config::InputMode;
use crate::error::PlannerError;
use crate::student::Student;
use crate::vae::Draw;
use apprentice_core::{
    BoxedError, Command, Contract, Driver, EpisodeInfo, HORIZON_STEPS, Observation, Plan, Rig, Trajectory,
};
use tch::no_grad;

/// [`Student`] as a [`Driver`].
#[derive(Debug)]
pub struct StudentDriver {
    name: String,
    student: Student,
    contract: Contract,
}

impl StudentDriver {
    /// A driver called `name`.
    ///
    /// # Errors
    /// [`PlannerError::Config`] for a student that reads labels: nobody may drive on those.
    pub fn new(name: &str, student: Student, contract: Contract) -> Result<Self, PlannerError> {
        if student.config.inputs == InputMode::VisibleLabels {
            return Err(PlannerError::Config {
                field: "inputs".into(),
                reason: "a student that reads the true labels cannot drive".into(),
            });
        }
        Ok(Self { name: name.into(), student, contract })
    }

    /// From a checkpoint; the name is the file's stem.
    ///
    /// # Errors
    /// As [`Student::load`].
    pub fn open(path: &std::path::Path) -> Result<Self, PlannerError> {
        let (student, contract) = Student::load(path, tch::Device::Cpu)?;
        let name = path.file_stem().map_or_else(|| "student".into(), |s| s.to_string_lossy().into_owned());
        Self::new(&name, student, contract)
    }

    /// What the checkpoint promises.
    pub fn contract(&self) -> &Contract {
        &self.contract
    }
}

/// Trajectories `[6, 6, 2]` on the host.
pub fn plan_of(trajectories: &tch::Tensor, command: Command) -> Plan {
    let mut values = [0f32; Command::COUNT * HORIZON_STEPS * 2];
    let count = values.len();
    trajectories.to_device(tch::Device::Cpu).contiguous().copy_data(&mut values, count);
    let at = |c: usize, t: usize, i: usize| values[(c * HORIZON_STEPS + t) * 2 + i];
    let per_command = std::array::from_fn(|c| Trajectory(std::array::from_fn(|t| [at(c, t, 0), at(c, t, 1)])));
    Plan { per_command, command }
}

impl Driver for StudentDriver {
    fn name(&self) -> &str {
        &self.name
    }

    fn rig(&self) -> Option<&Rig> {
        (self.student.config.inputs == InputMode::Cameras).then_some(&self.contract.preprocessing.rig)
    }

    fn reset(&mut self, _: &EpisodeInfo) -> Result<(), BoxedError> {
        Ok(())
    }

    fn plan(&mut self, observation: &Observation<'_>) -> Result<Plan, BoxedError> {
        let command = [observation.command.index() as i64];
        let inputs = observe(
            &self.student.config,
            &self.contract.preprocessing,
            &[observation.images],
            &[observation.ego.speed_mps],
            &command,
            self.student.vs.device(),
        )?;
        let output = no_grad(|| self.student.decode(&self.student.encode(&inputs, false), Draw::Mean));
        Ok(plan_of(&output.trajectories.get(0), observation.command))
    }
}
