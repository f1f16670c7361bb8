//! Anything that turns observations into a plan.

use crate::camera::{Image, Rig};
use crate::command::Command;
use crate::error::BoxedError;
use crate::sample::EgoState;
use crate::trajectory::Plan;
use serde::{Deserialize, Serialize};

/// Vehicle control, CARLA's meaning: throttle and brake in 0..1, steer in -1..1 with **right positive**.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Control {
    /// 0..1.
    pub throttle: f64,
    /// -1 (left) .. 1 (right).
    pub steer: f64,
    /// 0..1.
    pub brake: f64,
}

/// What a driver is told when an episode begins.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct EpisodeInfo {
    /// World or route name.
    pub name: String,
    /// Seed of the episode.
    pub seed: u64,
}

/// What a driver sees. There is no ground truth in it, by type.
#[derive(Clone, Copy, Debug)]
pub struct Observation<'a> {
    /// Seconds since the episode began.
    pub time_s: f64,
    /// One image per camera of the driver's rig, in its order; empty for a driver without a rig.
    pub images: &'a [Image],
    /// Own motion.
    pub ego: EgoState,
    /// From the route ahead.
    pub command: Command,
}

/// A driver. The closed loop, the real-time runtime and the CARLA agent all drive this trait.
pub trait Driver: Send {
    /// Name for tables.
    fn name(&self) -> &str;
    /// The cameras it needs, or `None` when it looks at nothing.
    fn rig(&self) -> Option<&Rig>;
    /// A new episode begins: forget the last one.
    fn reset(&mut self, episode: &EpisodeInfo) -> Result<(), BoxedError>;
    /// Plan from one observation.
    fn plan(&mut self, observation: &Observation<'_>) -> Result<Plan, BoxedError>;
}

/// Keeps its speed and heading: the floor of every table.
pub struct ConstantVelocity;

impl Driver for ConstantVelocity {
    fn name(&self) -> &str {
        "constant-velocity"
    }
    fn rig(&self) -> Option<&Rig> {
        None
    }
    fn reset(&mut self, _: &EpisodeInfo) -> Result<(), BoxedError> {
        Ok(())
    }
    fn plan(&mut self, observation: &Observation<'_>) -> Result<Plan, BoxedError> {
        let trajectory = crate::Trajectory::constant_speed(f64::from(observation.ego.speed_mps));
        Ok(Plan::single(trajectory, observation.command))
    }
}

/// Plans to stand still.
pub struct Stop;

impl Driver for Stop {
    fn name(&self) -> &str {
        "stop"
    }
    fn rig(&self) -> Option<&Rig> {
        None
    }
    fn reset(&mut self, _: &EpisodeInfo) -> Result<(), BoxedError> {
        Ok(())
    }
    fn plan(&mut self, observation: &Observation<'_>) -> Result<Plan, BoxedError> {
        Ok(Plan::single(crate::Trajectory::default(), observation.command))
    }
}
