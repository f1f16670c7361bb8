//! Junctions as the expert drives them: lights, stop signs, and gaps in the traffic it has to let pass.

use super::seen::Seen;
use crate::actor::Behaviour;
use crate::rules::EntryControl;
use crate::state::{EGO_SIZE_M, LightAspect};
use crate::traffic::follow::{position_on, time_to_cover_s};
use crate::world::World;
use apprentice_core::wrap_angle;
use apprentice_road::{ConflictKind, LaneId};

/// Looked ahead for junctions, metres.
const SIGHT_M: f64 = 55.0;
/// Comfortable braking for a yellow light, m/s².
const YELLOW_MPS2: f64 = 3.5;
/// The gap left behind somebody and before somebody, seconds.
const MARGIN_S: f64 = 0.7;
/// How the expert sets off into a junction, m/s².
const SETTING_OFF_MPS2: f64 = 3.0;
/// The front bumper waits this much before a meeting place, metres: lorries sweep wide.
const STANDOFF_M: f64 = 1.8;
/// Patience with those who stand, ticks; and with those who keep coming.
const PATIENCE_TICKS: u32 = 100;
/// Braking that may be asked of those who come from behind when merging, m/s².
const ASKED_MPS2: f64 = 1.8;

/// A stretch of the route inside one junction.
#[derive(Clone, Debug)]
pub(super) struct Crossing {
    /// Lane before it.
    pub from: LaneId,
    /// Along the route, metres.
    pub enter_s_m: f64,
    pub exit_s_m: f64,
    /// Where the front bumper waits, along the route.
    pub line_s_m: f64,
    /// Lanes inside, each with where it begins along the route.
    pub lanes: Vec<(LaneId, f64)>,
}

/// What the expert remembers about junctions.
#[derive(Clone, Debug, Default)]
pub(super) struct Junctions {
    stopped_for: Option<LaneId>,
    waited_ticks: u32,
    /// Beyond patience until this place of the route.
    impatient_to_s_m: f64,
    /// Long beyond patience until this place of the route.
    pressing_to_s_m: f64,
    /// Whom it lets pass: the actor's id and the lane.
    pub lets_pass: Option<(u32, LaneId)>,
}

/// Junctions ahead on the route (also the one the ego is in), nearest first.
pub(super) fn crossings(world: &World) -> Vec<Crossing> {
    let points = &world.route.points;
    let s = world.route_progress_m();
    let tail = s - EGO_SIZE_M[0] / 2.0;
    let begin = (tail.max(0.0) as usize).min(points.len() - 1);
    let mut found: Vec<Crossing> = Vec::new();
    // A junction the ego is inside of began before.
    let mut i = begin;
    while i > 0 && points[i].in_junction && points[begin].s_m - points[i].s_m < 60.0 {
        i -= 1;
    }
    while i < points.len() && points[i].s_m < s + SIGHT_M {
        let junction = world.net.lanes[points[i].lane].junction.filter(|_| points[i].in_junction);
        let Some(junction) = junction else {
            i += 1;
            continue;
        };
        let first = i;
        let mut lanes: Vec<(LaneId, f64)> = Vec::new();
        while i < points.len() && world.net.lanes[points[i].lane].junction == Some(junction) {
            if lanes.last().is_none_or(|&(lane, _)| lane != points[i].lane) {
                let (at, _) = world.net.lanes[points[i].lane].project(points[i].position.truncate());
                lanes.push((points[i].lane, points[i].s_m - at));
            }
            i += 1;
        }
        let from = points[first.saturating_sub(1)].lane;
        let rules = world.rules.lane(from);
        let enter_s_m = points[first].s_m;
        let line_s_m = enter_s_m - (world.net.lanes[from].length_m - rules.stop_s_m).clamp(0.5, 25.0);
        let exit_s_m = points[(i - 1).max(first)].s_m;
        found.push(Crossing { from, enter_s_m, exit_s_m, line_s_m, lanes });
    }
    // A route may end between a stop line and its junction: the line counts all the same.
    if let Some(last) = points.last().filter(|p| !p.in_junction && p.s_m < s + SIGHT_M) {
        let rules = world.rules.lane(last.lane);
        let (along, _) = world.net.lanes[last.lane].project(last.position.truncate());
        let line_s_m = last.s_m + rules.stop_s_m - along;
        if rules.stop_s_m < along && !matches!(rules.control, EntryControl::Free | EntryControl::Yield) {
            found.push(Crossing {
                from: last.lane,
                enter_s_m: last.s_m,
                exit_s_m: last.s_m,
                line_s_m,
                lanes: Vec::new(),
            });
        }
    }
    found
}

impl Junctions {
    /// Places along the route before which the front bumper has to stop now.
    pub fn stops(&mut self, world: &World, seen: &[Seen], crossings: &[Crossing]) -> Vec<f64> {
        let speed = world.ego.speed_mps;
        let front = world.route_progress_m() + EGO_SIZE_M[0] / 2.0;
        let mut stops = Vec::new();
        let mut waits = false;
        self.lets_pass = None;
        for crossing in crossings {
            let gap = crossing.line_s_m - front;
            let before_line = gap > -1.0;
            if before_line {
                match world.rules.lane(crossing.from).control {
                    EntryControl::Light(signal) => {
                        let stop = match world.lights()[signal] {
                            LightAspect::Red => true,
                            LightAspect::Yellow => gap > speed * speed / (2.0 * YELLOW_MPS2),
                            LightAspect::Green | LightAspect::Off => false,
                        };
                        if stop {
                            stops.push(crossing.line_s_m);
                            continue;
                        }
                    }
                    EntryControl::Stop => {
                        if gap < 3.0 && speed < 0.05 {
                            self.stopped_for = Some(crossing.from);
                        }
                        if self.stopped_for != Some(crossing.from) {
                            stops.push(crossing.line_s_m);
                            continue;
                        }
                    }
                    EntryControl::Free | EntryControl::Yield => {}
                }
            }
            if gap < 30.0
                && let Some(stop) = self.give_way(world, seen, crossing, front)
            {
                waits |= stop - front < 4.0;
                stops.push(stop);
            }
        }
        self.waited_ticks = if waits && speed < 0.3 { self.waited_ticks + 1 } else { 0 };
        if self.waited_ticks > PATIENCE_TICKS
            && let Some(crossing) = crossings.iter().find(|c| c.exit_s_m > front)
        {
            self.impatient_to_s_m = crossing.exit_s_m;
            if self.waited_ticks > 4 * PATIENCE_TICKS {
                self.pressing_to_s_m = crossing.exit_s_m;
            }
        }
        stops
    }

    /// Where to wait for others in a junction, if somebody has to be let pass.
    fn give_way(&mut self, world: &World, seen: &[Seen], crossing: &Crossing, front: f64) -> Option<f64> {
        // Meeting places along the route: from, to, what is met.
        let mut meets: Vec<(f64, f64, &crate::rules::Meeting)> = Vec::new();
        for &(lane, begins) in &crossing.lanes {
            for meeting in &world.rules.lane(lane).meetings {
                if meeting.kind != ConflictKind::Diverging {
                    meets.push((begins + meeting.span_m.0, begins + meeting.span_m.1, meeting));
                }
            }
        }
        meets.sort_by(|a, b| a.0.total_cmp(&b.0));
        // Places with too little room between them to wait are passed in one go.
        let room = EGO_SIZE_M[0] + 1.5;
        let mut begin = 0;
        while begin < meets.len() {
            let mut end = begin + 1;
            let mut to = meets[begin].1;
            while end < meets.len() && meets[end].0 < to + room {
                to = to.max(meets[end].1);
                end += 1;
            }
            let from = meets[begin].0;
            // Once the nose is in, on it goes.
            if front < from + 0.3 {
                let waits_for = meets[begin..end].iter().find_map(|&(from, to, meeting)| {
                    self.in_the_way(world, seen, meeting, from - front, to - front + EGO_SIZE_M[0])
                        .map(|id| (id, meeting.other))
                });
                if waits_for.is_some() {
                    self.lets_pass = waits_for;
                    let near = from - STANDOFF_M;
                    return Some(if begin == 0 && near < crossing.line_s_m + 4.0 && front < crossing.line_s_m + 0.5 {
                        near.min(crossing.line_s_m)
                    } else {
                        near.max(crossing.line_s_m)
                    });
                }
            }
            begin = end;
        }
        None
    }

    /// Who will be at a meeting place while the ego is: `near_m` ahead of the front bumper it begins, after `far_m` the
    /// tail is out of it.
    fn in_the_way(
        &self,
        world: &World,
        seen: &[Seen],
        meeting: &crate::rules::Meeting,
        near_m: f64,
        far_m: f64,
    ) -> Option<u32> {
        let speed = world.ego.speed_mps;
        let impatient = world.route_progress_m() < self.impatient_to_s_m;
        let pressing = world.route_progress_m() < self.pressing_to_s_m;
        let top = 8.0_f64.max(speed);
        let in_s = time_to_cover_s(near_m, speed, SETTING_OFF_MPS2, top);
        let out_s = time_to_cover_s(far_m, speed, SETTING_OFF_MPS2, top);
        let other = &world.net.lanes[meeting.other];
        let passes = |s: &Seen| {
            let actor = &world.actors[s.index];
            let on = &actor.on_lanes;
            let place = match actor.behaviour {
                Behaviour::Lane(_) => position_on(&world.net, on, meeting.other),
                _ => {
                    let (at, lateral) = other.project(s.pose.position());
                    let yaw = wrap_angle(other.at(at).yaw_rad - s.pose.yaw_rad).abs();
                    (lateral.abs() < 1.8 && yaw < 0.6).then_some(at)
                }
            };
            let Some(place) = place else { return true };
            let enters_m = meeting.other_span_m.0 - place - s.half_length_m;
            let clears_m = meeting.other_span_m.1 - place + s.half_length_m;
            if clears_m < 0.0 || enters_m > 70.0 {
                return true;
            }
            let stands = s.speed_mps < 0.4;
            // Two who stand and wait for each other, though there is room: somebody has to go.
            if stands && impatient && s.lateral_m.abs() - s.half_across_m > EGO_SIZE_M[1] / 2.0 + 0.35 {
                return true;
            }
            let inside = place > 0.0;
            let line_m = -place - s.half_length_m - 1.0;
            let can_stop = line_m > s.speed_mps * s.speed_mps / (2.0 * 3.0);
            if !inside {
                // Held by a red light, or waiting for us as they should.
                let approach = world.rules.lane(meeting.other).approach;
                if let Some(EntryControl::Light(signal)) = approach.map(|a| world.rules.lane(a).control)
                    && matches!(world.lights()[signal], LightAspect::Red | LightAspect::Yellow)
                    && can_stop
                {
                    return true;
                }
                if meeting.has_priority && can_stop && s.speed_mps < 4.0 {
                    return true;
                }
                if stands && (!meeting.gives_way || impatient) {
                    return true;
                }
            } else if stands && enters_m > 0.3 {
                // Waits inside for somebody, perhaps for us.
                return impatient || meeting.has_priority || meeting.kind == ConflictKind::Merging;
            }
            let pace = s.speed_mps.max(2.0);
            let their_in_s = (enters_m.max(0.0)) / (s.speed_mps + 1.0).max(2.5);
            let their_out_s = clears_m / pace;
            let margin_s = if impatient { 0.5 * MARGIN_S } else { MARGIN_S };
            if their_out_s + 0.3 < in_s || out_s + margin_s < their_in_s {
                return true;
            }
            if meeting.kind != ConflictKind::Merging {
                return false;
            }
            // Whoever is behind when the ego merges adapts to its speed, if that does not ask too much.
            let merges_mps = (speed * speed + 2.0 * SETTING_OFF_MPS2 * near_m.max(0.0)).sqrt().min(top);
            let room_m = enters_m - s.speed_mps * in_s;
            let asked =
                (s.speed_mps * s.speed_mps - merges_mps * merges_mps).max(0.0) / (2.0 * (room_m - 2.0).max(0.1));
            let (least_room_m, may_ask) = match (impatient, pressing) {
                (_, true) => (2.5, 2.6 * ASKED_MPS2),
                (true, false) => (5.0, 2.0 * ASKED_MPS2),
                (false, false) => (5.0, ASKED_MPS2),
            };
            room_m > least_room_m && asked < may_ask
        };
        let moving = seen.iter().filter(|s| s.kind.is_vehicle() && !s.parked);
        moving.filter(|s| !passes(s)).map(|s| world.actors[s.index].state.id).next()
    }
}
