//! The world: actors, traffic, lights, pedestrians, scenarios, the ego's dynamics, its controller, the expert, criteria
//! and what the world can say about itself in words. 20 Hz, deterministic: same seed, same state hash at every tick,
//! whatever the number of threads.
//!
//! What may not enter here: cameras, tensors, files other than route XML handed in as text.

pub mod actor;
pub mod bench;
pub mod controller;
pub mod criteria;
pub mod ego;
pub mod error;
pub mod expert;
pub mod language;
pub mod lights;
mod population;
pub mod routes;
pub mod rules;
pub mod scenario;
pub mod state;
mod traffic;
pub mod world;

pub use actor::{Actor, AtEnd, Behaviour, LaneFollowing, Polyline, Role, Scripted, Walk};
pub use controller::WaypointPid;
pub use ego::EgoModel;
pub use error::SimError;
pub use expert::{Expert, ExpertMode};
pub use scenario::{Scenario, ScenarioSpec};
pub use world::{Contact, EgoDisturbance, World, WorldConfig};
