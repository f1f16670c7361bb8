//! What will happen: the line driven as meant against everybody's way ahead.

use super::seen::Seen;
use super::track::Track;
use crate::state::EGO_SIZE_M;
use crate::world::World;
use apprentice_core::OrientedBox;

/// Looked ahead, seconds.
pub(super) const HORIZON_S: f64 = 3.6;
const STEP_S: f64 = 0.2;

/// The first hit on the way ahead.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hit {
    /// Index into the seen.
    pub who: usize,
    pub after_s: f64,
    /// The ego's centre then, along the route.
    pub s_m: f64,
}

/// The ego's centre along the route after some time, from a speed and an acceleration, not beyond a top speed.
pub(super) fn travelled_m(speed_mps: f64, acceleration_mps2: f64, top_mps: f64, after_s: f64) -> f64 {
    if acceleration_mps2 < 0.0 {
        let stops_s = speed_mps / -acceleration_mps2;
        let t = after_s.min(stops_s);
        return speed_mps * t + 0.5 * acceleration_mps2 * t * t;
    }
    let top = top_mps.max(speed_mps);
    let ramp_s = if acceleration_mps2 > 1e-6 { (top - speed_mps) / acceleration_mps2 } else { 0.0 };
    let t = after_s.min(ramp_s);
    speed_mps * t + 0.5 * acceleration_mps2 * t * t + (after_s - t) * if ramp_s > 0.0 { top } else { speed_mps }
}

/// The first hit if the ego drives on with an acceleration up to a speed.
pub(super) fn first_hit(
    world: &World,
    seen: &[Seen],
    track: &Track,
    acceleration_mps2: f64,
    top_mps: f64,
    margin_m: f64,
) -> Option<Hit> {
    let s = world.route_progress_m();
    let speed = world.ego.speed_mps;
    // The line is where the ego will be; now it may still be a little beside it.
    let center = world.ego.footprint().center;
    let beside = track.at(s).to_local(center.position()).y;
    let near: Vec<usize> = (0..seen.len())
        .filter(|&i| {
            let o = &seen[i];
            let reach = 12.0 + (speed + o.speed_mps + 3.0) * HORIZON_S;
            (o.pose.position() - center.position()).length_squared() < reach * reach
        })
        .collect();
    let mut t = STEP_S;
    while t <= HORIZON_S + 1e-9 {
        let moved = travelled_m(speed, acceleration_mps2, top_mps, t);
        let at = s + moved;
        let fade = (1.0 - moved / 8.0).max(0.0);
        let ego = OrientedBox {
            center: track.at(at).offset(0.0, beside * fade),
            length_m: EGO_SIZE_M[0] + 0.5,
            width_m: EGO_SIZE_M[1] + 2.0 * margin_m,
        };
        for &i in &near {
            let o = &seen[i];
            let on_foot = o.kind.is_pedestrian();
            let mut other = o.forecast(world, t);
            if on_foot {
                // People may be a little faster or slower than they look.
                other.length_m += 0.6 + 0.3 * t;
                other.width_m += 0.6;
            }
            if !ego.overlaps(&other) {
                continue;
            }
            // Whoever runs into the ego's tail from behind brakes themself.
            let from_behind = o.s_m + o.half_along_m < s - EGO_SIZE_M[0] / 2.0 + 0.5 && o.yaw_to_line_rad.abs() < 0.8;
            if from_behind {
                continue;
            }
            return Some(Hit { who: i, after_s: t, s_m: at });
        }
        t += STEP_S;
    }
    None
}
