//! Where things land in a camera, computed from the same poses as the picture.

use crate::view::{ego_to_world, world_to_ego};
use apprentice_core::Camera;
use apprentice_core::geometry::DVec3;
use apprentice_sim::state::{ActorState, EgoVehicle};

/// The optical centre of a camera in the world.
pub fn camera_pose_in_world(ego: &EgoVehicle, camera: &Camera) -> DVec3 {
    ego_to_world(ego, DVec3::from_array(camera.position_in_ego))
}

/// The eight corners of an actor's box in the world, lower ring first.
pub fn box_corners(actor: &ActorState) -> [DVec3; 8] {
    let ring = actor.footprint().corners();
    std::array::from_fn(|i| {
        let z = f64::from(actor.ground_z_m) + if i < 4 { 0.0 } else { f64::from(actor.size_m[2]) };
        ring[i % 4].extend(z)
    })
}

/// Bounds `[left, top, right, bottom]` in pixels of an actor's box in a camera, not cut at the image's edge; `None` when
/// it lies behind the camera. Edges that pass the camera are cut 0.15 m in front of it.
pub fn project_actor_box(ego: &EgoVehicle, camera: &Camera, actor: &ActorState) -> Option<[f64; 4]> {
    let near = f64::from(crate::view::NEAR_M);
    let origin = DVec3::from_array(camera.position_in_ego);
    let axes = camera.rotation_from_ego();
    let corners = box_corners(actor).map(|p| {
        let d = world_to_ego(ego, p) - origin;
        DVec3::new(axes[0].dot(d), axes[1].dot(d), axes[2].dot(d))
    });
    let mut bounds: Option<[f64; 4]> = None;
    let mut add = |p: DVec3| {
        let x = camera.principal[0] + camera.focal[0] * p.x / p.z;
        let y = camera.principal[1] + camera.focal[1] * p.y / p.z;
        let [x0, y0, x1, y1] = bounds.unwrap_or([x, y, x, y]);
        bounds = Some([x0.min(x), y0.min(y), x1.max(x), y1.max(y)]);
    };
    for i in 0..4 {
        for (a, b) in [(i, (i + 1) % 4), (i + 4, (i + 1) % 4 + 4), (i, i + 4)] {
            let (a, b) = (corners[a], corners[b]);
            if a.z >= near {
                add(a);
            }
            if b.z >= near {
                add(b);
            }
            if (a.z >= near) != (b.z >= near) {
                add(a + (b - a) * ((near - a.z) / (b.z - a.z)));
            }
        }
    }
    bounds
}
