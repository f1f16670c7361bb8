//! Pictures are functions of their inputs, and every part of them can be seen.
#![allow(clippy::unwrap_used)]

mod common;

use apprentice_core::{Rig, hash::content_hash};
use apprentice_render::{BevOptions, BevPath, Features, Frames, IdKind, PixelId, RenderOptions, Renderer, bev_image};
use apprentice_sim::state::{ActorKind, Lamps, LightAspect, Snapshot};

fn hash(frames: &Frames) -> String {
    let mut bytes = Vec::new();
    for i in 0..frames.images.len() {
        bytes.extend_from_slice(&frames.images[i].rgb);
        bytes.extend(frames.depth[i].iter().flat_map(|d| d.to_bits().to_le_bytes()));
        bytes.extend(frames.ids[i].iter().flat_map(|d| d.to_le_bytes()));
    }
    content_hash(&bytes)
}

fn changed(a: &Frames, b: &Frames) -> usize {
    a.images
        .iter()
        .zip(&b.images)
        .map(|(a, b)| a.rgb.chunks(3).zip(b.rgb.chunks(3)).filter(|(a, b)| a != b).count())
        .sum()
}

#[test]
fn reused_buffers_other_threads_and_repeats_give_equal_bytes() {
    let town = std::sync::Arc::new(common::street());
    let rig = Rig::bench2drive(160, 64);
    let options = RenderOptions { pose_jitter: 1.0, ..RenderOptions::augmented(11) };
    let mut renderer = Renderer::new();
    let first = renderer.render(&town, &common::busy(), &rig, &options);
    // Dirty the buffers with another size and scene.
    let mut frames = renderer.render(&town, &common::random(1), &Rig::bench2drive(224, 128), &RenderOptions::default());
    renderer.render_into(&town, &common::busy(), &rig, &options, &mut frames);
    assert_eq!(hash(&first), hash(&frames));
    let threads: Vec<_> = (0..3)
        .map(|_| {
            let (town, rig) = (town.clone(), rig.clone());
            std::thread::spawn(move || hash(&Renderer::new().render(&town, &common::busy(), &rig, &options)))
        })
        .collect();
    for thread in threads {
        assert_eq!(thread.join().unwrap(), hash(&first));
    }
}

/// Mean colour of each camera's picture, and how many pixels show what, of the busy street by day. A change of looks on
/// purpose changes these numbers; nothing else may. (Means, not bytes: another processor's sine may differ in its last
/// bit and move an edge by a pixel.)
#[test]
fn the_busy_street_looks_as_committed() {
    let frames = Renderer::new().render(
        &common::street(),
        &common::busy(),
        &Rig::bench2drive(224, 128),
        &RenderOptions::default(),
    );
    let means: Vec<[f64; 3]> = frames
        .images
        .iter()
        .map(|image| {
            std::array::from_fn(|c| {
                image.rgb.iter().skip(c).step_by(3).map(|&v| f64::from(v)).sum::<f64>() / (224.0 * 128.0)
            })
        })
        .collect();
    let kinds =
        [IdKind::Sky, IdKind::Ground, IdKind::Building, IdKind::Tree, IdKind::Pole, IdKind::Signal, IdKind::Actor];
    let counts = kinds.map(|kind| frames.ids.iter().flatten().filter(|&&id| PixelId(id).kind() == kind).count());
    for (i, (mean, golden)) in means.iter().zip(MEANS).enumerate() {
        for c in 0..3 {
            assert!((mean[c] - golden[c]).abs() < 0.5, "camera {i}: {means:.1?}");
        }
    }
    for (count, golden) in counts.iter().zip(COUNTS) {
        assert!(count.abs_diff(golden) <= 20 + golden / 200, "{counts:?}");
    }
}
const MEANS: [[f64; 3]; 6] = [
    [102.7, 105.5, 111.7],
    [91.9, 92.8, 94.3],
    [96.4, 98.7, 104.1],
    [110.4, 116.9, 124.2],
    [92.8, 98.3, 96.3],
    [117.8, 121.4, 116.0],
];
const COUNTS: [usize; 7] = [14_971, 59_971, 72_998, 5_641, 450, 586, 17_415];

#[test]
fn every_feature_changes_pixels() {
    let town = common::street();
    let rig = Rig::bench2drive(224, 128);
    let mut renderer = Renderer::new();
    let mut day = common::busy();
    day.weather.fog_density = 30.0;
    (day.weather.sun_altitude_deg, day.weather.sun_azimuth_deg) = (20.0, 0.0);
    let mut night = day.clone();
    night.weather.sun_altitude_deg = -40.0;
    let mut rain = day.clone();
    (rain.weather.precipitation, rain.weather.wetness) = (70.0, 80.0);
    let all = Features::default();
    let cases: [(&str, &Snapshot, Features); 10] = [
        ("ground_texture", &day, Features { ground_texture: false, ..all }),
        ("shadows", &day, Features { shadows: false, ..all }),
        ("scenery", &day, Features { scenery: false, ..all }),
        ("facades", &day, Features { facades: false, ..all }),
        ("signals", &day, Features { signals: false, ..all }),
        ("lamps", &day, Features { lamps: false, ..all }),
        ("fog", &day, Features { fog: false, ..all }),
        ("rain", &rain, Features { rain: false, ..all }),
        ("headlights", &night, Features { headlights: false, ..all }),
        ("sun_glow", &day, Features { sun_glow: false, ..all }),
    ];
    for (name, snapshot, features) in cases {
        let with = renderer.render(&town, snapshot, &rig, &RenderOptions::default());
        let without = renderer.render(&town, snapshot, &rig, &RenderOptions { features, ..Default::default() });
        assert!(changed(&with, &without) > 20, "{name} changes {} pixels", changed(&with, &without));
    }
    let plain = renderer.render(&town, &day, &rig, &RenderOptions::default());
    for options in [
        RenderOptions { noise: 2.0, ..Default::default() },
        RenderOptions { randomise: 1.0, seed: 5, ..Default::default() },
        RenderOptions { pose_jitter: 1.0, ..Default::default() },
    ] {
        let other = renderer.render(&town, &day, &rig, &options);
        assert!(changed(&plain, &other) > 10_000, "{options:?}");
    }
    let mut seeds: Vec<_> =
        (0..4).map(|seed| hash(&renderer.render(&town, &day, &rig, &RenderOptions::augmented(seed)))).collect();
    seeds.sort();
    seeds.dedup();
    assert_eq!(seeds.len(), 4);
}

#[test]
fn lamps_and_doors_of_a_car_ahead_are_seen() {
    let town = common::street();
    let rig = Rig::bench2drive(160, 64);
    let mut renderer = Renderer::new();
    let mut render = |kind, x: f64, yaw, lamps| {
        let mut car = common::actor(1, kind, x, -1.75, yaw);
        car.lamps = Lamps(lamps);
        renderer.render(&town, &common::snapshot(vec![car]), &rig, &RenderOptions::default())
    };
    for lamps in [Lamps::BRAKE, Lamps::LEFT, Lamps::RIGHT, Lamps::DOOR_LEFT, Lamps::DOOR_RIGHT] {
        let (off, on) = (render(ActorKind::Car, 25.0, 0.0, 0), render(ActorKind::Car, 25.0, 0.0, lamps));
        assert!(changed(&off, &on) >= 2, "lamp {lamps}: {}", changed(&off, &on));
    }
    for kind in [ActorKind::Police, ActorKind::Ambulance] {
        let (off, on) = (render(kind, -25.0, 0.0, 0), render(kind, -25.0, 0.0, Lamps::EMERGENCY));
        assert!(changed(&off, &on) >= 2, "{kind:?}: {} of {} pixels", changed(&off, &on), on.visible_pixels(1));
    }
    let oncoming = (
        render(ActorKind::Car, 30.0, std::f64::consts::PI, 0),
        render(ActorKind::Car, 30.0, std::f64::consts::PI, Lamps::HEADLIGHTS),
    );
    assert!(changed(&oncoming.0, &oncoming.1) >= 2);
}

#[test]
fn a_light_is_read_at_thirty_metres_in_a_picture_of_160_columns() {
    let town = common::street();
    let rig = Rig::bench2drive(160, 64);
    let mut renderer = Renderer::new();
    for (aspect, strongest) in [(LightAspect::Red, 0), (LightAspect::Green, 1)] {
        let mut snapshot = common::snapshot(Vec::new());
        snapshot.lights[0] = aspect;
        // The light stands at x = 29; the front camera looks from 2.2 m ahead of the rear axle.
        snapshot.ego.pose_in_world.x = 29.0 - 30.0 - 2.2;
        let frames = renderer.render(&town, &snapshot, &rig, &RenderOptions::default());
        let lit = frames.ids[0].iter().zip(frames.images[0].rgb.chunks(3)).filter(|(id, rgb)| {
            **id == PixelId::new(IdKind::Signal, 0).0 && rgb[strongest] > 180 && rgb[1 - strongest] < 130
        });
        assert!(lit.count() >= 3, "{aspect:?}");
    }
}

#[test]
fn lane_paint_survives_in_small_pictures() {
    // Ten metres to 36 ahead, each picture row shows the white line right of the ego brighter than the asphalt
    // about it.
    let town = common::street();
    let rig = Rig::bench2drive(160, 64);
    let mut snapshot = common::snapshot(Vec::new());
    snapshot.ego.pose_in_world.x = -60.0;
    let frames = Renderer::new().render(&town, &snapshot, &rig, &RenderOptions::default());
    let camera = &rig.cameras[0];
    let light = |x: i64, y: usize| {
        let at = (y * 160 + x.clamp(0, 159) as usize) * 3;
        frames.images[0].rgb[at..at + 3].iter().map(|&c| f64::from(c)).sum::<f64>()
    };
    for ahead in [10.0, 14.0, 18.0, 22.0, 26.0, 30.0, 36.0] {
        let point = apprentice_core::geometry::DVec3::new(ahead, -7.0 + 1.75, 0.0);
        let [column, row, _] = camera.project(point).unwrap();
        let (column, row) = (column.floor() as i64, row.floor() as usize);
        let paint = (column - 1..=column + 1).map(|x| light(x, row)).fold(0.0, f64::max);
        let asphalt = light(column - 5, row);
        assert!(paint > asphalt * 1.12, "at {ahead} m: paint {paint}, asphalt {asphalt}");
    }
}

#[test]
fn visible_pixels_know_what_is_hidden() {
    let town = common::street();
    let rig = Rig::bench2drive(224, 128);
    let mut actors =
        vec![common::actor(1, ActorKind::Truck, 12.0, -1.75, 0.0), common::actor(2, ActorKind::Car, 22.0, -1.75, 0.0)];
    let mut renderer = Renderer::new();
    let hidden = renderer.render(&town, &common::snapshot(actors.clone()), &rig, &RenderOptions::default());
    assert!(hidden.visible_pixels(1) > 500 && hidden.visible_pixels(2) == 0);
    actors.remove(0);
    let shown = renderer.render(&town, &common::snapshot(actors), &rig, &RenderOptions::default());
    assert!(shown.visible_pixels(2) > 100);
}

#[test]
fn the_top_down_picture_shows_ego_actors_and_plan() {
    let town = common::street();
    let options = BevOptions::default();
    let plan = BevPath::plan(&apprentice_core::Trajectory::constant_speed(8.0), [0, 255, 0]);
    let empty = bev_image(&town, &common::snapshot(Vec::new()), &[], &options);
    let full = bev_image(&town, &common::busy(), &[plan], &options);
    assert_ne!(empty, full);
    let at = |image: &apprentice_core::Image, x: usize, y: usize| -> [u8; 3] {
        image.rgb[(y * image.width + x) * 3..][..3].try_into().unwrap()
    };
    // 4 m along the plan is 16 pixels above the rear axle; a car stands 14 m ahead.
    let row = (300.0 * 0.7) as usize;
    assert_eq!(at(&full, 150, row - 16 - 8), [0, 255, 0]);
    assert_ne!(at(&full, 153, row - 56), at(&empty, 153, row - 56));
}
