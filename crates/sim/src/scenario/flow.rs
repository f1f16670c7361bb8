//! Streams of cars: oncoming traffic that must be waited out, flows to cross, enter or leave.

use super::site::{LanePath, Site, downstream, upstream};
use super::{Scenario, ScenarioSpec, spawn_moving};
use crate::actor::{Behaviour, LaneFollowing};
use crate::error::SimError;
use crate::state::{ActorKind, LightAspect};
use crate::world::World;
use apprentice_core::hash::StateHasher;
use apprentice_core::{Rng, wrap_angle};
use apprentice_road::{LaneId, RoadNetwork, Route, SignalKind};
use std::f64::consts::{FRAC_PI_2, PI};

const PURPOSE_FLOW: u64 = 0x666c_6f77;
/// No car is put where another is nearer than this, metres.
const ROOM_M: f64 = 9.0;

/// A stream along a path: cars appear at its start with random distances, and leave the world at its end.
#[derive(Clone, Debug)]
pub(super) struct Stream {
    path: LanePath,
    length_m: f64,
    speed_mps: f64,
    gap_m: (f64, f64),
    lateral_offset_m: f64,
    kind: Option<ActorKind>,
    seed: u64,
    spawned: u64,
    next_gap_m: f64,
    last: Option<u32>,
    pub stopped: bool,
}

impl Stream {
    pub fn new(net: &RoadNetwork, path: LanePath, speed_mps: f64, gap_m: (f64, f64), seed: u64) -> Self {
        let length_m = path.length_m(net);
        let mut stream = Self {
            path,
            length_m,
            speed_mps,
            gap_m,
            lateral_offset_m: 0.0,
            kind: None,
            seed,
            spawned: 0,
            next_gap_m: 0.0,
            last: None,
            stopped: false,
        };
        stream.next_gap_m = stream.draw_gap();
        stream
    }

    /// The same, beside the lane's centre.
    pub fn beside(mut self, left_m: f64) -> Self {
        self.lateral_offset_m = left_m;
        self
    }

    /// The same, of one kind of actor.
    pub fn of(mut self, kind: ActorKind) -> Self {
        self.kind = Some(kind);
        self
    }

    fn draw_gap(&self) -> f64 {
        let mut rng = Rng::new(&[self.seed, PURPOSE_FLOW, self.spawned]);
        rng.range(self.gap_m.0, self.gap_m.1.max(self.gap_m.0 + 1e-3))
    }

    /// Fill the path up to `until_m` from its start, as if the stream had always run.
    pub fn fill(&mut self, world: &mut World, until_m: f64) {
        let mut at = until_m.min(self.length_m - 5.0);
        while at > 0.0 {
            let id = self.spawn(world, at);
            if id.is_some() {
                self.last = id;
            }
            at -= self.next_gap_m + 4.6;
        }
    }

    fn spawn(&mut self, world: &mut World, at_m: f64) -> Option<u32> {
        let net = world.net.clone();
        let (pose, index) = self.path.at(&net, at_m);
        let pose = pose.offset(0.0, self.lateral_offset_m);
        let taken = world.ego().footprint().center.position().distance(pose.position()) < ROOM_M
            || world.actors().iter().any(|a| a.pose().position().distance(pose.position()) < ROOM_M * 0.8);
        if taken {
            return None;
        }
        let kind = self.kind.unwrap_or_else(|| match Rng::new(&[self.seed, PURPOSE_FLOW, self.spawned, 1]).below(8) {
            0 => ActorKind::Van,
            1 => ActorKind::Truck,
            _ => ActorKind::Car,
        });
        let driver = LaneFollowing {
            target_speed_mps: Some(self.speed_mps),
            ignore_lights: true,
            ignore_priority: true,
            time_gap_s: 0.8,
            lateral_offset_m: self.lateral_offset_m,
            route: self.path.lanes[index + 1..].to_vec(),
            despawn_after_m: Some((self.length_m - at_m).max(1.0)),
            ..LaneFollowing::default()
        };
        let id = spawn_moving(world, kind, pose, self.speed_mps, Behaviour::Lane(driver));
        self.spawned += 1;
        self.next_gap_m = self.draw_gap();
        Some(id)
    }

    /// Let the next car in when the last one is far enough.
    pub fn tick(&mut self, world: &mut World) {
        if self.stopped {
            return;
        }
        let gone_m = match self.last.and_then(|id| world.actor(id)) {
            None => f64::INFINITY,
            Some(actor) => {
                actor.lane().and_then(|(lane, s)| self.path.distance_to(&world.net, lane, s)).unwrap_or(f64::INFINITY)
            }
        };
        if gone_m >= self.next_gap_m + 4.6
            && let Some(id) = self.spawn(world, 0.0)
        {
            self.last = Some(id);
        }
    }

    pub fn hash_state(&self, hasher: &mut StateHasher) {
        hasher.word(self.spawned);
        hasher.float(self.next_gap_m);
        hasher.word(u64::from(self.last.unwrap_or(0)) << 1 | u64::from(self.stopped));
    }
}

/// Oncoming traffic on the lane over the centre line, past the place `s_m` of the route. `None` where the road has
/// no oncoming lane.
pub(super) fn oncoming(site: &Site, s_m: f64, gap_m: (f64, f64), speed_mps: f64) -> Option<Stream> {
    let net = &site.net;
    let point = site.route.at(s_m);
    // The lane over the centre line, seen from the leftmost lane of this direction.
    let mut lane = point.lane;
    for _ in 0..6 {
        match net.lanes[lane].left {
            Some(left) => lane = left,
            None => break,
        }
    }
    let opposite = net.lanes[lane].opposite?;
    let (along, _) = net.lanes[opposite].project(point.position.truncate());
    let path =
        upstream(net, opposite, along, 110.0).joined(downstream(net, opposite, along, site_length(site, s_m) + 30.0));
    Some(Stream::new(net, path, speed_mps, gap_m, site.seed))
}

fn site_length(site: &Site, s_m: f64) -> f64 {
    (s_m - site.trigger_s_m).max(0.0) + 30.0
}

/// Which way a stream through the ego's junction comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum From {
    /// Towards the ego.
    Opposite,
    /// From the ego's left.
    Left,
    /// From the ego's right.
    Right,
}

impl From {
    /// From a route file's `direction`.
    pub fn of(text: Option<&str>) -> Self {
        match text {
            Some("left") => Self::Left,
            Some("right") => Self::Right,
            _ => Self::Opposite,
        }
    }
}

/// A lane through the junction that comes from `from` and goes on straight (or as straight as there is), with the
/// lanes before and after. With `into_exit` it must lead where the ego's way leads.
pub(super) fn through_junction(
    site: &Site,
    from: From,
    into_exit: bool,
    before_m: f64,
    after_m: f64,
) -> Option<(LanePath, LaneId)> {
    let net = &site.net;
    let crossing = site.next_junction(site.trigger_s_m)?;
    let entry_yaw = site.route.at(crossing.enter_s_m - 1.0).yaw_rad;
    let exit = site.route.at(crossing.exit_s_m + 2.0);
    let ego_lanes: Vec<LaneId> = site
        .route
        .points
        .iter()
        .filter(|p| p.s_m >= crossing.enter_s_m && p.s_m <= crossing.exit_s_m)
        .map(|p| p.lane)
        .collect();
    let ego_road = |id: LaneId| {
        net.lanes[id].predecessors.iter().any(|p| net.lanes[*p].road == net.lanes[before_lane(site, &crossing)].road)
    };
    let wanted = match from {
        From::Opposite => wrap_angle(entry_yaw + PI),
        From::Left => wrap_angle(entry_yaw - FRAC_PI_2),
        From::Right => wrap_angle(entry_yaw + FRAC_PI_2),
    };
    let junction = &net.junctions[crossing.junction];
    let mut best: Option<(f64, LaneId)> = None;
    for &id in &junction.lanes {
        let lane = &net.lanes[id];
        if ego_lanes.contains(&id) || ego_road(id) {
            continue;
        }
        let arrival = wrap_angle(lane.start().yaw_rad - wanted).abs();
        let turn = wrap_angle(lane.end().yaw_rad - lane.start().yaw_rad).abs();
        let meets = junction
            .conflicts
            .iter()
            .any(|c| (c.a == id && ego_lanes.contains(&c.b)) || (c.b == id && ego_lanes.contains(&c.a)));
        let same_exit = lane.successors.contains(&exit.lane);
        if arrival > 1.0 || (into_exit && !same_exit && wrap_angle(lane.end().yaw_rad - exit.yaw_rad).abs() > 0.6) {
            continue;
        }
        let badness =
            arrival + 1.5 * turn + if meets { 0.0 } else { 2.0 } + if into_exit && !same_exit { 1.0 } else { 0.0 };
        if best.is_none_or(|(b, _)| badness < b) {
            best = Some((badness, id));
        }
    }
    let (_, inside) = best?;
    let path =
        upstream(net, inside, 0.0, before_m).joined(downstream(net, inside, 0.0, net.lanes[inside].length_m + after_m));
    Some((path, inside))
}

fn before_lane(site: &Site, crossing: &super::site::Crossing) -> LaneId {
    site.route.at((crossing.enter_s_m - 1.5).max(0.0)).lane
}

/// Hold lights of the ego's next junction: green for the ego's approach and the given lanes, red for all others.
pub(super) fn hold_green(world: &mut World, site: &Site, also: &[LaneId], ego_aspect: LightAspect) -> Vec<usize> {
    let Some(crossing) = site.next_junction(site.trigger_s_m) else { return Vec::new() };
    let ego_lane = before_lane(site, &crossing);
    let net = site.net.clone();
    let mut held = Vec::new();
    for signal in
        net.signals.iter().filter(|s| s.kind == SignalKind::TrafficLight && s.junction == Some(crossing.junction))
    {
        let governs = |lane: LaneId| signal.lanes.contains(&lane);
        let same_approach = signal.lanes.iter().any(|&l| {
            net.lanes[l].road == net.lanes[ego_lane].road
                && net.lanes[l].lane.signum() == net.lanes[ego_lane].lane.signum()
        });
        let aspect = if same_approach {
            ego_aspect
        } else if also.iter().any(|&l| governs(l)) {
            LightAspect::Green
        } else {
            LightAspect::Red
        };
        world.set_light(signal.index, Some(aspect));
        held.push(signal.index);
    }
    held
}

/// Types that are one stream of cars.
pub(super) struct FlowScenario {
    name: String,
    site: Site,
    stream: Option<Stream>,
    held: Vec<usize>,
    end_s_m: f64,
    done: bool,
}

impl FlowScenario {
    pub fn build(spec: &ScenarioSpec, site: Site, world: &mut World) -> Result<Self, SimError> {
        let speed = spec.number("flow_speed").unwrap_or(9.0);
        let gap = spec.interval("source_dist_interval").unwrap_or((18.0, 32.0));
        let (before, after) = (5.0 * speed + 15.0, 3.0 * speed + 15.0);
        let mut end_s_m = site.next_junction(site.trigger_s_m).map_or(site.route.length_m, |c| c.exit_s_m + 10.0);
        let found = match spec.kind.as_str() {
            "NonSignalizedJunctionLeftTurn" | "SignalizedJunctionLeftTurn" => {
                through_junction(&site, From::Opposite, false, before, after)
            }
            "NonSignalizedJunctionLeftTurnEnterFlow" | "SignalizedJunctionLeftTurnEnterFlow" => {
                through_junction(&site, From::Right, true, before, after)
                    .or_else(|| through_junction(&site, From::Opposite, true, before, after))
            }
            "NonSignalizedJunctionRightTurn" | "SignalizedJunctionRightTurn" => {
                through_junction(&site, From::Left, true, before, after)
                    .or_else(|| through_junction(&site, From::Opposite, true, before, after))
            }
            _ => {
                end_s_m = site.route.length_m;
                match (spec.location("start_actor_flow"), spec.location("end_actor_flow")) {
                    (Some(start), Some(end)) => {
                        let route = Route::plan(&site.net, &[start, end]).map_err(|e| SimError::Scenario {
                            name: spec.name.clone(),
                            problem: format!("no way from start_actor_flow to end_actor_flow: {e}"),
                        })?;
                        along_route(&site.net, &route).map(|path| (path, usize::MAX))
                    }
                    _ => None,
                }
            }
        };
        let mut held = Vec::new();
        let mut stream = None;
        if let Some((path, inside)) = found {
            if inside != usize::MAX && spec.kind.starts_with("Signalized") {
                let approach = site.net.lanes[inside].predecessors.clone();
                held = hold_green(world, &site, &approach, LightAspect::Green);
            }
            let mut s = Stream::new(&site.net, path, speed, gap, site.seed);
            if spec.kind == "CrossingBicycleFlow" {
                s = s.of(ActorKind::Bicycle);
            }
            let length = s.length_m;
            s.fill(world, length - after.min(length / 2.0));
            stream = Some(s);
        }
        Ok(Self { name: spec.name.clone(), site, stream, held, end_s_m, done: false })
    }
}

/// A planned route as a lane path.
fn along_route(net: &RoadNetwork, route: &Route) -> Option<LanePath> {
    let mut lanes: Vec<LaneId> = Vec::new();
    for point in &route.points {
        if lanes.last() != Some(&point.lane) {
            lanes.push(point.lane);
        }
    }
    let (first, last) = (route.points.first()?, route.points.last()?);
    let along = |point: &apprentice_road::RoutePoint| net.lanes[point.lane].project(point.position.truncate()).0;
    Some(LanePath { start_s_m: along(first), end_s_m: along(last), lanes })
}

impl Scenario for FlowScenario {
    fn name(&self) -> &str {
        &self.name
    }
    fn tick(&mut self, world: &mut World) {
        if self.done {
            return;
        }
        if let Some(stream) = &mut self.stream {
            stream.tick(world);
        }
        if world.route_progress_m() > self.end_s_m.min(self.site.route.length_m - 1.0) {
            self.done = true;
            for &signal in &self.held {
                world.set_light(signal, None);
            }
        }
    }
    fn hash_state(&self, hasher: &mut StateHasher) {
        hasher.word(u64::from(self.done));
        if let Some(stream) = &self.stream {
            stream.hash_state(hasher);
        }
    }
    fn finished(&self) -> bool {
        self.done
    }
}

/// `InvadingTurn`: oncoming cars drive over the centre line along a bend.
pub(super) struct Invading {
    name: String,
    stream: Option<Stream>,
    end_s_m: f64,
    done: bool,
}

impl Invading {
    pub fn build(spec: &ScenarioSpec, site: Site, world: &mut World) -> Self {
        let at = site.trigger_s_m + spec.number("distance").unwrap_or(50.0);
        let share = spec.number("offset").unwrap_or(0.5);
        let over = site.lane_width_m(at) * share;
        let mut stream = oncoming(&site, at, (20.0, 40.0), 8.3).map(|s| s.beside(over));
        if let Some(stream) = &mut stream {
            stream.fill(world, 70.0);
        }
        Self { name: spec.name.clone(), stream, end_s_m: at + 10.0, done: false }
    }
}

impl Scenario for Invading {
    fn name(&self) -> &str {
        &self.name
    }
    fn tick(&mut self, world: &mut World) {
        if self.done {
            return;
        }
        if let Some(stream) = &mut self.stream {
            stream.tick(world);
        }
        self.done = world.route_progress_m() > self.end_s_m;
    }
    fn hash_state(&self, hasher: &mut StateHasher) {
        hasher.word(u64::from(self.done));
        if let Some(stream) = &self.stream {
            stream.hash_state(hasher);
        }
    }
    fn finished(&self) -> bool {
        self.done
    }
}
