//! Bench2Drive's criteria: what counts as an infraction, when an episode ends, how far the route was driven.
//!
//! Each criterion follows CARLA leaderboard 2's `atomic_criteria` with Bench2Drive's parameters; the numbers are
//! constants beside the code that uses them. Distances are measured from the middle of the ego's box, as CARLA's
//! actor location is. Texts are the leaderboard's, with CARLA's axes (y to the right), so that readers of result
//! files need not know where a file came from.
//!
//! * completion: passing route points, at most two ahead of the last; done above 99 % within 10 m of the end;
//! * route deviation: more than 30 m off, or more than 15 m off for 30 % of the route;
//! * blocked: below 0.1 m/s for 60 s; * tick limit: 4000;
//! * collisions, lanes, lights, stop signs, speed against the traffic around, emergency vehicles.

mod contact;
mod lanes;
mod pace;
mod score;
mod signs;

pub use apprentice_core::infractions::{Infractions, Scores};
pub use score::Outcome;

use crate::state::{ActorKind, EgoVehicle, LightAspect, TICK_S};
use apprentice_core::geometry::{DVec2, DVec3};
use apprentice_road::{RoadNetwork, Route};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Bench2Drive's limit: 200 s.
pub const TICK_LIMIT: u32 = 4000;
/// Share of the route that counts as all of it, percent.
const COMPLETE_PERCENT: f64 = 99.0;
/// How near the end that must be, metres.
const COMPLETE_DISTANCE_M: f64 = 10.0;
/// Route points looked ahead for the completion.
const COMPLETE_WINDOW: usize = 2;

/// Another actor, as far as the criteria care.
#[derive(Clone, Copy, Debug)]
pub struct Bystander {
    /// Id.
    pub id: u32,
    /// Looks.
    pub kind: ActorKind,
    /// Whether the ego and it are in contact.
    pub touches_ego: bool,
    /// m/s.
    pub speed_mps: f64,
    /// Whether it is ordinary traffic (the scale of the minimum-speed criterion) and not the scenario's.
    pub background: bool,
}

/// What the criteria look at, once per tick.
#[derive(Clone, Copy, Debug)]
pub struct Moment<'a> {
    /// Ticks since the world began.
    pub tick: u32,
    /// The ego.
    pub ego: &'a EgoVehicle,
    /// Aspect per signal.
    pub lights: &'a [LightAspect],
    /// A scenario has made driving on the oncoming lane necessary.
    pub wrong_way_allowed: bool,
}

/// Something that happened, for logs and replays.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CriteriaEvent {
    /// When.
    pub tick: u32,
    /// Name of the infraction list.
    pub list: String,
    /// The text in the list.
    pub text: String,
    /// Where the ego was, world frame.
    pub position: [f64; 2],
}

/// The criteria of one episode.
#[derive(Clone, Debug)]
pub struct Criteria {
    route: Arc<Route>,
    passed: usize,
    completion_percent: f64,
    completed: bool,
    lanes: lanes::LaneKeeping,
    contact: contact::Contact,
    signs: signs::Signs,
    pace: pace::Pace,
    infractions: Infractions,
    events: Vec<CriteriaEvent>,
    outcome: Option<Outcome>,
    last_position: DVec3,
    last_speed_mps: f64,
    tick: u32,
}

/// Collects what one tick's criteria find.
pub(crate) struct Found<'a> {
    tick: u32,
    at: DVec3,
    infractions: &'a mut Infractions,
    events: &'a mut Vec<CriteriaEvent>,
}

impl Found<'_> {
    pub(crate) fn push(&mut self, list: &'static str, text: String) {
        let target = match list {
            "collisions_layout" => &mut self.infractions.collisions_layout,
            "collisions_pedestrian" => &mut self.infractions.collisions_pedestrian,
            "collisions_vehicle" => &mut self.infractions.collisions_vehicle,
            "red_light" => &mut self.infractions.red_light,
            "stop_infraction" => &mut self.infractions.stop_infraction,
            "outside_route_lanes" => &mut self.infractions.outside_route_lanes,
            "min_speed_infractions" => &mut self.infractions.min_speed_infractions,
            "yield_emergency_vehicle_infractions" => &mut self.infractions.yield_emergency_vehicle_infractions,
            "scenario_timeouts" => &mut self.infractions.scenario_timeouts,
            "route_dev" => &mut self.infractions.route_dev,
            "vehicle_blocked" => &mut self.infractions.vehicle_blocked,
            _ => &mut self.infractions.route_timeout,
        };
        target.push(text.clone());
        self.events.push(CriteriaEvent { tick: self.tick, list: list.into(), text, position: [self.at.x, self.at.y] });
    }

    /// `(x=…, y=…, z=…)` in CARLA's axes.
    pub(crate) fn place(&self) -> String {
        place(self.at)
    }
}

fn place(at: DVec3) -> String {
    format!("(x={}, y={}, z={})", score::round_to(at.x, 3), score::round_to(-at.y, 3) + 0.0, score::round_to(at.z, 3))
}

impl Criteria {
    /// The criteria of an episode on `route`.
    pub fn new(net: &RoadNetwork, route: Arc<Route>) -> Self {
        Self {
            passed: 0,
            completion_percent: 0.0,
            completed: false,
            lanes: lanes::LaneKeeping::new(&route),
            contact: contact::Contact::default(),
            signs: signs::Signs::new(net, &route),
            pace: pace::Pace::new(&route),
            infractions: Infractions::default(),
            events: Vec::new(),
            outcome: None,
            last_position: route.points.first().map_or(DVec3::ZERO, |p| p.position),
            last_speed_mps: 0.0,
            tick: 0,
            route,
        }
    }

    /// Look at one tick. After the episode's end this does nothing.
    pub fn observe(&mut self, net: &RoadNetwork, moment: Moment<'_>, others: impl Iterator<Item = Bystander>) {
        if self.outcome.is_some() {
            return;
        }
        self.tick = moment.tick;
        let box_ = moment.ego.footprint();
        let at = box_.center.position().extend(f64::from(moment.ego.ground_z_m));
        self.last_position = at;
        self.advance(at.truncate());
        let mut found = Found { tick: moment.tick, at, infractions: &mut self.infractions, events: &mut self.events };
        let speed_mps = moment.ego.speed_mps.abs();
        // A hit has already taken the speed it happened at.
        let impact_mps = speed_mps.max(self.last_speed_mps);
        self.last_speed_mps = speed_mps;
        let mut background = (0.0, 0u32);
        self.contact.begin(moment.tick, box_.center.position());
        for other in others {
            if other.background && other.kind.is_vehicle() {
                background = (background.0 + other.speed_mps.abs(), background.1 + 1);
            }
            self.contact.look(&mut found, moment.tick, box_.center.position(), impact_mps, &other);
        }
        let mean_speed = (background.1 > 0).then(|| background.0 / f64::from(background.1));
        self.signs.observe(net, &mut found, &moment, &box_);
        let deviated =
            self.lanes.observe(net, &self.route, &mut found, at, box_.center.yaw_rad, moment.wrong_way_allowed);
        let blocked = self.pace.observe(&mut found, moment.tick, self.passed, speed_mps, mean_speed);
        self.completed = self.completion_percent > COMPLETE_PERCENT
            && self
                .route
                .points
                .last()
                .is_some_and(|p| p.position.truncate().distance(at.truncate()) < COMPLETE_DISTANCE_M);
        if self.completed {
            self.completion_percent = 100.0;
            self.end(Outcome::Completed);
        } else if deviated {
            self.end(Outcome::Deviated);
        } else if blocked {
            self.end(Outcome::Blocked);
        } else if moment.tick >= TICK_LIMIT {
            self.end(Outcome::TickLimit);
        }
    }

    fn advance(&mut self, at: DVec2) {
        let points = &self.route.points;
        let first = self.passed;
        for (index, point) in points.iter().enumerate().skip(first).take(COMPLETE_WINDOW + 1) {
            let (sin, cos) = point.yaw_rad.sin_cos();
            if (at - point.position.truncate()).dot(DVec2::new(cos, sin)) > 0.0 {
                self.passed = index;
            }
        }
        let total = points.last().map_or(0.0, |p| p.s_m);
        if total > 0.0 {
            self.completion_percent = score::round_to(points[self.passed].s_m / total * 100.0, 2);
        }
    }

    fn end(&mut self, outcome: Outcome) {
        let mut found = Found {
            tick: self.tick,
            at: self.last_position,
            infractions: &mut self.infractions,
            events: &mut self.events,
        };
        self.lanes.finish(&mut found);
        self.pace.finish(&mut found, self.completion_percent);
        self.outcome = Some(outcome);
    }

    /// A scenario could not play out in its time.
    pub fn scenario_timed_out(&mut self) {
        self.external("scenario_timeouts", "Agent timed out a scenario".into());
    }

    /// An emergency vehicle did not get past the ego.
    pub fn failed_to_yield(&mut self) {
        self.external("yield_emergency_vehicle_infractions", "Agent failed to yield to an emergency vehicle".into());
    }

    fn external(&mut self, list: &'static str, text: String) {
        let mut found = Found {
            tick: self.tick,
            at: self.last_position,
            infractions: &mut self.infractions,
            events: &mut self.events,
        };
        found.push(list, text);
    }

    /// How the episode ended, if it did.
    pub fn outcome(&self) -> Option<Outcome> {
        self.outcome
    }

    /// Completion so far, percent.
    pub fn completion_percent(&self) -> f64 {
        self.completion_percent
    }

    /// Index of the last route point passed.
    pub fn passed_points(&self) -> usize {
        self.passed
    }

    /// What went wrong so far.
    pub fn infractions(&self) -> &Infractions {
        &self.infractions
    }

    /// The same in order of time.
    pub fn events(&self) -> &[CriteriaEvent] {
        &self.events
    }

    /// Scores as they stand.
    pub fn scores(&self) -> Scores {
        Scores::compose(self.completion_percent, self.infractions.penalty(self.lanes.outside_fraction()))
    }

    /// Simulated seconds so far.
    pub fn duration_s(&self) -> f64 {
        f64::from(self.tick) * TICK_S
    }
}
