//! Real scenes, and scenes that lie.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

#[allow(dead_code)] // other tests use the rest
mod support;

use apprentice_core::trajectory::HORIZON_STEPS;
use apprentice_core::{Rig, Silent};
use apprentice_data::export::{RecordedOptions, recorded};
use apprentice_data::nuscenes::{NuScenes, faults};
use apprentice_data::scenarionet::{read_dir, read_scene};
use apprentice_data::staged::stage;
use apprentice_render::{Frames, PixelId, RenderOptions, Renderer};
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

#[test]
fn recorded_scenes_can_be_looked_at() {
    let Some(dir) = scenes_dir() else { return };
    let staged = stage(&dir.join("scene-0103.json.gz")).unwrap();
    assert_eq!(staged.snapshots.len(), staged.scene.moments.len());
    let rig = Rig::bench2drive(320, 128);
    let (mut renderer, mut frames) = (Renderer::new(), Frames::default());
    let (mut on_road, mut near, mut seen) = (0, 0, 0);
    for (moment, snapshot) in staged.scene.moments.iter().zip(&staged.snapshots) {
        // The recorded drive lies on what was paved.
        on_road += usize::from(staged.town.surface_at(snapshot.ego.pose_in_world.position()).carries_traffic());
        renderer.render_into(&staged.town, snapshot, &rig, &RenderOptions::default(), &mut frames);
        // What is labelled in front and near is in the picture, unless something hides it.
        for agent in moment.sample.agents.iter().filter(|a| {
            let [x, y, _] = a.center_in_ego;
            (8.0..20.0).contains(&x) && y.abs() < 5.0 && a.size_m[1] > 1.0
        }) {
            near += 1;
            let found = frames.ids[0].contains(&PixelId::actor(agent.id).0);
            seen += usize::from(found);
        }
    }
    let moments = staged.scene.moments.len();
    assert!(on_road * 100 >= moments * 97, "{on_road} of {moments} on paved ground");
    assert!(near >= 15 && seen * 10 >= near * 9, "{seen} of {near} labelled vehicles are in the picture");
    println!("{on_road} of {moments} moments on paved ground, {seen} of {near} near vehicles in the front picture");
}

#[test]
fn recorded_scenes_are_written_with_the_recordings_own_cameras() {
    let Some(dir) = scenes_dir() else { return };
    let folder = tempfile::tempdir().unwrap();
    let (real, out) = (folder.path().join("real"), folder.path().join("out"));
    support::mini_val(dir.parent().unwrap(), &real);
    let real = NuScenes::open(&real, None).unwrap();
    let staged = ["scene-0103", "scene-0061"].map(|name| stage(&dir.join(format!("{name}.json.gz"))).unwrap());
    let options = RecordedOptions {
        out: out.clone(),
        version: "v1.0-mini".into(),
        size: (160, 90),
        quality: 80,
        limit: None,
        cameras_of: Some(&real),
    };
    let exported = recorded(&staged, &options, &Silent).unwrap();
    assert_eq!((exported.scenes.len(), exported.left_out.len()), (2, 0));
    let set = NuScenes::open(&out, None).unwrap();
    assert!(faults(&set).is_empty(), "{:?}", faults(&set));
    for (at, staged) in (0..).zip(&staged) {
        let row = &set.tables.scenes[at as usize];
        assert!(row.description.contains("real behaviour, synthetic pixels"), "{}", row.description);
        // The same drive comes back.
        let scene = set.scene(at).unwrap();
        assert_eq!((&scene.name, scene.moments.len()), (&staged.scene.name, staged.scene.moments.len()));
        for (found, own) in scene
            .moments
            .iter()
            .zip(&staged.scene.moments)
            .filter(|(a, b)| a.sample.future_steps == b.sample.future_steps)
        {
            let far = |a: [f32; 2], b: [f32; 2]| (a[0] - b[0]).hypot(a[1] - b[1]);
            assert!((0..6).all(|t| far(found.sample.future.0[t], own.sample.future.0[t]) < 1e-2));
        }
    }
    // Scene 0103 is in both: its cameras are the real ones, a tenth as large; the other scene has Bench2Drive's.
    let first = |set: &NuScenes, name: &str| {
        let row = set.tables.scenes.iter().find(|row| row.name == name).unwrap();
        set.cameras(row.first).into_iter().map(|frame| frame.camera).collect::<Vec<_>>()
    };
    for (ours, theirs) in first(&set, "scene-0103").iter().zip(first(&real, "scene-0103")) {
        assert_eq!(ours.name, theirs.name);
        let close = |a: f64, b: f64| (a - b).abs() < 1e-6;
        assert!(close(ours.focal[0], theirs.focal[0] / 10.0) && close(ours.principal[1], theirs.principal[1] / 10.0));
        assert!(
            close(ours.yaw_rad, theirs.yaw_rad)
                && close(ours.pitch_rad, theirs.pitch_rad)
                && close(ours.roll_rad, theirs.roll_rad)
        );
        assert!(ours.position_in_ego.iter().zip(theirs.position_in_ego).all(|(a, b)| close(*a, b)));
    }
    assert!(set.tables.scenes[1].description.contains("Bench2Drive's cameras"));
}
