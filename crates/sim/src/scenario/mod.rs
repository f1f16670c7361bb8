//! Scenarios: Bench2Drive's types, read from route files and played by a handful of behaviours.
//!
//! [`build`] puts what stands there from the beginning into the world and returns the scenario, which then acts at
//! every tick ([`Scenario`]). Places are distances along the ego's route from the trigger point; parameters are the
//! route file's. Numbers that the files do not give follow CARLA's `scenario_runner` (its defaults are named beside
//! the code).

mod blocker;
mod crossing;
mod cut_in;
mod emergency;
mod flow;
mod hook;
mod junction;
pub mod kinds;
mod plain;
mod site;
mod slow_side;
mod spec;

pub use hook::Scenario;
pub use kinds::{Family, KINDS, Kind};
pub use spec::{Params, ScenarioSpec};

use crate::actor::Behaviour;
use crate::error::SimError;
use crate::state::ActorKind;
use crate::world::World;
use apprentice_core::{Pose2, Rng};

/// Whether this version plays a type.
pub fn built(kind: &str) -> bool {
    kinds::find(kind).is_some()
}

/// Whether a type means nothing on a map without traffic lights.
pub fn needs_signals(kind: &str) -> bool {
    kinds::find(kind).is_some_and(|k| k.needs_signals)
}

/// Make a scenario and put what stands there from the beginning into the world.
///
/// # Errors
/// [`SimError::NotBuilt`] for an unknown type, [`SimError::Scenario`] when the place does not fit it.
pub fn build(spec: &ScenarioSpec, world: &mut World) -> Result<Box<dyn Scenario>, SimError> {
    let kind = kinds::find(&spec.kind).ok_or_else(|| SimError::NotBuilt { kind: spec.kind.clone() })?;
    let mut key = vec![world.config.seed];
    key.extend(spec.name.bytes().map(u64::from));
    let seed = Rng::new(&key).next_u64();
    let site = site::Site::new(world, spec, seed)?;
    Ok(match kind.family {
        Family::Blocker | Family::Door => Box::new(blocker::Blocker::build(spec, site, world)),
        Family::SlowSide => Box::new(slow_side::SlowSide::build(spec, site, world)),
        Family::Crossing | Family::TurnCrossing => Box::new(crossing::CrossingScenario::build(spec, site, world)),
        Family::HardBrake => Box::new(plain::HardBrake::build(spec, site, world)),
        Family::CutIn => Box::new(cut_in::CutIn::build(spec, site, world)?),
        Family::Flow => Box::new(flow::FlowScenario::build(spec, site, world)?),
        Family::Invading => Box::new(flow::Invading::build(spec, site, world)),
        Family::Runner => Box::new(junction::Runner::build(spec, site, world)?),
        Family::BlockedJunction => Box::new(junction::Blocked::build(spec, site, world)?),
        Family::Emergency => Box::new(emergency::Emergency::build(spec, site)),
        Family::ControlLoss => Box::new(plain::ControlLoss::build(spec, site, world)),
        Family::ParkingExit => Box::new(plain::ParkingExit::build(spec, site, world)),
        Family::Plain => Box::new(plain::Plain::build(spec, site, world)),
    })
}

/// Spawn something already in motion.
fn spawn_moving(world: &mut World, kind: ActorKind, pose: Pose2, speed_mps: f64, behaviour: Behaviour) -> u32 {
    let id = world.spawn(kind, pose, behaviour);
    if let Some(actor) = world.actor_mut(id) {
        actor.state.speed_mps = speed_mps as f32;
    }
    id
}
