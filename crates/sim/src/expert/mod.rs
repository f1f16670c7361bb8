//! The rule-based expert: drives the route, keeps the rules, avoids everybody.

use crate::world::World;
use apprentice_core::{Control, Trajectory};
use serde::{Deserialize, Serialize};

/// What the expert may react to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ExpertMode {
    /// Only what the cameras could show: its plans are fit to be labels.
    VisibleOnly,
    /// Everything, hidden or not: an upper bound.
    Privileged,
}

/// A rule-based driver with the world's map and, by mode, its state.
#[derive(Clone, Debug)]
pub struct Expert {
    mode: ExpertMode,
}

impl Expert {
    /// A driver at the beginning of an episode.
    pub fn new(mode: ExpertMode) -> Self {
        Self { mode }
    }
    /// Its mode.
    pub fn mode(&self) -> ExpertMode {
        self.mode
    }
    /// Control for the world's next step.
    pub fn control(&mut self, _world: &World) -> Control {
        Control::default()
    }
    /// Where it means to be over the next 3 s.
    pub fn plan(&self, world: &World) -> Trajectory {
        Trajectory::constant_speed(world.ego().speed_mps)
    }
}
