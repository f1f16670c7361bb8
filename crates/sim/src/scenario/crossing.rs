//! Somebody crosses the ego's way on foot or by bicycle.
//!
//! `DynamicObjectCrossing` (from behind something at the roadside), `ParkingCrossingPedestrian` (from between parked
//! cars), `PedestrianCrossing` (a group before a junction), `VehicleTurningRoute` (a cyclist behind the turn) and
//! `VehicleTurningRoutePedestrian`.

use super::site::Site;
use super::{Scenario, ScenarioSpec};
use crate::actor::{AtEnd, Behaviour, Scripted, Walk};
use crate::state::ActorKind;
use crate::world::World;
use apprentice_core::hash::StateHasher;
use apprentice_core::{Pose2, Rng};

/// Time to the ego's arrival at which the walker of `DynamicObjectCrossing` starts, seconds (`_reaction_time` 2.15).
const REACTION_S: f64 = 2.15;
/// Nearer than this they start whatever the ego's speed, metres (`_min_trigger_dist` 6).
const MIN_DISTANCE_M: f64 = 6.0;
/// A running walker, m/s (`_adversary_speed` 2.0).
const RUN_MPS: f64 = 2.0;
/// Time to arrival at which a group before a junction starts, seconds.
const GROUP_TIME_S: f64 = 3.5;
/// The ego's likely speed towards a junction, m/s.
const APPROACH_MPS: f64 = 8.0;
/// Distance at which the one behind the turn starts, metres.
const TURN_TRIGGER_M: f64 = 18.0;

pub(super) struct CrossingScenario {
    name: String,
    site: Site,
    walkers: Vec<(u32, f64)>,
    at_s_m: f64,
    time_s: f64,
    distance_m: f64,
    needs_trigger: bool,
    started: bool,
    done: bool,
}

impl CrossingScenario {
    pub fn build(spec: &ScenarioSpec, site: Site, world: &mut World) -> Self {
        let mut scenario = Self {
            name: spec.name.clone(),
            walkers: Vec::new(),
            at_s_m: site.trigger_s_m + spec.number("distance").unwrap_or(40.0),
            time_s: REACTION_S,
            distance_m: MIN_DISTANCE_M,
            needs_trigger: true,
            started: false,
            done: false,
            site,
        };
        let side = if spec.text("direction") == Some("left") { 1.0 } else { -1.0 };
        let angle = spec.number("crossing_angle").unwrap_or(0.0).to_radians();
        match spec.kind.as_str() {
            "DynamicObjectCrossing" => scenario.stage_behind_a_thing(spec, world, side, angle),
            "ParkingCrossingPedestrian" => scenario.stage_between_cars(world, side, angle),
            "PedestrianCrossing" => scenario.group(world),
            kind => scenario.behind_the_turn(world, kind == "VehicleTurningRoutePedestrian"),
        }
        scenario
    }

    /// One walker across the carriageway; it stands until [`Scenario::tick`] sends it.
    fn walker(&mut self, world: &mut World, kind: ActorKind, from: Pose2, to: Pose2, speed_mps: f64) {
        let start = from.position();
        let along = to.position() - start;
        let pose = Pose2::new(start.x, start.y, along.y.atan2(along.x));
        let behaviour = if kind.is_pedestrian() {
            let mut walk = Walk::new([start, to.position()], 0.0);
            walk.at_end = AtEnd::Stay;
            Behaviour::Walk(walk)
        } else {
            let mut path = Scripted::new([start, to.position()], 0.0);
            path.at_end = AtEnd::Stay;
            Behaviour::Scripted(path)
        };
        self.walkers.push((world.spawn(kind, pose, behaviour), speed_mps));
    }

    fn stand(&self, world: &mut World, kind: ActorKind, pose: Pose2) {
        world.clear_background(pose.position(), 6.0);
        world.spawn(kind, pose, Behaviour::Parked);
    }

    fn stage_behind_a_thing(&mut self, spec: &ScenarioSpec, world: &mut World, side: f64, angle: f64) {
        let kind = match spec.text("blocker_model") {
            Some(model) if model.contains("advert") || model.contains("busstop") => ActorKind::Advertisement,
            _ => ActorKind::Container,
        };
        let edge = self.site.edge_m(self.at_s_m, side);
        // The thing stands on the verge; the walker behind it, seen from the ego.
        let aside = edge + 0.6 + f64::from(kind.size_m()[1]) / 2.0;
        self.stand(world, kind, self.site.pose(self.at_s_m - 1.6, side * aside));
        let far = self.site.edge_m(self.at_s_m, -side) + 1.5;
        let from = self.site.pose(self.at_s_m + 0.4, side * (edge + 1.0));
        let to = self.site.pose(self.at_s_m + 0.4 - angle.tan() * (far + edge), -side * far);
        self.walker(world, ActorKind::Pedestrian, from, to, RUN_MPS);
    }

    fn stage_between_cars(&mut self, world: &mut World, side: f64, angle: f64) {
        let offset = self.site.parking_offset_m(self.at_s_m);
        let mut rng = Rng::new(&[self.site.seed, 2]);
        for (i, back) in [3.6, 9.6].into_iter().enumerate() {
            let kind = if i == 0 && rng.chance(0.5) { ActorKind::Van } else { ActorKind::Car };
            self.stand(world, kind, self.site.pose(self.at_s_m - back, side * offset));
        }
        let far = self.site.edge_m(self.at_s_m, -side) + 1.5;
        let from = self.site.pose(self.at_s_m, side * (offset + 0.6));
        let to = self.site.pose(self.at_s_m - angle.tan() * far, -side * far);
        let kind = if rng.chance(0.5) { ActorKind::Child } else { ActorKind::Pedestrian };
        self.walker(world, kind, from, to, RUN_MPS);
    }

    fn group(&mut self, world: &mut World) {
        let Some(crossing) = self.site.next_junction(self.site.trigger_s_m) else { return };
        self.at_s_m = (crossing.enter_s_m - 1.0).max(self.site.trigger_s_m);
        self.distance_m = 12.0;
        let half = self.site.lane_width_m(self.at_s_m) / 2.0;
        // Where the trigger lies close before the junction they stand no farther off than lets them be there in time.
        let notice_s = (self.at_s_m - self.site.trigger_s_m) / APPROACH_MPS;
        let right = (self.site.edge_m(self.at_s_m, -1.0) + 1.2).min(half + (1.3 * (notice_s - 0.6)).max(0.8));
        let left = self.site.edge_m(self.at_s_m, 1.0) + 1.5;
        // Where the road is wide they need longer to reach the ego's lane.
        self.time_s = GROUP_TIME_S.max((right - half) / 1.3 + 1.0);
        let mut rng = Rng::new(&[self.site.seed, 3]);
        for (along, back, speed) in [(0.4, 0.0, 1.3), (1.5, 0.8, 1.5), (-0.8, 2.0, 1.2)] {
            let s = self.at_s_m + along;
            let jitter = rng.range(-0.1, 0.1);
            let (from, to) = (self.site.pose(s, -(right + back)), self.site.pose(s, left));
            self.walker(world, ActorKind::Pedestrian, from, to, speed + jitter);
        }
    }

    fn behind_the_turn(&mut self, world: &mut World, on_foot: bool) {
        let Some(crossing) = self.site.next_junction(self.site.trigger_s_m) else { return };
        self.at_s_m = crossing.exit_s_m + 4.0;
        self.time_s = 0.0;
        self.distance_m = TURN_TRIGGER_M;
        let right = self.site.edge_m(self.at_s_m, -1.0) + 1.0;
        let left = self.site.edge_m(self.at_s_m, 1.0) + 1.5;
        let (from, to) = (self.site.pose(self.at_s_m, -right), self.site.pose(self.at_s_m, left));
        let (kind, speed) = if on_foot { (ActorKind::Pedestrian, RUN_MPS) } else { (ActorKind::Bicycle, 3.5) };
        self.walker(world, kind, from, to, speed);
    }

    fn time_to_go(&self, world: &World) -> bool {
        let distance = self.at_s_m - world.route_progress_m() - 2.4;
        let soon = distance < self.time_s * world.ego().speed_mps.max(0.0) || distance < self.distance_m;
        soon && (!self.needs_trigger || self.site.triggered(world))
    }
}

impl Scenario for CrossingScenario {
    fn name(&self) -> &str {
        &self.name
    }
    fn tick(&mut self, world: &mut World) {
        if self.done {
            return;
        }
        if !self.started && self.time_to_go(world) {
            self.started = true;
            for &(id, speed) in &self.walkers {
                match world.actor_mut(id).map(|a| &mut a.behaviour) {
                    Some(Behaviour::Walk(walk)) => walk.speed_mps = speed,
                    Some(Behaviour::Scripted(path)) => path.target_speed_mps = speed,
                    _ => {}
                }
            }
        }
        self.done = world.route_progress_m() > self.at_s_m + 40.0;
    }
    fn hash_state(&self, hasher: &mut StateHasher) {
        hasher.word(u64::from(self.started) << 1 | u64::from(self.done));
    }
    fn finished(&self) -> bool {
        self.done
    }
}
