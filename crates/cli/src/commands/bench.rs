//! `apprentice bench`: speeds, measured where they are claimed.

mod judging;

use crate::arguments::Bench;
use crate::{CliError, Console};
use apprentice_core::{BoxedError, Control, Rig};
use apprentice_render::{RenderOptions, TownScene, bench};
use apprentice_road::{LaneKind, RoadNetwork, Route};
use apprentice_sim::{World, WorldConfig};
use serde::Serialize;
use std::sync::Arc;
use std::time::Instant;

/// A figure.
#[derive(Debug, Serialize)]
pub struct Measured {
    /// Of what.
    pub what: String,
    /// How much, in `unit`.
    pub value: f64,
    /// 95 % interval, where the value is an estimate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interval_95: Option<[f64; 2]>,
    /// Unit of the value.
    pub unit: &'static str,
    /// How it was measured.
    pub note: String,
}

/// What can be measured, and whether it needs libtorch.
const SUBJECTS: [(&str, bool); 7] = [
    ("world", false),
    ("render", false),
    ("planning", false),
    ("captions", false),
    ("student", true),
    ("onnx", true),
    ("guidance", true),
];

/// Whether anything named needs libtorch.
pub fn needs_libtorch(bench: &Bench) -> bool {
    SUBJECTS.iter().any(|(name, torch)| *torch && bench.what.iter().any(|what| what == name))
}

/// Refuse what cannot be measured.
///
/// # Errors
/// Lists what can.
pub fn check(bench: &Bench) -> Result<(), BoxedError> {
    match bench.what.iter().find(|what| !SUBJECTS.iter().any(|(name, _)| name == what)) {
        None => Ok(()),
        Some(what) => {
            let names = SUBJECTS.map(|(name, _)| name).join(", ");
            let problem = format!("there is nothing to measure called `{what}`");
            Err(CliError::new(problem, format!("measure some of: {names}")).into())
        }
    }
}

/// Print the figures.
pub fn answer(measured: &[Measured], console: &Console) {
    console.answer(&measured, || {
        let line = |m: &Measured| {
            let interval = m.interval_95.map_or_else(String::new, |[low, high]| format!("[{low:.2}, {high:.2}]"));
            let digits = if m.value < 100.0 { 2 } else { 0 };
            format!("{:34} {:10.digits$} {interval:14} {:16} {}\n", m.what, m.value, m.unit, m.note)
        };
        measured.iter().map(line).collect()
    });
}

/// Measure what was named, or everything, of what needs no libtorch.
///
/// # Errors
/// When there is no map to measure on.
pub fn measure(bench: &Bench) -> Result<Vec<Measured>, BoxedError> {
    check(bench)?;
    let wanted = |what: &str| bench.what.is_empty() || bench.what.iter().any(|w| w == what);
    let named = |what: &str| bench.what.iter().any(|w| w == what);
    let mut measured = Vec::new();
    if named("planning") {
        measured.push(judging::planning()?);
    }
    if named("captions") {
        measured.extend(judging::captions(bench)?);
    }
    if !wanted("render") && !wanted("world") {
        return Ok(measured);
    }
    let Some(maps) = &bench.maps else {
        return Err(CliError::new(
            "the camera path leads through CARLA's Town10HD",
            "add --maps DIR with Town10HD.xodr",
        )
        .into());
    };
    let net = Arc::new(RoadNetwork::load(maps.join("Town10HD.xodr"))?);
    if wanted("render") {
        measured.extend(render(&net)?);
    }
    if wanted("world") {
        measured.push(world(&net)?);
    }
    Ok(measured)
}

fn render(net: &Arc<RoadNetwork>) -> Result<Vec<Measured>, BoxedError> {
    let town = TownScene::new(net);
    let path = std::env::temp_dir().join(format!("apprentice-{}.path", std::process::id()));
    std::fs::write(&path, include_str!("../../../render/bench/town10hd.path")).map_err(|e| {
        CliError::new(format!("cannot write {}: {e}", path.display()), "make room in the temporary folder")
    })?;
    let snapshots = bench::read_camera_path(&path, net.signals.len());
    std::fs::remove_file(&path).ok();
    let snapshots = snapshots?;
    Ok([(224, 128), (160, 64)]
        .into_iter()
        .map(|(width, height)| {
            let rig = Rig::bench2drive(width, height);
            let speed = bench::bench_rig(&town, &snapshots, &rig, &RenderOptions::default(), 5);
            Measured {
                what: format!("six cameras at {height}×{width}"),
                value: speed.frames_per_s,
                interval_95: None,
                unit: "rig frames/s",
                note: format!("one core, {} actor pixels a frame, ids and depth on", speed.actor_pixels.round()),
            }
        })
        .collect())
}

/// Steps of a world with 32 actors and an idle ego, median of five runs.
fn world(net: &Arc<RoadNetwork>) -> Result<Measured, BoxedError> {
    const STEPS: u32 = 4000;
    let lane = net
        .lanes
        .iter()
        .filter(|l| l.kind == LaneKind::Driving && l.junction.is_none())
        .max_by(|a, b| a.length_m.total_cmp(&b.length_m));
    let ends: Vec<_> = lane.iter().flat_map(|l| [l.at(5.0).position, l.at(l.length_m - 5.0).position]).collect();
    let route = Arc::new(Route::plan(net, &ends)?);
    let mut speeds = Vec::new();
    let mut actors = 0;
    for seed in 0..5 {
        let config = WorldConfig { seed, vehicles: 24, pedestrians: 8, ..WorldConfig::default() };
        let mut world = World::new(net.clone(), route.clone(), config, Vec::new())?;
        for _ in 0..200 {
            world.step(Control { brake: 1.0, ..Control::default() });
        }
        let begin = Instant::now();
        for _ in 0..STEPS {
            world.step(Control { brake: 1.0, ..Control::default() });
        }
        speeds.push(f64::from(STEPS) / begin.elapsed().as_secs_f64());
        actors = world.snapshot().actors.len();
    }
    speeds.sort_by(f64::total_cmp);
    Ok(Measured {
        what: "world step".into(),
        value: speeds[2],
        interval_95: None,
        unit: "steps/s",
        note: format!("one core, {actors} actors, no cameras"),
    })
}
