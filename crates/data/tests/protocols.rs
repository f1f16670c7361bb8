//! The same plans on the same real scenes under three protocols: other figures, each under its own name.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use apprentice_core::Trajectory;
use apprentice_data::scenarionet::read_dir;
use apprentice_eval::{PlanningResult, Protocol, Start, Subject, evaluate};
use std::path::PathBuf;

fn starts() -> Option<Vec<Start>> {
    let beside = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    let root = std::env::var_os("APPRENTICE_SHARED_DATA").map_or(beside, PathBuf::from);
    let dir = root.join("nuscenes_mini_scenarionet");
    if !dir.is_dir() {
        eprintln!("SKIPPED: no real data at {}", dir.display());
        return None;
    }
    let moments = read_dir(&dir).unwrap().into_iter().flat_map(|scene| scene.moments);
    Some(
        moments
            .map(|m| Start { previous_in_ego: m.previous_in_ego, tier: String::new(), ..Start::from_sample(&m.sample) })
            .collect(),
    )
}

fn judged(protocol: &str, starts: &[Start], plan: impl Fn(&Start) -> Trajectory) -> PlanningResult {
    let plans: Vec<Trajectory> = starts.iter().map(plan).collect();
    let subject = Subject { driver: "test".into(), data: "scenarionet".into(), ..Default::default() };
    evaluate(&Protocol::named(protocol).unwrap(), "nuscenes", subject, starts, &plans).unwrap()
}

fn close(a: [f64; 3], b: [f64; 3]) -> bool {
    a.iter().zip(b).all(|(x, y)| (x - y).abs() < 2e-3)
}

#[test]
fn constant_velocity_under_valid_starts_has_its_known_figures() {
    let Some(starts) = starts() else { return };
    let r = judged("valid-starts", &starts, Start::constant_velocity);
    assert_eq!((r.starts, r.starts + r.left_out), (233, 282));
    assert!(close(r.l2_at_t, [0.3618, 1.1328, 2.2515]), "{:?}", r.l2_at_t);
    assert!(close(r.l2_avg_to_t, [0.2458, 0.5808, 1.0378]), "{:?}", r.l2_avg_to_t);
    assert_eq!(r.all.worlds, 7);
    assert!(r.tiers.is_empty() && r.families.len() == 3);
    // The recorded drives collide with nothing, so no step is excluded; some constant-velocity plans do collide.
    assert_eq!(r.all.excluded_steps, 0);
    assert_eq!(r.collision_at_t.map(|rate| (rate * 233.0).round()), [0.0, 8.0, 15.0]);
}

#[test]
fn protocols_disagree_about_the_same_plans() {
    let Some(starts) = starts() else { return };
    let valid = judged("valid-starts", &starts, Start::constant_velocity);
    let grid = judged("vad-grid", &starts, Start::constant_velocity);
    let masked = judged("uniad-masked", &starts, Start::constant_velocity);
    // The same starts and distances, but fewer who can be hit, on a grid, by a box that never turns.
    assert_eq!(valid.l2_at_t, grid.l2_at_t);
    assert!(grid.collision_at_t[2] < 0.6 * valid.collision_at_t[2], "{:?}", grid.collision_at_t);
    // Steps without a recorded future count zero there: lower, and not better.
    assert_eq!(masked.starts, 282);
    assert!(masked.l2_at_t[2] < 0.9 * valid.l2_at_t[2], "{:?}", masked.l2_at_t);
}

#[test]
fn the_windows_of_the_other_protocols_are_theirs() {
    let Some(starts) = starts() else { return };
    // Seven scenes: a start of ST-P3 has two keyframes before it and six after, one of PARA-Drive six after.
    let stp3 = judged("stp3-grid", &starts, Start::constant_velocity);
    let fine = judged("para-drive-unverified", &starts, Start::constant_velocity);
    assert_eq!((stp3.starts, fine.starts), (282 - 7 * 8, 282 - 7 * 6));
    // All classes and a box that turns meet more than vehicles and people and a box that does not.
    assert!(fine.collision_avg_to_t[2] > stp3.collision_avg_to_t[2], "{:?}", fine.collision_avg_to_t);
    let turns = fine.subsets.iter().find(|group| group.name == "turns").unwrap();
    assert!(turns.starts > 0 && turns.l2_mean.mean > fine.all.l2_mean.mean, "{turns:?}");
    println!("stp3-grid {:?} {:?}", stp3.l2_avg_to_t, stp3.collision_avg_to_t);
    println!("para-drive-unverified {:?} {:?}", fine.l2_avg_to_t, fine.collision_avg_to_t);
    println!("edges of the road {:?}", fine.all.off_road_avg_to_t.map(|e| e.map(|e| e.mean)));
}

#[test]
fn the_recorded_drive_itself_has_no_error_and_no_counted_collision() {
    let Some(starts) = starts() else { return };
    for name in Protocol::names() {
        let r = judged(name, &starts, |s| s.future);
        assert_eq!((r.l2_at_t, r.l2_avg_to_t), ([0.0; 3], [0.0; 3]), "{name}");
        assert_eq!((r.collision_at_t, r.collision_avg_to_t), ([0.0; 3], [0.0; 3]), "{name}");
    }
}
