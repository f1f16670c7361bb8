//! `apprentice drive`

use super::Factory;
use super::worlds::part_named;
use crate::arguments::{Common, Drive, EngineName};
use crate::source::Source;
use crate::{CliError, Console, shipped};
use apprentice_core::BoxedError;
use apprentice_core::hash::content_hash;
use apprentice_data::{MakeConfig, Part, Size, WorldSet, make as make_worlds, record::build};
use apprentice_drive::{
    DriveConfig, DriveReport, Job, LoopConfig, Pilot, Planned, REPLAY_FOLDER, ReplayConfig, RunOptions, drive_all,
    plan, run,
};
use apprentice_eval::replay::Replay;
use apprentice_sim::ExpertMode;
use std::path::{Path, PathBuf};

/// Drive in closed loop with the drivers `factory` knows, besides the expert.
///
/// # Errors
/// Whatever went wrong, with a hint.
pub fn drive_with(drive: &Drive, common: &Common, factory: &Factory, console: &Console) -> Result<(), BoxedError> {
    if common.dry_run {
        return dry_run(drive, common, console);
    }
    if drive.maps.is_none() && drive.data.is_none() {
        return first_drive(drive, common, factory, console);
    }
    let driver = driver_name(drive)?;
    let make = || -> Result<Pilot, BoxedError> {
        Ok(match driver.as_str() {
            "expert" => Pilot::Expert(ExpertMode::VisibleOnly),
            "expert-privileged" => Pilot::Expert(ExpertMode::Privileged),
            "expert-plans" => Pilot::ExpertPlans(ExpertMode::VisibleOnly),
            other => Pilot::Driver(factory(other, drive.engine)?),
        })
    };
    let loop_config = loop_config(common);
    let replay = (drive.out.is_some() && !drive.no_replay).then(ReplayConfig::default);
    let folder = drive.out.as_ref().map(|out| out.join(REPLAY_FOLDER));
    let write_replay = |replay: Replay| -> Result<(), BoxedError> {
        let Some(folder) = &folder else { return Ok(()) };
        apprentice_report::write_replay(&replay, folder)?;
        Ok(())
    };
    let threads = common.threads.unwrap_or_default();
    let report = match (&drive.maps, &drive.routes, &drive.data) {
        (Some(maps), Some(routes), None) => {
            let config =
                DriveConfig { threads, out: drive.out.clone(), replay, ..route_config(drive, common, maps, routes) };
            run(&config, &identity(&driver, drive.engine)?, &make, Some(&write_replay), console)?
        }
        (None, None, Some(Source::Worlds(dir))) => {
            let set = WorldSet::open(dir)?;
            let options = RunOptions {
                run: loop_config,
                threads,
                out: drive.out.clone(),
                replay,
                on_replay: Some(&write_replay),
                identity: content_hash(format!("{}\n{}", identity(&driver, drive.engine)?, set.hash()).as_bytes()),
            };
            drive_all(world_jobs(&set, part_named(&drive.part)?, &drive.only, drive.limit)?, &options, &make, console)?
        }
        _ => {
            return Err(CliError::new(
                "there is nothing to drive on",
                "name `--maps DIR --routes FILE.xml`, or `--data worlds:DIR` made by `apprentice worlds make`",
            )
            .into());
        }
    };
    console.answer(&report, || table(&report, drive.out.as_deref()));
    if report.driven == 0 {
        let hint = "every route's reason stands in the answer; `--dry-run` lists them without driving";
        let whose = match (&drive.routes, &drive.data) {
            (Some(path), _) | (None, Some(Source::Worlds(path))) => path.display().to_string(),
            _ => "the worlds".into(),
        };
        return Err(
            CliError::new(format!("{whose}: nothing was driven, {} routes skipped", report.routes), hint).into()
        );
    }
    Ok(())
}

fn loop_config(common: &Common) -> LoopConfig {
    LoopConfig { seed: common.seed(), ..LoopConfig::default() }
}

fn route_config(drive: &Drive, common: &Common, maps: &Path, routes: &Path) -> DriveConfig {
    DriveConfig {
        maps: maps.into(),
        routes: routes.into(),
        only: (!drive.only.is_empty()).then(|| drive.only.clone()),
        limit: drive.limit,
        run: loop_config(common),
        threads: 0,
        out: None,
        replay: None,
    }
}

/// What would be driven, and what left out with which reason.
fn dry_run(drive: &Drive, common: &Common, console: &Console) -> Result<(), BoxedError> {
    let planned = match (&drive.maps, &drive.routes, &drive.data) {
        (Some(maps), Some(routes), _) => plan(&route_config(drive, common, maps, routes))?.0,
        (_, _, Some(Source::Worlds(dir))) => {
            world_jobs(&WorldSet::open(dir)?, part_named(&drive.part)?, &drive.only, drive.limit)?
        }
        _ => {
            let out = first_drive_folder(drive);
            let document = serde_json::json!({ "schema": "apprentice.dry-run/1", "worlds": out.join("worlds") });
            console.answer(&document, || {
                format!("would make a few worlds in {0}/worlds and drive them, with replays in {0}", out.display())
            });
            return Ok(());
        }
    };
    let mut routes = vec![];
    for planned in &planned {
        routes.push(match planned {
            Planned::Drive(job) => {
                serde_json::json!({ "id": job.id, "town": job.town, "length_m": job.route.length_m })
            }
            Planned::Skip(entry) => serde_json::json!({ "id": entry.id, "town": entry.town, "skipped": entry.reason }),
        });
    }
    console.answer(&serde_json::json!({ "schema": "apprentice.dry-run/1", "routes": routes }), || {
        let driven = planned.iter().filter(|p| matches!(p, Planned::Drive(_))).count();
        format!("would drive {driven} of {} routes", planned.len())
    });
    Ok(())
}

fn first_drive_folder(drive: &Drive) -> PathBuf {
    drive.out.clone().unwrap_or_else(|| PathBuf::from("runs/first-drive"))
}

/// With nothing named: make a few worlds and let the shipped student drive them, with replays to look at.
fn first_drive(drive: &Drive, common: &Common, factory: &Factory, console: &Console) -> Result<(), BoxedError> {
    let out = first_drive_folder(drive);
    let worlds = out.join("worlds");
    let config = MakeConfig { out: worlds.clone(), size: Size::Tiny, seed: common.seed(), threads: 0 };
    make_worlds(&config, console)?;
    let named = Drive { data: Some(Source::Worlds(worlds)), out: Some(out), ..drive.clone() };
    drive_with(&named, common, factory, console)
}

/// The driver that was named, or the student that ships with the program.
fn driver_name(drive: &Drive) -> Result<String, BoxedError> {
    let hint = "name a driver with --driver: `expert`, or a file ending in .onnx or .safetensors";
    let named = drive.driver.as_deref().map(Path::new);
    Ok(shipped::or_shipped(named, shipped::STUDENT, hint)?.display().to_string())
}

/// What decides the driver's behaviour: its file's bytes and the engine that runs it, or its name.
fn identity(driver: &str, engine: EngineName) -> Result<String, BoxedError> {
    if !driver.contains('.') {
        return Ok(driver.into());
    }
    let bytes = std::fs::read(driver)
        .map_err(|e| CliError::new(format!("cannot read the driver {driver}: {e}"), "check the path"))?;
    let engine = if driver.ends_with(".onnx") { format!(" {engine:?}") } else { String::new() };
    Ok(content_hash(&bytes) + &engine)
}

/// Generated worlds as routes to drive: those of a part, perhaps only some, perhaps only the first.
///
/// # Errors
/// When a world cannot be built.
pub fn world_jobs(
    set: &WorldSet,
    part: Part,
    only: &[String],
    limit: Option<usize>,
) -> Result<Vec<Planned>, BoxedError> {
    let here = |id: &str| set.split().worlds.iter().any(|w| w.part == part && w.id == id);
    if let Some(unknown) = only.iter().find(|id| !here(id)) {
        let problem =
            format!("there is no world `{unknown}` in the part `{}` of {}", part.name(), set.root().display());
        return Err(CliError::new(problem, "`split.json` there lists the worlds of every part").into());
    }
    let wanted = |id: &str| only.is_empty() || only.iter().any(|o| o == id);
    let specs = set.split().worlds.iter().filter(|w| w.part == part && wanted(&w.id));
    specs
        .take(limit.unwrap_or(usize::MAX))
        .map(|spec| {
            let built = build(set.towns(), spec)?;
            Ok(Planned::Drive(Box::new(Job {
                id: spec.id.clone(),
                town: spec.town.layout.clone(),
                scenario: spec.family.clone(),
                net: built.town.net.clone(),
                route: built.route,
                world: built.config,
                scenarios: built.scenarios,
                weather: vec![(0.0, spec.weather)],
                start: Some((built.start_in_world, built.start_mps)),
            })))
        })
        .collect()
}

fn table(report: &DriveReport, out: Option<&Path>) -> String {
    let mut text = String::new();
    for entry in &report.entries {
        let score = entry.driving_score.map_or_else(|| "     -".into(), |s| format!("{s:6.1}"));
        text += &format!(
            "{:>14} {:9} {:38} {score}  {}{}\n",
            entry.id,
            entry.town,
            entry.scenario,
            entry.status,
            entry.reason.as_ref().map(|r| format!(" ({r})")).unwrap_or_default()
        );
    }
    text += &format!(
        "{}: driving score {:.2}, success rate {:.3}, over {} driven of {} routes ({} skipped)\n",
        report.driver, report.driving_score, report.success_rate, report.driven, report.routes, report.skipped
    );
    if let Some(out) = out {
        text += &format!("written to {}\n", out.display());
    }
    text
}
