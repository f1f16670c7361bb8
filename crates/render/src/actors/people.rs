//! Walkers and riders. Legs move with the actor's gait.

use super::{DARK, PALETTE, TYRE, paint, shaded};
use crate::faces::{FaceSet, Material};
use apprentice_sim::state::{ActorKind, ActorState};
use glam::Vec3;

const SKIN: [[u8; 3]; 4] = [[224, 182, 150], [196, 146, 112], [142, 98, 70], [92, 62, 46]];

/// A limb from `a` to `b` as a slanted box.
fn limb(set: &mut FaceSet, a: Vec3, b: Vec3, thick: f32, material: Material) {
    let t = thick / 2.0;
    let ring = |p: Vec3| [(-t, -t), (t, -t), (t, t), (-t, t)].map(|(x, y)| p + Vec3::new(x, y, 0.0));
    let (low, high) = if a.z < b.z { (ring(a), ring(b)) } else { (ring(b), ring(a)) };
    for i in 0..4 {
        let j = (i + 1) % 4;
        set.face(&[low[i], low[j], high[j], high[i]], material);
    }
}

fn skin(actor: &ActorState) -> Material {
    Material::Matt(SKIN[(actor.paint as usize / 3) % SKIN.len()])
}

/// Somebody on foot: two legs that swing, a torso, arms, a head.
pub fn walker(set: &mut FaceSet, actor: &ActorState, near: bool) {
    let [length, width, h] = actor.size_m;
    let (l, w) = (length / 2.0, width / 2.0);
    let shirt = Material::Matt(paint(actor));
    let trousers = Material::Matt(shaded(PALETTE[(actor.paint as usize * 7 + 5) % PALETTE.len()], 0.7));
    let swing = actor.gait_rad.sin() * l * 0.95;
    let hip = h * 0.48;
    if near {
        for side in [1.0f32, -1.0] {
            let y = side * w * 0.36;
            let foot = Vec3::new((side * swing).clamp(-l + 0.08, l - 0.08), y, 0.0);
            limb(set, foot, Vec3::new(0.0, y, hip), width * 0.27, trousers);
            let shoulder = Vec3::new(0.0, side * (w - 0.05), h * 0.80);
            let hand = Vec3::new((-side * swing).clamp(-l + 0.05, l - 0.05), side * (w - 0.05), h * 0.46);
            limb(set, hand, shoulder, 0.10, shirt);
        }
    } else {
        set.cuboid([-l * 0.5, l * 0.5, -w * 0.7, w * 0.7], 0.0, hip, trousers);
    }
    let shoulders = [-l * 0.62, l * 0.62, -w * 0.86, w * 0.86];
    set.frustum([-l * 0.68, l * 0.68, -w * 0.70, w * 0.70], hip, shoulders, h * 0.84, shirt, shirt);
    let head = h * 0.065;
    set.cuboid([-head, head, -head, head], h * 0.85, h * 0.97, skin(actor));
    let hair = Material::Matt([52, 40, 32]);
    set.cuboid([-head * 1.15, head * 0.9, -head * 1.1, head * 1.1], h * 0.95, h, hair);
}

/// Somebody on a bicycle or motorcycle.
pub fn rider(set: &mut FaceSet, actor: &ActorState, near: bool) {
    let [length, width, h] = actor.size_m;
    let (l, w) = (length / 2.0, width / 2.0);
    let motor = actor.kind == ActorKind::Motorcycle;
    let shirt = Material::Matt(paint(actor));
    let trousers = Material::Matt([46, 50, 64]);
    let tank = shaded(PALETTE[(actor.paint as usize * 5 + 4) % PALETTE.len()], 0.9);
    let frame = Material::Matt(if motor { tank } else { [60, 62, 66] });
    let (radius, thick) = if motor { (0.32, 0.09) } else { (0.34, 0.04) };
    for x in [l - radius, -l + radius] {
        // Two crossed boxes stand in for a round wheel.
        set.cuboid([x - radius, x + radius, -thick, thick], radius * 0.5, radius * 1.5, TYRE);
        set.cuboid([x - radius * 0.6, x + radius * 0.6, -thick, thick], 0.0, radius * 2.0, TYRE);
    }
    let saddle = h * 0.50;
    if motor {
        set.frustum([-l * 0.65, l * 0.6, -0.16, 0.16], 0.32, [-l * 0.8, l * 0.45, -0.14, 0.14], saddle, frame, DARK);
    } else {
        limb(set, Vec3::new(-0.12, 0.0, 0.36), Vec3::new(-0.22, 0.0, saddle), 0.07, frame);
        limb(set, Vec3::new(0.0, 0.0, 0.34), Vec3::new(l - 0.36, 0.0, saddle + 0.05), 0.07, frame);
    }
    // The handlebar is as wide as the box.
    set.cuboid([l * 0.42, l * 0.50, -w, w], saddle + 0.14, saddle + 0.21, DARK);
    let pedal = actor.gait_rad.sin() * 0.16;
    if near {
        for side in [1.0f32, -1.0] {
            let y = side * (w * 0.5).min(0.2);
            let foot = Vec3::new(0.05 + side * pedal * 0.6, y, if motor { 0.28 } else { 0.28 + side * pedal });
            limb(set, foot, Vec3::new(-0.16, y, saddle + 0.06), 0.14, trousers);
            let hand = Vec3::new(l * 0.44, side * w * 0.85, saddle + 0.2);
            limb(set, hand, Vec3::new(-0.04, side * w * 0.7, h * 0.80), 0.09, shirt);
        }
    } else {
        set.cuboid([-0.2, 0.1, -w * 0.5, w * 0.5], 0.28, saddle, trousers);
    }
    let shoulders = [-0.08, 0.18, -w * 0.72, w * 0.72];
    set.frustum([-0.30, 0.0, -w * 0.62, w * 0.62], saddle, shoulders, h * 0.84, shirt, shirt);
    set.cuboid([0.0, 0.22, -0.10, 0.10], h * 0.84, h * 0.93, skin(actor));
    let helmet = Material::Matt(if motor { [30, 30, 34] } else { [222, 224, 226] });
    set.cuboid([-0.03, 0.23, -0.12, 0.12], h * 0.91, h, helmet);
}
