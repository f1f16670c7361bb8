//! Speeds of judging, on one thread.

use super::Measured;
use crate::CliError;
use crate::arguments::Bench;
use crate::commands::language::fetched_meteor;
use apprentice_core::sample::SampleId;
use apprentice_core::{AgentClass, AgentLabel, BoxedError, Command, EgoState, HORIZON_STEPS, Rng, Trajectory};
use apprentice_eval::language::{Splitting, captions as caption_metrics};
use apprentice_eval::{Protocol, Start, Subject, evaluate};
use std::time::Instant;

/// Samples and scenes of nuScenes' validation set.
const SAMPLES: u32 = 6019;
const SCENES: u32 = 150;

/// Judge as many starts as nuScenes' validation set has, with thirty agents each, under the slowest protocol.
pub(super) fn planning() -> Result<Measured, BoxedError> {
    let starts: Vec<Start> = (0..SAMPLES).map(start).collect();
    let plans: Vec<Trajectory> = starts.iter().map(Start::constant_velocity).collect();
    let mut slowest = (0.0, "");
    for name in Protocol::names() {
        let protocol = Protocol::named(name)?;
        let begin = Instant::now();
        evaluate(&protocol, "nuscenes", Subject::default(), &starts, &plans)?;
        let seconds = begin.elapsed().as_secs_f64();
        if seconds > slowest.0 {
            slowest = (seconds, name);
        }
    }
    Ok(Measured {
        what: format!("open-loop planning, {SAMPLES} starts"),
        value: slowest.0 * 1e3,
        interval_95: None,
        unit: "ms",
        note: format!("30 agents each; slowest protocol, {}", slowest.1),
    })
}

fn start(i: u32) -> Start {
    let mut rng = Rng::new(&[u64::from(i)]);
    let agents = (0..30).map(|id| {
        let (x, y) = (rng.range(-50.0, 50.0), rng.range(-30.0, 30.0));
        let (vx, yaw) = (rng.range(0.0, 10.0), rng.range(-3.1, 3.1));
        AgentLabel {
            id,
            class: AgentClass::Car,
            center_in_ego: [x as f32, y as f32, 0.8],
            size_m: [4.5, 1.9, 1.6],
            yaw_rad: yaw as f32,
            velocity_in_ego_mps: [(vx * yaw.cos()) as f32, (vx * yaw.sin()) as f32],
            visible_pixels: 100,
            future_in_ego: std::array::from_fn(|t| {
                let s = vx * 0.5 * (t + 1) as f64;
                [(x + s * yaw.cos()) as f32, (y + s * yaw.sin()) as f32]
            }),
            future_yaw_rad: [yaw as f32; HORIZON_STEPS],
            future_steps: HORIZON_STEPS as u8,
        }
    });
    Start {
        id: SampleId { world: format!("scene-{:03}", i * SCENES / SAMPLES), index: i },
        tier: String::new(),
        family: ["boston", "onenorth", "queenstown", "hollandvillage"][(i % 4) as usize].into(),
        agents: agents.collect(),
        command: Command::LaneFollow,
        ego: EgoState { speed_mps: 8.0, ..EgoState::default() },
        previous_in_ego: None,
        past_keyframes: 3,
        future: Trajectory::constant_speed(7.0),
        future_steps: HORIZON_STEPS as u8,
        boundaries_in_ego: None,
    }
}

/// Score a file of caption pairs; reading METEOR's word lists is a figure of its own.
pub(super) fn captions(bench: &Bench) -> Result<Vec<Measured>, BoxedError> {
    let path = bench.pairs.as_ref().ok_or_else(|| {
        CliError::new("captions need a file of pairs", "add --pairs FILE.jsonl, as for `eval captions`")
    })?;
    let (file, text) = crate::commands::sheet::read(path)?;
    let pairs = caption_metrics::read_pairs(&file, &text)?;
    let files = fetched_meteor()?;
    let begin = Instant::now();
    let scores = caption_metrics::score(&pairs, Splitting::PennTreebank, Some(&files))?;
    let all = begin.elapsed().as_secs_f64();
    let note = format!("{} pairs: tokens, BLEU, METEOR, ROUGE-L, CIDEr-D", pairs.len());
    Ok(vec![
        Measured {
            what: "caption metrics".into(),
            value: (all - scores.reading_s) * 1e3,
            interval_95: None,
            unit: "ms",
            note,
        },
        Measured {
            what: "reading METEOR's word lists".into(),
            value: scores.reading_s * 1e3,
            interval_95: None,
            unit: "ms",
            note: "once per run".into(),
        },
    ])
}
