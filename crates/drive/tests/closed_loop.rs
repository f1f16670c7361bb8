//! The loop as a whole: same outcome whatever the threads, resumed runs end with the bytes of undisturbed ones, files
//! that the judge reads, errors that name the file.

#![allow(clippy::unwrap_used)] // a test may panic

use apprentice_core::{BoxedError, Command, Driver, EpisodeInfo, Hint, Observation, Plan, Rig, Silent, Trajectory};
use apprentice_drive::{
    DriveConfig, DriveError, DriveReport, Job, LoopConfig, Pilot, Planned, REPORT_FILE, RESULTS_FILE, ReplayConfig,
    RunOptions, drive_all, run,
};
use apprentice_eval::bench2drive::{ResultFile, score};
use apprentice_road::town::{Layout, TownSpec};
use apprentice_road::{LaneKind, RoadNetwork};
use apprentice_sim::routes::RouteSpec;
use apprentice_sim::scenario::ScenarioSpec;
use apprentice_sim::state::Weather;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Drives straight on at one speed, with or without looking.
struct Cruise(f64, Option<Rig>);

impl Driver for Cruise {
    fn name(&self) -> &str {
        "cruise"
    }
    fn rig(&self) -> Option<&Rig> {
        self.1.as_ref()
    }
    fn reset(&mut self, _: &EpisodeInfo) -> Result<(), BoxedError> {
        Ok(())
    }
    fn plan(&mut self, observation: &Observation<'_>) -> Result<Plan, BoxedError> {
        assert_eq!(observation.images.len(), self.1.as_ref().map_or(0, |r| r.cameras.len()));
        Ok(Plan::single(Trajectory::constant_speed(self.0), Command::LaneFollow))
    }
}

/// Straight stretches of a generated town, each with something on the way.
fn planned(run: &LoopConfig) -> Vec<Planned> {
    let net = Arc::new(TownSpec { layout: Layout::Grid, seed: 3 }.network().unwrap());
    let stretches = straight_stretches(&net, 60.0);
    assert!(stretches.len() >= 4, "{}", stretches.len());
    ["HardBreakRoute", "ParkedObstacle", "DynamicObjectCrossing", "ControlLoss"]
        .iter()
        .zip(stretches)
        .enumerate()
        .map(|(i, (kind, lane))| {
            let lane = &net.lanes[lane];
            let at = |s: f64| lane.at(s).position;
            let trigger = ScenarioSpec::new(kind, lane.at(12.0).pose()).with("distance", 20.0);
            let spec = RouteSpec {
                id: format!("{i}"),
                town: net.name.clone(),
                waypoints: vec![at(4.0), at(lane.length_m - 4.0)],
                scenarios: vec![trigger],
                weather: vec![(0.0, Weather::default())],
            };
            Planned::Drive(Box::new(Job::new(&spec, net.clone(), run).unwrap()))
        })
        .collect()
}

fn straight_stretches(net: &RoadNetwork, at_least_m: f64) -> Vec<usize> {
    let straight = |l: &&apprentice_road::Lane| {
        l.kind == LaneKind::Driving
            && l.junction.is_none()
            && l.length_m > at_least_m
            && l.points.iter().all(|p| apprentice_core::wrap_angle(p.yaw_rad - l.points[0].yaw_rad).abs() < 0.02)
    };
    net.lanes.iter().filter(straight).map(|l| l.id).collect()
}

fn options(out: Option<&Path>, threads: usize) -> RunOptions<'static> {
    RunOptions {
        run: LoopConfig { seed: 5, vehicles: 4, pedestrians: 2, ..LoopConfig::default() },
        threads,
        out: out.map(Into::into),
        replay: None,
        on_replay: None,
        identity: "test".into(),
    }
}

fn cruise() -> Result<Pilot, BoxedError> {
    Ok(Pilot::Driver(Box::new(Cruise(6.0, None))))
}

/// Without what the clock decides.
fn steady(mut report: DriveReport) -> DriveReport {
    report.ms_per_plan = None;
    for entry in &mut report.entries {
        entry.ms_per_plan = None;
        if let Some(record) = &mut entry.record {
            record.meta.duration_system = 0.0;
        }
    }
    report
}

#[test]
fn threads_change_nothing_and_the_judge_reads_the_files() {
    let folder = tempfile::tempdir().unwrap();
    let one = options(None, 1);
    let two = options(Some(folder.path()), 2);
    let a = steady(drive_all(planned(&one.run), &one, &cruise, &Silent).unwrap());
    let b = drive_all(planned(&two.run), &two, &cruise, &Silent).unwrap();
    assert_eq!(a, steady(b.clone()));
    assert_eq!((b.routes, b.driven, b.skipped), (4, 4, 0));
    assert!(b.entries.iter().all(|e| e.ticks > 20 && e.plans > 10 && !e.state_hash.is_empty()));
    // A car that drives blindly on hits the parked one.
    let record = b.entries[1].record.as_ref().unwrap();
    assert!(!record.infractions.collisions_vehicle.is_empty(), "{record:?}");
    assert!(record.scores.score_penalty <= 0.6);

    let results = ResultFile::read(&folder.path().join(RESULTS_FILE)).unwrap();
    let scored = score("results", &results.records, 4, &|_| None).unwrap();
    assert!((scored.driving_score - b.driving_score).abs() < 1e-9);
    assert_eq!(scored.successes as f64 / 4.0, b.success_rate);
    let single = std::fs::read_dir(folder.path().join("routes")).unwrap().next().unwrap().unwrap().path();
    assert_eq!(ResultFile::read(&single).unwrap().records.len(), 1);
    assert!(!folder.path().join("journal").exists());
}

#[test]
fn an_interrupted_run_resumes_and_ends_like_an_undisturbed_one() {
    let folder = tempfile::tempdir().unwrap();
    let (whole, broken) = (folder.path().join("whole"), folder.path().join("broken"));
    let replay = Some(ReplayConfig { ticks_per_frame: 10, image_size: None, at_most: 0 });
    let keep = |_: apprentice_eval::replay::Replay| Ok(());
    let undisturbed = RunOptions { replay: replay.clone(), on_replay: Some(&keep), ..options(Some(&whole), 1) };
    drive_all(planned(&undisturbed.run), &undisturbed, &cruise, &Silent).unwrap();

    let seen = AtomicUsize::new(0);
    let full_disk = |_: apprentice_eval::replay::Replay| -> Result<(), BoxedError> {
        if seen.fetch_add(1, Ordering::SeqCst) >= 2 {
            return Err(apprentice_eval::EvalError::Empty { what: "the disk is full".into() }.into());
        }
        Ok(())
    };
    let failing = RunOptions { replay: replay.clone(), on_replay: Some(&full_disk), ..options(Some(&broken), 1) };
    let error = drive_all(planned(&failing.run), &failing, &cruise, &Silent).unwrap_err();
    assert!(error.to_string().contains("the disk is full"), "{error}");
    assert!(broken.join("journal").exists() && !broken.join(REPORT_FILE).exists());

    // Another run neither goes on with what is under way nor writes over what is done.
    for folder in [&whole, &broken] {
        let mut other = options(Some(folder), 1);
        other.run.seed = 6;
        let error = drive_all(planned(&other.run), &other, &cruise, &Silent).unwrap_err();
        assert!(matches!(error, DriveError::OtherDrive { .. }) && error.hint().is_some(), "{error}");
    }

    let again = AtomicUsize::new(0);
    let count = |_: apprentice_eval::replay::Replay| -> Result<(), BoxedError> {
        again.fetch_add(1, Ordering::SeqCst);
        Ok(())
    };
    let resumed = RunOptions { replay, on_replay: Some(&count), ..options(Some(&broken), 1) };
    drive_all(planned(&resumed.run), &resumed, &cruise, &Silent).unwrap();
    assert_eq!(again.load(Ordering::SeqCst), 2, "only the rest is driven");
    drive_all(planned(&resumed.run), &resumed, &cruise, &Silent).unwrap();
    assert_eq!(again.load(Ordering::SeqCst), 2, "a finished run drives nothing");
    let read = |folder: &Path| -> DriveReport {
        serde_json::from_slice(&std::fs::read(folder.join(REPORT_FILE)).unwrap()).unwrap()
    };
    assert_eq!(steady(read(&whole)), steady(read(&broken)));
}

#[test]
fn cameras_are_served_at_their_own_rate() {
    let rig = Rig::bench2drive(40, 16);
    let look = || Ok(Pilot::Driver(Box::new(Cruise(6.0, Some(rig.clone()))) as Box<dyn Driver>));
    let mut options = options(None, 1);
    options.run.plan_hz = 2;
    let planned = vec![planned(&options.run).remove(3)];
    let report = drive_all(planned, &options, &look, &Silent).unwrap();
    let entry = &report.entries[0];
    assert_eq!(entry.plans, entry.ticks.div_ceil(10));
    options.run.plan_hz = 3;
    let error = drive_all(Vec::new(), &options, &look, &Silent).unwrap_err();
    assert!(error.to_string().contains("plan_hz"), "{error}");
}

#[test]
fn bad_files_are_named_and_nothing_is_left_behind() {
    let folder = tempfile::tempdir().unwrap();
    let (maps, routes, out) = (folder.path().join("maps"), folder.path().join("r.xml"), folder.path().join("out"));
    std::fs::create_dir(&maps).unwrap();
    let config = DriveConfig {
        maps: maps.clone(),
        routes: routes.clone(),
        only: None,
        limit: None,
        run: LoopConfig::default(),
        threads: 1,
        out: Some(out.clone()),
        replay: None,
    };
    let fails = |config: &DriveConfig| {
        let error = run(config, "test", &cruise, None, &Silent).unwrap_err();
        assert!(error.hint().is_some(), "{error}");
        assert!(!out.exists(), "{error}");
        error.to_string()
    };
    assert!(fails(&config).contains("r.xml"));
    let text = r#"<routes><route id="1" town="T"><waypoints><position x="0" y="0" z="0"/>
        <position x="9" y="0" z="0"/></waypoints></route></routes>"#;
    for cut in [10, 60, text.len() - 12] {
        std::fs::write(&routes, &text[..cut]).unwrap();
        assert!(fails(&config).contains("r.xml"));
    }
    std::fs::write(&routes, text).unwrap();
    assert!(fails(&config).contains("maps"));
    let xodr = apprentice_road::town::xodr(&TownSpec { layout: Layout::Grid, seed: 3 });
    std::fs::write(maps.join("T.xodr"), &xodr[..xodr.len() / 2]).unwrap();
    assert!(fails(&config).contains("T.xodr"));
    std::fs::write(maps.join("T.xodr"), &xodr).unwrap();
    let missing = DriveConfig { only: Some(vec!["77".into()]), ..config.clone() };
    assert!(fails(&missing).contains("77"));
    // A map that reads, far from the route: the route is skipped, and says why.
    std::fs::write(&routes, text.replace("x=\"9\"", "x=\"90000\"")).unwrap();
    let report = run(&config, "test", &cruise, None, &Silent).unwrap();
    assert_eq!((report.driven, report.skipped), (0, 1));
    assert!(report.entries[0].reason.as_ref().unwrap().starts_with("cannot be planned"));
    std::fs::remove_dir_all(&out).unwrap();
    let none = DriveConfig { limit: Some(0), ..config };
    let report = run(&none, "test", &cruise, None, &Silent).unwrap();
    assert!(report.entries[0].reason.as_ref().unwrap().starts_with("beyond the limit"));
}

/// The written report has the keys of its schema, no more and no fewer.
#[test]
fn the_report_is_what_its_schema_says() {
    let schema: serde_json::Value = serde_json::from_str(include_str!("../../../docs/schemas/drive-1.json")).unwrap();
    let options = options(None, 1);
    let mut jobs = vec![planned(&options.run).remove(3)];
    jobs.push(Planned::Skip(Box::new(apprentice_drive::Entry::skipped("9", "T", "None", "no map".into()))));
    let report = serde_json::to_value(drive_all(jobs, &options, &cruise, &Silent).unwrap()).unwrap();
    let check = |value: &serde_json::Value, schema: &serde_json::Value| {
        let properties = schema["properties"].as_object().unwrap();
        for key in value.as_object().unwrap().keys() {
            assert!(properties.contains_key(key), "`{key}` is not in the schema");
        }
        for key in schema["required"].as_array().unwrap() {
            assert!(value.get(key.as_str().unwrap()).is_some(), "{key} is missing");
        }
    };
    check(&report, &schema);
    assert_eq!(report["schema"], schema["properties"]["schema"]["const"]);
    assert_eq!(report["entries"].as_array().unwrap().len(), 2);
    for entry in report["entries"].as_array().unwrap() {
        check(entry, &schema["properties"]["entries"]["items"]);
    }
    assert_eq!((&report["driven"], &report["skipped"]), (&1.into(), &1.into()));
}
