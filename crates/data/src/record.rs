//! One world, driven by the expert and written down at 2 Hz.

use crate::DataError;
use crate::file::Record;
use crate::labels::{Identity, LIGHT_REACH_M, Moment, governing_light, label};
use crate::split::WorldSpec;
use crate::towns::{Town, TownLibrary, plan_route};
use apprentice_core::camera::REAR_AXLE_TO_CENTER_M;
use apprentice_core::geometry::DVec2;
use apprentice_core::sample::LightState;
use apprentice_core::trajectory::HORIZON_STEPS;
use apprentice_core::{Pose2, Rig, Rng};
use apprentice_render::{Frames, RenderOptions, Renderer};
use apprentice_road::Route;
use apprentice_sim::expert::Reason;
use apprentice_sim::language::{self, Cause};
use apprentice_sim::state::{ActorKind, Lamps, TICK_HZ};
use apprentice_sim::{Expert, ExpertMode, ScenarioSpec, World, WorldConfig};
use std::sync::Arc;

/// Ticks between samples: 2 Hz.
pub const SAMPLE_TICKS: u32 = 10;
/// The drive ends this far before the route does, metres, so that nobody learns to stop where a route happens to end.
const ROUTE_MARGIN_M: f64 = 22.0;
/// Standing for longer than this ends the drive, seconds.
const LONGEST_STAND_S: f64 = 20.0;

/// Everything a world is simulated from.
pub struct BuiltWorld {
    /// Roads and scenery.
    pub town: Arc<Town>,
    /// The way.
    pub route: Arc<Route>,
    /// Traffic, weather, seed.
    pub config: WorldConfig,
    /// What happens.
    pub scenarios: Vec<ScenarioSpec>,
    /// Rear axle of the ego at the beginning.
    pub start_in_world: Pose2,
    /// Its speed.
    pub start_mps: f64,
}

/// Build what a line of the split describes.
///
/// # Errors
/// When the town or the route cannot be built.
pub fn build(towns: &TownLibrary, spec: &WorldSpec) -> Result<BuiltWorld, DataError> {
    let town = towns.town(&spec.town)?;
    let route = plan_route(&town.net, &spec.waypoints)
        .map_err(|e| DataError::Road { town: format!("{} (world {})", spec.town, spec.id), source: Box::new(e) })?;
    let config = WorldConfig {
        seed: spec.seed,
        weather: spec.weather,
        vehicles: spec.vehicles,
        pedestrians: spec.pedestrians,
        ..WorldConfig::default()
    };
    let first = route.at(0.0);
    let begin = Pose2::new(first.position.x, first.position.y, first.yaw_rad);
    let turned = Pose2::new(begin.x, begin.y, begin.yaw_rad + spec.start.heading_rad).offset(0.0, spec.start.lateral_m);
    Ok(BuiltWorld {
        route: Arc::new(route),
        config,
        scenarios: spec.scenarios.clone(),
        start_in_world: turned.offset(-REAR_AXLE_TO_CENTER_M, 0.0),
        start_mps: spec.start.speed_mps,
        town,
    })
}

/// What one drive gave.
pub struct Drive {
    /// Its moments with labels.
    pub records: Vec<Record>,
    /// Hash of the world's last state.
    pub state_hash: u64,
    /// Ticks simulated.
    pub ticks: u32,
    /// Metres of route driven.
    pub driven_m: f64,
    /// Why nobody should learn from it.
    pub flaw: Option<String>,
}

/// Short pushes at the steering wheel, as a pure function of the world's seed.
struct Pushes {
    /// (first tick, tick after the last, steering at 5 m/s).
    list: Vec<(u32, u32, f64)>,
}

impl Pushes {
    fn new(spec: &WorldSpec) -> Self {
        let mut rng = Rng::new(&[spec.seed, 0x9054]);
        let mut list = Vec::new();
        let mut tick = 40.0;
        while spec.pushes_per_minute > 0.0 && tick < spec.duration_s * TICK_HZ {
            tick += -(1.0 - rng.uniform()).ln() * 60.0 * TICK_HZ / spec.pushes_per_minute;
            let ticks = 6 + rng.below(8) as u32;
            let strength = rng.range(0.08, 0.3) * if rng.chance(0.5) { 1.0 } else { -1.0 };
            list.push((tick as u32, tick as u32 + ticks, strength));
            // Time to recover.
            tick += f64::from(ticks) + 80.0;
        }
        Self { list }
    }

    /// Steering to add, if a push is on. Faster cars are pushed more gently, standing ones not at all.
    fn at(&self, tick: u32, speed_mps: f64) -> Option<f64> {
        let &(_, _, strength) = self.list.iter().find(|p| (p.0..p.1).contains(&tick))?;
        (speed_mps > 2.0).then(|| strength * (5.0 / speed_mps).min(1.0))
    }
}

/// Let the visible-only expert drive a world and label what it saw.
///
/// # Errors
/// When the world cannot be built.
pub fn drive(towns: &TownLibrary, spec: &WorldSpec, camera: &mut LabelCamera) -> Result<Drive, DataError> {
    let built = build(towns, spec)?;
    let fail = |e| DataError::Sim { world: spec.id.clone(), source: Box::new(e) };
    let mut world =
        World::new(built.town.net.clone(), built.route.clone(), built.config, built.scenarios).map_err(fail)?;
    world.begin_at(built.start_in_world, built.start_mps);
    let mut expert = Expert::new(ExpertMode::VisibleOnly);
    let pushes = Pushes::new(spec);
    let last_tick = (spec.duration_s * TICK_HZ) as u32;
    let stand_limit = (LONGEST_STAND_S * TICK_HZ) as u32;
    let mut moments: Vec<Moment> = Vec::new();
    let mut reasons: Vec<(Cause, Option<u32>)> = Vec::new();
    let (mut flaw, mut stood, mut pushed_since_last) = (None, 0, false);
    loop {
        let push = pushes.at(world.tick(), world.ego().speed_mps);
        let mut control = expert.control(&world);
        if world.tick() % SAMPLE_TICKS == 0 {
            moments.push(Moment {
                snapshot: world.snapshot(),
                ego: world.ego_state(),
                command: world.command(),
                route_s_m: world.route_progress_m(),
                pushed_since_last,
            });
            let light = governing_light(&world.net, &world.route, world.route_progress_m(), world.lights());
            reasons.push(reason(&expert, &world, light));
            pushed_since_last = false;
        }
        let left_m = world.route.length_m - world.route_progress_m();
        if world.tick() >= last_tick || left_m < ROUTE_MARGIN_M || stood > stand_limit || flaw.is_some() {
            break;
        }
        if let Some(steer) = push {
            control.steer = (control.steer + steer).clamp(-1.0, 1.0);
            pushed_since_last = true;
        }
        world.step(control);
        stood = if world.ego().speed_mps < 0.2 { stood + 1 } else { 0 };
        flaw = flaw_now(&world);
    }
    let identity = Identity { world: &spec.id, tier: spec.tier, family: &spec.family };
    let mut records = Vec::new();
    // Moments too near the end have no full future to learn.
    for index in 0..moments.len().saturating_sub(HORIZON_STEPS) {
        let moment = &moments[index];
        camera.look(&built.town, &moment.snapshot);
        let mut sample = label(&identity, index, &moments, &camera.frames, &world.net, &world.route);
        let (cause, critical) = reasons[index];
        let route_in_ego = route_ahead(&world.route, moment);
        let scene = language::Scene {
            snapshot: &moment.snapshot,
            agents: &sample.agents,
            light: sample.light,
            command: sample.command,
            speed_mps: f64::from(sample.ego.speed_mps),
            future: &sample.future,
            future_steps: sample.future_steps,
            cause,
            critical,
            route_in_ego: &route_in_ego,
        };
        let mut rng = Rng::new(&[spec.seed, 0x1a_4900a6e, index as u64]);
        sample.language = language::describe(&scene, &mut rng);
        records.push(Record { snapshot: moment.snapshot.clone(), sample });
    }
    Ok(Drive { records, state_hash: world.state_hash(), ticks: world.tick(), driven_m: world.route_progress_m(), flaw })
}

/// Why the expert does what it does now, and because of whom.
fn reason(expert: &Expert, world: &World, light: LightState) -> (Cause, Option<u32>) {
    let who = |id: u32| world.actor(id).map(|a| (a.state.kind, a.state.lamps));
    let around = world.route_lateral_m().abs() > 1.2;
    match expert.reason() {
        Reason::Free if around => (Cause::Obstacle, None),
        Reason::Free => (Cause::Free, None),
        Reason::Bend => (Cause::Curve, None),
        Reason::Leader(id) | Reason::Forecast(id) => {
            let cause = match who(id) {
                Some((kind, _)) if kind.is_pedestrian() => Cause::Crossing,
                Some((ActorKind::Bicycle, _)) if matches!(expert.reason(), Reason::Forecast(_)) => Cause::Crossing,
                Some((_, lamps)) if lamps.has(Lamps::EMERGENCY) => Cause::Emergency,
                Some((kind, _)) if !kind.is_vehicle() => Cause::Obstacle,
                Some(_) if matches!(expert.reason(), Reason::Forecast(_)) => Cause::GiveWay,
                _ => Cause::Leader,
            };
            (cause, Some(id))
        }
        Reason::Junction => match light {
            LightState::Red | LightState::Yellow => (Cause::RedLight, None),
            _ if stop_sign_ahead(world) => (Cause::StopSign, None),
            _ => (Cause::GiveWay, None),
        },
        Reason::Obstacle => (Cause::Oncoming, None),
        Reason::Hidden => (Cause::Hidden, None),
        Reason::LaneChange => (Cause::LaneChange, None),
    }
}

/// Whether a stop sign governs the approach within a few metres.
fn stop_sign_ahead(world: &World) -> bool {
    let s_m = world.route_progress_m();
    (0..15)
        .map(|i| world.route.at(s_m + f64::from(i)))
        .any(|p| !p.in_junction && world.net.signals_of(p.lane).any(|s| s.kind == apprentice_road::SignalKind::Stop))
}

/// What makes a drive unfit to learn from.
fn flaw_now(world: &World) -> Option<String> {
    if let Some(contact) = world.contacts().first() {
        let what = match contact.kind {
            k if k.is_pedestrian() => "a pedestrian",
            ActorKind::Bicycle | ActorKind::Motorcycle => "a cyclist",
            k if k.is_vehicle() => "a vehicle",
            _ => "an object",
        };
        return Some(format!("collision with {what}"));
    }
    (world.route_lateral_m().abs() > 8.0).then(|| "left the route".to_string())
}

/// The route ahead of the ego in its frame.
fn route_ahead(route: &Route, moment: &Moment) -> Vec<DVec2> {
    let ego = moment.snapshot.ego.pose_in_world;
    let from = (moment.route_s_m - REAR_AXLE_TO_CENTER_M).max(0.0);
    (0..=LIGHT_REACH_M as usize)
        .map(|i| from + i as f64)
        .take_while(|&s| s <= route.length_m)
        .map(|s| ego.to_local(route.at(s).position.truncate()))
        .collect()
}

/// Renders what counts for visibility: the Bench2Drive rig at the labelling resolution.
pub struct LabelCamera {
    rig: Rig,
    renderer: Renderer,
    frames: Frames,
}

impl Default for LabelCamera {
    fn default() -> Self {
        Self::new()
    }
}

impl LabelCamera {
    /// With empty buffers; one per thread.
    pub fn new() -> Self {
        Self { rig: Rig::bench2drive(320, 128), renderer: Renderer::new(), frames: Frames::default() }
    }

    fn look(&mut self, town: &Town, snapshot: &apprentice_sim::state::Snapshot) {
        self.renderer.render_into(&town.scene, snapshot, &self.rig, &RenderOptions::default(), &mut self.frames);
    }
}
