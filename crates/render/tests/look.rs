//! Pictures for human eyes: `cargo test --release -p apprentice-render --test look -- --ignored` writes contact sheets
//! to the directory named by `LOOK_DIR`.
#![allow(clippy::unwrap_used)]

mod common;

use apprentice_core::Rig;
use apprentice_render::frames::{contact_sheet, png_bytes};
use apprentice_render::{RenderOptions, Renderer};

#[test]
#[ignore = "writes pictures; run by hand"]
fn write_pictures() {
    let dir = std::path::PathBuf::from(std::env::var("LOOK_DIR").expect("LOOK_DIR names a directory"));
    std::fs::create_dir_all(&dir).unwrap();
    let town = common::street();
    let mut renderer = Renderer::new();
    let mut put =
        |name: &str, width, height, edit: &dyn Fn(&mut apprentice_sim::state::Snapshot), options: &RenderOptions| {
            let mut snapshot = common::busy();
            edit(&mut snapshot);
            let frames = renderer.render(&town, &snapshot, &Rig::bench2drive(width, height), options);
            let order = [1, 0, 2, 4, 3, 5].map(|i| frames.images[i].clone());
            std::fs::write(dir.join(format!("{name}.png")), png_bytes(&contact_sheet(&order, 3)).unwrap()).unwrap();
        };
    let plain = RenderOptions::default();
    put("day_large", 640, 360, &|_| (), &plain);
    put("day_128x224", 224, 128, &|_| (), &plain);
    put("day_64x160", 160, 64, &|_| (), &plain);
    put("night", 448, 256, &|s| s.weather.sun_altitude_deg = -30.0, &plain);
    put(
        "rain",
        448,
        256,
        &|s| (s.weather.precipitation, s.weather.wetness, s.weather.cloudiness) = (80.0, 90.0, 90.0),
        &plain,
    );
    put("fog", 448, 256, &|s| s.weather.fog_density = 80.0, &plain);
    put("sunset", 448, 256, &|s| (s.weather.sun_altitude_deg, s.weather.sun_azimuth_deg) = (5.0, 10.0), &plain);
    put("augmented", 448, 256, &|_| (), &RenderOptions::augmented(3));
}
