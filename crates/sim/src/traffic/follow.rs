//! Following: the Intelligent Driver Model, places along an actor's lanes, and who is next ahead.

use crate::actor::OnLanes;
use apprentice_core::geometry::DVec3;
use apprentice_core::{Pose2, wrap_angle};
use apprentice_road::{Lane, LaneId, RoadNetwork};

/// IDM parameters of one driver at one moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Idm {
    /// v₀, m/s.
    pub wanted_mps: f64,
    /// T, seconds.
    pub time_gap_s: f64,
    /// s₀, metres.
    pub min_gap_m: f64,
    /// a, m/s².
    pub max_acceleration_mps2: f64,
    /// b, m/s².
    pub comfortable_braking_mps2: f64,
}

/// Hardest braking of any driver, m/s².
pub(crate) const MAX_BRAKING_MPS2: f64 = 8.0;

impl Idm {
    /// Free-road acceleration: a (1 − (v/v₀)⁴), with a bounded pull back above v₀.
    pub fn free(&self, speed_mps: f64) -> f64 {
        let ratio = speed_mps / self.wanted_mps.max(0.1);
        let r2 = ratio * ratio;
        (self.max_acceleration_mps2 * (1.0 - r2 * r2)).max(-self.comfortable_braking_mps2)
    }

    /// Acceleration behind something `gap_m` ahead that moves at `other_mps` along the path:
    /// a (1 − (v/v₀)⁴ − (s*/s)²), s* = s₀ + max(0, vT + vΔv / 2√(ab)).
    pub fn behind(&self, speed_mps: f64, gap_m: f64, other_mps: f64) -> f64 {
        let root = (self.max_acceleration_mps2 * self.comfortable_braking_mps2).sqrt();
        let closing = speed_mps - other_mps;
        let wanted_gap = self.min_gap_m + (speed_mps * self.time_gap_s + speed_mps * closing / (2.0 * root)).max(0.0);
        let pressure = wanted_gap / gap_m.max(0.1);
        let interaction = self.max_acceleration_mps2 * pressure * pressure;
        (self.free(speed_mps) - interaction).max(-MAX_BRAKING_MPS2)
    }

    /// Acceleration towards a line to stop at, `gap_m` ahead.
    pub fn stop_at(&self, speed_mps: f64, gap_m: f64) -> f64 {
        let line = Idm { min_gap_m: 0.3, time_gap_s: 0.3, ..*self };
        if gap_m < 0.3 && speed_mps < 1.0 { -3.0 } else { line.behind(speed_mps, gap_m.max(0.3), 0.0) }
    }
}

/// Seconds to cover a distance from a speed with a steady acceleration up to a top speed.
pub(crate) fn time_to_cover_s(distance_m: f64, speed_mps: f64, acceleration_mps2: f64, top_mps: f64) -> f64 {
    if distance_m <= 0.0 {
        return 0.0;
    }
    let top = top_mps.max(speed_mps).max(0.5);
    let ramp_s = (top - speed_mps) / acceleration_mps2;
    let ramp_m = speed_mps * ramp_s + 0.5 * acceleration_mps2 * ramp_s * ramp_s;
    if distance_m >= ramp_m {
        return ramp_s + (distance_m - ramp_m) / top;
    }
    let root = (speed_mps * speed_mps + 2.0 * acceleration_mps2 * distance_m).sqrt();
    (root - speed_mps) / acceleration_mps2
}

/// The lane that is `ahead_m` along an actor's lanes (behind if negative), and metres along it: less than 0 or more than its
/// length beyond what is known.
pub(crate) fn lane_along(net: &RoadNetwork, on: &OnLanes, lane: LaneId, ahead_m: f64) -> (LaneId, f64) {
    let mut s = on.s_m + ahead_m;
    let mut lane = lane;
    if s < 0.0 {
        for back in on.trail.iter().map_while(|l| *l) {
            lane = back;
            s += net.lanes[back].length_m;
            if s >= 0.0 {
                break;
            }
        }
    } else {
        for &next in &on.next {
            let length = net.lanes[lane].length_m;
            if s <= length {
                break;
            }
            s -= length;
            lane = next;
        }
    }
    (lane, s)
}

/// A place `ahead_m` along an actor's lanes (behind if negative): position and heading of the lane, no lateral.
pub(crate) fn along(net: &RoadNetwork, on: &OnLanes, lane: LaneId, ahead_m: f64) -> (DVec3, f64) {
    let (lane, s) = lane_along(net, on, lane, ahead_m);
    let road = &net.lanes[lane];
    let point = road.at(s);
    let over = beyond_m(road, s);
    if over == 0.0 {
        return (point.position, point.yaw_rad);
    }
    let (sin, cos) = point.yaw_rad.sin_cos();
    (point.position + DVec3::new(cos, sin, 0.0) * over, point.yaw_rad)
}

/// How far a place lies before a lane's start (negative) or beyond its end: there the lane goes on straight.
pub(crate) fn beyond_m(road: &Lane, s_m: f64) -> f64 {
    if s_m < 0.0 { s_m } else { (s_m - road.length_m).max(0.0) }
}

/// Pose of a vehicle's box centre and the ground under it: both axles on the path, moved sideways.
pub(crate) fn place(net: &RoadNetwork, on: &OnLanes, lane: LaneId, length_m: f64, slip_rad: f64) -> (Pose2, f64) {
    let half_base = 0.3 * length_m;
    let (front, front_yaw) = along(net, on, lane, half_base);
    let (rear, rear_yaw) = along(net, on, lane, -half_base);
    let shift = |p: DVec3, yaw: f64| {
        let (sin, cos) = yaw.sin_cos();
        DVec3::new(p.x - sin * on.lateral_m, p.y + cos * on.lateral_m, p.z)
    };
    let (front, rear) = (shift(front, front_yaw), shift(rear, rear_yaw));
    let chord = front - rear;
    let yaw = if chord.truncate().length_squared() > 1e-6 { chord.y.atan2(chord.x) } else { front_yaw };
    let middle = (front + rear) * 0.5;
    (Pose2::new(middle.x, middle.y, wrap_angle(yaw + slip_rad)), middle.z)
}

/// Where an actor's box centre is in the coordinates of a lane: before its start it is negative, beyond its end larger
/// than its length. `None` if the lane is not among its lanes.
pub(crate) fn position_on(net: &RoadNetwork, on: &OnLanes, target: LaneId) -> Option<f64> {
    let lane = on.lane?;
    if lane == target {
        return Some(on.s_m);
    }
    let mut ahead = net.lanes[lane].length_m - on.s_m;
    for &next in &on.next {
        if next == target {
            return Some(-ahead);
        }
        ahead += net.lanes[next].length_m;
    }
    let mut behind = on.s_m;
    for back in on.trail.iter().map_while(|l| *l) {
        behind += net.lanes[back].length_m;
        if back == target {
            return Some(behind);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const DRIVER: Idm = Idm {
        wanted_mps: 30.0,
        time_gap_s: 1.5,
        min_gap_m: 2.0,
        max_acceleration_mps2: 1.0,
        comfortable_braking_mps2: 1.5,
    };

    #[test]
    fn idm_settles_at_its_analytic_gap() {
        // Behind a leader at 15 m/s the gap tends to (s₀ + vT) / √(1 − (v/v₀)⁴).
        let (mut gap, mut speed) = (60.0, 20.0);
        for _ in 0..20_000 {
            let acceleration = DRIVER.behind(speed, gap, 15.0);
            speed += acceleration * 0.05;
            gap += (15.0 - speed) * 0.05;
        }
        let analytic = (2.0 + 15.0 * 1.5) / (1.0_f64 - 0.5_f64.powi(4)).sqrt();
        assert!((gap - analytic).abs() < 1e-6, "{gap} {analytic}");
        assert!((analytic - 25.303).abs() < 1e-3, "the equilibrium gap that SUMO's IDM has, too");
    }

    #[test]
    fn stopping_at_a_line_neither_overruns_nor_stops_far_off() {
        for start in [5.0, 10.0, 14.0] {
            let (mut s, mut speed): (f64, f64) = (0.0, start);
            for _ in 0..1200 {
                let acceleration = DRIVER.stop_at(speed, 60.0 - s).min(2.0);
                speed = (speed + acceleration * 0.05).max(0.0);
                s += speed * 0.05;
            }
            assert!((57.5..60.0).contains(&s), "{start}: {s}");
        }
    }

    #[test]
    fn covering_a_distance_takes_the_textbook_time() {
        assert!((time_to_cover_s(50.0, 10.0, 1.0, 10.0) - 5.0).abs() < 1e-9);
        assert!((time_to_cover_s(8.0, 0.0, 4.0, 100.0) - 2.0).abs() < 1e-9);
        assert!((time_to_cover_s(8.0 + 80.0, 0.0, 4.0, 8.0) - 12.0).abs() < 1e-9);
    }
}
