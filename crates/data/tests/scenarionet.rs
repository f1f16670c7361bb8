//! Real scenes, and scenes that lie.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use apprentice_core::trajectory::HORIZON_STEPS;
use apprentice_data::scenarionet::{read_dir, read_scene};
use std::path::PathBuf;

fn scenes_dir() -> Option<PathBuf> {
    let beside = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    let root = std::env::var_os("APPRENTICE_SHARED_DATA").map_or(beside, PathBuf::from);
    let dir = root.join("nuscenes_mini_scenarionet");
    let found = dir.is_dir();
    if !found {
        eprintln!("SKIPPED: no real data at {}", dir.display());
    }
    found.then_some(dir)
}

#[test]
fn constant_velocity_has_its_known_error_on_the_seven_scenes() {
    let Some(dir) = scenes_dir() else { return };
    let scenes = read_dir(&dir).unwrap();
    assert_eq!(scenes.len(), 7);
    let mut sums = [0.0_f64; HORIZON_STEPS];
    let mut starts = 0.0;
    for moment in scenes.iter().flat_map(|s| &s.moments).filter(|m| m.sample.future_steps == 6) {
        let Some([x, y]) = moment.previous_in_ego else { continue };
        starts += 1.0;
        for (t, sum) in sums.iter_mut().enumerate() {
            let [gx, gy] = moment.sample.future.0[t].map(f64::from);
            *sum += (-x * (t + 1) as f64 - gx).hypot(-y * (t + 1) as f64 - gy);
        }
    }
    assert_eq!(starts, 233.0);
    let mean = sums.map(|s| s / starts);
    let close = |a: f64, b: f64| (a - b).abs() < 2e-3;
    assert!(close(mean[1], 0.3618) && close(mean[3], 1.1328) && close(mean[5], 2.2515), "{mean:?}");
    let up_to = |n: usize| mean[..n].iter().sum::<f64>() / n as f64;
    assert!(close(up_to(2), 0.2458) && close(up_to(4), 0.5808) && close(up_to(6), 1.0378));
}

#[test]
fn agents_ids_stay_and_their_futures_agree_with_the_next_keyframe() {
    let Some(dir) = scenes_dir() else { return };
    let scene = read_scene(&dir.join("scene-0103.json.gz")).unwrap();
    let mut checked = 0;
    for pair in scene.moments.windows(2) {
        let (now, next) = (&pair[0].sample, &pair[1].sample);
        for agent in now.agents.iter().filter(|a| a.future_steps > 0) {
            let later = next.agents.iter().find(|a| a.id == agent.id).unwrap();
            assert_eq!(later.class, agent.class);
            // Distance between the two moving points as seen from both frames: to the ego of the next keyframe.
            let [fx, fy] = now.future.0[0];
            let [ax, ay] = agent.future_in_ego[0];
            let seen_now = (ax - fx).hypot(ay - fy);
            let seen_next = later.center_in_ego[0].hypot(later.center_in_ego[1]);
            assert!((seen_now - seen_next).abs() < 2e-3, "{seen_now} {seen_next}");
            checked += 1;
        }
    }
    assert!(checked > 500, "{checked}");
}

#[test]
fn cut_and_edited_scenes_are_refused_by_name() {
    let Some(dir) = scenes_dir() else { return };
    let here = tempfile::tempdir().unwrap();
    let whole = std::fs::read(dir.join("scene-0061.json.gz")).unwrap();
    let cut = here.path().join("scene-cut.json.gz");
    std::fs::write(&cut, &whole[..whole.len() / 2]).unwrap();
    let error = read_scene(&cut).unwrap_err().to_string();
    assert!(error.contains("scene-cut.json.gz"), "{error}");
    let scene = r#"{"id":"scene-x","length":2,"metadata":{"sdc_id":"ego","ts":[0.0,0.1]},"map_features":{},"tracks":{"ego":{"type":"VEHICLE",
        "state":{"position":[[0,0,0],[1,0,0]],"heading":[0,0],"velocity":[[1,0],[1,0]],"valid":[1,1],"length":[[4],[4]],"width":[[2],[2]],"height":[[1],[1]]}}}}"#;
    for (from, to, field) in [
        ("[0.0,0.1]", "[0.0,0.5]", "metadata.ts"),
        (r#""sdc_id":"ego""#, r#""sdc_id":"me""#, "metadata.sdc_id"),
        (r#""heading":[0,0]"#, r#""heading":[0]"#, "tracks.ego.state.heading"),
        (r#""valid":[1,1],"#, "", "valid"),
    ] {
        let path = here.path().join("scene-edited.json");
        std::fs::write(&path, scene.replace(from, to)).unwrap();
        let error = read_scene(&path).unwrap_err().to_string();
        assert!(error.contains(field) && error.contains("scene-edited.json"), "{error}");
    }
    std::fs::write(here.path().join("scene-sound.json"), scene).unwrap();
    assert_eq!(read_scene(&here.path().join("scene-sound.json")).unwrap().moments.len(), 1);
}
