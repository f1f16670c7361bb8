//! Slow cyclists at the edge of the ego's lane (`HazardAtSideLane`, `HazardAtSideLaneTwoWays`): they ride at
//! `bicycle_speed` for `bicycle_drive_distance` and then turn off the road.

use super::flow::{Stream, oncoming};
use super::site::Site;
use super::{Scenario, ScenarioSpec};
use crate::actor::{AtEnd, Behaviour, Scripted};
use crate::state::ActorKind;
use crate::world::World;
use apprentice_core::hash::StateHasher;

/// How many ride.
const RIDERS: usize = 3;
/// Distance between them, metres.
const SPACING_M: f64 = 6.0;
/// Their places, as shares of half the lane's width to the right.
const ASIDE: [f64; RIDERS] = [0.7, 0.62, 0.78];
/// Over this much road they turn off it, metres.
const TURN_OFF_M: f64 = 9.0;
/// Speed of the oncoming stream, m/s.
const ONCOMING_MPS: f64 = 8.3;

pub(super) struct SlowSide {
    name: String,
    site: Site,
    riders: Vec<u32>,
    speed_mps: f64,
    stream: Option<Stream>,
    two_ways: bool,
    started: bool,
    end_s_m: f64,
    done: bool,
}

impl SlowSide {
    pub fn build(spec: &ScenarioSpec, site: Site, world: &mut World) -> Self {
        let two_ways = spec.kind.ends_with("TwoWays");
        let first = site.trigger_s_m + spec.number("distance").unwrap_or(40.0);
        let drive = spec.number("bicycle_drive_distance").unwrap_or(60.0);
        let speed_mps = spec.number("bicycle_speed").unwrap_or(8.0);
        let mut riders = Vec::new();
        for (i, share) in ASIDE.iter().enumerate() {
            let at = first + SPACING_M * i as f64;
            let left = -share * site.lane_width_m(at) / 2.0;
            let mut points = site.route_points(at, at + drive, left);
            // At the end of their ride they turn off the road.
            let end = at + drive + TURN_OFF_M;
            points.push(site.pose(end, -(site.edge_m(end, -1.0) + 1.0)).position());
            let mut path = Scripted::new(points, 0.0);
            path.at_end = AtEnd::Stay;
            path.acceleration_mps2 = 1.5;
            path.careful = false;
            world.clear_background(site.pose(at, left).position(), 8.0);
            riders.push(world.spawn(ActorKind::Bicycle, site.pose(at, left), Behaviour::Scripted(path)));
        }
        let end_s_m = first + SPACING_M * RIDERS as f64 + drive;
        let mut stream = None;
        if two_ways {
            let gap = spec
                .interval("frequency")
                .or_else(|| spec.number("frequency").map(|f| (f, f)))
                .unwrap_or((70.0, 100.0));
            stream = oncoming(&site, (first + 20.0).min(site.route.length_m), gap, ONCOMING_MPS);
            if let Some(stream) = &mut stream {
                stream.fill(world, 90.0);
            }
        }
        Self {
            name: spec.name.clone(),
            site,
            riders,
            speed_mps,
            stream,
            two_ways,
            started: false,
            end_s_m,
            done: false,
        }
    }
}

impl Scenario for SlowSide {
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
        if !self.started && self.site.triggered(world) {
            self.started = true;
            if self.two_ways {
                world.allow_wrong_way(true);
            }
            for &id in &self.riders {
                if let Some(actor) = world.actor_mut(id)
                    && let Behaviour::Scripted(path) = &mut actor.behaviour
                {
                    path.target_speed_mps = self.speed_mps;
                }
            }
        }
        if world.route_progress_m() > self.end_s_m + 20.0 {
            world.allow_wrong_way(false);
            self.done = true;
        }
    }
    fn hash_state(&self, hasher: &mut StateHasher) {
        hasher.word(u64::from(self.started) << 1 | u64::from(self.done));
        if let Some(stream) = &self.stream {
            stream.hash_state(hasher);
        }
    }
    fn finished(&self) -> bool {
        self.done
    }
}
