//! Real maps: the committed camera path through Town10HD, and pictures of towns for human eyes.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod common;

use apprentice_core::Rig;
use apprentice_render::bench::{ACTORS, POSES, bench_rig, make_camera_path, read_camera_path};
use apprentice_render::frames::{contact_sheet, png_bytes};
use apprentice_render::{BevOptions, RenderOptions, Renderer, TownScene, bev_image};
use apprentice_road::RoadNetwork;
use std::path::PathBuf;

fn crate_file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// A CARLA map, or nothing (said loudly) when the shared data is not there.
fn carla_map(town: &str) -> Option<RoadNetwork> {
    let root =
        std::env::var("APPRENTICE_SHARED_DATA").map_or_else(|_| crate_file("../../../shared/data"), PathBuf::from);
    let path = root.join("carla_xodr").join(format!("{town}.xodr"));
    if !path.exists() {
        eprintln!("SKIPPED: {} is not there", path.display());
        return None;
    }
    Some(RoadNetwork::load(&path).unwrap())
}

#[test]
#[ignore = "writes the committed camera path; run by hand"]
fn write_camera_path() {
    let net = carla_map("Town10HD").expect("needs the shared maps");
    std::fs::write(crate_file("bench/town10hd.path"), make_camera_path(&net, 10)).unwrap();
}

#[test]
fn the_committed_path_is_whole_and_lies_on_the_road() {
    let Some(net) = carla_map("Town10HD") else { return };
    let snapshots = read_camera_path(&crate_file("bench/town10hd.path"), net.signals.len()).unwrap();
    assert_eq!(snapshots.len(), POSES);
    let town = TownScene::new(&net);
    for snapshot in &snapshots {
        assert_eq!(snapshot.actors.len(), ACTORS);
        assert!(town.surface_at(snapshot.ego.pose_in_world.position()).carries_traffic());
    }
    let frames = Renderer::new().render(&town, &snapshots[50], &Rig::bench2drive(224, 128), &RenderOptions::default());
    let actors = snapshots[50].actors.iter().filter(|a| frames.visible_pixels(a.id) > 0).count();
    assert!(actors > 5, "{actors}");
}

#[test]
#[ignore = "measures; run by hand on a quiet machine"]
fn speed_on_the_committed_path() {
    let net = carla_map("Town10HD").expect("needs the shared maps");
    let snapshots = read_camera_path(&crate_file("bench/town10hd.path"), net.signals.len()).unwrap();
    let town = TownScene::new(&net);
    eprintln!("scene: {:.1} MB", town.bytes() as f64 / 1e6);
    for (width, height) in [(224, 128), (160, 64)] {
        let speed = bench_rig(&town, &snapshots, &Rig::bench2drive(width, height), &RenderOptions::default(), 5);
        eprintln!(
            "{height}x{width}: {:.0} frames/s of wall clock, {:.0} of processor time, {:.0} actor pixels a frame",
            speed.frames_per_s,
            speed.frames_per_cpu_s.unwrap_or(f64::NAN),
            speed.actor_pixels
        );
    }
}

#[test]
#[ignore = "writes pictures to LOOK_DIR; run by hand"]
fn write_pictures() {
    let dir = PathBuf::from(std::env::var("LOOK_DIR").expect("LOOK_DIR names a directory"));
    std::fs::create_dir_all(&dir).unwrap();
    let mut renderer = Renderer::new();
    for name in std::env::var("LOOK_TOWNS").unwrap_or("Town10HD".into()).split(',') {
        let net = carla_map(name).expect("needs the shared maps");
        let start = std::time::Instant::now();
        let town = TownScene::new(&net);
        eprintln!("{name}: built in {:.2} s, {:.1} MB", start.elapsed().as_secs_f64(), town.bytes() as f64 / 1e6);
        let path = dir.join("path");
        std::fs::write(&path, make_camera_path(&net, 10)).unwrap();
        let snapshots = read_camera_path(&path, net.signals.len()).unwrap();
        for i in [10, 60, 110, 160] {
            let frames = renderer.render(&town, &snapshots[i], &Rig::bench2drive(512, 288), &RenderOptions::default());
            let order = [1, 0, 2, 4, 3, 5].map(|i| frames.images[i].clone());
            std::fs::write(dir.join(format!("{name}_{i}.png")), png_bytes(&contact_sheet(&order, 3)).unwrap()).unwrap();
            let options = BevOptions { width: 600, height: 600, ..BevOptions::default() };
            let bev = bev_image(&town, &snapshots[i], &[], &options);
            std::fs::write(dir.join(format!("{name}_{i}_bev.png")), png_bytes(&bev).unwrap()).unwrap();
        }
    }
}

#[test]
#[ignore = "writes pictures of procedural towns to LOOK_DIR; run by hand"]
fn write_procedural_pictures() {
    let dir = PathBuf::from(std::env::var("LOOK_DIR").expect("LOOK_DIR names a directory"));
    std::fs::create_dir_all(&dir).unwrap();
    let mut renderer = Renderer::new();
    for &layout in apprentice_road::town::layouts() {
        let spec = apprentice_road::town::TownSpec { layout, seed: 3 };
        let name = format!("{layout:?}");
        let net = RoadNetwork::from_xodr(&name, &apprentice_road::town::xodr(&spec)).unwrap();
        let start = std::time::Instant::now();
        let town = TownScene::new(&net);
        eprintln!("{name}: built in {:.2} s, {:.1} MB", start.elapsed().as_secs_f64(), town.bytes() as f64 / 1e6);
        let path = dir.join("path");
        std::fs::write(&path, make_camera_path(&net, 10)).unwrap();
        let snapshots = read_camera_path(&path, net.signals.len()).unwrap();
        for i in [30, 130] {
            let frames = renderer.render(&town, &snapshots[i], &Rig::bench2drive(512, 288), &RenderOptions::default());
            let order = [1, 0, 2, 4, 3, 5].map(|i| frames.images[i].clone());
            std::fs::write(dir.join(format!("{name}_{i}.png")), png_bytes(&contact_sheet(&order, 3)).unwrap()).unwrap();
            let options = BevOptions { width: 600, height: 600, m_per_pixel: 0.5, ..BevOptions::default() };
            let bev = bev_image(&town, &snapshots[i], &[], &options);
            std::fs::write(dir.join(format!("{name}_{i}_bev.png")), png_bytes(&bev).unwrap()).unwrap();
        }
    }
}

#[test]
fn the_ground_meets_the_lanes() {
    for name in ["Town10HD", "Town04", "Town07", "Town03"] {
        let Some(net) = carla_map(name) else { return };
        let town = TownScene::new(&net);
        let mut errors: Vec<f64> = Vec::new();
        for lane in net.lanes.iter().filter(|l| l.kind == apprentice_road::LaneKind::Driving) {
            errors.extend(lane.points.iter().map(|p| p.position.z - town.ground_z_m(p.position.truncate())));
        }
        // The ground is under every lane: level with it, or far below where the lane is a bridge.
        let level = errors.iter().filter(|e| e.abs() < 0.1).count();
        let bridge = errors.iter().filter(|e| **e > 2.5).count();
        let buried = errors.iter().filter(|e| **e < -0.3).count();
        assert!(level + bridge > errors.len() * 97 / 100, "{name}: {level} + {bridge} of {}", errors.len());
        assert!(buried == 0, "{name}: {buried} of {}", errors.len());
        assert_eq!(bridge > 100, name == "Town04", "{name}: {bridge} points on bridges");
    }
}
