//! A camera standing in the world: transforms, frustum, clipping.

use apprentice_core::Camera;
use apprentice_core::geometry::DVec3;
use apprentice_sim::state::EgoVehicle;
use glam::Vec3;

/// Nearest distance that is drawn, metres.
pub const NEAR_M: f32 = 0.15;

/// A camera in the world frame, in single precision.
#[derive(Clone, Copy, Debug)]
pub struct View {
    /// Optical centre.
    pub position: Vec3,
    /// Camera axes in the world: right, down, forward.
    pub axes: [Vec3; 3],
    /// Focal lengths, pixels.
    pub focal: [f32; 2],
    /// Principal point, pixels.
    pub principal: [f32; 2],
    /// Pixels.
    pub width: usize,
    /// Pixels.
    pub height: usize,
    /// Inward normals of the four side planes, all through `position`.
    sides: [Vec3; 4],
}

/// Axes of the ego frame in the world: forward, left, up.
pub fn ego_axes(ego: &EgoVehicle) -> [DVec3; 3] {
    let (sin_yaw, cos_yaw) = ego.pose_in_world.yaw_rad.sin_cos();
    let (sin_pitch, cos_pitch) = f64::from(ego.pitch_rad).sin_cos();
    let forward = DVec3::new(cos_yaw * cos_pitch, sin_yaw * cos_pitch, sin_pitch);
    let left = DVec3::new(-sin_yaw, cos_yaw, 0.0);
    [forward, left, forward.cross(left)]
}

/// A point of the ego frame in the world.
pub fn ego_to_world(ego: &EgoVehicle, point_in_ego: DVec3) -> DVec3 {
    let [forward, left, up] = ego_axes(ego);
    let origin = DVec3::new(ego.pose_in_world.x, ego.pose_in_world.y, ego.ground_z_m.into());
    origin + forward * point_in_ego.x + left * point_in_ego.y + up * point_in_ego.z
}

/// A point of the world in the ego frame.
pub fn world_to_ego(ego: &EgoVehicle, point_in_world: DVec3) -> DVec3 {
    let origin = DVec3::new(ego.pose_in_world.x, ego.pose_in_world.y, ego.ground_z_m.into());
    let d = point_in_world - origin;
    let [forward, left, up] = ego_axes(ego);
    DVec3::new(d.dot(forward), d.dot(left), d.dot(up))
}

impl View {
    /// The camera of an ego.
    pub fn new(ego: &EgoVehicle, camera: &Camera) -> Self {
        let [forward, left, up] = ego_axes(ego);
        let turn = |v: DVec3| (forward * v.x + left * v.y + up * v.z).as_vec3();
        let position = ego_to_world(ego, DVec3::from_array(camera.position_in_ego)).as_vec3();
        let axes = camera.rotation_from_ego().map(turn);
        let focal = camera.focal.map(|f| f as f32);
        let principal = camera.principal.map(|c| c as f32);
        let (w, h) = (camera.width as f32, camera.height as f32);
        let ray = |x: f32, y: f32| {
            axes[0] * ((x - principal[0]) / focal[0]) + axes[1] * ((y - principal[1]) / focal[1]) + axes[2]
        };
        let corners = [ray(0.0, 0.0), ray(w, 0.0), ray(w, h), ray(0.0, h)];
        let middle = ray(w / 2.0, h / 2.0);
        let sides = std::array::from_fn(|i| {
            let normal = corners[i].cross(corners[(i + 1) % 4]).normalize();
            if normal.dot(middle) < 0.0 { -normal } else { normal }
        });
        Self { position, axes, focal, principal, width: camera.width, height: camera.height, sides }
    }

    /// Direction of a pixel position, world frame, one metre deep.
    #[inline(always)]
    pub fn ray(&self, x: f32, y: f32) -> Vec3 {
        self.axes[0] * ((x - self.principal[0]) / self.focal[0])
            + self.axes[1] * ((y - self.principal[1]) / self.focal[1])
            + self.axes[2]
    }

    /// A world point relative to the camera in camera axes.
    #[inline(always)]
    pub fn to_camera(&self, point: Vec3) -> Vec3 {
        let d = point - self.position;
        Vec3::new(self.axes[0].dot(d), self.axes[1].dot(d), self.axes[2].dot(d))
    }

    /// Whether a sphere may be seen, and its depth along the axis.
    #[inline(always)]
    pub fn sphere_depth(&self, center: Vec3, radius: f32) -> Option<f32> {
        let d = center - self.position;
        let depth = self.axes[2].dot(d);
        let inside = depth > NEAR_M - radius && self.sides.iter().all(|side| side.dot(d) > -radius);
        inside.then_some(depth)
    }
}

/// Clip a convex polygon in camera axes at the near plane. Returns the number of corners written to `out`.
#[inline(always)]
pub fn clip_near(corners: &[Vec3], out: &mut [Vec3; 8]) -> usize {
    let mut n = 0;
    for (i, &a) in corners.iter().enumerate() {
        let b = corners[(i + 1) % corners.len()];
        if a.z >= NEAR_M {
            out[n] = a;
            n += 1;
        }
        if (a.z >= NEAR_M) != (b.z >= NEAR_M) {
            out[n] = a + (b - a) * ((NEAR_M - a.z) / (b.z - a.z));
            n += 1;
        }
    }
    n
}
