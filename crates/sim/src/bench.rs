//! How fast the world steps without cameras. Called by `apprentice bench`.

use crate::error::SimError;
use crate::world::{World, WorldConfig};
use apprentice_core::Control;
use apprentice_road::{RoadNetwork, Route};
use std::sync::Arc;
use std::time::Instant;

/// What was measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WorldSpeed {
    /// Steps made.
    pub steps: u32,
    /// Seconds they took.
    pub seconds: f64,
    /// Actors in the world, on average.
    pub actors: f64,
    /// State hash at the end: two runs of the same build agree.
    pub state_hash: u64,
}

impl WorldSpeed {
    /// Steps per second.
    pub fn steps_per_s(&self) -> f64 {
        f64::from(self.steps) / self.seconds
    }
}

/// Step a world with `vehicles` of background traffic for a number of steps on the calling thread, the ego rolling
/// along its lane. Making the world is not measured.
///
/// # Errors
/// When the world cannot be made.
pub fn world_speed(
    net: Arc<RoadNetwork>,
    route: Arc<Route>,
    vehicles: usize,
    steps: u32,
) -> Result<WorldSpeed, SimError> {
    let config = WorldConfig {
        seed: 1,
        vehicles,
        pedestrians: 0,
        parked_share: 0.0,
        traffic_radius_m: 200.0,
        ..WorldConfig::default()
    };
    let mut world = World::new(net, route, config, Vec::new())?;
    let began = Instant::now();
    let mut actors = 0;
    for _ in 0..steps {
        world.step(Control::default());
        actors += world.actors().len();
    }
    Ok(WorldSpeed {
        steps,
        seconds: began.elapsed().as_secs_f64(),
        actors: actors as f64 / f64::from(steps.max(1)),
        state_hash: world.state_hash(),
    })
}
