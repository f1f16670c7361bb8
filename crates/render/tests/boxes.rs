//! Projected ground-truth boxes land on the right pixels, checked against the instance buffer.
#![allow(clippy::unwrap_used)]

mod common;

use apprentice_core::Rig;
use apprentice_render::{Features, PixelId, RenderOptions, Renderer, TownScene, project_actor_box};
use apprentice_sim::state::{ActorKind, Lamps, Snapshot};

fn iou(a: [f64; 4], b: [f64; 4]) -> f64 {
    let side = |i: usize| (a[i + 2].min(b[i + 2]) - a[i].max(b[i])).max(0.0);
    let area = |r: [f64; 4]| (r[2] - r[0]) * (r[3] - r[1]);
    let both = side(0) * side(1);
    both / (area(a) + area(b) - both)
}

/// Intersection over union of an actor's pixels and its projected box, per camera that sees it whole and large enough.
/// The actor is rendered alone, so that nothing hides it.
fn overlaps(town: &TownScene, snapshot: &Snapshot, rig: &Rig) -> Vec<(ActorKind, f64)> {
    let options = RenderOptions {
        features: Features { scenery: false, lamps: false, ..Features::default() },
        ..Default::default()
    };
    let mut renderer = Renderer::new();
    let mut found = Vec::new();
    for actor in &snapshot.actors {
        let mut alone = snapshot.clone();
        alone.actors = vec![actor.clone()];
        alone.actors[0].lamps = Lamps(0);
        let frames = renderer.render(town, &alone, rig, &options);
        for (i, camera) in rig.cameras.iter().enumerate() {
            let Some(projected) = project_actor_box(&snapshot.ego, camera, actor) else { continue };
            let [w, h] = [camera.width as f64, camera.height as f64];
            let whole = projected[0] >= 0.0 && projected[1] >= 0.0 && projected[2] <= w && projected[3] <= h;
            if !whole || projected[2] - projected[0] < 14.0 || projected[3] - projected[1] < 14.0 {
                continue;
            }
            let Some([x0, y0, x1, y1]) = frames.pixel_bounds(i, PixelId::actor(actor.id)) else {
                panic!("{:?} should be seen by {}", actor.kind, camera.name);
            };
            let pixels = [x0 as f64, y0 as f64, x1 as f64 + 1.0, y1 as f64 + 1.0];
            found.push((actor.kind, iou(pixels, projected)));
        }
    }
    found
}

#[test]
fn boxes_land_on_their_pixels() {
    let town = common::street();
    let rig = Rig::bench2drive(640, 360);
    let mut all = overlaps(&town, &common::busy(), &rig);
    for seed in 0..3 {
        all.extend(overlaps(&town, &common::random(seed), &rig));
    }
    assert!(all.len() > 40, "only {} boxes seen", all.len());
    for kind in common::KINDS {
        let of_kind: Vec<f64> = all.iter().filter(|(k, _)| *k == kind).map(|(_, iou)| *iou).collect();
        if of_kind.is_empty() {
            continue;
        }
        let mean = of_kind.iter().sum::<f64>() / of_kind.len() as f64;
        let worst = of_kind.iter().copied().fold(1.0, f64::min);
        // A cone is thinner than its box, a car's cabin shorter than its body, a walker's box as long as a stride.
        let least = if kind.is_pedestrian() { 0.60 } else { 0.72 };
        assert!(mean > least && worst > 0.55, "{kind:?}: mean {mean:.3}, worst {worst:.3} of {}", of_kind.len());
    }
    let mean = all.iter().map(|(_, iou)| iou).sum::<f64>() / all.len() as f64;
    assert!(mean > 0.85, "mean {mean:.3}");
}

#[test]
fn a_container_fills_its_box_exactly() {
    let town = common::street();
    let rig = Rig::bench2drive(640, 360);
    let mut worst: f64 = 1.0;
    for step in 0..12 {
        let yaw = f64::from(step) * 0.5;
        let snapshot = common::snapshot(vec![common::actor(3, ActorKind::Container, 14.0, -1.0, yaw)]);
        for (_, iou) in overlaps(&town, &snapshot, &rig) {
            worst = worst.min(iou);
        }
    }
    // Half a pixel of rounding on each side of some 60 × 80 pixels.
    assert!(worst > 0.93, "{worst:.3}");
}

#[test]
fn pixels_stay_inside_their_boxes_in_full_scenes_and_on_slopes() {
    let town = common::street();
    let rig = Rig::bench2drive(448, 256);
    let mut renderer = Renderer::new();
    for seed in 0..4 {
        let mut snapshot = common::random(seed);
        snapshot.ego.pitch_rad = 0.03 * seed as f32;
        snapshot.ego.pose_in_world.yaw_rad = 0.4 * seed as f64;
        for actor in &mut snapshot.actors {
            actor.lamps = Lamps(0);
        }
        let frames = renderer.render(&town, &snapshot, &rig, &RenderOptions::default());
        let mut seen = 0;
        for (i, camera) in rig.cameras.iter().enumerate() {
            for actor in &snapshot.actors {
                let Some([x0, y0, x1, y1]) = frames.pixel_bounds(i, PixelId::actor(actor.id)) else { continue };
                let b = project_actor_box(&snapshot.ego, camera, actor).expect("seen, so in front");
                seen += 1;
                let slack = 1.5;
                let inside = x0 as f64 + slack >= b[0]
                    && y0 as f64 + slack >= b[1]
                    && x1 as f64 + 1.0 - slack <= b[2]
                    && y1 as f64 + 1.0 - slack <= b[3];
                assert!(inside, "{:?} {:?} {b:?}", actor.kind, [x0, y0, x1, y1]);
            }
        }
        assert!(seen > 10);
    }
}

#[test]
fn depth_is_the_distance_along_the_axis() {
    let town = common::street();
    let rig = Rig::bench2drive(224, 128);
    let snapshot = common::snapshot(vec![common::actor(1, ActorKind::Container, 20.0, -1.75, 0.0)]);
    let frames = Renderer::new().render(&town, &snapshot, &rig, &RenderOptions::default());
    let length = f64::from(ActorKind::Container.size_m()[0]);
    let expected = 20.0 - length / 2.0 - rig.cameras[0].position_in_ego[0];
    let middle = 64 * 224 + 112;
    assert_eq!(frames.ids[0][middle], PixelId::actor(1).0);
    assert!((f64::from(frames.depth[0][middle]) - expected).abs() < 0.02, "{} {expected}", frames.depth[0][middle]);
    // The ground under the lower edge of the picture.
    let camera = &rig.cameras[0];
    let row = 120.0;
    let ground = 1.6 * camera.focal[1] / (row + 0.5 - 64.0);
    let at = 120 * 224 + 30;
    assert!((f64::from(frames.depth[0][at]) - ground).abs() < 0.01 * ground);
    assert!(frames.depth[0][0].is_finite() || frames.ids[0][0] == 0);
}
