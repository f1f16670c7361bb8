//! What a planner answers.

use crate::command::Command;
use serde::{Deserialize, Serialize};

/// Waypoints in a plan.
pub const HORIZON_STEPS: usize = 6;
/// Time between waypoints, seconds.
pub const WAYPOINT_DT_S: f64 = 0.5;

/// Positions of the rear axle in the ego frame of the planning moment, at 0.5, 1.0, … 3.0 s. Metres.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Trajectory(pub [[f32; 2]; HORIZON_STEPS]);

impl Trajectory {
    /// Straight ahead at constant speed.
    pub fn constant_speed(speed_mps: f64) -> Self {
        Self(std::array::from_fn(|i| [(speed_mps * WAYPOINT_DT_S * (i + 1) as f64) as f32, 0.0]))
    }

    /// Distance to another trajectory at each step, metres.
    pub fn l2(&self, other: &Trajectory) -> [f64; HORIZON_STEPS] {
        std::array::from_fn(|i| f64::from(self.0[i][0] - other.0[i][0]).hypot(f64::from(self.0[i][1] - other.0[i][1])))
    }
}

/// One trajectory per navigation command, and which command was asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// Indexed by [`Command::index`].
    pub per_command: [Trajectory; Command::COUNT],
    /// The command in force.
    pub command: Command,
}

impl Plan {
    /// The same trajectory whatever the command.
    pub fn single(trajectory: Trajectory, command: Command) -> Self {
        Self { per_command: [trajectory; Command::COUNT], command }
    }

    /// The trajectory to drive.
    pub fn selected(&self) -> &Trajectory {
        &self.per_command[self.command.index()]
    }
}
