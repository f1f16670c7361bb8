//! Many routes: planning, skipping with reasons, driving in parallel, the journal that lets a killed run resume.

use crate::config::{DriveConfig, Job, LoopConfig, MakePilot, Pilot, ReplayConfig};
use crate::error::DriveError;
use crate::report::{DriveReport, Entry};
use apprentice_core::hash::content_hash;
use apprentice_core::{BoxedError, Progress};
use apprentice_eval::bench2drive::ResultFile;
use apprentice_eval::replay::Replay;
use apprentice_render::TownScene;
use apprentice_road::RoadNetwork;
use apprentice_sim::routes::{RouteSpec, parse_routes};
use apprentice_sim::scenario;
use apprentice_store::{Journal, RunLock, StoreError, sweep, write_json};
use rayon::prelude::*;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

/// Takes finished replays, while the run goes on.
pub type OnReplay<'a> = dyn Fn(Replay) -> Result<(), BoxedError> + Sync + 'a;

/// Name of the report in the output folder.
pub const REPORT_FILE: &str = "report.json";
/// Name of the result file in Bench2Drive's merged layout.
pub const RESULTS_FILE: &str = "results.json";
/// Folder of the replays in the output folder.
pub const REPLAY_FOLDER: &str = "replay";
/// Folder of the result files, one per route, in the output folder.
const ROUTES_FOLDER: &str = "routes";
/// Finished episodes of a run that is under way, and of one that is done.
const JOURNAL_FILE: &str = "journal";
const DONE_FILE: &str = "journal.done";

/// A route that is driven, or one that is not.
#[derive(Clone)]
pub enum Planned {
    /// To drive.
    Drive(Box<Job>),
    /// Left out, with the reason.
    Skip(Box<Entry>),
}

/// What a list of jobs is driven with.
pub struct RunOptions<'a> {
    /// How the loop runs.
    pub run: LoopConfig,
    /// Worker threads; 0 asks the machine.
    pub threads: usize,
    /// Output folder.
    pub out: Option<PathBuf>,
    /// What goes into replays.
    pub replay: Option<ReplayConfig>,
    /// Where replays go.
    pub on_replay: Option<&'a OnReplay<'a>>,
    /// Hash of everything that decides the outcome and is not in the jobs' settings: driver file, maps, routes.
    pub identity: String,
}

/// Drive a route file.
///
/// # Errors
/// When maps, routes, driver or output folder cannot be used as a whole. What goes wrong on one route is in the report.
pub fn run(
    config: &DriveConfig,
    driver_identity: &str,
    make: &MakePilot<'_>,
    on_replay: Option<&OnReplay<'_>>,
    progress: &dyn Progress,
) -> Result<DriveReport, DriveError> {
    let (planned, inputs) = plan(config)?;
    let identity = content_hash(format!("{driver_identity}\n{inputs}").as_bytes());
    let options = RunOptions {
        run: config.run.clone(),
        threads: config.threads,
        out: config.out.clone(),
        replay: config.replay.clone(),
        on_replay,
        identity,
    };
    drive_all(planned, &options, make, progress)
}

/// What would be driven and what left out, and a hash of the inputs.
///
/// # Errors
/// As [`run`].
pub fn plan(config: &DriveConfig) -> Result<(Vec<Planned>, String), DriveError> {
    let text = read(&config.routes)?;
    let mut routes =
        parse_routes(&text).map_err(|source| DriveError::Routes { path: config.routes.clone(), source })?;
    if let Some(only) = &config.only {
        for id in only {
            if !routes.iter().any(|r| r.id == *id) {
                return Err(DriveError::NoSuchRoute { path: config.routes.clone(), id: id.clone() });
            }
        }
        routes.retain(|r| only.contains(&r.id));
    }
    let maps = find_maps(&config.maps)?;
    let mut inputs = format!("routes {}\n", content_hash(text.as_bytes()));
    let mut nets: BTreeMap<String, Arc<RoadNetwork>> = BTreeMap::new();
    for route in &routes {
        if let Some(path) = maps.get(&route.town)
            && !nets.contains_key(&route.town)
        {
            inputs += &format!("{} {}\n", route.town, content_hash(read(path)?.as_bytes()));
            nets.insert(route.town.clone(), Arc::new(RoadNetwork::load(path)?));
        }
    }
    let mut left = config.limit.unwrap_or(usize::MAX);
    let planned = routes
        .iter()
        .map(|spec| match why_not(spec, nets.get(&spec.town).map(Arc::as_ref)) {
            Some(reason) => skip(spec, reason),
            None if left == 0 => skip(spec, "beyond the limit of routes that was asked for".into()),
            None => match Job::new(spec, nets[&spec.town].clone(), &config.run) {
                Ok(job) => {
                    left -= 1;
                    Planned::Drive(Box::new(job))
                }
                Err(error) => skip(spec, format!("cannot be planned: {error}")),
            },
        })
        .collect();
    Ok((planned, inputs))
}

fn skip(spec: &RouteSpec, reason: String) -> Planned {
    Planned::Skip(Box::new(Entry::skipped(&spec.id, &spec.town, spec.scenario_name(), reason)))
}

/// Why a route cannot be driven.
fn why_not(spec: &RouteSpec, net: Option<&RoadNetwork>) -> Option<String> {
    let Some(net) = net else { return Some("no map".into()) };
    let missing: Vec<&str> =
        spec.scenarios.iter().map(|s| s.kind.as_str()).filter(|kind| !scenario::built(kind)).collect();
    if !missing.is_empty() {
        return Some(format!("type not built: {}", missing.join(", ")));
    }
    (!net.has_signals && spec.scenarios.iter().any(|s| scenario::needs_signals(&s.kind)))
        .then(|| "map has no signals".into())
}

fn read(path: &Path) -> Result<String, DriveError> {
    std::fs::read_to_string(path).map_err(|source| DriveError::Read { path: path.into(), source })
}

/// `<town>.xodr` below a folder, by town; of several, the first by path.
fn find_maps(folder: &Path) -> Result<BTreeMap<String, PathBuf>, DriveError> {
    fn walk(folder: &Path, depth: usize, found: &mut Vec<PathBuf>) -> std::io::Result<()> {
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                if depth > 0 {
                    walk(&path, depth - 1, found)?;
                }
            } else if path.extension().is_some_and(|e| e == "xodr") {
                found.push(path);
            }
        }
        Ok(())
    }
    let mut found = Vec::new();
    walk(folder, 6, &mut found).map_err(|source| DriveError::Read { path: folder.into(), source })?;
    found.sort();
    let mut maps = BTreeMap::new();
    for path in found {
        if let Some(stem) = path.file_stem() {
            maps.entry(stem.to_string_lossy().into_owned()).or_insert(path);
        }
    }
    if maps.is_empty() { Err(DriveError::NoMaps { path: folder.into() }) } else { Ok(maps) }
}

/// Scenes by map, built when first needed.
#[derive(Default)]
struct Scenes(Mutex<BTreeMap<usize, Arc<TownScene>>>);

impl Scenes {
    fn of(&self, net: &Arc<RoadNetwork>) -> Arc<TownScene> {
        let mut scenes = self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        scenes.entry(Arc::as_ptr(net) as usize).or_insert_with(|| Arc::new(TownScene::new(net))).clone()
    }
}

/// Drive a list of jobs: in parallel, with results in the list's order.
///
/// With an output folder, every finished episode is journalled: the same call after a kill drives only the rest, and
/// ends with the same files; after the end it drives nothing.
///
/// # Errors
/// As [`run`].
pub fn drive_all(
    planned: Vec<Planned>,
    options: &RunOptions<'_>,
    make: &MakePilot<'_>,
    progress: &dyn Progress,
) -> Result<DriveReport, DriveError> {
    options.run.ticks_per_plan()?;
    let pilot = make().map_err(|cause| DriveError::Driver { cause })?;
    let (driver, sees) = (pilot.name(), matches!(&pilot, Pilot::Driver(d) if d.rig().is_some()));
    let pictures = options.replay.as_ref().is_some_and(|r| r.image_size.is_some());
    drop(pilot);

    let mut entries: Vec<Option<Entry>> = planned
        .iter()
        .map(|p| match p {
            Planned::Skip(entry) => Some((**entry).clone()),
            Planned::Drive(_) => None,
        })
        .collect();
    let mut journal = None;
    let _lock = match &options.out {
        Some(out) => {
            let lock = RunLock::acquire(out)?;
            for folder in [out.clone(), out.join(REPLAY_FOLDER), out.join(ROUTES_FOLDER)] {
                sweep(&folder)?;
            }
            let (open, records) = open_journal(out, &identity(&planned, options, &driver))?;
            for bytes in records {
                if let Ok((index, entry)) = serde_json::from_slice::<(usize, Entry)>(&bytes)
                    && let Some(place) = entries.get_mut(index)
                {
                    *place = Some(entry);
                }
            }
            journal = Some(Mutex::new(open));
            Some(lock)
        }
        None => None,
    };
    let todo: Vec<(usize, &Job)> = planned
        .iter()
        .enumerate()
        .filter_map(|(i, p)| match p {
            Planned::Drive(job) if entries[i].is_none() => Some((i, &**job)),
            _ => None,
        })
        .collect();
    let replayed = replay_indices(&planned, options.replay.as_ref());
    let scenes = Scenes::default();
    let scores = Mutex::new((0usize, 0.0f64));
    progress.start("drive", todo.len() as u64);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(options.threads).build()?;
    let one = |pilot: &mut Result<Pilot, Option<BoxedError>>, (index, job): &(usize, &Job)| {
        let pilot = match pilot {
            Ok(pilot) => pilot,
            Err(error) => {
                let cause = error.take().unwrap_or_else(|| {
                    DriveError::Setting {
                        field: "driver",
                        expected: "a driver that starts",
                        found: "a failed one".into(),
                    }
                    .into()
                });
                return Err(DriveError::Driver { cause });
            }
        };
        let replay = options.replay.as_ref().filter(|_| replayed.contains(index));
        let scene = (sees || (pictures && replay.is_some())).then(|| scenes.of(&job.net));
        let (entry, replay) = crate::episode::drive(job, *index, &options.run, pilot, scene, replay)?;
        if let (Some(replay), Some(on_replay)) = (replay, options.on_replay) {
            on_replay(replay).map_err(|cause| DriveError::Replay { cause })?;
        }
        if let Some(journal) = &journal {
            let bytes = serde_json::to_vec(&(index, &entry)).expect("an entry is plain data");
            journal.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).append(&bytes)?;
        }
        let mut scores = scores.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some(score) = entry.driving_score {
            *scores = (scores.0 + 1, scores.1 + score);
            progress.note(&format!("driving score {:.1}", scores.1 / scores.0 as f64));
        }
        progress.advance(1);
        Ok((*index, entry))
    };
    let driven: Vec<Result<(usize, Entry), DriveError>> =
        pool.install(|| todo.par_iter().with_max_len(1).map_init(|| make().map_err(Some), one).collect());
    progress.finish();
    for result in driven {
        let (index, entry) = result?;
        entries[index] = Some(entry);
    }
    let report = DriveReport::new(&driver, options.run.seed, entries.into_iter().flatten().collect());
    if let Some(out) = &options.out {
        write_results(out, &report)?;
        drop(journal);
        rename(&out.join(JOURNAL_FILE), &out.join(DONE_FILE))?;
    }
    Ok(report)
}

/// The journal of this run: the one under way, else that of the same run when it is done, else a new one. What another run
/// left is not written over.
fn open_journal(out: &Path, identity: &str) -> Result<(Journal, Vec<Vec<u8>>), DriveError> {
    let open = |path: &Path| match Journal::open(path, identity) {
        Err(StoreError::Mismatch { field, .. }) if field == "identity" => {
            Err(DriveError::OtherDrive { path: out.into() })
        }
        opened => Ok(opened?),
    };
    let (path, done) = (out.join(JOURNAL_FILE), out.join(DONE_FILE));
    if !path.exists() && done.exists() {
        open(&done)?;
        rename(&done, &path)?;
    }
    open(&path)
}

fn rename(from: &Path, to: &Path) -> Result<(), DriveError> {
    std::fs::rename(from, to).map_err(|e| StoreError::io("rename", from, e).into())
}

/// Which jobs get a replay.
fn replay_indices(planned: &[Planned], replay: Option<&ReplayConfig>) -> Vec<usize> {
    let Some(replay) = replay else { return Vec::new() };
    let at_most = if replay.at_most == 0 { usize::MAX } else { replay.at_most };
    let driven = planned.iter().enumerate().filter(|(_, p)| matches!(p, Planned::Drive(_)));
    driven.map(|(i, _)| i).take(at_most).collect()
}

/// Raised when the same worlds and the same driver would fare differently than with the program before: results of another version
/// are not gone on with.
const LOOP_VERSION: u32 = 2;

/// What a journal is about.
fn identity(planned: &[Planned], options: &RunOptions<'_>, driver: &str) -> String {
    let mut text = format!("drive {LOOP_VERSION} {} {driver}\n", options.identity);
    text += &serde_json::to_string(&(&options.run, &options.replay)).expect("plain data");
    for planned in planned {
        match planned {
            Planned::Drive(job) => text += &format!("\n{} {} {} {:?}", job.id, job.town, job.world.seed, job.start),
            Planned::Skip(entry) => text += &format!("\n{} skipped", entry.id),
        }
    }
    content_hash(text.as_bytes())
}

/// The report, Bench2Drive's merged file and its per-run files.
fn write_results(out: &Path, report: &DriveReport) -> Result<(), DriveError> {
    let records = report.records();
    write_json(&out.join(REPORT_FILE), report)?;
    write_json(&out.join(RESULTS_FILE), &ResultFile::to_json(&records, records.len()))?;
    let total = records.len();
    for (i, record) in records.iter().enumerate() {
        let document = serde_json::json!({
            "_checkpoint": {
                "global_record": {},
                "progress": [i + 1, total],
                "records": [record],
            },
            "entry_status": "Finished",
            "eligible": true,
            "sensors": [],
            "values": [],
            "labels": [],
        });
        write_json(&out.join(ROUTES_FOLDER).join(format!("{}.json", record.save_name)), &document)?;
    }
    Ok(())
}
