//! Cars, vans, trucks and buses: 40 to 120 triangles near, a dozen or two far.

use super::{DARK, GLASS, TYRE, paint, shaded};
use crate::faces::{FaceSet, Material};
use crate::frames::PixelId;
use apprentice_sim::state::{ActorKind, ActorState, Lamps};
use glam::Vec3;

const HEAD: Material = Material::Matt([214, 216, 206]);
const TAIL: Material = Material::Matt([112, 18, 20]);
const PLATE: Material = Material::Matt([226, 226, 220]);

/// Half length, half width and height.
fn half(actor: &ActorState) -> [f32; 3] {
    [actor.size_m[0] / 2.0, actor.size_m[1] / 2.0, actor.size_m[2]]
}

/// Tyres on both sides at these shares of the half length.
fn wheels(set: &mut FaceSet, l: f32, w: f32, radius: f32, at: &[f32]) {
    for &share in at {
        let x = share * l;
        for (y, right) in [(w, false), (-w, true)] {
            set.plate_y(y, [x - radius, x + radius], [0.0, radius * 1.1], right, TYRE);
            set.plate_y(y, [x - radius * 0.72, x + radius * 0.72], [radius * 1.1, radius * 1.9], right, TYRE);
        }
        for (y0, y1) in [(w - 0.24, w), (-w, -w + 0.24)] {
            set.plate_x(x + radius, [y0, y1], [0.0, radius], false, TYRE);
            set.plate_x(x - radius, [y0, y1], [0.0, radius], true, TYRE);
        }
    }
}

/// Head and tail lamp housings, grille and number plate.
fn ends(set: &mut FaceSet, l: f32, w: f32, z: [f32; 2]) {
    let (front, back) = (l + 0.004, -l - 0.004);
    for side in [-1.0f32, 1.0] {
        let y = [side * w * 0.88, side * w * 0.52];
        let y = [y[0].min(y[1]), y[0].max(y[1])];
        set.plate_x(front, y, z, false, HEAD);
        set.plate_x(back, y, z, true, TAIL);
    }
    set.plate_x(back, [-0.26, 0.26], [z[0] - 0.12, z[0] + 0.03], true, PLATE);
    set.plate_x(front, [-w * 0.42, w * 0.42], [z[0] - 0.10, z[1] - 0.04], false, DARK);
}

/// Open doors: a panel swung out of the side.
fn doors(set: &mut FaceSet, actor: &ActorState, l: f32, w: f32, z: [f32; 2], material: Material) {
    for (lamp, side) in [(Lamps::DOOR_LEFT, 1.0f32), (Lamps::DOOR_RIGHT, -1.0)] {
        if actor.lamps.has(lamp) {
            let hinge = Vec3::new(0.22 * l, side * w, 0.0);
            let edge = Vec3::new(0.22 * l - 0.45, side * (w + 0.95), 0.0);
            let up = |p: Vec3, z: f32| Vec3::new(p.x, p.y, z);
            let c = [up(hinge, z[0]), up(edge, z[0]), up(edge, z[1]), up(hinge, z[1])];
            set.face(&c, material);
            set.face(&[c[1], c[0], c[3], c[2]], DARK);
        }
    }
}

/// A saloon; police cars are black and white with a light bar.
pub fn car(set: &mut FaceSet, actor: &ActorState, near: bool) {
    let [l, w, h] = half(actor);
    let police = actor.kind == ActorKind::Police;
    let color = if police { [236, 238, 242] } else { paint(actor) };
    let body = Material::Matt(color);
    let waist = h * 0.58;
    let roof_z = if police { h - 0.14 } else { h };
    let roof = Material::Matt(if police { [28, 30, 36] } else { shaded(color, 1.06) });
    let top = Material::Matt(shaded(color, 1.04));
    let cabin = [-0.88 * l, 0.46 * l, -w * 0.93, w * 0.93];
    let ceiling = [-0.62 * l, 0.12 * l, -w * 0.76, w * 0.76];
    if !near {
        set.cuboid([-l, l, -w, w], 0.0, waist, body);
        set.frustum(cabin, waist, ceiling, roof_z, GLASS, roof);
        set.plate_x(-l - 0.004, [-w * 0.9, w * 0.9], [waist * 0.62, waist * 0.88], true, TAIL);
        set.plate_x(l + 0.004, [-w * 0.9, w * 0.9], [waist * 0.55, waist * 0.8], false, HEAD);
    } else {
        set.cuboid([-0.95 * l, 0.95 * l, -w * 0.9, w * 0.9], 0.08, 0.26, DARK);
        set.cuboid([-l, l, -w, w], 0.24, waist * 0.86, body);
        let bonnet = [-0.97 * l, 0.94 * l, -w * 0.95, w * 0.95];
        set.frustum([-l, l, -w, w], waist * 0.86, bonnet, waist, Material::Matt(shaded(color, 0.96)), top);
        // The cabin: glass all round under a thin roof, with a pillar between the side windows.
        set.frustum(cabin, waist, ceiling, roof_z - 0.05, GLASS, roof);
        set.cuboid(ceiling, roof_z - 0.05, roof_z, roof);
        for y in [-1.0f32, 1.0] {
            let (low, high) = (y * w * 0.935, y * w * 0.765);
            let c = [
                Vec3::new(-0.14 * l, low, waist),
                Vec3::new(-0.22 * l, low, waist),
                Vec3::new(-0.24 * l, high, roof_z),
                Vec3::new(-0.18 * l, high, roof_z),
            ];
            if y > 0.0 { set.face(&c, body) } else { set.face(&[c[1], c[0], c[3], c[2]], body) }
        }
        wheels(set, l, w, 0.33, &[0.62, -0.60]);
        ends(set, l, w, [waist * 0.58, waist * 0.84]);
        doors(set, actor, l, w, [0.3, waist + 0.3], body);
    }
    if police {
        let stripe = Material::Matt([22, 44, 120]);
        set.plate_y(w + 0.006, [-0.8 * l, 0.8 * l], [waist * 0.5, waist * 0.72], false, stripe);
        set.plate_y(-w - 0.006, [-0.8 * l, 0.8 * l], [waist * 0.5, waist * 0.72], true, stripe);
        set.cuboid([-0.34 * l, -0.20 * l, -w * 0.6, 0.0], roof_z, h, Material::Matt([60, 66, 110]));
        set.cuboid([-0.34 * l, -0.20 * l, 0.0, w * 0.6], roof_z, h, Material::Matt([110, 60, 66]));
    }
}

/// A van; ambulances are white with a red stripe and blue lamps.
pub fn van(set: &mut FaceSet, actor: &ActorState, near: bool) {
    let [l, w, h] = half(actor);
    let ambulance = actor.kind == ActorKind::Ambulance;
    let color = if ambulance { [240, 240, 236] } else { paint(actor) };
    let body = Material::Matt(color);
    let roof_z = if ambulance { h - 0.2 } else { h };
    let nose = h * 0.48;
    let floor = if near { 0.24 } else { 0.0 };
    // Bonnet, then windscreen and box.
    set.cuboid([-l, l, -w, w], floor, nose, body);
    let roof = Material::Matt(shaded(color, 1.05));
    set.frustum([-l, 0.84 * l, -w, w], nose, [-l, 0.52 * l, -w * 0.94, w * 0.94], roof_z, body, roof);
    let slope = |t: f32| (0.84 + (0.52 - 0.84) * t) * l + 0.02;
    let span = roof_z - nose;
    set.face(
        &[
            Vec3::new(slope(0.12), -w * 0.9, nose + 0.12 * span),
            Vec3::new(slope(0.12), w * 0.9, nose + 0.12 * span),
            Vec3::new(slope(0.82), w * 0.86, nose + 0.82 * span),
            Vec3::new(slope(0.82), -w * 0.86, nose + 0.82 * span),
        ],
        GLASS,
    );
    let red = Material::Matt([206, 30, 34]);
    for (y, right) in [(w + 0.006, false), (-w - 0.006, true)] {
        set.plate_y(y, [0.32 * l, 0.70 * l], [nose + 0.1 * span, nose + 0.62 * span], right, GLASS);
        if ambulance {
            set.plate_y(y, [-l, l], [nose - 0.22, nose + 0.06], right, red);
        }
    }
    set.plate_x(-l - 0.004, [-w * 0.72, w * 0.72], [nose + 0.2 * span, nose + 0.7 * span], true, GLASS);
    if near {
        set.cuboid([-0.95 * l, 0.95 * l, -w * 0.9, w * 0.9], 0.08, 0.26, DARK);
        wheels(set, l, w, 0.36, &[0.64, -0.62]);
        doors(set, actor, l, w, [0.35, h * 0.8], body);
    }
    ends(set, l, w, [nose * 0.52, nose * 0.84]);
    if ambulance {
        set.cuboid([0.30 * l, 0.46 * l, -w * 0.8, w * 0.8], roof_z, h, Material::Matt([52, 70, 150]));
        set.plate_x(-l - 0.006, [-w, w], [nose - 0.22, nose + 0.06], true, red);
    }
}

/// A lorry: the cab in its own paint, a light box behind.
pub fn truck(set: &mut FaceSet, actor: &ActorState, near: bool) {
    let [l, w, h] = half(actor);
    let (cab, cargo) = (Material::Matt(paint(actor)), Material::Matt([206, 206, 200]));
    let cab_back = l - 1.9;
    let (floor, bed) = if near { (0.45, 0.95) } else { (0.0, 0.0) };
    set.cuboid([cab_back, l, -w, w], floor, h * 0.82, cab);
    set.plate_x(l + 0.004, [-w * 0.9, w * 0.9], [h * 0.46, h * 0.74], false, GLASS);
    for (y, right) in [(w + 0.006, false), (-w - 0.006, true)] {
        set.plate_y(y, [cab_back + 0.5, l - 0.25], [h * 0.46, h * 0.72], right, GLASS);
    }
    set.cuboid([-l, cab_back - 0.15, -w, w], bed, h, cargo);
    set.plate_x(-l - 0.004, [-w * 0.94, w * 0.94], [1.1, h * 0.96], true, Material::Matt([186, 186, 182]));
    set.plate_x(-l - 0.004, [-w * 0.96, w * 0.96], [0.62, 0.92], true, DARK);
    if near {
        set.cuboid([-0.96 * l, 0.96 * l, -w * 0.8, w * 0.8], 0.4, 0.95, DARK);
        wheels(set, l, w, 0.48, &[(l - 1.0) / l, -0.45, -0.72]);
        doors(set, actor, l, w, [0.6, h * 0.7], cab);
    }
    ends(set, l, w, [0.66, 0.92]);
}

/// A bus: a long box with a band of windows.
pub fn bus(set: &mut FaceSet, actor: &ActorState, near: bool) {
    let [l, w, h] = half(actor);
    let body = Material::Matt(paint(actor));
    set.cuboid([-l, l, -w, w], if near { 0.3 } else { 0.0 }, h, body);
    set.plate_x(l + 0.004, [-w * 0.92, w * 0.92], [h * 0.36, h * 0.84], false, GLASS);
    set.plate_x(-l - 0.004, [-w * 0.8, w * 0.8], [h * 0.52, h * 0.82], true, GLASS);
    let windows = if near { 7 } else { 1 };
    let step = 1.84 * l / windows as f32;
    for i in 0..windows {
        let x0 = -0.94 * l + i as f32 * step;
        for (y, right) in [(w + 0.006, false), (-w - 0.006, true)] {
            set.plate_y(y, [x0 + 0.08, x0 + step - 0.08], [h * 0.46, h * 0.82], right, GLASS);
        }
    }
    if near {
        set.cuboid([-0.96 * l, 0.96 * l, -w * 0.9, w * 0.9], 0.12, 0.34, DARK);
        wheels(set, l, w, 0.48, &[0.66, -0.56]);
        set.plate_x(l + 0.006, [-w * 0.6, w * 0.6], [h * 0.87, h * 0.96], false, Material::Matt([240, 170, 40]));
        doors(set, actor, l, w, [0.4, h * 0.75], body);
    }
    ends(set, l, w, [0.6, 0.86]);
}

/// Lit lamps. They bloom to at least a pixel or so: see [`crate::faces::Glow`].
pub fn lamps(set: &mut FaceSet, actor: &ActorState) {
    let [l, w, h] = half(actor);
    let id = PixelId::actor(actor.id);
    let two_wheels = matches!(actor.kind, ActorKind::Motorcycle | ActorKind::Bicycle);
    let z = match actor.kind {
        ActorKind::Car | ActorKind::Police => h * 0.42,
        ActorKind::Truck | ActorKind::Bus => 0.78,
        ActorKind::Van | ActorKind::Ambulance => h * 0.34,
        _ => h * 0.45,
    };
    let aside = w * 0.72;
    let sides: &[f32] = if two_wheels { &[0.0] } else { &[1.0, -1.0] };
    let (front, back) = (l + 0.01, -l - 0.01);
    const RADIUS_M: f32 = 0.15;
    const BLOOM_RAD: f32 = 0.0060;
    const RED: [u8; 3] = [255, 34, 22];
    const AMBER: [u8; 3] = [255, 160, 16];
    if actor.lamps.has(Lamps::BRAKE) {
        for side in sides {
            set.glow(Vec3::new(back, side * aside, z), -Vec3::X, RADIUS_M, BLOOM_RAD, RED, id);
        }
        if matches!(actor.kind, ActorKind::Car | ActorKind::Van) {
            // The third lamp in the rear window.
            set.glow(Vec3::new(-l * 0.86, 0.0, h * 0.64), -Vec3::X, 0.09, 0.0035, RED, id);
        }
    }
    for (lamp, side) in [(Lamps::LEFT, 1.0f32), (Lamps::RIGHT, -1.0)] {
        if actor.lamps.has(lamp) {
            let y = side * if two_wheels { w * 0.6 } else { w * 0.95 };
            set.glow(Vec3::new(back, y, z + 0.12), -Vec3::X, RADIUS_M, BLOOM_RAD, AMBER, id);
            set.glow(Vec3::new(front, y, z), Vec3::X, RADIUS_M, BLOOM_RAD, AMBER, id);
            set.glow(Vec3::new(0.5 * l, side * (w + 0.01), z + 0.1), Vec3::Y * side, 0.08, 0.004, AMBER, id);
        }
    }
    if actor.lamps.has(Lamps::EMERGENCY) {
        let x = if actor.kind == ActorKind::Ambulance { 0.38 * l } else { -0.27 * l };
        for side in [1.0f32, -1.0] {
            let center = Vec3::new(x, side * w * 0.45, h);
            for facing in [Vec3::X, -Vec3::X] {
                set.glow(center + facing * 0.28, facing, 0.2, 0.018, [40, 96, 255], id);
            }
        }
    }
    if actor.lamps.has(Lamps::HEADLIGHTS) {
        for side in sides {
            set.glow(Vec3::new(front, side * aside, z), Vec3::X, 0.14, 0.0055, [255, 250, 226], id);
            if !actor.lamps.has(Lamps::BRAKE) {
                set.glow(Vec3::new(back, side * aside, z), -Vec3::X, 0.09, 0.0, [170, 22, 20], id);
            }
        }
    }
}
