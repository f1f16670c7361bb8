//! Plan-view geometry of procedural roads: lines, arcs and clothoids.

use apprentice_core::geometry::DVec2;
use apprentice_core::{Pose2, wrap_angle};

/// A piece of a reference line.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Segment {
    Line { length: f64 },
    Arc { curvature: f64, length: f64 },
    Spiral { from: f64, to: f64, length: f64 },
}

impl Segment {
    pub fn length(&self) -> f64 {
        match *self {
            Self::Line { length } | Self::Arc { length, .. } | Self::Spiral { length, .. } => length,
        }
    }

    /// The pose `s` along the segment, which starts at `start`.
    pub fn pose(&self, start: Pose2, s: f64) -> Pose2 {
        match *self {
            Self::Line { .. } => start.offset(s, 0.0),
            Self::Arc { curvature: k, .. } => {
                let angle = k * s;
                let chord = DVec2::new(angle.sin() / k, (1.0 - angle.cos()) / k);
                let p = start.to_parent(chord);
                Pose2::new(p.x, p.y, start.yaw_rad + angle)
            }
            Self::Spiral { from, to, length } => {
                // Simpson's rule over the heading, quadratic in s: exact to far below a millimetre.
                let heading = |u: f64| from * u + (to - from) * u * u / (2.0 * length);
                let steps = 2 * ((s / 2.0).ceil() as usize).max(16);
                let h = s / steps as f64;
                let mut sum = DVec2::ZERO;
                for i in 0..=steps {
                    let weight = if i == 0 || i == steps {
                        1.0
                    } else if i % 2 == 1 {
                        4.0
                    } else {
                        2.0
                    };
                    sum += DVec2::from_angle(heading(i as f64 * h)) * weight;
                }
                let p = start.to_parent(sum * (h / 3.0));
                Pose2::new(p.x, p.y, start.yaw_rad + heading(s))
            }
        }
    }
}

/// A reference line.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Path {
    pub start: Pose2,
    pub segments: Vec<Segment>,
}

impl Path {
    pub fn length(&self) -> f64 {
        self.segments.iter().map(Segment::length).sum()
    }

    /// The pose `s` along the path.
    pub fn pose(&self, s: f64) -> Pose2 {
        let (mut start, mut rest) = (self.start, s.max(0.0));
        for (i, segment) in self.segments.iter().enumerate() {
            if rest <= segment.length() || i + 1 == self.segments.len() {
                return segment.pose(start, rest.min(segment.length()));
            }
            rest -= segment.length();
            start = segment.pose(start, segment.length());
        }
        start
    }

    pub fn end(&self) -> Pose2 {
        self.pose(self.length())
    }

    /// Nearest place: (s, t), t to the left. Coarse search, then bisection-free refinement on samples.
    pub fn project(&self, p: DVec2) -> (f64, f64) {
        let length = self.length();
        let steps = (length / 0.25).ceil().max(1.0) as usize;
        let place = |k: usize| length * k as f64 / steps as f64;
        let distance = |s: f64| (self.pose(s).position() - p).length_squared();
        let best = (0..=steps).min_by(|&a, &b| distance(place(a)).total_cmp(&distance(place(b)))).unwrap_or(0);
        let mut s = place(best);
        for _ in 0..3 {
            let pose = self.pose(s);
            s = (s + (p - pose.position()).dot(pose.forward())).clamp(0.0, length);
        }
        (s, self.pose(s).to_local(p).y)
    }
}

/// One or two arcs from pose to pose, tangent at both ends.
pub(super) fn biarc(from: Pose2, to: Pose2) -> Path {
    let (t0, t1) = (from.forward(), to.forward());
    let v = to.position() - from.position();
    let along = v.dot(t0 + t1);
    let a = 2.0 * (t0.dot(t1) - 1.0);
    let d = if a.abs() < 1e-9 {
        v.length_squared() / (2.0 * along).max(1e-9)
    } else {
        (along - (along * along - a * v.length_squared()).sqrt()) / a
    };
    let middle = (from.position() + t0 * d + to.position() - t1 * d) / 2.0;
    let (first, turned) = arc_to(from, middle);
    let (second, _) = arc_to(Pose2::new(middle.x, middle.y, from.yaw_rad + turned), to.position());
    let segments = match (first, second) {
        (Segment::Line { length: a }, Segment::Line { length: b }) => vec![Segment::Line { length: a + b }],
        (Segment::Arc { curvature: k, length: a }, Segment::Arc { curvature: l, length: b })
            if (k - l).abs() < 1e-7 =>
        {
            vec![Segment::Arc { curvature: k, length: a + b }]
        }
        (first, second) => vec![first, second],
    };
    Path { start: from, segments }
}

/// The arc that leaves `from` tangentially and reaches `to`, and the angle it turns.
fn arc_to(from: Pose2, to: DVec2) -> (Segment, f64) {
    let q = from.to_local(to);
    let chord = q.length();
    let turn = 2.0 * q.y.atan2(q.x);
    if turn.abs() < 1e-9 || chord < 1e-9 {
        return (Segment::Line { length: chord }, 0.0);
    }
    let length = chord * (turn / 2.0) / (turn / 2.0).sin();
    (Segment::Arc { curvature: turn / length, length }, turn)
}

/// A path along a polyline whose corners are rounded by clothoid–arc–clothoid curves of about `radius_m`
/// (less where there is no room).
pub(super) fn rounded(points: &[DVec2], radius_m: f64) -> Path {
    let start = points[0];
    let first = points[1] - start;
    let mut segments = Vec::new();
    let mut used = 0.0;
    for i in 1..points.len() - 1 {
        let (a, b, c) = (points[i - 1], points[i], points[i + 1]);
        let (inward, outward) = (b - a, c - b);
        let turn = wrap_angle(outward.to_angle() - inward.to_angle());
        if turn.abs() < 1e-6 {
            segments.push(Segment::Line { length: inward.length() - used });
            used = 0.0;
            continue;
        }
        let room = (0.48 * outward.length()).min(inward.length() - used - 0.5).min(0.75 * inward.length());
        let mut radius = radius_m;
        let (mut tangent, mut curve) = fillet(turn, radius);
        while tangent > room && radius > 6.0 {
            radius *= 0.9;
            (tangent, curve) = fillet(turn, radius);
        }
        segments.push(Segment::Line { length: inward.length() - used - tangent });
        segments.extend(curve);
        used = tangent;
    }
    let last = points[points.len() - 1] - points[points.len() - 2];
    segments.push(Segment::Line { length: last.length() - used });
    segments.retain(|s| s.length() > 1e-9);
    Path { start: Pose2::new(start.x, start.y, first.to_angle()), segments }
}

/// A corner of angle `turn`: how far before the corner it begins, and its clothoid, arc and clothoid.
fn fillet(turn: f64, radius: f64) -> (f64, [Segment; 3]) {
    let k = turn.signum() / radius;
    // The clothoids turn a fifth of the corner each.
    let spiral_length = 0.4 * turn.abs() * radius;
    let spiral = Segment::Spiral { from: 0.0, to: k, length: spiral_length };
    let end = spiral.pose(Pose2::default(), spiral_length);
    let angle = end.yaw_rad.abs();
    let shift = end.y.abs() - radius * (1.0 - angle.cos());
    let before = end.x - radius * angle.sin();
    let tangent = (radius + shift) * (turn.abs() / 2.0).tan() + before;
    let arc = Segment::Arc { curvature: k, length: (turn.abs() - 2.0 * angle) * radius };
    (tangent, [spiral, arc, Segment::Spiral { from: k, to: 0.0, length: spiral_length }])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn biarcs_arrive_where_and_as_they_should() {
        for (x, y, yaw) in [
            (20.0, 20.0, std::f64::consts::FRAC_PI_2),
            (30.0, -8.0, 0.0),
            (15.0, -15.0, -1.2),
            (25.0, 0.0, 0.0),
            (9.0, 14.0, 2.5),
        ] {
            let (from, to) =
                (Pose2::new(1.0, 2.0, 0.3), Pose2::new(1.0, 2.0, 0.3).pose_to_parent(Pose2::new(x, y, yaw)));
            let end = biarc(from, to).end();
            assert!((end.position() - to.position()).length() < 1e-6, "{end:?} {to:?}");
            assert!(wrap_angle(end.yaw_rad - to.yaw_rad).abs() < 1e-6);
        }
    }

    #[test]
    fn rounded_polylines_end_on_their_last_point() {
        let points = [(0.0, 0.0), (80.0, 0.0), (120.0, 70.0), (60.0, 150.0)].map(|(x, y)| DVec2::new(x, y));
        let path = rounded(&points, 30.0);
        assert!((path.end().position() - points[3]).length() < 1e-3);
        let (s, t) = path.project(DVec2::new(10.0, 3.0));
        assert!((s - 10.0).abs() < 1e-6 && (t - 3.0).abs() < 1e-6);
    }
}
