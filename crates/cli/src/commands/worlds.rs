//! `apprentice worlds make`, and worlds as a source for judging.

use super::Factory;
use super::eval::{median, no_episode, timed};
use crate::arguments::{Common, EvalPlanning, WorldsMake};
use crate::{CliError, Console};
use apprentice_core::{BoxedError, Observation, Progress, Trajectory};
use apprentice_data::{Loader, LoaderConfig, MakeConfig, Part, Size, WorldSet, make as make_worlds};
use apprentice_eval::{PlanningResult, Protocol, Start, Subject, evaluate};
use std::path::Path;
use std::sync::Arc;

/// Make worlds, or finish making them.
pub fn make(make: &WorldsMake, common: &Common, console: &Console) -> Result<(), BoxedError> {
    let size = size_named(&make.size)?;
    let counts: Vec<(&str, usize)> = Part::ALL.iter().map(|&part| (part.name(), size.worlds(part))).collect();
    if common.dry_run {
        let total: usize = counts.iter().map(|(_, n)| n).sum();
        console
            .answer(&serde_json::json!({ "schema": "apprentice.dry-run/1", "worlds": total, "parts": counts }), || {
                format!("would make {total} worlds in {}: {counts:?}", make.out.display())
            });
        return Ok(());
    }
    let config =
        MakeConfig { out: make.out.clone(), size, seed: common.seed(), threads: common.threads.unwrap_or_default() };
    let index = make_worlds(&config, console)?;
    console.answer(&index, || {
        let mut text = format!("{}\n", make.out.display());
        for (part, count) in &index.parts {
            text += &format!(
                "  {part:10} {:5} worlds, {:5} sound, {:6} samples, {:6} visible walkers\n",
                count.worlds, count.sound_worlds, count.samples, count.visible_walkers
            );
        }
        for (flaw, worlds) in &index.flaws {
            text += &format!("  left out of learning: {worlds} worlds, {flaw}\n");
        }
        for (world, reason) in &index.failed {
            text += &format!("  not made: {world}: {reason}\n");
        }
        text
    });
    Ok(())
}

/// A size by name.
///
/// # Errors
/// Lists the names there are.
pub fn size_named(name: &str) -> Result<Size, BoxedError> {
    Size::from_name(name).ok_or_else(|| {
        let names: Vec<_> = Size::ALL.iter().map(|s| s.name()).collect();
        CliError::new(format!("there is no size `{name}`"), format!("sizes are {}", names.join(", "))).into()
    })
}

/// A part by name.
///
/// # Errors
/// Lists the names there are.
pub fn part_named(name: &str) -> Result<Part, BoxedError> {
    Part::ALL.into_iter().find(|p| p.name() == name).ok_or_else(|| {
        let names: Vec<_> = Part::ALL.iter().map(|p| p.name()).collect();
        CliError::new(format!("there is no part `{name}`"), format!("parts are {}", names.join(", "))).into()
    })
}

/// The starts of a part of the worlds.
///
/// # Errors
/// When the worlds cannot be read.
pub(super) fn starts(dir: &Path, part: &str) -> Result<Vec<Start>, BoxedError> {
    let set = WorldSet::open(dir)?;
    let ids = set.ids(part_named(part)?);
    ids.iter()
        .map(|id| {
            let sample = set.sample(id)?;
            Ok(Start::from_sample(&sample))
        })
        .collect()
}

/// Judge a driver on a part of the worlds.
pub fn judge_planning(
    dir: &Path,
    eval: &EvalPlanning,
    protocol: &Protocol,
    subject: Subject,
    factory: &Factory,
    console: &Console,
) -> Result<PlanningResult, BoxedError> {
    let set = Arc::new(WorldSet::open(dir)?);
    let ids = set.ids(part_named(&eval.part)?);
    let mut driver = factory(&subject.driver, eval.engine)?;
    let mut starts = Vec::with_capacity(ids.len());
    let mut plans: Vec<Trajectory> = Vec::with_capacity(ids.len());
    let mut times = Vec::new();
    driver.reset(&no_episode())?;
    console.start("judge in open loop", ids.len() as u64);
    match driver.rig().cloned() {
        None => {
            for id in &ids {
                let sample = set.sample(id)?;
                let observation =
                    Observation { time_s: sample.time_s, images: &[], ego: sample.ego, command: sample.command };
                plans.push(*timed(&mut times, || driver.plan(&observation))?.selected());
                starts.push(Start::from_sample(&sample));
                console.advance(1);
            }
        }
        Some(rig) => {
            let mut loader = Loader::new(set.clone(), ids.clone(), LoaderConfig::evaluation(rig, 16))?;
            for step in 0..loader.batches() {
                for frame in loader.batch(step)? {
                    let sample = &frame.sample;
                    let observation = Observation {
                        time_s: sample.time_s,
                        images: &frame.images,
                        ego: sample.ego,
                        command: sample.command,
                    };
                    plans.push(*timed(&mut times, || driver.plan(&observation))?.selected());
                    starts.push(Start::from_sample(sample));
                    console.advance(1);
                }
            }
        }
    }
    console.finish();
    let subject = Subject { data_hash: set.hash().into(), ms_per_frame: median(&mut times), ..subject };
    Ok(evaluate(protocol, "worlds", subject, &starts, &plans)?)
}
