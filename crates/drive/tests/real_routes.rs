//! Bench2Drive's routes on the towns that are there: which are driven, why the others are not, and that the expert
//! drives them well.
#![allow(clippy::unwrap_used)] // a test may panic

use apprentice_core::{BoxedError, Silent};
use apprentice_drive::{DriveConfig, DriveReport, LoopConfig, Pilot, run};
use apprentice_sim::ExpertMode;
use std::path::PathBuf;

fn shared() -> Option<PathBuf> {
    let root = std::env::var("APPRENTICE_SHARED_DATA")
        .map_or_else(|_| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data"), PathBuf::from);
    let found = root.join("carla_xodr").is_dir() && root.join("b2d_routes").is_dir();
    if !found {
        eprintln!("SKIPPED: no maps and routes under {}", root.display());
    }
    found.then_some(root)
}

fn drive(
    root: &std::path::Path,
    threads: usize,
    pilot: impl Fn() -> Pilot + Sync,
    only: Option<&[&str]>,
) -> DriveReport {
    let config = DriveConfig {
        maps: root.join("carla_xodr"),
        routes: root.join("b2d_routes/bench2drive220.xml"),
        only: only.map(|ids| ids.iter().map(|id| id.to_string()).collect()),
        limit: None,
        run: LoopConfig::default(),
        threads,
        out: None,
        replay: None,
    };
    run(&config, "test", &|| -> Result<Pilot, BoxedError> { Ok(pilot()) }, None, &Silent).unwrap()
}

#[test]
fn the_expert_drives_the_routes_whose_town_is_there() {
    let Some(root) = shared() else { return };
    let report = drive(&root, 0, || Pilot::Expert(ExpertMode::VisibleOnly), None);
    assert_eq!(report.routes, 220);
    assert!(report.driven >= 38, "{}", report.driven);
    assert_eq!(report.driven + report.skipped, 220);
    let bad: Vec<_> = report
        .entries
        .iter()
        .filter(|e| e.success == Some(false))
        .map(|e| format!("{} {} {} {:?}", e.id, e.scenario, e.status, e.driving_score))
        .collect();
    assert!(report.driving_score >= 90.0, "{} with {bad:#?}", report.driving_score);
    for entry in report.entries.iter().filter(|e| !e.was_driven()) {
        let reason = entry.reason.as_deref().unwrap_or("");
        assert!(
            reason == "no map" || reason == "map has no signals" || reason.starts_with("cannot be planned"),
            "{reason}"
        );
    }
    assert_eq!(report.entries.iter().filter(|e| e.reason.as_deref() == Some("no map")).count(), 180);
    let no_lights = report.entries.iter().find(|e| e.id == "26950").unwrap();
    assert_eq!(no_lights.reason.as_deref(), Some("map has no signals"));
}

#[test]
fn an_episode_is_the_same_on_any_number_of_threads() {
    let Some(root) = shared() else { return };
    let ids = ["24240", "25863", "26944", "28087"];
    let hashes = |threads| -> Vec<(String, u32)> {
        let report = drive(&root, threads, || Pilot::Expert(ExpertMode::VisibleOnly), Some(&ids));
        report.entries.into_iter().map(|e| (e.state_hash, e.ticks)).collect()
    };
    let one = hashes(1);
    assert_eq!(one.len(), 4);
    assert_eq!(one, hashes(2));
    assert_eq!(one, hashes(4));
}

/// A driver that does not look is punished: the scenarios are not for show.
#[test]
fn driving_without_looking_fails() {
    let Some(root) = shared() else { return };
    let blind = drive(&root, 0, || Pilot::Driver(Box::new(Blind)), None);
    assert!(blind.driving_score < 60.0, "{}", blind.driving_score);
    assert!(blind.success_rate < 0.3, "{}", blind.success_rate);
}

/// Straight on at 7 m/s.
struct Blind;

impl apprentice_core::Driver for Blind {
    fn name(&self) -> &str {
        "blind"
    }
    fn rig(&self) -> Option<&apprentice_core::Rig> {
        None
    }
    fn reset(&mut self, _: &apprentice_core::EpisodeInfo) -> Result<(), BoxedError> {
        Ok(())
    }
    fn plan(&mut self, observation: &apprentice_core::Observation<'_>) -> Result<apprentice_core::Plan, BoxedError> {
        let trajectory = apprentice_core::Trajectory::constant_speed(7.0);
        Ok(apprentice_core::Plan::single(trajectory, observation.command))
    }
}
