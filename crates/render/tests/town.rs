//! Real maps: the committed camera path through Town10HD, and the ground under the lanes.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod common;

use apprentice_core::Rig;
use apprentice_render::bench::{ACTORS, POSES, read_camera_path};
use apprentice_render::{RenderOptions, Renderer, TownScene};
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
