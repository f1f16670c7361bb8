//! Labels of a moment in the ego frame: road users with their futures, vector map, governing light.

use crate::mapping::map_labels;
use apprentice_core::geometry::DVec2;
use apprentice_core::sample::{LightState, SampleId};
use apprentice_core::trajectory::{HORIZON_STEPS, Trajectory};
use apprentice_core::{AgentLabel, Command, EgoState, Pose2, Sample, wrap_angle};
use apprentice_render::Frames;
use apprentice_road::{RoadNetwork, Route, SignalKind};
use apprentice_sim::state::{ActorState, LightAspect, Snapshot};

/// The rectangle of the ego frame in which things are labelled, metres: the nano student's bird's-eye view and a margin.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LabelRange {
    /// Backward limit (negative).
    pub back_m: f64,
    /// Forward limit.
    pub front_m: f64,
    /// Limit to either side.
    pub side_m: f64,
}

/// Where road users are labelled.
pub const AGENT_RANGE: LabelRange = LabelRange { back_m: -24.0, front_m: 56.0, side_m: 32.0 };
/// Where the map is labelled.
pub const MAP_RANGE: LabelRange = LabelRange { back_m: -18.0, front_m: 50.0, side_m: 26.0 };
/// Distance to the stop line within which a light governs, metres along the route.
pub const LIGHT_REACH_M: f64 = 45.0;

impl LabelRange {
    /// Whether a point of the ego frame lies in it.
    pub fn contains(&self, p: DVec2) -> bool {
        p.x >= self.back_m && p.x <= self.front_m && p.y.abs() <= self.side_m
    }
}

/// One 2 Hz moment as recorded, before its future is known.
#[derive(Clone, Debug)]
pub struct Moment {
    /// Public state.
    pub snapshot: Snapshot,
    /// Ego motion as its sensors give it.
    pub ego: EgoState,
    /// From the route ahead.
    pub command: Command,
    /// Metres along the route.
    pub route_s_m: f64,
    /// Whether any push happened since the moment before.
    pub pushed_since_last: bool,
}

/// Who a sample belongs to.
#[derive(Clone, Debug)]
pub struct Identity<'a> {
    /// World id.
    pub world: &'a str,
    /// Tier of its family.
    pub tier: apprentice_core::sample::Tier,
    /// Family.
    pub family: &'a str,
}

/// The sample of moment `index`: its future is read from the moments after it.
pub fn label(
    identity: &Identity<'_>,
    index: usize,
    moments: &[Moment],
    frames: &Frames,
    net: &RoadNetwork,
    route: &Route,
) -> Sample {
    let now = &moments[index];
    let ego = now.snapshot.ego.pose_in_world;
    let ahead: Vec<&Moment> = moments[index + 1..].iter().take(HORIZON_STEPS).collect();
    // A push makes the motion after it not the expert's choice: the known future ends before it.
    let clean = ahead.iter().take_while(|m| !m.pushed_since_last).count();
    let mut future = Trajectory::default();
    for (step, moment) in ahead.iter().take(clean).enumerate() {
        let p = ego.to_local(moment.snapshot.ego.pose_in_world.position());
        future.0[step] = [p.x as f32, p.y as f32];
    }
    // Beyond what is known the last place is repeated, so that nobody reads zeros as a plan.
    for step in clean.max(1)..HORIZON_STEPS {
        future.0[step] = if clean == 0 { [0.0; 2] } else { future.0[clean - 1] };
    }
    let pixels = visible_pixels(frames);
    let agents = now
        .snapshot
        .actors
        .iter()
        .filter(|a| AGENT_RANGE.contains(ego.to_local(a.pose_in_world.position())))
        .map(|a| {
            let visible = pixels.binary_search_by_key(&a.id, |p| p.0).map_or(0, |i| pixels[i].1);
            agent_label(&now.snapshot, a, &ahead, visible)
        })
        .collect();
    Sample {
        id: SampleId { world: identity.world.into(), index: index as u32 },
        tier: identity.tier,
        family: identity.family.into(),
        time_s: f64::from(now.snapshot.tick) * apprentice_sim::state::TICK_S,
        ego: now.ego,
        command: now.command,
        future,
        future_steps: clean as u8,
        agents,
        map: map_labels(net, ego, MAP_RANGE),
        light: governing_light(net, route, now.route_s_m, &now.snapshot.lights),
        language: Vec::new(),
    }
}

/// Pixels of each actor over all cameras, by id.
fn visible_pixels(frames: &Frames) -> Vec<(u32, u32)> {
    use apprentice_render::{IdKind, PixelId};
    let mut ids: Vec<u32> = frames
        .ids
        .iter()
        .flatten()
        .filter(|&&pixel| PixelId(pixel).kind() == IdKind::Actor)
        .map(|&pixel| PixelId(pixel).index())
        .collect();
    ids.sort_unstable();
    ids.chunk_by(|a, b| a == b).map(|run| (run[0], run.len() as u32)).collect()
}

fn agent_label(snapshot: &Snapshot, actor: &ActorState, ahead: &[&Moment], visible_pixels: u32) -> AgentLabel {
    let ego = snapshot.ego.pose_in_world;
    let local = ego.pose_to_local(actor.pose_in_world);
    let center = center_in_ego(snapshot, actor, &local);
    let (sin, cos) = local.yaw_rad.sin_cos();
    let mut future_in_ego = [[local.x as f32, local.y as f32]; HORIZON_STEPS];
    let mut future_yaw_rad = [local.yaw_rad as f32; HORIZON_STEPS];
    let mut future_steps = 0;
    for (step, moment) in ahead.iter().enumerate() {
        let actors = &moment.snapshot.actors;
        let Ok(found) = actors.binary_search_by_key(&actor.id, |a| a.id) else { break };
        let pose = ego.pose_to_local(actors[found].pose_in_world);
        future_in_ego[step] = [pose.x as f32, pose.y as f32];
        future_yaw_rad[step] = pose.yaw_rad as f32;
        future_steps = step as u8 + 1;
    }
    for step in usize::from(future_steps).max(1)..HORIZON_STEPS {
        future_in_ego[step] = future_in_ego[step - 1];
        future_yaw_rad[step] = future_yaw_rad[step - 1];
    }
    AgentLabel {
        id: actor.id,
        class: actor.kind.class(),
        center_in_ego: center,
        size_m: actor.size_m,
        yaw_rad: wrap_angle(local.yaw_rad) as f32,
        velocity_in_ego_mps: [cos as f32 * actor.speed_mps, sin as f32 * actor.speed_mps],
        visible_pixels,
        future_in_ego,
        future_yaw_rad,
        future_steps,
    }
}

/// Box centre in the ego frame, whose x axis follows the slope of the road.
fn center_in_ego(snapshot: &Snapshot, actor: &ActorState, local: &Pose2) -> [f32; 3] {
    let (sin, cos) = f64::from(snapshot.ego.pitch_rad).sin_cos();
    let up = f64::from(actor.ground_z_m - snapshot.ego.ground_z_m) + f64::from(actor.size_m[2]) / 2.0;
    [(local.x * cos + up * sin) as f32, local.y as f32, (up * cos - local.x * sin) as f32]
}

/// State of the light whose stop line comes next on the route, if it is near.
pub fn governing_light(net: &RoadNetwork, route: &Route, route_s_m: f64, lights: &[LightAspect]) -> LightState {
    let reach = route_s_m + LIGHT_REACH_M;
    let from = route.points.partition_point(|p| p.s_m < route_s_m - 1.0);
    let mut last_lane = None;
    for point in route.points[from..].iter().take_while(|p| p.s_m <= reach) {
        // Only entering a junction passes a light; inside one, the light behind no longer governs.
        if point.in_junction {
            let Some(approach) = last_lane else { return LightState::None };
            let lane: &apprentice_road::Lane = &net.lanes[approach];
            let signal = net.signals_of(lane.id).find(|s| s.kind == SignalKind::TrafficLight);
            return match signal.and_then(|s| lights.get(s.index)) {
                Some(LightAspect::Green) => LightState::Green,
                Some(LightAspect::Yellow) => LightState::Yellow,
                Some(LightAspect::Red) => LightState::Red,
                _ => LightState::None,
            };
        }
        last_lane = Some(point.lane);
    }
    LightState::None
}
