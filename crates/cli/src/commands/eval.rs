//! `apprentice eval planning`

use super::Factory;
use crate::arguments::EvalPlanning;
use crate::source::Source;
use crate::{CliError, Console};
use apprentice_core::driver::EpisodeInfo;
use apprentice_core::{BoxedError, Observation, Progress, Trajectory};
use apprentice_data::scenarionet::{self, Moment, Scene};
use apprentice_data::staged::stage;
use apprentice_eval::{Estimate, Group, PlanningResult, Protocol, Start, Subject, evaluate, plans};
use apprentice_render::{Frames, RenderOptions, Renderer};
use std::path::Path;
use std::time::Instant;

/// The moments of recorded scenes that a protocol may judge, and whose ego box they have.
///
/// # Errors
/// When a scene cannot be read.
pub fn recorded_starts(source: &Source) -> Result<(&'static str, Vec<Start>), BoxedError> {
    let (ego, scenes) = super::data::recorded_scenes(source)?;
    let mut starts = Vec::new();
    for scene in scenes {
        starts.extend(scene.moments.iter().map(|moment| start_of(&scene, moment)));
    }
    Ok((ego, starts))
}

fn start_of(scene: &Scene, moment: &Moment) -> Start {
    let start = Start { previous_in_ego: moment.previous_in_ego, ..Start::from_sample(&moment.sample) };
    Start { tier: String::new(), family: scene.place.clone(), ..start }
}

/// Judge a driver on recorded scenes without pictures: its own cameras are carried along the recorded drive, and what they
/// see is rendered.
fn staged_planning(
    dir: &Path,
    eval: &EvalPlanning,
    protocol: &Protocol,
    subject: Subject,
    factory: &Factory,
    console: &Console,
) -> Result<PlanningResult, BoxedError> {
    let mut driver = factory(&subject.driver, eval.engine)?;
    driver.reset(&no_episode())?;
    let rig = driver.rig().cloned();
    let (mut renderer, mut frames) = (Renderer::new(), Frames::default());
    let (mut starts, mut plans, mut times) = (Vec::new(), Vec::new(), Vec::new());
    let files = scenarionet::files(dir)?;
    console.start("judge in open loop", files.len() as u64);
    for file in &files {
        let staged = stage(file)?;
        for (moment, snapshot) in staged.scene.moments.iter().zip(&staged.snapshots) {
            if let Some(rig) = &rig {
                renderer.render_into(&staged.town, snapshot, rig, &RenderOptions::default(), &mut frames);
            }
            let images = if rig.is_some() { &frames.images[..] } else { &[] };
            let sample = &moment.sample;
            let observation = Observation { time_s: sample.time_s, images, ego: sample.ego, command: sample.command };
            plans.push(*timed(&mut times, || driver.plan(&observation))?.selected());
            starts.push(start_of(&staged.scene, moment));
        }
        console.advance(1);
    }
    console.finish();
    let pixels = rig.is_some().then(|| "synthetic".to_string());
    let subject = Subject { ms_per_frame: median(&mut times), pixels, ..subject };
    Ok(evaluate(protocol, "nuscenes", subject, &starts, &plans)?)
}

/// Judge a driver, or trajectories, in open loop.
///
/// # Errors
/// Whatever went wrong, with a hint.
pub fn planning_with(eval: &EvalPlanning, factory: &Factory, console: &Console) -> Result<(), BoxedError> {
    let protocol = Protocol::named(&eval.protocol)?;
    let named = eval.driver.clone().or_else(|| eval.plans.as_ref().map(|file| file.display().to_string()));
    let driver = named.unwrap_or_default();
    let subject = Subject { driver: driver.clone(), data: eval.data.to_string(), ..Subject::default() };
    let mut result = match (&eval.data, &eval.plans) {
        (source, Some(file)) => {
            let (ego, starts) = match source {
                Source::Worlds(dir) => ("worlds", super::worlds::starts(dir, &eval.part)?),
                recorded => recorded_starts(recorded)?,
            };
            let (file, text) = super::sheet::read(file)?;
            let given = plans::read(&file, &text)?;
            let (starts, trajectories, unplanned) = plans::join(&file, &protocol, starts, &given)?;
            PlanningResult { unplanned, ..evaluate(&protocol, ego, subject, &starts, &trajectories)? }
        }
        (Source::Worlds(dir), None) => super::worlds::judge_planning(dir, eval, &protocol, subject, factory, console)?,
        (Source::ScenarioNet(dir), None) if !["constant-velocity", "stop"].contains(&driver.as_str()) => {
            staged_planning(dir, eval, &protocol, subject, factory, console)?
        }
        (recorded, None) => {
            let (ego, starts) = recorded_starts(recorded)?;
            let plans = match driver.as_str() {
                "constant-velocity" => starts.iter().map(Start::constant_velocity).collect(),
                "stop" => vec![Trajectory::default(); starts.len()],
                other => {
                    return Err(CliError::new(
                        format!("`{other}` needs pictures, which are not read from {recorded}"),
                        "judge `constant-velocity`, `stop` or --plans FILE on it, or the student on `worlds:DIR` or `scenarionet:DIR`",
                    )
                    .into());
                }
            };
            evaluate(&protocol, ego, subject, &starts, &plans)?
        }
    };
    if let Some(file) = &eval.subsets {
        let (file, text) = super::sheet::read(file)?;
        result.add_subsets(&file, &plans::read_subsets(&file, &text)?)?;
    }
    if let Some(path) = &eval.out {
        let text = serde_json::to_string_pretty(&result).expect("a result is plain data");
        apprentice_store::write_atomic(path, text.as_bytes())?;
    }
    console.answer(&result.brief(), || table(&result));
    if result.unplanned > 0 {
        return Err(CliError::new(
            format!("{} of {} starts have no plan", result.unplanned, result.unplanned + result.starts),
            "the figures above are of the others; a result to publish plans every start that the protocol judges",
        )
        .into());
    }
    Ok(())
}

fn table(result: &PlanningResult) -> String {
    let mut text = format!(
        "{} on {}{} under `{}` ({} starts)\n{:22} {:>7}  {:>28}  {:>28}  {:>20}\n",
        result.subject.driver,
        result.subject.data,
        if result.subject.pixels.is_some() { ", real behaviour, synthetic pixels," } else { "" },
        result.protocol.name,
        result.starts,
        "",
        "starts",
        "L2 at 1/2/3 s, m",
        "L2 averaged to 1/2/3 s, m",
        "collision to 3 s, %"
    );
    let groups = std::iter::once(&result.all).chain(&result.tiers).chain(&result.families).chain(&result.subsets);
    for group in groups {
        text += &row(group);
    }
    text
}

fn row(group: &Group) -> String {
    let three = |e: &[Estimate; 3]| format!("{:8.3} {:8.3} {:8.3}", e[0].mean, e[1].mean, e[2].mean);
    format!(
        "{:22} {:>7}  {:>28}  {:>28}  {:>20.2}\n",
        group.name,
        group.starts,
        three(&group.l2_at_t),
        three(&group.l2_avg_to_t),
        group.collision_avg_to_t[2].mean * 100.0
    )
}

/// Time of one call, milliseconds, pushed to `times`.
pub(super) fn timed<T>(times: &mut Vec<f64>, call: impl FnOnce() -> T) -> T {
    let begin = Instant::now();
    let value = call();
    times.push(begin.elapsed().as_secs_f64() * 1e3);
    value
}

/// The middle value, or `None` of nothing.
pub(super) fn median(times: &mut [f64]) -> Option<f64> {
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied()
}

/// A nameless episode: open loop has none.
pub(super) fn no_episode() -> EpisodeInfo {
    EpisodeInfo { name: "open loop".into(), seed: 0 }
}
