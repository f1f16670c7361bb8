//! Poses, angles and oriented boxes in the plane.

pub use glam::{DMat3, DQuat, DVec2, DVec3};
use serde::{Deserialize, Serialize};

/// Wrap an angle to (-π, π].
pub fn wrap_angle(angle_rad: f64) -> f64 {
    let wrapped = angle_rad.rem_euclid(std::f64::consts::TAU);
    if wrapped > std::f64::consts::PI { wrapped - std::f64::consts::TAU } else { wrapped }
}

/// A position and heading in the plane: metres, radians counter-clockwise from +x.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Pose2 {
    /// Metres.
    pub x: f64,
    /// Metres.
    pub y: f64,
    /// Radians, counter-clockwise.
    pub yaw_rad: f64,
}

impl Pose2 {
    /// A pose from its three numbers.
    pub fn new(x: f64, y: f64, yaw_rad: f64) -> Self {
        Self { x, y, yaw_rad }
    }
    /// The position.
    pub fn position(&self) -> DVec2 {
        DVec2::new(self.x, self.y)
    }
    /// Unit vector along the heading.
    pub fn forward(&self) -> DVec2 {
        let (sin, cos) = self.yaw_rad.sin_cos();
        DVec2::new(cos, sin)
    }
    /// Unit vector to the left of the heading.
    pub fn left(&self) -> DVec2 {
        self.forward().perp()
    }
    /// The same with its axes at hand.
    pub fn frame(&self) -> Frame {
        let forward = self.forward();
        Frame { origin: self.position(), forward, left: forward.perp() }
    }
    /// A point of the parent frame, expressed in this pose's frame.
    pub fn to_local(&self, point: DVec2) -> DVec2 {
        self.frame().to_local(point)
    }
    /// A point of this pose's frame, expressed in the parent frame.
    pub fn to_parent(&self, point: DVec2) -> DVec2 {
        self.frame().to_parent(point)
    }
    /// A pose of the parent frame, expressed in this pose's frame.
    pub fn pose_to_local(&self, pose: Pose2) -> Pose2 {
        let p = self.to_local(pose.position());
        Pose2::new(p.x, p.y, wrap_angle(pose.yaw_rad - self.yaw_rad))
    }
    /// A pose of this pose's frame, expressed in the parent frame.
    pub fn pose_to_parent(&self, pose: Pose2) -> Pose2 {
        let p = self.to_parent(pose.position());
        Pose2::new(p.x, p.y, wrap_angle(pose.yaw_rad + self.yaw_rad))
    }
    /// This pose moved `forward_m` along and `left_m` across its heading.
    pub fn offset(&self, forward_m: f64, left_m: f64) -> Pose2 {
        let p = self.to_parent(DVec2::new(forward_m, left_m));
        Pose2::new(p.x, p.y, self.yaw_rad)
    }
}

/// A pose whose axes are worked out once, for many points.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Frame {
    /// Metres, in the parent frame.
    pub origin: DVec2,
    /// Unit vector along the heading.
    pub forward: DVec2,
    /// Unit vector to the left of it.
    pub left: DVec2,
}

impl Frame {
    /// A point of the parent frame, expressed in this frame.
    pub fn to_local(&self, point: DVec2) -> DVec2 {
        let d = point - self.origin;
        DVec2::new(d.dot(self.forward), d.dot(self.left))
    }
    /// A point of this frame, expressed in the parent frame.
    pub fn to_parent(&self, point: DVec2) -> DVec2 {
        self.origin + self.forward * point.x + self.left * point.y
    }
    /// This frame moved `left_m` to its left.
    #[must_use]
    pub fn beside(&self, left_m: f64) -> Self {
        Self { origin: self.to_parent(DVec2::new(0.0, left_m)), ..*self }
    }
}

/// A rectangle in the plane: centre pose, full length (along yaw) and full width.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct OrientedBox {
    /// Centre.
    pub center: Pose2,
    /// Full extent along the heading, metres.
    pub length_m: f64,
    /// Full extent across the heading, metres.
    pub width_m: f64,
}

impl OrientedBox {
    /// The four corners, counter-clockwise from front left.
    pub fn corners(&self) -> [DVec2; 4] {
        let (l, w) = (self.length_m / 2.0, self.width_m / 2.0);
        let frame = self.center.frame();
        [(l, w), (-l, w), (-l, -w), (l, -w)].map(|(x, y)| frame.to_parent(DVec2::new(x, y)))
    }

    /// No point of the box is further from its centre, metres.
    pub fn reach_m(&self) -> f64 {
        DVec2::new(self.length_m, self.width_m).length() / 2.0
    }

    /// Whether two boxes share a point (separating axes; touching counts).
    pub fn overlaps(&self, other: &OrientedBox) -> bool {
        let d = other.center.position() - self.center.position();
        let reach = self.reach_m() + other.reach_m();
        if d.length_squared() > reach * reach {
            return false;
        }
        let axes = |b: &OrientedBox| {
            let Frame { forward, left, .. } = b.center.frame();
            [(forward, b.length_m / 2.0), (left, b.width_m / 2.0)]
        };
        let (mine, theirs) = (axes(self), axes(other));
        mine.iter().chain(&theirs).all(|(axis, _)| {
            let radius = |parts: &[(DVec2, f64); 2]| parts.iter().map(|(v, r)| v.dot(*axis).abs() * r).sum::<f64>();
            d.dot(*axis).abs() <= radius(&mine) + radius(&theirs)
        })
    }

    /// Whether a point lies in the box (the edge counts).
    pub fn contains(&self, point: DVec2) -> bool {
        let p = self.center.to_local(point);
        p.x.abs() <= self.length_m / 2.0 && p.y.abs() <= self.width_m / 2.0
    }

    /// Distance from a point to the box, metres; 0 inside.
    pub fn distance_to(&self, point: DVec2) -> f64 {
        let p = self.center.to_local(point);
        let dx = (p.x.abs() - self.length_m / 2.0).max(0.0);
        let dy = (p.y.abs() - self.width_m / 2.0).max(0.0);
        dx.hypot(dy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn boxed(x: f64, y: f64, yaw_rad: f64) -> OrientedBox {
        OrientedBox { center: Pose2::new(x, y, yaw_rad), length_m: 4.0, width_m: 2.0 }
    }

    #[test]
    fn local_and_parent_are_inverse() {
        let frame = Pose2::new(3.0, -2.0, 0.7);
        let pose = Pose2::new(-1.0, 5.0, -2.9);
        let back = frame.pose_to_parent(frame.pose_to_local(pose));
        assert!((back.position() - pose.position()).length() < 1e-12);
        assert!(wrap_angle(back.yaw_rad - pose.yaw_rad).abs() < 1e-12);
    }

    #[test]
    fn overlap_sees_rotation() {
        assert!(boxed(0.0, 0.0, 0.0).overlaps(&boxed(3.9, 0.0, 0.0)));
        assert!(!boxed(0.0, 0.0, 0.0).overlaps(&boxed(4.1, 0.0, 0.0)));
        // Turned by a right angle the second box is only 2 m long along x.
        assert!(!boxed(0.0, 0.0, 0.0).overlaps(&boxed(3.1, 0.0, std::f64::consts::FRAC_PI_2)));
        // Corner-to-corner near miss that axis-aligned bounds would call a hit.
        assert!(!boxed(0.0, 0.0, std::f64::consts::FRAC_PI_4).overlaps(&boxed(2.6, -2.6, std::f64::consts::FRAC_PI_4)));
    }
}
