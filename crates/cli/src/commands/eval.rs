//! `apprentice eval planning`

use super::Factory;
use crate::arguments::EvalPlanning;
use crate::source::Source;
use crate::{CliError, Console};
use apprentice_core::driver::EpisodeInfo;
use apprentice_core::{BoxedError, Trajectory};
use apprentice_eval::{Estimate, Group, PlanningResult, Protocol, Start, Subject, evaluate, plans};
use std::time::Instant;

/// The moments of recorded scenes that a protocol may judge, and whose ego box they have.
///
/// # Errors
/// When a scene cannot be read.
pub fn recorded_starts(source: &Source) -> Result<(&'static str, Vec<Start>), BoxedError> {
    let (ego, scenes) = super::data::recorded_scenes(source)?;
    let mut starts = Vec::new();
    for scene in scenes {
        for moment in &scene.moments {
            let start = Start { previous_in_ego: moment.previous_in_ego, ..Start::from_sample(&moment.sample) };
            starts.push(Start { tier: String::new(), family: scene.place.clone(), ..start });
        }
    }
    Ok((ego, starts))
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
        (recorded, None) => {
            let (ego, starts) = recorded_starts(recorded)?;
            let plans = match driver.as_str() {
                "constant-velocity" => starts.iter().map(Start::constant_velocity).collect(),
                "stop" => vec![Trajectory::default(); starts.len()],
                other => {
                    return Err(CliError::new(
                        format!("`{other}` needs images, and these recordings have none"),
                        "judge `constant-velocity` or `stop` on them, or the student on `worlds:DIR`",
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
        "{} on {} under `{}` ({} starts)\n{:22} {:>7}  {:>28}  {:>28}  {:>20}\n",
        result.subject.driver,
        result.subject.data,
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
