//! Pictures for human eyes: `cargo run --release -p apprentice-render --example pictures -- MAP.xodr FOLDER` writes a camera
//! path through the map (the committed one of `apprentice bench` is Town10HD's) and contact sheets along it.
#![allow(clippy::unwrap_used)] // a tool for developers

use apprentice_core::Rig;
use apprentice_render::bench::{make_camera_path, read_camera_path};
use apprentice_render::frames::{contact_sheet, png_bytes};
use apprentice_render::{BevOptions, RenderOptions, Renderer, TownScene, bev_image};
use apprentice_road::RoadNetwork;
use std::path::PathBuf;

fn main() {
    let arguments: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let [map, folder] = arguments.as_slice() else {
        eprintln!("usage: pictures MAP.xodr FOLDER");
        return;
    };
    let net = RoadNetwork::load(map).unwrap();
    std::fs::create_dir_all(folder).unwrap();
    let path = folder.join("camera.path");
    std::fs::write(&path, make_camera_path(&net, 10)).unwrap();
    let snapshots = read_camera_path(&path, net.signals.len()).unwrap();
    let town = TownScene::new(&net);
    let mut renderer = Renderer::new();
    for i in (10..snapshots.len()).step_by(50) {
        let frames = renderer.render(&town, &snapshots[i], &Rig::bench2drive(512, 288), &RenderOptions::default());
        let order = [1, 0, 2, 4, 3, 5].map(|camera| frames.images[camera].clone());
        std::fs::write(folder.join(format!("{i}.png")), png_bytes(&contact_sheet(&order, 3)).unwrap()).unwrap();
        let options = BevOptions { width: 600, height: 600, ..BevOptions::default() };
        let bev = bev_image(&town, &snapshots[i], &[], &options);
        std::fs::write(folder.join(format!("{i}-bev.png")), png_bytes(&bev).unwrap()).unwrap();
    }
}
