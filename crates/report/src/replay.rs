//! `replay/<route>.html`: six cameras, the bird's-eye view with the plan, controls and infractions on a scrubber.

use crate::ReportError;
use crate::html::{escape, page, script_json};
use crate::picture::{data_url, mosaic, places};
use apprentice_core::{AgentClass, Command};
use apprentice_eval::replay::{EventKind, LightColor, Replay, ReplayFrame, StrokeKind};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

const SCRIPT: &str = include_str!("../assets/replay.js");
const BODY: &str = include_str!("../assets/replay.html");
/// JPEG quality of the camera pictures.
pub const JPEG_QUALITY: u8 = 66;

/// The page of an episode.
///
/// # Errors
/// When an image cannot be packed.
pub fn replay_html(replay: &Replay) -> Result<String, ReportError> {
    let title = format!("{} · {} · {}", replay.route, replay.scenario, replay.driver);
    let data = document(replay)?;
    let body = format!("{BODY}\n<script type=\"application/json\" id=\"data\">{}</script>", script_json(&data));
    let body = body.replacen("{{title}}", &escape(&title), 1);
    Ok(page(&title, "replay", &body, SCRIPT))
}

/// Write `<folder>/<route>.html`, beside and renamed, and say where.
///
/// # Errors
/// When an image cannot be packed or the file cannot be written.
pub fn write_replay(replay: &Replay, folder: &Path) -> Result<PathBuf, ReportError> {
    let safe = |c: char| if c.is_alphanumeric() || matches!(c, '-' | '_' | '.') { c } else { '_' };
    let path = folder.join(format!("{}.html", replay.route.chars().map(safe).collect::<String>()));
    apprentice_store::write_atomic(&path, replay_html(replay)?.as_bytes())?;
    Ok(path)
}

/// Centimetres are enough to look at.
fn cm(metres: f64) -> f64 {
    (metres * 100.0).round() / 100.0
}

fn milli(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

fn flat(points: &[[f64; 2]]) -> Vec<f64> {
    points.iter().flatten().map(|v| cm(*v)).collect()
}

fn document(replay: &Replay) -> Result<Value, ReportError> {
    let places = places(&replay.cameras);
    let mut pictures: Vec<String> = Vec::new();
    let mut frames = Vec::with_capacity(replay.frames.len());
    let mut size = [0, 0];
    for frame in &replay.frames {
        if !frame.images.is_empty() {
            let all = mosaic(&frame.images, &places);
            size = [all.width, all.height];
            pictures.push(data_url(&all, JPEG_QUALITY)?);
        }
        frames.push(moment(frame, pictures.len().checked_sub(1)));
    }
    let strokes = replay.map.iter().map(|s| json!([stroke(s.kind), flat(&s.points)]));
    let events = replay.events.iter().map(|e| {
        let kind = match e.kind {
            EventKind::Infraction => "infraction",
            EventKind::Scenario => "scenario",
            EventKind::Note => "note",
        };
        json!({ "t": milli(e.time_s), "kind": kind, "text": e.text, "at": e.position.map(|p| p.map(cm)) })
    });
    Ok(json!({
        "route": replay.route, "town": replay.town, "scenario": replay.scenario, "driver": replay.driver,
        "seed": replay.seed.to_string(), "status": replay.status,
        "scores": ([replay.score_route, replay.score_penalty, replay.score_composed].map(milli)),
        "cameras": replay.cameras, "places": places, "mosaic": size,
        "map": strokes.collect::<Vec<_>>(),
        "path": flat(&replay.route_points),
        "ego": ([replay.ego.length_m, replay.ego.width_m, replay.ego.axle_to_center_m].map(milli)),
        "commands": Command::ALL.map(Command::words),
        "classes": AgentClass::ALL.map(AgentClass::name),
        "frames": frames,
        "events": events.collect::<Vec<_>>(),
        "pictures": pictures,
    }))
}

/// One moment as the script reads it; short keys, since there are thousands.
fn moment(frame: &ReplayFrame, picture: Option<usize>) -> Value {
    let e = frame.ego_in_world;
    let actors = frame.actors.iter().map(|a| {
        let p = a.pose_in_world;
        let flags = u8::from(a.braking) | u8::from(a.scripted) << 1;
        json!([
            a.id,
            a.class as u8,
            cm(p.x),
            cm(p.y),
            milli(p.yaw_rad),
            cm(a.length_m),
            cm(a.width_m),
            cm(a.speed_mps),
            flags
        ])
    });
    let lights = frame.lights.iter().map(|l| {
        let color = match l.color {
            LightColor::Off => 0,
            LightColor::Green => 1,
            LightColor::Yellow => 2,
            LightColor::Red => 3,
        };
        json!([cm(l.position[0]), cm(l.position[1]), color])
    });
    let plan = frame.plan.as_ref().map(|p| {
        let from = [p.ego_in_world.x, p.ego_in_world.y].map(cm);
        let points = p.trajectory.0.iter().map(|q| {
            let world = p.ego_in_world.to_parent(apprentice_core::geometry::DVec2::new(q[0].into(), q[1].into()));
            [cm(world.x), cm(world.y)]
        });
        std::iter::once(from).chain(points).collect::<Vec<_>>().concat()
    });
    let mut value = json!({
        "t": milli(frame.time_s),
        "e": [cm(e.x), cm(e.y), milli(e.yaw_rad)],
        "v": cm(frame.speed_mps),
        "c": ([frame.control.throttle, frame.control.steer, frame.control.brake].map(milli)),
        "m": frame.command.index(),
        "a": actors.collect::<Vec<_>>(),
        "l": lights.collect::<Vec<_>>(),
    });
    let fields = value.as_object_mut().expect("built as an object");
    if let Some(plan) = plan {
        fields.insert("p".into(), json!(plan));
    }
    if let Some(picture) = picture {
        fields.insert("i".into(), json!(picture));
    }
    if !frame.note.is_empty() {
        fields.insert("n".into(), json!(frame.note));
    }
    value
}

fn stroke(kind: StrokeKind) -> &'static str {
    match kind {
        StrokeKind::Surface => "surface",
        StrokeKind::Sidewalk => "sidewalk",
        StrokeKind::Boundary => "boundary",
        StrokeKind::Solid => "solid",
        StrokeKind::Broken => "broken",
        StrokeKind::StopLine => "stop",
        StrokeKind::Crossing => "crossing",
        StrokeKind::Building => "building",
    }
}
