//! The world and its step.
//!
//! One step: scenarios act on what is; lights advance; everybody decides from the old state; the ego and everybody
//! else move; far traffic leaves and new traffic enters; contacts and the route's progress are noted. Actors are
//! kept in the order of their ids and every random number is keyed by (seed, actor, purpose, tick), so a world is a pure
//! function of its inputs.

use crate::actor::{Actor, Behaviour, Role};
use crate::criteria::{Bystander, Criteria, Moment, Outcome};
use crate::ego::EgoModel;
use crate::error::SimError;
use crate::lights::Lights;
use crate::population::Population;
use crate::rules::Rules;
use crate::scenario::{Scenario, ScenarioSpec};
use crate::state::{ActorKind, EgoVehicle, LightAspect, Snapshot, TICK_S, Weather, same_level};
use crate::traffic::Traffic;
use apprentice_core::camera::REAR_AXLE_TO_CENTER_M;
use apprentice_core::geometry::DVec2;
use apprentice_core::hash::StateHasher;
use apprentice_core::{Command, Control, EgoState, Pose2, Rng};
use apprentice_road::{LaneKind, LanePosition, RoadNetwork, Route};
use std::sync::Arc;

/// What a world is made with.
#[derive(Clone, Debug)]
pub struct WorldConfig {
    /// Seed of everything random in it.
    pub seed: u64,
    /// Weather at the beginning.
    pub weather: Weather,
    /// Moving vehicles kept around the ego.
    pub vehicles: usize,
    /// Pedestrians kept around the ego.
    pub pedestrians: usize,
    /// Share of the parking places that are taken, 0..1.
    pub parked_share: f64,
    /// How the ego's control becomes motion.
    pub ego_model: EgoModel,
    /// Background traffic lives within this distance of the ego, metres.
    pub traffic_radius_m: f64,
}

impl Default for WorldConfig {
    fn default() -> Self {
        Self {
            seed: 0,
            weather: Weather::default(),
            vehicles: 24,
            pedestrians: 8,
            parked_share: 0.35,
            ego_model: EgoModel::CarlaFitted,
            traffic_radius_m: 100.0,
        }
    }
}

/// What a scenario may do to the ego's control, until it takes it back.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct EgoDisturbance {
    /// Added to the steering.
    pub steer: f64,
    /// Added to the throttle where it is above zero.
    pub throttle: f64,
}

/// The ego touches somebody or something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Contact {
    /// Whom.
    pub actor: u32,
    /// What that is.
    pub kind: ActorKind,
}

/// A running world.
pub struct World {
    /// The road network.
    pub net: Arc<RoadNetwork>,
    /// The ego's route.
    pub route: Arc<Route>,
    /// What it was made with.
    pub config: WorldConfig,
    pub(crate) tick: u32,
    pub(crate) ego: EgoVehicle,
    pub(crate) actors: Vec<Actor>,
    pub(crate) lights: Lights,
    pub(crate) population: Population,
    pub(crate) rules: Arc<Rules>,
    traffic: Traffic,
    next_id: u32,
    weather: Weather,
    scenarios: Vec<Box<dyn Scenario>>,
    disturbance: EgoDisturbance,
    control: Control,
    contacts: Vec<Contact>,
    struck: Vec<u32>,
    route_s_m: f64,
    route_lateral_m: f64,
    criteria: Criteria,
    wrong_way_allowed: bool,
}

impl World {
    /// A world at tick 0: the ego stands at the beginning of its route, traffic is there.
    pub fn new(
        net: Arc<RoadNetwork>,
        route: Arc<Route>,
        config: WorldConfig,
        scenarios: Vec<ScenarioSpec>,
    ) -> Result<Self, SimError> {
        let start = route.points.first().ok_or(SimError::EmptyRoute)?;
        let pose = Pose2::new(start.position.x, start.position.y, start.yaw_rad).offset(-REAR_AXLE_TO_CENTER_M, 0.0);
        let ego = EgoVehicle {
            pose_in_world: pose,
            ground_z_m: start.position.z as f32,
            pitch_rad: 0.0,
            speed_mps: 0.0,
            acceleration_mps2: 0.0,
            yaw_rate_radps: 0.0,
        };
        let mut world = Self {
            lights: Lights::new(&net, config.seed),
            traffic: Traffic::new(&net),
            rules: Arc::new(Rules::new(&net)),
            population: Population::default(),
            tick: 0,
            ego,
            actors: Vec::new(),
            next_id: 1,
            weather: config.weather,
            scenarios: Vec::new(),
            disturbance: EgoDisturbance::default(),
            control: Control::default(),
            contacts: Vec::new(),
            struck: Vec::new(),
            route_s_m: 0.0,
            route_lateral_m: 0.0,
            criteria: Criteria::new(&net, route.clone()),
            wrong_way_allowed: false,
            net,
            route,
            config,
        };
        for spec in &scenarios {
            let scenario = crate::scenario::build(spec, &mut world)?;
            world.scenarios.push(scenario);
        }
        crate::population::fill(&mut world);
        Ok(world)
    }

    /// One tick (50 ms) under the driver's control.
    pub fn step(&mut self, control: Control) {
        let mut scenarios = std::mem::take(&mut self.scenarios);
        for scenario in &mut scenarios {
            scenario.tick(self);
        }
        // A scenario may have added another.
        scenarios.append(&mut self.scenarios);
        self.scenarios = scenarios;

        self.lights.update(self.tick);
        let mut traffic = std::mem::take(&mut self.traffic);
        traffic.decide(self);
        self.move_ego(control);
        traffic.apply(self);
        self.traffic = traffic;
        self.tick += 1;
        crate::population::update(self);
        self.note_contacts();
        self.judge();
    }

    /// Let the criteria look at this tick.
    fn judge(&mut self) {
        let moment = Moment {
            tick: self.tick,
            ego: &self.ego,
            lights: self.lights.aspects(),
            wrong_way_allowed: self.wrong_way_allowed,
        };
        let others = self.actors.iter().map(|a| Bystander {
            id: a.state.id,
            kind: a.state.kind,
            touches_ego: self.contacts.iter().any(|c| c.actor == a.state.id),
            speed_mps: a.speed_mps(),
            background: a.role == Role::Background,
        });
        self.criteria.observe(&self.net, moment, others);
    }

    fn move_ego(&mut self, control: Control) {
        self.control = control;
        let disturbed = Control {
            steer: (control.steer + self.disturbance.steer).clamp(-1.0, 1.0),
            throttle: if control.throttle > 0.0 {
                (control.throttle + self.disturbance.throttle).clamp(0.0, 1.0)
            } else {
                0.0
            },
            ..control
        };
        let old = self.ego;
        let mut next = self.config.ego_model.step(&old, &disturbed);
        let (limit, struck) = self.blocked_speed(&old, &next);
        self.struck = struck;
        if let Some(limit) = limit {
            next = EgoVehicle {
                pose_in_world: old.pose_in_world,
                speed_mps: next.speed_mps.min(limit),
                acceleration_mps2: (next.speed_mps.min(limit) - old.speed_mps) / TICK_S,
                yaw_rate_radps: 0.0,
                ..next
            };
        }
        let center = next.footprint().center.position();
        let (s_m, lateral_m) = self.route.project(center, self.route_s_m);
        (self.route_s_m, self.route_lateral_m) = (s_m, lateral_m);
        let here = self.route.at(s_m);
        let ahead = self.route.at(s_m + 3.0);
        if lateral_m.abs() < 8.0 {
            next.ground_z_m = here.position.z as f32;
            let run = (ahead.position - here.position).truncate().length();
            next.pitch_rad =
                if run > 0.5 { ((ahead.position.z - here.position.z) / run).atan() as f32 } else { old.pitch_rad };
        } else {
            next.ground_z_m = self.net.surface_z_near(center, f64::from(old.ground_z_m)) as f32;
        }
        self.ego = next;
    }

    /// The speed left to the ego if its move would press it into something solid, and into whom.
    fn blocked_speed(&self, old: &EgoVehicle, next: &EgoVehicle) -> (Option<f64>, Vec<u32>) {
        let (before, after) = (old.footprint(), next.footprint());
        let mut limit: Option<f64> = None;
        let mut struck = Vec::new();
        for actor in &self.actors {
            let d = actor.pose().position() - after.center.position();
            if d.length_squared() > 144.0
                || !is_solid(actor.state.kind)
                || !same_level(actor.state.ground_z_m, old.ground_z_m)
            {
                continue;
            }
            let other = actor.footprint();
            // Moving apart is free; moving on into it is not.
            if after.overlaps(&other) && (d.dot(after.center.forward()) > 0.0 || !before.overlaps(&other)) {
                let along = actor.velocity().dot(after.center.forward()).max(0.0);
                limit = Some(limit.map_or(along, |l: f64| l.min(along)));
                struck.push(actor.state.id);
            }
        }
        (limit, struck)
    }

    fn note_contacts(&mut self) {
        self.contacts.clear();
        let ego = self.ego.footprint();
        for actor in &self.actors {
            let grown =
                apprentice_core::OrientedBox { length_m: ego.length_m + 0.04, width_m: ego.width_m + 0.04, ..ego };
            if actor.state.kind != ActorKind::Debris
                && same_level(actor.state.ground_z_m, self.ego.ground_z_m)
                && (self.struck.contains(&actor.state.id) || grown.overlaps(&actor.footprint()))
            {
                self.contacts.push(Contact { actor: actor.state.id, kind: actor.state.kind });
            }
        }
    }

    /// Ticks since the world began.
    pub fn tick(&self) -> u32 {
        self.tick
    }
    /// Seconds since the world began.
    pub fn time_s(&self) -> f64 {
        f64::from(self.tick) * TICK_S
    }
    /// The ego.
    pub fn ego(&self) -> &EgoVehicle {
        &self.ego
    }
    /// What the ego knows of its own motion.
    pub fn ego_state(&self) -> EgoState {
        EgoState {
            speed_mps: self.ego.speed_mps as f32,
            acceleration_mps2: self.ego.acceleration_mps2 as f32,
            yaw_rate_radps: self.ego.yaw_rate_radps as f32,
        }
    }
    /// The control of the last step, as the driver gave it.
    pub fn control(&self) -> Control {
        self.control
    }
    /// The navigation command in force.
    pub fn command(&self) -> Command {
        self.route.command_ahead(self.route_s_m)
    }
    /// How far along its route the ego's centre is, metres.
    pub fn route_progress_m(&self) -> f64 {
        self.route_s_m
    }
    /// How far left of the route the ego's centre is, metres.
    pub fn route_lateral_m(&self) -> f64 {
        self.route_lateral_m
    }
    /// Whom and what the ego touches now.
    pub fn contacts(&self) -> &[Contact] {
        &self.contacts
    }
    /// Everybody but the ego, ordered by id.
    pub fn actors(&self) -> &[Actor] {
        &self.actors
    }
    /// One actor.
    pub fn actor(&self, id: u32) -> Option<&Actor> {
        self.index_of(id).map(|i| &self.actors[i])
    }
    /// One actor, to change it.
    pub fn actor_mut(&mut self, id: u32) -> Option<&mut Actor> {
        self.index_of(id).map(|i| &mut self.actors[i])
    }
    fn index_of(&self, id: u32) -> Option<usize> {
        self.actors.binary_search_by_key(&id, |a| a.state.id).ok()
    }

    /// Add an actor of a scenario; its box centre is at the pose. Returns its id.
    pub fn spawn(&mut self, kind: ActorKind, pose_in_world: Pose2, behaviour: Behaviour) -> u32 {
        self.spawn_as(Role::Scenario, kind, pose_in_world, behaviour)
    }

    pub(crate) fn spawn_as(&mut self, role: Role, kind: ActorKind, pose: Pose2, behaviour: Behaviour) -> u32 {
        let id = self.next_id;
        self.next_id += 1;
        let paint = Rng::new(&[self.config.seed, u64::from(id), 0x0070_6169_6e74]).next_u64() as u8;
        let mut actor = Actor::new(id, kind, pose, role, behaviour, paint);
        let ground = f64::from(self.ego.ground_z_m);
        actor.state.ground_z_m = self.net.surface_z_near(pose.position(), ground) as f32;
        self.actors.push(actor);
        id
    }

    /// Remove an actor. False if there was none.
    pub fn despawn(&mut self, id: u32) -> bool {
        let found = self.index_of(id);
        if let Some(i) = found {
            self.actors.remove(i);
        }
        found.is_some()
    }

    /// Remove background traffic, walkers and street furniture within a radius.
    pub fn clear_background(&mut self, center: DVec2, radius_m: f64) {
        self.actors.retain(|a| {
            a.role == Role::Scenario || (a.pose().position() - center).length_squared() > radius_m * radius_m
        });
    }

    /// Remove background actors within a radius and let no new ones enter there.
    pub fn keep_clear(&mut self, center: DVec2, radius_m: f64) {
        self.clear_background(center, radius_m);
        self.population.quiet.push((center, radius_m));
    }

    /// Hold a light (index into the network's signals), or let it run again.
    pub fn set_light(&mut self, signal: usize, aspect: Option<LightAspect>) {
        self.lights.hold(signal, aspect);
    }

    /// Aspect of each signal, indexed like the network's signals.
    pub fn lights(&self) -> &[LightAspect] {
        self.lights.aspects()
    }

    /// Disturb the ego's control from now on.
    pub fn set_ego_disturbance(&mut self, disturbance: EgoDisturbance) {
        self.disturbance = disturbance;
    }

    /// Put the ego somewhere (rear axle), at a speed: scenarios that begin elsewhere than on the route.
    pub fn set_ego(&mut self, pose_in_world: Pose2, speed_mps: f64) {
        self.ego = EgoVehicle { pose_in_world, speed_mps, acceleration_mps2: 0.0, yaw_rate_radps: 0.0, ..self.ego };
        let center = self.ego.footprint().center.position();
        (self.route_s_m, self.route_lateral_m) = self.route.project(center, self.route_s_m);
    }

    /// Begin as a generated world does, perhaps on the move; scenarios that have placed the ego themselves (parking exits) keep
    /// their place. For the first tick.
    pub fn begin_at(&mut self, pose_in_world: Pose2, speed_mps: f64) {
        if self.ego.speed_mps == 0.0 && self.route_progress_m() < 3.0 && self.route_lateral_m().abs() < 1.0 {
            self.set_ego(pose_in_world, speed_mps);
        }
    }

    /// Who gives way to whom on this map.
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// What went wrong so far, how far the route is driven, and how it ended.
    pub fn criteria(&self) -> &Criteria {
        &self.criteria
    }
    /// The criteria, for scenarios that judge something themselves.
    pub fn criteria_mut(&mut self) -> &mut Criteria {
        &mut self.criteria
    }
    /// How the episode ended, if it did.
    pub fn finished(&self) -> Option<Outcome> {
        self.criteria.outcome()
    }
    /// A scenario makes driving on the oncoming lane necessary, or no longer does.
    pub fn allow_wrong_way(&mut self, allowed: bool) {
        self.wrong_way_allowed = allowed;
    }

    /// Weather now.
    pub fn weather(&self) -> Weather {
        self.weather
    }
    /// Change the weather.
    pub fn set_weather(&mut self, weather: Weather) {
        self.weather = weather;
    }

    /// Add a scenario that is made by hand.
    pub fn add_scenario(&mut self, scenario: Box<dyn Scenario>) {
        self.scenarios.push(scenario);
    }
    /// The scenarios.
    pub fn scenarios(&self) -> &[Box<dyn Scenario>] {
        &self.scenarios
    }

    /// The driving lane the ego's centre is on, by heading.
    pub fn ego_lane(&self) -> Option<LanePosition> {
        let pose = self.ego.footprint().center;
        self.net.nearest_lane_with_heading(pose, &[LaneKind::Driving], std::f64::consts::FRAC_PI_3)
    }

    /// A stream of random numbers of this world for a purpose: keyed by seed and tick.
    pub fn rng(&self, purpose: u64) -> Rng {
        Rng::new(&[self.config.seed, purpose, u64::from(self.tick)])
    }

    /// All that cameras and labels may know of this moment.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            tick: self.tick,
            ego: self.ego,
            actors: self.actors.iter().map(|a| a.state.clone()).collect(),
            lights: self.lights.aspects().to_vec(),
            weather: self.weather,
        }
    }

    /// Hash of everything that moves or decides.
    pub fn state_hash(&self) -> u64 {
        let mut hasher = StateHasher::default();
        hasher.word(u64::from(self.tick));
        let pose = |hasher: &mut StateHasher, p: &Pose2| {
            hasher.float(p.x);
            hasher.float(p.y);
            hasher.float(p.yaw_rad);
        };
        pose(&mut hasher, &self.ego.pose_in_world);
        hasher.float(self.ego.speed_mps);
        for actor in &self.actors {
            hasher.word(u64::from(actor.state.id) << 32 | u64::from(actor.state.lamps.0));
            pose(&mut hasher, &actor.state.pose_in_world);
            hasher.word(u64::from(actor.state.speed_mps.to_bits()));
            hasher.float(actor.on_lanes.s_m);
            hasher.word(actor.on_lanes.lane.map_or(u64::MAX, |lane| lane as u64));
        }
        for aspect in self.lights.aspects() {
            hasher.word(*aspect as u64);
        }
        for scenario in &self.scenarios {
            scenario.hash_state(&mut hasher);
        }
        hasher.finish()
    }
}

/// Whether the ego cannot push it aside.
fn is_solid(kind: ActorKind) -> bool {
    !kind.is_pedestrian() && !matches!(kind, ActorKind::Cone | ActorKind::Debris | ActorKind::Bicycle)
}
