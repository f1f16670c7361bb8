//! An exported student at the wheel.

use crate::{Engine, EngineKind, Input, RuntimeError, read_contract};
use apprentice_core::{
    BoxedError, Command, Contract, Driver, EpisodeInfo, HORIZON_STEPS, Image, Observation, Plan, Rig, Trajectory,
};
use std::path::Path;

/// A driver that runs an exported ONNX file.
pub struct OnnxDriver {
    name: String,
    contract: Contract,
    engine: Engine,
}

impl OnnxDriver {
    /// Open a file with an engine.
    ///
    /// # Errors
    /// When the file, its contract or the engine is not sound.
    pub fn open(path: &Path, kind: EngineKind, threads: usize) -> Result<Self, RuntimeError> {
        let (bytes, contract) = read_contract(path)?;
        let engine = Engine::load(kind, path, &bytes, threads)?;
        let name = path.file_stem().map_or_else(|| "student".into(), |stem| stem.to_string_lossy().into_owned());
        Ok(Self { name, contract, engine })
    }

    /// What the file promises.
    pub fn contract(&self) -> &Contract {
        &self.contract
    }

    /// Trajectories for all commands from images, speed and command.
    ///
    /// # Errors
    /// When the images do not fit the contract or the engine fails.
    pub fn trajectories(
        &mut self,
        images: &[Image],
        speed_mps: f32,
        command: Command,
    ) -> Result<[Trajectory; Command::COUNT], RuntimeError> {
        let rig = &self.contract.preprocessing.rig;
        let pixels = images_to_input(rig, images)?;
        let (width, height) = rig.cameras.first().map_or((0, 0), |c| (c.width, c.height));
        let mut one_hot = [0f32; Command::COUNT];
        one_hot[command.index()] = 1.0;
        let outputs = self.engine.run(&[
            Input { name: "images", shape: &[1, images.len(), 3, height, width], values: &pixels },
            Input { name: "speed", shape: &[1, 1], values: &[speed_mps] },
            Input { name: "command", shape: &[1, Command::COUNT], values: &one_hot },
        ])?;
        let values = outputs.into_iter().next().unwrap_or_default();
        const COUNT: usize = Command::COUNT * HORIZON_STEPS * 2;
        if values.len() != COUNT || values.iter().any(|v| !v.is_finite()) {
            let found =
                if values.len() == COUNT { "some that are not finite".into() } else { values.len().to_string() };
            return Err(RuntimeError::Output { expected: COUNT, found });
        }
        Ok(std::array::from_fn(|command| {
            Trajectory(std::array::from_fn(|step| {
                let at = (command * HORIZON_STEPS + step) * 2;
                [values[at], values[at + 1]]
            }))
        }))
    }
}

impl Driver for OnnxDriver {
    fn name(&self) -> &str {
        &self.name
    }
    fn rig(&self) -> Option<&Rig> {
        Some(&self.contract.preprocessing.rig)
    }
    fn reset(&mut self, _: &EpisodeInfo) -> Result<(), BoxedError> {
        Ok(())
    }
    fn plan(&mut self, observation: &Observation<'_>) -> Result<Plan, BoxedError> {
        let per_command = self.trajectories(observation.images, observation.ego.speed_mps, observation.command)?;
        Ok(Plan { per_command, command: observation.command })
    }
}

/// Interleaved bytes to planes of floats, `[N, 3, H, W]`, 0..255.
fn images_to_input(rig: &Rig, images: &[Image]) -> Result<Vec<f32>, RuntimeError> {
    if images.len() != rig.cameras.len() {
        let (expected, found) = (format!("{} cameras", rig.cameras.len()), format!("{} images", images.len()));
        return Err(RuntimeError::Image { index: images.len().min(rig.cameras.len()), expected, found });
    }
    let mut input = Vec::with_capacity(images.iter().map(|i| i.rgb.len()).sum());
    for (index, (image, camera)) in images.iter().zip(&rig.cameras).enumerate() {
        if (image.width, image.height) != (camera.width, camera.height)
            || image.rgb.len() != image.width * image.height * 3
        {
            let expected = format!("{}×{} pixels", camera.width, camera.height);
            return Err(RuntimeError::Image { index, expected, found: format!("{}×{}", image.width, image.height) });
        }
        for channel in 0..3 {
            input.extend(image.rgb.iter().skip(channel).step_by(3).map(|&v| f32::from(v)));
        }
    }
    Ok(input)
}
