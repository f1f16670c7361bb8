//! The CAN bus expansion: what the car measured of its own motion, `can_bus/<scene>_pose.json` and beside it.

use super::NuScenes;
use crate::error::{DataError, read_json};
use apprentice_core::EgoState;
use serde::Deserialize;
use std::path::Path;

/// One message of `pose` (50 Hz in the original recordings).
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
pub struct PoseMessage {
    /// Microseconds.
    pub utime: u64,
    /// Acceleration in the ego frame, m/s².
    pub accel: [f64; 3],
    /// In the world, quaternion w, x, y, z.
    pub orientation: [f64; 4],
    /// In the world, metres.
    pub pos: [f64; 3],
    /// In the ego frame, rad/s.
    pub rotation_rate: [f64; 3],
    /// In the ego frame, m/s.
    pub vel: [f64; 3],
}

/// One message of `steeranglefeedback`.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
pub struct SteerMessage {
    /// Microseconds.
    pub utime: u64,
    /// Radians, positive to the left.
    pub value: f64,
}

/// The messages of a scene that planners use.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CanBus {
    /// By time.
    pub poses: Vec<PoseMessage>,
    /// By time; empty where there are none.
    pub steering: Vec<SteerMessage>,
}

fn read<T: for<'de> Deserialize<'de>>(path: &Path) -> Result<Option<Vec<T>>, DataError> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(DataError::Io { path: path.into(), source }),
    };
    read_json(path, &bytes).map(Some)
}

impl CanBus {
    /// The messages of a scene; `None` where the expansion has none of it.
    ///
    /// # Errors
    /// When a file is there and cannot be read, or its messages are not in order of time.
    pub fn read(set: &NuScenes, scene: &str) -> Result<Option<Self>, DataError> {
        let at = |message: &str| set.root().join("can_bus").join(format!("{scene}_{message}.json"));
        let Some(poses) = read::<PoseMessage>(&at("pose"))? else { return Ok(None) };
        if poses.windows(2).any(|w| w[1].utime < w[0].utime) {
            return Err(DataError::invalid(&at("pose"), "utime", "messages are not in order of time"));
        }
        Ok(Some(Self { poses, steering: read(&at("steeranglefeedback"))?.unwrap_or_default() }))
    }

    /// The last pose not after a time.
    pub fn pose_at(&self, timestamp_us: u64) -> Option<&PoseMessage> {
        self.poses[..self.poses.partition_point(|m| m.utime <= timestamp_us)].last()
    }

    /// What it says of the ego's motion at a time.
    pub fn ego_state(&self, timestamp_us: u64) -> Option<EgoState> {
        let pose = self.pose_at(timestamp_us)?;
        Some(EgoState {
            speed_mps: pose.vel[0] as f32,
            acceleration_mps2: pose.accel[0] as f32,
            yaw_rate_radps: pose.rotation_rate[2] as f32,
        })
    }
}
