//! Things that stand or lie in the way.

use super::{DARK, paint, shaded};
use crate::faces::{FaceSet, Material};
use apprentice_sim::state::ActorState;

const ORANGE: Material = Material::Matt([238, 104, 24]);
const WHITE: Material = Material::Matt([240, 240, 236]);
const RED: Material = Material::Matt([204, 34, 30]);

fn half(actor: &ActorState) -> [f32; 3] {
    [actor.size_m[0] / 2.0, actor.size_m[1] / 2.0, actor.size_m[2]]
}

/// A traffic cone with a white band.
pub fn cone(set: &mut FaceSet, actor: &ActorState) {
    let [l, w, h] = half(actor);
    set.cuboid([-l, l, -w, w], 0.0, h * 0.07, DARK);
    let at = |z: f32| {
        let r = 0.78 - 0.62 * z;
        [-l * r, l * r, -w * r, w * r]
    };
    for (z0, z1, material) in [(0.07, 0.35, ORANGE), (0.35, 0.58, WHITE), (0.58, 1.0, ORANGE)] {
        set.frustum(at(z0), h * z0, at(z1), h * z1, material, ORANGE);
    }
}

/// A red and white barrier.
pub fn barrier(set: &mut FaceSet, actor: &ActorState) {
    let [l, w, h] = half(actor);
    set.cuboid([-l, l, -w, w], 0.0, h * 0.14, Material::Matt([120, 118, 114]));
    let thick = l * 0.4;
    const STRIPES: usize = 6;
    for i in 0..STRIPES {
        let y = -w + 2.0 * w * i as f32 / STRIPES as f32;
        let material = if i % 2 == 0 { RED } else { WHITE };
        set.cuboid([-thick, thick, y, y + 2.0 * w / STRIPES as f32], h * 0.14, h, material);
    }
}

/// A trailer with an arrow board of amber lamps.
pub fn warning_sign(set: &mut FaceSet, actor: &ActorState) {
    let [l, w, h] = half(actor);
    set.cuboid([-l, l, -w, w], 0.25, h * 0.34, ORANGE);
    set.cuboid([-l * 0.5, l * 0.5, -w * 0.95, w * 0.95], 0.0, 0.25, DARK);
    set.cuboid([-0.08, 0.08, -0.08, 0.08], h * 0.34, h * 0.5, DARK);
    set.cuboid([-0.06, 0.06, -w, w], h * 0.46, h, Material::Matt([34, 34, 30]));
    let amber = Material::Lamp([255, 176, 24]);
    for behind in [false, true] {
        let x = if behind { -0.07 } else { 0.07 };
        let z = h * 0.73;
        set.plate_x(x, [-w * 0.75, w * 0.75], [z - 0.07, z + 0.07], behind, amber);
        for side in [-1.0f32, 1.0] {
            let y = side * w * 0.55;
            set.plate_x(x, [y - 0.09, y + 0.09], [z - h * 0.17, z + h * 0.17], behind, amber);
        }
    }
}

/// A container, shelter or vending machine.
pub fn container(set: &mut FaceSet, actor: &ActorState) {
    let [l, w, h] = half(actor);
    let color = paint(actor);
    set.cuboid([-l, l, -w, w], 0.0, h, Material::Matt(color));
    let rib = Material::Matt(shaded(color, 0.72));
    for i in 0..4 {
        let x = -l + 2.0 * l * (i as f32 + 0.5) / 4.0;
        set.plate_y(w + 0.004, [x - 0.1, x + 0.1], [0.1 * h, 0.9 * h], false, rib);
        set.plate_y(-w - 0.004, [x - 0.1, x + 0.1], [0.1 * h, 0.9 * h], true, rib);
    }
    for behind in [false, true] {
        let x = if behind { -l - 0.004 } else { l + 0.004 };
        set.plate_x(x, [-0.05, 0.05], [0.1 * h, 0.9 * h], behind, rib);
    }
}

/// A billboard on two feet.
pub fn advertisement(set: &mut FaceSet, actor: &ActorState) {
    let [l, w, h] = half(actor);
    set.cuboid([-l, l, -w, -w * 0.8], 0.0, h * 0.2, DARK);
    set.cuboid([-l, l, w * 0.8, w], 0.0, h * 0.2, DARK);
    set.cuboid([-l * 0.8, l * 0.8, -w, w], h * 0.16, h, Material::Matt([70, 72, 76]));
    for behind in [false, true] {
        let x = if behind { -l * 0.82 } else { l * 0.82 };
        set.plate_x(x, [-w * 0.9, w * 0.9], [h * 0.22, h * 0.95], behind, Material::Matt(paint(actor)));
        set.plate_x(x * 1.01, [-w * 0.6, w * 0.6], [h * 0.62, h * 0.82], behind, WHITE);
    }
}

/// Rubbish: a low heap.
pub fn debris(set: &mut FaceSet, actor: &ActorState) {
    let [l, w, h] = half(actor);
    let heap = [-l * 0.6, l * 0.5, -w * 0.4, w * 0.7];
    let (brown, light) = (Material::Matt([104, 80, 58]), Material::Matt([126, 100, 74]));
    set.frustum([-l, l, -w, w], 0.0, heap, h * 0.6, brown, light);
    set.cuboid([-l * 0.3, l * 0.2, -w * 0.3, w * 0.3], 0.0, h, Material::Matt([150, 132, 104]));
}
