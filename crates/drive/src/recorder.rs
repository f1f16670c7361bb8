//! What a replay keeps of an episode.

use crate::Job;
use apprentice_core::geometry::DVec2;
use apprentice_core::{Image, Pose2};
use apprentice_eval::replay::{
    EgoShape, EventKind, LightColor, MapStroke, Replay, ReplayActor, ReplayEvent, ReplayFrame, ReplayLight, ReplayPlan,
    StrokeKind,
};
use apprentice_road::{LaneKind, MarkKind, SignalKind};
use apprentice_sim::state::{EGO_SIZE_M, LightAspect, TICK_S};
use apprentice_sim::{Role, World};

/// Actors and lights within this distance of the ego are kept, metres.
const NEAR_M: f64 = 70.0;
/// The map within this distance of the route is kept, metres.
const MAP_M: f64 = 45.0;

/// Collects frames.
pub(crate) struct Recorder {
    replay: Replay,
    seen_events: usize,
}

impl Recorder {
    pub(crate) fn new(job: &Job, driver: &str, cameras: Vec<String>) -> Self {
        let route_points = job.route.points.iter().step_by(2).map(|p| [p.position.x, p.position.y]).collect();
        Self {
            replay: Replay {
                route: job.id.clone(),
                town: job.town.clone(),
                scenario: job.scenario.clone(),
                driver: driver.into(),
                seed: job.world.seed,
                cameras,
                map: map_near(job),
                route_points,
                ego: EgoShape {
                    length_m: EGO_SIZE_M[0],
                    width_m: EGO_SIZE_M[1],
                    axle_to_center_m: apprentice_core::camera::REAR_AXLE_TO_CENTER_M,
                },
                ..Replay::default()
            },
            seen_events: 0,
        }
    }

    pub(crate) fn frame(&mut self, world: &World, plan: Option<ReplayPlan>, images: Vec<Image>) {
        let ego = world.ego();
        let here = ego.pose_in_world.position();
        let actors = world
            .actors()
            .iter()
            .filter(|a| a.pose().position().distance(here) < NEAR_M)
            .map(|a| ReplayActor {
                id: a.state.id,
                class: a.state.kind.class(),
                pose_in_world: a.pose(),
                length_m: a.state.size_m[0].into(),
                width_m: a.state.size_m[1].into(),
                speed_mps: a.speed_mps(),
                braking: a.state.lamps.has(apprentice_sim::state::Lamps::BRAKE),
                scripted: a.role == Role::Scenario,
            })
            .collect();
        let mut lights = Vec::new();
        for signal in world.net.signals.iter().filter(|s| s.kind == SignalKind::TrafficLight) {
            let color = match world.lights().get(signal.index) {
                Some(LightAspect::Green) => LightColor::Green,
                Some(LightAspect::Yellow) => LightColor::Yellow,
                Some(LightAspect::Red) => LightColor::Red,
                _ => LightColor::Off,
            };
            for line in signal.stop_lines.iter().filter(|l| l.center.distance(here) < NEAR_M) {
                lights.push(ReplayLight { position: line.center.to_array(), color });
            }
        }
        self.replay.frames.push(ReplayFrame {
            time_s: world.time_s(),
            ego_in_world: ego.pose_in_world,
            speed_mps: ego.speed_mps,
            control: world.control(),
            command: world.command(),
            plan,
            actors,
            lights,
            images,
            note: String::new(),
        });
    }

    pub(crate) fn events(&mut self, world: &World) {
        let events = world.criteria().events();
        for event in &events[self.seen_events..] {
            let kind = if event.list == "min_speed_infractions" { EventKind::Note } else { EventKind::Infraction };
            self.replay.events.push(ReplayEvent {
                time_s: f64::from(event.tick) * TICK_S,
                kind,
                text: event.text.clone(),
                position: Some(event.position),
            });
        }
        self.seen_events = events.len();
    }

    pub(crate) fn finish(mut self, record: &apprentice_eval::bench2drive::Record) -> Replay {
        self.replay.status = record.status.clone();
        self.replay.score_route = record.scores.score_route;
        self.replay.score_penalty = record.scores.score_penalty;
        self.replay.score_composed = record.scores.score_composed;
        self.replay
    }
}

/// Lane surfaces, paint and stop lines near the route.
fn map_near(job: &Job) -> Vec<MapStroke> {
    let corners: Vec<DVec2> = job.route.points.iter().step_by(5).map(|p| p.position.truncate()).collect();
    let near = |p: DVec2| corners.iter().any(|c| c.distance_squared(p) < MAP_M * MAP_M);
    let mut surfaces = Vec::new();
    let mut lines = Vec::new();
    for lane in &job.net.lanes {
        let kind = match lane.kind {
            LaneKind::Sidewalk => StrokeKind::Sidewalk,
            kind if kind.is_carriageway() => StrokeKind::Surface,
            _ => continue,
        };
        if !lane.points.iter().step_by(4).any(|p| near(p.position.truncate())) {
            continue;
        }
        let kept: Vec<_> = lane
            .points
            .iter()
            .enumerate()
            .filter(|(i, _)| i % 2 == 0 || i + 1 == lane.points.len())
            .map(|(_, p)| p)
            .filter(|p| near(p.position.truncate()))
            .collect();
        if kept.len() < 2 {
            continue;
        }
        let left: Vec<[f64; 2]> = kept.iter().map(|p| p.left_edge().truncate().to_array()).collect();
        let right: Vec<[f64; 2]> = kept.iter().map(|p| p.right_edge().truncate().to_array()).collect();
        let outline = left.iter().copied().chain(right.iter().rev().copied()).collect();
        surfaces.push(MapStroke { kind, points: outline });
        if lane.kind == LaneKind::Driving && lane.junction.is_none() {
            for (mark, points) in [(lane.left_mark, left), (lane.right_mark, right)] {
                let kind = match mark {
                    MarkKind::Broken => StrokeKind::Broken,
                    MarkKind::Solid | MarkKind::SolidSolid | MarkKind::Other => StrokeKind::Solid,
                    MarkKind::Kerb => StrokeKind::Boundary,
                    MarkKind::None => continue,
                };
                lines.push(MapStroke { kind, points });
            }
        }
    }
    for crosswalk in &job.net.crosswalks {
        let points: Vec<[f64; 2]> = crosswalk.outline.iter().map(|p| p.truncate().to_array()).collect();
        if crosswalk.outline.iter().any(|p| near(p.truncate())) {
            lines.push(MapStroke { kind: StrokeKind::Crossing, points });
        }
    }
    for line in job.net.signals.iter().flat_map(|s| &s.stop_lines).filter(|l| near(l.center)) {
        let across = Pose2::new(line.center.x, line.center.y, line.yaw_rad);
        let ends = [line.width_m / 2.0, -line.width_m / 2.0].map(|w| across.to_parent(DVec2::new(0.0, w)).to_array());
        lines.push(MapStroke { kind: StrokeKind::StopLine, points: ends.to_vec() });
    }
    surfaces.append(&mut lines);
    surfaces
}
