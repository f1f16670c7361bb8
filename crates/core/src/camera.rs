//! Cameras: pinhole models, the Bench2Drive rig, images.

use crate::geometry::DVec3;
use serde::{Deserialize, Serialize};

/// A pinhole camera mounted on the ego vehicle.
///
/// Camera axes: x right, y down, z forward (the usual image convention). Angles turn the camera in the ego
/// frame: yaw counter-clockwise, pitch up, roll clockwise seen from behind.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Camera {
    /// nuScenes-style channel name, such as `CAM_FRONT`.
    pub name: String,
    /// Optical centre in the ego frame (rear axle on the ground), metres.
    pub position_in_ego: [f64; 3],
    /// Radians, counter-clockwise; 0 looks forward.
    pub yaw_rad: f64,
    /// Radians, up.
    pub pitch_rad: f64,
    /// Radians.
    pub roll_rad: f64,
    /// Pixels.
    pub width: usize,
    /// Pixels.
    pub height: usize,
    /// Focal lengths, pixels.
    pub focal: [f64; 2],
    /// Principal point, pixels from the top-left corner of the top-left pixel. It may lie anywhere, so a
    /// cropped image is a camera too.
    pub principal: [f64; 2],
}

impl Camera {
    /// Rows of the rotation that takes ego-frame vectors to camera axes (right, down, forward).
    pub fn rotation_from_ego(&self) -> [DVec3; 3] {
        let (sy, cy) = self.yaw_rad.sin_cos();
        let (sp, cp) = self.pitch_rad.sin_cos();
        let (sr, cr) = self.roll_rad.sin_cos();
        let forward = DVec3::new(cy * cp, sy * cp, sp);
        let right0 = DVec3::new(sy, -cy, 0.0);
        let down0 = forward.cross(right0);
        [right0 * cr + down0 * sr, down0 * cr - right0 * sr, forward]
    }

    /// Project a point of the ego frame: (column, row, depth). `None` behind the camera. The result may lie
    /// outside the image.
    pub fn project(&self, point_in_ego: DVec3) -> Option<[f64; 3]> {
        let d = point_in_ego - DVec3::from_array(self.position_in_ego);
        let [right, down, forward] = self.rotation_from_ego().map(|axis| axis.dot(d));
        (forward > 1e-6).then(|| {
            [
                self.principal[0] + self.focal[0] * right / forward,
                self.principal[1] + self.focal[1] * down / forward,
                forward,
            ]
        })
    }
}

/// The cameras of a vehicle, in the order the network sees them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rig {
    /// The cameras.
    pub cameras: Vec<Camera>,
}

/// Distance from the rear axle forward to the centre of CARLA's lincoln.mkz_2020, metres (its bounding-box centre,
/// which Bench2Drive's sensor positions are relative to). Source: the CARLA-fitted bicycle model's rear wheelbase.
pub const REAR_AXLE_TO_CENTER_M: f64 = 1.417_827_5;

impl Rig {
    /// The six cameras of Bench2Drive's VAD and UniAD agents, in the order front, front left, front right,
    /// back, back left, back right, as `width` × `height` images: the 1600×900 image is scaled to `width`
    /// columns, then `height` rows centred on the horizon are kept.
    pub fn bench2drive(width: usize, height: usize) -> Self {
        // (name, x, y (CARLA: right), yaw (CARLA: clockwise, degrees), horizontal field of view, degrees)
        const MOUNTS: [(&str, f64, f64, f64, f64); 6] = [
            ("CAM_FRONT", 0.80, 0.0, 0.0, 70.0),
            ("CAM_FRONT_LEFT", 0.27, -0.55, -55.0, 70.0),
            ("CAM_FRONT_RIGHT", 0.27, 0.55, 55.0, 70.0),
            ("CAM_BACK", -2.0, 0.0, 180.0, 110.0),
            ("CAM_BACK_LEFT", -0.32, -0.55, -110.0, 70.0),
            ("CAM_BACK_RIGHT", -0.32, 0.55, 110.0, 70.0),
        ];
        let cameras = MOUNTS
            .iter()
            .map(|&(name, x, y, yaw_deg, fov_deg)| {
                let focal = width as f64 / 2.0 / (fov_deg.to_radians() / 2.0).tan();
                Camera {
                    name: name.into(),
                    position_in_ego: [x + REAR_AXLE_TO_CENTER_M, -y, 1.60],
                    yaw_rad: crate::wrap_angle(-yaw_deg.to_radians()),
                    pitch_rad: 0.0,
                    roll_rad: 0.0,
                    width,
                    height,
                    focal: [focal, focal],
                    principal: [width as f64 / 2.0, height as f64 / 2.0],
                }
            })
            .collect();
        Self { cameras }
    }
}

/// An 8-bit RGB image, rows from the top, three bytes a pixel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// Pixels.
    pub width: usize,
    /// Pixels.
    pub height: usize,
    /// `height * width * 3` bytes.
    pub rgb: Vec<u8>,
}

impl Image {
    /// A black image.
    pub fn black(width: usize, height: usize) -> Self {
        Self { width, height, rgb: vec![0; width * height * 3] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn front_camera_sees_ahead_and_left_is_left() {
        let rig = Rig::bench2drive(224, 128);
        let [column, row, depth] = rig.cameras[0].project(DVec3::new(22.2178275, 0.0, 1.6)).unwrap();
        assert!((column - 112.0).abs() < 1e-9 && (row - 64.0).abs() < 1e-9 && (depth - 20.0).abs() < 1e-9);
        let [column, row, _] = rig.cameras[0].project(DVec3::new(20.0, 2.0, 0.0)).unwrap();
        assert!(column < 112.0 && row > 64.0);
        assert!(rig.cameras[3].project(DVec3::new(20.0, 0.0, 1.0)).is_none());
        // The left camera has a point on the left of the car near its middle.
        let [column, ..] = rig.cameras[1].project(DVec3::new(10.0, 12.0, 1.0)).unwrap();
        assert!((column - 112.0).abs() < 20.0, "{column}");
    }

    #[test]
    fn rotation_is_orthonormal_with_pitch_and_roll() {
        let mut camera = Rig::bench2drive(224, 128).cameras[2].clone();
        (camera.pitch_rad, camera.roll_rad) = (0.2, -0.3);
        let r = camera.rotation_from_ego();
        for i in 0..3 {
            for j in 0..3 {
                assert!((r[i].dot(r[j]) - f64::from(u8::from(i == j))).abs() < 1e-12);
            }
        }
        assert!((r[0].cross(r[1]) - r[2]).length() < 1e-12);
    }
}
