//! Static scenery: buildings, trees, lamp posts, traffic lights and signs.
//!
//! Traffic-light heads and sign plates are drawn larger than life (heads 1.6 m × 0.62 m, plates about 0.9 m), so that
//! the lit lamp and the plate's shape can be read at 30 m in a picture 160 columns wide, and heads hang no higher than
//! 3.3 m, so that a horizon-centred picture still holds them a few metres before the stop line.

use crate::faces::{FaceSet, Material};
use crate::frames::{IdKind, PixelId};
use apprentice_core::Rng;
use apprentice_core::geometry::DVec3;
use apprentice_road::{Block, Signal, SignalKind, Upright};
use apprentice_sim::state::LightAspect;
use glam::Vec3;

/// Windows of one wall.
#[derive(Clone, Copy, Debug)]
pub struct Facade {
    /// A point of the wall's foot, world frame.
    pub origin: Vec3,
    /// Unit vector along the wall.
    pub along: Vec3,
    /// Distance between windows across and up, metres.
    pub spacing_m: [f32; 2],
    /// Colour of the panes.
    pub pane: [f32; 3],
    /// Which windows are lit at night.
    pub seed: u32,
}

const WALLS: [[u8; 3]; 12] = [
    [178, 160, 138],
    [196, 186, 170],
    [150, 96, 78],
    [168, 118, 92],
    [134, 138, 146],
    [208, 204, 196],
    [120, 110, 104],
    [186, 170, 120],
    [158, 168, 176],
    [172, 140, 120],
    [110, 122, 134],
    [214, 196, 164],
];

/// A point in single precision.
pub fn vec3(p: DVec3) -> Vec3 {
    p.as_vec3()
}

/// Add a building.
pub fn building(set: &mut FaceSet, facades: &mut Vec<Facade>, block: &Block, index: u32) {
    let mut rng = Rng::new(&[block.seed, 0xb1d6]);
    let wall = WALLS[rng.below(WALLS.len())];
    let spacing_m = [rng.range(2.6, 4.2) as f32, rng.range(2.9, 3.6) as f32];
    let pane = if rng.chance(0.5) { [72.0, 84.0, 98.0] } else { [98.0, 112.0, 124.0] };
    let mut ring = block.footprint.map(|p| vec3(p.extend(block.base_z)));
    let area: f32 = (0..4).map(|i| ring[i].truncate().perp_dot(ring[(i + 1) % 4].truncate())).sum();
    if area < 0.0 {
        ring.reverse();
    }
    // Walls reach below the ground so that no gap shows on a slope.
    let (foot, up) = (Vec3::new(0.0, 0.0, -3.0), Vec3::new(0.0, 0.0, block.height_m as f32));
    set.begin(Vec3::ZERO, 0.0);
    for i in 0..4 {
        let (a, b) = (ring[i], ring[(i + 1) % 4]);
        let Some(along) = (b - a).try_normalize() else { continue };
        let facade = facades.len() as u32;
        let seed = rng.next_u64() as u32;
        facades.push(Facade { origin: a, along, spacing_m, pane, seed });
        set.face(&[a + foot, b + foot, b + up, a + up], Material::Facade { wall, facade });
    }
    set.face(&ring.map(|p| p + up), Material::Matt([118, 114, 110]));
    set.end(PixelId::new(IdKind::Building, index), [1.0, f32::MAX]);
}

/// Add a tree, with a coarser twin for the distance.
pub fn tree(set: &mut FaceSet, tree: &Upright, index: u32) {
    let mut rng = Rng::new(&[tree.seed, 0x7ee]);
    let tone = rng.range(0.75, 1.2) as f32;
    let hue = rng.range(-10.0, 24.0) as f32;
    let shade = |k: f32| {
        Material::Matt([(62.0 + hue) * tone * k, 96.0 * tone * k, 46.0 * tone * k].map(|c| c.clamp(0.0, 255.0) as u8))
    };
    let trunk = Material::Matt([88, 70, 54]);
    let (height, radius) = (tree.height_m as f32, tree.radius_m.max(0.5) as f32);
    let id = PixelId::new(IdKind::Tree, index);
    let bare = height * 0.28;
    let yaw = rng.range(0.0, std::f64::consts::TAU) as f32;
    const DETAIL_PIXELS: f32 = 14.0;
    set.begin(vec3(tree.base), yaw);
    set.cuboid([-0.14, 0.14, -0.14, 0.14], -0.3, bare + 0.3, trunk);
    set.crown(bare, height, radius, shade(0.82), shade(1.0));
    set.end(id, [DETAIL_PIXELS, f32::MAX]);
    set.begin(vec3(tree.base), yaw);
    set.plate_x(0.13, [-0.13, 0.13], [-0.3, bare], false, trunk);
    set.plate_x(-0.13, [-0.13, 0.13], [-0.3, bare], true, trunk);
    let (r, t) = (radius * 0.86, radius * 0.45);
    set.frustum([-r, r, -r, r], bare, [-t, t, -t, t], height, shade(0.92), shade(1.0));
    set.end(id, [1.2, DETAIL_PIXELS]);
}

/// Add a lamp post; its arm reaches towards `+x` of a seeded yaw.
pub fn lamp_post(set: &mut FaceSet, pole: &Upright, index: u32) {
    let grey = Material::Matt([122, 124, 126]);
    let height = pole.height_m as f32;
    set.begin(vec3(pole.base), Rng::new(&[pole.seed]).range(0.0, std::f64::consts::TAU) as f32);
    set.cuboid([-0.09, 0.09, -0.09, 0.09], -0.3, height, grey);
    set.cuboid([0.0, 1.3, -0.07, 0.07], height - 0.14, height, grey);
    set.end(PixelId::new(IdKind::Pole, index), [2.5, f32::MAX]);
}

/// Middle of a signal's head or plate above the ground, metres.
fn head_height_m(signal: &Signal) -> f32 {
    match signal.kind {
        SignalKind::TrafficLight => (signal.height_m as f32).clamp(2.5, 3.3),
        _ => (signal.height_m as f32).clamp(1.9, 2.4),
    }
}

const HEAD: [f32; 2] = [0.31, 0.80];
const LENS_M: f32 = 0.23;
const LENS_STEP_M: f32 = 0.52;

/// Add the unlit parts of a light or sign.
pub fn signal(set: &mut FaceSet, signal: &Signal) {
    if signal.kind == SignalKind::Other {
        return;
    }
    let id = PixelId::new(IdKind::Signal, signal.index as u32);
    let foot = signal.pose_in_world.position().extend(signal.ground_z_m);
    let grey = Material::Matt([96, 98, 100]);
    let back = Material::Matt([128, 130, 132]);
    let z = head_height_m(signal);
    set.begin(vec3(foot), signal.pose_in_world.yaw_rad as f32);
    set.cuboid([-0.08, 0.08, -0.08, 0.08], -0.3, z + 0.3, grey);
    match signal.kind {
        SignalKind::TrafficLight => {
            let housing = Material::Matt([34, 36, 38]);
            set.cuboid([0.08, 0.34, -HEAD[0], HEAD[0]], z - HEAD[1], z + HEAD[1], housing);
            set.plate_x(
                0.075,
                [-HEAD[0] - 0.12, HEAD[0] + 0.12],
                [z - HEAD[1] - 0.12, z + HEAD[1] + 0.12],
                false,
                Material::Matt([18, 18, 20]),
            );
            set.plate_x(-0.085, [-HEAD[0], HEAD[0]], [z - HEAD[1], z + HEAD[1]], true, housing);
            for (step, color) in [(1.0, [58, 22, 20]), (0.0, [58, 48, 18]), (-1.0, [16, 50, 30])] {
                set.disc_x(0.35, [0.0, z + step * LENS_STEP_M], LENS_M, 6, 0.0, Material::Matt(color));
            }
        }
        SignalKind::Stop => {
            let turn = std::f32::consts::FRAC_PI_8;
            set.disc_x(0.10, [0.0, z], 0.50, 8, turn, Material::Matt([238, 236, 232]));
            set.disc_x(0.11, [0.0, z], 0.45, 8, turn, Material::Matt([190, 22, 26]));
            // The word, as a bar with gaps: four letters' worth.
            for i in 0..4 {
                let y = 0.27 - 0.18 * i as f32;
                set.plate_x(0.12, [y - 0.065, y + 0.065], [z - 0.12, z + 0.12], false, Material::Matt([240, 238, 234]));
            }
            set.disc_x_behind(-0.085, [0.0, z], 0.50, 8, turn, back);
        }
        SignalKind::Yield => {
            let down = -std::f32::consts::FRAC_PI_2;
            set.disc_x(0.10, [0.0, z], 0.62, 3, down, Material::Matt([196, 28, 30]));
            set.disc_x(0.11, [0.0, z + 0.02], 0.36, 3, down, Material::Matt([242, 240, 236]));
            set.disc_x_behind(-0.085, [0.0, z], 0.62, 3, down, back);
        }
        SignalKind::SpeedLimit(_) => {
            set.disc_x(0.10, [0.0, z], 0.42, 8, 0.0, Material::Matt([200, 26, 30]));
            set.disc_x(0.11, [0.0, z], 0.32, 8, 0.0, Material::Matt([244, 243, 240]));
            for y in [-0.11, 0.11] {
                set.plate_x(0.12, [y - 0.07, y + 0.07], [z - 0.14, z + 0.14], false, Material::Matt([40, 40, 42]));
            }
            set.disc_x_behind(-0.085, [0.0, z], 0.42, 8, 0.0, back);
        }
        SignalKind::Other => {}
    }
    set.end(id, [1.5, f32::MAX]);
}

/// Add the lit lamp of a traffic light.
pub fn lit_lamp(set: &mut FaceSet, signal: &Signal, aspect: LightAspect) {
    let (step, color) = match aspect {
        LightAspect::Red => (1.0, [255, 38, 24]),
        LightAspect::Yellow => (0.0, [255, 196, 30]),
        LightAspect::Green => (-1.0, [30, 255, 150]),
        LightAspect::Off => return,
    };
    if signal.kind != SignalKind::TrafficLight {
        return;
    }
    let foot = signal.pose_in_world.position().extend(signal.ground_z_m);
    set.begin(vec3(foot), signal.pose_in_world.yaw_rad as f32);
    let z = head_height_m(signal) + step * LENS_STEP_M;
    let id = PixelId::new(IdKind::Signal, signal.index as u32);
    set.glow(Vec3::new(0.36, 0.0, z), Vec3::X, LENS_M, 0.0095, color, id);
}
