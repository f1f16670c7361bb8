//! A sparse point cloud from the depth buffers of the cameras, and what they show of each actor.
//!
//! It stands where a lidar's would: 1.84 m above the rear axle's ground and 0.94 m ahead of it, as nuScenes mounts its own.
//! Points are those pixels of a coarse grid that show something solid within 100 m; intensity and ring are 0.

use crate::nuscenes::tables::Place;
use apprentice_core::geometry::DVec3;
use apprentice_core::{Camera, Rig};
use apprentice_render::{Frames, IdKind, PixelId};
use std::collections::BTreeMap;

/// Every so many pixels of the width become a point.
const COLUMNS: usize = 200;
/// Further than this nothing is recorded, metres.
const REACH_M: f64 = 100.0;

/// Mounting of the point cloud; its axes are the ego's.
pub(super) fn mounting() -> Place {
    Place { translation: [0.94, 0.0, 1.84], rotation: [1.0, 0.0, 0.0, 0.0] }
}

/// What the cameras show.
#[derive(Default)]
pub(super) struct Seen {
    /// x, y, z, intensity and ring of each point, little-endian floats.
    pub bytes: Vec<u8>,
    /// Points by actor.
    pub points: BTreeMap<u32, u32>,
    /// Pixels by actor and camera.
    pub pixels: BTreeMap<(u32, usize), u32>,
}

/// Look at rendered frames.
pub(super) fn look(rig: &Rig, frames: &Frames) -> Seen {
    let mut seen = Seen::default();
    for (number, camera) in rig.cameras.iter().enumerate() {
        let step = (camera.width / COLUMNS).max(1);
        let [right, down, forward] = camera.rotation_from_ego();
        let (depth, ids) = (&frames.depth[number], &frames.ids[number]);
        for row in 0..camera.height {
            for column in 0..camera.width {
                let at = row * camera.width + column;
                let id = PixelId(ids[at]);
                if id.kind() == IdKind::Actor {
                    *seen.pixels.entry((id.index(), number)).or_default() += 1;
                }
                let metres = f64::from(depth[at]);
                if row % step != 0 || column % step != 0 || metres > REACH_M {
                    continue;
                }
                let across = (column as f64 + 0.5 - camera.principal[0]) / camera.focal[0];
                let below = (row as f64 + 0.5 - camera.principal[1]) / camera.focal[1];
                let point = DVec3::from_array(camera.position_in_ego)
                    + (forward + right * across + down * below) * metres
                    - DVec3::from_array(mounting().translation);
                for value in [point.x, point.y, point.z, 0.0, 0.0] {
                    seen.bytes.extend_from_slice(&(value as f32).to_le_bytes());
                }
                if id.kind() == IdKind::Actor {
                    *seen.points.entry(id.index()).or_default() += 1;
                }
            }
        }
    }
    seen
}

/// Level of visibility: pixels shown over the pixels of the box's outline, most over the cameras. An outline is filled to
/// about 70 % by what is in it.
pub(super) fn visibility(rig: &Rig, seen: &Seen, actor: u32, corners_in_ego: &[DVec3]) -> u8 {
    let share = |(number, camera): (usize, &Camera)| {
        let shown = seen.pixels.get(&(actor, number)).copied().unwrap_or(0);
        let projected: Option<Vec<[f64; 3]>> = corners_in_ego.iter().map(|p| camera.project(*p)).collect();
        let outline = projected.map_or(0.0, |points| {
            let side = |axis: usize, most: f64| {
                let values = points.iter().map(|p| p[axis].clamp(0.0, most));
                values.clone().fold(0.0_f64, f64::max) - values.fold(f64::INFINITY, f64::min)
            };
            side(0, camera.width as f64) * side(1, camera.height as f64)
        });
        if outline > 1.0 { f64::from(shown) / (0.7 * outline) } else { 0.0 }
    };
    match rig.cameras.iter().enumerate().map(share).fold(0.0, f64::max) {
        s if s >= 0.8 => 4,
        s if s >= 0.6 => 3,
        s if s >= 0.4 => 2,
        _ => 1,
    }
}
