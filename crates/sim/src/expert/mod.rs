//! The rule-based expert, in the manner of PDM-Lite: it drives the route with the Intelligent Driver Model, keeps lights,
//! signs and priority, forecasts everybody it knows of, and goes around what stands in the way.
//!
//! In mode [`ExpertMode::VisibleOnly`] it knows of nobody whom the cameras could not show: a van that may hide
//! somebody makes it slow down, the hidden person does not. In mode [`ExpertMode::Privileged`] it knows everybody.
//!
//! * `track`: the line — the route, moved sideways around obstacles.
//! * `seen`: whom it knows of.
//! * `give_way`: junctions.
//! * `around`: detours, parking places, ambulances.
//! * `forecast`: who would be hit by driving on.

mod around;
mod forecast;
mod give_way;
mod seen;
mod track;

use crate::state::{ActorKind, EGO_SIZE_M, TICK_S};
use crate::traffic::follow::Idm;
use crate::world::World;
use apprentice_core::{Command, Control, HORIZON_STEPS, Trajectory, WAYPOINT_DT_S};
use around::Around;
use give_way::Junctions;
use seen::{Memory, Seen};
use serde::{Deserialize, Serialize};
use track::Track;

/// What the expert may react to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ExpertMode {
    /// Only what the cameras could show: its plans are fit to be labels.
    VisibleOnly,
    /// Everything, hidden or not: an upper bound.
    Privileged,
}

/// Share of the speed limit it drives.
const SPEED_FACTOR: f64 = 0.8;
/// Fastest it ever drives, m/s.
const TOP_MPS: f64 = 20.0;
/// Sideways acceleration in bends, m/s².
const LATERAL_MPS2: f64 = 2.4;
/// Deceleration ahead of bends, m/s².
const AHEAD_OF_BENDS_MPS2: f64 = 2.2;
const HALF_LENGTH_M: f64 = EGO_SIZE_M[0] / 2.0;
const HALF_WIDTH_M: f64 = EGO_SIZE_M[1] / 2.0;

/// Something to keep behind: a gap that opens with its speed.
#[derive(Clone, Copy, Debug)]
struct Limit {
    /// Front bumper to it, metres.
    gap_m: f64,
    /// Its speed along the line, m/s.
    speed_mps: f64,
    /// Gap kept when standing, metres.
    keep_m: f64,
}

/// A rule-based driver with the world's map and, by mode, its state.
#[derive(Clone, Debug)]
pub struct Expert {
    mode: ExpertMode,
    memory: Memory,
    around: Around,
    junctions: Junctions,
    track: Track,
    limits: Vec<Limit>,
    wanted_mps: f64,
    acceleration_mps2: f64,
    why: Reason,
}

/// What decided the expert's last action.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// Nothing: the road is free.
    #[default]
    Free,
    /// A bend ahead.
    Bend,
    /// Somebody or something ahead on its line (the actor's id).
    Leader(u32),
    /// A light, a sign or priority.
    Junction,
    /// An obstacle that cannot be passed yet.
    Obstacle,
    /// Somebody would be hit by driving on (the actor's id).
    Forecast(u32),
    /// Somebody might step out from behind something.
    Hidden,
    /// A lane change that others leave no room for.
    LaneChange,
}

impl Expert {
    /// A driver at the beginning of an episode.
    pub fn new(mode: ExpertMode) -> Self {
        Self {
            mode,
            memory: Memory::default(),
            around: Around::default(),
            junctions: Junctions::default(),
            track: Track::default(),
            limits: Vec::new(),
            wanted_mps: 0.0,
            acceleration_mps2: 0.0,
            why: Reason::Free,
        }
    }

    /// Its mode.
    pub fn mode(&self) -> ExpertMode {
        self.mode
    }

    /// What decided its last action.
    pub fn reason(&self) -> Reason {
        self.why
    }

    /// Its state in one line, for logs.
    pub fn describe(&self) -> String {
        let detour = self.around.detour.map_or(String::new(), |d| {
            format!("around {:.1} m from {:.0} to {:.0} m", d.offset_m, d.from_s_m, d.end_s_m)
        });
        let lets = self.junctions.lets_pass.map_or(String::new(), |(id, lane)| format!(" lets {id} pass on {lane}"));
        format!("wants {:.1} m/s, {:.2} m/s² {detour}{lets}", self.wanted_mps, self.acceleration_mps2)
    }

    /// Control for the world's next step.
    pub fn control(&mut self, world: &World) -> Control {
        let s = world.route_progress_m();
        let track = Track::new(&world.route, s, self.around.detour.as_ref());
        let seen = seen::look(world, self.mode, &mut self.memory, &track, s);
        let advice = self.around.update(world, &seen);
        // The line may have changed.
        self.track = Track::new(&world.route, s, self.around.detour.as_ref());
        let seen = seen::look(world, self.mode, &mut self.memory, &self.track, s);

        let (mut wanted, mut why) = self.wanted_speed(world, &seen);
        if advice.cap_mps < wanted {
            wanted = advice.cap_mps;
        }
        self.wanted_mps = wanted;
        self.limits.clear();
        let front = s + HALF_LENGTH_M;
        let idm = self.idm();
        let speed = world.ego.speed_mps;
        let mut acceleration = idm.free(speed);
        let mut consider = |limit: Limit, reason: Reason, acceleration: &mut f64| {
            self.limits.push(limit);
            let a = behind(idm, speed, &limit);
            if a < *acceleration {
                *acceleration = a;
                why = reason;
            }
        };
        for o in &seen {
            // What is being gone around is the forecast's business.
            let passed = self.around.detour.is_some_and(|d| d.offset_m != 0.0)
                && (o.parked || o.kind == ActorKind::Bicycle)
                && o.speed_mps < 0.9 * speed.max(wanted);
            if let Some(limit) = leader_limit(world, o, front).filter(|_| !passed) {
                let id = world.actors[o.index].state.id;
                consider(limit, Reason::Leader(id), &mut acceleration);
            }
        }
        let crossings = give_way::crossings(world);
        for stop in self.junctions.stops(world, &seen, &crossings) {
            let limit = Limit { gap_m: stop - front, speed_mps: 0.0, keep_m: 0.2 };
            consider(limit, Reason::Junction, &mut acceleration);
        }
        if let Some(stop) = advice.wait_s_m {
            let limit = Limit { gap_m: stop - front, speed_mps: 0.0, keep_m: 0.2 };
            consider(limit, Reason::Obstacle, &mut acceleration);
        }
        if let Some(stop) = lane_change_stop(world, &seen) {
            let limit = Limit { gap_m: stop - front, speed_mps: 0.0, keep_m: 0.2 };
            consider(limit, Reason::LaneChange, &mut acceleration);
        }
        // Would driving on like this hit anybody?
        if let Some(hit) = forecast::first_hit(world, &seen, &self.track, acceleration, wanted, 0.15) {
            let inside = crossings.iter().any(|c| front > c.enter_s_m + 2.0 && s < c.exit_s_m);
            let faster = idm.max_acceleration_mps2 + 1.0;
            let through = inside
                && acceleration > 0.0
                && forecast::first_hit(world, &seen, &self.track, faster, wanted + 3.0, 0.15).is_none();
            if through {
                acceleration = faster;
            } else {
                let o = &seen[hit.who];
                let along = if o.yaw_to_line_rad.abs() < 0.6 { o.along_mps().max(0.0) } else { 0.0 };
                let keep_m = if o.kind.is_pedestrian() { 2.0 } else { 1.2 };
                let gap_m = hit.s_m + HALF_LENGTH_M - front - 0.3;
                let gap_m = if along > 0.5 { gap_m - along * hit.after_s } else { gap_m };
                let limit = Limit { gap_m: gap_m.max(0.0), speed_mps: along, keep_m };
                let id = world.actors[o.index].state.id;
                consider(limit, Reason::Forecast(id), &mut acceleration);
            }
        }
        self.why = why;
        self.acceleration_mps2 = acceleration.clamp(-8.0, 4.0);
        let steer = self.steer(world);
        let model = world.config.ego_model;
        let standing = world.ego.speed_mps < 0.3 && self.acceleration_mps2 < 0.05;
        let (throttle, brake) =
            if standing { (0.0, 1.0) } else { model.pedals_for(world.ego.speed_mps, self.acceleration_mps2) };
        Control { throttle, steer, brake }
    }

    fn idm(&self) -> Idm {
        Idm {
            wanted_mps: self.wanted_mps.max(0.5),
            time_gap_s: 1.0,
            min_gap_m: 3.0,
            max_acceleration_mps2: 3.0,
            comfortable_braking_mps2: 3.0,
        }
    }

    /// The speed of the free road: limit, bends, places that may hide somebody.
    fn wanted_speed(&self, world: &World, seen: &[Seen]) -> (f64, Reason) {
        let s = world.route_progress_m();
        let mut wanted = (world.route.at(s).speed_limit_mps * SPEED_FACTOR).min(TOP_MPS);
        let mut why = Reason::Free;
        let mut ahead = 0.0;
        while ahead < 45.0 {
            let at = s + ahead;
            let bend = (LATERAL_MPS2 / self.track.curvature(at).abs().max(1e-4)).sqrt().max(2.5);
            let limit = (world.route.at(at).speed_limit_mps * SPEED_FACTOR).max(3.0);
            let cap = (bend.min(limit).powi(2) + 2.0 * AHEAD_OF_BENDS_MPS2 * (ahead - 2.0).max(0.0)).sqrt();
            if cap < wanted {
                (wanted, why) = (cap, Reason::Bend);
            }
            ahead += 1.0;
        }
        for o in seen.iter().filter(|o| o.parked && hides(o.kind)) {
            let ahead = o.s_m + o.half_along_m - s;
            let beside = o.lateral_m.abs() - o.half_across_m;
            if (-1.0..18.0).contains(&ahead) && beside < 2.6 && beside > 0.3 {
                let cap = if o.kind == ActorKind::Car { 8.0 } else { 6.0 };
                if cap < wanted {
                    (wanted, why) = (cap, Reason::Hidden);
                }
            }
        }
        (wanted, why)
    }

    /// Pure pursuit of the line with the rear axle.
    fn steer(&self, world: &World) -> f64 {
        let pose = world.ego.pose_in_world;
        let s = world.route_progress_m();
        let rear_s = self.track.project(pose.position(), s - 5.0, s + 2.0).0;
        let ahead = (2.2 + 0.42 * world.ego.speed_mps).clamp(2.8, 10.0);
        let target = pose.to_local(self.track.at(rear_s + ahead).position());
        let curvature = 2.0 * target.y / target.length_squared().max(1.0);
        world.config.ego_model.steer_for(curvature)
    }

    /// Where it means to be over the next 3 s: its line, at the speeds that its last reasons allow.
    pub fn plan(&self, world: &World) -> Trajectory {
        const STEP_S: f64 = 0.1;
        let ego = &world.ego;
        let s = world.route_progress_m();
        let track = Track::new(&world.route, s, self.around.detour.as_ref());
        let rear_s = track.project(ego.pose_in_world.position(), s - 5.0, s + 2.0).0;
        let beside = track.at(rear_s).to_local(ego.pose_in_world.position()).y;
        let idm = self.idm();
        let (mut speed, mut moved, mut time) = (ego.speed_mps, 0.0, 0.0);
        let mut trajectory = Trajectory::default();
        for step in 0..HORIZON_STEPS {
            for _ in 0..(WAYPOINT_DT_S / STEP_S).round() as usize {
                let acceleration = if time < 1.5 * TICK_S {
                    self.acceleration_mps2
                } else {
                    self.limits.iter().fold(idm.free(speed), |a, limit| {
                        let gap_m = limit.gap_m + limit.speed_mps * time - moved;
                        a.min(behind(idm, speed, &Limit { gap_m, ..*limit }))
                    })
                };
                let next = (speed + acceleration * STEP_S).max(0.0);
                moved += (speed + next) / 2.0 * STEP_S;
                speed = next;
                time += STEP_S;
            }
            let fade = (-moved / 5.0).exp();
            let at = track.at(rear_s + moved).offset(0.0, beside * fade);
            let local = ego.pose_in_world.to_local(at.position());
            trajectory.0[step] = [local.x as f32, local.y as f32];
        }
        trajectory
    }
}

/// IDM behind a limit with its own standing gap.
fn behind(idm: Idm, speed_mps: f64, limit: &Limit) -> f64 {
    let idm = Idm { min_gap_m: limit.keep_m, time_gap_s: if limit.keep_m < 1.0 { 0.3 } else { idm.time_gap_s }, ..idm };
    if limit.gap_m < limit.keep_m && speed_mps < 1.0 && limit.speed_mps < 0.5 {
        return -4.0;
    }
    idm.behind(speed_mps, limit.gap_m.max(0.05), limit.speed_mps)
}

/// Whether somebody could stand behind it unseen.
fn hides(kind: ActorKind) -> bool {
    matches!(
        kind,
        ActorKind::Van
            | ActorKind::Truck
            | ActorKind::Bus
            | ActorKind::Ambulance
            | ActorKind::Container
            | ActorKind::Advertisement
            | ActorKind::Car
    )
}

/// The limit that somebody ahead on the line sets.
fn leader_limit(world: &World, o: &Seen, front: f64) -> Option<Limit> {
    let s = world.route_progress_m();
    if o.s_m < s || o.s_m > s + track::AHEAD_M - 2.0 {
        return None;
    }
    let on_foot = o.kind.is_pedestrian();
    let margin = if on_foot { 0.5 } else { 0.2 };
    let free = o.lateral_m.abs() - o.half_across_m - HALF_WIDTH_M - margin;
    // Somebody who comes in sideways counts a little before they are in.
    let comes_in = o.across_mps() * -o.lateral_m.signum();
    if free > 0.0 && free - (comes_in * 0.8).clamp(0.0, 1.2) > 0.0 {
        return None;
    }
    if on_foot && free > 0.0 {
        // The forecast looks after people beside the line.
        return None;
    }
    let gap_m = o.s_m - o.half_along_m - front;
    let along = o.along_mps();
    let crossing = (0.6..2.5).contains(&o.yaw_to_line_rad.abs()) && o.speed_mps > 1.0;
    if crossing {
        return None;
    }
    Some(Limit { gap_m, speed_mps: along.max(-3.0), keep_m: if o.parked { 2.5 } else { 3.0 } })
}

/// Where to wait before a lane change of the route that others leave no room for.
fn lane_change_stop(world: &World, seen: &[Seen]) -> Option<f64> {
    let s = world.route_progress_m();
    let speed = world.ego.speed_mps;
    let points = &world.route.points;
    let begin = (s as usize).min(points.len() - 1);
    let far = (begin + 8 + (1.2 * speed) as usize).min(points.len());
    let changes = |c: Command| matches!(c, Command::ChangeLaneLeft | Command::ChangeLaneRight);
    let first = (begin..far).find(|&i| changes(points[i].command))?;
    // Once on the way over, the forecast decides.
    let start = (0..=first).rev().take_while(|&i| changes(points[i].command)).last().unwrap_or(first);
    if s > points[start].s_m + 5.0 {
        return None;
    }
    let side = if points[first].command == Command::ChangeLaneLeft { 1.0 } else { -1.0 };
    let width = points[first].lane_width_m;
    let blocked = seen.iter().filter(|o| o.kind.is_vehicle() && !o.parked).any(|o| {
        // Behind and beside, the line is still one's own lane; ahead it has moved over already.
        if o.s_m > s + HALF_LENGTH_M + 1.0 || (o.lateral_m - side * width).abs() > 1.6 {
            return false;
        }
        let gap = s - HALF_LENGTH_M - (o.s_m + o.half_along_m);
        o.yaw_to_line_rad.cos() > 0.3 && gap < 2.0 + 2.2 * (o.along_mps() - speed).max(0.0) + 0.2 * o.along_mps()
    });
    blocked.then(|| points[start].s_m.max(s + 1.0) + HALF_LENGTH_M + 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_reaches_beyond_every_plan() {
        assert!(track::AHEAD_M > TOP_MPS * HORIZON_STEPS as f64 * WAYPOINT_DT_S);
    }
}
