//! Boxes in space as nuScenes writes them, and how much two of them overlap.

use crate::EvalError;
use apprentice_core::geometry::DVec2;
use apprentice_core::{OrientedBox, Pose2};
use serde::{Deserialize, Serialize};

/// A box that stands upright.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Box3 {
    /// Centre, metres.
    pub translation: [f64; 3],
    /// Width, length, height, metres.
    pub size: [f64; 3],
    /// Quaternion w, x, y, z; its yaw counts.
    pub rotation: [f64; 4],
}

impl Box3 {
    /// Refuse what is no box.
    ///
    /// # Errors
    /// When a number is not finite or a size not positive.
    pub fn check(&self, file: &str, at: &str) -> Result<(), EvalError> {
        let numbers = self.translation.iter().chain(&self.size).chain(&self.rotation);
        if !numbers.clone().all(|v| v.is_finite()) || self.size.iter().any(|v| *v <= 0.0) {
            return Err(EvalError::field(file, at, "expected finite numbers and sizes above zero"));
        }
        if self.rotation.iter().all(|v| *v == 0.0) {
            return Err(EvalError::field(file, format!("{at}.rotation"), "expected a quaternion, found zeros"));
        }
        Ok(())
    }

    /// The heading, radians.
    pub fn yaw_rad(&self) -> f64 {
        let [w, x, y, z] = self.rotation;
        let norm = w * w + x * x + y * y + z * z;
        (2.0 * (w * z + x * y)).atan2(norm - 2.0 * (y * y + z * z))
    }

    /// The box seen from above.
    pub fn footprint(&self) -> OrientedBox {
        let center = Pose2::new(self.translation[0], self.translation[1], self.yaw_rad());
        OrientedBox { center, length_m: self.size[1], width_m: self.size[0] }
    }

    fn volume(&self) -> f64 {
        self.size.iter().product()
    }
}

/// Area that two rectangles share, square metres (Sutherland and Hodgman's clipping).
pub fn shared_area(a: &OrientedBox, b: &OrientedBox) -> f64 {
    let clip = b.corners();
    let mut shape = a.corners().to_vec();
    for (i, from) in clip.iter().enumerate() {
        let along = clip[(i + 1) % 4] - *from;
        let side = |p: DVec2| along.perp_dot(p - *from);
        let mut kept = Vec::with_capacity(8);
        for (k, p) in shape.iter().enumerate() {
            let next = shape[(k + 1) % shape.len()];
            let (here, there) = (side(*p), side(next));
            if here >= 0.0 {
                kept.push(*p);
            }
            if (here > 0.0 && there < 0.0) || (here < 0.0 && there > 0.0) {
                kept.push(*p + (next - *p) * (here / (here - there)));
            }
        }
        shape = kept;
        if shape.is_empty() {
            return 0.0;
        }
    }
    let twice: f64 = (0..shape.len()).map(|i| shape[i].perp_dot(shape[(i + 1) % shape.len()])).sum();
    twice.abs() / 2.0
}

/// Intersection over union of two boxes.
pub fn overlap_3d(a: &Box3, b: &Box3) -> f64 {
    let span = |b: &Box3| (b.translation[2] - b.size[2] / 2.0, b.translation[2] + b.size[2] / 2.0);
    let ((a_low, a_high), (b_low, b_high)) = (span(a), span(b));
    let height = a_high.min(b_high) - a_low.max(b_low);
    if height <= 0.0 {
        return 0.0;
    }
    let shared = shared_area(&a.footprint(), &b.footprint()) * height;
    shared / (a.volume() + b.volume() - shared)
}

/// Intersection over union of two boxes laid over each other: their sizes alone count.
pub fn overlap_of_sizes(a: &Box3, b: &Box3) -> f64 {
    let shared: f64 = a.size.iter().zip(&b.size).map(|(a, b)| a.min(*b)).product();
    shared / (a.volume() + b.volume() - shared)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn boxed(x: f64, z: f64, yaw_rad: f64) -> Box3 {
        let (sin, cos) = (yaw_rad / 2.0).sin_cos();
        Box3 { translation: [x, 0.0, z], size: [2.0, 4.0, 1.0], rotation: [cos, 0.0, 0.0, sin] }
    }

    #[test]
    fn overlaps_by_hand() {
        let a = boxed(0.0, 0.0, 0.0);
        assert!((overlap_3d(&a, &a) - 1.0).abs() < 1e-12);
        // Half of the length and half of the height: 2 of 8 + 8 − 2.
        assert!((overlap_3d(&a, &boxed(2.0, 0.5, 0.0)) - 2.0 / 14.0).abs() < 1e-12);
        // Crossed: the square of the width, 4 of 12.
        assert!((overlap_3d(&a, &boxed(0.0, 0.0, std::f64::consts::FRAC_PI_2)) - 4.0 / 12.0).abs() < 1e-12);
        assert_eq!(overlap_3d(&a, &boxed(0.0, 1.5, 0.0)), 0.0);
        assert_eq!(overlap_of_sizes(&a, &boxed(99.0, 9.0, 1.0)), 1.0);
        // Turned by 45 degrees a unit-like square makes an octagon.
        let square = |yaw_rad: f64| OrientedBox { center: Pose2::new(0.0, 0.0, yaw_rad), length_m: 2.0, width_m: 2.0 };
        let octagon = shared_area(&square(0.0), &square(std::f64::consts::FRAC_PI_4));
        assert!((octagon - 8.0 * (2.0_f64.sqrt() - 1.0)).abs() < 1e-12, "{octagon}");
    }
}
