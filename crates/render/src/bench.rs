//! The camera path of the speed measurement: 200 poses through CARLA's Town10HD and 32 actors, committed as numbers under
//! `crates/render/bench/`; the map itself is read at run time.
//!
//! Lines: `pose X Y YAW Z` for the ego, metres and radians in the world frame; `actor KIND LAG LEFT TURN PAINT LAMPS` for
//! actors that travel along: at each pose, an actor stands LAG poses ahead on the path, LEFT metres aside, turned by TURN.

use crate::error::RenderError;
use crate::options::RenderOptions;
use crate::renderer::Renderer;
use crate::scene::TownScene;
use crate::{Frames, frames::PixelId};
use apprentice_core::{Pose2, Rig, Rng};
use apprentice_road::{LaneKind, RoadNetwork};
use apprentice_sim::state::{ActorKind, ActorState, EgoVehicle, Lamps, LightAspect, Snapshot, Weather};
use std::fmt::Write as _;
use std::path::Path;
use std::time::Instant;

/// Poses on the committed path.
pub const POSES: usize = 200;
/// Actors about it.
pub const ACTORS: usize = 32;

const KINDS: [ActorKind; 12] = [
    ActorKind::Car,
    ActorKind::Pedestrian,
    ActorKind::Van,
    ActorKind::Bicycle,
    ActorKind::Truck,
    ActorKind::Car,
    ActorKind::Bus,
    ActorKind::Motorcycle,
    ActorKind::Cone,
    ActorKind::Police,
    ActorKind::Barrier,
    ActorKind::Ambulance,
];

/// Make the camera path: a walk along driving lanes, two and a half metres a pose, with actors on and beside it.
pub fn make_camera_path(net: &RoadNetwork, seed: u64) -> String {
    let mut rng = Rng::new(&[seed, 0xbe9c]);
    let longest = |lanes: &mut dyn Iterator<Item = usize>| {
        lanes.max_by(|&a, &b| net.lanes[a].length_m.total_cmp(&net.lanes[b].length_m).then(b.cmp(&a)))
    };
    let mut driving = net.lanes.iter().filter(|l| l.kind == LaneKind::Driving && l.junction.is_none()).map(|l| l.id);
    let mut text =
        String::from("# Camera path of `apprentice bench`, made by apprentice_render::bench::make_camera_path.\n");
    let Some(mut lane) = longest(&mut driving) else { return text };
    let mut s = 0.0;
    let mut poses = Vec::with_capacity(POSES);
    while poses.len() < POSES {
        let point = net.lanes[lane].at(s);
        poses.push((Pose2::new(point.position.x, point.position.y, point.yaw_rad), point.position.z));
        s += 2.5;
        if s > net.lanes[lane].length_m {
            s -= net.lanes[lane].length_m;
            let next = &net.lanes[lane].successors;
            lane = match next.len() {
                0 => rng.below(net.lanes.len()),
                n => next[rng.below(n)],
            };
            if net.lanes[lane].kind != LaneKind::Driving {
                s = 0.0;
            }
        }
    }
    for (pose, z) in &poses {
        let _ = writeln!(text, "pose {:.3} {:.3} {:.5} {:.3}", pose.x, pose.y, pose.yaw_rad, z);
    }
    for i in 0..ACTORS {
        let side = if rng.chance(0.5) { 1.0 } else { -1.0 };
        let lag = i as i64 * 2 - 20;
        let left_m = side * rng.range(3.3, 4.2);
        let turn_rad = if side > 0.0 { std::f64::consts::PI } else { 0.0 };
        let lamps = [0, Lamps::BRAKE, Lamps::LEFT, Lamps::RIGHT | Lamps::BRAKE, Lamps::HEADLIGHTS][rng.below(5)];
        let (kind, paint) = (KINDS[i % KINDS.len()] as u8, rng.below(16));
        let _ = writeln!(text, "actor {kind} {lag} {left_m:.3} {turn_rad:.5} {paint} {lamps}");
    }
    text
}

/// An actor of the path: kind, poses ahead, metres aside, turn, paint, lamps.
type Company = (ActorKind, i64, f64, f64, u8, Lamps);

/// The snapshots of a camera path: at each pose, all actors about it.
///
/// # Errors
/// Names the line that does not parse.
pub fn read_camera_path(path: &Path, lights: usize) -> Result<Vec<Snapshot>, RenderError> {
    let text = std::fs::read_to_string(path).map_err(|source| RenderError::Io { path: path.into(), source })?;
    let mut poses = Vec::new();
    let mut actors: Vec<Company> = Vec::new();
    for (i, line) in text.lines().enumerate() {
        let bad = |expected| RenderError::CameraPath { path: path.into(), line: i + 1, expected, found: line.into() };
        let words: Vec<&str> = line.split_whitespace().collect();
        let numbers = || -> Result<Vec<f64>, RenderError> {
            words[1..].iter().map(|w| w.parse().map_err(|_| bad("numbers"))).collect()
        };
        match words.first() {
            None => {}
            Some(first) if first.starts_with('#') => {}
            Some(&"pose") => match numbers()?[..] {
                [x, y, yaw_rad, z] => poses.push((Pose2::new(x, y, yaw_rad), z as f32)),
                _ => return Err(bad("four numbers after `pose`")),
            },
            Some(&"actor") => match numbers()?[..] {
                [kind, lag, left_m, turn_rad, paint, lamps] => {
                    let kind = KINDS.into_iter().find(|k| f64::from(*k as u8) == kind);
                    let kind = kind.ok_or_else(|| bad("the number of an actor kind"))?;
                    actors.push((kind, lag as i64, left_m, turn_rad, paint as u8, Lamps(lamps as u8)));
                }
                _ => return Err(bad("six numbers after `actor`")),
            },
            Some(_) => return Err(bad("`pose` or `actor`")),
        }
    }
    let snapshot = |(i, (pose, z)): (usize, &(Pose2, f32))| {
        let place = |(k, &(kind, lag, left_m, turn_rad, paint, lamps)): (usize, &Company)| {
            let (home, ground_z_m) = poses[(i as i64 + lag).clamp(0, poses.len() as i64 - 1) as usize];
            let mut pose_in_world = home.offset(0.0, left_m);
            pose_in_world.yaw_rad += turn_rad;
            ActorState {
                id: k as u32 + 1,
                kind,
                pose_in_world,
                ground_z_m,
                size_m: kind.size_m(),
                speed_mps: 0.0,
                lamps,
                paint,
                gait_rad: i as f32 * 0.4,
            }
        };
        let near = actors.iter().enumerate().map(place).collect();
        let cycle = [LightAspect::Green, LightAspect::Yellow, LightAspect::Red];
        Snapshot {
            tick: i as u32 * 10,
            ego: EgoVehicle {
                pose_in_world: *pose,
                ground_z_m: *z,
                pitch_rad: 0.0,
                speed_mps: 8.0,
                acceleration_mps2: 0.0,
                yaw_rate_radps: 0.0,
            },
            actors: near,
            lights: (0..lights).map(|k| cycle[(k + i / 20) % 3]).collect(),
            weather: Weather { wetness: 30.0, precipitation: 10.0, ..Weather::default() },
        }
    };
    Ok(poses.iter().enumerate().map(snapshot).collect())
}

/// A measured speed.
#[derive(Clone, Copy, Debug)]
pub struct RigSpeed {
    /// Six-camera frames rendered.
    pub frames: usize,
    /// Six-camera frames per second of wall clock: the median over rounds.
    pub frames_per_s: f64,
    /// The same per second of this thread's processor time, where the system tells it: what one core does when others
    /// use the machine too.
    pub frames_per_cpu_s: Option<f64>,
    /// Mean number of pixels of a frame that show an actor, to show that the work was real.
    pub actor_pixels: f64,
}

/// Render all snapshots `rounds` times on this thread, ids and depth included.
pub fn bench_rig(
    town: &TownScene,
    snapshots: &[Snapshot],
    rig: &Rig,
    options: &RenderOptions,
    rounds: usize,
) -> RigSpeed {
    let mut renderer = Renderer::new();
    let mut frames = Frames::default();
    let (mut seconds, mut cpu_seconds) = (Vec::with_capacity(rounds), Vec::with_capacity(rounds));
    let mut pixels = 0;
    for round in 0..=rounds {
        let (start, cpu) = (Instant::now(), thread_cpu_s());
        for snapshot in snapshots {
            renderer.render_into(town, snapshot, rig, options, &mut frames);
        }
        // The first round warms the memory up.
        if round > 0 {
            seconds.push(start.elapsed().as_secs_f64());
            cpu_seconds.extend(thread_cpu_s().zip(cpu).map(|(now, then)| now - then));
        } else {
            let actors = |id: &&u32| PixelId(**id).kind() == crate::IdKind::Actor;
            for snapshot in snapshots.iter().step_by(20) {
                renderer.render_into(town, snapshot, rig, options, &mut frames);
                pixels += frames.ids.iter().flatten().filter(actors).count();
            }
        }
    }
    let median = |mut values: Vec<f64>| {
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied()
    };
    let per_s = |seconds: f64| snapshots.len() as f64 / seconds;
    RigSpeed {
        frames: snapshots.len() * rounds,
        frames_per_s: median(seconds).map_or(0.0, per_s),
        frames_per_cpu_s: median(cpu_seconds).map(per_s),
        actor_pixels: pixels as f64 / snapshots.len().div_ceil(20).max(1) as f64,
    }
}

/// Processor time of this thread, seconds (Linux: the first number of its `schedstat`).
fn thread_cpu_s() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    let nanoseconds: f64 = text.split_whitespace().next()?.parse().ok()?;
    Some(nanoseconds * 1e-9)
}
