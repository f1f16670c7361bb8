//! Going around what stands (or creeps) in the way, out of a parking place, and out of the way of an ambulance.

use super::seen::Seen;
use super::track::{Beside, Detour, beside};
use crate::state::{ActorKind, EGO_SIZE_M};
use crate::traffic::follow::time_to_cover_s;
use crate::world::World;

const HALF_WIDTH_M: f64 = EGO_SIZE_M[1] / 2.0;
const HALF_LENGTH_M: f64 = EGO_SIZE_M[0] / 2.0;
/// Kept free beside what is passed, metres.
const CLEARANCE_M: f64 = 0.45;
/// Obstacles ahead are gone around within this distance, metres.
const REACH_M: f64 = 42.0;
/// Obstacles nearer to each other than this are passed in one go, metres.
const CLUSTER_M: f64 = 16.0;
/// No faster while passing in another lane, m/s.
const PASSING_MPS: f64 = 9.0;

/// What to do about obstacles at this tick.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Advice {
    /// The front bumper waits before this place, along the route.
    pub wait_s_m: Option<f64>,
    /// No faster than this, m/s.
    pub cap_mps: f64,
}

/// The way around in force.
#[derive(Clone, Debug, Default)]
pub(super) struct Around {
    pub detour: Option<Detour>,
    /// Gives way to an ambulance: its id.
    yields_to: Option<u32>,
    began: bool,
    /// The detour in force leads back: overtaking did not work out.
    gives_up: bool,
}

/// A stretch of obstacles in the ego's way: lateral values are left of the route's centre.
#[derive(Clone, Copy, Debug)]
struct Cluster {
    from_s_m: f64,
    to_s_m: f64,
    left_m: f64,
    right_m: f64,
    moves_mps: f64,
}

impl Around {
    /// Look at the obstacles; keep, begin or end a detour. `seen` is relative to the line in force.
    pub fn update(&mut self, world: &World, seen: &[Seen]) -> Advice {
        let s = world.route_progress_m();
        let mut advice = Advice { wait_s_m: None, cap_mps: f64::INFINITY };
        if !self.began {
            self.began = true;
            let aside = world.route_lateral_m();
            if aside.abs() > 1.2 {
                // Out of a parking place.
                self.detour = Some(Detour {
                    from_s_m: s - 0.5,
                    full_s_m: s + 8.5,
                    back_s_m: s + 8.5,
                    end_s_m: s + 9.0,
                    offset_m: 0.0,
                    start_offset_m: aside,
                });
            }
        }
        if self.detour.is_some_and(|d| s > d.end_s_m) {
            self.detour = None;
            self.gives_up = false;
        }
        if let Some(detour) = self.detour
            && detour.start_offset_m != 0.0
        {
            advice.cap_mps = 4.0;
            if world.ego.speed_mps < 1.0 && s < detour.from_s_m + 2.0 && !rear_is_clear(seen, s, detour.start_offset_m)
            {
                advice.wait_s_m = Some(s - HALF_LENGTH_M);
            }
            return advice;
        }
        if self.let_pass(world, seen, &mut advice) {
            return advice;
        }
        let Some(cluster) = self.cluster(world, seen) else { return advice };
        if self.gives_up && self.detour.is_some() {
            advice.cap_mps = (cluster.moves_mps - 1.0).max(2.0);
            return advice;
        }
        let (left, right) = beside(world, cluster.from_s_m.max(s + 1.0));
        let half_lane = world.route.at(cluster.from_s_m).lane_width_m / 2.0;
        let go_left = cluster.left_m + HALF_WIDTH_M + CLEARANCE_M;
        let go_right = cluster.right_m - HALF_WIDTH_M - CLEARANCE_M;
        let fits_left = go_left + HALF_WIDTH_M < half_lane + left.width_m() - 0.1;
        let fits_right = -go_right + HALF_WIDTH_M < half_lane + right.width_m() + 0.1;
        // A lane of one's own direction is preferred to the oncoming one, the smaller move to the larger.
        let cost = |offset: f64, side: Beside| {
            let leaves = offset.abs() + HALF_WIDTH_M > half_lane + 0.15;
            offset.abs() + if leaves && matches!(side, Beside::Oncoming(_)) { 4.0 } else { 0.0 }
        };
        let committed = self.detour.is_some_and(|d| s + HALF_LENGTH_M > d.from_s_m + 0.5 && d.offset_m != 0.0);
        let choice = if committed {
            self.detour.map(|d| {
                if d.offset_m > 0.0 { (go_left.max(d.offset_m), left) } else { (go_right.min(d.offset_m), right) }
            })
        } else {
            match (fits_left, fits_right) {
                (true, true) if cost(go_right, right) < cost(go_left, left) => Some((go_right, right)),
                (true, _) => Some((go_left, left)),
                (false, true) => Some((go_right, right)),
                (false, false) => None,
            }
        };
        let Some((offset, side)) = choice else { return advice };
        let speed = world.ego.speed_mps;
        let leaves_lane = offset.abs() + HALF_WIDTH_M > half_lane + 0.15;
        let ramp_m = (5.0 + 2.2 * offset.abs() + 0.7 * speed).clamp(8.0, 26.0);
        let moves = cluster.moves_mps > 0.5;
        // Somebody who moves is passed at the difference of the speeds.
        let gain_m = cluster.to_s_m + HALF_LENGTH_M + 1.0 - s;
        let pace_mps = PASSING_MPS.min(0.8 * world.route.at(s).speed_limit_mps);
        let back_s_m =
            if moves { s + gain_m.max(0.0) * pace_mps / (pace_mps - cluster.moves_mps).max(0.5) } else { s + gain_m };
        // For a moving one nobody uses the oncoming lane slowly or in a junction.
        let worthwhile = !(moves && leaves_lane)
            || (pace_mps - cluster.moves_mps > 2.5 && !has_junction(world, s, back_s_m + ramp_m));
        let free = |detour: &Detour| match side {
            _ if !leaves_lane => true,
            Beside::Oncoming(width) => oncoming_is_clear(world, seen, detour, half_lane + width / 2.0),
            Beside::Same(width) => {
                lane_is_clear(seen, s, offset.signum() * (half_lane + width / 2.0), world.ego.speed_mps)
            }
            Beside::Nothing => true,
        };
        if committed {
            if let Some(detour) = &mut self.detour {
                let still_behind = s + HALF_LENGTH_M < cluster.from_s_m - 0.5;
                detour.back_s_m = if moves { back_s_m } else { detour.back_s_m.max(back_s_m) };
                detour.end_s_m = detour.back_s_m + ramp_m;
                if s < detour.full_s_m {
                    detour.offset_m = offset;
                }
                let oncoming = leaves_lane && matches!(side, Beside::Oncoming(_));
                if moves && still_behind && oncoming && !(worthwhile && free(detour)) {
                    (detour.back_s_m, detour.end_s_m) = (s + 0.3, s + 0.3 + ramp_m);
                    self.gives_up = true;
                }
            }
            advice.cap_mps = if leaves_lane { PASSING_MPS } else { 10.0 };
            return advice;
        }
        let full_s_m = (cluster.from_s_m - HALF_LENGTH_M - 0.7).max(s + 2.0 + 1.5 * offset.abs());
        let from_s_m = (full_s_m - ramp_m).max(s + 0.3);
        let detour =
            Detour { from_s_m, full_s_m, back_s_m, end_s_m: back_s_m + ramp_m, offset_m: offset, start_offset_m: 0.0 };
        let clear = worthwhile && free(&detour);
        if clear {
            self.detour = Some(detour);
            advice.cap_mps = if leaves_lane { PASSING_MPS } else { 10.0 };
        } else {
            self.detour = None;
            if !moves {
                // Room to swing out.
                let needs_m = 5.0 + 2.2 * offset.abs();
                advice.wait_s_m = Some(cluster.from_s_m - needs_m);
            }
        }
        advice
    }

    /// Obstacles in the way: things, parked vehicles, slow cyclists at the side.
    fn cluster(&self, world: &World, seen: &[Seen]) -> Option<Cluster> {
        let s = world.route_progress_m();
        let speed_limit = world.route.at(s).speed_limit_mps;
        let offset_at = |at: f64| self.detour.map_or(0.0, |d| d.offset(at));
        let mut parts: Vec<Cluster> = seen
            .iter()
            .filter(|o| {
                let creeps =
                    o.kind == ActorKind::Bicycle && o.along_mps() < 0.5 * speed_limit && o.yaw_to_line_rad.abs() < 0.6;
                o.parked || creeps
            })
            .filter_map(|o| {
                // Relative to the route, not to the line around it.
                let lateral = o.lateral_m + offset_at(o.s_m);
                let part = Cluster {
                    from_s_m: o.s_m - o.half_along_m,
                    to_s_m: o.s_m + o.half_along_m,
                    left_m: lateral + o.half_across_m,
                    right_m: lateral - o.half_across_m,
                    moves_mps: if o.parked { 0.0 } else { o.along_mps().max(0.0) },
                };
                let margin = HALF_WIDTH_M + 0.25;
                let in_way = part.left_m > -margin && part.right_m < margin;
                let ahead = part.to_s_m > s - HALF_LENGTH_M && part.from_s_m < s + REACH_M;
                (in_way && ahead).then_some(part)
            })
            .collect();
        parts.sort_by(|a, b| a.from_s_m.total_cmp(&b.from_s_m));
        let mut parts = parts.into_iter();
        let mut cluster = parts.next()?;
        for part in parts {
            if part.from_s_m > cluster.to_s_m + CLUSTER_M {
                break;
            }
            cluster.to_s_m = cluster.to_s_m.max(part.to_s_m);
            cluster.left_m = cluster.left_m.max(part.left_m);
            cluster.right_m = cluster.right_m.min(part.right_m);
            cluster.moves_mps = cluster.moves_mps.max(part.moves_mps);
        }
        Some(cluster)
    }

    /// An ambulance behind: move over and slow down until it is past. Returns whether that is what goes on.
    fn let_pass(&mut self, world: &World, seen: &[Seen], advice: &mut Advice) -> bool {
        let s = world.route_progress_m();
        let behind = seen.iter().find(|o| {
            o.emergency && o.speed_mps > 1.0 && o.yaw_to_line_rad.abs() < 0.8 && (-55.0..14.0).contains(&(o.s_m - s))
        });
        let Some(ambulance) = behind else {
            if self.yields_to.take().is_some()
                && let Some(detour) = &mut self.detour
            {
                detour.back_s_m = s + 2.0;
                detour.end_s_m = s + 20.0;
            }
            return false;
        };
        let id = world.actors[ambulance.index].state.id;
        let speed = world.ego.speed_mps;
        advice.cap_mps = 6.0;
        match (&mut self.detour, self.yields_to) {
            (Some(detour), Some(of)) if of == id => {
                detour.back_s_m = detour.back_s_m.max(s + 20.0);
                detour.end_s_m = detour.back_s_m + 18.0;
                true
            }
            (None, _) if ambulance.s_m < s => {
                let (left, right) = beside(world, s + 5.0);
                let width = world.route.at(s).lane_width_m;
                let offset = match (left, right) {
                    (_, Beside::Same(w)) if lane_is_clear(seen, s, -(width + w) / 2.0, speed) => -(width + w) / 2.0,
                    (Beside::Same(w), _) if lane_is_clear(seen, s, (width + w) / 2.0, speed) => (width + w) / 2.0,
                    _ => return false,
                };
                self.yields_to = Some(id);
                self.detour = Some(Detour {
                    from_s_m: s,
                    full_s_m: s + 10.0 + 1.2 * speed,
                    back_s_m: s + 60.0,
                    end_s_m: s + 80.0,
                    offset_m: offset,
                    start_offset_m: 0.0,
                });
                true
            }
            _ => false,
        }
    }
}

/// Whether the route is in a junction anywhere between two places.
fn has_junction(world: &World, from_s_m: f64, to_s_m: f64) -> bool {
    let points = &world.route.points;
    let begin = (from_s_m.max(0.0) as usize).min(points.len());
    points[begin..].iter().take_while(|p| p.s_m < to_s_m).any(|p| p.in_junction)
}

/// Whether nobody comes from behind into the place the ego pulls out to.
fn rear_is_clear(seen: &[Seen], s_m: f64, offset_m: f64) -> bool {
    let _ = offset_m;
    seen.iter().filter(|o| !o.parked && o.kind.is_vehicle()).all(|o| {
        // Relative to the line, which begins at the kerb: what drives on the lane is beside it.
        let on_lane = o.along_mps() > 0.5 && o.s_m - s_m < 12.0;
        let reaches_s = (s_m - HALF_LENGTH_M - o.s_m - o.half_along_m) / o.along_mps().max(0.5);
        !on_lane || reaches_s > 4.5
    })
}

/// Whether a lane `lateral_m` beside the line has room for the ego.
fn lane_is_clear(seen: &[Seen], s_m: f64, lateral_m: f64, speed_mps: f64) -> bool {
    seen.iter().all(|o| {
        if (o.lateral_m - lateral_m).abs() > 1.2 + o.half_across_m {
            return true;
        }
        let ahead = o.s_m - o.half_along_m - (s_m + HALF_LENGTH_M);
        let behind = (s_m - HALF_LENGTH_M) - (o.s_m + o.half_along_m);
        if behind > 0.0 {
            behind > 3.0 + 2.5 * (o.along_mps() - speed_mps).max(0.0) + 0.3 * o.along_mps()
        } else {
            ahead > 1.0 + 1.5 * (speed_mps - o.along_mps()).max(0.0)
        }
    })
}

/// Whether the oncoming lane stays free until the ego is back.
fn oncoming_is_clear(world: &World, seen: &[Seen], detour: &Detour, lateral_m: f64) -> bool {
    let s = world.route_progress_m();
    let speed = world.ego.speed_mps;
    let way_m = detour.back_s_m + 0.6 * (detour.end_s_m - detour.back_s_m) - s + HALF_LENGTH_M;
    let takes_s = time_to_cover_s(way_m, speed, 2.2, 8.5);
    seen.iter().filter(|o| !o.parked && o.kind.is_vehicle()).all(|o| {
        let comes = o.yaw_to_line_rad.cos() < -0.3 && (o.lateral_m - lateral_m).abs() < 2.5;
        if !comes || o.s_m + o.half_along_m < s {
            return true;
        }
        let free_m = o.s_m - o.half_along_m - s;
        free_m > way_m + takes_s * o.speed_mps.max(4.0) + 4.0
    })
}
