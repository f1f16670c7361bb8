//! The words every other room speaks: frames, poses, boxes, trajectories, commands, cameras, samples,
//! guidance, drivers, the checkpoint contract and errors that end in a hint.
//!
//! **One convention** (everything is converted to it on load, nothing downstream knows where it came from):
//! x forward, y left, z up; metres, radians, seconds. The *ego frame* sits at the rear axle on the ground.
//! The *world frame* is OpenDRIVE's (CARLA's y is minus ours). Waypoints are positions of the rear axle in
//! the ego frame of the moment of planning, [`HORIZON_STEPS`] of them, [`WAYPOINT_DT_S`] apart.
//!
//! What may not enter here: tensors, files, machine learning, worlds.

pub mod camera;
pub mod command;
pub mod contract;
pub mod driver;
pub mod error;
pub mod geometry;
pub mod guidance;
pub mod hash;
pub mod infractions;
pub mod json;
pub mod progress;
pub mod rng;
pub mod sample;
pub mod seal;
pub mod trajectory;

pub use camera::{Camera, Image, Rig};
pub use command::Command;
pub use contract::Contract;
pub use driver::{Control, Driver, EpisodeInfo, Observation};
pub use error::{BoxedError, Hint};
pub use geometry::{OrientedBox, Pose2, wrap_angle};
pub use guidance::{Guidance, GuidanceKey, GuidanceSource};
pub use progress::{Progress, Silent};
pub use rng::Rng;
pub use sample::{AgentClass, AgentLabel, EgoState, MapClass, MapLabel, Sample};
pub use trajectory::{HORIZON_STEPS, Plan, Trajectory, WAYPOINT_DT_S};
