//! Worlds written as nuScenes and as Bench2Drive, read again: the same drives.
#![allow(clippy::unwrap_used)]

use apprentice_core::geometry::DVec2;
use apprentice_core::sample::MapClass;
use apprentice_core::{Rig, Sample, Silent};
use apprentice_data::bench2drive::{pictures, read_clip};
use apprentice_data::export::{Bench2DriveOptions, Exported, NuScenesOptions, bench2drive, nuscenes};
use apprentice_data::nuscenes::{CanBus, Check, MapExpansion, NuScenes, faults};
use apprentice_data::{MakeConfig, Part, Size, WorldSet, make};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// One data set of worlds for all tests of this file.
fn worlds() -> &'static Path {
    static FOLDER: OnceLock<(tempfile::TempDir, PathBuf)> = OnceLock::new();
    let (_, path) = FOLDER.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("worlds");
        make(&MakeConfig { out: out.clone(), size: Size::Tiny, seed: 7, threads: 2 }, &Silent).unwrap();
        (folder, out)
    });
    path
}

const SIZE: (usize, usize) = (160, 90);

fn as_nuscenes(out: &Path, limit: usize) -> Exported {
    let set = WorldSet::open(worlds()).unwrap();
    let options = NuScenesOptions {
        out: out.into(),
        version: "v1.0-mini".into(),
        parts: vec![Part::Test, Part::Driving],
        size: SIZE,
        quality: 80,
        limit: Some(limit),
    };
    nuscenes(&set, &options, &Silent).unwrap()
}

/// Futures and labels of a sample read again, against the world's own.
fn same_drive(found: &Sample, own: &Sample, tolerance_m: f32) -> usize {
    let near = |a: [f32; 2], b: [f32; 2]| (a[0] - b[0]).hypot(a[1] - b[1]) < tolerance_m;
    // A stored future reaches beyond the last keyframe that was stored.
    for step in 0..usize::from(found.future_steps.min(own.future_steps)) {
        assert!(near(found.future.0[step], own.future.0[step]), "{}: {:?} {:?}", own.id, found.future, own.future);
    }
    let mut boxes = 0;
    for agent in &own.agents {
        let [x, y, z] = agent.center_in_ego;
        let same = |b: &&apprentice_core::AgentLabel| {
            let [bx, by, bz] = b.center_in_ego;
            near([bx, by], [x, y]) && (bz - z).abs() < 0.6 && b.class == agent.class
        };
        let Some(b) = found.agents.iter().find(same) else { continue };
        assert!(b.size_m.iter().zip(agent.size_m).all(|(a, b)| (a - b).abs() < 1e-3));
        assert!(apprentice_core::wrap_angle(f64::from(b.yaw_rad - agent.yaw_rad)).abs() < 1e-3);
        boxes += 1;
    }
    boxes
}

#[test]
fn a_nuscenes_data_set_holds_the_same_drives() {
    let folder = tempfile::tempdir().unwrap();
    let exported = as_nuscenes(folder.path(), 3);
    let again = tempfile::tempdir().unwrap();
    assert_eq!(as_nuscenes(again.path(), 3), exported);
    for table in apprentice_data::nuscenes::tables::NAMES {
        let read = |root: &Path| std::fs::read(root.join("v1.0-mini").join(table).with_extension("json")).unwrap();
        assert!(read(folder.path()) == read(again.path()), "{table} differs between two exports");
    }
    let set = NuScenes::open(folder.path(), None).unwrap();
    assert_eq!((set.tables.scenes.len(), set.tables.samples.len()), (3, exported.samples));
    assert_eq!(faults(&set), []);
    let check = Check::of(&set);
    assert_eq!((check.can_scenes, check.annotations), (3, exported.boxes));
    assert_eq!(check.map_expansions.len(), check.locations.len());
    let source = WorldSet::open(worlds()).unwrap();
    let rig = Rig::bench2drive(SIZE.0, SIZE.1);
    let mut boxes = 0;
    for (number, (world, name)) in exported.scenes.iter().enumerate() {
        let scene = set.scene(number as u32).unwrap();
        assert_eq!(scene.name, *name);
        let map = MapExpansion::read(&set, &scene.place).unwrap().unwrap();
        let can = CanBus::read(&set, name).unwrap().unwrap();
        assert_eq!(can.poses.len(), scene.moments.len());
        for (moment, row) in scene.moments.iter().zip(set.samples_of(number as u32)) {
            let id = apprentice_core::sample::SampleId { world: world.clone(), index: moment.sample.id.index };
            let own = source.sample(&id).unwrap();
            boxes += same_drive(&moment.sample, &own, 2e-3);
            assert!((moment.sample.ego.speed_mps - own.ego.speed_mps).abs() < 1e-3);
            let ego = set.ego(row).unwrap();
            let middle = apprentice_data::nuscenes::pose_in_plane(ego).offset(1.4, 0.0).position();
            assert!(map.drivable.contains(middle) && map.drivable.covers(middle.to_array()), "{name} off the road");
            let has = |class| moment.sample.map.iter().any(|label| label.class == class);
            assert!(has(MapClass::Centerline) && has(MapClass::Boundary));
            // The cameras that were written are the rig's.
            for (camera, own) in set.cameras(row).iter().zip(&rig.cameras) {
                let point = apprentice_core::geometry::DVec3::from_array(own.position_in_ego)
                    + own.rotation_from_ego()[2] * 10.0
                    + own.rotation_from_ego()[0] * 2.0;
                let (a, b) = (camera.camera.project(point).unwrap(), own.project(point).unwrap());
                assert!((0..3).all(|i| (a[i] - b[i]).abs() < 1e-6) && camera.path.is_file());
            }
        }
    }
    assert!(boxes > 100, "{boxes} boxes were compared");
}

#[test]
fn damaged_pictures_are_reported() {
    let folder = tempfile::tempdir().unwrap();
    as_nuscenes(folder.path(), 1);
    let set = NuScenes::open(folder.path(), None).unwrap();
    let pictures: Vec<PathBuf> = set.cameras(0).into_iter().map(|c| c.path).collect();
    let whole = std::fs::read(&pictures[0]).unwrap();
    std::fs::write(&pictures[0], &whole[..whole.len() / 2]).unwrap();
    std::fs::write(&pictures[1], b"no picture").unwrap();
    std::fs::remove_file(&pictures[2]).unwrap();
    let mut small = whole.clone();
    let at = whole.windows(2).position(|w| w == [0xff, 0xc0]).unwrap();
    small[at + 6] ^= 1;
    std::fs::write(&pictures[3], small).unwrap();
    let problems: Vec<String> = faults(&set).into_iter().map(|f| f.problem).collect();
    assert_eq!(problems.len(), 4, "{problems:?}");
    for words in ["cut short", "not a JPEG", "missing", "the table says 160×90"] {
        assert!(problems.iter().any(|p| p.contains(words)), "{words}: {problems:?}");
    }
}

#[test]
fn bench2drive_clips_hold_the_same_drives() {
    let folder = tempfile::tempdir().unwrap();
    let set = WorldSet::open(worlds()).unwrap();
    let (parts, out) = (vec![Part::Test], folder.path().to_path_buf());
    let options = Bench2DriveOptions { out, parts, size: SIZE, quality: 20, limit: Some(2) };
    let exported = bench2drive(&set, &options, &Silent).unwrap();
    assert_eq!(exported.scenes.len(), 2);
    let mut boxes = 0;
    for (world, name) in &exported.scenes {
        let clip = read_clip(&folder.path().join(name), 1).unwrap();
        for moment in &clip.moments {
            let id = apprentice_core::sample::SampleId { world: world.clone(), index: moment.sample.id.index };
            let own = set.sample(&id).unwrap();
            boxes += same_drive(&moment.sample, &own, 2e-3);
            assert!((moment.sample.ego.speed_mps - own.ego.speed_mps).abs() < 1e-3);
            assert!((moment.sample.ego.yaw_rate_radps - own.ego.yaw_rate_radps).abs() < 1e-3);
            assert_eq!(moment.sample.command, own.command);
            let frame = moment.sample.id.index as usize;
            assert!(pictures(&folder.path().join(name), frame).iter().all(|path| path.is_file()));
        }
        let step = DVec2::from_array(clip.moments[1].previous_in_ego.unwrap()).length();
        assert!(step < 20.0);
    }
    assert!(boxes > 30, "{boxes} boxes were compared");
    // A damaged annotation is named.
    let clip = folder.path().join(&exported.scenes[0].1);
    let path = clip.join("anno/00001.json.gz");
    let whole = std::fs::read(&path).unwrap();
    for cut in [0, 10, whole.len() / 2, whole.len() - 3] {
        std::fs::write(&path, &whole[..cut]).unwrap();
        let error = read_clip(&clip, 1).unwrap_err().to_string();
        assert!(error.contains("00001.json.gz"), "{error}");
    }
    assert!(read_clip(&folder.path().join("none"), 1).unwrap_err().to_string().contains("00000.json.gz"));
}
