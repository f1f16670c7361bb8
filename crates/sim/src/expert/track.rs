//! The line the expert means to drive: the route, moved sideways where it goes around something.

use crate::world::World;
use apprentice_core::Pose2;
use apprentice_core::geometry::DVec2;
use apprentice_road::Route;

/// How far ahead the line is laid out, metres.
pub(super) const AHEAD_M: f64 = 75.0;
const BEHIND_M: f64 = 6.0;

/// A way around something: sideways between `from` and `full`, back between `back` and `end` (along the route, metres).
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Detour {
    pub from_s_m: f64,
    pub full_s_m: f64,
    pub back_s_m: f64,
    pub end_s_m: f64,
    /// Left of the route, metres.
    pub offset_m: f64,
    /// Left of the route before it begins.
    pub start_offset_m: f64,
}

fn smooth(t: f64) -> f64 {
    let t = t.clamp(0.0, 1.0);
    t * t * t * (t * (t * 6.0 - 15.0) + 10.0)
}

impl Detour {
    /// Left of the route at a place, metres.
    pub fn offset(&self, s_m: f64) -> f64 {
        let out = smooth((s_m - self.from_s_m) / (self.full_s_m - self.from_s_m).max(0.1));
        let back = smooth((s_m - self.back_s_m) / (self.end_s_m - self.back_s_m).max(0.1));
        (self.start_offset_m + (self.offset_m - self.start_offset_m) * out) * (1.0 - back)
    }
}

/// The line around the ego's place, one point a metre.
#[derive(Clone, Debug, Default)]
pub(super) struct Track {
    first_s_m: f64,
    points: Vec<DVec2>,
    yaws: Vec<f64>,
}

impl Track {
    /// Lay it out.
    pub fn new(route: &Route, s_m: f64, detour: Option<&Detour>) -> Self {
        let first_s_m = s_m - BEHIND_M;
        let count = (BEHIND_M + AHEAD_M) as usize + 1;
        let points: Vec<DVec2> = (0..count)
            .map(|i| {
                let s = first_s_m + i as f64;
                let here = route.at(s);
                // Beyond its ends the route goes on straight.
                let over = if s < 0.0 { s } else { (s - route.length_m).max(0.0) };
                let pose = here.pose().offset(over, detour.map_or(0.0, |d| d.offset(s)));
                pose.position()
            })
            .collect();
        let last = points.len() - 1;
        let yaws = (0..count)
            .map(|i| {
                let d = points[(i + 1).min(last)] - points[i.saturating_sub(1)];
                d.y.atan2(d.x)
            })
            .collect();
        Self { first_s_m, points, yaws }
    }

    /// Pose at a place along the route.
    pub fn at(&self, s_m: f64) -> Pose2 {
        let last = self.points.len() - 1;
        let place = (s_m - self.first_s_m).clamp(0.0, last as f64);
        let i = (place as usize).min(last - 1);
        let t = place - i as f64;
        let p = self.points[i].lerp(self.points[i + 1], t);
        let turn = apprentice_core::wrap_angle(self.yaws[i + 1] - self.yaws[i]);
        Pose2::new(p.x, p.y, self.yaws[i] + turn * t)
    }

    /// Curvature at a place, over about four metres, 1/m.
    pub fn curvature(&self, s_m: f64) -> f64 {
        apprentice_core::wrap_angle(self.at(s_m + 2.0).yaw_rad - self.at(s_m - 2.0).yaw_rad) / 4.0
    }

    /// Place and distance to the left of a point, looked for between two places.
    pub fn project(&self, p: DVec2, from_s_m: f64, to_s_m: f64) -> (f64, f64) {
        let last = self.points.len() - 1;
        let begin = ((from_s_m - self.first_s_m).max(0.0) as usize).min(last - 1);
        let end = ((to_s_m - self.first_s_m).max(1.0).ceil() as usize).clamp(begin + 1, last);
        let mut best = (f64::INFINITY, 0.0, 0.0);
        for i in begin..end {
            let a = self.points[i];
            let d = self.points[i + 1] - a;
            let t = ((p - a).dot(d) / d.length_squared().max(1e-9)).clamp(0.0, 1.0);
            let distance2 = (p - a - d * t).length_squared();
            if distance2 < best.0 {
                best = (distance2, self.first_s_m + i as f64 + t, distance2.sqrt().copysign(d.perp_dot(p - a)));
            }
        }
        (best.1, best.2)
    }
}

/// How much room there is beside the route's lane, and who drives there.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Beside {
    /// Nobody: the lane ends here.
    Nothing,
    /// A lane of the same direction of this width.
    Same(f64),
    /// The oncoming lane, of this width.
    Oncoming(f64),
}

impl Beside {
    pub fn width_m(self) -> f64 {
        match self {
            Self::Nothing => 0.0,
            Self::Same(w) | Self::Oncoming(w) => w,
        }
    }
}

/// What lies to the left and to the right of the route's lane at a place.
pub(super) fn beside(world: &World, s_m: f64) -> (Beside, Beside) {
    let point = world.route.at(s_m);
    let lane = &world.net.lanes[point.lane];
    if lane.junction.is_some() {
        return (Beside::Nothing, Beside::Nothing);
    }
    let width = |id: usize| {
        let other = &world.net.lanes[id];
        other.at(other.project(point.position.truncate()).0).width_m
    };
    let left = match (lane.left, lane.opposite) {
        (Some(id), _) => Beside::Same(width(id)),
        (None, Some(id)) => Beside::Oncoming(width(id)),
        (None, None) => Beside::Nothing,
    };
    let right = lane.right.map_or(Beside::Nothing, |id| Beside::Same(width(id)));
    (left, right)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_detour_leaves_and_returns_smoothly() {
        let detour = Detour {
            from_s_m: 10.0,
            full_s_m: 20.0,
            back_s_m: 40.0,
            end_s_m: 50.0,
            offset_m: 3.0,
            start_offset_m: 0.0,
        };
        assert_eq!(detour.offset(9.0), 0.0);
        assert_eq!(detour.offset(30.0), 3.0);
        assert_eq!(detour.offset(51.0), 0.0);
        assert!((detour.offset(15.0) - 1.5).abs() < 1e-12);
        let parked = Detour { offset_m: 0.0, start_offset_m: -3.0, ..detour };
        assert_eq!(parked.offset(0.0), -3.0);
        assert_eq!(parked.offset(25.0), 0.0);
    }
}
